"""weir pull: what is cut, stopped or changed on the way."""
import json
import resource
import signal
import subprocess
import threading

import harness
from harness import gguf
from pull_cases import PullCase
from pull_server import ModelServer

DATE = "Wed, 01 Jan 2025 00:00:00 GMT"


class Cut(PullCase):
    """Connections that end too early are taken up again in the same run."""

    def test_at_many_places(self):
        content = gguf()
        for cut in (0, 1, 3, 4, 5, 100, 1000, len(content) - 1):
            for resets in (False, True):
                with self.subTest(cut=cut, resets=resets), \
                        ModelServer(content, cuts=[cut], resets=resets) as s:
                    self.assert_pulled(self.pull(f"{s.url}/model.gguf", "--force"), content)
                    self.assertEqual(len(s.requests), 2)

    def test_goes_on_where_it_stopped(self):
        content = gguf(1 << 20)
        with ModelServer(content, cuts=[300000, 200000]) as s:
            self.assert_pulled(self.pull(f"{s.url}/model.gguf"), content)
            self.assertEqual(s.asked(), [None, "bytes=300000-", "bytes=500000-"])
            self.assertEqual(s.requests[1].headers["if-range"], '"v1"')

    def test_tls_cut(self):
        content = gguf(1 << 20)
        with ModelServer(content, tls=self.tls, cuts=[300000]) as s:
            self.assert_pulled(self.pull(f"{s.url}/model.gguf", "--ca", self.authority.ca), content)
            self.assertEqual(len(s.requests), 2)

    def test_chunked_cut(self):
        content = gguf(1 << 20)
        with ModelServer(content, chunked=True, cuts=[300000]) as s:
            self.assert_pulled(self.pull(f"{s.url}/model.gguf"), content)

    def test_last_modified_only(self):
        content = gguf()
        with ModelServer(content, etag=None, last_modified=DATE, cuts=[5000]) as s:
            self.assert_pulled(self.pull(f"{s.url}/model.gguf"), content)
            self.assertEqual(s.requests[1].headers["if-range"], DATE)

    def test_weak_etag_is_no_validator(self):
        content = gguf()
        with ModelServer(content, etag='W/"v1"', cuts=[5000]) as s:
            self.assert_pulled(self.pull(f"{s.url}/model.gguf"), content)
            self.assertEqual(s.asked(), [None, None])

    def test_no_ranges(self):
        content = gguf(1 << 20)
        with ModelServer(content, ranges=False, cuts=[300000]) as s:
            result = self.pull(f"{s.url}/model.gguf")
            self.assert_pulled(result, content)
            self.assertIn("from its start", result.err)

    def test_transient_statuses(self):
        with ModelServer(gguf(), errors=[503, 429, 500]) as s:
            result = self.pull(f"{s.url}/model.gguf")
            self.assert_pulled(result, s.content)
            self.assertEqual(result.err.count("trying again"), 3)

    def test_retry_after(self):
        with ModelServer(gguf(), errors=[503], headers={"Retry-After": "2"}) as s:
            self.assertIn("trying again in 2.0 s", self.pull(f"{s.url}/model.gguf").err)

    def test_gives_up_and_keeps_the_part(self):
        content = gguf()
        with ModelServer(content, cuts=[5000] + [0] * 20) as s:
            result = self.pull(f"{s.url}/model.gguf", "--tries", "3")
            self.assert_nothing(result, "giving up after 3 tries",
                                left=["model.gguf.part", "model.gguf.part.json"])
            self.assertEqual(len(s.requests), 3)
            s.cuts.clear()
            result = self.pull(f"{s.url}/model.gguf")
            self.assert_pulled(result, content)
            self.assertIn("going on after 5000 bytes", result.err)
            self.assertEqual(s.asked()[-1], "bytes=5000-")

    def test_silence(self):
        event = threading.Event()
        with ModelServer(gguf(1 << 20), pace=(300000, event)) as s:
            original = s.serve

            def only_once(connection, request):
                if len(s.requests) > 1:
                    s.pace = None
                original(connection, request)
            s.script = only_once
            result = self.pull(f"{s.url}/model.gguf", "--stall", "1s")
            event.set()
            self.assert_pulled(result, s.content)
            self.assertIn("the server has stopped sending", result.err)


