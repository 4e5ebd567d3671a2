"""`uuid_audio_fork` against a WebSocket server, with phones on both ends of the call."""
import base64
import json
import math
import os
import socket
import struct
import time

import pytest

from harness import audio
from harness.bot import Bot

CUSTOM = "mod_audio_fork::{}".format


@pytest.fixture
def bot():
    bot = Bot(subprotocols=["audio.drachtio.org"])
    yield bot
    bot.close()


def caller(site, esl, number="park"):
    call = site.phone().invite(number)
    call.wait(200)
    return call, esl.wait_event("CHANNEL_PARK").event["Unique-ID"]


def bridged(site, esl):
    near, uuid = caller(site, esl)
    phone = site.carrier()
    assert esl.api(f"uuid_transfer {uuid} bridge:sofia/gateway/carrier/100 inline").startswith("+OK")
    far = phone.accept()
    far.answer()
    esl.wait_event("CHANNEL_BRIDGE")
    return near, far, uuid


def linear(octets, step=1, first=0):
    return list(struct.unpack(f"<{len(octets) // 2}h", octets))[first::step]


def l16(samples):
    return struct.pack(f"<{len(samples)}h", *samples)


def fork(esl, uuid, rest):
    return esl.api(f"uuid_audio_fork {uuid} {rest}")


def custom(esl, name, uuid, **more):
    return esl.wait_event("CUSTOM", Event_Subclass=CUSTOM(name), Unique_ID=uuid, **more)


def none_of(esl, name):
    esl.api("status")                                   # whatever was fired before is here now
    return not [m for m in esl.events if m.event.get("Event-Subclass") == CUSTOM(name)]


def test_the_caller_is_heard_after_connect_and_the_metadata(site, esl, bot):
    call, uuid = caller(site, esl)
    call.rtp.tone(1000)
    assert fork(esl, uuid, f"start {bot.url} mono 8k {{\"a\":1}}") == "+OK Success\n"
    connection = bot.accept()
    assert connection.subprotocol == "audio.drachtio.org"
    headers = connection.request.headers
    assert (headers["Host"], headers["Origin"]) == ("127.0.0.1", "127.0.0.1")
    assert "Sec-WebSocket-Extensions" not in headers and connection.request.path == "/bot?x=1"
    event = custom(esl, "connect", uuid)
    assert event.event["media-bugname"] == "audio_fork" and "variable_direction" in event.event
    assert not event.event_body
    bot.wait_audio(16000)
    assert bot.said[0] == '{"a":1}' and {len(m) for m in bot.binaries()} == {320}
    heard = linear(b"".join(bot.binaries()))[1600:]
    assert audio.power_of(1000, heard) > 0.95
    assert fork(esl, uuid, "stop audio_fork bye") == "+OK Success\n"
    bot.wait("the close", lambda: bot.closed)
    assert (bot.texts()[-1], bot.closed[0][0]) == ("bye", 1000)
    assert none_of(esl, "disconnect"), "a local stop has no event"
    assert fork(esl, uuid, "stop") == "-ERR Operation Failed\n"
    call.hangup()


def test_samples_arrive_as_the_phone_sent_them(site, esl, bot):
    """G.711 to linear is a table: every sample that leaves the phone is the one the bot gets."""
    call, uuid = caller(site, esl)
    payloads = [bytes((n * 7 + i) & 255 for i in range(160)) for n in range(40)]
    with call.rtp.lock:
        call.rtp.loop = payloads
    fork(esl, uuid, f"start {bot.url} mono 8000")
    bot.wait_audio(320 * 120)
    heard = b"".join(bot.binaries())[320 * 10:320 * 110]
    whole = b"".join(l16(audio.decode(0, p)) for p in payloads) * 4
    assert heard in whole, "no sample lost, made up or changed"
    call.hangup()


