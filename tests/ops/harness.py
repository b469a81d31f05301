"""What the operations tests share: running Weir, scripted upstreams, HTTP by hand, certificates, and a
look at processes."""

import http.client
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import unittest

from ports import free_port  # noqa: F401 (for the cases too)
from stuck import describe

HERE = pathlib.Path(__file__).resolve().parent
ENGINE_STUB = HERE / "engine_stub.py"
WEIR = ""        # set by run.py
WEIR_PLAIN = ""  # a binary without sanitizers, for figures of memory; may be empty
SLACK = 1.0      # upper limits of time are multiplied with it
KEPT_VARIABLES = ("PATH", "ASAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS", "LSAN_OPTIONS", "LD_LIBRARY_PATH")
SANITIZER = re.compile(r"ERROR: \w+Sanitizer|runtime error:|WARNING: ThreadSanitizer|LeakSanitizer")
CHAT = "/v1/chat/completions"


def late(seconds):
    return seconds * SLACK


def until(what, condition, seconds=10.0):
    """Waits until condition() is true and returns its value."""
    end = time.monotonic() + late(seconds)
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"not within {late(seconds):.0f} s: {what}")
        time.sleep(0.02)


# ---------------------------------------------------------------- HTTP as a client

class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    def json(self):
        return json.loads(self.body)

    def __repr__(self):
        return f"{self.status} {self.headers} {self.body[:300]!r}"


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path, timeout):
        super().__init__("localhost", timeout=timeout)
        self.path = str(path)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


def connect(where, tls=None, timeout=10.0):
    """`where`: a port of 127.0.0.1, (host, port), or the path of a socket."""
    seconds = late(timeout)
    if isinstance(where, (str, pathlib.Path)):
        return UnixConnection(where, seconds)
    host, port = where if isinstance(where, tuple) else ("127.0.0.1", where)
    if tls is not None:
        return http.client.HTTPSConnection(host, port, timeout=seconds, context=tls)
    return http.client.HTTPConnection(host, port, timeout=seconds)


