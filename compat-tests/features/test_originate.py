"""Calling several parties: together, in turn, with time limits, with a word to be said first."""
import pytest

from harness import tree

RING = "tone_stream://%(4000,0,300)"


def dial(phone):
    return f"sofia/open/{phone.user}@{phone.ip}:{phone.port}"


def start(esl, text):
    """Begins an originate; what is returned waits for its outcome."""
    job = esl.command("bgapi originate " + text).headers["Job-UUID"]
    return lambda: esl.wait_event("BACKGROUND_JOB", **{"Job-UUID": job}).event_body


def end(esl, reply):
    """Ends the call an originate made."""
    assert reply.startswith("+OK "), reply
    esl.api(f"uuid_kill {reply.split()[1]}")


def caller(site, esl):
    call = site.phone().invite("park")
    call.wait(200)
    return call, esl.wait_event("CHANNEL_PARK").event["Unique-ID"]


def run(esl, uuid, *apps):
    reply = esl.api(f"uuid_transfer {uuid} 'm:^:{'^'.join(apps)}' inline")
    assert reply.startswith("+OK"), reply


def talk(one, other):
    for speaker, hz in ((one, 440), (other, 800)):
        speaker.rtp.tone(hz)
    one.rtp.wait_tone(800)
    other.rtp.wait_tone(440)


# ---- together, in turn, in branches

def test_of_those_called_together_the_first_to_answer_wins(site, esl):
    slow, fast = site.phone(), site.phone()
    outcome = start(esl, f"{dial(slow)},{dial(fast)} &park")
    ringing, answering = slow.accept(), fast.accept()
    ringing.ring()
    answering.answer()
    reply = outcome()
    ringing.wait_end()
    assert ringing.until(lambda p: p.method == "CANCEL", "CANCEL")
    end(esl, reply)
    answering.wait_end()


def test_groups_are_tried_one_after_the_other(site, esl):
    first, second = site.phone(), site.phone()
    outcome = start(esl, f"{dial(first)}|{dial(second)} &park")
    first.accept().reject(486)
    call = second.accept()
    call.answer()
    end(esl, outcome())
    call.wait_end()


def test_branches_run_apart_and_the_first_success_ends_the_others(site, esl):
    one, other, third = site.phone(), site.phone(), site.phone()
    outcome = start(esl, f"{dial(one)}|{dial(third)}:_:{dial(other)} &park")
    one.accept().reject(503)
    ringing, answering = third.accept(), other.accept()
    ringing.ring()
    answering.answer()
    reply = outcome()
    ringing.wait_end()
    end(esl, reply)
    answering.wait_end()


def test_a_caller_is_bridged_to_the_branch_that_won(site, esl):
    near, uuid = caller(site, esl)
    one, other = site.phone(), site.phone()
    run(esl, uuid, "set:effective_caller_id_number=4711", f"bridge:{dial(one)}:_:{dial(other)}")
    ringing, answering = one.accept(), other.accept()
    assert "4711" in answering.request["from"]
    ringing.ring()
    answering.answer()
    ringing.wait_end()
    talk(near, answering)
    near.hangup()
    answering.wait_end()


def test_a_caller_that_leaves_takes_all_branches_along(site, esl):
    near, uuid = caller(site, esl)
    one, other = site.phone(), site.phone()
    run(esl, uuid, f"bridge:{dial(one)}:_:{dial(other)}")
    calls = one.accept(), other.accept()
    for call in calls:
        call.ring()
    near.hangup()
    for call in calls:
        call.wait_end()


def test_a_group_of_users_can_be_called_in_turn(site, esl):
    phones = [site.phone(tree.AUTH, user=user, password=word, domain="test.example")
              for user, word in (("1000", "one-thousand"), ("1001", "one-thousand-one"))]
    for phone in phones:
        assert phone.register().status == 200
    outcome = start(esl, "group/default@test.example+F &park")
    phones[0].accept().reject(486)
    call = phones[1].accept()
    call.answer()
    end(esl, outcome())
    call.wait_end()
    for phone in phones:
        phone.register(expires=0)


# ---- one leg decides for all

