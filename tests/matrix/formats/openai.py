"""OpenAI's chat completions, on both ends; Azure and TGI differ where it says so.

Shapes: OpenAI's API description 2.3.0; streaming rules: openai-python's ChatCompletionStream.
"""

import json
import re

from canon import dumps, joined, mint, pieces, words
from strict import Bad, by_type, check, integer, matching, number, text, up_to

NAME = matching(r"[a-zA-Z0-9_-]{1,64}")
TEXT_PARTS = by_type(text={"text!": str, "prompt_cache_breakpoint": dict})
USER_PARTS = by_type(
    text={"text!": str, "prompt_cache_breakpoint": dict},
    image_url={"image_url!": {"url!": matching(r"(?s)(https?://|data:image/).+"),
                              "detail": {"auto", "low", "high"}}},
    input_audio={"input_audio!": {"data!": text, "format!": {"wav", "mp3"}}},
    file={"file!": {"filename": str, "file_data": matching(r"(?s)data:[a-z/+.-]+;base64,.+"),
                    "file_id": str}})
CALLS = by_type(function={"id!": text, "function!": {"name!": NAME, "arguments!": str}},
                custom={"id!": text, "custom!": {"name!": NAME, "input!": str}})
MESSAGES = {
    "system": {"role!": str, "content!": (str, [TEXT_PARTS]), "name": str},
    "developer": {"role!": str, "content!": (str, [TEXT_PARTS]), "name": str},
    "user": {"role!": str, "content!": (str, up_to(100, USER_PARTS, 1)), "name": str},
    "assistant": {"role!": str, "content": (str, [by_type(text={"text!": str},
                                                         refusal={"refusal!": str})], None),
                  "refusal": (str, None), "tool_calls": up_to(128, CALLS, 1), "name": str},
    "tool": {"role!": str, "content!": (str, [TEXT_PARTS]), "tool_call_id!": text},
}
SCHEMA = {"name!": NAME, "description": str, "schema": dict, "strict": (bool, None)}
FUNCTION = {"name!": NAME, "description": str, "parameters": dict, "strict": (bool, None)}
CUSTOM = {"name!": NAME, "description": str, "format": dict}
NAMED = {"name!": NAME}
REQUEST = {
    "model!": text, "messages!": up_to(1000, dict, 1),
    "max_completion_tokens": integer(1), "max_tokens": integer(1),
    "temperature": number(0, 2), "top_p": number(0, 1), "frequency_penalty": number(-2, 2),
    "presence_penalty": number(-2, 2), "seed": int, "logit_bias": dict, "n": integer(1, 128),
    "stop": (text, up_to(4, text, 1)), "logprobs": bool, "top_logprobs": integer(0, 20),
    "stream": bool, "stream_options": {"include_usage": bool, "include_obfuscation": bool},
    "tools": up_to(128, by_type(function={"function!": FUNCTION}, custom={"custom!": CUSTOM}), 1),
    "tool_choice": ({"none", "auto", "required"},
                    by_type(function={"function!": NAMED}, custom={"custom!": NAMED},
                            allowed_tools={"allowed_tools!": dict})),
    "parallel_tool_calls": bool,
    "response_format": by_type(text={}, json_object={}, json_schema={"json_schema!": SCHEMA}),
    "reasoning_effort": {"none", "minimal", "low", "medium", "high", "xhigh", "max"},
    "verbosity": {"low", "medium", "high"}, "metadata": dict, "store": bool,
    "service_tier": {"auto", "default", "flex", "scale", "priority", "fast"},
    "user": str, "safety_identifier": str, "prompt_cache_key": str, "prompt_cache_retention": str,
    "modalities": [str], "audio": dict, "prediction": dict, "web_search_options": dict,
}
# text-generation-inference, router/src/lib.rs, ChatRequest; others are ignored there, which hides
# mistakes: here they are refused.
TGI_REQUEST = {name: REQUEST[name] for name in (
    "model!", "messages!", "max_tokens", "temperature", "top_p", "frequency_penalty",
    "presence_penalty", "seed", "n", "stop", "logprobs", "top_logprobs", "stream", "stream_options",
    "tools", "tool_choice")}
