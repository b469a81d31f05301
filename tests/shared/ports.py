"""Ports for servers that tests start."""
import fcntl
import os
import socket
import tempfile

FIRST, COUNT = 12000, 18000


def free_port():
    """A port of its own for each caller on this machine, whichever process it is in: the number of the
    latest is kept in a file. They lie below those that the system gives out by itself, to a connection
    or to a mock, which could take one between this call and the gateway's start."""
    path = os.path.join(tempfile.gettempdir(), f"weir-test-ports-{os.getuid()}")
    with open(path, "a+", encoding="ascii") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        latest = int(file.read() or 0)
        for step in range(1, COUNT):
            port = FIRST + (latest + step) % COUNT
            with socket.socket() as s:
                try:
                    s.bind(("127.0.0.1", port))
                except OSError:
                    continue
            file.truncate(0)
            file.write(str(port - FIRST))
            return port
    raise AssertionError("no port")
