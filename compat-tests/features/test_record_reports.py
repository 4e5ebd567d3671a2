"""Public reports about call records and what stands around them, tried on this switch: records of transferred legs, names and values
that no document may hold, lists that are saved after a reload."""
import json
import xml.dom.minidom

import pytest

from harness import services
from harness.ear import bridged, talk
from harness.services import until
from test_refer import replacing

CONF = """<include>
<configuration name="json_cdr.conf"><settings><param name="log-dir" value="{where}/json"/><param name="log-b-leg" value="true"/><param name="encode-values" value="false"/></settings></configuration>
<configuration name="xml_cdr.conf"><settings><param name="log-dir" value="{where}/xml"/><param name="log-b-leg" value="true"/></settings></configuration>
<configuration name="mod_blacklist.conf"><lists><list name="example" filename="{where}/black.list"/></lists></configuration>
</include>"""


@pytest.fixture
def site(fresh):
    (fresh.conf / "autoload_configs/reports.conf.xml").write_text(CONF.format(where=fresh.where))
    (fresh.where / "black.list").write_text("111\n")
    modules = fresh.conf / "autoload_configs/modules.conf.xml"
    loads = "".join(f'<load module="{name}"/>' for name in ("mod_json_cdr", "mod_xml_cdr", "mod_blacklist") if name not in modules.read_text())
    modules.write_text(modules.read_text().replace("</modules>", f"{loads}</modules>"))
    return fresh.start()


@pytest.fixture
def esl(site):
    with site.switch.esl() as client:
        client.command("event plain all")
        yield client


def records(site):
    """UUIDs of the JSON documents, each a file of its own."""
    return sorted(json.loads(path.read_text())["variables"]["uuid"] for path in (site.where / "json").glob("*.json"))


# signalwire/freeswitch 1057: the record of a leg was lost that a REFER with Replaces reached while its bridge ended.
def test_each_leg_of_an_attended_transfer_has_one_record(site, esl):
    near, far, _, _ = bridged(site, esl)
    far.reinvite("sendonly")
    third = site.phone()
    asked = far.phone.invite("park")
    asked.wait(200)
    leg = esl.wait_event("CHANNEL_PARK", Caller_Caller_ID_Number=far.phone.user).event["Unique-ID"]
    esl.api(f"uuid_transfer {leg} bridge:sofia/open/{third.user}@{third.ip}:{third.port} inline")
    answered = third.accept()
    answered.answer()
    esl.wait_event("CHANNEL_BRIDGE", Unique_ID=leg)
    assert far.refer(replacing(far, asked)).status == 202
    talk(near, answered)
    near.hangup()
    answered.wait_end()
    until(lambda: site.switch.api("show channels count").split()[0] == "0", "end of all legs")
    until(lambda: len(records(site)) >= 4, "four records")
    assert len(records(site)) == len(set(records(site))) == 4
    assert len(list((site.where / "xml").glob("*.xml"))) == 4


# Several reports of documents that no parser reads: names and values as dialplans and far ends set them.
def test_records_are_documents_whatever_is_in_them(site):
    assert site.switch.api("originate {origination_uuid=odd}null/x &park").startswith("+OK")
    for name, value in (("odd<name>", "a&b<c>'\""), ("1st", "]]>"), ("utf", "Zo\u00eb \U0001f600"), ("sip_h_X-Long", "x" * 8000), ("with space", "1")):
        site.switch.api(f"uuid_setvar odd {name} {value}")
    site.switch.api("uuid_kill odd")
    found = until(lambda: list((site.where / "xml").glob("*odd*.xml")), "XML record")
    assert xml.dom.minidom.parse(str(found[0])).documentElement.tagName == "cdr"
    found = until(lambda: list((site.where / "json").glob("*odd*.json")), "JSON record")
    variables = json.loads(found[0].read_text())["variables"]
    assert (variables["odd<name>"], variables["utf"], len(variables["sip_h_X-Long"])) == ("a&b<c>'\"", "Zo\u00eb \U0001f600", 8000)


# signalwire/freeswitch 2208: saving a list after reloadxml.
def test_a_list_is_saved_after_a_reload(site):
    assert "+OK" in site.switch.api("reloadxml")
    assert site.switch.api("blacklist add example 1234").startswith("+OK")
    assert site.switch.api("blacklist save example").startswith("+OK")
    assert (site.where / "black.list").read_text().split() == ["111", "1234"]


# signalwire/freeswitch 572 and 10: rows in PostgreSQL by the thousand, and a module's own PostgreSQL name.
@pytest.mark.skipif(services.needs("postgres", "initdb", "psql") is not None, reason="PostgreSQL is not installed")
def test_many_rows_in_postgresql_are_stored_once(fresh):
    database = services.Postgres(fresh.block[70]).start()
    try:
        database.ask("CREATE DATABASE cdr")
        (fresh.conf / "autoload_configs/cdr_pg_csv.conf.xml").write_text(
            '<include>\n<configuration name="cdr_pg_csv.conf"><settings><param name="db-info" value="host=127.0.0.1 port='
            f'{database.port} user=switch dbname=cdr"/></settings></configuration>\n</include>')
        modules = fresh.conf / "autoload_configs/modules.conf.xml"
        modules.write_text(modules.read_text().replace("</modules>", '<load module="mod_cdr_pg_csv"/></modules>'))
        site = fresh.start()
        site.switch.api("fsctl sps 5000")
        with site.switch.esl() as client:
            for _ in range(1000):
                client.command("bgapi originate null/x &hangup")
        until(lambda: (database.ask("SELECT count(*), count(DISTINCT uuid) FROM cdr", "cdr") or [[]])[0] == ["1000", "1000"], "a thousand rows", 90)
        assert site.switch.alive() and not site.switch.panicked()
    finally:
        database.stop()
