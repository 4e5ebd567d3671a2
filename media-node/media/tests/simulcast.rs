//! Simulcast and transport-wide feedback: each receiver is sent the layer that fits it, in one stream.

mod kit;

use kit::camera::{Camera, PT, options, room};
use kit::{Packet, World};
use media::picture::PictureOptions;
use media::picture::simulcast::Simulcast;
use media::rtcp::transport;
use media::rtp::{self, Header};
use media::{Codec, Handling, Leg};

/// Simulcast of two sizes: "h" of 1 Mbit/s and "l" of 100 kbit/s; the name of a layer is in its payload.
struct Pair {
    camera: Camera,
    named: bool,
    seq: [u16; 2],
    whole: [bool; 2],
}

const RID: u8 = 4;
const NUMBER: u8 = 5;
const LARGE: usize = 1230;
const SMALL: usize = 105;

impl Pair {
    fn new(world: &mut World, mixer: &Leg) -> Self {
        let call = world.call_with(40, Codec::L16_8K, |params| {
            params.handling = Handling::Packets;
            params.rtcp_mux = true;
            (params.send_pt, params.recv_pt) = (PT, PT);
            let rids = vec!["h".to_owned(), "l".to_owned()];
            params.simulcast = Some(Simulcast { extension: RID, rids });
            params.transport_cc = Some(NUMBER);
        });
        call.leg.join_pictures(mixer, options()).unwrap();
        let camera = Camera { call, number: 0 };
        Self { camera, named: true, seq: [100, 9000], whole: [true; 2] }
    }

    fn ssrc(layer: usize) -> u32 {
        0x5000 + layer as u32
    }

    /// A frame of the layers given, each with its name and a number of the line until it is acknowledged.
    fn film(&mut self, layers: &[usize]) {
        for &layer in layers {
            let [s0, s1] = self.seq[layer].to_be_bytes();
            self.seq[layer] = self.seq[layer].wrapping_add(1);
            self.camera.number = self.camera.number.wrapping_add(1);
            let [n0, n1] = self.camera.number.to_be_bytes();
            let [t0, t1] = self.camera.number.wrapping_mul(900).to_be_bytes();
            let mut packet = vec![0x90, 0x80 | PT, s0, s1, 0, 0, t0, t1];
            packet.extend(Self::ssrc(layer).to_be_bytes());
            packet.extend([0xbe, 0xde, 0, 2, NUMBER << 4 | 1, n0, n1]);
            let name = if self.named { [RID << 4, b"hl"[layer]] } else { [0, 0] };
            packet.extend(name);
            packet.extend([0; 3]);
            let whole = std::mem::take(&mut self.whole[layer]);
            packet.extend([0x90, 0xa0, 0x80, 1, 0, u8::from(!whole), b"hl"[layer]]);
            packet.resize(packet.len() + [LARGE, SMALL][layer], 0);
            self.camera.call.phone.socket.send_to(&packet, self.camera.call.phone.server).unwrap();
        }
    }

    /// Does as it was asked: key frames of the layers whose SSRC was named, and no other. How many reports told of
    /// packets that had come.
    fn answer_requests(&mut self) -> usize {
        let mut told = 0;
        for packet in self.camera.call.phone.socket.drain() {
            let mut rest = &packet[..];
            while rest.len() >= 12 {
                let len = (usize::from(u16::from_be_bytes([rest[2], rest[3]])) + 1) * 4;
                let about = u32::from_be_bytes([rest[8], rest[9], rest[10], rest[11]]);
                for layer in 0..2 {
                    self.whole[layer] |= rest[..2] == [0x81, 206] && about == Self::ssrc(layer);
                }
                told += usize::from(rest[..2] == [0x8f, 205]);
                rest = &rest[len..];
            }
        }
        told
    }

    fn run(&mut self, world: &mut World, frames: usize, layers: &[usize]) -> usize {
        let mut told = 0;
        for _ in 0..frames {
            self.film(layers);
            world.sim.run_ms(10);
            told += self.answer_requests();
        }
        told
    }
}