TGI_PARTS = by_type(text={"text!": str}, image_url={"image_url!": dict})
TGI_MESSAGES = {role: shape for role, shape in MESSAGES.items() if role != "developer"}
TGI_MESSAGES["user"] = {"role!": str, "content!": (str, up_to(100, TGI_PARTS, 1)), "name": str}
TGI_TOOL = by_type(function={"function!": FUNCTION})
TGI_REQUEST |= {"tools": up_to(128, TGI_TOOL, 1),
                "max_completion_tokens": integer(1), "tool_prompt": str, "logit_bias": [float],
                # Known to clients, unknown there.
                **{name: REQUEST[name] for name in ("reasoning_effort", "prompt_cache_key", "user",
                                                    "parallel_tool_calls", "service_tier")},
                "response_format": by_type(json={"value!": dict}, json_object={"value!": dict},
                                           regex={"value!": str},
                                           json_schema={"value!": {"name": str, "schema!": dict}})}

FINISH = {"stop": "stop", "length": "length", "tools": "tool_calls", "filter": "content_filter",
          "sequence": "stop"}
FINISH_READ = {"stop": "stop", "length": "length", "tool_calls": "tools", "content_filter": "filter"}
SIMPLE = ("temperature", "top_p", "frequency_penalty", "presence_penalty", "seed", "n", "user")
RENAMED = {"tier": "service_tier", "effort": "reasoning_effort", "cache_key": "prompt_cache_key",
           "parallel": "parallel_tool_calls"}
# What the format has no word for: cells are not applicable, parts of answers are not expected.
CLIENT_LACKS = {"part cache", "citations", "result error", "show"}
USAGE = {"cached", "written", "reasoning"}  # what it says beside input and output


# ---- The client's side.

def path(model, stream):
    return "/v1/chat/completions"


def write_part(part):
    if "text" in part:
        return {"type": "text", "text": part["text"]}
    if "image" in part:
        return {"type": "image_url", "image_url": {
            "url": f"data:{part['image']['mime']};base64,{part['image']['data']}"}}
    if "image_url" in part:
        return {"type": "image_url", "image_url": {"url": part["image_url"]}}
    document = part["document"]
    return {"type": "file", "file": {"filename": document["name"], "file_data":
                                     f"data:{document['mime']};base64,{document['data']}"}}


def write_call(part):
    if "custom" in part:
        call = part["custom"]
        return {"id": call["id"], "type": "custom",
                "custom": {"name": call["name"], "input": call["input"]}}
    call = part["call"]
    return {"id": call["id"], "type": "function",
            "function": {"name": call["name"], "arguments": dumps(call["arguments"])}}


def write_assistant(message):
    out = {"role": "assistant", "content": None}
    for part in message["parts"]:
        if "text" in part:
            out["content"] = (out["content"] or "") + part["text"]
        elif "reasoning" in part:
            out["reasoning_content"] = out.get("reasoning_content", "") + part["reasoning"]
            if part.get("signature"):
                out.setdefault("thinking_blocks", []).append(
                    {"type": "thinking", "thinking": part["reasoning"],
                     "signature": part["signature"]})
        else:
            call = write_call(part)
            if "extra" in part:
                call["extra_content"] = part["extra"]
            out.setdefault("tool_calls", []).append(call)
    return out


def write_message(message):
    """One message as those that this format needs for it."""
    if message["role"] == "assistant":
        return [write_assistant(message)]
    results = [{"role": "tool", "tool_call_id": p["result"]["id"], "content": p["result"]["text"]}
               for p in message["parts"] if "result" in p]
    parts = [write_part(p) for p in message["parts"] if "result" not in p]
    if len(parts) == 1 and parts[0]["type"] == "text":
        parts = parts[0]["text"]
    return results + ([{"role": message["role"], "content": parts}] if parts else [])


def write_tool(tool):
    if tool.get("custom"):
        return {"type": "custom", "custom": {"name": tool["name"],
                                             "description": tool["description"]}}
    return {"type": "function", "function": {"name": tool["name"], "parameters": tool["schema"],
                                             "description": tool["description"]}}


def write_request(request, model, stream):
    body = {"model": model, "messages": [m for c in request["messages"] for m in write_message(c)]}
    body |= {name: request[name] for name in SIMPLE if name in request}
    body |= {word: request[name] for name, word in RENAMED.items() if name in request}
    if "max_tokens" in request:
        body["max_completion_tokens"] = request["max_tokens"]
    if "stop" in request:
        body["stop"] = request["stop"]
    if request.get("logprobs"):
        body["logprobs"] = True
    if "tools" in request:
        body["tools"] = [write_tool(tool) for tool in request["tools"]]
    choice = request.get("choice")
    if choice:
        body["tool_choice"] = choice if isinstance(choice, str) else {
            "type": "function", "function": {"name": choice["name"]}}
    form = request.get("format")
    if form:
        body["response_format"] = {"type": "json_object"} if form["kind"] == "object" else {
            "type": "json_schema", "json_schema": {"name": "answer", "schema": form["schema"]}}
    if stream:
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    return body


