"""Conferences and listeners by ear: who hears whom after a command or a variable said so."""
import queue
from xml.etree import ElementTree

import pytest

from harness import tree
from harness.ear import FAR, NEAR, THIRD, bridged, caller, dial, hears, hears_nothing, run, talk


@pytest.fixture
def room(site, esl):
    """The name of a room whose members are heard whatever they say."""
    (site.conf / "autoload_configs" / "conference.conf.xml").write_text(
        '<configuration name="conference.conf"><profiles><profile name="default"><param name="rate" value="8000"/>'
        '<param name="energy-level" value="0"/></profile></profiles></configuration>')
    assert esl.api("reloadxml").startswith("+OK")
    assert "Module already loaded" in (said := esl.api("load mod_conference")) or "+OK" in said
    return "hall"


def member(esl, uuid=None):
    found = {"Unique_ID": uuid} if uuid else {}
    return esl.wait_event("CUSTOM", Event_Subclass="conference::maintenance", Action="add-member", **found).event["Member-ID"]


def two(site, esl, room):
    """Two members who hear each other: their calls and numbers."""
    near, uuid = caller(site, esl)
    run(esl, uuid, f"conference:{room}")
    one = member(esl, uuid)
    far, other = caller(site, esl)
    run(esl, other, f"conference:{room}")
    two = member(esl, other)
    talk(near, far)
    return near, far, one, two


def test_a_member_kept_from_another_is_not_heard_until_that_is_cleared(site, esl, room):
    near, far, one, other = two(site, esl, room)
    assert esl.api(f"conference {room} relate {one} {other} nospeak") == f"+OK {one}->{other} nospeak set\n"
    hears(near, FAR)
    hears_nothing(far, near, FAR)
    assert esl.api(f"conference {room} relate {one}") == f"{one} -> {other} NOSPEAK HEAR NOSENDVIDEO \n"
    assert esl.api(f"conference {room} relate {one} {other} clear") == f"+OK relationship {one}->{other} cleared.\n"
    talk(near, far)
    near.hangup()
    far.hangup()


def test_a_member_on_hold_is_not_heard(site, esl, room):
    near, far, one, _ = two(site, esl, room)
    assert esl.api(f"conference {room} hold {one}") == f"+OK hold {one}\n"
    hears_nothing(far, near, FAR)
    assert esl.api(f"conference {room} unhold {one}") == f"+OK unhold {one}\n"
    talk(near, far)
    near.hangup()
    far.hangup()


def test_a_room_that_is_full_takes_nobody_until_it_is_made_larger(site, esl, room):
    near, far, _, _ = two(site, esl, room)
    assert esl.api(f"conference {room} set max_members 2") == "0"
    third, uuid = caller(site, esl)
    run(esl, uuid, f"conference:{room}", "park")
    esl.wait_event("CHANNEL_PARK", Unique_ID=uuid)
    assert esl.api(f"conference {room} get count") == "2"
    assert esl.api(f"conference {room} set max_members 3") == "2"
    run(esl, uuid, f"conference:{room}")
    member(esl, uuid)
    near.rtp.tone(0)
    far.rtp.tone(0)
    third.rtp.tone(THIRD)
    hears(near, THIRD)
    for call in (near, far, third):
        call.hangup()


def test_who_is_dialled_comes_in(site, esl, room):
    near, uuid = caller(site, esl)
    run(esl, uuid, f"conference:{room}")
    member(esl, uuid)
    phone = site.phone()
    assert esl.api(f"conference {room} bgdial {dial(phone)}").startswith("+OK Job-UUID: ")
    far = phone.accept()
    far.answer()
    talk(near, far)
    assert esl.api(f"conference {room} hup last").startswith("+OK hup ")
    far.wait_end()
    near.hangup()


def test_one_who_whispers_from_the_start_is_heard_by_one_side(site, esl):
    near, far, uuid, _ = bridged(site, esl)
    third, spy = caller(site, esl)
    esl.api(f"uuid_setvar {spy} eavesdrop_whisper_bleg true")
    run(esl, spy, f"eavesdrop:{uuid}")
    near.rtp.tone(0)
    far.rtp.tone(0)
    third.rtp.tone(THIRD)
    hears(near, THIRD)
    hears_nothing(far, near, THIRD)
    for call in (third, near):
        call.hangup()
    far.wait_end()


