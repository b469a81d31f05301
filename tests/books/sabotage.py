"""Ways to spoil the books, each of which the comparison has to notice."""

import copy
import dataclasses

from compare import DOUBT_NS, Touch


def far_from_kills(books):
    """Exchanges for which nothing is excused."""
    touch = Touch(books)
    return {number for number, result in books.results.items() if not touch.killed_within(result, DOUBT_NS)}


def exact_row(books):
    """A row that has tokens and no flags, of an exchange that is known."""
    good = far_from_kills(books)
    for at, row in enumerate(books.rows):
        if books.names.get(row.request_id) in good and row.final and row.reason == "complete" and \
                not row.estimated and row.tokens[1] > 12:
            return at
    raise AssertionError("there is no exact row to spoil")


def rows_changed(books, change):
    at = exact_row(books)
    rows = list(books.rows)
    rows[at:at + 1] = change(rows[at])
    return dataclasses.replace(books, rows=rows)


def drop_row(books):
    return rows_changed(books, lambda row: [])


def twice(books):
    return rows_changed(books, lambda row: [row, copy.copy(row)])


def one_token(books):
    return rows_changed(books, lambda row: [dataclasses.replace(
        row, tokens=(row.tokens[0], row.tokens[1] + 1, *row.tokens[2:]))])


def nano_dollar(books):
    return rows_changed(books, lambda row: [dataclasses.replace(row, cost_nano=row.cost_nano + 1)])


def other_key(books):
    return rows_changed(books, lambda row: [dataclasses.replace(row, names={**row.names, "key": "nobody"})])


def flag(books):
    return rows_changed(books, lambda row: [dataclasses.replace(row, flags=row.flags | {"estimated_output"})])


def crash(books):
    return rows_changed(books, lambda row: [dataclasses.replace(row, reason="crashed")])


def stranger(books):
    return rows_changed(books, lambda row: [row] + [
        dataclasses.replace(row, request_id=f"wr-nobody-{n}", flags=row.flags | {"estimated_output"})
        for n in range(len(books.results))])


def said_entry(books):
    good = far_from_kills(books)
    for number, entries in books.entries.items():
        if entries[-1].said == 2 and number in good and books.results[number].outcome == "c":
            return number
    raise AssertionError("there is no entry to spoil")


def report(books):
    """The mock has reported a token more than the gateway knows of."""
    number = said_entry(books)
    entries = list(books.entries[number])
    tokens = entries[-1].tokens
    entries[-1] = dataclasses.replace(entries[-1], tokens=(tokens[0], tokens[1] + 1, *tokens[2:]))
    return dataclasses.replace(books, entries={**books.entries, number: entries})


WAYS = {"drop-row": drop_row, "row-twice": twice, "one-token": one_token, "one-nano-dollar": nano_dollar,
        "other-key": other_key, "false-estimate": flag, "false-crash": crash, "strangers": stranger,
        "report": report}


def ways(ledger):
    return list(WAYS) if ledger else ["report"]


def spoil(name, books):
    return WAYS[name](books)
