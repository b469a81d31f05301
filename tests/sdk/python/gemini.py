"""The Google GenAI SDK: generateContent, whole and as streams, on every wire behind."""

import asyncio
import os
import time
import urllib.request

from google import genai
from google.genai import errors, types
from kit import (DIRECT, SLACK, TIMEOUT, WIRES, WORDS, alone, between, case, equal, left_after, model,
                 model_on, on_each_wire, raises, seen, through_weir, true)
from pydantic import BaseModel
from said import CALLS, CITY, LONG, LONG_DIGEST, SCRIPT, THOUGHTS, ZONE, is_large

TOOLS = [types.Tool(function_declarations=[
    types.FunctionDeclaration(name="weather", description="Today's weather",
                              parameters_json_schema=CITY),
    types.FunctionDeclaration(name="clock", parameters_json_schema=ZONE)])]


def client(key=None, retry=None, timeout=TIMEOUT):
    """The address comes from GOOGLE_GEMINI_BASE_URL."""
    return genai.Client(api_key=key, http_options=types.HttpOptions(
        timeout=int(timeout * SLACK * 1000), retry_options=retry))


# One for all, made at once: the SDK closes a client that nobody holds any more.
SHARED = client()


def ask(name, contents="Hello", own=None, **config):
    return (own or SHARED).models.generate_content(
        model=name, contents=contents, config=types.GenerateContentConfig(**config))


def stream(name, contents="Hello", own=None, **config):
    return (own or SHARED).models.generate_content_stream(
        model=name, contents=contents, config=types.GenerateContentConfig(**config))


def own_model(behaviour):
    return model_on("gemini", behaviour)


def text_of(chunks):
    return "".join(chunk.text or "" for chunk in chunks)


def calls_of(*answers):
    return [(call.name, call.args) for answer in answers for call in answer.function_calls or []]


def counted(usage):
    """(input, of it cached, output with thoughts, all)"""
    return (usage.prompt_token_count, usage.cached_content_token_count or 0,
            (usage.candidates_token_count or 0) + (usage.thoughts_token_count or 0),
            usage.total_token_count)


@on_each_wire
def chat(wire):
    name = model_on(wire, "plain")
    answer = ask(name, system_instruction="Be brief.", temperature=0.5)
    equal(answer.text, WORDS)
    [candidate] = answer.candidates
    equal((candidate.content.role, candidate.finish_reason.value), ("model", "STOP"))
    equal(counted(answer.usage_metadata), (9, 2, 4, 13), "usage")
    equal(answer.usage_metadata.thoughts_token_count, 1)
    equal(len(seen(name)), 1)


@case
def fields_pass_both_ways():
    name = own_model("plain")
    ask(name, top_k=3, seed=7, safety_settings=[types.SafetySetting(
        category="HARM_CATEGORY_HARASSMENT", threshold="BLOCK_ONLY_HIGH")],
        http_options=types.HttpOptions(extra_body={"labels": {"team": "a"}}))
    [request] = seen(name)
    body = request["body"]
    equal(body["contents"], [{"role": "user", "parts": [{"text": "Hello"}]}])
    equal((body["generationConfig"], body["labels"]), ({"topK": 3, "seed": 7}, {"team": "a"}))
    equal(body["safetySettings"], [{"category": "HARM_CATEGORY_HARASSMENT",
                                    "threshold": "BLOCK_ONLY_HIGH"}])
    true("wk-sdk" not in f"{request['headers']} {request['path']}", "the client's key went upstream")


@on_each_wire
def stream_text(wire):
    chunks = list(stream(model_on(wire, "plain")))
    equal(text_of(chunks), WORDS)
    true(len(chunks) >= 4, f"{len(chunks)} chunks")
    equal(chunks[-1].candidates[0].finish_reason.value, "STOP")
    equal(counted(chunks[-1].usage_metadata), (9, 2, 4, 13), "usage")


@on_each_wire
def cut_at_max_tokens(wire):
    answer = ask(model_on(wire, "length"), max_output_tokens=2)
    equal(answer.candidates[0].finish_reason.value, "MAX_TOKENS")


