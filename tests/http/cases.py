#!/usr/bin/env python3
"""HTTP/1.1 conformance of a gateway, from both sides, table-driven.

  cases.py --weir build/dev/src/cli/weir     start it with weir.yaml and a mock upstream
  cases.py --port 8080 --mock-port 9000      a running listener that sends its requests to that port
  cases.py --port 8080                       the same without looking at the upstream side
  cases.py --weir weir --rows 32-47 -v       some rows, each case in full

The client side (rows 1 to 74) sends bytes and compares status, number of answers, close, and what
the upstream has got: no byte of one request may become another one. Each case is sent whole and one
byte at a time (row 63). The upstream side answers with broken messages (`--side upstream`).
"""

import argparse
import asyncio
import os
import pathlib
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "scenario")]

import client_side  # noqa: E402
import rows_body  # noqa: E402
import rows_head  # noqa: E402
import upstream_side  # noqa: E402
from harness.journal import Fail, Journal  # noqa: E402
from harness.script import expand  # noqa: E402
from harness.weir import PortTaken, Weir  # noqa: E402
from upstream import Upstream  # noqa: E402

TITLES = {
    1: "no Host",
    2: "two Hosts",
    3: "invalid Host",
    4: "empty Host",
    5: "absolute form",
    6: "blank before colon",
    7: "blank before the first field",
    8: "folded line",
    9: "folded framing field",
    10: "field name no token",
    11: "no colon",
    12: "NUL or CR in a value",
    13: "control character in a value",
    14: "bytes above 0x7f in a value",
    15: "bare CR",
    16: "bare LF",
    17: "leading CRLF",
    18: "junk before the method",
    19: "blanks in the request line",
    20: "blank in the target",
    21: "forbidden byte in the target",
    22: "HTTP/0.9",
    23: "bad version",
    24: "unsupported major version",
    25: "higher minor version",
    26: "methods",
    27: "over-long method",
    28: "over-long target",
    29: "head too large",
    30: "asterisk form",
    31: "CONNECT",
    32: "Content-Length no number",
    33: "Content-Length sign",
    34: "Content-Length blanks",
    35: "Content-Length empty",
    36: "Content-Length overflow",
    37: "Content-Length zeros",
    38: "two Content-Lengths",
    39: "two equal Content-Lengths",
    40: "Content-Length and Transfer-Encoding",
    41: "Transfer-Encoding not chunked",
    42: "chunked twice",
    43: "Transfer-Encoding obfuscated",
    44: "underscore look-alikes",
    45: "Transfer-Encoding in HTTP/1.0",
    46: "chunk size prefixes",
    47: "chunk size overflow",
    48: "chunk size zeros",
    49: "empty chunk size",
    50: "chunk line end",
    51: "chunk data end",
    52: "chunk extension",
    53: "control in a chunk extension",
    54: "chunk overhead",
    55: "missing last chunk",
    56: "trailers",
    57: "trailer garbage",
    58: "body on GET",
    59: "early answer, unread body",
    60: "short body",
    61: "bytes after the body",
    62: "pipelining",
    64: "Expect: 100-continue",
    65: "unknown Expect",
    66: "Connection-listed fields",
    67: "Upgrade",
    68: "HEAD",
    69: "no framing on 1xx",
    70: "HTTP/2 preface",
    71: "body limit",
    72: "JSON bodies",
    73: "slow clients",
    74: "idle keep-alive",
}


def arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    target = parser.add_mutually_exclusive_group(required=True)
    target.add_argument("--weir", type=pathlib.Path)
    target.add_argument("--port", type=int, help="of a listener that is running")
    parser.add_argument("--mock-port", type=int, help="with --port: where it sends its requests")
    parser.add_argument("--rows", default="1-74", help="e.g. 1-31,43")
    parser.add_argument("--filter", default="", help="only cases whose name contains this")
    parser.add_argument("--side", choices=("client", "upstream", "both"), default="both")
    parser.add_argument("--whole-only", action="store_true", help="do not send one byte at a time")
    parser.add_argument("--slack", type=float, default=1.0, help="multiply time limits")
    parser.add_argument(
        "--head-deadline",
        type=float,
        metavar="S",
        help="the listener's, for row 73 (1 with --weir)",
    )
    parser.add_argument("--body-deadline", type=float, metavar="S")
    parser.add_argument("--idle", type=float, metavar="S", help="for row 74 (1 with --weir)")
    parser.add_argument("--show", type=int, default=3, help="wrong cases shown for each row")
    parser.add_argument("-v", "--verbose", action="store_true", help="show all, right ones too")
    args = parser.parse_args()
    for name in ("head_deadline", "body_deadline", "idle"):
        if args.weir and getattr(args, name) is None:
            setattr(args, name, 1.0)
    return args


def row_numbers(text):
    chosen = set()
    for part in text.split(","):
        first, _, last = part.partition("-")
        chosen.update(range(int(first), int(last or first) + 1))
    return chosen


