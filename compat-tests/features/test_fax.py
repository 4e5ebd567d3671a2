"""Faxes: two calls of one switch through SIP and RTP, one sends, the other receives."""
import ctypes
import math
import random
import re
import shutil
import socket
import subprocess
import time

import pytest
from harness import office, tiff, tree
from harness.switch import binary

try:
    ctypes.CDLL("libspandsp.so.2")
except OSError:
    pytest.skip("SKIPPED: no libspandsp.so.2 (apt-get install libspandsp2)", allow_module_level=True)
if not shutil.which("tiffcp"):
    pytest.skip("SKIPPED: no tiffcp (apt-get install libtiff-tools)", allow_module_level=True)

PATIENCE = 150          # seconds a fax may take on a busy machine: machines train, and repeat what got lost
pytestmark = pytest.mark.timeout(PATIENCE + 50)


class Story:
    """Both legs of a call, and what is told of their faxes."""

    def __init__(self, site, codec="PCMU", timeout=PATIENCE):
        self.esl = site.esl(timeout=timeout)
        self.esl.command("event plain CHANNEL_PARK CHANNEL_HANGUP_COMPLETE CUSTOM spandsp::rxfaxresult spandsp::txfaxresult "
                         "spandsp::rxfaxpageresult spandsp::txfaxpageresult spandsp::rxfaxnegociateresult spandsp::txfaxnegociateresult")
        ip, port = site.sip(tree.OPEN)
        for _ in range(20):         # a loaded machine refuses calls
            reply = self.esl.api(f"originate {{absolute_codec_string={codec}}}sofia/open/park@{ip}:{port} &park")
            if "TEMPORARY_FAILURE" not in reply and "CONGESTION" not in reply:
                break
            time.sleep(0.5)
        assert reply.startswith("+OK "), reply
        self.sender, self.told = reply.split()[1], []
        self.receiver = self.until("CHANNEL_PARK", lambda e: e["Call-Direction"] == "inbound")["Unique-ID"]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.esl.api(f"uuid_kill {self.sender}")
        self.esl.close()

    def until(self, name, fits=lambda event: True):
        """The first event of that name or subclass that fits, also among those read before."""
        def known(event):
            return name in (event.get("Event-Name"), event.get("Event-Subclass")) and fits(event)
        seen = 0
        while True:
            for event in self.told[seen:]:
                if known(event):
                    return event
            seen = len(self.told)
            messages = [self.esl.events.pop(0) for _ in range(len(self.esl.events))] or [self.esl.read()]
            self.told += [message.event for message in messages if message.event]

    def run(self, uuid, application, *variables):
        steps = [f"set:{variable}" for variable in variables] + [application, "park"]
        assert self.esl.api(f"uuid_transfer {uuid} 'm:^:{'^'.join(steps)}' inline") == "+OK\n"

    def result(self, side):
        uuid = {"rx": self.receiver, "tx": self.sender}[side]
        return self.until(f"spandsp::{side}faxresult", lambda event: event["Unique-ID"] == uuid)

    def of(self, uuid, name):
        return self.esl.api(f"uuid_getvar {uuid} {name}")

    def events(self, uuid, subclass):
        known = (event for event in self.told if event.get("Event-Subclass") == f"spandsp::{subclass}")
        return [event for event in known if event["Unique-ID"] == uuid]


@pytest.fixture
def fax(tmp_path):
    """A document of three pages, and where it is to arrive."""
    return tmp_path / "sent.tif", tmp_path / "received.tif"


