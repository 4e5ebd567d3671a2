//! Who hears whom: each phone says a number of its own (a constant sample), and reads out of what it gets whose numbers
//! were added up.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use media::io::simulated::SimSocket;
use media::rtp::{HEADER_LEN, Header, write_header};
use media::sim::Sim;

/// Samples of a packet of 20 ms at 8 kHz.
const FRAME: usize = 160;
/// The first voice; each further one is twice as loud.
const QUIETEST: i16 = 100;
/// Voices that can be told apart when all of them are mixed.
const VOICES: usize = 8;
/// Payload type of L16 at 8 kHz.
pub(crate) const PAYLOAD_TYPE: u8 = 96;

/// One phone's mouth and ear.
pub(crate) struct Voice {
    pub(crate) of: String,
    socket: SimSocket,
    server: SocketAddr,
    sample: i16,
    seq: u16,
}

impl Voice {
    /// The voice of a phone whose media arrives at `server`; the `number`th of all.
    ///
    /// # Panics
    /// When its address is taken.
    pub(crate) fn new(sim: &Sim, of: &str, number: usize, server_port: u16) -> Self {
        let [high, low] = u16::try_from(number).unwrap_or(u16::MAX).to_be_bytes();
        let address = SocketAddr::from(([10, 9, high, low], 4000));
        Self {
            of: of.to_owned(),
            socket: sim.net.bind(address).expect("an address of its own"),
            server: SocketAddr::new(SERVER, server_port),
            sample: QUIETEST << (number % VOICES),
            seq: 0,
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.socket.addr()
    }

    pub(crate) fn speak(&mut self) {
        self.seq = self.seq.wrapping_add(1);
        let mut packet = vec![0; HEADER_LEN];
        let timestamp = u32::from(self.seq) * FRAME as u32;
        if let Some(head) = packet.first_chunk_mut() {
            write_header(head, self.seq == 1, PAYLOAD_TYPE, self.seq, timestamp, 7);
        }
        for _ in 0..FRAME {
            packet.extend_from_slice(&self.sample.to_be_bytes());
        }
        let _sent = self.socket.send_to(&packet, self.server);
    }

    /// Forgets what came so far.
    pub(crate) fn forget(&self) {
        let _old = self.socket.drain();
    }

    /// The newest packet that came since the last look.
    pub(crate) fn newest(&self) -> Option<Vec<i16>> {
        let packet = self.socket.drain().pop()?;
        let header = Header::parse(&packet)?;
        let payload = packet.get(header.payload)?;
        Some(payload.chunks_exact(2).map(|pair| i16::from_be_bytes([pair[0], pair[1]])).collect())
    }
}

/// The switch's address on the simulated network.
pub(crate) const SERVER: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));

/// What each phone hears, by its name: names of phones, `tone` for what is neither a phone nor silence.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Heard(BTreeMap<String, Vec<String>>);

impl Heard {
    /// What one phone hears, in order of names; nothing when it hears silence or has no media.
    #[must_use]
    pub fn of(&self, phone: &str) -> Vec<&str> {
        self.0.get(phone).into_iter().flatten().map(String::as_str).collect()
    }

    pub(crate) fn read(places: &[Option<Voice>]) -> Self {
        let voices: Vec<&Voice> = places.iter().flatten().collect();
        let mut heard: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for voice in &voices {
            let entry = heard.entry(voice.of.clone()).or_default();
            if let Some(samples) = voice.newest() {
                entry.extend(heard_in(&samples, &voices));
            }
            entry.sort();
        }
        Self(heard)
    }
}

fn heard_in(samples: &[i16], voices: &[&Voice]) -> Vec<String> {
    let first = samples.first().copied().unwrap_or_default();
    if samples.iter().any(|sample| sample.abs_diff(first) > 4) {
        return vec!["tone".to_owned()];
    }
    // Rounding on the way may cost a few units.
    let sum = (i32::from(first) + i32::from(QUIETEST) / 2) / i32::from(QUIETEST);
    let says = |voice: &&&Voice| sum & (i32::from(voice.sample) / i32::from(QUIETEST)) != 0;
    voices.iter().filter(says).map(|voice| voice.of.clone()).collect()
}
