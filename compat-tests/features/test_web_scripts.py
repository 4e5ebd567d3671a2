"""Calls that a web server leads (httapi), and web requests of dialplans (curl)."""
import http.server
import json
import threading
import time
import urllib.parse

import pytest

from harness.ear import MUSIC, NEAR, caller, hears, run

FILE = 700
ASKS = '<playback name="choice" file="tone_stream://%(1200,0,700)" input-timeout="8000" digit-timeout="800"'


def tone(hz, ms=1200):
    return f"tone_stream://%({ms},0,{hz})"


def document(work, head=""):
    return f'<document type="xml/freeswitch-httapi">{head}<work>{work}</work></document>'


class Handler(http.server.BaseHTTPRequestHandler):
    def answer(self):
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        path, _, query = self.path.partition("?")
        form = body.decode("latin-1") if self.command.upper() == "POST" else query
        self.server.asked.append((self.command, path, dict(urllib.parse.parse_qsl(form)), self.headers, body))
        plan = self.server.plans.get(path)
        reply = plan.pop(0) if plan else (404, "text/plain", "nothing planned\n")
        if callable(reply):
            reply = reply()
        status, kind, text = reply if isinstance(reply, tuple) else (200, "text/xml", reply)
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("X-MiXed", "kept")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(text.encode())

    do_GET = do_POST = do_post = do_PUT = do_HEAD = do_DELETE = answer

    def log_message(self, *_):
        pass


@pytest.fixture
def web():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.asked, server.plans = [], {}
    threading.Thread(target=server.serve_forever, daemon=True).start()
    server.url = f"http://127.0.0.1:{server.server_port}"

    def request(number):
        deadline = time.monotonic() + 20
        while len(server.asked) <= number:
            assert time.monotonic() < deadline, [entry[:3] for entry in server.asked]
            time.sleep(0.02)
        return server.asked[number]
    server.request = request
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def esl(site):
    client = site.esl()
    client.command("event plain ALL")
    yield client
    client.close()


def test_a_server_plays_asks_for_keys_and_hears_of_the_end(site, esl, web):
    web.plans["/a"] = [
        document(f'<execute application="set" data="ran=yes"/><playback file="{tone(MUSIC)}"/>',
                 "<params><mood>fine</mood></params><variables><web_said>hello</web_said><other>x</other></variables>"),
        document(f'{ASKS}><bind strip="#">~\\d+#</bind></playback>'),
        document('<hangup cause="CALL_REJECTED"/>'),
        document(""),
    ]
    near, uuid = caller(site, esl)
    run(esl, uuid, f"httapi:{{url={web.url}/a,flavour=mint}}")
    hears(near, MUSIC)
    verb, _, first, headers, _ = web.request(0)
    assert (verb, first["session_id"], first["flavour"]) == ("GET", uuid, "mint")
    assert first["Caller-Unique-ID"] == uuid and headers["User-Agent"] == "mod_httapi/1.0"
    assert web.request(1)[2]["mood"] == "fine"
    hears(near, FILE)
    assert esl.api(f"uuid_getvar {uuid} web_said") == "hello"
    assert esl.api(f"uuid_getvar {uuid} other") == "_undef_"
    assert esl.api(f"uuid_getvar {uuid} ran") == "yes"
    for key in "42#":
        near.rtp.digits(key)
    asked = web.request(2)[2]
    assert (asked["choice"], asked["input_type"], asked["mood"]) == ("42", "dtmf", "fine")
    assert esl.wait_event("CHANNEL_HANGUP", Unique_ID=uuid).event["Hangup-Cause"] == "CALL_REJECTED"
    last = web.request(3)[2]
    assert last["exiting"] == "true" and "choice" not in last


def test_keys_that_fit_nothing_are_told_and_the_file_plays_again(site, esl, web):
    web.plans["/a"] = [
        document(f'{ASKS} error-file="{tone(MUSIC)}" loops="3"><bind>12</bind><bind action="{web.url}/b">34</bind></playback>'),
    ]
    web.plans["/b"] = [document("<break/>")]
    near, uuid = caller(site, esl)
    run(esl, uuid, f"httapi:{{url={web.url}/a}}", "park")
    hears(near, FILE)
    near.rtp.digits("9")
    hears(near, MUSIC)
    hears(near, FILE)
    near.rtp.digits("3")
    near.rtp.digits("4")
    verb, path, form, _, _ = web.request(1)
    assert (path, form["choice"]) == ("/b", "34")
    esl.wait_event("CHANNEL_PARK", Unique_ID=uuid)
    near.hangup()


