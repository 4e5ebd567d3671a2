"""Every input of ../shared/faults as it is written there, against the server. What is right is said in each file's first lines."""
import json
import re
import secrets
import subprocess
import threading

import pytest

from conftest import Site, settled, shared_site
from harness import tree
from harness.ear import FAR, MUSIC, NEAR, THIRD, TONE, bridged, dial, hears, hears_nothing, run, talk
from harness.sip import Call
from harness.switch import SHARED, binary

FAULTS = SHARED / "faults"
pytestmark = pytest.mark.skipif(not FAULTS.is_dir(), reason=f"SKIPPED: no {FAULTS}")
PARKED = '<extension name="{n}"><condition field="destination_number" expression="{e}"><action application="answer"/><action application="{a}"/></condition></extension>'
replays = {}


def replay(*names):
    """Marks the test of these files."""
    def mark(test):
        replays.update(dict.fromkeys(names, test.__name__))
        return test
    return mark


def text_of(name):
    """The file without what it says about itself."""
    return "".join(line for line in (FAULTS / name).read_text().splitlines(True) if not line.startswith("#"))


def said_of(name):
    return "".join(line for line in (FAULTS / name).read_text().splitlines(True) if line.startswith(("#", "<!--")))


def filled(text, **values):
    """The text with its `{…}` filled in; nothing may be left of them."""
    for name, value in values.items():
        text = text.replace("{" + name.replace("_", "-") + "}", str(value))
    assert not re.search(r"\{[a-z][a-z0-9-]*\}", text), text
    return text


def lines_of(name, header, **values):
    found = [line for line in text_of(name).splitlines() if line.startswith(f"{header}:")]
    assert found, f"{name} has no {header}"
    return [filled(line, tag="", **values).removesuffix(";tag=") for line in found]


def extensions(block, where):
    conf = tree.small(block, where)
    dial_string = text_of("dialstring-header.xml").replace("sofia/external/", "sofia/gateway/carrier/").replace("@{peer}", "")
    dial_string = re.sub(r"<!--.*?-->", "", dial_string, flags=re.S)
    public = conf / "dialplan/public.xml"
    more = [PARKED.format(n="echo", e="^9196$", a="echo"), PARKED.format(n="all", e=r"^(\+?\d{4,}|\*97|9%23)$", a="park")]
    public.write_text(public.read_text().replace('<context name="public">', f'<context name="public">{dial_string}{"".join(more)}', 1))
    return conf


server = shared_site(extensions)


@pytest.fixture
def site(server):
    yield from settled(server)


def test_every_file_has_its_replay():
    files = {path.name for path in FAULTS.iterdir() if path.is_file()} - {"README.md"}
    assert files == set(replays), files ^ set(replays)
    assert {path.name for path in (FAULTS / "check-mistakes").iterdir()} == set(MISTAKES)


# ---- requests

def park(site, esl, *extra, number="park", **how):
    call = site.phone().invite(number, extra, **how)
    call.wait(200)
    event = esl.wait_event("CHANNEL_PARK").event
    call.hangup()
    return event


@replay("invite-multipart.txt")
def test_the_part_that_is_a_description_is_the_offer(site, esl):
    phone = site.phone()
    call = Call(phone, secrets.token_hex(8))
    at, switch = f"{phone.ip}:{phone.port}", "%s:%d" % phone.server
    text = text_of("invite-multipart.txt").replace("{a}:5062", at).replace("m=audio 40000", f"m=audio {call.rtp.port}")
    head, _, body = filled(text, switch=switch, a=phone.ip, random=secrets.token_hex(6), tag=call.tag, id=call.call_id, length="LENGTH").partition("\n\n")
    body = body.replace("\n", "\r\n")
    call.branch = re.search(r"branch=([^;\s]+)", head)[1]
    call.uri, call.cseq, call.address = f"sip:9196@{switch}", 1, phone.server
    call.local, call.remote = f"<sip:1000@{phone.ip}>;tag={call.tag}", f"<{call.uri}>"
    phone.send(head.replace("LENGTH", str(len(body))).replace("\n", "\r\n") + "\r\n\r\n" + body)
    call.wait(200)
    event = esl.wait_event("CHANNEL_ANSWER").event
    assert "application/pidf+xml:" in event["variable_sip_multipart"] and "entity=" in event["variable_sip_multipart"]
    call.rtp.tone(440)
    call.rtp.wait_tone(440)
    call.hangup()


