"""What the Event Socket makes of a live call: messages, locks, resuming, and the forms commands come in."""
import queue
import socket
import uuid

import pytest

from harness import tree
from harness.esl import Client

EXECUTED = "CHANNEL_EXECUTE_COMPLETE"


@pytest.fixture
def app(site):
    """The program behind the `socket` application: `app()` takes the next call."""
    with socket.create_server(("127.0.0.1", site.app_port)) as server:
        server.settimeout(10)
        taken = []

        def take(*commands):
            program = Client(None, None, sock=server.accept()[0])
            taken.append(program)
            program.send("connect")
            program.data = program.read().headers
            for command in commands:
                assert program.command(command).reply.startswith("+OK"), command
            return program
        yield take
        for program in taken:
            program.close()


def originated(site, to="null/x", app="park()"):
    leg = str(uuid.uuid4())
    assert site.switch.api(f"originate {{origination_uuid={leg}}}{to} &{app}") == f"+OK {leg}\n"
    return leg


def message(app, arg="", **headers):
    lines = ["sendmsg", "call-command: execute", f"execute-app-name: {app}"] + [f"execute-app-arg: {arg}"] * bool(arg)
    return "\n".join(lines + [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()])


# ---- messages

def test_locked_messages_run_one_after_the_other_and_unlocked_ones_inside(site):
    leg = originated(site)
    with site.esl() as esl:
        esl.command(f"filter Unique-ID {leg}")
        esl.command(f"event plain CHANNEL_EXECUTE {EXECUTED}")
        esl.execute(leg, "playback", "silence_stream://300", event_lock="true")
        esl.execute(leg, "set", "behind=1", event_lock="true")
        esl.execute(leg, "playback", "silence_stream://300")
        esl.execute(leg, "set", "inside=1")
        seen = []
        while len(seen) < 8:
            event = (esl.events.pop(0) if esl.events else esl.read()).event
            seen.append(("+" if event["Event-Name"] == "CHANNEL_EXECUTE" else "-") + event["Application"])
        assert seen == ["+playback", "-playback", "+set", "-set", "+playback", "+set", "-set", "-playback"]
        esl.api(f"uuid_kill {leg}")


def test_a_message_runs_as_often_as_its_loops_say(site):
    leg = originated(site)
    with site.esl() as esl:
        esl.command(f"filter Unique-ID {leg}")
        esl.command("event plain CHANNEL_EXECUTE PRIVATE_COMMAND")
        esl.execute(leg, "set", "a=1", loops=0)
        esl.wait_event("PRIVATE_COMMAND")
        assert not esl.events, "no loop, nothing run"
        esl.execute(leg, "set", "a=1", loops=5)
        esl.wait_event("PRIVATE_COMMAND")
        assert len(esl.events) == 1, "what returns at once is not repeated"
        esl.api(f"uuid_kill {leg}")


def test_a_body_is_the_argument(site):
    leg = originated(site)
    with site.esl() as esl:
        esl.command(f"event plain {EXECUTED}")
        body = "wörds=a, b\nand c"
        esl.sock.sendall(f"sendmsg {leg}\ncall-command: execute\nexecute-app-name: set\ncontent-type: text/plain\ncontent-length: {len(body.encode())}\n\n{body}".encode())
        assert esl.read().reply == "+OK"
        assert esl.wait_event(EXECUTED, Application="set").event["variable_wörds"] == "a, b\nand c"
        esl.api(f"uuid_kill {leg}")


def test_a_parked_call_is_not_parked_again(site):
    leg = originated(site)
    with site.esl() as esl:
        esl.command(f"filter Unique-ID {leg}")
        esl.command(f"event plain CHANNEL_PARK {EXECUTED}")
        esl.execute(leg, "park")
        esl.wait_event(EXECUTED, Application="park")
        assert not esl.events
        esl.api(f"uuid_kill {leg}")


def test_xferext_gives_the_call_other_applications(site):
    call = site.phone().invite("park")
    call.wait(200)
    with site.esl() as esl:
        leg = esl.api("show channels").split("\n")[1].split(",")[0]
        esl.command("event plain CHANNEL_EXECUTE")
        assert esl.command(f"sendmsg {leg}\ncall-command: xferext\napplication: set way=other\napplication: playback tone_stream://%(300,0,900)\napplication: hangup USER_BUSY").reply == "+OK"
        call.rtp.wait_tone(900, seconds=0.2)
        call.wait_end()
        assert [esl.wait_event("CHANNEL_EXECUTE", Application=name).event["Application-Data"] for name in ("set", "playback", "hangup")] \
            == ["way=other", "tone_stream://%(300,0,900)", "USER_BUSY"]


