"""What the test has in its hands: the mock's book, the load's results, the access log, the ledger."""

import collections
import dataclasses
import json

from script import PRICES, Line

FIGURES = ("input", "output", "cached", "cache_write", "reasoning")
NOT_SAID, PARTLY, WHOLLY = 0, 1, 2  # SAID of mock.c
STAGES = 4                          # an input is 10 + 4 * id + stage


@dataclasses.dataclass
class Entry:
    """An upstream request as the mock saw it; see mock.c."""
    id: int
    stage: int
    wire: int
    stream: bool
    kind: str
    said: int
    tokens: tuple  # by FIGURES, -1: not said
    gone: bool
    start: int
    end: int


@dataclasses.dataclass
class Result:
    """An exchange as its client saw it; see load.c. `outcome`: c complete, a left, b broken."""
    outcome: str
    status: int
    request_id: str
    target: str
    attempts: int
    start: int
    end: int


@dataclasses.dataclass
class Row:
    """A row of the ledger."""
    request_id: str
    reason: str
    attempt: int
    status: int
    names: dict  # model, provider, target, key, team, organisation, use_case
    user: str    # hash, or ""
    flags: frozenset
    tokens: tuple
    cost_nano: int

    @property
    def final(self):
        return "final" in self.flags

    @property
    def crashed(self):
        return self.reason == "crashed"

    @property
    def estimated(self):
        return bool(self.flags & {"estimated_input", "estimated_output"})

    @property
    def stage(self):
        last = self.names["target"][-1:]
        return int(last) if last.isdigit() else 0

    def figure(self, name):
        return self.tokens[FIGURES.index(name)]


@dataclasses.dataclass
class Books:
    script: dict    # id -> script.Line
    entries: dict   # id -> [Entry], in their order
    strangers: int  # requests at the mock that no exchange asked for
    results: dict   # id -> Result
    log: dict       # id -> [line of the access log]
    torn: int       # lines of the access log that a kill has cut
    rows: list
    kills: list     # (signal sent, process gone), monotonic ns
    names: dict     # request id -> id, as far as anybody knows it
    connections: int  # of the load


def read_entries(path):
    entries, strangers = collections.defaultdict(list), 0
    with open(path, encoding="ascii") as file:
        for text in file:
            w = text.split()
            entry = Entry(int(w[0]), int(w[1]), int(w[2]), w[3] == "1", w[4], int(w[5]),
                          tuple(int(n) for n in w[6:11]), w[11] == "1", int(w[12]), int(w[13]))
            if entry.id < 0:
                strangers += 1
            else:
                entries[entry.id].append(entry)
    for several in entries.values():
        several.sort(key=lambda entry: entry.start)
    return dict(entries), strangers


def read_results(path):
    results = {}
    with open(path, encoding="ascii") as file:
        for text in file:
            number, outcome, status, name, target, attempts, start, end, _ = text.split()
            results[int(number)] = Result(outcome, int(status), "" if name == "-" else name,
                                          "" if target == "-" else target,
                                          0 if attempts == "-" else int(attempts), int(start), int(end))
    return results


def client_number(address):
    """The exchange's number, which the load gives as the client's address: fd00::HIGH+1:LOW."""
    words = address.split(":")
    if words[:2] != ["fd00", ""] or len(words) not in (3, 4):
        return None
    high, low = int(words[2], 16), int(words[3] or "0", 16) if len(words) == 4 else 0
    return (high - 1 << 16) + low


def read_log(path):
    log, torn = collections.defaultdict(list), 0
    with open(path, encoding="utf-8", errors="replace") as file:
        for text in file:
            try:
                line = json.loads(text)
            except ValueError:
                torn += 1
                continue
            number = client_number(line.get("client", ""))
            if number is not None:
                log[number].append(line)
    return dict(log), torn


def read_rows(path):
    """`weir ledger export`: an object for each row, one a line."""
    rows = []
    with open(path, encoding="utf-8") as file:
        for text in file:
            rows.append(row_of(json.loads(text)))
    return rows


NAMES = ("model", "provider", "target", "key", "team", "organisation", "use_case")




def row_of(value):
    return Row(value["id"], value["reason"], value["attempt"], value["status"],
               {name: value.get(name, "") for name in NAMES}, value.get("user", ""),
               frozenset(value["flags"]), tuple(value[name] for name in FIGURES), value["cost_nano"])


def names_of(results, log):
    """{request id: exchange} from the heads that clients saw and from the access log, and the ids
    that they contradict each other about."""
    names = {result.request_id: number for number, result in results.items() if result.request_id}
    contradictions = []
    for number, lines in log.items():
        for line in lines:
            known = names.setdefault(line["request_id"], number)
            if known != number:
                contradictions.append((line["request_id"], known, number))
    return names, contradictions


def cost_of(provider, tokens):
    """What these tokens cost, in nano-dollars."""
    fresh, out, cached, written = PRICES[provider]
    t = [max(0, n) for n in tokens]
    return (t[0] - t[2] - t[3]) * fresh + t[1] * out + t[2] * cached + t[3] * written


def script_of(text):
    """A line of the script file, back from its text."""
    w = text.split()
    return Line(int(w[0]), w[1], w[2] == "1", w[3] == "1", w[4].removeprefix("sk-books-"), w[5],
                "" if w[6] == "-" else w[6], "" if w[7] == "-" else w[7], w[8], int(w[9]), w[10:])


def read_script(path):
    with open(path, encoding="ascii") as file:
        lines = [script_of(text) for text in file]
    return {line.id: line for line in lines}
