"""Whatever a far end says, in whatever header, body or answer, each variable that holds it is one value of a dial string."""
from urllib.parse import unquote

import pytest

from conftest import settled, shared_site
from harness import tree
from harness.sip import Phone

EVIL = "m',pwned='1'}null/evil,{z='"
QUOTED = '"' + EVIL.replace('"', '\\"') + '"'
USER = "m',pwned='1'"
NAMES = {"Caller-Caller-ID-Name": "caller_id_name", "Caller-Caller-ID-Number": "caller_id_number", "Caller-ANI": "ani",
         "Caller-Callee-ID-Name": "callee_id_name", "Caller-Callee-ID-Number": "callee_id_number", "Caller-Destination-Number": "destination_number",
         "Caller-Username": "username", "Channel-Name": "channel_name"}
# Made to be dialled: what separates in them is escaped instead.
DIALLED = ("sip_redirect_dialstring", "sip_redirect_dialstring_0")
HEADERS = [f"X-Foo: {EVIL}", f"Subject: {EVIL}", f"User-Agent: {EVIL}", f"Call-Info: <http://h/x>;a={QUOTED}", f"Call-Info: {QUOTED} <sip:x>",
           f"Identity: {EVIL}", f"Identity: {EVIL}2", f"History-Info: <sip:h@h>;index=1;m={QUOTED}", f"Alert-Info: <http://x>;info={QUOTED}",
           f"Referred-By: {QUOTED} <sip:{USER}@h.example;a=b>;cid={QUOTED};z={USER}", f"Diversion: {QUOTED} <sip:{USER}@e>",
           f"Accept-Language: {USER}", f"P-Asserted-Identity: {QUOTED} <sip:{USER}@e>", f"Remote-Party-ID: {QUOTED} <sip:{USER}@e>;party=calling",
           f"User-to-User: {EVIL}", f"Geolocation: <sip:{EVIL}>", f"Privacy: id;{USER}", f"Reason: SIP;cause=486;text={QUOTED}",
           "Record-Route: <sip:m',pwned='1'@127.0.0.1:9;lr>"]
ANSWERS = [f"X-Foo: {EVIL}", f"P-Asserted-Identity: {QUOTED} <sip:{USER}@h>", f"Server: {EVIL}", f"P-Foo: {EVIL}",
           f"Reason: SIP;cause=486;text={QUOTED}", f"Warning: 399 h {QUOTED}"]


def dialplan(number, *actions):
    lines = "".join(f'<action application="{app}" data="{data}"/>' for app, data in actions)
    return f'<extension name="{number}"><condition field="destination_number" expression="^{number}$">{lines}</condition></extension>\n'


def hostile(block, where):
    conf = tree.small(block, where)
    public = conf / "dialplan/public.xml"
    own = (dialplan("said.*", ("answer", ""), ("park", ""))
           + dialplan("tried", ("set", "continue_on_fail=true"), ("bridge", "sofia/gateway/carrier/9"), ("answer", ""), ("park", ""))
           + dialplan("listed", ("bridge", "${sofia_contact(auth/1000)}")))
    public.write_text(public.read_text().replace('<context name="public">', f'<context name="public">{own}', 1))
    return conf


server = shared_site(hostile)


@pytest.fixture
def site(server):
    yield from settled(server)


@pytest.fixture
def esl(site):
    with site.esl() as client:
        client.command("event plain CHANNEL_PARK CHANNEL_BRIDGE CHANNEL_EXECUTE_COMPLETE BACKGROUND_JOB")
        yield client


def holding(esl, uuid):
    """Names of what `${…}` finds in a leg and holds the far end's text."""
    lines = (line.partition(": ") for line in esl.api(f"uuid_dump {uuid}").split("\n"))
    found = [NAMES.get(name, name) for name, _, value in lines if "pwned" in unquote(value)]
    return [name.removeprefix("variable_") for name in found if not name.startswith(("Caller-", "Other-Leg-"))]


def at(phone, contact):
    """The phone shows itself so."""
    phone.__class__ = type("At", (Phone,), {"contact": contact})


def one_value_each(esl, uuid, *expected):
    names = dict.fromkeys(holding(esl, uuid))
    assert set(expected) <= set(names), sorted(names)
    for name in names:
        if name in DIALLED:
            continue
        for pair in ("x_foo='${%s}'", "x_foo=${%s}"):
            esl.events.clear()
            esl.execute(uuid, "set", "job=${bgapi(originate {" + pair % name + ",x_end=1}null/one &park)}", event_lock="true")
            event = esl.wait_event("CHANNEL_PARK", timeout=10).event
            assert event["Channel-Name"] == "null/one", (name, pair, event["Channel-Name"])
            assert (event["variable_x_foo"], event["variable_x_end"]) == (esl.api(f"uuid_getvar {uuid} {name}"), "1"), (name, pair)
            assert not [key for key in event if "pwned" in key], (name, pair)
            esl.api(f"uuid_kill {event['Unique-ID']}")
    assert ",null/evil," not in esl.api("show channels")


