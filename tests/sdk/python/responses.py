"""The OpenAI SDK's Responses API, whole and as streams, on every wire behind."""

import json
import time

import openai
from kit import (WIRES, WORDS, alone, between, case, equal, left_after, model, model_on,
                 on_each_wire, raises, seen, through_weir, true)
from openai_sdk import client
from pydantic import BaseModel
from said import CALLS, CITY, LONG, LONG_DIGEST, SCRIPT, THOUGHTS, ZONE, is_large

TOOLS = [{"type": "function", "name": "weather", "description": "Today's weather", "strict": True,
          "parameters": CITY},
         {"type": "function", "name": "clock", "strict": True, "parameters": ZONE}]


def ask(name, own=None, **more):
    return (own or client()).responses.create(
        **{"model": name, "input": "Hello", "store": False, **more})


def calls_of(answer):
    return [(item.call_id, item.name, json.loads(item.arguments)) for item in answer.output
            if item.type == "function_call"]


def counted(usage):
    return (usage.input_tokens, usage.input_tokens_details.cached_tokens, usage.output_tokens,
            usage.output_tokens_details.reasoning_tokens, usage.total_tokens)


def final_of(events):
    """The answer in the last event of a stream."""
    equal([e.sequence_number for e in events], list(range(len(events))), "sequence numbers")
    return events[-1].response


@on_each_wire
def respond(wire):
    name = model_on(wire, "plain")
    answer = ask(name, instructions="Be brief.")
    equal((answer.object, answer.status, answer.output_text), ("response", "completed", WORDS))
    equal([(item.type, item.role) for item in answer.output], [("message", "assistant")])
    equal(counted(answer.usage), (9, 2, 4, 1, 13), "usage")
    equal((answer.error, answer.incomplete_details), (None, None))
    equal(len(seen(name)), 1)


@through_weir
def respond_untouched():
    """OpenAI itself has this API too: what Weir does not know passes both ways."""
    name = model("plain")
    answer = ask(name, truncation="auto", extra_body={"of_tomorrow": {"deep": [1, 2.5, None]}})
    equal(answer.model_extra["x_unknown"], {"kept": [1]})
    [request] = seen(name)
    equal(request["path"], "/v1/responses")
    equal(request["body"], {"model": name[3:], "input": "Hello", "store": False,
                            "truncation": "auto", "of_tomorrow": {"deep": [1, 2.5, None]}})


@on_each_wire
def respond_cut_at_max_tokens(wire):
    answer = ask(model_on(wire, "length"), max_output_tokens=16)
    equal((answer.status, answer.incomplete_details.reason), ("incomplete", "max_output_tokens"))


@on_each_wire
def respond_stream(wire):
    """Every event in its order."""
    events = list(ask(model_on(wire, "plain"), stream=True))
    kinds = [e.type for i, e in enumerate(events) if not i or events[i - 1].type != e.type]
    equal(kinds, ["response.created", "response.in_progress", "response.output_item.added",
                  "response.content_part.added", "response.output_text.delta",
                  "response.output_text.done", "response.content_part.done",
                  "response.output_item.done", "response.completed"])
    equal("".join(e.delta for e in events if e.type == "response.output_text.delta"), WORDS)
    final = final_of(events)
    equal((final.output_text, counted(final.usage)), (WORDS, (9, 2, 4, 1, 13)))


@on_each_wire
def respond_stream_helper(wire):
    with client().responses.stream(model=model_on(wire, "plain"), input="Hello") as stream:
        equal(stream.get_final_response().output_text, WORDS)


@on_each_wire
def respond_tools_and_results(wire):
    name = model_on(wire, "tools")
    first = ask(name, tools=TOOLS)
    equal(calls_of(first), CALLS)
    results = [{"type": "function_call_output", "call_id": call[0], "output": text}
               for call, text in zip(CALLS, ("sunny", "noon"))]
    second = ask(name, tools=TOOLS,
                 input=[{"role": "user", "content": "Hello"}, *first.output, *results])
    equal(second.output_text, "sunny / noon")


@on_each_wire
def respond_stream_tools(wire):
    events = list(ask(model_on(wire, "tools"), tools=TOOLS, stream=True))
    done = [e for e in events if e.type == "response.function_call_arguments.done"]
    equal([json.loads(e.arguments) for e in done], [call[2] for call in CALLS])
    parts = {}
    for event in events:
        if event.type == "response.function_call_arguments.delta":
            parts[event.item_id] = parts.get(event.item_id, "") + event.delta
    equal([json.loads(text) for text in parts.values()], [call[2] for call in CALLS])
    equal(calls_of(final_of(events)), CALLS)


