"""What desk phones' keys do: pages to many phones, lamps of parking slots, do-not-disturb and forwarding that a program keeps."""
import pytest
from conftest import settled, shared_site
from harness import audio, office, tree
from harness.ear import FILE, MUSIC, NEAR, caller, dial, hears, run, talk
from harness.services import until

BEEP = 620              # Hz, what a speaker hears first
SLOTS = "test.example"  # the domain of the small tree


def with_lamps(block, where):
    """The small tree, whose profiles take subscriptions, and a parking lot."""
    conf = tree.small(block, where)
    for profile in ("open", "auth"):
        more = '\n    <param name="auth-subscriptions" value="false"/>' if profile == "open" else ""
        tree.patch(conf / f"sip_profiles/{profile}.xml", {r'"manage-presence" value="false"/>': f'"manage-presence" value="true"/>{more}'})
    office.with_extensions(conf, {
        "slot-(\\w+)": [("answer", ""), ("set", f"valet_hold_music=tone_stream://%(1000,0,{MUSIC});loops=-1"), ("valet_park", "garage $1")],
    })
    return conf


with_lamps.needs_trees = False
server = shared_site(with_lamps)


@pytest.fixture
def site(server):
    yield from settled(server)


# ---- pages

def test_what_a_speaker_says_is_played_to_all_phones_and_then_gone(site, esl):
    near, uuid = caller(site, esl)
    near.rtp.tone(NEAR)
    phones = [site.phone(), site.phone()]
    targets = ":_:".join(map(dial, phones))
    run(esl, uuid, "set:page_record_limit=2", f"page:<paged=yes>{targets}", "park")
    near.rtp.wait_tone(BEEP, seconds=0.3)
    calls = [phone.accept(office.PATIENCE) for phone in phones]
    for call in calls:
        call.answer()
    for call in calls:
        call.rtp.wait_tone(NEAR, seconds=1)
        call.wait_end(office.PATIENCE)
    for _ in calls:
        over = esl.wait_event("CHANNEL_HANGUP_COMPLETE", Call_Direction="outbound").event
        assert over["variable_paged"] == "yes"
        path = over["variable_page_file"]
    assert path.endswith(f"/{uuid}.wav")
    until(lambda: not esl.api(f"file_exists {path}").startswith("true"), "the end of the recording")
    near.hangup()


def test_phones_are_called_a_few_at_a_time(site, esl):
    path = site.where / "page.wav"
    audio.write_wav(path, audio.sine(FILE, 1.5))
    first, second = site.phone(), site.phone()
    esl.api(f"page (page_path={path},page_chunk_size=1){dial(first)}:_:{dial(second)}")
    call = first.accept(office.PATIENCE)
    call.answer()
    call.rtp.wait_tone(FILE, seconds=0.5)
    assert second.incoming.empty()
    call.wait_end(office.PATIENCE)
    call = second.accept(office.PATIENCE)
    call.answer()
    call.rtp.wait_tone(FILE, seconds=0.5)
    call.wait_end(office.PATIENCE)
    assert path.exists()


def test_a_phone_that_refuses_does_not_keep_the_page_from_others(site, esl):
    path = site.where / "page.wav"
    audio.write_wav(path, audio.sine(FILE, 1.5))
    near, uuid = caller(site, esl)
    first, second = site.phone(), site.phone()
    run(esl, uuid, f"set:page_path={path}", "set:page_chunk_size=1", f"page:{dial(first)}:_:{dial(second)}", "park")
    first.accept(office.PATIENCE).reject(486, "Busy")
    call = second.accept(office.PATIENCE)
    call.answer()
    call.rtp.wait_tone(FILE, seconds=0.5)
    call.wait_end(office.PATIENCE)
    near.hangup()


@pytest.mark.parametrize("command,reply", [
    ("page", "-ERR no data"), ("page sofia/open/x@127.0.0.1", "-ERR no reply\n"), ("page (page_path=/nowhere.wav)sofia/open/x@127.0.0.1", "-ERR no reply\n")])
