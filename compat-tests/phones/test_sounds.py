"""The prompts: made by a free engine, laid out as dialplans expect them, and heard on a call."""
import shutil
import subprocess

import pytest

from harness import audio, tree
from harness.switch import binary

pytestmark = pytest.mark.skipif(not shutil.which("espeak-ng"), reason="SKIPPED: espeak-ng is not installed")


def make(folder, *args):
    return subprocess.run([binary(), "sounds", "--dir", str(folder), *args], capture_output=True, text=True, timeout=80)


def test_prompts_are_made_at_two_rates_and_are_not_silent(tmp_path):
    done = make(tmp_path, "--category", "digits")
    assert done.returncode == 0, done.stderr
    for rate in (8000, 16000):
        for name in ("0", "9", "pound"):
            samples, found = audio.read_wav(tmp_path / f"en/us/callie/digits/{rate}/{name}.wav")
            assert found == rate and len(samples) > rate / 10 and max(map(abs, samples)) > 1000, f"{rate}/{name}"


def test_the_list_names_what_dialplans_play():
    listed = subprocess.run([binary(), "sounds", "--list"], capture_output=True, text=True, timeout=20).stdout
    for name in ("ivr/ivr-welcome_to_freeswitch.wav", "voicemail/vm-goodbye.wav", "conference/conf-alone.wav", "digits/1.wav", "time/hour.wav", "currency/dollar.wav"):
        category, _, file = name.partition("/")
        assert name in listed or (category in listed and file.removesuffix(".wav") in listed), name


def test_a_made_prompt_is_heard_by_a_caller(fresh):
    sounds = fresh.where / "sounds"
    assert make(sounds, "--category", "ivr", "--rate", "8000").returncode == 0
    tree.patch(fresh.conf / "vars.xml", {r'(?=  <X-PRE-PROCESS cmd="set" data="domain)': f'  <X-PRE-PROCESS cmd="set" data="sound_prefix={sounds}/en/us/callie"/>\n'})
    fresh.start()
    call = fresh.phone().invite("play", ["X-File: ivr/ivr-welcome_to_freeswitch.wav"])
    call.wait(200)
    call.rtp.tone(None)
    call.rtp.wait_tone(600, seconds=0.3)
    call.wait_end()
    loud = sum(abs(s) > 1000 for s in call.rtp.samples())
    assert loud > 4000, "the prompt before the tone was silent"
    assert not fresh.settle()
