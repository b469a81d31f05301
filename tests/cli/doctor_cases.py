"""weir doctor: what it finds, the commands it names, its exit status."""
import json
import os
import pathlib
import platform
import shutil
import socket
import stat
import subprocess
import tempfile
import unittest

import harness
from harness import gguf
from pull_server import ModelServer

LLAMA = "curl -LsSf https://llama.app/install.sh | sh"


class DoctorCase(unittest.TestCase):
    def setUp(self):
        self.home = pathlib.Path(tempfile.mkdtemp(prefix="weir-cli-"))
        self.addCleanup(shutil.rmtree, self.home)
        self.bin = self.home / "bin"
        self.bin.mkdir()

    def doctor(self, *args, **env):
        """The report; with nothing on PATH but what the test puts there."""
        settings = {"PATH": str(self.bin), "WEIR_DATA": self.home / "data",
                    "WEIR_LISTEN": f"127.0.0.1:{harness.free_port()}"}
        settings.update(env)
        result = harness.weir("doctor", "--json", *args, home=self.home, **settings)
        self.assertIn(result.code, (0, 1), result)
        report = json.loads(result.out)
        counts = {s: sum(c["status"] == s for c in report["checks"])
                  for s in ("ok", "warn", "missing")}
        self.assertEqual((counts["missing"], counts["warn"]),
                         (report["missing"], report["warnings"]))
        self.assertEqual(result.code, 1 if counts["missing"] else 0, result)
        return report

    def row(self, name, *args, **env):
        rows = [c for c in self.doctor(*args, **env)["checks"] if c["name"] == name]
        self.assertEqual(len(rows), 1, rows)
        return rows[0]

    def command(self, where, check, **env):
        fix = self.row(check, "--platform", where, **env)["fix"]
        return fix.removeprefix("sudo ")

    def config(self, text):
        path = self.home / "weir.yaml"
        path.write_text(text)
        return path

    def program(self, name, script="exit 0"):
        path = self.bin / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        return path