class Between(PullCase):
    """What a later run finds may belong to something else by now."""

    def setUp(self):
        super().setUp()
        self.models.mkdir(parents=True)
        self.content = gguf(1 << 20)
        self.part = self.models / "model.gguf.part"
        self.state = self.models / "model.gguf.part.json"

    def leave(self, server, size=300000, content=None, **state):
        """A part as an earlier run would have left it."""
        self.part.write_bytes((content or self.content)[:size])
        known = {"url": f"{server.url}/model.gguf", "validator": '"v1"', "sha256": "",
                 "total": len(self.content)}
        known.update(state)
        self.state.write_text(json.dumps(known))

    def test_goes_on(self):
        with ModelServer(self.content) as s:
            self.leave(s)
            self.assert_pulled(self.pull(f"{s.url}/model.gguf"), self.content)
            self.assertEqual(s.asked(), ["bytes=300000-"])

    def test_changed_and_the_server_says_so(self):
        with ModelServer(self.content, etag='"v2"') as s:
            self.leave(s, content=b"x" * 400000)
            self.assert_pulled(self.pull(f"{s.url}/model.gguf"), self.content)
            self.assertEqual(len(s.requests), 1)

    def test_changed_and_the_server_ignores_if_range(self):
        with ModelServer(self.content, etag='"v2"', if_range=False) as s:
            self.leave(s, content=b"x" * 400000)
            result = self.pull(f"{s.url}/model.gguf")
            self.assert_pulled(result, self.content)
            self.assertIn("has changed on the server; starting over", result.err)
            self.assertEqual(s.asked(), ["bytes=300000-", None])

    def test_changed_length(self):
        with ModelServer(self.content, if_range=False) as s:
            self.leave(s, total=5 << 20, content=b"x" * 400000)
            self.assert_pulled(self.pull(f"{s.url}/model.gguf"), self.content)

    def test_changed_during_the_run(self):
        first, second = self.content, gguf(1 << 20, salt=b"second")
        with ModelServer(first, cuts=[300000]) as s:
            original = s.serve

            def change(connection, request):
                if len(s.requests) > 1:
                    s.content, s.etag = second, '"v2"'
                original(connection, request)
            s.script = change
            self.assert_pulled(self.pull(f"{s.url}/model.gguf"), second)

    def test_other_url(self):
        with ModelServer(self.content) as s:
            self.leave(s, url=f"{s.url}/other.gguf", content=b"x" * 400000)
            self.assert_pulled(self.pull(f"{s.url}/model.gguf"), self.content)
            self.assertEqual(s.asked(), [None])

    def test_no_state(self):
        for text in (None, "", "{", "[]", '{"url": 1}', '{"url":"x"}', "\0" * 100000):
            with self.subTest(text), ModelServer(self.content) as s:
                self.part.write_bytes(b"x" * 400000)
                if text is not None:
                    self.state.write_text(text)
                self.assert_pulled(self.pull(f"{s.url}/model.gguf", "--force"), self.content)
                self.assertEqual(s.asked(), [None])

    def test_complete_already(self):
        with ModelServer(self.content) as s:
            self.leave(s, size=len(self.content))
            self.assert_pulled(self.pull(f"{s.url}/model.gguf"), self.content)
            self.assertEqual(s.asked(), [f"bytes={len(self.content)}-"])

    def test_too_long(self):
        with ModelServer(self.content) as s:
            self.leave(s, size=2 << 20, content=self.content + b"x" * 1000)
            result = self.pull(f"{s.url}/model.gguf")
            self.assert_pulled(result, self.content)
            self.assertIn("not a part of the server's file; starting over", result.err)

    def test_416_of_another_version(self):
        with ModelServer(self.content, etag='"v2"', if_range=False) as s:
            self.leave(s, size=len(self.content), content=b"x" * len(self.content))
            self.assert_pulled(self.pull(f"{s.url}/model.gguf"), self.content)

    def test_damaged_part_is_found_by_the_hash(self):
        with ModelServer(self.content) as s:
            good = self.content
            self.leave(s, content=good[:200000] + b"?" + good[200001:])
            result = self.pull(f"{s.url}/model.gguf", "--sha256", s.sha256())
            self.assert_nothing(result, "the file is wrong")
            self.assert_pulled(self.pull(f"{s.url}/model.gguf", "--sha256", s.sha256()), good)

    def wrong_range(self, field):
        with ModelServer(self.content) as s:
            original = s.serve

            def lie(connection, request):
                if "range" in request.headers:
                    connection.answer(206, self.content[300000:], ETag='"v1"',
                                      **({"Content-Range": field} if field else {}))
                else:
                    original(connection, request)
            s.script = lie
            self.leave(s)
            result = self.pull(f"{s.url}/model.gguf", "--force")
            self.assert_pulled(result, self.content)
            self.assertIn("starting over", result.err)

    def test_hash_named_by_the_first_answer_alone(self):
        with ModelServer(self.content, etag=None, if_range=False) as s:
            self.leave(s, sha256=s.sha256(), content=self.content[:1000] + b"x" * 299000)
            self.assert_nothing(self.pull(f"{s.url}/model.gguf"), "the file is wrong: ")
            self.leave(s, sha256=s.sha256())
            result = self.pull(f"{s.url}/model.gguf")
            self.assert_pulled(result, self.content)
            self.assertIn(f"{s.sha256()} as expected", result.err)

    def test_206_with_another_range(self):
        size = len(self.content)
        for field in (None, "", "bytes", "bytes 0-9/10", f"bytes 299999-{size - 1}/{size}",
                      f"bytes 300000-{size}/{size}", "bytes 300000-1/2", "bytes 300000-x/*",
                      f"items 300000-{size - 1}/{size}",
                      "bytes 300000-99999999999999999999/99999999999999999999"):
            with self.subTest(field):
                self.wrong_range(field)

    def test_206_of_a_piece_only(self):
        """A server may send less of the range than asked for: the rest is asked for again."""
        size = len(self.content)
        with ModelServer(self.content) as s:
            def pieces(connection, request):
                first = int(request.headers["range"][6:-1])
                last = min(first + 200000, size) - 1
                connection.answer(206, self.content[first:last + 1], ETag='"v1"',
                                  Content_Range=f"bytes {first}-{last}/{size}")
            s.script = pieces
            self.leave(s)
            self.assert_pulled(self.pull(f"{s.url}/model.gguf"), self.content)
            self.assertEqual(len(s.requests), 4)


