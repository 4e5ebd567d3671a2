"""What one leg hears because of another begins, and ends: heard on both sides before, during and after."""
import pytest

from harness import audio
from harness.ear import FAR, FILE, MUSIC, NEAR, THIRD, TONE, bridged, caller, dial, hears, hears_nothing, run, talk


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """A file of one second of sound, shorter than what the tests wait for."""
    path = tmp_path_factory.mktemp("sounds") / "music.wav"
    audio.write_wav(path, audio.sine(FILE, 1))
    return path


def own_music(esl, uuid, other, music):
    for leg in (uuid, other):
        esl.api(f"uuid_setvar {leg} hold_music {music}")


# ---- a phone holds

HOLDS = {"sendonly": {"direction": "sendonly"}, "inactive": {"direction": "inactive"}, "nowhere": {"nowhere": True}}


@pytest.mark.parametrize("how", HOLDS)
@pytest.mark.parametrize("side", ("caller", "called"))
def test_music_ends_with_the_hold(site, esl, how, side):
    near, far, uuid, other = bridged(site, esl)
    own_music(esl, uuid, other, TONE)
    holder, held, voice, heard = (near, far, FAR, NEAR) if side == "caller" else (far, near, NEAR, FAR)
    holder.reinvite(**HOLDS[how])
    hears(held, MUSIC)
    hears_nothing(holder, held, MUSIC)
    holder.reinvite()
    hears(held, heard)
    hears(holder, voice)
    near.hangup()
    far.wait_end()


def test_music_ends_each_time(site, esl):
    near, far, uuid, other = bridged(site, esl)
    own_music(esl, uuid, other, TONE)
    for how in ("sendonly", "inactive"):
        far.reinvite(how)
        far.reinvite(how)           # said twice: held once
        hears(near, MUSIC)
        far.reinvite()
        talk(near, far)
    near.hangup()
    far.wait_end()


def test_music_does_not_begin_after_a_resume_that_came_first(site, esl):
    near, far, uuid, other = bridged(site, esl)
    own_music(esl, uuid, other, TONE)
    for _ in range(5):
        far.reinvite("sendonly")
        far.reinvite()
    talk(near, far)
    near.hangup()
    far.wait_end()


def test_both_may_hold_at_once(site, esl):
    near, far, uuid, other = bridged(site, esl)
    esl.api(f"uuid_setvar {uuid} hold_music {TONE}")
    esl.api(f"uuid_setvar {other} hold_music tone_stream://%(1000,0,{THIRD});loops=-1")
    far.reinvite("sendonly")
    hears(near, THIRD)
    near.reinvite("sendonly")
    far.reinvite()
    hears(far, MUSIC)
    near.reinvite()
    talk(near, far)
    near.hangup()
    far.wait_end()


def test_a_file_is_played_again_and_again_and_ends(site, esl, sound):
    near, far, uuid, other = bridged(site, esl)
    own_music(esl, uuid, other, sound)
    far.reinvite("sendonly")
    for _ in range(3):
        hears(near, FILE, frames=30)
    far.reinvite()
    talk(near, far)
    near.hangup()
    far.wait_end()


def test_a_stream_of_files_ends(site, esl, sound):
    (site.conf / "autoload_configs" / "local_stream.conf.xml").write_text(
        f'<configuration name="local_stream.conf"><directory name="moh" path="{sound.parent}"/></configuration>')
    assert esl.api("reloadxml").startswith("+OK")
    near, far, _, _ = bridged(site, esl)
    far.reinvite("sendonly")        # nothing said about music: local_stream://moh
    hears(near, FILE)
    far.reinvite()
    talk(near, far)
    near.hangup()
    far.wait_end()


@pytest.mark.parametrize("side", ("caller", "called"))
def test_who_holds_and_leaves_takes_the_music_along(site, esl, side):
    near, far, uuid, other = bridged(site, esl)
    own_music(esl, uuid, other, TONE)
    holder, held = (near, far) if side == "caller" else (far, near)
    holder.reinvite("sendonly")
    hears(held, MUSIC)
    holder.hangup()
    held.wait_end()


