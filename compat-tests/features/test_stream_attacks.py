"""A program that means harm: floods, bombs, redirections, false names. The switch keeps little of what it is sent, the log is not filled, the call goes on."""
import base64
import hashlib
import json
import re
import socket
import ssl
import subprocess
import threading
import time
import zlib

import pytest

from harness import audio
from harness.bot import Bot
from harness.ear import caller, hears
from harness.services import until


def frame(payload, opcode=1, rsv1=0):
    head = bytes([0x80 | rsv1 << 6 | opcode])
    if len(payload) < 126:
        return head + bytes([len(payload)]) + payload
    if len(payload) < 65536:
        return head + b"\x7e" + len(payload).to_bytes(2, "big") + payload
    return head + b"\x7f" + len(payload).to_bytes(8, "big") + payload


class Hostile:
    """A server of one connection, byte by byte: `answer(head)` gives what is sent to the handshake, None for the right answer."""

    def __init__(self, answer=lambda head: None, tls=None):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port, self.answer, self.tls, self.head = self.listener.getsockname()[1], answer, tls, ""
        self.url = f"{'wss' if tls else 'ws'}://127.0.0.1:{self.port}/"
        self.socket, self.open = None, threading.Event()
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        try:
            self.socket, _ = self.listener.accept()
            if self.tls:
                self.socket = self.tls.wrap_socket(self.socket, server_side=True)
            while "\r\n\r\n" not in self.head:
                octets = self.socket.recv(4096)
                if not octets:
                    return
                self.head += octets.decode()
            answer = self.answer(self.head)
            if answer is None:
                key = re.search(r"Sec-WebSocket-Key: (\S+)", self.head)[1]
                accept = base64.b64encode(hashlib.sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest()).decode()
                deflate = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
                extension = f"Sec-WebSocket-Extensions: {deflate}\r\n" if "permessage-deflate" in self.head else ""
                answer = f"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n{extension}\r\n"
            self.socket.sendall(answer.encode())
            self.open.set()
        except OSError:                                     # the switch has gone: what that means each test says
            pass

    def send(self, octets):
        """All of it, or as much as is taken before the switch closes. False in that case."""
        try:
            self.socket.sendall(octets)
            return True
        except OSError:
            return False

    def read_all(self):
        try:
            while self.socket.recv(1 << 16):
                pass
        except OSError:
            pass

    def close(self):
        self.listener.close()
        if self.socket:
            self.socket.close()


@pytest.fixture
def hostile():
    server = Hostile()
    yield server
    server.close()


def attack(site, esl, server, how="dialect=twilio background=true"):
    """A call streamed to the server, beside one to a program that behaves; what the process holds before."""
    call, uuid = caller(site, esl)
    assert esl.execute(uuid, "stream", f"{server.url} {how}").reply.startswith("+OK")
    assert server.open.wait(20)
    return call, uuid, site.switch.rss_kb("RssAnon")


def goes_on(call, esl, uuid):
    """The call is heard and hears, whatever became of the stream."""
    esl.api(f"uuid_broadcast {uuid} tone_stream://%(3000,0,900) aleg")
    hears(call, 900, timeout=30)
    call.hangup()


def rows(esl, uuid):
    return json.loads(esl.api(f"uuid_audio_streams {uuid}"))


def test_pings_by_the_hundred_thousand_from_one_who_does_not_read(site, esl, hostile):
    call, uuid, before = attack(site, esl, hostile)
    for _ in range(40):
        assert hostile.send(frame(b"p" * 125, 9) * 10_000)          # 50 MB
    until(lambda: site.switch.rss_kb("RssAnon") - before < 30_000, "memory given back", 30)
    assert rows(esl, uuid), "the stream goes on"
    goes_on(call, esl, uuid)


def test_nonsense_fills_no_log(site, esl, hostile):
    call, uuid, _ = attack(site, esl, hostile)
    for _ in range(20):
        assert hostile.send((frame(b"x") + frame(b'{"event":"media","media":{}}')) * 1000)
    said = json.dumps({"event": "media", "media": {"payload": base64.b64encode(b"".join(audio.frames(audio.sine(1300, 3)))).decode()}})
    assert hostile.send(frame(said.encode()))
    hears(call, 1300, timeout=60)                           # by now all of that was read
    lines = [line for path in site.switch.home.rglob("*.log") for line in path.read_text(errors="replace").splitlines()]
    about = [line for line in lines if "media without a payload" in line or "not a JSON object" in line]
    assert 10 < len(about) < 400, len(about)
    call.hangup()


def test_marks_by_the_million_and_a_storm_of_clears(site, esl, hostile):
    call, uuid, before = attack(site, esl, hostile)
    threading.Thread(target=hostile.read_all, daemon=True).start()
    silence = json.dumps({"event": "media", "media": {"payload": base64.b64encode(b"\xff" * 160_000).decode()}})
    assert hostile.send(frame(silence.encode()))
    long = frame(json.dumps({"event": "mark", "mark": {"name": "n" * 900_000}}).encode())
    for _ in range(50):
        assert hostile.send(long)
    marks = b"".join(frame(json.dumps({"event": "mark", "mark": {"name": f"m{n}"}}).encode()) for n in range(1000))
    clear = frame(b'{"event":"clear"}')
    # 40,000 marks to give back at once are more than wait for a program: its stream may be closed.
    for _ in range(20):
        if not hostile.send(marks * 2 + clear * 100):
            break
    until(lambda: site.switch.rss_kb("RssAnon") - before < 40_000, "memory given back", 30)
    goes_on(call, esl, uuid)


