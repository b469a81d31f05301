"""Rows 32 to 62 and 71 to 74: framing, chunks, smuggling, bodies, slow clients."""

import gzip

from table import (
    Case,
    Drip,
    Fin,
    PATH,
    PROBE,
    Right,
    accept,
    chat,
    chunked,
    chunks,
    get,
    post,
    probe,
    refuse,
    sized,
)

BODY = chat()
SIZE = b"%d" % len(BODY)
CHUNK = b"%x" % len(BODY)
GOOD = chunks(BODY[:20], BODY[20:])
SMUGGLED = sized(chat(user="smuggled"))
MAX_BODY = 32 * 1024 * 1024
DOUBLE_BYTES = [*range(0x01, 0x21), *range(0x7F, 0x100)]


def bad(row, name, data, *statuses, **more):
    return Case(row, name, [data], [refuse(*statuses, **more)])


def lengths():
    for value in (
        b"abc",
        b"5x",
        b"0x5",
        b"1_0",
        b"5.0",
        b"5e1",
        "５".encode(),
        b"NaN",
        b"5;5",
        b"'5'",
    ):
        yield bad(32, repr(value)[1:], post(b"Content-Length: " + value + b"\r\n", BODY))
    for value in (b"+5", b"-5", b"+" + SIZE, b"-0", b"-1", b"--5"):
        yield bad(33, value.decode(), post(b"Content-Length: " + value + b"\r\n", BODY))
    for value in (
        b"1 2",
        SIZE + b"\x0b",
        SIZE + b"\x0c",
        b"\x0b" + SIZE,
        SIZE + b"\xa0",
        b"5 ,",
        b"6\t6",
        SIZE + b"\0",
    ):
        yield bad(34, repr(value)[1:], post(b"Content-Length: " + value + b"\r\n", BODY))
    yield Case(
        34,
        "good: blanks around",
        [post(b"Content-Length: \t " + SIZE + b" \t\r\n", BODY)],
        [accept(BODY)],
    )
    yield bad(35, "empty", post(b"Content-Length:\r\n", BODY))
    yield bad(35, "blank", post(b"Content-Length: \t\r\n", BODY))
    for value in (
        18446744073709551616 + len(BODY),
        4294967296 + len(BODY),
        2**63,
        2**63 + len(BODY),
        2**64,
        2**64 - 1,
        10**40,
        2**128 + len(BODY),
    ):
        yield bad(36, str(value), post(b"Content-Length: %d\r\n" % value, BODY), 400, 413)
    yield Case(37, "0005", [post(b"Content-Length: 000" + SIZE + b"\r\n", BODY)], [accept(BODY)])
    long = chat(100)
    yield Case(37, "0100 is 100", [post(b"Content-Length: 0100\r\n", long)], [accept(long)])
    yield bad(
        38, "two lines", post(b"Content-Length: " + SIZE + b"\r\nContent-Length: 6\r\n", BODY)
    )
    yield bad(
        38, "other order", post(b"Content-Length: 6\r\nContent-Length: " + SIZE + b"\r\n", BODY)
    )
    yield bad(38, "list", post(b"Content-Length: " + SIZE + b", 6\r\n", BODY))
    yield bad(
        39,
        "two lines",
        post(b"Content-Length: " + SIZE + b"\r\ncontent-length: " + SIZE + b"\r\n", BODY),
    )
    yield bad(39, "list", post(b"Content-Length: " + SIZE + b", " + SIZE + b"\r\n", BODY))


