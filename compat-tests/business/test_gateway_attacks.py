"""What strangers and tenants try at the REST listener: slow and endless requests, forged tokens, races, paths, readers that do not read."""
import concurrent.futures
import hmac
import http.client
import json
import pathlib
import socket
import subprocess
import threading
import time

from harness import tree
from harness.services import until
from harness.web import Web
from test_gateway import ALL, JWKS, KEY, ask, b64, site, token      # noqa: F401 (fixtures among them)


def connect(site):  # noqa: F811
    return socket.create_connection(("127.0.0.1", site.block[tree.HTTP]), 15)


def raw(site, text):  # noqa: F811
    """What is answered to bytes, to the end of the connection."""
    with connect(site) as stream:
        stream.sendall(text if isinstance(text, bytes) else text.encode("latin-1"))
        answer = b""
        try:
            while chunk := stream.recv(65536):
                answer += chunk
        except OSError:
            pass
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split(b" ")[1]), head.decode().lower(), body


def post(more, body="", path="/call"):
    return f"POST {path} HTTP/1.1\r\nHost: a\r\nX-API-Key: {KEY}\r\n{more}\r\n\r\n{body}"


def test_slow_and_endless_requests_hold_up_nobody(site):  # noqa: F811
    slow = [connect(site) for _ in range(40)]
    for number, stream in enumerate(slow):
        stream.sendall((f"POST /call HTTP/1.1\r\nHost: a\r\nX-API-Key: {KEY}\r\n" + ("Content-Length: 1000\r\n\r\n{" if number % 2 else "X-Slow: ")).encode())
    for length in ("99999999999", "18446744073709551615"):
        assert raw(site, post(f"Content-Length: {length}"))[0] in (413, 431)
    endless = post("Transfer-Encoding: chunked") + "10000\r\n" + "x" * 65536 + "\r\n" + "10000\r\n" + "x" * 65536 + "\r\n"
    assert raw(site, endless)[0] in (400, 413)
    # Requests hidden in others, and what no parser should take.
    for bad in (post("Content-Length: 2\r\nContent-Length: 3", "{}x"), "GET /api/calls active HTTP/1.1\r\n\r\n",
                "GET / HTTP/9.9\r\n\r\n", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", post("X-\x00: 1"), post("Content-Length: -1")):
        status, head, body = raw(site, bad)
        assert 400 <= status < 500 and "application/problem+json" in head and json.loads(body)["status"] == status, (bad, status, head)
    for _ in range(20):
        assert ask(site, "/api/calls/active")[0] == 200
    for stream in slow:
        stream.close()


def test_refusals_are_problems_and_leave_the_connection(site):  # noqa: F811
    connection = http.client.HTTPConnection("127.0.0.1", site.block[tree.HTTP], timeout=15)
    for method, path, key, status in (("POST", "/call", "wrong", 401), ("OPTIONS", "/call", KEY, 405), ("POST", "/api/nothing", KEY, 404), ("PUT", "/call", KEY, 405),
                                      ("GET", "/status/%0A", KEY, 404), ("GET", "/status/%ff", KEY, 400), ("GET", "/api/users/%0A", KEY, 422)):
        body = b"x" * 5000 if method != "GET" else None
        connection.request(method, path, body, {"X-API-Key": key})
        answer = connection.getresponse()
        text = answer.read()
        assert answer.status == status and json.loads(text)["status"] == status and answer.headers["content-type"] == "application/problem+json", (path, text)


def test_forged_tokens_prove_nothing(site, tmp_path):  # noqa: F811
    claims = {"iss": "tests", "sub": "me", "exp": int(time.time()) + 60, "scope": ALL}
    part = lambda value: b64(json.dumps(value).encode())      # noqa: E731
    key = tmp_path / "key.pem"
    subprocess.run(["openssl", "genrsa", "-out", str(key), "2048"], check=True, capture_output=True)
    public = subprocess.run(["openssl", "rsa", "-in", str(key), "-pubout"], check=True, capture_output=True).stdout
    modulus = bytes.fromhex(subprocess.run(["openssl", "rsa", "-in", str(key), "-noout", "-modulus"], check=True, capture_output=True).stdout.decode().strip().partition("=")[2])
    jwk = {"kty": "RSA", "kid": "one", "alg": "RS256", "use": "sig", "n": b64(modulus), "e": "AQAB"}

    def rs256(head):
        text = f"{part(head)}.{part(claims)}"
        return text + "." + b64(subprocess.run(["openssl", "dgst", "-sha256", "-sign", str(key)], input=text.encode(), check=True, capture_output=True).stdout)

    unsigned = [f"{part({'alg': name, 'typ': 'JWT'})}.{part(claims)}." for name in ("none", "None", "NONE", "nOnE", "")]
    with_public = f"{part({'alg': 'HS256'})}.{part(claims)}"
    with_public += "." + b64(hmac.digest(public, with_public.encode(), "sha256"))
    good = token()
    changed = good.split(".")
    changed[1] = part({**claims, "scope": ALL + " system:write"})
    forged = [*unsigned, with_public, ".".join(changed), good[:-4], good + "x", "..", "." * 5000, rs256({"alg": "RS256", "kid": "one", "jwk": jwk}),
              rs256({"alg": "RS256", "kid": "../../../etc/passwd"}), rs256({"alg": "RS256", "kid": "' OR 1=1 --", "jku": f"http://127.0.0.1:{site.block[JWKS]}/keys"}),
              token(exp="soon"), token(exp=-1), token(nbf=int(time.time()) + 3600), token(secret=""), token(domain=["a.test"]), "é" * 10]
    for number, bad in enumerate(forged):
        # Guessing is slowed for all at this address but those who have passed: each tries from an address of its own.
        sender = socket.create_connection(("127.0.0.1", site.block[tree.HTTP]), 15, source_address=(f"127.0.7.{number + 1}", 0))
        with sender:
            sender.sendall(b"GET /api/calls/active HTTP/1.1\r\nHost: a\r\nConnection: close\r\nAuthorization: Bearer " + bad.encode() + b"\r\n\r\n")
            answer = b""
            while chunk := sender.recv(65536):
                answer += chunk
        assert answer.split(b" ")[1] == b"401" or b" 400 " in answer[:16], (bad[:80], answer[:200])
    # No token in a query but where browsers open streams.
    assert ask(site, f"/api/calls/active?access_token={good}", key="")[0] == 401
    assert ask(site, "/api/calls/active", bearer=good)[0] == 200


def test_an_issuer_that_hangs_or_is_down_keeps_out_nobody_who_is_known(site, tmp_path):  # noqa: F811
    key = tmp_path / "key.pem"
    subprocess.run(["openssl", "genrsa", "-out", str(key), "2048"], check=True, capture_output=True)
    modulus = bytes.fromhex(subprocess.run(["openssl", "rsa", "-in", str(key), "-noout", "-modulus"], check=True, capture_output=True).stdout.decode().strip().partition("=")[2])
    keys = {"keys": [{"kty": "RSA", "kid": "one", "alg": "RS256", "use": "sig", "n": b64(modulus), "e": "AQAB"}]}

    def signed(kid):
        text = b64(json.dumps({"alg": "RS256", "kid": kid}).encode()) + "." + b64(json.dumps({"iss": "tests", "exp": int(time.time()) + 600, "scope": "system:read"}).encode())
        return text + "." + b64(subprocess.run(["openssl", "dgst", "-sha256", "-sign", str(key)], input=text.encode(), check=True, capture_output=True).stdout)

    # Down from the start: told so, and those with a secret or a key go on.
    assert ask(site, "/api/gateways", bearer=signed("one"))[0] == 401
    assert ask(site, "/api/gateways", bearer=token())[0] == 200 and ask(site, "/api/gateways")[0] == 200
    site.switch.api("reload mod_http_api")
    web = Web(site.block[JWKS])
    free = threading.Event()
    try:
        web.guard = lambda request: (200, json.dumps(keys), {"Content-Type": "application/json"})
        known = signed("one")
        until(lambda: ask(site, "/api/gateways", bearer=known)[0] == 200, "a known key")
        asked = len(web.requests)
        web.guard = lambda request: free.wait(20) and (200, json.dumps(keys), {})
        strangers = [signed(f"invented-{n}") for n in range(3)]
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            tried = [pool.submit(ask, site, "/api/gateways", bearer=stranger) for stranger in strangers]
            for _ in range(10):
                assert ask(site, "/api/gateways", bearer=known)[0] == 200
            free.set()
            assert {one.result()[0] for one in tried} == {401}
        assert len(web.requests) <= asked + 1, "each invented key is a question to the issuer"
    finally:
        free.set()
        web.close()


def test_equal_requests_at_once_make_one_call(site):  # noqa: F811
    carrier = site.carrier()
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        same = lambda n: ask(site, "/call", {"to": "4711"}, Idempotency_Key="once")      # noqa: E731
        answers = list(pool.map(same, range(32)))
        assert {status for status, _ in answers} == {202} and len({made["uuid"] for _, made in answers}) == 1, answers
        first = carrier.accept()
        named = lambda n: ask(site, "/call", {"to": "4712", "uuid": "one-of-many"})[0]      # noqa: E731
        statuses = sorted(pool.map(named, range(16)))
    assert statuses == [202] + [409] * 15, statuses
    second = carrier.accept()
    assert "4712" in second.request.start
    first.reject(486)
    second.reject(486)
    until(lambda: ask(site, "/api/calls/active")[1]["total"] == 0, "end of both")
    assert ask(site, "/api/calls/history?to=4711")[1]["total"] == 1
    # Another tenant's UUID is not taken over, and tells nothing but that it is there.
    assert ask(site, "/call", {"to": "4711", "uuid": "one-of-many"}, key="tenant-key")[0] == 409
    assert ask(site, "/status/one-of-many", key="tenant-key")[0] == 404


BAD_FILES = ("../x.wav", "a/../../x.wav", "/etc/cron.d/x", "a//b.wav", ".hidden", "a/./b.wav", "%2e%2e/x.wav", "a\\..\\b.wav", "x.wav\x00.txt", "x\r\nX-Evil: 1", "${system(touch x)}.wav", "http://127.0.0.1/x",
             "shout://x", "a;b.wav", "x.wav|touch y", "{a=b}x.wav", "x" * 200)


def test_recordings_stay_in_their_folder_and_values_are_one_value(site):  # noqa: F811
    carrier = site.carrier()
    uuid = ask(site, "/call", {"to": "4711"})[1]["uuid"]
    call = carrier.accept()
    call.answer()
    until(lambda: ask(site, f"/status/{uuid}")[1]["state"] == "answered", "answer")
    before = {path for path in site.where.rglob("*") if path.is_file()}
    for bad in BAD_FILES:
        assert ask(site, f"/api/calls/{uuid}/record", {"file": bad})[0] == 422, bad
        assert ask(site, f"/api/calls/{uuid}/play", {"file": bad})[0] == 422, bad
    for field, bad in (("uuid", "a\r\nX-Evil: 1"), ("uuid", "../x"), ("from", "1>\r\nEvil: 1"), ("to", "1@h;transport=tcp"), ("to", "{x=y}1"), ("context", "public'")):
        assert ask(site, "/call", {"to": "1", field: bad})[0] == 422, bad
    for bad in ("\x80\xff", "k" * 256):
        assert ask(site, "/call", {"to": "1"}, Idempotency_Key=bad)[0] == 422
    assert ask(site, f"/api/calls/{uuid}/hangup", {"cause": "NORMAL_CLEARING system touch"})[0] == 422
    assert not {path for path in site.where.rglob("*.wav") if path.is_file()} - before
    assert ask(site, f"/api/calls/{uuid}/record", {"file": "team/one.wav"})[0] == 200
    until(lambda: list(site.where.rglob("team/one.wav")), "recording")
    call.hangup()


def recording(site, uuid, key=KEY, bounds=None):  # noqa: F811
    """Status, headers and bytes of a call's recording."""
    connection = http.client.HTTPConnection("127.0.0.1", site.block[tree.HTTP], timeout=15)
    connection.request("GET", f"/api/calls/{uuid}/recording", headers={"X-API-Key": key, **({"Range": bounds} if bounds else {})})
    answer = connection.getresponse()
    found = answer.status, dict(answer.getheaders()), answer.read()
    connection.close()
    return found


def test_a_recording_is_served_to_whose_call_it_is_and_no_other_file(site):  # noqa: F811
    carrier = site.carrier()
    def made(to):
        uuid = ask(site, "/call", {"to": to})[1]["uuid"]
        call = carrier.accept()
        call.answer()
        until(lambda: ask(site, f"/status/{uuid}")[1]["state"] == "answered", "answer")
        return uuid, call
    uuid, call = made("4711")
    assert recording(site, uuid)[0] == 404 and recording(site, "none")[0] == 404
    assert ask(site, f"/api/calls/{uuid}/record", {"file": "team/one.wav"})[0] == 200
    file = until(lambda: next(iter(site.where.rglob("team/one.wav")), None), "recording")
    call.hangup()
    entry = until(lambda: next((e for e in ask(site, "/api/calls/history")[1]["items"] if e["uuid"] == uuid), None), "history")
    assert entry["recorded"] is True
    status, headers, whole = until(lambda: (found := recording(site, uuid))[2] == file.read_bytes() and found, "whole file")
    assert (status, headers["content-type"], headers["accept-ranges"], headers["x-content-type-options"]) == (200, "audio/wav", "bytes", "nosniff")
    assert whole[:4] == b"RIFF"
    status, headers, part = recording(site, uuid, bounds="bytes=4-11")
    assert (status, part, headers["content-range"]) == (206, whole[4:12], f"bytes 4-11/{len(whole)}")
    assert recording(site, uuid, bounds="bytes=-8")[2] == whole[-8:]
    status, headers, _ = recording(site, uuid, bounds=f"bytes={len(whole)}-")
    assert (status, headers["content-range"]) == (416, f"bytes */{len(whole)}")
    # Who may not, and whose call it is not.
    assert recording(site, uuid, key="tenant-key")[0] == 404 and recording(site, uuid, key="wall-key")[0] == 403 and recording(site, uuid, key="x")[0] == 401
    for bad in ("..%2f..%2fetc%2fpasswd", "%2e%2e", "../one.wav", "/etc/passwd", "one.wav", "team%2fone.wav", f"{uuid}%00", f"{uuid}/../{uuid}x"):
        assert recording(site, bad)[0] in (400, 404), bad
    # A link that leads out, a folder and what is gone are no recordings; nor is what was recorded elsewhere.
    secret = site.where / "secret.wav"
    secret.write_bytes(whole)
    file.unlink()
    assert recording(site, uuid)[0] == 404
    file.symlink_to(secret)
    assert recording(site, uuid)[0] == 404
    file.unlink()
    file.mkdir()
    assert recording(site, uuid)[0] == 404
    second, call = made("4712")
    outside = site.where / "outside.wav"
    assert site.switch.api(f"uuid_record {second} start {outside}").startswith("+OK")
    until(outside.exists, "recording outside")
    assert recording(site, second)[0] == 404
    call.hangup()


def test_wrong_keys_behind_a_proxy_hold_back_no_key_that_has_passed(site):  # noqa: F811
    assert ask(site, "/api/calls/active")[0] == 200
    until(lambda: ask(site, "/api/calls/active", key="guess")[0] == 429, "refusal of a guesser")
    assert ask(site, "/api/calls/active", key="wall-key")[0] == 429, "what has not passed here waits"
    for _ in range(10):
        assert ask(site, "/api/calls/active")[0] == 200
    assert ask(site, "/api/calls/active", key="guess")[0] == 429


def test_readers_that_do_not_read_cost_nothing_and_others_hear_all(site):  # noqa: F811
    carrier = site.carrier()
    bearer = token("events:read")

    def memory():
        status = pathlib.Path(f"/proc/{site.switch.process.pid}/status").read_text()
        return int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1]) / 1024

    deaf = []
    for number in range(20):
        stream = connect(site)
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        upgrade = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
        kind, more = ("/ws", upgrade) if number % 2 else ("", "")
        stream.sendall(f"GET /api/events{kind} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {bearer}\r\n{more}\r\n".encode())
        deaf.append(stream)
    reader = http.client.HTTPConnection("127.0.0.1", site.block[tree.HTTP], timeout=15)
    reader.request("GET", "/api/events?types=CALL_END", headers={"Authorization": f"Bearer {bearer}"})
    stream = reader.getresponse()
    assert stream.status == 200
    begin = memory()
    made = set()
    for number in range(150):
        status, told = ask(site, "/call", {"to": f"47{number:03}"})
        while status in (429, 503):
            # Faster than a key or the switch may make calls.
            time.sleep(0.2)
            status, told = ask(site, "/call", {"to": f"47{number:03}"})
        made.add(told["uuid"])
        carrier.accept().reject(486)
    heard = set()
    while heard != made:
        line = stream.readline().decode()
        assert line, "the stream of a reader ended"
        if line.startswith("data:"):
            heard.add(json.loads(line[5:])["call_id"])
    assert memory() < begin + 40
    for one in deaf:
        one.close()
    reader.close()
    until(lambda: ask(site, "/api/calls/active")[1].get("total") == 0, "no calls, once the key may ask again")
