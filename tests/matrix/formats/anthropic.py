"""Anthropic's Messages, on both ends.

Shapes: @anthropic-ai/sdk 1.11.0 and anthropic 2.x (types); the rules of turns and of thinking: the
API's documentation.
"""

import json

from canon import dumps, mint, pieces, words
from strict import Bad, by_type, check, integer, matching, number, text, up_to

CACHE = {"type!": {"ephemeral"}, "ttl": {"5m", "1h"}}
IMAGE = {"source!": by_type(
    base64={"media_type!": {"image/jpeg", "image/png", "image/gif", "image/webp"}, "data!": text},
    url={"url!": matching(r"https?://.+")}, file={"file_id!": text}), "cache_control": CACHE}
DOCUMENT = {"source!": by_type(
    base64={"media_type!": {"application/pdf"}, "data!": text}, url={"url!": text},
    text={"media_type!": {"text/plain"}, "data!": str}, content={"content!": (str, list)},
    file={"file_id!": text}), "title": (str, None), "context": (str, None),
    "citations": {"enabled!": bool}, "cache_control": CACHE}
TEXT = {"text!": text, "cache_control": CACHE, "citations": (list, None)}
RESULT = {"tool_use_id!": text, "is_error": bool, "cache_control": CACHE,
          "content": (str, [by_type(text=TEXT, image=IMAGE, document=DOCUMENT)])}
NAME = matching(r"[a-zA-Z0-9_-]{1,128}")
CALL = {"id!": matching(r"[a-zA-Z0-9_-]+"), "name!": NAME, "input!": dict, "cache_control": CACHE}
BLOCKS = {
    "user": by_type(text=TEXT, image=IMAGE, document=DOCUMENT, tool_result=RESULT),
    "assistant": by_type(text=TEXT, tool_use=CALL, redacted_thinking={"data!": text},
                         thinking={"thinking!": str, "signature!": text}),
    "system": by_type(text=TEXT),
}
PARALLEL = {"disable_parallel_tool_use": bool}
REQUEST = {
    "model!": text, "max_tokens!": integer(1), "system": (str, [by_type(text=TEXT)]),
    "messages!": up_to(100000, {"role!": {"user", "assistant", "system"}, "content!": (text, list)}, 1),
    "stop_sequences": up_to(8191, matching(r"(?s).*\S.*")), "stream": bool,
    "tools": [{"name!": NAME, "input_schema!": {"type!": {"object"}, "properties": (dict, None),
                                                "required": (list, None), "$schema": str,
                                                "additionalProperties": bool},
               "description": str, "type": {"custom"}, "strict": bool, "cache_control": CACHE}],
    "tool_choice": by_type(auto=PARALLEL, any=PARALLEL, tool={"name!": NAME, **PARALLEL}, none={}),
    "thinking": by_type(enabled={"budget_tokens!": integer(1024), "display": str},
                        adaptive={"display": {"summarized", "omitted"}}, disabled={},
                        between_tools={}),
    "output_config": {"effort": {"low", "medium", "high", "xhigh", "max"},
                      "format": by_type(json_schema={"schema!": dict})},
    "metadata": {"user_id": (str, None)}, "service_tier": {"auto", "standard_only"},
    "temperature": number(0, 1), "top_p": number(0, 1), "top_k": integer(0),
    "cache_control": CACHE, "container": str, "speed": {"standard", "fast"}, "inference_geo": str,
}
VERSIONS = ("2023-06-01", "2026-10-21")

FINISH = {"stop": "end_turn", "length": "max_tokens", "tools": "tool_use", "filter": "refusal",
          "sequence": "stop_sequence"}
FINISH_READ = {word: finish for finish, word in FINISH.items()}
CLIENT_LACKS = {"n", "logprobs", "seed", "penalties", "format object", "custom", "cache_key"}
USAGE = {"cached", "written", "reasoning"}  # what it says beside input and output
TIERS = {"auto": "auto", "default": "standard_only"}


# ---- The client's side.

def path(model, stream):
    return "/v1/messages"