def test_pages_go_over_g711_of_both_laws(site, tmp_path):
    ways = {"PCMU": ((), (), "14400", "on", slice(0, 3)),
            # Without ECM a packet that a busy machine sends late costs rows: that is for T.38 below.
            "PCMA": (("fax_disable_v17=true",), (), "9600", "on", slice(1, 3))}
    stories = {}
    try:
        for codec, (sends, receives, *_) in ways.items():
            story = stories[codec] = Story(site, codec)
            story.images = tiff.write(tmp_path / f"{codec}.tif", 3)
            pages = ways[codec][4]
            story.run(story.receiver, f"rxfax:{tmp_path}/{codec}-rx.tif", "fax_ident=%2B49 30 2", *receives)
            story.run(story.sender, f"txfax:{tmp_path}/{codec}.tif", f"fax_start_page={pages.start}",
                      f"fax_end_page={pages.stop - 1}", "fax_ident=%2B49 30 1", *sends)
        for codec, (_, _, rate, ecm, pages) in ways.items():
            story = stories[codec]
            wanted = story.images[pages]
            for side, uuid in (("tx", story.sender), ("rx", story.receiver)):
                result = story.result(side)
                assert result["fax-result-text"] == "OK", result
                assert (result["fax-success"], result["fax-result-code"]) == ("1", "0")
                assert (result["fax-transfer-rate"], result["fax-ecm-used"], result["fax-t38-status"]) == (rate, ecm, "off")
                assert result["fax-document-transferred-pages"] == str(len(wanted))
                here, there = ("+49 30 1", "+49 30 2") if side == "tx" else ("+49 30 2", "+49 30 1")
                assert (result["fax-local-station-id"], result["fax-remote-station-id"]) == (here, there)
                assert story.of(uuid, "fax_success") == "1" and story.of(uuid, "fax_remote_station_id") == there
                agreed = story.events(uuid, f"{side}faxnegociateresult")
                assert [event["uuid"] for event in agreed] == [uuid] and agreed[0]["fax-transfer-rate"] == rate
                told = story.events(uuid, f"{side}faxpageresult")
                assert [event["fax-document-transferred-pages"] for event in told] == [str(n + 1) for n in range(len(wanted))]
                assert {event["fax-image-resolution"] for event in told} == {"8031x3850"}
                assert {event["fax-encoding-name"] for event in told} == {"T.6"}
            assert story.of(story.sender, "fax_document_total_pages") == "3"
            same(wanted, tmp_path / f"{codec}-rx.tif")
    finally:
        for story in stories.values():
            story.__exit__()


def same(sent, path):
    """The pages of a file are those that were sent, with a header above each."""
    got = tiff.read(path)
    assert len(got) == len(sent)
    for page, (wanted, received) in enumerate(zip(sent, got, strict=True)):
        assert received[-len(wanted):] == wanted, f"page {page}"


@pytest.mark.parametrize("asks", ["sender", "receiver"])
def test_pages_go_over_t38_when_either_side_asks(site, fax, asks):
    document, arrives = fax
    with Story(site) as story:
        images = tiff.write(document, 3)
        ways = {"sender": [], "receiver": []}
        ways[asks] = ["fax_enable_t38_request=true", "fax_t38_tx_reinvite_packet_count=25", "fax_t38_rx_reinvite_packet_count=25"]
        story.run(story.receiver, f"rxfax:{arrives}", "fax_enable_t38=true", *ways["receiver"])
        ecm = "on" if asks == "sender" else "off"
        story.run(story.sender, f"txfax:{document}", "fax_enable_t38=true", f"fax_use_ecm={ecm == 'on'}", *ways["sender"])
        for side in ("tx", "rx"):
            result = story.result(side)
            assert result["fax-ecm-used"] == ecm
            assert (result["fax-result-text"], result["fax-t38-status"]) == ("OK", "negotiated"), result
            assert result["fax-document-transferred-pages"] == "3"
        # The description in use has fax and nothing else.
        assert re.search(r"^m=image \d+ udptl t38", story.of(story.sender, "rtp_local_sdp_str"), re.M)
        assert "m=audio" not in story.of(story.receiver, "rtp_local_sdp_str")
        same(images, arrives)


def test_audio_goes_on_where_t38_is_refused(site, fax):
    document, arrives = fax
    with Story(site) as story:
        images = tiff.write(document, 1)
        story.run(story.receiver, f"rxfax:{arrives}")       # fax_enable_t38 is not set: 488
        story.run(story.sender, f"txfax:{document}", "fax_enable_t38=true", "fax_enable_t38_request=true", "fax_t38_tx_reinvite_packet_count=25")
        sent, received = story.result("tx"), story.result("rx")
        assert (sent["fax-success"], sent["fax-t38-status"]) == ("1", "refused"), sent
        assert (received["fax-success"], received["fax-t38-status"]) == ("1", "off"), received
        same(images, arrives)