def test_a_bomb_of_zeros_is_not_unpacked(site, esl, hostile):
    call, uuid = caller(site, esl)
    before = site.switch.rss_kb("RssAnon")
    assert esl.api(f"uuid_audio_stream {uuid} start {hostile.url} mono 8000") == "+OK Success\n"
    assert hostile.open.wait(20) and "permessage-deflate" in hostile.head
    packer = zlib.compressobj(9, wbits=-15)
    bomb = b"".join(packer.compress(b"\0" * 1_000_000) for _ in range(500)) + packer.flush(zlib.Z_SYNC_FLUSH)
    assert len(bomb) < 1_000_000
    hostile.send(frame(bomb[:-4], 2, rsv1=1))               # 500 MB
    esl.wait_event("CUSTOM", timeout=30, Event_Subclass="mod_audio_stream::error", Unique_ID=uuid)
    assert site.switch.rss_kb("RssAnon") - before < 30_000
    until(lambda: rows(esl, uuid) == [], "the end of the stream")
    goes_on(call, esl, uuid)


def test_a_frame_of_64_megabytes_is_refused_by_its_header(site, esl, hostile):
    call, uuid, before = attack(site, esl, hostile)
    assert hostile.send(b"\x82\x7f" + (64 << 20).to_bytes(8, "big") + bytes(1000))
    event = esl.wait_event("CUSTOM", timeout=20, Event_Subclass="mod_media_streams::error", Unique_ID=uuid)
    assert "longer than" in json.loads(event.event_body)["reason"]
    assert site.switch.rss_kb("RssAnon") - before < 10_000
    goes_on(call, esl, uuid)


def test_a_redirection_is_not_followed(site, esl):
    inside = socket.create_server(("127.0.0.1", 0))
    inside.settimeout(2)
    where = f"http://127.0.0.1:{inside.getsockname()[1]}/latest/meta-data"
    server = Hostile(lambda head: f"HTTP/1.1 302 Found\r\nLocation: {where}\r\nContent-Length: 0\r\n\r\n")
    try:
        call, uuid = caller(site, esl)
        esl.execute(uuid, "stream", f"{server.url} dialect=twilio background=true")
        event = esl.wait_event("CUSTOM", timeout=20, Event_Subclass="mod_media_streams::error", Unique_ID=uuid)
        assert "302" in json.loads(event.event_body)["reason"]
        with pytest.raises(TimeoutError):
            inside.accept()
        goes_on(call, esl, uuid)
    finally:
        inside.close()
        server.close()


def test_a_handshake_a_byte_at_a_time_has_an_end(site, esl):
    def dribble(_):
        for byte in b"HTTP/1.1 101 Switching Protocols\r\nX: " + b"y" * 600:
            server.socket.sendall(bytes([byte]))
            time.sleep(0.1)
        return ""
    server = Hostile(dribble)
    try:
        call, uuid = caller(site, esl)
        begun = time.monotonic()
        esl.execute(uuid, "stream", f"{server.url} dialect=twilio background=true")
        esl.wait_event("CUSTOM", timeout=40, Event_Subclass="mod_media_streams::error", Unique_ID=uuid)
        assert time.monotonic() - begun > 5
        goes_on(call, esl, uuid)
    finally:
        server.close()


def test_a_certificate_of_another_name_is_none(site, esl, tmp_path):
    def openssl(*words):
        made = subprocess.run(["openssl", *words], capture_output=True, cwd=tmp_path)
        assert made.returncode == 0, made.stderr
    openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=authority", "-keyout", "ca.key", "-out", "ca.pem")
    openssl("req", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=other.example", "-keyout", "key.pem", "-out", "request.pem")
    (tmp_path / "names").write_text("subjectAltName=DNS:other.example\n")
    openssl("x509", "-req", "-in", "request.pem", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2", "-extfile", "names", "-out", "cert.pem")
    key, certificate, authority = tmp_path / "key.pem", tmp_path / "cert.pem", tmp_path / "ca.pem"
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    call, uuid = caller(site, esl)
    for how, lets_in in ((f"ca={authority}", False), ("", False), (f"ca={authority} verify_name=false", True)):
        server = Hostile(tls=context)
        try:
            esl.execute(uuid, "stream", f"{server.url} dialect=twilio background=true name=n{lets_in} {how}")
            event = esl.wait_event("CUSTOM", timeout=20, Event_Subclass=f"mod_media_streams::{'connect' if lets_in else 'error'}", Unique_ID=uuid)
            assert lets_in or "certificate" in json.loads(event.event_body)["reason"].lower(), event.event_body
            assert lets_in or not server.head, "nothing is told to a server of another name"
        finally:
            server.close()
    goes_on(call, esl, uuid)


def test_a_flood_to_one_stream_is_not_heard_in_another(site, esl, hostile):
    """What is said by a program that behaves comes without a gap while another floods."""
    call, uuid, _ = attack(site, esl, hostile)
    other = Bot()
    ended = threading.Event()

    def flood():
        while not ended.is_set() and hostile.send((frame(b"", 9) + frame(b'{"event":"mark"}')) * 2000):
            time.sleep(0.02)
    try:
        second, leg = caller(site, esl)
        assert esl.api(f"uuid_audio_fork ^^|{leg}|start|{other.url}|mono|8000|b||true|true|8000") == "+OK Success\n"
        other.accept()
        thread = threading.Thread(target=flood, daemon=True)
        thread.start()
        begun = len(second.rtp.packets)
        other.send(b"".join(int(s).to_bytes(2, "little", signed=True) for s in audio.sine(1300, 4)))
        other.send({"type": "mark", "data": {"name": "end"}})
        other.wait_object(type="mark", timeout=60)
        assert audio.seconds_of(1300, second.rtp.samples(begun)) > 3.8
        second.hangup()
        call.hangup()
    finally:
        ended.set()
        other.close()
