"""Voicemail end to end: a tone is left and heard, phones' lamps, mail, and messages that survive the end of the process."""
import queue
import re
import subprocess
import sys
import time

import pytest

from harness import audio, services, tree
from harness.services import until

NEW, PROMPT = 700, 300          # Hz: what callers say, what prompts are
SMTP, DATABASE = 70, 71
MACROS = ("abort ack choose_greeting choose_greeting_fail config_menu disk_quota_exceeded enter_id enter_pass fail_auth goodbye hello"
          " invalid_extension listen_file_check menu message_count play_greeting record_file_check record_message record_urgent_check"
          " say_date say_message_number").split()
CONF = """<include>
<configuration name="voicemail.conf"><settings>{settings}</settings><profiles><profile name="default">
  <param name="storage-dir" value="{where}/boxes"/><param name="min-record-len" value="1"/><param name="digit-timeout" value="3000"/>
  <param name="record-silence-threshold" value="0"/><param name="max-record-len" value="30"/>{params}
  <email>{email}</email></profile></profiles></configuration>
</include>"""
DIALPLAN = """<extension name="leave"><condition field="destination_number" expression="^leave-(\\d+)$"><action application="answer"/>
    <action application="set" data="skip_greeting=${{sip_h_X-Quick}}"/><action application="set" data="skip_instructions=${{sip_h_X-Quick}}"/>
    <action application="voicemail" data="default {domain} $1"/><action application="hangup"/></condition></extension>
  <extension name="check"><condition field="destination_number" expression="^check-(\\d+)$"><action application="answer"/>
    <action application="voicemail" data="check auth default {domain} $1"/><action application="hangup"/></condition></extension>"""


def lay_out(site, params="", settings="", owner="", email=""):
    """Voicemail on the small tree, its prompts tones, and a user 1000 with further parameters."""
    macros = "".join(f'<macro name="voicemail_{name}"><input pattern="^(.*)$"><match><action function="play-file"'
                     f' data="{{said={name}}}tone_stream://%(400,0,{PROMPT})"/></match></input></macro>' for name in MACROS)
    language = f'<language name="en" say-module="en" sound-prefix="/nowhere"><phrases><macros>{macros}</macros></phrases></language>'
    main = site.conf / "freeswitch.xml"
    main.write_text(main.read_text().replace("</document>", f'<section name="languages">{language}</section></document>'))
    (site.conf / "autoload_configs/voicemail.conf.xml").write_text(
        CONF.format(where=site.where, params=params, settings=settings, email=email))
    modules = site.conf / "autoload_configs/modules.conf.xml"
    modules.write_text(modules.read_text().replace("</modules>", '<load module="mod_voicemail"/></modules>'))
    domain = re.search(r'domain=([^"]+)"', (site.conf / "vars.xml").read_text())[1]
    tree.patch(site.conf / "dialplan/public.xml", {r'<context name="public">': '<context name="public">' + DIALPLAN.format(domain=domain).replace("\\", "\\\\")})
    tree.patch(site.conf / "directory/users.xml", {
        r'<param name="password" value="one-thousand"/>': rf'<param name="password" value="one-thousand"/>{owner}'})
    site.domain = domain
    site.start()
    return site


def count(site, user=1000):
    return site.switch.api(f"vm_boxcount {user}@{site.domain}|all")


def messages(site, user=1000):
    return [line.split(":") for line in site.switch.api(f"vm_list {user}@{site.domain}").splitlines() if line.count(":") > 8]


class Listening:
    """A client that sees what is said and recorded."""

    def __init__(self, site):
        self.esl = site.esl(timeout=20)
        self.esl.command("event plain PLAYBACK_START RECORD_START RECORD_STOP MESSAGE_WAITING")

    def said(self, name):
        self.esl.wait_event("PLAYBACK_START", said=name)

    def recording(self):
        return self.esl.wait_event("RECORD_START").event["Record-File-Path"]


def leave(site, listening, seconds=3, keys="#", quick=True, user=1000, from_=None):
    """A caller speaks a tone for a message; the call."""
    call = site.phone().invite(f"leave-{user}", extra=["X-Quick: true"] if quick else [], from_=from_)
    call.wait(200)
    call.rtp.tone(NEW)
    listening.recording()
    time.sleep(seconds)
    call.rtp.digits(keys)
    return call


def check(site, listening, user=1000):
    """The owner listens to the first new message; the call, at the question what to do with it."""
    call = site.phone().invite(f"check-{user}")
    call.wait(200)
    listening.said("say_message_number")
    call.rtp.wait_tone(NEW, seconds=1.5, timeout=15)
    listening.said("listen_file_check")
    return call


def test_a_tone_is_left_and_heard(fresh):
    site = lay_out(fresh)
    listening = Listening(site)
    left = leave(site, listening, quick=False)
    listening.said("record_file_check")
    left.rtp.wait_tone(PROMPT, seconds=1)                # greeting, instructions and question were heard around it
    left.rtp.digits("2")
    listening.said("record_urgent_check")
    left.rtp.digits("*")
    left.wait_end(timeout=15)
    assert count(site) == "1:0:1:0"
    heard = check(site, listening)
    heard.rtp.digits("7")
    listening.said("ack")
    heard.rtp.wait_tone(PROMPT, seconds=0.3)
    listening.said("menu")
    assert count(site) == "0:0:0:0"
    heard.rtp.digits("#")
    heard.wait_end(timeout=15)
    assert not site.settle()


