"""Each fault of an upstream, in each client's dialect, streamed and not: alone it is an honest error, with
another target behind it that one answers as long as the client has got nothing, and afterwards an error
event. The faults that a wire can have are those of tests/ops/dialect_fault_cases.py; those below, of
connections, names and certificates, are of no wire."""

import concurrent.futures
import contextlib
import dataclasses
import os
import resource
import socket
import threading
import time

import explained
import faulty
import table
from canon import dumps
from dialect_fault_cases import (CLIENTS, FAILURES, FAULTS, JSON, STREAM, Cell, judge_broken, judge_error,
                                 judge_kind, need, play_good)
from dialect_wires import KEY, ROWS, Play, Provider, post
from features import SAID, answering, asking, text
from harness import Case, Server, Weir, late, until
from scenario_tls import Authority

FIRST = "openai"  # wire of the upstreams that fail below HTTP
GOOD = f"anthropic/{ROWS['anthropic'].model}--good"


# ---------------------------------------------------------------- faults below HTTP

@dataclasses.dataclass
class Low:
    """`make`: from the test to the URL's scheme and authority. `reason`: code of the error, that of streams
    behind a slash where it differs; some faults are met at one of two places. `words`: in an event on
    standard error. `moves`: whether another target is tried. `deaf`: it reads no
    request."""
    make: object
    status: int
    reason: str
    more: str = ""
    words: str = ""
    moves: bool = True
    deaf: bool = False

    def codes(self, stream):
        return self.reason.split("/")[-1 if stream else 0].split("|")


def rude(manners):
    return lambda test: f"http://127.0.0.1:{test.closing(faulty.Rude(manners)).port}"


def refused(test):
    sock = faulty.refusing()
    test.addCleanup(sock.close)
    return f"http://127.0.0.1:{sock.getsockname()[1]}"


def dropped(test):
    return f"http://127.0.0.1:{test.closing(faulty.BlackHole()).port}"


def named(label):
    return lambda test: f"http://{label}.weir.test:{test.good.port}"


def certified(kind):
    def make(test):
        server = test.closing(faulty.Rude(faulty.say_nothing, test.certificates.context(kind)))
        test.tls_servers[kind] = server
        return f"https://localhost:{server.port}"
    return make


def mute_tls(test):
    return f"https://localhost:{test.closing(faulty.Rude(faulty.at_once(lambda s: faulty.wait_for_end(s)))).port}"


def plain_tls(test):
    server = test.closing(faulty.Rude(faulty.plain_where_tls))
    return f"https://localhost:{server.port}"


SHORT = "connect: 400ms, tls: 400ms, head: 600ms, first_token: 500ms"
LOW = {
    "refused": Low(refused, 502, "upstream_connect"),
    "black-hole": Low(dropped, 504, "timeout_connect", SHORT),
    "no-such-name": Low(named("nx"), 502, "upstream_dns"),
    "servfail": Low(named("fail"), 502, "upstream_dns"),
    "mute-name-server": Low(named("mute"), 504, "timeout_connect", SHORT),
    "expired": Low(certified("expired"), 502, "upstream_tls", words="expired"),
    "wrong-host": Low(certified("wrong-host"), 502, "upstream_tls", words="match"),
    "self-signed": Low(certified("self-signed"), 502, "upstream_tls", words="self"),
    "plain-where-tls": Low(plain_tls, 502, "upstream_tls", deaf=True),
    "mute-tls": Low(mute_tls, 504, "timeout_tls", SHORT, deaf=True),
    "reset-at-once": Low(rude(faulty.reset_at_once), 502, "upstream_reset|upstream_connect", deaf=True),
    "closed-at-once": Low(rude(faulty.close_at_once), 502, "upstream_reset|upstream_connect", deaf=True),
    "reset": Low(rude(faulty.reset), 502, "upstream_reset"),
    "closed": Low(rude(faulty.close), 502, "upstream_reset"),
    "says-nothing": Low(rude(faulty.say_nothing), 504, "timeout_head/timeout_first_token", SHORT),
    "no-http": Low(rude(faulty.no_http), 502, "upstream_bad_answer"),
    "half-head": Low(rude(faulty.half_head), 502, "upstream_cut"),
    "endless-head": Low(rude(faulty.endless_head), 502, "upstream_bad_answer"),
    "endless-line": Low(rude(faulty.endless_line), 502, "upstream_bad_answer/upstream_too_large", moves=False),
    "endless-json": Low(rude(faulty.endless_json), 502, "upstream_too_large", moves=False),
    "two-lengths": Low(rude(faulty.two_lengths), 502, "upstream_bad_answer"),
    "redirect": Low(rude(faulty.elsewhere), 502, "upstream_bad_answer"),
}


