"""Calls of browsers: connectivity checks, DTLS-SRTP and audio, with aiortc in the browser's place."""
import json
import re
import shutil
import wave

import pytest

from harness import audio, tree
from harness.baresip import Baresip
from harness.browser import Browser
from harness.services import until


@pytest.fixture
def browser(site):
    made = []

    def make(*args, **more):
        made.append(Browser(site.phone(), *args, **more))
        return made[-1]
    yield make
    for one in made:
        one.close()


def run(esl, uuid, *apps):
    reply = esl.api(f"uuid_transfer {uuid} 'm:^:{'^'.join(apps)}' inline")
    assert reply.startswith("+OK"), reply


def parked(esl, browser, **more):
    """A browser whose call is parked, and the call's UUID."""
    one = browser(**more)
    one.invite("park")
    one.accept_answer()
    uuid = esl.wait_event("CHANNEL_PARK", timeout=20).event["Unique-ID"]
    return one, uuid


def line(sdp, name):
    return re.search(rf"^a={name}:?(.*?)\r?$", sdp, re.M)[1]


@pytest.mark.parametrize("codec, rsa_key", [("opus", False), ("PCMU", True)])
def test_a_tone_is_heard_both_ways_and_after_a_hold(site, esl, browser, tmp_path, codec, rsa_key):
    one, uuid = parked(esl, browser, hz=700, codecs=(codec,), rsa_key=rsa_key)
    assert line(one.answer, "setup") == "active" and line(one.answer, "fingerprint").startswith("sha-256 ")
    assert codec.lower() == esl.api(f"uuid_getvar {uuid} read_codec").strip().lower()
    run(esl, uuid, "playback:tone_stream://%(60000,0,600)")
    one.wait_tone(600)
    one.reinvite("sendonly")
    one.reinvite("sendrecv")
    one.wait_tone(600)
    record = tmp_path / "heard.wav"
    assert esl.api(f"uuid_record {uuid} start {record}").startswith("+OK")
    esl.wait_event("RECORD_START")
    one.wait_tone(600, seconds=1)
    assert esl.api(f"uuid_record {uuid} stop {record}").startswith("+OK")
    esl.wait_event("RECORD_STOP")
    with wave.open(str(record)) as file:
        rate, samples = file.getframerate(), file.readframes(file.getnframes())
    samples = [int.from_bytes(samples[n:n + 2], "little", signed=True) for n in range(0, len(samples), 2)]
    middle = samples[len(samples) // 4:len(samples) * 3 // 4]
    assert audio.power_of(700, middle, rate) > 0.2, "what the browser says"
    one.call.hangup()


def test_a_browser_and_a_plain_phone_hear_each_other(site, esl, browser):
    one, uuid = parked(esl, browser, hz=700)
    phone = site.carrier()
    run(esl, uuid, "bridge:{absolute_codec_string=PCMU}sofia/gateway/carrier/100")
    far = phone.accept()
    far.answer()
    far.rtp.tone(500)
    one.wait_tone(500)
    far.rtp.wait_tone(700)
    one.call.hangup()
    far.wait_end()


def test_two_browsers_meet_in_a_conference(site, esl, browser):
    (site.conf / "autoload_configs" / "conference.conf.xml").write_text(
        '<configuration name="conference.conf"><profiles><profile name="default"><param name="rate" value="48000"/>'
        '<param name="energy-level" value="0"/></profile></profiles></configuration>')
    assert esl.api("reloadxml").startswith("+OK")
    esl.api("load mod_conference")
    first, uuid = parked(esl, browser, hz=700)
    second, other = parked(esl, browser, hz=900, codecs=("PCMU",))
    run(esl, uuid, "conference:browsers@default")
    run(esl, other, "conference:browsers@default")
    first.wait_tone(900)
    second.wait_tone(700)
    first.call.hangup()
    second.call.hangup()


@pytest.mark.parametrize("lite", ["", ",ice_lite=true"])
def test_the_server_calls_a_browser(site, esl, browser, lite):
    phone = site.carrier()
    esl.command(f"bgapi originate {{media_webrtc=true,absolute_codec_string=opus{lite}}}sofia/gateway/carrier/100 &park()")
    call = phone.accept()
    assert ("a=ice-lite" in call.request.body) == bool(lite)
    assert "RTP/SAVPF" in call.request.body and line(call.request.body, "setup") == "actpass"
    one = Browser(phone, hz=700)
    try:
        one.answer_call(call)
        uuid = esl.wait_event("CHANNEL_PARK").event["Unique-ID"]
        run(esl, uuid, "playback:tone_stream://%(60000,0,600)")
        one.wait_tone(600)
        esl.api("hupall")
        call.wait_end()
    finally:
        one.close()


def test_an_answer_counts_once_the_keys_are_there(site, esl, browser):
    one = browser()
    one.invite("park")
    one.call.wait(200)
    uuid = esl.wait_event("CHANNEL_CREATE").event["Unique-ID"]
    assert "Caller-Channel-Answered-Time: 0\n" in esl.api(f"uuid_dump {uuid}")
    one.accept_answer()
    esl.wait_event("CHANNEL_ANSWER", Unique_ID=uuid)
    assert esl.api(f"uuid_getvar {uuid} rtp_has_crypto").strip() == "srtp:dtls:AES_CM_128_HMAC_SHA1_80"
    one.call.hangup()


def test_a_certificate_that_was_not_announced_ends_the_call(site, esl, browser):
    one = browser()

    def another(sdp):
        return re.sub(r"(a=fingerprint:sha-\d+ )([0-9A-F]{2})", lambda m: m[1] + ("00" if m[2] != "00" else "01"), sdp)
    one.invite("park", edit=another)
    one.accept_answer()
    event = esl.wait_event("CHANNEL_HANGUP_COMPLETE", timeout=20).event
    assert event["Hangup-Cause"] == "DESTINATION_OUT_OF_ORDER"
    one.call.wait_end()
    assert not one.heard


def test_a_handshake_survives_loss(site, esl, browser):
    one, uuid = parked(esl, browser, hz=700, rsa_key=True, lossy=0.25)
    run(esl, uuid, "playback:tone_stream://%(60000,0,600)")
    one.wait_tone(600)
    one.call.hangup()


@pytest.mark.skipif(not shutil.which("baresip"), reason="SKIPPED: baresip is not installed")
@pytest.mark.parametrize("checks", [";medianat=ice", ""])
def test_a_phone_with_dtls_is_heard_with_checks_and_without(site, esl, tmp_path, checks):
    account = f"<sip:phone@127.0.0.1:{site.sip(tree.OPEN)[1]}>;regint=0;audio_codecs=PCMU;ptime=20;mediaenc=dtls_srtp{checks}"
    phone = Baresip(tmp_path / "phone", site.block[100], account, 440)
    try:
        phone.tell("dial", f"sip:park@127.0.0.1:{site.sip(tree.OPEN)[1]}")
        phone.wait("CALL_ESTABLISHED")
        uuid = esl.wait_event("CHANNEL_PARK", timeout=20).event["Unique-ID"]
        assert esl.api(f"uuid_getvar {uuid} rtp_has_crypto").startswith("srtp:dtls:")
        carrier = site.carrier()
        run(esl, uuid, "bridge:sofia/gateway/carrier/100")
        far = carrier.accept()
        far.answer()
        far.rtp.wait_tone(440)
        # It shares no port between RTP and RTCP: its reports come by a handshake of their own.
        until(lambda: "outbound" in json.loads(esl.api(f"uuid_media_stats {uuid}"))["quality"], "report of the phone", 30)
        far.hangup()
        phone.wait("CALL_CLOSED")
    finally:
        phone.close()
