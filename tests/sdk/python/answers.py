"""Whole answers: chats, tools, schemas, embeddings, models, headers, base URLs, the environment."""

import asyncio
import base64
import hashlib
import io
import json
import pathlib
import struct
import subprocess
import sys

import httpx2
from kit import (BARE, HELLO, SLACK, SOLO, TIMEOUT, WORDS, alone, case, equal, model, raises, seen,
                 true)
from openai import AsyncOpenAI, NotFoundError, OpenAI
from openai_sdk import client, text_of
from pydantic import BaseModel

WEATHER = {"type": "function", "function": {
    "name": "weather", "description": "Today's weather", "strict": True,
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}},
                   "required": ["city"], "additionalProperties": False}}}
CLOCK = {"type": "function", "function": {
    "name": "clock", "parameters": {"type": "object", "properties": {"zone": {"type": "string"}}}}}
ARGUMENTS = [{"city": "Paris"}, {"zone": "Europe/Paris"}]


@case
def chat():
    name = model("plain")
    answer = client().chat.completions.create(model=name, messages=HELLO)
    equal(answer.choices[0].message.content, WORDS)
    equal(answer.choices[0].finish_reason, "stop")
    equal(answer.object, "chat.completion")
    equal((answer.usage.prompt_tokens, answer.usage.completion_tokens, answer.usage.total_tokens),
          (9, 4, 13), "usage")
    equal(answer.usage.prompt_tokens_details.cached_tokens, 2)
    equal(answer.usage.completion_tokens_details.reasoning_tokens, 1)
    [request] = seen(name)
    equal(request["path"], "/v1/chat/completions")
    equal(request["body"], {"model": name[3:], "messages": HELLO}, "what went upstream")


@case
def chat_by_alias():
    answer = client().chat.completions.create(model="chat", messages=HELLO)
    equal(answer.choices[0].message.content, WORDS)


@case
def unknown_fields_pass_both_ways():
    name = model("plain")
    answer = client().chat.completions.create(
        model=name, messages=[{"role": "developer", "content": "Be brief."}, *HELLO],
        reasoning_effort="xhigh", metadata={"a": "b"}, seed=7,
        extra_body={"of_tomorrow": {"deep": [1, 2.5, None]}})
    equal(answer.model_extra["x_unknown"], {"kept": [1]})
    body = seen(name)[0]["body"]
    equal(body["of_tomorrow"], {"deep": [1, 2.5, None]})
    equal((body["reasoning_effort"], body["metadata"], body["seed"]), ("xhigh", {"a": "b"}, 7))
    equal(body["messages"][0]["role"], "developer")


@case
def n_2():
    answer = client().chat.completions.create(model=model("two"), messages=HELLO, n=2)
    equal([(c.index, c.message.content) for c in answer.choices],
          [(0, "left one"), (1, "right two")])


@case
def tools_parallel_and_results():
    """Two calls come, both results go back, and the answer is made of them."""
    name, messages = model("tools"), list(HELLO)
    ask = {"model": name, "tools": [WEATHER, CLOCK], "tool_choice": "auto",
           "parallel_tool_calls": True}
    first = client().chat.completions.create(messages=messages, **ask)
    message = first.choices[0].message
    equal(first.choices[0].finish_reason, "tool_calls")
    equal(message.content, None)
    equal([(c.id, c.type, c.function.name) for c in message.tool_calls],
          [("call_a", "function", "weather"), ("call_b", "function", "clock")])
    equal([json.loads(c.function.arguments) for c in message.tool_calls], ARGUMENTS)
    messages.append(message)
    for call, result in zip(message.tool_calls, ("sunny", "noon")):
        messages.append({"role": "tool", "tool_call_id": call.id, "content": result})
    second = client().chat.completions.create(messages=messages, **ask)
    equal(second.choices[0].message.content, "sunny / noon")
    one, two = (request["body"] for request in seen(name))
    equal(one["tools"], [WEATHER, CLOCK], "tools")
    equal((one["tool_choice"], one["parallel_tool_calls"]), ("auto", True))
    equal([c["id"] for c in two["messages"][1]["tool_calls"]], ["call_a", "call_b"])
    equal(two["messages"][2], {"role": "tool", "tool_call_id": "call_a", "content": "sunny"})


class River(BaseModel):
    river: str
    km: int


@case
def json_schema():
    name = model("schema")
    answer = client().chat.completions.parse(model=name, messages=HELLO, response_format=River)
    equal(answer.choices[0].message.parsed, River(river="Elbe", km=1094))
    wanted = seen(name)[0]["body"]["response_format"]
    equal((wanted["type"], wanted["json_schema"]["name"], wanted["json_schema"]["strict"]),
          ("json_schema", "River", True))
    equal(sorted(wanted["json_schema"]["schema"]["properties"]), ["km", "river"])


