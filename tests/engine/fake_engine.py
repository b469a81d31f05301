#!/usr/bin/env python3
"""A stand-in for llama-server in tests of the supervisor: takes its arguments, serves GET /health on its
Unix socket, and misbehaves as its --fake-* arguments say."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time


def parse(argv):
    """--fake-x V, -m V ... as a dict; the word `serve` as a key of its own."""
    options = {}
    words = iter(argv)
    for word in words:
        if word == "serve":
            options["serve"] = True
        elif word in ("--fake-ignore-term", "--fake-no-socket"):
            options[word] = True
        else:
            options[word] = next(words)
    return options


def note(path, text):
    if path:
        with open(path, "a", encoding="utf-8") as out:
            out.write(text + "\n")


def exit_later(after):
    seconds, _, code = after.partition(":")

    def run():
        time.sleep(float(seconds))
        print("E fake: an error before the end", flush=True)
        os._exit(int(code or 1))

    threading.Thread(target=run, daemon=True).start()


def chatter(every):
    def run():
        count = 0
        while True:
            time.sleep(every)
            count += 1
            print(f"loading part {count}", flush=True)

    threading.Thread(target=run, daemon=True).start()


def leave_child(path):
    """A process of the group that ignores SIGTERM; its pid goes to `path`."""
    child = subprocess.Popen([sys.executable, "-c", "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
                              "time.sleep(3600)"])
    note(path, str(child.pid))


def serve(options):
    """Answers /health: 503 until ready, 200 afterwards, nothing at all once it has gone deaf."""
    start = time.monotonic()
    ready_after = float(options.get("--fake-ready-after", 0))
    deaf_file = options.get("--fake-deaf-when")
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(options["--host"])
    listener.listen(16)
    kept = []
    while True:
        conn, _ = listener.accept()
        conn.recv(65536)
        if deaf_file and os.path.exists(deaf_file):
            kept.append(conn)
            continue
        status = "200 OK" if time.monotonic() - start >= ready_after else "503 Service Unavailable"
        conn.sendall(f"HTTP/1.1 {status}\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{{}}".encode())
        conn.close()


def main():
    if sys.argv[1:] == ["serve", "--version"]:
        print("version: 1")
        return 0
    options = parse(sys.argv[1:])
    note(options.get("--fake-starts"), str(os.getpid()))
    if "--fake-env" in options:
        with open("/proc/self/oom_score_adj", encoding="utf-8") as f:
            seen = {"argv": sys.argv, "env": dict(os.environ), "oom_score": int(f.read()),
                    "fds": sorted(int(fd) for fd in os.listdir("/proc/self/fd"))}
        with open(options["--fake-env"], "w", encoding="utf-8") as out:
            json.dump(seen, out)
    if "--fake-ignore-term" in options:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if "--fake-exit-after" in options:
        exit_later(options["--fake-exit-after"])
    if "--fake-chatter" in options:
        chatter(float(options["--fake-chatter"]))
    if "--fake-child" in options:
        leave_child(options["--fake-child"])
    if "--fake-no-socket" in options:
        time.sleep(3600)
    serve(options)


if __name__ == "__main__":
    sys.exit(main())
