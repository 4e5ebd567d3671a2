"""The voice gateway: who may ask, calls made and steered by REST and heard at the phone, lists, events."""
import base64
import hashlib
import hmac
import http.client
import json
import re
import socket
import subprocess
import time
import urllib.error
import urllib.request

import pytest

from harness import tree
from harness.services import ROOT, until
from harness.web import Web

SECRET = "a secret of the test, thirty-two bytes and more"
KEY = "crm-key-4711"
CONF = """<include>
<configuration name="http_api.conf"><settings>
  <param name="listen-port" value="{http}"/><param name="jwt-secret" value="{secret}"/><param name="jwt-issuer" value="tests"/>
  <param name="jwks-url" value="http://127.0.0.1:{jwks}/keys"/><param name="cors-origin" value="https://crm.example"/>
  <param name="dial-string" value="sofia/open/{{to}}@127.0.0.1:{carrier}"/><param name="default-context" value="public"/>
</settings><api-keys>
  <api-key name="crm" sha256="{hash}" scopes="calls:read calls:write system:read events:read"/>
  <api-key name="wall" sha256="{wall}" scopes="system:read"/>
  <api-key name="tenant" sha256="{tenant}" scopes="calls:read calls:write system:read events:read" domain="b.test"/>
</api-keys></configuration>
</include>"""
JWKS = 70
ALL = "calls:read calls:write system:read events:read"


@pytest.fixture
def site(fresh):
    sha = lambda text: hashlib.sha256(text.encode()).hexdigest()      # noqa: E731
    text = CONF.format(http=fresh.block[tree.HTTP], secret=SECRET, jwks=fresh.block[JWKS], carrier=fresh.block[tree.CARRIER],
                       hash=sha(KEY), wall=sha("wall-key"), tenant=sha("tenant-key"))
    (fresh.conf / "autoload_configs/http_api.conf.xml").write_text(text)
    modules = fresh.conf / "autoload_configs/modules.conf.xml"
    modules.write_text(modules.read_text().replace("</modules>", '<load module="mod_http_api"/></modules>'))
    return fresh.start()


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def token(scope=ALL, secret=SECRET, algorithm="HS256", **claims):
    claims = {"iss": "tests", "sub": "me", "exp": int(time.time()) + 60, "scope": scope, **claims}
    head = b64(json.dumps({"alg": algorithm, "typ": "JWT"}).encode()) + "." + b64(json.dumps(claims).encode())
    return head + "." + (b64(hmac.digest(secret.encode(), head.encode(), "sha256")) if algorithm == "HS256" else "")


def ask(site, path, body=None, bearer=None, key=None, method=None, **headers):
    """Status and document of a request; the API key of the CRM unless told otherwise."""
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    if bearer:
        headers["Authorization"] = f"Bearer {bearer}"
    elif key != "":
        headers["X-API-Key"] = key or KEY
    data = json.dumps(body).encode() if isinstance(body, (dict, list)) else body
    request = urllib.request.Request(f"http://127.0.0.1:{site.block[tree.HTTP]}{path}", data, headers, method=method or ("POST" if data is not None else "GET"))
    try:
        with urllib.request.urlopen(request, timeout=15) as answer:
            text = answer.read()
            return answer.status, json.loads(text) if text else answer.headers
    except urllib.error.HTTPError as error:
        text = error.read()
        return error.code, json.loads(text) if text else error.headers


def test_only_those_who_may_are_answered(site):
    assert ask(site, "/api/calls/active", key="")[0] == 401
    assert ask(site, "/api/calls/active", bearer=token())[0] == 200
    for bad in (token(secret="another secret of thirty-two bytes"), token(exp=int(time.time()) - 600), token(iss="others"), token(algorithm="none"), "nonsense"):
        assert ask(site, "/api/calls/active", bearer=bad)[0] == 401
    assert ask(site, "/api/calls/active", bearer=token("system:read"))[0] == 403
    assert ask(site, "/api/gateways", key="wall-key")[0] == 200
    assert ask(site, "/call", {"to": "1"}, key="wall-key")[0] == 403
    # Pages of one origin may ask, those of others are told nothing.
    status, headers = ask(site, "/call", key="", method="OPTIONS", Origin="https://crm.example", Access_Control_Request_Method="POST")
    assert status == 204 and headers["access-control-allow-origin"] == "https://crm.example"
    assert ask(site, "/call", key="", method="OPTIONS", Origin="https://evil.example", Access_Control_Request_Method="POST")[0] in (401, 405)
    # Guessing is slowed.
    until(lambda: ask(site, "/api/calls/active", key="guess")[0] == 429, "refusal of a guesser")


