"""Digest in every form RFC 7616 has, both ways; whose challenges a gateway's account answers; what the directory says of registrations."""
import queue

import pytest

from conftest import settled, shared_site
from harness import ear, tree
from harness.services import until
from harness.sip import Phone, digest_fields, digest_response

DOMAIN = "test.example"
USERS = """
          <user id="roamer"><params><param name="password" value="r"/><param name="sip-force-contact" value="NDLB-connectile-dysfunction-2.0"/></params></user>
          <user id="older"><params><param name="password" value="o"/></params>
            <variables><variable name="sip-force-contact" value="NDLB-connectile-dysfunction"/></variables></user>
          <user id="login"><params><param name="password" value="l"/></params><variables><variable name="sip-force-user" value="desk"/></variables></user>
          <user id="wary"><params><param name="password" value="w"/>
            <param name="reverse-auth-user" value="switch"/><param name="reverse-auth-pass" value="of-the-phone"/></params></user>
          <user id="home"><params><param name="password" value="h"/><param name="register-gateway" value="follower"/></params></user>
"""
GATEWAYS = """
    <gateway name="strict"><param name="proxy" value="127.0.0.1:$${carrier_port}"/><param name="register" value="false"/>
      <param name="username" value="account"/><param name="password" value="of-strict"/><param name="realm" value="strict.example"/></gateway>
    <gateway name="follower"><param name="proxy" value="127.0.0.1:REGISTRAR"/><param name="username" value="u"/><param name="password" value="p"/>
      <param name="retry-seconds" value="3600"/></gateway>
"""


def with_accounts(block, where):
    conf = tree.small(block, where)
    tree.patch(conf / "sip_profiles/open.xml", {r"(?=  </gateways>)": GATEWAYS.replace("REGISTRAR", str(block[70]))})
    tree.patch(conf / "sip_profiles/auth.xml", {
        r'(?=<param name="auth-calls")': '<param name="rfc8760-auth-algorithms" value="MD5-sess,SHA-256-sess"/>\n    '})
    tree.patch(conf / "directory/users.xml", {r"(?=        </users>)": USERS})
    return conf


with_accounts.needs_trees = False
server = shared_site(with_accounts)


@pytest.fixture
def site(server):
    yield from settled(server)


# ---- challenges to the switch

FORMS = ['algorithm=MD5, qop="auth-int"', 'algorithm=MD5-sess, qop="auth"', 'algorithm=SHA-256-sess, qop="auth"',
         'algorithm=SHA-256-sess, qop="auth-int"', "algorithm=MD5-sess", 'qop="auth-int,auth"']


def challenged(call, challenge, header="Proxy-Authenticate", status=407):
    """Refuses the call with a challenge; the INVITE with credentials, or None if the call is given up."""
    call.phone.reply(call.request, status, "Who are you", [f"{header}: {challenge}"], tag=call.tag)
    call.until(lambda p: p.method == "ACK", "ACK")
    wanted = "proxy-authorization" if status == 407 else "authorization"
    return call.until(lambda p: p.method == "INVITE" and p[wanted], "INVITE with credentials")


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("status", [401, 407])
def test_a_challenge_of_any_form_is_answered_and_the_call_is_heard(site, esl, form, status):
    phone = site.phone(user="far")
    esl.command(f"bgapi originate {{sip_auth_username=alice,sip_auth_password=wonderland}}{ear.dial(phone)} &echo()")
    far = phone.accept()
    header = "Proxy-Authenticate" if status == 407 else "WWW-Authenticate"
    again = challenged(far, f'Digest realm="r", nonce="n1", opaque="o", {form}', header, status)
    given = digest_fields(again["proxy-authorization" if status == 407 else "authorization"])
    assert given["response"] == digest_response(given, "wonderland", "INVITE", again.body), given
    assert (given["username"], given["opaque"]) == ("alice", "o")
    assert given.get("qop") == (None if "qop" not in form else "auth" if ",auth" in form or 'qop="auth"' in form else "auth-int")
    far.until(lambda p: p.method == "ACK" and p["cseq"].split()[0] == again["cseq"].split()[0], "ACK of the answer")
    far.rtp.tone(ear.FAR)
    ear.hears(far, ear.FAR)
    # The phone answered the second INVITE like one within the call; its own words end it.
    esl.api("hupall")
    far.wait_end()


