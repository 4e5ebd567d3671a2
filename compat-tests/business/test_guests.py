"""Guests of rooms: tokens of both kinds by SIP and Verto, what a guest may not do, and a full store."""
import hashlib
import http.client
import json
import subprocess
import uuid

import pytest

from harness import frameworks, tree
from harness.verto import OFFER, Verto

KEY = "guests-key"
WS = 70
HTTP_API = """<configuration name="http_api.conf"><settings>
  <param name="listen-port" value="{http}"/><param name="rate-limit" value="100000"/><param name="resources-dsn" value="{resources}"/>
</settings><api-keys><api-key name="all" sha256="{hash}" scopes="calls:read calls:write system:read"/></api-keys></configuration>"""
VERTO = """<configuration name="verto.conf"><settings/><profiles><profile name="verto">
  <param name="bind-local" value="127.0.0.1:{ws}"/><param name="force-register-domain" value="$${{domain}}"/><param name="userauth" value="true"/>
  <param name="context" value="public"/><param name="rtp-ip" value="127.0.0.1"/><param name="inbound-codec-string" value="opus,PCMU"/>
  <param name="apply-candidate-acl" value="any_v4.auto"/>
</profile></profiles></configuration>"""
ROOMS = """<configuration name="conference.conf"><caller-controls/><profiles><profile name="default">
  <param name="rate" value="8000"/><param name="energy-level" value="0"/></profile></profiles></configuration>"""
# What users of the domain may do is more than a guest may.
ALLOWED = "".join(f'<param name="jsonrpc-allowed-{name}" value="{value}"/>' for name, value in
                  (("methods", "verto,echo,fsapi,jsapi"), ("fsapi", "all"), ("jsapi", "all"), ("event-channels", "all")))


def serve(fresh, resources="gateway"):
    conf = fresh.conf / "autoload_configs"
    for name, text in (("http_api", HTTP_API), ("verto", VERTO), ("conference", ROOMS)):
        text = text if name == "conference" else text.format(http=fresh.block[tree.HTTP], ws=fresh.block[WS], resources=resources,
                                                             hash=hashlib.sha256(KEY.encode()).hexdigest())
        (conf / f"{name}.conf.xml").write_text(f"<include>\n{text}\n</include>")
    tree.patch(fresh.conf / "directory/users.xml", {r"(?s)\A(.*?<params>)": r"\1" + ALLOWED})
    modules = conf / "modules.conf.xml"
    wanted = [name for name in ("mod_http_api", "mod_verto", "mod_conference") if name not in modules.read_text()]
    modules.write_text(modules.read_text().replace("</modules>", "".join(f'<load module="{name}"/>' for name in wanted) + "</modules>"))
    return fresh.start()


class Rest:
    """Requests on one connection."""

    def __init__(self, site):
        self.connection = http.client.HTTPConnection("127.0.0.1", site.block[tree.HTTP], timeout=20)

    def ask(self, method, path, body=None):
        self.connection.request(method, path, None if body is None else json.dumps(body), {"X-API-Key": KEY})
        answer = self.connection.getresponse()
        text = answer.read()
        if answer.status >= 400:
            assert answer.headers["content-type"] == "application/problem+json", (method, path, answer.status, text)
        return answer.status, json.loads(text)


def guests(rest):
    """A guest of each kind: user, domain and password."""
    status, page = rest.ask("POST", "/api/rooms/hall/tokens", {"name": "Alice"})
    assert status == 200, page
    status, bot = rest.ask("POST", "/api/livekit/token", {"room": "hall", "identity": "ben", "name": "Ben"})
    assert status == 201, bot
    return [(page["user"], "test.example", page["password"], "Alice"), (*bot["user"].split("@"), bot["token"], "Ben")]


