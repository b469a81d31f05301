"""weir check --fire: what works, what would not and why, and that nobody else is asked."""
import contextlib
import json
import os
import signal
import socket

import harness
from check_cases import KEY, ConfigCase

FAULTS = ("refused", "500", "429", "silence", "cut", "html")
ALL_OK = ", ".join(f"{fault} ok" for fault in FAULTS)
PROVIDERS = f"""
auth: keys
providers:
  house: {{type: vllm, url: "http://127.0.0.1:9/v1"}}
  openai: {{type: openai, api_key: {KEY}}}
  anthropic: {{type: anthropic, api_key: {KEY}}}
"""
OPEN = PROVIDERS.replace("auth: keys", "auth: none")
CHAT = "models: {chat: {targets: [house/llama, openai/gpt-4o-mini], " \
       "fallback: [anthropic/claude-sonnet-4-5]%s}}\n"
SECRET = "wk-0123456789abcdefghijklmnop%d"


def keys(**rules):
    lines = [f"  {name}: {{secret: {SECRET % i}{', ' + text if text else ''}}}"
             for i, (name, text) in enumerate(rules.items())]
    return "keys:\n" + "\n".join(lines) + "\n"


class FireCase(ConfigCase):
    def fire(self, *text, status=0, **env):
        result = self.check("--fire", self.config("".join(text)), status=status, **env)
        self.assertNotIn(SECRET[:10], result.out + result.err)
        return result.out

    def rows(self, *text, status=0):
        result = self.check("--fire", "--json", self.config("".join(text)), status=status)
        return json.loads(result.out)

    def failed(self, *text):
        """The lines that name what would not work."""
        out = self.fire(*text, status=1)
        return [line.strip() for line in out.splitlines() if "FAILED" in line]


