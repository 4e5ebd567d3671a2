"""Verto: a page in Chromium with a client of the published protocol, SIP phones at the other end, and what strangers try."""
import json
import pathlib
import subprocess
import time
import uuid

import pytest

from conftest import settled, shared_site
from harness import audio, chromium, ear, tree
from harness.verto import OFFER, Verto, frame

HERE = pathlib.Path(__file__).parent
WS, WSS = 70, 71                    # places in the block of ports
MICROPHONE = 440
PLAIN = "{absolute_codec_string=PCMU}"     # phones of the harness know no Opus, and a caller's codec is offered alone
LIMITS = {"login-timeout-sec": 3, "max-strangers-per-address": 8, "max-messages-per-second": 50}

CONF = """<configuration name="verto.conf"><settings><param name="detach-timeout-sec" value="20"/></settings><profiles><profile name="verto">
  <param name="bind-local" value="127.0.0.1:{ws}"/><param name="bind-local" value="127.0.0.1:{wss}" secure="true"/>
  <param name="secure-combined" value="{pem}"/><param name="force-register-domain" value="$${{domain}}"/><param name="userauth" value="true"/>
  <param name="context" value="public"/><param name="rtp-ip" value="127.0.0.1"/><param name="inbound-codec-string" value="opus,PCMU,VP8"/>
  <param name="outbound-codec-string" value="opus,PCMU,VP8"/><param name="apply-candidate-acl" value="any_v4.auto"/>
  {limits}
</profile></profiles></configuration>
"""


def with_verto(block, where):
    conf = tree.small(block, where)
    pem = where / "wss.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30", "-subj", "/CN=127.0.0.1", "-keyout", str(where / "k"),
                    "-out", str(where / "c")], check=True, capture_output=True)
    pem.write_text((where / "c").read_text() + (where / "k").read_text())
    limits = "".join(f'<param name="{name}" value="{value}"/>' for name, value in LIMITS.items())
    (conf / "autoload_configs/verto.conf.xml").write_text(CONF.format(ws=block[WS], wss=block[WSS], pem=pem, limits=limits))
    tree.patch(conf / "autoload_configs/modules.conf.xml", {r"(?=  </modules>)": '    <load module="mod_verto"/>\n'})
    tree.patch(conf / "directory/users.xml", {
        r'(?=    </params>\n    <variables>)': '  <param name="jsonrpc-allowed-methods" value="verto,echo,fsapi"/>\n'
        '      <param name="jsonrpc-allowed-fsapi" value="status,bgapi"/><param name="jsonrpc-allowed-event-channels" value="demo,presence"/>\n'})
    return conf


with_verto.needs_trees = False
verto_server = shared_site(with_verto)


@pytest.fixture
def site(verto_server):
    yield from settled(verto_server)


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    browser = chromium.Chromium(tmp_path_factory.mktemp("chromium"), MICROPHONE)
    yield browser
    browser.close()


@pytest.fixture(scope="module")
def pages():
    address, end = chromium.serve(HERE / "pages")
    yield address
    end()


@pytest.fixture
def page(site, browser, pages):
    page = browser.page(f"{pages}/verto.html")
    log_in(site, page)
    yield page
    page.run("verto.socket.close()")
    page.ask("Page.close")


def log_in(site, page, session=None, user="1000", password="one-thousand"):
    url = f"wss://127.0.0.1:{site.block[WSS]}"
    page.run(f"window.verto = new Verto({url!r}, {user!r}, {password!r}, {session or str(uuid.uuid4())!r}); verto.connect()")
    page.until("verto.events.some((e) => e.method == 'verto.clientReady')")


def client(site, user="1000", password="one-thousand", session=None):
    verto = Verto(("127.0.0.1", site.block[WS]))
    reply = verto.login(user, password, sessid=session or str(uuid.uuid4()))
    assert reply["result"]["message"] == "logged in", reply
    verto.method("verto.clientReady")
    return verto


# ---- a browser


def test_a_page_calls_and_is_heard_and_hears(site, esl, page):
    call = page.run("verto.call('park')")
    page.until(f"verto.state('{call}') == 'active'")
    esl.wait_event("CHANNEL_PARK", Unique_ID=call)
    recording = site.where / "page.wav"
    esl.api(f"uuid_setvar {call} RECORD_READ_ONLY true")
    esl.api(f"uuid_record {call} start {recording}")
    ear.run(esl, call, f"playback:{ear.TONE}")
    page.hears(ear.MUSIC)
    phone = site.phone()
    ear.run(esl, call, f"bridge:{PLAIN}{ear.dial(phone)}")
    far = phone.accept()
    far.answer()
    far.rtp.tone(ear.FAR)
    ear.hears(far, MICROPHONE)
    page.hears(ear.FAR)
    page.run(f"verto.hangup('{call}')")
    end = esl.wait_event("CHANNEL_HANGUP_COMPLETE", Unique_ID=call).event
    assert end["variable_verto_hangup_disposition"] == "recv_bye" and end["variable_rtp_has_crypto"].startswith("srtp:dtls:")
    samples, rate = audio.read_wav(recording)
    assert audio.seconds_of(MICROPHONE, samples, rate) > 0.5


