#!/usr/bin/env python3
"""table.py REFERENCE.json OURS.json: the figures of two benchmark runs side by side, as Markdown."""
import json
import sys

# What is shown, in what words, and the mark the project has set itself (None: no mark).
ROWS = [
    ("relay 200: CPU per call", "bridged PCMU call at 200 running: CPU", "<= 0.08"),
    ("floor epoll 200: CPU per call", "the same by a bare UDP forwarder", None),
    ("relay 200: CPU against the epoll floor", "times the bare forwarder", None),
    ("relay 200: latency p50", "added delay p50", "< 3"),
    ("relay 200: latency p99", "added delay p99", None),
    ("relay 200: loss", "loss", "0"),
    ("relay calls with loss <= 0.1 %", "bridged calls with loss <= 0.1 %", None),
    ("transcode 100: CPU per call", "PCMU-PCMA call: CPU", None),
    ("echo 100: CPU per call", "echo call: CPU", None),
    ("file 200: CPU per call", "file playback, 200 callers: CPU", None),
    ("tone 200: CPU per call", "tone playback, 200 callers: CPU", None),
    ("file playback: calls with <= 0.1 % missing", "playback callers with <= 0.1 % missing", None),
    ("cps park: CPU per call", "answered and parked call: CPU", "<= 1.2"),
    ("cps park: setup p50", "set-up p50", None),
    ("cps park: setup p99", "set-up p99", None),
    ("cps park: highest rate", "highest rate, parked", ">= 800"),
    ("cps bridge: CPU per call", "bridged call set up and released: CPU", None),
    ("cps bridge: setup p50", "set-up p50", None),
    ("cps bridge: highest rate", "highest rate, bridged", None),
    ("register: CPU per registration", "digest registration: CPU", None),
    ("register: highest rate", "highest rate of registrations", None),
    ("esl: api round trip p50", "`api` round trip p50", "< 60"),
    ("esl: CPU per api", "`api`: CPU", None),
    ("esl: CPU per pipelined api", "`api`, pipelined: CPU", None),
    ("esl: CPU per plain delivery", "plain event to one of 50 readers: CPU", "<= 6"),
    ("esl: CPU per json delivery", "JSON event to one of 50 readers: CPU", "<= 6"),
    ("startup: exec to ESL auth", "exec to event socket ready", "<= 0.1"),
    ("startup: exec to SIP OPTIONS 200", "exec to SIP answering", None),
    ("memory: idle RSS", "memory, idle", "< 25"),
    ("memory: RSS per bridged call, first 200", "memory per bridged call", "<= 150"),
    ("memory: RSS after the whole run", "memory after the whole run", None),
    ("memory: threads per bridged call", "threads per bridged call", None),
]


def number(value):
    if value is None:
        return "-"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def ratio(theirs, ours, better):
    """How many times better ours is, whichever way the figure points."""
    if not theirs or not ours or better == "info":
        return ""
    return f"{(ours / theirs if better == 'higher' else theirs / ours):.1f}x"


def met(ours, mark):
    if mark is None or ours is None:
        return ""
    sign, _, limit = mark.rpartition(" ")
    limit = float(limit)
    good = ours >= limit if sign == ">=" else ours < limit if sign == "<" else ours <= limit
    return f"{mark}: {'met' if good else 'MISSED'}"


def main():
    theirs, ours = (json.load(open(path)) for path in sys.argv[1:3])
    left = ours["noise"]["channels_left"]
    print("| Work | FreeSWITCH 1.10.12 | Ferroswitch | Unit | Better | Mark |")
    print("|---|---|---|---|---|---|")
    for key, words, mark in ROWS:
        a, b = theirs["metrics"].get(key), ours["metrics"].get(key)
        if not b:
            continue
        was, now = (a or {}).get("median"), b["median"]
        print(f"| {words} | {number(was)} | {number(now)} | {b['unit']} | {ratio(was, now, b['better'])} | {met(now, mark)} |")
    print(f"\nFerroswitch: {ours['server'].get('version', '').strip()}, {ours['server']['date']}, {ours['server']['cpus']} CPUs, kernel {ours['server']['kernel']}; "
          f"other jobs took {number(ours['noise']['others_cpu_pct_median'])} % of a core (median), {number(ours['noise']['others_cpu_pct_max'])} % at most; "
          f"channels left after a point: {left or 'none'}. FreeSWITCH: {theirs['server']['date']}, {theirs['server']['cpus']} CPUs, kernel {theirs['server']['kernel']}. "
          "Medians of the same load from the same generator, which shares the machine with the server.")


if __name__ == "__main__":
    main()