def write_part(part):
    if "text" in part:
        return {"type": "text", "text": part["text"]}
    if "image" in part:
        return {"type": "image", "source": {"type": "base64", "media_type": part["image"]["mime"],
                                            "data": part["image"]["data"]}}
    if "image_url" in part:
        return {"type": "image", "source": {"type": "url", "url": part["image_url"]}}
    if "document" in part:
        out = {"type": "document", "title": part["document"]["name"], "source": {
            "type": "base64", "media_type": part["document"]["mime"],
            "data": part["document"]["data"]}}
        return {**out, "citations": {"enabled": True}} if part["document"].get("citations") else out
    if "call" in part:
        return {"type": "tool_use", "id": part["call"]["id"], "name": part["call"]["name"],
                "input": part["call"]["arguments"]}
    if "reasoning" in part:
        return {"type": "thinking", "thinking": part["reasoning"],
                "signature": part.get("signature") or ""}
    result = part["result"]
    out = {"type": "tool_result", "tool_use_id": result["id"], "content": result["text"]}
    return {**out, "is_error": True} if result.get("error") else out


def write_block(part):
    block = write_part(part)
    return {**block, "cache_control": {"type": "ephemeral"}} if part.get("cache") else block


def write_choice(request):
    choice = request.get("choice", "auto")
    out = {"type": "tool", "name": choice["name"]} if isinstance(choice, dict) else {
        "type": {"required": "any"}.get(choice, choice)}
    if request.get("parallel") is False:
        out["disable_parallel_tool_use"] = True
    return out


def write_request(request, model, stream):
    messages = request["messages"]
    body = {"model": model, "max_tokens": request.get("max_tokens", 512)}
    if messages[0]["role"] == "system":
        body["system"] = [write_block(part) for part in messages[0]["parts"]]
        messages = messages[1:]
    body["messages"] = [{"role": m["role"], "content": [write_block(p) for p in m["parts"]]}
                        for m in messages]
    body |= {name: request[name] for name in ("temperature", "top_p") if name in request}
    if "stop" in request:
        body["stop_sequences"] = request["stop"]
    if "user" in request:
        body["metadata"] = {"user_id": request["user"]}
    if "tier" in request:
        body["service_tier"] = TIERS[request["tier"]]
    if "tools" in request:
        body["tools"] = [{"name": t["name"], "description": t["description"],
                          "input_schema": t["schema"]} for t in request["tools"]]
    if "choice" in request or "parallel" in request:
        body["tool_choice"] = write_choice(request)
    if "format" in request:
        body["output_config"] = {"format": {"type": "json_schema",
                                            "schema": request["format"]["schema"]}}
    if "effort" in request:
        body.setdefault("output_config", {})["effort"] = request["effort"]
        body["thinking"] = {"type": "adaptive"}
    return {**body, "stream": True} if stream else body


def read_usage(usage):
    cached = usage.get("cache_read_input_tokens") or 0
    written = usage.get("cache_creation_input_tokens") or 0
    details = usage.get("output_tokens_details") or {}
    return {"input": usage["input_tokens"] + cached + written, "cached": cached, "written": written,
            "output": usage["output_tokens"], "reasoning": details.get("thinking_tokens", 0)}


def read_citation(citation):
    return {"cited": citation.get("cited_text")}


def read_block(block):
    kind = block["type"]
    if kind == "text":
        out = {"text": block["text"]}
        found = [read_citation(c) for c in block.get("citations") or []]
        return {**out, "citations": found} if found else out
    if kind == "tool_use":
        check(block["input"], dict, "input")
        return {"call": {"id": block["id"], "name": block["name"], "arguments": block["input"]}}
    if kind == "thinking":
        return {"reasoning": block["thinking"], "signature": block["signature"]}
    if kind == "redacted_thinking":
        return {"reasoning": "", "redacted": block["data"]}
    raise Bad(f"unknown block {kind}")


def read_answer(body):
    check(body, {"id!": text, "type!": {"message"}, "role!": {"assistant"}, "model!": text,
                 "content!": list, "stop_reason!": text, "stop_sequence!": (str, None),
                 "usage!": dict, "stop_details": (dict, None), "container": (dict, None)})
    choice = {"parts": [read_block(b) for b in body["content"]],
              "finish": FINISH_READ[body["stop_reason"]]}
    if body["stop_sequence"] is not None:
        choice["sequence"] = body["stop_sequence"]
    if (body.get("stop_details") or {}).get("explanation"):
        choice["parts"].append({"refusal": body["stop_details"]["explanation"]})
    return {"choices": [choice], "usage": read_usage(body["usage"]), "model": body["model"]}


DELTAS = {"text_delta": "text", "thinking_delta": "thinking", "signature_delta": "signature"}


