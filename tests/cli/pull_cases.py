"""weir pull: names, places, redirects, credentials, checks."""
import hashlib
import os
import pathlib
import shutil
import tempfile
import threading
import unittest

import harness
from harness import dead_port, gguf, weir
from pull_server import ModelServer


class PullCase(unittest.TestCase):
    """A data folder of its own for each test."""

    def setUp(self):
        self.authority, self.tls = harness.authority()
        self.home = pathlib.Path(tempfile.mkdtemp(prefix="weir-cli-"))
        self.addCleanup(shutil.rmtree, self.home)
        self.data = self.home / "data"
        self.models = self.data / "models"

    def pull(self, *args, **env):
        return weir("pull", "--data", self.data, *args, home=self.home, **env)

    def files(self):
        return sorted(p.name for p in self.models.iterdir()) if self.models.exists() else []

    def assert_pulled(self, result, content, name="model.gguf"):
        self.assertEqual(result.code, 0, result)
        self.assertEqual((self.models / name).read_bytes(), content)
        self.assertEqual(self.files(), [name])
        self.assertEqual(result.out, f"{self.models / name}\n")

    def assert_nothing(self, result, says, left=()):
        self.assertEqual(result.code, 1, result)
        self.assertRegex(result.err, says)
        self.assertEqual(result.out, "")
        self.assertEqual(self.files(), sorted(left))


class Plain(PullCase):
    def test_whole(self):
        with ModelServer(gguf()) as s:
            result = self.pull(f"{s.url}/a/model.gguf")
            self.assert_pulled(result, s.content)
            self.assertIn(s.sha256(), result.err)
            self.assertEqual(s.asked(), [None])
            self.assertEqual(s.requests[0].headers["accept-encoding"], "identity")

    def test_large_in_many_reads(self):
        with ModelServer(gguf(40 << 20)) as s:
            self.assert_pulled(self.pull(f"{s.url}/model.gguf"), s.content)

    def test_sparse_lines_without_a_terminal(self):
        event = threading.Event()
        with ModelServer(gguf(4 << 20), pace=(3 << 20, event)) as s:
            timer = threading.Timer(0.5, event.set)
            timer.start()
            result = self.pull(f"{s.url}/model.gguf")
            self.assert_pulled(result, s.content)
            self.assertRegex(result.err, r"model.gguf: 7\d%, 3.1 MB of 4.2 MB")
            self.assertLess(result.err.count("\n"), 5)
            self.assertNotIn("\r", result.err)

    def test_chunked(self):
        with ModelServer(gguf(), chunked=True) as s:
            self.assert_pulled(self.pull(f"{s.url}/model.gguf"), s.content)

    def test_query_and_encoded_name(self):
        with ModelServer(gguf()) as s:
            result = self.pull(f"{s.url}/a/m%6Fdel.gguf?token=a%20b&x=1")
            self.assert_pulled(result, s.content)
            self.assertEqual(s.requests[0].target, "/a/m%6Fdel.gguf?token=a%20b&x=1")

    def test_name(self):
        with ModelServer(gguf()) as s:
            self.assert_pulled(self.pull(f"{s.url}/x", "--name", "small"), s.content, "small.gguf")

    def test_tls(self):
        with ModelServer(gguf(2 << 20), tls=self.tls) as s:
            self.assert_pulled(self.pull(f"{s.url}/model.gguf", "--ca", self.authority.ca),
                               s.content)

    def test_tls_ssl_cert_file(self):
        with ModelServer(gguf(), tls=self.tls) as s:
            self.assert_pulled(self.pull(f"{s.url}/model.gguf", SSL_CERT_FILE=self.authority.ca),
                               s.content)

    def test_tls_untrusted_is_refused_at_once(self):
        with ModelServer(gguf(), tls=self.tls) as s:
            result = self.pull(f"{s.url}/model.gguf")
            self.assert_nothing(result, "TLS handshake failed: .*certificate")
            self.assertEqual(s.requests, [])
            self.assertNotIn("trying again", result.err)


