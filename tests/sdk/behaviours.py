"""How the models of the mock upstream behave; `BEHAVIOURS` is the table, by name."""

import asyncio
import base64
import hashlib
import struct

USAGE = {"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13,
         "prompt_tokens_details": {"cached_tokens": 2},
         "completion_tokens_details": {"reasoning_tokens": 1}}
WORDS = ["The ", "weir ", "holds ", "back."]
# One, two, three and four bytes, a flag of two code points, a combining accent, a joined family.
SCRIPT = "a\u00e9\u4e2d\U0001f30a \U0001f1e9\U0001f1ea e\u0301 \U0001f469\u200d\U0001f467 \u05e9"
THOUGHTS = ["Rivers ", "rise."]
TOOLS = [("call_a", "weather", ['{"city"', ':"Par', 'is"}']),
         ("call_b", "clock", ["{\"zone\":\"", "Europe/Paris\"", "}"])]

BEHAVIOURS = {}


def behaviour(name):
    def enter(function):
        BEHAVIOURS[name] = function
        return function
    return enter


def completion(call, messages, finish="stop", **more):
    return {"id": "chatcmpl-whole", "object": "chat.completion", "created": call.created,
            "model": call.body["model"], "service_tier": "default", "system_fingerprint": "fp_1",
            "choices": [{"index": i, "logprobs": None, "finish_reason": finish,
                         "message": {"role": "assistant", "refusal": None, **message}}
                        for i, message in enumerate(messages)], "usage": USAGE, **more}


async def speak(call, words, usage=USAGE):
    """A whole stream of one choice."""
    await call.stream()
    await call.delta({"role": "assistant", "content": "", "refusal": None})
    for word in words:
        await call.delta({"content": word})
    await call.delta({}, finish="stop")
    await call.done(usage)


@behaviour("plain")
async def plain(call):
    if call.body.get("stream"):
        await speak(call, WORDS)
    else:
        await call.json(completion(call, [{"content": "".join(WORDS)}], x_unknown={"kept": [1]}))


# A name that hosted providers have, and what an alias stands for.
BEHAVIOURS["gpt-4"] = plain
BEHAVIOURS["shared"] = plain


@behaviour("traced")
async def traced(call):
    await call.json(completion(call, [{"content": "traced"}]),
                    headers=[("x-request-id", "req_from_upstream"),
                             ("x-ratelimit-remaining-requests", "41"),
                             ("openai-processing-ms", "12"), ("set-cookie", "a=b")])


@behaviour("two")
async def two(call):
    """n=2: both choices, interleaved when streamed."""
    texts = [["left", " one"], ["right", " two"]][:call.body.get("n", 1)]
    if not call.body.get("stream"):
        await call.json(completion(call, [{"content": "".join(words)} for words in texts]))
        return
    await call.stream()
    for step in range(2):
        for index, words in enumerate(texts):
            await call.delta({"role": "assistant", "content": words[step]} if step == 0 else
                             {"content": words[step]}, index)
    for index in range(len(texts)):
        await call.delta({}, index, "stop")
    await call.done(USAGE)


async def told_results(call, between):
    """Answers with the results of tools if they came."""
    results = between.join(m["content"] for m in call.body["messages"] if m["role"] == "tool")
    if results and call.body.get("stream"):
        await speak(call, [results])
    elif results:
        await call.json(completion(call, [{"content": results}]))
    return bool(results)


@behaviour("tools")
async def tools(call):
    """Two parallel calls; once there are results, an answer made of them."""
    if await told_results(call, " / "):
        return
    if call.body.get("stream"):
        await tools_stream(call)
    else:
        calls = [{"id": key, "type": "function",
                  "function": {"name": name, "arguments": "".join(parts)}}
                 for key, name, parts in TOOLS]
        await call.json(completion(call, [{"content": None, "tool_calls": calls}], "tool_calls"))


def tool_pieces():
    """[call][piece] of the streamed calls: a head with id and name, then arguments in pieces."""
    return [[{"index": index, "id": key, "type": "function",
              "function": {"name": name, "arguments": ""}}]
            + [{"index": index, "function": {"arguments": part}} for part in parts]
            for index, (key, name, parts) in enumerate(TOOLS)]