class Gathering:
    """Events as the SDK accumulates them, which is to say that it takes no other order."""

    def __init__(self):
        self.message = self.block = None
        self.json = ""
        self.stopped = False

    def event(self, value):
        kind = value["type"]
        if kind == "ping":
            return
        if self.stopped:
            raise Bad(f"{kind} after message_stop")
        if (kind == "message_start") != (self.message is None):
            raise Bad(f"{kind} is not where it belongs")
        getattr(self, kind)(value)

    def message_start(self, value):
        self.message = value["message"]
        check(self.message["content"], up_to(0, dict), "content")
        check(self.message["usage"], dict, "usage")

    def content_block_start(self, value):
        if self.block is not None or value["index"] != len(self.message["content"]):
            raise Bad(f"block {value['index']} begins out of turn")
        self.block = value["content_block"]
        self.json = ""

    def content_block_delta(self, value):
        if self.block is None or value["index"] != len(self.message["content"]):
            raise Bad("a delta of a block that is not open")
        delta = value["delta"]
        if delta["type"] == "input_json_delta":
            self.json += delta["partial_json"]
        elif delta["type"] == "citations_delta":
            self.block["citations"] = (self.block.get("citations") or []) + [delta["citation"]]
        else:
            name = DELTAS[delta["type"]]
            self.block[name] = self.block.get(name, "") + delta[name]

    def content_block_stop(self, value):
        if self.block is None or value["index"] != len(self.message["content"]):
            raise Bad("the end of a block that is not open")
        if self.block["type"] == "tool_use":
            self.block["input"] = json.loads(self.json or "{}")
        self.message["content"].append(self.block)
        self.block = None

    def message_delta(self, value):
        if self.block is not None:
            raise Bad("message_delta with a block open")
        self.message |= value["delta"]
        self.message["usage"] |= {k: v for k, v in value["usage"].items() if v is not None}

    def message_stop(self, value):
        self.stopped = True


def read_stream(events):
    gathering = Gathering()
    for event in events:
        value = json.loads(event.data)
        if event.name != value["type"]:
            raise Bad(f"the event is called {event.name!r}, its type is {value['type']!r}")
        if value["type"] == "error":
            if event is not events[-1]:
                raise Bad("an event after the error")
            return None, read_error(value)
        gathering.event(value)
    if not gathering.stopped:
        raise Bad("neither message_stop nor an error")
    return read_answer(gathering.message), None


def read_error(body):
    check(body, {"type!": {"error"}, "error!": dict, "request_id": (str, None)})
    check(body["error"], {"type!": text, "message!": text, "details": (dict, None)})
    return {"message": body["error"]["message"], "kind": body["error"]["type"]}


# ---- The provider's side.

def read_source(block):
    source, out = block["source"], {}
    if source["type"] == "base64":
        out = {"mime": source["media_type"], "data": source["data"]}
    if block["type"] == "image":
        return {"image": out} if out else {"image_url": source["url"]}
    if block.get("citations", {}).get("enabled"):
        out["citations"] = True
    return {"document": {**out, "name": block.get("title")}}


def read_result(block):
    content = block.get("content") or ""
    if isinstance(content, list):
        content = "".join(part["text"] for part in content)
    return {"result": {"id": block["tool_use_id"], "text": content,
                       "error": block.get("is_error", False)}}


def read_sent(block):
    kind = block["type"]
    if kind in ("image", "document"):
        out = read_source(block)
    elif kind == "tool_result":
        out = read_result(block)
    elif kind == "tool_use":
        out = {"call": {"id": block["id"], "name": block["name"], "arguments": block["input"]}}
    elif kind == "thinking":
        if block["signature"] != signature(block["thinking"]):
            raise Bad("Invalid `signature` in `thinking` block")
        out = {"reasoning": block["thinking"], "signature": block["signature"]}
    else:
        out = {"text": block["text"]}
    return {**out, "cache": True} if "cache_control" in block else out


def read_turns(messages):
    """The turns with their blocks; results follow their calls at once, before anything else."""
    out, calls = [], []
    for at, message in enumerate(messages):
        role, content = message["role"], message["content"]
        blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
        check(blocks, up_to(100000, BLOCKS[role], 1), f"messages[{at}].content")
        results = [b["tool_use_id"] for b in blocks if b["type"] == "tool_result"]
        if sorted(results) != sorted(calls):
            raise Bad(f"results {results} for the calls {calls}", f"messages[{at}]")
        if any(b["type"] == "tool_result" for b in blocks[len(results):]):
            raise Bad("tool_result blocks come first", f"messages[{at}]")
        calls = [b["id"] for b in blocks if b["type"] == "tool_use"]
        if len(set(calls)) != len(calls):
            raise Bad("ids of calls must be unique", f"messages[{at}]")
        out.append({"role": role, "parts": [read_sent(b) for b in blocks]})
    if calls:
        raise Bad(f"calls without results: {calls}", "messages")
    return out


