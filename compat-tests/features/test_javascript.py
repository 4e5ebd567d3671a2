"""Scripts in JavaScript: what a caller hears of them, what keys do, whom they call and record, what they fetch, and hostile ones."""
import http.server
import socketserver
import threading

import pytest

from harness.ear import FAR, MUSIC, NEAR, caller, dial, hears, run, talk
from harness.services import until

FILE = 700


@pytest.fixture
def script(tmp_path):
    """Writes a script; its path."""
    def write(text, name="script"):
        path = tmp_path / f"{name}.js"
        path.write_text(text)
        return path
    return write


def tone(hz, seconds=1):
    return f"tone_stream://%({seconds * 1000},0,{hz})"


def none_runs(switch):
    until(lambda: switch.api("jsps as csv").endswith("\n0 total.\n"), "end of all scripts", 20)


def test_a_caller_hears_a_script_and_its_keys_steer_it(site, esl, script):
    path = script(f"""
        session.streamFile("{tone(FILE, 2)}");
        session.execute("playback", "{tone(MUSIC, 2)}");
        var pressed = "";
        session.streamFile("{tone(FAR, 60)}", function (s, kind, dtmf, extra) {{
            pressed += kind + dtmf.digit + extra.word;
            s.setVariable("pressed", pressed);
            return dtmf.digit != "5";
        }}, {{ word: "x" }});
        session.setVariable("said", argc + argv.join("/"));
    """)
    near, uuid = caller(site, esl)
    run(esl, uuid, f"javascript:{path} one two", "playback:" + tone(1700, 2), "park")
    for hz in (FILE, MUSIC, FAR):
        hears(near, hz)
    near.rtp.digits("4")
    until(lambda: esl.api(f"uuid_getvar {uuid} pressed") == "dtmf4x", "first key")
    hears(near, FAR)
    near.rtp.digits("5")
    hears(near, 1700)
    esl.wait_event("CHANNEL_PARK", Unique_ID=uuid)
    assert esl.api(f"uuid_getvar {uuid} pressed") == "dtmf4xdtmf5x"
    assert esl.api(f"uuid_getvar {uuid} said") == "2one/two"
    near.hangup()
    none_runs(site.switch)


def test_a_script_records_a_caller_and_plays_it_back(site, esl, script, tmp_path):
    sound = tmp_path / "said.wav"
    path = script(f"""
        session.recordFile("{sound}", null, null, 2);
        while (session.ready()) session.streamFile("{sound}");
    """)
    near, uuid = caller(site, esl)
    near.rtp.tone(NEAR)
    run(esl, uuid, f"javascript:{path}")
    esl.wait_event("RECORD_STOP", Unique_ID=uuid)
    hears(near, NEAR)
    near.hangup()
    none_runs(site.switch)


def test_a_script_calls_somebody_and_bridges_the_two(site, esl, script):
    phone = site.phone()
    path = script(f"""
        session.streamFile("{tone(FILE)}");
        var other = new Session("{{ignore_early_media=true}}{dial(phone)}", session);
        if (other.ready()) bridge(session, other);
        session.setVariable("after", "bridge");
    """)
    near, uuid = caller(site, esl)
    run(esl, uuid, f"javascript:{path}", "park")
    far = phone.accept()
    far.answer()
    talk(near, far)
    far.hangup()
    esl.wait_event("CHANNEL_PARK", Unique_ID=uuid)
    assert esl.api(f"uuid_getvar {uuid} after") == "bridge"
    near.hangup()
    none_runs(site.switch)


@pytest.fixture
def web():
    """A server that says what it was asked."""
    class Server(http.server.BaseHTTPRequestHandler):
        def answer(self):
            length = int(self.headers.get("Content-Length", 0))
            text = f"{self.command}={self.path}\nbody => {self.rfile.read(length).decode()}\n".encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        do_GET = do_POST = answer

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_a_script_asks_web_servers(site, script, web):
    path = script(f"""
        use("CURL");
        request.write(fetchUrl("{web}/a?b=c") + fetchUrl("{web}/x", 10));
        var hash = fetchUrlHash("{web}/h");
        request.write("/" + hash["GET"]);
        new CURL().run("POST", "{web}/p", "q=1", function (text, to) {{ to.write(text) }}, request);
    """)
    assert site.switch.api(f"jsapi {path}") == "GET=/a?b=c\nbody => \nfalse//hPOST=/p\nbody => q=1\n"


