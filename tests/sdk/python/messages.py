"""The Anthropic SDK: Messages, whole and as streams, on every wire behind."""

import asyncio
import functools
import json
import os
import time

import anthropic
from anthropic import Anthropic, AsyncAnthropic
from kit import (SLACK, TIMEOUT, WIRES, WORDS, alone, between, case, equal, left_after, model,
                 model_on, on_each_wire, raises, seen, through_weir, true)
from pydantic import BaseModel
from said import (ARGUMENTS, CALLS, CITY, LONG, LONG_DIGEST, SCRIPT, THOUGHTS, ZONE, is_large)

HELLO = [{"role": "user", "content": "Hello"}]
TOOLS = [{"name": "weather", "description": "Today's weather", "input_schema": CITY},
         {"name": "clock", "input_schema": ZONE}]


@functools.cache
def shared():
    return Anthropic(timeout=TIMEOUT * SLACK)


def client(**more):
    """Everything comes from the environment, as in applications."""
    return Anthropic(**{"timeout": TIMEOUT * SLACK, **more}) if more else shared()


def ask(name, own=None, **more):
    return (own or client()).messages.create(
        **{"model": name, "max_tokens": 100, "messages": HELLO, **more})


def stream(name, own=None, **more):
    return (own or client()).messages.stream(
        **{"model": name, "max_tokens": 100, "messages": HELLO, **more})


def own_model(behaviour):
    return model_on("anthropic", behaviour)


def text_of(message):
    return "".join(block.text for block in message.content if block.type == "text")


def calls_of(message):
    return [(b.id, b.name, b.input) for b in message.content if b.type == "tool_use"]


def counted(usage):
    """(all input, of it cached, output): the same on every wire."""
    cached = usage.cache_read_input_tokens or 0
    return usage.input_tokens + cached + (usage.cache_creation_input_tokens or 0), cached, \
        usage.output_tokens


@on_each_wire
def chat(wire):
    name = model_on(wire, "plain")
    answer = ask(name, system="Be brief.")
    equal((answer.type, answer.role, answer.stop_reason), ("message", "assistant", "end_turn"))
    equal([(b.type, b.text) for b in answer.content], [("text", WORDS)])
    equal(counted(answer.usage), (9, 2, 4), "usage")
    true(answer.id and answer.model, "id and model")
    equal(len(seen(name)), 1)


@case
def fields_pass_both_ways():
    name = own_model("plain")
    answer = ask(name, system=[{"type": "text", "text": "Be brief.",
                                "cache_control": {"type": "ephemeral"}}],
                 metadata={"user_id": "u-1"}, extra_body={"of_tomorrow": {"deep": [1, 2.5, None]}},
                 extra_headers={"anthropic-beta": "of-tomorrow-2027-01-01,other"})
    equal(answer.model_extra["x_unknown"], {"kept": [1]})
    [request] = seen(name)
    equal(request["body"], {
        "model": name.rpartition("/")[2], "max_tokens": 100, "messages": HELLO,
        "metadata": {"user_id": "u-1"}, "of_tomorrow": {"deep": [1, 2.5, None]},
        "system": [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}]})
    equal(request["path"], "/v1/messages")
    equal(request["headers"]["anthropic-beta"], "of-tomorrow-2027-01-01,other")
    equal(request["headers"]["anthropic-version"], "2026-10-21")


@on_each_wire
def stream_events(wire):
    """Every event in its order; the numbers of the last count."""
    kinds, text, usage = [], "", None
    for event in ask(model_on(wire, "plain"), stream=True):
        if not kinds or kinds[-1] != event.type:
            kinds.append(event.type)
        if event.type == "content_block_delta":
            text += event.delta.text
        elif event.type == "message_start":
            equal((event.message.content, event.message.stop_reason), ([], None))
        elif event.type == "message_delta":
            equal(event.delta.stop_reason, "end_turn")
            usage = event.usage
    equal(kinds, ["message_start", "content_block_start", "content_block_delta",
                  "content_block_stop", "message_delta", "message_stop"])
    equal(text, WORDS)
    equal(usage.output_tokens, 4)


@on_each_wire
def stream_helper(wire):
    with stream(model_on(wire, "plain")) as events:
        equal("".join(events.text_stream), WORDS)
        message = events.get_final_message()
    equal((text_of(message), message.stop_reason), (WORDS, "end_turn"))
    equal(counted(message.usage), (9, 2, 4), "usage")


@on_each_wire
def cut_at_max_tokens(wire):
    equal(ask(model_on(wire, "length")).stop_reason, "max_tokens")


@on_each_wire
def tools_parallel_and_results(wire):
    """Two calls come, both results go back, and the answer is made of them."""
    name, more = model_on(wire, "tools"), {"tools": TOOLS, "tool_choice": {"type": "auto"}}
    first = ask(name, **more)
    equal(first.stop_reason, "tool_use")
    equal(calls_of(first), CALLS)
    results = [{"type": "tool_result", "tool_use_id": call[0], "content": text}
               for call, text in zip(CALLS, ("sunny", "noon"))]
    second = ask(name, **more, messages=[*HELLO, {"role": "assistant", "content": first.content},
                                         {"role": "user", "content": results}])
    equal(text_of(second), "sunny / noon")


