"""LiveKit Agents as published behind `stream dialect=plivo`, through PyPI `livekit-gateway`, which takes Plivo's streams in the place of LiveKit's server
(that server is no package of a registry the tests may use)."""
import pathlib
import urllib.parse
import urllib.request
import xml.etree.ElementTree as ET

import pytest

from harness import audio, frameworks, ports
from harness.ear import caller, hears, run
from harness.program import Program
from harness.services import until

WEATHER, STORY, GOODBYE = 600, 1000, 1700       # the caller's words
SUN, TALE, FAREWELL = 800, 1300, 2300           # and what the agent says to them


@pytest.fixture
def agent(site):
    """The gateway as a service, as its README has it in production, and an agent at it."""
    python, streams, agents = frameworks.python("livekit"), site.block[62], site.block[63]
    with Program(["env", f"PLIVO_WS_ADDR=127.0.0.1:{streams}", f"LIVEKIT_AGENT_WS_ADDR=127.0.0.1:{agents}",
                  f"PLIVO_PUBLIC_HOST=127.0.0.1:{streams}", python, "-m", "livekit_gateway.gateway"]) as gateway:
        for port in (streams, agents):
            until(lambda: not ports.free(port), "port of the gateway", 30)
        with Program([python, pathlib.Path(__file__).with_name("livekit_agent.py"), str(agents)]) as program:
            program.base, program.gateway = f"127.0.0.1:{streams}", gateway
            program.wait("registered", 45)
            yield program


def connect(site, esl, agent):
    """As Plivo does it: the answer URL is asked, and its XML says where the call is to be streamed and as what."""
    call, uuid = caller(site, esl)
    form = urllib.parse.urlencode({"CallUUID": uuid, "From": "100", "To": "200", "Direction": "inbound"}).encode()
    with urllib.request.urlopen(f"http://{agent.base}/answer", form, timeout=30) as answer:
        stream = ET.fromstring(answer.read()).find("Stream")
    assert (stream.get("bidirectional"), stream.get("contentType")) == ("true", "audio/x-mulaw;rate=8000"), stream.attrib
    url = stream.text.strip().replace("wss://", "ws://")         # no certificate here; TLS has tests of its own
    assert url.startswith(f"ws://{agent.base}/"), url
    run(esl, uuid, f"stream:{url} dialect=plivo", "hangup:USER_BUSY")
    agent.wait("session", 40)
    return call, uuid


def say(call, hz):
    call.rtp.say(audio.sine(hz, 0.6))


def told(agent, words):
    return sum(words in line for line in agent.gateway.errors)


def test_a_conversation_with_an_interruption(site, esl, agent):
    """Words in, words out; a story of half a minute ends when the caller speaks, and the next answer is heard instead."""
    call, _ = connect(site, esl, agent)
    say(call, WEATHER)
    assert agent.wait("heard", 20)["word"] == "weather"
    call.rtp.wait_tone(SUN, 1.2)
    assert agent.wait("item", 20, who="assistant")["interrupted"] is False
    say(call, STORY)
    hears(call, TALE, timeout=20)
    say(call, WEATHER)
    cut = agent.wait("item", 20, who="assistant")
    assert cut["interrupted"] is True, cut
    hears(call, SUN, timeout=20)
    assert told(agent, "clearAudio sent")
    until(lambda: told(agent, "clearedAudio — confirmed") == told(agent, "clearAudio sent"), "confirmation of each")
    call.hangup()
    agent.wait("closed", 40)


def test_the_agent_hangs_up(site, esl, agent):
    """Its last word is heard; its room ends, the stream is closed and the dialplan goes on."""
    call, uuid = connect(site, esl, agent)
    say(call, GOODBYE)
    call.rtp.wait_tone(FAREWELL, 0.8)
    agent.wait("closed", 40)
    event = esl.wait_event("CHANNEL_HANGUP_COMPLETE", timeout=20, Unique_ID=uuid).event
    assert (event["Hangup-Cause"], event["variable_stream_result"]) == ("USER_BUSY", "closed")