def unwrapped(call):
    """The body without Vertex AI's envelope: (body, version)."""
    if call.wire_name != "vertex-claude":
        return call.body, call.header("anthropic-version")
    body = {"model": call.model, **call.body}
    version = {"vertex-2023-10-16": VERSIONS[0], VERSIONS[1]: VERSIONS[1]}.get(
        body.get("anthropic_version"))
    if "model" in call.body or bool(body.get("stream")) != call.target.endswith("streamRawPredict"):
        raise Bad("extra inputs are not permitted", "model")
    body.pop("anthropic_version", None)
    return body, version


def check_rules(version, body):
    if version not in VERSIONS:
        raise Bad(f"anthropic-version: {version!r} is not a valid version")
    if body["messages"][0]["role"] != "user":
        raise Bad("first message must use the user role", "messages")
    sampling = [name for name in ("temperature", "top_p", "top_k") if name in body]
    if sampling and version != VERSIONS[0]:
        raise Bad("extra inputs are not permitted", sampling[0])
    thinking = body.get("thinking", {}).get("type", "disabled")
    if thinking == "enabled" and body["thinking"]["budget_tokens"] >= body["max_tokens"]:
        raise Bad("must be less than max_tokens", "thinking.budget_tokens")
    if thinking in ("enabled", "adaptive"):
        if body.get("temperature", 1) != 1:
            raise Bad("may only be set to 1 when thinking is enabled", "temperature")
        if body.get("tool_choice", {}).get("type") in ("any", "tool"):
            raise Bad("thinking may not be enabled when tool_choice forces tool use", "tool_choice")
    if "tool_choice" in body and "tools" not in body:
        raise Bad("may only be specified while providing tools", "tool_choice")
    if dumps(body).count('"cache_control"') > 4:
        raise Bad("a maximum of 4 blocks with cache_control may be provided")


def read_choice(choice):
    kind = choice["type"]
    if kind == "tool":
        return {"name": choice["name"]}
    return {"any": "required"}.get(kind, kind)


def read_options(body, request):
    request |= {name: body[name] for name in ("temperature", "top_p") if name in body}
    request["max_tokens"] = body["max_tokens"]
    if "stop_sequences" in body:
        request["stop"] = body["stop_sequences"]
    if body.get("metadata", {}).get("user_id"):
        request["user"] = body["metadata"]["user_id"]
    if "service_tier" in body:
        request["tier"] = {word: tier for tier, word in TIERS.items()}[body["service_tier"]]
    if "tools" in body:
        request["tools"] = [{"name": t["name"], "description": t.get("description"),
                             "schema": t["input_schema"]} for t in body["tools"]]
    if "tool_choice" in body:
        request["choice"] = read_choice(body["tool_choice"])
        if body["tool_choice"].get("disable_parallel_tool_use"):
            request["parallel"] = False
    config = body.get("output_config", {})
    if "format" in config:
        request["format"] = {"kind": "schema", "schema": config["format"]["schema"]}
    if "effort" in config:
        request["effort"] = config["effort"]
    elif body.get("thinking", {}).get("type") == "enabled":
        request["effort"] = body["thinking"]["budget_tokens"]


def read_request(call):
    body, version = unwrapped(call)
    check(body, REQUEST)
    check_rules(version, body)
    system = body.get("system", [])
    blocks = [{"type": "text", "text": system}] if isinstance(system, str) else system
    head = [{"role": "system", "parts": [read_sent(b) for b in blocks]}] if blocks else []
    request = {"messages": head + read_turns(body["messages"])}
    read_options(body, request)
    return request, bool(body.get("stream"))


def write_usage(usage):
    return {"input_tokens": usage["input"] - usage["cached"] - usage["written"],
            "cache_read_input_tokens": usage["cached"],
            "cache_creation_input_tokens": usage["written"],
            "cache_creation": {"ephemeral_5m_input_tokens": usage["written"],
                               "ephemeral_1h_input_tokens": 0},
            "output_tokens": usage["output"], "service_tier": "standard", "server_tool_use": None,
            "inference_geo": None,
            "output_tokens_details": {"thinking_tokens": usage["reasoning"]}}


