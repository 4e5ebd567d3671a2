"""What happens to audio and digits on their way, with phones on both ends."""
import socket
import wave

from harness import audio
from harness.rtp import Rtp

ROWS, COLUMNS = (697, 770, 852, 941), (1209, 1336, 1477, 1633)
KEYS = "123A456B789C*0#D"


def caller(site, esl, number="park", **more):
    """A phone in a parked call, and the call's UUID."""
    call = site.phone(**more).invite(number)
    call.wait(200)
    return call, esl.wait_event("CHANNEL_PARK").event["Unique-ID"]


def run(esl, uuid, *apps):
    """Sends the call through applications, `^` between them."""
    reply = esl.api(f"uuid_transfer {uuid} 'm:^:{'^'.join(apps)}' inline")
    assert reply.startswith("+OK"), reply


def bridged(site, esl, *before):
    near, uuid = caller(site, esl)
    phone = site.carrier()
    run(esl, uuid, *before, "bridge:sofia/gateway/carrier/100")
    far = phone.accept()
    far.answer()
    event = esl.wait_event("CHANNEL_BRIDGE").event
    return near, far, uuid, event["Bridge-B-Unique-ID"]


def key_in(samples):
    """The key a piece of audio holds, if it holds one."""
    power = {hz: audio.power_of(hz, samples) for hz in ROWS + COLUMNS}
    row, column = max(ROWS, key=power.get), max(COLUMNS, key=power.get)
    return KEYS[ROWS.index(row) * 4 + COLUMNS.index(column)] if min(power[row], power[column]) > 0.3 else None


def wait_keys(rtp, text):
    """Until those keys were heard as tones."""
    def heard():
        found, last = "", None
        for kind, payload in rtp.packets:
            key = key_in(audio.decode(kind, payload)) if kind in (0, 8) else None
            found += key if key and key != last else ""
            last = key
        return found
    rtp._wait(f"tones of {text}", lambda: heard() == text, 8)


def wav(path, hz, seconds):
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(audio.RATE)
        file.writeframes(b"".join(s.to_bytes(2, "little", signed=True) for s in audio.sine(hz, seconds)))
    return path


def test_digits_become_tones_for_a_partner_who_knows_nothing_else(site, esl):
    near, far, uuid, other = bridged(site, esl, "start_dtmf_generate")
    near.rtp.digits("5#")
    wait_keys(far.rtp, "5#")
    assert far.rtp.heard_digits() == ""
    event = esl.wait_event("DTMF", Unique_ID=uuid).event
    assert (event["DTMF-Digit"], event["DTMF-Conversion"]) == ("5", "native:inband")
    near.hangup()
    far.wait_end()


def test_tones_become_digits_where_they_are_looked_for(site, esl):
    assert "+OK" in esl.api("load mod_spandsp")
    call, uuid = caller(site, esl)
    run(esl, uuid, "spandsp_start_dtmf", "park")
    tone = audio.frames([a + b for a, b in zip(audio.sine(770, 0.1, 5000), audio.sine(1336, 0.1, 5000))])
    with call.rtp.lock:
        call.rtp.loop = tone + [audio.SILENCE] * 10
    event = esl.wait_event("DTMF", Unique_ID=uuid).event
    assert (event["DTMF-Digit"], event["DTMF-Source"]) == ("5", "INBAND_AUDIO")
    call.hangup()


def test_blocked_digits_are_heard_by_nobody(site, esl):
    near, far, _, _ = bridged(site, esl, "block_dtmf")
    near.rtp.digits("1")
    near.rtp.tone(440)
    far.rtp.wait_tone(440)
    assert far.rtp.heard_digits() == ""
    near.hangup()
    far.wait_end()


def test_a_phone_that_falls_silent_is_hung_up_on_with_its_cause(site, esl):
    phone = site.carrier()
    esl.command("bgapi originate {media_timeout=700}sofia/gateway/carrier/100 &park()")
    far = phone.accept()
    far.answer()
    esl.wait_event("CHANNEL_PARK")
    far.rtp.open = False
    event = esl.wait_event("CHANNEL_HANGUP_COMPLETE").event
    assert event["Hangup-Cause"] == "MEDIA_TIMEOUT"
    far.wait_end()


def test_a_jitter_buffer_can_be_put_in_and_taken_out_of_a_call(site, esl):
    near, far, uuid, _ = bridged(site, esl)
    for buffer in ("60:200:20", "0"):
        assert esl.api(f"uuid_jitterbuffer {uuid} {buffer}").startswith("+OK")
        since = len(far.rtp.packets)
        near.rtp.tone(440)
        far.rtp.wait_tone(440, since=since)
    near.hangup()
    far.wait_end()


def test_a_parked_caller_hears_silence_packets_when_asked_for(site, esl):
    call, uuid = caller(site, esl)
    run(esl, uuid, "set:send_silence_when_idle=-1", "park")
    call.rtp.wait_packets(25)
    call.hangup()


