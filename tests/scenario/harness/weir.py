"""The gateway's process: configuration file, start, signals, memory, log lines, metrics, end."""

import asyncio
import json
import os
import re
import shlex
import signal
import time

from ports import free_port
from stuck import describe

from .journal import Fail, brief

SANITIZER = re.compile(
    r"ERROR: \w+Sanitizer|runtime error:|WARNING: ThreadSanitizer"
    r"|LeakSanitizer|Assertion .* failed"
)
PASSED_ON = (
    "PATH",
    "ASAN_OPTIONS",
    "UBSAN_OPTIONS",
    "TSAN_OPTIONS",
    "LSAN_OPTIONS",
    "LD_LIBRARY_PATH",
    "LLVM_PROFILE_FILE",
)
READY_TIMEOUT = 10.0


class PortTaken(Exception):
    """Somebody else was faster with the port that was chosen."""


TERM_AGAIN = "TERM never arrived and was sent once more"


class Weir:
    """One gateway process with its files in `folder`."""

    def __init__(self, binary, folder, journal, wrap=""):
        self.command = [*shlex.split(wrap), str(binary)]
        self.folder = folder
        self.journal = journal
        self.config = folder / "weir.yaml"
        self.environment = {}
        self.process = None
        self.ports = {}
        self.memory_mark = None
        self.expected_exit = None

    def choose_ports(self):
        self.ports = {name: free_port() for name in ("weir", "admin", "metrics")}

    def note(self, what):
        self.journal.note("weir", what)

    def _environment(self):
        kept = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
        return {
            **kept,
            "HOME": str(self.folder),
            "XDG_STATE_HOME": str(self.folder / "state"),
            "XDG_CONFIG_HOME": str(self.folder / "etc"),
            "TMPDIR": str(self.folder),
            **self.environment,
        }

    # --- life
    async def launch(self):
        """Start the process without waiting for it."""
        with (self.folder / "stdout.log").open("ab") as out, (self.folder / "stderr.log").open(
            "ab"
        ) as err:
            self.process = await asyncio.create_subprocess_exec(
                *self.command,
                "serve",
                "--config",
                str(self.config),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                cwd=self.folder,
                env=self._environment(),
            )
        self.note(f"started, pid {self.process.pid}")

    async def start(self):
        """Start and wait until GET /livez says 200. Raises PortTaken when the port was lost."""
        await self.launch()
        deadline = time.monotonic() + self.journal.late(READY_TIMEOUT)
        while time.monotonic() < deadline:
            if self.process.returncode is not None:
                if "in use" in self.stderr().lower():
                    raise PortTaken()
                raise Fail(f"weir ended with {self.process.returncode} before it was ready")
            status, _ = await self.get(self.ports["weir"], "/livez")
            if status == 200:
                self.note("ready")
                return
            await asyncio.sleep(0.01)
        raise Fail(f"GET /livez did not say 200 within {READY_TIMEOUT:.0f} s")

    async def get(self, port, path):
        """(status, body) of a plain GET; (0, "") when nobody answers."""
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            return 0, ""
        try:
            writer.write(
                f"GET {path} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\n"
                "connection: close\r\n\r\n".encode()
            )
            data = await asyncio.wait_for(reader.read(-1), 5)
        except (OSError, asyncio.TimeoutError):
            return 0, ""
        finally:
            writer.close()
        found = re.match(rb"HTTP/1\.1 (\d{3})", data)
        head, _, body = data.partition(b"\r\n\r\n")
        if b"chunked" in head.lower():
            body = b"".join(re.findall(rb"[0-9a-f]+\r\n(.*?)\r\n", body, re.S | re.I))
        return (int(found[1]) if found else 0), body.decode("utf-8", "replace")

    def send_signal(self, name):
        self.note(f"signal {name}")
        self.process.send_signal(getattr(signal, f"SIG{name}"))

    async def expect_exit(self, code, span):
        started = time.monotonic()
        try:
            await asyncio.wait_for(self.process.wait(), self.journal.late(span[1]))
        except asyncio.TimeoutError:
            raise Fail(
                f"expected weir to end within {span[1]:.1f} s, it still runs; {await self.doing()}"
            ) from None
        self.expected_exit = self.process.returncode
        if self.process.returncode != code:
            raise Fail(f"expected weir to end with {code}, came {self.process.returncode}")
        if time.monotonic() - started < span[0]:
            raise Fail(f"weir ended before {span[0]:.1f} s")

    async def finish(self):
        """The end of a scenario: alive until now, ends with 0 on TERM, no sanitizer report."""
        problems = []
        if self.process is None:
            return problems
        if self.process.returncode is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                await asyncio.wait_for(self.process.wait(), self.journal.late(8))
            except asyncio.TimeoutError:
                doing = await self.doing()
                if not await self.ends_by_another():
                    self.process.kill()
                    await self.process.wait()
                    problems.append(
                        f"weir did not end within {self.journal.late(8):.0f} s after TERM; {doing}"
                    )
            if not problems and self.process.returncode != 0:
                problems.append(f"weir ended with {self.process.returncode} after TERM")
        elif self.process.returncode != self.expected_exit:
            problems.append(f"weir died in the middle with {self.process.returncode}")
        for line in self.stderr().splitlines():
            if SANITIZER.search(line):
                problems.append(f"weir's stderr: {line}")
                break
        return problems

    async def ends_by_another(self):
        """Under ThreadSanitizer, which holds signals back and now and then loses one: a gateway that has
        heard of none (its log would say `stop.begin`) gets another TERM."""
        if "TSAN_OPTIONS" not in os.environ or "stop.begin" in self.stderr():
            return False
        self.note(TERM_AGAIN)
        self.process.send_signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(self.process.wait(), self.journal.late(8))
        except asyncio.TimeoutError:
            return False
        return True

    async def doing(self):
        """What the process is at, for the message about one that does not end."""
        logs = [self.folder / name for name in ("stderr.log", "stdout.log")]
        return await asyncio.to_thread(describe, self.process.pid, logs)

    async def kill(self):
        if self.process is not None and self.process.returncode is None:
            self.process.kill()
            await self.process.wait()

    async def run_command(self, arguments):
        """Run `weir ARGUMENTS`; its exit status must be 0. Returns stdout and stderr as text."""
        process = await asyncio.create_subprocess_exec(
            *self.command,
            *shlex.split(arguments),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            cwd=self.folder,
            env=self._environment(),
        )
        output, _ = await asyncio.wait_for(process.communicate(), self.journal.late(10))
        text = output.decode("utf-8", "replace")
        self.note(f"weir {arguments}: {process.returncode} {brief(text)}")
        return process.returncode, text

    # --- observations
    def _text(self, name):
        path = self.folder / name
        return path.read_text("utf-8", "replace") if path.exists() else ""

    def stderr(self):
        return self._text("stderr.log")

    def access_lines(self):
        """The JSON objects among the whole lines of stdout."""
        lines = []
        for line in self._text("stdout.log").split("\n")[:-1]:
            try:
                value = json.loads(line)
            except ValueError:
                continue
            if isinstance(value, dict):
                lines.append(value)
        return lines

    async def metric(self, name, labels):
        """Sum of the samples of `name` whose labels contain `labels`; None if there is none."""
        status, text = await self.get(self.ports["metrics"], "/metrics")
        if status != 200:
            raise Fail(f"/metrics answered {status}")
        total = None
        for line in text.splitlines():
            found = re.fullmatch(r"([A-Za-z_:][\w:]*)(?:\{(.*)\})? (\S+)(?: \S+)?", line)
            if not found or found[1] != name:
                continue
            came = dict(re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', found[2] or ""))
            if labels.items() <= came.items():
                total = (total or 0.0) + float(found[3])
        return total

    def _memory(self, field):
        text = open(f"/proc/{self.process.pid}/status", encoding="ascii").read()
        return int(re.search(rf"{field}:\s+(\d+) kB", text)[1]) * 1024

    def mark_memory(self):
        """Remember the resident size and forget the peak so far."""
        with open(f"/proc/{self.process.pid}/clear_refs", "w", encoding="ascii") as file:
            file.write("5")
        self.memory_mark = self._memory("VmRSS")

    def memory_growth(self):
        """Bytes between the mark and the peak since."""
        return self._memory("VmHWM") - self.memory_mark
