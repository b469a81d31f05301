#!/usr/bin/env python3
"""Every client dialect to every provider's wire, feature by feature, against a running gateway.

  run.py --weir build/dev/src/cli/weir             all; writes docs/matrix.md
  run.py --weir PATH --check                       compares with docs/matrix.md instead
  run.py --weir PATH --wires anthropic,gemini --features 'tool|image' -v
The exit status is 0 when every cell passed, was refused for a reason of lacks.py, or does not apply.
"""

import argparse
import asyncio
import os
import pathlib
import re
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "scenario"), str(HERE.parent / "shared")]

import cells  # noqa: E402
import report  # noqa: E402
from client import Clients  # noqa: E402
from features import FEATURES  # noqa: E402
from harness.journal import Fail, Journal  # noqa: E402
from harness.weir import PortTaken, Weir  # noqa: E402
from mock import Mock  # noqa: E402
from wires import KEY, WIRES  # noqa: E402

DOCUMENT = HERE.parents[1] / "docs" / "matrix.md"
AT_ONCE = 16
MODES = {"json": False, "stream": True}


def names(known):
    def read(text):
        chosen = text.split(",")
        for name in chosen:
            if name not in known:
                raise argparse.ArgumentTypeError(f"no {name!r}; there are {', '.join(known)}")
        return chosen
    return read


def arguments():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weir", type=pathlib.Path, required=True, help="the gateway's binary")
    parser.add_argument("--check", action="store_true", help="compare docs/matrix.md, do not write it")
    parser.add_argument("--wires", type=names(WIRES), default=list(WIRES), metavar="A,B")
    parser.add_argument("--dialects", type=names(cells.DIALECTS), default=list(cells.DIALECTS),
                        metavar="A,B")
    parser.add_argument("--features", default="", metavar="RE", help="only features that match")
    parser.add_argument("--slack", type=float, default=1.0, metavar="F",
                        help="multiply upper time limits, for slow builds")
    parser.add_argument("-v", "--verbose", action="store_true", help="each cell")
    args = parser.parse_args()
    if not os.access(args.weir, os.X_OK):
        parser.error("--weir must name an executable")
    args.features = [f for f in FEATURES.values() if re.search(args.features, f.name)]
    args.whole = (args.wires, args.dialects, len(args.features)) == (
        list(WIRES), list(cells.DIALECTS), len(FEATURES))
    return args


def configuration(args, mock, port, folder):
    lines = [f"listen: 127.0.0.1:{port}", "auth: none", f"data: {folder}/data",
             "log: {access: stdout, bodies: never}", "providers:"]
    for name in args.wires:
        row = WIRES[name]
        key = f", api_key: {KEY}" if row.credential else ""
        more = row.more.replace("MOCK", mock.url("").rstrip("/"))
        lines.append(f'  {name}: {{type: {row.type}, url: "{mock.url(name)}{row.url}"{key}{more}}}')
    return "\n".join(lines) + "\n"


async def start_weir(args, mock, folder):
    """A running Weir. Wires whose type it does not know leave args.wires."""
    weir = Weir(args.weir.absolute(), folder, Journal(args.slack))
    for attempt in range(3):
        weir.choose_ports()
        weir.config.write_text(configuration(args, mock, weir.ports["weir"], folder), "utf-8")
        try:
            await weir.start()
            return weir
        except (PortTaken, Fail):
            unknown = set(re.findall(r"`([\w-]+)` is not a type of provider", weir.stderr()))
            args.wires = [name for name in args.wires if WIRES[name].type not in unknown]
            if attempt == 2:
                print(weir.stderr(), file=sys.stderr)
                raise
    return None


async def run_wire(args, clients, mock, wire):
    """{(dialect, feature, mode): Verdict} of one wire."""
    gate, verdicts = asyncio.Semaphore(AT_ONCE), {}

    async def one(dialect, feature, mode):
        cell = cells.Cell(clients, mock, dialect, wire, feature, MODES[mode])
        async with gate:
            verdicts[dialect, feature.name, mode] = await cells.play(cell)

    await asyncio.gather(*(one(dialect, feature, mode) for dialect in args.dialects
                           for feature in args.features for mode in feature.modes))
    return verdicts


def tell(args, wire, verdicts, seconds):
    kinds = [verdict.kind for verdict in verdicts.values()]
    counts = ", ".join(f"{kinds.count(kind)} {kind}" for kind in
                       ("pass", "dropped", "ignored", "refused", "n.a.", "FAIL") if kind in kinds)
    print(f"{wire:10} {counts}, {seconds:.1f} s", flush=True)
    for (dialect, feature, mode), verdict in sorted(verdicts.items()):
        if verdict.kind == "FAIL" or args.verbose:
            print(f"  {verdict.kind:7} {dialect} -> {wire} {feature} {mode}: {verdict.note}",
                  flush=True)


async def run_all(args, folder):
    """({(wire, dialect, feature, mode): Verdict}, problems)."""
    mock, results, wanted = Mock(), {}, args.wires
    await mock.start()
    weir = await start_weir(args, mock, folder)
    problems = [f"{name}: Weir has no such type of provider" for name in wanted
                if name not in args.wires]
    clients = Clients(weir.ports["weir"])
    try:
        for wire in args.wires:
            began = time.monotonic()
            verdicts = await run_wire(args, clients, mock, wire)
            tell(args, wire, verdicts, time.monotonic() - began)
            results |= {(wire, *key): verdict for key, verdict in verdicts.items()}
        clients.close()
        problems += await weir.finish()
    finally:
        await weir.kill()
        await mock.stop()
    return results, problems + sorted(set(mock.problems))


def write_document(args, results):
    """The problems with docs/matrix.md."""
    text = report.document(results)
    if args.check:
        same = DOCUMENT.exists() and DOCUMENT.read_text("utf-8") == text
        return [] if same else [f"{DOCUMENT.name} is not what came out; run without --check"]
    DOCUMENT.write_text(text, "utf-8")
    return []


def main():
    args, began = arguments(), time.monotonic()
    with tempfile.TemporaryDirectory(prefix="weir-matrix-") as folder:
        results, problems = asyncio.run(run_all(args, pathlib.Path(folder)))
    kinds = [verdict.kind for verdict in results.values()]
    if args.whole and not problems and "FAIL" not in kinds:
        problems += write_document(args, results)
    for problem in problems:
        print(f"FAIL {problem}")
    print(f"{len(kinds) - kinds.count('FAIL')} cells hold, {kinds.count('FAIL')} failed, "
          f"{time.monotonic() - began:.1f} s")
    return 1 if problems or "FAIL" in kinds or not kinds else 0


if __name__ == "__main__":
    sys.exit(main())
