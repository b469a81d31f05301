"""What is noticed of targets and shared by all workers: the breaker with its half-open state and slow start,
panic, cool-down, refused credentials, and what counts for nothing."""

import asyncio
import time
import unittest

import figures
import flow
from harness import late, threads
from flow import Mock, gateway, providers

QUIET = "probe: 0"


def config(rows, health="", more="", strategy="ordered"):
    return (f"listen: 127.0.0.1:{{port}}\nworkers: 4\nproviders:\n{rows}"
            f"health: {{{QUIET}{', ' if health else ''}{health}}}\n"
            f"models: {{chat: {{targets: [one/m, two/m], strategy: {strategy}}}}}\n{more}")


def between(one, two, health):
    """A gateway to two mocks."""
    return gateway(config(providers(one=one, two=two), health), one=one, two=two)


async def bad(call):
    await call.fail()


async def good(call):
    await call.good()


def switches(pid):
    counts = {}
    for tid in threads(pid, "weir-worker"):
        with open(f"/proc/{pid}/task/{tid}/status", encoding="utf-8") as f:
            counts[tid] = int(dict(line.split(":", 1) for line in f)["voluntary_ctxt_switches"])
    return counts


class Breaker(unittest.TestCase):
    def test_shared_by_workers(self):
        """Once it has opened no worker sends anything, to the last request."""
        async def play():
            async with Mock(bad) as one, Mock(good) as two:
                text = config(providers(one=one, two=two), "failures: 5, ejection: 60s")
                async with gateway(text, one=one, two=two) as (weir, clients):
                    await clients.together(64)
                    at_once = one.count()
                    before = switches(weir.pid)
                    one.forget()
                    for _ in range(8):
                        for result in await clients.together(64):
                            self.assertEqual((result.status, result.target), (200, "two/m"))
                    after = switches(weir.pid)
                    figures.say("breaker of four workers", sent_before_it_was_open=at_once, of=64,
                                sent_afterwards=one.count(), of_=512)
                    self.assertEqual(len(after), 4)
                    self.assertTrue(all(after[t] > before[t] + 5 for t in after), "all four took part")
                    self.assertEqual(one.count(), 0)
                    self.assertGreaterEqual(at_once, 5)
        flow.run(play())

    def test_half_open(self):
        """After the ejection one request at a time may try, whichever worker it is at."""
        async def slow(call):
            await call.good(0.3)

        async def play():
            async with Mock(bad) as one, Mock(good) as two:
                health = "failures: 5, ejection: 1s"
                async with between(one, two, health) as (_, clients):
                    await clients.together(32)
                    await asyncio.sleep(1.1)
                    one.answer = slow
                    one.forget()
                    for result in await clients.together(64):
                        self.assertEqual(result.status, 200)
                    figures.say("half-open", at_a_time=one.most, tried=one.count(), of=64)
                    self.assertEqual((one.most, one.count()), (1, 1))
        flow.run(play())

    def test_slow_start(self):
        """Once it is well again its share grows to all."""
        async def play():
            async with Mock(bad) as one, Mock(good) as two:
                health = "failures: 5, ejection: 1s, slow_start: 4s"
                async with between(one, two, health) as (_, clients):
                    await clients.together(32)
                    await asyncio.sleep(1.1)
                    one.answer = good
                    await clients.ask()
                    shares = [await self.share(clients, one) for _ in range(8)]
                    figures.say("slow start of 4 s", share_each_700_ms=" ".join(f"{s:.2f}" for s in shares))
                    self.assertLess(shares[0], 0.6)
                    self.assertGreater(shares[-1], 0.95)
                    self.assertGreater(sum(shares[4:6]), sum(shares[:2]))
        flow.run(play())

    @staticmethod
    async def share(clients, mock):
        """Of the requests in the next 700 ms."""
        mock.forget()
        results = await clients.open_loop(120, 0.7)
        return mock.count() / len(results)

    def test_failed_trial_lasts_longer(self):
        """Each ejection in a row is longer by the first one's time."""
        async def play():
            async with Mock(bad) as one, Mock(good) as two:
                async with between(one, two, "failures: 5, ejection: 1s") as (_, clients):
                    await clients.together(32)
                    one.forget()
                    began = time.monotonic()
                    await clients.open_loop(100, 6.5)
                    tries = [f"{at - began:.1f}" for at in one.times]
                    figures.say("trials after ejections of 1 s, 2 s, 3 s", at=" ".join(tries))
                    self.assertEqual(len(tries), 3, tries)
        flow.run(play())

    def test_panic(self):
        """With all of them out nobody is left out: all are asked, and the first that is well again answers."""
        async def play():
            async with Mock(bad) as one, Mock(bad) as two:
                async with between(one, two, "failures: 5, ejection: 60s") as (_, clients):
                    await clients.together(40)
                    one.forget(), two.forget()
                    for result in await clients.together(40):
                        self.assertEqual(result.status, 500)
                    asked = one.count() + two.count()
                    two.answer = good
                    results = []
                    for _ in range(20):  # retries have a budget
                        results += await clients.together(10)
                        await asyncio.sleep(0.05)
                    served = sum(result.status == 200 for result in results)
                    figures.say("panic", asked_while_all_are_out=f"{asked} of 40",
                                served_once_one_is_well=f"{served} of 200")
                    self.assertGreaterEqual(asked, 40)
                    self.assertGreaterEqual(served, 150)
        flow.run(play())

    def test_mostly_failing(self):
        """A share of failures ejects where they are never so many in a row."""
        async def half(call):
            await (call.fail() if call.number % 5 else call.good())

        async def play():
            async with Mock(half) as one, Mock(good) as two:
                health = "failures: 100, error_share: 50%, min_requests: 10, ejection: 60s"
                async with between(one, two, health) as (_, clients):
                    for _ in range(40):
                        self.assertEqual((await clients.ask()).status, 200)
                    self.assertLessEqual(one.count(), 15)
                    self.assertGreaterEqual(one.count(), 10)
        flow.run(play())

    def test_slow(self):
        """Answers that have become slow against their own past eject it, though none has failed."""
        async def slow(call):
            await call.good(0.6)

        async def usual(call):
            await call.good(0.03)

        async def play():
            async with Mock(usual) as one, Mock(good) as two:
                async with between(one, two, "ejection: 60s, window: 5s") as (_, clients):
                    await clients.open_loop(40, 2)
                    one.answer = slow
                    await clients.open_loop(20, 4)
                    one.forget()
                    await clients.open_loop(40, 1)
                    figures.say("slow target", asked_once_known_to_be_slow=f"{one.count()} of 40")
                    self.assertEqual(one.count(), 0)
        flow.run(play())


