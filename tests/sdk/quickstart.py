#!/usr/bin/env python3
"""What `make run` does once it has built: tools/setup/quickstart.sh with a real engine and model.

  quickstart.py --weir build/dev/src/cli/weir
The engine and the model are those of $WEIR_LLAMA_SERVER and $WEIR_MODEL, else those in the cache of
tools/engine. What the script prints is taken at its word: the curl line and the SDK's line are run.
"""

import argparse
import contextlib
import http.client
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "shared"))

import installed  # noqa: E402
from ports import free_port  # noqa: E402

ROOT = HERE.parents[1]
SCRIPT = ROOT / "tools" / "setup" / "quickstart.sh"
ENGINE_TOOLS = ROOT / "tools" / "engine"
KEPT = ("PATH", "HOME", "TMPDIR", "XDG_CACHE_HOME", "WEIR_CACHE", "ASAN_OPTIONS", "UBSAN_OPTIONS",
        "TSAN_OPTIONS", "LSAN_OPTIONS", "LD_LIBRARY_PATH")
SANITIZER = re.compile(r"ERROR: \w+Sanitizer|runtime error:|WARNING: ThreadSanitizer|LeakSanitizer")
HEADING = "An answer from the local model, through Weir:"
LAST_LINE = "It stays up until Ctrl-C."
FIRST_START = 120.0  # seconds for a hundred tokens on a machine that is busy otherwise
SERVES = 2.0         # seconds until a second start answers; no slack: it is a promise
STARTS = 4
OTHERS = 0.15        # share of the machine in other hands from which on times are not judged
PROGRAM = """
from openai import OpenAI
{line}
stream = client.chat.completions.create(
    model="chat", messages=[{{"role": "user", "content": "Name a river."}}], stream=True,
    max_tokens=32)
for chunk in stream:
    print(repr(chunk.choices[0].delta.content or ""), flush=True)
"""


def until(what, condition, seconds, pause=0.01):
    """Waits until condition() is true and returns its value."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        true(time.monotonic() < end, f"not within {seconds:.1f} s: {what}")
        time.sleep(pause)


def true(condition, what):
    if not condition:
        raise AssertionError(what)


# ---------------------------------------------------------------- processes

def stat_of(pid):
    """(state, parent, start time) of a process, or None."""
    try:
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text("utf-8", "replace").rpartition(")")[2]
    except OSError:
        return None
    words = fields.split()
    return words[0], int(words[1]), words[19]


def times_of(pid):
    """Clock ticks of a process and of its ended children: user, system, twice."""
    try:
        text = pathlib.Path(f"/proc/{pid}/stat").read_text("utf-8", "replace")
    except OSError:
        return ()
    return map(int, text.rpartition(")")[2].split()[11:15])


def descendants(pid):
    """[(pid, start time, command)] of all below `pid`."""
    table = {int(n): stat_of(n) for n in os.listdir("/proc") if n.isdigit()}
    found, row = [], [pid]
    while row:
        row = [p for p, stat in table.items() if stat and stat[1] in row]
        found += row
    return [(p, table[p][2], command_of(p)) for p in found]


def machine_seconds():
    """CPU time that all processes of this machine have used, and what was stolen from it."""
    words = pathlib.Path("/proc/stat").read_text("ascii").split("\n", 1)[0].split()[1:9]
    user, nice, system, _, _, irq, softirq, steal = map(int, words)
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def command_of(pid):
    try:
        words = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return ""
    return pathlib.Path(words[0].decode("utf-8", "replace")).name


def living(known):
    """Those of `known` that still run; a number that was given anew is another process."""
    return [(pid, command) for pid, began, command in known
            if (stat_of(pid) or ("Z", 0, ""))[0] not in "ZX" and stat_of(pid)[2] == began]


# ---------------------------------------------------------------- the script

class Quickstart:
    """One run of the script, in a session of its own."""

    def __init__(self, weir, folder, port, slack, **more):
        self.slack = slack
        self.port = port
        self.reads = []
        self.text = ""
        kept = {name: os.environ[name] for name in KEPT if name in os.environ}
        listen, admin = (f"127.0.0.1:{port}", f"127.0.0.1:{free_port()}")
        self.stderr = (folder / f"stderr-{time.monotonic_ns()}.log").open("w+b")
        self.began = time.monotonic()
        self.process = subprocess.Popen(
            ["sh", str(SCRIPT), str(weir)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=self.stderr, start_new_session=True,
            env={**kept, "WEIR_LISTEN": listen, "WEIR_ADMIN": admin, "WEIR_DATA": str(folder / "data"),
                 **engine_variables(), **more})
        self.known = []
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self):
        while data := os.read(self.process.stdout.fileno(), 65536):
            self.reads.append((time.monotonic(), data))
            self.text = b"".join(d for _, d in self.reads).decode("utf-8", "replace")

    def said(self):
        """All of its stderr so far."""
        self.stderr.flush()
        return pathlib.Path(self.stderr.name).read_text("utf-8", "replace")

    def wait_for(self, what, condition, seconds):
        """until(), but an end of the script is told at once."""
        def look():
            value = condition()
            true(value or self.process.poll() is None,
                 f"the script ended with {self.process.poll()}: {self.said()[-1500:]}")
            return value
        return until(what, look, seconds * self.slack)

    def answering(self):
        """Whether it has begun to show the model's answer."""
        return bool(self.text.partition(HEADING)[2].strip())

    def seconds(self):
        """CPU time of the script and of all below it that still run, and of ended children."""
        pids = [self.process.pid, *(pid for pid, _, _ in descendants(self.process.pid))]
        total = sum(sum(times) for times in map(times_of, pids))
        return total / os.sysconf("SC_CLK_TCK")

    def up(self, seconds):
        """Waits until it has said all that it says."""
        self.wait_for("the last line of the script", lambda: LAST_LINE in self.text, seconds)

    def end(self, number, whole_session):
        """Sends a signal to the script, or as a terminal does to all; everything must be gone."""
        self.known = descendants(self.process.pid)
        true(any(command.startswith("llama") for _, _, command in self.known),
             f"no engine among {self.known}")
        send = os.killpg if whole_session else os.kill
        send(self.process.pid, number)
        code = self.process.wait(10 * self.slack)
        left = until_gone(self.known)
        true(not left, f"still there: {left}")
        true(code == 0, f"the script ended with {code}: {self.said()[-1500:]}")
        true(not SANITIZER.search(self.said()), self.said()[-3000:])

    def close(self):
        """Whatever is left is killed, so that no engine outlives a failed test."""
        if self.process.poll() is None:
            self.known = descendants(self.process.pid)
            self.process.kill()
            self.process.wait()
        for pid, _ in living(self.known):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.reader.join(5)
        self.process.stdout.close()
        self.stderr.close()


