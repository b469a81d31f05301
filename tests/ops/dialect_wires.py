"""Clients of every dialect, speaking raw HTTP, and a provider of every wire whose answers are scripted:
the formats are those of tests/matrix, what goes wrong with them is up to the test."""

import dataclasses
import json
import re
import socket
import time
from urllib.parse import unquote

from canon import dumps
from features import WEATHER, asking
from formats import anthropic, google, openai, responses
from harness import Server, late, requests_of, read_all
from strict import Bad, check, text
from wires import KEY, WIRES, Wire

# openai-compatible: no Responses of its own, so that clients of Responses are translated.
ROWS = {"openai": dataclasses.replace(WIRES["openai"], type="openai-compatible", other=(None, None)),
        **{name: WIRES[name] for name in ("anthropic", "gemini", "responses", "bedrock")}}


# ---------------------------------------------------------------- clients

@dataclasses.dataclass
class Event:
    name: str
    data: str


@dataclasses.dataclass
class Reply:
    """`cut`: the connection ended before the body did."""
    status: int
    headers: dict
    body: bytes
    cut: bool

    def json(self):
        return json.loads(self.body)


def dechunk(data):
    """(body, whether its last chunk is missing)."""
    body = b""
    while True:
        line, found, rest = data.partition(b"\r\n")
        if not found:
            return body, True
        size = int(line, 16)
        if size == 0:
            return body, rest != b"\r\n"
        if rest[size:size + 2] != b"\r\n":
            return body + rest[:size], True
        body, data = body + rest[:size], rest[size + 2:]


def read_reply(data):
    head, found, rest = data.partition(b"\r\n\r\n")
    if not found:
        raise Bad(f"no answer: {data[:200]!r}")
    lines = head.decode("latin-1").split("\r\n")
    fields = [line.partition(":") for line in lines[1:]]
    headers = {name.lower(): value.strip() for name, _, value in fields}
    if "transfer-encoding" in headers:
        body, cut = dechunk(rest)
    else:
        body, cut = rest, len(rest) != int(headers.get("content-length", len(rest)))
    return Reply(int(lines[0].split()[1]), headers, body, cut)


def post(port, path, body, seconds=10.0, headers=()):
    """One request on a connection of its own."""
    data = dumps(body).encode()
    more = "".join(f"{name}: {value}\r\n" for name, value in headers)
    with socket.create_connection(("127.0.0.1", port), late(seconds)) as sock:
        sock.sendall(b"POST %s HTTP/1.1\r\nHost: weir\r\nContent-Type: application/json\r\nConnection: close\r\n"
                     b"%sContent-Length: %d\r\n\r\n%s" % (path.encode(), more.encode(), len(data), data))
        return read_reply(read_all(sock, seconds))


def sse_events(body):
    """Bad where the last event is not whole."""
    said = body.decode().replace("\r\n", "\n")
    if not said.endswith("\n\n"):
        raise Bad(f"half an event at the end: {said[-200:]!r}")
    events = []
    for block in said.split("\n\n"):
        fields = [line.partition(":") for line in block.split("\n") if line and not line.startswith(":")]
        data = [value.removeprefix(" ") for name, _, value in fields if name == "data"]
        names = [value.strip() for name, _, value in fields if name == "event"]
        if data:
            events.append(Event(names[0] if names else None, "\n".join(data)))
    return events


def array_events(body):
    """Google's streams without alt=sse: one JSON array."""
    return [Event(None, dumps(value)) for value in json.loads(body)]


class Completions:
    """Legacy completions, in the form of the matrix' modules."""

    read_error = staticmethod(openai.read_error)

    @staticmethod
    def path(_model, _stream):
        return "/v1/completions"

    @staticmethod
    def write_request(_request, model, stream):
        return {"model": model, "prompt": "Hello", "max_tokens": 300,
                **({"stream": True, "stream_options": {"include_usage": True}} if stream else {})}

    @staticmethod
    def read_answer(body):
        check(body["object"], {"text_completion"}, "object")
        check(body["id"], text, "id")
        choice = body["choices"][0]
        finish = openai.FINISH_READ[choice["finish_reason"]]
        return {"choices": [{"parts": [{"text": choice["text"]}], "finish": finish}],
                "usage": openai.read_usage(body["usage"]), "model": body["model"]}

    @staticmethod
    def read_stream(events):
        said, finish, usage = "", None, None
        for event in events[:-1]:
            chunk = json.loads(event.data)
            check(chunk["object"], {"text_completion"}, "object")
            usage = chunk.get("usage") or usage
            for choice in chunk["choices"]:
                said, finish = said + choice["text"], choice["finish_reason"] or finish
        if events[-1].data != "[DONE]":
            error = json.loads(events[-1].data)
            if "error" not in error:
                raise Bad("neither [DONE] nor an error")
            return None, openai.read_error(error)
        return {"choices": [{"parts": [{"text": said}], "finish": openai.FINISH_READ[finish]}],
                "usage": openai.read_usage(usage)}, None


@dataclasses.dataclass
class Client:
    """`success`: what no stream may say that has not gone well; `raw`: the wire that looks the same."""
    form: object
    success: str
    raw: str = None
    events: object = sse_events
    type: str = "text/event-stream"
    tools: bool = True

    def path(self, model, stream):
        path = self.form.path(model, stream)
        return path.replace("?alt=sse", "") if self.events is array_events else path

    def ask(self, port, model, stream, tools=False, headers=()):
        request = asking(tools=[WEATHER]) if tools else asking()
        return post(port, self.path(model, stream), self.form.write_request(request, model, stream), headers=headers)

    def read(self, reply, stream, but=None):
        """(answer, None) or (None, error) of what has status 200; `but`: events that hold it are left out."""
        kind = reply.headers.get("content-type", "")
        if not kind.startswith(self.type if stream else "application/json"):
            raise Bad(f"content-type {kind}")
        if not stream:
            return self.form.read_answer(reply.json()), None
        return self.form.read_stream([e for e in self.events(reply.body) if not but or but not in e.data])


