"""What clients of every dialect see of a provider of every wire that fails: nothing that looks like a
success, the reason in their own shape, and the reason and the tokens known so far in the access log."""

import concurrent.futures
import dataclasses
import json
import re
import struct
import zlib

from canon import dumps
from dialect_wires import CLIENTS, ROWS, Play, Provider
from features import ANSWER, OSLO, SAID, USAGE, answering
from harness import Case, Weir
from strict import Bad

WORDS = "The model is out of capacity, says the provider."
HINT = "no such key: sk-of-the-provider"  # what a provider says of Weir's own credential
UNKNOWN = "from-the-future"
PLAYERS = 6
JSON, STREAM = False, True
BAD, CUT = "upstream_bad_answer", "upstream_cut"
CALLS = answering(OSLO, finish="tools")
BROKEN = '{"city": "Os'


@dataclasses.dataclass
class Cell:
    """`alias`: the model asked for, where it is not the provider's own."""
    client_name: str
    wire_name: str
    stream: bool
    fault: str
    alias: str = None

    @property
    def client(self):
        return CLIENTS[self.client_name]

    @property
    def wire(self):
        return ROWS[self.wire_name]

    @property
    def raw(self):
        return self.client.raw == self.wire_name

    @property
    def model(self):
        return self.alias or f"{self.wire_name}/{self.wire.model}--{self.fault}"


@dataclasses.dataclass
class Wanted:
    """`status` of the answer; 200 is an error at the stream's end unless `whole`. `words`: what its
    message says. `used`: (input, output) in the access log, None where they are not known."""
    status: int
    reason: str
    words: str = ""
    used: tuple = (None, None)
    whole: bool = False
    headers: dict = dataclasses.field(default_factory=dict)


# ---------------------------------------------------------------- how a provider fails

def stream_of(call, events, then="end", frames=None):
    return Play(call.frames(events) if frames is None else frames, type=call.wire.stream_type, then=then)


