"""Users, trunks and routes made by REST: registered with, called through, changed, deleted and refused."""
import hashlib
import json
import shutil
import sqlite3
import urllib.error
import urllib.request

import pytest

from harness import services, tree
from harness.baresip import Baresip
from harness.services import until

KEY, READER, TENANT, OTHER = "resources-key", "reader-key", "tenant-key", "other-tenants-key"
PG = 70
CONF = """<include>
<configuration name="http_api.conf"><settings>
  <param name="listen-port" value="{http}"/><param name="rate-limit" value="1000"/><param name="default-context" value="{context}"/>{more}
</settings><api-keys>
  <api-key name="erp" sha256="{all}" scopes="calls:read calls:write system:read system:write events:read"/>
  <api-key name="wall" sha256="{reader}" scopes="system:read calls:write"/>
  <api-key name="tenant" sha256="{tenant}" scopes="system:read system:write" domain="b.test"/>
  <api-key name="other" sha256="{other}" scopes="system:read system:write" domain="c.test"/>
</api-keys></configuration>
</include>"""
PASSWORD = "made-by-the-api-4711"


def serve(fresh, more="", context="public"):
    sha = lambda text: hashlib.sha256(text.encode()).hexdigest()      # noqa: E731
    text = CONF.format(http=fresh.block[tree.HTTP], all=sha(KEY), reader=sha(READER), tenant=sha(TENANT), other=sha(OTHER), more=more, context=context)
    (fresh.conf / "autoload_configs/http_api.conf.xml").write_text(text)
    modules = fresh.conf / "autoload_configs/modules.conf.xml"
    modules.write_text(modules.read_text().replace("</modules>", '<load module="mod_http_api"/></modules>'))
    return fresh.start()


@pytest.fixture
def site(fresh):
    return serve(fresh)


def ask(site, method, path, body=None, key=KEY):
    """Status and document of a request."""
    data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"http://127.0.0.1:{site.block[tree.HTTP]}{path}", data, {"X-API-Key": key}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        assert error.headers["content-type"] == "application/problem+json", (method, path)
        document = json.loads(error.read())
        assert document["status"] == error.code and document["detail"], document
        return error.code, document


def made(site, path, body, key=KEY):
    status, document = ask(site, "POST", path, body, key)
    assert status == 201, document
    return document


def baresip(site, tmp_path, offset, user, password=PASSWORD, more=""):
    account = (f"<sip:{user}@test.example>;outbound=\"sip:127.0.0.1:{site.sip(tree.AUTH)[1]}\";auth_user={user};auth_pass={password};regint=300;"
               f"answermode=auto;audio_codecs=PCMU;ptime=20{more}")
    return Baresip(tmp_path / f"{user}-{offset}", site.block[offset], account, 440)


