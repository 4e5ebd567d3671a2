"""Displays, INFO and registrations: what phones and registrars are told, and programs hear of it."""
import threading

import pytest

from harness import tree


@pytest.fixture
def esl(site):
    client = site.esl()
    client.command("event plain ALL CUSTOM sofia::register_attempt sofia::register_failure sofia::pre_register")
    yield client
    client.close()


def parked(site, esl, *extra):
    call = site.phone().invite("park", extra)
    call.wait(200)
    return call, esl.wait_event("CHANNEL_PARK").event["Unique-ID"]


def asked(call, method, what="", **headers):
    """The request within the call that has these header values."""
    return call.until(lambda p: p.start.startswith(method + " ") and all(what in p[name] for name, what in headers.items()), method)


SWITCH = ["X-FS-Support: update_display,send_info"]
SNOM = ["User-Agent: snom370/8.4.35"]
YEALINK = ["User-Agent: Yealink SIP-T46S 66.85", "Allow: INVITE, ACK, BYE", "Allow: UPDATE"]


@pytest.mark.parametrize("headers", [SWITCH, SNOM, YEALINK])
def test_a_display_is_told_in_the_form_the_phone_understands(site, esl, headers):
    call, uuid = parked(site, esl, *headers)
    assert esl.api(f"uuid_display {uuid} Ann B|4711").startswith("+OK")
    if headers is SWITCH:
        told = asked(call, "INFO")
        assert (told["content-type"], told["x-fs-display-name"], told["x-fs-display-number"]) == ("message/update_display", "Ann B", "4711")
    elif headers is SNOM:
        told = asked(call, "INFO")
        assert (told["content-type"], told.body) == ("message/sipfrag", 'From: "Ann B" 4711\r\nTo:\r\n')
    else:
        assert asked(call, "UPDATE")["p-asserted-identity"] == '"Ann B" <sip:4711@127.0.0.1>'
    event = esl.wait_event("CALL_UPDATE").event
    assert (event["Direction"], event["Sent-Callee-ID-Name"], event["Sent-Callee-ID-Number"]) == ("SEND", "Ann B", "4711")
    assert "Ann B" in esl.api("show channels")
    call.hangup()


def test_the_same_display_is_told_once(site, esl):
    call, uuid = parked(site, esl, *SWITCH)
    for name in ("Ann", "Ann", "Bob"):
        esl.api(f"uuid_display {uuid} {name}|1")
    asked(call, "INFO", **{"x-fs-display-name": "Bob"})
    assert [p["x-fs-display-name"] for p in call.seen if p.method == "INFO"] == ["Ann", "Bob"]
    call.hangup()


def test_after_a_transfer_the_phone_is_shown_the_new_party(site, esl):
    call, uuid = parked(site, esl, *YEALINK)
    phone = site.carrier()
    for name, number in (("First", "100"), ("Second", "200")):
        dial = f"{{origination_callee_id_name={name}}}sofia/gateway/carrier/{number}"
        assert esl.api(f"uuid_transfer {uuid} bridge:{dial} inline").startswith("+OK")
        far = phone.accept()
        far.answer()
        assert f'"{name}" <sip:{number}@' in asked(call, "UPDATE", **{"p-asserted-identity": name})["p-asserted-identity"]
    call.hangup()
    far.wait_end()


def test_a_far_end_that_names_itself_anew_is_shown_to_the_other_side(site, esl):
    phone = site.carrier()
    call = site.phone().invite("carrier-100", SWITCH)
    far = phone.accept()
    far.answer()
    call.wait(200)
    esl.wait_event("CHANNEL_BRIDGE")
    far.cseq += 1
    phone.request("INFO", far.target, far.call_id, far.cseq, far.local, far.remote, ["X-FS-Display-Name: New%20Name", "X-FS-Display-Number: 321"],
                  "x", kind="message/update_display", to_address=far.address)
    told = asked(call, "INFO", **{"x-fs-display-number": "321"})
    assert told["x-fs-display-name"] == "New Name"
    event = esl.wait_event("CALL_UPDATE", Direction="RECV").event
    assert (event["Caller-Callee-ID-Name"], event["Caller-Callee-ID-Number"]) == ("New Name", "321")
    call.hangup()
    far.wait_end()


# ---- INFO

