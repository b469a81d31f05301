"""The scenario language: lines, indentation, values and tests.

A scenario is a tree of lines; what is indented belongs to the line above it. Each kind of line is
one `Rule`: a pattern such as "sleep DUR" with the function that carries it out and one sentence of
documentation. The pattern checks the line when the file is loaded, long before it runs, and
`run.py --language` prints all of them.
"""

import gzip
import json
import re
import textwrap

from .journal import Fail, brief

HEADER_LINE = re.compile(r"^([!#$%&'*+.^_`|~0-9A-Za-z-]+):(?:\s+(.*)|)$")
STRING = re.compile(r'"((?:[^"\\]|\\.)*)"')
SIMPLE_ESCAPES = {
    "n": b"\n",
    "r": b"\r",
    "t": b"\t",
    "0": b"\0",
    "\\": b"\\",
    '"': b'"',
    "'": b"'",
    "b": b"\b",
    "f": b"\f",
    "/": b"/",
}


class ScriptError(Exception):
    """The scenario file itself is wrong."""


class Node:
    """One line of a scenario with the lines indented under it."""

    def __init__(self, text, line, source):
        self.text = text
        self.line = line
        self.source = source
        self.kids = []
        self.end = line
        self.rule = None
        self.args = ()

    def place(self):
        return f"{self.source.name}:{self.line}"

    def block(self):
        """The lines under this one, verbatim, without their common indentation."""
        return textwrap.dedent("\n".join(self.source.lines[self.line : self.end])) + "\n"


class Source:
    """A scenario's text as a tree of nodes."""

    VERBATIM = re.compile(r"^(config|weir config|weir rewrites)\b")

    def __init__(self, text, name):
        self.name = name
        self.lines = text.split("\n")
        self.root = Node("", 0, self)
        self._build()

    def _build(self):
        stack = [(-1, self.root)]
        verbatim = None
        for number, raw in enumerate(self.lines, 1):
            text = raw.strip()
            if "\t" in raw[: len(raw) - len(raw.lstrip())]:
                raise ScriptError(f"{self.name}:{number}: indent with blanks, not with tabs")
            indent = len(raw) - len(raw.lstrip())
            if verbatim is not None:
                if not text or indent > verbatim:
                    if text:
                        self._stretch(stack, number)
                    continue
                verbatim = None
            if not text or text.startswith("#"):
                continue
            while stack[-1][0] >= indent:
                stack.pop()
            node = Node(text, number, self)
            stack[-1][1].kids.append(node)
            stack.append((indent, node))
            self._stretch(stack, number)
            if self.VERBATIM.match(text):
                verbatim = indent

    @staticmethod
    def _stretch(stack, number):
        for _, node in stack:
            node.end = number


# ---------------------------------------------------------------- values


def unescape(text):
    """The bytes of a quoted string's inside."""
    out = bytearray()
    at = 0
    while at < len(text):
        char = text[at]
        if char != "\\":
            out += char.encode()
            at += 1
            continue
        kind = text[at + 1]
        if kind == "x":
            out.append(int(text[at + 2 : at + 4], 16))
            at += 4
        elif kind == "u":
            out += chr(int(text[at + 2 : at + 6], 16)).encode("utf-8", "surrogatepass")
            at += 6
        elif kind in SIMPLE_ESCAPES:
            out += SIMPLE_ESCAPES[kind]
            at += 2
        else:
            raise ScriptError(f"unknown escape \\{kind}")
    return bytes(out)


class BytesValue:
    """`"text\\r\\n"`, `'{"a":1}'`, `5000 * "x"`, `hex 00ff`, one after the other.

    `gzip` packs all that follows. Both quotes know the same escapes.
    """

    TERM = re.compile(
        r'\s*(?:(?P<times>\d+)\s*\*\s*)?(?:"(?P<text>(?:[^"\\]|\\.)*)"'
        r"|'(?P<single>(?:[^'\\]|\\.)*)'"
        r"|hex\s+(?P<hex>(?:[0-9a-fA-F]{2}\s*)+)|(?P<gzip>gzip)\b)\s*"
    )

    def __init__(self, text):
        self.terms = []
        at = 0
        while at < len(text):
            found = self.TERM.match(text, at)
            if not found:
                raise ScriptError(f"not a byte string: {text[at:]}")
            quoted = found["single"] if found["text"] is None else found["text"]
            self.terms.append((int(found["times"] or 1), quoted, found["hex"], bool(found["gzip"])))
            if quoted is not None:
                unescape(quoted)
            at = found.end()

    def value(self, variables):
        out = bytearray()
        packed_from = None
        for times, text, digits, packs in self.terms:
            if packs:
                packed_from = len(out)
            elif digits:
                out += bytes.fromhex(digits) * times
            else:
                out += unescape(expand(text, variables)) * times
        if packed_from is None:
            return bytes(out)
        return bytes(out[:packed_from]) + gzip.compress(bytes(out[packed_from:]), 9, mtime=0)