def test_a_recording_is_posted_with_the_next_request(site, esl, web):
    web.plans["/a"] = [
        document('<record name="message" file="greeting.wav" limit="10" threshold="0"><bind>5</bind></record>'),
        document("<break/>"),
    ]
    near, uuid = caller(site, esl)
    near.rtp.tone(NEAR)
    run(esl, uuid, f"httapi:{{httapi_profile=trusted,url={web.url}/a}}", "park")
    esl.wait_event("RECORD_START", Unique_ID=uuid)
    time.sleep(1.5)                                     # something to be recorded
    near.rtp.digits("5")
    verb, _, _, headers, body = web.request(1)
    assert verb == "POST" and headers["Content-Type"].startswith("multipart/form-data; boundary=")
    assert b'name="message"; filename="greeting.wav"' in body and b"RIFF" in body and len(body) > 8000
    assert headers["Authorization"].startswith("Basic ")
    esl.wait_event("CHANNEL_PARK", Unique_ID=uuid)
    near.hangup()


@pytest.mark.parametrize("answer", [
    (404, "text/plain", "gone"),
    (200, "text/plain", document("<hangup/>")),
    (200, "text/xml", "no xml"),
    (200, "text/xml", document("<juggle/><hangup/>")),
    (200, "text/xml", "<document><work>"),
    (200, "text/xml", "x" * 2_000_000),
    lambda: time.sleep(4) or (200, "text/xml", document("<hangup/>")),
], ids=["status", "kind", "words", "action", "cut", "long", "late"])
def test_after_a_bad_answer_the_dialplan_goes_on(site, esl, web, answer):
    web.plans["/a"] = [answer]
    near, uuid = caller(site, esl)
    run(esl, uuid, f"httapi:{{url={web.url}/a}}", "park")
    esl.wait_event("CHANNEL_PARK", Unique_ID=uuid)
    near.hangup()


def test_what_a_server_may_not_do_ends_the_call(site, esl, web):
    web.plans["/a"] = [document('<execute application="system" data="touch /tmp/never"/>')]
    web.plans["/b"] = [document('<execute application="set" data="x=${system(touch /tmp/never)}"/>')]
    for path in "ab":
        near, uuid = caller(site, esl)
        run(esl, uuid, f"httapi:{{url={web.url}/{path}}}", "park")
        cause = esl.wait_event("CHANNEL_HANGUP", Unique_ID=uuid).event["Hangup-Cause"]
        assert cause == "DESTINATION_OUT_OF_ORDER"


def test_a_server_dials_into_the_dialplan(site, esl, web):
    web.plans["/a"] = [document("<dial>park</dial>")]
    near, uuid = caller(site, esl)
    run(esl, uuid, f"httapi:{{url={web.url}/a}}")
    assert esl.wait_event("CHANNEL_PARK", Unique_ID=uuid)
    near.hangup()


def test_curl_gives_what_a_server_answers(site, web):
    web.plans["/x"] = ["<hello/>"] * 8
    switch = site.switch
    assert switch.api(f"curl {web.url}/x") == "<hello/>"
    head = switch.api(f"curl {web.url}/x headers")
    assert head.startswith("HTTP/1.0 200 OK\r\n") and "X-MiXed: kept\r\n" in head and head.endswith("\r\n\r\n\n<hello/>")
    shown = json.loads(switch.api(f"curl {web.url}/x json"))
    assert (shown["exit_code"], shown["status_code"], shown["body"]) == ("0", "200", "<hello/>")
    assert {"key": "X-MiXed", "value": "kept"} in shown["headers"] and shown["phrase"] == "OK"
    switch.api(f"curl {web.url}/x post a=b%26c content-type text/x-odd append_headers X-Mine:1")
    verb, _, form, headers, body = web.asked[-1]
    assert (verb, body, headers["Content-Type"], headers["X-Mine"]) == ("POST", b"a=b&c", "text/x-odd", "1")
    assert json.loads(switch.api(f"curl {web.url}/none json"))["status_code"] == "404"
    assert json.loads(switch.api("curl http://127.0.0.1:1/ json"))["exit_code"] == "7"
    assert switch.api("curl").startswith("-ERR\ncurl url [headers|json|")


def test_curl_in_a_dialplan_sets_variables(site, esl, web):
    web.plans["/x"] = ["data"]
    near, uuid = caller(site, esl)
    run(esl, uuid, f"curl:{web.url}/x post q=1", "park")
    esl.wait_event("CHANNEL_PARK", Unique_ID=uuid)
    for name, value in (("data", "data"), ("code", "200")):
        assert esl.api(f"uuid_getvar {uuid} curl_response_{name}") == value
    assert esl.api(f"uuid_getvar {uuid} curl_method") == "post"
    near.hangup()


def test_a_file_is_sent_as_a_form(site, web, tmp_path):
    path = tmp_path / "said.wav"
    path.write_bytes(b"RIFF1234")
    web.plans["/up"] = [(200, "text/plain", "thanks")]
    assert site.switch.api(f"curl_sendfile {web.url}/up file={path} a=b stream") == "+200 Ok\nthanks\n"
    body = web.asked[-1][4]
    assert b"RIFF1234" in body and b'name="a"' in body and b'name="submit"' in body
    assert site.switch.api(f"curl_sendfile {web.url}/up file=/nowhere a=b stream") == "-Err Unable to open file /nowhere\n"
