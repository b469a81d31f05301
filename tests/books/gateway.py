"""The processes of the test: the mock, the load, and the gateway in its several lives."""

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import time

from stuck import describe

START_S, STOP_S = 60, 60


class Broken(Exception):
    """The test cannot go on."""


class Tool:
    """A child with its output in a file of the folder."""

    def __init__(self, folder, name, command, stdout=None):
        self.name, self.log = name, folder / f"{name}.err"
        with open(self.log, "ab") as errors:
            self.child = subprocess.Popen([str(word) for word in command], stdin=subprocess.DEVNULL,
                                          stdout=stdout or errors, stderr=errors, text=stdout is not None)

    def end(self, number, seconds=STOP_S):
        """Sends the signal and waits: the exit status."""
        if self.child.poll() is None:
            self.child.send_signal(number)
        try:
            return self.child.wait(seconds)
        except subprocess.TimeoutExpired:
            doing = describe(self.child.pid, [self.log])
            self.child.kill()
            raise Broken(f"{self.name} did not end within {seconds} s; {doing}") from None

    def abandon(self):
        """Leaves nothing running."""
        if self.child.poll() is None:
            self.child.kill()
            self.child.wait()

    def tail(self):
        return self.log.read_text("utf-8", "replace")[-3000:]


class Mock(Tool):
    def __init__(self, folder, binary):
        self.book = folder / "book.txt"
        super().__init__(folder, "mock", [binary, "--book", self.book], stdout=subprocess.PIPE)
        line = self.child.stdout.readline()
        if not line:
            raise Broken(f"the mock does not start: {self.tail()}")
        self.port = json.loads(line)["listening"]


class Load(Tool):
    def __init__(self, folder, binary, port, connections):
        self.results = folder / "results.txt"
        super().__init__(folder, "load", [binary, "--port", port, "--script", folder / "script.txt", "--results",
                                          self.results, "--connections", connections], stdout=subprocess.PIPE)

    def progress(self):
        """Yields how many exchanges are over, until all are."""
        for text in self.child.stdout:
            yield int(text)
        if self.child.wait(STOP_S) != 0:
            raise Broken(f"the load fails: {self.tail()}")


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=STOP_S)
        self.path = str(path)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class Gateway:
    """Weir on one data folder, started and ended again and again. `ends`: (monotonic ns before the
    signal, the same once the process was gone, the signal)."""

    def __init__(self, folder, binary, port):
        self.folder, self.binary, self.port = folder, binary, port
        self.tool, self.ends = None, []

    def launch(self):
        self.tool = Tool(self.folder, "weir", [self.binary, "serve", "--config", self.folder / "weir.yaml"])

    def start(self):
        self.launch()
        end = time.monotonic() + START_S
        while not self.serves():
            if self.tool.child.poll() is not None:
                raise Broken(f"weir ended at its start: {self.tool.tail()}")
            if time.monotonic() > end:
                raise Broken(f"weir does not serve: {self.tool.tail()}")
            time.sleep(0.01)

    def serves(self):
        """Both doors are open: the admin API's socket comes a moment after the clients' port."""
        try:
            with contextlib.closing(UnixConnection(self.folder / "data" / "admin.sock")) as admin:
                admin.connect()
            return self.get("/livez")[0] == 200
        except OSError:
            return False

    def get(self, path, key=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=STOP_S)
        return request(connection, path, {"Authorization": f"Bearer {key}"} if key else {})

    def admin(self, path):
        """JSON of the admin API, by the socket in the data folder."""
        status, body = request(UnixConnection(self.folder / "data" / "admin.sock"), path, {})
        if status != 200:
            raise Broken(f"GET {path}: {status} {body[:300]!r}")
        return json.loads(body)

    def command(self, *args):
        done = subprocess.run([self.binary, *map(str, args)], capture_output=True, text=True, check=False,
                              timeout=5 * STOP_S, env={**os.environ, "WEIR_DATA": str(self.folder / "data")})
        if done.returncode:
            raise Broken(f"weir {' '.join(map(str, args))}: {done.returncode} {done.stderr[-2000:]}")
        return done.stdout

    def _end(self, number):
        sent = time.monotonic_ns()
        status = self.tool.end(number)
        self.ends.append((sent, time.monotonic_ns(), int(number)))
        return status

    def kill(self):
        self._end(signal.SIGKILL)

    def stop(self):
        status = self._end(signal.SIGTERM)
        if status != 0:
            raise Broken(f"weir ended with {status} after SIGTERM: {self.tool.tail()}")


def request(connection, path, headers):
    try:
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()
