"""Kamailio (Debian) as the WebSocket edge in front of the switch, by deploy/kamailio/edge.cfg: the portal's pages in Chromium register, call and
are called through it, with media in the switch and with media in rtpengine (Debian, in user space)."""
import os
import re
import socket
import time

import pytest

from conftest import settled, shared_site
from harness import ear, tree
from harness.portal import (  # noqa: F401  (fixtures among them)
    AGENT, CUSTOMER, PLAIN, browsers, capture_sound, configured, hears, pages, press, state)
from harness.services import Service, find
from harness.switch import ROOT

CONFIG = ROOT / "deploy/kamailio/edge.cfg"
SIP, EDGE_WS, NG, RELAY_FIRST, RELAY_LAST = 73, 74, 75, 80, 120     # places in the block of ports
MODULES = "/usr/lib/x86_64-linux-gnu/kamailio/modules/websocket.so"


class Kamailio(Service):
    def __init__(self, where, block, rtpengine):
        where.mkdir()
        values = {"EDGE_SIP": f"udp:127.0.0.1:{block[SIP]}", "EDGE_WS": f"tcp:127.0.0.1:{block[EDGE_WS]}",
                  "SWITCH": f'"sip:127.0.0.1:{block[tree.AUTH]}"', "SWITCH_IP": '"127.0.0.1"', "SWITCH_PORT": block[tree.AUTH],
                  "RTPENGINE": f'"udp:127.0.0.1:{block[NG]}"'}
        defines = [part for name, value in values.items() for part in ("-A", f"{name}={value}")]
        super().__init__([find("kamailio"), "-f", str(CONFIG), "-DD", "-E", "-m", "32", "-M", "4", "-w", str(where), "-Y", str(where),
                          *defines, *(["-A", "WITH_RTPENGINE"] if rtpengine else [])], where)
        self.port = block[EDGE_WS]

    def start(self):
        self.spawn()
        return self.listening()

    def listening(self):
        until = time.monotonic() + 30
        while True:
            assert self.process.poll() is None and time.monotonic() < until, self.said()
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return self
            except OSError:
                time.sleep(0.1)


class Rtpengine(Service):
    def __init__(self, where, block):
        where.mkdir()
        super().__init__([find("rtpengine"), "--foreground", "--log-stderr", "--log-level=6", "--table=-1", "--interface=127.0.0.1",
                          f"--listen-ng=127.0.0.1:{block[NG]}", f"--port-min={block[RELAY_FIRST]}", f"--port-max={block[RELAY_LAST]}",
                          f"--pidfile={where}/pid", "--no-redis-required", "--num-threads=2"], where)

    def start(self):
        self.spawn()
        until = time.monotonic() + 30
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ng:
            ng.settimeout(0.5)
            ng.connect(("127.0.0.1", int(re.search(r"listen-ng=127.0.0.1:(\d+)", " ".join(self.argv))[1])))
            while True:
                assert self.process.poll() is None and time.monotonic() < until, self.said()
                try:
                    ng.send(b"1 d7:command4:pinge")
                    if b"pong" in ng.recv(500):
                        return self
                except OSError:
                    time.sleep(0.1)


def behind_kamailio(block, where):
    return configured(block, where, f"ws://127.0.0.1:{block[EDGE_WS]}")


behind_kamailio.needs_trees = False
edge_server = shared_site(behind_kamailio)


@pytest.fixture(params=["media in the switch", "rtpengine"])
def site(edge_server, request, tmp_path):
    wanted = ["kamailio"] + ["rtpengine"] * (request.param == "rtpengine")
    if lacking := [program for program in wanted if not find(program)]:
        pytest.skip(f"SKIPPED: {', '.join(lacking)} not installed (./test setup)")
    if not os.path.exists(MODULES):
        pytest.skip("SKIPPED: kamailio-websocket-modules is not installed (./test setup)")
    services = []
    try:
        if request.param == "rtpengine":
            services.append(Rtpengine(tmp_path / "rtpengine", edge_server.block).start())
        services.append(Kamailio(tmp_path / "kamailio", edge_server.block, request.param == "rtpengine").start())
        edge_server.rtpengine = request.param == "rtpengine"
        yield from settled(edge_server)
    except BaseException:
        for service in services:
            print(service.said())
        raise
    finally:
        for service in reversed(services):
            service.stop()


def contact(esl):
    return esl.api("sofia_contact auth/1000@test.example")


def test_a_page_registers_and_calls_through_the_edge(site, esl, browsers, pages):
    customer = pages(browsers[0], "/portal/")
    capture_sound(customer)
    assert f"fs_path=%3Csip%3A127.0.0.1%3A{site.block[SIP]}%3Blr" in contact(esl) or "fs_path=" in contact(esl), contact(esl)
    carrier = site.carrier()
    customer.run("document.querySelector('#number').value = 'plain-77'; document.querySelector('#number').form.requestSubmit()")
    far = carrier.accept(timeout=20)
    far.answer()
    state(customer, "in conversation")
    uuid = esl.wait_event("CHANNEL_BRIDGE", timeout=20).event["Unique-ID"]
    far.rtp.tone(ear.FAR)
    hears(customer, ear.FAR)
    ear.hears(far, CUSTOMER, timeout=30)
    # Whose protection it is: the switch's own, or rtpengine's with plain RTP behind it.
    secured = esl.api(f"uuid_getvar {uuid} rtp_has_crypto").strip()
    assert secured == ("_undef_" if site.rtpengine else "srtp:dtls:AES_CM_128_HMAC_SHA1_80"), secured
    press(customer, "5", ".keypad")
    assert esl.wait_event("DTMF", Unique_ID=uuid).event["DTMF-Digit"] == "5"
    press(customer, "Hang up")
    far.wait_end()
    esl.wait_event("CHANNEL_HANGUP_COMPLETE", Unique_ID=uuid)


def test_a_phone_calls_the_page_through_the_edge(site, esl, browsers, pages):
    agent = pages(browsers[1], "/portal/agent.html", "1000", "one-thousand")
    capture_sound(agent)
    call, uuid = ear.caller(site, esl)
    webrtc = "{media_webrtc=false,absolute_codec_string=PCMU}" if site.rtpengine else PLAIN
    ear.run(esl, uuid, f"bridge:{webrtc}user/1000@test.example")
    state(agent, "is calling")
    press(agent, "Answer")
    state(agent, "in conversation")
    call.rtp.tone(ear.NEAR)
    hears(agent, ear.NEAR)
    ear.hears(call, AGENT, timeout=30)
    call.hangup()
    agent.until("!document.querySelector('.call')")
