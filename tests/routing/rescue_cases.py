"""Rescue: a stream that is cut or stalls behind its first words goes on from another target, in every
client's dialect, so that the whole answer is there once; and where the two parts cannot be shown to fit,
the stream ends with an error event as it would without."""

import re

from canon import dumps
from dialect_fault_cases import CLIENTS, CUT, ENDS, STREAM, Cell, Wanted, judge_broken, need
from dialect_wires import KEY, ROWS, Play, Provider
from faults_cases import Routed
from features import answering
from harness import Weir

LONG = ("The river Glomma rises in a lake near the mining town of Røros and runs south for six hundred and "
        "twenty kilometres. On its way it drives many turbines; timber was floated on it until 1985. "
        "It meets the sea at Fredrikstad, where fishermen know it by the name \"Storelva\": the big river.")
REST = re.compile(r"<last_words>(.*)</last_words>", re.S)
OTHER = "I am sorry, but as a model I begin with something else entirely, whatever I was asked to do."


def pieces(call, text):
    """The events of a stream that says `text`, in several deltas."""
    return call.events(answering({"text": text}))


def words_of(part):
    if isinstance(part, list):
        return "".join(words_of(one) for one in part)
    return part if isinstance(part, str) else part.get("text", "") or words_of(part.get("content", ""))


def said_before(call):
    """(text that the assistant is said to have given, None), or (None, words that the answer shall begin
    with)."""
    body = call.body
    turns = body.get("messages") or body.get("input") or body.get("contents")
    last, role = turns[-1], turns[-1].get("role")
    text = words_of(last.get("content") or last.get("parts") or "")
    if role in ("assistant", "model"):
        return text, None
    found = REST.search(text)
    return (None, found[1]) if found else ("", None)


def play_rest(call):
    """Goes on as it was asked to."""
    given, words = said_before(call)
    if given is not None:
        need(LONG.startswith(given), given)
        return stream(call, LONG[len(given):])
    need(words in LONG, words)
    return stream(call, LONG[LONG.rindex(words):])


def stream(call, text, then="end"):
    return Play(call.frames(pieces(call, text)), type=call.wire.stream_type, then=then)


def cut_at(share, then, extra=lambda call: []):
    """The beginning of LONG; events for its end are left out."""
    def play(call):
        events = pieces(call, LONG)
        kept = events[:max(2, int(len(events) * share))]
        return Play(call.frames([*kept, *extra(call)]), type=call.wire.stream_type, then=then)
    return play


def error_event(call):
    return [call.wire.format.error_event("out of capacity", call)]


