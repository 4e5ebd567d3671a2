"""The operator's page in Chromium: what the switch does now, why a call has no sound, commands, and what a token does not allow."""
import hashlib
import json
import urllib.error
import urllib.request

import pytest

from conftest import settled, shared_site
from harness import ear, tree
from harness.portal import CUSTOMER, HTTP, WS, browsers, capture_sound, configured, hears, press, state  # noqa: F401  (a fixture among them)

READER, RUNNER = "only-looks-4c1f", "runs-commands-91ab"
QUEUES = """<configuration name="callcenter.conf"><settings/><queues><queue name="support@default">
  <param name="strategy" value="longest-idle-agent"/></queue></queues><agents>
  <agent name="1001@default" type="callback" contact="user/1001" status="Available"/></agents>
  <tiers><tier agent="1001@default" queue="support@default" level="1" position="1"/></tiers></configuration>
"""
MENUS = """<configuration name="ivr.conf"><settings><param name="odbc-dsn" value="menus"/></settings><menus>
  <menu name="of-a-file" greet-long="hello.wav"/></menus></configuration>
"""


def with_operator(block, where):
    conf = configured(block, where, f"ws://127.0.0.1:{block[WS]}")
    digest = {name: hashlib.sha256(name.encode()).hexdigest() for name in (READER, RUNNER)}
    tree.patch(conf / "autoload_configs/http_api.conf.xml", {r"</settings>": f"""</settings><api-keys>
      <api-key name="wall" sha256="{digest[READER]}" scopes="calls:read system:read"/>
      <api-key name="operator" sha256="{digest[RUNNER]}" scopes="calls:read calls:write system:read system:write"/></api-keys>"""})
    (conf / "autoload_configs/ivr.conf.xml").write_text(MENUS)
    (conf / "autoload_configs/callcenter.conf.xml").write_text(QUEUES)
    tree.patch(conf / "autoload_configs/modules.conf.xml", {r"(?=  </modules>)": '    <load module="mod_callcenter"/>\n    <load module="mod_media_quality"/>\n'})
    return conf


with_operator.needs_trees = False
operator_server = shared_site(with_operator)


@pytest.fixture
def site(operator_server):
    yield from settled(operator_server)


@pytest.fixture
def operator(site, browsers):
    opened = []

    def log_in(token):
        page = browsers[0].page(f"http://127.0.0.1:{site.block[HTTP]}/portal/operator.html")
        opened.append(page)
        page.until("document.querySelector('#token')")
        page.run(f"document.querySelector('#token').value = {token!r}; document.querySelector('form').requestSubmit()")
        return page
    yield log_in
    for page in opened:
        page.open("about:blank#")
        page.ask("Page.close")


def text(page, words, where="main"):
    page.until(f"document.querySelector({where!r})?.innerText.includes({words!r})")


def key(page, name, code=None):
    for kind in ("keyDown", "keyUp"):
        page.ask("Input.dispatchKeyEvent", type=kind, key=name, code=code or name, windowsVirtualKeyCode={"ArrowRight": 39, "ArrowLeft": 37, "ArrowUp": 38}[name])


def choose(page, tab):
    # The tabs come once the token has been taken.
    page.until(f"document.querySelector('#tab-{tab}')")
    page.run(f"document.querySelector('#tab-{tab}').click()")


def test_calls_phones_and_queues_are_seen_and_a_call_is_explained_and_ended(site, esl, operator):
    page = operator(RUNNER)
    text(page, "none", "#panel")
    near, far, uuid, other = ear.bridged(site, esl)
    page.until("document.querySelectorAll('#panel tbody tr').length == 2")
    page.until("[...document.querySelectorAll('#panel td.good')].some((td) => td.textContent.startsWith('4.'))")
    page.shot("operator-desk")
    page.shot("operator-phone", phone=True)
    page.ask("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark"}])
    page.shot("operator-dark")
    page.run(f"document.querySelector('#explain-{uuid}').click()")
    text(page, "chosen", "#explained")
    text(page, "score", "#explained")
    assert page.run("document.querySelector('#explained pre').textContent.includes('PCMU')")
    page.shot("operator-explained")
    phone = site.phone(tree.AUTH, user="1000", password="one-thousand", domain="test.example")
    assert phone.register().status == 200
    # Keys move between tabs, and what is chosen is shown.
    page.run("document.querySelector('#tab-Calls').focus()")
    key(page, "ArrowRight")
    text(page, "1000", "#panel tbody")
    assert page.run("document.activeElement.id") == "tab-Phones"
    key(page, "ArrowRight")
    text(page, "carrier", "#panel tbody")
    key(page, "ArrowRight")
    text(page, "1001@default: Available, Waiting", "#panel tbody")
    choose(page, "Calls")
    page.until(f"document.querySelector('#end-{uuid}')")
    page.run(f"document.querySelector('#end-{uuid}').click()")
    near.wait_end()
    far.wait_end()
    choose(page, "History")
    text(page, "NORMAL_CLEARING", "#panel tbody")
    outside = [url for url in page.requests if not url.startswith((f"http://127.0.0.1:{site.block[HTTP]}/", "data:"))]
    assert not outside, outside
    kept = page.run("document.documentElement.outerHTML + JSON.stringify(localStorage) + JSON.stringify(sessionStorage) + document.cookie")
    assert RUNNER not in kept and not any(RUNNER in url for url in page.requests)


