"""Providers whose answers do not come as they are: SageMaker, which signs requests and wraps the container's
stream in its own, and Replicate and RunPod, where an answer is a job that is asked for until it is done."""

import concurrent.futures
import dataclasses
import datetime
import hashlib
import hmac
import random
import re
import socket
import struct
import time
import types
import urllib.parse
import zlib

from canon import dumps, pieces
from dialect_wires import CLIENTS, LegacyProvider
from features import ANSWER, SAID, USAGE, asking
from formats import openai
from formats.converse import header
from harness import Case, Server, Weir, late, requests_of, until

KEY, SECRET, SESSION, REGION = "AKIDJOBTEST", "hunter2/secret+key", "session==token", "eu-central-1"
WORDS = "CUDA out of memory, says the container."
PLAYERS = 6
TOLD = (USAGE["input"], USAGE["output"])
UNTOLD = (None, None)
JSON, STREAM = False, True


# ---------------------------------------------------------------- what all share

class Scripted(Server):
    """Answers each request with what `answer(request)` writes to its socket; the connection ends where that
    returns False."""

    def __init__(self, answer):
        self.requests, self.answer, self.problems = [], answer, []
        super().__init__(self._serve)

    def _serve(self, sock, peer):
        for request in requests_of(sock, peer):
            self.requests.append(request)
            try:
                if self.answer(request) is False:
                    return
            except (AssertionError, KeyError, TypeError) as e:
                self.problems.append(f"{type(e).__name__}: {e}")
                return


def send(request, value, status=200, *headers):
    body = value if isinstance(value, bytes) else dumps(value).encode()
    fields = "".join(f"{name}: {said}\r\n" for name, said in headers)
    request.sock.sendall(f"HTTP/1.1 {status} Status\r\nContent-Type: application/json\r\n{fields}"
                         f"Content-Length: {len(body)}\r\n\r\n".encode() + body)


class Judged(Case):
    """Requests through Weir, and what has to come of them."""

    def scripted(self, answer):
        made = Scripted(answer)
        self.addCleanup(lambda: self.assertEqual(made.problems, []))
        self.addCleanup(made.close)
        return made

    def log(self, weir, reply):
        wanted = reply.headers["x-weir-request-id"]
        return until("it is logged", lambda: next((a for a in weir.access() if a["request_id"] == wanted), None))

    def logged(self, weir, reply, reason, used=UNTOLD):
        line = self.log(weir, reply)
        self.assertEqual((line["reason"], line.get("input_tokens"), line.get("output_tokens")), (reason, *used), line)
        self.assertEqual(line["status"], reply.status)

    def whole(self, weir, client, model, stream, used=TOLD, said=SAID):
        """A good answer."""
        reply = CLIENTS[client].ask(weir.port, model, stream)
        self.assertEqual((reply.status, reply.cut), (200, False), reply)
        answer, error = CLIENTS[client].read(reply, stream)
        self.assertIsNone(error)
        self.assertEqual("".join(part["text"] for part in answer["choices"][0]["parts"]), said)
        self.assertEqual(answer["choices"][0]["finish"], "stop")
        self.logged(weir, reply, "complete", used)
        return reply

    def refused(self, weir, client, model, stream, status, reason, words=""):
        """An error before anything else; never a seeming success."""
        reply = CLIENTS[client].ask(weir.port, model, stream)
        self.assertEqual((reply.status, reply.cut), (status, False), reply)
        self.assertIn(words, CLIENTS[client].form.read_error(reply.json())["message"])
        self.logged(weir, reply, reason)
        return reply

    def broken(self, weir, client, model, reason, words=""):
        """A stream that ends with an error."""
        reply = CLIENTS[client].ask(weir.port, model, True)
        self.assertEqual((reply.status, reply.cut), (200, True), reply)
        self.assertIsNone(re.search(CLIENTS[client].success, reply.body.decode()), reply)
        _, error = CLIENTS[client].read(reply, True)
        self.assertIn(words, error["message"])
        self.logged(weir, reply, reason)
        return reply

    def each(self, check, *modes, clients=tuple(CLIENTS), **said):
        """Clients of all dialects at once, a subtest for each."""
        with concurrent.futures.ThreadPoolExecutor(PLAYERS) as pool:
            played = [(client, stream, pool.submit(check, client, stream)) for client in clients for stream in modes]
        for client, stream, done in played:
            with self.subTest(client=client, stream=stream, **said):
                done.result()