@dataclasses.dataclass
class Played:
    """`told`: what Weir tells of it; `tag`: what the providers know it by."""
    cell: Cell
    tag: str
    reply: object = None
    wrong: str = None
    told: object = None


def ask(port, cell, judge):
    """One request and what is wrong with its answer."""
    played = Played(cell, explained.new_tag())
    try:
        tools = cell.fault in FAULTS and FAULTS[cell.fault].tools
        played.reply = cell.client.ask(port, cell.model, cell.stream, tools, [(explained.TAG, played.tag)])
        judge(cell, played.reply)
    except FAILURES as e:
        played.wrong = f"{type(e).__name__}: {e}"
    return played


def heard_by(server):
    """What a Provider or a Rude has got."""
    yield from getattr(server, "heard", ())
    for call in getattr(server, "calls", ()):
        yield explained.Heard(call.headers.get(explained.TAG), f"{call.provider}/{call.model}", call.said, at=call.at)


def judge_low(cell, reply):
    low = LOW[cell.fault]
    need(reply.status == low.status and not reply.cut, f"want {low.status}, got {reply}")
    need(reply.headers.get("content-type", "").startswith("application/json"), reply.headers)
    error = cell.client.form.read_error(reply.json())
    judge_kind(cell, error)
    need("x-weir-request-id" in reply.headers, reply.headers)


def judge_second(cell, reply):
    """All of it is the second target's, and the headers say so."""
    need(reply.status == 200 and not reply.cut, f"want an answer, got {reply}")
    answer, error = cell.client.read(reply, cell.stream)
    need(error is None, error)
    need(answer["choices"][0]["parts"], answer)
    said = "".join(part.get("text", "") for part in answer["choices"][0]["parts"])
    need(said == SAID, answer)
    need(reply.headers.get("x-weir-attempts") == "2", reply.headers)
    need("--good" in reply.headers.get("x-weir-target", ""), reply.headers)


class Routed(Case):
    """Cells played side by side against one gateway, which has to explain each as its upstreams saw it."""
    deaf, servers = {name for name, low in LOW.items() if low.deaf}, ()

    def closing(self, server):
        self.servers = [*self.servers, server]
        self.addCleanup(server.close)
        return server

    def play_all(self, weir, cells, judge, players=8, outcomes=None):
        """`outcomes`: of a cell's attempts, see explained.of_outcomes()."""
        mine = threading.local()

        def one(cell):
            if not hasattr(mine, "admin"):
                mine.admin = explained.Admin(weir)
                admins.append(mine.admin)
            played = ask(weir.port, cell, judge)
            if played.reply is not None:
                played.told = mine.admin.explain(played.reply.headers["x-weir-request-id"])
            return played

        admins = []
        with concurrent.futures.ThreadPoolExecutor(players) as pool:
            played = list(pool.map(one, cells))
        for admin in admins:
            admin.close()
        self.judge_all(played, outcomes)
        return played

    def judge_all(self, played, outcomes):
        heard = explained.by_tag(one for server in self.servers for one in heard_by(server))
        for one in played:
            cell = one.cell
            mode = "stream" if cell.stream else "json"
            with self.subTest(client=cell.client_name, wire=cell.wire_name, mode=mode, fault=cell.fault):
                self.assertIsNone(one.wrong)
                wanted = outcomes(cell) if outcomes else None
                found = explained.judge(one.told, heard[one.tag], wanted, self.deaf)
                self.assertEqual(found, [], f"{one.told} of {heard[one.tag]}")

    def reasons(self, weir, played):
        """Request id -> its line in the access log."""
        lines = {line["request_id"]: line for line in weir.last_access(len(played))}
        return [(one.cell, lines.get(one.reply.headers["x-weir-request-id"])) for one in played if one.reply]


