"""Python `greenswitch` as published: a program watching from outside, and an IVR behind the `socket` application."""
import pathlib
import sys
import uuid

import pytest

from harness.program import Program

HERE = pathlib.Path(__file__).parent / "greenswitch"


@pytest.fixture
def watcher(site):
    with Program([sys.executable, str(HERE / "watcher.py"), "127.0.0.1", str(site.esl_port), "ClueCon"]) as program:
        assert program.wait("ready")["reply"] == "+OK event listener enabled plain"
        yield program


@pytest.fixture
def ivr(site):
    with Program([sys.executable, str(HERE / "ivr.py"), str(site.app_port)]) as program:
        program.wait("listening")
        yield program


@pytest.mark.quick
def test_the_watcher_sees_a_call_from_create_to_hangup(site, watcher):
    call = site.phone(user="5552000").invite("echo")
    call.wait(200)
    created = watcher.wait("event", name="CHANNEL_CREATE")
    assert created["caller"] == "5552000"
    watcher.wait("event", name="CHANNEL_ANSWER", uuid=created["uuid"])
    call.rtp.digits("0#")
    assert [watcher.wait("event", name="DTMF")["digit"] for _ in range(2)] == ["0", "#"]
    call.hangup()
    assert watcher.wait("event", name="CHANNEL_HANGUP_COMPLETE", uuid=created["uuid"])["cause"] == "NORMAL_CLEARING"


def test_the_watcher_originates_and_kills(site, watcher):
    leg, phone = str(uuid.uuid4()), site.carrier()
    watcher.tell(send=f"bgapi originate {{origination_uuid={leg}}}sofia/gateway/carrier/100 &echo()")
    call = phone.accept()
    call.answer()
    watcher.wait("event", name="CHANNEL_ANSWER", uuid=leg)
    call.rtp.tone(440)
    call.rtp.wait_tone(440)
    watcher.tell(send=f"api uuid_kill {leg}")
    call.wait_end()
    watcher.wait("event", name="BACKGROUND_JOB")


def test_a_wrong_password_raises(site):
    with Program([sys.executable, str(HERE / "watcher.py"), "127.0.0.1", str(site.esl_port), "wrong"]) as program:
        assert program.wait("refused")["why"] == "Invalid password."


def test_the_ivr_answers_plays_collects_and_hangs_up(site, ivr):
    call = site.phone(user="5553000").invite("app")
    call.wait(200)
    info = ivr.wait("call")
    assert info["caller"] == "5553000" and info["uuid"]
    assert ivr.wait("answer")["reply"] == "+OK"
    call.rtp.wait_tone(500, seconds=0.4)
    assert ivr.wait("played")["response"] == "FILE PLAYED"
    call.rtp.wait_tone(700, seconds=0.1)
    call.rtp.digits("47")
    assert ivr.wait("collected")["digits"] == "47"
    call.wait_end()
    ivr.wait("done")


def test_the_ivr_runs_in_synchronous_mode_too(site, ivr):
    call = site.phone(user="5553000").invite("app-sync")
    call.wait(200)
    ivr.wait("call")
    call.rtp.wait_tone(700, seconds=0.1)
    call.rtp.digits("47")
    assert ivr.wait("collected")["digits"] == "47"
    call.wait_end()


def test_the_ivr_bridges_the_caller_to_the_carrier(site, ivr):
    carrier = site.carrier()
    call = site.phone(user="5553000").invite("app")
    call.wait(200)
    call.rtp.wait_tone(700, seconds=0.1)
    call.rtp.digits("21")
    assert ivr.wait("collected")["digits"] == "21"
    far = carrier.accept()
    assert "2100@" in far.request.start
    far.ring()
    far.answer()
    call.rtp.tone(440), far.rtp.tone(1000)
    call.rtp.wait_tone(1000), far.rtp.wait_tone(440)
    far.hangup()
    assert ivr.wait("bridged")["cause"] == "SUCCESS"
    call.wait_end()


def test_a_caller_who_hangs_up_ends_the_ivr(site, ivr):
    call = site.phone().invite("app")
    call.wait(200)
    ivr.wait("played")
    call.hangup()
    ivr.wait("gone")


def test_no_service_behind_the_socket_ends_the_call(site):
    call = site.phone().invite("app")
    answer = call.until(lambda p: p.status >= 200 or p.method == "BYE", "end")
    assert answer.status >= 400 or answer.method == "BYE" or call.wait_end()