class Place(PullCase):
    def place(self, **env):
        with ModelServer(gguf()) as s:
            result = weir("pull", f"{s.url}/model.gguf", home=self.home, **env)
        self.assertEqual(result.code, 0, result)
        return pathlib.Path(result.out.strip()).parent.parent

    def test_weir_data(self):
        self.assertEqual(self.place(WEIR_DATA=self.home / "w", STATE_DIRECTORY=self.home / "s"),
                         self.home / "w")

    def test_state_directory_first_of_several(self):
        found = self.place(STATE_DIRECTORY=f"{self.home}/s:{self.home}/t")
        self.assertEqual(found, self.home / "s")

    def test_option_wins(self):
        with ModelServer(gguf()) as s:
            result = self.pull(f"{s.url}/model.gguf", WEIR_DATA=self.home / "w")
            self.assert_pulled(result, s.content)

    @unittest.skipIf(os.geteuid() == 0, "root's is /var/lib/weir")
    def test_xdg(self):
        self.assertEqual(self.place(XDG_STATE_HOME=self.home / "x"), self.home / "x/weir")
        self.assertEqual(self.place(XDG_STATE_HOME="relative"), self.home / ".local/state/weir")

    def test_folder_is_private(self):
        found = self.place(WEIR_DATA=self.home / "p/q")
        self.assertEqual(found.stat().st_mode & 0o777, 0o700)

    def test_not_writable(self):
        (self.home / "file").write_text("")
        result = weir("pull", "--data", self.home / "file", "http://127.0.0.1:1/m.gguf",
                      home=self.home)
        self.assertEqual(result.code, 1, result)
        self.assertIn("Not a directory", result.err)


class Usage(PullCase):
    def check(self, *args, says):
        result = self.pull(*args)
        self.assertEqual(result.code, 2, result)
        self.assertRegex(result.err, says)
        self.assertEqual(self.files(), [])

    def test_usage(self):
        self.check(says="one URL is needed")
        self.check("http://a/b.gguf", "http://a/c.gguf", says="one word too many")
        self.check("http://a/b.gguf", "--sha256", "abc", says="64 hex digits")
        self.check("ftp://a/b.gguf", says="must begin with http")
        self.check("http://a:0/b.gguf", says="bad port")
        self.check("http://a/", says="no usable file name")
        self.check("http://a/..%2Fb.gguf", says="no usable file name")
        self.check("http://a/%2e%2e", says="no usable file name")
        self.check("http://a/b.gguf", "--name", "../b", says="plain file name")
        self.check("http://a/b.gguf", "--name", ".b", says="plain file name")
        self.check("hf:org/repo", says="hf:ORG/REPO/FILE")
        self.check("http://a/b.gguf", "--tries", "0", says="--tries takes a number")
        self.check("http://a/b.gguf", "--stall", "fast", says="--stall takes a time")
        self.check("--nonsense", "http://a/b.gguf", says="unknown")

    def test_help(self):
        result = self.pull("--help")
        self.assertEqual(result.code, 0)
        self.assertIn("--sha256", result.out)


