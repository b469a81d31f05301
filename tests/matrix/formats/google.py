"""Google's generateContent, on both ends; AI Studio (gemini) and Vertex AI differ in their paths.

Shapes: @google/genai 3.1.0 (types); rules of turns, signatures and formats: the API's documentation.
Fields are taken in camelCase only: that is what the API answers with.
"""

import json
import re

from canon import dumps, joined, mint, pieces, words
from strict import Bad, check, integer, matching, number, one_of, text, up_to

BLOB = {"mimeType!": matching(r"[a-z]+/[a-z0-9.+-]+"), "data!": text, "displayName": str}
FILE = {"mimeType": str, "fileUri!": matching(r"(gs|https?)://.+"), "displayName": str}
NAME = matching(r"[a-zA-Z_][a-zA-Z0-9_.:-]{0,127}")
COMMON = {"thought": bool, "thoughtSignature": text}
PART = one_of({
    "text": str, "inlineData": BLOB, "fileData": FILE,
    "functionCall": {"id": str, "name!": NAME, "args": dict},
    "functionResponse": {"id": str, "name!": NAME, "response!": dict, "parts": list},
}, COMMON)
SYSTEM_PART = one_of({"text": text})
TOOL = {"functionDeclarations": up_to(512, {
    "name!": NAME, "description": str, "parameters": dict, "parametersJsonSchema": dict,
    "response": dict, "responseJsonSchema": dict, "behavior": str}, 1)}
THINKING = {"thinkingBudget": integer(-1), "includeThoughts": bool,
            "thinkingLevel": {"MINIMAL", "LOW", "MEDIUM", "HIGH"}}
CONFIG = {
    "temperature": number(0, 2), "topP": number(0, 1), "topK": number(1, 1000),
    "candidateCount": integer(1, 8), "maxOutputTokens": integer(1),
    "stopSequences": up_to(5, text, 1), "seed": integer(-(1 << 31)), "presencePenalty": number(-2, 2),
    "frequencyPenalty": number(-2, 2), "responseLogprobs": bool, "logprobs": integer(0, 20),
    "responseMimeType": {"text/plain", "application/json", "text/x.enum"}, "responseSchema": dict,
    "responseJsonSchema": dict, "responseModalities": list, "thinkingConfig": THINKING,
    "mediaResolution": str,
}
REQUEST = {
    "contents!": up_to(100000, {"role!": {"user", "model"}, "parts!": up_to(10000, PART, 1)}, 1),
    "systemInstruction": {"role": str, "parts!": up_to(1000, SYSTEM_PART, 1)},
    "tools": up_to(16, TOOL, 1),
    "toolConfig": {"functionCallingConfig!": {"mode!": {"AUTO", "ANY", "NONE", "VALIDATED"},
                                              "allowedFunctionNames": up_to(512, NAME, 1),
                                              "streamFunctionCallArguments": bool}},
    "safetySettings": list, "generationConfig": CONFIG, "cachedContent": str,
    "serviceTier": {"flex", "standard", "priority"}, "store": bool,
}
# Labels are Vertex AI's alone.
VERTEX_REQUEST = {**REQUEST, "labels": dict}

FINISH = {"stop": "STOP", "tools": "STOP", "sequence": "STOP", "length": "MAX_TOKENS",
          "filter": "SAFETY"}
FINISH_READ = {"STOP": "stop", "MAX_TOKENS": "length", "SAFETY": "filter"}
CONFIG_NAMES = {"temperature": "temperature", "top_p": "topP", "seed": "seed", "stop": "stopSequences",
                "max_tokens": "maxOutputTokens", "n": "candidateCount",
                "frequency_penalty": "frequencyPenalty", "presence_penalty": "presencePenalty"}
TIERS = {"default": "standard", "flex": "flex", "priority": "priority"}
EFFORTS = {"low": "LOW", "medium": "MEDIUM", "high": "HIGH"}
CLIENT_LACKS = {"parallel", "user", "part cache", "cache_key", "custom", "citations", "system middle",
                "result error"}
USAGE = {"cached", "reasoning"}  # what it says beside input and output


# ---- The client's side.

def path(model, stream):
    return f"/v1beta/models/{model}:" + ("streamGenerateContent?alt=sse" if stream
                                         else "generateContent")


