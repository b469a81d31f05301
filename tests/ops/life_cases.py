"""Start, notification of the service manager, drain, end, restart, and what a start refuses."""

import os
import shutil
import signal
import socket
import subprocess
import threading
import time
import unittest

from harness import (ENGINE_STUB, Case, Stream, Weir, alive, ask, basic, chat, children, connect, cpu_seconds, late,
                     permitted, state, until)

HOLD = "server: {drain: 20s, ready_delay: 0}\n"
NOBODY = 65534


def engines(name="e"):
    return f"engines: {{{name}: {{model: {ENGINE_STUB}, binary: {ENGINE_STUB}}}}}\n"


class Manager:
    """A service manager's end of NOTIFY_SOCKET."""

    def __init__(self, address):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.sock.bind(address)
        self.seen = []

    def read(self, seconds):
        """Notes what comes within that time, with its hour."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self.sock.settimeout(left)
            try:
                self.seen += [(time.monotonic(), line) for line in self.sock.recv(4096).decode().split("\n")]
            except TimeoutError:
                return

    def wait_for(self, line, seconds=20.0):
        """All lines up to that one, which are taken off."""
        end = time.monotonic() + late(seconds)
        while line not in [text for _, text in self.seen]:
            assert time.monotonic() < end, f"no {line}, only {self.seen}"
            self.read(0.05)
        at = [text for _, text in self.seen].index(line)
        taken, self.seen = self.seen[:at + 1], self.seen[at + 1:]
        return [text for _, text in taken]

    def close(self):
        self.sock.close()


class Notify(Case):
    def manager(self, address):
        manager = Manager(address)
        self.addCleanup(manager.close)
        return manager

    def life(self, address, shown):
        manager = self.manager(address)
        up = self.upstream()
        weir = Weir(basic(up), env={"NOTIFY_SOCKET": shown})
        with weir.launch():
            self.assertEqual(manager.wait_for("READY=1"), ["READY=1"])
            self.good(chat(weir.port))  # at once: ready means ready
            manager.read(1.2)
            pings = [text for _, text in manager.seen if text == "WATCHDOG=1"]
            self.assertGreaterEqual(len(pings), 2)
            weir.signal(signal.SIGHUP)
            during = manager.wait_for("RELOADING=1")
            self.assertNotIn("READY=1", during)
            after = manager.wait_for("READY=1")
            self.assertTrue(any(text.startswith("MONOTONIC_USEC=") for text in during + after), after)
            weir.signal(signal.SIGTERM)
            manager.wait_for("STOPPING=1")
            self.assertEqual(weir.wait(), 0)

    def test_path(self):
        address = str(self.folder() / "notify")
        self.life(address, address)

    def test_abstract(self):
        name = f"weir-ops-{os.getpid()}-{threading.get_ident()}"
        self.life("\0" + name, "@" + name)

    def test_refused_reload_is_ready_again(self):
        address = str(self.folder() / "notify")
        manager = self.manager(address)
        weir = Weir(basic(self.upstream()), env={"NOTIFY_SOCKET": address})
        with weir.launch():
            manager.wait_for("READY=1")
            weir.write("listen: [")
            weir.signal(signal.SIGHUP)
            manager.wait_for("RELOADING=1")
            manager.wait_for("READY=1")
            self.good(chat(weir.port))

    def test_nobody_listens(self):
        with Weir(basic(self.upstream()), env={"NOTIFY_SOCKET": str(self.folder() / "gone")}) as weir:
            self.good(chat(weir.port))


class Drain(Case):
    def streams(self, up, weir, n):
        """n streams that have begun and will not end before `up.go`."""
        up.hold = True
        opened = [Stream(weir.port) for _ in range(n)]
        threads = [threading.Thread(target=s.open) for s in opened]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        return opened

    def test_streams_end_well(self):
        up = self.upstream()
        with Weir(basic(up, HOLD + "workers: 2\n")) as weir:
            opened = self.streams(up, weir, 20)
            idle = connect(weir.port)
            self.good(ask(weir.port, keep=idle))
            weir.signal(signal.SIGTERM)
            until("it accepts no more", lambda: refused(weir.port))
            self.assertIsNone(weir.process.poll())
            idle.sock.settimeout(late(10))
            self.assertEqual(idle.sock.recv(1), b"", "an idle connection is closed")
            up.go.set()
            for stream in opened:
                text = stream.rest()
                self.assertIn("two", text)
                self.assertTrue(text.endswith("data: [DONE]\n\n"), text[-200:])
            self.assertEqual(weir.wait(), 0)
            self.assertEqual([a["reason"] for a in weir.access() if a["path"] != "/livez"], ["complete"] * 20)

    def test_bounded(self):
        up = self.upstream()
        with Weir(basic(up, "server: {drain: 1s}\n")) as weir:
            opened = self.streams(up, weir, 5)
            began = time.monotonic()
            weir.signal(signal.SIGTERM)
            texts = [s.rest() for s in opened]
            self.assertEqual(weir.wait(), 0)
            self.assertGreaterEqual(time.monotonic() - began, 1)
            self.assertLess(time.monotonic() - began, late(5))
            for text in texts:
                self.assertNotIn("[DONE]", text)
            self.assertTrue(weir.said("stop.cut", "5 requests"))
            self.assertEqual([a["reason"] for a in weir.access()], ["shutting_down"] * 5)
            up.go.set()

    def test_second_signal_ends_at_once(self):
        up = self.upstream()
        with Weir(basic(up, "server: {drain: 10m, ready_delay: 10m}\n")) as weir:
            opened = self.streams(up, weir, 2)
            weir.signal(signal.SIGTERM)
            until("it is about to stop", lambda: weir.said("stop.begin"))
            self.good(chat(weir.port))  # within ready_delay
            weir.signal(signal.SIGTERM)
            began = time.monotonic()
            self.assertEqual(weir.wait(), 0)
            self.assertLess(time.monotonic() - began, late(3))
            for stream in opened:
                self.assertNotIn("[DONE]", stream.rest())
            up.go.set()

    def test_ready_delay(self):
        up = self.upstream()
        with Weir(basic(up, "admin: 127.0.0.1:{admin}\nserver: {ready_delay: 1500ms}\n")) as weir:
            self.good(ask(weir.port, path="/readyz"))
            weir.signal(signal.SIGTERM)
            until("readyz says 503", lambda: ask(weir.port, path="/readyz").status == 503, 1)
            self.assertEqual(ask(weir.admin, path="/readyz").status, 503)
            self.good(ask(weir.port, path="/livez"))
            self.good(chat(weir.port))
            self.assertEqual(weir.wait(), 0)

    def test_engines_end_with_it(self):
        with Weir("listen: 127.0.0.1:{port}\n" + engines()) as weir:
            self.good(chat(weir.port, "e"))
            family = descendants(weir.pid)
            self.assertGreaterEqual(len(family), 2)
            self.assertEqual(weir.stop(), 0)
            until("all of them have ended", lambda: not [p for p in family if alive(p)])


    def test_reload_while_engines_end(self):
        """There is nothing left that could take a new configuration."""
        text = ("listen: 127.0.0.1:{port}\n"
                + engines().replace("}}", ", args: [--linger, '1.5']}}"))
        with Weir(text) as weir:
            self.good(chat(weir.port, "e"))
            weir.signal(signal.SIGTERM)
            until("only engines are left", lambda: ask(weir.data / "admin.sock",
                                                       path="/admin/v1/status").json()["phase"] == "stopping")
            weir.signal(signal.SIGHUP)
            weir.write(text + "log: {level: debug}\n")
            code, _, err = weir.reload()
            self.assertEqual(code, 1)
            self.assertIn("stopping", err)
            self.assertEqual(weir.command("health", "--data", weir.data)[0], 1)
            self.assertEqual(weir.wait(), 0)
            self.assertFalse(weir.said("reload.done"))


def descendants(pid):
    own = children(pid)
    return own + [p for child in own for p in descendants(child)]


def refused(port):
    try:
        socket.create_connection(("127.0.0.1", port), timeout=2).close()
        return False
    except OSError:
        return True


class Crash(Case):
    def test_kill_and_restart(self):
        up, folder = self.upstream(), self.folder()
        text = ("listen: ['127.0.0.1:{port}', 'unix:{dir}/w.sock']\n" + basic(up).split("\n", 1)[1] + engines())
        weir = Weir(text, folder=folder)
        with weir:
            self.good(chat(weir.port, "e"))
            family = descendants(weir.pid)
            weir.kill()
            self.assertTrue((folder / "w.sock").exists(), "killed: its socket files are still there")
            until("the engine has gone with it", lambda: not [p for p in family if alive(p)])
        again = Weir(text, folder=folder)
        (folder / "stderr").unlink()
        began = time.monotonic()
        with again:
            self.assertLess(time.monotonic() - began, late(5))
            self.good(chat(folder / "w.sock"))
            self.good(chat(again.port, "e"))
            self.good(ask(again.data / "admin.sock", path="/admin/v1/status"))

    def test_second_instance(self):
        up, folder = self.upstream(), self.folder()
        with Weir(basic(up), data=folder / "data") as first:
            second = Weir(basic(up), data=folder / "data")
            with second.launch():
                self.assertEqual(second.wait(), 1)
                self.assertIn("another weir uses the data folder", second.stderr())
            self.good(ask(first.data / "admin.sock", path="/admin/v1/status"))
            self.assertEqual(first.reload()[0], 0)

    def test_reload_without_a_gateway(self):
        with Weir(basic(self.upstream())) as weir:
            weir.stop()
            code, _, err = weir.reload()
            self.assertEqual(code, 1)
            self.assertIn("no gateway answers", err)


class Refusals(Case):
    """What a start refuses: being open to everybody."""

    def start(self, head, args=()):
        weir = Weir(head + basic(self.upstream()).split("\n", 1)[1], args)
        with weir.launch():
            self.assertEqual(weir.wait(), 1, weir.stderr())
            return weir.stderr()

    def test_public_without_keys(self):
        self.assertIn(":1:9: ", self.start("listen: 0.0.0.0:{port}\nauth: none\n"))
        self.assertIn("weir.yaml:1:", self.start("listen: '[::]:{port}'\n"))
        self.assertIn("weir.yaml:1:", self.start("listen: ['127.0.0.1:{port}', '0.0.0.0:{admin}']\n"))

    def test_public_admin(self):
        text = "listen: 127.0.0.1:{port}\nadmin: 0.0.0.0:{admin}\n"
        self.assertIn("weir.yaml:2:", self.start(text))
        self.assertIn("weir.yaml:2:", self.start("listen: 127.0.0.1:{port}\nadmin: {listen: '0.0.0.0:{admin}', token: t}\n"))

    def test_insecure_says_so(self):
        with Weir("listen: 0.0.0.0:{port}\n" + basic(self.upstream()).split("\n", 1)[1], ["--insecure"]) as weir:
            self.good(chat(weir.port))


class Surroundings(Case):
    def test_read_only_current_directory(self):
        up = self.upstream()
        with Weir(basic(up), cwd="/proc") as weir:
            self.good(chat(weir.port))
            weir.signal(signal.SIGHUP)
            until("it has reloaded", lambda: weir.said("reload.done"))

    @unittest.skipUnless(os.geteuid() == 0 and permitted("unshare", "-m", "true"), "no mount namespaces here")
    def test_read_only_root(self):
        """Nothing but the data folder is written to."""
        up, data = self.upstream(), self.folder()
        shell = 'mount --bind "$0" "$0" && mount -o remount,ro,bind / && ! touch "$HOME/x" 2>/dev/null && exec "$@"'
        weir = Weir(basic(up, engines()), wrap=["unshare", "-m", "sh", "-c", shell, str(data)], data=data)
        with weir:
            self.good(chat(weir.port))
            self.good(chat(weir.port, "e"))
            self.assertEqual(weir.reload()[0], 0)

    @unittest.skipUnless(os.geteuid() == 0 and shutil.which("setpriv"), "needs root and setpriv")
    def test_as_nobody(self):
        up, data = self.upstream(), self.folder()
        os.chown(data, NOBODY, NOBODY)
        wrap = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--no-new-privs",
                "--bounding-set=-all"]
        folder = self.folder()
        folder.chmod(0o755)
        with Weir(basic(up), wrap=wrap, data=data, folder=folder, env={"HOME": "/nonexistent"}) as weir:
            self.good(chat(weir.port))

    def test_data_folder_cannot_be_made(self):
        weir = Weir(basic(self.upstream()), data="/proc/weir")
        with weir.launch():
            self.assertEqual(weir.wait(), 1)
            self.assertIn("/proc/weir", weir.stderr())


@unittest.skipUnless(permitted("unshare", "--pid", "--fork", "--kill-child", "true") and shutil.which("nsenter"),
                     "no PID namespaces here")
class Process1(Case):
    """As PID 1 of a container."""

    def test_reaps_and_ends(self):
        up = self.upstream()
        weir = Weir(basic(up, engines()), wrap=["unshare", "--pid", "--fork", "--kill-child"])
        with weir:
            inner = children(weir.pid)[0]
            self.good(chat(weir.port, "e"))
            before = set(children(inner))
            self.orphans(inner, 20)
            orphaned = until("orphans arrive", lambda: set(children(inner)) - before)
            until("none of them stays", lambda: not set(children(inner)) - before)
            self.assertFalse([p for p in orphaned if state(p) == "Z"])
            self.good(chat(weir.port, "e"))
            self.assertEqual(set(children(inner)), before, "the engine's process was left alone")
            os.kill(inner, signal.SIGTERM)
            self.assertEqual(weir.wait(), 0)

    def orphans(self, inner, n):
        """Processes of the namespace whose parent ends before they do, at various moments."""
        script = "; ".join(f"(sleep 0.{300 + 20 * i} &)" for i in range(n))
        subprocess.run(["nsenter", "-t", str(inner), "-p", "sh", "-c", script], check=True, timeout=30)

    def test_orphans_that_end_while_an_engine_does(self):
        """The engine's process ends at the same moment as the orphans: none may be forgotten."""
        weir = Weir(basic(self.upstream(), engines()), wrap=["unshare", "--pid", "--fork", "--kill-child"])
        with weir:
            inner = children(weir.pid)[0]
            for i in range(3):
                until("the engine has started", lambda n=i: len(weir.said("engine.ready")) > n)
                shims = [p for p in children(inner) if "engine-shim" in command_line(p)]
                self.assertEqual(len(shims), 1)
                self.orphans(inner, 10)
                time.sleep(0.35)
                os.kill(shims[0], signal.SIGKILL)
                until("no zombie stays", lambda: not [p for p in children(inner) if state(p) == "Z"], 5)
            os.kill(inner, signal.SIGTERM)
            self.assertEqual(weir.wait(), 0)


def command_line(pid):
    try:
        with open(f"/proc/{pid}/cmdline", encoding="utf-8", errors="replace") as f:
            return f.read()
    except OSError:
        return ""


class Idle(Case):
    def test_costs_nothing(self):
        with Weir(basic(self.upstream())) as weir:
            self.good(chat(weir.port))
            before = cpu_seconds(weir.pid)
            time.sleep(2)
            self.assertLess(cpu_seconds(weir.pid) - before, 0.1)
