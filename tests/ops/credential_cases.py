"""Credentials that are fetched: Google's and Entra's tokens, AWS' keys; failures, slow answers, renewal while
requests run, rotation of files, reload."""

import json
import threading
import time

from egress_cases import ConnectProxy
from harness import Case, Weir, ask, chat, free_port, late, until
from token_servers import Instance, Keys, ServiceAccount, Tokens, TokenServer, form, query, sts_xml

STATUS = "/admin/v1/status"
SECRET = "hunter2-secret"


def provider(text, more=""):
    return f"listen: 127.0.0.1:{{port}}\nproviders:\n  up: {{{text}, models: [m]}}\n{more}"


def azure(up, tokens, more="", secret=SECRET, authority=None):
    """Azure's OpenAI surface with tokens of Entra: what goes upstream is OpenAI's own wire."""
    return provider(f'type: azure, url: "http://127.0.0.1:{up.port}", entra: {{tenant: tenant-1, client_id: client-1, '
                    f'client_secret: {secret}, authority: "{authority or tokens.url}"}}', more)


def vertex(up, more="", publisher="openapi"):
    return provider(f'type: vertex, url: "http://127.0.0.1:{up.port}", project: p1, location: europe-west4, '
                    f'publisher: {publisher}{more}')


def bedrock(up, more=""):
    return provider(f'type: bedrock, url: "http://127.0.0.1:{up.port}", region: eu-central-1{more}')


class CredentialCase(Case):
    def server(self, made):
        self.addCleanup(made.close)
        return made

    def credentials(self, weir):
        return ask(weir.data / "admin.sock", path=STATUS).json()["credentials"]

    def state(self, weir):
        found = self.credentials(weir)
        self.assertEqual(len(found), 1, found)
        return found[0]

    def fresh(self, weir, renewed=1, seconds=10.0):
        """The one credential, once it has been fetched that often."""
        def look():
            state = self.state(weir)
            return state if state["state"] == "fresh" and state["renewed"] >= renewed else None
        return until(f"fetched {renewed} times", look, seconds)

    def bearer(self, up):
        return up.requests[-1].headers.get("authorization", "")

    def nothing_leaks(self, weir, *secrets):
        said = weir.stderr() + weir.text("stdout") + json.dumps(self.credentials(weir))
        for secret in secrets:
            self.assertNotIn(secret, said)


# ---------------------------------------------------------------- Google