def test_a_recording_is_played_from_the_history(site, esl, operator):
    page = operator(RUNNER)
    near, far, uuid, other = ear.bridged(site, esl)
    assert api(site, "POST", f"/api/calls/{uuid}/record", body={})[0] == 200
    near.rtp.tone(ear.NEAR)
    ear.hears(far, ear.NEAR)
    near.hangup()
    far.wait_end()
    choose(page, "History")
    page.until(f"document.querySelector('#play-{uuid}')")
    assert not page.run(f"!!document.querySelector('#play-{other}')"), "only the leg that was recorded"
    page.run(f"document.querySelector('#play-{uuid}').click()")
    page.until("document.querySelector('#recording')?.duration > 0")
    assert page.run("document.querySelector('#recording').src.startsWith('blob:')")
    page.shot("operator-recording-desk")
    page.shot("operator-recording-phone", phone=True)
    page.ask("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark"}])
    page.shot("operator-recording-dark")
    choose(page, "Calls")
    page.until("!document.querySelector('#recording')")
    assert not any(RUNNER in url for url in page.requests)


def test_menus_are_made_changed_and_deleted(site, operator):
    page = operator(RUNNER)
    choose(page, "Menus")
    text(page, "of-a-file", "#panel tbody")

    def fill(**values):
        for name, value in values.items():
            page.run(f"document.querySelector('#menu-{name}').value = {value!r}")

    def choice(at, **values):
        for name, value in values.items():
            page.run(f"document.querySelectorAll('.choice')[{at}].querySelector('[name={name}]').value = {value!r}")

    save = "document.querySelector('#menu').requestSubmit()"
    page.run("document.querySelector('#menu-new').click()")
    fill(id="desk", welcome_message="<b>Press one</b>", timeout_ms="2000")
    page.run("document.querySelector('#menu-add').click()")
    choice(0, digit="x", action_type="transfer", action_value="1000")
    page.run(save)
    page.until("document.querySelector('#said').textContent != ''")
    assert page.run("!!document.querySelector('#menu')"), "a form that is refused stays"
    choice(0, digit="1")
    page.shot("operator-menus-desk")
    page.shot("operator-menus-phone", phone=True)
    page.ask("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark"}])
    page.shot("operator-menus-dark")
    page.run(save)
    text(page, "<b>Press one</b>", "#panel tbody")              # as text: nothing of it is HTML
    made = api(site, "GET", "/api/ivr/menus/desk")[1]
    assert (made["timeout_ms"], made["options"]) == (2000, [{"digit": "1", "action_type": "transfer", "action_value": "1000"}])
    # Another of that name is not written over it.
    page.run("document.querySelector('#menu-new').click()")
    fill(id="desk")
    page.run(save)
    text(page, "there is a menu desk already", "#said")
    assert api(site, "PUT", "/api/ivr/menus/desk", body={**made, "digit_timeout_ms": 700})[0] == 200
    page.run("document.querySelector('#edit-desk').click()")
    page.until("document.querySelector('#menu h2')?.textContent == 'desk'")
    page.run("document.querySelector('#menu-add').click()")
    choice(1, digit="2", action_type="hangup")
    page.run(save)
    page.until("!document.querySelector('#menu')")
    changed = api(site, "GET", "/api/ivr/menus/desk")[1]
    assert [option["digit"] for option in changed["options"]] == ["1", "2"] and changed["digit_timeout_ms"] == 700
    page.run("window.confirm = () => true; document.querySelector('#delete-desk').click()")
    page.until("!document.querySelector('#delete-desk')")
    assert api(site, "GET", "/api/ivr/menus/desk")[0] == 404