@pytest.mark.skipif(not shutil.which("baresip"), reason="SKIPPED: baresip is not installed")
def test_a_user_and_a_route_made_by_rest_are_used_at_once_and_gone_when_deleted(site, tmp_path):
    user = made(site, "/api/users", {"user": "2000", "password": PASSWORD, "caller_id_number": "2000", "caller_id_name": "Zo\u00eb & Co"})
    assert user["domain"] == "test.example" and user["has_password"] and "password" not in user and user["context"] == "public"
    phone = baresip(site, tmp_path, 100, "2000")
    try:
        phone.wait("REGISTER_OK", 20)
        assert ask(site, "GET", "/api/users?user=2000")[1]["items"][0]["registered"] is True

        # Out through a trunk and a route of the database; the far end hears and is heard.
        assert ask(site, "POST", "/api/routes", {"id": "out", "pattern": "^0(\\d+)$", "trunks": ["ours"]})[0] == 422
        made(site, "/api/trunks", {"name": "ours", "profile": "open", "proxy": f"127.0.0.1:{site.block[tree.CARRIER]}", "caller_id_in_from": True})
        assert "ours" in site.switch.api("sofia status gateway ours")
        made(site, "/api/routes", {"id": "out", "pattern": "^0(\\d+)$", "trunks": ["ours"], "strip": 1, "prepend": "+49", "caller_id_number": "4930"})
        carrier = site.carrier()
        phone.tell("dial", "sip:0301234@test.example")
        leg = carrier.accept()
        assert leg.request.start.startswith("INVITE sip:+49301234@") and "4930" in leg.request["from"], leg.request.start
        leg.answer()
        phone.wait("CALL_ESTABLISHED", 20)
        leg.rtp.wait_tone(440)
        leg.hangup()
        phone.wait("CALL_CLOSED", 20)

        # Changed: the number goes out otherwise, from the next call on.
        assert ask(site, "PATCH", "/api/routes/out", {"prepend": "0049"})[1]["strip"] == 1
        phone.tell("dial", "sip:0301234@test.example")
        leg = carrier.accept()
        assert leg.request.start.startswith("INVITE sip:0049301234@"), leg.request.start
        leg.reject(486)
        phone.wait("CALL_CLOSED", 20)

        # What is used stays; then all of it goes.
        assert ask(site, "DELETE", "/api/trunks/ours")[0] == 409
        assert ask(site, "DELETE", "/api/routes/out")[0] == 200
        phone.tell("dial", "sip:0301234@test.example")
        phone.wait("CALL_CLOSED", 20)
        assert ask(site, "DELETE", "/api/trunks/ours")[0] == 200
        until(lambda: "ours" not in site.switch.api("sofia status"), "end of the gateway")
        assert ask(site, "DELETE", "/api/users/2000")[0] == 200
        until(lambda: "2000" not in site.switch.api("show registrations"), "end of the registration")
    finally:
        phone.close()
    again = baresip(site, tmp_path, 130, "2000")
    try:
        again.wait("REGISTER_FAIL", 20)
    finally:
        again.close()


def test_a_user_of_the_database_is_called_and_disabled(site):
    made(site, "/api/users", {"user": "2001", "password": PASSWORD, "groups": ["sales"]})
    made(site, "/api/routes", {"id": "in", "pattern": "^7777$", "user": "2001@test.example"})
    assert "2001" in site.switch.api("group_call sales@test.example")
    assert site.switch.api("user_exists id 2001 test.example").strip() == "true"
    phone = site.phone(tree.AUTH, user="2001", password=PASSWORD, domain="test.example")
    assert phone.register().status == 200
    caller = site.phone().invite("7777")
    called = phone.accept()
    called.answer()
    caller.wait(200)
    caller.hangup()
    called.wait_end()
    assert ask(site, "PATCH", "/api/users/2001", {"enabled": False})[0] == 200
    until(lambda: "2001" not in site.switch.api("show registrations"), "end of the registration")
    assert phone.register().status in (403, 404)
    assert site.switch.api("user_exists id 2001 test.example").strip() == "false"
    assert ask(site, "DELETE", "/api/users/2001")[0] == 409


def test_the_files_come_first(site):
    before = ask(site, "GET", "/api/users/1000")
    assert before == (200, {"user": "1000", "domain": "test.example", "source": "files"})
    for method, path, body in (("POST", "/api/users", {"user": "1000", "password": PASSWORD}), ("PUT", "/api/users/1000", {"password": PASSWORD}),
                               ("PATCH", "/api/users/1000", {"email": "a@b.test"}), ("DELETE", "/api/users/1000", None),
                               ("POST", "/api/trunks", {"name": "carrier", "profile": "open", "proxy": "127.0.0.1"}), ("DELETE", "/api/trunks/carrier", None)):
        assert ask(site, method, path, body)[0] == 409, (method, path)
    # An extension of the files takes its number, whatever the priority of a route.
    made(site, "/api/routes", {"id": "tone", "pattern": "^tone$", "priority": -5, "transfer": {"to": "respond-603"}})
    call = site.phone().invite("tone")
    call.wait(200)
    call.hangup()
    made(site, "/api/routes", {"id": "elsewhere", "pattern": "^elsewhere$", "transfer": {"to": "respond-603"}})
    site.phone().invite("elsewhere").wait(603)


