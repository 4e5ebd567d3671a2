"""What strangers send on purpose. Nothing of it may be run, reach a trunk, go to third parties or silence others."""
import secrets
import socket

import pytest

from conftest import settled, shared_site
from harness import tree
from harness.sip import Packet

DIALPLAN = """<include>
  <context name="public">
    <extension name="said">
      <condition field="destination_number" expression="^said$">
        <action application="set" data="said=${caller_id_name}|${caller_id_number}|${sip_h_X-Said}|${sip_user_agent}"/>
        <action application="set" data="joined=${sip_h_X-One}${sip_h_X-Two}"/>
        <action application="answer"/>
        <action application="park"/>
      </condition>
    </extension>
    <extension name="named">
      <condition field="destination_number" expression="^named$">
        <action application="set" data="hangup_after_bridge=true"/>
        <action application="bridge"
          data="{origination_caller_id_name='${caller_id_name}',origination_caller_id_number=${caller_id_number}}sofia/gateway/carrier/7"/>
      </condition>
    </extension>
    <extension name="trunk">
      <condition field="destination_number" expression="^trunk-(.+)$">
        <action application="set" data="hangup_after_bridge=true"/>
        <action application="bridge" data="sofia/gateway/carrier/$1"/>
      </condition>
    </extension>
    <extension name="circle">
      <condition field="destination_number" expression="^circle$">
        <action application="bridge" data="sofia/open/circle@127.0.0.1:$${open_port}"/>
      </condition>
    </extension>
    <extension name="any">
      <condition field="destination_number" expression="^~(.*)$">
        <action application="set" data="dialled=$1"/>
        <action application="answer"/>
        <action application="park"/>
      </condition>
    </extension>
  </context>
</include>
"""

NOBODY = '<user id="1009"/><user id="1008"><params><param name="password" value=""/></params></user>\n          <user id="1000">'


def tricked(block, where):
    conf = tree.small(block, where)
    (conf / "dialplan/attacks.xml").write_text(DIALPLAN)
    people = next(p for p in (conf / "directory").iterdir() if 'id="1000"' in p.read_text())
    tree.patch(people, {'<user id="1000">': NOBODY})
    return conf


server = shared_site(tricked)


@pytest.fixture
def site(server):
    yield from settled(server)


@pytest.fixture
def esl(site):
    with site.esl() as client:
        client.command("event plain CHANNEL_CREATE CHANNEL_PARK CHANNEL_EXECUTE_COMPLETE CHANNEL_HANGUP_COMPLETE")
        yield client


def name(text):
    """A header that makes this the caller's name."""
    quoted = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'P-Asserted-Identity: "{quoted}" <sip:1@127.0.0.1>'


def untouched(site, marker):
    assert site.switch.api("global_getvar pwned").strip() in ("", "-ERR no reply")
    assert not marker.exists()


# ---- words that would be run

@pytest.mark.quick
def test_what_a_caller_says_of_himself_is_never_run(site, esl, tmp_path):
    marker = tmp_path / "marker"
    run = f"${{system(touch {marker})}}"
    phone = site.phone(user="${global_setvar(pwned=1)}")
    call = phone.invite("said", extra=[name(run), f"X-Said: {run}", "X-One: $", f"X-Two: {{system(touch {marker})}}",
                                       f"Remote-Party-ID: \"\\{run}\" <sip:${{global_setvar(pwned=2)}}@h>"])
    call.wait(200)
    uuid = esl.wait_event("CHANNEL_PARK").event["Unique-ID"]
    said = site.switch.api(f"uuid_getvar {uuid} said")
    assert "%" in said and "$" not in said
    untouched(site, marker)
    call.hangup()


@pytest.mark.parametrize("number", ["~${global_setvar(pwned=3)}", "~$\\{global_setvar(pwned=3)}", "~a${hash(insert/x/y/z)}b"])
def test_what_a_caller_dials_is_never_run(site, esl, tmp_path, number):
    call = site.phone().invite(number)
    call.wait(200)
    uuid = esl.wait_event("CHANNEL_PARK").event["Unique-ID"]
    assert "${" not in site.switch.api(f"uuid_getvar {uuid} dialled")
    untouched(site, tmp_path / "none")
    call.hangup()


