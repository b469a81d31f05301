#!/usr/bin/env python3
"""Measures Weir beside nginx and a bare relay (floor), in one run, against the same mock upstream.

What is compared is the CPU time of the proxy's processes per request or per streamed event, at the
same fixed arrival rates for all (25% and 70% of what nginx can do on one core) and at saturation.
The proxy has one core, mock and load share another. Each round measures all of them in turn, in an
order that rotates; ratios are taken within a round, and the table shows their median with an
interval that covers it with 95%. A run with a wrong answer ends the measurement with its reason.

What is measured runs at a high priority where that is allowed. Even so, a proxy that sleeps between
requests pays several times as much for each wake-up when another process had its core meanwhile. A
run in which others used more than 5% of that core, or the rate was not reached, is therefore
repeated (--retries, --patience) and, if it does not get better, kept and counted as disturbed.
"""
import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time

import machine
import prompt
import stats
from targets import FILES_WANTED, KEY, START, WIRES, Direct, Failure, Mock, Place, start_weir

STREAMS = 300
FILES_RESERVED = 256  # of a proxy, beside two for each stream
EVENTS = 64
CONNECTIONS = 32
REQUESTS_PER_TLS_CONNECTION = 100
CALIBRATION_INTERVAL_US = 20000
IDLE_STREAMS = 10000
STRANGERS_LIMIT = 0.05  # of the proxy's core
QUIET_SECONDS = 0.3
RATE_LIMIT = 0.97   # of the rate asked for
POINTS = {"25": 0.25, "70": 0.70, "sat": None}
STREAM_SATURATION = 1.2


def say(text):
    print(text, file=sys.stderr, flush=True)


class Row:
    """One line of the table."""

    def __init__(self, name, unit):
        self.name = name
        self.unit = unit
        self.values = {}    # target -> Estimate
        self.compared = ""  # the figure that the bar is about
        self.target = ""
        self.reached = "-"
        self.note = ""

    def judge(self, checks):
        """checks: (Estimate, limit) pairs that must all hold; "?" where noise could decide."""
        if not checks:
            return
        held = all(estimate.median <= limit for estimate, limit in checks)
        sure = all((estimate.high <= limit) if held else True for estimate, limit in checks)
        if not held:
            sure = any(estimate.low > limit for estimate, limit in checks)
        self.reached = ("yes" if held else "no") + ("" if sure else " ?")

    def as_json(self):
        return {"name": self.name, "unit": self.unit, "compared": self.compared,
                "target": self.target, "reached": self.reached, "note": self.note,
                "values": {name: value.as_json() for name, value in self.values.items()}}


class Group:
    """Rows that share a kind of request."""

    def __init__(self, title, body, ratio, over_floor=None, tls=False, stream=False):
        self.title = title
        self.body = body
        self.ratio = ratio            # to nginx, at most
        self.over_floor = over_floor  # microseconds above floor, at most
        self.tls = tls
        self.stream = stream


CPU_GROUPS = {
    "json_1k": Group("request, 1 KB in and out", "small1k", 0.85, 6),
    "stream_event": Group("streamed event, 300 open", "small1k.stream", 0.9, 2, stream=True),
    "tls_json": Group("request, TLS both sides", "small1k", 0.85, tls=True),
    "tls_stream": Group("streamed event, TLS both sides", "small1k.stream", 0.9, tls=True,
                        stream=True),
    "agent300k": Group("300 KB agent prompt", "agent300k", 2.2),
    "string300k": Group("300 KB in one string", "string300k", 1.5),
}
# Rows of `translate`: a group, its bar over the same requests untranslated, and what is compared.
TRANSLATED = {"translate_event": ("stream_event", 3.0, "us"), "translate_300k": ("agent300k", 2.0, "x")}
# Rows of `limits`: what is counted, and the bars for all threads and for the workers, if any.
LIMITED = {"json_1k": 5.0, "stream_event": None}
LIMITED_WORKERS = 3.0
WORKER_THREADS = "weir-worker"
# Rows of `routing`: one of fifty targets chosen by these strategies, and the bar over a single one.
ROUTED = ["ordered", "weighted", "latency", "sticky", "prefix"]
ROUTED_BAR = 2.0
OTHER_ROWS = ["limits", "routing", "translate_event", "translate_300k", "latency", "idle", "idle_tls", "start", "size"]
QUICK_ROWS = ["json_1k", "stream_event", "tls_json", "agent300k", "latency", "start", "size"]


