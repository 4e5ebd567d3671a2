"""Speech that is heard while its engine still makes it: programs and services that give it piece by piece."""
import http.server
import json
import pathlib
import shutil
import struct
import threading
import time

import pytest

from harness import audio
from harness.ear import caller, hears


def pcm(hz, seconds=1, rate=8000):
    samples = list(audio.sine(hz, seconds, rate=rate))
    return struct.pack(f"<{len(samples)}h", *samples)


HEAD = b"RIFF" + b"\xff" * 4 + b"WAVEfmt " + struct.pack("<IHHIIHH", 16, 1, 1, 16000, 32000, 2, 16) + b"data" + b"\xff" * 4


class Service:
    """An engine by HTTP that says 700 Hz, and 1700 Hz once it is told to go on; a WAV file of unknown length in chunks.
    `asked` are the texts, `gone` is set when a client has left before the end."""

    def __init__(self):
        self.asked, self.go_on, self.gone = [], threading.Event(), threading.Event()
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                text = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["input"]
                outer.asked.append((text, self.headers["Authorization"]))
                if "broken" in text:
                    return self.send_error(503)
                self.send_response(200)
                self.send_header("Transfer-Encoding", "chunked")
                self.end_headers()
                self.chunk(HEAD)
                self.chunk(pcm(700, rate=16000))
                try:
                    while not outer.go_on.wait(0.05):
                        self.connection.settimeout(0.01)
                        try:
                            if self.connection.recv(1) == b"":
                                raise OSError("left")
                        except TimeoutError:
                            pass
                    self.chunk(pcm(1700, rate=16000))
                    self.chunk(b"")
                except OSError:
                    outer.gone.set()

            def chunk(self, body):
                self.connection.settimeout(10)
                self.wfile.write(b"%x\r\n%s\r\n" % (len(body), body))
                self.wfile.flush()

            def log_message(self, *_):
                pass
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1/audio/speech"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.go_on.set()
        self.server.shutdown()


@pytest.fixture
def engines(site, esl, tmp_path):
    """`web`, a service; `line`, a program that says 700 Hz and, once `tmp_path/go` is there, 1700 Hz; `stalls`, which goes silent."""
    service = Service()
    (tmp_path / "a.raw").write_bytes(pcm(700))
    (tmp_path / "b.raw").write_bytes(pcm(1700))
    one = f"echo $$ > {tmp_path}/pid; cat {tmp_path}/a.raw; : ${{voice}}"
    body = '{"input":"${text}"}'.replace('"', "&quot;")

    def params(**values):
        return "".join(f'<param name="{name.replace("_", "-")}" value="{value}"/>' for name, value in values.items())
    list_ = {
        "web": params(type="http", url=service.url, content_type="application/json", body=body, token="hush-tts"),
        "line": params(type="command", response="raw", response_rate=8000,
                       command=f"{one}; while [ ! -e {tmp_path}/go ]; do sleep 0.05; done; cat {tmp_path}/b.raw"),
        "stalls": params(type="command", response="raw", response_rate=8000, timeout=2, command=f"{one}; sleep 100"),
        "silent": params(type="command", response="raw", response_rate=8000, timeout=1, command="sleep 100; : ${text}"),
    }
    path = pathlib.Path(site.conf) / "autoload_configs" / "tts.conf.xml"
    engines = "".join(f'<engine name="{name}">{inside}</engine>' for name, inside in list_.items())
    path.write_text(f'<configuration name="tts.conf"><engines>{engines}</engines></configuration>')
    assert "+OK" in esl.api("reloadxml")
    until = time.monotonic() + 15
    while '"silent"' not in esl.api("tts voices") and time.monotonic() < until:
        time.sleep(0.05)
    yield service
    service.close()
    path.unlink()
    esl.api("reloadxml")


def done(esl, uuid, app="speak"):
    return esl.wait_event("CHANNEL_EXECUTE_COMPLETE", timeout=20, Unique_ID=uuid, Application=app).event


def text(what="hello"):
    """Words that were never said."""
    return f"{what} {time.time_ns()}"


def ended(pid, seconds=15):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            if ") Z " in pathlib.Path(f"/proc/{pid}/stat").read_text():
                return True
        except FileNotFoundError:
            return True
        time.sleep(0.05)
    return False


def test_a_service_is_heard_before_it_is_done_and_once_more_from_the_file(site, esl, engines):
    call, uuid = caller(site, esl)
    said = text()
    esl.execute(uuid, "speak", f"web|any|{said}")
    call.rtp.wait_tone(700, 0.8, timeout=20)
    at = len(call.rtp.packets)
    engines.go_on.set()
    call.rtp.wait_tone(1700, 0.8, timeout=20, since=at)
    done(esl, uuid)
    assert engines.asked == [(said, "Bearer hush-tts")]
    at = len(call.rtp.packets)
    esl.execute(uuid, "playback", f"tts://web|any|{said}")
    call.rtp.wait_tone(700, 0.8, timeout=20, since=at)
    call.rtp.wait_tone(1700, 0.8, timeout=20, since=at)
    done(esl, uuid, "playback")
    assert len(engines.asked) == 1, "the second time it is a file"
    call.hangup()