@pytest.mark.parametrize("when", ["at the tone", "after a moment", "within the message", "at the question", "at the thanks"])
def test_what_was_said_before_the_process_was_killed_is_there_after_it(fresh, when):
    site = lay_out(fresh)
    listening = Listening(site)
    call = site.phone().invite("leave-1000", extra=["X-Quick: true"])
    call.wait(200)
    call.rtp.tone(NEW)
    path = listening.recording()
    said = {"at the tone": 0, "after a moment": 0.4}.get(when, 3.2)
    time.sleep(said)
    if when.startswith("at the") and when != "at the tone":
        call.rtp.digits("#")
        listening.said("record_file_check")
        if when == "at the thanks":
            call.rtp.digits("2")
            listening.said("ack")
    site.switch.process.kill()
    site.switch.process.wait()
    for phone in site.phones:
        phone.close()
    site.phones.clear()
    site.start()
    if said < 1:
        # Too short for a message: nothing of it is left, neither row nor file.
        assert count(site) == "0:0:0:0"
        until(lambda: not list((site.where / "boxes").rglob("msg_*")), "no file")
        return
    [message] = messages(site)
    assert message[5] == path
    # The file grows twice a second.
    assert int(said - 1) <= int(message[9]) <= said + 1, message
    samples, rate = audio.read_wav(path)
    assert audio.seconds_of(NEW, samples, rate) > said - 1
    check(site, Listening(site)).hangup()
    assert count(site) == "0:1:0:0" or count(site) == "1:0:0:0"
    # A third start finds nothing more to do.
    site.switch.stop(remove=False)
    site.start()
    assert len(messages(site)) == 1


def test_phones_learn_what_is_in_their_boxes(fresh, tmp_path):
    site = lay_out(fresh)
    phone = site.phone(tree.AUTH, user="1000", password="one-thousand", domain=site.domain)
    told, plain = queue.Queue(), phone.reply

    def reply(request, *rest, **more):
        if request.method == "NOTIFY":
            told.put(request)
        plain(request, *rest, **more)

    phone.reply = reply
    assert phone.register().status == 200
    first = told.get(timeout=10)
    assert first["event"] == "message-summary" and first["subscription-state"].startswith("terminated")
    assert first.body == f"Messages-Waiting: no\r\nMessage-Account: sip:1000@{site.domain}\r\n\r\n"
    audio.write_wav(tmp_path / "m.wav", audio.sine(NEW, 2))
    assert site.switch.api(f"vm_inject 1000@{site.domain}@default {tmp_path}/m.wav 5 Five") == "+OK\n"
    assert "Messages-Waiting: yes\r\n" in (body := told.get(timeout=10).body) and "Voice-Message: 1/0\r\n" in body
    site.switch.api(f"vm_read 1000@{site.domain} read")
    assert "Voice-Message: 0/1\r\n" in told.get(timeout=10).body
    site.switch.api(f"vm_delete 1000@{site.domain}")
    assert "Voice-Message: 0/0\r\n" in told.get(timeout=10).body


SINK = """
import sys, time
from aiosmtpd.controller import Controller
class Sink:
    async def handle_DATA(self, server, session, envelope):
        n = len(list(__import__('pathlib').Path(sys.argv[2]).glob('*.eml')))
        path = __import__('pathlib').Path(sys.argv[2]) / f'{n}.eml'
        path.with_suffix('.part').write_bytes(f'{envelope.mail_from} {",".join(envelope.rcpt_tos)}\\n'.encode() + envelope.content)
        path.with_suffix('.part').rename(path)
        return '250 OK'
Controller(Sink(), hostname='127.0.0.1', port=int(sys.argv[1])).start()
print('ready', flush=True)
time.sleep(600)
"""
OWNER = ('<param name="vm-mailto" value="owner@mail.test"/><param name="vm-email-all-messages" value="true"/>'
         '<param name="vm-attach-file" value="true"/>')
EMAIL = ('<param name="email-from" value="${voicemail_account}@${voicemail_domain}"/>'
         "<headers><![CDATA[From: Voicemail <vm@mail.test>\nTo: <${voicemail_email}>\nSubject: From ${voicemail_caller_id_name}"
         " (${voicemail_message_len})]]></headers><body><![CDATA[Call ${voicemail_caller_id_number}, ${voicemail_total_new_messages} new]]></body>")
HOSTILE = '"x\\"; DROP TABLE voicemail_msgs;-- Bcc: evil@x.test ${system touch pwned} $(touch pwned) `id`" <sip:o\'neil@127.0.0.1>'


def letter(folder):
    import email
    path = until(lambda: next(iter(folder.glob("*.eml")), None), "a letter")
    envelope, _, rest = path.read_bytes().partition(b"\n")
    return envelope.decode(), email.message_from_bytes(rest)


