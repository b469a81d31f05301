"""Upstreams that fail below HTTP, or so early that nothing of a dialect is said: connections, names,
certificates, heads."""

import socket
import struct
import threading
import time

from egress_cases import A, Names
from explained import TAG, Heard
from harness import Server, read_request

RESET = struct.pack("ii", 1, 0)  # SO_LINGER: close() sends RST


def refusing():
    """A port that nobody listens on, and that nobody else gets."""
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    return sock


class BlackHole:
    """A port whose queue is full: SYNs are dropped."""

    def __init__(self):
        self.sock, self.fillers = socket.socket(), []
        self.sock.bind(("127.0.0.1", 0))
        self.sock.listen(0)
        self.port = self.sock.getsockname()[1]
        for _ in range(16):
            filler = socket.socket()
            self.fillers.append(filler)
            filler.settimeout(0.2)
            try:
                filler.connect(("127.0.0.1", self.port))
            except TimeoutError:
                return
        raise AssertionError("the queue does not fill on this system")

    def close(self):
        for sock in (self.sock, *self.fillers):
            sock.close()


class Rude(Server):
    """Does with each connection what `manners` says: a function of the socket, after the request unless it
    is marked `at_once`. The first step of the path is the provider's name."""

    def __init__(self, manners, tls=None):
        self.manners, self.requests, self.connections, self.heard = manners, 0, 0, []
        super().__init__(self._serve, tls)

    def _serve(self, sock, peer):
        self.connections += 1
        if not getattr(self.manners, "at_once", False):
            request, _ = read_request(sock, b"", peer)
            if request is None:
                return
            self.requests += 1
            name, model = request.path.split("/")[1], request.json()["model"]
            self.heard.append(Heard(request.headers.get(TAG), f"{name}/{model}"))
        self.manners(sock)


def at_once(manners):
    manners.at_once = True
    return manners


@at_once
def reset_at_once(sock):
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)


@at_once
def close_at_once(sock):
    sock.shutdown(socket.SHUT_RDWR)


def reset(sock):
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)


def close(_sock):
    pass


def wait_for_end(sock):
    """Until the other end leaves; it may not have sent all yet."""
    while sock.recv(65536):
        pass


def say_nothing(sock):
    wait_for_end(sock)


@at_once
def plain_where_tls(sock):
    sock.recv(65536)
    sock.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")


def no_http(sock):
    sock.sendall(b"220 mail.example ESMTP\r\n\r\n")
    wait_for_end(sock)


def half_head(sock):
    sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/ev")


def endless_head(sock):
    sock.sendall(b"HTTP/1.1 200 OK\r\n" + b"x-pad: 0123456789012345678901234567890123456789\r\n" * 4000)
    wait_for_end(sock)


def endless_line(sock):
    """An event without an end, and a JSON text without one for those who asked for that."""
    sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
    piece = b"2000\r\n" + b"x" * 0x2000 + b"\r\n"
    sock.sendall(b"6\r\ndata: \r\n")
    for _ in range(400):
        sock.sendall(piece)
    wait_for_end(sock)


def endless_json(sock):
    sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n")
    sock.sendall(b"6\r\n{\"id\":\r\n")
    for _ in range(400):
        sock.sendall(b"2000\r\n" + b" " * 0x2000 + b"\r\n")
    wait_for_end(sock)


def two_lengths(sock):
    sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n"
                 b"Content-Length: 3\r\n\r\n{}")


def elsewhere(sock):
    sock.sendall(b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:9/\r\nContent-Length: 0\r\n\r\n")


class NameServer(Names):
    """Names by their first label: `good` has an address, `nx` does not exist, `fail` is SERVFAIL, `mute` gets
    no answer, `late` one after a while, `turns` one at first and SERVFAIL from when `dark` is set. TTL 1."""

    def __init__(self, ttl=1):
        self.dark, self.ttl, self.queries, self.address = False, ttl, [], "127.0.0.1"
        super().__init__({A: "127.0.0.1"})

    def _serve(self):
        while True:
            try:
                data, peer = self.sock.recvfrom(4096)
            except OSError:
                return
            label = data[13:13 + data[12]].decode()
            self.queries.append(label)
            if label == "late":
                threading.Thread(target=self._later, args=(data, peer), daemon=True).start()
            elif label != "mute":
                self._send(self._told(label, data), peer)

    def _send(self, data, peer):
        try:
            self.sock.sendto(data, peer)
        except OSError:
            pass

    def _later(self, data, peer):
        time.sleep(0.25)
        self._send(self._told("late", data), peer)

    def _told(self, label, data):
        end = data.index(b"\0", 12) + 5
        kind = struct.unpack("!H", data[end - 4:end - 2])[0]
        question = data[12:end]
        code = {"nx": 3, "fail": 2}.get(label, 2 if label == "turns" and self.dark else 0)
        record = b""
        if code == 0 and kind == A:
            record = struct.pack("!HHHIH", 0xC00C, A, 1, self.ttl, 4) + socket.inet_aton(self.address)
        return data[:2] + struct.pack("!HHHHH", 0x8180 | code, 1, 1 if record else 0, 0, 0) + question + record
