"""Menus: of ivr.conf as the reference has them, and of a database, changed under calls and over HTTP."""
import hashlib
import json
import sqlite3
import urllib.error
import urllib.request

import pytest

from harness import services, tree
from harness.ear import FAR, FILE, MUSIC, caller, hears, run
from harness.services import until

KEY = "menus-key"
# Speech of the tests: a text is the frequency of a tone that lasts for two seconds.
SPEAKER = """import sys, wave, math
hz = int(sys.argv[2]) if sys.argv[2].isdigit() else 200
with wave.open(sys.argv[1], "wb") as w:
    w.setnchannels(1); w.setsampwidth(2); w.setframerate(8000)
    w.writeframes(b"".join(int(12000 * math.sin(6.283185307 * hz * n / 8000)).to_bytes(2, "little", signed=True) for n in range(16000)))
"""
IVR = """<configuration name="ivr.conf">
  <settings><param name="odbc-dsn" value="menus"/><param name="tts-engine" value="tts_commandline"/><param name="tts-voice" value="x"/></settings>
  <menus>
    <menu name="files" greet-long="tone_stream://%(2000,0,700)" greet-short="tone_stream://%(2000,0,900)" invalid-sound="tone_stream://%(1500,0,1400)"
          timeout="3000" inter-digit-timeout="1000" max-failures="2" max-timeouts="2" exec-on-max-failures="set gave=up">
      <entry action="menu-exec-app" digits="1" param="set first=1"/>
      <entry action="menu-exec-app" digits="/^([13])$/" param="set second=${first}$1"/>
      <entry action="menu-sub" digits="2" param="below"/>
      <entry action="menu-exec-api" digits="4" param="uuid_setvar ${uuid} by_api yes"/>
      <entry action="menu-exec-app" digits="5551" param="set long=yes"/>
      <entry action="menu-exit" digits="9"/>
    </menu>
    <menu name="below" greet-long="tone_stream://%(2000,0,1700)" timeout="3000">
      <entry action="menu-back" digits="1"/><entry action="menu-top" digits="2"/><entry action="menu-sub" digits="3" param="main"/>
    </menu>
    <menu name="broken" greet-long="tone_stream://%(2000,0,700)"><entry action="menu-dance" digits="1"/></menu>
  </menus>
</configuration>
"""
API = """<configuration name="http_api.conf"><settings><param name="listen-port" value="{port}"/></settings><api-keys>
  <api-key name="admin" sha256="{admin}" scopes="system:read system:write"/><api-key name="viewer" sha256="{viewer}" scopes="system:read"/>
</api-keys></configuration>
"""


@pytest.fixture
def site(fresh, tmp_path):
    return lay_out(fresh, tmp_path)


def lay_out(fresh, tmp_path, dsn="menus"):
    """The small tree with menus in a database."""
    speaker = tmp_path / "speaker.py"
    speaker.write_text(SPEAKER)
    sha = lambda text: hashlib.sha256(text.encode()).hexdigest()      # noqa: E731
    files = fresh.conf / "autoload_configs"
    (files / "ivr.conf.xml").write_text(IVR.replace('value="menus"', f'value="{dsn}"'))
    (files / "tts_commandline.conf.xml").write_text(
        '<configuration name="tts_commandline.conf"><settings>'
        f'<param name="command" value="python3 {speaker} ${{file}} ${{text}}"/></settings></configuration>')
    (files / "http_api.conf.xml").write_text(API.format(port=fresh.block[tree.HTTP], admin=sha(KEY), viewer=sha("viewer")))
    modules = files / "modules.conf.xml"
    modules.write_text(modules.read_text().replace("</modules>", '<load module="mod_http_api"/></modules>'))
    return fresh.start()


@pytest.fixture
def esl(site):
    client = site.esl()
    client.command("event plain ALL")
    yield client
    client.close()


def ask(site, path, body=None, method=None, key=KEY):
    data = json.dumps(body).encode() if body is not None else None
    request = urllib.request.Request(f"http://127.0.0.1:{site.block[tree.HTTP]}/api/ivr/menus{path}", data, {"X-API-Key": key},
                                     method=method or ("PUT" if data else "GET"))
    try:
        with urllib.request.urlopen(request, timeout=15) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


