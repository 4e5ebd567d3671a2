"""A header list is a list, a value is what it means: what strangers' phones and trunks write, seen at the far end."""
import re

import pytest

from harness import tree


def parked(site, esl, *extra, number="park", **how):
    """A call that parks, and its CHANNEL_PARK."""
    call = site.phone().invite(number, extra, **how)
    call.wait(200)
    event = esl.wait_event("CHANNEL_PARK").event
    call.hangup()
    return event


def dialled(site, esl, where, **how):
    """A call sent on to the carrier; both legs."""
    phone = site.carrier()
    call = site.phone().invite(where, **how)
    return call, phone.accept()


# ---- lists

def test_the_first_identity_that_has_a_number_is_the_caller(site, esl):
    event = parked(site, esl, 'P-Asserted-Identity: "P" <sip:+15550100@example.net>, <tel:+15550100>', "Privacy: id",
                   from_='"Anonymous" <sip:anonymous@anonymous.invalid>')
    assert (event["Caller-Caller-ID-Name"], event["Caller-Caller-ID-Number"]) == ("P", "+15550100")
    assert event["variable_sip_P-Asserted-Identity"] == "+15550100"
    assert (event["variable_sip_from_user"], event["Caller-Privacy-Hide-Number"]) == ("anonymous", "true")
    event = parked(site, esl, 'P-Asserted-Identity: "Only, a name" <sip:example.net>', "P-Asserted-Identity: <tel:+15550199>")
    assert (event["Caller-Caller-ID-Name"], event["Caller-Caller-ID-Number"]) == ("Only, a name", "+15550199")


def test_of_several_diversions_the_last_counts_and_other_headers_are_numbered(site, esl):
    event = parked(site, esl, "Diversion: <sip:15550101@example.net>;reason=unconditional", "X-Note: one",
                   "Diversion: <sip:15550102@example.net>;reason=no-answer", "X-Note: two", "x-note: three")
    assert event["variable_sip_h_Diversion"] == "<sip:15550102@example.net>;reason=no-answer"
    assert [event[f"variable_sip_h_{name}"] for name in ("X-Note", "X-Note-1", "x-note-2")] == ["one", "two", "three"]


def test_lists_over_several_lines_are_one_list(site, esl):
    event = parked(site, esl, "Allow: INVITE,ACK", "Allow: BYE , UPDATE", "Call-Info: <http://a.example/1,2>;purpose=icon, <http://b.example>",
                   "Call-Info: <http://c.example>", "History-Info: <sip:1@h>;index=1", "History-Info: <sip:2@h>;index=1.1",
                   "Accept-Language: de;q=0.5, en", 'Alert-Info: <http://a.example>;info="x,y", <http://b.example>',
                   "Record-Route: <sip:127.0.0.1:9;lr>")
    assert event["variable_sip_allow"] == "INVITE, ACK, BYE, UPDATE"
    assert event["variable_sip_call_info"] == "ARRAY::<http://a.example/1,2>;purpose=icon|:<http://b.example>|:<http://c.example>"
    assert event["variable_sip_history_info"] == "<sip:1@h>;index=1, <sip:2@h>;index=1.1"
    assert event["variable_alert_info"] == '<http://a.example>;info="x,y"'
    assert (event["variable_sip_accept_language"], event["variable_sip_accept_language_0_q"]) == ("de", "0.5")
    assert event["variable_sip_accept_language_count"] == "2"
    assert event["variable_sip_invite_route_uri"] == "<sip:127.0.0.1:9;lr>"


# ---- values

@pytest.mark.parametrize("user, number", [
    ("%2B12025550199", "+12025550199"), ("%2A97", "*97"), ("8%3024", "8024"), ("9%23", "9%23"), ("1%202", "1%202")])
def test_a_number_is_what_its_escapes_mean(fresh, user, number):
    dialplan = fresh.conf / "dialplan/public.xml"
    dialplan.write_text(dialplan.read_text().replace('<context name="public">', '<context name="public"><extension name="all"><condition>'
                                                     '<action application="answer"/><action application="park"/></condition></extension>', 1))
    fresh.start()
    esl = fresh.esl()
    esl.command("event plain ALL")
    call = fresh.phone().invite(user)
    call.wait(200)
    uuid = esl.wait_event("CHANNEL_PARK").event["Unique-ID"]
    assert [esl.api(f"uuid_getvar {uuid} {name}") for name in ("destination_number", "sip_req_user", "sip_to_user")] == [number] * 3
    call.hangup()
    assert not fresh.settle()


def test_quoted_names_keep_their_commas_and_escapes(site, esl):
    near, far = dialled(site, esl, "carrier-100", from_='"Bob \\"B\\", Jr." <sip:+1555;ext=7@example.net>')
    assert far.request["from"].startswith('"Bob \\"B\\", Jr." <sip:+1555@127.0.0.1')
    far.reject(486)
    near.wait(486)


