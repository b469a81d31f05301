"""The comparison: exchange by exchange, attempt by attempt, token by token.

What has to hold is said once, in `Exchange`. An exchange is *touched* when the gateway was killed
while it was open, or shortly after: only such exchanges may have rows that are `crashed` or lack some.
Of those whose answer had come to its end before the kill no more may lack their row than there are
workers, each of which can be between an answer and its settlement. Rows are estimated only where the
upstream did not report, or where the client had left before the report was read.
"""

import bisect
import collections

from books import FIGURES, NOT_SAID, PARTLY, STAGES, WHOLLY, cost_of
from script import KEYS, MODELS, WORKERS

DOUBT_NS = 200_000_000        # between an answer's end, or a client's leaving, and its settlement
LOG_DOUBT_NS = 2_000_000_000  # lines of the access log wait in memory for so long, and die with it
SHOWN = 3
REFUSALS = {"e"}     # kinds of the mock that answer with an error: nothing was used
UNUSED = {"e", "r"}  # and those that come to nothing


def in_rounds(places):
    """Through the targets in their order, and then perhaps from the first one on again."""
    first = sorted(set(places))
    return all(place == first[at % len(first)] for at, place in enumerate(places))


class Differences:
    """What does not reconcile, by kind."""

    def __init__(self):
        self.by_kind = collections.OrderedDict()

    def add(self, kind, text):
        self.by_kind.setdefault(kind, []).append(text)

    def total(self):
        return sum(map(len, self.by_kind.values()))

    def first(self):
        for kind, texts in self.by_kind.items():
            return f"{kind}: {texts[0]}"[:110]
        return "none"

    def print(self):
        for kind, texts in self.by_kind.items():
            print(f"FAIL: {kind}: {len(texts)}")
            for text in texts[:SHOWN]:
                print(f"        {text}")


TABLE = ("exchanges", "upstream requests", "reports in the ledger", "kills", "exchanges that a kill may have hit",
         "rows", "rows exact", "tokens compared", "rows of nothing", "rows of refusals", "rows of an interim report",
         "rows estimated", "  the upstream said nothing", "  the upstream said a part", "  the client had left",
         "  the gateway was killed", "tokens estimated", "rows crashed", "exchanges crashed",
         "exchanges crashed, at most", "answers given and not settled", "rows of exchanges without a name",
         "sums compared", "budgets compared", "log lines compared", "log tokens compared")


class Counts:
    """The table: what was compared."""

    def __init__(self):
        self.number = {name: 0 for name in TABLE}

    def add(self, name, n=1):
        self.number[name] += n

    def get(self, name):
        return self.number[name]

    def print(self):
        width = max(map(len, self.number))
        for name, n in self.number.items():
            print(f"  {name:{width}} {n:>16,}")

    def headline(self, ledger):
        if not ledger:
            return f"{self.get('log lines compared'):,} log lines, 0 differences"
        return (f"{self.get('rows'):,} rows, {self.get('tokens compared'):,} tokens, difference 0; "
                f"{self.get('rows estimated'):,} estimated, {self.get('rows crashed'):,} crashed")


class Touch:
    """Which exchanges a kill may have hit: (signal sent, process gone) for each of them."""

    def __init__(self, books):
        self.kills = sorted(books.kills)
        self.gone = [gone for _, gone in self.kills]
        self.ids = {number for number, result in books.results.items()
                    if self.killed_within(result, DOUBT_NS if left(result) else 0)}

    def killed_within(self, result, doubt):
        """Was there a kill between the exchange's start and its end, or so much later?"""
        at = bisect.bisect_left(self.gone, result.start)
        return at < len(self.kills) and self.kills[at][0] <= result.end + doubt


def show(books, number):
    """An exchange in one line, for people."""
    line, result = books.script.get(number), books.results.get(number)
    entries = "; ".join(f"stage {e.stage} kind {e.kind} said {e.said} {dict(zip(FIGURES, e.tokens))}"
                        f"{' gone' if e.gone else ''}" for e in books.entries.get(number, []))
    return f"#{number} {line and line.text().strip()} | {result} | {entries}"


def show_row(row):
    return (f"{row.request_id} {row.reason} attempt {row.attempt} {row.names['target']} "
            f"{dict(zip(FIGURES, row.tokens))} {sorted(row.flags)} cost {row.cost_nano}")


def left(result):
    return result.outcome == "a"


# ---- the access log

def check_log(books, counts, found):
    """The access log's tokens of every exchange are those of the last attempt that reported any."""
    touch = Touch(books)
    for number, result in books.results.items():
        lines = books.log.get(number, [])
        counts.add("log lines compared", len(lines))
        if len(lines) > 1:
            found.add("an exchange twice in the access log", show(books, number))
        elif not lines and result.request_id and not touch.killed_within(result, LOG_DOUBT_NS):
            found.add("an exchange that the access log lacks", show(books, number))
        elif lines:
            compare_log_line(books, number, lines[0], left(result) or number in touch.ids, counts, found)


