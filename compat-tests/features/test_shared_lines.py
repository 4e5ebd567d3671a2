"""Shared lines: two phones of one user seize, see, hold and take over each other's calls."""
import re
import time

import pytest
from conftest import settled, shared_site
from harness import audio, office, tree
from harness.ear import FAR, NEAR, THIRD, hears, talk
from harness.services import until

LINE = "1000@test.example"


def with_lines(block, where):
    conf = tree.small(block, where)
    tree.patch(conf / "sip_profiles/auth.xml", {r'"manage-presence" value="false"/>': '"manage-shared-appearance" value="true"/>'})
    return conf


with_lines.needs_trees = False
server = shared_site(with_lines)


@pytest.fixture
def site(server):
    yield from settled(server)


def desk(site):
    return site.phone(tree.AUTH, user="1000", password="one-thousand", domain="test.example")


class Line(office.Watch):
    """A phone that watches its user's lines."""

    def until_line(self, wanted):
        """The next NOTIFY whose Call-Info has the pattern; all elements of it, by index."""
        seen, end = [], time.monotonic() + office.PATIENCE
        while time.monotonic() < end:
            try:
                packet = self.told.get(timeout=1)
            except office.queues.Empty:
                continue
            if re.search(wanted, packet["call-info"]):
                assert packet.body == "" and packet["event"] == self.package
                return packet
            seen.append(packet["call-info"])
        raise AssertionError(f"{wanted} was not told, but {seen}")


def line_of(site):
    line = Line(desk(site), "call-info", LINE)
    assert line.answer.status == 202
    told = line.until_line("appearance-state=idle")
    assert told["call-info"] == "<sip:test.example>;appearance-index=*;appearance-state=idle"
    assert told["subscription-state"].startswith("active")
    return line


def seize(phone, index, expires=15):
    """SUBSCRIBE line-seize; what the phone is told."""
    told = office.queues.Queue()
    plain = phone.reply

    def reply(request, *rest, **more):
        if request.method == "NOTIFY" and request["event"] == "line-seize":
            told.put(request)
        plain(request, *rest, **more)

    phone.reply = reply
    answer = phone.ask("SUBSCRIBE", f"sip:{LINE}", ["Event: line-seize", f"Expires: {expires}", f"Call-Info: <sip:test.example>;appearance-index={index}"])
    assert answer.status == 202
    box = phone.inbox[answer["call-id"]].__self__

    def take(packet):
        if not packet.status:
            phone.reply(packet, 200, "OK")

    phone.inbox[answer["call-id"]] = take
    while not box.empty():
        take(box.get_nowait())
    return told


def info(index, more=""):
    return f"Call-Info: <sip:test.example>;appearance-index={index}{more}"


def test_a_line_is_seized_used_held_and_taken_over(site, esl):
    first, second = line_of(site), line_of(site)
    # Off hook at the first desk.
    seized = seize(first.phone, 1)
    told = seized.get(timeout=office.PATIENCE)
    assert told["call-info"] == "<sip:test.example>;appearance-index=1" and told["subscription-state"].startswith("active;expires=1")
    assert "<sip:test.example>;appearance-index=1;appearance-state=seized," in second.until_line("seized")["call-info"]
    # It dials; the seizure is over, both desks see the call.
    far_phone = site.phone()
    call = first.phone.invite("park", [info(1)])
    call.wait(200)
    uuid = esl.wait_event("CHANNEL_PARK").event["Unique-ID"]
    assert esl.api(f"uuid_getvar {uuid} presence_call_info") == "appearance-index=1"
    over = seized.get(timeout=office.PATIENCE)
    assert over["subscription-state"] == "terminated;reason=noresource"
    active = second.until_line("appearance-index=1;appearance-state=active")["call-info"]
    assert 'appearance-uri="\\"park\\" <sip:park@test.example>"' in active and active.endswith(",<sip:test.example>;appearance-index=*;appearance-state=idle")
    assert "seized" not in active
    # The called phone answers; the first desk holds, the second sees it and takes the call.
    esl.api(f"uuid_transfer {uuid} 'bridge:sofia/open/{far_phone.user}@{far_phone.ip}:{far_phone.port}' inline")
    far = far_phone.accept(office.PATIENCE)
    far.answer()
    talk(call, far)
    hold(call, 1)
    second.until_line("appearance-index=1;appearance-state=held")
    taken = second.phone.invite("sip:1000@test.example", [info(1, ";appearance-state=held")], from_="<sip:1000@test.example>")
    taken.wait(200, timeout=office.PATIENCE)
    call.wait_end(office.PATIENCE)
    talk(taken, far, (THIRD, FAR))
    first.until_line("appearance-index=1[^,]*appearance-state=active")
    taken.hangup()
    far.wait_end(office.PATIENCE)
    idle = second.until_line("^<sip:test.example>;appearance-index=\\*;appearance-state=idle$")
    assert idle


