"""What can be said about a configuration without running it, and about a call that is up."""
import json
import os
import re
import subprocess

import pytest

from harness import tree
from harness.switch import ROOT, binary
from harness.terminal import Terminal

SWITCH = str(binary())


def run(*args):
    """Exit status and what was printed."""
    done = subprocess.run([SWITCH, *map(str, args)], capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout + done.stderr


def check(conf, *args):
    status, text = run("check", conf, "--json", *args)
    return status, json.loads(text)


@pytest.fixture
def conf(tmp_path):
    """A copy of the sample tree to break."""
    if not tree.TREES.is_dir():
        pytest.skip(f"SKIPPED: no configuration trees in {tree.TREES}")
    subprocess.run(["cp", "-r", tree.TREES / "vanilla", tmp_path / "conf"], check=True)
    subprocess.run(["chmod", "-R", "u+w", tmp_path / "conf"], check=True)
    return tmp_path / "conf"


def place(conf, file, text):
    """file:line of a text."""
    lines = (conf / file).read_text().splitlines()
    (line,) = [number for number, line in enumerate(lines, 1) if text in line]
    return f"{conf / file}", line


BROKEN = [
    ("vars.xml", r"default_password=1234", "default_pasword=kW9mQ2xv", "variable-undefined",
     "directory/default/1000.xml", "$${default_password}"),
    ("sip_profiles/internal.xml", r'name="auth-calls"', 'name="auth-cals"', "param-unknown",
     "sip_profiles/internal.xml", "auth-cals"),
    ("dialplan/default.xml", r'application="delay_echo"', 'application="dealy_echo"', "application-unknown",
     "dialplan/default.xml", "dealy_echo"),
    ("dialplan/default.xml", r'expression="\^\\\*8\$"', 'expression="^*8$"', "regex-invalid", "dialplan/default.xml", '"^*8$"'),
    ("dialplan/default.xml", r'data="default/\*\.xml"', 'data="defaults/*.xml"', "include-failed", "dialplan/default.xml", "defaults/*.xml"),
    ("autoload_configs/modules.conf.xml", r'module="mod_sofia"', 'module="mod_sophia"', "module-unknown",
     "autoload_configs/modules.conf.xml", "mod_sophia"),
    ("autoload_configs/switch.conf.xml", r'name="max-sessions" value="1000"', 'name="max-sessions" value="many"', "value-type",
     "autoload_configs/switch.conf.xml", '"many"'),
    ("vars.xml", r"external_sip_port=5080", "external_sip_port=5060", "port-clash",
     "sip_profiles/internal.xml", "$${internal_sip_port}"),
]


@pytest.mark.parametrize("broken", BROKEN, ids=[b[3] for b in BROKEN])
def test_a_mistake_in_the_sample_tree_is_found_where_it_is(conf, broken):
    file, pattern, replacement, code, where, text = broken
    before = check(conf)[1]["diagnostics"]
    tree.patch(conf / file, {pattern: replacement.replace("\\", r"\\")})
    wanted = place(conf, where, text)
    found = [d for d in check(conf)[1]["diagnostics"] if d["code"] == code and d not in before]
    assert wanted in [(os.path.normpath(d["place"]["file"]), d["place"]["line"]) for d in found], found


def test_an_error_fails_and_a_warning_only_when_asked(conf):
    status, told = check(conf)
    # A menu of the sample tree runs a number as if it were an application.
    assert [d["code"] for d in told["diagnostics"] if d["severity"] == "error"] == ["application-unknown", "password-default"]
    assert status == 1
    tree.patch(conf / "ivr_menus/new_demo_ivr.xml", {'param="5000 XML default"': 'param="transfer 5000 XML default"'})
    tree.patch(conf / "autoload_configs/event_socket.conf.xml", {'value="ClueCon"': 'value="kW9mQ2xv7h"'})
    assert check(conf)[0] == 0
    assert check(conf, "--strict")[0] == 1


def test_a_report_counts_what_is_honoured(conf):
    report = check(conf, "--report")[1]["report"]
    places = sum(len(n["places"]) for n in report["names"])
    assert report["honoured"] + report["accepted"] + report["unknown"] == places
    assert report["honoured"] > 500 and report["unknown"] < 10, report["unknown"]
    names = {(n["kind"], n["name"]): n["support"] for n in report["names"]}
    assert names["parameter of sofia.conf profile", "sip-port"] == "honoured"
    assert names["parameter of switch.conf", "dump-cores"] == "accepted without effect"


def test_colours_are_for_terminals_and_for_those_who_want_them(conf):
    _, plain = run("check", conf)
    assert "\x1b" not in plain
    for env, coloured in (({"NO_COLOR": ""}, True), ({"NO_COLOR": "1"}, False)):
        terminal = Terminal([SWITCH, "check", str(conf)], env=env)
        terminal.expect(r"files checked")
        assert (b"\x1b[1;31merror[password-default]" in terminal.raw) == coloured
        terminal.wait_end()


def test_a_call_on_paper_follows_the_sample_dialplan(conf):
    status, text = run("explain", "--in", conf, "-d", "5551212", "-c", "public")
    assert status == 0, text
    assert re.search(r"\n  \+ extension public_did    # 00_inbound_did.xml:\d+\n", text), text
    assert re.search(r"\n1000 in context default \(XML\)\n", text), text
    status, text = run("explain", "--in", conf, "-d", "1001", "--user", "1000", "--json")
    told = json.loads(text)
    assert status == 0
    ran = [(a["application"], a["data"]) for a in told["hops"][0]["applications"]]
    matched = [s["name"] for s in told["hops"][0]["steps"] if s["step"] == "decided" and s["matched"]]
    assert matched == ["Local_Extension"]
    assert any(name == "bridge" and data.startswith("user/1001@") for name, data in ran), ran
    assert told["unanswered"] == []
    # A menu, as far as something is keyed in.
    status, text = run("explain", "--in", conf, "-d", "5000", "--user", "1000")
    assert "the caller is asked for digits" in text, text
    status, text = run("explain", "--in", conf, "-d", "5000", "--user", "1000", "--types", "2")
    assert "\n9196 in context default (XML)\n" in text and "asked for digits" not in text, text
    assert run("explain", "--in", conf, "-d", "nobody-has-this", "-c", "features")[0] == 1


def test_the_shipped_dialplan_does_what_its_own_fixtures_say(tmp_path):
    fixtures = ROOT / "conf/dialplan/calls.test"
    status, text = run("dialplan", "test", "--in", ROOT / "conf", "--coverage", "100", fixtures)
    assert status == 0, text
    assert "extensions tried (100%)" in text
    wrong = tmp_path / "wrong.test"
    wrong.write_text("call 9196 in default\n  runs playback\n")
    status, text = run("dialplan", "test", "--in", ROOT / "conf", wrong)
    assert status == 1
    assert f"--> {wrong}:2:3" in text and "9196 in default => extension echo" in text, text


# ---- calls that are up

def test_a_running_call_is_explained_and_notices_nothing(site):
    call = site.phone().invite("park")
    call.wait(200)
    with site.esl() as esl:
        uuid = json.loads(esl.api("show channels as json"))["rows"][0]["uuid"]
        esl.api(f"uuid_setvar {uuid} kind vip")
        text = esl.api(f"explain {uuid}")
        assert text.startswith("park in context public (XML)\n"), text
        assert "\n=> extension park\n   answer()" in text, text
        told = json.loads(esl.api(f"explain -json {uuid} carrier-123 public"))
        assert told["hops"][0]["extension"] == "carrier"
        assert told["hops"][0]["applications"][-1]["data"] == "sofia/gateway/carrier/123"
        assert "=> no route" in esl.api(f"explain {uuid} nobody-has-this public")
        assert esl.api("explain 00000000-0000-0000-0000-000000000000") == "-ERR No such channel!\n"
        assert esl.api(f"uuid_getvar {uuid} destination_number") in ("_undef_", "park")
        assert esl.api(f"uuid_exists {uuid}") == "true"
    call.hangup()
