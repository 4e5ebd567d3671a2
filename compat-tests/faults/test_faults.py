"""What goes wrong around a switch must not end a running call, and must be said clearly."""
import os
import random
import socket
import subprocess
import time

import pytest

from harness import audio, tree
from harness.sipp import run

SEED = 20240802


def talking(site):
    """An answered call to the echo; `still_talks` proves that it goes on."""
    call = site.phone().invite("echo")
    call.wait(200)
    call.rtp.tone(440)
    call.rtp.wait_tone(440)
    return call


def still_talks(call):
    call.rtp.wait_tone(440, seconds=1, since=len(call.rtp.packets))
    assert not call.ended


def garbage(count, longest):
    rng = random.Random(SEED)
    yield b""
    yield b"\0" * longest
    for _ in range(count):
        yield rng.randbytes(rng.randrange(1, longest))


SIP = ("INVITE sip:echo@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:9;branch=z9hG4bKx\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:echo@127.0.0.1>\r\n"
       "Call-ID: broken\r\nCSeq: 1 INVITE\r\nContact: <sip:a@127.0.0.1:9>\r\nMax-Forwards: 70\r\nContent-Length: {}\r\n\r\n{}")


def damaged(text):
    """A message cut short at every place, then with bytes replaced."""
    data, rng = text.encode(), random.Random(SEED)
    for cut in range(1, len(data), 7):
        yield data[:cut]
    for _ in range(300):
        copy = bytearray(data)
        for _ in range(rng.randrange(1, 6)):
            copy[rng.randrange(len(copy))] = rng.randrange(256)
        yield bytes(copy)


# ---- garbage

def test_garbage_on_the_sip_port_disturbs_nobody(site):
    call = talking(site)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        for data in (*garbage(300, 1400), *damaged(SIP.format(0, "")), *damaged(SIP.format(9999, "v=0\r\nm=audio -1 RTP/AVP 999999999999\r\n")),
                     SIP.format(-5, "").encode(), SIP.format("9" * 40, "").encode(), b"\r\n\r\n", b"SIP/2.0 200 OK\r\n\r\n"):
            s.sendto(data, site.sip(tree.OPEN))
    with socket.create_connection(site.sip(tree.OPEN), timeout=5) as s:
        try:
            for data in (*garbage(50, 4000), SIP.format(2_000_000_000, "x").encode()):
                s.sendall(data)
        except OSError:
            pass                                    # closed in our face: fair
    still_talks(call)
    call.hangup()
    site.switch.api("hupall")


def test_garbage_on_the_rtp_port_of_a_call_disturbs_nobody(site):
    call = talking(site)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.bind(("127.0.0.9", 0))
        for port in (call.rtp.remote[1], call.rtp.remote[1] + 1):
            for data in garbage(300, 1400):
                s.sendto(data, ("127.0.0.1", port))
            for head in (b"\x80\x00", b"\x9f\x00", b"\xbf\xff", b"\x80\xc8", b"\x81\xc9\xff\xff", b"\x80\x65"):
                s.sendto(head + os.urandom(10), ("127.0.0.1", port))
    still_talks(call)
    call.hangup()


def test_garbage_on_the_event_socket_disturbs_nobody(site):
    call = talking(site)
    for authenticated in (False, True):
        for data in (*garbage(40, 4000), b"api status\n" * 1000, b"Content-Length: 99999999999999999999\n\n", b"auth \xff\xfe\n\n",
                     b"event plain ALL\nContent-Length: -1\n\n", b"sendevent\n\n", b"sendmsg x\n\n", b"bgapi\n\n", b"filter\n\n", b"api \n\n", b"api expand ${" * 2000 + b"\n\n"):
            with socket.create_connection(("127.0.0.1", site.esl_port), timeout=5) as s:
                try:
                    s.sendall((b"auth ClueCon\n\n" if authenticated else b"") + data)
                    s.settimeout(0.02)
                    s.recv(4096)
                except OSError:
                    pass
    still_talks(call)
    call.hangup()


# ---- the event socket's slow readers

def test_a_reader_who_does_not_read_slows_nobody(site):
    with site.esl() as slow, site.esl() as quick:
        slow.command("event plain ALL")
        quick.command("event plain CHANNEL_CREATE")
        before = site.switch.rss_kb()
        for n in range(300):
            quick.command(f"bgapi originate null/{n} &hangup()")
        for _ in range(300):
            quick.wait_event("CHANNEL_CREATE", timeout=20)
        call = talking(site)
        still_talks(call)
        call.hangup()
        assert site.switch.rss_kb() - before < 200_000


# ---- files

@pytest.mark.parametrize("kind", ["missing", "empty", "text", "folder", "cut"])
def test_a_sound_that_cannot_be_played_is_named_and_the_call_goes_on(site, tmp_path, kind):
    path = tmp_path / f"{kind}.wav"
    if kind == "empty":
        path.write_bytes(b"")
    elif kind == "text":
        path.write_text("this is not a sound\n" * 50)
    elif kind == "folder":
        path.mkdir()
    elif kind == "cut":
        audio.write_wav(path, audio.sine(500, 1))
        path.write_bytes(path.read_bytes()[:30])
    call = site.phone().invite("play", [f"X-File: {path}"])
    call.wait(200)
    call.rtp.tone(None)
    call.rtp.wait_tone(600, seconds=0.3)
    call.wait_end()
    until(lambda: str(path) in site.switch.said(4000), "line naming the file")


