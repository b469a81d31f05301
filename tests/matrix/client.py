"""Clients that speak raw HTTP, so that everything Weir says can be looked at."""

import asyncio
import dataclasses
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "scenario"))

from canon import dumps  # noqa: E402
from harness.wire import MessageParser, SseParser, encode_head  # noqa: E402

PATIENCE = 20.0


@dataclasses.dataclass
class Answer:
    """`cut`: the connection ended before the body did."""
    status: int
    headers: dict
    body: bytes
    cut: bool

    def events(self):
        """The events of a stream; ValueError where one is not whole."""
        parser = SseParser()
        parser.feed(self.body)
        parser.finish()
        if parser.unfinished():
            raise ValueError(f"half an event at the end: {self.body[-100:]!r}")
        return parser.events


class Clients:
    """Connections to Weir, kept and used again."""

    def __init__(self, port):
        self.port = port
        self.idle = []

    async def ask(self, path, body, headers=()):
        reader, writer = self.idle.pop() if self.idle else \
            await asyncio.open_connection("127.0.0.1", self.port)
        data = dumps(body).encode()
        writer.write(encode_head(f"POST {path} HTTP/1.1", [
            ("host", f"127.0.0.1:{self.port}"), ("content-type", "application/json"),
            ("content-length", str(len(data))), *headers]) + data)
        answer, usable = await asyncio.wait_for(self._read(reader), PATIENCE)
        if usable:
            self.idle.append((reader, writer))
        else:
            writer.close()
        return answer

    async def _read(self, reader):
        parser, cut = MessageParser("response"), False
        while not (parser.messages and parser.messages[-1].end_at):
            data = await reader.read(65536)
            parser.feed(data)
            if not data:
                parser.eof()
                cut = not parser.messages or not parser.messages[-1].end_at
                break
        if parser.faults or not parser.messages:
            raise ValueError(f"malformed answer: {parser.faults}")
        message = parser.messages[-1]
        answer = Answer(message.status, {name: message.get(name) for name, _ in message.headers},
                        bytes(message.body), cut)
        return answer, not cut and message.get("connection") != "close" and \
            message.framing != "close"

    def close(self):
        for _, writer in self.idle:
            writer.close()
