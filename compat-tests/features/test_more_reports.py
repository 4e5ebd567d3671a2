"""More of what users have reported in public: each report by its number, and what is right."""
import re

import pytest

from harness.ear import FAR, FILE, NEAR, THIRD, bridged, caller, dial, hears, run, talk

MUSIC = 1400


@pytest.fixture
def esl(site):
    with site.esl() as client:
        client.command("event plain ALL")
        yield client


def offerless(call):
    """A re-INVITE without a description; the answer, which holds an offer."""
    call.acks = False
    with call.changed:
        call.cseq += 1
        call.phone.request("INVITE", call.target, call.call_id, call.cseq, call.local, call.remote, to_address=call.address)
    return call.until(lambda p: p.status >= 200 and p["cseq"] == f"{call.cseq} INVITE", "answer to re-INVITE")


def acknowledge(call, body):
    call.phone.request("ACK", call.target, call.call_id, call.cseq, call.local, call.remote, body=body, to_address=call.address)
    call.acks = True


# ---- hold

@pytest.mark.parametrize("held", ("sendonly", "inactive"))
def test_freeswitch_846_1091_1257_a_hold_ends_with_an_answer_in_the_ack(site, esl, held):
    """A far end on hold asks for an offer, and takes it for both directions."""
    near, far, uuid, _ = bridged(site, esl, f"set:hold_music=tone_stream://%(1000,0,{MUSIC});loops=-1", f"export:hold_music=tone_stream://%(1000,0,{MUSIC});loops=-1",
                                 "export:sip_unhold_nosdp=true")
    far.ack(far.reinvite(held))
    hears(near, MUSIC)
    offer = offerless(far)
    assert offer.status == 200 and not re.search(r"a=(recvonly|inactive|sendonly)", offer.body), offer.body
    acknowledge(far, far.sdp())
    talk(near, far)
    near.hangup()
    far.wait_end()


def test_freeswitch_2383_hold_toggled_twice_is_heard_both_ways(site, esl):
    near, far, uuid, other = bridged(site, esl)
    for leg, call in ((other, far), (uuid, near)):
        assert esl.api(f"uuid_hold toggle {leg}").startswith("+OK")
        call.until(lambda p: p.method == "INVITE" and not p.status and re.search(r"a=sendonly|a=inactive", p.body), "re-INVITE that holds")
        assert esl.api(f"uuid_hold toggle {leg}").startswith("+OK")
        call.until(lambda p: p.method == "INVITE" and not p.status and p["cseq"] != "1 INVITE" and not re.search(r"a=sendonly|a=inactive|a=recvonly", p.body),
                   "re-INVITE that resumes")
        talk(near, far)
    near.hangup()
    far.wait_end()


def test_freeswitch_1717_a_far_end_transferred_behind_its_border_controller_is_heard(site, esl):
    """Re-INVITEs in a row: hold, music from elsewhere, an offer asked for, the new party's address."""
    near, far, _, _ = bridged(site, esl)
    elsewhere = site.phone()
    third = elsewhere.invite("park")
    third.wait(200)
    esl.wait_event("CHANNEL_PARK")
    far.ack(far.reinvite("inactive"))
    offer = offerless(far)
    assert offer.status == 200
    there = offer.media()
    acknowledge(far, third.sdp())
    third.rtp.start(there)
    third.rtp.tone(THIRD)
    near.rtp.tone(NEAR)
    hears(near, THIRD)
    third.rtp.wait_tone(NEAR)
    again = far.reinvite(sdp=third.sdp().replace("o=- 1 1", "o=- 1 3"))
    assert again.status == 200
    far.ack(again)
    third.rtp.start(again.media())
    hears(near, THIRD)
    third.hangup()
    near.hangup()
    far.wait_end()


def test_freeswitch_2593_an_offer_refused_does_not_hold_up_the_next(site, esl):
    near, far, _, _ = bridged(site, esl)
    far.acks = False                                # the harness acknowledges refusals of first INVITEs only
    refused = far.reinvite(sdp=far.sdp().replace("0 8 101", "18").replace("a=rtpmap:0 PCMU/8000\r\n", "").replace("a=rtpmap:8 PCMA/8000\r\n", ""))
    assert refused.status == 488
    branch = re.search(r"branch=([^;]+)", refused["via"])[1]
    far.phone.request("ACK", far.target, far.call_id, far.cseq, far.local, far.remote, branch=branch, to_address=far.address)
    taken = near.reinvite(sdp=near.sdp().replace("0 8 101", "8 101").replace("a=rtpmap:0 PCMU/8000\r\n", "").replace("o=- 1 1", "o=- 1 2"))
    assert taken.status == 200 and " 8 101" in taken.body, taken.body
    near.ack(taken)
    near.rtp.wait_packets(len(near.rtp.packets) + 20)
    assert near.rtp.packets[-1][0] == 8
    hears(near, FAR)
    near.hangup()
    far.wait_end()


# ---- what waits its turn

def test_what_is_broadcast_to_a_leg_on_hold_is_heard_when_the_music_ends(site, esl):
    near, far, uuid, _ = bridged(site, esl, f"set:hold_music=tone_stream://%(1000,0,{MUSIC});loops=-1", f"export:hold_music=tone_stream://%(1000,0,{MUSIC});loops=-1")
    far.ack(far.reinvite("sendonly"))
    hears(near, MUSIC)
    assert esl.api(f"uuid_broadcast {uuid} tone_stream://%(2000,0,{FILE}) aleg") == "+OK Message sent\n"
    far.ack(far.reinvite())
    hears(near, FILE)
    talk(near, far)
    near.hangup()
    far.wait_end()


