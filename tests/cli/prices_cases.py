"""weir prices: what is shown, and how newer prices are taken, checked and refused."""
import json
import os
import pathlib
import shutil
import socket
import tempfile
import threading
import unittest

import harness
from harness import Server, dead_port


def table(rate=2.5, models=(), date="2026-10-01"):
    """A table in Weir's format with openai/gpt-4o at that input rate."""
    rows = [{"id": "gpt-4o", "names": ["gpt-4o"], "rates": {"input": rate, "output": 10}}]
    rows += [{"id": m, "names": [m], "rates": {"input": 1}} for m in models]
    return {"format": "weir-prices", "version": 1, "date": date,
            "providers": [{"name": "openai", "types": ["openai"], "models": rows}]}


FEED = [
    {"id": "google", "name": "Google", "api_pattern": "x", "models": [
        {"id": "gemini-x", "name": "X", "context_window": 5,
         "match": {"or": [{"equals": "gemini-x"}, {"starts_with": "gemini-x-"}]},
         "prices": {"input_mtok": {"base": 1.25, "tiers": [{"start": 200000, "price": 2.5}]},
                    "output_mtok": 10, "input_audio_mtok": 3}}]},
    {"id": "deepseek", "models": [
        {"id": "deepseek-x", "match": {"contains": "deepseek-x"}, "prices": [
            {"prices": {"input_mtok": 2}},
            {"constraint": {"start_time": "16:30:00Z", "end_time": "00:30:00Z",
                            "type": "time_of_date"}, "prices": {"input_mtok": 1}}]}]},
    {"id": "nobody-knows", "models": []},
]


class PricesCase(unittest.TestCase):
    def setUp(self):
        self.home = pathlib.Path(tempfile.mkdtemp(prefix="weir-cli-"))
        self.addCleanup(shutil.rmtree, self.home)
        self.data = self.home / "data"
        self.kept = self.data / "prices.json"

    def prices(self, *args, status=0, **env):
        result = harness.weir("prices", *args, home=self.home, **{"WEIR_DATA": self.data, **env})
        self.assertEqual(result.code, status, result)
        return result

    def json(self, *models, status=0):
        return json.loads(self.prices("--json", *models, status=status).out)["models"]

    def file(self, content, name="new.json"):
        path = self.home / name
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return path

    def update(self, content, status=0):
        return self.prices("update", self.file(content), status=status)


class Show(PricesCase):
    def test_one_model(self):
        out = self.prices("openai/gpt-4o").out
        self.assertRegex(out, r"openai +gpt-4o +\$2\.50 +\$10\.00 +\$1\.25 +-\n")
        self.assertRegex(out, r"dollars per million tokens, as of \d{4}-\d\d-\d\d\n$")

    def test_everywhere(self):
        found = {m["provider"] for m in self.json("gpt-4o")}
        self.assertEqual(found, {"openai", "openai-responses", "azure"})

    def test_tiers(self):
        out = self.prices("gemini/gemini-2.5-pro").out
        self.assertRegex(out, r"gemini +gemini-2\.5-pro +\$1\.25 .*\n +prompts above 200000 +\$2\.50")
        first, = self.json("gemini/gemini-2.5-pro")
        self.assertEqual(first["above"][0]["tokens"], 200000)
        self.assertEqual(first["rates"]["output"], 10)

    def test_unknown_is_not_zero(self):
        out = self.prices("no-such-model", "openai/whisper-1", status=1).out
        self.assertRegex(out, r"- +no-such-model +unknown\n")
        self.assertNotIn("$0", out)
        for row in self.json("no-such-model", status=1):
            self.assertEqual(row, {"provider": "-", "model": "no-such-model", "known": False})

    def test_all(self):
        rows = self.json()
        self.assertGreater(len(rows), 1000)
        self.assertIn("unknown", self.prices().out)

    def test_a_damaged_file_is_named(self):
        self.data.mkdir()
        self.kept.write_text("{")
        err = self.prices("gpt-4o", status=1).err
        self.assertIn(f"weir prices: {self.kept}:1:2: invalid syntax\n", err)

    def test_no_terminal_is_steered(self):
        self.update(table(models=["evil\u202e\u009b31m"]))
        self.assertNotRegex(self.prices().out, "[\u202e\u009b]")

    def test_wrong_usage(self):
        self.assertIn("a file or a URL is needed", self.prices("update", status=2).err)
        self.assertIn("`--jsno` is unknown", self.prices("--jsno", status=2).err)


