"""Keys that are issued while Weir runs: the admin API, roles, `weir key`, and what counts from when on."""

import hashlib
import json
import socket
import sqlite3

from harness import CHAT, Case, Weir, ask, basic, chat, connect, until

KEYS = "/admin/v1/keys"
FILE_SECRET = "wk-of-the-file-0123456789"


def bearer(secret):
    return {"Authorization": f"Bearer {secret}"}


class KeyCase(Case):
    def weir(self, more="", workers=4):
        return Weir(basic(self.upstream(), f"""workers: {workers}
auth: keys
plans: {{free: {{limits: {{requests_per_minute: 100000}}}}}}
teams: {{search: {{plan: free}}}}
keys: {{of-file: {{secret: {FILE_SECRET}, team: search}}}}
{more}"""))

    def api(self, weir, method, path="", body=None, status=200):
        answer = ask(weir.data / "admin.sock", method, KEYS + path, body=body)
        self.assertEqual(answer.status, status, answer)
        return answer.json()

    def create(self, weir, name="ci", **rights):
        return self.api(weir, "POST", body={"name": name, **rights}, status=201)["secret"]

    def accepted(self, weir, secret, keep=None):
        """Does the next request pass?"""
        answer = chat(weir.port, headers=bearer(secret), keep=keep)
        self.assertIn(answer.status, (200, 401), answer)
        return answer.status == 200


class Life(KeyCase):
    def connections(self, weir, secret, n=48):
        """So many open connections, each of which has been served: with 48 none of four workers is without."""
        made = []
        for _ in range(n):
            made.append(connect(weir.port))
            self.addCleanup(made[-1].close)
            self.assertTrue(self.accepted(weir, secret, made[-1]))
        return made

    def test_counts_at_once_on_all_workers(self):
        with self.weir() as weir:
            secret = self.create(weir, team="search")
            open_ones = self.connections(weir, secret)
            for change, expected in (("/ci/disable", False), ("/ci/enable", True), ("/ci/disable", False)):
                self.api(weir, "POST", change)
                self.assertEqual({self.accepted(weir, secret, c) for c in open_ones}, {expected}, change)
            self.assertTrue(self.accepted(weir, FILE_SECRET))

    def test_deleted_at_once(self):
        with self.weir() as weir:
            secret = self.create(weir)
            open_ones = self.connections(weir, secret)
            self.api(weir, "DELETE", "/ci")
            self.assertEqual({self.accepted(weir, secret, c) for c in open_ones}, {False})
            again = self.create(weir)  # the name is free again, and the old secret is not
            self.assertTrue(self.accepted(weir, again))
            self.assertFalse(self.accepted(weir, secret))

    def test_rotation(self):
        with self.weir() as weir:
            first = self.create(weir)
            second = self.api(weir, "POST", "/ci/rotate", {"overlap": "2s"})["secret"]
            self.assertTrue(self.accepted(weir, first))
            self.assertTrue(self.accepted(weir, second))
            until("the overlap ends", lambda: not self.accepted(weir, first))
            self.assertTrue(self.accepted(weir, second))
            third = self.api(weir, "POST", "/ci/rotate", {"overlap": "0"})["secret"]
            self.assertEqual([self.accepted(weir, s) for s in (first, second, third)], [False, False, True])

    def test_two_rotations_leave_two_secrets(self):
        with self.weir() as weir:
            first = self.create(weir)
            second = self.api(weir, "POST", "/ci/rotate", {"overlap": "1h"})["secret"]
            third = self.api(weir, "POST", "/ci/rotate", {"overlap": "1h"})["secret"]
            self.assertEqual([self.accepted(weir, s) for s in (first, second, third)], [False, True, True])
            self.api(weir, "POST", "/ci/disable")
            self.assertEqual([self.accepted(weir, s) for s in (second, third)], [False, False])

    def test_expires(self):
        with self.weir() as weir:
            secret = self.create(weir, expires="2s")
            self.assertTrue(self.accepted(weir, secret))
            until("it expires", lambda: not self.accepted(weir, secret))
            self.api(weir, "PATCH", "/ci", {"expires": None})
            self.assertTrue(self.accepted(weir, secret))
            self.api(weir, "PATCH", "/ci", {"expires": "2020-01-01"})
            self.assertFalse(self.accepted(weir, secret))

    def test_survives_reload_and_restart(self):
        with self.weir() as weir:
            kept, rotated, gone = (self.create(weir, name) for name in ("kept", "rotated", "gone"))
            new = self.api(weir, "POST", "/rotated/rotate", {"overlap": "1h"})["secret"]
            self.api(weir, "DELETE", "/gone")
            want = [True, True, True, False]
            self.assertEqual(weir.reload()[0], 0)
            self.assertEqual([self.accepted(weir, s) for s in (kept, rotated, new, gone)], want)
            self.api(weir, "POST", "/kept/disable")
            self.assertEqual(weir.reload()[0], 0)
            self.assertFalse(self.accepted(weir, kept))
            weir.kill()  # what was answered was durable
            weir.folder.joinpath("stderr").write_text("")
            weir.ended = None
            weir.start()
            want[0] = False
            self.assertEqual([self.accepted(weir, s) for s in (kept, rotated, new, gone)], want)

    def test_rights_change_at_once(self):
        with self.weir("models: {m: {targets: [up/m]}, other: {targets: [up/other]}}") as weir:
            secret = self.create(weir, models=["m"])
            self.good(chat(weir.port, headers=bearer(secret)))
            self.assertNotEqual(chat(weir.port, "other", headers=bearer(secret)).status, 200)
            self.api(weir, "PATCH", "/ci", {"models": ["other"]})
            self.good(chat(weir.port, "other", headers=bearer(secret)))
            self.assertNotEqual(chat(weir.port, headers=bearer(secret)).status, 200)

    def test_foreign_digest(self):
        with self.weir() as weir:
            secret = "sk-minted-elsewhere"
            digest = hashlib.sha256(secret.encode()).hexdigest()
            made = self.api(weir, "POST", body={"name": "old", "sha256": digest}, status=201)
            self.assertNotIn("secret", made)
            self.assertTrue(self.accepted(weir, secret))
            self.assertFalse(self.accepted(weir, digest))


