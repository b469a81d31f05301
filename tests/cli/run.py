#!/usr/bin/env python3
"""Tests of the commands against scripted servers.

  run.py --weir build/dev/src/cli/weir             all of them
  run.py --weir weir --filter 'pull.*resume' -v    some
"""
import argparse
import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "shared")]

import cases  # noqa: E402
import harness  # noqa: E402

MODULES = ("serve_cases", "check_cases", "fire_cases", "pull_cases", "pull_resume_cases",
           "chat_cases", "chat_terminal_cases", "doctor_cases", "prices_cases", "usage_cases", "explain_cases", "import_cases")


def arguments():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weir", type=pathlib.Path, required=True, help="the binary")
    cases.add_arguments(parser, jobs=4)
    return parser.parse_args()


def main():
    args = arguments()
    harness.WEIR = str(args.weir.resolve())
    return cases.run(MODULES, args)


if __name__ == "__main__":
    sys.exit(main())
