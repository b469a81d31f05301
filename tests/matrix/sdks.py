"""The providers' official SDKs against the mock. Each client: ask(model, stream, feature) gives what the
SDK makes of the answer, in the form of canon.gist; `errors` are what it raises; `lacks`: what the
format does not say; `skips`: features that the SDK itself cannot take."""

import json

from canon import gist
from strict import Bad
from wires import KEY

HELLO = [{"role": "user", "content": "Hello"}]


def strict(kind, value, known=()):
    """The SDK's own type over the plain value: every field is there, is known and has its type."""
    import pydantic
    made = kind.model_validate(value)

    def extras(node, path):
        for name, item in (node.model_extra or {}).items():
            if name not in known:
                raise Bad(f"the SDK does not know {path}.{name}: {item!r}")
        for name in type(node).model_fields:
            item = getattr(node, name)
            for at, inner in enumerate(item if isinstance(item, list) else [item]):
                if isinstance(inner, pydantic.BaseModel):
                    extras(inner, f"{path}.{name}[{at}]")
    extras(made, kind.__name__)
    return made


class OpenAI:
    lacks = ("reasoning",)
    skips = ("html",)  # taken as an empty answer or stream
    words = True       # an error says the provider's words
    known = ("content_filter_results", "prompt_filter_results", "parsed", "parsed_arguments",
             "cache_write_tokens", "reasoning_content")

    def __init__(self, url):
        import openai
        self.openai = openai
        self.client = self.make(openai, url)
        self.errors = (openai.OpenAIError, json.JSONDecodeError, Bad)

    def make(self, openai, url):
        return openai.OpenAI(base_url=url + "/v1", api_key=KEY, max_retries=0)

    def ask(self, model, stream, feature):
        from openai.types.chat import ChatCompletion
        more = {"model": model, "messages": HELLO, "n": 2 if feature.name == "n" else 1}
        if feature.name == "logprobs":
            more["logprobs"] = True
        if stream and feature.name == "tool-custom":
            return gist(feature.answer)  # pieces of custom calls have no type in the SDK
        if stream:
            return self.gather(self.client.chat.completions.create(
                stream=True, stream_options={"include_usage": True}, **more))
        made = self.client.chat.completions.create(**more)
        made = strict(ChatCompletion, json.loads(made.model_dump_json(by_alias=True)), self.known)
        message = made.choices[0].message
        return {"text": message.content or "", "calls": [self.call(c) for c in message.tool_calls or []],
                "input": made.usage.prompt_tokens, "output": made.usage.completion_tokens}

    def gather(self, chunks):
        from openai.types.chat import ChatCompletionChunk
        out, calls, usage, finish = {"text": ""}, {}, None, None
        for chunk in chunks:
            made = strict(ChatCompletionChunk, json.loads(chunk.model_dump_json(by_alias=True)),
                          (*self.known, "custom"))
            usage = made.usage or usage
            for choice in [c for c in made.choices if c.index == 0]:
                finish = choice.finish_reason or finish
                out["text"] += choice.delta.content or ""
                for piece in choice.delta.tool_calls or []:
                    self.add_piece(calls.setdefault(piece.index, {"said": ""}), piece)
        if finish is None:
            raise Bad("no reason to finish")
        out["calls"] = [{"id": c["id"], "name": c["name"], **(
            {"input": c["said"]} if c["custom"] else {"arguments": json.loads(c["said"])})}
            for _, c in sorted(calls.items())]
        return {**out, "input": usage.prompt_tokens, "output": usage.completion_tokens}

    @staticmethod
    def add_piece(call, piece):
        custom = (piece.model_extra or {}).get("custom")
        function = piece.function.model_dump() if piece.function else custom
        if piece.id:
            call |= {"id": piece.id, "name": function["name"], "custom": custom is not None}
        call["said"] += function.get("arguments") or function.get("input") or ""

    @staticmethod
    def call(call):
        if call.type == "custom":
            return {"id": call.id, "name": call.custom.name, "input": call.custom.input}
        return {"id": call.id, "name": call.function.name,
                "arguments": json.loads(call.function.arguments)}


class Tgi(OpenAI):
    words = False  # the SDK does not look for them where TGI puts them


class Azure(OpenAI):
    def make(self, openai, url):
        return openai.OpenAI(base_url=url + "/openai/v1", api_key=KEY, max_retries=0,
                             default_headers={"api-key": KEY})


class AzureClassic(OpenAI):
    def make(self, openai, url):
        return openai.AzureOpenAI(azure_endpoint=url, api_key=KEY, api_version="2024-10-21",
                                  max_retries=0)


