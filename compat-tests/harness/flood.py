"""Floods of SIP requests from many loopback addresses, from a process of its own.

Nothing here waits for answers: a stranger who floods does not read.
"""
import multiprocessing
import random
import secrets
import socket
import time

# What a known peer of `guarded` (bench and tests) sends from.
TRUNK = "127.0.0.20"


def sources(count):
    """Loopback addresses, none of them the trunk's."""
    return [f"127.{1 + n // 60000}.{1 + n // 250 % 240}.{1 + n % 250}" for n in range(count)]


def request(method, source, server, n, size=0, tag="", extra=()):
    """One request of so many bytes or a little more, as a stranger writes it."""
    key = f"{secrets.token_hex(4)}-{n}"
    lines = [f"{method} sip:echo@{server[0]} SIP/2.0", f"Via: SIP/2.0/UDP {source};rport;branch=z9hG4bK{key};x={'x' * size}",
             f"From: <sip:a@{source}>;tag={n}", f"To: <sip:echo@{server[0]}>{tag}", f"Call-ID: {key}", f"CSeq: 1 {method}",
             f"Contact: <sip:a@{source}>", "Max-Forwards: 70", "Event: presence", "Expires: 60", *extra, "Content-Length: 0", "", ""]
    return "\r\n".join(lines).encode()


def _credentials(server):
    response = secrets.token_hex(16)
    return [f'Authorization: Digest username="{random.randrange(1000, 1010)}", realm="{server[0]}", nonce="{secrets.token_hex(16)}", '
            f'uri="sip:{server[0]}", response="{response}", algorithm=MD5']


KINDS = {
    "options": lambda s, a, n: request("OPTIONS", s, a, n),
    "tagged": lambda s, a, n: request(("OPTIONS", "NOTIFY", "SUBSCRIBE")[n % 3], s, a, n, tag=";tag=made-up"),
    "register": lambda s, a, n: request("REGISTER", s, a, n),
    "guesses": lambda s, a, n: request("REGISTER", s, a, n, extra=_credentials(a)),
    "invite": lambda s, a, n: request("INVITE", s, a, n),
    "subscribe": lambda s, a, n: request("SUBSCRIBE", s, a, n),
    "large": lambda s, a, n: request(("REGISTER", "INVITE", "OPTIONS", "SUBSCRIBE")[n % 4], s, a, n, size=59_000),
    "cancel": lambda s, a, n: request(("CANCEL", "ACK", "BYE", "PRACK")[n % 4], s, a, n, tag=";tag=made-up"),
    "responses": lambda s, a, n: b"SIP/2.0 200 OK" + request("OPTIONS", s, a, n)[len("OPTIONS sip:echo@127.0.0.1 SIP/2.0"):],
    "garbage": lambda s, a, n: random.randbytes(600),
    # By TCP: what never becomes a message, and half of one whose end does not come.
    "tcp": lambda s, a, n: random.randbytes(16_000) if n % 2 else request("OPTIONS", s, a, n, size=60_000)[:59_000],
}


def _connect(server, ip):
    s = socket.socket()
    s.setblocking(False)
    s.bind((ip, 0))
    s.connect_ex(server)
    return s


def _send_tcp(server, kind, count, rate, stop):
    make, ips = KINDS[kind], sources(count)
    out = [_connect(server, ip) for ip in ips]
    started, n = time.monotonic(), 0
    while not stop.is_set():
        if rate and n >= (time.monotonic() - started) * rate:
            time.sleep(0.001)
            continue
        at = n % len(out)
        try:
            out[at].send(make(s=ips[at], a=server, n=n))
        except BlockingIOError:
            time.sleep(0.0001)
        except OSError:
            # Closed by the server: it comes again.
            out[at].close()
            try:
                out[at] = _connect(server, ips[at])
            except OSError:
                time.sleep(0.01)
        n += 1


def _send(server, kind, count, rate, stop):
    if kind == "tcp":
        return _send_tcp(server, kind, count, rate, stop)
    make, out = KINDS[kind], []
    for ip in sources(count):
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        s.bind((ip, 0))
        s.setblocking(False)
        out.append((s, ip))
    started, n = time.monotonic(), 0
    while not stop.is_set():
        if rate and n >= (time.monotonic() - started) * rate:
            time.sleep(0.001)
            continue
        s, ip = out[n % len(out)]
        try:
            s.sendto(make(s=ip, a=server, n=n), server)
        except OSError:
            pass
        n += 1


class Flood:
    """Sends until the `with` block ends. `rate` is per second and in all; 0 is as fast as one core can."""

    def __init__(self, server, kind, sources=200, rate=3000):
        self.stop = multiprocessing.Event()
        self.process = multiprocessing.Process(target=_send, args=(server, kind, sources, rate, self.stop), daemon=True)

    def __enter__(self):
        self.process.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        self.process.join(10)


class Peer:
    """Asks OPTIONS at a steady rate and notes how long each answer takes."""

    def __init__(self, server, ip=TRUNK):
        self.server, self.sock = server, socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.bind((ip, 0))
        self.sock.settimeout(0.005)
        self.ip, self.sent, self.took = ip, {}, {}

    def ask(self, n=None):
        key = secrets.token_hex(8)
        text = request("OPTIONS", f"{self.ip}:{self.sock.getsockname()[1]}", self.server, 0).decode()
        text = "\r\n".join(f"Call-ID: {key}" if line.startswith("Call-ID") else line for line in text.split("\r\n"))
        self.sent[key] = time.monotonic()
        self.sock.sendto(text.encode(), self.server)
        return key

    def hear(self):
        try:
            data = self.sock.recv(65535).decode("utf-8", "replace")
        except (TimeoutError, BlockingIOError):
            return
        key = next((line[9:] for line in data.split("\r\n") if line.startswith("Call-ID: ")), "")
        if data.startswith("SIP/2.0 200") and key in self.sent:
            self.took.setdefault(key, time.monotonic() - self.sent[key])

    def run(self, seconds, rate=50, meanwhile=lambda: None):
        started, n = time.monotonic(), 0
        while (now := time.monotonic()) < started + seconds:
            if n <= (now - started) * rate:
                self.ask()
                n += 1
                meanwhile()
            self.hear()
        end = time.monotonic() + 2
        while len(self.took) < len(self.sent) and time.monotonic() < end:
            self.hear()

    def answered(self):
        """Part of the questions that were answered, and the time within which 99 % of the answers came."""
        times = sorted(self.took.values())
        return len(times) / max(len(self.sent), 1), times[int(len(times) * 0.99)] if times else float("inf")

    def close(self):
        self.sock.close()
