"""weir usage: tables, CSV, JSON, bars and words, from a ledger whose rows the test wrote."""
import csv
import datetime
import io
import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import unittest

import harness

UTC = datetime.timezone.utc
FINAL, ESTIMATED_INPUT, UNPRICED = 1, 2, 8
DOLLAR = 10 ** 9


def ledger_tool():
    """The program that writes ledgers, from the same build as the binary."""
    build = pathlib.Path(harness.WEIR).resolve().parents[2]
    path = pathlib.Path(os.environ.get("WEIR_USAGE_DB", build / "tests/usage/usage_db"))
    if not path.exists():
        raise unittest.SkipTest(f"{path} is not built")
    return path


def row(when, cost, use_case="summaries", model="chat", key="ci", team="search", user=1,
        tokens=(1000, 500), cached=0, ms=1000, reason="complete", flags=FINAL, count=1):
    fields = [int(when.timestamp()), model, "openai", "gpt-4o", key, team, "acme", use_case, user,
              *tokens, cached, int(cost * DOLLAR), ms, reason, flags, count]
    return "\t".join(map(str, fields))


def write_ledger(data, rows, zone="UTC"):
    subprocess.run([ledger_tool(), data / "ledger", zone], input="\n".join(rows) + "\n", text=True,
                   check=True, timeout=60)


def day(month, number, hour=12):
    return datetime.datetime(2025, month, number, hour, tzinfo=UTC)


def two_months():
    """September and October 2025, by hand: see the sums in the cases."""
    return [row(day(9, 3), 2.5, count=4), row(day(9, 10), 1, use_case="bot", key="web", user=2),
            row(day(10, 1, 0), 2.5, count=8),
            row(day(10, 31, 23), 2.5, count=2, user=3),
            row(day(10, 15), 0.25, use_case="bot", key="web", team="support", user=2, ms=3000,
                count=3),
            row(day(10, 16), 0.0004, use_case="", model="small", flags=FINAL | ESTIMATED_INPUT),
            row(day(10, 17), 0, use_case="labs", model="local", flags=FINAL | UNPRICED, count=12),
            row(day(10, 18), 0, use_case="bot", key="web", team="support", tokens=(0, 0), user=2,
                reason="refused"),
            row(day(11, 1, 0), 100)]


class UsageCase(unittest.TestCase):
    rows = staticmethod(two_months)
    zone = "UTC"

    def setUp(self):
        self.home = pathlib.Path(tempfile.mkdtemp(prefix="weir-cli-"))
        self.addCleanup(shutil.rmtree, self.home, ignore_errors=True)
        self.data = self.home / "data"
        self.data.mkdir()
        write_ledger(self.data, self.rows(), self.zone)

    def run_usage(self, *args, code=0, **env):
        r = harness.weir("usage", *args, "--data", self.data, home=self.home, **env)
        self.assertEqual(r.code, code, r)
        return r

    def lines(self, *args, **env):
        """The cells of the table's lines by their first one."""
        out = self.run_usage(*args, **env).out.split("\n\n")[1]
        head, *rest = [[c.strip() for c in line.split("  ") if c.strip()]
                       for line in out.splitlines()]
        return {line[0]: dict(zip(head[1:], line[1:])) for line in rest}


class Tables(UsageCase):
    def test_cost_per_use_case_of_a_month(self):
        lines = self.lines("--by", "use-case", "--month", "2025-10")
        self.assertEqual(list(lines), ["summaries", "bot", "(none)", "labs", "total"])
        self.assertEqual(lines["summaries"]["COST"], "$25.00")
        self.assertEqual(lines["summaries"]["REQUESTS"], "10")
        self.assertEqual(lines["summaries"]["INPUT"], "10,000")
        self.assertEqual(lines["summaries"]["TOKENS/REQ"], "1,500")
        self.assertEqual(lines["summaries"]["COST/REQ"], "$2.50")
        self.assertEqual(lines["summaries"]["USERS"], "2")
        self.assertEqual(lines["bot"]["COST"], "$0.75")
        self.assertEqual(lines["(none)"]["COST"], "$0.00040")
        self.assertEqual(lines["labs"]["COST"], "unpriced")
        self.assertEqual(lines["labs"]["COST/REQ"], "-")
        self.assertEqual(lines["total"]["COST"], "$25.75")
        self.assertEqual(lines["total"]["REQUESTS"], "27")

    def test_what_is_not_sure_is_marked(self):
        out = self.run_usage("--by", "use-case", "--month", "2025-10").out
        self.assertRegex(out, r"\(none\).* ~1,000 .*estimated \d+%")
        self.assertRegex(out, r"labs.*unpriced 12")
        self.assertRegex(out, r"bot.*refused 1")
        self.assertIn("they are not in the cost", out)
        self.assertTrue(out.startswith("2025-10-01 to 2025-10-31\n"), out)

    def test_by_day(self):
        lines = self.lines("--by", "day", "--month", "2025-10")
        self.assertEqual(lines["2025-10-01"]["COST"], "$20.00")
        self.assertEqual(lines["2025-10-31"]["COST"], "$5.00")
        self.assertEqual(lines["total"]["COST"], "$25.75")

    def test_over_time(self):
        out = self.run_usage("--by", "use-case", "--step", "month", "--from", "2025-09", "--to",
                             "2025-10").out
        self.assertRegex(out, r"summaries +2025-09 +\$10\.00 +4 ")
        self.assertRegex(out, r"summaries +2025-10 +\$25\.00 +10 ")
        self.assertRegex(out, r"P95")

    def test_filters(self):
        lines = self.lines("--by", "key", "--use-case", "bot", "--month", "2025-10")
        self.assertEqual(list(lines), ["web", "total"])
        self.assertEqual(lines["total"]["COST"], "$0.75")
        for by in ("model", "provider", "target", "team", "organisation", "user"):
            with self.subTest(by=by):
                self.assertIn("$25.75", self.run_usage("--by", by, "--month", "2025-10").out)

    def test_top(self):
        out = self.run_usage("--by", "use-case", "--month", "2025-10", "--top", 1).out
        self.assertIn("There is more than this", out)
        self.assertNotIn("labs", out)

    def test_nothing_there(self):
        self.assertRegex(self.run_usage("--month", "2024-01").out, r"total +\$0\.00 +0")