# ---------------------------------------------------------------- SageMaker

def sign(key, text):
    return hmac.new(key, text.encode(), hashlib.sha256).digest()


def signature(request, service, secret=SECRET):
    """What Signature Version 4 says of the request as it came."""
    found = re.fullmatch(r"AWS4-HMAC-SHA256 Credential=([^/]+)/(\d{8})/([^/]+)/([^/]+)/aws4_request, ?"
                         r"SignedHeaders=([a-z0-9;-]+), ?Signature=([0-9a-f]{64})", request.headers["authorization"])
    assert found, request.headers["authorization"]
    assert found[3] == REGION and found[4] == service, found[0]
    path, _, query = request.path.partition("?")
    names = found[5].split(";")
    assert names == sorted(names) and "host" in names, names
    canonical = "\n".join([
        request.method, urllib.parse.quote(path, safe="/-_.~"), "&".join(sorted(query.split("&"))) if query else "",
        *(f"{name}:{' '.join(request.headers[name].split())}" for name in names), "", found[5],
        hashlib.sha256(request.body).hexdigest()])
    date = request.headers["x-amz-date"]
    scope = f"{found[2]}/{REGION}/{service}/aws4_request"
    text = "\n".join(["AWS4-HMAC-SHA256", date, scope, hashlib.sha256(canonical.encode()).hexdigest()])
    key = sign(sign(sign(sign(b"AWS4" + secret.encode(), found[2]), REGION), service), "aws4_request")
    return types.SimpleNamespace(key=found[1], date=date, names=names, given=found[6],
                                 right=hmac.new(key, text.encode(), hashlib.sha256).hexdigest())


def aws_message(payload, **headers):
    """One message of the event stream; `_` in names of headers stands for -."""
    head = b"".join(header(":" + name.replace("_", "-"), value) for name, value in headers.items())
    prelude = struct.pack(">II", 16 + len(head) + len(payload), len(head))
    message = prelude + struct.pack(">I", zlib.crc32(prelude)) + head + payload
    return message + struct.pack(">I", zlib.crc32(message))


def part(payload):
    return aws_message(payload, event_type="PayloadPart", content_type="application/octet-stream", message_type="event")


def model_stream_error(name="ModelStreamError"):
    body = dumps({"Message": WORDS, "ErrorCode": "StreamBroken"}).encode()
    return aws_message(body, exception_type=name, content_type="application/json", message_type="exception")


CALL = types.SimpleNamespace(wire_name="openai", model="container-model",
                             body={"stream_options": {"include_usage": True}})


def form_of(request):
    return LegacyProvider if "prompt" in request.json() else openai


def openai_body(form=openai):
    return form.write_answer(ANSWER, CALL)


def openai_stream(form=openai):
    """The container's own stream."""
    return b"".join(f"data: {data}\n\n".encode() for _, data in form.write_stream(ANSWER, CALL))


def tgi_body():
    return [{"generated_text": SAID, "details": {"finish_reason": "eos_token", "generated_tokens": USAGE["output"],
                                                 "input_length": USAGE["input"]}}]


def tgi_events():
    said = pieces(SAID, 5)
    for at, token in enumerate(said):
        last = at == len(said) - 1
        yield {"index": at, "token": {"id": at, "text": token, "logprob": -0.5, "special": False},
               "generated_text": SAID if last else None, "details": tgi_body()[0]["details"] if last else None}


def tgi_stream():
    return b"".join(b"data:" + dumps(event).encode() + b"\n\n" for event in tgi_events())


