"""mod_xml_curl against web servers that answer, and against those that do not, on the small tree."""
import hashlib
import re
import socket
import subprocess
import threading
import time

import pytest

from conftest import settled, shared_site
from harness import esl, tree
from harness.sip import authorization
from harness.web import Web, document

ECHO = '<action application="answer"/><action application="echo"/>'


def with_module(block, where):
    conf = tree.small(block, where)
    modules = conf / "autoload_configs/modules.conf.xml"
    modules.write_text(modules.read_text().replace("<modules>", '<modules><load module="mod_xml_curl"/>', 1))
    bind(conf, binding(block, "dialplan|directory|configuration"))
    return conf


def binding(block, sections, path="/fs", scheme="http", **params):
    """A `<binding>`; in names of parameters `_` stands for `-`."""
    url = f"{scheme}://127.0.0.1:{block[tree.HTTP]}{path}"
    given = "".join(f'<param name="{name.replace("_", "-")}" value="{value}"/>' for name, value in params.items())
    return f'<binding name="{sections}"><param name="gateway-url" value="{url}" bindings="{sections}"/>{given}</binding>'


def bind(conf, *bindings):
    (conf / "autoload_configs/xml_curl.conf.xml").write_text(
        f'<configuration name="xml_curl.conf"><bindings>{"".join(bindings)}</bindings></configuration>')


server = shared_site(with_module)


@pytest.fixture
def site(server):
    yield from settled(server)


@pytest.fixture
def web(site):
    web = Web(site.block[tree.HTTP])
    web.release = threading.Event()
    rebind(site, "dialplan|directory")
    yield web
    web.release.set()
    web.close()


def rebind(site, sections, **params):
    bind(site.conf, binding(site.block, sections, **params))
    reply = site.switch.api("reload mod_xml_curl")
    assert "+OK module loaded" in reply, reply


def extension(actions, number="^.*$"):
    return lambda q: document("dialplan", f"""<context name="public"><extension name="web">
        <condition field="destination_number" expression="{number}">{actions}</condition></extension></context>""")


def echoes(site, number="echo"):
    """A call that is answered, by whoever decided so."""
    call = site.phone().invite(number)
    call.wait(200)
    call.hangup()


def count(web, section="dialplan"):
    return sum(r["fields"].get("section") == section for r in web.requests)


# ---- what is asked

def test_the_parameters_come_in_the_order_of_the_reference(site, web):
    echoes(site)
    names = list(web.wait(section="dialplan")["fields"])
    assert names[:7] == ["hostname", "section", "tag_name", "key_name", "key_value", "Event-Name", "Core-UUID"]
    order = ["Event-Sequence", "Channel-State", "Unique-ID", "Caller-Direction", "Caller-Context", "Caller-Privacy-Hide-Number",
             "variable_direction", "variable_sip_call_id", "Hunt-Direction", "Hunt-Destination-Number", "Hunt-Privacy-Hide-Number"]
    assert [n for n in names if n in order] == order
    assert names[-1] == "Hunt-Privacy-Hide-Number"
    assert web.requests[-1]["fields"]["Event-Name"] == "REQUEST_PARAMS"


def test_get_puts_the_parameters_into_the_address(site, web):
    rebind(site, "dialplan", method="GET", path="/fs?key=1", enable_post_var="Caller-Destination-Number")
    web.answers["dialplan"] = extension(ECHO, "^get$")
    echoes(site, "get")
    request = web.requests[-1]
    assert request["method"] == "GET" and request["target"].startswith("/fs?key=1&hostname=")
    assert list(request["fields"]) == ["key", "hostname", "section", "tag_name", "key_name", "key_value", "Caller-Destination-Number"]


def test_the_address_may_depend_on_the_call(site, web):
    rebind(site, "dialplan", path="/${section}/${Caller-Destination-Number}", use_dynamic_url="true")
    web.answers["dialplan"] = extension(ECHO, "^dyn$")
    echoes(site, "dyn")
    assert web.requests[-1]["path"] == "/dialplan/dyn"


