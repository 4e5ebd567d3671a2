"""What a bridge passes on beside audio: video with what its receiver asks for, and fax over UDPTL."""
import re
import socket
import struct
import time

import pytest

IMAGE = ["a=T38FaxVersion:0", "a=T38MaxBitRate:14400", "a=T38FaxRateManagement:transferredTCF", "a=T38FaxMaxDatagram:400",
         "a=T38FaxUdpEC:t38UDPRedundancy"]


class Datagrams:
    """A pair of UDP ports, RTP and RTCP."""

    def __init__(self):
        while True:
            rtp, rtcp = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
            rtp.bind(("127.0.0.1", 0))
            self.port = rtp.getsockname()[1]
            try:
                rtcp.bind(("127.0.0.1", self.port + 1))
                break
            except OSError:
                rtp.close(), rtcp.close()
        self.rtp, self.rtcp = rtp, rtcp
        for sock in (rtp, rtcp):
            sock.settimeout(0.1)

    def close(self):
        self.rtp.close(), self.rtcp.close()


def passes(sender, to, packet, receiver, accept, seconds=8):
    """Sends the packet until the receiver gets one that `accept` takes, and returns that."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        sender.sendto(packet, ("127.0.0.1", to))
        try:
            heard = receiver.recv(2048)
        except TimeoutError:
            continue
        if accept(heard):
            return heard
    raise AssertionError(f"nothing of {packet!r} came in {seconds} s")


def rtp(number, ssrc, payload, seq=7):
    return struct.pack("!BBHII", 0x80, 0x80 | number, seq, 9000, ssrc) + payload


def video_port(body):
    return int(re.search(r"^m=video (\d+)", body, re.M)[1])


@pytest.fixture
def ends():
    near, far = Datagrams(), Datagrams()
    yield near, far
    near.close(), far.close()


def test_video_passes_both_ways_with_requests_for_pictures(site, ends):
    near, far = ends
    line = "m=video {} RTP/AVP {}\r\na=rtpmap:{} VP8/90000\r\na=rtcp-fb:* nack pli\r\n".format
    carrier = site.carrier()
    call = site.phone().invite("carrier-100", sdp=lambda call: call.sdp() + line(near.port, 96, 96))
    called = carrier.accept()
    offer = called.request.body
    assert "m=audio" in offer and re.search(r"^a=rtpmap:96 VP8/90000", offer, re.M), offer
    called._hear_offer()
    carrier.reply(called.request, 200, "OK", body=called.sdp() + line(far.port, 96, 96), tag=called.tag)
    answer = call.wait(200).body
    assert re.search(r"^m=video \d+ RTP/AVP 96\r\nb=AS:1024\r\na=rtpmap:96 VP8/90000", answer, re.M), answer
    here, there = video_port(answer), video_port(offer)
    assert here and there and here != there

    picture = passes(near.rtp, here, rtp(96, 0x11111111, b"key frame"), far.rtp, lambda p: p.endswith(b"key frame"))
    assert (picture[1], picture[2:8]) == (0x80 | 96, rtp(96, 0, b"")[2:8]), "number, marker, sequence and time as sent"
    back = passes(far.rtp, there, rtp(96, 0x22222222, b"reply"), near.rtp, lambda p: p.endswith(b"reply"))
    shown = struct.unpack("!I", picture[8:12])[0]
    assert shown not in (0x11111111, 0x22222222), "each side sees a source of ours"
    # The called party asks for a whole picture of the source it sees; the caller is asked for one of its own.
    pli = struct.pack("!BBHII", 0x81, 206, 2, 0x22222222, shown)
    asked = passes(far.rtcp, there + 1, pli, near.rtcp, lambda p: p[1] == 206)
    assert asked[8:12] == struct.pack("!I", 0x11111111)
    assert asked[4:8] == back[8:12], "and by the source the caller sees"
    call.hangup()
    called.wait_end()


def test_video_that_the_called_party_declines_leaves_the_audio(site, ends):
    near, _ = ends
    carrier = site.carrier()
    line = f"m=video {near.port} RTP/AVP 96\r\na=rtpmap:96 VP8/90000\r\n"
    call = site.phone().invite("carrier-100", sdp=lambda call: call.sdp() + line)
    called = carrier.accept()
    called._hear_offer()
    carrier.reply(called.request, 200, "OK", body=called.sdp() + "m=video 0 RTP/AVP 96\r\n", tag=called.tag)
    call.wait(200)
    called.rtp.tone(700)
    call.rtp.wait_tone(700)
    call.hangup()
    called.wait_end()


def fax_line(port):
    return "\r\n".join([f"m=image {port} udptl t38", *IMAGE, ""])


def described(call, media):
    return "\r\n".join(["v=0", "o=- 1 2 IN IP4 127.0.0.1", "s=-", "c=IN IP4 127.0.0.1", "t=0 0", media])


def ask(call, body):
    """A re-INVITE whose answer the test acknowledges; returns at once."""
    with call.changed:
        call.cseq, call.acks = call.cseq + 1, False
        call.branch = call.phone.request("INVITE", call.target, call.call_id, call.cseq, call.local, call.remote, body=body,
                                         to_address=call.address)


def answered(call):
    answer = call.until(lambda p: p.status >= 200 and p["cseq"] == f"{call.cseq} INVITE", "answer to re-INVITE")
    branch = call.branch if answer.status >= 300 else None
    call.phone.request("ACK", call.target, call.call_id, call.cseq, call.local, call.remote, branch=branch, to_address=call.address)
    return answer


@pytest.mark.parametrize("takes", [True, False])
def test_a_change_to_fax_is_passed_on_and_its_answer_back(site, ends, takes):
    near, far = ends
    carrier = site.carrier()
    call = site.phone().invite("fax-100")
    called = carrier.accept()
    called.answer()
    audio = call.wait(200).media()[1]
    manners = call._handle

    def handle(packet):
        if packet.method == "INVITE" and not packet.status:
            call.seen.append(packet)
            body = described(call, fax_line(near.port)) if takes else ""
            call.phone.reply(packet, *((200, "OK") if takes else (488, "Not Acceptable Here")), body=body, tag=call.tag)
        else:
            manners(packet)
    call._handle = handle
    ask(called, described(called, fax_line(far.port)))
    asked = call.until(lambda p: p.method == "INVITE" and not p.status, "re-INVITE")
    assert re.search(rf"^m=image {audio} udptl t38", asked.body, re.M), asked.body
    answer = answered(called)
    if takes:
        port = int(re.search(r"^m=image (\d+) udptl t38", answer.body, re.M)[1])
        # Whatever a fax packet begins with, it passes: these look like a check, a handshake and RTP.
        for first in (b"\x00\x01", b"\x16\xfe", b"\x80\x00"):
            sent = first + b"fax of the called party"
            assert passes(far.rtp, port, sent, near.rtp, lambda p, sent=sent: p == sent) == sent
        assert passes(near.rtp, audio, b"\x00\x02the caller's", far.rtp, lambda p: p.endswith(b"the caller's"))
    else:
        assert answer.status == 488
        called.rtp.tone(700)
        call.rtp.wait_tone(700)
    call._handle = manners
    call.hangup()
    called.wait_end()


def test_a_change_to_fax_is_refused_where_no_variable_allows_it(site):
    carrier = site.carrier()
    call = site.phone().invite("carrier-100")
    called = carrier.accept()
    called.answer()
    call.wait(200)
    ask(called, described(called, fax_line(4000)))
    assert answered(called).status == 488
    called.rtp.tone(700)
    call.rtp.wait_tone(700)
    call.hangup()
    called.wait_end()