@replay("invite-escaped-user.txt")
def test_a_number_is_what_its_escapes_mean(site, esl):
    expected = re.search(r"destination_number ([^.]+)\.", said_of("invite-escaped-user.txt"))[1].split(", ")
    uris = re.findall(r"INVITE (\S+) SIP/2.0", filled(text_of("invite-escaped-user.txt"), switch="%s:%d" % site.sip(tree.OPEN)))
    assert len(uris) == len(expected) == 3
    for uri, number in zip(uris, expected):
        assert park(site, esl, number=uri)["Caller-Destination-Number"] == number
    # As events are encoded in the reference, what is an escape already stays one: the command shows what the number is.
    call = site.phone().invite("sip:9%%23@%s:%d" % site.sip(tree.OPEN))
    call.wait(200)
    uuid = esl.wait_event("CHANNEL_PARK").event["Unique-ID"]
    assert esl.api(f"uuid_getvar {uuid} destination_number") == "9%23"
    call.hangup()


@replay("invite-two-identities.txt")
def test_the_first_identity_that_has_a_number_is_the_caller(site, esl):
    from_, = lines_of("invite-two-identities.txt", "From")
    event = park(site, esl, *lines_of("invite-two-identities.txt", "P-Asserted-Identity"), *lines_of("invite-two-identities.txt", "Privacy"),
                 from_=from_.removeprefix("From: "))
    assert event["Caller-Caller-ID-Number"] == "+15550100"
    assert event["variable_sip_P-Asserted-Identity"] == "+15550100"


@replay("invite-two-diversions.txt")
def test_of_two_diversions_the_last_counts(site, esl):
    said = lines_of("invite-two-diversions.txt", "Diversion")
    assert len(said) == 2
    assert park(site, esl, *said)["variable_sip_h_Diversion"] == said[1].removeprefix("Diversion: ")


@replay("invite-no-user-in-from.txt")
@pytest.mark.parametrize("given", (None, "", "'12 34'"))
def test_a_caller_without_a_number_is_sent_on(site, esl, given):
    carrier = site.carrier()
    if given is None:
        from_, = lines_of("invite-no-user-in-from.txt", "From")
        near = site.phone().invite("carrier-100", from_=from_.removeprefix("From: "))
    else:
        assert f"origination_caller_id_number={given}" in said_of("invite-no-user-in-from.txt")
        esl.command(f"bgapi originate {{origination_caller_id_number={given}}}sofia/open/x@127.0.0.1:{carrier.port} &park")
    far = carrier.accept()
    user = "" if not given else "12%2034@"
    assert re.search(rf"<sip:{user}127\.0\.0\.1(:\d+)?>", far.request["from"]), far.request["from"]
    far.answer()
    if given is None:
        near.wait(200)
        near.hangup()
    else:
        esl.wait_event("CHANNEL_PARK")
        esl.api("hupall")
    far.wait_end()


@replay("dialstring-header.xml")
def test_a_header_in_a_dial_string_is_one_value(site, esl):
    said = re.search(r"X-Foo: (.*?)\s{2,}Right", said_of("dialstring-header.xml"))[1].replace("pwned", str(site.where / "pwned"))
    assert "execute_on_answer" in said
    carrier = site.carrier()
    near = site.phone().invite("b", [f"X-Foo: {said}"])
    far = carrier.accept()
    assert far.request.start.startswith("INVITE sip:777@")
    far.answer()
    event = esl.wait_event("CHANNEL_ANSWER", Call_Direction="outbound").event
    assert event["variable_x_foo"] == said
    assert not [name for name in event if "execute_on_answer" in name]
    near.wait(200)
    near.hangup()
    far.wait_end()
    assert not (site.where / "pwned").exists()


