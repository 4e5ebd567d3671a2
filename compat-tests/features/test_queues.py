"""Call centre queues by ear: what callers, agents and the table of callers see of a call through mod_callcenter."""
import time

import pytest
from conftest import settled, shared_site
from harness import audio, office, tree
from harness.ear import FAR, FILE, MUSIC, NEAR, THIRD, caller, hears, talk
from harness.services import until

# A caller's and an agent's events of one call that is served.
COUNT = "members-count"
SERVED = ["member-queue-start", "agent-state-change", "agent-offering", "bridge-agent-start", "agent-state-change",
          "bridge-agent-end", "member-queue-end", "agent-state-change"]


def with_queues(block, where):
    """The small tree with call centre queues of several kinds."""
    conf = tree.small(block, where)
    office.with_modules(conf, "mod_callcenter")
    office.callcenter_conf(conf, [
        office.queue("help"), office.queue("all", strategy="ring-all"),
        office.queue("short", max_wait_time=1), office.queue("alone", max_wait_time_with_no_agent=1, max_wait_time_with_no_agent_time_reached=0),
        office.queue("kept", abandoned_resume_allowed="true", discard_abandoned_after=60),
        office.queue("taped", record_template=f"{where}/taped-${{uuid}}.wav"),
    ], '<param name="agent-originate-timeout" value="2"/>')
    office.with_extensions(conf, {
        "queue-(\\w+)": [("set", "cc_exit_keys=#"), ("callcenter", "$1"), *office.AFTERWARDS],
    })
    return conf


with_queues.needs_trees = False
server = shared_site(with_queues)


@pytest.fixture
def site(server):
    yield from settled(server)


@pytest.fixture
def story(site):
    story = office.Story(site, "callcenter::info", "CC-Action")
    yield story
    story.close()


@pytest.fixture
def esl(site):
    yield from office.listening(site, "CHANNEL_PARK CHANNEL_HANGUP_COMPLETE RECORD_STOP")


@pytest.fixture
def desk(esl, story):
    desk = office.Desk(esl)
    yield desk
    for name in ("help", "all", "short", "alone", "taped"):
        desk.wait_empty(name)
    desk.clear()


def call_in(site, queue="help", **more):
    """A caller who waits and hears the music."""
    call = site.phone(**more).invite(f"queue-{queue}")
    call.wait(200)
    return call


def serve(agent, near):
    """The agent's phone rings and is answered, and both talk."""
    far = agent.accept(office.PATIENCE)
    far.ring()
    hears(near, MUSIC)
    far.answer()
    talk(near, far)
    return far


def idle(desk, story, name):
    """Until the agent can take the next call."""
    if desk.state(name)[1] != "Waiting":
        story.until("agent-state-change", CC_Agent=name, CC_Agent_State="Waiting")


def test_a_caller_hears_music_until_an_agent_comes_who_answers_and_hangs_up(site, story, desk):
    phone = site.phone()
    desk.agent("ann", phone, status="Logged Out")
    near = call_in(site)
    hears(near, MUSIC)
    assert desk.waiting() == ["Waiting"]
    story.until("member-queue-start")
    story.forget()
    desk.config("agent set status ann Available")
    far = serve(phone, near)
    assert desk.state("ann") == ("Available", "In a queue call") and desk.waiting() == ["Answered"]
    far.hangup()
    hears(near, FILE)               # the caller goes on with the dialplan
    near.wait_end()
    story.until("agent-state-change", CC_Agent_State="Waiting")
    assert story.actions(COUNT) == ["agent-status-change", *SERVED[1:]]
    end = next(event for event in story.told if event["CC-Action"] == "member-queue-end")
    assert end["CC-Cause"] == "Terminated" and end["variable_cc_cause"] == "answered" and end["CC-Agent"] == "ann"


