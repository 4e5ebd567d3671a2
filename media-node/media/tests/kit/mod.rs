//! A telephone on the simulated network, and packets to send from it.

#![allow(dead_code, unreachable_pub, missing_docs, reason = "each test file uses its part")]

pub mod camera;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use media::io::simulated::SimSocket;
use media::rtp::{HEADER_LEN, Header, write_header};
use media::sim::Sim;
use media::{Codec, Engine, EngineConfig, Leg, LegEvent, LegEvents, RtpParams, RtpSpec};

pub const SERVER: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
pub const TE: u8 = 101;

pub struct World {
    pub engine: Engine,
    pub sim: Sim,
}

pub struct Phone {
    pub socket: SimSocket,
    pub server: SocketAddr,
    pub seq: u16,
    pub timestamp: u32,
    pub ssrc: u32,
    pub pt: u8,
}

pub struct Call {
    pub leg: Leg,
    pub events: LegEvents,
    pub phone: Phone,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Packet {
    pub header: Header,
    pub payload: Vec<u8>,
}

impl World {
    pub fn new() -> Self {
        Self::with(EngineConfig {
            workers: Some(1),
            port_min: 20_000,
            port_max: 20_999,
            ..EngineConfig::default()
        })
    }

    pub fn with(config: EngineConfig) -> Self {
        let (engine, sim) = Sim::start(&config);
        Self { engine, sim }
    }

    /// A leg talking `codec` with a phone at 192.0.2.`host`.
    pub fn call(&mut self, host: u8, codec: Codec) -> Call {
        self.call_with(host, codec, |_| {})
    }

    pub fn call_with(&mut self, host: u8, codec: Codec, edit: impl Fn(&mut RtpParams)) -> Call {
        let (leg, events) = self.engine.open_rtp(RtpSpec::new(SERVER)).expect("a leg");
        let addr = SocketAddr::from(([192, 0, 2, host], 4000));
        let pt = codec.static_pt().unwrap_or(96);
        let mut params = RtpParams::new(codec, pt);
        params.remote = Some(addr);
        params.te_send = Some(TE);
        params.te_recv = Some(TE);
        edit(&mut params);
        leg.set_rtp(params).expect("room in the queue");
        self.sim.settle();
        let phone = Phone {
            socket: self.sim.net.bind(addr).expect("a free address"),
            server: SocketAddr::new(SERVER, leg.rtp_port()),
            seq: 1000 * u16::from(host),
            timestamp: 77_000,
            ssrc: 0x1000 + u32::from(host),
            pt,
        };
        Call { leg, events, phone }
    }

    /// Both phones talk to each other for `frames` of 20 ms.
    pub fn talk(&mut self, a: &mut Call, b: &mut Call, frames: usize) {
        for n in 0..frames {
            a.phone.speak(&[n as u8; 160]);
            b.phone.speak(&[0x80 | n as u8; 160]);
            self.sim.run_ms(20);
        }
    }
}

impl Phone {
    /// Sends the next audio packet.
    pub fn speak(&mut self, payload: &[u8]) {
        self.seq = self.seq.wrapping_add(1);
        self.timestamp = self.timestamp.wrapping_add(160);
        self.send(self.seq, self.timestamp, self.pt, false, payload);
    }

    pub fn send(&self, seq: u16, timestamp: u32, pt: u8, marker: bool, payload: &[u8]) {
        let mut packet = vec![0; HEADER_LEN];
        let head = packet.first_chunk_mut().expect("twelve octets");
        write_header(head, marker, pt, seq, timestamp, self.ssrc);
        packet.extend_from_slice(payload);
        self.socket.send_to(&packet, self.server).expect("sent");
    }

    /// Sends one telephone-event packet.
    pub fn event(&mut self, code: u8, end: bool, duration: u16, timestamp: u32) {
        self.seq = self.seq.wrapping_add(1);
        let [d0, d1] = duration.to_be_bytes();
        let flags = 10 | if end { 0x80 } else { 0 };
        self.send(self.seq, timestamp, TE, false, &[code, flags, d0, d1]);
    }

    /// Everything heard since the last look.
    pub fn heard(&self) -> Vec<Packet> {
        let read = |p: Vec<u8>| {
            let header = Header::parse(&p)?;
            let payload = p[header.payload.clone()].to_vec();
            Some(Packet { header, payload })
        };
        self.socket.drain().into_iter().filter_map(read).collect()
    }
}

impl Call {
    /// Every event told so far.
    pub fn events(&mut self) -> Vec<LegEvent> {
        std::iter::from_fn(|| self.events.try_recv().ok()).collect()
    }

    /// The digits among the events, with durations.
    pub fn digits(&mut self) -> Vec<(char, u32)> {
        let digit = |e| match e {
            LegEvent::Digit { digit, duration, .. } => Some((digit.as_char(), duration)),
            _ => None,
        };
        self.events().into_iter().filter_map(digit).collect()
    }
}

/// Asserts that packets form one RTP stream: one SSRC, sequence numbers without gap.
pub fn assert_continuous(packets: &[Packet]) {
    for pair in packets.windows(2) {
        let (a, b) = (&pair[0].header, &pair[1].header);
        assert_eq!(a.ssrc, b.ssrc, "one SSRC");
        assert_eq!(a.seq.wrapping_add(1), b.seq, "sequence without gap");
        let step = b.timestamp.wrapping_sub(a.timestamp);
        assert!(step < 80_000, "timestamp runs forward: {a:?} {b:?}");
    }
}