def test_basic_credentials_are_sent_unasked(site, web):
    rebind(site, "dialplan", gateway_credentials="muser:mypass")
    echoes(site)
    assert web.requests[-1]["headers"]["Authorization"] == "Basic bXVzZXI6bXlwYXNz"


def test_digest_credentials_answer_a_challenge(site, web):
    rebind(site, "dialplan", gateway_credentials="muser:mypass", auth_scheme="=digest")
    web.answers["dialplan"] = extension(ECHO, "^digest$")
    md5 = lambda *parts: hashlib.md5(":".join(parts).encode()).hexdigest()  # noqa: E731

    def guard(request):
        given = dict(re.findall(r'(\w+)="?([^",]*)', request["headers"].get("Authorization") or ""))
        one, two = md5("muser", "fs", "mypass"), md5(request["method"], request["target"])
        if given and given["response"] == md5(one, "n1", given["nc"], given["cnonce"], "auth", two):
            return None
        return 401, "", {"WWW-Authenticate": 'Digest realm="fs", nonce="n1", qop="auth"'}

    web.guard = guard
    echoes(site, "digest")
    asked = count(web)
    assert asked == 2
    echoes(site, "digest")
    assert count(web) == asked + 1, "the nonce serves again"


def test_a_redirect_is_followed(site, web):
    web.answers["dialplan"] = extension(ECHO, "^moved$")
    web.guard = lambda r: (307, "", {"Location": "/elsewhere"}) if r["path"] == "/fs" else None
    echoes(site, "moved")
    assert web.requests[-1]["path"] == "/elsewhere" and web.requests[-1]["method"] == "POST"


# ---- what is answered

def test_an_inbound_number_is_handed_to_a_service(site, web):
    """What a trunk's deployment answers: the number's dialplan connects the call to an outbound socket."""
    web.answers["dialplan"] = extension(
        f'<action application="set" data="tenant=42"/><action application="socket" data="127.0.0.1:{site.app_port} async full"/>',
        r"^\+?15551234567$")
    with socket.create_server(("127.0.0.1", site.app_port)) as listener:
        listener.settimeout(10)
        call = site.phone().invite("+15551234567")
        accepted, _ = listener.accept()
        with esl.Client(None, password=None, sock=accepted) as service:
            data = service.command("connect")
            assert data.headers["variable_tenant"] == "42"
            leg = data.headers["Unique-ID"]
            assert service.command("myevents").reply == "+OK Events Enabled"
            service.execute(leg, "answer")
            call.wait(200)
            service.execute(leg, "hangup")
            call.wait_end()


def test_a_response_goes_through_the_preprocessor(site, web):
    web.answers["dialplan"] = lambda q: document(
        "dialplan", '\n<X-PRE-PROCESS cmd="set" data="from_web=yes"/>\n<context name="public"><extension name="x">'
        '<condition field="${domain_name_test}" expression="^$"><action application="set" data="d=$${domain}"/>'
        f'{ECHO}</condition></extension></context>')
    call = site.phone().invite("anything")
    call.wait(200)
    leg = site.switch.api("show channels").splitlines()[1].split(",")[0]
    assert site.switch.api(f"uuid_getvar {leg} d") == "test.example"
    assert site.switch.api("global_getvar from_web") == "yes"
    call.hangup()


@pytest.mark.parametrize("answer", [
    None, (404, "gone", {}), (500, "oops", {}), (200, "", {}), (200, "<document><section", {}), (200, "hello", {}),
    document("directory", ""), (200, "x" * (2 << 20), {})], ids=["not found", "404", "500", "empty", "broken", "text", "section", "huge"])
def test_without_a_usable_answer_the_files_decide(site, web, answer):
    web.answers["dialplan"] = lambda q: answer
    echoes(site)
    assert count(web) == 1


def test_a_context_the_answer_does_not_have_is_no_route(site, web):
    web.answers["dialplan"] = lambda q: document("dialplan", '<context name="other"/>')
    site.phone().invite("echo").wait(404)


