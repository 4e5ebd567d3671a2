"""Pages in a room: the list of members that is kept up to date, texts, and what moderators may do, with a SIP phone among them."""
import hashlib
import json
import urllib.request
import uuid

import pytest

from conftest import settled, shared_site
from harness import ear, tree
from test_verto import MICROPHONE, browser, log_in, pages, with_verto  # noqa: F401 (fixtures among them)

ROOMS = """<configuration name="conference.conf"><caller-controls/><profiles><profile name="pages">
  <param name="rate" value="8000"/><param name="interval" value="20"/><param name="energy-level" value="100"/>
  <param name="domain" value="rooms.example"/><param name="conference-flags" value="livearray-sync|json-events"/>
</profile></profiles></configuration>
"""
DIALPLAN = """
  <extension name="hall"><condition field="destination_number" expression="^(hall|leaders)$">
    <action application="answer"/>
    <action application="conference" data="hall@pages${cond(${destination_number} == leaders ? +flags{moderator} : )}"/></condition></extension>
"""
CHANNELS = {name: f"conference-{name}.hall@rooms.example" for name in ("liveArray", "chat", "mod", "info")}
ROWS = """(() => { const rows = {}; for (const {params: p} of verto.events) {
  if (p?.eventChannel != %r) continue;
  const d = p.data;
  if (d.action == 'bootObj') for (const [key, row] of d.data) rows[key] = row;
  else if (d.action == 'del') delete rows[d.hashKey];
  else if (d.action != 'clear') rows[d.hashKey] = d.data;
} return rows })()""" % CHANNELS["liveArray"]


KEY = "rooms-key"
HTTP_API = """<include>
<configuration name="http_api.conf"><settings><param name="listen-port" value="{http}"/></settings>
<api-keys><api-key name="all" sha256="{hash}" scopes="calls:write"/></api-keys></configuration>
</include>"""


def with_rooms(block, where):
    conf = with_verto(block, where)
    text = HTTP_API.format(http=block[tree.HTTP], hash=hashlib.sha256(KEY.encode()).hexdigest())
    (conf / "autoload_configs/http_api.conf.xml").write_text(text)
    tree.patch(conf / "autoload_configs/modules.conf.xml", {r"(?=  </modules>)": '    <load module="mod_http_api"/>\n'})
    (conf / "autoload_configs/conference.conf.xml").write_text(ROOMS)
    tree.patch(conf / "dialplan/public.xml", {r'(?<=<context name="public">)': DIALPLAN.replace("\\", r"\\")})
    for path in conf.rglob("*.xml"):
        if 'value="demo,presence"' in (text := path.read_text()):
            path.write_text(text.replace('value="demo,presence"', 'value="demo,presence,conference"'))
    modules = conf / "autoload_configs/modules.conf.xml"
    if "mod_conference" not in modules.read_text():
        tree.patch(modules, {r"(?=  </modules>)": '    <load module="mod_conference"/>\n'})
    return conf


with_rooms.needs_trees = False
rooms_server = shared_site(with_rooms)


@pytest.fixture
def site(rooms_server):
    yield from settled(rooms_server)


@pytest.fixture
def enter(site, browser, pages):  # noqa: F811
    """Opens a page that is logged in."""
    opened = []

    def log_in_as(user="1000", password="one-thousand"):
        page = browser.page(f"{pages}/verto.html")
        page.session_id = str(uuid.uuid4())
        log_in(site, page, page.session_id, user, password)
        opened.append(page)
        return page
    yield log_in_as
    for page in opened:
        page.run("verto.socket.close()")
        page.ask("Page.close")


def told(page, action):
    """What the page is told of its own call, once it is."""
    found = f"verto.events.findLast((e) => e.params?.pvtData?.action == 'conference-liveArray-{action}')?.params.pvtData"
    page.until(f"!!({found})")
    return page.run(found)


def subscribe(page, *names):
    result = page.run(f"verto.ask('verto.subscribe', {{eventChannel: {[CHANNELS[name] for name in names]!r}}}).catch((e) => JSON.parse(e.message))")
    channels = {channel: name for name, channel in CHANNELS.items()}
    return [[channels[c] for c in result.get(kind, [])] for kind in ("subscribedChannels", "unauthorizedChannels")]


def watch(page):
    """The page subscribes to the list and asks for it as verto's own client does."""
    assert subscribe(page, "liveArray", "chat") == [["liveArray", "chat"], []]
    say(page, "liveArray", "{liveArray: {command: 'bootstrap', context: %r, name: 'hall', obj: {}}}" % CHANNELS["liveArray"])
    page.until(f"Object.keys({ROWS}).length")


