"""What a conference says to its members, plays from the web, and how it ends in silence."""
import sys
import time

import pytest
from conftest import settled, shared_site
from harness import office, tree
from harness.ear import NEAR, caller, hears, run, talk
from harness.services import until

# Stands for a speech engine: says a number as a tone of so many hertz, a small number as five hundred times that.
ENGINE = """import math, re, struct, sys, wave
n = int(re.search(r"\\d+", sys.argv[2])[0])
hz = n if n > 100 else 500 * n
with wave.open(sys.argv[1], "wb") as w:
    w.setnchannels(1), w.setsampwidth(2), w.setframerate(8000)
    w.writeframes(b"".join(struct.pack("<h", int(9000 * math.sin(2 * math.pi * hz * i / 8000))) for i in range(12000)))
"""
SAID, COUNTED = 700, 1000


def with_rooms(block, where):
    """The small tree with a speaking conference, one that is not silent, and an engine."""
    conf = tree.small(block, where)
    (where / "engine.py").write_text(ENGINE)
    (conf / "autoload_configs/tts_commandline.conf.xml").write_text(
        '<configuration name="tts_commandline.conf"><settings>'
        f'<param name="command" value="{sys.executable} {where}/engine.py ${{file}} ${{text}}"/></settings></configuration>')
    common = {"rate": 8000, "energy-level": 0}
    spoken = {**common, "tts-engine": "tts_commandline", "tts-voice": "any"}
    profiles = {"mute": common, "default": spoken, "counting": {**spoken, "announce-count": 2}, "lively": {**common, "energy-level": 300, "terminate-on-silence": 2}}
    (conf / "autoload_configs/conference.conf.xml").write_text('<configuration name="conference.conf"><profiles>' + "".join(
        f'<profile name="{name}">' + "".join(f'<param name="{key}" value="{value}"/>' for key, value in params.items()) + "</profile>"
        for name, params in profiles.items()) + "</profiles></configuration>")
    office.with_modules(conf, "mod_conference")
    return conf


with_rooms.needs_trees = False
server = shared_site(with_rooms)


@pytest.fixture
def site(server):
    yield from settled(server)


def enter(site, esl, room):
    """A member of a room: its call and its number."""
    call, uuid = caller(site, esl)
    run(esl, uuid, f"conference:{room}")
    added = esl.wait_event("CUSTOM", Event_Subclass="conference::maintenance", Action="add-member", Unique_ID=uuid).event
    return call, added["Member-ID"]


def told(esl, action):
    return esl.wait_event("CUSTOM", Event_Subclass="conference::maintenance", Action=action).event


def test_a_text_is_said_to_all_or_to_one(site, esl):
    near, one = enter(site, esl, "hall")
    far, _ = enter(site, esl, "hall")
    assert esl.api(f"conference hall say {SAID} times") == "+OK (say) OK\n"
    for call in (near, far):
        call.rtp.wait_tone(SAID, seconds=0.5)
    assert told(esl, "speak-text")["Text"] == f"{SAID} times"
    since = len(far.rtp.packets)
    assert esl.api(f"conference hall saymember {one} 1300") == "+OK (saymember) OK\n"
    near.rtp.wait_tone(1300, seconds=0.5)
    assert told(esl, "speak-text-member")["Text"] == "1300"
    talk(near, far)
    with pytest.raises(AssertionError):
        far.rtp.wait_tone(1300, seconds=0.1, timeout=0.1, since=since)
    for call in (near, far):
        call.hangup()


def test_a_room_without_a_voice_says_nothing_unless_the_text_names_one(site, esl):
    near, _ = enter(site, esl, "den@mute")
    assert esl.api(f"conference den say {SAID}").startswith("-ERR (say) Error!\n")
    assert esl.api(f"conference den say {{tts_engine=nowhere,tts_voice=x}}{SAID}").startswith("-ERR (say) Error!\n")
    assert esl.api(f"conference den say {{tts_engine=tts_commandline,tts_voice=x}}{SAID}") == "+OK (say) OK\n"
    near.rtp.wait_tone(SAID, seconds=0.5)
    near.hangup()


def test_who_comes_hears_how_many_there_are(site, esl):
    near, _ = enter(site, esl, "crowd@counting")
    far, _ = enter(site, esl, "crowd@counting")
    far.rtp.wait_tone(COUNTED, seconds=0.5)
    talk(near, far)
    for call in (near, far):
        call.hangup()


def test_a_room_in_which_nobody_speaks_ends(site, esl):
    alone, _ = enter(site, esl, "parlour@lively")
    begun = time.monotonic()
    until(lambda: time.monotonic() > begun + 4, "a while alone")
    assert esl.api("conference parlour get count") == "1"         # one who is alone waits
    other, _ = enter(site, esl, "parlour@lively")
    alone.rtp.tone(NEAR)
    hears(other, NEAR)
    until(lambda: time.monotonic() > begun + 9, "a while of talk")
    assert esl.api("conference parlour get count") == "2"         # and so do two of whom one speaks
    alone.rtp.tone(0)
    for call in (alone, other):
        call.wait_end(office.PATIENCE)
    told(esl, "conference-destroy")
