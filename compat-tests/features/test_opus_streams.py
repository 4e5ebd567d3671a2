"""Streams of Opus frames: as they are where the call's codec is Opus, made and read where it is another."""
import base64
import json
import random
import time

import pytest

from harness.bot import Bot
from harness.ear import caller

PT = 111


def frames(count, seed):
    """Packets of 20 ms (CELT, full band, one frame) whose octets are their own; any octets are a frame to a decoder."""
    rng = random.Random(seed)
    return [bytes([0xF8]) + rng.randbytes(40 + rng.randrange(40)) for _ in range(count)]


def offer(call):
    return "\r\n".join(["v=0", f"o=- 1 1 IN IP4 {call.rtp.ip}", "s=-", f"c=IN IP4 {call.rtp.ip}", "t=0 0",
                        f"m=audio {call.rtp.port} RTP/AVP {PT} 101", f"a=rtpmap:{PT} opus/48000/2",
                        "a=rtpmap:101 telephone-event/8000", "a=fmtp:101 0-16", "a=ptime:20", "a=sendrecv", ""])


class Talker:
    """Sends frames of Opus in the place of the phone's own packets, one every 20 ms."""

    def __init__(self, call):
        self.call, self.list, self.sent = call, [], []
        self.plain = call.rtp._send
        call.rtp._send = self.send

    def send(self, kind, payload, ts, marker=False):
        if kind != 0:
            return self.plain(kind, payload, ts * 6 & 0xFFFFFFFF, marker)
        if self.list:
            frame = self.list.pop(0)
            self.sent.append(frame)
            self.plain(PT, frame, ts * 6 & 0xFFFFFFFF, marker)


@pytest.fixture
def bot():
    bot = Bot()
    yield bot
    bot.close()


def opus_caller(site, esl):
    call = site.phone().invite("park", sdp=offer)
    talker = Talker(call)
    answer = call.wait(200)
    assert "m=audio" in answer.body and f"{PT} " in answer.body.split("m=audio")[1].split("\r\n")[0] + " "
    return call, talker, esl.wait_event("CHANNEL_PARK").event["Unique-ID"]


def runs_in(big, part):
    return any(big[i:i + len(part)] == part for i in range(len(big) - len(part) + 1))


def test_frames_pass_untouched_both_ways(site, esl, bot):
    call, talker, uuid = opus_caller(site, esl)
    assert esl.execute(uuid, "stream", f"{bot.url} dialect=chan_websocket format=opus").reply.startswith("+OK")
    bot.accept()
    bot.wait("the start", lambda: any("format:opus" in t for t in bot.texts()), 20)
    said = frames(50, 1)
    talker.list = list(said)
    bot.wait("all frames", lambda: said[-1] in bot.binaries(), 20)
    assert runs_in(bot.binaries(), said), "frame by frame, as they were said"
    answer = frames(60, 2)
    at = len(call.rtp.packets)
    for frame in answer:
        bot.send(frame)
    heard = lambda: [payload for kind, payload in call.rtp.packets[at:] if kind == PT]
    call.rtp._wait("the answer", lambda: answer[-1] in heard(), 20)
    assert runs_in(heard(), answer), "as the program said them"
    call.hangup()


def test_frames_are_decoded_where_something_else_is_played(site, esl, bot):
    call, talker, uuid = opus_caller(site, esl)
    assert esl.execute(uuid, "stream", f"{bot.url} dialect=telnyx format=opus background=true").reply.startswith("+OK")
    bot.accept()
    start = bot.wait_object(event="start", timeout=20)
    start = start[0] if isinstance(start, list) else start
    assert start["start"]["media_format"] == {"encoding": "OPUS", "sample_rate": 48000, "channels": 1}
    said = frames(20, 3)
    talker.list = list(said)
    got = lambda: [base64.b64decode(o["media"]["payload"]) for o in bot.objects(event="media")]
    bot.wait("all frames", lambda: said[-1] in got(), 20)
    assert runs_in(got(), said)
    esl.execute(uuid, "playback", "tone_stream://%(20000,0,500)")
    esl.wait_event("PLAYBACK_START", timeout=20, Unique_ID=uuid)
    at, answer = len(call.rtp.packets), frames(30, 4)
    for frame in answer:
        bot.send(json.dumps({"event": "media", "media": {"payload": base64.b64encode(frame).decode()}}))
    bot.send(json.dumps({"event": "mark", "mark": {"name": "end"}}))
    bot.wait_object(event="mark", timeout=20)
    heard = [payload for kind, payload in call.rtp.packets[at:] if kind == PT]
    assert len(heard) >= 30 and not set(answer) & set(heard), "they are mixed with what is played"
    call.hangup()


def test_a_call_of_another_codec_has_frames_made_and_read(site, esl, bot):
    call, uuid = caller(site, esl)
    call.rtp.tone(1000)
    assert esl.execute(uuid, "stream", f"{bot.url} dialect=chan_websocket format=opus").reply.startswith("+OK")
    bot.accept()
    bot.wait("half a second of frames", lambda: len(bot.binaries()) >= 25, 20)
    assert all(0 < len(frame) < 400 for frame in bot.binaries())
    # What the switch made of the tone is the tone again when it comes back.
    at = len(call.rtp.packets)
    until = time.monotonic() + 3
    sent = 0
    while time.monotonic() < until:
        for frame in bot.binaries()[sent:]:
            bot.send(frame)
            sent += 1
        time.sleep(0.01)
    call.rtp.wait_tone(1000, 1, timeout=20, since=at)
    call.hangup()


@pytest.mark.parametrize("options", ["dialect=fork format=opus", "dialect=twilio format=opus tracks=both"])
def test_what_cannot_be_in_opus_is_refused(site, esl, bot, options):
    call, uuid = caller(site, esl)
    esl.execute(uuid, "stream", f"{bot.url} {options}")
    esl.wait_event("CHANNEL_EXECUTE_COMPLETE", timeout=20, Unique_ID=uuid, Application="stream")
    assert esl.api(f"uuid_getvar {uuid} stream_result").strip() == "failed"
    call.hangup()
