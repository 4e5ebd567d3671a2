#!/usr/bin/env python3
"""What call records cost: processor time of the switch at a rate of calls that end at once, without records and with them, in SQLite
and in PostgreSQL; and the cost of a look at /metrics while calls are up.

    SWITCH_BIN=target/release records.py [--rate 500] [--seconds 20] [--calls 2000]

SWITCH_BIN is the folder of a release build. Calls are legs without a far end (`null/`), so that what is measured is the switch and not
a load generator's SIP. Figures are shares of one core; run it on a machine that does nothing else.
"""
import argparse
import contextlib
import os
import pathlib
import sqlite3
import sys
import tempfile
import time
import urllib.request

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))
os.environ.setdefault("FERRO_BIN_DIR", os.environ.get("SWITCH_BIN", ""))

from harness import ports, services, tree                  # noqa: E402
from harness.switch import Switch                          # noqa: E402

TICK = os.sysconf("SC_CLK_TCK")
SQLITE = '<configuration name="cdr_sqlite.conf"><settings><param name="db-name" value="{where}/cdr.db"/></settings></configuration>'
PGSQL = ('<configuration name="cdr_pg_csv.conf"><settings><param name="db-info" value="host=127.0.0.1 port={pg} user=switch dbname=cdr"/>'
         '</settings></configuration>')
HTTP = ('<configuration name="http_api.conf"><settings><param name="listen-port" value="{http}"/></settings></configuration>')


def processor(pid):
    """Seconds of processor time a process has used."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


class Bench:
    def __init__(self, modules, conf, database=None):
        self.block, self.where = ports.claim(), pathlib.Path(tempfile.mkdtemp(prefix="switch-bench-"))
        folder = tree.small(self.block, self.where)
        text = conf.format(where=self.where, http=self.block[tree.HTTP], pg=database.port if database else 0)
        (folder / "autoload_configs/bench.conf.xml").write_text(f"<include>\n{text}\n</include>\n")
        names = folder / "autoload_configs/modules.conf.xml"
        loads = "".join(f'<load module="{name}"/>' for name in modules)
        names.write_text(names.read_text().replace("</modules>", f"{loads}</modules>"))
        self.switch = Switch(folder, self.block[tree.ESL], keep=self.where)
        for command in ("fsctl max_sessions 10000", "fsctl sps 5000", "fsctl loglevel 3"):
            self.switch.api(command)

    def close(self):
        self.switch.stop(remove=False)
        self.block.release()

    def load(self, rate, seconds):
        """Share of a core while so many calls a second begin and end."""
        with self.switch.esl() as client:
            begin, before, made = time.monotonic(), processor(self.switch.process.pid), 0
            while (now := time.monotonic() - begin) < seconds:
                while made < now * rate:
                    client.command("bgapi originate null/x &hangup")
                    made += 1
                time.sleep(0.002)
            # What the journal still has to hand on belongs to it.
            time.sleep(2)
            used = processor(self.switch.process.pid) - before
        return used / seconds * 100, made

    def stored(self, database):
        """Rows that have arrived, once no more come."""
        rows, before = 0, -1
        while rows != before:
            time.sleep(1)
            before, rows = rows, int(database.ask("SELECT count(*) FROM cdr", "cdr")[0][0]) if database else self.in_file()
        return rows

    def in_file(self):
        with contextlib.closing(sqlite3.connect(self.where / "cdr.db", timeout=10)) as file:
            return file.execute("SELECT count(*) FROM cdr").fetchone()[0]

    def look(self, calls, looks=20):
        """Milliseconds of processor time and of waiting for a look at /metrics with so many calls up."""
        with self.switch.esl() as client:
            for _ in range(calls):
                client.command("bgapi originate null/x &park")
        end = time.monotonic() + 60
        while int(self.switch.api("show channels count").split()[0]) < calls and time.monotonic() < end:
            time.sleep(0.2)
        url = f"http://127.0.0.1:{self.block[tree.HTTP]}/metrics"
        idle = self.rest(3)
        begin, before = time.monotonic(), processor(self.switch.process.pid)
        for _ in range(looks):
            size = len(urllib.request.urlopen(url, timeout=30).read())
        waited = time.monotonic() - begin
        used = processor(self.switch.process.pid) - before - idle * waited
        self.switch.api("hupall")
        return used / looks * 1000, waited / looks * 1000, size

    def rest(self, seconds):
        before = processor(self.switch.process.pid)
        time.sleep(seconds)
        return (processor(self.switch.process.pid) - before) / seconds


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rate", type=int, default=500)
    options.add_argument("--seconds", type=int, default=20)
    options.add_argument("--calls", type=int, default=2000)
    given = options.parse_args()
    print(f"{given.rate} calls a second for {given.seconds} s; share of a core\n")
    database, base = None, None
    kinds = [("no records", [], ""), ("SQLite", ["mod_cdr_sqlite"], SQLITE)]
    if services.needs("postgres", "initdb", "psql") is None:
        kinds.append(("PostgreSQL", ["mod_cdr_pg_csv"], PGSQL))
    try:
        for name, modules, conf in kinds:
            if name == "PostgreSQL":
                block = ports.claim()
                database = services.Postgres(block[70]).start()
                database.ask("CREATE DATABASE cdr")
            bench = Bench(modules, conf, database)
            try:
                percent, made = bench.load(given.rate, given.seconds)
                rows = bench.stored(database) if modules else 0
            finally:
                bench.close()
            base = percent if base is None else base
            arrived = f", {rows} of {made} rows" if modules else ""
            print(f"{name:12} {percent:6.1f} %   {percent - base:+6.1f} %   at {made / given.seconds:.0f} calls a second{arrived}")
        bench = Bench(["mod_http_api"], HTTP)
        try:
            used, waited, size = bench.look(given.calls)
        finally:
            bench.close()
        print(f"\na look at /metrics with {given.calls} calls up: {used:.1f} ms of processor, {waited:.1f} ms, {size} bytes")
    finally:
        if database:
            database.stop()


if __name__ == "__main__":
    main()
