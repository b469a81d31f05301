"""The sums: what the admin API, `weir usage` and GET /v1/key say, against the rows of the ledger."""

import collections
import json
import time
import urllib.parse
from decimal import Decimal

from script import KEYS, secret

DIMENSIONS = ("total", "model", "provider", "target", "key", "team", "organisation", "use_case", "user")
WINDOW = "2d"  # whole days, today and yesterday: a run may go on past midnight
PAGE = 20      # lines: there is more than one page of users
SETTLED_S, WAIT_S = 1.5, 60
# Member of the answers -> what it is the sum of.
TOKENS = {"input_tokens": "input", "output_tokens": "output", "cached_tokens": "cached",
          "cache_write_tokens": "cache_write", "reasoning_tokens": "reasoning"}


# ---- asking

def settled(weir):
    """Waits until the rollups no longer change: they are merged once a second."""
    end, last = time.monotonic() + WAIT_S, None
    while time.monotonic() < end:
        now = weir.admin(f"/admin/v1/usage?by=total&from={WINDOW}")["lines"]
        if now == last:
            return
        last = now
        time.sleep(SETTLED_S)


def pages(weir, by):
    """All lines, page by page."""
    lines, after = [], ""
    while True:
        path = f"/admin/v1/usage?by={by}&from={WINDOW}&sort=name&limit={PAGE}"
        answer = weir.admin(path + (f"&after={urllib.parse.quote(after, safe='')}" if after else ""))
        lines += answer["lines"]
        after = answer.get("next", "")
        if not after:
            return lines


def by_command(weir, by):
    of = "model" if by == "total" else by.replace("_", "-")
    answer = json.loads(weir.command("usage", "--by", of, "--last", WINDOW, "--top", 1000, "--json"))
    return [answer["total"]] if by == "total" else answer["lines"]


def ask(weir, folder):
    """Keeps the sums of this moment in files of the folder."""
    folder.mkdir()
    settled(weir)
    api = {by: pages(weir, by) for by in DIMENSIONS}
    command = {by: by_command(weir, by) for by in DIMENSIONS}
    keys = {}
    for key in KEYS:
        status, body = weir.get("/v1/key", secret(key))
        keys[key] = {"status": status, "body": json.loads(body, parse_float=str)}
    for name, value in (("api", api), ("command", command), ("keys", keys)):
        (folder / f"{name}.json").write_text(json.dumps(value, indent=1), "utf-8")


def export(weir):
    return weir.command("ledger", "export")


# ---- comparing

def name_of(row, by):
    if by == "total":
        return ""
    if by == "target" and row.names["target"]:
        return f"{row.names['provider']}/{row.names['target']}"
    return row.user if by == "user" else row.names[by]


def sums_of(rows, by):
    """{name: {member: sum}} as the answers should have it."""
    sums = collections.defaultdict(collections.Counter)
    for row in rows:
        line = sums[name_of(row, by)]
        line["requests"] += row.final
        line["refused"] += row.final and row.reason in ("refused", "blocked")
        line["crashed"] += row.crashed
        line["attempts"] += row.attempt > 0
        line["cost_nano"] += row.cost_nano
        for member, figure in TOKENS.items():
            line[member] += row.figure(figure)
    return sums


def check(books, folder, moment, counts, found):
    for source in ("api", "command"):
        answers = json.loads((folder / f"{source}.json").read_text("utf-8"))
        for by in DIMENSIONS:
            check_lines(books, answers[by], by, f"{source} {moment} a restart", counts, found)
    check_keys(books, folder, moment, counts, found)


def check_lines(books, lines, by, where, counts, found):
    want = sums_of(books.rows, by)
    got = {line.get("name", ""): line for line in lines}
    if len(got) != len(lines):
        found.add("a name twice in the sums", f"{where}, by {by}")
    for name in sorted(set(want) | set(got)):
        if not any(want[name].values()) and name not in got:
            continue
        for member, sum_of_rows in want[name].items():
            counts.add("sums compared")
            said = got.get(name, {}).get(member, 0)
            if said != sum_of_rows:
                found.add("a sum is not that of its rows",
                          f"{where}, by {by} `{name}`: {member} is {said}, the rows have {sum_of_rows}")


def check_keys(books, folder, moment, counts, found):
    """What a key has spent is what its rows cost: a budget survives kills and restarts."""
    spent = collections.Counter()
    for row in books.rows:
        spent[("key", row.names["key"])] += row.cost_nano
        spent[("team", row.names["team"])] += row.cost_nano
        spent[("organisation", row.names["organisation"])] += row.cost_nano
    keys = json.loads((folder / "keys.json").read_text("utf-8"))
    for key, answer in keys.items():
        if answer["status"] != 200:
            found.add("GET /v1/key fails", f"{moment}: {key}: {answer}")
            continue
        scopes = {(scope["scope"], scope["name"]): scope for scope in answer["body"]["scopes"]}
        if ("key", key) not in scopes:
            found.add("GET /v1/key does not know its key", f"{moment}: {key}: {answer}")
        for where, scope in scopes.items():
            if where[0] not in ("key", "team", "organisation"):
                continue
            counts.add("budgets compared")
            month = next(s for s in scope["spend"] if s["period"] == "month")
            nano = int(Decimal(str(month["spent_usd"])) * 10**9)
            if nano != spent[where]:
                found.add("a budget is not what its rows cost",
                          f"{moment} a restart: {' '.join(where)}: {nano} nano-dollars, the rows cost {spent[where]}")