def test_where_a_far_end_transfers_to_is_never_run(site, esl):
    carrier = site.carrier()
    near = site.phone().invite("trunk-5")
    far = carrier.accept()
    far.answer()
    near.wait(200)
    far.cseq += 1
    carrier.request("REFER", far.target, far.call_id, far.cseq, far.local, far.remote,
                    ["Refer-To: <sip:~${global_setvar(pwned=4)}@127.0.0.1>"], to_address=far.address)
    far.until(lambda p: p.status == 202, "202")
    uuid = esl.wait_event("CHANNEL_PARK").event["Unique-ID"]
    assert "${" not in site.switch.api(f"uuid_getvar {uuid} dialled")
    assert site.switch.api("global_getvar pwned").strip() in ("", "-ERR no reply")
    near.hangup()


def test_a_callers_name_is_one_value_in_a_dial_string(site):
    carrier = site.carrier()
    near = site.phone(user="5,origination_caller_id_name=x").invite(
        "named", extra=[name("x'}sofia/gateway/carrier/666,null/1,'{execute_on_answer='hangup=1")])
    far = carrier.accept()
    assert far.request.start.startswith("INVITE sip:7@")
    far.answer()
    near.wait(200)
    near.hangup()
    far.wait_end()
    assert carrier.incoming.empty()


def test_a_callers_name_adds_nothing_to_what_is_asserted_of_him(site):
    carrier = site.carrier()
    near = site.phone().invite("trunk-5", extra=[name('Eve" <sip:boss@h>;screen=yes;party="')])
    far = carrier.accept()
    identity = far.request["remote-party-id"]
    assert identity.count("<sip:") == 1 and "\\\"" in identity and "boss@h>" not in identity, identity
    far.answer()
    near.wait(200)
    near.hangup()
    far.wait_end()


# ---- other people's calls

def test_a_call_is_not_taken_over_by_who_knows_its_call_id_only(site, esl):
    carrier = site.carrier()
    near = site.phone().invite("trunk-5")
    far = carrier.accept()
    far.answer()
    near.wait(200)
    for tags in ("", ";to-tag=x;from-tag=y", f";to-tag=x;from-tag={near.tag}"):
        thief = site.phone().invite("said", extra=[f"Replaces: {near.call_id}{tags}"])
        thief.wait(481)
    assert not near.ended and not far.ended
    near.hangup()
    far.wait_end()


def test_a_call_that_goes_in_a_circle_ends(site):
    call = site.phone().invite("circle", extra=[])
    answer = call.until(lambda p: p.method == "INVITE" and p.status >= 300, "a refusal", timeout=30)
    assert answer.status in (482, 483, 503), answer.start


# ---- who may ask at all

@pytest.mark.parametrize("method", ["MESSAGE", "SUBSCRIBE", "REFER", "PUBLISH"])
def test_an_address_that_may_not_call_may_not_ask_either(site, method):
    banned = site.phone(ip="127.0.0.66")
    extra = ["Event: presence", "Refer-To: <sip:echo@127.0.0.1>"]
    assert banned.ask(method, "sip:1000@127.0.0.1", extra).status in (403, 405)


@pytest.mark.parametrize("method", ["MESSAGE", "REFER", "INVITE"])
def test_where_calls_need_a_password_other_requests_do_too(site, method):
    phone = site.phone(tree.AUTH, user="1000")
    assert phone.ask(method, "sip:1001@127.0.0.1", ["Refer-To: <sip:echo@127.0.0.1>"]).status == 407


def test_a_message_needs_a_password_even_where_calls_do_not(site):
    assert site.phone(tree.OPEN, user="1000").ask("MESSAGE", "sip:1001@127.0.0.1").status == 407


