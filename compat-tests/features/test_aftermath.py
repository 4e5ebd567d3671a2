"""What becomes of the legs of a bridge: failures after early media, hooks, loopback pairs, held partners, late offers."""
import re
import socket
import time

import pytest

from harness.rtp import Rtp

LIMIT = 10


def parked(site, esl):
    call = site.phone().invite("park")
    call.wait(200)
    return call, esl.wait_event("CHANNEL_PARK").event["Unique-ID"]


def run(esl, uuid, *apps):
    reply = esl.api(f"uuid_transfer {uuid} 'm:^:{'^'.join(apps)}' inline")
    assert reply.startswith("+OK"), reply


def dial(site, esl, *before, after=()):
    """A parked caller that is sent to the carrier: both phones' calls, and the caller's UUID."""
    near, uuid = parked(site, esl)
    phone = site.carrier()
    run(esl, uuid, *before, "bridge:sofia/gateway/carrier/100", *after)
    return near, phone.accept(), uuid


def until(esl, command, wanted):
    """Asks until the answer is the wanted one."""
    deadline = time.monotonic() + LIMIT
    while (said := esl.api(command).strip()) != wanted:
        assert time.monotonic() < deadline, f"{command} says {said}, not {wanted}"
        time.sleep(0.05)


def talk(one, other):
    since = [len(call.rtp.packets) for call in (one, other)]
    for speaker, hz in ((one, 440), (other, 800)):
        speaker.rtp.tone(hz)
    one.rtp.wait_tone(800, since=since[0])
    other.rtp.wait_tone(440, since=since[1])


def test_a_refusal_after_early_media_ends_the_caller_with_its_cause(site, esl):
    near, far, uuid = dial(site, esl, after=["park"])
    far.progress()
    esl.wait_event("CHANNEL_BRIDGE", Unique_ID=uuid)
    far.reject(486)
    assert esl.wait_event("CHANNEL_HANGUP", Unique_ID=uuid).event["Hangup-Cause"] == "USER_BUSY"
    near.wait_end()


def test_a_refusal_after_early_media_may_be_survived(site, esl):
    near, far, uuid = dial(site, esl, "set:continue_on_fail=USER_BUSY", after=["park"])
    far.progress()
    esl.wait_event("CHANNEL_BRIDGE", Unique_ID=uuid)
    far.reject(486)
    esl.wait_event("CHANNEL_PARK", Unique_ID=uuid)
    near.hangup()


def test_an_application_may_follow_a_bridge(site, esl):
    near, far, uuid = dial(site, esl, "set:exec_after_bridge_app=event",
                           "set:exec_after_bridge_arg=Event-Name=CUSTOM,Event-Subclass=after", after=["park"])
    far.answer()
    esl.wait_event("CHANNEL_BRIDGE", Unique_ID=uuid)
    far.hangup()
    assert esl.wait_event("CUSTOM", Event_Subclass="after").event["Unique-ID"] == uuid
    near.wait_end()


def test_a_transfer_after_a_bridge_happens_once(site, esl):
    near, far, uuid = dial(site, esl, "set:transfer_after_bridge=park:XML:public")
    far.answer()
    esl.wait_event("CHANNEL_BRIDGE", Unique_ID=uuid)
    far.hangup()
    esl.wait_event("CHANNEL_PARK", Unique_ID=uuid)
    assert esl.api(f"uuid_getvar {uuid} transfer_after_bridge").strip() == "_undef_"
    near.hangup()


def test_an_application_may_run_on_the_called_leg_before_a_bridge(site, esl):
    near, far, uuid = dial(
        site, esl, "set:bridge_pre_execute_bleg_app=event",
        "set:bridge_pre_execute_bleg_data=Event-Name=CUSTOM,Event-Subclass=first", after=["park"])
    far.answer()
    other = esl.wait_event("CHANNEL_BRIDGE", Unique_ID=uuid).event["Bridge-B-Unique-ID"]
    assert esl.wait_event("CUSTOM", Event_Subclass="first").event["Unique-ID"] == other
    near.hangup()
    far.wait_end()


def test_variables_of_each_leg_may_be_given_to_the_other(site, esl):
    near, far, uuid = dial(site, esl, "set:colour=blue", "set:bridge_export_vars=colour")
    far.answer()
    other = esl.wait_event("CHANNEL_BRIDGE", Unique_ID=uuid).event["Bridge-B-Unique-ID"]
    assert esl.api(f"uuid_getvar {other} colour").strip() == "blue"
    near.hangup()
    far.wait_end()


