"""LangChain's models for OpenAI (chat and Responses) and Anthropic, on every wire behind."""

import asyncio
import functools
import os
import time

import anthropic
import openai
from kit import (DIRECT, SLACK, TIMEOUT, WIRES, WORDS, alone, between, case, cases, equal,
                 left_after, model, model_on, seen, through_weir, true)
from langchain_anthropic import ChatAnthropic
from langchain_core.messages import HumanMessage, SystemMessage, ToolMessage
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from pydantic import BaseModel
from said import CALLS, CITY, LONG, LONG_DIGEST, SCRIPT, THOUGHTS, ZONE, is_large

HELLO = [SystemMessage("Be brief."), HumanMessage("Hello")]
TOOLS = [{"title": "weather", "description": "Today's weather", **CITY},
         {"title": "clock", "description": "The time", **ZONE}]
COMMON = {"timeout": TIMEOUT * SLACK}


def chat(name, **more):
    """The address and the key come from OPENAI_BASE_URL and OPENAI_API_KEY."""
    return ChatOpenAI(model=name, stream_usage=True, use_responses_api=False, **COMMON, **more)


def responses(name, **more):
    return ChatOpenAI(model=name, use_responses_api=True, **COMMON, **more)


def messages(name, **more):
    """From ANTHROPIC_BASE_URL and ANTHROPIC_API_KEY."""
    return ChatAnthropic(model=name, max_tokens=2048, **COMMON, **more)


MAKERS = {"openai": (chat, "chat"), "responses": (responses, "responses"),
          "anthropic": (messages, "anthropic")}


def on_each(function):
    """A case for each class and each wire behind: function(make, wire), with make(behaviour)."""
    for kind, (build, own) in MAKERS.items():
        for wire in [own] if DIRECT else WIRES:
            def make(behaviour, build=build, wire=wire, **more):
                return build(model_on(wire, behaviour), **more)

            name = f"{function.__name__.replace('_', '-')}-{kind}-on-{wire}"
            cases.append((name, functools.partial(function, make, kind), True))
    return function


def counted(message):
    usage = message.usage_metadata
    return (usage["input_tokens"], usage["output_tokens"],
            usage["input_token_details"].get("cache_read"))


def gathered(chunks):
    return functools.reduce(lambda a, b: a + b, chunks)


def calls_of(message):
    return [(call["id"], call["name"], call["args"]) for call in message.tool_calls]


@on_each
def invoke(make, _):
    answer = make("plain").invoke(HELLO)
    equal((answer.text, counted(answer)), (WORDS, (9, 4, 2)))


@on_each
def stream(make, _):
    chunks = list(make("plain").stream(HELLO))
    true(len([c for c in chunks if c.text]) >= 4, f"{len(chunks)} chunks")
    whole = gathered(chunks)
    equal((whole.text, counted(whole)), (WORDS, (9, 4, 2)))


@on_each
def tools_and_results(make, _):
    bound = make("tools").bind_tools(TOOLS)
    first = bound.invoke(HELLO)
    equal(calls_of(first), CALLS)
    results = [ToolMessage(text, tool_call_id=call[0])
               for call, text in zip(CALLS, ("sunny", "noon"))]
    equal(bound.invoke([*HELLO, first, *results]).text, "sunny / noon")


@on_each
def stream_tools(make, _):
    whole = gathered(list(make("tools-in-turn").bind_tools(TOOLS).stream(HELLO)))
    equal(calls_of(whole), CALLS)