def write_part(part):
    if "text" in part:
        out = {"text": part["text"]}
    elif "image" in part or "document" in part:
        blob = part.get("image") or part["document"]
        out = {"inlineData": {"mimeType": blob["mime"], "data": blob["data"]}}
    elif "image_url" in part:
        out = {"fileData": {"fileUri": part["image_url"], "mimeType": "image/png"}}
    elif "call" in part:
        out = {"functionCall": {"id": part["call"]["id"], "name": part["call"]["name"],
                                "args": part["call"]["arguments"]}}
    elif "reasoning" in part:
        out = {"text": part["reasoning"], "thought": True}
    else:
        result = part["result"]
        out = {"functionResponse": {"id": result["id"], "name": result["name"],
                                    "response": {"result": result["text"]}}}
    if part.get("signature"):
        out["thoughtSignature"] = part["signature"]
    return out


def write_config(request):
    config = {word: request[name] for name, word in CONFIG_NAMES.items() if name in request}
    if request.get("logprobs"):
        config["responseLogprobs"] = True
    if "format" in request:
        config["responseMimeType"] = "application/json"
        if request["format"]["kind"] == "schema":
            config["responseJsonSchema"] = request["format"]["schema"]
    if "effort" in request:
        config["thinkingConfig"] = {"thinkingLevel": EFFORTS[request["effort"]],
                                    "includeThoughts": True}
    return config


def write_choice(choice):
    if isinstance(choice, dict):
        return {"mode": "ANY", "allowedFunctionNames": [choice["name"]]}
    return {"mode": {"auto": "AUTO", "none": "NONE", "required": "ANY"}[choice]}


def write_request(request, model, stream):
    body, messages = {}, request["messages"]
    if messages[0]["role"] == "system":
        body["systemInstruction"] = {"parts": [write_part(p) for p in messages[0]["parts"]]}
        messages = messages[1:]
    body["contents"] = [{"role": "model" if m["role"] == "assistant" else "user",
                         "parts": [write_part(p) for p in m["parts"]]} for m in messages]
    if "tools" in request:
        body["tools"] = [{"functionDeclarations": [
            {"name": t["name"], "description": t["description"], "parametersJsonSchema": t["schema"]}
            for t in request["tools"]]}]
    if "choice" in request:
        body["toolConfig"] = {"functionCallingConfig": write_choice(request["choice"])}
    if "tier" in request:
        body["serviceTier"] = TIERS[request["tier"]]
    config = write_config(request)
    return {**body, "generationConfig": config} if config else body


def read_usage(usage):
    thoughts = usage.get("thoughtsTokenCount", 0)
    prompt = usage["promptTokenCount"] + usage.get("toolUsePromptTokenCount", 0)
    output = usage.get("candidatesTokenCount", 0) + thoughts
    if usage["totalTokenCount"] != prompt + output:
        raise Bad("totalTokenCount is not the sum", "usageMetadata")
    return {"input": prompt, "cached": usage.get("cachedContentTokenCount", 0), "written": 0,
            "output": output, "reasoning": thoughts}


def read_part(part):
    if "functionCall" in part:
        call = part["functionCall"]
        out = {"call": {"id": call.get("id"), "name": call["name"], "arguments": call.get("args", {})}}
    elif part.get("thought"):
        out = {"reasoning": part["text"]}
    else:
        out = {"text": part["text"]}
    if "thoughtSignature" in part:
        out["signature"] = part["thoughtSignature"]
    return out


def read_candidate(candidate):
    parts = [read_part(p) for p in candidate.get("content", {}).get("parts", [])]
    out = {"parts": parts, "finish": FINISH_READ[candidate["finishReason"]]}
    if out["finish"] == "stop" and any("call" in part for part in parts):
        out["finish"] = "tools"
    if "finishMessage" in candidate:
        out["parts"].append({"refusal": candidate["finishMessage"]})
    probs = candidate.get("logprobsResult")
    if probs:
        out["logprobs"] = [[c["token"], c["logProbability"]] for c in probs["chosenCandidates"]]
    return out


