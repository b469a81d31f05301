"""OpenAI's Responses, on both ends.

Shapes: OpenAI's API description 2.3.0; the order of events: openai-python's ResponseStreamState.
"""

import json
import re

from canon import dumps, joined, mint, pieces
from formats import openai
from strict import Bad, by_type, check, integer, matching, number, text, up_to

NAME = matching(r"[a-zA-Z0-9_-]{1,64}")
INPUT_PARTS = by_type(
    input_text={"text!": str},
    input_image={"image_url": matching(r"(?s)(https?://|data:image/).+"), "file_id": text,
                 "detail": {"auto", "low", "high"}},
    input_file={"filename": str, "file_data": matching(r"(?s)data:[a-z/+.-]+;base64,.+"),
                "file_id": text, "file_url": text})
OUTPUT_PARTS = by_type(output_text={"text!": str, "annotations": list, "logprobs": list},
                       refusal={"refusal!": str})
STATUS = {"in_progress", "completed", "incomplete"}
ITEMS = {
    "message": {"role!": {"user", "system", "developer", "assistant"}, "content!": (str, list),
                "id": text, "status": STATUS, "type": str, "phase": str},
    "function_call": {"call_id!": text, "name!": NAME, "arguments!": str, "id": text,
                      "status": STATUS},
    "function_call_output": {"call_id!": text, "output!": (str, [INPUT_PARTS]), "id": text,
                             "status": STATUS},
    "custom_tool_call": {"call_id!": text, "name!": NAME, "input!": str, "id": text,
                         "status": STATUS},
    "custom_tool_call_output": {"call_id!": text, "output!": (str, [INPUT_PARTS]), "id": text},
    "reasoning": {"summary!": [by_type(summary_text={"text!": str})], "id": text,
                  "encrypted_content": (text, None), "status": STATUS,
                  "content": [by_type(reasoning_text={"text!": str})]},
}
FUNCTION = {"name!": NAME, "description": (str, None), "parameters!": (dict, None),
            "strict": (bool, None)}
REQUEST = {
    "model!": text, "input!": (text, up_to(10000, dict, 1)), "instructions": (str, None),
    "max_output_tokens": integer(16), "temperature": number(0, 2), "top_p": number(0, 1),
    "top_logprobs": integer(0, 20), "stream": bool, "stream_options": {"include_obfuscation": bool},
    "tools": up_to(128, by_type(function=FUNCTION, custom={"name!": NAME, "description": str,
                                                           "format": dict}), 1),
    "tool_choice": ({"none", "auto", "required"},
                    by_type(function={"name!": NAME}, custom={"name!": NAME},
                            allowed_tools={"mode!": {"auto", "required"}, "tools!": list})),
    "parallel_tool_calls": bool, "max_tool_calls": int,
    "text": {"format": by_type(text={}, json_object={}, json_schema={
        "name!": NAME, "schema!": dict, "strict": (bool, None), "description": str}),
        "verbosity": {"low", "medium", "high"}},
    "reasoning": {"effort": {"none", "minimal", "low", "medium", "high", "xhigh", "max"},
                  "summary": {"auto", "concise", "detailed"}},
    "include": [str], "store": bool, "metadata": dict, "user": str, "safety_identifier": str,
    "prompt_cache_key": str, "truncation": {"auto", "disabled"},
    "service_tier": {"auto", "default", "flex", "scale", "priority", "fast", "ultrafast"},
}
SIMPLE = ("temperature", "top_p", "user")
RENAMED = {"tier": "service_tier", "cache_key": "prompt_cache_key", "parallel": "parallel_tool_calls",
           "max_tokens": "max_output_tokens"}
CLIENT_LACKS = {"n", "stop", "seed", "penalties", "part cache", "citations", "result error"}
USAGE = {"cached", "written", "reasoning"}  # what it says beside input and output


# ---- The client's side.

def path(model, stream):
    return "/v1/responses"


