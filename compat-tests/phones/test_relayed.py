"""Browsers that no direct path reaches: the switch as a client of a TURN server (coturn), between two networks that know only it."""
import re
import shutil
import subprocess
import time

import pytest

from harness import netns, tree
from harness.browser import Browser
from harness.services import Service
from harness.services import until as wait_until

USER, PASSWORD = "switch", "relay-secret"
MISSING = netns.missing() or (None if shutil.which("turnserver") else "coturn is not installed")
pytestmark = pytest.mark.skipif(MISSING is not None, reason=f"SKIPPED: {MISSING}")


def certificate(where, ip):
    """An authority (`ca.pem`), and a certificate of it for that address."""
    def openssl(*args):
        subprocess.run(["openssl", *args], check=True, cwd=where, capture_output=True)
    openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "3", "-subj", "/CN=authority", "-keyout", "ca.key", "-out", "ca.pem")
    openssl("req", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=relay", "-keyout", "server.key", "-out", "server.csr")
    (where / "names").write_text(f"subjectAltName=IP:{ip}\n")
    openssl("x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "3", "-extfile", "names", "-out", "server.pem")
    for name in ("server.key", "server.pem"):
        (where / name).chmod(0o644)


class Turn(Service):
    """coturn with one foot in each of two networks."""

    def __init__(self, where, listen, relay):
        certificate(where, listen)
        super().__init__(["turnserver", "-n", "--no-cli", "--no-dtls", f"--cert={where}/server.pem", f"--pkey={where}/server.key", "--tls-listening-port=5349", f"--listening-ip={listen}", "--listening-port=3478",
                          f"--relay-ip={relay}", "--min-port=40000", "--max-port=40400", f"--user={USER}:{PASSWORD}", "--realm=relay.test",
                          "--lt-cred-mech", "--fingerprint", "--stale-nonce=600", f"--userdb={where}/turndb", f"--pidfile={where}/turn.pid",
                          "--log-file=stdout", "--simple-log", "--verbose", "--no-multicast-peers"], where)


@pytest.fixture
def net():
    made = netns.Net("switch", "middle", "browser")
    made.cable("middle", "switch", "10.77.1")
    made.cable("middle", "browser", "10.77.2")
    try:
        with made.inside("switch"):
            yield made
    finally:
        made.close()


@pytest.fixture
def turn(net, tmp_path):
    where = tmp_path / "turn"
    where.mkdir()
    with net.inside("middle"):
        server = Turn(where, "10.77.1.1", "10.77.2.1").spawn()
    until = time.monotonic() + 20
    while not all(f"{kind} listener opened on" in server.said().replace("TLS/TCP", "TLS") and at in server.said()
                  for kind, at in (("UDP", "10.77.1.1:3478"), ("TLS", "10.77.1.1:5349"))):
        assert time.monotonic() < until and server.process.poll() is None, server.said()
        time.sleep(0.1)
    yield server
    server.stop()


def configure(site, server="turn:10.77.1.1", password=PASSWORD, authorities=""):
    tree.patch(site.conf / "sip_profiles/open.xml", {
        r'<param name="rtp-ip" value="127.0.0.1"/>': f'''<param name="rtp-ip" value="10.77.1.2"/>
    <param name="apply-candidate-acl" value="any_v4.auto"/>
    <param name="turn-server" value="{server}"/><param name="turn-username" value="{USER}"/><param name="turn-password" value="{password}"/>
    <param name="turn-ca-file" value="{authorities}"/>'''})
    return site.start()


@pytest.fixture
def browser(net, fresh):
    made = []

    def make(**more):
        made.append(Browser(fresh.phone(), place=(lambda: net.enter("browser"), "10.77.2.2"), **more))
        return made[-1]
    yield make
    for one in made:
        one.close()
    wrong = fresh.settle()
    assert not wrong, "\n".join(wrong)


def relays(sdp):
    return re.findall(r"^a=candidate:\S+ 1 udp \d+ (\S+) (\d+) typ relay raddr (\S+)", sdp, re.M)


@pytest.mark.parametrize("server", ["turn:10.77.1.1:3478?transport=udp", "turn:10.77.1.1?transport=tcp", "turns:10.77.1.1"])
def test_a_browser_behind_another_network_is_heard_and_hears(turn, fresh, browser, server):
    site = configure(fresh, server, authorities=turn.where / "ca.pem")
    with site.esl() as esl:
        esl.command("event plain ALL")
        one = browser(hz=700)
        one.invite("park")
        one.accept_answer()
        assert [at for at, _, _ in relays(one.answer)] == ["10.77.2.1"], one.answer
        uuid = esl.wait_event("CHANNEL_PARK", timeout=30).event["Unique-ID"]
        for app, hz in (("playback:tone_stream://%(60000,0,600)", 600), ("echo", 700)):
            assert esl.api(f"uuid_transfer {uuid} 'm:^:{app}' inline").startswith("+OK")
            one.wait_tone(hz, seconds=1, timeout=30)
        assert esl.api(f"uuid_getvar {uuid} remote_media_ip").strip() == "10.77.2.2"
        one.call.hangup()
        esl.wait_event("CHANNEL_HANGUP_COMPLETE", Unique_ID=uuid)
    until = time.monotonic() + 20
    while "refreshed, realm=<relay.test>, username=<switch>, lifetime=0" not in turn.said():     # given back, not left to expire
        assert time.monotonic() < until, turn.said()
        time.sleep(0.1)


def test_the_server_calls_a_browser_through_the_relay(turn, fresh, browser):
    site = configure(fresh)
    phone = site.carrier()
    with site.esl() as esl:
        esl.command("event plain ALL")
        esl.command("bgapi originate {media_webrtc=true,absolute_codec_string=opus}sofia/gateway/carrier/100 &echo()")
        call = phone.accept()
        assert relays(call.request.body), call.request.body
        one = browser(hz=500)
        one.phone = phone
        one.answer_call(call)
        one.wait_tone(500, seconds=1, timeout=30)
        esl.api("hupall")
        call.wait_end()


@pytest.mark.parametrize("server, password", [("turn:10.77.1.1", "wrong"), ("turn:10.77.1.77", PASSWORD), ("turns:10.77.1.1", PASSWORD)])
def test_without_a_relay_calls_go_on_without_it(turn, fresh, net, server, password):
    """A wrong password, a server that is not there, a certificate no authority vouches for: the answer comes all the same, soon, with the direct path alone."""
    site = configure(fresh, server, password)
    one = Browser(site.phone(), hz=700)
    try:
        begun = time.monotonic()
        call = one.invite("park")
        answer = call.wait(200, timeout=20).body
        assert not relays(answer) and "typ host" in answer
        assert time.monotonic() - begun < 15
        call.hangup()
    finally:
        one.close()
    wait_until(lambda: "no relay of 10.77.1" in site.switch.said(400), "the relay is named in the log", 10)
    wrong = site.settle()
    assert not wrong, "\n".join(wrong)
