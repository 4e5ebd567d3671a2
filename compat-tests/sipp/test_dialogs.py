"""What happens when messages cross, several phones answer, sessions run out and calls are sent elsewhere."""
import json
import socket
import struct
import threading
import time
import wave

import pytest

from conftest import Site, settled, shared_site
from harness import audio, tree
from harness.sip import Phone
from harness.sipp import Sipp, run

rich_server = shared_site(tree.rich)


@pytest.fixture
def site(rich_server):
    yield from settled(rich_server)


def carrier(site, tmp_path, scenario, **more):
    return Sipp(scenario, tmp_path, port=site.block[tree.CARRIER], **more)


# ---- messages that cross

def test_a_cancel_after_the_answer_ends_nothing(site, tmp_path):
    run("uac_cancel_late", tmp_path, site.sip(tree.OPEN), number="echo")


def test_an_answer_that_crosses_our_cancel_is_acknowledged_and_hung_up(site, tmp_path):
    with carrier(site, tmp_path, "uas_answers_cancelled") as uas:
        run("uac_cancel", tmp_path, site.sip(tree.OPEN), number="carrier-100")
        uas.finish()


def test_the_second_of_two_phones_that_answer_is_acknowledged_and_hung_up(site, tmp_path):
    with carrier(site, tmp_path, "uas_forks") as uas:
        run("uac", tmp_path, site.sip(tree.OPEN), number="carrier-100", hold=1000)
        uas.finish()


def test_offers_that_cross_are_refused_and_ours_goes_again(site, tmp_path):
    with site.esl() as esl:
        esl.command("event plain CHANNEL_PARK")
        with Sipp("uac_glare", tmp_path, site.sip(tree.OPEN), number="park") as uac:
            uuid = esl.wait_event("CHANNEL_PARK").event["Unique-ID"]
            assert esl.api(f"uuid_hold {uuid}").startswith("+OK")
            uac.finish()


# ---- session timers

def test_a_session_is_refreshed_by_the_switch_when_the_caller_wants_that(site, tmp_path):
    run("uac_session", tmp_path, site.sip(tree.OPEN), number="park", limit=70)


def test_a_session_interval_too_short_is_refused_with_the_least_one(site, tmp_path):
    run("uac_session_short", tmp_path, site.sip(tree.OPEN), number="park")


def test_a_callee_who_wants_a_longer_session_gets_it(site, tmp_path):
    with carrier(site, tmp_path, "uas_session_short") as uas:
        call = site.phone().invite("dial", ["X-Dial: {sofia_session_timeout=200}sofia/gateway/carrier/100"])
        call.wait(200)
        call.hangup()
        uas.finish()


def test_an_update_without_description_is_answered_without_one(site):
    phone = site.phone()
    call = phone.invite("park", ["Supported: timer", "Session-Expires: 120;refresher=uac"])
    answer = call.wait(200)
    assert answer["session-expires"] == "120;refresher=uac"
    call.cseq += 1
    phone.request("UPDATE", call.target, call.call_id, call.cseq, call.local, call.remote, ["Session-Expires: 120;refresher=uac", "Supported: timer"])
    refreshed = call.until(lambda p: p.method == "UPDATE" and p.status >= 200, "answer to UPDATE")
    assert refreshed.status == 200 and not refreshed.body
    assert refreshed["session-expires"] == "120;refresher=uac"
    call.hangup()


# ---- reliable ringing

def test_reliable_ringing_of_a_callee_is_acknowledged(site, tmp_path):
    with carrier(site, tmp_path, "uas_reliable") as uas:
        call = site.phone().invite("dial", ["X-Dial: sofia/gateway/reliable-carrier/100"])
        call.wait(200)
        call.hangup()
        uas.finish()


def test_a_caller_who_insists_gets_reliable_ringing(site, tmp_path):
    phone = site.carrier()
    with site.esl() as esl, Sipp("uac_reliable", tmp_path, site.sip(tree.RELIABLE), number="carrier-100") as uac:
        esl.command("event plain CHANNEL_PROGRESS")
        far = phone.accept()
        far.ring()
        esl.wait_event("CHANNEL_PROGRESS", Call_Direction="inbound")        # the caller hears of it
        far.answer()
        far.wait_end()
        uac.finish()


def test_a_caller_who_insists_where_it_is_off_is_told_so(site):
    call = site.phone().invite("park", ["Require: 100rel"])
    answer = call.until(lambda p: p.status >= 200, "final answer")
    assert answer.status == 420 and answer["unsupported"] == "100rel"


# ---- sent elsewhere

def test_a_redirected_call_goes_to_where_it_is_sent(site, tmp_path):
    port = site.block[tree.CARRIER + 1]
    with carrier(site, tmp_path, "uas_redirects", moved=f"127.0.0.2:{port}") as first, Sipp("uas", tmp_path, port=port, ip="127.0.0.2") as second:
        run("uac", tmp_path, site.sip(tree.OPEN), number="carrier-100")
        first.finish()
        second.finish()


