"""mod_fifo by ear: callers in, consumers out, members called, keys and orbits, and each action told in its order."""
import pytest
from conftest import settled, shared_site
from harness import office, tree
from harness.ear import FAR, FILE, MUSIC, dial, hears, talk

ELSEWHERE = 500         # Hz: what is heard at the extension a caller is sent to
CALLER = ["push", "caller_pop", "bridge-caller-start", "bridge-caller-stop"]
CONSUMER = ["consumer_start", "consumer_pop", "channel-consumer-start", "bridge-consumer-start", "channel-consumer-stop",
            "bridge-consumer-stop"]


def with_fifos(block, where):
    """The small tree with fifos of a dialplan's."""
    conf = tree.small(block, where)
    office.with_modules(conf, "mod_fifo")
    (conf / "autoload_configs/fifo.conf.xml").write_text(
        '<configuration name="fifo.conf"><settings/><fifos><fifo name="desk" importance="0"/></fifos></configuration>')
    music = ("set", f"fifo_music=tone_stream://%(1000,0,{MUSIC});loops=-1")
    office.with_extensions(conf, {
        "in-(\\w+)": [("answer", ""), music, ("fifo", "$1 in"), *office.AFTERWARDS],
        "keys-(\\w+)": [("answer", ""), music, ("set", "fifo_caller_exit_key=9"), ("fifo", "$1 in"), *office.AFTERWARDS],
        "orbit-(\\w+)": [("answer", ""), music, ("set", "fifo_orbit_exten=elsewhere:2"), ("fifo", "$1 in"), *office.AFTERWARDS],
        "out-(\\w+)": [("answer", ""), music, ("set", "fifo_consumer_wrapup_time=0"), ("fifo", "$1 out wait"), *office.AFTERWARDS],
        "once-(\\w+)": [("answer", ""), music, ("fifo", "$1 out nowait"), *office.AFTERWARDS],
        "elsewhere": [("playback", f"tone_stream://%(3000,0,{ELSEWHERE})"), ("hangup", "")],
    })
    return conf


with_fifos.needs_trees = False
server = shared_site(with_fifos)


@pytest.fixture
def site(server):
    yield from settled(server)


@pytest.fixture
def story(site):
    story = office.Story(site, "fifo::info", "FIFO-Action")
    yield story
    story.close()


def call(site, number):
    call = site.phone().invite(number)
    call.wait(200)
    return call


def count(site, fifo):
    """Consumers, callers, members of a fifo."""
    fields = site.switch.api(f"fifo count {fifo}").strip().split(":")
    return [int(field) for field in fields[1:4]]


def told_of(story, actions):
    return [action for action in story.actions() if action in actions]


def test_a_caller_hears_music_until_a_consumer_takes_it(site, story):
    near = call(site, "in-desk")
    hears(near, MUSIC)
    story.until("push")
    assert count(site, "desk") == [0, 1, 0]
    far = call(site, "once-desk")
    talk(near, far)
    story.until("bridge-caller-start")
    assert count(site, "desk")[1] == 0
    near.hangup()
    story.until("bridge-caller-stop")
    hears(far, FILE)            # it waits for no other caller: the dialplan goes on
    far.wait_end()
    assert told_of(story, CALLER) == CALLER
    assert told_of(story, CONSUMER) == CONSUMER


def test_a_consumer_who_waits_takes_one_caller_after_the_other(site, story):
    far = call(site, "out-desk")
    hears(far, MUSIC)
    for hz in (300, 2100):
        near = call(site, "in-desk")
        talk(near, far, (hz, FAR))
        near.hangup()
        story.until("bridge-consumer-stop")
        hears(far, MUSIC)
    assert count(site, "desk")[0] == 1
    near = call(site, "in-desk")
    talk(near, far)
    far.hangup()
    story.until("bridge-caller-stop")
    near.wait_end(office.PATIENCE)
    if "consumer_stop" not in story.actions():
        story.until("consumer_stop")
    assert count(site, "desk") == [0, 0, 0]
    assert told_of(story, CALLER) == CALLER * 3


def test_a_consumers_key_ends_the_conversation_and_not_its_work(site, story):
    far = call(site, "out-desk")
    near = call(site, "in-desk")
    talk(near, far)
    far.rtp.digits("*")
    story.until("bridge-consumer-stop")
    hears(far, MUSIC)
    near.wait_end(office.PATIENCE)
    far.hangup()


def test_a_consumer_puts_the_caller_on_hold_with_a_key_and_takes_it_back(site, story):
    far = call(site, "out-desk")
    near = call(site, "in-desk")
    talk(near, far)
    far.rtp.digits("0")
    hears(near, MUSIC)
    far.rtp.digits("0")
    talk(near, far)
    near.hangup()
    story.until("bridge-consumer-stop")
    far.hangup()


def test_members_are_called_for_a_caller(site, story):
    phone = site.phone()
    assert site.switch.api(f"fifo_member add team {{fifo_member_wait=nowait}}{dial(phone)} 1 10 1").startswith("+OK")
    try:
        near = call(site, "in-team")
        rings = phone.accept(office.PATIENCE)
        rings.ring()
        hears(near, MUSIC)
        rings.answer()
        talk(near, rings)
        story.until("bridge-caller-start")
        actions = story.actions()
        assert [name for name in actions if name in ("push", "pre-dial", "post-dial")] == ["push", "pre-dial", "post-dial"]
        near.hangup()
        rings.wait_end(office.PATIENCE)
        story.until("bridge-caller-stop")
    finally:
        site.switch.api(f"fifo_member del team {{fifo_member_wait=nowait}}{dial(phone)}")
    assert count(site, "team")[1:] == [0, 0]


def test_a_caller_who_gives_up_stops_the_members_phone(site, story):
    phone = site.phone()
    assert site.switch.api(f"fifo_member add team {dial(phone)} 1 10 1").startswith("+OK")
    try:
        near = call(site, "in-team")
        rings = phone.accept(office.PATIENCE)
        rings.ring()
        near.hangup()
        rings.until(lambda p: p.method == "CANCEL", "CANCEL", office.PATIENCE)
        story.until("abort")
        if "post-dial" not in story.actions():
            story.until("post-dial")
    finally:
        site.switch.api(f"fifo_member del team {dial(phone)}")
    assert count(site, "team")[1:] == [0, 0]


def test_a_member_who_refuses_is_called_again_later(site, story):
    phone = site.phone()
    assert site.switch.api(f"fifo_member add team {dial(phone)} 1 10 1").startswith("+OK")
    try:
        near = call(site, "in-team")
        phone.accept(office.PATIENCE).reject(486, "Busy")
        story.until("post-dial")
        hears(near, MUSIC)
        again = phone.accept(office.PATIENCE)
        again.answer()
        talk(near, again)
        near.hangup()
        story.until("bridge-caller-stop")
        again.hangup()
    finally:
        site.switch.api(f"fifo_member del team {dial(phone)}")


def test_a_caller_leaves_with_a_key_and_goes_on(site, story):
    near = call(site, "keys-desk")
    hears(near, MUSIC)
    near.rtp.digits("9")
    story.until("abort")
    hears(near, FILE)
    near.wait_end()
    assert count(site, "desk")[1] == 0


def test_a_caller_who_waited_too_long_goes_elsewhere(site, story):
    near = call(site, "orbit-desk")
    hears(near, MUSIC)
    story.until("timeout")
    hears(near, ELSEWHERE)
    near.wait_end()
    assert count(site, "desk")[1] == 0