def read_usage(usage):
    check(usage, {"prompt_tokens!": int, "completion_tokens!": int, "total_tokens!": int,
                  "prompt_tokens_details": dict, "completion_tokens_details": dict}, "usage")
    if usage["total_tokens"] != usage["prompt_tokens"] + usage["completion_tokens"]:
        raise Bad("total_tokens is not the sum", "usage")
    prompt = usage.get("prompt_tokens_details") or {}
    completion = usage.get("completion_tokens_details") or {}
    return {"input": usage["prompt_tokens"], "output": usage["completion_tokens"],
            "cached": prompt.get("cached_tokens", 0), "written": prompt.get("cache_write_tokens", 0),
            "reasoning": completion.get("reasoning_tokens", 0)}


def read_call(call):
    if call["type"] == "custom":
        part = {"custom": {"id": call["id"], "name": call["custom"]["name"],
                           "input": call["custom"]["input"]}}
    else:
        part = {"call": {"id": call["id"], "name": call["function"]["name"],
                         "arguments": json.loads(call["function"]["arguments"])}}
    if "extra_content" in call:
        part["extra"] = call["extra_content"]
    return part


def read_choice(choice):
    message, parts = choice["message"], []
    for name in ("content", "refusal"):
        if name not in message:
            raise Bad("field required", f"choices.message.{name}")
    blocks = message.get("thinking_blocks") or []
    for block in blocks:
        parts.append({"reasoning": block.get("thinking", ""), "signature": block.get("signature")})
    if message.get("reasoning_content") and not words(parts, "reasoning"):
        parts.insert(0, {"reasoning": message["reasoning_content"]})
    if message["content"]:
        parts.append({"text": message["content"]})
    if message["refusal"]:
        parts.append({"refusal": message["refusal"]})
    parts += [read_call(call) for call in message.get("tool_calls") or []]
    out = {"parts": parts, "finish": FINISH_READ[choice["finish_reason"]]}
    logprobs = (choice.get("logprobs") or {}).get("content")
    if logprobs:
        out["logprobs"] = [[entry["token"], entry["logprob"]] for entry in logprobs]
    return out


def read_answer(body):
    check(body["object"], {"chat.completion"}, "object")
    check(body["id"], text, "id")
    check(body["created"], integer(1, 1 << 40), "created")
    choices = sorted(body["choices"], key=lambda choice: choice["index"])
    if [choice["index"] for choice in choices] != list(range(len(choices))):
        raise Bad("indexes with gaps", "choices")
    return {"choices": [read_choice(choice) for choice in choices],
            "usage": read_usage(body["usage"]), "model": body["model"]}


class Gathering:
    """Chunks as the SDKs put them together: calls by their index, everything else by concatenation."""

    def __init__(self):
        self.choices = {}
        self.usage = self.model = self.id = None

    def choice(self, index):
        return self.choices.setdefault(index, {
            "index": index, "message": {"content": None, "refusal": None, "tool_calls": {}},
            "finish_reason": None, "logprobs": {"content": []}})

    def delta(self, message, delta):
        for name in ("content", "refusal", "reasoning_content"):
            if delta.get(name) is not None:
                message[name] = (message.get(name) or "") + delta[name]
        for block in delta.get("thinking_blocks") or []:
            message.setdefault("thinking_blocks", []).append(block)
        for piece in delta.get("tool_calls") or []:
            call = message["tool_calls"].get(piece["index"])
            if call is None:
                check(piece, {"index!": int, "id!": text, "type!": {"function", "custom"},
                              "function": dict, "custom": dict, "extra_content": dict}, "delta")
                message["tool_calls"][piece["index"]] = json.loads(json.dumps(piece))
                continue
            kind = call["type"]
            for name in ("arguments", "input"):
                if name in piece.get(kind, {}):
                    call[kind][name] = call[kind].get(name, "") + piece[kind][name]

    def chunk(self, chunk):
        check(chunk["object"], {"chat.completion.chunk"}, "object")
        if not chunk["choices"] and chunk.get("prompt_filter_results"):
            return  # Azure's first chunk, which has no id
        if self.id not in (None, chunk["id"]):
            raise Bad(f"the id changes from {self.id} to {chunk['id']}")
        self.id, self.model = chunk["id"], chunk["model"]
        if self.usage is not None:
            raise Bad("a chunk after the usage")
        if not chunk["choices"]:
            self.usage = read_usage(chunk["usage"])
        for choice in chunk["choices"]:
            mine = self.choice(choice["index"])
            if mine["finish_reason"]:
                raise Bad("a chunk after the choice has finished")
            self.delta(mine["message"], choice["delta"])
            mine["finish_reason"] = choice["finish_reason"]
            mine["logprobs"]["content"] += (choice.get("logprobs") or {}).get("content") or []

    def whole(self):
        out = []
        for index in sorted(self.choices):
            choice = self.choices[index]
            calls = choice["message"]["tool_calls"]
            if sorted(calls) != list(range(len(calls))):
                raise Bad(f"indexes of tool calls with gaps: {sorted(calls)}")
            choice["message"]["tool_calls"] = [calls[at] for at in sorted(calls)]
            out.append(read_choice(choice))
        return {"choices": out, "usage": self.usage, "model": self.model}