def test_who_leaves_while_holding_takes_the_held_one_along(site, esl):
    near, far, uuid = dial(site, esl, after=["park"])
    far.answer()
    other = esl.wait_event("CHANNEL_BRIDGE", Unique_ID=uuid).event["Bridge-B-Unique-ID"]
    assert esl.api(f"uuid_hold {other}").startswith("+OK")
    esl.wait_event("CHANNEL_HOLD", Unique_ID=other)
    far.hangup()
    near.wait_end()


def test_a_leg_whose_caller_left_unanswered_may_be_kept(site, esl):
    near, uuid = parked(site, esl)
    phone = site.carrier()
    hook = "playback tone_stream://%(60000,0,500)"
    run(esl, uuid, f"export:nolocal:execute_on_orphaned_bleg={hook}", "bridge:sofia/gateway/carrier/100")
    far = phone.accept()
    far.progress()
    esl.wait_event("CHANNEL_BRIDGE", Unique_ID=uuid)
    near.hangup()
    far.rtp.wait_tone(500)
    far.answer()
    far.hangup()


@pytest.fixture
def impatient(esl):
    """Callers are bridged unanswered for a second at most."""
    esl.api("global_setvar bridge_answer_timeout=1")
    yield
    esl.api("global_setvar bridge_answer_timeout=")
    esl.api("global_setvar continue_on_answer_timeout=")


def early(site, esl):
    """A caller that hears early media of the carrier, unanswered."""
    phone, near = site.carrier(), site.phone().invite("carrier-100")
    far = phone.accept()
    far.progress()
    return near, far, esl.wait_event("CHANNEL_BRIDGE").event["Unique-ID"]


def test_a_bridge_that_is_not_answered_in_time_ends_the_caller(site, esl, impatient):
    near, far, uuid = early(site, esl)
    assert esl.wait_event("CHANNEL_HANGUP", Unique_ID=uuid).event["Hangup-Cause"] == "ALLOTTED_TIMEOUT"
    far.wait_end()
    near.until(lambda p: p.status >= 400, "a refusal")


def test_a_caller_may_go_on_after_a_bridge_that_is_not_answered_in_time(site, esl, impatient):
    esl.api("global_setvar continue_on_answer_timeout=true")
    near, far, uuid = early(site, esl)
    far.wait_end()
    ended = esl.wait_event("CHANNEL_HANGUP", Unique_ID=uuid).event
    assert ended["Hangup-Cause"] != "ALLOTTED_TIMEOUT", "the dialplan went on, and was at its end"
    near.until(lambda p: p.status >= 400, "a refusal")


def test_media_may_leave_the_switch_after_a_bridge(site, esl):
    near, far, uuid = dial(site, esl, "set:bypass_media_after_bridge=true")
    far.answer()
    for call, port in ((near, far.rtp.port), (far, near.rtp.port)):
        call.until(lambda p: not p.status and p.method == "INVITE" and p.media() == ("127.0.0.1", port), "an offer of the other's address")
    near.hangup()
    far.wait_end()


def streams():
    """An audio and a video socket, and a description of them with codecs that exist nowhere."""
    sockets = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
        one.settimeout(LIMIT)
    audio, video = (one.getsockname()[1] for one in sockets)
    lines = ["v=0", "o=- 1 1 IN IP4 127.0.0.1", "s=-", "c=IN IP4 127.0.0.1", "t=0 0", f"m=audio {audio} RTP/AVP 96 0", "a=rtpmap:96 strange/9000",
             "a=fmtp:96 as=is", f"m=video {video} RTP/AVP 97", "a=rtpmap:97 stranger/90000", ""]
    return sockets, "\r\n".join(lines)


def ports(body):
    return [int(port) for port in re.findall(r"^m=\w+ (\d+) ", body, re.M)]


