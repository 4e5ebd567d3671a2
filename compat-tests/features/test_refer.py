"""Transfers that phones ask for: what they are told has happened, and is heard."""
import re
import secrets

import pytest

from harness.ear import FAR, MUSIC, NEAR, THIRD, TONE, bridged, dial, hears, run, talk
from harness.sip import uri_of


def fragments(call):
    """Status lines of what the phone was told about its transfer, in order."""
    return [p.body.strip() for p in call.seen if p.method == "NOTIFY" and not p.status]


def told(call, line):
    call.until(lambda p: p.method == "NOTIFY" and not p.status and line in p.body, line)


def consult(site, esl, far, third):
    """The phone that was called holds, and calls a third, which rings: both sides of that call."""
    far.reinvite("sendonly")
    call = far.phone.invite("ring")
    uuid = esl.wait_event("CHANNEL_PROGRESS", Channel_Name=f"sofia/open/{far.phone.user}@{far.phone.domain}").event["Unique-ID"]
    run(esl, uuid, f"bridge:{dial(third)}", f"playback:tone_stream://%(60000,0,{FAR})")
    ringing = third.accept()
    ringing.ring()
    call.until(lambda p: p.status == 180, "180")
    return call, ringing, uuid


def replacing(call, early, more=""):
    """`Refer-To` for the call of `early`, with other URI headers before it."""
    answer = next(p for p in reversed(early.seen) if p.method == "INVITE" and p.status > 100)
    there = re.search(r";tag=([^;>]+)", answer["to"])[1]
    return f"sip:{secrets.token_hex(3)}@{call.phone.domain}?{more}Replaces={early.call_id}%3Bto-tag%3D{there}%3Bfrom-tag%3D{early.tag}"


@pytest.fixture
def three(site, esl):
    """Near and far talk; far consults a third that still rings."""
    near, far, uuid, other = bridged(site, esl)
    for leg in (uuid, other):
        esl.api(f"uuid_setvar {leg} hold_music {TONE}")
    call, ringing, asked = consult(site, esl, far, site.phone())
    return near, far, call, ringing, uuid


def test_a_ringing_target_is_joined_when_it_answers(esl, three):
    near, far, call, ringing, _ = three
    assert far.refer(replacing(far, call)).status == 202
    hears(near, MUSIC)
    told(far, "SIP/2.0 100 Trying")
    assert len(fragments(far)) == 1 and not ringing.ended and not near.ended
    ringing.answer()
    talk(near, ringing, (NEAR, THIRD))
    told(far, "SIP/2.0 200 OK")
    far.wait_end()
    call.until(lambda p: p.status >= 300, "end of the consultation")
    near.hangup()
    ringing.wait_end()


def test_the_one_who_asks_may_leave_while_it_rings(esl, three):
    near, far, call, ringing, uuid = three
    assert far.refer(replacing(far, call)).status == 202
    call.cancel()
    far.hangup()
    hears(near, MUSIC)
    assert not ringing.ended
    ringing.answer()
    talk(near, ringing, (NEAR, THIRD))
    near.hangup()
    ringing.wait_end()


def test_a_refusal_is_told_and_the_first_call_goes_on(esl, three):
    near, far, call, ringing, _ = three
    assert far.refer(replacing(far, call)).status == 202
    ringing.reject(486)
    told(far, "SIP/2.0 486 Busy Here")
    call.until(lambda p: p.status == 486, "486")
    far.reinvite()
    talk(near, far)
    near.hangup()
    far.wait_end()


def test_a_refusal_with_nobody_left_ends_the_one_transferred(esl, three):
    near, far, call, ringing, _ = three
    assert far.refer(replacing(far, call)).status == 202
    told(far, "SIP/2.0 100 Trying")
    far.hangup()
    hears(near, MUSIC)
    ringing.reject(486)
    near.wait_end()                 # who held it took it along when leaving


