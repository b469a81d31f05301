"""What the tests of the commands share: running the binary, scripted HTTP servers, certificates, a
terminal to type into, and model files."""
import atexit
import fcntl
import functools
import os
import pty
import re
import select
import shutil
import signal
import socket
import ssl
import struct
import subprocess
import tempfile
import termios
import threading
import time

from ports import free_port  # noqa: F401 (for the cases too)

WEIR = "weir"  # set by run.py
TIMEOUT = 60
KEPT_VARIABLES = ("PATH", "ASAN_OPTIONS", "UBSAN_OPTIONS", "LSAN_OPTIONS", "LD_LIBRARY_PATH")


def environment(home, extra):
    """Only what the test names: no proxy, no key and no terminal of whoever runs the tests."""
    env = {k: os.environ[k] for k in KEPT_VARIABLES if k in os.environ}
    env.update(HOME=str(home), TERM="xterm")
    env.update({k: str(v) for k, v in extra.items()})
    return env


def complain_about_sanitizers(text):
    if "Sanitizer" in text or "runtime error:" in text:
        raise AssertionError("a sanitizer reports:\n" + text[-6000:])


class Result:
    def __init__(self, code, out, err):
        self.code, self.raw, self.err = code, out, err
        self.out = out.decode("utf-8", "replace")

    def __repr__(self):
        return f"exit status {self.code}\n--- stdout\n{self.out}\n--- stderr\n{self.err}"


def weir(*args, home, stdin=b"", timeout=TIMEOUT, stdout=None, **env):
    """Runs the binary to its end, without a terminal, in the folder `home`. `stdout`: a file to
    write to."""
    with open(stdout or os.devnull, "wb") as out:
        done = subprocess.run([WEIR, *map(str, args)], input=stdin, check=False, timeout=timeout,
                              stdout=out if stdout else subprocess.PIPE, stderr=subprocess.PIPE,
                              env=environment(home, env), cwd=home)
    result = Result(done.returncode, done.stdout or b"", done.stderr.decode("utf-8", "replace"))
    complain_about_sanitizers(result.err)
    return result


def start(*args, home, **env):
    """Starts the binary; the caller waits for it. SIGINT counts, also in a background job's tests."""
    return subprocess.Popen([WEIR, *map(str, args)], stdin=subprocess.DEVNULL,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                            env=environment(home, env),
                            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))


def finish(process, timeout=TIMEOUT):
    out, err = process.communicate(timeout=timeout)
    result = Result(process.returncode, out, err.decode("utf-8", "replace"))
    complain_about_sanitizers(result.err)
    return result


def wait_until(what, seconds=10.0):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if what():
            return True
        time.sleep(0.02)
    return False


# ---------------------------------------------------------------- certificates

class Authority:
    """A certificate authority, and server contexts of it."""

    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix="weir-cli-ca-")
        atexit.register(shutil.rmtree, self.folder, ignore_errors=True)
        self._issued = 0
        self.ca = f"{self.folder}/ca.pem"
        self._openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
                      "-nodes", "-days", "30", "-subj", "/CN=Test CA", "-addext",
                      "basicConstraints=critical,CA:TRUE", "-keyout", self._path("ca.key"), "-out",
                      self.ca)

    def _path(self, name):
        return f"{self.folder}/{name}"

    @staticmethod
    def _openssl(*args):
        done = subprocess.run(["openssl", *args], capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"openssl {args[0]}: {done.stderr}")

    def context(self, names="DNS:localhost,IP:127.0.0.1"):
        """A server's context with a new certificate for these names."""
        self._issued += 1
        key, request, cert, extensions = (self._path(f"{self._issued}.{end}")
                                          for end in ("key", "csr", "pem", "ext"))
        with open(extensions, "w", encoding="utf-8") as f:
            f.write(f"subjectAltName={names}\n")
        self._openssl("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
                      "-nodes", "-subj", "/CN=server", "-keyout", key, "-out", request)
        self._openssl("x509", "-req", "-in", request, "-CA", self.ca, "-CAkey",
                      self._path("ca.key"), "-CAcreateserial", "-days", "30", "-extfile",
                      extensions, "-out", cert)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(cert, key)
        return context


AUTHORITY_LOCK = threading.Lock()


@functools.lru_cache(maxsize=None)
def _authority():
    made = Authority()
    return made, made.context()


def authority():
    """The test run's authority, and a context for localhost."""
    with AUTHORITY_LOCK:
        return _authority()


# ---------------------------------------------------------------- scripted servers

class Request:
    def __init__(self, head, body):
        lines = head.decode("latin-1").split("\r\n")
        self.method, self.target, _ = lines[0].split(" ", 2)
        self.path = self.target.split("?")[0]
        self.headers = {}
        for line in lines[1:]:
            name, _, value = line.partition(":")
            self.headers[name.strip().lower()] = value.strip()
        self.body = body