class Bench:
    def __init__(self, args, place):
        self.args = args
        self.place = place
        self.bodies = prompt.write_all(place.folder)
        self.on_load_core = machine.run_on(place.load_core, place.nice)
        self.rows = []
        self.runs = 0
        self.disturbed = 0
        self.strangers = []
        self.patience = args.patience

    # ---- one run of the load generator ----

    def load_command(self, target, group, connections, rate, seconds, warmup):
        command = [self.place.tool("benchload"), "--prompt", self.bodies[group.body],
                   "--port", str(target.stream_port if group.stream else target.port),
                   "--key", KEY, "--connections", str(connections), "--seconds", str(seconds),
                   "--warmup", str(warmup), "--cpu-of", ",".join(map(str, target.pids()))]
        if rate:
            command += ["--rate", str(rate)]
        if group.stream:
            command += ["--expect-events", str(EVENTS)]
        else:
            command += ["--min-body", "1000"]
        if group.tls:
            command += ["--tls"]
            if not group.stream:
                command += ["--per-connection", str(REQUESTS_PER_TLS_CONNECTION)]
        return command

    def wait_for_quiet(self):
        """Waits while others use the proxy's core, as long as the patience for all runs lasts."""
        while self.patience > 0:
            strangers = machine.Strangers(self.place.proxy_core)
            time.sleep(QUIET_SECONDS)
            if strangers.share() <= STRANGERS_LIMIT:
                return
            self.patience -= QUIET_SECONDS

    def run_load(self, target, mock, command, limit_s):
        """One run, checked; adds `strangers`, the share of the proxy's core that others used."""
        before = mock.counts()["requests"]
        proxy = target.pids() if target.name != "direct" else []
        used = machine.cpu_seconds(proxy)
        workers = machine.cpu_seconds(proxy, WORKER_THREADS)
        strangers = machine.Strangers(self.place.proxy_core)
        done = subprocess.run(command, capture_output=True, text=True, timeout=limit_s,
                              preexec_fn=self.on_load_core)
        share = strangers.share(machine.cpu_seconds(proxy) - used)
        if not done.stdout:
            raise Failure(f"{target.name}: {done.stderr.strip()}")
        result = json.loads(done.stdout)
        if done.returncode or result["errors"] or result["unanswered"]:
            raise Failure(f"{target.name}: {result['errors']} wrong answers, "
                          f"{result['unanswered']} missing; first: {result['first_error']}")
        reached = mock.counts()["requests"] - before
        if reached < result["requests_total"]:
            raise Failure(f"{target.name}: {result['requests_total']} answers, but only {reached} "
                          "requests reached the upstream")
        target.forwarded += result["requests_total"]
        workers = machine.cpu_seconds(proxy, WORKER_THREADS) - workers
        return {**result, "strangers": share,
                "workers_per_request_us": 1e6 * workers / max(1, result["requests_total"])}

    def measure(self, target, mock, group, connections, rate, seconds=None, warmup=None):
        """One run, repeated while others disturb it."""
        seconds = seconds or self.args.seconds
        warmup = warmup or self.args.warmup
        command = self.load_command(target, group, connections, rate, seconds, warmup)
        for attempt in range(self.args.retries + 1):
            self.wait_for_quiet()
            result = self.run_load(target, mock, command, 60 + seconds + warmup)
            late = rate and result["rate"] < RATE_LIMIT * rate
            quiet = result["strangers"] <= STRANGERS_LIMIT and not late
            if quiet or attempt == self.args.retries:
                break
        self.runs += 1
        self.disturbed += not quiet
        self.strangers.append(result["strangers"])
        units = result["events" if group.stream else "requests"]
        if not units:
            raise Failure(f"{target.name}: nothing was answered within the measured time")
        result["cpu_per_unit_us"] = result["cpu_us"] / units
        result["units_per_s"] = units / result["seconds"]
        result["core_share"] = result["cpu_us"] / 1e6 / result["seconds"]
        return result

    # ---- what runs against what ----

    def names(self, tls=False):
        return [name for name in ("weir", "floor", "nginx")
                if (name != "weir" or self.place.weir) and (name != "floor" or not tls)]

    def start_all(self, mock, tls, names):
        targets = {}
        try:
            for name in names:
                targets[name] = START[name](self.place, mock, tls)
        except BaseException:
            stop_all(targets)
            raise
        return targets

    def rounds(self, targets, measure):
        """Measures all in turn, in an order that rotates; returns {name: [result per round]}."""
        results = {name: [] for name in targets}
        names = list(targets)
        for number in range(self.args.pairs):
            for name in names[number % len(names):] + names[:number % len(names)]:
                results[name].append(measure(targets[name]))
            say("    " + "  ".join(f"{name} {results[name][-1]['show']}" for name in names))
        return results

    # ---- CPU per request or event ----

    def capacity(self, target, mock, group):
        """Units per second that one core of nginx can do."""
        if group.stream:
            mock.set(interval_us=CALIBRATION_INTERVAL_US, events=EVENTS, idle=0)
            rate = STREAMS / (EVENTS * CALIBRATION_INTERVAL_US / 1e6)
            warmup = 1.1 * EVENTS * CALIBRATION_INTERVAL_US / 1e6
            runs = [self.measure(target, mock, group, 2 * STREAMS, rate, warmup=warmup)]
        else:
            runs = [self.measure(target, mock, group, CONNECTIONS, None) for _ in range(3)]
        return 1e6 / stats.median([run["cpu_per_unit_us"] for run in runs])

    def measure_point(self, target, mock, group, capacity, point):
        part = POINTS[point]
        if not group.stream:
            result = self.measure(target, mock, group, CONNECTIONS, part and part * capacity)
        else:
            interval_s = stream_interval_s(capacity, point)
            rate = STREAMS / (EVENTS * interval_s) if part else None
            connections = 2 * STREAMS if part else STREAMS
            result = self.measure(target, mock, group, connections, rate,
                                  warmup=max(self.args.warmup, 1.1 * EVENTS * interval_s))
        result["show"] = f"{result['cpu_per_unit_us']:.2f} us"
        return result

    def cpu_group(self, key):
        group = CPU_GROUPS[key]
        say(f"{key}: {group.title}")
        mock = Mock(self.place, group.tls)
        targets = {}
        try:
            targets = self.start_all(mock, group.tls, self.names(group.tls))
            capacity = self.capacity(targets["nginx"], mock, group)
            say(f"  one core of nginx does {capacity:.0f} per second")
            for point in self.args.points:
                if group.stream:
                    mock.set(interval_us=round(1e6 * stream_interval_s(capacity, point)),
                             events=EVENTS, idle=0)
                say(f"  {key}_{point}")
                results = self.rounds(targets, lambda target: self.measure_point(
                    target, mock, group, capacity, point))
                self.rows.append(cpu_row(f"{key}_{point}", group, results))
            if group.tls and not group.stream:
                self.check_resumption(mock, targets)
            for target in targets.values():
                target.check_access_log()
        finally:
            stop_all(targets)
            mock.stop()

    def check_resumption(self, mock, targets):
        group = CPU_GROUPS["tls_json"]
        for target in targets.values():
            result = self.measure(target, mock, group, 4, None, seconds=0.3, warmup=0.1)
            if result["tls_resumed"] * 2 < result["connects"]:
                raise Failure(f"{target.name} resumed only {result['tls_resumed']} of "
                              f"{result['connects']} TLS sessions")

    # ---- translation ----

    def translate(self, key):
        """OpenAI's clients with providers of each wire, beside Weir without translation."""
        group, bar, unit = TRANSLATED[key]
        group = CPU_GROUPS[group]
        say(f"{key}: {group.title}, translated to each wire")
        mock = Mock(self.place, False)
        targets = {}
        try:
            for wire in WIRES:
                targets[wire] = start_weir(self.place, mock, False, wire)
            capacity = self.capacity(targets["openai"], mock, group)
            if group.stream:
                mock.set(interval_us=round(1e6 * stream_interval_s(capacity, "70")),
                         events=EVENTS, idle=0)
            results = self.rounds(targets, lambda target: self.measure_point(
                target, mock, group, capacity, "70"))
        finally:
            stop_all(targets)
            mock.stop()
        for wire in WIRES:
            if wire != "openai":
                self.rows.append(translated_row(key, wire, results, bar, unit))

    def translate_event(self, key):
        self.translate(key)

    def translate_300k(self, key):
        self.translate(key)

    # ---- limits, prices, ledger ----

    def limits(self, _):
        """Everything that can be limited and counted, beside Weir with a key alone, or beside the
        build of --before, which may know nothing of limits and ledger."""
        for key, bar in LIMITED.items():
            group = CPU_GROUPS[key]
            say(f"limits: {group.title}, with every limit, price and budget")
            mock = Mock(self.place, False)
            targets = {}
            try:
                targets["plain"] = start_weir(self.place, mock, False, binary=self.args.before)
                targets["limits"] = start_weir(self.place, mock, False, everything=True)
                capacity = self.capacity(targets["plain"], mock, group)
                if group.stream:
                    mock.set(interval_us=round(1e6 * stream_interval_s(capacity, "70")),
                             events=EVENTS, idle=0)
                results = self.rounds(targets, lambda target: self.measure_point(
                    target, mock, group, capacity, "70"))
            finally:
                stop_all(targets)
                mock.stop()
            self.rows.append(limited_row(f"limits_{key}", results, "cpu_per_unit_us", bar))
            if not group.stream:
                self.rows.append(limited_row(f"limits_{key}_workers", results,
                                             "workers_per_request_us", LIMITED_WORKERS))

    # ---- routing ----

    def routing(self, _):
        group = CPU_GROUPS["json_1k"]
        say(f"routing: {group.title}, one of 50 targets, beside a single one")
        mock = Mock(self.place, False)
        targets = {}
        try:
            targets["one"] = start_weir(self.place, mock, False)
            for strategy in ROUTED:
                targets[strategy] = start_weir(self.place, mock, False, strategy=strategy)
            capacity = self.capacity(targets["one"], mock, group)
            results = self.rounds(targets, lambda target: self.measure_point(
                target, mock, group, capacity, "70"))
        finally:
            stop_all(targets)
            mock.stop()
        for strategy in ROUTED:
            self.rows.append(above_row(f"routing_{strategy}", results["one"], results[strategy],
                                       "one target", ROUTED_BAR))

    # ---- latency ----

    def latency(self, _):
        say("latency: one connection, 1 KB, added to that of no proxy")
        group = CPU_GROUPS["json_1k"]
        mock = Mock(self.place, False)
        targets = {}
        try:
            targets = {**self.start_all(mock, False, self.names()), "direct": Direct(mock)}

            def measure(target):
                result = self.measure(target, mock, group, 1, None)
                result["show"] = f"{result['p50_us']:.0f}/{result['p99_us']:.0f} us"
                return result
            results = self.rounds(targets, measure)
        finally:
            stop_all(targets)
            mock.stop()
        for field in ("p50_us", "p99_us"):
            self.rows.append(latency_row(field, results))

    # ---- memory of idle streams ----

    def idle(self, key):
        tls = key == "idle_tls"
        count = self.args.idle_streams
        say(f"{key}: {count} idle streams, each opened with 100 KB")
        limit_mb = (450 if tls else 100) * count / IDLE_STREAMS
        row = Row(key, "MB")
        row.target = f"<= {limit_mb:.0f} MB"
        for name in self.names(tls):
            mock = Mock(self.place, tls)
            targets = {}
            try:
                mock.set(idle=1)
                targets = self.start_all(mock, tls, [name])
                used = self.hold_streams(targets[name], mock, count, tls)
            finally:
                stop_all(targets)
                mock.stop()
            row.values[name] = stats.Estimate([used / 1e6])
            say(f"    {name} {used / 1e6:.1f} MB")
        row.judge([(row.values["weir"], limit_mb)] if "weir" in row.values else [])
        self.rows.append(row)

    def hold_streams(self, target, mock, count, tls):
        """Opens the streams, waits until all stand, and returns the proxy's resident bytes."""
        command = [self.place.tool("benchload"), "--hold", "--connections", str(count),
                   "--port", str(target.stream_port), "--key", KEY,
                   "--prompt", self.bodies["prompt100k.stream"], *(["--tls"] if tls else [])]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                              preexec_fn=self.on_load_core) as load:
            try:
                held = json.loads(load.stdout.readline() or "{}")
                time.sleep(2)
                used = machine.resident_bytes(target.pids())
                open_streams = mock.counts()["open"]
            finally:
                load.terminate()
            output, errors = load.communicate(timeout=60)
        if not held or held["errors"]:
            raise Failure(f"{target.name}: the streams did not open: {errors or held}")
        final = json.loads(output)
        if final["held"] != count or final["errors"] or open_streams != count:
            raise Failure(f"{target.name}: of {count} idle streams, {final['held']} stayed open "
                          f"here and {open_streams} upstream; first: {final['first_error']}")
        return used

    # ---- start and size ----

    def start(self, _):
        say("start: from exec to the first 200 on /livez")
        row = Row("start", "ms")
        row.target = "<= 50 ms"
        mock = Mock(self.place, False)
        try:
            for name in self.names():
                if name == "floor":
                    continue
                times = []
                for _ in range(max(5, self.args.pairs)):
                    target = START[name](self.place, mock, False)
                    times.append(target.start_ms)
                    target.stop()
                row.values[name] = stats.Estimate(times)
                say(f"    {name} {row.values[name].show(1)} ms")
        finally:
            mock.stop()
        row.judge([(row.values["weir"], 50)] if "weir" in row.values else [])
        self.rows.append(row)

    def size(self, _):
        say("size: stripped binary, and the shared libraries it loads")
        row = Row("size", "MB")
        row.target = "<= 6 MB"
        paths = {"weir": self.place.weir, "floor": self.place.tool("floor"),
                 "nginx": self.place.nginx}
        for name in self.names():
            own, libraries = binary_size(paths[name], self.place.folder)
            row.values[name] = stats.Estimate([own / 1e6])
            total = sum(size for _, size in libraries)
            listing = ", ".join(f"{library} {size / 1e3:.0f}" for library, size in libraries)
            row.note += (f"{name}: {len(libraries)} libraries, {total / 1e6:.1f} MB (KB each: "
                         f"{listing})\n")
        row.judge([(row.values["weir"], 6)] if "weir" in row.values else [])
        self.rows.append(row)


