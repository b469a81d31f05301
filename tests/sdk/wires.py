"""The mock upstream's other wires: Anthropic's Messages, Google's Gemini and OpenAI's Responses.

Each class says the same things in its own words: an answer is a list of parts, said whole or as a
stream. A part is ("think", pieces), ("text", pieces) or ("tool", id, name, pieces). The numbers of
tokens are those of behaviours.USAGE, so every client counts the same whichever wire was spoken.
"""

import json
from urllib.parse import parse_qs, unquote, urlsplit

SIGNATURE = "c2lnbmVkIGJ5IHRoZSBtb2Nr"
INPUT, CACHED, OUTPUT, THOUGHT = 9, 2, 4, 1
FINISH = {"stop": "end_turn", "tools": "tool_use", "length": "max_tokens"}


def texts(content):
    """The text of what may be a string or a list of parts."""
    if isinstance(content, str):
        return content
    return "".join(part.get("text", "") for part in content or [])


class Wire:
    """What all have in common. `call` is the request that is being answered."""

    end = b""

    def __init__(self, call):
        self.call = call
        self.number = -1

    @property
    def streams(self):
        return bool(self.call.body.get("stream"))

    async def say(self, parts, finish="stop"):
        """The whole answer, in the form that was asked for."""
        if not self.streams:
            await self.call.json(self.whole(parts, finish))
            return
        await self.start()
        for part in parts:
            await self.open(part)
            for piece in part[-1]:
                await self.piece(piece)
            await self.close()
        await self.finish(finish)
        await self.stop()

    async def start(self):
        await self.call.stream()

    async def open(self, part):
        self.part = part
        self.number += 1
        self.said = ""

    async def event(self, value, name=None):
        head = f"event: {name}\n" if name else ""
        data = json.dumps(value, ensure_ascii=self.call.ascii)
        await self.call.text(f"{head}data: {data}\n\n".encode())

    async def stop(self):
        await self.call.wire.write(b"0\r\n\r\n")


class Messages(Wire):
    name = "anthropic"
    kinds = {400: "invalid_request_error", 401: "authentication_error", 404: "not_found_error",
             429: "rate_limit_error", 500: "api_error"}

    def key(self):
        """The key that came, under either of its names."""
        headers = self.call.request
        return headers.get("x-api-key") or (headers.get("authorization") or "").removeprefix(
            "Bearer ")

    def problems(self):
        body, roles = self.call.body, ("user", "assistant", "system")
        if not self.call.request.get("anthropic-version"):
            yield "no anthropic-version"
        if self.call.path.endswith("/count_tokens"):
            return
        if not isinstance(body.get("max_tokens"), int) or body["max_tokens"] < 1:
            yield f"max_tokens {body.get('max_tokens')!r}"
        if [m for m in body.get("messages", []) if m.get("role") not in roles]:
            yield "a role that Messages does not have"
        if self.call.request.get("anthropic-version") != "2023-06-01":
            yield from (f"{name} with the new version" for name in ("temperature", "top_p", "top_k")
                        if name in body)
        yield from (f"{name} is not Anthropic's" for name in ("n", "stop", "response_format",
                    "max_completion_tokens", "stream_options") if name in body)
        yield from self._unpaired(body)

    @staticmethod
    def _unpaired(body):
        """Each tool_use needs its results in the very next message, in front."""
        owed = []
        for message in body.get("messages", []):
            blocks = message["content"] if isinstance(message["content"], list) else []
            given = [b["tool_use_id"] for b in blocks if b["type"] == "tool_result"]
            if sorted(given) != sorted(owed):
                yield f"results {given} for calls {owed}"
            owed = [b["id"] for b in blocks if b["type"] == "tool_use"]

    def results(self):
        return [texts(block["content"]) for message in self.call.body["messages"]
                if isinstance(message["content"], list)
                for block in message["content"] if block["type"] == "tool_result"]

    def last_text(self):
        return texts(self.call.body["messages"][-1]["content"])

    def usage(self, output):
        return {"input_tokens": INPUT - CACHED, "output_tokens": output,
                "cache_creation_input_tokens": 0, "cache_read_input_tokens": CACHED,
                "output_tokens_details": {"thinking_tokens": THOUGHT if output > 1 else 0},
                "service_tier": "standard"}

    def message(self, content, stop, output):
        return {"id": "msg_whole", "type": "message", "role": "assistant",
                "model": self.call.body["model"], "content": content, "stop_reason": stop,
                "stop_sequence": None, "usage": self.usage(output)}

    def block(self, part, full):
        text = "".join(part[-1]) if full else ""
        if part[0] == "text":
            return {"type": "text", "text": text}
        if part[0] == "think":
            return {"type": "thinking", "thinking": text, "signature": SIGNATURE if full else ""}
        return {"type": "tool_use", "id": part[1], "name": part[2],
                "input": json.loads(text) if full else {}}

    def whole(self, parts, finish):
        return {**self.message([self.block(part, True) for part in parts], FINISH[finish], OUTPUT),
                "x_unknown": {"kept": [1]}}

    async def named(self, kind, **more):
        await self.event({"type": kind, **more}, kind)

    async def start(self):
        await super().start()
        await self.named("message_start", message=self.message([], None, 1))
        await self.named("ping")

    async def open(self, part):
        await super().open(part)
        await self.named("content_block_start", index=self.number,
                         content_block=self.block(part, False))

    async def piece(self, text):
        kind, field = {"text": ("text_delta", "text"), "think": ("thinking_delta", "thinking"),
                       "tool": ("input_json_delta", "partial_json")}[self.part[0]]
        await self.delta({"type": kind, field: text})

    async def delta(self, delta):
        await self.named("content_block_delta", index=self.number, delta=delta)

    async def close(self):
        if self.part[0] == "think":
            await self.delta({"type": "signature_delta", "signature": SIGNATURE})
        await self.named("content_block_stop", index=self.number)

    async def finish(self, finish):
        await self.named("message_delta", usage=self.usage(OUTPUT),
                         delta={"stop_reason": FINISH[finish], "stop_sequence": None})
        await self.named("message_stop")

    async def error(self, status, message, headers=(), **_):
        await self.call.json({"type": "error", "request_id": "req_mock",
                              "error": {"type": self.kinds[status], "message": message}},
                             status, headers)

    async def frame(self, message):
        await self.named("error", error={"type": "overloaded_error", "message": message})


