#!/usr/bin/env python3
"""The official OpenAI SDKs against a running gateway.

  run.py --weir build/dev/src/cli/weir                 both SDKs, side by side
  run.py --weir weir --only node --filter 'cut|abort' -v
  run.py --install                                     only fetch the SDKs
The cases are in python/ and node/, the mock upstream in upstream.py and behaviours.py. See README.md.
"""

import argparse
import asyncio
import contextlib
import json
import os
import pathlib
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


def arguments():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weir", type=pathlib.Path, help="the gateway's binary")
    parser.add_argument("--only", choices=("python", "node"), help="one SDK")
    parser.add_argument("--venv", type=pathlib.Path, metavar="DIR",
                        help="a virtual environment that has the Python SDK already")
    parser.add_argument("--node", type=pathlib.Path, metavar="DIR",
                        help="a folder whose node_modules has the Node SDK already")
    parser.add_argument("--filter", default="", metavar="RE", help="only cases that match")
    parser.add_argument("--slack", type=float, default=1.0, metavar="F",
                        help="multiply upper time limits, for slow builds")
    parser.add_argument("--install", action="store_true", help="install the SDKs, run nothing")
    parser.add_argument("-v", "--verbose", action="store_true", help="what failed cases saw, at length")
    args = parser.parse_args()
    if not args.install and (not args.weir or not os.access(args.weir, os.X_OK)):
        parser.error("--weir must name an executable")
    return args


def commands(args):
    """[(SDK, command that runs its cases, further environment)]; installs what is missing."""
    found = []
    if args.only in (None, "python"):
        found.append(("python", [installed.python_sdk(args.venv), "-B", HERE / "python" / "main.py"], {}))
    if args.only in (None, "node"):
        folder = installed.node_sdk(args.node)
        # Node 18 warns of the File that its SDK needs.
        found.append(("node", [installed.node(), "--no-warnings", HERE / "node" / "main.mjs"],
                      {"SDK_NODE": str(folder)}))
    return found


def address(weir):
    return f"http://127.0.0.1:{weir.ports['weir']}"


def environment(args, mock, gates, more):
    """All that the programs get to know. Nothing of the caller's own keys and proxies gets in."""
    return {
        "PATH": os.environ.get("PATH", ""), "HOME": str(gates["team"].folder), "LANG": "C.UTF-8",
        "OPENAI_BASE_URL": f"{address(gates['team'])}/v1",
        "OPENAI_API_KEY": gateways.CLIENT_KEY,
        "SDK_SOLO": address(gates["solo"]), "SDK_BARE": address(gates["bare"]),
        "SDK_MOCK": f"http://127.0.0.1:{mock.port}",
        "SDK_FILTER": args.filter, "SDK_SLACK": str(args.slack), **more,
    }


class Report:
    """Counts and prints outcomes as they come."""

    def __init__(self, verbose):
        self.verbose = verbose
        self.passed = self.failed = 0

    def case(self, sdk, name, seconds, error):
        print(f"{'FAIL' if error else 'ok  '} {seconds:6.2f} s  {sdk:<6} {name}", flush=True)
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


async def start_all(args, mock, folder):
    """Each gateway, by name, as soon as it serves."""
    binary, hosted = args.weir.absolute(), gateways.certificate(folder)
    await mock.start(hosted)
    for name, text in (("team", gateways.TEAM), ("solo", gateways.SOLO)):
        yield name, await gateways.start(binary, folder / name, text, mock.port, args.slack)
    yield "bare", await gateways.start_bare(binary, folder / "bare", mock.proxy_port, hosted[0],
                                            args.slack)


async def play_all(args, report, programs, folder):
    mock, gates = Upstream(gateways.UPSTREAM_KEY, BEHAVIOURS), {}
    try:
        async for name, weir in start_all(args, mock, folder):
            gates[name] = weir
        runs = [asyncio.ensure_future(
            play(report, sdk, command, environment(args, mock, gates, more)))
            for sdk, command, more in programs]
        _, late = await asyncio.wait(runs, timeout=LIMIT * args.slack)
        for run in late:
            run.cancel()
            report.problem("-", f"a program did not come to an end within {LIMIT * args.slack:.0f} s")
        await asyncio.gather(*runs, return_exceptions=bool(late))
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
    try:
        programs = commands(args)
    except installed.Missing as missing:
        print(f"FAIL {missing}")
        return 2
    if args.install:
        return 0
    report, began = Report(args.verbose), time.monotonic()
    with tempfile.TemporaryDirectory(prefix="weir-sdk-") as folder:
        asyncio.run(play_all(args, report, programs, pathlib.Path(folder)))
    print(f"{report.passed} passed, {report.failed} failed, {time.monotonic() - began:.1f} s")
    return 1 if report.failed else 0


if __name__ == "__main__":
    sys.exit(main())
