"""What providers do not have, with where that is said. A cell of the matrix may be refused, or lose a
hint, for a reason of this table only; and each row has to be true: what works in spite of it fails.

REFUSED: the request is a 400 that names the client's field, and the provider never sees it.
DROPPED: the hint is left out, and named in x-weir-dropped.
SILENT: the provider's answers never say it, so that clients are not told either.
IGNORED: the provider takes it, and does nothing with it.
MOVED: it is said in another place, and nothing of it is lost.
THERE: the provider itself refuses it, since OpenAI's clients are passed through to it as they are.
Keys: (wire, what a feature needs), or (dialect, wire, need); values: (why, source).
"""

CHAT = ("OpenAI's API description 2.3.0", ("openai", "azure", "azure-classic"))
RESPONSES = ("OpenAI's API description 2.3.0", ("responses",))
MESSAGES = ("@anthropic-ai/sdk 1.11.0, MessageCreateParams", ("anthropic", "vertex-claude"))
GEMINI = ("@google/genai 3.1.0, GenerateContentParameters", ("gemini", "vertex"))
BEDROCK = ("botocore, bedrock-runtime 2023-09-30, ConverseRequest", ("bedrock",))
COHERE = ("cohere 5.x (Python SDK), v2 chat", ("cohere",))
TGI = ("text-generation-inference, router/src/lib.rs, ChatRequest", ("tgi",))


def rows(*of):
    """{(wire, need): (why, source)} of ((source, wires), {need: why}) rows."""
    return {(wire, need): (why, source) for (source, wires), needs in of for wire in wires
            for need, why in needs.items()}


REFUSED = rows(
    (CHAT, {"citations": "no citations of documents"}),
    (RESPONSES, {"n": "one answer for each request", "stop": "no stop sequences",
                 "penalties": "no penalties", "citations": "no citations of documents"}),
    (MESSAGES, {"n": "one answer for each request", "logprobs": "no log probabilities",
                "penalties": "no penalties", "custom": "tools take JSON objects only",
                "format object": "output_config.format takes a schema"}),
    (GEMINI, {"citations": "no citations of documents",
              "custom": "functions take JSON objects only"}),
    (BEDROCK, {"n": "one answer for each request", "logprobs": "no log probabilities",
               "penalties": "no penalties", "image url": "images are bytes or in S3",
               "format object": "outputConfig.textFormat takes a schema",
               "custom": "tools take JSON objects only"}),
    (COHERE, {"n": "one answer for each request", "document": "documents are texts",
              "custom": "functions take JSON objects only"}),
    (TGI, {"citations": "no citations of documents"}),
)
CLIENTS = ("openai", "responses", "anthropic", "google")
THERE = {("openai", "tgi", "custom"): ("functions only", TGI[0])} | {
    (dialect, "tgi", need): (why, TGI[0]) for dialect in CLIENTS for need, why in (
        ("document", "images are the only media"),
        ("format schema", "a response_format of its own, which Weir does not write"),
        ("format object", "a response_format of its own, which Weir does not write"))}
REFUSED[("responses", "tgi", "custom")] = ("functions only", TGI[0])
DROPPED = rows(
    (CHAT, {"part cache": "what is cached is the provider's choice"}),
    (RESPONSES, {"seed": "no seed", "part cache": "what is cached is the provider's choice"}),
    (MESSAGES, {"seed": "no seed", "cache_key": "the cache has markers, no keys"}),
    (GEMINI, {"parallel": "no switch for parallel calls", "user": "no name of an end user",
              "cache_key": "caches are objects of their own",
              "part cache": "caches are objects of their own"}),
    (BEDROCK, {"seed": "no seed", "cache_key": "the cache has markers, no keys",
               "user": "no name of an end user"}),
    (COHERE, {"parallel": "no switch for parallel calls", "user": "no name of an end user",
              "cache_key": "no cache to steer",
              "part cache": "no cache to steer"}),
)
SILENT = rows(
    (CHAT, {"reasoning": "reasoning is not shown", "signature": "reasoning is not shown"}),
    (GEMINI, {"refusal": "a reason, but no text", "limits": "not said"}),
    (BEDROCK, {"refusal": "a reason, but no text", "limits": "not said"}),
    (COHERE, {"limits": "not said in these terms", "filter": "no such reason to finish",
              "signature": "reasoning is not signed"}),
    (TGI, {"limits": "there are none", "filter": "no such reason to finish",
           "reasoning": "reasoning is not told apart",
           "signature": "reasoning is not told apart"}),
)
IGNORED = {("openai", "tgi", need): ("unknown members are skipped", TGI[0])
           for need in ("effort", "cache_key", "parallel", "user", "tier")}
DROPPED |= {(dialect, "tgi", need): ("no such member", TGI[0])
            for dialect in CLIENTS[1:]
            for need in ("effort", "cache_key", "tier", "part cache")}
MOVED = rows(
    (MESSAGES, {"system middle": "a user's text, for models that take no system between turns"}),
    (GEMINI, {"system middle": "one system instruction for the whole chat"}),
    (BEDROCK, {"system middle": "a user's text: roles are user and assistant"}),
)
