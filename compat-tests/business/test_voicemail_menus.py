"""mod_voicemail_ivr end to end: an owner hears a message by menus of a configuration, keeps another, and records a greeting."""
import re
import time

from harness import audio, office
from harness.services import until

NEW, PROMPT, GREETING = 700, 300, 500       # Hz: the message, what phrases are, what the owner says
DEEDS = {"auth_login": "auth_login", **{f"msg_{deed}": f"msg_{deed}" for deed in "list count delete undelete save purge get forward".split()},
         **{f"pref_{deed}": f"pref_{deed}" for deed in "greeting_set greeting_get recname_set password_set".split()}}
MENUS = """
<menu name="std_authenticate"><phrases><phrase name="fail_auth" value="fail@ivr"/></phrases><keys/></menu>
<menu name="std_authenticate_ask_password"><phrases><phrase name="instructions" value="pass@ivr"/></phrases>
  <keys><key dtmf="#" action="ivrengine:terminate_entry"/></keys></menu>
<menu name="std_main_menu"><settings><param name="Action-On-New-Message" value="new_msg:std_navigator"/></settings>
  <phrases><phrase name="msg_count" value="count@ivr"/><phrase name="menu_options" value="menu@ivr"/></phrases>
  <keys><key dtmf="1" action="new_msg:std_navigator"/><key dtmf="5" action="menu:std_record_greeting_with_slot"/><key dtmf="#" action="return"/></keys></menu>
<menu name="std_navigator"><phrases><phrase name="menu_options" value="listen@ivr"/><phrase name="ack" value="ack@ivr"/><phrase name="play_message" value="message@ivr"/></phrases>
  <keys><key dtmf="7" action="delete_msg"/><key dtmf="6" action="next_msg"/><key dtmf="#" action="return"/></keys></menu>
<menu name="std_record_greeting_with_slot"><phrases><phrase name="instructions" value="slot@ivr"/><phrase name="selected_slot" value="selected@ivr"/></phrases><keys/></menu>
<menu name="std_record_greeting"><phrases><phrase name="instructions" value="record@ivr"/><phrase name="menu_options" value="check@ivr"/></phrases>
  <keys><key dtmf="2" action="save"/><key dtmf="4" action="rerecord"/></keys></menu>
"""


def lay_out(site):
    said = "".join(f'<macro name="{name}"><input pattern=".*"><match><action function="play-file" data="{{said={name}}}tone_stream://%(400,0,{PROMPT})"/>'
                   "</match></input></macro>" for name in "fail pass count menu listen ack slot selected record check".split())
    message = ('<macro name="message"><input field="${VM-Message-Caller-Number}" pattern="^(\\d+)$"><match>'
               '<action function="play-file" data="{said=message_of_$1}${VM-Message-File-Path}"/></match></input></macro>')
    language = ('<language name="en" say-module="en" sound-prefix="/nowhere"><phrases><macros/>'
                f'<macros name="ivr">{said}{message}</macros></phrases></language>')
    main = site.conf / "freeswitch.xml"
    main.write_text(main.read_text().replace("</document>", f'<section name="languages">{language}</section></document>'))
    files = site.conf / "autoload_configs"
    (files / "voicemail.conf.xml").write_text(
        f'<configuration name="voicemail.conf"><settings/><profiles><profile name="default"><param name="storage-dir" value="{site.where}/boxes"/>'
        "</profile></profiles></configuration>")
    apis = "".join(f'<api name="{name}" value="vm_fsdb_{command}"/>' for name, command in DEEDS.items())
    (files / "voicemail_ivr.conf.xml").write_text(
        '<configuration name="voicemail_ivr.conf"><profiles><profile name="default"><settings><param name="IVR-Entry-Timeout" value="8000"/>'
        f'<param name="Record-Silence-Threshold" value="0"/></settings><apis>{apis}</apis><menus>{MENUS}</menus></profile></profiles></configuration>')
    office.with_modules(site.conf, "mod_voicemail", "mod_voicemail_ivr")
    site.domain = re.search(r'domain=([^"]+)"', (site.conf / "vars.xml").read_text())[1]
    office.with_extensions(site.conf, {"mailbox": [("answer", ""), ("voicemail_ivr", f"check default {site.domain} 1000"), ("playback", f"tone_stream://%(3000,0,{PROMPT * 3})"), ("hangup", "")]})
    return site.start()


def test_messages_are_heard_and_deleted_by_menus_of_the_configuration(fresh, tmp_path):
    site = lay_out(fresh)
    for name, seconds in (("one", 3), ("two", 2)):
        audio.write_wav(tmp_path / f"{name}.wav", audio.sine(NEW, seconds))
        assert site.switch.api(f"vm_inject 1000@{site.domain}@default {tmp_path}/{name}.wav 555 {name}") == "+OK\n"
        time.sleep(1.1)     # the order of messages is that of seconds
    assert site.switch.api(f"vm_fsdb_pref_password_set default {site.domain} 1000 2468") == "-OK\n"
    esl = site.esl(timeout=office.PATIENCE)
    esl.command("event plain PLAYBACK_START RECORD_START RECORD_STOP")
    heard = lambda name: esl.wait_event("PLAYBACK_START", said=name)       # noqa: E731
    call = site.phone().invite("mailbox")
    call.wait(200)
    heard("pass")
    call.rtp.wait_tone(PROMPT, seconds=0.3)
    call.rtp.digits("9999#")
    heard("fail")
    heard("pass")
    call.rtp.digits("2468#")
    heard("count")
    heard("message_of_555")
    call.rtp.wait_tone(NEW, seconds=1, timeout=15)
    heard("listen")
    call.rtp.digits("7")
    heard("ack")
    heard("listen")
    call.rtp.digits("6")
    heard("message_of_555")
    call.rtp.wait_tone(NEW, seconds=1, timeout=15)
    heard("listen")
    assert len(list((site.where / "boxes").rglob("msg_*.wav"))) == 2
    call.rtp.digits("#")
    heard("menu")
    # A greeting of the owner's own.
    call.rtp.tone(GREETING)
    call.rtp.digits("5")
    heard("slot")
    call.rtp.digits("2")
    heard("record")
    esl.wait_event("RECORD_START")
    time.sleep(2.5)
    call.rtp.digits("2")
    esl.wait_event("RECORD_STOP")
    heard("check")
    call.rtp.digits("2")
    heard("selected")
    heard("menu")
    call.rtp.digits("#")
    call.rtp.wait_tone(PROMPT * 3, seconds=1, timeout=15)           # the dialplan goes on
    call.wait_end(timeout=15)
    until(lambda: len(list((site.where / "boxes").rglob("msg_*.wav"))) == 1, "the deleted message gone")
    # The command keeps it below the switch's storage, whatever the profile's storage-dir.
    [greeting] = site.where.rglob(f"voicemail/default/{site.domain}/1000/greeting_2.wav")
    assert audio.seconds_of(GREETING, *audio.read_wav(greeting)) > 1
    esl.close()
    assert not site.settle()
