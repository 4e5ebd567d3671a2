"""t38_gateway: a fax that is audio on one leg of a bridge and T.38 on the other. All four legs are one switch's, through SIP and RTP:
a machine calls, its call is bridged to a second one, and another machine takes that."""
import random
import re
import socket
import threading
import time

import pytest
from harness import tiff, tree
from harness.sip import Phone
from test_fax import Story, same


class Bridged(Story):
    """`sender` - `a` = bridge = `b` - `receiver`. `legs` are variables of `b`; the call goes to `target`, or back to the switch, where
    it is parked unless it is said not to be."""

    def __init__(self, site, legs, *variables, target=None, parks=True):
        super().__init__(site)
        self.a = self.receiver
        self.esl.command("event plain CHANNEL_BRIDGE DETECTED_TONE CHANNEL_ANSWER")
        ip, port = site.sip(tree.OPEN)
        known = {event["Unique-ID"] for event in self.told if event.get("Event-Name") == "CHANNEL_PARK"}
        target = target or f"park@{ip}:{port}"
        bridge(self, self.a, legs, target, *variables)
        if parks:
            self.receiver = self.until("CHANNEL_PARK", lambda e: e["Unique-ID"] not in known and e["Call-Direction"] == "inbound")["Unique-ID"]
        self.b = self.until("CHANNEL_BRIDGE")["Bridge-B-Unique-ID"]

    def settings(self):
        """Whether a leg has fax or audio, by what its description says."""
        return [re.search(r"^m=(\w+)", self.of(uuid, "rtp_local_sdp_str"), re.M)[1] for uuid in (self.a, self.b)]

    def fax(self, document, arrives, sends=(), receives=()):
        self.run(self.receiver, f"rxfax:{arrives}", *receives)
        self.run(self.sender, f"txfax:{document}", *sends)

    def ends_well(self, statuses):
        """Both machines are content; `statuses` of the change to T.38 are what they say."""
        for side, wanted in zip(("tx", "rx"), statuses, strict=True):
            result = self.result(side)
            assert (result["fax-result-text"], result["fax-t38-status"]) == ("OK", wanted), result


def bridge(story, uuid, legs, target, *variables):
    steps = [f"set:{variable}" for variable in variables] + [f"export:nolocal:{variable}" for variable in ["absolute_codec_string=PCMU", *legs]]
    assert story.esl.api(f"uuid_transfer {uuid} 'm:^:{'^'.join([*steps, f'bridge:sofia/open/{target}', 'park'])}' inline") == "+OK\n"


@pytest.fixture
def fax(tmp_path):
    return tmp_path / "sent.tif", tmp_path / "received.tif"


# Where the application runs and what it says, whose far end has T.38, what the machines may do.
NO, YES = ("fax_enable_t38=false",), ("fax_enable_t38=true",)


@pytest.mark.parametrize("app, side", [("t38_gateway self", "b"), ("t38_gateway self nocng", "b"), ("t38_gateway peer", "a"), ("t38_gateway", "a")])
def test_one_leg_has_t38_and_the_other_audio(site, fax, app, side):
    document, arrives = fax
    images = tiff.write(document, 2)
    wants = "fax_enable_t38_request=true"
    at_once = "nocng" in app            # run once the machine is there that agrees to T.38
    with Bridged(site, [f"execute_on_answer={app}"] * (not at_once) + [wants] * (side == "b"), *[wants] * (side == "a")) as story:
        story.fax(document, arrives, YES if side == "a" else NO, YES if side == "b" else NO)
        if at_once:
            while story.of(story.receiver, "fax_filename") == "_undef_":
                time.sleep(0.05)
            time.sleep(0.5)
            story.esl.execute(story.b, *app.split(" ", 1))
        story.ends_well(("negotiated", "off") if side == "a" else ("off", "negotiated"))
        same(images, arrives)
        assert story.settings() == (["image", "audio"] if side == "a" else ["audio", "image"])
        fax_leg, audio_leg = (story.a, story.b) if side == "a" else (story.b, story.a)
        shown = {name: story.of(fax_leg, name) for name in ("t38_peer", "t38_gateway_format", "fax_t38_status", "fax_ecm_used", "fax_transfer_rate")}
        assert shown == {"t38_peer": audio_leg, "t38_gateway_format": "udptl", "fax_t38_status": "negotiated", "fax_ecm_used": "on",
                         "fax_transfer_rate": "14400"}
        assert (story.of(audio_leg, "t38_peer"), story.of(audio_leg, "t38_gateway_format")) == (fax_leg, "audio")
        assert story.of(story.b, "t38_leg") == app.split()[1] if " " in app else "peer"
        detected = [event for event in story.told if event.get("Event-Name") == "DETECTED_TONE"]
        assert [event["Detected-Fax-Tone"] for event in detected] == ["true"] * (not at_once)
        # A fax that is over leaves the calls; the end of one is the end of all.
        assert story.esl.api(f"uuid_kill {story.receiver}") == "+OK\n"
        story.until("CHANNEL_HANGUP_COMPLETE", lambda event: event["Unique-ID"] == story.a)
        story.until("CHANNEL_HANGUP_COMPLETE", lambda event: event["Unique-ID"] == story.b)


