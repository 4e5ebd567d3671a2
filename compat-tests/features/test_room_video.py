"""Video of conferences between phones: who is shown whom, what commands and talking change, and that audio stays as it is."""
import re

import pytest

from harness import audio, office, tree
from harness.camera import Camera
from harness.ear import FAR, NEAR, THIRD, caller, hears, run, talk

ROOMS = """<configuration name="conference.conf"><profiles><profile name="default"><param name="rate" value="8000"/>
<param name="energy-level" value="300"/><param name="video-mode" value="passthrough"/><param name="video-max-pictures" value="9"/></profile></profiles></configuration>"""
DIALPLAN = """
  <extension name="studio"><condition field="destination_number" expression="^studio$">
    <action application="answer"/><action application="conference" data="studio"/></condition></extension>
"""


def prepare(site):
    """The room and the way to it, in the site's configuration."""
    (site.conf / "autoload_configs" / "conference.conf.xml").write_text(ROOMS)
    plan = site.conf / "dialplan/public.xml"
    if "studio" not in plan.read_text():
        tree.patch(plan, {r'(?<=<context name="public">)': DIALPLAN.replace("\\", r"\\")})


def enter(site, esl, name, **more):
    """A phone with a camera in the room: its call, its number, its camera."""
    camera = Camera(name, **more)
    call = site.phone().admitted("studio", sdp=camera.sdp)
    camera.hear_answer(call.wait(200).body)
    event = esl.wait_event("CUSTOM", Event_Subclass="conference::maintenance", Action="add-member").event
    esl.wait_event("CUSTOM", Action="video-floor-change", New_ID=event["Member-ID"])
    return call, event["Member-ID"], camera, event["Unique-ID"]


@pytest.fixture
def studio(site, esl):
    prepare(site)
    assert esl.api("reloadxml").startswith("+OK")
    assert "Module already loaded" in (said := esl.api("load mod_conference")) or "+OK" in said
    cameras = []

    def enter_as(name, **more):
        inside = enter(site, esl, name, **more)
        cameras.append(inside[2])
        return inside
    yield enter_as
    for camera in cameras:
        camera.close()


def floor(esl):
    return esl.wait_event("CUSTOM", Event_Subclass="conference::maintenance", Action="video-floor-change").event


def test_all_see_who_has_the_floor_and_that_one_sees_the_one_before(site, esl, studio):
    one, first, red, _ = studio("red")
    red.sees("red")                                     # who is alone sees itself
    two, second, blue, _ = studio("blue", pt=101)
    red.sees("blue")
    blue.sees("red")
    three, third, green, uuid = studio("green", pt=120)
    phone, plain = caller(site, esl)
    run(esl, plain, "conference:studio")
    blue.sees("green")
    green.sees("blue")
    # Talking moves the floor, of voices and of pictures.
    for call in (two, three, one):
        call.rtp.tone(0)
    one.rtp.tone(NEAR)
    event = esl.wait_event("CUSTOM", Action="video-floor-change", New_ID=first).event
    assert event["Old-ID"] == third and "Conference-Name" in event
    for camera in (blue, green):
        camera.sees("red")
    red.sees("green")
    hears(phone, NEAR)
    listed = {line.split(";")[0]: line.split(";")[5] for line in esl.api("conference studio list").splitlines()}
    assert listed[first].split("|") == ["hear", "speak", "talking", "video", "floor", "vid-floor"], listed
    assert "video" in listed[third].split("|") and "vid-floor" not in listed[third]
    assert not [flags for number, flags in listed.items() if number not in (first, second, third) and "vid" in flags]
    assert f"watches   shown member {first}" in esl.api(f"explain media {uuid}")

    # A command holds it, also while others talk.
    assert esl.api(f"conference studio vid-floor {second}") == f"-ERR floor is held by {first}\n"
    assert esl.api(f"conference studio vid-floor {second} force") == f"+OK floor {second}\n"
    assert floor(esl)["New-ID"] == second
    red.sees("blue")
    green.sees("blue")
    one.rtp.tone(0)
    three.rtp.tone(THIRD)
    hears(phone, THIRD)
    red.sees("blue")
    assert esl.api("conference studio clear-vid-floor") == "+OK floor Cleared\n"
    three.rtp.tone(0)
    esl.wait_event("CUSTOM", Action="stop-talking", Member_ID=third)
    three.rtp.tone(THIRD)
    esl.wait_event("CUSTOM", Action="start-talking", Member_ID=third)

    # Who leaves is followed by another, and the others go on.
    assert esl.api(f"conference studio vid-floor {second} force").startswith("+OK floor")
    two.hangup()
    assert floor(esl)["New-ID"] in (first, third)
    green_or_red = red if floor_of(esl) == third else green
    green_or_red.sees("green" if floor_of(esl) == third else "red")
    hears(phone, THIRD)
    for camera in (red, green):
        camera.one_stream()
    for call in (one, three, phone):
        call.hangup()