class NotSick(unittest.TestCase):
    def ask_all(self, status, headers=(), health="failures: 5, ejection: 60s", rounds=30):
        """Results of requests one after the other at a first target that answers so; and how often it was
        asked."""
        async def said(call):
            await call.fail(status, headers)

        async def play():
            async with Mock(said) as one, Mock(good) as two:
                async with between(one, two, health) as (_, clients):
                    results = [await clients.ask() for _ in range(rounds)]
                    return results, one.count()
        return flow.run(play())

    def test_client_errors(self):
        """400, 404 and 422 are the client's: they are told, nobody else is asked, and nothing is ejected."""
        for status in (400, 422):
            with self.subTest(status=status):
                results, asked = self.ask_all(status)
                self.assertEqual(asked, 30)
                self.assertEqual({result.status for result in results}, {status})

    def test_limited(self):
        """A 429 rests the target until it may be asked again, and no longer: it is not sick."""
        async def limited(call):
            await call.fail(429, [("retry-after", "1")])

        async def play():
            async with Mock(limited) as one, Mock(good) as two:
                async with between(one, two, "slow_start: 30s") as (_, clients):
                    began = time.monotonic()
                    for _ in range(30):
                        result = await clients.ask()
                        self.assertEqual(result.status, 200)
                    self.assertEqual(one.count(), 1)
                    one.answer = good
                    await asyncio.sleep(max(0.0, began + 1.3 - time.monotonic()))
                    self.assertEqual((await clients.ask()).target, "one/m")
        flow.run(play())

    def test_refused_credential(self):
        for status in (401, 403):
            with self.subTest(status=status):
                results, asked = self.ask_all(status)
                self.assertEqual(asked, 1)
                self.assertEqual({result.status for result in results}, {200})

    def test_several_keys(self):
        """One of two keys is refused: the other one serves, at the same target."""
        async def by_key(call):
            call.heard.key = 1 if call.headers.get("authorization") == "Bearer bad-key" else 2
            await (call.fail(401) if call.heard.key == 1 else call.good())

        async def play():
            async with Mock(by_key) as one, Mock(good) as two:
                rows = providers(two=two) + (f"  one: {{type: openai-compatible, url: '{one.url}', "
                                             "api_keys: [bad-key, good-key]}\n")
                async with gateway(config(rows), one=one, two=two) as (_, clients):
                    results = [await clients.ask() for _ in range(40)]
                    self.assertEqual({(r.status, r.target) for r in results}, {(200, "one/m")})
                    self.assertEqual(one.count(), 41, "the refused one was tried once")
        flow.run(play())

    def test_probes(self):
        """Probes eject a target that nobody asks, before a client has to find out, and are never a paid call."""
        async def play():
            async with Mock(good, probed=500) as one, Mock(good) as two:
                text = config(providers(one=one, two=two), "failures: 3, ejection: 60s").replace(QUIET, "probe: 200ms")
                async with gateway(text, one=one, two=two) as (_, clients):
                    end = time.monotonic() + late(5)
                    while one.probes < 3 and time.monotonic() < end:
                        await asyncio.sleep(0.05)
                    await asyncio.sleep(late(0.1))  # the third one's answer is on its way
                    self.assertGreaterEqual(one.probes, 3)
                    self.assertEqual(one.count() + two.count(), 0)
                    results = [await clients.ask() for _ in range(10)]
                    self.assertEqual({r.target for r in results}, {"two/m"})
        flow.run(play())
