#!/usr/bin/env python3
"""Measures what floods do: memory, answers to a known peer beside them, memory a while later.

    bench/flood.py [--seconds 10] [--rest 60] [--rate 0] [--sources 200] [KIND...]

Starts a server of its own on loopback ($FERRO_BIN_DIR or the debug build). `--rate 0` is as fast as one core can send.
"""
import argparse
import pathlib
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from conftest import Site  # noqa: E402
from harness import tree  # noqa: E402
from harness.flood import KINDS, Flood, Peer  # noqa: E402


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--seconds", type=float, default=10)
    options.add_argument("--rest", type=float, default=60)
    options.add_argument("--rate", type=int, default=0)
    options.add_argument("--sources", type=int, default=200)
    options.add_argument("kinds", nargs="*", metavar="KIND", help=", ".join(KINDS))
    args = options.parse_args()
    print(f"{'flood':12} {'idle MB':>8} {'peak MB':>8} {'later MB':>8} {'of them anonymous':>18} {'answered':>9} {'p99 ms':>7}")
    for kind in args.kinds or KINDS:
        with tempfile.TemporaryDirectory(prefix="flood-") as where:
            site = Site(pathlib.Path(where), tree.guarded)
            try:
                site.start()
                measure(site, kind, args)
            finally:
                site.close()


def measure(site, kind, args):
    server = site.sip(tree.AUTH)
    peer = Peer(server)
    peer.run(1)
    idle, peak, anonymous = site.switch.rss_kb(), [0], site.switch.rss_kb("RssAnon")
    peer.sent, peer.took = {}, {}

    def look():
        peak[0] = max(peak[0], site.switch.rss_kb())

    with Flood(server, kind, args.sources, args.rate):
        peer.run(args.seconds, meanwhile=look)
    part, p99 = peer.answered()
    time.sleep(args.rest)
    later = site.switch.rss_kb()
    anonymous = f"{anonymous / 1024:.1f} -> {site.switch.rss_kb('RssAnon') / 1024:.1f}"
    print(f"{kind:12} {idle / 1024:8.1f} {peak[0] / 1024:8.1f} {later / 1024:8.1f} {anonymous:>18} {part:9.2%} {p99 * 1000:7.1f}", flush=True)
    peer.close()


if __name__ == "__main__":
    main()
