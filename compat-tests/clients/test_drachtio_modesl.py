"""npm `drachtio-modesl` 1.3.1, the way drachtio-fsmrf uses it."""
import pathlib
import uuid

import pytest

from harness.program import Program

HERE = pathlib.Path(__file__).parent


@pytest.fixture
def service(site):
    argv = ["node", str(HERE / "drachtio/service.js"), "127.0.0.1", str(site.esl_port), "ClueCon", str(site.app_port)]
    with Program(argv, cwd=HERE / "drachtio") as program:
        program.wait("listening")
        program.wait("ready")
        yield program


@pytest.mark.quick
def test_it_connects_and_asks(service):
    service.tell(do="api", command="status")
    assert service.wait("api")["body"].startswith("UP ")


def test_sofia_status_names_the_address_of_each_profile(site, service):
    service.tell(do="api", command="sofia status")
    body = service.wait("api")["body"]
    assert f"sip:mod_sofia@127.0.0.1:{site.sip(1)[1]}" in body


def test_background_jobs_are_told_apart_by_their_own_ids(service):
    jobs = {str(uuid.uuid4()): n for n in range(30)}
    for job, n in jobs.items():
        service.tell(do="bgapi", command=f"echo number {n}", job=job)
    for _ in jobs:
        answer = service.wait("bgapi")
        assert answer["body"] == f"number {jobs[answer['job']]}"


def test_events_of_a_call_reach_the_inbound_connection(service):
    service.tell(do="bgapi", command="originate null/x &park()", job="j1")
    body = service.wait("bgapi", job="j1")["body"]
    assert body.startswith("+OK ")
    leg = body.split()[1]
    service.tell(do="api", command=f"uuid_kill {leg} CALL_REJECTED")
    assert service.wait("hangup", uuid=leg)["cause"] == "CALL_REJECTED"


def test_the_outbound_server_gets_what_an_endpoint_needs(site, service):
    phone = site.phone()
    call = phone.invite("app-answered")
    call.wait(200)
    info = service.wait("call")
    assert info["call_id"] == call.call_id
    assert info["agent"] == "switch-test"
    assert int(info["media"]) > 0 and info["sdp"].startswith("v=0")
    call.rtp.wait_tone(700)
    service.wait("complete", app="playback")
    service.wait("played")
    call.rtp.digits("5")
    assert service.wait("digit")["digit"] == "5"
    call.hangup()
    service.wait("call_end")