def test_the_callers_hangup_ends_the_agents_call_who_rests_before_the_next(site, story, desk):
    phone = site.phone()
    desk.agent("ann", phone, wrap_up_time=3)
    first = call_in(site)
    far = serve(phone, first)
    second = call_in(site)
    hears(second, MUSIC)
    first.hangup()
    far.wait_end()
    ended = story.until("bridge-agent-end")
    far = serve(phone, second)
    offered = story.until("agent-offering")
    rest = (int(offered["Event-Date-Timestamp"]) - int(ended["Event-Date-Timestamp"])) / 1e6
    assert rest > 2, f"offered {rest} s after the end"        # whole seconds are counted: up to one less
    second.hangup()
    far.wait_end()
    idle(desk, story, "ann")
    first, second = [i for i, event in enumerate(story.told) if event["CC-Action"] == "agent-offering"]
    assert first < second


@pytest.mark.parametrize("status,cause,key", [(486, "USER_BUSY", "busy_delay_time"), (603, "CALL_REJECTED", "reject_delay_time")])
def test_an_agent_who_refuses_is_left_alone_and_the_next_one_is_called(site, story, desk, status, cause, key):
    ann, ben = site.phone(), site.phone()
    desk.agent("ann", ann, position=1, **{key: 600})
    desk.agent("ben", ben, position=2)
    near = call_in(site)
    ann.accept(office.PATIENCE).reject(status, "No")
    assert story.until("bridge-agent-fail", CC_Agent="ann")["CC-Hangup-Cause"] == cause
    far = serve(ben, near)
    assert desk.state("ann") == ("Available", "Waiting")
    near.hangup()
    far.wait_end()
    idle(desk, story, "ben")
    offered = [event["CC-Agent"] for event in story.told if event["CC-Action"] == "agent-offering"]
    assert offered == ["ann", "ben"]


def test_an_agent_who_does_not_answer_is_put_on_break(site, story, desk):
    phone = site.phone()
    desk.agent("ann", phone, max_no_answer=1)
    near = call_in(site)
    rings = phone.accept(office.PATIENCE)
    rings.ring()
    rings.wait_end(office.PATIENCE)         # two seconds, agent-originate-timeout
    missed = story.until("bridge-agent-fail")
    assert missed["CC-Hangup-Cause"] in ("NO_ANSWER", "ALLOTTED_TIMEOUT")
    if "agent-max-no-answer" not in story.actions():
        story.until("agent-max-no-answer")
    until(lambda: desk.state("ann")[0] == "On Break", "break of the agent")
    hears(near, MUSIC)
    desk.config("agent set status ann Available")
    far = serve(phone, near)
    far.hangup()
    near.wait_end()
    idle(desk, story, "ann")


def test_a_caller_who_gives_up_stops_the_agents_phone(site, story, desk):
    phone = site.phone()
    desk.agent("ann", phone)
    near = call_in(site)
    rings = phone.accept(office.PATIENCE)
    rings.ring()
    hears(near, MUSIC)
    near.hangup()
    rings.until(lambda p: p.method == "CANCEL", "CANCEL", office.PATIENCE)
    end = story.until("member-queue-end")
    assert (end["CC-Cause"], end["CC-Cancel-Reason"]) == ("Cancel", "BREAK_OUT")
    if "bridge-agent-fail" not in story.actions():
        story.until("bridge-agent-fail")
    fail = next(event for event in story.told if event["CC-Action"] == "bridge-agent-fail")
    assert fail["CC-Hangup-Cause"] == "ORIGINATOR_CANCEL"
    idle(desk, story, "ann")
    assert desk.state("ann") == ("Available", "Waiting")


def test_a_caller_who_calls_again_has_the_old_place(site, story, desk):
    phone = site.phone()
    first = call_in(site, "kept", user="early")
    place = story.until("member-queue-start")["CC-Member-UUID"]
    first.hangup()
    story.until("member-queue-end")
    other = call_in(site, "kept", user="late")
    late = story.until("member-queue-start")["CC-Member-UUID"]
    again = call_in(site, "kept", user="early")
    assert story.until("member-queue-resume")["CC-Member-UUID"] == place != late
    desk.agent("ann", phone, queue="kept")
    for near in (again, other):
        far = serve(phone, near)
        near.hangup()
        far.wait_end(office.PATIENCE)
    desk.wait_empty("kept")
    idle(desk, story, "ann")