def test_hooks_run_when_a_fax_is_over(site, fax):
    document, arrives = fax
    with Story(site) as story:
        tiff.write(document, 1, rows=60)
        uuid = story.receiver
        for hook in ("execute_on_fax_phase_b set agreed=${fax_transfer_rate}", "execute_on_fax_success set well=yes",
                     "execute_on_fax_failure set ill=yes", "api_on_fax_success uuid_setvar ${uuid} by_api ${fax_document_transferred_pages}"):
            assert story.esl.api(f"uuid_setvar {uuid} {hook}") == "+OK\n"
        story.run(uuid, f"rxfax:{arrives}")
        story.run(story.sender, f"txfax:{document}")
        story.result("rx")
        story.until("CHANNEL_PARK", lambda event: event["Unique-ID"] == uuid and "variable_fax_success" in event)
        got = {name: story.of(uuid, name) for name in ("agreed", "well", "ill", "by_api")}
        assert got == {"agreed": "14400", "well": "yes", "ill": "_undef_", "by_api": "1"}


def broken(path):
    """A document whose second page leads back to the first."""
    tiff.write(path, 2)
    raw = bytearray(path.read_bytes())
    second = int.from_bytes(raw[8 + 2 + 12 * 12:][:4], "little")
    raw[second + 2 + 12 * 12:second + 6 + 12 * 12] = (8).to_bytes(4, "little")
    path.write_bytes(raw)


def huge(path):
    """A document that says it has four thousand million rows."""
    tiff.write(path, 1)
    raw = bytearray(path.read_bytes())
    raw[8 + 2 + 12 + 8:8 + 2 + 12 + 12] = b"\xff\xff\xff\xff"
    path.write_bytes(raw)


@pytest.mark.parametrize("make, code, text", [
    (None, "41", "Cannot send non-existant fax file"),
    (lambda path: path.write_bytes(b"%PDF-1.4\n" * 100), "43", "TIFF/F format is not compatible"),
    (lambda path: path.mkdir(), "43", "TIFF/F format is not compatible"),
    (broken, "43", "TIFF/F format is not compatible"),
    (huge, "43", "TIFF/F format is not compatible"),
])
def test_what_cannot_be_sent_fails_at_once(site, fax, make, code, text):
    document, _ = fax
    with Story(site) as story:
        if make:
            make(document)
        story.run(story.sender, f"txfax:{document}")
        result = story.result("tx")
        assert (result["fax-success"], result["fax-result-code"], result["fax-result-text"]) == ("0", code, text)
        assert story.of(story.sender, "fax_success") == "0"
        story.run(story.sender, "txfax:", "again=yes")
        failed = story.until("spandsp::txfaxresult", lambda event: event.get("variable_again") == "yes")
        assert failed["fax-result-text"] == "Fax TX filename not set"


def test_a_hangup_ends_both_faxes(site, fax):
    document, arrives = fax
    with Story(site) as story:
        tiff.write(document, 1, rows=1100)
        story.run(story.receiver, f"rxfax:{arrives}")
        story.run(story.sender, f"txfax:{document}")
        story.until("spandsp::rxfaxnegociateresult", lambda event: event["Unique-ID"] == story.receiver)
        story.esl.api(f"uuid_kill {story.sender}")
        for side, uuid in (("tx", story.sender), ("rx", story.receiver)):
            result = story.result(side)
            assert (result["fax-success"], result["fax-result-code"]) == ("0", "49"), result
            assert result["fax-result-text"] == "The call dropped prematurely"
            over = story.until("CHANNEL_HANGUP_COMPLETE", lambda event, uuid=uuid: event["Unique-ID"] == uuid)
            assert over["variable_fax_result_code"] == "49", "variables are there when the call is recorded"
            assert story.told.index(result) < story.told.index(over)


