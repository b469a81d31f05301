"""The wires: each a provider's address, credential, framing and format, and how Weir is told of it."""

import dataclasses
import re
import types

from formats import anthropic, cohere, converse, google, openai, responses

KEY = "sk-of-the-provider"


def sse(name, data):
    return (f"event: {name}\n" if name else "").encode() + f"data: {data}\n\n".encode()


def crlf(name, data):
    """Google's servers end lines with CRLF."""
    return f"data: {data}\r\n\r\n".encode()


@dataclasses.dataclass
class Wire:
    """`url`: what stands in Weir's configuration behind the mock's address of this wire. `other`: the
    format of requests on a further path, for clients that speak it."""
    format: types.ModuleType
    type: str
    url: str
    path: str
    auth: tuple               # header, what it has to match
    model: str                # what models are called there
    thinker: str              # the same of models that reason
    frame: object = sse
    stream_type: str = "text/event-stream"
    more: str = ""            # further keys of the provider's configuration
    usage: tuple = ("cached", "written", "reasoning")  # what it says beside input and output
    sequences: str = ""       # an end at a stop sequence is "told" apart, or even "named"
    plans: bool = False       # what it says before calls is how it came to them: reasoning
    retry_after: bool = True  # a 429 says when to come back
    credential: bool = True   # the key stands in the configuration
    other: tuple = (None, None)

    def format_at(self, target):
        path, other = self.other
        return other if path and re.fullmatch(path, target) else self.format


BEARER = ("authorization", f"Bearer {KEY}")
# Who Weir is at Google; the mock gives out the token.
USER = """, project: p1, location: europe-west4, credentials: '{"type": "authorized_user", "client_id": \
"c", "client_secret": "s", "refresh_token": "r", "token_uri": "MOCK/oauth/token"}'"""
VERTEX = "/v1/projects/p1/locations/europe-west4/publishers/"
GPT = {"model": "gpt-4o", "thinker": "gpt-5.6"}
CLAUDE = {"model": "claude-sonnet-4-5", "thinker": "claude-opus-4-8", "sequences": "named"}
GEMINI = {"model": "gemini-2.5-flash", "thinker": "gemini-3-pro", "frame": crlf,
          "usage": ("cached", "reasoning")}
METHOD = r"models/(?P<model>[^:/]+):\w+(\?alt=sse)?"
WIRES = {
    "openai": Wire(openai, "openai", "/v1", r"/v1/(chat/completions|responses)", BEARER, **GPT,
                   other=(r"/v1/responses", responses)),
    "responses": Wire(responses, "openai-responses", "/v1", r"/v1/responses", BEARER, **GPT),
    "azure": Wire(openai, "azure", "/openai/v1", r"/openai/v1/(chat/completions|responses)",
                  ("api-key", KEY), **GPT, other=(r"/openai/v1/responses", responses)),
    "azure-classic": Wire(
        openai, "azure", "/openai/deployments",
        r"/openai/deployments/(?P<model>[^/]+)/chat/completions\?api-version=2024-10-21",
        ("api-key", KEY), **GPT, more=", surface: classic"),
    "anthropic": Wire(anthropic, "anthropic", "/v1", r"/v1/messages", ("x-api-key", KEY), **CLAUDE),
    "vertex-claude": Wire(
        anthropic, "vertex", VERTEX + "anthropic",
        VERTEX + r"anthropic/models/(?P<model>[^:/]+):(rawPredict|streamRawPredict)", BEARER, **CLAUDE,
        more=", publisher: anthropic" + USER, credential=False),
    "gemini": Wire(google, "gemini", "/v1beta", r"/v1(beta)?/" + METHOD, ("x-goog-api-key", KEY),
                   **GEMINI),
    "vertex": Wire(google, "vertex", VERTEX + "google", VERTEX + "google/" + METHOD, BEARER, **GEMINI,
                   more=USER, credential=False),
    "bedrock": Wire(converse, "bedrock", "", r"/model/(?P<model>[^/]+)/converse(-stream)?",
                    ("authorization", rf"Bearer {KEY}|AWS4-HMAC-SHA256 Credential={KEY}/.*"),
                    "anthropic.claude-sonnet-4-5-v1:0",
                    "anthropic.claude-opus-4-8-v1:0", converse.frame,
                    "application/vnd.amazon.eventstream", ", region: eu-central-1",
                    usage=("cached", "written"), sequences="told", retry_after=False),
    "cohere": Wire(cohere, "cohere", "/v2", r"/v2/chat", BEARER, "command-a-03-2025",
                   "command-a-reasoning-08-2025", usage=("cached",), sequences="told",
                   plans=True, retry_after=False),
    "tgi": Wire(openai, "tgi", "/v1", r"/v1/chat/completions", BEARER, "tgi", "tgi", usage=(),
                retry_after=False),
}