def test_a_listed_rejection_of_one_ends_all_and_what_is_behind(site, esl):
    one, other, behind = site.phone(), site.phone(), site.phone()
    outcome = start(esl, f"{{fail_on_single_reject=USER_BUSY}}{dial(one)},{dial(other)}|{dial(behind)} &park")
    busy, ringing = one.accept(), other.accept()
    ringing.ring()
    busy.reject(486)
    ringing.wait_end()
    assert outcome() == "-ERR NO_ANSWER\n"
    assert behind.incoming.empty()


def test_a_rejection_that_is_not_listed_ends_nothing(site, esl):
    one, other = site.phone(), site.phone()
    outcome = start(esl, f"{{fail_on_single_reject=USER_BUSY}}{dial(one)},{dial(other)} &park")
    busy, ringing = one.accept(), other.accept()
    busy.reject(404)
    ringing.answer()
    end(esl, outcome())
    ringing.wait_end()


def test_a_required_leg_takes_the_others_along(site, esl):
    one, other = site.phone(), site.phone()
    outcome = start(esl, f"[leg_required=true]{dial(one)},{dial(other)} &park")
    busy, ringing = one.accept(), other.accept()
    ringing.ring()
    busy.reject(486)
    ringing.wait_end()
    assert outcome() == "-ERR USER_BUSY\n"


def test_a_caller_may_end_with_the_first_rejection(site, esl):
    near, uuid = caller(site, esl)
    one, other = site.phone(), site.phone()
    run(esl, uuid, "set:continue_on_fail=true", "set:hangup_on_single_reject=true", f"bridge:{dial(one)},{dial(other)}", "park")
    busy, ringing = one.accept(), other.accept()
    ringing.ring()
    busy.reject(486)
    ringing.wait_end()
    near.wait_end()


# ---- time

@pytest.mark.parametrize("option, cause, ring", [
    ("{originate_timeout=1}", "NO_ANSWER", True),
    ("[leg_timeout=1]", "ALLOTTED_TIMEOUT", True),
    ("[leg_progress_timeout=1]", "PROGRESS_TIMEOUT", False),
    ("{progress_timeout=1}", "PROGRESS_TIMEOUT", False),
])
def test_time_limits_end_with_their_own_causes(site, esl, option, cause, ring):
    phone = site.phone()
    outcome = start(esl, f"{option}{dial(phone)} &park")
    call = phone.accept()
    call.phone.reply(call.request, 180 if ring else 100, "Wait", tag=call.tag if ring else "")
    assert outcome() == f"-ERR {cause}\n"
    call.wait_end()


def test_the_time_given_as_an_argument_counts(site, esl):
    phone = site.phone()
    outcome = start(esl, f"{dial(phone)} &park XML default Alice 4711 1")
    call = phone.accept()
    assert "4711" in call.request["from"]
    call.ring()
    assert outcome() == "-ERR NO_ANSWER\n"
    call.wait_end()


def test_after_a_timeout_the_next_group_may_get_its_turn(site, esl):
    one, other = site.phone(), site.phone()
    options = "{originate_timeout=1,originate_continue_on_timeout=true}"
    outcome = start(esl, f"{options}{dial(one)}|{dial(other)} &park")
    one.accept().ring()
    call = other.accept()
    call.answer()
    end(esl, outcome())
    call.wait_end()


def test_a_leg_that_waits_starts_at_once_when_nobody_else_is_left(site, esl):
    one, other = site.phone(), site.phone()
    outcome = start(esl, f"{dial(one)},[leg_delay_start=50]{dial(other)} &park")
    call = one.accept()
    assert other.incoming.empty()
    call.reject(486)
    call = other.accept()
    call.answer()
    end(esl, outcome())
    call.wait_end()


def test_a_leg_that_was_never_started_goes_when_another_wins(site, esl):
    one, other = site.phone(), site.phone()
    outcome = start(esl, f"{dial(one)},[leg_delay_start=50]{dial(other)} &park")
    call = one.accept()
    call.answer()
    end(esl, outcome())
    call.wait_end()
    assert other.incoming.empty()