def compare_log_line(books, number, line, excused, counts, found):
    said = [entry for entry in books.entries.get(number, []) if entry.said != NOT_SAID]
    got = [line.get(f"{name}_tokens", -1) for name in ("input", "output", "cached")]
    if not said:
        if max(got) >= 0:
            found.add("the access log has tokens that nobody reported", f"{got} {show(books, number)}")
        return
    want = [said[-1].tokens[0], said[-1].tokens[1], said[-1].tokens[2]]
    if excused:
        wrong = got[0] >= 0 and got[0] not in [entry.tokens[0] for entry in said]
    else:
        wrong = got != want
    counts.add("log tokens compared", max(0, got[0]) + max(0, got[1]))
    if wrong:
        found.add("the access log has other tokens", f"{got} for {want}: {show(books, number)}")


# ---- the ledger

class Exchange:
    """One exchange with its rows and the upstream requests that it made."""

    def __init__(self, books, number, rows, touch, counts, found):
        self.books, self.number, self.rows = books, number, rows
        self.line, self.result = books.script[number], books.results[number]
        self.entries = books.entries.get(number, [])
        self.touched = number in touch.ids
        late = not self.touched and touch.killed_within(self.result, DOUBT_NS)
        if late and (not any(row.final for row in rows) or any(row.crashed for row in rows)):
            self.touched = True
            counts.add("answers given and not settled")
        self.counts, self.found = counts, found

    def wrong(self, kind, row=None):
        self.found.add(kind, (show_row(row) + " | " if row else "") + show(self.books, self.number))

    def check(self):
        self.check_shape()
        for row in self.rows:
            self.check_names(row)
            if row.attempt == 0:
                self.check_refusal(row)
            else:
                self.check_attempt(row)
        for entry in self.entries:
            self.check_entry(entry)

    def check_shape(self):
        finals = [row for row in self.rows if row.final]
        attempts = [row.attempt for row in self.rows]
        if len(set(attempts)) != len(attempts):
            self.wrong("an attempt has two rows")
        if not self.touched and sorted(attempts) not in ([0], list(range(1, len(attempts) + 1))):
            self.wrong(f"attempts {attempts}")
        places = [row.stage for row in sorted(self.rows, key=lambda row: row.attempt)]
        if not in_rounds(places):
            self.wrong("targets out of their order")
        if len(finals) > 1 or (not finals and not self.touched):
            self.wrong(f"an exchange has {len(finals)} final rows")
        if finals and not self.touched and self.result.outcome == "c" and finals[0].status != self.result.status:
            self.wrong("another status than the client has seen", finals[0])
        if self.result.outcome == "c" and not self.touched and self.result.attempts != max(attempts, default=0):
            self.wrong("another number of attempts than the client was told")

    def check_names(self, row):
        key = KEYS[self.line.key]
        want = {"key": self.line.key, "team": key.team, "organisation": key.organisation,
                "use_case": self.line.booked_use_case, "model": self.line.model}
        for name, value in want.items():
            if row.names[name] != value:
                self.wrong(f"a row of another {name}", row)
        if bool(self.line.user) != bool(row.user):
            self.wrong("a row of another user", row)

    def check_refusal(self, row):
        self.counts.add("rows of refusals")
        if any(n > 0 for n in row.tokens) or row.cost_nano:
            self.wrong("a refusal costs something", row)
        if self.entries:
            self.wrong("refused and yet sent upstream", row)

    def entry_of(self, row):
        """The upstream request that the row is about; of several by a resend, the one that reported."""
        here = [entry for entry in self.entries if entry.stage == row.stage]
        return max(here, key=lambda entry: entry.said) if here else None

    def check_attempt(self, row):
        targets = MODELS[self.line.model]
        if f"{row.names['provider']}/{row.names['target']}" not in targets:
            self.wrong("an attempt at another target", row)
            return
        if row.crashed:
            self.counts.add("rows crashed")
            if not self.touched:
                self.wrong("crashed, though nothing was killed", row)
            return
        if "unpriced" in row.flags:
            self.wrong("no price, though there is one", row)
        if row.cost_nano != cost_of(row.names["provider"], row.tokens):
            self.wrong(f"a cost other than {cost_of(row.names['provider'], row.tokens)}", row)
        entry = self.entry_of(row)
        if row.estimated:
            self.check_estimate(row, entry)
        else:
            self.check_exact(row, entry)

    def check_exact(self, row, entry):
        """A row without flags is what was reported, or nothing where nothing was used."""
        want = tuple(max(0, n) for n in entry.tokens) if entry and entry.said != NOT_SAID else (0,) * len(FIGURES)
        partly = entry is not None and entry.said == PARTLY  # Gemini's latest figure before it broke off
        self.counts.add("rows of nothing" if not any(row.tokens) else
                        "rows of an interim report" if partly else "rows exact")
        self.counts.add("tokens compared", row.figure("input") + row.figure("output"))
        if row.tokens == want:
            if entry and entry.said != WHOLLY and entry.kind not in UNUSED and not row.figure("output"):
                self.wrong("the upstream has worked and not said how much, and nothing is estimated", row)
            return
        interim = entry and entry.said != NOT_SAID and entry.wire == 2 and row.figure("input") == want[0] and \
            row.figure("output") <= max(want[1], 12)
        if not (interim and (partly or left(self.result))):
            self.wrong("not what the upstream reported", row)

    def check_estimate(self, row, entry):
        self.counts.add("rows estimated")
        self.counts.add("  the client had left" if left(self.result) else
                        "  the gateway was killed" if self.touched else
                        "  the upstream said nothing" if not entry or entry.said == NOT_SAID else
                        "  the upstream said a part")
        self.counts.add("tokens estimated", row.figure("input") + row.figure("output"))
        if entry and entry.kind in REFUSALS and any(row.tokens) and not left(self.result):
            self.wrong("an upstream's refusal costs something", row)
        if "estimated_input" not in row.flags and entry and entry.said != NOT_SAID:
            if row.figure("input") != entry.tokens[0]:
                self.wrong("another input than was reported", row)
        excused = left(self.result) or self.touched
        if entry and entry.said == WHOLLY and not excused:
            self.wrong("estimated, though the upstream has reported", row)
        if entry and entry.said == PARTLY and "estimated_input" in row.flags and not excused:
            self.wrong("an estimated input, though the upstream has reported it", row)

    def check_entry(self, entry):
        """An upstream request is in the ledger."""
        rows = [row for row in self.rows if row.stage == entry.stage and row.attempt > 0]
        self.counts.add("upstream requests")
        if not rows and not self.touched:
            self.wrong("an upstream request without a row")
        if entry.said == WHOLLY and rows and not self.touched:
            self.counts.add("reports in the ledger")