def test_a_cacheable_user_is_asked_for_once(site, web):
    web.answers["directory"] = lambda q: document("directory", f"""<domain name="{q['domain']}">
        <user id="7" cacheable="60000"><params><param name="a" value="{count(web, "directory")}"/></params></user></domain>""")
    for _ in range(3):
        assert site.switch.api("user_data 7@web.example param a") == "1"
    assert site.switch.api("xml_flush_cache id 7 web.example") == "+OK cleared 1 entry\n"
    assert site.switch.api("user_data 7@web.example param a") == "2"
    site.switch.api("xml_flush_cache")


def test_responses_are_kept_where_the_binding_says_so(site, web):
    rebind(site, "dialplan", response_cache_seconds="60", enable_post_var="Caller-Destination-Number")
    web.answers["dialplan"] = extension(ECHO)
    for number in ("a1", "a1", "a2", "a1"):
        echoes(site, number)
    assert count(web) == 2


def test_access_lists_come_from_the_service(site, web):
    lists = (site.conf / "autoload_configs/acl.conf.xml").read_text().replace(
        "<network-lists>", '<network-lists><list name="from_web" default="deny"><node type="allow" cidr="10.1.0.0/16"/></list>', 1)
    web.answers["configuration"] = lambda q: document("configuration", "\n" + lists) if q["key_value"] == "acl.conf" else None
    assert site.switch.api("acl 10.1.2.3 from_web") == "false"
    rebind(site, "configuration")
    assert site.switch.api("reloadacl") == "+OK acl reloaded\n"
    assert site.switch.api("acl 10.1.2.3 from_web") == "true"
    asked = web.wait(section="configuration", key_value="acl.conf")["fields"]
    assert list(asked) == ["hostname", "section", "tag_name", "key_name", "key_value"]
    rebind(site, "directory")
    site.switch.api("reloadacl")


def test_the_service_describes_profiles(site, web):
    rebind(site, "configuration")
    site.switch.api("sofia profile open rescan")
    fields = web.wait(section="configuration", key_value="sofia.conf", profile="open")["fields"]
    assert fields["reconfig"] == "true" and fields["Event-Name"] == "REQUEST_PARAMS"


def test_gateways_of_users_come_from_the_service(site, web):
    """The profile `open` parses the domain `trunks.example`; which users it has only the service knows."""
    web.answers["directory"] = lambda q: document("directory", f"""<domain name="{q['key_value']}"><user id="7"><gateways>
        <gateway name="from_web"><param name="proxy" value="127.0.0.1:{site.block[tree.CARRIER]}"/><param name="register" value="false"/>
        </gateway></gateways></user></domain>""") if q["key_value"] == "trunks.example" else None
    assert site.switch.api("sofia profile open rescan").endswith("+OK scan complete\n")
    fields = web.wait(section="directory", purpose="gateways", key_value="trunks.example")["fields"]
    assert (fields["tag_name"], fields["key_name"], fields["profile"]) == ("domain", "name", "open")
    assert site.switch.api("sofia_gateway_data from_web var x") != "-ERR no such gateway\n"
    far = site.carrier()
    web.answers["dialplan"] = extension('<action application="bridge" data="sofia/gateway/from_web/55"/>')
    call = site.phone().invite("out")
    rung = far.accept()
    assert "sip:55@" in rung.request.start
    rung.answer()
    call.wait(200)
    call.hangup()
    rung.wait_end()
    site.switch.api("sofia profile open killgw from_web")


def test_menus_come_from_the_service(site, web):
    rebind(site, "configuration|dialplan")
    web.answers["configuration"] = lambda q: document("configuration", """<configuration name="ivr.conf"><menus>
        <menu name="web" greet-long="tone_stream://%(300,0,650)" timeout="3000" digit-len="1">
        <entry action="menu-exec-app" digits="1" param="playback tone_stream://%(700,0,900)"/>
        </menu></menus></configuration>""") if q["key_value"] == "ivr.conf" else None
    web.answers["dialplan"] = extension('<action application="answer"/><action application="ivr" data="web"/>')
    call = site.phone().invite("menu")
    call.wait(200)
    call.rtp.wait_tone(650, seconds=0.2)
    call.rtp.digits("1")
    call.rtp.wait_tone(900, seconds=0.4)
    fields = web.wait(section="configuration", key_value="ivr.conf")["fields"]
    assert fields["Menu-Name"] == "web" and fields["Caller-Destination-Number"] == "menu"
    call.hangup()


