"""The gateways of the SDK tests: Weir between the SDKs and the mock, with a file and without one."""

import pathlib
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "scenario"))

from harness.journal import Journal  # noqa: E402
from harness.weir import PortTaken, Weir  # noqa: E402
from upstream import HOSTED  # noqa: E402

UPSTREAM_KEY = "sk-of-the-upstream"
CLIENT_KEY = "wk-sdk-0123456789abcdef"

# Keys, several providers: what a team runs. `brief` is the same upstream with short limits. The
# aliases of RETRIES have three targets that the mock counts as one model. Neither gateway goes round
# its targets again: what the SDKs do by themselves is to be seen.
TEAM = """
listen: 127.0.0.1:{weir}
retry: {{same_target: 0}}
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
{wires}models:
  chat:
    targets: [up/plain]
{retries}passthrough:
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
retry: {{same_target: 0}}
providers:
  openai: {{type: openai, url: "http://127.0.0.1:{mock}/v1", api_key: {upstream_key}}}
"""



# One provider for each wire; `up` is OpenAI itself, which has two. Each tells its models, so that no
# other name may be its.
WIRES = "\n" + "".join(
    f"  {name}: {{{{type: {kind}, url: \"http://127.0.0.1:{{mock}}/{path}\", "
    f"api_key: {{upstream_key}},\n    models: [{name}-model], drop_unsupported: {{drop}}}}}}\n"
    for name, kind, path in (
        ("compatible", "openai-compatible", "v1"), ("responses", "openai-responses", "v1"),
        ("anthropic", "anthropic", "v1"), ("gemini", "gemini", "v1beta")))


def retries(names):
    """What makes Weir try again by itself. Each program has its own: the counts must not mix."""
    return "".join(
        f"  {model}-{sdk}: {{targets: [up/{model}@{sdk}, other/{model}@{sdk}, brief/{model}@{sdk}]}}\n"
        for model in ("flaky", "broken") for sdk in names)


# Takes the command line of harness.weir and leaves out the configuration file.
WITHOUT_FILE = """sh -c 'exec "$0" "$1"'"""


def certificate(folder):
    """(certificate, key) for the hosted provider's name, signed by itself."""
    files = folder / "hosted.pem", folder / "hosted.key"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
         "-nodes", "-days", "30", "-subj", "/CN=mock", "-addext", f"subjectAltName=DNS:{HOSTED}",
         "-out", files[0], "-keyout", files[1]], check=True, capture_output=True)
    return files


async def until_started(weir, prepare):
    """Starts `weir`, again if another process took its port; prepare() is called before each."""
    for attempt in range(3):
        weir.choose_ports()
        prepare()
        try:
            await weir.start()
            return weir
        except PortTaken:
            if attempt == 2:
                raise
    return None


async def start_bare(binary, folder, proxy_port, trusted, slack=1.0):
    """A running Weir without a configuration file: OPENAI_API_KEY in the environment makes it a
    provider, whose address is the real one. A proxy and a certificate lead to the mock instead."""
    folder.mkdir(parents=True)
    weir = Weir(binary, folder, Journal(slack), wrap=WITHOUT_FILE)

    def prepare():
        weir.environment = {
            "OPENAI_API_KEY": UPSTREAM_KEY, "WEIR_LISTEN": f"127.0.0.1:{weir.ports['weir']}",
            "HTTPS_PROXY": f"http://127.0.0.1:{proxy_port}", "SSL_CERT_FILE": str(trusted)}

    return await until_started(weir, prepare)


async def start(binary, folder, text, mock_port, slack=1.0, names=(), drop="[]"):
    """A running Weir with the configuration `text`, for the programs with these names. `drop`: what
    its providers may leave out of requests."""
    keys = {"mock": mock_port, "upstream_key": UPSTREAM_KEY, "drop": drop}
    folder.mkdir(parents=True)
    weir = Weir(binary, folder, Journal(slack))

    def prepare():
        weir.config.write_text(
            text.format(weir=weir.ports["weir"], folder=folder, retries=retries(names),
                        wires=WIRES.format(**keys), client_key=CLIENT_KEY, **keys), "utf-8")

    return await until_started(weir, prepare)