async def tools_stream(call, pieces=None):
    """Both calls at the same time, their pieces interleaved, unless `pieces` orders them."""
    await call.stream()
    await call.delta({"role": "assistant", "content": None})
    for piece in pieces or [piece for step in zip(*tool_pieces()) for piece in step]:
        await call.delta({"tool_calls": [piece]})
    await call.delta({}, finish="tool_calls")
    await call.done(USAGE)


@behaviour("reason")
async def reason(call):
    """Thoughts as most servers of open models say them, a text, and one call; then its result."""
    key, name, parts = TOOLS[0]
    thoughts, words = THOUGHTS, ["I ", "look."]
    if await told_results(call, ""):
        return
    if call.body.get("stream"):
        await call.stream()
        await call.delta({"role": "assistant", "content": None, "reasoning_content": ""})
        for field, pieces in (("reasoning_content", thoughts), ("content", words)):
            for piece in pieces:
                await call.delta({field: piece})
        for piece in tool_pieces()[0]:
            await call.delta({"tool_calls": [piece]})
        await call.delta({}, finish="tool_calls")
        await call.done(USAGE)
    else:
        await call.json(completion(call, [{
            "content": "".join(words), "reasoning_content": "".join(thoughts),
            "tool_calls": [{"id": key, "type": "function",
                            "function": {"name": name, "arguments": "".join(parts)}}]}],
            "tool_calls"))


@behaviour("length")
async def length(call):
    await call.json(completion(call, [{"content": "".join(WORDS[:2])}], "length"))


@behaviour("tools-in-turn")
async def tools_in_turn(call):
    """One call after the other, which is all that the SDKs' own collectors can follow."""
    if not await told_results(call, " / "):
        await tools_stream(call, [piece for pieces in tool_pieces() for piece in pieces])


@behaviour("schema")
async def schema(call):
    await call.json(completion(call, [{"content": '{"river":"Elbe","km":1094}'}]))


@behaviour("digest")
async def digest(call):
    """Tells the size and the hash of the last message, so that a large one is proved whole."""
    text = call.body["messages"][-1]["content"].encode()
    await call.json(completion(call, [{"content": f"{len(text)} "
                                       + hashlib.sha256(text).hexdigest()}]))