def expand(text, variables):
    """Replace ${name} where the name is known; the rest stays, for Weir to expand."""

    def known(found):
        return str(variables.get(found[1], found[0]))

    return re.sub(r"\$\{([\w.:-]+)\}", known, text)


UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0}
SIZES = {"": 1, "B": 1, "KB": 1024, "MB": 1024 * 1024}


def duration(text):
    number, unit = re.fullmatch(r"([\d.]+)(us|ms|s|m)", text).groups()
    return float(number) * UNITS[unit]


def size(text):
    number, unit = re.fullmatch(r"(\d+)(B|KB|MB)?", text).groups()
    return int(number) * SIZES[unit or ""]


def span(text):
    """`200ms..1s` or `1s` (from zero) as a pair of seconds."""
    low, _, high = text.rpartition("..")
    return (duration(low) if low else 0.0, duration(high))


def statuses(text):
    """`502|504` or `4xx` as a set of numbers."""
    found = set()
    for part in text.split("|"):
        if part.endswith("xx"):
            found.update(range(int(part[0]) * 100, int(part[0]) * 100 + 100))
        else:
            found.add(int(part))
    return found


# ---------------------------------------------------------------- tests

ABSENT = object()


class Test:
    """`OP VALUE` applied to what came."""

    OPS = re.compile(r"^(==|!=|!~|~|<=|>=|<|>|contains|lacks|in|absent|present)(?:\s+(.*))?$")

    def __init__(self, text):
        found = self.OPS.match(text)
        if not found:
            raise ScriptError(
                f"not a test: {text} (known: == != ~ !~ < <= > >= contains lacks in"
                " absent present)"
            )
        self.op, self.operand = found[1], found[2]
        if (self.operand is None) != (self.op in ("absent", "present")):
            raise ScriptError(f"wrong number of values for {self.op}")
        if self.op in ("~", "!~"):
            re.compile(self._wanted_text(self.operand))

    @staticmethod
    def _wanted_text(text):
        return unescape(STRING.fullmatch(text)[1]).decode() if STRING.fullmatch(text) else text

    def _wanted(self, text, actual):
        """The operand as JSON, or as text when it is none or when a text came."""
        try:
            value = json.loads(text)
        except ValueError:
            return self._wanted_text(text)
        if isinstance(actual, str) and not isinstance(value, str) and self.op != "in":
            return text
        return value

    def check(self, actual, variables, what):
        """Raise Fail unless `actual` passes. `what` names it in the message."""
        if self.op in ("absent", "present"):
            if (actual is ABSENT) != (self.op == "absent"):
                shown = "" if actual is ABSENT else f", came {brief(actual)}"
                raise Fail(f"expected {what} {self.op}{shown}")
            return
        operand = expand(self.operand, variables)
        if actual is ABSENT:
            if self.op in ("!=", "!~", "lacks"):
                return
            raise Fail(f"expected {what} {self.op} {operand}, but there is none")
        try:
            holds = self._holds(actual, operand)
        except (TypeError, ValueError):
            holds = False
        if not holds:
            raise Fail(f"expected {what} {self.op} {operand}, came {brief(actual)}")

    def _holds(self, actual, operand):
        if self.op in ("~", "!~"):
            text = actual if isinstance(actual, str) else json.dumps(actual)
            hit = re.search(self._wanted_text(operand), text, re.S) is not None
            return hit == (self.op == "~")
        wanted = self._wanted(operand, actual)
        if self.op == "==":
            return same(actual, wanted)
        if self.op == "!=":
            return not same(actual, wanted)
        if self.op in ("contains", "lacks"):
            return (wanted in actual) == (self.op == "contains")
        if self.op == "in":
            return any(same(actual, one) or same(str(actual), one) for one in wanted)
        return self._ordered(float(actual), float(wanted))

    def _ordered(self, left, right):
        return {"<": left < right, "<=": left <= right, ">": left > right, ">=": left >= right}[
            self.op
        ]


