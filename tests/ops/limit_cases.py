"""Ceilings: connections, descriptors, memory of bodies, slow clients; metrics; and a worker that hangs."""

import contextlib
import ctypes
import json
import os
import platform
import re
import resource
import shutil
import signal
import socket
import struct
import subprocess
import threading
import time
import unittest

from harness import (CHAT, Case, Stream, Weir, ask, basic, chat, chat_body, connect, cpu_seconds, late, permitted,
                     read_all, status_of, threads, until)

LIVE = b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"
SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"


def proxied(address):
    """A PROXY v2 header that names this client."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    ends = socket.inet_pton(family, address) * 2 + struct.pack("!HH", 4711, 80)
    return SIGNATURE + struct.pack("!BBH", 0x21, 0x21 if family == socket.AF_INET6 else 0x11, len(ends)) + ends


class Held(contextlib.ExitStack):
    """Connections that stay open, each with one answered request."""

    def add(self, port, source="", before=b""):
        """The status of the request; the connection stays only after a 200."""
        s = self.enter_context(socket.create_connection(("127.0.0.1", port), late(10), (source, 0) if source else None))
        try:
            s.sendall(before + LIVE)
            return status_of(s.recv(65536))
        except ConnectionError:
            return None


class Connections(Case):
    def test_cap(self):
        with Weir(basic(self.upstream(), "limits: {connections: 20}\nworkers: 2\nadmin: 127.0.0.1:{admin}\n")) as weir:
            with Held() as held:
                self.assertEqual([held.add(weir.port) for _ in range(20)], [200] * 20)
                with socket.create_connection(("127.0.0.1", weir.port)) as s:
                    answer = read_all(s)
                self.assertEqual(status_of(answer), 503)
                self.assertIn(b"Connection: close\r\n", answer)
                self.assertEqual(json.loads(answer.split(b"\r\n\r\n", 1)[1])["error"]["type"], "server_error")
                self.assertEqual(weir.metric("weir_client_connections_refused_total"), 1)
                self.assertEqual(weir.metric("weir_client_connections"), 20)
                self.good(ask(weir.admin))  # whoever watches over it still gets in
            until("all places are free", lambda: weir.metric("weir_client_connections") == 0)
            with Held() as held:
                self.assertEqual([held.add(weir.port) for _ in range(20)], [200] * 20)

    def test_cap_with_tls(self):
        authority = self.authority()
        cert, key = authority.issue("front")
        listen = f"listen: [{{address: '127.0.0.1:{{port}}', tls: {{cert: {cert}, key: {key}}}}}]\n"
        with Weir(listen + basic(self.upstream(), "limits: {connections: 2}\n").split("\n", 1)[1]) as weir:
            tls = authority.client()
            kept = [connect(("localhost", weir.port), tls) for _ in range(2)]
            for conn in kept:
                self.good(ask(None, keep=conn))
            with self.assertRaises(OSError):
                ask(("localhost", weir.port), tls=tls)
            kept.pop().close()
            until("there is a place", lambda: weir.metric("weir_client_connections") == 1)
            self.good(ask(("localhost", weir.port), tls=tls))
            kept.pop().close()

    def test_one_address(self):
        with Weir(basic(self.upstream(), "limits: {connections_per_client: 3}\nworkers: 2\n")) as weir:
            with Held() as held:
                self.assertEqual([held.add(weir.port) for _ in range(3)], [200] * 3)
                self.assertEqual(held.add(weir.port), 503)
                self.assertEqual([held.add(weir.port, "127.0.0.2") for _ in range(3)], [200] * 3)
                self.assertEqual(held.add(weir.port, "127.0.0.2"), 503)
                self.assertEqual(weir.metric("weir_client_connections_refused_total"), 2)
            until("all places are free", lambda: weir.metric("weir_client_connections") == 0)
            with Held() as held:
                self.assertEqual([held.add(weir.port) for _ in range(3)], [200] * 3)

    def test_one_address_behind_a_balancer(self):
        """The client of the PROXY header counts, not the balancer; an IPv6 network counts as one."""
        text = ("listen: [{address: '127.0.0.1:{port}', proxy_protocol: true}]\n"
                + basic(self.upstream(), "limits: {connections_per_client: 2}\n").split("\n", 1)[1])
        with Weir(text) as weir, Held() as held:
            for client in ("203.0.113.1", "203.0.113.2"):
                got = [held.add(weir.port, before=proxied(client)) for _ in range(3)]
                self.assertEqual(got, [200, 200, 503], client)
            got = [held.add(weir.port, before=proxied(f"2001:db8:0:1::{i}")) for i in range(1, 4)]
            self.assertEqual(got, [200, 200, 503])
            self.assertEqual(held.add(weir.port, before=proxied("2001:db8:0:2::1")), 200)

    def test_unix_socket_has_no_address(self):
        text = "listen: 'unix:{dir}/w.sock'\n" + basic(self.upstream(), "limits: {connections_per_client: 1}\n").split("\n", 1)[1]
        with Weir(text) as weir:
            kept = [connect(weir.folder / "w.sock") for _ in range(3)]
            for conn in kept:
                self.good(ask(None, keep=conn))
                conn.sock.settimeout(late(10))
            for conn in kept:
                conn.close()


class Slow(Case):
    def test_head(self):
        """Byte by byte is no way to stay longer than `head_timeout`."""
        with Weir(basic(self.upstream(), "server: {head_timeout: 400ms}\n")) as weir:
            began = time.monotonic()
            with socket.create_connection(("127.0.0.1", weir.port)) as s:
                s.settimeout(0.05)
                data = None
                for byte in LIVE * 10:
                    try:
                        s.sendall(bytes([byte]))
                        data = s.recv(100)
                        break
                    except TimeoutError:
                        continue
                    except ConnectionError:
                        data = b""
                        break
            self.assertIsNotNone(data, "it was never cut off")
            self.assertNotEqual(status_of(data), 200)
            self.assertGreater(time.monotonic() - began, 0.3)
            self.good(ask(weir.port))

    def test_body(self):
        with Weir(basic(self.upstream(), "server: {body_timeout: 300ms}\n")) as weir:
            with socket.create_connection(("127.0.0.1", weir.port)) as s:
                s.sendall(f"POST {CHAT} HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{{".encode())
                began = time.monotonic()
                self.assertIn(status_of(read_all(s)), (408, None))
                self.assertLess(time.monotonic() - began, late(5))
            until("nothing is open", lambda: weir.metric("weir_exchanges_open") == 0)

    def test_idle(self):
        with Weir(basic(self.upstream(), "server: {idle_timeout: 300ms}\n")) as weir:
            with socket.create_connection(("127.0.0.1", weir.port)) as s:
                s.sendall(LIVE)
                began = time.monotonic()
                self.assertEqual(status_of(read_all(s)), 200)
                self.assertGreater(time.monotonic() - began, 0.2)

    def test_reader_who_stops(self):
        """A client that takes nothing is let go after `write_timeout`, and its memory with it."""
        up = self.upstream()
        with Weir(basic(up, "server: {write_timeout: 500ms}\n")) as weir, socket.socket() as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            s.connect(("127.0.0.1", weir.port))
            body = json.dumps(chat_body("no" * 7000)).encode()  # its error says the name
            one = f"POST {CHAT} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
            s.settimeout(0.2)
            try:
                while True:
                    s.sendall(one)
            except OSError:
                pass
            until("it was let go", lambda: weir.metric("weir_client_connections") == 0)
            self.assertEqual(weir.metric("weir_body_memory_bytes"), 0)


class Descriptors(Case):
    def limits(self, pid):
        with open(f"/proc/{pid}/limits", encoding="utf-8") as f:
            return re.search(r"Max open files +(\S+) +(\S+)", f.read()).groups()

    def test_raised_to_what_is_allowed(self):
        def low():
            resource.setrlimit(resource.RLIMIT_NOFILE, (256, 3000))

        with Weir(basic(self.upstream()), preexec=low) as weir:
            self.assertEqual(self.limits(weir.pid), ("3000", "3000"))
            with Held() as held:
                self.assertEqual({held.add(weir.port) for _ in range(400)}, {200})

    def test_none_left(self):
        """Nobody is served beyond what the system gives, but nothing breaks, and nothing spins."""
        def low():
            resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))

        up = self.upstream()
        up.hold = True
        with Weir(basic(up, "workers: 2\n"), preexec=low) as weir:
            streams = [Stream(weir.port).open() for _ in range(4)]
            with contextlib.ExitStack() as stack:
                for _ in range(200):
                    stack.enter_context(socket.create_connection(("127.0.0.1", weir.port), late(10)))
                before = cpu_seconds(weir.pid)
                time.sleep(1)
                self.assertLess(cpu_seconds(weir.pid) - before, 0.5)
            up.go.set()
            for stream in streams:
                self.assertTrue(stream.rest().endswith("data: [DONE]\n\n"))
            until("it serves as before", lambda: served(weir.port))
            self.assertEqual(weir.reload()[0], 0)

    @unittest.skipUnless(permitted("unshare", "-rn", "ip", "link", "set", "lo", "up"), "no network namespaces here")
    def test_no_port_left(self):
        """In a world of one port, which Weir itself listens at, no connection can be made: that is no target's
        fault, and no reason to leave it alone."""
        shell = 'ip link set lo up && echo "$0 $0" >/proc/sys/net/ipv4/ip_local_port_range && exec "$@"'
        config = ("listen: ['127.0.0.1:40000', 'unix:{dir}/w.sock']\nauth: none\nhealth: {failures: 2}\n"
                  "providers: {up: {type: vllm, url: 'http://127.0.0.1:9/v1'}}\nmodels: {chat: {targets: [up/m]}}\n")
        with Weir(config, wrap=["unshare", "-rn", "sh", "-c", shell, "40000"]) as weir:
            for _ in range(4):
                answer = chat(weir.folder / "w.sock", "chat")
                self.error_code(answer, 503, "overloaded")
                self.assertEqual(answer.headers["retry-after"], "1")
            told = ask(weir.data / "admin.sock", path="/admin/v1/targets").json()["targets"][0]
            self.assertEqual((told["state"], told["window_failures"]), ("well", 0))

    def test_given_back(self):
        """As many open descriptors after a day's work as before it, but for a few of databases, which are
        opened when they are needed."""
        with Weir(basic(self.upstream(), "workers: 1\n")) as weir:
            self.good(chat(weir.port))
            self.assertEqual(weir.reload()[0], 0)
            until("the connection is closed", lambda: weir.metric("weir_client_connections") == 0)
            before = len(os.listdir(f"/proc/{weir.pid}/fd"))
            for _ in range(100):
                self.good(chat(weir.port))
            for _ in range(12):
                self.assertEqual(weir.reload()[0], 0)
            until("they are closed", lambda: len(os.listdir(f"/proc/{weir.pid}/fd")) <= before + 8)


def served(port):
    try:
        return chat(port).status == 200
    except OSError:
        return False


class Bodies(Case):
    def begin(self, weir, size, sent):
        """An upload of which `sent` bytes have come."""
        s = socket.create_connection(("127.0.0.1", weir.port))
        self.addCleanup(s.close)
        s.settimeout(late(10))
        s.sendall(f"POST {CHAT} HTTP/1.1\r\nHost: x\r\nContent-Length: {size}\r\n\r\n".encode() + b" " * sent)
        return s

    def test_one_too_large(self):
        with Weir(basic(self.upstream(), "limits: {body: 64KiB}\n")) as weir:
            self.error_code(chat(weir.port, x="y" * 70000), 413, "request_too_large")
            self.good(chat(weir.port, x="y" * 60000))

    def test_all_together(self):
        # Each of the three takes a block of 512 KiB, and, when it came in small pieces, one of up to
        # 256 KiB beside it while it grows: there is room for two, however they come, and never for three.
        with Weir(basic(self.upstream(), "limits: {body: 1MiB, body_memory: 1400KiB}\nworkers: 2\n")) as weir:
            uploads = [self.begin(weir, 500_000, 400_000)]
            until("it is held", lambda: weir.metric("weir_body_memory_bytes") >= 400_000)
            uploads.append(self.begin(weir, 300_000, 200_000))
            until("both are held", lambda: weir.metric("weir_body_memory_bytes") >= 600_000)
            self.error_code(chat(weir.port, x="y" * 400_000), 503, "overloaded")
            self.assertLessEqual(weir.metric("weir_body_memory_bytes"), 1400 << 10)
            self.assertGreaterEqual(weir.metric("weir_body_budget_refused_total"), 1)
            self.good(ask(weir.port))
            for s in uploads:
                s.close()
            until("all of it is free", lambda: weir.metric("weir_body_memory_bytes") == 0)
            self.good(chat(weir.port, x="y" * 400_000))


class Metrics(Case):
    NAMES = {  # of long standing in the field
        "llm_requests_total": "counter", "llm_request_latency_seconds": "histogram", "llm_tokens_total": "counter",
        "llm_time_to_first_token_seconds": "histogram", "llm_inter_token_seconds": "histogram",
        "llm_queue_depth": "gauge", "queue_depth": "gauge", "llm_inflight": "gauge"}

    def scrape(self, weir):
        return ask(weir.data / "admin.sock", path="/metrics").body.decode()

    @contextlib.contextmanager
    def used(self):
        """A gateway that has answered, streamed, refused and reloaded."""
        auth = {"Authorization": "Bearer s3cret-value"}
        models = 'models: {"odd\\"name\\\\": {targets: [up/m]}}\n'
        with Weir(basic(self.upstream(), "keys: {k: {secret: s3cret-value}}\n" + models)) as weir:
            self.good(chat(weir.port, headers=auth))
            self.good(chat(weir.port, headers=auth, stream=True))
            self.good(chat(weir.port, 'odd"name\\', headers=auth))
            self.error_code(chat(weir.port, "no-such", headers=auth), 404, "model_not_found")
            self.error_code(chat(weir.port, headers={"Authorization": "Bearer wrong-value"}), 401, "invalid_api_key")
            self.assertEqual(weir.reload()[0], 0)
            until("all is counted", lambda: sum(v for k, v in weir.metrics().items()
                                                if k.startswith("llm_requests_total{")) == 5)
            yield weir

    def test_names(self):
        with self.used() as weir:
            text = self.scrape(weir)
            types = dict(re.findall(r"^# TYPE (\S+) (\S+)$", text, re.M))
            for name, kind in self.NAMES.items():
                self.assertEqual(types.get(name), kind, name)
            samples = {m for m in re.findall(r"^([a-z_]+)(?:\{| )", text, re.M)}
            bare = {re.sub(r"_(bucket|sum|count)$", "", s) if s not in types else s for s in samples}
            self.assertEqual(bare - set(types), set(), "a sample without its kind")
            self.assertEqual(weir.metric('llm_requests_total{model="m",status="200"}'), 2)
            self.assertEqual(weir.metric('llm_tokens_total{model="m",type="input"}'), 3)
            self.assertNotIn("s3cret-value", text)
            self.assertNotIn("wrong-value", text)
            self.assertEqual(weir.metric('llm_requests_total{model="odd\\"name\\\\",status="200"}'), 1)
            self.assertNotIn("such", text, "names that never gave an answer have no series of their own")

    def test_reference_is_complete(self):
        with self.used() as weir:
            reference = weir.command("docs", "metrics")[1]
            missing = [n for n in re.findall(r"^# TYPE (\S+) ", self.scrape(weir), re.M) if f"`{n}" not in reference]
            self.assertEqual(missing, [])

    @unittest.skipUnless(shutil.which("promtool"), "needs promtool (Debian's prometheus)")
    def test_promtool(self):
        with self.used() as weir:
            done = subprocess.run(["promtool", "check", "metrics"], input=self.scrape(weir), capture_output=True, text=True,
                                  check=False, timeout=late(30))
            self.assertEqual((done.returncode, done.stdout + done.stderr), (0, ""))

    def test_health_paths(self):
        with Weir(basic(self.upstream(), "keys: {k: {secret: s3cret}}\n")) as weir:
            for path in ("/livez", "/readyz", "/health", "/ready", "/health/liveliness", "/health/readiness"):
                self.good(ask(weir.port, path=path))
            self.error_code(chat(weir.port), 401, "missing_api_key")
            self.assertEqual([a["path"] for a in weir.last_access(1)], [CHAT], "health checks are not logged")


# ---------------------------------------------------------------- a worker that hangs

PTRACE_SEIZE, PTRACE_INTERRUPT, PTRACE_SYSCALL, PTRACE_DETACH, PTRACE_GETREGS = 0x4206, 0x4207, 24, 17, 12
WALL = 0x40000000
NR_SETSOCKOPT, ORIG_RAX = 54, 15  # x86_64


class Frozen:
    """One thread of a process, stopped in the middle of its work; used by one thread."""

    def __init__(self, tid):
        self.tid = tid
        self.libc = ctypes.CDLL(None, use_errno=True)
        self.libc.ptrace.restype = ctypes.c_long
        self.libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]

    def ptrace(self, request, data=None):
        if self.libc.ptrace(request, self.tid, None, data) < 0:
            raise OSError(ctypes.get_errno(), f"ptrace {request:#x}")

    def seize(self):
        self.ptrace(PTRACE_SEIZE)
        self.ptrace(PTRACE_INTERRUPT)
        os.waitpid(self.tid, WALL)

    def into_work(self):
        """Lets it run until it sets an option of a client's socket, which is well inside a turn of its loop."""
        while True:
            self.ptrace(PTRACE_SYSCALL)
            os.waitpid(self.tid, WALL)
            registers = (ctypes.c_ulonglong * 64)()
            self.ptrace(PTRACE_GETREGS, ctypes.cast(registers, ctypes.c_void_p))
            if registers[ORIG_RAX] == NR_SETSOCKOPT:
                return

    def let_go(self):
        self.ptrace(PTRACE_DETACH)


