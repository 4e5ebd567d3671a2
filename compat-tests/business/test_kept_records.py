"""Stored call records: export, purge, retention, backups that come back; the gateway's history from them; records of B-legs."""
import csv
import hashlib
import io
import json
import sqlite3
import subprocess
import urllib.error
import urllib.parse
import urllib.request

import pytest

from harness import services, tree
from harness.services import until
from harness.switch import binary
from harness.web import Web

PG = 70
KEY = "kept-records-key"
CONF = """<include>
<configuration name="cdr_sqlite.conf"><settings><param name="db-name" value="{where}/cdr.db"/><param name="legs" value="a"/>{keep}</settings></configuration>
{more}
<configuration name="http_api.conf"><settings>
  <param name="listen-port" value="{http}"/><param name="history-dsn" value="{history}"/><param name="default-context" value="public"/>
</settings><api-keys>
  <api-key name="all" sha256="{hash}" scopes="calls:read"/><api-key name="tenant" sha256="{tenant}" scopes="calls:read" domain="a.test"/>
</api-keys></configuration>
</include>"""
PGSQL = """<configuration name="cdr_pg_csv.conf"><settings>
  <param name="db-info" value="host=127.0.0.1 port={port} user=switch dbname=cdr connect_timeout=5"/><param name="legs" value="a"/>
</settings></configuration>"""
FORMAT = """<configuration name="format_cdr.conf"><profiles>
  <profile name="json"><settings>
    <param name="format" value="json"/><param name="log-dir" value="{where}/json"/><param name="log-file" value="${{caller_id_number}}/${{uuid}}.json"/><param name="log-b-leg" value="false"/>
  </settings></profile>
  <profile name="xml"><settings>
    <param name="format" value="xml"/><param name="url" value="http://127.0.0.1:{web}/post.php"/><param name="encode" value="true"/><param name="prefix-a-leg" value="true"/>
    <param name="err-log-dir" value="{where}/errors"/>
  </settings></profile>
</profiles></configuration>"""


def serve(fresh, modules=("mod_cdr_sqlite", "mod_http_api"), more="", keep="", history=None):
    fresh.records = fresh.where / "records"
    sha = lambda text: hashlib.sha256(text.encode()).hexdigest()      # noqa: E731
    text = CONF.format(where=fresh.records, http=fresh.block[tree.HTTP], more=more, keep=keep, hash=sha(KEY), tenant=sha("tenant"),
                       history=history or f"sqlite://{fresh.records}/cdr.db")
    (fresh.conf / "autoload_configs/kept.conf.xml").write_text(text)
    list_ = fresh.conf / "autoload_configs/modules.conf.xml"
    loads = "".join(f'<load module="{name}"/>' for name in modules)
    list_.write_text(list_.read_text().replace("</modules>", f"{loads}</modules>"))
    return fresh.start()


def call(site, variables=""):
    reply = site.switch.api(f"originate {{originate_timeout=20{variables}}}loopback/tone/public &hangup")
    assert reply.startswith("+OK"), reply
    return reply.split()[1]


def command(site, *words):
    """`ferroswitch records …` on the site's configuration: exit status and output."""
    run = subprocess.run([binary(), "-conf", str(site.conf), "-db", str(site.switch.home / "db"), "-log", str(site.switch.home / "log"), "records", *words],
                         capture_output=True, text=True, timeout=60)
    return run.returncode, run.stdout + run.stderr


def rows(site, query):
    path = site.records / "cdr.db"
    if not path.exists():
        return []
    with sqlite3.connect(path, timeout=10) as database:
        try:
            return database.execute(query).fetchall()
        except sqlite3.OperationalError:
            return []


def ask(site, path, key=KEY):
    request = urllib.request.Request(f"http://127.0.0.1:{site.block[tree.HTTP]}{path}", headers={"X-API-Key": key})
    with urllib.request.urlopen(request, timeout=20) as answer:
        return json.loads(answer.read())


