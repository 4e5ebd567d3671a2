#!/usr/bin/env python3
"""Score the server against the second part of the reference's recordings, ../shared/golden-next.

    golden_next.py                       every family: a table
    golden_next.py conf vm               some families
    golden_next.py conf_dial 'srtp_*'    some scenarios, with the differences
    golden_next.py --list

These recordings use fixed ports and the folder /tmp/golden-next. Each worker therefore runs in a network and
mount namespace of its own (which needs root): its loopback, its server, its folder. The scenarios of a family
stay on one server, in order. A family run whole must reach what docs/COMPATIBILITY.md says of it, but for a tenth
of a percent.
"""
import argparse
import collections
import concurrent.futures
import fnmatch
import json
import os
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time

import golden
from harness.switch import ROOT, SHARED, StartError, Switch

NEXT = SHARED / "golden-next"
SLACK = 10                                      # hundredths of a percent that timing may cost a family
FILES = pathlib.Path("/tmp/golden-next")        # where its configuration lets the server write
ESL_PORT, SIP_PORT = 15021, 15090


def family(name):
    return name.partition("_")[0]


# ---- inside the namespaces

def enclosed(home):
    """Serves scenario names from standard input with one result line each; runs inside `unshare -n -m -u`."""
    # The host's name is masked wherever it stands: a machine called `vm` would lose half the words.
    socket.sethostname("switch-under-test")
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    subprocess.run(["mount", "-t", "tmpfs", "golden-next", str(FILES)], check=True)
    switch, number = None, 0
    for line in sys.stdin:
        name, out, limit = json.loads(line)
        said = ""
        try:
            if switch is None or not switch.alive():
                if switch:
                    said = f"the server ended with status {switch.process.returncode}; starting it again\n"
                number += 1
                switch = Switch(NEXT / "conf", ESL_PORT, "golden", keep=home / f"server{number}")
            said += record(name, out)
        except subprocess.TimeoutExpired:
            said += f"no end after {golden.SCENARIO_LIMIT} s; the server was stopped"
            switch.stop(remove=False)
        except StartError as problem:
            said, switch = str(problem), None
        panics = switch.panicked() if switch else []
        print(json.dumps([*golden.score(name, out, limit, NEXT / "golden"), said, panics]), flush=True)
    if switch:
        switch.stop(remove=False)


def record(name, out):
    done = subprocess.run(
        [sys.executable, str(golden.GOLDEN / "record.py"), "--esl", f"127.0.0.1:{ESL_PORT}", "--password", "golden",
         "--sip", f"127.0.0.1:{SIP_PORT}", "-o", out, str(NEXT / "scenarios" / f"{name}.py")],
        capture_output=True, text=True, timeout=golden.SCENARIO_LIMIT)
    return (done.stdout + done.stderr).strip()


# ---- outside