class Checks(PullCase):
    def test_sha256_right(self):
        with ModelServer(gguf()) as s:
            result = self.pull(f"{s.url}/model.gguf", "--sha256", s.sha256().upper())
            self.assert_pulled(result, s.content)
            self.assertIn("as expected", result.err)

    def test_sha256_wrong(self):
        with ModelServer(gguf()) as s:
            result = self.pull(f"{s.url}/model.gguf", "--sha256", "0" * 64)
            self.assert_nothing(result, "the file is wrong: its SHA-256 is " + s.sha256())

    def test_sha256_from_etag(self):
        with ModelServer(gguf(), etag=f'"{"1" * 64}"') as s:
            self.assert_nothing(self.pull(f"{s.url}/model.gguf"), "the server's is 1111")
            s.etag = f'"{s.sha256()}"'
            self.assert_pulled(self.pull(f"{s.url}/model.gguf"), s.content)

    def test_sha256_option_wins_over_etag(self):
        with ModelServer(gguf(), etag=f'"{"1" * 64}"') as s:
            self.assert_pulled(self.pull(f"{s.url}/model.gguf", "--sha256", s.sha256()), s.content)

    def test_not_gguf_is_seen_at_once(self):
        with ModelServer(b"<html>" + b"x" * (8 << 20)) as s:
            self.assert_nothing(self.pull(f"{s.url}/model.gguf"), "no GGUF file",
                                left=["model.gguf.part", "model.gguf.part.json"])
            s.content = gguf()
            self.assert_pulled(self.pull(f"{s.url}/model.gguf"), s.content)

    def test_very_short(self):
        for content in (b"", b"G", b"GGUF", b"GGUF\3\0\0\0"):
            with self.subTest(content), ModelServer(content) as s:
                self.assert_nothing(self.pull(f"{s.url}/model.gguf"), "damaged: it is no GGUF file")

    def test_damaged_head(self):
        good = gguf()
        with ModelServer(good[:60] + b"\xff" * 8 + good[68:]) as s:
            self.assert_nothing(self.pull(f"{s.url}/model.gguf"), "damaged")

    def test_shorter_than_its_tensors(self):
        good = gguf()
        for cut in (4, 1000, len(good) - 300):
            with self.subTest(cut), ModelServer(good[:-cut]) as s:
                self.assert_nothing(self.pull(f"{s.url}/model.gguf"), "damaged")

    def test_length_lies(self):
        """A Content-Length below the file's: the rest is not asked for, but the head knows better."""
        with ModelServer(gguf(), length=lambda n: n - 5000) as s:
            self.assert_nothing(self.pull(f"{s.url}/model.gguf"),
                                "damaged: it is shorter than its head says")

    def test_no_length_needs_a_hash(self):
        with ModelServer(gguf(), length="none") as s:
            self.assert_nothing(self.pull(f"{s.url}/model.gguf"), "give its --sha256")
            self.assert_pulled(self.pull(f"{s.url}/model.gguf", "--sha256", s.sha256()), s.content)

    def test_disk_space(self):
        with ModelServer(gguf(), length=1 << 60) as s:
            self.assert_nothing(self.pull(f"{s.url}/model.gguf"), "1.2 EB are needed, and .* free")

    def test_compressed(self):
        with ModelServer(gguf(), headers={"Content-Encoding": "gzip"}) as s:
            self.assert_nothing(self.pull(f"{s.url}/model.gguf"), "compressed")

    def test_status(self):
        for status in (401, 403, 404, 410):
            with self.subTest(status), ModelServer(gguf(), errors=[status] * 9) as s:
                self.assert_nothing(self.pull(f"{s.url}/model.gguf"), f"answers {status}")
                self.assertEqual(len(s.requests), 1)

    def test_hub_says_why_harmlessly(self):
        with ModelServer(gguf(), errors=[403], headers={"X-Error-Message": "no\u009b2J access"}) as s:
            result = self.pull("hf:o/r/model.gguf", HF_ENDPOINT=s.url)
            self.assert_nothing(result, "403 Forbidden: no\ufffd+2J access .set HF_TOKEN")

    def test_nobody_there(self):
        result = self.pull(f"http://127.0.0.1:{dead_port()}/model.gguf", "--tries", "3")
        self.assert_nothing(result, "no connection: connection refused; giving up after 3 tries")

    def test_name_not_found(self):
        result = self.pull("http://nothing.invalid/model.gguf", "--tries", "1")
        self.assert_nothing(result, "the name of the server cannot be resolved")