class BelowHttp(Routed):
    def setUp(self):
        self.good = self.closing(Provider({"good": play_good}))
        self.names = self.closing(faulty.NameServer())
        self.certificates = Authority(self.folder() / "tls")
        self.tls_servers, self.deaf_servers = {}, {}

    def config(self, rows, models):
        providers = ""
        for name, low in rows.items():
            url = low.make(self)
            providers += (f"  {name}: {{type: openai-compatible, url: '{url}/{name}/v1', api_key: {KEY}, "
                          f"timeouts: {{{low.more}}}}}\n")
            if low.deaf:
                self.deaf_servers[name] = self.servers[-1]
        return (self.good.config() + providers + f"egress: {{resolvers: ['127.0.0.1:{self.names.port}'], "
                f"ca_file: '{self.certificates.ca_file()}'}}\nlimits: {{event: 64KiB, answer: 128KiB}}\n" + models)

    def judge_deaf(self, played):
        """Those that hear nothing have seen a connection for each attempt that Weir tells of."""
        attempts = [a["target"].partition("/")[0] for one in played if one.told for a in one.told["attempts"]]
        for name, server in self.deaf_servers.items():
            with self.subTest(fault=name):
                until("all are taken", lambda n=name, s=server: s.connections >= attempts.count(n))
                self.assertEqual(server.connections, attempts.count(name))
                self.assertGreaterEqual(server.connections, 2 * len(CLIENTS))

    def cells(self, rows, alias):
        return [Cell(client, FIRST, stream, name, alias(name, client, stream)) for name in rows for client in CLIENTS
                for stream in (JSON, STREAM)]

    def test_alone(self):
        """The reason, in the client's words, with the right status and the right reason in the log."""
        config = self.config(LOW, "")
        cells = self.cells(LOW, lambda name, client, stream: f"{name}/m-{client}-{int(stream)}")
        with Weir(config) as weir:
            played = self.play_all(weir, cells, judge_low,
                                   outcomes=lambda cell: [LOW[cell.fault].codes(cell.stream), ...])
            self.judge_deaf(played)
            for cell, line in self.reasons(weir, played):
                with self.subTest(client=cell.client_name, stream=cell.stream, fault=cell.fault):
                    self.assertIn(line["reason"], LOW[cell.fault].codes(cell.stream))
            for name, low in LOW.items():
                if low.words:
                    with self.subTest(fault=name):
                        self.assertRegex(weir.stderr(), rf"(?i){low.words}")
        for kind, server in self.tls_servers.items():
            with self.subTest(certificate=kind):
                self.assertEqual(server.requests, 0, "nothing is said to whom is not trusted")

    def test_another_target(self):
        """The second target answers as if it had been the first."""
        rows = {name: low for name, low in LOW.items() if low.moves}
        models = "models:\n" + "".join(
            f"  {name}.{client}.{int(stream)}: {{targets: [{name}/m-{client}-{int(stream)}, '{GOOD}']}}\n"
            for name in rows for client in CLIENTS for stream in (JSON, STREAM))
        cells = self.cells(rows, lambda name, client, stream: f"{name}.{client}.{int(stream)}")
        with Weir(self.config(rows, models)) as weir:
            played = self.play_all(weir, cells, judge_second,
                                   outcomes=lambda cell: [LOW[cell.fault].codes(cell.stream), {"ok"}])
            self.judge_deaf(played)
            for cell, line in self.reasons(weir, played):
                with self.subTest(client=cell.client_name, stream=cell.stream, fault=cell.fault):
                    self.assertEqual(line["reason"], "complete")
                    self.assertIn(line["attempts"][0]["outcome"], LOW[cell.fault].codes(cell.stream))

    def test_late_name_server(self):
        """A name that takes a while holds up nobody else."""
        config = self.good.config() + (
            f"  late: {{type: openai-compatible, url: '{named('late')(self)}/openai/v1', api_key: {KEY}}}\n"
            f"egress: {{resolvers: ['127.0.0.1:{self.names.port}']}}\nworkers: 1\n")
        slow = Cell("openai", "openai", JSON, "good", f"late/{ROWS['openai'].model}--good")
        quick = Cell("openai", "openai", JSON, "good", f"openai/{ROWS['openai'].model}--good")
        with Weir(config) as weir:
            done = []
            waiting = threading.Thread(target=lambda: done.append(slow.client.ask(weir.port, slow.model, False)))
            began = time.monotonic()
            waiting.start()
            while not done and time.monotonic() - began < late(5):
                asked = time.monotonic()
                self.assertEqual(quick.client.ask(weir.port, quick.model, False).status, 200)
                if not done:
                    self.assertLess(time.monotonic() - asked, late(0.2))
            waiting.join()
            self.assertEqual(done[0].status, 200, done)
            self.assertGreaterEqual(time.monotonic() - began, 0.2)

    def test_last_good_address(self):
        """A name server that fails later on does not take away an address that was known."""
        config = self.good.config() + (
            f"  turns: {{type: openai-compatible, url: '{named('turns')(self)}/openai/v1', api_key: {KEY}}}\n"
            f"egress: {{resolvers: ['127.0.0.1:{self.names.port}']}}\nworkers: 1\n")
        cell = Cell("openai", "openai", JSON, "good", f"turns/{ROWS['openai'].model}--good")
        with Weir(config) as weir:
            self.assertEqual(cell.client.ask(weir.port, cell.model, False).status, 200)
            self.names.dark = True
            time.sleep(1.3)  # longer than the answer holds
            for sock in list(self.good.open):  # a pooled connection would need no name
                sock.shutdown(2)
            asked = len(self.names.queries)
            reply = cell.client.ask(weir.port, cell.model, False)
            self.assertEqual(reply.status, 200, reply)
            until("the name is asked for again", lambda: len(self.names.queries) > asked, 5)


