"""A way between a phone's audio and the switch that loses what a test wants lost, and reports what the phone would report."""
import socket
import struct
import threading


class Relay:
    """Passes RTP between a `harness.rtp.Rtp` and the switch. `lose_up` and `lose_down` are functions of a packet's number
    (true: lost); what comes of the switch is kept apart from what the phone sends."""

    def __init__(self, rtp, ip="127.0.0.1"):
        self.rtp, self.ip = rtp, ip
        self.near = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.near.bind((ip, 0))
        self.far, self.far_rtcp = self._pair()
        self.port = self.far.getsockname()[1]
        self.switch, self.ssrc, self.sender_report = None, 0, 0
        self.lose_up = self.lose_down = lambda n: False
        self.passed = [0, 0]
        self.open = True
        self.threads = [threading.Thread(target=pump, daemon=True) for pump in (self._up, self._down, self._rtcp)]
        for thread in self.threads:
            thread.start()

    def _pair(self):
        """Two ports, the even one first."""
        for _ in range(200):
            rtp, rtcp = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
            rtp.bind((self.ip, 0))
            port = rtp.getsockname()[1]
            if port % 2 == 0:
                try:
                    rtcp.bind((self.ip, port + 1))
                    return rtp, rtcp
                except OSError:
                    pass
            rtp.close()
            rtcp.close()
        raise AssertionError("no pair of ports")

    def described(self, call):
        """The phone's description with the relay's address."""
        return call.sdp().replace(f"m=audio {call.rtp.port} ", f"m=audio {self.port} ")

    def connect(self, switch):
        """Audio flows: `switch` is the address its description names."""
        self.switch = switch
        self.rtp.start(self.near.getsockname())

    def _pump(self, sock, take):
        sock.settimeout(0.1)
        while self.open:
            try:
                take(*sock.recvfrom(2048))
            except (TimeoutError, socket.timeout):
                continue
            except OSError:
                return

    def _up(self):
        def take(data, _):
            self.passed[0] += 1
            if self.switch and not self.lose_up(self.passed[0]):
                self.far.sendto(data, self.switch)
        self._pump(self.near, take)

    def _down(self):
        def take(data, _):
            self.passed[1] += 1
            self.ssrc = struct.unpack("!I", data[8:12])[0]
            if not self.lose_down(self.passed[1]):
                self.near.sendto(data, (self.ip, self.rtp.port))
        self._pump(self.far, take)

    def _rtcp(self):
        def take(data, _):
            if data[1] == 200:                      # the middle of its NTP time is what a report echoes
                self.sender_report = struct.unpack("!I", data[10:14])[0]
        self._pump(self.far_rtcp, take)

    def report(self, fraction, lost, jitter):
        """A receiver report of the phone: share lost of 256, packets lost, jitter in timestamp units."""
        block = struct.pack("!IIIIII", self.ssrc, fraction << 24 | lost, self.passed[1], jitter, self.sender_report, 0)
        packet = struct.pack("!BBHI", 0x81, 201, 7, self.rtp.ssrc) + block
        self.far_rtcp.sendto(packet, (self.switch[0], self.switch[1] + 1))

    def close(self):
        self.open = False
        for thread in self.threads:
            thread.join(1)
        for sock in (self.near, self.far, self.far_rtcp):
            sock.close()
