"""Whole configuration trees, as administrators bring them, on the real binary: they load, and calls run through them."""
import datetime
import re
import shutil
import socket
import subprocess
import time
import zoneinfo

import pytest

from conftest import Site, settled, shared_site
from harness import esl, tree
from harness.switch import ROOT, binary
from harness.web import Web

OWN = ROOT / "compat-tests/trees"
CARRIER_IP = "127.0.0.2"            # stands for an address in a list of providers


def until(done, what, seconds=10):
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end, f"no {what} in {seconds} s"
        time.sleep(0.05)


def check(conf):
    """What `ferroswitch check` says about a tree."""
    run = subprocess.run([binary(), "check", str(conf)], capture_output=True, text=True, timeout=60)
    return run.stdout + run.stderr


# ---- vanilla

def test_vanilla_runs(vanilla):
    phone = vanilla.phone(tree.INTERNAL, user="1000", password=tree.PASSWORD)
    assert phone.register().status == 200
    call = phone.invite("9196")
    call.wait(200)
    call.rtp.tone(440)
    call.rtp.wait_tone(440)
    call.hangup()
    assert phone.register(expires=0).status == 200


def test_a_stranger_to_vanilla_is_asked_who_he_is(vanilla):
    call = vanilla.phone(tree.INTERNAL, user="stranger").invite("9196")
    assert call.until(lambda p: p.status >= 300, "refusal").status in (401, 403, 407)


# ---- minimal

def minimal(block, where):
    conf = where / "conf"
    shutil.copytree(tree.TREES / "minimal", conf)
    writable(conf)
    tree.patch(conf / "vars.xml", {
        r"(?=  <X-PRE-PROCESS cmd=\"set\" data=\"global_codec_prefs)": '  <X-PRE-PROCESS cmd="set" data="local_ip_v4=127.0.0.1"/>\n',
        r"internal_sip_port=5060": f"internal_sip_port={block[tree.INTERNAL]}",
        r"external_sip_port=5080": f"external_sip_port={block[tree.EXTERNAL]}"})
    events_and_media(conf, block)
    return conf


def writable(conf):
    for path in [conf, *conf.rglob("*")]:
        path.chmod(0o755 if path.is_dir() else 0o644)


def events_and_media(conf, block):
    auto = conf / "autoload_configs"
    tree.patch(auto / "event_socket.conf.xml", {r'value="8021"': f'value="{block[tree.ESL]}"'})
    tree.patch(auto / "switch.conf.xml", {r'"16384"': f'"{block.rtp[0]}"', r'"32768"': f'"{block.rtp[1]}"'})


minimal_server = shared_site(minimal)


@pytest.fixture
def small_tree(minimal_server):
    yield from settled(minimal_server)


def test_minimal_runs_its_one_extension_and_lets_go(small_tree):
    with small_tree.esl() as client:
        client.command("event plain CHANNEL_EXECUTE CHANNEL_HANGUP_COMPLETE")
        call = small_tree.phone(tree.EXTERNAL).invite("whatever")
        assert client.wait_event("CHANNEL_EXECUTE").event["Application"] == "info"
        assert client.wait_event("CHANNEL_HANGUP_COMPLETE").event["Hangup-Cause"] == "NORMAL_CLEARING"
        call.wait(480)


def test_minimal_has_no_users_so_nobody_gets_in(small_tree):
    phone = small_tree.phone(tree.INTERNAL, user="1000", password="1234")
    assert phone.register().status == 403


# ---- trees the reference refuses

@pytest.mark.parametrize("name", ["insideout", "curl"])
def test_a_tree_without_a_root_element_is_named_for_what_it_is(name):
    if not tree.TREES.is_dir():
        pytest.skip(f"SKIPPED: no configuration trees in {tree.TREES}")
    said = check(tree.TREES / name)
    assert re.search(r"no root element.*?freeswitch\.xml:20:\d+", said, re.S), said
    assert "markup outside of root element" in said and '<document type="freeswitch/xml">' in said


