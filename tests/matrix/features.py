"""What chats are made of, one row for each: what a client asks, what the model answers, and what has to
come out at either end. See canon.py for the form of requests and answers."""

import base64
import dataclasses

PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(range(48))).decode()
PDF = base64.b64encode(b"%PDF-1.7\n" + bytes(range(200))).decode()
SAID = "Grüße aus \"Oslo\":\n5 °C, 東京 18 °C \U0001f600, path C:\\temp."
USAGE = {"input": 100, "cached": 0, "written": 0, "output": 20, "reasoning": 0}
CITY = {"type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
        "required": ["city"], "additionalProperties": False}
WEATHER = {"name": "get_weather", "description": "The weather of a city", "schema": CITY}
CLOCK = {"name": "get_time", "description": "The time in a zone", "schema": {
    "type": "object", "properties": {"zone": {"type": "string"}}, "required": ["zone"]}}
PERSON = {"type": "object", "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
          "required": ["name", "age"], "additionalProperties": False}
OSLO = {"call": {"id": "call_oslo1", "name": "get_weather", "arguments": {"city": "Oslo", "days": 3}}}
ROMA = {"call": {"id": "call_roma2", "name": "get_weather", "arguments": {"city": "Roma \"R\" ü"}}}
LONG = {"call": {"id": "call_long3", "name": "get_weather", "arguments": {
    "city": "東京 \U0001f600 \"x\" \\ / \n" * 40, "days": 7}}}


def text(role, *texts):
    return {"role": role, "parts": [{"text": said} for said in texts]}


def user(*parts):
    return {"role": "user", "parts": list(parts)}


def assistant(*parts):
    return {"role": "assistant", "parts": list(parts)}


def result(call, said, error=False):
    return {"result": {"id": call["call"]["id"], "name": call["call"]["name"], "text": said,
                       "error": error}}


def asking(*messages, **more):
    return {"messages": list(messages) or [text("user", "Hello")], "max_tokens": 300, **more}


def answering(*parts, finish="stop", usage=None, **more):
    return {"choices": [{"parts": list(parts), "finish": finish, **more}], "usage": usage or USAGE}


@dataclasses.dataclass
class Feature:
    """`needs`: what a client's format must have a word for (CLIENT_LACKS) and what a provider may lack
    (lacks.py). `kind`: "chat"; "error" with `status`; "break": the answer makes no sense or ends
    early, in the way `name` says. `again`: the answer is sent back with a further question."""
    name: str
    about: str
    request: dict
    answer: dict
    needs: tuple = ()
    kind: str = "chat"
    status: int = 200
    modes: tuple = ("json", "stream")
    thinks: bool = False
    again: bool = False
    said: tuple = ()  # texts that must reach the client in whatever place


ANSWER = answering({"text": SAID})
THOUGHT = {"reasoning": "First \"think\",\nthen answer: 東京."}


def chats():
    yield Feature("text", "text with escapes and code points of any length",
                  asking(text("user", SAID)), ANSWER)
    yield Feature("turns", "several turns", asking(
        text("system", "Be brief."), text("user", "Hi"), text("assistant", "Hello!"),
        text("user", "And now?")), ANSWER)
    yield Feature("system-middle", "the system speaks in the middle", asking(
        text("system", "Be brief."), text("user", "Hi"), text("assistant", "Hello!"),
        text("user", "Go on."), text("system", "Answer in French."), text("user", "And now?")), ANSWER,
        needs=("system middle",))
    yield Feature("image", "an image, inline",
                  asking(user({"text": "What is it?"}, {"image": {"mime": "image/png", "data": PNG}})),
                  ANSWER, needs=("image",))
    yield Feature("image-url", "an image at an address",
                  asking(user({"text": "What is it?"}, {"image_url": "https://example.com/a.png"})),
                  ANSWER, needs=("image url",))
    yield Feature("document", "a PDF, inline", asking(user(
        {"document": {"mime": "application/pdf", "data": PDF, "name": "guide.pdf"}},
        {"text": "Summarise."})), ANSWER, needs=("document",))
    yield Feature("length", "the answer reaches its bound", asking(max_tokens=20),
                  answering({"text": "It was a dark and"}, finish="length"))
    yield Feature("temperature", "a temperature", asking(temperature=0.5), ANSWER,
                  needs=("temperature",))
    yield Feature("top-p", "nucleus sampling (top_p)", asking(top_p=0.9), ANSWER, needs=("top_p",))
    yield Feature("penalties", "frequency and presence penalty", asking(
        frequency_penalty=0.5, presence_penalty=0.25), ANSWER, needs=("penalties",))
    yield Feature("stop", "stop sequences", asking(stop=["END", "###"]),
                  answering({"text": "one two "}, finish="sequence", sequence="END"), needs=("stop",))
    yield Feature("n", "two choices", asking(n=2), {
        "choices": [{"parts": [{"text": "one " + SAID}], "finish": "stop"},
                    {"parts": [{"text": "two"}], "finish": "stop"}], "usage": USAGE}, needs=("n",))
    yield Feature("logprobs", "log probabilities", asking(logprobs=True), answering(
        {"text": "Hi \u00fc!"}, logprobs=[["Hi", -0.125], [" \u00fc", -1.5], ["!", -0.25]]),
        needs=("logprobs",))
    yield Feature("seed", "a seed", asking(seed=42), ANSWER, needs=("seed",))
    yield Feature("user", "the end user's name", asking(user="user-1"), ANSWER, needs=("user",))
    yield Feature("tier", "a service tier", asking(tier="default"), ANSWER, needs=("tier",))
    yield Feature("cache-key", "a key for the prompt cache", asking(cache_key="k-1"), ANSWER,
                  needs=("cache_key",))
    yield Feature("cache-marker", "markers of what is to be cached", asking(
        {"role": "system", "parts": [{"text": "A long text.", "cache": True}]},
        user({"text": "Another.", "cache": True}, {"text": "Hi"})), ANSWER, needs=("part cache",))
    yield Feature("usage", "tokens cached, written and spent on reasoning", asking(), answering(
        {"text": SAID}, usage={"input": 100, "cached": 30, "written": 20, "output": 50,
                               "reasoning": 15}))


    yield Feature("request-id", "the provider's id of the request", asking(), ANSWER)
    yield Feature("limits", "what is left of the provider's limits", asking(), ANSWER,
                  needs=("limits",))


