"""What is asked of streams while they run: pausing and muting in every dialect, starts from hooks, options of `stream`."""
import base64
import json
import socket
import struct
import time

import pytest

from harness import audio
from harness.bot import Bot


@pytest.fixture
def bot():
    bot = Bot()
    yield bot
    bot.close()


def caller(site, esl, number="park"):
    call = site.phone().invite(number)
    call.wait(200)
    return call, esl.wait_event("CHANNEL_PARK").event["Unique-ID"]


def stream_to(esl, uuid, data):
    assert esl.execute(uuid, "stream", data).reply.startswith("+OK")


def linear(octets):
    return list(struct.unpack(f"<{len(octets) // 2}h", octets))


def l16(samples):
    return struct.pack(f"<{len(samples)}h", *samples)


def b64(octets):
    return base64.b64encode(octets).decode()


WORDS = bytes((n * 3 + n // 500) & 255 for n in range(16000))          # what G.711 can say exactly


# What a bot of each dialect hears and says, in samples.

def heard_media(bot):
    return [audio.ULAW[b] for m in bot.objects(event="media") for b in base64.b64decode(m["media"]["payload"])]


def heard_ulaw(bot):
    return [audio.ULAW[b] for b in b"".join(bot.binaries())]


def heard_linear(bot):
    return linear(b"".join(bot.binaries()))


DIALECTS = {"twilio": heard_media, "chan_websocket": heard_ulaw, "audio_stream": heard_linear, "fork": heard_linear}


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_stream_of_the_application_is_paused_and_muted_by_command(site, esl, bot, dialect):
    call, uuid = caller(site, esl)
    call.rtp.tone(1000)
    stream_to(esl, uuid, f"{bot.url} dialect={dialect} name=s")
    bot.accept()
    heard = DIALECTS[dialect]
    bot.wait("audio", lambda: len(heard(bot)) > 4000)

    def ask(words):
        return esl.api(f"uuid_audio_streams {uuid} {words}")

    assert ask("mute s user") == "+OK Success\n"
    # Frames that were on their way are through once silence comes.
    bot.wait("silence", lambda: len(heard(bot)) > 400 and not any(heard(bot)[-400:]))
    bot.forget()
    bot.wait("more of it", lambda: len(heard(bot)) > 4000)
    assert not any(heard(bot)), "silence takes the caller's place"
    assert ask("unmute s") == "+OK Success\n"
    bot.forget()
    bot.wait("the caller", lambda: len(heard(bot)) > 4000 and audio.power_of(1000, heard(bot)[-2000:]) > 0.9)
    assert ask("pause") == "+OK Success\n"
    # What was on its way arrives; that nothing follows is seen only by waiting.
    sent = None
    while sent != (sent := json.loads(ask("list"))[0]["sent_messages"]):
        time.sleep(0.2)
    bot.forget()
    time.sleep(0.5)
    assert not heard(bot), "a pause sends nothing"
    assert ask("resume s") == "+OK Success\n"
    bot.wait("audio again", lambda: len(heard(bot)) > 4000)
    assert ask("resume other") == "-ERR No such stream!\n"
    assert ask("mute s everyone").startswith("-USAGE")
    assert ask("stop s") == "+OK Success\n"
    bot.wait("the close", lambda: bot.closed)
    call.hangup()


def test_a_muted_program_is_not_heard_and_its_marks_come_all_the_same(site, esl, bot):
    call, uuid = caller(site, esl)
    esl.api(f"uuid_audio_fork ^^|{uuid}|start|{bot.url}|mono|8000|b||true|true|8000")
    bot.accept()
    assert esl.api(f"uuid_audio_fork {uuid} mute b program") == "+OK Success\n"
    begun = len(call.rtp.packets)
    bot.send(l16(audio.sine(700, 1)))
    bot.send({"type": "mark", "data": {"name": "m"}})
    bot.wait_object(type="mark")
    assert audio.seconds_of(700, call.rtp.samples(begun)) == 0
    assert json.loads(esl.api(f"uuid_audio_streams {uuid}"))[0]["heard_ms"] in range(980, 1041)
    assert esl.api(f"uuid_audio_fork {uuid} unmute b program") == "+OK Success\n"
    bot.send(l16(audio.sine(1300, 1)))
    call.rtp.wait_tone(1300, 0.9)
    call.hangup()


@pytest.mark.parametrize("dialect", ["twilio", "chan_websocket", "audio_stream"])
def test_every_sample_of_a_program_reaches_the_phone(site, esl, bot, dialect):
    call, uuid = caller(site, esl)
    stream_to(esl, uuid, f"{bot.url} dialect={dialect} format=ulaw")
    bot.accept()
    words = [audio.ULAW[b] for b in WORDS]
    if dialect == "twilio":
        sid = bot.wait_object(event="start")["streamSid"]
        for at in range(0, len(WORDS), 160):
            bot.send({"event": "media", "streamSid": sid, "media": {"payload": b64(WORDS[at:at + 160])}})
    else:
        bot.send(WORDS if dialect == "chan_websocket" else l16(words))
    hears(call, words)
    call.hangup()


def hears(call, words):
    """Are these samples heard, one after the other and whole?"""
    call.rtp.wait_packets(len(words) // 160 + 5, timeout=20)    # silence follows them
    heard, wanted = l16(call.rtp.samples()), l16(words)
    at = heard.find(wanted)
    assert at >= 0 and at % 2 == 0, f"{len(heard) // 2} samples, and not these"


def test_every_sample_of_audiosocket_reaches_the_phone(site, esl):
    call, uuid = caller(site, esl)
    words = [audio.ULAW[b] for b in WORDS]
    with socket.create_server(("127.0.0.1", 0)) as server:
        stream_to(esl, uuid, f"tcp://127.0.0.1:{server.getsockname()[1]}")
        server.settimeout(8)
        peer = server.accept()[0]
        for at in range(0, len(words), 160):
            peer.sendall(struct.pack("!BH", 0x10, 320) + l16(words[at:at + 160]))
        hears(call, words)
        peer.sendall(b"\0\0\0")
        call.wait_end()
        peer.close()


def test_streams_begin_from_hooks_and_expansion(site, esl, bot):
    uuid = "01234567-89ab-cdef-0123-456789abcdef"
    phone = site.carrier()
    # A hook's command gets the call as its session; its first word names it all the same.
    hook = f"uuid_audio_fork {uuid} start {bot.url} mono 8k"
    esl.command(f"bgapi originate {{origination_uuid={uuid},api_on_answer='{hook}'}}sofia/gateway/carrier/100 &park()")
    far = phone.accept()
    assert not bot.objects()
    far.answer()
    bot.accept()
    assert [row["command"] for row in json.loads(esl.api(f"uuid_audio_streams {uuid}"))] == ["uuid_audio_fork"]
    expanded = f"x=${{uuid_audio_stream({uuid} start {bot.url} mono 8k)}}"
    esl.execute(uuid, "set", expanded)
    bot.accept()
    assert esl.api(f"uuid_getvar {uuid} x").strip() == "+OK Success"
    esl.api(f"uuid_setvar {uuid} api_hangup_hook uuid_audio_streams {uuid}")
    far.hangup()


def test_a_fallback_plays_or_hangs_up_with_a_cause(site, esl):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        dead = f"ws://127.0.0.1:{taken.getsockname()[1]}/"
        call, uuid = caller(site, esl)
        stream_to(esl, uuid, f"{dead} fallback='play:tone_stream://%(1000,0,700)'")
        call.rtp.wait_tone(700, 0.9)
        stream_to(esl, uuid, f"{dead} fallback=hangup:USER_BUSY")
        assert esl.wait_event("CHANNEL_HANGUP", Unique_ID=uuid).event["Hangup-Cause"] == "USER_BUSY"
        call.wait_end()


def test_headers_background_keep_and_the_longest_time(site, esl, bot):
    call, uuid = caller(site, esl)
    stream_to(esl, uuid, f"{bot.url} dialect=fork headers='{{\"X-Key\":\"k\"}}' background=true name=a")
    assert bot.accept().request.headers["X-Key"] == "k"
    event = esl.wait_event("CHANNEL_EXECUTE_COMPLETE", Unique_ID=uuid, Application="stream").event
    assert event["Application-Data"].startswith(bot.url), "it goes on in the background"
    assert [row["name"] for row in json.loads(esl.api(f"uuid_audio_streams {uuid}"))] == ["a"]
    # The longest time ends one that is waited for, and says so.
    stream_to(esl, uuid, f"{bot.url} dialect=fork name=b max_seconds=1")
    bot.accept()
    esl.wait_event("CHANNEL_EXECUTE_COMPLETE", Unique_ID=uuid, Application="stream")
    assert esl.api(f"uuid_getvar {uuid} stream_result").strip() == "stopped"
    assert [row["name"] for row in json.loads(esl.api(f"uuid_audio_streams {uuid}"))] == ["a"]
    # A call that goes elsewhere leaves a stream behind that is to be kept.
    stream_to(esl, uuid, f"{bot.url} dialect=fork name=c keep=true")
    bot.accept()
    esl.api(f"uuid_transfer {uuid} park inline")
    esl.wait_event("CHANNEL_PARK", Unique_ID=uuid)
    assert {row["name"] for row in json.loads(esl.api(f"uuid_audio_streams {uuid}"))} == {"a", "c"}
    call.hangup()


@pytest.mark.parametrize(("format", "rate"), [("alaw", 8000), ("l16", 48000)])
def test_other_formats_carry_the_caller(site, esl, bot, format, rate):
    call, uuid = caller(site, esl)
    call.rtp.tone(1000)
    stream_to(esl, uuid, f"{bot.url} dialect=chan_websocket format={format} rate={rate}")
    bot.accept()
    octets = lambda: b"".join(bot.binaries())
    bot.wait("a second", lambda: len(octets()) >= rate * (1 if format == "alaw" else 2))
    if format == "alaw":
        heard = [alaw(b) for b in octets()]
    else:
        heard = linear(octets())[::6]
    assert audio.power_of(1000, heard[1600:]) > 0.9
    call.hangup()


def alaw(octet):
    """G.711 A-law, as ITU-T has it."""
    octet ^= 0x55
    exponent, mantissa = (octet >> 4) & 7, octet & 15
    value = (mantissa << 4) + 8 if exponent == 0 else ((mantissa << 4) + 0x108) << (exponent - 1)
    return value if octet & 0x80 else -value


def test_what_is_played_beneath_is_turned_down_while_a_program_speaks(site, esl, bot):
    call, uuid = caller(site, esl)
    stream_to(esl, uuid, f"{bot.url} dialect=fork duck=10 background=true")
    bot.accept()
    esl.wait_event("CHANNEL_EXECUTE_COMPLETE", Unique_ID=uuid, Application="stream")
    esl.execute(uuid, "playback", "tone_stream://%(20000,0,500)")
    call.rtp.wait_tone(500, 0.5)
    before = level_of(500, call.rtp.samples()[-2000:])
    begun = len(call.rtp.packets)
    bot.send(l16(audio.sine(1300, 2)))
    call.rtp.wait_packets(begun + 80)
    during = level_of(500, call.rtp.samples(begun + 40)[-3200:])
    assert during < before / 3, (during, before)
    call.hangup()


def level_of(hz, samples):
    """Amplitude of a tone."""
    import cmath
    turn = cmath.exp(-2j * cmath.pi * hz / 8000)
    return abs(sum(s * turn ** n for n, s in enumerate(samples))) * 2 / max(1, len(samples))