def codings():
    both = b"Content-Length: " + SIZE + b"\r\nTransfer-Encoding: chunked\r\n"
    yield bad(40, "CL first", post(both, GOOD))
    yield bad(40, "TE first", post(b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n", GOOD))
    yield bad(
        40,
        "CL 0, smuggled request",
        post(b"Content-Length: 0\r\nTransfer-Encoding: chunked\r\n", b"0\r\n\r\n" + SMUGGLED),
    )
    for value in (
        b"chunked, gzip",
        b"identity",
        b"xchunked",
        b"gzip",
        b"gzip, chunked",
        b"deflate",
        b"chunked, identity",
        b"br",
        b"chunkedx",
        b"chunk",
    ):
        yield bad(
            41, value.decode(), post(b"Transfer-Encoding: " + value + b"\r\n", GOOD), 400, 501
        )
    yield bad(42, "list", post(b"Transfer-Encoding: chunked, chunked\r\n", GOOD))
    yield bad(42, "two lines", post(b"Transfer-Encoding: chunked\r\n" * 2, GOOD))
    yield bad(
        42,
        "two lines, other case",
        post(b"Transfer-Encoding: chunked\r\n" b"transfer-encoding: Chunked\r\n", GOOD),
    )


def obfuscations():
    for value in (b"chunKed", b"CHUNKED", b"\tchunked", b"chunked \t"):
        yield Case(
            43,
            "good: " + repr(value)[1:],
            [post(b"Transfer-Encoding: " + value + b"\r\n", GOOD)],
            [accept(BODY)],
        )
    for value in (
        b"chunked\x00",
        b'"chunked"',
        b"chunked;q=1",
        b"\x0bchunked",
        b"chun ked",
        b"",
        b"chunked;",
        b"(x)chunked",
    ):
        yield bad(
            43, repr(value)[1:], post(b"Transfer-Encoding: " + value + b"\r\n", GOOD), 400, 501
        )
    for value in (b",chunked", b"chunked,", b"gzip;chunked"):
        yield Case(
            43,
            repr(value)[1:],
            [post(b"Transfer-Encoding: " + value + b"\r\n", GOOD)],
            [refuse(400, 501), accept(BODY)],
        )
    for name in (b"Content_Length: 5", b"Transfer_Encoding: chunked"):
        yield Case(
            44,
            name.decode(),
            [sized(BODY, name + b"\r\n")],
            [accept(BODY, gone=("content_length", "transfer_encoding")), refuse()],
        )
    yield bad(45, "chunked", post(b"Transfer-Encoding: chunked\r\n", GOOD, version=b"1.0"))
    yield bad(
        45,
        "with a smuggled request",
        post(b"Transfer-Encoding: chunked\r\n", GOOD + SMUGGLED, version=b"1.0"),
    )


def doubles():
    """A Transfer-Encoding line spoiled by one byte, beside a Content-Length that holds."""
    for code in DOUBLE_BYTES:
        byte = bytes([code])
        lines = {
            "after colon": b"Transfer-Encoding:" + byte + b"chunked",
            "after name": b"Transfer-Encoding" + byte + b": chunked",
            "before name": byte + b"Transfer-Encoding: chunked",
            "at end": b"Transfer-Encoding: chunked" + byte,
            "behind a field": b"X: X" + byte + b"Transfer-Encoding: chunked",
            "before a field": b"Transfer-Encoding: chunked" + byte + b"X: X",
        }
        for place, line in lines.items():
            data = post(b"Content-Length: %d\r\n" % len(GOOD) + line + b"\r\n", GOOD)
            right = [refuse(400, 501)]
            if place == "behind a field" and (code in (0x09, 0x20) or code >= 0x80):
                good = chat(len(GOOD))
                data = post(b"Content-Length: %d\r\n" % len(GOOD) + line + b"\r\n", good)
                right = [accept(good)] + (right if code >= 0x80 else [])
            yield Case(43, f"double {code:#04x} {place}", [data], right)


def chunk_lines():
    for size in (
        b"0x" + CHUNK,
        b"+" + CHUNK,
        b"-1",
        b" " + CHUNK,
        CHUNK + b" ",
        CHUNK + b"\t",
        b"_" + CHUNK,
        CHUNK + b"_",
        b"\x0b" + CHUNK,
        CHUNK + b"g",
        b"g",
        CHUNK + b"\0",
    ):
        yield bad(46, repr(size)[1:], chunked(size + b"\r\n" + BODY + b"\r\n0\r\n\r\n"))
    for size in (
        b"FFFFFFFFFFFFFFFF1",
        b"10000000000000000" + CHUNK,
        b"1" + b"0" * 15 + CHUNK,
        b"100000000" + b"%08x" % len(BODY),
        b"F" * 20,
        b"8000000000000000",
    ):
        yield bad(47, size.decode(), chunked(size + b"\r\n" + BODY + b"\r\n0\r\n\r\n"), 400, 413)
    yield bad(
        48, "10 kB of zeros", chunked(b"0" * 10240 + CHUNK + b"\r\n" + BODY + b"\r\n0\r\n\r\n")
    )
    yield Case(
        48,
        "good: two zeros, capitals",
        [chunked(b"00" + CHUNK.upper() + b"\r\n" + BODY + b"\r\n000\r\n\r\n")],
        [accept(BODY)],
    )
    yield bad(49, "empty", chunked(b"\r\n" + BODY + b"\r\n0\r\n\r\n"))
    yield bad(49, "extension only", chunked(b";ext\r\n" + BODY + b"\r\n0\r\n\r\n"))
    yield bad(50, "LF", chunked(CHUNK + b"\n" + BODY + b"\r\n0\r\n\r\n"))
    yield bad(50, "CR", chunked(CHUNK + b"\rX\r\n" + BODY + b"\r\n0\r\n\r\n"))
    yield bad(50, "LF after the last chunk", chunked(CHUNK + b"\r\n" + BODY + b"\r\n0\n\r\n"))
    yield bad(50, "LF at the very end", chunked(CHUNK + b"\r\n" + BODY + b"\r\n0\r\n\n"))
    yield bad(51, "XX", chunked(CHUNK + b"\r\n" + BODY + b"XX0\r\n\r\n"))
    yield bad(51, "LF", chunked(CHUNK + b"\r\n" + BODY + b"\n0\r\n\r\n"))
    yield bad(51, "CR", chunked(CHUNK + b"\r\n" + BODY + b"\r0\r\n\r\n"))
    yield bad(51, "nothing", chunked(CHUNK + b"\r\n" + BODY + b"0\r\n\r\n"))
    for extension in (b";a=b", b';a="x;y"', b";a", b";a=b;c=d"):
        yield Case(
            52,
            repr(extension)[1:],
            [chunked(CHUNK + extension + b"\r\n" + BODY + b"\r\n0" + extension + b"\r\n\r\n")],
            [accept(BODY)],
        )
    for extension in (b";a\nb", b";a\rb", b";a\0b", b";\n", b';a="x\ny"', b";\x7f"):
        yield bad(
            53, repr(extension)[1:], chunked(CHUNK + extension + b"\r\n" + BODY + b"\r\n0\r\n\r\n")
        )


def chunk_bodies():
    flood = BODY + b" " * (1000000 - len(BODY))
    yield Case(
        54,
        "a million chunks",
        [chunked(chunks(*(flood[at : at + 1] for at in range(len(flood)))))],
        [refuse(400, 413)],
        split=False,
    )
    yield bad(
        54,
        "an extension of 1 MB",
        chunked(CHUNK + b";a=" + b"x" * 1048576 + b"\r\n" + BODY + b"\r\n0\r\n\r\n"),
        400,
        413,
    )
    yield Case(
        55,
        "no last chunk",
        [chunked(CHUNK + b"\r\n" + BODY + b"\r\n"), Fin()],
        [refuse(silent=True)],
    )
    yield Case(
        55, "in a chunk", [chunked(CHUNK + b"\r\n" + BODY[:9]), Fin()], [refuse(silent=True)]
    )
    yield Case(
        55,
        "no end of trailers",
        [chunked(CHUNK + b"\r\n" + BODY + b"\r\n0\r\n"), Fin()],
        [refuse(silent=True)],
    )
    yield Case(
        56, "plain field", [chunked(GOOD[:-2] + b"X: y\r\n\r\n")], [accept(BODY, gone=("x",))]
    )
    for field in (b"Content-Length: 3", b"Host: b", b"Transfer-Encoding: chunked"):
        yield Case(
            56, field.decode(), [chunked(GOOD[:-2] + field + b"\r\n\r\n")], [accept(BODY), refuse()]
        )
    yield Case(
        56,
        "Authorization, X-Secret",
        [chunked(GOOD[:-2] + b"X-Secret: 1\r\n" b"Authorization: Bearer t\r\n\r\n")],
        [accept(BODY, gone=("x-secret",)), refuse()],
    )
    yield bad(
        56,
        "100 kB",
        chunked(GOOD[:-2] + (b"X: " + b"y" * 1000 + b"\r\n") * 100 + b"\r\n"),
        400,
        413,
        431,
    )
    yield bad(57, "no colon", chunked(GOOD[:-2] + b"bad line\r\n\r\n"))
    yield bad(57, "blank in name", chunked(GOOD[:-2] + b"X : y\r\n\r\n"))
    yield bad(57, "NUL", chunked(GOOD[:-2] + b"X: a\0b\r\n\r\n"))


def unread_bodies():
    inside = b"POST " + PATH.encode() + b" HTTP/1.1\r\nHost: a\r\n\r\n"
    both = [probe(2), refuse()]
    yield Case(58, "body, then a request", [get(b"Content-Length: 5\r\n") + b"hello" + PROBE], both)
    yield Case(
        58,
        "the body is a request",
        [get(b"Content-Length: %d\r\n" % len(SMUGGLED)) + SMUGGLED + PROBE],
        both,
    )
    yield Case(
        58, "chunked", [get(b"Transfer-Encoding: chunked\r\n") + chunks(SMUGGLED) + PROBE], both
    )
    yield bad(
        59, "413, the body is a request", post(b"Content-Length: 99999999\r\n", SMUGGLED * 3), 413
    )
    yield Case(
        59,
        "404, the body is a request",
        [post(b"Content-Length: %d\r\n" % len(SMUGGLED), SMUGGLED, path=b"/v1/none")],
        [refuse(404, closes=None)],
    )
    yield Case(
        59,
        "405, the body is a request",
        [b"PUT " + sized(SMUGGLED)[5:]],
        [refuse(405, closes=None)],
    )
    yield Case(
        60,
        "CL 10, 4 bytes",
        [post(b"Content-Length: 10\r\n", b'{"a"'), Fin()],
        [refuse(silent=True)],
    )
    yield Case(
        60,
        "one byte short",
        [post(b"Content-Length: %d\r\n" % (len(BODY) + 1), BODY), Fin()],
        [refuse(silent=True)],
    )
    yield Case(
        61,
        "123GET /",
        [sized(BODY) + b"123GET /livez HTTP/1.1\r\n\r\n"],
        [Right([{200}, {400, 501}], True, [BODY])],
    )
    yield Case(
        61,
        "after a chunked body",
        [chunked(GOOD) + b"\0\0" + inside],
        [Right([{200}, {400}], True, [BODY])],
    )
    one, two, three = (chat(user=name) for name in ("one", "two", "three"))
    yield Case(62, "two", [sized(one) + sized(two)], [accept(one, two, holds=["one", "two"])])
    yield Case(
        62,
        "three, framings mixed",
        [sized(one) + chunked(chunks(two)) + PROBE + sized(three)],
        [Right([{200}] * 4, bodies=[one, two, three], holds=["one", "two", "", "three"])],
    )
    yield Case(
        62,
        "good, then bad",
        [sized(one) + b"GET / HTTP/1.1\r\n\r\n"],
        [Right([{200}, {400}], True, [one])],
    )
    yield Case(62, "bad, then good", [get(host=b"") + sized(one)], [refuse()])


def large_bodies():
    exact = chat(MAX_BODY)
    yield Case(71, "the limit itself", [sized(exact)], [accept(exact)], split=False, needs="weir")
    yield bad(71, "CL one over", post(b"Content-Length: %d\r\n" % (MAX_BODY + 1)), 413)
    yield bad(71, "one chunk, one over", chunked(b"%x\r\n" % (MAX_BODY + 1) + BODY), 413)
    over = chunks(*[b" " * 65536] * 512, BODY)
    yield Case(71, "chunks that add up", [chunked(over)], [refuse(413)], split=False)
    yield bad(71, "1 GB announced", post(b"Content-Length: 1073741824\r\n", BODY), 413)


def json_bodies():
    start = BODY[:-1] + b',"x":'
    wrong = {
        "depth 100,000": start + b"[" * 100000 + b"]" * 100000 + b"}",
        "depth 100,000, open": b"[" * 100000,
        "duplicate model": BODY[:-1] + b',"model":"gpt-4o"}',
        "duplicate model, escaped": BODY[:-1] + b',"m\\u006fdel":"gpt-4o"}',
        "invalid UTF-8": BODY.replace(b"ping", b"\xff\xfe"),
        "overlong UTF-8": BODY.replace(b"ping", b"\xc0\xaf"),
        "lone surrogate": BODY.replace(b"ping", b"\\ud800"),
        "raw NUL": BODY.replace(b"ping", b"a\0b"),
        "truncated": BODY[:-1],
        "trailing bytes": BODY + b"x",
        "two documents": BODY + BODY,
        "UTF-16": BODY.decode().encode("utf-16"),
    }
    for name, body in wrong.items():
        yield Case(72, name, [sized(body)], [refuse(400, closes=None)], needs="weir")
    escape = BODY.replace(b"ping", b"a\\u0000b")
    yield Case(72, "NUL escape", [sized(escape)], [accept(escape), refuse(400, closes=None)])
    bomb = gzip.compress(BODY.replace(b"ping", b"x" * 100000000), 9, mtime=0)
    yield Case(
        72,
        "gzip bomb",
        [sized(bomb, b"Content-Encoding: gzip\r\n")],
        [refuse(400, 413, 415, closes=None)],
        split=False,
        needs="weir",
    )
    yield Case(
        72,
        "unknown encoding",
        [sized(BODY, b"Content-Encoding: rot13\r\n")],
        [refuse(415, closes=None)],
        needs="weir",
    )


def slow(row, name, parts, limit, statuses):
    """A case that must end between half of `limit` seconds and a little after it."""
    right = Right(statuses, True, silent=True, within=(0.5 * limit, 2.5 * limit + 1))
    return Case(row, name, parts, [right], split=False, needs="deadlines")


def slow_clients(head_deadline, body_deadline, idle):
    """Absolute deadlines: dripping bytes must not extend them."""
    yield slow(
        73,
        "header bytes",
        [Drip(get(b"X: " + b"y" * 500 + b"\r\n"), head_deadline / 8)],
        head_deadline,
        [{408}],
    )
    yield slow(
        73, "half a head, then silence", [b"GET /livez HTTP/1.1\r\nHos"], head_deadline, [{408}]
    )
    yield slow(
        73,
        "body bytes",
        [post(b"Content-Length: 500\r\n"), Drip(BODY * 5, body_deadline / 8)],
        body_deadline,
        [{408}],
    )
    yield slow(
        73,
        "half a body, then silence",
        [post(b"Content-Length: 500\r\n", BODY)],
        body_deadline,
        [{408}],
    )
    yield slow(74, "idle after an answer", [PROBE], idle, [{200}])
    yield slow(74, "idle without a request", [], idle, [])


def cases(head_deadline, body_deadline, idle):
    for group in (
        lengths,
        codings,
        obfuscations,
        doubles,
        chunk_lines,
        chunk_bodies,
        unread_bodies,
        large_bodies,
        json_bodies,
    ):
        yield from group()
    yield from slow_clients(head_deadline, body_deadline, idle)