def check_ledger(books, counts, found):
    touch = Touch(books)
    by_id, unknown = collections.defaultdict(list), []
    for row in books.rows:
        number = books.names.get(row.request_id)
        if number is None:
            number = number_of(books, row)
        if number is None:
            unknown.append(row)
        else:
            by_id[number].append(row)
    counts.add("exchanges", len(books.results))
    counts.add("kills", len(books.kills))
    counts.add("exchanges that a kill may have hit", len(touch.ids))
    counts.add("rows", len(books.rows))
    for number, result in books.results.items():
        if number in by_id or result.request_id or number in books.log:
            Exchange(books, number, by_id.get(number, []), touch, counts, found).check()
    check_unknown(unknown, books, touch, by_id, counts, found)
    check_bound(books, touch, counts, found)


def check_bound(books, touch, counts, found):
    """A kill leaves no more behind than connections were open, and clients had just left."""
    crashed = {row.request_id for row in books.rows if row.crashed}
    bound = len(books.kills) * books.connections + sum(left(books.results[number]) for number in touch.ids)
    counts.add("exchanges crashed", len(crashed))
    counts.add("exchanges crashed, at most", bound)
    if len(crashed) > bound:
        found.add("more crashed exchanges than were open", f"{len(crashed)}, at most {bound}")
    late = counts.get("answers given and not settled")
    if late > len(books.kills) * WORKERS:
        found.add("answers given and not settled", f"{late}, at most {len(books.kills) * WORKERS}")


def number_of(books, row):
    """The exchange that only its row knows: the input names it."""
    if row.crashed or row.estimated or row.figure("input") < 10:
        return None
    number = (row.figure("input") - 10) // STAGES
    stages = [entry.stage for entry in books.entries.get(number, [])]
    return number if row.stage in stages and (row.figure("input") - 10) % STAGES == row.stage else None


def check_unknown(rows, books, touch, by_id, counts, found):
    """Rows of exchanges that no client, no log line and no input can name: their clients left before
    the head, and a kill took the log's lines. They are compared by number."""
    nameless = [number for number, result in books.results.items()
                if not result.request_id and number not in books.log and number not in by_id]
    exchanges = {row.request_id for row in rows}
    crashed = {row.request_id for row in rows if row.crashed}
    counts.add("rows of exchanges without a name", len(rows))
    if len(exchanges) > len(nameless):
        found.add("rows that belong to nothing",
                  f"{len(exchanges)} exchanges, {len(nameless)} are missing: {show_row(rows[0])}")
    hit = [number for number in nameless if number in touch.ids]
    if len(crashed) > len(hit):
        found.add("crashed rows that belong to nothing",
                  f"{len(crashed)} exchanges, {len(hit)} were hit: {show_row(rows[0])}")
    for name, test in (("rows crashed", "crashed"), ("rows estimated", "estimated")):
        counts.add(name, sum(getattr(row, test) for row in rows))
    if len({(row.request_id, row.attempt) for row in rows}) != len(rows):
        found.add("an attempt has two rows", "among those without a name")
    sent = [number for number in nameless if was_sent(books, touch, number)]
    if len(sent) > len(exchanges):
        found.add("upstream requests that the ledger has forgotten",
                  f"{len(sent)} exchanges, {len(exchanges)} in the ledger: {show(books, sent[0])}")


def was_sent(books, touch, number):
    """Has it had a request upstream that the ledger has to know of, if only as crashed?"""
    entries = books.entries.get(number, [])
    if number not in touch.ids:
        return bool(entries)
    return any(entry.gone and entry.start < sent <= entry.end for entry in entries for sent, _ in touch.kills)
