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
from test_fax import PATIENCE, Story, same

pytestmark = pytest.mark.timeout(PATIENCE + 50)


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
        """Both machines say that all went well; `statuses` of the change to T.38 are what they say."""
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
            try:
                if self.remotes[1 - side]:
                    self.sockets[1 - side].sendto(data, self.remotes[1 - side])
            except OSError:
                return                      # closed meanwhile

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


def agrees(phone, call, port):
    """Has the phone agree to T.38 at a port of its own. Returns a list of the ports that offers have named."""
    told, usual = [], call._handle

    def takes(packet):
        if packet.method == "INVITE" and "m=image" in packet.body:
            call.seen.append(packet)
            told.append(int(re.search(r"^m=image (\d+)", packet.body, re.M)[1]))
            phone.reply(packet, 200, "OK", body=image(port, packet.body), tag=call.tag)
        else:
            usual(packet)
    call._handle = takes
    return told


def image(port, description):
    return re.sub(r"^(m=image) \d+", rf"\1 {port}", description, flags=re.M)


def until(done, what, seconds=15):
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end, what
        time.sleep(0.05)


def test_noise_from_the_t38_side_does_the_switch_no_harm(site, fax):
    """A stranger agrees to T.38 and sends noise; its partner's call goes on and ends as usual."""
    document, _ = fax
    tiff.write(document, 1)
    phone = site.phone()
    story = Story(site)
    noise = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        bridge(story, story.receiver, ["fax_enable_t38_request=true", "execute_on_answer=t38_gateway self nocng"], f"x@127.0.0.1:{phone.port}")
        call = phone.accept()
        noise.bind(("127.0.0.1", 0))
        noise.settimeout(15)
        told = agrees(phone, call, noise.getsockname()[1])
        call.answer()
        story.run(story.sender, f"txfax:{document}", *NO)
        until(lambda: told, "T.38 was not offered")
        t38 = story.of(story.receiver, "bridge_uuid")
        until(lambda: story.of(t38, "fax_t38_status") == "negotiated", "T.38 was not agreed on")
        assert noise.recv(2000)[:1] == b"\0", "no UDPTL: its numbers begin with 0"
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
    finally:
        noise.close()
        story.__exit__()


def offers_late(call):
    """A re-INVITE without a description: the answer, with audio, is in the ACK."""
    call.acks = False
    call.cseq += 1
    parts = call.target, call.call_id, call.cseq, call.local, call.remote
    call.phone.request("INVITE", *parts, to_address=call.address)
    call.until(lambda packet: packet.status == 200 and packet["cseq"] == f"{call.cseq} INVITE", "an offer in the 200")
    call.phone.request("ACK", *parts, body=call.sdp(), to_address=call.address)


BACK = {"its own re-INVITE": lambda call, esl, leg: call.reinvite(),
        "a late offer": lambda call, esl, leg: offers_late(call),
        "our re-INVITE": lambda call, esl, leg: esl.api(f"uuid_media_reneg {leg}"),
        "a transfer": lambda call, esl, leg: esl.api(f"uuid_transfer {leg} echo inline")}


@pytest.mark.parametrize("way", BACK)
def test_a_call_goes_on_with_audio_after_t38(site, way):
    """Two phones are bridged, one of them changes to T.38 and then has audio again: each hears the other; the one that goes elsewhere
    hears itself."""
    ip, port = site.sip(tree.OPEN)
    near, far = Phone((ip, port)), Phone((ip, port))
    site.phones += [near, far]
    datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    esl = site.esl(timeout=60)
    try:
        datagrams.bind(("127.0.0.1", 0))
        esl.command("event plain CHANNEL_PARK")
        caller = near.invite("park")
        caller.wait(200)
        own = esl.wait_event("CHANNEL_PARK").event["Unique-ID"]
        legs = "absolute_codec_string=PCMU,fax_enable_t38_request=true,execute_on_answer=t38_gateway self nocng"
        steps = [*[f"export:nolocal:{one}" for one in legs.split(",")], f"bridge:sofia/open/x@127.0.0.1:{far.port}", "park"]
        assert esl.api(f"uuid_transfer {own} 'm:^:{'^'.join(steps)}' inline") == "+OK\n"
        call = far.accept()
        told = agrees(far, call, datagrams.getsockname()[1])
        call.answer()
        until(lambda: told, "T.38 was not offered")
        leg = esl.api(f"uuid_getvar {own} bridge_uuid")
        until(lambda: esl.api(f"uuid_getvar {leg} fax_t38_status") == "negotiated", "T.38 was not agreed on")
        heard = len(call.rtp.packets)
        BACK[way](call, esl, leg)
        call.rtp.tone(620)
        caller.rtp.tone(440)
        if way == "a transfer":
            call.rtp.wait_tone(620, since=heard)
        else:
            call.rtp.wait_tone(440, since=heard)
            caller.rtp.wait_tone(620)
        assert len(told) == 1 and not call.ended
    finally:
        datagrams.close()
        esl.api("hupall")
        esl.close()


def test_t38_is_refused_as_long_as_nothing_can_translate(site):
    """The leg is in no bridge: its far end keeps its audio."""
    phone = site.phone()
    esl = site.esl(timeout=60)
    try:
        esl.command(f"bgapi originate {{fax_enable_t38=true,execute_on_answer='t38_gateway self'}}sofia/open/x@127.0.0.1:{phone.port} &echo")
        call = phone.accept()
        call.answer()
        call.acks = False           # no ACK of a 488 from who was called: the harness has none
        time.sleep(0.5)
        lines = call.sdp().replace("m=audio", "m=image").split("\r\n")
        offer = [line if not line.startswith("m=") else f"m=image {call.rtp.port} udptl t38" for line in lines if not line.startswith("a=")]
        assert call.reinvite(sdp="\r\n".join(offer[:-1] + ["a=T38FaxVersion:0", "a=T38MaxBitRate:14400", ""])).status == 488
        call.rtp.tone(440)
        call.rtp.wait_tone(440)
    finally:
        esl.api("hupall")
        esl.close()