class Good(FireCase):
    def test_all_of_it(self):
        out = self.fire(PROVIDERS, CHAT % ", rescue: continue, last_resort: Come back later.",
                        "teams: {t: {limits: {budget: {day: 10}}}}\n",
                        keys(mobile="team: t, limits: {requests_per_minute: 30}",
                             web="limits: {concurrency: 3, tokens_per_minute: 10000}"))
        for line in (
                "chat: house/llama -> openai/gpt-4o-mini -> anthropic/claude-sonnet-4-5  " + ALL_OK,
                "breaker: house/llama (chat): left alone after 5 failures, asked again after the "
                "ejection (10 s)",
                "rescue: chat: cut after 3 events by house/llama, ends whole by "
                "openai/gpt-4o-mini",
                "last_resort: chat: all targets fail, the text comes",
                "limit: team t: budget_day $10 ok: a request when it is used up is refused",
                "limit: key mobile: requests_per_minute 30 ok: number 31 of a minute is refused",
                "limit: key web: concurrency 3 ok: number 4 at a time is refused",
                "limit: key web: tokens_per_minute 10000 ok: a request when they are used up is "
                "refused"):
            self.assertIn(line + "\n", out)
        self.assertRegex(out, r"\n\d+ fired in [0-9.]+ s: 0 would not work\n$")

    def test_strategies(self):
        for strategy in ("round_robin", "least_loaded", "latency", "quality", "sticky", "prefix"):
            with self.subTest(strategy):
                more = ", quality: 3" if strategy == "quality" else ""
                targets = f"[{{use: house/a{more}}}, {{use: openai/gpt-4o{more}}}]"
                out = self.fire(OPEN, "models: {m: {strategy: %s, targets: %s, fallback: "
                                "[anthropic/c]}}\n" % (strategy, targets))
                self.assertIn("m: house/a | openai/gpt-4o -> anthropic/c  " + ALL_OK, out)
                self.assertIn("asked again", out)

    def test_wires(self):
        types = {"openai": "", "openai-responses": "", "anthropic": "", "gemini": "", "cohere": "",
                 "bedrock": ", region: us-east-1", "sagemaker": ", region: us-east-1",
                 "mistral": "", "groq": "", "azure": ", url: 'https://x.openai.azure.com'"}
        providers = "".join(f"  {t}: {{type: {t}, api_key: {KEY}{more}}}\n"
                            for t, more in types.items() if t != "sagemaker")
        providers += "  sm: {type: sagemaker, region: us-east-1}\n"
        providers += "  tgi: {type: sagemaker, region: us-east-1, body: tgi}\n"
        targets = [f"{t}/claude-3-haiku" for t in types if t != "sagemaker"] + ["sm/e", "tgi/e"]
        models = "".join(f"  m{i}: {{targets: [{a}], fallback: [{b}], rescue: continue}}\n"
                         for i, (a, b) in enumerate(zip(targets, targets[1:] + targets[:1])))
        out = self.fire(f"auth: none\nproviders:\n{providers}models:\n{models}")
        self.assertEqual(out.count(ALL_OK), len(targets), out)
        self.assertEqual(out.count("ends whole by"), len(targets), out)

    def test_engine(self):
        (self.home / "m.gguf").write_bytes(harness.gguf())
        out = self.fire(OPEN, f"engines: {{small: {{model: {self.home}/m.gguf}}}}\n"
                        "models: {chat: {targets: [engine/small], fallback: [openai/o]}}\n")
        self.assertIn("chat: engine/small -> openai/o  " + ALL_OK, out)
        self.assertIn("small: engine/small  answers; nothing to fall back to\n", out)

    def test_for_programs(self):
        told = self.rows(PROVIDERS, CHAT % "", keys(a="limits: {concurrency: 1}"))
        self.assertTrue(told["ok"])
        self.assertEqual(told["failed"], 0)
        self.assertEqual({r["what"] for r in told["fired"] if r["kind"] == "fallback"}, set(FAULTS))
        self.assertIn({"kind": "limit", "subject": "key a", "what": "concurrency 1", "result": "ok",
                       "detail": "number 2 at a time is refused"}, told["fired"])

    def test_notes(self):
        """What works, but perhaps not as somebody thinks."""
        sm = "  sm: {type: sagemaker, region: us-east-1, body: tgi}\n"
        out = self.fire(OPEN + sm, "models:\n"
                        "  a: {targets: [openai/x, house/y], fallback: [anthropic/z]}\n"
                        "  b: {targets: [openai/x, house/y, anthropic/z, openai/v, openai/w]}\n"
                        "  c: {targets: [openai/x], fallback: [sm/e]}\n")
        self.assertIn("  if those before it are silent, `timeouts.total` (600 s) ends the request "
                      "before anthropic/z is asked\n", out)
        self.assertIn("  one request asks at most 4 of its 5 targets (`retry.attempts`)\n", out)
        self.assertIn("  sm/e cannot take over requests with tools, images\n", out)
        self.assertEqual(out.count("cannot take over"), 1, out)

    def test_notes_of_models(self):
        """By the table of prices, and by what the configuration says instead."""
        out = self.fire(OPEN, "models:\n"
                        "  a: {targets: [openai/x], fallback: [openai/o3-mini, house/y]}\n"
                        "  b: {targets: [openai/x], fallback: [{use: openai/o3-mini, supports: {images: true}}]}\n"
                        "  c: {targets: [openai/x], fallback: [{use: house/y, supports: {tools: false}}]}\n")
        self.assertIn("  openai/o3-mini cannot take over requests with images\n", out)
        self.assertIn("  house/y cannot take over requests with tools\n", out)
        self.assertEqual(out.count("cannot take over"), 2, out)

    def test_all_scopes(self):
        limits = "limits: {requests_per_minute: 3, input_tokens_per_minute: 5000, " \
                 "output_tokens_per_minute: 5000, budget: {hour: 1, week: 5, month: 9}}"
        out = self.fire(
            PROVIDERS, "models: {chat: {targets: [openai/gpt-4o-mini], %s}}\n" % limits,
            "organisations: {o: {%s}}\nuse_cases: {u: {%s}}\n" % (limits, limits),
            "teams: {t: {organisation: o, %s}}\n" % limits,
            keys(k=f"team: t, use_case: u, {limits}"))
        for scope in ("organisation o", "team t", "key k", "use_case u", "model chat"):
            for limit in ("requests_per_minute 3", "input_tokens_per_minute 5000", "budget_hour $1",
                          "output_tokens_per_minute 5000", "budget_week $5", "budget_month $9"):
                self.assertIn(f"limit: {scope}: {limit} ok", out)

    def test_end_users(self):
        out = self.fire(
            PROVIDERS, "models: {chat: {targets: [openai/gpt-4o-mini]}}\n",
            "plans: {all: {limits: {requests_per_minute: 7}}, "
            "few: {user_limits: {concurrency: 2, tokens_per_minute: 5000, budget: {day: 1}}}}\n"
            "users: {plan: all}\n",
            keys(a="", b="", c="plan: few", d="user: joe"))
        for line in ("key a: requests_per_minute 7 ok: number 8 of a minute is refused",
                     "key c: concurrency 2 ok: number 3 at a time is refused",
                     "key c: tokens_per_minute 5000 ok: a request when they are used up is refused",
                     "key c: budget_day $1 ok: a request when it is used up is refused",
                     "key d: requests_per_minute 7 ok: number 8 of a minute is refused"):
            self.assertIn(f"limit: users of {line}\n", out)
        self.assertEqual(out.count("limit: "), 5, out)  # b is as a

    def test_end_users_of_issued_keys(self):
        out = self.fire(PROVIDERS, "models: {chat: {targets: [house/a]}}\n"
                        "plans: {p: {limits: {requests_per_minute: 30}}}\nusers: {plan: p}\n")
        self.assertIn("limit: users: requests_per_minute 30 ok: number 31 of a minute is refused\n",
                      out)

    def test_hedges(self):
        told = self.rows(
            OPEN, "models:\n"
            "  ab: {targets: [house/a], fallback: [openai/b], hedge: {after: p95, budget: 5%}}\n"
            "  any: {strategy: round_robin, targets: [house/a, openai/b, openai/c],\n"
            "        hedge: {after: 20s, budget: 100%}}\n")
        rows = [r for r in told["fired"] if r["kind"] == "hedge"]
        self.assertEqual(rows[0], {
            "kind": "hedge", "subject": "ab", "what": "after p95, budget 5%", "result": "ok",
            "detail": "while house/a is silent openai/b answers, the next request is beyond the "
                      "budget"})
        self.assertEqual(rows[1]["what"], "after 20000 ms, budget 100%")
        self.assertRegex(rows[1]["detail"], "^while [a-z/]+ is silent [a-z/]+ answers$")

    def test_queues(self):
        (self.home / "m.gguf").write_bytes(harness.gguf())
        out = self.fire(
            OPEN.replace('/v1"}', '/v1", max_inflight: 3, queue: 2}'),
            f"  last: {{type: openai, api_key: {KEY}, max_inflight: 1, queue: 0}}\n"
            f"  adapts: {{type: openai, api_key: {KEY}, adaptive_inflight: true}}\n"
            f"engines: {{small: {{model: {self.home}/m.gguf, slots: 2, queue: 1}}}}\n"
            "models: {a: {targets: [house/x]}, b: {targets: [last/x], fallback: [openai/y]}, "
            "c: {targets: [adapts/x]}}\n")
        for line in (
                "provider house: max_inflight 3, queue 2 ok: number 4 at a time waits and gets its "
                "turn, number 6 is refused with 503",
                "provider last: max_inflight 1, queue 0 ok: number 2 at a time goes to openai/y in "
                "b",
                "engine small: slots 2, queue 1 ok: number 3 at a time waits and gets its turn, "
                "number 4 is refused with 503"):
            self.assertIn(f"queue: {line}\n", out)
        self.assertRegex(out, r"queue: provider adapts: adaptive_inflight \d+, queue 64 ok: ")

    def test_queue_and_fallback(self):
        """Who may not wait any more goes on; a key that goes first in the queue changes nothing."""
        out = self.fire(PROVIDERS.replace('/v1"}', '/v1", max_inflight: 50, queue: 200}'), CHAT % "",
                        keys(k="priority: high"))
        self.assertIn("queue: provider house: max_inflight 50, queue 200 ok: number 51 at a time "
                      "waits and gets its turn, number 251 goes to openai/gpt-4o-mini\n", out)

    def test_keys_with_the_same_limits_are_fired_once(self):
        out = self.fire(PROVIDERS, CHAT % "",
                        keys(**{f"k{i}": "limits: {concurrency: 2}" for i in range(9)}))
        self.assertEqual(out.count("limit: key "), 1, out)