def test_tokens_signed_with_a_key_the_issuer_publishes(site, tmp_path):
    openssl = lambda *args, **more: subprocess.run(["openssl", *args], check=True, capture_output=True, **more).stdout      # noqa: E731
    key = tmp_path / "key.pem"
    openssl("genrsa", "-out", str(key), "2048")
    modulus = bytes.fromhex(openssl("rsa", "-in", str(key), "-noout", "-modulus").decode().strip().partition("=")[2])
    web = Web(site.block[JWKS])
    try:
        keys = {"keys": [{"kty": "RSA", "kid": "one", "alg": "RS256", "use": "sig", "n": b64(modulus), "e": "AQAB"}]}
        web.guard = lambda request: (200, json.dumps(keys), {"Content-Type": "application/json"})

        def signed(kid):
            claims = {"iss": "tests", "exp": int(time.time()) + 60, "scope": "system:read"}
            head = b64(json.dumps({"alg": "RS256", "kid": kid}).encode()) + "." + b64(json.dumps(claims).encode())
            return head + "." + b64(openssl("dgst", "-sha256", "-sign", str(key), input=head.encode()))

        assert ask(site, "/api/gateways", bearer=signed("one"))[0] == 200
        assert ask(site, "/api/gateways", bearer=signed("two"))[0] == 401
        assert len(web.requests) == 1
    finally:
        web.close()


def test_bad_requests_are_told_what_is_wrong(site):
    for body, status in ((b"{", 400), ([], 422), ({}, 422), ({"to": "1 &system(touch x)"}, 422), ({"to": "1", "more": 1}, 422), ({"to": "1", "context": "a b"}, 422)):
        code, problem = ask(site, "/call", body)
        assert code == status and problem["status"] == status and problem["detail"], body
    assert ask(site, "/call", b"x" * 70000)[0] == 413
    assert ask(site, "/status/nothing")[0] == 404
    assert ask(site, "/api/calls/nothing/hangup", {})[0] == 404
    assert ask(site, "/api/nothing")[0] == 404
    assert ask(site, "/call")[0] == 405
    assert ask(site, "/api/calls/active?limit=many")[0] == 422


def test_a_call_is_made_steered_and_listed(site):
    carrier = site.carrier()
    status, made = ask(site, "/call", {"to": "4711", "from": "1000", "uuid": "my-call"}, Idempotency_Key="once")
    assert status == 202 and made["uuid"] == "my-call"
    assert ask(site, "/call", {"to": "4711", "from": "1000", "uuid": "my-call"}, Idempotency_Key="once") == (202, made)
    assert ask(site, "/call", {"to": "4712"}, Idempotency_Key="once")[0] == 422
    call = carrier.accept()
    assert call.request.start.startswith("INVITE sip:4711@") and "1000" in call.request["from"]
    call.ring()
    until(lambda: ask(site, "/status/my-call")[1]["state"] == "ringing", "ringing")
    call.answer()
    until(lambda: ask(site, "/status/my-call")[1]["state"] == "answered", "answer")
    assert ask(site, "/call", {"to": "1", "uuid": "my-call"})[0] == 409

    listed = ask(site, "/api/calls/active?to=4711&limit=1")[1]
    assert listed["total"] == 1 and listed["items"][0]["uuid"] == "my-call"
    assert ask(site, "/api/calls/active?to=9")[1]["total"] == 0
    assert ask(site, "/api/dashboard/stats")[1]["answered_legs"] == 1

    assert ask(site, "/api/calls/my-call/play", {"file": "../../etc/passwd"})[0] == 422
    assert ask(site, "/api/calls/my-call/play", {"file": "nothing.wav"})[0] == 404
    assert ask(site, "/api/calls/my-call/record", {})[0] == 200
    assert ask(site, "/api/calls/my-call/transfer", {"to": "tone"})[0] == 200
    call.rtp.wait_tone(500)
    assert ask(site, "/api/calls/my-call/hangup", {"cause": "USER_BUSY"})[0] == 200
    call.wait_end()
    ended = until(lambda: (found := ask(site, "/api/calls/history?cause=USER_BUSY")[1])["total"] and found, "ended call")["items"][0]
    assert (ended["uuid"], ended["state"], ended["to"]) == ("my-call", "ended", "tone")
    assert ask(site, "/status/my-call")[1]["cause"] == "USER_BUSY"


