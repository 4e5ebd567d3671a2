"""Vocode (PyPI) as published behind `stream dialect=twilio`: its webhook says where to connect, its conversation hears, answers, is interrupted, hangs up."""
import pathlib
import urllib.parse
import urllib.request
import xml.etree.ElementTree as ET

import pytest

from harness import audio, frameworks
from harness.ear import caller, hears, run
from harness.program import Program

WEATHER, STORY, GOODBYE = 600, 1000, 1700       # the caller's words
SUN, TALE, FAREWELL = 800, 1300, 2300           # and what the bot says to them


@pytest.fixture
def vocode():
    with Program([frameworks.python("vocode"), pathlib.Path(__file__).with_name("vocode_server.py")]) as program:
        program.base = f"127.0.0.1:{program.wait('listening', 60)['port']}"
        yield program


def url(vocode):
    """As Twilio does it: the webhook is asked, and its TwiML says where the call is to be streamed."""
    form = urllib.parse.urlencode({"CallSid": "CA1", "From": "+100", "To": "+200"}).encode()
    with urllib.request.urlopen(f"http://{vocode.base}/inbound", form, timeout=30) as answer:
        where = ET.fromstring(answer.read()).find("Connect/Stream").get("url")
    assert where.startswith(f"wss://{vocode.base}/connect_call/"), where
    return where.replace("wss://", "ws://")             # no certificate here; TLS has tests of its own


def connect(site, esl, vocode):
    call, uuid = caller(site, esl)
    # What follows the stream is done when the bot leaves.
    run(esl, uuid, f"stream:{url(vocode)} dialect=twilio", "hangup:USER_BUSY")
    vocode.wait("phone_call_connected", 30)
    return call, uuid


def say(call, hz):
    call.rtp.say(audio.sine(hz, 0.6))


def names(vocode, way, timeout=20):
    """The names of an utterance's marks, to the last, in the order they go that way."""
    found = []
    while not (found and found[-1].startswith("utterance-")):
        message = vocode.wait(way, timeout)["message"]
        found += [message["mark"]["name"]] if message["event"] == "mark" else []
    return found


def test_a_conversation(site, esl, vocode):
    """Words in, words out: each is transcribed and answered, twice over; the marks around what is said come back in their order."""
    call, _ = connect(site, esl, vocode)
    at = 0
    for _ in range(2):
        say(call, WEATHER)
        assert vocode.wait("heard", 20)["word"] == "weather"
        call.rtp.wait_tone(SUN, 1.2, since=at)
        sent = names(vocode, "sent")
        assert len(sent) > 2 and all(name.startswith("chunk-") for name in sent[:-1]), sent
        assert names(vocode, "received") == sent
        at = len(call.rtp.packets)
    call.hangup()
    assert vocode.wait("phone_call_ended", 20)
    assert vocode.wait("transcript_complete", 20)["said"] == [["human", "weather"], ["bot", "weather"]] * 2


def test_an_interruption(site, esl, vocode):
    """The caller speaks into a story of half a minute: Vocode clears it, the new answer is heard instead, and its transcript has what was heard."""
    call, _ = connect(site, esl, vocode)
    say(call, STORY)
    hears(call, TALE, timeout=20)
    say(call, WEATHER)
    while vocode.wait("sent", 20)["message"]["event"] != "clear":
        pass
    hears(call, SUN, timeout=10)
    call.hangup()
    said = vocode.wait("transcript_complete", 20)["said"]
    assert [line for line in said if line[0] == "human"] == [["human", "story"], ["human", "weather"]]
    story, seconds = next(text for who, text in said if who == "bot").split(" for ")
    assert story == "story" and int(seconds.split()[0]) < 20, said


def test_the_bot_hangs_up(site, esl, vocode):
    """Its answer is heard to the end; then it closes, and the dialplan goes on."""
    call, uuid = connect(site, esl, vocode)
    say(call, GOODBYE)
    call.rtp.wait_tone(FAREWELL, 0.9)
    assert vocode.wait("sent", 20, closed=1000)
    event = esl.wait_event("CHANNEL_HANGUP_COMPLETE", timeout=20, Unique_ID=uuid).event
    assert (event["Hangup-Cause"], event["variable_stream_result"]) == ("USER_BUSY", "closed")
    assert vocode.wait("transcript_complete", 20)["said"] == [["human", "goodbye"], ["bot", "goodbye"]]


def test_the_caller_hangs_up(site, esl, vocode):
    """In the midst of a story: `stop`, and the connection ends."""
    call, _ = connect(site, esl, vocode)
    say(call, STORY)
    hears(call, TALE, timeout=20)
    call.hangup()
    while vocode.wait("received", 20)["message"]["event"] != "stop":
        pass
    assert vocode.wait("phone_call_ended", 20)