# ---- calls

@replay("hold-resume.txt")
def test_music_ends_when_a_phone_resumes(site, esl):
    near, far, uuid, other = bridged(site, esl)
    said = said_of("hold-resume.txt")
    music = re.search(r"hold_music is (\S+?)\.?\s", said)[1]
    assert (f"{NEAR} Hz" in said, f"{FAR} Hz" in said, str(MUSIC) in music) == (True, True, True)
    for leg in (uuid, other):
        esl.api(f"uuid_setvar {leg} hold_music {music}")
    far.reinvite("sendonly")
    hears(near, MUSIC)
    hears_nothing(far, near, MUSIC)
    far.reinvite("sendrecv")
    hears(near, FAR)
    hears(far, NEAR)
    near.hangup()
    far.wait_end()


def replaces(early):
    """Values for the call `early` in a Refer-To."""
    answer = next(p for p in reversed(early.seen) if p.method == "INVITE" and p.status > 100)
    return {"escaped": early.call_id, "there": re.search(r";tag=([^;>]+)", answer["to"])[1], "here": early.tag}


@replay("refer-while-ringing.txt")
def test_a_ringing_target_is_joined_when_it_answers(site, esl):
    near, far, uuid, other = bridged(site, esl)
    for leg in (uuid, other):
        esl.api(f"uuid_setvar {leg} hold_music {TONE}")
    third = site.phone()
    far.reinvite("sendonly")
    call = far.phone.invite("ring")
    asked = esl.wait_event("CHANNEL_PROGRESS", Channel_Name=f"sofia/open/{far.phone.user}@{far.phone.domain}").event["Unique-ID"]
    run(esl, asked, f"bridge:{dial(third)}")
    ringing = third.accept()
    ringing.ring()
    call.until(lambda p: p.status == 180, "180")
    with_, phone = replaces(call), far.phone
    text = text_of("refer-while-ringing.txt").replace("{b}:5090", f"{phone.ip}:{phone.port}")
    text = filled(text, switch_contact=far.target.removeprefix("sip:"), b=phone.ip, random=secrets.token_hex(6), b_tag=far.tag, switch="%s:%d" % phone.server,
                  switch_tag=re.search(r";tag=([^;>]+)", far.remote)[1], call_of_a_and_b=far.call_id, call_of_b_and_c_escaped=with_["escaped"],
                  switch_tag_2=with_["there"], b_tag_2=with_["here"])
    phone.send(text.replace("\n", "\r\n"), far.address)
    assert far.until(lambda p: p.method == "REFER" and p.status, "answer to REFER").status == 202
    hears(near, MUSIC)
    assert not ringing.ended and not near.ended
    assert not [p for p in far.seen if p.method == "NOTIFY" and "200" in p.body]
    ringing.answer()
    talk(near, ringing, (NEAR, THIRD))
    far.until(lambda p: p.method == "NOTIFY" and "SIP/2.0 200 OK" in p.body, "200")
    far.wait_end()
    near.hangup()
    ringing.wait_end()


@replay("refer-require-replaces.txt")
def test_a_parameter_before_replaces_hides_nothing(site, esl):
    near, far, _, _ = bridged(site, esl)
    far.reinvite("sendonly")
    third = site.phone()
    call = far.phone.invite("park")
    call.wait(200)
    asked = esl.wait_event("CHANNEL_PARK", Answer_State="answered").event["Unique-ID"]
    run(esl, asked, f"bridge:{dial(third)}")
    target = third.accept()
    target.answer()
    talk(call, target, (FAR, THIRD))
    with_ = replaces(call)
    text = text_of("refer-require-replaces.txt").strip()
    for tag in (with_["there"], with_["here"]):
        text = text.replace("{tag}", tag, 1)
    text = filled(text, switch="%s:%d" % far.phone.server, call_id_escaped=with_["escaped"])
    assert far.refer(re.fullmatch(r"Refer-To: <(.*)>", text)[1]).status == 202
    talk(near, target, (NEAR, THIRD))
    far.wait_end()
    call.wait_end()
    assert third.incoming.empty(), "the target was called again"
    near.hangup()
    target.wait_end()