def stop_all(targets):
    for target in targets.values():
        if target:
            target.stop()


def stream_interval_s(capacity, point):
    """Between the events of one stream, so that 300 streams give that part of the capacity."""
    return STREAMS / (capacity * (POINTS[point] or STREAM_SATURATION))


def cpu_row(name, group, results):
    row = Row(name, "us CPU")
    rounds = {target: [run["cpu_per_unit_us"] for run in runs] for target, runs in results.items()}
    row.values = {target: stats.Estimate(values) for target, values in rounds.items()}
    rate = stats.median([run["units_per_s"] for run in results["nginx"]])
    row.note = f"nginx: {rate:.0f}/s, " + ", ".join(
        f"{target} {100 * stats.median([run['core_share'] for run in runs]):.0f}% of its core"
        for target, runs in results.items())
    row.target = f"<= {group.ratio:g} x nginx"
    if group.over_floor is not None:
        row.target += f" and floor + {group.over_floor} us"
    subject = "weir" if "weir" in rounds else "floor"
    if subject not in rounds:
        return row
    ratio = stats.ratio(rounds[subject], rounds["nginx"])
    row.compared = f"{subject}/nginx {ratio.show()}"
    if subject != "weir":
        return row
    checks = [(ratio, group.ratio)]
    if group.over_floor is not None:
        above = stats.difference(rounds["weir"], rounds["floor"])
        row.compared += f", floor + {above.show()} us"
        checks.append((above, group.over_floor))
    row.judge(checks)
    return row


