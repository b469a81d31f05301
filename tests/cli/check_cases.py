"""weir init and weir check: the file that is written, the mistakes that are named, and each provider
tried with --connect."""
import contextlib
import pathlib
import shutil
import socket
import stat
import tempfile
import threading
import unittest

import harness
from harness import Server, dead_port

KEY = "sk-very-secret-1"


class ConfigCase(unittest.TestCase):
    def setUp(self):
        self.authority, self.tls = harness.authority()
        self.home = pathlib.Path(tempfile.mkdtemp(prefix="weir-cli-"))
        self.addCleanup(shutil.rmtree, self.home)
        self.file = self.home / "weir.yaml"

    def config(self, text):
        self.file.write_text(text)
        return self.file

    def weir(self, *args, **env):
        result = harness.weir(*args, home=self.home, **env)
        self.assertNotIn(KEY, result.out + result.err)
        return result

    def check(self, *args, status=0, **env):
        result = self.weir("check", *args, **env)
        self.assertEqual(result.code, status, result)
        return result


class Init(ConfigCase):
    def init(self, *args, status=0, **env):
        result = self.weir("init", *args, self.file, **env)
        self.assertEqual(result.code, status, result)
        return result

    def test_with_a_key(self):
        result = self.init(OPENAI_API_KEY=KEY)
        self.assertEqual(result.out, f"wrote {self.file}; next: weir check {self.file} && "
                                     f"weir serve --config {self.file}\n")
        text = self.file.read_text()
        self.assertIn('openai: {type: openai, api_key: "${OPENAI_API_KEY}"}', text)
        self.assertGreater(text.count("# "), 5)
        self.assertEqual(stat.S_IMODE(self.file.stat().st_mode) & 0o007, 0)
        self.assertEqual(self.check(self.file, OPENAI_API_KEY=KEY).out,
                         f"{self.file} is right: 1 providers, 0 engines, 1 models\n")

    def test_each_key_that_is_set(self):
        keys = {"GROQ_API_KEY": KEY, "MISTRAL_API_KEY": KEY, "OPENAI_API_KEY": ""}
        self.init(**keys)
        self.assertNotIn("openai", self.file.read_text())
        self.assertIn(": 2 providers,", self.check(self.file, **keys).out)

    def test_without_any(self):
        self.assertIn("next: export OPENAI_API_KEY=... && weir check", self.init().out)
        self.check(self.file, OPENAI_API_KEY=KEY)
        result = self.check(self.file, status=1)
        self.assertRegex(result.err, r"weir\.yaml:\d+:\d+: `api_key`: the environment variable "
                                     "`OPENAI_API_KEY` is not set")

    def test_own_key(self):
        self.init(OPENAI_API_KEY=KEY, WEIR_API_KEY=KEY)
        self.check(self.file, OPENAI_API_KEY=KEY, WEIR_API_KEY=KEY)
        self.assertIn("WEIR_API_KEY", self.check(self.file, OPENAI_API_KEY=KEY, status=1).err)

    def test_what_is_commented_out_is_right(self):
        self.init(GROQ_API_KEY=KEY)
        text = self.file.read_text().replace("PROVIDER/MODEL", "groq/m")
        wanted = ("keys:", "me:", "engines:", "local:", "models:", "chat:", "targets:", "- {use:")
        lines = [line[2:] if line[:2] == "# " and line[2:].strip().startswith(wanted) else line
                 for line in text.splitlines()]
        self.config("\n".join(lines) + "\n")
        self.assertIn(": 1 providers, 1 engines, 1 models",
                      self.check(self.file, GROQ_API_KEY=KEY, WEIR_API_KEY=KEY).out)

    def test_refuses_to_overwrite(self):
        self.config("mine\n")
        self.assertIn("File exists; --force replaces it", self.init(status=1).err)
        self.assertEqual(self.file.read_text(), "mine\n")
        self.init("--force")
        self.assertNotIn("mine", self.file.read_text())

    def test_no_such_folder(self):
        self.assertIn("No such file", self.weir("init", self.home / "no/weir.yaml").err)


WRONG = """listen: 127.0.0.1:8080
provider: {}
providers:
  up: {type: vlmm, url: "http://127.0.0.1:1/v1", api_key: "%s"}
models:
  chat:
    fallbak: []
    targets: [{use: upp/m}]
""" % KEY


