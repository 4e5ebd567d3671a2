#!/usr/bin/env python3
"""Score the server against the recordings of the reference in ../shared/golden.

    golden.py                        every scenario
    golden.py call_respond bridge_*  some of them, with the differences
    golden.py --limit 200 call_respond
    golden.py --list

Each worker starts its own server on a copy of golden/conf with its own ports, so that several runs
can share a machine. The last line of a whole run names the score and the threshold it must reach
(the file golden-threshold).
"""
import argparse
import concurrent.futures
import fnmatch
import pathlib
import queue
import re
import shutil
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from harness import ports  # noqa: E402
from harness.switch import SHARED, StartError, Switch  # noqa: E402

GOLDEN = SHARED / "golden"
SCENARIO_LIMIT = 120            # seconds; a scenario gives up by itself after 45


def own_conf(block, where):
    """golden/conf with the ports of one block."""
    conf = where / "conf"
    shutil.copytree(GOLDEN / "conf", conf)
    own = {"esl_port": block[0], "open_port": block[1], "auth_port": block[2],
           "uas_port": block[20], "registrar_port": block[21], "socket_port": block[24], "closed_port": block[29]}
    patch(conf / "vars.xml", {rf'data="{name}=\d+"': f'data="{name}={port}"' for name, port in own.items()})
    patch(conf / "autoload_configs/switch.conf.xml", {
        r'(rtp-start-port" value=)"\d+"': rf'\1"{block.rtp[0]}"', r'(rtp-end-port" value=)"\d+"': rf'\1"{block.rtp[1]}"'})
    return conf


def patch(path, rules):
    text = path.read_text()
    for pattern, replacement in rules.items():
        text, count = re.subn(pattern, replacement, text)
        assert count == 1, f"{path.name}: {pattern} found {count} times"
    path.write_text(text)


class Worker:
    """One server and the scenarios that run on it, one after the other."""

    def __init__(self, where, number):
        self.block = ports.claim()
        self.home = where / f"worker{number}"
        self.home.mkdir()
        self.conf = own_conf(self.block, self.home)
        self.switch = None

    def record(self, scenario, out):
        """Runs one scenario; returns what the recorder said."""
        if self.switch is None or not self.switch.alive():
            if self.switch:
                print(f"the server ended with status {self.switch.process.returncode}; starting it again\n{self.switch.said(15)}", flush=True)
            self.switch = Switch(self.conf, self.block[0], "golden", keep=self.home)
        try:
            done = subprocess.run(
                [sys.executable, str(GOLDEN / "record.py"), "--esl", f"127.0.0.1:{self.block[0]}", "--password", "golden",
                 "--sip", f"127.0.0.1:{self.block[1]}", "--sip-auth", f"127.0.0.1:{self.block[2]}",
                 "--probe-port", str(self.block[20]), "-o", str(out), scenario],
                capture_output=True, text=True, timeout=SCENARIO_LIMIT)
        except subprocess.TimeoutExpired:
            self.close()
            return f"no end after {SCENARIO_LIMIT} s; the server was stopped"
        return (done.stdout + done.stderr).strip()

    def close(self):
        if self.switch:
            self.switch.stop(remove=False)
            self.switch = None

    def finish(self):
        panics = self.switch.panicked() if self.switch else []
        self.close()
        self.block.release()
        return panics


def score(scenario, recorded, limit, reference=GOLDEN / "golden"):
    """(met, total, differences as text) of one recording against the one in the folder `reference`."""
    done = subprocess.run([sys.executable, str(GOLDEN / "compare.py"), "--limit", str(limit),
                           str(reference / f"{scenario}.jsonl"), str(recorded)], capture_output=True, text=True)
    found = re.search(r"matched (\d+)/(\d+) expectations", done.stdout)
    if not found:
        return 0, 1, done.stdout + done.stderr
    text = "\n".join(line for line in done.stdout.splitlines() if not line.startswith("matched "))
    return int(found[1]), int(found[2]), text


