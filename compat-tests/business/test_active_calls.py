"""The tables beside call records: `active_calls` as calls come and go, and `extensions` with users from the shipped seed."""
import hashlib
import sqlite3
import subprocess

import pytest

from harness import services, tree
from harness.services import until
from harness.switch import ROOT

PORT = 70
DOMAIN = "test.example"
SEED = ROOT / "deploy/sql/seed_sip_users.sql"
SQLITE = """<configuration name="cdr_sqlite.conf"><settings>
  <param name="db-name" value="{where}/cdr.db"/><param name="legs" value="a"/><param name="active-calls" value="{active}"/>
</settings></configuration>"""
PGSQL = """<configuration name="cdr_pg_csv.conf"><settings>
  <param name="db-info" value="host=127.0.0.1 port={port} user=switch dbname=cdr connect_timeout=5"/>
  <param name="legs" value="a"/><param name="active-calls" value="true"/>
</settings></configuration>"""
USERS = """<configuration name="http_api.conf"><settings>
  <param name="listen-port" value="{http}"/><param name="extensions-dsn" value="{dsn}"/>
</settings><api-keys><api-key name="wall" sha256="{key}" scopes="system:read"/></api-keys></configuration>"""
ROWS = "SELECT call_id, from_number, to_number, status, start_time IS NOT NULL, answer_time IS NOT NULL FROM active_calls ORDER BY start_time"

needs_postgres = pytest.mark.skipif(services.needs("postgres", "initdb", "psql") is not None, reason="PostgreSQL is not installed")


def configure(fresh, text, *modules):
    (fresh.conf / "autoload_configs/tables.conf.xml").write_text(f"<include>\n{text}\n</include>\n")
    list_ = fresh.conf / "autoload_configs/modules.conf.xml"
    loads = "".join(f'<load module="{name}"/>' for name in modules)
    list_.write_text(list_.read_text().replace("</modules>", f"{loads}</modules>"))
    return fresh


class File:
    """An SQLite database, asked as PostgreSQL's is here: rows as lists of text."""

    def __init__(self, path):
        self.path = path

    def ask(self, sql, _database=None):
        if not self.path.exists():
            return None
        with sqlite3.connect(self.path, timeout=10) as db:
            try:
                found = [[str(value) for value in row] for row in db.execute(sql)]
            except sqlite3.OperationalError:
                return None         # the table is being made
        db.close()
        return found


@pytest.fixture
def database(fresh):
    database = services.Postgres(fresh.block[PORT]).start()
    database.ask("CREATE DATABASE cdr")
    yield database
    database.stop()


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=needs_postgres)])
def shown(request, fresh):
    """A server that keeps `active_calls`, and its database."""
    if request.param == "sqlite":
        configure(fresh, SQLITE.format(where=fresh.where, active="true"), "mod_cdr_sqlite")
        return fresh.start(), File(fresh.where / "cdr.db")
    database = request.getfixturevalue("database")
    configure(fresh, PGSQL.format(port=database.port), "mod_cdr_pg_csv")
    return fresh.start(), database


def statuses(database):
    rows = database.ask("SELECT status FROM active_calls ORDER BY start_time", "cdr")
    return None if rows is None else [status for (status,) in rows]


def until_statuses(database, wanted):
    until(lambda: statuses(database) == wanted, f"rows {wanted}")


def test_rows_come_with_calls_and_go_with_them(shown):
    site, database = shown
    until_statuses(database, [])
    assert database.ask("SELECT * FROM extensions", "cdr") == []
    call = site.phone(user="o'b')--").invite("park")
    call.wait(200)
    until_statuses(database, ["answered"])
    (uuid, caller, dialled, _, start, answer), = database.ask(ROWS, "cdr")
    assert (caller, dialled) == ("o'b')--", "park") and start in ("1", "t") and answer == start
    assert site.switch.api(f"uuid_exists {uuid}").strip() == "true"
    assert database.ask("SELECT node FROM active_calls", "cdr") == [[site.switch.api("switchname").strip()]]
    rings = site.phone(user="bob").invite("ring")
    rings.wait(180)
    until_statuses(database, ["answered", "ringing"])
    assert database.ask(ROWS, "cdr")[1][1:4] == ["bob", "ring", "ringing"] and database.ask(ROWS, "cdr")[1][5] in ("0", "f")
    assert site.switch.api(f"uuid_hold {uuid}").startswith("+OK")
    until_statuses(database, ["held", "ringing"])
    call.hangup()
    until_statuses(database, ["ringing"])
    rings.cancel()
    until_statuses(database, [])


def test_rows_of_a_process_that_was_killed_go_with_the_next_start(shown):
    site, database = shown
    calls = [site.phone().invite("park") for _ in range(3)]
    for call in calls:
        call.wait(200)
    until_statuses(database, ["answered"] * 3)
    elsewhere = "INSERT INTO active_calls VALUES ('other', '1', '2', 'ringing', '2026-01-01 00:00:00', NULL, 'another node')"
    assert database.ask(elsewhere, "cdr") is not None
    site.switch.process.kill()
    site.switch.process.wait()
    for phone in site.phones:
        phone.close()
    site.phones.clear()
    site.start()
    until_statuses(database, ["ringing"])
    # An orderly end takes its rows along, and leaves those of others.
    call = site.phone().invite("park")
    call.wait(200)
    until_statuses(database, ["ringing", "answered"])
    site.switch.stop(remove=False)
    until_statuses(database, ["ringing"])


