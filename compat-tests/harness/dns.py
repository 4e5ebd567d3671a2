"""A name server that knows a few NAPTR records, on a UDP port of its own."""
import socket
import struct
import threading

NAPTR, IN, NXDOMAIN = 35, 1, 3


def text(value):
    """A character-string: its length, then its bytes."""
    value = value.encode() if isinstance(value, str) else value
    return bytes([len(value)]) + value


def naptr(order, preference, flags, service, regexp):
    """A record without replacement: what telephone numbers have."""
    return struct.pack("!HH", order, preference) + text(flags) + text(service) + text(regexp) + b"\0"


class NameServer:
    """Answers from `zone` (name to records, to be changed at will); a name whose records are None gets no answer."""

    def __init__(self, zone, ip="127.0.0.1"):
        self.zone, self.asked = zone, []
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((ip, 0))
        self.ip, self.port = self.socket.getsockname()
        self.closing = False
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def close(self):
        self.closing = True
        self.socket.sendto(b"", self.socket.getsockname())
        self.thread.join()
        self.socket.close()

    def _serve(self):
        while True:
            packet, sender = self.socket.recvfrom(4096)
            if self.closing:
                return
            if answer := self._answer(packet):
                self.socket.sendto(answer, sender)

    def _answer(self, packet):
        labels, at = [], 12
        while length := packet[at]:
            labels.append(packet[at + 1:at + 1 + length].decode())
            at += 1 + length
        end = at + 5
        kind, _ = struct.unpack("!HH", packet[at + 1:end])
        name = ".".join(labels).lower()
        self.asked.append((name, kind))
        records = self.zone.get(name, ())
        if records is None:
            return None
        if kind != NAPTR:
            records = ()
        # A reply to a question we could have been asked, with authority; the owner points to the question's name.
        flags = 0x8580 | (0 if name in self.zone else NXDOMAIN)
        header = packet[:2] + struct.pack("!HHHHH", flags, 1, len(records), 0, 0)
        answers = (struct.pack("!HHHIH", 0xC00C, NAPTR, IN, 1, len(data)) + data for data in records)
        return header + packet[12:end] + b"".join(answers)