def choose(patterns):
    known = sorted(p.stem for p in (GOLDEN / "scenarios").glob("*.py"))
    if not patterns:
        return known
    chosen = [n for n in known if any(fnmatch.fnmatch(n, p.removesuffix(".py")) for p in patterns)]
    missing = [p for p in patterns if not fnmatch.filter(known, p.removesuffix(".py"))]
    if missing:
        sys.exit(f"no scenario {', '.join(missing)}; known: {' '.join(known)}")
    return chosen


def run(names, jobs, where, limit, show):
    """Scores by scenario name. Several servers work side by side: most of a scenario is waiting."""
    idle, results = queue.Queue(), {}
    workers = [Worker(where, i) for i in range(min(jobs, len(names)))]
    for worker in workers:
        idle.put(worker)

    def one(name):
        worker = idle.get()
        try:
            out, began = where / f"{name}.jsonl", time.monotonic()
            said = worker.record(name, out)
            return name, (*score(name, out, limit), said, time.monotonic() - began)
        finally:
            idle.put(worker)

    try:
        with concurrent.futures.ThreadPoolExecutor(len(workers)) as pool:
            for done in concurrent.futures.as_completed([pool.submit(one, n) for n in names]):
                name, (met, total, differences, said, seconds) = done.result()
                results[name] = (met, total)
                if show:
                    print(f"\n== {name}\n{differences}\n{said}")
                print(f"{name:40s} {met:6d}/{total:<6d} {percent(met, total):6.2f}%  {seconds:5.1f} s", flush=True)
    finally:
        panics = [line for worker in workers for line in worker.finish()]
    return results, panics


def percent(met, total):
    return 100.0 * met / total if total else 100.0


def main():
    p = argparse.ArgumentParser(description="Score the server against the reference's recordings.")
    p.add_argument("scenario", nargs="*", help="names or patterns; all without")
    p.add_argument("--list", action="store_true", help="name the scenarios and stop")
    p.add_argument("--limit", type=int, default=40, help="differences shown per scenario (default 40)")
    p.add_argument("--show", action="store_true", help="show differences (default for up to 10 named scenarios)")
    p.add_argument("--jobs", type=int, default=6, help="servers side by side (default 6)")
    p.add_argument("--keep", help="folder that keeps recordings and server logs")
    options = p.parse_args()
    if not GOLDEN.is_dir():
        print(f"golden: SKIPPED, {GOLDEN} is not there\n0 passed, 0 failed, 1 skipped")
        return 0
    names = choose(options.scenario)
    if options.list:
        print("\n".join(names))
        return 0
    where = pathlib.Path(options.keep or tempfile.mkdtemp(prefix="switch-golden-"))
    if where.exists() and options.keep:
        shutil.rmtree(where)
    where.mkdir(parents=True, exist_ok=True)
    try:
        results, panics = run(names, options.jobs, where, options.limit, options.show or 0 < len(options.scenario) and len(names) <= 10)
    except (StartError, OSError) as problem:
        print(f"golden: {problem}\n0 passed, 1 failed, 0 skipped")
        return 1
    finally:
        if not options.keep:
            shutil.rmtree(where, ignore_errors=True)
    return verdict(results, panics, whole=not options.scenario)


def verdict(results, panics, whole):
    met, total = (sum(r[i] for r in results.values()) for i in (0, 1))
    rate = percent(met, total)
    mean = sum(percent(*r) for r in results.values()) / len(results)
    perfect = sum(r[0] == r[1] for r in results.values())
    print(f"\ngolden: {len(results)} scenarios, {perfect} whole, mean {mean:.2f}%, matched {met}/{total} expectations ({rate:.2f}%)")
    for line in panics:
        print(f"golden: the server panicked: {line}")
    if not whole:
        return 1 if panics else 0
    threshold = float((HERE / "golden-threshold").read_text().split()[0])
    print(f"golden: {rate:.2f}% against a threshold of {threshold:.2f}%")
    bad = rate < threshold or bool(panics)
    print(f"{int(not bad)} passed, {int(bad)} failed, 0 skipped")
    return int(bad)


if __name__ == "__main__":
    sys.exit(main())
