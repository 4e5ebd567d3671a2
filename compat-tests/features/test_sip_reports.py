"""Public reports about registrations, gateways, presence, reliable provisional answers and connections: each by its number."""
import queue
import re
import secrets
import socket
import threading

import pytest
from conftest import settled, shared_site
from harness import office, tree
from harness.ear import FAR, caller, dial, hears
from harness.services import until
from harness.sip import Packet, Phone, digest_fields, digest_response

DOMAIN = "test.example"
LEAVER, STREAM, PINGED = 70, 71, 72
GATEWAYS = """
    <gateway name="leaver"><param name="proxy" value="127.0.0.1:{leaver}"/><param name="username" value="account"/><param name="password" value="secret"/>
      <param name="retry-seconds" value="3600"/></gateway>
    <gateway name="stream"><param name="proxy" value="127.0.0.1:{stream}"/><param name="username" value="u"/><param name="password" value="p"/>
      <param name="register-transport" value="tcp"/><param name="retry-seconds" value="3600"/></gateway>
    <gateway name="pinged"><param name="proxy" value="127.0.0.1:{pinged}"/><param name="register" value="false"/><param name="ping" value="5"/>
      <param name="ping-max" value="1"/><param name="ping-min" value="1"/></gateway>
"""
DEAD = "".join(f'<gateway name="dead{n}"><param name="proxy" value="{where}"/><param name="username" value="u"/><param name="password" value="p"/>'
               '<param name="retry-seconds" value="5"/></gateway>'
               for n, where in enumerate(["127.0.0.1:1", "dead.invalid", "127.0.0.9:9;transport=tcp", "sip.dead.invalid:5070"] * 5))


def with_reports(block, where):
    conf = tree.small(block, where)
    ports = {"leaver": block[LEAVER], "stream": block[STREAM], "pinged": block[PINGED]}
    tree.patch(conf / "sip_profiles/open.xml", {
        r"(?=  </gateways>)": GATEWAYS.format(**ports) + DEAD,
        r'(?=<param name="sip-port")': '<param name="enable-100rel" value="true"/><param name="auth-subscriptions" value="false"/>\n    ',
        r'"manage-presence" value="false"/>': '"manage-presence" value="true"/>'})
    tree.patch(conf / "sip_profiles/auth.xml", {r'"manage-presence" value="false"/>': '"manage-presence" value="true"/>'})
    return conf


with_reports.needs_trees = False
server = shared_site(with_reports)


@pytest.fixture
def site(server):
    yield from settled(server)


# ---- gateways

class Registrar(Phone):
    """Asks for each registration anew, with a nonce of its own and 407, as some registrars do."""

    def __init__(self, *args, **more):
        self.granted, self.nonce = queue.Queue(), ""
        super().__init__(*args, **more)

    def reply(self, request, status, reason, extra=(), body="", tag="", kind="application/sdp"):
        if request.method == "REGISTER":
            given = digest_fields(request["proxy-authorization"]) if request["proxy-authorization"] else {}
            if given.get("nonce") == self.nonce and given["response"] == digest_response(given, "secret", "REGISTER"):
                self.nonce, status = "", 200
                self.granted.put(request["expires"])
            else:
                self.nonce = secrets.token_hex(8)
                status, extra = 407, [f'Proxy-Authenticate: Digest realm="r", nonce="{self.nonce}", algorithm=MD5, qop="auth"']
        super().reply(request, status, "Registrar", extra, body, tag, kind)


def test_sofia_sip_319_a_gateway_that_leaves_answers_the_challenge_too(site, esl):
    registrar = Registrar(site.sip(tree.OPEN), user="registrar", port=site.block[LEAVER])
    site.phones.append(registrar)
    esl.api("sofia profile open register leaver")
    assert registrar.granted.get(timeout=20) == "3600"
    esl.api("sofia profile open unregister leaver")
    assert registrar.granted.get(timeout=20) == "0"


