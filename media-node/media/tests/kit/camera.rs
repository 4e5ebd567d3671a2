//! Cameras on the simulated network, and a room of them.

use media::picture::{PictureOptions, VideoCodec};
use media::rtcp::{Item, REMB, parse, remb};
use media::{Codec, Handling, Leg};

use super::{Call, Packet, World};

pub const PT: u8 = 96;

/// A camera and a screen.
pub struct Camera {
    pub call: Call,
    pub number: u16,
}

pub fn options() -> PictureOptions {
    let codec = VideoCodec::Vp8;
    PictureOptions { codec, pli: true, remb: true, ..PictureOptions::default() }
}

impl Camera {
    pub fn new(world: &mut World, host: u8, pt: u8) -> Self {
        let call = world.call_with(host, Codec::L16_8K, |params| {
            params.handling = Handling::Packets;
            params.rtcp_mux = true;
            (params.send_pt, params.recv_pt) = (pt, pt);
        });
        let mut call = call;
        call.phone.pt = pt;
        Self { call, number: u16::from(host) * 10 }
    }

    /// Sends a picture of one packet; its payload names the sender.
    pub fn film(&mut self, whole: bool) {
        self.film_layer(whole, 0);
    }

    pub fn film_layer(&mut self, whole: bool, layer: u8) {
        self.film_long(whole, layer, 0);
    }

    /// The same, with as many octets more.
    pub fn film_long(&mut self, whole: bool, layer: u8, more: usize) {
        let phone = &mut self.call.phone;
        phone.seq = phone.seq.wrapping_add(1);
        phone.timestamp = phone.timestamp.wrapping_add(3000);
        self.number = self.number.wrapping_add(1) & 0x7fff;
        let [n0, n1] = (self.number | 0x8000).to_be_bytes();
        let name = phone.ssrc as u8;
        let mut payload = vec![0x90, 0xa0, n0, n1, layer << 6, u8::from(!whole), name];
        payload.resize(7 + more, 0);
        phone.send(phone.seq, phone.timestamp, phone.pt, true, &payload);
    }

    pub fn seen(&self) -> Vec<Packet> {
        let video = |packet: &Packet| packet.payload.len() >= 7 && packet.payload[0] == 0x90;
        self.call.phone.heard().into_iter().filter(video).collect()
    }

    /// Bit rates it was told to keep to.
    pub fn limits(&self) -> Vec<u64> {
        let mut told = Vec::new();
        for packet in self.call.phone.socket.drain() {
            if packet.get(1).is_some_and(|kind| (200..=206).contains(kind)) {
                parse(&packet, |item| {
                    if let Item::Remb { ssrc, bits, sources: 1, .. } = item {
                        assert_eq!(ssrc, self.call.phone.ssrc);
                        told.push(bits);
                    }
                });
            }
        }
        told
    }

    /// Says what it can take of the streams named.
    pub fn remb(&self, bits: u64, ssrcs: &[u32]) {
        self.tell(&Self::estimate(bits, ssrcs));
    }

    pub fn estimate(bits: u64, ssrcs: &[u32]) -> Vec<u8> {
        let mut one = [0; REMB];
        remb(&mut one, (9, 0), bits);
        let mut message = one[..20].to_vec();
        (message[3], message[16]) = (4 + ssrcs.len() as u8, ssrcs.len() as u8);
        message.extend(ssrcs.iter().flat_map(|ssrc| ssrc.to_be_bytes()));
        message
    }

    /// Requests that have come, besides pictures.
    pub fn asked(&self) -> Vec<Item> {
        let mut items = Vec::new();
        for packet in self.call.phone.socket.drain() {
            if packet.get(1).is_some_and(|kind| (200..=206).contains(kind)) {
                parse(&packet, |item| items.push(item));
            }
        }
        items.retain(|item| matches!(item, Item::KeyFrameRequest | Item::Nack { .. }));
        items
    }

    /// Sends RTCP: an empty report, then the message given.
    pub fn tell(&self, message: &[u8]) {
        let mut packet = vec![0x80, 201, 0, 1, 0, 0, 0, 9];
        packet.extend_from_slice(message);
        self.call.phone.socket.send_to(&packet, self.call.phone.server).unwrap();
    }

    pub fn nack(&self, seq: u16, more: u16) {
        let mut message = vec![0x81, 205, 0, 3, 0, 0, 0, 9, 0, 0, 0, 8];
        message.extend(seq.to_be_bytes());
        message.extend(more.to_be_bytes());
        self.tell(&message);
    }

    pub fn leg(&self) -> &Leg {
        &self.call.leg
    }
}

pub fn names(packets: &[Packet]) -> Vec<u8> {
    packets.iter().map(|packet| packet.payload[6]).collect()
}

/// A room of cameras, numbered from 1 as they name themselves.
pub fn room<const N: usize>(world: &mut World) -> (Leg, [Camera; N]) {
    let (mixer, _events) = world.engine.open_mixer(8000, 20).unwrap();
    let cameras = std::array::from_fn(|n| {
        let camera = Camera::new(world, n as u8 + 1, PT + n as u8);
        camera.leg().join_pictures(&mixer, options()).unwrap();
        camera
    });
    world.sim.settle();
    (mixer, cameras)
}