def test_phrases_come_from_the_service(site, web):
    rebind(site, "languages|dialplan")
    web.answers["languages"] = lambda q: document("languages", """<language name="en" say-module="en"><phrases><macros>
        <macro name="tone"><input pattern="^(\\d+)$"><match><action function="play-file" data="tone_stream://%(700,0,$1)"/></match>
        </input></macro></macros></phrases></language>""")
    web.answers["dialplan"] = extension('<action application="answer"/><action application="phrase" data="tone,900"/>'
                                        '<action application="phrase" data="tone@en-US,650"/>')
    call = site.phone().invite("speak")
    call.wait(200)
    call.rtp.wait_tone(900, seconds=0.4)
    call.rtp.wait_tone(650, seconds=0.4)
    call.wait_end()
    fields = web.wait(section="languages", macro_name="tone")["fields"]
    assert (fields["lang"], fields["data"]) == ("en", "900") and fields["Caller-Destination-Number"] == "speak"


def test_a_user_only_the_service_knows_can_be_dialled(site, web):
    web.answers["directory"] = lambda q: document("directory", f"""<domain name="{q['key_value']}"><params>
        <param name="dial-string" value="sofia/gateway/carrier/${{dialed_user}}"/></params><user id="77"/></domain>""")
    web.answers["dialplan"] = extension('<action application="bridge" data="{colour=red}user/77@web.example"/>')
    desk = site.carrier()
    call = site.phone().invite("77")
    ringing = desk.accept()
    ringing.answer()
    call.wait(200)
    fields = web.wait(section="directory", action="user_call")["fields"]
    assert (fields["as_channel"], fields["colour"], fields["user"], fields["domain"]) == ("true", "red", "77", "web.example")
    call.hangup()


def test_event_socket_users_come_from_the_service(site, web):
    web.answers["directory"] = lambda q: document("directory", f"""<domain name="{q['domain']}"><user id="ops"><params>
        <param name="esl-password" value="pw"/><param name="esl-allowed-api" value="status"/></params></user></domain>""")
    with socket.create_connection(("127.0.0.1", site.esl_port), timeout=5) as raw:
        raw.sendall(b"userauth ops@web.example:pw\n\n")
        heard = b""
        while b"+OK accepted" not in heard and (part := raw.recv(4096)):
            heard += part
    assert b"+OK accepted" in heard
    assert web.wait(section="directory", action="event_socket_auth")["fields"]["user"] == "ops"


# ---- servers in trouble

def test_nobody_there_leaves_the_files_in_force(site, web):
    web.close()
    for _ in range(3):
        echoes(site)


def test_a_hung_server_costs_the_call_its_deadline_and_others_nothing(site, web):
    bind(site.conf, binding(site.block, "dialplan", timeout=2), binding(site.block, "directory"))
    assert "+OK module loaded" in site.switch.api("reload mod_xml_curl")
    web.answers["dialplan"] = lambda q: web.release.wait(20) and None
    start = time.monotonic()
    call = site.phone().invite("echo")
    web.wait(section="dialplan")
    assert site.switch.api("user_exists id 1000 test.example") == "true", "answered by the same server meanwhile"
    assert time.monotonic() - start < 2
    call.wait(200)
    assert 2 <= time.monotonic() - start < 6
    call.hangup()


def test_a_caller_who_gives_up_need_not_wait_for_the_server(site, web):
    rebind(site, "dialplan", timeout=30)
    web.answers["dialplan"] = lambda q: web.release.wait(20) and None
    call = site.phone().invite("echo")
    web.wait(section="dialplan")
    call.cancel()
    call.wait(487)
    assert site.switch.wait_idle() == 0


def test_a_server_that_keeps_failing_is_left_alone_for_a_while(site, web):
    rebind(site, "dialplan", failures_before_pause=2, pause_seconds=2)
    web.answers["dialplan"] = lambda q: (503, "busy", {})
    for _ in range(5):
        echoes(site)
    assert count(web) == 2
    assert "server: open" in site.switch.api("xml_curl status")
    web.answers["dialplan"] = extension(ECHO)
    deadline = time.monotonic() + 10
    while count(web) == 2 and time.monotonic() < deadline:
        echoes(site)
    call = site.phone().invite("back")
    call.wait(200)
    call.hangup()
    assert "server: closed" in site.switch.api("xml_curl status")