BAD = [
    ("/api/users", {}), ("/api/users", []), ("/api/users", "text"), ("/api/users", {"user": "2"}), ("/api/users", {"user": "2", "password": "1234"}),
    ("/api/users", {"user": "../../etc", "password": PASSWORD}), ("/api/users", {"user": "1'; DROP TABLE gateway_users; --", "password": PASSWORD}),
    ("/api/users", {"user": "x" * 129, "password": PASSWORD}), ("/api/users", {"user": "2", "password": PASSWORD, "caller_id_name": "${system(touch x)}"}),
    ("/api/users", {"user": "2", "password": PASSWORD, "caller_id_name": "a\r\nX-Evil: 1"}), ("/api/users", {"user": "2", "password": PASSWORD, "admin": True}),
    ("/api/users", {"user": "2", "password": PASSWORD, "context": "a b"}), ("/api/users", {"user": 2, "password": PASSWORD}),
    ("/api/users", {"user": "2\u0000", "password": PASSWORD}), ("/api/users", {"user": "2", "password": PASSWORD, "groups": ["g"] * 21}),
    ("/api/trunks", {"name": "t", "proxy": "a;transport=tcp"}), ("/api/trunks", {"name": "t", "proxy": "a", "profile": "nothing"}),
    ("/api/trunks", {"name": "../t", "proxy": "a", "profile": "open"}), ("/api/trunks", {"name": "t", "proxy": "a", "profile": "open", "register": True}),
    ("/api/trunks", {"name": "t", "proxy": "a", "profile": "open", "username": "x>\r\nEvil: 1"}), ("/api/trunks", {"name": "t", "proxy": "a", "expire_seconds": -1}),
    ("/api/routes", {"pattern": "(", "trunks": ["carrier"]}), ("/api/routes", {"pattern": "^1$"}), ("/api/routes", {"pattern": "^1$", "trunks": ["nothing"]}),
    ("/api/routes", {"pattern": "^1$", "trunks": ["carrier"], "user": "1000@test.example"}), ("/api/routes", {"pattern": "^1$", "user": "9@test.example"}),
    ("/api/routes", {"pattern": "${x}", "trunks": ["carrier"]}), ("/api/routes", {"pattern": "^1$", "trunks": ["carrier"], "prepend": "1,2"}),
    ("/api/routes", {"pattern": "^1$", "transfer": {"to": "1 XML public, system touch"}}), ("/api/routes", {"id": "a/b", "pattern": "^1$", "trunks": ["carrier"]}),
]


def test_bad_input_is_told_what_is_wrong_and_leaves_nothing(site):
    for path, body in BAD:
        assert ask(site, "POST", path, body)[0] == 422, (path, body)
    assert ask(site, "POST", "/api/users", b"{")[0] == 400
    assert ask(site, "POST", "/api/users", b'{"user":"' + b"x" * 70000 + b'"}')[0] == 413
    for kind in ("users", "trunks", "routes"):
        for method, body in (("GET", None), ("PATCH", {}), ("DELETE", None)):
            assert ask(site, method, f"/api/{kind}/nothing", body)[0] == 404, (method, kind)
            assert ask(site, method, f"/api/{kind}/..%2f..%2fetc", body)[0] == 422, (method, kind)
        assert ask(site, "PUT", f"/api/{kind}", {})[0] == 405
    for kind in ("trunks", "routes"):
        assert ask(site, "GET", f"/api/{kind}")[1]["total"] == 0
    assert all(user["source"] == "files" for user in ask(site, "GET", "/api/users?limit=500")[1]["items"])
    # Twice the same, and an id that is not the path's.
    user = {"user": "2000", "password": PASSWORD}
    made(site, "/api/users", user)
    assert ask(site, "POST", "/api/users", user)[0] == 409
    assert ask(site, "PUT", "/api/users/2001", user)[0] == 422
    assert ask(site, "PATCH", "/api/users/2000", {"user": "2001"})[0] == 422
    assert ask(site, "PUT", "/api/users/2002", {"password": PASSWORD})[0] == 201
    # A PUT without the password leaves it as it is, one with a hash takes its place.
    assert ask(site, "PUT", "/api/users/2002", {"email": "a@b.test"})[1]["has_password"] is True
    changed = ask(site, "PATCH", "/api/users/2002", {"a1_hash": "0" * 32})[1]
    # What was read may be written again.
    assert ask(site, "PUT", "/api/users/2002", changed)[1] == changed
    assert (changed["has_password"], changed["has_a1_hash"], changed["email"]) == (False, True, "a@b.test")
    # A token that only reads, or only steers calls, changes nothing.
    assert ask(site, "POST", "/api/users", {"user": "2003", "password": PASSWORD}, READER)[0] == 403
    assert ask(site, "DELETE", "/api/users/2000", key=READER)[0] == 403
    assert ask(site, "GET", "/api/users/2000", key=READER)[0] == 200


