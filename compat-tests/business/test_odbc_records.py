"""mod_odbc_cdr: rows in configured tables of SQLite and PostgreSQL, what is refused, files, and a database that comes late."""
import sqlite3

import pytest

from harness import services
from harness.services import until

PORT = 70
CONF = """<include>
<configuration name="odbc_cdr.conf"><settings>
  <param name="odbc-dsn" value="{dsn}"/><param name="log-leg" value="both"/><param name="write-csv" value="{csv}"/>
  <param name="csv-path" value="{where}/all"/><param name="csv-path-on-fail" value="{where}/failed"/><param name="debug-sql" value="true"/>
</settings><tables>
  <table name="cdr_table_a_leg" log-leg="a-leg">
    <field name="CallId" chan-var-name="uuid"/><field name="TelNumber" chan-var-name="sip_req_user"/><field name="CallerID" chan-var-name="caller_id_number"/>
    <field name="seconds" chan-var-name="billsec" quote="false"/><field name="tariff" chan-var-name="tariff" quote="false" default-value="7"/>
    <field name="made" chan-var-name="nothing" quote="false" default-value="CURRENT_TIMESTAMP"/>
  </table>
  <table name="cdr_table_b_leg" log-leg="b-leg"><field name="CallId" chan-var-name="uuid"/></table>
  <table name="cdr_table_both"><field name="CallId" chan-var-name="uuid"/></table>
</tables></configuration>
</include>"""
TABLES = ("CREATE TABLE cdr_table_a_leg (CallId {uuid} PRIMARY KEY, TelNumber varchar(20), CallerID text, seconds integer, tariff integer, made {stamp})",
          "CREATE TABLE cdr_table_b_leg (CallId {uuid})", "CREATE TABLE cdr_table_both (CallId {uuid})")


def serve(fresh, dsn, csv="on-db-fail"):
    (fresh.conf / "autoload_configs/odbc_cdr.conf.xml").write_text(CONF.format(dsn=dsn, csv=csv, where=fresh.where))
    modules = fresh.conf / "autoload_configs/modules.conf.xml"
    modules.write_text(modules.read_text().replace("</modules>", '<load module="mod_odbc_cdr"/></modules>'))
    return fresh.start()


def call(site, number="tone", variables=""):
    """A call inside the switch with two legs that is answered and ends; the UUID of its A-leg."""
    reply = site.switch.api(f"originate {{originate_timeout=20{variables}}}loopback/{number}/public &hangup")
    assert reply.startswith("+OK"), reply
    return reply.split()[1]


class File:
    def __init__(self, path):
        self.path = path

    def ask(self, sql):
        with sqlite3.connect(self.path, timeout=10) as database:
            rows = database.execute(sql).fetchall()
        database.close()
        return [["" if value is None else str(value) for value in row] for row in rows]


class Server:
    def __init__(self, postgres):
        self.postgres = postgres

    def ask(self, sql):
        rows = self.postgres.ask(sql, "cdr")
        assert rows is not None, sql
        return rows


@pytest.fixture(params=("sqlite", "postgresql", "odbc"))
def kept(request, fresh, monkeypatch):
    """A database with the tables, and its data source name."""
    if request.param == "sqlite":
        database = File(fresh.where / "records.db")
        for table in TABLES:
            database.ask(table.format(uuid="text", stamp="text"))
        yield database, f"sqlite://{database.path}"
        return
    if (missing := services.needs("postgres", "initdb", "psql")) is not None:
        pytest.skip(missing)
    postgres = services.Postgres(fresh.block[PORT]).start()
    try:
        postgres.ask("CREATE DATABASE cdr")
        database = Server(postgres)
        for table in TABLES:
            assert postgres.ask(table.format(uuid="uuid", stamp="timestamptz"), "cdr") is not None
        if request.param == "odbc":
            ini = fresh.where / "odbc.ini"
            ini.write_text(f"[billing]\nDriver = /usr/lib/psqlodbcw.so\nServername = 127.0.0.1\nPort = {postgres.port}\nDatabase = cdr\n")
            monkeypatch.setenv("ODBCINI", str(ini))
            yield database, "billing:switch:"
        else:
            yield database, f"pgsql://host=127.0.0.1 port={postgres.port} user=switch dbname=cdr connect_timeout=3"
    finally:
        postgres.stop()


def test_rows_of_each_leg_and_what_far_ends_say_stays_data(fresh, kept):
    database, dsn = kept
    site = serve(fresh, dsn)
    hostile = "1);DROP/**/TABLE/**/cdr_table_both;--"
    uuid = call(site, variables=",origination_caller_id_number=49301,tariff=12")
    phone = site.phone(user="o'b')--")
    said = phone.invite("tone")
    said.wait(200)
    said.hangup()
    evil = call(site, variables=f",tariff={hostile}")
    # Of a leg whose number is none the row is refused by a typed column, and filed; SQLite takes any text.
    typed = isinstance(database, Server)
    ids = lambda table: {row[0] for row in database.ask(f"SELECT CallId FROM {table}")}      # noqa: E731
    until(lambda: evil in ids("cdr_table_both") and uuid in ids("cdr_table_a_leg") and "o'b')--" in {row[0] for row in database.ask("SELECT CallerID FROM cdr_table_a_leg")}, "rows")
    rows = {row[0]: row[1:] for row in database.ask("SELECT CallId, CallerID, seconds, tariff FROM cdr_table_a_leg")}
    assert rows[uuid][2] == "12" and {"49301", "o'b')--"} <= {row[0] for row in rows.values()}, rows
    assert "7" in {row[2] for row in rows.values()}
    assert database.ask("SELECT count(*) FROM cdr_table_a_leg WHERE made IS NULL") == [["0"]]
    assert {uuid, evil} <= ids("cdr_table_both") and set(rows) <= ids("cdr_table_both") and not set(rows) & ids("cdr_table_b_leg")
    assert (evil in rows) is not typed
    filed = list((fresh.where / "failed").glob("*.csv"))
    if typed:
        assert f"{evil}_cdr_table_a_leg.csv" in {path.name for path in filed} and all(f"'{hostile}'" in path.read_text() for path in filed)
    else:
        assert not filed
    # Each once, also when the module comes again.
    count = database.ask("SELECT count(*) FROM cdr_table_both")
    assert site.switch.api("reload mod_odbc_cdr").startswith("+OK")
    ignored = call(site, variables=",odbc-cdr-ignore-leg=true")
    last = call(site)
    until(lambda: [last] in database.ask("SELECT CallId FROM cdr_table_both"), "row after a reload")
    assert [ignored] not in database.ask("SELECT CallId FROM cdr_table_both")
    ids = [row[0] for row in database.ask("SELECT CallId FROM cdr_table_both")]
    assert len(ids) == len(set(ids)) > int(count[0][0])


