"""Tones: made, coded in G.711, and found again in what arrived."""
import math
import struct
import wave

RATE = 8000
FRAME = 160             # samples of 20 ms


def ulaw_byte(sample):
    """G.711 mu-law code of a 16-bit sample."""
    sign = 0x80 if sample < 0 else 0
    level = min(abs(sample), 32635) + 132
    segment = level.bit_length() - 8
    return ~(sign | segment << 4 | (level >> segment + 3) & 15) & 255


def _ulaw_sample(code):
    code = ~code & 255
    level = ((code & 15) * 8 + 132 << (code >> 4 & 7)) - 132
    return -level if code & 128 else level


def _alaw_sample(code):
    code ^= 0x55
    segment, level = code >> 4 & 7, (code & 15) * 16 + 8
    level = level if segment == 0 else level + 256 << segment - 1
    return level if code & 128 else -level


ULAW = [_ulaw_sample(c) for c in range(256)]
ALAW = [_alaw_sample(c) for c in range(256)]
SILENCE = bytes([ulaw_byte(0)]) * FRAME


def sine(hz, seconds, level=9000, rate=RATE):
    return [int(level * math.sin(2 * math.pi * hz * i / rate)) for i in range(int(seconds * rate))]


def frames(samples):
    """PCMU payloads of 20 ms; an incomplete last one is dropped."""
    return [bytes(map(ulaw_byte, samples[i:i + FRAME])) for i in range(0, len(samples) - FRAME + 1, FRAME)]


def decode(payload_type, payload):
    return [(ULAW if payload_type == 0 else ALAW)[b] for b in payload]


def power_of(hz, samples, rate=RATE):
    """Part of the energy of `samples` that lies at `hz` (Goertzel), 0 to 1; 0 for near silence."""
    energy = sum(s * s for s in samples)
    if not samples or energy < len(samples) * 100 * 100:
        return 0.0
    k, a, b = 2 * math.cos(2 * math.pi * hz / rate), 0.0, 0.0
    for s in samples:
        a, b = s + k * a - b, a
    return min(1.0, 2 * (a * a + b * b - k * a * b) / (energy * len(samples)))


def seconds_of(hz, samples, rate=RATE):
    """How long the tone is heard: windows of 20 ms in which it carries most of the energy."""
    step = rate // 50
    windows = (samples[i:i + step] for i in range(0, len(samples) - step + 1, step))
    return sum(power_of(hz, w, rate) > 0.6 for w in windows) / 50


def read_wav(path):
    """(samples of the first channel, rate)."""
    with wave.open(path if hasattr(path, "read") else str(path)) as w:
        channels, rate, data = w.getnchannels(), w.getframerate(), w.readframes(w.getnframes())
    return list(struct.unpack(f"<{len(data) // 2}h", data))[::channels], rate


def write_wav(path, samples, rate=RATE):
    with wave.open(str(path), "wb") as w:
        w.setnchannels(1), w.setsampwidth(2), w.setframerate(rate)
        w.writeframes(struct.pack(f"<{len(samples)}h", *samples))
