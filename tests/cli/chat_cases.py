"""weir chat in pipes: one prompt, one answer."""
import json
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import threading
import time
import unittest

import harness
from chat_server import (ChatServer, DONE, FINISH, USAGE, cut_stream, delta, ended_stream, error,
                         event, raw_delta, send_stream, stream)


class ChatCase(unittest.TestCase):
    def setUp(self):
        self.authority, self.tls = harness.authority()
        self.home = pathlib.Path(tempfile.mkdtemp(prefix="weir-cli-"))
        self.addCleanup(shutil.rmtree, self.home)

    def chat(self, server, *args, stdin=b"hi", **env):
        return harness.weir("chat", "--url", server.url, *args, home=self.home, stdin=stdin, **env)

    def assert_says(self, result, text):
        self.assertEqual(result.code, 0, result)
        self.assertEqual(result.raw, text.encode() if isinstance(text, str) else text)
        self.assertEqual(result.err, "")

    def assert_fails(self, result, says, out=""):
        self.assertEqual(result.code, 1, result)
        self.assertEqual(result.out, out)
        self.assertRegex(result.err, says)


class Prompts(ChatCase):
    def messages(self, server):
        return [(m["role"], m["content"]) for m in server.chats()[-1]["messages"]]

    def test_all_of_stdin(self):
        with ChatServer(stream("Hel", "lo.")) as s:
            self.assert_says(self.chat(s, stdin="one\ntwo \u00e9\n".encode()), "Hello.\n")
            self.assertEqual(self.messages(s), [("user", "one\ntwo \u00e9")])

    def test_words(self):
        with ChatServer(stream("ok")) as s:
            self.assert_says(self.chat(s, "what", "is", "it?"), "ok\n")
            self.assertEqual(self.messages(s), [("user", "what is it?")])

    def test_words_and_stdin(self):
        with ChatServer(stream("ok")) as s:
            self.assert_says(self.chat(s, "Say:", "-", stdin=b"a\nb\n"), "ok\n")
            self.assertEqual(self.messages(s), [("user", "Say: a\nb")])

    def test_words_that_look_like_options(self):
        with ChatServer(stream("ok")) as s:
            self.assert_says(self.chat(s, "--", "--once"), "ok\n")
            self.assertEqual(self.messages(s), [("user", "--once")])

    def test_output_that_does_not_block(self):
        """Whoever shares a terminal may have made it so; then the reader is waited for."""
        text = "x" * 300000
        with ChatServer(stream(text)) as s:
            reading, writing = os.pipe()
            os.set_blocking(writing, False)
            process = subprocess.Popen([harness.WEIR, "chat", "--url", s.url, "hi"], stdout=writing,
                                       stderr=subprocess.PIPE, stdin=subprocess.DEVNULL,
                                       env=harness.environment(self.home, {}))
            os.close(writing)
            time.sleep(0.5)
            with open(reading, "rb") as f:
                self.assertEqual(f.read(), text.encode() + b"\n")
            self.assertEqual((process.communicate(timeout=30)[1], process.returncode), (b"", 0))

    def test_max_tokens(self):
        with ChatServer(stream("ok")) as s:
            self.assert_says(self.chat(s, "--max-tokens", "7"), "ok\n")
            self.assert_says(self.chat(s), "ok\n")
            self.assertEqual([c.get("max_completion_tokens") for c in s.chats()], [7, None])
            for wrong in ("0", "-1", "x", "9223372036854775808"):
                result = self.chat(s, f"--max-tokens={wrong}")
                self.assertEqual(result.code, 2, result)
                self.assertIn("--max-tokens takes a number", result.err)

    def test_system(self):
        with ChatServer(stream("ok")) as s:
            self.chat(s, "--system", "Be brief.")
            self.assertEqual(self.messages(s), [("system", "Be brief."), ("user", "hi")])

    def test_large(self):
        text = "x\u00e9\U0001f600\n" * 200000
        with ChatServer(stream("ok")) as s:
            self.assert_says(self.chat(s, stdin=text.encode()), "ok\n")
            self.assertEqual(self.messages(s), [("user", text[:-1])])

    def test_stdin_that_is_not_utf8(self):
        with ChatServer(stream("ok")) as s:
            self.assert_says(self.chat(s, stdin=b"a\xffb\0c"), "ok\n")
            self.assertEqual(self.messages(s), [("user", "a\ufffdb\0c")])

    def test_nothing(self):
        for stdin in (b"", b"\n", b" \t\n\n"):
            with self.subTest(stdin), ChatServer(stream("ok")) as s:
                result = self.chat(s, stdin=stdin)
                self.assertEqual(result.code, 2, result)
                self.assertEqual(s.requests, [])

    def test_stdin_is_left_alone_with_words(self):
        with ChatServer(stream("ok")) as s:
            result = harness.finish(harness.start("chat", "--url", s.url, "hello", home=self.home))
            self.assert_says(result, "ok\n")


