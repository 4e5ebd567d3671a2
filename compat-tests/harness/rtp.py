"""One RTP stream: sends silence, tones or RFC 4733 digits every 20 ms, and keeps what it hears."""
import random
import select
import socket
import struct
import threading
import time

from . import audio

DIGITS = "0123456789*#ABCD"


class Rtp:
    def __init__(self, ip="127.0.0.1", port=0, event_type=101):
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.bind((ip, port))
        self.sock.settimeout(0.1)
        self.ip, self.port = self.sock.getsockname()
        self.event_type, self.remote = event_type, None
        self.seq, self.ts, self.ssrc = random.getrandbits(15), random.getrandbits(30), random.getrandbits(32)
        self.loop, self.once, self.events = [audio.SILENCE], [], []
        self.packets, self.heard_events, self.sources = [], [], set()
        self.lock, self.changed, self.open = threading.Lock(), threading.Condition(), True
        self.sending, self.paused = None, False
        self.hearing = threading.Thread(target=self._hear, daemon=True)
        self.hearing.start()

    # ---- sending

    def start(self, remote):
        """Begin sending to `remote` (silence until told otherwise); again: change the target."""
        self.remote = remote
        if not self.sending:
            self.sending = threading.Thread(target=self._talk, daemon=True)
            self.sending.start()

    def tone(self, hz):
        with self.lock:
            self.loop = audio.frames(audio.sine(hz, 1)) if hz else [audio.SILENCE]

    def pause(self, on=True):
        """Sends nothing at all meanwhile; time goes on."""
        self.paused = on

    def say(self, samples):
        """Say these samples once, then be silent; what is left of the last is not said."""
        with self.lock:
            self.once = audio.frames(samples)

    def digits(self, text, ms=100, gap_ms=100):
        """Queue telephone events; the time they take passes while the stream goes on."""
        with self.lock:
            for digit in text:
                self.events.append((DIGITS.index(digit), ms // 20, gap_ms // 20))

    def _send(self, kind, payload, ts, marker=False):
        packet = struct.pack("!BBHII", 0x80, kind | marker << 7, self.seq, ts, self.ssrc) + payload
        self.seq = self.seq + 1 & 0xFFFF
        try:
            self.sock.sendto(packet, self.remote)
        except OSError:                             # nobody listens there any more, or we are being closed
            pass

    def _talk(self):
        due, n = time.monotonic(), 0
        event = step = pause = began = 0
        while self.open:
            waiting = bool(self.once or self.events or step)
            with self.lock:
                if not step and not pause and self.events:
                    event, step, pause = self.events.pop(0)
                    last, began, marker = step, self.ts, True
                if step:
                    step -= 1
                    duration = (last - step) * audio.FRAME
                    for _ in range(1 if step else 3):
                        self._send(self.event_type, struct.pack("!BBH", event, (0 if step else 128) | 10, duration), began, marker)
                    marker = False
                else:
                    pause = max(0, pause - 1)
                    frame = self.once.pop(0) if self.once else self.loop[n % len(self.loop)]
                    if not self.paused:
                        self._send(0, frame, self.ts)
                    n += 1
                self.ts = self.ts + audio.FRAME & 0xFFFFFFFF
            if waiting and not (self.once or self.events):
                with self.changed:                  # those who wait for that learn it also where nothing is heard
                    self.changed.notify_all()
            due += 0.02
            time.sleep(max(0.0, due - time.monotonic()))

    # ---- hearing

    def _hear(self):
        while self.open:
            try:
                data, source = self.sock.recvfrom(2048)
            except (TimeoutError, socket.timeout):
                continue
            except OSError:
                return
            if len(data) < 12 or data[0] >> 6 != 2 or 192 <= data[1] <= 223:
                continue
            kind, ts = data[1] & 127, struct.unpack("!I", data[4:8])[0]
            with self.changed:
                self.sources.add(source)
                if kind == self.event_type and len(data) >= 16:
                    if all(seen != ts for seen, _ in self.heard_events):
                        self.heard_events.append((ts, data[12]))
                else:
                    self.packets.append((kind, data[12:]))
                self.changed.notify_all()

    def caught_up(self, timeout=5):
        """Until what lies in the socket by now is heard: on a loaded machine this process is behind what the switch has sent."""
        until = time.monotonic() + timeout
        while self.open and time.monotonic() < until and select.select([self.sock], [], [], 0)[0]:
            time.sleep(0.001)

    def samples(self, since=0):
        """All audio heard from packet number `since` on."""
        self.caught_up()
        return [s for kind, payload in self.packets[since:] if kind in (0, 8) for s in audio.decode(kind, payload)]

    def heard_digits(self):
        return "".join(DIGITS[e] for _, e in self.heard_events if e < 16)

    def _wait(self, what, done, timeout):
        until = time.monotonic() + timeout
        with self.changed:
            # Sending tells no one, and a call may hear nothing meanwhile: look again without being told.
            while not self.changed.wait_for(done, 0.05) and time.monotonic() < until:
                pass
            if not done():
                raise AssertionError(f"not heard in {timeout} s: {what}; {len(self.packets)} packets, digits {self.heard_digits()!r}")

    def wait_tone(self, hz, seconds=0.5, timeout=20, since=0):
        """Until `hz` was heard for that long."""
        found, at = 0.0, since

        def done():
            nonlocal found, at
            while at < len(self.packets):
                kind, payload = self.packets[at]
                at += 1
                if kind in (0, 8):
                    found += 0.02 * (audio.power_of(hz, audio.decode(kind, payload)) > 0.6)
            return found >= seconds
        self._wait(f"{seconds} s of {hz} Hz", done, timeout)

    def wait_packets(self, count, timeout=8):
        self._wait(f"{count} packets", lambda: len(self.packets) >= count, timeout)

    def wait_digits(self, text, timeout=8):
        self._wait(f"digits {text}", lambda: self.heard_digits() == text, timeout)

    def close(self):
        self.open = False
        if self.sending:
            self.sending.join(1)
        self.hearing.join(1)
        self.sock.close()