def write_part(part):
    if "text" in part:
        return {"type": "input_text", "text": part["text"]}
    if "image" in part:
        return {"type": "input_image", "detail": "auto", "image_url":
                f"data:{part['image']['mime']};base64,{part['image']['data']}"}
    if "image_url" in part:
        return {"type": "input_image", "detail": "auto", "image_url": part["image_url"]}
    document = part["document"]
    return {"type": "input_file", "filename": document["name"],
            "file_data": f"data:{document['mime']};base64,{document['data']}"}


def write_assistant_item(part):
    if "text" in part:
        return {"type": "message", "role": "assistant", "status": "completed", "id": "msg_1",
                "content": [{"type": "output_text", "text": part["text"], "annotations": []}]}
    if "reasoning" in part:
        out = {"type": "reasoning", "id": part.get("id", "rs_1"), "summary": []}
        if part["reasoning"]:
            out["summary"] = [{"type": "summary_text", "text": part["reasoning"]}]
        return {**out, "encrypted_content": part["signature"]} if part.get("signature") else out
    if "custom" in part:
        call = part["custom"]
        return {"type": "custom_tool_call", "call_id": call["id"], "name": call["name"],
                "input": call["input"]}
    call = part["call"]
    return {"type": "function_call", "call_id": call["id"], "name": call["name"],
            "arguments": dumps(call["arguments"])}


def write_items(message):
    if message["role"] == "assistant":
        return [write_assistant_item(part) for part in message["parts"]]
    items = [{"type": "function_call_output", "call_id": p["result"]["id"],
              "output": p["result"]["text"]} for p in message["parts"] if "result" in p]
    parts = [write_part(p) for p in message["parts"] if "result" not in p]
    return items + ([{"role": message["role"], "content": parts}] if parts else [])


def write_tool(tool):
    if tool.get("custom"):
        return {"type": "custom", "name": tool["name"], "description": tool["description"]}
    return {"type": "function", "name": tool["name"], "description": tool["description"],
            "parameters": tool["schema"], "strict": False}


def write_request(request, model, stream):
    body, messages = {"model": model, "store": False}, request["messages"]
    if messages[0]["role"] == "system":
        body["instructions"] = "".join(part["text"] for part in messages[0]["parts"])
        messages = messages[1:]
    body["input"] = [item for message in messages for item in write_items(message)]
    body |= {name: request[name] for name in SIMPLE if name in request}
    body |= {word: request[name] for name, word in RENAMED.items() if name in request}
    if request.get("logprobs"):
        body["include"] = ["message.output_text.logprobs"]
    if "tools" in request:
        body["tools"] = [write_tool(tool) for tool in request["tools"]]
    choice = request.get("choice")
    if choice:
        body["tool_choice"] = choice if isinstance(choice, str) else {
            "type": "function", "name": choice["name"]}
    form = request.get("format")
    if form:
        body["text"] = {"format": {"type": "json_object"} if form["kind"] == "object" else {
            "type": "json_schema", "name": "answer", "schema": form["schema"]}}
    if "effort" in request:
        body["reasoning"] = {"effort": request["effort"], "summary": "auto"}
        body["include"] = ["reasoning.encrypted_content"]
    return {**body, "stream": True} if stream else body


def read_usage(usage):
    check(usage, {"input_tokens!": int, "output_tokens!": int, "total_tokens!": int,
                  "input_tokens_details!": dict, "output_tokens_details!": dict}, "usage")
    return {"input": usage["input_tokens"], "output": usage["output_tokens"],
            "cached": usage["input_tokens_details"]["cached_tokens"],
            "written": usage["input_tokens_details"].get("cache_write_tokens", 0),
            "reasoning": usage["output_tokens_details"]["reasoning_tokens"]}