def test_a_failed_attempt_is_repeated(site, esl):
    phone = site.phone()
    outcome = start(esl, f"{{originate_retries=2,originate_retry_sleep_ms=500}}{dial(phone)} &park")
    phone.accept().reject(503)
    call = phone.accept()
    call.answer()
    end(esl, outcome())
    call.wait_end()


# ---- ringing and early media

@pytest.mark.parametrize("ignore", ["true", "consume", "ring_ready"])
def test_early_media_does_not_win_when_it_is_ignored(site, esl, ignore):
    phone = site.phone()
    outcome = start(esl, f"{{ignore_early_media={ignore}}}{dial(phone)} &park")
    call = phone.accept()
    call.progress()
    esl.wait_event("CHANNEL_PROGRESS_MEDIA")
    call.reject(486)
    assert outcome() == "-ERR USER_BUSY\n"


def test_ignored_early_media_may_count_later(site, esl):
    phone = site.phone()
    outcome = start(esl, f"{{ignore_early_media=true}}{dial(phone)} &park")
    call = phone.accept()
    call.progress()
    uuid = esl.wait_event("CHANNEL_PROGRESS_MEDIA").event["Unique-ID"]
    esl.api(f"uuid_early_ok {uuid}")
    end(esl, outcome())
    call.wait_end()


def test_ringing_wins_when_it_is_asked_for(site, esl):
    phone = site.phone()
    outcome = start(esl, f"{{return_ring_ready=true}}{dial(phone)} &park")
    call = phone.accept()
    call.ring()
    end(esl, outcome())
    call.wait_end()


def test_the_caller_hears_the_early_media_of_one_while_all_ring(site, esl):
    near, uuid = caller(site, esl)
    one, other = site.phone(), site.phone()
    run(esl, uuid, "set:bridge_early_media=true", f"bridge:{dial(one)},{dial(other)}")
    sounding, ringing = one.accept(), other.accept()
    ringing.ring()
    sounding.progress()
    sounding.rtp.tone(620)
    near.rtp.wait_tone(620)
    ringing.answer()
    sounding.wait_end()
    talk(near, ringing)
    near.hangup()
    ringing.wait_end()


@pytest.mark.parametrize("name", ["transfer_ringback", "ringback"])
def test_an_answered_caller_hears_ringback(site, esl, name):
    near, uuid = caller(site, esl)
    phone = site.phone()
    run(esl, uuid, f"set:{name}=%(4000,0,520)", f"bridge:{dial(phone)}")
    call = phone.accept()
    call.ring()
    near.rtp.wait_tone(520)
    call.answer()
    talk(near, call)
    near.hangup()
    call.wait_end()


def test_ringback_may_start_at_once(site, esl):
    near, uuid = caller(site, esl)
    phone = site.phone()
    run(esl, uuid, "set:ringback=%(4000,0,520)", "set:instant_ringback=true", f"bridge:{dial(phone)}")
    call = phone.accept()
    near.rtp.wait_tone(520)
    call.reject(486)
    near.wait_end()


# ---- a word to be said first

def test_an_answered_leg_has_to_press_the_key(site, esl):
    one, other = site.phone(), site.phone()
    outcome = start(esl, f"{{^^!group_confirm_key=5!group_confirm_file={RING}}}{dial(one)},{dial(other)} &park")
    careless, ringing = one.accept(), other.accept()
    careless.answer()
    ringing.ring()
    careless.rtp.wait_tone(300)
    careless.rtp.digits("3")
    careless.rtp.digits("5")
    reply = outcome()
    ringing.wait_end()
    winner = reply.split()[1]
    assert esl.api(f"uuid_getvar {winner} group_dial_status") == "winner"
    assert esl.api(f"uuid_getvar {winner} group_confirm_key") == "_undef_"
    end(esl, reply)
    careless.wait_end()


def test_another_may_accept_before_the_first_that_answered(site, esl):
    one, other = site.phone(), site.phone()
    outcome = start(esl, f"{{group_confirm_key=1}}{dial(one)},{dial(other)} &park")
    silent, keen = one.accept(), other.accept()
    silent.answer()
    keen.answer()
    keen.rtp.digits("1")
    reply = outcome()
    silent.wait_end()
    end(esl, reply)
    keen.wait_end()