def half(call):
    """The events of a good answer until its middle: some of its text is among them."""
    events = call.events(ANSWER)
    return events[:max(2, len(events) // 2)]


def answer_body(call, answer=ANSWER):
    return dumps(call.wire.format.write_answer(answer, call)).encode()


def play_html(call):
    return Play(b"<html><body>Please log in</body></html>", type="text/html; charset=utf-8")


def play_html_as_json(call):
    """A portal's page with the right type."""
    if call.streams:
        return Play([b"<html><body>Please", b" log in</body></html>\n\n"], type=call.wire.stream_type)
    return Play(b"<html><body>Please log in</body></html>")


def play_error_body(call):
    return Play(dumps(call.wire.format.write_error(503, WORDS, call)[2]).encode())


def play_error_first(call):
    return stream_of(call, [call.wire.format.error_event(WORDS, call)])


def play_error_middle(call):
    return stream_of(call, [*half(call), call.wire.format.error_event(WORDS, call)])


def play_error_last(call):
    """All of the answer is there, but for the event that ends it."""
    return stream_of(call, [*call.events(ANSWER)[:-1], call.wire.format.error_event(WORDS, call)])


def play_truncated(call):
    """JSON that is cut off, in an answer or an event that is not."""
    if not call.streams:
        return Play(answer_body(call)[:-20])
    (name, data), events = call.events(ANSWER)[0], half(call)
    return stream_of(call, [*events, (events[-1][0] or name, events[-1][1][:-3])])


def play_truncated_first(call):
    name, data = call.events(ANSWER)[0]
    return stream_of(call, [(name, data[:-3])])


def play_cut(call):
    if not call.streams:
        return Play(answer_body(call), then="cut")
    return stream_of(call, half(call), "cut")


def play_cut_arguments(call):
    """In the midst of a call's arguments."""
    n = {"openai": 3, "anthropic": 5, "responses": 4, "bedrock": 3}
    return stream_of(call, call.events(CALLS)[:n[call.wire_name]], "cut")


def play_cut_first(call):
    if not call.streams:
        return Play(b"", then="cut")
    return stream_of(call, [], "cut")


def play_cut_inside(call):
    """In the midst of an event."""
    frames = call.frames(half(call))
    return stream_of(call, [], "cut", [*frames, frames[-1][:len(frames[-1]) // 2]])


def play_no_finish(call):
    """The body ends in good order, the turn does not."""
    return stream_of(call, half(call))


def play_no_last(call):
    """Everything has come, but not the event that ends the turn."""
    return stream_of(call, call.events(ANSWER)[:-1])


def without(events, *marks):
    return [event for event in events if not any(mark in f"{event[0]} {event[1]}" for mark in marks)]


def play_end_only(call):
    """The end of the turn, which never finished."""
    marks = {"openai": ['"finish_reason":"'], "anthropic": ["message_delta"], "bedrock": ["messageStop"]}
    return stream_of(call, without(call.events(ANSWER), *marks[call.wire_name]))


def play_arguments(call):
    """The arguments of a call are not JSON."""
    if call.streams:
        pieces = iter([BROKEN])
        return stream_of(call, [(name, data if data == "[DONE]" else dumps(damaged(json.loads(data), pieces)))
                                for name, data in call.events(CALLS)])
    return Play(dumps(damaged(json.loads(answer_body(call, CALLS)), iter(()))).encode())


def play_no_object(call):
    """The same where a wire has an object for them."""
    def spoilt(value):
        if isinstance(value, list):
            return [spoilt(item) for item in value]
        if not isinstance(value, dict):
            return value
        return {name: BROKEN if item == OSLO["call"]["arguments"] else spoilt(item) for name, item in value.items()}
    if call.streams:
        return stream_of(call, [(name, dumps(spoilt(json.loads(data)))) for name, data in call.events(CALLS)])
    return Play(dumps(spoilt(json.loads(answer_body(call, CALLS)))).encode())


def damaged(value, pieces):
    """The arguments are BROKEN where they are whole; in a stream its first piece is, the others are empty."""
    if isinstance(value, list):
        return [damaged(item, pieces) for item in value]
    if not isinstance(value, dict):
        return value
    names = {"arguments", "partial_json", "input"}
    if value.get("type") == "response.function_call_arguments.delta":
        names.add("delta")
    return {name: damaged_text(item, pieces) if name in names and isinstance(item, str) else damaged(item, pieces)
            for name, item in value.items()}


def damaged_text(said, pieces):
    if said == dumps(OSLO["call"]["arguments"]):
        return BROKEN
    return next(pieces, "") if said else said


def flipped(frame, at):
    return frame[:at] + bytes([frame[at] ^ 1]) + frame[at + 1:]


def play_crc(call):
    """The checksum of a message in the middle."""
    frames = call.frames(half(call))
    return stream_of(call, [], frames=[*frames[:-1], flipped(frames[-1], len(frames[-1]) - 1)])


def play_crc_payload(call):
    frames = call.frames(half(call))
    return stream_of(call, [], frames=[*frames[:-1], flipped(frames[-1], len(frames[-1]) - 7)])


def play_crc_prelude(call):
    return stream_of(call, [], frames=[flipped(call.frames(half(call))[0], 8)])


def play_lengths(call):
    """A message whose checksums are right and whose lengths are not."""
    prelude = struct.pack(">II", 24, 4096)
    message = prelude + struct.pack(">I", zlib.crc32(prelude)) + b"12345678"
    return stream_of(call, [], frames=[message + struct.pack(">I", zlib.crc32(message))])


def play_behind(call):
    """The answer is whole, and what comes behind it no longer counts."""
    rubbish = b"rubbish" * 9 if call.wire_name == "bedrock" else b'data: {"half\n\n: more\n\n'
    return stream_of(call, [], frames=[*call.frames(call.events(ANSWER)), rubbish])


STRANGERS = {
    "openai": [(None, {"type": UNKNOWN, "data": [1]}), (None, {"id": "", "object": UNKNOWN, "choices": []})],
    "anthropic": [(UNKNOWN, {"type": UNKNOWN, "index": 0})],
    "responses": [("response." + UNKNOWN, {"type": "response." + UNKNOWN, "output_index": 0})],
    "gemini": [(None, {"futureMetadata": {"is": UNKNOWN}})],
    "bedrock": [(UNKNOWN, {"contentBlockIndex": 0}), (UNKNOWN, ["no object"])],
}


def play_strangers(call):
    """Events of types that nobody knows yet, between all the others."""
    events, strangers = call.events(ANSWER), [(name, dumps(value)) for name, value in STRANGERS[call.wire_name]]
    mixed = [one for event in events for one in (*strangers, event)]
    return stream_of(call, mixed)


def play_silent(call):
    return Play(status=0, then="silent")


def opening(call):
    """What stands before the first content."""
    n = {"openai": 1, "anthropic": 3, "responses": 3, "bedrock": 1, "gemini": 0}
    return call.events(ANSWER)[:n[call.wire_name]]


def play_silent_head(call):
    return stream_of(call, opening(call), "silent") if call.streams else Play(b"", then="silent")


def play_cut_opening(call):
    return stream_of(call, opening(call), "cut")


def play_good(call):
    return stream_of(call, call.events(ANSWER)) if call.streams else Play(answer_body(call))


def play_silent_middle(call):
    return stream_of(call, half(call), "silent")


def refusing(status, words, *headers):
    def play(call):
        said, more, body = call.wire.format.write_error(min(status, 503), words, call)
        return Play(dumps(body).encode(), status if status != 401 else said, headers=(*more, *headers))
    return play


def play_limited(call):
    said, headers, body = call.wire.format.write_error(429, WORDS, call)
    if call.wire_name == "bedrock":
        headers = [*headers, ("retry-after", "7")]
    return Play(dumps(body).encode(), said, headers=headers)


def play_event_auth(call):
    """A stream that begins with the news that Weir's credential is refused."""
    events = {
        "anthropic": ("error", {"type": "error", "error": {"type": "authentication_error", "message": HINT}}),
        "gemini": (None, {"error": {"code": 401, "message": HINT, "status": "UNAUTHENTICATED"}}),
        "bedrock": ("accessDeniedException", {"message": HINT}),
    }
    name, value = events[call.wire_name]
    return stream_of(call, [(name, dumps(value))])


# ---------------------------------------------------------------- what comes of it

# What the provider has said of tokens before its content.
EARLY = {"anthropic": (USAGE["input"], None), "gemini": (USAGE["input"], 1)}
# The status of the error that the provider speaks of in an answer with status 200.
SAID_STATUS = {"openai": 502, "anthropic": 503, "gemini": 503, "responses": 500, "bedrock": 424}


TOLD = (USAGE["input"], USAGE["output"])


def nothing(reason, status=502, words="", **more):
    """The client has got nothing yet: a plain error."""
    return lambda cell: Wanted(status, reason, words, **more)


def breaking(reason, words=""):
    """The client has the beginning of an answer where it streams."""
    def wanted(cell):
        if not cell.stream:
            return Wanted(502, reason, words)
        return Wanted(200, reason, words, EARLY.get(cell.wire_name, (None, None)))
    return wanted


def failing(cell):
    """An error in an answer with status 200, with nothing before it."""
    status = SAID_STATUS[cell.wire_name]
    if cell.fault == "error-body" and cell.wire_name == "bedrock":
        status = 500  # its body has a message only
    return Wanted(status, "upstream_error", WORDS)


def ending(reason, words=""):
    """All tokens are known where they are told before the last event."""
    def wanted(cell):
        told = {"anthropic": TOLD, "openai": TOLD, "bedrock": TOLD, "gemini": EARLY["gemini"]}
        used = EARLY["anthropic"] if cell.fault == "end-only" and cell.wire_name == "anthropic" else \
            told.get(cell.wire_name, (None, None))
        return Wanted(200, reason, words, used)
    return wanted


def whole(cell):
    return Wanted(200, "complete", used=(USAGE["input"], USAGE["output"]), whole=True)


def arguments(cell):
    """Where arguments are a text they are the client's to judge, as ever; where they are an object they
    cannot be told."""
    if cell.client_name.startswith("google") or (cell.client_name == "anthropic" and not cell.stream):
        told = (USAGE["input"], USAGE["output"])
        return Wanted(502, "upstream_bad_answer",
                      used=told if not cell.stream else EARLY.get(cell.wire_name, (None, None)))
    return whole(cell)


def cut_arguments(cell):
    """Google's clients get calls as a whole only."""
    used = EARLY.get(cell.wire_name, (None, None))
    return Wanted(502 if cell.client_name.startswith("google") else 200, CUT, used=used)


def no_object(_cell):
    return Wanted(502, BAD, used=TOLD)


@dataclasses.dataclass
class Fault:
    play: object
    wanted: object
    modes: tuple = (JSON, STREAM)
    wires: tuple = tuple(ROWS)
    timeouts: str = ""
    skip: object = staticmethod(lambda cell: False)
    tools: bool = False


FAULTS = {
    "html": Fault(play_html, nothing(BAD)),
    "html-as-json": Fault(play_html_as_json, lambda cell: Wanted(
        502, CUT if cell.stream and cell.wire_name != "bedrock" else BAD)),
    "error-body": Fault(play_error_body, failing),
    "error-first": Fault(play_error_first, failing, (STREAM,)),
    "error-middle": Fault(play_error_middle, breaking("upstream_error", WORDS), (STREAM,)),
    "error-last": Fault(play_error_last, ending("upstream_error", WORDS), (STREAM,), (
        "openai", "anthropic", "gemini", "responses")),
    "event-auth": Fault(play_event_auth, nothing("upstream_auth"), (STREAM,), ("anthropic", "gemini", "bedrock")),
    "truncated": Fault(play_truncated, breaking(BAD)),
    "truncated-first": Fault(play_truncated_first, nothing(BAD), (STREAM,)),
    "cut": Fault(play_cut, breaking(CUT)),
    "cut-first": Fault(play_cut_first, nothing(CUT)),
    "cut-opening": Fault(play_cut_opening, lambda cell: Wanted(502, CUT, used=EARLY["anthropic"] if
                         cell.wire_name == "anthropic" else (None, None)), (STREAM,)),
    "cut-inside": Fault(play_cut_inside, breaking(CUT), (STREAM,)),
    "cut-arguments": Fault(play_cut_arguments, cut_arguments, (STREAM,), (
        "openai", "anthropic", "responses", "bedrock"), tools=True),
    "no-finish": Fault(play_no_finish, breaking(CUT), (STREAM,)),
    "no-last": Fault(play_no_last, ending(CUT), (STREAM,), ("openai", "anthropic", "gemini", "responses")),
    "end-only": Fault(play_end_only, lambda cell: ending(CUT if cell.wire_name == "bedrock" else BAD)(cell),
                      (STREAM,), ("openai", "anthropic", "bedrock"), skip=lambda cell: cell.raw),
    "arguments": Fault(play_arguments, arguments, (JSON, STREAM), ("openai", "responses"), tools=True),
    "arguments-streamed": Fault(play_arguments, arguments, (STREAM,), ("anthropic", "bedrock"), tools=True),
    "arguments-no-object": Fault(play_no_object, no_object, wires=("anthropic", "gemini", "bedrock"), tools=True,
                                 skip=lambda cell: cell.stream and cell.wire_name != "gemini"),
    "crc": Fault(play_crc, breaking(BAD), (STREAM,), ("bedrock",)),
    "crc-payload": Fault(play_crc_payload, breaking(BAD), (STREAM,), ("bedrock",)),
    "crc-prelude": Fault(play_crc_prelude, nothing(BAD), (STREAM,), ("bedrock",)),
    "lengths": Fault(play_lengths, nothing(BAD), (STREAM,), ("bedrock",)),
    "behind": Fault(play_behind, whole, (STREAM,), ("openai", "anthropic", "responses", "bedrock")),
    "strangers": Fault(play_strangers, whole, (STREAM,)),
    "silent": Fault(play_silent, lambda cell: Wanted(504, "timeout_first_token" if cell.stream else "timeout_head"),
                    timeouts="first_token: 400ms, head: 700ms"),
    "silent-head": Fault(play_silent_head, lambda cell: Wanted(
        504, "timeout_first_token" if cell.stream else "timeout_between_tokens",
        used=EARLY["anthropic"] if cell.wire_name == "anthropic" and cell.stream else (None, None)),
        timeouts="first_token: 400ms, between_tokens: 700ms"),
    "silent-middle": Fault(play_silent_middle, breaking("timeout_between_tokens"), (STREAM,),
                           timeouts="between_tokens: 400ms"),
    "refused-401": Fault(refusing(401, HINT), nothing("upstream_auth")),
    "limited-429": Fault(play_limited, nothing("rate_limit_exceeded", 429, WORDS, headers={"retry-after": "7"})),
    "overloaded-503": Fault(refusing(503, WORDS, ("retry-after", "9")), nothing(
        "upstream_error", 503, WORDS, headers={"retry-after": "9"})),
    "overloaded-529": Fault(refusing(529, WORDS), nothing("upstream_error", 503, WORDS)),
}


# ---------------------------------------------------------------- how it is judged

class Wrong(Exception):
    pass


FAILURES = (Wrong, Bad, ValueError, KeyError, IndexError, TypeError, AttributeError, OSError)


def need(holds, what):
    if not holds:
        raise Wrong(what)


# What these dialects' SDKs know errors by.
KINDS = {
    "anthropic": {"invalid_request_error", "authentication_error", "permission_error", "not_found_error",
                  "rate_limit_error", "timeout_error", "api_error", "overloaded_error", "billing_error"},
    "google": {"INVALID_ARGUMENT", "FAILED_PRECONDITION", "UNAUTHENTICATED", "PERMISSION_DENIED", "NOT_FOUND",
               "RESOURCE_EXHAUSTED", "INTERNAL", "UNAVAILABLE", "DEADLINE_EXCEEDED", "UNKNOWN"},
}


def judge_kind(cell, error):
    known = KINDS.get(cell.client_name.partition("-")[0])
    need(error["kind"] in known if known else error["kind"], f"kind of {error}")


def judge_error(cell, wanted, reply):
    need(reply.status == wanted.status and not reply.cut, f"want {wanted.status}, got {reply}")
    need(reply.headers.get("content-type", "").startswith("application/json"), reply.headers)
    error = cell.client.form.read_error(reply.json())
    need(wanted.words in error["message"], error)
    judge_kind(cell, error)
    need(HINT not in reply.body.decode(), f"the client reads of Weir's credential: {error}")
    for name, value in wanted.headers.items():
        need(reply.headers.get(name) == value, f"{name} is {reply.headers.get(name)!r}")
    if cell.client_name.startswith("google"):
        need(reply.json()["error"]["code"] == reply.status, reply.body)


def judge_broken(cell, wanted, reply):
    """A stream whose last event is an error, and whose end is not that of a good answer."""
    need(reply.status == 200, f"want a stream, got {reply}")
    need(reply.cut, f"the body has its last chunk: {reply.body[-300:]!r}")
    found = re.search(cell.client.success, reply.body.decode())
    need(not found or may_have_finished(cell), f"it looks like a success: {found} in {reply.body[-600:]!r}")
    _, error = cell.client.read(reply, True)
    need(error is not None, f"no error at the end: {reply.body[-600:]!r}")
    need(wanted.words in error["message"], error)
    judge_kind(cell, error)
    need(not ENDS.search(reply.body.decode()), f"the stream is ended: {reply.body[-600:]!r}")


ENDS = re.compile(r"\[DONE\]|message_stop|response\.completed")


def may_have_finished(cell):
    """The choice has finished before the failure, and the dialect says so at once."""
    finished = cell.fault in ("error-last", "no-last") and cell.wire_name != "responses"
    return finished and cell.client_name in ("openai", "completions", "anthropic")


def judge_whole(cell, reply):
    need(reply.status == 200 and not reply.cut, f"want an answer, got {reply}")
    if FAULTS[cell.fault].tools:
        need(dumps(BROKEN)[1:-1] in reply.body.decode(), f"the arguments are lost: {reply.body!r}")
        need(not cell.stream or re.search(cell.client.success, reply.body.decode()), reply.body)
        return
    answer, error = cell.client.read(reply, cell.stream, UNKNOWN if cell.raw else None)
    need(error is None, error)
    said = "".join(part.get("text", "") for part in answer["choices"][0]["parts"])
    need(said == SAID and UNKNOWN not in said, answer)


def judge_log(cell, wanted, line):
    used = line.get("input_tokens"), line.get("output_tokens")
    need(line["reason"] == wanted.reason, f"reason {line['reason']!r}, want {wanted.reason!r}")
    need(line["status"] == wanted.status, f"status {line['status']}")
    need(used == wanted.used, f"tokens {used}, want {wanted.used}")
    streamed = wanted.status == 200 and cell.stream and used[1] is None
    need(not streamed or line.get("estimated_output_tokens", 0) > 0, "nothing is said of the tokens delivered")


def play_cell(port, cell):
    """(request id, what is wrong)."""
    reply, wanted = None, FAULTS[cell.fault].wanted(cell)
    try:
        reply = cell.client.ask(port, cell.model, cell.stream, FAULTS[cell.fault].tools)
        if wanted.whole:
            judge_whole(cell, reply)
        elif wanted.status == 200:
            judge_broken(cell, wanted, reply)
        else:
            judge_error(cell, wanted, reply)
        wrong = None
    except FAILURES as e:
        wrong = f"{type(e).__name__}: {e}"
    return reply.headers.get("x-weir-request-id") if reply else None, wrong


def cells_of(name):
    fault = FAULTS[name]
    for wire in fault.wires:
        for client in CLIENTS:
            for stream in fault.modes:
                cell = Cell(client, wire, stream, name)
                if not fault.skip(cell) and (CLIENTS[client].tools or not fault.tools):
                    yield cell


class DialectFault(Case):
    """A test for each fault, a subtest for each cell."""

    def play(self, config, cells, play=play_cell, players=PLAYERS):
        """(cell, what is wrong, its line in the access log) for each."""
        with Weir(config) as weir:
            with concurrent.futures.ThreadPoolExecutor(players) as pool:
                played = list(pool.map(lambda cell: play(weir.port, cell), cells))
            lines = {line["request_id"]: line for line in weir.last_access(len(cells))}
        return [(cell, wrong, lines.get(request_id)) for cell, (request_id, wrong) in zip(cells, played)]

    def judge(self, played, wanted):
        self.assertTrue(played)
        for cell, wrong, line in played:
            mode = "stream" if cell.stream else "json"
            with self.subTest(client=cell.client_name, wire=cell.wire_name, mode=mode, fault=cell.fault):
                self.assertIsNone(wrong)
                try:
                    judge_log(cell, wanted(cell), line)
                except Wrong as e:
                    self.fail(f"{e}; {line}")

    def provider(self, plays):
        made = Provider(plays)
        self.addCleanup(made.close)
        return made

    def check_all(self, name):
        fault = FAULTS[name]
        provider = self.provider({name: fault.play})
        config = provider.config(f"timeouts: {{{fault.timeouts}}}")
        self.judge(self.play(config, list(cells_of(name)), players=30 if "silent" in name else PLAYERS), fault.wanted)

    def test_another_target(self):
        """As long as the client has got nothing, another target answers, of another wire, and nothing is left
        of the first in its answer."""
        faults, wires = ("html", "error-first", "cut-opening", "truncated-first", "limited-429"), list(ROWS)
        provider = self.provider({"good": play_good, **{name: FAULTS[name].play for name in faults}})
        models, cells = "models:\n", []
        for name in faults:
            for at, wire in enumerate(wires):
                other = wires[(at + 1) % len(wires)]
                for client in CLIENTS:  # each has a target of its own, which nobody has found failing before
                    models += (f"  {wire}.{name}.{client}: {{targets: ['{wire}/{ROWS[wire].model}-{client}--{name}', "
                               f"'{other}/{ROWS[other].model}--good']}}\n")
                    cells.append(Cell(client, wire, STREAM, name, f"{wire}.{name}.{client}"))
        played = self.play(provider.config() + models, cells, play_second)
        self.judge(played, lambda cell: Wanted(200, "complete", used=TOLD, whole=True))


def play_second(port, cell):
    """The answer comes from the second target."""
    reply = None
    try:
        reply = cell.client.ask(port, cell.model, cell.stream)
        judge_whole(cell, reply)
        need(reply.headers.get("x-weir-attempts") == "2", reply.headers)
        return reply.headers["x-weir-request-id"], None
    except FAILURES as e:
        return reply.headers.get("x-weir-request-id") if reply else None, f"{type(e).__name__}: {e}"


def add_tests():
    for name in FAULTS:
        setattr(DialectFault, "test_" + name.replace("-", "_"), lambda self, name=name: self.check_all(name))


add_tests()