def test_what_a_caller_says(site, esl):
    def body(call):
        offer = call.sdp().replace("s=-", f"s={EVIL}").replace("o=-", f"o={USER}").replace("a=ptime", f"a=fmtp:0 {EVIL}\r\na=x-said:{EVIL}\r\na=ptime")
        return f"--b\r\nContent-Type: application/x-said\r\n\r\n{EVIL}\r\n--b\r\nContent-Type: application/sdp\r\n\r\n{offer}\r\n--b--\r\n"

    call = site.phone().invite(f"sip:said;x={USER}@127.0.0.1", HEADERS, from_=f"{QUOTED} <sip:u;np={USER}@h.example>;fp={QUOTED}", sdp=body,
                               kind="multipart/mixed;boundary=b")
    call.wait(200)
    uuid = esl.wait_event("CHANNEL_PARK").event["Unique-ID"]
    one_value_each(esl, uuid, "sip_h_X-Foo", "sip_identity", "sip_call_info", "sip_multipart", "switch_r_sdp", "sip_referred_by_user", "sip_referred_by_uri",
                   "rtp_use_codec_fmtp", "sip_subject", "sip_history_info", "caller_id_name", "destination_number")
    call.hangup()


def test_what_a_refusal_says(site, esl):
    carrier = site.carrier()
    near = site.phone().invite("tried")
    far = carrier.accept()
    far.phone.reply(far.request, 486, EVIL, ANSWERS, tag=far.tag)
    near.wait(200)
    uuid = esl.wait_event("CHANNEL_PARK").event["Unique-ID"]
    one_value_each(esl, uuid, "sip_invite_failure_phrase", "sip_hangup_phrase")
    near.hangup()


def test_where_a_redirection_leads(site, esl):
    carrier = site.carrier()
    near = site.phone().invite("tried")
    far = carrier.accept()
    there = site.phone(ip="127.0.0.9")
    at(carrier, f"{QUOTED} <sip:{USER}@{there.ip}:{there.port};x=:_:null/evil>;q=1;z={QUOTED}")
    far.phone.reply(far.request, 302, EVIL, [*ANSWERS, f"Diversion: {QUOTED} <sip:d@h>;reason={QUOTED}"], tag=far.tag)
    again = there.accept()
    assert again.request.start == f"INVITE sip:{USER}@{there.ip}:{there.port};x=:_:null/evil SIP/2.0"
    again.reject(486, "Busy Here")
    near.wait(200)
    uuid = esl.wait_event("CHANNEL_PARK").event["Unique-ID"]
    one_value_each(esl, uuid, "sip_redirected_to", "sip_redirected_by", "sip_redirect_contact_0", "sip_redirect_contact_user_0")
    assert ":_:" not in esl.api(f"uuid_getvar {uuid} sip_redirect_dialstring")
    near.hangup()


def test_what_an_answer_says_and_what_is_passed_on_to_the_called_leg(site, esl):
    carrier = site.carrier()
    near = site.phone().invite("tried", [f"X-Foo: {EVIL}"])
    far = carrier.accept()
    assert far.request["x-foo"] == EVIL
    far._hear_offer()
    answer = far.sdp().replace("s=-", f"s={EVIL}").replace("a=ptime", f"a=fmtp:0 {EVIL}\r\na=ptime")
    far.phone.reply(far.request, 183, EVIL, ANSWERS, body=answer, tag=far.tag)
    far.phone.reply(far.request, 200, EVIL, ANSWERS, body=answer, tag=far.tag)
    bridge = esl.wait_event("CHANNEL_BRIDGE").event
    far.cseq += 1
    far.phone.request("INFO", far.target, far.call_id, far.cseq, far.local, far.remote, [*ANSWERS, f"X-ClientCode: {EVIL}"], to_address=far.address)
    far.until(lambda p: p.method == "INFO" and p.status == 200, "200 to INFO")
    one_value_each(esl, bridge["Bridge-A-Unique-ID"], "switch_m_sdp", "sip_h_X-Foo")
    one_value_each(esl, bridge["Bridge-B-Unique-ID"], "switch_r_sdp", "sip_h_X-Foo", "call_clientcode", "rtp_use_codec_fmtp", "sip_user_agent")
    near.hangup()
    far.wait_end()


@pytest.mark.parametrize("more", (";x=:_:sofia/gateway/carrier/666", ";x=:_::_:sofia/gateway/carrier/666", ";x=':_:sofia/gateway/carrier/666"))
def test_a_registered_address_calls_nobody_else(site, esl, more):
    carrier = site.carrier()
    phone = site.phone(tree.AUTH, user="1000", password="one-thousand", domain="test.example")
    at(phone, phone.contact.replace(">", f"{more}>"))
    assert phone.register().status == 200
    for number in ("1000", "listed"):
        near = site.phone().invite(number)
        phone.accept().reject(486, "Busy Here")
        assert near.until(lambda p: p.status >= 300, "a refusal").status == 486
    assert phone.register(expires=0).status == 200
    assert site.switch.wait_idle() == 0
    assert carrier.incoming.empty()
