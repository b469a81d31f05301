"""The other side: broken upstream answers, and what the client must get of them.

Each answer is served to one chat request; a second request follows on the same client connection
and must get its own good answer, over a new upstream connection where the first one cannot be
trusted.
"""

import dataclasses
import gzip
import json
import typing

GOOD = json.dumps(
    {
        "id": "c",
        "object": "chat.completion",
        "created": 1,
        "model": "gpt-4o-mini",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "first"},
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
    },
    separators=(",", ":"),
).encode()
EVIL = GOOD.replace(b"first", b"smuggled")
JSON = b"Content-Type: application/json\r\n"
FINE, ERROR = {200}, {502}
EITHER = FINE | ERROR


@dataclasses.dataclass
class Answer:
    """One broken answer.

    `statuses`: right codes for the client. `reuse`: True or False when the second request must or
    must not come on the same upstream connection, None for any. `close`: the mock closes after the
    bytes. `lacks`: text that nothing the client gets may contain. `stream`: the client asks for a
    stream; then `ends` is "done" or "error".
    """

    group: str
    name: str
    data: bytes
    statuses: set
    reuse: typing.Optional[bool] = None
    close: bool = False
    lacks: bytes = b"smuggled"
    stream: bool = False
    ends: str = ""


def sized(headers=b"", body=GOOD, status=b"HTTP/1.1 200 OK"):
    return status + b"\r\n" + JSON + headers + b"Content-Length: %d\r\n\r\n" % len(body) + body


def framed(framing, body=GOOD, status=b"HTTP/1.1 200 OK"):
    return status + b"\r\n" + JSON + framing + b"\r\n" + body


def chunks(*pieces):
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


def chunked(raw, headers=b""):
    return framed(headers + b"Transfer-Encoding: chunked\r\n", raw)


