"""Pipecat (PyPI) as published: an echo pipeline behind its own telephony serializers."""
import pathlib
import socket
import subprocess
import time

import pytest

from harness import frameworks


@pytest.fixture(scope="module")
def echo():
    python = frameworks.python("pipecat")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = subprocess.Popen([python, pathlib.Path(__file__).with_name("pipecat_echo.py"), str(port)],
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    until = time.monotonic() + 60
    while time.monotonic() < until:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            break
        except OSError:
            assert server.poll() is None, server.stdout.read()
            time.sleep(0.2)
    yield f"ws://127.0.0.1:{port}"
    server.terminate()
    server.wait(10)


@pytest.mark.parametrize("dialect", ["twilio", "telnyx", "plivo", "exotel", "vonage"])
def test_what_is_said_comes_back(site, echo, dialect):
    esl = site.esl()
    esl.command("event plain ALL")
    call = site.phone().invite("park")
    call.wait(200)
    uuid = esl.wait_event("CHANNEL_PARK").event["Unique-ID"]
    path = "/vonage" if dialect == "vonage" else "/"
    assert esl.execute(uuid, "stream", f"{echo}{path} dialect={dialect}").reply.startswith("+OK")
    esl.wait_event("CUSTOM", Event_Subclass="mod_media_streams::connect")
    for hz in (700, 1300):
        call.rtp.tone(hz)
        call.rtp.wait_tone(hz, 1.5, since=len(call.rtp.packets))
    call.hangup()
    esl.wait_event("CHANNEL_HANGUP_COMPLETE")
    esl.close()