def cut_at(data, places):
    """The pieces between these places."""
    edges = [0, *sorted(places), len(data)]
    return [data[a:b] for a, b in zip(edges, edges[1:]) if a < b]


def anywhere(seed):
    chance = random.Random(seed)
    return lambda data: cut_at(data, [chance.randrange(1, len(data)) for _ in range(40)])


# Ways to cut a stream, by name.
WAYS = {
    "whole": lambda data: [data],
    "bytes": lambda data: cut_at(data, range(1, len(data))),
    "events": lambda data: cut_at(data, [found.end() for found in re.finditer(b"\n\n", data)]),
    "line-ends": lambda data: cut_at(data, [found.start() + 1 for found in re.finditer(b"\n\n", data)]),
    "characters": lambda data: cut_at(data, [at for at, byte in enumerate(data) if byte & 0xC0 == 0x80]),
    "anywhere-1": anywhere(1), "anywhere-2": anywhere(2), "anywhere-3": anywhere(3),
}


def send_stream(request, messages, then="end", size=None):
    """The messages in HTTP chunks of their own, or of `size` bytes."""
    sock, data = request.sock, b"".join(messages)
    chunks = messages if size is None else [data[at:at + size] for at in range(0, len(data), size)]
    sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/vnd.amazon.eventstream\r\n"
                 b"X-Amzn-SageMaker-Content-Type: text/event-stream\r\nx-amzn-RequestId: aws-7\r\n"
                 b"Transfer-Encoding: chunked\r\n\r\n")
    sock.sendall(b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in chunks))
    if then == "end":
        sock.sendall(b"0\r\n\r\n")
    return then == "end"


