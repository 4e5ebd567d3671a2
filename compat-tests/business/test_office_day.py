"""A day in an office of ten phones: calls forwarded, picked up, parked, queued, in conference and to voicemail, lamps and all.

At the end no call is left, each leg has ended once, and tables of callers are empty.
"""
import collections

import pytest
from conftest import Site
from harness import office, tree
from harness.ear import FILE, MUSIC, NEAR, hears, talk
from harness.services import until

DOMAIN = "test.example"
PROMPT, MESSAGE = 500, 1900     # Hz
MACROS = ("abort ack goodbye hello listen_file_check menu message_count play_greeting record_file_check record_message record_urgent_check"
          " say_date say_message_number").split()


def an_office(block, where):
    """The small tree with desks that register, voicemail, a queue, a fifo, a parking lot, a conference and feature codes."""
    conf = tree.small(block, where)
    for profile in ("open", "auth"):
        tree.patch(conf / f"sip_profiles/{profile}.xml", {
            r'"manage-presence" value="false"/>': '"manage-presence" value="true"/><param name="auth-subscriptions" value="false"/>'})
    office.with_modules(conf, "mod_voicemail", "mod_callcenter", "mod_fifo", "mod_conference")
    office.callcenter_conf(conf, [office.queue("help")], '<param name="agent-originate-timeout" value="10"/>')
    (conf / "autoload_configs/fifo.conf.xml").write_text('<configuration name="fifo.conf"><settings/></configuration>')
    (conf / "autoload_configs/conference.conf.xml").write_text(
        '<configuration name="conference.conf"><profiles><profile name="default"><param name="rate" value="8000"/>'
        '<param name="energy-level" value="0"/></profile></profiles></configuration>')
    (conf / "autoload_configs/voicemail.conf.xml").write_text(
        f'<configuration name="voicemail.conf"><settings/><profiles><profile name="default"><param name="storage-dir" value="{where}/boxes"/>'
        '<param name="min-record-len" value="1"/><param name="record-silence-threshold" value="0"/><param name="max-record-len" value="30"/>'
        '<param name="digit-timeout" value="3000"/></profile></profiles></configuration>')
    macros = "".join(f'<macro name="voicemail_{name}"><input pattern="^(.*)$"><match><action function="play-file"'
                     f' data="{{said={name}}}tone_stream://%(300,0,{PROMPT})"/></match></input></macro>' for name in MACROS)
    main = conf / "freeswitch.xml"
    main.write_text(main.read_text().replace("</document>", '<section name="languages"><language name="en" say-module="en" sound-prefix="/nowhere">'
                                             f'<phrases><macros>{macros}</macros></phrases></language></section></document>'))
    users = "".join(f'<user id="{n}"><params><param name="password" value="pw-{n}"/><param name="vm-password" value="{n}"/></params></user>' for n in range(200, 210))
    tree.patch(conf / "directory/users.xml", {r"(?=        </users>)": users})
    endless = f"tone_stream://%(1000,0,{MUSIC});loops=-1"
    music = ("set", f"hold_music={endless}")
    office.with_extensions(conf, {
        # *72 and a number forwards, *73 ends it, which is to forward to oneself; a desk is rung, then its mailbox answers.
        "\\*72(\\d+)": [("answer", ""), ("db", "insert/forward/${caller_id_number}/$1"), ("playback", f"tone_stream://%(3000,0,{FILE})"), ("hangup", "")],
        "\\*73": [("answer", ""), ("db", "insert/forward/${caller_id_number}/${caller_id_number}"), ("playback", f"tone_stream://%(3000,0,{FILE})"), ("hangup", "")],
        "\\*8": [("answer", ""), ("intercept", "${hash(select/pickup/sales)}")],
        "\\*98": [("answer", ""), ("voicemail", "check auth default %s ${caller_id_number}" % DOMAIN), ("hangup", "")],
        "59(\\d\\d)": [("answer", ""), ("set", f"valet_hold_music={endless}"), ("valet_park", f"garage@{DOMAIN} 59$1")],
        "room": [("answer", ""), ("conference", "room@default")],
        "help": [("callcenter", "help"), ("hangup", "")],
        "line-in": [("answer", ""), ("set", f"fifo_music={endless}"), ("fifo", "line in")],
        "line-out": [("answer", ""), ("fifo", "line out nowait")],
        "(2\\d\\d)": [music, ("set", "hangup_after_bridge=true"), ("set", "continue_on_fail=true"), ("set", "call_timeout=4"),
                      ("hash", "insert/pickup/sales/${uuid}"), ("bridge", "user/${db(select/forward/$1)}@%s" % DOMAIN),
                      ("answer", ""), ("set", "skip_greeting=true"), ("voicemail", "default %s $1" % DOMAIN), ("hangup", "")],
    })
    vars_ = conf / "vars.xml"
    vars_.write_text(vars_.read_text().replace("</include>", f'<X-PRE-PROCESS cmd="set" data="hold_music=tone_stream://%(1000,0,{MUSIC});loops=-1"/></include>'))
    return conf