@case
def embeddings():
    """The SDK asks for base64 by itself; as numbers the vectors are the same."""
    name, texts = model("embed"), ["weir", "Wehr", "\u5830"]
    packed = client().embeddings.create(model=name, input=texts)
    plain = client().embeddings.create(model=name, input=texts, encoding_format="float")
    equal([r["body"].get("encoding_format") for r in seen(name)], ["base64", "float"])
    equal([list(d.embedding) for d in packed.data], [d.embedding for d in plain.data], "vectors")
    equal([d.index for d in packed.data], [0, 1, 2])
    equal(len({tuple(d.embedding) for d in packed.data}), 3, "different vectors")
    equal(packed.usage.total_tokens, 3)
    true(all(isinstance(x, float) for x in packed.data[0].embedding), "numbers")


@case
def embeddings_as_text():
    """Who asks for base64 by name gets the text, untouched."""
    answer = client().embeddings.create(model=model("embed"), input="weir", encoding_format="base64")
    packed = base64.b64decode(answer.data[0].embedding, validate=True)
    plain = client().embeddings.create(model=model("embed"), input="weir", encoding_format="float")
    equal(list(struct.unpack("<8f", packed)), plain.data[0].embedding)


@case
def embeddings_of_tokens():
    answer = client().embeddings.create(model=model("embed"), input=[1, 2, 3], dimensions=4)
    equal(len(answer.data[0].embedding), 4)


@case
def models_list_and_retrieve():
    listed = list(client().models.list())
    names = [m.id for m in listed]
    true("chat" in names, f"no alias among {names}")
    equal({m.object for m in listed}, {"model"})
    true(all(m.created > 0 and m.owned_by for m in listed), "created and owned_by")
    equal(client().models.retrieve("chat").id, "chat")
    equal(client().models.retrieve("up/gpt-4o-mini").id, "up/gpt-4o-mini")
    error = raises(NotFoundError, lambda: client().models.retrieve("nowhere/nothing"))
    equal(error.code, "model_not_found")


@case
def request_ids_and_headers():
    raw = client().chat.completions.with_raw_response.create(model=model("plain"), messages=HELLO)
    own = raw.headers["x-weir-request-id"]
    true(own, "x-weir-request-id")
    equal(raw.parse()._request_id, own, "without an id of the upstream Weir's own counts")
    true(raw.headers["x-weir-target"].startswith("up/plain@"), raw.headers["x-weir-target"])
    equal(raw.headers["x-weir-attempts"], "1")
    raw = client().chat.completions.with_raw_response.create(model=model("traced"), messages=HELLO)
    equal(raw.parse()._request_id, "req_from_upstream")
    true(raw.headers["x-weir-request-id"] not in ("", own, "req_from_upstream"), "an id of its own")
    equal(raw.headers["x-ratelimit-remaining-requests"], "41")
    equal(raw.headers["openai-processing-ms"], "12")
    true("set-cookie" not in raw.headers, "set-cookie came through")


@case
def client_headers_stay_here():
    """The mock itself refuses x-stainless-*, organization and the client's key."""
    name = model("plain")
    own = client(organization="org-1", project="proj-1",
                 default_headers={"X-Client-Request-Id": "mine-1", "Cookie": "c=1"})
    own.chat.completions.create(model=name, messages=HELLO)
    headers = seen(name)[0]["headers"]
    equal(headers.get("x-client-request-id"), "mine-1")
    true("wk-sdk" not in json.dumps(headers), "the client's key went upstream")


@case
def base_urls():
    """With /v1, without, with a slash behind."""
    for base in (f"{SOLO}/v1", f"{SOLO}/v1/", SOLO, f"{SOLO}/"):
        own = client(base_url=base)
        name = model("plain", "")
        answer = own.chat.completions.create(model=name, messages=HELLO)
        equal(answer.choices[0].message.content, WORDS, base)
        equal(seen(name)[0]["path"], "/v1/chat/completions", base)
        equal(own.embeddings.create(model=model("embed", ""), input="x").data[0].index, 0, base)


@case
def the_environment_alone():
    own = OpenAI()
    equal(own.chat.completions.create(model=model("plain"), messages=HELLO).choices[0].index, 0)