class Check(ConfigCase):
    def test_all_mistakes_at_once(self):
        result = self.check(self.config(WRONG), status=1)
        self.assertEqual(result.out, "")
        lines = result.err.splitlines()
        for position, near in (("2:1", "providers"), ("4:14", "vllm"), ("7:5", "fallback")):
            found = [line for line in lines if line.startswith(f"{self.file}:{position}: ")]
            self.assertEqual(len(found), 1, (position, lines))
            self.assertIn(f"did you mean `{near}`?", found[0])
        self.assertTrue(any(line.startswith(f"{self.file}:8:") for line in lines), lines)

    def test_secrets_are_not_printed(self):
        """A key where no key belongs, or in a place of the wrong shape."""
        for wrong in (f"providers: {{a: {{type: openai, api_key: [{KEY}]}}}}",
                      f"providers: {{a: {{type: openai, api_key: {{x: {KEY}}}}}}}",
                      f"keys: {{k: {{secret: {KEY}, sha256: {KEY}}}}}",
                      f"providers: {{a: {{type: vllm, url: 'http://u:{KEY}@127.0.0.1:1/v1'}}}}",
                      f"egress: {{proxy: 'ftp://u:{KEY}@127.0.0.1:1'}}",
                      f"providers: {{a: {{type: openai, api_key: '{KEY}"):
            with self.subTest(wrong):
                self.check(self.config(wrong + "\n"), status=1)  # weir() looks for the key

    def test_warnings_are_no_mistakes(self):
        result = self.check(self.config("providers: {a: {type: openai, api_key: k}}\n"))
        self.assertIn("1 providers, 0 engines, 0 models", result.out)

    def test_found_without_a_name(self):
        folder = self.home / ".config/weir"
        folder.mkdir(parents=True)
        (folder / "weir.yaml").write_text("providers: {a: {type: openai, api_key: k}}\n")
        self.assertIn(f"{folder}/weir.yaml is right", self.check().out)

    def test_environment(self):
        self.assertIn("the environment is right: 1 providers", self.check(OPENAI_API_KEY=KEY).out)
        result = self.check(status=1)
        self.assertIn("OPENAI_API_KEY", result.err)
        self.assertEqual(result.err.count("HF_TOKEN"), 1)
        self.assertIn("`weir init` writes a file to start from", result.err)

    def test_files_that_cannot_be_read(self):
        result = self.check(self.home / "none.yaml", status=1)
        self.assertIn("none.yaml: cannot be read: No such file", result.err)
        self.assertIn("Is a directory", self.check(self.home, status=1).err)
        result = self.check(self.config("providers: {a: {type: vllm, url: 'https://h/v1', "
                                        "ca_file: /none.pem}}\n"), status=1)
        self.assertIn("/none.pem", result.err)

    def test_usage(self):
        for args in (("a", "b"), ("--conect",)):
            self.check(*args, status=2)
        self.assertIn("did you mean `--connect`?", self.check("--conect", status=2).err)


def guarded(connection, request):
    """An upstream that wants the key."""
    good = request.headers.get("authorization") == f"Bearer {KEY}"
    connection.answer(200 if good else 401, b'{"data":[]}' if good else f"no {KEY}".encode())


