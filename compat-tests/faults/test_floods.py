"""Floods and guesses of strangers: bounded memory, and those who are known are served."""
import os
import signal
import socket
import sqlite3
import time

import pytest

from conftest import settled, shared_site
from harness import tree
from harness.flood import TRUNK, Flood, Peer
from harness.sip import Packet, authorization

MOST_KB = 256 * 1024
server = shared_site(tree.guarded)


@pytest.fixture
def site(server):
    yield from settled(server)


def until(done, what, seconds=20):
    end = time.monotonic() + seconds
    while not (found := done()):
        assert time.monotonic() < end, f"not within {seconds} s: {what}"
        time.sleep(0.02)
    return found


# ---- floods

def patient(phone):
    """Repeats what is not answered, as RFC 3261 has it: a full socket buffer loses datagrams of everybody."""
    phone.repeats = True
    return phone


@pytest.mark.parametrize("kind", ["large", "tagged", "guesses", "invite", "tcp"])
def test_beside_a_flood_of_strangers_a_known_peer_is_served_and_memory_is_bounded(site, kind):
    address, most = site.sip(tree.AUTH), 0
    trunk = patient(site.phone(tree.AUTH, user="trunk", ip=TRUNK))
    registered = patient(site.phone(tree.AUTH, user="1000", password="one-thousand", ip="127.0.0.5"))
    assert registered.register().status == 200
    with Flood(address, kind, sources=200, rate=2000 if kind == "large" else 3000):
        for _ in range(10):
            most = max(most, site.switch.rss_kb())
            for known in (trunk, registered):
                assert known.ask("OPTIONS", f"sip:x@{address[0]}").status == 200
        call = trunk.invite("echo")
        final = until(lambda: final_of(call) or repeat(call), "an answer to the trunk's call")
        assert final.status == 200, final.start
        most = max(most, site.switch.rss_kb())
    assert most < MOST_KB, f"{most} kB beside a flood of {kind}"
    assert site.switch.api("hupall").startswith("+OK")
    call.wait_end()


def final_of(call):
    return next((p for p in call.seen if p.status >= 200), None)


def repeat(call):
    """Sends the INVITE again, as it was."""
    time.sleep(0.3)
    if not final_of(call):
        call.phone.request("INVITE", call.uri, call.call_id, call.cseq, call.local, call.remote, call.extra, call.offer, branch=call.branch)


def test_what_a_flood_took_is_given_back(site):
    address = site.sip(tree.AUTH)
    peer = Peer(address)
    peer.run(0.5)
    before = site.switch.rss_kb()
    with Flood(address, "large", sources=50, rate=1000):
        peer.run(4)
    peer.close()
    # Half a minute for the transactions, and some for the library to hand back what they held.
    until(lambda: site.switch.rss_kb() < max(before * 1.5, before + 20_000), f"back to {before} kB", 90)


# ---- guesses

def guess(phone, user, password, uri=None, realm="127.0.0.1"):
    """The answer to a REGISTER with that password, and how long it took."""
    challenge = phone.ask("REGISTER", f"sip:{realm}")
    if challenge.status != 401:
        return challenge, 0
    proof = authorization(challenge["www-authenticate"], user, password, "REGISTER", uri or f"sip:{realm}")
    started = time.monotonic()
    answer = phone.ask("REGISTER", f"sip:{realm}", [f"Authorization: {proof}", "Expires: 60"])
    return answer, time.monotonic() - started


def test_guesses_are_slowed_told_of_and_forgiven_and_the_owner_gets_in(site):
    owner = patient(site.phone(tree.AUTH, user="1000", password="one-thousand", ip="127.0.0.30"))
    assert owner.register().status == 200
    guesser = patient(site.phone(tree.AUTH, user="1000", ip="127.0.7.7"))
    with site.esl() as esl:
        esl.command("event plain CUSTOM ferroswitch::guessing")
        for n in range(9):
            assert guess(guesser, "1000", f"wrong-{n}")[0].status == 403
        event = esl.wait_event("CUSTOM").event
        assert event["Door"] == "sip" and event["Network-IP"] == "127.0.7.7"
    def held_back():
        guess(guesser, "1000", "wrong again")
        return guess(guesser, "1000", "one-thousand")[0].status == 403
    assert any(held_back() for _ in range(10)), "the right password is not looked at either"
    assert owner.register().status == 200, "who has proved itself is not held back by others"
    assert "1000" in site.switch.api("guesses")
    site.switch.api("guesses clear")
    right, _ = guess(guesser, "1000", "one-thousand")
    assert right.status == 200
    owner.register(expires=0)


