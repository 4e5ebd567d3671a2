"""A client program under our control: JSON objects, one per line, in and out."""
import json
import os
import queue
import signal
import subprocess
import threading
import time


class Program:
    """`argv` prints JSON lines about what it sees and takes JSON lines about what to do."""

    def __init__(self, argv, cwd=None):
        self.process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                        cwd=cwd, start_new_session=True, env={**os.environ, "NODE_PATH": ""})
        self.lines, self.seen, self.errors = queue.Queue(), [], []
        streams = ((self.process.stdout, self._line), (self.process.stderr, self.errors.append))
        self.readers = [threading.Thread(target=self._pump, args=of, daemon=True) for of in streams]
        for reader in self.readers:
            reader.start()

    @staticmethod
    def _pump(stream, put):
        with stream:
            for line in stream:
                put(line.rstrip("\n"))

    def _line(self, line):
        try:
            self.lines.put(json.loads(line))
        except ValueError:
            self.errors.append(line)

    def tell(self, **command):
        self.process.stdin.write(json.dumps(command) + "\n")
        self.process.stdin.flush()

    def wait(self, kind, timeout=10, **fields):
        """The first unread line whose `kind` and fields are these."""
        until = time.monotonic() + timeout

        def fits(line):
            return line.get("kind") == kind and all(line.get(k) == v for k, v in fields.items())

        for i, line in enumerate(self.seen):
            if fits(line):
                return self.seen.pop(i)
        while True:
            try:
                line = self.lines.get(timeout=max(0.001, until - time.monotonic()))
            except queue.Empty:
                said = "\n".join(self.errors[-20:])
                raise AssertionError(f"no {kind} {fields} in {timeout} s; seen: {self.seen[-20:]}\n{said}") from None
            if fits(line):
                return line
            self.seen.append(line)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGTERM)
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()
        # Each reader closes what it reads: a stream must not end under its reader's hands.
        for reader in self.readers:
            reader.join(5)
        try:
            self.process.stdin.close()
        except OSError:
            pass