def test_rows_are_filed_as_well_and_a_table_that_comes_late_loses_nothing(fresh):
    database = File(fresh.where / "records.db")
    site = serve(fresh, f"sqlite://{database.path}", csv="always")
    uuid = call(site)
    # No table is there: the rows are filed as refused.
    refused = fresh.where / f"failed/{uuid}_cdr_table_both.csv"
    until(refused.exists, "a filed row")
    assert refused.read_text() == f"'{uuid}'\n"
    for table in TABLES:
        database.ask(table.format(uuid="text", stamp="text"))
    uuid = call(site)
    until(lambda: [uuid] in database.ask("SELECT CallId FROM cdr_table_a_leg"), "a row")
    assert (fresh.where / f"all/{uuid}_cdr_table_both.csv").read_text() == f"'{uuid}'\n"


def test_without_files_rows_wait_for_their_table(fresh):
    database = File(fresh.where / "records.db")
    site = serve(fresh, f"sqlite://{database.path}", csv="never")
    uuid = call(site)
    until(lambda: "no such table" in (site.switch.home / "log/freeswitch.log").read_text(), "refusal in the log")
    for table in TABLES:
        database.ask(table.format(uuid="text", stamp="text"))
    until(lambda: [uuid] in database.ask("SELECT CallId FROM cdr_table_both"), "row that waited", 60)
    assert not (fresh.where / "failed").exists()


@pytest.mark.skipif(services.needs("postgres", "initdb", "psql") is not None, reason="PostgreSQL is not installed")
def test_a_database_that_is_killed_loses_nothing_and_slows_no_call(fresh):
    postgres = services.Postgres(fresh.block[PORT]).start()
    try:
        postgres.ask("CREATE DATABASE cdr")
        for table in TABLES:
            assert postgres.ask(table.format(uuid="uuid", stamp="timestamptz"), "cdr") is not None
        site = serve(fresh, f"pgsql://host=127.0.0.1 port={postgres.port} user=switch dbname=cdr connect_timeout=3")
        made = [call(site)]
        stored = lambda: [row[0] for row in postgres.ask("SELECT CallId FROM cdr_table_a_leg", "cdr") or []]      # noqa: E731
        until(lambda: made[0] in stored(), "first row")
        postgres.kill()
        made += [call(site) for _ in range(10)]
        postgres.start()
        until(lambda: set(made) <= set(stored()), "rows of the time without a database", 60)
        assert len(stored()) == len(set(stored()))
        assert not (fresh.where / "failed").exists()
    finally:
        postgres.stop()


@pytest.mark.skipif(services.needs("postgres", "initdb", "psql") is not None, reason="PostgreSQL is not installed")
def test_values_that_are_refused_are_filed_whole_and_a_position_table_of_the_administrator_is_used(fresh):
    postgres = services.Postgres(fresh.block[PORT]).start()
    try:
        postgres.ask("CREATE DATABASE cdr")
        raising = "CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'not this one'; END $$"
        for sql in (*(table.format(uuid="uuid", stamp="timestamptz") for table in TABLES), "ALTER TABLE cdr_table_a_leg ALTER CallerID TYPE varchar(5)", raising,
                    "CREATE TRIGGER no BEFORE INSERT ON cdr_table_a_leg FOR EACH ROW WHEN (NEW.CallerID = '66') EXECUTE FUNCTION no()",
                    "CREATE TABLE odbc_cdr_position (journal varchar(64) NOT NULL PRIMARY KEY, position varchar(64) NOT NULL)",
                    "CREATE ROLE writer LOGIN", "REVOKE CREATE ON SCHEMA public FROM PUBLIC", "GRANT SELECT, INSERT, UPDATE ON ALL TABLES IN SCHEMA public TO writer"):
            assert postgres.ask(sql, "cdr") is not None, sql
        site = serve(fresh, f"pgsql://host=127.0.0.1 port={postgres.port} user=writer dbname=cdr connect_timeout=3")
        for number in (4930123, 66, 49301):
            call(site, variables=f",origination_caller_id_number={number}")
        stored = lambda: {row[0] for row in postgres.ask("SELECT CallerID FROM cdr_table_a_leg", "cdr")}      # noqa: E731
        until(lambda: "49301" in stored(), "row behind those that are refused", 30)
        assert stored() == {"49301"}
        filed = [path.read_text() for path in (fresh.where / "failed").glob("*_cdr_table_a_leg.csv")]
        for number in ("4930123", "66"):
            assert any(f"'{number}'" in text for text in filed), (number, filed)
        assert postgres.ask("SELECT count(*) FROM odbc_cdr_position", "cdr") == [["1"]]
    finally:
        postgres.stop()