def test_a_redirection_to_ourselves_goes_through_the_dialplan(site, tmp_path):
    with carrier(site, tmp_path, "uas_redirects", moved=f"127.0.0.1:{site.block[tree.OPEN]}") as uas:
        run("uac_refused", tmp_path, site.sip(tree.OPEN), number="carrier-100", status=404)
        uas.finish()


def test_a_redirection_may_be_made_a_failure(site, tmp_path):
    with site.esl() as esl, carrier(site, tmp_path, "uas_redirects", moved="127.0.0.2:9") as uas:
        reply = esl.api("originate {outbound_redirect_fatal=true}sofia/gateway/carrier/100 &park")
        assert reply.strip() == "-ERR REQUESTED_CHAN_UNAVAIL"
        uas.finish()


# ---- who we are to others

def test_a_challenge_is_answered_by_the_gateway_whose_realm_it_names(site, tmp_path):
    with carrier(site, tmp_path, "uas_challenges", realm="reliable.example") as uas:
        call = site.phone().invite("dial", [f"X-Dial: sofia/reliable/100@127.0.0.1:{site.block[tree.CARRIER]}"])
        call.wait(200)
        call.hangup()
        uas.finish()


def test_a_challenge_from_elsewhere_than_the_gateways_list_is_not_answered(site, tmp_path):
    with carrier(site, tmp_path, "uas_asks", realm="tcp.example", args=["-t", "t1"]) as uas, site.esl() as esl:
        esl.command("event plain CUSTOM sofia::gateway_invalid_digest_req")
        assert esl.api("originate sofia/gateway/tcp-carrier/100 &park").startswith("-ERR CALL_REJECTED")
        event = esl.wait_event("CUSTOM").event
        assert (event["Gateway"], event["realm"]) == ("tcp-carrier", "tcp.example")
        uas.finish()


class StunServer(threading.Thread):
    """Tells everybody that he is 203.0.113.77."""

    def __init__(self, port):
        super().__init__(daemon=True)
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.bind(("127.0.0.1", port))

    def run(self):
        while True:
            request, source = self.sock.recvfrom(1500)
            cookie = request[4:8]
            address = bytes(a ^ b for a, b in zip(bytes([203, 0, 113, 77]), cookie))
            port = struct.pack(">H", source[1] ^ struct.unpack(">H", cookie[:2])[0])
            attribute = struct.pack(">HHBB", 0x20, 8, 0, 1) + port + address
            self.sock.sendto(struct.pack(">HH", 0x101, len(attribute)) + request[4:20] + attribute, source)


def test_a_profile_shows_the_address_a_stun_server_sees_it_at(tmp_path):
    site = Site(tmp_path, tree.rich)
    try:
        StunServer(site.block[tree.STUN]).start()
        site.start()
        url = f"sip:mod_sofia@203.0.113.77:{site.block[tree.OUTSIDE]}"
        until = time.monotonic() + 10
        while url not in (shown := site.switch.api("sofia status profile outside")):
            assert time.monotonic() < until, shown
            time.sleep(0.05)
        assert "Ext-RTP-IP       \t203.0.113.77" in shown
        assert site.switch.api(f"stun 127.0.0.1:{site.block[tree.STUN]}").startswith("203.0.113.77:")
        # This machine is no outsider: it sees the bound address.
        call = site.phone(tree.OUTSIDE).invite("park")
        answer = call.wait(200)
        assert "@127.0.0.1:" in answer["contact"] and "c=IN IP4 127.0.0.1" in answer.body
        call.hangup()
    finally:
        wrong = site.settle() if site.switch else []
        site.close()
    assert not wrong, wrong


# ---- transports

def test_a_carrier_over_tcp_is_called_over_tcp(site, tmp_path):
    with carrier(site, tmp_path, "uas", args=["-t", "t1"]) as uas:
        call = site.phone().invite("dial", ["X-Dial: sofia/gateway/tcp-carrier/100"])
        call.wait(200)
        call.hangup()
        uas.finish()


def test_a_gateways_transport_cannot_be_changed_by_the_number(site):
    with site.esl() as esl:
        reply = esl.api("originate sofia/gateway/tcp-carrier/100;transport=udp &park")
        assert reply.strip() == "-ERR DESTINATION_OUT_OF_ORDER"


def has_ipv6():
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as s:
            s.bind(("::1", 0))
        return True
    except OSError:
        return False