def test_all_agents_ring_and_one_has_the_call(site, story, desk):
    ann, ben = site.phone(), site.phone()
    desk.agent("ann", ann, queue="all")
    desk.agent("ben", ben, queue="all")
    near = call_in(site, "all")
    lost, won = ann.accept(office.PATIENCE), ben.accept(office.PATIENCE)
    lost.ring()
    won.ring()
    won.answer()
    lost.until(lambda p: p.method == "CANCEL", "CANCEL", office.PATIENCE)
    talk(near, won)
    if "bridge-agent-fail" not in story.actions():
        story.until("bridge-agent-fail", CC_Agent="ann")
    fails = [event for event in story.told if event["CC-Action"] == "bridge-agent-fail"]
    assert [(event["CC-Agent"], event["CC-Hangup-Cause"]) for event in fails] == [("ann", "LOSE_RACE")]
    near.hangup()
    won.wait_end()
    idle(desk, story, "ben")
    idle(desk, story, "ann")


def test_an_agent_who_stands_by_is_spoken_to_without_a_ring(site, story, desk, esl):
    far, line = caller(site, esl)
    desk.agent("ann", kind="uuid-standby", uuid=line)
    near = call_in(site)
    talk(near, far)
    assert desk.state("ann")[1] == "In a queue call"
    near.hangup()
    story.until("bridge-agent-end")
    far.wait_end(office.PATIENCE)             # as in the reference, the line ends with the call
    idle(desk, story, "ann")


@pytest.mark.parametrize("queue,reason", [("short", "TIMEOUT"), ("alone", "NO_AGENT_TIMEOUT"), ("help", "EXIT_WITH_KEY")])
def test_a_caller_who_leaves_the_queue_goes_on_with_the_dialplan(site, story, desk, queue, reason):
    near = call_in(site, queue)
    if reason == "EXIT_WITH_KEY":
        hears(near, MUSIC)
        near.rtp.digits("#")
    end = story.until("member-queue-end")
    assert (end["CC-Cause"], end["CC-Cancel-Reason"]) == ("Cancel", reason)
    hears(near, FILE)
    near.wait_end()


def test_a_call_is_recorded_with_both_voices(site, story, desk, esl):
    phone = site.phone()
    desk.agent("ann", phone, queue="taped")
    near = call_in(site, "taped")
    far = phone.accept(office.PATIENCE)
    far.answer()
    talk(near, far)
    begun = time.monotonic()
    while time.monotonic() < begun + 1.5:     # something to hear on the tape
        time.sleep(0.1)
    near.hangup()
    far.wait_end()
    path = esl.wait_event("RECORD_STOP").event["Record-File-Path"]
    assert path.startswith(f"{site.where}/taped-")
    samples, rate = audio.read_wav(path)
    # Both in one channel: each has its share of the energy.
    shares = [audio.power_of(hz, samples[-rate:], rate) for hz in (NEAR, FAR)]
    assert min(shares) > 0.1, shares
    idle(desk, story, "ann")


def test_callers_are_served_in_the_order_in_which_they_came(site, story, desk):
    phone = site.phone()
    calls = []
    for user in ("one", "two", "three"):
        calls.append(call_in(site, user=user))
        story.until("member-queue-start", CC_Member_CID_Number=user)
        time.sleep(1.1)                       # the order is by whole seconds
    desk.agent("ann", phone)
    for near, hz in zip(calls, (NEAR, THIRD, NEAR)):
        far = phone.accept(office.PATIENCE)
        far.answer()
        talk(near, far, (hz, FAR))
        near.hangup()
        far.wait_end(office.PATIENCE)
    served = [event["CC-Member-CID-Number"] for event in story.told if event["CC-Action"] == "member-queue-start"]
    assert served == ["one", "two", "three"]
    idle(desk, story, "ann")