def test_the_far_end_may_ask_for_t38_itself(site, fax):
    """Nothing is requested: the machine behind the T.38 leg changes, and the gateway takes that for the sign."""
    document, arrives = fax
    images = tiff.write(document, 1)
    with Bridged(site, ["execute_on_answer=t38_gateway self", "fax_enable_t38=true"]) as story:
        story.fax(document, arrives, NO, ("fax_enable_t38=true", "fax_enable_t38_request=true", "fax_t38_rx_reinvite_packet_count=10"))
        story.ends_well(("off", "negotiated"))
        same(images, arrives)
        assert story.settings() == ["audio", "image"]


def test_a_far_end_that_refuses_t38_leaves_the_audio(site, fax):
    document, arrives = fax
    images = tiff.write(document, 1)
    with Bridged(site, ["execute_on_answer=t38_gateway self", "fax_enable_t38_request=true"]) as story:
        story.fax(document, arrives, NO)            # fax_enable_t38 is not set: 488
        story.ends_well(("off", "off"))
        same(images, arrives)
        assert story.of(story.b, "fax_t38_status") == "refused" and story.settings()[0] == "audio"


def test_nothing_changes_without_a_fax_machine(site, tmp_path):
    with Bridged(site, ["execute_on_answer=t38_gateway self", "fax_enable_t38_request=true", "t38_gateway_detect_timeout=1"]) as story:
        time.sleep(1.5)
        story.run(story.receiver, f"rxfax:{tmp_path}/received.tif", *YES)
        time.sleep(4)
        assert story.settings() == ["audio", "audio"] and story.of(story.b, "t38_peer") == "_undef_"


@pytest.mark.parametrize("side", ["sender", "receiver"])
def test_a_hangup_in_the_middle_of_a_page_ends_all(site, fax, side):
    document, arrives = fax
    tiff.write(document, 1, rows=1100)
    with Bridged(site, ["execute_on_answer=t38_gateway self", "fax_enable_t38_request=true"]) as story:
        story.fax(document, arrives, NO, YES)
        story.until("spandsp::rxfaxnegociateresult", lambda event: event["Unique-ID"] == story.receiver)
        story.esl.api(f"uuid_kill {getattr(story, side)}")
        assert {story.result(one)["fax-result-code"] for one in ("tx", "rx")} == {"49"}
        for uuid in (story.sender, story.a, story.b, story.receiver):
            story.until("CHANNEL_HANGUP_COMPLETE", lambda event, uuid=uuid: event["Unique-ID"] == uuid)