def test_keys_and_hold_and_the_end_of_a_call_from_the_other_side(site, esl, page):
    call = page.run("verto.call('park')")
    esl.wait_event("CHANNEL_PARK", Unique_ID=call)
    phone = site.phone()
    ear.run(esl, call, f"set:hold_music={ear.TONE}", f"bridge:{PLAIN}{ear.dial(phone)}")
    far = phone.accept()
    far.answer()
    far.rtp.tone(ear.FAR)
    ear.hears(far, MICROPHONE)
    page.run(f"verto.dtmf('{call}', '12#')")
    assert [esl.wait_event("DTMF", Unique_ID=call).event["DTMF-Digit"] for _ in range(3)] == ["1", "2", "#"]
    assert page.run(f"verto.modify('{call}', 'hold').then((r) => r.holdState)") == "held"
    esl.wait_event("CHANNEL_HOLD", Unique_ID=call)
    ear.hears(far, ear.MUSIC)
    assert page.run(f"verto.modify('{call}', 'toggleHold').then((r) => r.holdState)") == "active"
    esl.wait_event("CHANNEL_UNHOLD", Unique_ID=call)
    ear.hears(far, MICROPHONE)
    page.hears(ear.FAR)
    far.hangup()
    page.until(f"verto.state('{call}') == 'ended'")


def test_a_page_is_called_by_its_user_name(site, esl, page):
    assert esl.api("verto_contact 1000@test.example").startswith("verto.rtc/u:")
    call, near = ear.caller(site, esl)
    ear.run(esl, near, "bridge:verto.rtc/1000@test.example")
    esl.wait_event("CHANNEL_BRIDGE")
    call.rtp.tone(ear.NEAR)
    page.hears(ear.NEAR)
    ear.hears(call, MICROPHONE)
    invite = page.run("verto.events.find((e) => e.method == 'verto.invite').params")
    assert invite["display_direction"] == "outbound" and "telephone-event" not in invite["sdp"] and invite["caller_id_number"]
    call.hangup()
    page.until("verto.events.some((e) => e.method == 'verto.bye')")


def test_a_page_transfers_its_partner_blind_and_attended(site, esl, page):
    phone, other = site.phone(), site.phone()
    call = page.run("verto.call('park')")
    esl.wait_event("CHANNEL_PARK", Unique_ID=call)
    ear.run(esl, call, f"bridge:{PLAIN}{ear.dial(phone)}")
    far = phone.accept()
    far.answer()
    esl.wait_event("CHANNEL_BRIDGE", Unique_ID=call)
    second = page.run("verto.call('park')")
    esl.wait_event("CHANNEL_PARK", Unique_ID=second)
    ear.run(esl, second, f"bridge:{PLAIN}{ear.dial(other)}")
    third = other.accept()
    third.answer()
    esl.wait_event("CHANNEL_BRIDGE", Unique_ID=second)
    page.run(f"verto.modify('{call}', 'replace', {{replaceCallID: '{second}'}})")
    page.until(f"verto.state('{call}') == 'ended' && verto.state('{second}') == 'ended'")
    ear.talk(far, third)
    far.hangup()
    again = page.run("verto.call('park')")
    esl.wait_event("CHANNEL_PARK", Unique_ID=again)
    ear.run(esl, again, f"bridge:{PLAIN}{ear.dial(phone)}")
    moved = phone.accept()
    moved.answer()
    esl.wait_event("CHANNEL_BRIDGE", Unique_ID=again)
    assert page.run(f"verto.modify('{again}', 'transfer', {{destination: 'tone'}}).then((r) => r.message)") == "CALL TRANSFERRED"
    ear.hears(moved, 500)
    esl.api("hupall")


