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


# What people get wrong, one at a time: file, text, what is written instead, and the code that is said
# about it in this file (or another one), at this word.
PLANTED = [
    ("dialplan/default.xml", '<action application="ring_ready"',
     '<acton application="ring_ready"', "element-unknown", "", "acton"),
    ("dialplan/default.xml", 'expression="^(10[01][0-9])$"',
     'expresion="^(10[01][0-9])$"', "attribute-unknown", "", "expresion"),
    ("dialplan/default.xml", 'continue="true"', 'continue="ture"', "value-type", "", "ture"),
    ("dialplan/default.xml", 'application="playback"', 'application="playbak"', "application-unknown", "", "playbak"),
    ("dialplan/default.xml", 'application="sleep" data="1000"', 'application="sleep" data="1s"', "argument", "", "1s"),
    ("dialplan/default.xml", 'data="hangup_after_bridge=true"',
     'data="hangup_after_brigde=true"', "variable-unlikely", "", "hangup_after_brigde"),
    ("dialplan/default.xml", 'data="hangup_after_bridge=true"', 'data="hangup_after_bridge=ture"', "value-type", "", "ture"),
    ("dialplan/default.xml", 'data="hangup_after_bridge=true"',
     'data="hangup_after_bridge"', "set-without-equals", "", "hangup_after_bridge"),
    ("dialplan/default.xml", 'data="call_timeout=30"', 'data="call_timeout=30s"', "value-type", "", "30s"),
    ("dialplan/default.xml", 'data="continue_on_fail=true"',
     'data="continue_on_fail=USER_BUSSY"', "cause-unknown", "", "USER_BUSSY"),
    ("dialplan/default.xml", 'application="conference" data="$1-${domain_name}@default"',
     'application="conference" data="$1-${domain_name}@defualt"', "conference-profile-unknown", "", "defualt"),
    ("dialplan/default.xml", 'data="demo_ivr"', 'data="demo_irv"', "menu-unknown", "", "demo_irv"),
    ("dialplan/default.xml", 'application="voicemail" data="check default',
     'application="voicemail" data="check defualt', "voicemail-unknown", "", "defualt"),
    ("dialplan/default.xml", 'data="user/${dialed_extension}@${domain_name}"',
     'data="user/${dialed_extnsion}@${domain_name}"', "variable-unlikely", "", "dialed_extnsion}@${domain_name}"),
    ("dialplan/default.xml", 'data="user/${dialed_extension}@${domain_name}"',
     'data="{a=b user/${dialed_extension}@${domain_name}"', "dial-string-brackets", "", "{a"),
    ("dialplan/default.xml", 'data="user/${dialed_extension}@${domain_name}"',
     'data="[a=b user/${dialed_extension}@${domain_name}"', "dial-string-brackets", "", "[a"),
    ("dialplan/default.xml", 'data="user/${dialed_extension}@${domain_name}"',
     'data="user/${dialed_extension@${domain_name}"', "dial-string-brackets", "", "${dialed_extension@${domain_name}"),
    ("dialplan/default.xml", 'data="user/${dialed_extension}@${domain_name}"',
     'data="usr/${dialed_extension}@${domain_name}"', "endpoint-unknown", "", "usr/${dialed_extension}@${domain_name}"),
    ("dialplan/default.xml", 'data="user/${dialed_extension}@${domain_name}"',
     'data="sofia/internl/${dialed_extension}@${domain_name}"', "profile-unknown", "", "internl/${dialed_extension}@${domain_name}"),
    ("dialplan/default.xml", 'data="user/${dialed_extension}@${domain_name}"',
     'data="sofia/gateway/exampel.com/1"', "gateway-unknown", "", "exampel.com/1"),
    ("dialplan/default.xml", 'data="user/${dialed_extension}@${domain_name}"',
     'data="user/1999"', "user-unknown", "", "1999"),
    ("dialplan/default.xml", 'data="user/${dialed_extension}@${domain_name}"',
     'data="group/salse"', "group-unknown", "", "salse"),
    ("dialplan/default.xml", 'data="user/${dialed_extension}@${domain_name}"',
     'data="loopback/9196/defalt"', "context-unknown", "", "defalt"),
    ("dialplan/default.xml", 'data="user/${dialed_extension}@${domain_name}"',
     'data="error/user_bussy"', "cause-unknown", "", "user_bussy"),
    ("dialplan/default.xml", 'data="dialed_extension=$1"', 'data="dialed_extension=$2"', "capture-missing", "", "$2"),
    ("dialplan/default.xml", 'expression="^(10[01][0-9])$"',
     'expression="^(10[01][0-9]$"', "regex-invalid", "", "^(10[01][0-9]$"),
    ("dialplan/default.xml", 'expression="^(10[01][0-9])$"',
     'expression="^(10[01][0-9])$', "xml-missing-quote", "", '"^(10[01][0-9])$'),
    ("dialplan/default.xml", 'field="destination_number"',
     'field="destnation_number"', "condition-never", "", "destnation_number"),
    ("dialplan/default.xml", '<action application="hangup"',
     '<action aplication="hangup"', "action-nameless", "", "<action"),
    ("dialplan/default.xml", '<action application="info"/>',
     '<action application="hangup" data="NORMAL_CLEARIN"/>', "cause-unknown", "", "NORMAL_CLEARIN"),
    ("dialplan/default.xml", '<action application="info"/>',
     '<action application="perl" data="x.pl"/>', "application-without-effect", "", "perl"),
    ("dialplan/default.xml", '<action application="info"/>',
     '<action application="transfer" data="1000 XLM default"/>', "dialplan-unknown", "", "XLM"),
    ("dialplan/default.xml", '<action application="info"/>',
     '<action application="transfer" data="1000 XML defalt"/>', "context-unknown", "", "defalt"),
    ("dialplan/default.xml", '<action application="info"/>',
     '<action application="respond" data="4o4"/>', "argument", "", "4o4"),
    ("dialplan/default.xml", '<action application="info"/>',
     '<action application="set" data="absolute_codec_string=PCUM"/>', "codec-unknown", "", "PCUM"),
    ("dialplan/default.xml", '<action application="info"/>',
     '<action application="log" data="ERRR x"/>', "argument", "", "ERRR"),
    ("dialplan/default.xml", '<action application="info"/>',
     '<action application="phrase" data="nosuch_phrase,1"/>', "macro-unknown", "", "nosuch_phrase"),
    ("dialplan/default.xml", '<action application="info"/>',
     '<action application="set" data="x=${strftme(%H)}"/>', "api-unknown", "", "strftme(%H)}"),
    ("dialplan/default.xml", '<action application="info"/>',
     '<action application="play_and_get_digits" data="2 1 3 5000 # a.wav b.wav x [0-9"/>', "argument", "", "2"),
    ("dialplan/default.xml", '<action application="info"/>',
     '<action application="execute_extension" data=""/>', "argument", "", '"/'),
    ("dialplan/default.xml", '<extension name="unloop">',
     '<extension name="catchall"><condition><action application="park"/></condition></extension>\n<extension name="unloop">', "extension-unreachable", "", "<extension"),
    ("autoload_configs/modules.conf.xml", '<load module="mod_conference"/>',
     "", "application-not-loaded", "dialplan/default.xml", "conference"),
    ("autoload_configs/modules.conf.xml", '<load module="mod_loopback"/>',
     '<load module="mod_lopback"/>', "module-unknown", "", "mod_lopback"),
    ("autoload_configs/modules.conf.xml", '<load module="mod_sofia"/>',
     '<laod module="mod_sofia"/>', "element-unknown", "", "laod"),
    ("autoload_configs/modules.conf.xml", '<load module="mod_sofia"/>',
     '<load modul="mod_sofia"/>', "attribute-unknown", "", "modul"),
    ("autoload_configs/modules.conf.xml", '<load module="mod_sofia"/>',
     '<load module="mod_sofia"/><load module="mod_sofia"/>', "module-duplicate", "", "mod_sofia"),
    ("ivr_menus/demo_ivr.xml", 'action="menu-exec-app" digits="2"',
     'action="menu-exec-ap" digits="2"', "value-type", "", "menu-exec-ap"),
    ("ivr_menus/demo_ivr.xml", 'param="demo_ivr_submenu"',
     'param="demo_ivr_submenux"', "menu-unknown", "", "demo_ivr_submenux"),
    ("ivr_menus/demo_ivr.xml", 'timeout="10000"', 'timeout="10s"', "value-type", "", "10s"),
    ("ivr_menus/demo_ivr.xml", 'param="transfer 9196 XML default"',
     'param="trasfer 9196 XML default"', "application-unknown", "", "trasfer"),
    ("ivr_menus/demo_ivr.xml", 'param="transfer 9196 XML default"',
     'param="transfer 9196 XML defalt"', "context-unknown", "", "defalt"),
    ("ivr_menus/demo_ivr.xml", 'digits="2"', 'digit="2"', "attribute-unknown", "", "digit"),
    ("ivr_menus/demo_ivr.xml", 'digits="/^(10[01][0-9])$/"',
     'digits="/^(10[01][0-9]$/"', "regex-invalid", "", "/^(10[01][0-9]$/"),
    ("ivr_menus/demo_ivr.xml", 'param="transfer $1 XML features"',
     'param="transfer $2 XML features"', "capture-missing", "", "$2"),
    ("ivr_menus/demo_ivr.xml", "greet-long=", "gret-long=", "attribute-unknown", "", "gret-long"),
    ("vars.xml", "global_codec_prefs=OPUS,G722,PCMU", "global_codec_prefs=OPUS,G722,PCUM", "codec-unknown", "", "PCUM"),
    ("vars.xml", "internal_sip_port=5060", "internal_sip_port=5o60", "value-type", "", "5o60"),
    ("vars.xml", "internal_auth_calls=true", "internal_auth_calls=ture", "value-type", "", "ture"),
    ("vars.xml", 'cmd="set" data="internal_sip_port', 'cmd="sett" data="internal_sip_port', "directive-unknown", "", "sett"),
    ("vars.xml", 'data="domain=$${local_ip_v4}"',
     'data="domain=$${local_ip_v5}"', "variable-undefined", "", "$${local_ip_v5}"),
    ("vars.xml", 'data="default_password=1234"',
     'data="default_password 1234"', "set-without-equals", "", "default_password"),
    ("sip_profiles/internal.xml", 'name="rtp-ip" value="$${local_ip_v4}"',
     'name="rtp-ip" value="$${local_ipv4}"', "variable-undefined", "", "$${local_ipv4}"),
    ("sip_profiles/internal.xml", 'name="sip-ip" value="$${local_ip_v4}"',
     'name="sip-ip" value="203.0.113.7"', "address-foreign", "", "203.0.113.7"),
    ("sip_profiles/internal.xml", 'name="ext-rtp-ip" value="$${external_rtp_ip}"',
     'name="ext-rtp-ip" value="auto-natt"', "value-type", "", "auto-natt"),
    ("sip_profiles/internal.xml", 'name="dialplan" value="XML"',
     'name="dialplan" value="XLM"', "dialplan-unknown", "", "XLM"),
    ("sip_profiles/internal.xml", 'name="context" value="public"',
     'name="context" value="pubilc"', "context-unknown", "", "pubilc"),
    ("sip_profiles/internal.xml", 'name="context" value="public"',
     'name="contxt" value="public"', "param-unknown", "", "contxt"),
    ("sip_profiles/internal.xml", 'name="context" value="public"',
     'name="context" vlaue="public"', "attribute-unknown", "", "vlaue"),
    ("sip_profiles/internal.xml", 'name="apply-inbound-acl" value="domains"',
     'name="apply-inbound-acl" value="domians"', "acl-unknown", "", "domians"),
    ("sip_profiles/internal.xml", 'name="dtmf-duration" value="2000"',
     'name="dtmf-duration" value="2000ms"', "value-type", "", "2000ms"),
    ("sip_profiles/internal.xml", "<settings>", "<setings>", "xml-unexpected-closing-tag", "", "setings"),
    ("sip_profiles/internal.xml", 'name="tls-version" value="$${sip_tls_version}"',
     'name="tls-version" value="tlsv1.9"', "value-type", "", "tlsv1.9"),
    ("sip_profiles/internal.xml", 'name="force-register-domain" value="$${domain}"',
     'name="force-register-domain" value="example.net"', "domain-unknown", "", "example.net"),
    ("sip_profiles/internal.xml", 'name="inbound-codec-negotiation" value="generous"',
     'name="inbound-codec-negotiation" value="genrous"', "value-type", "", "genrous"),
    ("directory/default/1000.xml", 'name="password"', 'name="pasword"', "param-unknown", "", "pasword"),
    ("directory/default/1000.xml", 'name="user_context"', 'name="user_contxt"', "variable-unlikely", "", "user_contxt"),
    ("directory/default/1000.xml", 'name="user_context" value="default"',
     'name="user_context" value="defalt"', "context-unknown", "", "defalt"),
    ("directory/default/1000.xml", "<variables>", "<varables>", "xml-unexpected-closing-tag", "", "varables"),
    ("directory/default.xml", '<user id="1000" type="pointer"/>',
     '<user id="1099" type="pointer"/>', "pointer-dangling", "", "<user"),
    ("autoload_configs/acl.conf.xml", '<node type="allow" domain="$${domain}"/>',
     '<node type="alow" domain="$${domain}"/>', "value-type", "", "alow"),
    ("autoload_configs/acl.conf.xml", '<list name="domains" default="deny">',
     '<list name="domains" default="denny">', "value-type", "", "denny"),
    ("autoload_configs/acl.conf.xml", '<node type="allow" domain="$${domain}"/>',
     '<node type="allow" cidr="192.168.0.0"/>', "acl-bad-network", "", "192.168.0.0"),
    ("autoload_configs/event_socket.conf.xml", 'name="listen-port" value="8021"',
     'name="listen-port" value="80210"', "value-type", "", "80210"),
    ("autoload_configs/event_socket.conf.xml", 'name="listen-ip" value="::"',
     'name="listen-ip" value="192.0.2.1"', "address-foreign", "", "192.0.2.1"),
    ("autoload_configs/event_socket.conf.xml", 'name="listen-port" value="8021"',
     'name="listen-port" value="5060"', "port-clash", "", "5060"),
    ("autoload_configs/switch.conf.xml", 'name="max-sessions" value="1000"',
     'name="max-sessions" value="1k"', "value-type", "", "1k"),
    ("autoload_configs/switch.conf.xml", 'name="loglevel" value="debug"',
     'name="loglevel" value="debgu"', "value-type", "", "debgu"),
    ("autoload_configs/conference.conf.xml", 'name="rate" value="8000"', 'name="rate" value="8k"', "value-type", "", "8k"),
    ("autoload_configs/conference.conf.xml", 'name="energy-level" value="100"',
     'name="energy-level" value="loud"', "value-type", "", "loud"),
    ("autoload_configs/conference.conf.xml", '<control action="mute" digits="0"/>',
     '<control action="mutte" digits="0"/>', "value-type", "", "mutte"),
    ("autoload_configs/sofia.conf.xml", "../sip_profiles/*.xml",
     "../sip_profils/*.xml", "include-failed", "", "../sip_profils/*.xml"),
    ("autoload_configs/xml_curl.conf.xml", '<!-- <param name="gateway-url" value="http://www.freeswitch.org/gateway.xml" bindings="dialplan"/> -->',
     '<param name="gateway-url" value="http://127.0.0.1/x" bindings="dialplna"/>', "value-type", "", "dialplna"),
    ("autoload_configs/lua.conf.xml", '<!--<param name="xml-handler-bindings" value="dialplan"/>-->',
     '<param name="xml-handler-bindings" value="dialplna"/>', "value-type", "", "dialplna"),
    ("lang/en/demo/demo-ivr.xml", '<action function="play-file"',
     '<action function="play-fiel"', "value-type", "", "play-fiel"),
    ("lang/en/demo/demo-ivr.xml", '<macro name="demo_ivr_main_menu"',
     '<marco name="demo_ivr_main_menu"', "xml-unexpected-closing-tag", "", "marco"),
    ("dialplan/default.xml", '<action application="info"/>',
     '<action application="record" data="/tmp/${uuid}.xyz"/>', "argument", "", '.xyz'),
    ("dialplan/default.xml", '<action application="info"/>',
     '<action application="record_session" data="/tmp/said"/>', "argument", "", 'said'),
    ("dialplan/default.xml", '<action application="info"/>',
     '<action application="sched_hangup" data="60 allotted_timeout"/>', "argument", "", '60'),
    ("dialplan/default.xml", '<action application="info"/>',
     '<action application="sched_transfer" data="30 9999 XML default"/>', "argument", "", '30'),
    ("dialplan/default.xml", '<action application="info"/>',
     '<action application="hangup" data="486"/>', "argument", "", '486'),
    ("dialplan/default.xml", '<action application="info"/>',
     '<action application="bind_meta_app" data="1 b s execute_extension:dx XML features"/>', "argument", "", 'execute_extension:dx'),
    ("dialplan/default.xml", '<action application="info"/>',
     '<action application="playback" data="tone_stream:/%(1000,0,440)"/>', "argument", "", 'tone_stream:/'),
    ("dialplan/default.xml", '<action application="info"/>',
     '<action application="playback" data="tone_stream://%(1000,0,440"/>', "argument", "", 'tone_stream://%'),
    ("dialplan/default.xml", '<action application="info"/>',
     '<action application="set" data="rtp_secure_media=mandatroy"/>', "value-type", "", 'mandatroy'),
    ("dialplan/default.xml", '<action application="info"/>',
     '<action application="set" data="hold_music=local_stream://mooh"/>', "stream-unknown", "", 'mooh'),
    ("dialplan/default.xml", '<action application="info"/>',
     '<action application="playback" data="{volume=2}/nowhere/a.wav"/>', "sound-missing", "", '/nowhere/a.wav'),
    ("dialplan/default.xml", '<action application="info"/>',
     '<action application="playback" data="file_string:///nowhere/b.wav!silence_stream://x"/>', "argument", "", 'silence_stream'),
    ("dialplan/default.xml", '<action application="info"/>',
     '<action application="playback" data="/nowhere/a.wav@@8000"/>', "sound-missing", "", '/nowhere/a.wav'),
    ("dialplan/default.xml", '<action application="info"/>',
     '<action application="loop_playback" data="+3 /nowhere/a.wav"/>', "sound-missing", "", '/nowhere/a.wav'),
    ("dialplan/default.xml", '<action application="info"/>',
     '<action application="displace_session" data="/nowhere/a.wav mux"/>', "sound-missing", "", '/nowhere/a.wav'),
    ("dialplan/default.xml", '<action application="info"/>',
     '<action application="soft_hold" data="1 /nowhere/a.wav"/>', "sound-missing", "", '/nowhere/a.wav'),
    ("dialplan/default.xml", '<action application="info"/>',
     '<action application="set" data="ringback=/nowhere/a.wav"/>', "sound-missing", "", '/nowhere/a.wav'),
    ("dialplan/default.xml", '<action application="info"/>',
     '<action application="bridge" data="{ringback=/nowhere/a.wav}user/1000"/>', "sound-missing", "", '/nowhere/a.wav'),
    ("dialplan/default.xml", '<action application="info"/>',
     '<action application="bind_meta_app" data="1 b s playback::/nowhere/a.wav"/>', "sound-missing", "", '/nowhere/a.wav'),
    ("dialplan/default.xml", '<action application="info"/>',
     '<action application="playback" data="/nowhere/a.xyz"/>', "file-not-played", "", '.xyz'),
    ("dialplan/default.xml", '<action application="info"/>',
     '<action application="playback" data="vlc:///nowhere"/>', "file-not-played", "", 'vlc://'),
    ("dialplan/default.xml", '<action application="info"/>',
     '<action application="read" data="1 4 phrase:nowhere x 5000 #"/>', "macro-unknown", "", 'nowhere'),
    ("dialplan/default.xml", 'field="destination_number" expression="^9191$"',
     'field="${destination_number" expression="^9191$"', "reference-unclosed", "", "${destination_number"),
    ("dialplan/default.xml", 'field="destination_number" expression="^9191$"',
     'field="destination_number" expression=""', "expression-empty", "", '"'),
    ("autoload_configs/event_socket.conf.xml", 'name="event_socket.conf"', 'name="event_soket.conf"', "configuration-unknown", "", "event_soket.conf"),
    ("autoload_configs/logfile.conf.xml", 'value="console,debug,info', 'value="console,debugg,info', "value-type", "", "debugg"),
    ("autoload_configs/conference.conf.xml", 'name="moh-sound" value="$${hold_music}"',
     'name="moh-sound" value="local_stream://moho"', "stream-unknown", "", "moho"),
    ("autoload_configs/conference.conf.xml", 'name="moh-sound" value="$${hold_music}"',
     'name="moh-sound" value="/nowhere/music.wav"', "sound-missing", "", "/nowhere/music.wav"),
    ("autoload_configs/switch.conf.xml", '<!-- <param name="rtp-start-port" value="16384"/> -->',
     '<param name="rtp-start-port" value="40000"/>', "port-range", "", "40000"),
    ("vars.xml", '<X-PRE-PROCESS cmd="set" data="internal_ssl', '<X-PREPROCESS cmd="set" data="internal_ssl', "element-unknown", "", "X-PREPROCESS"),
    ("freeswitch.xml", '<section name="dialplan"', '<secton name="dialplan"', "xml-unexpected-closing-tag", "", "secton"),
    ("dialplan/public.xml", 'data="public/*.xml"', 'data="publik/*.xml"', "include-failed", "", "publik/*.xml"),
]


