"""Streams: usage, tools, characters cut in pieces, comments, leaving, many at once."""

import asyncio
import json
import time

from answers import ARGUMENTS, CLOCK, WEATHER
from kit import (HELLO, SLACK, SOLO, TIMEOUT, WORDS, alone, between, case, equal, left_after, model,
                 raises, seen, true)
from openai import APITimeoutError, AsyncOpenAI
from openai_sdk import client, text_of

SCRIPT = "a\u00e9\u4e2d\U0001f30a \U0001f1e9\U0001f1ea e\u0301 \U0001f469\u200d\U0001f467 \u05e9"
MANY = 100


def open_stream(name, own=None, **more):
    return (own or client()).chat.completions.create(model=name, messages=HELLO, stream=True, **more)


@case
def stream_without_usage():
    name = model("plain")
    chunks = list(open_stream(name))
    equal(text_of(chunks), WORDS)
    equal(chunks[-1].choices[0].finish_reason, "stop")
    true(all(c.choices for c in chunks), "a chunk without choices")
    equal([c for c in chunks if "usage" in c.model_fields_set], [], "a field `usage`")
    equal(len({c.id for c in chunks}), 1, "ids")
    equal(seen(name)[0]["body"]["stream_options"], {"include_usage": True}, "asked upstream")


@case
def stream_with_usage():
    chunks = list(open_stream(model("plain"), stream_options={"include_usage": True}))
    equal(text_of(chunks), WORDS)
    equal(chunks[-1].choices, [], "choices of the last chunk")
    equal(chunks[-1].usage.total_tokens, 13)
    equal(chunks[-1].usage.prompt_tokens_details.cached_tokens, 2)
    true(all(c.usage is None and "usage" in c.model_fields_set for c in chunks[:-1]),
         "`usage: null` in all others")


@case
def stream_raw_bytes():
    """What the SDK never shows: the terminator, and no trace of usage."""
    with client().chat.completions.with_streaming_response.create(
            model=model("plain"), messages=HELLO, stream=True) as answer:
        equal(answer.headers["content-type"].partition(";")[0], "text/event-stream")
        true(answer.headers["x-weir-request-id"], "x-weir-request-id")
        text = answer.read().decode()
    true(text.endswith("data: [DONE]\n\n"), text[-200:])
    true("usage" not in text, "usage in a stream that did not ask")


@case
def stream_helper():
    """`.stream()` gathers events into a completion."""
    with client().chat.completions.stream(model=model("plain"), messages=HELLO) as stream:
        kinds = {event.type for event in stream}
        equal(stream.get_final_completion().choices[0].message.content, WORDS)
    true({"chunk", "content.delta", "content.done"} <= kinds, f"{kinds}")


@case
def stream_n_2():
    texts = {0: "", 1: ""}
    finished = {}
    for chunk in open_stream(model("two"), n=2):
        choice = chunk.choices[0]
        texts[choice.index] += choice.delta.content or ""
        if choice.finish_reason:
            finished[choice.index] = choice.finish_reason
    equal(texts, {0: "left one", 1: "right two"})
    equal(finished, {0: "stop", 1: "stop"})


@case
def stream_tools():
    calls, finish = {}, None
    for chunk in open_stream(model("tools"), tools=[WEATHER, CLOCK]):
        finish = chunk.choices[0].finish_reason or finish
        for part in chunk.choices[0].delta.tool_calls or []:
            entry = calls.setdefault(part.index, {"id": "", "name": "", "arguments": ""})
            entry["id"] += part.id or ""
            entry["name"] += part.function.name or ""
            entry["arguments"] += part.function.arguments or ""
    equal(finish, "tool_calls")
    equal([(c["id"], c["name"]) for c in calls.values()], [("call_a", "weather"), ("call_b", "clock")])
    equal([json.loads(c["arguments"]) for c in calls.values()], ARGUMENTS)


@case
def stream_tools_helper():
    with client().chat.completions.stream(model=model("tools-in-turn"), messages=HELLO,
                                          tools=[WEATHER, CLOCK]) as stream:
        done = [e for e in stream if e.type == "tool_calls.function.arguments.done"]
    equal([(e.index, e.name) for e in done], [(0, "weather"), (1, "clock")])
    equal([json.loads(e.arguments) for e in done], ARGUMENTS)


@case
def stream_utf8_split_at_every_byte():
    """First bytes come one by one, then UTF-16 units; joined, both are the same text."""
    text = text_of(open_stream(model("split")))
    equal(text[:len(SCRIPT)], SCRIPT)
    equal(text[len(SCRIPT):].encode("utf-16-be", "surrogatepass"), SCRIPT.encode("utf-16-be"))