@on_each_wire
def stream_tools(wire):
    parts = {}
    with stream(model_on(wire, "tools"), tools=TOOLS) as events:
        for event in events:
            if event.type == "content_block_delta" and event.delta.type == "input_json_delta":
                parts[event.index] = parts.get(event.index, "") + event.delta.partial_json
        message = events.get_final_message()
    equal(calls_of(message), CALLS)
    equal([json.loads(text) for text in parts.values()], ARGUMENTS)
    equal(message.stop_reason, "tool_use")


@on_each_wire
def thoughts_and_a_tool(wire):
    """Thoughts, a text and a call; the thoughts go back with the result, signature and all."""
    for streamed in (False, True):
        name = model_on(wire, "reason")
        more = {"tools": TOOLS, "thinking": {"type": "enabled", "budget_tokens": 1024},
                "max_tokens": 2048}
        if streamed:
            with stream(name, **more) as events:
                first = events.get_final_message()
        else:
            first = ask(name, **more)
        thinking = [b.thinking for b in first.content if b.type == "thinking"]
        equal("".join(thinking), THOUGHTS, "thoughts")
        equal((text_of(first), calls_of(first)), ("I look.", CALLS[:1]))
        result = {"type": "tool_result", "tool_use_id": "call_a", "content": "sunny"}
        second = ask(name, **more, messages=[
            *HELLO, {"role": "assistant", "content": first.content},
            {"role": "user", "content": [result]}])
        equal(text_of(second), "sunny")
        if wire == "anthropic":
            kept = [b for m in seen(name)[1]["body"]["messages"] if isinstance(m["content"], list)
                    for b in m["content"] if b["type"] == "thinking"]
            equal([(b["thinking"], bool(b["signature"])) for b in kept], [(THOUGHTS, True)])


class River(BaseModel):
    river: str
    km: int


@on_each_wire
def json_schema(wire):
    answer = client().messages.parse(model=model_on(wire, "schema"), max_tokens=100,
                                     messages=HELLO, output_format=River)
    equal(answer.parsed_output, River(river="Elbe", km=1094))


@case
def the_beta_namespace():
    name = own_model("plain")
    answer = client().beta.messages.create(model=name, max_tokens=100, messages=HELLO,
                                           betas=["of-tomorrow-2027-01-01"])
    equal(text_of(answer), WORDS)
    equal(seen(name)[0]["headers"]["anthropic-beta"], "of-tomorrow-2027-01-01")


@on_each_wire
def count_tokens(wire):
    """Where the provider counts, what it says. Nobody else can, which agents take a 404 for."""
    def count():
        return client().messages.count_tokens(model=model_on(wire, "plain"), messages=HELLO,
                                              system="Be brief.", tools=TOOLS).input_tokens

    if wire == "anthropic":
        equal(count(), 9)
    else:
        true("count_tokens" in raises(anthropic.NotFoundError, count).api_message, "the reason")


@through_weir
def models():
    page = client().models.list(limit=1000)
    names = [m.id for m in page]
    true("chat" in names, f"no alias among {names}")
    equal({m.type for m in page.data}, {"model"})
    true(all(m.display_name and m.created_at for m in page.data), "display_name and created_at")
    equal(client().models.retrieve("chat").id, "chat")


@case
def both_headers():
    """The key as x-api-key, as 0.x sent it, and as a bearer token, as 2.x does."""
    key = os.environ["ANTHROPIC_API_KEY"]
    own = client(api_key=None, auth_token=key)
    equal(text_of(ask(own_model("plain"), own)), WORDS, "auth_token")
    for headers in ({"Authorization": anthropic.Omit(), "x-api-key": key},
                    {"Authorization": f"Bearer {key}"}):
        equal(text_of(ask(own_model("plain"), extra_headers=headers)), WORDS, f"{list(headers)}")


@through_weir
def error_401_wrong_key():
    own = client(api_key="wk-sdk-0123456789abcdee")
    bare = {"Authorization": anthropic.Omit()}
    for headers in ({}, bare, {**bare, "x-api-key": "wk-sdk-0123456789abcdee"}):
        error = raises(anthropic.AuthenticationError,
                       lambda: ask("chat", own, extra_headers=headers))
        equal((error.status_code, error.type), (401, "authentication_error"))
        equal(error.body["type"], "error")
        true("abcdee" not in str(error), "the key is in the message")


@through_weir
def error_404_unknown_model():
    error = raises(anthropic.NotFoundError, lambda: ask("chatt"))
    equal((error.status_code, error.type), (404, "not_found_error"))
    true("`chatt`" in error.api_message, error.api_message)


