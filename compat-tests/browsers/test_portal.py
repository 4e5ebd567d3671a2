"""The portal's pages in Chromium: SIP.js over WSS, tones heard on both sides, pictures kept beside the test's files."""
import pathlib
import subprocess
import time

import pytest

from conftest import settled, shared_site
from harness import audio, chromium, ear
from harness.portal import (  # noqa: F401  (fixtures among them)
    AGENT, CUSTOMER, HTTP, PLAIN, WSS, Wire, browsers, capture_sound, configured, hears, pages, press, state)
from harness.switch import ROOT


def with_portal(block, where):
    with_portal.wire = Wire(("127.0.0.1", block[WSS]))
    return configured(block, where, f"wss://127.0.0.1:{with_portal.wire.port}")


with_portal.needs_trees = False
portal_server = shared_site(with_portal)


@pytest.fixture
def site(portal_server):
    yield from settled(portal_server)


def test_a_customer_talks_to_an_agent(site, esl, browsers, pages):
    customer, agent = pages(browsers[0], "/portal/"), pages(browsers[1], "/portal/agent.html", "1001", "one-thousand-one")
    for page, name in ((customer, "customer"), (agent, "agent")):
        capture_sound(page)
        page.shot(f"{name}-desk")
        page.shot(f"{name}-phone", phone=True)
    press(customer, "Talk to us")
    state(agent, "is calling")
    agent.shot("agent-incoming")
    press(agent, "Answer")
    for page in (customer, agent):
        state(page, "in conversation")
    uuid = esl.wait_event("CHANNEL_BRIDGE").event["Unique-ID"]
    recording = site.where / "portal.wav"
    esl.api(f"uuid_record {uuid} start {recording}")
    hears(customer, AGENT)
    hears(agent, CUSTOMER)
    for key in "5#":
        press(customer, key, ".keypad")
    assert [esl.wait_event("DTMF", Unique_ID=uuid).event["DTMF-Digit"] for _ in range(2)] == ["5", "#"]
    press(agent, "Hold")
    state(agent, "on hold")
    hears(customer, ear.MUSIC)
    customer.shot("customer-call")
    press(agent, "Resume")
    state(agent, "in conversation")
    hears(customer, AGENT)
    press(customer, "Mute")
    press(customer, "Hang up")
    agent.until("!document.querySelector('.call')")
    esl.wait_event("CHANNEL_HANGUP_COMPLETE", Unique_ID=uuid)
    samples, rate = audio.read_wav(recording)
    assert audio.seconds_of(CUSTOMER, samples, rate) + audio.seconds_of(AGENT, samples, rate) > 0.5
    assert customer.run("document.querySelectorAll('.history li').length") == 1
    for page in (customer, agent):
        outside = [url for url in page.requests if not url.startswith((f"http://127.0.0.1:{site.block[HTTP]}/", "blob:", "data:"))]
        assert not outside, outside
        assert "one-thousand" not in page.run("document.documentElement.outerHTML + JSON.stringify(localStorage)")


def test_an_agent_transfers_attended_and_blind(site, esl, browsers, pages):
    agent = pages(browsers[1], "/portal/agent.html", "1001", "one-thousand-one")
    caller = site.phone().invite("1001")
    state(agent, "is calling")
    press(agent, "Answer")
    caller.wait(200)
    carrier = site.carrier()
    agent.run("number.value = 'plain-77'; number.form.requestSubmit()")
    far = carrier.accept()
    far.answer()
    agent.until("document.querySelectorAll('.call.active').length == 2")
    agent.shot("agent-two-calls")
    agent.run("[...document.querySelectorAll('.call')].find((c) => c.querySelector('h2').textContent != 'plain-77').querySelectorAll('button').forEach((b) => b.textContent == 'Transfer' && b.click())")
    press(agent, "To plain-77")
    ear.talk(caller, far)
    agent.until("!document.querySelector('.call')")
    caller.hangup()
    far.wait_end()
    again = site.phone().invite("1001")
    press(agent, "Answer")
    again.wait(200)
    press(agent, "Transfer")
    agent.run("document.querySelector('.to').value = '9999'")
    press(agent, "Blind")
    ear.hears(again, ear.MUSIC)
    again.hangup()


