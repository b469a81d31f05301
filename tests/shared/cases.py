"""Runs the unittest cases of some modules side by side and says how it went."""
import concurrent.futures
import re
import time
import unittest


def add_arguments(parser, jobs):
    parser.add_argument("--filter", default="", metavar="RE", help="only names that match")
    parser.add_argument("--jobs", type=int, default=jobs, help=f"tests at a time ({jobs})")
    parser.add_argument("-v", "--verbose", action="store_true", help="each test and its time")


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


def run(modules, args):
    """The last line counts. Returns the exit status: 0 when some passed and none failed."""
    loaded = unittest.defaultTestLoader.loadTestsFromNames(modules)
    chosen = [c for c in cases(loaded) if re.search(args.filter, c.id())]
    verdicts, began = [], time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
        for done in concurrent.futures.as_completed([pool.submit(run_one, c) for c in chosen]):
            verdicts.append(report(*done.result(), args.verbose))
    count = {v: verdicts.count(v) for v in ("passed", "failed", "skipped")}
    print(f"{count['passed']} passed, {count['failed']} failed, {count['skipped']} skipped, "
          f"{time.monotonic() - began:.1f} s")
    return 0 if count["passed"] and not count["failed"] else 1
