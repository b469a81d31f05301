"""weir chat on a terminal: the conversation, its commands, and keys that interrupt."""
import threading

import harness
from chat_cases import ChatCase
from chat_server import (ChatServer, cut_stream, delta, error, event, raw_delta, send_stream,
                         stream)

PROMPT = r"> (\x1b\[0m)?$"


class TerminalCase(ChatCase):
    def terminal(self, server, *args, **env):
        t = harness.Terminal("chat", "--url", server.url, *args, home=self.home, **env)
        self.addCleanup(t.__exit__)
        return t

    def contents(self, server, at=-1):
        return [m["content"] for m in server.chats()[at]["messages"]]

    def quit(self, t):
        t.send("/quit\n")
        self.assertEqual(t.wait(), 0)


class Conversation(TerminalCase):
    def test_history(self):
        with ChatServer(stream("Hello."), stream("Two."), stream("Three.")) as s:
            t = self.terminal(s)
            t.expect(PROMPT)
            t.send("one\n")
            t.expect(r"Hello\.")
            t.expect(r"42 out")
            t.expect(PROMPT)
            t.send("two\n")
            t.expect(r"Two\.")
            t.expect(PROMPT)
            self.assertEqual(self.contents(s), ["one", "Hello.", "two"])
            t.send("/reset\n")
            t.expect(PROMPT)
            t.send("three\n")
            t.expect(r"Three\.")
            t.expect(PROMPT)
            self.assertEqual(self.contents(s), ["three"])
            self.quit(t)

    def test_ctrl_d(self):
        with ChatServer(stream("ok")) as s:
            t = self.terminal(s)
            t.expect(PROMPT)
            t.send("\x04")
            self.assertEqual(t.wait(), 0)
            self.assertEqual(s.chats(), [])

    def test_words_begin_it(self):
        with ChatServer(stream("ok")) as s:
            t = self.terminal(s, "how", "are", "you?")
            t.expect("ok")
            t.expect(PROMPT)
            self.assertEqual(self.contents(s), ["how are you?"])
            self.quit(t)

    def test_once(self):
        with ChatServer(stream("ok")) as s:
            t = self.terminal(s, "--once", "hi")
            self.assertEqual(t.wait(), 0)
            self.assertIn("ok\n", t.plain())
            t = self.terminal(s, "--once")
            t.expect(PROMPT)
            t.send("hello\n")
            self.assertEqual(t.wait(), 0)
            self.assertEqual(self.contents(s), ["hello"])

    def test_several_lines(self):
        with ChatServer(stream("ok")) as s:
            t = self.terminal(s)
            t.expect(PROMPT)
            t.send("one\\\n")
            t.expect(r"\. (\x1b\[0m)?$")
            t.send("two \u00e9\\\n")
            t.expect(r"\. (\x1b\[0m)?$")
            t.send("three\n")
            t.expect("ok")
            t.expect(PROMPT)
            self.assertEqual(self.contents(s), ["one\ntwo \u00e9\nthree"])
            self.quit(t)

    def test_blank_lines_ask_nothing(self):
        with ChatServer(stream("ok")) as s:
            t = self.terminal(s)
            for text in ("\n", "   \n", "\t\n"):
                t.expect(PROMPT)
                t.send(text)
            t.expect(PROMPT)
            self.quit(t)
            self.assertEqual(s.chats(), [])

    def test_error_goes_on(self):
        with ChatServer(stream("One."), error(500, "broken"), cut_stream(stream("Half")[:2]),
                        stream("Two.")) as s:
            t = self.terminal(s)
            for asked, shown in (("one", r"One\."), ("x", r"broken \(500"),
                                 ("y", "Half\r\nweir chat: the answer was cut off"),
                                 ("two", r"Two\.")):
                t.expect(PROMPT)
                t.send(asked + "\n")
                t.expect(shown)
            t.expect(PROMPT)
            self.assertEqual(self.contents(s), ["one", "One.", "two"])
            self.quit(t)

    def test_server_that_closed_meanwhile(self):
        """The connection of the first answer is gone when the second question is asked."""
        def close_after(connection, _):
            send_stream(connection, stream("One."))
            connection.cut()
        with ChatServer(close_after, stream("Two.")) as s:
            t = self.terminal(s)
            t.expect(PROMPT)
            t.send("one\n")
            t.expect(r"One\.")
            t.expect(PROMPT)
            t.send("two\n")
            t.expect(r"Two\.")
            t.expect(PROMPT)
            self.quit(t)


