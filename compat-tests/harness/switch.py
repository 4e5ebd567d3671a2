"""The server under test: starts the real binary on a configuration folder, stops it, keeps its output."""
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import time

from . import esl

ROOT = pathlib.Path(__file__).resolve().parents[2]
SHARED = pathlib.Path(os.environ.get("FERRO_SHARED", ROOT.parent / "shared"))
READY_IN = 15           # seconds a debug build on a busy machine may take to answer on the event socket
NOISE = "event socket: connection from 127.0.0.1", "is not part of this switch"
STOP_IN = 10            # seconds from SIGTERM to the end


def binary(name="ferroswitch"):
    """Path of a built program: $FERRO_BIN_DIR, or the debug build of this tree."""
    folder = os.environ.get("FERRO_BIN_DIR")
    if not folder:
        target = os.environ.get("CARGO_TARGET_DIR", ROOT / "target")
        folder = os.path.join(target, "debug")
    return os.path.join(folder, name)


class StartError(Exception):
    """The server did not come up; the text holds the end of what it said."""


class Switch:
    """One running server. `flags` are added to its command line."""

    def __init__(self, conf, esl_port, password="ClueCon", flags=(), env=None, keep=None, wait=True):
        self.conf, self.esl_port, self.password = str(conf), esl_port, password
        self.home = pathlib.Path(keep or tempfile.mkdtemp(prefix="switch-test-"))
        self.made_home = keep is None
        for name in ("log", "db", "run"):
            (self.home / name).mkdir(parents=True, exist_ok=True)
        self.argv = [binary(), "-nf", "-nonat", "-conf", self.conf, "-log", str(self.home / "log"),
                     "-db", str(self.home / "db"), "-run", str(self.home / "run"), *flags]
        self.output = open(self.home / "output.log", "ab")
        self.process = subprocess.Popen(
            self.argv, stdin=subprocess.DEVNULL, stdout=self.output, stderr=subprocess.STDOUT, start_new_session=True,
            cwd=self.home, env={**os.environ, "TZ": "UTC", "RUST_BACKTRACE": "1", **(env or {})})
        if wait:
            try:
                self.wait_ready()
            except BaseException:
                self.stop(remove=False)
                raise

    def wait_ready(self):
        until = time.monotonic() + READY_IN
        while time.monotonic() < until:
            if self.process.poll() is not None:
                raise StartError(f"the server ended with status {self.process.returncode}\n{self.said()}")
            try:
                esl.Client(("127.0.0.1", self.esl_port), self.password, timeout=2).close()
                return
            except (OSError, esl.Refused):
                time.sleep(0.02)
        raise StartError(f"no event socket on port {self.esl_port} after {READY_IN} s\n{self.said()}")

    # ---- looking at it

    @property
    def pid(self):
        return self.process.pid

    def alive(self):
        return self.process.poll() is None

    def esl(self, **more):
        return esl.Client(("127.0.0.1", self.esl_port), self.password, **more)

    def api(self, command):
        client = self.esl()
        try:
            return client.api(command)
        finally:
            client.close()

    def channels(self):
        return int(self.api("show channels count").split()[0])

    def wait_idle(self, seconds=5):
        """Number of channels left after waiting up to `seconds` for none."""
        until = time.monotonic() + seconds
        with self.esl() as esl:
            while (left := int(esl.api("show channels count").split()[0])) and time.monotonic() < until:
                time.sleep(0.05)
        return left

    def sockets(self):
        """Number of sockets the process holds."""
        folder, count = f"/proc/{self.pid}/fd", 0
        for fd in os.listdir(folder):
            try:
                count += os.readlink(f"{folder}/{fd}").startswith("socket:")
            except OSError:
                pass
        return count

    def rss_kb(self, of="VmRSS"):
        """Memory resident, in kB: all, or (`RssAnon`) without what is only mapped from the program's file."""
        with open(f"/proc/{self.pid}/status") as f:
            return next(int(line.split()[1]) for line in f if line.startswith(f"{of}:"))

    def said(self, lines=40):
        """The end of its output and of its log file."""
        out = []
        for path in (self.home / "output.log", *sorted((self.home / "log").glob("*.log"))):
            text = [t for t in path.read_text(errors="replace").splitlines() if not any(noise in t for noise in NOISE)]
            out += [f"--- {path.name}: last {min(lines, len(text))} of {len(text)} lines"] + text[-lines:]
        return "\n".join(out)

    def panicked(self):
        """Panic messages in its output: there may be none, whatever a test sent."""
        text = (self.home / "output.log").read_text(errors="replace")
        return [line for line in text.splitlines() if "panicked at" in line]

    # ---- ending it

    def stop(self, remove=True):
        """SIGTERM to its process group, SIGKILL if that takes too long. Returns the exit status."""
        if self.alive():
            self._signal(signal.SIGTERM)
            try:
                self.process.wait(STOP_IN)
            except subprocess.TimeoutExpired:
                self._signal(signal.SIGKILL)
                self.process.wait()
        self.output.close()
        if remove and self.made_home:
            shutil.rmtree(self.home, ignore_errors=True)
        return self.process.returncode

    def _signal(self, number):
        try:
            os.killpg(self.pid, number)
        except ProcessLookupError:
            pass
