"""LlamaIndex's OpenAILike, as its documents point it at a gateway, on every wire behind."""

import asyncio
import gc
import os
import time

import openai
from kit import (SLACK, TIMEOUT, WIRES, WORDS, alone, between, case, equal, left_after, model,
                 model_on, on_each_wire, raises, seen, through_weir, true)
from llama_index.core.llms import ChatMessage
from llama_index.core.tools import FunctionTool
from llama_index.llms.openai_like import OpenAILike
from pydantic import BaseModel
from said import CALLS, LONG, LONG_DIGEST, SCRIPT, is_large

HELLO = [ChatMessage(role="system", content="Be brief."), ChatMessage(role="user", content="Hello")]


def llm(name, **more):
    return OpenAILike(**{
        "model": name, "api_base": os.environ["OPENAI_BASE_URL"],
        "api_key": os.environ["OPENAI_API_KEY"], "is_chat_model": True,
        "is_function_calling_model": True, "context_window": 200000, "timeout": TIMEOUT * SLACK,
        **more})


def weather(city: str) -> str:
    """Today's weather"""
    return "sunny"


def clock(zone: str) -> str:
    """The time"""
    return "noon"


TOOLS = [FunctionTool.from_defaults(fn=weather), FunctionTool.from_defaults(fn=clock)]


def calls_of(of, answer):
    calls = of.get_tool_calls_from_response(answer)
    return [(call.tool_id, call.tool_name, call.tool_kwargs) for call in calls]


@on_each_wire
def chat(wire):
    answer = llm(model_on(wire, "plain")).chat(HELLO)
    equal(answer.message.content, WORDS)
    equal(answer.raw.usage.total_tokens, 13)


@on_each_wire
def stream(wire):
    chunks = list(llm(model_on(wire, "plain")).stream_chat(HELLO))
    equal("".join(c.delta or "" for c in chunks), WORDS)
    equal(chunks[-1].message.content, WORDS)


@on_each_wire
def complete(wire):
    """A prompt that becomes a chat."""
    equal(llm(model_on(wire, "plain")).complete("Hello").text, WORDS)


@case
def complete_by_the_legacy_path():
    name = model("legacy")
    equal(llm(name, is_chat_model=False).complete("Hello").text, WORDS)
    equal(seen(name)[0]["path"], "/v1/completions")


@on_each_wire
def tools_and_results(wire):
    own = llm(model_on(wire, "tools"))
    first = own.chat_with_tools(TOOLS, chat_history=HELLO, allow_parallel_tool_calls=True)
    equal(calls_of(own, first), CALLS)
    results = [ChatMessage(role="tool", content=text,
                           additional_kwargs={"tool_call_id": call[0]})
               for call, text in zip(CALLS, ("sunny", "noon"))]
    equal(own.chat([*HELLO, first.message, *results]).message.content, "sunny / noon")


@on_each_wire
def stream_tools(wire):
    own = llm(model_on(wire, "tools-in-turn"))
    chunks = list(own.stream_chat_with_tools(TOOLS, chat_history=HELLO,
                                             allow_parallel_tool_calls=True))
    equal(calls_of(own, chunks[-1]), CALLS)


class River(BaseModel):
    """A river."""
    river: str
    km: int


@on_each_wire
def structured_output(wire):
    own = llm(model_on(wire, "schema"), should_use_structured_outputs=True)
    answer = own.as_structured_llm(River).chat(HELLO)
    equal(answer.raw, River(river="Elbe", km=1094))


@through_weir
def error_401_wrong_key():
    raises(openai.AuthenticationError,
           lambda: llm("chat", api_key="wk-sdk-0123456789abcdee").chat(HELLO))


@on_each_wire
def error_400(wire):
    error = raises(openai.BadRequestError, lambda: llm(model_on(wire, "picky")).chat(HELLO))
    true("does not support 9" in str(error), str(error))


@on_each_wire
def error_429_then_success(wire):
    equal(llm(model_on(wire, "limited")).chat(HELLO).message.content, WORDS)


@on_each_wire
def error_frame_in_a_stream(wire):
    words = []
    try:
        for chunk in llm(model_on(wire, "frame")).stream_chat(HELLO):
            words.append(chunk.delta or "")
    except openai.APIError as error:
        true("out of memory" in error.message, error.message)
        equal("".join(words), "The weir ")
        return
    raise AssertionError(f"ended as if it were complete: {words}")


@on_each_wire
def one_megabyte(wire):
    own = llm(model_on(wire, "digest"))
    equal(own.chat([ChatMessage(role="user", content=LONG)]).message.content, LONG_DIGEST)
    is_large(list(llm(model_on(wire, "large")).stream_chat(HELLO))[-1].message.content)


@on_each_wire
def stream_utf8_and_comments(wire):
    last = list(llm(model_on(wire, "split")).stream_chat(HELLO))[-1]
    equal(last.message.content[:len(SCRIPT)], SCRIPT)
    equal(list(llm(model_on(wire, "comments")).stream_chat(HELLO))[-1].message.content, WORDS)


@alone
def async_chats():
    async def everything():
        own = llm(model("plain"))
        return await asyncio.gather(*(own.achat(HELLO) for _ in range(20)))

    equal({answer.message.content for answer in asyncio.run(everything())}, {WORDS})


@alone
def abort_in_a_stream():
    for wire in WIRES:
        name = model_on(wire, "endless")
        chunks = llm(name).stream_chat(HELLO)
        for _, _ in zip(range(5), chunks):
            pass
        # What it wraps goes only when it is collected, which takes a while.
        chunks.close()
        del chunks
        gc.collect()
        left = time.monotonic()
        between(left_after(name) - left, -1.0, 0.15, f"seconds to the upstream on {wire}")