@pytest.mark.parametrize("all", ("", " all"))
def test_a_break_is_for_what_runs_and_with_all_for_what_waits_too(site, esl, all):
    near, far, uuid, _ = bridged(site, esl)
    esl.api(f"uuid_broadcast {uuid} tone_stream://%(60000,0,{MUSIC}) aleg")
    hears(near, MUSIC)
    esl.api(f"uuid_broadcast {uuid} tone_stream://%(2000,0,{FILE}) aleg")
    esl.api(f"uuid_break {uuid}{all}")
    if not all:
        hears(near, FILE)
    talk(near, far)
    near.hangup()
    far.wait_end()


# ---- transfers

def test_freeswitch_1698_both_legs_go_where_they_are_sent(site, esl):
    near, far, uuid, other = bridged(site, esl)
    assert esl.api(f"uuid_transfer {other} -both answer,park inline").startswith("+OK")
    for leg in (uuid, other):
        esl.wait_event("CHANNEL_PARK", Unique_ID=leg)
    assert esl.api("show channels count").split()[0] == "2"
    assert esl.api(f"uuid_bridge {uuid} {other}").startswith("+OK")
    talk(near, far)
    near.hangup()
    far.wait_end()


def test_freeswitch_2317_a_transfer_right_after_the_answer(site, esl):
    for _ in range(5):
        near, uuid = caller(site, esl)
        phone = site.phone()
        run(esl, uuid, f"bridge:{dial(phone)}")
        far = phone.accept()
        far.answer()
        assert esl.api(f"uuid_transfer {uuid} echo").startswith("+OK")
        far.wait_end()
        near.rtp.tone(NEAR)
        hears(near, NEAR)
        near.hangup()
        assert site.switch.wait_idle() == 0


def test_freeswitch_1422_who_transfers_is_let_go_when_the_one_transferred_leaves(fresh):
    """confirm-blind-transfer: the target rings, and the one transferred hangs up."""
    profile = fresh.conf / "sip_profiles/open.xml"
    profile.write_text(profile.read_text().replace("<settings>", '<settings><param name="confirm-blind-transfer" value="true"/>', 1))
    fresh.start()
    with fresh.esl() as esl:
        esl.command("event plain ALL")
        near, far, _, _ = bridged(fresh, esl)
        target = fresh.carrier()
        assert far.refer(f"sip:carrier-100@{far.phone.domain}").status == 202
        third = target.accept()
        third.ring()
        near.hangup()
        third.wait_end()
        far.wait_end(30)
    assert not fresh.settle()


# ---- dialling

def test_plivo_48_a_command_in_a_variable_of_an_originate(site, esl):
    phone = site.phone()
    before = esl.api("show tasks")
    esl.send("bgapi originate {plivo=c9e25272,api_on_answer_1='sched_api +600 plivo hupall NORMAL_CLEARING plivo x',plivo_app=true}" + f"{dial(phone)} &park")
    far = phone.accept()
    far.answer()
    event = esl.wait_event("CHANNEL_PARK").event
    assert (event["variable_plivo_app"], event["variable_plivo"]) == ("true", "c9e25272")
    assert ",plivo," in esl.api("show tasks")
    esl.api("sched_del plivo")
    assert esl.api("show tasks") == before
    esl.api(f"uuid_kill {event['Unique-ID']}")
    far.wait_end()


@pytest.mark.parametrize("gone", (1, 2))
def test_of_several_attempts_those_that_cannot_be_made_cost_no_time(site, esl, gone):
    """What a dial string names and does not exist is passed over, in order or at once, and the one that answers is talked to."""
    phone = site.phone()
    dead = ["sofia/gateway/nobody/1", "sofia/nobody/1@127.0.0.1"][:gone]
    for separator in "|", ",":
        esl.send(f"bgapi originate {separator.join([*dead, dial(phone)])} &echo")
        far = phone.accept()
        far.answer()
        far.rtp.tone(NEAR)
        hears(far, NEAR)
        far.hangup()


# ---- sessions, sound, programs

def test_freeswitch_155_the_least_session_interval_is_what_the_profile_says(fresh):
    profile = fresh.conf / "sip_profiles/open.xml"
    profile.write_text(profile.read_text().replace("<settings>", '<settings><param name="enable-timer" value="true"/><param name="minimum-session-expires" value="300"/>', 1))
    fresh.start()
    timer = ["Supported: timer"]
    refused = fresh.phone().invite("park", [*timer, "Session-Expires: 200"]).until(lambda p: p.status >= 200, "an answer")
    assert (refused.status, refused["min-se"]) == (422, "300")
    call = fresh.phone().invite("park", [*timer, "Session-Expires: 300"])
    assert call.wait(200)["session-expires"].startswith("300;refresher=")
    call.hangup()
    assert not fresh.settle()


def test_freeswitch_2611_early_media_is_described_and_heard(site, esl):
    call = site.phone().invite("early")
    progress = call.wait(183)
    assert progress.media()
    call.rtp.wait_tone(500)
    assert call.until(lambda p: p.status >= 300, "refusal").status == 486


def test_freeswitch_2429_a_listening_leg_does_what_it_is_told(site, esl):
    near, far, uuid, _ = bridged(site, esl)
    spy = site.phone().invite("park")
    spy.wait(200)
    listener = esl.wait_event("CHANNEL_PARK").event["Unique-ID"]
    run(esl, listener, f"eavesdrop:{uuid}")
    far.rtp.tone(0)
    hears(spy, NEAR)
    esl.execute(listener, "set", "told=yes")
    esl.wait_event("CHANNEL_EXECUTE_COMPLETE", Unique_ID=listener, Application="set")
    assert esl.api(f"uuid_getvar {listener} told") == "yes"
    near.rtp.tone(0)
    far.rtp.tone(FAR)
    hears(spy, FAR)
    spy.hangup()
    talk(near, far)
    near.hangup()
    far.wait_end()
