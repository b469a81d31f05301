"""Limits and budgets as clients meet them: what is refused, how it is said, what counts when, and that
it still counts after a restart."""

import datetime
import threading

from harness import CHAT, Case, Upstream, Weir, ask, chat, chat_body, send_json, until

SECRET = "wk-of-the-file-0123456789"
MESSAGES = {"model": "m", "max_tokens": 10, "messages": [{"role": "user", "content": "hello"}]}
GEMINI = {"contents": [{"role": "user", "parts": [{"text": "hello"}]}]}


def bearer(secret=SECRET):
    return {"Authorization": f"Bearer {secret}"}


class Metered(Upstream):
    """Answers with the usage that the test sets, after `go` when it is held."""

    def __init__(self):
        self.input, self.output, self.held = 100, 50, threading.Event()
        self.held.set()
        super().__init__()

    def _serve(self, sock, peer):
        from harness import completion, requests_of
        for request in requests_of(sock, peer):
            self.requests.append(request)
            self.held.wait(30)
            answer = completion(request.json().get("model", "up"))
            answer["usage"] = {"prompt_tokens": self.input, "completion_tokens": self.output,
                               "total_tokens": self.input + self.output}
            send_json(sock, answer)


class AdmissionCase(Case):
    def metered(self):
        up = Metered()
        self.addCleanup(up.close)
        return up

    def weir(self, up, key="", more="", **named):
        """One key with what `key` says, one provider with prices of $1 per thousand tokens."""
        return Weir(f"""listen: 127.0.0.1:{{port}}
auth: keys
keys: {{ci: {{secret: {SECRET}{", " + key if key else ""}}}}}
providers: {{up: {{type: openai-compatible, url: "{up.url}", api_key: x}}}}
prices: {{"up/m": {{input: 1000, output: 1000}}, "up/cheap": {{input: 0, output: 0}}}}
models: {{m: {{targets: [up/m]}}, cheap: {{targets: [up/cheap]}}, unpriced: {{targets: [up/nobody-knows]}}}}
{more}""", **named)

    def ask_chat(self, weir, model="m", headers=(), **more):
        return chat(weir.port, model, {**bearer(), **dict(headers)}, **more)

    def refused(self, answer, status, code):
        self.assertEqual((answer.status, answer.json()["error"]["code"]), (status, code), answer)
        return answer

    def own(self, weir, scope="key"):
        """What the key is told of a scope of its own."""
        told = self.good(ask(weir.port, path="/v1/key", headers=bearer())).json()
        return next(s for s in told["scopes"] if s["scope"] == scope)

    def used(self, weir, limit, scope="key"):
        return next(x for x in self.own(weir, scope)["limits"] if x["limit"] == limit)["used"]

    def spent(self, weir, period="day", scope="key"):
        return next(x for x in self.own(weir, scope)["spend"] if x["period"] == period)["spent_usd"]