class Signals(PullCase):
    def interrupted(self, number):
        event = threading.Event()
        with ModelServer(gguf(1 << 20), pace=(300000, event)) as s:
            process = harness.start("pull", "--data", self.data, f"{s.url}/model.gguf",
                                    home=self.home)
            part = self.models / "model.gguf.part"
            self.assertTrue(harness.wait_until(
                lambda: part.exists() and part.stat().st_size >= 300000))
            process.send_signal(number)
            result = harness.finish(process)
            event.set()
            self.assert_nothing(result, "stopped after 300000 bytes; the same command goes on",
                                left=["model.gguf.part", "model.gguf.part.json"])
            s.pace = None
            self.assert_pulled(self.pull(f"{s.url}/model.gguf"), s.content)
            self.assertEqual(s.asked()[-1], "bytes=300000-")

    def test_sighup(self):
        self.interrupted(signal.SIGHUP)

    def test_sigint(self):
        self.interrupted(signal.SIGINT)

    def test_sigterm(self):
        self.interrupted(signal.SIGTERM)

    def test_sigkill(self):
        event = threading.Event()
        with ModelServer(gguf(1 << 20), pace=(300000, event)) as s:
            process = harness.start("pull", "--data", self.data, f"{s.url}/model.gguf",
                                    home=self.home)
            part = self.models / "model.gguf.part"
            self.assertTrue(harness.wait_until(
                lambda: part.exists() and part.stat().st_size >= 300000))
            process.kill()
            process.communicate()
            event.set()
            s.pace = None
            self.assert_pulled(self.pull(f"{s.url}/model.gguf"), s.content)
            self.assertEqual(s.asked()[-1], "bytes=300000-")

    def test_while_waiting_to_try_again(self):
        with ModelServer(gguf(), errors=[503] * 9, headers={"Retry-After": "100"}) as s:
            process = harness.start("pull", "--data", self.data, f"{s.url}/model.gguf",
                                    home=self.home)
            self.assertTrue(harness.wait_until(lambda: s.requests))
            process.stderr.readline()
            process.send_signal(signal.SIGINT)
            result = harness.finish(process, 5)
            self.assertEqual(result.code, 1, result)


class NoRoom(PullCase):
    def test_disk_full(self):
        """Here a limit on the size of files; Python's children inherit that its signal is ignored."""
        with ModelServer(gguf(1 << 20)) as s:
            done = subprocess.run(
                [harness.WEIR, "pull", "--data", self.data, f"{s.url}/model.gguf"], check=False,
                capture_output=True, timeout=60, env=harness.environment(self.home, {}),
                restore_signals=False, preexec_fn=lambda: resource.setrlimit(
                    resource.RLIMIT_FSIZE, (300000, resource.RLIM_INFINITY)))
            self.assertEqual((done.returncode, done.stdout), (1, b""), done)
            self.assertIn(b"model.gguf.part: File too large", done.stderr)
            self.assertEqual(self.files(), ["model.gguf.part", "model.gguf.part.json"])
            self.assertEqual((self.models / "model.gguf.part").read_bytes(), s.content[:300000])
            self.assert_pulled(self.pull(f"{s.url}/model.gguf"), s.content)
            self.assertEqual(s.asked(), [None, "bytes=300000-"])

    def test_disk_full_at_once(self):
        with ModelServer(gguf()) as s:
            done = subprocess.run(
                [harness.WEIR, "pull", "--data", self.data, f"{s.url}/model.gguf"], check=False,
                capture_output=True, timeout=60, env=harness.environment(self.home, {}),
                restore_signals=False, preexec_fn=lambda: resource.setrlimit(
                    resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY)))
            self.assertEqual((done.returncode, self.files()), (1, []), done)
            self.assertIn(b"model.gguf.part.json: File too large", done.stderr)


class Bar(PullCase):
    def test_bar_on_a_terminal(self):
        event = threading.Event()
        with ModelServer(gguf(4 << 20), pace=(2 << 20, event)) as s:
            with harness.Terminal("pull", "--data", self.data, f"{s.url}/model.gguf",
                                  home=self.home) as t:
                t.expect(r"model.gguf +(49|50)% #+\.+ 2.1 MB of 4.2 MB")
                event.set()
                self.assertEqual(t.wait(), 0)
                self.assertIn("\x1b[K", t.seen)
                self.assertIn(s.sha256(), t.plain())