class Secrets(KeyCase):
    def test_kept_nowhere(self):
        with self.weir("admin: 127.0.0.1:{admin}\n") as weir:
            secrets = [self.create(weir, "a"), self.create(weir, "b", note="x")]
            secrets.append(self.api(weir, "POST", "/a/rotate", {"overlap": "1h"})["secret"])
            for s in secrets:
                self.assertTrue(self.accepted(weir, s))
            self.assertEqual(chat(weir.port, headers=bearer(secrets[0] + "x")).status, 401)
            weir.last_access(4)
            digests = [hashlib.sha256(s.encode()).hexdigest() for s in secrets]
            said = [ask(weir.admin, path=p).body.decode() for p in
                    (KEYS, KEYS + "/a", KEYS + "/of-file", "/admin/v1/status", "/metrics")]
            said += [weir.stderr(), weir.text("stdout"), *weir.command("key", "list", "--json", "--data", weir.data)[1:]]
            for text in said:
                for hidden in (*secrets, *digests, FILE_SECRET):
                    self.assertNotIn(hidden, text)
            files = [p.read_bytes() for p in weir.data.rglob("*") if p.is_file()]
            for s in (*secrets, FILE_SECRET):
                self.assertFalse([b for b in files if s.encode() in b])
            modes = {p.stat().st_mode & 0o077 for p in weir.data.glob("keys.db*")}
            self.assertEqual(modes, {0})

    def test_store_of_a_newer_version(self):
        with self.weir() as weir:
            self.create(weir)
            self.assertEqual(weir.stop(), 0)
            with sqlite3.connect(weir.data / "keys.db") as db:
                db.execute("PRAGMA user_version = 99")
            db.close()
            weir.launch()
            self.assertEqual(weir.wait(), 1)
            self.assertIn("version 99", weir.stderr())


