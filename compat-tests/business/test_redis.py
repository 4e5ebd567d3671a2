"""mod_hiredis with a real Redis: commands, limits of two switches together, calls as keys, speech that is shared, and a server that is killed under load."""
import json
import pathlib
import threading

import pytest

from conftest import Site
from harness import services, tree
from harness.services import until

pytestmark = pytest.mark.skipif(not services.Redis.is_installed(), reason="neither Redis nor Valkey is installed")

REDIS = 72
CONF = """<include>
<configuration name="hiredis.conf">
<profiles><profile name="default">
  <connections>
    <connection name="closed"><param name="hostname" value="127.0.0.1"/><param name="port" value="{closed}"/><param name="timeout_ms" value="2000"/></connection>
    <connection name="real"><param name="hostname" value="127.0.0.1"/><param name="port" value="{port}"/><param name="password" value="{password}"/>
      <param name="timeout-ms" value="5000"/></connection>
  </connections>
  <params>{params}</params>
</profile></profiles>
</configuration>
</include>"""
DIALPLAN = """<include>
<context name="counted">
  <extension name="together"><condition field="destination_number" expression="^together$">
    <action application="limit" data="hiredis default trunk 1 !USER_BUSY"/>
    <action application="answer"/><action application="park"/></condition></extension>
  <extension name="raw"><condition field="destination_number" expression="^raw$">
    <action application="hiredis_raw" data="default set from '${caller_id_number}'"/>
    <action application="answer"/><action application="park"/></condition></extension>
  <extension name="brief"><condition field="destination_number" expression="^brief$">
    <action application="limit" data="hiredis default brief 100 !USER_BUSY"/>
    <action application="answer"/><action application="hangup"/></condition></extension>
</context>
</include>"""
OPEN_DURING_OUTAGE = '<param name="ignore-connect-fail" value="true"/>'
SPEECH = '<param name="tts-cache" value="true"/><param name="key-prefix" value="fs:"/><param name="tts-cache-timeout-ms" value="5000"/>'
DELETES = '<param name="delete-when-zero" value="true"/>'
STATE = '<param name="call-state" value="true"/><param name="key-prefix" value="fs:"/>'


def prepare(site, port, params):
    text = CONF.format(port=port, closed=site.block[tree.HTTP], password=services.Redis.PASSWORD, params=params)
    (site.conf / "autoload_configs/hiredis.conf.xml").write_text(text)
    (site.conf / "dialplan/counted.xml").write_text(DIALPLAN)
    modules = site.conf / "autoload_configs/modules.conf.xml"
    modules.write_text(modules.read_text().replace("</modules>", '<load module="mod_hiredis"/></modules>'))
    return site.start()


@pytest.fixture
def redis(fresh, tmp_path):
    redis = services.Redis(tmp_path / "redis", fresh.block[REDIS])
    try:
        yield redis.start()
    finally:
        redis.stop()


def dial(site, number):
    return site.switch.api(f"originate loopback/{number}/counted &park")


def test_commands_and_what_they_reply(fresh, redis):
    site = prepare(fresh, redis.port, "")
    api = site.switch.api
    assert api("hiredis_raw default set one 'two words'") == "OK"
    assert api("hiredis_raw default get one") == "two words" == redis.ask("get", "one")
    assert api("hiredis_raw default incr count") == "1"
    # Nil is no output; errors look as if there were no such command (reference behaviour).
    assert api("hiredis_raw default get nothing") == "-ERR no reply\n"
    for wrong in ("default no_such_command", "default incr one", "default keys *", "elsewhere get one", "default subscribe x", "default"):
        assert api(f"hiredis_raw {wrong}") == "-ERR hiredis_raw Command not found!\n", wrong
    assert redis.ask("get", "one") == "two words"
    assert dial(site, "raw").startswith("+OK")
    rows = until(lambda: json.loads(api("show channels as json")).get("rows"), "call")
    response = [api(f"uuid_getvar {row['uuid']} hiredis_raw_response") for row in rows]
    assert "OK" in response
    api("hupall")
    site.switch.wait_idle()


