"""Bedrock's Converse and ConverseStream, on the provider's side.

Shapes: botocore's service model bedrock-runtime 2023-09-30; framing: the event-stream specification
(tests/matrix/validate.py has boto3 read both).
"""

import json
import struct
import zlib

from canon import dumps, joined, mint, pieces
from strict import Bad, by_type, check, integer, matching, number, one_of, text, up_to

NAME = matching(r"[a-zA-Z0-9_-]{1,64}")
ID = matching(r"[a-zA-Z0-9_.:-]{1,64}")
CACHE = {"type!": {"default"}, "ttl": {"5m", "1h"}}
SOURCE = one_of({"bytes": text, "s3Location": {"uri!": text, "bucketOwner": str}, "text": text,
                 "content": list})
IMAGE = {"format!": {"png", "jpeg", "gif", "webp"}, "source!": SOURCE}
DOCUMENT = {"format": {"pdf", "csv", "doc", "docx", "xls", "xlsx", "html", "txt", "md"},
            "name!": matching(r"(?=.{1,200}$)[\w()\[\]-]+( [\w()\[\]-]+)*"), "source!": SOURCE,
            "context": str, "citations": {"enabled!": bool}}
RESULT = {"toolUseId!": ID, "status": {"success", "error"}, "type": str,
          "content!": [one_of({"json": dict, "text": str, "image": IMAGE, "document": DOCUMENT,
                               "video": dict, "searchResult": dict})]}
REASONING = one_of({"reasoningText": {"text!": str, "signature": text}, "redactedContent": text})
BLOCKS = {
    "user": one_of({"text": text, "image": IMAGE, "document": DOCUMENT, "toolResult": RESULT,
                    "cachePoint": CACHE}),
    "assistant": one_of({"text": text, "cachePoint": CACHE, "reasoningContent": REASONING,
                         "toolUse": {"toolUseId!": ID, "name!": NAME, "input!": dict}}),
}
TOOL = one_of({"toolSpec": {"name!": NAME, "description": text, "strict": bool,
                            "inputSchema!": one_of({"json": dict})}, "cachePoint": CACHE})
EMPTY = {}
REQUEST = {
    "messages!": up_to(10000, {"role!": {"user", "assistant"}, "content!": list}, 1),
    "system": [one_of({"text": text, "cachePoint": CACHE, "guardContent": dict})],
    "inferenceConfig": {"maxTokens": integer(1), "temperature": number(0, 1), "topP": number(0, 1),
                        "stopSequences": up_to(2500, text)},
    "toolConfig": {"tools!": up_to(1000, TOOL, 1),
                   "toolChoice": one_of({"auto": EMPTY, "any": EMPTY, "tool": {"name!": NAME}})},
    "additionalModelRequestFields": dict, "additionalModelResponseFieldPaths": [str],
    "requestMetadata": dict, "performanceConfig": {"latency!": {"standard", "optimized"}},
    "serviceTier": {"type!": {"priority", "default", "flex", "reserved"}},
    "guardrailConfig": dict, "promptVariables": dict,
    "outputConfig": {"textFormat": {"type!": {"json_schema"}, "structure!": one_of({
        "jsonSchema": {"schema!": text, "name": str, "description": str}})},
        "effort": {"low", "medium", "high", "xhigh", "max"}},
}
# What Claude takes among additionalModelRequestFields.
CLAUDE = {"thinking": by_type(enabled={"budget_tokens!": integer(1024), "display": str},
                              adaptive={"display": str}, disabled={}),
          "top_k": integer(0), "anthropic_beta": [str], "tool_choice": dict,
          "output_config": {"effort": {"low", "medium", "high", "xhigh", "max"}}}
FINISH = {"stop": "end_turn", "length": "max_tokens", "tools": "tool_use",
          "filter": "content_filtered", "sequence": "stop_sequence"}


# ---- Requests.

def read_result(result):
    said = "".join(part["text"] if "text" in part else dumps(part["json"])
                   for part in result["content"])
    return {"result": {"id": result["toolUseId"], "text": said,
                       "error": result.get("status") == "error"}}


def read_reasoning(part):
    if "redactedContent" in part:
        return {"reasoning": "", "redacted": part["redactedContent"]}
    said = part["reasoningText"]
    if said.get("signature") != signature(said["text"]):
        raise Bad("The model returned the following errors: Invalid `signature` in `thinking` block")
    return {"reasoning": said["text"], "signature": said["signature"]}


