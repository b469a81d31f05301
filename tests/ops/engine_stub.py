#!/usr/bin/env python3
"""Stands in for llama-server: takes its arguments, serves /health and chats on its Unix socket. With
`--linger SECONDS` it takes so long to end."""

import json
import os
import signal
import socketserver
import sys
import time
from http.server import BaseHTTPRequestHandler

USAGE = {"prompt_tokens": 4, "completion_tokens": 3, "total_tokens": 7}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def address_string(self):
        return "unix"

    def log_message(self, *_):
        pass

    def send(self, body, kind="application/json"):
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        self.send(b'{"status":"ok"}')

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if asked.get("stream"):
            self.send(b"".join(self.events()), "text/event-stream")
            return
        self.send(json.dumps({"id": "e", "object": "chat.completion", "created": 1, "model": "stub", "usage": USAGE,
                              "choices": [{"index": 0, "finish_reason": "stop",
                                           "message": {"role": "assistant", "content": "local"}}]}).encode())

    @staticmethod
    def events():
        for delta, finish, usage in (({"content": "lo"}, None, None), ({"content": "cal"}, None, None),
                                     ({}, "stop", None), (None, None, USAGE)):
            choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": finish}]
            event = {"id": "e", "object": "chat.completion.chunk", "created": 1, "model": "stub", "choices": choices,
                     **({"usage": usage} if usage else {})}
            yield b"data: " + json.dumps(event).encode() + b"\n\n"
        yield b"data: [DONE]\n\n"


class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True


def main():
    words = sys.argv[1:]
    if "--version" in words:
        print("version: 1")
        return 0
    if "--linger" in words:
        seconds = float(words[words.index("--linger") + 1])
        signal.signal(signal.SIGTERM, lambda *_: (time.sleep(seconds), os._exit(0)))
    path = words[words.index("--host") + 1]
    if os.path.exists(path):
        os.unlink(path)
    Server(path, Handler).serve_forever()
    return 0


if __name__ == "__main__":
    sys.exit(main())