def test_a_break_ends_what_is_said_and_the_service_is_left(site, esl, engines):
    call, uuid = caller(site, esl)
    esl.execute(uuid, "speak", f"web|any|{text()}")
    call.rtp.wait_tone(700, 0.3, timeout=20)
    esl.api(f"uuid_break {uuid}")
    done(esl, uuid)
    assert engines.gone.wait(20), "the connection is kept without a listener"
    at = len(call.rtp.packets)
    esl.execute(uuid, "playback", "tone_stream://%(20000,0,2100)")
    hears(call, 2100)
    assert all(audio.power_of(700, audio.decode(*p)) < 0.2 for p in call.rtp.packets[at + 5:] if p[0] in (0, 8))
    call.hangup()


def test_a_program_is_heard_from_its_first_samples_on_and_ends_with_the_call(site, esl, engines, tmp_path):
    call, uuid = caller(site, esl)
    esl.execute(uuid, "speak", f"line|any|{text()}")
    call.rtp.wait_tone(700, 0.8, timeout=20)
    pid = (tmp_path / "pid").read_text().strip()
    assert not ended(pid, 0.2)
    call.hangup()
    assert ended(pid), "the program goes on without a listener"
    call, uuid = caller(site, esl)
    esl.execute(uuid, "speak", f"line|any|{text()}")
    call.rtp.wait_tone(700, 0.8, timeout=20)
    at = len(call.rtp.packets)
    (tmp_path / "go").write_text("")
    call.rtp.wait_tone(1700, 0.8, timeout=20, since=at)
    done(esl, uuid)
    call.hangup()


def test_an_engine_that_stalls_is_given_up_with_a_reason(site, esl, engines, tmp_path):
    call, uuid = caller(site, esl)
    esl.execute(uuid, "speak", f"stalls|any|{text()}")
    call.rtp.wait_tone(700, 0.8, timeout=20)
    done(esl, uuid)
    assert esl.api(f"uuid_getvar {uuid} tts_error").strip() == "no audio for 2 s"
    assert "speech engine stalls" in site.switch.said(400)
    assert ended((tmp_path / "pid").read_text().strip())
    for engine, why in (("silent", "no audio for 1 s"), ("web", "the service answers 503")):
        esl.execute(uuid, "speak", f"{engine}|any|{text('broken')}")
        done(esl, uuid)
        assert esl.api(f"uuid_getvar {uuid} tts_error").strip() == why
    at = len(call.rtp.packets)
    esl.execute(uuid, "playback", "tone_stream://%(20000,0,2100)")
    call.rtp.wait_tone(2100, 0.4, timeout=20, since=at)
    assert "hush-tts" not in site.switch.said(4000)
    call.hangup()


def test_a_break_ends_the_wait_for_an_engine_that_says_nothing(site, esl, engines):
    call, uuid = caller(site, esl)
    path = pathlib.Path(site.conf) / "autoload_configs" / "tts.conf.xml"
    path.write_text(path.read_text().replace('name="timeout" value="1"', 'name="timeout" value="200"'))
    assert "+OK" in esl.api("reloadxml")
    esl.execute(uuid, "speak", f"silent|any|{text()}")
    esl.wait_event("CHANNEL_EXECUTE", timeout=20, Unique_ID=uuid, Application="speak")
    until = time.monotonic() + 20
    while time.monotonic() < until:
        esl.api(f"uuid_break {uuid}")
        try:
            esl.wait_event("CHANNEL_EXECUTE_COMPLETE", timeout=1, Unique_ID=uuid, Application="speak")
            break
        except AssertionError:
            continue
    else:
        pytest.fail("a break does not end it")
    call.hangup()


@pytest.mark.skipif(not shutil.which("espeak-ng"), reason="SKIPPED: no espeak-ng")
def test_espeak_by_a_pipe(site, esl, engines):
    path = pathlib.Path(site.conf) / "autoload_configs" / "tts.conf.xml"
    pipe = '<engine name="espeak"><param name="type" value="command"/><param name="command" value="espeak-ng --stdout ${text}"/></engine></engines>'
    path.write_text(path.read_text().replace("</engines>", pipe))
    assert "+OK" in esl.api("reloadxml")
    until = time.monotonic() + 15
    while '"espeak"' not in esl.api("tts voices") and time.monotonic() < until:
        time.sleep(0.05)
    call, uuid = caller(site, esl)
    esl.execute(uuid, "speak", f"espeak|any|it's $(touch /tmp/never) {text('one two three')}")
    done(esl, uuid)
    assert sum(map(abs, call.rtp.samples())) > 200 * 8000
    call.hangup()