def half_event(call):
    play = cut_at(0.6, "cut")(call)
    last = play.body[-1]
    return Play([*play.body[:-1], last[:len(last) // 2]], type=play.type, then="cut")


# What happens to the first target's stream.
BREAKS = {"cut": cut_at(0.6, "cut"), "ended": cut_at(0.6, "end"), "silent": cut_at(0.6, "silent"),
          "half": half_event, "error": cut_at(0.6, "cut", error_event)}
CODES = {"cut": "upstream_cut", "ended": "upstream_cut", "silent": "timeout_between_tokens", "half": "upstream_cut",
         "error": "upstream_error"}
# Who goes on, and how it is asked: a prefill, or an instruction.
FINISHERS = {"vllm": ("vllm", "openai", "local-model"), "openai": ("openai-compatible", "openai", "gpt-4o"),
             "anthropic": ("anthropic", "anthropic", "claude-opus-4-8"),
             "gemini": ("gemini", "gemini", "gemini-2.5-flash"),
             "responses": ("openai-responses", "responses", "gpt-4o")}
SHORT = "timeouts: {between_tokens: 500ms}"


class Rescue(Routed):
    def setUp(self):
        self.provider = self.closing(Provider({**BREAKS, "rest": play_rest, "other": lambda call: stream(call, OTHER),
                                               "again": lambda call: stream(call, LONG)}))
        self.provider.wires = {f"rest-{name}": wire for name, (_, wire, _) in FINISHERS.items()}

    def config(self, cells, finish):
        rows = "".join(
            f"  rest-{name}: {{type: {kind}, url: 'http://127.0.0.1:{self.provider.port}/rest-{name}{ROWS[wire].url}', "
            f"api_key: {KEY}}}\n" for name, (kind, wire, _) in FINISHERS.items())
        models = "models:\n"
        for n, cell in enumerate(cells):
            name = finish(n)[0]
            first = f"{cell.wire_name}/{ROWS[cell.wire_name].model}-{n}--{cell.fault}"
            second = f"rest-{name}/{FINISHERS[name][2]}--{finish(n)[1]}"
            models += f"  a{n}: {{targets: ['{first}', '{second}'], rescue: continue}}\n"
            cell.alias = f"a{n}"
        return self.provider.config(SHORT) + rows + models

    def cells(self, clients, breaks=tuple(BREAKS)):
        return [Cell(client, wire, STREAM, name) for name in breaks for wire in ROWS for client in clients
                for _ in FINISHERS]

    def test_goes_on(self):
        """All five wires break in all five ways, and all five kinds of targets go on, for every dialect."""
        clients = [name for name in CLIENTS if name != "completions"]
        cells, names = self.cells(clients), list(FINISHERS)

        def judge(cell, reply):
            need(reply.status == 200 and not reply.cut, f"want all of it, got {reply}")
            answer, error = cell.client.read(reply, True)
            need(error is None, error)
            said = "".join(part.get("text", "") for part in answer["choices"][0]["parts"])
            need(said == LONG, f"{said!r}")
            need(answer["choices"][0]["finish"] == "stop", answer)
            seam = b": x-weir-rescued: rest-" in reply.body
            need(seam != cell.client_name.startswith("google"), reply.body[-300:])

        with Weir(self.config(cells, lambda n: (names[n % 5], "rest"))) as weir:
            played = self.play_all(weir, cells, judge, 12, lambda cell: [{CODES[cell.fault]}, {"ok"}])
            for cell, line in self.reasons(weir, played):
                with self.subTest(client=cell.client_name, wire=cell.wire_name, fault=cell.fault):
                    self.assertEqual([a["outcome"] == "ok" for a in line["attempts"]], [False, True], line)
                    self.assertEqual(line["reason"], "complete")
            self.assertEqual(weir.metric("weir_rescues_total"), len(cells))
        print(f"rescued: {len(cells)} streams of {len(clients)} dialects, {len(ROWS)} wires, {len(BREAKS)} faults, "
              f"{len(FINISHERS)} kinds of second targets", flush=True)

    def refused(self, clients, finish, breaks=("cut", "error")):
        """Cells that must end with an error event, whoever could go on."""
        def outcomes(cell):
            second = [] if cell.client_name == "completions" else [{"upstream_bad_answer"}]
            return [{CODES[cell.fault]}, *second]

        cells = self.cells(clients, breaks)
        with Weir(self.config(cells, finish)) as weir:
            self.play_all(weir, cells, lambda cell, reply: judge_broken(cell, Wanted(200, CUT), reply), 12, outcomes)
            self.assertEqual(weir.metric("weir_rescues_total"), 0)

    def test_every_event(self):
        """Cut behind each event in turn: as long as some text was missing all of it comes, once; behind the
        last text, where nothing shows that a continuation is one, the stream ends with an error event."""
        inside = set()

        def cut_behind(k):
            def play(call):
                events = pieces(call, LONG)[:k]
                if LONG[-10:] not in dumps(events):
                    inside.add(call.model)
                return Play(call.frames(events), type=call.wire.stream_type, then="cut")
            return play

        self.provider.plays.update({f"at{k}": cut_behind(k) for k in range(14)})
        clients = [name for name in CLIENTS if name != "completions"]
        cells = [Cell(client, wire, STREAM, f"at{k}") for k in range(14) for wire in ROWS for client in clients]
        whole = []

        def judge(cell, reply):
            need(reply.status == 200, reply)
            answer, error = cell.client.read(reply, True)
            if error is None:
                said = "".join(part.get("text", "") for part in answer["choices"][0]["parts"])
                need(said == LONG and not reply.cut, f"{said!r}")
                whole.append(cell.alias)
            else:
                need(reply.cut and not ENDS.search(reply.body.decode()), reply.body[-300:])
                first = f"{ROWS[cell.wire_name].model}-{cell.alias[1:]}--{cell.fault}"
                need(first not in inside, f"{error} behind {reply.body[-300:]}")

        with Weir(self.config(cells, lambda n: ("vllm", "rest"))) as weir:
            self.play_all(weir, cells, judge, 12)
            rescued = weir.metric("weir_rescues_total")
        print(f"cut behind each event: {len(cells)} streams, {len(inside)} of them inside the text; whole "
              f"{len(whole)}, {rescued:.0f} of these rescued; {len(cells) - len(whole)} with an error event",
              flush=True)

    def test_other_words(self):
        """The second target was told the last words and begins otherwise."""
        by_words = ("openai", "anthropic", "gemini", "responses")
        self.refused(list(CLIENTS), lambda n: (by_words[n % 4], "other"))

    def test_completions(self):
        """The legacy API has no turns to go on with."""
        self.refused(["completions"], lambda n: (list(FINISHERS)[n % 5], "rest"))
        self.assertEqual([call for call in self.provider.calls if call.fault == "rest"], [])

    def test_starts_over(self):
        """A server that was given the text and starts over is not joined to it."""
        self.refused([name for name in CLIENTS if name != "completions"], lambda n: ("vllm", "again"))


