"""Forwarding and follow-me: set at the phone or by a program, kept in the database, read by the dialplan."""
import pytest
from conftest import settled, shared_site
from harness import office, tree
from harness.ear import dial, talk
from test_office_features import keyed, wish  # noqa: F401

DOMAIN = "test.example"


def with_forwarding(block, where):
    conf = tree.small(block, where)
    tree.patch(conf / "sip_profiles/auth.xml", {r'"manage-presence" value="false"/>': '"manage-presence" value="true"/>'})
    # What FusionPBX's and vanilla's trees do: the database says where a user's calls go.
    tree.patch(conf / "dialplan/public.xml", {r'<context name="public">': lambda found: found[0] + """
    <extension name="forwarded" continue="false"><condition field="destination_number" expression="^(10\\d\\d)$"/>
      <condition field="${db(select/forward/${destination_number})}" expression="^(.+)$"><action application="bridge" data="${db(select/forward/${destination_number})}"/></condition></extension>
    <extension name="no-answer"><condition field="destination_number" expression="^(10\\d\\d)$">
      <action application="set" data="call_timeout=2"/><action application="set" data="continue_on_fail=true"/><action application="set" data="hangup_after_bridge=true"/>
      <action application="bridge" data="user/$1@""" + DOMAIN + """"/>
      <action application="bridge" data="${db(select/no_answer/$1)}"/></condition></extension>
    <extension name="follow"><condition field="destination_number" expression="^follow-(10\\d\\d)$">
      <action application="set" data="hangup_after_bridge=true"/><action application="set" data="continue_on_fail=true"/>
      <action application="bridge" data="${db(select/follow_me/$1)}"/></condition></extension>"""})
    return conf


with_forwarding.needs_trees = False
server = shared_site(with_forwarding)


@pytest.fixture
def site(server):
    yield from settled(server)


@pytest.fixture
def esl(site):
    yield from office.listening(site, "PHONE_FEATURE_SUBSCRIBE CHANNEL_BRIDGE CHANNEL_HANGUP_COMPLETE")


def converse(call, phone, ring=True):
    """The phone takes the call, and both talk."""
    far = phone.accept(office.PATIENCE)
    if ring:
        far.ring()
    far.answer()
    call.wait(200, timeout=office.PATIENCE)
    talk(call, far)
    call.hangup()
    far.wait_end(office.PATIENCE)


def test_a_phone_forwards_all_its_calls(site, esl):
    own, other = keyed(site), site.phone()
    assert own.register().status == 200
    office.Watch(own, "as-feature-event", f"1000@{DOMAIN}",
                 wish("SetForwarding", device="1000", forwardingType="forwardImmediate", activateForward="true", forwardDN="200"))
    asked = esl.wait_event("PHONE_FEATURE_SUBSCRIBE").event
    assert (asked["Action-Name"], asked["Feature-Enabled"]) == ("forward_immediate", "true")
    # The program that keeps features.
    assert esl.api(f"db insert/forward/{asked['user']}/{dial(other)}") == "+OK"
    converse(site.phone().invite("1000"), other)
    esl.api("db delete/forward/1000")
    converse(site.phone().invite("1000"), own)


def test_a_phone_that_does_not_answer_forwards(site, esl):
    own, other = keyed(site), site.phone()
    assert own.register().status == 200
    assert esl.api(f"db insert/no_answer/1000/{dial(other)}") == "+OK"
    call = site.phone().invite("1000")
    ringing = own.accept(office.PATIENCE)
    ringing.ring()
    ringing.until(lambda p: p.method == "CANCEL", "CANCEL", office.PATIENCE)
    converse(call, other)


def test_follow_me_tries_one_place_after_the_other(site, esl):
    first, second, third = (site.phone() for _ in range(3))
    places = f"[leg_timeout=2]{dial(first)}|[leg_timeout=15]{dial(second)},[leg_timeout=15]{dial(third)}"
    assert esl.api(f"db insert/follow_me/1000/{places}") == "+OK"
    call = site.phone().invite("follow-1000")
    ringing = first.accept(office.PATIENCE)
    ringing.ring()
    ringing.until(lambda p: p.method == "CANCEL", "CANCEL", office.PATIENCE)
    both = [second.accept(office.PATIENCE), third.accept(office.PATIENCE)]
    for one in both:
        one.ring()
    both[1].answer()
    call.wait(200, timeout=office.PATIENCE)
    both[0].until(lambda p: p.method == "CANCEL", "CANCEL", office.PATIENCE)
    talk(call, both[1])
    call.hangup()
    both[1].wait_end(office.PATIENCE)


def test_a_call_of_a_group_is_picked_up_by_its_key(site, esl):
    """`pickup/<group>` rings nowhere; `pickup` at another desk takes the longest waiting call."""
    rings, taker = site.phone(), site.phone()
    near = site.phone().invite("park")
    near.wait(200)
    uuid = next(line.split(",")[0] for line in esl.api("show channels").splitlines() if ",inbound," in line)
    esl.api(f"uuid_transfer {uuid} 'm:^:bridge:{dial(rings)},pickup/sales' inline")
    far = rings.accept(office.PATIENCE)
    far.ring()
    other = taker.invite("park")
    other.wait(200)
    mine = next(line.split(",")[0] for line in esl.api("show channels").splitlines() if ",inbound," in line and uuid not in line)
    esl.api(f"uuid_transfer {mine} 'pickup:sales' inline")
    far.until(lambda p: p.method == "CANCEL", "CANCEL", office.PATIENCE)
    talk(near, other)
    near.hangup()
    other.wait_end(office.PATIENCE)