def test_messages_to_a_call_that_has_hung_up_are_refused(site):
    leg = originated(site)
    with site.esl() as esl:
        esl.command("event plain CHANNEL_DESTROY")
        esl.api(f"uuid_kill {leg}")
        esl.wait_event("CHANNEL_DESTROY")
        assert esl.execute(leg, "set", "a=1").reply == f"-ERR invalid session id [{leg}]"


def test_more_messages_than_a_call_can_hold_cost_the_connection(site):
    leg = originated(site)
    with site.esl() as esl:
        esl.execute(leg, "playback", "silence_stream://-1", event_lock="true")
        esl.sock.sendall((f"sendmsg {leg}\ncall-command: execute\nexecute-app-name: set\nexecute-app-arg: a=1\n\n" * 400).encode())
        answers = []
        while not answers or answers[-1].type != "text/disconnect-notice":
            answers.append(esl.read())
        assert 200 <= len(answers) <= 400 and all(answer.reply == "+OK" for answer in answers[:-1])
    site.switch.api(f"uuid_kill {leg}")


# ---- outbound

def test_the_dialplan_goes_on_when_a_resuming_program_leaves_its_bridge(site, app):
    carrier = site.carrier()
    call = site.phone().invite("app-then")
    call.wait(200)
    program = app("resume")
    program.command(message("bridge", "sofia/gateway/carrier/100"))
    far = carrier.accept()
    far.answer()
    far.rtp.tone(600)
    call.rtp.wait_tone(600)
    program.close()
    far.wait_end()
    call.rtp.wait_tone(500)
    call.hangup()


def test_without_resume_a_bridge_outlives_its_program(site, app):
    carrier = site.carrier()
    call = site.phone().invite("app-then")
    call.wait(200)
    program = app()
    program.command(message("bridge", "sofia/gateway/carrier/100"))
    far = carrier.accept()
    far.answer()
    program.close()
    far.rtp.tone(600)
    call.rtp.wait_tone(600)
    far.hangup()
    call.rtp.wait_tone(500)
    call.hangup()


def test_a_synchronous_program_can_ask_something_of_its_own_call(site, app):
    call = site.phone().invite("app-sync")
    program = app()
    assert program.data["Socket-Mode"] == "static"
    leg = program.data["Unique-ID"]
    assert program.api(f"uuid_answer {leg}").startswith("+OK")
    call.wait(200)
    assert program.command("getvar endpoint_disposition").reply == "ANSWER"
    program.command("exit")
    call.wait_end()


def test_a_lingering_program_keeps_its_connection_and_messages_do_nothing(site, app):
    call = site.phone().invite("app")
    program = app("linger", f"event plain CHANNEL_HANGUP_COMPLETE")
    program.command(message("answer"))
    call.wait(200)
    call.hangup()
    assert program.wait_event("CHANNEL_HANGUP_COMPLETE").event["Hangup-Cause"] == "NORMAL_CLEARING"
    notice = program.read()
    assert (notice.headers["Content-Disposition"], notice.headers["Linger-Time"], notice.headers["Content-Length"]) == ("linger", "-1", "0")
    assert program.command(message("set", "late=1")).reply == "+OK"
    assert program.command("exit").reply == "+OK bye"
    notice = program.read()
    assert (notice.type, notice.headers["Content-Disposition"]) == ("text/disconnect-notice", "disconnect")


def test_values_in_the_connect_reply_can_always_be_decoded(site, app):
    call = site.phone().invite("app", extra=["X-Odd: 100% %E9 %C3%A9 \u00fc"])
    program = app()
    assert program.data["variable_sip_h_X-Odd"] == "100%25%20%25E9%20%C3%A9%20%C3%BC"
    assert program.data["Reply-Text"] == "%2BOK%0A"
    program.command("exit")
    call.wait(480)


def test_diverted_digits_come_without_a_subscription_to_them(site, app):
    call = site.phone().invite("app-answered")
    call.wait(200)
    program = app("event plain HEARTBEAT", "divert_events on")
    call.rtp.digits("5")
    assert program.wait_event("DTMF").event["DTMF-Digit"] == "5"
    program.command("exit")
    call.wait_end()


# ---- events that become SIP requests

def requests_to(phone):
    """What the phone is asked outside its calls, as it comes; the phone answers as it does."""
    asked, reply = queue.Queue(), phone.reply

    def listening(request, *rest, **more):
        asked.put(request)
        reply(request, *rest, **more)
    phone.reply = listening
    return asked


