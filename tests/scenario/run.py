#!/usr/bin/env python3
"""Run scenarios: scripted upstreams and clients around a running gateway.

  run.py --weir build/dev/src/cli/weir             every scenario beside this file
  run.py --weir weir --filter 'stream|tls' -v      some of them, with the journal
  run.py --self-test                               the harness against itself, without a gateway
  run.py --check                                   read all files, run nothing
  run.py --language                                all lines a scenario can have
The language is described in README.md.
"""

import argparse
import asyncio
import json
import os
import pathlib
import re
import shutil
import signal
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from harness import client_steps, mock, mock_steps, scenario  # noqa: E402
from harness.script import ScriptError  # noqa: E402
from harness.weir import TERM_AGAIN  # noqa: E402

TAIL = 40


def arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("files", nargs="*", type=pathlib.Path, help="default: all *.scn here")
    parser.add_argument("--weir", type=pathlib.Path, help="the gateway's binary")
    parser.add_argument("--wrap", default="", help="put this command before it, e.g. valgrind")
    parser.add_argument("--jobs", type=int, default=4)
    parser.add_argument("--filter", default="", metavar="RE", help="only names that match")
    parser.add_argument("--repeat", type=int, default=1, help="run each so many times")
    parser.add_argument(
        "--slack",
        type=float,
        default=1.0,
        metavar="F",
        help="multiply upper time limits, for slow builds",
    )
    parser.add_argument(
        "--keep",
        type=pathlib.Path,
        metavar="DIR",
        help="keep logs and configuration of failed scenarios there",
    )
    parser.add_argument("-v", "--verbose", action="store_true", help="journal of passed ones too")
    parser.add_argument("--self-test", action="store_true")
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--language", action="store_true")
    parser.add_argument(
        "--assumptions", action="store_true", help="list what scenarios take for granted"
    )
    parser.add_argument("--worker", type=pathlib.Path, metavar="DIR", help=argparse.SUPPRESS)
    return parser.parse_args()


# ---------------------------------------------------------------- one scenario in its own process


def tail(path, count=TAIL):
    if not path.exists():
        return []
    return path.read_text("utf-8", "replace").splitlines()[-count:]


async def play(args):
    """The worker: play one file in `args.worker` and describe the outcome as one dict."""
    loaded = scenario.Scenario(args.files[0])
    task = asyncio.create_task(loaded.run(args.worker, args.weir, args.slack, args.wrap))
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    started = time.monotonic()
    try:
        journal = await task
    except asyncio.CancelledError:
        if loaded.weir is not None:
            await loaded.weir.kill()
        raise
    passed, failures = loaded.verdict()
    return {
        "passed": passed,
        "failures": failures,
        "journal": journal.lines(),
        "assumptions": loaded.assumptions,
        "seconds": time.monotonic() - started,
        "stderr": tail(args.worker / "stderr.log"),
        "stdout": tail(args.worker / "stdout.log"),
    }


def work(args):
    try:
        outcome = asyncio.run(play(args))
    except asyncio.CancelledError:
        return 1
    json.dump(outcome, sys.stdout)
    return 0


# ---------------------------------------------------------------- all of them


def command_of(args, path, folder):
    command = [
        sys.executable,
        str(HERE / "run.py"),
        "--worker",
        str(folder),
        "--slack",
        str(args.slack),
        "--wrap",
        args.wrap,
    ]
    if args.weir:
        command += ["--weir", str(args.weir)]
    return [*command, str(path)]