class Connection:
    """One accepted socket, for the script of a test to write to."""

    def __init__(self, sock):
        self.sock = sock
        self.buffered = b""

    def _more(self):
        data = self.sock.recv(65536)
        self.buffered += data
        return bool(data)

    def read_request(self):
        while b"\r\n\r\n" not in self.buffered:
            if not self._more():
                return None
        head, self.buffered = self.buffered.split(b"\r\n\r\n", 1)
        request = Request(head, b"")
        length = int(request.headers.get("content-length", 0))
        while len(self.buffered) < length:
            if not self._more():
                return None
        request.body, self.buffered = self.buffered[:length], self.buffered[length:]
        return request

    def send(self, data):
        self.sock.sendall(data)

    def answer(self, status, body=b"", length=None, **headers):
        """A head, and as much of a body as is given."""
        lines = [f"HTTP/1.1 {status} x"]
        if length != "none":
            lines.append(f"Content-Length: {len(body) if length is None else length}")
        lines += [f"{k.replace('_', '-')}: {v}" for k, v in headers.items()]
        self.send("\r\n".join(lines).encode() + b"\r\n\r\n" + body)

    def cut(self, reset=False):
        """Ends the connection here and now."""
        if reset:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        raise ConnectionAbortedError

    def client_has_left(self, seconds=5.0):
        self.sock.settimeout(seconds)
        try:
            return self.sock.recv(1) == b""
        except ConnectionError:
            return True
        except OSError:
            return False


class Server:
    """Listens on 127.0.0.1; `script(connection, request)` answers each request in a thread of the
    connection. Requests are kept in `requests`."""

    def __init__(self, script, tls=None):
        self.script, self.tls = script, tls
        self.requests, self.failures = [], []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.url = f"http{'s' if tls else ''}://{'localhost' if tls else '127.0.0.1'}:{self.port}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            if self.tls:
                sock = self.tls.wrap_socket(sock, server_side=True)
            connection = Connection(sock)
            while (request := connection.read_request()) is not None:
                self.requests.append(request)
                self.script(connection, request)
        except OSError:
            pass  # cut by the script, or by the client
        except Exception as error:  # pylint: disable=broad-except
            self.failures.append(error)
        finally:
            sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.listener.close()
        if self.failures:
            raise self.failures[0]


DEAD = []


def dead_port():
    """A port that nothing listens on, and that nobody else can have."""
    DEAD.append(socket.socket())
    DEAD[-1].bind(("127.0.0.1", 0))
    return DEAD[-1].getsockname()[1]


# ---------------------------------------------------------------- models

def _text(s):
    return struct.pack("<Q", len(s)) + s


def gguf(data_bytes=65536, salt=b"x"):
    """A GGUF file with one key of each size and two F32 tensors, filled with something that is
    different at each place."""
    values = data_bytes // 4 // 2 // 8 * 8
    head = b"GGUF" + struct.pack("<IQQ", 3, 2, 3)
    head += _text(b"general.architecture") + struct.pack("<I", 8) + _text(b"llama")
    head += _text(b"general.alignment") + struct.pack("<II", 4, 64)
    head += _text(b"tokenizer.ggml.tokens") + struct.pack("<IIQ", 9, 8, 3)
    head += _text(b"<s>") + _text(b"</s>") + _text(salt)
    for i, name in enumerate((b"a.weight", b"b.weight")):
        head += _text(name) + struct.pack("<IQQIQ", 2, 8, values // 8, 0, i * values * 4)
    head += b"\0" * (-len(head) % 64)
    return head + b"".join(struct.pack("<I", i * 2654435761 % 2**32) for i in range(values * 2))


# ---------------------------------------------------------------- terminals

ESCAPES = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


class Terminal:
    """The binary with a terminal of its own, as if somebody sat before it."""

    def __init__(self, *args, home, **env):
        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        self.process = subprocess.Popen(
            [WEIR, *map(str, args)], stdin=slave, stdout=slave, stderr=slave,
            start_new_session=True, env=environment(home, env),
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))
        os.close(slave)
        self.seen = ""  # everything that was shown, escapes included
        self.at = 0     # what `expect` has looked at
        self._half = b""

    def _read(self, seconds):
        if not select.select([self.master], [], [], seconds)[0]:
            return False
        try:
            data = self._half + os.read(self.master, 65536)
        except OSError:
            return False
        text = data.decode("utf-8", "ignore")
        self._half = data[len(text.encode()):] if data.startswith(text.encode()) else b""
        self.seen += text
        return bool(data)

    def expect(self, pattern, seconds=20.0):
        """Waits until the output, from where the last call ended, has `pattern`."""
        end = time.monotonic() + seconds
        while True:
            found = re.compile(pattern).search(self.seen, self.at)
            if found:
                self.at = found.end()
                return found
            if time.monotonic() > end or not self._read(0.1) and self.process.poll() is not None:
                while self._read(0.1):
                    pass
                found = re.compile(pattern).search(self.seen, self.at)
                if found:
                    self.at = found.end()
                    return found
                raise AssertionError(f"no {pattern!r} in {self.seen[self.at:]!r}")

    def send(self, text):
        os.write(self.master, text.encode())

    def plain(self):
        return ESCAPES.sub("", self.seen).replace("\r\n", "\n")

    def wait(self, seconds=20.0):
        """The exit status, once all output has been read."""
        end = time.monotonic() + seconds
        while self.process.poll() is None and time.monotonic() < end:
            self._read(0.1)
        while self._read(0.1):
            pass
        if self.process.poll() is None:
            raise AssertionError(f"it does not end; shown: {self.seen[-500:]!r}")
        complain_about_sanitizers(self.seen)
        return self.process.returncode

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
        os.close(self.master)
