"""How targets and credentials fare, as the admin API and `weir targets` tell it, and an operator's hand on
them: drain, enable, reset."""

import json
import subprocess
import threading
import time

import harness
from explain_cases import ERRORS, ExplainCase
from harness import (CHAT, Server, Weir, ask, basic, chat, chat_body, completion, late, requests_of, send_json,
                     until)

TARGETS = "/admin/v1/targets"


class TargetCase(ExplainCase):
    def targets(self, weir, kind="targets"):
        return {t["target"]: t for t in self.call(weir, "GET", TARGETS)[kind]}

    def state(self, weir, target):
        t = self.targets(weir)[target]
        return t["state"], t["reason"]

    def act(self, weir, target, verb, status=200):
        return self.call(weir, "POST", f"{TARGETS}/{target}/{verb}", status=status)


class State(TargetCase):
    def test_as_the_upstreams_answered(self):
        a, b = self.providers("a", "b")
        with self.weir((a, b), "health: {failures: 3, ejection: 1m}\nmodels: {chat: {targets: [a/one, b/two]}, "
                               "other: {targets: [b/two]}}\n") as weir:
            for _ in range(4):
                self.good(chat(weir.port, "chat"))
            t = self.targets(weir)
            self.assertEqual([x["models"] for x in t.values()], [["chat"], ["chat", "other"]])
            self.assertEqual((t["a/one"]["window_answers"], t["a/one"]["window_failures"]), (4, 0))
            self.assertEqual((t["b/two"]["window_answers"], t["b/two"]["share"]), (0, 1))
            self.assertNotIn("until", t["a/one"])
            a.says = 500
            for failures in range(1, 4):
                self.good(chat(weir.port, "chat"))
                t = until("it is counted", lambda n=failures: (
                    lambda x: x if x["failures_in_a_row"] == n else None)(self.targets(weir)["a/one"]))
                self.assertEqual(t["state"], "ejected" if failures == 3 else "well")
            self.assertEqual((t["reason"], t["ejections"]), ("failures_in_a_row", 1))
            self.assertTrue(50000 < t["remaining_ms"] <= 60000, t)
            self.assertRegex(t["until"], r"^20\d\d-\d\d-\d\dT.*Z$")
            self.assertEqual(len([1 for target, _, _ in self.log if target == "a/one"]), 7)

    def test_inflight_and_first_token(self):
        with Weir(basic(self.upstream(), "models: {chat: {targets: [up/m]}}")) as weir:
            for _ in range(25):
                self.good(ask(weir.port, "POST", CHAT, (), chat_body("chat", stream=True)))
            t = self.targets(weir)["up/m"]
            self.assertGreater(t["first_us"], 0)
            self.assertTrue(0 < t["first_p50_us"] <= t["first_p95_us"] <= t["first_p99_us"], t)
            self.assertEqual(t["inflight"], 0)

    def test_credentials(self):
        a, b = self.providers("a", "b")
        a.says = lambda r: 401 if r.headers["authorization"] == "Bearer first" else 200
        with self.weir((a,), "models: {chat: {targets: [a/one]}}\n", ", api_keys: [first, second]") as weir:
            until("the first one is refused", lambda: self.good(chat(weir.port, "chat")) and
                  any(key == "Bearer first" for _, _, key in self.log))
            keys = self.targets(weir, "credentials")
            self.assertEqual({k: (v["state"], v["reason"]) for k, v in keys.items()},
                             {"a#1": ("denied", "credential_refused"), "a#2": ("well", "none")})
            self.assertEqual(self.state(weir, "a/one"), ("well", "none"))
            self.act(weir, "a%231", "reset")
            self.assertEqual(self.targets(weir, "credentials")["a#1"]["state"], "well")