an_office.needs_trees = False


class Office:
    """The desks, and what all calls of the day told."""

    def __init__(self, site):
        self.site = site
        self.esl = site.esl(timeout=office.PATIENCE)
        self.esl.command("event plain CHANNEL_CREATE CHANNEL_HANGUP_COMPLETE MESSAGE_WAITING RECORD_START PLAYBACK_START CHANNEL_PARK CUSTOM callcenter::info fifo::info conference::maintenance")
        self.desk = office.Desk(self.esl)
        self.phones = {n: site.phone(tree.AUTH, user=str(n), password=f"pw-{n}", domain=DOMAIN) for n in range(200, 210)}
        for phone in self.phones.values():
            assert phone.register().status == 200
            assert self.esl.api(f"db insert/forward/{phone.user}/{phone.user}").startswith("+OK")

    def call(self, who, number, answered=True):
        call = self.phones[who].invite(str(number))
        if answered:
            call.wait(200)
        return call

    def rings(self, who):
        """The next call at a desk that is not over yet."""
        while True:
            call = self.phones[who].accept(office.PATIENCE)
            if not call.ended:
                call.ring()
                return call

    def outside(self, number, user="customer"):
        return self.site.phone(user=user).invite(number)


@pytest.fixture
def day(tmp_path):
    site = Site(tmp_path, an_office)
    try:
        day = Office(site.start())
        yield day
        day.esl.close()
        assert not site.settle()
    finally:
        site.close()


def converse(day, who, near, hang_up="near"):
    """A desk answers a call; both talk, and one hangs up."""
    far = day.rings(who)
    far.answer()
    talk(near, far)
    first, second = (near, far) if hang_up == "near" else (far, near)
    first.hangup()
    second.wait_end(office.PATIENCE)


def leave_and_hear(day):
    """205 is not answered: a message is left, the lamp is lit, the message is heard and deleted, the lamp goes out."""
    lamp = office.Watch(day.phones[205], "message-summary", f"205@{DOMAIN}")
    lamp.until("Messages-Waiting: no")
    near = day.call(200, 205, answered=False)
    day.rings(205).wait_end(office.PATIENCE)
    near.wait(200, office.PATIENCE)
    near.rtp.tone(MESSAGE)
    begun = day.esl.wait_event("RECORD_START").event
    until(lambda: recorded(day, begun), "two seconds of message")
    near.hangup()
    lamp.until(r"Messages-Waiting: yes(.|\r\n)*Voice-Message: 1/0")
    heard = day.call(205, "*98")
    heard.rtp.wait_tone(MESSAGE, seconds=1, timeout=office.PATIENCE)
    day.esl.wait_event("PLAYBACK_START", said="listen_file_check")
    heard.rtp.digits("7")
    lamp.until("Messages-Waiting: no")
    heard.hangup()


def recorded(day, begun):
    """Has the recording gone on for two seconds?"""
    now = int(day.esl.api("strepoch").strip())
    return now >= int(begun["Event-Date-Timestamp"]) // 1_000_000 + 3


