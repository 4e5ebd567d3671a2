"""A text that a far end chose stays one value wherever a dialplan puts it, and reaches readers as it was sent."""
import pytest

from conftest import settled, shared_site
from harness import tree

HOSTILE = ("x',execute_on_answer='system touch MARK',sip_h_X-Bad='1'}sofia/gateway/carrier/666,null/1|null/2:_:[a=b]{c='"
           "\"`touch MARK`; touch MARK && touch MARK")
DIAL = "{x_foo='${sip_h_X-Foo}',sip_h_X-Out='${sip_h_X-Foo}'}sofia/gateway/carrier/777"
# Stand-ins for what a far end said begin so; they stay inside the switch.
STAND_INS = (b"\xf4\x8f\xb8", b"\xf4\x8f\xb9", b"%F4%8F%B8", b"%F4%8F%B9")


def extension(number, *actions):
    lines = "".join(f'<action application="{app}" data="{data}"/>' for app, data in actions)
    return f'<extension name="{number}"><condition field="destination_number" expression="^{number}$">{lines}</condition></extension>\n'


# A macro that does with its data whatever macros can.
MACRO = ('<section name="languages"><language name="en" say-module="en"><phrases><macros><macro name="far">'
         '<input pattern="^(.*)$"><match><action function="execute" data="multiset(said=$1 again=yes)"/>'
         '<action function="phrase" phrase="inner" data="$1"/>'
         '</match></input></macro><macro name="inner"><input pattern="^(.*)$"><match><action function="execute" data="multiset(inner=$1 deep=yes)"/>'
         '<action function="play-file" data="nothing/$1.wav"/></match></input></macro></macros></phrases></language></section>')


def actions(where):
    return [
        ("phrased", ("answer", ""), ("phrase", "far,${sip_h_X-Foo}"), ("park", "")),
        ("played", ("answer", ""), ("playback", "phrase:far:${sip_h_X-Foo}"), ("park", "")),
        ("bridged", ("bridge", DIAL)),
        ("limited", ("limit_execute", f"hash far text 5 bridge {DIAL}")),
        ("originated", ("set", "job=${bgapi(originate " + DIAL + " &amp;park)}"), ("answer", ""), ("park", "")),
        ("scheduled", ("set", "job=${sched_api(+0 none originate " + DIAL + " &amp;park)}"), ("answer", ""), ("park", "")),
        ("exported", ("export", "nolocal:x_foo=${sip_h_X-Foo}"), ("bridge", "{sip_h_X-Out='${sip_h_X-Foo}'}sofia/gateway/carrier/777")),
        ("sent", ("answer", ""), ("transfer", "'set:taken=${sip_h_X-Foo},park' inline")),
        ("stored", ("db", "insert/far/dialled/${sip_h_X-Foo}"), ("hash", "insert/far/dialled/${sip_h_X-Foo}"),
         ("bridge", "{x_foo='${hash(select/far/dialled)}',sip_h_X-Out='${db(select/far/dialled)}'}sofia/gateway/carrier/777")),
        ("grouped", ("group", "insert:far:{x_foo='${sip_h_X-Foo}',sip_h_X-Out='${sip_h_X-Foo}'}sofia/gateway/carrier/777"),
         ("bridge", "${group(call:far)}")),
        ("shell", ("answer", ""), ("system", f"printf %s '${{sip_h_X-Foo}}' &gt; {where}/said"), ("park", "")),
        ("recorded", ("answer", ""), ("record_session", f"{where}/rec/${{sip_h_X-Foo}}.wav"), ("park", "")),
        ("kept", ("verbose_events", ""), ("set", "said=${sip_h_X-Foo}"), ("set", "far_list=${sip_h_X-Foo}"), ("push", "far_list=${sip_h_X-Foo}"),
         ("set_global", "far_global=${sip_h_X-Foo}"), ("hash", "insert/far/said/${sip_h_X-Foo}"), ("db", "insert/far/said/${sip_h_X-Foo}"),
         ("log", "INFO said ${sip_h_X-Foo}"), ("event", "Event-Name=CUSTOM,Event-Subclass=far::said,Said=${sip_h_X-Foo}"),
         ("set", "%[scoped=${sip_h_X-Foo}]again=1"), ("answer", ""), ("park", "")),
    ]


def hostile(block, where):
    conf = tree.small(block, where)
    (where / "rec").mkdir()
    extensions = "".join(extension(number, *apps) for number, *apps in actions(where))
    (conf / "dialplan/far.xml").write_text(f'<include>\n<context name="public">\n{extensions}</context>\n</include>\n')
    whole = conf / "freeswitch.xml"
    whole.write_text(whole.read_text().replace("</document>", f"{MACRO}</document>"))
    return conf


server = shared_site(hostile)


@pytest.fixture
def site(server):
    yield from settled(server)


@pytest.fixture
def said(site):
    """What the far end says here: the program it wants run would leave a file."""
    return HOSTILE.replace("MARK", str(site.where / "pwned"))


