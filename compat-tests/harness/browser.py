"""A browser without a window: aiortc's connectivity checks, DTLS-SRTP and codecs behind a SIP phone's signalling.

It runs in a thread with an event loop of its own; tests call it as they call a phone. Its microphone is a tone, its loudspeaker
a list of samples at 48 kHz.
"""
import array
import asyncio
import datetime
import fractions
import math
import random
import threading
import time

import aioice.ice
import av
from aiortc import MediaStreamTrack, RTCConfiguration, RTCPeerConnection, RTCRtpSender, RTCSessionDescription
from aiortc.rtcdtlstransport import RTCCertificate
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from . import audio

RATE = 48000
# The network of the tests is this machine, unless a browser says where its is.
PLACE = threading.local()
aioice.ice.get_host_addresses = lambda use_ipv4, use_ipv6: [getattr(PLACE, "address", "127.0.0.1")]


class Tone(MediaStreamTrack):
    """A microphone that hears a sine."""
    kind = "audio"

    def __init__(self, hz):
        super().__init__()
        self.hz, self.at, self.begun = hz, 0, None

    async def recv(self):
        self.begun = self.begun or time.monotonic()
        await asyncio.sleep(max(0, self.begun + self.at / RATE - time.monotonic()))
        wave = (int(9000 * math.sin(2 * math.pi * self.hz * n / RATE)) for n in range(self.at, self.at + 960))
        frame = av.AudioFrame(format="s16", layout="mono", samples=960)
        frame.planes[0].update(array.array("h", wave).tobytes())
        frame.sample_rate, frame.pts, frame.time_base = RATE, self.at, fractions.Fraction(1, RATE)
        self.at += 960
        return frame


class RsaCertificate(RTCCertificate):
    """As FreeSWITCH and some phones have; aiortc's own is ECDSA, and so are the ciphers it would offer."""

    def _create_ssl_context(self, srtp_profiles):
        context = super()._create_ssl_context(srtp_profiles)
        context.set_cipher_list(b"ECDHE+AESGCM")
        return context


def rsa_certificate():
    key = rsa.generate_private_key(65537, 2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "browser")])
    now = datetime.datetime.now(tz=datetime.timezone.utc)
    made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    made = made.serial_number(x509.random_serial_number()).not_valid_before(now - datetime.timedelta(days=1))
    return RsaCertificate(key=key, cert=made.not_valid_after(now + datetime.timedelta(days=30)).sign(key, hashes.SHA256()))


def spelt_out(sdp):
    """A description with what aiortc insists on and browsers take as said: the line's name, and the default direction."""
    said = any(f"a={direction}\r\n" in sdp for direction in ("sendrecv", "sendonly", "recvonly", "inactive"))
    return sdp.replace("a=ptime", ("" if said else "a=sendrecv\r\n") + "a=mid:0\r\na=ptime", 1)


class Browser:
    """One call of a browser. `codecs` are the names offered, best first; `lossy` is the part of its DTLS datagrams that get lost;
    `place` is (a function that enters a network, the browser's address there)."""

    def __init__(self, phone, hz=440, codecs=("opus", "PCMU", "PCMA"), rsa_key=False, lossy=0.0, place=None):
        self.phone, self.heard, self.call, self.lossy = phone, [], None, lossy
        self.loop = asyncio.new_event_loop()

        def run():
            if place:
                enter, PLACE.address = place
                enter()
            self.loop.run_forever()
        threading.Thread(target=run, daemon=True).start()
        self.pc = self._do(self._open(hz, codecs, rsa_key))

    def _do(self, what, timeout=20):
        return asyncio.run_coroutine_threadsafe(what, self.loop).result(timeout)

    async def _open(self, hz, codecs, rsa_key):
        pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        if rsa_key:
            pc._RTCPeerConnection__certificates = [rsa_certificate()]
        self.transceiver = pc.addTransceiver(Tone(hz), direction="sendrecv")
        known = RTCRtpSender.getCapabilities("audio").codecs
        named = [codec for name in codecs for codec in known if codec.mimeType.lower() == f"audio/{name.lower()}"]
        self.transceiver.setCodecPreferences(named)
        pc.on("track", lambda track: asyncio.ensure_future(self._listen(track)))
        return pc

    async def _listen(self, track):
        resampler = av.AudioResampler(format="s16", layout="mono", rate=RATE)
        try:
            while True:
                for frame in resampler.resample(await track.recv()):
                    self.heard.extend(array.array("h", bytes(frame.planes[0])[:frame.samples * 2]))
        except Exception:                               # aiortc ends a track with an exception of its own
            return

    async def _offer(self):
        await self.pc.setLocalDescription(await self.pc.createOffer())
        self._lose()
        return self.pc.localDescription.sdp

    def _lose(self):
        """Some of what the handshake sends gets lost."""
        transport = self.transceiver.sender.transport
        send, dice = transport.transport._send, random.Random(7)

        async def sometimes(data):
            if not (20 <= data[0] <= 63 and dice.random() < self.lossy):
                await send(data)
        transport.transport._send = sometimes

    # ---- calling

    def invite(self, number, edit=lambda sdp: sdp):
        """Calls; `edit` changes the description on its way out."""
        self.call = self.phone.invite(number, sdp=edit(self._do(self._offer())))
        return self.call

    def accept_answer(self, status=200):
        """Takes the far end's description: checks and handshake begin."""
        self.answer = self.call.wait(status).body
        self._do(self.pc.setRemoteDescription(RTCSessionDescription(spelt_out(self.answer), "answer")))

    def reinvite(self, direction="sendrecv"):
        """Offers anew, as a page that holds or resumes; returns the answer."""
        async def offer():
            self.transceiver.direction = direction
            await self.pc.setLocalDescription(await self.pc.createOffer())
            return self.pc.localDescription.sdp
        answer = self.call.reinvite(sdp=self._do(offer()))
        assert answer.status == 200, answer.start
        self._do(self.pc.setRemoteDescription(RTCSessionDescription(spelt_out(answer.body), "answer")))
        return answer

    # ---- called

    def answer_call(self, call):
        """Answers an offer of the server's."""
        async def answer():
            await self.pc.setRemoteDescription(RTCSessionDescription(spelt_out(call.request.body), "offer"))
            await self.pc.setLocalDescription(await self.pc.createAnswer())
            self._lose()
            return self.pc.localDescription.sdp
        self.call = call
        call.rtp.close()
        call.phone.reply(call.request, 200, "OK", body=self._do(answer()), tag=call.tag)
        call.until(lambda p: p.method == "ACK", "ACK")

    # ---- hearing

    def wait_connected(self, timeout=15):
        until = time.monotonic() + timeout
        while self.pc.connectionState != "connected":
            assert time.monotonic() < until, f"{self.pc.iceConnectionState}, {self.pc.connectionState}"
            time.sleep(0.02)

    def wait_tone(self, hz, seconds=0.5, timeout=15):
        """Until that tone was heard that long, without a break, from now on."""
        until, since = time.monotonic() + timeout, len(self.heard)
        while True:
            last = self.heard[since:][-int(seconds * RATE):]
            if len(last) >= seconds * RATE and audio.power_of(hz, last, RATE) > 0.7:
                return
            assert time.monotonic() < until, f"no {hz} Hz among {len(self.heard) - since} samples"
            time.sleep(0.1)

    def close(self):
        async def end():
            await self.pc.close()
            await asyncio.sleep(0)
        self._do(end())
        self.loop.call_soon_threadsafe(self.loop.stop)