class Roles(KeyCase):
    TOKENS = {"admin": "t-admin", "operator": "t-operator", "viewer": "t-viewer"}

    def guarded(self):
        listen = "listen: '127.0.0.1:{admin}', token: t-admin, operator_token: t-operator, viewer_token: t-viewer"
        return self.weir("admin: {" + listen + "}\n")

    def status(self, weir, role, method, path, body=None):
        headers = bearer(self.TOKENS[role]) if role else {}
        return ask(weir.admin, method, path, headers, body).status

    def test_who_may_what(self):
        with self.guarded() as weir:
            self.create(weir)
            rows = (  # least role, method, path, body, status when allowed
                ("viewer", "GET", "/admin/v1/status", None, 200),
                ("viewer", "GET", "/metrics", None, 200),
                ("viewer", "GET", KEYS, None, 200),
                ("viewer", "GET", KEYS + "/ci", None, 200),
                ("operator", "POST", "/admin/v1/reload", None, 200),
                ("operator", "POST", "/admin/v1/logs/reopen", None, 200),
                ("operator", "POST", KEYS + "/ci/disable", None, 200),
                ("operator", "POST", KEYS + "/ci/enable", None, 200),
                ("admin", "PATCH", KEYS + "/ci", {"note": "n"}, 200),
                ("admin", "POST", KEYS + "/ci/rotate", {}, 200),
                ("admin", "POST", KEYS, {"name": "new"}, 201),
                ("admin", "DELETE", KEYS + "/ci", None, 200),
            )
            order = ["viewer", "operator", "admin"]
            for least, method, path, body, good in rows:
                self.assertEqual(self.status(weir, None, method, path, body), 401, path)
                for role in order:
                    allowed = order.index(role) >= order.index(least)
                    self.assertEqual(self.status(weir, role, method, path, body), good if allowed else 403,
                                     (role, method, path))
            self.assertEqual(ask(weir.admin, path=KEYS, headers=bearer("t-adminx")).status, 401)
            self.assertEqual(ask(weir.admin, path="/livez").status, 200)

    def test_what_a_refusal_says(self):
        with self.guarded() as weir:
            answer = ask(weir.admin, "POST", KEYS, bearer("t-viewer"), {"name": "x"})
            self.assertEqual(answer.status, 403)
            message = answer.json()["error"]["message"]
            self.assertIn("`admin`", message)
            self.assertIn("`viewer`", message)
            answer = ask(weir.admin, path=KEYS)
            self.assertEqual((answer.status, answer.headers["www-authenticate"]), (401, "Bearer"))


