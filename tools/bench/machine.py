"""What the machine says about processes: CPU time, memory, ports, and who else is at work."""
import os
import resource
import socket
import struct
import time


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def raise_files(wanted):
    """For the processes started from here; root may go above its hard limit. Returns how many."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft >= wanted:
        return soft
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, max(hard, wanted)))
    except (ValueError, PermissionError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def keep_cores_awake():
    """Asks Linux (PM QoS) that idle cores poll instead of halting, for as long as this process
    lives; returns whether it may. In a virtual machine, waking a halted core costs a proxy some
    20 us per request, the same for all, and hides what they differ in."""
    try:
        latency = os.open("/dev/cpu_dma_latency", os.O_WRONLY | os.O_CLOEXEC)
        os.write(latency, struct.pack("i", 0))
        return True
    except OSError:
        return False


def prioritise(nice):
    """Priority for this process; where Linux weighs whole sessions against each other (autogroup),
    it needs one of its own, and the priority is that session's."""
    os.setsid()
    try:
        os.setpriority(os.PRIO_PROCESS, 0, nice)
        with open("/proc/self/autogroup", "w") as file:
            file.write(str(nice))
    except (PermissionError, FileNotFoundError):
        pass


def run_on(core, nice):
    """What a child does before its exec."""
    def prepare():
        os.sched_setaffinity(0, {core})
        prioritise(nice)
    return prepare


def children(pid):
    found = []
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/children") as file:
            found += [int(child) for child in file.read().split()]
    return found


def tree(pid):
    """The process and all that descend from it."""
    pids = [pid]
    for child in children(pid):
        pids += tree(child)
    return pids


def thread_name(pid, task):
    with open(f"/proc/{pid}/task/{task}/comm") as file:
        return file.read().strip()


def cpu_seconds(pids, threads=""):
    """Of their threads, or of those whose names begin so."""
    total = 0
    for pid in pids:
        for task in os.listdir(f"/proc/{pid}/task"):
            if threads and not thread_name(pid, task).startswith(threads):
                continue
            with open(f"/proc/{pid}/task/{task}/schedstat") as file:
                total += int(file.read().split()[0])
    return total / 1e9


def resident_bytes(pids):
    """Resident memory; pages shared between the processes count once (Pss)."""
    total = 0
    for pid in pids:
        with open(f"/proc/{pid}/smaps_rollup") as file:
            for line in file:
                if line.startswith("Pss:"):
                    total += int(line.split()[1]) * 1024
    return total


def idle_seconds(core):
    """How long this core has done nothing."""
    with open("/proc/stat") as file:
        for line in file:
            fields = line.split()
            if fields[0] == f"cpu{core}":
                return (int(fields[4]) + int(fields[5])) / os.sysconf("SC_CLK_TCK")
    raise OSError(f"no core {core}")


class Strangers:
    """What others have used of one core, as a share of the time since this was made."""

    def __init__(self, core):
        self.core = core
        self.idle = idle_seconds(core)
        self.time = time.monotonic()

    def share(self, own_seconds=0.0):
        elapsed = time.monotonic() - self.time
        busy = elapsed - (idle_seconds(self.core) - self.idle)
        return max(0.0, (busy - own_seconds) / elapsed)


def listening(port):
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0


def http_status(port, path, tls=None):
    """The status of a GET, or 0 if nobody answers."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as plain:
            sock = tls.wrap_socket(plain, server_hostname="localhost") if tls else plain
            sock.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n"
                         "Connection: close\r\n\r\n".encode())
            line = sock.recv(4096).split(b"\r\n")[0].split()
            return int(line[1]) if len(line) > 1 else 0
    except OSError:
        return 0
