"""Two baresip softphones, registered, call each other through vanilla's own dialplan."""
import shutil
import time
import wave

import pytest

from harness import audio, tree
from harness.baresip import Baresip

pytestmark = pytest.mark.skipif(not shutil.which("baresip"), reason="SKIPPED: baresip is not installed")

TONES = {"1000": 440, "1001": 700}
TALK = 3            # seconds of audio to exchange


@pytest.fixture
def phones(vanilla, tmp_path):
    """Extensions 1000 and 1001, registered."""
    made = {}
    try:
        for i, (user, hz) in enumerate(TONES.items()):
            account = (f"<sip:{user}@127.0.0.1:{vanilla.sip(tree.INTERNAL)[1]}>;auth_user={user};auth_pass={tree.PASSWORD};regint=300;"
                       f"answermode={'auto' if user == '1001' else 'manual'};audio_codecs=PCMU;ptime=20")
            made[user] = Baresip(tmp_path / user, vanilla.block[100 + 30 * i], account, hz)
        until = time.monotonic() + 10
        while not all("sip:" in vanilla.switch.api(f"sofia_contact internal/{user}@127.0.0.1") for user in made):
            assert time.monotonic() < until, "not registered:\n" + "\n".join(phone.said() for phone in made.values())
            time.sleep(0.05)
        yield made
    finally:
        for phone in made.values():
            phone.close()


def dial(vanilla, phone, number):
    phone.tell("dial", f"sip:{number}@127.0.0.1:{vanilla.sip(tree.INTERNAL)[1]}")


def hears(phone, hz, seconds):
    """The phone's recording, until that much of the tone is in it."""
    until = time.monotonic() + 5
    while True:
        try:
            found = audio.seconds_of(hz, *phone.heard())
        except (wave.Error, EOFError):              # not written to the end yet
            found = 0
        if found >= seconds or time.monotonic() > until:
            return found
        time.sleep(0.1)


def test_registered_extensions_are_listed(vanilla, phones):
    shown = vanilla.switch.api("show registrations")
    assert "1000,127.0.0.1" in shown and "1001,127.0.0.1" in shown
    assert "2 total." in shown


def test_two_extensions_call_each_other_and_hear_what_was_sent(vanilla, phones):
    dial(vanilla, phones["1000"], "1001")
    phones["1000"].wait("CALL_ESTABLISHED")
    phones["1001"].wait("CALL_ESTABLISHED")
    time.sleep(TALK)                                # the conversation itself
    phones["1000"].tell("hangup")
    phones["1001"].wait("CALL_CLOSED")
    for listener, speaker in (("1000", "1001"), ("1001", "1000")):
        assert hears(phones[listener], TONES[speaker], TALK - 1) >= TALK - 1, f"{listener} does not hear {speaker}"
        samples, rate = phones[listener].heard()
        assert audio.seconds_of(TONES[listener], samples, rate) < 0.2, f"{listener} hears itself"


def test_the_callee_hangs_up_and_the_caller_is_told(vanilla, phones):
    dial(vanilla, phones["1000"], "1001")
    phones["1000"].wait("CALL_ESTABLISHED")
    phones["1001"].tell("hangup")
    phones["1000"].wait("CALL_CLOSED")


def test_the_echo_extension_returns_the_voice(vanilla, phones):
    dial(vanilla, phones["1000"], "9196")
    phones["1000"].wait("CALL_ESTABLISHED")
    time.sleep(TALK)
    phones["1000"].tell("hangup")
    assert hears(phones["1000"], TONES["1000"], TALK - 1) >= TALK - 1


def test_a_phone_stops_ringing_when_the_caller_gives_up(vanilla, phones):
    dial(vanilla, phones["1001"], "1000")           # 1000 rings and is not answered
    phones["1000"].wait("CALL_INCOMING")
    phones["1001"].wait("CALL_PROGRESS")            # 183: vanilla sets a ringback tone
    phones["1001"].tell("hangup")
    phones["1000"].wait("CALL_CLOSED")


def test_a_message_lights_the_lamp_of_the_phone(vanilla, tmp_path):
    account = f"<sip:1002@127.0.0.1:{vanilla.sip(tree.INTERNAL)[1]}>;auth_user=1002;auth_pass={tree.PASSWORD};regint=300"
    phone = Baresip(tmp_path / "1002", vanilla.block[160], account, 440, lamp=True)
    try:
        phone.wait("REGISTER_OK")
        audio.write_wav(tmp_path / "m.wav", audio.sine(500, 2))
        vanilla.switch.api("vm_delete 1002@127.0.0.1")
        assert vanilla.switch.api(f"vm_inject 1002@127.0.0.1@default {tmp_path}/m.wav 5 Five") == "+OK\n"
        lamp(phone, "Messages-Waiting: yes", "Voice-Message: 1/0")
        vanilla.switch.api("vm_delete 1002@127.0.0.1")
        lamp(phone, "Messages-Waiting: no")
    finally:
        phone.close()


def lamp(phone, *wanted):
    """Waits until the phone is told all of that."""
    while True:
        told = phone.wait("MWI_NOTIFY", timeout=25)
        if all(text in told["param"] for text in wanted):
            return