@pytest.mark.skipif(not has_ipv6(), reason="SKIPPED: no IPv6 on loopback")
class TestSix:
    def remote(self, site):
        return "::1", site.block[tree.SIX]

    @pytest.mark.parametrize("transport", ["u1", "t1"])
    def test_a_call_over_ipv6_is_answered_and_released(self, site, tmp_path, transport):
        run("uac", tmp_path, self.remote(site), number="park", ip="::1", args=["-t", transport])

    def test_a_carrier_on_ipv6_is_called(self, site, tmp_path):
        with carrier(site, tmp_path, "uas", ip="::1") as uas:
            call = site.phone().invite("dial", ["X-Dial: sofia/gateway/six-carrier/100"])
            call.wait(200)
            call.hangup()
            uas.finish()

    def test_audio_over_ipv6_goes_both_ways(self, site, tmp_path):
        """SIPp echoes what it hears; the switch records what comes back."""
        file = tmp_path / "heard.wav"
        with carrier(site, tmp_path, "uas_hangs_up", ip="::1", hold=3000, args=["-rtp_echo"]) as uas, site.esl() as esl:
            reply = esl.api(f"originate {{sip_h_X-File={file}}}sofia/gateway/six-carrier/100 "
                            f"'record_session:{file},playback:tone_stream://%(1500\\,0\\,500),park' inline")
            assert reply.startswith("+OK"), reply
            uas.finish()
        assert not site.switch.wait_idle()
        with wave.open(str(file)) as recording:
            assert recording.getnframes() > 0
        assert audio.seconds_of(500, *audio.read_wav(file)) > 1


# ---- behind NAT, and known by address

class Hidden(Phone):
    """A phone that calls itself by an address nobody can reach."""
    contact = "<sip:1000@10.99.1.2:5099>"


def test_a_phone_behind_nat_is_spoken_to_where_it_registered_from(site):
    phone = site.phone(tree.NATTED, user="1000", domain="test.example")
    phone.__class__ = Hidden
    assert phone.register().status == 200
    try:
        assert "fs_nat=yes" in site.switch.api("sofia_contact natted/1000@test.example")
        with site.esl() as esl:
            esl.command("event plain CHANNEL_ANSWER")
            esl.command("bgapi originate user/1000@test.example &park")
            far = phone.accept()
            far.answer()                                    # waits for the ACK
            uuid = esl.wait_event("CHANNEL_ANSWER").event["Unique-ID"]
            assert esl.api(f"uuid_getvar {uuid} sip_nat_detected").strip() == "true"
            esl.api(f"uuid_kill {uuid}")
            far.wait_end()
    finally:
        phone.register(0)


def test_a_caller_known_by_address_is_the_user_it_belongs_to(site):
    phone = site.phone(tree.NATTED, ip="127.0.0.20")
    with site.esl() as esl:
        esl.command("event plain CHANNEL_PARK")
        call = phone.invite("whatever")
        call.wait(200)
        event = esl.wait_event("CHANNEL_PARK").event
        assert event["Caller-Context"] == "of-trunk"
        uuid = event["Unique-ID"]
        shown = {name: esl.api(f"uuid_getvar {uuid} {name}").strip()
                 for name in ("tariff", "user_name", "acl_token", "sip_acl_token", "sip_acl_authed_by", "sip_authorized")}
        assert shown == {"tariff": "gold", "user_name": "trunk", "acl_token": "trunk@test.example", "sip_acl_token": "trunk@test.example",
                         "sip_acl_authed_by": "known", "sip_authorized": "true"}
        call.hangup()


def test_a_caller_at_an_unknown_address_is_asked_for_a_password(site):
    call = site.phone(tree.NATTED, ip="127.0.0.21").invite("whatever")
    assert call.until(lambda p: p.status >= 200, "final answer").status == 407


# ---- at rest

def test_a_paused_switch_takes_no_calls(site):
    assert site.switch.api("sofia global standby on").startswith("+OK Global standby on")
    try:
        call = site.phone().invite("park")
        answer = call.until(lambda p: p.status >= 200, "final answer")
        assert answer.start == "SIP/2.0 503 System Paused"
    finally:
        assert site.switch.api("sofia global standby off").startswith("+OK Global standby off")


def test_status_as_json(site):
    profiles = json.loads(site.switch.api("sofia jsonstatus"))["profiles"]
    assert profiles["open"]["status"] == {"type": "profile", "state": "RUNNING", "in-use": 0,
                                          "data": f"sip:mod_sofia@127.0.0.1:{site.block[tree.OPEN]}"}
    assert profiles["open"]["gateways"]["carrier"]["state"] == "NOREG"
    assert profiles["open"]["info"]["rtp-ip"] == ["127.0.0.1"]


def test_messages_are_copied_to_a_capture_server(site):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", site.block[tree.HEP]))
        server.settimeout(10)
        assert site.switch.api("sofia profile open capture on") == "Enabled sip capturing on open"
        try:
            assert site.phone().ask("OPTIONS", f"sip:127.0.0.1:{site.block[tree.OPEN]}").status == 200
            packets = [server.recv(65535), server.recv(65535)]
        finally:
            assert site.switch.api("sofia profile open capture off") == "Disabled sip capturing on open"
    assert all(packet.startswith(b"HEP3") for packet in packets)
    assert b"OPTIONS sip:" in packets[0] and b"SIP/2.0 200 OK" in packets[1]
