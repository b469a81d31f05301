"""The OpenAI SDK's chat where Weir speaks another wire behind: the application notices nothing."""

import json
import time

import openai
from kit import (WIRES, WORDS, alone, between, equal, left_after, model_on, on_each_wire, raises,
                 seen, through_weir, true)
from openai_sdk import client, text_of
from pydantic import BaseModel
from said import CALLS, CITY, LONG, LONG_DIGEST, SCRIPT, THOUGHTS, ZONE, is_large

HELLO = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello"}]
TOOLS = [{"type": "function", "function": {"name": "weather", "parameters": CITY}},
         {"type": "function", "function": {"name": "clock", "parameters": ZONE}}]


def ask(name, own=None, **more):
    return (own or client()).chat.completions.create(
        **{"model": name, "messages": HELLO, **more})


def calls_of(message):
    return [(call.id, call.function.name, json.loads(call.function.arguments))
            for call in message.tool_calls or []]


def counted(usage):
    return (usage.prompt_tokens, usage.prompt_tokens_details.cached_tokens,
            usage.completion_tokens, usage.completion_tokens_details.reasoning_tokens,
            usage.total_tokens)


@on_each_wire
def cross_chat(wire):
    name = model_on(wire, "plain")
    answer = ask(name, max_tokens=50, temperature=0.5)
    [choice] = answer.choices
    equal((choice.message.content, choice.finish_reason), (WORDS, "stop"))
    equal(counted(answer.usage), (9, 2, 4, 1, 13), "usage")
    equal(len(seen(name)), 1)


@on_each_wire
def cross_cut_at_max_tokens(wire):
    equal(ask(model_on(wire, "length")).choices[0].finish_reason, "length")


@on_each_wire
def cross_stream(wire):
    """With usage asked for, and without."""
    chunks = list(ask(model_on(wire, "plain"), stream=True, stream_options={"include_usage": True}))
    equal(text_of(chunks), WORDS)
    equal((chunks[-1].choices, counted(chunks[-1].usage)), ([], (9, 2, 4, 1, 13)))
    equal(chunks[-2].choices[0].finish_reason, "stop")
    chunks = list(ask(model_on(wire, "plain"), stream=True))
    equal(text_of(chunks), WORDS)
    equal([c for c in chunks if c.usage or not c.choices], [], "usage that nobody asked for")


@on_each_wire
def cross_tools_and_results(wire):
    name = model_on(wire, "tools")
    first = ask(name, tools=TOOLS, tool_choice="auto").choices[0]
    equal((first.finish_reason, calls_of(first.message)), ("tool_calls", CALLS))
    results = [{"role": "tool", "tool_call_id": call[0], "content": text}
               for call, text in zip(CALLS, ("sunny", "noon"))]
    second = ask(name, tools=TOOLS, messages=[*HELLO, first.message, *results])
    equal(second.choices[0].message.content, "sunny / noon")


@on_each_wire
def cross_stream_tools(wire):
    calls, finish = {}, None
    for chunk in ask(model_on(wire, "tools"), tools=TOOLS, stream=True):
        finish = chunk.choices[0].finish_reason or finish
        for part in chunk.choices[0].delta.tool_calls or []:
            entry = calls.setdefault(part.index, ["", "", ""])
            for at, text in enumerate((part.id, part.function.name, part.function.arguments)):
                entry[at] += text or ""
    equal(finish, "tool_calls")
    equal([(a, b, json.loads(c)) for a, b, c in calls.values()], CALLS)