@on_each
def thoughts_and_a_tool(make, kind):
    """What came, thoughts and all, goes back with the result."""
    more = {"anthropic": {"thinking": {"type": "enabled", "budget_tokens": 1024}},
            "responses": {"reasoning": {"effort": "low", "summary": "auto"}}}.get(kind, {})
    for streamed in (False, True):
        bound = make("reason", **more).bind_tools(TOOLS)
        first = gathered(list(bound.stream(HELLO))) if streamed else bound.invoke(HELLO)
        equal((first.text, calls_of(first)), ("I look.", CALLS[:1]))
        if kind != "openai":
            told = "".join(b.get("reasoning", "") for b in first.content_blocks
                           if b["type"] == "reasoning")
            equal(told, THOUGHTS)
        answer = bound.invoke([*HELLO, first, ToolMessage("sunny", tool_call_id="call_a")])
        equal(answer.text, "sunny")


class River(BaseModel):
    """A river."""
    river: str
    km: int


@on_each
def structured_output(make, _):
    bound = make("schema").with_structured_output(River, method="json_schema")
    equal(bound.invoke(HELLO), River(river="Elbe", km=1094))


def kinds(kind):
    return anthropic if kind == "anthropic" else openai


def raises_a(kind, call):
    """The same as `raises` for the classes that LangChain makes of the SDKs' own."""
    try:
        value = call()
    except kind as error:
        return error
    raise AssertionError(f"expected {kind.__name__}, came {value!r}")


@on_each
def error_400(make, kind):
    model_ = make("picky")
    for call in (lambda: model_.invoke(HELLO), lambda: list(model_.stream(HELLO))):
        error = raises_a(kinds(kind).BadRequestError, call)
        true("does not support 9" in str(error), str(error))


@on_each
def error_429_then_success(make, _):
    equal(make("limited").invoke(HELLO).text, WORDS)


@on_each
def error_frame_in_a_stream(make, _):
    words = []
    try:
        for chunk in make("frame").stream(HELLO):
            words.append(chunk.text)
    except Exception as error:  # noqa: BLE001 - LangChain has a class of its own for each
        true("out of memory" in str(error), repr(error))
        equal("".join(words), "The weir ")
        return
    raise AssertionError(f"ended as if it were complete: {words}")


@through_weir
def error_401_wrong_key():
    for kind, (build, _) in MAKERS.items():
        raises_a(kinds(kind).AuthenticationError,
                 lambda: build("chat", api_key="wk-sdk-0123456789abcdee").invoke(HELLO))


@on_each
def one_megabyte(make, _):
    equal(make("digest").invoke([HumanMessage(LONG)]).text, LONG_DIGEST)
    is_large(gathered(list(make("large").stream(HELLO))).text)


@on_each
def stream_utf8_and_comments(make, _):
    equal(gathered(list(make("split").stream(HELLO))).text[:len(SCRIPT)], SCRIPT)
    equal(gathered(list(make("comments").stream(HELLO))).text, WORDS)


@case
def embeddings():
    """As text: LangChain would count tokens with a table that it fetches first."""
    name = model("embed")
    vectors = OpenAIEmbeddings(model=name, check_embedding_ctx_length=False).embed_documents(
        ["weir", "Wehr"])
    equal([len(vector) for vector in vectors], [8, 8])
    equal(seen(name)[0]["body"]["input"], ["weir", "Wehr"])


@case
def older_variable():
    """OPENAI_API_BASE, which LangChain and LiteLLM have known for longer."""
    os.environ["OPENAI_API_BASE"] = os.environ["OPENAI_BASE_URL"]
    equal(chat(model("plain")).invoke(HELLO).text, WORDS)


@alone
def async_batch():
    async def everything():
        return await chat(model("plain")).abatch([HELLO] * 20)

    equal({answer.text for answer in asyncio.run(everything())}, {WORDS})


@alone
def abort_in_a_stream():
    for kind, (build, own) in MAKERS.items():
        for wire in [own] if DIRECT else WIRES:
            name = model_on(wire, "endless")
            chunks = build(name).stream(HELLO)
            for _, _ in zip(range(8), chunks):
                pass
            left = time.monotonic()
            chunks.close()
            between(left_after(name) - left, -0.001, 0.15, f"{kind} on {wire}: seconds")
