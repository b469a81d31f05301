"""What a process that does not end is doing, for the message of the test that had to kill it."""
import os
import pathlib
import shutil
import subprocess

FILES = ("comm", "wchan", "syscall", "stack")
COUNTERS = ("State:", "SigPnd:", "ShdPnd:", "SigBlk:", "SigCgt:", "voluntary_ctxt_switches:",
            "nonvoluntary_ctxt_switches:")
GDB_S = 30
TAIL = 40


def _read(path):
    try:
        return path.read_text("utf-8", "replace").strip("\0\n ")
    except OSError as error:
        return f"({error.strerror})"


def _thread(folder):
    status = [line for line in _read(folder / "status").splitlines() if line.startswith(COUNTERS)]
    lines = [f"thread {folder.name}: " + "  ".join(" ".join(line.split()) for line in status)]
    for name in FILES:
        lines += [f"  {name}: {line}" for line in _read(folder / name).splitlines()]
    return lines


def _backtrace(pid):
    """Stops the process for a moment; without gdb, or where it may not, it says so."""
    if shutil.which("gdb") is None:
        return ["no gdb, no backtrace"]
    command = ["gdb", "-p", str(pid), "--batch", "-nx", "-ex", "set print frame-arguments scalars",
               "-ex", "thread apply all backtrace 30"]
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              errors="replace", timeout=GDB_S, check=False)
    except subprocess.TimeoutExpired:
        return [f"gdb took more than {GDB_S} s"]
    lines = [line for line in done.stdout.splitlines() if line.startswith(("Thread", "#"))]
    return lines or [f"gdb: {line}" for line in done.stderr.splitlines()[-5:]]


def _descriptors(pid):
    links = []
    for fd in pathlib.Path(f"/proc/{pid}/fd").iterdir():
        try:
            links.append(f"{fd.name}={os.readlink(fd)}")
        except OSError:
            continue
    return links


def _children(process):
    """Of all threads; what it waits for may be one of them."""
    lines = []
    for task in (process / "task").iterdir():
        for pid in _read(task / "children").split():
            other = pathlib.Path("/proc", pid)
            lines.append(f"child {pid}: {_read(other / 'comm')}, {_read(other / 'wchan')}")
    return lines


def describe(pid, logs=()):
    """Several lines on the threads of `pid`, what they wait for, and the ends of the files `logs`."""
    process = pathlib.Path(f"/proc/{pid}")
    lines = [f"what process {pid} was doing; load {_read(pathlib.Path('/proc/loadavg'))}"]
    try:
        for task in sorted((process / "task").iterdir(), key=lambda p: int(p.name)):
            lines += _thread(task)
        lines += _children(process)
        lines.append("descriptors: " + " ".join(sorted(_descriptors(pid))))
    except OSError as error:
        return f"process {pid} cannot be looked at: {error.strerror}"
    lines += _backtrace(pid)
    for log in map(pathlib.Path, logs):
        lines.append(f"the end of {log.name}:")
        lines += [f"  {line[:600]}" for line in _read(log).splitlines()[-TAIL:]]
    return "\n".join(lines)
