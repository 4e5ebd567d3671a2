"""Faults that users of audio stream modules and of bots' frameworks have reported in public, tried here. Each test names its report."""
import base64
import json
import struct
import time

import pytest

from harness import audio
from harness.bot import Bot, Heard
from harness.ear import caller, hears


@pytest.fixture
def bot():
    bot = Bot()
    yield bot
    bot.close()


def l16(samples):
    return struct.pack(f"<{len(samples)}h", *samples)


def speaking(esl, uuid, bot, name="b", rate=8000):
    reply = esl.api(f"uuid_audio_fork ^^|{uuid}|start|{bot.url}|mono|8000|{name}||true|true|{rate}")
    assert reply == "+OK Success\n", reply
    bot.accept()


def test_a_stream_goes_on_after_an_offer_in_the_call(site, esl, bot):
    """drachtio-freeswitch-modules 47: after a re-INVITE nothing was heard any more."""
    call, uuid = caller(site, esl)
    call.rtp.tone(700)
    speaking(esl, uuid, bot)
    ear = Heard(bot)
    bot.wait("the caller", lambda: ear.ms(700) >= 500, 30)
    assert call.reinvite().status == 200
    call.rtp.tone(1300)
    bot.wait("the caller after it", lambda: ear.ms(1300) >= 500, 30)
    bot.send(l16(audio.sine(1900, 3)))
    hears(call, 1900)
    call.hangup()


def test_streams_of_one_call_each_begin_with_their_metadata(site, esl, bot):
    """drachtio-freeswitch-modules 69, 115: some connections of several got no metadata."""
    call, uuid = caller(site, esl)
    bots = [bot] + [Bot() for _ in range(4)]
    try:
        for n, one in enumerate(bots):
            assert esl.api(f"uuid_audio_fork {uuid} start {one.url} mono 8000 s{n} {{\"n\":{n}}}").startswith("+OK")
        for n, one in enumerate(bots):
            one.accept()
            one.wait("audio", one.binaries, 30)
            assert json.loads(one.said[0]) == {"n": n}
        call.hangup()
        for one in bots:                                # 117: a connection stayed open after the call
            one.wait("the close", lambda: one.closed, 30)
    finally:
        for one in bots[1:]:
            one.close()


def test_a_second_stream_has_nothing_of_the_first(site, esl, bot):
    """mod_audio_stream 82: a new start was joined to the connection of the one before."""
    call, uuid = caller(site, esl)
    call.rtp.tone(700)
    assert esl.api(f"uuid_audio_stream {uuid} start {bot.url} mono 8000 first") == "+OK Success\n"
    bot.accept()
    bot.wait("audio", bot.binaries, 30)
    assert esl.api(f"uuid_audio_stream {uuid} stop") == "+OK Success\n"
    bot.wait("the close", lambda: bot.closed, 30)
    held = len(bot.said)
    other = Bot()
    try:
        assert esl.api(f"uuid_audio_stream {uuid} start {other.url} mono 8000 second") == "+OK Success\n"
        other.accept()
        other.wait("audio", other.binaries, 30)
        assert other.said[0] == "second" and len(bot.said) == held and bot.connections.empty()
    finally:
        other.close()
    call.hangup()


def test_a_text_that_is_no_json_is_told_and_audio_goes_on(site, esl, bot):
    """mod_audio_stream 17: half of a `streamAudio` object."""
    call, uuid = caller(site, esl)
    call.rtp.tone(700)
    esl.api(f"uuid_audio_stream {uuid} start {bot.url} mono 8000")
    bot.accept()
    half = '{"type": "streamAudio", "data": {"audioDataType": "raw", "sampleRate": 8000'
    bot.send(half)
    told = esl.wait_event("CUSTOM", timeout=20, Event_Subclass="mod_audio_stream::json", Unique_ID=uuid)
    assert told.event_body == half
    ear = Heard(bot)
    bot.wait("the caller", lambda: ear.ms(700) >= 500, 30)
    call.hangup()