def translated_row(key, wire, results, bar, unit):
    row = Row(f"{key}_{wire}", "us CPU")
    plain = [run["cpu_per_unit_us"] for run in results["openai"]]
    anew = [run["cpu_per_unit_us"] for run in results[wire]]
    row.values = {"weir": stats.Estimate(anew)}
    row.note = f"untranslated {stats.Estimate(plain).show()} us"
    compared = stats.difference(anew, plain) if unit == "us" else stats.ratio(anew, plain)
    row.compared = f"untranslated {'+ ' if unit == 'us' else 'x '}{compared.show()}"
    row.target = f"<= {'+ ' if unit == 'us' else 'x '}{bar:g}"
    row.judge([(compared, bar)])
    return row


def limited_row(name, results, field, bar):
    return above_row(name, results["plain"], results["limits"], "without limits", bar, field)


def above_row(name, less, more, what, bar, field="cpu_per_unit_us"):
    """What `more` takes above `less`, whose name is `what`."""
    row = Row(name, "us CPU")
    plain = [run[field] for run in less]
    dear = [run[field] for run in more]
    row.values = {"weir": stats.Estimate(dear)}
    row.note = f"{what} {stats.Estimate(plain).show()} us"
    above = stats.difference(dear, plain)
    row.compared = f"{what} + {above.show()}"
    row.target = f"<= + {bar:g}" if bar is not None else "-"
    row.judge([(above, bar)] if bar is not None else [])
    return row