def said(conf):
    """Each thing that is more than a remark: code, message, file, line, column."""
    found = [d for d in check(conf)[1]["diagnostics"] if d["severity"] != "info" and d["place"]]
    return {(d["code"], d["message"], os.path.normpath(d["place"]["file"]), d["place"]["line"], d["place"]["column"])
            for d in found}


# A hundred checks, one after another, on a machine that may be busy.
@pytest.mark.timeout(600)
def test_mistakes_planted_one_at_a_time_are_found_at_their_word(conf):
    before, missed = said(conf), []
    for file, old, new, code, other, word in PLANTED:
        path = conf / file
        text = path.read_text()
        assert old in text, (file, old)
        path.write_text(text.replace(old, new, 1))
        where = conf / (other or file)
        lines = where.read_text().splitlines()
        places = [(line, column) for found, _, name, line, column in said(conf) - before
                  if found == code and name == str(where)]
        if not any(lines[line - 1][column - 1:].startswith(word) for line, column in places):
            missed.append((file, new, code, word, places))
        path.write_text(text)
    assert not missed, missed
    # Found means found anew: nothing of it is said of the tree as it was.
    assert said(conf) == before


def test_what_a_tree_says_that_is_well_is_little(conf):
    """Of the sample tree, all that is said beside what is not to be had here is true of it."""
    told = {(d["code"], os.path.relpath(d["place"]["file"], conf)) for d in check(conf)[1]["diagnostics"]
            if d["severity"] != "info" and not d["code"].endswith("-without-effect")}
    assert told <= {
        ("acl-unknown-domain", "autoload_configs/acl.conf.xml"),
        ("application-not-loaded", "dialplan/default/00_pizza_demo.xml"),
        ("application-unknown", "ivr_menus/new_demo_ivr.xml"),
        ("capture-missing", "dialplan/default.xml"),
        ("extension-unreachable", "dialplan/skinny-patterns/20-Demo.xml"),
        ("param-unknown", "autoload_configs/conference.conf.xml"),
        ("param-unknown", "sip_profiles/internal-ipv6.xml"),
        ("password-default", "autoload_configs/event_socket.conf.xml"),
        ("password-weak", "directory/default/1000.xml"),
        ("script-missing", "dialplan/default/00_pizza_demo.xml"),
        ("sound-missing", "dialplan/default.xml"),
        ("sound-missing", "ivr_menus/demo_ivr.xml"),
        ("variable-undefined", "sip_profiles/internal-ipv6.xml"),
    }, told