@case
def snippet_and_weir_with_nothing_but_a_key():
    """A program as it stands in introductions, with two variables; Weir has no file, only the
    provider's key. The mock, which got there as the provider's own host, keeps no other count."""
    before = len(seen("gpt-4"))
    done = subprocess.run(
        [sys.executable, pathlib.Path(__file__).with_name("snippet.py")], capture_output=True,
        text=True, check=False, timeout=TIMEOUT * SLACK,
        env={"OPENAI_API_KEY": "anything", "OPENAI_BASE_URL": f"{BARE}/v1"})
    equal((done.returncode, done.stdout), (0, f"{WORDS}\n"), done.stderr)
    true(len(seen("gpt-4")) > before, "nothing reached the mock")


@case
def weir_with_nothing_but_a_key():
    own, name = client(base_url=f"{BARE}/v1", api_key="anything"), model("plain", "")
    equal(text_of(own.chat.completions.create(model=name, messages=HELLO, stream=True)), WORDS)
    equal(own.embeddings.create(model=model("embed", ""), input="x").data[0].index, 0)
    equal(seen(name)[0]["headers"]["host"], "api.openai.com")


@case
def one_provider_takes_any_name():
    """`model="gpt-4"` as it stands in programs; any key will do where none is needed."""
    own = client(base_url=f"{SOLO}/v1", api_key="whatever")
    answer = own.chat.completions.create(model="gpt-4", messages=HELLO)
    equal((answer.choices[0].message.content, answer.model), (WORDS, "gpt-4"))


@case
def one_megabyte_there():
    text = "\u6c34 water " * 110000
    name = model("digest")
    answer = client().chat.completions.create(model=name,
                                              messages=[{"role": "user", "content": text}])
    data = text.encode()
    true(len(data) > 1 << 20, "more than a megabyte")
    equal(answer.choices[0].message.content, f"{len(data)} {hashlib.sha256(data).hexdigest()}")


@case
def one_megabyte_back():
    answer = client().chat.completions.create(model=model("large"), messages=HELLO)
    text = answer.choices[0].message.content
    true(len(text.encode()) > 900000, f"{len(text.encode())} bytes")
    equal(text.replace(text[:len(text) // 50], ""), "", "fifty times the same")


@case
def legacy_completions():
    name = model("legacy")
    answer = client().completions.create(model=name, prompt=["a", "b"], max_tokens=5, echo=False)
    equal((answer.object, answer.choices[0].text), ("text_completion", WORDS))
    equal(seen(name)[0]["body"]["prompt"], ["a", "b"])
    stream = client().completions.create(model=model("legacy"), prompt="a", stream=True)
    chunks = list(stream)
    equal("".join(c.choices[0].text for c in chunks), WORDS)
    equal([c for c in chunks if c.usage is not None], [], "usage that nobody asked for")
    stream = client().completions.create(model=model("legacy"), prompt="a", stream=True,
                                         stream_options={"include_usage": True})
    last = list(stream)[-1]
    equal((last.choices, last.usage.total_tokens), ([], 13))


@case
def paths_that_pass_through():
    """JSON, and an upload in multipart."""
    equal(client().moderations.create(input="hi", model=model("moderations", "")).id, "modr-1")
    content = bytes(range(256)) * 1000
    file = client().files.create(file=("b.jsonl", io.BytesIO(content)), purpose="batch")
    [request] = [r for r in seen("files") if r["sha256"] == file.filename]
    equal(file.bytes, request["size"], "what came through")
    true(request["size"] > len(content), "the whole file")
    true(request["headers"]["content-type"].startswith("multipart/form-data; boundary="),
         "content-type")


@case
def one_connection_for_many():
    """Fifty requests in a row, streams among them, over one connection."""
    with httpx2.Client(limits=httpx2.Limits(max_connections=1)) as http:
        own = client(http_client=http)
        for number in range(50):
            stream = number % 3 == 0
            answer = own.chat.completions.create(model="chat", messages=HELLO, stream=stream)
            text = "".join(c.choices[0].delta.content or "" for c in answer) if stream \
                else answer.choices[0].message.content
            equal(text, WORDS, f"answer {number}")


@alone
def async_client():
    """Thirty requests at the same time with the asynchronous client."""
    async def ask(own, number):
        name = model("digest")
        answer = await own.chat.completions.create(
            model=name, messages=[{"role": "user", "content": f"{number}"}])
        wanted = hashlib.sha256(f"{number}".encode()).hexdigest()
        equal(answer.choices[0].message.content, f"{len(str(number))} {wanted}")

    async def everything():
        async with AsyncOpenAI(timeout=TIMEOUT * SLACK) as own:
            await asyncio.gather(*(ask(own, number) for number in range(30)))
            listed = [m.id async for m in own.models.list()]
            true("chat" in listed, f"no alias among {listed}")

    asyncio.run(everything())