def test_a_call_goes_on_after_the_connection_broke_and_after_the_page_was_loaded_again(site, esl, browser, pages):
    session = str(uuid.uuid4())
    page = browser.page(f"{pages}/verto.html")
    log_in(site, page, session)
    call = page.run("verto.call('park')")
    esl.wait_event("CHANNEL_PARK", Unique_ID=call)
    phone = site.phone()
    ear.run(esl, call, f"bridge:{PLAIN}{ear.dial(phone)}")
    far = phone.accept()
    far.answer()
    far.rtp.tone(ear.FAR)
    page.hears(ear.FAR)
    for again in ("verto.socket.close()", "location.reload()"):
        page.run(again)
        esl.wait_event("CUSTOM", **{"Event-Subclass": "verto::client_disconnect"})
        page.until("document.readyState == 'complete' && typeof Verto == 'function'")
        log_in(site, page, session)
        assert page.run("verto.events.find((e) => e.method == 'verto.clientReady').params.reattached_sessions") == [call]
        page.until(f"verto.state('{call}') == 'active'")
        page.hears(ear.FAR)
        ear.hears(far, MICROPHONE)
    page.run(f"verto.hangup('{call}')")
    esl.wait_event("CHANNEL_HANGUP_COMPLETE", Unique_ID=call)
    page.ask("Page.close")


def test_pictures_pass_between_pages(site, esl, browser, pages, page):
    other = browser.page(f"{pages}/verto.html")
    log_in(site, other, user="1001", password="one-thousand-one")
    for one in (page, other):
        one.run("verto.video = true")
    call = page.run("verto.call('park')")
    esl.wait_event("CHANNEL_PARK", Unique_ID=call)
    ear.run(esl, call, "bridge:verto.rtc/1001@test.example")
    called = esl.wait_event("CHANNEL_BRIDGE", Unique_ID=call).event["Bridge-B-Unique-ID"]
    for one, uuid in ((page, call), (other, called)):
        one.until(f"(await verto.frames('{uuid}')) > 10".join(("(async () => ", ")()")))
        one.hears(MICROPHONE)
    page.run(f"verto.hangup('{call}')")
    other.until(f"verto.state('{called}') == 'ended'")
    other.run("verto.socket.close()")
    other.ask("Page.close")


# ---- clients without a browser


def test_event_channels_reach_those_who_may(site, esl):
    one, two = client(site), client(site, "1001", "one-thousand-one")
    reply = one.ask("verto.subscribe", eventChannel=["demo", "FSevent.heartbeat", "presence.1001@test.example"])
    assert reply["result"]["subscribedChannels"] == ["demo", "presence.1001@test.example"]
    assert reply["result"]["unauthorizedChannels"] == ["FSevent.heartbeat"]
    two.ask("verto.broadcast", eventChannel="demo", localBroadcast=True, data={"hello": 1})
    event = one.method("verto.event")["params"]
    assert event["data"] == {"hello": 1} and event["userid"] == "1001@test.example" and event["eventSerno"] == 0
    call = str(uuid.uuid4())
    two.ask("verto.invite", sdp=OFFER.format(port=9), dialogParams={"callID": call, "destination_number": "ring"})
    told = one.method("verto.event")["params"]
    assert told["eventChannel"] == "presence.1001@test.example" and told["data"]["channelUUID"] == call
    two.ask("verto.bye", dialogParams={"callID": call})
    for verto in (one, two):
        verto.close()


def test_commands_run_for_those_who_may_use_them(site):
    verto = client(site)
    assert "UP" in verto.ask("fsapi", cmd="status")["result"]["message"]
    for command, argument in (("system", "id"), ("bgapi", "system id"), ("originate", "loopback/park")):
        assert verto.ask("fsapi", cmd=command, arg=argument)["error"] == {"code": -32602, "message": "Permission Denied"}
    assert verto.ask("jsapi", command="status", data={})["error"]["code"] == -32601
    assert verto.ask("echo", text="x")["result"]["text"] == "x"
    verto.close()


def test_a_client_reaches_no_call_and_no_session_of_another(site, esl):
    session, call = str(uuid.uuid4()), str(uuid.uuid4())
    owner, thief = client(site, session=session), client(site, "1001", "one-thousand-one")
    owner.ask("verto.invite", sdp=OFFER.format(port=9), dialogParams={"callID": call, "destination_number": "ring"})
    dialog = {"callID": call}
    attempts = [("verto.bye", {}), ("verto.modify", {"action": "hold"}), ("verto.modify", {"action": "transfer", "destination": "tone"}),
                ("verto.answer", {"sdp": OFFER.format(port=9)}), ("verto.attach", {"sdp": OFFER.format(port=9)})]
    for method, more in attempts:
        reply = thief.ask(method, dialogParams=dialog, sessid=session, **more)
        assert reply["error"]["message"] == "CALL DOES NOT EXIST", (method, reply)
    assert "message" not in thief.ask("verto.info", dtmf="1", dialogParams=dialog).get("result", {})
    phone, near = ear.caller(site, esl)
    assert thief.ask("verto.bye", dialogParams={"callID": near})["error"]["message"] == "CALL DOES NOT EXIST"
    hijack = Verto(("127.0.0.1", site.block[WS]))
    assert hijack.login("1001", "one-thousand-one", sessid=session)["error"]["message"] == "Session in use"
    assert hijack.closed.wait(5)
    assert owner.ask("verto.bye", dialogParams=dialog)["result"]["message"] == "CALL ENDED"
    phone.hangup()
    for verto in (owner, thief):
        verto.close()