def insideout(block, where):
    conf = where / "conf"
    shutil.copytree(tree.TREES / "insideout", conf)
    writable(conf)
    auto = conf / "autoload_configs"
    tree.patch(conf / "vars.xml", {r"internal_ip_v4=192\.168\.86\.254": "internal_ip_v4=127.0.0.1",
                                   r"external_ip_v4=\$\$\{local_ip_v4\}": "external_ip_v4=127.0.0.1"})
    tree.patch(auto / "event_socket.conf.xml", {r'value="8021"': f'value="{block[tree.ESL]}"', r'value="0\.0\.0\.0"': 'value="127.0.0.1"'})
    for path in (conf / "sip_profiles").glob("*.xml"):       # its ports are those of the machine
        path.unlink()
    return conf


def test_insideout_starts_all_the_same_and_says_what_is_missing(tmp_path):
    if not tree.TREES.is_dir():
        pytest.skip(f"SKIPPED: no configuration trees in {tree.TREES}")
    site = Site(tmp_path, insideout)
    try:
        site.start()
        until(lambda: "mod_fsv is not part of this switch" in logs(site), "line naming a module")
        assert site.switch.api("xml_locate section name x y") == "can't find anything\n"
        assert site.switch.api("xml_locate phrases").startswith("<section name=\"phrases\"")
        assert site.switch.api("reloadxml") == "+OK [Success]\n"
    finally:
        site.close()


def curl(block, where):
    conf = where / "conf"
    shutil.copytree(tree.TREES / "curl", conf)
    writable(conf)
    auto = conf / "autoload_configs"
    tree.patch(auto / "event_socket.conf.xml", {r'value="8021"': f'value="{block[tree.ESL]}"'})
    tree.patch(auto / "xml_curl.conf.xml", {r"http://freeswitch\.org/fs_curl/index\.php": f"http://127.0.0.1:{block[tree.HTTP]}/index.php"})
    return conf


def test_curl_starts_and_asks_its_server_for_everything(tmp_path):
    if not tree.TREES.is_dir():
        pytest.skip(f"SKIPPED: no configuration trees in {tree.TREES}")
    site = Site(tmp_path, curl)
    web = Web(site.block[tree.HTTP])
    try:
        site.start()
        for name in ("acl.conf", "event_socket.conf", "post_load_switch.conf", "sofia.conf"):
            web.wait(section="configuration", key_value=name)
        # Commands come with mod_commands, which this tree does not load.
        assert site.switch.api("status") == "-ERR status Command not found!\n"
    finally:
        site.close()
        web.close()


def logs(site):
    """All it has said so far. Lines are written a moment after what they tell of."""
    paths = [site.where / "output.log", *(site.where / "log").glob("*.log")]
    return "\n".join(path.read_text(errors="replace") for path in paths)


# ---- many tenants, as FusionPBX lays its files out

def tenants(block, where):
    conf = where / "conf"
    shutil.copytree(OWN / "tenants", conf)
    own = {"internal_sip_port": block[tree.INTERNAL], "external_sip_port": block[tree.EXTERNAL], "event_socket_port": block[tree.ESL],
           "carrier_port": block[tree.CARRIER], "rtp_first": block.rtp[0], "rtp_last": block.rtp[1]}
    tree.patch(conf / "vars.xml", {rf'"{name}=\d+"': f'"{name}={value}"' for name, value in own.items()})
    return conf


@pytest.fixture(scope="module")
def tenants_server(tmp_path_factory):
    site = Site(tmp_path_factory.mktemp("tenants"), tenants)
    try:
        yield site.start(env={"TENANTS_ZONE": "Tenant/East"})
    finally:
        site.close()


@pytest.fixture
def pbx(tenants_server):
    yield from settled(tenants_server)
    tenants_server.switch.api("sofia profile internal flush_inbound_reg")