@needs_postgres
def test_a_database_that_is_away_slows_no_call_and_is_told_the_truth_afterwards(fresh, database):
    site = configure(fresh, PGSQL.format(port=database.port), "mod_cdr_pg_csv").start()
    stays, goes = (site.phone(user=user).invite("park") for user in ("stays", "goes"))
    stays.wait(200)
    goes.wait(200)
    until_statuses(database, ["answered"] * 2)
    database.kill()
    goes.hangup()
    comes = site.phone(user="comes").invite("park")
    comes.wait(200)
    until(lambda: "active_calls cannot be written" in site.switch.said(400), "line of the log")
    database.start()
    until(lambda: sorted(row[1] for row in database.ask(ROWS, "cdr") or []) == ["comes", "stays"], "the calls there are")
    stays.hangup()
    comes.hangup()
    until_statuses(database, [])


def test_without_the_parameter_nothing_is_written(fresh):
    site = configure(fresh, SQLITE.format(where=fresh.where, active="false"), "mod_cdr_sqlite").start()
    database = File(fresh.where / "cdr.db")
    call = site.phone().invite("park")
    call.wait(200)
    until(lambda: database.ask("SELECT 1 FROM active_calls") == [], "the table")
    call.hangup()
    until(lambda: database.ask("SELECT call_id FROM call_logs"), "row of call_logs")
    assert database.ask("SELECT * FROM active_calls") == []


def seed(database, *variables):
    words = [word for variable in variables for word in ("-v", variable)]
    return subprocess.run([services.find("psql"), "-h", "127.0.0.1", "-p", str(database.port), "-U", "switch", "-d", "cdr", "-AtqX", "-F", "\t", *words, "-f", str(SEED)],
                          capture_output=True, text=True)


@needs_postgres
def test_users_of_the_shipped_seed_register(fresh, database):
    dsn = f"pgsql://host=127.0.0.1 port={database.port} user=switch dbname=cdr connect_timeout=5"
    site = configure(fresh, PGSQL.format(port=database.port) + USERS.format(http=fresh.block[tree.HTTP], dsn=dsn, key="0" * 64), "mod_cdr_pg_csv", "mod_http_api").start()
    until(lambda: database.ask("SELECT 1 FROM extensions", "cdr") is not None, "table of users")
    assert seed(database).returncode != 0           # no domain, no users
    run = seed(database, f"domain={DOMAIN}", "first=3000", "last=3004")
    assert run.returncode == 0, run.stderr
    made = [line.split("\t") for line in run.stdout.splitlines() if line]
    assert [row[0] for row in made] == [str(number) for number in range(3000, 3005)]
    assert len({row[2] for row in made}) == 5 and all(len(row[2]) == 32 for row in made)
    assert site.phone(tree.AUTH, user="3000", password=made[0][2], domain=DOMAIN).register().status == 200
    assert site.phone(tree.AUTH, user="3001", password=made[0][2], domain=DOMAIN).register().status == 403
    assert site.switch.api(f"user_data 3002@{DOMAIN} var effective_caller_id_name").strip() == "Extension 3002"
    # Once more: those who are there keep their passwords, and only new ones are shown.
    again = seed(database, f"domain={DOMAIN}", "first=3004", "last=3005")
    assert [line.split("\t")[0] for line in again.stdout.splitlines() if line] == ["3005"]
    # Without passwords in clear, and switched off.
    hashes = "UPDATE extensions SET a1_hash = md5(extension || ':' || domain || ':' || password), password = NULL WHERE extension = '3003'"
    assert database.ask(hashes, "cdr") is not None
    assert site.phone(tree.AUTH, user="3003", password=made[3][2], domain=DOMAIN).register().status == 200
    assert database.ask("UPDATE extensions SET enabled = false WHERE extension = '3004'", "cdr") is not None
    assert site.phone(tree.AUTH, user="3004", password=made[4][2], domain=DOMAIN).register().status in (403, 404)


def test_users_of_the_table_in_sqlite_register(fresh):
    users = USERS.format(http=fresh.block[tree.HTTP], dsn=f"sqlite://{fresh.where}/cdr.db", key="0" * 64)
    site = configure(fresh, SQLITE.format(where=fresh.where, active="false") + users, "mod_cdr_sqlite", "mod_http_api").start()
    database = File(fresh.where / "cdr.db")
    until(lambda: database.ask("SELECT 1 FROM extensions") == [], "table of users")
    digest = hashlib.md5(f"3000:{DOMAIN}:a password".encode()).hexdigest()
    assert database.ask(f"INSERT INTO extensions (extension, domain, a1_hash) VALUES ('3000', '{DOMAIN}', '{digest}')") == []
    assert site.phone(tree.AUTH, user="3000", password="a password", domain=DOMAIN).register().status == 200
