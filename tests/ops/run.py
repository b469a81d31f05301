#!/usr/bin/env python3
"""Operations: how Weir starts, listens, logs, reloads, drains, ends, and reaches its upstreams.

  run.py --weir build/dev/src/cli/weir                               all of them
  run.py --weir weir --plain build/release/src/cli/weir              also figures of memory
  run.py --weir weir --filter 'proxy|socket' -v                      some

Some tests need root, network namespaces or IPv6; where those are missing they are skipped, with the
reason. The last line counts; the exit status is 0 when nothing failed.
"""
import argparse
import concurrent.futures
import pathlib
import re
import sys
import time
import unittest

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

import harness  # noqa: E402

MODULES = ("listen_cases", "life_cases", "log_cases", "reload_cases", "admin_cases", "limit_cases", "egress_cases")


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weir", type=pathlib.Path, required=True, help="the binary")
    parser.add_argument("--plain", type=pathlib.Path, help="a binary without sanitizers, for figures of memory")
    parser.add_argument("--filter", default="", metavar="RE", help="only names that match")
    parser.add_argument("--jobs", type=int, default=3, help="tests at a time (3)")
    parser.add_argument("--slack", type=float, default=1.0, help="upper limits of time are multiplied with it")
    parser.add_argument("-v", "--verbose", action="store_true", help="each test and its time")
    return parser.parse_args()


def cases(suite):
    for item in suite:
        if isinstance(item, unittest.TestSuite):
            yield from cases(item)
        else:
            yield item


def run_one(case):
    result, started = unittest.TestResult(), time.monotonic()
    case.run(result)
    return case, result, time.monotonic() - started


def report(case, result, seconds, verbose):
    """Says how a test went; returns its verdict."""
    if not result.wasSuccessful():
        verdict, text = "failed", "FAILED"
    elif result.skipped:
        verdict, text = "skipped", f"skipped: {result.skipped[0][1]}"
    else:
        verdict, text = "passed", "ok"
    if verbose or verdict != "passed":
        print(f"{text:8} {seconds:5.1f} s  {case.id()}", flush=True)
    for failed, trace in result.failures + result.errors:
        print(f"--- {failed}\n{trace}", flush=True)
    for unexpected in result.unexpectedSuccesses:
        print(f"--- {unexpected} passes now: take its mark away", flush=True)
    return verdict


def main():
    args = arguments()
    harness.WEIR = str(args.weir.resolve())
    harness.WEIR_PLAIN = str(args.plain.resolve()) if args.plain else ""
    harness.SLACK = args.slack
    loaded = unittest.defaultTestLoader.loadTestsFromNames(MODULES)
    chosen = [c for c in cases(loaded) if re.search(args.filter, c.id())]
    verdicts, began = [], time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
        for done in concurrent.futures.as_completed([pool.submit(run_one, c) for c in chosen]):
            verdicts.append(report(*done.result(), args.verbose))
    count = {v: verdicts.count(v) for v in ("passed", "failed", "skipped")}
    print(f"{count['passed']} passed, {count['failed']} failed, {count['skipped']} skipped, "
          f"{time.monotonic() - began:.1f} s")
    return 0 if count["passed"] and not count["failed"] else 1


if __name__ == "__main__":
    sys.exit(main())