# ---------------------------------------------------------------- faults of every wire, with a second target

def is_held(cell):
    """Google's clients get calls as a whole: content has come, and nothing of it has been sent. Such a
    request stays where it is."""
    return cell.stream and cell.fault in ("cut-arguments", "arguments", "arguments-streamed")


def before_content(cell):
    wanted = FAULTS[cell.fault].wanted(cell)
    return wanted.status != 200 and not wanted.whole and not is_held(cell)


def held(cell):
    return is_held(cell) and FAULTS[cell.fault].wanted(cell).status != 200


def after_content(cell):
    wanted = FAULTS[cell.fault].wanted(cell)
    return wanted.status == 200 and not wanted.whole


def wire_cells(holds):
    for name, fault in FAULTS.items():
        for wire in fault.wires:
            for client in CLIENTS:
                for stream in fault.modes:
                    cell = Cell(client, wire, stream, name)
                    if (CLIENTS[client].tools or not fault.tools) and not fault.skip(cell) and holds(cell):
                        yield cell


def judge_cut(cell, reply):
    judge_broken(cell, FAULTS[cell.fault].wanted(cell), reply)


def judge_refused(cell, reply):
    judge_error(cell, FAULTS[cell.fault].wanted(cell), reply)


def first_only(cell):
    return [{FAULTS[cell.fault].wanted(cell).reason}]


class OfWires(Routed):
    """Two targets of different wires. Each cell has an alias and a first target of its own, so that what
    one does to its target's health is nothing to another."""

    def setUp(self):
        self.provider = self.closing(Provider({"good": play_good, **{name: f.play for name, f in FAULTS.items()}}))
        self.provider.wires = {f"slow-{name}": name for name in ROWS}

    def config(self, cells):
        slow = "first_token: 500ms, head: 700ms, between_tokens: 700ms"
        url = f"http://127.0.0.1:{self.provider.port}/slow-"
        rows = [f"  slow-{name}: {{type: {row.type}, url: '{url}{name}{row.url}', api_key: {KEY}{row.more}, "
                f"timeouts: {{{slow}}}}}\n" for name, row in ROWS.items()]
        wires, models = list(ROWS), "models:\n"
        for n, cell in enumerate(cells):
            other = wires[(wires.index(cell.wire_name) + 1 + n % 4) % 5]
            kind = "slow-" if cell.fault.startswith("silent") else ""
            cell.alias = f"a{n}"
            models += (f"  a{n}: {{targets: ['{kind}{cell.wire_name}/{ROWS[cell.wire_name].model}-{n}--{cell.fault}', "
                       f"'{other}/{ROWS[other].model}--good']}}\n")
        return self.provider.config() + "".join(rows) + models

    def test_before_content(self):
        cells = list(wire_cells(before_content))
        with Weir(self.config(cells)) as weir:
            played = self.play_all(weir, cells, judge_second, 12, lambda cell: [*first_only(cell), {"ok"}])
            for cell, line in self.reasons(weir, played):
                with self.subTest(client=cell.client_name, wire=cell.wire_name, stream=cell.stream, fault=cell.fault):
                    self.assertEqual(line["attempts"][0]["outcome"], FAULTS[cell.fault].wanted(cell).reason)
        print(f"failover before content: {len(cells)} cells of {len({c.fault for c in cells})} faults, all wires and "
              "dialects", flush=True)

    def test_held(self):
        cells = list(wire_cells(held))
        with Weir(self.config(cells)) as weir:
            self.play_all(weir, cells, judge_refused, outcomes=first_only)

    def test_after_content(self):
        """What the client has begun to get ends with an error; nobody else is asked."""
        cells = list(wire_cells(after_content))
        with Weir(self.config(cells)) as weir:
            self.play_all(weir, cells, judge_cut, 12, first_only)
        self.assertEqual([call.model for call in self.provider.calls if call.fault == "good"], [])
        print(f"error event after content: {len(cells)} cells of {len({c.fault for c in cells})} faults", flush=True)


