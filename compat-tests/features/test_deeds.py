"""What is said to have been done has been done, and what was not is said."""
import pytest

from harness.ear import FAR, NEAR, bridged, caller, hears, run, talk


def nothing_began(esl, names=("RECORD_START", "MEDIA_BUG_START", "RECORD_STOP")):
    """No such event came before the one that is fired now."""
    esl.command("sendevent CUSTOM\nEvent-Subclass: marked")
    esl.wait_event("CUSTOM", Event_Subclass="marked")
    began = [m.event["Event-Name"] for m in esl.events if m.event.get("Event-Name") in names]
    assert not began, began


@pytest.mark.parametrize("name", ("file.xyz", "file.flac", "file", "no-folder\0", "ftp://127.0.0.1/x.wav"))
def test_what_cannot_be_recorded_is_refused(site, esl, name):
    if name.endswith("\0"):
        (site.where / "is-a-file").write_text("")
        name = "is-a-file/x.wav"
    path = name if "://" in name else site.where / name
    call, uuid = caller(site, esl)
    assert esl.api(f"uuid_record {uuid} start {path}") == "-ERR Cannot record session!\n"
    assert esl.api(f"uuid_record {uuid} stop {path}") == "-ERR Cannot stop record session!\n"
    run(esl, uuid, f"record_session:{path}", "park")
    esl.wait_event("CHANNEL_PARK", Unique_ID=uuid)
    nothing_began(esl)
    assert "://" in name or not path.exists()
    run(esl, uuid, f"record:{path} 2", "park")
    ended = esl.wait_event("CHANNEL_HANGUP", Unique_ID=uuid).event
    assert ended["Hangup-Cause"] == "DESTINATION_OUT_OF_ORDER"
    nothing_began(esl)
    call.wait_end()


def test_a_call_may_end_with_what_cannot_be_recorded(site, esl):
    call, uuid = caller(site, esl)
    run(esl, uuid, "set:RECORD_HANGUP_ON_ERROR=true", f"record_session:{site.where}/file.xyz", "park")
    call.wait_end()
    assert esl.wait_event("CHANNEL_HANGUP", Unique_ID=uuid).event["Hangup-Cause"] == "DESTINATION_OUT_OF_ORDER"


def test_levels_change_only_by_a_whole_command(site, esl):
    near, far, uuid, _ = bridged(site, esl)
    for wrong in ("", f"{uuid}", f"{uuid} start", f"{uuid} start read", f"{uuid} start read mute", f"{uuid} start both mute 1",
                  f"{uuid} start read loud 1", f"{uuid} begin read mute 1"):
        assert esl.api(f"uuid_audio {wrong}") == "-USAGE: <uuid> [start [read|write] [mute|level <level>]|stop]\n", wrong
    talk(near, far)
    assert esl.api(f"uuid_audio nobody start read mute 1") == "-ERR No such channel!\n"
    assert esl.api(f"uuid_audio {uuid} start read mute 1") == "+OK\n"
    since = len(far.rtp.packets)
    far.rtp.wait_packets(since + 60)
    assert max(map(abs, far.rtp.samples(since + 30))) < 200
    assert esl.api(f"uuid_audio {uuid} stop") == "+OK\n"
    hears(far, NEAR)
    hears(near, FAR)
    near.hangup()
    far.wait_end()


def test_commands_say_what_they_did_not_do(site, esl):
    call, uuid = caller(site, esl)
    for command, reply in (
        (f"uuid_media {uuid}", "-ERR Operation failed\n"),              # it is here already
        ("uuid_media off nobody", "-ERR Operation failed\n"),
        (f"uuid_hold off {uuid}", "-ERR Operation failed\n"),           # it is not held
        (f"uuid_displace {uuid} start {site.where}/missing.wav", "-ERR Cannot displace session!\n"),
        (f"uuid_displace {uuid} stop {site.where}/missing.wav", "-ERR Cannot stop displace session!\n"),
        (f"uuid_fileman {uuid} stop", "-ERR No file handle!\n"),
        (f"uuid_bridge {uuid} nobody", "-ERR Invalid uuid\n"),
        (f"uuid_bridge {uuid} {uuid}", "-ERR Invalid uuid\n"),
        (f"uuid_transfer {uuid} -bleg park", "-ERR\n"),                 # there is no such leg
        ("uuid_broadcast nobody x.wav", "-ERR invalid uuid\n"),
        ("uuid_xfer_zombie nobody", "-ERR Operation Failed\n"),
        (f"uuid_record {uuid} mask {site.where}/x.wav", "-ERR Cannot mask recording session!\n"),
        (f"uuid_record {uuid} pause {site.where}/x.wav", "-ERR Cannot pause recording session!\n"),
        (f"uuid_phone_event {uuid} a:b", "-ERR Operation failed\n"),
        ("sched_transfer +1 nobody park", "-ERR No such channel!\n"),
        ("sched_hangup +1 nobody", "-ERR No such channel!\n"),
        ("unsched_api 4711", "-ERR No such id\n"),
        ("sofia profile nobody restart", "Invalid Profile [nobody]"),
        ("sofia profile open killgw nobody", "-ERR no such gateway.\n"),
        ("sofia profile open register nobody", "Invalid gateway!\n"),
    ):
        assert esl.api(command) == reply, command
    assert esl.api("load mod_nothing").endswith("-ERR [module load file routine returned an error]\n")
    assert esl.api("unload mod_nothing").startswith("-ERR [")
    assert esl.api("sofia profile nobody start").endswith("Failure starting nobody\n")
    run(esl, uuid, "echo")
    call.rtp.tone(NEAR)
    hears(call, NEAR)
    call.hangup()


def test_what_has_no_effect_is_not_called_done(site, esl):
    call, uuid = caller(site, esl)
    assert esl.api(f"uuid_debug_media {uuid} both on") == "-ERR Operation failed\n"
    assert esl.api(f"uuid_preprocess {uuid} agc=1") == "-ERR Operation failed\n"
    assert esl.api(f"uuid_recovery_refresh {uuid} x") == "+OK:(null)\n"
    run(esl, uuid, "playback:tone_stream://%(60000,0,500)")
    esl.wait_event("PLAYBACK_START", Unique_ID=uuid)
    assert esl.api(f"uuid_fileman {uuid} truncate") == "-ERR Operation failed\n"
    assert esl.api(f"uuid_fileman {uuid} pause") == "+OK\n"
    assert esl.api("originate null/x &park").startswith("+OK")
    other = esl.wait_event("CHANNEL_PARK", Channel_Name="null/x").event["Unique-ID"]
    assert esl.api(f"uuid_deflect {other} sip:a@b") == "+OK:failure\n"
    assert esl.api(f"uuid_send_info {other} text plain hello") == "-ERR Operation Failed\n"
    assert esl.api("hupall").startswith("+OK")
    call.wait_end()
