"""Scripts in Lua: what a caller hears of them, what they record, whom they call, what they answer, and hostile ones."""
import re

import pytest

from harness.ear import FAR, MUSIC, NEAR, caller, dial, hears, run, talk
from harness.services import until

FILE = 700


@pytest.fixture
def script(tmp_path):
    """Writes a script; its path."""
    def write(text, name="script"):
        path = tmp_path / f"{name}.lua"
        path.write_text(text)
        return path
    return write


def tone(hz, seconds=1):
    return f"tone_stream://%({seconds * 1000},0,{hz})"


def none_runs(switch):
    until(lambda: switch.api("lua_scripts count").strip() == "0", "end of all scripts", 20)


def test_a_caller_hears_a_script_before_in_and_after_its_application(site, esl, script):
    path = script(f"""
        session:streamFile("{tone(FILE, 2)}")
        session:execute("playback", "{tone(MUSIC, 2)}")
        session:streamFile("{tone(FAR, 2)}")
        session:setVariable("said", argv[1] .. "/" .. argv[2])
    """)
    near, uuid = caller(site, esl)
    run(esl, uuid, f"lua:{path} one two", "playback:" + tone(1700, 2), "park")
    for hz in (FILE, MUSIC, FAR, 1700):
        hears(near, hz)
    esl.wait_event("CHANNEL_PARK", Unique_ID=uuid)
    assert esl.api(f"uuid_getvar {uuid} said") == "one/two"
    near.hangup()


def test_a_key_breaks_what_a_script_plays(site, esl, script):
    path = script(f"""
        function key(s, kind, digit, arg)
            s:setVariable("pressed", kind .. digit.digit)
            return digit.digit == "5" and "break" or "true"
        end
        session:setInputCallback("key")
        session:streamFile("{tone(FILE, 60)}")
        session:unsetInputCallback()
        session:streamFile("{tone(MUSIC, 3)}")
    """)
    near, uuid = caller(site, esl)
    run(esl, uuid, f"lua:{path}", "park")
    hears(near, FILE)
    near.rtp.digits("4")
    until(lambda: esl.api(f"uuid_getvar {uuid} pressed") == "dtmf4", "first key")
    hears(near, FILE)
    near.rtp.digits("5")
    hears(near, MUSIC)
    assert esl.api(f"uuid_getvar {uuid} pressed") == "dtmf5"
    near.hangup()


def test_a_script_records_a_caller_and_plays_it_back(site, esl, script, tmp_path):
    sound = tmp_path / "said.wav"
    path = script(f"""
        session:setVariable("recorded", tostring(session:recordFile("{sound}", 2, 0, 0)))
        while session:ready() do session:streamFile("{sound}") end
    """)
    near, uuid = caller(site, esl)
    near.rtp.tone(NEAR)
    run(esl, uuid, f"lua:{path}")
    esl.wait_event("RECORD_STOP", Unique_ID=uuid)
    hears(near, NEAR)
    assert esl.api(f"uuid_getvar {uuid} recorded") == "1.0"
    near.hangup()
    none_runs(site.switch)


def test_a_script_calls_somebody_and_bridges_the_two(site, esl, script):
    phone = site.phone()
    path = script(f"""
        session:streamFile("{tone(FILE)}")
        local other = freeswitch.Session("{{ignore_early_media=true}}{dial(phone)}", session)
        if other:ready() then freeswitch.bridge(session, other) end
        session:setVariable("came_to", other:hangupCause())
        session:streamFile("{tone(MUSIC, 3)}")
    """)
    near, uuid = caller(site, esl)
    run(esl, uuid, f"lua:{path}", "park")
    hears(near, FILE, frames=5)
    far = phone.accept()
    far.answer()
    talk(near, far)
    far.hangup()
    hears(near, MUSIC)
    esl.wait_event("CHANNEL_PARK", Unique_ID=uuid)
    assert esl.api(f"uuid_getvar {uuid} came_to") == "SUCCESS"
    near.hangup()