def desk(pbx, user, tenant):
    phone = pbx.phone(tree.INTERNAL, user=user, password=f"of-{user}-{tenant}", domain=tenant)
    assert phone.register().status == 200
    return phone


def talk(near, far):
    near.rtp.tone(440)
    far.rtp.tone(800)
    near.rtp.wait_tone(800)
    far.rtp.wait_tone(440)


def test_tenants_call_their_own_and_nobody_else(pbx):
    one, two, other = desk(pbx, "101", "alpha.test"), desk(pbx, "102", "alpha.test"), desk(pbx, "101", "beta.test")
    call = one.invite("102")
    rung = two.accept()
    assert "<sip:102@" in rung.request["to"] and "Desk 101" in rung.request["from"]
    rung.answer()
    call.wait(200)
    talk(call, rung)
    call.hangup()
    rung.wait_end()
    # What the extensions before the last one have collected runs, and the call ends.
    other.invite("102").wait(480)


def test_an_alias_is_a_user_as_well(pbx):
    assert pbx.switch.api("user_exists id 9102 alpha.test") == "true"
    assert pbx.switch.api("user_data 9102@alpha.test var domain_uuid") == "domain-of-alpha.test"
    assert pbx.switch.api("group_call sales@alpha.test").endswith("error/user_not_registered")
    assert pbx.switch.api("group_call nobody@alpha.test") == "error/NO_ROUTE_DESTINATION"


def test_a_call_out_needs_the_class_and_carries_the_tenants_account(pbx):
    far = pbx.carrier()
    desk(pbx, "101", "alpha.test").invite("2125559999").wait(480)
    call = desk(pbx, "102", "alpha.test").invite("+12125559999")
    rung = far.accept()
    assert "sip:12125559999@" in rung.request.start and rung.request["x-accountcode"] == "alpha.test"
    assert "2125550102" in rung.request["from"]
    rung.answer()
    call.wait(200)
    call.hangup()
    rung.wait_end()


def test_a_number_from_the_carrier_reaches_its_tenant(pbx):
    one = desk(pbx, "101", "alpha.test")
    call = pbx.phone(tree.EXTERNAL, user="+13105550000", ip=CARRIER_IP).invite("+12125551000")
    rung = one.accept()
    rung.answer()
    call.wait(200)
    talk(call, rung)
    rung.hangup()
    call.wait_end()


def test_gateways_of_users_are_taken_over_by_the_profile_that_parses_them(pbx):
    assert "sip:u102@" in pbx.switch.api("sofia status gateway of-102")
    far = pbx.carrier()
    with pbx.esl() as client:
        client.command("bgapi originate sofia/gateway/of-102/5 &park()")
        rung = far.accept()
        rung.reject(486, "Busy Here")


def test_time_conditions_follow_the_zone_set_in_the_same_extension(pbx):
    half = lambda: 433 if datetime.datetime.now(zoneinfo.ZoneInfo("America/New_York")).hour < 12 else 434  # noqa: E731
    phone = desk(pbx, "101", "alpha.test")
    before = half()
    answer = phone.invite("office").until(lambda p: p.status >= 300 and p.status not in (401, 407), "refusal")
    assert answer.status in (before, half())


def test_the_last_number_is_dialled_again_from_the_hash(pbx):
    one, two = desk(pbx, "101", "alpha.test"), desk(pbx, "102", "alpha.test")
    first = one.invite("102")
    two.accept().reject(486, "Busy Here")
    first.until(lambda p: p.status >= 300 and p.status not in (401, 407), "refusal")
    second = one.invite("*69")
    rung = two.accept()
    rung.answer()
    second.wait(200)
    second.hangup()
    rung.wait_end()


def test_a_script_that_cannot_run_is_named_and_ends_only_its_call(pbx):
    phone = desk(pbx, "101", "alpha.test")
    phone.invite("*77").until(lambda p: p.status >= 300 and p.status not in (401, 407), "refusal")
    until(lambda: re.search(r"cannot open \S+/app\.lua: No such file", logs(pbx)), "line naming the script")


