#!/usr/bin/env python3
"""What happens past the media threads' capacity: running calls must not suffer, and the excess must be refused.

    bench/overload.py [--capacity CALLS] [--factor 1.5] [--ramp CALLS_A_SECOND] [--secs 8] [--rest 60]

Finds how many bridged calls hold (loss <= 0.1 %) unless told, then asks for FACTOR times as many, with the load generator of
../shared/bench against a release build ($SWITCH_BIN, default target/release/ferroswitch) in a network namespace of its own.
Needs root. A debug build will do to see the guard at work (SWITCH_BIN=target/debug/ferroswitch --capacity 300 --factor 2 --rest 10); what it
holds says nothing of a release. The guard looks once a second and wants two looks, so calls come no faster than a thirtieth of the capacity a
second unless told: what begins before the guard acts is part of what is measured. Prints what ran, what was refused and how, what running calls lost, and memory before and a while after.
Exit code 1 if running calls lost 1 % or more, an excess call was neither answered nor refused with 503 and Retry-After, or
memory did not come back to idle + 20 MB.
"""
import argparse
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
SHARED = pathlib.Path(os.environ.get("FERRO_SHARED", ROOT.parent / "shared")) / "bench"
STEPS = [100, 200, 400, 600, 800, 1000, 1250, 1500, 1750, 2000, 2500, 3000]
PROBE = (
    "INVITE sip:7001@127.0.0.1:35060 SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:{port};branch=z9hG4bKo{n};rport\r\n"
    "From: <sip:probe@127.0.0.1>;tag=o{n}\r\nTo: <sip:7001@127.0.0.1>\r\nCall-ID: overload{n}\r\nCSeq: 1 INVITE\r\n"
    "Contact: <sip:probe@127.0.0.1:{port}>\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
)


def rss_kb(pid):
    return int(re.search(r"VmRSS:\s*(\d+)", pathlib.Path(f"/proc/{pid}/status").read_text())[1])


class Bench:
    def __init__(self, args, scratch):
        self.args, self.scratch = args, scratch
        shutil.copytree(SHARED, scratch / "bench")
        subprocess.run(["chmod", "-R", "u+w", scratch / "bench"], check=True)
        environment = {k: v for k, v in os.environ.items() if k != "CARGO_TARGET_DIR"}
        target = pathlib.Path(tempfile.gettempdir()) / "switch-bench-tools" / "callblast-target"
        environment["CARGO_TARGET_DIR"] = str(target)
        subprocess.run(["cargo", "build", "--release", "--quiet"], cwd=scratch / "bench/callblast", env=environment, check=True)
        self.blast = target / "release" / "callblast"
        sys.path.insert(0, str(scratch / "bench"))
        import server  # the reference's own starter

        binary = os.environ.get("SWITCH_BIN", ROOT / "target/release/ferroswitch")
        command = f"{binary} -nc -nf -nonat -np -conf {{conf}} -log {{log}} -db {{db}} -run {{run}}"
        self.server = server
        self.process, _ = server.start("overload", command)
        self.pid = self.process.pid
        time.sleep(3)

    def close(self):
        self.server.stop_pid(self.pid)

    def relay(self, calls, windows=1, ramp=60):
        args = self.args
        command = ["nsenter", "-t", str(self.pid), "-n", str(self.blast), "relay", "--calls", str(calls), "--ramp", str(args.ramp or ramp)]
        command += ["--warm", "4", "--windows", str(windows), "--secs", str(args.secs), "--pid", str(self.pid)]
        out = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
        lines = out.stdout.strip().splitlines()
        if not lines:
            sys.exit(f"callblast: {out.stderr}")
        return json.loads(lines[-1])

    def capacity(self):
        best = 0
        for calls in STEPS:
            result = self.relay(calls)
            loss = max((w["loss_pct"] for w in result["windows"]), default=100.0)
            print(f"  {calls:5} calls: {result['answered']:.0f} answered, loss {loss:.3f} %", flush=True)
            time.sleep(3)
            if loss > 0.1 or result["answered"] < calls:
                break
            best = calls
        return best

    def probe(self, seen, stop):
        """Calls by itself once in a while; notes final answers: status, and whether Retry-After was there."""
        script = (
            "import socket,sys,time\n"
            "s=socket.socket(socket.AF_INET,socket.SOCK_DGRAM);s.bind(('127.0.0.1',0));s.settimeout(1)\n"
            f"text={PROBE!r}\nn=0\n"
            "while True:\n"
            " n+=1;s.sendto(text.format(port=s.getsockname()[1],n=n).encode(),('127.0.0.1',35060))\n"
            " try:\n"
            "  while True:\n"
            "   d=s.recv(65536).decode(errors='replace')\n"
            "   if not d.startswith('SIP/2.0 1'): print(d.split()[1],'retry-after' in d.lower(),flush=True);break\n"
            " except OSError: print('none',False,flush=True)\n"
            " time.sleep(1)\n"
        )
        command = ["nsenter", "-t", str(self.pid), "-n", sys.executable, "-c", script]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            threading.Thread(target=lambda: (stop.wait(), process.kill()), daemon=True).start()
            for line in process.stdout:
                status, retry = line.split()
                seen.append((status, retry == "True"))


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--capacity", type=int)
    options.add_argument("--factor", type=float, default=1.5)
    options.add_argument("--secs", type=float, default=8)
    options.add_argument("--ramp", type=int)
    options.add_argument("--rest", type=float, default=60)
    args = options.parse_args()
    if not SHARED.is_dir():
        print(f"overload: SKIPPED, {SHARED} is not there")
        return 0
    with tempfile.TemporaryDirectory(prefix="overload-") as where:
        bench = Bench(args, pathlib.Path(where))
        try:
            return judge(bench, args)
        finally:
            bench.close()


def judge(bench, args):
    idle = rss_kb(bench.pid)
    capacity = args.capacity or bench.capacity()
    asked = round(capacity * args.factor)
    seen, stop, peak = [], threading.Event(), [0]
    prober = threading.Thread(target=bench.probe, args=(seen, stop))
    prober.start()

    def look():
        while not stop.wait(0.5):
            peak[0] = max(peak[0], rss_kb(bench.pid))

    threading.Thread(target=look, daemon=True).start()
    result = bench.relay(asked, windows=2, ramp=max(5, capacity // 30))
    stop.set()
    prober.join()
    time.sleep(args.rest)
    later = rss_kb(bench.pid)
    codes = result.get("fail_codes", {})
    refused = sum(codes.values()) if isinstance(codes, dict) else 0
    loss = max((w["loss_pct"] for w in result["windows"]), default=100.0)
    p99 = max((w["a_to_b"]["latency_ms"]["p99"] for w in result["windows"]), default=0)
    probes = [retry for status, retry in seen if status == "503"]
    print(f"capacity {capacity} calls; asked for {asked}: {result['answered']:.0f} ran, refused {codes}, loss {loss:.2f} %, p99 {p99:.0f} ms")
    print(f"probes: {len(seen)}, refused with 503 {len(probes)}, of these with Retry-After {sum(probes)}")
    print(f"memory: idle {idle / 1024:.1f} MB, most {peak[0] / 1024:.1f} MB, {args.rest:.0f} s later {later / 1024:.1f} MB")
    if not refused:
        print("nothing had to be refused: ask for more to see the guard")
    # What is not refused must run unharmed; where nothing had to be refused the machine had more to give than was asked.
    good = loss < 1 and all(probes) and set(codes) <= {"503"} and result["answered"] + refused >= asked
    good = good and later < idle + 20 * 1024
    print("met" if good else "MISSED")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