def floor_of(esl):
    lines = esl.api("conference studio list").splitlines()
    return next(line.split(";")[0] for line in lines if "vid-floor" in line.split(";")[5])


def ports(answer):
    assert answer.status == 200, answer.start
    return [int(port) for port in re.findall(r"^m=video (\d+)", answer.body, re.M)]


def test_further_lines_show_the_others_each_in_its_place(site, esl, studio):
    one, first, red, _ = studio("red")
    two, second, blue, _ = studio("blue", pt=101)
    three, third, green, _ = studio("green", pt=120)
    left, right = screens = Camera("left"), Camera("right")
    left.films = right.films = False
    call, fourth, own, uuid = studio("own")

    def more(*flows):
        return own.sdp(call) + "".join(screen.line(flow) for screen, flow in zip(screens, flows))
    assert 0 not in ports(call.reinvite(sdp=more("recvonly", "recvonly")))
    own.sees("green")                                   # who had the floor before
    left.sees("red")
    right.sees("blue")
    said = esl.api(f"explain media {uuid}")
    assert f"watches   shown member {third}" in said and f"and       member {first}, member {second}" in said, said
    # Who is seen on the first line is on no other; the rest stay where they are.
    assert esl.api(f"conference studio vid-floor {first} force") == f"+OK floor {first}\n"
    for screen, name in ((own, "red"), (left, "green"), (right, "blue")):
        screen.sees(name)
    assert esl.api(f"conference studio vmute {second}").startswith("+OK")
    right.sees_nothing()
    left.sees("green")
    assert esl.api(f"conference studio unvmute {second}").startswith("+OK")
    right.sees("blue")
    three.hangup()
    left.sees_nothing()
    right.sees("blue")
    own.sees("red")
    # A line that is put away keeps its port; one that is wanted again is filled again.
    before = ports(call.reinvite(sdp=more("recvonly", "inactive")))
    right.sees_nothing()
    left.sees("blue")
    assert ports(call.reinvite(sdp=more("inactive", "recvonly"))) == before
    left.sees_nothing()
    right.sees("blue")
    for screen in (own, left, right):
        screen.one_stream()
    # Outside of rooms there is no use for them.
    assert esl.api(f"uuid_transfer {uuid} echo inline").startswith("+OK")
    right.sees_nothing()
    talk_alone(call)
    for end in (one.hangup, two.hangup, call.hangup, left.close, right.close):
        end()


def talk_alone(call):
    call.rtp.tone(THIRD)
    hears(call, THIRD)


def test_further_lines_are_declined_outside_of_rooms_and_where_the_room_takes_one_picture(fresh):
    prepare(fresh)
    rooms = fresh.conf / "autoload_configs" / "conference.conf.xml"
    tree.patch(rooms, {'"video-max-pictures" value="9"': '"video-max-pictures" value="2"'})
    fresh.start()
    esl = next(listening := office.listening(fresh, "ALL"))
    assert "+OK" in esl.api("load mod_conference")
    screens = [Camera("a"), Camera("b")]
    lines = "".join(screen.line("recvonly") for screen in screens)
    camera = Camera("own")
    call = fresh.phone().admitted("studio", sdp=lambda call: camera.sdp(call) + lines)
    first, *others = ports(call.wait(200))
    assert first and others == [0, 0]
    esl.wait_event("CUSTOM", Action="video-floor-change")
    first, *others = ports(call.reinvite(sdp=camera.sdp(call) + lines))
    assert first and others[0] and others[1] == 0
    for end in (call.hangup, camera.close, listening.close, *(screen.close for screen in screens)):
        end()