class Gemini(Wire):
    name = "gemini"
    kinds = {400: "INVALID_ARGUMENT", 401: "UNAUTHENTICATED", 404: "NOT_FOUND",
             429: "RESOURCE_EXHAUSTED", 500: "INTERNAL"}

    @staticmethod
    def model(path):
        return unquote(path.rpartition("/")[2].rpartition(":")[0])

    @property
    def streams(self):
        return self.call.path.endswith(":streamGenerateContent")

    def key(self):
        query = parse_qs(urlsplit(self.call.request.path).query)
        return self.call.request.get("x-goog-api-key") or query.get("key", [""])[0]

    def problems(self):
        body = self.call.body
        wanted = {"contents", "systemInstruction", "tools", "toolConfig", "generationConfig",
                  "safetySettings", "cachedContent", "labels", "serviceTier", "store"}
        yield from (f"a field {name}" for name in body if name not in wanted)
        if [c for c in body.get("contents", []) if c.get("role") not in ("user", "model")]:
            yield "a role that Gemini does not have"
        roles = [c.get("role") for c in body.get("contents", [])]
        if any(a == b for a, b in zip(roles, roles[1:])):
            yield f"turns do not alternate: {roles}"
        if self.streams and "alt=sse" not in self.call.request.path:
            yield "a stream that is an array"

    def results(self):
        answers = [part["functionResponse"]["response"] for content in self.call.body["contents"]
                   for part in content["parts"] if "functionResponse" in part]
        # Those of the AI SDK have the function's name beside the content.
        return [str(answer.get("content") or next(iter(answer.values()))) for answer in answers]

    def last_text(self):
        return texts(self.call.body["contents"][-1]["parts"])

    def parts(self, part, text):
        if part[0] == "tool":
            return [{"functionCall": {"id": part[1], "name": part[2], "args": json.loads(text)},
                     "thoughtSignature": SIGNATURE}]
        return [{"text": text, **({"thought": True} if part[0] == "think" else {})}]

    def answer(self, parts, finish=None):
        candidate = {"content": {"role": "model", "parts": parts}, "index": 0}
        if finish:
            candidate["finishReason"] = "MAX_TOKENS" if finish == "length" else "STOP"
        return {"candidates": [candidate], "modelVersion": self.call.model, "responseId": "r-1",
                "usageMetadata": {
                    "promptTokenCount": INPUT, "cachedContentTokenCount": CACHED,
                    "candidatesTokenCount": OUTPUT - THOUGHT, "thoughtsTokenCount": THOUGHT,
                    "totalTokenCount": INPUT + OUTPUT}}

    def whole(self, parts, finish):
        return self.answer([p for part in parts for p in self.parts(part, "".join(part[-1]))],
                           finish)

    async def piece(self, text):
        """Calls arrive in one piece: here they wait for their end."""
        self.said += text
        if self.part[0] != "tool":
            await self.event(self.answer(self.parts(self.part, text)))

    async def close(self):
        if self.part[0] == "tool":
            await self.event(self.answer(self.parts(self.part, self.said)))

    async def finish(self, finish):
        await self.event(self.answer([{"text": ""}], finish))

    async def error(self, status, message, headers=(), wait=None, **_):
        details = [{"@type": "type.googleapis.com/google.rpc.RetryInfo",
                    "retryDelay": f"{wait}s"}] if wait else []
        await self.call.json({"error": {"code": status, "message": message,
                                        "status": self.kinds[status], "details": details}},
                             status, headers)

    async def frame(self, message):
        await self.event({"error": {"code": 500, "message": message, "status": "INTERNAL"}})


