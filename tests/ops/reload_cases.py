"""Reload: good and bad files, by signal, command and file change, and what comes into force with it."""

import os
import signal
import socket
import threading

from harness import ENGINE_STUB, Authority, Case, Stream, Weir, alive, ask, basic, chat, connect, read_all, until

TWO = """providers:
  up: {{type: vllm, url: "{0}", models: [m]}}
  other: {{type: vllm, url: "{0}", models: [n]}}
"""


class File(Case):
    def bad(self, weir):
        weir.write(weir.config.read_text().replace("providers:", "provider:\n") + "log: {level: loud}\n")

    def test_command(self):
        up = self.upstream()
        with Weir(basic(up)) as weir:
            self.error_code(chat(weir.port, "fresh"), 404, "model_not_found")
            weir.write("listen: 127.0.0.1:{port}\nexpose: []\nmodels: {fresh: {targets: [up/x]}}\n"
                       + TWO.format(up.url))
            code, out, _ = weir.reload()
            self.assertEqual((code, out), (0, "reloaded\n"))
            self.good(chat(weir.port, "fresh"))
            self.error_code(chat(weir.port, "m"), 404, "model_not_found")
            self.assertEqual(up.requests[-1].json()["model"], "x")

    def test_bad_file_changes_nothing(self):
        with Weir(basic(self.upstream())) as weir:
            self.bad(weir)
            code, out, err = weir.reload()
            self.assertEqual((code, out), (1, ""))
            lines = err.splitlines()
            self.assertGreaterEqual(len(lines), 2, err)
            for line in lines:
                self.assertRegex(line, r"^\S*weir\.yaml:\d+:\d+: ")
            refused = [event["text"] for event in weir.said("reload.refused")]
            for line in lines:
                self.assertIn(line, refused)
            self.good(chat(weir.port))
            self.assertEqual(weir.metric("weir_config_reloads_refused_total"), weir.metric("weir_config_reloads_total") + 1)

    def test_signal_and_bad_file(self):
        with Weir(basic(self.upstream())) as weir:
            weir.config.unlink()
            weir.signal(signal.SIGHUP)
            until("it is refused", lambda: weir.said("reload.refused", str(weir.config)))
            self.good(chat(weir.port))

    def test_secret_missing(self):
        """A variable or file that is not there refuses the reload, and its name is said."""
        text = basic(self.upstream())
        with Weir(text) as weir:
            weir.write(text + 'keys: {a: {secret: "${NOT_SET_ANYWHERE}"}}\n')
            code, _, err = weir.reload()
            self.assertEqual(code, 1)
            self.assertIn("NOT_SET_ANYWHERE", err)
            self.good(chat(weir.port))

    def test_written_in_place(self):
        up = self.upstream()
        with Weir(basic(up, "models: {old: {targets: [up/x]}}\n")) as weir:
            weir.write(basic(up, "models: {fresh: {targets: [up/y]}}\n"))
            until("the file is read again", lambda: weir.said("reload.done"))
            self.good(chat(weir.port, "fresh"))

    def test_replaced_by_rename(self):
        up = self.upstream()
        with Weir(basic(up)) as weir:
            fresh = weir.folder / "fresh"
            for i in range(3):
                fresh.write_text(weir.fill(basic(up, f"models: {{v{i}: {{targets: [up/v{i}]}}}}\n")), "utf-8")
                os.rename(fresh, weir.config)
                until("the file is read again", lambda n=i: len(weir.said("reload.done")) > n)
                self.good(chat(weir.port, f"v{i}"))
            self.assertEqual(up.requests[-1].json()["model"], "v2")

    def test_kubernetes_swaps_a_link(self):
        """A ConfigMap volume: weir.yaml -> ..data/weir.yaml, ..data -> ..<time>, replaced by rename."""
        up = self.upstream()
        weir = Weir("", folder=self.folder())
        mount = weir.folder / "mount"
        mount.mkdir()
        weir.config = mount / "weir.yaml"

        def publish(n, text):
            (mount / f"..{n}").mkdir()
            (mount / f"..{n}" / "weir.yaml").write_text(weir.fill(text), "utf-8")
            os.symlink(f"..{n}", mount / "..data_tmp")
            os.rename(mount / "..data_tmp", mount / "..data")

        publish(1, basic(up, "models: {one: {targets: [up/one]}}\n"))
        os.symlink("..data/weir.yaml", weir.config)
        with weir:
            self.good(chat(weir.port, "one"))
            publish(2, "nonsense: true\n")
            until("the bad one is refused", lambda: weir.said("reload.refused", "nonsense"))
            self.good(chat(weir.port, "one"))
            publish(3, basic(up, "models: {three: {targets: [up/x3]}}\n"))
            until("the good one is read", lambda: weir.said("reload.done"))
            self.good(chat(weir.port, "three"))
            self.assertEqual(up.requests[-1].json()["model"], "x3")
            self.assertEqual(len(weir.said("reload.done")), 1, "once for each swap")

    def test_what_needs_a_restart_is_said(self):
        up = self.upstream()
        with Weir(basic(up)) as weir:
            weir.write(basic(up, "limits: {connections: 7}\n"))
            self.assertEqual(weir.reload()[0], 0)
            until("it is said", lambda: weir.said("reload.partial"))