def latency_row(field, results):
    row = Row("latency_" + field.removesuffix("_us"), "us added")
    base = [run[field] for run in results["direct"]]
    for name, runs in results.items():
        if name != "direct":
            row.values[name] = stats.difference([run[field] for run in runs], base)
    row.note = f"without proxy {stats.Estimate(base).show(1)} us"
    nginx = row.values["nginx"]
    row.target = f"<= {nginx.high:.1f} us (nginx's interval)"
    if "weir" in row.values:
        row.judge([(row.values["weir"], nginx.high)])
    return row


def binary_size(path, folder):
    """Bytes of the stripped binary, and (name, bytes) of each shared library that it loads."""
    path = shutil.which(path) or path
    stripped = os.path.join(folder, "stripped")
    subprocess.run(["strip", "-o", stripped, path], check=True)
    libraries = []
    listing = subprocess.run(["ldd", path], check=True, capture_output=True, text=True).stdout
    for line in listing.splitlines():
        words = line.split()
        if len(words) >= 3 and words[1] == "=>":
            libraries.append((words[0], os.path.getsize(os.path.realpath(words[2]))))
    return os.path.getsize(stripped), libraries


# ---- output ----

def show_value(row, name):
    if name not in row.values:
        return "-"
    estimate = row.values[name]
    return f"{estimate.median:.2f}" if len(estimate.values) == 1 else estimate.show()