def option(digit, kind, value=""):
    return {"digit": digit, "action_type": kind, "action_value": value}


def var(esl, uuid, name):
    return esl.api(f"uuid_getvar {uuid} {name}")


def menu_event(esl, kind, name):
    esl.wait_event("CUSTOM", Event_Subclass=f"menu::{kind}", Menu_Name=name)


def test_all_choices_that_fit_are_made_in_order_and_commands_run(site, esl):
    near, uuid = caller(site, esl)
    run(esl, uuid, "ivr:files", "park")
    menu_event(esl, "enter", "files")
    hears(near, FILE)
    near.rtp.digits("1")
    until(lambda: var(esl, uuid, "second") == "11", "both choices", 10)
    hears(near, FAR)
    near.rtp.digits("4")
    until(lambda: var(esl, uuid, "by_api") == "yes", "command", 10)
    hears(near, FAR)
    for digit in "5551":
        near.rtp.digits(digit)
    until(lambda: var(esl, uuid, "long") == "yes", "choice of four keys", 10)
    hears(near, FAR)
    near.rtp.digits("9")
    esl.wait_event("CHANNEL_PARK", Unique_ID=uuid)
    assert var(esl, uuid, "ivr_menu_status") == "success"
    near.hangup()


def test_wrong_keys_end_a_menu_with_what_is_to_be_executed(site, esl):
    near, uuid = caller(site, esl)
    run(esl, uuid, "ivr:files", "park")
    hears(near, FILE)
    for greeted in (True, False):
        near.rtp.digits("7")
        near.rtp.digits("#")
        hears(near, MUSIC)
        if greeted:
            hears(near, FAR)                            # a key would end the sound before
    esl.wait_event("CHANNEL_PARK", Unique_ID=uuid)
    assert (var(esl, uuid, "ivr_menu_status"), var(esl, uuid, "gave")) == ("failure", "up")
    near.hangup()


def test_menus_below_lead_back_and_to_the_top(site, esl):
    near, uuid = caller(site, esl)
    run(esl, uuid, "ivr:files", "park")
    hears(near, FILE)
    for key in "12":
        near.rtp.digits("2")
        menu_event(esl, "exit", "files")
        menu_event(esl, "enter", "below")
        hears(near, 1700)
        near.rtp.digits(key)
        menu_event(esl, "exit", "below")
        menu_event(esl, "enter", "files")
        hears(near, FILE)
    near.hangup()


def test_a_menu_with_an_unknown_action_is_none(site, esl):
    near, uuid = caller(site, esl)
    run(esl, uuid, "ivr:broken", "park")
    esl.wait_event("CHANNEL_PARK", Unique_ID=uuid)
    assert var(esl, uuid, "ivr_menu_status") == "_undef_"
    near.hangup()


def test_menus_of_a_database_are_heard_as_they_are_now(site, esl):
    assert ask(site, "/main", {"welcome_message": "700", "timeout_ms": 1000, "max_timeouts": 20,
                               "options": [option("1", "transfer", "park"), option("2", "menu", "sub")]})[0] == 200
    near, uuid = caller(site, esl)
    run(esl, uuid, "ivr:main", "park")
    hears(near, FILE)
    with sqlite3.connect(site.switch.home / "db/menus.db", timeout=20) as database:
        database.execute("update ivr_menus set welcome_message = '1400' where id = 'main'")
    hears(near, MUSIC, timeout=20)
    status, menu = ask(site, "/main")
    assert (status, menu["welcome_message"]) == (200, "1400")
    assert ask(site, "/sub", {"welcome_message": "900", "options": [{**option("3", "transfer", "park"), "welcome_message": "1700"}]})[0] == 200
    near.rtp.digits("2")
    menu_event(esl, "enter", "sub")
    hears(near, FAR)
    near.rtp.digits("3")
    hears(near, 1700)
    esl.wait_event("CHANNEL_PARK", Unique_ID=uuid)
    near.hangup()


