"""One scenario: loading its file, its timeline, its verdict."""

import asyncio
import pathlib
import re
import time
import traceback

from .client import ClientBlock
from .journal import Fail, Journal, brief
from .mock import Mock
from .script import ABSENT, Rule, ScriptError, Source, Test, bind, expand, json_path
from .tls import Authority
from .weir import PortTaken, Weir

CONFIGS = pathlib.Path(__file__).resolve().parent.parent / "configs"
SETTLE = 3.0
METRIC = re.compile(r"metric\s+([A-Za-z_:][\w:]*)(?:\{(.*?)\})?\s+(.+)")


class Scenario:
    """A loaded file. `run` plays it once and returns the journal."""

    def __init__(self, path):
        self.path = pathlib.Path(path)
        self.source = Source(self.path.read_text("utf-8"), self.path.name)
        self.title = self.path.stem
        self.assumptions = []
        self.must_fail = None
        self.uses_weir = True
        self.timeout = 30.0
        self.config_node = None
        self.environment = {}
        self.mock_nodes = []
        self.timeline = []
        self.journal = self.weir = None
        self.mocks = {}
        self._load()

    def _load(self):
        for node in self.source.root.kids:
            word = node.text.split()[0]
            if word == "mock":
                if not re.fullmatch(r"mock [A-Za-z_][\w-]*", node.text):
                    raise ScriptError(f"{node.place()}: {node.text}\n    form: mock NAME")
                Mock(node, Journal(), None)
                self.mock_nodes.append(node)
            elif word == "client":
                self.timeline.append((node, ClientBlock(node)))
            elif word == "metric":
                found = METRIC.fullmatch(node.text)
                if not found:
                    raise ScriptError(f'{node.place()}: form: metric NAME{{label="x"}} TEST')
                self.timeline.append((node, (found[1], found[2] or "", Test(found[3]))))
            elif any(rule.match(node.text) is not None for rule in HEADER_RULES):
                bind(node, HEADER_RULES, "scenario")
                node.rule.action(self, node, *node.args)
            else:
                bind(node, TIMELINE_RULES, "scenario")
                for kid in node.kids:
                    if node.rule.action in (log_line, log_last):
                        bind(kid, [Rule("PATH TEST", None, "")], "log line")
                self.timeline.append((node, None))

    # --- playing
    async def run(self, folder, binary, slack, wrap=""):
        """Play all. `folder` is the scenario's own and exists. Returns the journal."""
        self.journal = Journal(slack)
        self.folder = folder
        self.authority_made = None
        self.background = {}
        try:
            await asyncio.wait_for(self._play(binary, wrap), self.timeout * slack)
        except asyncio.TimeoutError:
            self.journal.fail("runner", Fail(f"not over after {self.timeout * slack:.0f} s"))
        except Fail as failure:
            self.journal.fail("scenario", failure)
        except Exception:
            self.journal.fail("runner", Fail(f"the harness broke: {traceback.format_exc()}"))
        finally:
            await self._clean_up()
        return self.journal

    async def _play(self, binary, wrap):
        variables = self.journal.variables
        variables["tmp"] = str(self.folder)
        for number, node in enumerate(self.mock_nodes, 1):
            mock = Mock(node, self.journal, self.authority)
            await mock.start()
            self.mocks[mock.name] = mock
            for name in (f"mock{number}", mock.name) + (("mock",) if number == 1 else ()):
                variables[name] = mock.url()
                variables[f"{name}.port"] = mock.port
        if self.uses_weir:
            variables["ca"] = str(self.authority().ca_file()) if self._needs_authority() else ""
            await self._start_weir(binary, wrap)
        for node, prepared in self.timeline:
            try:
                await self._act(node, prepared)
            except Fail as failure:
                failure.node = failure.node or node
                raise
            if self.journal.failures:
                await asyncio.sleep(0.05)
                return
        await self._join_all()
        for mock in self.mocks.values():
            mock.check_finished()

    def authority(self):
        if self.authority_made is None:
            self.authority_made = Authority(self.folder / "certificates")
        return self.authority_made

    def _needs_authority(self):
        return "${ca}" in "\n".join(self.source.lines) or any(m.tls for m in self.mocks.values())

    async def _act(self, node, prepared):
        if isinstance(prepared, ClientBlock):
            task = asyncio.create_task(prepared.run(self))
            self.background[prepared.name] = task
            if not prepared.background:
                await task
        elif prepared is not None:
            await check_metric(self, *prepared)
        else:
            result = node.rule.action(self, node, *node.args)
            if asyncio.iscoroutine(result):
                await result

    async def _start_weir(self, binary, wrap):
        for attempt in range(3):
            self.weir = Weir(binary, self.folder, self.journal, wrap)
            self.weir.environment = dict(self.environment)
            self.weir.choose_ports()
            self.write_config(self.config_node)
            if any(node.rule and node.rule.action is weir_refuses for node, _ in self.timeline):
                return
            try:
                await self.weir.start()
                return
            except PortTaken:
                self.journal.note("runner", f"port taken, attempt {attempt + 1}")
        raise Fail("weir did not get a port in three attempts")

    def write_config(self, node):
        """Template and block of a `config` line, with the placeholders filled in."""
        variables = self.journal.variables
        ports = self.weir.ports
        variables.update(
            {
                "port": ports["weir"],
                "listen": f"127.0.0.1:{ports['weir']}",
                "admin": f"127.0.0.1:{ports['admin']}",
                "config": self.weir.config,
                "metrics": f"127.0.0.1:{ports['metrics']}",
            }
        )
        text = ""
        template = node.text.split()[-1] if node is not None else "basic"
        if template != "config":
            text = (CONFIGS / f"{template}.yaml").read_text("utf-8")
            for name, value in re.findall(r"^# env: (\w+)=(.*)$", text, re.M):
                self.weir.environment.setdefault(name, value)
        if node is not None:
            text += node.block()
        self.weir.config.write_text(expand(text, variables), "utf-8")

    def port_of(self, target):
        if target in self.mocks:
            return self.mocks[target].port
        if self.weir is None:
            if target == "weir" and len(self.mocks) == 1:
                return next(iter(self.mocks.values())).port
            raise Fail(f"there is no {target}")
        return self.weir.ports[target]

    async def _join_all(self):
        for name, task in self.background.items():
            try:
                await asyncio.wait_for(asyncio.shield(task), 15)
            except asyncio.TimeoutError:
                raise Fail(f"client {name} did not come to an end") from None

    async def _clean_up(self):
        tasks = [task for task in self.background.values() if not task.done()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self.weir is not None:
            for problem in await self.weir.finish():
                self.journal.fail("weir", Fail(problem))
        for mock in self.mocks.values():
            await mock.stop()

    def verdict(self):
        """(passed, failures) with `must fail` taken into account."""
        failures = self.journal.failures
        if self.must_fail is None:
            return not failures, failures
        text = "\n".join(message for _, _, message in failures)
        try:
            self.must_fail.check(text if failures else ABSENT, {}, "the failure")
        except Fail as wrong:
            return False, [("runner", "must fail", wrong.message)]
        return True, []


# ---------------------------------------------------------------- lines before the timeline


def set_config(scenario, node, name=None):
    if name is not None and not (CONFIGS / f"{name}.yaml").exists():
        raise ScriptError(f"{node.place()}: there is no configs/{name}.yaml")
    scenario.config_node = node


def set_environment(scenario, node, name, value):
    scenario.environment[name] = value


def set_title(scenario, node, title):
    scenario.title = title


HEADER_RULES = [
    Rule("scenario TEXT", set_title, "what the scenario shows, in one sentence"),
    Rule(
        "assume TEXT",
        lambda scenario, node, text: scenario.assumptions.append(text),
        "what the scenario takes for granted though no document says so",
    ),
    Rule("config", set_config, "the gateway's configuration, verbatim below"),
    Rule("config NAME", set_config, "the same, starting from configs/NAME.yaml"),
    Rule("env NAME TEXT", set_environment, "a variable in the gateway's environment"),
    Rule(
        "no weir",
        lambda scenario, node: setattr(scenario, "uses_weir", False),
        "clients talk to the mock; for the runner's self-test",
    ),
    Rule(
        "must fail TEST",
        lambda scenario, node, test: setattr(scenario, "must_fail", test),
        "the scenario has to fail, and the failure's text has to pass the test",
    ),
    Rule(
        "timeout DUR",
        lambda scenario, node, seconds: setattr(scenario, "timeout", seconds),
        "instead of 30 s",
    ),
]


# ---------------------------------------------------------------- the timeline


async def join(scenario, node, name):
    if name not in scenario.background:
        raise Fail(f"no client {name} was started")
    await asyncio.wait_for(asyncio.shield(scenario.background[name]), 20)


async def wait_for(scenario, node, name):
    try:
        await asyncio.wait_for(scenario.journal.signal(name).wait(), 10)
    except asyncio.TimeoutError:
        raise Fail(f"the signal {name} did not come within 10 s") from None


def mock_of(scenario, name):
    if name not in scenario.mocks:
        raise Fail(f"there is no mock {name}")
    return scenario.mocks[name]


async def stop_mock(scenario, node, name):
    await mock_of(scenario, name).stop()


async def start_mock(scenario, node, name):
    await mock_of(scenario, name).start()


def give(scenario, node, name):
    scenario.journal.signal(name).set()


def send_signal(scenario, node, name):
    scenario.weir.send_signal(name)


async def weir_starts(scenario, node):
    await scenario.weir.start()


def rewrite_config(scenario, node, name=None):
    scenario.write_config(node)


async def expect_exit(scenario, node, code, span):
    await scenario.weir.expect_exit(code, span)


async def weir_refuses(scenario, node, test):
    """Start must fail, with an exit status other than 0 and a message that passes the test."""
    await scenario.weir.launch()
    try:
        await asyncio.wait_for(scenario.weir.process.wait(), scenario.journal.late(5))
    except asyncio.TimeoutError:
        raise Fail("expected weir to refuse the configuration, it still runs") from None
    scenario.weir.expected_exit = scenario.weir.process.returncode
    if scenario.weir.process.returncode <= 0:
        raise Fail(f"expected an exit status above 0, came {scenario.weir.process.returncode}")
    test.check(scenario.weir.stderr(), scenario.journal.variables, "stderr")


async def weir_command(scenario, node, arguments):
    variables = scenario.journal.variables
    code, text = await scenario.weir.run_command(expand(arguments, variables))
    variables["output"] = text.strip()
    if code != 0:
        raise Fail(f"weir {arguments} ended with {code}: {brief(text)}")


def expect_output(scenario, node, test):
    test.check(
        scenario.journal.variables.get("output", ABSENT),
        scenario.journal.variables,
        "the command's output",
    )


async def poll(scenario, attempt, limit=SETTLE):
    """Repeat `attempt()` until it does not raise Fail or the time is over."""
    deadline = time.monotonic() + scenario.journal.late(limit)
    while True:
        try:
            result = attempt()
            return await result if asyncio.iscoroutine(result) else result
        except Fail:
            if time.monotonic() > deadline:
                raise
        await asyncio.sleep(0.02)


async def check_metric(scenario, name, labels, test):
    wanted = dict(re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', labels))

    async def attempt():
        value = await scenario.weir.metric(name, wanted)
        test.check(
            ABSENT if value is None else value,
            scenario.journal.variables,
            f"metric {name}{{{labels}}}",
        )

    await poll(scenario, attempt)


def check_log_fields(scenario, node, line):
    for kid in node.kids:
        path, test = kid.args
        try:
            test.check(json_path(line, path), scenario.journal.variables, f"log field {path}")
        except Fail as failure:
            failure.node = kid
            failure.message += f"\n{'':11}the line: {brief(line, 2000)}"
            failure.args = (failure.message,)
            raise


async def log_line(scenario, node, path, test):
    """Wait for an access log line whose field passes; then apply the tests below."""

    def attempt():
        lines = scenario.weir.access_lines()
        for line in lines:
            try:
                test.check(json_path(line, path), scenario.journal.variables, path)
            except Fail:
                continue
            return line
        raise Fail(
            f"no log line where {path} {test.op} {test.operand}; there are {len(lines)}; "
            f"the last: {brief(lines[-1] if lines else None, 1000)}"
        )

    check_log_fields(scenario, node, await poll(scenario, attempt))


async def log_last(scenario, node):
    def attempt():
        lines = scenario.weir.access_lines()
        if not lines:
            raise Fail("there is no access log line")
        return lines[-1]

    check_log_fields(scenario, node, await poll(scenario, attempt))


async def log_count(scenario, node, test):
    await poll(
        scenario,
        lambda: test.check(
            len(scenario.weir.access_lines()), scenario.journal.variables, "number of log lines"
        ),
    )


async def expect_requests(scenario, node, name, test):
    mock = mock_of(scenario, name)
    await poll(
        scenario,
        lambda: test.check(
            len(mock.requests), scenario.journal.variables, f"requests at mock {name}"
        ),
        1.0,
    )


async def expect_connections(scenario, node, name, test):
    mock = mock_of(scenario, name)
    await poll(
        scenario,
        lambda: test.check(
            mock.connections, scenario.journal.variables, f"connections at mock {name}"
        ),
        1.0,
    )


async def expect_stderr(scenario, node, test):
    await poll(
        scenario, lambda: test.check(scenario.weir.stderr(), scenario.journal.variables, "stderr")
    )


async def expect_alive(scenario, node):
    status, _ = await scenario.weir.get(scenario.weir.ports["weir"], "/livez")
    if status != 200:
        raise Fail(f"GET /livez answered {status}")


def memory_mark(scenario, node):
    scenario.weir.mark_memory()


def memory_grew(scenario, node, limit):
    """The slack stretches this limit too: sanitizers keep freed memory for a while."""
    limit = int(scenario.journal.late(limit))
    grown = scenario.weir.memory_growth()
    scenario.journal.note("weir", f"grew by {grown / 1048576:.1f} MB since the mark")
    if grown >= limit:
        raise Fail(
            f"expected memory to grow by less than {limit / 1048576:.1f} MB, it grew by "
            f"{grown / 1048576:.1f} MB"
        )


TIMELINE_RULES = [
    Rule("sleep DUR", lambda scenario, node, seconds: asyncio.sleep(seconds), "wait"),
    Rule("join NAME", join, "wait for the end of a background client"),
    Rule("wait NAME", wait_for, "wait for a signal"),
    Rule("signal NAME", give, "give a signal"),
    Rule("stop NAME", stop_mock, "stop a mock: port closed, connections reset"),
    Rule("start NAME", start_mock, "start it again on the same port"),
    Rule("weir signal NAME", send_signal, "TERM, HUP, KILL, ..."),
    Rule("weir starts", weir_starts, "start the gateway again"),
    Rule("weir rewrites config", rewrite_config, "write another configuration file"),
    Rule("weir rewrites config NAME", rewrite_config, "the same, starting from configs/NAME.yaml"),
    Rule("weir command TEXT", weir_command, "run `weir TEXT`; it must end with 0"),
    Rule("expect output TEST", expect_output, "test what the last command printed"),
    Rule("expect weir alive", expect_alive, "GET /livez says 200"),
    Rule("expect weir exits INT within SPAN", expect_exit, "the process ends with that status"),
    Rule("expect weir refuses TEST", weir_refuses, "the gateway must not start; test its stderr"),
    Rule("expect stderr TEST", expect_stderr, "test the gateway's stderr"),
    Rule("expect NAME requests TEST", expect_requests, "requests a mock has got"),
    Rule("expect NAME connections TEST", expect_connections, "connections a mock has accepted"),
    Rule(
        "log line where PATH TEST",
        log_line,
        "an access log line with this field comes; the " "lines below test more fields",
    ),
    Rule("log line", log_last, "the last access log line; the lines below test its fields"),
    Rule("log lines TEST", log_count, "number of access log lines"),
    Rule("memory mark", memory_mark, "remember the resident size"),
    Rule("memory grew below SIZE", memory_grew, "peak since the mark"),
]