def read_stream(events):
    """The answer, or the error that ends it: (answer, None) or (None, error)."""
    gathering, done = Gathering(), False
    for event in events:
        if done:
            raise Bad("an event after [DONE]")
        if event.name:
            raise Bad(f"an event with a name: {event.name}")
        if event.data == "[DONE]":
            done = True
            continue
        value = json.loads(event.data)
        if "error" in value:
            if event is not events[-1]:
                raise Bad("an event after the error")
            return None, read_error(value)
        gathering.chunk(value)
    if not done:
        raise Bad("neither [DONE] nor an error")
    return gathering.whole(), None


def read_error(body):
    check(body, {"error!": {"message!": text, "type!": (text, None), "param!": (str, None),
                            "code!": (str, None)}})
    return {"message": body["error"]["message"], "kind": body["error"]["type"],
            "param": body["error"]["param"]}


# ---- The provider's side.

def read_content(content):
    """A user's or the system's content as parts."""
    parts = []
    for part in [{"type": "text", "text": content}] if isinstance(content, str) else content or []:
        if part["type"] == "text":
            parts.append({"text": part["text"]})
        elif part["type"] == "image_url":
            url = part["image_url"]["url"]
            found = re.fullmatch(r"data:([^;]+);base64,(.*)", url, re.S)
            parts.append({"image": {"mime": found[1], "data": found[2]}} if found
                         else {"image_url": url})
        elif part["type"] == "file":
            found = re.fullmatch(r"data:([^;]+);base64,(.*)", part["file"]["file_data"], re.S)
            parts.append({"document": {"mime": found[1], "data": found[2],
                                       "name": part["file"].get("filename")}})
        else:
            raise Bad(f"no such part is sent here: {part['type']}")
    return parts


def plain(content):
    return content if isinstance(content, str) else "".join(part["text"] for part in content)


def read_messages(messages, spec):
    """The messages, each of a shape of its role; calls have to be answered at once and in full."""
    out, open_ids = [], set()
    for at, message in enumerate(messages):
        role = message.get("role")
        if role not in spec:
            raise Bad(f"unknown role {role!r}", f"messages[{at}].role")
        check(message, spec[role], f"messages[{at}]")
        if role == "tool":
            if message["tool_call_id"] not in open_ids:
                raise Bad("no call has this id, or it has a result already",
                          f"messages[{at}].tool_call_id")
            open_ids.remove(message["tool_call_id"])
            out.append({"role": "user", "parts": [{"result": {
                "id": message["tool_call_id"], "text": plain(message["content"])}}]})
            continue
        if open_ids:
            raise Bad(f"calls without results: {sorted(open_ids)}", f"messages[{at}]")
        parts = read_content(message.get("content"))
        if role == "assistant":
            calls = [read_call(call) for call in message.get("tool_calls") or []]
            open_ids = {call["id"] for call in message.get("tool_calls") or []}
            parts += calls
            if not parts and not message.get("refusal"):
                raise Bad("neither content nor calls", f"messages[{at}]")
        out.append({"role": "system" if role == "developer" else role, "parts": parts})
    if open_ids:
        raise Bad(f"calls without results: {sorted(open_ids)}", "messages")
    return out


def read_tool(tool):
    of = tool[tool["type"]]
    out = {"name": of["name"], "description": of.get("description")}
    return {**out, "custom": True} if tool["type"] == "custom" else \
        {**out, "schema": of.get("parameters", {"type": "object", "properties": {}})}