def test_a_far_ends_words_stay_one_value(fresh, redis):
    site = prepare(fresh, redis.port, "")
    reply = site.switch.api("originate {origination_caller_id_number='1 2 3'}loopback/raw/counted &park")
    assert reply.startswith("+OK"), reply
    assert until(lambda: redis.ask("get", "from"), "value") == "1 2 3"
    site.switch.api("hupall")


def test_two_switches_share_a_limit(fresh, redis, tmp_path):
    one = prepare(fresh, redis.port, DELETES)
    (tmp_path / "second").mkdir()
    two = Site(tmp_path / "second", tree.small)
    try:
        prepare(two, redis.port, DELETES)
        first = dial(one, "together")
        assert first.startswith("+OK")
        assert until(lambda: redis.ask("get", "trunk") == "1", "count")
        assert dial(two, "together") == "-ERR USER_BUSY\n" == dial(one, "together")
        assert two.switch.api("limit_usage hiredis default trunk") == "1"
        assert two.switch.api("limit_status hiredis") == "-ERR not supported"
        assert two.switch.api("limit_reset hiredis") == "-ERR"
        assert two.switch.api("limit_usage hiredis elsewhere trunk") == "-1"
        one.switch.api("hupall")
        assert until(lambda: redis.ask("exists", "trunk") == "0", "place given back")
        assert dial(two, "together").startswith("+OK")
        # A transfer gives the place back, and the dialplan takes it again.
        channels = json.loads(two.switch.api("show channels as json"))["rows"]
        counted = next(c["uuid"] for c in channels if two.switch.api(f"uuid_getvar {c['uuid']} limit_backend") == "hiredis")
        assert two.switch.api(f"uuid_transfer {counted} together XML counted").startswith("+OK")
        assert until(lambda: redis.ask("get", "trunk") == "1", "count")
        two.switch.api("hupall")
        assert until(lambda: redis.ask("exists", "trunk") == "0", "place given back")
        # Calls per time: the key carries the interval and expires with it.
        uuid = one.switch.api("originate null/x &park").split()[1]
        assert one.switch.api(f"uuid_limit {uuid} hiredis default rate 5/3600") == "+OK"
        key = redis.ask("keys", "rate_*")
        assert redis.ask("get", key) == "1" and 0 < int(redis.ask("ttl", key)) <= 3600
        one.switch.api("hupall")
    finally:
        two.close()


def test_calls_are_keys_and_messages(fresh, redis):
    site = prepare(fresh, redis.port, STATE)
    listener = redis.listen("fs:call-events")
    try:
        carrier = site.carrier()
        call = site.phone(user="alice").invite("carrier-77")
        leg = carrier.accept()
        leg.answer()
        call.wait(200)
        sessions = until(lambda: len(found := redis.ask("keys", "fs:session:*").split()) == 2 and found, "sessions")
        a, b = sorted((redis.table(key) for key in sessions), key=lambda table: table["direction"])

        def bridged():
            return [redis.table(f"fs:session:{leg['call_id']}").get("status") for leg in (a, b)] == ["bridged"] * 2

        until(bridged, "bridge")
        assert (a["from_number"], a["to_number"], a["room"], b["room"]) == ("alice", "carrier-77", a["call_id"], a["call_id"])
        room = f"fs:room:{a['call_id']}"
        assert set(redis.ask("smembers", room).split()) == {a["call_id"], b["call_id"]}
        assert 0 < int(redis.ask("ttl", room)) <= 300
        # A server that was restarted empty is told everything again.
        redis.kill()
        redis.start()
        until(bridged, "sessions written anew")
        call.hangup()
        ended = until(lambda: (table := redis.table(f"fs:session:{a['call_id']}")).get("status") == "ended" and table, "end")
        assert ended["cause"] == "NORMAL_CLEARING" and float(ended["end_time"]) >= float(ended["start_time"])
        assert until(lambda: redis.ask("exists", room) == "0", "empty room")
    finally:
        listener.kill()
        lines = listener.stdout.read().splitlines()
        listener.wait()
    told = [json.loads(line)["type"] for line in lines if line.startswith("{")]
    assert told[0] == "CALL_INIT" and "CALL_BRIDGED" in told


