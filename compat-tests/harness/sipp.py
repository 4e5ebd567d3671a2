"""Runs SIPp on one of our scenario files and says what went wrong in its own words."""
import os
import pathlib
import re
import signal
import socket
import subprocess
import time

FOLDER = pathlib.Path(__file__).resolve().parents[1] / "sipp"


class Sipp:
    """A SIPp process. `fill` replaces {{NAME}} in the scenario file."""

    def __init__(self, scenario, where, remote=None, number="echo", calls=1, rate=10, port=None, ip="127.0.0.1", limit=25, args=(), **fill):
        text = (FOLDER / f"{scenario}.xml").read_text()
        fill = {"LOSS": "0", "HOLD": "300", "USER": "sipp", "DOMAIN": "test.example", "PASSWORD": "", **{k.upper(): str(v) for k, v in fill.items()}}
        text = re.sub(r"\{\{(\w+)\}\}", lambda m: fill[m[1]], text)
        self.name, self.errors = scenario, where / f"{scenario}-{os.urandom(3).hex()}.errors"
        file = self.errors.with_suffix(".xml")
        file.write_text(text)
        argv = ["sipp", "-sf", str(file), "-i", ip, "-mi", ip, "-m", str(calls), "-r", str(rate), "-s", number, "-nostdin",
                "-timeout", str(limit), "-timeout_error", "-trace_err", "-error_file", str(self.errors), "-default_behaviors", "all,-bye"]
        argv += ["-p", str(port)] if port else []
        host = remote and (f"[{remote[0]}]" if ":" in remote[0] else remote[0])
        argv += [*args, *([f"{host}:{remote[1]}"] if remote else [])]
        self.limit, self.ip, self.port, self.args = limit, ip, port, args
        self.process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                        text=True, start_new_session=True, cwd=where, env={**os.environ, "TERM": "dumb"})

    def __enter__(self):
        if self.port:
            self._wait_bound()
        return self

    def _wait_bound(self):
        """A callee must listen before anybody calls."""
        family = socket.AF_INET6 if ":" in self.ip else socket.AF_INET
        kind = socket.SOCK_STREAM if "t1" in self.args else socket.SOCK_DGRAM
        until = time.monotonic() + 10
        while self.process.poll() is None and time.monotonic() < until:
            with socket.socket(family, kind) as probe:
                if kind == socket.SOCK_STREAM:              # connections that are ending do not count
                    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    probe.bind((self.ip, self.port))
                except OSError:
                    return
            time.sleep(0.01)
        raise AssertionError(f"SIPp {self.name} does not listen at {self.ip}:{self.port}")

    def __exit__(self, *_):
        self.kill()

    def kill(self):
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def finish(self):
        """Waits for the end; every call must have gone as written."""
        try:
            out, _ = self.process.communicate(timeout=self.limit + 10)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"SIPp {self.name} does not end") from None
        if self.process.returncode != 0:
            errors = self.errors.read_text(errors="replace")[-3000:] if self.errors.exists() else ""
            flow = out[-2500:] if not errors else ""
            raise AssertionError(f"SIPp {self.name}: status {self.process.returncode}\n{errors}{flow}")


def run(scenario, where, remote, **more):
    with Sipp(scenario, where, remote, **more) as sipp:
        sipp.finish()