def test_records_are_exported_and_removed(fresh):
    site = serve(fresh)
    hostile = site.phone(user="=1+1").invite("tone")
    hostile.wait(200)
    hostile.hangup()
    uuids = [call(site) for _ in range(3)]
    until(lambda: set(uuids) <= {uuid for (uuid,) in rows(site, "SELECT uuid FROM cdr")}
          and rows(site, "SELECT 1 FROM cdr WHERE caller_id_number = '=1+1'")
          and set(uuids) <= {uuid for (uuid,) in rows(site, "SELECT call_id FROM call_logs")}, "rows")
    status, text = command(site, "export")
    assert status == 0, text
    table = list(csv.DictReader(io.StringIO(text)))
    assert set(uuids) <= {row["uuid"] for row in table} and "=1+1" in {row["caller_id_number"] for row in table}
    assert "'=1+1" in {row["caller_id_number"] for row in csv.DictReader(io.StringIO(command(site, "export", "--spreadsheet")[1]))}
    status, text = command(site, "export", "-f", "jsonl", "-t", "call_logs")
    assert status == 0 and {json.loads(line)["call_id"] for line in text.splitlines()} >= set(uuids)
    file = site.where / "calls.csv"
    assert command(site, "export", "-o", str(file))[0] == 0 and uuids[0] in file.read_text()
    assert command(site, "export", "-o", str(file))[0] == 1             # not written over
    assert command(site, "export", "--from", "2100-01-01")[1].strip() == ""
    assert command(site, "export", "-t", "sqlite_master")[0] == 1 and command(site, "purge")[0] != 0
    # Two rows become old; they go, the others stay, and calls go on.
    with sqlite3.connect(site.records / "cdr.db", timeout=10) as database:
        database.execute("UPDATE cdr SET start_stamp = '2020-01-01 00:00:00' WHERE uuid IN (?, ?)", uuids[:2])
        database.execute("UPDATE call_logs SET start_time = '2020-01-01 00:00:00' WHERE call_id = ?", uuids[:1])
    database.close()
    status, text = command(site, "purge", "--older-than", "30", "--dry-run")
    assert status == 0 and "cdr: 2 rows would be removed" in text and "call_logs: 1 rows would be removed" in text
    assert rows(site, f"SELECT count(*) FROM cdr WHERE uuid = '{uuids[0]}'") == [(1,)]
    status, text = command(site, "purge", "--older-than", "30")
    assert status == 0 and "cdr: 2 rows removed" in text
    left = {uuid for (uuid,) in rows(site, "SELECT uuid FROM cdr")}
    assert uuids[2] in left and not left & set(uuids[:2])
    new = call(site)
    until(lambda: rows(site, f"SELECT 1 FROM cdr WHERE uuid = '{new}'"), "row after a purge")


def test_a_history_that_does_not_answer_is_no_call_that_never_was(fresh):
    site = serve(fresh, history="pgsql://host=127.0.0.1 port=9 user=x dbname=x connect_timeout=2")
    for path in ("/status/unknown", "/call/status/unknown", "/api/calls/unknown", "/api/calls/history"):
        with pytest.raises(urllib.error.HTTPError) as refused:
            ask(site, path)
        problem = json.loads(refused.value.read())
        assert (refused.value.code, problem["status"]) == (503, 503) and "database" in problem["detail"], problem
    # What is in memory needs no database.
    uuid = call(site)
    assert until(lambda: ask(site, f"/status/{uuid}")["state"] == "ended", "end of the call")


def test_the_history_of_the_gateway_outlives_the_process(fresh):
    site = serve(fresh)
    phone = site.phone(user="alice").invite("tone")
    phone.wait(200)
    phone.hangup()
    busy = site.phone(user="bob").invite("respond-486")
    busy.wait(486)
    until(lambda: ask(site, "/api/calls/history")["total"] == 2, "history")
    site.switch.stop(remove=False)
    site.start()
    until(lambda: ask(site, "/api/calls/history")["total"] == 2, "history after a restart")
    page = ask(site, "/api/calls/history?from=ALICE&limit=1")
    assert page["total"] == 1 and page["items"][0]["from"] == "alice" and page["items"][0]["to"] == "tone"
    assert page["items"][0]["state"] == "ended" and page["items"][0]["answered"] >= page["items"][0]["created"] > 1.6e9
    assert [entry["from"] for entry in ask(site, "/api/calls/history?cause=USER_BUSY")["items"]] == ["bob"]
    assert ask(site, "/api/calls/history?to=%27%20OR%201=1%20--")["total"] == 0
    assert ask(site, f"/status/{page['items'][0]['uuid']}")["cause"] == page["items"][0]["cause"]
    # Records of this table do not say whose they are: a tenant sees none of them.
    assert ask(site, "/api/calls/history", key="tenant")["total"] == 0