def hold(call, index):
    """Holds with the appearance in the re-INVITE."""
    phone, offer = call.phone, call.sdp("sendonly")
    with call.changed:
        call.cseq += 1
        phone.request("INVITE", call.target, call.call_id, call.cseq, call.local, call.remote,
                      [info(index, ";appearance-state=held")], body=offer, to_address=call.address)
    return call.until(lambda p: p.status >= 200 and p["cseq"] == f"{call.cseq} INVITE", "answer to re-INVITE")


def hears_among_others(call, hz, packets=25):
    """Until so many packets, from now on, have `hz` in them beside what else is heard."""
    since = len(call.rtp.packets)

    def heard():
        got = [audio.power_of(hz, audio.decode(*packet)) for packet in call.rtp.packets[since:] if packet[0] in (0, 8)]
        return sum(power > 0.2 for power in got) >= packets
    until(heard, f"{hz} Hz among others", 15)


def test_a_call_to_the_line_shows_at_all_desks(site, esl):
    first, second = line_of(site), line_of(site)
    assert first.phone.register().status == 200 and second.phone.register().status == 200
    caller = site.phone().invite("park")
    caller.wait(200)
    uuid = esl.wait_event("CHANNEL_PARK").event["Unique-ID"]
    esl.api(f"uuid_transfer {uuid} 'bridge:user/{LINE}' inline")
    ringing = [desk.phone.accept(office.PATIENCE) for desk in (first, second)]
    for one in ringing:
        one.ring()
    assert "<sip:phone@test.example>" in first.until_line("appearance-index=1;appearance-state=progressing")["call-info"]
    ringing[1].answer()
    ringing[0].until(lambda p: p.method == "CANCEL", "CANCEL", office.PATIENCE)
    talk(caller, ringing[1])
    first.until_line("appearance-index=1;appearance-state=active")
    # The other desk joins the conversation.
    joins = first.phone.invite("sip:1000@test.example", [info(1)], from_="<sip:1000@test.example>")
    joins.wait(200, timeout=office.PATIENCE)
    joins.rtp.tone(THIRD)
    for one in (caller, ringing[1]):
        hears_among_others(one, THIRD)
    joins.hangup()
    hears(caller, FAR)
    caller.hangup()
    ringing[1].wait_end(office.PATIENCE)
    first.until_line("^<sip:test.example>;appearance-index=\\*;appearance-state=idle$")


def test_a_seizure_that_leads_to_nothing_ends(site, esl):
    first, second = line_of(site), line_of(site)
    seize(first.phone, 2, expires=2)
    second.until_line("appearance-index=2;appearance-state=seized")
    second.until_line("^<sip:test.example>;appearance-index=\\*;appearance-state=idle$")


def test_others_neither_seize_nor_take_over(site, esl):
    first = line_of(site)
    call = first.phone.invite("park", [info(3)])
    call.wait(200)
    first.until_line("appearance-index=3;appearance-state=active")
    stranger = site.phone(tree.AUTH, user="1001", password="one-thousand-one", domain="test.example")
    # With its own password, but the other user's name.
    said = stranger.ask("SUBSCRIBE", f"sip:{LINE}", ["Event: line-seize", "Expires: 15", info(4)])
    assert said.status == 202
    taking = stranger.invite("sip:1000@test.example", [info(3)], from_="<sip:1000@test.example>")
    answer = taking.until(lambda p: p.method == "INVITE" and p.status >= 200, "an answer", office.PATIENCE)
    assert answer.status >= 400
    call.rtp.tone(NEAR)
    call.hangup()
    told = first.until_line("^<sip:test.example>;appearance-index=\\*;appearance-state=idle$")
    assert "seized" not in told["call-info"]
