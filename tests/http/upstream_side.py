"""Plays one broken upstream answer and judges what the client gets of it."""

import asyncio
import json

from client_side import PATIENCE, Session
from harness.journal import brief
from harness.wire import SseParser
from responses import answers
from table import chat, sized

__all__ = ["answers", "run_answer"]


def script_for(answer, mode):
    """The first attempts get the broken answer, the request of user `second` the good one."""

    def script(request):
        if b'"second"' in bytes(request.body):
            return None
        return answer.data, answer.close, 1 if mode == "bytes" else 0

    return script


async def run_answer(answer, mode, target):
    """None when the client got what is right, else what is wrong."""
    target.upstream.reset(script_for(answer, mode))
    session = Session(target)
    limit = PATIENCE * target.slack * (3 if mode == "bytes" else 1)
    try:
        await session.open()
        more = {"stream": True} if answer.stream else {}
        await session.send(sized(chat(user="first", **more)), "whole")
        await session.until(lambda: session.finals(), limit)
        session.parser.eof()
        problem = judge(answer, session)
        if problem is None:
            problem = await second_request(answer, session, target)
    except OSError as error:
        return f"connection: {error}"
    finally:
        session.wire.close()
    await asyncio.sleep(0.002)
    return problem


def judge(answer, session):
    finals = session.finals()
    if answer.lacks and any(
        answer.lacks in one.head + bytes(one.body) for one in session.parser.messages
    ):
        return f"the client got {answer.lacks!r}"
    if answer.ends and answer.statuses == {200}:
        return judge_stream(answer, session)
    if session.parser.faults:
        return f"malformed answer: {session.parser.faults}"
    if not finals:
        begun = bytes(session.parser.messages[0].body) if session.parser.messages else b""
        return f"no complete answer; so far {brief(begun, 80)}"
    if finals[0].status not in answer.statuses:
        return (
            f"expected {sorted(answer.statuses)}, came {finals[0].status} "
            f"{brief(bytes(finals[0].body), 100)}"
        )
    try:
        value = json.loads(bytes(finals[0].body))
    except ValueError:
        return f"the body is no JSON: {brief(bytes(finals[0].body), 100)}"
    if finals[0].status >= 400 and not isinstance(value.get("error"), dict):
        return "the error is not in OpenAI's shape"
    return None


def judge_stream(answer, session):
    """[DONE] exactly when the upstream's stream was complete; else an error event."""
    message = session.parser.messages[0] if session.parser.messages else None
    if message is None or message.status not in answer.statuses | {502}:
        return f"expected {sorted(answer.statuses)}, came {message and message.status}"
    if message.status == 502:
        return None if answer.ends == "error" else "a good stream became a 502"
    parser = SseParser()
    parser.feed(bytes(message.body))
    events = [one.data for one in parser.events]
    if answer.ends == "done":
        return None if events and events[-1] == "[DONE]" else f"no [DONE] at the end: {events[-1:]}"
    if any("[DONE]" in data for data in events):
        return "a cut stream ended with [DONE]"
    if not events or not isinstance((parser.events[-1].json() or {}).get("error"), dict):
        return f"no error event at the end: {events[-1:]}"
    return None


async def second_request(answer, session, target):
    """The next request gets its own answer, on a fresh upstream connection where that matters."""
    leaving = any("close" in (one.get("connection") or "") for one in session.finals())
    if answer.ends == "error" or leaving or session.wire.gone.is_set():
        session.wire.close()
        session = Session(target)
        await session.open()
    before = len(session.finals())
    await session.send(sized(chat(user="second")), "whole")
    await session.until(lambda: len(session.finals()) > before, PATIENCE * target.slack)
    if len(session.finals()) <= before:
        session.wire.close()
        return "no answer to the next request"
    last = session.finals()[-1]
    session.wire.close()
    if last.status != 200 or b"second" not in bytes(last.body):
        return f"the next request got {last.status} {brief(bytes(last.body), 100)}"
    got = target.upstream.requests
    numbers = [one.connection_number for one in got if b'"second"' in bytes(one.body)]
    first = {one.connection_number for one in got if b'"second"' not in bytes(one.body)}
    if answer.reuse is False and numbers[-1] in first:
        return "the upstream connection was used again"
    if answer.reuse is True and numbers[-1] not in first:
        return "the upstream connection was not used again"
    return None
