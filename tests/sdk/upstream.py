"""The upstream of the SDK tests: a server that speaks the providers' wires, told apart by the path,
and remembers what it was asked. Chat completions and what else OpenAI has are in behaviours.py, the
other wires in wires.py and scripts.py.

The model's name says how it behaves: `cut@python-7` behaves as `cut` and is counted apart from any
other cut. It speaks plain HTTP, and TLS behind a proxy for those who want to reach a hosted
provider. GET /_seen?model=NAME tells a test what came for that name: bodies, headers, and when the
peer left before its answer was complete (seconds on the machine's monotonic clock, which the tests
read as well).
"""

import asyncio
import hashlib
import json
import logging
import pathlib
import ssl
import sys
import time
from urllib.parse import parse_qs, urlsplit

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "scenario"))

from harness.mock import Connection  # noqa: E402
from harness.wire import encode_chunk, encode_head  # noqa: E402
from scripts import SCRIPTS  # noqa: E402
from wires import Gemini, wire_for  # noqa: E402

HOSTED = "api.openai.com"
KEEP_BODY = 65536
GONE_WAIT = 5.0
REASONS = {200: "OK", 400: "Bad Request", 401: "Unauthorized", 404: "Not Found",
           429: "Too Many Requests", 500: "Internal Server Error"}


class Call:
    """One request and the means to answer it."""

    def __init__(self, connection, request):
        self.connection = connection
        self.wire = connection.wire
        self.request = request
        self.path = urlsplit(request.path).path
        try:
            self.body = request.json()
        except ValueError:
            self.body = {}
        kind = wire_for(self.path)
        self.speaker = kind(self) if kind else None
        self.model = (Gemini.model(self.path) if kind is Gemini
                      else self.body.get("model") or self.path.rpartition("/")[2])
        self.number = 0
        self.created = int(time.time())
        self.piece = 0
        self.ascii = False

    @property
    def wants_usage(self):
        return bool((self.body.get("stream_options") or {}).get("include_usage"))

    # --- whole answers
    async def json(self, value, status=200, headers=()):
        data = json.dumps(value).encode()
        head = encode_head(f"HTTP/1.1 {status} {REASONS[status]}",
                           [("content-type", "application/json"),
                            ("content-length", str(len(data))), *headers])
        await self.wire.write(head + data)

    async def error(self, status, message, kind="invalid_request_error", param=None, code=None,
                    headers=()):
        await self.json({"error": {"message": message, "type": kind, "param": param,
                                   "code": code}}, status, headers)

    # --- streams
    async def stream(self):
        await self.wire.write(encode_head("HTTP/1.1 200 OK",
                                          [("content-type", "text/event-stream; charset=utf-8"),
                                           ("transfer-encoding", "chunked")]))

    async def text(self, data):
        """Bytes of the body; in chunks and writes of `piece` bytes if that is set."""
        if not self.piece:
            await self.wire.write(encode_chunk(data))
            return
        for at in range(0, len(data), self.piece):
            await self.wire.write(encode_chunk(data[at:at + self.piece]))
            await asyncio.sleep(0)

    async def event(self, value):
        await self.text(b"data: " + json.dumps(value, ensure_ascii=self.ascii).encode() + b"\n\n")

    async def chunk(self, choices, **more):
        """A chunk of a chat, with `"usage":null` where usage was asked for."""
        value = {"id": "chatcmpl-stream", "object": "chat.completion.chunk",
                 "created": self.created, "model": self.body.get("model"), "choices": choices}
        if self.wants_usage:
            value["usage"] = None
        await self.event({**value, **more})

    async def delta(self, delta, index=0, finish=None):
        await self.chunk([{"index": index, "delta": delta, "logprobs": None,
                           "finish_reason": finish}])

    async def done(self, usage=None):
        """The usage chunk if it was asked for, [DONE], the end."""
        if self.wants_usage and usage:
            await self.chunk([], usage=usage)
        await self.text(b"data: [DONE]\n\n")
        await self.wire.write(b"0\r\n\r\n")


async def pour(reader, writer):
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.close()


