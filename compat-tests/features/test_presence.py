"""Subscribers learn what watched users' calls do: NOTIFYs with dialog-info and PIDF, heard by the phone that subscribed."""
import queue
import re

import pytest
from conftest import settled, shared_site
from harness import tree
from harness.sip import TIMEOUT

WATCHED = "100@example.com"


def watching(block, where):
    """The small tree, whose open profile takes subscriptions."""
    conf = tree.small(block, where)
    tree.patch(conf / "sip_profiles/open.xml", {
        r'"manage-presence" value="false"/>': '"manage-presence" value="true"/>\n    <param name="auth-subscriptions" value="false"/>'})
    return conf


watching.needs_trees = False
server = shared_site(watching)


@pytest.fixture
def site(server):
    yield from settled(server)


class Watch:
    """A subscription of a phone: what it was told, in order."""

    def __init__(self, site, package, expires=300):
        self.phone, self.told = site.phone(), queue.Queue()
        plain = self.phone.reply

        def reply(request, *rest, **more):
            if request.method == "NOTIFY":
                self.told.put(request)
            plain(request, *rest, **more)

        self.phone.reply = reply
        ask = self.phone.ask

        def subscribe(expires):
            return ask("SUBSCRIBE", f"sip:{WATCHED}", [f"Event: {package}", f"Expires: {expires}"])

        # NOTIFYs have the subscription's Call-ID: they come to the box of the request.
        self.answer = subscribe(expires)
        box = self.phone.inbox[self.answer["call-id"]]

        def take(packet):
            if packet.status:
                box(packet)
            else:
                self.phone.reply(packet, 200, "OK")

        for waiting in self._drained(box.__self__):
            take(waiting)
        self.phone.inbox[self.answer["call-id"]] = take

    @staticmethod
    def _drained(box):
        while not box.empty():
            yield box.get_nowait()

    def next(self):
        return self.told.get(timeout=TIMEOUT)

    def until(self, wanted):
        """The first NOTIFY whose body has the pattern."""
        seen = []
        while True:
            try:
                packet = self.next()
            except queue.Empty:
                pytest.fail(f"{wanted} was not told, but {seen}")
            if re.search(wanted, packet.body):
                return packet
            seen.append(packet.body)


def parked(site, esl):
    call = site.phone().invite("park")
    call.wait(200)
    return call, esl.wait_event("CHANNEL_PARK").event["Unique-ID"]


def ring(site, esl, to=WATCHED):
    """A call to the watched user that rings at the carrier's phone."""
    near, uuid = parked(site, esl)
    phone = site.carrier()
    bridge = "bridge:{presence_id=%s}sofia/gateway/carrier/100" % to
    assert esl.api(f"uuid_transfer {uuid} 'm:^:{bridge}' inline").startswith("+OK")
    far = phone.incoming.get(timeout=TIMEOUT)
    far.ring()
    return near, far


def test_a_busy_lamp_shows_a_call_from_its_ringing_to_its_end(site, esl):
    watch = Watch(site, "dialog")
    assert watch.answer.status == 202
    first = watch.next()
    assert first["event"] == "dialog" and 'state="full"' in first.body and "<dialog " not in first.body
    near, far = ring(site, esl)
    early = watch.until("<state>early</state>")
    assert 'direction="recipient"' in early.body and 'state="partial"' in early.body
    far.answer()
    confirmed = watch.until("<state>confirmed</state>")
    assert re.search(r'<dialog id="([^"]+)"', early.body)[1] == re.search(r'<dialog id="([^"]+)"', confirmed.body)[1]
    assert "sip:**" + WATCHED in confirmed.body
    near.hangup()
    over = watch.until("<state>terminated</state>")
    versions = [int(re.search(r'version="(\d+)" state', p.body)[1]) for p in (first, early, confirmed, over)]
    assert versions == sorted(set(versions))
    assert int(over["cseq"].split()[0]) > int(first["cseq"].split()[0])


def test_one_who_subscribes_during_a_call_is_told_of_it_at_once(site, esl):
    near, far = ring(site, esl)
    far.answer()
    near.wait(200)
    esl.wait_event("CHANNEL_BRIDGE")
    first = Watch(site, "dialog").next()
    assert 'state="full"' in first.body and "<state>confirmed</state>" in first.body
    near.hangup()


def test_presence_says_who_is_on_the_phone_and_when_no_more(site, esl):
    watch = Watch(site, "presence")
    assert "<basic>closed</basic>" in watch.next().body
    near, far = ring(site, esl)
    far.answer()
    assert "<rpid:on-the-phone/>" in watch.until("<dm:note>Talk ").body
    near.hangup()
    watch.until("<dm:note>Unregistered</dm:note>")


def test_a_program_lights_a_lamp(site, esl):
    watch = Watch(site, "dialog")
    watch.next()
    headers = {"proto": "sip", "event_type": "presence", "alt_event_type": "dialog", "from": WATCHED, "unique-id": "feature-1",
               "Presence-Call-Direction": "outbound", "answer-state": "confirmed"}
    for state in ("confirmed", "terminated"):
        headers["answer-state"] = state
        esl.command("sendevent PRESENCE_IN\n" + "\n".join(f"{name}: {value}" for name, value in headers.items()))
        assert '<dialog id="feature-1"' in watch.until(f"<state>{state}</state>").body
