"""mod_callcenter's state in a real PostgreSQL: kept through a restart and a kill in the middle of a queue."""
import pytest

from harness import office, services
from harness.ear import MUSIC, hears, talk
from harness.services import until

PORT = 70

pytestmark = pytest.mark.skipif(services.needs("postgres", "initdb", "psql") is not None, reason="PostgreSQL is not installed")


@pytest.fixture
def database(fresh):
    database = services.Postgres(fresh.block[PORT]).start()
    database.ask("CREATE DATABASE queues")
    yield database
    database.stop()


@pytest.fixture
def site(fresh, database):
    office.with_modules(fresh.conf, "mod_callcenter")
    dsn = f"pgsql://hostaddr=127.0.0.1 port={database.port} dbname=queues user=switch"
    office.callcenter_conf(fresh.conf, [office.queue("help", discard_abandoned_after=3)], f'<param name="odbc-dsn" value="{dsn}"/>')
    office.with_extensions(fresh.conf, {"queue-(\\w+)": [("callcenter", "$1"), *office.AFTERWARDS]})
    fresh.start()
    return fresh


def agents(database):
    return database.ask("SELECT name, type, status, state, wrap_up_time FROM agents ORDER BY name", "queues")


def members(database):
    return [row[0] for row in database.ask("SELECT state FROM members ORDER BY joined_epoch", "queues")]


def call_in(site):
    near = site.phone().invite("queue-help")
    near.wait(200)
    hears(near, MUSIC)
    return near


def serve(site, phone, near):
    far = phone.accept(office.PATIENCE)
    far.answer()
    talk(near, far)
    far.hangup()
    near.wait_end(office.PATIENCE)


def set_up(site, phone):
    """Two agents, one of whom is away."""
    with site.esl(timeout=office.PATIENCE) as esl:
        desk = office.Desk(esl)
        desk.agent("ann", phone, wrap_up_time=1)
        desk.agent("ben", site.phone(), status="On Break", position=2)


WANTED = [["ann", "callback", "Available", "Waiting", "1"], ["ben", "callback", "On Break", "Waiting", "0"]]


def test_agents_and_tiers_outlive_a_restart(site, database):
    phone = site.phone()
    set_up(site, phone)
    serve(site, phone, call_in(site))
    until(lambda: agents(database) == WANTED, "agents in the table")
    until(lambda: members(database) == [], "no caller in the table")
    assert database.ask("SELECT agent, level, position FROM tiers ORDER BY agent", "queues") == [["ann", "1", "1"], ["ben", "1", "2"]]
    answered = database.ask("SELECT calls_answered FROM agents WHERE name = 'ann'", "queues")
    assert answered == [["1"]]
    site.switch.stop(remove=False)
    site.start()
    assert agents(database) == WANTED
    serve(site, phone, call_in(site))
    until(lambda: database.ask("SELECT calls_answered FROM agents WHERE name = 'ann'", "queues") == [["2"]], "count of calls")
    until(lambda: members(database) == [], "no caller in the table")
    assert not site.settle()


def test_agents_are_free_and_callers_gone_after_a_kill_in_the_middle_of_calls(site, database):
    phone = site.phone()
    set_up(site, phone)
    talking, waiting = call_in(site), None
    far = phone.accept(office.PATIENCE)
    far.answer()
    talk(talking, far)
    waiting = call_in(site)
    until(lambda: members(database) == ["Answered", "Waiting"], "callers in the table")
    until(lambda: agents(database)[0][3] == "In a queue call", "agent's state in the table")
    site.switch.process.kill()
    site.switch.process.wait()
    for dead in (talking, waiting, far):
        dead.rtp.close()
    site.start()
    until(lambda: agents(database) == WANTED, "free agents")
    # Those who are gone are shown as such, and then no more.
    until(lambda: members(database) == [], "no caller in the table")
    serve(site, phone, call_in(site))
    until(lambda: members(database) == [], "no caller in the table")
    assert not site.settle()


def test_calls_are_served_while_the_database_is_away(site, database):
    phone = site.phone()
    set_up(site, phone)
    until(lambda: agents(database) == WANTED, "agents in the table")
    database.kill()
    serve(site, phone, call_in(site))
    database.start()
    serve(site, phone, call_in(site))
    until(lambda: database.ask("SELECT calls_answered FROM agents WHERE name = 'ann'", "queues") == [["2"]], "count of calls")
    until(lambda: members(database) == [], "no caller in the table")
    assert not site.settle()
