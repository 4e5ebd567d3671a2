"""Faxes between the switch and Asterisk, over G.711, over T.38, and through t38_gateway."""
import pytest
from harness import asterisk, tiff, tree
from test_fax import PATIENCE, same
from test_t38_gateway import NO, YES, Bridged, bridge

if not asterisk.program():
    pytest.skip("SKIPPED: no Asterisk (./test setup unpacks Debian 11's)", allow_module_level=True)

pytestmark = pytest.mark.timeout(PATIENCE + 50)

REQUESTS = (*YES, "fax_enable_t38_request=true", "fax_t38_tx_reinvite_packet_count=50", "fax_t38_rx_reinvite_packet_count=50")


@pytest.fixture
def far(site, tmp_path):
    """Asterisk: `rx` and `tx` run its applications with T.38 where it is offered, `rxaudio` and `txaudio` with audio alone."""
    documents = tmp_path / "sent.tif", tmp_path / "received.tif"
    extensions = {number: [f"{app}({documents[number[0] == 'r']},{options})", "Hangup()"] for number, app, options in
                  [("rx", "ReceiveFAX", "f"), ("rxaudio", "ReceiveFAX", "F"), ("tx", "SendFAX", "zf"), ("txaudio", "SendFAX", "F")]}
    for number in ("rx", "rxaudio"):
        extensions[number].insert(0, "Answer()")
    one = asterisk.Asterisk(tmp_path, site.block[tree.CARRIER], site.block[160], site.sip(tree.OPEN), extensions)
    one.documents = documents
    yield one
    one.close()


class Single:
    """One call between the switch and Asterisk."""

    def __init__(self, site):
        self.esl = site.esl(timeout=PATIENCE)
        self.esl.command("event plain CHANNEL_PARK CHANNEL_HANGUP_COMPLETE CUSTOM spandsp::rxfaxresult spandsp::txfaxresult")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.esl.api("hupall")
        self.esl.close()

    def run(self, uuid, *steps):
        assert self.esl.api(f"uuid_transfer {uuid} 'm:^:{'^'.join([*steps, 'hangup'])}' inline") == "+OK\n"

    def result(self, side):
        return self.esl.wait_event("CUSTOM", **{"Event-Subclass": f"spandsp::{side}faxresult"}).event


@pytest.mark.parametrize("number, variables, status", [("rxaudio", NO, "off"), ("rx", REQUESTS, "negotiated")])
def test_asterisk_receives(site, far, number, variables, status):
    images = tiff.write(far.documents[0], 2)
    with Single(site) as call:
        uuid = call.esl.api(f"originate {{absolute_codec_string=PCMU}}sofia/open/{number}@127.0.0.1:{far.port} &park").split()[1]
        call.run(uuid, *[f"set:{variable}" for variable in variables], f"txfax:{far.documents[0]}")
        result = call.result("tx")
        assert (result["fax-result-text"], result["fax-t38-status"]) == ("OK", status), result
        assert far.result() == ("SUCCESS", "audio" if status == "off" else "T38", "2")
        same(images, far.documents[1])


@pytest.mark.parametrize("number, variables, status", [("txaudio", NO, "off"), ("tx", YES, "negotiated")])
def test_asterisk_sends(site, far, number, variables, status):
    images = tiff.write(far.documents[0], 2)
    with Single(site) as call:
        far.call("park", number)
        uuid = call.esl.wait_event("CHANNEL_PARK").event["Unique-ID"]
        call.run(uuid, *[f"set:{variable}" for variable in variables], f"rxfax:{far.documents[1]}")
        result = call.result("rx")
        assert (result["fax-result-text"], result["fax-t38-status"]) == ("OK", status), result
        assert far.result() == ("SUCCESS", "audio" if status == "off" else "T38", "2")
        same(images, far.documents[1])


def test_a_machine_with_audio_sends_to_asterisk_with_t38(site, far):
    images = tiff.write(far.documents[0], 2)
    legs = ["fax_enable_t38=true", "fax_enable_t38_request=true", "execute_on_answer=t38_gateway self"]
    with Bridged(site, legs, target=f"rx@127.0.0.1:{far.port}", parks=False) as story:
        story.run(story.sender, f"txfax:{far.documents[0]}", *NO)
        story.until("spandsp::txfaxnegociateresult")
        assert story.settings() == ["audio", "image"]
        result = story.result("tx")
        assert (result["fax-result-text"], result["fax-t38-status"]) == ("OK", "off"), result
        # Asterisk changes back to audio and hangs up.
        over = story.until("CHANNEL_HANGUP_COMPLETE", lambda event: event["Unique-ID"] == story.b)
        assert (over["variable_fax_t38_status"], over["variable_fax_document_transferred_pages"]) == ("negotiated", "2")
        assert far.result() == ("SUCCESS", "T38", "2")
        same(images, far.documents[1])


def test_asterisk_with_t38_sends_to_a_machine_with_audio(site, far):
    images = tiff.write(far.documents[0], 2)
    ip, port = site.sip(tree.OPEN)
    with Single(site) as call:
        far.call("park", "tx")
        own = call.esl.wait_event("CHANNEL_PARK").event["Unique-ID"]
        bridge(call, own, ["execute_on_answer=t38_gateway peer"], f"park@{ip}:{port}", "fax_enable_t38=true", "fax_enable_t38_request=true")
        uuid = call.esl.wait_event("CHANNEL_PARK").event["Unique-ID"]
        assert uuid != own
        call.run(uuid, *[f"set:{variable}" for variable in NO], f"rxfax:{far.documents[1]}")
        result = call.result("rx")
        assert (result["fax-result-text"], result["fax-t38-status"]) == ("OK", "off"), result
        assert far.result() == ("SUCCESS", "T38", "2")
        same(images, far.documents[1])
