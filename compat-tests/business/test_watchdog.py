"""The watchdog: a leg that neither rings nor is answered is named, told of, and ended if the settings say so."""
import json
import time

from harness.services import until

CONF = """<include>
<configuration name="watchdog.conf"><settings>
  <param name="interval" value="1"/><param name="setup-seconds" value="1"/><param name="end-setup" value="{end}"/>
</settings></configuration>
</include>"""


def start(site, end):
    (site.conf / "autoload_configs/watchdog.conf.xml").write_text(CONF.format(end=end))
    modules = site.conf / "autoload_configs/modules.conf.xml"
    modules.write_text(modules.read_text().replace("</modules>", '<load module="mod_watchdog"/></modules>'))
    return site.start()


def test_a_leg_whose_far_end_says_nothing_is_named_and_ended(fresh):
    site = start(fresh, "true")
    carrier = site.carrier()
    with site.esl() as esl:
        esl.command("event plain CUSTOM ferroswitch::stuck")
        site.switch.api(f"bgapi originate {{origination_uuid=quiet}}sofia/open/4711@127.0.0.1:{carrier.port} &park")
        carrier.accept()
        event = esl.wait_event("CUSTOM", Unique_ID="quiet").event
        assert event["Reason"] == "setup" and event["Since"] <= time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime())
    # No CANCEL comes: one may only follow an answer to the INVITE.
    until(lambda: site.switch.channels() == 0, "end of the leg")


def test_show_stuck_lists_it(fresh):
    site = start(fresh, "false")
    carrier = site.carrier()
    site.switch.api(f"bgapi originate {{origination_uuid=quiet}}sofia/open/4711@127.0.0.1:{carrier.port} &park")
    call = carrier.accept()
    rows = until(lambda: json.loads(site.switch.api("show stuck as json")).get("rows"), "row")
    assert rows[0]["uuid"] == "quiet" and rows[0]["reason"] == "setup" and int(rows[0]["seconds"]) >= 1
    call.answer()
    assert until(lambda: site.switch.api("show stuck").strip().endswith("0 total."), "nothing stuck")
    site.switch.api("uuid_kill quiet")
    call.wait_end()
