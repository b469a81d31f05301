"""What happened, when, and what went wrong: one journal per scenario."""

import asyncio
import time


class Fail(Exception):
    """An expectation that was not met. `node` is the script line that stated it."""

    def __init__(self, message, node=None):
        super().__init__(message)
        self.message = message
        self.node = node


class Journal:
    """Time-stamped notes of all actors, the failures, the named signals and the marks.

    Times are seconds on the monotonic clock. A mark remembers when an actor did something that
    another actor measures against, such as a client's leaving.
    """

    LIMIT = 4000

    def __init__(self, slack=1.0):
        self.start = time.monotonic()
        self.slack = slack
        self.notes = []
        self.failures = []
        self.marks = {}
        self.signals = {}
        self.variables = {}

    def note(self, who, what):
        if len(self.notes) < self.LIMIT:
            self.notes.append((time.monotonic() - self.start, who, what))

    def mark(self, name):
        self.marks[name] = time.monotonic()

    def fail(self, who, failure):
        """Record a failure, once per place: copies of one client fail alike."""
        where = f"{failure.node.place()}: {failure.node.text}" if failure.node else who
        entry = (who, where, failure.message)
        if entry not in self.failures:
            self.failures.append(entry)
        self.note(who, f"FAILED {failure.message}")

    def signal(self, name):
        return self.signals.setdefault(name, asyncio.Event())

    def late(self, seconds):
        """An upper bound in seconds, stretched by the slack for slow builds."""
        return seconds * self.slack

    def lines(self):
        return [f"{when * 1000:9.1f} ms  {who:<12} {what}" for when, who, what in self.notes]


def brief(data, limit=300):
    """Bytes or text, printable and short."""
    if isinstance(data, (bytes, bytearray, memoryview)):
        shown = repr(bytes(data[:limit]))[1:]
    else:
        shown = repr(data[:limit]) if isinstance(data, str) else repr(data)[:limit]
    return shown + (
        f"... ({len(data)} in all)" if hasattr(data, "__len__") and len(data) > limit else ""
    )