fn layers(packets: &[Packet]) -> String {
    let mut all: Vec<_> = packets.iter().map(|packet| char::from(packet.payload[6])).collect();
    all.dedup();
    all.into_iter().collect()
}

#[test]
fn each_receiver_has_the_layer_that_fits_it_in_one_stream() {
    let mut world = World::new();
    let (mixer, [large, small, narrow]) = room::<3>(&mut world);
    let mut pair = Pair::new(&mut world, &mixer);
    let options = PictureOptions { small: true, ..options() };
    small.leg().join_pictures(&mixer, options).unwrap();
    for viewer in [&large, &small, &narrow] {
        viewer.leg().look_at(Some(pair.camera.leg())).unwrap();
    }
    world.sim.settle();
    // The first packet is of the large one; the small one is known from the second on.
    pair.run(&mut world, 30, &[0, 1]);
    assert!(layers(&small.seen()).ends_with('l'));
    let told = pair.run(&mut world, 200, &[0, 1]);
    assert!((15..=25).contains(&told), "ten times a second it is told what has come: {told}");
    pair.named = false;
    let mut all = narrow.seen();
    assert_eq!((layers(&large.seen()), layers(&all)), ("h".into(), "h".into()));
    assert_eq!(layers(&small.seen()), "l");
    for _ in 0..10 {
        narrow.remb(300_000, &[narrow.leg().ssrc()]);
        pair.run(&mut world, 20, &[0, 1]);
    }
    assert_eq!((layers(&large.seen()), layers(&small.seen())), ("h".into(), "l".into()));
    all.extend(narrow.seen());
    assert_eq!(layers(&all), "hl", "the others have theirs all the same");
    // Wide again: as much as it asks for, once the last fall is a while ago.
    for _ in 0..40 {
        narrow.remb(2_000_000, &[narrow.leg().ssrc()]);
        pair.run(&mut world, 20, &[0, 1]);
    }
    all.extend(narrow.seen());
    assert_eq!(layers(&all), "hlh");
    // The layer stops.
    pair.run(&mut world, 400, &[1]);
    let after = narrow.seen();
    assert_eq!(layers(&after), "l");
    all.extend(after);
    for two in all.windows(2) {
        let (one, next) = (&two[0].header, &two[1].header);
        assert_eq!((one.ssrc, one.seq.wrapping_add(1)), (next.ssrc, next.seq));
        assert_eq!(one.payload.start, 12, "no extension of the sender's line");
    }
    pair.run(&mut world, 500, &[0, 1]);
    large.seen();
    pair.run(&mut world, 100, &[0, 1]);
    assert_eq!(layers(&large.seen()).chars().last(), Some('h'), "and is back");
}

#[test]
fn lost_packets_are_asked_for_at_the_layer_they_are_of() {
    let mut world = World::new();
    let (mixer, [b]) = room::<1>(&mut world);
    let mut pair = Pair::new(&mut world, &mixer);
    b.leg().look_at(Some(pair.camera.leg())).unwrap();
    pair.run(&mut world, 20, &[0, 1]);
    pair.seq[0] += 1;
    let lost = pair.seq[0] - 1;
    b.seen();
    pair.run(&mut world, 1, &[0, 1]);
    let next = b.seen()[0].header.seq;
    b.nack(next.wrapping_sub(1), 0);
    world.sim.run_ms(5);
    let sent = pair.camera.call.phone.socket.drain();
    let nack = sent.iter().find_map(|packet| {
        let at = packet.windows(2).position(|two| two == [0x81, 205])?;
        packet.get(at..at + 16)
    });
    let mut expected = vec![0x81, 205, 0, 3];
    expected.extend(pair.camera.leg().ssrc().to_be_bytes());
    expected.extend(Pair::ssrc(0).to_be_bytes());
    expected.extend(lost.to_be_bytes());
    expected.extend([0, 0]);
    assert_eq!(nack, Some(&expected[..]));
}

