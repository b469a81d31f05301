"""The driver of the supervisor as a Python object, and a look at the processes of the machine."""

import http.client
import json
import os
import queue
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.append(os.path.join(os.path.dirname(HERE), "shared"))

from stuck import describe  # noqa: E402
FAKE = os.path.join(HERE, "fake_engine.py")


class Skip(Exception):
    """The test cannot be run here; the text says why."""


def until(what, condition, seconds):
    """Waits until condition() is true and returns its value."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"not within {seconds} s: {what}")
        time.sleep(0.01)


def stat_of(pid):
    """(state, process group) of a process, or None."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as f:
            fields = f.read().rpartition(")")[2].split()
    except OSError:
        return None
    return fields[0], int(fields[2])


def alive(pid):
    found = stat_of(pid)
    return found is not None and found[0] not in "ZX"


def group(pgid):
    """The living processes of a process group."""
    pids = (int(name) for name in os.listdir("/proc") if name.isdigit())
    return [pid for pid in pids if (stat_of(pid) or ("X", 0))[1] == pgid and alive(pid)]


def child_pids(pid):
    with open(f"/proc/{pid}/task/{pid}/children", encoding="utf-8") as f:
        return [int(word) for word in f.read().split()]


def lines_of(path):
    try:
        with open(path, encoding="utf-8") as f:
            return f.read().splitlines()
    except FileNotFoundError:
        return []


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path, timeout=30):
        super().__init__("localhost", timeout=timeout)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


def ask(path, method, target, body=None):
    """(status, parsed or raw body) of one request over a Unix socket."""
    conn = UnixConnection(path)
    conn.request(method, target, json.dumps(body) if body is not None else None,
                 {"Content-Type": "application/json"})
    answer = conn.getresponse()
    data = answer.read()
    conn.close()
    try:
        return answer.status, json.loads(data)
    except ValueError:
        return answer.status, data


class Driver:
    """One process with a supervisor. Use as a context manager: it must end without complaint."""

    def __init__(self, program, env=None):
        self.folder = tempfile.mkdtemp(prefix="weir-engine-")
        self.run = os.path.join(self.folder, "run")
        os.mkdir(self.run)
        self.events, self.noise, self.answers = [], [], queue.Queue()
        self.process = subprocess.Popen([program, self.run], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, text=True, env=dict(os.environ, **(env or {})))
        self.threads = [threading.Thread(target=self.read_answers), threading.Thread(target=self.read_events)]
        for thread in self.threads:
            thread.start()

    def read_answers(self):
        for line in self.process.stdout:
            self.answers.put(json.loads(line))

    def read_events(self):
        for line in self.process.stderr:
            try:
                self.events.append(json.loads(line))
            except ValueError:
                self.noise.append(line.rstrip())

    def send(self, **order):
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()

    def answer(self, key, seconds=20):
        try:
            got = self.answers.get(timeout=seconds)
        except queue.Empty:
            raise AssertionError(f"no {key} within {seconds} s; driver: {self.process.poll()} {self.noise}") from None
        assert key in got, f"expected an answer with {key}, got {got}"
        return got[key]

    def ask(self, do, **order):
        self.send(do=do, **order)
        return self.answer(do)

    def apply(self, *engines):
        assert self.ask("apply", engines=list(engines)) == "ok"

    def engine(self, name="e"):
        return next((e for e in self.ask("dump") if e["name"] == name), None)

    def wait(self, state, name="e", seconds=20):
        """Waits for a state; returns the engine's row."""
        seen = {}

        def check():
            seen.update(self.engine(name) or {"state": "none"})
            return seen if seen["state"] == state else None

        try:
            return until(f"{name} is {state}", check, seconds)
        except AssertionError as e:
            raise AssertionError(f"{e}; it is {seen}; log: {self.texts()}") from None

    def texts(self):
        return [f"{e['what']} {e['text']}" for e in self.events]

    def socket(self, name="e"):
        return os.path.join(self.run, name + ".sock")

    def path(self, name):
        return os.path.join(self.folder, name)

    def stop(self, seconds=20):
        """Orders a stop; returns how long it took."""
        start = time.monotonic()
        self.send(do="stop")
        self.answer("stopped", seconds)
        self.process.wait(seconds)
        return time.monotonic() - start

    def kill(self):
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait(10)

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        stuck = ""
        try:
            self.process.stdin.close()
        except BrokenPipeError:
            pass
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            stuck = describe(self.process.pid)
            self.kill()
        for thread in self.threads:
            thread.join(10)
        self.process.stdout.close()
        self.process.stderr.close()
        shutil.rmtree(self.folder, ignore_errors=True)
        if kind is None:
            assert not stuck, f"the driver does not end within 20 s; {stuck}"
            assert self.process.returncode in (0, -signal.SIGKILL), \
                f"the driver ended with {self.process.returncode}: {self.noise}"
            assert not self.noise, f"the driver or a shim said: {self.noise}"


def fake(*args, name="e", **more):
    """Configuration of an engine that is fake_engine.py."""
    return dict({"name": name, "model": "model.gguf", "binary": FAKE, "args": list(args)}, **more)
