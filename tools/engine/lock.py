"""Takes an exclusive lock on a file, then becomes the given command, which inherits the lock.

usage: lock.py LOCKFILE NAME COMMAND [ARG...]
The lock belongs to the open file, so that it ends with the last process that holds it: a killed run
leaves none.
"""
import fcntl
import os
import sys


def main():
    path, name, command = sys.argv[1], sys.argv[2], sys.argv[3:]
    fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        sys.stderr.write(f"{name}: another run is at work on the same thing; waiting for it\n")
        fcntl.flock(fd, fcntl.LOCK_EX)
    os.set_inheritable(fd, True)
    os.execvp(command[0], command)


try:
    main()
except KeyboardInterrupt:
    sys.exit(130)
