"""The scripted upstream: listening, taking requests in turn, playing the steps of each."""

import asyncio
import re
import socket

from . import mock_steps
from .journal import Fail, brief
from .script import Rule, ScriptError, Test, bind, json_path
from .wire import MessageParser, Wire

HEADING = re.compile(
    r"request(?:\s+(?:x\s*(?P<times>\d+)|(?P<any>any)|(?P<optional>optional)))?"
    r"(?P<early>\s+early)?(?:\s+(?P<method>[A-Z]+)\s+(?P<path>\S+))?"
    r"(?:\s+when\s+(?P<what>json|header)\s+(?P<name>\S+)\s+(?P<test>.+))?"
)


class Block:
    """One `request` block: what it takes and how often."""

    def __init__(self, node):
        found = HEADING.fullmatch(node.text)
        if not found:
            raise ScriptError(
                f"{node.place()}: {node.text}\n    form: request [x N | any | optional]"
                " [early] [METHOD PATH] [when json|header NAME TEST]"
            )
        self.node = node
        self.early = bool(found["early"])
        self.method, self.path = found["method"], found["path"]
        self.what, self.name = found["what"], found["name"]
        self.test = Test(found["test"]) if found["test"] else None
        self.required = 0 if found["any"] or found["optional"] else int(found["times"] or 1)
        self.limit = None if found["any"] else 1 if found["optional"] else self.required
        self.used = 0
        for kid in node.kids:
            bind(kid, mock_steps.RULES, "request")
            mock_steps.check_kids(kid)

    def takes(self, request, variables):
        if self.limit is not None and self.used >= self.limit:
            return False
        if self.method and (request.method, request.path) != (self.method, self.path):
            return False
        if self.test is None:
            return True
        try:
            if self.what == "header":
                value = request.get(self.name)
            else:
                value = json_path(request.json(), self.name)
            self.test.check(value, variables, self.name)
        except (Fail, ValueError, TypeError):
            return False
        return True


class Connection:
    """One accepted connection with its request parser."""

    def __init__(self, mock, number):
        self.mock = mock
        self.number = number
        self.wire = Wire(on_data=self._data)
        self.parser = MessageParser("request")
        self.served = 0
        self.seen_faults = 0
        self.early_data = bytearray()

    def _data(self, data):
        self.parser.feed(data)
        for fault in self.parser.faults[self.seen_faults :]:
            self.mock.complain(f"the request is malformed: {fault}")
        self.seen_faults = len(self.parser.faults)

    async def until(self, ready):
        """Wait until `ready()` holds; False when the peer leaves first."""
        while not ready():
            if self.wire.gone.is_set():
                return ready()
            self.wire.changed.clear()
            await self.wire.changed.wait()
        return True

    async def next_head(self):
        messages = self.parser.messages
        if await self.until(lambda: len(messages) > self.served):
            request = messages[self.served]
            request.connection_number = self.number
            request.reused = self.served > 0
            self.served += 1
            return request
        return None