def forward(day):
    """201 forwards to 203 and takes it back."""
    day.call(201, "*72203").wait_end(office.PATIENCE)
    converse(day, 203, day.call(202, 201, answered=False), "far")
    assert day.phones[201].incoming.empty()
    day.call(201, "*73").wait_end(office.PATIENCE)
    converse(day, 201, day.call(202, 201, answered=False))


def pick_up(day):
    """204 rings; 206 takes the call from another desk."""
    near = day.call(202, 204, answered=False)
    ringing = day.rings(204)
    taker = day.phones[206].invite("*8")
    taker.wait(200)
    near.wait(200)
    ringing.until(lambda p: p.method == "CANCEL", "CANCEL", office.PATIENCE)
    talk(near, taker)
    near.hangup()
    taker.wait_end(office.PATIENCE)


def park(day):
    """A call is parked in 5901, whose lamp is lit, and fetched from there."""
    lamp = office.Watch(day.phones[207], "dialog", f"park+5901@{DOMAIN}")
    near = day.call(202, 5901)
    hears(near, MUSIC)
    lamp.until("<state>confirmed</state>")
    far = day.call(207, 5901)
    talk(near, far)
    lamp.until("<state>terminated</state>")
    far.hangup()
    near.wait_end(office.PATIENCE)


def queue_up(day):
    """Agents log in and out; three customers are served in turn, one gives up."""
    for name, n in (("ann", 208), ("ben", 209)):
        day.desk.agent(name, status="Logged Out", contact=f"user/{n}@{DOMAIN}", position=n - 207)
    gone = day.outside("help", "impatient")
    gone.wait(200)
    hears(gone, MUSIC)
    gone.hangup()
    served = day.outside("help", "first")
    served.wait(200)
    day.desk.config("agent set status ann Available")
    converse(day, 208, served, "far")
    day.desk.config("agent set status ann 'Logged Out'")
    day.desk.config("agent set status ben Available")
    for customer in ("second", "third"):
        near = day.outside("help", customer)
        near.wait(200)
        converse(day, 209, near)
    day.desk.config("agent set status ben 'On Break'")
    day.desk.wait_empty()
    assert day.phones[208].incoming.empty()


def line_up(day):
    """A fifo without members: the caller waits until a desk dials for it."""
    near = day.outside("line-in")
    near.wait(200)
    hears(near, MUSIC)
    far = day.call(201, "line-out")
    talk(near, far)
    near.hangup()
    far.wait_end(office.PATIENCE)
    assert day.esl.api("fifo count line").strip().split(":")[1:4] == ["0", "0", "0"]


def meet(day):
    """Three desks in conference; each is heard by the others."""
    calls = [day.call(who, "room") for who in (200, 201, 202)]
    until(lambda: day.esl.api("conference room get count") == "3", "three members")
    for speaker in calls:
        speaker.rtp.tone(NEAR)
        for other in calls:
            if other is not speaker:
                hears(other, NEAR)
        speaker.rtp.tone(0)
    for call in calls:
        call.hangup()


def test_a_day_in_the_office_leaves_nothing_behind(day):
    before = day.site.switch.sockets()
    for hour in (leave_and_hear, forward, pick_up, park, queue_up, line_up, meet, forward, pick_up, queue_again, leave_and_hear):
        hour(day)
    assert day.site.switch.wait_idle() == 0
    day.esl.api("status")                       # whatever was told before has come
    legs = collections.Counter(m.event["Unique-ID"] for m in day.esl.events if m.event.get("Event-Name") == "CHANNEL_CREATE")
    ends = collections.Counter(m.event["Unique-ID"] for m in day.esl.events if m.event.get("Event-Name") == "CHANNEL_HANGUP_COMPLETE")
    assert legs and legs == ends and set(legs.values()) == {1}
    assert day.esl.api("show channels count").strip() == "0 total."
    assert day.site.switch.sockets() <= before + 3
    assert day.desk.waiting() == []


def queue_again(day):
    """The same agents, whom the morning left logged out and on break."""
    near = day.outside("help", "last")
    near.wait(200)
    hears(near, MUSIC)
    day.desk.config("agent set status ben Available")
    converse(day, 209, near, "far")
    day.desk.config("agent set status ben 'Logged Out'")
    day.desk.wait_empty()
