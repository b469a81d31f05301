"""Ports for servers that tests start."""
import itertools
import os
import socket
import threading

PORTS = itertools.count(12000 + os.getpid() % 1500 * 10)
PORTS_LOCK = threading.Lock()


def free_port():
    """A port of its own for each caller, below those that the system gives out: two gateways with
    SO_REUSEPORT must never share one by accident."""
    with PORTS_LOCK:
        for port in PORTS:
            port = 12000 + (port - 12000) % 18000
            with socket.socket() as s:
                try:
                    s.bind(("127.0.0.1", port))
                    return port
                except OSError:
                    continue
    raise AssertionError("no port")
