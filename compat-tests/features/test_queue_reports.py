"""What users of call centre queues, fifos and voicemail have reported in public, tried here: each report by its number, and what is right."""
import time

import pytest
from conftest import settled, shared_site
from harness import office, tree
from harness.ear import FAR, MUSIC, NEAR, THIRD, dial, hears, talk
from harness.services import until

ANNOUNCEMENT = 500      # Hz


def with_queues(block, where):
    """The small tree with queues that announce, and a fifo of two members."""
    conf = tree.small(block, where)
    office.with_modules(conf, "mod_callcenter", "mod_fifo")
    office.callcenter_conf(conf, [
        office.queue("help"), office.queue("all", strategy="ring-all"),
        office.queue("told", announce_sound=f"tone_stream://%(8000,0,{ANNOUNCEMENT})", announce_frequency="1"),
    ], '<param name="agent-originate-timeout" value="2"/><param name="reserve-agents" value="true"/>')
    (conf / "autoload_configs/fifo.conf.xml").write_text('<configuration name="fifo.conf"><settings/></configuration>')
    office.with_extensions(conf, {
        "queue-(\\w+)": [("callcenter", "$1"), *office.AFTERWARDS],
        "in-(\\w+)": [("answer", ""), ("set", f"fifo_music=tone_stream://%(1000,0,{MUSIC});loops=-1"), ("fifo", "$1 in")],
    })
    (where / "slow.lua").write_text("freeswitch.msleep(2000)\nstream:write('')\n")
    return conf


with_queues.needs_trees = False
server = shared_site(with_queues)


@pytest.fixture
def site(server):
    yield from settled(server)


@pytest.fixture
def story(site):
    story = office.Story(site, "callcenter::info fifo::info", "CC-Action")
    yield story
    story.close()


@pytest.fixture
def esl(site):
    yield from office.listening(site, "CHANNEL_PARK CHANNEL_ANSWER CHANNEL_CREATE BACKGROUND_JOB")


@pytest.fixture
def desk(esl, story):
    desk = office.Desk(esl)
    yield desk
    try:
        for name in ("help", "all", "told"):
            desk.wait_empty(name)
        for name in desk.agents:
            until(lambda: desk.state(name)[1] == "Waiting", f"{name} free")
    finally:
        desk.clear()


def call_in(site, queue="help", **more):
    call = site.phone(**more).invite(f"queue-{queue}")
    call.wait(200)
    hears(call, MUSIC)
    return call


def test_freeswitch_1062_a_phone_that_says_nothing_does_not_hold_its_agent(site, story, desk):
    """Not even 100 comes back; the agent is free again and the caller is offered to the next one."""
    mute, phone = site.phone(), site.phone()
    mute.incoming.put = lambda call: None
    desk.agent("ann", mute, position=1, no_answer_delay_time=600)
    desk.agent("ben", phone, position=2)
    near = call_in(site)
    assert story.until("bridge-agent-fail", CC_Agent="ann")["CC-Hangup-Cause"] in ("NO_ANSWER", "NO_USER_RESPONSE", "RECOVERY_ON_TIMER_EXPIRE")
    far = phone.accept(office.PATIENCE)
    far.answer()
    talk(near, far)
    near.hangup()
    far.wait_end()


def test_freeswitch_2516_a_caller_who_was_called_hears_no_music_beside_the_agent(site, story, desk, esl):
    """Also 2939: the switch called it, and a script put it into the queue."""
    (site.where / "enqueue.lua").write_text(
        "local leg = freeswitch.Session(argv[1])\nleg:setAutoHangup(false)\nif leg:ready() then leg:execute('callcenter', 'help') end\n")
    outside, phone = site.phone(), site.phone()
    esl.command(f"bgapi luarun {site.where}/enqueue.lua {dial(outside)}")
    near = outside.accept(office.PATIENCE)
    near.answer()
    hears(near, MUSIC)
    desk.agent("ann", phone)
    far = phone.accept(office.PATIENCE)
    far.answer()
    talk(near, far)
    near.hangup()
    far.wait_end()


@pytest.mark.parametrize("contact", ["", "nonsense", "sofia/nowhere/x@127.0.0.1", "user/nobody@nowhere.example", "[", "{a=b"])
def test_freeswitch_1641_a_contact_that_cannot_be_called_does_not_stop_the_queue(site, story, desk, contact):
    phone = site.phone()
    desk.agent("ann", position=1, status="Logged Out", **({"contact": contact} if contact else {}), no_answer_delay_time=600, reject_delay_time=600, busy_delay_time=600)
    desk.config("agent set status ann Available")
    desk.agent("ben", phone, position=2)
    near = call_in(site)
    far = phone.accept(office.PATIENCE)
    far.answer()
    talk(near, far)
    near.hangup()
    far.wait_end()


def test_freeswitch_2529_an_agent_is_not_called_for_a_caller_who_left_while_the_contact_was_looked_up(site, story, desk):
    phone = site.phone()
    desk.agent("ann", status="Logged Out")
    desk.config(f"agent set contact ann ${{lua({site.where}/slow.lua)}}{dial(phone)}")
    near = call_in(site)
    desk.config("agent set status ann Available")
    story.until("agent-offering")
    near.hangup()
    story.until("bridge-agent-fail")
    # A call that had begun when the caller left ends, whether the phone had said anything yet or not.
    assert site.switch.wait_idle() == 0


