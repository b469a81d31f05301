#!/usr/bin/env python3
"""House rules that no compiler checks: sizes, banned calls, include direction, header comments.

Prints one line per violation and exits with 1 if there is any. Exceptions stand in allow.txt, each
with its reason.
"""
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LAYERS = ["base", "observe", "net", "llm", "policy", "store", "gateway",
          "engine", "quality", "rag", "control", "cli"]
# net and llm do not see each other; neither do engine, quality and rag.
SIBLINGS = [{"net", "llm"}, {"engine", "quality", "rag"}]
MAX_FUNCTION, MAX_FILE, MAX_COLUMNS = 70, 1000, 100
BANNED = re.compile(
    r"(?<![\w.>])(strcpy|strcat|sprintf|vsprintf|gets|strtok|strtol|strtoul|strtoll|strtoull|atoi|atol"
    r"|atoll|alloca|malloc|calloc|realloc|free|strdup|strndup)\s*\(")
ALLOCATORS = {"malloc", "calloc", "realloc", "free", "strdup", "strndup"}
ABSOLUTE = re.compile(r'["\s=(](/work/|/tmp/)')


def tracked(*patterns):
    out = subprocess.run(["git", "ls-files", "-co", "--exclude-standard", "--", *patterns],
                         cwd=ROOT, capture_output=True, text=True, check=True)
    return [p for p in out.stdout.split("\n") if p and (ROOT / p).is_file()]


def allowed():
    rows = set()
    for line in (Path(__file__).parent / "allow.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            rule, where, *reason = line.split(maxsplit=2)
            if not reason:
                sys.exit(f"allow.txt: no reason given for {where}")
            rows.add((rule, where))
    return rows


def strip_comments(text):
    """Comments and strings become spaces, so that line numbers stay."""
    def blank(m):
        return re.sub(r"[^\n]", " ", m.group(0))
    return re.sub(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"', blank, text, flags=re.S)


def functions(lines):
    """(first line, last line, name) of each function: bodies stand between braces in column 0."""
    start = None
    for i, line in enumerate(lines):
        if line.rstrip() == "{" and i > 0 and not lines[i - 1].rstrip().endswith(("=", ",")):
            start = i
        elif line.startswith("}") and start is not None:
            head = start
            while head > 0 and lines[head - 1].strip() and not lines[head - 1].startswith(("}", "#")):
                head -= 1
            name = re.search(r"(\w+)\s*\(", " ".join(lines[head:start]))
            yield start, i, name.group(1) if name else "?"
            start = None


def layer_of(path):
    parts = path.split("/")
    return parts[1] if parts[0] == "src" and parts[1] in LAYERS else None


def may_include(layer, other):
    if any({layer, other} <= s for s in SIBLINGS) and layer != other:
        return False
    return LAYERS.index(other) <= LAYERS.index(layer)


def check_c(path, text, report):
    lines = text.split("\n")
    code = strip_comments(text)
    if not text.startswith("/*"):
        report("header-comment", path, 1, "the file does not begin with a comment that says what it is")
    if len(lines) > MAX_FILE:
        report("file-size", path, len(lines), f"{len(lines)} lines")
    for first, last, name in functions(code.split("\n")):
        if last - first + 1 > MAX_FUNCTION:
            report("function-size", f"{path}:{name}", first, f"{last - first + 1} lines")
    layer = layer_of(path)
    for i, line in enumerate(code.split("\n"), 1):
        m = BANNED.search(line)
        if m and not (m.group(1) in ALLOCATORS and (layer == "base" or not layer)):
            report("banned-call", path, i, m.group(1))
        if re.match(r"\s*typedef\s+(struct|enum|union)\b", line):
            report("typedef", path, i, "no typedef for structs and enums")
    for i, line in enumerate(lines, 1):
        if len(line.expandtabs(4)) > MAX_COLUMNS and "http" not in line:
            report("columns", path, i, f"{len(line)} columns")
        m = re.match(r'#include "(\w+)/', line)
        if m and layer and m.group(1) in LAYERS and not may_include(layer, m.group(1)):
            report("layer", path, i, f"{layer} may not include {m.group(1)}")


def check_any(path, text, report):
    for i, line in enumerate(text.split("\n"), 1):
        if ABSOLUTE.search(line) and "/tmp/weir" not in line and not path.startswith("tests/"):
            report("machine-path", path, i, line.strip()[:60])


def check_tour(path, text, report):
    """`net/lease.c:resend`, `net/loop.h`: what the documents send their readers to must be there."""
    for i, line in enumerate(text.split("\n"), 1):
        for name, function in re.findall(r"`([a-z]+/\w+\.[ch])(?::(\w+))?", line):
            layer = name.split("/")[0]
            files = [ROOT / "src" / name, ROOT / "src" / layer / "include" / name]
            found = [f.read_text() for f in files if f.is_file()]
            if not found or (function and not re.search(rf"\b{function}\(", found[0])):
                report("tour", path, i, f"{name} {function}".strip() + " is not there")


def main():
    allow, bad = allowed(), []

    def report(rule, where, line, what):
        if (rule, where) not in allow and (rule, where.split(":")[0]) not in allow:
            bad.append(f"{where.split(':')[0]}:{line}: {rule}: {what}"
                       + (f" ({where.split(':')[1]})" if ":" in where else ""))

    for path in tracked("src/*.c", "src/*.h", "src/*.cc", "tools/*.c", "tools/*.h", "tests/*.c", "tests/*.h",
                        "tests/*.cc"):
        check_c(path, (ROOT / path).read_text(), report)
    for path in tracked("*.sh", "*.py", "*.md", "*.txt", "*.cmake", "Makefile", "*.yaml"):
        check_any(path, (ROOT / path).read_text(errors="replace"), report)
    for path in ("ARCHITECTURE.md", "CONTRIBUTING.md", "docs/TOUR.md"):
        check_tour(path, (ROOT / path).read_text(), report)
    for line in bad:
        print(line)
    if bad:
        print(f"{len(bad)} violations of the house rules (CONTRIBUTING.md)")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
