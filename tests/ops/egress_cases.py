"""The way to upstreams: proxies, trust, names and addresses, and which headers pass."""

import base64
import select
import socket
import ssl
import struct
import threading
import time
import unittest

from harness import Authority, Case, Server, Upstream, Weir, basic, chat, late, read_request, until
from listen_cases import HAS_V6

NAME = "up.weir.test"
A, AAAA = 1, 28


class ConnectProxy(Server):
    """An HTTP proxy: CONNECT to any name goes to `target` on this machine; other requests are answered as an
    upstream would. Wants `user:password` where it is given."""

    def __init__(self, target, credential=""):
        self.target, self.credential, self.seen, self.lines, self.silent = target, credential, [], [], False
        super().__init__(self._serve)

    @property
    def url(self):
        user = f"{self.credential}@" if self.credential else ""
        return f"http://{user}127.0.0.1:{self.port}"

    def _serve(self, sock, peer):
        request, _ = read_request(sock, b"", peer)
        if request is None:
            return
        self.seen.append(request)
        self.lines.append(f"{request.method} {request.path}")
        wanted = "Basic " + base64.b64encode(self.credential.encode()).decode()
        if self.silent:
            time.sleep(30)
        elif self.credential and request.headers.get("proxy-authorization") != wanted:
            sock.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
        elif request.method == "CONNECT":
            sock.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            self._tunnel(sock)
        else:
            sock.sendall(b"HTTP/1.1 503 Only tunnels\r\nContent-Length: 0\r\n\r\n")

    def _tunnel(self, sock):
        with socket.create_connection(("127.0.0.1", self.target)) as other:
            while True:
                for ready in select.select([sock, other], [], [])[0]:
                    data = ready.recv(65536)
                    if not data:
                        return
                    (other if ready is sock else sock).sendall(data)