class Hand(TargetCase):
    def test_drain_and_enable(self):
        a, b = self.providers("a", "b")
        with self.weir((a, b), "models: {chat: {targets: [a/one, b/two]}}\n") as weir:
            self.assertEqual(self.act(weir, "a/one", "drain")["state"], "drained")
            self.assertEqual(self.state(weir, "a/one"), ("drained", "operator"))
            for _ in range(5):
                self.same_as_log(self.explain(weir, self.good(chat(weir.port, "chat"))), self.log[-1:])
            self.assertEqual({t for t, _, _ in self.log}, {"b/two"})
            self.assertEqual(self.act(weir, "a/one", "enable")["state"], "well")
            self.good(chat(weir.port, "chat"))
            self.assertEqual(self.log[-1][0], "a/one")
            self.assertEqual(len(weir.said("target.drained", "`a/one`")), 1)
            self.assertEqual(len(weir.said("target.enabled", "`a/one`")), 1)

    def test_all_drained(self):
        a, b = self.providers("a", "b")
        with self.weir((a, b), "models: {chat: {targets: [a/one, b/two]}}\n") as weir:
            self.act(weir, "a/one", "drain")
            self.act(weir, "b/two", "drain")
            answer = chat(weir.port, "chat")
            self.assertEqual(answer.status, 503, answer)
            told = self.explain(weir, answer)
            self.assertEqual((told["reason"], told["attempts"]), ("no_target", []))
            self.assertEqual(self.dry(weir)["error"]["code"], "no_target")
            self.assertEqual(self.log, [])

    def test_drain_outlives_a_reload(self):
        a, b = self.providers("a", "b")
        with self.weir((a, b), "models: {chat: {targets: [a/one, b/two]}}\n") as weir:
            self.act(weir, "a/one", "drain")
            self.assertEqual(weir.reload()[0], 0)
            self.good(chat(weir.port, "chat"))
            self.assertEqual(self.log[-1][0], "b/two")

    def test_reset(self):
        a, b = self.providers("a", "b")
        a.says = 500
        with self.weir((a, b), "health: {failures: 2, ejection: 5m}\nmodels: {chat: {targets: [a/one, b/two]}}\n") as weir:
            for _ in range(3):
                self.good(chat(weir.port, "chat"))
            self.assertEqual(self.state(weir, "a/one"), ("ejected", "failures_in_a_row"))
            self.assertEqual(self.act(weir, "a/one", "reset")["state"], "well")
            a.says = 200
            self.log.clear()
            self.good(chat(weir.port, "chat"))
            self.assertEqual(self.log[0][0], "a/one")

    def test_names_with_slashes(self):
        a, = self.providers("a")
        with self.weir((a,), 'models: {chat: {targets: ["a/meta-llama/Llama-3.3", "a/x/drain"]}}\n') as weir:
            for path, label in (("a/meta-llama/Llama-3.3", "a/meta-llama/Llama-3.3"), ("a%2Fx%2Fdrain", "a/x/drain"),
                                ("a/x/drain", "a/x/drain")):
                for verb, state in (("drain", "drained"), ("enable", "well")):
                    told = self.act(weir, path, verb)
                    self.assertEqual((told["target"], told["state"]), (label, state))

    def test_what_is_not_there(self):
        a, = self.providers("a")
        with self.weir((a,), "models: {chat: {targets: [a/one]}}\n") as weir:
            before = sorted(self.targets(weir))
            for target in ("a/two", "nobody/one", "a", "a/one/x"):
                self.act(weir, target, "drain", 404)
            self.assertEqual(sorted(self.targets(weir)), before)  # asking makes none
            for path, status in ((f"{TARGETS}/a/one/stop", 404), (f"{TARGETS}//drain", 404), (f"{TARGETS}/drain", 404),
                                 (f"{TARGETS}/a%zz/drain", 400)):
                self.assertEqual(ask(weir.data / "admin.sock", "POST", path).status, status, path)
            self.assertEqual(ask(weir.data / "admin.sock", "GET", f"{TARGETS}/a/one/drain").status, 405)


HEALTH = "health: {failures: 2, ejection: 1s, max_ejection: 2s, slow_start: 0, probe: %s}\n"