def until_gone(known):
    """What is left of `known` when the script itself is gone; a moment is granted to be reaped."""
    end = time.monotonic() + 0.2
    while living(known) and time.monotonic() < end:
        time.sleep(0.01)
    return living(known)


def engine_variables():
    """Where the engine is; the cache's one is found by the script itself."""
    return {name: os.environ[name] for name in ("WEIR_LLAMA_SERVER", "WEIR_MODEL")
            if os.environ.get(name)}


def get(port, path):
    """The status of a plain GET; 0 when nobody answers."""
    try:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        connection.request("GET", path)
        return connection.getresponse().status
    except OSError:
        return 0


# ---------------------------------------------------------------- the cases

class Cases:
    """The cases in their order; the first start serves several."""

    def __init__(self, args, folder):
        self.args, self.folder = args, folder
        self.port = free_port()
        self.run = None

    def start(self, port=None, **more):
        return Quickstart(self.args.weir, self.folder, port or self.port, self.args.slack, **more)

    def first_start_shows_a_streamed_answer(self):
        self.run = self.start()
        self.run.up(FIRST_START)
        answer = self.run.text.partition(f"Weir serves at http://127.0.0.1:{self.port}/v1 ")[0]
        true(answer != self.run.text, f"no base URL: {self.run.text!r}")
        words = answer.partition(HEADING)[2].split()
        true(len(words) >= 3, f"no answer: {answer!r}")
        true(len(self.run.reads) >= 5, f"the answer came in few pieces: {self.run.reads}")

    def printed_curl_line_works(self):
        [command] = re.findall(r"^  (curl (?:.*\\\n)*.*)$", self.run.text, re.M)
        done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False,
                              timeout=FIRST_START * self.args.slack)
        true(done.returncode == 0, f"{command}: {done.returncode} {done.stderr}")
        events = [line[6:] for line in done.stdout.splitlines() if line.startswith("data: ")]
        true(events and events[-1] == "[DONE]", f"no [DONE]: {done.stdout[-500:]!r}")
        texts = [json.loads(e)["choices"][0]["delta"].get("content") for e in events[:-1]]
        true(len([t for t in texts if t]) >= 2, f"no text: {done.stdout[:500]!r}")

    def printed_sdk_line_streams(self):
        [line] = re.findall(r"^  OpenAI SDK: +(client = .*)$", self.run.text, re.M)
        python = installed.python_sdk(self.args.venv)
        done = subprocess.run([python, "-c", PROGRAM.format(line=line)], capture_output=True,
                              text=True, check=False, env={}, timeout=FIRST_START * self.args.slack)
        pieces = [p for p in done.stdout.splitlines() if p != "''"]
        true(done.returncode == 0 and len(pieces) >= 3, f"{done.stdout!r} {done.stderr}")

    def printed_terminal_line_answers(self):
        [command] = re.findall(r"^  Terminal: +(.*)$", self.run.text, re.M)
        done = subprocess.run(["sh", "-c", f"{command} --max-tokens 32"], input="Name a river.\n", capture_output=True,
                              text=True, check=False, timeout=FIRST_START * self.args.slack)
        true(done.returncode == 0 and done.stdout.strip(), f"{done.stdout!r} {done.stderr}")

    def taken_port_is_said(self):
        data = self.folder / "other-data"
        second = self.start(WEIR_DATA=str(data))
        try:
            code = second.process.wait(30 * self.args.slack)
            true(code not in (0, None), f"ended with {code}")
            true(f"127.0.0.1:{self.port}" in second.said(), second.said())
            true("WEIR_LISTEN" in second.said(), f"no way out: {second.said()}")
            true(LAST_LINE not in second.text, "it claims to serve")
            true(get(self.port, "/readyz") == 200, "the first one suffered")
        finally:
            second.close()

    def sigterm_ends_everything(self):
        self.run.end(signal.SIGTERM, whole_session=False)
        true(get(self.port, "/livez") == 0, "somebody still answers")

    def second_start_serves_at_once(self):
        """Ready, and the first words of an answer. A model needs the whole machine for them: a start
        during which others used it too proves nothing, and is repeated a few times."""
        for number in range(STARTS):
            busy = machine_seconds()
            self.run = self.start()
            self.run.wait_for("/readyz", lambda: get(self.port, "/readyz") == 200, SERVES)
            ready = time.monotonic() - self.run.began
            self.run.wait_for("the first words", self.run.answering, FIRST_START)
            took = time.monotonic() - self.run.began
            others = machine_seconds() - busy - self.run.seconds()
            print(f"       ready after {ready:.2f} s, first words after {took:.2f} s; others used "
                  f"{others / took / os.cpu_count():.0%} of the machine meanwhile")
            if took < SERVES:
                break
            true(others > OTHERS * took * os.cpu_count(), f"first words after {took:.2f} s")
            if number + 1 == STARTS:
                print("       the machine is too busy to judge the time")
                break
            self.run.end(signal.SIGTERM, whole_session=False)
        self.run.up(FIRST_START)

    def ctrl_c_ends_everything(self):
        self.run.end(signal.SIGINT, whole_session=True)

    def stop_during_the_answer_ends_everything(self):
        run = self.start()
        try:
            run.wait_for("the first words", run.answering, FIRST_START)
            run.end(signal.SIGTERM, whole_session=False)
        finally:
            run.close()

    def engine_that_does_not_run_is_said(self):
        run = self.start(WEIR_LLAMA_SERVER="/nonexistent/llama-server")
        try:
            code = run.process.wait(5 * self.args.slack)
            true(code not in (0, None), f"ended with {code}")
            true("/nonexistent/llama-server" in run.said(), run.said())
        finally:
            run.close()