class Streams:
    """A registrar over TCP: what came on which connection."""

    def __init__(self, port):
        self.came, self.links = queue.Queue(), []
        self.listener = socket.create_server(("127.0.0.1", port))
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                link, _ = self.listener.accept()
            except OSError:
                return
            self.links.append(link)
            threading.Thread(target=self._read, args=(link, len(self.links)), daemon=True).start()

    def _read(self, link, number):
        text = b""
        while True:
            try:
                data = link.recv(65536)
            except OSError:
                return
            if not data:
                return
            text += data
            while b"\r\n\r\n" in text:
                head, text = text.split(b"\r\n\r\n", 1)
                packet = Packet(head + b"\r\n\r\n")
                if packet.method == "REGISTER" and not packet.status:
                    lines = ["SIP/2.0 200 OK", *(f"Via: {via}" for via in packet.all("via")), f"From: {packet['from']}", f"To: {packet['to']};tag=r",
                             f"Call-ID: {packet['call-id']}", f"CSeq: {packet['cseq']}", f"Contact: {packet['contact']};expires=3600",
                             "Content-Length: 0", "", ""]
                    self.came.put(number)
                    try:
                        link.sendall("\r\n".join(lines).encode())
                    except OSError:
                        return

    def close(self):
        self.listener.close()
        for link in self.links:
            link.close()


def test_freeswitch_2291_a_gateway_over_a_connection_that_ended_makes_another(site, esl):
    registrar = Streams(site.block[STREAM])
    try:
        esl.api("sofia profile open register stream")
        first = registrar.came.get(timeout=20)
        registrar.links[first - 1].shutdown(socket.SHUT_RDWR)
        registrar.links[first - 1].close()
        esl.api("sofia profile open register stream")
        assert registrar.came.get(timeout=20) > first
        until(lambda: "REGED" in esl.api("sofia status gateway stream"), "registered gateway", 20)
    finally:
        registrar.close()


def test_freeswitch_1960_gateways_that_fail_harm_no_others_calls(site, esl):
    """Twenty of them try all the time, at dead ports and names."""
    carrier = site.phone(user="far", port=site.block[tree.CARRIER])
    esl.command("bgapi originate sofia/gateway/carrier/far &echo")
    far = carrier.accept()
    far.answer()
    far.rtp.tone(FAR)
    hears(far, FAR)
    near, _ = caller(site, esl)
    near.hangup()
    esl.api("hupall")
    far.wait_end()
    assert not [line for line in esl.api("sofia status").splitlines() if "dead" in line and "REGED" in line]


class Pinged(Phone):
    status = 200

    def reply(self, request, status, reason, extra=(), body="", tag="", kind="application/sdp"):
        super().reply(request, self.status if request.method == "OPTIONS" else status, reason, extra, body, tag, kind)


def test_freeswitch_2489_a_gateway_that_answers_again_is_up_again(site, esl):
    carrier = Pinged(site.sip(tree.OPEN), user="far", port=site.block[PINGED])
    site.phones.append(carrier)

    def is_shown(word):
        return re.search(rf"Status\s+{word}", esl.api("sofia status gateway pinged"))
    until(lambda: is_shown("UP"), "gateway that is up", 40)
    carrier.status = 503
    until(lambda: is_shown("DOWN"), "gateway that is down", 40)
    carrier.status = 200
    until(lambda: is_shown("UP"), "gateway that is up again", 40)


# ---- reliable provisional answers

def reliably(call, status, reason, number, body=""):
    """A provisional answer that wants a PRACK; the PRACK."""
    call.phone.reply(call.request, status, reason, ["Require: 100rel", f"RSeq: {number}"], body=body, tag=call.tag)
    cseq = call.request["cseq"]
    return call.until(lambda p: p.method == "PRACK" and p["rack"] == f"{number} {cseq}", f"PRACK {number}")


def test_freeswitch_1014_sofia_sip_117_ringing_behind_early_media_is_acknowledged(site, esl):
    phone = site.phone()
    esl.command(f"bgapi originate {dial(phone)} &echo")
    far = phone.accept()
    assert "100rel" in far.request["supported"]
    far._hear_offer()
    reliably(far, 183, "Session Progress", 7, far.sdp())
    reliably(far, 180, "Ringing", 8)
    reliably(far, 180, "Ringing", 9, far.sdp())
    phone.reply(far.request, 200, "OK", body=far.sdp(), tag=far.tag)
    far.until(lambda p: p.method == "ACK", "ACK")
    far.rtp.tone(FAR)
    hears(far, FAR)
    esl.api("hupall")
    far.wait_end()


# ---- presence

def watch(site, package, target):
    watched = office.Watch(site.phone(tree.AUTH, user="1000", password="one-thousand", domain=DOMAIN), package, target)
    assert watched.answer.status in (200, 202), watched.answer.start
    return watched