def read_block(block):
    kind = next(iter(block))
    value = block[kind]
    if kind == "text":
        return {"text": value}
    if kind == "image":
        return {"image": {"mime": f"image/{value['format']}", "data": value["source"]["bytes"]}}
    if kind == "document":
        out = {"mime": "application/pdf", "data": value["source"]["bytes"]}
        return {"document": {**out, "citations": True} if value.get("citations", {}).get("enabled")
                else out}
    if kind == "toolResult":
        return read_result(value)
    if kind == "toolUse":
        return {"call": {"id": value["toolUseId"], "name": value["name"],
                         "arguments": value["input"]}}
    return read_reasoning(value)


def read_blocks(blocks):
    """The blocks as parts; a cache point belongs to what stands before it."""
    parts = []
    for block in blocks:
        if "cachePoint" not in block:
            parts.append(read_block(block))
        elif not parts:
            raise Bad("a cache point behind nothing")
        else:
            parts[-1]["cache"] = True
    return parts


def read_turns(messages):
    out, calls = [], []
    for at, message in enumerate(messages):
        blocks, role, where = message["content"], message["role"], f"messages[{at}]"
        check(blocks, up_to(10000, BLOCKS[role], 1), where + ".content")
        if role != ("user", "assistant")[at % 2]:
            raise Bad("roles must alternate, beginning with user", where)
        results = [b["toolResult"]["toolUseId"] for b in blocks if "toolResult" in b]
        if sorted(results) != sorted(calls):
            raise Bad(f"results {results} for the calls {calls}", where)
        calls = [b["toolUse"]["toolUseId"] for b in blocks if "toolUse" in b]
        if any("document" in b for b in blocks) and not any("text" in b for b in blocks):
            raise Bad("a document needs a text beside it", where)
        out.append({"role": role, "parts": read_blocks(blocks)})
    if calls:
        raise Bad(f"calls without results: {calls}", "messages")
    return out


def read_tools(body, request):
    config = body.get("toolConfig")
    used = any("toolUse" in b or "toolResult" in b for m in body["messages"] for b in m["content"])
    if used and config is None:
        raise Bad("The toolConfig field must be defined when using toolUse and toolResult blocks.")
    if config is None:
        return
    request["tools"] = [{"name": t["toolSpec"]["name"], "description": t["toolSpec"].get("description"),
                         "schema": t["toolSpec"]["inputSchema"]["json"]}
                        for t in config["tools"] if "toolSpec" in t]
    choice = config.get("toolChoice")
    if choice:
        kind = next(iter(choice))
        request["choice"] = {"auto": "auto", "any": "required"}.get(kind) or \
            {"name": choice["tool"]["name"]}


def read_more(body, request):
    more = body.get("additionalModelRequestFields", {})
    check(more, CLAUDE, "additionalModelRequestFields")
    choice = more.get("tool_choice")
    if choice:
        if "toolChoice" in body["toolConfig"]:
            raise Bad("two choices of tools", "additionalModelRequestFields.tool_choice")
        request["choice"] = {"auto": "auto", "any": "required"}.get(choice["type"]) or \
            {"name": choice["name"]}
        if choice.get("disable_parallel_tool_use"):
            request["parallel"] = False
    effort = more.get("output_config", {}).get("effort") or \
        body.get("outputConfig", {}).get("effort") or more.get("thinking", {}).get("budget_tokens")
    if effort:
        request["effort"] = effort
    form = body.get("outputConfig", {}).get("textFormat")
    if form:
        request["format"] = {"kind": "schema",
                             "schema": json.loads(form["structure"]["jsonSchema"]["schema"])}


def read_request(call):
    body = call.body
    check(body, REQUEST)
    head = [{"role": "system", "parts": read_blocks(body["system"])}] if body.get("system") else []
    request = {"messages": head + read_turns(body["messages"])}
    config = body.get("inferenceConfig", {})
    for name, word in (("max_tokens", "maxTokens"), ("temperature", "temperature"),
                       ("top_p", "topP"), ("stop", "stopSequences")):
        if word in config:
            request[name] = config[word]
    read_tools(body, request)
    read_more(body, request)
    if "serviceTier" in body:
        request["tier"] = body["serviceTier"]["type"]
    if "requestMetadata" in body:
        request["user"] = next(iter(body["requestMetadata"].values()))
    return request, call.target.endswith("/converse-stream")


# ---- Answers.

