"""Cases, assertions and a look at the mock, for the tests of the Python SDK."""

import functools
import itertools
import json
import os
import platform
import re
import sys
import threading
import time
import traceback
import urllib.parse
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import openai
from openai import OpenAI

SLACK = float(os.environ["SDK_SLACK"])
SOLO = os.environ["SDK_SOLO"]
BARE = os.environ["SDK_BARE"]
MOCK = os.environ["SDK_MOCK"]
WORDS = "The weir holds back."
HELLO = [{"role": "user", "content": "Hello"}]
TIMEOUT = 20.0
SIDE_BY_SIDE = 4

cases = []
numbers = itertools.count()
printing = threading.Lock()


def case(function):
    """A case that may run beside others."""
    cases.append((function, True))
    return function


def alone(function):
    """A case that measures time or loads the machine: nothing else of this program runs then."""
    cases.append((function, False))
    return function


def model(behaviour, provider="up"):
    """A model of the mock that behaves so, counted apart from all others."""
    name = f"{behaviour}@python-{next(numbers)}"
    return f"{provider}/{name}" if provider else name


def seen(name, gone=False):
    """What the mock was asked for `name`; with `gone`, once nothing of it is open."""
    query = {"model": name.partition("/")[2] or name, **({"gone": "1"} if gone else {})}
    url = f"{MOCK}/_seen?{urllib.parse.urlencode(query)}"
    with urllib.request.urlopen(url, timeout=TIMEOUT) as answer:
        return json.load(answer)


@functools.cache
def shared():
    return OpenAI(timeout=TIMEOUT * SLACK)


def client(**more):
    """The SDK as applications make it: everything comes from the environment. Unless the case wants
    something special all share one, as applications do."""
    return OpenAI(**{"timeout": TIMEOUT * SLACK, **more}) if more else shared()


def equal(came, expected, what="value"):
    if came != expected:
        raise AssertionError(f"{what}: expected {expected!r}, came {came!r}")


def true(condition, what):
    if not condition:
        raise AssertionError(what)


def between(value, low, high, what):
    """`high` is a limit on time and grows with the slack."""
    true(low <= value <= high * SLACK, f"{what}: expected {low} to {high}, came {value}")


def raises(kind, call):
    """The exception of exactly this class that call() raises."""
    try:
        value = call()
    except Exception as error:  # noqa: BLE001 - any other kind is reported
        if type(error) is not kind:
            raise AssertionError(f"expected {kind.__name__}, came {error!r}") from error
        return error
    raise AssertionError(f"expected {kind.__name__}, came {value!r}")


def text_of(stream):
    """The text of a stream's first choice."""
    return "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices)


def run_one(function):
    started, row = time.monotonic(), {"case": function.__name__.replace("_", "-")}
    try:
        function()
    except Exception:  # noqa: BLE001 - whatever a case raises is its failure
        row["error"] = traceback.format_exc()
    row["seconds"] = time.monotonic() - started
    with printing:
        print(json.dumps(row), flush=True)


def run():
    """All cases that the filter takes: first those that go side by side, then one by one."""
    print(json.dumps({"sdk": f"openai-python {openai.__version__}, "
                             f"Python {platform.python_version()}"}), flush=True)
    wanted = re.compile(os.environ.get("SDK_FILTER", ""))
    chosen = [(f, free) for f, free in cases if wanted.search(f.__name__.replace("_", "-"))]
    with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        list(pool.map(run_one, [f for f, free in chosen if free]))
    for function in [f for f, free in chosen if not free]:
        run_one(function)
    print(json.dumps({"cases": len(chosen)}), flush=True)
    sys.stdout.flush()