def test_one_who_hears_one_side_only(site, esl):
    near, far, uuid, _ = bridged(site, esl)
    third, spy = caller(site, esl)
    esl.api(f"uuid_setvar {spy} eavesdrop_bridge_aleg true")
    run(esl, spy, f"eavesdrop:{uuid}")
    hears(third, NEAR)
    esl.api(f"uuid_setvar {spy} eavesdrop_bridge_aleg false")
    esl.api(f"uuid_setvar {spy} eavesdrop_bridge_bleg true")
    run(esl, spy, f"eavesdrop:{uuid}")
    hears(third, FAR)
    third.hangup()
    near.hangup()
    far.wait_end()


def test_a_call_of_another_group_is_not_heard(site, esl):
    near, far, uuid, _ = bridged(site, esl)
    esl.api(f"uuid_setvar {uuid} eavesdrop_group support,sales")
    third, spy = caller(site, esl)
    esl.api(f"uuid_setvar {spy} eavesdrop_require_group sale")
    run(esl, spy, f"eavesdrop:{uuid}", "park")
    esl.wait_event("CHANNEL_PARK", Unique_ID=spy)
    hears_nothing(third, near, FAR)
    esl.api(f"uuid_setvar {spy} eavesdrop_require_group sales")
    near.rtp.tone(0)
    run(esl, spy, f"eavesdrop:{uuid}")
    hears(third, FAR)
    third.hangup()
    near.hangup()
    far.wait_end()


def test_a_room_leaves_a_record_and_an_event_with_it(site, esl, room):
    (site.conf / "autoload_configs" / "conference.conf.xml").write_text(
        '<configuration name="conference.conf"><profiles><profile name="default"><param name="rate" value="8000"/>'
        '<param name="pin" value="77"/><param name="cdr-log-dir" value="auto"/><param name="cdr-event-mode" value="content"/>'
        '</profile></profiles></configuration>')
    assert esl.api("reloadxml").startswith("+OK")
    call, uuid = caller(site, esl)
    run(esl, uuid, "set:supplied_pin=77", "conference:recorded")
    number = member(esl, uuid)
    other, second = caller(site, esl)
    run(esl, second, "set:supplied_pin=1", "set:conference_enforce_security=true", "conference:recorded", "park")
    other.rtp.digits("1#1#1#")
    esl.api("msleep 300")
    other.hangup()
    assert esl.api(f"conference recorded kick {number}").startswith("+OK")
    event = esl.wait_event("CUSTOM", timeout=20, Event_Subclass="conference::cdr")
    record = ElementTree.fromstring(event.event_body)
    entry = record.find("conference/members/member")
    assert record.findtext("conference/name") == "recorded"
    assert (entry.get("type"), entry.findtext("flags/was_kicked")) == ("caller", "true")
    assert int(entry.findtext("leave_time")) >= int(entry.findtext("join_time")) > 0
    assert entry.findtext("caller_profile/uuid") == uuid
    found = list((site.where).rglob("conference_cdr/*.cdr.xml"))
    assert found and found[0].read_text() == event.event_body
    call.hangup()


def test_a_message_to_a_room_is_answered_with_who_is_in_it(site, esl, room):
    call, uuid = caller(site, esl)
    run(esl, uuid, f"conference:{room}")
    number = member(esl, uuid)
    phone = site.phone(tree.AUTH, user="1000", password="one-thousand", domain="test.example")
    assert phone.register().status == 200
    said, answered = queue.SimpleQueue(), phone.reply
    phone.reply = lambda packet, *rest, **more: (said.put(packet), answered(packet, 200, "OK"))
    assert phone.ask("MESSAGE", f"sip:conf+{room}@test.example", body="list").status < 300
    answer = said.get(timeout=20)
    assert answer.method == "MESSAGE"
    assert answer.body.startswith(f"{number}) "), answer.body
    assert answer["from"].startswith(f'"{room}" <sip:conf+{room}@test.example>'), answer["from"]
    call.hangup()
    assert phone.register(expires=0).status == 200
