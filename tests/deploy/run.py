#!/usr/bin/env python3
"""Checks what stands in deploy/ against the binary, without a container engine or a cluster.

  run.py --weir build/release/src/cli/weir              all of it
  run.py --weir weir --filter 'Grafana|Rules' -v        some

Every metric and label that a dashboard or an alert names has to be in a live scrape; every configuration
has to pass `weir check`; every file that is copied has to exist. What needs a program that is missing
here (promtool, systemd-analyze, PyYAML, cmake) is skipped, with the reason. The last line counts.
"""
import argparse
import functools
import importlib
import json
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import threading
import unittest

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
DEPLOY = ROOT / "deploy"
sys.path[:0] = [str(HERE.parent / "ops"), str(HERE.parent / "shared")]

import cases  # noqa: E402
import harness  # noqa: E402
from harness import ENGINE_STUB, Case, Weir, ask, basic, chat  # noqa: E402

try:
    yaml = importlib.import_module("yaml")
except ImportError:
    yaml = None

needs_yaml = unittest.skipUnless(yaml, "needs PyYAML (python3-yaml)")
METRIC = re.compile(r"(?<![\w$\"{.])((?:llm|weir)_\w+|queue_depth|up)(?=\s*(?:\{|\[|\)|[<>=!]|$))")
FOREIGN = {"up"}  # Prometheus' own
ADDED_LABELS = {"instance", "job"}  # by Prometheus, to every sample


def tool(name):
    return unittest.skipUnless(shutil.which(name), f"needs {name}")


def run(*command, cwd=None, env=None, text=None):
    """(exit status, all output)."""
    done = subprocess.run([str(c) for c in command], cwd=cwd, env=env, input=text, capture_output=True, text=True,
                          check=False, timeout=300)
    return done.returncode, done.stdout + done.stderr


def check_config(path, **env):
    """`weir check` with these variables alone."""
    return run(harness.WEIR, "check", path, env={"PATH": os.environ["PATH"], "HOME": "/nonexistent", **env})


# ---------------------------------------------------------------- metrics

class Scrape:
    """Names and labels of a gateway that has done a bit of everything."""

    def __init__(self, text):
        self.kinds = dict(re.findall(r"^# TYPE (\S+) (\S+)$", text, re.M))
        self.labels = {}
        for name, labels in re.findall(r"^(\w+)(?:\{(.*)\})? \S+$", text, re.M):
            self.labels.setdefault(name, set()).update(re.findall(r'(\w+)="', labels))

    def knows(self, name):
        """A histogram is only known by its parts."""
        if name in self.kinds:
            return self.kinds[name] != "histogram"
        family = re.sub(r"_(bucket|sum|count)$", "", name)
        return self.kinds.get(family) == "histogram"

    def missing(self, expression):
        """Names and labels of a query that the gateway does not have."""
        bare = re.sub(r'"(?:[^"\\]|\\.)*"', '""', expression)
        names = [n for n in METRIC.findall(bare) if n not in FOREIGN]
        wrong = [n for n in names if not self.knows(n)]
        known = ADDED_LABELS.union(*(self.labels.get(n, set()) for n in names))
        if all(n in self.labels for n in names):  # a family without samples shows no labels
            asked = re.findall(r'(\w+)\s*(?:=~|!~|!=|=)\s*""', bare)
            for group in re.findall(r"\b(?:by|without)\s*\(([^)]*)\)", bare):
                asked += [word.strip() for word in group.split(",")]
            wrong += [f"label {label}" for label in asked if label not in known]
        return wrong


def shed_one(weir, up, ca):
    """A request that finds the only place taken by another one, and no queue."""
    before, up.hold = up.streams, True
    first = threading.Thread(target=chat, args=(("localhost", weir.port), "narrow"),
                             kwargs={"tls": ca.client(), "stream": True})
    first.start()
    harness.until("the place is taken", lambda: up.streams > before)
    status = chat(("localhost", weir.port), "narrow", tls=ca.client()).status
    up.hold = False
    up.go.set()
    first.join()
    assert status == 503, status


