"""npm `esl-lite` 3: a monitor, and a call's audio handed to a program with `unicast`."""
import pathlib
import socket
import struct
import uuid

import pytest

from harness import audio
from harness.program import Program

HERE = pathlib.Path(__file__).parent / "esl-lite"


@pytest.fixture
def service(site):
    with Program(["node", str(HERE / "service.mjs"), "127.0.0.1", str(site.esl_port), "ClueCon"], cwd=HERE) as program:
        assert program.wait("ready")["body"].startswith("FreeSWITCH Version 1.10.12")
        yield program


@pytest.fixture
def bot():
    """The program's end of the audio: a socket, and a free port for the switch's."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as theirs:
        theirs.bind(("127.0.0.1", 0))
        port = theirs.getsockname()[1]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as own:
        own.bind(("127.0.0.1", 0))
        own.settimeout(10)
        yield Bot(own, port)


class Bot:
    def __init__(self, sock, switch_port):
        self.sock, self.switch = sock, ("127.0.0.1", switch_port)

    def way(self, **more):
        return {"local-ip": "127.0.0.1", "local-port": self.switch[1], "remote-ip": "127.0.0.1",
                "remote-port": self.sock.getsockname()[1], "transport": "udp", **more}

    def heard(self, hz, decode, datagrams=40):
        """Takes datagrams until a stretch of them has the tone; their lengths."""
        lengths = set()
        for _ in range(10):
            samples = []
            for _ in range(datagrams):
                data = self.sock.recv(4096)
                lengths.add(len(data))
                samples += decode(data)
            if audio.seconds_of(hz, samples) > 0.3:
                return lengths
        raise AssertionError(f"no {hz} Hz in what the switch sends")

    def say(self, frames):
        """Answers each datagram with one of ours, so that the switch's clock paces us."""
        for frame in frames:
            self.sock.recv(4096)
            self.sock.sendto(frame, self.switch)


def parked(site, service):
    leg, phone = str(uuid.uuid4()), site.carrier()
    service.tell(do="bgapi", command=f"originate {{origination_uuid={leg}}}sofia/gateway/carrier/100 &park()")
    call = phone.accept()
    call.answer()
    assert service.wait("bgapi")["body"] == f"+OK {leg}\n"
    return leg, call


@pytest.mark.quick
def test_events_jobs_and_failures(site, service):
    leg, call = parked(site, service)
    assert service.wait("event", name="CHANNEL_CREATE", uuid=leg)
    assert service.wait("event", name="CHANNEL_ANSWER", uuid=leg)
    service.tell(do="command", uuid=leg, app="playback", arg="tone_stream://%(500,0,900)")
    call.rtp.wait_tone(900)
    assert service.wait("command", app="playback")["ok"]
    service.tell(do="bgapi", command="uuid_kill nobody")
    assert service.wait("bgapi", command="uuid_kill nobody")["body"] == "-ERR No such channel!\n"
    service.tell(do="hangup", uuid=leg, cause="CALL_REJECTED")
    call.wait_end()
    assert service.wait("event", name="CHANNEL_HANGUP_COMPLETE", uuid=leg)["cause"] == "CALL_REJECTED"


def test_custom_events_with_bodies_and_log_lines(site, service):
    service.tell(do="sendevent", name="CUSTOM", headers={"Event-Subclass": "shop::order"}, text="two of those\n")
    assert service.wait("custom")["text"] == "two of those\n"
    service.tell(do="log", level=5)
    service.wait("log")
    site.switch.api("log notice for the monitor")
    while "for the monitor" not in service.wait("log")["text"]:
        pass
    service.tell(do="nolog")
    service.wait("nolog")


def test_a_parked_call_s_audio_goes_both_ways_as_samples(site, service, bot):
    leg, call = parked(site, service)
    service.tell(do="unicast", uuid=leg, way=bot.way())
    assert service.wait("unicast")["ok"]
    call.rtp.tone(440)
    lengths = bot.heard(440, lambda data: struct.unpack(f"={len(data) // 2}h", data))
    assert lengths == {320}, "20 ms of 16-bit samples at 8 kHz"
    sine = audio.sine(1000, 1)
    frames = [struct.pack("=160h", *sine[n:n + 160]) for n in range(0, len(sine) - 159, 160)]
    bot.say(frames * 2)
    call.rtp.wait_tone(1000)
    service.tell(do="hangup", uuid=leg, cause="NORMAL_CLEARING")
    call.wait_end()


def test_native_audio_is_the_codec_s(site, service, bot):
    leg, call = parked(site, service)
    service.tell(do="unicast", uuid=leg, way=bot.way(flags="native"))
    assert service.wait("unicast")["ok"]
    call.rtp.tone(440)
    assert bot.heard(440, lambda data: audio.decode(0, data)) == {160}
    bot.say(audio.frames(audio.sine(1000, 1)) * 2)
    call.rtp.wait_tone(1000)
    service.tell(do="hangup", uuid=leg, cause="NORMAL_CLEARING")
    call.wait_end()


def test_an_unusable_address_changes_nothing_for_the_call(site, service, bot):
    leg, call = parked(site, service)
    for bad in ({"local-ip": "192.0.2.1"}, {"transport": "sctp"}):
        service.tell(do="unicast", uuid=leg, way=bot.way(**bad))
        assert service.wait("unicast")["ok"], "the reply says that the message was taken"
    service.tell(do="command", uuid=leg, app="playback", arg="tone_stream://%(500,0,900)")
    call.rtp.wait_tone(900)
    said = site.switch.said(400)
    assert "Failure creating unicast connection 192.0.2.1:" in said and "Invalid transport sctp" in said
    service.tell(do="hangup", uuid=leg, cause="NORMAL_CLEARING")
    call.wait_end()