def test_audio_at_24_khz_is_played_at_its_speed_and_pitch(site, esl, bot):
    """mod_audio_stream 72, 87: a model's 24 kHz were silent, or came in pieces."""
    call, uuid = caller(site, esl)
    for name, value in (("STREAM_PLAYBACK", "true"), ("STREAM_SAMPLE_RATE", "24000")):
        esl.api(f"uuid_setvar {uuid} {name} {value}")
    esl.api(f"uuid_audio_stream {uuid} start {bot.url} mono 24000")
    bot.accept()
    begun = len(call.rtp.packets)
    whole = l16(audio.sine(1000, 2, rate=24000))
    for at in range(0, len(whole), 4001 * 2):           # pieces of no round length, all at once
        bot.send(whole[at:at + 4001 * 2])
    bot.send({"type": "mark", "data": {"name": "end"}})
    bot.wait_object(type="mark")
    assert 1.9 <= audio.seconds_of(1000, call.rtp.samples(begun)) <= 2.1
    call.hangup()


def test_marks_between_pieces_sent_at_once_come_as_the_pieces_are_heard(site, esl, bot):
    """jambonz-feature-server 811: all marks came back at the same time."""
    call, uuid = caller(site, esl)
    speaking(esl, uuid, bot)
    times, begun = {}, len(call.rtp.packets)

    def noted(_, message):
        value = json.loads(message) if isinstance(message, str) else {}
        if value.get("type") == "mark":
            call.rtp.caught_up()
            times[value["data"]["name"]] = len(call.rtp.packets) - begun
    bot.on_message = noted
    for n in range(5):
        bot.send(l16(audio.sine(700, 0.4)))
        bot.send({"type": "mark", "data": {"name": str(n)}})
    bot.wait("all marks", lambda: len(times) == 5, 30)
    # By the packets the phone had at each: the clock of a loaded machine says little.
    assert list(times) == ["0", "1", "2", "3", "4"]
    assert all(times[str(n)] >= 20 * (n + 1) - 4 for n in range(5)), times
    call.hangup()


def test_the_caller_is_heard_while_the_program_speaks(site, esl, bot):
    """mod_audio_stream (voxcom) 1: what the caller said was sent only when the answer had been played."""
    call, uuid = caller(site, esl)
    call.rtp.tone(700)
    speaking(esl, uuid, bot)
    bot.send(l16(audio.sine(1300, 8)))
    hears(call, 1300)
    ear = Heard(bot)
    ear.ms(700)
    since = ear.ms(700)
    bot.wait("the caller meanwhile", lambda: ear.ms(700) >= since + 1000, 30)
    hears(call, 1300)
    call.hangup()


def test_clips_sent_one_after_the_other_are_heard_in_order(site, esl, bot):
    """jambonz-feature-server 1341: each new clip began in the one before."""
    call, uuid = caller(site, esl)
    esl.api(f"uuid_setvar {uuid} STREAM_PLAYBACK true")
    esl.api(f"uuid_audio_stream {uuid} start {bot.url} mono 8000")
    bot.accept()
    begun = len(call.rtp.packets)
    for hz in (700, 1300, 1900):
        clip = base64.b64encode(l16(audio.sine(hz, 1))).decode()
        bot.send({"type": "streamAudio", "data": {"audioDataType": "raw", "sampleRate": 8000, "audioData": clip}})
    bot.send({"type": "mark", "data": {"name": "end"}})
    bot.wait_object(type="mark")
    frames = [f for kind, f in call.rtp.packets[begun:] if kind == 0]
    strong = [next((hz for hz in (700, 1300, 1900) if audio.power_of(hz, audio.decode(0, f)) > 0.6), None) for f in frames]
    order = [hz for n, hz in enumerate(strong) if hz and (n == 0 or strong[n - 1] != hz)]
    assert order == [700, 1300, 1900], order
    assert all(strong.count(hz) >= 45 for hz in order)
    call.hangup()