@on_each_wire
def cross_thoughts_and_a_tool(wire):
    """Thoughts as servers of open models say them: reasoning_content."""
    for streamed in (False, True):
        name = model_on(wire, "reason")
        if streamed:
            with client().chat.completions.stream(model=name, messages=HELLO,
                                                  tools=TOOLS) as stream:
                first = stream.get_final_completion().choices[0].message
        else:
            first = ask(name, tools=TOOLS).choices[0].message
        equal((first.content, calls_of(first)), ("I look.", CALLS[:1]))
        equal(first.model_extra.get("reasoning_content"), THOUGHTS)
        second = ask(name, tools=TOOLS, messages=[
            *HELLO, first, {"role": "tool", "tool_call_id": "call_a", "content": "sunny"}])
        equal(second.choices[0].message.content, "sunny")


class River(BaseModel):
    river: str
    km: int


@on_each_wire
def cross_json_schema(wire):
    answer = client().chat.completions.parse(model=model_on(wire, "schema"), messages=HELLO,
                                             response_format=River)
    equal(answer.choices[0].message.parsed, River(river="Elbe", km=1094))


@on_each_wire
def cross_error_400_of_the_upstream(wire):
    for streamed in (False, True):
        error = raises(openai.BadRequestError,
                       lambda: ask(model_on(wire, "picky"), stream=streamed))
        equal(error.type, "invalid_request_error")
        true("does not support 9" in error.message, error.message)


@through_weir
def cross_error_401_of_the_upstream():
    for wire in WIRES:
        error = raises(openai.InternalServerError,
                       lambda: ask(model_on(wire, "locked"), client(max_retries=0)))
        equal((error.status_code, error.code), (502, "upstream_auth"), wire)


@on_each_wire
def cross_error_429_then_success(wire):
    name = model_on(wire, "limited")
    equal(ask(name).choices[0].message.content, WORDS)
    equal(len(seen(name)), 2, "requests")


@through_weir
def cross_what_others_lack():
    """What changes the answer's meaning is refused; a hint is left out, and the answer says so."""
    for wire in WIRES:
        if wire in ("anthropic", "responses"):
            error = raises(openai.BadRequestError, lambda: ask(model_on(wire, "plain"), n=2))
            equal((error.param, error.code), ("n", "unsupported_parameter"), wire)
    raw = client().chat.completions.with_raw_response.create(
        model=model_on("anthropic", "plain"), messages=HELLO, seed=7)
    equal((raw.headers["x-weir-dropped"], raw.parse().choices[0].message.content), ("seed", WORDS))


def broken_stream(name):
    words = []
    try:
        for chunk in ask(name, stream=True):
            words.append(chunk.choices[0].delta.content or "")
    except openai.APIError as error:
        return "".join(words), error
    raise AssertionError(f"the stream ended as if it were complete: {''.join(words)!r}")


@on_each_wire
def cross_error_frame_in_a_stream(wire):
    text, error = broken_stream(model_on(wire, "frame"))
    equal(text, "The weir ")
    true("out of memory" in error.message, error.message)


@through_weir
def cross_stream_cut_by_the_upstream():
    for wire in WIRES:
        for how in ("cut", "cut-clean"):
            text, error = broken_stream(model_on(wire, how))
            equal(text, "The weir ", f"{how} on {wire}")
            true(error.message and error.code, f"{how} on {wire}: {error!r}")


@on_each_wire
def cross_one_megabyte(wire):
    answer = ask(model_on(wire, "digest"), messages=[{"role": "user", "content": LONG}])
    equal(answer.choices[0].message.content, LONG_DIGEST)
    is_large(text_of(ask(model_on(wire, "large"), stream=True)))


@on_each_wire
def cross_stream_utf8_and_comments(wire):
    equal(text_of(ask(model_on(wire, "split"), stream=True))[:len(SCRIPT)], SCRIPT)
    equal(text_of(ask(model_on(wire, "comments"), stream=True)), WORDS)


@alone
def cross_abort():
    for wire in WIRES:
        name = model_on(wire, "endless")
        stream = ask(name, stream=True)
        for _, _ in zip(range(5), stream):
            pass
        left = time.monotonic()
        stream.close()
        between(left_after(name) - left, -0.001, 0.1, f"seconds to the upstream on {wire}")