async def run_worker(args, path, folder, limit):
    """Run one file in a process of its own; broken or stuck workers become failed outcomes."""
    process = await asyncio.create_subprocess_exec(
        *command_of(args, path, folder),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        out, err = await asyncio.wait_for(process.communicate(), limit)
        return json.loads(out)
    except asyncio.TimeoutError:
        process.terminate()
        try:
            await asyncio.wait_for(process.wait(), 10)
        except asyncio.TimeoutError:
            process.kill()
            await process.wait()
        problem, err = "the worker did not come to an end", b""
    except ValueError:
        problem = f"the worker died with {process.returncode}"
    return {
        "passed": False,
        "failures": [["runner", "worker", problem]],
        "journal": [],
        "assumptions": [],
        "seconds": limit,
        "stdout": [],
        "stderr": err.decode("utf-8", "replace").splitlines()[-TAIL:],
    }


def report(name, outcome, verbose):
    """One line, and all that helps when it failed."""
    mark = "ok  " if outcome["passed"] else "FAIL"
    print(f"{mark} {outcome['seconds']:6.2f} s  {name}")
    if outcome["passed"] and not verbose:
        for line in outcome["journal"]:
            if TERM_AGAIN in line:
                print(f"  note: {line}")
        return
    for who, where, message in outcome["failures"]:
        print(f"  {who}: {where}\n      {message}")
    if not outcome["passed"]:
        for text in outcome["assumptions"]:
            print(f"  assumes: {text}")
    print("  journal:")
    for line in outcome["journal"][-120:]:
        print(f"    {line}")
    for stream in ("stderr", "stdout"):
        if outcome[stream]:
            print(f"  weir's {stream} (last {len(outcome[stream])} lines):")
            for line in outcome[stream]:
                print(f"    {line[:600]}")


async def run_one(args, path, gate, results):
    loaded = scenario.Scenario(path)
    async with gate:
        with tempfile.TemporaryDirectory(prefix="weir-scn-") as folder:
            limit = loaded.timeout * args.slack + 60
            outcome = await run_worker(args, path, pathlib.Path(folder), limit)
            results.append(outcome["passed"])
            report(path.stem, outcome, args.verbose)
            sys.stdout.flush()
            if args.keep and not outcome["passed"]:
                shutil.copytree(
                    folder,
                    args.keep / path.stem,
                    dirs_exist_ok=True,
                    ignore=shutil.ignore_patterns("*.sock"),
                )


async def run_all(args, files):
    gate = asyncio.Semaphore(args.jobs)
    results = []
    started = time.monotonic()
    await asyncio.gather(*(run_one(args, path, gate, results) for path in files * args.repeat))
    failed = results.count(False)
    print(
        f"{len(results) - failed} passed, {failed} failed, " f"{time.monotonic() - started:.1f} s"
    )
    return 1 if failed else 0


def load_all(files):
    """Read every file; returns the scenarios and the number of broken ones."""
    loaded, broken = [], 0
    for path in files:
        try:
            loaded.append(scenario.Scenario(path))
        except (ScriptError, OSError, UnicodeDecodeError) as error:
            print(f"{path}: {error}", file=sys.stderr)
            broken += 1
    return loaded, broken


HEADINGS = [
    ("mock NAME", "an upstream; the lines below say how it behaves and what it answers"),
    ("request [x N | any | optional] [early] [METHOD PATH] [when json|header NAME TEST]",
     "in a mock: requests it takes, in the order of the blocks; once unless it says otherwise"),
    ("client NAME [x N] [background]", "a client, or N copies; waited for unless in the background"),
    ('metric NAME{label="x"} TEST', "a sum of samples on /metrics, awaited for a while"),
]


def print_language():
    print("Headings")
    for form, doc in HEADINGS:
        print(f"  {form}\n{'':44} {doc}")
    tables = [
        ("Before the timeline", scenario.HEADER_RULES),
        ("The timeline", scenario.TIMELINE_RULES),
        ("In a mock", mock.OPTIONS),
        ("In a request of a mock", mock_steps.RULES),
        ("Under reply", mock_steps.REPLY_KIDS),
        ("In a client", client_steps.RULES),
        ("Under a request of a client", client_steps.REQUEST_KIDS),
        ("Under event", client_steps.EVENT_KIDS),
        ("Under expect events", client_steps.EVENTS_KIDS),
    ]
    for title, rules in tables:
        print(f"\n{title}")
        for rule in rules:
            print(f"  {rule.pattern:<42} {rule.doc}")


def print_assumptions(loaded):
    seen = {}
    for one in loaded:
        for text in one.assumptions:
            seen.setdefault(text, []).append(one.path.stem)
    for text, names in sorted(seen.items()):
        print(f"- {text} ({len(names)}: {', '.join(names[:3])}{', ...' if len(names) > 3 else ''})")


def choose(args):
    folder = HERE / "selftest" if args.self_test else HERE
    files = args.files or sorted(folder.glob("*.scn"))
    return [path for path in files if re.search(args.filter, path.stem)]


def main():
    args = arguments()
    if args.language:
        print_language()
        return 0
    if args.worker:
        return work(args)
    files = choose(args)
    loaded, broken = load_all(files)
    if broken:
        return 2
    if args.assumptions:
        print_assumptions(loaded)
        return 0
    if args.check:
        print(f"{len(loaded)} scenarios read")
        return 0
    if args.self_test:
        from selftest import units

        if units.run():
            return 1
        args.weir = HERE / "selftest" / "relay.py"
    elif not args.weir or not os.access(args.weir, os.X_OK):
        print("run.py: --weir PATH must name the gateway's binary", file=sys.stderr)
        return 2
    args.weir = args.weir.resolve() if args.weir else None
    return asyncio.run(run_all(args, files))


if __name__ == "__main__":
    sys.exit(main())
