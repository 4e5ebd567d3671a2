"""mod_cdr_pg_csv on a real PostgreSQL: rows, what the database refuses, and a database that is killed under load."""
import os
import threading
import time
import urllib.request

import pytest

from harness import services, tree
from harness.services import until

PORT = 70
OUTAGE = int(os.environ.get("FERRO_OUTAGE", "15"))      # seconds the database is away
CONF = """<include>
<configuration name="cdr_pg_csv.conf"><settings>
  <param name="db-info" value="host=127.0.0.1 port={port} user=switch dbname=cdr connect_timeout=5"/>
  <param name="legs" value="a"/><param name="spool-dir" value="{where}/spool"/><param name="spool-format" value="{format}"/>
</settings><schema>
  <field var="caller_id_number"/><field var="destination_number" column="dialled"/><field var="start_stamp"/><field var="answer_stamp"/>
  <field var="billsec" quote="false"/><field var="uuid"/><field var="accountcode" not-null="true"/><field var="tariff"/>
</schema></configuration>
</include>"""

pytestmark = pytest.mark.skipif(services.needs("postgres", "initdb", "psql") is not None, reason="PostgreSQL is not installed")


@pytest.fixture
def database(fresh):
    database = services.Postgres(fresh.block[PORT]).start()
    database.ask("CREATE DATABASE cdr")
    yield database
    database.stop()


@pytest.fixture
def site(fresh, database):
    text = CONF.format(port=database.port, where=fresh.where, format="sql")
    (fresh.conf / "autoload_configs/cdr_pg_csv.conf.xml").write_text(text)
    modules = fresh.conf / "autoload_configs/modules.conf.xml"
    modules.write_text(modules.read_text().replace("</modules>", '<load module="mod_cdr_pg_csv"/></modules>'))
    (fresh.conf / "autoload_configs/http_api.conf.xml").write_text(
        f'<configuration name="http_api.conf"><settings><param name="listen-port" value="{fresh.block[tree.HTTP]}"/></settings></configuration>')
    modules.write_text(modules.read_text().replace("</modules>", '<load module="mod_http_api"/></modules>'))
    fresh.start()
    return fresh