@pytest.fixture
def line_server():
    """Greets, repeats each line in capitals, and answers `bytes` with a text that has no end."""
    class Server(socketserver.StreamRequestHandler):
        def handle(self):
            self.wfile.write(b"hello\r\n")
            for line in self.rfile:
                self.server.heard.append(line)
                if line.strip() == b"bytes":
                    self.wfile.write("gr\u00fc\u00dfe;rest".encode())
                else:
                    self.wfile.write(line.upper())

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Server) as server:
        server.daemon_threads, server.heard = True, []
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def test_a_script_talks_to_a_server_line_by_line(site, script, line_server):
    port = line_server.server_address[1]
    path = script(f"""
        use("Socket");
        var s = new Socket(), said = [s.connect("127.0.0.1", {port}), s.address, s.port, s.read(), s.send("one\\ntwo\\n"), s.read(), s.read()];
        s.send("bytes\\n");
        said.push(s.read(";"), s.readBytes(100));
        s.timeout = 300000;
        said.push(s.timeout, s.read(), s.readBytes(1));
        s.close();
        try {{ s.send("x") }} catch (e) {{ said.push(e) }}
        said.push(new Socket().connect("127.0.0.1", 1), s.connect("127.0.0.1", {port}), s.read());
        request.write(said.join("|"));
    """)
    assert site.switch.api(f"jsapi {path}") == (
        f"true|127.0.0.1|{port}|hello|true|ONE|TWO|grüße|rest|300000|false|false|Socket is not active|false|true|hello")
    assert line_server.heard == [b"one\n", b"two\n", b"bytes\n"]


def test_a_script_that_waits_for_a_server_is_ended(site, script, line_server):
    path = script(f"""
        use("Socket");
        var s = new Socket();
        s.timeout = 2000000000;
        s.connect("127.0.0.1", {line_server.server_address[1]});
        s.read();
        s.send("waits\\n");
        s.read();
        try {{ s.read() }} catch (e) {{ setGlobalVariable("went_on", "yes") }}
        setGlobalVariable("went_on", "yes");
    """)
    assert site.switch.api(f"jsrun {path}") == "+OK\n"
    until(lambda: line_server.heard, "line of the script")
    (row,) = [row for row in site.switch.api("jsps as csv").splitlines()[1:] if "," in row]
    assert site.switch.api(f"jskill {row.split(',')[0]}") == "+OK\n"
    none_runs(site.switch)
    assert "yes" not in site.switch.api("global_getvar went_on")


def test_a_caller_chooses_no_server_inside_the_own_network(site, esl, script, line_server):
    port = line_server.server_address[1]
    path = script(f"""
        use("Socket");
        var named = session.getVariable("sip_h_X-Host"), s = new Socket();
        session.setVariable("said", named + s.connect(named, {port}) + s.connect("localhost", {port}));
    """)
    near = site.phone().admitted("park", extra=["X-Host: 127.0.0.1"])
    uuid = esl.wait_event("CHANNEL_PARK").event["Unique-ID"]
    run(esl, uuid, f"javascript:{path}", "park")
    esl.wait_event("CHANNEL_PARK", Unique_ID=uuid)
    assert esl.api(f"uuid_getvar {uuid} said") == "127.0.0.1falsetrue"
    near.hangup()


def test_promises_that_fail_are_logged_unless_they_are_caught(site, script):
    path = script("""
        var caught = Promise.reject(new Error("later-caught")), lost = Promise.reject(new Error("never-caught"));
        (async function () { await null; await null; try { await caught } catch (e) { request.write("caught") } })();
    """)
    assert site.switch.api(f"jsapi {path}") == "caught"
    until(lambda: "never-caught" in site.switch.said(2000), "line of the log")
    assert "later-caught" not in site.switch.said(2000)


def test_calls_go_on_while_hostile_scripts_are_ended(site, esl, script):
    near, uuid = caller(site, esl)
    run(esl, uuid, "endless_playback:" + tone(MUSIC, 600))
    bombs = ["for (;;) try { for (;;); } catch (e) {}", "/^(([a-z])+.)+[A-Z]([a-z])+$/.test('a'.repeat(200))", "msleep(1000000)"]
    for code in bombs:
        assert site.switch.api(f"jsrun {script(code, 'bomb')}") == "+OK\n"
    hears(near, MUSIC)
    for row in site.switch.api("jsps as csv").splitlines()[1:]:
        if "," in row:
            assert site.switch.api(f"jskill {row.split(',')[0]}") == "+OK\n"
    none_runs(site.switch)
    grows = script("var t = []; for (;;) t.push('x'.repeat(1000000) + t.length)", "grows")
    assert site.switch.api(f"jsapi {grows}") == "-ERR no reply\n"
    deep = script("function f() { return 1 + f() } f()", "deep")
    assert site.switch.api(f"jsapi {deep}") == "-ERR no reply\n"
    hears(near, MUSIC)
    near.hangup()


def test_a_script_that_cannot_be_cut_short_does_not_hold_its_call(site, esl, script):
    """A call of the language's own library is not interrupted: the call ends all the same, and its thread is named."""
    path = script("Array.prototype.reverse.call({length: Number.MAX_SAFE_INTEGER});")
    near, uuid = caller(site, esl)
    run(esl, uuid, f"javascript:{path}")
    until(lambda: site.switch.api("jsps as csv").endswith("\n1 total.\n"), "the script runs", 20)
    near.hangup()
    script_id = site.switch.api("jsps as csv").splitlines()[1].split(",")[0]
    assert site.switch.api(f"jskill {script_id}").startswith("+OK"), script_id
    until(lambda: site.switch.api(f"uuid_exists {uuid}") == "false", "end of the call", 40)