class Worker:
    """One pair of namespaces with a server of its own."""

    def __init__(self, home):
        home.mkdir()
        self.process = subprocess.Popen(
            ["unshare", "-n", "-m", "-u", sys.executable, os.path.abspath(__file__), "--enclosed", str(home)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def run(self, name, out, limit):
        """(met, total, differences, what the recorder said, panics)"""
        self.process.stdin.write(json.dumps([name, str(out), limit]) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise StartError(f"the worker ended with status {self.process.wait()}")
        return json.loads(line)

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def choose(wanted):
    """Scenario names by family; everything without words."""
    known = sorted(p.stem for p in (NEXT / "scenarios").glob("*.py"))
    chosen = [n for n in known if not wanted or any(w == family(n) or fnmatch.fnmatch(n, w.removesuffix(".py")) for w in wanted)]
    for word in wanted:
        if not any(word == family(n) or fnmatch.fnmatch(n, word.removesuffix(".py")) for n in known):
            sys.exit(f"neither a family nor a scenario: {word}; families: {' '.join(sorted(set(map(family, known))))}")
    families = collections.defaultdict(list)
    for name in chosen:
        families[family(name)].append(name)
    return families


def run(families, jobs, where, limit, show):
    """Scores by scenario name, and the panics seen."""
    FILES.mkdir(exist_ok=True)
    results, panics = {}, set()

    def one(number, names):
        worker = Worker(where / f"worker{number}")
        try:
            for name in names:
                began = time.monotonic()
                met, total, differences, said, seen = worker.run(name, where / f"{name}.jsonl", limit)
                results[name] = (met, total)
                panics.update(seen)
                text = f"\n== {name}\n{differences}\n{said}\n" if show else ""
                print(f"{text}{name:40s} {met:6d}/{total:<6d} {golden.percent(met, total):6.2f}%  {time.monotonic() - began:5.1f} s", flush=True)
        finally:
            worker.close()

    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        longest_first = sorted(families.values(), key=len, reverse=True)
        for done in concurrent.futures.as_completed([pool.submit(one, i, names) for i, names in enumerate(longest_first)]):
            done.result()
    return results, sorted(panics)


def table(families, results):
    print(f"\n{'family':12s} {'scenarios':>9s} {'whole':>6s} {'matched':>15s} {'score':>8s}")
    for name, scenarios in sorted(families.items()):
        line(name, [results[s] for s in scenarios])
    line("all", list(results.values()))


def line(name, scores):
    met, total = (sum(s[i] for s in scores) for i in (0, 1))
    whole = sum(s[0] == s[1] for s in scores)
    print(f"{name:12s} {len(scores):9d} {whole:6d} {met:7d}/{total:<7d} {golden.percent(met, total):7.2f}%")


def documented():
    """The score of each family that COMPATIBILITY.md promises, in hundredths of a percent."""
    text = (ROOT / "docs/COMPATIBILITY.md").read_text()
    found = re.findall(r"\| `(\w+)` \| (\d+)(?:\.(\d\d))? % \([\d,]+ of [\d,]+\)", text)
    return {name: int(whole) * 100 + int(hundredths or 0) for name, whole, hundredths in found}


def fallen(families, results):
    """What is wrong with the families that were run whole: a score below the documented one."""
    promised = documented()
    known = collections.Counter(family(p.stem) for p in (NEXT / "scenarios").glob("*.py"))
    for name, scenarios in sorted(families.items()):
        if len(scenarios) < known[name]:
            continue
        if name not in promised:
            yield f"{name}: docs/COMPATIBILITY.md does not say what is met"
            continue
        met, total = (sum(results[s][i] for s in scenarios) for i in (0, 1))
        least = promised[name] - SLACK
        if met * 10_000 < least * total:
            yield f"{name}: {golden.percent(met, total):.2f} % are met, {least / 100:.2f} % at least are to be"


def skipped(why):
    print(f"golden-next: SKIPPED, {why}\n0 passed, 0 failed, 1 skipped")
    return 0


def main():
    p = argparse.ArgumentParser(description="Score the server against the second part of the reference's recordings.")
    p.add_argument("wanted", nargs="*", metavar="FAMILY or SCENARIO", help="families, names or patterns; all without")
    p.add_argument("--list", action="store_true", help="name the scenarios and stop")
    p.add_argument("--limit", type=int, default=40, help="differences shown per scenario (default 40)")
    p.add_argument("--show", action="store_true", help="show differences (default for up to 3 scenarios)")
    p.add_argument("--jobs", type=int, default=6, help="servers side by side (default 6)")
    p.add_argument("--keep", help="folder that keeps recordings and server logs")
    p.add_argument("--enclosed", help=argparse.SUPPRESS)
    options = p.parse_args()
    if options.enclosed:
        return enclosed(pathlib.Path(options.enclosed))
    if not NEXT.is_dir() or not golden.GOLDEN.is_dir():
        return skipped(f"{NEXT} or {golden.GOLDEN} is not there")
    families = choose(options.wanted)
    if options.list:
        print("\n".join(name for names in families.values() for name in names))
        return 0
    if subprocess.run(["unshare", "-n", "-m", "-u", "true"], capture_output=True).returncode:
        return skipped("it needs root: each server has a network, mount and host name of its own")
    where = pathlib.Path(options.keep or tempfile.mkdtemp(prefix="switch-golden-next-"))
    if where.exists() and options.keep:
        shutil.rmtree(where)
    where.mkdir(parents=True, exist_ok=True)
    try:
        few = 0 < sum(map(len, families.values())) <= 3
        results, panics = run(families, options.jobs, where, options.limit, options.show or few)
    except (StartError, OSError) as problem:
        print(f"golden-next: {problem}\n0 passed, 1 failed, 0 skipped")
        return 1
    finally:
        if not options.keep:
            shutil.rmtree(where, ignore_errors=True)
    table(families, results)
    for text in panics:
        print(f"golden-next: the server panicked: {text}")
    low = list(fallen(families, results))
    for text in low:
        print(f"golden-next: {text}")
    failed = bool(panics or low)
    print(f"{int(not failed)} passed, {int(failed)} failed, 0 skipped")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