class Probes(TargetCase):
    def eject(self, weir, a):
        """Both targets of `a` are ejected."""
        a.says = 500
        for model in ("one", "two"):
            for _ in range(2):
                self.good(chat(weir.port, model))
            until("it is ejected", lambda m=model: self.state(weir, f"a/{m}")[0] != "well")
        self.log.clear()

    def weir(self, providers, interval, each=""):
        return super().weir(providers, HEALTH % interval + """models:
  one: {targets: [a/one, b/two]}
  two: {targets: [a/two, b/two]}
""", each, kind="openai-compatible")  # of own ones those that are well are probed, too

    def test_out_and_back(self):
        a, b = self.providers("a", "b")
        with self.weir((a, b), "500ms", ", api_key: secret") as weir:
            self.good(chat(weir.port, "one"))
            time.sleep(1.5)
            self.assertEqual(a.probes, [])  # all is well
            self.eject(weir, a)
            until("a failed probe keeps it out", lambda: self.state(weir, "a/one") == ("ejected", "probe_failed"))
            self.assertEqual({path for _, path, _ in a.probes}, {"/v1/models"})
            a.says = 200
            until("a good one brings it back", lambda: self.state(weir, "a/one")[0] == "well")
            until("and the other", lambda: self.state(weir, "a/two")[0] == "well")
            self.assertEqual((self.log, b.probes), ([], []))  # nothing that costs, and only who is not well
            n = len(a.probes)
            time.sleep(1.5)
            self.assertLessEqual(len(a.probes), n + 1)  # one may have been under way
            self.good(chat(weir.port, "one"))
            self.assertEqual(self.log[-1][0], "a/one")

    def test_how_often(self):
        a, b = self.providers("a", "b")
        with self.weir((a, b), "1s") as weir:
            self.eject(weir, a)
            until("some have come", lambda: len(a.probes) >= 6, 20)
            times = [at for at, _, _ in a.probes]
            gaps = [later - sooner for sooner, later in zip(times, times[1:])]
            self.assertTrue(all(0.75 < gap < late(1.6) for gap in gaps), gaps)

    def test_none_are_wanted(self):
        a, b = self.providers("a", "b")
        with self.weir((a, b), "0") as weir:
            self.eject(weir, a)
            until("its time is over", lambda: self.state(weir, "a/one")[0] == "half_open")
            time.sleep(1.5)
            self.assertEqual(a.probes, [])

    def test_silent_provider(self):
        """A probe that gets no answer ends, and Weir can stop and reload during one."""
        a, b = self.providers("a", "b")
        with self.weir((a, b), "500ms") as weir:
            self.eject(weir, a)
            a.go.clear()
            until("one is under way", lambda: a.probes)
            self.assertEqual(weir.reload()[0], 0)
            a.go.set()
            until("it goes on", lambda: len(a.probes) > 1)
            a.go.clear()
            n = len(a.probes)
            until("another is under way", lambda: len(a.probes) > n)

    def test_events_and_metrics(self):
        a, b = self.providers("a", "b")
        with self.weir((a, b), "0") as weir:
            self.assertEqual([weir.metric(f'weir_target_up{{target="{t}"}}') for t in ("a/one", "a/two", "b/two")],
                             [1, 1, 1])
            self.eject(weir, a)
            until("it is counted", lambda: weir.metric("weir_ejections_total") == 2)
            self.assertEqual({k: v for k, v in weir.metrics().items() if k.startswith("weir_target")},
                             {'weir_target_up{target="a/one"}': 0, 'weir_target_up{target="a/two"}': 0,
                              'weir_target_up{target="b/two"}': 1, 'weir_targets_unwell{model="one"}': 1,
                              'weir_targets_unwell{model="two"}': 1})
            events = until("it is told", lambda: weir.said("health.changed", "`a/one`: from well to ejected"))
            self.assertEqual((events[0]["level"], "failures_in_a_row" in events[0]["text"]), ("warn", True))
            until("half-open is told", lambda: weir.said("health.changed", "`a/one`: from ejected to half_open"))
            self.act(weir, "b/two", "drain")
            until("a drain is told", lambda: weir.said("health.changed", "`b/two`: from well to drained: operator"))
            self.assertEqual(weir.metric('weir_targets_unwell{model="one"}'), 2)