class Wrong(FireCase):
    def test_fallback_at_a_forbidden_provider(self):
        lines = self.failed(PROVIDERS, CHAT % "", keys(a="providers: [house, openai]",
                                                       b="providers: [openai]"))
        self.assertEqual(lines, ["FAILED anthropic/claude-sonnet-4-5 is never asked: key b: its "
                                 "`providers` leave it out"])

    def test_forbidden_for_one_key_only(self):
        out = self.fire(PROVIDERS, CHAT % "", keys(a="", b="providers: [openai]"))
        self.assertIn("  key b gets no house/llama, anthropic/claude-sonnet-4-5: its `providers` "
                      "leave it out\n", out)

    def test_key_without_any_target(self):
        out = self.fire(PROVIDERS, CHAT % "", keys(a="", b="data_rules: {retention_days: 0}"),
                        status=1)
        self.assertIn("FAILED  key b gets no house/llama, openai/gpt-4o-mini, "
                      "anthropic/claude-sonnet-4-5: its `data_rules` forbid it\n", out)

    def test_fallback_without_a_price(self):
        lines = self.failed(OPEN, "models: {chat: {targets: [openai/gpt-4o-mini], fallback: "
                            "[anthropic/nobody-knows-it], limits: {budget: {day: 1}}}}\n")
        self.assertEqual(lines, ["FAILED anthropic/nobody-knows-it is never asked: its price is "
                                 "not known, and the alias has a budget"])
        lines = self.failed(PROVIDERS, "models: {chat: {targets: [openai/gpt-4o-mini], fallback: "
                            "[anthropic/nobody-knows-it]}}\n", keys(k="limits: {budget: {day: 1}}"))
        self.assertEqual(len(lines), 1, lines)
        self.assertIn("price_unknown", lines[0])

    def test_breaker_that_panics(self):
        lines = self.failed(OPEN, "health: {max_ejected: 30%}\n",
                            "models: {m: {strategy: quality, targets: [{use: house/a, quality: 90}, "
                            "{use: openai/gpt-4o, quality: 50}]}}\n")
        self.assertEqual(lines, ["breaker: FAILED house/a (m): still asked after 5 failures: it is "
                                 "50% of the targets, and `max_ejected` is 30%"])

    def test_one_attempt(self):
        rows = self.rows(OPEN, "retry: {attempts: 1}\n", CHAT % "", status=1)["fired"]
        self.assertIn({"kind": "fallback", "subject": "chat", "what": "attempts",
                       "result": "failed", "detail": "`retry.attempts` is 1"}, rows)

    def test_attempts_that_are_used_up_by_keys(self):
        lines = self.failed("auth: none\nretry: {attempts: 2}\nproviders:\n  a: {type: groq, "
                            f"api_keys: [{KEY}, {KEY}x]}}\n  b: {{type: groq, api_key: {KEY}}}\n"
                            "models: {m: {targets: [a/x], fallback: [b/x]}}\n")
        self.assertEqual(len(lines), 2, lines)
        self.assertIn("429 FAILED", lines[0])
        self.assertIn("refused ok, 500 ok", lines[0])
        self.assertIn("FAILED 429: b/x does not take over: 429 ", lines[1])
        self.assertIn("(asked: a/x 2 times)", lines[1])

    def test_silence_without_end(self):
        providers = OPEN.replace('/v1"}', '/v1", timeouts: {head: 0, first_token: 0}}')
        lines = self.failed(providers, CHAT % "")
        self.assertIn("silence FAILED", lines[0])
        self.assertIn("nothing ends the silence of house/llama", lines[1])

    def test_limit_that_lets_nothing_in(self):
        lines = self.failed(PROVIDERS, CHAT % "", keys(k="limits: {input_tokens_per_minute: 1}"))
        self.assertEqual(len(lines), 1, lines)
        self.assertIn("limit: key k: input_tokens_per_minute 1 FAILED: no request gets in at all: "
                      "400 limit_too_small", lines[0])

    def test_users_without_names(self):
        lines = self.failed(PROVIDERS, "models: {chat: {targets: [house/a]}}\n",
                            keys(k="may_set: [], user_limits: {requests_per_minute: 3, "
                                   "concurrency: 2, tokens_per_minute: 5000}"))
        for line, what in zip(lines, ("requests_per_minute 3 FAILED: number 4 of a minute",
                                      "tokens_per_minute 5000 FAILED: a request when they are used "
                                      "up", "concurrency 2 FAILED: number 3 at a time")):
            self.assertEqual(line, f"limit: users of key k: {what} is let in: the key has no "
                                   "`user`, and no `user` in `may_set`")
        self.assertEqual(len(lines), 3, lines)

    def test_users_without_keys(self):
        lines = self.failed(OPEN, "models: {chat: {targets: [house/a]}}\n"
                            "plans: {p: {limits: {concurrency: 3}}}\nusers: {plan: p}\n")
        self.assertEqual(lines, ["limit: users: FAILED: requests have no keys, and users are those "
                                 "of a key"])

    def test_hedges_that_never_come(self):
        def hedge(more, *text, head=OPEN):
            lines = self.failed(head, "models: {m: {targets: [house/a, openai/b], hedge: "
                                "{%s}}}\n" % more, *text)
            line = [line for line in lines if line.startswith("hedge: ")]
            self.assertEqual(len(line), 1, lines)
            return line[0]

        late = OPEN.replace('/v1"}', '/v1", timeouts: {first_token: 5s}}')
        self.assertEqual(hedge("after: 5s", head=late),
                         "hedge: m: after 5000 ms, budget 5% FAILED: by its `timeouts` house/a is "
                         "given up after 5000 ms")
        self.assertIn("nobody is asked beside it: `retry.attempts` is 1",
                      hedge("after: p95", "retry: {attempts: 1}\n"))
        self.assertIn("only one of its targets can be asked",
                      hedge("after: p95", keys(k="providers: [house]"), head=PROVIDERS))

    def test_hedge_that_would_have_to_wait(self):
        lines = self.failed(OPEN.replace('/v1"}', '/v1", max_inflight: 1}'),
                            "models: {m: {targets: [house/a, house/b], hedge: {after: p95}}}\n")
        self.assertEqual(lines, ["hedge: m: after p95, budget 5% FAILED: house/a is silent, and "
                                 "nobody is asked beside it: house takes one request at a time, "
                                 "and a hedge never waits"])

    def test_no_queue_and_no_other(self):
        lines = self.failed(OPEN.replace('/v1"}', '/v1", max_inflight: 2, queue: 0}'),
                            "models: {m: {targets: [house/a, house/b]}}\n")
        self.assertEqual(len(lines), 1, lines)
        self.assertIn("queue: provider house: max_inflight 2, queue 0 FAILED: number 3 at a time is "
                      "refused: it may not wait, and m has no other target: 503 queue_full", lines[0])

    def test_queues_that_are_not_fired(self):
        told = self.rows(OPEN.replace('/v1"}', '/v1", max_inflight: 2, queue: 5000}'),
                         f"  x: {{type: openai, api_key: {KEY}, max_inflight: 2}}\n"
                         "models: {m: {targets: [house/a]}}\n")
        self.assertEqual([(r["subject"], r["what"], r["result"], r["detail"])
                          for r in told["fired"] if r["kind"] == "queue"],
                         [("provider house", "max_inflight 2, queue 5000", "not fired",
                           "more than 1000 may wait"),
                          ("provider x", "max_inflight 2, queue 64", "not fired",
                           "no alias that answers has a target there")])

    def test_what_is_not_fired(self):
        out = self.fire(PROVIDERS.replace("providers:", f"providers:\n  r: {{type: replicate, "
                                          f"api_key: {KEY}}}"),
                        "models: {m: {targets: [r/a/b]}, n: {targets: [openai/gpt-4o]}, "
                        "o: {targets: [openai/gpt-4o]}}\n",
                        keys(k="models: [m, n], limits: {requests_per_minute: 5000}"))
        self.assertIn("r/a/b: not fired: wire replicate\n", out)
        self.assertIn("not fired: no key may use it\n", out)
        self.assertIn("limit: key k: requests_per_minute 5000 not fired: more than 1000 a minute\n",
                      out)
        self.assertRegex(out, "0 would not work; 3 not fired\n$")

    def test_wrong_configuration(self):
        result = self.check("--fire", self.config("models: {a: {targets: [b/c]}}\n"), status=1)
        self.assertEqual(result.out, "")
        self.assertIn("weir.yaml:1:", result.err)
        self.assertEqual(self.check("--fire", "--json", self.file, status=1).out, "")

    def test_usage(self):
        for args in (("--json",), ("--fire", "--json", "--connect")):
            self.assertIn("`--json` goes with `--fire` alone",
                          self.check(*args, self.config(OPEN), status=2).err)


