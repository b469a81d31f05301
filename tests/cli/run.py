#!/usr/bin/env python3
"""Tests of the commands against scripted servers.

  run.py --weir build/dev/src/cli/weir             all of them
  run.py --weir weir --filter 'pull.*resume' -v    some
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

MODULES = ("serve_cases", "check_cases", "pull_cases", "pull_resume_cases", "chat_cases",
           "chat_terminal_cases", "doctor_cases")


def arguments():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weir", type=pathlib.Path, required=True, help="the binary")
    parser.add_argument("--filter", default="", metavar="RE", help="only names that match")
    parser.add_argument("--jobs", type=int, default=4, help="tests at a time")
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
    """Says what has failed; whether all is well."""
    word = "ok" if result.wasSuccessful() else "FAILED"
    if result.skipped:
        word = "skipped: " + result.skipped[0][1]
    if verbose or not result.wasSuccessful():
        print(f"{word:8} {seconds:5.1f} s  {case.id()}", flush=True)
    for failed, text in result.failures + result.errors:
        print(f"--- {failed}\n{text}", flush=True)
    return result.wasSuccessful()


def main():
    args = arguments()
    harness.WEIR = str(args.weir.resolve())
    loaded = unittest.defaultTestLoader.loadTestsFromNames(MODULES)
    chosen = [c for c in cases(loaded) if re.search(args.filter, c.id())]
    failed = 0
    with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
        for done in concurrent.futures.as_completed([pool.submit(run_one, c) for c in chosen]):
            failed += not report(*done.result(), args.verbose)
    print(f"{len(chosen)} tests, {failed} failed")
    return 0 if chosen and failed == 0 else 1


if __name__ == "__main__":
    sys.exit(main())