class Request(ChatCase):
    def test_body(self):
        with ChatServer(stream("ok")) as s:
            self.chat(s, "--model", 'a"b')
            body = s.chats()[0]
            self.assertEqual(body, {"model": 'a"b', "stream": True,
                                    "stream_options": {"include_usage": True},
                                    "messages": [{"role": "user", "content": "hi"}]})
            self.assertEqual(len(s.requests), 1)

    def test_model_is_the_first_listed(self):
        with ChatServer(stream("ok")) as s:
            self.chat(s)
            self.assertEqual(s.chats()[0]["model"], "first")

    def test_no_models(self):
        with ChatServer(stream("ok"), models=()) as s:
            self.assert_fails(self.chat(s), "offers no models")

    def test_models_refused(self):
        with ChatServer(stream("ok")) as s:
            s.script = error(401, "Incorrect\x1b API key")
            self.assert_fails(self.chat(s), r"Incorrect\^\[ API key \(401 Unauthorized\)")

    def test_models_make_no_sense(self):
        for body in (b"", b"{", b"[]", b"7", b'{"data":7}', b"\xff"):
            with self.subTest(body), ChatServer(stream("ok")) as s:
                s.script = lambda c, _, body=body: c.answer(200, body)
                self.assert_fails(self.chat(s), "makes no sense")

    def key(self, *args, **env):
        with ChatServer(stream("ok")) as s:
            self.chat(s, "--model", "m", *args, **env)
            return s.requests[0].headers.get("authorization")

    def test_key(self):
        both = {"WEIR_API_KEY": "w", "OPENAI_API_KEY": "o"}
        self.assertEqual(self.key("--key", "k", **both), "Bearer k")
        self.assertEqual(self.key(**both), "Bearer w")
        self.assertEqual(self.key(OPENAI_API_KEY="o"), "Bearer o")
        self.assertIsNone(self.key())
        self.assertIsNone(self.key("--key", "a\nX-Evil: 1"))

    def test_url(self):
        with ChatServer(stream("ok")) as s:
            for url in (s.url, s.url + "/", s.url[:-3], s.url[:-3] + "/"):
                with self.subTest(url):
                    result = harness.weir("chat", "hi", home=self.home, WEIR_URL=url)
                    self.assert_says(result, "ok\n")

    def test_url_malformed(self):
        for url in ("nonsense", "ftp://a/v1", "http://", "http://a b/"):
            with self.subTest(url):
                result = harness.weir("chat", "--url", url, "hi", home=self.home)
                self.assertEqual(result.code, 2, result)

    def test_tls(self):
        with ChatServer(stream("ok"), tls=self.tls) as s:
            self.assert_says(self.chat(s, "--ca", self.authority.ca), "ok\n")
            self.assert_fails(self.chat(s), "TLS handshake failed")

    def test_nobody_there(self):
        url = f"http://127.0.0.1:{harness.dead_port()}/v1"
        result = harness.weir("chat", "--url", url, "--model", "m", "hi", home=self.home)
        self.assert_fails(result, f"{url}: no connection: connection refused")

    def test_redirects_are_not_followed(self):
        with ChatServer(stream("ok")) as s:
            s.script = lambda c, _: c.answer(307, b"", Location=s.url)
            self.assert_fails(self.chat(s, "--model", "m", "--key", "k"), "307")
            self.assertEqual(len(s.requests), 1)