@pytest.fixture
def esl(site):
    with site.esl() as client:
        client.command("event plain CHANNEL_ANSWER CHANNEL_PARK CHANNEL_EXECUTE CHANNEL_EXECUTE_COMPLETE BACKGROUND_JOB CUSTOM far::said")
        yield client


def untouched(site, carrier=None):
    site.switch.wait_idle()
    assert not (site.where / "pwned").exists()
    assert carrier is None or carrier.incoming.empty()


@pytest.mark.parametrize("how", ["bridged", "limited", "originated", "scheduled", "exported", "stored", "grouped"])
def test_a_header_is_one_value_of_a_dial_string(site, esl, said, how):
    carrier = site.carrier()
    near = site.phone().invite(how, extra=[f"X-Foo: {said}"])
    far = carrier.accept()
    assert far.request.start.startswith("INVITE sip:777@")
    assert far.request["x-out"] == said and not far.request["x-bad"]
    far.answer()
    event = esl.wait_event("CHANNEL_ANSWER", Call_Direction="outbound").event
    assert event["variable_x_foo"] == said
    assert not [name for name in event if "execute_on_answer" in name or "bad" in name.lower()]
    near.wait(200)
    assert site.switch.api("show channels count").split()[0] == "2"
    near.hangup()
    if how in ("originated", "scheduled"):
        site.switch.api("hupall")
    far.wait_end()
    untouched(site, carrier)


def test_a_header_is_one_value_of_an_inline_dialplan(site, esl, said):
    near = site.phone().invite("sent", extra=[f"X-Foo: {said},system:touch {site.where}/pwned"])
    uuid = esl.wait_event("CHANNEL_PARK").event["Unique-ID"]
    assert site.switch.api(f"uuid_getvar {uuid} taken") == f"{said},system:touch {site.where}/pwned"
    near.wait(200)
    near.hangup()
    untouched(site)


def test_a_header_is_one_word_of_a_shell(site, esl, said):
    near = site.phone().invite("shell", extra=[f"X-Foo: {said}"])
    esl.wait_event("CHANNEL_PARK")
    assert (site.where / "said").read_text() == said
    near.wait(200)
    near.hangup()
    untouched(site)


@pytest.mark.parametrize("how", ["phrased", "played"])
def test_a_header_is_data_of_a_phrase_macro_and_of_those_within(site, esl, said, how):
    said = f"{said} again=no deep=no $1)"
    near = site.phone().invite(how, extra=[f"X-Foo: {said}"])
    uuid = esl.wait_event("CHANNEL_PARK", timeout=20).event["Unique-ID"]
    seen = [site.switch.api(f"uuid_getvar {uuid} {name}") for name in ("said", "again", "inner", "deep")]
    assert seen == [said, "yes", said, "yes"]
    near.wait(200)
    near.hangup()
    untouched(site)


@pytest.mark.parametrize("said", ["../../escaped", "a/../../../escaped", "/../../escaped"])
def test_a_recording_stays_in_its_folder(site, esl, said):
    near = site.phone().invite("recorded", extra=[f"X-Foo: {said}"])
    esl.wait_event("CHANNEL_PARK")
    near.wait(200)
    near.hangup()
    site.switch.wait_idle()
    made = [path for path in (site.where / "rec").rglob("*.wav")]
    assert [path.name for path in made] == ["escaped.wav"]
    assert not list(site.where.glob("*.wav")) and not list(site.where.parent.glob("*.wav"))
    made[0].unlink()


def test_readers_see_what_was_said(site, esl, said):
    near = site.phone().invite("kept", extra=[f"X-Foo: {said}"])
    custom = esl.wait_event("CUSTOM").event
    uuid = esl.wait_event("CHANNEL_PARK").event["Unique-ID"]
    api = site.switch.api
    assert custom["Said"] == said
    seen = [api(f"uuid_getvar {uuid} {name}") for name in ("said", "sip_h_X-Foo")]
    seen += [api("global_getvar far_global"), api("hash select/far/said"), api("db select/far/said")]
    assert seen == [said] * len(seen)
    assert api(f"uuid_getvar {uuid} far_list") == f"ARRAY::{said}|:{said}"
    scoped = [message.event["scope_variable_scoped"] for message in esl.events if "scope_variable_scoped" in message.event]
    assert scoped and set(scoped) == {said}
    dumps = [api(f"uuid_dump {uuid}"), api(f"eval uuid:{uuid} ${{said}}"), api("show channels as json"), api("hash_dump all"), *(str(message.event) for message in esl.events)]
    near.wait(200)
    near.hangup()
    site.switch.wait_idle()
    log = (site.where / "log/freeswitch.log").read_bytes()
    assert said.encode() in log
    for text in [log, *(dump.encode() for dump in dumps)]:
        assert not [mark for mark in STAND_INS if mark in text]
    untouched(site)