class SageMaker(Judged):
    def endpoint(self, whole, stream, more=""):
        """Endpoints, by name: what their streams' messages are. (server, configuration)"""
        def answer(request):
            signed = signature(request, "sagemaker")
            assert (signed.key, signed.given) == (KEY, signed.right), request.lines
            found = re.fullmatch(r"/endpoints/([^/]+)/invocations(-response-stream)?", request.path)
            assert found and request.method == "POST", request.path
            assert request.headers["content-type"] == "application/json", request.lines
            return stream(request, found[1]) if found[2] else whole(request, found[1])
        server = self.scripted(answer)
        return server, (f'listen: 127.0.0.1:{{port}}\nproviders:\n  sm: {{type: sagemaker, region: {REGION}, '
                        f'access_key: {KEY}, secret_key: "{SECRET}", url: "http://127.0.0.1:{server.port}"{more}}}\n')

    def test_whole(self):
        server, config = self.endpoint(lambda request, _: send(request, openai_body(form_of(request))), None)
        with Weir(config) as weir:
            self.each(lambda client, stream: self.whole(weir, client, "sm/my-endpoint", stream), JSON)
        for request in server.requests:
            self.assertEqual(request.path, "/endpoints/my-endpoint/invocations")
            self.assertFalse(request.json().get("stream"))
            self.assertTrue(request.json().get("messages") or request.json().get("prompt"))

    def test_session_token(self):
        server, config = self.endpoint(lambda request, _: send(request, openai_body()), None,
                                       f', session_token: "{SESSION}"')
        with Weir(config) as weir:
            self.whole(weir, "openai", "sm/e", JSON)
        signed = signature(server.requests[0], "sagemaker")
        self.assertEqual(server.requests[0].headers["x-amz-security-token"], SESSION)
        self.assertIn("x-amz-security-token", signed.names)
        then = datetime.datetime.strptime(signed.date + "+0000", "%Y%m%dT%H%M%SZ%z")
        self.assertLess(abs(then.timestamp() - time.time()), 120)

    def streams(self, made, more=""):
        """Every cut of the container's stream comes out the same for clients of every dialect."""
        def stream(request, name):
            base, _, size = name.partition("--")
            return send_stream(request, [part(piece) for piece in WAYS[base](made(request))],
                               size=int(size) if size else None)
        server, config = self.endpoint(None, stream, more)
        with Weir(config) as weir:
            for name in [*WAYS, "whole--7", "characters--1"]:
                self.each(lambda client, streams, name=name: self.whole(weir, client, "sm/" + name, streams), STREAM,
                          cut=name)
        return server

    def test_stream(self):
        server = self.streams(lambda request: openai_stream(form_of(request)))
        self.assertTrue(all(request.json()["stream"] for request in server.requests))

    def test_stream_errors(self):
        """The container fails at first, in the middle, and behind its answer, which is whole then."""
        def ways(data):
            some = data[:len(data) // 2]
            flipped = bytearray(part(some))
            flipped[-9] ^= 1
            return {"first": [model_stream_error()], "middle": [part(some), model_stream_error()],
                    "internal": [part(some), model_stream_error("InternalStreamFailure")],
                    "behind": [part(data), model_stream_error()], "rubbish": [part(data), b"rubbish" * 9],
                    "crc": [part(data[:900]), bytes(flipped)], "half": [part(some)], "nothing": [],
                    "cut": [part(some), part(some)[:30]],
                    "strange": [part(some), aws_message(b"{}", event_type="Future", message_type="event"),
                                part(data[len(some):])]}
        _, config = self.endpoint(None, lambda request, name: send_stream(
            request, ways(openai_stream(form_of(request)))[name], "cut" if name == "cut" else "end"))

        def check(client, stream):
            self.refused(weir, client, "sm/first", stream, 502, "upstream_error", WORDS)
            self.refused(weir, client, "sm/nothing", stream, 502, "upstream_cut")
            self.broken(weir, client, "sm/middle", "upstream_error", WORDS)
            self.broken(weir, client, "sm/internal", "upstream_error", WORDS)
            self.broken(weir, client, "sm/crc", "upstream_bad_answer")
            self.broken(weir, client, "sm/half", "upstream_cut")
            self.broken(weir, client, "sm/cut", "upstream_cut")
            self.whole(weir, client, "sm/behind", stream)
            self.whole(weir, client, "sm/rubbish", stream)
            self.whole(weir, client, "sm/strange", stream)
        with Weir(config) as weir:
            self.each(check, STREAM)

    def test_refusals(self):
        """What SageMaker's runtime itself answers."""
        rows = {"model": (424, {"ErrorCode": "INTERNAL_FAILURE_FROM_MODEL", "Message": WORDS, "OriginalStatusCode": 500,
                                "OriginalMessage": "x", "LogStreamArn": "arn:x"}, 424, "upstream_error", WORDS),
                "missing": (400, {"Message": "Endpoint e not found."}, 400, "upstream_refused", "not found"),
                "signature": (403, {"message": "The security token is invalid"}, 502, "upstream_auth", ""),
                "throttled": (429, {"Message": WORDS}, 429, "rate_limit_exceeded", WORDS),
                "down": (503, {"Message": WORDS}, 503, "upstream_error", WORDS)}

        def refuse(request, name):
            send(request, rows[name][1], rows[name][0], ("x-amzn-errortype", "ModelError"))
        _, config = self.endpoint(refuse, refuse)

        def check(client, stream):
            for name, (_, _, status, reason, words) in rows.items():
                reply = self.refused(weir, client, "sm/" + name, stream, status, reason, words)
                self.assertNotIn("security token", reply.body.decode())
        with Weir(config) as weir:
            self.each(check, JSON, STREAM)

    def test_tgi(self):
        server, config = self.endpoint(lambda request, _: send(request, tgi_body()), None, ", body: tgi")
        with Weir(config) as weir:
            self.each(lambda client, stream: self.whole(weir, client, "sm/e", stream), JSON)
        for request in server.requests:
            self.assertIn("Hello", request.json()["inputs"])
            self.assertEqual(request.json()["parameters"]["max_new_tokens"], 300)

    def test_tgi_stream(self):
        server = self.streams(lambda request: tgi_stream(), ", body: tgi")
        self.assertTrue(all(request.json()["stream"] for request in server.requests))

    def test_tgi_stream_errors(self):
        data = tgi_stream()
        some, told = data[:len(data) // 2], b'data:{"error":"%s","error_type":"generation"}\n\n' % WORDS.encode()
        events = data[:data.index(b"\n\n", len(some)) + 2]
        ways = {"first": [part(told)], "middle": [part(events), part(told)], "half": [part(some)],
                "broken": [part(some), model_stream_error()]}
        _, config = self.endpoint(None, lambda request, name: send_stream(request, ways[name]), ", body: tgi")

        def check(client, stream):
            self.refused(weir, client, "sm/first", stream, 424, "upstream_error", WORDS)
            self.broken(weir, client, "sm/middle", "upstream_error", WORDS)
            self.broken(weir, client, "sm/half", "upstream_cut")
            self.broken(weir, client, "sm/broken", "upstream_error", WORDS)
        with Weir(config) as weir:
            self.each(check, STREAM)


# ---------------------------------------------------------------- jobs

@dataclasses.dataclass
class Queue:
    """A provider of jobs. `states`: in work, then done, failed, given up. `used`: what it says of tokens."""
    type: str
    model: str
    create: str
    look: str
    states: tuple
    used: tuple
    stopped: dict  # further states that are failures: the client's status

    def job(self, number, state, **more):
        return {"id": f"job-{number}", "status": state, **more}


class Replicate(Queue):
    def done(self, number):
        return self.job(number, "succeeded", model=self.model, error=None, output=pieces(SAID, 4), metrics={
            "input_token_count": USAGE["input"], "output_token_count": USAGE["output"], "predict_time": 1.5})

    def failed(self, number):
        return self.job(number, "failed", error=WORDS, output=None)

    def asks(self, body):
        return "Hello" in body["input"]["prompt"] and body["input"]["max_tokens"] == 300


class RunPod(Queue):
    def done(self, number):
        return self.job(number, "COMPLETED", delayTime=10, executionTime=200, output=[openai_body()])

    def failed(self, number):
        error = dumps({"error_type": "<class 'RuntimeError'>", "error_message": WORDS, "error_traceback": "Traceback"})
        return self.job(number, "FAILED", error=error)

    def asks(self, body):
        return body["input"]["openai_input"]["messages"][0]["content"] == "Hello"


REPLICATE = Replicate("replicate", "meta/llama-3", "/models/meta/llama-3/predictions", "/predictions/",
                      ("starting", "processing"), TOLD, {"canceled": 502, "aborted": 504})
RUNPOD = RunPod("runpod-native", "llama-3", "/runsync", "/status/", ("IN_QUEUE", "IN_PROGRESS"), TOLD,
                {"CANCELLED": 502, "TIMED_OUT": 504})


def in_flight(weir):
    return sum(value for name, value in weir.metrics().items() if name.startswith("llm_inflight"))


class JobCase:
    """What holds for every queue; not a case by itself."""
    queue = None

    def jobs(self, script=None):
        """A server where job N is what its script(N, LOOKS) says: a value, or a function that answers the
        request."""
        looks, created = {}, []

        def answer(request):
            assert request.headers["authorization"] == "Bearer job-key", request.lines
            if request.path == "/v9" + self.queue.create:
                assert request.method == "POST" and self.queue.asks(request.json()), request.body
                created.append(request)
                number = len(created)
            else:
                assert request.path.startswith("/v9" + self.queue.look + "job-"), request.path
                assert request.method == "GET" and not request.body, request.lines
                number = int(request.path.rpartition("-")[2])
                looks[number] = looks.get(number, 0) + 1
            said = server.script(number, looks.get(number, 0))
            return said(request) if callable(said) else send(request, said, 201 if number not in looks else 200)
        server = self.scripted(answer)
        server.looks, server.created, server.script = looks, created, script
        return server

    def config(self, server, more="", server_more=""):
        return (f'listen: 127.0.0.1:{{port}}\nproviders:\n  jobs: {{type: {self.queue.type}, '
                f'url: "http://127.0.0.1:{server.port}/v9", api_key: job-key{more}}}\n{server_more}')

    def after(self, n, end):
        """In work until looked at n times."""
        states = self.queue.states
        return lambda number, looks: end(number) if looks >= n else self.queue.job(number, states[min(looks, 1)])

    @property
    def model(self):
        return "jobs/" + self.queue.model

    def test_done(self):
        """At once, and after some looks; streams are the same answer in events."""
        for n in (0, 2):
            server = self.jobs(self.after(n, self.queue.done))
            with Weir(self.config(server)) as weir:
                self.each(lambda client, stream: self.whole(weir, client, self.model, stream, self.queue.used),
                          JSON, STREAM, looks=n)
            self.assertEqual(len(server.created), 2 * len(CLIENTS))
            self.assertEqual(set(server.looks.values()), {n} if n else set())

    def test_failed(self):
        server = self.jobs()
        ends = [(self.queue.failed, 502, WORDS), *(
            (lambda number, state=state: self.queue.job(number, state), status, "")
            for state, status in self.queue.stopped.items())]
        with Weir(self.config(server)) as weir:
            for end, status, words in ends:
                server.script = self.after(1, end)
                self.each(lambda client, stream: self.refused(weir, client, self.model, stream, status,
                                                              "upstream_error", words), JSON, STREAM, end=end(0))

    def test_refused(self):
        """The job is not even made, or its state is not told."""
        server, first = self.jobs(), self.queue.states[0]
        rows = ((401, 502, "upstream_auth"), (422, 422, "upstream_refused"), (429, 429, "rate_limit_exceeded"),
                (503, 503, "upstream_error"), (404, 404, "upstream_refused"))

        def refusing(when, status):
            body = {"title": "No", "detail": WORDS, "status": status}
            return lambda number, looks: self.queue.job(number, first) if looks != when else \
                lambda request: send(request, body, status, ("Retry-After", "3"))

        def check(client, stream):
            reply = self.refused(weir, client, self.model, stream, status, reason,
                                 "" if reason == "upstream_auth" else WORDS)
            self.assertEqual(reply.headers["retry-after"], "3")
        with Weir(self.config(server)) as weir:
            for when in (0, 1):
                for told, status, reason in rows:
                    server.script = refusing(when, told)
                    self.each(check, JSON, STREAM, when=when, status=told)

    def test_nonsense(self):
        """Answers that no queue gives: none is taken for an answer, and no path is made of them."""
        queue = self.queue
        first = [b"<html>Please log in</html>", b'{"id": "job-1", "status": ', {"id": "job-1"}, [], {},
                 {"id": "job-1", "status": "FUTURE"}, {"status": queue.states[0]},
                 {"id": "../admin", "status": queue.states[0]}, {"id": "a b", "status": queue.states[0]},
                 {"id": 7, "status": queue.states[0]}, {"id": "", "status": queue.states[0]},
                 {"id": "j" * 500, "status": queue.states[0]}, {**queue.done(1), "output": 7, "metrics": {}}]

        server = self.jobs()
        with Weir(self.config(server)) as weir:
            for said in first:
                server.script = lambda number, looks, said=said: said
                self.each(lambda client, stream: self.refused(weir, client, self.model, stream, 502,
                                                              "upstream_bad_answer"), JSON, STREAM, said=said)
        self.assertEqual(server.looks, {})

    def test_client_leaves(self):
        """Nobody asks for a job that nobody waits for."""
        server = self.jobs(self.after(10 ** 6, self.queue.done))
        with Weir(self.config(server)) as weir:
            socks = []
            for stream in (JSON, STREAM):
                body = dumps(openai.write_request(asking(), self.model, stream)).encode()
                sock = socket.create_connection(("127.0.0.1", weir.port))
                sock.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: w\r\nContent-Type: application/json\r\n"
                             b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
                socks.append(sock)
            until("both are looked at", lambda: len(server.looks) == 2 and min(server.looks.values()) >= 2)
            self.assertEqual(in_flight(weir), 2)
            for sock in socks:
                sock.close()
            for line in weir.last_access(2):
                self.assertEqual((line["reason"], line["status"]), ("client_closed_request", 499), line)
            time.sleep(0.05)
            before = dict(server.looks)
            time.sleep(1.2)
            self.assertEqual(server.looks, before)
            self.assertEqual(in_flight(weir), 0)

    def test_never_done(self):
        """The limit of the whole is the limit of all looks together."""
        server = self.jobs(self.after(10 ** 6, self.queue.done))
        with Weir(self.config(server, ", timeouts: {total: 900ms}")) as weir:
            began = time.monotonic()
            for stream in (JSON, STREAM):
                self.refused(weir, "openai", self.model, stream, 504, "timeout_total")
            self.assertLess(time.monotonic() - began, late(4))
            before = dict(server.looks)
            time.sleep(0.7)
            self.assertEqual(server.looks, before)

    def test_silent_look(self):
        """A look that is not answered."""
        def script(number, looks):
            return (lambda request: bool(request.sock.recv(1)) and False) if looks else \
                self.queue.job(number, self.queue.states[0])
        with Weir(self.config(self.jobs(script), ", timeouts: {head: 400ms}")) as weir:
            self.refused(weir, "openai", self.model, JSON, 504, "timeout_head")

    def test_stream_held_open(self):
        """While the job is waited for, a stream that has begun is kept alive; a failure is its last event then."""
        server, clients = self.jobs(), ("openai", "responses", "anthropic", "google")
        with Weir(self.config(server, "", "server: {commit_hold: 100ms}\n")) as weir:
            server.script = self.after(3, self.queue.done)
            self.each(lambda client, stream: self.whole(weir, client, self.model, stream, self.queue.used), STREAM,
                      clients=clients)
            server.script = self.after(3, self.queue.failed)
            self.each(lambda client, stream: self.broken(weir, client, self.model, "upstream_error", WORDS), STREAM,
                      clients=clients)

    def test_another_target(self):
        """A job that fails is another target's to answer."""
        server = self.jobs(lambda number, looks: (self.queue.failed if number % 2 else self.queue.done)(number) if looks
                           else self.queue.job(number, self.queue.states[0]))
        config = self.config(server)
        second = config.splitlines()[2].replace("jobs:", "second:")
        models = f"models: {{m: {{targets: ['{self.model}', 'second/{self.queue.model}']}}}}"
        with Weir(f"{config}{second}\n{models}\n") as weir:
            for stream in (JSON, STREAM):
                reply = self.whole(weir, "anthropic", "m", stream, self.queue.used)
                self.assertEqual(reply.headers["x-weir-attempts"], "2")


class ReplicateJobs(JobCase, Judged):
    queue = REPLICATE

    def test_version(self):
        """Anybody's model is asked for by its version."""
        self.queue = dataclasses.replace(REPLICATE, model="me/mine:abc123", create="/predictions")
        server = self.jobs(self.after(1, self.queue.done))
        with Weir(self.config(server)) as weir:
            self.whole(weir, "openai", self.model, JSON)
        self.assertEqual(server.created[0].json()["version"], "me/mine:abc123")


class RunPodJobs(JobCase, Judged):
    queue = RUNPOD

    def test_error_in_output(self):
        """The worker has done its job, and says that the engine refuses."""
        server = self.jobs(self.after(1, lambda number: self.queue.job(number, "COMPLETED", output=[
            {"error": {"message": WORDS, "type": "BadRequestError", "code": 400}}])))
        with Weir(self.config(server)) as weir:
            self.each(lambda client, stream: self.refused(weir, client, self.model, stream, 502, "upstream_error",
                                                          WORDS), JSON, STREAM)
