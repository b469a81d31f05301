#!/usr/bin/env python3
"""Coding agents, as published, against a running gateway: one whole turn each, with a tool.

  run.py --weir build/dev/src/cli/weir
  run.py --weir weir --only 'codex|claude.*gemini' -v
  run.py --install                                       only fetch the agents

Claude Code speaks Anthropic's Messages and Codex OpenAI's Responses; each is tried on every wire
behind Weir. The upstream asks for a command that reads a file, and repeats what the file says, so
the agent's last word proves the whole way there and back, twice. See README.md.
"""

import argparse
import asyncio
import collections
import functools
import json
import os
import pathlib
import re
import secrets
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

import mock  # noqa: E402 - finds the modules of tests/sdk
import gateways  # noqa: E402
import installed  # noqa: E402
from behaviours import BEHAVIOURS  # noqa: E402
from upstream import Upstream  # noqa: E402

LIMIT = 90.0
WIRES = {"chat": "compatible", "responses": "responses", "anthropic": "anthropic",
         "gemini": "gemini"}
CONFIG = """
listen: 127.0.0.1:{weir}
auth: keys
keys: {{agents: {{secret: {client_key}}}}}
data: {folder}/data
log: {{access: stdout}}
providers:{wires}
models:
""" + "".join(f"  on-{wire}: {{{{targets: [{provider}/agent]}}}}\n"
              for wire, provider in WIRES.items())
PROMPT = f"What does {mock.FILE} say?"


def arguments():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weir", type=pathlib.Path, help="the gateway's binary")
    parser.add_argument("--only", default="", metavar="RE", help="only cases that match")
    parser.add_argument("--slack", type=float, default=1.0, metavar="F",
                        help="multiply time limits, for slow builds")
    parser.add_argument("--install", action="store_true", help="install the agents, run nothing")
    parser.add_argument("-v", "--verbose", action="store_true", help="all that an agent said")
    args = parser.parse_args()
    if not args.install and (not args.weir or not os.access(args.weir, os.X_OK)):
        parser.error("--weir must name an executable")
    return args


def surroundings(folder):
    """The whole environment of an agent: nothing of the caller's, and no way but to Weir."""
    return {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": str(folder), "LANG": "C.UTF-8",
            "HTTPS_PROXY": "http://127.0.0.1:9", "NO_PROXY": "127.0.0.1"}