def test_an_application_may_decide_about_acceptance(site, esl):
    phone = site.phone()
    what = "'playback tone_stream://%(300,0,700)'"
    outcome = start(esl, f"{{^^!group_confirm_key=exec!group_confirm_file={what}}}{dial(phone)} &park")
    call = phone.accept()
    call.answer()
    call.rtp.wait_tone(700, seconds=0.1)
    end(esl, outcome())
    call.wait_end()


# ---- what a leg is

def test_a_leg_may_be_named_from_outside(site, esl):
    reply = esl.api("originate {origination_external_id=order-7,origination_channel_name=desk/7}null/x &park")
    event = esl.wait_event("CHANNEL_PARK").event
    assert (event["Session-External-ID"], event["Channel-Name"]) == ("order-7", "desk/7")
    end(esl, reply)


def test_a_caller_takes_variables_of_the_called_over(site, esl):
    near, uuid = caller(site, esl)
    phone = site.phone()
    run(esl, uuid, "set:import=colour", f"bridge:[colour=red]{dial(phone)}")
    call = phone.accept()
    call.answer()
    esl.wait_event("CHANNEL_BRIDGE")
    assert esl.api(f"uuid_getvar {uuid} colour") == "red"
    near.hangup()
    call.wait_end()


def test_a_call_is_passed_on_only_so_often(site, esl):
    near, uuid = caller(site, esl)
    run(esl, uuid, "multiset:max_forwards=1 continue_on_fail=true", "bridge:null/x", "park")
    esl.wait_event("CHANNEL_PARK", Unique_ID=uuid)
    assert esl.api(f"uuid_getvar {uuid} originate_disposition") == "EXCHANGE_ROUTING_ERROR"
    near.hangup()


# ---- waiting for a busy party, and taking a call from elsewhere

def test_a_caller_camps_on_until_the_called_party_answers(site, esl):
    near, uuid = caller(site, esl)
    phone = site.phone()
    run(esl, uuid, "multiset:campon=true campon_sleep=1 campon_retries=5 campon_hold_music=tone_stream://%(4000,0,350);loops=-1",
        f"bridge:{dial(phone)}")
    phone.accept().reject(486)
    near.rtp.wait_tone(350)
    call = phone.accept()
    call.answer()
    talk(near, call)
    near.hangup()
    call.wait_end()


def test_a_camping_caller_may_give_up_by_a_key(site, esl):
    near, uuid = caller(site, esl)
    phone = site.phone()
    run(esl, uuid, "multiset:campon=true campon_sleep=60 campon_stop_key=9 campon_fallback_exten=echo campon_fallback_dialplan=XML campon_fallback_context=public",
        f"bridge:{dial(phone)}")
    phone.accept().reject(486)
    near.rtp.digits("9")
    near.rtp.tone(440)
    near.rtp.wait_tone(440)
    near.hangup()


def test_a_waiting_call_is_picked_up_by_its_key(site, esl):
    near, uuid = caller(site, esl)
    run(esl, uuid, "bridge:pickup/desk")
    waiting = esl.wait_event("CHANNEL_ORIGINATE", **{"Channel-Name": "pickup/desk"}).event["Unique-ID"]
    third, taker = caller(site, esl)
    run(esl, taker, "pickup:desk")
    talk(near, third)
    assert esl.api(f"uuid_getvar {taker} picked_up_uuid") == waiting
    assert esl.wait_event("CHANNEL_HANGUP_COMPLETE", Unique_ID=waiting).event["Hangup-Cause"] == "PICKED_OFF"
    near.hangup()
    third.wait_end()


def test_waiting_to_be_picked_up_ends_with_those_called_as_well(site, esl):
    phone = site.phone()
    outcome = start(esl, f"pickup/desk,{dial(phone)} &park")
    phone.accept().reject(486)
    ended = esl.wait_event("CHANNEL_HANGUP_COMPLETE", **{"Channel-Name": "pickup/desk"}).event
    assert ended["Hangup-Cause"] == "NO_PICKUP"
    assert outcome().startswith("-ERR ")
