"""Samples that Twilio and drachtio publish for those who write servers of streams, unmodified: fetched when the tests run, on packages of clients/samples."""
import pathlib
import re
import shutil
import struct
import time

import pytest

from harness import audio, frameworks
from harness.bot import Bot
from harness.ear import caller, hears, run
from harness.program import Program
from harness.services import until

HERE = pathlib.Path(__file__).parent / "samples"

pytestmark = pytest.mark.skipif(not shutil.which("node") or not (HERE / "node_modules").is_dir(), reason="SKIPPED: no npm packages")


def node(script, *argv):
    return Program(["env", f"NODE_PATH={HERE / 'node_modules'}", "node", "-r", str(HERE / "port.js"), str(script), *argv], cwd=script.parent)


def said(program, text):
    """Lines of the sample's log with that text."""
    return [line for line in program.errors if text in line]


@pytest.fixture(scope="module")
def twilio():
    return frameworks.checkout("twilio_media_streams", "https://github.com/twilio/media-streams", "09d208b2ce2f6bc9b0ce4a4b05f929370d448bb6")


@pytest.fixture(scope="module")
def drachtio():
    return frameworks.checkout("drachtio_audio_fork", "https://github.com/davehorton/sample-ws-audio-fork", "436e11cb48a73dcbd6fed1fdba00bbd3a095df5e")


def test_twilio_s_connect_sample(site, esl, twilio):
    """Says each second of the call again, five times with a mark, and closes; the dialplan goes on."""
    with node(twilio / "node/connect-basic/server.js") as server:
        url = f"ws://127.0.0.1:{server.wait('listening', 30)['port']}/"
        call, uuid = caller(site, esl)
        call.rtp.tone(700)
        run(esl, uuid, f"stream:{url} dialect=twilio", "hangup:USER_BUSY")
        call.rtp.wait_tone(700, 3)
        event = esl.wait_event("CHANNEL_HANGUP_COMPLETE", timeout=30, Unique_ID=uuid).event
        assert (event["Hangup-Cause"], event["variable_stream_result"]) == ("USER_BUSY", "closed")
        assert said(server, "Connected event received") and said(server, "Start event received")
        until(lambda: len(said(server, "Mark event received")) >= 3, "marks that come back", 10)
        marks = re.findall(r"Mark event received \{.*?name: 'Repeat message (\d)'", "\n".join(server.errors), re.S)
        assert marks == [str(n) for n in range(len(marks))], marks


def test_twilio_s_basic_sample(site, esl, twilio):
    """Counts what it hears; the caller hangs up."""
    with node(twilio / "node/basic/server.js") as server:
        url = f"ws://127.0.0.1:{server.wait('listening', 30)['port']}/"
        call, uuid = caller(site, esl)
        esl.execute(uuid, "stream", f"{url} dialect=twilio")
        until(lambda: said(server, "Media event received"), "audio")
        time.sleep(1)
        call.hangup()
        until(lambda: said(server, "Stop event received") and said(server, "Stopped. Received"), "the end")
        assert int(re.search(r"\[(\d+)\]", said(server, "Stopped. Received")[0])[1]) > 40


def test_drachtio_s_audio_fork_sample(fresh, drachtio, tmp_path):
    """Writes the call into a file. It chooses the subprotocol of older servers, whatever is offered: the one that the environment names then."""
    site = fresh.start(env={"MOD_AUDIO_FORK_SUBPROTOCOL_NAME": "audiostream.drachtio.org"})
    file = tmp_path / "audio.raw"
    with node(drachtio / "app.js", str(file)) as server, site.esl() as esl:
        esl.command("event plain ALL")
        url = f"ws://127.0.0.1:{server.wait('listening', 30)['port']}/"
        call, uuid = caller(site, esl)
        call.rtp.tone(700)
        assert esl.api(f'uuid_audio_fork {uuid} start {url} mono 16k {{"callid":"1"}}') == "+OK Success\n"
        until(lambda: file.exists() and file.stat().st_size > 64_000, "two seconds of audio")
        assert said(server, 'received message: {"callid":"1"}')
        assert esl.api(f"uuid_audio_fork {uuid} stop") == "+OK Success\n"
        until(lambda: said(server, "socket closed with reason 1000"), "the end")
        call.hangup()
        octets = file.read_bytes()
        assert audio.seconds_of(700, list(struct.unpack(f"<{len(octets) // 2}h", octets)), rate=16000) > 1.5


def test_drachtio_fsmrf_s_endpoint(site, esl):
    """npm `drachtio-fsmrf`: what its Endpoint sends for streams, with and without a name, and the events it passes on."""
    bot = Bot(subprotocols=["audio.drachtio.org"])
    try:
        with Program(["node", "fsmrf.js", str(site.app_port)], cwd=HERE) as app:
            app.wait("listening", 30)
            call = site.phone().invite("app-answered")
            call.wait(200)
            ready = app.wait("ready", 20)
            assert ready["callId"] == call.call_id
            call.rtp.tone(700)

            def ask(method, *args):
                app.tell(call=method, args=args)
                app.wait("done", 20, call=method)
            for name in ((), ("second",)):
                more = {"bugname": name[0]} if name else {}
                ask("forkAudioStart", {"wsUrl": bot.url, "mixType": "mono", "sampling": "16000", "metadata": {"who": "al ice"},
                                       "bidirectionalAudio": {"enabled": "true", "streaming": "true", "sampleRate": "8000"}, **more})
                bot.accept()
                assert app.wait("event", 20)["name"] == "connect"
                bot.wait_object(who="al ice")
                bot.wait_audio(32_000)
                bot.send(b"".join(int(s).to_bytes(2, "little", signed=True) for s in audio.sine(1300, 2)))
                hears(call, 1300, timeout=20)
                bot.send({"type": "json", "data": {"n": 1}})
                assert app.wait("event", 20)["name"] == "json"
                ask("forkAudioSendText", *name, {"said": "by the application"})
                bot.wait_object(said="by the application")
                ask("forkAudioStop", *name, {"bye": True})
                bot.wait_object(bye=True)
                bot.wait("the end", lambda: bot.closed, 20)
                assert bot.closed.pop()[0] == 1000
                bot.forget()
            call.hangup()
            app.wait("destroy", 20)
    finally:
        bot.close()