def read_output(item, choice):
    """An item of the output as parts, added to the choice."""
    kind, parts = item["type"], choice["parts"]
    if kind == "message":
        for part in item["content"]:
            if part["type"] == "refusal":
                parts.append({"refusal": part["refusal"]})
                continue
            parts.append({"text": part["text"]})
            for entry in part.get("logprobs") or []:
                choice.setdefault("logprobs", []).append([entry["token"], entry["logprob"]])
    elif kind == "reasoning":
        said = "".join(p["text"] for p in item["summary"]) or \
            "".join(p["text"] for p in item.get("content") or [])
        parts.append({"reasoning": said, "signature": item.get("encrypted_content")})
    elif kind == "function_call":
        parts.append({"call": {"id": item["call_id"], "name": item["name"],
                               "arguments": json.loads(item["arguments"])}})
    elif kind == "custom_tool_call":
        parts.append({"custom": {"id": item["call_id"], "name": item["name"],
                                 "input": item["input"]}})
    else:
        raise Bad(f"unknown item {kind}")


REASONS = {"max_output_tokens": "length", "content_filter": "filter"}
HEAD = ("id", "object", "created_at", "status", "error", "incomplete_details", "instructions", "model",
        "output", "parallel_tool_calls", "temperature", "tool_choice", "tools", "top_p", "metadata")


def read_answer(body):
    for name in HEAD:
        if name not in body:
            raise Bad("field required", name)
    check(body["object"], {"response"}, "object")
    choice = {"parts": []}
    ids = [item["id"] for item in body["output"]]
    if len(set(ids)) != len(ids):
        raise Bad(f"ids of items twice: {ids}")
    for item in body["output"]:
        read_output(item, choice)
    if body["status"] == "incomplete":
        choice["finish"] = REASONS[body["incomplete_details"]["reason"]]
    elif body["status"] == "completed":
        calls = any("call" in part or "custom" in part for part in choice["parts"])
        choice["finish"] = "tools" if calls else "stop"
    else:
        raise Bad(f"status {body['status']}")
    return {"choices": [choice], "usage": read_usage(body["usage"]), "model": body["model"]}


# Deltas: where in the item their text ends up.
DELTAS = {"response.output_text": ("content", "text"), "response.refusal": ("content", "refusal"),
          "response.reasoning_summary_text": ("summary", "text"),
          "response.reasoning_text": ("content", "text"),
          "response.function_call_arguments": (None, "arguments"),
          "response.custom_tool_call_input": (None, "input")}


class Gathering:
    """The output as the events build it; what they say at the end has to be the same."""

    def __init__(self):
        self.output = {}
        self.done = {}
        self.last = None
        self.next = 0

    def event(self, name, value):
        if value.get("sequence_number") != self.next:
            raise Bad(f"sequence_number {value.get('sequence_number')}, want {self.next}")
        self.next += 1
        if self.last:
            raise Bad(f"{name} after the end")
        if (name == "response.created") != (self.next == 1):
            raise Bad(f"{name} as event {self.next}")
        if name in ("response.completed", "response.incomplete", "response.failed"):
            self.end(name, value["response"])
        elif name == "response.output_item.added":
            if value["output_index"] != len(self.output):
                raise Bad(f"item {value['output_index']} out of turn")
            self.output[value["output_index"]] = json.loads(json.dumps(value["item"]))
        elif name == "response.output_item.done":
            self.item_done(value)
        elif name not in ("response.created", "response.in_progress"):
            self.inner(name, value)

    def item_done(self, value):
        item, mine = value["item"], self.output[value["output_index"]]
        for field in ("content", "summary", "arguments", "input", "call_id", "name", "id"):
            if mine.get(field, item.get(field)) != item.get(field):
                raise Bad(f"{field} of the item: the deltas say {mine.get(field)!r}, the end "
                          f"{item.get(field)!r}")
        self.done[value["output_index"]] = item

    def inner(self, name, value):
        item = self.output[value["output_index"]]
        if value["item_id"] != item["id"]:
            raise Bad(f"item_id {value['item_id']}, want {item['id']}")
        base, _, what = name.rpartition(".")
        if base in ("response.content_part", "response.reasoning_summary_part"):
            return self.part(item, base, what, value)
        if base == "response.output_text.annotation":
            return None
        where, field = DELTAS[base]
        at = value.get("summary_index" if where == "summary" else "content_index")
        target = item if where is None else item[where][at]
        if what == "delta":
            target[field] = target.get(field, "") + value["delta"]
            if value.get("logprobs"):
                target.setdefault("logprobs", []).extend(value["logprobs"])
        elif target[field] != value[field]:
            raise Bad(f"{name}: {value[field]!r}, the deltas say {target[field]!r}")
        return None

    def part(self, item, base, what, value):
        where = "content" if base.endswith("content_part") else "summary"
        at = value["content_index" if where == "content" else "summary_index"]
        parts = item.setdefault(where, [])
        if what == "added":
            if at != len(parts):
                raise Bad(f"part {at} out of turn")
            parts.append(json.loads(json.dumps(value["part"])))
        elif parts[at].get("text") != value["part"].get("text"):
            raise Bad(f"part {at} ends as {value['part']}, the deltas say {parts[at]}")

    def end(self, name, response):
        if response["status"] != name.rpartition(".")[2]:
            raise Bad(f"{name} with status {response['status']}")
        if name != "response.failed":
            done = [self.done[at] for at in sorted(self.done)]
            if response["output"] != done or len(done) != len(self.output):
                raise Bad(f"the output at the end is not that of the items: {dumps(done)[:300]} "
                          f"{dumps(response['output'])[:300]}")
        self.last = response