def test_a_call_that_cannot_be_made_says_why(site):
    carrier = site.carrier()
    uuid = ask(site, "/call", {"to": "4711"})[1]["uuid"]
    carrier.accept().reject(486)
    ended = until(lambda: (found := ask(site, f"/status/{uuid}")[1])["state"] in ("failed", "ended") and found, "end")
    assert ended["cause"] == "USER_BUSY"


def test_two_parties_are_connected(site):
    carrier = site.carrier()
    ask(site, "/call/outbound", {"from": "101", "to": "4711", "caller_id": "5000"})
    first = carrier.accept()
    assert first.request.start.startswith("INVITE sip:101@")
    first.answer()
    second = carrier.accept()
    assert second.request.start.startswith("INVITE sip:4711@") and "5000" in second.request["from"]
    second.answer()
    until(lambda: all(leg["other_uuid"] for leg in ask(site, "/api/calls/active")[1]["items"]), "bridge")
    second.hangup()
    first.wait_end()


def test_events_arrive_as_they_happen(site):
    connection = http.client.HTTPConnection("127.0.0.1", site.block[tree.HTTP], timeout=15)
    connection.request("GET", f"/api/events?types=CALL_INIT,CALL_END&access_token={token('events:read')}")
    stream = connection.getresponse()
    assert stream.status == 200 and stream.getheader("content-type") == "text/event-stream"
    # The same over WebSocket, by hand: an upgrade, then text frames.
    ws = socket.create_connection(("127.0.0.1", site.block[tree.HTTP]), timeout=15)
    ws.sendall(f"GET /api/events/ws?types=CALL_END HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
               f"Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\nX-API-Key: {KEY}\r\n\r\n".encode())
    heard = b""
    while b"\r\n\r\n" not in heard:
        heard += ws.recv(4096)
    assert heard.startswith(b"HTTP/1.1 101")
    call = site.phone(user="alice").invite("tone")
    call.wait(200)
    call.hangup()
    lines = []
    while sum(line.startswith("data:") for line in lines) < 2:
        lines.append(stream.readline().decode().strip())
    documents = [json.loads(line[5:]) for line in lines if line.startswith("data:")]
    assert [document["type"] for document in documents] == ["CALL_INIT", "CALL_END"] and documents[0]["from"] == "alice"
    while b'"CALL_END"' not in heard:
        heard += ws.recv(4096)
    ws.close()
    connection.close()


def test_the_description_names_every_path(site):
    status, document = ask(site, "/api/openapi.json", key="")
    assert status == 200 and document["openapi"] == "3.1.0"
    routes = set()
    source = (ROOT / "media-node/modules/http_api/src/gateway/mod.rs").read_text()
    routes.update(re.findall(r'\.route\(\s*"([^"]+)"', source))
    assert set(document["paths"]) == routes - {"/api/openapi.json"}