@case
def stream_of_one_megabyte():
    text = text_of(open_stream(model("large")))
    true(len(text.encode()) > 900000, f"{len(text.encode())} bytes")
    equal(text.replace(text[:len(text) // 50], ""), "", "fifty times the same")


@case
def stream_comments():
    equal(text_of(open_stream(model("comments"))), WORDS)


@alone
def stream_comes_as_it_is_made():
    """Words that are made 30 ms apart arrive apart."""
    times = [time.monotonic() for c in open_stream(model("slow")) if c.choices[0].delta.content]
    equal(len(times), 12)
    gaps = [b - a for a, b in zip(times, times[1:])]
    true(sum(gap > 0.015 for gap in gaps) >= 9, f"gaps: {[round(g, 3) for g in gaps]}")


@alone
def stream_kept_open_while_waiting():
    """The head comes early, with comments until there is something to say."""
    own, started = client(base_url=f"{SOLO}/v1"), time.monotonic()
    stream = open_stream(model("late", ""), own)
    head = time.monotonic() - started
    equal(text_of(stream), WORDS)
    between(head, 0.15, 0.6, "seconds to the head")
    true(time.monotonic() - started > 0.85, "the upstream did not wait")
    with own.chat.completions.with_streaming_response.create(
            model=model("late", ""), messages=HELLO, stream=True) as answer:
        lines = list(answer.iter_lines())
    true(sum(line.startswith(":") for line in lines) >= 2, f"comments: {lines[:10]}")


@alone
def abort_in_a_stream():
    """Closing, leaving the block, and breaking out each cancel the upstream at once."""
    for way in ("close", "with", "response"):
        name = model("endless")
        stream = open_stream(name)
        for _ in range(5):
            next(stream)
        left = time.monotonic()
        if way == "with":
            with stream:
                left = time.monotonic()
        else:
            (stream if way == "close" else stream.response).close()
        between(left_after(name) - left, -0.001, 0.1, f"seconds from {way} to the upstream")


@alone
def abort_of_an_async_task():
    name = model("endless")

    async def leave():
        async with AsyncOpenAI(timeout=TIMEOUT) as own:
            async def read():
                async for _ in await own.chat.completions.create(model=name, messages=HELLO,
                                                                 stream=True):
                    pass

            task = asyncio.ensure_future(read())
            await asyncio.sleep(0.3)
            task.cancel()
            left = time.monotonic()
            await asyncio.gather(task, return_exceptions=True)
            return left

    left = asyncio.run(leave())
    between(left_after(name) - left, -0.001, 0.1, "seconds from cancel to the upstream")


@alone
def timeout_while_waiting():
    """The client's own limit: a typed error, and the upstream is let go."""
    name = model("silent")
    own, started = client(timeout=0.4, max_retries=0), time.monotonic()
    raises(APITimeoutError, lambda: own.chat.completions.create(model=name, messages=HELLO))
    took = time.monotonic() - started
    between(took, 0.35, 1.0, "seconds until the error")
    between(left_after(name) - started, 0.35, 0.6, "seconds until the upstream was let go")


@alone
def timeout_in_a_stream():
    name = model("stall")
    raises(APITimeoutError, lambda: list(open_stream(name, client(timeout=0.5))))
    left_after(name)


@alone
def many_streams_at_once():
    """A hundred streams with the asynchronous client; none lacks a word, and they overlap."""
    async def read(own, name):
        stream = await own.chat.completions.create(model=name, messages=HELLO, stream=True)
        return "".join([c.choices[0].delta.content or "" async for c in stream])

    async def everything(names):
        async with AsyncOpenAI(timeout=TIMEOUT * SLACK) as own:
            return await asyncio.gather(*(read(own, name) for name in names))

    names, started = [model("slow") for _ in range(MANY)], time.monotonic()
    texts = asyncio.run(everything(names))
    equal(set(texts), {WORDS * 3})
    # One after the other they would take 100 times 360 ms.
    between(time.monotonic() - started, 0.36, 10.0, "seconds for all")


@alone
def many_streams_aborted():
    """A hundred streams that are all left: nothing stays open at the upstream."""
    async def read(own, name):
        stream = await own.chat.completions.create(model=name, messages=HELLO, stream=True)
        async for _ in stream:
            break
        await stream.close()

    async def everything(names):
        async with AsyncOpenAI(timeout=TIMEOUT * SLACK) as own:
            await asyncio.gather(*(read(own, name) for name in names))

    names = [model("endless") for _ in range(MANY)]
    asyncio.run(everything(names))
    for name in names:
        left_after(name)