def test_media_may_pass_through_unlooked_at(site, esl):
    (near_sockets, offer), (far_sockets, answer) = streams(), streams()
    carrier, near = site.carrier(), site.phone().invite("proxy-100", sdp=offer)
    far = carrier.accept()
    offered = far.request.body
    assert "a=rtpmap:96 strange/9000" in offered and "a=fmtp:96 as=is" in offered and "a=rtpmap:97 stranger/90000" in offered
    assert len(ports(offered)) == 2 and not set(ports(offered)) & set(ports(offer))
    far.phone.reply(far.request, 200, "OK", body=answer, tag=far.tag)
    answered = near.wait(200).body
    assert "strange/9000" in answered and not set(ports(answered)) & {*ports(answer), *ports(offered)}
    for at, (one, other) in enumerate(zip(near_sockets, far_sockets)):
        for sender, reader, port, data in ((one, other, ports(answered)[at], b"\x80\x60 from the caller"), (other, one, ports(offered)[at], b"no RTP at all")):
            sender.sendto(data, ("127.0.0.1", port))
            assert reader.recv(2000) == data
    near.hangup()
    far.wait_end()
    for one in (*near_sockets, *far_sockets):
        one.close()


def test_strangers_get_nothing_of_what_passes_through(site, esl):
    (near_sockets, offer), (far_sockets, answer) = streams(), streams()
    carrier, near = site.carrier(), site.phone().invite("proxy-100", sdp=offer)
    far = carrier.accept()
    stranger = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    stranger.setblocking(False)

    def spray(*where):
        for n in range(40):
            for port in where:
                stranger.sendto(b"stranger %d" % n, ("127.0.0.1", port))

    there = ports(far.request.body)
    spray(*there)
    far.phone.reply(far.request, 200, "OK", body=answer, tag=far.tag)
    spray(*there, *ports(near.wait(200).body))
    far_sockets[0].sendto(b"genuine", ("127.0.0.1", there[0]))
    assert near_sockets[0].recv(100) == b"genuine"
    with pytest.raises(BlockingIOError):
        stranger.recv(100)
    near.hangup()
    far.wait_end()
    for one in (*near_sockets, *far_sockets, stranger):
        one.close()


def test_what_is_dialled_may_go_on_without_the_caller(site, esl):
    near, uuid = parked(site, esl)
    phone = site.carrier()
    run(esl, uuid, "bridge:{originate_timeout=20}sofia/gateway/carrier/100")
    far = phone.accept()
    far.ring()
    assert esl.api("uuid_xfer_zombie nobody").startswith("-ERR")
    assert esl.api(f"uuid_xfer_zombie {uuid}") == "+OK Success\n"
    near.hangup()
    far.answer()
    other = esl.wait_event("CHANNEL_PARK", Caller_Direction="outbound").event["Unique-ID"]
    run(esl, other, "playback:tone_stream://%(60000,0,500)")
    far.rtp.wait_tone(500)
    far.hangup()
    esl.wait_event("CHANNEL_HANGUP_COMPLETE", Unique_ID=uuid)


def test_a_leg_may_be_displaced_for_those_who_hear_it(site, esl):
    near, far, uuid = dial(site, esl)
    far.answer()
    talk(near, far)
    assert esl.api(f"uuid_displace {uuid} start tone_stream://%(60000,0,650) 0 r").startswith("+OK")
    since = [len(call.rtp.packets) for call in (near, far)]
    far.rtp.wait_tone(650, since=since[1])
    near.rtp.wait_tone(800, since=since[0])
    assert esl.api(f"uuid_displace {uuid} stop tone_stream://%(60000,0,650)").startswith("+OK")
    far.rtp.wait_tone(440, since=len(far.rtp.packets))
    near.hangup()
    far.wait_end()


def test_a_loopback_pair_leaves_once_both_its_ends_talk(site, esl):
    near, uuid = parked(site, esl)
    phone = site.carrier()
    run(esl, uuid, "bridge:loopback/carrier-100/public/XML", "park")
    far = phone.accept()
    far.answer()
    talk(near, far)
    direct = esl.wait_event("CHANNEL_BRIDGE", Unique_ID=uuid, Channel_State="CS_SOFT_EXECUTE").event
    assert direct["Other-Leg-Channel-Name"].startswith("sofia/")
    until(esl, "show channels count", "2 total.")
    talk(near, far)
    near.hangup()
    far.wait_end()


def test_a_loopback_pair_may_have_to_stay(site, esl):
    near, uuid = parked(site, esl)
    phone = site.carrier()
    run(esl, uuid, "bridge:{loopback_bowout=false}loopback/carrier-100/public/XML", "park")
    far = phone.accept()
    far.answer()
    talk(near, far)
    far.rtp.wait_packets(len(far.rtp.packets) + 150)
    assert esl.api("show channels count").strip() == "4 total."
    near.hangup()
    far.wait_end()