def test_pictures_are_hidden_blinded_held_and_come_back(site, esl, studio):
    one, first, red, _ = studio("red")
    two, second, blue, _ = studio("blue")
    talk(one, two)
    assert esl.api(f"conference studio vid-floor {first} force") == f"+OK floor {first}\n"
    blue.sees("red")
    for hide, show, action in ((f"vmute {first}", f"unvmute {first}", "vmute"), (f"vblind {second}", f"unvblind {second}", "vblind"),
                               (f"hold {first}", f"unhold {first}", "hold"), (f"tvmute {first}", f"tvmute {first}", "vmute")):
        said = esl.api(f"conference studio {hide}")
        assert said == f"+OK {hide.removeprefix('t')}\n", said
        event = esl.wait_event("CUSTOM", Action=f"{action}-member").event
        assert event["Video"] == "true" and (action != "vmute" or event["See"] == "false")
        blue.sees_nothing()
        assert esl.api(f"conference studio {show}").startswith("+OK un")
        blue.sees("red")
    talk(one, two)
    assert esl.api(f"conference studio vmute-snap {first}") == esl.api("conference studio vid-layout 2x2") == "-ERR Conference is not in mixing mode\n"
    assert esl.api(f"conference studio vid-banner {first} text") == "-ERR Conference is not in mixing mode\n"
    for call in (one, two):
        call.hangup()


def test_another_codec_is_neither_shown_nor_shows(fresh):
    prepare(fresh)
    tree.patch(fresh.conf / "sip_profiles/open.xml", {"PCMU,PCMA,OPUS,VP8": "PCMU,PCMA,OPUS,VP8,H264"})
    fresh.start()
    esl = next(listening := office.listening(fresh, "ALL"))
    assert "+OK" in esl.api("load mod_conference")
    one, first, red, _ = enter(fresh, esl, "red")
    two, second, other, uuid = enter(fresh, esl, "other", codec="H264", pt=97)
    assert esl.api(f"conference studio vid-floor {first} force") == f"+OK floor {first}\n"
    other.sees_nothing()
    red.sees("red")
    said = esl.api(f"explain media {uuid}")
    assert f"! member {first} sends VP8, this one takes H264" in said, said
    talk(one, two)
    for end in (one.hangup, two.hangup, red.close, other.close, listening.close):
        end()


def test_a_camera_that_is_switched_off_gives_the_floor_away_and_comes_back(site, esl, studio):
    one, first, red, _ = studio("red")
    two, second, blue, _ = studio("blue")
    red.sees("blue")
    answer = two.reinvite(sdp=blue.sdp(two, "recvonly"))
    assert answer.status == 200
    blue.films = False
    assert floor(esl)["New-ID"] == first
    blue.sees("red")
    red.sees("red")
    answer = two.reinvite(sdp=blue.sdp(two))
    blue.films = True
    assert floor(esl)["New-ID"] == second
    red.sees("blue")
    blue.sees("red")
    talk(one, two)
    for camera in (red, blue):
        camera.one_stream()
    for call in (one, two):
        call.hangup()


def test_audio_is_right_through_hold_transfer_and_in_the_recording(site, esl, studio):
    one, first, red, uuid = studio("red")
    two, second, blue, other = studio("blue")
    recording = site.where / "studio.wav"
    assert esl.api(f"conference studio record {recording}").startswith("+OK")
    for speaker, hz, listener in ((one, NEAR, two), (two, FAR, one)):
        one.rtp.tone(0), two.rtp.tone(0)
        speaker.rtp.tone(hz)
        hears(listener, hz)
    talk(one, two)
    assert one.reinvite(sdp=red.sdp(one, "sendonly")).status == 200
    assert one.reinvite(sdp=red.sdp(one)).status == 200
    talk(one, two)
    red.sees("blue")
    blue.sees("red")
    # Into another room, and to a plain application.
    assert esl.api(f"conference studio transfer other {first}").startswith("+OK")
    blue.sees("blue")
    assert esl.api(f"conference studio transfer other {second}").startswith("+OK")
    red.sees("blue")
    talk(one, two)
    assert esl.api(f"uuid_transfer {uuid} echo inline").startswith("+OK")
    one.rtp.tone(THIRD)
    hears(one, THIRD)
    for call in (one, two):
        call.hangup()
    samples, rate = audio.read_wav(recording)
    assert audio.seconds_of(NEAR, samples, rate) > 0.2 and audio.seconds_of(FAR, samples, rate) > 0.2