def test_a_recording_waits_for_the_bridge_and_runs_its_hooks(site, esl):
    path = site.where / "call.wav"
    call = site.phone().invite("park")
    call.wait(200)
    uuid = esl.wait_event("CHANNEL_PARK").event["Unique-ID"]
    esl.api(f"uuid_setvar {uuid} RECORD_BRIDGE_REQ true")
    esl.api(f"uuid_setvar {uuid} api_on_record_stop uuid_setvar {uuid} seen ${{record_completion_cause}}")
    assert esl.api(f"uuid_record {uuid} start {path}").startswith("+OK")
    call.rtp.tone(440)
    run(esl, uuid, "echo")
    call.rtp.wait_tone(440)
    assert esl.api(f"uuid_record {uuid} stop {path}").startswith("+OK")
    stop = esl.wait_event("RECORD_STOP").event
    assert stop["Record-Completion-Cause"] == "empty-file", "never bridged, so nothing was written"
    esl.wait_event("API", API_Command="uuid_setvar", API_Command_Argument=f"{uuid} seen empty-file")
    call.hangup()


def test_music_comes_from_the_folders_of_local_stream_conf(site, esl):
    call, uuid = caller(site, esl)
    music = site.where / "music"
    music.mkdir(exist_ok=True)
    wav(music / "a.wav", 600, 3)
    wav(music / "b.wav", 600, 3)
    (site.conf / "autoload_configs" / "local_stream.conf.xml").write_text(
        f'<configuration name="local_stream.conf"><directory name="lobby" path="{music}">'
        '<param name="shuffle" value="true"/></directory></configuration>')
    assert esl.api("reloadxml").startswith("+OK")
    run(esl, uuid, "playback:local_stream://lobby")
    call.rtp.wait_tone(600)
    call.hangup()


def test_chimes_are_heard_in_place_of_the_music_from_time_to_time(site, esl):
    call, uuid = caller(site, esl)
    music = site.where / "chimed"
    music.mkdir(exist_ok=True)
    wav(music / "a.wav", 600, 30)
    chime = wav(site.where / "chime.wav", 1500, 1)
    (site.conf / "autoload_configs" / "local_stream.conf.xml").write_text(
        f'<configuration name="local_stream.conf"><directory name="hall" path="{music}">'
        f'<param name="chime-list" value="{chime}"/><param name="chime-freq" value="2"/></directory></configuration>')
    assert esl.api("reloadxml").startswith("+OK")
    run(esl, uuid, "playback:local_stream://hall")
    call.rtp.wait_tone(1500, seconds=0.9, timeout=20)
    since = len(call.rtp.packets)
    call.rtp.wait_tone(600, seconds=1, timeout=20, since=since)
    call.rtp.wait_tone(1500, seconds=0.9, timeout=20, since=since)
    call.hangup()


def test_a_file_is_played_faster_and_slower(site, esl):
    call, uuid = caller(site, esl)
    path = wav(site.where / "long.wav", 800, 60)
    run(esl, uuid, f"playback:{path}")
    call.rtp.wait_tone(800, timeout=20)
    for order, hz in (("speed:2", 1600), ("speed:0", 800), ("speed:-1", 640), ("restart", 800)):
        assert esl.api(f"uuid_fileman {uuid} {order}").startswith("+OK")
        call.rtp.wait_tone(hz, timeout=20, since=len(call.rtp.packets))
    assert esl.api(f"uuid_fileman {uuid} truncate").startswith("-ERR")
    call.hangup()


def test_busy_tones_are_known_by_their_cadence(site, esl):
    (site.conf / "autoload_configs" / "spandsp.conf.xml").write_text(
        '<configuration name="spandsp.conf"><descriptors><descriptor name="1">'
        '<tone name="BUSY_TONE"><element freq1="480" freq2="620" min="464" max="536"/><element freq1="0" freq2="0" min="464" max="572"/>'
        '<element freq1="480" freq2="620" min="464" max="536"/></tone></descriptor></descriptors></configuration>')
    assert esl.api("reloadxml").startswith("+OK")
    assert "+OK" in esl.api("load mod_spandsp") or "already" in esl.api("load mod_spandsp")
    call, uuid = caller(site, esl)
    assert esl.api(f"spandsp_start_tone_detect {uuid} 2") == "-ERR failed to start tone detector\n"
    assert esl.api(f"spandsp_start_tone_detect {uuid} 1") == "+OK started\n"
    busy = [a + b for a, b in zip(audio.sine(480, 0.5, 5000), audio.sine(620, 0.5, 5000))]
    with call.rtp.lock:
        call.rtp.loop = audio.frames(busy + [0] * 4000)
    found = esl.wait_event("DETECTED_TONE", timeout=20).event
    assert (found["Detected-Tone"], found["Unique-ID"]) == ("BUSY_TONE", uuid)
    assert esl.api(f"spandsp_stop_tone_detect {uuid}") == "+OK stopped\n"
    call.hangup()


