"""npm `sip.js` 0.21 and `jssip` over WebSocket, as published: they register, call and are called. Media is plain RTP."""
import contextlib
import pathlib
import shutil
import socket
import subprocess

import pytest

from conftest import settled, shared_site
from harness import audio, ear, tree
from harness.program import Program
from harness.rtp import Rtp

HERE = pathlib.Path(__file__).parent / "sipjs"
WS, WSS, TLS = 70, 71, 72           # places in the block of ports
DOMAIN = "127.0.0.1"


def sockets(block, where):
    conf = tree.small(block, where)
    tree.patch(conf / "sip_profiles/auth.xml", {
        r'(<param name="context")': rf"""<param name="ws-binding" value=":{block[WS]}"/>
    <param name="wss-binding" value=":{block[WSS]}"/>
    <param name="tls" value="true"/>
    <param name="tls-sip-port" value="{block[TLS]}"/>
    <param name="tls-cert-dir" value="{where}/certs"/>
    <param name="ws-trusted-proxies" value="127.0.0.3/32"/>
    \1"""})
    return conf


sockets_server = shared_site(sockets)


@pytest.fixture
def site(sockets_server):
    yield from settled(sockets_server)


@pytest.fixture
def rtp():
    stream = Rtp()
    yield stream
    stream.open = False
    stream.sock.close()


@contextlib.contextmanager
def phone(site, library="sipjs", scheme="ws"):
    url = f"{scheme}://127.0.0.1:{site.block[WSS if scheme == 'wss' else WS]}"
    domain = site.switch.api("global_getvar domain").strip()
    with Program(["node", str(HERE / "service.js"), library, url, "1000", "one-thousand", domain], cwd=HERE) as program:
        program.wait("ready")
        program.domain = domain
        yield program


def media_of(description):
    port = next(line for line in description["sdp"].splitlines() if line.startswith("m=audio")).split()[1]
    return "127.0.0.1", int(port)


@pytest.mark.parametrize("library", ["sipjs", "jssip"])
@pytest.mark.parametrize("scheme", ["ws", "wss"])
def test_registers_and_is_forgotten_with_its_connection(site, esl, library, scheme):
    with phone(site, library, scheme) as browser:
        browser.tell(do="register")
        browser.wait("registration", state="Registered")
        event = esl.wait_event("CUSTOM", **{"Event-Subclass": "sofia::register"}).event
        assert event["status"] == f"Registered({scheme.upper()}-NAT)"
        contact = esl.api(f"sofia_contact auth/1000@{browser.domain}")
        assert f".invalid;transport={'ws'};fs_nat=yes;fs_path=" in contact.replace("transport=wss", "transport=ws"), contact
    event = esl.wait_event("CUSTOM", **{"Event-Subclass": "sofia::unregister"}).event
    assert event["reason"] == "socket-disconnection"
    assert esl.api(f"sofia_contact auth/1000@{browser.domain}") == "error/user_not_registered"


def test_calls_and_hears(site, esl, rtp):
    with phone(site, scheme="wss") as browser:
        browser.tell(do="invite", number="tone", port=rtp.port)
        rtp.start(media_of(browser.wait("description")))
        browser.wait("session", state="Established")
        rtp.wait_tone(500)
        browser.tell(do="bye")
        browser.wait("session", state="Terminated")
        esl.wait_event("CHANNEL_HANGUP_COMPLETE")


def test_is_called_over_its_own_connection(site, esl, rtp):
    with phone(site) as browser:
        browser.tell(do="register")
        browser.wait("registration", state="Registered")
        esl.command(f"bgapi originate {{media_webrtc=false,origination_caller_id_number=4711}}user/1000@{browser.domain} 'm:^:playback:{ear.TONE}' inline")
        browser.wait("ringing", **{"from": "4711"})
        browser.tell(do="accept", port=rtp.port)
        rtp.start(media_of(browser.wait("description")))
        browser.wait("session", state="Established")
        rtp.wait_tone(ear.MUSIC)
        esl.api("hupall")
        browser.wait("session", state="Terminated")


def test_a_certificate_is_read_anew_while_it_serves(site, esl):
    certificate = site.where / "certs/wss.pem"

    def shown():
        said = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{site.block[WSS]}"], input="", capture_output=True, text=True, timeout=20)
        return said.stdout.partition("-----BEGIN CERTIFICATE-----")[2].partition("-----END")[0].strip()

    if not shutil.which("openssl"):
        pytest.skip("SKIPPED: no openssl")
    before = shown()
    assert before and before in certificate.read_text()
    with phone(site, scheme="wss") as browser:
        made = site.where / "new.pem"
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", "/CN=new",
                        "-days", "9", "-keyout", site.where / "key.pem", "-out", made], check=True, capture_output=True)
        certificate.write_text(made.read_text() + (site.where / "key.pem").read_text())
        assert esl.api("reloadcert") == "+OK cert reload event sent\n"
        esl.wait_event("CERT_RELOAD")
        after = shown()
        assert after != before and after in made.read_text()
        assert "expires in 8 days" in site.switch.said(200) or "expires in 9 days" in site.switch.said(200)
        # A file that is no certificate changes nothing; the connection from before goes on.
        certificate.write_text("nonsense")
        esl.api("reloadcert")
        assert shown() == after
        certificate.write_text(made.read_text() + (site.where / "key.pem").read_text())
        browser.tell(do="register")
        browser.wait("registration", state="Registered")


def test_a_trusted_proxy_names_the_client(site, esl):
    def ask(source):
        with socket.create_connection(("127.0.0.1", site.block[WS]), timeout=10, source_address=(source, 0)) as s:
            s.sendall(b"PROXY TCP4 192.0.2.44 127.0.0.1 40000 5066\r\nGET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                      b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
            answer = s.recv(4096)
            if not answer.startswith(b"HTTP/1.1 101 "):
                return answer
            message = (b"OPTIONS sip:x SIP/2.0\r\nVia: SIP/2.0/WS b.invalid;branch=z9hG4bKproxied;rport\r\nFrom: <sip:a@x>;tag=1\r\nTo: <sip:x>\r\n"
                       b"Call-ID: proxied\r\nCSeq: 1 OPTIONS\r\nMax-Forwards: 70\r\nContact: <sip:a@b.invalid;transport=ws>\r\n\r\n")
            s.sendall(b"\x82\xfe" + len(message).to_bytes(2, "big") + bytes(4) + message)
            return s.recv(4096)

    assert b";rport=40000;" in ask("127.0.0.3") and b"received=192.0.2.44" in ask("127.0.0.3")
    assert ask("127.0.0.1").startswith(b"HTTP/1.1 400 ")
