"""Cohere's chat, version 2, on the provider's side.

Shapes: cohere 5.x (Python SDK), v2 types; rules of turns: docs.cohere.com.
"""

import json
import re

from canon import dumps, joined, pieces, words
from strict import Bad, by_type, check, integer, matching, number, text, up_to

URL = matching(r"(?s)(https?://|data:image/).+")
USER_PARTS = by_type(text={"text!": text}, image_url={
    "image_url!": {"url!": URL, "detail": {"auto", "low", "high"}}})
TEXT_PARTS = by_type(text={"text!": text})
CALL = {"id!": text, "type!": {"function"}, "function!": {"name!": text, "arguments!": text}}
MESSAGES = {
    "user": {"role!": str, "content!": (text, up_to(100, USER_PARTS, 1))},
    "system": {"role!": str, "content!": (text, up_to(100, TEXT_PARTS, 1))},
    "assistant": {"role!": str, "tool_calls": up_to(100, CALL, 1), "tool_plan": text,
                  "content": (text, up_to(100, by_type(text={"text!": text},
                                                       thinking={"thinking!": text}), 1)),
                  "citations": list},
    "tool": {"role!": str, "tool_call_id!": text, "content!": (text, up_to(100, by_type(
        text={"text!": text}, document={"document!": {"data!": dict, "id": str}}), 1))},
}
REQUEST = {
    "model!": text, "messages!": up_to(10000, dict, 1), "stream": bool,
    "tools": up_to(200, by_type(function={"function!": {"name!": text, "description": str,
                                                        "parameters!": dict}}), 1),
    "strict_tools": bool, "documents": list, "citation_options": {"mode": str, "enabled": bool},
    "response_format": by_type(text={}, json_object={"json_schema": dict, "schema": dict}),
    "safety_mode": {"CONTEXTUAL", "STRICT", "OFF", "NONE"}, "max_tokens": integer(1),
    "stop_sequences": up_to(5, text, 1), "temperature": number(0, 1), "seed": integer(0, 1 << 63),
    "frequency_penalty": number(0, 1), "presence_penalty": number(0, 1), "k": integer(0, 500),
    "p": number(0.01, 0.99), "logprobs": bool, "tool_choice": {"REQUIRED", "NONE"},
    "thinking": {"type!": {"enabled", "disabled"}, "token_budget": integer(1)}, "priority": int,
}
FINISH = {"stop": "COMPLETE", "length": "MAX_TOKENS", "tools": "TOOL_CALL",
          "sequence": "STOP_SEQUENCE"}


# ---- Requests.

def read_content(content):
    parts = []
    for part in [{"type": "text", "text": content}] if isinstance(content, str) else content or []:
        if part["type"] == "text":
            parts.append({"text": part["text"]})
        elif part["type"] == "thinking":
            parts.append({"reasoning": part["thinking"]})
        elif part["type"] == "image_url":
            url = part["image_url"]["url"]
            found = re.fullmatch(r"data:([^;]+);base64,(.*)", url, re.S)
            parts.append({"image": {"mime": found[1], "data": found[2]}} if found
                         else {"image_url": url})
        else:
            parts.append({"text": dumps(part["document"]["data"])})
    return parts


def read_message(message):
    role = message["role"]
    if role == "tool":
        said = "".join(part["text"] for part in read_content(message["content"]))
        return {"role": "user", "parts": [{"result": {"id": message["tool_call_id"], "text": said}}]}
    parts = read_content(message.get("content"))
    if "tool_plan" in message:
        parts.insert(0, {"text": message["tool_plan"]})
    for call in message.get("tool_calls", []):
        parts.append({"call": {"id": call["id"], "name": call["function"]["name"],
                               "arguments": json.loads(call["function"]["arguments"])}})
    if not parts:
        raise Bad("neither content nor calls", "messages")
    return {"role": role, "parts": parts}


def read_turns(messages):
    out, open_ids = [], set()
    for at, message in enumerate(messages):
        role = message.get("role")
        if role not in MESSAGES:
            raise Bad(f"unknown role {role!r}", f"messages[{at}]")
        check(message, MESSAGES[role], f"messages[{at}]")
        if role == "tool":
            if message["tool_call_id"] not in open_ids:
                raise Bad("no such tool call", f"messages[{at}].tool_call_id")
            open_ids.remove(message["tool_call_id"])
        elif open_ids:
            raise Bad(f"calls without results: {sorted(open_ids)}", f"messages[{at}]")
        if role == "assistant":
            open_ids = {call["id"] for call in message.get("tool_calls", [])}
        out.append(read_message(message))
    if open_ids:
        raise Bad(f"calls without results: {sorted(open_ids)}", "messages")
    return out


NAMES = {"temperature": "temperature", "top_p": "p", "seed": "seed", "max_tokens": "max_tokens",
         "frequency_penalty": "frequency_penalty", "presence_penalty": "presence_penalty",
         "stop": "stop_sequences"}