# ---------------------------------------------------------------- hedging

class Hedged(Routed):
    """A second attempt beside one that is slow, in every dialect, from every wire to another."""

    def play(self, name, then):
        """Cells whose first target does as `name` says, and whose second one as `then` does."""
        plays = {name: FAULTS[name].play, "good": play_good, "error-body": FAULTS["error-body"].play}
        provider = self.closing(Provider(plays))
        cells = [Cell(client, wire, stream, name) for wire in ROWS for client in CLIENTS for stream in (JSON, STREAM)]
        wires, models = list(ROWS), "models:\n"
        for n, cell in enumerate(cells):
            other = wires[(wires.index(cell.wire_name) + 1 + n % 4) % 5]
            models += (f"  h{n}: {{targets: ['{cell.wire_name}/{ROWS[cell.wire_name].model}-{n}--{name}', "
                       f"'{other}/{ROWS[other].model}--{then}'], hedge: {{after: 80ms, budget: 100%}}}}\n")
            cell.alias = f"h{n}"
        times = "timeouts: {first_token: 700ms, head: 700ms, between_tokens: 700ms}"
        return cells, provider.config(times) + models

    def test_second_answers(self):
        for name in ("silent", "silent-head"):
            cells, config = self.play(name, "good")
            with Weir(config) as weir:
                began = time.monotonic()
                played = self.play_all(weir, cells, judge_second, 12, lambda cell: [{"hedged"}, {"ok"}])
                self.assertLess(time.monotonic() - began, late(6))
                for cell, line in self.reasons(weir, played):
                    with self.subTest(client=cell.client_name, wire=cell.wire_name, stream=cell.stream, fault=name):
                        self.assertEqual(line["reason"], "complete")
                        self.assertEqual(line["attempts"][0]["outcome"], "hedged", line)
                self.assertEqual(weir.metric("weir_hedges_total"), len(cells))

    def test_both_fail(self):
        """The second one fails at once, the first one in the end: one honest error."""
        cells, config = self.play("silent", "error-body")

        def judge(cell, reply):
            need(reply.status >= 500 and not reply.cut, reply)
            judge_kind(cell, cell.client.form.read_error(reply.json()))

        with Weir(config) as weir:
            both = [{"timeout_head", "timeout_first_token"}, {"upstream_error"}]
            self.play_all(weir, cells, judge, 12, lambda cell: both)


# ---------------------------------------------------------------- all fail, and the last resort

class AllFail(Routed):
    def config(self, last=""):
        socks = [faulty.refusing() for _ in range(2)]
        for sock in socks:
            self.addCleanup(sock.close)
        one, two = (sock.getsockname()[1] for sock in socks)
        return ("listen: 127.0.0.1:{port}\nproviders:\n"
                f"  a: {{type: openai-compatible, url: 'http://127.0.0.1:{one}/v1', api_key: {KEY}}}\n"
                f"  b: {{type: anthropic, url: 'http://127.0.0.1:{two}/v1', api_key: {KEY}}}\n"
                f"models: {{chat: {{targets: [a/m, b/claude-sonnet-4-5]{last}}}}}\n")

    cells = [Cell(client, FIRST, stream, "refused", "chat") for client in CLIENTS for stream in (JSON, STREAM)]

    @staticmethod
    def refused(_cell):
        return [{"upstream_connect"}, ...]

    def test_error(self):
        with Weir(self.config()) as weir:
            self.play_all(weir, self.cells * 3, judge_low, outcomes=self.refused)

    def test_last_resort(self):
        def judge(cell, reply):
            need(reply.status == 200 and not reply.cut, f"want the last answer, got {reply}")
            need("x-weir-last-resort" in reply.headers, reply.headers)
            answer, error = cell.client.read(reply, cell.stream)
            need(error is None, error)
            said = "".join(part.get("text", "") for part in answer["choices"][0]["parts"])
            need(said == "Please try again.", answer)

        with Weir(self.config(", last_resort: 'Please try again.'")) as weir:
            played = self.play_all(weir, self.cells, judge, outcomes=self.refused)
            for cell, line in self.reasons(weir, played):
                with self.subTest(client=cell.client_name, stream=cell.stream):
                    self.assertNotEqual(line["reason"], "complete", line)
            self.assertEqual(weir.metric('weir_last_resort_total{model="chat"}'), len(self.cells))


# ---------------------------------------------------------------- no descriptors left

