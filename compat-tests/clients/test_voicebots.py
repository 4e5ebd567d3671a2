"""Voice bots' servers as published: npm `@jambonz/sdk` (the handler of `listen`), and npm `@openai/agents-extensions` (a Twilio media stream joined
to a Realtime model, here one of our own that answers in its messages)."""
import base64
import json
import math
import pathlib
import shutil
import time

import pytest

from harness import audio
from harness.bot import Bot
from harness.ear import caller, hears
from harness.program import Program

HERE = pathlib.Path(__file__).parent / "voicebots"

pytestmark = pytest.mark.skipif(not shutil.which("node") or not (HERE / "node_modules").is_dir(), reason="SKIPPED: no npm packages")


def custom(esl, subclass, uuid, timeout=20):
    return esl.wait_event("CUSTOM", timeout=timeout, Event_Subclass=subclass, Unique_ID=uuid)


@pytest.fixture
def jambonz():
    with Program(["node", "jambonz.js"], cwd=HERE) as program:
        program.url = f"ws://127.0.0.1:{program.wait('listening', 30)['port']}/audio"
        yield program


def listen(esl, uuid, url, streamed):
    """As jambonz' feature server begins a `listen`."""
    metadata = json.dumps({"callSid": "CA1", "sampleRate": 8000, "mixType": "mono", "from": "100"}, separators=(",", ":"))
    rest = f"true|{'true' if streamed else 'false'}|8000"
    reply = esl.api(f"uuid_audio_fork ^^|{uuid}|start|{url}|mono|8000|jambonz|'{metadata}'|{rest}")
    assert reply == "+OK Success\n", reply
    custom(esl, "mod_audio_fork::connect", uuid)


def test_jambonz_hears_the_call_and_is_heard_streaming(site, esl, jambonz):
    call, uuid = caller(site, esl)
    call.rtp.tone(700)
    listen(esl, uuid, jambonz.url, True)
    begun = jambonz.wait("connection", 20)
    assert (begun["metadata"]["callSid"], begun["rate"]) == ("CA1", 8000)
    jambonz.wait("audio", 20)
    hears(call, 700, timeout=20)
    call.rtp.tone(None)
    jambonz.tell(do="echo", on=False)
    jambonz.tell(do="say", hz=1300, seconds=2)
    jambonz.tell(do="mark", name="said")
    hears(call, 1300, timeout=20)
    assert jambonz.wait("mark", 20)["event"] == "playout"
    jambonz.tell(do="say", hz=1300, seconds=20)
    jambonz.tell(do="mark", name="unsaid")
    hears(call, 1300, timeout=20)
    jambonz.tell(do="kill")
    assert jambonz.wait("mark", 20, name="unsaid")["event"] == "cleared"
    assert esl.api(f"uuid_audio_fork {uuid} send_text jambonz '{{\"event\":\"dtmf\",\"dtmf\":\"7\",\"duration\":\"1600\"}}'") == "+OK Success\n"
    assert str(jambonz.wait("dtmf", 20)["digit"]) == "7"
    jambonz.tell(do="leave")
    custom(esl, "mod_audio_fork::disconnect", uuid)
    assert not [line for line in jambonz.seen if line["kind"] == "error"]
    call.hangup()


def test_jambonz_plays_clips_through_the_application(site, esl, jambonz):
    call, uuid = caller(site, esl)
    listen(esl, uuid, jambonz.url, False)
    jambonz.wait("connection", 20)
    jambonz.tell(do="clip", hz=900, seconds=1, id="clip-1")
    body = json.loads(custom(esl, "mod_audio_fork::play_audio", uuid).event_body)
    assert (body["id"], body["audioContentType"], body["sampleRate"]) == ("clip-1", "raw", 8000) and "audioContent" not in body
    esl.api(f"uuid_broadcast {uuid} {body['file']} aleg")
    call.rtp.wait_tone(900, 0.9, timeout=20)
    done = json.dumps({"type": "playDone", "data": {"id": "clip-1"}}, separators=(",", ":"))
    assert esl.api(f"uuid_audio_fork ^^|{uuid}|send_text|jambonz|{done}") == "+OK Success\n"
    assert jambonz.wait("playDone", 20)["id"] == "clip-1"
    call.hangup()
    assert jambonz.wait("close", 20)["code"] == 1000


def ulaw(hz, seconds):
    return bytes(audio.ulaw_byte(int(9000 * math.sin(2 * math.pi * hz * n / 8000))) for n in range(int(8000 * seconds)))


class Model(Bot):
    """A Realtime model: keeps what it is sent; says tones when it is told to."""

    def __init__(self):
        super().__init__()
        self.on_message = self._hear

    def _hear(self, connection, message):
        if json.loads(message)["type"] == "session.update":
            self.tell(type="session.created", session={"id": "s", "object": "realtime.session"})

    def tell(self, **event):
        self.send(json.dumps({"event_id": f"e{time.time_ns()}", **event}))

    def say(self, hz, seconds, response):
        item = f"i{response}"
        self.tell(type="response.created", response={"id": response, "object": "realtime.response", "status": "in_progress", "output": []})
        whole = ulaw(hz, seconds)
        for at in range(0, len(whole), 4000):       # faster than it can be heard, as models do
            self.tell(type="response.output_audio.delta", response_id=response, item_id=item, output_index=0, content_index=0,
                      delta=base64.b64encode(whole[at:at + 4000]).decode())
        self.tell(type="response.output_audio.done", response_id=response, item_id=item, output_index=0, content_index=0)

    def heard(self):
        """Samples appended so far."""
        octets = b"".join(base64.b64decode(m["audio"]) for m in self.objects(type="input_audio_buffer.append"))
        return list(audio.decode(0, octets))


def test_a_realtime_model_behind_a_twilio_adapter(site, esl):
    model = Model()
    try:
        with Program(["node", "twilio.js", model.url], cwd=HERE) as adapter:
            url = f"ws://127.0.0.1:{adapter.wait('listening', 30)['port']}/media?tenant=7"
            call, uuid = caller(site, esl)
            call.rtp.tone(700)
            esl.execute(uuid, "stream", f'{url} dialect=twilio token=hush-twilio metadata={{"who":"alice"}}')
            assert adapter.wait("connection", 20)["path"] == "/media?tenant=7"
            adapter.wait("connected", 20)
            model.wait("the caller", lambda: audio.seconds_of(700, model.heard()) > 0.5, 20)
            call.rtp.tone(None)
            model.say(1300, 2, "r1")
            hears(call, 1300, timeout=20)
            # The caller interrupts a long answer: what is queued is thrown away.
            model.say(2100, 20, "r2")
            hears(call, 2100, timeout=20)
            model.tell(type="input_audio_buffer.speech_started", audio_start_ms=1, item_id="u1")
            model.say(900, 1, "r3")
            hears(call, 900, timeout=15)
            messages = []
            while not any(m["event"] == "mark" for m in messages):      # they come back when what is before them was heard
                messages.append(adapter.wait("twilio", 20)["message"])
            starts = [m for m in messages if m["event"] == "start"]
            assert [m["start"]["customParameters"] for m in starts] == [{"who": "alice"}]
            assert not [line for line in adapter.seen if line["kind"] == "error"], adapter.seen
            call.hangup()
            adapter.wait("close", 20)
        logs = "".join(path.read_text(errors="replace") for path in site.switch.home.rglob("*.log"))
        assert "hush-twilio" not in logs
    finally:
        model.close()