class Carrier:
    """Between two calls of the switch: passes SIP, RTP and UDPTL on, and loses a share of the UDPTL datagrams. The first call comes to
    `near`; the second goes to the switch."""

    def __init__(self, site, loses):
        self.near, self.far = Phone(site.sip(tree.OPEN)), Phone(site.sip(tree.OPEN))
        site.phones += [self.near, self.far]
        self.sockets = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2)]
        self.remotes, self.t38, self.loses, self.passed, self.lost = [None, None], False, loses, 0, 0
        for one in self.sockets:
            one.bind(("127.0.0.1", 0))
        self.open = True
        self.threads = [threading.Thread(target=work, args=args, daemon=True)
                        for work, args in ((self._pump, (0,)), (self._pump, (1,)), (self._call, ()))]
        for thread in self.threads:
            thread.start()

    def close(self):
        self.open = False
        for one in self.sockets:
            one.close()

    def _pump(self, side):
        while self.open:
            try:
                data = self.sockets[side].recv(2000)
            except OSError:
                return
            if self.t38 and data[:1] != b"\x80":
                self.passed += 1
                if self.passed % self.loses == 0:
                    self.lost += 1
                    continue
            if self.remotes[1 - side]:
                self.sockets[1 - side].sendto(data, self.remotes[1 - side])

    def _through(self, body, of):
        """A description of side `of`, as the other side is to see it."""
        port = int(re.search(r"^m=\w+ (\d+)", body, re.M)[1])
        self.remotes[of] = ("127.0.0.1", port)
        return re.sub(r"^(m=\w+) \d+", rf"\1 {self.sockets[1 - of].getsockname()[1]}", body, flags=re.M)

    def _call(self):
        first = self.near.accept(30)
        body = self._through(first.request.body, 0)
        second = self.far.invite("park", sdp=body)
        answer = self._through(second.wait(200).body, 1)
        for call in (first, second):
            call.rtp.start = lambda where: None
        second.rtp.pause()
        first.sdp = lambda *_: answer
        usual = first._handle

        def changes(packet):
            if packet.method == "INVITE" and not packet.status and "m=image" in packet.body:
                first.seen.append(packet)
                threading.Thread(target=self._change, args=(first, second, packet), daemon=True).start()
            else:
                usual(packet)
                if first.ended and not second.ended:
                    threading.Thread(target=second.hangup, daemon=True).start()
        first._handle = changes
        first.answer()

    def _change(self, first, second, packet):
        answer = second.reinvite(sdp=self._through(packet.body, 0))
        body = self._through(answer.body, 1) if answer.status == 200 else ""
        self.t38 = answer.status == 200
        self.near.reply(packet, answer.status, "So", body=body, tag=first.tag)


def test_lost_datagrams_do_no_harm(site, fax):
    """One of 25 datagrams is lost either way."""
    document, arrives = fax
    images = tiff.write(document, 2)
    carrier = Carrier(site, 25)
    try:
        with Bridged(site, ["execute_on_answer=t38_gateway self", "fax_enable_t38_request=true"],
                     target=f"t38@127.0.0.1:{carrier.near.port}") as story:
            story.fax(document, arrives, NO, YES)
            story.ends_well(("off", "negotiated"))
            same(images, arrives)
            assert carrier.lost > 5, carrier.passed
    finally:
        carrier.close()


def test_noise_from_the_t38_side_does_the_switch_no_harm(site, fax):
    """A stranger agrees to T.38 and sends noise; its partner's call goes on and ends as usual."""
    document, _ = fax
    tiff.write(document, 1)
    phone = site.phone()
    story = Story(site)
    try:
        bridge(story, story.receiver, ["fax_enable_t38_request=true", "execute_on_answer=t38_gateway self nocng"], f"x@127.0.0.1:{phone.port}")
        call = phone.accept()
        noise = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        noise.bind(("127.0.0.1", 0))
        told, usual = [], call._handle

        def agrees(packet):
            if packet.method == "INVITE" and "m=image" in packet.body:
                call.seen.append(packet)
                told.append(int(re.search(r"^m=image (\d+)", packet.body, re.M)[1]))
                body = re.sub(r"^(m=image) \d+", rf"\1 {noise.getsockname()[1]}", packet.body, flags=re.M)
                phone.reply(packet, 200, "OK", body=body, tag=call.tag)
            else:
                usual(packet)
        call._handle = agrees
        call.answer()
        story.run(story.sender, f"txfax:{document}", *NO)
        until = time.monotonic() + 10
        while not told and time.monotonic() < until:
            time.sleep(0.05)
        assert told, "T.38 was not offered"
        draw = random.Random(3)
        for n in range(1500):
            body = bytes([0xC0 | draw.randrange(16) << 1, 1, 0x80 | draw.randrange(8) << 4, 0, draw.randrange(60)])
            body += bytes(draw.randrange(256) for _ in range(body[-1] + 1))
            datagram = bytes(draw.randrange(256) for _ in range(draw.randrange(80))) if n % 3 else (n // 3).to_bytes(2, "big") + bytes([len(body)]) + body + b"\0\0"
            noise.sendto(datagram, ("127.0.0.1", told[0]))
            if n % 50 == 0:
                time.sleep(0.02)
        assert story.esl.api("status").startswith("UP ")
        assert story.of(story.receiver, "t38_gateway_format") == "audio"
        call.hangup()
        story.until("CHANNEL_HANGUP_COMPLETE", lambda event: event["Unique-ID"] == story.receiver)
        noise.close()
    finally:
        story.__exit__()