def write_citation(citation):
    return {"type": "char_location", "cited_text": citation["cited"], "document_index": 0,
            "document_title": "guide.pdf", "start_char_index": 0, "file_id": None,
            "end_char_index": len(citation["cited"])}


def write_answer_block(part):
    if "text" in part:
        return {"type": "text", "text": part["text"],
                "citations": [write_citation(c) for c in part.get("citations", [])] or None}
    if "reasoning" in part:
        return {"type": "thinking", "thinking": part["reasoning"],
                "signature": signature(part["reasoning"])}
    return write_part(part)


def write_message(answer, call):
    choice = answer["choices"][0]
    refusal = words(choice["parts"], "refusal")
    return {"id": "msg_" + call.model[-20:].replace(".", "_"), "type": "message",
            "role": "assistant", "model": call.model, "container": None,
            "content": [write_answer_block(p) for p in choice["parts"] if "refusal" not in p],
            "stop_reason": FINISH[choice["finish"]], "stop_sequence": choice.get("sequence"),
            "stop_details": {"type": "refusal", "category": None, "explanation": refusal}
            if refusal else None, "usage": write_usage(answer["usage"])}


def write_answer(answer, call):
    return write_message(answer, call)


def events_of_block(index, block):
    """The deltas of a block."""
    def delta(**fields):
        return "content_block_delta", {"index": index, "delta": fields}
    if block["type"] == "text":
        for citation in block["citations"] or []:
            yield delta(type="citations_delta", citation=citation)
        for piece in pieces(block["text"], 4):
            yield delta(type="text_delta", text=piece)
    elif block["type"] == "thinking":
        for piece in pieces(block["thinking"], 3):
            yield delta(type="thinking_delta", thinking=piece)
        yield delta(type="signature_delta", signature=block["signature"])
    else:
        for piece in ["", *pieces(dumps(block["input"]), 5)]:
            yield delta(type="input_json_delta", partial_json=piece)


EMPTY = {"text": {"text": "", "citations": None}, "tool_use": {"input": {}},
         "thinking": {"thinking": "", "signature": ""}}


def raw_events(answer, call):
    message = write_message(answer, call)
    blocks, usage = message["content"], message["usage"]
    yield "message_start", {"message": {**message, "content": [], "stop_reason": None,
                                        "stop_sequence": None, "stop_details": None,
                                        "usage": {**usage, "output_tokens": 1,
                                                  "output_tokens_details": None}}}
    yield "ping", {}
    for index, block in enumerate(blocks):
        if block["type"] == "text" and block["citations"]:
            first = {**block, "text": "", "citations": []}
        else:
            first = {**block, **EMPTY[block["type"]]}
        yield "content_block_start", {"index": index, "content_block": first}
        yield from events_of_block(index, block)
        yield "content_block_stop", {"index": index}
    yield "message_delta", {
        "delta": {name: message[name] for name in ("stop_reason", "stop_sequence", "stop_details",
                                                   "container")},
        "usage": {name: usage[name] for name in (
            "input_tokens", "output_tokens", "cache_read_input_tokens",
            "cache_creation_input_tokens", "output_tokens_details", "server_tool_use")}}
    yield "message_stop", {}


def write_stream(answer, call):
    for name, value in raw_events(answer, call):
        yield name, dumps({"type": name, **value})


TYPES = {400: "invalid_request_error", 401: "authentication_error", 404: "not_found_error",
         429: "rate_limit_error", 500: "api_error", 529: "overloaded_error"}


def write_error(status, message, call):
    status = 529 if status == 503 else status
    return status, [("retry-after", "7")] if status == 429 else [], {
        "type": "error", "error": {"type": TYPES[status], "message": message},
        "request_id": "req_anthropic1"}


def error_event(message, call):
    return "error", dumps({"type": "error", "error": {"type": "overloaded_error",
                                                      "message": message}})


def headers(call):
    out = [("request-id", "req_anthropic1"), ("anthropic-organization-id", "org-1")]
    for name in ("requests", "tokens", "input-tokens", "output-tokens"):
        out += [(f"anthropic-ratelimit-{name}-limit", "1000"),
                (f"anthropic-ratelimit-{name}-remaining", "999"),
                (f"anthropic-ratelimit-{name}-reset", "2026-11-21T12:41:00Z")]
    return out


def signature(text):
    return mint("anthropic", text)
