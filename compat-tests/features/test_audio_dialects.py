"""Streams in the other dialects: mod_audio_stream, OpenAI Realtime, Twilio and its kin, Asterisk's, AudioSocket."""
import base64
import json
import socket
import struct
import threading
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
    """Runs the application on a parked call."""
    assert esl.execute(uuid, "stream", data).reply.startswith("+OK")


def custom(esl, subclass, uuid):
    return esl.wait_event("CUSTOM", Event_Subclass=subclass, Unique_ID=uuid)


def linear(octets):
    return list(struct.unpack(f"<{len(octets) // 2}h", octets))


def l16(samples):
    return struct.pack(f"<{len(samples)}h", *samples)


def b64(octets):
    return base64.b64encode(octets).decode()


# --- mod_audio_stream

def test_audio_stream_sends_its_metadata_then_tells_and_frames_as_asked(site, esl, bot):
    call, uuid = caller(site, esl)
    call.rtp.tone(1000)
    for name, value in (("STREAM_BUFFER_SIZE", "100"), ("STREAM_EXTRA_HEADERS", '{"X-Key":"k"}')):
        esl.api(f"uuid_setvar {uuid} {name} {value}")
    assert esl.api(f"uuid_audio_stream {uuid} start {bot.url} mono 8k {{\"a\": 1, \"b\": 2}}") == "+OK Success\n"
    request = bot.accept().request
    assert (request.headers["X-Key"], request.headers.get("Sec-WebSocket-Protocol")) == ("k", None)
    assert "permessage-deflate" in request.headers["Sec-WebSocket-Extensions"]
    assert custom(esl, "mod_audio_stream::connect", uuid).event_body == '{"status":"connected"}'
    bot.wait_audio(16000)
    assert bot.said[0] == '{"a": 1, "b": 2}' and {len(m) for m in bot.binaries()} == {1600}
    assert audio.power_of(1000, linear(b"".join(bot.binaries()))[1600:]) > 0.95
    assert esl.api(f"uuid_audio_stream {uuid} start {bot.url} mono 8k") == "-ERR Operation Failed\n"
    assert esl.api(f"uuid_audio_stream {uuid} send_text hello world") == "+OK Success\n"
    bot.wait_text("hello")
    for said in ("no JSON at all", '{ "msg" : "execute-app" }', "x" * 200_000):
        bot.send(said)
        assert custom(esl, "mod_audio_stream::json", uuid).event_body == said
    bot.connection.close(1000, "")
    body = json.loads(custom(esl, "mod_audio_stream::disconnect", uuid).event_body)
    assert body == {"status": "disconnected", "message": {"code": 1000, "reason": "Normal closure"}}
    assert esl.api(f"uuid_audio_stream {uuid} stop") == "+OK Success\n"
    assert esl.api(f"uuid_audio_stream {uuid} stop") == "-ERR Operation Failed\n"
    call.hangup()


def test_audio_stream_leaves_clips_to_the_application_unless_asked_to_play_them(site, esl, bot):
    call, uuid = caller(site, esl)
    esl.api(f"uuid_audio_stream {uuid} start {bot.url} mono")
    bot.accept()
    clip = l16(audio.sine(700, 1, rate=16000))
    data = {"audioDataType": "raw", "sampleRate": 16000, "audioData": b64(clip), "seq": 3}
    bot.send({"type": "streamAudio", "data": data})
    told = json.loads(custom(esl, "mod_audio_stream::play", uuid).event_body)
    assert (told["seq"], told["file"][-11:], open(told["file"], "rb").read()) == (3, "_0.tmp.r16", clip) or told["file"].endswith(".r16")
    assert not call.rtp.packets
    esl.api(f"uuid_broadcast {uuid} {told['file']} aleg")
    call.rtp.wait_tone(700, 0.9)
    assert esl.api(f"uuid_audio_stream {uuid} stop") == "+OK Success\n"
    esl.api(f"uuid_setvar {uuid} STREAM_PLAYBACK true")
    esl.api(f"uuid_audio_stream {uuid} start {bot.url} mono 8000")
    bot.accept()
    begun = len(call.rtp.packets)
    bot.send({"type": "streamAudio", "data": data})
    told = json.loads(custom(esl, "mod_audio_stream::play", uuid).event_body)
    assert told == {"audioDataType": "raw", "sampleRate": 16000, "seq": 3, "bytes": len(clip)}
    bot.send(l16(audio.sine(1300, 1)))
    bot.send({"type": "mark", "data": {"name": "m"}})
    bot.wait_object(type="mark")
    bot.wait_object(type="playoutDone")
    heard = call.rtp.samples(begun)
    assert 0.9 <= audio.seconds_of(700, heard) <= 1.1 and 0.9 <= audio.seconds_of(1300, heard) <= 1.1
    call.hangup()