class Commands(TerminalCase):
    def test_model_and_system(self):
        with ChatServer(stream("ok")) as s:
            t = self.terminal(s)
            t.expect(PROMPT)
            t.send("/model\n")
            t.expect(r"  first \(now\)\r\n  second\r\n")
            t.expect(PROMPT)
            t.send("/model other one\n")
            t.expect(PROMPT)
            t.send("/system  Be brief. \n")
            t.expect(PROMPT)
            t.send("hi\n")
            t.expect("ok")
            t.expect(PROMPT)
            self.assertEqual(s.chats()[-1]["model"], "other one")
            self.assertEqual(self.contents(s), ["Be brief.", "hi"])
            t.send("/system\n")
            t.expect(PROMPT)
            t.send("more\n")
            t.expect("ok")
            t.expect(PROMPT)
            self.assertEqual(self.contents(s), ["hi", "ok", "more"])
            self.quit(t)

    def test_help_and_unknown(self):
        with ChatServer(stream("ok")) as s:
            t = self.terminal(s)
            t.expect(PROMPT)
            t.send("/help\n")
            t.expect("/reset +forget")
            t.expect(PROMPT)
            t.send("/nonsense\n")
            t.expect("there is no command /nonsense")
            t.expect(PROMPT)
            t.send("/etc/fstab has what?\n")
            t.expect("ok")
            t.expect(PROMPT)
            self.assertEqual(self.contents(s), ["/etc/fstab has what?"])
            self.quit(t)

    def test_names_of_models_cannot_steer(self):
        with ChatServer(stream("ok"), models=("a\x1b[2Jb",)) as s:
            t = self.terminal(s, "--model", "m")
            t.expect(PROMPT)
            t.send("/model\n")
            t.expect(r"a\^\[\[2Jb")
            self.quit(t)


class Interrupts(TerminalCase):
    def stalling(self, gone):
        def stall(connection, _):
            send_stream(connection, stream("Half of")[:2], end=False)
            gone.append(connection.client_has_left(20))
            connection.cut()
        return stall

    def test_ctrl_c_cancels_the_answer_only(self):
        gone = []
        with ChatServer(self.stalling(gone), stream("Two.")) as s:
            t = self.terminal(s)
            t.expect(PROMPT)
            t.send("one\n")
            t.expect("Half of")
            t.send("\x03")
            t.expect(r"\(cancelled\)")
            t.expect(PROMPT)
            self.assertTrue(harness.wait_until(lambda: gone == [True]))
            t.send("two\n")
            t.expect(r"Two\.")
            t.expect(PROMPT)
            self.assertEqual(self.contents(s), ["one", "Half of", "two"])
            self.quit(t)

    def test_ctrl_c_before_the_answer_begins(self):
        asked = threading.Event()

        def silent(connection, _):
            asked.set()
            connection.client_has_left(20)
            connection.cut()
        with ChatServer(silent, stream("Two.")) as s:
            t = self.terminal(s)
            t.expect(PROMPT)
            t.send("one\n")
            self.assertTrue(asked.wait(10))
            t.send("\x03")
            t.expect(r"\(cancelled\)")
            t.expect(PROMPT)
            t.send("two\n")
            t.expect(r"Two\.")
            t.expect(PROMPT)
            self.assertEqual(self.contents(s), ["two"])
            self.quit(t)

    def test_ctrl_c_at_the_prompt(self):
        with ChatServer(stream("ok")) as s:
            t = self.terminal(s)
            t.expect(PROMPT)
            t.send("half a line\x03")
            t.expect(r"\(Ctrl-D ends\)")
            t.expect(PROMPT)
            t.send("\x03")
            t.expect(PROMPT)
            t.send("hi\n")
            t.expect("ok")
            t.expect(PROMPT)
            self.assertEqual(self.contents(s), ["hi"])
            self.quit(t)

    def test_ctrl_c_within_several_lines(self):
        with ChatServer(stream("ok")) as s:
            t = self.terminal(s)
            t.expect(PROMPT)
            t.send("forget this\\\n")
            t.expect(r"\. (\x1b\[0m)?$")
            t.send("\x03")
            t.expect(PROMPT)
            t.send("hi\n")
            t.expect("ok")
            t.expect(PROMPT)
            self.assertEqual(self.contents(s), ["hi"])
            self.quit(t)