def read_request(call):
    body = call.body
    check(body, REQUEST)
    request = {"messages": read_turns(body["messages"])}
    request |= {name: body[word] for name, word in NAMES.items() if word in body}
    if body.get("logprobs"):
        request["logprobs"] = True
    if "tools" in body:
        request["tools"] = [{"name": t["function"]["name"],
                             "description": t["function"].get("description"),
                             "schema": t["function"]["parameters"]} for t in body["tools"]]
    if "tool_choice" in body:
        if "tools" not in body:
            raise Bad("tool_choice requires tools", "tool_choice")
        request["choice"] = {"REQUIRED": "required", "NONE": "none"}[body["tool_choice"]]
    form = body.get("response_format", {"type": "text"})
    if form["type"] == "json_object":
        schema = form.get("json_schema", form.get("schema"))
        request["format"] = {"kind": "schema", "schema": schema} if schema else {"kind": "object"}
        if "tools" in body:
            raise Bad("JSON mode is not supported with tools", "response_format")
    thinking = body.get("thinking", {})
    if thinking.get("type") == "enabled":
        request["effort"] = thinking.get("token_budget", "high")
    return request, body.get("stream", False)


# ---- Answers.

def write_usage(usage):
    return {"billed_units": {"input_tokens": usage["input"], "output_tokens": usage["output"]},
            "tokens": {"input_tokens": usage["input"], "output_tokens": usage["output"]},
            "cached_tokens": usage["cached"]}


def write_call(part):
    call = part["call"]
    return {"id": call["id"], "type": "function",
            "function": {"name": call["name"], "arguments": dumps(call["arguments"])}}


def content_of(parts, calls):
    """Content blocks; a text before calls is the plan of them."""
    out = [{"type": "thinking", "thinking": p["reasoning"]} for p in parts if "reasoning" in p]
    return out if calls else out + [{"type": "text", "text": p["text"]} for p in parts if "text" in p]


def write_logprobs(entries):
    return [{"text": said, "token_ids": [at], "logprobs": [value]}
            for at, (said, value) in enumerate(entries)]


def write_message(choice):
    parts = joined(choice["parts"])
    calls = [write_call(part) for part in parts if "call" in part]
    out = {"role": "assistant", "content": content_of(parts, calls)}
    if calls:
        out |= {"tool_calls": calls, "tool_plan": words(parts, "text")}
    cited = [c for p in parts for c in p.get("citations", [])]
    if cited:
        out["citations"] = [{"start": 0, "end": 5, "text": c["cited"], "type": "TEXT_CONTENT",
                             "sources": [{"type": "document", "id": "doc:0", "document": {}}]}
                            for c in cited]
    return {name: value for name, value in out.items() if value}


def write_answer(answer, call):
    choice = answer["choices"][0]
    out = {"id": "cohere-" + call.model[-12:], "message": write_message(choice),
           "finish_reason": FINISH[choice["finish"]], "usage": write_usage(answer["usage"])}
    if "logprobs" in choice:
        out["logprobs"] = write_logprobs(choice["logprobs"])
    return out


def events_of_content(message, choice):
    probs = choice.get("logprobs")
    for at, block in enumerate(message.get("content", [])):
        kind = block["type"]
        yield "content-start", {"index": at, "delta": {"message": {"content": {
            "type": kind, kind: ""}}}}
        texts = [entry[0] for entry in probs] if probs else pieces(block[kind], 4)
        for number_, piece in enumerate(texts):
            event = {"index": at, "delta": {"message": {"content": {kind: piece}}}}
            if probs:
                event["logprobs"] = write_logprobs(probs)[number_]
            yield "content-delta", event
        yield "content-end", {"index": at}


def events_of_calls(message):
    if "tool_plan" in message:
        for piece in pieces(message["tool_plan"], 2):
            yield "tool-plan-delta", {"delta": {"message": {"tool_plan": piece}}}
    for at, call in enumerate(message.get("tool_calls", [])):
        first = {**call, "function": {**call["function"], "arguments": ""}}
        yield "tool-call-start", {"index": at, "delta": {"message": {"tool_calls": first}}}
        for piece in pieces(call["function"]["arguments"], 4):
            yield "tool-call-delta", {"index": at, "delta": {"message": {"tool_calls": {
                "function": {"arguments": piece}}}}}
        yield "tool-call-end", {"index": at}


def raw_events(answer, call):
    whole = write_answer(answer, call)
    message, choice = whole["message"], answer["choices"][0]
    yield "message-start", {"id": whole["id"], "delta": {"message": {
        "role": "assistant", "content": [], "tool_plan": "", "tool_calls": [], "citations": []}}}
    yield from events_of_content(message, choice)
    yield from events_of_calls(message)
    for at, citation in enumerate(message.get("citations", [])):
        yield "citation-start", {"index": at, "delta": {"message": {"citations": citation}}}
        yield "citation-end", {"index": at}
    yield "message-end", {"id": whole["id"], "delta": {"finish_reason": whole["finish_reason"],
                                                       "usage": whole["usage"]}}


def write_stream(answer, call):
    for name, value in raw_events(answer, call):
        yield name, dumps({"type": name, **value})


def write_error(status, message, call):
    return status, [], {"id": "cohere-err", "message": message}


def error_event(message, call):
    return "message-end", dumps({"type": "message-end", "id": "cohere-err", "delta": {
        "finish_reason": "ERROR", "error": message,
        "usage": {"billed_units": {"input_tokens": 10, "output_tokens": 1}}}})


def headers(call):
    return [("x-debug-trace-id", "cohere-1"), ("x-trial-endpoint-call-remaining", "39")]
