"""The quality of calls: degraded, one-way and silent legs are told of while they last, and in what is kept of a call."""
import json
import threading

import pytest

from harness import ear, tree
from harness.relay import Relay
from harness.services import until

CONF = """<include><configuration name="media_quality.conf"><settings>
  <param name="interval" value="1"/><param name="silent-seconds" value="3"/>
</settings></configuration></include>"""
EVENT = "ferroswitch::media_quality"


@pytest.fixture
def site(fresh):
    (fresh.conf / "autoload_configs/media_quality.conf.xml").write_text(CONF)
    tree.patch(fresh.conf / "autoload_configs/modules.conf.xml", {r"(?=  </modules>)": '<load module="mod_media_quality"/>\n'})
    tree.patch(fresh.conf / "sip_profiles/open.xml", {r'(?=<param name="context")': '<param name="rtcp-audio-interval-msec" value="500"/>\n'})
    yield fresh.start()
    wrong = fresh.settle()
    assert not wrong, "\n".join(wrong)


@pytest.fixture
def through_relay(site, esl):
    """A phone in conversation, its audio through a relay: call, relay, UUID."""
    relays = []

    def make(apps=("echo",)):
        phone = site.phone()
        call = phone.invite("park", sdp=lambda call: relays.append(Relay(call.rtp)) or relays[-1].described(call))
        relay = relays[-1]
        call.until(lambda p: p.status and p.body, "answer")
        relay.connect(call.wait(200).media())
        uuid = esl.wait_event("CHANNEL_PARK").event["Unique-ID"]
        ear.run(esl, uuid, *apps)
        return call, relay, uuid
    yield make
    for relay in relays:
        relay.close()


def told(esl, uuid, state):
    """The event that says so."""
    return esl.wait_event("CUSTOM", timeout=40, Event_Subclass=EVENT, Unique_ID=uuid, Media_Quality=state).event


def stats(esl, uuid):
    reply = json.loads(esl.api("json " + json.dumps({"command": "mediaStats", "data": {"uuid": uuid}})))
    assert reply["status"] == "success", reply
    shown = reply["response"]["quality"]
    assert json.loads(esl.api(f"uuid_media_stats {uuid}"))["quality"].keys() == shown.keys()
    return shown


def test_lost_packets_are_told_of_and_are_in_the_record(site, esl, through_relay):
    call, relay, uuid = through_relay()
    relay.lose_up = lambda n: n % 5 == 0
    degraded = told(esl, uuid, "degraded")
    assert degraded["Media-Quality-Before"] == "good" and degraded["Media-Quality-Reason"] == "loss inbound"
    assert 10 < float(degraded["In-Loss-Percent"]) < 30 and float(degraded["In-MOS"]) < 3.8
    live = stats(esl, uuid)["inbound"]
    assert live["lost"] > 10 and live["loss_percent"] > 3 and live["packets"] > 50
    relay.lose_up = lambda n: False
    assert told(esl, uuid, "good")["Media-Quality-Before"] == "degraded"
    call.hangup()
    end = esl.wait_event("CHANNEL_HANGUP_COMPLETE", Unique_ID=uuid).event
    assert end["variable_media_quality"] == "degraded" and int(end["variable_media_quality_degraded_seconds"]) >= 1
    assert int(end["variable_media_quality_in_lost"]) > 10 and float(end["variable_media_quality_in_loss_percent"]) > 0
    assert "variable_media_quality_silent_seconds" not in end


def test_what_the_far_end_reports_lost_counts_too(site, esl, through_relay):
    call, relay, uuid = through_relay()
    until(lambda: relay.sender_report, "sender report")
    ended = threading.Event()

    def reports():
        while not ended.wait(0.3):
            relay.report(64, 40, 160)
    reporter = threading.Thread(target=reports)
    reporter.start()
    try:
        degraded = told(esl, uuid, "degraded")
    finally:
        ended.set()
        reporter.join()
    assert degraded["Media-Quality-Reason"] == "loss outbound"
    assert float(degraded["Out-Loss-Percent"]) == 25 and float(degraded["Out-Jitter-MS"]) == 20
    assert float(degraded["Round-Trip-MS"]) > 0 and float(degraded["In-MOS"]) > float(degraded["Out-MOS"])
    shown = stats(esl, uuid)
    assert shown["outbound"]["lost"] == 40 and shown["round_trip_ms"] > 0
    call.hangup()
    end = esl.wait_event("CHANNEL_HANGUP_COMPLETE", Unique_ID=uuid).event
    assert end["variable_media_quality_out_lost"] == "40" and end["variable_media_quality"] == "degraded"


def test_one_way_and_silent_calls_are_told_apart(site, esl, through_relay):
    call, relay, uuid = through_relay(("playback:" + ear.TONE,))
    relay.lose_up = lambda n: True
    one_way = told(esl, uuid, "one-way")
    assert one_way["Media-Quality-Reason"] == "nothing is received" and "In-MOS" not in one_way
    assert ear.run(esl, uuid, "park") is None
    silent = told(esl, uuid, "silent")
    assert silent["Media-Quality-Before"] == "one-way"
    relay.lose_up = lambda n: False
    told(esl, uuid, "good")
    call.hangup()
    end = esl.wait_event("CHANNEL_HANGUP_COMPLETE", Unique_ID=uuid).event
    assert end["variable_media_quality"] == "silent" and int(end["variable_media_quality_one_way_seconds"]) >= 1


def test_a_held_call_is_no_fault_and_a_good_one_is_told_as_such(site, esl, through_relay):
    call, relay, uuid = through_relay()
    call.reinvite(sdp=relay.described(call).replace("a=sendrecv", "a=inactive"))
    relay.lose_up = lambda n: True
    witness, other_relay, other = through_relay()
    other_relay.lose_up = lambda n: True
    told(esl, other, "silent")
    witness.hangup()
    esl.wait_event("CHANNEL_HANGUP_COMPLETE", Unique_ID=other)
    call.hangup()
    end = esl.wait_event("CHANNEL_HANGUP_COMPLETE", Unique_ID=uuid).event
    assert end["variable_media_quality"] == "good"
