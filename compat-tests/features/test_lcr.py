"""Least cost routing: the command's table, the application's variables, and calls by the dialplan `lcr`."""
import sqlite3

import pytest

from harness import services, tree
from harness.ear import caller, run, talk

TABLES = """
create table carriers (id integer primary key, carrier_name varchar(255), enabled boolean default 1);
create table carrier_gateway (id integer primary key, carrier_id integer, prefix varchar(128), suffix varchar(128), codec varchar(128), enabled boolean default 1);
create table lcr (id integer primary key, digits numeric, rate float, intrastate_rate float, carrier_id integer, lead_strip integer default 0,
  trail_strip integer default 0, prefix varchar(16) default '', suffix varchar(16) default '', lcr_profile integer default 0, date_start datetime,
  date_end datetime, quality float default 0, reliability float default 0, cid varchar(32) default '', lrn boolean default 0, enabled boolean default 1);
insert into carriers (id, carrier_name) values (1, 'cheap'), (2, 'good');
"""
CONF = """<configuration name="lcr.conf"><settings><param name="odbc-dsn" value="{path}"/></settings><profiles>
  <profile name="default"><param name="order_by" value="rate"/></profile>
  <profile name="cheapest"><param name="order_by" value="rate"/><param name="reorder_by_rate" value="true"/></profile>
  <profile name="own"><param name="custom_sql" value="SELECT '1' AS lcr_digits, ${{caller_id_number}} AS lcr_carrier_name, 1 AS lcr_rate_field,
    'sofia/open/' AS lcr_gw_prefix, '@nowhere' AS lcr_gw_suffix"/></profile>
</profiles></configuration>"""


@pytest.fixture
def site(fresh, tmp_path):
    path = tmp_path / "lcr.db"
    carrier = f"@127.0.0.1:{fresh.block[tree.CARRIER]}"
    with sqlite3.connect(path) as database:
        database.executescript(TABLES)
        database.executemany("insert into carrier_gateway (carrier_id, prefix, suffix, codec) values (?, ?, ?, ?)",
                             [(1, "sofia/open/", carrier, ""), (2, "sofia/open/good-", carrier, "PCMA")])
        database.executemany("insert into lcr (digits, rate, carrier_id, lead_strip, prefix, date_start, date_end) values (?, ?, ?, ?, ?, '2000-01-01', '2999-01-01')",
                             [(49, 0.02, 1, 2, "0"), (491, 0.05, 2, 0, ""), (49, 0.9, 2, 0, "")])
    files = fresh.conf / "autoload_configs"
    (files / "lcr.conf.xml").write_text(CONF.format(path=path))
    modules = files / "modules.conf.xml"
    modules.write_text(modules.read_text().replace("</modules>", '<load module="mod_lcr"/></modules>'))
    return fresh.start()


@pytest.fixture
def esl(site):
    client = site.esl()
    client.command("event plain ALL")
    yield client
    client.close()


def test_the_command_shows_routes_in_order(site):
    at = f"@127.0.0.1:{site.block[tree.CARRIER]}"
    rows = [line.split("|")[1:-1] for line in site.switch.api("lcr 49170").splitlines()]
    assert [cell.strip() for cell in rows[0]] == ["Digit Match", "Carrier", "Rate", "Codec", "CID Regexp", "Limit", "Dialstring"]
    assert [cell.strip() for cell in rows[1]] == ["491", "good", "0.05000", "PCMA", "", "",
                                                  f"[lcr_carrier=good,lcr_rate=0.05000,absolute_codec_string=PCMA]sofia/open/good-49170{at}"]
    assert [cell.strip() for cell in rows[2]] == ["49", "cheap", "0.02000", "", "", "", f"[lcr_carrier=cheap,lcr_rate=0.02000]sofia/open/0170{at}"]
    assert len(rows) == 3
    cheapest = site.switch.api("lcr 49170 cheapest").splitlines()
    assert "cheap" in cheapest[1] and "good" in cheapest[2]
    assert "<carrier_name>cheap</carrier_name>" in site.switch.api("lcr 49170 cheapest as xml")
    assert site.switch.api("lcr 99") == "No Routes To Display\n"
    assert site.switch.api("lcr 49 nobody") == "-ERR Unknown profile: nobody\n"
    assert site.switch.api("lcr abc") == "-ERR Error looking up routes\n"
    assert "Name:\t\tcheapest\n" in site.switch.api("lcr_admin show profiles")


def test_the_application_sets_variables_and_binds_what_a_caller_says(site, esl):
    near, uuid = caller(site, esl)
    esl.api(f"uuid_setvar {uuid} caller_id_number ' OR 1=1 --")
    run(esl, uuid, "lcr:49170 cheapest", "park")
    esl.wait_event("CHANNEL_PARK", Unique_ID=uuid)
    var = lambda name: esl.api(f"uuid_getvar {uuid} {name}")         # noqa: E731
    assert (var("lcr_route_count"), var("lcr_carrier_1"), var("lcr_rate_2")) == ("2", "cheap", "0.05000")
    assert var("lcr_auto_route") == f"{var('lcr_route_1')}|{var('lcr_route_2')}" and var("lcr_query_expanded_digits") == "49170, 4917, 491, 49, 4"
    run(esl, uuid, "lcr:1 own", "park")
    esl.wait_event("CHANNEL_PARK", Unique_ID=uuid)
    assert var("lcr_route_count") == "1"
    near.hangup()


