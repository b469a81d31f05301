"""The comparison of what Weir tells with what upstreams have seen finds what is wrong: otherwise it would say
nothing of those that it finds right."""

import asyncio
import copy
import unittest

import flow
from explained import Admin, Heard, differences, heard_by
from flow import Mock, gateway, providers

TOLD = {"candidates": [{"target": "a/one", "place": 1}, {"target": "b/two", "place": 2},
                       {"target": "c/three", "place": 3}, {"target": "d/four", "reason": "forbidden"}],
        "attempts": [{"target": "a/one", "outcome": "upstream_connect", "start_us": 0, "end_us": 90},
                     {"target": "b/two", "outcome": "upstream_error", "status": 503, "start_us": 100, "sent_us": 120,
                      "end_us": 900},
                     {"target": "c/three", "outcome": "ok", "status": 200, "start_us": 910, "sent_us": 930,
                      "end_us": 2000}]}
WANTED = [{"upstream_connect"}, {"upstream_error"}, {"ok"}]


def heard():
    return [Heard("t", "b/two", 503, at=1.0), Heard("t", "c/three", 200, at=2.0)]


class Comparison(unittest.TestCase):
    def found(self, told=None, log=None, wanted=WANTED):
        return differences(TOLD if told is None else told, heard() if log is None else log, wanted)

    def changed(self, n, **fields):
        told = copy.deepcopy(TOLD)
        told["attempts"][n].update(fields)
        return told

    def test_right(self):
        self.assertEqual(self.found(), [])

    def test_swapped_in_log(self):
        """The mocks were asked the other way round."""
        two, three = heard()
        two.at, three.at = three.at, two.at
        self.assertEqual(self.found(log=[three, two]), ["c/three was asked before b/two"])

    def test_swapped_in_what_is_told(self):
        told = copy.deepcopy(TOLD)
        told["attempts"][1:] = told["attempts"][:0:-1]
        found = self.found(told)
        self.assertIn("b/two was asked before c/three", found)
        self.assertEqual(len(found), 3, found)
        self.assertTrue(any("the order was" in one for one in found), found)

    def test_other_target(self):
        log = heard()
        log[0].target = "a/one"
        self.assertEqual(len(self.found(log=log)), 2)

    def test_missing_and_more(self):
        for log in (heard()[:1], heard()[1:], [], [*heard(), Heard("t", "b/two", 503)],
                    [Heard("t", "a/one"), *heard()]):
            with self.subTest(log=log):
                self.assertTrue(self.found(log=log))

    def test_attempt_left_out(self):
        for n in range(3):
            told = copy.deepcopy(TOLD)
            del told["attempts"][n]
            with self.subTest(n=n):
                self.assertTrue(self.found(told))

    def test_other_words(self):
        """Another error, another status, times that run backwards, and an unknown id."""
        for told in (self.changed(0, outcome="upstream_reset"), self.changed(1, status=500),
                     self.changed(1, outcome="upstream_auth"), self.changed(0, status=200),
                     self.changed(2, start_us=5000), self.changed(0, sent_us=10)):
            with self.subTest(told=told["attempts"]):
                self.assertTrue(self.found(told))
        self.assertTrue(differences(None, []))

    def test_outcome(self):
        """What the mock has said is called something else."""
        log = heard()
        log[0].outcome = "upstream_error"
        self.assertEqual(self.found(log=log), [])
        log[0].outcome = "rate_limit_exceeded"
        self.assertEqual(len(self.found(log=log)), 1)

    def test_key(self):
        log = heard()
        log[0].key = 2
        self.assertEqual(self.found(self.changed(1, key=2), log), [])
        self.assertTrue(self.found(self.changed(1, key=1), log))

    def test_hedge(self):
        """Those that ran side by side may be seen in either order, and one that was called off at once by nobody."""
        told = {"attempts": [
            {"target": "a/one", "outcome": "hedged", "start_us": 0, "sent_us": 10, "end_us": 90000},
            {"target": "b/two", "outcome": "ok", "start_us": 50000, "sent_us": 50010, "end_us": 90000}]}
        log = [Heard("t", "b/two", at=1.0), Heard("t", "a/one", at=2.0)]
        self.assertEqual(differences(told, log), [])
        self.assertTrue(differences(told, log[:1]))
        told["attempts"][0]["end_us"] = 5000
        self.assertEqual(differences(told, log[:1]), [])


class OfWeir(unittest.TestCase):
    def test_swapped(self):
        """A request that went from one to another, and a log in which it went the other way."""
        async def bad(call):
            await call.fail(503)

        async def good(call):
            await call.good()

        async def play():
            async with Mock(bad) as one, Mock(good) as two:
                config = (f"listen: 127.0.0.1:{{port}}\nproviders:\n{providers(one=one, two=two)}"
                          "models: {chat: {targets: [one/m, two/m]}}\n")
                async with gateway(config, one=one, two=two) as (weir, clients):
                    result = await clients.ask()
                    request_id = result.headers["x-weir-request-id"]
                    return await asyncio.to_thread(Admin(weir).explain, request_id), heard_by({"one": one, "two": two})

        told, (first, second) = flow.run(play())
        self.assertEqual(differences(told, [first, second]), [])
        first.at, second.at = second.at, first.at
        self.assertEqual(differences(told, [second, first]), ["two/m was asked before one/m"])
