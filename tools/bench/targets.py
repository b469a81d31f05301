"""The processes of a measurement: the mock upstream, and what stands between it and the load."""
import json
import os
import shutil
import ssl
import subprocess
import time
import urllib.request

import machine

KEY = "sk-weir-bench"
FILES_WANTED = 65536
START_SECONDS = 10
STOP_SECONDS = 20


class Failure(Exception):
    """A measurement that cannot be used, and why."""


class Place:
    """Where things are: tools, temporary folder, cores, certificate."""

    def __init__(self, args, folder):
        self.folder = folder
        self.tools = args.tools
        self.weir = args.weir
        self.nginx = args.nginx or shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
        self.proxy_core = args.proxy_core
        self.load_core = args.load_core
        self.nice = args.nice
        self.cert = os.path.join(folder, "cert.pem")
        self.key = os.path.join(folder, "key.pem")

    def tool(self, name):
        path = os.path.join(self.tools, name)
        if not os.access(path, os.X_OK):
            raise Failure(f"{path} is missing: build the targets floor, benchmock and benchload")
        return path

    def make_certificate(self):
        """A self-signed P-256 certificate for localhost, which clients trust as their CA."""
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
             "-nodes", "-days", "30", "-subj", "/CN=localhost",
             "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
             "-keyout", self.key, "-out", self.cert], check=True, capture_output=True)

    def tls_context(self):
        return ssl.create_default_context(cafile=self.cert)


class Process:
    """A child on one core, its output in a file of the temporary folder."""

    def __init__(self, place, name, command, core):
        self.name = name
        self.log_path = os.path.join(place.folder, name + ".log")
        with open(self.log_path, "ab") as log:
            self.child = subprocess.Popen(command, stdout=log, stderr=log,
                                          stdin=subprocess.DEVNULL,
                                          preexec_fn=machine.run_on(core, place.nice))

    def alive(self):
        return self.child.poll() is None

    def log_tail(self):
        with open(self.log_path, errors="replace") as log:
            return log.read()[-1000:]

    def wait_until(self, ready):
        deadline = time.monotonic() + START_SECONDS
        while not ready():
            if not self.alive():
                raise Failure(f"{self.name} ended at its start: {self.log_tail()}")
            if time.monotonic() > deadline:
                raise Failure(f"{self.name} does not answer after {START_SECONDS} s")
            time.sleep(0.0005)

    def pids(self):
        return machine.tree(self.child.pid)

    def stop(self):
        if not self.alive():
            return
        self.child.terminate()
        try:
            self.child.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()


class Mock(Process):
    """The upstream, whose settings can be changed between runs."""

    def __init__(self, place, tls):
        self.port = machine.free_port()
        self.tls = place.tls_context() if tls else None
        command = [place.tool("benchmock"), "--port", str(self.port)]
        if tls:
            command += ["--tls-cert", place.cert, "--tls-key", place.key]
        super().__init__(place, "mock-tls" if tls else "mock", command, place.load_core)
        self.wait_until(lambda: machine.listening(self.port))

    def _get(self, path):
        scheme = "https" if self.tls else "http"
        with urllib.request.urlopen(f"{scheme}://localhost:{self.port}{path}",
                                    context=self.tls, timeout=10) as answer:
            return json.load(answer)

    def set(self, **values):
        query = "&".join(f"{name}={value}" for name, value in values.items())
        self._get("/bench/settings?" + query)

    def counts(self):
        return self._get("/bench/counts")


class Proxy(Process):
    """A proxy in front of the mock; `port` is for requests, `stream_port` for streams."""

    def __init__(self, place, name, command, port, ready, stream_port=None, access_log=None):
        self.port = port
        self.stream_port = stream_port or port
        self.access_log = access_log
        self.forwarded = 0
        started = time.monotonic()
        super().__init__(place, name, command, place.proxy_core)
        self.wait_until(ready)
        self.start_ms = (time.monotonic() - started) * 1000

    def check_access_log(self):
        """The log must hold a line for each request: who does not write it has saved that work."""
        if not self.access_log:
            return
        deadline = time.monotonic() + 5
        lines = 0
        while lines < self.forwarded and time.monotonic() < deadline:
            time.sleep(0.3)
            lines = count_lines(self.access_log)
        if lines < self.forwarded:
            raise Failure(f"{self.name} logged {lines} of {self.forwarded} requests "
                          f"in {self.access_log}")
        os.truncate(self.access_log, 0)
        self.forwarded = 0