class Proxied(Case):
    """An upstream that is only reached over TLS by a name that nobody but the proxy knows."""

    def setUp(self):
        self.ca = self.authority()
        self.up = self.upstream(self.ca.server("up", f"DNS:{NAME}"))

    def proxy(self, credential=""):
        proxy = ConnectProxy(self.up.port, credential)
        self.addCleanup(proxy.close)
        return proxy

    def config(self, egress="", provider="", url=""):
        return (f"listen: 127.0.0.1:{{port}}\negress: {{ca_file: {self.ca.ca}{egress}}}\n"
                f"providers: {{up: {{type: vllm, url: '{url or f'https://{NAME}:7443/v1'}', api_key: up-secret, models: [m]"
                f"{provider}}}}}\n")

    def test_tunnel(self):
        proxy = self.proxy("user:p@ss")
        with Weir(self.config(f", proxy: 'http://user:p%40ss@127.0.0.1:{proxy.port}'")) as weir:
            for _ in range(3):
                self.good(chat(weir.port))
            self.assertEqual(set(proxy.lines), {f"CONNECT {NAME}:7443"})
            self.assertLessEqual(len(proxy.lines), 2, "the tunnel is kept, by each worker")
            self.assertEqual(proxy.seen[0].headers["host"], f"{NAME}:7443")
            self.assertNotIn("authorization", proxy.seen[0].headers)
            self.assertNotIn("proxy-authorization", self.up.requests[0].headers)
            self.assertEqual(self.up.requests[0].headers["host"], f"{NAME}:7443")
            self.assertNotIn("p@ss", weir.stderr() + weir.text("stdout"))

    def test_environment(self):
        proxy = self.proxy("user:pass")
        for name in ("HTTPS_PROXY", "https_proxy"):
            with Weir(self.config(), env={name: proxy.url}) as weir:
                self.good(chat(weir.port))

    def test_no_proxy(self):
        proxy, dns = self.proxy(), self.names({A: "127.0.0.1"})
        text = self.config(f", resolvers: ['127.0.0.1:{dns.port}']", url=f"https://{NAME}:{self.up.port}/v1")
        for excepted, through in (("other.test, .weir.test", 0), ("weir.test", 0), ("*", 0), ("eir.test", 1), ("", 1)):
            proxy.lines.clear()
            with Weir(text, env={"HTTPS_PROXY": proxy.url, "NO_PROXY": excepted}) as weir:
                self.good(chat(weir.port))
                self.assertEqual(len(proxy.lines), through, excepted)

    def names(self, answers):
        dns = Names(answers)
        self.addCleanup(dns.close)
        return dns

    def test_file_over_environment_and_provider_over_file(self):
        first, second, third = self.proxy(), self.proxy(), self.proxy()
        env = {"HTTPS_PROXY": first.url}
        with Weir(self.config(f", proxy: '{second.url}'"), env=env) as weir:
            self.good(chat(weir.port))
        with Weir(self.config(f", proxy: '{second.url}'", f", proxy: '{third.url}'"), env=env) as weir:
            self.good(chat(weir.port))
        self.assertEqual([len(p.lines) for p in (first, second, third)], [0, 1, 1])

    def test_loopback_needs_none(self):
        proxy = self.proxy()
        up = self.upstream()
        with Weir(basic(up), env={"HTTP_PROXY": proxy.url, "http_proxy": proxy.url}) as weir:
            self.good(chat(weir.port))
        self.assertEqual(proxy.lines, [])

    def test_refused(self):
        proxy = self.proxy("user:right")
        with Weir(self.config(f", proxy: 'http://user:wrong@127.0.0.1:{proxy.port}'")) as weir:
            answer = chat(weir.port)
            self.error_code(answer, 502, "upstream_proxy")
            self.assertNotIn("wrong", answer.body.decode() + weir.stderr() + weir.text("stdout"))
        self.assertEqual(self.up.requests, [])

    def test_silent(self):
        proxy = self.proxy()
        proxy.silent = True
        with Weir(self.config(f", proxy: '{proxy.url}'") + "timeouts: {connect: 400ms, tls: 400ms}\n") as weir:
            began = time.monotonic()
            answer = chat(weir.port)
            self.assertEqual(answer.status, 504, answer)
            self.assertLess(time.monotonic() - began, late(4))

    def test_password_changes(self):
        proxy = self.proxy("user:old")
        with Weir(self.config(f", proxy: '{proxy.url}'")) as weir:
            self.good(chat(weir.port))
            proxy.credential = "user:new"
            weir.write(self.config(f", proxy: '{proxy.url}'"))
            self.assertEqual(weir.reload()[0], 0)
            until("the new one is used", lambda: chat(weir.port).status == 200 and len(proxy.seen) > 1)
            self.assertEqual(proxy.seen[-1].headers["proxy-authorization"],
                             "Basic " + base64.b64encode(b"user:new").decode())

    def test_plain_http_goes_in_absolute_form(self):
        plain = self.upstream()
        proxy = Upstream()
        self.addCleanup(proxy.close)
        text = self.config(f", proxy: 'http://127.0.0.1:{proxy.port}'", url=f"http://{NAME}:{plain.port}/v1")
        with Weir(text) as weir:
            self.good(chat(weir.port))
        self.assertEqual(proxy.requests[0].path, f"http://{NAME}:{plain.port}/v1/chat/completions")
        self.assertEqual(proxy.requests[0].headers["host"], f"{NAME}:{plain.port}")