OPENAI_SUCCESS = r'\[DONE\]|"finish_reason": ?"'
GOOGLE_SUCCESS = r'"finishReason"'
CLIENTS = {
    "openai": Client(openai, OPENAI_SUCCESS, "openai"),
    "completions": Client(Completions, OPENAI_SUCCESS, "openai", tools=False),
    "responses": Client(responses, r"response\.(completed|incomplete)", "responses"),
    "anthropic": Client(anthropic, r'message_stop|"stop_reason": ?"', "anthropic"),
    "google": Client(google, GOOGLE_SUCCESS, "gemini"),
    "google-array": Client(google, GOOGLE_SUCCESS, None, array_events, "application/json"),
}


# ---------------------------------------------------------------- the provider

class LegacyProvider:
    """OpenAI's legacy completions, made of what its chat completions say."""

    write_error, error_event = staticmethod(openai.write_error), staticmethod(openai.error_event)

    @staticmethod
    def choice(value):
        said = value.get("delta") or value.get("message") or {}
        return {"index": value["index"], "text": said.get("content") or "", "logprobs": None,
                "finish_reason": value["finish_reason"]}

    @classmethod
    def write_answer(cls, answer, call):
        body = openai.write_answer(answer, call)
        return {**body, "object": "text_completion", "choices": [cls.choice(c) for c in body["choices"]]}

    @classmethod
    def write_stream(cls, answer, call):
        for name, data in openai.write_stream(answer, call):
            if data != "[DONE]":
                chunk = json.loads(data)
                data = dumps({**chunk, "object": "text_completion",
                              "choices": [cls.choice(c) for c in chunk["choices"]]})
            yield name, data


@dataclasses.dataclass
class Call:
    """A request as the provider understood it; the matrix' formats take it so. `provider`: whom it was sent
    to; `said`: the status that it gets, once that is known."""
    wire_name: str
    wire: Wire
    target: str
    headers: dict
    body: dict
    model: str
    provider: str
    said: int = None
    at: float = dataclasses.field(default_factory=time.monotonic)

    @property
    def fault(self):
        return self.model.rpartition("--")[2]

    @property
    def streams(self):
        return "stream" in self.target if self.wire_name in ("gemini", "bedrock") else bool(self.body.get("stream"))

    def events(self, answer):
        """A whole stream, as a list of (name, data)."""
        return list(self.wire.format.write_stream(answer, self))

    def frames(self, events):
        return [self.wire.frame(name, data) for name, data in events]


@dataclasses.dataclass
class Play:
    """What the provider does. `then`: "end" the body, "cut" it off, or be "silent" until the other end
    leaves; without `status` nothing is said at all. A list of pieces is a stream."""
    body: object = b""
    status: int = 200
    type: str = "application/json"
    headers: tuple = ()
    then: str = "end"


def read_call(request, wires):
    provider, _, target = request.path.lstrip("/").partition("/")
    name, body = wires.get(provider, provider), request.json()
    wire = ROWS[name]
    if target == "v1/completions":
        wire = dataclasses.replace(wire, format=LegacyProvider, path="/v1/completions")
    found = re.fullmatch(wire.path, "/" + target)
    if not found:
        raise ValueError(f"{request.path} is not {wire.path}")
    model = unquote(found["model"]) if "model" in found.groupdict() else body["model"]
    return Call(name, wire, "/" + target, request.headers, body, model, provider)


class Provider(Server):
    """Speaks all wires; `plays`: by the end of the model's name, a function from the Call to a Play. `wires`:
    of providers that are not called as their wire is."""
    wires = {}

    def __init__(self, plays):
        self.plays, self.calls = plays, []
        super().__init__(self._serve)

    def _serve(self, sock, peer):
        for request in requests_of(sock, peer):
            call = read_call(request, self.wires)
            self.calls.append(call)
            play = self.plays[call.fault](call)
            call.said = play.status
            if not act(sock, play):
                return

    def config(self, more=""):
        more = ", " + more if more else ""
        rows = [f'  {name}: {{type: {row.type}, url: "http://127.0.0.1:{self.port}/{name}{row.url}", api_key: {KEY}'
                f"{row.more}{more}}}\n" for name, row in ROWS.items()]
        return "listen: 127.0.0.1:{port}\nproviders:\n" + "".join(rows)


def act(sock, play):
    """False: the connection is over."""
    if play.status:
        chunked = isinstance(play.body, list)
        length = "Transfer-Encoding: chunked" if chunked else \
            f"Content-Length: {len(play.body) + (0 if play.then == 'end' else 100)}"
        fields = [f"HTTP/1.1 {play.status} Status", f"Content-Type: {play.type}", length,
                  *(f"{name}: {value}" for name, value in play.headers)]
        sock.sendall("\r\n".join(fields).encode() + b"\r\n\r\n" + (b"" if chunked else play.body))
        for piece in play.body if chunked else ():
            sock.sendall(b"%x\r\n%s\r\n" % (len(piece), piece))
        if chunked and play.then == "end":
            sock.sendall(b"0\r\n\r\n")
    if play.then == "silent":
        sock.recv(1)
    return play.then == "end"
