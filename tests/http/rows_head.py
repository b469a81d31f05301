"""Rows 1 to 31 and 64 to 70: request line, headers, versions, expectations, hop-by-hop fields."""

from table import (
    AwaitInterim,
    Case,
    PATH,
    PROBE,
    Right,
    accept,
    chat,
    get,
    post,
    probe,
    refuse,
    sized,
)

BODY = chat()
CONTROLS = [*range(0x01, 0x09), 0x0B, 0x0C, *range(0x0E, 0x20), 0x7F]
CLIENT_HELLO = bytes.fromhex("16030100a5010000a10303") + bytes(range(32)) + b"\x20" + bytes(64)


def bad(row, name, *parts, **more):
    return Case(row, name, list(parts), [refuse(**more)])


def header_line(line):
    """The same line on a probe and on a request with a body."""
    return [get(line + b"\r\n"), sized(BODY, line + b"\r\n")]


def bad_lines(row, lines):
    for line in lines:
        for data in header_line(line):
            yield bad(row, repr(line)[1:], data)


def hosts():
    yield bad(1, "GET", get(host=b""))
    yield bad(1, "POST", sized(BODY).replace(b"Host: a\r\n", b""))
    for second in (b"a", b"b"):
        yield bad(2, f"a and {second.decode()}", get(b"Host: " + second + b"\r\n"))
    for value in (
        b"a b",
        b"a/b",
        b"a,b",
        b"a:99999x",
        b"a:b",
        b"[::1",
        b"a@b",
        b"a?b",
        b"a#b",
        b"a\\b",
        b"\xc3\xa9",
    ):
        yield bad(3, repr(value)[1:], get(host=b"Host: " + value + b"\r\n"))
    for value in (b"a:80", b"127.0.0.1", b"[::1]:8080", b"a-b.example.com"):
        yield Case(3, "good " + value.decode(), [get(host=b"Host: " + value + b"\r\n")], [probe()])
    yield Case(4, "empty Host", [get(host=b"Host:\r\n")], [probe(), refuse(closes=None)])
    yield Case(5, "GET", [get(target=b"http://x/livez", host=b"Host: y\r\n")], [probe()])
    yield Case(
        5,
        "POST",
        [sized(BODY).replace(PATH.encode(), b"http://x:80" + PATH.encode())],
        [accept(BODY)],
    )


def header_syntax():
    yield from bad_lines(6, [b"Content-Length : 5", b"X-A : 1", b"X-A\t: 1", b"Host : b"])
    yield bad(7, "SP", get(host=b" X: y\r\nHost: a\r\n"))
    yield bad(7, "HTAB", get(host=b"\tX: y\r\nHost: a\r\n"))
    yield from bad_lines(8, [b"X: a\r\n b", b"X: a\r\n\tb", b"X:\r\n b", b"X: a\r\n "])
    yield bad(9, "Transfer-Encoding", post(b"Transfer-Encoding:\r\n chunked\r\n", b"0\r\n\r\n"))
    yield bad(9, "Content-Length", post(b"Content-Length:\r\n %d\r\n" % len(BODY), BODY))
    yield from bad_lines(
        10,
        [
            b"X[]: 1",
            b'X"y: 1',
            b"\xc3\xa9: 1",
            b": v",
            b"X(y): 1",
            b"X@y: 1",
            b"X/y: 1",
            b"X y: 1",
            b"X\\y: 1",
            b"X\x00: 1",
            b"X{y}: 1",
            b"X=y: 1",
        ],
    )
    yield from bad_lines(11, [b"GarbageLine", b"X", b"Garbage Line"])
    yield from bad_lines(12, [b"X: a\0b", b"X: a\rb", b"X: \0", b"X: a\r\rb", b"X: a\r"])
    yield from bad_lines(13, [b"X: a" + bytes([code]) + b"b" for code in CONTROLS])
    yield Case(14, "GET", [get(b"X: \xc3\xa9\r\n")], [probe(), refuse()])
    yield Case(14, "POST", [sized(BODY, b"X: \xff\x80\r\n")], [accept(BODY), refuse()])


