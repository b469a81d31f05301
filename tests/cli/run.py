#!/usr/bin/env python3
"""Tests of the commands `weir chat`, `weir pull` and `weir doctor` against scripted servers.

  run.py --weir build/dev/src/cli/weir             all of them
  run.py --weir weir --filter 'pull.*resume' -v    some
"""
import argparse
import pathlib
import re
import sys
import unittest

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

import harness  # noqa: E402

MODULES = ("pull_cases", "pull_resume_cases", "chat_cases", "chat_terminal_cases", "doctor_cases")


def arguments():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weir", type=pathlib.Path, required=True, help="the binary")
    parser.add_argument("--filter", default="", metavar="RE", help="only names that match")
    parser.add_argument("-v", "--verbose", action="store_true", help="each test as it runs")
    return parser.parse_args()


def cases(suite):
    for item in suite:
        if isinstance(item, unittest.TestSuite):
            yield from cases(item)
        else:
            yield item


def main():
    args = arguments()
    harness.WEIR = str(args.weir.resolve())
    loaded = unittest.defaultTestLoader.loadTestsFromNames(MODULES)
    chosen = unittest.TestSuite(c for c in cases(loaded) if re.search(args.filter, c.id()))
    result = unittest.TextTestRunner(verbosity=2 if args.verbose else 1).run(chosen)
    return 0 if result.wasSuccessful() and result.testsRun > 0 else 1


if __name__ == "__main__":
    sys.exit(main())
