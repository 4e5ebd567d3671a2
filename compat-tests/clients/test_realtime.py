"""`uuid_openai_audio_stream` in the types of PyPI `openai`: each text of the switch is one of its client events, each of its server events is understood."""
import base64
import json
import pathlib
import subprocess

from harness import frameworks
from harness.ear import caller, hears
from harness.program import Program


def custom(esl, name, uuid):
    return esl.wait_event("CUSTOM", timeout=20, Event_Subclass=f"mod_openai_audio_stream::{name}", Unique_ID=uuid).event_body


def test_a_conversation_in_openai_s_own_types(site, esl):
    python = frameworks.python("livekit")               # which brings `openai`
    with Program([python, pathlib.Path(__file__).with_name("realtime_model.py")]) as model:
        url = f"ws://127.0.0.1:{model.wait('listening', 30)['port']}/v1/realtime?model=gpt-realtime"
        call, uuid = caller(site, esl)
        call.rtp.tone(700)
        esl.api(f"uuid_setvar {uuid} STREAM_OPENAI_API_KEY sk-hush-types")
        assert esl.api(f"uuid_openai_audio_stream {uuid} start {url} mono 24k") == "+OK Success\n"
        assert model.wait("connected", 20)["authorization"] == "Bearer sk-hush-types"
        update = {"type": "session.update", "session": {"type": "realtime", "instructions": "Be brief.", "output_modalities": ["audio"]}}
        assert esl.api(f"uuid_openai_audio_stream {uuid} send_json {base64.b64encode(json.dumps(update).encode()).decode()}") == "+OK Success\n"
        assert model.wait("client", 20)["event"] == update
        assert model.wait("appended", 20)["octets"] == 960          # 20 ms of 24 kHz
        told = [custom(esl, "json", uuid) for _ in range(2)]
        hears(call, 700, timeout=20)
        assert json.loads(custom(esl, "play", uuid))["type"] == "response.output_audio.delta"
        model.tell(kind="input_audio_buffer.speech_started", audio_start_ms=1, item_id="u1")
        assert json.loads(custom(esl, "openai_speech_start", uuid)) == {"status": "started"}
        model.tell(kind="input_audio_buffer.speech_stopped", audio_end_ms=2, item_id="u1")
        assert json.loads(custom(esl, "openai_speech_stop", uuid)) == {"status": "stopped"}
        # What the switch passes on is what the package reads.
        read = ("import sys, json; from openai.types.realtime import RealtimeServerEvent as E; from pydantic import TypeAdapter; "
                "print(json.dumps([TypeAdapter(E).validate_json(t).type for t in sys.argv[1:]]))")
        kinds = json.loads(subprocess.run([python, "-W", "ignore", "-c", read, *told], check=True, capture_output=True, text=True).stdout)
        assert kinds == ["session.created", "response.output_audio_transcript.delta"]
        assert esl.api(f"uuid_openai_audio_stream {uuid} stop") == "+OK Success\n"
        assert model.wait("closed", 20)["code"] == 1000
        assert not [line for line in model.seen if line["kind"] == "wrong"], model.seen
        call.hangup()