def line_ends():
    yield bad(15, "everywhere", b"GET /livez HTTP/1.1\rHost: a\r\r\n\r\n")
    yield bad(15, "request line", b"GET /livez HTTP/1.1\rHost: a\r\n\r\n")
    yield bad(15, "header line", b"GET /livez HTTP/1.1\r\nHost: a\rX: y\r\n\r\n")
    yield bad(15, "end of head", b"GET /livez HTTP/1.1\r\nHost: a\r\n\rGET")
    yield bad(16, "everywhere", b"GET /livez HTTP/1.1\nHost: a\n\n")
    yield bad(16, "request line", b"GET /livez HTTP/1.1\nHost: a\r\n\r\n")
    yield bad(16, "header line", b"GET /livez HTTP/1.1\r\nHost: a\nX: y\r\n\r\n")
    yield bad(16, "end of head", b"GET /livez HTTP/1.1\r\nHost: a\r\n\n")
    yield bad(16, "POST", sized(BODY).replace(b"\r\n", b"\n"))
    yield Case(17, "one", [b"\r\n" + PROBE], [probe()])
    yield Case(
        17,
        "between requests",
        [sized(BODY) + b"\r\n" + PROBE],
        [Right([{200}, {200}], bodies=[BODY])],
    )
    yield Case(17, "10,000", [b"\r\n" * 10000 + PROBE], [refuse(silent=True)])


def request_line():
    yield bad(18, "NUL", b"\x00\x01GET /livez HTTP/1.1\r\nHost: a\r\n\r\n")
    yield Case(18, "TLS ClientHello", [CLIENT_HELLO], [refuse(silent=True)])
    for line in (
        b"GET  /livez  HTTP/1.1",
        b"GET\t/livez HTTP/1.1",
        b"GET /livez\tHTTP/1.1",
        b" GET /livez HTTP/1.1",
        b"GET /livez HTTP/1.1 ",
        b"GET /livez  HTTP/1.1",
        b"GET\x0b/livez HTTP/1.1",
        b"GET HTTP/1.1",
        b"GET  HTTP/1.1",
    ):
        yield bad(19, repr(line)[1:], line + b"\r\nHost: a\r\n\r\n")
    yield bad(20, "blank", get(target=b"/a b"))
    yield bad(20, "second version", get(target=b"/livez HTTP/1.1 x"))
    for target in (b"/a#b", b"/\x7f", b"/\xc3\xa9", b"/\x01", b"/a\x00b", b"livez", b"?a"):
        yield bad(21, repr(target)[1:], get(target=target))
    yield bad(22, "GET /", b"GET /livez\r\n")
    yield bad(22, "with headers", b"GET /livez\r\nHost: a\r\n\r\n")
    for version in (
        b"HTTP/1.",
        b"HTTP/1.1x",
        b"HTTP/11",
        b"http/1.1",
        b"HTTP/ 1.1",
        b"HTTP/1,1",
        b"HTTP/1.10",
        b"HTTP/01.1",
        b"HTP/1.1",
        b"HTTP1.1",
        b"HTTP/+1.1",
        b"HTTP/1.-1",
        b"HTTP /1.1",
        b"HTTPS/1.1",
        b"HTTP/",
    ):
        right = [refuse(400, 505)] if version == b"HTTP/11" else [refuse(400)]
        yield Case(23, version.decode(), [get(version=version)], right)
    for version in (b"HTTP/9.9", b"HTTP/2.0", b"HTTP/0.9", b"HTTP/3.0"):
        yield Case(24, version.decode(), [get(version=version)], [refuse(400, 505)])
    for version in (b"HTTP/1.2", b"HTTP/1.9"):
        yield Case(25, version.decode(), [get(version=version)], [probe()])


