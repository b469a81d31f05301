"""Connections and HTTP/1.1 messages as the harness sees them: exact times, exact bytes.

`Wire` is one TCP (or TLS) connection. `MessageParser` takes bytes in any split and builds requests
or responses; what a careful peer would refuse is kept in `faults`, it is not repaired.
"""

import asyncio
import json
import re
import socket
import struct
import time

TOKEN = re.compile(rb"^[!#$%&'*+.^_`|~0-9A-Za-z-]+$")
BAD_VALUE = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")


class Wire(asyncio.BufferedProtocol):
    """One connection. Reading can be paused or given an allowance in bytes."""

    CHUNK = 65536

    def __init__(self, on_data=None, on_made=None):
        self.on_data = on_data
        self.on_made = on_made
        self.transport = None
        self.received = bytearray()
        self.total_in = 0
        self.total_out = 0
        self.allowance = None
        self.eof_at = None
        self.lost_at = None
        self.lost_error = None
        self._space = bytearray(self.CHUNK)
        self._writable = asyncio.Event()
        self._writable.set()
        self.gone = asyncio.Event()
        self.changed = asyncio.Event()

    # --- callbacks of the loop
    def connection_made(self, transport):
        self.transport = transport
        transport.set_write_buffer_limits(high=1, low=0)
        sock = transport.get_extra_info("socket")
        if sock is not None:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self.on_made:
            self.on_made(self)

    def get_buffer(self, sizehint):
        limit = self.CHUNK if self.allowance is None else max(1, min(self.CHUNK, self.allowance))
        return memoryview(self._space)[:limit]

    def buffer_updated(self, count):
        data = bytes(self._space[:count])
        self.total_in += count
        if self.allowance is not None:
            self.allowance -= count
            if self.allowance <= 0:
                self.transport.pause_reading()
        if self.on_data:
            self.on_data(data)
        else:
            self.received += data
        self.changed.set()

    def eof_received(self):
        self._left()
        return True

    def connection_lost(self, error):
        self.lost_at = time.monotonic()
        self.lost_error = error
        self._left()
        self._writable.set()

    def pause_writing(self):
        self._writable.clear()

    def resume_writing(self):
        self._writable.set()

    def _left(self):
        if self.eof_at is None:
            self.eof_at = time.monotonic()
        self.gone.set()
        self.changed.set()

    # --- for scripts
    def closed_how(self):
        if isinstance(self.lost_error, ConnectionResetError):
            return "reset"
        return "FIN" if self.eof_at else "open"

    def pause(self):
        self.transport.pause_reading()

    def allow(self, count):
        """Read at most `count` more bytes; None lifts the limit."""
        self.allowance = count
        if not self.transport.is_closing():
            if count == 0:
                self.transport.pause_reading()
            else:
                self.transport.resume_reading()

    async def write(self, data):
        """Hand all bytes to the kernel. Raises ConnectionError when the peer is gone."""
        if self.lost_at is not None or self.transport.is_closing():
            raise ConnectionResetError("the peer is gone")
        self.total_out += len(data)
        self.transport.write(data)
        await self._writable.wait()
        if self.lost_at is not None and self.lost_error is not None:
            raise ConnectionResetError("the peer is gone")

    async def write_pieces(self, data, piece, pause):
        """Write `piece` bytes at a time with `pause` seconds between (0: let the loop turn)."""
        for at in range(0, len(data), piece):
            await self.write(data[at : at + piece])
            await asyncio.sleep(pause)

    def unsent(self):
        return self.transport.get_write_buffer_size()

    def half_close(self):
        self.transport.write_eof()

    def close(self):
        if self.transport and not self.transport.is_closing():
            self.transport.close()

    def reset(self):
        """End with RST instead of FIN."""
        sock = self.transport.get_extra_info("socket")
        if sock is not None and sock.fileno() >= 0:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()