@pytest.mark.parametrize("ignored", [True, False])
def test_a_server_killed_under_load_delays_no_call(fresh, redis, ignored):
    site = prepare(fresh, redis.port, (OPEN_DURING_OUTAGE if ignored else "") + STATE)
    calls, busy, stop = [], [], threading.Event()

    def load():
        while not stop.is_set():
            reply = dial(site, "brief")
            if reply.startswith("+OK"):
                calls.append(reply)
            elif reply.startswith("-ERR USER_BUSY"):
                busy.append(reply)

    callers = [threading.Thread(target=load) for _ in range(2)]
    for caller in callers:
        caller.start()
    try:
        until(lambda: len(calls) >= 20, "calls with the server")
        redis.kill()
        without = calls if ignored else busy
        before = len(without)
        until(lambda: len(without) >= before + 20, "calls without it")
        redis.start()
        before = len(calls)
        until(lambda: len(calls) >= before + 20, "calls with it again")
    finally:
        stop.set()
        for caller in callers:
            caller.join()
    site.switch.wait_idle()
    # Nothing is left counted, however the outage fell between taking and giving back; and nothing is below zero.
    until(lambda: int(redis.ask("get", "brief") or 0) == 0, "count of nothing")
    assert site.switch.api("limit_usage hiredis default brief") == "0"


def speaking(site, folder):
    """An engine that notes each time it is asked, and says two seconds of noise while `folder/voice` is there."""
    line = f"echo x >> {folder}/asked; cat {folder}/voice; : ${{text}}".replace(">", "&gt;")
    (site.conf / "autoload_configs/tts.conf.xml").write_text(
        '<include>\n<configuration name="tts.conf"><engines><engine name="common"><param name="type" value="command"/><param name="response" value="raw"/>'
        f'<param name="response-rate" value="8000"/><param name="command" value="{line}"/></engine></engines></configuration>\n</include>')
    modules = site.conf / "autoload_configs/modules.conf.xml"
    if '"mod_tts"' not in modules.read_text():
        modules.write_text(modules.read_text().replace("</modules>", '<load module="mod_tts"/></modules>'))


def said(site):
    return json.loads(site.switch.api("tts " + json.dumps({"text": "good morning", "engine": "common"})))


def test_what_one_switch_said_the_other_says_without_its_engine(fresh, redis, tmp_path):
    voice, asked = tmp_path / "voice", tmp_path / "asked"
    noise = bytes(range(250)) * 128
    voice.write_bytes(noise)
    (tmp_path / "second").mkdir()
    two = Site(tmp_path / "second", tree.small)
    try:
        for site in (fresh, two):
            speaking(site, tmp_path)
            prepare(site, redis.port, SPEECH)
        first = said(fresh)
        assert first["cached"] is False, first
        one_file = pathlib.Path(first["file_path"])
        key = until(lambda: redis.ask("keys", "fs:tts_cache:*"), "speech kept")
        assert key == f"fs:tts_cache:{one_file.stem}"
        assert int(redis.ask("strlen", key)) == first["bytes"] and 0 < int(redis.ask("ttl", key)) <= 604800
        voice.unlink()
        second = said(two)
        two_file = pathlib.Path(second["file_path"])
        assert second["cached"] is True and two_file != one_file, second
        assert two_file.read_bytes() == one_file.read_bytes() and asked.read_text() == "x\n"
        # A call takes it from there, too.
        two_file.unlink()
        assert two.switch.api("originate null/x '&playback(tts://common||good morning)'").startswith("+OK")
        until(two_file.exists, "speech from the other switch")
        assert asked.read_text() == "x\n"
        two.switch.api("hupall")
        two.switch.wait_idle()
        # What is no audio is not played.
        redis.ask("set", key, "no audio at all")
        two_file.unlink()
        assert "error" in said(two) and not two_file.exists()
        # Without a server the engine works.
        voice.write_bytes(noise)
        redis.kill()
        assert said(two)["cached"] is False and two_file.exists()
    finally:
        two.close()