@replay("register-423.txt")
def test_a_registrar_that_wants_longer_gets_it(tmp_path):
    own = Site(tmp_path, tree.small)
    try:
        profile = own.conf / "sip_profiles/open.xml"
        gateway = ('<gateway name="brief"><param name="username" value="u"/><param name="password" value="p"/>'
                   f'<param name="proxy" value="127.0.0.1:{own.block[tree.CARRIER]}"/><param name="expire-seconds" value="600"/></gateway>')
        profile.write_text(profile.read_text().replace("<gateways>", f"<gateways>{gateway}", 1))
        start, more = text_of("register-423.txt").split("\n", 1)
        status, reason = re.fullmatch(r"SIP/2.0 (\d+) (.*)", start).groups()
        registrar, asked, done = own.carrier(), [], threading.Event()
        plain = registrar.reply

        def answer(request, code, words, *rest, **how):
            if request.method != "REGISTER":
                return plain(request, code, words, *rest, **how)
            asked.append(request["expires"])
            if int(request["expires"] or 0) < 1800:
                return plain(request, int(status), reason, more.split("\n")[:1])
            done.set()
            return plain(request, 200, "OK", [f"Expires: {request['expires']}"], tag="r")

        registrar.reply = answer
        own.start()
        assert done.wait(20)
        assert asked[:2] == ["600", "1800"]
        with own.esl() as esl:
            esl.command("event plain CUSTOM sofia::gateway_state")
            if "REGED" not in esl.api("sofia status gateway brief"):
                esl.wait_event("CUSTOM", State="REGED")
    finally:
        own.close()


# ---- trees

# What `check` says of each, and the word it points at.
MISTAKES = {
    "codec-typo.xml": "PCUM",
    "group-not-there.xml": "$2",
    "lost-quote.xml": "",
    "menu-action-typo.xml": "menu-exec-ap",
    "sleep-with-unit.xml": "2s",
    "unclosed-brace.xml": "{",
    "unknown-attribute.xml": "expresion",
    "unknown-element.xml": "acton",
    "unknown-profile.xml": "externel",
    "unloaded-module.xml": "conference",
}


@pytest.mark.skipif(not tree.TREES.is_dir(), reason=f"SKIPPED: no {tree.TREES}")
@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_of_the_collection_is_found_where_it_is(tmp_path, name):
    from harness import ports
    block = ports.claim()
    try:
        conf = tree.vanilla(block, tmp_path)
    finally:
        block.release()
    text = re.sub(r"<!--.*?-->", "", text_of(f"check-mistakes/{name}")).strip()
    if name == "codec-typo.xml":
        file = conf / "vars.xml"
        tree.patch(file, {r'  <X-PRE-PROCESS cmd="set" data="global_codec_prefs=[^\n]*': f"  {text}"})
    elif name == "menu-action-typo.xml":
        file = conf / "ivr_menus/planted.xml"
        file.write_text(f"<include>\n{text}\n</include>\n")
    else:
        file = conf / "dialplan/default/00_planted.xml"
        file.write_text(f"<include>\n{text}\n</include>\n")
    if name == "unloaded-module.xml":
        tree.patch(conf / "autoload_configs/modules.conf.xml", {r'<load module="mod_conference"/>': ""})
    result = subprocess.run([binary(), "check", str(conf), "--json"], capture_output=True, text=True, timeout=60)
    found = [d for d in json.loads(result.stdout)["diagnostics"] if d["severity"] != "info" and d["place"] and d["place"]["file"].endswith(file.name)]
    rows = file.read_text().splitlines()
    pointed = [rows[d["place"]["line"] - 1][d["place"]["column"] - 1:] for d in found]
    at = next(n for n, row in enumerate(rows, 1) if text.splitlines()[0] in row)
    assert any(d["place"]["line"] == at and word.startswith(MISTAKES[name]) for d, word in zip(found, pointed)), (found, pointed)