def claude(packages, folder, address, model):
    """Claude Code: (command, environment)."""
    [program] = (packages / "node_modules" / "@anthropic-ai").glob("claude-code-linux-*/claude")
    command = [program, "-p", PROMPT, "--output-format", "json",
               "--allowedTools", f"Bash({mock.ASK})"]
    return command, {
        "ANTHROPIC_BASE_URL": address, "ANTHROPIC_AUTH_TOKEN": gateways.CLIENT_KEY,
        "ANTHROPIC_MODEL": model, "ANTHROPIC_DEFAULT_HAIKU_MODEL": model,
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1", "DISABLE_AUTOUPDATER": "1"}


CODEX = """
model = "{model}"
model_provider = "weir"
{more}
[model_providers.weir]
name = "weir"
base_url = "{address}/v1"
env_key = "WEIR_KEY"
wire_api = "responses"
"""
# Without the tools that only OpenAI runs: web search, and other agents in a namespace of their own.
FUNCTIONS_ONLY = """
web_search = "disabled"
[agents]
enabled = false
"""


def codex(packages, folder, address, model, more=""):
    """Codex: (command, environment), with its configuration written."""
    home = folder / "codex"
    home.mkdir()
    (home / "config.toml").write_text(CODEX.format(model=model, address=address, more=more), "utf-8")
    program = packages / "node_modules" / "@openai" / "codex" / "bin" / "codex.js"
    # The commands are the mock's own and run in a folder of the test's.
    command = [installed.node(), program, "exec", "--skip-git-repo-check",
               "--sandbox", "danger-full-access", PROMPT]
    return command, {"CODEX_HOME": str(home), "WEIR_KEY": gateways.CLIENT_KEY}


AGENTS = {"claude-code": claude, "codex": codex,
          "codex-with-functions": functools.partial(codex, more=FUNCTIONS_ONLY)}


async def spoken(command, env, folder, limit):
    """(exit status, standard output, standard error); what does not end is killed."""
    process = await asyncio.create_subprocess_exec(
        *map(str, command), cwd=folder, env=env, stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, start_new_session=True)
    try:
        out, err = await asyncio.wait_for(process.communicate(), limit)
    except TimeoutError:
        os.killpg(process.pid, 9)
        await process.wait()
        return None, "", f"no end within {limit:.0f} s"
    return process.returncode, out.decode("utf-8", "replace"), err.decode("utf-8", "replace")


def problems_of(name, status, out, said, requests):
    """What is wrong with an agent's turn; `said` is what the file says."""
    if status != 0:
        yield f"exit status {status}"
    told = json.loads(out).get("result", "") if name == "claude-code" and out else out
    if said not in told.partition("The file says:")[2]:
        yield f"it did not say what the file says: {told[-300:]!r}"
    if not [r for r in requests if r["done"] and (r["body"] is None or said in str(r["body"]))]:
        yield "the file's text never reached the upstream"


async def turn(args, packages, folder, upstream, address, name, wire):
    """One agent on one wire: its problems, and all that it said."""
    folder.mkdir()
    said = f"weir-{secrets.token_hex(8)}"
    (folder / mock.FILE).write_text(f"{said}\n", "utf-8")
    before = len(upstream.records)
    command, env = AGENTS[name](packages, folder, address, f"on-{wire}")
    status, out, err = await spoken(command, {**surroundings(folder), **env}, folder,
                                    LIMIT * args.slack)
    requests = upstream.records[before:]
    return list(problems_of(name, status, out, said, requests)), f"{out}\n{err}", len(requests)


async def play(args, packages, folder):
    """How many turns there were: {True: passed, False: failed}"""
    counts, upstream = collections.Counter(), Upstream(gateways.UPSTREAM_KEY, BEHAVIOURS)
    await upstream.start(gateways.certificate(folder))
    weir = await gateways.start(args.weir.absolute(), folder / "weir", CONFIG, upstream.port,
                                args.slack, drop="[hosted_tools]")
    address = f"http://127.0.0.1:{weir.ports['weir']}"
    try:
        for case in (f"{name} on {wire}" for name in AGENTS for wire in WIRES):
            if not re.search(args.only, case):
                continue
            name, _, wire = case.split()
            began = time.monotonic()
            problems, talk, requests = await turn(
                args, packages, folder / case.replace(" ", "-"), upstream, address, name, wire)
            counts[not problems] += 1
            report(args, case, time.monotonic() - began, problems, talk, requests)
        ending = [*sorted(set(upstream.complaints))[:10], *await weir.finish()]
        if ending:
            counts[False] += 1
            report(args, "the run", 0.0, ending, weir.stderr()[-2000:], len(upstream.records))
    finally:
        await weir.kill()
        await upstream.stop()
    return counts


def report(args, case, seconds, problems, talk, requests):
    print(f"{'FAIL' if problems else 'ok  '} {seconds:6.2f} s  {case:<32} {requests} requests",
          flush=True)
    for line in problems:
        print(f"       {line}", flush=True)
    if problems or args.verbose:
        print("       | " + "\n       | ".join(talk.strip().splitlines()[-40:]), flush=True)


def main():
    args = arguments()
    try:
        packages = installed.node_packages(HERE, "agents", "the agents")
    except installed.Missing as missing:
        print(f"FAIL {missing}")
        return 2
    if args.install:
        return 0
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="weir-agents-") as folder:
        counts = asyncio.run(play(args, packages, pathlib.Path(folder)))
    print(f"{counts[True]} passed, {counts[False]} failed, {time.monotonic() - began:.1f} s")
    return 1 if counts[False] or not counts[True] else 0


if __name__ == "__main__":
    sys.exit(main())
