#!/usr/bin/env python3
"""Operations: how Weir starts, listens, logs, reloads, drains, ends, and reaches its upstreams.

  run.py --weir build/dev/src/cli/weir                               all of them
  run.py --weir weir --plain build/release/src/cli/weir              also figures of memory
  run.py --weir weir --filter 'proxy|socket' -v                      some

Some tests need root, network namespaces or IPv6; where those are missing they are skipped, with the
reason. The last line counts; the exit status is 0 when nothing failed.
"""
import argparse
import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "shared")]
sys.path.append(str(HERE.parent / "matrix"))  # its formats, behind modules of the same name here

import cases  # noqa: E402
import harness  # noqa: E402

MODULES = ("listen_cases", "life_cases", "log_cases", "reload_cases", "admin_cases", "key_cases", "limit_cases", "egress_cases",
           "admission_cases", "usage_cases", "explain_cases", "targets_cases", "credential_cases", "dialect_fault_cases", "job_cases")


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weir", type=pathlib.Path, required=True, help="the binary")
    parser.add_argument("--plain", type=pathlib.Path, help="a binary without sanitizers, for figures of memory")
    cases.add_arguments(parser, jobs=3)
    parser.add_argument("--slack", type=float, default=1.0, help="upper limits of time are multiplied with it")
    return parser.parse_args()


def main():
    args = arguments()
    harness.WEIR = str(args.weir.resolve())
    harness.WEIR_PLAIN = str(args.plain.resolve()) if args.plain else ""
    harness.SLACK = args.slack
    return cases.run(MODULES, args)


if __name__ == "__main__":
    sys.exit(main())