def test_a_call_that_dies_for_want_of_a_module_says_so(conf):
    tree.patch(conf / "autoload_configs/modules.conf.xml", {r'<load module="mod_conference"/>': ""})
    status, text = run("explain", "--in", conf, "-d", "3000", "--user", "1000")
    assert status == 1
    assert re.search(r"\n   conference\(3000-\S+\) FAILS: mod_conference is not loaded    # default.xml:\d+\n"
                     r"   the call ends here\n", text), text
    report = check(conf, "--report")[1]["report"]
    failing = {(f["context"], f["extension"], f["application"]) for f in report["failing_extensions"]}
    assert ("default", "nb_conferences", "conference") in failing, failing
    assert ("default", "snom-demo-2", "lua") not in failing and report["unavailable"] > 0


def test_an_error_fails_and_a_warning_only_when_asked(conf):
    status, told = check(conf)
    # A menu of the sample tree runs a number as if it were an application.
    assert [d["code"] for d in told["diagnostics"] if d["severity"] == "error"] == ["application-unknown", "password-default", "application-not-loaded"]
    assert status == 1
    tree.patch(conf / "ivr_menus/new_demo_ivr.xml", {'param="5000 XML default"': 'param="transfer 5000 XML default"'})
    tree.patch(conf / "autoload_configs/event_socket.conf.xml", {'value="ClueCon"': 'value="kW9mQ2xv7h"'})
    # A demonstration in JavaScript, whose module is not loaded.
    tree.patch(conf / "autoload_configs/modules.conf.xml", {r'<load module="mod_conference"/>': '<load module="mod_conference"/><load module="mod_v8"/>'})
    assert check(conf)[0] == 0
    assert check(conf, "--strict")[0] == 1


def test_a_report_counts_what_is_honoured(conf):
    report = check(conf, "--report")[1]["report"]
    places = sum(len(n["places"]) for n in report["names"])
    parts = ("honoured", "accepted", "unavailable", "unknown")
    assert sum(report[part] for part in parts) == places
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
    # On a Saturday: in office hours the sample's example of a time of day matches, too.
    status, text = run("explain", "--in", conf, "-d", "1001", "--user", "1000", "--time", "2026-03-07T12:00:00Z", "--json")
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
