"""A small SIP phone over UDP for tests that need media: calls, answers, registers, hangs up.

It is a test tool, not a stack: loopback loses nothing, so it never retransmits, unless told that it does (`repeats`).
"""
import hashlib
import queue
import re
import secrets
import socket
import threading
import time

from .rtp import Rtp

TIMEOUT = 10


class Packet:
    """A request or response; header names in lower case, in order."""

    def __init__(self, raw):
        head, _, self.body = raw.decode("utf-8", "replace").partition("\r\n\r\n")
        self.start, *lines = re.sub(r"\r\n[ \t]+", " ", head).split("\r\n")
        self.headers = [(n.strip().lower(), v.strip()) for n, _, v in (line.partition(":") for line in lines)]
        self.status = int(self.start.split()[1]) if self.start.startswith("SIP/2.0 ") else 0
        self.method = self["cseq"].split()[-1] if self.status else self.start.split()[0]

    def all(self, name):
        return [v for n, v in self.headers if n == name]

    def __getitem__(self, name):
        return next(iter(self.all(name)), "")

    def media(self):
        """(address, port) the audio of the body goes to."""
        ip = re.search(r"^c=IN IP4 (\S+)", self.body, re.M)
        port = re.search(r"^m=audio (\d+)", self.body, re.M)
        return (ip[1], int(port[1])) if ip and port else None


HASHES = {"MD5": "md5", "SHA-256": "sha256", "SHA-512-256": "sha512_256"}


def digest_fields(value):
    """What stands in a challenge or in credentials; names in lower case."""
    return {k.lower(): v.strip('"') for k, v in re.findall(r'([\w-]+)=("[^"]*"|[^,\s]+)', value)}


def digest_response(fields, password, method, body=""):
    """The response that credentials with these fields are to hold (RFC 7616 §3.4)."""
    algorithm = fields.get("algorithm", "MD5")
    base = algorithm.removesuffix("-sess")

    def of(*parts):
        return hashlib.new(HASHES[base], ":".join(parts).encode()).hexdigest()
    one = of(fields["username"], fields["realm"], password)
    if algorithm != base:
        one = of(one, fields["nonce"], fields["cnonce"])
    two = of(method, fields["uri"], of(body)) if fields.get("qop") == "auth-int" else of(method, fields["uri"])
    counted = [fields[name] for name in ("nc", "cnonce", "qop")] if "qop" in fields else []
    return of(one, fields["nonce"], *counted, two)


def authorization(challenge, user, password, method, uri, body=""):
    """Value of the header that answers a digest challenge, in the way it asks for."""
    given = digest_fields(challenge)
    fields = {"username": user, "realm": given["realm"], "nonce": given["nonce"], "uri": uri, "algorithm": given.get("algorithm", "MD5")}
    offered = given.get("qop", "").split(",")
    if any(offered):
        fields["qop"] = "auth" if "auth" in offered else offered[0].strip()
    if "qop" in fields or fields["algorithm"].endswith("-sess"):
        fields |= {"cnonce": secrets.token_hex(4)}
    if "qop" in fields:
        fields["nc"] = "00000001"
    fields["response"] = digest_response(fields, password, method, body)
    return "Digest " + ", ".join(f"{k}={v}" if k in ("algorithm", "qop", "nc") else f'{k}="{v}"' for k, v in fields.items())


def uri_of(value):
    found = re.search(r"<([^>]*)>", value)
    return found[1] if found else value.split(";")[0]