class Rates(AdmissionCase):
    def test_requests(self):
        with self.weir(self.metered(), "limits: {requests_per_minute: 2}") as weir:
            first = self.good(self.ask_chat(weir))
            self.assertEqual(first.headers["x-ratelimit-limit-requests"], "2")
            self.assertEqual(first.headers["x-ratelimit-remaining-requests"], "1")
            self.good(self.ask_chat(weir))
            answer = self.refused(self.ask_chat(weir), 429, "rate_limit_exceeded")
            self.assertIn("requests_per_minute of key `ci`", answer.json()["error"]["message"])
            self.assertTrue(55 <= int(answer.headers["retry-after"]) <= 61, answer)
            self.assertEqual(answer.headers["x-ratelimit-remaining-requests"], "0")
            self.assertEqual(weir.metric('weir_limit_refusals_total{model="m",limit="requests_per_minute"}'), 1)

    def test_dialects(self):
        up = self.metered()
        with self.weir(up, "limits: {requests_per_minute: 1, output_tokens_per_minute: 5000}") as weir:
            first = self.good(ask(weir.port, "POST", "/v1/messages", {"x-api-key": SECRET}, MESSAGES))
            self.assertEqual(first.headers["anthropic-ratelimit-requests-limit"], "1")
            self.assertIn("anthropic-ratelimit-output-tokens-remaining", first.headers)
            at = datetime.datetime.fromisoformat(first.headers["anthropic-ratelimit-requests-reset"])
            ahead = (at - datetime.datetime.now(datetime.timezone.utc)).total_seconds()
            self.assertTrue(50 < ahead < 62, first)
            anthropic = ask(weir.port, "POST", "/v1/messages", {"x-api-key": SECRET}, MESSAGES)
            self.assertEqual((anthropic.status, anthropic.json()["error"]["type"]), (429, "rate_limit_error"))
            google = ask(weir.port, "POST", "/v1beta/models/m:generateContent", {"x-goog-api-key": SECRET}, GEMINI)
            self.assertEqual((google.status, google.json()["error"]["status"]), (429, "RESOURCE_EXHAUSTED"))
            responses = ask(weir.port, "POST", "/v1/responses", bearer(), {"model": "m", "input": "hello"})
            self.refused(responses, 429, "rate_limit_exceeded")
            stream = self.refused(self.ask_chat(weir, stream=True), 429, "rate_limit_exceeded")
            self.assertEqual(stream.headers["content-type"], "application/json")
            self.assertEqual(len(up.requests), 1)

    def test_tokens_are_settled(self):
        """A reservation counts until the answer is there, then what was used."""
        up = self.metered()
        up.held.clear()
        with self.weir(up, "limits: {tokens_per_minute: 2000}") as weir:
            done = threading.Thread(target=self.ask_chat, args=(weir,), kwargs={"max_tokens": 1500})
            done.start()
            until("it is open", lambda: self.used(weir, "tokens_per_minute") > 1500)
            self.refused(self.ask_chat(weir, max_tokens=600), 429, "rate_limit_exceeded")
            up.held.set()
            done.join()
            until("it is settled", lambda: self.used(weir, "tokens_per_minute") == 150)
            self.good(self.ask_chat(weir, max_tokens=600))
            until("that is settled, too", lambda: self.used(weir, "tokens_per_minute") == 300)

    def test_overrun_is_a_debt(self):
        up = self.metered()
        up.input, up.output = 900, 400
        with self.weir(up, "limits: {tokens_per_minute: 1000}") as weir:
            self.good(self.ask_chat(weir, max_tokens=10))
            until("it is settled", lambda: self.used(weir, "tokens_per_minute") == 1300)
            self.refused(self.ask_chat(weir, max_tokens=1), 429, "rate_limit_exceeded")
            self.assertGreater(weir.metric('weir_overrun_tokens_total{model="m"}'), 1000)

    def test_never(self):
        """What no waiting would help is no 429."""
        with self.weir(self.metered(), "limits: {tokens_per_minute: 1000}") as weir:
            for bound in (5000, 2**40, 2**63 - 1):
                answer = self.refused(self.ask_chat(weir, max_tokens=bound), 400, "limit_too_small")
                self.assertEqual(answer.headers["x-should-retry"], "false")
                until("it is taken back", lambda: self.used(weir, "tokens_per_minute") == 0)
            self.good(self.ask_chat(weir))  # without a bound, what was learned is cut to fit

    def test_concurrency(self):
        up = self.metered()
        up.held.clear()
        with self.weir(up, "limits: {concurrency: 2}") as weir:
            open_ones = [threading.Thread(target=self.ask_chat, args=(weir,)) for _ in range(2)]
            for t in open_ones:
                t.start()
            until("both are open", lambda: self.used(weir, "concurrency") == 2)
            self.refused(self.ask_chat(weir), 429, "rate_limit_exceeded")
            up.held.set()
            for t in open_ones:
                t.join()
            until("all places are free", lambda: self.used(weir, "concurrency") == 0)
            self.good(self.ask_chat(weir))

    def test_refused_requests_are_taken_back(self):
        with self.weir(self.metered(), "limits: {requests_per_minute: 5, tokens_per_minute: 100}") as weir:
            self.refused(self.ask_chat(weir, max_tokens=500), 400, "limit_too_small")
            until("it is taken back", lambda: self.used(weir, "requests_per_minute") == 0)

    def test_every_scope(self):
        """The tightest of all scopes decides, and is named."""
        up = self.metered()
        scopes = {
            "organisation": ("organisation: o", "organisations: {o: {limits: {requests_per_minute: 1}}}"),
            "team": ("team: t", "teams: {t: {limits: {requests_per_minute: 1}}}"),
            "key": ("limits: {requests_per_minute: 1}", ""),
            "use_case": ("use_case: u", "use_cases: {u: {owner: a@b.c, limits: {requests_per_minute: 1}}}"),
            "user": ("user: jane, user_limits: {requests_per_minute: 1}", ""),
        }
        for scope, (key, more) in scopes.items():
            with self.subTest(scope), self.weir(up, key, more) as weir:
                self.good(self.ask_chat(weir))
                answer = self.refused(self.ask_chat(weir), 429, "rate_limit_exceeded")
                self.assertIn(f"of {scope} `", answer.json()["error"]["message"])

    def test_alias(self):
        up = self.metered()
        with Weir(f"""listen: 127.0.0.1:{{port}}
auth: none
providers: {{up: {{type: openai-compatible, url: "{up.url}", api_key: x}}}}
models: {{m: {{targets: [up/m], limits: {{requests_per_minute: 1}}}}, other: {{targets: [up/m]}}}}
""") as weir:
            self.good(chat(weir.port))
            self.refused(chat(weir.port), 429, "rate_limit_exceeded")
            self.good(chat(weir.port, "other"))