class Mock:
    """A scripted upstream. Counts connections and requests, and says who was not served."""

    def __init__(self, node, journal, authority):
        self.name = node.text.split()[1]
        self.journal = journal
        self.authority = authority
        self.node = node
        self.port = 0
        self.tls = None
        self.tls_stall = False
        self.behaviour = "serve"
        self.accept_after = 0.0
        self.on_connect = None
        self.send_buffer = None
        self.connections = 0
        self.requests = []
        self.blocks = []
        self.live = set()
        self.tasks = set()
        self.server = None
        self.listener = None
        self.fillers = []
        for kid in node.kids:
            if kid.text.split()[0] == "request":
                self.blocks.append(Block(kid))
            else:
                bind(kid, OPTIONS, "mock")
                kid.rule.action(self, *kid.args)

    # --- for scripts and reports
    def url(self):
        return (
            f"http{'s' if self.tls else ''}://{'localhost' if self.tls else '127.0.0.1'}"
            f":{self.port}"
        )

    def note(self, what):
        self.journal.note(f"mock {self.name}", what)

    def complain(self, message, node=None):
        self.journal.fail(f"mock {self.name}", Fail(message, node))

    def check_finished(self):
        for block in self.blocks:
            if block.used < block.required:
                self.complain(
                    f"expected {block.required} such request(s), came {block.used}", block.node
                )

    # --- life
    async def start(self):
        """Listen; on the same port again after a stop."""
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if self.send_buffer:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, self.send_buffer)
        sock.bind(("127.0.0.1", self.port))
        self.port = sock.getsockname()[1]
        self.listener = sock
        self.note(f"on port {self.port}, {self.behaviour}")
        if self.behaviour == "refuse":
            return
        sock.listen(0 if self.behaviour == "black hole" else 512)
        sock.setblocking(False)
        if self.behaviour == "black hole":
            await self._fill_backlog()
            return
        self.tasks.add(asyncio.create_task(self._accept_loop(sock)))

    async def _fill_backlog(self):
        """Connect until the kernel drops further SYNs: from then on nobody gets an answer."""
        loop = asyncio.get_running_loop()
        for _ in range(16):
            filler = socket.socket()
            filler.setblocking(False)
            self.fillers.append(filler)
            try:
                await asyncio.wait_for(loop.sock_connect(filler, ("127.0.0.1", self.port)), 0.2)
            except asyncio.TimeoutError:
                return
        raise RuntimeError("the backlog does not fill on this system")

    async def _accept_loop(self, sock):
        loop = asyncio.get_running_loop()
        if self.accept_after:
            knocked = asyncio.Event()
            loop.add_reader(sock, knocked.set)
            await knocked.wait()
            loop.remove_reader(sock)
            await asyncio.sleep(self.accept_after)
        while True:
            client, _ = await loop.sock_accept(sock)
            self.connections += 1
            connection = Connection(self, self.connections)
            self.note(f"connection {connection.number}")
            task = asyncio.create_task(self._serve(connection, client))
            self.tasks.add(task)
            task.add_done_callback(self.tasks.discard)

    async def stop(self):
        """Close the port and reset what is open."""
        for task in list(self.tasks):
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        self.tasks.clear()
        for wire in list(self.live):
            if wire.lost_at is None:
                wire.reset()
        self.live.clear()
        for sock in [self.listener, *self.fillers]:
            if sock is not None:
                sock.close()
        self.listener, self.fillers = None, []
        await asyncio.sleep(0)

    async def _serve(self, connection, client):
        loop = asyncio.get_running_loop()
        if self.tls_stall:
            self.fillers.append(client)
            return
        context = self.authority().context(self.tls) if self.tls else None
        wire = connection.wire
        try:
            await loop.connect_accepted_socket(lambda: wire, client, ssl=context)
        except (OSError, ConnectionError) as error:
            self.note(f"connection {connection.number}: no TLS: {error}")
            return
        self.live.add(wire)
        try:
            await self._talk(connection)
        except ConnectionError:
            self.note(f"connection {connection.number}: peer gone ({wire.closed_how()})")
        except Fail as failure:
            self.journal.fail(f"mock {self.name}", failure)
            wire.reset()
        self.live.discard(wire)
        wire.close()

    async def _talk(self, connection):
        if self.on_connect:
            kind, data = self.on_connect
            if data:
                await connection.wire.write(data.value(self.journal.variables))
            if kind == "reset":
                connection.wire.reset()
            if kind != "send":
                return
        while not connection.wire.transport.is_closing():
            request = await connection.next_head()
            if request is None:
                self.note(
                    f"connection {connection.number} closed by the peer "
                    f"({connection.wire.closed_how()})"
                )
                return
            await self._answer(connection, request)

    async def _answer(self, connection, request):
        waiting = [
            block for block in self.blocks if block.limit is None or block.used < block.limit
        ]
        if not any(block.early for block in waiting):
            if not await connection.until(lambda: request.end_at is not None):
                self.note(
                    f"request {request.method} {request.path} cut by the peer after "
                    f"{request.body_size} bytes of body"
                )
                return
        self.requests.append(request)
        self.note(
            f"connection {connection.number}: {request.method} {request.path} "
            f"{brief(bytes(request.body), 160)}"
        )
        for block in self.blocks:
            if block.takes(request, self.journal.variables):
                block.used += 1
                self.journal.mark(f"{self.name} request {len(self.requests)}")
                play = mock_steps.Play(self, connection, request)
                await play.run(block.node.kids)
                return
        self.complain(
            f"unexpected request {request.method} {request.path} " f"{brief(bytes(request.body))}",
            self.node,
        )
        connection.wire.reset()


def _set_tls(mock, kind):
    if kind == "stall":
        mock.tls_stall, mock.tls = True, "good"
    elif kind in ("good", "expired", "wrong-host", "self-signed"):
        mock.tls = kind
    else:
        raise ScriptError(f"no such certificate: {kind}")


OPTIONS = [
    Rule(
        "tls WORD",
        _set_tls,
        "speak TLS with a certificate that is good, expired, wrong-host or "
        "self-signed; `stall` accepts and never shakes hands",
    ),
    Rule("refuse", lambda mock: setattr(mock, "behaviour", "refuse"), "nobody listens on the port"),
    Rule(
        "black hole",
        lambda mock: setattr(mock, "behaviour", "black hole"),
        "a full backlog: SYNs are dropped",
    ),
    Rule(
        "accept after DUR",
        lambda mock, time: setattr(mock, "accept_after", time),
        "the first connection waits in the backlog that long",
    ),
    Rule(
        "send buffer SIZE",
        lambda mock, count: setattr(mock, "send_buffer", count),
        "the socket's send buffer",
    ),
    Rule(
        "on connect close",
        lambda mock: setattr(mock, "on_connect", ("close", None)),
        "close each connection at once",
    ),
    Rule(
        "on connect reset",
        lambda mock: setattr(mock, "on_connect", ("reset", None)),
        "reset each connection at once",
    ),
    Rule(
        "on connect send BYTES",
        lambda mock, data: setattr(mock, "on_connect", ("send", data)),
        "send these bytes first, before any request",
    ),
]
