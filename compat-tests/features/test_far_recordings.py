"""Recordings to addresses: written here, put there, and kept where no server takes them."""
import http.server
import io
import pathlib
import threading

import pytest

from harness import audio
from harness.ear import NEAR, caller, run


@pytest.fixture
def files():
    """A server that takes what is put; `answers` are the first statuses of a path, 201 further on."""
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_PUT(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            with self.server.news:
                row = self.server.answers.get(self.path)
                status = row.pop(0) if row else 201
                self.server.asked.append((self.path, status, self.headers, body))
                self.server.news.notify_all()
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def do_GET(self):
            body = self.server.page.encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/xml")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.asked, server.answers, server.news, server.page = [], {}, threading.Condition(), ""
    threading.Thread(target=server.serve_forever, daemon=True).start()
    server.url = f"http://127.0.0.1:{server.server_port}"

    def put(count):
        with server.news:
            assert server.news.wait_for(lambda: len(server.asked) >= count, 30), [a[:2] for a in server.asked]
            return server.asked[count - 1]
    server.put = put
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def esl(site):
    client = site.esl()
    client.command("event plain ALL")
    yield client
    client.close()


def holds(body, hz):
    samples, rate = audio.read_wav(io.BytesIO(body))
    assert rate == 8000 and len(samples) > 4000, len(samples)
    assert audio.power_of(hz, samples[2000:]) > 0.8


def talked(near):
    """A second and a half of what the phone says has been sent."""
    at = len(near.rtp.packets)
    near.rtp._wait("packets back", lambda: len(near.rtp.packets) > at + 75, 15)


def test_a_session_is_recorded_to_an_address_after_a_server_s_bad_moment(site, esl, files):
    files.answers["/a/x.wav"] = [503]
    near, uuid = caller(site, esl)
    near.rtp.tone(NEAR)
    run(esl, uuid, "answer", f"record_session:{files.url}/a/x.wav", "echo")
    assert esl.wait_event("RECORD_START", Unique_ID=uuid).event["Record-File-Path"] == f"{files.url}/a/x.wav"
    talked(near)
    assert esl.api(f"uuid_record {uuid} stop {files.url}/a/x.wav") == "+OK Success\n"
    assert esl.wait_event("RECORD_STOP", Unique_ID=uuid).event["Record-File-Path"] == f"{files.url}/a/x.wav"
    assert files.put(1)[1] == 503
    path, status, headers, body = files.put(2)
    assert (path, status, headers["Content-Type"]) == ("/a/x.wav", 201, "audio/x-wav")
    holds(body, NEAR)
    near.hangup()


def test_what_a_server_refuses_is_kept_and_told_without_its_password(site, esl, files):
    files.answers["/no.wav"] = [403]
    address = files.url.replace("http://", "http://me:hidden1@") + "/no.wav"
    near, uuid = caller(site, esl)
    near.rtp.tone(NEAR)
    run(esl, uuid, "answer", f"record_session:{address}", "echo")
    esl.wait_event("RECORD_START", Unique_ID=uuid)
    talked(near)
    near.hangup()
    told = esl.wait_event("CUSTOM", Event_Subclass="http_cache::not_sent").event
    assert told["Record-File-Path"] == address.replace("hidden1", "***") and "403" in told["Reason"]
    kept = pathlib.Path(told["Kept-File"])
    assert kept.parent.name == "http_record_kept"
    holds(kept.read_bytes(), NEAR)
    assert len(files.asked) == 1
    assert not list((kept.parent.parent / "http_record_spool").iterdir())


def test_record_and_a_web_server_s_record_go_to_addresses(site, esl, files):
    near, uuid = caller(site, esl)
    near.rtp.tone(NEAR)
    run(esl, uuid, "answer", f"record:{files.url}/b.wav 2", "park")
    assert esl.wait_event("RECORD_STOP", Unique_ID=uuid).event["Record-File-Path"] == f"{files.url}/b.wav"
    assert files.put(1)[0] == "/b.wav"
    holds(files.put(1)[3], NEAR)
    files.page = ('<document type="xml/freeswitch-httapi"><work>'
                  f'<record name="m" file="{files.url}/c.wav" limit="1" threshold="0"/><break/></work></document>')
    run(esl, uuid, f"httapi:{{url={files.url}/go}}", "park")
    assert files.put(2)[0] == "/c.wav"
    holds(files.put(2)[3], NEAR)
    near.hangup()
