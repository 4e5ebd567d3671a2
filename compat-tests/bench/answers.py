#!/usr/bin/env python3
"""Precision and recall of `amd` and `avmd` on a corpus of greetings spoken by espeak-ng, with noise.

    answers.py [--keep FOLDER] [--judge PROGRAM]

The program is `cargo run -p ferroswitch-voice --example answers`; it prints a line for each file.
"""
import argparse
import math
import pathlib
import random
import struct
import subprocess
import tempfile
import wave

PEOPLE = ["Hello?", "Hello", "Yes?", "Yes, hello?", "Speaking.", "Hi there.", "This is John.", "Miller, good morning.", "Anna speaking.",
          "Who is this?", "Hi", "Good evening.", "Hello, who's calling?", "Yeah?"]
MACHINES = ["You have reached the voice mail of John Miller. Please leave a message after the tone.",
            "Hi, this is Anna. I can't come to the phone right now, so please leave your name and number and I will call you back.",
            "The person you are calling is not available. At the tone, please record your message.",
            "Thank you for calling Acme. Our offices are closed. Please call again during business hours, or leave a message.",
            "Your call has been forwarded to an automatic voice message system. Five five five, one two three four, is not available.",
            "Hello, we are not at home right now. Please leave a message after the beep, and we will get back to you."]
VOICES = ["en-us", "en-gb", "en-us+f3", "en-us+m3", "en-gb+f2", "en-029"]
RATE = 8000


def spoken(text, voice, speed):
    with tempfile.NamedTemporaryFile(suffix=".wav") as f:
        subprocess.run(["espeak-ng", "-v", voice, "-s", str(speed), "-w", f.name, text], check=True, stderr=subprocess.DEVNULL)
        raw = subprocess.run(["sox", f.name, "-t", "raw", "-r", str(RATE), "-b", "16", "-e", "signed", "-c", "1", "-"],
                             check=True, capture_output=True).stdout
    return list(struct.unpack(f"<{len(raw) // 2}h", raw))


def noisy(samples, noise, level, rng):
    """Room noise: low-passed random samples; a hum of the mains for some."""
    out, last = [], 0.0
    hum = noise * 0.7 if rng.random() < 0.3 else 0.0
    for n, s in enumerate(samples):
        last = 0.7 * last + 0.3 * rng.gauss(0, noise * 2.2)
        v = s * level + last + hum * math.sin(2 * math.pi * 50 * n / RATE)
        out.append(max(-32768, min(32767, int(v))))
    return out


def beep(rng):
    hz, seconds, level = rng.choice([440 * 2, 1000, 1400, 1633, 950, 2000]), rng.uniform(0.25, 0.9), rng.uniform(2000, 9000)
    return [int(level * math.sin(2 * math.pi * hz * n / RATE)) for n in range(int(seconds * RATE))]


def write(path, samples):
    with wave.open(str(path), "wb") as w:
        w.setnchannels(1), w.setsampwidth(2), w.setframerate(RATE)
        w.writeframes(struct.pack(f"<{len(samples)}h", *samples))


def corpus(folder, each):
    rng, truth = random.Random(7), {}
    for n in range(each):
        for kind, texts in (("human", PEOPLE), ("machine", MACHINES)):
            text, voice = texts[n % len(texts)], VOICES[(n * 5 + n // len(texts)) % len(VOICES)]
            speech = spoken(text, voice, rng.randint(130, 190))
            before, after = [0] * int(RATE * rng.uniform(0.1, 1.2)), [0] * int(RATE * rng.uniform(4.0, 5.0))
            tone = beep(rng) if kind == "machine" else []
            gap = [0] * int(RATE * rng.uniform(0.2, 1.0)) if tone else []
            samples = noisy(before + speech + gap + tone + after, rng.choice([0, 20, 50, 90, 140]), rng.uniform(0.3, 1.0), rng)
            path = folder / f"{kind}-{n:03}.wav"
            write(path, samples)
            truth[str(path)] = (kind, bool(tone), len(before + speech + gap) * 1000 // RATE, len(tone) * 1000 // RATE)
    return truth


def share(part, whole):
    return f"{part / whole:.3f}" if whole else "-"


def main():
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--keep"), options.add_argument("--judge", default="answers"), options.add_argument("--each", type=int, default=60)
    options = options.parse_args()
    folder = pathlib.Path(options.keep or tempfile.mkdtemp(prefix="answers-"))
    folder.mkdir(parents=True, exist_ok=True)
    truth = corpus(folder, options.each)
    lines = subprocess.run([options.judge, *truth], check=True, capture_output=True, text=True).stdout.splitlines()
    judged = {line.split()[0]: line.split()[1:] for line in lines}
    print("| | said | right | precision | recall | not sure |\n| --- | --- | --- | --- | --- | --- |")
    for kind in ("HUMAN", "MACHINE"):
        said = [p for p, (answer, *_) in judged.items() if answer == kind]
        own = [p for p in truth if truth[p][0].upper() == kind]
        right = [p for p in said if truth[p][0].upper() == kind]
        unsure = sum(judged[p][0] == "NOTSURE" for p in own)
        print(f"| `{kind}` | {len(said)} | {len(right)} | {share(len(right), len(said))} | {share(len(right), len(own))} | {unsure} |")
    said = [p for p, (_, _, at) in judged.items() if at != "-"]
    own = [p for p in truth if truth[p][1]]
    right = [p for p in said if truth[p][1] and truth[p][2] <= int(judged[p][2]) <= truth[p][2] + truth[p][3] + 60]
    print(f"| beep | {len(said)} | {len(right)} | {share(len(right), len(said))} | {share(len(right), len(own))} | |")
    for p, (answer, cause, at) in sorted(judged.items()):
        if answer != truth[p][0].upper() or (at != "-") != truth[p][1]:
            print("wrong:", pathlib.Path(p).name, answer, cause, at, "truth", truth[p])


if __name__ == "__main__":
    main()