def say(page, name, data):
    return page.run(f"verto.ask('verto.broadcast', {{eventChannel: {CHANNELS[name]!r}, data: {data}}})")


def shows(page, uuid_, condition):
    """Until the page's list shows that of a call (`row` is its row)."""
    try:
        page.until(f"(() => {{ const row = ({ROWS})[{uuid_!r}]; return {condition} }})()")
    except AssertionError:
        raise AssertionError(f"{condition}: {page.run(ROWS)}") from None
    return page.run(f"({ROWS})[{uuid_!r}]")


def test_pages_see_who_is_in_a_room_and_moderators_lead_it(site, esl, enter):
    first, second = enter(), enter("1001", "one-thousand-one")
    assert subscribe(first, "liveArray", "chat", "mod") == [[], ["liveArray", "chat", "mod"]]
    lead = first.run("verto.call('leaders')")
    own = told(first, "join")
    assert (own["callID"], own["role"], own["laName"], own["chatID"]) == (lead, "moderator", "hall", "conf+hall@rooms.example")
    assert [own[f"{kind}Channel"] for kind in ("la", "chat", "mod", "info")] == [CHANNELS[kind] for kind in ("liveArray", "chat", "mod", "info")]
    watch(first)
    row = shows(first, lead, "row && row[4].includes('FLOOR')")
    assert row[0] == own["conferenceMemberID"].zfill(4) and row[1:4] == ["1000", "Page", "opus@48000"] and row[5] is None

    member = second.run("verto.call('hall')")
    mine = told(second, "join")
    assert mine["role"] == "participant" and "modChannel" not in mine
    watch(second)
    assert subscribe(second, "mod") == [[], ["mod"]]
    refused = say(second, "mod", "{command: 'kick', id: 'all'}")
    assert refused["message"] == "Permission Denied.", refused

    phone = site.phone(user="2000").admitted("hall")
    joined = esl.wait_event("CUSTOM", Action="add-member", **{"Caller-Caller-ID-Number": "2000"}).event
    third, number = joined["Unique-ID"], int(joined["Member-ID"])
    for page in (first, second):
        row = shows(page, third, "row && row[4] == 'ACTIVE'")
        assert (row[1], row[3]) == ("2000", "PCMU@8000"), row
        assert sorted(page.run(f"Object.keys({ROWS})")) == sorted([lead, member, third])
    phone.rtp.tone(ear.NEAR)
    for page in (first, second):
        shows(page, third, "row[4].startsWith('TALKING')")

    assert subscribe(first, "mod") == [["mod"], []]
    say(first, "mod", f"{{application: 'conf-control', command: 'mute', id: {number}}}")
    first.until(f"verto.events.some((e) => e.params?.data?.['conf-command'] == 'hall mute {number}')")
    for page in (first, second):
        shows(page, third, "row[4] == 'MUTE'")
    say(first, "mod", "{command: 'play', value: '/etc/hostname'}")
    first.until("verto.events.some((e) => e.params?.data?.error == 'Invalid Command')")
    say(first, "mod", f"{{command: 'unmute', id: '{number}'}}")
    shows(second, third, "row[4] != 'MUTE'")

    say(second, "chat", "{action: 'send', message: '<b>hello</b> \"room\"', type: 'message'}")
    chat = f"verto.events.find((e) => e.params?.eventChannel == {CHANNELS['chat']!r})?.params.data"
    for page in (first, second):
        page.until(f"!!({chat})")
        said = page.run(chat)
        assert (said["direction"], said["message"], said["from"], said["type"]) == ("outbound", '<b>hello</b> "room"', "1001@test.example", "message")

    phone.hangup()
    for page in (first, second):
        page.until(f"!(({ROWS})[{third!r}])")

    # The page lost its connection: it is told anew where its call is.
    second.run("verto.events.length = 0; verto.socket.close()")
    log_in(site, second, second.session_id, "1001", "one-thousand-one")
    assert told(second, "join")["callID"] == member
    watch(second)

    first.run(f"verto.hangup('{lead}')")
    assert told(first, "part")["callID"] == lead
    assert subscribe(first, "liveArray", "mod") == [[], ["liveArray", "mod"]]
    shows(second, member, "row")
    second.until(f"!(({ROWS})[{lead!r}])")
    # Who has left hears no more of it, subscribed or not.
    first.run("verto.events.length = 0")
    say(second, "chat", "{action: 'send', message: 'alone'}")
    second.until("verto.events.some((e) => e.params?.data?.message == 'alone')")
    assert not first.run("verto.events.filter((e) => e.params?.eventChannel?.startsWith('conference-')).length")
    second.run(f"verto.hangup('{member}')")
    told(second, "part")


