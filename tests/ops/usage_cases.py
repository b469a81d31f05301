"""What the gateway tells of its use and money: the admin API, `weir usage` beside it, and budget alerts
at a webhook that fails, hangs and comes back, also across restarts and kills."""

import json
import threading
import urllib.parse

from admission_cases import SECRET, Metered, bearer
from harness import Case, Server, Weir, ask, chat, requests_of, until

CONFIG = f"""listen: 127.0.0.1:{{port}}
auth: keys
admin: {{listen: 127.0.0.1:{{admin}}, token: root-token, viewer_token: viewer-token}}
keys: {{ci: {{secret: {SECRET}, team: search, use_case: summaries}}}}
teams: {{search: {{limits: {{budget: {{month: 1.50}}, requests_per_minute: 600}}}}}}
use_cases: {{summaries: {{owner: jane@example.com}}, idle: {{owner: joe@example.com}}}}
providers: {{up: {{type: openai-compatible, url: "URL", api_key: x}}}}
prices: {{"up/m": {{input: 1000, output: 1000}}}}
models: {{m: {{targets: [up/m]}}}}
"""


class Receiver(Server):
    """A webhook: answers with the statuses of `script`, then 204; None hangs up."""

    def __init__(self, script=()):
        self.script, self.got, self.tries, self.lock = list(script), [], 0, threading.Lock()
        super().__init__(self._serve)

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}/hook/?token=s3cret"

    def _serve(self, sock, _peer):
        for request in requests_of(sock):
            with self.lock:
                self.tries += 1
                status = self.script.pop(0) if self.script else "204 No Content"
            if status is None:
                return
            if status.startswith("2"):
                self.got.append(request)
            sock.sendall(b"HTTP/1.1 %s\r\nContent-Length: 0\r\n\r\n" % status.encode())

    def messages(self):
        return [r.json() for r in self.got]


class UsageCase(Case):
    def weir(self, up, more="", **named):
        return Weir(CONFIG.replace("URL", up.url) + more, **named)

    def metered(self):
        up = Metered()
        self.addCleanup(up.close)
        return up

    def receiver(self, script=()):
        r = Receiver(script)
        self.addCleanup(r.close)
        return r

    def spend(self, weir, n, model="m"):
        """15 cents each."""
        for _ in range(n):
            self.good(chat(weir.port, model, bearer(), max_tokens=50))

    def get(self, weir, path, status=200, token="viewer-token", **params):
        query = urllib.parse.urlencode(params)
        answer = ask(weir.admin, "GET", path + ("?" + query if query else ""),
                     {"Authorization": f"Bearer {token}"})
        self.assertEqual(answer.status, status, answer)
        return answer.json()

    def usage(self, weir, **params):
        return self.get(weir, "/admin/v1/usage", **params)

    def wait_for_cost(self, weir, nano):
        until(f"the ledger shows {nano}",
              lambda: self.usage(weir)["total"]["cost_nano"] == nano)


