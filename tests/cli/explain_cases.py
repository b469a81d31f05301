"""weir explain and weir targets: what they ask the gateway, and what they make of its answer."""
import json
import pathlib
import shutil
import tempfile
import unittest

import harness

ID = "wr-1m7zkt2nssjqe0862n43q"
TOLD = {"request_id": ID, "time": "2026-11-21T17:52:32.954Z", "model": "chat", "served_as": "cheap", "stream": True,
        "strategy": "complexity", "complexity": 12.5, "panic": True,
        "candidates": [{"target": "a/one", "place": 1, "reason": "ok", "state": "half_open", "score": 27.5},
                       {"target": "c/three", "place": 2, "reason": "unhealthy", "state": "cooling", "score": 0,
                        "fallback": True, "skipped": "price_unknown"},
                       {"target": "b/\u001b[31mtwo\nx", "reason": "forbidden"}],
        "others": 24,
        "attempts": [{"target": "a/one", "outcome": "upstream_error", "status": 503, "key": 2, "start_us": 40,
                      "sent_us": 41, "end_us": 1260},
                     {"target": "c/three", "outcome": "ok", "status": 200, "start_us": 1300, "sent_us": 1310,
                      "first_us": 20000, "end_us": 30000}],
        "status": 200, "reason": "complete"}
TARGET = {"target": "a/one", "state": "well", "reason": "none", "share": 1, "inflight": 3, "failures_in_a_row": 0,
          "ejections": 0, "window_answers": 10, "window_failures": 0, "models": ["chat"]}
TARGETS = {"targets": [{**TARGET, "first_us": 120000, "first_p50_us": 100400, "first_p95_us": 400000,
                        "first_p99_us": 900000, "gap_us": 20000},
                       {**TARGET, "target": "b/two", "state": "ejected", "reason": "error_share", "window_failures": 6,
                        "until": "2026-11-21T18:00:00.000Z", "remaining_ms": 9940},
                       {**TARGET, "target": "c/three", "state": "warming", "reason": "error_share", "share": 0.25}],
           "credentials": [{**TARGET, "target": "a#1", "state": "denied", "reason": "credential_refused",
                            "remaining_ms": 240000}]}


class AdminCase(unittest.TestCase):
    def setUp(self):
        self.home = pathlib.Path(tempfile.mkdtemp(prefix="weir-cli-"))
        self.addCleanup(shutil.rmtree, self.home, True)

    def ask(self, *args, answer=None, status=200, stdin=b""):
        """Runs a command against a gateway that gives this answer: (result, what it was asked)."""
        def script(connection, _):
            connection.answer(status, json.dumps(answer or {}).encode())

        with harness.Server(script) as server:
            result = harness.weir(*args, home=self.home, stdin=stdin, WEIR_ADMIN_URL=server.url, WEIR_ADMIN_TOKEN="t")
            return result, [(r.method, r.target, r.body) for r in server.requests]