class Message:
    """A request or a response, as far as it has come."""

    def __init__(self):
        self.head = b""
        self.start = ""
        self.method = self.path = None
        self.status = None
        self.headers = []
        self.body = bytearray()
        self.body_size = 0
        self.chunks = 0
        self.trailers = []
        self.framing = None
        self.head_at = self.end_at = None
        self.interim = []
        self.connection_number = 0
        self.reused = False

    def all(self, name):
        name = name.lower()
        return [value for key, value in self.headers if key == name]

    def get(self, name):
        found = self.all(name)
        return ", ".join(found) if found else None

    def json(self):
        return json.loads(bytes(self.body))


class MessageParser:
    """Incremental HTTP/1.1 parser for requests (`role` "request") or responses ("response")."""

    MAX_HEAD = 8 * 1024 * 1024
    KEEP_BODY = 4 * 1024 * 1024

    def __init__(self, role, on_body=None):
        self.role = role
        self.on_body = on_body
        self.messages = []
        self.current = None
        self.faults = []
        self.buffer = bytearray()
        self.state = "head"
        self.left = 0
        self.no_body = []

    def feed(self, data):
        self.buffer += data
        while self.buffer and getattr(self, "_" + self.state)():
            pass

    def eof(self):
        """The peer closed. Ends a body that lasts until the close; a cut one stays unfinished."""
        if self.state == "until_close":
            self._finish()

    def cut(self):
        """True when the peer closed inside a message."""
        return self.state != "head" or bool(self.buffer)

    # --- states: each returns True when it could be ready for more
    def _head(self):
        end = self.buffer.find(b"\r\n\r\n")
        if end < 0:
            if len(self.buffer) > self.MAX_HEAD:
                self.faults.append("head without end")
                self.state = "broken"
            return False
        head = bytes(self.buffer[: end + 4])
        del self.buffer[: end + 4]
        message = Message()
        message.head = head
        self._parse_head(message, head[:-4].split(b"\r\n"))
        if message.status is not None and 100 <= message.status < 200 and message.status != 101:
            self._interim(message)
            return True
        message.head_at = time.monotonic()
        if self.current is not None and self.current.end_at is None:
            message.interim = self.current.interim
            self.messages.remove(self.current)
        self.current = message
        self.messages.append(message)
        self._choose_framing(message)
        return True

    def _interim(self, message):
        if self.current is None or self.current.end_at is not None:
            self.current = Message()
            self.messages.append(self.current)
        self.current.interim.append(message)

    def _parse_head(self, message, lines):
        message.start = lines[0].decode("latin-1")
        parts = message.start.split(" ", 2)
        if self.role == "request":
            if not re.fullmatch(r"[A-Z]+ [\x21-\x7e]+ HTTP/1\.[01]", message.start):
                self.faults.append(f"request line {message.start!r}")
            message.method, message.path = (parts + [""])[:2]
        else:
            found = re.fullmatch(
                r"HTTP/1\.[01] (\d{3})(?: [^\x00-\x08\x0a-\x1f\x7f]*)?", message.start
            )
            if not found:
                self.faults.append(f"status line {message.start!r}")
            message.status = int(found[1]) if found else 0
        for line in lines[1:]:
            name, colon, value = line.partition(b":")
            if not colon or not TOKEN.match(name) or BAD_VALUE.search(value):
                self.faults.append(f"header line {line!r}")
            message.headers.append(
                (name.decode("latin-1").lower(), value.strip(b" \t").decode("latin-1"))
            )

    def _choose_framing(self, message):
        lengths, codings = message.all("content-length"), message.all("transfer-encoding")
        if len(lengths) > 1 or (lengths and codings):
            self.faults.append(f"content-length {lengths} with transfer-encoding {codings}")
        if lengths and not re.fullmatch(r"\d{1,15}", lengths[0]):
            self.faults.append(f"content-length {lengths[0]!r}")
            lengths = []
        if codings and codings != ["chunked"]:
            self.faults.append(f"transfer-encoding {codings}")
        bare = self.role == "response" and (
            message.status in (204, 304) or (self.no_body and self.no_body.pop(0))
        )
        if bare:
            message.framing = "none"
        elif codings:
            message.framing, self.state = "chunked", "chunk_size"
        elif lengths:
            message.framing, self.left = "length", int(lengths[0])
            self.state = "fixed"
        else:
            message.framing = "none" if self.role == "request" else "close"
            self.state = "until_close" if self.role == "response" else "head"
        if message.framing == "none" or (message.framing == "length" and self.left == 0):
            self._finish()

    def _store(self, data):
        message = self.current
        message.body_size += len(data)
        if len(message.body) < self.KEEP_BODY:
            message.body += data
        if self.on_body:
            self.on_body(message, bytes(data))

    def _fixed(self):
        take = self.buffer[: self.left]
        del self.buffer[: self.left]
        self.left -= len(take)
        self._store(take)
        if self.left == 0:
            self._finish()
        return True

    def _until_close(self):
        take = bytes(self.buffer)
        self.buffer.clear()
        self._store(take)
        return False

    def _chunk_size(self):
        end = self.buffer.find(b"\r\n")
        if end < 0:
            return False
        line = bytes(self.buffer[:end])
        del self.buffer[: end + 2]
        if not re.fullmatch(rb"[0-9a-fA-F]{1,15}(;.*)?", line):
            self.faults.append(f"chunk size {line!r}")
            self.state = "broken"
            return False
        self.left = int(line.partition(b";")[0], 16)
        self.current.chunks += 1
        self.state = "chunk_data" if self.left else "trailer"
        return True

    def _chunk_data(self):
        take = self.buffer[: self.left]
        del self.buffer[: self.left]
        self.left -= len(take)
        self._store(take)
        if self.left == 0:
            self.state = "chunk_end"
        return True

    def _chunk_end(self):
        if len(self.buffer) < 2:
            return False
        if self.buffer[:2] != b"\r\n":
            self.faults.append("chunk data without CRLF")
            self.state = "broken"
            return False
        del self.buffer[:2]
        self.state = "chunk_size"
        return True

    def _trailer(self):
        end = self.buffer.find(b"\r\n")
        if end < 0:
            return False
        line = bytes(self.buffer[:end])
        del self.buffer[: end + 2]
        if line:
            self.current.trailers.append(line)
        else:
            self._finish()
        return True

    def _broken(self):
        return False

    def _finish(self):
        self.current.end_at = time.monotonic()
        self.state = "head"