class Present(PullCase):
    def setUp(self):
        super().setUp()
        self.models.mkdir(parents=True)
        self.content = gguf(salt=b"old")
        (self.models / "model.gguf").write_bytes(self.content)

    def test_same_hash_without_network(self):
        sha256 = hashlib.sha256(self.content).hexdigest()
        result = self.pull(f"http://127.0.0.1:{dead_port()}/model.gguf", "--sha256", sha256)
        self.assert_pulled(result, self.content)
        self.assertIn("there already", result.err)

    def test_same_by_the_servers_hash(self):
        with ModelServer(self.content) as s:
            s.etag = f'"{s.sha256()}"'
            self.assert_pulled(self.pull(f"{s.url}/model.gguf"), self.content)
            self.assertEqual(len(s.requests), 1)

    def test_same_length_and_force(self):
        new = gguf(salt=b"new")
        with ModelServer(new) as s:
            result = self.pull(f"{s.url}/model.gguf")
            self.assert_pulled(result, self.content)
            self.assertIn("--force", result.err)
            self.assert_pulled(self.pull(f"{s.url}/model.gguf", "--force"), new)

    def test_other_hash_replaces(self):
        new = gguf(salt=b"new")
        with ModelServer(new) as s:
            s.etag = f'"{s.sha256()}"'
            self.assert_pulled(self.pull(f"{s.url}/model.gguf"), new)

    def test_failure_leaves_the_old_one(self):
        with ModelServer(gguf(131072)) as s:
            result = self.pull(f"{s.url}/model.gguf", "--sha256", "0" * 64)
            self.assertEqual(result.code, 1, result)
            self.assertEqual((self.models / "model.gguf").read_bytes(), self.content)


class Redirects(PullCase):
    def test_kinds(self):
        for status in (301, 302, 303, 307, 308):
            for location in ("/b/model.gguf?sig=1", "../b/model.gguf", "model2.gguf", "?x=2",
                             "//127.0.0.1:{port}/b/c", "http://127.0.0.1:{port}/b/c#f"):
                with self.subTest(status=status, location=location), ModelServer(gguf()) as s:
                    s.redirects["/a/model.gguf"] = status, location.format(port=s.port)
                    if location == "?x=2":  # the same path: another answer the second time
                        s.script = self.once(s)
                    result = self.pull(f"{s.url}/a/model.gguf", "--force")
                    self.assert_pulled(result, s.content)
                    self.assertEqual(len(s.requests), 2)

    @staticmethod
    def once(server):
        def script(connection, request):
            if request.target != request.path:
                server.redirects.clear()
            server.serve(connection, request)
        return script

    def test_non_ascii_location(self):
        with ModelServer(gguf()) as s:
            s.redirects["/model.gguf"] = 302, "/b/m\u00f6del 1.gguf"
            s.script = self.latin(s)
            self.assert_pulled(self.pull(f"{s.url}/model.gguf"), s.content)
            self.assertEqual(s.requests[1].target, "/b/m%C3%B6del%201.gguf")

    @staticmethod
    def latin(server):
        def script(connection, request):
            if request.path in server.redirects:
                location = server.redirects[request.path][1].encode()
                connection.send(b"HTTP/1.1 302 x\r\nContent-Length: 0\r\nLocation: " + location +
                                b"\r\n\r\n")
            else:
                server.serve(connection, request)
        return script

    def test_loop(self):
        with ModelServer(gguf()) as s:
            s.redirects["/model.gguf"] = 302, "/model.gguf"
            self.assert_nothing(self.pull(f"{s.url}/model.gguf"), "too many redirects")
            self.assertEqual(len(s.requests), 11)

    def test_ten_are_fine(self):
        with ModelServer(gguf()) as s:
            for i in range(10):
                s.redirects[f"/{i}.gguf"] = 302, f"/{i + 1}.gguf"
            self.assert_pulled(self.pull(f"{s.url}/0.gguf"), s.content, "0.gguf")

    def test_to_other_schemes(self):
        for location in ("ftp://127.0.0.1/x", "file:///etc/passwd", "javascript:1"):
            with self.subTest(location), ModelServer(gguf()) as s:
                s.redirects["/model.gguf"] = 302, location
                self.assert_nothing(self.pull(f"{s.url}/model.gguf"), "must begin with http")

    def test_https_to_http_is_refused(self):
        with ModelServer(gguf()) as plain, ModelServer(gguf(), tls=self.tls) as s:
            s.redirects["/model.gguf"] = 302, f"{plain.url}/model.gguf"
            result = self.pull(f"{s.url}/model.gguf", "--ca", self.authority.ca)
            self.assert_nothing(result, "from https:// to an unprotected URL")
            self.assertEqual(plain.requests, [])

    def test_http_to_https(self):
        with ModelServer(gguf(), tls=self.tls) as tls, ModelServer(b"") as s:
            s.redirects["/model.gguf"] = 302, f"{tls.url}/model.gguf"
            result = self.pull(f"{s.url}/model.gguf", "--ca", self.authority.ca)
            self.assert_pulled(result, tls.content)


