"""Speech made by programs, and files from the web."""
import http.server
import io
import shutil
import threading
import time
import wave

import pytest

from harness import audio


@pytest.fixture
def web():
    """A server of tones by their frequency: /700.wav; `asked` are the requests."""
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.server.asked.append(self.path)
            hz = self.path.strip("/").split(".")[0]
            if hz == "stalls":
                return time.sleep(3)
            if not hz.isdigit():
                return self.send_error(404)
            body = io.BytesIO()
            with wave.open(body, "wb") as w:
                w.setnchannels(1), w.setsampwidth(2), w.setframerate(8000)
                w.writeframes(b"".join(s.to_bytes(2, "little", signed=True) for s in audio.sine(int(hz), 1)))
            self.send_response(200)
            self.send_header("Content-Length", str(len(body.getvalue())))
            self.end_headers()
            self.wfile.write(body.getvalue())

        def do_PUT(self):
            self.server.put[self.path] = self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(201)
            self.end_headers()

        def log_message(self, *_):
            pass
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.asked, server.put = [], {}
    threading.Thread(target=server.serve_forever, daemon=True).start()
    server.url = f"http://127.0.0.1:{server.server_port}"
    yield server
    server.shutdown()


def caller(site, esl):
    call = site.phone().invite("park")
    call.wait(200)
    return call, esl.wait_event("CHANNEL_PARK").event["Unique-ID"]


def done(esl, uuid, app):
    return esl.wait_event("CHANNEL_EXECUTE_COMPLETE", Unique_ID=uuid, Application=app).event


def loud_ms(samples):
    """Milliseconds that are no silence."""
    return sum(sum(map(abs, samples[i:i + 160])) > 160 * 200 for i in range(0, len(samples), 160)) * 20


@pytest.mark.skipif(not shutil.which("espeak-ng"), reason="SKIPPED: no espeak-ng")
def test_a_text_is_spoken_and_made_once(site, esl):
    call, uuid = caller(site, esl)
    text = "The quick brown fox; it's $(touch /tmp/never) 'quoted'"
    esl.execute(uuid, "speak", f"tts_commandline|en-us|{text}")
    done(esl, uuid, "speak")
    first = loud_ms(call.rtp.samples())
    assert first > 1500, first
    at, begun = len(call.rtp.packets), time.monotonic()
    for name, value in (("tts_engine", "tts_commandline"), ("tts_voice", "en-us")):
        esl.api(f"uuid_setvar {uuid} {name} {value}")
    esl.execute(uuid, "playback", f"say:{text}")
    done(esl, uuid, "playback")
    assert abs(loud_ms(call.rtp.samples(at)) - first) <= 60, "the same words again"
    at = len(call.rtp.packets)
    esl.execute(uuid, "playback", f"tts://tts_commandline|en-us|{text}")
    done(esl, uuid, "playback")
    assert abs(loud_ms(call.rtp.samples(at)) - first) <= 60
    call.hangup()


@pytest.mark.skipif(not shutil.which("espeak-ng"), reason="SKIPPED: no espeak-ng")
def test_a_key_ends_speech(site, esl):
    call, uuid = caller(site, esl)
    esl.execute(uuid, "speak", "tts_commandline|en-us|" + "one two three four five six seven " * 8)
    call.rtp.wait_packets(25)
    call.rtp.digits("*")
    event = done(esl, uuid, "speak")
    assert event["variable_playback_terminator_used"] == "*" and loud_ms(call.rtp.samples()) < 6000
    call.hangup()


def test_an_engine_that_is_not_there_is_no_end_of_the_call_and_none_at_all_is(site, esl):
    call, uuid = caller(site, esl)
    esl.execute(uuid, "speak", "nobody|v|hello")
    done(esl, uuid, "speak")
    assert "+OK" in esl.api(f"uuid_setvar {uuid} a b")
    esl.execute(uuid, "speak", "hello")
    assert esl.wait_event("CHANNEL_HANGUP", Unique_ID=uuid).event["Hangup-Cause"] == "DESTINATION_OUT_OF_ORDER"
    call.wait_end()


def test_addresses_are_played_and_fetched_once(site, esl, web):
    call, uuid = caller(site, esl)
    esl.execute(uuid, "playback", f"{web.url}/700.wav")
    call.rtp.wait_tone(700, 0.9)
    assert done(esl, uuid, "playback")["Application-Response"] == "FILE PLAYED"
    at = len(call.rtp.packets)
    esl.api(f"uuid_broadcast {uuid} {web.url}/700.wav aleg")
    call.rtp.wait_tone(700, 0.9, since=at)
    done(esl, uuid, "playback")
    assert web.asked == ["/700.wav"]
    path = esl.api(f"http_get {web.url}/700.wav")
    assert path.endswith(".wav") and audio.power_of(700, audio.read_wav(path)[0]) > 0.9
    assert esl.api(f"http_tryget {web.url}/900.wav") == "-ERR\n"
    until = time.monotonic() + 8
    while esl.api(f"http_tryget {web.url}/900.wav") == "-ERR\n" and time.monotonic() < until:
        time.sleep(0.05)
    assert web.asked == ["/700.wav", "/900.wav"]
    assert esl.api(f"http_put {web.url}/up.wav {path}") == "+OK\n" and web.put["/up.wav"] == open(path, "rb").read()
    assert esl.api("http_clear_cache") == "+OK\n"
    esl.execute(uuid, "playback", f"{web.url}/nothing")
    done(esl, uuid, "playback")
    at = len(call.rtp.packets)
    esl.execute(uuid, "playback", f"{web.url}/700.wav")
    call.rtp.wait_tone(700, 0.9, since=at)
    assert web.asked[-2:] == ["/nothing", "/700.wav"]
    call.hangup()


@pytest.mark.parametrize(("app", "argument"), [
    ("read", "1 1 {url} pressed 5000 #"),
    ("play_and_get_digits", "1 1 1 5000 # {url} {url} pressed \\d"),
])
def test_a_question_from_the_web_is_heard_and_answered(site, esl, web, app, argument):
    call, uuid = caller(site, esl)
    esl.execute(uuid, app, argument.format(url=f"{web.url}/700.wav"))
    call.rtp.wait_tone(700, 0.3)
    call.rtp.digits("5")
    assert done(esl, uuid, app)["variable_pressed"] == "5"
    assert web.asked == ["/700.wav"]
    call.hangup()