@behaviour("large")
async def large(call):
    """An answer of 1 MB, whole or in deltas of 20 kB."""
    part = SCRIPT * (20000 // len(SCRIPT.encode()))
    parts = [part] * 50
    if call.body.get("stream"):
        await speak(call, parts)
    else:
        await call.json(completion(call, [{"content": "".join(parts)}]))


def vector(text):
    """Eight numbers that float32 holds exactly, different for each text."""
    seed = hashlib.sha256(repr(text).encode()).digest()
    return [(byte - 128) / 64 for byte in seed[:8]]


@behaviour("embed")
async def embed(call):
    given = call.body["input"]
    inputs = given if isinstance(given, list) and not isinstance(given[0], int) else [given]
    data = []
    for index, text in enumerate(inputs):
        numbers = vector(text)[:call.body.get("dimensions", 8)]
        if call.body.get("encoding_format") == "base64":
            numbers = base64.b64encode(struct.pack(f"<{len(numbers)}f", *numbers)).decode()
        data.append({"object": "embedding", "index": index, "embedding": numbers})
    await call.json({"object": "list", "model": call.body["model"], "data": data,
                     "usage": {"prompt_tokens": 3, "total_tokens": 3}})


@behaviour("legacy")
async def legacy(call):
    def piece(text, finish):
        return {"id": "cmpl-1", "object": "text_completion", "created": call.created,
                "model": call.body["model"],
                "choices": [{"index": 0, "text": text, "logprobs": None, "finish_reason": finish}]}
    if not call.body.get("stream"):
        await call.json({**piece("".join(WORDS), "stop"), "usage": USAGE})
        return
    await call.stream()
    for word in WORDS:
        await call.event({**piece(word, None), **({"usage": None} if call.wants_usage else {})})
    await call.event(piece("", "stop"))
    if call.wants_usage:
        await call.event({**piece("", None), "choices": [], "usage": USAGE})
    await call.done()


@behaviour("split")
async def split(call):
    """Each byte of the stream in a chunk and a write of its own; then each code point, escaped, in an
    event of its own, those past U+FFFF as two surrogates in two events."""
    call.piece = 1
    await call.stream()
    await call.delta({"role": "assistant", "content": SCRIPT})
    units = SCRIPT.encode("utf-16-be")
    call.ascii = True
    for at in range(0, len(units), 2):
        await call.delta({"content": units[at:at + 2].decode("utf-16-be", "surrogatepass")})
    await call.delta({}, finish="stop")
    await call.done(USAGE)


@behaviour("comments")
async def comments(call):
    await call.stream()
    await call.text(b": connected\n\n")
    await call.delta({"role": "assistant", "content": ""})
    for word in WORDS:
        await call.text(b":\n\n: keep-alive\n\n")
        await call.delta({"content": word})
    await call.delta({}, finish="stop")
    await call.text(b": nearly there\n\n")
    await call.done(USAGE)


@behaviour("late")
async def late(call):
    """Nothing at all for a while, then a stream."""
    await asyncio.sleep(0.9)
    await speak(call, WORDS)


@behaviour("slow")
async def slow(call):
    """A stream that takes its time: each word 30 ms after the one before."""
    await call.stream()
    await call.delta({"role": "assistant", "content": ""})
    for word in WORDS * 3:
        await call.delta({"content": word})
        await asyncio.sleep(0.03)
    await call.delta({}, finish="stop")
    await call.done(USAGE)


@behaviour("endless")
async def endless(call):
    await call.stream()
    await call.delta({"role": "assistant", "content": ""})
    while True:
        await call.delta({"content": "and on "})
        await asyncio.sleep(0.005)


@behaviour("silent")
async def silent(call):
    """Takes the request and says nothing."""
    await asyncio.Event().wait()


@behaviour("stall")
async def stall(call):
    """Two words of a stream, then nothing."""
    await call.stream()
    for word in WORDS[:2]:
        await call.delta({"content": word})
    await asyncio.Event().wait()


# --- failures


@behaviour("limited")
async def limited(call):
    if call.number == 1:
        await refuse_rate(call)
    else:
        await plain(call)


@behaviour("always-limited")
async def refuse_rate(call):
    await call.error(429, "Rate limit reached", "requests", code="rate_limit_exceeded",
                     headers=[("retry-after-ms", "50"),
                              ("x-ratelimit-limit-requests", "60")])


@behaviour("flaky")
async def flaky(call):
    """500, 500, then all is well."""
    if call.number <= 2:
        await call.error(500, "The server had an error", "server_error")
    else:
        await plain(call)


@behaviour("broken")
async def broken(call):
    await call.error(500, "The server had an error", "server_error")


@behaviour("picky")
async def picky(call):
    await call.error(400, "Unsupported value: 'temperature' does not support 9.",
                     param="temperature", code="unsupported_value")


@behaviour("locked")
async def locked(call):
    await call.error(401, "Incorrect API key provided", code="invalid_api_key")


@behaviour("frame")
async def frame(call):
    """An error in the middle of a stream, and an ending that must not be believed."""
    await call.stream()
    for word in WORDS[:2]:
        await call.delta({"content": word})
    await call.event({"error": {"message": "out of memory", "type": "server_error", "param": None,
                                "code": "engine_failed"}})
    await call.done()


async def begin(call):
    await call.stream()
    for word in WORDS[:2]:
        await call.delta({"content": word})
    await asyncio.sleep(0.05)


@behaviour("cut")
async def cut(call):
    await begin(call)
    call.wire.close()


@behaviour("cut-reset")
async def cut_reset(call):
    await begin(call)
    call.wire.reset()


@behaviour("cut-inside")
async def cut_inside(call):
    """The connection ends inside an event."""
    await begin(call)
    await call.text(b'data: {"id":"chatcmpl-stream","choices":[{"index":0,"del')
    call.wire.close()


@behaviour("cut-clean")
async def cut_clean(call):
    """A proper end of the HTTP message, but no [DONE] before it."""
    await begin(call)
    await call.delta({}, finish="stop")
    await call.wire.write(b"0\r\n\r\n")


# --- paths that pass through untouched


@behaviour("moderations")
async def moderations(call):
    await call.json({"id": "modr-1", "model": "omni", "results": [
        {"flagged": False, "categories": {}, "category_scores": {},
         "category_applied_input_types": {}}]})


@behaviour("files")
async def files(call):
    """An upload in multipart: tells how much came and repeats its first line."""
    data = bytes(call.request.body)
    await call.json({"id": "file-1", "object": "file", "bytes": len(data), "created_at": 1,
                     "filename": hashlib.sha256(data).hexdigest(), "purpose": "batch",
                     "status": "processed"})