class Paid(TargetCase):
    """`probe_with: completion`, which is asked of each target, in its provider's wire."""
    CLAUDE = {"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "stop_reason": "max_tokens",
              "stop_sequence": None, "content": [{"type": "text", "text": "H"}],
              "usage": {"input_tokens": 8, "output_tokens": 1}}

    def weir(self, kind="openai", base="/v1", answer=None, health="", key=", api_key: secret", env=None):
        """`a`, whose two models have nobody behind them but `b`. It keeps what it was asked that no client has
        asked; `self.says(model)` is what comes of that."""
        self.asked, self.says = [], lambda model: 500

        def serve(sock, peer):
            for request in requests_of(sock, peer):
                body = request.json() if request.body else {}
                if b"Hi" in request.body:
                    self.asked.append((time.monotonic(), request, body))
                status = self.says(body.get("model"))
                good = answer or completion(body.get("model", "up"))
                send_json(sock, good if status == 200 else {"error": {"message": "no", "type": "t", "code": "c"}},
                          {200: "200 OK", **ERRORS}[status])

        a, (b,) = Server(serve), self.providers("b")
        self.addCleanup(a.close)
        return Weir("listen: 127.0.0.1:{port}\nworkers: 2\n" + (health or HEALTH % "500ms") + f"""providers:
  a: {{type: {kind}, url: "http://127.0.0.1:{a.port}{base}"{key}, probe_with: completion}}
  b: {{type: openai-compatible, url: "http://127.0.0.1:{b.port}/v1"}}
models:
  one: {{targets: [a/one, b/two]}}
  two: {{targets: [a/two, b/two]}}
""", env=env)

    def eject(self, weir, model):
        for _ in range(2):
            self.good(chat(weir.port, model))
        until("it is ejected", lambda: self.state(weir, f"a/{model}")[0] != "well")

    def test_target_by_target(self):
        """Only who is not well is asked, for one token, and a good answer is as good as a client's."""
        with self.weir() as weir:
            time.sleep(1.5)
            self.assertEqual(self.asked, [])  # all is well
            self.eject(weir, "one")
            until("it is asked", lambda: self.asked)
            _, request, body = self.asked[0]
            self.assertEqual((request.method, request.path, request.headers["authorization"]),
                             ("POST", "/v1/chat/completions", "Bearer secret"))
            self.assertEqual(body, {"model": "one", "messages": [{"role": "user", "content": "Hi"}],
                                    "max_completion_tokens": 1})
            until("a failed one keeps it out", lambda: self.state(weir, "a/one") == ("ejected", "probe_failed"))
            self.assertEqual(self.state(weir, "a/two"), ("well", "none"))
            self.says = lambda model: 200 if model == "one" else 500
            until("a good one brings it back", lambda: self.state(weir, "a/one")[0] == "well")
            n = len(self.asked)
            time.sleep(1.5)
            self.assertLessEqual(len(self.asked), n + 1)  # one may have been under way
            self.assertEqual({body["model"] for *_, body in self.asked}, {"one"})
            self.good(chat(weir.port, "one"))
            told = [e["text"] for e in weir.said("health.probe", "`a/one`")]
            self.assertRegex(told[0], r"^`a/one`: fails, HTTP 500, \d+ ms$")
            self.assertRegex(told[-1], r"^`a/one`: answers, HTTP 200, \d+ ms, 3 tokens in, 2 out$")
            self.assertEqual(weir.metric("weir_probe_completions_total"), len(self.asked))
            good = sum("answers" in text for text in told)
            self.assertEqual(weir.metric("weir_probe_tokens_total"), 5 * good)

    def test_before_the_time_is_over(self):
        """What clients' requests have ejected for long is back at once, with a slow start."""
        health = "health: {failures: 2, ejection: 5m, slow_start: 30s, probe: 500ms}\n"
        with self.weir(health=health) as weir:
            self.eject(weir, "one")
            self.assertEqual(self.state(weir, "a/one"), ("ejected", "failures_in_a_row"))
            until("it is asked", lambda: self.asked)
            self.assertEqual(self.state(weir, "a/one"), ("ejected", "failures_in_a_row"))
            self.says = lambda model: 200
            until("it is back", lambda: self.state(weir, "a/one")[0] == "warming", 5)

    def test_anthropic(self):
        with self.weir(kind="anthropic", answer=self.CLAUDE) as weir:
            self.eject(weir, "one")
            self.says = lambda model: 200
            until("it is back", lambda: self.state(weir, "a/one")[0] == "well")
            _, request, body = self.asked[-1]
            self.assertEqual((request.path, request.headers["x-api-key"], request.headers["anthropic-version"]),
                             ("/v1/messages", "secret", "2023-06-01"))
            self.assertEqual(body, {"model": "one", "max_tokens": 1, "messages": [
                {"role": "user", "content": [{"type": "text", "text": "Hi"}]}]})
            until("it is told", lambda: weir.said("health.probe", "8 tokens in, 1 out"))

    def test_price(self):
        with self.weir(health=HEALTH % "500ms" + "prices: {a/one: {input: 2, output: 10}}\n") as weir:
            self.eject(weir, "one")
            self.says = lambda model: 200
            until("it is told", lambda: weir.said("health.probe", "3 tokens in, 2 out, $0.000026"))

    def test_no_answer(self):
        """A page with status 200 is none; a 4xx says that somebody is there, not that the model answers."""
        with self.weir(answer={"welcome": "to the portal"}) as weir:
            self.eject(weir, "one")
            self.says = lambda model: 200
            until("it is told", lambda: weir.said("health.probe", "`a/one`: fails, HTTP 200"))
            until("it stays out", lambda: self.state(weir, "a/one") == ("ejected", "probe_failed"))
            self.says = lambda model: 401
            until("it is told", lambda: weir.said("health.probe", "`a/one`: is there, HTTP 401"))
            until("the failed probe counts no more", lambda: self.state(weir, "a/one")[0] == "well")
            self.says = lambda model: 500
            self.eject(weir, "two")
            self.says = lambda model: 429
            until("it is told", lambda: weir.said("health.probe", "`a/two`: no news, HTTP 429"))
            until("its time is over", lambda: self.state(weir, "a/two")[0] == "half_open")

    def test_wires(self):
        """Each provider's least, where its wire wants it, also of those that have no free call."""
        for kind, base, path, least in (
                ("openai-responses", "/v1", "/v1/responses", {"max_output_tokens": 16}),
                ("cohere", "/v2", "/v2/chat", {"max_tokens": 1}),
                ("mistral", "/v1", "/v1/chat/completions", {"max_tokens": 1}),
                ("bedrock, region: eu-west-1", "", "/model/one/converse", {"inferenceConfig": {"maxTokens": 1}})):
            with self.subTest(kind), self.weir(kind=kind, base=base) as weir:
                self.eject(weir, "one")
                until("it is told", lambda: weir.said("health.probe", "`a/one`: fails, HTTP 500"))
                _, request, body = self.asked[-1]
                self.assertEqual((request.path, body | least), (path, body))

    def test_signed(self):
        """A credential that is no fixed header."""
        env = {"AWS_ACCESS_KEY_ID": "AKIDTEST", "AWS_SECRET_ACCESS_KEY": "hunter2"}
        with self.weir(kind="bedrock, region: eu-west-1", base="", key="", env=env) as weir:
            self.eject(weir, "one")
            until("it is told", lambda: weir.said("health.probe", "`a/one`: fails, HTTP 500"))
            self.assertRegex(self.asked[-1][1].headers["authorization"],
                             "^AWS4-HMAC-SHA256 Credential=AKIDTEST/.*, Signature=[0-9a-f]{64}$")

    def test_while_it_is_asked(self):
        """Weir reloads and stops while one is under way."""
        with self.weir() as weir:
            self.eject(weir, "one")
            go = threading.Event()
            self.addCleanup(go.set)
            self.says = lambda model: 500 if go.wait(60) else 500
            n = len(self.asked)
            until("one is under way", lambda: len(self.asked) > n)
            self.assertEqual(weir.reload()[0], 0)

    def test_never(self):
        for line, why in (('{type: openai, api_key: client, probe_with: completion}', "the credential is the client's"),
                          ('{type: replicate, api_key: x, probe_with: completion}', "its answers are jobs"),
                          ('{type: openai, api_key: x, probe_with: completion}}\nhealth: {probe: 0',
                           "`health.probe` is 0"),
                          ('{type: openai, api_key: x, probe_with: prayer}', "prayer")):
            with self.subTest(line):
                file = self.folder() / "weir.yaml"
                file.write_text(f"listen: 127.0.0.1:1\nproviders: {{a: {line}}}\n")
                done = subprocess.run([harness.WEIR, "check", file], capture_output=True, text=True, check=False)
                self.assertEqual(done.returncode, 1, done)
                self.assertIn(why, done.stderr)


