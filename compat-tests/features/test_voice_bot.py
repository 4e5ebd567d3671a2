"""The example bot, run as its README says, and `ferroswitch stream-test` against it and against servers in trouble."""
import shutil
import socket
import subprocess
import sys
import time

import pytest

from harness import audio
from harness.bot import Bot
from harness.switch import ROOT, binary

pytestmark = pytest.mark.skipif(not shutil.which("espeak-ng"), reason="SKIPPED: no espeak-ng")


@pytest.fixture
def url():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    bot = subprocess.Popen([sys.executable, ROOT / "examples/voice-bot/bot.py", str(port)], stdout=subprocess.PIPE, text=True)
    assert bot.stdout.readline().startswith("listening")
    yield f"ws://127.0.0.1:{port}/"
    bot.terminate()
    bot.wait(5)


def loud(samples):
    """Seconds that are no silence."""
    return sum(sum(map(abs, samples[i:i + 160])) > 160 * 200 for i in range(0, len(samples), 160)) / 50


def wait_loud(call, seconds, since=0):
    call.rtp._wait(f"{seconds} s of speech", lambda: loud(call.rtp.samples(since)) >= seconds, 10)


def test_the_bot_speaks_is_interrupted_answers_keys_and_hands_over(site, url):
    esl = site.esl()
    esl.command("event plain ALL")
    call = site.phone().invite("park")
    call.wait(200)
    uuid = esl.wait_event("CHANNEL_PARK").event["Unique-ID"]
    esl.execute(uuid, "stream", f"{url} dialect=twilio")
    wait_loud(call, 1)
    call.rtp.tone(440)                                  # the caller speaks into it
    time.sleep(0.6)
    call.rtp.tone(None)
    quiet = len(call.rtp.packets)
    time.sleep(0.5)
    assert loud(call.rtp.samples(quiet)) == 0, "it stops"
    at = len(call.rtp.packets)
    call.rtp.digits("1")
    wait_loud(call, 0.6, at)
    time.sleep(2)
    call.rtp.digits("0")
    event = esl.wait_event("CHANNEL_EXECUTE_COMPLETE", Unique_ID=uuid, Application="stream").event
    assert event["variable_stream_result"] == "closed"
    call.hangup()
    esl.close()


def trial(*arguments):
    done = subprocess.run([binary("ferroswitch"), "stream-test", *arguments], capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout


def test_a_server_is_tried_without_a_call(url):
    status, report = trial(url, "--seconds", "4")
    assert status == 0, report
    assert "it spoke for" in report and "note" not in report, report
    echo = Bot(subprotocols=["audio.drachtio.org"])
    echo.on_message = lambda connection, message: isinstance(message, bytes) and connection.send(message)
    try:
        status, report = trial(echo.url, "--dialect", "fork", "--seconds", "2", "--metadata", '{"a":1}')
        assert status == 0 and echo.texts() == ['{"a":1}'], report
    finally:
        echo.close()


def test_a_server_in_trouble_is_told_so():
    status, report = trial("ws://127.0.0.1:9/")
    assert status == 1 and "FAIL  no connection" in report
    with socket.create_server(("127.0.0.1", 0)) as web:
        import threading
        threading.Thread(target=lambda: web.accept()[0].sendall(b"HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n"), daemon=True).start()
        status, report = trial(f"ws://127.0.0.1:{web.getsockname()[1]}/")
        assert status == 1 and "403" in report
    babbler = Bot()
    babbler.on_message = lambda connection, _: connection.send("no JSON")
    try:
        status, report = trial(babbler.url, "--seconds", "1")
        assert status == 1 and "FAIL  not a JSON object" in report, report
    finally:
        babbler.close()
