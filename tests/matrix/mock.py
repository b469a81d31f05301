#!/usr/bin/env python3
"""Providers, as strict as they are: one server with a folder for each wire.

What a request asks for is in the model's name: MODEL--FEATURE--ANYTHING, with the features of
features.py. A request that the real API would refuse is a 400 in the provider's own words; all of them
are kept in `records`, by model.

  mock.py [--port N]     to look at it by hand
"""

import argparse
import asyncio
import dataclasses
import json
import pathlib
import re
import sys
import traceback
from urllib.parse import unquote

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "scenario"), str(HERE.parent / "shared")]

from canon import dumps  # noqa: E402
from features import FEATURES  # noqa: E402
from harness.mock import Connection  # noqa: E402
from harness.wire import encode_chunk, encode_head  # noqa: E402
from strict import Bad  # noqa: E402
from wires import KEY, WIRES  # noqa: E402

OUT_OF_CAPACITY = "The model is out of capacity, error of the mock."
REASONS = {200: "OK", 400: "Bad Request", 401: "Unauthorized", 404: "Not Found", 429: "Too Many",
           500: "Internal Server Error", 503: "Unavailable", 529: "Overloaded"}


@dataclasses.dataclass
class Call:
    """One request to a provider."""
    wire_name: str
    target: str
    headers: dict
    body: dict
    model: str

    @property
    def feature(self):
        return self.model.split("--")[1] if "--" in self.model else "text"

    def header(self, name):
        return self.headers.get(name)


@dataclasses.dataclass
class Record:
    """What came, and what was wrong with it."""
    call: Call
    request: dict = None
    stream: bool = False
    fault: str = None


class Mock:
    """One listening server. `problems`: what cannot be put down to one request."""

    def __init__(self):
        self.records = {}
        self.problems = []
        self.tasks = set()
        self.server = None
        self.port = 0
        self.connections = 0

    def url(self, wire):
        return f"http://127.0.0.1:{self.port}/{wire}"

    def complain(self, message):
        self.problems.append(message)

    async def start(self, port=0):
        loop = asyncio.get_running_loop()
        self.server = await loop.create_server(self._accept, "127.0.0.1", port, backlog=512)
        self.port = self.server.sockets[0].getsockname()[1]

    async def stop(self):
        self.server.close()
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
            while (request := await connection.next_head()) is not None:
                if not await connection.until(lambda: request.end_at is not None):
                    break
                if not await self._answer(connection.wire, request):
                    break
        except ConnectionError:
            pass
        except Exception:  # noqa: BLE001 - a broken mock must not look like a broken provider
            self.complain("the mock failed: " + traceback.format_exc())
        finally:
            connection.wire.close()

    # --- one request
    async def _answer(self, wire, request):
        """False: the connection closes behind the answer."""
        name, _, target = request.path.lstrip("/").partition("/")
        if request.path == "/oauth/token":
            return await send_json(wire, 200, {"access_token": KEY, "expires_in": 3600,
                                               "token_type": "Bearer"})
        if name not in WIRES:
            self.complain(f"a request for {request.path}")
            return await send_json(wire, 404, {"error": "no such wire"})
        row = WIRES[name]
        row = dataclasses.replace(row, format=row.format_at("/" + target))
        try:
            call = read_call(row, name, "/" + target, request)
        except Bad as bad:
            self.complain(f"{name}: {request.path}: {bad}")
            call = Call(name, "/" + target, {}, {}, "none--text--none")
            return await send_error(wire, row.format, call, bad.status, str(bad))
        record = Record(call)
        self.records.setdefault(call.model, []).append(record)
        try:
            record.request, record.stream = row.format.read_request(call)
        except (Bad, KeyError, ValueError, TypeError) as bad:
            record.fault = f"{type(bad).__name__} {bad}"
            return await send_error(wire, row.format, call, 400, record.fault)
        return await play(wire, row, call, record)