class Explain(AdminCase):
    def test_of_an_id(self):
        result, asked = self.ask("explain", ID, answer=TOLD)
        self.assertEqual(result.code, 0, result)
        self.assertEqual(asked, [("GET", f"/admin/v1/explain/{ID}", b"")])
        self.assertEqual(result.out, f"""\
{ID}  2026-11-21T17:52:32.954Z
model chat, served as cheap, strategy complexity, complexity 12.5, panic: too many are ejected, so health is not looked at, stream

#  CANDIDATE      STATE      SCORE            WHY NOT
1  a/one          half_open  27.5
2  c/three        cooling    0      fallback  skipped: price_unknown
-  b/^[[31mtwo x                              forbidden
and 24 more

ATTEMPT  TARGET   KEY  OUTCOME         STATUS  BEGAN   FIRST    ENDED
1        a/one    2    upstream_error  503     0.0 ms           1.3 ms
2        c/three       ok              200     1.3 ms  20.0 ms  30.0 ms

the client got 200: complete
""")
        result, _ = self.ask("explain", ID, "--json", answer=TOLD)
        self.assertEqual(json.loads(result.out), TOLD)

    def test_of_a_file(self):
        body = b'{"model": "chat", "messages": [{"role": "user", "content": "\\ud83d\\ude00"}]}'
        (self.home / "r.json").write_bytes(body)
        plan = {k: TOLD[k] for k in ("model", "stream", "candidates", "others")}
        for word, stdin in (("r.json", b""), ("-", body)):
            result, asked = self.ask("explain", word, "--path", "/v1/messages", "--key", 'k"1', "--session", "s",
                                     "--use-case", "u", "--priority", "cost", answer=plan, stdin=stdin)
            self.assertEqual(result.code, 0, result)
            method, target, sent = asked[0]
            self.assertEqual((method, target), ("POST", "/admin/v1/explain"))
            self.assertEqual(json.loads(sent), {"path": "/v1/messages", "key": 'k"1', "use_case": "u", "session": "s",
                                                "priority": "cost", "body": json.loads(body)})
            self.assertIn(body, sent)  # as it stands
            self.assertIn("it would be tried in this order", result.out)
        result, _ = self.ask("explain", "r.json", answer={"model": "x", "stream": False, "error": {
            "status": 404, "code": "model_not_found", "message": "There is no such model."}})
        self.assertEqual(result.out, "model x\n\nit would be refused: 404 model_not_found: There is no such model.\n")

    def test_a_file_that_is_called_as_an_id(self):
        (self.home / ID).write_text("{}", "utf-8")
        _, asked = self.ask("explain", ID, answer=TOLD)
        self.assertEqual(asked[0][:2], ("POST", "/admin/v1/explain"))

    def test_wrong(self):
        (self.home / "bad.json").write_text('{"model": }', "utf-8")
        for args, code, text in ((("bad.json",), 1, "bad.json is no JSON: "), (("none.json",), 1, "No such file"),
                                 ((), 2, "which request?"), ((ID, "x"), 2, ""), (("--wrong",), 2, "--wrong"),
                                 ((".",), 1, "Is a directory")):
            result, asked = self.ask("explain", *args)
            self.assertEqual((result.code, asked), (code, []), args)
            self.assertIn(text, result.err)
        result, _ = self.ask("explain", ID, answer={"error": {"message": "nobody knows it"}}, status=404)
        self.assertEqual(result.code, 1)
        self.assertIn("nobody knows it", result.err)
        result = harness.weir("explain", ID, home=self.home)
        self.assertEqual(result.code, 1, result)  # there is no gateway


class Targets(AdminCase):
    def test_table(self):
        result, asked = self.ask("targets", answer=TARGETS)
        self.assertEqual(asked, [("GET", "/admin/v1/targets", b"")])
        self.assertEqual(result.out, """\
TARGET   STATE    REASON              FOR    SHARE  INFLIGHT  FAILED   FIRST   P50     P95     P99     GAP
a/one    well                                       3         0 of 10  120 ms  100 ms  400 ms  900 ms  20 ms
b/two    ejected  error_share         9.9 s         3         6 of 10
c/three  warming  error_share                0.25   3         0 of 10
a#1      denied   credential_refused  4 min         3         0 of 10
""")
        result, _ = self.ask("targets", "--json", answer=TARGETS)
        self.assertEqual(json.loads(result.out), TARGETS)
        result, _ = self.ask("targets", answer={"targets": [], "credentials": []})
        self.assertEqual((result.code, result.out), (0, ""))

    def test_verbs(self):
        for verb in ("drain", "enable", "reset"):
            result, asked = self.ask("targets", verb, "a/meta/L 3#1", answer={**TARGET, "state": "drained"})
            self.assertEqual(asked, [("POST", f"/admin/v1/targets/a%2Fmeta%2FL%203%231/{verb}", b"")])
            self.assertEqual((result.code, result.out), (0, "a/meta/L 3#1 is drained\n"))
        for args, code in ((("stop", "a/one"), 2), (("drain",), 2), (("drain", "a/one", "b/two"), 2)):
            result, asked = self.ask("targets", *args)
            self.assertEqual((result.code, asked), (code, []), args)
        result, _ = self.ask("targets", "drain", "a/x", answer={"error": {"message": "there is none"}}, status=404)
        self.assertEqual(result.code, 1)
        self.assertIn("there is none", result.err)