class Google(CredentialCase):
    def test_service_account(self):
        up, tokens = self.upstream(), self.server(Tokens())
        account = ServiceAccount(self.folder(), tokens.url + "/token")
        with Weir(vertex(up, f', credentials: "file:{account.file}"')) as weir:
            state = self.fresh(weir)
            self.good(chat(weir.port))
            self.nothing_leaks(weir, "BEGIN PRIVATE", "token-1", form(tokens.requests[0])["assertion"])
        self.assertIn(account.email, state["credential"])
        self.assertLessEqual(state["expires_in_s"], 3600)
        asked = tokens.requests[0]
        self.assertEqual((asked.method, asked.path, asked.headers["content-type"]),
                         ("POST", "/token", "application/x-www-form-urlencoded"))
        fields = form(asked)
        self.assertEqual(fields["grant_type"], "urn:ietf:params:oauth:grant-type:jwt-bearer")
        head, claims = account.verify(fields["assertion"])
        self.assertEqual(head, {"alg": "RS256", "typ": "JWT", "kid": "kid-1"})
        self.assertEqual((claims["iss"], claims["aud"], claims["scope"]),
                         (account.email, tokens.url + "/token", "https://www.googleapis.com/auth/cloud-platform"))
        self.assertLessEqual(claims["exp"] - claims["iat"], 3600)
        self.assertLess(abs(claims["iat"] - time.time()), 60)
        self.assertEqual(self.bearer(up), "Bearer token-1")
        self.assertEqual(up.requests[-1].path,
                         "/v1/projects/p1/locations/europe-west4/endpoints/openapi/chat/completions")

    def test_inline_key_with_lines(self):
        """A YAML block holds the JSON as it was downloaded; its project stands in for `project`."""
        up, tokens = self.upstream(), self.server(Tokens())
        account = ServiceAccount(self.folder(), tokens.url + "/token")
        block = "".join(f"      {line}\n" for line in account.file.read_text().splitlines())
        text = (f"listen: 127.0.0.1:{{port}}\nproviders:\n  up:\n    type: vertex\n    url: http://127.0.0.1:{up.port}\n"
                f"    location: us\n    publisher: openapi\n    models: [m]\n    credentials: |\n{block}")
        with Weir(text) as weir:
            self.fresh(weir)
            self.good(chat(weir.port))
        self.assertIn("/projects/project-1/locations/us/", up.requests[-1].path)

    def test_user(self):
        """What `gcloud auth application-default login` leaves behind."""
        up, tokens = self.upstream(), self.server(Tokens())
        stored = self.folder() / "application_default_credentials.json"
        stored.write_text(json.dumps({"type": "authorized_user", "client_id": "client-1", "client_secret": SECRET,
                                      "refresh_token": "hunter2-refresh", "token_uri": tokens.url + "/t"}), "utf-8")
        for env in ({"GOOGLE_APPLICATION_CREDENTIALS": str(stored)}, {"CLOUDSDK_CONFIG": str(stored.parent)}):
            with Weir(vertex(up), env=env) as weir:
                self.fresh(weir)
                self.nothing_leaks(weir, SECRET, "hunter2-refresh")
            self.assertEqual(form(tokens.requests[-1]), {"grant_type": "refresh_token", "client_id": "client-1",
                                                         "client_secret": SECRET, "refresh_token": "hunter2-refresh"})

    def test_metadata_server(self):
        up, tokens = self.upstream(), self.server(Tokens())
        for text in (vertex(up, ", credentials: metadata"), vertex(up)):
            with Weir(text, env={"GCE_METADATA_HOST": tokens.host, "HTTP_PROXY": "http://127.0.0.1:1"}) as weir:
                self.fresh(weir)
            asked = tokens.requests[-1]
            self.assertEqual((asked.method, asked.path, asked.headers["metadata-flavor"]),
                             ("GET", "/computeMetadata/v1/instance/service-accounts/default/token", "Google"))

    def test_broken_file(self):
        stored = self.folder() / "broken.json"
        stored.write_text('{"type": "authorized_user", "client_id": "c"}', "utf-8")
        for env, said in (({"GOOGLE_APPLICATION_CREDENTIALS": str(stored)}, "has no `client_secret`"),
                          ({"GOOGLE_APPLICATION_CREDENTIALS": "/nowhere/x.json"}, "No such file")):
            weir = Weir(vertex(self.upstream()), env=env)
            with weir.launch():
                self.assertEqual(weir.wait(), 1)
                self.assertIn("credentials of provider `up`", weir.stderr())
                self.assertIn(said, weir.stderr())


# ---------------------------------------------------------------- Entra, and what all tokens share