def print_table(bench, args, seconds):
    header = ["row", "unit", "weir", "floor", "nginx", "compared", "target", "reached"]
    lines = [header]
    for row in bench.rows:
        lines.append([row.name, row.unit, *(show_value(row, n) for n in ("weir", "floor", "nginx")),
                      row.compared or "-", row.target, row.reached])
    widths = [max(len(line[i]) for line in lines) for i in range(len(header))]
    for line in lines:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip())
    print()
    for row in bench.rows:
        for line in row.note.splitlines():
            print(f"{row.name}: {line}")
    coverage = 100 * stats.interval(range(args.pairs))[2]
    print(f"{args.pairs} rounds{' (--quick: fewer rounds and rows)' if args.quick else ''}; "
          f"median [interval that covers it with {coverage:.0f}%]; {seconds:.0f} s in all.")
    print("Idle cores " + ("poll" if args.awake else "halt") + " while it measures.")
    if bench.runs:
        print(f"Others used {100 * stats.median(bench.strangers):.0f}% of the proxy's core (median; at "
              f"most {100 * max(bench.strangers):.0f}%); {bench.disturbed} of {bench.runs} runs are "
              "disturbed.")
    if not args.weir:
        print("Weir was not measured: no --weir.")


def write_json(path, bench, args, seconds):
    figures = {"rows": [row.as_json() for row in bench.rows], "pairs": args.pairs,
               "quick": args.quick, "cores_awake": args.awake, "seconds": seconds,
               "runs": bench.runs, "disturbed": bench.disturbed}
    with open(path, "w") as file:
        json.dump(figures, file, indent=1)
        file.write("\n")