@on_each_wire
def respond_with_thoughts_and_a_tool(wire):
    for streamed in (False, True):
        name = model_on(wire, "reason")
        more = {"tools": TOOLS, "include": ["reasoning.encrypted_content"],
                "reasoning": {"effort": "low", "summary": "auto"}}
        first = final_of(list(ask(name, stream=True, **more))) if streamed else ask(name, **more)
        told = [part.text for item in first.output if item.type == "reasoning"
                for part in [*item.summary, *(item.content or [])]]
        equal("".join(told), THOUGHTS, "thoughts")
        equal((first.output_text, calls_of(first)), ("I look.", CALLS[:1]))
        second = ask(name, **more, input=[
            {"role": "user", "content": "Hello"}, *first.output,
            {"type": "function_call_output", "call_id": "call_a", "output": "sunny"}])
        equal(second.output_text, "sunny")


class River(BaseModel):
    river: str
    km: int


@on_each_wire
def respond_json_schema(wire):
    answer = client().responses.parse(model=model_on(wire, "schema"), input="Hello",
                                      text_format=River)
    equal(answer.output_parsed, River(river="Elbe", km=1094))


@through_weir
def respond_error_401_wrong_key():
    error = raises(openai.AuthenticationError,
                   lambda: ask("chat", client(api_key="wk-sdk-0123456789abcdee")))
    equal(error.code, "invalid_api_key")


@through_weir
def respond_error_404_unknown_model():
    error = raises(openai.NotFoundError, lambda: ask("chatt"))
    equal((error.code, error.param), ("model_not_found", "model"))


@on_each_wire
def respond_error_400_of_the_upstream(wire):
    for streamed in (False, True):
        error = raises(openai.BadRequestError,
                       lambda: ask(model_on(wire, "picky"), stream=streamed))
        true("does not support 9" in error.message, error.message)


@on_each_wire
def respond_error_429_then_success(wire):
    name = model_on(wire, "limited")
    equal(ask(name).output_text, WORDS)
    equal(len(seen(name)), 2, "requests")


def broken_stream(name):
    """(text so far, why it failed). The SDK hands on `response.failed`, and raises on `error`."""
    text = ""
    try:
        for event in ask(name, stream=True):
            if event.type == "response.output_text.delta":
                text += event.delta
            elif event.type == "response.failed":
                return text, event.response.error.message
            elif event.type == "error":
                return text, event.message
    except openai.APIError as error:
        return text, error.message
    raise AssertionError(f"the stream ended as if it were complete: {text!r}")


@on_each_wire
def respond_error_in_a_stream(wire):
    text, why = broken_stream(model_on(wire, "frame"))
    equal(text, "The weir ")
    true("out of memory" in why, why)


@through_weir
def respond_stream_cut_by_the_upstream():
    for wire in WIRES:
        for how in ("cut", "cut-clean"):
            text, why = broken_stream(model_on(wire, how))
            equal(text, "The weir ", f"{how} on {wire}")
            true(why, f"{how} on {wire}")


@on_each_wire
def respond_to_one_megabyte(wire):
    equal(ask(model_on(wire, "digest"), input=LONG).output_text, LONG_DIGEST)


@on_each_wire
def respond_with_one_megabyte(wire):
    is_large(ask(model_on(wire, "large")).output_text)
    is_large(final_of(list(ask(model_on(wire, "large"), stream=True))).output_text)


@on_each_wire
def respond_stream_utf8_split(wire):
    events = list(ask(model_on(wire, "split"), stream=True))
    equal(final_of(events).output_text[:len(SCRIPT)], SCRIPT)


@on_each_wire
def respond_stream_comments(wire):
    events = list(ask(model_on(wire, "comments"), stream=True))
    equal(final_of(events).output_text, WORDS)


@alone
def respond_abort():
    for wire in WIRES:
        name = model_on(wire, "endless")
        stream = ask(name, stream=True)
        for _, _ in zip(range(6), stream):
            pass
        left = time.monotonic()
        stream.close()
        between(left_after(name) - left, -0.001, 0.1, f"seconds to the upstream on {wire}")


@case
def respond_timeout():
    own = client(timeout=0.4, max_retries=0)
    raises(openai.APITimeoutError, lambda: ask(model_on("responses", "silent"), own))