def test_both_sides_are_mixed_or_in_turn(site, esl, bot):
    near, far, uuid = bridged(site, esl)
    near.rtp.tone(1000), far.rtp.tone(600)
    far.rtp.wait_tone(1000)
    assert fork(esl, uuid, f"start {bot.url} stereo 16k both") == "+OK Success\n"
    bot.accept()
    bot.wait_audio(1280 * 60)
    assert {len(m) for m in bot.binaries()} == {1280}
    octets = b"".join(bot.binaries()[10:])
    said, heard = linear(octets, 2, 0), linear(octets, 2, 1)
    assert audio.power_of(1000, said, 16000) > 0.9 and audio.power_of(600, heard, 16000) > 0.9
    assert audio.power_of(600, said, 16000) < 0.05 and audio.power_of(1000, heard, 16000) < 0.05
    bot.forget()
    assert fork(esl, uuid, f"start {bot.url} mixed 8k mix") == "+OK Success\n"
    assert fork(esl, uuid, f"start {bot.url} mixed 8k mix") == "-ERR Operation Failed\n", "the name is taken"
    assert fork(esl, uuid, "stop both") == "+OK Success\n"
    time.sleep(0.3)
    bot.forget()
    bot.wait_audio(320 * 50)
    mixed = linear(b"".join(bot.binaries()[-40:]))
    assert audio.power_of(1000, mixed) > 0.3 and audio.power_of(600, mixed) > 0.3
    near.hangup()
    far.wait_end()
    bot.wait("the close at hangup", lambda: len(bot.closed) == 2)


def test_arguments_are_taken_apart_as_the_reference_does(site, esl, bot):
    call, uuid = caller(site, esl)
    usage, failed, none = "-USAGE: <uuid> [start", "-ERR Operation Failed\n", "-ERR no reply\n"
    assert esl.api("uuid_audio_fork").startswith(usage) and esl.api(f"uuid_audio_fork {uuid}").startswith(usage)
    assert fork(esl, uuid, "start ws://x").startswith(usage)
    assert esl.api("uuid_audio_fork nobody stop") == failed
    assert fork(esl, uuid, "dance") == failed
    assert fork(esl, uuid, f"start {bot.url} Mono 8k") == none
    assert fork(esl, uuid, "send_text") == none
    for bad in (f"start {bot.url} mono", f"start {bot.url} mono 11025", "start ftp://x mono 8k", "start ws:// mono 8k"):
        assert fork(esl, uuid, bad) == failed, bad
    ten = f"uuid_audio_fork ^^|{uuid}|start|{bot.url}|mono|16000||'{{\"a\": \"b c\"}}'|true|true|16000"
    assert esl.api(ten) == "+OK Success\n"
    bot.wait_text('{"a": "b c"}')
    assert fork(esl, uuid, "SEND_TEXT audio_fork 'two words' more") == "+OK Success\n"
    bot.wait_text("two words")
    assert fork(esl, uuid, "stop") == "+OK Success\n"
    call.hangup()


def test_texts_sent_before_the_connection_are_not_lost(site, esl, bot):
    call, uuid = caller(site, esl)
    fork(esl, uuid, f"start {bot.url} mono 8k b1 '{{}}'")
    for n in range(5):
        assert fork(esl, uuid, f"send_text b1 t{n}") == "+OK Success\n"
    bot.wait_text("t4")
    assert bot.texts()[:6] == ["{}", "t0", "t1", "t2", "t3", "t4"]
    call.hangup()