def read_letter(site, folder, listening):
    call = leave(site, listening, from_=HOSTILE)
    listening.said("record_file_check")
    call.hangup()
    envelope, mail = letter(folder)
    assert mail["To"] == "<owner@mail.test>" and mail["Bcc"] is None
    assert mail["Subject"].startswith("From x") and "DROP TABLE" in mail["Subject"] and "system touch pwned" in mail["Subject"]
    # A busy machine begins to record late.
    assert mail["X-Voicemail-Length"] in ("2", "3", "4")
    text, sound = mail.get_payload()
    assert text.get_payload().strip().endswith("1 new")
    data = sound.get_payload(decode=True)
    assert sound.get_content_type() == "audio/x-wav" and data[:4] == b"RIFF"
    (folder / "got.wav").write_bytes(data)
    assert audio.seconds_of(NEW, *audio.read_wav(folder / "got.wav")) > 2
    assert not list(site.where.rglob("pwned")) and not list(site.conf.rglob("pwned"))
    return envelope


def test_a_message_is_mailed_to_a_server_of_ours(fresh, tmp_path):
    pytest.importorskip("aiosmtpd")
    port = fresh.block[SMTP]
    sink = subprocess.Popen([sys.executable, "-c", SINK, str(port), str(tmp_path)], stdout=subprocess.PIPE, text=True)
    try:
        assert sink.stdout.readline() == "ready\n"
        settings = f'<param name="smtp-server" value="127.0.0.1:{port}"/><param name="smtp-tls" value="none"/>'
        site = lay_out(fresh, settings=settings, owner=OWNER, email=EMAIL)
        envelope = read_letter(site, tmp_path, Listening(site))
        assert envelope == f"1000@{site.domain} owner@mail.test"
        assert count(site) == "1:0:0:0"
    finally:
        sink.kill()
        sink.wait()


def test_a_message_is_mailed_by_a_program(fresh, tmp_path):
    program = tmp_path / "mailer"
    program.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/one.part; cat >> {tmp_path}/one.part; mv {tmp_path}/one.part {tmp_path}/one.eml\n')
    program.chmod(0o755)
    switch = fresh.conf / "autoload_configs/switch.conf.xml"
    switch.write_text(switch.read_text().replace("</settings>", f'<param name="mailer-app" value="{program}"/></settings>'))
    site = lay_out(fresh, owner=OWNER, email=EMAIL)
    envelope = read_letter(site, tmp_path, Listening(site))
    assert envelope == f"-f 1000@{site.domain} -t owner@mail.test"


def test_the_only_copy_stays_when_the_mail_cannot_go(fresh, tmp_path):
    switch = fresh.conf / "autoload_configs/switch.conf.xml"
    switch.write_text(switch.read_text().replace("</settings>", '<param name="mailer-app" value="/bin/false"/></settings>'))
    site = lay_out(fresh, owner=OWNER + '<param name="vm-keep-local-after-email" value="false"/>')
    audio.write_wav(tmp_path / "m.wav", audio.sine(NEW, 2))
    assert site.switch.api(f"vm_inject 1000@{site.domain}@default {tmp_path}/m.wav 5 Five") == "+OK\n"
    until(lambda: count(site) == "1:0:0:0", "the message in the box")


@pytest.mark.skipif(services.needs("postgres", "initdb", "psql") is not None, reason="PostgreSQL is not installed")
def test_messages_are_kept_in_postgresql(fresh):
    database = services.Postgres(fresh.block[DATABASE]).start()
    try:
        database.ask("CREATE DATABASE vm")
        dsn = f"pgsql://host=127.0.0.1 port={database.port} user=switch dbname=vm"
        site = lay_out(fresh, params=f'<param name="odbc-dsn" value="{dsn}"/>')
        listening = Listening(site)
        leave(site, listening)
        listening.said("record_file_check")
        [call] = [call for phone in site.phones for call in phone.calls]
        call.hangup()
        until(lambda: count(site) == "1:0:0:0", "the message")
        asked = "SELECT username, domain, in_folder, read_flags, forwarded_by FROM voicemail_msgs"
        assert database.ask(asked, "vm") == [["1000", site.domain, "inbox", "B_NORMAL", ""]]
        assert database.ask("SELECT count(*) FROM voicemail_unfinished", "vm") == [["0"]]
        assert site.switch.api(f"vm_fsdb_pref_password_set default {site.domain} 1000 o'neil") == "-OK\n"
        assert site.switch.api(f"vm_prefs 1000@{site.domain}|password") == "o'neil"
        check(site, listening).hangup()
    finally:
        database.stop()


def test_messages_are_mp3_where_that_is_wanted(fresh):
    site = lay_out(fresh, params='<param name="file-extension" value="mp3"/>')
    listening = Listening(site)
    left = leave(site, listening)
    listening.said("record_file_check")
    left.hangup()
    until(lambda: count(site) == "1:0:0:0", "message")
    message, = (site.where / "boxes").rglob("msg_*.mp3")
    assert message.read_bytes()[:3] == b"ID3", "the tag says whose message it is"
    heard = check(site, listening)
    heard.hangup()
    assert not site.settle()
