"""What users of such switches have reported in public, tried here: each report by its number, and what is right."""
import re
import secrets
import threading

import pytest

from harness import tree
from harness.ear import FAR, NEAR, THIRD, bridged, dial, hears, run, talk


def told(call, pattern):
    return call.until(lambda p: p.method == "NOTIFY" and not p.status and re.search(pattern, p.body), pattern)


def originated(site, esl, variables="", app="echo", answer=None):
    """A call of the switch to a phone that answers; its leg's UUID and the phone's side."""
    phone = site.phone()
    job = esl.command(f"bgapi originate {{{variables}}}{dial(phone)} &{app}").headers["Job-UUID"]
    far = phone.accept()
    if answer:
        far.sdp = lambda *_: answer(far)
    far.answer()
    reply = esl.wait_event("BACKGROUND_JOB", **{"Job-UUID": job}).event_body
    assert reply.startswith("+OK "), reply
    return reply.split()[1], far


# ---- transfers

@pytest.mark.parametrize("replaces", ("", "x", "%3B", "a%3Bto-tag%3D", "nobody%3Bto-tag%3D1%3Bfrom-tag%3D2", "%00%3Bto-tag%3D%3Bfrom-tag", "%E4%3Bfrom-tag%3D1%3Bto-tag%3D2"))
def test_freeswitch_2391_a_replaces_that_names_no_call_harms_none(site, esl, replaces):
    near, far, _, _ = bridged(site, esl)
    elsewhere = site.phone()
    answer = far.refer(f"sip:nowhere@{elsewhere.ip}:{elsewhere.port}?Replaces={replaces}")
    if "nobody" in replaces or "%E4" in replaces:
        # A call of another switch's, for all we know: who has it may be asked, and has none.
        asked = elsewhere.accept()
        assert "to-tag=" in asked.request["replaces"]
        asked.reject(481)
    if answer.status == 202:
        told(far, r"SIP/2\.0 [3-6]\d\d")
    else:
        assert answer.status >= 400
    assert elsewhere.incoming.empty()
    talk(near, far)
    near.hangup()
    far.wait_end()


def test_freeswitch_592_a_transfer_to_an_address_without_a_user_goes_through_the_dialplan(fresh):
    """The host is what the dialplan sees."""
    dialplan = fresh.conf / "dialplan/public.xml"
    dialplan.write_text(dialplan.read_text().replace("^tone$", r"^127\.0\.0\.1$", 1))
    fresh.start()
    with fresh.esl() as esl:
        esl.command("event plain ALL")
        near, far, _, _ = bridged(fresh, esl)
        assert far.refer(f"sip:{far.phone.domain}").status == 202
        told(far, r"SIP/2\.0 200")
        hears(near, 500)
        near.wait_end()
    assert not fresh.settle()


def test_siphon_220_who_transfers_blindly_may_leave_before_the_target_answers(site, esl):
    near, far, _, _ = bridged(site, esl)
    target = site.carrier()
    assert far.refer(f"sip:carrier-100@{far.phone.domain}").status == 202
    far.hangup()
    third = target.accept()
    third.ring()
    assert not near.ended
    third.answer()
    talk(near, third, (NEAR, THIRD))
    near.hangup()
    third.wait_end()


# ---- digits

def test_freeswitch_1191_digits_come_under_either_number_that_was_offered(site, esl):
    """Two clocks of telephone events are offered; the phone takes the narrow codec and sends under the other number."""
    uuid, far = originated(site, esl, "^^;absolute_codec_string=OPUS,PCMA", "park",
                           answer=lambda call: call_sdp(call, "8 0 101", "a=rtpmap:101 telephone-event/8000"))
    offered = dict(re.findall(r"a=rtpmap:(\d+) telephone-event/(\d+)", far.request.body))
    assert sorted(offered.values()) == ["48000", "8000"], far.request.body
    for number in offered:
        far.rtp.event_type = int(number)
        far.rtp.digits("5")
        esl.wait_event("DTMF", Unique_ID=uuid, DTMF_Digit="5")
    esl.api(f"uuid_kill {uuid}")
    far.wait_end()


def call_sdp(call, formats, *more, direction="sendrecv"):
    return "\r\n".join(["v=0", f"o=- 1 1 IN IP4 {call.rtp.ip}", "s=-", f"c=IN IP4 {call.rtp.ip}", "t=0 0", f"m=audio {call.rtp.port} RTP/AVP {formats}",
                        *more, "a=ptime:20", f"a={direction}", ""])