def test_one_side_of_a_call_is_listened_to_alone(site, esl):
    near, far, uuid, other = bridged(site, esl)
    near.rtp.tone(440)
    far.rtp.tone(1000)
    spy, listener = caller(site, esl)
    for side, hz in (("read", 440), ("write", 1000)):
        run(esl, listener, f"native_eavesdrop:{uuid} {side}")
        spy.rtp.wait_tone(hz, seconds=1, timeout=20, since=len(spy.rtp.packets))
    spy.hangup()
    near.hangup()
    far.wait_end()


def listener(group, port):
    """Takes datagrams to a multicast group, on loopback."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind((group, port))
    sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, socket.inet_aton(group) + socket.inet_aton("127.0.0.1"))
    sock.settimeout(20)
    return sock


def test_a_page_is_heard_by_all_who_listen_to_its_group(site, esl):
    assert "+OK" in esl.api("load mod_esf") or "already" in esl.api("load mod_esf")
    heard, control = listener("239.255.7.1", 0), listener("239.255.7.1", 0)
    ports = [sock.getsockname()[1] for sock in (heard, control)]
    call, uuid = caller(site, esl)
    call.rtp.tone(440)
    run(esl, uuid, "set:esf_multicast_bind_ip=127.0.0.1", f"esf_page_group:239.255.7.1 {ports[0]} {ports[1]}")
    start = control.recv(100)
    assert start[4:] == bytes([0, 0, 0, 6, 239, 255, 7, 1]) + ports[0].to_bytes(4, "big")
    packets = [heard.recv(2048) for _ in range(60)]
    assert {packet[1] & 127 for packet in packets} == {0}, "PCMU"
    samples = [sample for packet in packets for sample in audio.decode(0, packet[12:])]
    assert audio.seconds_of(440, samples) > 0.8
    call.hangup()
    while (end := control.recv(100)) == start:
        pass
    assert end[4:] == bytes([0, 0, 0, 7])
    heard.close()
    control.close()


def test_codecs_of_the_offer_are_filtered(site, esl):
    call, uuid = caller(site, esl)
    run(esl, uuid, "filter_codecs:PCMA,opus", "park")
    esl.wait_event("CHANNEL_EXECUTE_COMPLETE", timeout=20, Application="filter_codecs")
    left = esl.api(f"uuid_getvar {uuid} ep_codec_string")
    assert "PCMU" not in left and (left == "_undef_" or "PCMA" in left), left
    assert esl.api(f"uuid_getvar {uuid} filter_codec_string") == "PCMA,opus"
    call.hangup()


def test_a_recording_goes_on_with_the_partner_after_a_transfer(site, esl):
    path = site.where / "followed.wav"
    near, far, uuid, other = bridged(site, esl)
    esl.api(f"uuid_setvar {uuid} recording_follow_transfer true")
    assert esl.api(f"uuid_record {uuid} start {path}").startswith("+OK")
    far.rtp.tone(440)
    near.rtp.wait_tone(440)
    assert esl.api(f"uuid_transfer {uuid} -bleg 'echo' inline").startswith("+OK")
    near.wait_end()
    far.rtp.tone(800)
    far.rtp.wait_tone(800, since=len(far.rtp.packets))
    far.hangup()
    stop = esl.wait_event("RECORD_STOP").event
    assert (stop["Unique-ID"], stop["Record-File-Path"]) == (other, str(path))
    with wave.open(str(path)) as file:
        heard = [int.from_bytes(file.readframes(1), "little", signed=True) for _ in range(file.getnframes())]
    assert audio.seconds_of(440, heard) > 0.3, "what was said before the transfer"
    assert audio.seconds_of(800, heard) > 0.3, "and after it"


# ---- legs without signalling

def test_a_leg_without_signalling_sends_and_hears_at_the_addresses_given(site):
    """`rtp/`: what a program that signals by itself asks for."""
    ours, theirs = Rtp(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    theirs.bind(("127.0.0.1", 0))
    port = theirs.getsockname()[1]
    theirs.close()
    where = f"local_addr=127.0.0.1,local_port={port},remote_addr=127.0.0.1,remote_port={ours.port},codec=PCMA,pt=8,ptime=20,rfc2833_pt=101"
    try:
        with site.esl() as esl:
            esl.command("event plain DTMF")
            reply = esl.api(f"originate {{{where}}}rtp/outside &echo")
            assert reply.startswith("+OK "), reply
            uuid = reply.split()[1]
            assert ",rtp/outside," in esl.api("show channels")
            ours.start(("127.0.0.1", port))
            ours.tone(440)
            ours.wait_tone(440)
            assert ours.packets[-1][0] == 8
            ours.digits("7")
            esl.wait_event("DTMF", Unique_ID=uuid, DTMF_Digit="7")
            assert esl.api(f"uuid_kill {uuid}").startswith("+OK")
            assert "rtp,mod_sofia" in esl.api("show endpoint")
            assert esl.api("originate rtp/nowhere &echo").startswith("-ERR")
    finally:
        ours.close()