class Api(UsageCase):
    def test_usage(self):
        up = self.metered()
        with self.weir(up) as weir:
            self.spend(weir, 4)
            self.wait_for_cost(weir, 600000000)
            for by, name in (("model", "m"), ("provider", "up"), ("target", "up/m"), ("key", "ci"),
                             ("team", "search"), ("use_case", "summaries")):
                answer = self.usage(weir, by=by)
                self.assertEqual([x["name"] for x in answer["lines"]], [name], answer)
                line = answer["lines"][0]
                self.assertEqual((line["cost"], line["requests"], line["input_tokens"],
                                  line["output_tokens"]), ("0.60", 4, 400, 200), by)
                self.assertEqual(line["tokens_per_request"], 150)
                self.assertGreater(line["p95_ms"], 0)
            self.assertEqual(self.usage(weir, by="model", key="nobody")["lines"], [])
            hours = self.usage(weir, step="hour", **{"from": "24h"})
            self.assertEqual(sum(x["requests"] for x in hours["lines"]), 4)

    def test_usage_beside_the_gateway(self):
        up = self.metered()
        weir = self.weir(up)
        with weir:
            self.spend(weir, 2)
            self.wait_for_cost(weir, 300000000)
            status, out, err = weir.command("usage", "--by", "use-case", "--data", weir.data)
            self.assertEqual((status, err), (0, ""))
            self.assertRegex(out, r"summaries +\$0\.30 +2 ")
            status, out, _ = weir.command("usage", "--why", "--use-case", "summaries", "--data", weir.data)
            self.assertIn("The cost rose by $0.30, from $0.00 to $0.30, mostly through more", out)
            status, out, _ = weir.command("usage", "--forecast", "--json", "--data", weir.data)
            self.assertGreaterEqual(json.loads(out)["lines"][0]["forecast_nano"], 300000000)
            weir.stop()
            status, out, err = weir.command("usage", "--by", "use-case", "--data", weir.data,
                                            "--config", weir.config)
            self.assertEqual((status, err), (0, ""))
            self.assertRegex(out, r"summaries +\$0\.30 +2 ")

    def test_mistakes_name_the_nearest(self):
        with self.weir(self.metered()) as weir:
            for path, params, part in (
                    ("/admin/v1/usage", {"by": "usecase"}, "did you mean `use_case`?"),
                    ("/admin/v1/usage", {"form": "x"}, "did you mean `from`?"),
                    ("/admin/v1/usage", {"from": "last-moon"}, "`from` cannot be `last-moon`"),
                    ("/admin/v1/usage", {"from": "2026-11-31"}, "write a time as"),
                    ("/admin/v1/usage", {"from": "3000d", "step": "day"}, "longer than 800 days"),
                    ("/admin/v1/usage", {"limit": "1001"}, "from 1 to 1000"),
                    ("/admin/v1/usage", {"by": "user", "key": "ci"}, "users are not kept by"),
                    ("/admin/v1/usage", {"sort": "cost", "after": "1 x"}, "`after` needs"),
                    ("/admin/v1/usage/why", {"name": "x"}, "`name` needs a `by`"),
                    ("/admin/v1/usage/forecast", {"period": "moth"}, "did you mean `month`?"),
                    ("/admin/v1/budgets", {"kind": "tem"}, "did you mean `team`?"),
                    ("/admin/v1/limits", {"after": "team/none"}, "names no scope"),
                    ("/admin/v1/prices", {}, "say which")):
                error = self.get(weir, path, 400, **params)["error"]["message"]
                self.assertIn(part, error, (path, params))
            for path in ("usage", "usage/why", "budgets", "limits", "prices"):
                answer = ask(weir.admin, "GET", f"/admin/v1/{path}")
                self.assertEqual(answer.status, 401, path)

    def test_budgets_and_limits(self):
        with self.weir(self.metered()) as weir:
            self.spend(weir, 6)
            until("the alert at a half", lambda: weir.said("budget.alert"))
            (budget,) = self.get(weir, "/admin/v1/budgets")["budgets"]
            self.assertEqual((budget["kind"], budget["name"], budget["period"]), ("team", "search", "month"))
            self.assertEqual((budget["limit"], budget["used"], budget["used_percent"]), ("1.50", "0.90", 60))
            self.assertEqual(budget["alerts"], [50])
            self.wait_for_cost(weir, 900000000)
            (budget,) = self.get(weir, "/admin/v1/budgets", kind="team", name="search")["budgets"]
            self.assertGreaterEqual(float(budget["forecast"]), 0.9)
            scopes = self.get(weir, "/admin/v1/limits")["scopes"]
            team = [s for s in scopes if s["kind"] == "team"][0]
            self.assertEqual(team["limits"]["requests_per_minute"], {"limit": 600, "used": 6})
            self.assertEqual(team["limits"]["budget_month"], {"limit": "1.50", "used": "0.90"})
            page = self.get(weir, "/admin/v1/limits", limit=1)
            self.assertEqual(len(page["scopes"]), 1)
            rest = self.get(weir, "/admin/v1/limits", after=page["next"])
            self.assertEqual(page["scopes"] + rest["scopes"], scopes)

    def test_prices(self):
        with self.weir(self.metered()) as weir:
            known = self.get(weir, "/admin/v1/prices", model="up/m")
            self.assertEqual(known["tiers"], [{"from_tokens": 0, "input": "1000", "output": "1000"}])
            self.assertFalse(self.get(weir, "/admin/v1/prices", model="up/other")["known"])
            self.get(weir, "/admin/v1/prices", 404, model="nobody/m")
            for token, status in (("viewer-token", 403), ("root-token", 400)):
                answer = ask(weir.admin, "POST", "/admin/v1/prices", {"Authorization": f"Bearer {token}"},
                             b'{"format": "something"}')
                self.assertEqual(answer.status, status, answer)
            self.assertFalse((weir.data / "prices.json").exists())
            table = {"format": "weir-prices", "version": 1, "date": "2026-10-01", "providers": []}
            answer = ask(weir.admin, "POST", "/admin/v1/prices", {"Authorization": "Bearer root-token"}, table)
            self.assertEqual((answer.status, answer.json()["table_date"]), (200, "2026-10-01"), answer)
            self.assertEqual(json.loads((weir.data / "prices.json").read_text()), table)


