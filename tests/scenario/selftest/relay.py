#!/usr/bin/env python3
"""A plain relay with the gateway's command line, so that the runner can test its process handling.

Knows `serve --config FILE`, /livez, /metrics, TERM, HUP and an access log; everything else goes
byte by byte to the upstream named in the file. RELAY_FAULT makes it misbehave: `exit` (dies on the
first request), `deaf` (ignores TERM), `status` (ends with 3), `report` (prints a sanitizer report),
`refuse` (does not start), `busy` (loses its port at the first start).
"""

import asyncio
import json
import os
import pathlib
import re
import signal
import sys

FAULT = os.environ.get("RELAY_FAULT", "")


class Relay:
    """The relay's state: where to listen, where to send, how much was served."""

    def __init__(self, path):
        self.path = pathlib.Path(path)
        self.served = 0
        self.read_config()

    def read_config(self):
        text = self.path.read_text("utf-8")
        self.ports = {
            name: int(port)
            for name, port in re.findall(r"^(listen|metrics): [\d.]+:(\d+)", text, re.M)
        }
        self.upstream = int(re.search(r'url: "?http://[\d.]+:(\d+)', text)[1])

    async def client(self, reader, writer):
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            path = head.split(b" ", 2)[1].decode()
            if path == "/livez":
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
            else:
                await self.relay(head, path, reader, writer)
            await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def relay(self, head, path, reader, writer):
        if FAULT == "exit":
            os._exit(7)
        if FAULT == "report":
            print("==1==ERROR: AddressSanitizer: heap-use-after-free", file=sys.stderr, flush=True)
        self.served += 1
        up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self.upstream)
        up_writer.write(head)

        async def pump(source, sink):
            while data := await source.read(65536):
                sink.write(data)
                await sink.drain()

        back = asyncio.create_task(pump(up_reader, writer))
        forth = asyncio.create_task(pump(reader, up_writer))
        await asyncio.wait([back, forth], return_when=asyncio.FIRST_COMPLETED)
        for task in (back, forth):
            task.cancel()
        up_writer.close()
        print(json.dumps({"path": path, "served": self.served}), flush=True)

    async def metrics(self, reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        body = f'# TYPE relay_served_total counter\nrelay_served_total{{kind="a"}} {self.served}\n'
        writer.write(f"HTTP/1.1 200 OK\r\ncontent-length: {len(body)}\r\n\r\n{body}".encode())
        writer.close()

    async def run(self):
        loop = asyncio.get_running_loop()
        stop = asyncio.Event()
        loop.add_signal_handler(signal.SIGHUP, self.read_config)
        loop.add_signal_handler(signal.SIGTERM, (lambda: None) if FAULT == "deaf" else stop.set)
        await asyncio.start_server(self.client, "127.0.0.1", self.ports["listen"])
        await asyncio.start_server(self.metrics, "127.0.0.1", self.ports["metrics"])
        await stop.wait()
        return 3 if FAULT == "status" else 0


def lost_port():
    """True the first time it is asked in this folder."""
    marker = pathlib.Path("relay-was-busy")
    if FAULT != "busy" or marker.exists():
        return False
    marker.touch()
    return True


if __name__ == "__main__":
    if FAULT == "refuse":
        sys.exit("weir.yaml:7:3: unknown key `provders`, did you mean `providers`?")
    if lost_port():
        sys.exit("bind: Address already in use")
    sys.exit(asyncio.run(Relay(sys.argv[3]).run()))