class Requests(KeyCase):
    """What the router makes of paths, methods and bodies."""

    def test_paths_and_methods(self):
        with self.weir() as weir:
            self.create(weir, "a.b")
            where = weir.data / "admin.sock"
            self.assertEqual(ask(where, path=KEYS + "/a%2Eb").json()["name"], "a.b")
            for path in (KEYS + "/", KEYS + "/a.b/", KEYS + "/a.b/none", KEYS + "x", KEYS + "/a.b/rotate/x"):
                self.assertEqual(ask(where, path=path).status, 404, path)
            self.assertEqual(ask(where, path=KEYS + "/%zz").status, 400)
            answer = ask(where, "PUT", KEYS + "/a.b", body={})
            self.assertEqual((answer.status, answer.headers["allow"]), (405, "GET, PATCH, DELETE"))
            self.assertEqual(ask(where, "HEAD", KEYS).body, b"")

    def test_bodies(self):
        with self.weir() as weir:
            where = weir.data / "admin.sock"
            for body in (b"", b"{", b"[]", b'{"name": "x", "name": "y"}', b'{"name": 1}', b'"x"', b"\xff"):
                self.assertEqual(ask(where, "POST", KEYS, body=body).status, 400, body)
            long = json.dumps({"name": "x", "note": "y" * (1 << 20)}).encode()
            self.assertEqual(ask(where, "POST", KEYS, body=long).status, 413)
            self.assertEqual(self.in_chunks(where, long[:600000], long[600000:]), 413)
            self.assertEqual(self.in_chunks(where, b'{"name"', b': "x"}'), 201)

    def in_chunks(self, where, *pieces):
        conn = connect(where)
        self.addCleanup(conn.close)
        conn.request("POST", KEYS, iter(pieces), {"Transfer-Encoding": "chunked"}, encode_chunked=True)
        return conn.getresponse().status

    def test_half_a_body(self):
        """The client leaves, or the gateway ends, before a body is whole: nothing is made, nothing leaks."""
        with self.weir("admin: 127.0.0.1:{admin}\n") as weir:
            head = (f"POST {KEYS} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n" + '{"name": "half"').encode()
            with socket.create_connection(("127.0.0.1", weir.admin)) as left, \
                    socket.create_connection(("127.0.0.1", weir.admin)) as stays:
                for s in (left, stays):
                    s.sendall(head)
                left.close()
                self.api(weir, "GET", "/half", status=404)
                self.assertEqual(weir.stop(), 0)

    def test_what_does_not_fit(self):
        with self.weir() as weir:
            for rights, part in (({"plan": "fre"}, "did you mean `free`?"), ({"modls": ["m"]}, "did you mean `models`?"),
                                 ({"limits": {"requests_per_minute": -1}}, "requests_per_minute"),
                                 ({"limits": {"budget": {"month": "lots"}}}, "month"), ({"max_tokens": 1e99}, "max_tokens"),
                                 ({"expires": "soon"}, "expires"), ({"networks": ["10.0.0.0/99"]}, "networks")):
                answer = ask(weir.data / "admin.sock", "POST", KEYS, body={"name": "ci", **rights})
                self.assertIn(answer.status, (400, 422), answer)
                self.assertIn(part, answer.json()["error"]["message"], answer)
            self.api(weir, "GET", "/ci", status=404)

    def test_browser_pages_cannot_make_keys(self):
        with self.weir("admin: 127.0.0.1:{admin}\n") as weir:
            answer = ask(weir.admin, "POST", KEYS, {"Origin": "https://evil.example"}, {"name": "x"})
            self.assertEqual(answer.status, 403)
            self.api(weir, "GET", "/x", status=404)

    def test_pages(self):
        with self.weir() as weir:
            for i in range(7):
                self.create(weir, f"k{i}")
            names, after = [], ""
            while after is not None:
                page = self.api(weir, "GET", f"?limit=3&after={after}")
                self.assertLessEqual(len(page["keys"]), 3)
                names += [k["name"] for k in page["keys"]]
                after = page["next"]
            self.assertEqual(names, [f"k{i}" for i in range(7)] + ["of-file"])