def test_freeswitch_634_digits_that_begin_a_binding_and_do_not_end_it_reach_the_far_end(site, esl):
    near, far, uuid, _ = bridged(site, esl, "set:rtp_liberal_dtmf=true", "bind_digit_action:keys,*22,exec:set,bound=yes,both")
    for digits in ("*2", "*7", "*22"):
        before = len(far.rtp.heard_events)
        for digit in digits:
            near.cseq += 1
            near.phone.request("INFO", near.target, near.call_id, near.cseq, near.local, near.remote, body=f"Signal={digit}\r\nDuration=160\r\n",
                               to_address=near.address, kind="application/dtmf-relay")
            near.until(lambda p: p.status and p["cseq"] == f"{near.cseq} INFO", "answer to INFO")
        if digits == "*22":
            esl.wait_event("CHANNEL_EXECUTE_COMPLETE", Application="set", Application_Data="bound=yes")
            assert len(far.rtp.heard_events) == before
        else:
            far.rtp._wait(f"{digits} at the far end", lambda: far.rtp.heard_digits()[before:] == digits, 8)
    near.hangup()
    far.wait_end()


# ---- offers and answers

def test_freeswitch_2617_a_codec_may_come_back_under_another_number(site, esl):
    """A call without an offer; the codec taken from ours is offered again under a number of the phone's own."""
    call = site.phone().invite("tone", sdp="", acks=False)
    offer = call.wait(200)
    number = re.search(r"a=rtpmap:(\d+) opus/48000", offer.body, re.I)[1]
    answer = call_sdp(call, number, f"a=rtpmap:{number} opus/48000/2")
    call.phone.request("ACK", call.target, call.call_id, call.cseq, call.local, call.remote, body=answer, to_address=call.address)
    call.rtp.wait_packets(5)
    assert call.rtp.packets[-1][0] == int(number)
    again = call.reinvite(sdp=call_sdp(call, "96", "a=rtpmap:96 opus/48000/2"))
    assert again.status == 200
    call.acks = True
    assert re.search(r"m=audio \d+ \S+ 96\b", again.body), again.body
    call.ack(again)
    call.rtp._wait("packets of type 96", lambda: call.rtp.packets and call.rtp.packets[-1][0] == 96, 8)
    call.hangup()


def test_freeswitch_2409_an_update_with_an_offer_meets_ours_and_is_to_wait(site, esl):
    uuid, far = originated(site, esl)
    held = []
    far._handle, plain = (lambda packet: held.append(packet) if packet.method == "INVITE" and not packet.status else plain(packet)), far._handle
    esl.api(f"uuid_hold {uuid}")
    waited = threading.Event()
    while not held and not waited.wait(0.05):
        pass
    far.cseq += 1
    far.phone.request("UPDATE", far.target, far.call_id, far.cseq, far.local, far.remote, body=far.sdp(), to_address=far.address)
    assert far.until(lambda p: p.status and p.method == "UPDATE", "answer to UPDATE").status == 491
    far._handle = plain
    far.phone.reply(held[0], 200, "OK", body=far.sdp(), tag=far.tag)
    far.until(lambda p: p.method == "ACK" and p["cseq"] == held[0]["cseq"].replace("INVITE", "ACK"), "ACK")
    far.cseq += 1
    far.phone.request("UPDATE", far.target, far.call_id, far.cseq, far.local, far.remote, body=far.sdp(), to_address=far.address)
    assert far.until(lambda p: p.status and p["cseq"] == f"{far.cseq} UPDATE", "answer to UPDATE").status == 200
    esl.api(f"uuid_kill {uuid}")
    far.wait_end()


def test_freeswitch_2199_the_far_end_may_take_the_refreshing_over(site, esl):
    uuid, far = originated(site, esl, "sofia_session_timeout=1800")
    assert far.request["session-expires"] == "1800;refresher=uac"
    far.cseq += 1
    far.phone.request("INVITE", far.target, far.call_id, far.cseq, far.local, far.remote, body=far.sdp(), to_address=far.address,
                      extra=["Supported: timer", "Session-Expires: 1800;refresher=uac"])
    answer = far.until(lambda p: p.status >= 200 and p["cseq"] == f"{far.cseq} INVITE", "answer to re-INVITE")
    assert (answer.status, answer["session-expires"], answer["require"]) == (200, "1800;refresher=uac", "timer")
    far.rtp.tone(440)
    far.rtp.wait_tone(440)
    esl.api(f"uuid_kill {uuid}")
    far.wait_end()


# ---- registrations