def test_stopfax_ends_a_fax_and_the_call_goes_on(site, fax):
    document, arrives = fax
    with Story(site) as story:
        tiff.write(document, 1, rows=1100)
        story.run(story.receiver, f"rxfax:{arrives}")
        story.run(story.sender, f"txfax:{document}")
        story.until("spandsp::txfaxnegociateresult", lambda event: event["Unique-ID"] == story.sender)
        story.esl.execute(story.sender, "stopfax")
        assert story.result("tx")["fax-result-code"] == "49"
        story.until("CHANNEL_PARK", lambda event: event["Unique-ID"] == story.sender and "variable_fax_success" in event)
        # The other machine waits for what does not come: it is stopped as well.
        story.esl.execute(story.receiver, "stopfax")
        assert story.result("rx")["fax-success"] == "0"


def test_a_fax_without_a_name_gets_one(site, fax, tmp_path):
    document, _ = fax
    with Story(site) as story:
        images = tiff.write(document, 1, rows=60)
        story.run(story.receiver, "rxfax:", f"fax_spool={tmp_path}/spool", "fax_prefix=in")
        story.run(story.sender, f"txfax:{document}")
        assert story.result("rx")["fax-success"] == "1"
        files = list((tmp_path / "spool").iterdir())
        assert [re.fullmatch(r"in-\d+-\d+\.tif", file.name) is not None for file in files] == [True]
        assert story.of(story.receiver, "fax_filename") == str(files[0])
        same(images, files[0])


def test_what_a_far_end_says_is_no_way_out_of_the_folder(site, esl, tmp_path):
    (tmp_path / "in").mkdir()
    call = site.phone().invite("park", extra=["X-Job: ../../../../../../../../tmp/owned"])
    call.wait(200)
    uuid = esl.wait_event("CHANNEL_PARK").event["Unique-ID"]
    esl.execute(uuid, "rxfax", f"{tmp_path}/in/${{sip_h_X-Job}}.tif")
    esl.wait_event("CHANNEL_EXECUTE", Application="rxfax")
    esl.execute(uuid, "stopfax")
    esl.wait_event("CHANNEL_EXECUTE_COMPLETE", Application="rxfax")
    assert esl.api(f"uuid_getvar {uuid} fax_filename") == f"{tmp_path}/in/{'__/' * 8}tmp/owned.tif"
    call.hangup()


@pytest.mark.parametrize("tone, hz", [("cng", 1100), ("ced", 2100)])
def test_the_tone_of_a_fax_machine_runs_an_application(site, esl, tone, hz):
    call = site.phone().invite("park")
    call.wait(200)
    uuid = esl.wait_event("CHANNEL_PARK").event["Unique-ID"]
    esl.execute(uuid, "set", "execute_on_fax_detect=set hooked=yes")
    esl.execute(uuid, "spandsp_start_fax_detect", f"set heard={tone} 60 {tone}")
    esl.wait_event("CHANNEL_EXECUTE_COMPLETE", Application="spandsp_start_fax_detect")
    call.rtp.tone(hz)
    event = esl.wait_event("DETECTED_TONE").event
    assert (event["Detected-Fax-Tone"], event["Unique-ID"]) == ("true", uuid)
    esl.wait_event("CHANNEL_EXECUTE_COMPLETE", **{"Application-Data": f"heard={tone}"})
    assert esl.api(f"uuid_getvar {uuid} hooked") == "yes"
    call.hangup()


