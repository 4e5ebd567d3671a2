"""Python `genesis`, asyncio: a consumer with filters, an inbound connection with a channel of its own, an outbound server."""
import pathlib
import sys

import pytest

from harness.program import Program

HERE = pathlib.Path(__file__).parent / "genesis"


@pytest.fixture
def watcher(site):
    with Program([sys.executable, str(HERE / "watcher.py"), "127.0.0.1", str(site.esl_port), "ClueCon"]) as program:
        program.wait("ready", timeout=20)
        yield program


@pytest.fixture
def ivr(site):
    with Program([sys.executable, str(HERE / "ivr.py"), str(site.app_port)]) as program:
        program.wait("listening", timeout=20)
        yield program


@pytest.mark.quick
def test_commands_are_answered(watcher):
    watcher.tell(do="send", text="api echo hello")
    assert watcher.wait("sent")["body"] == "hello"
    watcher.tell(do="send", text="bgapi status")
    assert len(watcher.wait("sent")["job"]) == 36
    watcher.tell(do="send", text="nonsense")
    assert watcher.wait("sent")["reply"] == "-ERR command not found"


def test_a_channel_is_made_played_to_and_ended(site, watcher):
    phone = site.carrier()
    watcher.tell(do="dial", to="sofia/gateway/carrier/100", variables={"origination_caller_id_number": "5557000"})
    call = phone.accept()
    assert "5557000" in call.request["from"]
    call.answer()
    leg = watcher.wait("dialled")["uuid"]
    assert watcher.wait("event", name="CHANNEL_ANSWER")["uuid"] == leg
    watcher.tell(do="play", what="tone_stream://%(600,0,900)")
    call.rtp.wait_tone(900)
    assert watcher.wait("played") == {"kind": "played", "response": "FILE PLAYED", "uuid": leg}
    watcher.tell(do="hangup", cause="USER_BUSY")
    call.wait_end()
    assert watcher.wait("event", name="CHANNEL_HANGUP_COMPLETE", uuid=leg)["cause"] == "USER_BUSY"


def test_subclasses_are_filtered_for(site, watcher):
    with site.esl() as other:
        for name in ("shop::refund", "shop::order"):
            other.sock.sendall(f"sendevent CUSTOM\nEvent-Subclass: {name}\nColour: räd 100%\nContent-Length: 5\n\nhello".encode())
            assert other.read().reply.startswith("+OK")
    assert watcher.wait("custom") == {"kind": "custom", "subclass": "shop::order", "colour": "räd 100%", "text": "hello"}
    assert not [line for line in watcher.seen if line["kind"] == "custom"]


def test_a_wrong_password_raises(site):
    with Program([sys.executable, str(HERE / "watcher.py"), "127.0.0.1", str(site.esl_port), "wrong"]) as program:
        assert program.wait("refused", timeout=20)["why"] == "Invalid password"


@pytest.mark.parametrize("number", ["app", "app-sync"])
def test_the_outbound_server_runs_an_ivr(site, ivr, number):
    call = site.phone(user="5557100").invite(number)
    call.wait(200)
    info = ivr.wait("call")
    assert (info["caller"], info["mode"]) == ("5557100", "async" if number == "app" else "static")
    call.rtp.wait_tone(500, seconds=0.3)
    assert ivr.wait("played")["response"] == "FILE PLAYED"
    call.rtp.wait_tone(700, seconds=0.1)
    call.rtp.digits("42")
    assert ivr.wait("collected")["pin"] == "42"
    call.wait_end()
    ivr.wait("done")


def test_a_caller_who_hangs_up_ends_the_ivr(site, ivr):
    call = site.phone().invite("app")
    call.wait(200)
    uuid = ivr.wait("call")["uuid"]
    ivr.wait("played")
    with site.esl() as esl:                        # the caller must be asked before it may leave
        for _ in range(500):
            if esl.api(f"uuid_getvar {uuid} current_application") == "play_and_get_digits":
                break
            esl.api("msleep 20")
    call.hangup()
    assert ivr.wait("collected")["pin"] is None, "the application ends, with nothing collected"
    ivr.wait("done")
