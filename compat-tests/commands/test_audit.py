"""`ferroswitch audit` and `audit`: what strangers reach; and <interface-allowlist>, printed and honoured."""
import json
import os
import re
import subprocess

from harness import tree
from harness.switch import binary


def audit(conf, *args):
    run = subprocess.run([binary(), "audit", str(conf), *args], capture_output=True, text=True)
    return run.returncode, run.stdout


def patched(site, file, pattern, by):
    tree.patch(site.conf / file, {pattern: by})


def test_what_is_wrong_is_named_with_place_and_remedy(fresh):
    event_socket = fresh.conf / "autoload_configs/event_socket.conf.xml"
    text = event_socket.read_text()
    os.chmod(fresh.conf, 0o755)
    code, before = audit(fresh.conf)
    assert "secret-readable" in before and str(fresh.conf) in before
    os.chmod(fresh.conf, 0o750)
    assert "secret-readable" not in audit(fresh.conf)[1]
    text = re.sub(r'name="listen-ip" value="[^"]*"', 'name="listen-ip" value="0.0.0.0"', text)
    text = re.sub(r'name="password" value="[^"]*"', 'name="password" value="ClueCon"', text)
    text = text.replace("</settings>", '<param name="allow-host-commands" value="true"/></settings>')
    event_socket.write_text(text)
    (fresh.conf / "dialplan/audited.xml").write_text("""<include>
<context name="audited"><extension name="a">
      <condition field="destination_number" expression="^1$"><action application="system" data="logger ${caller_id_name}"/></condition>
    </extension></context>
</include>""")
    code, found = audit(fresh.conf, "--json")
    assert code == 1
    diagnostics = json.loads(found)["diagnostics"]
    by_code = {}
    for one in diagnostics:
        by_code.setdefault(one["code"], []).append(one)
    assert any(one["severity"] == "error" for one in by_code["password-default"])
    assert any("event_socket.conf.xml" in json.dumps(one) for one in by_code["control-unencrypted"])
    severities = [one["severity"] for one in by_code["host-command"]]
    assert {"error", "warning"} <= set(severities)
    assert any("audited.xml" in json.dumps(one) for one in by_code["host-command"])
    # Worst first.
    order = ["error", "warning", "info"]
    ranks = [order.index(one["severity"]) for one in diagnostics]
    assert ranks == sorted(ranks)
    # The running switch says the same, and what it has open.
    site = fresh.start()
    told = site.switch.api("audit")
    assert "host-command" in told and f"TCP 0.0.0.0:{site.esl_port}" in told
    assert json.loads(site.switch.api("audit json"))["listening"]
    assert site.switch.api("audit nonsense").startswith("-USAGE")


def test_a_list_of_what_the_configuration_uses_is_enough_for_it(fresh):
    code, printed = audit(fresh.conf, "--interface-allowlist")
    assert code == 0 and '<allow name="mod_dptools.answer.app"/>' in printed and "mod_commands.status.api" in printed
    assert "mod_commands.system.api" not in printed
    switch = fresh.conf / "autoload_configs/switch.conf.xml"
    text = switch.read_text()
    switch.write_text(text.replace("</settings>", "</settings>" + printed.replace("</interface-allowlist>", '<allow name="mod_commands.originate.api"/>'
                                                                                 '<allow name="mod_commands.hupall"/></interface-allowlist>')))
    check = subprocess.run([binary(), "check", str(fresh.conf)], capture_output=True, text=True)
    assert "interface-allowlist" not in check.stdout, check.stdout
    site = fresh.start()
    call = site.phone().invite("tone")
    call.wait(200)
    call.rtp.wait_tone(500)
    call.hangup()
    api = site.switch.api
    assert api("status").startswith("UP")
    # What is not in the list is not there: neither as a command nor as an application nor as a method.
    assert api("system touch x").startswith("-ERR system Command not found") and api("uuid_kill x").startswith("-ERR uuid_kill Command not found")
    assert "Missing Method" in api('json {"command":"status","data":{}}') or "not found" in api('json {"command":"status","data":{}}')
    assert "system" not in [row["name"] for row in json.loads(api("show application as json"))["rows"]]
    assert "system' from mod_dptools: not permitted by interface allowlist" in site.switch.said(5000)
    dump = api("interface_allowlist_dump plain")
    assert "mod_commands.system.api\n" in dump and "mod_dptools.system.app" in dump and "<" not in dump
    assert '<allow name="mod_commands"/>' in api("interface_allowlist_dump modules")


def test_a_list_without_an_entry_enforces_nothing_and_is_found(fresh):
    switch = fresh.conf / "autoload_configs/switch.conf.xml"
    switch.write_text(switch.read_text().replace("</settings>", '</settings><interface-allowlist><alow name="mod_commands"/></interface-allowlist>'))
    code, found = audit(fresh.conf)
    assert code == 1 and "nothing is enforced" in found
    assert fresh.start().switch.api("status").startswith("UP")
