"""A language of tones, in place of a recogniser and a voice: what bots under test hear and say. Samples are at 8 kHz."""
import json
import math

RATE = 8000
FRAME = 160
HEARD = {600: "weather", 1000: "story", 1700: "goodbye"}                    # the tone of a word at the caller's mouth, Hz
SAID = {"weather": (800, 1.5), "story": (1300, 30), "goodbye": (2300, 1)}   # and at the bot's: Hz, seconds
BEGINS = ENDS = 5               # frames of 20 ms in a row that begin a word, and that end one


def tell(kind, **more):
    """A line for the test."""
    print(json.dumps({"kind": kind, **more}), flush=True)


def speech(word):
    hz, seconds = SAID[word]
    return [int(9000 * math.sin(2 * math.pi * hz * n / RATE)) for n in range(int(RATE * seconds))]


def _power(hz, samples):
    whole = sum(s * s for s in samples)
    if whole < 300 * 300 * len(samples):
        return 0.0
    angle = 2 * math.pi * hz / RATE
    re = sum(s * math.cos(angle * n) for n, s in enumerate(samples))
    im = sum(s * math.sin(angle * n) for n, s in enumerate(samples))
    return 2 * (re * re + im * im) / (len(samples) * whole)


class Ear:
    """Takes samples of any number, tells of words: `(word, False)` when one has begun, `(word, True)` when it is over."""

    def __init__(self):
        self.samples, self.word, self.last, self.row = [], None, None, 0

    def hear(self, samples):
        self.samples += samples
        while len(self.samples) >= FRAME:
            frame, self.samples = self.samples[:FRAME], self.samples[FRAME:]
            now = next((word for hz, word in HEARD.items() if _power(hz, frame) > 0.6), None)
            self.row = self.row + 1 if now == self.last else 1
            self.last = now
            if now and self.word is None and self.row == BEGINS:
                self.word = now
                yield now, False
            elif now is None and self.word and self.row == ENDS:
                tell("heard", word=self.word)
                yield self.word, True
                self.word = None
