"""`detect_speech`, `play_and_detect_speech` and transcripts, against servers that recognise speech by their own protocols."""
import json
import pathlib
import re
import shutil
import subprocess
import time

import pytest

from harness import audio
from harness.recogniser import Jambonz, Live, Transcriptions, Vosk


@pytest.fixture
def esl(site):
    client = site.esl()
    client.command("event plain ALL")
    yield client
    client.close()


@pytest.fixture
def servers():
    """Starts servers that end with the test."""
    made = []

    def start(kind, *more, **named):
        made.append(kind(*more, **named))
        return made[-1]
    yield start
    for server in made:
        server.close()


@pytest.fixture
def engine(site, esl):
    """Configures engines: name, then their parameters."""
    path = pathlib.Path(site.conf) / "autoload_configs" / "recognition.conf.xml"

    def configure(**engines):
        params = lambda p: "".join(f'<param name="{k.replace("_", "-")}" value="{v}"/>' for k, v in p.items())
        body = "".join(f'<engine name="{name}">{params(p)}</engine>' for name, p in engines.items())
        path.write_text(f'<configuration name="recognition.conf"><engines>{body}</engines></configuration>')
        assert "+OK" in esl.api("reloadxml")
    yield configure
    path.unlink(missing_ok=True)
    esl.api("reloadxml")


@pytest.fixture(scope="module")
def speech(tmp_path_factory):
    """A sentence spoken by espeak-ng, at 8000 Hz."""
    if not shutil.which("espeak-ng") or not shutil.which("sox"):
        pytest.skip("SKIPPED: no espeak-ng and sox")
    folder = tmp_path_factory.mktemp("speech")
    subprocess.run(["espeak-ng", "-w", folder / "a.wav", "please call my sister tomorrow"], check=True)
    subprocess.run(["sox", folder / "a.wav", "-r", "8000", "-c", "1", "-b", "16", folder / "b.wav"], check=True)
    return audio.read_wav(str(folder / "b.wav"))[0]


def caller(site, esl):
    call = site.phone().invite("park")
    call.wait(200)
    return call, esl.wait_event("CHANNEL_PARK").event["Unique-ID"]


def detected(esl, uuid, kind):
    return esl.wait_event("DETECTED_SPEECH", Unique_ID=uuid, Speech_Type=kind)


def done(esl, uuid, app):
    return esl.wait_event("CHANNEL_EXECUTE_COMPLETE", Unique_ID=uuid, Application=app).event


def variable(esl, uuid, name):
    return esl.api(f"uuid_getvar {uuid} {name}")


def run(esl, uuid, app, data):
    esl.execute(uuid, app, data)
    return done(esl, uuid, app)


def test_detect_speech_tells_the_beginning_the_words_and_the_end(site, esl, servers, engine, speech):
    vosk = servers(Vosk, "please call my sister", "and my brother")
    engine(vosk={"url": vosk.url, "partial-results": "true"})
    call, uuid = caller(site, esl)
    esl.api(f"uuid_setvar {uuid} fire_asr_events true")
    run(esl, uuid, "detect_speech", "vosk default default")
    vosk.accept()
    assert vosk.wait_object()["config"]["sample_rate"] == 8000
    call.rtp.say(speech)
    detected(esl, uuid, "begin-speaking")
    assert detected(esl, uuid, "detected-partial-speech").event_body == "please"
    result = detected(esl, uuid, "detected-speech")
    assert result.event_body == "please call my sister" and result.event["ASR-Confidence"] == "0.90"
    told = esl.wait_event("CUSTOM", Event_Subclass="switch::transcript", Unique_ID=uuid).event
    assert (told["Transcript-Text"], told["Transcript-Words"]) == ("please call my sister", "4")
    run(esl, uuid, "detect_speech", "pause")
    heard = len(b"".join(vosk.binaries()))
    time.sleep(0.5)
    assert len(b"".join(vosk.binaries())) - heard <= 3200, "nothing is sent while it is paused"
    run(esl, uuid, "detect_speech", "resume")
    call.rtp.say(speech)
    assert detected(esl, uuid, "detected-speech").event_body == "and my brother"
    assert re.fullmatch(r"\d+\.\d{3} read: please call my sister\n\d+\.\d{3} read: and my brother\n?", variable(esl, uuid, "transcript"))
    run(esl, uuid, "detect_speech", "stop")
    detected(esl, uuid, "closed")
    vosk.wait_text('{"eof" : 1}')
    call.hangup()


