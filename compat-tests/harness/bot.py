"""A program at the other end of a stream: a WebSocket server in a thread that keeps what it hears and says what it is told."""
import json
import queue
import struct
import threading
import time

from websockets.sync.server import serve

from . import audio


def parsed(message):
    try:
        return json.loads(message) if isinstance(message, str) else None
    except ValueError:
        return None


class Heard:
    """What a bot hears, frame by frame of 20 ms at 8 kHz. Each frame is looked at once: to go through all of it with every message
    takes longer the more there is, and a machine with other work falls behind."""

    def __init__(self, bot):
        self.bot, self.at, self.octets, self.frames, self.counts = bot, 0, b"", [], {}

    def _take(self):
        with self.bot.changed:
            new, self.at = self.bot.said[self.at:], len(self.bot.said)
        self.octets += b"".join(m for m in new if not isinstance(m, str))
        whole = len(self.octets) // 320 * 320
        self.frames += [struct.unpack("<160h", self.octets[i:i + 320]) for i in range(0, whole, 320)]
        self.octets = self.octets[whole:]

    def ms(self, hz):
        """Milliseconds of frames in which `hz` is strong."""
        self._take()
        at, loud = self.counts.get(hz, (0, 0))
        loud += sum(max(map(abs, f)) > 300 and audio.power_of(hz, f) > 0.25 for f in self.frames[at:])
        self.counts[hz] = len(self.frames), loud
        return 20 * loud


class Bot:
    """Takes one connection after the other; `connection` is the latest, `said` every message of all of them in order."""

    def __init__(self, port=0, subprotocols=None, **more):
        self.said, self.changed, self.closed = [], threading.Condition(), []
        self.read = []                                  # of `said`, as JSON: each message is parsed once
        self.requests, self.connections = [], queue.Queue()
        self.stalled = threading.Event()
        self.on_message = None
        self.server = serve(self._serve, "127.0.0.1", port, subprotocols=subprotocols, max_size=None, **more)
        self.port = self.server.socket.getsockname()[1]
        self.url = f"ws://127.0.0.1:{self.port}/bot?x=1"
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()
        self.connection = None

    def _serve(self, connection):
        with self.changed:
            self.requests.append(connection.request)
            self.connection = connection
        self.connections.put(connection)
        try:
            for message in connection:
                with self.changed:
                    self.said.append(message)
                    self.changed.notify_all()
                if self.on_message:
                    self.on_message(connection, message)
                while self.stalled.is_set():
                    time.sleep(0.02)
        except Exception:                               # a connection that breaks is one of the things tested
            pass
        with self.changed:
            self.closed.append((connection.protocol.close_code, connection.protocol.close_reason))
            self.changed.notify_all()

    def accept(self, timeout=20):
        """The next connection."""
        return self.connections.get(timeout=timeout)

    def wait(self, what, done, timeout=20):
        with self.changed:
            if not self.changed.wait_for(done, timeout):
                seen = [m if isinstance(m, str) else f"<{len(m)}>" for m in self.said[-8:]]
                raise AssertionError(f"not in {timeout} s: {what}; {len(self.said)} messages, the last {seen}")

    def texts(self):
        return [m for m in self.said if isinstance(m, str)]

    def objects(self, **wanted):
        """Texts that are JSON objects with those values."""
        with self.changed:
            self.read += map(parsed, self.said[len(self.read):])
            return [value for value in self.read if isinstance(value, dict) and all(value.get(k) == v for k, v in wanted.items())]

    def binaries(self):
        return [m for m in self.said if not isinstance(m, str)]

    def wait_text(self, text, timeout=20):
        self.wait(text, lambda: text in self.texts(), timeout)

    def wait_object(self, count=1, timeout=20, **wanted):
        self.wait(f"{count} of {wanted}", lambda: len(self.objects(**wanted)) >= count, timeout)
        return self.objects(**wanted)[count - 1]

    def wait_audio(self, octets, timeout=20):
        self.wait(f"{octets} octets of audio", lambda: sum(map(len, self.binaries())) >= octets, timeout)

    def forget(self):
        with self.changed:
            self.said.clear()
            self.read.clear()

    def send(self, message):
        self.connection.send(message if isinstance(message, (str, bytes)) else json.dumps(message))

    def close(self):
        self.stalled.clear()
        self.server.shutdown()
        self.thread.join(2)