@pytest.mark.parametrize("how", ([";expires=0"], ["", "Expires: 0"]), ids=("contact", "header"))
def test_sipjs_435_a_contact_goes_by_its_own_expiry_or_the_requests(site, esl, how):
    phone = site.phone(tree.AUTH, user="1000", password="one-thousand", domain="test.example")
    assert phone.register().status == 200
    assert f"{phone.ip}:{phone.port}" in esl.api("sofia_contact auth/1000")
    plain, more = phone.contact, how[1:]
    type(phone).contact, kept = property(lambda self: plain + how[0]), type(phone).contact
    try:
        assert phone.ask("REGISTER", f"sip:{phone.domain}", more).status == 200
    finally:
        type(phone).contact = kept
    assert "user_not_registered" in esl.api("sofia_contact auth/1000")


def test_freeswitch_2363_a_gateway_comes_back_when_the_registrar_says(fresh):
    """The registrar grants less than was asked for, and shows the contact at another address."""
    profile = fresh.conf / "sip_profiles/open.xml"
    gateway = ('<gateway name="brief"><param name="username" value="u"/><param name="password" value="p"/>'
               f'<param name="proxy" value="127.0.0.1:{fresh.block[tree.CARRIER]}"/><param name="expire-seconds" value="3600"/></gateway>')
    profile.write_text(profile.read_text().replace("<gateways>", f"<gateways>{gateway}", 1))
    registrar, asked, twice = fresh.carrier(), [], threading.Event()
    plain = registrar.reply

    def answer(request, status, reason, *rest, **how):
        if request.method != "REGISTER":
            return plain(request, status, reason, *rest, **how)
        asked.append(request)
        if len(asked) == 2:
            twice.set()
        lines = ["SIP/2.0 200 OK", *(f"Via: {via}" for via in request.all("via")), f"From: {request['from']}", f"To: {request['to']};tag=r",
                 f"Call-ID: {request['call-id']}", f"CSeq: {request['cseq']}", "Contact: <sip:u@198.51.100.7:5060>;expires=6", "Content-Length: 0", "", ""]
        registrar.send("\r\n".join(lines), request.source)

    registrar.reply = answer
    fresh.start()
    assert twice.wait(30), "registered for an hour"
    assert not fresh.settle()


# ---- programs

def test_freeswitch_1673_recording_and_ending_at_once_leave_no_channel(site, esl):
    for n in range(20):
        uuid, far = originated(site, esl, app="park")
        esl.command(f"bgapi uuid_record {uuid} start {site.where}/at-once-{n}.wav")
        esl.command(f"bgapi uuid_kill {uuid}")
        far.wait_end()
        esl.wait_event("CHANNEL_HANGUP_COMPLETE", Unique_ID=uuid)
    assert site.switch.wait_idle() == 0


def test_freeswitch_2775_a_caller_who_leaves_during_a_message_is_gone_at_once(site, esl):
    call = site.phone().invite("park")
    call.wait(200)
    uuid = esl.wait_event("CHANNEL_PARK").event["Unique-ID"]
    esl.api(f"uuid_broadcast {uuid} tone_stream://%(600000,0,700)")
    hears(call, 700)
    call.hangup()
    # Long before the ten minutes of the message.
    assert esl.wait_event("CHANNEL_HANGUP", Unique_ID=uuid).event["Hangup-Cause"] == "NORMAL_CLEARING"
    esl.wait_event("CHANNEL_HANGUP_COMPLETE", Unique_ID=uuid)


def test_freeswitch_2420_a_hangup_is_told_once(site, esl):
    near, far, uuid, other = bridged(site, esl)
    near.hangup()
    far.wait_end()
    for leg in (uuid, other):
        esl.wait_event("CHANNEL_HANGUP_COMPLETE", Unique_ID=leg)
    end = secrets.token_hex(4)
    esl.command(f"sendevent CUSTOM\nEvent-Subclass: {end}")
    esl.wait_event("CUSTOM", Event_Subclass=end)
    told = [m.event["Unique-ID"] for m in esl.events if m.event.get("Event-Name") == "CHANNEL_HANGUP"]
    assert sorted(told) == sorted([uuid, other])


def test_freeswitch_1708_music_of_a_command_and_playing_again(site, esl):
    """After `uuid_hold` and its end a message can be played, and is heard."""
    near, far, uuid, other = bridged(site, esl)
    assert esl.api(f"uuid_hold {uuid}").startswith("+OK")
    assert esl.api(f"uuid_hold off {uuid}").startswith("+OK")
    talk(near, far)
    esl.api(f"uuid_broadcast {uuid} tone_stream://%(2000,0,700) aleg")
    hears(near, 700)
    hears(near, FAR)
    near.hangup()
    far.wait_end()