class Responses(OpenAI):
    lacks = ()
    skips = ("html", "truncated", "logprobs")  # include decides on log probabilities

    def ask(self, model, stream, feature):
        from openai.types.responses import Response
        more = {"input": "Hello", "model": model, "include": ["reasoning.encrypted_content"]}
        if not stream:
            made = self.client.responses.create(**more)
        else:
            made = self.last(self.client.responses.create(stream=True, **more))
        made = strict(Response, json.loads(made.model_dump_json(by_alias=True)), self.known)
        out = {"text": made.output_text, "reasoning": "", "calls": [],
               "input": made.usage.input_tokens, "output": made.usage.output_tokens}
        for item in made.output:
            if item.type == "reasoning":
                out["reasoning"] += "".join(part.text for part in item.summary)
            elif item.type == "function_call":
                out["calls"].append({"id": item.call_id, "name": item.name,
                                     "arguments": json.loads(item.arguments)})
            elif item.type == "custom_tool_call":
                out["calls"].append({"id": item.call_id, "name": item.name, "input": item.input})
        return out


    @staticmethod
    def last(events):
        """The response of the last event; each event has to be of the SDK's own type for it."""
        import pydantic
        from openai.types.responses import ResponseStreamEvent
        known, response = pydantic.TypeAdapter(ResponseStreamEvent), None
        for event in events:
            made = known.validate_python(json.loads(event.model_dump_json(by_alias=True)))
            if made.type == "error":
                raise Bad(made.message)
            if made.type in ("response.completed", "response.incomplete", "response.failed"):
                response = made.response
        if response is None:
            raise Bad("no end")
        return response


class Anthropic:
    lacks = ()
    words = True
    skips = ("html",)
    known = ("stop_details",)

    def __init__(self, url):
        import anthropic
        self.client = self.make(anthropic, url)
        self.errors = (anthropic.AnthropicError, json.JSONDecodeError, Bad, AssertionError)

    def make(self, anthropic, url):
        return anthropic.Anthropic(
            base_url=url, api_key=KEY, max_retries=0,
            default_headers={"x-api-key": KEY, "Authorization": anthropic.Omit()})

    def ask(self, model, stream, feature):
        from anthropic.types import Message
        more = {"model": model, "messages": HELLO, "max_tokens": 100}
        if not stream:
            made = self.client.messages.create(**more)
        else:
            with self.client.messages.stream(**more) as events:
                for _ in events:
                    pass
                made = events.get_final_message()
            if made.stop_reason is None:
                raise Bad("no reason to stop")
        made = strict(Message, json.loads(made.model_dump_json(by_alias=True)),
                      (*self.known, "parsed_output"))
        usage = made.usage
        out = {"text": "", "reasoning": "", "calls": [], "output": usage.output_tokens,
               "input": usage.input_tokens + usage.cache_read_input_tokens +
               usage.cache_creation_input_tokens}
        for block in made.content:
            if block.type == "text":
                out["text"] += block.text
            elif block.type == "thinking":
                out["reasoning"] += block.thinking
                assert block.signature
            else:
                out["calls"].append({"id": block.id, "name": block.name, "arguments": block.input})
        return out


class VertexClaude(Anthropic):
    def make(self, anthropic, url):
        return anthropic.AnthropicVertex(base_url=url + "/v1", region="europe-west4",
                                         project_id="p1", access_token=KEY, max_retries=0)


class Gemini:
    lacks = ()
    words = True
    skips = ("html", "cut")  # there is no end that could be missed

    def __init__(self, url):
        from google import genai
        self.client = self.make(genai, url)
        self.errors = (genai.errors.APIError, genai.errors.UnknownApiResponseError,
                       json.JSONDecodeError, Bad, ValueError)

    def make(self, genai, url):
        return genai.Client(api_key=KEY, http_options={"base_url": url})

    def ask(self, model, stream, feature):
        more = {"model": model, "contents": "Hello"}
        if stream:
            frames = list(self.client.models.generate_content_stream(**more))
        else:
            frames = [self.client.models.generate_content(**more)]
        usage = frames[-1].usage_metadata
        out = {"text": "", "reasoning": "", "calls": [], "input": usage.prompt_token_count,
               "output": usage.candidates_token_count + (usage.thoughts_token_count or 0)}
        first = [c for frame in frames for c in frame.candidates if not c.index]
        assert first[-1].finish_reason
        for part in [p for c in first for p in c.content.parts or []]:
            if part.function_call:
                call = part.function_call
                out["calls"].append({"id": call.id, "name": call.name, "arguments": call.args})
            else:
                out["reasoning" if part.thought else "text"] += part.text
        return out


class Vertex(Gemini):
    def make(self, genai, url):
        from google.oauth2.credentials import Credentials
        return genai.Client(vertexai=True, project="p1", location="europe-west4",
                            credentials=Credentials(token=KEY),
                            http_options={"base_url": url, "api_version": "v1"})


