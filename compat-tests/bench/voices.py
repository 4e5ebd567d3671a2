"""A corpus to judge detectors of voice activity by: `voices.py DIR`, then `who_speaks DIR/KIND` for each kind.

espeak-ng says sentences in eight voices, telephone band, at unlike levels, with pauses between them; to that come noise,
music and clicks. Beside each recording (`.s16`, 8 kHz, 16 bit) lies its speech alone (`.said`). The same every time.
"""
import array
import math
import pathlib
import random
import subprocess
import sys
import tempfile
import wave

RATE = 8000
VOICES = ["en-us", "en-gb+f3", "en-us+m3", "de", "fr+f2", "es", "it+m7", "en-us+f5"]
SENTENCES = ["yes please", "stop", "I would like to speak to an agent", "no, that is not what I said", "hello",
             "seven three nine two", "for my mother's account", "can you hear me", "what is it", "five", "okay so tell me",
             "thirty first of August", "wait a moment", "my order has not come", "sure"]


def spoken(voice, text, speed):
    with tempfile.NamedTemporaryFile(suffix=".wav") as out:
        subprocess.run(["espeak-ng", "-v", voice, "-s", str(speed), "-w", out.name, text], check=True)
        with wave.open(out.name) as w:
            rate, samples = w.getframerate(), array.array("h", w.readframes(w.getnframes()))
    # Band limit by averages over a sample of the telephone's, then 300 Hz out.
    step, out, slow, last = rate / RATE, [], 0.0, 0.0
    for n in range(int(len(samples) / step)):
        part = samples[int(n * step):int((n + 1) * step)] or [0]
        value = sum(part) / len(part)
        slow = 0.79 * (slow + value - last)
        last = value
        out.append(slow)
    return out


def rms(samples):
    return math.sqrt(sum(s * s for s in samples) / max(1, len(samples)))


def noise(kind, count, dice):
    out, brown, pink = [], 0.0, [0.0] * 3
    for _ in range(count):
        white = dice.uniform(-1, 1)
        if kind == "brown":
            brown = 0.98 * brown + 0.1 * white
            out.append(brown)
        elif kind == "pink":
            pink[0] = 0.99765 * pink[0] + white * 0.0990460
            pink[1] = 0.96300 * pink[1] + white * 0.2965164
            pink[2] = 0.57000 * pink[2] + white * 1.0526913
            out.append(sum(pink) + white * 0.1848)
        else:
            out.append(white)
    return out


def music(count, dice):
    out, note, age, step = [], [], 0, 0
    for n in range(count):
        if n % 2000 == 0:
            hz = 220 * 2 ** (dice.choice([0, 2, 4, 7, 9, 12]) / 12)
            note = [dice.uniform(-1, 1) for _ in range(int(RATE / hz))]
        head = note.pop(0)
        note.append(0.498 * (head + note[0]))
        out.append(head)
    return out


def clicks(count, dice, level):
    out = [0.0] * count
    at = 0
    while (at := at + dice.randrange(2000, 12000)) < count - 200:
        for n in range(dice.choice([8, 40, 80])):
            out[at + n] = dice.uniform(-level, level)
    return out


def main(folder):
    dice = random.Random(7)
    clean = {}
    for v, voice in enumerate(VOICES[:8]):
        line, level = [0.0] * 6000, dice.uniform(900, 4000)
        for _ in range(10):
            said = spoken(voice, dice.choice(SENTENCES), dice.choice([130, 165, 190]))
            gain = level / max(1.0, rms(said))
            line += [max(-32000, min(32000, s * gain)) for s in said] + [0.0] * dice.randrange(5600, 16000)
        clean[v] = line
    kinds = [("clean", None, 0)] + [(f"{k}{db}", k, db) for k in ("white", "pink", "brown") for db in (20, 10, 5)]
    kinds += [("music10", "music", 10), ("music3", "music", 3), ("clicks", "clicks", 0)]
    for name, kind, db in kinds:
        place = pathlib.Path(folder, name)
        place.mkdir(parents=True, exist_ok=True)
        for v, line in clean.items():
            level = rms([s for s in line if s])
            if kind is None:
                other = [dice.uniform(-8, 8) for _ in line]
            elif kind == "clicks":
                other = clicks(len(line), dice, 2 * level)
            else:
                other = music(len(line), dice) if kind == "music" else noise(kind, len(line), dice)
                gain = level / 10 ** (db / 20) / max(1e-9, rms(other))
                other = [s * gain for s in other]
            for ending, samples in (("s16", [a + b for a, b in zip(line, other)]), ("said", line)):
                whole = array.array("h", [int(max(-32768, min(32767, s))) for s in samples])
                (place / f"{v}.{ending}").write_bytes(whole.tobytes())


if __name__ == "__main__":
    main(sys.argv[1])