def tools():
    yield Feature("tool", "a call of a tool, its arguments in pieces",
                  asking(tools=[WEATHER, CLOCK]), answering(OSLO, finish="tools"), needs=("tools",))
    yield Feature("tools-parallel", "two calls at once, behind a text", asking(tools=[WEATHER, CLOCK]),
                  answering({"text": "Let me look."}, OSLO, ROMA, finish="tools"), needs=("tools",))
    yield Feature("tool-long", "long arguments with escapes", asking(tools=[WEATHER]),
                  answering(LONG, finish="tools"), needs=("tools",))
    yield Feature("tool-results", "the results of two calls", asking(
        text("user", "Weather in Oslo and Roma?"), assistant({"text": "Let me look."}, OSLO, ROMA),
        user(result(OSLO, "5 °C"), result(ROMA, "19 °C \"sunny\"")), tools=[WEATHER, CLOCK]), ANSWER,
        needs=("tools",))
    yield Feature("tool-failed", "a result that is an error", asking(
        text("user", "Weather?"), assistant(OSLO), user(result(OSLO, "no such city", True)),
        tools=[WEATHER]), ANSWER, needs=("tools", "result error"))
    yield Feature("tool-forced", "one tool has to be called",
                  asking(tools=[WEATHER, CLOCK], choice={"name": "get_weather"}),
                  answering(OSLO, finish="tools"), needs=("tools", "choice named"))
    yield Feature("tool-required", "some tool has to be called",
                  asking(tools=[WEATHER, CLOCK], choice="required"),
                  answering(OSLO, finish="tools"), needs=("tools", "choice required"))
    yield Feature("tool-none", "no tool may be called", asking(tools=[WEATHER], choice="none"), ANSWER,
                  needs=("tools", "choice none"))
    yield Feature("tool-single", "only one call at a time",
                  asking(tools=[WEATHER], choice="auto", parallel=False),
                  answering(OSLO, finish="tools"), needs=("tools", "parallel"))
    yield Feature("tool-custom", "a tool whose input is free text", asking(
        tools=[{"name": "patch", "description": "Applies a patch", "custom": True}]),
        answering({"custom": {"id": "call_p4", "name": "patch", "input": "*** Begin\n+ \"ü\"\n"}},
                  finish="tools"), needs=("custom",))
    yield Feature("schema", "an answer by a JSON schema",
                  asking(format={"kind": "schema", "schema": PERSON}),
                  answering({"text": '{"name":"Bo \\"B\\"","age":7}'}), needs=("format schema",))
    yield Feature("json", "an answer that is a JSON object", asking(
        text("user", "Answer in JSON."), format={"kind": "object"}),
        answering({"text": '{"a":1}'}), needs=("format object",))


def reasoning():
    yield Feature("effort", "how hard to think", asking(effort="high"), ANSWER, needs=("effort",),
                  thinks=True)
    yield Feature("reasoning", "the reasoning is shown", asking(effort="high"),
                  answering(THOUGHT, {"text": SAID}, usage={**USAGE, "reasoning": 15}),
                  needs=("effort", "reasoning"), thinks=True)
    yield Feature("signature", "signed reasoning comes back as it was minted", asking(
        effort="high", tools=[WEATHER]), answering(THOUGHT, OSLO, finish="tools"),
        needs=("effort", "reasoning", "signature", "tools"), thinks=True, again=True)
    yield Feature("citations", "an answer with citations", asking(user(
        {"document": {"mime": "application/pdf", "data": PDF, "name": "guide.pdf",
                      "citations": True}}, {"text": "Cite."})),
        answering({"text": "It is 5 °C.", "citations": [{"cited": "5 degrees"}]}),
        needs=("document", "citations"))
    yield Feature("refusal", "the model's answer is blocked", asking(),
                  answering({"text": "I "}, finish="filter"), needs=("filter",))
    yield Feature("refusal-text", "the model says why it refuses", asking(),
                  answering({"refusal": "That would be harmful."}, finish="filter"),
                  needs=("filter", "refusal"), said=("That would be harmful.",))


def failures():
    for status, about in ((400, "the provider finds the request wrong"),
                          (401, "the provider refuses Weir's key"),
                          (404, "the provider does not know the model"),
                          (429, "the provider limits the rate"), (500, "the provider fails"),
                          (503, "the provider is overloaded (503 or 529)")):
        yield Feature(f"error-{status}", about, asking(), ANSWER, kind="error", status=status)
    yield Feature("error-first", "the first event is an error", asking(), ANSWER, kind="break",
                  modes=("stream",))
    yield Feature("error-middle", "an error after content", asking(), ANSWER, kind="break",
                  modes=("stream",))
    yield Feature("cut", "the stream ends early", asking(), ANSWER, kind="break", modes=("stream",))
    yield Feature("truncated", "the JSON is cut off", asking(), ANSWER, kind="break", modes=("json",))
    yield Feature("html", "a page of HTML with status 200", asking(), ANSWER, kind="break")


FEATURES = {feature.name: feature for group in (chats, tools, reasoning, failures)
            for feature in group()}
