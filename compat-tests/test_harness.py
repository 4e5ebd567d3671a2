"""The harness against itself: a test that blames the switch must not blame it for our own mistake."""
import pathlib

import pytest

from harness import audio, ports
from harness.sip import Phone
from harness.sipp import Sipp, run


@pytest.fixture
def block():
    block = ports.claim()
    yield block
    block.release()


def test_a_tone_is_found_and_another_is_not():
    samples = audio.sine(440, 1)
    assert audio.seconds_of(440, samples) == 1
    assert audio.seconds_of(600, samples) == 0
    assert audio.seconds_of(440, [0] * 8000) == 0
    coded = [s for frame in audio.frames(samples) for s in audio.decode(0, frame)]
    assert audio.seconds_of(440, coded) == 1


def test_two_phones_hear_each_other(block):
    callee = Phone(("127.0.0.1", block[1]), port=block[2])
    caller = Phone(("127.0.0.1", block[2]), port=block[1])
    try:
        out = caller.invite("anyone")
        call = callee.accept()
        call.ring()
        out.wait(180)
        call.phone.reply(call.request, 200, "OK", body=call.sdp(), tag=call.tag)
        out.wait(200)
        call.rtp.start(("127.0.0.1", out.rtp.port))
        out.rtp.tone(440), call.rtp.tone(600)
        out.rtp.wait_tone(600), call.rtp.wait_tone(440)
        out.rtp.digits("12#")
        call.rtp.wait_digits("12#")
        with pytest.raises(AssertionError, match="not heard"):
            call.rtp.wait_tone(1000, timeout=0.3)
        out.phone.request("BYE", out.target, out.call_id, 2, out.local, out.remote, to_address=out.address)
        call.wait_end()
    finally:
        caller.close(), callee.close()


@pytest.mark.parametrize("caller, callee", [("uac", "uas"), ("uac_hung_up", "uas_hangs_up"), ("uac_cancel", "uas_rings"), ("uac_refused", "uas_refuses")])
def test_the_sipp_scenarios_fit_each_other(caller, callee, block, tmp_path):
    with Sipp(callee, tmp_path, port=block[1], status=486) as uas:
        run(caller, tmp_path, ("127.0.0.1", block[1]), port=block[2], status=486)
        uas.finish()


def test_lost_messages_are_sent_again(block, tmp_path):
    with Sipp("uas", tmp_path, port=block[1], calls=10, loss=20, limit=40) as uas:
        run("uac", tmp_path, ("127.0.0.1", block[1]), port=block[2], calls=10, loss=0, limit=40)
        uas.finish()


def test_a_scenario_that_is_not_followed_fails(block, tmp_path):
    with Sipp("uas_refuses", tmp_path, port=block[1], status=486):
        with pytest.raises(AssertionError, match="486"):
            run("uac", tmp_path, ("127.0.0.1", block[1]), port=block[2], limit=8)


def test_what_passes_at_the_second_try_is_told_from_what_does_not(tmp_path):
    """The script that `./test` reruns failed tests with."""
    import subprocess
    import sys
    here = pathlib.Path(__file__).parent
    case = '<testcase classname="commands.test_checking" name="test_{}">{}</testcase>'
    failure = '<failure message="no"/>'
    report, again = tmp_path / "first.xml", tmp_path / "again.xml"
    cases = case.format("well", "") + case.format("flaky[a-b]", failure) + case.format("broken", failure)
    report.write_text(f'<testsuites><testsuite tests="3" failures="2" errors="0" skipped="0">{cases}</testsuite></testsuites>')
    cases = case.format("flaky[a-b]", "") + case.format("broken", failure)
    again.write_text(f'<testsuites><testsuite tests="2" failures="1" errors="0" skipped="0">{cases}</testsuite></testsuites>')

    def rerun(*args):
        return subprocess.run([sys.executable, here / "rerun.py", *args], check=True, capture_output=True, text=True).stdout

    flaky, broken = "commands/test_checking.py::test_flaky[a-b]", "commands/test_checking.py::test_broken"
    assert rerun("failed", report) == f"{flaky}\n{broken}\n"
    assert rerun("merge", report, again) == f"{flaky}\n"
    assert rerun("failed", report) == f"{broken}\n"
    assert 'failures="1"' in report.read_text()
