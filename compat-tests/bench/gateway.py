#!/usr/bin/env python3
"""What a request to make a call costs: the time from the first byte of `POST /call` to the INVITE on the wire, and to the answer of the
request; and the memory of an idle switch without mod_http_api and with it.

    SWITCH_BIN=target/release gateway.py [--calls 1000] [--rate 50]

SWITCH_BIN is the folder of a release build. The carrier is a socket of this process that refuses each call (486). A request to
`/api/health` on the same connection is the yardstick: what of a request's time is the client's and the machine's.
"""
import argparse
import hashlib
import http.client
import json
import os
import pathlib
import socket
import statistics
import sys
import tempfile
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))
os.environ.setdefault("FERRO_BIN_DIR", os.environ.get("SWITCH_BIN", ""))

from harness import ports, tree                            # noqa: E402
from harness.switch import Switch                          # noqa: E402

KEY = "bench-key"
CONF = """<include>
<configuration name="http_api.conf"><settings>
  <param name="listen-port" value="{http}"/><param name="rate-limit" value="100000"/><param name="dial-string" value="sofia/open/{{to}}@127.0.0.1:{carrier}"/>
</settings><api-keys><api-key name="bench" sha256="{hash}" scopes="calls:write system:read"/></api-keys></configuration>
</include>"""


class Carrier:
    """Notes when each number's INVITE comes, and refuses it."""

    def __init__(self, port):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", port))
        self.came, self.changed = {}, threading.Condition()
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            packet, peer = self.socket.recvfrom(65536)
            now = time.perf_counter()
            head = packet.decode(errors="replace").partition("\r\n\r\n")[0].split("\r\n")
            if not head[0].startswith("INVITE "):
                continue
            number = head[0].split(":")[1].split("@")[0]
            with self.changed:
                self.came.setdefault(number, now)
                self.changed.notify_all()
            kept = [line for line in head[1:] if line.split(":")[0].lower() in ("via", "from", "call-id", "cseq")]
            to = next(line for line in head[1:] if line.lower().startswith("to:"))
            self.socket.sendto("\r\n".join(["SIP/2.0 486 Busy Here", *kept, f"{to};tag=bench", "Content-Length: 0", "", ""]).encode(), peer)

    def wait(self, number):
        with self.changed:
            assert self.changed.wait_for(lambda: number in self.came, 10), f"no INVITE for {number}"
            return self.came[number]


def start(with_gateway):
    block, where = ports.claim(), pathlib.Path(tempfile.mkdtemp(prefix="switch-bench-"))
    folder = tree.small(block, where)
    if with_gateway:
        text = CONF.format(http=block[tree.HTTP], carrier=block[tree.CARRIER], hash=hashlib.sha256(KEY.encode()).hexdigest())
        (folder / "autoload_configs/http_api.conf.xml").write_text(text)
        names = folder / "autoload_configs/modules.conf.xml"
        names.write_text(names.read_text().replace("</modules>", '<load module="mod_http_api"/></modules>'))
    switch = Switch(folder, block[tree.ESL], keep=where)
    switch.api("fsctl loglevel 3")
    return switch, block


def memory(switch):
    """Resident megabytes."""
    status = pathlib.Path(f"/proc/{switch.process.pid}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1]) / 1024


def shown(name, times):
    times = sorted(times)
    at = lambda share: times[min(int(len(times) * share), len(times) - 1)] * 1000      # noqa: E731
    print(f"{name:34} median {statistics.median(times) * 1000:6.2f} ms   p99 {at(.99):6.2f} ms   longest {times[-1] * 1000:6.2f} ms")


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--calls", type=int, default=1000)
    options.add_argument("--rate", type=int, default=50, help="calls a second")
    given = options.parse_args()
    idle = {}
    for with_gateway in (False, True):
        switch, block = start(with_gateway)
        try:
            time.sleep(2)
            idle[with_gateway] = memory(switch)
            if not with_gateway:
                continue
            carrier = Carrier(block[tree.CARRIER])
            connection = http.client.HTTPConnection("127.0.0.1", block[tree.HTTP], timeout=20)
            headers = {"X-API-Key": KEY, "Content-Type": "application/json"}

            def ask(method, path, body=None):
                begin = time.perf_counter()
                connection.request(method, path, body, headers)
                answer = connection.getresponse()
                answer.read()
                assert answer.status in (200, 202), answer.status
                return begin, time.perf_counter() - begin
            yardstick = [ask("GET", "/api/health")[1] for _ in range(given.calls)]
            answers, invites = [], []
            for n in range(given.calls):
                due = time.perf_counter() + 1 / given.rate
                begin, took = ask("POST", "/call", json.dumps({"to": f"9{n:06}"}))
                answers.append(took)
                invites.append(carrier.wait(f"9{n:06}") - begin)
                time.sleep(max(0, due - time.perf_counter()))
            shown("GET /api/health, answered", yardstick)
            shown("POST /call, answered", answers)
            shown("POST /call, INVITE on the wire", invites)
            print(f"{given.calls} calls at {given.rate} a second; memory idle {idle[False]:.1f} MB, with the gateway {idle[True]:.1f} MB, "
                  f"after the calls {memory(switch):.1f} MB")
        finally:
            switch.stop(remove=False)
            block.release()


if __name__ == "__main__":
    main()