def test_a_registered_phone_is_told_what_an_event_says(site):
    phone = site.phone(tree.AUTH, user="1000", password="one-thousand", domain="test.example")
    assert phone.register().status == 200
    asked = requests_to(phone)
    with site.esl() as esl:
        to = "profile: auth\nuser: 1000\nhost: test.example"
        assert esl.command(f"sendevent NOTIFY\n{to}\nevent-string: check-sync;reboot=false\ncontent-type: text/plain\nextra-headers: X-Why: test").reply.startswith("+OK ")
        notify = asked.get(timeout=10)
        assert (notify.method, notify["event"], notify["subscription-state"], notify["x-why"]) == ("NOTIFY", "check-sync;reboot=false", "terminated;reason=noresource", "test")
        esl.sock.sendall(f"sendevent SEND_MESSAGE\n{to}\ncontent-type: text/plain\nsubject: lunch\nContent-Length: 5\n\nsoup?".encode())
        assert esl.read().reply.startswith("+OK ")
        message = asked.get(timeout=10)
        assert (message.method, message["subject"], message["content-type"], message.body) == ("MESSAGE", "lunch", "text/plain", "soup?")
    assert phone.register(expires=0).status == 200


def test_an_address_is_told_what_an_event_says(site):
    phone = site.phone(user="far")
    asked = requests_to(phone)
    with site.esl() as esl:
        where = f"sip:far@127.0.0.1:{phone.port}"
        esl.command(f"sendevent NOTIFY\nprofile: open\nto-uri: sip:far@example.org\nfrom-uri: sip:near@example.org\ncontact-uri: {where}\ncall-id: chosen-1\nno-sub-state: true\nevent-string: talk\ncontent-type: text/plain")
        notify = asked.get(timeout=10)
        assert (notify["call-id"], notify["event"], notify["subscription-state"]) == ("chosen-1", "talk", "")
        assert "far@example.org" in notify["to"] and "near@example.org" in notify["from"] and where in notify.start
        esl.command(f"sendevent SEND_INFO\nprofile: open\nto-uri: {where}\nfrom-uri: sip:near@example.org\nalert-info: <urn:alert>\ncontent-type: text/plain")
        info = asked.get(timeout=10)
        assert (info.method, info["alert-info"]) == ("INFO", "<urn:alert>")


def test_a_call_is_told_what_an_event_says(site):
    call = site.phone().invite("park")
    call.wait(200)
    with site.esl() as esl:
        leg = esl.api("show channels").split("\n")[1].split(",")[0]
        esl.command(f"sendevent NOTIFY\nuuid: {leg}\nevent-string: talk\ncontent-type: text/plain")
        assert call.until(lambda p: p.method == "NOTIFY" and not p.status, "NOTIFY")["event"] == "talk"
        esl.sock.sendall(f"sendevent SEND_MESSAGE\nuuid: {leg}\ncontent-type: text/plain\nContent-Length: 2\n\nhi".encode())
        assert esl.read().reply.startswith("+OK ")
        assert call.until(lambda p: p.method == "MESSAGE" and not p.status, "MESSAGE").body == "hi"
        esl.sock.sendall(f"sendevent SEND_INFO\nprofile: open\ncall-id: {call.call_id}\ncontent-type: text/plain\nContent-Length: 2\n\nho".encode())
        assert esl.read().reply.startswith("+OK ")
        assert call.until(lambda p: p.method == "INFO" and not p.status, "INFO").body == "ho"
        assert esl.api(f"uuid_phone_event {leg} hold") == "+OK Success\n"
        assert call.until(lambda p: p.method == "NOTIFY" and p["event"] == "hold", "hold")["subscription-state"] == "active"
    call.hangup()


# ---- the form of commands

def test_commands_in_any_case_line_ends_and_pieces(site):
    with site.esl() as esl:
        for byte in b"\r\n\nAPI echo \xc3\xbcber\r\n\r\n\n\nBGAPI echo x\njob-uuid:  j7 \r\n\r\n":
            esl.sock.sendall(bytes([byte]))
        assert esl.read().body == "über"
        assert esl.read().headers["Job-UUID"] == "j7 "


def test_a_body_belongs_to_any_command(site):
    with site.esl() as esl:
        esl.sock.sendall(b"api echo one\nContent-Length: 9\n\nexit\n\nxx\napi echo two\n\n")
        assert [esl.read().body for _ in range(2)] == ["one", "two"]


def test_unknown_commands_are_announced_too(site):
    with site.esl() as esl:
        esl.command("event plain API")
        assert esl.api("nosuch a b") == "-ERR nosuch Command not found!\n"
        assert esl.wait_event("API", API_Command="nosuch").event["API-Command-Argument"] == "a b"


def test_an_event_named_for_a_call_goes_to_its_diverting_program(site, app):
    call = site.phone().invite("app-answered")
    call.wait(200)
    program = app("event plain HEARTBEAT", "divert_events on")
    with site.esl() as other:
        assert other.command(f"sendevent CUSTOM\nEvent-Subclass: shop::order\nunique-id: {program.data['Unique-ID']}").reply.startswith("+OK ")
    assert program.read().event["Event-Subclass"] == "shop::order"
    program.command("exit")
    call.wait_end()