def read_format(form, tgi):
    if form["type"] in ("text", "json_object") and not tgi:
        return None if form["type"] == "text" else {"kind": "object"}
    schema = form["value"] if tgi else form["json_schema"]
    return {"kind": "schema", "schema": schema["schema"] if "schema" in schema else schema}


def check_rules(body):
    if "stream_options" in body and not body.get("stream"):
        raise Bad("only allowed when stream is enabled", "stream_options")
    if "top_logprobs" in body and not body.get("logprobs"):
        raise Bad("needs logprobs", "top_logprobs")
    for name in ("tool_choice", "parallel_tool_calls"):
        if name in body and "tools" not in body:
            raise Bad("only allowed when tools are specified", name)
    if "max_tokens" in body and "max_completion_tokens" in body:
        raise Bad("both bounds at once", "max_tokens")
    if body["model"].startswith(("gpt-5", "o3", "o4")):
        for name in ("max_tokens", "temperature", "top_p", "logprobs"):
            if name in body:
                raise Bad("unsupported with this model", name)


def read_request(call):
    """(request, stream) of a `Call` of the server's; Bad where OpenAI says 400."""
    body = call.body
    tgi = call.wire_name == "tgi"
    check(body, TGI_REQUEST if tgi else REQUEST)
    if not tgi:
        check_rules(body)
    request = {"messages": read_messages(body["messages"], TGI_MESSAGES if tgi else MESSAGES)}
    request |= {name: body[name] for name in SIMPLE if name in body}
    request |= {name: body[word] for name, word in RENAMED.items() if word in body}
    bound = body.get("max_completion_tokens", body.get("max_tokens"))
    if bound is not None:
        request["max_tokens"] = bound
    if "safety_identifier" in body:
        request["user"] = body["safety_identifier"]
    if "stop" in body:
        request["stop"] = [body["stop"]] if isinstance(body["stop"], str) else body["stop"]
    if body.get("logprobs"):
        request["logprobs"] = True
    if "tools" in body:
        request["tools"] = [read_tool(tool) for tool in body["tools"]]
    choice = body.get("tool_choice")
    if choice:
        request["choice"] = choice if isinstance(choice, str) else {
            "name": choice[choice["type"]]["name"]}
    if "response_format" in body:
        request["format"] = read_format(body["response_format"], tgi)
    return request, bool(body.get("stream"))


def write_usage(usage, call):
    if call.wire_name == "tgi":
        return {"prompt_tokens": usage["input"], "completion_tokens": usage["output"],
                "total_tokens": usage["input"] + usage["output"]}
    return {"prompt_tokens": usage["input"], "completion_tokens": usage["output"],
            "total_tokens": usage["input"] + usage["output"],
            "prompt_tokens_details": {"cached_tokens": usage["cached"], "audio_tokens": 0,
                                      "cache_write_tokens": usage["written"]},
            "completion_tokens_details": {"reasoning_tokens": usage["reasoning"], "audio_tokens": 0,
                                          "accepted_prediction_tokens": 0,
                                          "rejected_prediction_tokens": 0}}


def logprob(entry):
    token = list(entry[0].encode())
    return {"token": entry[0], "logprob": entry[1], "bytes": token,
            "top_logprobs": [{"token": entry[0], "logprob": entry[1], "bytes": token}]}


FILTERED = {kind: {"filtered": False, "severity": "safe"}
            for kind in ("hate", "self_harm", "sexual", "violence")}


def write_choice(index, choice, azure):
    parts = choice["parts"]
    message = {"role": "assistant", "content": words(parts, "text") or None,
               "refusal": words(parts, "refusal") or None, "annotations": []}
    if words(parts, "reasoning"):
        message["reasoning_content"] = words(parts, "reasoning")
    calls = [write_call(part) for part in parts if "call" in part or "custom" in part]
    if calls:
        message["tool_calls"] = calls
    out = {"index": index, "message": message, "finish_reason": FINISH[choice["finish"]],
           "logprobs": None}
    if "logprobs" in choice:
        out["logprobs"] = {"content": [logprob(entry) for entry in choice["logprobs"]],
                           "refusal": None}
    if azure:
        out["content_filter_results"] = FILTERED
    return out


def write_answer(answer, call):
    azure = call.wire_name.startswith("azure")
    body = {"id": "chatcmpl-" + call.model[-20:], "object": "chat.completion", "created": 1790000000,
            "model": call.model, "service_tier": "default", "system_fingerprint": "fp_1",
            "choices": [write_choice(at, choice, azure) for at, choice in
                        enumerate(answer["choices"])],
            "usage": write_usage(answer["usage"], call)}
    if azure:
        body["prompt_filter_results"] = [{"prompt_index": 0, "content_filter_results": FILTERED}]
    return body


