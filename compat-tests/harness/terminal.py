"""A program on a pseudo terminal: what a person types and reads."""
import os
import pty
import re
import select
import signal
import time

ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[=>]|\x1b\][^\x07]*\x07|[\x07\r]")


class Terminal:
    def __init__(self, argv, env=None):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            try:
                os.execvpe(argv[0], argv, {**os.environ, "TERM": "xterm", "COLUMNS": "200", "LINES": "50", **(env or {})})
            finally:
                os._exit(127)
        self.raw, self.read_to, self.status = b"", 0, None

    @property
    def text(self):
        """Everything shown so far, without colours and cursor movements."""
        return ESCAPES.sub("", self.raw.decode("utf-8", "replace"))

    def _more(self, seconds):
        ready, _, _ = select.select([self.fd], [], [], seconds)
        if not ready:
            return True
        try:
            data = os.read(self.fd, 65536)
        except OSError:
            return False
        self.raw += data
        return bool(data)

    def expect(self, pattern, timeout=10):
        """Reads until the pattern shows in text not looked at yet; returns the match."""
        until = time.monotonic() + timeout
        while True:
            found = re.compile(pattern).search(self.text, self.read_to)
            if found:
                self.read_to = found.end()
                return found
            left = until - time.monotonic()
            if left <= 0 or not self._more(left):
                found = re.compile(pattern).search(self.text, self.read_to)
                assert found, f"no {pattern!r} on the terminal; it shows:\n{self.text[-3000:]}"

    def type(self, text):
        os.write(self.fd, text.encode())

    def line(self, text):
        self.type(text + "\r")

    def wait_end(self, timeout=10):
        """Exit status."""
        until = time.monotonic() + timeout
        while time.monotonic() < until:
            self._more(0.05)
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.status = os.waitstatus_to_exitcode(status)
                return self.status
        raise AssertionError(f"it does not end; it shows:\n{self.text[-2000:]}")

    def close(self):
        if self.status is None:
            try:
                os.kill(self.pid, signal.SIGKILL)
                os.waitpid(self.pid, 0)
            except (ProcessLookupError, ChildProcessError):
                pass
        os.close(self.fd)