def parse_args():
    rows = [*CPU_GROUPS, *OTHER_ROWS]
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weir", help="the weir binary; without it the others are measured alone")
    parser.add_argument("--tools", required=True,
                        help="folder with the built floor, benchmock and benchload")
    parser.add_argument("--nginx", help="the nginx binary (default: the one in PATH)")
    parser.add_argument("--before", help="another weir binary, beside which `limits` is measured")
    parser.add_argument("--rows", help="some of " + ",".join(rows))
    parser.add_argument("--points", help="some of " + ",".join(POINTS))
    parser.add_argument("--pairs", type=int, help="rounds per row (7; quick: 3)")
    parser.add_argument("--seconds", type=float, help="measured time per run (1.5; quick: 0.6)")
    parser.add_argument("--warmup", type=float, help="before it, not counted (0.5; quick: 0.2)")
    parser.add_argument("--retries", type=int, help="of disturbed runs (2; quick: 0)")
    parser.add_argument("--patience", type=float,
                        help="seconds, in all, to wait for a quiet machine (300; quick: 0)")
    parser.add_argument("--idle-streams", type=int, default=IDLE_STREAMS)
    parser.add_argument("--quick", action="store_true", help="under two minutes; says so")
    parser.add_argument("--json", help="also write all figures to this file")
    parser.add_argument("--proxy-core", type=int, default=0)
    parser.add_argument("--load-core", type=int, default=1)
    parser.add_argument("--nice", type=int, default=-20,
                        help="priority of all that is measured, where allowed (-20), so that it "
                             "does not wait for others on a shared machine")
    parser.add_argument("--let-idle", action="store_true",
                        help="let idle cores halt (without: they poll, where that is allowed)")
    parser.add_argument("--keep", action="store_true", help="keep the temporary folder (logs)")
    args = parser.parse_args()
    quick = args.quick
    args.pairs = args.pairs or (3 if quick else 7)
    args.seconds = args.seconds or (0.6 if quick else 1.5)
    args.warmup = args.warmup or (0.2 if quick else 0.5)
    args.retries = (0 if quick else 2) if args.retries is None else args.retries
    args.patience = (0 if quick else 300) if args.patience is None else args.patience
    args.rows = args.rows.split(",") if args.rows else (QUICK_ROWS if quick else rows)
    args.points = args.points.split(",") if args.points else (["70"] if quick else [*POINTS])
    for given, known in ((args.rows, rows), (args.points, POINTS)):
        for name in given:
            if name not in known:
                parser.error(f"{name} is none of {', '.join(known)}")
    return args


def measure_all(bench, args):
    for key in args.rows:
        if key in CPU_GROUPS:
            bench.cpu_group(key)
        else:
            getattr(bench, key.removesuffix("_tls"))(key)


def main():
    args = parse_args()
    if not {args.proxy_core, args.load_core} <= os.sched_getaffinity(0):
        sys.exit("bench: two cores are needed, one for the proxy and one for load and upstream")
    files = machine.raise_files(FILES_WANTED)
    if args.idle_streams > (files - FILES_RESERVED) // 2:
        args.idle_streams = (files - FILES_RESERVED) // 2
        say(f"{files} descriptors are allowed here: {args.idle_streams} idle streams at most")
    os.sched_setaffinity(0, {args.load_core})
    args.awake = not args.let_idle and machine.keep_cores_awake()
    if not args.weir:
        say("Weir is skipped: no --weir")
    folder = tempfile.mkdtemp(prefix="weir-bench-")
    started = time.monotonic()
    try:
        place = Place(args, folder)
        place.make_certificate()
        bench = Bench(args, place)
        measure_all(bench, args)
    except (Failure, subprocess.TimeoutExpired) as reason:
        print(f"bench: aborted: {reason}", file=sys.stderr)
        return 2
    finally:
        if args.keep:
            say(f"kept {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)
    seconds = time.monotonic() - started
    print_table(bench, args, seconds)
    if args.json:
        write_json(args.json, bench, args, seconds)
    return 0


if __name__ == "__main__":
    sys.exit(main())
