#!/usr/bin/env python3
"""Clients of all kinds, as published, against a running gateway.

  run.py --weir build/dev/src/cli/weir                 all, two side by side
  run.py --weir weir --only node --filter 'cut|abort' -v
  run.py --direct --only anthropic                     the mock itself, without Weir
  run.py --install                                     only fetch the clients
The cases are in python/ and node/, the mock upstream in upstream.py. See README.md.
"""

import argparse
import asyncio
import concurrent.futures
import contextlib
import dataclasses
import json
import os
import pathlib
import re
import shutil
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

import gateways  # noqa: E402
import installed  # noqa: E402
from behaviours import BEHAVIOURS  # noqa: E402
from upstream import Upstream  # noqa: E402

LIMIT = 120.0
TAIL = 25
AT_ONCE = 2
ALL_WIRES = ("chat", "anthropic", "gemini", "responses")
# The programs: the client's name, the wire that it speaks, its languages and, for Python, which file
# says what it needs. Each tries all wires behind Weir; without Weir it can only speak its own.
CLIENTS = [
    ("openai", "chat", ("python", "node"), "requirements.txt"),
    ("openai-wires", "chat", ("python", "node"), "requirements.txt"),
    ("responses", "responses", ("python", "node"), "requirements.txt"),
    ("anthropic", "anthropic", ("python", "node"), "requirements.txt"),
    ("anthropic-0", "anthropic", ("node",), ""),
    ("google", "gemini", ("python", "node"), "requirements.txt"),
    ("vercel", "chat", ("node",), ""),
    ("langchain", "chat", ("python", "node"), "requirements.txt"),
    ("llama-index", "chat", ("python",), "llama-index.txt"),
]


def arguments():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weir", type=pathlib.Path, help="the gateway's binary")
    parser.add_argument("--only", default="", metavar="RE",
                        help="only programs that match: python, node, anthropic, openai-python")
    parser.add_argument("--direct", action="store_true",
                        help="point the clients at the mock itself: whose fault is a failure?")
    parser.add_argument("--venv", type=pathlib.Path, metavar="DIR",
                        help="a virtual environment that has the Python clients already")
    parser.add_argument("--node", type=pathlib.Path, metavar="DIR",
                        help="a folder whose node_modules has the Node clients already")
    parser.add_argument("--filter", default="", metavar="RE", help="only cases that match")
    parser.add_argument("--slack", type=float, default=1.0, metavar="F",
                        help="multiply upper time limits, for slow builds")
    parser.add_argument("--install", action="store_true", help="install the clients, run nothing")
    parser.add_argument("-v", "--verbose", action="store_true", help="what failed cases saw, at length")
    args = parser.parse_args()
    if not args.install and not args.direct and (
            not args.weir or not os.access(args.weir, os.X_OK)):
        parser.error("--weir must name an executable")
    return args


@dataclasses.dataclass
class Program:
    """One client in one language: the command that runs its cases."""

    name: str
    wire: str
    command: list


def programs(args):
    """The programs that are wanted; installs what is missing, all at the same time."""
    wanted = [(client, wire, language, needs) for client, wire, languages, needs in CLIENTS
              for language in languages if re.search(args.only, f"{client}-{language}")
              and not (args.direct and client == "openai")]
    kinds = {(language, needs if language == "python" else "") for _, _, language, needs in wanted}
    with concurrent.futures.ThreadPoolExecutor() as pool:
        ready = dict(zip(kinds, pool.map(lambda kind: runner(args, *kind), kinds)))
    found = []
    for client, wire, language, needs in wanted:
        start = ready[language, needs if language == "python" else ""]
        found.append(Program(f"{client}-{language}", wire, [*start, client]))
    return found


def runner(args, language, needs):
    """The command that takes a client's name."""
    if language == "python":
        return [installed.python_sdk(args.venv, needs), "-B", HERE / "python" / "main.py"]
    staged = stage(args.folder / "node", installed.node_sdk(args.node))
    # Node 18 warns of the File that the SDKs need.
    return [installed.node(), "--no-warnings", staged / "main.mjs"]


def stage(folder, packages):
    """The Node programs beside their packages, so that they import as applications do."""
    folder.mkdir()
    for file in (HERE / "node").glob("*.mjs"):
        shutil.copy(file, folder)
    (folder / "node_modules").symlink_to(packages / "node_modules")
    return folder


def address(weir):
    return f"http://127.0.0.1:{weir.ports['weir']}"


def environment(args, mock, gates, program):
    """All that the programs get to know. Nothing of the caller's own keys and proxies gets in."""
    itself = f"http://127.0.0.1:{mock.port}"
    base, key = (itself, gateways.UPSTREAM_KEY) if args.direct else (address(gates["team"]),
                                                                     gateways.CLIENT_KEY)
    more = {"SDK_DIRECT": "1"} if args.direct else {
        "SDK_SOLO": address(gates["solo"]), "SDK_BARE": address(gates["bare"])}
    return {
        "PATH": os.environ.get("PATH", ""), "HOME": str(args.folder), "LANG": "C.UTF-8",
        "OPENAI_BASE_URL": f"{base}/v1", "OPENAI_API_KEY": key,
        "ANTHROPIC_BASE_URL": base, "ANTHROPIC_API_KEY": key,
        "GOOGLE_GEMINI_BASE_URL": base, "GEMINI_API_KEY": key,
        "SDK_NAME": program.name, "SDK_MOCK": itself,
        "SDK_WIRES": program.wire if args.direct else " ".join(ALL_WIRES),
        "SDK_FILTER": args.filter, "SDK_SLACK": str(args.slack), **more,
    }



