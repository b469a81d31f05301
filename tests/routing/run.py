#!/usr/bin/env python3
"""Routing: what comes of every fault of an upstream in every dialect, what breakers, queues, hedges and
rescues do, and the figures that are promised of them.

  run.py --weir build/dev/src/cli/weir --slack 3              all of them, times not judged too strictly
  run.py --weir build/release/src/cli/weir --filter figures   the figures as they are
  run.py --table                                              which fault is shown where
Figures of time are judged as they are promised for a binary without sanitizers and with --slack times
as much for others. `prefix` needs an engine: $WEIR_LLAMA_SERVER, and a model: $WEIR_MODEL, or --synth to
make one. Figures are printed as they come, and counts behind them; the last line says how many requests
were explained (explained.py). The exit status is 0 when nothing failed.
"""
import argparse
import pathlib
import re
import sys
import unittest

HERE = pathlib.Path(__file__).resolve().parent
TESTS = HERE.parent
sys.path[:0] = [str(HERE), str(TESTS / "ops"), str(TESTS / "shared")]
sys.path.append(str(TESTS / "matrix"))

import cases  # noqa: E402
import explained  # noqa: E402
import figures  # noqa: E402
import harness  # noqa: E402
import table  # noqa: E402

# Those that measure run alone.
TOGETHER = ("explained_cases", "faults_cases", "rescue_cases", "health_cases", "overlong_cases")
ALONE = ("figures_cases", "prefix_cases")


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weir", type=pathlib.Path, help="the binary")
    cases.add_arguments(parser, jobs=3)
    parser.add_argument("--slack", type=float, default=1.0, help="upper limits of time are multiplied with it")
    parser.add_argument("--synth", type=pathlib.Path, help="the program gguf-synth, where there is no model")
    parser.add_argument("--quick", action="store_true", help="leave out what takes over 20 s each")
    parser.add_argument("--table", action="store_true", help="print the faults and where they are shown")
    args = parser.parse_args()
    if not args.table and not args.weir:
        parser.error("--weir PATH is needed")
    return args


def matching(modules, pattern):
    """Those with a test that is wanted."""
    load = unittest.defaultTestLoader.loadTestsFromName
    return [name for name in modules if any(re.search(pattern, case.id()) for case in cases.cases(load(name)))]


def play(modules, args):
    """Exit statuses: of one run, or none."""
    wanted = matching(modules, args.filter)
    return [cases.run(wanted, args)] if wanted else []


def main():
    args = arguments()
    if args.table:
        return table.show()
    harness.WEIR, harness.SLACK = str(args.weir.resolve()), args.slack
    figures.set_up(args)
    status = play(TOGETHER, args)
    args.jobs = 1
    status += play(ALONE, args)
    explained.say()
    return max(status, default=1)


if __name__ == "__main__":
    sys.exit(main())