def may_trace():
    if platform.machine() != "x86_64" or platform.system() != "Linux":
        return False
    with subprocess.Popen(["sleep", "5"]) as child:
        frozen = Frozen(child.pid)
        try:
            frozen.seize()
            frozen.let_go()
            return True
        except OSError:
            return False
        finally:
            child.kill()


@unittest.skipUnless(may_trace(), "may not trace processes here")
class Watchdog(Case):
    def manager(self, weir_env):
        path = str(self.folder() / "notify")
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(sock.close)
        sock.bind(path)
        sock.setblocking(False)
        weir_env["NOTIFY_SOCKET"] = path
        return sock

    @staticmethod
    def pings(sock):
        """How many signs of life are waiting."""
        n = 0
        while True:
            try:
                n += sock.recv(4096) == b"WATCHDOG=1"
            except BlockingIOError:
                return n

    def test_hanging_worker(self):
        env = {}
        manager = self.manager(env)
        with Weir(basic(self.upstream(), "workers: 2\n"), env=env) as weir:
            worker = until("workers", lambda: threads(weir.pid, "weir-worker"))[0]
            frozen, stop = Frozen(worker), threading.Event()
            poke = threading.Thread(target=self.poke, args=(weir.port, stop), daemon=True)
            poke.start()
            frozen.seize()
            try:
                frozen.into_work()
                until("it is noticed", lambda: weir.said("worker.stuck"))
                self.assertEqual(weir.metric("weir_worker_stuck_total"), 1)
                self.pings(manager)
                time.sleep(0.6)
                self.assertEqual(self.pings(manager), 0, "a service manager could not tell that it hangs")
            finally:
                frozen.let_go()
                stop.set()
            poke.join(late(10))
            until("signs of life again", lambda: self.pings(manager))
            lag = [v for k, v in weir.metrics().items() if k.startswith("weir_loop_lag_seconds{")]
            self.assertEqual(len(lag), 2)
            self.assertGreater(max(lag), 1.5)
            lag = [v for k, v in weir.metrics().items() if k.startswith("weir_loop_lag_seconds{")]
            self.assertLess(max(lag), 1.5, "since the last scrape")
            self.good(chat(weir.port))

    @staticmethod
    def poke(port, stop):
        """Connections until one of them lands at the worker that hangs."""
        with contextlib.ExitStack() as stack:
            while not stop.wait(0.02):
                try:
                    s = stack.enter_context(socket.create_connection(("127.0.0.1", port), 1))
                    s.sendall(LIVE)
                except OSError:
                    continue

    def test_whole_process_stopped(self):
        """SIGSTOP and SIGCONT (a laptop that slept, a frozen cgroup): it goes on, and nothing is torn down."""
        up = self.upstream()
        up.hold = True
        with Weir(basic(up)) as weir:
            stream = Stream(weir.port).open()
            weir.signal(signal.SIGSTOP)
            time.sleep(0.5)
            weir.signal(signal.SIGCONT)
            up.go.set()
            self.assertTrue(stream.rest().endswith("data: [DONE]\n\n"))
            self.good(chat(weir.port))
