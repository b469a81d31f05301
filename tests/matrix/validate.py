#!/usr/bin/env python3
"""Is the mock right? The official SDKs talk to it directly, without a gateway: they have to take its
answers, whole and streamed, for what they say, and raise their own errors where it fails.

  validate.py                    installs the SDKs once (see tests/sdk/README.md for where)
  validate.py --venv DIR         a virtual environment that has them already
  validate.py --wires bedrock --features tool -v
"""

import argparse
import asyncio
import os
import pathlib
import platform
import re
import sys
import threading
import time
import traceback

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "scenario"), str(HERE.parent / "shared")]

from canon import difference, gist  # noqa: E402
from features import FEATURES  # noqa: E402
from mock import OUT_OF_CAPACITY, Mock  # noqa: E402
import lacks  # noqa: E402
from wires import WIRES  # noqa: E402


def arguments():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--venv", type=pathlib.Path, metavar="DIR")
    parser.add_argument("--wires", default=",".join(WIRES), metavar="A,B")
    parser.add_argument("--features", default="", metavar="RE", help="only features that match")
    parser.add_argument("-v", "--verbose", action="store_true", help="each case")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


def interpreter(given):
    """The Python that has the SDKs; installs them if there is none."""
    sys.path.insert(0, str(HERE.parent / "sdk"))
    import installed
    if given:
        return installed.at(given / "bin" / "python", "no virtual environment")
    wanted = HERE / "requirements.txt"

    def make(folder):
        installed.call([sys.executable, "-m", "venv", folder],
                       "Debian, Ubuntu: apt-get install python3-venv")
        installed.call([folder / "bin" / "python", "-m", "pip", "install", "--quiet", "--no-input",
                        "--disable-pip-version-check", "--only-binary", ":all:", "-r", wanted],
                       "the packages of requirements.txt must come from a package index")

    key = installed.key_of(wanted.read_text("utf-8"), sys.executable, platform.python_version(),
                           platform.machine())
    folder = installed.made(installed.cache() / "matrix-python" / key, "the providers' SDKs", make)
    return folder / "bin" / "python"


class Running:
    """The mock, in a thread with a loop of its own."""

    def __init__(self):
        self.mock = Mock()
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        self.do(self.mock.start())

    def do(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(10)

    def stop(self):
        self.do(self.mock.stop())
        self.loop.call_soon_threadsafe(self.loop.stop)


def lacking(wire, feature):
    """The answer is none of this wire's."""
    tables = (lacks.REFUSED, lacks.SILENT)
    return any((wire, need) in table for table in tables for need in feature.needs)


def one(client, wire, feature, mode):
    """Raises unless the SDK sees what the feature's row says."""
    model = f"{WIRES[wire].thinker if feature.thinks else WIRES[wire].model}--{feature.name}--sdk"
    failing = feature.kind != "chat"
    try:
        got = client.ask(model, mode == "stream", feature)
    except client.errors as error:
        if not failing:
            raise
        if feature.kind == "error" or feature.name.startswith("error-"):
            if client.words and OUT_OF_CAPACITY not in str(error):
                raise AssertionError(f"the words are lost: {error}") from error
        return
    if failing:
        raise AssertionError(f"no error was raised: {got}")
    want = gist(feature.answer)
    for name in client.lacks:
        got.pop(name, None)
        want.pop(name, None)
    found = difference(got, want)
    if found:
        raise AssertionError(found)


def run(args):
    import sdks
    running, passed, failed, began = Running(), 0, 0, time.monotonic()
    for wire in args.wires.split(","):
        client = sdks.CLIENTS[wire](running.mock.url(wire))
        for feature in FEATURES.values():
            if not re.search(args.features, feature.name) or lacking(wire, feature) or \
                    feature.name in client.skips:
                continue
            for mode in feature.modes:
                try:
                    one(client, wire, feature, mode)
                except Exception as error:  # noqa: BLE001 - each case has its own verdict
                    failed += 1
                    print(f"FAIL {wire} {feature.name} {mode}: {type(error).__name__}: "
                          f"{str(error)[:500]}", flush=True)
                    if args.verbose:
                        traceback.print_exc()
                else:
                    passed += 1
    for problem in running.mock.problems:
        failed += 1
        print(f"FAIL {problem}")
    running.stop()
    print(f"{passed} passed, {failed} failed, {time.monotonic() - began:.1f} s")
    return 1 if failed or not passed else 0


def main():
    args = arguments()
    if args.inside:
        return run(args)
    python = interpreter(args.venv)
    kept = {"PATH": os.environ.get("PATH", ""), "HOME": str(HERE), "LANG": "C.UTF-8"}
    os.execve(python, [str(python), "-B", __file__, "--inside", *sys.argv[1:]], kept)
    return 2


if __name__ == "__main__":
    sys.exit(main())