def test_variables_of_a_client_are_data(site, esl):
    verto = Verto(("127.0.0.1", site.block[WS]))
    evil = {"execute_on_answer": "system::touch /tmp/x", "api_hangup_hook": "x", "shade": "dark ${hostname}", "colour": "red", "a b": "c"}
    verto.login("1000", "one-thousand", userVariables=evil)
    call = str(uuid.uuid4())
    dialog = {"callID": call, "destination_number": "ring", "caller_id_name": "x}null/1", "userVariables": {"n": "1", "../x": "2"}}
    verto.ask("verto.invite", sdp=OFFER.format(port=9), dialogParams=dialog)
    event = esl.wait_event("CHANNEL_CREATE", Unique_ID=call).event
    assert event["variable_colour"] == "red" and event["variable_verto_dvar_n"] == "1"
    assert not {"variable_execute_on_answer", "variable_api_hangup_hook", "variable_shade", "variable_a b", "variable_verto_dvar_../x"} & set(event)
    assert "}" not in event["Caller-Caller-ID-Name"]
    for bad in ("../../etc", call, "a/b"):
        reply = verto.ask("verto.invite", sdp=OFFER.format(port=9), dialogParams={"callID": bad, "destination_number": "ring"})
        assert reply["error"]["message"] == "CALL ERROR", reply
    verto.ask("verto.bye", dialogParams={"callID": call})
    verto.close()


def test_strangers_are_bounded_in_number_size_and_time(site, esl):
    address = ("127.0.0.1", site.block[WS])
    idle = [Verto(address, upgrade=False) for _ in range(20)]
    for verto in idle[LIMITS["max-strangers-per-address"]:]:
        verto.sock.settimeout(10)
        assert verto.sock.recv(1) == b"", "one too many is let in"
    clients = json.loads(esl.api("verto jsonstatus"))["profiles"][0]["users"]
    assert len(clients) == LIMITS["max-strangers-per-address"]
    for verto in idle:
        verto.close()
    silent = _connected(address)
    assert silent.closed.wait(10), "a client that does not log in stays"
    for payload, opcode, more in ((b"x" * 100_000, 1, {}), (b"", 2, {"claimed": 1 << 62}), (b"hi", 1, {"mask": None}), (b"x", 3, {})):
        rude = _connected(address)
        try:
            rude.sock.sendall(frame(payload, opcode, **more))
        except OSError:
            pass
        assert rude.closed.wait(5), (opcode, more)
    chatty = _connected(address)
    try:
        for _ in range(100):
            chatty.send({"jsonrpc": "2.0", "method": "echo", "id": 1})
    except OSError:
        pass
    assert chatty.closed.wait(5)
    deep = client(site)
    for text in ("[" * 50_000, '{"a":' * 50_000, "\0", "{}", "[]", '{"jsonrpc":"2.0","id":{"a":[]},"method":"echo","params":[1]}'):
        deep.send(text)
    assert deep.ask("verto.ping")["result"]["message"] == "PONG"
    flood = client(site)
    try:
        for _ in range(2000):
            flood.send({"jsonrpc": "2.0", "method": "verto.ping", "id": 1})
    except OSError:
        pass
    assert flood.closed.wait(5)
    assert deep.ask("verto.ping")["result"]["message"] == "PONG"
    deep.close()


def _connected(address):
    """A client, once there is room for one."""
    until = time.monotonic() + 10
    while True:
        try:
            return Verto(address)
        except OSError:
            assert time.monotonic() < until
            time.sleep(0.1)


def test_guessed_passwords_are_slowed_and_told(site, esl):
    verto = Verto(("127.0.0.1", site.block[WS]))
    for _ in range(3):
        assert verto.login("1001", "wrong")["error"] == {"code": -32001, "message": "Authentication Failure"}
    event = esl.wait_event("CUSTOM", **{"Event-Subclass": "verto::login"}).event
    assert event["verto_success"] == "0" and event["verto_login"] == "1001" and "wrong" not in str(event)
    assert verto.login("1001", "one-thousand-one")["result"]["message"] == "logged in"
    verto.close()


def test_a_module_that_is_loaded_anew_listens_again(site, esl):
    verto = client(site)
    assert "+OK" in esl.api("reload mod_verto")
    assert verto.closed.wait(5)
    client(site).close()
    assert esl.api("verto status").count("RUNNING") == 2