def test_freeswitch_2540_reserved_agents_are_free_when_another_took_the_call(site, story, desk):
    phones = [site.phone() for _ in range(6)]
    for at, phone in enumerate(phones):
        desk.agent(f"a{at}", phone, queue="all", position=at + 1)
    near = call_in(site, "all")
    first = phones[0].accept(office.PATIENCE)       # the others are about to be called
    first.answer()
    talk(near, first)
    for at in range(1, 6):
        until(lambda: desk.state(f"a{at}")[1] == "Waiting", f"a{at} free")
    near.hangup()
    first.wait_end()


@pytest.mark.parametrize("delay", [0, 0.02, 0.1])
def test_freeswitch_1973_a_caller_who_hangs_up_at_the_answer_is_not_kept_as_answered(site, story, desk, delay):
    phone = site.phone()
    desk.agent("ann", phone)
    near = call_in(site)
    far = phone.accept(office.PATIENCE)
    far.answer()
    time.sleep(delay)
    near.hangup()
    far.wait_end(office.PATIENCE)
    desk.wait_empty()


def test_freeswitch_1216_an_agent_who_cannot_take_calls_does_not_hold_a_top_down_queue(site, story, desk):
    """The last of the list is away; the first refuses once and is asked again."""
    phone = site.phone()
    desk.agent("ann", phone, position=1, busy_delay_time=1)
    desk.agent("ben", site.phone(), position=2, status="On Break")
    near = call_in(site)
    phone.accept(office.PATIENCE).reject(486, "Busy")
    story.until("bridge-agent-fail", CC_Agent="ann")
    far = phone.accept(office.PATIENCE)
    far.answer()
    talk(near, far)
    near.hangup()
    far.wait_end()


def test_freeswitch_1148_an_announcement_does_not_keep_the_caller_from_the_agent(site, story, desk):
    phone = site.phone()
    desk.agent("ann", phone, queue="told", status="Logged Out")
    near = call_in(site, "told")
    near.rtp.wait_tone(ANNOUNCEMENT, seconds=0.3, timeout=office.PATIENCE)     # eight seconds of it have begun
    begun = time.monotonic()
    desk.config("agent set status ann Available")
    far = phone.accept(office.PATIENCE)
    far.answer()
    talk(near, far)
    assert time.monotonic() - begun < 7, "the announcement went on"
    near.hangup()
    far.wait_end()


def test_freeswitch_2511_callers_are_served_by_their_score(site, story, desk):
    """Who came later with a higher base score is first."""
    phone = site.phone()
    plain = call_in(site, user="plain")
    vip = site.phone(user="vip").invite("park")
    vip.wait(200)
    uuid = desk.esl.wait_event("CHANNEL_PARK").event["Unique-ID"]
    assert desk.esl.api(f"uuid_transfer {uuid} 'm:^:set:cc_base_score=100^callcenter:help' inline").startswith("+OK")
    hears(vip, MUSIC)
    desk.agent("ann", phone)
    for near, hz in ((vip, NEAR), (plain, THIRD)):
        far = phone.accept(office.PATIENCE)
        far.answer()
        talk(near, far, (hz, FAR))
        near.hangup()
        far.wait_end(office.PATIENCE)


def test_freeswitch_1855_a_member_has_the_next_caller_from_beginning_to_end(site, esl):
    """Two members, two callers: the caller a member is called for is the one it speaks to, and it stays so."""
    phones = [site.phone(), site.phone()]
    members = [f"{{member_wait=nowait}}{dial(phone)}" for phone in phones]
    for member in members:
        assert esl.api(f"fifo_member add myq {member} 1 10 0").startswith("+OK")
    try:
        calls = []
        for hz in (NEAR, THIRD):
            near = site.phone().invite("in-myq")
            near.wait(200)
            far = next_call(phones)
            far.answer()
            talk(near, far, (hz, FAR))
            let_go(phones)
            calls.append((near, far, hz))
        near, far, _ = calls[0]
        far.hangup()                        # the first member is free; the second's call is not touched
        near.wait_end(office.PATIENCE)
        near, far, hz = calls[1]
        hears(far, hz)
        hears(near, FAR)
        again = site.phone().invite("in-myq")
        again.wait(200)
        far_again = next_call(phones)
        far_again.answer()
        talk(again, far_again)
        hears(far, hz)
        for call in (near, again):
            call.hangup()
        for call in (far, far_again):
            call.wait_end(office.PATIENCE)
    finally:
        for member in members:
            esl.api(f"fifo_member del myq {member}")


def let_go(phones):
    """Until the phones that rang in vain are silent."""
    for phone in phones:
        while not phone.incoming.empty():
            call = phone.accept()
            if not call.ended:
                call.ring()             # only then it can be told that it rings in vain
                call.wait_end(office.PATIENCE)


def next_call(phones):
    """The next call at one of the phones."""
    ringing = until(lambda: next((phone for phone in phones if not phone.incoming.empty()), None), "call to a member", office.PATIENCE)
    return ringing.accept()