def test_a_clip_becomes_a_file_that_ends_with_the_stream(site, esl, bot):
    call, uuid = caller(site, esl)
    fork(esl, uuid, f"start {bot.url} mono 8k")
    bot.accept()
    custom(esl, "connect", uuid)
    tone = l16(audio.sine(700, 0.6))
    data = {"audioContentType": "raw", "sampleRate": 8000, "audioContent": base64.b64encode(tone).decode(), "id": "7"}
    bot.send({"type": "playAudio", "data": data})
    told = json.loads(custom(esl, "play_audio", uuid).event_body)
    path = told.pop("file")
    assert told == {"audioContentType": "raw", "sampleRate": 8000, "id": "7"}
    assert path.endswith(f"{uuid}_0.tmp.r8") and open(path, "rb").read() == tone and os.stat(path).st_mode & 0o777 == 0o600
    assert not call.rtp.packets, "the application plays it, not the switch"
    esl.api(f"uuid_broadcast {uuid} {path} aleg")
    call.rtp.wait_tone(700, 0.5)
    bot.send({"type": "killAudio"})
    custom(esl, "kill_audio", uuid)
    for kind in ("transcription", "transfer", "disconnect", "error"):
        bot.send({"type": kind, "data": {"n": 1}})
        assert custom(esl, kind, uuid).event_body == '{"n":1}'
    whole = '{"type":"json", "data": [1,  2]}'
    bot.send(whole)
    assert custom(esl, "json", uuid).event_body == whole
    fork(esl, uuid, "stop")
    bot.wait("the close", lambda: bot.closed)
    until = time.monotonic() + 3
    while os.path.exists(path) and time.monotonic() < until:
        time.sleep(0.02)
    assert not os.path.exists(path)
    call.hangup()


@pytest.mark.parametrize("rate", [8000, 16000, 24000])
def test_streamed_answers_are_heard_whole_and_marks_told_when_they_were(site, esl, bot, rate):
    call, uuid = caller(site, esl)
    ten = f"uuid_audio_fork ^^|{uuid}|start|{bot.url}|mono|8000|b||true|true|{rate}"
    assert esl.api(ten) == "+OK Success\n"
    bot.accept()
    begun = len(call.rtp.packets)
    bot.send(l16(audio.sine(700, 3, rate=rate)))                        # in one burst
    bot.send({"type": "mark", "data": {"name": "first"}})
    for piece in (l16(audio.sine(1300, 1, rate=rate))[i:i + 777] for i in range(0, rate * 2, 777)):
        bot.send(piece)
    bot.send({"type": "mark", "data": {"name": "second"}})
    first = '{"type": "mark", "data": {"name":"first", "event": "playout"}}'
    bot.wait_text(first, 10)
    heard = audio.seconds_of(700, call.rtp.samples(begun))
    assert 2.9 <= heard <= 3.1, f"the mark came after {heard} s of 3"
    bot.wait_text(first.replace("first", "second"), 10)
    assert 0.9 <= audio.seconds_of(1300, call.rtp.samples(begun)) <= 1.1
    call.hangup()