@pytest.mark.parametrize("from_, user", [("<sip:trunk.example.com>", ""), ("<sip:12%2034@trunk.example.com>", "12%2034@")])
def test_callers_without_number_or_with_a_blank_are_bridged(site, esl, from_, user):
    near, far = dialled(site, esl, "carrier-100", from_=from_)
    assert re.search(rf"<sip:{user}127\.0\.0\.1(:\d+)?>", far.request["from"]), far.request["from"]
    far.answer()
    near.wait(200)
    near.rtp.tone(440)
    far.rtp.wait_tone(440)
    near.hangup()
    far.wait_end()


@pytest.mark.parametrize("given, user", [("", ""), ("'12 34'", "12%2034@"), ("9#1", "9%231@")])
def test_calls_are_originated_with_any_number(site, esl, given, user):
    phone = site.phone()
    job = esl.command(f"bgapi originate {{origination_caller_id_number={given}}}sofia/open/x@127.0.0.1:{phone.port} &park").headers["Job-UUID"]
    far = phone.accept()
    assert re.search(rf"<sip:{user}127\.0\.0\.1(:\d+)?>", far.request["from"]), far.request["from"]
    far.answer()
    reply = esl.wait_event("BACKGROUND_JOB", **{"Job-UUID": job}).event_body
    assert reply.startswith("+OK "), reply
    esl.api(f"uuid_kill {reply.split()[1]}")
    far.wait_end()


def test_a_gateway_that_shows_the_caller_shows_its_own_address(site, esl):
    near, far = dialled(site, esl, "carrier-100", from_='"Ann" <sip:4711@elsewhere.example>')
    assert re.match(r'"Ann" <sip:4711@127\.0\.0\.1>;tag=', far.request["from"]), far.request["from"]
    far.reject(486)
    near.wait(486)


# ---- bodies

def test_an_offer_among_other_parts_is_the_offer(site, esl):
    def body(call):
        return "".join(f"--part 1\r\nContent-Type: {kind}\r\n\r\n{part}\r\n" for kind, part in
                       (("application/pidf+xml", '<presence entity="sip:1000@example.net"/>'), ("application/sdp", call.sdp()))) + "--part 1--\r\n"

    call = site.phone().invite("echo", kind='multipart/mixed;boundary="part 1"', sdp=body)
    call.wait(200)
    event = esl.wait_event("CHANNEL_ANSWER").event
    assert 'application/pidf+xml:<presence entity="sip:1000@example.net"/>' in event["variable_sip_multipart"]
    assert event["variable_switch_r_sdp"].startswith("v=0")
    call.rtp.tone(440)
    call.rtp.wait_tone(440)
    call.hangup()


def test_codecs_of_unlike_packet_times_are_all_offered_and_each_can_be_taken(site, esl):
    phone = site.phone()
    job = esl.command(f"bgapi originate {{^^;absolute_codec_string=PCMA@30i,PCMU@20i}}sofia/open/x@127.0.0.1:{phone.port} &echo").headers["Job-UUID"]
    far = phone.accept()
    lines = [line for line in far.request.body.split("\r\n") if line.startswith(("m=", "a=ptime"))]
    port = far.request.media()[1]
    assert lines == [f"m=audio {port} RTP/AVP 8 101 13", "a=ptime:30", f"m=audio {port} RTP/AVP 0 101 13", "a=ptime:20"]
    head, audio = far.sdp().split("m=audio ", 1)
    answer = f"{head}m=audio 0 RTP/AVP 8\r\nm=audio {audio.replace('0 8 101', '0 101').replace('a=rtpmap:8 PCMA/8000', 'a=x')}"
    far.sdp = lambda *_: answer
    far.answer()
    reply = esl.wait_event("BACKGROUND_JOB", **{"Job-UUID": job}).event_body
    assert reply.startswith("+OK "), reply
    far.rtp.tone(440)
    far.rtp.wait_tone(440)
    esl.api(f"uuid_kill {reply.split()[1]}")
    far.wait_end()


@pytest.mark.parametrize("ptime, sent", [(120, 120), (80, 80), (150, 20)])
def test_the_packet_time_answered_is_sent(site, ptime, sent):
    call = site.phone().invite("tone", sdp=lambda call: call.sdp().replace("a=ptime:20", f"a=ptime:{ptime}"))
    assert f"a=ptime:{sent}\r\n" in call.wait(200).body
    call.rtp.wait_packets(5)
    assert {len(payload) for _, payload in call.rtp.packets[1:5]} == {sent * 8}
    call.hangup()


def test_a_further_description_may_be_agreed_to_and_ignored(site):
    with site.esl() as esl:
        esl.command("event plain CHANNEL_PARK CHANNEL_HOLD")
        near = site.phone().invite("park")
        near.wait(200)
        uuid = esl.wait_event("CHANNEL_PARK").event["Unique-ID"]
        esl.api(f"uuid_setvar {uuid} sip_ignore_reinvites true")
        answer = near.reinvite("sendonly")
        assert (answer.status, answer.body) == (200, "")
        esl.api(f"uuid_broadcast {uuid} tone_stream://%(2000,0,700)")
        near.rtp.wait_tone(700, seconds=0.5)            # it is not on hold
        esl.api(f"uuid_setvar {uuid} sip_ignore_reinvites false")
        assert "a=recvonly" in near.reinvite("sendonly").body
        esl.wait_event("CHANNEL_HOLD", Unique_ID=uuid)
        near.hangup()


