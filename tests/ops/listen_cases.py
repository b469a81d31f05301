"""Listeners: PROXY v2, trusted proxies, inherited sockets, both address families, Unix sockets, workers."""

import fcntl
import os
import re
import socket
import ssl
import stat
import struct
import time
import unittest

from harness import (CHAT, ENGINE_STUB, Case, Weir, ask, basic, chat, chat_body, children, connect, free_port, json,
                     late, read_all, status_of, threads, until)

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"


def has_v6():
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


HAS_V6 = has_v6()


def proxy(family, payload, command=1, version=2):
    return SIGNATURE + struct.pack("!BBH", version << 4 | command, family, len(payload)) + payload


def v4(source, tlv=b""):
    return proxy(0x11, socket.inet_aton(source) + socket.inet_aton("192.0.2.1") + struct.pack("!HH", 4711, 80) + tlv)


def v6(source):
    return proxy(0x21, socket.inet_pton(socket.AF_INET6, source) + bytes(16) + struct.pack("!HH", 4711, 80))


def request():
    body = json.dumps(chat_body()).encode()
    return (f"POST {CHAT} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            f"Connection: close\r\nContent-Length: {len(body)}\r\n\r\n").encode() + body


PROXIED = "listen: [{address: '127.0.0.1:{port}', proxy_protocol: true{tls}}]\n"


def config(upstream, listen):
    return listen + basic(upstream).split("\n", 1)[1]


class Proxy(Case):
    """PROXY v2 (haproxy.org/download/2.8/doc/proxy-protocol.txt)."""

    def weir(self):
        return Weir(config(self.upstream(), PROXIED.replace("{tls}", "")))

    def speak(self, weir, data, slowly=b""):
        """Sends `slowly` byte by byte, then `data`; all that comes back."""
        with socket.create_connection(("127.0.0.1", weir.port)) as s:
            s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for i in range(len(slowly)):
                s.sendall(slowly[i:i + 1])
                time.sleep(0.004)
            s.sendall(data)
            return read_all(s)

    def client_after(self, weir, header, slowly=b""):
        """The client that the log names after that header."""
        before = len(weir.access())
        data = self.speak(weir, header + request(), slowly)
        self.assertEqual(status_of(data), 200, data)
        return weir.last_access(before + 1)[-1]["client"]

    def test_v4(self):
        with self.weir() as weir:
            self.assertEqual(self.client_after(weir, v4("203.0.113.9")), "203.0.113.9")

    def test_v4_with_tlvs(self):
        tlv = b"\x02\x00\x0bexample.com" + b"\x04\x00\x20" + bytes(32) + b"\x20\x00\x05\x01\x00\x00\x00\x00"
        with self.weir() as weir:
            self.assertEqual(self.client_after(weir, v4("203.0.113.10", tlv)), "203.0.113.10")

    def test_v6(self):
        with self.weir() as weir:
            self.assertEqual(self.client_after(weir, v6("2001:db8::7")), "2001:db8::7")

    def test_local_and_unknown_keep_the_peer(self):
        with self.weir() as weir:
            self.assertEqual(self.client_after(weir, proxy(0, b"", command=0)), "127.0.0.1")
            self.assertEqual(self.client_after(weir, proxy(0x11, socket.inet_aton("203.0.113.1") * 2 + bytes(4), 0)),
                             "127.0.0.1")
            self.assertEqual(self.client_after(weir, proxy(0, b"padding")), "127.0.0.1")

    def test_byte_by_byte(self):
        with self.weir() as weir:
            self.assertEqual(self.client_after(weir, b"", slowly=v4("203.0.113.11")), "203.0.113.11")

    def test_split_at_every_place(self):
        with self.weir() as weir:
            whole = v4("203.0.113.12") + request()
            for at in range(1, 40):
                with socket.create_connection(("127.0.0.1", weir.port)) as s:
                    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    s.sendall(whole[:at])
                    time.sleep(0.003)
                    s.sendall(whole[at:])
                    self.assertEqual(status_of(read_all(s)), 200, at)
            clients = {line["client"] for line in weir.last_access(39)}
            self.assertEqual(clients, {"203.0.113.12"})

    def test_garbage_gets_nothing(self):
        headers = {
            "no header": request(),
            "version 1": b"PROXY TCP4 203.0.113.1 192.0.2.1 4711 80\r\n" + request(),
            "noise": os.urandom(64) + request(),
            "wrong version": proxy(0x11, bytes(12), version=3) + request(),
            "wrong command": proxy(0x11, bytes(12), command=5) + request(),
            "too long": SIGNATURE + b"\x21\x11\xff\xff" + bytes(4096),
            "almost": SIGNATURE[:-1] + b"X\x21\x11\x00\x0c" + bytes(12) + request(),
        }
        with self.weir() as weir:
            for what, data in headers.items():
                self.assertEqual(self.speak(weir, data), b"", what)
            self.assertEqual(self.client_after(weir, v4("203.0.113.13")), "203.0.113.13")

    def test_silence_ends_after_the_head_timeout(self):
        up = self.upstream()
        with Weir(config(up, PROXIED.replace("{tls}", "")) + "server: {head_timeout: 300ms, idle_timeout: 60s}\n") as weir:
            for sent in (b"", SIGNATURE, v4("203.0.113.14")):
                with socket.create_connection(("127.0.0.1", weir.port)) as s:
                    s.sendall(sent)
                    began = time.monotonic()
                    self.assertEqual(read_all(s, 20), b"")
                    self.assertLess(time.monotonic() - began, late(5), sent)

    def test_before_tls(self):
        authority = self.authority()
        cert, key = authority.issue("front")
        listen = PROXIED.replace("{tls}", f", tls: {{cert: {cert}, key: {key}}}")
        with Weir(config(self.upstream(), listen)) as weir:
            self.assertEqual(self.over_tls(weir, authority, v4("203.0.113.20"), 0), 200)
            self.assertEqual(weir.last_access(1)[-1]["client"], "203.0.113.20")
            self.assertEqual(self.over_tls(weir, authority, v6("2001:db8::20"), 0.003), 200)
            self.assertEqual(weir.last_access(2)[-1]["client"], "2001:db8::20")
            with self.assertRaises(OSError):  # ssl.SSLError is one too
                self.over_tls(weir, authority, b"", 0)

    def over_tls(self, weir, authority, header, pause):
        """Without a pause the header and the ClientHello leave in one write."""
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = authority.client().wrap_bio(incoming, outgoing, server_hostname="localhost")
        with socket.create_connection(("127.0.0.1", weir.port)) as s:
            s.settimeout(late(10))
            s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for i in range(len(header) if pause else 0):
                s.sendall(header[i:i + 1])
                time.sleep(pause)
            first = b"" if pause else header

            def run(call):
                nonlocal first
                while True:
                    try:
                        value = call()
                    except ssl.SSLWantReadError:
                        value = None
                    s.sendall(first + outgoing.read())
                    first = b""
                    if value is not None:
                        return value
                    data = s.recv(65536)
                    if not data:
                        raise ConnectionError("closed in the handshake")
                    incoming.write(data)

            run(lambda: tls.do_handshake() or True)
            run(lambda: tls.write(request()))
            return status_of(run(lambda: tls.read(65536)))


class Forwarded(Case):
    def client(self, weir, *lines, where=None):
        """The client that the log names for a request with these X-Forwarded-For fields."""
        before = len(weir.access())
        body = json.dumps(chat_body()).encode()
        head = "".join(f"X-Forwarded-For: {line}\r\n" for line in lines)
        with socket.create_connection(where or ("127.0.0.1", weir.port)) as s:
            s.sendall(f"POST {CHAT} HTTP/1.1\r\nHost: x\r\n{head}Connection: close\r\n"
                      f"Content-Length: {len(body)}\r\n\r\n".encode() + body)
            self.assertEqual(status_of(read_all(s)), 200)
        return weir.last_access(before + 1)[-1]["client"]

    def weir(self, trusted):
        return Weir(basic(self.upstream(), f"trusted_proxies: {trusted}\n"))

    def test_chain(self):
        with self.weir("[127.0.0.0/8, 10.0.0.0/8, '2001:db8:1::/48']") as weir:
            self.assertEqual(self.client(weir), "127.0.0.1")
            self.assertEqual(self.client(weir, "203.0.113.7"), "203.0.113.7")
            self.assertEqual(self.client(weir, "6.6.6.6, 203.0.113.7, 10.0.0.3"), "203.0.113.7")
            self.assertEqual(self.client(weir, "6.6.6.6,203.0.113.7 ,10.1.2.3,2001:db8:1::5"), "203.0.113.7")
            self.assertEqual(self.client(weir, "2001:db8:2::9, 10.0.0.3"), "2001:db8:2::9")

    def test_only_trusted_hops_are_the_first_of_them(self):
        with self.weir("[127.0.0.0/8, 10.0.0.0/8]") as weir:
            self.assertEqual(self.client(weir, "10.0.0.9, 10.0.0.3"), "10.0.0.9")

    def test_nonsense_ends_the_chain(self):
        with self.weir("[127.0.0.0/8, 10.0.0.0/8]") as weir:
            self.assertEqual(self.client(weir, "6.6.6.6, unknown, 10.0.0.3"), "10.0.0.3")
            self.assertEqual(self.client(weir, "6.6.6.6, , 10.0.0.3"), "10.0.0.3")

    def test_untrusted_peer(self):
        with self.weir("[10.0.0.0/8]") as weir:
            self.assertEqual(self.client(weir, "203.0.113.7"), "127.0.0.1")

    def test_not_configured(self):
        with Weir(basic(self.upstream())) as weir:
            self.assertEqual(self.client(weir, "203.0.113.7"), "127.0.0.1")

    def test_several_fields_are_one_list(self):
        """A proxy may add a line of its own behind the client's (HAProxy's `option forwardfor` does)."""
        with self.weir("[127.0.0.0/8]") as weir:
            self.assertEqual(self.client(weir, "6.6.6.6", "203.0.113.7"), "203.0.113.7")


class Inherited(Case):
    """sd_listen_fds(3)."""

    def inherit(self, *listeners, more="", pid="$$", listen="127.0.0.1:1"):
        def place():
            high = [fcntl.fcntl(each, fcntl.F_DUPFD, 500) for each in listeners]
            for i, fd in enumerate(high):
                os.dup2(fd, 3 + i)

        shell = f'LISTEN_PID={pid} LISTEN_FDS={len(listeners)}; export LISTEN_PID LISTEN_FDS; exec "$@"'
        text = f"listen: {listen}\n" + basic(self.upstream(), more).split("\n", 1)[1]
        return Weir(text, wrap=["sh", "-c", shell, "sh"], preexec=place, fds=tuple(range(3, 3 + len(listeners))))

    def test_many_workers_share_it(self):
        with socket.create_server(("127.0.0.1", 0), backlog=128) as listener:
            port = listener.getsockname()[1]
            with self.inherit(listener, more="workers: 4\n"):
                kept = [connect(port) for _ in range(32)]
                for conn in kept:
                    self.good(chat(port, keep=conn))
                for conn in kept:
                    self.good(chat(port, keep=conn))
                    conn.close()

    def test_it_outlives_the_gateway(self):
        """While nobody accepts, connections wait in the queue of the socket that its owner holds."""
        with socket.create_server(("127.0.0.1", 0), backlog=128) as listener:
            port = listener.getsockname()[1]
            with self.inherit(listener) as first:
                self.good(chat(port))
                self.assertEqual(first.stop(), 0)
            with socket.create_connection(("127.0.0.1", port)) as waiting:
                waiting.sendall(request())
                with self.inherit(listener):
                    self.assertEqual(status_of(read_all(waiting)), 200)

    def test_unix(self):
        path = self.folder() / "s"
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(path))
            listener.listen(16)
            with self.inherit(listener, listen=f"'unix:{path}'"):
                self.good(chat(path))

    def test_several_in_order(self):
        with socket.create_server(("127.0.0.1", 0)) as first, socket.create_server(("127.0.0.1", 0)) as second:
            listen = "['127.0.0.1:1', {address: '127.0.0.1:2', proxy_protocol: true}]"
            with self.inherit(first, second, listen=listen) as weir:
                self.good(chat(first.getsockname()[1]))
                with socket.create_connection(second.getsockname()) as s:
                    s.sendall(v4("203.0.113.30") + request())
                    self.assertEqual(status_of(read_all(s)), 200)
                self.assertIn("203.0.113.30", [a["client"] for a in weir.last_access(2)])

    def test_more_or_fewer_than_configured(self):
        """One that nobody accepts from would let its clients wait for ever."""
        with socket.create_server(("127.0.0.1", 0)) as first, socket.create_server(("127.0.0.1", 0)) as second:
            for passed, listen in (((first, second), "127.0.0.1:1"), ((first,), "['127.0.0.1:1', '127.0.0.1:2']")):
                weir = self.inherit(*passed, listen=listen)
                with weir.launch():
                    self.assertEqual(weir.wait(), 1)
                    self.assertIn("LISTEN_FDS", weir.stderr())

    def test_meant_for_somebody_else(self):
        port = free_port()
        with socket.create_server(("127.0.0.1", 0)) as listener:
            with self.inherit(listener, pid="1", listen=f"127.0.0.1:{port}"):
                self.good(chat(port))

    def test_children_do_not_get_it(self):
        """An engine that held the socket would keep it open after Weir."""
        with socket.create_server(("127.0.0.1", 0)) as listener:
            with self.inherit(listener, more=f"engines: {{e: {{model: {ENGINE_STUB}, binary: {ENGINE_STUB}}}}}\n") as weir:
                port = listener.getsockname()[1]
                self.good(chat(port, "e"))
                inode = os.fstat(listener.fileno()).st_ino
                shims = children(weir.pid)
                for pid in shims + [p for shim in shims for p in children(shim)]:
                    links = [os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")]
                    self.assertNotIn(f"socket:[{inode}]", links)


class Addresses(Case):
    @unittest.skipUnless(HAS_V6, "no IPv6 here")
    def test_both_families(self):
        up = self.upstream()
        text = "listen: '[::]:{port}'\nkeys: {k: {secret: s3cret}}\n" + basic(up).split("\n", 1)[1]
        with Weir(text) as weir:
            auth = {"Authorization": "Bearer s3cret"}
            self.good(chat(weir.port, headers=auth))
            self.good(chat(("::1", weir.port), headers=auth))
            self.assertEqual(sorted(a["client"] for a in weir.last_access(2)), ["127.0.0.1", "::1"])

    @unittest.skipUnless(HAS_V6, "no IPv6 here")
    def test_trusted_v4_peer_on_a_v6_listener(self):
        up = self.upstream()
        text = ("listen: '[::]:{port}'\nkeys: {k: {secret: s3cret}}\ntrusted_proxies: [127.0.0.1]\n"
                + basic(up).split("\n", 1)[1])
        with Weir(text) as weir:
            self.good(chat(weir.port, headers={"Authorization": "Bearer s3cret", "X-Forwarded-For": "203.0.113.7"}))
            self.assertEqual(weir.last_access(1)[0]["client"], "203.0.113.7")

    def test_unix_socket(self):
        up = self.upstream()
        with Weir("listen: 'unix:{dir}/w.sock'\n" + basic(up).split("\n", 1)[1]) as weir:
            path = weir.folder / "w.sock"
            self.assertEqual(stat.S_IMODE(path.stat().st_mode), 0o600)
            self.good(chat(path))
            self.assertEqual(weir.last_access(1)[0]["client"], "unix")

    def test_dead_socket_file_is_replaced_and_a_live_one_is_not(self):
        up, folder = self.upstream(), self.folder()
        path = folder / "w.sock"
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(str(path))
        text = f"listen: 'unix:{path}'\n" + basic(up).split("\n", 1)[1]
        with Weir(text):
            self.good(chat(path))
            second = Weir(text)
            with second.launch():
                self.assertEqual(second.wait(), 1)
                self.assertIn("in use", second.stderr())
            self.good(chat(path))

    def test_several_listeners(self):
        up = self.upstream()
        with Weir("listen: ['127.0.0.1:{port}', '127.0.0.1:{admin}', 'unix:{dir}/w.sock']\n"
                  + basic(up).split("\n", 1)[1]) as weir:
            for where in (weir.port, weir.admin, weir.folder / "w.sock"):
                self.good(chat(where))

    def test_port_of_the_system_s_choice(self):
        """Port 0: one port for all workers, and the log and the status say which."""
        with Weir("listen: 127.0.0.1:0\nworkers: 3\n" + basic(self.upstream()).split("\n", 1)[1]) as weir:
            port = int(re.search(r":(\d+)/v1$", weir.said("serving")[0]["text"])[1])
            self.assertNotEqual(port, 0)
            for _ in range(20):
                self.good(ask(port))
            self.assertEqual(ask(weir.data / "admin.sock", path="/admin/v1/status").json()["listen"], f"127.0.0.1:{port}")

    def test_port_taken(self):
        up = self.upstream()
        with socket.create_server(("127.0.0.1", 0)) as other:
            weir = Weir(f"listen: 127.0.0.1:{other.getsockname()[1]}\n" + basic(up).split("\n", 1)[1])
            with weir.launch():
                self.assertEqual(weir.wait(), 1)
                self.assertIn("cannot listen on 127.0.0.1:", weir.stderr())


class Workers(Case):
    def switches(self, pid, tids):
        counts = {}
        for tid in tids:
            with open(f"/proc/{pid}/task/{tid}/status", encoding="utf-8") as f:
                rows = dict(line.split(":", 1) for line in f)
            counts[tid] = int(rows["voluntary_ctxt_switches"])
        return counts

    def test_all_get_connections(self):
        with Weir(basic(self.upstream(), "workers: 4\n")) as weir:
            tids = until("four workers", lambda: (lambda t: len(t) == 4 and t)(threads(weir.pid, "weir-worker")))
            before = self.switches(weir.pid, tids)
            for _ in range(160):
                self.good(ask(weir.port))
            after = self.switches(weir.pid, tids)
            gained = sorted(after[t] - before[t] for t in tids)
            self.assertGreater(gained[0], 15, gained)