def test_marks_that_are_cleared_come_back_after_what_was_heard(site, esl, bot):
    """vellum-assistant 38316, pipecat 395: marks of cleared audio come back, as Twilio's do, and what waited is not heard."""
    call, uuid = caller(site, esl)
    assert esl.execute(uuid, "stream", f"{bot.url} dialect=twilio").reply.startswith("+OK")
    bot.accept()
    sid = bot.wait_object(event="start")["streamSid"]
    for hz, name in ((700, "first"), (1300, "second")):
        payload = base64.b64encode(b"".join(audio.frames(audio.sine(hz, 10)))).decode()
        bot.send({"event": "media", "streamSid": sid, "media": {"payload": payload}})
        bot.send({"event": "mark", "streamSid": sid, "mark": {"name": name}})
    hears(call, 700)
    bot.send({"event": "clear", "streamSid": sid})
    bot.wait_object(2, event="mark")
    assert [m["mark"]["name"] for m in bot.objects(event="mark")] == ["first", "second"]
    at = len(call.rtp.packets)
    payload = base64.b64encode(b"".join(audio.frames(audio.sine(1900, 3)))).decode()
    bot.send({"event": "media", "streamSid": sid, "media": {"payload": payload}})
    hears(call, 1900)
    rest = [audio.decode(0, f) for kind, f in call.rtp.packets[at:] if kind == 0]
    assert not [f for f in rest if audio.power_of(1300, f) > 0.5]
    call.hangup()


def test_a_pause_ends(site, esl, bot):
    """jambonz-feature-server 751: a stream that was paused did not go on."""
    call, uuid = caller(site, esl)
    call.rtp.tone(700)
    speaking(esl, uuid, bot)
    ear = Heard(bot)
    bot.wait("the caller", lambda: ear.ms(700) >= 200, 30)
    assert esl.api(f"uuid_audio_fork {uuid} pause b").startswith("+OK")
    call.rtp.tone(1300)
    time.sleep(0.5)
    assert esl.api(f"uuid_audio_fork {uuid} resume b").startswith("+OK")
    bot.wait("the caller again", lambda: ear.ms(1300) >= 500, 30)
    call.hangup()


def test_clearing_is_confirmed_also_when_nothing_waits(site, esl, bot):
    """PyPI livekit-gateway counts `clearAudio` that Plivo has not answered; it clears at each onset of speech, also when it has nothing queued."""
    call, uuid = caller(site, esl)
    assert esl.execute(uuid, "stream", f"{bot.url} dialect=plivo").reply.startswith("+OK")
    bot.accept()
    stream = bot.wait_object(event="start")["streamId"]
    for count in (1, 2):
        bot.send({"event": "clearAudio", "streamId": stream})
        assert bot.wait_object(count, event="clearedAudio")["streamId"] == stream
    payload = base64.b64encode(b"".join(audio.frames(audio.sine(700, 10)))).decode()
    bot.send({"event": "playAudio", "media": {"contentType": "audio/x-mulaw", "sampleRate": 8000, "payload": payload}})
    hears(call, 700)
    bot.send({"event": "clearAudio", "streamId": stream})
    bot.wait_object(3, event="clearedAudio")
    bot.send({"event": "checkpoint", "streamId": stream, "name": "end"})
    bot.wait_object(event="playedStream", name="end")
    assert len(bot.objects(event="clearedAudio")) == 3
    call.hangup()


def test_what_is_sent_to_a_model_before_it_has_answered_arrives(site, esl):
    """A session is set up right after the start: `send_json` said `+OK`, and the text was lost where the handshake took longer."""
    bot = Bot(process_request=lambda connection, request: time.sleep(1))
    try:
        call, uuid = caller(site, esl)
        assert esl.api(f"uuid_openai_audio_stream {uuid} start {bot.url} mono 24k") == "+OK Success\n"
        for n in range(3):
            text = base64.b64encode(json.dumps({"type": "session.update", "n": n}).encode()).decode()
            assert esl.api(f"uuid_openai_audio_stream {uuid} send_json {text}") == "+OK Success\n"
        bot.accept()
        bot.wait_object(type="session.update", n=2)
        assert [m["n"] for m in bot.objects(type="session.update")] == [0, 1, 2]
        call.hangup()
    finally:
        bot.close()