class Flight(Case):
    def test_streams_go_on_with_what_they_began_with(self):
        first, second = self.upstream(), self.upstream()
        first.hold = True
        with Weir(basic(first, "workers: 2\n")) as weir:
            streams = [Stream(weir.port).open() for _ in range(4)]
            weir.write(basic(second, "workers: 2\n"))
            self.assertEqual(weir.reload()[0], 0)
            until("new requests go elsewhere", lambda: chat(weir.port).status == 200 and second.requests)
            first.go.set()
            for stream in streams:
                self.assertTrue(stream.rest().endswith("data: [DONE]\n\n"))

    def test_under_load(self):
        """Forty reloads, and no request notices."""
        up = self.upstream()
        bad, stop = [], threading.Event()

        def load(port):
            keep = connect(port)
            while not stop.is_set():
                answer = chat(port, "alias", keep=keep)
                if answer.status != 200:
                    bad.append(answer)

        def text(n):
            return basic(up, f"workers: 2\nmodels: {{alias: {{targets: [up/x{n}]}}}}\n")

        with Weir(text(0)) as weir:
            threads = [threading.Thread(target=load, args=(weir.port,)) for _ in range(4)]
            for t in threads:
                t.start()
            for i in range(40):
                weir.write(text(i))
                weir.reload()
            stop.set()
            for t in threads:
                t.join()
            self.assertEqual(bad, [])
            self.assertEqual(weir.metric("weir_config_reloads_refused_total"), 0)


class Engines(Case):
    def config(self, **engines):
        rows = ", ".join(f"{name}: {{model: {ENGINE_STUB}, binary: {ENGINE_STUB}{more}}}" for name, more in engines.items())
        return f"listen: 127.0.0.1:{{port}}\nengines: {{{rows}}}\n"

    def pids(self, weir):
        """{name: pid} of the engines that are up."""
        rows = ask(weir.data / "admin.sock", path="/admin/v1/status").json()["engines"]
        return {row["name"]: row["pid"] for row in rows if row["pid"]}

    def test_added_removed_changed_and_left_alone(self):
        with Weir(self.config(kept="", gone="", changed="")) as weir:
            for name in ("kept", "gone", "changed"):
                self.good(chat(weir.port, name))
            before = self.pids(weir)
            self.assertEqual(set(before), {"kept", "gone", "changed"})
            weir.write(self.config(kept="", changed=", slots: 2", added=""))
            self.assertEqual(weir.reload()[0], 0)
            for name in ("kept", "added", "changed"):
                until(f"{name} serves", lambda n=name: chat(weir.port, n).status == 200)
            self.error_code(chat(weir.port, "gone"), 404, "model_not_found")
            until("what is not wanted has ended", lambda: not alive(before["gone"]) and not alive(before["changed"]))
            after = self.pids(weir)
            self.assertEqual(after["kept"], before["kept"])
            self.assertEqual(set(after), {"kept", "added", "changed"})


def subject(port, authority):
    """The subject of the certificate that a new handshake sees."""
    with socket.create_connection(("127.0.0.1", port)) as raw:
        with authority.client().wrap_socket(raw, server_hostname="localhost") as s:
            return dict(x[0] for x in s.getpeercert()["subject"])["commonName"]


class Certificates(Case):
    def weir(self, authority, up):
        cert, key = authority.issue("old")
        folder = self.folder()
        for source, name in ((cert, "tls.crt"), (key, "tls.key")):
            (folder / name).write_bytes(source.read_bytes())
        listen = f"listen: [{{address: '127.0.0.1:{{port}}', tls: {{cert: {folder}/tls.crt, key: {folder}/tls.key}}}}]\n"
        return folder, Weir(listen + "workers: 2\n" + basic(up).split("\n", 1)[1])

    def test_renewed(self):
        authority, up = self.authority(), self.upstream()
        up.hold = True
        folder, weir = self.weir(authority, up)
        with weir:
            self.assertEqual(subject(weir.port, authority), "old")
            kept = connect(weir.port, authority.client())
            kept.host = "localhost"
            self.good(chat(weir.port, keep=kept))
            stream = Stream(weir.port, authority.client()).open()
            cert, key = authority.issue("new")
            (folder / "tls.crt").write_bytes(cert.read_bytes())
            (folder / "tls.key").write_bytes(key.read_bytes())
            self.assertEqual(weir.reload()[0], 0)
            seen = [until("the new one is shown", lambda: subject(weir.port, authority) == "new")
                    for _ in range(8)]
            self.assertTrue(all(seen))
            self.good(chat(weir.port, keep=kept))
            up.go.set()
            self.assertTrue(stream.rest().endswith("data: [DONE]\n\n"))

    def test_session_of_the_old_one_still_gets_in(self):
        """A ticket from before the reload means a full handshake at worst, never a failure."""
        authority, up = self.authority(), self.upstream()
        _, weir = self.weir(authority, up)
        with weir:
            tls = authority.client()
            with socket.create_connection(("127.0.0.1", weir.port)) as raw:
                with tls.wrap_socket(raw, server_hostname="localhost") as s:
                    s.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                    read_all(s)
                    session = s.session
            self.assertEqual(weir.reload()[0], 0)
            with socket.create_connection(("127.0.0.1", weir.port)) as raw:
                with tls.wrap_socket(raw, server_hostname="localhost", session=session) as s:
                    s.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                    self.assertIn(b"200 OK", read_all(s))

    def test_bad_pair_is_refused(self):
        authority, up = self.authority(), self.upstream()
        folder, weir = self.weir(authority, up)
        with weir:
            _, key = authority.issue("stranger")
            (folder / "tls.key").write_bytes(key.read_bytes())
            code, _, err = weir.reload()
            self.assertEqual(code, 1)
            self.assertIn("tls.", err)
            self.assertEqual(subject(weir.port, authority), "old")

    def test_days_left(self):
        authority, up = self.authority(), self.upstream()
        _, weir = self.weir(authority, up)
        with weir:
            days = [v for k, v in weir.metrics().items() if k.startswith("weir_tls_certificate_days_left{")]
            self.assertEqual(len(days), 1)
            self.assertTrue(28 <= days[0] <= 31, days)


