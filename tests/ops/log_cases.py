"""Logs: rotation, outputs that are blocked, gone or full, and what may not stand in them."""

import os
import signal
import socket
import threading
import time

from harness import CHAT, Case, Weir, ask, basic, chat, chat_body, json, late, read_request, until

ABSENT = "nonexistent-" + "x" * 200  # makes long lines
LINES = 6000  # of some 470 bytes: more than the rings of two workers (1 MiB each) and a pipe hold together


def many(weir, n):
    """n (a multiple of 4) refused requests over four connections (they need no upstream); how many were answered."""
    body = json.dumps(chat_body(ABSENT)).encode()
    data = (f"POST {CHAT} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n").encode() + body
    answered = []

    def run(count):
        with socket.create_connection(("127.0.0.1", weir.port)) as s:
            s.settimeout(late(20))
            done, buffered = 0, b""
            for _ in range(count):
                s.sendall(data)
                answer, buffered = read_request(s, buffered)
                done += answer is not None and answer.path == "404"
        answered.append(done)

    threads = [threading.Thread(target=run, args=(n // 4,)) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    return sum(answered)


class Rotation(Case):
    def rotate(self, reopen):
        with Weir(basic(self.upstream(), "log: {access: '{dir}/access.log'}\nworkers: 2\n")) as weir:
            log, old = weir.folder / "access.log", weir.folder / "access.log.1"
            self.assertEqual(many(weir, 100), 100)
            weir.last_access(100, "access.log")
            os.rename(log, old)
            self.assertEqual(many(weir, 100), 100)
            until("the lines go to the renamed file", lambda: len(weir.access("access.log.1")) == 200)
            self.assertFalse(log.exists())
            reopen(weir)
            until("there is a new file", log.exists)
            self.assertEqual(many(weir, 100), 100)
            self.assertEqual(len(weir.last_access(100, "access.log")), 100)
            self.assertEqual(len(weir.access("access.log.1")), 200)
            self.assertEqual(log.stat().st_mode & 0o777 & ~0o640, 0, "others cannot read it")

    def test_sigusr1(self):
        self.rotate(lambda weir: weir.signal(signal.SIGUSR1))

    def test_admin(self):
        self.rotate(lambda weir: self.good(ask(weir.data / "admin.sock", "POST", "/admin/v1/logs/reopen")))

    def test_under_load_no_line_is_lost(self):
        with Weir(basic(self.upstream(), "log: {access: '{dir}/access.log'}\n")) as weir:
            log = weir.folder / "access.log"
            load = threading.Thread(target=many, args=(weir, 2000))
            load.start()
            for i in range(5):
                time.sleep(0.05)
                until("there is a file", log.exists)
                os.rename(log, weir.folder / f"access.{i}")
                weir.signal(signal.SIGUSR1)
            load.join()
            until("there is a file", log.exists)
            names = ["access.log"] + [f"access.{i}" for i in range(5)]
            until("all lines are somewhere", lambda: sum(len(weir.access(n)) for n in names) == 2000)

    def test_new_file_cannot_be_opened(self):
        """The old one stays in use, and the lines are not lost."""
        with Weir(basic(self.upstream(), "log: {access: '{dir}/logs/access.log'}\n"), folder=self.made()) as weir:
            os.rename(weir.folder / "logs", weir.folder / "moved")
            weir.signal(signal.SIGUSR1)
            self.assertEqual(many(weir, 20), 20)
            until("they are in the old file", lambda: len(weir.access("moved/access.log")) == 20)

    def made(self):
        folder = self.folder()
        (folder / "logs").mkdir()
        return folder


class Blocked(Case):
    """Standard output that nobody reads."""

    def weir(self, more="workers: 2\n"):
        self.reader, writer = os.pipe()
        self.addCleanup(lambda: os.close(self.reader) if self.reader is not None else None)
        weir = Weir(basic(self.upstream(), more), stdout=writer).start()
        os.close(writer)
        return weir

    def test_serving_goes_on(self):
        with self.weir() as weir:
            self.assertEqual(many(weir, LINES), LINES)
            self.good(chat(weir.port))
            dropped = weir.metric("weir_log_dropped_total")
            self.assertGreater(dropped, 100)
            self.assertLess(dropped, LINES)
            weir.signal(signal.SIGHUP)
            until("events still come out", lambda: weir.said("reload.done"))
            began = time.monotonic()
            self.assertEqual(weir.stop(), 0)
            self.assertLess(time.monotonic() - began, late(5), "a blocked output must not hold up the end")

    def test_socket(self):
        """As under a service manager that collects output through a socket."""
        reader, writer = socket.socketpair()
        with reader:
            weir = Weir(basic(self.upstream()), stdout=writer).start()
            writer.close()
            with weir:
                self.assertEqual(many(weir, LINES), LINES)
                self.assertGreater(weir.metric("weir_log_dropped_total"), 100)
                self.assertEqual(weir.stop(), 0)

    def test_unblocked_again(self):
        with self.weir() as weir:
            self.assertEqual(many(weir, LINES), LINES)
            seen, done = [], threading.Event()

            def read():
                while data := os.read(self.reader, 1 << 20):
                    seen.append(data)
                done.set()

            threading.Thread(target=read, daemon=True).start()
            until("what was queued comes", lambda: b"".join(seen).count(b"\n") > 1000)
            dropped = weir.metric("weir_log_dropped_total")
            self.assertEqual(many(weir, 100), 100)
            until("every line came or was counted", lambda: b"".join(seen).count(b"\n") + dropped == LINES + 100)
            self.assertEqual(weir.metric("weir_log_dropped_total"), dropped)
            self.assertEqual(weir.stop(), 0)
            done.wait(late(5))
            for line in b"".join(seen).splitlines():
                json.loads(line)

    def test_reader_has_gone(self):
        with self.weir() as weir:
            os.close(self.reader)
            self.reader = None
            self.assertEqual(many(weir, 400), 400)
            until("the lines count as dropped", lambda: weir.metric("weir_log_dropped_total") > 0)
            self.good(chat(weir.port))

    def test_disk_full(self):
        with Weir(basic(self.upstream(), "log: {access: /dev/full}\n")) as weir:
            self.assertEqual(many(weir, 400), 400)
            until("the lines count as dropped", lambda: weir.metric("weir_log_dropped_total") > 0)

    def test_changed_by_reload(self):
        """Away from a blocked output to a file."""
        with self.weir() as weir:
            self.assertEqual(many(weir, LINES), LINES)
            weir.write(weir.config.read_text() + "log: {access: '{dir}/access.log'}\n")
            self.assertEqual(weir.reload()[0], 0)
            before = len(weir.access("access.log"))
            self.assertEqual(many(weir, 52), 52)
            until("new lines are in the file", lambda: len(weir.access("access.log")) >= before + 52)