def test_a_phone_that_challenges_who_calls_it_is_answered_with_its_users_account(site, esl):
    phone = site.phone(user="wary")
    way = f"{{sip_route_uri=sip:{phone.ip}:{phone.port}}}sofia/open"
    esl.command(f"bgapi originate {way}/wary@{DOMAIN} &echo()")
    far = phone.accept()
    again = challenged(far, 'Digest realm="phone", nonce="n1", qop="auth"', "WWW-Authenticate", 401)
    given = digest_fields(again["authorization"])
    assert (given["username"], given["realm"]) == ("switch", "phone")
    assert given["response"] == digest_response(given, "of-the-phone", "INVITE", again.body), given
    far.rtp.tone(ear.FAR)
    ear.hears(far, ear.FAR)
    esl.api("hupall")
    far.wait_end()
    # Calls of others do not tell it: a user without such an account gets its 401 back.
    other = site.phone(user="older")
    job = esl.command(f"bgapi originate {{sip_route_uri=sip:{other.ip}:{other.port}}}sofia/open/older@{DOMAIN} &echo()")
    refused = other.accept()
    refused.phone.reply(refused.request, 401, "Who are you", ['WWW-Authenticate: Digest realm="phone", nonce="n1"'], tag=refused.tag)
    assert esl.wait_event("CHANNEL_HANGUP_COMPLETE", Caller_Destination_Number="older").event["Hangup-Cause"] == "CALL_REJECTED", job


def test_the_account_of_a_gateway_is_told_to_its_own_hosts_only(site, esl):
    def ask(ip):
        phone = site.phone(user="far", ip=ip, **({"port": site.block[tree.CARRIER]} if ip == "127.0.0.1" else {}))
        esl.command(f"bgapi originate {{sip_use_gateway=strict}}{ear.dial(phone)} &park")
        call = phone.accept()
        phone.reply(call.request, 407, "Who", ['Proxy-Authenticate: Digest realm="strict.example", nonce="n", qop="auth"'], tag=call.tag)
        call.until(lambda p: p.method == "ACK", "ACK")
        return call
    stranger = ask("127.0.0.2")
    event = esl.wait_event("CUSTOM", Event_Subclass="sofia::gateway_invalid_digest_req").event
    assert (event["Gateway"], event["realm"]) == ("strict", "strict.example")
    esl.wait_event("CHANNEL_HANGUP_COMPLETE")
    assert not [p for p in stranger.seen if p["proxy-authorization"]]
    own = ask("127.0.0.1")
    again = own.until(lambda p: p.method == "INVITE" and p["proxy-authorization"], "INVITE with credentials")
    given = digest_fields(again["proxy-authorization"])
    assert (given["username"], given["response"]) == ("account", digest_response(given, "of-strict", "INVITE", again.body))
    esl.api("hupall")
    own.wait_end()


class Mover(Phone):
    """Sends on each call that comes with credentials."""
    contact = ""

    def reply(self, request, status, reason, extra=(), body="", tag="", kind="application/sdp"):
        if request.method == "INVITE" and request["proxy-authorization"] and status < 300:
            self.proved, status, reason, extra, body = request, 302, "Moved", [], ""
        super().reply(request, status, reason, extra, body, tag, kind)


def test_a_redirection_to_a_foreign_host_gets_no_credentials(site, esl):
    def redirected_to(ip):
        carrier, other = Mover(site.sip(tree.OPEN), user="far", port=site.block[tree.CARRIER]), site.phone(user="other", ip=ip)
        carrier.contact = f"<sip:other@{ip}:{other.port}>"
        try:
            esl.command("bgapi originate sofia/gateway/strict/far &park")
            first = carrier.accept()
            carrier.reply(first.request, 407, "Who", ['Proxy-Authenticate: Digest realm="strict.example", nonce="n1", qop="auth"'],
                          tag=first.tag)
            call = other.accept()
            assert digest_fields(carrier.proved["proxy-authorization"])["nc"] == "00000001"
            other.reply(call.request, 486, "Busy Here", tag=call.tag)
            call.until(lambda p: p.method == "ACK", "ACK")
            return call.request
        finally:
            carrier.close()
    assert digest_fields(redirected_to("127.0.0.1")["proxy-authorization"])["nc"] == "00000002"
    assert not redirected_to("127.0.0.2")["proxy-authorization"]


# ---- challenges by the switch

def test_phones_are_asked_in_each_way_that_is_configured(site):
    phone = site.phone(tree.AUTH, user="1000", domain=DOMAIN)
    asked = [digest_fields(value) for value in phone.register().all("www-authenticate")]
    assert [challenge["algorithm"] for challenge in asked] == ["SHA-256-sess", "MD5-sess"]
    assert all(challenge["qop"] == "auth" for challenge in asked)
    assert len({challenge["nonce"] for challenge in asked}) == 2
    phone.password = "one-thousand"
    assert phone.register().status == 200
    assert "1000@127.0.0.1" in site.switch.api(f"sofia_contact auth/1000@{DOMAIN}")
    phone.password = "guessed"
    assert phone.register(0).status == 403
    phone.password = "one-thousand"
    assert phone.register(0).status == 200


