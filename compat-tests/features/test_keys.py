"""Keys: bound ones, kept ones, replaced ones; and what phones ask for in signalling."""

def caller(site, esl, phone=None):
    call = (phone or site.phone()).invite("park")
    call.wait(200)
    return call, esl.wait_event("CHANNEL_PARK").event["Unique-ID"]


def run(esl, uuid, *apps):
    reply = esl.api(f"uuid_transfer {uuid} 'm:^:{'^'.join(apps)}' inline")
    assert reply.startswith("+OK"), reply


def bridged(site, esl, *before, phone=None, near=None):
    """Two phones in conversation: near, far, their UUIDs, the phone that was called."""
    near, uuid = caller(site, esl, near)
    phone = phone or site.phone()
    run(esl, uuid, *before, f"bridge:sofia/open/{phone.user}@{phone.ip}:{phone.port}")
    far = phone.accept()
    far.answer()
    event = esl.wait_event("CHANNEL_BRIDGE", **{"Bridge-A-Unique-ID": uuid}).event
    return near, far, uuid, event["Bridge-B-Unique-ID"], phone


def talk(one, other):
    since = len(one.rtp.packets), len(other.rtp.packets)
    for speaker, hz in ((one, 440), (other, 800)):
        speaker.rtp.tone(hz)
    one.rtp.wait_tone(800, since=since[0])
    other.rtp.wait_tone(440, since=since[1])


# ---- bound keys

def test_a_bound_string_runs_an_application_and_other_keys_pass(site, esl):
    near, far, uuid, _, _ = bridged(site, esl, "bind_digit_action:main,12,exec:event,Event-Subclass=typed,Event-Name=CUSTOM")
    talk(near, far)
    near.rtp.digits("12")
    event = esl.wait_event("CUSTOM", Event_Subclass="typed").event
    assert (event["Unique-ID"], event["variable_last_matching_digits"]) == (uuid, "12")
    near.rtp.digits("9")
    far.rtp.wait_digits("9")
    near.hangup()
    far.wait_end()


def test_a_bound_pattern_waits_for_its_end(site, esl):
    near, uuid = caller(site, esl)
    run(esl, uuid, "set:bda_terminators=#", "bind_digit_action:main,~7\\d+,api:global_setvar,typed=yes", "park")
    esl.wait_event("CHANNEL_PARK", Unique_ID=uuid)
    near.rtp.digits("741#")
    esl.wait_event("API", **{"API-Command": "global_setvar"})
    assert esl.api("global_getvar typed") == "yes"
    assert esl.api(f"uuid_getvar {uuid} last_matching_digits") == "741"
    near.hangup()


def test_keys_of_the_partner_may_be_listened_to(site, esl):
    near, far, uuid, other, _ = bridged(site, esl, "bind_digit_action:main,5,exec:event,Event-Subclass=asked,peer,self")
    talk(near, far)
    far.rtp.digits("5")
    assert esl.wait_event("CUSTOM", Event_Subclass="asked").event["Unique-ID"] == uuid
    near.hangup()
    far.wait_end()


def test_a_realm_can_be_changed_and_cleared(site, esl):
    near, uuid = caller(site, esl)
    say = "exec:event,Event-Subclass"
    run(esl, uuid, f"bind_digit_action:one,1,{say}=first", f"bind_digit_action:two,1,{say}=second", "digit_action_set_realm:two", "park")
    esl.wait_event("CHANNEL_PARK", Unique_ID=uuid)
    near.rtp.digits("1")
    esl.wait_event("CUSTOM", Event_Subclass="second")
    esl.execute(uuid, "clear_digit_action", "all")
    esl.wait_event("CHANNEL_EXECUTE_COMPLETE", Application="clear_digit_action")
    near.rtp.digits("1")
    assert esl.wait_event("DTMF", Unique_ID=uuid).event["DTMF-Digit"] == "1"
    near.hangup()


