#!/usr/bin/env python3
"""Resident memory under load that goes on: is it flat?

Whole answers, streams, streams that clients leave in the middle, wrong keys, unknown models and broken
JSON come at once, plain or over TLS, for --seconds. Every few seconds the gateway's resident memory is
written down; at the end the second half is compared with the first (after a tenth of the time for
warming up), and a small picture is drawn.

  soak.py --weir build/release/src/cli/weir --tools build/release/tools/bench --seconds 3600
"""
import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request

import machine
import prompt
from targets import FILES_WANTED, KEY, Failure, Mock, Place, start_weir

BARS = "▁▂▃▄▅▆▇█"
WIDTH = 60


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weir", required=True)
    parser.add_argument("--tools", required=True)
    parser.add_argument("--seconds", type=float, default=3600)
    parser.add_argument("--rate", type=int, default=2000, help="whole answers a second (2000)")
    parser.add_argument("--streams", type=int, default=60, help="streams of 64 events a second (60)")
    parser.add_argument("--tls", action="store_true", help="on both sides")
    args = parser.parse_args()
    args.nginx, args.proxy_core, args.load_core, args.nice = None, 0, 1, 0
    return args


def body(folder, stream):
    path = os.path.join(folder, "stream.json" if stream else "whole.json")
    command = [sys.executable, prompt.__file__, "small1k", "-o", path, *(["--stream"] if stream else [])]
    subprocess.run(command, check=True)
    return path


def load(args, port, path, rate, events):
    command = [os.path.join(args.tools, "benchload"), "--port", str(port), "--prompt", path, "--key", KEY,
               "--connections", str(max(16, 2 * rate if events else 16)), "--rate", str(rate),
               "--seconds", str(args.seconds), "--warmup", "0",
               *(["--expect-events", str(events)] if events else []), *(["--tls"] if args.tls else [])]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


class Rude(threading.Thread):
    """Clients that leave in the middle of a stream, and requests that are refused."""

    def __init__(self, place, args, port, path):
        super().__init__(daemon=True)
        scheme = "https" if args.tls else "http"
        self.url = f"{scheme}://localhost:{port}/v1/chat/completions"
        self.context = place.tls_context() if args.tls else None
        with open(path, "rb") as file:
            self.stream = file.read()
        self.ended = threading.Event()
        self.left = self.refused = 0

    def ask(self, data, key):
        request = urllib.request.Request(self.url, data, {"Authorization": f"Bearer {key}"})
        return urllib.request.urlopen(request, context=self.context, timeout=10)

    def run(self):
        wrong = [(self.stream, "wrong"), (b'{"model":"none","messages":[]}', KEY), (b'{"model"', KEY)]
        while not self.ended.wait(0.02):
            try:
                with self.ask(self.stream, KEY) as answer:
                    answer.read(2000)
                self.left += 1
                self.ask(*wrong[self.left % len(wrong)])
            except urllib.error.HTTPError:
                self.refused += 1


def picture(values):
    low, high = min(values), max(values)
    step = max(1, len(values) // WIDTH)
    marks = [statistics.mean(values[i:i + step]) for i in range(0, len(values), step)]
    return "".join(BARS[int((v - low) / max(high - low, 1e-9) * (len(BARS) - 1))] for v in marks)


def sample(weir, rude, loads, seconds):
    values, began, every = [], time.monotonic(), max(0.5, seconds / 400)
    while time.monotonic() - began < seconds and all(one.poll() is None for one in loads):
        time.sleep(every)
        values.append(machine.resident_bytes(weir.pids()) / 1e6)
        print(f"\r  {time.monotonic() - began:5.0f} s  {values[-1]:6.1f} MB  {rude.left} left in the middle, "
              f"{rude.refused} refused ", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return values


def verdict(values):
    warm = values[len(values) // 10:]
    first, second = warm[:len(warm) // 2], warm[len(warm) // 2:]
    print(picture(values))
    print(f"resident: {statistics.median(first):.1f} MB in the first half, {statistics.median(second):.1f} MB in the "
          f"second; least {min(warm):.1f}, most {max(warm):.1f}")


def run(args, folder):
    place = Place(args, folder)
    place.make_certificate()
    mock = Mock(place, args.tls)
    mock.set(interval_us=10000)
    weir = start_weir(place, mock, args.tls)
    whole, stream = body(folder, False), body(folder, True)
    rude = Rude(place, args, weir.port, stream)
    loads = [load(args, weir.port, whole, args.rate, 0), load(args, weir.port, stream, args.streams, 64)]
    try:
        rude.start()
        verdict(sample(weir, rude, loads, args.seconds))
    finally:
        rude.ended.set()
        rude.join()
        for one in loads:
            one.terminate()
            text, errors = one.communicate()
            print(text.split(', "p50_us')[0] or errors)
        weir.stop()
        mock.stop()


def main():
    args = arguments()
    machine.raise_files(FILES_WANTED)
    folder = tempfile.mkdtemp(prefix="weir-soak-")
    try:
        run(args, folder)
    except Failure as reason:
        sys.exit(f"soak: {reason}")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