class Machine(DoctorCase):
    def test_bare(self):
        report = self.doctor()
        self.assertEqual(report["missing"], 0, report)
        self.assertEqual([c["name"] for c in report["checks"] if c["status"] == "warn"][:3],
                         ["configuration", "llama-server", "model"])
        for check in report["checks"]:
            if check["status"] != "ok":
                self.assertTrue(check["fix"], check)

    @unittest.skipUnless(os.path.exists("/etc/os-release"), "not a Linux distribution")
    def test_this_platform(self):
        ids = platform.freedesktop_os_release()
        known = {"debian", "ubuntu", "fedora", "arch", "alpine", "rhel"}
        expected = [i for i in [ids["ID"], *ids.get("ID_LIKE", "").split()] if i in known]
        report = self.doctor()
        self.assertEqual(report["platform"], (expected or ["linux"])[0])
        self.assertTrue(report["machine"].startswith(ids["PRETTY_NAME"]), report["machine"])

    def test_llama_server_by_platform(self):
        for where, command in (
                ("macos", "brew install llama.cpp"), ("ubuntu:26", "apt install llama.cpp"),
                ("ubuntu:26.04", "apt install llama.cpp"), ("ubuntu:24", LLAMA),
                ("debian:12", LLAMA), ("debian:13", LLAMA), ("debian:14", "apt install llama.cpp"),
                ("fedora:43", "dnf install llama-cpp"), ("rhel:9", LLAMA),
                ("arch", "pacman -S llama.cpp"), ("alpine:3", "apk add llama.cpp"),
                ("linux", LLAMA)):
            with self.subTest(where):
                self.assertEqual(self.command(where, "llama-server"), command)

    def test_authorities_by_platform(self):
        nothing = {"SSL_CERT_FILE": self.home / "none", "SSL_CERT_DIR": self.home / "none"}
        for where, command in (
                ("macos", "brew install ca-certificates"), ("debian", "apt install ca-certificates"),
                ("ubuntu", "apt install ca-certificates"), ("fedora", "dnf install ca-certificates"),
                ("rhel", "dnf install ca-certificates"), ("arch", "pacman -S ca-certificates"),
                ("alpine", "apk add ca-certificates"),
                ("linux", "export SSL_CERT_FILE=/path/to/ca-bundle.crt")):
            with self.subTest(where):
                self.assertEqual(self.command(where, "authorities for TLS", **nothing), command)

    def test_authorities(self):
        authority, _ = harness.authority()
        nowhere = self.home / "none"
        row = self.row("authorities for TLS", SSL_CERT_FILE=authority.ca, SSL_CERT_DIR=nowhere)
        self.assertEqual((row["status"], row["detail"]), ("ok", f"1 in {authority.ca}"))
        hashed = self.home / "certs"
        hashed.mkdir()
        shutil.copy(authority.ca, hashed / "ca.pem")
        subprocess.run(["openssl", "rehash", hashed], check=True, capture_output=True)
        row = self.row("authorities for TLS", SSL_CERT_FILE=nowhere, SSL_CERT_DIR=hashed)
        self.assertEqual((row["status"], row["detail"]), ("ok", f"1 in {hashed}"))
        row = self.row("authorities for TLS", SSL_CERT_FILE=nowhere, SSL_CERT_DIR=self.bin)
        self.assertEqual(row["status"], "missing")

    def test_open_files(self):
        def limited(soft, hard):
            done = subprocess.run(
                ["prlimit", f"--nofile={soft}:{hard}", harness.WEIR, "doctor", "--json"],
                capture_output=True, check=False, timeout=60,
                env=harness.environment(self.home, {"WEIR_DATA": self.home / "data"}))
            checks = json.loads(done.stdout)["checks"]
            return next(c for c in checks if c["name"] == "open files")
        self.assertEqual(limited(16384, 16384)["status"], "ok")
        low = limited(1024, 20000)
        self.assertEqual((low["status"], low["fix"]), ("warn", "ulimit -n 20000"))
        self.assertEqual(limited(1024, 1024)["fix"],
                         "ulimit -n 65536" if os.geteuid() == 0 else
                         "sudo prlimit --pid $$ --nofile=65536:65536")
        self.assertEqual(limited(200, 200)["status"], "missing")

    def test_table(self):
        result = harness.weir("doctor", home=self.home, PATH=self.bin, WEIR_DATA=self.home / "data",
                              WEIR_LISTEN=f"127.0.0.1:{harness.free_port()}")
        self.assertEqual(result.code, 0, result)
        self.assertRegex(result.out, r"(?m)^warn +llama-server +there is no llama-server.*\n +-> ")
        self.assertRegex(result.out, r"(?m)^ok +SO_REUSEPORT +works$")
        self.assertRegex(result.out, r"\n0 missing, \d to look at\n$")
        self.assertNotIn("\x1b", result.out)

    def test_colours_on_a_terminal(self):
        with harness.Terminal("doctor", home=self.home, WEIR_DATA=self.home / "data") as t:
            t.wait()
            self.assertRegex(t.seen, "\x1b\\[32mok +\x1b\\[0m")

    def test_usage(self):
        for args in (["x"], ["--platform", "beos"], ["--what"]):
            result = harness.weir("doctor", *args, home=self.home)
            self.assertEqual(result.code, 2, result)