class NoDescriptors(Routed):
    """What Weir itself has not got is no target's fault. `far` is a target that no connection leads to."""
    far = f"far/{ROWS['openai'].model}--good"

    def setUp(self):
        self.good = self.closing(Provider({"good": play_good}))
        self.other = self.closing(Provider({"good": play_good}))
        self.authority = f"http://127.0.0.1:{self.other.port}"

    @contextlib.contextmanager
    def exhausted(self, targets, more=""):
        """A gateway that has no descriptors left but the one that a client's connection takes, and its admin
        API. What the ledger needs it has from one request on, when its row is written, a second later."""
        config = (self.good.config() + "workers: 1\nhealth: {failures: 3}\n" + more +
                  f"models: {{chat: {{targets: ['{targets}']}}}}\n").replace(
            "providers:\n", f"providers:\n  far: {{type: openai-compatible, url: '{self.authority}/openai/v1', "
            f"api_key: {KEY}}}\n")
        with Weir(config) as weir:
            admin = explained.Admin(weir)
            self.addCleanup(admin.close)
            admin.targets()
            self.assertEqual(CLIENTS["openai"].ask(weir.port, GOOD, False).status, 200)
            until("nothing is opened or closed", lambda: self.limit(weir) == (time.sleep(1.5), self.limit(weir))[1])
            self.hard = resource.prlimit(weir.pid, resource.RLIMIT_NOFILE)[1]
            resource.prlimit(weir.pid, resource.RLIMIT_NOFILE, (self.limit(weir), self.hard))
            yield weir, admin

    @staticmethod
    def limit(weir):
        used = {int(n) for n in os.listdir(f"/proc/{weir.pid}/fd")}
        return [n for n in range(max(used) + 3) if n not in used][1]

    def give_back(self, weir):
        resource.prlimit(weir.pid, resource.RLIMIT_NOFILE, (self.hard, self.hard))

    def judge_none(self, cell, reply):
        need(reply.status == 503 and not reply.cut, f"want 503, got {reply}")
        error = cell.client.form.read_error(reply.json())
        judge_kind(cell, error)
        need(reply.headers.get("retry-after") == "1", reply.headers)

    def play(self, weir, admin, cells, judge, outcomes):
        """One after another: there is one connection at a time."""
        played = []
        for cell in cells:
            one = ask(weir.port, cell, judge)
            if one.reply is not None:
                one.told = admin.explain(one.reply.headers["x-weir-request-id"])
            played.append(one)
        self.judge_all(played, outcomes)
        return played

    def well(self, admin, *labels):
        targets = admin.targets()
        for label in labels:
            t = targets[label]
            self.assertEqual((t["state"], t["window_failures"], t["failures_in_a_row"]), ("well", 0, 0), t)

    cells = [Cell(client, FIRST, stream, "good", "chat") for client in CLIENTS for stream in (JSON, STREAM)]

    def test_alone(self):
        """An honest error in each dialect; afterwards all is as it was."""
        with self.exhausted(self.far) as (weir, admin):
            played = self.play(weir, admin, self.cells, self.judge_none, lambda _: [{"overloaded"}])
            self.assertEqual(self.other.calls, [])
            self.well(admin, self.far)
            self.give_back(weir)
            reasons = [line["reason"] for line in weir.last_access(len(played) + 1)]
            self.assertEqual(reasons, ["complete"] + len(played) * ["overloaded"])
            for cell in self.cells:
                reply = cell.client.ask(weir.port, cell.model, cell.stream)
                self.assertEqual(reply.status, 200, reply)
            self.well(admin, self.far)

    def test_kept_connection(self):
        """Another target that has a connection answers, and nobody is taken for sick."""
        with self.exhausted(f"{self.far}', '{GOOD}") as (weir, admin):
            self.play(weir, admin, self.cells, judge_second, lambda _: [{"overloaded"}, {"ok"}])
            self.assertEqual(self.other.calls, [])
            self.well(admin, self.far, GOOD)

    def test_name(self):
        """A name that cannot be asked for without a descriptor is not thereby unknown."""
        names = self.closing(faulty.NameServer())
        self.authority = f"http://good.weir.test:{self.other.port}"
        with self.exhausted(self.far, f"egress: {{resolvers: ['127.0.0.1:{names.port}']}}\n") as (weir, admin):
            self.play(weir, admin, self.cells, self.judge_none, lambda _: [{"overloaded"}])
            self.well(admin, self.far)
            self.give_back(weir)
            cell = self.cells[0]
            until("the name is found", lambda: cell.client.ask(weir.port, "chat", False).status == 200, 5)