def test_a_call_is_let_in_with_a_session_algorithm_and_others_are_refused(site, esl):
    phone = site.phone(tree.AUTH, user="1000", domain=DOMAIN, password="one-thousand")
    call, _ = ear.caller(site, esl, phone=phone)
    call.hangup()
    stranger = site.phone(tree.AUTH, user="1000", domain=DOMAIN)
    asked = digest_fields(stranger.register()["www-authenticate"])
    fields = {"username": "1000", "realm": asked["realm"], "nonce": asked["nonce"], "uri": f"sip:{DOMAIN}", "algorithm": "MD5"}
    fields["response"] = digest_response(fields, "one-thousand", "REGISTER")
    plain = "Digest " + ", ".join(f'{k}="{v}"' for k, v in fields.items())
    assert stranger.ask("REGISTER", f"sip:{DOMAIN}", ["Expires: 60", f"Authorization: {plain}"]).status == 403


# ---- registrations

class Astray(Phone):
    """A phone that gives an address nothing leads to."""
    contact = "<sip:me@192.0.2.99:5060;ob>"


def registered(site, kind, user, password):
    phone = kind(site.sip(tree.AUTH), user=user, domain=DOMAIN, password=password)
    site.phones.append(phone)
    assert phone.register().status == 200
    return phone


@pytest.mark.parametrize("user, status, uri", [("roamer", "AUTO-NAT-2.0", "me@192.0.2.99:5060;ob"), ("older", "AUTO-NAT", None)])
def test_a_phone_is_called_where_it_registers_from(site, esl, user, status, uri):
    phone = registered(site, Astray, user, user[0])
    assert f"Registered({status})" in esl.api("sofia status profile auth reg"), esl.api("sofia status profile auth reg")
    near, uuid = ear.caller(site, esl)
    ear.run(esl, uuid, f"bridge:user/{user}@{DOMAIN}")
    far = phone.accept()
    assert far.request.start.startswith(f"INVITE sip:{uri or f'me@127.0.0.1:{phone.port};ob'} "), far.request.start
    # The way back is the way in.
    Astray.contact, kept = f"<sip:me@127.0.0.1:{phone.port}>", Astray.contact
    try:
        far.answer()
        ear.talk(near, far)
        near.hangup()
        far.wait_end()
        phone.register(0)
    finally:
        Astray.contact = kept


def test_a_user_may_be_made_to_register_as_another(site, esl):
    phone = registered(site, Phone, "login", "l")
    assert "error/user_not_registered" in esl.api(f"sofia_contact auth/login@{DOMAIN}")
    assert f"login@127.0.0.1:{phone.port}" in esl.api(f"sofia_contact auth/desk@{DOMAIN}")
    assert phone.register(0).status == 200
    assert "error/user_not_registered" in esl.api(f"sofia_contact auth/desk@{DOMAIN}")


def test_all_contacts_are_given_up_with_expires_0_and_not_otherwise(site, esl):
    phone = registered(site, Phone, "1000", "one-thousand")

    def everything(*expires):
        star = type("Star", (Phone,), {"contact": "*"})(site.sip(tree.AUTH), user="1000", domain=DOMAIN, password="one-thousand")
        site.phones.append(star)
        return star.ask("REGISTER", f"sip:{DOMAIN}", [f"Expires: {value}" for value in expires]).status
    assert everything(60) == 400
    assert everything() == 400
    assert f"1000@127.0.0.1:{phone.port}" in esl.api(f"sofia_contact auth/1000@{DOMAIN}")
    assert everything(0) == 200
    assert "error/user_not_registered" in esl.api(f"sofia_contact auth/1000@{DOMAIN}")


class Registrar(Phone):
    """Takes registrations, and keeps what they asked for."""

    def __init__(self, *args, **more):
        self.asked = queue.Queue()
        super().__init__(*args, **more)

    def reply(self, request, status, reason, extra=(), body="", tag="", kind="application/sdp"):
        if request.method == "REGISTER":
            self.asked.put(request["expires"])
            status, extra = 200, [f"Contact: {request['contact']};expires={request['expires']}"]
        super().reply(request, status, reason, [line for line in extra], body, tag, kind)

    @property
    def contact(self):
        return f"<sip:registrar@{self.ip}:{self.port}>"


def test_a_gateway_comes_and_goes_with_its_users_phone(site, esl):
    registrar = Registrar(site.sip(tree.OPEN), port=site.block[70])
    site.phones.append(registrar)
    def state():
        return esl.api("sofia status gateway follower")
    esl.api("sofia profile open unregister follower")
    until(lambda: "\tDOWN" in state(), "gateway that is down", 20)
    while not registrar.asked.empty():
        registrar.asked.get()
    phone = registered(site, Phone, "home", "h")
    assert registrar.asked.get(timeout=20) == "3600"
    until(lambda: "REGED" in state(), "registered gateway", 20)
    assert phone.register().status == 200
    assert phone.register(0).status == 200
    assert registrar.asked.get(timeout=20) == "0"