def test_digits_by_info_are_taken_where_a_global_says_so_and_each_info_is_told(site, esl):
    call, uuid = parked(site, esl)

    def info(kind, body):
        call.cseq += 1
        call.phone.request("INFO", call.target, call.call_id, call.cseq, call.local, call.remote, ["X-Key: pressed"], body, kind=kind, to_address=call.address)
        assert call.until(lambda p: p.method == "INFO" and p.status and p["cseq"].startswith(str(call.cseq)), "answer").status == 200
        event = esl.wait_event("RECV_INFO")
        assert (event.event["SIP-Content-Type"], event.event_body) == (kind, body)

    info("application/dtmf-relay", "Signal=1\r\nDuration=160\r\n")
    esl.api("global_setvar rtp_liberal_dtmf=true")
    try:
        for kind, body, digit in (("application/dtmf-relay", "Signal= 5\r\nDuration= 160\r\n", "5"), ("application/dtmf", "11", "#"),
                                  ("application/dtmf", "7", "7")):
            info(kind, body)
            assert esl.wait_event("DTMF").event["DTMF-Digit"] == digit
        assert esl.api(f"uuid_getvar {uuid} sip_info_h_X-Key") == "pressed"
    finally:
        esl.api("global_setvar rtp_liberal_dtmf=")
    call.hangup()


def test_globals_stand_behind_channel_variables(site, esl):
    esl.api("global_setvar disable_q850_reason=true")
    try:
        call, uuid = parked(site, esl)
        esl.api(f"uuid_kill {uuid}")
        bye = call.until(lambda p: p.start.startswith("BYE"), "BYE")
        assert not bye["reason"]
    finally:
        esl.api("global_setvar disable_q850_reason=")


# ---- registrations

def test_refused_and_unknown_registrations_are_told(site, esl):
    for user, password in (("1000", "wrong"), ("nobody", "wrong"), ("1000", "one-thousand")):
        phone = site.phone(tree.AUTH, user=user, password=password, domain="test.example")
        right = password == "one-thousand"
        assert phone.register().status == (200 if right else 403)
        event = esl.wait_event("CUSTOM", Event_Subclass="sofia::register_attempt").event
        assert (event["from-user"], event["username"], event["auth-result"]) == (user, user, "RENEWED" if right else "FORBIDDEN")
        if not right:
            failure = esl.wait_event("CUSTOM", Event_Subclass="sofia::register_failure").event
            assert (failure["to-user"], failure["registration-type"]) == (user, "REGISTER")


def test_a_registrar_that_wants_longer_registrations_gets_them(fresh):
    open_profile = fresh.conf / "sip_profiles/open.xml"
    gateway = '<gateway name="brief"><param name="username" value="u"/><param name="password" value="p"/>' \
              f'<param name="proxy" value="127.0.0.1:{fresh.block[tree.CARRIER]}"/><param name="expire-seconds" value="600"/></gateway>'
    open_profile.write_text(open_profile.read_text().replace("<gateways>", f"<gateways>{gateway}", 1))
    registrar = fresh.carrier()
    asked_for, done = [], threading.Event()

    def answer(packet):
        asked_for.append(packet["expires"])
        if int(packet["expires"] or 0) < 1800:
            registrar.reply(packet, 423, "Interval Too Brief", ["Min-Expires: 1800"])
        else:
            contact = packet["contact"]
            lines = ["SIP/2.0 200 OK", f"Via: {packet['via']}", f"From: {packet['from']}", f"To: {packet['to']};tag=r", f"Call-ID: {packet['call-id']}",
                     f"CSeq: {packet['cseq']}", f"Contact: {contact};expires=1800", "Content-Length: 0", "", ""]
            registrar.send("\r\n".join(lines), packet.source)
            done.set()

    original = registrar.reply
    registrar.reply = lambda request, status, reason, *more, **how: (
        answer(request) if request.method == "REGISTER" and status == 481 else original(request, status, reason, *more, **how))
    fresh.start()
    esl = fresh.esl()
    esl.command("event plain CUSTOM sofia::gateway_state")
    assert done.wait(20)
    if "REGED" not in esl.api("sofia status gateway brief"):
        esl.wait_event("CUSTOM", timeout=10, State="REGED")
    assert asked_for[:2] == ["600", "1800"]
    assert not fresh.settle()
