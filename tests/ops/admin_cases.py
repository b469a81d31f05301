"""The admin API: who may call it, over the socket and over TCP; pages of other origins; CORS of clients."""

import json
import os
import shutil
import socket
import stat
import subprocess
import sys
import unittest

from harness import CHAT, Case, Weir, ask, basic, chat, late, read_all, status_of, until

STATUS = "/admin/v1/status"
IS_ROOT = os.geteuid() == 0
OTHER = 65533
NOBODY = 65534


def raw(port, *lines, method="GET", path=STATUS):
    """The status and text of a request with exactly these header lines."""
    head = "".join(line + "\r\n" for line in (f"{method} {path} HTTP/1.1", *lines, "Connection: close", ""))
    with socket.create_connection(("127.0.0.1", port)) as s:
        s.sendall(head.encode())
        data = read_all(s)
    return status_of(data), data.decode()


class Socket(Case):
    def test_modes(self):
        with Weir(basic(self.upstream())) as weir:
            path = weir.data / "admin.sock"
            self.assertEqual(stat.S_IMODE(path.stat().st_mode), 0o600)
            self.assertEqual(stat.S_IMODE(weir.data.stat().st_mode), 0o700)
            status = ask(path, path=STATUS).json()
            self.assertEqual((status["pid"], status["phase"]), (weir.pid, "serving"))
            self.assertEqual(ask(path, path="/metrics").headers["content-type"].split(";")[0], "text/plain")

    def as_user(self, uid, path):
        """The status that this user gets; the file's own permissions are opened up first."""
        script = ("import http.client, socket, sys\n"
                  "c = http.client.HTTPConnection('localhost')\n"
                  "c.sock = socket.socket(socket.AF_UNIX)\n"
                  "c.sock.connect(sys.argv[1])\n"
                  f"c.request('GET', '{STATUS}')\n"
                  "print(c.getresponse().status)\n")
        done = subprocess.run(["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", "/usr/bin/env", "-i",
                               shutil.which("python3", path="/usr/bin:/bin") or sys.executable, "-c", script, str(path)],
                              capture_output=True, text=True, check=False, timeout=late(20))
        self.assertEqual(done.returncode, 0, done.stderr)
        return int(done.stdout)

    @unittest.skipUnless(IS_ROOT and shutil.which("setpriv"), "needs root and setpriv")
    def test_by_peer_uid(self):
        data, folder = self.folder(), self.folder()
        os.chown(data, NOBODY, NOBODY)
        folder.chmod(0o755)
        wrap = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
        with Weir(basic(self.upstream()), wrap=wrap, data=data, folder=folder) as weir:
            path = weir.data / "admin.sock"
            self.good(ask(path, path=STATUS))  # as root
            data.chmod(0o755)
            path.chmod(0o777)
            self.assertEqual(self.as_user(NOBODY, path), 200)
            self.assertEqual(self.as_user(OTHER, path), 401)

    @unittest.skipUnless(IS_ROOT and shutil.which("setpriv"), "needs root and setpriv")
    def test_other_users_do_not_reach_the_gateway_of_root(self):
        with Weir(basic(self.upstream())) as weir:
            weir.folder.chmod(0o755)
            weir.data.chmod(0o755)
            path = weir.data / "admin.sock"
            path.chmod(0o777)
            self.assertEqual(self.as_user(OTHER, path), 401)