# ---------------------------------------------------------------- clients that leave, bodies too large

class Clients(Routed):
    def test_leaves(self):
        """While it streams, and while it waits for a place: the upstream's request ends, the place is free."""
        provider = self.closing(Provider({"good": play_good, "hold": FAULTS["silent-middle"].play}))
        config = provider.config("max_inflight: 1, queue: 8")
        with Weir(config) as weir:
            for name, client in CLIENTS.items():
                with self.subTest(client=name):
                    model = f"openai/{ROWS['openai'].model}--hold"
                    before = len(provider.calls)
                    streaming = self.request(weir, client, model, True)
                    self.assertTrue(streaming.recv(1000).startswith(b"HTTP/1.1 200"))
                    waiting = self.request(weir, client, model, False)
                    until("it waits", lambda: weir.metric("queue_depth") == 1)
                    waiting.close()
                    until("it waits no more", lambda: weir.metric("queue_depth") == 0)
                    open_before = len(provider.open)
                    began = time.monotonic()
                    streaming.close()
                    until("the upstream sees it", lambda: len(provider.open) < open_before, 3)
                    self.assertLess(time.monotonic() - began, late(0.15))
                    self.assertEqual(len(provider.calls), before + 1, "nobody was asked for the one that waited")
                    reply = client.ask(weir.port, f"openai/{ROWS['openai'].model}--good", False)
                    self.assertEqual(reply.status, 200, reply)
            gone = [line for line in weir.last_access(18) if line["reason"] == "client_closed_request"]
            self.assertEqual(len(gone), 12, [line["reason"] for line in weir.access()])

    def test_full(self):
        """A target whose places and queue are full: 503 that says when to come back, or the next target."""
        provider = self.closing(Provider({"good": play_good, "hold": FAULTS["silent-middle"].play}))
        mine = f"openai/{ROWS['openai'].model}--good"
        config = provider.config("max_inflight: 1, queue: 0") + f"models: {{over: {{targets: ['{mine}', '{GOOD}']}}}}\n"
        cells = [Cell(client, FIRST, stream, "full", mine) for client in CLIENTS for stream in (JSON, STREAM)]

        def judge_full(cell, reply):
            need(reply.status == 503 and int(reply.headers["retry-after"]) >= 1, f"{reply} {reply.headers}")
            judge_kind(cell, cell.client.form.read_error(reply.json()))

        def judge_over(cell, reply):
            need(reply.status == 200 and reply.headers["x-weir-target"] == GOOD, f"{reply} {reply.headers}")
            need(cell.client.read(reply, cell.stream)[1] is None, reply)

        with Weir(config) as weir:
            sock = self.request(weir, CLIENTS["openai"], f"openai/{ROWS['openai'].model}--hold", True)
            self.assertTrue(sock.recv(1000).startswith(b"HTTP/1.1 200"))
            played = self.play_all(weir, cells, judge_full)
            over = [dataclasses.replace(cell, alias="over") for cell in cells]
            self.play_all(weir, over, judge_over, 1)
            sock.close()
            ids = {one.reply.headers["x-weir-request-id"] for one in played}
            lines = [line for line in weir.last_access(len(cells) * 2 + 1) if line["request_id"] in ids]
            self.assertEqual({line["reason"] for line in lines}, {"queue_full"})

    def test_half_close(self):
        """Who sends no more is gone."""
        provider = self.closing(Provider({"hold": FAULTS["silent-middle"].play}))
        with Weir(provider.config()) as weir:
            for name, client in CLIENTS.items():
                with self.subTest(client=name):
                    before = len(provider.open)
                    sock = self.request(weir, client, f"openai/{ROWS['openai'].model}--hold", True)
                    self.assertTrue(sock.recv(1000).startswith(b"HTTP/1.1 200"))
                    sock.shutdown(socket.SHUT_WR)
                    until("the upstream sees it", lambda n=before: len(provider.open) <= n, 3)
                    sock.close()

    def test_body_too_large(self):
        provider = self.closing(Provider({"good": play_good}))
        with Weir(provider.config() + "limits: {body: 16KiB}\n") as weir:
            for name, client in CLIENTS.items():
                for stream in (JSON, STREAM):
                    with self.subTest(client=name, stream=stream):
                        model = f"openai/{ROWS['openai'].model}--good"
                        body = client.form.write_request(asking(text("user", "x" * 20000)), model, stream)
                        if name == "completions":
                            body["prompt"] = "x" * 20000
                        reply = post(weir.port, client.path(model, stream), body)
                        self.assertEqual(reply.status, 413, reply)
                        self.assertTrue(client.form.read_error(reply.json())["message"])
        self.assertEqual(provider.calls, [])

    def test_slow_client(self):
        """A client that does not read holds up its own upstream and nobody else."""
        pieces = {}

        class Counting(list):
            """The pieces of a body, and how many of them were taken."""
            taken = 0

            def __iter__(self):
                for piece in super().__iter__():
                    self.taken += 1
                    yield piece

        def flood(call):
            events = call.events(answering({"text": "x" * 16000}))
            middle = len(events) // 2
            body = Counting(call.frames([*events[:middle], *[events[middle]] * 20000, *events[middle:]]))
            pieces[call.model] = body
            return Play(body, type=call.wire.stream_type)

        provider = self.closing(Provider({"good": play_good, "flood": flood}))
        with Weir(provider.config()) as weir:
            for name, client in CLIENTS.items():
                with self.subTest(client=name):
                    model = f"{ROWS['openai'].model}-{name}--flood"
                    with self.request(weir, client, f"openai/{model}", True):
                        until("it has begun", lambda m=model: m in pieces)
                        time.sleep(0.6)
                        taken = pieces[model].taken
                        time.sleep(0.3)
                        self.assertLess(pieces[model].taken, len(pieces[model]) - 100, "all of it went somewhere")
                        self.assertLessEqual(pieces[model].taken, taken + 20, "it still goes on")
                        reply = client.ask(weir.port, f"openai/{ROWS['openai'].model}--good", True)
                        self.assertEqual(reply.status, 200)

    @staticmethod
    def request(weir, client, model, streamed):
        """Sends it; the answer may be read or not."""
        data = dumps(client.form.write_request(asking(), model, streamed)).encode()
        path = client.path(model, streamed)
        sock = socket.create_connection(("127.0.0.1", weir.port), late(10))
        sock.sendall(b"POST %s HTTP/1.1\r\nHost: weir\r\nContent-Type: application/json\r\n"
                     b"Content-Length: %d\r\n\r\n%s" % (path.encode(), len(data), data))
        return sock