def same(left, right):
    """Equality that does not take true for 1."""
    return left == right and isinstance(left, bool) == isinstance(right, bool)


PATH_PART = re.compile(r"\.?(?:([^.\[\]]+)|\[(-?\d+|\*)\])")


def json_path(value, path):
    """The member at `path`, or ABSENT.

    `a.b[0].c`, `[-1]` is the last, `[*]` of all, `#` the count, `$` the whole.
    """
    if path == "$":
        return value
    at = 0
    while at < len(path):
        found = PATH_PART.match(path, at)
        if not found:
            raise Fail(f"not a path: {path}")
        at = found.end()
        name, index = found.groups()
        if name == "#":
            value = len(value) if isinstance(value, (list, dict, str)) else ABSENT
        elif name is not None:
            value = value.get(name, ABSENT) if isinstance(value, dict) else ABSENT
        elif not isinstance(value, list):
            value = ABSENT
        elif index == "*":
            rest = path[at:].lstrip(".")
            return [json_path(one, rest) if rest else one for one in value]
        else:
            number = int(index)
            inside = -len(value) <= number < len(value)
            value = value[number] if inside else ABSENT
        if value is ABSENT:
            return ABSENT
    return value


# ---------------------------------------------------------------- rules

SLOTS = {
    "DUR": (r"[\d.]+(?:us|ms|s|m)", duration),
    "SPAN": (r"(?:[\d.]+(?:us|ms|s|m)\.\.)?[\d.]+(?:us|ms|s|m)", span),
    "INT": (r"\d+", int),
    "SIZE": (r"\d+(?:B|KB|MB)?", size),
    "STATUS": (r"(?:\d\d\d|\dxx)(?:\|(?:\d\d\d|\dxx))*", statuses),
    "CODE": (r"\d\d\d", int),
    "NAME": (r"[A-Za-z_][\w-]*", str),
    "PATH": (r"\S+", str),
    "WORD": (r"\S+", str),
    "METHOD": (r"[A-Z]{3,}", str),
    "BYTES": (r".+", BytesValue),
    "TEST": (r".+", Test),
    "JSON": (r".+", str),
    "TEXT": (r".+", str),
}


class Rule:
    """One kind of line: pattern, action, one sentence of documentation."""

    def __init__(self, pattern, action, doc):
        self.pattern = pattern
        self.action = action
        self.doc = doc
        self.converters = []
        parts = []
        for word in pattern.split(" "):
            if word in SLOTS:
                expression, convert = SLOTS[word]
                self.converters.append(convert)
                parts.append(f"({expression})")
            else:
                parts.append(re.escape(word))
        self.expression = re.compile(r"\s+".join(parts))

    def match(self, text):
        found = self.expression.fullmatch(text)
        if not found:
            return None
        return tuple(convert(part) for convert, part in zip(self.converters, found.groups()))


def bind(node, rules, where):
    """Find the rule of a line and keep its arguments with the node."""
    problem = None
    for rule in rules:
        try:
            args = rule.match(node.text)
        except (ScriptError, re.error, ValueError) as error:
            problem = str(error)
            continue
        if args is not None:
            node.rule, node.args = rule, args
            return
    first = node.text.split()[0]
    near = [rule.pattern for rule in rules if rule.pattern.split()[0] == first]
    hint = problem or ("known: " + "; ".join(near) if near else f"no such line in a {where}")
    raise ScriptError(f"{node.place()}: {node.text}\n    {hint}")


def split_message(node):
    """The lines under a request or reply: headers as (name, text) and the others as nodes."""
    headers, others = [], []
    for kid in node.kids:
        found = HEADER_LINE.match(kid.text)
        if found:
            headers.append((found[1], found[2] or ""))
        else:
            others.append(kid)
    return headers, others