class Streams(ChatCase):
    def test_one_byte_writes(self):
        whole = b"".join(stream("H\u00e9llo \U0001f600", "!", "\u20ac"))
        with ChatServer([whole[i:i + 1] for i in range(len(whole))]) as s:
            self.assert_says(self.chat(s), "H\u00e9llo \U0001f600!\u20ac\n")

    def test_characters_split_between_writes(self):
        whole = b"".join(stream("\u00e9\u20ac\U0001f600" * 20))
        for size in (2, 3, 5, 7, 64):
            with self.subTest(size):
                pieces = [whole[i:i + size] for i in range(0, len(whole), size)]
                with ChatServer(pieces) as s:
                    self.assert_says(self.chat(s), "\u00e9\u20ac\U0001f600" * 20 + "\n")

    def test_characters_split_between_events(self):
        """Half a character in one event and half in the next is no JSON, but servers send it."""
        text = "a\u00e9\u20ac\U0001f600z"
        raw = text.encode()
        for size in (1, 2, 3):
            pieces = [raw_delta(raw[i:i + size]) for i in range(0, len(raw), size)]
            with self.subTest(size), ChatServer(stream(*pieces)) as s:
                self.assert_says(self.chat(s), text + "\n")

    def test_surrogates_split_between_events(self):
        pieces = [raw_delta(rb"a\ud83d"), raw_delta(rb"\ude00\\ud83d"), raw_delta(rb"\uD83D"),
                  raw_delta(rb"\uDE00b")]
        with ChatServer(stream(*pieces)) as s:
            self.assert_says(self.chat(s), "a\U0001f600\\ud83d\U0001f600b\n")

    def test_half_a_character_at_the_end(self):
        with ChatServer(stream(raw_delta(rb"a\ud83d"))) as s:
            self.assert_says(self.chat(s), "a\ufffd\n")

    def test_line_ends_and_fields(self):
        for end in ("\n", "\r\n", "\r"):
            body = "".join(e.decode() for e in stream("Hel", "lo")).replace("\n", end)
            noise = f"{end}: comment{end}{end}event: ping{end}data:{end}{end}id: 7{end}retry: 9{end}"
            with self.subTest(end), ChatServer([noise.encode() + body.encode()]) as s:
                self.assert_says(self.chat(s), "Hello\n")

    def test_bom_and_several_data_lines(self):
        event_lines = json.dumps(delta(content="Hello"), indent=1).replace("\n", "\ndata: ")
        body = f"\ufeffdata: {event_lines}\n\n".encode() + DONE
        with ChatServer([body]) as s:
            self.assert_says(self.chat(s), "Hello\n")

    def test_done_without_blank_line(self):
        with ChatServer([event(delta(content="ok")), b"data: [DONE]"]) as s:
            self.assert_says(self.chat(s), "ok\n")

    def test_nothing_behind_done(self):
        with ChatServer(stream("ok") + [event(delta(content="MORE"))]) as s:
            self.assert_says(self.chat(s), "ok\n")

    def test_connection_stays_open_behind_done(self):
        def linger(connection, _):
            connection.answer(200, length="none", Content_Type="text/event-stream",
                              Transfer_Encoding="chunked")
            body = b"".join(stream("ok"))
            connection.send(b"%x\r\n%s\r\n" % (len(body), body))
            connection.client_has_left(20)
        with ChatServer(linger) as s:
            started = time.monotonic()
            self.assert_says(self.chat(s), "ok\n")
            self.assertLess(time.monotonic() - started, 10)

    def test_reasoning_stays_out_of_the_pipe(self):
        for name in ("reasoning_content", "reasoning"):
            pieces = [event(delta(**{name: "Hmm"})), event(delta(**{name: " hmm."})), "Yes."]
            with self.subTest(name), ChatServer(stream(*pieces)) as s:
                self.assert_says(self.chat(s), "Yes.\n")

    def test_refusal(self):
        with ChatServer(stream(event(delta(refusal="I won't.")))) as s:
            self.assert_says(self.chat(s), "I won't.\n")

    def test_only_the_first_choice(self):
        both = delta(content="one")
        both["choices"].append({"index": 1, "delta": {"content": "two"}, "finish_reason": None})
        with ChatServer(stream(event(both))) as s:
            self.assert_says(self.chat(s), "one\n")

    def test_final_newline_is_not_doubled(self):
        with ChatServer(stream("a\n")) as s:
            self.assert_says(self.chat(s), "a\n")

    def test_escapes_pass_into_pipes(self):
        with ChatServer(stream("a\x1b[2Jb\0c\r\n")) as s:
            self.assert_says(self.chat(s), "a\x1b[2Jb\0c\r\n")

    def test_large(self):
        pieces = ["0123456789abcdef" * 64] * 3000
        with ChatServer(stream(*pieces)) as s:
            self.assert_says(self.chat(s), "".join(pieces) + "\n")

    def test_flushed_per_event(self):
        go = threading.Event()

        def slow(connection, _):
            events = stream("first ", "second")
            send_stream(connection, events[:2] + [lambda _: go.wait(20)] + events[2:])
        with ChatServer(slow) as s:
            process = harness.start("chat", "--url", s.url, "hi", home=self.home)
            self.assertEqual(process.stdout.read1(100), b"first ")
            go.set()
            result = harness.finish(process)
            self.assertEqual(result.raw, b"second\n")

    def test_answer_without_a_stream(self):
        body = {"choices": [{"index": 0, "message": {"role": "assistant", "content": "H\u00e9llo"},
                             "finish_reason": "stop"}],
                "usage": {"prompt_tokens": 1, "completion_tokens": 2}}
        plain = lambda c, _: c.answer(200, json.dumps(body).encode(),  # noqa: E731
                                      Content_Type="application/json")
        with ChatServer(plain) as s:
            self.assert_says(self.chat(s), "H\u00e9llo\n")

    def test_reader_that_leaves(self):
        with ChatServer(stream(*["x" * 1000] * 5000)) as s:
            process = harness.start("chat", "--url", s.url, "hi", home=self.home)
            process.stdout.read1(10)
            process.stdout.close()
            process.wait(20)
            harness.complain_about_sanitizers(process.stderr.read().decode())
            process.stderr.close()
            self.assertEqual(process.returncode, 1)


