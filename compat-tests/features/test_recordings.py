"""What is in the files that calls leave, and what the caller hears meanwhile."""
from harness import audio
from harness.ear import FAR, NEAR, bridged, caller, dial, hears, run, talk


def wait_stop(esl, path, **headers):
    return esl.wait_event("RECORD_STOP", timeout=20, Record_File_Path=str(path), **headers).event


def seconds(hz, path):
    return audio.seconds_of(hz, audio.read_wav(path)[0])


def test_a_caller_who_is_recorded_hears_a_little_noise(site, esl):
    path = site.where / "noise.wav"
    call, uuid = caller(site, esl)
    run(esl, uuid, f"record:{path} 60")
    esl.wait_event("RECORD_START", Record_File_Path=str(path))
    since = len(call.rtp.packets)
    call.rtp.wait_packets(since + 50, timeout=20)
    heard = call.rtp.samples(since)
    assert any(heard) and max(map(abs, heard)) < 40, "noise, hardly to be heard"
    call.hangup()
    wait_stop(esl, path)


def test_no_noise_is_sent_where_none_is_wanted(site, esl):
    path = site.where / "none.wav"
    call, uuid = caller(site, esl)
    call.rtp.tone(440)
    run(esl, uuid, "set:record_waste_resources=false", f"record:{path} 60")
    esl.wait_event("RECORD_START", Record_File_Path=str(path))
    since = len(call.rtp.packets)
    call.rtp.digits("*")
    wait_stop(esl, path)
    assert len(call.rtp.packets) - since < 5, "nothing is sent to a caller who is recorded"
    call.hangup()


def test_a_recording_begins_with_its_indication(site, esl):
    path = site.where / "indicated.wav"
    call, uuid = caller(site, esl)
    run(esl, uuid, "set:record_indication=tone_stream://%(600,0,1000)", f"record:{path} 60")
    call.rtp.wait_tone(1000, timeout=20)
    call.rtp.tone(440)
    since = len(call.rtp.packets)
    call.rtp.wait_packets(since + 60, timeout=20)
    assert audio.seconds_of(1000, call.rtp.samples(since + 10)) < 0.3, "it is heard once"
    call.hangup()
    wait_stop(esl, path)
    assert seconds(440, path) > 0.3 and seconds(1000, path) == 0, "the file holds what the caller says alone"


def test_an_older_recording_is_written_over_and_what_is_left_of_it_stays(site, esl):
    path = site.where / "over.wav"
    audio.write_wav(path, audio.sine(800, 8))
    call, uuid = caller(site, esl)
    call.rtp.tone(440)
    run(esl, uuid, "set:RECORD_WRITE_OVER=true", f"record:{path} 60")
    esl.wait_event("RECORD_START", Record_File_Path=str(path))
    since = len(call.rtp.packets)
    call.rtp.wait_packets(since + 60, timeout=20)
    call.rtp.digits("*")
    wait_stop(esl, path)
    heard, _ = audio.read_wav(path)
    assert len(heard) == 8 * audio.RATE, "it is as long as it was"
    assert audio.seconds_of(440, heard[:audio.RATE]) > 0.5, "the new in the beginning"
    assert audio.seconds_of(800, heard[-audio.RATE:]) > 0.9, "the old after it"
    call.hangup()


def test_what_is_not_said_is_noise_in_the_file_where_that_is_asked_for(site, esl):
    path = site.where / "filled.wav"
    call, uuid = caller(site, esl)
    run(esl, uuid, "set:record_fill_cng=true", f"record:{path} 60")
    esl.wait_event("RECORD_START", Record_File_Path=str(path))
    call.rtp.open = False                           # no packets from here on
    call.rtp.sending.join(5)
    esl.api("msleep 1500")
    assert esl.api(f"uuid_break {uuid} all").startswith("+OK")
    wait_stop(esl, path)
    end = audio.read_wav(path)[0][-4000:]
    assert sum(1 for sample in end if sample) > 2000 and max(map(abs, end)) < 40, "noise in place of nothing"
    call.hangup()