def read_answer(body):
    check(body, {"candidates!": up_to(8, dict, 1), "usageMetadata!": dict, "modelVersion!": text,
                 "responseId!": text, "promptFeedback": dict, "createTime": str})
    return {"choices": [read_candidate(c) for c in
                        sorted(body["candidates"], key=lambda c: c.get("index", 0))],
            "usage": read_usage(body["usageMetadata"]), "model": body["modelVersion"]}


class Gathering:
    """Frames put together: parts follow each other, texts of a kind are joined."""

    def __init__(self):
        self.candidates = {}
        self.last = None

    def add_part(self, parts, part):
        same = parts and "text" in part and "text" in parts[-1] and \
            part.get("thought") == parts[-1].get("thought") and "thoughtSignature" not in parts[-1]
        if not same:
            parts.append(dict(part))
            return
        parts[-1]["text"] += part["text"]
        if "thoughtSignature" in part:
            parts[-1]["thoughtSignature"] = part["thoughtSignature"]

    def frame(self, value):
        self.last = value
        for candidate in value.get("candidates", []):
            index = candidate.get("index", 0)
            mine = self.candidates.setdefault(index, {"index": index, "content": {"parts": []}})
            if "finishReason" in mine:
                raise Bad("a frame after the candidate has finished")
            for part in candidate.get("content", {}).get("parts", []):
                self.add_part(mine["content"]["parts"], part)
            for name in ("finishReason", "finishMessage"):
                if name in candidate:
                    mine[name] = candidate[name]
            if "logprobsResult" in candidate:
                mine.setdefault("logprobsResult", {"chosenCandidates": []})["chosenCandidates"] += \
                    candidate["logprobsResult"]["chosenCandidates"]

    def whole(self):
        for mine in self.candidates.values():
            if "finishReason" not in mine:
                raise Bad("the stream ends before a candidate has finished, and without an error")
        return read_answer({**self.last, "candidates": list(self.candidates.values())})


def read_stream(events):
    gathering = Gathering()
    for event in events:
        if event.name:
            raise Bad(f"an event with a name: {event.name}")
        value = json.loads(event.data)
        if "error" in value:
            if event is not events[-1]:
                raise Bad("an event after the error")
            return None, read_error(value)
        gathering.frame(value)
    return gathering.whole(), None


def read_error(body):
    check(body, {"error!": {"code!": int, "message!": text, "status!": matching("[A-Z_]+"),
                            "details": list}})
    return {"message": body["error"]["message"], "kind": body["error"]["status"]}


# ---- The provider's side.

def read_sent(part, role):
    """A part as parts: a signature of Google's stands on the part it came with."""
    out = None
    if "inlineData" in part:
        blob = {"mime": part["inlineData"]["mimeType"], "data": part["inlineData"]["data"]}
        out = {"image": blob} if blob["mime"].startswith("image/") else {"document": blob}
    elif "fileData" in part:
        out = {"image_url": part["fileData"]["fileUri"]}
    elif "functionCall" in part:
        call = part["functionCall"]
        out = {"call": {"id": call.get("id"), "name": call["name"], "arguments": call.get("args", {})}}
    elif "functionResponse" in part:
        answer = part["functionResponse"]
        response = answer["response"]
        said = next(iter(response.values())) if len(response) == 1 else response
        out = {"result": {"id": answer.get("id"), "name": answer["name"], "text": said
                          if isinstance(said, str) else dumps(response),
                          "error": "error" in response}}
    elif part.get("thought"):
        out = {"reasoning": part["text"]}
    else:
        out = {"text": part["text"]}
    if "thoughtSignature" in part:
        minted = part["thoughtSignature"] in MINTED
        if role != "model" or not minted or ("functionCall" in part and part["thoughtSignature"] !=
                                             signature(key_of(part))):
            raise Bad("Thought signature is not valid", "contents")
        out["signature"] = part["thoughtSignature"]
    return out


def key_of(part):
    """What the signature on a part stands for."""
    return dumps(part["functionCall"]["args"]) if "functionCall" in part else part["text"]


