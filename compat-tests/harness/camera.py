"""A camera and a screen beside a SIP phone's audio: packets of VP8 that name who sends them, whole pictures when asked for."""
import queue
import re
import socket
import struct
import threading
import time

LINE = "m=video {port} RTP/AVPF {pt}\r\na=rtpmap:{pt} {codec}/90000\r\na=rtcp-fb:{pt} nack\r\na=rtcp-fb:{pt} nack pli\r\na=rtcp-mux\r\na={flow}\r\n"
EVERY = 0.05


class Camera:
    """Films under a name of its own from when it knows where to send to."""

    def __init__(self, name, pt=96, codec="VP8"):
        self.name, self.pt, self.codec, self.ssrc = name, pt, codec, hash(name) & 0xffffffff
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.socket.settimeout(EVERY / 5)
        self.port, self.to, self.ended, self.films = self.socket.getsockname()[1], None, False, True
        self.seq, self.number, self.whole, self.asked = 1, 1, True, 0
        self.seen, self.all = queue.SimpleQueue(), []
        threading.Thread(target=self._film, daemon=True).start()

    def line(self, flow="sendrecv"):
        return LINE.format(port=self.port, pt=self.pt, codec=self.codec, flow=flow)

    def sdp(self, call, flow="sendrecv"):
        """The call's description with a line for the camera."""
        return call.sdp().replace("RTP/AVP 0", "RTP/AVPF 0") + self.line(flow)

    def hear_answer(self, body):
        port = int(re.search(r"^m=video (\d+)", body, re.M)[1])
        assert port, f"the video is declined\n{body}"
        self.to = ("127.0.0.1", port)

    def _film(self):
        due = time.monotonic()
        while not self.ended:
            if self.to and self.films and time.monotonic() >= due:
                due = time.monotonic() + EVERY
                picture = b"\x90\x80" + struct.pack("!HB", 0x8000 | self.number & 0x7fff, 0 if self.whole else 1) + self.name.encode()
                header = struct.pack("!BBHII", 0x80, 0x80 | self.pt, self.seq, self.number * 4500 & 0xffffffff, self.ssrc)
                self.socket.sendto(header + picture, self.to)
                self.seq, self.number, self.whole = self.seq + 1 & 0xffff, self.number + 1, False
            try:
                packet = self.socket.recv(2048)
            except TimeoutError:
                continue
            except OSError:
                return
            if 192 <= packet[1] <= 223:
                self._asked(packet)
            else:
                _, _, seq, stamp, ssrc = struct.unpack("!BBHII", packet[:12])
                self.all.append((seq, stamp, ssrc))
                self.seen.put((packet[1] & 0x7f, packet[17:].decode(errors="replace")))

    def _asked(self, packet):
        while len(packet) >= 8:
            length = (int.from_bytes(packet[2:4], "big") + 1) * 4
            if packet[1] == 206:
                self.whole, self.asked = True, self.asked + 1
            packet = packet[length:]

    def _forget(self):
        while not self.seen.empty():
            self.seen.get()

    def sees(self, name, timeout=15, times=5):
        """Until it sees that camera so many times on end, and no other."""
        self._forget()
        until, row, last = time.monotonic() + timeout, 0, None
        while row < times:
            assert time.monotonic() < until, f"{self.name} sees {last}, not {name}"
            try:
                pt, last = self.seen.get(timeout=0.2)
            except queue.Empty:
                row = 0
                continue
            assert pt == self.pt, "its own number"
            row = row + 1 if last == name else 0

    def sees_nothing(self, timeout=15):
        """Until no picture comes for as long as ten would take."""
        until = time.monotonic() + timeout
        while True:
            self._forget()
            try:
                _, last = self.seen.get(timeout=10 * EVERY)
            except queue.Empty:
                return
            assert time.monotonic() < until, f"{self.name} still sees {last}"

    def sees_something(self, timeout=15):
        """Until a picture comes, whatever it holds."""
        until = time.monotonic() + timeout
        while not self.all:
            assert time.monotonic() < until, f"{self.name} sees nothing"
            time.sleep(EVERY)

    def can_take(self, bits):
        """Says so of the stream it sees (REMB)."""
        shift = max(0, bits.bit_length() - 18)
        source = self.all[-1][2]
        report = struct.pack("!BBHI", 0x80, 201, 1, self.ssrc)
        estimate = struct.pack("!BBHII4sII", 0x8f, 206, 5, self.ssrc, 0, b"REMB", 1 << 24 | shift << 18 | bits >> shift, source)
        self.socket.sendto(report + estimate, self.to)

    def one_stream(self):
        """Everything seen was one stream without a gap."""
        assert len({ssrc for _, _, ssrc in self.all}) == 1
        for (seq, stamp, _), (after, later, _) in zip(self.all, self.all[1:]):
            assert after == seq + 1 & 0xffff, (seq, after)
            assert 0 < (later - stamp & 0xffffffff) < 90_000 * 60, (stamp, later)

    def close(self):
        self.ended = True
        self.socket.close()