def test_events_go_only_to_whoever_asked_for_them(site, esl, servers, engine, speech):
    vosk = servers(Vosk, "hello")
    engine(vosk={"url": vosk.url, "result": "nlsml"})
    call, uuid = caller(site, esl)
    run(esl, uuid, "detect_speech", "vosk {no-input-timeout=300}yesno default")
    time.sleep(0.8)                                    # a result without a listener
    esl.api(f"uuid_setvar {uuid} fire_asr_events true")
    run(esl, uuid, "detect_speech", "resume")
    assert "<noinput/>" in detected(esl, uuid, "detected-speech").event_body
    run(esl, uuid, "detect_speech", "resume")
    call.rtp.say(speech)
    body = detected(esl, uuid, "detected-speech").event_body
    assert '<input mode="speech">hello</input>' in body and 'grammar="yesno"' in body
    assert esl.wait_event("CUSTOM", Event_Subclass="switch::transcript", Unique_ID=uuid)
    call.hangup()


def test_speech_breaks_the_prompt_and_is_the_result(site, esl, servers, engine, speech):
    vosk = servers(Vosk, "my ${uuid} sister")
    engine(vosk={"url": vosk.url})
    call, uuid = caller(site, esl)
    esl.execute(uuid, "play_and_detect_speech", "tone_stream://%(20000,0,700) detect:vosk default")
    call.rtp.wait_tone(700, 0.3)
    call.rtp.say(speech)
    event = done(esl, uuid, "play_and_detect_speech")
    assert event["variable_current_application_response"] == "DONE"
    assert esl.wait_event("PLAYBACK_STOP", Unique_ID=uuid).event["Playback-Status"] == "break"
    assert variable(esl, uuid, "detect_speech_result") == "my ${uuid} sister", "words are data"
    heard = len(b"".join(vosk.binaries()))
    time.sleep(0.5)
    assert len(b"".join(vosk.binaries())) - heard <= 3200, "it waits for the next prompt"
    # What broke the prompt does not break what comes next.
    at = len(call.rtp.packets)
    esl.execute(uuid, "playback", "tone_stream://%(1000,0,900)")
    call.rtp.wait_tone(900, 0.9, since=at)
    call.hangup()


def test_a_prompt_without_an_answer_ends_when_nobody_speaks(site, esl, servers, engine):
    vosk = servers(Vosk)
    engine(vosk={"url": vosk.url, "result": "json"})
    call, uuid = caller(site, esl)
    begun = time.monotonic()
    data = "tone_stream://%(700,0,700) detect:vosk {no-input-timeout=500}builtin:speech/boolean"
    event = run(esl, uuid, "play_and_detect_speech", data)
    assert time.monotonic() - begun >= 1.1, "silence counts from the end of the prompt"
    assert event["variable_current_application_response"] == "DONE"
    result = json.loads(variable(esl, uuid, "detect_speech_result"))
    assert result == {"grammar": "builtin:speech/boolean", "text": "", "confidence": 0, "error": "no_input"}
    esl.api(f"uuid_setvar {uuid} playback_terminators #")
    esl.api(f"uuid_setvar {uuid} play_and_detect_speech_close_asr true")
    esl.execute(uuid, "play_and_detect_speech", "tone_stream://%(20000,0,700) detect:vosk default")
    call.rtp.wait_tone(700, 0.3, since=len(call.rtp.packets))
    call.rtp.digits("5#")
    done(esl, uuid, "play_and_detect_speech")
    assert variable(esl, uuid, "detect_speech_result") == "DIGIT: #"
    assert variable(esl, uuid, "playback_terminator_used") == "#"
    vosk.wait_text('{"eof" : 1}')
    call.hangup()


def test_what_is_wrong_is_said_in_the_reference_s_words(site, esl, servers, engine):
    vosk = servers(Vosk)
    engine(vosk={"url": vosk.url}, gone={"url": "ws://127.0.0.1:1/"})
    call, uuid = caller(site, esl)
    for data, response in (("a.wav", "USAGE ERROR"), ("a.wav detect:vosk", "USAGE ERROR"),
                           ("a.wav detect:nobody default", "ASR INIT ERROR"), ("a.wav detect:unimrcp default", "ASR INIT ERROR"),
                           ("a.wav detect:gone default", "ASR INIT ERROR"), ("a.wav detect:vosk missing.gram", "GRAMMAR ERROR"),
                           ("a.wav detect:vosk {broken", "GRAMMAR ERROR"), ("missing.wav detect:vosk default", "ERROR")):
        event = run(esl, uuid, "play_and_detect_speech", data)
        assert event["variable_current_application_response"] == response, data
        assert variable(esl, uuid, "detect_speech_result") in ("", "_undef_"), data
    for data in ("", "grammar x", "param a b", "start-input-timers", "nogrammar x", "stop", "nobody a b"):
        esl.execute(uuid, "detect_speech", data)
    assert "+OK" in esl.api(f"uuid_setvar {uuid} a b")
    call.hangup()