class Entra(CredentialCase):
    def test_client_credentials(self):
        for surface, scope in (("v1", "https://ai.azure.com/.default"),
                               ("classic", "https://cognitiveservices.azure.com/.default")):
            up, tokens = self.upstream(), self.server(Tokens())
            with Weir(azure(up, tokens).replace("type: azure", f"type: azure, surface: {surface}")) as weir:
                self.fresh(weir)
                self.nothing_leaks(weir, SECRET, "token-1")
                if surface == "v1":
                    self.good(chat(weir.port))
                    self.assertEqual((self.bearer(up), up.requests[-1].path),
                                     ("Bearer token-1", "/openai/v1/chat/completions"))
            self.assertEqual(tokens.requests[0].path, "/tenant-1/oauth2/v2.0/token")
            self.assertEqual(form(tokens.requests[0]), {"grant_type": "client_credentials", "client_id": "client-1",
                                                        "client_secret": SECRET, "scope": scope})

    def test_managed_identity(self):
        up, tokens = self.upstream(), self.server(Tokens())
        on_machine = {"AZURE_POD_IDENTITY_AUTHORITY_HOST": tokens.url}
        app_service = {"IDENTITY_ENDPOINT": tokens.url + "/msi/token", "IDENTITY_HEADER": SECRET}
        for env, name, path, version in ((on_machine, "system", "/metadata/identity/oauth2/token", "2018-02-01"),
                                         (on_machine, "client-2", "/metadata/identity/oauth2/token", "2018-02-01"),
                                         (app_service, "system", "/msi/token", "2019-08-01")):
            with Weir(provider(f'type: azure, url: "http://127.0.0.1:{up.port}", managed_identity: {name}'), env=env) as weir:
                self.fresh(weir)
                self.nothing_leaks(weir, SECRET)
            asked = tokens.requests[-1]
            want = {"api-version": version, "resource": "https://ai.azure.com"}
            if name != "system":
                want["client_id"] = name
            self.assertEqual(query(asked), (path, want))
            header = ("x-identity-header", SECRET) if env is app_service else ("metadata", "true")
            self.assertEqual(asked.headers[header[0]], header[1])

    def test_expires_on_between_quotes(self):
        """App Service says when, not for how long, and as a text."""
        up = self.upstream()
        tokens = self.server(TokenServer(lambda _: {"access_token": "token-1", "expires_on": str(int(time.time()) + 900)}))
        with Weir(azure(up, tokens)) as weir:
            self.assertLess(abs(self.fresh(weir)["expires_in_s"] - 900), 30)

    def test_renewal_while_requests_run(self):
        """Short-lived tokens: each request carries one that is still good, and fetches never overlap."""
        up, tokens = self.upstream(), self.server(Tokens(life=4))
        tokens.delay = 0.3
        seen, wrong, end = set(), [], time.monotonic() + 12

        def client(port):
            while time.monotonic() < end:
                answer = chat(port)
                if answer.status != 200:
                    wrong.append(answer)
                time.sleep(0.02)

        with Weir(azure(up, tokens, "workers: 2\n")) as weir:
            self.fresh(weir)
            threads = [threading.Thread(target=client, args=(weir.port,)) for _ in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            state = self.state(weir)
        self.assertEqual(wrong, [])
        for request in up.requests:
            seen.add(request.headers["authorization"])
        self.assertGreaterEqual(len(seen), 3, seen)
        self.assertLessEqual(seen, {f"Bearer {token}" for token in tokens.given})
        self.assertEqual(tokens.most_at_once, 1)
        self.assertEqual(state["failures"], 0)
        self.assertLessEqual(len(tokens.requests), 7)

    def test_failures_and_recovery(self):
        """Refusals are logged with what the server says, tried again with growing pauses, and then over."""
        refusal = (401, {"error": "invalid_client", "error_description": f"AADSTS7000215: {'x' * 40} bad.\nTrace"})
        up, tokens = self.upstream(), self.server(Tokens(script=[refusal, (500, b"oops"), (200, b"[]")]))
        with Weir(azure(up, tokens)) as weir:
            state = until("it has failed", lambda: self.state(weir) if self.state(weir)["failures"] else None)
            self.assertEqual(state["state"], "failed")
            self.assertIn("HTTP 401: invalid_client", state["text"])
            self.assertGreaterEqual(chat(weir.port).status, 500)
            self.assertEqual(up.requests, [])
            self.assertEqual(self.fresh(weir, seconds=15)["failures"], 0)
            self.good(chat(weir.port))
            texts = [event["text"] for event in weir.said("credential.failed")]
            self.assertTrue(weir.said("credential.fresh"))
            self.nothing_leaks(weir, SECRET)
        self.assertEqual(len(texts), 3, texts)
        self.assertIn("AADSTS7000215: *** bad.", texts[0])
        self.assertIn("HTTP 500", texts[1])
        self.assertIn("no JSON object", texts[2])
        waits = [b - a for a, b in zip(tokens.times, tokens.times[1:])]
        for wait, least in zip(waits, (0.75, 1.5, 3.0)):
            self.assertGreaterEqual(wait, least - 0.05, waits)
            self.assertLess(wait, late(least * 4 / 3 + 1), waits)

    def test_bad_answers(self):
        good = {"access_token": "t", "expires_in": 60}
        for answer, said in (((200, {**good, "access_token": ""}), "no access_token"),
                             ((200, {"access_token": "t"}), "does not say when"),
                             ((200, {**good, "expires_in": 0}), "expired already"),
                             ((200, {**good, "expires_in": 10 ** 18}), "expired already"),
                             ((200, {**good, "access_token": "t\r\nX-Evil: 1"}), "no header can carry"),
                             ((200, json.dumps({**good, "pad": "x" * 70000}).encode()), "larger than 64 KiB"),
                             ((302, b""), "HTTP 302")):
            tokens = self.server(TokenServer(lambda _, a=answer: a))
            with Weir(azure(self.upstream(), tokens)) as weir:
                until(said, lambda w=weir, s=said: w.said("credential.failed", s))
                self.assertEqual(self.state(weir)["state"], "failed")

    def test_old_token_while_renewal_fails(self):
        """The token serves until its end; from then on requests are refused, and say why in the log."""
        up, tokens = self.upstream(), self.server(Tokens(life=5))
        with Weir(azure(up, tokens)) as weir:
            self.fresh(weir)
            given = time.monotonic()
            tokens.script = [(503, b"")] * 100
            until("the renewal fails", lambda: self.state(weir)["failures"] > 0, 8)
            self.assertLess(time.monotonic() - given, 5)
            self.good(chat(weir.port))
            state = until("it runs out", lambda: self.state(weir) if self.state(weir)["state"] == "expired" else None)
            self.assertIn("expired; last attempt: HTTP 503", state["text"])
            before = len(up.requests)
            self.assertGreaterEqual(chat(weir.port).status, 500)
            self.assertEqual(len(up.requests), before)

    def test_slow_and_silent_server(self):
        up, tokens = self.upstream(), self.server(Tokens(life=8))
        with Weir(azure(up, tokens)) as weir:
            self.fresh(weir)
            tokens.delay = 1.0  # it takes its time, but not more than the old token has
            self.fresh(weir, renewed=2, seconds=15)
            self.good(chat(weir.port))
            tokens.silent = True
            until("it is given up", lambda: weir.said("credential.failed", "no answer within 10 s"), 30)
            tokens.silent, tokens.delay = False, 0.0
            self.fresh(weir, renewed=3, seconds=15)
            tokens.silent = True
            began = time.monotonic()
            self.assertEqual(weir.stop(), 0)
            self.assertLess(time.monotonic() - began, late(3))
            tokens.silent = False

    def test_server_that_is_not_there_yet(self):
        up, port = self.upstream(), free_port()
        with Weir(azure(up, None, authority=f"http://127.0.0.1:{port}")) as weir:
            until("no connection", lambda: weir.said("credential.failed", "no connection"))
            self.server(Tokens(port=port))
            self.fresh(weir)
            self.good(chat(weir.port))

    def test_reload(self):
        """A credential outlives reloads as long as it is the same; another secret is another one."""
        up, tokens = self.upstream(), self.server(Tokens())
        with Weir(azure(up, tokens)) as weir:
            self.fresh(weir)
            weir.write(azure(up, tokens, "models: {alias: {targets: [up/m]}}\n"))
            self.assertEqual(weir.reload()[0], 0)
            self.good(chat(weir.port, "alias"))
            self.assertEqual((len(tokens.requests), self.bearer(up)), (1, "Bearer token-1"))
            weir.write(azure(up, tokens, secret="hunter2-next"))
            self.assertEqual(weir.reload()[0], 0)
            until("the new secret is used", lambda: len(tokens.requests) == 2)
            self.assertEqual(form(tokens.requests[1])["client_secret"], "hunter2-next")
            until("the new token goes along", lambda: chat(weir.port).status == 200
                  and self.bearer(up) == "Bearer token-2")
            weir.write(azure(up, tokens).replace("entra: {tenant: tenant-1", "entra: {"))
            self.assertEqual(weir.reload()[0], 1)
            self.good(chat(weir.port))

    def test_way_to_the_server(self):
        """TLS with an authority of one's own, through the egress proxy; a reload that changes the way changes it
        for the credential that is there."""
        name, ca = "login.weir.test", self.authority()
        up, tokens = self.upstream(), self.server(Tokens(tls=ca.server("login", f"DNS:{name}")))
        proxy = self.server(ConnectProxy(tokens.port))
        text = azure(up, None, authority=f"https://{name}") + f"egress: {{proxy: '{proxy.url}'"
        with Weir(text + "}\n") as weir:
            until("it is not trusted", lambda: weir.said("credential.failed", "TLS handshake"))
            self.assertEqual(tokens.requests, [])
            weir.write(text + f", ca_file: {ca.ca}}}\n")
            self.assertEqual(weir.reload()[0], 0)
            self.fresh(weir)
            self.good(chat(weir.port))
        self.assertEqual(set(proxy.lines), {f"CONNECT {name}:443"})
        self.assertEqual(tokens.requests[0].headers["host"], name)

    def test_two_providers_share(self):
        up, tokens = self.upstream(), self.server(Tokens())
        one = azure(up, tokens)
        line = one.splitlines()[2]
        with Weir(one + line.replace("  up:", "  other:") + "\n") as weir:
            self.fresh(weir)
        self.assertEqual(len(tokens.requests), 1)


# ---------------------------------------------------------------- AWS

class Aws(CredentialCase):
    def signed_with(self, weir, up, key):
        """Sends a request and says whether it is signed with that key."""
        before = len(up.requests)
        chat(weir.port)
        sent = up.requests[before:]
        return bool(sent) and f"Credential={key}/" in sent[-1].headers.get("authorization", "")

    def test_configuration_and_environment(self):
        up = self.upstream()
        text = bedrock(up, ", access_key: AKIDTEST1, secret_key: hunter2-aws, session_token: aws-session-1")
        env = {"AWS_ACCESS_KEY_ID": "AKIDTEST2", "AWS_SECRET_ACCESS_KEY": "hunter2-aws"}
        for config, variables, key in ((text, {}, "AKIDTEST1"), (bedrock(up), env, "AKIDTEST2")):
            with Weir(config, env=variables) as weir:
                self.assertEqual(self.state(weir)["state"], "fresh")
                self.assertTrue(self.signed_with(weir, up, key), up.requests[-1].lines)
                token = up.requests[-1].headers.get("x-amz-security-token")
                self.assertEqual(token, "aws-session-1" if not variables else None)
                self.nothing_leaks(weir, "hunter2-aws", "aws-session-1")

    def test_bearer_key(self):
        up = self.upstream()
        with Weir(bedrock(up), env={"AWS_BEARER_TOKEN_BEDROCK": "bedrock-key"}) as weir:
            self.assertEqual(self.credentials(weir), [])
            chat(weir.port)
        self.assertEqual(self.bearer(up), "Bearer bedrock-key")

    def write_file(self, path, n):
        path.parent.mkdir(exist_ok=True)
        fresh = path.with_suffix(".new")
        fresh.write_text(f"# keys\n[default]\naws_access_key_id=AKIDTEST{n}\naws_secret_access_key = hunter2-{n}\n\n"
                         f"[other]\r\naws_access_key_id = AKIDOTHER{n}\r\naws_secret_access_key=hunter2-o{n}\r\n"
                         f"aws_session_token=session==\r\n[empty]\nrole_arn = arn:x\n", "utf-8")
        fresh.rename(path)

    def test_shared_file_and_its_rotation(self):
        up, folder = self.upstream(), self.folder()
        self.write_file(folder / ".aws" / "credentials", 1)
        for more, env, key in (("", {}, "AKIDTEST"), (", profile: other", {}, "AKIDOTHER"),
                               ("", {"AWS_PROFILE": "other"}, "AKIDOTHER")):
            self.write_file(folder / ".aws" / "credentials", 1)
            with Weir(bedrock(up, more), env={"HOME": str(folder), **env}) as weir:
                self.assertTrue(self.signed_with(weir, up, key + "1"))
                self.write_file(folder / ".aws" / "credentials", 2)
                until("the new keys are used", lambda w=weir, k=key: self.signed_with(w, up, k + "2"))
                (folder / ".aws" / "credentials").write_text("[default]\n", "utf-8")
                until("the empty file is noticed", lambda w=weir: w.said("credential.failed"))
                self.assertTrue(self.signed_with(weir, up, key + "2"))
                self.write_file(folder / ".aws" / "credentials", 3)
                until("keys come again", lambda w=weir, k=key: self.signed_with(w, up, k + "3"))
                self.nothing_leaks(weir, "hunter2")

    def test_profile_that_is_not_there(self):
        folder = self.folder()
        self.write_file(folder / ".aws" / "credentials", 1)
        for name, said in (("nobody", "there is no profile nobody"), ("empty", "not followed: role_arn")):
            weir = Weir(bedrock(self.upstream(), f", profile: {name}"), env={"HOME": str(folder)})
            with weir.launch():
                self.assertEqual(weir.wait(), 1)
                self.assertIn(said, weir.stderr())

    def test_web_identity(self):
        up, keys, folder = self.upstream(), self.server(Keys(sts_xml, life=4)), self.folder()
        token = folder / "token"
        token.write_text("web-1\n", "utf-8")
        keys.script = [(403, b"<ErrorResponse><Error><Code>AccessDenied</Code></Error></ErrorResponse>")]
        env = {"AWS_WEB_IDENTITY_TOKEN_FILE": str(token), "AWS_ROLE_ARN": "arn:aws:iam::1:role/r",
               "AWS_ENDPOINT_URL_STS": keys.url, "AWS_ROLE_SESSION_NAME": "me"}
        with Weir(bedrock(up), env=env) as weir:
            self.fresh(weir)
            self.assertTrue(weir.said("credential.failed", "HTTP 403: AccessDenied"))
            self.assertTrue(self.signed_with(weir, up, "AKIDTEST1"))
            self.assertEqual(up.requests[-1].headers["x-amz-security-token"], "aws-session-1")
            token.write_text("web-2\n", "utf-8")  # the kubelet rotates it
            self.fresh(weir, renewed=2)
            self.nothing_leaks(weir, "aws-secret", "aws-session", "web-1")
        self.assertEqual(form(keys.requests[0]), {"Action": "AssumeRoleWithWebIdentity", "Version": "2011-06-15",
                                                  "RoleArn": "arn:aws:iam::1:role/r", "RoleSessionName": "me",
                                                  "WebIdentityToken": "web-1"})
        self.assertEqual(form(keys.requests[2])["WebIdentityToken"], "web-2")

    def test_container(self):
        up, keys, folder = self.upstream(), self.server(Keys(life=4)), self.folder()
        token = folder / "token"
        token.write_text("container-1\n", "utf-8")
        env = {"AWS_CONTAINER_CREDENTIALS_FULL_URI": keys.url + "/creds?role=a",
               "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": str(token)}
        with Weir(bedrock(up), env=env) as weir:
            self.fresh(weir)
            self.assertTrue(self.signed_with(weir, up, "AKIDTEST1"))
            token.write_text("container-2\n", "utf-8")
            self.fresh(weir, renewed=2)
            self.assertTrue(self.signed_with(weir, up, "AKIDTEST2"))
            self.nothing_leaks(weir, "container-", "aws-secret")
        self.assertEqual([(r.method, r.path, r.headers["authorization"]) for r in keys.requests[:2]],
                         [("GET", "/creds?role=a", "container-1"), ("GET", "/creds?role=a", "container-2")])

    def test_instance(self):
        up, instance = self.upstream(), self.server(Instance(life=5))
        with Weir(bedrock(up), env={"AWS_EC2_METADATA_SERVICE_ENDPOINT": instance.url}) as weir:
            self.fresh(weir)
            self.assertTrue(self.signed_with(weir, up, "AKIDTEST1"))
            self.fresh(weir, renewed=2)
            self.assertEqual(len(instance.requests), 6)
            self.nothing_leaks(weir, "session-1", "aws-secret")
        weir = Weir(bedrock(up), env={"AWS_EC2_METADATA_DISABLED": "true"})
        with weir.launch():
            self.assertEqual(weir.wait(), 1)
            self.assertIn("AWS_EC2_METADATA_DISABLED", weir.stderr())


# ---------------------------------------------------------------- keys in headers

class Keyed(CredentialCase):
    def test_header_of_each_type(self):
        """Where a provider's own key goes."""
        for kind, header, value in (("anthropic", "x-api-key", "k1"), ("gemini", "x-goog-api-key", "k1"),
                                    ("azure", "api-key", "k1"), ("bedrock, region: r1", "authorization", "Bearer k1"),
                                    ("groq", "authorization", "Bearer k1"),
                                    ("baseten", "authorization", "Api-Key k1")):
            up = self.upstream()
            with Weir(provider(f'type: {kind}, url: "{up.url}", api_key: k1')) as weir:
                chat(weir.port)
            self.assertEqual(up.requests[0].headers.get(header), value, kind)