@through_weir
def error_400_of_weir():
    error = raises(anthropic.BadRequestError, lambda: ask(own_model("plain"), messages="no list"))
    equal((error.status_code, error.type), (400, "invalid_request_error"))
    true(error.request_id, "request_id")


@on_each_wire
def error_400_of_the_upstream(wire):
    name = model_on(wire, "picky")
    for streamed in (False, True):
        error = raises(anthropic.BadRequestError, lambda: ask(name, stream=streamed))
        equal(error.type, "invalid_request_error")
        true("does not support 9" in error.api_message, error.api_message)
    equal(len(seen(name)), 2, "requests")


@through_weir
def error_401_of_the_upstream():
    """Weir's own key was refused: that is not the client's mistake."""
    error = raises(anthropic.InternalServerError,
                   lambda: ask(own_model("locked"), client(max_retries=0)))
    equal((error.status_code, error.type), (502, "api_error"))


@on_each_wire
def error_429_then_success(wire):
    for streamed in (False, True):
        name, started = model_on(wire, "limited"), time.monotonic()
        if streamed:
            with stream(name) as events:
                equal(events.get_final_text(), WORDS)
        else:
            equal(text_of(ask(name)), WORDS)
        requests = seen(name)
        equal(len(requests), 2, "requests")
        if wire != "gemini":
            between(requests[1]["at"] - requests[0]["at"], 0.045, 0.3, "seconds between the tries")
        between(time.monotonic() - started, 0.05, 3.0, "seconds")


@case
def error_429_exhausted():
    name = own_model("always-limited")
    error = raises(anthropic.RateLimitError, lambda: ask(name))
    equal((error.status_code, error.type), (429, "rate_limit_error"))
    true("Rate limit reached" in error.api_message, error.api_message)
    equal(len(seen(name)), 3, "requests: one and two retries")


@case
def error_500_twice_then_success():
    name = own_model("flaky")
    equal(text_of(ask(name)), WORDS)
    equal(len(seen(name)), 3, "requests")


def broken_stream(name):
    """(text so far, the error) of a stream that must not end well."""
    words = []
    try:
        with stream(name) as events:
            words.extend(events.text_stream)
    except anthropic.APIError as error:
        return "".join(words), error
    raise AssertionError(f"the stream ended as if it were complete: {''.join(words)!r}")


@on_each_wire
def error_frame_in_a_stream(wire):
    text, error = broken_stream(model_on(wire, "frame"))
    equal(text, "The weir ")
    true("out of memory" in str(error.body), f"{error!r} {error.body!r}")


@through_weir
def stream_cut_by_the_upstream():
    for wire in WIRES:
        for how in ("cut", "cut-clean"):
            text, error = broken_stream(model_on(wire, how))
            equal(text, "The weir ", f"{how} on {wire}")
            equal(error.body["error"]["type"], "api_error", f"{how} on {wire}")


@on_each_wire
def one_megabyte_there(wire):
    answer = ask(model_on(wire, "digest"), messages=[{"role": "user", "content": LONG}])
    equal(text_of(answer), LONG_DIGEST)


@on_each_wire
def one_megabyte_back(wire):
    is_large(text_of(ask(model_on(wire, "large"))))
    with stream(model_on(wire, "large")) as events:
        is_large(events.get_final_text())


@on_each_wire
def stream_utf8_split_at_every_byte(wire):
    with stream(model_on(wire, "split")) as events:
        equal(events.get_final_text()[:len(SCRIPT)], SCRIPT)


@on_each_wire
def stream_comments(wire):
    with stream(model_on(wire, "comments")) as events:
        equal(events.get_final_text(), WORDS)


@alone
def async_client():
    """Thirty at the same time, every third as a stream."""
    async def read(own, number):
        name = own_model("plain")
        if number % 3:
            return text_of(await own.messages.create(model=name, max_tokens=9, messages=HELLO))
        async with own.messages.stream(model=name, max_tokens=9, messages=HELLO) as events:
            return await events.get_final_text()

    async def everything():
        async with AsyncAnthropic(timeout=TIMEOUT * SLACK) as own:
            return await asyncio.gather(*(read(own, number) for number in range(30)))

    equal(set(asyncio.run(everything())), {WORDS})


@alone
def abort_in_a_stream():
    """Leaving the block cancels the upstream at once."""
    for wire in WIRES:
        name = model_on(wire, "endless")
        with stream(name) as events:
            for _, _ in zip(range(5), events.text_stream):
                pass
            left = time.monotonic()
        between(left_after(name) - left, -0.001, 0.1, f"seconds to the upstream on {wire}")


@alone
def timeout_while_waiting():
    name = own_model("silent")
    own, started = client(timeout=0.4, max_retries=0), time.monotonic()
    raises(anthropic.APITimeoutError, lambda: ask(name, own))
    between(left_after(name) - started, 0.35, 0.6, "seconds until the upstream was let go")


@through_weir
def the_same_key_for_every_alias():
    equal(text_of(ask("chat")), WORDS)
    equal(text_of(ask(model("plain"))), WORDS)
