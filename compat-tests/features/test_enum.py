"""Calls to telephone numbers by the domain name system: mod_enum against a name server of the test's own."""
import pytest

from harness.dns import NameServer, naptr

CONF = """<configuration name="enum.conf">
  <settings>
    <param name="default-root" value="{root}"/>
    <param name="default-isn-root" value="isn.test"/>
    <param name="auto-reload" value="true"/>
    <param name="query-timeout-ms" value="2000"/>
    <param name="query-timeout-retry" value="2"/>
    <param name="nameserver" value="{ip}:{port}"/>
  </settings>
  <routes>
    <route service="E2U+SIP" regex="sip:(.*)" replace="sofia/${{use_profile}}/$1"/>
  </routes>
</configuration>
"""
NOTHING = "-ERR no reply\n"          # what the event socket makes of an empty answer
LINE = "Order\tPref\tService   \tRoute\n" + "=" * 78 + "\n"


@pytest.fixture
def names():
    server = NameServer({})
    yield server
    server.close()


@pytest.fixture
def site(fresh, names):
    configure(fresh, names)
    modules = fresh.conf / "autoload_configs/modules.conf.xml"
    modules.write_text(modules.read_text().replace("  </modules>", '    <load module="mod_enum"/>\n  </modules>'))
    fresh.start()
    assert fresh.switch.api("global_setvar use_profile=open").startswith("+OK")
    yield fresh
    wrong = fresh.settle()
    assert not wrong, "\n".join(wrong)


def configure(site, names, root="e164.test"):
    conf = site.conf / "autoload_configs/enum.conf.xml"
    conf.write_text(CONF.format(root=root, ip=names.ip, port=names.port))


def at(phone):
    return f"sip:{phone.user}@{phone.ip}:{phone.port}"


def owner(number, root="e164.test"):
    return ".".join([*reversed(number), root])


def parked(site, esl):
    call = site.phone().invite("park")
    call.wait(200)
    return call, esl.wait_event("CHANNEL_PARK").event["Unique-ID"]


def talk(one, other):
    since = [len(call.rtp.packets) for call in (one, other)]
    for speaker, hz in ((one, 440), (other, 800)):
        speaker.rtp.tone(hz)
    one.rtp.wait_tone(800, since=since[0])
    other.rtp.wait_tone(440, since=since[1])


def test_the_module_brings_its_dialplan_commands_and_application(site, esl):
    assert esl.api("module_exists mod_enum") == "true"
    assert "dialplan,enum,mod_enum" in esl.api("show dialplan")
    assert "enum_auto,ENUM,,mod_enum" in esl.api("show api")
    assert "+OK" in esl.api("unload mod_enum")
    assert "enum" not in esl.api("show dialplan")


def test_offers_are_listed_in_their_order_and_bad_ones_left_out(site, esl, names):
    names.zone[owner("4930100")] = [
        naptr(20, 10, "u", "E2U+sip", r"!^\+49(.*)$!sip:\1@last.example!"),
        naptr(10, 20, "u", "E2U+sip", "!^.*$!sip:second@example!"),
        naptr(10, 20, "u", "E2U+SIP", "!^.*$!sip:as-good@example!"),
        naptr(10, 10, "u", "E2U+mailto", "!^.*$!mailto:first@example!"),
        naptr(1, 1, "u", "E2U+sip", "!(!sip:broken@example!"),
        naptr(1, 1, "u", "E2U+sip", "no rule"),
        naptr(1, 1, "u", "E2U+sip", b"!.*!sip:\xff\xfe@example!"),
        naptr(1, 1, "u", "E2U+sip", "!.*!sip:a@b,sofia/gateway/carrier/900!"),
        naptr(1, 1, "u", "E2U+sip", "!.*!sip:${system(id)}@b!"),
        naptr(1, 1, "u", "E2U+sip", "!^[+]1!sip:elsewhere@example!"),
        naptr(1, 1, "s", "SIP+D2U", ""),
    ]
    good = ("10\t20\tE2U+SIP   \tsofia/open/as-good@example\n"
            "10\t20\tE2U+sip   \tsofia/open/second@example\n"
            "20\t10\tE2U+sip   \tsofia/open/30100@last.example\n")
    assert esl.api("enum 4930100") == (
        f"\nOffered Routes:\n{LINE}10\t10\tE2U+mailto\tmailto:first@example\n{good}\nSupported Routes:\n{LINE}{good}")
    assert esl.api("enum_auto +4930100") == (
        "sofia/open/as-good@example,sofia/open/second@example|sofia/open/30100@last.example")
    assert site.switch.alive()


