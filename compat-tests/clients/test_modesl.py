"""npm `modesl` as published, with the programs people write on it.

The service runs on vanilla with the Twilio deployment's overlay. 127.0.0.2 stands for an address of the
carrier (it takes the place of the first range in the list `twilio`), 127.0.0.9 for anybody else.
"""
import pathlib
import socket
import uuid

import pytest

from conftest import settled, shared_site
from harness import audio, tree
from harness.program import Program
from harness.sipp import Sipp

HERE = pathlib.Path(__file__).parent
PCAPS = "/usr/share/sip-tester"
CARRIER_IP, STRANGER_IP = "127.0.0.2", "127.0.0.9"


def twilio(block, where):
    conf = tree.vanilla(block, where, overlay="irisx-twilio")
    tree.patch(conf / "autoload_configs/acl.conf.xml", {r"54\.172\.60\.0/30": f"{CARRIER_IP}/32"})
    tree.patch(conf / "sip_profiles/external/twilio.xml", {r"techradiumfs\.pstn\.twilio\.com": f"127.0.0.1:{block[tree.CARRIER]}"})
    tree.patch(conf / "sip_profiles/internal.xml", {r'(apply-inbound-acl" value=)"domains"': r'\1"twilio"'})
    for name, hz in (("welcome_to_freeswitch", 500), ("thank_you_for_calling", 700)):
        audio.write_wav(where / f"ivr-{name}.wav", audio.sine(hz, 1))
        tree.patch(conf / "dialplan/public/00_twilio_inbound.xml", {rf'/usr/local/[\w/]+/ivr-{name}\.wav': str(where / f"ivr-{name}.wav")})
    return conf


twilio_server = shared_site(twilio)


@pytest.fixture
def site(twilio_server):
    yield from settled(twilio_server)


@pytest.fixture
def service(site):
    argv = ["node", str(HERE / "modesl/service.js"), "127.0.0.1", str(site.esl_port), "ClueCon"]
    with Program(argv, cwd=HERE / "modesl") as program:
        program.wait("ready")
        yield program


def far_end(site, tmp_path):
    return Sipp("uas_twilio", tmp_path, port=site.block[tree.CARRIER], pcap=PCAPS, limit=40)


@pytest.mark.quick
def test_the_service_calls_out_hears_digits_and_hangs_up(site, service, tmp_path):
    leg = str(uuid.uuid4())
    with far_end(site, tmp_path) as phone:
        service.tell(do="bgapi", command=f"originate {{origination_uuid={leg},origination_caller_id_number=15550001111}}sofia/gateway/twilio/+15551234567 &park()")
        created = service.wait("event", name="CHANNEL_CREATE", uuid=leg)
        assert created["direction"] == "outbound"
        service.wait("event", name="CHANNEL_ANSWER", uuid=leg)
        assert service.wait("bgapi", timeout=15)["body"] == f"+OK {leg}\n"
        assert service.wait("event", name="DTMF", uuid=leg)["digit"] == "4"
        assert service.wait("event", name="DTMF", uuid=leg)["digit"] == "2"
        service.tell(do="api", command=f"uuid_kill {leg}")
        assert service.wait("api")["body"] == "+OK\n"
        assert service.wait("event", name="CHANNEL_HANGUP", uuid=leg)["cause"] == "NORMAL_CLEARING"
        phone.finish()


def test_the_service_sees_every_state_of_a_call_in_order(site, service, tmp_path):
    leg = str(uuid.uuid4())
    with far_end(site, tmp_path) as phone:
        service.tell(do="bgapi", command=f"originate {{origination_uuid={leg}}}sofia/gateway/twilio/+15551234567 &park()")
        service.wait("bgapi", timeout=15)
        service.wait("event", name="DTMF", uuid=leg, digit="2")
        service.tell(do="api", command=f"uuid_kill {leg}")
        states = []
        while not states or states[-1] != "CS_DESTROY":
            states.append(service.wait("event", name="CHANNEL_STATE", uuid=leg)["state"])
            if states[-1] == "CS_REPORTING":
                break
        order = [s for s in ("CS_INIT", "CS_ROUTING", "CS_CONSUME_MEDIA", "CS_EXECUTE", "CS_HANGUP", "CS_REPORTING") if s in states]
        assert [s for s in states if s in order] == order, states
        assert {"CS_INIT", "CS_EXECUTE", "CS_HANGUP", "CS_REPORTING"} <= set(states)
        phone.finish()


def test_audio_broadcast_by_the_service_is_heard_by_the_far_end(site, service, tmp_path):
    audio.write_wav(tmp_path / "notice.wav", audio.sine(850, 2))
    leg, phone = str(uuid.uuid4()), site.carrier()
    service.tell(do="bgapi", command=f"originate {{origination_uuid={leg}}}sofia/gateway/twilio/+15551234567 &park()")
    call = phone.accept()
    assert "+15551234567" in call.request.start
    call.ring()
    call.answer()
    service.wait("event", name="CHANNEL_ANSWER", uuid=leg)
    service.tell(do="api", command=f"uuid_broadcast {leg} {tmp_path}/notice.wav aleg")
    assert service.wait("api")["body"].startswith("+OK")
    call.rtp.wait_tone(850, seconds=1.5)
    call.rtp.digits("7*")
    assert [service.wait("event", name="DTMF", uuid=leg)["digit"] for _ in range(2)] == ["7", "*"]
    service.tell(do="api", command=f"uuid_kill {leg}")
    call.wait_end()