def select(args):
    """The cases to run, by row; those that need what is not there are left out and counted."""
    chosen = row_numbers(args.rows)
    has = {
        "": True,
        "weir": bool(args.weir),
        "deadlines": None not in (args.head_deadline, args.body_deadline, args.idle),
    }
    rows, left_out = {}, 0
    for case in [
        *rows_head.cases(),
        *rows_body.cases(args.head_deadline or 1, args.body_deadline or 1, args.idle or 1),
    ]:
        if case.row not in chosen or args.filter not in case.name:
            continue
        if has[case.needs]:
            rows.setdefault(case.row, []).append(case)
        else:
            left_out += 1
    return rows, left_out


class Score:
    """Lines as they come, and the sum."""

    def __init__(self, args):
        self.args = args
        self.rows = self.bad_rows = self.sends = self.wrong = 0

    def line(self, title, outcomes, seconds):
        """`outcomes`: (name, None or what is wrong) of each send."""
        wrong = [(name, problem) for name, problem in outcomes if problem]
        self.rows += 1
        self.bad_rows += bool(wrong)
        self.sends += len(outcomes)
        self.wrong += len(wrong)
        print(
            f"{'FAIL' if wrong else 'ok  '} {title}: {len(outcomes)} sent, {len(wrong)} wrong, "
            f"{seconds:.1f} s"
        )
        shown = outcomes if self.args.verbose else wrong[: self.args.show]
        for name, problem in shown:
            print(f"       {name}: {problem or 'right'}")
        if not self.args.verbose and len(wrong) > self.args.show:
            print(f"       ... and {len(wrong) - self.args.show} more")
        sys.stdout.flush()


async def run_client_side(args, target, score):
    rows, left_out = select(args)
    for row in sorted(rows):
        started = time.monotonic()
        outcomes = []
        for case in rows[row]:
            for mode in ("whole", "bytes"):
                if mode == "bytes" and (args.whole_only or not case.split):
                    continue
                problem = await client_side.run_case(case, mode, target)
                outcomes.append((f"{case.name} ({mode})", problem))
        score.line(f"row {row:2} {TITLES[row]}", outcomes, time.monotonic() - started)
    if left_out:
        print(f"left out: {left_out} cases that need the gateway's own configuration")


async def run_upstream_side(args, target, score):
    groups = {}
    for answer in upstream_side.answers():
        if args.filter in answer.name:
            groups.setdefault(answer.group, []).append(answer)
    for group, answers in groups.items():
        started = time.monotonic()
        outcomes = []
        for answer in answers:
            for mode in ("whole", "bytes"):
                if mode == "bytes" and (args.whole_only or len(answer.data) > 20000):
                    continue
                problem = await upstream_side.run_answer(answer, mode, target)
                outcomes.append((f"{answer.name} ({mode})", problem))
        score.line(f"upstream {group}", outcomes, time.monotonic() - started)


async def start_weir(args, folder, upstream):
    for _ in range(3):
        weir = Weir(args.weir.resolve(), folder, Journal(args.slack))
        weir.choose_ports()
        names = {
            "listen": f"127.0.0.1:{weir.ports['weir']}",
            "tmp": folder,
            "admin": f"127.0.0.1:{weir.ports['admin']}",
            "metrics": f"127.0.0.1:{weir.ports['metrics']}",
            "mock": f"http://127.0.0.1:{upstream.port}",
        }
        weir.config.write_text(expand((HERE / "weir.yaml").read_text("utf-8"), names), "utf-8")
        try:
            await weir.start()
            return weir
        except PortTaken:
            continue
        except Fail as failure:
            raise SystemExit(f"cases.py: {failure.message}\n{weir.stderr()}") from None
    raise SystemExit("cases.py: no free port in three attempts")


async def run(args, folder):
    upstream = Upstream()
    if args.weir or args.mock_port:
        await upstream.start(args.mock_port or 0)
    weir = await start_weir(args, folder, upstream) if args.weir else None
    port = weir.ports["weir"] if weir else args.port
    target = client_side.Target(port, upstream if upstream.port else None, args.slack, weir)
    score = Score(args)
    problems = []
    try:
        if args.side != "upstream":
            await run_client_side(args, target, score)
        if args.side != "client" and upstream.port:
            await run_upstream_side(args, target, score)
    finally:
        if weir:
            problems = await weir.finish()
    for problem in problems:
        print(f"FAIL {problem}")
        print("\n".join(weir.stderr().splitlines()[-60:]))
    print(
        f"{score.rows - score.bad_rows} rows right, {score.bad_rows} wrong; {score.sends} sends, "
        f"{score.wrong} wrong"
    )
    return 1 if score.wrong or problems else 0


def main():
    args = arguments()
    if args.weir and not os.access(args.weir, os.X_OK):
        print("cases.py: --weir PATH must name the gateway's binary", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory(prefix="weir-http-") as folder:
        return asyncio.run(run(args, pathlib.Path(folder)))


if __name__ == "__main__":
    sys.exit(main())