CASES = (
    Cases.first_start_shows_a_streamed_answer,
    Cases.printed_curl_line_works,
    Cases.printed_sdk_line_streams,
    Cases.printed_terminal_line_answers,
    Cases.taken_port_is_said,
    Cases.sigterm_ends_everything,
    Cases.second_start_serves_at_once,
    Cases.ctrl_c_ends_everything,
    Cases.stop_during_the_answer_ends_everything,
    Cases.engine_that_does_not_run_is_said,
)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weir", type=pathlib.Path, required=True, help="the gateway's binary")
    parser.add_argument("--venv", type=pathlib.Path, metavar="DIR",
                        help="a virtual environment that has the Python SDK already")
    parser.add_argument("--slack", type=float, default=1.0, metavar="F",
                        help="multiply upper time limits, for slow builds")
    args = parser.parse_args()
    args.weir = args.weir.absolute()
    if not os.access(args.weir, os.X_OK):
        parser.error("--weir must name an executable")
    return args


def missing():
    """What the test must not fetch or build by itself, as a text; empty when all is there."""
    tools = ["get-engine.sh"] if os.environ.get("WEIR_MODEL") else ["get-engine.sh", "get-model.sh"]
    for tool in tools:
        done = subprocess.run([ENGINE_TOOLS / tool, "--find"], capture_output=True, text=True,
                              check=False)
        if done.returncode != 0:
            return f"{done.stderr.strip()}; run tools/engine/{tool}"
    return ""


def play(cases):
    """Runs all cases and prints what came of each; returns how many failed."""
    failed = 0
    for case in CASES:
        started, error = time.monotonic(), ""
        try:
            case(cases)
        except Exception:  # noqa: BLE001 - whatever a case raises is its failure
            error = traceback.format_exc()
        name = case.__name__.replace("_", "-")
        print(f"{'FAIL' if error else 'ok  '} {time.monotonic() - started:6.2f} s  {name}", flush=True)
        for line in error.splitlines()[-12:]:
            print(f"       {line}", flush=True)
        failed += bool(error)
    return failed


def main():
    args = arguments()
    try:
        lacking = missing()
        installed.python_sdk(args.venv)
    except installed.Missing as gap:
        lacking = str(gap)
    if lacking:
        print(f"FAIL {lacking}")
        return 2
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="weir-quickstart-") as folder:
        cases = Cases(args, pathlib.Path(folder))
        try:
            failed = play(cases)
        finally:
            if cases.run:
                cases.run.close()
    print(f"{len(CASES) - failed} passed, {failed} failed, {time.monotonic() - began:.1f} s")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