def test_every_sample_of_an_answer_reaches_the_phone(site, esl, bot):
    call, uuid = caller(site, esl)
    esl.api(f"uuid_audio_fork ^^|{uuid}|start|{bot.url}|mono|8000|b||true|true|8000")
    bot.accept()
    words = [audio.ULAW[(n * 3 + n // 500) & 255] for n in range(16000)]        # what G.711 can say exactly
    bot.send(l16(words))
    bot.send({"type": "mark", "data": {"name": "end"}})
    bot.wait_object(type="mark")
    call.rtp._wait("all of it", lambda: len(call.rtp.samples()) >= 16000, 4)
    assert call.rtp.samples()[:16000] == words
    call.hangup()


def test_kill_audio_is_silent_at_once_and_gives_marks_back(site, esl, bot):
    call, uuid = caller(site, esl)
    esl.api(f"uuid_audio_fork ^^|{uuid}|start|{bot.url}|mono|8000|b||true|true|8000")
    bot.accept()
    bot.send(l16(audio.sine(700, 20)))
    for n in range(3):
        bot.send({"type": "mark", "data": {"name": f"m{n}"}})
    call.rtp.wait_tone(700, 0.6)
    bot.send({"type": "killAudio"})
    bot.wait_object(3, type="mark")
    assert [m["data"] for m in bot.objects(type="mark")] == [{"name": f"m{n}", "event": "cleared"} for n in range(3)]
    told = json.loads(custom(esl, "cleared", uuid).event_body)
    assert 600 <= told["heard_ms"] < 2000 and told["heard_ms"] + told["cleared_ms"] in range(19900, 20001)
    quiet = len(call.rtp.packets)
    time.sleep(0.4)
    assert audio.seconds_of(700, call.rtp.samples(quiet + 2)) == 0
    bot.send(l16(audio.sine(1300, 1)))
    call.rtp.wait_tone(1300, 0.8)
    call.hangup()


def test_an_answer_is_heard_by_its_own_leg_and_over_what_is_played(site, esl, bot):
    near, far, uuid = bridged(site, esl)
    near.rtp.tone(1000), far.rtp.tone(600)
    near.rtp.wait_tone(600)
    esl.api(f"uuid_audio_fork ^^|{uuid}|start|{bot.url}|mono|8000|b||true|true|8000")
    bot.accept()
    at, there = len(near.rtp.packets), len(far.rtp.packets)
    bot.send(l16(audio.sine(1500, 2)))

    def both():
        samples = near.rtp.samples(at)
        return sum(audio.power_of(1500, samples[i:i + 160]) > 0.3 and audio.power_of(600, samples[i:i + 160]) > 0.3
                   for i in range(0, len(samples), 160)) > 60
    near.rtp._wait("both at once", both, 8)
    assert not any(audio.power_of(1500, far.rtp.samples(there)[i:i + 160]) > 0.2 for i in range(0, 8000, 160)), "leaked"
    begun = len(near.rtp.packets)
    near.rtp.wait_tone(600, 1, since=begun)
    near.hangup()
    far.wait_end()


def test_pause_resume_and_the_graceful_end(site, esl, bot):
    call, uuid = caller(site, esl)
    call.rtp.tone(1000)
    fork(esl, uuid, f"start {bot.url} mono 8k")
    bot.wait_audio(8000)
    assert fork(esl, uuid, "pause") == "+OK Success\n"
    time.sleep(0.3)
    bot.forget()
    time.sleep(0.6)
    assert not bot.binaries()
    assert fork(esl, uuid, "pause audio_fork silence") == "+OK Success\n"
    bot.wait_audio(6400)
    assert not any(b"".join(bot.binaries()))
    fork(esl, uuid, "resume")
    bot.forget()
    bot.wait_audio(16000)
    assert audio.power_of(1000, linear(b"".join(bot.binaries()))[4000:]) > 0.9
    assert fork(esl, uuid, "graceful-shutdown") == "+OK Success\n"
    bot.wait("an empty message", lambda: b"" in bot.binaries())
    bot.send({"type": "transcription", "data": {"final": True}})
    assert custom(esl, "transcription", uuid).event_body == '{"final":true}'
    assert bot.binaries()[-1] == b""
    assert fork(esl, uuid, "stop") == "+OK Success\n"
    call.hangup()


def test_failures_and_ends_are_told_and_free_the_name(site, esl, bot):
    call, uuid = caller(site, esl)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        assert fork(esl, uuid, f"start ws://127.0.0.1:{taken.getsockname()[1]}/ mono 8k") == "+OK Success\n"
        reason = json.loads(custom(esl, "connect_failed", uuid).event_body)["reason"]
        assert "refused" in reason
    assert fork(esl, uuid, "stop") == "+OK Success\n", "a stop after a failure succeeds once"
    assert fork(esl, uuid, f"start {bot.url} mono 8k") == "+OK Success\n"
    bot.accept()
    custom(esl, "connect", uuid)
    bot.connection.close()
    assert not custom(esl, "disconnect", uuid).event_body
    assert fork(esl, uuid, f"start {bot.url} mono 8k") == "+OK Success\n", "the name is free"
    connection = bot.accept()
    custom(esl, "connect", uuid)
    connection.socket.shutdown(socket.SHUT_RDWR)                        # the server dies
    custom(esl, "disconnect", uuid)
    call.rtp.tone(500)
    assert "sip:" not in esl.api("status")
    call.hangup()


def test_an_address_inside_the_node_is_refused_with_the_setting_that_allows_it(site, esl):
    call, uuid = caller(site, esl)
    assert fork(esl, uuid, "start ws://[::1]:9/secret?token=abc mono 8k") == "+OK Success\n"
    reason = json.loads(custom(esl, "connect_failed", uuid).event_body)["reason"]
    assert "allow-internal-targets" in reason and "audio_streams.conf" in reason and "abc" not in reason
    call.hangup()


def test_a_stalled_program_harms_neither_the_call_nor_other_streams(site, esl, bot):
    near, far, uuid = bridged(site, esl)
    near.rtp.tone(1000), far.rtp.tone(600)
    slow = Bot(subprotocols=["audio.drachtio.org"])
    slow.stalled.set()
    try:
        fork(esl, uuid, f"start {slow.url} stereo 48k slow")
        fork(esl, uuid, f"start {bot.url} mono 8k quick")
        slow.accept()
        custom(esl, "buffer_overrun", uuid, media_bugname="slow")
        at, before = len(near.rtp.packets), len(bot.binaries())
        near.rtp.wait_tone(600, 3, since=at)
        assert len(near.rtp.packets) - at <= 160, "no packet is late or doubled"
        assert len(bot.binaries()) - before >= 140
        rows = {row["name"]: row for row in json.loads(esl.api(f"uuid_audio_streams {uuid}"))}
        assert rows["slow"]["dropped_messages"] > 0 and rows["quick"]["dropped_messages"] == 0
        near.hangup()
        far.wait_end()
    finally:
        slow.close()


def test_a_stream_survives_transfer_and_a_parked_call_is_spoken_to(site, esl, bot):
    call, uuid = caller(site, esl)
    call.rtp.tone(1000)
    esl.api(f"uuid_audio_fork ^^|{uuid}|start|{bot.url}|mono|8000|b||true|true|8000")
    bot.accept()
    bot.send(l16(audio.sine(700, 1)))
    call.rtp.wait_tone(700, 0.8)
    assert esl.api(f"uuid_transfer {uuid} park inline").startswith("+OK")
    esl.wait_event("CHANNEL_PARK")
    bot.forget()
    bot.wait_audio(16000)
    assert audio.power_of(1000, linear(b"".join(bot.binaries()[10:]))) > 0.9
    bot.send(l16(audio.sine(1300, 1)))
    call.rtp.wait_tone(1300, 0.8)
    call.hangup()
    bot.wait("the close", lambda: bot.closed)


def test_a_ringing_call_gets_early_media(site, esl, bot):
    call = site.phone().invite("ring")
    call.wait(180)
    uuid = esl.wait_event("CHANNEL_PROGRESS").event["Unique-ID"]
    assert fork(esl, uuid, f"start {bot.url} mono 8k") == "+OK Success\n"
    assert call.wait(183).body
    bot.accept()
    call.cancel()


def test_starts_and_stops_leave_nothing_behind(site, esl, bot):
    call, uuid = caller(site, esl)
    before = site.switch.sockets()
    for n in range(60):
        assert fork(esl, uuid, f"start {bot.url} mono 8k n{n}") == "+OK Success\n"
        if n % 2:
            bot.accept()
        assert fork(esl, uuid, f"stop n{n}") == "+OK Success\n"
    until = time.monotonic() + 8
    while site.switch.sockets() > before and time.monotonic() < until:
        time.sleep(0.05)
    assert site.switch.sockets() <= before
    assert json.loads(esl.api(f"uuid_audio_streams {uuid}")) == []
    call.hangup()
