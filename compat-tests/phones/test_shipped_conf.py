"""What a user gets who starts it for the first time: the shipped configuration, two phones, the demo numbers."""
import time

import pytest

from conftest import settled, shared_site
from harness import tree

server = shared_site(tree.shipped)


@pytest.fixture
def site(server):
    yield from settled(server)


@pytest.fixture
def password(site):
    """The one made at first start, as the documentation says to find it."""
    password = site.switch.api("global_getvar default_password").strip()
    assert len(password) >= 12 and password == (site.where / "db/generated_password").read_text().strip()
    return password


@pytest.fixture
def phone(site, password):
    return site.phone(tree.INTERNAL, user="1000", password=password)


@pytest.mark.quick
def test_two_phones_register_and_talk(site, password, phone):
    other = site.phone(tree.INTERNAL, user="1001", password=password)
    assert phone.register().status == other.register().status == 200
    call = phone.invite("1001")
    there = other.accept()
    there.ring()
    call.until(lambda p: p.status in (180, 183), "ringing")      # 183: the dialplan sets a ringback tone
    there.answer()
    call.wait(200)
    call.rtp.tone(440), there.rtp.tone(700)
    call.rtp.wait_tone(700), there.rtp.wait_tone(440)
    call.hangup()
    there.wait_end()
    assert phone.register(expires=0).status == other.register(expires=0).status == 200


def test_a_password_guessed_from_the_internet_is_refused(site):
    for guess in ("1234", "1000", "ClueCon", ""):
        assert site.phone(tree.INTERNAL, user="1000", password=guess).register().status in (401, 403)


@pytest.mark.parametrize("number, hz", [("9197", 1004), ("9198", 440)])
def test_a_demo_number_plays_its_tone(phone, number, hz):
    call = phone.invite(number)
    call.wait(200)
    call.rtp.tone(None)
    call.rtp.wait_tone(hz, seconds=0.2)
    call.hangup()


def test_the_echo_number_echoes(phone):
    call = phone.invite("9196")
    call.wait(200)
    call.rtp.tone(600)
    call.rtp.wait_tone(600)
    call.hangup()


def test_a_voice_is_recorded_and_played_back(phone):
    call = phone.invite("9190")
    call.wait(200)
    call.rtp.tone(None)
    call.rtp.wait_tone(800, seconds=0.1)
    call.rtp.tone(500)
    time.sleep(2)                                   # what there is to record
    heard = len(call.rtp.packets)
    call.rtp.digits("#")
    call.rtp.wait_tone(500, seconds=1, since=heard)
    call.hangup()


def test_the_menu_goes_on_without_its_sounds_and_obeys_a_digit(site, phone):
    call = phone.invite("5000")
    call.wait(200)
    call.rtp.tone(440)
    with site.esl() as esl:
        esl.command("event plain CHANNEL_EXECUTE")
        esl.wait_event("CHANNEL_EXECUTE", Application="play_and_get_digits")
    call.rtp.digits("1")
    call.rtp.wait_tone(440)
    call.hangup()


def test_a_stranger_reaches_nothing(site):
    stranger = site.phone(tree.EXTERNAL, user="stranger")
    for number in ("1000", "9196", "00442012345678"):
        call = stranger.invite(number)
        assert call.until(lambda p: p.status >= 200, "final response").status in (403, 404)


def test_the_registered_phones_number_is_not_reachable_without_a_password(site):
    call = site.phone(tree.INTERNAL, user="1000").invite("9196")
    call.wait(407)