def test_an_application_executed_on_a_call_reports_its_end(site, service):
    leg, phone = str(uuid.uuid4()), site.carrier()
    service.tell(do="bgapi", command=f"originate {{origination_uuid={leg}}}sofia/gateway/twilio/+15551234567 &park()")
    call = phone.accept()
    call.answer()
    service.wait("bgapi", timeout=15)
    service.tell(do="execute", app="playback", arg="tone_stream://%(700,0,900)", uuid=leg)
    call.rtp.wait_tone(900)
    done = service.wait("executed")
    assert done["app"] == "playback" and done["uuid"] == leg and done["response"] == "FILE PLAYED" and done["application_uuid"]
    service.tell(do="execute", app="hangup", arg="", uuid=leg)
    call.wait_end()


def test_a_busy_far_end_is_told_to_the_service(site, service):
    phone = site.carrier()
    service.tell(do="bgapi", command="originate sofia/gateway/twilio/+15550000000 &park()")
    phone.accept().reject(486, "Busy Here")
    assert service.wait("bgapi", timeout=15)["body"] == "-ERR USER_BUSY\n"


def test_a_call_from_the_carrier_is_answered_and_played_to(site, service):
    phone = site.phone(tree.INTERNAL, user="+15557654321", ip=CARRIER_IP)
    call = phone.invite("+15551112222")
    call.wait(200)
    create = service.wait("event", name="CHANNEL_CREATE")
    assert create["caller"] == "+15557654321" and create["destination"] == "+15551112222"
    service.wait("event", name="CHANNEL_ANSWER", uuid=create["uuid"])
    call.rtp.tone(440)
    call.rtp.wait_tone(500)
    call.rtp.wait_tone(700)
    call.wait_end(15)
    service.wait("event", name="CHANNEL_HANGUP", uuid=create["uuid"])


def test_a_call_from_a_stranger_is_refused(site, service):
    phone = site.phone(tree.INTERNAL, user="+15557654321", ip=STRANGER_IP)
    call = phone.invite("+15551112222")
    answer = call.until(lambda p: p.status >= 200, "final response")
    assert answer.status in (401, 403, 407), answer.start
    assert site.switch.channels() == 0


def test_commands_sent_at_once_are_answered_in_order(service):
    numbers = [str(n) for n in range(200)]
    for n in numbers:
        service.tell(do="api", command=f"echo {n}")
    assert [service.wait("api")["body"] for _ in numbers] == numbers


def test_jobs_keep_their_answers_apart(service):
    for n in range(50):
        service.tell(do="bgapi", command=f"echo job {n}")
    answers = {a["command"]: a["body"] for a in (service.wait("bgapi") for _ in range(50))}
    assert answers == {f"echo job {n}": f"job {n}" for n in range(50)}


def test_json_events_carry_the_same_fields(site, service):
    service.tell(do="json")
    service.wait("json")
    phone = site.phone(tree.INTERNAL, user="+15557654321", ip=CARRIER_IP)
    call = phone.invite("+15551112222")
    call.wait(200)
    assert service.wait("event", name="CHANNEL_ANSWER")["destination"] == "+15551112222"
    call.hangup()


def test_an_event_sent_by_one_client_reaches_another(site, service):
    service.tell(do="custom", name="shop::order")
    service.wait("custom_ready")
    with site.esl() as other:
        other.sock.sendall("sendevent CUSTOM\nEvent-Subclass: shop::order\nColour: räd 100%\nContent-Length: 5\n\nhello".encode())
        assert other.read().reply.startswith("+OK")
    got = service.wait("custom")
    assert (got["subclass"], got["colour"], got["body"]) == ("shop::order", "räd 100%", "hello")


def test_a_wrong_password_is_reported(site):
    argv = ["node", str(HERE / "modesl/service.js"), "127.0.0.1", str(site.esl_port), "wrong"]
    with Program(argv, cwd=HERE / "modesl") as program:
        program.wait("end")
        assert not any(line["kind"] == "ready" for line in program.seen)


# ---- the outbound side, on the small tree

@pytest.fixture
def app_site(small_server):
    yield from settled(small_server)


def test_an_outbound_ivr_collects_digits(app_site):
    argv = ["node", str(HERE / "modesl/ivr.js"), str(app_site.app_port), "tone_stream://%(400,0,500)"]
    with Program(argv, cwd=HERE / "modesl") as ivr:
        ivr.wait("listening")
        call = app_site.phone(user="5551000").invite("app")
        call.wait(200)
        assert ivr.wait("call")["caller"] == "5551000"
        ivr.wait("answered")
        call.rtp.wait_tone(500, seconds=0.2)
        call.rtp.digits("73")
        assert ivr.wait("digit")["digit"] == "7"
        assert ivr.wait("collected") == {"kind": "collected", "app": "play_and_get_digits", "pin": "73"}
        call.wait_end()
        ivr.wait("end")


def test_an_address_outside_the_list_is_refused_by_the_event_socket(site):
    """The overlay's `api_server` list lets 127.0.0.1 in; an address beside it is shown the door."""
    with socket.socket() as s:
        s.bind((STRANGER_IP, 0))
        s.settimeout(5)
        s.connect(("127.0.0.1", site.esl_port))
        assert s.recv(4096).startswith(b"Content-Type: text/rude-rejection\nContent-Length: 24\n\nAccess Denied, go away.\n")