def test_hostile_scripts_are_heard_of_in_no_call(site, esl, script):
    eats = script('local t = {} while true do t[#t + 1] = string.rep("x", 100000) .. #t end', "eats")
    turns = script("while true do pcall(function() while true do end end) end", "turns")
    waits = script("freeswitch.msleep(600000)", "waits")
    near, uuid = caller(site, esl)
    run(esl, uuid, "playback:" + tone(FILE, 600))
    hears(near, FILE)
    assert esl.api(f"lua {eats}") == "-ERR Cannot execute script\n"
    said = [esl.api(f"luarun {waits}") for _ in range(1200)]
    assert said.count("+OK\n") == 1000 and all(re.match(r"\+OK|-ERR 1000 scripts run", line) for line in said)
    hears(near, FILE)
    ids = [line.split(",")[0] for line in esl.api("lua_scripts list").splitlines() if line.endswith("waits.lua")]
    for number in ids:
        assert esl.api(f"lua_scripts kill {number}") == "+OK\n"
    none_runs(site.switch)
    assert esl.api(f"luarun {turns}") == "+OK\n"
    hears(near, FILE)
    (number,) = [line.split(",")[0] for line in esl.api("lua_scripts list").splitlines() if line.endswith("turns.lua")]
    assert esl.api(f"lua_scripts kill {number}") == "+OK\n"
    none_runs(site.switch)
    hears(near, FILE)
    near.hangup()


HANDLER = """
local number = params and params:getHeader("Hunt-Destination-Number") or ""
if XML_REQUEST.section == "dialplan" and number == "made" then
    XML_STRING = [[<document type="freeswitch/xml"><section name="dialplan"><context name="public"><extension name="made">
        <condition><action application="answer"/><action application="playback" data="%s"/></condition>
        </extension></context></section></document>]]
elseif XML_REQUEST.section == "directory" and XML_REQUEST.key_value == "made.test" then
    XML_STRING = [[<document type="freeswitch/xml"><section name="directory"><domain name="made.test"><user id="77">
        <params><param name="password" value="of-77"/></params></user></domain></section></document>]]
elseif XML_REQUEST.key_value == "broken.test" then
    error("cannot say")
end
"""


def test_the_configuration_starts_hooks_handlers_dialplans_and_modules(fresh, tmp_path):
    scripts = tmp_path / "own"
    scripts.mkdir()
    (scripts / "words.lua").write_text('return { greeting = "hello" }')
    (scripts / "startup.lua").write_text('freeswitch.setGlobalVariable("started", require("words").greeting .. argv[1])')
    (scripts / "hook.lua").write_text('freeswitch.setGlobalVariable("hooked", event:getHeader("Word"))')
    (scripts / "handler.lua").write_text(HANDLER % tone(FILE, 30))
    (scripts / "plan.lua").write_text(f'ACTIONS = {{ "answer", {{ "playback", "{tone(MUSIC, 30)}" }} }}')
    (fresh.conf / "autoload_configs/lua.conf.xml").write_text(f"""<configuration name="lua.conf"><settings>
        <param name="script-directory" value="{scripts}/?.lua"/>
        <param name="startup-script" value="{scripts}/startup.lua 1"/>
        <param name="xml-handler-script" value="{scripts}/handler.lua"/>
        <param name="xml-handler-bindings" value="dialplan|directory"/>
        <hook event="CUSTOM" subclass="own::word" script="{scripts}/hook.lua"/></settings></configuration>""")
    switch = fresh.start().switch
    asked = lambda name: switch.api(f"global_getvar {name}")  # noqa: E731
    until(lambda: asked("started") == "hello1", "startup script")
    with fresh.esl() as esl:
        esl.command("sendevent CUSTOM\nEvent-Subclass: own::word\nWord: heard")
    until(lambda: asked("hooked") == "heard", "hook")
    assert switch.api("user_data 77@made.test param password") == "of-77"
    assert switch.api("user_exists id 77 broken.test") == "false"
    call = fresh.phone().invite("made")
    call.wait(200)
    hears(call, FILE)
    with fresh.esl() as esl:
        uuid = re.search(r"^([0-9a-f-]{36}),", esl.api("show channels"), re.M)[1]
        assert esl.api(f"uuid_transfer {uuid} any LUA {scripts}/plan.lua").startswith("+OK")
        hears(call, MUSIC)
    call.hangup()
    parked = fresh.phone().invite("park")
    parked.wait(200)
    parked.hangup()


def test_the_log_says_what_of_a_script_failed(site, script):
    path = script("local t = nil\nreturn t.x", "fails")
    assert site.switch.api(f"lua {path} a b") == "-ERR Cannot execute script\n"
    assert site.switch.api("lua ~stream:write(1 + 1)") == "2"
    until(lambda: "fails.lua:2: attempt to index a nil value (local 't')" in site.switch.said(200), "line and traceback", 10)
