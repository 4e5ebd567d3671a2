"""Webhooks: signed, in order, tried again, each once."""
import base64
import hashlib
import hmac
import json

import pytest

from harness import tree
from harness.services import until
from harness.web import Web

SECRET = base64.b64encode(b"a secret of twenty-four+").decode()
CONF = """<include>
<configuration name="webhook.conf"><settings>
  <param name="url" value="http://127.0.0.1:{http}/calls"/><param name="secret" value="whsec_{secret}"/><param name="timeout" value="2"/>
</settings></configuration>
</include>"""


@pytest.fixture
def site(fresh):
    (fresh.conf / "autoload_configs/webhook.conf.xml").write_text(CONF.format(http=fresh.block[tree.HTTP], secret=SECRET))
    modules = fresh.conf / "autoload_configs/modules.conf.xml"
    modules.write_text(modules.read_text().replace("</modules>", '<load module="mod_webhook"/></modules>'))
    return fresh.start()


def call(site):
    call = site.phone().invite("tone")
    call.wait(200)
    uuid = json.loads(site.switch.api("show channels as json"))["rows"][0]["uuid"]
    call.hangup()
    return uuid


def test_records_are_posted_signed_and_again_until_they_are_taken(site):
    wanted = [call(site)]                 # no receiver listens yet
    web = Web(site.block[tree.HTTP])
    refusals = iter([(503, "not now", {}), (500, "nor now", {})])
    try:
        web.guard = lambda request: next(refusals, (200, "{}", {}))
        wanted += [call(site), call(site)]
        until(lambda: len(web.requests) >= 5, "requests")
        taken = [request["headers"]["webhook-id"] for request in web.requests[2:]]
        assert taken == wanted and {request["headers"]["webhook-id"] for request in web.requests[:2]} == {wanted[0]}
        for request in web.requests:
            name, time = request["headers"]["webhook-id"], request["headers"]["webhook-timestamp"]
            signed = hmac.digest(base64.b64decode(SECRET), f"{name}.{time}.{request['body']}".encode(), hashlib.sha256)
            assert request["headers"]["webhook-signature"] == "v1," + base64.b64encode(signed).decode()
            document = json.loads(request["body"])
            assert document["type"] == "call.record" and document["id"] == name
            assert document["data"]["variables"]["uuid"] == name
    finally:
        web.close()