class Tcp(Case):
    def weir(self, admin="127.0.0.1:{admin}", more=""):
        return Weir(basic(self.upstream(), f"admin: {admin}\n{more}"))

    def test_without_token_on_loopback(self):
        with self.weir() as weir:
            self.assertEqual(raw(weir.admin, f"Host: 127.0.0.1:{weir.admin}")[0], 200)
            self.assertEqual(raw(weir.admin, f"Host: localhost:{weir.admin}")[0], 200)
            self.assertEqual(raw(weir.admin, "Host: [::1]:1")[0], 200)

    def test_rebound_name(self):
        """A name of the attacker's that was made to mean 127.0.0.1."""
        with self.weir() as weir:
            for host in ("evil.example", f"evil.example:{weir.admin}", "127.0.0.1.evil.example", "localhost.evil.example",
                         "127.0.0.1@evil.example"):
                status = raw(weir.admin, f"Host: {host}")[0]
                self.assertIn(status, (400, 403), host)
            self.assertEqual(raw(weir.admin, "Host: evil.example", "Content-Length: 0", method="POST",
                                 path="/admin/v1/reload")[0], 403)
            self.assertEqual(weir.metric("weir_config_reloads_total"), 0)

    def test_other_origins(self):
        with self.weir() as weir:
            host = f"Host: 127.0.0.1:{weir.admin}"
            for origin in ("https://evil.example", "null", "http://127.0.0.1", f"http://localhost:{weir.admin}",
                           f"http://127.0.0.1:{weir.admin}.evil.example", f"http://evil.example/127.0.0.1:{weir.admin}"):
                status, text = raw(weir.admin, host, f"Origin: {origin}", "Content-Length: 0", method="POST",
                                   path="/admin/v1/reload")
                self.assertEqual(status, 403, origin)
                self.assertNotIn("access-control-allow", text.lower())
            self.assertEqual(raw(weir.admin, host, f"Origin: http://127.0.0.1:{weir.admin}")[0], 200)

    def test_preflight_is_refused(self):
        with self.weir() as weir:
            status, text = raw(weir.admin, f"Host: 127.0.0.1:{weir.admin}", "Origin: https://evil.example",
                               "Access-Control-Request-Method: POST", method="OPTIONS")
            self.assertEqual(status, 403)
            self.assertNotIn("access-control-allow", text.lower())

    def test_token(self):
        with self.weir("{listen: '127.0.0.1:{admin}', token: s3cret}") as weir:
            host = f"Host: 127.0.0.1:{weir.admin}"
            self.assertEqual(raw(weir.admin, host, "Authorization: Bearer s3cret")[0], 200)
            self.assertEqual(raw(weir.admin, host, "Authorization: bearer s3cret")[0], 200)
            for bad in ("Bearer s3cre", "Bearer s3cretx", "Bearer ", "Bearer", "s3cret", "Basic s3cret", "BearerXs3cret",
                        "Nearer s3cret"):
                status, text = raw(weir.admin, host, f"Authorization: {bad}")
                self.assertEqual(status, 401, bad)
                self.assertNotIn("version", text)
            self.assertEqual(raw(weir.admin, host)[0], 401)
            self.assertEqual(raw(weir.admin, host, path="/metrics")[0], 401)
            self.assertEqual(raw(weir.admin, host, path="/livez")[0], 200)
            self.assertEqual(raw(weir.admin, host, path="/readyz")[0], 200)

    def test_paths_and_methods(self):
        with self.weir() as weir:
            host = f"Host: 127.0.0.1:{weir.admin}"
            self.assertEqual(raw(weir.admin, host, path="/admin/v1/nothing")[0], 404)
            self.assertEqual(raw(weir.admin, host, path="/admin/v1/reload")[0], 405)
            self.assertEqual(raw(weir.admin, host, method="HEAD")[0], 200)

    def test_off_loopback_with_token_and_tls(self):
        authority = self.authority()
        cert, key = authority.issue("admin")
        admin = f"{{listen: '0.0.0.0:{{admin}}', token: s3cret, tls: {{cert: {cert}, key: {key}}}}}"
        with self.weir(admin) as weir:
            tls = authority.client()
            self.assertEqual(ask(("localhost", weir.admin), path=STATUS, tls=tls).status, 401)
            self.good(ask(("localhost", weir.admin), path=STATUS, tls=tls, headers={"Authorization": "Bearer s3cret"}))