@on_each_wire
def tools_parallel_and_results(wire):
    name, off = model_on(wire, "tools"), types.AutomaticFunctionCallingConfig(disable=True)
    more = {"tools": TOOLS, "automatic_function_calling": off}
    first = ask(name, **more)
    equal(calls_of(first), [call[1:] for call in CALLS])
    results = [types.Part(function_response=types.FunctionResponse(
        id=call.id, name=call.name, response={"result": text}))
        for call, text in zip(first.function_calls, ("sunny", "noon"))]
    question = types.UserContent(parts=[types.Part(text="Hello")])
    second = ask(name, [question, first.candidates[0].content, types.UserContent(parts=results)],
                 **more)
    equal(second.text, "sunny / noon")


@on_each_wire
def stream_tools(wire):
    chunks = list(stream(model_on(wire, "tools"), tools=TOOLS))
    equal(calls_of(*chunks), [call[1:] for call in CALLS])


@on_each_wire
def thoughts_and_a_tool(wire):
    """Thoughts, a text and a call. What came goes back with the result, signature and all."""
    for streamed in (False, True):
        name = model_on(wire, "reason")
        more = {"tools": TOOLS, "thinking_config": types.ThinkingConfig(include_thoughts=True)}
        answers = list(stream(name, **more)) if streamed else [ask(name, **more)]
        parts = [part for answer in answers for part in answer.candidates[0].content.parts]
        equal("".join(p.text for p in parts if p.thought), THOUGHTS, "thoughts")
        equal("".join(p.text or "" for p in parts if not p.thought), "I look.")
        equal(calls_of(*answers), [CALLS[0][1:]])
        [call] = [p.function_call for p in parts if p.function_call]
        result = types.Part(function_response=types.FunctionResponse(
            id=call.id, name=call.name, response={"result": "sunny"}))
        second = ask(name, [types.UserContent(parts=[types.Part(text="Hello")]),
                            types.ModelContent(parts=parts), types.UserContent(parts=[result])],
                     **more)
        equal(second.text, "sunny")
        if wire == "gemini":
            [back] = [p for c in seen(name)[1]["body"]["contents"] for p in c["parts"]
                      if "functionCall" in p]
            true(back.get("thoughtSignature"), "the signature is lost")


class River(BaseModel):
    river: str
    km: int


@on_each_wire
def json_schema(wire):
    answer = ask(model_on(wire, "schema"), response_mime_type="application/json",
                 response_schema=River)
    equal(answer.parsed, River(river="Elbe", km=1094))


@case
def the_key_in_the_address():
    """As `?key=`, which curl examples use."""
    name = own_model("plain")
    request = urllib.request.Request(
        f"{os.environ['GOOGLE_GEMINI_BASE_URL']}/v1beta/models/{name}:generateContent"
        f"?key={os.environ['GEMINI_API_KEY']}", headers={"content-type": "application/json"},
        data=b'{"contents":[{"role":"user","parts":[{"text":"Hello"}]}]}')
    with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:
        equal(answer.status, 200)
    true("wk-sdk" not in seen(name)[0]["path"], "the client's key went upstream")


@through_weir
def alias():
    equal(ask("chat").text, WORDS)
    equal(text_of(stream("models/chat")), WORDS)
    equal(ask(model("plain")).text, WORDS)


@through_weir
def error_401_wrong_key():
    error = raises(errors.ClientError,
                   lambda: ask("chat", own=client("wk-sdk-0123456789abcdee")))
    equal((error.code, error.status), (401, "UNAUTHENTICATED"))
    true("abcdee" not in str(error), "the key is in the message")


@through_weir
def error_404_unknown_model():
    for call in (lambda: ask("chatt"), lambda: list(stream("chatt"))):
        error = raises(errors.ClientError, call)
        equal((error.code, error.status), (404, "NOT_FOUND"))
        true("`chatt`" in error.message, error.message)