def deltas_of_call(at, part):
    call = write_call(part)
    kind = call["type"]
    name = "input" if kind == "custom" else "arguments"
    whole = call[kind][name]
    first = {**call, "index": at, kind: {**call[kind], name: ""}}
    yield {"tool_calls": [first]}
    for piece in pieces(whole, 3):
        yield {"tool_calls": [{"index": at, kind: {name: piece}}]}


def deltas_of(choice):
    """The deltas of a choice, with the log probabilities that belong to them."""
    yield {"role": "assistant", "content": "", "refusal": None}, None
    at = 0
    for part in joined(choice["parts"]):
        for kind, name in (("text", "content"), ("refusal", "refusal"),
                           ("reasoning", "reasoning_content")):
            if kind in part and part[kind]:
                probs = choice.get("logprobs")
                for piece in [entry[0] for entry in probs] if probs else pieces(part[kind], 4):
                    yield {name: piece}, probs and logprob(probs[[e[0] for e in probs].index(piece)])
        if "call" in part or "custom" in part:
            for delta in deltas_of_call(at, part):
                yield delta, None
            at += 1


def write_stream(answer, call):
    """The events as (name, data)."""
    azure = call.wire_name.startswith("azure")
    wanted = (call.body.get("stream_options") or {}).get("include_usage")
    base = {"id": "chatcmpl-" + call.model[-20:], "object": "chat.completion.chunk",
            "created": 1790000000, "model": call.model, "system_fingerprint": "fp_1"}

    def chunk(choices, usage=None, **more):
        return None, dumps({**base, **more, "choices": choices, **({"usage": usage} if wanted else {})})
    if azure:
        yield chunk([], id="", model="", created=0, prompt_filter_results=[
            {"prompt_index": 0, "content_filter_results": FILTERED}])
    for index, choice in enumerate(answer["choices"]):
        for delta, probs in deltas_of(choice):
            one = {"index": index, "delta": delta, "finish_reason": None,
                   "logprobs": {"content": [probs], "refusal": None} if probs else None}
            yield chunk([{**one, "content_filter_results": {}} if azure else one])
        yield chunk([{"index": index, "delta": {}, "logprobs": None,
                      "finish_reason": FINISH[choice["finish"]]}])
    if wanted:
        yield chunk([], usage=write_usage(answer["usage"], call))
    yield None, "[DONE]"


TYPES = {400: ("invalid_request_error", "invalid_value"), 401: ("invalid_request_error",
                                                                 "invalid_api_key"),
         404: ("invalid_request_error", "model_not_found"), 429: ("requests", "rate_limit_exceeded"),
         500: ("server_error", None), 503: ("server_error", "overloaded")}


def write_error(status, message, call):
    """(status, headers, body) as this provider says it."""
    if call.wire_name == "tgi":
        kind = {400: "validation", 422: "validation", 429: "overloaded"}.get(status, "generation")
        return status, [], {"error": message, "error_type": kind}
    kind, code = TYPES[status]
    headers = [("retry-after", "7")] if status == 429 else []
    return status, headers, {"error": {"message": message, "type": kind, "param": None,
                                       "code": code}}


def error_event(message, call):
    return None, dumps({"error": {"message": message, "type": "server_error", "param": None,
                                  "code": "overloaded"}})


def headers(call):
    """What the provider says about itself and its limits."""
    if call.wire_name.startswith("azure"):
        return [("apim-request-id", "apim-1"), ("x-ms-region", "Sweden Central"),
                ("x-request-id", "azure-1"),
                ("x-ratelimit-remaining-requests", "99"), ("x-ratelimit-remaining-tokens", "9999")]
    if call.wire_name == "tgi":
        return [("x-compute-type", "cpu"), ("x-request-id", "tgi-1")]
    return [("x-request-id", "req_openai1"), ("openai-processing-ms", "12"),
            ("openai-version", "2020-10-01"),
            ("x-ratelimit-limit-requests", "100"), ("x-ratelimit-limit-tokens", "10000"),
            ("x-ratelimit-remaining-requests", "99"), ("x-ratelimit-remaining-tokens", "9999"),
            ("x-ratelimit-reset-requests", "1s"), ("x-ratelimit-reset-tokens", "6m0s")]


def signature(text):
    return mint("openai", text)