class Admin(Case):
    """Credentials of the admin port follow the file as well."""

    def test_token_and_certificate(self):
        authority, up, folder = self.authority(), self.upstream(), self.folder()
        admin = (f"admin: {{listen: '127.0.0.1:{{admin}}', token: 'file:{folder}/token', "
                 f"tls: {{cert: {folder}/tls.crt, key: {folder}/tls.key}}}}\n")

        def put(token, name):
            (folder / "token").write_text(token + "\n", "utf-8")
            (folder / "token").chmod(0o600)
            for source, target in zip(authority.issue(name), ("tls.crt", "tls.key")):
                (folder / target).write_bytes(source.read_bytes())

        def status(token):
            return ask(("localhost", weir.admin), path="/admin/v1/status", tls=authority.client(),
                       headers={"Authorization": f"Bearer {token}"}).status

        put("old-token", "old")
        with Weir(basic(up, admin)) as weir:
            self.assertEqual((status("old-token"), subject(weir.admin, authority)), (200, "old"))
            put("new-token", "new")
            self.assertEqual(weir.reload()[0], 0)
            self.assertEqual((status("new-token"), status("old-token")), (200, 401))
            self.assertEqual(subject(weir.admin, authority), "new")
            (folder / "tls.key").write_bytes(authority.issue("stranger")[1].read_bytes())
            (folder / "token").write_text("third-token\n", "utf-8")
            code, _, err = weir.reload()
            self.assertEqual(code, 1)
            self.assertIn("admin.tls: ", err)
            self.assertEqual((status("new-token"), status("third-token")), (200, 401), "all or nothing")
            self.assertTrue([k for k in weir.metrics() if k.startswith("weir_tls_certificate_days_left{")])


    def test_another_address_waits_for_a_restart(self):
        """What is enough for loopback must not open a port that others reach."""
        authority, up = self.authority(), self.upstream()
        cert, key = authority.issue("admin")
        public = f"admin: {{listen: '0.0.0.0:{{admin}}', token: t0ken, tls: {{cert: {cert}, key: {key}}}}}\n"
        with Weir(basic(up, public)) as weir:
            for _ in range(2):
                weir.write(basic(up, "admin: 127.0.0.1:{metrics}\n"))
                self.assertEqual(weir.reload()[0], 0)
                answer = ask(("localhost", weir.admin), path="/admin/v1/status", tls=authority.client())
                self.assertEqual(answer.status, 401)
            until("it is said", lambda: weir.said("reload.partial"))


class Egress(Case):
    """Credentials of the way out that change without the address changing."""

    def test_client_certificate(self):
        authority = self.authority()
        clients = Authority(authority.folder, "clients")
        up = self.upstream(authority.server("up", clients=clients))
        cert, key = clients.issue("first")
        folder = self.folder()

        def put(cert, key):
            (folder / "c.pem").write_bytes(cert.read_bytes())
            (folder / "k.pem").write_bytes(key.read_bytes())

        put(cert, key)
        text = basic(up, f"egress: {{ca_file: {authority.ca}, client_cert: {folder}/c.pem, "
                         f"client_key: {folder}/k.pem}}\n")
        with Weir(text) as weir:
            self.good(chat(weir.port))
            self.assertEqual(peer_name(up.requests[-1]), "first")
            put(*clients.issue("second"))  # within the same second
            self.assertEqual(weir.reload()[0], 0)
            until("the new one is shown", lambda: chat(weir.port).status == 200
                  and peer_name(up.requests[-1]) == "second")


def peer_name(request):
    return dict(x[0] for x in request.sock.getpeercert()["subject"])["commonName"]