class Connect(ConfigCase):
    def connect(self, providers, *more, status=0, **env):
        lines = "".join(f"  {name}: {{{text}}}\n" for name, text in providers.items())
        result = self.check("--connect", self.config("\n".join([*more, "providers:", lines])),
                            status=status, **env)
        return result.out.splitlines()[1:]

    def one(self, text, *more, status=0, **env):
        lines = self.connect({"up": text}, *more, status=status, **env)
        self.assertEqual(len(lines), 1, lines)
        self.assertTrue(lines[0].startswith("FAILED up " if status else "ok     up "), lines)
        return lines[0]

    def test_taken_and_refused(self):
        with Server(guarded) as s:
            url = f"type: vllm, url: '{s.url}/v1/'"
            lines = self.connect({"good": f"{url}, api_key: {KEY}", "bad": f"{url}, api_key: x",
                                  "none": url, "theirs": f"{url}, api_key: client"}, status=1)
            for line, pattern in zip(lines, (r"ok +good +the key is taken \(GET .*/v1/models: 200\)",
                                             r"FAILED bad +the key is refused \(GET .*: 401\)",
                                             r"FAILED none +it wants an `api_key`",
                                             r"ok +theirs +answers; clients bring the key")):
                self.assertRegex(line, pattern)
            self.assertEqual({(r.method, r.target) for r in s.requests}, {("GET", "/v1/models")})

    def test_headers_of_the_configuration(self):
        with Server(lambda c, r: c.answer(200 if r.headers.get("x-team") == "t" else 401)) as s:
            line = self.one(f"type: vllm, url: '{s.url}', headers: {{X-Team: t}}")
            self.assertIn("answers (GET", line)
            self.assertNotIn(KEY, str(s.requests[0].headers))

    def test_statuses(self):
        for status, says in ((403, "the key is refused"), (404, "is its `url` right?"),
                             (302, "unexpected answer"), (500, "unexpected answer")):
            with self.subTest(status), Server(
                    lambda c, r, n=status: c.answer(n, Location="http://x/")) as s:
                line = self.one(f"type: vllm, url: '{s.url}', api_key: k", status=1)
                self.assertIn(f"{says} (GET {s.url}/models: {status})", line)

    def test_unknown_host(self):
        self.assertIn("cannot be resolved", self.one("type: vllm, url: 'http://no.invalid'", status=1))

    def test_connection_refused(self):
        line = self.one(f"type: vllm, url: 'http://127.0.0.1:{dead_port()}'", status=1)
        self.assertIn("no connection: connection refused", line)
        self.assertNotIn(": 0)", line)

    def test_tls(self):
        with Server(guarded, self.tls) as s:
            text = f"type: vllm, url: '{s.url}', api_key: {KEY}"
            self.assertIn("the TLS handshake failed: ", self.one(text, status=1))
            own = f"{text}, ca_file: {self.authority.ca}"
            self.assertIn("the key is taken", self.one(own))
            self.assertIn("the key is taken", self.one(text, f"egress: {{ca_file: {self.authority.ca}}}"))
        with Server(guarded, self.authority.context("DNS:other.example")) as s:
            text = f"type: vllm, url: '{s.url}', api_key: {KEY}, ca_file: {self.authority.ca}"
            self.assertIn("the TLS handshake failed: ", self.one(text, status=1))
            self.assertIn("the key is taken", self.one(f"{text}, sni: other.example"))

    def test_no_answer(self):
        go = threading.Event()
        self.addCleanup(go.set)
        with Server(lambda c, r: go.wait(30)) as s:
            line = self.one(f"type: vllm, url: '{s.url}', timeouts: {{head: 300ms}}", status=1)
            self.assertIn("the server does not answer", line)

    def test_no_connection_in_time(self):
        """A port whose queue of connections is full, and one that says nothing to a TLS hello."""
        limits = "timeouts: {connect: 200ms, tls: 200ms}"
        with contextlib.ExitStack() as stack:
            full = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
            for _ in range(4):
                waiting = stack.enter_context(socket.socket())
                waiting.setblocking(False)
                waiting.connect_ex(full.getsockname())
            silent = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
            for scheme, s in (("http", full), ("https", silent)):
                url = f"{scheme}://127.0.0.1:{s.getsockname()[1]}"
                line = self.one(f"type: vllm, url: '{url}', {limits}", status=1)
                self.assertIn("connecting took too long", line)

    def test_cut_and_nonsense(self):
        with Server(lambda c, r: c.cut()) as s:
            self.assertIn("closed the connection", self.one(f"type: vllm, url: '{s.url}'", status=1))
        with Server(lambda c, r: c.send(b"SSH-2.0-x\r\n\r\n")) as s:
            self.assertIn("not valid HTTP", self.one(f"type: vllm, url: '{s.url}'", status=1))

    def test_proxy(self):
        text = f"type: vllm, url: 'http://up.invalid/v1', api_key: {KEY}"
        with Server(guarded) as proxy:
            away = f"http://127.0.0.1:{dead_port()}"
            for more, env in ((("egress: {proxy: '%s'}" % proxy.url,), {}),
                              ((), {"HTTP_PROXY": proxy.url}),
                              ((), {"http_proxy": proxy.url, "HTTP_PROXY": away}),
                              (("egress: {proxy: '%s'}" % proxy.url,), {"http_proxy": away})):
                with self.subTest(more=more, env=env):
                    self.assertIn("the key is taken", self.one(text, *more, **env))
                    self.assertEqual(proxy.requests[-1].target, "http://up.invalid/v1/models")
            seen = len(proxy.requests)
            for env in ({"NO_PROXY": "invalid"}, {"no_proxy": "*"}):
                line = self.one(text, HTTP_PROXY=proxy.url, status=1, **env)
                self.assertIn("cannot be resolved", line)
            self.one(text, "egress: {proxy: '%s', no_proxy: up.invalid}" % proxy.url, status=1)
            self.assertEqual(len(proxy.requests), seen)

    def test_proxy_with_tls(self):
        inner = self.authority.context("DNS:up.invalid")

        def tunnel(connection, request):
            if request.method != "CONNECT":
                guarded(connection, request)
                return
            connection.send(b"HTTP/1.1 200 go ahead\r\n\r\n")
            connection.sock = inner.wrap_socket(connection.sock, server_side=True)
        with Server(tunnel) as proxy:
            with_user = proxy.url.replace("//", f"//u:{KEY}@")
            line = self.one(f"type: vllm, url: 'https://up.invalid', api_key: {KEY}, proxy: "
                            f"'{with_user}', ca_file: {self.authority.ca}")
            self.assertIn("the key is taken", line)
            self.assertEqual([r.method for r in proxy.requests], ["CONNECT", "GET"])
            self.assertIn("proxy-authorization", proxy.requests[0].headers)
            self.assertNotIn("authorization", proxy.requests[0].headers)
        with Server(lambda c, r: c.answer(407)) as proxy:
            line = self.one("type: vllm, url: 'https://up.invalid'", status=1, HTTPS_PROXY=proxy.url)
            self.assertIn("the proxy refused the connection: status 407", line)

    def test_proxy_malformed(self):
        text = "type: vllm, url: 'https://up.invalid'"
        for proxy in ("https://p:1", f"http://u:{KEY}%4@p:1", "socks5://p:1"):
            with self.subTest(proxy):
                self.assertIn("proxy", self.check(self.config(
                    f"providers: {{up: {{{text}}}}}\n"), status=1, HTTPS_PROXY=proxy).err)

    def test_only_when_asked(self):
        with Server(guarded) as s:
            self.check(self.config(f"providers: {{up: {{type: vllm, url: '{s.url}'}}}}\n"))
            self.assertEqual(s.requests, [])