class Command(TargetCase):
    def run_weir(self, weir, *args, status=0):
        done, out, err = weir.command("targets", *args, "--data", weir.data)
        self.assertEqual(done, status, out + err)
        return out + err

    def test_table_and_verbs(self):
        a, b = self.providers("a", "b")
        with self.weir((a, b), "models: {chat: {targets: [a/one, b/two]}}\n") as weir:
            self.good(chat(weir.port, "chat"))
            rows = [line.split() for line in self.run_weir(weir).splitlines()]
            self.assertEqual(rows[0][:2], ["TARGET", "STATE"])
            self.assertEqual([row[:2] for row in rows[1:]], [["a/one", "well"], ["b/two", "well"]])
            self.assertEqual(self.run_weir(weir, "drain", "a/one"), "a/one is drained\n")
            self.assertIn(["a/one", "drained", "operator"],
                          [line.split()[:3] for line in self.run_weir(weir).splitlines()])
            self.good(chat(weir.port, "chat"))
            self.assertEqual(self.log[-1][0], "b/two")
            self.assertEqual(self.run_weir(weir, "enable", "a/one"), "a/one is well\n")
            self.assertEqual(self.run_weir(weir, "reset", "a/one"), "a/one is well\n")
            told = json.loads(self.run_weir(weir, "--json"))
            self.assertEqual([t["target"] for t in told["targets"]], ["a/one", "b/two"])
            self.assertIn("there is no target", self.run_weir(weir, "drain", "a/none", status=1))
            self.assertIn("there is no command", self.run_weir(weir, "stop", "a/one", status=2))
            self.assertIn("which target?", self.run_weir(weir, "drain", status=2))