class Trust(Case):
    def config(self, up, more="", provider=""):
        return (f"listen: 127.0.0.1:{{port}}\n{more}"
                f"providers: {{up: {{type: vllm, url: 'https://127.0.0.1:{up.port}/v1', models: [m], api_key: up-secret"
                f"{provider}}}}}\n")

    def test_authority_of_ones_own(self):
        ca = self.authority()
        up = self.upstream(ca.server("up"))
        with Weir(self.config(up)) as weir:
            self.error_code(chat(weir.port), 502, "upstream_tls")
            self.assertEqual(up.requests, [])
            weir.write(self.config(up, f"egress: {{ca_file: {ca.ca}}}\n"))
            self.assertEqual(weir.reload()[0], 0)
            until("it is trusted", lambda: chat(weir.port).status == 200)

    def test_of_one_provider(self):
        ca, other = self.authority("one"), self.authority("other")
        up = self.upstream(ca.server("up"))
        with Weir(self.config(up, f"egress: {{ca_file: {other.ca}}}\n", f", ca_file: {ca.ca}")) as weir:
            self.good(chat(weir.port))
        with Weir(self.config(up, f"egress: {{ca_file: {ca.ca}}}\n", f", ca_file: {other.ca}")) as weir:
            self.error_code(chat(weir.port), 502, "upstream_tls")

    def test_missing_authority_refuses_the_start(self):
        ca = self.authority()
        up = self.upstream(ca.server("up"))
        weir = Weir(self.config(up, "egress: {ca_file: /nonexistent/ca.pem}\n"))
        with weir.launch():
            self.assertEqual(weir.wait(), 1)
            self.assertIn("/nonexistent/ca.pem", weir.stderr())

    def test_sni(self):
        """`sni` is the name that is asked for, and the name that the certificate must have."""
        ca, asked = self.authority(), []
        context = ca.server("inner", "DNS:models.internal")
        context.sni_callback = lambda _sock, name, _context: asked.append(name)
        up = self.upstream(context)
        trust = f"egress: {{ca_file: {ca.ca}}}\n"
        with Weir(self.config(up, trust)) as weir:
            self.error_code(chat(weir.port), 502, "upstream_tls")
        with Weir(self.config(up, trust, ", sni: models.internal")) as weir:
            self.good(chat(weir.port))
        self.assertEqual(asked, [None, "models.internal"], "an address is no name to ask for")
        with Weir(self.config(up, trust, ", sni: other.internal")) as weir:
            self.error_code(chat(weir.port), 502, "upstream_tls")

    def test_client_certificate(self):
        ca, clients = self.authority(), self.authority("clients")
        up = self.upstream(ca.server("up", clients=clients))
        general, own = clients.issue("general"), clients.issue("own")
        trust = f"ca_file: {ca.ca}"
        with Weir(self.config(up, f"egress: {{{trust}}}\n")) as weir:
            self.assertEqual(chat(weir.port).status, 502)
        text = f"egress: {{{trust}, client_cert: {general[0]}, client_key: {general[1]}}}\n"
        with Weir(self.config(up, text)) as weir:
            self.good(chat(weir.port))
            self.assertEqual(self.shown(up), "general")
        with Weir(self.config(up, text, f", client_cert: {own[0]}, client_key: {own[1]}")) as weir:
            self.good(chat(weir.port))
            self.assertEqual(self.shown(up), "own")

    @staticmethod
    def shown(up):
        return dict(x[0] for x in up.requests[-1].sock.getpeercert()["subject"])["commonName"]

    def test_clients_of_the_listener_need_one(self):
        """`client_ca`: mutual TLS at the front."""
        ca, up = self.authority(), self.upstream()
        clients, strangers = Authority(ca.folder, "clients"), Authority(ca.folder, "strangers")
        cert, key = ca.issue("front")
        listen = (f"listen: [{{address: '127.0.0.1:{{port}}', tls: {{cert: {cert}, key: {key}, "
                  f"client_ca: {clients.ca}}}}}]\n")
        with Weir(listen + basic(up).split("\n", 1)[1]) as weir:
            for chain in (None, strangers.issue("stranger")):
                context = ca.client()
                if chain:
                    context.load_cert_chain(*chain)
                with self.assertRaises(OSError):
                    chat(("localhost", weir.port), tls=context)
            context = ca.client()
            context.load_cert_chain(*clients.issue("friend"))
            self.good(chat(("localhost", weir.port), tls=context))
        self.assertEqual(len(up.requests), 1)

    def test_old_protocol_is_refused(self):
        ca = self.authority()
        context = ca.server("up")
        context.maximum_version = ssl.TLSVersion.TLSv1_1
        context.set_ciphers("ALL:@SECLEVEL=0")
        up = self.upstream(context)
        with Weir(self.config(up, f"egress: {{ca_file: {ca.ca}}}\n")) as weir:
            self.error_code(chat(weir.port), 502, "upstream_tls")


# ---------------------------------------------------------------- names