class Errors(ChatCase):
    def test_statuses(self):
        for status in (400, 401, 404, 429, 500, 503):
            with self.subTest(status), ChatServer(error(status, "no \u00fcse")) as s:
                self.assert_fails(self.chat(s), rf"no \u00fcse \({status} ")

    def test_message_of_the_server_cannot_steer(self):
        with ChatServer(error(400, "a\x1b]0;x\x07b\nc")) as s:
            self.assert_fails(self.chat(s), r"a\^\[\]0;x\^Gb c")

    def test_error_that_is_no_json(self):
        def html(connection, _):
            connection.answer(502, b"<html><h1>Bad gateway</h1></html>", Content_Type="text/html")
        with ChatServer(html) as s:
            self.assert_fails(self.chat(s), "Bad [Gg]ateway")

    def test_error_frame_first(self):
        frame = event({"error": {"message": "overloaded", "type": "server_error"}})
        with ChatServer([frame]) as s:
            self.assert_fails(self.chat(s), "weir chat: overloaded\n")

    def test_error_frame_in_the_middle(self):
        frame = event({"error": {"message": "the upstream failed", "code": "upstream_cut"}})
        with ChatServer(stream("Half an ")[:2] + [frame]) as s:
            self.assert_fails(self.chat(s), "the upstream failed", "Half an \n")

    def test_error_string(self):
        with ChatServer([event({"error": "out of luck"})]) as s:
            self.assert_fails(self.chat(s), "out of luck")

    def test_null_error_is_none(self):
        fine = delta(content="ok")
        fine["error"] = None
        with ChatServer(stream(event(fine))) as s:
            self.assert_says(self.chat(s), "ok\n")

    def test_error_in_an_answer_with_200(self):
        with ChatServer(error(200, "in disguise")) as s:
            self.assert_fails(self.chat(s), "in disguise")

    def test_cut(self):
        whole = stream("Half", " of it")
        for n in range(len(whole)):
            for kind in ("fin", "reset", "in order"):
                answer = {"fin": cut_stream(whole[:n]), "reset": cut_stream(whole[:n], True),
                          "in order": ended_stream(whole[:n])}[kind]
                with self.subTest(n=n, kind=kind), ChatServer(answer) as s:
                    result = self.chat(s, "--model", "m")
                    self.assertEqual(result.code, 1, result)
                    self.assertRegex(result.err, "the answer was cut off|without an answer")
                    if kind != "reset":
                        expected = "".join(("", "", "Half", " of it")[:n + 1])
                        self.assertEqual(result.out, expected + "\n" * bool(expected))

    def test_cut_inside_an_event(self):
        with ChatServer(cut_stream(stream("Half")[:2] + [b'data: {"choices":[{"del'])) as s:
            self.assert_fails(self.chat(s), "cut off", "Half\n")

    def test_not_json(self):
        for data in (b"{", b"nonsense", b"{}x", b"\x00"):
            with self.subTest(data), ChatServer(stream("a", event(data), "b")) as s:
                self.assert_fails(self.chat(s), "not valid JSON", "a\n")

    def test_strange_json(self):
        strange = [b"{}", b'{"choices":7}', b'{"choices":[]}', b'{"choices":[7]}',
                   b'{"choices":[{}]}', b'{"choices":[{"delta":7,"finish_reason":7}]}',
                   b'{"choices":[{"delta":{"content":null}}],"usage":null}',
                   b'{"choices":[{"delta":{"content":["x"]}}],"usage":{"prompt_tokens":"x"}}']
        with ChatServer(stream("a", *[event(e) for e in strange], "b")) as s:
            self.assert_says(self.chat(s), "ab\n")
        for data in (b"[]", b"7", b'"x"', b"null"):
            with self.subTest(data), ChatServer(stream("a", event(data))) as s:
                self.assert_fails(self.chat(s), "makes no sense", "a\n")

    def test_answer_of_another_kind(self):
        html = lambda c, _: c.answer(200, b"<html>hello", Content_Type="text/html")  # noqa: E731
        with ChatServer(html) as s:
            self.assert_fails(self.chat(s), "not valid JSON")

    def test_204(self):
        with ChatServer(lambda c, _: c.answer(204, length="none")) as s:
            self.assert_fails(self.chat(s), "not valid JSON")

    def test_sigint_ends_it(self):
        never = threading.Event()
        gone = []

        def stall(connection, _):
            send_stream(connection, stream("a")[:2], end=False)
            gone.append(connection.client_has_left(20))
            never.set()
        with ChatServer(stall) as s:
            process = harness.start("chat", "--url", s.url, "hi", home=self.home)
            self.assertEqual(process.stdout.read1(100), b"a")
            process.send_signal(signal.SIGINT)
            self.assertEqual(harness.finish(process).code, -signal.SIGINT)
            self.assertTrue(never.wait(5))
            self.assertEqual(gone, [True])


class Figures(ChatCase):
    def test_verbose(self):
        events = stream("a", "b")
        spaced = events[:2] + [lambda _: time.sleep(0.3)] + events[2:]
        with ChatServer(spaced, X_Weir_Target="house/m") as s:
            result = self.chat(s, "-v")
            self.assertEqual(result.raw, b"ab\n")
            self.assertRegex(result.err, r"^\[7 tokens in, 42 out, \d+\.\d tokens/s, first after "
                                         r"\d\.\d\d s, by house/m\]\n$")
            rate = float(result.err.split(" tokens/s")[0].split()[-1])
            self.assertTrue(41 / 0.6 < rate < 41 / 0.2, result.err)  # the first may come late

    def test_without_usage(self):
        with ChatServer(stream("a", "b", usage=False)) as s:
            self.assertRegex(self.chat(s, "-v").err, r"^\[2 pieces, first after")

    def test_limit(self):
        finish = json.loads(json.dumps(FINISH))
        finish["choices"][0]["finish_reason"] = "length"
        with ChatServer([event(delta(content="a")), event(finish), event(USAGE), DONE]) as s:
            self.assertIn("ended by the limit on tokens", self.chat(s, "-v").err)