class Engines(DoctorCase):
    ENGINE = "engines:\n  small: {model: small.gguf}\n"

    def test_llama_server_found(self):
        path = self.program("llama-server")
        row = self.row("llama-server")
        self.assertEqual((row["status"], row["detail"]), ("ok", str(path)))

    def test_engine_without_server_and_model(self):
        config = self.config(self.ENGINE)
        report = self.doctor("--config", config)
        missing = [(c["name"], c.get("fix")) for c in report["checks"] if c["status"] == "missing"]
        self.assertEqual([name for name, _ in missing], ["llama-server", "model"], report)
        self.assertEqual(missing[1][1], "weir pull --name small.gguf URL")

    def test_pull_into_the_folder_of_the_configuration(self):
        config = self.config(f"data: {self.home}/mine\n{self.ENGINE}")
        self.assertEqual(self.row("model", "--config", config)["fix"],
                         f"weir pull --data '{self.home}/mine' --name small.gguf URL")
        config.unlink()
        self.assertIn(f"--data '{self.home}/other' hf:",
                      self.row("model", "--data", self.home / "other")["fix"])

    def test_engine_complete(self):
        self.program("llama-server")
        models = self.home / "data/models"
        models.mkdir(parents=True)
        (models / "small.gguf").write_bytes(gguf())
        report = self.doctor("--config", self.config(self.ENGINE))
        self.assertEqual(report["missing"], 0, report)
        (models / "small.gguf").write_bytes(gguf()[:-1000])
        report = self.doctor("--config", self.config(self.ENGINE))
        self.assertIn("shorter than its head says",
                      next(c["detail"] for c in report["checks"] if c["name"] == "model"))

    def test_engine_with_a_path(self):
        self.program("llama-server")
        model = self.home / "my.gguf"
        model.write_bytes(gguf())
        config = self.config(f"engines:\n  small: {{model: {model}, binary: {self.bin}/nothing}}\n")
        report = self.doctor("--config", config)
        missing = [c["detail"] for c in report["checks"] if c["status"] == "missing"]
        self.assertEqual(len(missing), 1, missing)
        self.assertIn(f"engine small: {self.bin}/nothing", missing[0])

    def test_models_without_engines(self):
        models = self.home / "data/models"
        models.mkdir(parents=True)
        self.assertIn("weir pull hf:", self.row("model")["fix"])
        (models / "a.gguf").write_bytes(gguf())
        (models / "b.gguf.part").write_bytes(b"")
        self.assertEqual(self.row("model")["status"], "ok")
        (models / "bad.gguf").write_bytes(b"<html>")
        rows = [c for c in self.doctor()["checks"] if c["name"] == "model"]
        self.assertEqual([c["status"] for c in rows], ["warn", "ok"])
        self.assertIn("bad.gguf: it is no GGUF file", rows[0]["detail"])


class Places(DoctorCase):
    def test_data_will_be_made(self):
        self.assertIn("(will be made)", self.row("data folder")["detail"])
        (self.home / "data").mkdir()
        self.assertNotIn("will be made", self.row("data folder")["detail"])

    def test_data_option_and_config(self):
        config = self.config(f"data: {self.home}/fromfile\nproviders:\n  openai: {{type: openai, "
                             "api_key: k}\n")
        self.assertIn("fromfile", self.row("data folder", "--config", config)["detail"])
        row = self.row("data folder", "--config", config, "--data", self.home / "opt")
        self.assertIn(f"{self.home}/opt", row["detail"])

    @unittest.skipIf(os.geteuid() == 0, "root may write anywhere")
    def test_data_not_writable(self):
        self.assertEqual(self.row("data folder", WEIR_DATA="/proc/x")["status"], "missing")

    def test_data_below_a_file(self):
        (self.home / "file").write_text("")
        self.assertEqual(self.row("data folder", WEIR_DATA=self.home / "file")["status"], "missing")

    def test_port_in_use(self):
        with socket.create_server(("127.0.0.1", 0)) as s:
            port = s.getsockname()[1]
            row = self.row(f"port 127.0.0.1:{port}", WEIR_LISTEN=f"127.0.0.1:{port}")
            self.assertEqual((row["status"], row["detail"]), ("missing", "Address already in use"))
            self.assertIn(f"ss -ltnp 'sport = :{port}'", row["fix"])
            for where, command in (("macos", f"lsof -nP -iTCP:{port} -sTCP:LISTEN"),
                                   ("alpine", f"netstat -ltnp | grep ':{port} '"),
                                   ("fedora", f"ss -ltnp 'sport = :{port}'")):
                self.assertEqual(self.command(where, f"port 127.0.0.1:{port}",
                                              WEIR_LISTEN=f"127.0.0.1:{port}"), command)

    def test_gateway_has_the_port(self):
        with harness.Server(lambda c, r: c.answer(200 if r.path == "/livez" else 404, b"ok")) as s:
            row = self.row(f"port 127.0.0.1:{s.port}", WEIR_LISTEN=f"127.0.0.1:{s.port}")
            self.assertEqual((row["status"], row["detail"]), ("ok", "a gateway is running there"))

    def test_address_of_another_machine(self):
        row = self.row("port 192.0.2.1:8080", WEIR_LISTEN="192.0.2.1:8080")
        self.assertEqual(row["status"], "missing")

    def test_all_listeners_of_the_file(self):
        ports = [harness.free_port() for _ in range(3)]
        config = self.config(f"listen: 127.0.0.1:{ports[0]}\nadmin: 127.0.0.1:{ports[1]}\n"
                             f"metrics: 127.0.0.1:{ports[2]}\n"
                             "providers:\n  openai: {type: openai, api_key: k}\n")
        names = [c["name"] for c in self.doctor("--config", config)["checks"]]
        self.assertEqual([n for n in names if n.startswith("port")],
                         [f"port 127.0.0.1:{p}" for p in ports])


