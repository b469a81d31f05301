"""weir serve as a newcomer meets it, the commands that talk to it, and the command line itself."""
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import unittest
import urllib.error
import urllib.request

import harness
from harness import Server, dead_port, free_port, wait_until
from stuck import describe

KEY = "sk-very-secret-1"


class ServeCase(unittest.TestCase):
    def setUp(self):
        self.home = pathlib.Path(tempfile.mkdtemp(prefix="weir-cli-"))
        self.addCleanup(shutil.rmtree, self.home)
        self.data = self.home / "data"
        self.port = free_port()

    def weir(self, *args, **env):
        result = harness.weir(*args, home=self.home, **{"WEIR_DATA": self.data, **env})
        self.assertNotIn(KEY, result.out + result.err)
        return result

    def refused(self, *args, status=1, **env):
        result = self.weir("serve", *args, **env)
        self.assertEqual((result.code, result.out), (status, ""), result)
        return result.err

    def config(self, text=None, name="weir.yaml"):
        path = self.home / name
        path.write_text(text or f"listen: 127.0.0.1:{self.port}\nproviders: {{up: {{type: vllm, "
                                f"url: 'http://127.0.0.1:{dead_port()}', models: [one, two]}}}}\n")
        return path

    def serve(self, *args, **env):
        """Starts it and waits until it is there; ended with the test."""
        self.log = self.home / "log"
        with open(self.log, "wb") as log:
            process = subprocess.Popen(
                [harness.WEIR, "serve", *map(str, args)], stdin=subprocess.DEVNULL, stdout=log,
                stderr=log, cwd=self.home,
                env=harness.environment(self.home, {"WEIR_DATA": self.data, **env}))
        self.addCleanup(self.end, process)
        up = wait_until(lambda: self.get("/readyz")[0] == 200 or process.poll() is not None, 30)
        self.assertTrue(up and process.poll() is None, self.log.read_text())
        return process

    def end(self, process):
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            self.fail(f"weir does not end within 30 s; {describe(process.pid, [self.log])}")
        finally:
            process.kill()
        text = self.log.read_text()
        harness.complain_about_sanitizers(text)
        self.assertNotIn(KEY, text)

    def get(self, path):
        """(status, body); status 0: nobody is there."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=10) as r:
                return r.status, r.read()
        except urllib.error.HTTPError as e:
            return e.code, e.read()
        except OSError:
            return 0, b""


class Start(ServeCase):
    def test_a_key_is_enough(self):
        self.serve(OPENAI_API_KEY=KEY, WEIR_LISTEN=f"127.0.0.1:{self.port}")
        shown = f'"serving","text":"http://127.0.0.1:{self.port}/v1"'
        self.assertTrue(wait_until(lambda: shown in self.log.read_text()), self.log.read_text())
        self.assertEqual(self.get("/v1/models")[0], 200)
        self.assertEqual(self.data.stat().st_mode & 0o077, 0)

    def test_with_nothing(self):
        err = self.refused()
        self.assertIn("OPENAI_API_KEY", err)
        self.assertIn("`weir init` writes a file to start from", err)
        self.assertEqual(len(err.splitlines()), 1)

    def test_what_init_writes(self):
        env = {"OPENAI_API_KEY": KEY}
        self.assertEqual(self.weir("init", **env).code, 0)
        path = self.home / "weir.yaml"
        path.write_text(path.read_text().replace(":8080", f":{self.port}")
                        .replace(":8081", f":{free_port()}"))
        self.serve(**env)
        self.assertEqual([m["id"] for m in json.loads(self.get("/v1/models")[1])["data"]], ["chat"])

    def test_port_taken(self):
        for taken in ("listen", "admin", "metrics"):
            with self.subTest(taken), socket.create_server(("127.0.0.1", 0)) as s:
                ports = {"listen": self.port, "admin": free_port(), "metrics": free_port(),
                         taken: s.getsockname()[1]}
                lines = "".join(f"{k}: 127.0.0.1:{v}\n" for k, v in ports.items())
                err = self.refused("--config", self.config(
                    lines + "providers: {a: {type: openai, api_key: k}}\n"))
                self.assertRegex(err, rf"cannot listen on 127\.0\.0\.1:{ports[taken]}: Address "
                                      "already in use; stop what listens there .*`weir doctor`")

    def test_port_of_another_gateway(self):
        """Its workers share their address among themselves, but with nobody else."""
        config = self.config()
        self.serve("--config", config)
        for workers in ("", "workers: 1\n", "workers: 3\n"):
            with self.subTest(workers):
                other = self.config(workers + config.read_text(), "other.yaml")
                self.assertIn("already in use", self.refused("--config", other, "--data",
                                                             self.home / "other"))

    def test_data_folder_in_use(self):
        config = self.config()
        self.serve("--config", config)
        self.assertIn(f"another weir uses the data folder {self.data}",
                      self.refused("--config", config))

    def test_data_folder_impossible(self):
        (self.home / "file").write_text("")
        err = self.refused("--config", self.config(), WEIR_DATA=self.home / "file")
        self.assertIn(f"{self.home}/file: Not a directory", err)

    def test_configuration_cannot_be_read(self):
        self.assertIn("none.yaml: cannot be read: No such file",
                      self.refused("--config", self.home / "none.yaml"))
        self.assertIn("cannot be read: Is a directory", self.refused("--config", self.home))
        if os.geteuid() != 0:
            path = self.config()
            path.chmod(0)
            self.assertIn("cannot be read: Permission denied", self.refused("--config", path))

    def test_configuration_wrong(self):
        err = self.refused("--config", self.config("provider: {}\nlog: {level: loud}\n"))
        self.assertRegex(err, r"weir\.yaml:1:1: .*did you mean `providers`")
        self.assertRegex(err, r"weir\.yaml:2:14: ")
        self.assertFalse(self.data.exists())

    def test_mistakes_come_before_the_lock(self):
        good = self.config()
        self.serve("--config", good)
        err = self.refused("--config", self.config("provider: {}\n", "other.yaml"))
        self.assertIn("did you mean `providers`", err)

    def test_env_file(self):
        path = self.home / "env"
        path.write_text(f"WEIR_LISTEN=127.0.0.1:{self.port}\nOPENAI_API_KEY='{KEY}'\n")
        self.serve("--env-file", path)
        path.write_text("not a variable\n")
        self.assertIn("env:1: expected NAME=value", self.refused("--env-file", path))
        self.assertIn("none: cannot be read", self.refused("--env-file", self.home / "none"))

    def test_usage(self):
        self.assertIn("`extra` is one word too many", self.refused("extra", status=2))
        self.assertIn("`--config` needs a value", self.refused("--config", status=2))


class Reload(ServeCase):
    def reload(self, *args):
        return self.weir("reload", *args)

    def models(self):
        return [m["id"] for m in json.loads(self.get("/v1/models")[1])["data"]]

    def test_good_and_bad(self):
        config = self.config()
        good = config.read_text()
        self.serve("--config", config)
        self.assertEqual(self.models(), ["up/one", "up/two"])
        config.write_text(good.replace("two", "three"))
        result = self.reload()
        self.assertEqual((result.code, result.out, result.err), (0, "reloaded\n", ""))
        self.assertEqual(self.models(), ["up/one", "up/three"])
        config.write_text(good.replace("providers", "provider"))
        for args in ((), ("--data", self.data)):
            result = self.reload(*args)
            self.assertEqual((result.code, result.out), (1, ""))
            self.assertRegex(result.err, r"weir\.yaml:2:1: .*did you mean `providers`")
        self.assertEqual(self.models(), ["up/one", "up/three"])

    def test_nobody_there(self):
        result = self.reload()
        self.assertEqual((result.code, result.out), (1, ""))
        self.assertIn(f"no gateway answers at {self.data}/admin.sock: No such file", result.err)
        self.assertIn("(--data)?", result.err)

    def test_nobody_there_any_more(self):
        self.data.mkdir()
        with socket.socket(socket.AF_UNIX) as s:
            s.bind(str(self.data / "admin.sock"))
        self.assertIn("Connection refused", self.reload().err)

    def test_data_folder_too_long(self):
        result = self.reload("--data", "/" + "x" * 120)
        self.assertEqual(result.code, 1)
        self.assertIn("File name too long", result.err)


class Models(ServeCase):
    def test_running_gateway(self):
        self.serve("--config", self.config())
        result = self.weir("models", "--url", f"http://127.0.0.1:{self.port}")
        self.assertEqual((result.code, result.out, result.err), (0, "up/one\nup/two\n", ""))

    def test_key(self):
        self.serve("--config", self.config(self.config().read_text()
                                           + f"keys: {{me: {{secret: {KEY}}}}}\n"))
        env = {"WEIR_URL": f"http://127.0.0.1:{self.port}/v1/"}
        self.assertEqual(self.weir("models", WEIR_API_KEY=KEY, **env).out, "up/one\nup/two\n")
        self.assertEqual(self.weir("models", OPENAI_API_KEY=KEY, **env).code, 0)
        result = self.weir("models", **env)
        self.assertEqual((result.code, result.out), (1, ""))
        self.assertIn("401", result.err)

    def listed(self, body, status=200, **more):
        with Server(lambda c, r: c.answer(status, body)) as s:
            return self.weir("models", "--url", s.url, **more)

    def test_what_a_server_may_say(self):
        result = self.listed(b'{"data":[]}')
        self.assertEqual((result.code, result.out), (0, ""))
        self.assertIn("names no models", result.err)
        result = self.listed(b'{"data":[{"id":"a\\u001b[2Jb"},{"no":1},{"id":"c"}]}')
        self.assertEqual(result.out, "a^[[2Jb\nc\n")
        for body in (b"", b"[]", b"{", b'{"data":{}}'):
            result = self.listed(body)
            self.assertEqual((result.code, result.out), (1, ""), body)
            self.assertIn("makes no sense", result.err)
        result = self.listed(b'{"error":{"message":"busy"}}', 503)
        self.assertIn("busy (503 ", result.err)

    def test_nobody_there(self):
        result = self.weir("models", "--url", f"http://127.0.0.1:{dead_port()}")
        self.assertEqual(result.code, 1)
        self.assertIn("no connection: connection refused", result.err)

    def test_own_authority(self):
        authority, tls = harness.authority()
        with Server(lambda c, r: c.answer(200, b'{"data":[{"id":"a"}]}'), tls) as s:
            self.assertEqual(self.weir("models", "--url", s.url, "--ca", authority.ca).out, "a\n")
            result = self.weir("models", "--url", s.url)
            self.assertEqual(result.code, 1)
            self.assertIn("the TLS handshake failed", result.err)

    def test_usage(self):
        for args, env in ((("--url", "foo"), {}), ((), {"WEIR_URL": "foo"})):
            result = self.weir("models", *args, **env)
            self.assertEqual(result.code, 2)
            self.assertIn(f"{'--url' if args else 'WEIR_URL'}: must begin with", result.err
                          .replace("foo:", "--url:"))


class Words(ServeCase):
    """The command line itself."""

    def wrong(self, *args, says):
        result = self.weir(*args)
        self.assertEqual((result.code, result.out), (2, ""), result)
        self.assertIn(says, result.err)
        return result.err

    def test_version(self):
        for args in (("--version",), ("version",)):
            self.assertRegex(self.weir(*args).out, r"^weir \d+\.\d+\.\d+\n$")

    def test_help(self):
        told = {self.weir(word).out for word in ("--help", "-h", "help")}
        self.assertEqual(len(told), 1)
        text = told.pop()
        commands = re.findall(r"^  (\w+) ", text, re.M)
        for command in ("serve", "init", "check", "chat", "models", "pull", "doctor", "reload",
                        "docs", "version"):
            self.assertIn(command, commands)
        for command in commands:
            with self.subTest(command):
                for option in ("--help", "-h"):
                    result = self.weir(command, option)
                    self.assertEqual((result.code, result.err), (0, ""))
                    self.assertTrue(result.out.startswith(f"usage: weir {command}"), result)

    def test_nothing(self):
        result = self.weir()
        self.assertEqual((result.code, result.out), (2, ""))
        self.assertIn("usage: weir COMMAND", result.err)

    def test_unknown_command(self):
        self.wrong("serv", says="no command `serv` (did you mean `serve`?); see weir --help")
        self.wrong("modles", says="did you mean `models`?")
        self.wrong("--versoin", says="did you mean")
        self.assertNotIn("did you mean", self.wrong("frobnicate", says="no command `frobnicate`"))

    def test_unknown_option(self):
        self.wrong("serve", "--datta", "x",
                   says="weir serve: `--datta` is unknown (did you mean `--data`?); see weir serve")
        self.wrong("pull", "--sha265=1", "u", says="did you mean `--sha256`?")
        self.assertNotIn(KEY, self.wrong("models", f"--kye={KEY}", says="did you mean `--key`?"))
        self.assertNotIn("did you mean", self.wrong("check", "--zzz", says="`--zzz` is unknown"))
        self.wrong("doctor", "--json=1", says="`--json` takes no value")
        self.wrong("chat", "--model", says="`--model` needs a value")

    def test_too_many_words(self):
        for command in ("serve", "models", "reload", "doctor", "version"):
            self.wrong(command, "x", says=f"weir {command}: `x` is one word too many")
        self.wrong("docs", "errors", "x", says="`x` is one word too many")


class Documents(ServeCase):
    def test_each(self):
        for name, title in (("configuration", "# Configuration"), ("errors", "# Errors"),
                            ("metrics", "# Metrics"), ("providers", "# Providers")):
            result = self.weir("docs", name)
            self.assertEqual((result.code, result.err), (0, ""))
            self.assertTrue(result.out.startswith(title), result.out[:60])
            self.assertIn("\n| ", result.out)
            self.assertTrue(result.out.endswith("\n"))

    def test_unknown(self):
        result = self.weir("docs", "metric")
        self.assertEqual((result.code, result.out), (2, ""))
        self.assertIn("there is no document `metric` (did you mean `metrics`?)", result.err)
        self.assertEqual(self.weir("docs").code, 2)

    @unittest.skipUnless(os.path.exists("/dev/full"), "no /dev/full")
    def test_disk_full(self):
        for command in (("docs", "errors"), ("version",), ("--help",)):
            result = harness.weir(*command, home=self.home, stdout="/dev/full")
            self.assertEqual(result.code, 1, result)
            self.assertIn("cannot be written", result.err)