class Upstream:
    """One listening mock. `complaints` are requests that Weir must not send. `direct`: the SDKs
    come without Weir, and may send what is theirs."""

    def __init__(self, key, behaviours, direct=False):
        self.key = key
        self.behaviours = behaviours
        self.direct = direct
        self.complaints = []
        self.records = []
        self.counts = {}
        self.servers = []
        self.port = 0
        self.tls_port = 0
        self.proxy_port = 0
        self.tasks = set()
        self.connections = 0

    def complain(self, message):
        self.complaints.append(message)

    async def start(self, certificate):
        """Listen: plain, with TLS by (certificate, key), and as the proxy in front of that."""
        # The connections keep their sending side after an end; over TLS asyncio warns of it.
        logging.getLogger("asyncio").setLevel(logging.ERROR)
        self.port = await self._listen(self._accept)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*certificate)
        self.tls_port = await self._listen(self._accept, ssl=context)
        proxy = await asyncio.start_server(self._tunnel, "127.0.0.1", 0)
        self.servers.append(proxy)
        self.proxy_port = proxy.sockets[0].getsockname()[1]

    async def _listen(self, accept, **more):
        loop = asyncio.get_running_loop()
        server = await loop.create_server(accept, "127.0.0.1", 0, backlog=512, **more)
        self.servers.append(server)
        return server.sockets[0].getsockname()[1]

    async def _tunnel(self, reader, writer):
        """An HTTP proxy whose only way leads to the TLS port."""
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            if not head.startswith(f"CONNECT {HOSTED}:443 ".encode()):
                self.complain(f"the proxy was asked for {head[:80]!r}")
            inner, outer = await asyncio.open_connection("127.0.0.1", self.tls_port)
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            await asyncio.gather(pour(reader, outer), pour(inner, writer))
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def stop(self):
        for server in self.servers:
            server.close()
        for task in list(self.tasks):
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    def _accept(self):
        self.connections += 1
        connection = Connection(self, self.connections)
        task = asyncio.get_running_loop().create_task(self._serve(connection))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return connection.wire

    async def _serve(self, connection):
        try:
            while True:
                request = await connection.next_head()
                if request is None:
                    break
                if await connection.until(lambda: request.end_at is not None):
                    await self._answer(Call(connection, request))
        except ConnectionError:
            pass
        except Exception as error:  # noqa: BLE001 - a broken mock must not look like a cut stream
            self.complain(f"the mock failed: {error!r}")
        finally:
            connection.wire.close()

    async def _answer(self, call):
        if call.path.startswith("/_seen"):
            await self._seen(call)
            return
        self._check(call)
        record = self._remember(call)
        play = asyncio.ensure_future(self._play(call))
        gone = asyncio.ensure_future(call.wire.gone.wait())
        try:
            await asyncio.wait([play, gone], return_when=asyncio.FIRST_COMPLETED)
            record["done"] = play.done() and play.exception() is None
            if not record["done"]:
                record["gone_at"] = call.wire.eof_at
            if play.done():
                play.result()
        finally:
            play.cancel()
            gone.cancel()

    async def _play(self, call):
        """As the model's name says, in the wire that the path belongs to."""
        name, wire = call.model.partition("@")[0], call.speaker
        if call.path.endswith("/count_tokens"):
            await call.json({"input_tokens": 9})
        elif name not in (SCRIPTS if wire else self.behaviours):
            await (wire or call).error(404, f"The model `{call.model}` does not exist",
                                       code="model_not_found")
        elif wire:
            await SCRIPTS[name](call, wire)
        else:
            await self.behaviours[name](call)

    def _remember(self, call):
        data = bytes(call.request.body)
        self.counts[call.model] = call.number = self.counts.get(call.model, 0) + 1
        record = {"model": call.model, "path": call.request.path, "at": call.request.end_at,
                  "headers": dict(call.request.headers), "size": len(data),
                  "sha256": hashlib.sha256(data).hexdigest(),
                  "body": call.body if len(data) <= KEEP_BODY else None, "done": False,
                  "gone_at": None}
        self.records.append(record)
        return record

    def _check(self, call):
        """Whatever the client sent, this is what Weir may send."""
        headers, wire = call.request, call.speaker
        if wire:
            for problem in [] if wire.key() == self.key else ["a wrong key"], wire.problems():
                for text in problem:
                    self.complain(f"{call.model}: {wire.name}: {text}")
        elif headers.get("authorization") != f"Bearer {self.key}":
            self.complain(f"{call.model}: authorization {headers.get('authorization')!r}")
        for name, _ in [] if self.direct else headers.headers:
            if name in ("openai-organization", "openai-project", "cookie") or (
                    name.startswith("x-stainless-") and name != "x-stainless-retry-count"):
                self.complain(f"{call.model}: {name} was passed on")

    async def _seen(self, call):
        """What came for a model. With gone=1, once all of it is answered or given up."""
        query = parse_qs(urlsplit(call.request.path).query)
        mine = [r for r in self.records if r["model"] == query["model"][0]]
        deadline = time.monotonic() + GONE_WAIT
        while "gone" in query and time.monotonic() < deadline:
            if all(r["done"] or r["gone_at"] for r in mine):
                break
            await asyncio.sleep(0.002)
        await call.json(mine)