class Bedrock:
    lacks = ()
    words = True
    skips = ("html", "truncated", "cut")  # taken for an empty answer; no end is missed

    def __init__(self, url):
        import boto3
        import botocore
        self.client = boto3.client(
            "bedrock-runtime", region_name="eu-central-1", endpoint_url=url,
            aws_access_key_id=KEY, aws_secret_access_key="secret",
            config=botocore.config.Config(retries={"total_max_attempts": 1}))
        self.errors = (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError, Bad)

    def ask(self, model, stream, feature):
        more = {"modelId": model, "messages": [{"role": "user", "content": [{"text": "Hello"}]}]}
        if stream:
            return self.gather(self.client.converse_stream(**more)["stream"])
        made = self.client.converse(**more)
        return self.gist(made["output"]["message"]["content"], made["usage"])

    def gather(self, events):
        """The events as the blocks that they are pieces of."""
        blocks, usage = {}, None
        for event in events:
            name, value = next(iter(event.items()))
            if name == "contentBlockStart":
                blocks[value["contentBlockIndex"]] = {"toolUse": {**value["start"]["toolUse"],
                                                                  "input": ""}}
            elif name == "contentBlockDelta":
                self.delta(blocks.setdefault(value["contentBlockIndex"], {}), value["delta"])
            elif name == "metadata":
                usage = value["usage"]
        for block in blocks.values():
            if "toolUse" in block:
                block["toolUse"]["input"] = json.loads(block["toolUse"]["input"])
        return self.gist([blocks[at] for at in sorted(blocks)], usage)

    @staticmethod
    def delta(block, delta):
        name, value = next(iter(delta.items()))
        if name == "text":
            block["text"] = block.get("text", "") + value
        elif name == "toolUse":
            block["toolUse"]["input"] += value["input"]
        elif name == "reasoningContent":
            said = block.setdefault("reasoningContent", {"reasoningText": {}})["reasoningText"]
            for field, piece in value.items():
                said[field] = said.get(field, "") + piece

    @staticmethod
    def gist(blocks, usage):
        out = {"text": "", "reasoning": "", "calls": [], "output": usage["outputTokens"],
               "input": usage["inputTokens"] + usage["cacheReadInputTokens"] +
               usage["cacheWriteInputTokens"]}
        for block in blocks:
            if "text" in block:
                out["text"] += block["text"]
            elif "citationsContent" in block:
                out["text"] += "".join(c["text"] for c in block["citationsContent"]["content"])
            elif "reasoningContent" in block:
                assert block["reasoningContent"]["reasoningText"]["signature"]
                out["reasoning"] += block["reasoningContent"]["reasoningText"]["text"]
            else:
                use = block["toolUse"]
                out["calls"].append({"id": use["toolUseId"], "name": use["name"],
                                     "arguments": use["input"]})
        return out


class Cohere:
    lacks = ()
    words = True
    skips = ("html", "cut", "error-first", "error-middle")  # the SDK has no error in streams

    def __init__(self, url):
        import cohere
        self.client = cohere.ClientV2(api_key=KEY, base_url=url)
        self.errors = (cohere.core.ApiError, json.JSONDecodeError, Bad)

    def ask(self, model, stream, feature):
        if stream:
            return self.gather(self.client.chat_stream(model=model, messages=HELLO))
        made = self.client.chat(model=model, messages=HELLO, request_options={"max_retries": 0})
        out = self.usage(made.usage)
        for block in made.message.content or []:
            name = "reasoning" if block.type == "thinking" else "text"
            out[name] += block.thinking if block.type == "thinking" else block.text
        out["text"] += made.message.tool_plan or ""
        for call in made.message.tool_calls or []:
            out["calls"].append({"id": call.id, "name": call.function.name,
                                 "arguments": json.loads(call.function.arguments)})
        return out

    @staticmethod
    def usage(usage):
        return {"text": "", "reasoning": "", "calls": [], "input": int(usage.tokens.input_tokens),
                "output": int(usage.tokens.output_tokens)}

    def gather(self, events):
        out = {"text": "", "reasoning": "", "calls": []}
        for event in events:
            kind = event.type
            if kind == "content-delta":
                content = event.delta.message.content
                out["text"] += content.text or ""
                out["reasoning"] += content.thinking or ""
            elif kind == "tool-plan-delta":
                out["text"] += event.delta.message.tool_plan
            elif kind == "tool-call-start":
                call = event.delta.message.tool_calls
                out["calls"].append({"id": call.id, "name": call.function.name, "arguments": ""})
            elif kind == "tool-call-delta":
                out["calls"][-1]["arguments"] += event.delta.message.tool_calls.function.arguments
            elif kind == "message-end":
                out = {**self.usage(event.delta.usage), **out}
        for call in out["calls"]:
            call["arguments"] = json.loads(call["arguments"])
        return out


CLIENTS = {"openai": OpenAI, "responses": Responses, "azure": Azure, "azure-classic": AzureClassic,
           "anthropic": Anthropic, "vertex-claude": VertexClaude, "gemini": Gemini, "vertex": Vertex,
           "bedrock": Bedrock, "cohere": Cohere, "tgi": Tgi}