def test_freeswitch_2741_a_hushed_call_is_not_shown_to_who_subscribes_while_it_rings(site, esl):
    callee = site.phone()
    esl.command(f"bgapi originate {{presence_id=1000@{DOMAIN},presence_disable_early=true}}{dial(callee)} &echo")
    far = callee.accept()
    far.ring()
    until(lambda: "RINGING" in esl.api("show channels"), "ringing call", 20)
    told = watch(site, "dialog", f"1000@{DOMAIN}").until("<dialog-info")
    assert "early" not in told.body, told.body
    far.answer()
    later = watch(site, "dialog", f"1000@{DOMAIN}").until("<dialog-info")
    assert "confirmed" in later.body, later.body
    esl.api("hupall")
    far.wait_end()


def test_freeswitch_1728_what_a_program_says_of_an_address_of_its_own_is_not_the_users_calls(site, esl):
    callee = site.phone()
    esl.command(f"bgapi originate {{presence_id=1000@{DOMAIN}}}{dial(callee)} &echo")
    far = callee.accept()
    far.answer()
    watched = watch(site, "dialog", f"agent+1000@{DOMAIN}")
    number = secrets.token_hex(8)
    esl.command(f"sendevent PRESENCE_IN\nproto: agent\nfrom: 1000@{DOMAIN}\nlogin: 1000@{DOMAIN}\nevent_type: presence\nalt_event_type: dialog\n"
                f"Unique-ID: {number}\nPresence-Call-Direction: outbound\nanswer-state: confirmed")
    assert number in watched.until(number).body
    esl.command(f"sendevent PRESENCE_IN\nproto: agent\nfrom: 1000@{DOMAIN}\nlogin: 1000@{DOMAIN}\nevent_type: presence\nalt_event_type: dialog\n"
                f"Unique-ID: {number}\nPresence-Call-Direction: outbound\nanswer-state: terminated")
    told = watched.until("terminated")
    assert "confirmed" not in told.body, told.body
    esl.api("hupall")
    far.wait_end()


def test_freeswitch_398_a_subscriber_behind_a_connection_is_told_over_it(site, esl):
    """Its Contact is an address that cannot be reached, as a browser's is."""
    link = socket.create_connection(("127.0.0.1", site.block[tree.OPEN]), 10)
    link.settimeout(20)
    lines = [f"SUBSCRIBE sip:1000@{DOMAIN} SIP/2.0", f"Via: SIP/2.0/TCP client.invalid;branch=z9hG4bK{secrets.token_hex(6)};rport",
             f"From: <sip:watcher@{DOMAIN}>;tag=w", f"To: <sip:1000@{DOMAIN}>", f"Call-ID: {secrets.token_hex(8)}", "CSeq: 1 SUBSCRIBE",
             "Contact: <sip:watcher@client.invalid;transport=tcp>", "Event: dialog", "Expires: 60", "Max-Forwards: 70", "Content-Length: 0", "", ""]
    link.sendall("\r\n".join(lines).encode())
    text = b""
    while b"<dialog-info" not in text:
        data = link.recv(65536)
        assert data and b"SIP/2.0 4" not in text, text
        text += data
    assert b"NOTIFY sip:watcher@client.invalid;transport=tcp SIP/2.0" in text, text
    link.close()


# ---- one phone, several profiles

def test_freeswitch_1375_a_phone_is_found_in_the_profile_it_registered_with_last(site, esl):
    phone = site.phone(tree.AUTH, user="1000", password="one-thousand", domain=DOMAIN)
    assert phone.register().status == 200
    assert f"sofia/auth/sip:1000@127.0.0.1:{phone.port}" in esl.api(f"sofia_contact */1000@{DOMAIN}")
    assert "error/user_not_registered" in esl.api(f"sofia_contact open/1000@{DOMAIN}")
    assert phone.register(0).status == 200
    assert "error/user_not_registered" in esl.api(f"sofia_contact */1000@{DOMAIN}")


def test_kazoo_configs_55_several_contacts_in_one_request_are_one_phone(site, esl):
    """Lists of methods in a Contact hold commas too."""
    phone = site.phone(tree.AUTH, user="1000", password="one-thousand", domain=DOMAIN)
    plain, kept = phone.contact, type(phone).contact
    more = '>;methods="INVITE, ACK, BYE", <sip:1000@127.0.0.1:9;transport=tcp'
    type(phone).contact = property(lambda self: plain.replace(">", f"{more}>"))
    try:
        assert phone.register().status == 200
        assert esl.api(f"sofia_contact auth/1000@{DOMAIN}") == f"sofia/auth/sip:1000@127.0.0.1:{phone.port}"
        assert phone.register(0).status == 200
    finally:
        type(phone).contact = kept
    assert "error/user_not_registered" in esl.api(f"sofia_contact auth/1000@{DOMAIN}")
