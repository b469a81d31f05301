"""Upstreams that say more than the request allows: the stream is cut and ends properly."""

import asyncio
import json
import unittest

import flow
from flow import WORD, Mock, gateway, providers

BOUND, EACH, SLACK = 20, 6, 8  # tokens, pieces that one may come in, tokens


def config(rows):
    return (f"listen: 127.0.0.1:{{port}}\nworkers: 2\nproviders:\n{rows}"
            "models: {chat: {targets: [one/m]}}\n")


def saying(words, left, outcome):
    """Says so many words, or never ends (None); `left` is set when that is over: without an end,
    once Weir has gone."""
    async def answer(call):
        call.say(200)
        call.heard.outcome = outcome
        call.writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        said = 0
        try:
            while words is None or said < words:
                call._chunk({"content": WORD})
                said += 1
                await call.writer.drain()
                await asyncio.sleep(0.001)
        finally:
            call.leave()
            left.set()
        call._chunk({}, "stop")
        call._event(b"[DONE]")
        call.writer.write(b"0\r\n\r\n")
        await call.writer.drain()
    return answer


def events(body):
    return [line[6:] for line in body.decode().split("\n\n") if line]


class Overlong(unittest.TestCase):
    def test_cut(self):
        """An endless answer: its end, its usage, its log line; nothing of the upstream goes on."""
        async def play():
            left = asyncio.Event()
            async with Mock(saying(None, left, "cut_at_limit")) as one:
                async with gateway(config(providers(one=one)), one=one) as (weir, clients):
                    result = await clients.ask(max_tokens=BOUND, stream_options={"include_usage": True})
                    await asyncio.wait_for(left.wait(), 5)
                    self.assertEqual((result.status, one.inflight), (200, 0))
                    *words, finish, usage, done = events(result.body)
                    self.assertEqual((len(words), done), (EACH * BOUND + SLACK + 1, "[DONE]"))
                    self.assertEqual(json.loads(finish)["choices"][0]["finish_reason"], "length")
                    self.assertEqual(json.loads(finish)["id"], "c1")
                    self.assertEqual(json.loads(usage)["usage"]["completion_tokens"], len(words))
                    line = (await asyncio.to_thread(weir.last_access, 1))[-1]
                    self.assertEqual((line["reason"], line["estimated_output_tokens"]), ("cut_at_limit", len(words)))
                    self.assertEqual(line["attempts"][0]["outcome"], "cut_at_limit")
                    self.assertEqual(await asyncio.to_thread(weir.metric, "weir_overlong_total"), 1)
        flow.run(play())

    def test_within(self):
        """At the bound, a little above, and without one."""
        async def play():
            for words, more in ((BOUND, {"max_tokens": BOUND}), (EACH * BOUND + SLACK, {"max_tokens": BOUND}), (500, {})):
                async with Mock(saying(words, asyncio.Event(), "ok")) as one:
                    async with gateway(config(providers(one=one)), one=one) as (weir, clients):
                        result = await clients.ask(**more)
                        *said, finish, done = events(result.body)
                        self.assertEqual((len(said), done), (words, "[DONE]"))
                        self.assertEqual(json.loads(finish)["choices"][0]["finish_reason"], "stop")
                        self.assertEqual(await asyncio.to_thread(weir.metric, "weir_overlong_total"), 0)
        flow.run(play())
