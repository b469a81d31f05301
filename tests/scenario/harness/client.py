"""The scripted client: sends what the script says, reads in the background, keeps all replies."""

import asyncio
import json
import re
import socket
import time

from . import client_steps
from .journal import Fail, brief
from .script import ScriptError, bind, expand, split_message
from .wire import MessageParser, SseParser, Wire, encode_head

HEADING = re.compile(r"client\s+([A-Za-z_][\w-]*)(?:\s+x\s*(\d+))?(\s+background)?")
PATIENCE = 10.0


class Client:
    """One client. Steps look at reply number `at`; events are taken one after the other."""

    def __init__(self, name, nodes, scenario):
        self.name = name
        self.nodes = nodes
        self.scenario = scenario
        self.journal = scenario.journal
        self.wire = None
        self.parser = None
        self.at = 0
        self.taken = 0
        self.sse = {}
        self.sent_at = None
        self.pieces = None
        self.target = None
        self.receive_buffer = None

    async def run(self):
        """Play all steps; a failure is recorded, not raised."""
        try:
            for node in self.nodes:
                await self._step(node)
        except Fail as failure:
            self.journal.fail(f"client {self.name}", failure)
        except ConnectionError as error:
            self.journal.fail(f"client {self.name}", Fail(f"connection: {error!r}", node))
        finally:
            self.leave_silently()

    async def _step(self, node):
        try:
            result = node.rule.action(self, node, *node.args)
            if asyncio.iscoroutine(result):
                await result
        except Fail as failure:
            failure.node = failure.node or node
            raise

    def note(self, what):
        self.journal.note(f"client {self.name}", what)

    # --- the connection
    async def connect(self):
        if self.wire is not None:
            return
        port = self.scenario.port_of(self.target or "weir")
        sock = socket.socket()
        if self.receive_buffer:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self.receive_buffer)
        sock.setblocking(False)
        loop = asyncio.get_running_loop()
        try:
            await loop.sock_connect(sock, ("127.0.0.1", port))
        except OSError as error:
            sock.close()
            raise Fail(f"cannot connect to {self.target or 'weir'}: {error}") from None
        self.parser = MessageParser("response", on_body=self._body)
        self.at, self.taken, self.sse = 0, 0, {}
        wire = Wire(on_data=self._data)
        await loop.create_connection(lambda: wire, sock=sock)
        self.wire = wire

    def _data(self, data):
        self.parser.feed(data)

    def _body(self, message, data):
        if "text/event-stream" in (message.get("content-type") or ""):
            self.sse.setdefault(id(message), SseParser()).feed(data)

    def leave_silently(self):
        if self.wire is not None and self.wire.lost_at is None:
            self.wire.close()

    def left(self):
        """Note the moment of leaving, for those who must notice it."""
        self.journal.mark(f"{self.name} left")
        self.journal.signal(f"{self.name} left").set()
        self.note("leaves")

    # --- waiting
    async def until(self, ready, what, limit=PATIENCE):
        """Wait until `ready()` holds. Fail when the peer closed first or after `limit` seconds."""
        deadline = time.monotonic() + self.journal.late(limit)
        while not ready():
            if self.wire.gone.is_set():
                self.parser.eof()
                if ready():
                    return
                raise Fail(
                    f"expected {what}, but the connection was closed "
                    f"({self.wire.closed_how()}); so far {self.summary()}"
                )
            self.wire.changed.clear()
            try:
                await asyncio.wait_for(self.wire.changed.wait(), deadline - time.monotonic())
            except asyncio.TimeoutError:
                raise Fail(
                    f"expected {what}, nothing for {self.journal.late(limit):.1f} s; "
                    f"so far {self.summary()}"
                ) from None

    def summary(self):
        reply = self.peek()
        if reply is None:
            rest = bytes(self.parser.buffer) if self.parser else b""
            return f"no reply, bytes {brief(rest)}" if rest else "nothing"
        text = f"{reply.start!r}, {reply.body_size} bytes of body {brief(bytes(reply.body))}"
        return text + (f", faults {self.parser.faults}" if self.parser.faults else "")

    def peek(self):
        if self.parser is None:
            return None
        found = [one for one in self.parser.messages if one.status is not None]
        return found[self.at] if len(found) > self.at else None

    async def reply(self):
        """The reply at hand, once its head is there."""
        if self.wire is None:
            raise Fail("nothing was sent yet")
        await self.until(lambda: self.peek() is not None, "a reply")
        if self.parser.faults:
            raise Fail(f"the reply is malformed: {self.parser.faults}")
        return self.peek()

    async def whole(self):
        """The reply at hand, complete by its own framing."""
        reply = await self.reply()
        await self.until(lambda: reply.end_at is not None or self.parser.faults, "the reply's end")
        if self.parser.faults:
            raise Fail(f"the reply is malformed: {self.parser.faults}")
        if id(reply) in self.sse:
            self.sse[id(reply)].finish()
        return reply

    async def ended(self):
        """The reply at hand, complete or cut."""
        reply = await self.reply()
        await self.until(
            lambda: reply.end_at is not None or self.wire.gone.is_set(),
            "the reply's end or a close",
        )
        self.parser.eof()
        if id(reply) in self.sse:
            self.sse[id(reply)].finish()
        return reply

    def events(self, reply):
        return self.sse[id(reply)].events if id(reply) in self.sse else []

    async def next_event(self):
        reply = await self.reply()
        if "text/event-stream" not in (reply.get("content-type") or ""):
            raise Fail(f"expected an event stream, came {self.summary()}")

        def ready():
            if reply.end_at is not None and id(reply) in self.sse:
                self.sse[id(reply)].finish()
            return len(self.events(reply)) > self.taken or reply.end_at is not None

        await self.until(ready, f"event {self.taken + 1}")
        if len(self.events(reply)) <= self.taken:
            raise Fail(
                f"expected event {self.taken + 1}, but the stream ended after "
                f"{self.taken} events: {brief(bytes(reply.body[-400:]), 400)}"
            )
        self.taken += 1
        return self.events(reply)[self.taken - 1]

    # --- sending
    async def send(self, data):
        await self.connect()
        try:
            if self.pieces:
                await self.wire.write_pieces(data, *self.pieces)
            else:
                await self.wire.write(data)
        except ConnectionError:
            self.note("the peer closed while the request was being sent")
        self.sent_at = time.monotonic()

    async def request(self, node, method, path, body=None):
        """A well-formed request; header lines under it replace the defaults of the same name."""
        headers, others = split_message(node)
        variables = self.journal.variables
        headers = [(name, expand(text, variables)) for name, text in headers]
        dropped, chunk = set(), 0
        for other in others:
            if other.rule.action == "drop":
                dropped.add(other.args[0].lower())
            elif other.rule.action == "chunked":
                chunk = other.args[0]
            elif other.rule.action == "body":
                body = other.args[0].value(variables)
            else:
                body = expand(other.args[0], variables).encode("utf-8", "surrogateescape")
        await self.connect()
        self.parser.no_body.append(method == "HEAD")
        given = {name.lower() for name, _ in headers} | dropped
        defaults = [("host", f"127.0.0.1:{self.scenario.port_of(self.target or 'weir')}")]
        if body is not None:
            defaults.append(("content-type", "application/json"))
            defaults.append(
                ("transfer-encoding", "chunked") if chunk else ("content-length", len(body))
            )
        lines = [one for one in defaults if one[0] not in given] + headers
        data = encode_head(f"{method} {path} HTTP/1.1", lines)
        if body is not None:
            data += chunked(body, chunk) if chunk else body
        self.note(f"{method} {path} {brief(body or b'', 160)}")
        await self.send(data)

    async def ask(self, node, extra=None, streamed=False):
        """The standard chat request, with further members."""
        body = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "ping"}]}
        if streamed:
            body["stream"] = True
        if extra:
            body.update(json.loads(expand(extra, self.journal.variables)))
        await self.request(
            node,
            "POST",
            "/v1/chat/completions",
            json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode(),
        )


def chunked(body, piece):
    parts = [body[at : at + piece] for at in range(0, len(body), piece)]
    return b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"


class ClientBlock:
    """A `client` block of a scenario: checked when loaded, run as often as it says."""

    def __init__(self, node):
        found = HEADING.fullmatch(node.text)
        if not found:
            raise ScriptError(
                f"{node.place()}: {node.text}\n    form: client NAME [x N] [background]"
            )
        self.node = node
        self.name = found[1]
        self.copies = int(found[2] or 1)
        self.background = bool(found[3])
        for kid in node.kids:
            bind(kid, client_steps.RULES, "client")
            client_steps.check_kids(kid)

    async def run(self, scenario):
        names = (
            [self.name]
            if self.copies == 1
            else [f"{self.name}-{number}" for number in range(1, self.copies + 1)]
        )
        await asyncio.gather(*(Client(name, self.node.kids, scenario).run() for name in names))