def test_an_unbound_name_becomes_an_event_of_the_call(site, esl):
    near, uuid = caller(site, esl)
    run(esl, uuid, "bind_digit_action:main,4,Choice,four", "park")
    esl.wait_event("CHANNEL_PARK", Unique_ID=uuid)
    near.rtp.digits("4")
    event = esl.wait_event("CHANNEL_DATA", Unique_ID=uuid).event
    assert (event["Choice"], event["digits"]) == ("four", "4")
    near.hangup()


# ---- keys kept from a leg

def test_blocked_keys_reach_nobody(site, esl):
    near, far, uuid, _, _ = bridged(site, esl, "block_dtmf")
    talk(near, far)
    near.rtp.digits("12")
    esl.api(f"uuid_recv_dtmf {uuid} 7")     # does not come from the far end, so it is not blocked
    far.rtp.wait_digits("7")
    near.hangup()
    far.wait_end()


def test_keys_sent_to_a_leg_may_be_masked(site, esl):
    near, far, uuid, other, _ = bridged(site, esl)
    talk(near, far)
    assert esl.api(f"uuid_drop_dtmf {other} on mask_digits *").startswith(f"+OK {other} is dropping DTMF.")
    near.rtp.digits("123")
    far.rtp.wait_digits("***")
    assert esl.api(f"uuid_drop_dtmf {other} off mask_digits *").startswith(f"+OK {other} is not dropping DTMF.")
    near.rtp.digits("4")
    far.rtp.wait_digits("***4")
    assert esl.api(f"uuid_drop_dtmf {other} on").startswith("-USAGE: ")
    near.hangup()
    far.wait_end()


# ---- transfers

def test_all_three_talk_after_the_conference_key_of_an_attended_transfer(site, esl):
    near, far, uuid, other, _ = bridged(site, esl)
    third = site.phone()
    talk(near, far)
    esl.execute(other, "att_xfer", f"sofia/open/{third.user}@{third.ip}:{third.port}")
    consulted = third.accept()
    consulted.answer()
    talk(far, consulted)
    far.rtp.digits("0")
    esl.wait_event("CHANNEL_EXECUTE", Application="three_way")
    for speaker, others in ((near, (far, consulted)), (far, (near, consulted)), (consulted, (near, far))):
        for call in (near, far, consulted):
            call.rtp.tone(0)
        speaker.rtp.tone(1000)
        for call in others:
            call.rtp.wait_tone(1000, since=len(call.rtp.packets))
    consulted.hangup()
    talk(near, far)
    near.hangup()
    far.wait_end()


def test_a_phone_joins_its_two_calls_by_refer_with_replaces(site, esl):
    middle = site.phone()
    near, first, _, _, _ = bridged(site, esl, phone=middle)
    second, last, _, _, _ = bridged(site, esl, near=middle)
    talk(near, first)
    talk(second, last)
    answer = first.refer(f"sip:200@127.0.0.1:{middle.server[1]}", replaces=second)
    assert answer.status == 202
    first.wait_end()
    second.wait_end()
    talk(near, last)
    near.hangup()
    last.wait_end()


# ---- signalling on request

def test_a_phone_is_offered_other_codecs(site, esl):
    near, uuid = caller(site, esl)
    assert esl.api(f"uuid_media_reneg {uuid} =PCMA") == "+OK Success\n"
    offer = near.until(lambda p: p.method == "INVITE" and not p.status, "offer")
    assert "m=audio" in offer.body and " RTP/AVP 8 101" in offer.body
    assert esl.api("uuid_media_reneg nobody") == "-ERR Operation Failed\n"
    near.hangup()


def test_a_key_of_the_phone_is_pressed(site, esl):
    near, uuid = caller(site, esl)
    assert esl.api(f"uuid_phone_event {uuid} hold") == "+OK Success\n"
    assert near.until(lambda p: p.method == "NOTIFY", "NOTIFY")["event"] == "hold"
    near.hangup()