def read_call(row, name, target, request):
    """The request's own check: path, credential, media type, JSON without doubled keys."""
    found = re.fullmatch(row.path, target)
    if request.method != "POST" or not found:
        raise Bad(f"{request.method} {target} is not {row.path}", status=404)
    headers = {key: request.get(key) for key, _ in request.headers}
    if not re.fullmatch(row.auth[1], headers.get(row.auth[0]) or ""):
        raise Bad(f"{row.auth[0]}: {headers.get(row.auth[0])!r}", status=401)
    strangers = {"authorization", "x-api-key", "api-key", "x-goog-api-key"} - {row.auth[0]}
    leaked = [name for name in strangers & set(headers) if KEY not in headers[name]]
    if leaked:
        raise Bad(f"somebody else's credential: {leaked}", status=401)
    if not (headers.get("content-type") or "").startswith("application/json"):
        raise Bad(f"content-type {headers.get('content-type')!r}")
    body = json.loads(bytes(request.body), object_pairs_hook=unique)
    model = unquote(found["model"]) if "model" in found.groupdict() else body.get("model", "")
    return Call(name, target, headers, body, model)


def unique(pairs):
    if len(dict(pairs)) != len(pairs):
        raise Bad(f"a key twice: {[name for name, _ in pairs]}")
    return dict(pairs)


async def play(wire, row, call, record):
    """The answer that the feature in the model's name stands for."""
    feature = FEATURES.get(call.feature)
    if feature is None:
        return await send_error(wire, row.format, call, 404, f"no model {call.model}")
    if feature.kind == "error":
        return await send_error(wire, row.format, call, feature.status, OUT_OF_CAPACITY)
    if feature.name == "html":
        return await send(wire, 200, b"<html>Please log in</html>", "text/html")
    answer = feature.answer
    if feature.again and len(record.request["messages"]) > 1:
        answer = FEATURES["text"].answer
    if record.stream:
        return await send_stream(wire, row, call, feature, answer)
    body = dumps(row.format.write_answer(answer, call)).encode()
    if feature.name == "truncated":
        body = body[:len(body) // 2]
    return await send(wire, 200, body, "application/json", row.format.headers(call))


async def send(wire, status, body, kind, headers=()):
    await wire.write(encode_head(f"HTTP/1.1 {status} {REASONS.get(status, 'Status')}", [
        ("content-type", kind), ("content-length", str(len(body))), *headers]) + body)
    return True


async def send_json(wire, status, value, headers=()):
    return await send(wire, status, dumps(value).encode(), "application/json", headers)


async def send_error(wire, form, call, status, message):
    status, headers, body = form.write_error(status, message, call)
    return await send_json(wire, status, body, [*form.headers(call), *headers])


def broken(events, feature, row, call):
    """The events as the feature wants them broken: (events, whether the body is ended properly)."""
    half = events[:max(2, len(events) // 2)]
    if feature.name == "error-first":
        return [row.format.error_event(OUT_OF_CAPACITY, call)], True
    if feature.name == "error-middle":
        return [*half, row.format.error_event(OUT_OF_CAPACITY, call)], True
    if feature.name == "cut":
        return half, True
    return events, True


async def send_stream(wire, row, call, feature, answer):
    events, whole = broken(list(row.format.write_stream(answer, call)), feature, row, call)
    await wire.write(encode_head("HTTP/1.1 200 OK", [
        ("content-type", row.stream_type), ("transfer-encoding", "chunked"),
        *row.format.headers(call)]))
    for name, data in events:
        await wire.write(encode_chunk(row.frame(name, data)))
    if whole:
        await wire.write(b"0\r\n\r\n")
    return whole


async def serve(port):
    mock = Mock()
    await mock.start(port)
    for name in WIRES:
        print(f"{name:10} {mock.url(name)}", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=0)
    asyncio.run(serve(parser.parse_args().port))