class Update(PricesCase):
    def test_own_format(self):
        self.update(table())
        out = self.update(table(5, ["new-one"])).out
        self.assertIn("2 models: 1 new, 1 changed, 0 gone\n", out)
        self.assertIn("  openai/gpt-4o: $2.50 in, $10.00 out -> $5.00 in, $10.00 out\n", out)
        self.assertIn(f"{self.kept}: prices of 2026-10-01\n", out)
        self.assertEqual(self.json("openai/gpt-4o")[0]["rates"], {"input": 5, "output": 10})
        self.assertIn("as of 2026-10-01", self.prices("openai/gpt-4o").out)
        self.assertIn("1 models: 0 new, 1 changed, 1 gone\n", self.update(table(6)).out)
        self.assertEqual(os.listdir(self.data), ["prices.json"])

    def test_what_it_lacks_stays_built_in(self):
        self.update(table(7))
        self.assertEqual(self.json("openai/gpt-4o-mini")[0]["rates"]["input"], 0.15)

    def test_largest_changes_first(self):
        names = [f"m{i}" for i in range(8)]
        self.update(table(models=names))
        changed = table(models=names)
        for i, row in enumerate(changed["providers"][0]["models"][1:]):
            row["rates"]["input"] = 1 + i
        out = self.update(changed).out
        self.assertIn("0 new, 7 changed, 0 gone\n  openai/m7: $1.00 in, - out -> $8.00 in, - out\n",
                      out)
        self.assertIn("  and 2 more\n", out)

    def test_public_data(self):
        self.update(FEED)
        gemini, = (m for m in self.json("gemini-x-2") if m["provider"] == "gemini")
        self.assertEqual(gemini["rates"], {"input": 1.25, "output": 10})
        self.assertEqual(gemini["above"], [{"tokens": 200000, "input": 2.5, "output": 10}])
        deepseek, = self.json("deepseek/deepseek-x")
        self.assertEqual(deepseek["windows"],
                         [{"from": "16:30:00", "to": "00:30:00", "rates": {"input": 1}}])
        self.assertIn("16:30 to 00:30 UTC", self.prices("deepseek-x").out)

    def refused(self, content, why):
        self.update(table(3))
        before = self.kept.read_bytes()
        self.assertRegex(self.update(content, status=1).err, f"weir prices: .*new.json:{why}")
        self.assertEqual(self.kept.read_bytes(), before)
        self.assertEqual(os.listdir(self.data), ["prices.json"])

    def test_negative(self):
        self.refused(table(-1), r"1:\d+: input: a rate cannot be negative")

    def test_absurd(self):
        self.refused(table(1e6), r"1:\d+: input: no provider asks that much")

    def test_negative_in_public_data(self):
        text = json.dumps(FEED).replace('"input_mtok": 2}', '"input_mtok":\n-2}')
        self.refused(text, r"2:1: this is no rate")

    def test_neither(self):
        self.refused("<html>", r"1:1: invalid syntax")
        self.refused("{}", r"1:1: this is no table of prices")
        self.refused("[]", r"1:1: there is no provider in it that Weir knows")
        self.refused("", r"1:1: empty text")
        self.refused(table() | {"version": 2}, r"1:\d+: `version` is not 1")

    def test_no_such_file(self):
        err = self.prices("update", self.home / "none.json", status=1).err
        self.assertIn("none.json: No such file or directory", err)

    def test_a_damaged_file_is_replaced(self):
        self.data.mkdir()
        self.kept.write_text("{")
        self.update(table(9))
        self.assertEqual(self.json("openai/gpt-4o")[0]["rates"]["input"], 9)

    def test_a_folder_that_cannot_be_written(self):
        self.data.write_text("a file")
        self.assertIn(str(self.kept), self.update(table(), status=1).err)


class Download(PricesCase):
    def test_url(self):
        def script(connection, request):
            if request.path == "/moved":
                connection.answer(302, Location="/prices.json")
            else:
                connection.answer(200, json.dumps(table(4)).encode())
        with Server(script) as server:
            self.prices("update", f"{server.url}/moved")
        self.assertEqual(self.json("openai/gpt-4o")[0]["rates"]["input"], 4)

    def test_tls(self):
        authority, tls = harness.authority()
        body = json.dumps(table(4)).encode()
        with Server(lambda c, _: c.answer(200, body), tls) as server:
            self.prices("update", server.url, status=1)
            self.prices("update", "--ca", authority.ca, server.url)

    def test_not_there(self):
        with Server(lambda c, _: c.answer(404, b"[]")) as server:
            err = self.prices("update", server.url, status=1).err
        self.assertIn("the answer is status 404", err)
        self.assertFalse(self.kept.exists())

    def test_nobody_there(self):
        self.prices("update", f"http://127.0.0.1:{dead_port()}/", status=1)

    def test_cut_short(self):
        def script(connection, _):
            connection.answer(200, b"[", length=500)
            connection.cut()
        with Server(script) as server:
            self.prices("update", server.url, status=1)
        self.assertFalse(self.kept.exists())

    def test_too_large(self):
        def script(connection, _):
            connection.answer(200, b"", length="none")
            connection.send(b" " * (17 << 20))
            connection.cut()
        with Server(script) as server:
            err = self.prices("update", server.url, status=1).err
        self.assertIn("too large", err)


class Reload(PricesCase):
    """With something that answers at the admin socket, as a running gateway does."""

    def listen(self, status):
        self.data.mkdir()
        listener = socket.socket(socket.AF_UNIX)
        self.addCleanup(listener.close)
        listener.bind(str(self.data / "admin.sock"))
        listener.listen()
        self.asked = []

        def serve():
            sock, _ = listener.accept()
            with sock:
                self.asked.append((sock.recv(4096).split(b"\r\n")[0], self.kept.exists()))
                sock.sendall(b"HTTP/1.0 %d x\r\n\r\n{}\n" % status)
        threading.Thread(target=serve, daemon=True).start()

    def test_the_gateway_is_told(self):
        self.listen(200)
        self.assertIn("the running gateway uses it from now on\n", self.update(table()).out)
        self.assertEqual(self.asked, [(b"POST /admin/v1/reload HTTP/1.0", True)])

    def test_the_gateway_refuses(self):
        self.listen(409)
        self.assertIn("the gateway did not take it", self.update(table(), status=1).err)

    def test_a_socket_that_was_left(self):
        self.data.mkdir()
        with socket.socket(socket.AF_UNIX) as s:
            s.bind(str(self.data / "admin.sock"))
        self.update(table())
