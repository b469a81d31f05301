"""The gateways of the SDK tests: Weir with a configuration, between the SDKs and the mock."""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "scenario"))

from harness.journal import Journal  # noqa: E402
from harness.weir import PortTaken, Weir  # noqa: E402

UPSTREAM_KEY = "sk-of-the-upstream"
CLIENT_KEY = "wk-sdk-0123456789abcdef"

# Keys, several providers: what a team runs. `brief` is the same upstream with short limits.
TEAM = """
listen: 127.0.0.1:{weir}
auth: keys
keys: {{sdk: {{secret: {client_key}}}}}
data: {folder}/data
log: {{access: stdout}}
providers:
  up: {{type: openai, url: "http://127.0.0.1:{mock}/v1", api_key: {upstream_key},
       models: [shared, gpt-4o-mini]}}
  other: {{type: openai, url: "http://127.0.0.1:{mock}/v1", api_key: {upstream_key},
          models: [shared, gpt-4o]}}
  brief:
    type: openai
    url: "http://127.0.0.1:{mock}/v1"
    api_key: {upstream_key}
    models: [brief]
    timeouts: {{head: 300ms, first_token: 400ms, between_tokens: 300ms}}
models:
  chat:
    targets: [up/plain]
passthrough:
  - {{path: /v1/moderations, to: up}}
  - {{path: /v1/files, to: up}}
"""

# One provider, no keys: what a developer runs. It lets the count of retries through to the
# upstream, and shows its head early.
SOLO = """
listen: 127.0.0.1:{weir}
data: {folder}/data
log: {{access: stdout}}
forward: {{request: [x-stainless-retry-count]}}
server: {{commit_hold: 200ms}}
providers:
  openai: {{type: openai, url: "http://127.0.0.1:{mock}/v1", api_key: {upstream_key}}}
"""


async def start(binary, folder, text, mock_port, slack=1.0):
    """A running Weir with the configuration `text`; another port if the first one was lost."""
    folder.mkdir(parents=True)
    weir = Weir(binary, folder, Journal(slack))
    for attempt in range(3):
        weir.choose_ports()
        weir.config.write_text(
            text.format(weir=weir.ports["weir"], folder=folder, mock=mock_port,
                        client_key=CLIENT_KEY, upstream_key=UPSTREAM_KEY), "utf-8")
        try:
            await weir.start()
            return weir
        except PortTaken:
            if attempt == 2:
                raise
    return None
