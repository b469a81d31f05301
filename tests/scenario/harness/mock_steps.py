"""What a scripted upstream can do with one request: expectations, answers, faults."""

import asyncio
import json
import time

from .journal import Fail, brief
from .script import ABSENT, BytesValue, Rule, ScriptError, bind, expand, json_path, split_message
from .wire import encode_chunk, encode_head

REASONS = {
    200: "OK",
    201: "Created",
    204: "No Content",
    301: "Moved Permanently",
    302: "Found",
    303: "See Other",
    304: "Not Modified",
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    408: "Request Timeout",
    409: "Conflict",
    413: "Content Too Large",
    422: "Unprocessable Content",
    429: "Too Many Requests",
    500: "Internal Server Error",
    502: "Bad Gateway",
    503: "Service Unavailable",
    504: "Gateway Timeout",
    529: "Overloaded",
}
CREATED = 1790000000


class Play:
    """One request being answered. `chunked` is None until a head went out."""

    def __init__(self, mock, connection, request):
        self.mock = mock
        self.connection = connection
        self.wire = connection.wire
        self.request = request
        self.journal = mock.journal
        self.chunked = False
        self.pieces = None
        self.flooded = None

    async def run(self, nodes):
        for node in nodes:
            try:
                result = node.rule.action(self, node, *node.args)
                if asyncio.iscoroutine(result):
                    await result
            except Fail as failure:
                failure.node = failure.node or node
                raise

    async def write(self, data):
        if self.pieces:
            await self.wire.write_pieces(data, *self.pieces)
        else:
            await self.wire.write(data)

    async def body(self, data):
        """Body bytes in the framing that the head announced."""
        await self.write(encode_chunk(data) if self.chunked else data)

    def wants_usage(self):
        try:
            return bool(json_path(self.request.json(), "stream_options.include_usage") is True)
        except ValueError:
            return False

    def model(self):
        try:
            found = json_path(self.request.json(), "model")
        except ValueError:
            found = ABSENT
        return found if isinstance(found, str) else "gpt-4o-mini"

    def json_request(self):
        try:
            return self.request.json()
        except ValueError as error:
            raise Fail(
                f"the request body is not JSON: {error}; it is "
                f"{brief(bytes(self.request.body))}"
            ) from None


# ---------------------------------------------------------------- expectations


def expect_json(play, node, path, test):
    test.check(json_path(play.json_request(), path), play.journal.variables, f"request's {path}")


def expect_header(play, node, name, test):
    found = play.request.get(name)
    test.check(ABSENT if found is None else found, play.journal.variables, f"request header {name}")


def expect_body(play, node, test):
    test.check(
        bytes(play.request.body).decode("utf-8", "backslashreplace"),
        play.journal.variables,
        "request body",
    )


def expect_head(play, node, test):
    test.check(play.request.head.decode("latin-1"), play.journal.variables, "request head")


def expect_path(play, node, test):
    test.check(play.request.path, play.journal.variables, "request path")


def expect_connection(play, node, kind):
    came = "reused" if play.request.reused else "new"
    if kind not in ("new", "reused"):
        raise Fail("a connection is new or reused")
    if came != kind:
        raise Fail(
            f"expected a {kind} connection, came a {came} one " f"(number {play.connection.number})"
        )


async def expect_cancelled(play, node, span, name):
    """The gateway must leave this connection within the span after the client `name` left."""
    limit = play.journal.late(span[1])
    try:
        await asyncio.wait_for(play.journal.signal(f"{name} left").wait(), 10)
        left = play.journal.marks[f"{name} left"]
        await asyncio.wait_for(
            play.wire.gone.wait(), max(0.01, left + limit + 1 - time.monotonic())
        )
    except asyncio.TimeoutError:
        raise Fail(f"the connection was still open {limit + 1:.1f} s after {name} left") from None
    after = play.wire.eof_at - left
    play.mock.note(f"cancelled ({play.wire.closed_how()}) {after * 1000:.1f} ms after {name} left")
    if after > limit:
        raise Fail(
            f"cancelled {after * 1000:.1f} ms after {name} left, expected within "
            f"{limit * 1000:.0f} ms"
        )
    if after < span[0]:
        raise Fail(f"cancelled {after * 1000:.1f} ms after {name} left, expected later")