class Users(AdmissionCase):
    KEY = "user_limits: {requests_per_minute: 1}"

    def test_apart(self):
        with self.weir(self.metered(), self.KEY) as weir:
            for name in ("ann", "bob"):
                self.good(self.ask_chat(weir, headers={"x-weir-user": name}))
                self.refused(self.ask_chat(weir, headers={"x-weir-user": name}), 429, "rate_limit_exceeded")
                self.refused(self.ask_chat(weir, user=name), 429, "rate_limit_exceeded")
            self.good(ask(weir.port, "POST", "/v1/messages", {"x-api-key": SECRET},
                          {**MESSAGES, "metadata": {"user_id": "carl"}}))
            answer = ask(weir.port, "POST", "/v1/messages", {"x-api-key": SECRET},
                         {**MESSAGES, "metadata": {"user_id": "carl"}})
            self.assertEqual(answer.status, 429)
            self.good(self.ask_chat(weir))  # nobody in particular

    def test_bounded_and_never_open(self):
        """Users beyond the room there is share one set of limits; none goes without."""
        with self.weir(self.metered(), self.KEY, "users: {cells: 2}\n") as weir:
            passed = sum(self.ask_chat(weir, user=f"user-{i}").status == 200 for i in range(12))
            self.assertEqual(passed, 3)

    def test_nobody_elses(self):
        with self.weir(self.metered(), "may_set: []") as weir:
            self.refused(self.ask_chat(weir, headers={"x-weir-user": "boss"}), 403, "forbidden")
            self.good(self.ask_chat(weir, user="boss"))  # the provider's business
        with self.weir(self.metered(), "user: ann") as weir:
            self.good(self.ask_chat(weir, headers={"x-weir-user": "ann"}))
            self.refused(self.ask_chat(weir, headers={"x-weir-user": "bob"}), 403, "forbidden")

    def test_use_cases(self):
        cases = "use_cases: {a: {owner: x@y.z}, b: {owner: x@y.z}}\n"
        with self.weir(self.metered(), "use_case: a", cases) as weir:
            self.good(self.ask_chat(weir, headers={"x-weir-use-case": "a"}))
            self.refused(self.ask_chat(weir, headers={"x-weir-use-case": "b"}), 403, "forbidden")
        with self.weir(self.metered(), "may_set: [use_case]", cases) as weir:
            self.good(self.ask_chat(weir, headers={"x-weir-use-case": "b"}))
            self.refused(self.ask_chat(weir, headers={"x-weir-use-case": "c"}), 403, "forbidden")
            self.good(self.ask_chat(weir, metadata={"use_case": "a"}))
            self.refused(self.ask_chat(weir, metadata={"use_case": "c"}), 403, "forbidden")
            until("metadata counts", lambda: weir.metric('llm_cost_usd_total{model="m",use_case="a"}') > 0.1)
            until("its cost is told", lambda: weir.metric('llm_cost_usd_total{model="m",use_case="b"}') > 0.1)