class Phone:
    """One UDP port on `ip`. `server` is where its requests go."""

    def __init__(self, server, user="phone", password=None, domain=None, ip="127.0.0.1", port=0):
        self.server, self.user, self.password = server, user, password
        self.domain = domain or server[0]
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.bind((ip, port))
        self.sock.settimeout(0.1)
        self.ip, self.port = self.sock.getsockname()
        self.open, self.repeats = True, False
        self.inbox, self.incoming, self.calls = {}, queue.Queue(), []
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    @property
    def contact(self):
        return f"<sip:{self.user}@{self.ip}:{self.port}>"

    def close(self):
        for call in self.calls:
            call.rtp.close()
        self.open = False
        self.reader.join(1)
        self.sock.close()

    # ---- packets

    def _read(self):
        while self.open:
            try:
                data, source = self.sock.recvfrom(65535)
            except (TimeoutError, socket.timeout):
                continue
            except OSError:
                return
            if not data.strip():
                continue
            packet = Packet(data)
            packet.source = source
            take = self.inbox.get(packet["call-id"])
            if take is not None:
                take(packet)
            elif packet.method == "INVITE" and not packet.status:
                call = Call(self, packet["call-id"], invite=packet)
                self.incoming.put(call)
            elif not packet.status and packet.method != "ACK":
                self.reply(packet, 200 if packet.method in ("OPTIONS", "NOTIFY") else 481, "Whatever")

    def send(self, text, to=None):
        self.sock.sendto(text.encode(), to or self.server)

    def reply(self, request, status, reason, extra=(), body="", tag="", kind="application/sdp"):
        lines = [f"SIP/2.0 {status} {reason}"]
        lines += [f"Via: {v}" for v in request.all("via")] + [f"Record-Route: {v}" for v in request.all("record-route")]
        to = request["to"] + (f";tag={tag}" if tag and ";tag=" not in request["to"] else "")
        lines += [f"From: {request['from']}", f"To: {to}", f"Call-ID: {request['call-id']}", f"CSeq: {request['cseq']}"]
        lines += [f"Contact: {self.contact}", *extra] + ([f"Content-Type: {kind}"] if body else [])
        self.send("\r\n".join([*lines, f"Content-Length: {len(body)}", "", body]), request.source)

    def request(self, method, uri, call_id, cseq, from_, to, extra=(), body="", branch=None, to_address=None, kind="application/sdp"):
        branch = branch or "z9hG4bK" + secrets.token_hex(6)
        lines = [f"{method} {uri} SIP/2.0", f"Via: SIP/2.0/UDP {self.ip}:{self.port};rport;branch={branch}", f"From: {from_}", f"To: {to}",
                 f"Call-ID: {call_id}", f"CSeq: {cseq} {method}", f"Contact: {self.contact}", "Max-Forwards: 70",
                 *([] if any(line.startswith("User-Agent:") for line in extra) else ["User-Agent: switch-test"]), *extra] + ([f"Content-Type: {kind}"] if body else [])
        self.send("\r\n".join([*lines, f"Content-Length: {len(body)}", "", body]), to_address)
        return branch

    # ---- outside a call

    def ask(self, method, uri, extra=(), body=""):
        """One request outside a dialog, its final response; answers one challenge."""
        call_id, tag = secrets.token_hex(8), secrets.token_hex(4)
        box = queue.Queue()
        self.inbox[call_id] = box.put
        me = f"<sip:{self.user}@{self.domain}>"
        for cseq in (1, 2):
            said = (method, uri, call_id, cseq, f"{me};tag={tag}", me if method == "REGISTER" else f"<{uri}>", extra, body)
            branch = self.request(*said)
            while (answer := self._hear(box, lambda: self.request(*said, branch=branch))).status < 200:
                pass
            if answer.status not in (401, 407) or self.password is None or cseq == 2:
                return answer
            name = "WWW-Authenticate" if answer.status == 401 else "Proxy-Authenticate"
            value = authorization(answer[name.lower()], self.user, self.password, method, uri, body)
            extra = [*extra, f"{'Authorization' if answer.status == 401 else 'Proxy-Authorization'}: {value}"]

    def _hear(self, box, again):
        """The next packet; while there is none, `again` is sent twice a second if this phone repeats."""
        until = time.monotonic() + TIMEOUT
        while self.repeats and time.monotonic() < until:
            try:
                return box.get(timeout=0.5)
            except queue.Empty:
                again()
        return box.get(timeout=0 if self.repeats else TIMEOUT)

    def register(self, expires=300):
        return self.ask("REGISTER", f"sip:{self.domain}", [f"Expires: {expires}"])

    # ---- calls

    def invite(self, number, extra=(), sdp=None, acks=True, from_=None, kind="application/sdp"):
        """Starts a call and returns at once. Without `acks` the caller acknowledges no answer by itself. `from_` is its address
        instead of the phone's; `sdp`, a text or made of the call, may be a body of another `kind`."""
        call = Call(self, secrets.token_hex(8))
        call.acks, call.from_, call.kind = acks, from_, kind
        call.start(f"sip:{number}@{self.domain}" if "@" not in number else number, extra, sdp)
        return call

    def admitted(self, number, **more):
        """A call that is answered; asked again while the media threads of a loaded machine refuse new ones."""
        for _ in range(30):
            call = self.invite(number, **more)
            final = call.until(lambda p: p.method == "INVITE" and p.status >= 200, "final response")
            if final.status != 503:
                break
            time.sleep(1)
        call.wait(200)
        return call

    def accept(self, timeout=TIMEOUT):
        """The next call coming in, not answered yet."""
        try:
            return self.incoming.get(timeout=timeout)
        except queue.Empty:
            raise AssertionError(f"no call arrived in {timeout} s") from None