def test_pages_come_back_after_the_connection_broke(site, esl, browsers, pages):
    agent = pages(browsers[1], "/portal/agent.html", "1001", "one-thousand-one")
    assert esl.api("sofia_contact auth/1001@test.example") != "error/user_not_registered"
    with_portal.wire.cut()
    agent.until("document.querySelector('#status').textContent != 'online'")
    agent.until("document.querySelector('#status').textContent == 'online'", timeout=40)
    call = site.phone().invite("1001")
    state(agent, "is calling")
    press(agent, "Refuse")
    call.wait(486)
    agent.run("presence.value = 'away'; presence.onchange()")
    agent.until("document.querySelector('#status').textContent == 'away'")
    until = time.monotonic() + 10
    while esl.api("sofia_contact auth/1001@test.example") != "error/user_not_registered":
        assert time.monotonic() < until
        time.sleep(0.1)


def test_a_wrong_password_is_said(site, browsers):
    page = browsers[0].page(f"http://127.0.0.1:{site.block[HTTP]}/portal/")
    page.until("document.querySelector('#user')")
    page.run("user.value = '1000'; password.value = 'wrong'; document.querySelector('form').requestSubmit()")
    page.until("document.querySelector('#status')?.textContent == 'user or password is wrong'")
    page.ask("Page.close")


def test_nothing_but_the_pages_is_served(site):
    def get(path):
        said = subprocess.run(["curl", "-si", "--path-as-is", f"http://127.0.0.1:{site.block[HTTP]}{path}"], capture_output=True, text=True, timeout=20)
        return said.stdout
    page = get("/portal/")
    assert " 200 " in page.splitlines()[0] and "default-src 'self'" in page and "nosniff" in page
    for path in ("/portal/../../etc/passwd", "/portal/%2e%2e/%2e%2e/etc/passwd", "/portal/..%2fpackage.json", "/portal/nothing"):
        assert " 404 " in get(path).splitlines()[0], path


def test_jssip_calls_is_called_and_sends_keys(site, esl, browsers, tmp_path):
    pages_of, modules = tmp_path / "pages", ROOT / "compat-tests/clients/sipjs/node_modules"
    esbuild = ROOT / "portal/node_modules/.bin/esbuild"
    if not (modules / "jssip").is_dir() or not esbuild.exists():
        pytest.skip("SKIPPED: no npm packages (./test setup)")
    here = pathlib.Path(__file__).parent / "pages"
    pages_of.mkdir()
    for name in ("jssip.html", "ear.js"):
        (pages_of / name).write_text((here / name).read_text())
    subprocess.run([esbuild, here / "jssip.js", "--bundle", f"--outfile={pages_of}/jssip.bundle.js"], check=True, capture_output=True,
                   env={"NODE_PATH": str(modules), "PATH": "/usr/bin:/bin"})
    address, end = chromium.serve(pages_of)
    page = browsers[0].page(f"{address}/jssip.html")
    page.run(f"start('wss://127.0.0.1:{site.block[WSS]}', 'sip:1000@test.example', 'one-thousand')")
    page.until("said.includes('registered')")
    page.run("dial('park'); 1")
    uuid = esl.wait_event("CHANNEL_PARK").event["Unique-ID"]
    phone = site.phone()
    ear.run(esl, uuid, f"bridge:{PLAIN}{ear.dial(phone)}")
    far = phone.accept()
    far.answer()
    far.rtp.tone(ear.FAR)
    ear.hears(far, CUSTOMER)
    page.hears(ear.FAR)
    page.run("session.sendDTMF('7', {transportType: 'RFC2833'})")
    assert esl.wait_event("DTMF", Unique_ID=uuid).event["DTMF-Digit"] == "7"
    page.run("session.terminate()")
    far.wait_end()
    call, near = ear.caller(site, esl)
    ear.run(esl, near, "bridge:user/1000@test.example")
    call.rtp.tone(ear.NEAR)
    page.hears(ear.NEAR)
    ear.hears(call, CUSTOMER)
    call.hangup()
    page.until("said.includes('ended')")
    page.run("ua.stop()")
    page.ask("Page.close")
    end()


def test_a_room_of_four_and_a_phone(site, esl, browsers, pages):
    rooms = []
    for n, browser in enumerate((browsers[0], browsers[0], browsers[0], browsers[1])):
        page = pages(browser, "/rooms/hall", *(("1001", "one-thousand-one") if n == 3 else ()))
        capture_sound(page)
        press(page, "Join")
        state(page, "in the room")
        rooms.append(page)
    phone = site.phone().invite("hall")
    phone.wait(200)
    for page in rooms[:3]:
        press(page, "Mute")
    for page in rooms[:3]:
        hears(page, AGENT)
    ear.hears(phone, AGENT, timeout=30)
    press(rooms[3], "Mute")
    press(rooms[0], "Unmute")
    hears(rooms[3], CUSTOMER)
    ear.hears(phone, CUSTOMER, timeout=30)
    rooms[0].shot("room")
    for page in rooms:
        press(page, "Leave")
    phone.hangup()
