"""Chats in a form of their own, between the formats of dialects and wires: plain dictionaries.

A request: {"messages": [{"role": "system"|"user"|"assistant", "parts": [...]}], and what is said of
  tools [{"name", "description", "schema"} | {"name", "description", "custom": True}],
  choice "auto"|"none"|"required"|{"name"}, parallel bool, format {"kind": "object"} or {"kind":
  "schema", "schema"}, max_tokens, temperature, top_p, frequency_penalty, presence_penalty, stop, seed,
  n, logprobs, effort, user, tier, cache_key}.
An answer: {"choices": [{"parts": [...], "finish": "stop"|"length"|"tools"|"filter"|"sequence",
  "sequence", "logprobs": [[token, logprob]]}], "usage": {"input", "cached", "written", "output",
  "reasoning"}}, the input with what is cached and written, the output with the reasoning.
A part is one of {"text"}, {"image": {"mime", "data"}}, {"image_url"}, {"document": {"mime", "data",
  "name"}}, {"call": {"id", "name", "arguments"}}, {"custom": {"id", "name", "input"}}, {"result": {"id",
  "text", "error"}}, {"reasoning", "signature"}, {"refusal"}; with "cache": True behind it.
"""

import base64
import copy
import hashlib
import json


def mint(family, text):
    """The signature of a family's model for its reasoning: nobody else can make it."""
    digest = hashlib.sha512(f"{family}\0{text}".encode()).digest()
    return base64.b64encode(digest + digest[:14]).decode()


def dumps(value):
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def merged(messages):
    """Neighbours of one role as one message."""
    out = []
    for message in messages:
        if out and out[-1]["role"] == message["role"]:
            out[-1] = {**out[-1], "parts": out[-1]["parts"] + message["parts"]}
        else:
            out.append(dict(message))
    return out


def joined(parts):
    """Neighbouring texts as one, empty ones left out."""
    out = []
    for part in parts:
        if part == {"text": ""}:
            continue
        if out and set(part) == {"text"} == set(out[-1]):
            out[-1] = {"text": out[-1]["text"] + part["text"]}
        else:
            out.append(part)
    return out


def normal(request):
    """The request with what may differ in form made the same."""
    request = copy.deepcopy(request)
    request["messages"] = merged(request["messages"])
    for message in request["messages"]:
        message["parts"] = joined(message["parts"])
        for part in message["parts"]:
            if "document" in part:
                part["document"].pop("name", None)
            if "result" in part:
                part["result"].setdefault("error", False)
    if request.get("choice") == "auto":  # what it is where nothing is said
        del request["choice"]
    return {name: value for name, value in request.items() if value is not None}


def difference(got, want, path="$"):
    """Where two values differ, as text; None: nowhere."""
    if isinstance(got, dict) and isinstance(want, dict):
        for name in sorted(set(got) | set(want)):
            if name not in got:
                return f"{path}.{name} is missing, want {dumps(want[name])[:200]}"
            if name not in want:
                return f"{path}.{name} is {dumps(got[name])[:200]}, want none"
            found = difference(got[name], want[name], f"{path}.{name}")
            if found:
                return found
        return None
    if isinstance(got, list) and isinstance(want, list):
        for at, (a, b) in enumerate(zip(got, want)):
            found = difference(a, b, f"{path}[{at}]")
            if found:
                return found
        if len(got) != len(want):
            return f"{path} has {len(got)} items, want {len(want)}: {dumps(got)[:300]}"
        return None
    if type(got) is not type(want) and not (isinstance(got, (int, float)) and
                                            isinstance(want, (int, float))):
        return f"{path} is {dumps(got)[:200]}, want {dumps(want)[:200]}"
    return None if got == want else f"{path} is {dumps(got)[:200]}, want {dumps(want)[:200]}"


def pieces(text, count):
    """The text in about `count` pieces."""
    step = max(1, -(-len(text) // count))
    return [text[at:at + step] for at in range(0, len(text), step)]


def words(parts, kind):
    """What the parts of a kind say, in a row."""
    return "".join(part[kind] for part in parts if kind in part)


def gist(answer):
    """What is compared of the first choice: texts, calls, the reason to finish, tokens."""
    choice = answer["choices"][0]
    parts = choice["parts"]
    return {
        "text": "".join(p["text"] for p in parts if "text" in p),
        "reasoning": "".join(p["reasoning"] for p in parts if "reasoning" in p),
        "calls": [p.get("call") or p["custom"] for p in parts if "call" in p or "custom" in p],
        "input": answer["usage"]["input"], "output": answer["usage"]["output"],
    }
