"""Tests of the harness's own parts: values, paths, tests, parsers. Run by `run.py --self-test`."""

from harness.journal import Fail
from harness.script import (
    ABSENT,
    BytesValue,
    ScriptError,
    Source,
    Test,
    duration,
    json_path,
    size,
    span,
    statuses,
)
from harness.wire import MessageParser, SseParser

SSE = (
    "\ufeffdata: a\n\n: note\r\n\r\nevent: x\rdata: b1\rdata: b2\r\rdata:c é\r\n\r\n"
    "id: 7\ndata\n\ndata: [DONE]\n\n"
).encode()
SSE_EVENTS = [("", "a"), ("x", "b1\nb2"), ("", "c é"), ("", ""), ("", "[DONE]")]
REPLIES = (
    b"HTTP/1.1 103 Early\r\nlink: x\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabc"
    b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2;x=y\r\nde\r\n1\r\nf\r\n0\r\n"
    b"t: 1\r\n\r\nHTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 200 OK\r\n\r\nrest"
)


def fails(function, *args):
    try:
        function(*args)
    except (Fail, ScriptError):
        return True
    return False


def values():
    yield BytesValue(r'"a\r\n\x00\xff" 3 * "x" hex 0a0B').value({}) == b"a\r\n\0\xffxxx\n\x0b"
    yield BytesValue("""'{"a":"${v}"}'""").value({"v": 1}) == b'{"a":"1"}'
    yield BytesValue('gzip 1000 * "a"').value({})[:2] == b"\x1f\x8b"
    yield fails(BytesValue, "bare words")
    yield fails(BytesValue, r'"\q"')
    yield duration("1.5s") == 1.5 and span("200ms..1s") == (0.2, 1.0) and span("1s") == (0.0, 1.0)
    yield size("2KB") == 2048 and statuses("502|504") == {502, 504} and 477 in statuses("4xx")


def paths():
    value = {"a": [{"b": 1}, {"b": 2}], "c": {"d.e": 3}, "n": None}
    yield json_path(value, "a[0].b") == 1 and json_path(value, "a[-1].b") == 2
    yield json_path(value, "a.#") == 2 and json_path(value, "a[*].b") == [1, 2]
    yield json_path(value, "a[2].b") is ABSENT and json_path(value, "x.y") is ABSENT
    yield json_path(value, "n") is None and json_path(value, "$") == value


def tests():
    good = [
        ("== 5", 5),
        ('== "5"', "5"),
        ("== 5", "5"),
        ("!= true", 1),
        ("~ ^a.c$", "abc"),
        ("!~ x", "abc"),
        ("contains b", "abc"),
        ("lacks x", ["abc"]),
        ("in [1,2]", 2),
        ("absent", ABSENT),
        ("present", None),
        ("< 3", 2.5),
        ("lacks x", ABSENT),
        ('== [1, {"a": null}]', [1, {"a": None}]),
        ("== null", None),
        ('~ "a\\nb"', "a\nb"),
    ]
    bad = [
        ("== 5", 6),
        ("== true", 1),
        ("~ ^b", "abc"),
        ("contains x", "abc"),
        ("absent", 1),
        ("present", ABSENT),
        ("== 1", ABSENT),
        ("> 3", 3),
        ("in [1,2]", 3),
        ("!= 1", 1),
    ]
    for text, actual in good:
        yield not fails(Test(text).check, actual, {}, text)
    for text, actual in bad:
        yield fails(Test(text).check, actual, {}, text)
    yield fails(Test, "=~ x") and fails(Test, "absent x")


def sse_at_every_split():
    for at in range(len(SSE) + 1):
        parser = SseParser()
        parser.feed(SSE[:at])
        parser.feed(SSE[at:])
        parser.finish()
        yield [(one.name, one.data) for one in parser.events] == SSE_EVENTS
    parser = SseParser()
    for byte in SSE:
        parser.feed(bytes([byte]))
    yield [one.data for one in parser.events] == [data for _, data in SSE_EVENTS]
    yield parser.comments == ["note"]


def replies_at_every_split():
    for at in range(len(REPLIES) + 1):
        parser = MessageParser("response")
        parser.feed(REPLIES[:at])
        parser.feed(REPLIES[at:])
        parser.eof()
        yield [bytes(one.body) for one in parser.messages] == [b"abc", b"def", b"", b"rest"]
        yield parser.messages[0].interim[0].status == 103 and not parser.faults
        yield all(one.end_at for one in parser.messages) and not parser.cut()


def faults():
    head = b"POST / HTTP/1.1\r\nhost: a\r\n"
    broken = [
        head + b"content-length: 1\r\ncontent-length: 1\r\n\r\nx",
        head + b"content-length: 1\r\ntransfer-encoding: chunked\r\n\r\n",
        head + b"x : y\r\n\r\n",
        head + b" folded\r\n\r\n",
        head + b"a: b\nc: d\r\n\r\n",
        head + b"transfer-encoding: chunked\r\n\r\n5x\r\n",
        b"GET  / HTTP/1.1\r\n\r\n",
        head + b"content-length: +1\r\n\r\nx",
    ]
    for data in broken:
        parser = MessageParser("request")
        parser.feed(data)
        yield bool(parser.faults)
    for data, cut in (
        (b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nab", True),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n", True),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nab", False),
    ):
        parser = MessageParser("response")
        parser.feed(data)
        parser.eof()
        yield parser.cut() == cut


def scripts():
    from harness.scenario import Scenario
    import pathlib
    import tempfile

    wrong = [
        "frobnicate",
        "sleep soon",
        "client c\n    expect status abc",
        'mock m\n    request\n        answr "x"',
        "mock m\n    request POST",
        'client c\n    ask {"a":}',
        "client c\n    expect json a =~ b",
        "mock a b",
        "client c\n    expect status 200\n        x: y",
        "config nonsense",
        "metric x",
        "client c\n\task",
    ]
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "wrong.scn"
        for text in wrong:
            path.write_text(text)
            yield fails(Scenario, path)
    tree = Source("a\n    b\n        c\n    d\nconfig\n    x:\n      - y\n\n    # z\ne", "t").root
    yield [kid.text for kid in tree.kids] == ["a", "config", "e"]
    yield tree.kids[1].block() == "x:\n  - y\n\n# z\n"
    yield [kid.text for kid in tree.kids[0].kids] == ["b", "d"]


def run():
    """Run all groups, print a line for each; returns the number of failures."""
    failed = 0
    for group in (
        values,
        paths,
        tests,
        sse_at_every_split,
        replies_at_every_split,
        faults,
        scripts,
    ):
        outcomes = list(group())
        wrong = [number for number, good in enumerate(outcomes, 1) if not good]
        failed += len(wrong)
        print(
            f"{'FAIL' if wrong else 'ok  '} unit {group.__name__}: {len(outcomes)} checks"
            + (f", wrong: {wrong[:20]}" if wrong else "")
        )
    return failed