class LastMonth(UsageCase):
    @staticmethod
    def rows():
        now = datetime.datetime.now(UTC)
        first = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
        second = datetime.timedelta(seconds=1)
        begin = (first - second).replace(day=1, hour=0, minute=0, second=0)
        return [row(begin - second, 1000), row(begin, 12), row(first - second, 30), row(first, 500)]

    def test_one_command(self):
        lines = self.lines("--by", "use-case", "--last-month")
        self.assertEqual(lines["summaries"]["COST"], "$42.00")

    def test_default_is_this_month(self):
        self.assertEqual(self.lines()["chat"]["COST"], "$500.00")


class Zones(UsageCase):
    """Midnight in Berlin is 22:00 in UTC."""
    zone = "Europe/Berlin"

    @staticmethod
    def rows():
        return [row(day(9, 30, 21), 1), row(day(9, 30, 22), 2), row(day(10, 31, 22), 4),
                row(day(10, 31, 23), 8)]

    def test_days_are_those_of_the_configuration(self):
        config = self.home / "weir.yaml"
        config.write_text("timezone: Europe/Berlin\nproviders: {o: {type: openai, api_key: x}}\n"
                          "listen: 127.0.0.1:8080\n")
        lines = self.lines("--by", "day", "--month", "2025-10", "--config", config)
        self.assertEqual(lines["2025-10-01"]["COST"], "$2.00")
        self.assertEqual(lines["2025-10-31"]["COST"], "$4.00")
        self.assertEqual(lines["total"]["COST"], "$6.00")


class Machines(UsageCase):
    def test_csv(self):
        out = self.run_usage("--by", "use-case", "--month", "2025-10", "--csv").out
        lines = list(csv.DictReader(io.StringIO(out, newline="")))
        by = {line["use_case"]: line for line in lines}
        self.assertEqual(by["summaries"]["cost_usd"], "25.000000000")
        self.assertEqual(by["bot"]["refused"], "1")
        self.assertEqual(by[""]["cost_usd"], "0.000400000")
        self.assertEqual(by["labs"]["unpriced"], "12")
        self.assertNotIn("total", by)

    def test_json(self):
        answer = json.loads(self.run_usage("--by", "use-case", "--month", "2025-10",
                                           "--format", "json").out)
        self.assertEqual(answer["total"]["cost"], "25.7504")
        self.assertEqual(sum(x["cost_nano"] for x in answer["lines"]), answer["total"]["cost_nano"])
        self.assertEqual(answer["from"], "2025-10-01T00:00:00.000Z")


class Pages(UsageCase):
    """More lines than one page has."""

    @staticmethod
    def rows():
        return [row(day(10, d), 0.01, model=f"model-{m:03}")
                for d in range(1, 22) for m in range(120)]

    def test_pages_are_joined(self):
        args = ("--by", "model", "--step", "day", "--month", "2025-10")
        answer = json.loads(self.run_usage(*args, "--json").out)
        self.assertEqual(len({(x["name"], x["local"]) for x in answer["lines"]}), 21 * 120)
        self.assertEqual(len(answer["lines"]), 21 * 120)
        self.assertEqual(answer["total"]["requests"], 21 * 120)
        self.assertEqual(self.run_usage(*args, "--csv").out.count("\n"), 21 * 120 + 1)


class Formulas(UsageCase):
    @staticmethod
    def rows():
        return [row(day(10, 1), 1, use_case='=HYPERLINK("http://x")'),
                row(day(10, 1), 2, use_case="\x1b[2Jgone")]

    def test_csv_has_none(self):
        out = self.run_usage("--by", "use-case", "--month", "2025-10", "--csv").out
        self.assertIn('"\'=HYPERLINK(""http://x"")"', out)

    def test_nothing_steers_the_terminal(self):
        self.assertNotIn("\x1b", self.run_usage("--by", "use-case", "--month", "2025-10").out)