def test_a_page_that_cannot_be_calls_nobody(site, esl, command, reply):
    assert esl.api(command) == reply


# ---- lamps

def test_a_slots_lamp_is_lit_while_a_call_is_parked_in_it(site, esl):
    watch = office.Watch(site.phone(), "dialog", f"park+71@{SLOTS}")
    assert watch.answer.status == 202
    near = site.phone().invite("slot-71")
    near.wait(200)
    hears(near, MUSIC)
    assert '<dialog id="71"' in watch.until("<state>confirmed</state>").body
    # Who subscribes later is told too, by an answer to its question.
    late = office.Watch(site.phone(), "dialog", f"park+71@{SLOTS}")
    late.until("<state>confirmed</state>")
    note = office.Watch(site.phone(), "presence", f"park+garage@{SLOTS}")
    note.until(r"<dm:note>Active \(1 caller\)</dm:note>")
    far = site.phone().invite("slot-71")
    far.wait(200)
    talk(near, far)
    for lamp in (watch, late):
        lamp.until("<state>terminated</state>")
    near.hangup()
    far.wait_end()


def test_a_slots_lamp_goes_out_when_the_caller_gives_up(site, esl):
    watch = office.Watch(site.phone(), "dialog", f"park+72@{SLOTS}")
    near = site.phone().invite("slot-72")
    near.wait(200)
    watch.until("<state>confirmed</state>")
    near.hangup()
    watch.until("<state>terminated</state>")


def test_presence_is_told_by_command(site, esl):
    watch = office.Watch(site.phone(), "presence", "100@example.com")
    assert esl.api("presence in 100@example.com away Lunch") == "Event Sent"
    assert "<rpid:away/>" in watch.until("<dm:note>Lunch</dm:note>").body
    told = esl.wait_event("PRESENCE_IN", proto="dp").event
    assert (told["rpid"], told["status"], told["from"]) == ("away", "Lunch", "100@example.com")
    for wrong in ("", "in 100@example.com away", "up x y z"):
        assert esl.api(f"presence {wrong}".strip()) == "Invalid: presence [in|out] <user> <rpid> <message>"


# ---- features

def keyed(site, user="1000", password="one-thousand"):
    return site.phone(tree.AUTH, user=user, password=password, domain=SLOTS)


def wish(kind, **elements):
    inside = "".join(f"<{name}>{value}</{name}>" for name, value in elements.items())
    return f'<?xml version="1.0" encoding="ISO-8859-1"?><{kind} xmlns="http://www.ecma-international.org/standards/ecma-323/csta/ed3">{inside}</{kind}>'


def test_do_not_disturb_goes_from_the_phone_to_a_program_and_back(site, esl):
    watch = office.Watch(keyed(site), "as-feature-event", f"1000@{SLOTS}", wish("SetDoNotDisturb", device="1000", doNotDisturbOn="true"))
    assert watch.answer.status in (200, 202)
    asked = esl.wait_event("PHONE_FEATURE_SUBSCRIBE").event
    assert (asked["user"], asked["host"], asked["profile_name"], asked["expires"]) == ("1000", SLOTS, "auth", "300")
    assert (asked["Feature-Action"], asked["Feature-Enabled"], asked["device"]) == ("SetDoNotDisturb", "true", "1000")
    esl.command(f"sendevent PHONE_FEATURE\nprofile: auth\nuser: 1000\nhost: {SLOTS}\ndevice: 1000\nFeature-Event: DoNotDisturbEvent\ndoNotDisturbOn: true")
    told = watch.until("<doNotDisturbOn>true</doNotDisturbOn>")
    assert (told["event"], told["content-type"]) == ("as-feature-event", "application/x-as-feature-event+xml")
    assert told["subscription-state"].startswith("active")