def content_length():
    size = b"%d" % len(GOOD)
    for value in (
        b"abc",
        b"+" + size,
        b"-5",
        b"5 5",
        b"",
        b"0x" + size,
        size + b"\x0b",
        b"18446744073709551621",
        b"9" * 40,
        b"5, 6",
        b"5.0",
    ):
        yield Answer(
            "content-length",
            repr(value)[1:],
            framed(b"Content-Length: " + value + b"\r\n"),
            ERROR,
            reuse=False,
        )
    yield Answer(
        "content-length",
        "two lines, differing",
        framed(b"Content-Length: 5\r\nContent-Length: " + size + b"\r\n"),
        ERROR,
        reuse=False,
    )
    yield Answer(
        "content-length",
        "two lines, differing, right one first",
        framed(b"Content-Length: " + size + b"\r\nContent-Length: 5\r\n"),
        ERROR,
        reuse=False,
    )
    yield Answer(
        "content-length",
        "two lines, equal",
        framed(b"Content-Length: " + size + b"\r\nContent-Length: " + size + b"\r\n"),
        EITHER,
    )
    yield Answer(
        "content-length",
        "short body",
        framed(b"Content-Length: %d\r\n" % (len(GOOD) + 10)),
        ERROR,
        reuse=False,
        close=True,
    )
    yield Answer("content-length", "more bytes than announced", sized() + EVIL, EITHER, reuse=False)
    yield Answer(
        "content-length",
        "another answer behind it",
        sized() + sized(body=EVIL),
        EITHER,
        reuse=False,
    )
    yield Answer(
        "content-length",
        "with Transfer-Encoding",
        framed(b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", chunks(GOOD)),
        EITHER,
        reuse=False,
    )
    yield Answer("content-length", "good", sized(), FINE, reuse=True)


def transfer_encoding():
    for value in (
        b"gzip, chunked",
        b"xchunked",
        b"chunked, chunked",
        b"identity",
        b"chunked\x0b",
        b"chunked, gzip",
        b"gzip",
    ):
        yield Answer(
            "transfer-encoding",
            repr(value)[1:],
            framed(b"Transfer-Encoding: " + value + b"\r\n", chunks(GOOD)),
            ERROR,
            reuse=False,
        )
    yield Answer("transfer-encoding", "good", chunked(chunks(GOOD[:9], GOOD[9:])), FINE, reuse=True)
    yield Answer(
        "transfer-encoding",
        "capitals",
        framed(b"transfer-encoding: CHUNKED\r\n", chunks(GOOD)),
        FINE,
        reuse=True,
    )
    yield Answer(
        "transfer-encoding",
        "in HTTP/1.0",
        framed(b"Transfer-Encoding: chunked\r\n", chunks(GOOD), b"HTTP/1.0 200 OK"),
        EITHER,
        reuse=False,
        close=True,
    )


def chunk_framing():
    size = b"%x" % len(GOOD)
    broken = {
        "no hex": b"xyz\r\n",
        "0x": b"0x" + size + b"\r\n" + GOOD + b"\r\n0\r\n\r\n",
        "sign": b"+" + size + b"\r\n" + GOOD + b"\r\n0\r\n\r\n",
        "overflow": b"10000000000000000" + size + b"\r\n" + GOOD + b"\r\n0\r\n\r\n",
        "empty": b"\r\n" + GOOD + b"\r\n0\r\n\r\n",
        "no CRLF after data": size + b"\r\n" + GOOD + b"XX0\r\n\r\n",
        "10 kB of zeros": b"0" * 10240 + size + b"\r\n" + GOOD + b"\r\n0\r\n\r\n",
        "trailer without colon": size + b"\r\n" + GOOD + b"\r\n0\r\nbad\r\n\r\n",
    }
    for name, raw in broken.items():
        right = EITHER if name.startswith(("10 kB", "trailer")) else ERROR
        yield Answer("chunks", name, chunked(raw), right, reuse=False)
    for name, raw in {
        "cut in data": size + b"\r\n" + GOOD[:9],
        "no last chunk": size + b"\r\n" + GOOD + b"\r\n",
        "no end of trailers": size + b"\r\n" + GOOD + b"\r\n0\r\n",
    }.items():
        yield Answer("chunks", name, chunked(raw), ERROR, reuse=False, close=True)
    yield Answer("chunks", "extension", chunked(size + b";a=b\r\n" + GOOD + b"\r\n0\r\n\r\n"), FINE)
    yield Answer(
        "chunks",
        "trailers are dropped",
        chunked(size + b"\r\n" + GOOD + b"\r\n0\r\nX-Evil: smuggled\r\n\r\n"),
        FINE,
    )
    yield Answer(
        "chunks",
        "one byte each",
        chunked(chunks(*(GOOD[at : at + 1] for at in range(len(GOOD))))),
        FINE,
    )


def head_syntax():
    for name, line in {"folded line": b"X-A: a\r\n b", "blank before colon": b"X-A : a"}.items():
        yield Answer("head", name, sized(line + b"\r\n"), EITHER)
    for name, line in {
        "NUL": b"X-A: a\0b",
        "CR": b"X-A: a\rX-Evil: smuggled",
        "no colon": b"garbage",
        "empty name": b": a",
        "no token": b"X[A]: a",
    }.items():
        yield Answer(
            "head", name, sized(line + b"\r\n"), EITHER if name in ("NUL", "CR") else ERROR
        )
    yield Answer("head", "bare LF line ends", sized().replace(b"\r\n", b"\n"), EITHER)
    for line in (
        b"HTTP/1.1 abc",
        b"HTTP/2.0 200 OK",
        b"ICY 200 OK",
        b"HTTP/1.1 2000 OK",
        b"HTTP/1.1 99 x",
        b"garbage",
        b"HTTP/1.1",
        b"HTTP/1.1 20 OK",
        b"HTTP/9.9 200 OK",
        b"http/1.1 200 OK",
    ):
        yield Answer("head", "status line " + line.decode(), sized(status=line), ERROR, reuse=False)
    for line in (b"HTTP/1.1 200", b"HTTP/1.1 200 ", b"HTTP/1.1 200 All is well"):
        yield Answer("head", "good: " + repr(line)[1:], sized(status=line), FINE)
    yield Answer(
        "head",
        "HTTP/1.0, ended by the close",
        framed(b"", GOOD, b"HTTP/1.0 200 OK"),
        FINE,
        reuse=False,
        close=True,
    )
    yield Answer(
        "head", "no length, ended by the close", framed(b""), FINE, reuse=False, close=True
    )
    yield Answer("head", "Connection: close", sized(b"Connection: close\r\n"), FINE, reuse=False)
    yield Answer(
        "head",
        "1 MB of fields",
        sized((b"X-Pad: " + b"y" * 1000 + b"\r\n") * 1000),
        ERROR,
        reuse=False,
    )
    yield Answer(
        "head",
        "one field of 1 MB",
        sized(b"X-Pad: " + b"y" * 1000000 + b"\r\n"),
        ERROR,
        reuse=False,
    )
    yield Answer("head", "10,000 fields", sized(b"X: y\r\n" * 10000), ERROR, reuse=False)
    yield Answer("head", "cut", b"HTTP/1.1 200 OK\r\nContent-Ty", ERROR, reuse=False, close=True)
    yield Answer("head", "nothing at all", b"", ERROR, reuse=False, close=True)


def statuses():
    interim = b"HTTP/1.1 103 Early Hints\r\nLink: </smuggled>\r\n\r\n"
    yield Answer(
        "status",
        "100, 102, 103 before the answer",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n" + interim + sized(),
        FINE,
        reuse=True,
    )
    yield Answer("status", "50,000 interim answers", interim * 50000 + sized(), ERROR, reuse=False)
    yield Answer(
        "status", "only interim answers, then a close", interim * 3, ERROR, reuse=False, close=True
    )
    yield Answer(
        "status",
        "101 unasked",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n"
        b"Connection: upgrade\r\n\r\n" + sized(),
        ERROR,
        reuse=False,
    )
    yield Answer(
        "status",
        "204 with a body",
        b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nhello",
        ERROR,
        reuse=False,
    )
    yield Answer(
        "status",
        "204 with an answer behind it",
        b"HTTP/1.1 204 No Content\r\n\r\n" + sized(body=EVIL),
        ERROR,
        reuse=False,
    )
    yield Answer(
        "status", "304 with a body", b"HTTP/1.1 304 Not Modified\r\n\r\nhello", ERROR, reuse=False
    )


def contents():
    packed = gzip.compress(GOOD, mtime=0)
    yield Answer(
        "content",
        "gzip unasked",
        sized(b"Content-Encoding: gzip\r\n", packed),
        EITHER,
        lacks=packed[10:30],
    )
    yield Answer("content", "HTML", sized(body=b"<html>smuggled</html>"), ERROR)
    yield Answer("content", "invalid UTF-8", sized(body=GOOD.replace(b"first", b"\xff\xfe")), ERROR)
    yield Answer(
        "content",
        "line ends in a text",
        sized(body=GOOD.replace(b"gpt-4o-mini", b"m\\r\\nX-Evil: 1")),
        FINE,
        lacks=b"\r\nX-Evil",
    )


def stream_head(framing=b"Transfer-Encoding: chunked\r\n"):
    return b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n" + framing + b"\r\n"


def event(data):
    return b"data: " + data + b"\n\n"


def streams():
    delta = event(b'{"choices":[{"index":0,"delta":{"content":"first"}}]}')
    done = event(b"[DONE]")
    last = b"0\r\n\r\n"
    size = b"%x" % len(delta)
    one = size + b"\r\n" + delta + b"\r\n"

    def answer(name, data, ends, close=False, codes=FINE):
        return Answer(
            "stream",
            name,
            data,
            codes,
            reuse=None if ends == "done" else False,
            close=close,
            stream=True,
            ends=ends,
        )

    yield answer("good", stream_head() + chunks(delta, done), "done")
    yield answer(
        "one byte chunks",
        stream_head() + chunks(*((delta + done)[at : at + 1] for at in range(len(delta + done)))),
        "done",
    )
    yield answer("ended by the close", stream_head(b"") + delta + done, "done", close=True)
    yield answer("no [DONE], last chunk", stream_head() + chunks(delta), "error")
    yield answer("no [DONE], no last chunk", stream_head() + one, "error", close=True)
    yield answer("no [DONE], ended by the close", stream_head(b"") + delta, "error", close=True)
    yield answer("broken chunk size", stream_head() + one + b"zz\r\n" + done, "error")
    yield answer(
        "chunk data too long", stream_head() + size + b"\r\n" + delta + b"XX\r\n" + last, "error"
    )
    yield answer(
        "content-length too long",
        stream_head(b"Content-Length: 9999\r\n") + delta,
        "error",
        close=True,
    )
    yield answer("half an event", stream_head() + chunks(delta, b"data: {"), "error")
    yield answer(
        "[DONE] without its blank line", stream_head() + chunks(delta, b"data: [DONE]\n"), "error"
    )
    yield answer(
        "an event that is no JSON", stream_head() + chunks(delta, event(b"smuggled{")), "error"
    )
    yield answer("nothing", stream_head() + last, "error", codes=ERROR)


def answers():
    for group in (
        content_length,
        transfer_encoding,
        chunk_framing,
        head_syntax,
        statuses,
        contents,
        streams,
    ):
        yield from group()