class Names:
    """A name server: `answers` has the address of each type for every name; None is NXDOMAIN."""

    def __init__(self, answers, silent=False):
        self.answers, self.silent, self.asked = answers, silent, []
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.bind(("127.0.0.1", 0))
        self.port = self.sock.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while True:
            try:
                data, peer = self.sock.recvfrom(4096)
                if not self.silent:
                    self.sock.sendto(self._answer(data), peer)
            except OSError:
                return

    def _answer(self, query):
        end = query.index(b"\0", 12) + 5
        kind = struct.unpack("!H", query[end - 4:end - 2])[0]
        self.asked.append(kind)
        address = (self.answers or {}).get(kind)
        record = b""
        if address:
            data = socket.inet_pton(socket.AF_INET6 if kind == AAAA else socket.AF_INET, address)
            record = struct.pack("!HHHIH", 0xC00C, kind, 1, 60, len(data)) + data
        code = 0x8183 if self.answers is None else 0x8180
        return query[:2] + struct.pack("!HHHHH", code, 1, 1 if record else 0, 0, 0) + query[12:end] + record

    def close(self):
        self.sock.close()


class Addresses(Case):
    def weir(self, dns, port, more="timeouts: {connect: 3s}\n"):
        return Weir(f"listen: 127.0.0.1:{{port}}\negress: {{resolvers: ['127.0.0.1:{dns.port}']}}\n{more}"
                    f"providers: {{up: {{type: vllm, url: 'http://{NAME}:{port}/v1', models: [m]}}}}\n")

    def names(self, answers, **more):
        dns = Names(answers, **more)
        self.addCleanup(dns.close)
        return dns

    def test_one_family(self):
        up = self.upstream()
        dns = self.names({A: "127.0.0.1"})
        with self.weir(dns, up.port) as weir:
            for _ in range(5):
                self.good(chat(weir.port))
        self.assertEqual(up.requests[0].headers["host"], f"{NAME}:{up.port}")
        self.assertLessEqual(dns.asked.count(A), 4, "answers are kept, by each worker")

    def test_other_family_refuses(self):
        up = self.upstream()
        with self.weir(self.names({A: "127.0.0.1", AAAA: "::1"}), up.port) as weir:
            began = time.monotonic()
            self.good(chat(weir.port))
            self.assertLess(time.monotonic() - began, late(2))

    @unittest.skipUnless(HAS_V6, "no IPv6 here")
    def test_other_family_is_dead(self):
        """Nothing comes back from ::1: its queue is full. The other address gets its turn soon after (RFC 8305)."""
        up = self.upstream()
        with socket.socket(socket.AF_INET6) as dead:
            dead.bind(("::1", up.port))
            dead.listen(0)
            fillers = [self.half_open(up.port) for _ in range(4)]
            with self.weir(self.names({A: "127.0.0.1", AAAA: "::1"}), up.port) as weir:
                began = time.monotonic()
                self.good(chat(weir.port))
                self.assertLess(time.monotonic() - began, late(1.5))
                began = time.monotonic()
                self.good(chat(weir.port))
                self.assertLess(time.monotonic() - began, late(1.5))
            for s in fillers:
                s.close()

    @staticmethod
    def half_open(port):
        s = socket.socket(socket.AF_INET6)
        s.setblocking(False)
        try:
            s.connect(("::1", port))
        except BlockingIOError:
            pass
        return s

    def test_no_such_name(self):
        with self.weir(self.names(None), 9) as weir:
            self.error_code(chat(weir.port), 502, "upstream_dns")

    def test_name_server_is_silent(self):
        with self.weir(self.names({}, silent=True), 9, "timeouts: {connect: 500ms}\n") as weir:
            began = time.monotonic()
            self.assertEqual(chat(weir.port).status, 504)
            self.assertLess(time.monotonic() - began, late(5))
            self.assertEqual(weir.stop(), 0)

    def test_hosts_file_before_name_servers(self):
        up, dns = self.upstream(), self.names({}, silent=True)
        with Weir(f"listen: 127.0.0.1:{{port}}\negress: {{resolvers: ['127.0.0.1:{dns.port}']}}\n"
                  f"providers: {{up: {{type: vllm, url: 'http://localhost:{up.port}/v1', models: [m]}}}}\n") as weir:
            began = time.monotonic()
            self.good(chat(weir.port))
            self.assertLess(time.monotonic() - began, late(1.5))
            self.assertEqual(dns.asked, [])


# ---------------------------------------------------------------- headers

