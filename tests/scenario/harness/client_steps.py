"""What a scripted client can do: requests, reading, leaving, and expectations on what came."""

import asyncio
import json
import time

from .journal import Fail, brief
from .script import ABSENT, HEADER_LINE, Rule, ScriptError, bind, expand, json_path

# ---------------------------------------------------------------- sending and leaving


def connect_to(client, node, target):
    client.target = target


def receive_buffer(client, node, count):
    client.receive_buffer = count


async def reconnect(client, node):
    client.leave_silently()
    client.wire = None


async def connect(client, node):
    await client.connect()


def slowly(client, node, count, pause):
    client.pieces = (count, pause)


def fast(client, node):
    client.pieces = None


async def raw(client, node, value):
    await client.send(value.value(client.journal.variables))


async def raw_repeated(client, node, times, value):
    data = value.value(client.journal.variables)
    for _ in range(times):
        await client.send(data)


def leave(client, node):
    client.left()
    client.wire.close()


def reset(client, node):
    client.left()
    client.wire.reset()


def half_close(client, node):
    client.left()
    client.wire.half_close()


# ---------------------------------------------------------------- reading


def pause(client, node):
    client.wire.pause()


def resume(client, node):
    client.wire.allow(None)


async def read_slowly(client, node, rate, seconds):
    """Read `rate` bytes a second, in ten portions a second."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and not client.wire.gone.is_set():
        client.wire.allow(max(1, rate // 10))
        await asyncio.sleep(0.1)
    client.wire.allow(0)


async def read_events(client, node, count):
    for _ in range(count):
        await client.next_event()


async def event(client, node, *tests):
    """Take the next event and apply the line's test and those under it."""
    came = await client.next_event()
    for kid in node.kids:
        try:
            kid.rule.action(client, came, *kid.args)
        except Fail as failure:
            failure.node = kid
            raise
    return came


def event_text(client, came, test):
    test.check(came.data, client.journal.variables, "event data")


def event_json(client, came, path, test):
    value = came.json()
    if value is None:
        raise Fail(f"the event is not JSON: {brief(came.data)}")
    test.check(json_path(value, path), client.journal.variables, f"event's {path}")


def event_name(client, came, test):
    test.check(came.name, client.journal.variables, "event name")


async def event_is(client, node, test):
    event_text(client, await event(client, node), test)


async def event_has(client, node, path, test):
    event_json(client, await event(client, node), path, test)


async def next_reply(client, node):
    reply = await client.whole()
    client.at += 1
    client.taken = 0
    return reply


# ---------------------------------------------------------------- expectations on a reply


async def expect_status(client, node, wanted):
    reply = await client.reply()
    if reply.status not in wanted:
        shown = "|".join(map(str, sorted(wanted)[:5]))
        await asyncio.sleep(0.02)
        raise Fail(f"expected status {shown}, came {client.summary()}")


async def expect_interim(client, node, wanted):
    def here():
        return [
            one.status
            for message in client.parser.messages[client.at : client.at + 1]
            for one in message.interim
        ]

    await client.until(lambda: client.peek() is not None or here(), "an interim answer")
    came = here()
    if not set(came) & wanted:
        raise Fail(f"expected an interim {wanted}, came {came}")


async def expect_header(client, node, name, test):
    found = (await client.reply()).get(name)
    test.check(ABSENT if found is None else found, client.journal.variables, f"header {name}")


async def expect_json(client, node, path, test):
    reply = await client.whole()
    try:
        value = reply.json()
    except ValueError as error:
        raise Fail(f"the body is not JSON ({error}): {brief(bytes(reply.body))}") from None
    test.check(json_path(value, path), client.journal.variables, path)


async def expect_body(client, node, test):
    reply = await client.ended()
    test.check(
        bytes(reply.body).decode("utf-8", "backslashreplace"), client.journal.variables, "body"
    )


async def expect_body_size(client, node, test):
    test.check((await client.ended()).body_size, client.journal.variables, "body size")


async def expect_answer(client, node, test):
    """The assistant's text, from a completion or from all deltas of a complete stream."""
    reply = await client.whole()
    if id(reply) in client.sse:
        text = stream_text(client.events(reply))
    else:
        try:
            text = json_path(reply.json(), "choices[0].message.content")
        except ValueError:
            raise Fail(f"the body is not JSON: {brief(bytes(reply.body))}") from None
    test.check(text, client.journal.variables, "answer")