def test_a_phone_that_starts_learns_all_its_features(site, esl):
    watch = office.Watch(keyed(site), "as-feature-event", f"1000@{SLOTS}")
    asked = esl.wait_event("PHONE_FEATURE_SUBSCRIBE").event
    assert "Feature-Action" not in asked
    other = office.Watch(keyed(site, "1001", "one-thousand-one"), "as-feature-event", f"1001@{SLOTS}")
    esl.command(f"sendevent PHONE_FEATURE\nprofile: auth\nuser: 1000\nhost: {SLOTS}\ncall-id: {asked['call-id']}\nFeature-Event: init\n"
                "forward_immediate: 200\nforward_immediate_enabled: true\ndoNotDisturbOn: false")
    told = watch.until("<forwardTo>200</forwardTo>")
    assert told["content-type"].startswith("multipart/mixed") and "<doNotDisturbOn>false</doNotDisturbOn>" in told.body
    assert f"Content-ID: <1000i@{SLOTS}>" in told.body
    assert other.told.empty()


def test_forwarding_is_set_from_the_phone(site, esl):
    office.Watch(keyed(site), "as-feature-event", f"1000@{SLOTS}",
                 wish("SetForwarding", device="1000", forwardingType="forwardNoAns", activateForward="true", forwardDN="200", ringCount="4"))
    asked = esl.wait_event("PHONE_FEATURE_SUBSCRIBE").event
    assert asked["Feature-Action"] == "SetCallForward"
    assert (asked["Action-Name"], asked["Action-Value"], asked["ringCount"]) == ("forward_no_answer", "200", "4")


def test_only_the_user_may_watch_and_change_its_features(site, esl):
    assert site.phone().ask("SUBSCRIBE", f"sip:1000@{SLOTS}", ["Event: as-feature-event", "Expires: 300"]).status in (401, 403)
    phone = keyed(site, "1001", "one-thousand-one")
    phone.user = "1001"
    said = phone.request
    phone.request = lambda method, uri, call_id, cseq, from_, to, *rest, **more: said(method, uri, call_id, cseq, from_.replace("1001@", "1000@"), to, *rest, **more)
    assert phone.ask("SUBSCRIBE", f"sip:1000@{SLOTS}", ["Event: as-feature-event", "Expires: 300"]).status == 403


# ---- picking up

def test_a_ringing_call_is_taken_at_another_desk(site, esl):
    near, uuid = caller(site, esl)
    rings, taker = site.phone(), site.phone()
    run(esl, uuid, f"bridge:{dial(rings)}")
    far = rings.accept(office.PATIENCE)
    far.ring()
    other, own = caller(site, esl, phone=taker)
    run(esl, own, f"intercept:{uuid}")
    far.until(lambda p: p.method == "CANCEL", "CANCEL", office.PATIENCE)
    talk(near, other)
    ended = esl.wait_event("CHANNEL_HANGUP_COMPLETE", Call_Direction="outbound").event
    assert ended["Hangup-Cause"] == "PICKED_OFF"
    near.hangup()
    other.wait_end(office.PATIENCE)


def test_a_lamp_follows_a_call_through_hold(site, esl):
    """Ringing, answered, held, taken back, over: each is told to the subscriber of the desk."""
    watch = office.Watch(site.phone(), "dialog", f"100@{SLOTS}")
    near, uuid = caller(site, esl)
    phone = site.phone()
    run(esl, uuid, f"bridge:[presence_id=100@{SLOTS}]{dial(phone)}")
    far = phone.accept(office.PATIENCE)
    far.ring()
    watch.until("<state>early</state>")
    far.answer()
    assert 'pvalue="yes"' in watch.until("<state>confirmed</state>").body
    far.reinvite("sendonly")
    assert 'pvalue="no"' in watch.until("<state>early</state>").body        # as a held call is shown unless told otherwise
    far.reinvite("sendrecv")
    assert 'pvalue="yes"' in watch.until("<state>confirmed</state>").body
    near.hangup()
    watch.until("<state>terminated</state>")
