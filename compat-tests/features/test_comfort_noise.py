"""Comfort noise that the switch makes: in the pauses of a bridge, and in a silent room. And what opus.conf has descriptions say."""
import re

import pytest

from conftest import settled, shared_site
from harness import audio, ear, tree
from harness.browser import Browser

ROOMS = """<configuration name="conference.conf"><caller-controls/><profiles>
  <profile name="noisy"><param name="rate" value="8000"/><param name="comfort-noise" value="1000"/></profile>
  <profile name="still"><param name="rate" value="8000"/></profile>
</profiles></configuration>
"""
OPUS = """<configuration name="opus.conf"><settings><param name="use-vbr" value="false"/><param name="use-dtx" value="true"/>
  <param name="complexity" value="3"/><param name="maxaveragebitrate" value="24000"/><param name="maxplaybackrate" value="16000"/>
  <param name="bitrate-negotiation" value="true"/>
</settings></configuration>
"""


def with_noise(block, where):
    conf = tree.small(block, where)
    (conf / "autoload_configs/conference.conf.xml").write_text(ROOMS)
    (conf / "autoload_configs/opus.conf.xml").write_text(OPUS)
    modules = conf / "autoload_configs/modules.conf.xml"
    if "mod_conference" not in modules.read_text():
        tree.patch(modules, {r"(?=  </modules>)": '    <load module="mod_conference"/>\n'})
    tree.patch(conf / "sip_profiles/open.xml", {r'(?=<param name="enable-3pcc")': '<param name="apply-candidate-acl" value="any_v4.auto"/>\n    '})
    return conf


with_noise.needs_trees = False
noise_server = shared_site(with_noise)


@pytest.fixture
def site(noise_server):
    yield from settled(noise_server)


def loudest(packet):
    kind, payload = packet
    return max(map(abs, audio.decode(kind, payload))) if kind in (0, 8) else 0


def hears_noise(call, packets=25, timeout=15):
    """So many packets on end, from now on, that hold a little noise and nothing else."""
    rtp, at, row = call.rtp, len(call.rtp.packets), 0

    def done():
        nonlocal at, row
        while at < len(rtp.packets) and row < packets:
            row = row + 1 if 4 < loudest(rtp.packets[at]) < 80 else 0
            at += 1
        return row >= packets
    rtp._wait("comfort noise", done, timeout)


@pytest.mark.parametrize("value, noisy", [("true", True), ("800", True), ("-1", False)])
def test_the_pauses_of_a_leg_are_filled_for_its_partner(site, esl, value, noisy):
    near, uuid = ear.caller(site, esl)
    phone = site.phone()
    ear.run(esl, uuid, f"set:bridge_generate_comfort_noise={value}", f"bridge:{ear.dial(phone)}")
    far = phone.accept()
    far.answer()
    esl.wait_event("CHANNEL_BRIDGE", Unique_ID=uuid)
    near.rtp.tone(ear.NEAR)
    ear.hears(far, ear.NEAR)
    near.rtp.pause()
    if noisy:
        hears_noise(far)
    else:
        since = len(far.rtp.packets)
        far.rtp._wait("silence that is sent", lambda: len(far.rtp.packets) > since + 50, 15)
        levels = [loudest(packet) for packet in far.rtp.packets[since + 25:]]
        assert max(levels) < 9, levels
    near.rtp.pause(False)
    ear.hears(far, ear.NEAR)
    near.hangup()
    far.wait_end()


def test_noise_ends_with_the_bridge_that_asked_for_it(site, esl):
    near, uuid = ear.caller(site, esl)
    phone = site.phone()
    ear.run(esl, uuid, "set:bridge_generate_comfort_noise=true", f"bridge:{ear.dial(phone)}")
    far = phone.accept()
    far.answer()
    other = esl.wait_event("CHANNEL_BRIDGE", timeout=20, Unique_ID=uuid).event["Bridge-B-Unique-ID"]
    near.rtp.pause()
    hears_noise(far)
    assert esl.api(f"uuid_transfer {other} park inline").startswith("+OK")
    esl.wait_event("CHANNEL_PARK", timeout=20, Unique_ID=other)
    # In the pauses of what is played now there is silence.
    esl.api(f"uuid_broadcast {other} tone_stream://%(400,600,{ear.MUSIC});loops=-1 aleg")
    far.rtp.wait_tone(ear.MUSIC, seconds=0.3, timeout=20)
    since = len(far.rtp.packets)
    far.rtp._wait("two pauses", lambda: len(far.rtp.packets) > since + 120, 30)
    levels = [loudest(packet) for packet in far.rtp.packets[since:]]
    assert min(levels) < 5 < 1000 < max(levels) and not [level for level in levels if 8 < level < 80], levels
    far.hangup()
    near.wait_end()


def test_a_silent_room_has_noise_where_it_is_wanted(site, esl):
    for profile, noisy in (("noisy", True), ("still", False)):
        calls = []
        for _ in range(2):
            call, uuid = ear.caller(site, esl)
            ear.run(esl, uuid, f"conference:{profile}@{profile}")
            esl.wait_event("CUSTOM", Action="add-member", Unique_ID=uuid)
            calls.append(call)
        first, second = calls
        first.rtp.tone(ear.NEAR)
        ear.hears(second, ear.NEAR)
        first.rtp.tone(None)
        if noisy:
            hears_noise(second)
            hears_noise(first)
        else:
            since = len(second.rtp.packets)
            second.rtp._wait("a silent room", lambda: len(second.rtp.packets) > since + 100, 15)
            assert all(loudest(packet) < 9 for packet in second.rtp.packets[-50:])
        first.rtp.tone(ear.NEAR)
        ear.hears(second, ear.NEAR)
        for call in calls:
            call.hangup()


def test_descriptions_say_what_opus_conf_does_and_audio_passes(site, esl):
    def fmtp(sdp):
        number = re.search(r"^a=rtpmap:(\d+) opus/48000", sdp, re.M)[1]
        return re.search(rf"^a=fmtp:{number} (.*?)\s*$", sdp, re.M)[1]
    one = Browser(site.phone(), hz=700)
    try:
        one.invite("park", edit=lambda sdp: re.sub(r"(a=rtpmap:(\d+) opus/48000/2\r\n)", r"\1a=fmtp:\2 maxaveragebitrate=20000;minptime=10\r\n", sdp, count=1))
        one.accept_answer()
        assert fmtp(one.answer) == "useinbandfec=1; usedtx=1; cbr=1; maxaveragebitrate=20000; maxplaybackrate=16000; minptime=10"
        uuid = esl.wait_event("CHANNEL_PARK", timeout=30).event["Unique-ID"]
        ear.run(esl, uuid, "playback:tone_stream://%(60000,0,600)")
        one.wait_tone(600, timeout=30)
        one.call.hangup()
    finally:
        one.close()
    phone = site.phone()
    esl.command(f"bgapi originate {{absolute_codec_string=opus}}{ear.dial(phone)} &park")
    call = phone.accept()
    assert fmtp(call.request.body) == ("useinbandfec=1; usedtx=1; cbr=1; maxaveragebitrate=24000; maxplaybackrate=16000; ptime=20; "
                                       "minptime=10; maxptime=40")
    call.reject(486)
