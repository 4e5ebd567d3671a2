"""Free ports for several servers at once, on a machine where other test runs happen too.

A block of 500 ports below the kernel's ephemeral range belongs to whoever holds the lock file named
after it; the kernel drops the lock when the process ends, however it ends.
"""
import fcntl
import os
import socket
import tempfile
import time

FIRST, LAST, SIZE = 10500, 32000, 500       # above 10080, the last of the ports that browsers refuse
FIXED = 160                     # ports of a block that must be free now; the rest is an RTP range


class Block:
    """Ports `base` to `base + SIZE - 1`; the last 300 are meant for RTP."""

    def __init__(self, base, lock):
        self.base, self._lock = base, lock
        self.rtp = (base + 200, base + SIZE - 2)

    def __getitem__(self, offset):
        assert 0 <= offset < SIZE
        return self.base + offset

    def release(self):
        self._lock.close()


def free(port, ip="127.0.0.1"):
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        with socket.socket(socket.AF_INET, kind) as s:
            try:
                s.bind((ip, port))
            except OSError:
                return False
    return True


def claim(patience=120):
    """The first block nobody else holds. Raises RuntimeError when none comes free in time."""
    until = time.monotonic() + patience
    while True:
        for base in range(FIRST, LAST, SIZE):
            path = os.path.join(tempfile.gettempdir(), f"switch-test-ports-{base}.lock")
            lock = open(path, "a")
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                lock.close()
                continue
            if all(free(base + i) for i in range(FIXED)):
                return Block(base, lock)
            lock.close()
        if time.monotonic() > until:
            raise RuntimeError("no free block of ports")
        time.sleep(0.5)