class SseParser:
    """Server-sent events from text in any split; LF, CR and CRLF line ends, BOM, comments."""

    def __init__(self):
        self.events = []
        self.comments = []
        self.retry = None
        self._pending = bytearray()
        self._data = []
        self._name = ""
        self._first = True

    def feed(self, data):
        self._pending += data
        while True:
            found = re.search(rb"\r\n|\n|\r", self._pending)
            if not found or (found[0] == b"\r" and found.end() == len(self._pending)):
                return
            line = bytes(self._pending[: found.start()])
            del self._pending[: found.end()]
            self._line(line)

    def finish(self):
        """The body is complete: a CR at its end was a line end of its own."""
        if self._pending == b"\r":
            self._pending.clear()
            self._line(b"")

    def unfinished(self):
        """Bytes after the last whole event."""
        return bool(self._pending.strip(b"\r\n")) or bool(self._data)

    def _line(self, line):
        if self._first:
            self._first = False
            line = line.removeprefix(b"\xef\xbb\xbf")
        if not line:
            self._dispatch()
        elif line.startswith(b":"):
            self.comments.append(line[1:].strip().decode("utf-8", "replace"))
        else:
            name, _, value = line.partition(b":")
            value = value.removeprefix(b" ").decode("utf-8", "backslashreplace")
            if name == b"data":
                self._data.append(value)
            elif name == b"event":
                self._name = value

    def _dispatch(self):
        if self._data:
            self.events.append(SseEvent(self._name, "\n".join(self._data)))
        self._data, self._name = [], ""


class SseEvent:
    """One event: name, data, arrival."""

    def __init__(self, name, data):
        self.name = name
        self.data = data
        self.at = time.monotonic()

    def json(self):
        try:
            return json.loads(self.data)
        except ValueError:
            return None


def encode_head(start, headers):
    """A message head; header values may be str or bytes."""
    lines = [start]
    lines += [f"{name}: {value}" for name, value in headers]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("utf-8", "surrogateescape")


def encode_chunk(data):
    return b"%x\r\n%s\r\n" % (len(data), data) if data else b""
