"""Call records: lines, documents and rows, with servers in trouble and a process that is killed."""
import csv
import json
import signal
import sqlite3
import time
import xml.etree.ElementTree as ElementTree

import pytest

from harness import tree
from harness.web import Web

MODULES = ("mod_cdr_csv", "mod_json_cdr", "mod_xml_cdr", "mod_cdr_sqlite")
CONF = """<include>
<configuration name="cdr_csv.conf"><settings>
  <param name="log-base" value="{where}"/><param name="legs" value="a"/><param name="rotate-on-hup" value="true"/>
</settings><templates>
  <template name="short">${{accountcode}}|${{hangup_cause}}|${{missing}}|</template>
</templates></configuration>
<configuration name="json_cdr.conf"><settings>
  <param name="url" value="http://127.0.0.1:{http}/json?tenant=1"/><param name="log-dir" value="{where}/json"/>
  <param name="prefix-a-leg" value="true"/><param name="timeout" value="2"/>
</settings></configuration>
<configuration name="xml_cdr.conf"><settings>
  <param name="log-dir" value="{where}/xml"/><param name="prefix-a-leg" value="true"/><param name="log-b-leg" value="false"/>
</settings></configuration>
<configuration name="cdr_sqlite.conf"><settings>
  <param name="db-name" value="{where}/cdr.db"/><param name="legs" value="a"/>
</settings></configuration>
</include>"""


@pytest.fixture
def recorded(fresh):
    """A server with the four modules, which writes into `records` and posts to the block's HTTP port."""
    fresh.records = fresh.where / "records"
    text = CONF.format(where=fresh.records, http=fresh.block[tree.HTTP])
    (fresh.conf / "autoload_configs/records.conf.xml").write_text(text)
    modules = fresh.conf / "autoload_configs/modules.conf.xml"
    loads = "".join(f'<load module="{name}"/>' for name in MODULES)
    modules.write_text(modules.read_text().replace("</modules>", f"{loads}</modules>"))
    yield fresh


@pytest.fixture
def web(recorded):
    web = Web(recorded.block[tree.HTTP])
    yield web
    web.close()


def until(found, what, seconds=20):
    end = time.monotonic() + seconds
    while not (value := found()):
        assert time.monotonic() < end, f"no {what} after {seconds} s"
        time.sleep(0.05)
    return value


def rows(site, query):
    path = site.records / "cdr.db"
    if not path.exists():
        return []
    with sqlite3.connect(path, timeout=10) as db:
        try:
            return db.execute(query).fetchall()
        except sqlite3.OperationalError:
            return []           # the table is being made


def lines(path):
    return path.read_text().splitlines() if path.exists() else []


def test_each_module_gets_the_record_in_its_own_shape(recorded, web):
    recorded.start()
    phone = recorded.phone(user="alice")
    call = phone.invite("tone")
    call.wait(200)
    uuid = json.loads(recorded.switch.api("show channels as json"))["rows"][0]["uuid"]
    call.hangup()
    master = recorded.records / "cdr-csv/Master.csv"
    row = next(csv.reader(until(lambda: lines(master), "line")))
    assert row[1:3] == ["alice", "tone"] and row[9] == "NORMAL_CLEARING" and row[10] == uuid and int(row[8]) >= 0
    request = until(lambda: [r for r in web.requests if r["path"] == "/json"], "request")[0]
    assert request["target"] == f"/json?tenant=1&uuid={uuid}"
    assert (request["agent"], request["type"]) == ("freeswitch-json/1.0", "application/json")
    document = recorded.records / f"xml/a_{uuid}.cdr.xml"
    until(document.exists, "document")
    root = ElementTree.parse(document).getroot()
    assert root.findtext("variables/uuid") == uuid
    assert root.findtext("callflow/caller_profile/destination_number") == "tone"
    assert root.findtext("call-stats/audio/outbound/packet_count").isdigit()
    found = until(lambda: rows(recorded, "SELECT caller_id_number, uuid, hangup_cause FROM cdr"), "row")
    assert found == [("alice", uuid, "NORMAL_CLEARING")]
    logged = rows(recorded, "SELECT call_id, from_number, to_number, status FROM call_logs")
    assert logged == [(uuid, "alice", "tone", "completed")]


def test_a_document_no_server_takes_is_filed(recorded, web):
    recorded.start()
    web.guard = lambda request: (500, "no", {})
    call = recorded.phone().invite("tone")
    call.wait(200)
    call.hangup()
    folder = recorded.records / "json"
    document = until(lambda: sorted(folder.glob("a_*.cdr.json")), "document")[0]
    assert json.loads(document.read_text())["channel_data"]["state"] == "CS_REPORTING"


def test_what_a_caller_says_stays_in_its_column(recorded):
    recorded.start()
    with recorded.esl() as esl:
        esl.api("originate {origination_caller_id_number='1\'),(\'2'}loopback/tone/public &hangup")
    found = until(lambda: rows(recorded, "SELECT destination_number FROM cdr"), "row")
    assert set(found) == {("tone",)}


def test_files_rotate_on_hup(recorded):
    recorded.start()
    folder = recorded.records / "cdr-csv"
    for wanted in (1, 2):
        call = recorded.phone().invite("tone")
        call.wait(200)
        call.hangup()
        until(lambda: lines(folder / "Master.csv"), "line")
        recorded.switch.process.send_signal(signal.SIGHUP)
        until(lambda: len(list(folder.glob("Master.csv.*"))) >= 1 and not (folder / "Master.csv").exists(), "rotated file")
        if wanted == 1:
            for old in folder.glob("Master.csv.*"):
                old.rename(folder / "first")


def test_a_module_that_is_unloaded_records_nothing_and_goes_on_where_it_was(recorded):
    recorded.start()
    master = recorded.records / "cdr-csv/Master.csv"
    assert recorded.switch.api("unload mod_cdr_csv").startswith("+OK")
    call = recorded.phone().invite("tone")
    call.wait(200)
    call.hangup()
    until(lambda: list((recorded.records / "xml").glob("*.xml")), "document of another module")
    assert not master.exists()
    assert "+OK" in recorded.switch.api("load mod_cdr_csv")
    call = recorded.phone().invite("tone")
    call.wait(200)
    call.hangup()
    assert len(until(lambda: lines(master), "line")) == 1


def test_each_call_has_one_record_after_every_kill(recorded):
    """SIGKILL eight times right after calls were shown as ended: each of them is recorded, and none twice."""
    ended = set()
    for _ in range(8):
        recorded.start()
        with recorded.esl() as esl:
            esl.command("event plain CHANNEL_HANGUP_COMPLETE")
            calls = [recorded.phone().invite("echo") for _ in range(4)]
            for call in calls:
                call.wait(200)
            for call in calls:
                call.hangup()
            for _ in calls:
                ended.add(esl.wait_event("CHANNEL_HANGUP_COMPLETE").event["Unique-ID"])
            recorded.switch.process.kill()
            recorded.switch.process.wait()
        for phone in recorded.phones:
            phone.close()
        recorded.phones.clear()
    assert len(ended) == 32
    recorded.start()
    master = recorded.records / "cdr-csv/Master.csv"

    def in_file():
        return [row[10] for row in csv.reader(lines(master))]

    def in_table():
        return [uuid for (uuid,) in rows(recorded, "SELECT uuid FROM cdr")]

    for kept in (in_file, in_table):
        until(lambda: ended <= set(kept()), "record of each call")
        assert len(kept()) == len(set(kept()))