def test_who_is_transferred_may_leave_while_it_rings(esl, three):
    near, far, call, ringing, _ = three
    assert far.refer(replacing(far, call)).status == 202
    told(far, "SIP/2.0 100 Trying")
    near.hangup()
    ringing.wait_end()
    far.until(lambda p: not p.status and p.method in ("NOTIFY", "BYE") and "100" not in p.body, "outcome")
    if not far.ended:
        far.hangup()


@pytest.mark.parametrize("more", ("", "Require=replaces&", "X-Other=a%26b&"))
def test_other_uri_headers_do_not_hide_the_call_to_take_over(site, esl, more):
    near, far, _, _ = bridged(site, esl)
    far.reinvite("sendonly")
    third = site.phone()
    call = far.phone.invite("park")
    call.wait(200)
    uuid = esl.wait_event("CHANNEL_PARK", Answer_State="answered").event["Unique-ID"]
    run(esl, uuid, f"bridge:{dial(third)}")
    target = third.accept()
    target.answer()
    talk(call, target, (FAR, THIRD))
    assert far.refer(replacing(far, call, more)).status == 202
    told(far, "SIP/2.0 200 OK")
    talk(near, target, (NEAR, THIRD))
    far.wait_end()
    call.wait_end()
    assert third.incoming.empty()
    near.hangup()
    target.wait_end()


def test_a_consultation_with_the_switch_itself_takes_the_other_there(site, esl):
    near, far, _, _ = bridged(site, esl)
    call = far.phone.invite("tone")
    call.wait(200)
    assert far.refer(replacing(far, call)).status == 202
    told(far, "SIP/2.0 200 OK")
    hears(near, 500)
    call.wait_end()


def test_what_cannot_be_transferred_is_said_so(site, esl):
    alone = site.phone().invite("park")
    alone.wait(200)
    assert alone.refer("sip:echo@test").status == 202
    told(alone, "SIP/2.0 403 Forbidden")
    assert esl.wait_event("CUSTOM", Event_Subclass="sofia::error").event["Transfer-Exten"] == "echo"
    assert uri_of(alone.remote)
    alone.hangup()


def test_a_call_elsewhere_is_not_fetched_for_strangers(site, esl):
    near, far, _, _ = bridged(site, esl)
    target = site.phone()
    replaces = "nobody%3Bto-tag%3Da%3Bfrom-tag%3Db"
    assert near.refer(f"sip:{target.user}@{target.ip}:{target.port}?Replaces={replaces}").status == 202
    told(near, "SIP/2.0 403 Forbidden")
    assert target.incoming.empty()
    # The one we called is no stranger.
    assert far.refer(f"sip:{target.user}@{target.ip}:{target.port}?Replaces={replaces}").status == 202
    taken = target.accept()
    assert taken.request["replaces"] == "nobody;to-tag=a;from-tag=b"
    taken.answer()
    told(far, "SIP/2.0 200 OK")
    far.wait_end()
    talk(near, taken, (NEAR, THIRD))
    near.hangup()
    taken.wait_end()


def test_a_phone_that_knows_no_such_subscription_keeps_its_call(site, esl):
    near, far, uuid, _ = bridged(site, esl)
    handle = near._handle

    def refuse(packet):
        if packet.method == "NOTIFY" and not packet.status:
            near.seen.append(packet)
            return near.phone.reply(packet, 481, "No subscription")
        return handle(packet)
    near._handle = refuse
    assert esl.api(f"uuid_phone_event {uuid} talk") == "+OK Success\n"
    near.until(lambda p: p.method == "NOTIFY", "NOTIFY")
    talk(near, far)
    near.hangup()
    far.wait_end()


def test_a_phone_that_knows_no_such_call_gets_a_bye(site, esl):
    near, far, uuid, _ = bridged(site, esl)
    handle = near._handle

    def refuse(packet):
        if packet.method == "INFO" and not packet.status:
            return near.phone.reply(packet, 481, "No call")
        return handle(packet)
    near._handle = refuse
    esl.api(f"uuid_send_info {uuid} text plain hello")
    near.wait_end()
    esl.api("hupall")
    far.wait_end()