def test_the_dialplan_tries_one_route_after_the_other(site, esl):
    carrier = site.carrier()
    near, uuid = caller(site, esl)
    assert esl.api(f"uuid_transfer {uuid} 49170 lcr cheapest").startswith("+OK")
    first = carrier.accept()
    assert "sip:0170@" in first.request.start
    first.reject(503)
    second = carrier.accept()
    assert "sip:good-49170@" in second.request.start
    second.answer()
    talk(near, second)
    near.hangup()
    second.wait_end()


# ---- lcr/ in dial strings

def test_routes_of_a_dial_string_are_tried_one_after_the_other(site, esl):
    carrier = site.carrier()
    near, uuid = caller(site, esl)
    run(esl, uuid, "bridge:lcr/cheapest/49170", "park")
    first = carrier.accept()
    assert first.request.start.startswith("INVITE sip:0170@")
    first.reject(503)
    second = carrier.accept()
    assert second.request.start.startswith("INVITE sip:good-49170@")
    second.answer()
    talk(near, second)
    assert esl.api(f"uuid_getvar {uuid} lcr_carrier") == "good"
    near.hangup()
    second.wait_end()


def test_a_connected_leg_is_in_the_context_its_route_names(site, esl):
    carrier = site.carrier()
    near, uuid = caller(site, esl)
    before = esl.api(f"uuid_getvar {uuid} context")
    for options, context in (("[lcr_context=partners]", "partners"), ("", before)):
        run(esl, uuid, f"bridge:{options}lcr/cheapest/49170", "park")
        far = carrier.accept()
        leg = esl.wait_event("CHANNEL_OUTGOING")
        assert leg.event["Caller-Context"] == before
        far.answer()
        talk(near, far)
        assert esl.api(f"uuid_getvar {leg.event['Unique-ID']} context") == context
        far.hangup()
        esl.wait_event("CHANNEL_PARK", Unique_ID=uuid)
    near.hangup()


def test_a_call_without_a_caller_finds_routes_and_what_has_none_fails(site, esl):
    carrier = site.carrier()
    esl.send("bgapi originate lcr/49170 &park")
    far = carrier.accept()
    assert far.request.start.startswith("INVITE sip:good-49170@")
    far.answer()
    esl.wait_event("CHANNEL_PARK")
    far.hangup()
    assert esl.api("originate lcr/99 &park") == "-ERR DESTINATION_OUT_OF_ORDER\n"
    assert esl.api("originate lcr/nobody/49 &park") == "-ERR DESTINATION_OUT_OF_ORDER\n"


OLD = """
create table carriers (id serial primary key, carrier_name varchar(255), enabled boolean not null default true);
create table carrier_gateway (id serial primary key, carrier_id integer, prefix varchar(128) not null default '', suffix varchar(128) not null default '',
  enabled boolean not null default true);
create table lcr (id serial primary key, digits numeric(20,0), rate numeric(11,5), intrastate_rate numeric(11,5), carrier_id integer,
  lead_strip integer not null default 0, trail_strip integer not null default 0, prefix varchar(16) not null default '', suffix varchar(16) not null default '',
  lcr_profile integer not null default 0, date_start timestamptz not null default '1970-01-01', date_end timestamptz not null default '2999-12-31',
  quality numeric(10,6) not null default 0, reliability numeric(10,6) not null default 0, enabled boolean not null default true);
insert into carriers (carrier_name) values ('cheap'), ('good');
insert into lcr (digits, rate, carrier_id, lead_strip, prefix) values (49, 0.02, 1, 2, '0'), (491, 0.05, 2, 0, '');
"""


@pytest.mark.skipif(services.needs("postgres", "initdb", "psql") is not None, reason="PostgreSQL is not installed")
def test_tables_of_postgresql_get_the_columns_they_lack(fresh):
    database = services.Postgres(fresh.block[70]).start()
    try:
        database.ask("CREATE DATABASE rates")
        database.ask(OLD, "rates")
        at = f"@127.0.0.1:{fresh.block[tree.CARRIER]}"
        database.ask(f"insert into carrier_gateway (carrier_id, prefix, suffix) values (1, 'sofia/open/', '{at}'), (2, 'sofia/open/good-', '{at}')", "rates")
        files = fresh.conf / "autoload_configs"
        (files / "lcr.conf.xml").write_text(CONF.format(path=f"pgsql://host=127.0.0.1 port={database.port} user=switch dbname=rates"))
        modules = files / "modules.conf.xml"
        modules.write_text(modules.read_text().replace("</modules>", '<load module="mod_lcr"/></modules>'))
        site = fresh.start()
        table = site.switch.api("lcr 49170").splitlines()
        assert "good" in table[1] and "0.05000" in table[1] and "cheap" in table[2] and "0.02000" in table[2]
        asked = "SELECT table_name, column_name FROM information_schema.columns WHERE column_name IN ('codec', 'cid', 'lrn') ORDER BY 1, 2"
        assert database.ask(asked, "rates") == [["carrier_gateway", "codec"], ["lcr", "cid"], ["lcr", "lrn"]]
        esl = site.esl()
        esl.command("event plain ALL")
        carrier = site.carrier()
        near, uuid = caller(site, esl)
        run(esl, uuid, "bridge:lcr/cheapest/49170", "park")
        far = carrier.accept()
        assert far.request.start.startswith("INVITE sip:0170@")
        far.answer()
        talk(near, far)
        near.hangup()
        far.wait_end()
        esl.close()
        assert not site.settle()
    finally:
        database.stop()
