"""What a case is made of: bytes to send, answers that are right, and the checks between them."""

import dataclasses
import json
import typing

PATH = "/v1/chat/completions"
PROBE = b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n"


class Fin:
    """Close the sending side."""


class AwaitInterim:
    """Wait for an interim answer before the next bytes."""


@dataclasses.dataclass
class Drip:
    """One byte at a time, that many seconds apart, until the peer closes or all is sent."""

    data: bytes
    seconds: float


@dataclasses.dataclass
class Right:
    """One right outcome.

    `statuses`: a set of allowed codes for each final answer, in order; an empty list means no
    answer at all. `closes`: True, False or None (either). `bodies`: the request bodies that the
    upstream must have got, in order. `silent`: no answer and a close is right too. `holds`: a text
    that each answer's body must contain. `headers`: names with a text that they must contain, in
    the last answer. `gone`/`there`: header names that no upstream request, or each, has.
    `interim`: codes of interim answers, None for any. `within`: seconds from the start to the
    close, lowest and highest.
    """

    statuses: list
    closes: typing.Optional[bool] = None
    bodies: list = dataclasses.field(default_factory=list)
    silent: bool = False
    holds: list = dataclasses.field(default_factory=list)
    headers: dict = dataclasses.field(default_factory=dict)
    gone: tuple = ()
    there: tuple = ()
    interim: typing.Optional[set] = None
    within: typing.Optional[tuple] = None


@dataclasses.dataclass
class Case:
    """Bytes (and pauses) of one connection, and all outcomes that are right."""

    row: int
    name: str
    parts: list
    right: list
    split: bool = True
    needs: str = ""

    def size(self):
        return sum(len(part) for part in self.parts if isinstance(part, bytes))


def chat(length=0, user="u", **more):
    """A chat request body, padded with blanks to `length` bytes."""
    body = json.dumps(
        {
            "model": "gpt-4o-mini",
            "messages": [{"role": "user", "content": "ping"}],
            "user": user,
            **more,
        },
        separators=(",", ":"),
    ).encode()
    return body + b" " * (length - len(body))


def post(headers=b"", body=b"", version=b"1.1", host=b"Host: a\r\n", path=PATH.encode()):
    """A POST with these header lines (each ended by CRLF) and these bytes after the head."""
    return (
        b"POST "
        + path
        + b" HTTP/"
        + version
        + b"\r\n"
        + host
        + b"Content-Type: application/json\r\n"
        + headers
        + b"\r\n"
        + body
    )


def sized(body, headers=b""):
    return post(headers + b"Content-Length: %d\r\n" % len(body), body)


def chunks(*pieces):
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


def chunked(raw, headers=b""):
    """A chunked POST whose body bytes, framing included, are `raw`."""
    return post(headers + b"Transfer-Encoding: chunked\r\n", raw)


def get(headers=b"", target=b"/livez", version=b"HTTP/1.1", method=b"GET", host=b"Host: a\r\n"):
    return method + b" " + target + b" " + version + b"\r\n" + host + headers + b"\r\n"


def refuse(*statuses, closes=True, **more):
    """One answer with one of these codes (400 by default), a close, nothing upstream."""
    return Right([set(statuses or (400,))], closes, **more)


def accept(*bodies, **more):
    """One 200 for each body, each of which reaches the upstream unchanged."""
    return Right([{200}] * len(bodies), bodies=list(bodies), **more)


def probe(count=1, **more):
    """`count` answers 200 to probes, nothing upstream."""
    return Right([{200}] * count, **more)