def test_menus_are_written_by_those_who_may_and_hold_no_files(site):
    def kept():
        return [menu for menu in ask(site, "")[1]["items"] if menu["source"] == "database"]
    assert kept() == []
    assert {"files", "below"} <= {menu["name"] for menu in ask(site, "")[1]["items"] if menu["source"] == "ivr.conf"}
    assert ask(site, "/a", {"welcome_message": "hi"}, key="viewer")[0] == 403
    assert ask(site, "/a", {"welcome_message": "hi", "options": [option("1", "hangup")]})[0] == 200
    assert kept() == [{"id": "a", "welcome_message": "hi", "source": "database"}]
    for bad in ({"welcome_message": "http://127.0.0.1/x.wav"}, {"exit_message": "/etc/passwd"}, {"options": [option("1", "transfer", "&park()")]},
                {"options": [option("x", "hangup")]}, {"options": [option("1", "hangup"), option("1", "hangup")]}, {"id": "b"}):
        assert ask(site, "/a", bad)[0] == 422, bad
    assert ask(site, "/a", {"unknown": 1})[0] == 400
    assert ask(site, "/none")[0] == 404
    assert ask(site, "/a", method="DELETE")[0] == 200 and ask(site, "/a", method="DELETE")[0] == 404


def test_an_address_is_played_within_a_list_and_over_a_call(site, esl, tmp_path):
    import http.server
    import threading
    import wave
    from harness import audio
    with wave.open(str(tmp_path / "700.wav"), "wb") as w:
        w.setnchannels(1), w.setsampwidth(2), w.setframerate(8000)
        w.writeframes(b"".join(s.to_bytes(2, "little", signed=True) for s in audio.sine(FILE, 2)))

    class Files(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args):
            super().__init__(*args, directory=tmp_path)

        def log_message(self, *_):
            pass
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Files)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}"
    near, uuid = caller(site, esl)
    run(esl, uuid, f"playback:file_string://{address}/none.wav!{address}/700.wav!tone_stream://%(2000;0;1400)".replace(";", ","), "park")
    hears(near, FILE)
    hears(near, MUSIC)
    esl.wait_event("CHANNEL_PARK", Unique_ID=uuid)
    assert esl.api(f"uuid_displace {uuid} start {address}/700.wav 0 l").startswith("+OK")
    hears(near, FILE)
    server.shutdown()
    server.server_close()
    near.hangup()


@pytest.mark.skipif(services.needs("postgres", "initdb", "psql") is not None, reason="PostgreSQL is not installed")
def test_menus_are_kept_in_postgresql(fresh, tmp_path):
    database = services.Postgres(fresh.block[70]).start()
    try:
        database.ask("CREATE DATABASE menus")
        site = lay_out(fresh, tmp_path, f"pgsql://host=127.0.0.1 port={database.port} user=switch dbname=menus")
        esl = site.esl()
        esl.command("event plain ALL")
        written = {"welcome_message": "700", "timeout_ms": 1000, "max_timeouts": 20, "options": [option("1", "transfer", "park"), option("2", "menu", "sub")]}
        assert ask(site, "/main", written)[0] == 200
        assert ask(site, "/sub", {"welcome_message": "900", "options": [option("3", "transfer", "park")]})[0] == 200
        assert database.ask("SELECT digit, action_type FROM ivr_menu_options WHERE menu_id = 'main' ORDER BY 1", "menus") == [["1", "transfer"], ["2", "menu"]]
        near, uuid = caller(site, esl)
        run(esl, uuid, "ivr:main", "park")
        hears(near, FILE)
        database.ask("UPDATE ivr_menus SET welcome_message = '1400' WHERE id = 'main'", "menus")
        hears(near, MUSIC, timeout=20)
        assert ask(site, "/main")[1]["welcome_message"] == "1400"
        near.rtp.digits("2")
        hears(near, FAR, timeout=20)
        near.rtp.digits("3")
        esl.wait_event("CHANNEL_PARK", Unique_ID=uuid)
        near.hangup()
        esl.close()
        assert not site.settle()
    finally:
        database.stop()