class Display(TerminalCase):
    def shown(self, *pieces, **env):
        with ChatServer(stream(*pieces)) as s:
            t = self.terminal(s, "--once", "hi", **env)
            self.assertEqual(t.wait(), 0)
            return t.seen.replace("\r\n", "\n")

    def test_escapes_are_neutral(self):
        seen = self.shown("a\x1b[31mred\x1b]0;title\x07\x9b2J\u009b3J\x7f\b\0\u202ex\u2066y",
                          NO_COLOR="1")
        self.assertTrue(seen.startswith(
            "a^[[31mred^[]0;title^G\ufffd2J\ufffd3J^?^H^@\ufffdx\ufffdy\n"), seen)
        self.assertNotIn("\x1b", seen)

    def test_escape_split_between_events(self):
        seen = self.shown("a\x1b", "[2Jb", raw_delta(b"\xc2"), raw_delta(b"\x9bZ"), NO_COLOR="1")
        self.assertTrue(seen.startswith("a^[[2Jb\ufffdZ\n"), seen)

    def test_line_ends(self):
        seen = self.shown("over\rwritten\r\nnext\tcolumn\n", NO_COLOR="1")
        self.assertTrue(seen.startswith("overwritten\nnext\tcolumn\n"), seen)

    def test_characters_split_between_events(self):
        raw = "a\u00e9\u20ac\U0001f600z".encode()
        seen = self.shown(*[raw_delta(raw[i:i + 1]) for i in range(len(raw))], NO_COLOR="1")
        self.assertTrue(seen.startswith("a\u00e9\u20ac\U0001f600z\n"), seen)

    def test_broken_characters(self):
        seen = self.shown(raw_delta(b"a\xe2\x82"), raw_delta(b"b\xff\xc0\xafc\xed\xa0\x80d\xf5e\xf0\x9f"),
                          NO_COLOR="1")
        first = seen.split("\n")[0]
        self.assertEqual(first.replace("\ufffd", ""), "abcde")
        self.assertNotIn("\xff", first)

    def test_reasoning_is_dim(self):
        pieces = [event(delta(reasoning_content="Hm")), event(delta(reasoning_content="m.")), "Yes."]
        seen = self.shown(*pieces)
        self.assertTrue(seen.startswith("\x1b[2mHmm.\x1b[0m\n\nYes.\n"), repr(seen))

    def test_no_color(self):
        pieces = [event(delta(reasoning="Hmm.")), "Yes."]
        for env in ({"NO_COLOR": "1"}, {"TERM": "dumb"}):
            with self.subTest(env):
                seen = self.shown(*pieces, **env)
                self.assertTrue(seen.startswith("Hmm.\n\nYes.\n["), repr(seen))
                self.assertNotIn("\x1b", seen)

    def test_dimming_ends_when_the_answer_is_cut(self):
        events = [event(delta(reasoning="Hmm"))]
        with ChatServer(cut_stream(events)) as s:
            t = self.terminal(s, "--once", "hi")
            self.assertEqual(t.wait(), 1)
            self.assertIn("\x1b[2mHmm\x1b[0m", t.seen)

    def test_dimming_ends_with_ctrl_c(self):
        def stall(connection, _):
            send_stream(connection, [event(delta(reasoning="Hmm"))], end=False)
            connection.client_has_left(20)
            connection.cut()
        with ChatServer(stall) as s:
            t = self.terminal(s, "--once", "hi")
            t.expect("Hmm")
            t.send("\x03")
            self.assertEqual(t.wait(), 1)
            self.assertRegex(t.seen, r"Hmm(\^C)?\x1b\[0m")