#[test]
fn streams_of_no_layer_are_not_shown_and_one_layer_crosses_a_bridge() {
    let mut world = World::new();
    let (mixer, [b]) = room::<1>(&mut world);
    let mut pair = Pair::new(&mut world, &mixer);
    b.leg().look_at(Some(pair.camera.leg())).unwrap();
    world.sim.settle();
    let forged = |ssrc: u32, name: &[u8]| {
        let mut packet = vec![0x90, 0x80 | PT, 0, 1, 0, 0, 0, 1];
        packet.extend(ssrc.to_be_bytes());
        packet.extend([0xbe, 0xde, 0, 1, RID << 4 | (name.len() as u8 - 1)]);
        packet.extend_from_slice(name);
        packet.resize(20, 0);
        packet.extend([0x90, 0xa0, 0x80, 1, 0, 0, b'x']);
        packet
    };
    for n in 0..300 {
        let packet = forged(0x9000 + n, if n % 2 == 0 { b"x" } else { b"hh" });
        pair.camera.call.phone.socket.send_to(&packet, pair.camera.call.phone.server).unwrap();
        world.sim.run_ms(1);
    }
    assert!(b.seen().is_empty());
    pair.run(&mut world, 20, &[0, 1]);
    for n in 0..300 {
        let packet = forged(0x9000 + n, b"h");
        pair.camera.call.phone.socket.send_to(&packet, pair.camera.call.phone.server).unwrap();
    }
    pair.run(&mut world, 20, &[0, 1]);
    assert_eq!(layers(&b.seen()), "h", "the places are taken");

    let c = Camera::new(&mut world, 9, PT + 1);
    pair.camera.leg().bridge(c.leg()).unwrap();
    pair.run(&mut world, 30, &[0, 1]);
    let seen = c.seen();
    assert_eq!((layers(&seen), seen.len()), ("h".into(), 30));
    kit::assert_continuous(&seen);
    assert!(seen.iter().all(|packet| packet.header.payload.start == 12));
}

#[test]
fn packets_to_a_far_end_that_acknowledges_bear_numbers_and_its_answers_are_an_estimate() {
    let mut world = World::new();
    let (mixer, [_]) = room::<1>(&mut world);
    let mut pair = Pair::new(&mut world, &mixer);
    let call = world.call_with(50, Codec::L16_8K, |params| {
        params.handling = Handling::Packets;
        params.rtcp_mux = true;
        (params.send_pt, params.recv_pt) = (PT, PT);
        params.transport_cc = Some(3);
    });
    call.leg.join_pictures(&mixer, options()).unwrap();
    call.leg.look_at(Some(pair.camera.leg())).unwrap();
    world.sim.settle();
    let (mut seen, mut next, mut at) = (String::new(), 0_u16, 1_000_000_u64);
    // All arrives; then half of it.
    for second in 0..20 {
        for _ in 0..10 {
            pair.run(&mut world, 10, &[0, 1]);
            let packets = call.phone.socket.drain();
            let mut arrivals = Vec::new();
            for packet in packets.iter().filter(|packet| packet[1] & 0x7f == PT) {
                let number =
                    u16::from_be_bytes(*rtp::extension(packet, 3).unwrap().first_chunk().unwrap());
                assert_eq!(number, next, "each its own");
                next = next.wrapping_add(1);
                at += 9_000;
                let lost = second >= 5 && number % 2 == 1 && !arrivals.is_empty();
                arrivals.push((!lost).then_some(at));
                seen.push(char::from(packet[Header::parse(packet).unwrap().payload][6]));
            }
            let mut out = [0; transport::LONGEST];
            let first = next.wrapping_sub(arrivals.len() as u16);
            let (len, told) = transport::write(&mut out, (9, 8), (0, first), &arrivals);
            assert_eq!(told, arrivals.len());
            let mut packet = vec![0x80, 201, 0, 1, 0, 0, 0, 9];
            packet.extend(&out[..len]);
            call.phone.socket.send_to(&packet, call.phone.server).unwrap();
        }
    }
    let seen: Vec<_> = seen.into_bytes();
    assert!(seen[..400].iter().all(|layer| *layer == b'h'));
    assert_eq!(seen.last(), Some(&b'l'), "half of it is lost");
}