def behind(site):
    """Bytes of the journal that the database does not have yet, as /metrics says."""
    with urllib.request.urlopen(f"http://127.0.0.1:{site.block[tree.HTTP]}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    return next(float(line.split()[-1]) for line in text.splitlines() if line.startswith('ferroswitch_records_behind_bytes{sink="mod_cdr_pg_csv"}'))


def call(site, variables=""):
    """A call inside the switch that is answered and ends; its UUID."""
    reply = site.switch.api(f"originate {{originate_timeout=20{variables}}}loopback/tone/public &hangup")
    assert reply.startswith("+OK"), reply
    return reply.split()[1]


def test_rows_hold_what_was_said_and_types_are_the_tables(site, database):
    # The switch makes a table of its own first; one made at the same moment would keep ours out.
    until(lambda: database.ask("SELECT 1 FROM cdr", "cdr") is not None, "table of the switch")
    assert database.ask("DROP TABLE cdr", "cdr") is not None
    made = database.ask("CREATE TABLE cdr (id serial, caller_id_number text, dialled text, start_stamp timestamptz, answer_stamp timestamptz,"
                 " billsec integer, uuid uuid, accountcode text NOT NULL, tariff numeric)", "cdr")
    assert made is not None
    assert site.switch.api("reload mod_cdr_pg_csv").startswith("+OK")
    phone = site.phone(user="o'b')--")
    said = phone.invite("tone")
    said.wait(200)
    said.hangup()
    assert until(lambda: database.ask("SELECT caller_id_number, dialled FROM cdr", "cdr"), "row") == [["o'b')--", "tone"]]
    uuid = call(site, ",tariff=0.25")
    rows = until(lambda: database.ask(f"SELECT accountcode, tariff, start_stamp BETWEEN now() - interval '1 minute' AND now()"
                                      f" FROM cdr WHERE uuid = '{uuid}'", "cdr"), "row")
    assert rows == [["", "0.25", "t"]]
    logged = until(lambda: database.ask(f"SELECT status, end_time >= start_time FROM call_logs WHERE call_id = '{uuid}'", "cdr"), "row of call_logs")
    assert logged == [["completed", "t"]]
    # A value the column cannot hold is filed, and the next call's row is stored all the same.
    refused = call(site, ",tariff=cheap")
    spool = site.where / "spool/cdr-spool.sql"
    until(lambda: spool.exists() and refused in spool.read_text(), "spooled row")
    stored = call(site)
    until(lambda: database.ask(f"SELECT 1 FROM cdr WHERE uuid = '{stored}'", "cdr"), "row after a refused one")
    assert database.ask(f"SELECT 1 FROM cdr WHERE uuid = '{refused}'", "cdr") == []
    assert spool.read_text().count(refused) == 1


def test_a_database_killed_under_load_has_each_call_once(site, database):
    calls, stop = [], threading.Event()

    def load():
        while not stop.is_set():
            calls.append(call(site))

    callers = [threading.Thread(target=load) for _ in range(3)]
    for caller in callers:
        caller.start()
    try:
        for _ in range(3):
            before = len(calls)
            until(lambda: len(calls) >= before + 15, "calls with the database")
            database.kill()
            before = len(calls)
            until(lambda: len(calls) >= before + 15, "calls without it")
            database.start()
    finally:
        stop.set()
        for caller in callers:
            caller.join()
    wanted = set(calls)
    assert len(wanted) >= 90

    def stored():
        return [uuid for (uuid,) in database.ask("SELECT uuid FROM cdr", "cdr") or []]

    until(lambda: wanted <= set(stored()), "record of each call")
    rows = stored()
    assert len(rows) == len(set(rows))
    logged = [uuid for (uuid,) in database.ask("SELECT call_id FROM call_logs", "cdr")]
    assert wanted <= set(logged)
    # Those who were killed in the middle of a batch have it once too.
    site.switch.process.kill()
    site.switch.process.wait()
    site.start()
    last = call(site)
    until(lambda: last in stored(), "record after a restart")
    rows = stored()
    assert len(rows) == len(set(rows))


@pytest.mark.timeout(OUTAGE + 240)
def test_an_outage_loses_nothing_keeps_the_order_and_refuses_no_call(site, database):
    """Calls one after the other, and phones' calls beside them, while the database is away for FERRO_OUTAGE seconds."""
    until(lambda: database.ask("SELECT 1 FROM cdr", "cdr") is not None, "table of the switch")
    assert database.ask("ALTER TABLE cdr ADD COLUMN place bigserial", "cdr") is not None
    calls, phones, behinds, said_so = [], 0, [], False
    with site.esl() as esl:
        esl.command("event plain CHANNEL_HANGUP_COMPLETE")

        def recorded_call():
            uuid = call(site)
            esl.wait_event("CHANNEL_HANGUP_COMPLETE", Unique_ID=uuid)
            esl.events.clear()
            calls.append(uuid)

        for _ in range(5):
            recorded_call()
        until(lambda: len(database.ask("SELECT 1 FROM cdr", "cdr")) >= 5 and behind(site) == 0, "rows before")
        database.kill()
        until_ = time.monotonic() + OUTAGE
        while time.monotonic() < until_:
            recorded_call()
            if len(calls) % 10 == 0:
                beside = site.phone(user="beside")
                said = beside.invite("park")
                said.wait(200)          # set up as ever: neither refused nor left to ring
                said.hangup()
                esl.wait_event("CHANNEL_HANGUP_COMPLETE")
                beside.close()
                site.phones.remove(beside)
                phones += 1
                behinds.append(behind(site))
                said_so = said_so or "mod_cdr_pg_csv did not take" in site.switch.said(4000)
            time.sleep(0.03)
        # The log names the module, the metric grows with what waits.
        assert said_so
        assert len(behinds) >= 3 and behinds == sorted(behinds) and behinds[0] > 0
        database.start()
        recorded_call()
    wanted = set(calls)

    def stored():
        return [uuid for (uuid,) in database.ask("SELECT uuid FROM cdr ORDER BY place", "cdr") or []]

    until(lambda: wanted <= set(stored()), "record of each call", 120)
    rows = stored()
    assert len(rows) == len(set(rows))
    assert [uuid for uuid in rows if uuid in wanted] == calls
    assert len(database.ask("SELECT 1 FROM cdr WHERE caller_id_number = 'beside'", "cdr")) == phones
    until(lambda: behind(site) == 0, "end of what waits")
    print(f"{OUTAGE} s: {len(calls)} calls, {phones} of phones beside them, {behinds[-1]:.0f} bytes behind at the end")