class Telling(Upstream):
    """Adds header lines to its answers."""

    def __init__(self, lines):
        self.extra = "".join(f"{line}\r\n" for line in lines).encode()
        super().__init__()

    def _serve(self, sock, peer):
        request, _ = read_request(sock, b"", peer)
        if request is None:
            return
        self.requests.append(request)
        body = b'{"id":"c","object":"chat.completion","created":1,"model":"m","choices":[]}'
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n" + self.extra
                     + b"Content-Length: %d\r\n\r\n" % len(body) + body)


class Headers(Case):
    TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

    def test_up(self):
        up = self.upstream()
        more = "keys: {k: {secret: s3cret}}\nforward: {request: [X-Tenant]}\n"
        text = basic(up, more).replace("models: [m]", "models: [m], api_key: up-secret, headers: {X-Team: blue}")
        sent = {"Authorization": "Bearer s3cret", "Cookie": "session=1", "X-Tenant": "acme", "X-Other": "no",
                "User-Agent": "client/1", "Traceparent": self.TRACE, "Tracestate": "a=b", "OpenAI-Beta": "x=v1",
                "Idempotency-Key": "i-1", "X-Client-Request-Id": "c-1", "X-Forwarded-For": "6.6.6.6", "X-Team": "red",
                "OpenAI-Organization": "org-evil", "Proxy-Authorization": "Basic x", "X-Api-Key": "s3cret",
                "Forwarded": "for=6.6.6.6", "Via": "1.1 x"}
        with Weir(text) as weir:
            self.good(chat(weir.port, headers=sent))
        got = up.requests[0].headers
        self.assertEqual({n: got.get(n) for n in ("traceparent", "tracestate", "openai-beta", "idempotency-key",
                                                  "x-client-request-id", "x-tenant", "x-team", "authorization")},
                         {"traceparent": self.TRACE, "tracestate": "a=b", "openai-beta": "x=v1", "idempotency-key": "i-1",
                          "x-client-request-id": "c-1", "x-tenant": "acme", "x-team": "blue",
                          "authorization": "Bearer up-secret"})
        for name in ("cookie", "x-other", "x-forwarded-for", "openai-organization", "proxy-authorization", "x-api-key",
                     "forwarded", "via"):
            self.assertNotIn(name, got)
        self.assertFalse([line for line in up.requests[0].lines if "s3cret" in line])
        self.assertEqual(got["accept-encoding"], "identity")

    def test_credential_of_the_client(self):
        """Goes upstream only where the provider says so."""
        up = self.upstream()
        with Weir(basic(up)) as weir:
            self.good(chat(weir.port, headers={"Authorization": "Bearer mine"}))
            self.assertNotIn("authorization", up.requests[-1].headers)
            weir.write(basic(up).replace("models: [m]", "models: [m], api_key: client"))
            self.assertEqual(weir.reload()[0], 0)
            until("it goes along", lambda: chat(weir.port, headers={"Authorization": "Bearer mine"}).status == 200
                  and up.requests[-1].headers.get("authorization") == "Bearer mine")

    def test_down(self):
        up = Telling(["X-Request-Id: r-1", "X-RateLimit-Remaining-Tokens: 9", "OpenAI-Processing-Ms: 12", "X-Cache: hit",
                      "Set-Cookie: a=b", "Server: secret/1", "X-Internal: no", "Access-Control-Allow-Origin: *",
                      "Strict-Transport-Security: max-age=1", "Alt-Svc: h3", "X-Weir-Target: forged"])
        self.addCleanup(up.close)
        with Weir(basic(up, "forward: {answer: [x-cache]}\n")) as weir:
            got = self.good(chat(weir.port)).headers
        self.assertEqual((got["x-ratelimit-remaining-tokens"], got["openai-processing-ms"], got["x-cache"]),
                         ("9", "12", "hit"))
        for name in ("set-cookie", "server", "x-internal", "access-control-allow-origin", "strict-transport-security",
                     "alt-svc"):
            self.assertNotIn(name, got)
        self.assertEqual(got["x-weir-target"], "up/m")
        self.assertRegex(got["x-weir-request-id"], r"^wr-")

    def test_line_breaks_in_configured_headers(self):
        up = self.upstream()
        text = basic(up).replace("models: [m]", 'models: [m], headers: {X-A: "b\\r\\nX-Evil: 1"}')
        weir = Weir(text)
        with weir.launch():
            self.assertEqual(weir.wait(), 1)
            self.assertIn("weir.yaml:3:", weir.stderr())