def test_a_tenant_sees_and_steers_its_own_calls_only(site):
    carrier = site.carrier()
    ours, theirs = {"bearer": token(domain="a.test")}, {"key": "tenant-key"}
    assert ask(site, "/call", {"to": "4711", "uuid": "call-a"}, **ours, Idempotency_Key="same")[0] == 202
    first = carrier.accept()
    first.answer()
    assert ask(site, "/call", {"to": "4712", "uuid": "call-b"}, **theirs, Idempotency_Key="same")[0] == 202
    second = carrier.accept()
    second.answer()
    until(lambda: [ask(site, f"/status/{uuid}")[1]["state"] for uuid in ("call-a", "call-b")] == ["answered"] * 2, "both calls")
    assert site.switch.api("uuid_getvar call-a domain_name") == "a.test"
    for who, own, other in ((ours, "call-a", "call-b"), (theirs, "call-b", "call-a")):
        assert [leg["uuid"] for leg in ask(site, "/api/calls/active", **who)[1]["items"]] == [own]
        assert ask(site, f"/status/{own}", **who)[0] == 200 and ask(site, f"/status/{other}", **who)[0] == 404
        for verb, body in (("hangup", {}), ("transfer", {"to": "tone"}), ("hold", {}), ("dtmf", {"digits": "1"}), ("say", {"text": "a"}), ("record", {})):
            assert ask(site, f"/api/calls/{other}/{verb}", body, **who)[0] == 404, verb
        assert ask(site, "/call/end", {"call_id": other}, **who)[0] == 404
        # What is about the whole switch, and contexts of others, are not theirs.
        for path in ("/api/gateways", "/api/conferences", "/api/dashboard/stats", "/api/ivr/menus"):
            assert ask(site, path, **who)[0] == 403, path
        assert ask(site, "/call", {"to": "1", "context": "default"}, **who)[0] == 403
        assert ask(site, f"/api/calls/{own}/transfer", {"to": "1", "context": "default"}, **who)[0] == 403
        assert ask(site, "/api/users", **who)[1]["items"] == []
    assert ask(site, "/api/calls/active")[1]["total"] == 2 and ask(site, "/api/calls/active", bearer=token(domain="c.test"))[1]["total"] == 0
    assert ask(site, "/api/calls/active", bearer=token(domain="a.test}x"))[0] == 401
    assert ask(site, "/call/end", {"call_id": "call-b", "cause": "USER_BUSY"}, **theirs)[0] == 200
    second.wait_end()
    until(lambda: ask(site, "/api/calls/history", **theirs)[1]["total"] == 1, "ended call")
    assert ask(site, "/api/calls/history", **ours)[1]["total"] == 0 and ask(site, "/status/call-b", **ours)[0] == 404
    first.hangup()


def test_events_of_a_tenant_are_its_own(site):
    carrier = site.carrier()
    connection = http.client.HTTPConnection("127.0.0.1", site.block[tree.HTTP], timeout=15)
    connection.request("GET", f"/api/events?types=CALL_END&access_token={token('events:read', domain='a.test')}")
    stream = connection.getresponse()
    assert stream.status == 200
    for uuid, domain in (("call-b", "b.test"), ("call-a", "a.test")):
        assert ask(site, "/call", {"to": "4711", "uuid": uuid}, bearer=token(domain=domain))[0] == 202
        call = carrier.accept()
        call.answer()
        until(lambda: ask(site, f"/status/{uuid}")[1]["state"] == "answered", "answer")
        call.hangup()
        until(lambda: ask(site, f"/status/{uuid}")[1]["state"] == "ended", "end")
    while not (line := stream.readline().decode()).startswith("data:"):
        assert line
    assert json.loads(line[5:])["call_id"] == "call-a"
    connection.close()


def test_what_is_configured_is_listed(site):
    users = ask(site, "/api/users?limit=500")[1]["items"]
    assert users and all({"user", "domain", "source", "registered"} <= set(user) and "password" not in user for user in users)
    assert ask(site, "/api/health")[1]["status"] == "ok"
    for path in ("/api/queues", "/api/agents"):
        assert ask(site, path)[1]["total"] == 0, path
    menus = ask(site, "/api/ivr/menus")[1]["items"]
    assert menus and all(menu["name"] and isinstance(menu["entries"], list) for menu in menus)


def test_a_call_of_a_voice_bots_platform(site):
    carrier = site.carrier()
    uuid = ask(site, "/call/setup", {"to": "4711"})[1]["uuid"]
    call = carrier.accept()
    call.answer()
    until(lambda: ask(site, f"/call/status/{uuid}")[1]["state"] == "answered", "answer")
    for text in ("${system(touch x)}", "", "a\x00b"):
        assert ask(site, f"/api/calls/{uuid}/say", {"text": text})[0] == 422
    assert ask(site, "/call/transfer", {"uuid": uuid, "to": "tone"})[0] == 200
    call.rtp.wait_tone(500)
    assert ask(site, "/call/end", {"uuid": uuid})[0] == 200
    call.wait_end()
