"""Sends one case of the client side and judges what came of it."""

import asyncio
import dataclasses
import re
import time
import typing

from harness.journal import brief
from harness.wire import MessageParser, Wire
from table import AwaitInterim, Drip, Fin

PATIENCE = 2.0
PIECES = 3000
GRACE = 0.03


@dataclasses.dataclass
class Target:
    """What is tested: its port, the upstream behind it (None: not looked at), its process."""

    port: int
    upstream: typing.Any
    slack: float
    weir: typing.Any


class Session:
    """One client connection of a case."""

    def __init__(self, target):
        self.target = target
        self.parser = MessageParser("response")
        self.wire = Wire(on_data=self.parser.feed)
        self.started = time.monotonic()

    async def open(self):
        loop = asyncio.get_running_loop()
        await loop.create_connection(lambda: self.wire, "127.0.0.1", self.target.port)

    def finals(self):
        return [one for one in self.parser.messages if one.status is not None and one.end_at]

    def interim(self):
        return [one for message in self.parser.messages for one in message.interim]

    async def until(self, ready, limit):
        """Wait for `ready()`, the peer's close or the limit; True when ready."""
        deadline = time.monotonic() + limit
        while not ready() and not self.wire.gone.is_set():
            self.wire.changed.clear()
            try:
                await asyncio.wait_for(
                    self.wire.changed.wait(), max(0, deadline - time.monotonic())
                )
            except asyncio.TimeoutError:
                break
        if self.wire.gone.is_set():
            self.parser.eof()
        return ready()

    def refused(self):
        return self.wire.gone.is_set() or any(one.status >= 400 for one in self.finals())

    async def send(self, data, mode):
        """All bytes, or as many as the peer wants: after a refusal nothing more is sent."""
        piece = len(data) if mode == "whole" else max(1, len(data) // PIECES)
        piece = min(max(piece, 1), 65536)
        for at in range(0, len(data), piece):
            if self.refused() and (self.wire.gone.is_set() or self.wire.unsent()):
                return
            await self.wire.write(data[at : at + piece])
            if mode == "bytes":
                await asyncio.sleep(0)

    async def drip(self, drip):
        for byte in drip.data:
            if self.wire.gone.is_set():
                return
            await self.wire.write(bytes([byte]))
            await self.until(lambda: False, drip.seconds)

    async def play(self, parts, mode):
        for part in parts:
            if isinstance(part, bytes):
                await self.send(part, mode)
            elif isinstance(part, Drip):
                await self.drip(part)
            elif isinstance(part, Fin):
                if not self.wire.gone.is_set():
                    self.wire.half_close()
            elif isinstance(part, AwaitInterim):
                await self.until(lambda: self.interim() or self.finals(), PATIENCE)


async def run_case(case, mode, target):
    """Play a case. Returns None when the outcome is right, else what is wrong."""
    upstream = target.upstream
    if upstream:
        upstream.reset()
    session = Session(target)
    for row_bytes in case.parts:
        if isinstance(row_bytes, bytes):
            for method in re.findall(rb"(?:^|\n)(HEAD|GET) ", row_bytes):
                session.parser.no_body.append(method == b"HEAD")
    try:
        await session.open()
        await asyncio.wait_for(session.play(case.parts, mode), 30 * target.slack)
    except ConnectionError:
        pass
    except asyncio.TimeoutError:
        return f"not over after {30 * target.slack:.0f} s; so far {describe(session, upstream)}"
    except OSError as error:
        return f"cannot connect: {error}"
    await settle(case, session, target)
    session.wire.close()
    problems = [judge(right, session, target) for right in case.right]
    if None in problems:
        return common_faults(session, upstream)
    return "; or ".join(problems) + f" -- came {describe(session, upstream)}"


def hopeless(case, session):
    """True when an answer has come that no right outcome has: no need to wait for a close."""
    came = [one.status for one in session.finals()]
    return not any(
        len(came) <= len(right.statuses)
        and all(code in codes for code, codes in zip(came, right.statuses))
        for right in case.right
    )


async def settle(case, session, target):
    """Wait until the outcome cannot change any more."""
    wanted = max(len(right.statuses) for right in case.right)
    limit = PATIENCE
    if case.right[0].within:
        limit = case.right[0].within[1]
    limit *= target.slack
    await session.until(
        lambda: wanted and len(session.finals()) >= wanted or hopeless(case, session), limit
    )
    if hopeless(case, session):
        await asyncio.sleep(GRACE)
        return
    closes = [right.closes for right in case.right]
    if all(closes):
        await session.until(lambda: False, limit)
    else:
        await session.until(lambda: False, GRACE)
        if any(closes) and session.refused():
            await session.until(lambda: False, limit)
    session.parser.eof()
    await asyncio.sleep(0.002)


def judge(right, session, target):
    """None when this outcome came, else the first difference."""
    finals = session.finals()
    closed = session.wire.gone.is_set()
    silent = right.silent and not finals and closed
    if not silent:
        came = [one.status for one in finals]
        wanted = [sorted(codes)[:4] for codes in right.statuses]
        if len(came) != len(wanted) or not all(
            code in codes for code, codes in zip(came, right.statuses)
        ):
            return f"expected {wanted or 'no answer'}"
        for text, one in zip(right.holds, finals):
            if text.encode() not in bytes(one.body):
                return f"expected {text!r} in an answer's body"
    if right.closes is not None and closed != right.closes:
        return f"expected the connection to be {'closed' if right.closes else 'kept'}"
    for name, text in right.headers.items():
        if text not in (finals[-1].get(name) or ""):
            return f"expected {name}: {text}"
    codes = {one.status for one in session.interim()}
    if right.interim is not None and codes != right.interim:
        return f"expected interim answers {right.interim or 'none'}, came {codes or 'none'}"
    if right.within:
        took = (session.wire.eof_at or time.monotonic()) - session.started
        if not right.within[0] <= took <= right.within[1] * target.slack:
            return f"expected a close after {right.within} s, came after {took:.2f} s"
    return judge_upstream(right, target)


def judge_upstream(right, target):
    if target.upstream is None:
        return None
    got = [one for one in target.upstream.requests if one.path != "/livez"]
    if len(got) != len(right.bodies):
        return f"expected {len(right.bodies)} request(s) upstream"
    for body, one in zip(right.bodies, got):
        if one.body_size != len(body) or bytes(one.body) != body[: len(one.body)]:
            return f"expected another body upstream: {brief(body, 120)}"
        for name in right.gone:
            if one.get(name) is not None:
                return f"expected no {name} upstream"
        for name in right.there:
            if one.get(name) is None or "sk-client" in one.get(name):
                return f"expected the gateway's own {name} upstream"
    return None


def common_faults(session, upstream):
    """What is wrong in any case: malformed answers, malformed requests upstream."""
    if session.parser.faults:
        return f"malformed answer: {session.parser.faults}"
    for one in session.interim() + [m for m in session.finals() if m.status == 204]:
        if one.get("content-length") or one.get("transfer-encoding"):
            return f"a {one.status} with framing"
    if upstream and upstream.faults:
        return f"malformed upstream: {upstream.faults}"
    return None


def describe(session, upstream):
    finals = ", ".join(f"{one.status} {brief(bytes(one.body), 60)}" for one in session.finals())
    text = f"[{finals}] {session.wire.closed_how()}"
    if session.parser.cut():
        text += f", unfinished {brief(bytes(session.parser.buffer), 60)}"
    if upstream and upstream.requests:
        text += "; upstream " + ", ".join(
            f"{one.method} {one.path} {brief(bytes(one.body), 50)}" for one in upstream.requests[:4]
        )
    return text
