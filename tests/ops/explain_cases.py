"""Why requests went where they went: `weir explain` and the admin API against what the upstreams
themselves have seen, for requests that were made and for such as were only asked about."""

import json
import threading
import time

from harness import CHAT, Case, Server, Weir, ask, chat, chat_body, completion, free_port, requests_of, send_json, until

EXPLAIN = "/admin/v1/explain"
ERRORS = {401: "401 Unauthorized", 429: "429 Too Many Requests", 500: "500 Internal Server Error",
          503: "503 Service Unavailable"}


class Provider(Server):
    """Answers as `says` says: 200, another status, or "cut" (no answer at all). Each request to a model goes
    to the log that all of them share, with the key it came with; others are probes."""

    def __init__(self, name, log, says=200):
        self.name, self.log, self.says, self.go, self.probes = name, log, says, threading.Event(), []
        self.go.set()
        super().__init__(self._serve)

    def _serve(self, sock, peer):
        for request in requests_of(sock, peer):
            body = request.json() if request.body else {}
            says = self.says(request) if callable(self.says) else self.says
            if request.method == "GET":
                self.probes.append((time.monotonic(), request.path, says))
            else:
                self.log.append((f"{self.name}/{body.get('model')}", says, request.headers.get("authorization")))
            self.go.wait(60)
            if says == "cut":
                return
            if says == 200:
                send_json(sock, completion(body.get("model", "up")))
            else:
                send_json(sock, {"error": {"message": "no", "type": "t", "code": "c"}}, ERRORS[says])


class ExplainCase(Case):
    def providers(self, *names):
        self.log, made = [], []
        for name in names:
            made.append(Provider(name, self.log))
            self.addCleanup(made[-1].close)
        return made

    def weir(self, providers, more, each="", kind="vllm"):
        lines = "".join(f'  {p.name}: {{type: {kind}, url: "http://127.0.0.1:{p.port}/v1"{each}}}\n' for p in providers)
        return Weir(f"listen: 127.0.0.1:{{port}}\nworkers: 2\nproviders:\n{lines}{more}")

    def call(self, weir, method, path, body=None, status=200):
        answer = ask(weir.data / "admin.sock", method, path, body=body)
        self.assertEqual(answer.status, status, answer)
        return answer.json()

    def explain(self, weir, answer):
        """What is told of a request that has been answered: it is remembered once it is settled."""
        path = f"{EXPLAIN}/{answer.headers['x-weir-request-id']}"
        until("it is remembered", lambda: ask(weir.data / "admin.sock", "GET", path).status == 200)
        return self.call(weir, "GET", path)

    def dry(self, weir, model="chat", status=200, body=None, **more):
        return self.call(weir, "POST", EXPLAIN, {"body": body or chat_body(model), **more}, status)

    def order(self, told):
        return [c["target"] for c in told["candidates"] if "place" in c]

    def out(self, told):
        return {c["target"]: c["reason"] for c in told["candidates"] if "place" not in c}

    def tried(self, told):
        return [a["target"] for a in told["attempts"]]

    def same_as_log(self, told, log):
        self.assertEqual(self.tried(told), [target for target, _, _ in log], told)


THREE = "models: {chat: {targets: [a/one, b/two], fallback: [c/three]}}\n"