def test_an_answer_goes_to_who_asked_not_to_whom_it_names(site):
    victim, phone = site.phone(), site.phone()
    victim.user = "victim"
    call_id, seen = secrets.token_hex(8), []
    phone.inbox[call_id] = seen.append
    notified = []
    victim.inbox[call_id] = notified.append
    lines = ["REFER sip:x@127.0.0.1 SIP/2.0", f"Via: SIP/2.0/UDP {phone.ip}:{phone.port};rport;branch=z9hG4bK{call_id}", "From: <sip:a@127.0.0.1>;tag=1",
             "To: <sip:x@127.0.0.1>", f"Call-ID: {call_id}", "CSeq: 1 REFER", f"Contact: <sip:victim@127.0.0.9:{victim.port}>",
             "Refer-To: <sip:echo@127.0.0.1>", "Max-Forwards: 70", "Content-Length: 0", "", ""]
    ears = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    ears.bind(("127.0.0.9", victim.port))
    ears.setblocking(False)
    phone.send("\r\n".join(lines))
    # The NOTIFY comes back here; the phone takes every packet of the call.
    assert phone.ask("OPTIONS", "sip:x@127.0.0.1").status == 200
    for _ in range(100):
        if any(p.method == "NOTIFY" for p in seen):
            break
        assert phone.ask("OPTIONS", "sip:x@127.0.0.1").status == 200
    assert any(p.method == "NOTIFY" for p in seen), [p.start for p in seen]
    phone.reply(next(p for p in seen if p.method == "NOTIFY"), 200, "OK")
    with pytest.raises(BlockingIOError):
        ears.recv(4096)
    ears.close()


@pytest.mark.parametrize("user", ["1008", "1009", "nobody"])
def test_who_has_no_password_cannot_register(site, user):
    for password in ("", "x"):
        assert site.phone(tree.AUTH, user=user, password=password).register().status == 403


def test_credentials_without_a_count_serve_once(site):
    """Without qop nothing tells a client from somebody who repeats what it said."""
    phone = site.phone(tree.AUTH, user="1000")
    challenge = phone.register()
    assert challenge.status == 401
    from harness.sip import authorization
    plain = challenge["www-authenticate"].replace(', qop="auth"', "")
    proof = "Authorization: " + authorization(plain, "1000", "one-thousand", "REGISTER", "sip:127.0.0.1")
    assert phone.ask("REGISTER", "sip:127.0.0.1", [proof, "Expires: 60"]).status == 200
    again = phone.ask("REGISTER", "sip:127.0.0.1", [proof, "Expires: 60"])
    assert again.status == 401 and "stale=true" in again["www-authenticate"]
    fresh = site.phone(tree.AUTH, user="1000", password="one-thousand", port=0)
    assert fresh.register(expires=0).status == 200


# ---- floods

def test_a_flood_of_calls_nobody_vouches_for_keeps_nobody_out(site):
    phone = site.phone(tree.AUTH, user="1000", password="one-thousand", ip="127.0.0.5")
    phone.repeats = True
    flood = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    flood.bind(("127.0.0.6", 0))
    before = site.switch.rss_kb()
    for n in range(4000):
        flood.sendto((f"INVITE sip:echo@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.6:9;branch=z9hG4bK{n}\r\nFrom: <sip:a@b>;tag={n}\r\n"
                      f"To: <sip:echo@127.0.0.1>\r\nCall-ID: flood-{n}\r\nCSeq: 1 INVITE\r\nContact: <sip:a@127.0.0.6:9>\r\n\r\n").encode(), phone.server)
        if n % 500 == 0:
            assert phone.register().status == 200
    assert phone.register(expires=0).status == 200
    assert site.switch.rss_kb() - before < 100_000
    flood.close()


def test_connections_that_say_nothing_keep_nobody_out(site):
    server = site.sip(tree.AUTH)
    silent = [socket.create_connection(server) for _ in range(200)]
    for s in silent[::2]:
        s.sendall(b"INVITE sip:x")
    phone = site.phone(tree.AUTH, user="1000", password="one-thousand")
    assert phone.register(expires=60).status == 200
    with socket.create_connection(server) as s:
        s.sendall(b"OPTIONS sip:x@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/TCP 127.0.0.1;branch=z9hG4bKt\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:x@127.0.0.1>\r\n"
                  b"Call-ID: tcp\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n")
        s.settimeout(5)
        assert Packet(s.recv(4096)).status == 200
    for s in silent:
        s.close()
    assert phone.register(expires=0).status == 200


# ---- logs

def test_the_log_obeys_no_callers_control_characters(site):
    call = site.phone().invite("said", extra=[name("\x1b[2J\x1b]0;owned\x07"), "X-Said: \x1b[31mred"])
    call.wait(200)
    call.hangup()
    site.switch.wait_idle()
    log = (site.where / "log/freeswitch.log").read_bytes()
    assert b"said" in log and b"\x1b" not in log and b"\x07" not in log
