#!/usr/bin/env python3
"""200 streams to programs: mouth to bot, bot to ear, processor time and memory of a stream.

    FERRO_BIN_DIR=target/release streams.py [--streams 200] [--seconds 20]

About a minute and a half, by itself: steps are told on the standard error, figures on the standard output; status 1 when a stream was missing.

Calls of this process (six streams each at most) talk to the switch; every stream's program is here too. A loud packet is sent
from the mouth at a known time, and each program notes when it comes; one program of each call answers a loud frame at once, and
the call notes when it is heard. What the programs' own clock costs is in the figures: they are upper bounds.
"""
import argparse
import asyncio
import base64
import hashlib
import json
import os
import pathlib
import random
import shutil
import struct
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
from harness import audio, ports, tree          # noqa: E402
from harness.sip import Phone                   # noqa: E402
from harness.switch import Switch               # noqa: E402

SILENT, LOUD = bytes(320), struct.pack("<160h", *([12000, -12000] * 80))
PER_CALL = 6


class Program:
    """One stream's end: the least of a WebSocket server that takes frames as they come."""

    def __init__(self, bench):
        self.bench, self.buffer, self.open, self.answers, self.call = bench, bytearray(), False, False, None

    def made(self, transport):
        self.transport = transport

    def data(self, data):
        self.buffer += data
        if not self.open:
            end = self.buffer.find(b"\r\n\r\n")
            if end < 0:
                return
            head = bytes(self.buffer[:end]).decode()
            del self.buffer[:end + 4]
            self.call, number = head.split(" ", 2)[1].strip("/").split("-")
            self.answers = number == "0"
            key = next(l.split(":", 1)[1].strip() for l in head.split("\r\n") if l.lower().startswith("sec-websocket-key:"))
            accept = base64.b64encode(hashlib.sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest()).decode()
            self.transport.write(f"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                                 f"Sec-WebSocket-Accept: {accept}\r\n\r\n".encode())
            self.open = True
            self.bench.programs.append(self)
        self.frames()

    def frames(self):
        buffer = self.buffer
        while len(buffer) >= 6:
            length, at = buffer[1] & 127, 2
            if length == 126:
                if len(buffer) < 8:
                    return
                length, at = int.from_bytes(buffer[2:4], "big"), 4
            if len(buffer) < at + 4 + length:
                return
            opcode, mask = buffer[0] & 15, bytes(buffer[at:at + 4])
            if opcode == 2 and length == 320:
                # Loud enough is told by one sample: nothing else is unmasked.
                low, high = buffer[at + 4 + 100] ^ mask[0], buffer[at + 4 + 101] ^ mask[1]
                if abs(int.from_bytes(bytes((low, high)), "little", signed=True)) > 6000:
                    self.bench.heard_by_program(self)
            del buffer[:at + 4 + length]

    def say(self, payload):
        self.transport.write(b"\x82\x7e" + len(payload).to_bytes(2, "big") + payload)


class Server(asyncio.Protocol):
    def __init__(self, bench):
        self.program = Program(bench)

    def connection_made(self, transport):
        self.program.made(transport)

    def data_received(self, data):
        self.program.data(data)


class Bench:
    def __init__(self):
        self.programs, self.mouth, self.ear = [], [], []
        self.spoken, self.answered = {}, {}

    def heard_by_program(self, program):
        at = self.spoken.get(program.call)
        if at is None:
            return
        self.mouth.append(time.monotonic() - at)
        if program.answers:
            self.answered[program.call] = time.monotonic()
            program.say(LOUD)

    def heard_by_call(self, name):
        at = self.answered.pop(name, None)
        if at is not None:
            self.ear.append(time.monotonic() - at)


def figure(values, share):
    values = sorted(values)
    return values[min(len(values) - 1, int(len(values) * share))] * 1000 if values else float("nan")


def processor(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory(pid):
    lines = pathlib.Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(l.split()[1]) for l in lines if l.startswith("VmRSS:"))


class Mouth:
    """A call's RTP, by the loop's clock."""

    def __init__(self, bench, name, sock, remote):
        self.bench, self.name, self.sock, self.remote = bench, name, sock, remote
        self.seq, self.ts, self.ssrc, self.loud_at = random.getrandbits(15), random.getrandbits(30), random.getrandbits(32), None

    def readable(self):
        try:
            data = self.sock.recv(2048)
        except OSError:                         # an error of an earlier packet, or nothing there after all
            return
        if len(data) >= 172 and data[1] & 127 == 0 and data[12 + 60] not in (0xFF, 0x7F) and data[12 + 61] not in (0xFF, 0x7F):
            self.bench.heard_by_call(self.name)

    def tick(self, loud):
        payload = audio_loud if loud else audio_silent
        packet = struct.pack("!BBHII", 0x80, 0, self.seq, self.ts, self.ssrc) + payload
        if loud:
            self.bench.spoken[self.name] = time.monotonic()
        self.sock.sendto(packet, self.remote)
        self.seq, self.ts = self.seq + 1 & 0xFFFF, self.ts + 160 & 0xFFFFFFFF


audio_silent, audio_loud = bytes([0xFF] * 160), bytes(audio.ulaw_byte(s) for s in [12000, -12000] * 80)


async def talk(mouths, seconds):
    """Each call sends a packet every 20 ms; a call is loud for one packet a second, each at another time."""
    due, n, end = time.monotonic(), 0, time.monotonic() + seconds
    while time.monotonic() < end:
        for i, mouth in enumerate(mouths):
            mouth.tick((n + i * 7) % 50 == 25)
        n += 1
        due += 0.02
        await asyncio.sleep(max(0.0, due - time.monotonic()))


def step(text):
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


async def run(options):
    bench, loop = Bench(), asyncio.get_running_loop()
    server = await loop.create_server(lambda: Server(bench), "127.0.0.1", 0)
    where, block, phones, mouths = pathlib.Path(tempfile.mkdtemp(prefix="streams-")), ports.claim(), [], []
    switch = Switch(tree.small(block, where), block[tree.ESL])
    try:
        await measured(options, bench, server.sockets[0].getsockname()[1], switch, block, phones, mouths)
    finally:
        for mouth in mouths:
            loop.remove_reader(mouth.sock.fileno())
        for phone in phones:
            phone.close()
        switch.stop()
        server.close()
        block.release()
        shutil.rmtree(where, ignore_errors=True)
    return len(bench.programs) == options.streams and bench.mouth and bench.ear


async def measured(options, bench, port, switch, block, phones, mouths):
    esl, loop = switch.esl(), asyncio.get_running_loop()
    count = -(-options.streams // PER_CALL)
    step(f"{count} calls begin")
    for n in range(count):
        phone = Phone(("127.0.0.1", block[tree.OPEN]))
        phones.append(phone)
        call = await asyncio.to_thread(lambda: phone.admitted("park"))
        sock, remote = call.rtp.sock, call.rtp.remote
        call.rtp.open = False                   # its own threads end: the loop takes the socket over
        call.rtp.hearing.join(1), call.rtp.sending and call.rtp.sending.join(1)
        sock.setblocking(False)
        mouth = Mouth(bench, str(n), sock, remote)
        loop.add_reader(sock.fileno(), mouth.readable)
        mouths.append(mouth)
    uuids = [row["uuid"] for row in json.loads(esl.api("show channels as json"))["rows"]]
    pid = switch.process.pid
    await talk(mouths, 2)
    step(f"{options.seconds} s of calls alone")
    before, begun = processor(pid), time.monotonic()
    await talk(mouths, options.seconds)
    calls = (processor(pid) - before) / (time.monotonic() - begun)
    held = memory(pid)
    step(f"{options.streams} streams begin")
    left = options.streams
    for n, uuid in enumerate(uuids):
        await asyncio.to_thread(esl.api, f"uuid_setvar {uuid} stream_prebuffer_ms 20")
        for k in range(min(PER_CALL, left)):
            words = f"uuid_audio_fork ^^|{uuid}|start|ws://127.0.0.1:{port}/{n}-{k}|mono|8000|s{k}||true|true|8000"
            assert (await asyncio.to_thread(esl.api, words)).startswith("+OK"), words
        left -= min(PER_CALL, left)
    # Which call a leg is, is learnt by speaking on it: names are matched by the first packets that come.
    bench.spoken.clear()
    step("each call is told from the others by its voice")
    await match(bench, mouths)
    await talk(mouths, 2)
    bench.mouth.clear(), bench.ear.clear()
    step(f"{options.seconds} s of calls with streams")
    before, begun = processor(pid), time.monotonic()
    await talk(mouths, options.seconds)
    streams = (processor(pid) - before) / (time.monotonic() - begun)
    grown = memory(pid) - held
    print(f"{len(bench.programs)} streams on {count} calls, {options.seconds} s")
    print(f"mouth to bot: median {figure(bench.mouth, .5):.1f} ms, p99 {figure(bench.mouth, .99):.1f} ms ({len(bench.mouth)} packets)")
    print(f"bot to ear: median {figure(bench.ear, .5):.1f} ms, p99 {figure(bench.ear, .99):.1f} ms ({len(bench.ear)} frames)")
    print(f"processor: {calls * 100 / count:.3f} % of a core for a call, {(streams - calls) * 100 / options.streams:.3f} % for a stream above that")
    print(f"memory: {grown / options.streams:.1f} kB for a stream", flush=True)


async def match(bench, mouths):
    """The paths of programs name legs in the order of the switch's list; calls are told apart by who hears what they say."""
    names = {}
    original, bench.heard_by_program = bench.heard_by_program, lambda program: names.setdefault(program.call, current)
    for mouth in mouths:
        current = mouth.name
        for n in range(25):
            mouth.tick(n in (5, 6))
            await asyncio.sleep(0.02)
    bench.heard_by_program = original
    for program in bench.programs:
        program.call = names.get(program.call, program.call)


def main():
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--streams", type=int, default=200), options.add_argument("--seconds", type=int, default=20)
    sys.exit(not asyncio.run(run(options.parse_args())))


if __name__ == "__main__":
    main()