class Configuration(DoctorCase):
    def test_good(self):
        config = self.config("providers:\n  openai: {type: openai, api_key: k}\n")
        row = self.row("configuration", "--config", config)
        self.assertEqual(row["status"], "ok")
        self.assertIn("1 providers, 0 engines", row["detail"])

    def test_bad(self):
        config = self.config("providers:\n  openai: {typo: openai}\n")
        row = self.row("configuration", "--config", config)
        self.assertEqual((row["status"], row["fix"]), ("missing", f"weir check {config}"))
        self.assertIn("weir.yaml:2:", row["detail"])

    def test_names_a_file_that_is_not_there(self):
        config = self.config("providers:\n  up: {type: vllm, url: 'https://h/v1', "
                             "ca_file: /none.pem}\n")
        row = self.row("configuration", "--config", config)
        self.assertEqual((row["status"], row["fix"]), ("missing", f"weir check {config}"))
        self.assertIn("/none.pem", row["detail"])

    def test_absent(self):
        row = self.row("configuration", "--config", self.home / "none.yaml")
        self.assertEqual(row["status"], "missing")

    def test_found(self):
        folder = self.home / ".config/weir"
        folder.mkdir(parents=True)
        (folder / "weir.yaml").write_text("providers:\n  openai: {type: openai, api_key: k}\n")
        self.assertIn(str(folder), self.row("configuration")["detail"])

    def test_environment_alone(self):
        row = self.row("configuration", OPENAI_API_KEY="k")
        self.assertEqual(row["status"], "ok")
        self.assertIn("from environment variables: 1 providers", row["detail"])


class Connect(DoctorCase):
    def providers(self, **urls):
        return self.config("providers:\n" + "".join(
            f"  {name}: {{type: vllm, url: {url!r}}}\n" for name, url in urls.items()))

    def test_hosts(self):
        with ModelServer(b"", errors=[401]) as s:
            config = self.providers(here=f"{s.url}/v1", away="http://nothing.invalid/v1",
                                    closed=f"http://127.0.0.1:{harness.dead_port()}/v1")
            rows = {c["name"]: c for c in self.doctor("--config", config, "--connect")["checks"]}
            self.assertEqual(rows["provider here"]["status"], "ok")
            self.assertEqual(rows["provider away"]["status"], "missing")
            self.assertIn("cannot be resolved", rows["provider away"]["detail"])
            self.assertIn("connection refused", rows["provider closed"]["detail"])
            self.assertEqual([r.headers.get("authorization") for r in s.requests], [None])

    def test_through_the_proxy_of_the_configuration(self):
        with ModelServer(b"", errors=[401]) as s:
            config = self.config(f"egress: {{proxy: '{s.url}'}}\nproviders:\n  up: "
                                 "{type: vllm, url: 'http://up.invalid/v1', api_key: hidden}\n")
            self.assertEqual(self.row("provider up", "--config", config, "--connect")["status"], "ok")
            self.assertEqual(s.requests[0].target, "http://up.invalid/v1")
            self.assertNotIn("authorization", s.requests[0].headers)

    def test_only_when_asked(self):
        with ModelServer(b"") as s:
            report = self.doctor("--config", self.providers(here=f"{s.url}/v1"))
            self.assertNotIn("provider here", [c["name"] for c in report["checks"]])
            self.assertEqual(s.requests, [])