async def expect_left(play, node, span):
    started = time.monotonic()
    try:
        await asyncio.wait_for(play.wire.gone.wait(), play.journal.late(span[1]))
    except asyncio.TimeoutError:
        raise Fail(
            f"the gateway keeps the connection open after " f"{play.journal.late(span[1]):.2f} s"
        ) from None
    if play.wire.eof_at - started < span[0]:
        raise Fail("the gateway left too early")


async def expect_stays(play, node, seconds):
    try:
        await asyncio.wait_for(play.wire.gone.wait(), seconds)
    except asyncio.TimeoutError:
        return
    raise Fail("the gateway closed the connection")


# ---------------------------------------------------------------- answers


async def reply(play, node, status):
    """A whole answer; content-length is set unless the script states the framing itself."""
    headers, others = split_message(node)
    variables = play.journal.variables
    headers = [(name, expand(text, variables)) for name, text in headers]
    body, kind = b"", None
    for other in others:
        kind, _, text = other.text.partition(" ")
        body = (
            expand(text, variables).encode()
            if kind != "body"
            else BytesValue(text).value(variables)
        )
    given = {name.lower() for name, _ in headers}
    defaults = {"json": "application/json", "html": "text/html; charset=utf-8"}
    if kind in defaults and "content-type" not in given:
        headers.insert(0, ("content-type", defaults[kind]))
    if not given & {"content-length", "transfer-encoding"} and status not in (204, 304):
        headers.append(("content-length", len(body)))
    start = f"HTTP/1.1 {status} {REASONS.get(status, 'Other')}"
    await play.write(encode_head(start, headers) + body)