def test_a_server_that_goes_away_closes_the_recognition_and_garbage_does_not(site, esl, servers, engine):
    vosk = servers(Vosk, hears=False)
    engine(vosk={"url": vosk.url})
    call, uuid = caller(site, esl)
    esl.api(f"uuid_setvar {uuid} fire_asr_events true")
    run(esl, uuid, "detect_speech", "vosk default default")
    connection = vosk.accept()
    for odd in ("", "[]", "null", "{" * 5000, '{"text": 7}', "x" * 300_000, '{"alternatives": [' + "0," * 9000 + "0]}"):
        connection.send(odd)
    connection.send(b"\0" * 5000)
    connection.send('{"text": "still here"}')
    assert detected(esl, uuid, "detected-speech").event_body == "still here"
    esl.execute(uuid, "play_and_detect_speech", "tone_stream://%(20000,0,700) detect:vosk default")
    call.rtp.wait_tone(700, 0.2)
    connection.close()
    detected(esl, uuid, "closed")
    assert done(esl, uuid, "play_and_detect_speech")["variable_current_application_response"] == "DONE"
    call.hangup()


def test_words_are_keys_where_that_is_asked_for(site, esl, servers, engine, speech):
    vosk = servers(Vosk, "12 star bad")
    engine(vosk={"url": vosk.url})
    call, uuid = caller(site, esl)
    esl.api(f"uuid_setvar {uuid} asr_intercept_dtmf true")
    run(esl, uuid, "detect_speech", "vosk default default")
    esl.execute(uuid, "play_and_get_digits", "3 3 1 8000 # silence_stream://100 silence_stream://100 entered .*")
    time.sleep(0.3)
    call.rtp.say(speech)
    done(esl, uuid, "play_and_get_digits")
    assert variable(esl, uuid, "entered") == "12*"
    call.hangup()


def test_a_whisper_server_is_streamed_to_or_sent_utterances(site, esl, servers, engine, speech):
    live = servers(Live, "Call my sister.", "Tomorrow.")
    web = servers(Transcriptions, "By the web.")
    engine(live={"type": "whisper", "url": live.url, "language": "en-US"},
           web={"type": "http", "url": web.url, "token": "hush", "model": "small"})
    for name, words in (("live", "Call my sister."), ("web", "By the web.")):
        call, uuid = caller(site, esl)
        esl.execute(uuid, "play_and_detect_speech", f"tone_stream://%(20000,0,700) detect:{name} default")
        call.rtp.wait_tone(700, 0.3)
        call.rtp.say(speech)
        done(esl, uuid, "play_and_detect_speech")
        assert variable(esl, uuid, "detect_speech_result") == words
        call.hangup()
        esl.wait_event("CHANNEL_HANGUP_COMPLETE", Unique_ID=uuid)
    assert live.wait_object()["language"] == "en"
    path, headers, body = web.asked[0]
    headers = {name.lower(): value for name, value in headers.items()}
    assert headers["authorization"] == "Bearer hush" and b'name="model"\r\n\r\nsmall\r\n' in body
    wav = body[body.index(b"RIFF"):]
    assert wav[8:12] == b"WAVE" and int.from_bytes(wav[24:28], "little") == 16000
    assert len(speech) * 4 * 0.5 <= len(wav) <= len(speech) * 4 + 16000 * 2 * 1.6


