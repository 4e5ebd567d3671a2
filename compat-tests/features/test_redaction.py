"""Digits that are kept out: of recordings and streams while they are typed, of recordings and transcripts when they are spoken,
of logs and records."""
import math
import pathlib
import struct
import time

import pytest

from harness import audio, office
from harness.bot import Bot, Heard
from harness.ear import caller, hears, run
from harness.recogniser import Vosk

ROWS, COLUMNS = (697, 770, 852, 941), (1209, 1336, 1477)
KEYS = "123456789*0#"
# Milliseconds of a second that prove a tone is there: a phone of a machine with other work is late, and what comes far too late is
# left out of recordings.
ENOUGH = 500


def key(digit, ms=120, gap=180):
    """A key as tones in the audio, and silence after it."""
    row, column = ROWS[KEYS.index(digit) // 3], COLUMNS[KEYS.index(digit) % 3]
    tone = [int(4000 * (math.sin(2 * math.pi * row * n / 8000) + math.sin(2 * math.pi * column * n / 8000))) for n in range(8 * ms)]
    return tone + [0] * (8 * gap)


def heard(samples, hz, share=0.25):
    """Milliseconds of frames in which `hz` is strong."""
    frames = (samples[i:i + 160] for i in range(0, len(samples) - 159, 160))
    return sum(20 for f in frames if max(map(abs, f)) > 300 and audio.power_of(hz, f) > share)


def tones(samples, share=0.25):
    return {hz: heard(samples, hz, share) for hz in (*ROWS, *COLUMNS)}


QUIET = [0] * 4000
SPEECH = list(audio.sine(400, 1)) + key("5") + key("8") + key("5") + [0] * 4000 + list(audio.sine(1900, 1))


def recorded(path, last, seconds=20):
    """The recording, once its file is whole: it holds `last` Hz."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            samples = list(audio.read_wav(str(path))[0])
            if heard(samples, last) >= ENOUGH:
                return samples
        except (OSError, EOFError, ValueError, struct.error):
            pass
        time.sleep(0.1)
    raise AssertionError(f"{path}: no {last} Hz in time")


def say(call, samples):
    call.rtp.say(samples)
    call.rtp._wait("all said", lambda: not call.rtp.once, 60)


def pause(call, seconds):
    """Sends nothing for that long by RTP's clock, as a phone with silence suppression."""
    call.rtp.pause()
    say(call, [0] * int(seconds * 8000))
    call.rtp.pause(False)


def record(site, esl, tmp_path, samples, **variables):
    """What a recording of a caller who says that holds."""
    call, uuid = caller(site, esl)
    for name, value in variables.items():
        esl.api(f"uuid_setvar {uuid} {name} {value}")
    path = tmp_path / f"{time.time_ns()}.wav"
    assert "+OK" in esl.api(f"uuid_record {uuid} start {path}")
    samples(call) if callable(samples) else say(call, samples)
    say(call, QUIET)                                # what is held back comes
    assert "+OK" in esl.api(f"uuid_record {uuid} stop {path}")
    esl.wait_event("RECORD_STOP", timeout=20, Unique_ID=uuid)
    call.hangup()
    return recorded(path, 1900)


def test_typed_digits_are_silence_in_a_recording_and_speech_around_them_is_there(site, esl, tmp_path):
    plain = record(site, esl, tmp_path, SPEECH)
    assert all(tones(plain)[hz] >= 60 for hz in (770, 1336, 852)), "the tones are there without redaction"
    samples = record(site, esl, tmp_path, SPEECH, redact_digits="audio")
    assert not any(tones(samples).values()), tones(samples)
    assert heard(samples, 400) >= ENOUGH and heard(samples, 1900) >= ENOUGH
    silent = record(site, esl, tmp_path, SPEECH, redact_digits="transcript,log")
    assert tones(silent)[1336] >= 60, "audio was not asked for"


def test_a_tone_that_leaks_before_its_event_is_silence_too(site, esl, tmp_path):
    def typed(call):
        say(call, list(audio.sine(400, 1)) + key("7", 40, 0))
        call.rtp.digits("7")
        call.rtp._wait("typed", lambda: not call.rtp.events, 20)
        time.sleep(0.5)
        say(call, audio.sine(1900, 1))
    samples = record(site, esl, tmp_path, typed, redact_digits="true")
    assert not any(tones(samples).values()), tones(samples)
    assert heard(samples, 400) >= ENOUGH


def test_a_program_hears_no_digits_that_are_typed(site, esl):
    bot = Bot()
    try:
        call, uuid = caller(site, esl)
        esl.api(f"uuid_setvar {uuid} redact_digits true")
        assert esl.api(f"uuid_audio_fork {uuid} start {bot.url} mono 8k") == "+OK Success\n"
        bot.accept()
        esl.wait_event("CUSTOM", timeout=20, Event_Subclass="mod_audio_fork::connect", Unique_ID=uuid)
        say(call, SPEECH)
        ear = Heard(bot)
        bot.wait("the last tone", lambda: ear.ms(1900) >= ENOUGH, 60)
        assert not any(found := {hz: ear.ms(hz) for hz in (*ROWS, *COLUMNS)}.values()), found
        assert ear.ms(400) >= ENOUGH
        call.hangup()
    finally:
        bot.close()


@pytest.fixture
def vosk(site, esl):
    server = Vosk("card four two", times=True)
    path = pathlib.Path(site.conf) / "autoload_configs" / "recognition.conf.xml"
    path.write_text(f'<configuration name="recognition.conf"><engines><engine name="v"><param name="url" value="{server.url}"/></engine>'
                    '</engines></configuration>')
    assert "+OK" in esl.api("reloadxml")
    yield server
    server.close()
    path.unlink()
    esl.api("reloadxml")


def test_spoken_digits_leave_transcript_and_recording(site, esl, vosk, tmp_path):
    call, uuid = caller(site, esl)
    for name, value in (("redact_digits", "true"), ("RECORD_STEREO", "true")):
        esl.api(f"uuid_setvar {uuid} {name} {value}")
    path = tmp_path / "spoken.wav"
    assert "+OK" in esl.api(f"uuid_record {uuid} start {path}")
    assert "+OK" in esl.api(f"uuid_transcribe {uuid} start en-US")
    esl.wait_event("CUSTOM", timeout=20, Event_Subclass="transcribe::connect", Unique_ID=uuid)
    # "card", 400 Hz, then "four" and "two".
    say(call, [0] * 4000 + list(audio.sine(400, 1)) + list(audio.sine(700, 1)) + list(audio.sine(1100, 1)))
    told = esl.wait_event("CUSTOM", timeout=20, Event_Subclass="switch::transcript", Unique_ID=uuid).event
    assert told["Transcript-Text"] == "card * *"
    bodies = [m.event_body for m in esl.events if m.event.get("Event-Subclass") == "transcribe::transcription"]
    assert bodies == [] or all("four" not in body for body in bodies)
    assert esl.api(f"uuid_getvar {uuid} transcript").strip().endswith("read: card * *")
    say(call, list(audio.sine(1900, 1)) + QUIET)
    esl.api(f"uuid_record {uuid} stop {path}")
    esl.wait_event("RECORD_STOP", timeout=20, Unique_ID=uuid)
    call.hangup()
    import wave
    with wave.open(str(path)) as w:
        both = struct.unpack(f"<{w.getnframes() * 2}h", w.readframes(w.getnframes()))
    samples = list(both[::2])
    assert heard(samples, 400) >= ENOUGH and heard(samples, 1900) >= ENOUGH
    assert heard(samples, 700) <= 200 and heard(samples, 1100) <= 200, (heard(samples, 700), heard(samples, 1100))


def test_spoken_digits_are_found_in_a_stream_that_pauses(site, esl, vosk, tmp_path):
    call, uuid = caller(site, esl)
    esl.api(f"uuid_setvar {uuid} redact_digits true")
    path = tmp_path / "pauses.wav"
    assert "+OK" in esl.api(f"uuid_record {uuid} start {path}")
    assert "+OK" in esl.api(f"uuid_transcribe {uuid} start en-US")
    esl.wait_event("CUSTOM", timeout=20, Event_Subclass="transcribe::connect", Unique_ID=uuid)
    for _ in range(10):                             # pauses without a packet, in which the stream's time goes on
        say(call, [0] * 1600)
        pause(call, 0.3)
    say(call, list(audio.sine(400, 1)) + list(audio.sine(700, 1)) + list(audio.sine(1100, 1)))
    told = esl.wait_event("CUSTOM", timeout=30, Event_Subclass="switch::transcript", Unique_ID=uuid).event
    assert told["Transcript-Text"] == "card * *"
    say(call, list(audio.sine(1900, 1)) + QUIET)
    esl.api(f"uuid_record {uuid} stop {path}")
    esl.wait_event("RECORD_STOP", timeout=20, Unique_ID=uuid)
    call.hangup()
    samples = recorded(path, 1900)
    assert heard(samples, 400) >= ENOUGH, "what was said before the digits stays"
    assert heard(samples, 700) <= 100 and heard(samples, 1100) <= 100, (heard(samples, 700), heard(samples, 1100))


@pytest.fixture
def hall(site, esl):
    """A conference that is recorded, with the member whose digits are kept out and one who speaks at 2600 Hz all the time."""
    conf = pathlib.Path(site.conf)
    (conf / "autoload_configs/conference.conf.xml").write_text(
        '<configuration name="conference.conf"><profiles><profile name="default"><param name="rate" value="8000"/>'
        '<param name="energy-level" value="0"/></profile></profiles></configuration>')
    office.with_modules(conf, "mod_conference")
    assert "+OK" in esl.api("reloadxml")
    esl.api("load mod_conference")
    one, uuid = caller(site, esl)
    esl.api(f"uuid_setvar {uuid} redact_digits true")
    other, second = caller(site, esl)
    for name in (uuid, second):
        run(esl, name, "conference:hall")
        esl.wait_event("CUSTOM", timeout=20, Event_Subclass="conference::maintenance", Action="add-member", Unique_ID=name)
    other.rtp.tone(2600)
    hears(one, 2600)
    yield one, uuid, other
    one.hangup()
    other.hangup()


def record_hall(esl, path, talk):
    assert "+OK" in esl.api(f"conference hall record {path}")
    esl.wait_event("CUSTOM", timeout=20, Event_Subclass="conference::maintenance", Action="start-recording")
    talk()
    assert "+OK" in esl.api(f"conference hall norecord {path}")
    esl.wait_event("CUSTOM", timeout=20, Event_Subclass="conference::maintenance", Action="stop-recording")
    return recorded(path, 1900)


def test_typed_digits_of_a_member_are_not_in_the_recording_of_a_conference(esl, hall, tmp_path):
    one, _, other = hall

    def typed():
        say(other, key("3"))                        # of one who is not asked
        say(one, SPEECH[:8000 + 3 * 2400])          # tones
        say(one, key("7", 40, 0))                   # one that leaks before its event
        one.rtp.digits("7")
        one.rtp._wait("typed", lambda: not one.rtp.events, 20)
        say(one, QUIET + list(audio.sine(1900, 1)) + QUIET)
    samples = record_hall(esl, tmp_path / "typed.wav", typed)
    found = tones(samples, 0.08)                    # beside another voice
    assert found[697] >= 60 and found[1477] >= 60, found
    assert not any(found[hz] for hz in (770, 852, 941, 1209, 1336)), found
    assert heard(samples, 400) >= ENOUGH
    # The other member is there all the time, also while digits are typed.
    assert heard(samples, 2600) >= len(samples) // 8 * 0.75


def test_spoken_digits_of_a_member_are_silence_in_the_recording_of_a_conference(esl, hall, vosk, tmp_path):
    one, uuid, _ = hall

    def spoken():
        assert "+OK" in esl.api(f"uuid_transcribe {uuid} start en-US")
        esl.wait_event("CUSTOM", timeout=20, Event_Subclass="transcribe::connect", Unique_ID=uuid)
        say(one, QUIET + list(audio.sine(400, 1)) + list(audio.sine(700, 1)) + list(audio.sine(1100, 1)))
        esl.wait_event("CUSTOM", timeout=30, Event_Subclass="switch::transcript", Unique_ID=uuid)
        say(one, QUIET + list(audio.sine(1900, 1)) + QUIET)
    samples = record_hall(esl, tmp_path / "spoken.wav", spoken)
    assert heard(samples, 400) >= ENOUGH
    assert heard(samples, 700) <= 100 and heard(samples, 1100) <= 100, (heard(samples, 700), heard(samples, 1100))
    assert heard(samples, 2600) >= (len(samples) // 8 - 2400) * 0.75, "the other member is heard before and after"


def test_digits_are_in_no_log_and_no_record_where_that_is_asked_for(site, esl):
    call, uuid = caller(site, esl)
    esl.command("log debug")
    esl.api(f"uuid_setvar {uuid} redact_digits log,record")
    esl.execute(uuid, "play_and_get_digits", "4 4 1 10000 # silence_stream://-1 '' typed_in .*")
    esl.wait_event("PLAYBACK_START", timeout=20, Unique_ID=uuid)
    call.rtp.digits("9317")
    esl.wait_event("CHANNEL_EXECUTE_COMPLETE", timeout=20, Unique_ID=uuid, Application="play_and_get_digits")
    assert esl.api(f"uuid_getvar {uuid} typed_in").strip() == "9317", "applications get what was typed"
    esl.execute(uuid, "set", "copied=${typed_in}")
    esl.wait_event("CHANNEL_EXECUTE_COMPLETE", timeout=20, Unique_ID=uuid, Application="set")
    call.hangup()
    end = esl.wait_event("CHANNEL_HANGUP_COMPLETE", timeout=20, Unique_ID=uuid).event
    assert end["variable_digits_dialed"] == "XXXX"
    lines = [line for path in site.switch.home.rglob("*.log") for line in path.read_text(errors="replace").splitlines()
             if "EXECUTE" in line or "SET" in line]
    assert any("typed_in" in line or "copied" in line for line in lines) and not any("9317" in line for line in lines)


@pytest.fixture
def redacting(tmp_path, fresh):
    """A server whose profile `open` keeps digits out."""
    files = list((pathlib.Path(fresh.conf) / "sip_profiles").rglob("*.xml"))
    for path in files:
        path.write_text(path.read_text().replace("<settings>", '<settings><param name="redact-digits" value="audio"/>', 1))
    assert files
    return fresh.start()


def test_a_profile_says_it_for_its_calls(redacting):
    with redacting.esl() as esl:
        esl.command("event plain ALL")
        call, uuid = caller(redacting, esl)
        assert esl.api(f"uuid_getvar {uuid} redact_digits").strip() == "audio"
        call.hangup()
    assert not redacting.settle()
