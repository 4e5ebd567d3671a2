#!/usr/bin/env python3
"""A voice bot for one machine: answers, listens, speaks with espeak-ng, can be interrupted, hands over to an agent.

It speaks Twilio's Media Streams, so the same server runs behind any switch or carrier that does. Nothing is recognised:
what the caller says is measured, not understood. Keys choose; speech interrupts. Put a recogniser where `heard` is called.
"""
import asyncio
import base64
import json
import os
import subprocess
import sys
import wave

import websockets

MENU = "You have reached the voice bot. Press one for the time, two to hear what you said, nought for a person. " \
       "Speak at any time to interrupt me."


def say(text):
    """Text as µ-law at 8 kHz."""
    done = subprocess.run(["espeak-ng", "-v", "en", "-s", "150", "--stdout", text], capture_output=True, check=True)
    path = f"/tmp/voice-bot-{os.getpid()}.wav"
    with open(path, "wb") as file:
        file.write(done.stdout)
    with wave.open(path) as w:
        rate, data = w.getframerate(), w.readframes(w.getnframes())
    os.remove(path)
    samples = [int.from_bytes(data[i:i + 2], "little", signed=True) for i in range(0, len(data) - 1, 2)]
    return bytes(ulaw(samples[int(n * rate / 8000)]) for n in range(int(len(samples) * 8000 / rate)))


def ulaw(sample):
    sign, level = (0x80 if sample < 0 else 0), min(abs(sample), 32635) + 132
    segment = level.bit_length() - 8
    return ~(sign | segment << 4 | (level >> segment + 3) & 15) & 255


def loudness(payload):
    """0 for silence to 127: µ-law codes fall as the level rises."""
    return sum(127 - (byte & 127) for byte in payload) / max(1, len(payload))


class Call:
    def __init__(self, socket):
        self.socket, self.stream, self.speaking, self.loud, self.kept = socket, "", 0, 0, bytearray()

    async def send(self, event, **more):
        await self.socket.send(json.dumps({"event": event, "streamSid": self.stream, **more}))

    async def speak(self, text):
        """Everything at once: the switch plays it in time, and says when each mark was heard."""
        audio = await asyncio.to_thread(say, text)
        self.speaking += 1
        await self.send("media", media={"payload": base64.b64encode(audio).decode()})
        await self.send("mark", mark={"name": "spoken"})

    async def heard(self, payload):
        self.kept = (self.kept + payload)[-40000:]
        self.loud = self.loud + 1 if loudness(payload) > 45 else 0
        if self.loud == 3 and self.speaking:                    # 60 ms of speech: the caller has the floor
            await self.send("clear")

    async def key(self, digit):
        await self.send("clear")
        if digit == "1":
            await self.speak("It is " + subprocess.check_output(["date", "+%H %M"], text=True))
        elif digit == "2":
            await self.send("media", media={"payload": base64.b64encode(self.kept).decode()})
        elif digit == "0":
            await self.speak("One moment, I will connect you.")
            return True                                         # the dialplan goes on when the stream ends
        return False

    async def run(self):
        leaving = False
        async for message in self.socket:
            event = json.loads(message)
            kind = event["event"]
            if kind == "start":
                self.stream = event["streamSid"]
                await self.speak(MENU)
            elif kind == "media" and event["media"]["track"] == "inbound":
                await self.heard(base64.b64decode(event["media"]["payload"]))
            elif kind == "dtmf":
                leaving = await self.key(event["dtmf"]["digit"]) or leaving
            elif kind == "mark":
                self.speaking -= 1
                if leaving and not self.speaking:
                    return await self.socket.close()
            elif kind == "stop":
                return


async def main(port):
    async with websockets.serve(lambda socket: Call(socket).run(), "127.0.0.1", port, max_size=None):
        print(f"listening on ws://127.0.0.1:{port}/", flush=True)
        await asyncio.Future()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 8765))
