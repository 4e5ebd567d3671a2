"""SIPp as caller, callee and phone: what a tool that knows nothing of us sees on the wire."""
import queue

import pytest

from harness import tree
from harness.sipp import Sipp, run

DOMAIN = "test.example"


@pytest.mark.quick
def test_a_call_is_answered_held_and_released(site, tmp_path):
    run("uac", tmp_path, site.sip(tree.OPEN), number="echo")


def test_a_call_over_tcp_is_answered_held_and_released(site, tmp_path):
    run("uac", tmp_path, site.sip(tree.OPEN), number="echo", args=["-t", "t1"])


def test_twenty_calls_at_once_are_answered(site, tmp_path):
    run("uac", tmp_path, site.sip(tree.OPEN), number="park", calls=20, rate=40, hold=1000)


def test_the_server_hangs_up_when_the_dialplan_ends(site, tmp_path):
    run("uac_hung_up", tmp_path, site.sip(tree.OPEN), number="tone")


@pytest.mark.parametrize("status", [404, 480, 486, 503, 603])
def test_the_dialplan_refuses_with_the_status_it_names(site, tmp_path, status):
    run("uac_refused", tmp_path, site.sip(tree.OPEN), number=f"respond-{status}", status=status)


def test_an_unknown_number_is_404(site, tmp_path):
    run("uac_refused", tmp_path, site.sip(tree.OPEN), number="nobody-has-this", status=404)


def test_a_caller_may_give_up_while_it_rings(site, tmp_path):
    with site.esl() as esl:
        esl.command("event plain CHANNEL_HANGUP_COMPLETE")
        run("uac_cancel", tmp_path, site.sip(tree.OPEN), number="ring")
        assert esl.wait_event("CHANNEL_HANGUP_COMPLETE").event["Hangup-Cause"] == "ORIGINATOR_CANCEL"


# ---- passwords

def test_a_call_with_the_right_password_is_answered(site, tmp_path):
    run("uac_digest", tmp_path, site.sip(tree.AUTH), number="echo", user="1000", domain=DOMAIN, password="one-thousand")


def test_a_call_with_a_wrong_password_is_forbidden(site, tmp_path):
    run("uac_digest_wrong", tmp_path, site.sip(tree.AUTH), number="echo", user="1000", domain=DOMAIN, password="guessed")


def test_a_phone_registers_and_unregisters(site, tmp_path):
    def contact():
        return site.switch.api(f"sofia_contact auth/1000@{DOMAIN}")
    fill = dict(user="1000", domain=DOMAIN, password="one-thousand", port=site.block[70])
    run("register", tmp_path, site.sip(tree.AUTH), expires=300, final=200, **fill)
    assert f"127.0.0.1:{site.block[70]}" in contact()
    assert "1000" in site.switch.api("show registrations")
    run("register", tmp_path, site.sip(tree.AUTH), expires=0, final=200, **fill)
    assert "error/user_not_registered" in contact()


def test_a_registration_with_a_wrong_password_is_forbidden(site, tmp_path):
    run("register", tmp_path, site.sip(tree.AUTH), expires=300, final=403, user="1000", domain=DOMAIN, password="guessed")
    assert "error/user_not_registered" in site.switch.api(f"sofia_contact auth/1000@{DOMAIN}")


# ---- the switch calls

def carrier(site, tmp_path, scenario, **more):
    return Sipp(scenario, tmp_path, port=site.block[tree.CARRIER], **more)


def test_a_call_is_bridged_to_a_carrier_and_released(site, tmp_path):
    with carrier(site, tmp_path, "uas") as uas:
        run("uac", tmp_path, site.sip(tree.OPEN), number="carrier-100")
        uas.finish()


def test_the_carrier_hangs_up_and_the_caller_is_told(site, tmp_path):
    with carrier(site, tmp_path, "uas_hangs_up") as uas:
        run("uac_hung_up", tmp_path, site.sip(tree.OPEN), number="carrier-100")
        uas.finish()


@pytest.mark.parametrize("status, passed_on", [(486, 486), (404, 404), (503, 503)])
def test_the_carriers_refusal_reaches_the_caller(site, tmp_path, status, passed_on):
    with carrier(site, tmp_path, "uas_refuses", status=status) as uas:
        run("uac_refused", tmp_path, site.sip(tree.OPEN), number="carrier-100", status=passed_on)
        uas.finish()


def test_no_answer_in_time_cancels_the_carrier(site, tmp_path):
    with carrier(site, tmp_path, "uas_rings") as uas:
        run("uac_refused", tmp_path, site.sip(tree.OPEN), number="briefly-100", status=480)
        uas.finish()


def test_a_caller_who_gives_up_cancels_the_carrier(site, tmp_path):
    with carrier(site, tmp_path, "uas_rings") as uas:
        run("uac_cancel", tmp_path, site.sip(tree.OPEN), number="carrier-100")
        uas.finish()


# ---- lost and repeated messages

def test_every_call_succeeds_though_the_callers_messages_get_lost(site, tmp_path):
    run("uac", tmp_path, site.sip(tree.OPEN), number="park", calls=20, rate=20, loss=20, limit=45)


def test_every_call_succeeds_though_the_callees_messages_get_lost(site, tmp_path):
    with carrier(site, tmp_path, "uas", calls=10, loss=20, limit=45) as uas:
        run("uac", tmp_path, site.sip(tree.OPEN), number="carrier-100", calls=10, hold=1500, limit=45)
        uas.finish()


def test_a_repeated_invite_is_one_call(site):
    phone = site.phone()
    sent = []
    send = phone.send
    phone.send = lambda text, to=None: (sent.append((text, to)), send(text, to))
    call = phone.invite("park")
    for _ in range(3):
        send(*sent[0])
    call.wait(200)
    send(*sent[0])
    assert site.switch.channels() == 1
    call.hangup()


def test_an_answer_without_ack_is_repeated_until_the_ack_comes(site):
    call = site.phone().invite("park", acks=False)
    again = call.until(lambda p: p.status == 200 and sum(q.status == 200 for q in call.seen) >= 3, "third 200")
    call.ack(again)
    call.hangup()


def test_a_repeated_bye_is_answered_again(site):
    phone = site.phone()
    call = phone.invite("park")
    call.wait(200)
    sent = []
    send = phone.send
    phone.send = lambda text, to=None: (sent.append((text, to)), send(text, to))
    call.hangup()
    send(*sent[0])
    call.until(lambda p: p.status and p.method == "BYE" and sum(q.method == "BYE" for q in call.seen) >= 2, "second answer to BYE")


# ---- small things a carrier's monitoring looks at

def test_options_is_answered(site):
    answer = site.phone().ask("OPTIONS", f"sip:127.0.0.1:{site.block[tree.OPEN]}")
    assert answer.status == 200
    assert "INVITE" in answer["allow"]


def test_a_request_in_no_dialog_is_481(site):
    phone = site.phone()
    uri = f"sip:x@127.0.0.1:{site.block[tree.OPEN]}"
    box = queue.Queue()
    phone.inbox["no-such-call"] = box.put
    phone.request("BYE", uri, "no-such-call", 5, f"<{uri}>;tag=a", f"<{uri}>;tag=b")
    packet = box.get(timeout=5)
    assert packet.status == 481