def read_turns(call, contents):
    out, asked = [], []
    for at, content in enumerate(contents):
        parts, where = content["parts"], f"contents[{at}]"
        if out and out[-1]["role"] == ("assistant" if content["role"] == "model" else "user"):
            raise Bad("turns must alternate", where)
        answers = [p["functionResponse"] for p in parts if "functionResponse" in p]
        if asked and [a["name"] for a in answers] != [c["name"] for c in asked]:
            raise Bad("the number of function response parts must equal that of the function call "
                      "parts of the function call turn", where)
        if not asked and answers:
            raise Bad("a function response turn comes immediately after a function call turn", where)
        asked = [p["functionCall"] for p in parts if "functionCall" in p]
        if asked and content["role"] != "model":
            raise Bad("functionCall in a user's turn", where)
        if asked and call.feature == "signature" and not any(
                "thoughtSignature" in p for p in parts if "functionCall" in p):
            raise Bad("Function call is missing a thought_signature in functionCall parts.", where)
        role = "assistant" if content["role"] == "model" else "user"
        out.append({"role": role, "parts": [read_sent(p, content["role"]) for p in parts]})
    if asked:
        raise Bad("function calls without responses", "contents")
    if contents[0]["role"] != "user":
        raise Bad("a conversation begins with a user's turn", "contents")
    return out


def read_tools(body, request):
    if "tools" in body:
        request["tools"] = [
            {"name": f["name"], "description": f.get("description"),
             "schema": f.get("parametersJsonSchema", f.get("parameters",
                                                           {"type": "object", "properties": {}}))}
            for tool in body["tools"] for f in tool["functionDeclarations"]]
    config = body.get("toolConfig", {}).get("functionCallingConfig")
    if config:
        names = config.get("allowedFunctionNames")
        if names and config["mode"] not in ("ANY", "VALIDATED"):
            raise Bad("allowed names are for the modes ANY and VALIDATED", "toolConfig")
        request["choice"] = {"name": names[0]} if names else \
            {"AUTO": "auto", "NONE": "none", "ANY": "required"}[config["mode"]]


def read_config(config, request):
    request |= {name: config[word] for name, word in CONFIG_NAMES.items() if word in config}
    if "logprobs" in config and not config.get("responseLogprobs"):
        raise Bad("needs responseLogprobs", "generationConfig.logprobs")
    if config.get("responseLogprobs"):
        request["logprobs"] = True
    schema = config.get("responseJsonSchema", config.get("responseSchema"))
    if schema is not None:
        if config.get("responseMimeType") != "application/json":
            raise Bad("only with the MIME type application/json", "generationConfig")
        request["format"] = {"kind": "schema", "schema": schema}
    elif config.get("responseMimeType") == "application/json":
        request["format"] = {"kind": "object"}
    thinking = config.get("thinkingConfig", {})
    if "thinkingLevel" in thinking and "thinkingBudget" in thinking:
        raise Bad("a level and a budget at once", "generationConfig.thinkingConfig")
    if "thinkingLevel" in thinking:
        request["effort"] = thinking["thinkingLevel"].lower()
    elif "thinkingBudget" in thinking:
        request["effort"] = thinking["thinkingBudget"]


def read_request(call):
    body = call.body
    check(body, VERTEX_REQUEST if call.wire_name == "vertex" else REQUEST)
    head = [{"role": "system", "parts": [{"text": p["text"]} for p in
                                         body["systemInstruction"]["parts"]]}] \
        if "systemInstruction" in body else []
    request = {"messages": head + read_turns(call, body["contents"])}
    read_tools(body, request)
    read_config(body.get("generationConfig", {}), request)
    if "serviceTier" in body:
        request["tier"] = {word: tier for tier, word in TIERS.items()}[body["serviceTier"]]
    if "labels" in body:
        request["user"] = body["labels"].get("user")
    method = re.search(r":(\w+)(\?alt=sse)?$", call.target)
    if not method or (method[1] == "streamGenerateContent") != bool(method[2]):
        raise Bad(f"path {call.target}", status=404)
    return request, bool(method[2])


def write_usage(usage, vertex):
    out = {"promptTokenCount": usage["input"],
           "candidatesTokenCount": usage["output"] - usage["reasoning"],
           "totalTokenCount": usage["input"] + usage["output"],
           "promptTokensDetails": [{"modality": "TEXT", "tokenCount": usage["input"]}]}
    if usage["cached"]:
        out["cachedContentTokenCount"] = usage["cached"]
    if usage["reasoning"]:
        out["thoughtsTokenCount"] = usage["reasoning"]
    return {**out, "trafficType": "ON_DEMAND"} if vertex else out