class Made(ExplainCase):
    def test_failover_in_order(self):
        a, b, c = self.providers("a", "b", "c")
        for says_a, says_b, codes in ((200, 200, ["ok"]),
                                      (500, 200, ["upstream_error", "ok"]),
                                      ("cut", 503, ["upstream_reset", "upstream_error", "ok"])):
            a.says, b.says = says_a, says_b
            with self.subTest(a=says_a, b=says_b), self.weir((a, b, c), THREE) as weir:
                self.log.clear()
                answer = self.good(chat(weir.port, "chat"))
                told = self.explain(weir, answer)
                self.assertEqual(self.order(told), ["a/one", "b/two", "c/three"])
                self.assertEqual([x["outcome"] for x in told["attempts"]], codes)
                self.same_as_log(told, self.log)
                self.assertEqual((told["status"], told["reason"], told["strategy"], told["model"]),
                                 (200, "complete", "ordered", "chat"))
                self.assertEqual([x.get("fallback", False) for x in told["candidates"]], [False, False, True])
                for attempt in told["attempts"]:
                    self.assertLessEqual(attempt["start_us"], attempt["sent_us"])
                    self.assertLessEqual(attempt["sent_us"], attempt["end_us"])
                    if attempt["outcome"] == "upstream_error":
                        self.assertEqual(attempt["status"], 500 if attempt["target"] == "a/one" else 503)

    def test_all_fail(self):
        a, b, c = self.providers("a", "b", "c")
        a.says = b.says = c.says = 500
        with self.weir((a, b, c), "retry: {same_target: 0}\n" + THREE) as weir:
            answer = chat(weir.port, "chat")
            self.assertEqual(answer.status, 500, answer)
            told = self.explain(weir, answer)
            self.same_as_log(told, self.log)
            self.assertEqual((told["status"], told["reason"]), (500, "upstream_error"))
            self.assertEqual(self.tried(told), ["a/one", "b/two", "c/three"])

    def test_refused_connection(self):
        a, b = self.providers("a", "b")
        a.port = free_port()  # nobody is there
        with self.weir((a, b), "models: {chat: {targets: [a/one, b/two]}}\n") as weir:
            told = self.explain(weir, self.good(chat(weir.port, "chat")))
            self.assertEqual([(x["target"], x["outcome"]) for x in told["attempts"]],
                             [("a/one", "upstream_connect"), ("b/two", "ok")])
            self.assertEqual([t for t, _, _ in self.log], ["b/two"])  # the other one never heard of it

    def test_ejected_goes_last(self):
        a, b = self.providers("a", "b")
        a.says = 500
        with self.weir((a, b), "health: {failures: 2, ejection: 5m}\nmodels: {chat: {targets: [a/one, b/two]}}\n") as weir:
            for expected in (["a/one", "b/two"], ["a/one", "b/two"], ["b/two"], ["b/two"]):
                self.log.clear()
                told = self.explain(weir, self.good(chat(weir.port, "chat")))
                self.same_as_log(told, self.log)
                self.assertEqual(self.tried(told), expected)
            ejected = told["candidates"][1]
            self.assertEqual((ejected["target"], ejected["reason"], ejected["state"], ejected["place"]),
                             ("a/one", "unhealthy", "ejected", 2))
            self.assertFalse(told["panic"])

    def test_rate_limited_rests(self):
        a, b = self.providers("a", "b")
        a.says = 429
        with self.weir((a, b), "health: {cool_down: 1h}\nmodels: {chat: {targets: [a/one, b/two]}}\n") as weir:
            first, second = (self.explain(weir, self.good(chat(weir.port, "chat"))) for _ in range(2))
            self.assertEqual(self.tried(first) + self.tried(second), [t for t, _, _ in self.log])
            self.assertEqual([x["outcome"] for x in first["attempts"]], ["rate_limit_exceeded", "ok"])
            self.assertEqual(self.tried(second), ["b/two"])
            self.assertEqual({x["target"]: x["state"] for x in second["candidates"]},
                             {"b/two": "well", "a/one": "cooling"})

    def test_which_key(self):
        a, = self.providers("a")
        a.says = lambda r: 429 if r.headers["authorization"] == "Bearer first" else 200
        with self.weir((a,), "models: {chat: {targets: [a/one]}}\n", ", api_keys: [first, second]") as weir:
            for _ in range(8):
                self.log.clear()
                told = self.explain(weir, self.good(chat(weir.port, "chat")))
                self.same_as_log(told, self.log)
                self.assertEqual([{1: "Bearer first", 2: "Bearer second"}[x["key"]] for x in told["attempts"]],
                                 [key for _, _, key in self.log])
                self.assertEqual([x["outcome"] == "ok" for x in told["attempts"]],
                                 [says == 200 for _, says, _ in self.log])

    def test_round_robin_and_weights(self):
        a, b = self.providers("a", "b")
        more = ("models:\n  turns: {strategy: round_robin, targets: [a/one, b/two]}\n"
                "  chance: {strategy: weighted, targets: [{use: a/one, weight: 3}, {use: b/two, weight: 1}]}\n")
        with self.weir((a, b), more) as weir:
            for model in ("turns", "chance"):
                firsts = set()
                for _ in range(40):
                    self.log.clear()
                    told = self.explain(weir, self.good(chat(weir.port, model)))
                    self.same_as_log(told, self.log)
                    self.assertEqual(self.order(told)[0], self.log[0][0])
                    scores = [x["score"] for x in told["candidates"]]
                    self.assertEqual(scores, sorted(scores), told)
                    firsts.add(self.log[0][0])
                self.assertEqual(firsts, {"a/one", "b/two"}, model)

    def test_forbidden_and_context(self):
        a, b, c = self.providers("a", "b", "c")
        more = """auth: keys
keys: {local: {secret: wk-local-0123456789abcdef, providers: [b, c]}}
models: {chat: {targets: [a/one, {use: b/two, context: 10}, c/three]}}
"""
        with self.weir((a, b, c), more) as weir:
            body = chat_body("chat", messages=[{"role": "user", "content": "word " * 200}])
            answer = self.good(ask(weir.port, "POST", CHAT, {"Authorization": "Bearer wk-local-0123456789abcdef"}, body))
            told = self.explain(weir, answer)
            self.same_as_log(told, self.log)
            self.assertEqual(self.order(told), ["c/three"])
            self.assertEqual(self.out(told), {"a/one": "forbidden", "b/two": "context_too_small"})
            dry = self.dry(weir, key="local", body=body)
            self.assertEqual((self.order(dry), self.out(dry)), (self.order(told), self.out(told)))
            self.assertEqual(self.order(self.dry(weir, body=body)), ["a/one", "c/three"])

    def test_none_may(self):
        a, b, c = self.providers("a", "b", "c")
        more = """auth: keys
keys: {none: {secret: wk-none-0123456789abcdefg, providers: [c]}}
models: {chat: {targets: [a/one, b/two]}}
"""
        with self.weir((a, b, c), more) as weir:
            answer = chat(weir.port, "chat", {"Authorization": "Bearer wk-none-0123456789abcdefg"})
            self.assertEqual(answer.status, 403, answer)
            told = self.explain(weir, answer)
            self.assertEqual(self.out(told), {"a/one": "forbidden", "b/two": "forbidden"})
            self.assertEqual((told["attempts"], told["reason"]), ([], answer.json()["error"]["code"]))
            self.assertEqual(self.log, [])
            dry = self.dry(weir, key="none")
            self.assertEqual(self.out(dry), self.out(told))
            self.assertEqual((dry["error"]["status"], dry["error"]["code"]), (403, told["reason"]))

    def test_skipped_for_want_of_a_price(self):
        a, b = self.providers("a", "b")
        more = """auth: keys
keys: {poor: {secret: wk-poor-0123456789abcdefg, limits: {budget: {day: 10}}}}
prices: {"b/two": {input: 1, output: 1}}
models: {chat: {targets: [a/one, b/two]}}
"""
        with self.weir((a, b), more, kind="openai-compatible") as weir:
            answer = self.good(chat(weir.port, "chat", {"Authorization": "Bearer wk-poor-0123456789abcdefg"}))
            told = self.explain(weir, answer)
            self.same_as_log(told, self.log)
            self.assertEqual(self.tried(told), ["b/two"])
            self.assertEqual([x.get("skipped") for x in told["candidates"]], ["price_unknown", None])

    def test_many_candidates(self):
        a, = self.providers("a")
        names = [f"a/m{i:02}" for i in range(40)]
        with self.weir((a,), f"models: {{chat: {{targets: [{', '.join(names)}]}}}}\n") as weir:
            told = self.explain(weir, self.good(chat(weir.port, "chat")))  # where the first one does, the rest of
            self.assertEqual((self.order(told), told["partial"]), (names[:1], True))  # the order is not made
            self.assertEqual(([x["target"] for x in told["candidates"]], told["others"]), (names[:16], 24))
            dry = self.dry(weir)
            self.assertEqual((self.order(dry), dry["others"]), (names[:16], 24))
            self.log.clear()
            a.says = lambda r: 200 if r.json()["model"] == "m03" else 500
            told = self.explain(weir, self.good(chat(weir.port, "chat")))
            self.assertEqual((self.order(told), told["others"]), (names[:16], 24))
            self.assertNotIn("partial", told)
            self.same_as_log(told, self.log)
            self.assertEqual(self.tried(told), names[:4])

    def test_latest_are_remembered(self):
        a, = self.providers("a")
        with self.weir((a,), "models: {chat: {targets: [a/one]}}\n") as weir:
            first = self.good(chat(weir.port, "chat"))
            told = self.explain(weir, first)
            self.assertNotIn("strategy", told)  # there is no choice
            for _ in range(2 * 512):  # two workers; the first one's record is the oldest of its worker
                last = chat(weir.port, "chat")
            self.explain(weir, last)
            gone = ask(weir.data / "admin.sock", "GET", f"{EXPLAIN}/{first.headers['x-weir-request-id']}")
            self.assertIn(gone.status, (200, 404))  # by which worker took how many
            for wrong in ("wr-000000000000000000000", "wr-1", "x", "wr-00000000000000000000u"):
                self.call(weir, "GET", f"{EXPLAIN}/{wrong}", status=404)

    def test_refusals_before_the_route(self):
        a, = self.providers("a")
        with self.weir((a,), "auth: keys\nkeys: {k: {secret: wk-secret-0123456789abcde}}\nexpose: []\n"
                             "models: {chat: {targets: [a/one]}}\n") as weir:
            key = {"Authorization": "Bearer wk-secret-0123456789abcde"}
            told = self.explain(weir, chat(weir.port, "nothing", key))
            self.assertEqual((told["status"], told["reason"], told["model"]), (404, "model_not_found", "nothing"))
            self.assertNotIn("candidates", told)
            keyless = chat(weir.port, "chat")
            self.assertEqual(keyless.status, 401)
            self.explain(weir, self.good(chat(weir.port, "chat", key)))
            self.call(weir, "GET", f"{EXPLAIN}/{keyless.headers['x-weir-request-id']}", status=404)


    def lacks(self, told):
        return {c["target"]: c["lacks"] for c in told["candidates"] if "lacks" in c}

    def check_only(self, weir, path, body, target, out, lacks=None):
        """One target alone is asked, and the same is told of the request made as of one only asked about."""
        self.log.clear()
        with self.subTest(path=path, body=body):
            made = self.explain(weir, self.good(ask(weir.port, "POST", path, body=body)))
            self.same_as_log(made, self.log)
            self.assertEqual((self.order(made), self.tried(made)), ([target], [target]))
            dry = self.dry(weir, path=path, body=body)
            self.assertEqual((self.order(dry), self.out(dry), self.lacks(dry)),
                             (self.order(made), self.out(made), self.lacks(made)))
            self.assertEqual(self.out(made), out)
            if lacks is not None:
                self.assertEqual(self.lacks(made), lacks)

    def test_four_that_cannot(self):
        """By the wire (a), by the configuration (b): they take none of the request's attempts."""
        a, b, c = self.providers("a", "b", "c")
        more = """  r: {type: replicate, url: "http://127.0.0.1:%d/v1", api_key: x}
models:
  chat:
    targets: [r/m/one, r/m/two, {use: a/one, supports: {tools: false, images: false, schema: false}},
              {use: b/two, supports: {tools: false, images: false, schema: false}}, c/three]
""" % a.port
        out = {"r/m/one": "lacks_feature", "r/m/two": "lacks_feature", "a/one": "lacks_feature",
               "b/two": "lacks_feature"}
        schema, image = {"type": "object"}, "data:image/png;base64,iVBORw0KGgo="
        text = [{"role": "user", "content": "hello"}]
        shown = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": image}}]}]
        tool = {"type": "function", "function": {"name": "f", "parameters": schema}}
        answer = {"type": "json_schema", "json_schema": {"name": "s", "schema": schema}}
        rows = (
            (CHAT, {"messages": text, "tools": [tool]}, ["tools"]),
            (CHAT, {"messages": shown}, ["images"]),
            (CHAT, {"messages": shown, "tools": [tool], "response_format": answer}, ["tools", "images", "schema"]),
            ("/v1/messages", {"max_tokens": 9, "messages": text, "tools": [{"name": "f", "input_schema": schema}]},
             ["tools"]),
            ("/v1/responses", {"input": [{"role": "user", "content": [{"type": "input_image", "image_url": image}]}]},
             ["images"]),
            ("/v1beta/models/chat:generateContent",
             {"contents": [{"parts": [{"text": "hello"}]}],
              "generationConfig": {"responseMimeType": "application/json", "responseSchema": {"type": "OBJECT"}}},
             ["schema"]))
        with self.weir((a, b, c), more) as weir:
            for path, body, lacks in rows:
                if "contents" not in body:
                    body["model"] = "chat"
                self.check_only(weir, path, body, "c/three", out, {target: lacks for target in out})
            self.assertEqual(self.order(self.dry(weir))[2:], ["a/one", "b/two", "c/three"])
            body = {"model": "chat", "input": "hello"}
            made = self.explain(weir, ask(weir.port, "POST", "/v1/embeddings", body=body))
            self.assertEqual(self.out(made), {"r/m/one": "no_such_operation", "r/m/two": "no_such_operation"})

    def test_found_out_by_the_translation(self):
        """What is not known before the request is written there takes no attempt either."""
        a, b, c = self.providers("a", "b", "c")
        more = """  r: {type: replicate, url: "http://127.0.0.1:%d/v1", api_key: x}
models: {chat: {targets: [r/m/one, r/m/two, r/m/three, r/m/four, a/five]}}
""" % a.port
        with self.weir((a, b, c), more) as weir:
            made = self.explain(weir, self.good(ask(weir.port, "POST", CHAT, body=chat_body("chat", logprobs=True))))
            self.same_as_log(made, self.log)
            self.assertEqual(self.tried(made), ["a/five"])
            self.assertEqual([x.get("skipped") for x in made["candidates"]], 4 * ["unsupported_parameter"] + [None])

    def test_nobody_can(self):
        a, b = self.providers("a", "b")
        more = """  r: {type: replicate, url: "http://127.0.0.1:%d/v1", api_key: x}
models: {chat: {targets: [r/m/one, {use: b/two, supports: {tools: false}}]}}
""" % a.port
        tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
        with self.weir((a, b), more) as weir:
            body = chat_body("chat", tools=[tool])
            answer = ask(weir.port, "POST", CHAT, body=body)
            error = answer.json()["error"]
            self.assertEqual((answer.status, error["code"], error["param"]), (400, "unsupported_parameter", "tools"))
            made = self.explain(weir, answer)
            self.assertEqual((made["attempts"], self.log), ([], []))
            dry = self.dry(weir, body=body)
            self.assertEqual(self.out(dry), {"r/m/one": "lacks_feature", "b/two": "lacks_feature"})
            self.assertEqual((dry["error"]["status"], dry["error"]["code"]), (400, "unsupported_parameter"))
            self.assertIn("'tools'", dry["error"]["message"])


