"""Prefix affinity with real engines: eight conversations over two replicas of llama-server, and the share of
their prompts that came from its cache, by what the engine itself says."""

import os
import pathlib
import random
import subprocess
import tempfile
import threading
import time
import unittest

import figures
from harness import Weir, ask, chat, until
from ports import free_port

CONVERSATIONS, TURNS, SLOTS = 8, 12, 4
CONTEXT = 8192
BYTES = 1600   # of a conversation's first message
MORE = 280     # of each further one
THINKS = 0.4   # seconds between turns, at most: without it they would take turns in step, always at the same replica


def replica(model, port, folder):
    """One llama-server with as many slots as half of the conversations need, and no other cache."""
    with open(folder / f"{port}.log", "wb") as log:
        return subprocess.Popen(
            [os.environ["WEIR_LLAMA_SERVER"], "-m", str(model), "--host", "127.0.0.1", "--port", str(port), "-np",
             str(SLOTS), "-c", str(CONTEXT * SLOTS), "-t", "1", "--cache-ram", "0", "--no-warmup", "--alias", "m"],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log)


def ready(port):
    try:
        return ask(port, "GET", "/health").status == 200
    except OSError:
        return False


def filler(n, seed):
    """n bytes of text that no other seed has."""
    words = []
    while sum(len(w) + 1 for w in words) < n:
        seed = (seed * 1103515245 + 12345) & 0x7fffffff
        words.append(("river", "weir", "gate", "flood", "sluice", "bank", "lock")[seed % 7] + str(seed % 9973))
    return " ".join(words)[:n]


@unittest.skipUnless(os.environ.get("WEIR_LLAMA_SERVER"), "WEIR_LLAMA_SERVER names no engine")
class Prefix(unittest.TestCase):
    def setUp(self):
        made = tempfile.TemporaryDirectory(prefix="weir-prefix-")
        self.addCleanup(made.cleanup)
        self.folder = pathlib.Path(made.name)
        if figures.SYNTH:
            self.model = self.folder / "model.gguf"
            subprocess.run([str(figures.SYNTH.resolve()), "-o", str(self.model), "--context", str(CONTEXT)], check=True)
        elif os.environ.get("WEIR_MODEL"):
            self.model = pathlib.Path(os.environ["WEIR_MODEL"])
        else:
            self.skipTest("neither --synth nor WEIR_MODEL")

    def converse(self, port, n, totals):
        """One client's turns, each with all that was said before."""
        chance = random.Random(n)
        messages = [{"role": "user", "content": filler(BYTES, 1000 * n + 1)}]
        for turn in range(TURNS):
            answer = ask(port, "POST", "/v1/chat/completions", (), {
                "model": "chat", "messages": messages, "max_tokens": 8, "temperature": 0})
            self.assertEqual(answer.status, 200, answer)
            said = answer.json()
            details = said["usage"].get("prompt_tokens_details") or {}
            totals.append((turn, said["usage"]["prompt_tokens"], details.get("cached_tokens", 0),
                           answer.headers["x-weir-target"]))
            messages += [{"role": "assistant", "content": said["choices"][0]["message"]["content"] or "."},
                         {"role": "user", "content": filler(MORE, 1000 * n + turn + 2)}]
            time.sleep(chance.uniform(0, THINKS))

    def play(self, strategy):
        """(share of cached tokens, share of the first replica, seconds, prompt tokens)"""
        ports = [free_port(), free_port()]
        replicas = [replica(self.model, port, self.folder) for port in ports]
        rows = "".join(f"  r{n}: {{type: llama-server, url: 'http://127.0.0.1:{port}/v1', max_inflight: {SLOTS}}}\n"
                       for n, port in enumerate(ports))
        config = (f"listen: 127.0.0.1:{{port}}\nproviders:\n{rows}"
                  f"models: {{chat: {{targets: [r0/m, r1/m], strategy: {strategy}}}}}\n")
        try:
            for port in ports:
                until("the engine is ready", lambda port=port: ready(port), 60)
            with Weir(config) as weir:
                return self.measure(weir)
        finally:
            for process in replicas:
                process.terminate()
                process.wait(20)

    def measure(self, weir):
        self.assertEqual(chat(weir.port, "chat", max_tokens=1).status, 200)
        totals, failures = [], []

        def one(n):
            try:
                self.converse(weir.port, n, totals)
            except (AssertionError, OSError, KeyError) as e:
                failures.append(e)

        began = time.monotonic()
        threads = [threading.Thread(target=one, args=(n,)) for n in range(CONVERSATIONS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(failures, [])
        asked = sum(prompt for _, prompt, _, _ in totals)
        cached = sum(c for _, _, c, _ in totals)
        at_first = sum(target == "r0/m" for _, _, _, target in totals) / len(totals)
        return cached / asked, at_first, time.monotonic() - began, asked

    def test_shares(self):
        found = {}
        for strategy in ("prefix", "round_robin"):
            found[strategy] = self.play(strategy)
            share, first, seconds, asked = found[strategy]
            figures.say(f"{CONVERSATIONS} conversations of {TURNS} turns, 2 replicas with {SLOTS} slots, {strategy}",
                        cached=f"{share:.1%} of {asked} prompt tokens", at_the_first_replica=f"{first:.0%}",
                        took=f"{seconds:.1f} s")
        self.assertGreaterEqual(found["prefix"][0], 0.75)
        self.assertLess(found["round_robin"][0], 0.6)
        self.assertTrue(0.25 <= found["prefix"][1] <= 0.75, "both replicas work")