def read_stream(events):
    gathering = Gathering()
    for event in events:
        value = json.loads(event.data)
        if event.name != value["type"]:
            raise Bad(f"the event is called {event.name!r}, its type is {value['type']!r}")
        if value["type"] == "error":
            return None, {"message": value["message"], "kind": value.get("code")}
        gathering.event(event.name, value)
    last = gathering.last
    if last is None:
        raise Bad("no end, and no error")
    if last["status"] == "failed":
        return None, {"message": last["error"]["message"], "kind": last["error"]["code"]}
    return read_answer(last), None


read_error = openai.read_error


# ---- The provider's side.

def read_content(content):
    parts = []
    for part in [{"type": "input_text", "text": content}] if isinstance(content, str) else content:
        if part["type"] in ("input_text", "output_text"):
            parts.append({"text": part["text"]})
        elif part["type"] == "refusal":
            parts.append({"refusal": part["refusal"]})
        else:
            url = part.get("image_url") or part.get("file_data")
            found = re.fullmatch(r"data:([^;]+);base64,(.*)", url, re.S)
            if part["type"] == "input_file":
                parts.append({"document": {"mime": found[1], "data": found[2],
                                           "name": part.get("filename")}})
            else:
                parts.append({"image": {"mime": found[1], "data": found[2]}} if found
                             else {"image_url": url})
    return parts


def read_message(item, at):
    role = item["role"]
    if isinstance(item["content"], list):
        check(item["content"], up_to(1000, OUTPUT_PARTS if role == "assistant" else INPUT_PARTS, 1),
              f"input[{at}].content")
    return {"role": "system" if role == "developer" else role, "parts": read_content(item["content"])}


def read_reasoning(item):
    said = "".join(part["text"] for part in item["summary"])
    sealed = item.get("encrypted_content")
    if sealed and sealed not in MINTED:
        raise Bad("The encrypted content could not be verified.", "input")
    if not sealed:
        raise Bad("Item not found: items are not persisted when `store` is false", "input", 404)
    return {"role": "assistant", "parts": [{"reasoning": said, "signature": sealed}]}


def read_item(item, at, open_ids):
    kind = item.get("type", "message")
    if kind not in ITEMS:
        raise Bad(f"unknown type {kind!r}", f"input[{at}].type")
    check(item, {"type": str, **ITEMS[kind]}, f"input[{at}]")
    if kind == "message":
        return read_message(item, at)
    if kind == "reasoning":
        return read_reasoning(item)
    if kind in ("function_call", "custom_tool_call"):
        open_ids.add(item["call_id"])
        name = "call" if kind == "function_call" else "custom"
        said = {"arguments": json.loads(item["arguments"])} if name == "call" else \
            {"input": item["input"]}
        return {"role": "assistant", "parts": [{name: {"id": item["call_id"], "name": item["name"],
                                                       **said}}]}
    if item["call_id"] not in open_ids:
        raise Bad(f"No tool call found for function call output with call_id {item['call_id']}.",
                  "input")
    open_ids.remove(item["call_id"])
    output = item["output"]
    said = output if isinstance(output, str) else "".join(p["text"] for p in output)
    return {"role": "user", "parts": [{"result": {"id": item["call_id"], "text": said}}]}


