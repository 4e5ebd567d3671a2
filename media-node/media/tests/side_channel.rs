//! Legs that are found by checks and protected by a handshake, both made outside.

mod kit;

use std::net::SocketAddr;

use kit::World;
use media::io::simulated::SimSocket;
use media::rtp::{HEADER_LEN, write_header};
use media::srtp::{Keying, OVERHEAD, Srtp, SrtpKeys, Suite};
use media::{Codec, Handling, PathSpec, ProtectionSpec, RtpParams, SideChannel};

const SUITE: Suite = Suite::Aes128CmSha80;

fn keys(seed: u8) -> (SrtpKeys, Srtp) {
    let keying = |seed: u8| Keying::new(SUITE, &[seed; 30]).unwrap();
    let (near, far) = (keying(seed), keying(seed + 1));
    let theirs = SrtpKeys { local: far.clone(), remote: Some(near.clone()) };
    (SrtpKeys { local: near, remote: Some(far) }, Srtp::new(theirs))
}

/// A leg without an address; its peer, and a stranger.
struct Setting {
    world: World,
    call: kit::Call,
    side: SideChannel,
    stranger: SimSocket,
}

fn params() -> RtpParams {
    let mut params = RtpParams::new(Codec::PCMU, 0);
    (params.path, params.protection) = (PathSpec::Checked, ProtectionSpec::Handshake);
    params.rtcp_mux = true;
    params
}

impl Setting {
    fn new() -> Self {
        let mut world = World::new();
        let call = world.call_with(1, Codec::PCMU, |p| *p = params());
        let side = call.leg.side_channel().unwrap().unwrap();
        call.leg.echo(true).unwrap();
        world.sim.settle();
        let stranger = world.sim.net.bind(SocketAddr::from(([192, 0, 2, 66], 9))).unwrap();
        Self { world, call, side, stranger }
    }

    fn peer(&self) -> SocketAddr {
        self.call.phone.socket.addr()
    }

    fn packet(&mut self) -> Vec<u8> {
        let phone = &mut self.call.phone;
        phone.seq = phone.seq.wrapping_add(1);
        let mut packet = vec![7; HEADER_LEN + 160];
        let timestamp = u32::from(phone.seq) * 160;
        write_header(packet.first_chunk_mut().unwrap(), false, 0, phone.seq, timestamp, phone.ssrc);
        packet
    }

    fn protected(&mut self, srtp: &mut Srtp) -> Vec<u8> {
        let mut packet = self.packet();
        let len = packet.len();
        packet.resize(len + OVERHEAD, 0);
        let len = srtp.protect_rtp(&mut packet, len).unwrap();
        packet.truncate(len);
        packet
    }

    /// The phone or the stranger sends; how many packets come back to the phone.
    fn exchange(&mut self, packet: &[u8], by_stranger: bool) -> usize {
        let from = if by_stranger { &self.stranger } else { &self.call.phone.socket };
        from.send_to(packet, self.call.phone.server).unwrap();
        self.world.sim.run_ms(20);
        self.call.phone.socket.drain().len()
    }
}

#[test]
fn nothing_is_taken_or_sent_before_path_and_keys_are_there() {
    let mut s = Setting::new();
    let (near, mut far) = keys(1);
    let plain = s.packet();
    assert_eq!(s.exchange(&plain, false), 0);
    s.side.set_path(Some(s.peer())).unwrap();
    s.world.sim.settle();
    let plain = s.packet();
    assert_eq!(s.exchange(&plain, false), 0, "a path without keys");
    assert_eq!(s.call.leg.stats().inbound.packet_count, 0);
    s.side.set_keys(near).unwrap();
    s.world.sim.settle();
    let plain = s.packet();
    assert_eq!(s.exchange(&plain, false), 0, "not genuine");
    let packet = s.protected(&mut far);
    assert_eq!(s.exchange(&packet, false), 1);
    assert_eq!(s.exchange(&packet, false), 0, "seen before");
    let packet = s.protected(&mut far);
    assert_eq!(
        s.exchange(&packet, true),
        1,
        "the peer on another of its addresses: answered on the path"
    );
    assert_eq!(s.call.leg.stats().inbound.packet_count, 2);
}

#[test]
fn path_and_keys_outlive_a_new_agreement() {
    let mut s = Setting::new();
    let (near, mut far) = keys(1);
    s.side.set_path(Some(s.peer())).unwrap();
    s.side.set_keys(near).unwrap();
    s.call.leg.set_rtp(params()).unwrap();
    s.world.sim.settle();
    let packet = s.protected(&mut far);
    assert_eq!(s.exchange(&packet, false), 1);
    let (near, mut far) = keys(5);
    s.side.set_keys(near).unwrap();
    s.world.sim.settle();
    let packet = s.protected(&mut far);
    assert_eq!(s.exchange(&packet, false), 1, "a handshake of its own brought others");
}