class Metrics(Case):
    def test_by_name_from_elsewhere(self):
        """Prometheus asks by the name of a service, which is no rebinding where everybody may ask."""
        text = "metrics: 0.0.0.0:{metrics}\n"
        with Weir(basic(self.upstream(), text)) as weir:
            self.good(chat(weir.port))
            until("it is counted", lambda: weir.metric('llm_requests_total{model="m",status="200"}') == 1)
            status, body = raw(weir.metrics_port, "Host: weir.llm.svc:8082", path="/metrics")
            self.assertEqual(status, 200)
            self.assertIn('llm_requests_total{model="m",status="200"} 1', body)

    def test_rebinding_on_loopback(self):
        with Weir(basic(self.upstream(), "metrics: 127.0.0.1:{metrics}\n")) as weir:
            self.assertEqual(raw(weir.metrics_port, "Host: evil.example", path="/metrics")[0], 403)
            self.assertEqual(raw(weir.metrics_port, "Host: localhost", path="/metrics")[0], 200)

    def test_nothing_else_there(self):
        with Weir(basic(self.upstream(), "metrics: 0.0.0.0:{metrics}\n")) as weir:
            for path in (STATUS, "/admin/v1/reload", CHAT, "/"):
                self.assertEqual(raw(weir.metrics_port, "Host: x", path=path)[0], 404, path)

    def test_build_info(self):
        with Weir(basic(self.upstream())) as weir:
            version = weir.command("version")[1].split()[1]
            self.assertEqual(weir.metric(f'weir_build_info{{version="{version}"}}'), 1)

    def test_health(self):
        """`weir health` is what a container's health check runs: there is no curl in the image."""
        with Weir(basic(self.upstream())) as weir:
            self.assertEqual(weir.command("health", "--data", weir.data), (0, "ok\n", ""))
            weir.stop()
            code, out, err = weir.command("health", "--data", weir.data)
            self.assertEqual((code, out), (1, ""))
            self.assertIn("admin.sock", err)


class Cors(Case):
    """Browsers at the client port: off unless configured."""

    def preflight(self, weir, origin):
        return raw(weir.port, "Host: x", f"Origin: {origin}", "Access-Control-Request-Method: POST",
                   "Access-Control-Request-Headers: authorization,content-type", method="OPTIONS", path=CHAT)

    def test_off(self):
        with Weir(basic(self.upstream())) as weir:
            status, text = self.preflight(weir, "https://app.example")
            self.assertEqual(status, 405)
            self.assertNotIn("access-control-allow", text.lower())
            answer = chat(weir.port, headers={"Origin": "https://app.example"})
            self.assertNotIn("access-control-allow-origin", answer.headers)

    def test_listed_origin(self):
        with Weir(basic(self.upstream(), "cors: {origins: [https://app.example]}\n")) as weir:
            status, text = self.preflight(weir, "https://app.example")
            self.assertEqual(status, 204)
            self.assertIn("access-control-allow-origin: https://app.example\r\n", text.lower())
            self.assertRegex(text.lower(), r"access-control-allow-headers: .*authorization")
            answer = chat(weir.port, headers={"Origin": "https://app.example"})
            self.assertEqual(answer.headers["access-control-allow-origin"], "https://app.example")
            self.assertEqual(answer.headers["vary"], "Origin")
            for origin in ("https://evil.example", "https://app.example.evil", "http://app.example", "null"):
                status, text = self.preflight(weir, origin)
                self.assertEqual(status, 405, origin)
                self.assertNotIn("access-control-allow", text.lower(), origin)

    def test_errors_can_be_read_too(self):
        with Weir(basic(self.upstream(), "cors: {origins: ['*']}\n")) as weir:
            answer = ask(weir.port, "POST", CHAT, {"Origin": "https://any.example"}, b"{")
            self.assertEqual(answer.status, 400)
            self.assertEqual(answer.headers["access-control-allow-origin"], "https://any.example")
            self.assertIn("error", json.loads(answer.body))
