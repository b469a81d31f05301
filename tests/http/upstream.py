"""The mock upstream of cases.py: keeps all it gets, answers well unless told otherwise."""

import asyncio
import json
import socket

from harness.wire import MessageParser, Wire


def good_answer(request):
    """A completion whose text is the request's `user`."""
    try:
        user = json.loads(bytes(request.body)).get("user", "nobody")
    except (ValueError, AttributeError):
        user = "nobody"
    body = json.dumps(
        {
            "id": "c",
            "object": "chat.completion",
            "created": 1,
            "model": "gpt-4o-mini",
            "choices": [
                {
                    "index": 0,
                    "finish_reason": "stop",
                    "message": {"role": "assistant", "content": str(user)},
                }
            ],
            "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
        }
    )
    return (
        f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        f"{body}"
    ).encode()


class Upstream:
    """Listening mock. `requests` are all since the last `reset`, `faults` what was malformed.

    `script(request)` may give (bytes, close, piece) for a request instead of the good answer; a
    piece above 0 sends that many bytes at a time.
    """

    def __init__(self):
        self.port = 0
        self.requests = []
        self.cut = []
        self.faults = []
        self.script = None
        self.connections = 0
        self.tasks = set()

    async def start(self, port):
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(("127.0.0.1", port))
        sock.listen(512)
        self.port = sock.getsockname()[1]
        loop = asyncio.get_running_loop()
        self.server = await loop.create_server(self._connection, sock=sock)

    def reset(self, script=None):
        self.requests, self.cut, self.faults = [], [], []
        self.script = script

    def _connection(self):
        self.connections += 1
        number = self.connections
        parser = MessageParser("request")
        wire = Wire(on_data=parser.feed)

        def made(_):
            task = asyncio.create_task(self._serve(wire, parser, number))
            self.tasks.add(task)
            task.add_done_callback(self.tasks.discard)

        wire.on_made = made
        return wire

    async def _serve(self, wire, parser, number):
        served = 0
        try:
            while True:
                while len([one for one in parser.messages if one.end_at]) <= served:
                    if wire.gone.is_set():
                        if parser.cut():
                            self.cut.append(number)
                        return
                    self.faults += parser.faults
                    parser.faults = []
                    wire.changed.clear()
                    await wire.changed.wait()
                request = parser.messages[served]
                served += 1
                request.connection_number = number
                self.faults += parser.faults
                parser.faults = []
                self.requests.append(request)
                if await self._answer(wire, request):
                    return
        except ConnectionError:
            pass
        finally:
            wire.close()

    async def _answer(self, wire, request):
        """Send the answer; True when the connection is to be closed."""
        scripted = self.script(request) if self.script else None
        if scripted is None:
            await wire.write(good_answer(request))
            return False
        data, close, piece = scripted
        if piece:
            await wire.write_pieces(data, piece, 0)
        else:
            await wire.write(data)
        return close