def test_a_wrong_password_and_no_such_user_take_the_same_time(site):
    phone = patient(site.phone(tree.AUTH, user="1001", ip="127.0.8.8"))
    took = {"1001": [], "nobody": []}
    for n in range(16):
        for user, times in took.items():
            answer, seconds = guess(phone, user, f"wrong-{n}")
            assert answer.status == 403
            times.append(seconds)
        site.switch.api("guesses clear")
    wrong, nobody = (min(times) for times in took.values())
    assert abs(wrong - nobody) < 0.05 * max(wrong, nobody), took


@pytest.mark.parametrize("uri, status", [
    ("sip:127.0.0.1", 200), ("sip:127.0.0.1:5060", 200), ("sip:127.0.0.1;transport=udp", 200), ("sip:elsewhere.example", 403), ("nonsense", 403)])
def test_credentials_serve_the_request_they_were_made_for(site, uri, status):
    phone = patient(site.phone(tree.AUTH, user="1000", ip="127.0.9.9"))
    assert guess(phone, "1000", "one-thousand", uri)[0].status == status
    site.switch.api("guesses clear")


# ---- endings and beginnings

def test_what_calls_while_it_ends_is_told_at_once(fresh):
    """A call that does not say goodbye keeps the switch ending for a while."""
    fresh.start()
    stubborn = fresh.phone().invite("echo")
    stubborn.wait(200)
    stubborn.phone.inbox[stubborn.call_id] = lambda packet: None
    os.kill(fresh.switch.pid, signal.SIGTERM)
    until(lambda: "System Shutting Down" in fresh.switch.said(400) or "Stopping" in fresh.switch.said(400), "the end to begin")
    late = fresh.phone().invite("echo")
    try:
        final = late.until(lambda p: p.status >= 200, "an answer", 5)
    except AssertionError:
        assert fresh.switch.process.wait(15) == 0     # it had ended already
        return
    assert final.status == 503, final.start
    assert fresh.switch.process.wait(15) == 0


@pytest.mark.quick
def test_registrations_outlive_the_process_however_it_ends(fresh):
    fresh.start()
    phone = fresh.phone(tree.AUTH, user="1000", password="one-thousand")
    assert phone.register(expires=600).status == 200
    file = fresh.where / "db/sofia_reg_auth.db"

    def on_disk():
        with sqlite3.connect(f"file:{file}?mode=ro", uri=True) as db:
            return [row[0] for row in db.execute("SELECT contact FROM sip_registrations WHERE sip_user = '1000'")]

    until(lambda: file.exists() and any(str(phone.port) in contact for contact in on_disk()), "the registration on disk")
    os.killpg(fresh.switch.pid, signal.SIGKILL)
    fresh.switch.process.wait()
    fresh.start()
    assert f"{phone.ip}:{phone.port}" in fresh.switch.api("sofia_contact auth/1000")
    # The phone is called without having registered again.
    with fresh.esl() as esl:
        esl.command("bgapi originate user/1000 &park")
        call = phone.accept()
        call.answer()
        assert fresh.switch.api("hupall").startswith("+OK")
        call.wait_end()
    assert phone.register(expires=0).status == 200
    until(lambda: not on_disk(), "the registration to go from the disk")
    assert fresh.switch.stop(remove=False) == 0
    fresh.start()
    assert "user_not_registered" in fresh.switch.api("sofia_contact auth/1000")


def test_a_request_followed_by_garbage_in_one_segment_is_answered(site):
    with socket.create_connection(site.sip(tree.AUTH)) as s:
        s.settimeout(10)
        s.sendall(b"OPTIONS sip:x@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/TCP 127.0.0.1;branch=z9hG4bKg\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:x@127.0.0.1>\r\n"
                  b"Call-ID: before-garbage\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n\x00\x01garbage\r\n\r\nmore\r\n\r\n")
        assert Packet(s.recv(4096)).status in (200, 407)