def test_audio_stream_tells_a_refusal_with_its_number(site, esl, bot):
    call, uuid = caller(site, esl)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        esl.api(f"uuid_audio_stream {uuid} start ws://127.0.0.1:{taken.getsockname()[1]} mono")
        body = json.loads(custom(esl, "mod_audio_stream::error", uuid).event_body)
    assert (body["status"], body["message"]["code"]) == ("error", 6) and body["message"]["error"]
    assert esl.api(f"uuid_audio_stream {uuid} start {bot.url} mono") == "+OK Success\n"
    bot.accept()
    call.hangup()
    bot.wait("the close", lambda: bot.closed)


# --- OpenAI Realtime

def test_a_realtime_model_hears_appends_and_is_heard_and_interrupted(site, esl, bot):
    call, uuid = caller(site, esl)
    call.rtp.tone(1000)
    esl.api(f"uuid_setvar {uuid} STREAM_OPENAI_API_KEY secret")
    esl.api(f"uuid_setvar {uuid} STREAM_DISABLE_AUDIOFILES true")
    assert esl.api(f"uuid_openai_audio_stream {uuid} start {bot.url} mono 24k") == "+OK Success\n"
    assert bot.accept().request.headers["Authorization"] == "Bearer secret"
    bot.wait_object(60, type="input_audio_buffer.append")
    heard = linear(b"".join(base64.b64decode(m["audio"]) for m in bot.objects(type="input_audio_buffer.append")))
    assert audio.power_of(1000, heard[4800:], 24000) > 0.9
    update = {"type": "session.update"}
    assert esl.api(f"uuid_openai_audio_stream {uuid} send_json {b64(json.dumps(update).encode())}") == "+OK Success\n"
    bot.wait_object(type="session.update")
    begun = len(call.rtp.packets)
    speech = l16(audio.sine(700, 6, rate=24000))
    for at in range(0, len(speech), 48000):
        bot.send({"type": "response.output_audio.delta", "item_id": "i", "delta": b64(speech[at:at + 48000])})
    assert custom(esl, "mod_openai_audio_stream::play", uuid).event_body == '{"type":"response.output_audio.delta","item_id":"i"}'
    call.rtp.wait_tone(700, 1, since=begun)
    bot.send({"type": "input_audio_buffer.speech_started"})
    assert custom(esl, "mod_openai_audio_stream::openai_speech_start", uuid).event_body == '{"status":"started"}'
    quiet = len(call.rtp.packets)
    time.sleep(0.5)
    assert audio.seconds_of(700, call.rtp.samples(quiet + 2)) == 0
    assert esl.api(f"uuid_openai_audio_stream {uuid} mute user") == "+OK Success\n"
    time.sleep(0.2)
    bot.forget()
    time.sleep(0.4)
    assert not bot.objects(type="input_audio_buffer.append")
    assert esl.api(f"uuid_openai_audio_stream {uuid} stop") == "+OK Success\n"
    call.hangup()


# --- the application