def count_lines(path):
    try:
        with open(path, "rb") as file:
            return sum(block.count(b"\n") for block in iter(lambda: file.read(1 << 20), b""))
    except FileNotFoundError:
        return 0


def start_floor(place, mock, tls):
    if tls:
        return None
    port = machine.free_port()
    command = [place.tool("floor"), "--port", str(port), "--upstream", str(mock.port)]
    return Proxy(place, "floor", command, port, lambda: machine.listening(port))


NGINX_CONF = """
daemon off;
worker_processes 1;
worker_rlimit_nofile {files};
pid {folder}/nginx.pid;
error_log {folder}/nginx-error.log warn;
{user}
events {{ worker_connections 32768; }}
http {{
    log_format usual '$remote_addr - $remote_user [$time_local] "$request" $status '
                     '$body_bytes_sent "$http_referer" "$http_user_agent" $request_time '
                     '$upstream_addr $upstream_response_time';
    access_log {folder}/nginx-access.log usual buffer=64k flush=1s;
    client_body_temp_path {folder}/nginx-body;
    proxy_temp_path {folder}/nginx-proxy;
    fastcgi_temp_path {folder}/nginx-fastcgi;
    uwsgi_temp_path {folder}/nginx-uwsgi;
    scgi_temp_path {folder}/nginx-scgi;
    sendfile on;
    tcp_nodelay on;
    server_tokens off;
    keepalive_timeout 600s;
    keepalive_requests 1000000000;
    client_max_body_size 32m;
    client_body_buffer_size 512k;
    upstream llm {{
        server 127.0.0.1:{upstream};
        keepalive 1024;
        keepalive_requests 1000000000;
        keepalive_timeout 600s;
    }}
    proxy_http_version 1.1;
    proxy_set_header Connection "";
    proxy_set_header Host $host;
    proxy_read_timeout 600s;
    {tls}
    server {{
        listen 127.0.0.1:{port} backlog=4096{ssl};
        location = /livez {{ access_log off; return 200 "ok\\n"; }}
        location /v1/ {{ proxy_pass {scheme}://llm; }}
    }}
    server {{
        listen 127.0.0.1:{stream_port} backlog=4096{ssl};
        location /v1/ {{ proxy_pass {scheme}://llm; proxy_buffering off; }}
    }}
}}
"""

NGINX_TLS = """ssl_certificate {cert};
    ssl_certificate_key {key};
    ssl_protocols TLSv1.2 TLSv1.3;
    ssl_session_cache shared:tls:10m;
    ssl_session_timeout 1h;
    proxy_ssl_protocols TLSv1.2 TLSv1.3;
    proxy_ssl_session_reuse on;
    proxy_ssl_server_name on;
    proxy_ssl_name localhost;
    proxy_ssl_verify on;
    proxy_ssl_trusted_certificate {cert};"""


def start_nginx(place, mock, tls):
    """nginx as its users tune it: one worker, keep-alive on both sides, buffered access log."""
    if not place.nginx:
        raise Failure("nginx is not installed")
    folder = os.path.join(place.folder, "nginx-tls" if tls else "nginx")
    os.makedirs(folder, exist_ok=True)
    port, stream_port = machine.free_port(), machine.free_port()
    path = os.path.join(folder, "nginx.conf")
    with open(path, "w") as conf:
        conf.write(NGINX_CONF.format(
            files=FILES_WANTED, folder=folder, upstream=mock.port, port=port,
            stream_port=stream_port, ssl=" ssl" if tls else "",
            scheme="https" if tls else "http", user="user root;" if os.getuid() == 0 else "",
            tls=NGINX_TLS.format(cert=place.cert, key=place.key) if tls else ""))
    context = place.tls_context() if tls else None
    return Proxy(place, "nginx-tls" if tls else "nginx",
                 [place.nginx, "-e", os.path.join(folder, "nginx-error.log"), "-c", path], port,
                 lambda: machine.http_status(port, "/livez", context) == 200,
                 stream_port=stream_port, access_log=os.path.join(folder, "nginx-access.log"))