def test_a_tenant_has_its_own_users_and_routes_only(fresh):
    site = serve(fresh, context="{domain}")
    user = made(site, "/api/users", {"user": "2000", "password": PASSWORD}, TENANT)
    assert (user["domain"], user["context"]) == ("b.test", "b.test")
    made(site, "/api/users", {"user": "2000", "domain": "c.test", "password": PASSWORD})
    assert [entry["domain"] for entry in ask(site, "GET", "/api/users", key=TENANT)[1]["items"]] == ["b.test"]
    assert ask(site, "POST", "/api/users", {"user": "1", "domain": "c.test", "password": PASSWORD}, TENANT)[0] == 403
    assert ask(site, "POST", "/api/users", {"user": "1", "context": "public", "password": PASSWORD}, TENANT)[0] == 403
    for method, body in (("GET", None), ("PATCH", {"enabled": False}), ("DELETE", None)):
        assert ask(site, method, "/api/users/2000@c.test", body, TENANT)[0] == 404
    for method, path, body in (("GET", "/api/trunks", None), ("POST", "/api/trunks", {"name": "t", "proxy": "a"}), ("DELETE", "/api/trunks/carrier", None),
                               ("POST", "/api/routes", {"pattern": "^1$", "trunks": ["carrier"]}), ("POST", "/api/routes", {"pattern": "^1$", "context": "public", "transfer": {"to": "1"}}),
                               ("POST", "/api/routes", {"pattern": "^1$", "transfer": {"to": "1", "context": "public"}}), ("POST", "/api/routes", {"pattern": "^1$", "user": "2000@c.test"})):
        assert ask(site, method, path, body, TENANT)[0] == 403, path
    made(site, "/api/routes", {"id": "own", "pattern": "^1$", "user": "2000@b.test"}, TENANT)
    made(site, "/api/routes", {"id": "other", "pattern": "^1$", "context": "c.test", "user": "2000@c.test"})
    assert [route["id"] for route in ask(site, "GET", "/api/routes", key=TENANT)[1]["items"]] == ["own"]
    assert ask(site, "DELETE", "/api/routes/other", key=TENANT)[0] == 404
    assert ask(site, "GET", "/api/routes")[1]["total"] == 2


def test_a_tenant_has_no_routes_in_a_context_all_share_and_does_not_set_what_it_may_dial(site):
    for body in ({"pattern": "^1$", "user": "1000@b.test"}, {"pattern": "^1$", "context": "public", "transfer": {"to": "2"}}):
        status, problem = ask(site, "POST", "/api/routes", body, TENANT)
        assert status == 403 and "share" in problem["detail"], problem
    made(site, "/api/routes", {"id": "all", "pattern": "^1$", "transfer": {"to": "2"}})
    for method, body in (("GET", None), ("PATCH", {"enabled": False}), ("DELETE", None)):
        assert ask(site, method, "/api/routes/all", body, TENANT)[0] == 404, method
    user = {"user": "2000", "password": PASSWORD, "context": "public"}
    for field, value in (("toll_allow", "international"), ("account_code", "another")):
        status, problem = ask(site, "POST", "/api/users", user | {field: value}, TENANT)
        assert status == 403 and field in problem["detail"], problem
    made(site, "/api/users", user, TENANT)
    # What the operator has set stays, and the tenant may write it back as it is.
    assert ask(site, "PATCH", "/api/users/2000@b.test", {"toll_allow": "domestic"})[0] == 200
    assert ask(site, "PATCH", "/api/users/2000@b.test", {"toll_allow": "international"}, TENANT)[0] == 403
    assert ask(site, "PATCH", "/api/users/2000@b.test", {"toll_allow": None}, TENANT)[0] == 403
    assert ask(site, "PATCH", "/api/users/2000@b.test", {"email": "a@b.test"}, TENANT)[1]["toll_allow"] == "domestic"