class Hub(PullCase):
    """Hugging Face: HF_ENDPOINT stands for it."""

    def hub(self, hub, storage, **more):
        """As the hub does: the first answer leads to storage and says what the file is."""
        identity = {"X-Linked-Etag": f'"{storage.sha256()}"',
                    "X-Linked-Size": len(storage.content), "ETag": '"0123"'}
        identity.update(more)
        hub.redirects["/o/r/resolve/main/d/model.gguf"] = (
            302, f"{storage.url}/blob?sig=1", identity)

    def test_token_stays_with_the_hub(self):
        with ModelServer(gguf(), tls=self.tls) as storage, ModelServer(b"", tls=self.tls) as hub:
            self.hub(hub, storage)
            result = self.pull("hf:o/r/d/model.gguf", "--ca", self.authority.ca,
                               HF_ENDPOINT=hub.url + "/", HF_TOKEN="hf_secret")
            self.assert_pulled(result, storage.content)
            self.assertIn("as expected", result.err)
            self.assertEqual(hub.requests[0].headers["authorization"], "Bearer hf_secret")
            self.assertNotIn("authorization", storage.requests[0].headers)

    def test_token_goes_along_on_the_hub_itself(self):
        with ModelServer(gguf(), tls=self.tls) as hub:
            hub.redirects["/o/old/resolve/main/model.gguf"] = 307, "/o/r/resolve/main/model.gguf"
            result = self.pull("hf:o/old/model.gguf", "--ca", self.authority.ca,
                               HF_ENDPOINT=hub.url, HF_TOKEN="hf_secret")
            self.assert_pulled(result, hub.content)
            self.assertEqual([r.headers.get("authorization") for r in hub.requests],
                             ["Bearer hf_secret"] * 2)

    def test_token_is_not_for_others(self):
        with ModelServer(gguf(), tls=self.tls) as s:
            self.pull(f"{s.url}/o/r/resolve/main/model.gguf", "--ca", self.authority.ca,
                      HF_TOKEN="hf_secret")
            self.assertNotIn("authorization", s.requests[0].headers)

    def test_hash_of_the_hub_counts(self):
        with ModelServer(gguf()) as storage, ModelServer(b"") as hub:
            self.hub(hub, storage, **{"X-Linked-Etag": f'"{"2" * 64}"'})
            self.assert_nothing(self.pull("hf:o/r/d/model.gguf", HF_ENDPOINT=hub.url),
                                "the server's is 2222")

    def test_tags_of_storage_do_not(self):
        """Storage behind the hub has tags of 64 digits that are hashes of another kind."""
        with ModelServer(gguf(), etag=f'"{"3" * 64}"') as storage, ModelServer(b"") as hub:
            self.hub(hub, storage)
            self.assert_pulled(self.pull("hf:o/r/d/model.gguf", HF_ENDPOINT=hub.url),
                               storage.content)

    def test_size_of_the_hub_counts(self):
        with ModelServer(gguf()) as storage, ModelServer(b"") as hub:
            self.hub(hub, storage, **{"X-Linked-Size": 12345})
            result = self.pull("hf:o/r/d/model.gguf", "--tries", "2", HF_ENDPOINT=hub.url)
            self.assert_nothing(result, "of a file of 12345; giving up")

    def test_page_address_and_revision(self):
        with ModelServer(gguf()) as hub:
            env = {"HF_ENDPOINT": hub.url}
            self.assert_pulled(self.pull(f"{hub.url}/o/r/blob/main/model.gguf", **env), hub.content)
            self.assert_pulled(self.pull("hf:o/r@v2/model.gguf", "--force", **env), hub.content)
            self.assertEqual([r.target for r in hub.requests],
                             ["/o/r/resolve/main/model.gguf", "/o/r/resolve/v2/model.gguf"])