def stream_text(events):
    parts = []
    for one in events:
        value = one.json()
        part = json_path(value, "choices[0].delta.content") if isinstance(value, dict) else ABSENT
        if isinstance(part, str):
            parts.append(part)
    return "".join(parts)


async def expect_events(client, node):
    """All data of the stream, from the first event to the end."""
    reply = await client.ended()
    came = [one.data for one in client.events(reply)]
    for number, kid in enumerate(node.kids):
        if number >= len(came):
            raise Fail(
                f"expected {len(node.kids)} events, came {len(came)}; the last: "
                f"{brief(came[-1]) if came else 'none'}",
                kid,
            )
        try:
            kid.rule.action(client, kid, came[number])
        except Fail as failure:
            failure.node = kid
            raise
    if len(came) > len(node.kids):
        raise Fail(
            f"expected {len(node.kids)} events, came {len(came)}; the first too many: "
            f"{brief(came[len(node.kids)])}"
        )


def exact_event(client, node, came):
    wanted = expand(node.args[0], client.journal.variables)
    if came != wanted:
        raise Fail(f"expected event {wanted}\n{'':11}came {came}")


def tested_event(client, node, came):
    node.args[0].check(came, client.journal.variables, "event data")


async def expect_event_count(client, node, test):
    reply = await client.ended()
    test.check(len(client.events(reply)), client.journal.variables, "number of events")


async def expect_comment(client, node, test):
    reply = await client.ended()
    comments = client.sse[id(reply)].comments if id(reply) in client.sse else []
    test.check("\n".join(comments) if comments else ABSENT, client.journal.variables, "comments")


async def expect_done(client, node):
    """A complete stream: [DONE] once, last, and the message's framing finished."""
    reply = await client.whole()
    came = [one.data for one in client.events(reply)]
    if came.count("[DONE]") != 1 or came[-1] != "[DONE]":
        raise Fail(f"expected a stream that ends with one [DONE], came {came[-3:]}")


def check_error_object(value, where):
    """OpenAI's shape: message and type are strings, param and code are there or null."""
    error = value.get("error") if isinstance(value, dict) else None
    if not isinstance(error, dict):
        raise Fail(f"expected an error object in the {where}, came {brief(value)}")
    if not isinstance(error.get("message"), str) or not error["message"].strip():
        raise Fail(f"expected a message in the {where}'s error, came {brief(value)}")
    if not isinstance(error.get("type"), str):
        raise Fail(f"expected a type in the {where}'s error, came {brief(value)}")
    for name in ("param", "code"):
        if error.get(name) is not None and not isinstance(error[name], (str, int)):
            raise Fail(f"expected {name} to be a text or null, came {brief(value)}")


async def expect_stream_error(client, node):
    """A stream that failed: last an error event, never [DONE] nor a proper end, and it closes."""
    reply = await client.ended()
    events = client.events(reply)
    if any(one.data.startswith("[DONE]") for one in events):
        raise Fail("a stream that failed ended with [DONE]")
    if not events:
        raise Fail(f"expected an error event, came {client.summary()}")
    check_error_object(events[-1].json(), "last event")
    await expect_cut(client, node)
    await closed(client, (0.0, 1.0))


async def expect_no_done(client, node):
    reply = await client.ended()
    if b"[DONE]" in reply.body:
        raise Fail("the stream has a [DONE]")


async def expect_error(client, node, wanted):
    """An error reply in OpenAI's shape with this status."""
    await expect_status(client, node, wanted)
    reply = await client.whole()
    if "application/json" not in (reply.get("content-type") or ""):
        raise Fail(f"expected a JSON error, came content-type {reply.get('content-type')}")
    try:
        value = reply.json()
    except ValueError:
        raise Fail(f"the error is not JSON: {brief(bytes(reply.body))}") from None
    check_error_object(value, "body")


async def expect_complete(client, node):
    await client.whole()


async def expect_cut(client, node):
    reply = await client.ended()
    if reply.end_at is not None and reply.framing != "close":
        raise Fail("the reply is complete by its framing, expected a cut one")


# ---------------------------------------------------------------- expectations on time and ends