class Alone(FireCase):
    def test_nobody_is_asked(self):
        """Providers and proxies that count connections, and folders that stay as they are."""
        with contextlib.ExitStack() as stack:
            listeners = [stack.enter_context(socket.create_server(("127.0.0.1", 0)))
                         for _ in range(3)]
            plain, tls, proxy = (s.getsockname()[1] for s in listeners)
            at = f"url: 'http://127.0.0.1:{plain}/v1'"
            text = (f"auth: none\nproviders:\n  a: {{type: openai, {at}, api_key: {KEY}}}\n"
                    f"  b: {{type: anthropic, url: 'https://127.0.0.1:{tls}', api_key: {KEY}}}\n"
                    f"  c: {{type: openai, api_key: {KEY}}}\n"
                    "models: {m: {targets: [a/x], fallback: [b/x, c/gpt-4o], rescue: continue}}\n")
            tmp = self.home / "tmp"
            tmp.mkdir()
            self.config(text)
            before = sorted(os.listdir(self.home))
            url = f"http://127.0.0.1:{proxy}"
            out = self.fire(text, TMPDIR=tmp, HTTP_PROXY=url, HTTPS_PROXY=url)
            self.assertIn(ALL_OK, out)
            for s in listeners:
                s.setblocking(False)
                self.assertRaises(BlockingIOError, s.accept)
            self.assertEqual(list(tmp.iterdir()), [])
            self.assertEqual(sorted(os.listdir(self.home)), before)

    def test_with_connect(self):
        """Then providers are asked, for --connect alone."""
        with harness.Server(lambda c, r: c.answer(200, b"{}")) as s:
            out = self.check("--connect", "--fire", self.config(
                f"auth: none\nproviders: {{a: {{type: vllm, url: '{s.url}'}}}}\n"
                "models: {m: {targets: [a/x]}}\n")).out
            self.assertEqual([r.target for r in s.requests], ["/models"])
        self.assertIn("ok     a ", out)
        self.assertIn("m: a/x  answers; nothing to fall back to\n", out)

    def test_interrupted(self):
        """Its folder goes with it."""
        tmp = self.home / "tmp"
        tmp.mkdir()
        models = "".join(f"  m{i}: {{targets: [house/a{i}], fallback: [openai/b]}}\n"
                         for i in range(200))
        process = harness.start("check", "--fire", self.config(f"{OPEN}models:\n{models}"),
                                home=self.home, TMPDIR=tmp)
        self.assertTrue(harness.wait_until(lambda: any(tmp.glob("*/gateway"))))
        process.send_signal(signal.SIGINT)
        result = harness.finish(process)
        self.assertEqual(result.code, 1, result)
        self.assertIn("weir check: interrupted\n", result.err)
        self.assertNotIn(" fired in ", result.out)
        self.assertEqual(list(tmp.iterdir()), [])

    def test_no_folder(self):
        self.assertIn("No such file", self.check("--fire", self.config(OPEN + CHAT % ""), status=1,
                                                 TMPDIR=self.home / "none").err)

    def test_many(self):
        models = "".join(f"  m{i}: {{targets: [house/a{i}], fallback: [openai/b{i}, "
                         "anthropic/c]}\n" for i in range(20))
        out = self.fire(OPEN, f"models:\n{models}")
        self.assertEqual(out.count(ALL_OK), 20)
        seconds = float(out.split(" fired in ")[1].split()[0])
        self.assertLess(seconds, 30)  # with sanitizers, beside other tests; 4 on an idle machine