def test_a_full_disk_ends_the_recording_and_not_the_call(site, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    if os.geteuid() != 0 or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8k", "tmpfs", str(disk)], capture_output=True).returncode:
        pytest.skip("SKIPPED: cannot mount a small disk here")
    try:
        call = site.phone().invite("record", [f"X-File: {disk}/voice.wav"])
        call.wait(200)
        call.rtp.tone(440)
        call.rtp.wait_tone(600, seconds=0.3, timeout=15)
        call.wait_end()
    finally:
        subprocess.run(["umount", str(disk)], check=True)
    until(lambda: f"{disk}/voice.wav" in site.switch.said(4000), "line naming the file")


def test_a_broken_file_is_named_at_reload_and_the_old_tree_keeps_serving(site):
    call = talking(site)
    broken = site.conf / "dialplan/public.xml"
    whole = broken.read_text()
    try:
        broken.write_text(whole.replace("</condition>", "</conditoin>", 1))
        answer = site.switch.api("reloadxml")
        assert answer.startswith("+OK [") and "Success" not in answer
        until(lambda: "public.xml:" in site.switch.said(400), "line naming the file")
        still_talks(call)
        second = talking(site)
        second.hangup()
    finally:
        broken.write_text(whole)
    assert site.switch.api("reloadxml") == "+OK [Success]\n"
    call.hangup()


def test_a_changed_dialplan_is_used_after_reload(site):
    path = site.conf / "dialplan/public.xml"
    whole = path.read_text()
    try:
        path.write_text(whole.replace("^echo$", "^renamed$"))
        assert site.switch.api("reloadxml") == "+OK [Success]\n"
        call = site.phone().invite("renamed")
        call.wait(200)
        call.hangup()
        site.phone().invite("echo").wait(404)
    finally:
        path.write_text(whole)
        site.switch.api("reloadxml")


@pytest.mark.timeout(300)
def test_a_thousand_reloads_under_fifty_calls_drop_nothing_and_leak_nothing(site):
    phone = site.phone()
    calls = [phone.invite("park") for _ in range(50)]
    for call in calls:
        call.wait(200)
    with site.esl() as client:
        for _ in range(100):
            assert client.api("reloadxml") == "+OK [Success]\n"
        memory, sockets = site.switch.rss_kb(), site.switch.sockets()
        for _ in range(900):
            assert client.api("reloadxml") == "+OK [Success]\n"
    assert site.switch.channels() == 50 and not any(call.ended for call in calls)
    assert site.switch.rss_kb() - memory < 16_000, "kilobytes"
    # One that comes and goes (a connection, a timer's) may have been open at the moment of counting.
    until(lambda: site.switch.sockets() <= sockets, "no more sockets than before")
    for call in calls:
        call.hangup()


# ---- ports

def test_a_sip_port_in_use_is_named_and_the_rest_works(fresh):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(fresh.sip(tree.OPEN))
        fresh.start()
        until(lambda: str(fresh.sip(tree.OPEN)[1]) in fresh.switch.said(400), "a line naming the port")
        run("register", fresh.where, fresh.sip(tree.AUTH), expires=300, final=200, user="1000", domain="test.example", password="one-thousand")


def test_an_event_socket_port_in_use_is_named_and_taken_when_it_comes_free(fresh):
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", fresh.esl_port))
        taken.listen()
        fresh.start(wait=False)
        until(lambda: str(fresh.esl_port) in fresh.switch.said(400), "a line naming the port")
        assert fresh.switch.alive()
    fresh.switch.wait_ready()


def test_a_busy_rtp_port_is_passed_over(fresh):
    first, _ = fresh.block.rtp
    taken = []
    for port in range(first, first + 8):
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        s.bind(("127.0.0.1", port))
        taken.append(s)
    try:
        fresh.start()
        for _ in range(3):
            call = talking(fresh)
            assert call.rtp.remote[1] >= first + 8
            call.hangup()
    finally:
        for s in taken:
            s.close()
    assert not fresh.settle()


def until(done, what, seconds=10):
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end, f"no {what} in {seconds} s"
        time.sleep(0.05)


# ---- leaks

def test_hundreds_of_calls_leave_nothing_behind(fresh):
    fresh.start()
    load = dict(number="echo", calls=200, rate=50, hold=100, limit=60)
    run("uac", fresh.where, fresh.sip(tree.OPEN), **load)
    assert fresh.switch.wait_idle() == 0
    files, rss = len(os.listdir(f"/proc/{fresh.switch.pid}/fd")), fresh.switch.rss_kb()
    for _ in range(2):
        run("uac", fresh.where, fresh.sip(tree.OPEN), **load)
    assert fresh.switch.wait_idle() == 0
    until(lambda: len(os.listdir(f"/proc/{fresh.switch.pid}/fd")) <= files + 2, "return to as many open files as before")
    grown = fresh.switch.rss_kb() - rss
    assert grown < 6000, f"{grown} kB more after 400 calls"
    assert not fresh.settle()