def test_variables_come_from_the_environment_and_from_both_switch_files(pbx):
    ask = lambda name: pbx.switch.api(f"global_getvar {name}")  # noqa: E731
    assert (ask("tenants_zone"), ask("tenant_default"), ask("tenant_late")) == ("Tenant/East", "alpha.test", "yes")
    assert "150 session(s) max" in pbx.switch.api("status")
    assert pbx.switch.api("switchname") == "tenants"
    until(lambda: "exec-set is switched off" in logs(pbx), "line about the command")


def test_a_reload_names_what_changed_and_what_it_takes(pbx):
    user = pbx.conf / "directory/alpha.test/102.xml"
    trunk = pbx.conf / "sip_profiles/external/8f6c2a54-5d0e-4c57-9f4b-1f0a7f4d2c11.xml"
    number = pbx.conf / "dialplan/public/01_numbers.xml"
    variables = pbx.conf / "vars.xml"
    files = {path: path.read_text() for path in (user, trunk, number, variables)}
    try:
        user.write_text(files[user].replace("domestic", "international").replace("p102", "p103"))
        trunk.write_text(files[trunk].replace("not-used", "used", 1))
        number.write_text(files[number].replace("5551000", "5552000"))
        variables.write_text(files[variables].replace('"default_language=en"', '"default_language=de"'))
        assert pbx.switch.api("reloadxml") == "+OK [Success]\n"
        name = trunk.stem
        for line in ("changed: variable default_language", "changed: user 102@alpha.test", "removed: extension public/did.5551000",
                     "added: extension public/did.5552000",
                     f"changed: gateway external/{name} (takes effect with: sofia profile external killgw {name}, then sofia profile external rescan)",
                     "changed: gateway of-102 of 102@alpha.test (takes effect with: sofia profile external killgw of-102"):
            until(lambda: line in pbx.switch.said(400), f"line “{line}”")
        assert "p103" not in logs(pbx)
    finally:
        for path, text in files.items():
            path.write_text(text)
        assert pbx.switch.api("reloadxml") == "+OK [Success]\n"


# ---- a media server driven by an application, as jambonz and drachtio set it up

@pytest.fixture(scope="module")
def media_server(tmp_path_factory):
    site = Site(tmp_path_factory.mktemp("mediaserver"), lambda _, where: shutil.copytree(OWN / "mediaserver", where / "conf"), password="JambonzR0ck$")
    env = {"MRF_SIP_PORT": site.block[tree.OPEN], "MRF_ESL_PORT": site.esl_port, "MRF_ESL_PASSWORD": site.password,
           "MRF_RTP_FIRST": site.block.rtp[0], "MRF_RTP_LAST": site.block.rtp[1]}
    try:
        yield site.start(env={name: str(value) for name, value in env.items()})
    finally:
        site.close()


@pytest.fixture
def mrf(media_server):
    yield from settled(media_server)


def test_a_media_server_hands_calls_to_the_application_named_in_the_request(mrf):
    with socket.create_server(("127.0.0.1", mrf.app_port)) as listener:
        listener.settimeout(10)
        call = mrf.phone().invite("anything", [f"X-esl-outbound: 127.0.0.1:{mrf.app_port}"])
        accepted, _ = listener.accept()
        with esl.Client(None, password=None, sock=accepted) as service:
            data = service.command("connect")
            assert data.headers["variable_drachtio_mrf"] == "true"
            leg = data.headers["Unique-ID"]
            service.command("myevents")
            service.execute(leg, "answer")
            call.wait(200)
            service.execute(leg, "playback", "tone_stream://%(700,0,900)")
            call.rtp.wait_tone(900)
            service.execute(leg, "hangup")
            call.wait_end()
    mrf.phone().invite("anything").wait(480)


def test_modules_a_media_server_lacks_are_named(mrf):
    until(lambda: "mod_google_transcribe is not part of this switch" in logs(mrf), "line naming a module")
