#!/usr/bin/env python3
"""Tests of the engine layer with processes: the driver, a fake engine, and a real llama-server if
WEIR_LLAMA_SERVER names one. Exit code 0: all passed or were skipped for a stated reason."""

import argparse
import concurrent.futures
import contextlib
import functools
import io
import os
import sys
import tempfile
import threading
import time
import traceback

import fake_tests
import real_tests
from harness import Skip


class PerThread(io.TextIOBase):
    """Standard output of tests that run side by side, kept apart."""

    def __init__(self):
        super().__init__()
        self.local = threading.local()

    def write(self, text):
        self.local.text = getattr(self.local, "text", "") + text
        return len(text)

    def take(self):
        text, self.local.text = getattr(self.local, "text", ""), ""
        return text


def run_one(name, call, output):
    """(verdict, report) of one test."""
    start = time.monotonic()
    try:
        call()
        verdict, text = "ok", ""
    except Skip as e:
        verdict, text = "skip", f"  {e}\n"
    except Exception:  # noqa: BLE001 - whatever a test raises is its failure
        verdict, text = "FAILED", traceback.format_exc()
    return verdict, f"{verdict:6} {name} ({time.monotonic() - start:.1f} s)\n{output.take()}{text}"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--driver", required=True, help="the program engine_driver")
    parser.add_argument("--synth", required=True, help="the program gguf-synth")
    parser.add_argument("--jobs", type=int, default=3, help="tests at a time (3)")
    parser.add_argument("--slow", action="store_true", help="also tests that take over a minute")
    parser.add_argument("only", nargs="*", help="parts of test names")
    options = parser.parse_args()
    options.driver = os.path.abspath(options.driver)
    options.synth = os.path.abspath(options.synth)
    tests = [(f"fake.{t.__name__}", functools.partial(t, options.driver)) for t in fake_tests.TESTS]
    tests += [(f"real.{t.__name__}", functools.partial(t, options)) for t in real_tests.TESTS]
    if not options.slow:
        tests = [t for t in tests if not hasattr(t[1].func, "slow")]
    tests = [t for t in tests if not options.only or any(part in t[0] for part in options.only)]
    output, verdicts = PerThread(), []
    with tempfile.TemporaryDirectory(prefix="weir-engine-models-") as options.scratch, \
            concurrent.futures.ThreadPoolExecutor(options.jobs) as pool, contextlib.redirect_stdout(output):
        waiting = [pool.submit(run_one, name, call, output) for name, call in tests]
        for done in concurrent.futures.as_completed(waiting):
            verdict, report = done.result()
            verdicts.append(verdict)
            sys.stderr.write(f"[{len(verdicts)}/{len(tests)}] {report}")
    counts = {v: verdicts.count(v) for v in ("ok", "skip", "FAILED")}
    print(f"engine: {counts['ok']} passed, {counts['skip']} skipped, {counts['FAILED']} failed")
    return 1 if counts["FAILED"] or not verdicts else 0


if __name__ == "__main__":
    sys.exit(main())