class Proxy(PullCase):
    """A proxy that answers for hosts that do not exist."""

    def test_plain(self):
        with ModelServer(gguf()) as proxy:
            result = self.pull("http://files.invalid/model.gguf",
                               HTTP_PROXY=proxy.url.replace("//", "//us%65r:p%40ss@"))
            self.assert_pulled(result, proxy.content)
            request = proxy.requests[0]
            self.assertEqual(request.target, "http://files.invalid/model.gguf")
            self.assertEqual(request.headers["proxy-authorization"], "Basic dXNlcjpwQHNz")

    def test_connect(self):
        inner = self.authority.context("DNS:files.invalid")
        with ModelServer(gguf()) as proxy:
            plain_script = proxy.serve

            def tunnel(connection, request):
                if request.method != "CONNECT":
                    plain_script(connection, request)
                    return
                connection.send(b"HTTP/1.1 200 go ahead\r\n\r\n")
                connection.sock = inner.wrap_socket(connection.sock, server_side=True)
            proxy.script = tunnel
            result = self.pull("https://files.invalid/model.gguf", "--ca", self.authority.ca,
                               https_proxy=proxy.url.replace("//", "//u:p@"))
            self.assert_pulled(result, proxy.content)
            self.assertEqual(proxy.requests[0].target, "files.invalid:443")
            self.assertEqual(proxy.requests[0].headers["proxy-authorization"], "Basic dTpw")
            self.assertNotIn("proxy-authorization", proxy.requests[1].headers)

    def test_refusal(self):
        with ModelServer(gguf(), errors=[407] * 9) as proxy:
            result = self.pull("https://files.invalid/model.gguf", HTTPS_PROXY=proxy.url)
            self.assert_nothing(result, "the proxy refused the connection: status 407")
            self.assertEqual(len(proxy.requests), 1)

    def test_exempt(self):
        with ModelServer(gguf()) as proxy:
            for no_proxy in ("*", "invalid", ".invalid", "a,files.invalid", "files.invalid:80"):
                with self.subTest(no_proxy):
                    result = self.pull("http://files.invalid/model.gguf", "--tries", "1",
                                       HTTP_PROXY=proxy.url, NO_PROXY=no_proxy)
                    self.assert_nothing(result, "cannot be resolved")
            self.assertEqual(proxy.requests, [])

    def test_loopback_is_exempt(self):
        with ModelServer(gguf()) as s:
            result = self.pull(f"{s.url}/model.gguf", HTTP_PROXY=f"http://127.0.0.1:{dead_port()}")
            self.assert_pulled(result, s.content)

    def test_malformed(self):
        result = self.pull("http://files.invalid/model.gguf", HTTP_PROXY="socks5://127.0.0.1:1")
        self.assert_nothing(result, "the proxy in the environment cannot be used")


class Locks(PullCase):
    def test_second_pull_is_refused(self):
        event = threading.Event()
        with ModelServer(gguf(1 << 20), pace=(100000, event)) as s:
            first = harness.start("pull", "--data", self.data, f"{s.url}/model.gguf",
                                  home=self.home)
            part = self.models / "model.gguf.part"
            self.assertTrue(harness.wait_until(lambda: part.exists() and part.stat().st_size))
            second = self.pull(f"{s.url}/model.gguf")
            self.assertEqual(second.code, 1, second)
            self.assertIn("is being fetched by another process", second.err)
            other = gguf(salt=b"other")
            with ModelServer(other) as t:
                result = self.pull(f"{t.url}/other.gguf")
                self.assertEqual(result.code, 0, result)
            event.set()
            self.assertEqual(harness.finish(first).code, 0)
            self.assertEqual((self.models / "model.gguf").read_bytes(), s.content)