def test_the_preamble_of_a_machine_that_answers_runs_an_application(site, esl):
    call = site.phone().invite("park")
    call.wait(200)
    uuid = esl.wait_event("CHANNEL_PARK").event["Unique-ID"]
    esl.execute(uuid, "spandsp_start_fax_detect", "set heard=preamble 60 ced")
    esl.wait_event("CHANNEL_EXECUTE_COMPLETE", Application="spandsp_start_fax_detect")
    # V.21, channel 2: flags (01111110) at 300 bit/s, 1650 Hz for a one.
    samples, phase = [], 0.0
    for n in range(2 * 8000):
        phase += 2 * math.pi * (1650 if "01111110"[n * 300 // 8000 % 8] == "1" else 1850) / 8000
        samples.append(int(8000 * math.sin(phase)))
    call.rtp.say(samples)
    event = esl.wait_event("DETECTED_TONE").event
    assert (event["Detected-Fax-Tone"], event["Unique-ID"]) == ("true", uuid)
    esl.wait_event("CHANNEL_EXECUTE_COMPLETE", **{"Application-Data": "heard=preamble"})
    call.hangup()


def test_a_strangers_datagrams_are_taken_as_what_they_are(site, esl, fax):
    """A far end that changes to T.38 and sends noise: the answer names our port, and the fax fails with the call."""
    _, arrives = fax
    call = site.phone().invite("park")
    audio = call.wait(200).media()[1]
    uuid = esl.wait_event("CHANNEL_PARK").event["Unique-ID"]
    esl.execute(uuid, "set", "fax_enable_t38=true")
    esl.execute(uuid, "rxfax", str(arrives))
    esl.wait_event("CHANNEL_EXECUTE", Application="rxfax")
    noise = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    noise.bind(("127.0.0.1", 0))
    offer = "\r\n".join(["v=0", "o=- 1 2 IN IP4 127.0.0.1", "s=-", "c=IN IP4 127.0.0.1", "t=0 0", f"m=image {noise.getsockname()[1]} udptl t38",
                         "a=T38FaxVersion:0", "a=T38MaxBitRate:9600", "a=T38FaxRateManagement:transferredTCF", "a=T38FaxUdpEC:t38UDPRedundancy", ""])
    answer = call.reinvite(sdp=offer)
    assert re.search(rf"^m=image {audio} udptl t38", answer.body, re.M), answer.body
    assert "a=T38FaxMaxDatagram:400" in answer.body and "m=audio" not in answer.body
    # The machine answers with packets of its own, each with those before it.
    noise.settimeout(20)
    numbers = [int.from_bytes(noise.recv(2000)[:2], "big") for _ in range(6)]
    assert numbers[0] == 0 and numbers == sorted(numbers), numbers
    draw = random.Random(7)
    for n in range(400):
        body = bytes(draw.randrange(256) for _ in range(draw.randrange(60)))
        noise.sendto(body if n % 2 else n.to_bytes(2, "big") + bytes([len(body)]) + body + b"\0\0", ("127.0.0.1", audio))
    call.hangup()
    result = esl.wait_event("CUSTOM", **{"Event-Subclass": "spandsp::rxfaxresult"}).event
    assert (result["fax-success"], result["fax-t38-status"]) == ("0", "negotiated")
    noise.close()


def without_library(block, where):
    conf = tree.small(block, where)
    (conf / "autoload_configs/spandsp.conf.xml").write_text(
        '<configuration name="spandsp.conf"><fax-settings><param name="library" value="/nonexistent/libspandsp.so.2"/></fax-settings></configuration>')
    return conf


def test_where_the_library_is_missing_everything_says_so(tmp_path):
    from conftest import Site
    site = Site(tmp_path, without_library)
    try:
        site.start()
        with site.esl(timeout=office.PATIENCE) as esl:
            esl.command("event plain ALL")
            call = site.phone().invite("park")
            call.wait(200)
            uuid = esl.wait_event("CHANNEL_PARK").event["Unique-ID"]
            esl.execute(uuid, "rxfax", f"{tmp_path}/received.tif")
            result = esl.wait_event("CUSTOM", **{"Event-Subclass": "spandsp::rxfaxresult"}).event
            assert (result["fax-success"], result["fax-result-code"]) == ("0", "-1")
            assert "install the Debian package libspandsp2" in result["fax-result-text"]
            assert "libspandsp2" in esl.api(f"uuid_getvar {uuid} current_application_response")
            call.hangup()
        assert "No rxfax, txfax and t38_gateway: faxes need the library spandsp (/nonexistent/libspandsp.so.2)" in site.switch.said(400)
        checked = subprocess.run([binary(), "check", site.conf], capture_output=True, text=True)
        assert "install the Debian package libspandsp2" in checked.stdout, checked.stdout + checked.stderr
        assert not site.settle()
    finally:
        site.close()