def test_a_stranger_whose_lookups_hang_keeps_no_phone_out(site, web):
    rebind(site, "directory", timeout=20)

    def answer(q):
        if q.get("ip") == "127.0.0.40":
            web.release.wait(20)
        return document("directory", f"""<domain name="{q['domain']}"><user id="{q['user']}"><params>
            <param name="password" value="one-thousand"/></params></user></domain>""")

    web.answers["directory"] = answer
    stranger = site.phone(tree.AUTH, user="1000", ip="127.0.0.40")
    for n in range(60):
        challenge = stranger.ask("REGISTER", "sip:127.0.0.1")
        if challenge.status != 401:
            continue                            # it is told to come back later
        proof = authorization(challenge["www-authenticate"], "1000", f"guess-{n}", "REGISTER", "sip:127.0.0.1")
        me = "<sip:1000@127.0.0.1>"
        stranger.request("REGISTER", "sip:127.0.0.1", f"hangs-{n}", 2, f"{me};tag=1", me, [f"Authorization: {proof}"])
    assert web.wait(section="directory", ip="127.0.0.40")
    phone = site.phone(tree.AUTH, user="1001", password="one-thousand", ip="127.0.0.41")
    assert [phone.register().status for _ in range(29)] == [200] * 29
    assert "server: closed" in site.switch.api("xml_curl status")
    assert phone.register(expires=0).status == 200
    web.release.set()


def test_calls_are_routed_while_a_tenth_of_the_lookups_hangs(site, web):
    rebind(site, "dialplan", timeout=2)
    routed = extension('<action application="respond" data="433"/>')

    def answer(q):
        if q["Caller-Destination-Number"] == "hangs":
            web.release.wait(20)
        return routed(q)

    web.answers["dialplan"] = answer
    for _ in range(3):
        hanging = [site.phone().invite("hangs") for _ in range(2)]
        for n in range(18):
            site.phone().invite(f"good-{n}").wait(433)
        for call in hanging:
            if call.until(lambda p: p.status >= 200, "an answer", 15).status == 200:
                call.hangup()
    assert "server: closed" in site.switch.api("xml_curl status")


# ---- TLS

@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """For the name wrong.example, signed by itself."""
    where = tmp_path_factory.mktemp("tls")
    cert, key = where / "cert.pem", where / "key.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", cert, "-days", "2",
                    "-subj", "/CN=wrong.example", "-addext", "subjectAltName=DNS:wrong.example"], check=True, capture_output=True)
    return cert, key


@pytest.mark.parametrize("checks, trusted", [
    ({}, True), ({"enable_cacert_check": "true"}, False), ({"enable_ssl_verifyhost": "true"}, False)],
    ids=["unchecked", "unknown authority", "wrong name"])
def test_certificates_are_checked_when_asked_for(site, certificate, checks, trusted):
    secure = Web(site.block[tree.HTTP], tls=certificate)
    try:
        rebind(site, "dialplan", scheme="https", **checks)
        secure.answers["dialplan"] = extension('<action application="respond" data="433"/>')
        call = site.phone().invite("echo")
        call.wait(433 if trusted else 200)
        if not trusted:
            call.hangup()
            assert not secure.requests
    finally:
        secure.close()


# ---- looking at it

def test_responses_are_kept_for_a_look(site, web):
    assert site.switch.api("xml_curl debug_on") == "OK\n"
    web.answers["dialplan"] = extension(ECHO)
    echoes(site)
    deadline = time.monotonic() + 5         # log lines are written a moment later
    while not (kept := re.findall(r"response kept in (\S+)", site.switch.said(400))) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert "<extension" in open(kept[-1]).read()
    subprocess.run(["rm", "-f", *kept], check=True)
    assert site.switch.api("xml_curl debug_off") == "OK\n"
    assert site.switch.api("xml_curl").startswith("USAGE: ")