def test_a_server_for_twilio_is_served_as_twilio_serves_it(site, esl, bot):
    call, uuid = caller(site, esl)
    call.rtp.tone(1000)
    stream_to(esl, uuid, f"{bot.url} dialect=twilio metadata='{{\"first\":\"Jane\"}}' token=t")
    assert bot.accept().request.headers["Authorization"] == "Bearer t"
    start = bot.wait_object(event="start")
    assert bot.objects(event="connected") == [{"event": "connected", "protocol": "Call", "version": "1.0.0"}]
    assert start["start"]["callSid"] == uuid and start["start"]["customParameters"] == {"first": "Jane"}
    assert start["start"]["mediaFormat"] == {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1}
    bot.wait_object(60, event="media")
    media = bot.objects(event="media")
    assert [int(m["media"]["chunk"]) for m in media] == list(range(1, len(media) + 1))
    assert [int(m["media"]["timestamp"]) for m in media] == [20 * n for n in range(len(media))]
    heard = [audio.ULAW[b] for m in media for b in base64.b64decode(m["media"]["payload"])]
    assert audio.power_of(1000, heard[1600:]) > 0.95
    numbers = [int(m["sequenceNumber"]) for m in bot.objects() if "sequenceNumber" in m]
    assert numbers == list(range(1, len(numbers) + 1))
    sid, begun = start["streamSid"], len(call.rtp.packets)
    for hz, name in ((700, "a"), (1300, "b")):
        for frame in audio.frames(audio.sine(hz, 1)):
            bot.send({"event": "media", "streamSid": sid, "media": {"payload": b64(frame)}})
        bot.send({"event": "mark", "streamSid": sid, "mark": {"name": name}})
    bot.wait_object(2, event="mark")
    assert [m["mark"]["name"] for m in bot.objects(event="mark")] == ["a", "b"]
    heard = call.rtp.samples(begun)
    assert 0.95 <= audio.seconds_of(700, heard) <= 1.05 and 0.9 <= audio.seconds_of(1300, heard) <= 1.05
    bot.forget()
    bot.send({"event": "media", "streamSid": sid, "media": {"payload": b64(bytes(audio.frames(audio.sine(700, 5))[0] * 250))}})
    bot.send({"event": "mark", "streamSid": sid, "mark": {"name": "c"}})
    bot.send({"event": "clear", "streamSid": sid})
    assert bot.wait_object(event="mark")["mark"] == {"name": "c"}
    call.rtp.digits("5")
    assert bot.wait_object(event="dtmf")["dtmf"] == {"track": "inbound_track", "digit": "5"}
    call.hangup()
    assert bot.wait_object(event="stop")["stop"]["callSid"] == uuid
    bot.wait("the close", lambda: bot.closed and bot.closed[0][0] == 1000)


def test_the_far_end_interrupts_what_is_played_to_it(site, esl, bot):
    call, uuid = caller(site, esl)
    stream_to(esl, uuid, f"{bot.url} dialect=fork barge_in=true turn_silence_ms=500")
    bot.accept()
    custom(esl, "mod_audio_fork::connect", uuid)
    bot.send(l16(audio.sine(700, 20)))
    bot.send({"type": "mark", "data": {"name": "m"}})
    call.rtp.wait_tone(700, 0.5)
    call.rtp.tone(1000)
    event = custom(esl, "mod_audio_fork::barge_in", uuid).event
    at = json.loads(custom(esl, "mod_audio_fork::vad", uuid).event_body)
    assert (at["event"], at["direction"]) == ("start", "read") and event["media-bugname"] == "stream"
    assert bot.wait_object(type="mark")["data"] == {"name": "m", "event": "cleared"}
    quiet = len(call.rtp.packets)
    time.sleep(0.4)
    assert audio.seconds_of(700, call.rtp.samples(quiet + 2)) == 0
    call.rtp.tone(None)
    assert json.loads(custom(esl, "mod_audio_fork::turn_end", uuid).event_body)["silence"] >= 500
    call.hangup()


@pytest.mark.parametrize("json_form", [False, True])
def test_a_server_for_asterisk_is_served_as_asterisk_serves_it(site, esl, bot, json_form):
    call, uuid = caller(site, esl)
    call.rtp.tone(1000)
    stream_to(esl, uuid, f"{bot.url} dialect=chan_websocket json={'true' if json_form else 'false'} format=ulaw")
    bot.accept()

    def says(name, **more):
        if json_form:
            return bot.wait_object(event=name, **more)
        text = " ".join([name, *more.values()])
        bot.wait(text, lambda: any(t == text or (not more and t.startswith(name)) for t in bot.texts()))
        return next(t for t in bot.texts() if t.startswith(name))

    def command(name, **more):
        bot.send({"command": name, **more} if json_form else " ".join([name, *more.values()]))

    start = says("MEDIA_START")
    assert (start["optimal_frame_size"], start["channel_id"]) == (160, uuid) if json_form else f"channel_id:{uuid} format:ulaw" in start
    bot.wait_audio(8000)
    heard = [audio.ULAW[b] for b in b"".join(bot.binaries())]
    assert audio.power_of(1000, heard[1600:]) > 0.95
    begun = len(call.rtp.packets)
    bot.send(b"".join(audio.frames(audio.sine(700, 1))))
    command("MARK_MEDIA", correlation_id="m-1")
    command("REPORT_QUEUE_DRAINED")
    says("MEDIA_MARK_PROCESSED", correlation_id="m-1")
    says("QUEUE_DRAINED")
    assert 0.95 <= audio.seconds_of(700, call.rtp.samples(begun)) <= 1.05
    bot.send(b"".join(audio.frames(audio.sine(700, 50))))
    says("MEDIA_XOFF")
    command("GET_STATUS")
    says("STATUS")
    command("FLUSH_MEDIA")
    says("MEDIA_XON")
    call.rtp.digits("7")
    says("DTMF_END")
    command("HANGUP")
    call.wait_end()