def write_usage(usage):
    return {"inputTokens": usage["input"] - usage["cached"] - usage["written"],
            "outputTokens": usage["output"], "totalTokens": usage["input"] + usage["output"],
            "cacheReadInputTokens": usage["cached"], "cacheWriteInputTokens": usage["written"]}


def write_citation(citation):
    return {"title": "guide.pdf", "sourceContent": [{"text": citation["cited"]}],
            "location": {"documentChar": {"documentIndex": 0, "start": 0,
                                          "end": len(citation["cited"])}}}


def write_block(part):
    if "reasoning" in part:
        return {"reasoningContent": {"reasoningText": {"text": part["reasoning"],
                                                       "signature": signature(part["reasoning"])}}}
    if "call" in part:
        return {"toolUse": {"toolUseId": part["call"]["id"], "name": part["call"]["name"],
                            "input": part["call"]["arguments"]}}
    if "citations" in part:
        return {"citationsContent": {"content": [{"text": part["text"]}],
                                     "citations": [write_citation(c) for c in part["citations"]]}}
    return {"text": part["text"]}


def write_answer(answer, call):
    choice = answer["choices"][0]
    return {"output": {"message": {"role": "assistant", "content": [
        write_block(p) for p in joined(choice["parts"]) if "refusal" not in p]}},
        "stopReason": FINISH[choice["finish"]], "usage": write_usage(answer["usage"]),
        "metrics": {"latencyMs": 12}}


def events_of_block(at, block):
    def delta(value):
        return "contentBlockDelta", {"contentBlockIndex": at, "delta": value}
    if "text" in block:
        for piece in pieces(block["text"], 4):
            yield delta({"text": piece})
    elif "citationsContent" in block:
        for piece in pieces(block["citationsContent"]["content"][0]["text"], 2):
            yield delta({"text": piece})
        for citation in block["citationsContent"]["citations"]:
            yield delta({"citation": citation})
    elif "reasoningContent" in block:
        said = block["reasoningContent"]["reasoningText"]
        for piece in pieces(said["text"], 3):
            yield delta({"reasoningContent": {"text": piece}})
        yield delta({"reasoningContent": {"signature": said["signature"]}})
    else:
        use = block["toolUse"]
        yield "contentBlockStart", {"contentBlockIndex": at, "start": {
            "toolUse": {"toolUseId": use["toolUseId"], "name": use["name"]}}}
        for piece in pieces(dumps(use["input"]), 5):
            yield delta({"toolUse": {"input": piece}})
    yield "contentBlockStop", {"contentBlockIndex": at}


def write_stream(answer, call):
    whole = write_answer(answer, call)
    yield "messageStart", dumps({"role": "assistant", "p": "abcdefghij"})
    for at, block in enumerate(whole["output"]["message"]["content"]):
        for name, value in events_of_block(at, block):
            yield name, dumps({**value, "p": "abcdefghijklmnop"[:at + 3]})
    yield "messageStop", dumps({"stopReason": whole["stopReason"], "p": "abc"})
    yield "metadata", dumps({"usage": whole["usage"], "metrics": whole["metrics"], "p": "a"})


def header(name, value):
    name, value = name.encode(), value.encode()
    return bytes([len(name)]) + name + b"\x07" + struct.pack(">H", len(value)) + value


def frame(name, data):
    """A message of the event stream, with both checksums; `name` of an exception ends in Exception."""
    payload = data.encode()
    kind = "exception" if name.endswith("Exception") else "event"
    head = header(f":{kind}-type", name) + header(":content-type", "application/json") + \
        header(":message-type", kind)
    prelude = struct.pack(">II", 16 + len(head) + len(payload), len(head))
    message = prelude + struct.pack(">I", zlib.crc32(prelude)) + head + payload
    return message + struct.pack(">I", zlib.crc32(message))


TYPES = {400: "ValidationException", 401: "UnrecognizedClientException",
         404: "ResourceNotFoundException", 429: "ThrottlingException",
         500: "InternalServerException", 503: "ServiceUnavailableException"}


def write_error(status, message, call):
    """A credential that is not known is a 403 there."""
    return 403 if status == 401 else status, [("x-amzn-errortype", TYPES[status])], \
        {"message": message}


def error_event(message, call):
    return "modelStreamErrorException", dumps({"message": message, "originalStatusCode": 500})


def headers(call):
    return [("x-amzn-requestid", "aws-1")]


def signature(said):
    return mint("amazon", said)