def completion(model, text):
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": CREATED,
        "model": model,
        "choices": [
            {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
        ],
        "usage": {"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11},
    }


async def answer(play, node, value):
    headers, _ = split_message(node)
    text = value.value(play.journal.variables).decode()
    body = json.dumps(completion(play.model(), text), separators=(",", ":")).encode()
    head = encode_head(
        "HTTP/1.1 200 OK",
        [("content-type", "application/json"), ("content-length", len(body)), *headers],
    )
    await play.write(head + body)


async def stream(play, node, framing="chunked", length=0):
    headers, _ = split_message(node)
    if not any(name.lower() == "content-type" for name, _ in headers):
        headers.insert(0, ("content-type", "text/event-stream; charset=utf-8"))
    if framing == "chunked":
        headers.append(("transfer-encoding", "chunked"))
    elif framing == "length":
        headers.append(("content-length", length))
    else:
        headers.append(("connection", "close"))
    play.chunked = framing == "chunked"
    await play.write(encode_head("HTTP/1.1 200 OK", headers))


def chunk_text(play, delta, finish=None, choices=True):
    """A chat.completion.chunk as OpenAI writes it: `usage` is null when usage was asked for."""
    chunk = {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": CREATED,
        "model": play.model(),
    }
    chunk["choices"] = [{"index": 0, "delta": delta, "finish_reason": finish}] if choices else []
    if play.wants_usage() and choices:
        chunk["usage"] = None
    return chunk


async def send_event(play, value):
    text = (
        value
        if isinstance(value, str)
        else json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    )
    await play.body(f"data: {text}\n\n".encode())


async def event(play, node, text):
    await send_event(play, expand(text, play.journal.variables))


async def delta(play, node, value):
    text = value.value(play.journal.variables).decode("utf-8", "surrogatepass")
    await send_event(play, chunk_text(play, {"content": text}))


async def role(play, node):
    await send_event(play, chunk_text(play, {"role": "assistant", "content": ""}))


async def finish(play, node, reason):
    await send_event(play, chunk_text(play, {}, reason))


async def usage(play, node, prompt, output):
    chunk = chunk_text(play, {}, choices=False)
    chunk["usage"] = {
        "prompt_tokens": prompt,
        "completion_tokens": output,
        "total_tokens": prompt + output,
    }
    await send_event(play, chunk)


async def done(play, node):
    await send_event(play, "[DONE]")


async def end(play, node):
    if play.chunked:
        await play.write(b"0\r\n\r\n")


async def answer_stream(play, node, value):
    """A whole good stream: role, one delta per word, finish, usage if asked for, [DONE]."""
    await stream(play, node)
    await role(play, node)
    for word in value.value(play.journal.variables).decode().split(" "):
        await send_event(play, chunk_text(play, {"content": word}))
    await finish(play, node, "stop")
    if play.wants_usage():
        await usage(play, node, 9, 2)
    await done(play, node)
    await end(play, node)


async def interim(play, node, status, times=1):
    headers, _ = split_message(node)
    for _ in range(times):
        await play.write(encode_head(f"HTTP/1.1 {status} Interim", headers))


async def raw(play, node, value):
    await play.write(value.value(play.journal.variables))


async def text(play, node, value):
    await play.body(value.value(play.journal.variables))


async def text_repeated(play, node, times, value):
    data = (
        encode_chunk(value.value(play.journal.variables))
        if play.chunked
        else value.value(play.journal.variables)
    )
    for _ in range(times):
        await play.write(data)


# ---------------------------------------------------------------- time and faults


def dribble(play, node, count, pause):
    play.pieces = (count, pause)


def plain(play, node):
    play.pieces = None


async def stall(play, node):
    """Say nothing more until the gateway leaves."""
    await play.wire.gone.wait()
    play.mock.note(
        f"connection {play.connection.number}: left by the gateway " f"({play.wire.closed_how()})"
    )


async def flood(play, node, count):
    """Send up to `count` bytes of deltas; stop when the gateway takes nothing for 500 ms."""
    line = json.dumps(chunk_text(play, {"content": "x" * 1000}), separators=(",", ":"))
    data = f"data: {line}\n\n".encode()
    data = encode_chunk(data) if play.chunked else data
    sent = 0
    while sent < count:
        try:
            await asyncio.wait_for(play.wire.write(data * 8), 0.5)
        except asyncio.TimeoutError:
            break
        sent += len(data) * 8
    play.flooded = sent - play.wire.unsent()
    play.mock.note(f"flood: the gateway's side took {play.flooded} bytes")


def expect_flood(play, node, limit):
    if play.flooded >= limit:
        raise Fail(
            f"expected the gateway to stop reading below {limit} bytes, it took " f"{play.flooded}"
        )


def close(play, node):
    play.wire.close()


def reset(play, node):
    play.wire.reset()


def cut(play, node):
    """FIN on the TCP level, without TLS's close_notify."""
    play.wire.transport.abort()


def half_close(play, node):
    play.wire.half_close()


async def read_body(play, node):
    if not await play.connection.until(lambda: play.request.end_at is not None):
        raise Fail("the gateway left in the middle of the request body")


def stop_reading(play, node):
    play.wire.pause()


async def wait_for(play, node, name):
    try:
        await asyncio.wait_for(play.journal.signal(name).wait(), 10)
    except asyncio.TimeoutError:
        raise Fail(f"the signal {name} did not come within 10 s") from None


def give(play, node, name):
    play.mock.note(f"signal {name}")
    play.journal.signal(name).set()


def save_json(play, node, name, path):
    play.journal.variables[name] = json_path(play.json_request(), path)


def save_header(play, node, name, header):
    play.journal.variables[name] = play.request.get(header) or ""


REPLY_KIDS = [
    Rule("json JSON", None, ""),
    Rule("html TEXT", None, ""),
    Rule("text TEXT", None, ""),
    Rule("body BYTES", None, ""),
]


def check_kids(node):
    """Only answers have lines under them: headers, and a body for `reply`."""
    _, others = split_message(node)
    for other in others:
        if node.rule.action is not reply:
            raise ScriptError(f"{other.place()}: {other.text}\n    nothing but headers goes here")
        bind(other, REPLY_KIDS, "reply")


RULES = [
    Rule("expect json PATH TEST", expect_json, "test a member of the request's JSON"),
    Rule("expect header WORD TEST", expect_header, "test a request header"),
    Rule("expect head TEST", expect_head, "test the raw request head"),
    Rule("expect path TEST", expect_path, "test the request target"),
    Rule("expect body TEST", expect_body, "test the request body as text"),
    Rule("expect connection WORD", expect_connection, "`new` or `reused`"),
    Rule(
        "expect cancelled within SPAN of NAME",
        expect_cancelled,
        "the gateway leaves that soon after this client left",
    ),
    Rule("expect left within SPAN", expect_left, "the gateway closes this connection that soon"),
    Rule("expect open for DUR", expect_stays, "the gateway does not close meanwhile"),
    Rule(
        "expect flood below SIZE", expect_flood, "the last flood got rid of fewer bytes than that"
    ),
    Rule(
        "reply CODE",
        reply,
        "answer with the headers and the `json`, `html`, `text` or `body` "
        "below; content-length is added unless a framing header is given",
    ),
    Rule("answer stream BYTES", answer_stream, "a good chat stream, one delta per word"),
    Rule("answer BYTES", answer, "a good chat completion with this text"),
    Rule("stream", stream, "head of an event stream, chunked"),
    Rule(
        "stream plain",
        lambda play, node: stream(play, node, "close"),
        "the same without framing: it ends with the connection",
    ),
    Rule(
        "stream length SIZE",
        lambda play, node, length: stream(play, node, "length", length),
        "the same with a content-length",
    ),
    Rule("role", role, "the first chunk: role only"),
    Rule("delta BYTES", delta, "a chunk with this content"),
    Rule("finish WORD", finish, "a chunk with this finish_reason"),
    Rule("usage INT INT", usage, "the usage chunk: prompt and completion tokens"),
    Rule("done", done, "data: [DONE]"),
    Rule("event TEXT", event, "an event with this data"),
    Rule("text BYTES", text, "body bytes in the announced framing"),
    Rule("text INT times BYTES", text_repeated, "the same many times"),
    Rule("end", end, "the last chunk"),
    Rule("raw BYTES", raw, "bytes as they are"),
    Rule("interim CODE", interim, "an interim answer"),
    Rule("interim CODE INT times", interim, "many interim answers"),
    Rule("dribble INT bytes every DUR", dribble, "send what follows in such pieces"),
    Rule("dribble off", plain, "send whole again"),
    Rule("sleep DUR", lambda play, node, seconds: asyncio.sleep(seconds), "wait"),
    Rule("stall", stall, "say nothing until the gateway leaves"),
    Rule("flood SIZE", flood, "send up to that much, until the gateway stops reading"),
    Rule("close", close, "close (FIN)"),
    Rule("cut", cut, "close the TCP connection without TLS's goodbye"),
    Rule("half-close", half_close, "FIN, but go on reading"),
    Rule("reset", reset, "reset (RST)"),
    Rule("read body", read_body, "in an `early` request: wait for the whole body"),
    Rule("stop reading", stop_reading, "in an `early` request: take no more of its body"),
    Rule("wait NAME", wait_for, "wait for a signal of another actor"),
    Rule("signal NAME", give, "give a signal"),
    Rule("save NAME json PATH", save_json, "keep a value as ${name}"),
    Rule("save NAME header WORD", save_header, "keep a value as ${name}"),
]
