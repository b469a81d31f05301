"""Upstreams and clients in one event loop, for tests that measure: neither waits for the other's thread."""

import asyncio
import contextlib
import json
import time

import explained
from explained import TAG, Heard, new_tag
from harness import CHAT, Weir, completion

WORD = "hello"
# What an answer with this status is called.
OUTCOMES = {200: "ok", 400: "upstream_refused", 401: "upstream_auth", 403: "upstream_auth", 422: "upstream_refused",
            429: "rate_limit_exceeded", 500: "upstream_error", 503: "upstream_error"}


def run(coroutine):
    return asyncio.run(coroutine)


async def read_head(reader):
    """(first line, headers), or None at the end."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
    lines = head.decode("latin-1").split("\r\n")
    fields = (line.partition(":") for line in lines[1:] if line)
    return lines[0], {name.lower(): value.strip() for name, _, value in fields}


class Call:
    """A request at a mock, and the ways to answer it."""

    def __init__(self, mock, path, headers, body, writer, number):
        self.mock, self.path, self.headers, self.body, self.writer = mock, path, headers, body, writer
        self.number, self.inside = number, True
        self.heard = Heard(headers.get(TAG), body.get("model"), 0)
        mock.heard.append(self.heard)

    def say(self, status):
        self.heard.status, self.heard.outcome = status, OUTCOMES[status]

    def leave(self):
        """Before the last byte: whoever sees that may send the next request at once."""
        self.mock.inflight -= self.inside
        self.inside = False

    @property
    def streams(self):
        return bool(self.body.get("stream"))

    async def json(self, value, status=200, headers=()):
        data = json.dumps(value).encode()
        lines = [f"HTTP/1.1 {status} Status", "Content-Type: application/json", f"Content-Length: {len(data)}",
                 *(f"{name}: {field}" for name, field in headers)]
        self.say(status)
        self.leave()
        self.writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + data)
        await self.writer.drain()

    async def fail(self, status=500, headers=()):
        error = {"message": "scripted", "type": "server_error", "param": None, "code": None}
        await self.json({"error": error}, status, headers)

    def _event(self, value):
        data = b"data: " + (value if isinstance(value, bytes) else json.dumps(value).encode()) + b"\n\n"
        self.writer.write(b"%x\r\n%s\r\n" % (len(data), data))

    def _chunk(self, delta, finish=None):
        self._event({"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m",
                     "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]})

    async def good(self, first=0.0, rest=0.0):
        """`first`: seconds until the first token; `rest`: from there to the end."""
        await asyncio.sleep(first)
        if not self.streams:
            await asyncio.sleep(rest)
            await self.json(completion(self.body.get("model", "m"), WORD))
            return
        self.say(200)
        self.writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        self._chunk({"role": "assistant", "content": WORD})
        await self.writer.drain()
        await asyncio.sleep(rest)
        self._chunk({}, "stop")
        self._event({"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [],
                     "usage": {"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4}})
        self.leave()
        self._event(b"[DONE]")
        self.writer.write(b"0\r\n\r\n")
        await self.writer.drain()


class Mock:
    """An upstream that speaks chat completions; `answer(call)` says what it does, and may be exchanged. GETs,
    which are probes, get what `probed` says: a status."""

    def __init__(self, answer, probed=200):
        self.answer, self.probed = answer, probed
        self.times, self.heard, self.inflight, self.most, self.probes = [], [], 0, 0, 0
        self.tasks = set()

    async def __aenter__(self):
        self.server = await asyncio.start_server(self._serve, "127.0.0.1", 0, backlog=1024)
        self.port = self.server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_):
        self.server.close()
        for task in list(self.tasks):
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}/v1"

    def count(self, since=0.0):
        return sum(at >= since for at in self.times)

    def forget(self):
        self.times.clear()
        self.most = self.inflight

    async def _serve(self, reader, writer):
        self.tasks.add(asyncio.current_task())
        try:
            while (head := await read_head(reader)) is not None:
                await self._one(head, reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            self.tasks.discard(asyncio.current_task())
            writer.close()

    async def _one(self, head, reader, writer):
        line, headers = head
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        if line.startswith("GET"):
            self.probes += 1
            data = b'{"object":"list","data":[]}'
            writer.write(b"HTTP/1.1 %d Status\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"
                         % (self.probed, len(data), data))
            return
        self.times.append(time.monotonic())
        self.inflight += 1
        self.most = max(self.most, self.inflight)
        call = Call(self, line.split()[1], headers, json.loads(body), writer, len(self.times))
        try:
            await self.while_connected(self.answer(call), reader)
        finally:
            call.leave()

    @staticmethod
    async def while_connected(work, reader):
        """Ends the work when the other end leaves: nothing is sent behind a request before its answer."""
        doing = asyncio.ensure_future(work)
        left = asyncio.ensure_future(_left(reader))
        try:
            await asyncio.wait({doing, left}, return_when=asyncio.FIRST_COMPLETED)
            if not doing.done():
                raise ConnectionError
            doing.result()
        finally:
            for task in (doing, left):
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError, ConnectionError):
                    await task


async def _left(reader):
    while not reader.at_eof() and reader.exception() is None:
        await asyncio.sleep(0.005)


class Result:
    """`first`: seconds to the first token, or None; `total`: to the end; `tag`: what the mocks know it by."""

    def __init__(self, status, headers, body, first, total, at, tag):
        self.status, self.headers, self.body, self.first, self.total, self.at = status, headers, body, first, total, at
        self.tag = tag

    @property
    def target(self):
        return self.headers.get("x-weir-target")

    @property
    def attempts(self):
        return int(self.headers.get("x-weir-attempts", 0))


class Client:
    """A kept connection."""

    def __init__(self, port):
        self.port, self.writer = port, None

    async def _open(self):
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.port)

    async def ask(self, model="chat", stream=True, headers=(), **more):
        body = {"model": model, "messages": [{"role": "user", "content": "hello"}], **more}
        if stream:
            body["stream"] = True
        data = json.dumps(body).encode()
        tag = new_tag()
        fields = "".join(f"{name}: {value}\r\n" for name, value in (*headers, (TAG, tag)))
        if self.writer is None or self.writer.is_closing():
            await self._open()
        began = time.monotonic()
        self.writer.write(f"POST {CHAT} HTTP/1.1\r\nHost: weir\r\nContent-Type: application/json\r\n{fields}"
                          f"Content-Length: {len(data)}\r\n\r\n".encode() + data)
        line, answer = await read_head(self.reader)
        first, body = None, b""
        if "chunked" in answer.get("transfer-encoding", ""):
            while (size := int(await self.reader.readline(), 16)) > 0:
                body += (await self.reader.readexactly(size + 2))[:-2]
                if first is None and WORD.encode() in body:
                    first = time.monotonic() - began
            await self.reader.readline()
        else:
            body = await self.reader.readexactly(int(answer.get("content-length", 0)))
        total = time.monotonic() - began
        if answer.get("connection") == "close":
            self.close()
        return Result(int(line.split()[1]), answer, body, first, total, began, tag)

    def close(self):
        if self.writer is not None:
            self.writer.close()
            self.writer = None


class Clients:
    """As many kept connections as are needed at a time."""

    def __init__(self, port):
        self.port, self.free, self.all, self.results = port, [], [], []

    async def ask(self, **more):
        client = self.free.pop() if self.free else Client(self.port)
        if client not in self.all:
            self.all.append(client)
        result = await client.ask(**more)
        self.results.append(result)
        self.free.append(client)
        return result

    async def open_loop(self, rate, seconds, gaps=None, **more):
        """Starts `rate` requests a second whatever comes of them; `more` may hold functions of the number."""
        tasks, began, at = [], time.monotonic(), 0.0
        for n in range(int(rate * seconds)):
            await asyncio.sleep(max(0.0, began + at - time.monotonic()))
            told = {name: value(n) if callable(value) else value for name, value in more.items()}
            tasks.append(asyncio.create_task(self.ask(**told)))
            at += gaps(n) / rate if gaps else 1 / rate
        return await asyncio.gather(*tasks)

    async def together(self, count, **more):
        return await asyncio.gather(*(self.ask(**more) for _ in range(count)))

    def close(self):
        for client in self.all:
            client.close()


@contextlib.asynccontextmanager
async def gateway(config, **mocks):
    """A running gateway and clients for it, whose requests it has to explain in the end as the mocks saw them,
    by their providers' names. Starting and stopping it must not hold up the mocks."""
    weir = Weir(config)
    await asyncio.to_thread(weir.start)
    clients = Clients(weir.port)
    try:
        yield weir, clients
        await asyncio.to_thread(explained.as_seen, weir, clients.results, mocks)
    except BaseException as e:
        clients.close()
        await asyncio.to_thread(weir.__exit__, type(e), e, e.__traceback__)
        raise
    clients.close()
    await asyncio.to_thread(weir.__exit__, None, None, None)


def providers(**mocks):
    """Provider rows of mocks, by name."""
    return "".join(f"  {name}: {{type: vllm, url: '{mock.url}', models: [m]}}\n" for name, mock in mocks.items())
