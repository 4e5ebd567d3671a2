"""A deployment that looks everything up over HTTP (mod_xml_curl) and hands calls to a service by `socket`.

The tree is the one of its Kubernetes manifests: single files mounted over the packaged vanilla tree.
"""
import re
import socket
import textwrap

import pytest

from conftest import settled, shared_site
from harness import esl, tree
from harness.web import Web, document

PASSWORD = "s3cret"


def config_map():
    """Files of the ConfigMap, by name: a YAML mapping of block scalars."""
    text = (tree.TREES / "ai-receptionist/k8s-manifests/freeswitch/configmap.yaml").read_text()
    parts = re.split(r"^  ([\w.]+): \|\n", text.split("\ndata:\n", 1)[1], flags=re.M)
    return {name: textwrap.dedent(body) for name, body in zip(parts[1::2], parts[2::2])}


def mounted(block, where):
    conf = tree.vanilla(block, where)
    for name, body in config_map().items():
        (conf / ("dialplan" if name == "ai_receptionist.xml" else "autoload_configs") / name).write_text(body)
    auto = conf / "autoload_configs"
    tree.patch(auto / "sofia.conf.xml", {
        r'"sip-port" value="5060"': f'"sip-port" value="{block[tree.INTERNAL]}"', r'"sip-ip" value="auto"': '"sip-ip" value="127.0.0.1"',
        r'"rtp-ip" value="auto"': '"rtp-ip" value="127.0.0.1"', r'"ext-sip-ip" value="auto-nat"': '"ext-sip-ip" value="127.0.0.1"',
        r'"ext-rtp-ip" value="auto-nat"': '"ext-rtp-ip" value="127.0.0.1"'})
    tree.patch(auto / "event_socket.conf.xml", {r'value="8021"': f'value="{block[tree.ESL]}"', r'value="0\.0\.0\.0"': 'value="127.0.0.1"'})
    tree.patch(auto / "switch.conf.xml", {'"16384"': f'"{block.rtp[0]}"', '"32768"': f'"{block.rtp[1]}"'})
    tree.patch(conf / "dialplan/ai_receptionist.xml", {"localhost:8080": f"127.0.0.1:{block[tree.APP]}"})
    curl = auto / "xml_curl.conf.xml"
    curl.write_text(curl.read_text().replace("http://backend-api:3000", f"http://127.0.0.1:{block[tree.HTTP]}"))
    return conf


server = shared_site(mounted)


@pytest.fixture
def site(server):
    yield from settled(server)


@pytest.fixture
def web(site):
    web = Web(site.block[tree.HTTP])
    web.answers["directory"] = lambda q: document("directory", f"""
        <domain name="127.0.0.1"><user id="5000"><params><param name="password" value="{PASSWORD}"/></params>
        <variables><variable name="user_context" value="ai_receptionist"/></variables></user></domain>""") if q.get("user") == "5000" else None
    yield web
    web.close()


@pytest.fixture
def phone(site, web):
    return site.phone(tree.INTERNAL, user="5000", password=PASSWORD)


def test_a_user_known_only_to_the_web_service_registers(site, web, phone):
    assert phone.register().status == 200
    request = web.wait(section="directory", action="sip_auth")
    fields = request["fields"]
    assert request["path"].endswith("/directory") and request["agent"] == "freeswitch-xml/1.0"
    assert (fields["tag_name"], fields["key_name"], fields["key_value"]) == ("domain", "name", "127.0.0.1")
    assert (fields["sip_auth_username"], fields["sip_auth_method"], fields["sip_profile"]) == ("5000", "REGISTER", "ai_receptionist")
    assert (fields["key"], fields["user"], fields["domain"]) == ("id", "5000", "127.0.0.1")
    assert phone.register(expires=0).status == 200


def test_a_user_the_service_does_not_know_is_refused(site, web):
    stranger = site.phone(tree.INTERNAL, user="5999", password=PASSWORD)
    assert stranger.register().status in (401, 403, 407)


def test_the_service_decides_what_a_call_does(site, web, phone):
    web.answers["dialplan"] = lambda q: document("dialplan", f"""
        <context name="{q['Caller-Context']}"><extension name="dynamic"><condition field="destination_number" expression="^(2\\d+)$">
        <action application="set" data="greeted=$1"/><action application="answer"/>
        <action application="playback" data="tone_stream://%(700,0,650)"/><action application="hangup" data="NORMAL_CLEARING"/>
        </condition></extension></context>""")
    call = phone.invite("2345")
    call.wait(200)
    call.rtp.tone(440)
    call.rtp.wait_tone(650)
    call.wait_end()
    fields = web.wait(section="dialplan")["fields"]
    assert fields["Caller-Destination-Number"] == fields["Hunt-Destination-Number"] == "2345"
    assert fields["Hunt-Context"] == "ai_receptionist" and fields["variable_sip_call_id"] == call.call_id
    assert fields["Call-Direction"] == "inbound" and fields["Caller-Caller-ID-Number"] == "5000"


def test_what_the_service_does_not_know_comes_from_the_files(site, web, phone):
    """The static dialplan hands the call to the AI service, which speaks, and lets the dialplan go on."""
    with socket.create_server(("127.0.0.1", site.app_port)) as listener:
        listener.settimeout(10)
        call = phone.invite("ai_receptionist")
        call.wait(200)
        call.rtp.tone(440)
        accepted, _ = listener.accept()
        with esl.Client(None, password=None, sock=accepted) as service:
            data = service.command("connect")
            assert data.headers["Caller-Destination-Number"] == "ai_receptionist" and data.headers["Socket-Mode"] == "async"
            assert service.command("myevents").reply == "+OK Events Enabled"
            leg = data.headers["Unique-ID"]
            assert service.execute(leg, "playback", "tone_stream://%(700,0,900)").reply == "+OK"
            call.rtp.wait_tone(900)
            service.wait_event("CHANNEL_EXECUTE_COMPLETE", Application="playback")
            call.rtp.digits("5")
            assert service.wait_event("DTMF").event["DTMF-Digit"] == "5"
            service.execute(leg, "hangup")
            call.wait_end()
    web.wait(section="dialplan")


def test_a_service_that_is_down_leaves_the_files_in_force(site, web, phone):
    web.close()
    site.switch.api("reloadxml")
    assert "true" in site.switch.api("user_exists id 1000 127.0.0.1")