def read_input(body):
    given, open_ids = body["input"], set()
    items = [{"role": "user", "content": given}] if isinstance(given, str) else given
    messages = [read_item(item, at, open_ids) for at, item in enumerate(items)]
    if open_ids:
        raise Bad(f"No tool output found for function call {sorted(open_ids)}.", "input")
    head = [{"role": "system", "parts": [{"text": body["instructions"]}]}] \
        if body.get("instructions") else []
    return head + messages


def read_tool(tool):
    out = {"name": tool["name"], "description": tool.get("description")}
    return {**out, "custom": True} if tool["type"] == "custom" else \
        {**out, "schema": tool["parameters"] or {"type": "object", "properties": {}}}


def read_form(form):
    if form["type"] == "text":
        return None
    return {"kind": "object"} if form["type"] == "json_object" else {"kind": "schema",
                                                                     "schema": form["schema"]}


def read_request(call):
    body = call.body
    check(body, REQUEST)
    if body["model"].startswith("gpt-5") and {"temperature", "top_p"} & set(body):
        raise Bad("unsupported with this model", "temperature")
    request = {"messages": read_input(body)}
    request |= {name: body[name] for name in SIMPLE if name in body}
    request |= {name: body[word] for name, word in RENAMED.items() if word in body}
    if "safety_identifier" in body:
        request["user"] = body["safety_identifier"]
    if "message.output_text.logprobs" in body.get("include", []):
        request["logprobs"] = True
    if "tools" in body:
        request["tools"] = [read_tool(tool) for tool in body["tools"]]
    choice = body.get("tool_choice")
    if choice:
        request["choice"] = choice if isinstance(choice, str) else {"name": choice["name"]}
    form = read_form(body.get("text", {}).get("format", {"type": "text"}))
    if form:
        request["format"] = form
    if body.get("reasoning", {}).get("effort"):
        request["effort"] = body["reasoning"]["effort"]
    return request, bool(body.get("stream"))


def write_usage(usage):
    return {"input_tokens": usage["input"], "output_tokens": usage["output"],
            "total_tokens": usage["input"] + usage["output"],
            "input_tokens_details": {"cached_tokens": usage["cached"],
                                     "cache_write_tokens": usage["written"]},
            "output_tokens_details": {"reasoning_tokens": usage["reasoning"]}}


def write_item(at, part, choice, call):
    sealed = "reasoning.encrypted_content" in call.body.get("include", [])
    if "reasoning" in part:
        out = {"type": "reasoning", "id": f"rs_{at}",
               "summary": [{"type": "summary_text", "text": part["reasoning"]}]}
        return {**out, "encrypted_content": signature(part["reasoning"])} if sealed else out
    if "call" in part or "custom" in part:
        out = {"id": f"fc_{at}", **write_assistant_item(part)}
        return out if "custom" in part else {**out, "status": "completed"}
    if "refusal" in part:
        content = {"type": "refusal", "refusal": part["refusal"]}
    else:
        probs = [openai.logprob(entry) for entry in choice.get("logprobs", [])]
        content = {"type": "output_text", "text": part["text"], "annotations": [], "logprobs": probs}
    return {"type": "message", "id": f"msg_{at}", "status": "completed", "role": "assistant",
            "content": [content]}