class Responses(Wire):
    name = "responses"

    def key(self):
        return (self.call.request.get("authorization") or "").removeprefix("Bearer ")

    def problems(self):
        yield from (f"{name} is not of Responses" for name in (
            "messages", "max_tokens", "max_completion_tokens", "response_format", "n")
            if name in self.call.body)

    def items(self):
        given = self.call.body["input"]
        return [] if isinstance(given, str) else given

    def results(self):
        return [texts(item["output"]) for item in self.items()
                if item.get("type") == "function_call_output"]

    def last_text(self):
        given = self.call.body["input"]
        return given if isinstance(given, str) else texts(given[-1]["content"])

    def item(self, number, part, text, status):
        if part[0] == "tool":
            return {"type": "function_call", "id": f"fc_{number}", "call_id": part[1],
                    "name": part[2], "arguments": text, "status": status}
        if part[0] == "think":
            return {"type": "reasoning", "id": f"rs_{number}", "encrypted_content": SIGNATURE,
                    "summary": [{"type": "summary_text", "text": text}] if text else []}
        return {"type": "message", "id": f"msg_{number}", "role": "assistant", "status": status,
                "content": [self.content(text)] if text or status == "completed" else []}

    @staticmethod
    def content(text):
        return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}

    def response(self, status, output, usage=None):
        body = self.call.body
        return {"id": "resp_1", "object": "response", "created_at": self.call.created,
                "model": self.call.model, "status": status, "error": None,
                "incomplete_details": {"reason": "max_output_tokens"} if status == "incomplete"
                else None, "instructions": body.get("instructions"), "output": output,
                "tools": body.get("tools", []), "tool_choice": body.get("tool_choice", "auto"),
                "parallel_tool_calls": True, "metadata": {}, "temperature": 1.0, "top_p": 1.0,
                "text": body.get("text", {"format": {"type": "text"}}), "usage": usage}

    def usage(self):
        return {"input_tokens": INPUT, "input_tokens_details": {"cached_tokens": CACHED},
                "output_tokens": OUTPUT, "output_tokens_details": {"reasoning_tokens": THOUGHT},
                "total_tokens": INPUT + OUTPUT}

    def whole(self, parts, finish):
        self.output = [self.item(number, part, "".join(part[-1]), "completed")
                       for number, part in enumerate(parts)]
        return {**self.ended(finish), "x_unknown": {"kept": [1]}}

    def ended(self, finish):
        return self.response("incomplete" if finish == "length" else "completed", self.output,
                             self.usage())

    async def named(self, kind, **more):
        self.sequence += 1
        await self.event({"type": kind, "sequence_number": self.sequence, **more}, kind)

    async def start(self):
        self.sequence, self.output = -1, []
        await super().start()
        await self.named("response.created", response=self.response("in_progress", []))
        await self.named("response.in_progress", response=self.response("in_progress", []))

    def place(self, **more):
        return {"item_id": self.item(self.number, self.part, "", "")["id"],
                "output_index": self.number, **more}

    async def open(self, part):
        await super().open(part)
        await self.named("response.output_item.added", output_index=self.number,
                         item=self.item(self.number, part, "", "in_progress"))
        if part[0] == "text":
            await self.named("response.content_part.added", **self.place(content_index=0),
                             part=self.content(""))
        elif part[0] == "think":
            await self.named("response.reasoning_summary_part.added", **self.place(
                summary_index=0), part={"type": "summary_text", "text": ""})

    def kind(self):
        return {"text": ("response.output_text", {"content_index": 0, "logprobs": []}, "text"),
                "think": ("response.reasoning_summary_text", {"summary_index": 0}, "text"),
                "tool": ("response.function_call_arguments", {}, "arguments")}[self.part[0]]

    async def piece(self, text):
        self.said += text
        name, more, _ = self.kind()
        await self.named(f"{name}.delta", **self.place(**more), delta=text)

    async def close(self):
        name, more, field = self.kind()
        await self.named(f"{name}.done", **self.place(**more), **{field: self.said})
        if self.part[0] == "text":
            await self.named("response.content_part.done", **self.place(content_index=0),
                             part=self.content(self.said))
        elif self.part[0] == "think":
            await self.named("response.reasoning_summary_part.done", **self.place(
                summary_index=0), part={"type": "summary_text", "text": self.said})
        item = self.item(self.number, self.part, self.said, "completed")
        self.output.append(item)
        await self.named("response.output_item.done", output_index=self.number, item=item)

    async def finish(self, finish):
        await self.named(f"response.{'incomplete' if finish == 'length' else 'completed'}",
                         response=self.ended(finish))

    async def error(self, status, message, headers=(), code=None, **_):
        await self.call.error(status, message, code=code, headers=headers)

    async def frame(self, message):
        failed = {**self.response("failed", []),
                  "error": {"code": "server_error", "message": message}}
        await self.named("response.failed", response=failed)


def wire_for(path):
    """The class that speaks what is asked for at this path; None: chat completions and the rest."""
    if path.startswith("/v1/messages"):
        return Messages
    if path.startswith(("/v1beta/models/", "/v1/models/")) and ":" in path.rpartition("/")[2]:
        return Gemini
    return Responses if path == "/v1/responses" else None