#[test]
fn checks_and_handshakes_reach_the_control_side_and_a_flood_does_not_fill_it() {
    let mut s = Setting::new();
    let peer = s.peer();
    s.side.set_path(Some(peer)).unwrap();
    s.world.sim.settle();
    for octets in [&[0, 1, 0, 0, 5][..], &[22, 254, 253, 1]] {
        s.exchange(octets, false);
        let datagram = s.side.take().unwrap();
        assert_eq!((datagram.from, datagram.rtcp, &*datagram.octets), (peer, false, octets));
    }
    let noise = [0; 1200];
    for _ in 0..2000 {
        s.stranger.send_to(&noise, s.call.phone.server).unwrap();
    }
    s.world.sim.run_ms(5);
    let mut strangers = 0;
    while s.side.take().is_some() {
        strangers += 1;
    }
    assert!((1..10).contains(&strangers), "{strangers} of 2000");
    for n in 0..20 {
        s.stranger.send_to(&noise, s.call.phone.server).unwrap();
        s.world.sim.run_ms(5);
        let datagrams: Vec<_> = std::iter::from_fn(|| s.side.take()).collect();
        s.exchange(&[0, 1, n], false);
        let own = s.side.take();
        assert_eq!(own.map(|d| d.octets), Some(vec![0, 1, n]), "{}", datagrams.len());
        while s.side.take().is_some() {}
    }
}

#[tokio::test]
async fn the_control_side_ends_with_the_leg() {
    let mut s = Setting::new();
    drop(s.call);
    s.world.sim.settle();
    assert_eq!(s.side.recv().await, None);
}

#[test]
fn fax_packets_come_to_the_control_side_of_a_leg_without_a_bridge() {
    let mut world = World::new();
    let call = world.call_with(1, Codec::PCMU, |p| p.handling = Handling::Datagrams);
    let mut side = call.leg.side_channel().unwrap().unwrap();
    world.sim.settle();
    let stranger = world.sim.net.bind(SocketAddr::from(([192, 0, 2, 66], 9))).unwrap();
    let peer = call.phone.socket.addr();
    // Whatever they begin with: these look like a check, a handshake, RTP and RTCP.
    for octets in [&[0, 1, 2][..], &[22, 254, 1], &[0x80, 0, 3], &[0x80, 200, 4]] {
        call.phone.socket.send_to(octets, call.phone.server).unwrap();
        world.sim.run_ms(20);
        let datagram = side.take().unwrap();
        assert_eq!((datagram.from, &*datagram.octets), (peer, octets));
        stranger.send_to(octets, call.phone.server).unwrap();
        world.sim.run_ms(20);
        assert_eq!(side.take(), None, "a stranger's");
    }
    side.send_to(&[0, 7, 1, 9, 0, 0], peer, false).unwrap();
    world.sim.run_ms(20);
    assert_eq!(call.phone.socket.drain().len(), 1, "ours, and no audio");
}

#[test]
fn fax_packets_of_a_leg_bridged_to_audio_come_to_its_control_side_and_no_audio_to_its_far_end() {
    let mut world = World::new();
    let fax = world.call_with(1, Codec::PCMU, |p| p.handling = Handling::Datagrams);
    let mut audio = world.call(2, Codec::PCMU);
    fax.leg.bridge(&audio.leg).unwrap();
    let mut side = fax.leg.side_channel().unwrap().unwrap();
    let peer = fax.phone.socket.addr();
    for n in 0..25 {
        fax.phone.socket.send_to(&[0, n, 1, 9, 0, 0], fax.phone.server).unwrap();
        audio.phone.speak(&[n; 160]);
        world.sim.run_ms(20);
    }
    let came: Vec<_> = std::iter::from_fn(|| side.take()).collect();
    assert_eq!(came.len(), 25);
    assert!(came.iter().all(|datagram| datagram.from == peer && datagram.octets.len() == 6));
    assert!(fax.phone.socket.drain().is_empty(), "audio was sent where fax is taken");
    // Audio goes again once the leg has it.
    let mut params = RtpParams::new(Codec::PCMU, 0);
    params.remote = Some(peer);
    fax.leg.set_rtp(params).unwrap();
    for n in 0..5 {
        audio.phone.speak(&[n; 160]);
        world.sim.run_ms(20);
    }
    assert_eq!(fax.phone.heard().len(), 5);
}