def test_other_roots_and_isn_numbers_are_looked_up(site, esl, names):
    records = [naptr(1, 1, "u", "E2U+sip", r"!^\+(.*)$!sip:\1@there.example!")]
    names.zone.update({"2.1.other.test": records, "2.1.256.isn.test": records})
    assert esl.api("enum_auto 12 other.test") == "sofia/open/12@there.example"
    assert esl.api("enum_auto 12*256") == "sofia/open/12@there.example"
    assert esl.api("enum_auto 12") == NOTHING
    assert esl.api("enum_auto") == "none"


def test_an_unanswered_question_ends(site, esl, names):
    names.zone[owner("123")] = None
    assert esl.api("enum 123") == f"\nOffered Routes:\n{LINE}\nSupported Routes:\n{LINE}"
    assert (owner("123"), 35) in names.asked


def test_settings_follow_a_reload(site, esl, names):
    names.zone["1.new.test"] = [naptr(1, 1, "u", "E2U+sip", "!.*!sip:new@example!")]
    assert esl.api("enum_auto 1") == NOTHING
    configure(site, names, root="new.test")
    assert esl.api("reloadxml").startswith("+OK")
    assert esl.api("enum_auto 1") == "sofia/open/new@example"
    assert esl.api("enum reload") == "+OK ENUM Reloaded.\n"


@pytest.mark.parametrize("dialplans", ["enum", "XML,enum", "enum:e164.test,XML"])
def test_a_number_is_called_by_the_dialplan(site, esl, names, dialplans):
    phone = site.phone()
    names.zone[owner("4930100")] = [naptr(1, 1, "u", "E2U+sip", f"!^.*$!{at(phone)}!")]
    near, uuid = parked(site, esl)
    assert esl.api(f"uuid_transfer {uuid} 4930100 {dialplans} public").startswith("+OK")
    far = phone.accept()
    far.answer()
    talk(near, far)
    far.hangup()
    near.wait_end()


def test_a_number_without_records_ends_the_call(site, esl, names):
    near, uuid = parked(site, esl)
    assert esl.api(f"uuid_transfer {uuid} 4930199 enum").startswith("+OK")
    assert esl.wait_event("CHANNEL_HANGUP", Unique_ID=uuid).event["Hangup-Cause"] == "NORMAL_CLEARING"
    near.wait_end()
    assert (owner("4930199"), 35) in names.asked


def test_the_application_leaves_routes_in_variables(site, esl, names):
    phone = site.phone()
    names.zone[owner("4930100")] = [
        naptr(1, 1, "u", "E2U+sip", f"!^.*$!{at(phone)}!"),
        naptr(1, 2, "u", "E2U+sip", "!^.*$!sip:other@127.0.0.1!"),
        naptr(1, 3, "u", "E2U+mailto", "!^.*$!mailto:me@example!"),
    ]
    near, uuid = parked(site, esl)
    assert esl.api(f"uuid_setvar {uuid} enum_route_7 stale").startswith("+OK")
    steps = "^".join(["enum:4930100", "bridge:${enum_route_1}"])
    assert esl.api(f"uuid_transfer {uuid} 'm:^:{steps}' inline").startswith("+OK")
    far = phone.accept()
    first = f"sofia/open/{at(phone).removeprefix('sip:')}"
    wanted = {"enum_route_count": "2", "enum_route_1": first, "enum_route_2": "sofia/open/other@127.0.0.1",
              "enum_auto_route": f"{first}|sofia/open/other@127.0.0.1", "enum_route_7": "_undef_"}
    assert {name: esl.api(f"uuid_getvar {uuid} {name}").strip() for name in wanted} == wanted
    far.answer()
    talk(near, far)
    near.hangup()
    far.wait_end()