class Rights(AdmissionCase):
    def test_models(self):
        with self.weir(self.metered(), "models: [cheap, 'up/*']") as weir:
            self.good(self.ask_chat(weir, "cheap"))
            self.good(self.ask_chat(weir, "up/m"))
            self.refused(self.ask_chat(weir), 403, "model_not_allowed")
            listed = self.good(ask(weir.port, path="/v1/models", headers=bearer())).json()
            self.assertIn("cheap", {m["id"] for m in listed["data"]})
            self.assertNotIn("m", {m["id"] for m in listed["data"]})

    def test_providers_and_regions(self):
        up = self.metered()
        with Weir(f"""listen: 127.0.0.1:{{port}}
auth: keys
keys: {{ci: {{secret: {SECRET}, regions: [eu]}}, cd: {{secret: another-secret, providers: [us]}}}}
providers:
  us: {{type: openai-compatible, url: "{up.url}", api_key: x, governance: {{region: us}}}}
  eu: {{type: openai-compatible, url: "{up.url}", api_key: x, governance: {{region: eu}}}}
models: {{both: {{targets: [us/m, eu/m]}}, away: {{targets: [us/m]}}}}
""") as weir:
            self.assertEqual(self.good(self.ask_chat(weir, "both")).headers["x-weir-target"], "eu/m")
            self.refused(self.ask_chat(weir, "away"), 403, "model_not_allowed")
            other = bearer("another-secret")
            self.assertEqual(self.good(chat(weir.port, "both", other)).headers["x-weir-target"], "us/m")
            self.refused(chat(weir.port, "eu/m", other), 403, "model_not_allowed")

    def test_networks(self):
        with self.weir(self.metered(), "networks: [10.0.0.0/8]") as weir:
            self.refused(self.ask_chat(weir), 403, "forbidden")
        with self.weir(self.metered(), "networks: [10.0.0.0/8, 127.0.0.0/8]") as weir:
            self.good(self.ask_chat(weir))

    def test_max_tokens(self):
        up = self.metered()
        with self.weir(up, "max_tokens: 64") as weir:
            self.good(self.ask_chat(weir, max_tokens=64))
            self.refused(self.ask_chat(weir, max_tokens=65), 400, "limit_too_small")
            self.refused(self.ask_chat(weir, max_completion_tokens=2**62), 400, "limit_too_small")
            self.good(self.ask_chat(weir))
            self.assertEqual(up.requests[-1].json()["max_tokens"], 64, "the bound goes along")

    def test_expired_and_disabled(self):
        for key in ("expires: 2020-01-01", "disabled: true"):
            with self.weir(self.metered(), key) as weir:
                self.refused(self.ask_chat(weir), 401, "invalid_api_key")