def test_a_tenant_uses_up_nobodys_share_but_its_own(fresh):
    site = serve(fresh, '<param name="tenant-users" value="3"/><param name="tenant-routes" value="2"/>', context="{domain}")
    for number in range(3):
        made(site, "/api/users", {"user": f"200{number}", "password": PASSWORD}, TENANT)
    for number in range(2):
        made(site, "/api/routes", {"id": f"r{number}", "pattern": f"^{number}$", "user": "2000@b.test"}, TENANT)
    assert ask(site, "POST", "/api/users", {"user": "2009", "password": PASSWORD}, TENANT)[0] == 409
    assert ask(site, "PUT", "/api/users/2009", {"password": PASSWORD}, TENANT)[0] == 409
    assert ask(site, "POST", "/api/routes", {"pattern": "^9$", "user": "2000@b.test"}, TENANT)[0] == 409
    # Another tenant, and the operator, have theirs; a change needs no room.
    made(site, "/api/users", {"user": "2000", "password": PASSWORD}, OTHER)
    made(site, "/api/routes", {"id": "other", "pattern": "^1$", "user": "2000@c.test"}, OTHER)
    made(site, "/api/users", {"user": "2009", "domain": "b.test", "password": PASSWORD})
    assert ask(site, "PATCH", "/api/users/2000", {"email": "a@b.test"}, TENANT)[0] == 200
    for number in (0, 1, 9):
        assert ask(site, "DELETE", f"/api/users/200{number}@b.test")[0] == (409 if number == 0 else 200)
    made(site, "/api/users", {"user": "2005", "password": PASSWORD}, TENANT)


def test_what_was_made_outlives_a_restart_and_changes_of_others_are_seen(site):
    made(site, "/api/users", {"user": "2000", "password": PASSWORD})
    made(site, "/api/trunks", {"name": "ours", "profile": "open", "proxy": f"127.0.0.1:{site.block[tree.CARRIER]}"})
    made(site, "/api/routes", {"id": "out", "pattern": "^0(\\d+)$", "trunks": ["ours"]})
    site.switch.stop(remove=False)
    site.start()
    assert ask(site, "GET", "/api/users/2000")[0] == 200
    assert "ours" in site.switch.api("sofia status gateway ours")
    carrier = site.carrier()
    call = site.phone().invite("0301234")
    carrier.accept().reject(486)
    call.wait(486)
    # Rows that another program writes.
    files = [path for path in site.where.rglob("gateway.db")]
    assert len(files) == 1, files
    with sqlite3.connect(files[0], timeout=10) as database:
        database.execute("INSERT INTO gateway_users (id, document) VALUES (?, ?)",
                         ("2005@test.example", json.dumps({"user": "2005", "domain": "test.example", "password": PASSWORD})))
        database.execute("INSERT INTO gateway_users (id, document) VALUES ('broken', '{')")
        database.execute("UPDATE gateway_revision SET revision = revision + 1")
    database.close()
    until(lambda: site.switch.api("user_exists id 2005 test.example").strip() == "true", "a user made by another program")