def check_span(client, seconds, span, what):
    low, high = span
    if seconds < low or seconds > client.journal.late(high):
        raise Fail(
            f"expected {what} after {low * 1000:.0f} to {high * 1000:.0f} ms, came after "
            f"{seconds * 1000:.0f} ms"
        )
    client.note(f"{what} after {seconds * 1000:.0f} ms")


async def expect_head_within(client, node, span):
    reply = await client.reply()
    check_span(client, reply.head_at - client.sent_at, span, "the head")


async def expect_end_within(client, node, span):
    reply = await client.ended()
    check_span(client, (reply.end_at or client.wire.eof_at) - client.sent_at, span, "the end")


async def expect_event_within(client, node, span):
    came = await client.next_event()
    check_span(client, came.at - client.sent_at, span, f"event {client.taken}")


async def closed(client, span):
    started = time.monotonic()
    try:
        await asyncio.wait_for(client.wire.gone.wait(), client.journal.late(span[1]))
    except asyncio.TimeoutError:
        raise Fail(
            f"expected a close within {span[1] * 1000:.0f} ms; " f"so far {client.summary()}"
        ) from None
    after = max(0.0, client.wire.eof_at - started)
    if after < span[0]:
        raise Fail(
            f"expected a close after {span[0] * 1000:.0f} ms, came after " f"{after * 1000:.0f} ms"
        )
    client.note(f"closed by the peer ({client.wire.closed_how()})")


async def expect_closed(client, node, span):
    await closed(client, span)


async def expect_open(client, node, seconds):
    try:
        await asyncio.wait_for(client.wire.gone.wait(), seconds)
    except asyncio.TimeoutError:
        return
    raise Fail(f"the connection was closed; so far {client.summary()}")


async def expect_nothing(client, node, seconds):
    before = client.wire.total_in
    await asyncio.sleep(seconds)
    if client.wire.total_in != before:
        raise Fail(f"expected no bytes, came {client.wire.total_in - before}: {client.summary()}")


async def expect_no_more(client, node):
    reply = client.peek()
    if reply is not None:
        raise Fail(f"expected no further reply, came {client.summary()}")


async def save_header(client, node, name, header):
    client.journal.variables[name] = (await client.reply()).get(header) or ""


async def save_json(client, node, name, path):
    client.journal.variables[name] = json_path((await client.whole()).json(), path)


async def wait_for(client, node, name):
    try:
        await asyncio.wait_for(client.journal.signal(name).wait(), 10)
    except asyncio.TimeoutError:
        raise Fail(f"the signal {name} did not come within 10 s") from None


def give(client, node, name):
    client.note(f"signal {name}")
    client.journal.signal(name).set()


async def ask_with(client, node, extra):
    await client.ask(node, extra)


async def ask(client, node):
    await client.ask(node)


async def ask_stream_with(client, node, extra):
    await client.ask(node, extra, True)


async def ask_stream(client, node):
    await client.ask(node, None, True)


async def request(client, node, method, path):
    await client.request(node, method, expand(path, client.journal.variables))


REQUEST_KIDS = [
    Rule("json JSON", "json", "the body, as it stands"),
    Rule("body BYTES", "body", "the body as bytes"),
    Rule("chunked SIZE", "chunked", "send the body in chunks of that size"),
    Rule("without WORD", "drop", "leave out a default header"),
]
EVENT_KIDS = [
    Rule("json PATH TEST", event_json, "test a member of the event's JSON"),
    Rule("text TEST", event_text, "test the data as text"),
    Rule("name TEST", event_name, "test the event's name"),
]
EVENTS_KIDS = [
    Rule("| TEXT", exact_event, "an event with exactly this data"),
    Rule("? TEST", tested_event, "an event whose data passes this test"),
]


def check_kids(node):
    action = node.rule.action
    rules = {
        event: EVENT_KIDS,
        event_is: EVENT_KIDS,
        event_has: EVENT_KIDS,
        expect_events: EVENTS_KIDS,
    }.get(action)
    if action in (request, ask, ask_with, ask_stream, ask_stream_with):
        rules = REQUEST_KIDS
    for kid in node.kids:
        if rules is REQUEST_KIDS and HEADER_LINE.match(kid.text):
            continue
        if rules is None:
            raise ScriptError(f"{kid.place()}: {kid.text}\n    nothing goes under this line")
        bind(kid, rules, node.text.split()[0])
    if action in (ask_with, ask_stream_with):
        try:
            json.loads(node.args[0])
        except ValueError as error:
            raise ScriptError(f"{node.place()}: {node.text}\n    not JSON: {error}") from None