class Budgets(AdmissionCase):
    def test_refused(self):
        up = self.metered()
        with self.weir(up, "limits: {budget: {day: 0.40}}") as weir:  # 150 tokens cost $0.15
            for _ in range(2):
                self.good(self.ask_chat(weir, max_tokens=50))
            until("both are settled", lambda: self.spent(weir) == 0.3)
            answer = self.refused(self.ask_chat(weir, max_tokens=200), 429, "insufficient_quota")
            self.assertEqual(answer.json()["error"]["type"], "insufficient_quota")
            self.assertEqual(answer.headers["x-should-retry"], "false")
            self.assertIn("budget_day of key `ci`: limit $0.40, used $0.30", answer.json()["error"]["message"])
            self.good(self.ask_chat(weir, "cheap"))  # what costs nothing needs no budget

    def test_unpriced(self):
        with self.weir(self.metered(), "limits: {budget: {day: 10}}") as weir:
            self.refused(self.ask_chat(weir, "unpriced"), 403, "price_unknown")
        with self.weir(self.metered()) as weir:
            answer = self.good(self.ask_chat(weir, "unpriced"))
            self.assertNotIn("x-weir-cost-usd", answer.headers, "unknown is not 0")
            until("it is counted", lambda: weir.metric("weir_unpriced_attempts_total") == 1)

    def test_cost_is_told(self):
        with self.weir(self.metered()) as weir:
            self.assertEqual(self.good(self.ask_chat(weir)).headers["x-weir-cost-usd"], "0.15")
            until("it is counted", lambda: weir.metric('llm_cost_usd_total{model="m",use_case=""}') == 0.15)

    def test_downgrade(self):
        up = self.metered()
        with self.weir(up, "limits: {budget: {day: 1}}, at_budget: {use: cheap, from: 30%}") as weir:
            targets = []
            for i in range(4):
                targets.append(self.good(self.ask_chat(weir, max_tokens=10)).headers["x-weir-target"])
                until("it is settled", lambda n=i: self.spent(weir) == min(n + 1, 2) * 0.15)
            self.assertEqual(targets, ["up/m", "up/m", "up/cheap", "up/cheap"])
            self.assertEqual(weir.metric("weir_downgrades_total"), 2)

    def test_survives(self):
        """What was spent counts after a restart, and after a process was killed."""
        up = self.metered()
        with self.weir(up, "team: t, user: ann, limits: {budget: {day: 0.40, month: 10}}",
                       "teams: {t: {limits: {budget: {month: 10}}}}\n") as weir:
            self.good(self.ask_chat(weir))
            self.assertEqual(weir.stop(), 0)
            weir.folder.joinpath("stderr").write_text("")
            weir.start()
            self.assertEqual(self.spent(weir), 0.15)
            self.good(self.ask_chat(weir, max_tokens=50))
            until("it is settled", lambda: self.spent(weir) == 0.3)
            weir.kill()
            weir.folder.joinpath("stderr").write_text("")
            weir.ended = None
            weir.start()
            self.assertEqual([self.spent(weir), self.spent(weir, "month"), self.spent(weir, "month", "team")],
                             [0.3, 0.3, 0.3])
            self.refused(self.ask_chat(weir, max_tokens=200), 429, "insufficient_quota")

    def test_own_view(self):
        key = "plan: free, use_case: u, expires: 2099-01-01, models: [m], max_tokens: 100"
        more = ("plans: {free: {limits: {requests_per_minute: 9, budget: {week: 3}}}}\n"
                "use_cases: {u: {owner: a@b.c, data_class: internal}}\n")
        with self.weir(self.metered(), key, more) as weir:
            told = self.good(ask(weir.port, path="/v1/key", headers=bearer())).json()
            self.assertEqual((told["name"], told["plan"], told["use_case"], told["models"], told["max_tokens"]),
                             ("ci", "free", "u", ["m"], 100))
            self.assertNotIn(SECRET, str(told))
            self.assertEqual(ask(weir.port, path="/v1/key").status, 401)


class Ends(AdmissionCase):
    def test_places_are_free_whatever_the_end(self):
        """Refused, failed, abandoned: no ending keeps a place or a reservation."""
        up = self.metered()
        with self.weir(up, "limits: {concurrency: 3, tokens_per_minute: 100000}",
                       "timeouts: {total: 1s, head: 1s, first_token: 1s, between_tokens: 1s}\n") as weir:
            up.held.clear()
            with self.assertRaises(OSError):
                ask(weir.port, "POST", CHAT, bearer(), chat_body(max_tokens=500), keep=self.hasty(weir))
            self.assertEqual(self.ask_chat(weir, max_tokens=500).status, 504)
            up.held.set()
            self.ask_chat(weir, "nothing-like-it")
            until("all is free", lambda: self.used(weir, "concurrency") == 0)
            self.good(self.ask_chat(weir))

    def hasty(self, weir):
        from harness import connect
        conn = connect(weir.port)
        conn.timeout = 0.3
        self.addCleanup(conn.close)
        return conn