class Asked(ExplainCase):
    def test_nothing_is_sent(self):
        a, b, c = self.providers("a", "b", "c")
        with self.weir((a, b, c), THREE) as weir:
            told = self.dry(weir)
            self.assertEqual(self.order(told), ["a/one", "b/two", "c/three"])
            self.assertNotIn("error", told)
            self.assertNotIn("attempts", told)
            self.assertEqual(self.log, [])

    def test_as_the_next_one_goes(self):
        """The order that is told is the one that the next request takes, with every strategy that leaves
        nothing to chance."""
        a, b = self.providers("a", "b")
        hard = "Prove that every group of order p squared is abelian, and why the proof fails without that."
        more = """models:
  ordered: {targets: [b/two, a/one]}
  turns: {strategy: round_robin, targets: [a/one, b/two]}
  best: {strategy: quality, targets: [{use: a/one, quality: 10}, {use: b/two, quality: 20}]}
  hard: {strategy: complexity, targets: [{use: a/one, max_complexity: 40}, b/two]}
  kept: {strategy: sticky, targets: [a/one, b/two]}
  same: {strategy: prefix, targets: [a/one, b/two]}
"""
        with self.weir((a, b), more) as weir:
            for model in ("ordered", "turns", "turns", "best", "hard", "kept", "same", "same"):
                for text in ("hello", hard, "a long beginning " * 100):
                    body = chat_body(model, messages=[{"role": "user", "content": text}])
                    self.log.clear()
                    session = {"session": "s1"} if model == "kept" else {}
                    dry = self.dry(weir, body=body, **session)
                    headers = {"x-weir-session": "s1"} if session else {}
                    made = self.explain(weir, self.good(ask(weir.port, "POST", CHAT, headers, body)))
                    self.assertEqual(self.order(dry)[0], self.log[0][0], (model, text, dry, made))
                    self.assertEqual(self.order(dry), self.order(made))
                    self.assertEqual(dry["strategy"], made["strategy"])
                    self.assertEqual(dry.get("complexity"), made.get("complexity"))
            self.assertEqual(self.order(self.dry(weir, "hard")), ["a/one", "b/two"])
            self.assertEqual(self.order(self.dry(weir, body=chat_body("hard", messages=[
                {"role": "user", "content": hard}])))[0], "b/two")

    def test_other_dialects(self):
        a, b, c = self.providers("a", "b", "c")
        with self.weir((a, b, c), THREE) as weir:
            text = [{"role": "user", "content": "hello"}]
            for path, body in (("/v1/messages", {"model": "chat", "max_tokens": 9, "messages": text}),
                               ("/v1/responses", {"model": "chat", "input": "hello"}),
                               ("/v1/completions", {"model": "chat", "prompt": "hello"}),
                               ("/v1beta/models/chat:generateContent", {"contents": [{"parts": [{"text": "hello"}]}]}),
                               ("/v1/models/chat:streamGenerateContent?alt=sse",
                                {"contents": [{"parts": [{"text": "hello"}]}]})):
                told = self.dry(weir, path=path, body=body)
                self.assertEqual((self.order(told), told["model"]), (["a/one", "b/two", "c/three"], "chat"), path)
                self.assertEqual(told["stream"], "stream" in path)

    def test_complexity_in_all_dialects(self):
        """The user's latest words are found wherever a dialect has them."""
        a, b = self.providers("a", "b")
        hard = "Prove that every group of order p squared is abelian, and why the proof fails without that."
        with self.weir((a, b), "models: {m: {strategy: complexity, targets: [{use: a/one, max_complexity: 40}, b/two]}}\n"
                       ) as weir:
            for text, first in (("hello", "a/one"), (hard, "b/two")):
                before = {"role": "user", "content": "Translate this to French: good morning"}
                parts = [{"type": "text", "text": text}]
                for path, body in (
                        (CHAT, {"model": "m", "messages": [{"role": "user", "content": text}]}),
                        (CHAT, {"model": "m", "messages": [before, {"content": parts, "role": "user"}]}),
                        ("/v1/messages", {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": parts}]}),
                        ("/v1/responses", {"model": "m", "input": text}),
                        ("/v1/responses", {"model": "m", "input": [{"role": "user", "content": [
                            {"type": "input_text", "text": text}]}]}),
                        ("/v1/completions", {"model": "m", "prompt": text}),
                        ("/v1beta/models/m:generateContent", {"contents": [{"parts": [{"text": text}]}]})):
                    told = self.dry(weir, path=path, body=body)
                    self.assertEqual(self.order(told)[0], first, (path, body, told))

    def test_what_would_be_refused(self):
        a, b, c = self.providers("a", "b", "c")
        more = """auth: keys
keys:
  narrow: {secret: wk-narrow-0123456789abcde, models: [a/one]}
  plain: {secret: wk-plain-0123456789abcdef}
  free: {secret: wk-free-0123456789abcdefg, may_set: [strategy, use_case]}
  off: {secret: wk-off-0123456789abcdefgh, disabled: true}
use_cases: {secret: {data_class: restricted}}
""" + THREE
        with self.weir((a, b, c), more) as weir:
            for asked, code in (({"model": "nothing"}, "model_ambiguous"), ({"model": "d/x"}, "model_ambiguous"), ({"path": "/v1/nothing"}, "unknown_url"),
                                ({"key": "narrow"}, "model_not_allowed"), ({"body": {"model": 1}}, "invalid_body"),
                                ({"key": "plain", "priority": "cost"}, "forbidden"),
                                ({"key": "free", "priority": "wrong"}, "bad_request"),
                                ({"key": "free", "use_case": "nothing"}, "forbidden"),
                                ({"key": "free", "use_case": "secret"}, "model_not_allowed")):
                self.assertEqual(self.dry(weir, **asked)["error"]["code"], code, asked)
            self.assertEqual(self.dry(weir, key="free", priority="cost")["strategy"], "cost")
            self.dry(weir, status=404, key="nobody")
            self.dry(weir, status=422, key="off")
            self.call(weir, "POST", EXPLAIN, {"path": CHAT}, 400)
            self.call(weir, "POST", EXPLAIN, {"body": {}, "further": "x"}, 400)
            self.call(weir, "POST", EXPLAIN, b"[1]", 400)
            self.assertEqual(self.log, [])

    def test_issued_key(self):
        a, b, c = self.providers("a", "b", "c")
        with self.weir((a, b, c), "auth: keys\n" + THREE) as weir:
            self.call(weir, "POST", "/admin/v1/keys", {"name": "ci", "providers": ["b"]}, 201)
            told = self.dry(weir, key="ci")
            self.assertEqual((self.order(told), self.out(told)),
                             (["b/two"], {"a/one": "forbidden", "c/three": "forbidden"}))

    def test_full_and_drained(self):
        a, b = self.providers("a", "b")
        with self.weir((a, b), "models: {chat: {targets: [a/one, b/two]}}\n", ", max_inflight: 1") as weir:
            a.go.clear()
            thread = threading.Thread(target=chat, args=(weir.port, "chat"), daemon=True)
            thread.start()
            until("it is there", lambda: self.log)
            told = self.dry(weir)
            self.assertEqual(self.order(told), ["b/two", "a/one"])
            self.assertEqual(told["candidates"][1]["reason"], "full")
            a.go.set()
            thread.join()
            self.call(weir, "POST", "/admin/v1/targets/a/one/drain")
            told = self.dry(weir)
            self.assertEqual((self.order(told), self.out(told)), (["b/two"], {"a/one": "unhealthy"}))
            self.assertEqual(told["candidates"][1]["state"], "drained")


class Roles(ExplainCase):
    def test_roles(self):
        a, b, c = self.providers("a", "b", "c")
        more = """admin:
  listen: 127.0.0.1:{admin}
  viewer_token: viewer-token-0123456789
  operator_token: operator-token-0123456
""" + THREE
        with self.weir((a, b, c), more) as weir:
            made = self.good(chat(weir.port, "chat")).headers["x-weir-request-id"]
            viewer = {"Authorization": "Bearer viewer-token-0123456789"}
            operator = {"Authorization": "Bearer operator-token-0123456"}
            for method, path, body, who, status in (
                    ("GET", f"{EXPLAIN}/{made}", None, viewer, 200), ("GET", f"{EXPLAIN}/{made}", None, {}, 401),
                    ("POST", EXPLAIN, {"body": chat_body("chat")}, viewer, 403),
                    ("POST", EXPLAIN, {"body": chat_body("chat")}, operator, 200),
                    ("GET", "/admin/v1/targets", None, viewer, 200), ("GET", "/admin/v1/targets", None, {}, 401),
                    ("POST", "/admin/v1/targets/a/one/drain", None, viewer, 403),
                    ("POST", "/admin/v1/targets/a/one/enable", None, operator, 200)):
                answer = ask(weir.admin, method, path, who, body)
                self.assertEqual(answer.status, status, (method, path, answer))


class Command(ExplainCase):
    def run_weir(self, weir, *args, status=0):
        done, out, err = weir.command("explain", "--data", weir.data, *args)
        self.assertEqual(done, status, out + err)
        return out + err

    def test_of_an_id(self):
        a, b, c = self.providers("a", "b", "c")
        a.says = 500
        with self.weir((a, b, c), THREE) as weir:
            answer = self.good(chat(weir.port, "chat"))
            told = self.explain(weir, answer)
            name = answer.headers["x-weir-request-id"]
            text = self.run_weir(weir, name)
            rows = [line.split() for line in text.splitlines()]
            self.assertIn(name, rows[0])
            self.assertIn(["1", "a/one", "well", "0"], rows)
            tried = [row[1:4] for row in rows if len(row) > 4 and row[1:2] and row[2] in ("upstream_error", "ok")]
            self.assertEqual(tried, [["a/one", "upstream_error", "500"], ["b/two", "ok", "200"]])
            self.assertIn("the client got 200: complete", text)
            self.assertEqual(json.loads(self.run_weir(weir, name, "--json")), told)
            self.assertIn("no worker remembers", self.run_weir(weir, "wr-" + "0" * 21, status=1))

    def test_of_a_file(self):
        a, b, c = self.providers("a", "b", "c")
        more = "auth: keys\nkeys: {narrow: {secret: wk-narrow-0123456789abcde, providers: [c]}}\n" + THREE
        with self.weir((a, b, c), more) as weir:
            request = weir.folder / "request.json"
            request.write_text(json.dumps(chat_body("chat")), "utf-8")
            text = self.run_weir(weir, request)
            self.assertIn("strategy ordered", text)
            self.assertIn("it would be tried in this order", text)
            rows = [line.split() for line in self.run_weir(weir, request, "--key", "narrow").splitlines()]
            self.assertIn(["1", "c/three", "well", "2", "fallback"], rows)
            self.assertIn(["-", "a/one", "forbidden"], rows)
            request.write_text(json.dumps({"model": "chat", "max_tokens": 5, "messages": [
                {"role": "user", "content": "hi"}]}), "utf-8")
            told = json.loads(self.run_weir(weir, request, "--path", "/v1/messages", "--json"))
            self.assertEqual(self.order(told), ["a/one", "b/two", "c/three"])
            request.write_text(json.dumps(chat_body("nothing")), "utf-8")
            self.assertIn("it would be refused: 400 model_ambiguous", self.run_weir(weir, request))
            request.write_text("{", "utf-8")
            self.assertIn("is no JSON", self.run_weir(weir, request, status=1))
            self.assertIn("No such file", self.run_weir(weir, weir.folder / "none.json", status=1))
            self.assertIn("which request?", self.run_weir(weir, status=2))
            self.assertEqual(self.log, [])