def write_answer_part(part, signed):
    if "reasoning" in part:
        return {"text": part["reasoning"], "thought": True}
    out = write_part({name: value for name, value in part.items() if name != "signature"})
    if signed:
        out["thoughtSignature"] = signature(key_of(out))
    return out


def write_parts(parts):
    """Behind reasoning, the first part that is none carries the signature."""
    out, thought = [], False
    for part in joined(parts):
        if "refusal" in part:
            continue
        out.append(write_answer_part(part, thought and "reasoning" not in part))
        thought = "reasoning" in part
    return out


def write_logprobs(entries):
    chosen = [{"token": token, "tokenId": at, "logProbability": value}
              for at, (token, value) in enumerate(entries)]
    return {"chosenCandidates": chosen, "topCandidates": [{"candidates": [c]} for c in chosen]}


def base_of(answer, call):
    return {"usageMetadata": write_usage(answer["usage"], call.wire_name == "vertex"),
            "modelVersion": call.model, "responseId": "resp-" + call.model[-12:]}


def write_answer(answer, call):
    candidates = []
    for index, choice in enumerate(answer["choices"]):
        one = {"content": {"parts": write_parts(choice["parts"]), "role": "model"},
               "finishReason": FINISH[choice["finish"]], "index": index}
        if words(choice["parts"], "refusal"):
            one["finishMessage"] = words(choice["parts"], "refusal")
        if "logprobs" in choice:
            one["logprobsResult"] = write_logprobs(choice["logprobs"])
        candidates.append(one)
    return {"candidates": candidates, **base_of(answer, call)}


def frames_of(choice):
    """The parts of a choice in pieces, each with the log probabilities that come with it."""
    probs = choice.get("logprobs")
    for part in write_parts(choice["parts"]):
        if "text" not in part:
            yield part, None
            continue
        texts = [entry[0] for entry in probs] if probs else pieces(part["text"], 3)
        for at, piece in enumerate(texts):
            one = {**part, "text": piece}
            if at < len(texts) - 1:
                one.pop("thoughtSignature", None)
            yield one, [probs[at]] if probs else None


def write_stream(answer, call):
    base = base_of(answer, call)
    early = {**base, "usageMetadata": {**base["usageMetadata"], "candidatesTokenCount": 1,
                                       "totalTokenCount": answer["usage"]["input"] + 1}}
    early["usageMetadata"].pop("thoughtsTokenCount", None)
    last = len(answer["choices"]) - 1
    for index, choice in enumerate(answer["choices"]):
        frames = list(frames_of(choice)) or [({"text": ""}, None)]
        for at, (part, probs) in enumerate(frames):
            end = at == len(frames) - 1
            one = {"content": {"parts": [part], "role": "model"}, "index": index}
            if probs:
                one["logprobsResult"] = write_logprobs(probs)
            if end:
                one["finishReason"] = FINISH[choice["finish"]]
                if words(choice["parts"], "refusal"):
                    one["finishMessage"] = words(choice["parts"], "refusal")
            yield None, dumps({"candidates": [one], **(base if end and index == last else early)})


STATUS = {400: "INVALID_ARGUMENT", 401: "UNAUTHENTICATED", 404: "NOT_FOUND",
          429: "RESOURCE_EXHAUSTED", 500: "INTERNAL", 503: "UNAVAILABLE"}


def write_error(status, message, call):
    error = {"code": status, "message": message, "status": STATUS[status]}
    if status == 429:
        error["details"] = [{"@type": "type.googleapis.com/google.rpc.RetryInfo",
                             "retryDelay": "7s"}]
    body = {"error": error}
    return status, [], [body] if call.wire_name == "vertex" and "stream" in call.target else body


def error_event(message, call):
    return None, dumps({"error": {"code": 503, "message": message, "status": "UNAVAILABLE"}})


def headers(call):
    return [("server-timing", "gfet4t7; dur=120"), ("x-xss-protection", "0")]


MINTED = set()


def signature(text_or_args):
    made = mint("google", text_or_args)
    MINTED.add(made)
    return made