class Alerts(UsageCase):
    def alerting(self, hook, up, **named):
        return self.weir(up, f'alerts: {{webhook: "{hook.url}"}}\n', **named)

    def test_webhook(self):
        up, hook = self.metered(), self.receiver()
        with self.alerting(hook, up) as weir:
            self.spend(weir, 4)
            self.assertEqual(hook.got, [])
            self.spend(weir, 1)
            until("the half", lambda: len(hook.got) == 1)
            (request,) = hook.got
            self.assertEqual((request.method, request.path), ("POST", "/hook/?token=s3cret"))
            self.assertEqual(request.headers["content-type"], "application/json")
            m = request.json()
            self.assertEqual((m["event"], m["scope"], m["period"]),
                             ("budget.alert", {"kind": "team", "name": "search"}, "month"))
            self.assertEqual((m["threshold_percent"], m["limit_usd"], m["used_usd"]), (50, 1.5, 0.75))
            self.spend(weir, 3)
            until("80 percent", lambda: len(hook.got) == 2)
            self.spend(weir, 2)
            until("all of it", lambda: len(hook.got) == 3)
            self.assertEqual([x["threshold_percent"] for x in hook.messages()], [50, 80, 100])
            self.assertEqual(len(weir.said("budget.alert")), 3)
            self.assertNotIn("s3cret", weir.stderr())

    def test_retries(self):
        up, hook = self.metered(), self.receiver([None, "500 Oops", "302 Found"])
        with self.alerting(hook, up) as weir:
            self.spend(weir, 5)
            until("it is taken in the end", lambda: hook.got, 30)
            self.assertEqual(hook.tries, 4)
            self.assertGreaterEqual(len(weir.said("webhook.failed")), 3)
            self.assertNotIn("s3cret", weir.stderr())

    def test_once_across_restarts(self):
        up, hook = self.metered(), self.receiver()
        weir = self.alerting(hook, up)
        with weir:
            self.spend(weir, 5)
            until("the half", lambda: len(hook.got) == 1)
            self.wait_for_cost(weir, 750000000)
            weir.kill()
            (weir.folder / "stderr").unlink()
            weir.start()
            weir.reload()
            self.spend(weir, 1)
            until("it counts", lambda: self.get(weir, "/admin/v1/budgets")["budgets"][0]["used"] == "0.90")
            self.spend(weir, 2)
            until("80 percent", lambda: len(hook.got) == 2)
            self.assertEqual([x["threshold_percent"] for x in hook.messages()], [50, 80])

    def test_nothing_is_forgotten(self):
        """The receiver is away, the gateway is killed, both come back."""
        up, hook = self.metered(), self.receiver([None] * 1000)
        weir = self.alerting(hook, up)
        with weir:
            self.spend(weir, 5)
            until("it was tried", lambda: hook.tries > 0)
            self.wait_for_cost(weir, 750000000)
            weir.kill()
            (weir.folder / "stderr").unlink()
            hook.script.clear()
            weir.start()
            until("it is taken", lambda: len(hook.got) == 1)
            self.assertEqual(hook.messages()[0]["threshold_percent"], 50)

    def test_a_receiver_that_hangs_holds_nothing_up(self):
        up = self.metered()
        silent = Server(lambda sock, peer: sock.recv(65536) and threading.Event().wait(30))
        self.addCleanup(silent.close)
        with self.weir(up, f'alerts: {{webhook: "http://127.0.0.1:{silent.port}/"}}\n') as weir:
            self.spend(weir, 5)
            until("the alert", lambda: weir.said("budget.alert"))
            self.get(weir, "/admin/v1/budgets")
            self.spend(weir, 1)
            self.assertEqual(weir.stop(), 0)