@pytest.mark.parametrize("vendor, final, interim", [
    ("google", lambda b: b["is_final"] and b["alternatives"][0]["transcript"], lambda b: not b["is_final"]),
    ("aws", lambda b: b[0]["is_final"] and b[0]["alternatives"][0]["transcript"], lambda b: not b[0]["is_final"]),
    ("azure", lambda b: b.get("RecognitionStatus") == "Success" and b["DisplayText"], lambda b: "Text" in b),
    ("deepgram", lambda b: b["is_final"] and b["channel"]["alternatives"][0]["transcript"], lambda b: not b["is_final"]),
])
def test_a_call_is_transcribed_in_the_words_of_each_module(site, esl, servers, engine, speech, vendor, final, interim):
    vosk = servers(Vosk, "please call my sister")
    engine(vosk={"url": vosk.url})
    call, uuid = caller(site, esl)
    family = f"{vendor}_transcribe"
    assert esl.api(f"uuid_{family} {uuid} start en-US interim mono bug1") == "+OK Success\n"
    event = esl.wait_event("CUSTOM", Event_Subclass=f"{family}::connect", Unique_ID=uuid).event
    assert event["media-bugname"] == "bug1"
    assert esl.api(f"uuid_{family} {uuid} start en-US interim mono bug1") == "-ERR Operation Failed\n"
    call.rtp.say(speech)
    first = esl.wait_event("CUSTOM", Event_Subclass=f"{family}::transcription", Unique_ID=uuid)
    assert interim(json.loads(first.event_body)) and first.event["transcription-session-finished"] == "false"
    body = json.loads(esl.wait_event("CUSTOM", Event_Subclass=f"{family}::transcription", Unique_ID=uuid).event_body)
    assert final(body) == "please call my sister"
    assert esl.api(f"uuid_{family} {uuid} stop bug1") == "+OK Success\n"
    vosk.wait_text('{"eof" : 1}')
    call.hangup()


def test_the_open_protocol_has_its_server_in_a_variable_and_its_words_verbatim(site, esl, servers, speech):
    server = servers(Jambonz, "please call", "again")
    call, uuid = caller(site, esl)
    for name, value in (("JAMBONZ_STT_URL", server.url), ("JAMBONZ_STT_API_KEY", "hush"), ("JAMBONZ_STT_OPTIONS", '{"a":1}')):
        esl.api(f"uuid_setvar {uuid} {name} {value}")
    assert esl.api(f"uuid_jambonz_transcribe {uuid} start en-US full") == "+OK Success\n"
    headers = server.accept().request.headers
    assert headers["Authorization"] == "Bearer hush"
    assert re.fullmatch(rf"00-{uuid.replace('-', '')}-[0-9a-f]{{16}}-01", headers["traceparent"])
    assert server.wait_object(type="start")["options"] == {"a": 1}
    call.rtp.say(speech)
    body = json.loads(esl.wait_event("CUSTOM", Event_Subclass="jambonz_transcribe::transcription", Unique_ID=uuid).event_body)
    assert body["own"] == "kept" and body["is_final"] and body["alternatives"][0]["transcript"] == "please call"
    assert esl.api(f"uuid_jambonz_transcribe {uuid} stop") == "+OK Success\n"
    server.wait_text('{"type":"stop"}')
    server.wait("the close", lambda: server.closed)
    esl.api(f"uuid_setvar {uuid} JAMBONZ_STT_URL ws://10.255.255.1:9/x")
    assert esl.api(f"uuid_jambonz_transcribe {uuid} start en-US full") == "+OK Success\n"
    failed = esl.wait_event("CUSTOM", Event_Subclass="jambonz_transcribe::connect_failed", Unique_ID=uuid)
    assert "own network" in failed.event_body
    call.hangup()


def test_both_sides_are_transcribed_apart(site, esl, servers, engine, speech):
    vosk = servers(Vosk, "the one", "the other")
    engine(vosk={"url": vosk.url})
    near, uuid = caller(site, esl)
    phone = site.carrier()
    assert esl.api(f"uuid_transfer {uuid} bridge:sofia/gateway/carrier/100 inline").startswith("+OK")
    far = phone.accept()
    far.answer()
    esl.wait_event("CHANNEL_BRIDGE")
    assert esl.api(f"uuid_transcribe {uuid} start en-US full stereo") == "+OK Success\n"
    vosk.accept(), vosk.accept()
    near.rtp.say(speech)
    assert esl.wait_event("CUSTOM", Event_Subclass="switch::transcript", Unique_ID=uuid).event["Transcript-Direction"] == "read"
    far.rtp.say(speech)
    assert esl.wait_event("CUSTOM", Event_Subclass="switch::transcript", Unique_ID=uuid).event["Transcript-Direction"] == "write"
    near.hangup()
    vosk.wait("both closed", lambda: len(vosk.closed) == 2)