def ask(where, method="GET", path="/livez", headers=(), body=None, tls=None, keep=None):
    """One request. `keep`: a connection to use and to leave open."""
    conn = keep or connect(where, tls)
    data = json.dumps(body).encode() if isinstance(body, (dict, list)) else body
    fields = dict(headers)
    if data is not None:
        fields.setdefault("Content-Type", "application/json")
    try:
        conn.request(method, path, data, fields)
        answer = conn.getresponse()
        return Answer(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
    finally:
        if keep is None:
            conn.close()


def chat_body(model="m", **more):
    return {"model": model, "messages": [{"role": "user", "content": "hello"}], **more}


def chat(where, model="m", headers=(), tls=None, keep=None, **more):
    return ask(where, "POST", CHAT, headers, chat_body(model, **more), tls, keep)


def read_all(sock, seconds=10.0):
    """What comes until the peer ends; a reset is an end too."""
    sock.settimeout(late(seconds))
    data = b""
    try:
        while chunk := sock.recv(65536):
            data += chunk
    except ConnectionError:
        pass
    return data


def status_of(data):
    found = re.match(rb"HTTP/1\.1 (\d{3}) ", data)
    return int(found[1]) if found else None


class Stream:
    """A streamed answer in the making. `open()` returns once its first event has come."""

    def __init__(self, where, tls=None):
        self.conn = connect(where, tls, 30)
        self.text = ""

    def open(self):
        self.conn.request("POST", CHAT, json.dumps(chat_body(stream=True)), {"Content-Type": "application/json"})
        self.answer = self.conn.getresponse()
        self.text = ""
        while "\n\n" not in self.text and (data := self.answer.read1(65536)):
            self.text += data.decode()
        return self

    def rest(self):
        """All events, once the answer has ended."""
        try:
            while data := self.answer.read1(65536):
                self.text += data.decode()
        except (http.client.HTTPException, ConnectionError):
            pass
        self.conn.close()
        return self.text


# ---------------------------------------------------------------- scripted upstreams

class Request:
    def __init__(self, head, body, sock, peer):
        lines = head.decode("latin-1").split("\r\n")
        self.method, self.path, _ = lines[0].split(" ", 2)
        self.headers, self.lines = {}, lines[1:]
        for line in lines[1:]:
            name, _, value = line.partition(":")
            self.headers[name.strip().lower()] = value.strip()
        self.body, self.sock, self.peer = body, sock, peer

    def json(self):
        return json.loads(self.body)


def read_request(sock, buffered=b"", peer=None):
    """(request or None, what was read beyond it)."""
    while b"\r\n\r\n" not in buffered:
        data = sock.recv(65536)
        if not data:
            return None, b""
        buffered += data
    head, buffered = buffered.split(b"\r\n\r\n", 1)
    request = Request(head, b"", sock, peer)
    length = int(request.headers.get("content-length", 0))
    while len(buffered) < length:
        data = sock.recv(65536)
        if not data:
            return None, b""
        buffered += data
    request.body = buffered[:length]
    return request, buffered[length:]


def requests_of(sock, peer=None):
    """What comes on a connection, one after the other, until its end."""
    buffered = b""
    while True:
        request, buffered = read_request(sock, buffered, peer)
        if request is None:
            return
        yield request


def send_json(sock, value, status="200 OK"):
    body = json.dumps(value).encode()
    sock.sendall(b"HTTP/1.1 %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"
                 % (status.encode(), len(body), body))


def completion(model="up", text="hi"):
    return {"id": "c1", "object": "chat.completion", "created": 1, "model": model,
            "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}}


def chunk(delta=None, finish=None):
    return b"data: " + json.dumps(
        {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "up",
         "choices": [{"index": 0, "delta": delta or {}, "finish_reason": finish}]}).encode() + b"\n\n"


class Server:
    """Listens on this machine and runs `serve(sock, peer)` in a thread for each connection."""

    def __init__(self, serve, tls=None, port=0, host="127.0.0.1"):
        self.serve_one, self.tls, self.failures, self.open = serve, tls, [], set()
        self.listener = socket.create_server((host, port), backlog=512)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                sock, peer = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._run, args=(sock, peer), daemon=True).start()

    def _run(self, sock, peer):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            if self.tls:
                sock = self.tls.wrap_socket(sock, server_side=True)
            self.open.add(sock)
            self.serve_one(sock, peer)
        except (OSError, ValueError):
            pass  # the other end has gone, or the handshake failed: that is what some tests want
        finally:
            self.open.discard(sock)
            sock.close()

    def close(self):
        self.listener.close()
        for sock in list(self.open):
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


class Upstream(Server):
    """A provider: answers chats with "hi", streams as three pieces. While `hold` is set, a stream stops
    after its first piece until `go` is set."""

    def __init__(self, tls=None):
        self.requests, self.hold, self.go, self.streams = [], False, threading.Event(), 0
        super().__init__(self._serve, tls)

    @property
    def url(self):
        return f"http{'s' if self.tls else ''}://127.0.0.1:{self.port}/v1"

    def _serve(self, sock, peer):
        for request in requests_of(sock, peer):
            self.requests.append(request)
            body = request.json() if request.body else {}
            if body.get("stream"):
                self._stream(sock)
            else:
                send_json(sock, completion(body.get("model", "up")))

    def _stream(self, sock):
        def piece(data):
            sock.sendall(b"%x\r\n%s\r\n" % (len(data), data))

        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        piece(chunk({"role": "assistant", "content": "one"}))
        self.streams += 1
        if self.hold:
            self.go.wait(60)
        piece(chunk({"content": "two"}))
        piece(chunk(finish="stop") + b"data: [DONE]\n\n")
        sock.sendall(b"0\r\n\r\n")


# ---------------------------------------------------------------- certificates

def openssl(*args):
    done = subprocess.run(["openssl", *map(str, args)], capture_output=True, text=True, check=False)
    if done.returncode:
        raise AssertionError(f"openssl {args[0]}: {done.stderr}")


class Authority:
    """A certificate authority in a folder."""

    def __init__(self, folder, name="ca"):
        self.folder, self.name = pathlib.Path(folder), name
        self.ca, self.ca_key = self.folder / f"{name}.pem", self.folder / f"{name}.key"
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout",
                self.ca_key, "-out", self.ca, "-days", 30, "-subj", f"/CN={name}", "-addext",
                "basicConstraints=critical,CA:TRUE")

    def issue(self, name, names="DNS:localhost,IP:127.0.0.1"):
        """(certificate, key) with these alternative names; the subject is `name`."""
        cert, key = self.folder / f"{name}.pem", self.folder / f"{name}.key"
        request, extensions = self.folder / f"{name}.csr", self.folder / f"{name}.ext"
        extensions.write_text(f"subjectAltName={names}\n", "utf-8")
        openssl("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj",
                f"/CN={name}", "-keyout", key, "-out", request)
        openssl("x509", "-req", "-in", request, "-CA", self.ca, "-CAkey", self.ca_key, "-CAcreateserial", "-days", 30,
                "-extfile", extensions, "-out", cert)
        return cert, key

    def client(self):
        """A context that trusts this authority only."""
        return ssl.create_default_context(cafile=str(self.ca))

    def server(self, name, names="DNS:localhost,IP:127.0.0.1", clients=None):
        """A server's context; `clients`: the authority that its clients need a certificate from."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*self.issue(name, names))
        if clients is not None:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(clients.ca)
        return context


# ---------------------------------------------------------------- the gateway

class Weir:
    """One process and its folder. `config` may hold {port}, {admin}, {metrics} and {dir}; other braces
    stay. Standard output and error go to files unless given."""

    def __init__(self, config, args=(), env=None, wrap=(), binary=None, stdout=None, cwd=None, data=None,
                 preexec=None, fds=(), folder=None):
        self.folder = pathlib.Path(folder or tempfile.mkdtemp(prefix="weir-ops-"))
        self.owns_folder = folder is None
        self.port, self.admin, self.metrics_port = free_port(), free_port(), free_port()
        self.data = pathlib.Path(data or self.folder / "data")
        self.config = self.folder / "weir.yaml"
        self.binary, self.wrap, self.args = str(binary or WEIR), list(wrap), list(args)
        self.env, self.cwd, self.preexec, self.fds = dict(env or {}), cwd, preexec, fds
        self.stdout, self.process, self.ended = stdout, None, None
        self.write(config)

    def fill(self, text):
        for name, value in (("port", self.port), ("admin", self.admin), ("metrics", self.metrics_port),
                            ("dir", self.folder)):
            text = text.replace("{" + name + "}", str(value))
        return text

    def write(self, config):
        self.config.write_text(self.fill(config), "utf-8")

    def environment(self):
        kept = {k: os.environ[k] for k in KEPT_VARIABLES if k in os.environ}
        return {**kept, "HOME": str(self.folder), "TMPDIR": str(self.folder), **self.env}

    def launch(self):
        out = self.stdout if self.stdout is not None else open(self.folder / "stdout", "ab")
        with open(self.folder / "stderr", "ab") as err:
            self.process = subprocess.Popen(
                [*self.wrap, self.binary, "serve", "--config", str(self.config), "--data", str(self.data), *self.args],
                stdin=subprocess.DEVNULL, stdout=out, stderr=err, env=self.environment(), cwd=self.cwd or self.folder,
                preexec_fn=self.preexec, pass_fds=self.fds)
        if self.stdout is None:
            out.close()
        return self

    def start(self):
        self.launch()
        until("weir serves", self.serves, 20)
        return self

    def serves(self):
        if self.process.poll() is not None:
            raise AssertionError(f"weir ended with {self.process.returncode}: {self.stderr()}")
        return any(event["what"] == "serving" for event in self.events())

    @property
    def pid(self):
        return self.process.pid

    def signal(self, number):
        self.process.send_signal(number)

    def stop(self, seconds=15.0):
        """SIGTERM; returns the exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.wait(seconds)

    def wait(self, seconds=15.0):
        try:
            self.ended = self.process.wait(late(seconds))
        except subprocess.TimeoutExpired:
            doing = describe(self.pid, [self.folder / "stderr", self.folder / "stdout"])
            raise AssertionError(f"weir does not end within {late(seconds):.0f} s; {doing}") from None
        return self.ended

    def kill(self):
        self.process.kill()
        self.ended = self.process.wait(late(10))

    def __enter__(self):
        return self.start() if self.process is None else self

    def __exit__(self, kind, *_):
        problem = None
        if self.process is not None and self.process.poll() is None:
            try:
                self.stop()
                if self.ended != 0:
                    problem = f"weir ended with {self.ended} after SIGTERM"
            except AssertionError as e:
                problem = str(e)
                self.kill()
        elif self.process is not None and self.ended is None:
            problem = f"weir ended by itself with {self.process.returncode}"
        text = self.stderr()
        if SANITIZER.search(text):
            problem = "a sanitizer reports"
        if self.owns_folder:
            shutil.rmtree(self.folder, ignore_errors=True)
        if problem and kind is None:
            raise AssertionError(f"{problem}\n{text[-6000:]}")
        if problem or kind is not None:
            sys.stderr.write(f"{problem or ''}\n{text[-3000:]}\n")

    # what it says
    def text(self, name):
        path = self.folder / name
        return path.read_text("utf-8", "replace") if path.exists() else ""

    def stderr(self):
        return self.text("stderr")

    def events(self):
        """The events on standard error."""
        return json_lines(self.stderr())

    def said(self, what, part=""):
        return [e for e in self.events() if e["what"] == what and part in e["text"]]

    def access(self, name="stdout"):
        return json_lines(self.text(name))

    def last_access(self, n, name="stdout"):
        """The access lines, once there are n of them."""
        return until(f"{n} access lines", lambda: (lambda a: a if len(a) >= n else None)(self.access(name)))

    def metrics(self):
        """{'name{labels}': value} of a scrape over the admin socket."""
        text = ask(self.data / "admin.sock", "GET", "/metrics").body.decode()
        rows = (line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
        return {name: float(value) for name, value in rows}

    def metric(self, name):
        return self.metrics().get(name, 0.0)

    def command(self, *args, timeout=20.0, **env):
        """Runs `weir ARGS` beside it: (exit status, stdout, stderr)."""
        done = subprocess.run([self.binary, *map(str, args)], capture_output=True, text=True, check=False,
                              timeout=late(timeout), env={**self.environment(), **env}, cwd=self.folder)
        return done.returncode, done.stdout, done.stderr

    def reload(self):
        return self.command("reload", "--data", self.data)


def json_lines(text):
    """The JSON objects among whole lines."""
    values = []
    for line in text.split("\n")[:-1]:
        try:
            values.append(json.loads(line))
        except ValueError:
            continue
    return [v for v in values if isinstance(v, dict)]


def basic(upstream, more=""):
    """A configuration with one upstream and the model `m`."""
    return f"""listen: 127.0.0.1:{{port}}
providers:
  up: {{type: vllm, url: "{upstream.url}", models: [m]}}
{more}"""


# ---------------------------------------------------------------- processes

def children(pid):
    pids = []
    try:
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/children", encoding="ascii") as f:
                pids += [int(word) for word in f.read().split()]
    except OSError:
        pass
    return pids


def state(pid):
    """The letter of a process, or None."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as f:
            return f.read().rpartition(")")[2].split()[0]
    except OSError:
        return None


def alive(pid):
    return state(pid) not in (None, "Z", "X")


def threads(pid, name):
    """Thread ids of the threads called so."""
    found = []
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/comm", encoding="utf-8") as f:
            if f.read().strip().startswith(name):
                found.append(int(task))
    return sorted(found)


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat", encoding="utf-8") as f:
        fields = f.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def permitted(*command):
    """Can this be run here?"""
    try:
        return subprocess.run(command, capture_output=True, check=False, timeout=20).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


class Case(unittest.TestCase):
    """A test with an upstream of its own where it asks for one."""

    def upstream(self, tls=None):
        up = Upstream(tls)
        self.addCleanup(up.close)
        return up

    def folder(self):
        path = tempfile.mkdtemp(prefix="weir-ops-")
        self.addCleanup(shutil.rmtree, path, True)
        return pathlib.Path(path)

    def authority(self, name="ca"):
        return Authority(self.folder(), name)

    def good(self, answer):
        self.assertEqual(answer.status, 200, answer)
        return answer

    def error_code(self, answer, status, code):
        self.assertEqual(answer.status, status, answer)
        self.assertEqual(answer.json()["error"]["code"], code, answer)