def methods():
    yield Case(26, "unknown", [get(method=b"BREW")], [refuse(501, closes=None)])
    yield Case(26, "lower case", [get(method=b"get")], [refuse(400, 501, closes=None)])
    for method in (b"GET", b"DELETE", b"PUT"):
        yield Case(
            26,
            f"not allowed: {method.decode()}",
            [get(method=method, target=PATH.encode())],
            [refuse(405, closes=None, headers={"allow": "POST"})],
        )
    yield Case(26, "TRACE", [get(method=b"TRACE")], [refuse(405, 501, closes=None)])
    yield Case(27, "10 kB", [get(method=b"A" * 10240)], [refuse(400, 501)])
    yield Case(28, "64 kB", [get(target=b"/livez?" + b"x" * 65536)], [refuse(414)])
    yield Case(28, "8,000 octets", [get(target=b"/livez?" + b"x" * 7993)], [probe()])
    yield Case(29, "one field of 100 kB", [get(b"X: " + b"y" * 102400 + b"\r\n")], [refuse(431)])
    yield Case(29, "100 kB in lines", [get((b"X: " + b"y" * 1000 + b"\r\n") * 100)], [refuse(431)])
    yield Case(29, "1,000 lines", [get(b"X: y\r\n" * 1000)], [refuse(431)])
    yield Case(29, "a name of 100 kB", [get(b"x" * 102400 + b": y\r\n")], [refuse(400, 431)])
    yield Case(29, "50 lines", [get(b"X: y\r\n" * 50)], [probe()])
    yield bad(30, "GET *", get(target=b"*"))
    yield bad(30, "POST *", sized(BODY).replace(PATH.encode(), b"*"))
    yield Case(
        31,
        "CONNECT",
        [get(method=b"CONNECT", target=b"a:443", host=b"Host: a:443\r\n")],
        [refuse(405, 501, closes=None)],
    )
    yield bad(31, "authority-form", get(target=b"a:443"))


def expectations():
    head = post(b"Expect: 100-continue\r\nContent-Length: %d\r\n" % len(BODY))
    yield Case(
        64, "interim, then body", [head, AwaitInterim(), BODY], [accept(BODY, interim={100})]
    )
    yield Case(64, "body at once", [head + BODY], [accept(BODY)])
    yield Case(
        64,
        "HTTP/1.0",
        [post(b"Expect: 100-continue\r\nContent-Length: %d\r\n" % len(BODY), BODY, version=b"1.0")],
        [accept(BODY, interim=set())],
    )
    yield Case(
        64,
        "too large",
        [post(b"Expect: 100-continue\r\nContent-Length: 99999999999\r\n")],
        [refuse(413, interim=set())],
    )
    yield Case(
        65, "foo", [sized(BODY, b"Expect: foo\r\n")], [refuse(417, 400, closes=None), accept(BODY)]
    )


def hop_by_hop():
    yield Case(
        66,
        "close, X-Secret",
        [sized(BODY, b"Connection: close, X-Secret\r\nX-Secret: 1\r\n")],
        [accept(BODY, closes=True, gone=("x-secret",))],
    )
    yield Case(
        66,
        "Authorization",
        [
            sized(
                BODY,
                b"Connection: Authorization, Host, Content-Length\r\n"
                b"Authorization: Bearer sk-client\r\n",
            )
        ],
        [accept(BODY, there=("authorization", "host", "content-length")), refuse()],
    )
    yield Case(
        66,
        "Keep-Alive, TE, Proxy-Connection",
        [sized(BODY, b"Keep-Alive: 5\r\nTE: trailers\r\nProxy-Connection: keep-alive\r\n")],
        [accept(BODY, gone=("keep-alive", "te", "proxy-connection"))],
    )
    upgrade = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAAB\r\n"
    yield Case(
        67, "h2c", [sized(BODY, upgrade)], [accept(BODY, gone=("upgrade", "http2-settings"))]
    )
    yield Case(67, "h2c probe", [get(upgrade)], [probe()])
    socket = (
        b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    )
    yield Case(
        67, "WebSocket", [get(socket, target=b"/v1/responses")], [Right([set(range(400, 500))])]
    )
    yield Case(68, "HEAD, then GET", [get(method=b"HEAD") + PROBE], [probe(2, closes=False)])
    yield Case(
        69,
        "an interim answer has no framing",
        [
            post(b"Expect: 100-continue\r\nContent-Length: %d\r\n" % len(BODY)),
            AwaitInterim(),
            BODY + PROBE,
        ],
        [Right([{200}, {200}], bodies=[BODY], interim={100})],
    )
    yield Case(70, "PRI", [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(9)], [refuse(400, 505)])


def cases():
    for group in (hosts, header_syntax, line_ends, request_line, methods, expectations, hop_by_hop):
        yield from group()
