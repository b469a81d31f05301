#!/usr/bin/env python3
"""Reconciles the ledger with the books of an upstream that keeps its own.

  run.py --weir build/release/src/cli/weir --exchanges 100000

Plays exchanges in all dialects, whole and streamed, on all wires, with every way they can end; kills
the gateway (SIGKILL) at random moments and starts it anew on the same data; then compares, attempt by
attempt and token by token, the ledger's rows with what the upstream says it reported, and the sums of
`weir usage`, of the admin API and of GET /v1/key with the rows. --self-check then spoils the books in
each way that sabotage.py knows, which has to be found every time.
"""

import argparse
import gc
import pathlib
import random
import re
import shutil
import signal
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "shared")]

import books  # noqa: E402
import compare  # noqa: E402
import gateway  # noqa: E402
import sabotage  # noqa: E402
import script  # noqa: E402
import sums  # noqa: E402
from ports import free_port  # noqa: E402

TOOLS = HERE.parent.parent / "build" / "dev" / "tests" / "books"
SANITIZER = re.compile(r"ERROR: \w+Sanitizer|runtime error:|LeakSanitizer")
KILLED_AGAIN = 0.4    # of the kills: again at the next start
AGAIN_WITHIN_S = 0.06
GRACEFUL_EACH = 4  # every fourth life ends with SIGTERM