class Charts(UsageCase):
    def test_bars(self):
        out = self.run_usage("--by", "day", "--month", "2025-10", "--chart", COLUMNS=80,
                             LANG="C.UTF-8").out
        bars = {line[:10]: line.count("█") for line in out.splitlines() if line[:4] == "2025"}
        self.assertGreater(bars["2025-10-01"], 9)
        self.assertAlmostEqual(bars["2025-10-31"], bars["2025-10-01"] / 4, delta=1)
        self.assertNotIn("\x1b", out)

    def test_ascii(self):
        for env in ({"LANG": "C"}, {"LANG": "C.UTF-8", "args": ["--ascii"]}):
            args = env.pop("args", [])
            out = self.run_usage("--by", "day", "--month", "2025-10", "--chart", *args, COLUMNS=80,
                                 **env).out
            self.assertTrue(out.isascii(), out)
            self.assertIn("####", out)

    def test_fits_the_width(self):
        for width in (60, 80, 100, 160):
            out = self.run_usage("--by", "team", "--month", "2025-09", "--chart", COLUMNS=width,
                                 LANG="C.UTF-8").out
            self.assertLessEqual(max(map(len, out.splitlines())), width, out)

    def test_no_bars_in_a_pipe(self):
        self.assertNotIn("█", self.run_usage("--by", "day", "--month", "2025-10",
                                             LANG="C.UTF-8").out)


class Why(UsageCase):
    def test_words(self):
        out = self.run_usage("--why", "--use-case", "summaries", "--month", "2025-10").out
        self.assertIn("The cost rose by $15.00 (+150.0%), from $10.00 to $25.00", out)
        self.assertIn("more users (2, were 1)", out)
        self.assertIn("against 2025-09-01 to 2025-09-30, use case summaries", out)

    def test_the_parts_add_up(self):
        answer = json.loads(self.run_usage("--why", "--month", "2025-10", "--json").out)
        self.assertEqual(sum(p["cost_nano"] for p in answer["parts"]), answer["growth_nano"])
        self.assertEqual(answer["growth_nano"], answer["cost_after_nano"]
                         - answer["cost_before_nano"])

    def test_names(self):
        answer = json.loads(self.run_usage("--why", "--by", "use-case", "--month", "2025-10",
                                           "--json").out)
        self.assertEqual([n["name"] for n in answer["names"]], ["summaries", "bot", ""])
        self.assertEqual(answer["names"][1]["growth_nano"], -250000000)
        for n in answer["names"]:
            self.assertEqual(sum(p["cost_nano"] for p in n["parts"]), n["growth_nano"])


class Forecast(UsageCase):
    @staticmethod
    def rows():
        now = datetime.datetime.now(UTC)
        return [row(now - datetime.timedelta(days=n), 10) for n in range(0, 60)]

    def test_forecast(self):
        answer = json.loads(self.run_usage("--forecast", "--json").out)
        line = answer["lines"][0]
        days = (datetime.datetime.fromisoformat(answer["to"].replace("Z", "+00:00"))
                - datetime.datetime.fromisoformat(answer["from"].replace("Z", "+00:00"))).days
        self.assertAlmostEqual(line["forecast_nano"] / DOLLAR, 10 * days, delta=11)
        self.assertIn("FORECAST", self.run_usage("--forecast").out)

    def test_by_name(self):
        out = self.run_usage("--forecast", "--by", "use-case", "--period", "week").out
        self.assertRegex(out, r"summaries +\$\d+\.00 +\$[678]\d\.\d\d")


class Mistakes(UsageCase):
    def complain(self, code, message, *args):
        r = self.run_usage(*args, code=code)
        self.assertIn(message, r.err)
        self.assertEqual(r.out, "")

    def test_they_name_the_nearest(self):
        self.complain(2, "did you mean `team`?", "--by", "tem")
        self.complain(2, "did you mean `last-week`?", "--from", "last-weak")
        self.complain(2, "did you mean `--use-case`?", "--usecase", "x")
        self.complain(2, "write a time as 2026-11-01", "--from", "2025-02-30")

    def test_contradictions(self):
        self.complain(2, "--why and --forecast are two questions", "--why", "--forecast")
        self.complain(2, "name one time", "--last", "3d", "--month", "2025-10")
        self.complain(2, "name one time", "--to", "2025-10-01")
        self.complain(2, "--forecast is about", "--forecast", "--last-month")
        self.complain(2, "take one of --model", "--why", "--team", "a", "--key", "b")
        self.complain(2, "--top is a number", "--top", "0")
        self.complain(2, "--format is table, csv or json", "--format", "xml")
        self.complain(2, "users are not kept by", "--by", "user", "--team", "search")

    def test_no_ledger(self):
        r = harness.weir("usage", "--data", self.home / "none", home=self.home)
        self.assertEqual(r.code, 1)
        self.assertIn("no gateway runs with the data folder", r.err)