def test_digits_pass_a_loopback_pair(site, esl):
    near, uuid = parked(site, esl)
    run(esl, uuid, "bridge:loopback/park/public/XML")
    other = esl.wait_event("CHANNEL_PARK", Channel_Name="loopback/park-b").event["Unique-ID"]
    esl.wait_event("CHANNEL_BRIDGE", Unique_ID=uuid)
    leg = esl.api(f"uuid_getvar {other} other_loopback_leg_uuid").strip()
    esl.api(f"uuid_send_dtmf {leg} 7")
    assert esl.wait_event("DTMF", Unique_ID=other).event["DTMF-Digit"] == "7"
    near.hangup()


def test_a_caller_without_an_offer_answers_in_its_ack(site, esl):
    call = site.phone().invite("park", sdp="", acks=False)
    answer = call.wait(200)
    assert answer.media()
    call.phone.request("ACK", call.target, call.call_id, call.cseq, call.local, call.remote, body=call.sdp(), to_address=call.address)
    event = esl.wait_event("CHANNEL_ANSWER").event
    assert event["Channel-State"] == "CS_HIBERNATE"
    uuid = event["Unique-ID"]
    esl.wait_event("CHANNEL_PARK", Unique_ID=uuid)
    run(esl, uuid, "echo")
    call.rtp.tone(440)
    call.rtp.wait_tone(440)
    call.hangup()


def test_a_caller_without_an_offer_and_without_an_answer_is_let_go(site, esl):
    call = site.phone().invite("park", sdp="", acks=False)
    answer = call.wait(200)
    call.ack(answer)
    event = esl.wait_event("CHANNEL_HANGUP").event
    assert event["Hangup-Cause"] == "INCOMPATIBLE_DESTINATION"
    call.wait_end()


def test_a_peer_that_sends_from_elsewhere_is_told_in_variables(site, esl):
    other = Rtp()
    offer = "\r\n".join(["v=0", "o=- 1 1 IN IP4 127.0.0.1", "s=-", "c=IN IP4 127.0.0.1", "t=0 0",
                         f"m=audio {other.port} RTP/AVP 0", ""])
    call = site.phone().invite("park", sdp=offer)
    call.wait(200)
    uuid = esl.wait_event("CHANNEL_PARK").event["Unique-ID"]
    until(esl, f"uuid_getvar {uuid} rtp_auto_adjust_audio", "true")
    assert esl.api(f"uuid_getvar {uuid} remote_audio_port").strip() == str(call.rtp.port)
    assert esl.api(f"uuid_getvar {uuid} remote_audio_port_reported").strip() == str(other.port)
    assert esl.api(f"uuid_getvar {uuid} remote_media_port").strip() == str(other.port)
    call.hangup()
    other.close()


def test_a_leg_with_a_presence_id_tells_what_it_does(site, esl):
    near, uuid = parked(site, esl)
    phone = site.carrier()
    run(esl, uuid, "bridge:{presence_id=100@example.com}sofia/gateway/carrier/100")
    far = phone.accept()
    far.answer()
    answered = esl.wait_event("PRESENCE_IN", status="answered").event
    assert (answered["from"], answered["presence-call-info-state"], answered["alt_event_type"]) == ("100@example.com", "active", "dialog")
    near.hangup()
    far.wait_end()
    assert esl.wait_event("PRESENCE_IN", status="CS_HANGUP").event["presence-call-info-state"] == "idle"


def test_a_ringing_leg_may_be_taken_for_answered(site, esl):
    near, far, uuid = dial(site, esl)
    far.ring()
    other = esl.wait_event("CHANNEL_PROGRESS").event["Unique-ID"]
    assert esl.api(f"uuid_outgoing_answer {other}").startswith("+OK")
    esl.wait_event("CHANNEL_CALLSTATE", Unique_ID=other, Channel_Call_State="ACTIVE")
    near.hangup()
    far.wait_end()


def test_a_wrong_password_shows_as_a_call_that_ended(site, esl):
    from harness import tree
    call = site.phone(tree.AUTH, user="1000", password="wrong").invite("park")
    call.until(lambda p: p.status == 403, "403")
    ended = esl.wait_event("CHANNEL_HANGUP_COMPLETE").event
    assert ended["Hangup-Cause"] == "CALL_REJECTED"
    assert ended["variable_sip_from_user"] == "1000"
