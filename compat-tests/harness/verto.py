"""A Verto client without media: JSON-RPC over a WebSocket, and what lies below it for clients that misbehave."""
import base64
import itertools
import json
import os
import queue
import socket
import struct
import threading
import time

OFFER = "\r\n".join(["v=0", "o=- 1 1 IN IP4 127.0.0.1", "s=-", "c=IN IP4 127.0.0.1", "t=0 0", "m=audio {port} UDP/TLS/RTP/SAVPF 111 0",
                     "a=rtpmap:111 opus/48000/2", "a=rtpmap:0 PCMU/8000", "a=candidate:1 1 udp 2122260223 127.0.0.1 {port} typ host",
                     "a=ice-ufrag:probe", "a=ice-pwd:probePassword0123456789x", "a=fingerprint:sha-256 " + ":".join(["AB"] * 32),
                     "a=setup:actpass", "a=rtcp-mux", "a=mid:0", "a=sendrecv", ""])


def frame(payload, opcode=1, mask=b"\1\2\3\4", final=True, claimed=None):
    length = len(payload) if claimed is None else claimed
    head = bytes([opcode | (128 if final else 0)])
    bit = 128 if mask else 0
    head += bytes([bit | length]) if length < 126 else bytes([bit | 126]) + struct.pack(">H", length) if length < 1 << 16 else bytes([bit | 127]) + struct.pack(">Q", length)
    if not mask:
        return head + payload
    return head + mask + bytes(b ^ mask[i & 3] for i, b in enumerate(payload))


class Verto:
    def __init__(self, address, upgrade=True):
        self.sock = socket.create_connection(address, 10)
        self.numbers, self.inbox, self.closed, self.buffer = itertools.count(1), queue.Queue(), threading.Event(), b""
        self.seen = []
        if upgrade:
            self.upgrade()
            threading.Thread(target=self._read, daemon=True).start()

    def upgrade(self):
        key = base64.b64encode(os.urandom(16)).decode()
        self.sock.sendall(f"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: {key}\r\n"
                          "Sec-WebSocket-Version: 13\r\n\r\n".encode())
        while b"\r\n\r\n" not in self.buffer:
            if not (chunk := self.sock.recv(4096)):
                raise ConnectionError("closed")
            self.buffer += chunk
        head, _, self.buffer = self.buffer.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101"), head

    def _exactly(self, count):
        while len(self.buffer) < count:
            chunk = self.sock.recv(1 << 16)
            if not chunk:
                raise EOFError
            self.buffer += chunk
        taken, self.buffer = self.buffer[:count], self.buffer[count:]
        return taken

    def _read(self):
        try:
            while True:
                first, second = self._exactly(2)
                length = second & 127
                if length >= 126:
                    length = int.from_bytes(self._exactly(2 if length == 126 else 8))
                payload = self._exactly(length)
                if first & 15 == 1 and payload[:1] in b"{[":
                    self.inbox.put(json.loads(payload))
                elif first & 15 == 1:
                    self.inbox.put({"text": payload.decode()})
                elif first & 15 == 9:
                    self.sock.sendall(frame(payload, opcode=10))
        except (OSError, EOFError, ValueError):
            self.closed.set()

    def send(self, value):
        self.sock.sendall(frame((value if isinstance(value, str) else json.dumps(value)).encode()))

    def wait(self, test, timeout=10):
        until = time.monotonic() + timeout
        for i, message in enumerate(self.seen):
            if isinstance(message, dict) and test(message):
                return self.seen.pop(i)
        while True:
            try:
                message = self.inbox.get(timeout=max(0.001, until - time.monotonic()))
            except queue.Empty:
                raise AssertionError(f"not among {self.seen}") from None
            if isinstance(message, dict) and test(message):
                return message
            self.seen.append(message)

    def ask(self, method, **params):
        number = next(self.numbers)
        self.send({"jsonrpc": "2.0", "method": method, "params": params, "id": number})
        return self.wait(lambda m: m.get("id") == number and "method" not in m)

    def method(self, name, timeout=10):
        return self.wait(lambda m: m.get("method") == name, timeout)

    def login(self, login, passwd, **more):
        return self.ask("login", login=login, passwd=passwd, **more)

    def close(self):
        try:
            self.sock.shutdown(socket.SHUT_RDWR)        # a thread waits on it: closing alone would not end the connection
        except OSError:
            pass
        self.sock.close()
