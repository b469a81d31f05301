"""docs/matrix.md from the verdicts."""

import cells
import lacks
from features import FEATURES
from wires import WIRES

MARKS = {"pass": "yes", "dropped": "hint", "ignored": "ignored", "refused": "400", "n.a.": "", "FAIL": "FAIL"}
TITLES = {"openai": "OpenAI chat completions", "responses": "OpenAI Responses",
          "anthropic": "Anthropic Messages", "google": "Google generateContent"}
HEAD = """# Clients and providers

What comes through when a client speaks one dialect and the provider another, as `tests/matrix` finds
it: each cell was asked for as JSON and as a stream (where there are both), against providers' wires
that check every request as the real API does.

`yes`: all of it arrives, at both ends. `hint`: the answer is right, a hint that the provider has no
word for is left out and named in `x-weir-dropped`. `400`: it would change the answer's meaning, so the
request is refused with the field's name. `ignored`: it arrives, and the provider does nothing with it.
Empty: one side has no word for it at all.
"""


def mark(results, wire, dialect, feature):
    kinds = {results[wire, dialect, feature.name, mode].kind for mode in feature.modes}
    return " / ".join(sorted(MARKS[kind] for kind in kinds))


def table(results, dialect):
    lines = ["| | " + " | ".join(WIRES) + " |", "|---|" + "---|" * len(WIRES)]
    for feature in FEATURES.values():
        row = [mark(results, wire, dialect, feature) for wire in WIRES]
        lines.append(f"| {feature.about} | " + " | ".join(row) + " |")
    return lines


def facts(title, rows):
    lines = ["", f"## {title}", "", "| provider | | why | source |", "|---|---|---|---|"]
    for key, (why, source) in sorted(merged(rows).items()):
        lines.append(f"| {key[0]} | {key[1]} | {why} | {source} |")
    return lines


def merged(rows):
    """The rows without the dialects that some are for."""
    return {key[-2:]: row for key, row in rows.items()}


def document(results):
    lines = [HEAD]
    for dialect in cells.DIALECTS:
        lines += [f"## Clients of {TITLES[dialect]}", "", *table(results, dialect), ""]
    lines.pop()
    lines += facts("Refused", lacks.REFUSED) + facts("Left out and named", lacks.DROPPED)
    lines += facts("Refused by the provider", lacks.THERE)
    lines += facts("Ignored there", lacks.IGNORED) + facts("Never in an answer", lacks.SILENT)
    lines += facts("Said in another place", lacks.MOVED)
    return "\n".join(lines) + "\n"