def write_response(answer, call, status, output):
    finish = answer["choices"][0]["finish"]
    body = call.body
    return {"id": "resp_" + call.model[-12:], "object": "response", "created_at": 1790000000,
            "status": status, "error": None, "background": False,
            "incomplete_details": {"reason": {"length": "max_output_tokens",
                                              "filter": "content_filter"}[finish]}
            if status == "incomplete" else None,
            "instructions": body.get("instructions"), "max_output_tokens": None, "model": call.model,
            "output": output, "parallel_tool_calls": True, "previous_response_id": None,
            "reasoning": {"effort": None, "summary": None}, "temperature": 1.0,
            "text": {"format": {"type": "text"}}, "tool_choice": "auto", "tools": [], "top_p": 1.0,
            "truncation": "disabled", "usage": write_usage(answer["usage"])
            if status in ("completed", "incomplete") else None, "metadata": {},
            "service_tier": "default"}


def output_of(answer, call):
    choice = answer["choices"][0]
    refuses = any("refusal" in part for part in choice["parts"])
    status = "incomplete" if choice["finish"] in ("length", "filter") and not refuses else "completed"
    return status, [write_item(at, part, choice, call) for at, part in
                    enumerate(joined(choice["parts"]))]


def write_answer(answer, call):
    return write_response(answer, call, *output_of(answer, call))


def events_of_message(item, base):
    part = item["content"][0]
    field = "refusal" if part["type"] == "refusal" else "text"
    base = {**base, "content_index": 0}
    name = "response.refusal" if field == "refusal" else "response.output_text"
    empty = {**part, field: ""}
    yield "response.content_part.added", {**base, "part": {
        **empty, "logprobs": []} if field == "text" else empty}
    probs = part.get("logprobs")
    for at, piece in enumerate([p["token"] for p in probs] if probs else pieces(part[field], 4)):
        yield name + ".delta", {**base, "delta": piece, "logprobs": probs[at:at + 1] if probs else []}
    yield name + ".done", {**base, field: part[field], "logprobs": probs or []}
    yield "response.content_part.done", {**base, "part": part}


def events_of_reasoning(item, base):
    base = {**base, "summary_index": 0}
    part = item["summary"][0]
    yield "response.reasoning_summary_part.added", {**base, "part": {**part, "text": ""}}
    for piece in pieces(part["text"], 3):
        yield "response.reasoning_summary_text.delta", {**base, "delta": piece}
    yield "response.reasoning_summary_text.done", {**base, "text": part["text"]}
    yield "response.reasoning_summary_part.done", {**base, "part": part}


def events_of_call(item, base):
    field = "input" if item["type"] == "custom_tool_call" else "arguments"
    name = "response.custom_tool_call_input" if field == "input" else \
        "response.function_call_arguments"
    for piece in pieces(item[field], 4):
        yield name + ".delta", {**base, "delta": piece}
    yield name + ".done", {**base, field: item[field]}


EMPTY = {"message": {"content": [], "status": "in_progress"}, "reasoning": {"summary": []},
         "function_call": {"arguments": "", "status": "in_progress"},
         "custom_tool_call": {"input": ""}}
EVENTS = {"message": events_of_message, "reasoning": events_of_reasoning,
          "function_call": events_of_call, "custom_tool_call": events_of_call}


def raw_events(answer, call):
    status, output = output_of(answer, call)
    for name in ("created", "in_progress"):
        yield f"response.{name}", {"response": write_response(answer, call, "in_progress", [])}
    for at, item in enumerate(output):
        base = {"item_id": item["id"], "output_index": at}
        yield "response.output_item.added", {"output_index": at,
                                             "item": {**item, **EMPTY[item["type"]]}}
        yield from EVENTS[item["type"]](item, base)
        yield "response.output_item.done", {"output_index": at, "item": item}
    yield f"response.{status}", {"response": write_response(answer, call, status, output)}


def write_stream(answer, call):
    for at, (name, value) in enumerate(raw_events(answer, call)):
        yield name, dumps({"type": name, "sequence_number": at, **value})


def write_error(status, message, call):
    return openai.write_error(status, message, call)


def error_event(message, call):
    return "error", dumps({"type": "error", "code": "server_error", "message": message,
                           "param": None, "sequence_number": 1})


headers = openai.headers
MINTED = set()


def signature(said):
    made = mint("openai", said)
    MINTED.add(made)
    return made
