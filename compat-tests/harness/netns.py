"""Networks of a test's own: namespaces with cables between them (needs root and iproute2)."""
import contextlib
import ctypes
import os
import shutil
import subprocess

NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


def missing():
    """Why there can be none here, if so."""
    if os.geteuid() != 0:
        return "networks of a test's own need root"
    if not shutil.which("ip"):
        return "iproute2 is not installed"
    run = subprocess.run(["ip", "netns", "add", f"try{os.getpid()}"], capture_output=True, text=True)
    if run.returncode:
        return f"no network namespaces here: {run.stderr.strip()}"
    subprocess.run(["ip", "netns", "del", f"try{os.getpid()}"], check=True)
    return None


def _ip(*words):
    subprocess.run(["ip", *words], check=True, capture_output=True, text=True)


class Net:
    """Named namespaces; `cable` joins two of them by addresses of one /24."""

    def __init__(self, *names):
        self.names = {name: f"fs{os.getpid()}{name}" for name in names}
        self.cables = 0
        for full in self.names.values():
            _ip("netns", "add", full)
            _ip("-n", full, "link", "set", "lo", "up")

    def cable(self, a, b, subnet):
        """`a` is at .1 of the subnet, `b` at .2."""
        self.cables += 1
        ends = [f"v{os.getpid() % 100000}{self.cables}{side}" for side in "ab"]
        _ip("link", "add", ends[0], "netns", self.names[a], "type", "veth", "peer", "name", ends[1], "netns", self.names[b])
        for end, name, host in zip(ends, (a, b), (1, 2)):
            _ip("-n", self.names[name], "addr", "add", f"{subnet}.{host}/24", "dev", end)
            _ip("-n", self.names[name], "link", "set", end, "up")

    def enter(self, name):
        """Moves the calling thread, and what it starts from now on, there."""
        with open(f"/run/netns/{self.names[name]}") as place:
            if _libc.setns(place.fileno(), NEWNET):
                raise OSError(ctypes.get_errno(), "setns")

    @contextlib.contextmanager
    def inside(self, name):
        with open("/proc/thread-self/ns/net") as before:
            self.enter(name)
            try:
                yield
            finally:
                if _libc.setns(before.fileno(), NEWNET):
                    raise OSError(ctypes.get_errno(), "setns back")

    def close(self):
        for full in self.names.values():
            subprocess.run(["ip", "netns", "del", full], capture_output=True)
