"""Servers that recognise speech, in the words of those that do: they know by the loudness of the audio that something was
said, and answer with the next of the sentences they were given."""
import http.server
import json
import struct
import threading

from .bot import Bot


class Ear:
    """Hears 16-bit samples: `word` during speech, `end` once it has stopped for 300 ms."""

    def __init__(self, rate):
        self.rate, self.loud, self.quiet, self.at = rate, 0, 0, 0

    def hear(self, samples):
        level = sum(map(abs, samples)) / max(1, len(samples))
        ms = len(samples) * 1000 / self.rate
        self.at += ms
        if level > 200:
            self.loud, self.quiet = self.loud + ms, 0
            return "word" if self.loud >= 150 else None
        if self.loud:
            self.quiet += ms
            if self.quiet >= 300:
                self.span = self.at - self.quiet - self.loud, self.at - self.quiet
                self.loud = self.quiet = 0
                return "end"
        return None


def linear(octets):
    return struct.unpack(f"<{len(octets) // 2}h", octets[:len(octets) // 2 * 2])


class Vosk(Bot):
    """alphacep's asr_server: a reply to every message, `{"eof" : 1}` ends it."""

    def __init__(self, *sentences, hears=True, times=False):
        super().__init__()
        self.sentences, self.hears, self.times, self.ears = list(sentences), hears, times, {}
        self.on_message = self._hear

    def _hear(self, connection, message):
        if isinstance(message, str):
            if "config" in message:
                self.ears[connection] = Ear(json.loads(message)["config"]["sample_rate"])
            elif message == '{"eof" : 1}':
                connection.send('{"text" : ""}')
                connection.close()
            return
        heard = self.ears[connection].hear(linear(message)) if self.hears else None
        said = self.sentences[0] if self.sentences else "nothing"
        if heard == "word":
            connection.send(json.dumps({"partial": said.split()[0]}))
        elif heard == "end":
            self.sentences = self.sentences[1:]
            words = [{"conf": 0.9, "start": 0.1, "end": 0.2, "word": w} for w in said.split()]
            if self.times:                          # each word has its share of what was heard
                begin, end = self.ears[connection].span
                share = (end - begin) / len(words) / 1000
                for n, word in enumerate(words):
                    word.update(start=begin / 1000 + n * share, end=begin / 1000 + (n + 1) * share)
            connection.send(json.dumps({"result": words, "text": said}))
        else:
            connection.send('{"partial" : ""}')


class Jambonz(Bot):
    """The open protocol: `start`, samples, transcriptions."""

    def __init__(self, *sentences):
        super().__init__()
        self.sentences, self.ears = list(sentences), {}
        self.on_message = self._hear

    def _hear(self, connection, message):
        if isinstance(message, str):
            said = json.loads(message)
            if said["type"] == "start":
                self.ears[connection] = Ear(said["sampleRateHz"])
            return
        heard = self.ears[connection].hear(linear(message))
        if heard:
            said = self.sentences[0] if self.sentences else "nothing"
            if heard == "end":
                self.sentences = self.sentences[1:]
            connection.send(json.dumps({"type": "transcription", "is_final": heard == "end", "language": "en-US", "channel": 1,
                                        "alternatives": [{"transcript": said if heard == "end" else said.split()[0], "confidence": 0.8}],
                                        "own": "kept"}))


class Live(Bot):
    """WhisperLive: 32-bit floats, segments that grow."""

    def __init__(self, *sentences):
        super().__init__()
        self.sentences, self.ears, self.done = list(sentences), {}, []
        self.on_message = self._hear

    def _hear(self, connection, message):
        if isinstance(message, str):
            self.ears[connection] = Ear(16000)
            connection.send(json.dumps({"uid": json.loads(message)["uid"], "message": "SERVER_READY", "backend": "x"}))
            return
        if message == b"END_OF_AUDIO":
            return
        floats = struct.unpack(f"<{len(message) // 4}f", message)
        heard = self.ears[connection].hear([int(f * 32768) for f in floats])
        if heard:
            said, at = self.sentences[0] if self.sentences else "nothing", f"{len(self.done) * 2}.000"
            now = {"start": at, "end": at, "text": " " + said, "completed": heard == "end"}
            connection.send(json.dumps({"uid": "u", "segments": self.done + [now]}))
            if heard == "end":
                self.done.append(now)
                self.sentences = self.sentences[1:]


class Transcriptions:
    """An HTTP server as OpenAI's `/v1/audio/transcriptions`; `asked` are the forms."""

    def __init__(self, *sentences, status=200):
        outer, self.sentences, self.asked = self, list(sentences), []

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.asked.append((self.path, dict(self.headers), body))
                said = outer.sentences.pop(0) if outer.sentences else ""
                answer = json.dumps({"text": said}).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_):
                pass
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1/audio/transcriptions"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