@pytest.mark.parametrize("side", ("caller", "called"))
def test_who_is_held_may_leave_while_music_plays(site, esl, side):
    near, far, uuid, other = bridged(site, esl)
    own_music(esl, uuid, other, TONE)
    holder, held = (near, far) if side == "caller" else (far, near)
    holder.reinvite("sendonly")
    hears(held, MUSIC)
    held.hangup()
    if holder is far:
        far.wait_end()
    else:                           # the caller's dialplan goes on behind the bridge
        esl.wait_event("CHANNEL_PARK", Unique_ID=uuid)
        near.hangup()


def test_a_held_caller_that_is_transferred_hears_where_it_went(site, esl):
    near, far, uuid, other = bridged(site, esl)
    own_music(esl, uuid, other, TONE)
    far.reinvite("sendonly")
    hears(near, MUSIC)
    run(esl, uuid, f"playback:tone_stream://%(60000,0,{THIRD})")
    hears(near, THIRD)
    far.wait_end()
    near.hangup()


# ---- commands and applications hold

def test_a_command_holds_and_resumes(site, esl):
    near, far, uuid, other = bridged(site, esl)
    own_music(esl, uuid, other, TONE)
    for on, off in ((f"uuid_hold {other}", f"uuid_hold off {other}"), (f"uuid_hold toggle {other}",) * 2):
        assert esl.api(on) == "+OK Success\n"
        hears(near, MUSIC)
        hears_nothing(far, near, MUSIC)
        assert esl.api(off) == "+OK Success\n"
        talk(near, far)
    near.hangup()
    far.wait_end()


def test_applications_hold_and_resume(site, esl):
    near, far, uuid, other = bridged(site, esl)
    own_music(esl, uuid, other, TONE)
    esl.execute(other, "hold")
    hears(near, MUSIC)
    esl.execute(other, "unhold")
    talk(near, far)
    near.hangup()
    far.wait_end()


def test_a_soft_hold_ends_with_its_key(site, esl):
    near, far, uuid, _ = bridged(site, esl)
    esl.execute(uuid, "soft_hold", f"9 tone_stream://%(1000,0,{THIRD});loops=-1 {TONE}")
    hears(near, THIRD)
    hears(far, MUSIC)
    near.rtp.digits("9")
    talk(near, far)
    near.hangup()
    far.wait_end()


def test_who_leaves_during_a_soft_hold_ends_it(site, esl):
    near, far, uuid, _ = bridged(site, esl)
    esl.execute(uuid, "soft_hold", f"9 {TONE} {TONE}")
    hears(far, MUSIC)
    near.hangup()
    far.wait_end()


# ---- broadcasts

@pytest.mark.parametrize("legs", ("aleg", "bleg", "both"))
def test_a_broadcast_is_heard_where_it_was_sent_and_a_break_ends_it(site, esl, legs):
    near, far, uuid, _ = bridged(site, esl)
    assert esl.api(f"uuid_broadcast {uuid} {TONE} {legs}") == "+OK Message sent\n"
    listeners = {"aleg": (near,), "bleg": (far,), "both": (near, far)}[legs]
    for listener in listeners:
        hears(listener, MUSIC)
    for other in {near, far}.difference(listeners):
        hears_nothing(other, listeners[0], MUSIC)
    esl.api(f"uuid_break {uuid} both")
    talk(near, far)
    near.hangup()
    far.wait_end()


def test_the_partner_hears_its_music_during_a_broadcast_and_no_longer(site, esl, sound):
    near, far, uuid, other = bridged(site, esl)
    own_music(esl, uuid, other, TONE)
    esl.api(f"uuid_broadcast {uuid} tone_stream://%(60000,0,{THIRD})")
    hears(near, THIRD)
    hears(far, MUSIC)
    esl.api(f"uuid_break {uuid}")
    talk(near, far)
    esl.api(f"uuid_broadcast {uuid} {sound} holdb")
    hears(far, MUSIC)
    talk(near, far)
    near.hangup()
    far.wait_end()


def test_the_music_of_a_broadcast_ends_with_the_leg_that_hears_it(site, esl):
    near, far, uuid, other = bridged(site, esl, after=())
    own_music(esl, uuid, other, TONE)
    esl.api(f"uuid_broadcast {other} tone_stream://%(60000,0,{THIRD})")
    hears(far, THIRD)
    hears(near, MUSIC)
    far.hangup()
    near.wait_end()


