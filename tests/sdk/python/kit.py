"""Cases, assertions and a look at the mock, for the programs of all Python clients."""

import functools
import importlib.metadata
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

NAME = os.environ["SDK_NAME"]
DIRECT = bool(os.environ.get("SDK_DIRECT"))
SLACK = float(os.environ["SDK_SLACK"])
SOLO = os.environ.get("SDK_SOLO")
BARE = os.environ.get("SDK_BARE")
MOCK = os.environ["SDK_MOCK"]
WORDS = "The weir holds back."
HELLO = [{"role": "user", "content": "Hello"}]
TIMEOUT = 20.0
SIDE_BY_SIDE = 4

# The providers of the gateway, by the wire that they speak; without Weir none has a name.
PROVIDERS = {"chat": "compatible", "anthropic": "anthropic", "gemini": "gemini",
             "responses": "responses"}
WIRES = os.environ["SDK_WIRES"].split()

cases = []
numbers = itertools.count()
printing = threading.Lock()


def case(function):
    """A case that may run beside others."""
    cases.append((name_of(function), function, True))
    return function


def on_each_wire(function):
    """A case for every wire that Weir may speak behind: function(wire)."""
    for wire in WIRES:
        cases.append((f"{name_of(function)}-on-{wire}", functools.partial(function, wire), True))
    return function


def through_weir(function):
    """A case that makes no sense where the client talks to the mock itself."""
    return function if DIRECT else case(function)


def alone(function):
    """A case that measures time or loads the machine: nothing else of this program runs then."""
    cases.append((name_of(function), function, False))
    return function


def name_of(function):
    return function.__name__.replace("_", "-")


def model(behaviour, provider="up"):
    """A model of the mock that behaves so, counted apart from all others."""
    name = f"{behaviour}@{NAME}-{next(numbers)}"
    return f"{provider}/{name}" if provider and not DIRECT else name


def model_on(wire, behaviour):
    """The same where this wire is spoken."""
    return model(behaviour, PROVIDERS[wire])


def seen(name, gone=False):
    """What the mock was asked for `name`; with `gone`, once nothing of it is open."""
    query = {"model": name.partition("/")[2] or name, **({"gone": "1"} if gone else {})}
    url = f"{MOCK}/_seen?{urllib.parse.urlencode(query)}"
    with urllib.request.urlopen(url, timeout=TIMEOUT) as answer:
        return json.load(answer)


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


def left_after(name):
    """Seconds (absolute) at which the mock saw that the gateway had left; it must have."""
    [request] = seen(name, gone=True)
    true(request["gone_at"] and not request["done"], f"the upstream was not cancelled: {request}")
    return request["gone_at"]


def run_one(name, function):
    started, row = time.monotonic(), {"case": name}
    try:
        function()
    except Exception:  # noqa: BLE001 - whatever a case raises is its failure
        row["error"] = traceback.format_exc()
    row["seconds"] = time.monotonic() - started
    with printing:
        print(json.dumps(row), flush=True)


def run(package):
    """All cases that the filter takes: first those that go side by side, then one by one."""
    print(json.dumps({"sdk": f"{package} {importlib.metadata.version(package)}, "
                             f"Python {platform.python_version()}"}), flush=True)
    wanted = re.compile(os.environ.get("SDK_FILTER", ""))
    chosen = [one for one in cases if wanted.search(one[0])]
    with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        list(pool.map(lambda one: run_one(*one[:2]), [one for one in chosen if one[2]]))
    for name, function, free in chosen:
        if not free:
            run_one(name, function)
    print(json.dumps({"cases": len(chosen)}), flush=True)
    sys.stdout.flush()
