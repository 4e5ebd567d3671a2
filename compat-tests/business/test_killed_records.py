"""Records of a switch that is killed at random moments with twenty calls a second on it, in every kind of sink."""
import csv
import json
import os
import random
import socket
import sqlite3
import threading
import time

import pytest

from harness import esl as event_socket
from harness import services, tree
from harness.services import until
from harness.web import Web

PORT = 70
KILLS = int(os.environ.get("FERRO_KILLS", "10"))
SEED = int(os.environ.get("FERRO_KILLS_SEED", "9"))
EVERY = 0.05                # seconds between calls: twenty a second
TALK = 0.3                  # seconds a call is answered for
CONF = """<include>
<configuration name="cdr_csv.conf"><settings>
  <param name="log-base" value="{where}"/><param name="legs" value="a"/>
</settings></configuration>
<configuration name="json_cdr.conf"><settings>
  <param name="url" value="http://127.0.0.1:{http}/json"/><param name="log-dir" value="{where}/json"/>
</settings></configuration>
<configuration name="cdr_sqlite.conf"><settings>
  <param name="db-name" value="{where}/cdr.db"/><param name="legs" value="a"/>
</settings></configuration>
<configuration name="cdr_pg_csv.conf"><settings>
  <param name="db-info" value="host=127.0.0.1 port={pg} user=switch dbname=cdr connect_timeout=5"/><param name="legs" value="a"/>
</settings></configuration>
</include>"""

pytestmark = pytest.mark.skipif(services.needs("postgres", "initdb", "psql") is not None, reason="PostgreSQL is not installed")


@pytest.fixture
def database(fresh):
    database = services.Postgres(fresh.block[PORT]).start()
    database.ask("CREATE DATABASE cdr")
    yield database
    database.stop()


class Posted:
    """A web server that takes records, and which life of the switch each came in."""

    def __init__(self, port):
        self.life, self.taken = 0, []
        self.web = Web(port)
        self.web.guard = self.take

    def take(self, request):
        document = json.loads(request["body"])
        self.taken.append((document["variables"]["uuid"], self.life))
        return 200, "", {}

    def uuids(self):
        return [uuid for uuid, _ in self.taken]


class Shown:
    """Reads which answered calls were shown as ended, until the switch is no more."""

    def __init__(self, site):
        self.uuids = set()
        self.client = site.esl()
        self.client.command("event plain CHANNEL_HANGUP_COMPLETE")
        self.reader = threading.Thread(target=self.read)
        self.reader.start()

    def read(self):
        try:
            while True:
                try:
                    self.note(self.client.read().event)
                except (TimeoutError, socket.timeout):
                    continue
        except (OSError, event_socket.Refused):
            pass            # killed; what it had sent was read before

    def note(self, event):
        if event.get("Event-Name") == "CHANNEL_HANGUP_COMPLETE" and int(event.get("Caller-Channel-Answered-Time", 0)) > 0:
            self.uuids.add(event["Unique-ID"])

    def all(self):
        self.reader.join()
        for message in self.client.events:
            self.note(message.event)
        self.client.close()
        return self.uuids


def load(site, seconds):
    """Twenty calls a second for so long, each answered and hung up by the caller."""
    phone, talking, end, due = site.phone(), [], time.monotonic() + seconds, time.monotonic()
    while (now := time.monotonic()) < end:
        if now >= due:
            call = phone.invite("tone")
            talking.append(call)
            due += EVERY
        for call in list(talking):
            answered = next((packet for packet in call.seen if packet.method == "INVITE" and packet.status == 200), None)
            if answered and not hasattr(call, "until_"):
                call.until_ = now + TALK
            if now >= getattr(call, "until_", now + 1):
                talking.remove(call)
                call.cseq += 1
                phone.request("BYE", call.target, call.call_id, call.cseq, call.local, call.remote, to_address=call.address)
        time.sleep(0.005)


@pytest.mark.timeout(120 + 12 * KILLS)
def test_every_call_that_was_shown_as_ended_has_one_record_whenever_the_switch_is_killed(fresh, database):
    dice, site = random.Random(SEED), fresh
    where, web = fresh.where / "records", Posted(fresh.block[tree.HTTP])
    (fresh.conf / "autoload_configs/records.conf.xml").write_text(CONF.format(where=where, http=fresh.block[tree.HTTP], pg=database.port))
    modules = fresh.conf / "autoload_configs/modules.conf.xml"
    loads = "".join(f'<load module="mod_{name}"/>' for name in ("cdr_csv", "json_cdr", "cdr_sqlite", "cdr_pg_csv"))
    modules.write_text(modules.read_text().replace("</modules>", f"{loads}</modules>"))
    ended, began = set(), 0
    try:
        for web.life in range(KILLS):
            site.start()
            shown = Shown(site)
            load(site, dice.uniform(TALK, 2.5))
            site.switch.process.kill()
            site.switch.process.wait()
            ended |= shown.all()
            began += sum(len(phone.calls) for phone in site.phones)
            for phone in site.phones:
                phone.close()
            site.phones.clear()
        # Half of what was begun: the others were still ringing or talking. Else the load was none.
        assert len(ended) >= 3 * KILLS
        web.life = KILLS
        site.start()

        def in_file():
            path = where / "cdr-csv/Master.csv"
            return [row[10] for row in csv.reader(path.read_text().splitlines())] if path.exists() else []

        def in_sqlite():
            with sqlite3.connect(where / "cdr.db", timeout=10) as db:
                found = [uuid for (uuid,) in db.execute("SELECT uuid FROM cdr")]
            db.close()
            return found

        def in_postgres(table="cdr", column="uuid"):
            return [uuid for (uuid,) in database.ask(f"SELECT {column} FROM {table}", "cdr") or []]

        for kept in (in_file, in_sqlite, in_postgres, web.uuids):
            until(lambda: ended <= set(kept()), f"record of each call {kept.__name__}")
        # Calls that were recorded and not shown any more are in each of them, too.
        until(lambda: set(in_file()) == set(in_sqlite()) == set(in_postgres()) == set(in_postgres("call_logs", "call_id")), "the same calls everywhere")
        for kept in (in_file, in_sqlite, in_postgres):
            found = kept()
            assert len(found) == len(set(found)), kept.__name__
        # A web server takes no part in a transaction: only what it had taken in the moment of a kill comes again, with its uuid.
        assert len(web.taken) == len(set(web.taken))
        print(f"{KILLS} kills, {began} calls begun, {len(ended)} shown as ended, {len(set(in_file()))} recorded, "
              f"{len(web.taken) - len(set(web.uuids()))} posted again after a kill")
    finally:
        web.web.close()