@pytest.mark.skipif(services.needs("postgres", "initdb", "psql") is not None, reason="PostgreSQL is not installed")
def test_a_backup_of_postgresql_comes_back_and_the_journal_fills_what_is_missing(fresh):
    database = services.Postgres(fresh.block[PG]).start()
    try:
        database.ask("CREATE DATABASE cdr")
        dsn = f"pgsql://host=127.0.0.1 port={database.port} user=switch dbname=cdr connect_timeout=5"
        site = serve(fresh, ("mod_cdr_pg_csv", "mod_http_api"), PGSQL.format(port=database.port), history=dsn)
        stored = lambda: {row[0] for row in database.ask("SELECT uuid FROM cdr", "cdr") or []}      # noqa: E731
        before = [call(site) for _ in range(5)]
        until(lambda: set(before) <= stored(), "rows")
        assert {entry["uuid"] for entry in ask(site, "/api/calls/history")["items"]} >= set(before)
        status, text = command(site, "export", "--source", "postgresql", "-f", "jsonl")
        exported = [json.loads(line) for line in text.splitlines()]
        assert status == 0 and [line["uuid"] for line in exported if line["uuid"] in before] == before and isinstance(exported[0]["duration"], int)
        dump = subprocess.run([services.find("pg_dump"), "-h", "127.0.0.1", "-p", str(database.port), "-U", "switch", "cdr"],
                              capture_output=True, text=True, check=True).stdout
        # Two more calls are recorded after the backup; then the database is lost, and restored from it.
        after = [call(site) for _ in range(2)]
        until(lambda: set(after) <= stored(), "rows after the backup")
        site.switch.stop(remove=False)
        assert database.ask("DROP DATABASE cdr WITH (FORCE)") is not None and database.ask("CREATE DATABASE cdr") is not None
        subprocess.run([services.find("psql"), "-h", "127.0.0.1", "-p", str(database.port), "-U", "switch", "-d", "cdr", "-qX", "-v", "ON_ERROR_STOP=1"],
                       input=dump, text=True, check=True, capture_output=True)
        assert set(before) <= stored() and not set(after) & stored()
        # The position came back with the rows: the journal goes on from there, each call once.
        site.start()
        until(lambda: set(after) <= stored(), "rows of the journal")
        assert database.ask("SELECT count(*) - count(DISTINCT uuid) FROM cdr", "cdr") == [["0"]]
        new = call(site)
        until(lambda: database.ask(f"SELECT 1 FROM cdr WHERE uuid = '{new}'", "cdr"), "row of a new call")
        database.ask(f"UPDATE cdr SET start_stamp = '2020-01-01' WHERE uuid = '{new}'", "cdr")
        status, text = command(site, "purge", "--before", "2021-01-01")
        assert status == 0 and "cdr: 1 rows removed" in text, text
    finally:
        database.stop()


def test_documents_of_profiles_and_records_of_b_legs(fresh):
    web = Web(fresh.block[75])
    posted = []
    web.guard = lambda request: (posted.append(request), (200, "", {}))[1]
    try:
        site = serve(fresh, ("mod_format_cdr",), FORMAT.format(where=fresh.where / "records", web=fresh.block[75]))
        carrier, phone = site.carrier(), site.phone(user="..")
        first = phone.invite("park")
        first.wait(200)
        uuid = site.switch.api("show channels").splitlines()[1].split(",")[0]
        site.switch.api(f"uuid_transfer {uuid} 'bridge:{{copy_xml_cdr=true}}sofia/gateway/carrier/4711' inline")
        leg = carrier.accept()
        leg.answer()
        until(lambda: site.switch.api(f"uuid_getvar {uuid} bridge_uuid").strip() not in ("", "_undef_"), "bridge")
        leg.hangup()
        first.wait_end()
        # A and B are posted, the A-leg alone is filed; what the caller calls itself does not lead out of the folder.
        requests = until(lambda: len(posted) >= 2 and list(posted), "posted records")
        assert all(request["agent"] == "freeswitch-format-cdr/1.0" and request["fields"]["cdr"].startswith("<?xml") for request in requests)
        assert sum("uuid=a_" in request["target"] for request in requests) == 1
        files = until(lambda: list(site.records.rglob("*.json")), "filed record")
        assert [file.parent for file in files] == [site.records / "json/_"]
        a_leg = json.loads(files[0].read_text())
        inner = urllib.parse.unquote(a_leg["variables"]["b_leg_cdr"])
        assert inner.startswith("<cdr") and "4711" in inner
        # A leg that is not answered leaves its record with its caller, numbered.
        uuid = site.switch.api("create_uuid").strip()
        site.switch.api(f"bgapi originate {{origination_uuid={uuid}}}loopback/park/public &park")
        until(lambda: site.switch.api(f"uuid_exists {uuid}").strip() == "true", "a leg")
        site.switch.api(f"uuid_setvar {uuid} failed_xml_cdr_prefix tried")
        site.switch.api(f"uuid_setvar {uuid} continue_on_fail true")
        site.switch.api(f"uuid_transfer {uuid} 'bridge:sofia/gateway/carrier/4713,park' inline")
        carrier.accept().reject(486)
        until(lambda: site.switch.api(f"uuid_getvar {uuid} tried_total").strip() == "1", "record of a failed leg")
        assert site.switch.api(f"uuid_getvar {uuid} tried_1").startswith("<cdr")
        site.switch.api(f"uuid_kill {uuid}")
    finally:
        web.close()