@pytest.mark.skipif(services.needs("postgres", "initdb", "psql") is not None, reason="PostgreSQL is not installed")
def test_resources_in_postgresql_and_a_server_that_goes_away(fresh):
    database = services.Postgres(fresh.block[PG]).start()
    try:
        database.ask("CREATE DATABASE gateway")
        dsn = f"pgsql://host=127.0.0.1 port={database.port} user=switch dbname=gateway connect_timeout=3"
        site = serve(fresh, f'<param name="resources-dsn" value="{dsn}"/>')
        made(site, "/api/users", {"user": "2000", "password": PASSWORD})
        assert database.ask("SELECT id FROM gateway_users", "gateway") == [["2000@test.example"]]
        phone = site.phone(tree.AUTH, user="2000", password=PASSWORD, domain="test.example")
        assert phone.register().status == 200
        database.kill()
        # Nothing can be changed, and everything goes on as it was.
        assert phone.register().status == 200
        assert ask(site, "POST", "/api/users", {"user": "2001", "password": PASSWORD})[0] == 503
        assert ask(site, "GET", "/api/users/2000")[0] == 200
    finally:
        database.stop()


def test_users_of_another_programs_table(fresh):
    with sqlite3.connect(fresh.where / "seed.db") as seed:
        seed.execute("CREATE TABLE extensions (extension TEXT, domain TEXT, password TEXT, display_name TEXT, enabled INTEGER)")
        seed.executemany("INSERT INTO extensions VALUES (?, 'test.example', ?, ?, ?)",
                         [("3000", PASSWORD, "Ann <&>", 1), ("3001", PASSWORD, "Off", 0), ("3002", "", "None", 1), ("1000", PASSWORD, "hidden by the files", 1)])
    seed.close()
    site = serve(fresh, f'<param name="extensions-dsn" value="sqlite://{fresh.where}/seed.db"/>')
    phone = site.phone(tree.AUTH, user="3000", password=PASSWORD, domain="test.example")
    assert phone.register().status == 200
    call = phone.invite("park")
    call.wait(200)
    call.hangup()
    for user in ("3001", "3002", "' OR 1=1 --", "1000"):
        assert site.phone(tree.AUTH, user=user.replace(" ", "%20"), password=PASSWORD, domain="test.example").register().status in (400, 403, 404), user
    assert site.switch.api("user_exists id 3000 test.example").strip() == "true"
    assert site.switch.api("user_data 3000@test.example var effective_caller_id_name").strip() == "Ann <&>"
    assert site.switch.api("user_data 1000@test.example param password").strip() == "one-thousand"


def test_a_token_lets_into_one_room(fresh):
    modules = fresh.conf / "autoload_configs/modules.conf.xml"
    modules.write_text(modules.read_text().replace("</modules>", '<load module="mod_conference"/></modules>'))
    (fresh.conf / "autoload_configs/conference.conf.xml").write_text(
        '<configuration name="conference.conf"><profiles><profile name="default"><param name="rate" value="8000"/><param name="energy-level" value="0"/></profile></profiles></configuration>')
    site = serve(fresh)
    made_ = [made(site, "/api/livekit/token", {"room": "daily", "identity": identity, "name": identity.title()}) for identity in ("ann", "ben")]
    assert all(entry["token"].count(".") == 2 and entry["user"].endswith("@test.example") for entry in made_)
    calls = []
    for entry in made_:
        user, domain = entry["user"].split("@")
        calls.append(site.phone(tree.AUTH, user=user, password=entry["token"], domain=domain).invite("park"))
        calls[-1].wait(200)
    # Whatever they dial, they are in their room, and hear each other.
    until(lambda: [room["num_participants"] for room in ask(site, "GET", "/api/livekit/rooms")[1]["items"] if room["name"] == "daily"] == [2], "two in the room")
    calls[0].rtp.tone(700)
    calls[1].rtp.wait_tone(700)
    site.phone(tree.AUTH, user=user, password="wrong", domain=domain).invite("park").wait(403)
    for call in calls:
        call.hangup()
    assert ask(site, "POST", "/api/livekit/token", {"room": "a b", "identity": "ann"})[0] == 422
    assert ask(site, "POST", "/api/livekit/token", {"room": "daily", "identity": "ann", "ttl_seconds": 0})[0] == 422
    assert ask(site, "POST", "/api/livekit/token", {"room": "daily", "identity": "ann"}, TENANT)[0] == 403
    until(lambda: ask(site, "GET", "/api/livekit/rooms")[1]["total"] == 0, "end of the room")
