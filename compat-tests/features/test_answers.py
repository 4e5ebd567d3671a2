"""Who answers and who talks: `amd`, `avmd`, conversations; and speech for programs (`tts`)."""
import json
import os
import pathlib
import shutil
import time

import pytest

from harness import audio


@pytest.fixture
def esl(site):
    client = site.esl()
    client.command("event plain ALL")
    yield client
    client.close()


def caller(site, esl):
    call = site.phone().invite("park")
    call.wait(200)
    return call, esl.wait_event("CHANNEL_PARK").event["Unique-ID"]


def called(site, esl):
    """A leg that the switch made."""
    phone = site.carrier()
    esl.command("bgapi originate sofia/gateway/carrier/100 &park()")
    call = phone.accept()
    call.answer()
    return call, esl.wait_event("CHANNEL_PARK").event["Unique-ID"]


def variable(esl, uuid, name):
    return esl.api(f"uuid_getvar {uuid} {name}")


def voice(seconds, hz=300, level=9000):
    """Sound that is a voice to whatever measures loudness, and no pure tone."""
    one, two = audio.sine(hz, seconds, level // 2), audio.sine(hz * 2.37, seconds, level // 2)
    return [a + b for a, b in zip(one, two)]


def silence(seconds):
    return [0] * int(seconds * 8000)


@pytest.mark.parametrize("said, result, cause", [
    (silence(0.3) + voice(0.6) + silence(2), "HUMAN", "HUMAN-"),
    (silence(0.3) + voice(4), "MACHINE", "LONGGREETING-"),
    ((voice(0.3) + silence(0.2)) * 5, "MACHINE", "MAXWORDS-"),
    (silence(4), "MACHINE", "INITIALSILENCE-"),
])
def test_amd_tells_people_from_machines(site, esl, said, result, cause):
    call, uuid = called(site, esl)
    call.rtp.say(said)
    esl.execute(uuid, "amd", "")
    done = esl.wait_event("CHANNEL_EXECUTE_COMPLETE", Unique_ID=uuid, Application="amd").event
    assert done["variable_amd_result"] == result and done["variable_amd_cause"].startswith(cause)
    event = esl.wait_event("CUSTOM", Event_Subclass="amd::info", Unique_ID=uuid).event
    assert event["AMD-Result"] == result
    call.hangup()


def test_avmd_hears_a_beep_and_no_voice(site, esl):
    call, uuid = called(site, esl)
    assert "started!" in esl.api(f"avmd {uuid} start")
    assert "already started" in esl.api(f"avmd {uuid} start")
    esl.wait_event("CUSTOM", Event_Subclass="avmd::start")
    esl.api(f"uuid_setvar {uuid} execute_on_avmd_beep set beeped=yes")
    call.rtp.say(voice(1.5) + silence(0.3) + audio.sine(1000, 0.5) + silence(0.3))
    beep = esl.wait_event("CUSTOM", Event_Subclass="avmd::beep").event
    assert beep["Unique-ID"] == uuid and abs(float(beep["Frequency"]) - 1000) < 10
    assert variable(esl, uuid, "avmd_detect") == "TRUE"
    until = time.monotonic() + 8
    while variable(esl, uuid, "beeped") != "yes" and time.monotonic() < until:
        time.sleep(0.05)
    assert variable(esl, uuid, "beeped") == "yes"
    assert "stopped" in esl.api(f"avmd {uuid} stop")
    assert esl.wait_event("CUSTOM", Event_Subclass="avmd::stop").event["Beep-Status"] == "DETECTED"
    assert "not yet been started" in esl.api(f"avmd {uuid} stop")
    call.hangup()
    call, uuid = caller(site, esl)
    assert "can't set direction" in esl.api(f"avmd {uuid} start"), "inbound legs are not listened to by default"
    call.hangup()


def test_a_conversation_is_measured_and_told(site, esl, tmp_path):
    near, uuid = caller(site, esl)
    phone = site.carrier()
    turns = tmp_path / "turns.jsonl"
    esl.api(f"uuid_setvar {uuid} conversation_turns_file {turns}")
    assert esl.api(f"uuid_transfer {uuid} bridge:sofia/gateway/carrier/100 inline").startswith("+OK")
    far = phone.accept()
    far.answer()
    esl.wait_event("CHANNEL_BRIDGE")
    assert esl.api(f"uuid_conversation {uuid}").startswith("-ERR")
    assert esl.api(f"uuid_conversation {uuid} start") == "+OK\n"
    near.rtp.say(voice(1.0))
    until = time.monotonic() + 8
    while json.loads(esl.api(f"uuid_conversation {uuid}"))["far_ms"] < 800 and time.monotonic() < until:
        time.sleep(0.05)
    time.sleep(0.7)
    far.rtp.say(voice(1.5))
    near.rtp.digits("1")
    until = time.monotonic() + 10
    while json.loads(esl.api(f"uuid_conversation {uuid}"))["near_ms"] < 500 and time.monotonic() < until:
        time.sleep(0.05)
    time.sleep(0.7)
    near.hangup()
    told = esl.wait_event("CUSTOM", Event_Subclass="switch::conversation", Unique_ID=uuid).event
    assert told["Conversation-Final"] == "true"
    end = esl.wait_event("CHANNEL_HANGUP_COMPLETE", Unique_ID=uuid).event
    figure = lambda name: int(end[f"variable_conversation_{name}"])
    assert 800 <= figure("far_ms") <= 1400 and 500 <= figure("near_ms") <= 1900
    assert figure("answer_ms") >= 500 and figure("far_turns") == figure("near_turns") == 1
    assert figure("digits") == 1 and figure("both_ms") == 0
    until = time.monotonic() + 8
    while (not turns.exists() or turns.read_text().count("\n") < 2) and time.monotonic() < until:
        time.sleep(0.05)
    assert [json.loads(line)["speaker"] for line in turns.read_text().splitlines()] == ["far", "near"]


def test_time_on_hold_is_told_and_its_music_is_no_talk(site, esl):
    near, uuid = caller(site, esl)
    phone = site.carrier()
    for name, value in (("hold_music", "tone_stream://%(20000,0,500)"), ("conversation_analytics", "true")):
        esl.api(f"uuid_setvar {uuid} {name} {value}")
    assert esl.api(f"uuid_transfer {uuid} bridge:sofia/gateway/carrier/100 inline").startswith("+OK")
    far = phone.accept()
    far.answer()
    other = esl.wait_event("CHANNEL_BRIDGE").event["Bridge-B-Unique-ID"]
    assert esl.api(f"uuid_conversation {other} start") == "+OK\n"
    figures = lambda: json.loads(esl.api(f"uuid_conversation {other}"))
    assert figures()["hold_ms"] == 0
    near.reinvite("sendonly")
    far.rtp.wait_tone(500, 1, timeout=20)
    until = time.monotonic() + 20
    while figures()["hold_ms"] < 1000 and time.monotonic() < until:
        time.sleep(0.05)
    near.reinvite("sendrecv")
    esl.wait_event("CHANNEL_UNHOLD", timeout=20)
    near.hangup()
    end = esl.wait_event("CHANNEL_HANGUP_COMPLETE", timeout=20, Unique_ID=other).event
    assert int(end["variable_conversation_hold_ms"]) >= 1000
    assert int(end["variable_conversation_near_ms"]) <= 400, "music is no talk"


@pytest.fixture
def voices(site, esl, tmp_path):
    """Engines of tts.conf: Piper's program, played by espeak-ng, and a service by HTTP that says what it was asked."""
    if not shutil.which("espeak-ng"):
        pytest.skip("SKIPPED: no espeak-ng")
    piper = tmp_path / "piper"
    piper.write_text('#!/bin/sh\n[ -f "$2" ] || exit 1\nexec espeak-ng --stdin --stdout\n')
    piper.chmod(0o755)
    (tmp_path / "amy.onnx").write_text("x")
    path = pathlib.Path(site.conf) / "autoload_configs" / "tts.conf.xml"
    path.write_text(f'<configuration name="tts.conf"><settings><param name="engine" value="p"/></settings><engines><engine name="p">'
                    f'<param name="program" value="{piper}"/><param name="voices-dir" value="{tmp_path}"/>'
                    f'<param name="voice" value="amy"/></engine></engines></configuration>')
    assert "+OK" in esl.api("reloadxml")
    until = time.monotonic() + 8
    while '"amy"' not in esl.api("tts voices") and time.monotonic() < until:
        time.sleep(0.05)
    yield
    path.unlink()
    esl.api("reloadxml")


def test_a_text_becomes_a_file_for_programs(site, esl, voices):
    listed = json.loads(esl.api("tts voices"))["engines"]
    assert listed == [{"engine": "p", "default": True, "default_voice": "amy", "voices": ["amy"]}]
    text = f"it's {int(time.time()) % 1000} $(touch /tmp/never) | x"
    made = json.loads(esl.api("tts " + json.dumps({"text": text})))
    assert (made["voice"], made["cached"]) == ("amy", False) and os.path.getsize(made["file_path"]) == made["bytes"] > 8000
    again = json.loads(esl.api("tts " + json.dumps({"text": text})))
    assert (again["file_path"], again["cached"]) == (made["file_path"], True)
    for asked in ("{}", "no json", '{"text":"x","engine":"nobody"}', '{"text":"x","voice":"../../etc/passwd"}',
                  '{"text":"x","rate":7}', json.dumps({"text": "x" * 6000})):
        assert "error" in json.loads(esl.api(f"tts {asked}")), asked[:60]
    call, uuid = caller(site, esl)
    esl.execute(uuid, "playback", made["file_path"])
    esl.execute(uuid, "speak", "p|amy|" + "one two three")
    for app in ("playback", "speak"):
        esl.wait_event("CHANNEL_EXECUTE_COMPLETE", Unique_ID=uuid, Application=app)
    assert sum(map(abs, call.rtp.samples())) > 200 * 8000
    call.hangup()


def test_tokens_and_passwords_of_arguments_are_in_no_log(site, esl):
    call, uuid = caller(site, esl)
    esl.command("log debug")
    esl.execute(uuid, "stream", "ws://user:hush1@127.0.0.1:1/x?token=hush2 token=hush3 headers={\"X-Any\":\"hush4\"}")
    assert esl.wait_event("CHANNEL_EXECUTE", Unique_ID=uuid, Application="stream").event["Application-Data"].count("hush") == 4
    esl.wait_event("CHANNEL_EXECUTE_COMPLETE", Unique_ID=uuid, Application="stream")
    esl.execute(uuid, "set", "STREAM_OPENAI_API_KEY=hush5")
    esl.wait_event("CHANNEL_EXECUTE_COMPLETE", Unique_ID=uuid, Application="set")
    assert variable(esl, uuid, "STREAM_OPENAI_API_KEY") == "hush5"
    esl.execute(uuid, "playback", "tone_stream://%(20000,0,700);token=hush6")
    esl.wait_event("CHANNEL_EXECUTE", Unique_ID=uuid, Application="playback")
    why = esl.api(f"why {uuid}")
    call.hangup()
    esl.wait_event("CHANNEL_HANGUP_COMPLETE", Unique_ID=uuid)
    logs = why + "".join(path.read_text(errors="replace") for path in site.switch.home.rglob("*.log"))
    assert "EXECUTE" in logs and "***" in logs and "hush" not in logs