# Tokens need no database of resources: one that does not answer keeps no guest out.
@pytest.mark.parametrize("resources", ("gateway", "pgsql://host=127.0.0.1 port=9 user=x dbname=x connect_timeout=1"), ids=("database", "none"))
def test_both_kinds_of_tokens_lead_into_the_room_by_sip_and_verto(fresh, resources):
    site = serve(fresh, resources)
    esl, rest = site.switch.esl(), Rest(site)
    esl.command("event plain CHANNEL_EXECUTE CUSTOM conference::maintenance")
    for user, domain, password, name in guests(rest):
        phone = site.phone(tree.AUTH, user=user, password=password, domain=domain).admitted("9999")
        joined = esl.wait_event("CUSTOM", timeout=20, Action="add-member").event
        assert (joined["Conference-Name"], joined["Caller-Caller-ID-Name"], joined["Caller-Caller-ID-Number"]) == ("hall", name, user)
        phone.hangup()

        verto = Verto(("127.0.0.1", site.block[WS]))
        assert verto.login(f"{user}@{domain}", "wrong")["error"]["code"] == -32001
        verto.close()
        verto = Verto(("127.0.0.1", site.block[WS]))
        assert verto.login(f"{user}@{domain}", password)["result"]["message"] == "logged in"
        # A guest runs no command and hears no channel, whatever its domain's users may.
        assert verto.ask("fsapi", cmd="status")["error"]["code"] == -32602
        assert "presence" in verto.ask("verto.subscribe", eventChannel="presence")["error"]["unauthorizedChannels"]
        call = str(uuid.uuid4())
        dialog = {"callID": call, "destination_number": "park", "caller_id_name": "Somebody", "caller_id_number": "1000"}
        verto.ask("verto.invite", sdp=OFFER.format(port=9), dialogParams=dialog)
        # This client has no media, so its call gets no further than to the room's door; test_verto_rooms.py has one that is heard.
        door = esl.wait_event("CHANNEL_EXECUTE", Unique_ID=call, Application="answer").event
        assert (door["Caller-Context"], door["Caller-Caller-ID-Name"], door["Caller-Caller-ID-Number"]) == ("guests-of-rooms", name, user)
        assert verto.ask("verto.bye", dialogParams={"callID": call})["result"]["message"] == "CALL ENDED"
        verto.close()
        # Taken back, it is no way in any more.
        assert rest.ask("DELETE", f"/api/rooms/hall/tokens/{user}")[0] == 200
        verto = Verto(("127.0.0.1", site.block[WS]))
        assert verto.login(f"{user}@{domain}", password)["error"]["code"] == -32001
        verto.close()
    esl.close()


def test_a_full_store_and_paths_that_are_no_text_are_told_of(fresh):
    rest = Rest(serve(fresh))
    for method, path in (("POST", "/api/rooms/%ff/tokens"), ("DELETE", "/api/rooms/hall/tokens/%ff"), ("DELETE", "/api/rooms/%fe/tokens/x")):
        status, problem = rest.ask(method, path, {} if method == "POST" else None)
        assert status == 400 and "UTF-8" in problem["detail"], problem
    first = rest.ask("POST", "/api/rooms/hall/tokens", {})[1]["user"]
    for _ in range(9_999):
        assert rest.ask("POST", "/api/rooms/hall/tokens", {})[0] == 200
    assert rest.ask("POST", "/api/rooms/hall/tokens", {})[0] == 503
    assert rest.ask("POST", "/api/livekit/token", {"room": "hall", "identity": "ben"})[0] == 503
    assert rest.ask("DELETE", f"/api/rooms/hall/tokens/{first}")[0] == 200
    assert rest.ask("POST", "/api/livekit/token", {"room": "hall", "identity": "ben"})[0] == 201


def test_a_token_reads_as_livekit_s_own_package_reads_one(fresh):
    """PyPI `livekit-api`: the grants of a token. Its signature is the switch's own, which no LiveKit server is asked about."""
    python, rest = frameworks.python("livekit"), Rest(serve(fresh))
    for wanted, may in (({}, True), ({"can_publish": False}, False)):
        body = {"room": "hall", "identity": "ben", "name": "Ben", "ttl_seconds": 60, **wanted}
        status, bot = rest.ask("POST", "/api/livekit/token", body)
        assert status == 201, bot
        read = ("import json, sys; from livekit.api import TokenVerifier; "
                "claims = TokenVerifier('ferroswitch', 'x' * 32).verify(sys.argv[1], verify_signature=False); grants = claims.video; "
                "print(json.dumps([claims.identity, claims.name, grants.room, grants.room_join, grants.can_publish, grants.can_subscribe, grants.room_admin]))")
        claims = json.loads(subprocess.run([python, "-c", read, bot["token"]], check=True, capture_output=True, text=True).stdout)
        assert claims[:6] == ["ben", "Ben", "hall", True, may, True] and not claims[6], claims