class Report:
    """Counts and prints outcomes as they come."""

    def __init__(self, verbose):
        self.verbose = verbose
        self.passed = self.failed = 0

    def case(self, sdk, name, seconds, error):
        print(f"{'FAIL' if error else 'ok  '} {seconds:6.2f} s  {sdk:<19} {name}", flush=True)
        if not error:
            self.passed += 1
            return
        self.failed += 1
        lines = error.rstrip().splitlines()
        for line in lines if self.verbose else lines[-6:]:
            print(f"       {line}", flush=True)

    def problem(self, sdk, text):
        self.case(sdk, "the run", 0.0, text)


async def play(report, sdk, command, env):
    """Run one SDK's program: a line of JSON for each case, and one that says how many there were."""
    process = await asyncio.create_subprocess_exec(
        *map(str, command), env=env, stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, limit=1 << 24)
    noise = asyncio.ensure_future(process.stderr.read())
    seen, told = 0, None
    try:
        async for line in process.stdout:
            try:
                row = json.loads(line)
            except ValueError:
                report.problem(sdk, "not a line of the program's own: " + repr(line[:300]))
                continue
            if "sdk" in row:
                print(f"       {row['sdk']}", flush=True)
            elif "cases" in row:
                told = row["cases"]
            else:
                seen += 1
                report.case(sdk, row["case"], row["seconds"], row.get("error"))
        await process.wait()
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    text = (await noise).decode("utf-8", "replace")
    if told is None or told != seen:
        report.problem(sdk, f"the program ended after {seen} of {told} cases\n{text}")
    elif seen == 0:
        report.problem(sdk, "no case matches")
    elif text.strip():
        report.problem(sdk, f"the program said on stderr:\n{text}")


async def start_all(args, mock, hosted):
    """Each gateway, by name, as soon as it serves."""
    binary, folder = args.weir.absolute(), args.folder
    for name, text in (("team", gateways.TEAM), ("solo", gateways.SOLO)):
        yield name, await gateways.start(binary, folder / name, text, mock.port, args.slack,
                                         names=[f"{c[0]}-{l}" for c in CLIENTS for l in c[2]])
    yield "bare", await gateways.start_bare(binary, folder / "bare", mock.proxy_port, hosted[0],
                                            args.slack)


async def play_some(args, report, mock, gates, chosen):
    """Two programs at a time: more would disturb each other's measuring of time."""
    free = asyncio.Semaphore(AT_ONCE)

    async def one(program):
        async with free:
            await asyncio.wait_for(
                play(report, program.name, program.command,
                     environment(args, mock, gates, program)), LIMIT * args.slack)

    for program, end in zip(chosen, await asyncio.gather(*map(one, chosen),
                                                         return_exceptions=True)):
        if isinstance(end, TimeoutError):
            report.problem(program.name, f"no end within {LIMIT * args.slack:.0f} s")
        elif end is not None:
            raise end


async def play_all(args, report, chosen):
    mock = Upstream(gateways.UPSTREAM_KEY, BEHAVIOURS, args.direct)
    gates = {}
    try:
        hosted = gateways.certificate(args.folder)
        await mock.start(hosted)
        if not args.direct:
            async for name, weir in start_all(args, mock, hosted):
                gates[name] = weir
        await play_some(args, report, mock, gates, chosen)
        await finish(report, mock, gates.values())
    finally:
        for weir in gates.values():
            await weir.kill()
        await mock.stop()


async def finish(report, mock, started):
    """What must hold in the end: Weir alive until now, ends cleanly, and sent nothing wrong."""
    for complaint in sorted(set(mock.complaints))[:10]:
        report.problem("weir", complaint)
    for weir in started:
        problems = await weir.finish()
        if problems:
            tail = weir.stderr().splitlines()[-TAIL:]
            report.problem("weir", "\n".join([*tail, *problems]))


def main():
    args = arguments()
    with tempfile.TemporaryDirectory(prefix="weir-sdk-") as folder:
        args.folder = pathlib.Path(folder)
        try:
            chosen = programs(args)
        except installed.Missing as missing:
            print(f"FAIL {missing}")
            return 2
        if args.install:
            return 0
        report, began = Report(args.verbose), time.monotonic()
        asyncio.run(play_all(args, report, chosen))
    print(f"{report.passed} passed, {report.failed} failed, {time.monotonic() - began:.1f} s")
    return 1 if report.failed else 0


if __name__ == "__main__":
    sys.exit(main())