def test_a_break_ends_all_turns_of_a_message(site, esl, sound):
    near, uuid = caller(site, esl)
    esl.execute(uuid, "playback", str(sound), loops=-1)
    hears(near, FILE)
    esl.api(f"uuid_break {uuid}")
    done = esl.wait_event("CHANNEL_EXECUTE_COMPLETE", Unique_ID=uuid, Application="playback")
    assert done.event["Application-Data"] == str(sound)
    run(esl, uuid, "echo")
    near.rtp.tone(NEAR)
    hears(near, NEAR)
    near.hangup()


def test_a_break_of_all_forgets_what_waits(site, esl, sound):
    near, uuid = caller(site, esl)
    for hz in (MUSIC, THIRD, THIRD):
        esl.execute(uuid, "playback", f"tone_stream://%(60000,0,{hz})", event_lock="true")
    hears(near, MUSIC)
    esl.api(f"uuid_break {uuid} all")
    esl.execute(uuid, "playback", f"tone_stream://%(60000,0,{FAR})")
    hears(near, FAR)
    near.hangup()


# ---- displacing

def test_a_displaced_leg_hears_its_partner_again(site, esl, sound):
    near, far, uuid, _ = bridged(site, esl)
    assert esl.api(f"uuid_displace {uuid} start {TONE} 0 l") == "+OK Success\n"
    hears(near, MUSIC)
    hears(far, NEAR)
    assert esl.api(f"uuid_displace {uuid} stop {TONE}") == "+OK Success\n"
    talk(near, far)
    assert esl.api(f"uuid_displace {uuid} start {sound}") == "+OK Success\n"
    hears(near, FILE)
    talk(near, far)                 # the file is over
    near.hangup()
    far.wait_end()


# ---- ringing

def test_ringback_ends_with_the_answer(site, esl):
    near, uuid = caller(site, esl)
    phone = site.phone()
    run(esl, uuid, f"set:transfer_ringback=%(60000,0,{MUSIC})", "set:instant_ringback=true", f"bridge:{dial(phone)}", "park")
    far = phone.accept()
    hears(near, MUSIC)
    far.answer()
    talk(near, far)
    far.hangup()
    near.hangup()


@pytest.mark.parametrize("how", ("refused", "given up"))
def test_ringback_ends_with_the_attempt(site, esl, how):
    near, uuid = caller(site, esl)
    phone = site.phone()
    run(esl, uuid, "set:continue_on_fail=true", f"set:transfer_ringback=%(60000,0,{MUSIC})", "set:call_timeout=2" if how == "given up" else "set:x=y",
        f"bridge:{dial(phone)}", f"playback:tone_stream://%(60000,0,{THIRD})")
    far = phone.accept()
    far.ring()
    hears(near, MUSIC)
    if how == "refused":
        far.reject(486)
    else:
        far.wait_end()
    hears(near, THIRD)
    near.hangup()


def test_ringback_of_an_early_caller_ends_with_the_answer(site, esl):
    call, phone = site.phone().invite("ring"), site.phone()
    uuid = esl.wait_event("CHANNEL_PROGRESS").event["Unique-ID"]
    run(esl, uuid, f"set:ringback=%(60000,0,{MUSIC})", "set:hangup_after_bridge=true", f"bridge:{dial(phone)}")
    far = phone.accept()
    far.ring()
    call.wait(183)
    hears(call, MUSIC)
    far.answer()
    call.wait(200)
    talk(call, far)
    call.hangup()
    far.wait_end()


# ---- parking, valet, prompts

def test_park_ends_what_played_and_a_bridge_begins_clean(site, esl):
    near, far, uuid, other = bridged(site, esl)
    own_music(esl, uuid, other, TONE)
    far.reinvite("sendonly")
    hears(near, MUSIC)
    assert esl.api(f"uuid_park {uuid}") == "+OK\n"
    far.wait_end()
    esl.wait_event("CHANNEL_PARK", Unique_ID=uuid)
    third, taker = caller(site, esl)
    assert esl.api(f"uuid_bridge {uuid} {taker}").startswith("+OK")
    talk(near, third, (NEAR, THIRD))
    near.hangup()
    third.wait_end()