class Call:
    """A dialog with one audio stream; `rtp` starts when the far end's address is known."""

    def __init__(self, phone, call_id, invite=None):
        self.phone, self.call_id, self.request = phone, call_id, invite
        self.rtp, self.tag, self.cseq = Rtp(phone.ip), secrets.token_hex(4), 0
        self.seen, self.ended, self.target = [], False, None
        self.changed, self.acks, self.from_, self.kind = threading.Condition(), True, None, "application/sdp"
        phone.inbox[call_id] = self._take
        phone.calls.append(self)
        if invite:
            self.local, self.remote = invite["to"] + f";tag={self.tag}", invite["from"]
            self.target, self.address = uri_of(invite["contact"]), invite.source

    def sdp(self, direction="sendrecv"):
        return "\r\n".join(["v=0", f"o=- 1 1 IN IP4 {self.rtp.ip}", "s=-", f"c=IN IP4 {self.rtp.ip}", "t=0 0",
                            f"m=audio {self.rtp.port} RTP/AVP 0 8 101", "a=rtpmap:0 PCMU/8000", "a=rtpmap:8 PCMA/8000",
                            "a=rtpmap:101 telephone-event/8000", "a=fmtp:101 0-16", "a=ptime:20", f"a={direction}", ""])

    # ---- calling

    def start(self, uri, extra=(), sdp=None):
        self.uri, self.extra, self.offer = uri, list(extra), self.sdp() if sdp is None else sdp(self) if callable(sdp) else sdp
        self.local = (self.from_ or f"<sip:{self.phone.user}@{self.phone.domain}>") + f";tag={self.tag}"
        self.remote, self.address = f"<{uri}>", self.phone.server
        self._invite()

    def _invite(self):
        with self.changed:                          # the answer may come before the next line
            self.cseq += 1
            self.branch = self.phone.request("INVITE", self.uri, self.call_id, self.cseq, self.local, self.remote, self.extra, self.offer, kind=self.kind)

    def ack(self, answer):
        if answer.status < 300:
            self.phone.request("ACK", self.target, self.call_id, self.cseq, self.local, self.remote, to_address=self.address)
        else:
            self.phone.request("ACK", self.uri, self.call_id, self.cseq, self.local, answer["to"], branch=self.branch)

    def _take(self, packet):
        """Called by the phone's reader with each packet of this call."""
        with self.changed:
            self._handle(packet)
            self.changed.notify_all()

    def _handle(self, packet):
        """Default manners for whatever arrives."""
        self.seen.append(packet)
        if packet.status:
            if packet.method != "INVITE":
                return
            if packet.body and (where := packet.media()):
                self.rtp.start(where)
            if packet.status >= 200:
                if packet.status < 300:
                    self.remote, self.target = packet["to"], uri_of(packet["contact"])
                if self.acks:
                    self.ack(packet)
            if packet.status in (401, 407) and self.phone.password and self.cseq == 1:
                kind, ask = ("Authorization", "www-authenticate") if packet.status == 401 else ("Proxy-Authorization", "proxy-authenticate")
                self.extra.append(f"{kind}: " + authorization(packet[ask], self.phone.user, self.phone.password, "INVITE", self.uri, self.offer))
                self._invite()
                self.seen.pop()
        elif packet.method == "BYE":
            self.ended = True
            self.phone.reply(packet, 200, "OK")
        elif packet.method == "CANCEL":
            self.ended = True
            self.phone.reply(packet, 200, "OK")
            self.phone.reply(self.request, 487, "Request Terminated", tag=self.tag)
        elif packet.method == "INVITE" and self.request and packet["cseq"] == self.request["cseq"]:
            return                                  # the first one again: nobody has answered it yet
        elif packet.method == "INVITE":
            if (where := packet.media()):
                self.rtp.start(where)
            self.phone.reply(packet, 200, "OK", body=self.sdp(), tag=self.tag)
        elif packet.method == "ACK" and packet.media():
            self.rtp.start(packet.media())
        elif packet.method != "ACK":
            self.phone.reply(packet, 200, "OK")

    def until(self, done, what, timeout=TIMEOUT):
        """The first packet of this call, old or new, that `done` accepts."""
        def found():
            return next((p for p in self.seen if done(p)), None)
        with self.changed:
            self.changed.wait_for(found, timeout)
            assert found(), f"no {what} in {timeout} s; seen: {[p.start for p in self.seen]}"
            return found()

    def wait(self, status, timeout=TIMEOUT):
        """The response with that status; another final one is a failure."""
        packet = self.until(lambda p: p.method == "INVITE" and (p.status == status or p.status >= 200), f"{status}", timeout)
        assert packet.status == status, f"expected {status}, got {packet.start}"
        return packet

    def cancel(self):
        self.phone.request("CANCEL", self.uri, self.call_id, self.cseq, self.local, self.remote, branch=self.branch)

    # ---- called

    def ring(self):
        self.phone.reply(self.request, 180, "Ringing", tag=self.tag)

    def progress(self):
        self._hear_offer()
        self.phone.reply(self.request, 183, "Session Progress", body=self.sdp(), tag=self.tag)

    def answer(self):
        """200 with our address, then the ACK."""
        self._hear_offer()
        self.phone.reply(self.request, 200, "OK", body=self.sdp(), tag=self.tag)
        return self.until(lambda p: p.method == "ACK", "ACK")

    def _hear_offer(self):
        if (where := self.request.media()):
            self.rtp.start(where)

    def reject(self, status, reason="No"):
        self.phone.reply(self.request, status, reason, tag=self.tag)
        return self.until(lambda p: p.method == "ACK", "ACK")

    # ---- both

    def refer(self, target, replaces=None):
        """Asks the far end to call `target`, in place of another call of this phone if one is given. Returns the answer."""
        if replaces:
            there = re.search(r";tag=([^;>]+)", replaces.remote)[1]
            target += f"?Replaces={replaces.call_id}%3Bto-tag%3D{there}%3Bfrom-tag%3D{replaces.tag}"
        self.cseq += 1
        extra = [f"Refer-To: <{target}>", f"Referred-By: <sip:{self.phone.user}@{self.phone.domain}>"]
        self.phone.request("REFER", self.target, self.call_id, self.cseq, self.local, self.remote, extra, to_address=self.address)
        return self.until(lambda p: p.method == "REFER" and p.status, "answer to REFER")

    def reinvite(self, direction="sendrecv", nowhere=False, sdp=None):
        """Offers the audio anew, `nowhere` as old phones hold: at 0.0.0.0; or `sdp` in its place. Returns the answer."""
        offer = sdp or self.sdp(direction)
        if nowhere:
            offer = offer.replace(f"c=IN IP4 {self.rtp.ip}", "c=IN IP4 0.0.0.0")
        with self.changed:
            self.cseq += 1
            self.phone.request("INVITE", self.target, self.call_id, self.cseq, self.local, self.remote, body=offer, to_address=self.address)
        return self.until(lambda p: p.status >= 200 and p["cseq"] == f"{self.cseq} INVITE", "answer to re-INVITE")

    def hangup(self):
        self.cseq += 1
        self.phone.request("BYE", self.target, self.call_id, self.cseq, self.local, self.remote, to_address=self.address)
        self.until(lambda p: p.method == "BYE" and p.status, "answer to BYE")
        self.ended = True

    def wait_end(self, timeout=TIMEOUT):
        """Until the far end hangs up (or cancels)."""
        return self.until(lambda p: p.method in ("BYE", "CANCEL") and not p.status, "BYE", timeout)