RULES = [
    Rule("ask stream JSON", ask_stream_with, "a streamed chat request with further members"),
    Rule("ask stream", ask_stream, "POST /v1/chat/completions for a stream"),
    Rule("ask JSON", ask_with, "a chat request with further members"),
    Rule("ask", ask, "POST /v1/chat/completions with model gpt-4o-mini and one user message"),
    Rule(
        "METHOD PATH",
        request,
        "a request with the headers and the `json`, `body` (`chunked`) "
        "below; host, content-type and content-length are added",
    ),
    Rule("raw INT times BYTES", raw_repeated, "the same bytes many times"),
    Rule("raw BYTES", raw, "bytes as they are"),
    Rule("slowly INT bytes every DUR", slowly, "send what follows in such pieces"),
    Rule("slowly off", fast, "send whole again"),
    Rule("to NAME", connect_to, "connect to weir (default), admin, metrics or a mock"),
    Rule("receive buffer SIZE", receive_buffer, "the socket's receive buffer, before connecting"),
    Rule("connect", connect, "connect now, before anything is sent"),
    Rule("reconnect", reconnect, "close and use a new connection from here on"),
    Rule("leave", leave, "close (FIN both ways)"),
    Rule("reset", reset, "reset (RST)"),
    Rule("half-close", half_close, "FIN, but go on reading"),
    Rule("pause reading", pause, "read nothing from here on"),
    Rule("resume reading", resume, "read at full speed again"),
    Rule("read at SIZE per second for DUR", read_slowly, "a slow reader, then a paused one"),
    Rule("read INT events", read_events, "take that many events"),
    Rule("event json PATH TEST", event_has, "take the next event and test a member"),
    Rule("event TEST", event_is, "take the next event and test its data"),
    Rule("event", event, "take the next event and apply the `json`, `text`, `name` tests below"),
    Rule("next reply", next_reply, "wait for the reply's end; from here on the next one counts"),
    Rule("expect status STATUS", expect_status, "test the status"),
    Rule("expect interim STATUS", expect_interim, "an interim answer with this status came first"),
    Rule("expect header WORD TEST", expect_header, "test a header"),
    Rule("expect json PATH TEST", expect_json, "test a member of the body's JSON"),
    Rule("expect body size TEST", expect_body_size, "test the body's length"),
    Rule("expect body TEST", expect_body, "test the body as text"),
    Rule("expect answer TEST", expect_answer, "test the assistant's text, streamed or not"),
    Rule(
        "expect events",
        expect_events,
        "the whole stream is exactly the events below: `| data` " "or `? TEST`",
    ),
    Rule("expect event count TEST", expect_event_count, "test the number of events"),
    Rule("expect comments TEST", expect_comment, "test the stream's comments"),
    Rule("expect stream done", expect_done, "the stream is complete and ends with [DONE]"),
    Rule(
        "expect stream error",
        expect_stream_error,
        "the stream ends with an error event, has no " "[DONE], and the connection closes",
    ),
    Rule("expect no done", expect_no_done, "there is no [DONE] in the stream"),
    Rule("expect error STATUS", expect_error, "a JSON error in OpenAI's shape with this status"),
    Rule("expect complete", expect_complete, "the reply is complete by its framing"),
    Rule("expect cut", expect_cut, "the reply is not complete by its framing"),
    Rule("expect head within SPAN", expect_head_within, "time from the request to the head"),
    Rule("expect end within SPAN", expect_end_within, "time from the request to the end"),
    Rule("expect event within SPAN", expect_event_within, "take the next event; time to it"),
    Rule("expect closed within SPAN", expect_closed, "the peer closes that soon"),
    Rule("expect open for DUR", expect_open, "the peer does not close meanwhile"),
    Rule("expect nothing for DUR", expect_nothing, "no bytes come meanwhile"),
    Rule("expect no more replies", expect_no_more, "there is no reply at hand"),
    Rule("save NAME header WORD", save_header, "keep a value as ${name}"),
    Rule("save NAME json PATH", save_json, "keep a value as ${name}"),
    Rule("sleep DUR", lambda client, node, seconds: asyncio.sleep(seconds), "wait"),
    Rule("wait NAME", wait_for, "wait for a signal of another actor"),
    Rule("signal NAME", give, "give a signal"),
]