@on_each_wire
def error_400_of_the_upstream(wire):
    name = model_on(wire, "picky")
    for call in (lambda: ask(name), lambda: list(stream(name))):
        error = raises(errors.ClientError, call)
        equal((error.code, error.status), (400, "INVALID_ARGUMENT"))
        true("does not support 9" in error.message, error.message)


@through_weir
def error_401_of_the_upstream():
    error = raises(errors.ServerError, lambda: ask(own_model("locked")))
    equal(error.code, 502)


@on_each_wire
def error_429(wire):
    """Alone the SDK does not try again; told to, it does."""
    error = raises(errors.ClientError, lambda: ask(model_on(wire, "always-limited")))
    equal((error.code, error.status), (429, "RESOURCE_EXHAUSTED"))
    true("Rate limit reached" in error.message, error.message)
    name, retry = model_on(wire, "limited"), types.HttpRetryOptions(initial_delay=0.05, jitter=0)
    equal(ask(name, own=client(retry=retry)).text, WORDS)
    equal(len(seen(name)), 2, "requests")


@case
def error_500_twice_then_success():
    name, retry = own_model("flaky"), types.HttpRetryOptions(initial_delay=0.05, jitter=0)
    equal(ask(name, own=client(retry=retry)).text, WORDS)
    equal(len(seen(name)), 3, "requests")


def broken_stream(name):
    words = []
    try:
        for chunk in stream(name):
            words.append(chunk.text or "")
    except errors.APIError as error:
        return "".join(words), error
    raise AssertionError(f"the stream ended as if it were complete: {''.join(words)!r}")


@on_each_wire
def error_frame_in_a_stream(wire):
    text, error = broken_stream(model_on(wire, "frame"))
    equal(text, "The weir ")
    true("out of memory" in error.message and error.code >= 500, repr(error))


@through_weir
def stream_cut_by_the_upstream():
    for wire in WIRES:
        for how in ("cut", "cut-clean"):
            text, error = broken_stream(model_on(wire, how))
            equal(text, "The weir ", f"{how} on {wire}")
            true(error.code >= 500 and error.message, f"{how} on {wire}: {error!r}")


@on_each_wire
def one_megabyte_there(wire):
    equal(ask(model_on(wire, "digest"), LONG).text, LONG_DIGEST)


@on_each_wire
def one_megabyte_back(wire):
    is_large(ask(model_on(wire, "large")).text)
    is_large(text_of(stream(model_on(wire, "large"))))


@on_each_wire
def stream_utf8_split_at_every_byte(wire):
    equal(text_of(stream(model_on(wire, "split")))[:len(SCRIPT)], SCRIPT)


def stream_comments(wire):
    """This SDK cannot skip comments: Weir must not pass them on."""
    equal(text_of(stream(model_on(wire, "comments"))), WORDS)


if not DIRECT:
    on_each_wire(stream_comments)


@alone
def async_client():
    """Thirty at the same time, every third as a stream."""
    async def read(own, number):
        if number % 3:
            return (await own.models.generate_content(model=own_model("plain"),
                                                      contents="Hello")).text
        return text_of([c async for c in await own.models.generate_content_stream(
            model=own_model("plain"), contents="Hello")])

    async def everything():
        async with client().aio as own:
            return await asyncio.gather(*(read(own, number) for number in range(30)))

    equal(set(asyncio.run(everything())), {WORDS})


@alone
def abort_in_a_stream():
    """Dropping the stream cancels the upstream at once."""
    for wire in WIRES:
        name = model_on(wire, "endless")
        chunks = stream(name)
        for _, _ in zip(range(5), chunks):
            pass
        left = time.monotonic()
        chunks.close()
        between(left_after(name) - left, -0.001, 0.1, f"seconds to the upstream on {wire}")


@alone
def timeout_while_waiting():
    name, started = own_model("silent"), time.monotonic()
    try:
        ask(name, own=client(timeout=0.4 / SLACK))
    except Exception as error:  # noqa: BLE001 - the SDK passes on what its transport raises
        true("timeout" in type(error).__name__.lower(), repr(error))
    between(left_after(name) - started, 0.35, 0.7, "seconds until the upstream was let go")