class Cli(KeyCase):
    def key(self, weir, *args, code=0):
        got, out, err = weir.command("key", *args, "--data", weir.data)
        self.assertEqual(got, code, (args, out, err))
        return out, err

    def test_life(self):
        with self.weir() as weir:
            out, err = self.key(weir, "create", "ci", "--team", "search", "--models", "m,up/*", "--budget-month", "50",
                                "--rpm", "600", "--expires", "90d", "--note", "for the build")
            secret = out.strip()
            self.assertRegex(secret, r"^wk-[0-9A-Za-z]{43}$")
            self.assertNotIn(secret, err)
            self.assertTrue(self.accepted(weir, secret))
            shown = json.loads(self.key(weir, "show", "ci", "--json")[0])
            self.assertEqual(shown["models"], ["m", "up/*"])
            self.assertEqual(shown["limits"]["requests_per_minute"], 600)
            self.assertEqual(float(shown["limits"]["budget"]["month"]), 50)
            self.assertIn("for the build", self.key(weir, "show", "ci")[0])
            self.assertRegex(self.key(weir, "list")[0], r"ci +wk-\S+ +search +active +20\S+ +600 rpm, \$50/month\n")
            self.key(weir, "update", "ci", "--rpm", "none", "--tpm", "1000000")
            self.assertNotIn("requests_per_minute", self.key(weir, "show", "ci")[0])
            new = self.key(weir, "rotate", "ci", "--overlap", "0")[0].strip()
            self.assertFalse(self.accepted(weir, secret))
            self.key(weir, "disable", "ci")
            self.assertFalse(self.accepted(weir, new))
            self.assertRegex(self.key(weir, "list")[0], r"ci +wk-.* disabled")
            self.key(weir, "enable", "ci")
            self.assertTrue(self.accepted(weir, new))
            self.key(weir, "delete", "ci")
            self.assertFalse(self.accepted(weir, new))

    def test_mistakes(self):
        with self.weir() as weir:
            self.assertIn("did you mean `create`?", self.key(weir, "creat", "x", code=2)[1])
            self.assertIn("which key?", self.key(weir, "create", code=2)[1])
            self.assertIn("what is to change?", self.key(weir, "update", "x", code=2)[1])
            self.assertIn("--rpm", self.key(weir, "create", "x", "--rpm", "-5", code=2)[1])
            self.assertIn("there is no key `x`", self.key(weir, "show", "x", code=1)[1])
            self.assertIn("configuration file", self.key(weir, "delete", "of-file", code=1)[1])
            self.assertIn("did you mean `free`?", self.key(weir, "create", "x", "--plan", "fre", code=1)[1])
            weir.stop()
            self.assertIn("no gateway answers", self.key(weir, "list", code=1)[1])

    def test_over_tcp(self):
        listen = "admin: {listen: '127.0.0.1:{admin}', token: t-admin, viewer_token: t-viewer}\n"
        with self.weir(listen) as weir:
            env = {"WEIR_ADMIN_URL": f"http://127.0.0.1:{weir.admin}", "WEIR_ADMIN_TOKEN": "t-admin"}
            code, out, err = weir.command("key", "create", "ci", **env)
            self.assertEqual(code, 0, err)
            self.assertTrue(self.accepted(weir, out.strip()))
            env["WEIR_ADMIN_TOKEN"] = "t-viewer"
            self.assertEqual(weir.command("key", "list", **env)[0], 0)
            code, _, err = weir.command("key", "delete", "ci", **env)
            self.assertEqual(code, 1)
            self.assertIn("`admin`", err)


class Import(KeyCase):
    """`weir import litellm` beside a running gateway: its clients notice nothing."""

    def test_keys_count_at_once(self):
        with self.weir() as weir:
            secrets = {"ci": "sk-of-the-build", "off": "sk-blocked", "stray": "sk-of-no-team"}
            rows = [{"token": hashlib.sha256(s.encode()).hexdigest(), "key_alias": name, "blocked": name == "off",
                     "team_id": "search" if name != "stray" else "unknown"} for name, s in secrets.items()]
            config, keys = weir.folder / "litellm.yaml", weir.folder / "keys.json"
            config.write_text("model_list: [{model_name: m, litellm_params: {model: hosted_vllm/m, "
                              "api_base: 'http://127.0.0.1:1/v1'}}]\n")
            keys.write_text(json.dumps(rows))
            code, _, err = weir.command("import", "litellm", config, "--keys", keys, "-o", weir.folder / "new.yaml",
                                        "--data", weir.data)
            self.assertEqual(code, 1, err)
            self.assertRegex(err, r"keys\.json:1: key `stray`: .*no such team")
            self.assertEqual([self.accepted(weir, secrets[n]) for n in ("ci", "off", "stray")], [True, False, False])
            for secret in secrets.values():
                self.assertNotIn(secret, err)


class Paths(KeyCase):
    def test_the_client_port_has_no_admin_api(self):
        with self.weir() as weir:
            for path in (KEYS, "/admin/v1/status"):
                self.assertEqual(ask(weir.port, path=path, headers=bearer(FILE_SECRET)).status, 404)
            self.assertEqual(ask(weir.port, "POST", CHAT, {}, {}).status, 401)