# Provider types and base paths of the wires that mock_wires.c speaks.
WIRES = {"openai": ("openai-compatible", "/v1"), "anthropic": ("anthropic", "/v1"),
         "gemini": ("gemini", "/v1beta"), "responses": ("openai-responses", "/v1"),
         "bedrock": ("bedrock", ""), "cohere": ("cohere", "/v2")}


# What `limits` measures: everything that has a limit has all of them, none of which is ever reached.
ALL_LIMITS = ("{requests_per_minute: 1000000000, tokens_per_minute: 1000000000000, "
              "input_tokens_per_minute: 1000000000000, output_tokens_per_minute: 1000000000000, "
              "concurrency: 100000, budget: {hour: 1000000, day: 1000000, week: 1000000, "
              "month: 1000000}}")
EVERYTHING = ["organisations:",
              f"  acme: {{limits: {ALL_LIMITS}}}",
              "plans:",
              f"  premium: {{limits: {ALL_LIMITS}, user_limits: {ALL_LIMITS}}}",
              "teams:",
              f"  search: {{organisation: acme, plan: premium, limits: {ALL_LIMITS}}}",
              "use_cases:",
              "  summaries: {owner: jane@example.com, data_class: internal, "
              f"limits: {ALL_LIMITS}}}",
              "prices:",
              '  "mock/*": {input: 2.50, output: 10, cached: 1.25}']


def bench_alias(strategy, everything):
    """What is asked for: one target, or fifty of them to choose from."""
    uses = ["{use: mock/bench}"] if strategy is None else [f"{{use: mock/bench{i}}}" for i in range(50)]
    how = f", strategy: {strategy}" if strategy else ""
    return (f"  bench: {{targets: [{', '.join(uses)}]{how}"
            + (f", limits: {ALL_LIMITS}}}" if everything else "}"))


def weir_config(place, mock, tls, port, folder, wire, everything=False, strategy=None):
    """The one place that knows how Weir is configured for the measurements."""
    kind, base = WIRES[wire]
    more = ", region: eu-west-1" if kind == "bedrock" else ""
    scheme = "https" if tls else "http"
    host = "localhost" if tls else "127.0.0.1"
    listen = f"127.0.0.1:{port}"
    owner = ", team: search, use_case: summaries, user: jane" if everything else ""
    lines = [f"listen: {listen}"]
    if tls:
        lines = [f"listen: {{address: {listen}, tls: {{cert: {place.cert}, key: {place.key}}}}}",
                 f"egress: {{ca_file: {place.cert}}}"]
    lines += [f"data: {folder}/data",
              "workers: 1",
              f"log: {{access: {folder}/access.log}}",
              "auth: keys",
              "keys:",
              f"  bench: {{secret: {KEY}{owner}}}",
              "providers:",
              f"  mock: {{type: {kind}, url: \"{scheme}://{host}:{mock.port}{base}\", "
              f"api_key: x, governance: {{data_class: internal}}{more}}}",
              "models:",
              bench_alias(strategy, everything)]
    lines += EVERYTHING if everything else []
    return "\n".join(lines) + "\n"


def start_weir(place, mock, tls, wire="openai", everything=False, binary=None, strategy=None):
    """`everything`: with every limit and price; `binary`: another build; `strategy`: one of fifty
    targets is chosen."""
    name = "weir-tls" if tls else "weir" if wire == "openai" else f"weir-{wire}"
    name += "-limits" if everything else ""
    name += f"-{strategy}" if strategy else ""
    folder = os.path.join(place.folder, name)
    os.makedirs(folder, exist_ok=True)
    port = machine.free_port()
    path = os.path.join(folder, "weir.yaml")
    with open(path, "w") as config:
        config.write(weir_config(place, mock, tls, port, folder, wire, everything, strategy))
    context = place.tls_context() if tls else None
    return Proxy(place, name,
                 [binary or place.weir, "serve", "--config", path], port,
                 lambda: machine.http_status(port, "/livez", context) == 200,
                 access_log=os.path.join(folder, "access.log"))


START = {"weir": start_weir, "floor": start_floor, "nginx": start_nginx}


class Direct:
    """No proxy at all: the load goes to the mock."""
    name = "direct"
    access_log = None

    def __init__(self, mock):
        self.mock = mock
        self.port = self.stream_port = mock.port
        self.forwarded = 0

    def pids(self):
        return self.mock.pids()

    def check_access_log(self):
        pass

    def stop(self):
        pass
