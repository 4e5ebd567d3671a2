"""The gateway answers as its OpenAPI document says, bad requests included: schemathesis makes them."""
import concurrent.futures
import hashlib
import os
import subprocess
import sys
import threading

import pytest

from harness import tree
from harness.services import ROOT

pytest.importorskip("schemathesis", reason="the Python package schemathesis is not installed")

KEY = "description-key-4711"
CONF = """<include>
<configuration name="http_api.conf"><settings>
  <param name="listen-port" value="{http}"/><param name="rate-limit" value="100000"/><param name="dial-string" value="error/USER_BUSY{{to}}"/>
</settings><api-keys><api-key name="all" sha256="{hash}" scopes="calls:read calls:write system:read system:write events:read"/></api-keys></configuration>
</include>"""
# What cannot be checked, and why. Everything else holds for every operation.
CHECKS = """
# Each operation is asked with a method it has not and one that no server should echo, not with all there are.
[phases.coverage]
unexpected-methods = ["PUT", "TRACE"]

[checks.negative_data_rejection]
# 413 is the answer to what is too long to be looked at, 405 and 415 to what is looked at before the body.
expected-statuses = ["400", "401", "403", "404", "405", "409", "413", "415", "422"]

# The same key with another body is refused (422), and generated requests share their keys.
[[operations]]
include-path-regex = "^/call(/setup|/outbound)?$"
checks.positive_data_acceptance.expected-statuses = ["2xx", "409", "422"]

# What a schema cannot say: exactly one of password and a1_hash; of trunks, user and transfer; names of trunks, users, profiles,
# voices and causes that must be there; expressions that must compile; texts without references to variables; paths without `..`.
[[operations]]
include-path-regex = "^/(api/(users|trunks|routes|ivr|livekit|command|calls/.+/(hangup|play|say|record))|tts|call/end)"
checks.positive_data_acceptance.enabled = false

# A PATCH or PUT is answered for what is there first, and its body is a document of its own kind (RFC 7396).
[[operations]]
include-path-regex = "^/api/(users|trunks|routes)/"
checks.negative_data_rejection.enabled = false
"""


def run(site, *options):
    # Either of key and token lets in: schemathesis takes both to be needed, so it does not generate them.
    document = ROOT / "media-node/modules/http_api/src/gateway/openapi.json"
    settings = site.where / "schemathesis.toml"
    settings.write_text(CHECKS)
    done = subprocess.run([sys.executable, "-m", "schemathesis.cli", "--config-file", str(settings), "run", str(document),
                           "--url", f"http://127.0.0.1:{site.block[tree.HTTP]}", "-H", f"X-API-Key: {KEY}", *options, "--generation-deterministic",
                           "--suppress-health-check", "all", "--request-timeout", "20", "--no-color", "--continue-on-failure", "--generation-with-security-parameters", "false", "--no-shrink", "--warnings", "off"],
                          capture_output=True, text=True, cwd=site.where, timeout=200,
                          env={**os.environ, "HYPOTHESIS_STORAGE_DIRECTORY": str(site.where / f"hypothesis-{threading.get_ident()}")})
    assert done.returncode == 0, done.stdout[-12000:] + done.stderr[-2000:]
    return done.stdout


@pytest.mark.timeout(300)
def test_every_operation_answers_as_described(fresh):
    text = CONF.format(http=fresh.block[tree.HTTP], hash=hashlib.sha256(KEY.encode()).hexdigest())
    (fresh.conf / "autoload_configs/http_api.conf.xml").write_text(text)
    modules = fresh.conf / "autoload_configs/modules.conf.xml"
    modules.write_text(modules.read_text().replace("</modules>", '<load module="mod_http_api"/></modules>'))
    site = fresh.start()
    # Event streams do not end by themselves: test_gateway.py has them. Wrong keys are slowed at their address, so that who is let in
    # without a good one is looked at last, at one operation: all have the same door.
    resources = "^/api/(users|trunks|routes)"
    common = ("--exclude-checks", "ignored_auth", "-n", "2")
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        both = [pool.submit(run, site, "--include-path-regex", resources, *common), pool.submit(run, site, "--exclude-path-regex", f"^/api/events|{resources}", *common)]
        for told in both:
            assert "Coverage" in told.result() and "Fuzzing" in told.result()
    assert "Stateful" in both[0].result()
    run(site, "--checks", "ignored_auth", "--include-path", "/api/calls/active", "--phases", "fuzzing", "-n", "1")
    assert site.switch.alive() and not site.switch.panicked()