def test_a_file_the_partner_records_to_is_not_recorded_to_twice(site, esl):
    path = site.where / "once.wav"
    near, far, uuid, other = bridged(site, esl)
    assert esl.api(f"uuid_record {uuid} start {path}").startswith("+OK")
    esl.api(f"uuid_setvar {other} RECORD_CHECK_BRIDGE true")
    assert esl.api(f"uuid_record {other} start {path}").startswith("+OK")
    assert str(path) in esl.api(f"uuid_buglist {uuid}")
    assert str(path) not in esl.api(f"uuid_buglist {other}")
    esl.api(f"uuid_setvar {uuid} RECORD_TOGGLE_ON_REPEAT true")
    assert esl.api(f"uuid_record {other} start {path}").startswith("+OK")
    assert wait_stop(esl, path)["Unique-ID"] == uuid, "a repeated start ends the partner's"
    near.hangup()
    far.wait_end()


def test_a_recording_keeps_frames_back_and_loses_none(site, esl):
    path = site.where / "lead.wav"
    call, uuid = caller(site, esl)
    run(esl, uuid, "set:RECORD_PRE_BUFFER_FRAMES=50", "set:RECORD_READ_ONLY=true", f"record_session:{path}", "echo")
    esl.wait_event("RECORD_START", Record_File_Path=str(path))
    call.rtp.say(audio.sine(440, 1))
    call.rtp.wait_tone(440, seconds=0.8, timeout=20)
    assert esl.api(f"uuid_record {uuid} stop {path}").startswith("+OK")
    wait_stop(esl, path)
    assert seconds(440, path) > 0.7, "what waited is in the file"
    call.hangup()


def test_a_recording_goes_to_the_other_side_of_a_hold(site, esl):
    path = site.where / "flipped.wav"
    near, far, uuid, other = bridged(site, esl)
    esl.api(f"uuid_setvar {uuid} flip_record_on_hold true")
    esl.api(f"uuid_setvar {uuid} RECORD_READ_ONLY true")
    assert esl.api(f"uuid_record {uuid} start {path}").startswith("+OK")
    since = len(far.rtp.packets)
    far.rtp.wait_tone(NEAR, seconds=1, since=since, timeout=20)
    assert esl.api(f"uuid_hold {uuid}").startswith("+OK")
    far.rtp.tone(1700)
    site_waits(esl, lambda: str(path) in esl.api(f"uuid_buglist {other}"))
    esl.api("msleep 1500")
    far.hangup()
    assert wait_stop(esl, path)["Unique-ID"] == other, "its end is told of the leg that has it now"
    assert seconds(NEAR, path) > 0.7, "what the first said before the hold"
    assert seconds(1700, path) > 0.7, "what the other said from then on"
    near.hangup()


def site_waits(esl, done, tries=100):
    for _ in range(tries):
        if done():
            return
        esl.api("msleep 100")
    raise AssertionError("it never happens")


def test_recordings_follow_an_attended_transfer_to_its_end(site, esl):
    path = site.where / "attended.wav"
    near, far, uuid, other = bridged(site, esl)
    esl.api(f"uuid_setvar {other} recording_follow_attxfer true")
    assert esl.api(f"uuid_record {uuid} start {path}").startswith("+OK")
    near.rtp.wait_tone(FAR, seconds=1, since=len(near.rtp.packets), timeout=20)
    phone = site.phone()
    esl.execute(other, "att_xfer", dial(phone))
    third = phone.accept()
    third.answer()
    talk(far, third, (FAR, 2100))
    assert str(path) in esl.api(f"uuid_buglist {other}"), "the one who consults has it meanwhile"
    far.hangup()
    talk(near, third, (NEAR, 2100))
    hears(near, 2100, frames=60)
    third.hangup()
    stop = wait_stop(esl, path)
    assert stop["Unique-ID"] not in (uuid, other), "the one consulted has it at last"
    for hz, what in ((NEAR, "the caller"), (FAR, "the one called"), (2100, "the one consulted")):
        assert any(audio.power_of(hz, piece) > 0.2 for piece in pieces(path)), what
    near.hangup()


def pieces(path):
    samples, _ = audio.read_wav(path)
    return [samples[at:at + 400] for at in range(0, len(samples) - 400, 400)]