def test_audiosocket_carries_the_call_over_tcp(site, esl):
    call, uuid = caller(site, esl)
    call.rtp.tone(1000)
    with socket.create_server(("127.0.0.1", 0)) as server:
        stream_to(esl, uuid, f"tcp://127.0.0.1:{server.getsockname()[1]} fallback=hangup")
        server.settimeout(8)
        peer = server.accept()[0]
        peer.settimeout(8)

        def read(count):
            octets = b""
            while len(octets) < count:
                more = peer.recv(count - len(octets))
                assert more, "closed too early"
                octets += more
            return octets

        def packet():
            kind, length = struct.unpack("!BH", read(3))
            return kind, read(length)

        assert packet() == (1, bytes.fromhex(uuid.replace("-", "")))
        heard = b""
        while len(heard) < 16000:
            kind, payload = packet()
            assert kind == 0x10
            heard += payload
        assert audio.power_of(1000, linear(heard)[1600:]) > 0.95
        for frame in range(0, 16000, 320):
            peer.sendall(struct.pack("!BH", 0x10, 320) + l16(audio.sine(700, 1))[frame:frame + 320])
        call.rtp.wait_tone(700, 0.9)
        peer.sendall(b"\0\0\0")
        call.wait_end()
        peer.close()


def test_without_a_server_the_call_goes_where_it_is_told_to(site, esl, bot):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        dead = f"ws://127.0.0.1:{taken.getsockname()[1]}/"
        call, uuid = caller(site, esl)
        stream_to(esl, uuid, f"{dead} fallback='park inline'")
        esl.wait_event("CHANNEL_PARK", Unique_ID=uuid)
        assert esl.api(f"uuid_getvar {uuid} stream_result").strip() == "failed"
        stream_to(esl, uuid, f"{dead},{bot.url} dialect=telnyx")
        bot.accept()
        assert bot.wait_object(event="start")["start"]["call_control_id"] == uuid
        call.hangup()


def test_a_server_that_comes_back_is_connected_to_again(site, esl):
    bot = Bot()
    call, uuid = caller(site, esl)
    stream_to(esl, uuid, f"{bot.url} dialect=twilio reconnect=10")
    bot.accept()
    bot.wait_object(20, event="media")
    last = max(int(m["sequenceNumber"]) for m in bot.objects() if "sequenceNumber" in m)
    port = bot.port
    bot.connection.socket.shutdown(socket.SHUT_RDWR)
    bot.close()
    custom(esl, "mod_media_streams::reconnecting", uuid)
    again = Bot(port)
    try:
        again.accept(15)
        start = again.wait_object(event="start")
        assert int(start["sequenceNumber"]) > last, "the sequence goes on"
        again.wait_object(20, event="media")
        begun = len(call.rtp.packets)
        for frame in audio.frames(audio.sine(700, 1)):
            again.send({"event": "media", "streamSid": start["streamSid"], "media": {"payload": b64(frame)}})
        call.rtp.wait_tone(700, 0.9, since=begun)
        call.hangup()
        again.wait_object(event="stop")
    finally:
        again.close()


def test_late_frames_are_heard_whole(site, esl, bot):
    """A fifth of the frames come 60 ms late: gaps at first, none once the queue has made room for them."""
    call, uuid = caller(site, esl)
    stream_to(esl, uuid, f"{bot.url} dialect=twilio")
    sid = bot.accept() and bot.wait_object(event="start")["streamSid"]
    frames = audio.frames(audio.sine(700, 6))
    begun, clock = len(call.rtp.packets), time.monotonic()
    for n, frame in enumerate(frames):
        due = clock + n * 0.02 + (0.06 if n % 5 == 0 else 0)
        time.sleep(max(0, due - time.monotonic()))
        bot.send({"event": "media", "streamSid": sid, "media": {"payload": b64(frame)}})
    bot.send({"event": "mark", "streamSid": sid, "mark": {"name": "end"}})
    bot.wait_object(event="mark")
    assert audio.seconds_of(700, call.rtp.samples(begun)) >= 5.7
    row = json.loads(esl.api(f"uuid_audio_streams {uuid}"))[0]
    assert row["heard_ms"] in range(5980, 6021), "every sample was heard"
    call.hangup()
