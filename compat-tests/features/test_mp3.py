"""Recordings in MP3: decoded by another program (mpg123), played back by the switch, and refused where there is no encoder."""
import shutil
import subprocess
import wave

import pytest

from harness import audio
from harness.ear import FAR, NEAR, bridged, caller, hears, run
from harness.services import until

pytestmark = pytest.mark.skipif(not shutil.which("mpg123"), reason="mpg123 decodes the recordings")


def decoded(path):
    """The channels of an MP3 file at 8 kHz."""
    wav = path.with_suffix(".decoded.wav")
    subprocess.run(["mpg123", "-q", "-w", wav, path], check=True, capture_output=True)
    with wave.open(str(wav)) as file:
        assert file.getframerate() == audio.RATE
        count, octets = file.getnchannels(), file.readframes(file.getnframes())
    samples = memoryview(octets).cast("h")
    return [list(samples[at::count]) for at in range(count)]


def stopped(esl, path):
    return esl.wait_event("RECORD_STOP", timeout=20, Record_File_Path=str(path)).event


def test_the_sides_of_a_call_are_apart(site, esl):
    path = site.where / "deep/sides.mp3"
    near, far, uuid, _ = bridged(site, esl, "set:RECORD_STEREO=true", "set:RECORD_TITLE=a call", "set:RECORD_ARTIST=Müller",
                                 f"record_session:{path}")
    since = len(far.rtp.packets)
    far.rtp.wait_tone(NEAR, seconds=2, since=since, timeout=30)
    assert esl.api(f"uuid_record {uuid} stop {path}") == "+OK Success\n"
    event = stopped(esl, path)
    assert int(event["variable_record_file_size"]) == path.stat().st_size
    file = path.read_bytes()
    assert file.startswith(b"ID3\x03") and b"TIT2\0\0\0\x07\0\0\0a call" in file and "Müller".encode("utf-16-le") in file
    said, heard = decoded(path)
    for side, own, other in (said, NEAR, FAR), (heard, FAR, NEAR):
        assert audio.seconds_of(own, side) > 1.5 and audio.seconds_of(other, side) == 0, "each side has a channel of its own"
    far.hangup()
    near.hangup()


def test_a_caller_hears_what_was_recorded_of_them(site, esl):
    path = site.where / "said.mp3"
    call, uuid = caller(site, esl)
    call.rtp.tone(440)
    run(esl, uuid, f"record:{path} 60", f"endless_playback:{path}")
    esl.wait_event("RECORD_START", Record_File_Path=str(path))
    since = len(call.rtp.packets)
    call.rtp.wait_packets(since + 100, timeout=20)
    call.rtp.digits("*")
    assert int(stopped(esl, path)["variable_record_ms"]) > 1000
    hears(call, 440)
    call.hangup()
    side, = decoded(path)
    assert audio.seconds_of(440, side) > 1


def test_a_room_is_recorded(site, esl):
    path = site.where / "room.mp3"
    (site.conf / "autoload_configs/conference.conf.xml").write_text(
        '<configuration name="conference.conf"><profiles><profile name="default"><param name="rate" value="8000"/></profile></profiles></configuration>')
    esl.api("reloadxml")
    esl.api("load mod_conference")
    call, uuid = caller(site, esl)
    call.rtp.tone(NEAR)
    run(esl, uuid, "conference:mp3@default")
    esl.wait_event("CUSTOM", Event_Subclass="conference::maintenance", Action="add-member")
    assert "Record" in esl.api(f"conference mp3 record {path}")
    esl.wait_event("CUSTOM", Event_Subclass="conference::maintenance", Action="start-recording", Path=str(path))
    since = len(call.rtp.packets)
    call.rtp.wait_packets(since + 100, timeout=20)
    esl.api(f"conference mp3 norecord {path}")
    esl.wait_event("CUSTOM", Event_Subclass="conference::maintenance", Action="stop-recording", Path=str(path))
    call.hangup()
    assert audio.seconds_of(NEAR, decoded(path)[0]) > 1


def test_recordings_are_refused_where_there_is_no_encoder(fresh):
    library = fresh.where / "lib"
    library.mkdir()
    (library / "libmp3lame.so.0").touch()
    fresh.start(env={"LD_LIBRARY_PATH": str(library)})
    with fresh.esl(timeout=30) as esl:
        esl.command("event plain ALL")
        path = fresh.where / "refused.mp3"
        call, uuid = caller(fresh, esl)
        assert esl.api(f"uuid_record {uuid} start {path}") == "-ERR Cannot record session!\n"
        run(esl, uuid, f"record:{path} 60")
        call.wait_end(timeout=30)
        assert not path.exists()
    until(lambda: "Debian package libmp3lame0" in fresh.switch.said(400), "line of the log that says what to install")
    assert not fresh.settle()