# ---------------------------------------------------------------- engines, addresses, descriptors

class Elsewhere(Provider):
    """The same port at another address of this machine."""

    def __init__(self, plays, port):
        self.plays, self.calls = plays, []
        Server.__init__(self, self._serve, None, port, "127.0.0.2")


class Table(Case):
    def test_names(self):
        """The table names nothing that is not there."""
        self.assertEqual(table.missing(), [])


class Others(Routed):
    def test_dead_engine(self):
        """An engine that does not come up is passed over, in every dialect."""
        provider = self.closing(Provider({"good": play_good}))
        config = (provider.config() + "engines: {dead: {model: /bin/false, binary: /bin/false}}\n"
                  f"models: {{chat: {{targets: [engine/dead, '{GOOD}']}}}}\n")
        cells = [Cell(client, FIRST, stream, "dead", "chat") for client in CLIENTS for stream in (JSON, STREAM)]

        def judge(cell, reply):
            need(reply.status == 200 and "--good" in reply.headers["x-weir-target"], f"{reply} {reply.headers}")
            need(cell.client.read(reply, cell.stream)[1] is None, reply)

        with Weir(config) as weir:
            self.play_all(weir, cells, judge)

    def test_address_changes(self):
        """New connections go to a name's new address once the old answer no longer holds."""
        names = self.closing(faulty.NameServer())
        old = self.closing(Provider({"good": play_good}))
        new = self.closing(Elsewhere(old.plays, old.port))
        config = (f"listen: 127.0.0.1:{{port}}\nworkers: 1\negress: {{resolvers: ['127.0.0.1:{names.port}']}}\n"
                  f"providers: {{up: {{type: openai-compatible, url: 'http://good.weir.test:{old.port}/openai/v1', "
                  f"api_key: {KEY}}}}}\n")
        cell = Cell("openai", "openai", JSON, "good", f"up/{ROWS['openai'].model}--good")
        with Weir(config) as weir:
            self.assertEqual(cell.client.ask(weir.port, cell.model, False).status, 200)
            self.assertEqual((len(old.calls), len(new.calls)), (1, 0))
            names.address = "127.0.0.2"
            time.sleep(1.3)
            for sock in list(old.open):
                sock.shutdown(socket.SHUT_RDWR)

            def moved():
                self.assertEqual(cell.client.ask(weir.port, cell.model, False).status, 200)
                return new.calls
            until("the new address is used", moved, 5)