def test_commands_run_where_the_token_allows_and_never_reach_the_machine(site, operator):
    page = operator(RUNNER)
    text(page, "none", "#panel")
    choose(page, "Command")

    def run(line):
        page.run(f"document.querySelector('#command').value = {line!r}; document.querySelector('#command').form.requestSubmit()")

    run("global_getvar domain")
    text(page, "test.example", "#output")
    run("system touch /tmp/never")
    text(page, "-ERR", "#output")
    run("no_such_command")
    text(page, "there is no such command", "#said")
    page.run("document.querySelector('#command').focus()")
    for _ in range(3):
        key(page, "ArrowUp")
    page.until("document.querySelector('#command').value == 'global_getvar domain'")
    page.shot("operator-command")


def test_a_token_that_only_reads_is_told_what_it_may_not(site, esl, operator):
    page = operator("nonsense")
    text(page, "the token is wrong", "#said")
    page = operator(READER)
    text(page, "none", "#panel")
    call, uuid = ear.caller(site, esl)
    page.until(f"document.querySelector('#end-{uuid}')")
    page.run(f"document.querySelector('#end-{uuid}').click()")
    text(page, "the token does not allow this", "#said")
    choose(page, "Command")
    page.run("document.querySelector('#command').value = 'status'; document.querySelector('#command').form.requestSubmit()")
    text(page, "the token does not allow this", "#said")
    assert json.loads(site.switch.api("show channels as json"))["row_count"] == 1
    call.hangup()


# ---- guests of rooms

def api(site, method, path, key=RUNNER, body=None):
    """Status and body of a request."""
    headers = {"X-API-Key": key, "Content-Type": "application/json"} if key else {}
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"http://127.0.0.1:{site.block[HTTP]}{path}", data=data, method=method, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read() or b"{}")


def test_a_guest_joins_a_room_by_a_token_and_reaches_nothing_else(site, esl, browsers):
    assert api(site, "POST", "/api/rooms/hall/tokens", None)[0] == 401
    assert api(site, "POST", "/api/rooms/hall/tokens", READER, {})[0] == 403
    for wrong in ({"seconds": 0}, {"name": "<b>"}, {"profile": "a b"}):
        assert api(site, "POST", "/api/rooms/hall/tokens", body=wrong)[0] == 422, wrong
    status, token = api(site, "POST", "/api/rooms/hall/tokens", body={"name": "Alice", "moderator": True})
    assert status == 200 and token["room"] == "hall" and token["path"] == f"/rooms/hall#{token['user']}.{token['password']}", token
    page = browsers[0].page(f"http://127.0.0.1:{site.block[HTTP]}{token['path']}")
    page.until("document.querySelector('#status')?.textContent == 'online'")
    assert page.run("location.hash") == ""
    capture_sound(page)
    press(page, "Join")
    state(page, "in the room")
    joined = esl.wait_event("CUSTOM", timeout=20, Action="add-member").event
    assert (joined["Conference-Name"], joined["Member-Type"]) == ("hall", "moderator"), joined
    phone = site.phone().invite("hall")
    phone.wait(200)
    phone.rtp.tone(ear.NEAR)
    hears(page, ear.NEAR)
    ear.hears(phone, CUSTOMER, timeout=30)
    # Whatever a guest dials, from whatever phone, is that room.
    stray = site.phone(tree.AUTH, user=token["user"], domain="test.example", password=token["password"])
    call = stray.invite("9999")
    call.wait(200)
    second = esl.wait_event("CUSTOM", timeout=20, Action="add-member", **{"Conference-Size": "3"}).event
    assert second["Conference-Name"] == "hall"
    call.hangup()
    assert api(site, "DELETE", f"/api/rooms/other/tokens/{token['user']}")[0] == 404
    assert api(site, "DELETE", f"/api/rooms/hall/tokens/{token['user']}")[0] == 200
    assert stray.register().status == 403
    ear.hears(phone, CUSTOMER)                  # a call that is up goes on
    press(page, "Leave")
    phone.hangup()
    page.open("about:blank#")
    page.ask("Page.close")