def test_a_moderator_sends_a_member_to_a_number_and_puts_one_out(site, esl, enter):
    page = enter()
    lead = page.run("verto.call('leaders')")
    told(page, "join")
    esl.wait_event("CUSTOM", Action="add-member", Unique_ID=lead)
    watch(page)
    assert subscribe(page, "mod") == [["mod"], []]
    calls = []
    for _ in range(2):
        call = site.phone().admitted("hall")
        event = esl.wait_event("CUSTOM", Action="add-member").event
        calls.append((call, event["Unique-ID"], event["Member-ID"]))
    (moved, moved_uuid, moved_id), (kicked, kicked_uuid, kicked_id) = calls
    assert moved_uuid != kicked_uuid
    say(page, "mod", f"{{command: 'transfer', id: {moved_id}, value: ['system:touch', 'inline']}}")
    page.until("verto.events.some((e) => e.params?.data?.error == 'Invalid Command')")
    say(page, "mod", f"{{command: 'transfer', id: {moved_id}, value: ['tone']}}")
    ear.hears(moved, 500)
    page.until(f"!(({ROWS})[{moved_uuid!r}])")
    say(page, "mod", f"{{command: 'kick', id: {kicked_id}}}")
    kicked.wait_end()
    page.until(f"!(({ROWS})[{kicked_uuid!r}])")
    page.run(f"verto.hangup('{lead}')")


def test_a_guest_by_verto_is_in_its_room_and_heard_whatever_it_dials(site, esl, enter):
    for path, body in (("/api/rooms/hall/tokens", {"name": "Alice", "profile": "pages"}), ("/api/livekit/token", {"room": "hall", "identity": "ben", "name": "Ben"})):
        request = urllib.request.Request(f"http://127.0.0.1:{site.block[tree.HTTP]}{path}", json.dumps(body).encode(), {"X-API-Key": KEY})
        with urllib.request.urlopen(request, timeout=20) as answer:
            token = json.load(answer)
        page = enter(token["user"].partition("@")[0], token.get("password") or token["token"])
        call = page.run("verto.call('tone')")
        joined = esl.wait_event("CUSTOM", timeout=20, Action="add-member").event
        assert (joined["Unique-ID"], joined["Conference-Name"], joined["Caller-Caller-ID-Name"]) == (call, "hall", body["name"]), joined
        phone = site.phone(user="2000").admitted("hall")
        ear.hears(phone, MICROPHONE, timeout=30)
        esl.wait_event("CUSTOM", timeout=20, Action="add-member")
        page.run(f"verto.hangup('{call}')")
        phone.hangup()


def test_programs_are_told_a_whole_room_when_somebody_comes_or_goes(site, esl, enter):
    page, channel = enter(), "conference.hall@rooms.example"
    said = page.run(f"verto.ask('verto.subscribe', {{eventChannel: [{channel!r}]}})")
    assert said["subscribedChannels"] == [channel], said
    last = f"verto.events.findLast((e) => e.params?.eventChannel == {channel!r})?.params.data"
    phone = site.phone(user="2000").admitted("hall")
    member = esl.wait_event("CUSTOM", Action="add-member").event["Member-ID"]
    page.until(f"{last}?.users.length == 1")
    room = page.run(last)
    assert {k: room[k] for k in ("entity", "conferenceState", "userCount", "oldUsers")} == {
        "entity": "hall@rooms.example", "conferenceState": "active", "userCount": "1", "oldUsers": []}
    user = room["users"][0]
    assert {k: user[k] for k in ("entity", "status", "memberId", "rtpAudioDirection")} == {
        "entity": "2000@rooms.example", "status": "connected", "memberId": member, "rtpAudioDirection": "sendrecv"}
    assert user["joinTime"][10] == "T" and user["joinTime"][-3] == ":", user
    second = site.phone(user="2001").admitted("hall")
    page.until(f"{last}?.userCount == '2'")
    phone.hangup()
    page.until(f"{last}?.oldUsers.length == 1")
    room = page.run(last)
    assert [u["entity"] for u in room["users"]] == ["2001@rooms.example"]
    assert (room["oldUsers"][0]["memberId"], room["oldUsers"][0]["status"]) == (member, "disconnected")
    second.hangup()
