"""Tones in a call's audio, and what they lead to."""
from harness import audio


def caller(site, esl):
    call = site.phone().invite("park")
    call.wait(200)
    return call, esl.wait_event("CHANNEL_PARK").event["Unique-ID"]


def start(esl, text):
    job = esl.command("bgapi originate " + text).headers["Job-UUID"]
    return lambda: esl.wait_event("BACKGROUND_JOB", **{"Job-UUID": job}).event_body


def test_a_tone_is_told_and_runs_an_application(site, esl):
    near, uuid = caller(site, esl)
    reply = esl.api(f"uuid_transfer {uuid} 'm:^:set:execute_on_tone_detect=set hooked=yes^tone_detect:fax 1100 r +30 set heard=yes 2^park' inline")
    assert reply == "+OK\n"
    esl.wait_event("CHANNEL_PARK", Unique_ID=uuid)
    near.rtp.tone(1100)
    assert esl.wait_event("DETECTED_TONE").event["Detected-Tone"] == "fax"
    for name in ("heard", "hooked"):
        esl.wait_event("CHANNEL_EXECUTE_COMPLETE", **{"Unique-ID": uuid, "Application-Data": f"{name}=yes"})
        assert esl.api(f"uuid_getvar {uuid} {name}") == "yes"
    assert esl.api(f"uuid_getvar {uuid} tone_detect_fax_total_time").isdigit()
    near.hangup()


def test_a_command_begins_to_listen_for_a_tone(site, esl):
    near, uuid = caller(site, esl)
    assert esl.api(f"tone_detect {uuid} beep 1000 r") == "+OK Enabling tone detection 'beep' '1000' 'r'\n"
    assert "<function>tone_detect</function>\n  <target>beep</target>" in esl.api(f"uuid_buglist {uuid}")
    near.rtp.tone(1000)
    assert esl.wait_event("DETECTED_TONE").event["Detected-Tone"] == "beep"
    assert esl.api("tone_detect nobody beep 1000") == "-ERR Cannot locate session!\n"
    assert esl.api("tone_detect").startswith("-USAGE: <uuid> <key> <tone_spec> ")
    near.hangup()


def test_a_busy_tone_in_early_media_is_a_failure(site, esl):
    phone = site.phone()
    outcome = start(esl, f"{{monitor_early_media_fail=USER_BUSY:1:480}}sofia/open/{phone.user}@{phone.ip}:{phone.port} &park")
    call = phone.accept()
    call.progress()
    call.rtp.tone(480)
    assert outcome() == "-ERR USER_BUSY\n"
    call.wait_end()


def test_a_ringing_tone_in_early_media_is_ringing(site, esl):
    phone = site.phone()
    outcome = start(esl, f"{{monitor_early_media_ring=1:440}}sofia/open/{phone.user}@{phone.ip}:{phone.port} &park")
    call = phone.accept()
    call.progress()
    esl.wait_event("CHANNEL_PROGRESS_MEDIA")
    call.rtp.tone(440)
    reply = outcome()
    assert reply.startswith("+OK "), reply
    esl.api(f"uuid_kill {reply.split()[1]}")
    call.wait_end()


def test_listening_for_a_tone_ends_when_that_is_asked_for(site, esl):
    near, uuid = caller(site, esl)
    esl.api(f"tone_detect {uuid} first 1000 r")
    assert "<function>tone_detect</function>" in esl.api(f"uuid_buglist {uuid}")
    esl.execute(uuid, "stop_tone_detect")
    esl.wait_event("CHANNEL_EXECUTE_COMPLETE", timeout=20, Unique_ID=uuid, Application="stop_tone_detect")
    assert "<function>tone_detect</function>" not in esl.api(f"uuid_buglist {uuid}")
    near.rtp.say(audio.sine(1000, 1))
    near.rtp._wait("all said", lambda: not near.rtp.once, 60)
    # One that begins later hears what comes later, and is the first that is told.
    esl.api(f"tone_detect {uuid} second 1400 r")
    near.rtp.tone(1400)
    assert esl.wait_event("DETECTED_TONE", timeout=20).event["Detected-Tone"] == "second"
    near.hangup()


def test_a_tone_is_told_as_often_as_asked_and_no_more(site, esl):
    near, uuid = caller(site, esl)
    esl.api(f"tone_detect {uuid} once 1000 r")
    near.rtp.tone(1000)
    assert esl.wait_event("DETECTED_TONE", timeout=20).event["Detected-Tone"] == "once"
    near.rtp.tone(None)
    near.rtp.say([0] * 8000 + list(audio.sine(1000, 1)) + [0] * 4000)
    near.rtp._wait("all said", lambda: not near.rtp.once, 60)
    esl.api(f"tone_detect {uuid} other 1400 r")
    near.rtp.tone(1400)
    assert esl.wait_event("DETECTED_TONE", timeout=20).event["Detected-Tone"] == "other"
    near.hangup()