@functools.cache
def scrape():
    """From a gateway with TLS, an engine, a stream, a fallback, a refusal, a full queue and a last resort behind it."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="weir-deploy-"))
    up, ca = harness.Upstream(), harness.Authority(folder)
    cert, key = ca.issue("front")
    more = ("providers:\n  gone: {type: vllm, url: \"http://127.0.0.1:1/v1\"}\n"
            f"  narrow: {{type: vllm, url: \"{up.url}\", max_inflight: 1, queue: 0}}\n")
    text = (f"listen: [{{address: '127.0.0.1:{{port}}', tls: {{cert: {cert}, key: {key}}}}}]\n"
            + basic(up).split("\n", 1)[1].replace("providers:\n", more)
            + f"engines: {{e: {{model: {ENGINE_STUB}, binary: {ENGINE_STUB}}}}}\n"
            + "models:\n  f: {targets: [gone/m], fallback: [up/m]}\n"
            "  tight: {targets: [up/m], limits: {requests_per_minute: 1, budget: {day: 1}}}\n"
            "  narrow: {targets: [narrow/m]}\n  lost: {targets: [gone/m], last_resort: Later.}\n")
    try:
        with Weir(text) as weir:
            for model in ("m", "e", "f"):
                for stream in (False, True):
                    answer = chat(("localhost", weir.port), model, tls=ca.client(), stream=stream)
                    assert answer.status == 200, answer
            limited = [chat(("localhost", weir.port), "tight", tls=ca.client()).status for _ in range(2)]
            assert limited == [200, 429], limited
            assert chat(("localhost", weir.port), "lost", tls=ca.client()).status == 200
            shed_one(weir, up, ca)
            harness.until("all is counted", lambda: weir.metric("weir_exchanges_open") == 0
                          and weir.metric('llm_requests_total{model="f",status="200"}') == 2)
            return Scrape(ask(weir.data / "admin.sock", path="/metrics").body.decode())
    finally:
        up.close()
        shutil.rmtree(folder)


class Queries(Case):
    def test_the_check_itself(self):
        seen = scrape()
        self.assertEqual(seen.missing('sum by (model) (rate(llm_requests_total{status=~"5.."}[5m]))'), [])
        self.assertEqual(seen.missing("rate(llm_request_total[5m]) > weir_redy"), ["llm_request_total", "weir_redy"])
        self.assertEqual(seen.missing('sum by (modl) (llm_inflight{instance="a"})'), ["label modl"])
        self.assertEqual(seen.missing("llm_request_latency_seconds{}"), ["llm_request_latency_seconds"])
        self.assertEqual(seen.missing("llm_request_latency_seconds_sum > llm_inflight_sum"), ["llm_inflight_sum"])
        self.assertEqual(seen.missing('weir_fallbacks_total{outcome="x"}'), ["label outcome"])


class Grafana(Case):
    def setUp(self):
        self.board = json.loads((DEPLOY / "grafana/weir.json").read_text("utf-8"))
        self.panels = [p for p in self.board["panels"] if p["type"] != "row"]
        self.queries = [(p["title"], t["expr"]) for p in self.panels for t in p["targets"]]

    def test_names_exist(self):
        queries = self.queries + [(v["name"], re.sub(r"label_values\((.*), (\w+)\)", r"sum by (\2) (\1)", v["definition"]))
                                  for v in self.board["templating"]["list"] if v["type"] == "query"]
        wrong = [(title, scrape().missing(expr)) for title, expr in queries]
        self.assertEqual([(title, names) for title, names in wrong if names], [])

    def test_every_metric_is_shown(self):
        text = " ".join(expr for _, expr in self.queries)
        self.assertEqual([n for n in scrape().kinds if n not in text], [])

    @tool("promtool")
    def test_syntax(self):
        rules = []
        for i, (_, expr) in enumerate(self.queries):
            expr = expr.replace("$__rate_interval", "5m").replace("$instance", ".*").replace("$model", ".*")
            self.assertNotIn("$", expr)
            rules.append({"record": f"q:{i}", "expr": expr})
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "rules.yaml"
            path.write_text(json.dumps({"groups": [{"name": "g", "rules": rules}]}), "utf-8")
            code, out = run("promtool", "check", "rules", path)
        self.assertEqual(code, 0, out)

    def test_layout(self):
        """No two panels lie on each other, ids are unique, and everything has a title and a source."""
        taken = set()
        for panel in self.board["panels"]:
            at = panel["gridPos"]
            cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
            self.assertFalse(cells & taken, panel["title"])
            self.assertLessEqual(at["x"] + at["w"], 24)
            taken |= cells
        ids = [p["id"] for p in self.board["panels"]]
        self.assertEqual(len(ids), len(set(ids)))
        for panel in self.panels:
            self.assertEqual(panel["datasource"]["uid"], "${datasource}")
            self.assertTrue(panel["title"])


class Rules(Case):
    @needs_yaml
    def setUp(self):
        self.rules = [r for g in load(DEPLOY / "prometheus/rules.yaml")[0]["groups"] for r in g["rules"]]

    def test_names_exist(self):
        wrong = [(r["alert"], scrape().missing(r["expr"])) for r in self.rules]
        self.assertEqual([(alert, names) for alert, names in wrong if names], [])

    def test_labels_of_texts_exist(self):
        for rule in self.rules:
            names = [n for n in METRIC.findall(re.sub(r'"[^"]*"', '""', rule["expr"])) if n not in FOREIGN]
            known = ADDED_LABELS.union(*(scrape().labels.get(n, set()) for n in names))
            used = set(re.findall(r"\$labels\.(\w+)", " ".join(rule["annotations"].values())))
            self.assertLessEqual(used, known, rule["alert"])
            self.assertIn(rule["labels"]["severity"], ("warning", "critical"))

    @tool("promtool")
    def test_promtool_check(self):
        code, out = run("promtool", "check", "rules", "--lint-fatal", DEPLOY / "prometheus/rules.yaml")
        self.assertEqual(code, 0, out)

    @tool("promtool")
    def test_promtool_test(self):
        code, out = run("promtool", "test", "rules", "rules_test.yaml", cwd=DEPLOY / "prometheus")
        self.assertEqual(code, 0, out)

    def test_every_alert_is_tested(self):
        """Each one fires in one test at least, and is silent in one."""
        cases = [c for t in load(DEPLOY / "prometheus/rules_test.yaml")[0]["tests"] for c in t["alert_rule_test"]]
        alerts = {r["alert"] for r in self.rules}
        self.assertEqual({c["alertname"] for c in cases if c["exp_alerts"]}, alerts)
        self.assertEqual({c["alertname"] for c in cases if not c["exp_alerts"]}, alerts)


# ---------------------------------------------------------------- containers

def load(path):
    return list(yaml.safe_load_all(path.read_text("utf-8")))


def seconds(text):
    number, unit = re.fullmatch(r"(\d+)(ms|s|m|)", str(text)).groups()
    return int(number) * {"ms": 0.001, "s": 1, "m": 60, "": 1}[unit]


class Dockerfile(Case):
    DATA = {"ca-certificates", "tzdata"}  # packages without a library that the binary reads

    def setUp(self):
        text = (DEPLOY / "Dockerfile").read_text("utf-8")
        text = re.sub(r"^\s*#.*\n", "", text, flags=re.M).replace("\\\n", " ")
        self.lines = [line.split(maxsplit=1) for line in text.splitlines() if line.strip()]
        starts = [i for i, line in enumerate(self.lines) if line[0] == "FROM"]
        self.build, self.final = self.lines[:starts[1]], self.lines[starts[1]:]

    def words(self, stage, verb):
        return [rest for name, rest in stage if name == verb]

    def test_copied_files_exist(self):
        for rest in self.words(self.build, "COPY"):
            for source in rest.split()[:-1]:
                self.assertTrue((ROOT / source).exists(), source)

    def test_ignored_files_are_not_needed(self):
        kept = [line[1:] for line in (DEPLOY / "Dockerfile.dockerignore").read_text("utf-8").splitlines()
                if line.startswith("!")]
        sources = [s for rest in self.words(self.build, "COPY") for s in rest.split()[:-1]]
        self.assertEqual({s.split("/")[0] for s in sources}, set(kept))

    def test_built_by_the_common_scripts(self):
        runs = " && ".join(self.words(self.build, "RUN")).split("&&")
        commands = [shlex.split(c) for c in runs]
        self.assertEqual([c for c in commands if c[0].startswith("tools/")],
                         [["tools/setup/install.sh", "build"], ["tools/setup/build.sh", "release", "weir"]])
        for c in commands:
            self.assertIn(c[0], ("tools/setup/install.sh", "tools/setup/build.sh", "strip"))
        built = [w for c in commands if c[0] == "strip" for w in c if w.startswith("build/")]
        makefile = (ROOT / "Makefile").read_text("utf-8")
        self.assertIn("BUILD := build/release\n", makefile)
        self.assertEqual(built, ["build/release/src/cli/weir"])

    @tool("cmake")
    @tool("ninja")
    def test_copied_files_are_enough(self):
        """Configures with nothing but what the image copies."""
        with tempfile.TemporaryDirectory() as folder:
            for rest in self.words(self.build, "COPY"):
                *sources, target = rest.split()
                for source in sources:
                    to = pathlib.Path(folder) / (target if (ROOT / source).is_dir() else source)
                    if (ROOT / source).is_dir():
                        shutil.copytree(ROOT / source, to, dirs_exist_ok=True)
                    else:
                        shutil.copy(ROOT / source, to)
            code, out = run("cmake", "--preset", "release", cwd=folder)
            self.assertEqual(code, 0, out)
            code, out = run("ninja", "-C", "build/release", "-n", "weir", cwd=folder)
            self.assertEqual(code, 0, out[-2000:])

    @tool("dpkg-query")
    @tool("ldd")
    def test_libraries_are_installed(self):
        """Each shared library of the binary belongs to a package that the last stage installs; what else it
        installs is data: certificates, and the time zones that `timezone` names."""
        installed = set(re.search(r"--no-install-recommends (.*?) &&", self.words(self.final, "RUN")[0])[1].split())
        _, out = run("ldd", harness.WEIR)
        paths = [p for p in re.findall(r"=> (/\S+)", out) if not re.search(r"lib([alt]|ub)san", p)]
        self.assertGreater(len(paths), 5)
        owners = {self.owner(path) for path in paths}
        self.assertEqual(owners - installed - {"libc6", "libgcc-s1"}, set())  # the base image has those
        self.assertEqual(installed - owners, self.DATA, "none is installed in vain")
        _, out = run("dpkg-query", "-S", "/usr/share/zoneinfo/Europe/Berlin")
        self.assertIn("tzdata:", out)

    @staticmethod
    def owner(path):
        for name in (path, os.path.realpath(path), path.removeprefix("/usr"), os.path.realpath(path).removeprefix("/usr")):
            code, out = run("dpkg-query", "-S", name)
            if code == 0:
                return out.split(":")[0]
        return path

    def test_runs_without_privileges(self):
        user = self.words(self.final, "USER")[-1]
        self.assertRegex(user, r"^[1-9]\d*:[1-9]\d*$", "a number, so that runAsNonRoot can be checked")
        self.assertGreater(self.final.index(["USER", user]), self.final.index(["RUN", self.words(self.final, "RUN")[-1]]))
        self.assertEqual(self.words(self.final, "VOLUME"), ["/var/lib/weir"])

    def test_commands_exist(self):
        """What the health check and the entry point call, the binary has."""
        health = json.loads(self.words(self.final, "HEALTHCHECK")[0].split("CMD", 1)[1])
        start = json.loads(self.words(self.final, "ENTRYPOINT")[0]) + json.loads(self.words(self.final, "CMD")[0])
        for command in (health, start):
            self.assertEqual(command[0], "weir")
            code, out = run(harness.WEIR, *command[1:], "--help")
            self.assertEqual(code, 0, out)

    def test_as_it_starts(self):
        """The image's variables and two keys are all that it takes; without a client's key it stays shut."""
        env = dict(word.split("=", 1) for word in self.words(self.final, "ENV")[0].split())
        with tempfile.TemporaryDirectory() as folder:
            env.update(WEIR_LISTEN=env["WEIR_LISTEN"].replace("8080", str(harness.free_port())), HOME=folder, WEIR_DATA=folder,
                       PATH=os.environ["PATH"], OPENAI_API_KEY="k")
            code, out = run("timeout", "5", harness.WEIR, "serve", env=env, cwd=folder)
            self.assertEqual(code, 1, out)
            self.assertIn("key", out)
            env["WEIR_API_KEY"] = "c"
            with subprocess.Popen([harness.WEIR, "serve"], env=env, cwd=folder, stdout=subprocess.DEVNULL,
                                  stderr=subprocess.DEVNULL) as process:
                try:
                    harness.until("it is healthy", lambda: run(harness.WEIR, "health", env=env, cwd=folder)[0] == 0)
                finally:
                    process.terminate()
                self.assertEqual(process.wait(harness.late(15)), 0)


@needs_yaml
class Kubernetes(Case):
    def setUp(self):
        self.objects = {d["kind"]: d for d in load(DEPLOY / "kubernetes/weir.yaml")}
        self.pod = self.objects["Deployment"]["spec"]["template"]["spec"]
        self.container = self.pod["containers"][0]
        self.text = self.objects["ConfigMap"]["data"]["weir.yaml"]
        self.config = yaml.safe_load(self.text)

    def test_kinds(self):
        self.assertEqual(set(self.objects), {"ConfigMap", "Deployment", "Service"})
        self.assertEqual(self.objects["Deployment"]["spec"]["replicas"], 1)

    def test_configuration(self):
        self.assertEqual(self.config, load(ROOT / "config/kubernetes.yaml")[0])
        with tempfile.NamedTemporaryFile("w", suffix=".yaml") as f:
            f.write(self.text)
            f.flush()
            code, out = check_config(f.name, CLIENT_KEY="c", OPENAI_API_KEY="o")
            self.assertEqual(code, 0, out)
            self.assertNotIn("warning", out)
            code, out = check_config(f.name)
            self.assertEqual(code, 1, "its secrets come from outside")

    def test_file_is_where_the_command_looks(self):
        path = pathlib.Path(self.container["args"][self.container["args"].index("--config") + 1])
        mounts = {m["name"]: m for m in self.container["volumeMounts"]}
        volumes = {v["name"]: v for v in self.pod["volumes"]}
        self.assertEqual(mounts["config"]["mountPath"], str(path.parent))
        self.assertNotIn("subPath", mounts["config"], "changes would not come through")
        self.assertEqual(volumes["config"]["configMap"]["name"], self.objects["ConfigMap"]["metadata"]["name"])
        self.assertIn(path.name, self.objects["ConfigMap"]["data"])
        self.assertEqual(mounts["data"]["mountPath"], self.config["data"])
        self.assertEqual(set(mounts), set(volumes))

    def test_labels_and_ports(self):
        deployment, service = self.objects["Deployment"]["spec"], self.objects["Service"]["spec"]
        labels = deployment["template"]["metadata"]["labels"]
        self.assertEqual(deployment["selector"]["matchLabels"], labels)
        self.assertEqual(service["selector"], labels)
        ports = {p["name"]: p["containerPort"] for p in self.container["ports"]}
        self.assertEqual(f"0.0.0.0:{ports['http']}", self.config["listen"])
        self.assertEqual(f"0.0.0.0:{ports['metrics']}", self.config["metrics"])
        self.assertIn(service["ports"][0]["targetPort"], ports)
        annotations = deployment["template"]["metadata"]["annotations"]
        self.assertEqual(annotations["prometheus.io/port"], str(ports["metrics"]))

    def test_time_to_end(self):
        server = self.config["server"]
        needed = seconds(server["ready_delay"]) + seconds(server["drain"])
        self.assertGreater(self.pod["terminationGracePeriodSeconds"], needed)

    def test_memory(self):
        limit = int(self.container["resources"]["limits"]["memory"].removesuffix("Mi")) << 20
        self.assertNotIn("limits", self.config)
        self.assertGreater(limit, 1.25 * 10**9, "limits.body_memory is 1 GB by default")

    def test_privileges(self):
        pod, container = self.pod["securityContext"], self.container["securityContext"]
        user = re.search(r"^USER (\d+):(\d+)$", (DEPLOY / "Dockerfile").read_text("utf-8"), re.M)
        self.assertEqual((pod["runAsUser"], pod["runAsGroup"]), (int(user[1]), int(user[2])))
        self.assertTrue(pod["runAsNonRoot"])
        self.assertEqual(pod["seccompProfile"], {"type": "RuntimeDefault"})
        self.assertFalse(container["allowPrivilegeEscalation"])
        self.assertTrue(container["readOnlyRootFilesystem"])
        self.assertEqual(container["capabilities"], {"drop": ["ALL"]})
        self.assertFalse(self.pod["automountServiceAccountToken"])
        self.assertEqual(self.container["envFrom"], [{"secretRef": {"name": "weir-keys"}}])

    def test_probes(self):
        """They answer without a key, and readiness ends with SIGTERM."""
        ready = self.container["readinessProbe"]["httpGet"]["path"]
        live = self.container["livenessProbe"]["httpGet"]["path"]
        up = self.upstream()
        with Weir(basic(up, "keys: {k: {secret: s}}\nserver: {ready_delay: 1s}\n")) as weir:
            self.good(ask(weir.port, path=live))
            self.good(ask(weir.port, path=ready))
            weir.process.terminate()
            harness.until("it is not ready", lambda: ask(weir.port, path=ready).status == 503, 1)
            self.good(ask(weir.port, path=live))
            self.assertEqual(weir.wait(), 0)


# ---------------------------------------------------------------- systemd

class Systemd(Case):
    UNITS = ("weir.service", "weir.socket")

    def settings(self, unit):
        text = (DEPLOY / "systemd" / unit).read_text("utf-8")
        return re.findall(r"^(\w+)=(.*)$", text, re.M)

    def installed(self):
        """The units in a folder, with this binary and credentials that exist."""
        folder = self.folder()
        for unit in self.UNITS:
            text = (DEPLOY / "systemd" / unit).read_text("utf-8")
            (folder / unit).write_text(text.replace("/usr/bin/weir", harness.WEIR), "utf-8")
        return folder

    @tool("systemd-analyze")
    def test_verify(self):
        folder = self.installed()
        code, out = run("systemd-analyze", "verify", *(folder / unit for unit in self.UNITS))
        ours = [line for line in out.splitlines() if "weir" in line]
        self.assertEqual((code, ours), (0, []), out)

    @tool("systemd-analyze")
    def test_exposure(self):
        code, out = run("systemd-analyze", "security", "--offline=true", "--threshold=20", DEPLOY / "systemd/weir.service")
        self.assertEqual(code, 0, out.splitlines()[-1])

    def test_configuration(self):
        folder = self.folder()
        credentials = [v.split(":")[0] for n, v in self.settings("weir.service") if n == "LoadCredential"]
        path = DEPLOY / "systemd/weir.yaml"
        used = set(re.findall(r"\$\{CREDENTIALS_DIRECTORY\}/([\w-]+)", path.read_text("utf-8")))
        self.assertEqual(used, set(credentials))
        for name in credentials:
            (folder / name).write_text("secret\n", "utf-8")
            (folder / name).chmod(0o400)
        code, out = check_config(path, CREDENTIALS_DIRECTORY=str(folder))
        self.assertEqual(code, 0, out)
        self.assertNotIn("warning", out)

    def test_ports_agree(self):
        listen = re.search(r"^listen: (.*)$", (DEPLOY / "systemd/weir.yaml").read_text("utf-8"), re.M)[1]
        self.assertEqual([v for n, v in self.settings("weir.socket") if n == "ListenStream"], [listen])

    def test_time_to_end(self):
        drain = re.search(r"drain: (\w+)", (DEPLOY / "systemd/weir.yaml").read_text("utf-8"))[1]
        unit = dict(self.settings("weir.service"))
        self.assertGreater(seconds(unit["TimeoutStopSec"]), seconds(drain) + 30)  # and 30 s for engines
        self.assertEqual((unit["Type"], unit["KillMode"]), ("notify", "mixed"))

    def test_commands_exist(self):
        for name, value in self.settings("weir.service"):
            if name.startswith("Exec"):
                path, command, *_ = value.split()
                self.assertEqual(path, "/usr/bin/weir")
                self.assertEqual(run(harness.WEIR, command, "--help")[0], 0, value)

    def test_with_its_surroundings(self):
        """As systemd would start it: passed socket, state folder, credentials, notification; then `weir reload`."""
        folder, credentials = self.folder(), self.folder()
        for name in ("openai-key", "client-key"):
            (credentials / name).write_text("secret\n", "utf-8")
            (credentials / name).chmod(0o400)
        text = (DEPLOY / "systemd/weir.yaml").read_text("utf-8").replace("127.0.0.1:8080", "127.0.0.1:{port}")
        text = text.replace("127.0.0.1:8082", "127.0.0.1:{metrics}")
        env = {"CREDENTIALS_DIRECTORY": str(credentials), "STATE_DIRECTORY": str(folder)}
        with Weir(text, env=env, data=folder) as weir:
            self.good(ask(weir.port, path="/v1/models", headers={"Authorization": "Bearer secret"}))
            self.good(ask(weir.metrics_port, path="/metrics"))
            self.assertEqual(weir.command("reload"), (0, "reloaded\n", ""))
            self.assertEqual(weir.command("health")[0], 0)


class Text(Case):
    def test_paths_of_the_readme_exist(self):
        text = (DEPLOY / "README.md").read_text("utf-8")
        for path in re.findall(r"(?:deploy|tests|config)/[\w./-]+", text):
            self.assertTrue((ROOT / path).exists(), path)
        for path in re.findall(r"`((?:systemd|kubernetes|prometheus|grafana)/[\w.-]+)`", text):
            self.assertTrue((DEPLOY / path).exists(), path)

    def test_versions_agree(self):
        version = re.search(r"project\(weir VERSION (\S+)", (ROOT / "CMakeLists.txt").read_text("utf-8"))[1]
        for path in ("README.md", "kubernetes/weir.yaml"):
            for found in re.findall(r"\bweir:(\d[\w.]*)", (DEPLOY / path).read_text("utf-8")):
                self.assertEqual(found, version, path)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weir", type=pathlib.Path, required=True, help="the binary")
    parser.add_argument("--slack", type=float, default=1.0, help="upper limits of time are multiplied with it")
    cases.add_arguments(parser, jobs=2)
    args = parser.parse_args()
    harness.WEIR, harness.SLACK = str(args.weir.resolve()), args.slack
    return cases.run(["__main__"], args)


if __name__ == "__main__":
    sys.exit(main())
