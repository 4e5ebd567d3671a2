"""Programs that send what they should not: the stream goes on or ends and says so, the call and other streams notice nothing."""
import base64
import json
import struct
import time

import pytest

from harness import audio
from harness.bot import Bot
from harness.ear import caller, hears

BINARY = ("vonage", "chan_websocket", "fork")
PREFIX = {"fork": "mod_audio_fork", "audio_stream": "mod_audio_stream", "openai": "mod_openai_audio_stream",
          "chan_websocket": "mod_chan_websocket"}
ODD = ["", "{", "[]", "null", "7", '"x"', "{}", '{"event":7}', '{"event":"media"}', '{"event":"media","media":7}',
       '{"event":"media","media":{"payload":7}}', '{"event":"media","media":{"payload":"***"}}', '{"event":"mark"}', '{"event":"mark","mark":{"name":{}}}',
       '{"type":"streamAudio"}', '{"type":"streamAudio","data":{"audioDataType":"raw","sampleRate":-1,"audioData":"AA"}}',
       '{"type":"playAudio","data":{"audioContent":"AA","audioContentType":"x/y","sampleRate":1e99}}', '{"type":"response.output_audio.delta","delta":7}',
       '{"type":"mark","data":{"name":null}}', "[" * 2000, '{"a":' * 2000, "\u0000\u0001 MARK_MEDIA", "SET_MEDIA_DIRECTION sideways", "x" * 100_000,
       json.dumps({"event": "media", "media": {"payload": "A" * 900_000}}), json.dumps({"event": "mark", "mark": {"name": "n" * 900_000}})]


@pytest.fixture
def bot():
    bot = Bot()
    yield bot
    bot.close()


def say(bot, dialect, hz):
    """Two seconds of a tone, as the dialect says audio."""
    samples = list(audio.sine(hz, 2))
    linear = struct.pack(f"<{len(samples)}h", *samples)
    text = base64.b64encode(linear).decode()
    if dialect in ("vonage", "fork"):
        return bot.send(linear)
    if dialect == "chan_websocket":
        return bot.send(bytes(audio.ulaw_byte(s) for s in samples))
    if dialect == "audio_stream":
        return bot.send({"type": "streamAudio", "data": {"audioDataType": "raw", "sampleRate": 8000, "audioData": text}})
    if dialect == "openai":
        return bot.send({"type": "response.output_audio.delta", "delta": text})
    kind = "raw" if dialect == "exotel" else None
    octets = linear if kind else bytes(audio.ulaw_byte(s) for s in samples)
    media = {"payload": base64.b64encode(octets).decode()}
    if dialect == "plivo":
        media |= {"contentType": "audio/x-mulaw", "sampleRate": 8000}
    return bot.send({"event": "playAudio" if dialect == "plivo" else "media", "media": media})


@pytest.mark.parametrize("dialect", ["twilio", "telnyx", "plivo", "exotel", "vonage", "fork", "audio_stream", "openai", "chan_websocket"])
def test_texts_that_mean_nothing_do_no_harm(site, esl, bot, dialect):
    call, uuid = caller(site, esl)
    rate = " rate=8000" if dialect in ("vonage", "fork", "audio_stream", "openai") else ""
    assert esl.execute(uuid, "stream", f"{bot.url} dialect={dialect}{rate} background=true token=hush-abuse").reply.startswith("+OK")
    bot.accept()
    prefix = PREFIX.get(dialect, "mod_media_streams")
    esl.wait_event("CUSTOM", timeout=20, Event_Subclass=f"{prefix}::connect", Unique_ID=uuid)
    for text in ODD:
        bot.send(text)
    if dialect not in BINARY:
        bot.send(b"\xff" * 1000)
    until = time.monotonic() + 20
    while time.monotonic() < until and "connected" not in esl.api(f"uuid_audio_streams {uuid}"):
        time.sleep(0.05)
    # A tone that is heard through all of it: the stream and its queue are whole. What noise said before it is cleared or over.
    for clear in ('{"event":"clear"}', '{"event":"clearAudio"}', '{"type":"killAudio"}', '{"type":"clearAudio"}', "FLUSH_MEDIA",
                  '{"type":"input_audio_buffer.speech_started"}'):
        bot.send(clear)
    if dialect == "openai":
        assert esl.api(f"uuid_audio_streams {uuid}").strip() != "[]"
        call.hangup()
        return
    rows = json.loads(esl.api(f"uuid_audio_streams {uuid}"))
    assert len(rows) == 1, "the stream goes on"
    say(bot, dialect, 1300)
    hears(call, 1300, timeout=20)
    call.hangup()
    assert "hush-abuse" not in site.switch.said(5000)


def test_a_message_beyond_the_bound_ends_the_stream_and_no_other(site, esl, bot):
    other = Bot()
    try:
        call, uuid = caller(site, esl)
        call.rtp.tone(700)
        for name, where in (("one", bot), ("two", other)):
            assert esl.api(f"uuid_audio_fork ^^|{uuid}|start|{where.url}|mono|8000|{name}||true|true|8000") == "+OK Success\n"
            where.accept()
        other.wait_audio(3200, 20)
        for _ in range(3):
            bot.send(b"\x00" * 1_000_000)           # a megabyte each: silence, more than there is room for
        row = next(r for r in json.loads(esl.api(f"uuid_audio_streams {uuid}")) if r["name"] == "one")
        assert row, "the queue is bounded, the stream goes on"
        try:
            bot.send(b"\x00" * 40_000_000)
        except Exception:                           # it may be closed while it is being sent
            pass
        bot.wait("the end of it", lambda: bot.closed, 20)
        esl.wait_event("CUSTOM", timeout=20, Event_Subclass="mod_audio_fork::disconnect", Unique_ID=uuid)
        other.forget()
        other.wait_audio(16_000, 20)
        other.send(struct.pack("<16000h", *audio.sine(1300, 2)))
        call.rtp.tone(None)
        hears(call, 1300, timeout=20)
        call.hangup()
    finally:
        other.close()
