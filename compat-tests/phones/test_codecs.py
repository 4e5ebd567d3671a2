"""Two baresip softphones of unlike codecs and protections, bridged: each hears the other."""
import shutil
import time
import wave

import pytest

from harness import audio, tree
from harness.baresip import Baresip

pytestmark = pytest.mark.skipif(not shutil.which("baresip"), reason="SKIPPED: baresip is not installed")

TONES = {"1000": 440, "1001": 700}
TALK = 3            # seconds of audio to exchange

# What each side speaks, as the switch and as baresip spell it, its sample rate, and how its media is protected.
SIDES = {
    "opus": ("OPUS@48000h@20i", "opus", 48000, None),
    "secure opus": ("OPUS@48000h@20i", "opus", 48000, "AES_CM_128_HMAC_SHA1_80"),
    "G.722": ("G722", "G722", 16000, None),
    "secure G.722": ("G722", "G722", 16000, "AES_CM_128_HMAC_SHA1_32"),
    "GSM": ("GSM", "GSM", 8000, None),
    "L16": ("L16@16000h@20i", "L16/16000/1", 16000, None),
    "PCMU": ("PCMU", "PCMU", 8000, None),
    "secure PCMU": ("PCMU", "PCMU", 8000, "AEAD_AES_256_GCM"),
}
PAIRS = [("opus", "secure PCMU"), ("G.722", "GSM"), ("secure opus", "L16"), ("PCMU", "secure G.722")]


def account(vanilla, user, side):
    _, codec, _, suite = SIDES[side]
    return (f"<sip:{user}@127.0.0.1:{vanilla.sip(tree.INTERNAL)[1]}>;auth_user={user};auth_pass={tree.PASSWORD};regint=300;"
            f"answermode=auto;audio_codecs={codec};ptime=20" + (";mediaenc=srtp-mand" if suite else ""))


def leg(user, side):
    codec, _, _, suite = SIDES[side]
    secure = f",rtp_secure_media=mandatory:{suite}" if suite else ""
    return f"{{absolute_codec_string={codec}{secure}}}user/{user}@127.0.0.1"


def hears(phone, hz):
    """Seconds of the tone in the phone's recording, once that is written to the end."""
    until = time.monotonic() + 5
    while True:
        try:
            found = audio.seconds_of(hz, *phone.heard())
        except (wave.Error, EOFError, IndexError, FileNotFoundError):
            found = 0
        if found >= TALK - 1 or time.monotonic() > until:
            return found
        time.sleep(0.2)


@pytest.mark.parametrize("one, other", PAIRS)
def test_each_hears_the_other(vanilla, tmp_path, one, other):
    phones = {}
    try:
        for i, (user, side) in enumerate((("1000", one), ("1001", other))):
            phones[user] = Baresip(tmp_path / user, vanilla.block[100 + 30 * i], account(vanilla, user, side), TONES[user], SIDES[side][2])
        until = time.monotonic() + 15
        while not all("sip:" in vanilla.switch.api(f"sofia_contact internal/{user}@127.0.0.1") for user in phones):
            assert time.monotonic() < until, "not registered:\n" + "\n".join(phone.said() for phone in phones.values())
            time.sleep(0.05)
        reply = vanilla.switch.api(f"originate {leg('1000', one)} &bridge({leg('1001', other)})")
        assert reply.startswith("+OK"), reply
        phones["1001"].wait("CALL_ESTABLISHED")
        uuid = reply.split()[1]
        suite = SIDES[one][3]
        assert vanilla.switch.api(f"uuid_getvar {uuid} rtp_secure_media_negotiated") == (suite or "_undef_")
        name = SIDES[one][1].split("/")[0]
        assert vanilla.switch.api(f"uuid_getvar {uuid} read_codec").lower() == name.lower()
        time.sleep(TALK)                            # the conversation itself
        vanilla.switch.api(f"uuid_kill {uuid}")
        for user, partner in (("1000", "1001"), ("1001", "1000")):
            phones[user].wait("CALL_CLOSED")
            assert hears(phones[user], TONES[partner]) >= TALK - 1, f"{user} does not hear {partner}:\n{phones[user].said()}"
    finally:
        for phone in phones.values():
            phone.close()
