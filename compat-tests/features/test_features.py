"""Applications that join, take over and announce calls, with phones on both ends."""

def caller(site, esl, number="park"):
    """A phone in a parked call, and the call's UUID."""
    call = site.phone().invite(number)
    call.wait(200)
    return call, esl.wait_event("CHANNEL_PARK").event["Unique-ID"]


def run(esl, uuid, *apps):
    """Sends the call through applications, `^` between them."""
    reply = esl.api(f"uuid_transfer {uuid} 'm:^:{'^'.join(apps)}' inline")
    assert reply.startswith("+OK"), reply


def bridged(site, esl, *before, number="100"):
    near, uuid = caller(site, esl)
    phone = site.carrier()
    run(esl, uuid, *before, f"bridge:sofia/gateway/carrier/{number}")
    far = phone.accept()
    far.answer()
    event = esl.wait_event("CHANNEL_BRIDGE").event
    return near, far, uuid, event["Bridge-B-Unique-ID"], phone


def talk(one, other):
    for speaker, hz in ((one, 440), (other, 800)):
        speaker.rtp.tone(hz)
    one.rtp.wait_tone(800)
    other.rtp.wait_tone(440)


def test_a_bound_key_runs_its_application_and_other_keys_reach_the_far_end(site, esl):
    near, far, uuid, _, _ = bridged(site, esl, "bind_meta_app:1 a s event::Event-Subclass=key,Event-Name=CUSTOM")
    talk(near, far)
    near.rtp.digits("5*1")
    assert esl.wait_event("CUSTOM", Event_Subclass="key").event["Unique-ID"] == uuid
    near.rtp.digits("7")
    far.rtp.wait_digits("57")
    near.hangup()
    far.wait_end()


def test_the_called_leg_transfers_its_caller_by_a_bound_key(site, esl):
    near, far, uuid, _, _ = bridged(site, esl, "bind_meta_app:1 b s transfer::-bleg echo XML public")
    talk(near, far)
    far.rtp.digits("*1")
    far.wait_end()
    near.rtp.wait_tone(440, since=len(near.rtp.packets))
    near.hangup()


def test_media_may_flow_directly_between_the_phones(site, esl):
    near = site.phone()
    phone = site.carrier()
    call = near.invite("bypass-100")
    far = phone.accept()
    assert far.request.media() == ("127.0.0.1", call.rtp.port)
    far.answer()
    answer = call.wait(200)
    assert answer.media() == ("127.0.0.1", far.rtp.port)
    bridge = esl.wait_event("CHANNEL_BRIDGE").event
    assert bridge["Channel-State"] == "CS_HIBERNATE"
    talk(call, far)
    far.hangup()
    call.wait_end()


def test_a_call_can_be_intercepted(site, esl):
    near, far, uuid, _, _ = bridged(site, esl)
    third, taker = caller(site, esl)
    run(esl, taker, f"intercept:{uuid}")
    far.wait_end()
    talk(near, third)
    near.hangup()
    third.wait_end()


def test_an_attended_transfer_hands_the_partner_over(site, esl):
    near, far, uuid, other, phone = bridged(site, esl)
    talk(near, far)
    esl.execute(other, "att_xfer", "sofia/gateway/carrier/200")
    consulted = phone.accept()
    consulted.answer()
    talk(far, consulted)
    far.hangup()
    talk(near, consulted)
    near.hangup()
    consulted.wait_end()


def test_a_cancelled_attended_transfer_returns_to_the_partner(site, esl):
    near, far, uuid, other, phone = bridged(site, esl)
    esl.execute(other, "att_xfer", "sofia/gateway/carrier/200")
    consulted = phone.accept()
    consulted.answer()
    talk(far, consulted)
    far.rtp.digits("#")
    consulted.wait_end()
    talk(near, far)
    near.hangup()
    far.wait_end()


def test_a_third_party_can_listen_and_join(site, esl):
    near, far, uuid, _, _ = bridged(site, esl)
    talk(near, far)
    third, spy = caller(site, esl)
    run(esl, spy, f"eavesdrop:{uuid}")
    third.rtp.tone(1200)
    third.rtp.wait_packets(50)
    third.rtp.digits("3")
    third.hangup()
    talk(near, far)
    near.hangup()
    far.wait_end()


def test_a_parked_call_is_picked_up_from_its_slot(site, esl):
    near, uuid = caller(site, esl)
    run(esl, uuid, "valet_park:garage 71")
    esl.wait_event("CUSTOM", Event_Subclass="valet_parking::info", Action="hold")
    assert f'<extension uuid="{uuid}">71</extension>' in esl.api("valet_info garage")
    second, other = caller(site, esl)
    run(esl, other, "valet_park:garage 71")
    esl.wait_event("CHANNEL_BRIDGE")
    talk(near, second)
    near.hangup()
    second.wait_end()
    assert "<extension" not in esl.api("valet_info garage")


def test_a_menu_takes_choices_and_gives_up_on_wrong_ones(site, esl):
    near, uuid = caller(site, esl)
    run(esl, uuid, "ivr:choices", "park")
    esl.wait_event("CUSTOM", Event_Subclass="menu::enter", Menu_Name="choices")
    near.rtp.digits("1")
    assert esl.wait_event("CUSTOM", Event_Subclass="chosen").event["variable_uuid"] == uuid
    near.rtp.digits("9")
    esl.wait_event("CUSTOM", Event_Subclass="menu::exit")
    esl.wait_event("CHANNEL_PARK", Unique_ID=uuid)
    assert esl.api(f"uuid_getvar {uuid} ivr_menu_status").strip() == "failure"
    near.hangup()


def test_a_number_is_said_as_a_list_of_files(site):
    said = site.switch.api("say_string en.wav en NUMBER PRONOUNCED 12")
    assert said.strip() == "file_string://digits/12.wav"


def test_an_invite_with_replaces_takes_a_leg_over(site, esl):
    near, far, uuid, _, _ = bridged(site, esl)
    talk(near, far)
    ours = near.remote.split(";tag=")[1].split(";")[0]
    replaces = f"Replaces: {near.call_id};to-tag={ours};from-tag={near.tag}"
    taker = site.phone().invite("anything", extra=[replaces])
    taker.wait(200)
    near.wait_end()
    talk(taker, far)
    taker.hangup()
    far.wait_end()


def test_an_invite_that_replaces_nothing_is_refused(site):
    call = site.phone().invite("park", extra=["Replaces: nobody;to-tag=x;from-tag=y"])
    call.wait(481)
