"""npm `esl` 11, client and server, the way its README uses them."""
import pathlib
import uuid

import pytest

from harness.program import Program

HERE = pathlib.Path(__file__).parent / "esl"


@pytest.fixture
def service(site):
    with Program(["node", str(HERE / "service.mjs"), "127.0.0.1", str(site.esl_port), "ClueCon"], cwd=HERE) as program:
        program.wait("ready")
        yield program


@pytest.fixture
def ivr(site):
    with Program(["node", str(HERE / "ivr.mjs"), str(site.app_port)], cwd=HERE) as program:
        program.wait("listening")
        yield program


@pytest.mark.quick
def test_commands_and_jobs_are_answered(service):
    service.tell(do="api", command="status")
    assert service.wait("api")["body"].startswith("UP ")
    service.tell(do="bgapi", command="echo in the back")
    assert service.wait("bgapi")["body"] == "in the back"


def test_what_fails_is_rejected(service):
    service.tell(do="api", command="uuid_kill nobody")
    assert service.wait("failed", command="uuid_kill nobody")["body"] == "-ERR No such channel!\n"
    service.tell(do="execute", uuid=str(uuid.uuid4()), app="answer", arg="")
    assert service.wait("failed")["reply"].startswith("-ERR invalid session id [")


def test_applications_run_by_uuid_report_their_end(site, service):
    leg, phone = str(uuid.uuid4()), site.carrier()
    service.tell(do="bgapi", command=f"originate {{origination_uuid={leg}}}sofia/gateway/carrier/100 &park()")
    call = phone.accept()
    call.answer()
    service.wait("event", name="CHANNEL_ANSWER", uuid=leg)
    assert service.wait("bgapi")["body"] == f"+OK {leg}\n"
    service.tell(do="command", uuid=leg, app="set", arg="colour=räd 100%")
    assert service.wait("command", app="set") == {"kind": "command", "app": "set", "uuid": leg, "response": "_none_", "variable": "räd 100%"}
    service.tell(do="command", uuid=leg, app="playback", arg="tone_stream://%(700,0,900)")
    call.rtp.wait_tone(900)
    assert service.wait("command", app="playback")["response"] == "FILE PLAYED"
    call.rtp.digits("8")
    assert service.wait("event", name="DTMF", uuid=leg)["digit"] == "8"
    service.tell(do="hangup", uuid=leg, cause="USER_BUSY")
    call.wait_end()
    assert service.wait("event", name="CHANNEL_HANGUP_COMPLETE", uuid=leg)["cause"] == "USER_BUSY"


def test_an_application_loops_as_often_as_asked(site, service):
    leg = str(uuid.uuid4())
    service.tell(do="bgapi", command=f"originate {{origination_uuid={leg}}}null/x &park()")
    service.wait("bgapi")
    with site.esl() as watcher:
        watcher.command(f"filter Unique-ID {leg}")
        watcher.command("event plain CHANNEL_EXECUTE PRIVATE_COMMAND")
        service.tell(do="execute", uuid=leg, app="playback", arg="silence_stream://600", loops=3)
        for turn in "123":
            event = watcher.wait_event("CHANNEL_EXECUTE").event
            assert (event["variable_current_loop"], event["variable_total_loops"]) == (turn, "3")
        assert watcher.wait_event("PRIVATE_COMMAND").event["execute-app-name"] == "playback"
        assert not watcher.events, "three times, then the message is shown"
    service.tell(do="hangup", uuid=leg, cause="NORMAL_CLEARING")
    service.wait("event", name="CHANNEL_HANGUP_COMPLETE", uuid=leg)


def test_a_sent_event_comes_back_to_who_asked_for_it(service):
    service.tell(do="filter", header="Colour", value="red")
    assert service.wait("filter")["reply"] == "+OK filter added. [Colour]=[red]"
    for colour in ("blue", "red"):
        service.tell(do="sendevent", name="CUSTOM", headers={"Event-Subclass": "shop::order", "Colour": colour})
        assert service.wait("sendevent")["reply"].startswith("+OK ")
    assert service.wait("event", name="CUSTOM")["subclass"] == "shop::order"
    service.tell(do="filter_delete", header="Colour", value="red")
    assert service.wait("filter_delete")["reply"] == "+OK filter deleted. [Colour][red]"
    assert not [line for line in service.seen if line["kind"] == "event"], "the blue one was not for us"


def test_leaving_is_answered_and_noticed(service):
    service.tell(do="exit")
    assert service.wait("exit")["reply"] == "+OK bye"
    assert service.wait("notice")["body"].startswith("Disconnected, goodbye.\n")


@pytest.mark.parametrize("number", ["app", "app-sync"])
def test_the_outbound_server_runs_an_ivr(site, ivr, number):
    call = site.phone(user="5556000").invite(number)
    call.wait(200)
    info = ivr.wait("call")
    mode = "async" if number == "app" else "static"
    assert (info["caller"], info["mode"], info["control"], info["sip"]) == ("5556000", mode, "full", call.call_id)
    call.rtp.wait_tone(500, seconds=0.3)
    assert ivr.wait("played")["response"] == "FILE PLAYED"
    assert ivr.wait("asked")["name"].startswith("sofia/open/5556000@")
    call.rtp.wait_tone(700, seconds=0.1)
    call.rtp.digits("73")
    assert ivr.wait("digit")["digit"] == "7"
    assert ivr.wait("collected")["pin"] == "73"
    call.wait_end()
    ivr.wait("linger")
    ivr.wait("bye")
    if number == "app":
        assert ivr.wait("hangup")["cause"] == "USER_BUSY"


def test_a_caller_who_hangs_up_is_lingered_for(site, ivr):
    call = site.phone().invite("app")
    call.wait(200)
    ivr.wait("played")
    call.hangup()
    assert ivr.wait("hangup")["cause"] == "NORMAL_CLEARING"
    ivr.wait("linger")
    ivr.wait("bye")
