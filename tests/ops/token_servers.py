"""Servers that hand out credentials, scripted: Google's and Entra's token endpoints, the metadata services
of the clouds, STS. What they are asked is kept."""

import base64
import datetime
import json
import threading
import time
import urllib.parse

from harness import Server, openssl, requests_of


class TokenServer(Server):
    """Answers each request with `answer(request)`: a value (JSON), or (status, bytes or value). `delay`
    seconds pass before; while `silent`, nothing is answered."""

    def __init__(self, answer, port=0, tls=None):
        self.answer, self.delay, self.silent = answer, 0.0, False
        self.requests, self.times, self.busy, self.most_at_once = [], [], 0, 0
        self.lock = threading.Lock()
        super().__init__(self._serve, tls, port)

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    @property
    def host(self):
        return f"127.0.0.1:{self.port}"

    def _serve(self, sock, peer):
        for request in requests_of(sock, peer):
            with self.lock:
                self.requests.append(request)
                self.times.append(time.monotonic())
                self.busy += 1
                self.most_at_once = max(self.most_at_once, self.busy)
            try:
                time.sleep(self.delay)
                while self.silent:
                    time.sleep(0.05)
                self._send(sock, self.answer(request))
            finally:
                with self.lock:
                    self.busy -= 1

    def _send(self, sock, value):
        status, body = value if isinstance(value, tuple) else (200, value)
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        sock.sendall(b"HTTP/1.1 %d Status\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"
                     % (status, len(data), data))


def form(request):
    return dict(urllib.parse.parse_qsl(request.body.decode(), strict_parsing=True))


def query(request):
    path, _, text = request.path.partition("?")
    return path, dict(urllib.parse.parse_qsl(text))


class Tokens(TokenServer):
    """Bearer tokens token-1, token-2, ..., each good for `life` seconds. `script` holds answers that come
    before those."""

    def __init__(self, life=3600, script=(), port=0, tls=None):
        self.life, self.script, self.given = life, list(script), {}
        super().__init__(self._next, port, tls)

    def _next(self, _request):
        with self.lock:
            if self.script:
                return self.script.pop(0)
            token = f"token-{len(self.given) + 1}"
            self.given[token] = time.monotonic() + self.life
        return {"access_token": token, "expires_in": self.life, "token_type": "Bearer"}


def in_seconds(seconds):
    """The time in so many seconds, as AWS writes it."""
    when = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=seconds)
    return when.strftime("%Y-%m-%dT%H:%M:%SZ")


def aws_json(n, life):
    return {"Code": "Success", "AccessKeyId": f"AKIDTEST{n}", "SecretAccessKey": f"aws-secret-{n}",
            "Token": f"aws-session-{n}", "Expiration": in_seconds(life)}


def sts_xml(n, life):
    fields = aws_json(n, life)
    return ("<AssumeRoleWithWebIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">"
            "<AssumeRoleWithWebIdentityResult><AssumedRoleUser><Arn>arn:x</Arn></AssumedRoleUser><Credentials>"
            f"<AccessKeyId>{fields['AccessKeyId']}</AccessKeyId>\n"
            f"<SecretAccessKey>{fields['SecretAccessKey']}</SecretAccessKey>\n"
            f"<SessionToken>{fields['Token']}</SessionToken>"
            f"<Expiration>{fields['Expiration']}</Expiration></Credentials>"
            "</AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>").encode()


class Keys(TokenServer):
    """AWS keys 1, 2, ...: `make(n, life)` says how they look."""

    def __init__(self, make=aws_json, life=3600, script=()):
        self.make, self.life, self.script, self.n = make, life, list(script), 0
        super().__init__(self._next)

    def _next(self, _request):
        with self.lock:
            if self.script:
                return self.script.pop(0)
            self.n += 1
            return self.make(self.n, self.life)


class Instance(TokenServer):
    """The metadata service of an EC2 instance, version 2: a session first, then the role, then keys."""

    def __init__(self, life=21600):
        self.life, self.n = life, 0
        super().__init__(self._next)

    def _next(self, request):
        roles = "/latest/meta-data/iam/security-credentials/"
        if (request.method, request.path) == ("PUT", "/latest/api/token"):
            ttl = request.headers.get("x-aws-ec2-metadata-token-ttl-seconds", "")
            return (200, b"session-1") if ttl.isdigit() else (400, b"")
        if request.method != "GET" or request.headers.get("x-aws-ec2-metadata-token") != "session-1":
            return 401, b""
        if request.path == roles:
            return 200, b"the-role\n"
        if request.path == roles + "the-role":
            self.n += 1
            return aws_json(self.n, self.life)
        return 404, b""


class ServiceAccount:
    """A key pair of Google's kind in a folder, and its JSON file."""

    def __init__(self, folder, token_uri, bits=2048):
        self.folder = folder
        self.pem, self.public = folder / "account.key", folder / "account.pub"
        openssl("genpkey", "-algorithm", "RSA", "-pkeyopt", f"rsa_keygen_bits:{bits}", "-out", self.pem)
        openssl("pkey", "-in", self.pem, "-pubout", "-out", self.public)
        self.email = "weir@project-1.iam.example"
        self.value = {"type": "service_account", "project_id": "project-1", "private_key_id": "kid-1",
                      "private_key": self.pem.read_text("utf-8"), "client_email": self.email,
                      "token_uri": token_uri}
        self.file = folder / "account.json"
        self.file.write_text(json.dumps(self.value, indent=2), "utf-8")

    def verify(self, assertion):
        """(header, claims) of a JSON Web Token, whose signature is checked with the public key."""
        head, claims, signature = assertion.split(".")
        signed, given = self.folder / "signed", self.folder / "signature"
        signed.write_text(f"{head}.{claims}", "ascii")
        given.write_bytes(unbase64(signature))
        openssl("dgst", "-sha256", "-verify", self.public, "-signature", given, signed)
        return json.loads(unbase64(head)), json.loads(unbase64(claims))


def unbase64(text):
    if "=" in text:
        raise AssertionError("base64url in a token has no padding")
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