def say(text):
    print(text, flush=True)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weir", type=pathlib.Path, help="the gateway's binary")
    parser.add_argument("--tools", type=pathlib.Path, default=TOOLS,
                        help="folder with the built books_mock and books_load (build/dev/tests/books)")
    parser.add_argument("--exchanges", type=int, default=20000)
    parser.add_argument("--lives", type=int, default=0, help="of the gateway (default: one for 4,000 exchanges, "
                                                             "at least 9)")
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--seed", type=int, default=0, help="0: another one each time; it is printed")
    parser.add_argument("--self-check", action="store_true", help="spoil the books afterwards: it must be noticed")
    parser.add_argument("--sabotage", choices=sorted(sabotage.WAYS), help="spoil them and compare: a failure")
    parser.add_argument("--without-ledger", action="store_true", help="compare the access log only")
    parser.add_argument("--keep", type=pathlib.Path, help="keep everything in this folder, which must not exist")
    parser.add_argument("--again", type=pathlib.Path, help="compare what is in such a folder; play nothing")
    args = parser.parse_args()
    if not args.weir and not args.again:
        parser.error("--weir is missing")
    args.seed = args.seed or random.SystemRandom().randrange(1, 1 << 31)
    args.lives = args.lives or max(9, args.exchanges // 4000)
    return args


# ---- playing

def ends_of(rng, exchanges, lives):
    """After how many exchanges a life ends, and how."""
    counts = sorted(rng.sample(range(exchanges // 50, exchanges - exchanges // 50), lives - 1))
    return [(count, signal.SIGTERM if at % GRACEFUL_EACH == GRACEFUL_EACH - 1 else signal.SIGKILL)
            for at, count in enumerate(counts)]


def end_life(weir, how, rng):
    """Ends the gateway, and often enough once more while it still reads what the kill has left."""
    time.sleep(rng.random() * 0.02)
    if how == signal.SIGTERM:
        weir.stop()
        return
    weir.kill()
    while rng.random() < KILLED_AGAIN:
        weir.launch()
        time.sleep(rng.random() * AGAIN_WITHIN_S)
        weir.kill()


def play(args, folder, rng):
    """Plays the script; the gateway still runs when this returns."""
    (folder / "script.txt").write_text(
        "".join(line.text() for line in script.script(rng, args.exchanges)), "ascii")
    (folder / "connections.txt").write_text(f"{args.connections}\n", "ascii")
    weir = gateway.Gateway(folder, args.weir.resolve(), free_port())
    tools = [gateway.Mock(folder, args.tools / "books_mock")]
    try:
        (folder / "weir.yaml").write_text(script.config(weir.port, free_port(), tools[0].port, folder,
                                                        args.exchanges, not args.without_ledger), "utf-8")
        weir.start()
        tools.append(gateway.Load(folder, args.tools / "books_load", weir.port, args.connections))
        ends = ends_of(rng, args.exchanges, args.lives)
        for done in tools[1].progress():
            while ends and done >= ends[0][0]:
                end_life(weir, ends.pop(0)[1], rng)
                weir.start()
        tools[0].end(signal.SIGTERM)
    except BaseException:
        for tool in tools + ([weir.tool] if weir.tool else []):
            tool.abandon()
        raise
    (folder / "kills.txt").write_text("".join(f"{sent} {gone} {how}\n" for sent, gone, how in weir.ends), "ascii")
    return weir


def play_and_ask(args, folder):
    """Everything that needs processes. Leaves the folder with all that is to be compared."""
    rng = random.Random(args.seed)
    began = time.monotonic()
    weir = play(args, folder, rng)
    took = time.monotonic() - began
    say(f"{args.exchanges} exchanges in {args.lives} lives took {took:.1f} s: {args.exchanges / took:.0f}/s")
    try:
        if not args.without_ledger:
            sums.ask(weir, folder / "before")
            weir.stop()
            weir.start()
            sums.ask(weir, folder / "after")
        weir.stop()
        if not args.without_ledger:
            (folder / "ledger.jsonl").write_text(sums.export(weir), "utf-8")
            say(weir.command("ledger", "verify").strip())
    finally:
        weir.tool.abandon()
    if SANITIZER.search(weir.tool.log.read_text("utf-8", "replace")):
        raise gateway.Broken(f"a sanitizer reports: {weir.tool.tail()}")


# ---- comparing

def collect(folder, ledger):
    entries, strangers = books.read_entries(folder / "book.txt")
    results = books.read_results(folder / "results.txt")
    log, torn = books.read_log(folder / "access.log")
    names, contradictions = books.names_of(results, log)
    with open(folder / "kills.txt", encoding="ascii") as file:
        ends = [tuple(map(int, text.split())) for text in file]
    found = compare.Differences()
    for contradiction in contradictions:
        found.add("two exchanges with one id", str(contradiction))
    rows = books.read_rows(folder / "ledger.jsonl") if ledger else []
    kills = [(sent, gone) for sent, gone, how in ends if how == signal.SIGKILL]
    return books.Books(books.read_script(folder / "script.txt"), entries, strangers, results, log, torn, rows,
                       kills, names, int((folder / "connections.txt").read_text("ascii"))), found


def examine(all_books, folder, ledger, found=None):
    """Compares everything: the differences, and the counts for the table."""
    found = found if found is not None else compare.Differences()
    counts = compare.Counts()
    compare.check_log(all_books, counts, found)
    if ledger:
        compare.check_ledger(all_books, counts, found)
        for moment in ("before", "after"):
            sums.check(all_books, folder / moment, moment, counts, found)
    return counts, found


def self_check(all_books, folder, ledger):
    """Spoils the books in every way; returns the ways that were not noticed."""
    missed = []
    for name in sabotage.ways(ledger):
        _, found = examine(sabotage.spoil(name, all_books), folder, ledger)
        say(f"  sabotage {name:24} {found.total()} differences, the first: {found.first()}")
        if not found.total():
            missed.append(name)
    return missed


def reconcile(args, folder):
    ledger = not args.without_ledger
    all_books, found = collect(folder, ledger)
    if args.sabotage:
        all_books = sabotage.spoil(args.sabotage, all_books)
    counts, found = examine(all_books, folder, ledger, found)
    counts.print()
    found.print()
    if found.total():
        say(f"FAIL: {found.total()} differences")
        return 1
    missed = self_check(all_books, folder, ledger) if args.self_check else []
    if missed:
        say(f"FAIL: nobody notices when the books are spoilt by {', '.join(missed)}")
        return 1
    say(f"reconciled: {counts.headline(ledger)}")
    return 0


def main():
    args = arguments()
    gc.disable()  # it would look through millions of rows, none of which is garbage
    if args.again:
        return reconcile(args, args.again)
    folder = args.keep or pathlib.Path(tempfile.mkdtemp(prefix="weir-books-"))
    folder.mkdir(exist_ok=not args.keep)
    say(f"seed {args.seed}")
    try:
        play_and_ask(args, folder)
        return reconcile(args, folder)
    except (gateway.Broken, OSError) as reason:
        say(f"FAIL: {reason}")
        return 1
    finally:
        if not args.keep:
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