def test_a_parked_caller_hears_music_until_it_is_picked_up(site, esl):
    near, uuid = caller(site, esl)
    run(esl, uuid, f"set:valet_hold_music={TONE}", "valet_park:garage 71")
    hears(near, MUSIC)
    second, other = caller(site, esl)
    run(esl, other, "valet_park:garage 71")
    talk(near, second)
    near.hangup()
    second.wait_end()


def test_a_prompt_cut_short_by_a_key_is_over(site, esl):
    near, uuid = caller(site, esl)
    run(esl, uuid, f"play_and_get_digits:1 1 1 5000 # tone_stream://%(60000,0,{MUSIC}) silence typed .",
        f"read:1 1 tone_stream://%(60000,0,{FAR}) more 5000 #", "echo")
    near.rtp.tone(NEAR)
    hears(near, MUSIC)
    near.rtp.digits("5")
    hears(near, FAR)
    near.rtp.digits("6")
    hears(near, NEAR)
    assert [esl.api(f"uuid_getvar {uuid} {name}") for name in ("typed", "more")] == ["5", "6"]
    near.hangup()


def test_a_transfer_ends_what_plays(site, esl):
    near, uuid = caller(site, esl)
    run(esl, uuid, f"playback:{TONE}")
    hears(near, MUSIC)
    run(esl, uuid, "echo")
    near.rtp.tone(NEAR)
    hears(near, NEAR)
    near.hangup()


def test_a_file_that_is_stopped_gives_the_leg_back(site, esl):
    near, far, uuid, _ = bridged(site, esl)
    esl.api(f"uuid_broadcast {uuid} {TONE} aleg")
    hears(near, MUSIC)
    assert esl.api(f"uuid_fileman {uuid} stop").startswith("+OK")
    talk(near, far)
    near.hangup()
    far.wait_end()


# ---- others join and take over

def test_who_listens_hears_music_and_then_the_call(site, esl):
    near, far, uuid, other = bridged(site, esl)
    own_music(esl, uuid, other, TONE)
    third, spy = caller(site, esl)
    run(esl, spy, f"eavesdrop:{uuid}")
    far.reinvite("sendonly")
    hears(near, MUSIC)
    far.reinvite()
    talk(near, far)
    near.rtp.tone(0)
    hears(third, FAR)
    third.hangup()
    near.hangup()
    far.wait_end()


def test_a_held_call_that_is_intercepted_hears_its_new_partner(site, esl):
    near, far, uuid, other = bridged(site, esl)
    own_music(esl, uuid, other, TONE)
    far.reinvite("sendonly")
    hears(near, MUSIC)
    third, taker = caller(site, esl)
    run(esl, taker, f"intercept:{uuid}")
    far.wait_end()
    talk(near, third, (NEAR, THIRD))
    near.hangup()
    third.wait_end()


def test_a_consultation_ends_and_all_hear_each_other_again(site, esl):
    near, far, uuid, other = bridged(site, esl)
    phone = site.phone()
    esl.api(f"uuid_setvar {other} transfer_ringback %(60000,0,{MUSIC})")
    esl.execute(other, "att_xfer", dial(phone))
    third = phone.accept()
    third.ring()
    hears(far, MUSIC)
    third.answer()
    talk(far, third, (FAR, THIRD))
    far.rtp.digits("#")
    third.wait_end()
    talk(near, far)
    near.hangup()
    far.wait_end()


def test_a_lonely_member_hears_music_until_another_comes(site, esl):
    (site.conf / "autoload_configs" / "conference.conf.xml").write_text(
        f'''<configuration name="conference.conf"><profiles><profile name="music"><param name="rate" value="8000"/>
        <param name="moh-sound" value="{TONE}"/></profile></profiles></configuration>''')
    assert esl.api("reloadxml").startswith("+OK")
    assert "+OK" in esl.api("load mod_conference")
    near, uuid = caller(site, esl)
    run(esl, uuid, "conference:room@music")
    hears(near, MUSIC)
    far, other = caller(site, esl)
    run(esl, other, "conference:room@music")
    talk(near, far)
    far.hangup()
    hears(near, MUSIC)
    near.hangup()