def test_the_dialplan_may_see_the_host_behind_the_number(fresh):
    tree.patch(fresh.conf / "sip_profiles/open.xml", {r"(?=<param name=\"context\")": '<param name="full-id-in-dialplan" value="true"/>\n    '})
    tree.patch(fresh.conf / "dialplan/public.xml", {r'"\^park\$"': '"^park@127.0.0.1:\\\\d+$"'})
    fresh.start()
    with fresh.esl() as esl:
        esl.command("event plain CHANNEL_PARK")
        near = fresh.phone()
        near.domain = f"127.0.0.1:{fresh.sip(tree.OPEN)[1]}"
        call = near.invite("park")
        call.wait(200)
        assert esl.wait_event("CHANNEL_PARK").event["Caller-Destination-Number"] == f"park@{near.domain}"
        call.hangup()
    assert not fresh.settle()
@pytest.mark.parametrize("kind, more, status", [
    ("text/plain", [], 415), ("application/sdp", ["Content-Encoding: gzip"], 415), ("application/sdp", ["Content-Disposition: render"], 415),
    ("multipart/mixed;boundary=b", [], 406), ("application/sdp", ["Accept: text/html"], 406), ("application/sdp", ["Accept: text/html, application/*;q=0.1"], 200),
    ("Application/SDP ; charset=utf-8", [], 200)])
def test_a_session_is_made_of_a_description(site, kind, more, status):
    body = (lambda call: "--b\r\nContent-Type: application/isup\r\n\r\nx\r\n--b--\r\n") if kind.startswith("multipart") else None
    call = site.phone().invite("echo", more, sdp=body, kind=kind)
    answer = call.until(lambda p: p.status >= 200, "an answer")
    assert answer.status == status, answer.start
    if status != 200:
        assert answer["accept"] == "application/sdp"
        return
    call.rtp.tone(440)
    call.rtp.wait_tone(440)
    # The same within the call, which goes on.
    for method in "INVITE", "UPDATE":
        call.acks = False
        call.cseq += 1
        branch = call.phone.request(method, call.target, call.call_id, call.cseq, call.local, call.remote, body="hello", kind="text/plain", to_address=call.address)
        refused = call.until(lambda p: p.status >= 200 and p["cseq"] == f"{call.cseq} {method}", f"answer to {method}")
        assert (refused.status, refused["accept"]) == (415, "application/sdp")
        if method == "INVITE":
            call.phone.request("ACK", call.target, call.call_id, call.cseq, call.local, call.remote, branch=branch, to_address=call.address)
    call.rtp.wait_tone(440, since=len(call.rtp.packets))
    call.hangup()


def test_lines_of_a_description_may_end_in_carriage_returns_alone(site):
    call = site.phone().invite("echo", sdp=lambda call: call.sdp().replace("\r\n", "\r"))
    call.wait(200)
    call.rtp.tone(440)
    call.rtp.wait_tone(440)
    call.hangup()


def test_who_sent_the_caller_is_told_in_parts(site, esl):
    event = parked(site, esl, 'Referred-By: "R, x" <sip:%2B1555@e.example:5070;a=b>;cid="2@x"')
    assert event["Channel-Name"] == "sofia/open/+1555@e.example:5070"
    told = {name: event.get(f"variable_sip_referred_by_{name}") for name in ("user", "host", "port", "uri", "params", "user_stripped", "cid")}
    assert told == {"user": "+1555", "host": "e.example", "port": "5070", "uri": "+1555@e.example:5070", "params": "a=b", "user_stripped": "1555", "cid": '"2@x"'}


@pytest.mark.parametrize("body, digit, duration", [
    ("Signal=5\r\nDuration=160\r\n", "5", "1280"), ("Signal = 10\nDuration = 0\n", "*", "16000"), ("Signal=#\rDuration=-1", "#", "16000"), ("Signal=7", "7", "2000")])
def test_the_length_of_a_digit_told_by_info(site, esl, body, digit, duration):
    call = site.phone().invite("park")
    call.wait(200)
    uuid = esl.wait_event("CHANNEL_PARK").event["Unique-ID"]
    esl.api(f"uuid_setvar {uuid} rtp_liberal_dtmf true")
    call.cseq += 1
    call.phone.request("INFO", call.target, call.call_id, call.cseq, call.local, call.remote, body=body, kind="application/dtmf-relay", to_address=call.address)
    heard = esl.wait_event("DTMF", Unique_ID=uuid).event
    assert (heard["DTMF-Digit"], heard["DTMF-Duration"]) == (digit, duration)
    call.hangup()
