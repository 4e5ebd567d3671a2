//! Asterisk's AudioSocket: packets of a kind, a length and a payload on a plain connection.

use super::{excerpt, say_end_or_loss};
use crate::audio::Coding;
use crate::{Action, Actions, Dialect, Input, Wanted};

/// What events begin with.
pub const PREFIX: &str = "mod_audiosocket";

const HANGUP: u8 = 0x00;
const UUID: u8 = 0x01;
const DTMF: u8 = 0x03;
const ERROR: u8 = 0xff;
/// Kind of audio by samples per second.
const AUDIO: [(u8, u32); 9] = [
    (0x10, 8000),
    (0x11, 12_000),
    (0x12, 16_000),
    (0x13, 24_000),
    (0x14, 32_000),
    (0x15, 44_100),
    (0x16, 48_000),
    (0x17, 96_000),
    (0x18, 192_000),
];

/// One stream.
#[derive(Debug)]
pub struct AudioSocket {
    uuid: [u8; 16],
    kind: u8,
    rate: u32,
    waiting: Vec<u8>,
}

impl AudioSocket {
    /// A stream at a rate of the protocol, 8 kHz for any other, named by the call's UUID.
    #[must_use]
    pub fn new(uuid: &str, rate: u32) -> Self {
        let (kind, rate) = AUDIO.iter().find(|(_, own)| *own == rate).copied().unwrap_or(AUDIO[0]);
        let digits: Vec<u8> =
            uuid.chars().filter_map(|c| c.to_digit(16)).map(|digit| digit as u8).collect();
        let mut bytes = [0; 16];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks(2)) {
            *byte = pair.iter().fold(0, |n, digit| n << 4 | digit);
        }
        Self { uuid: bytes, kind, rate, waiting: Vec::new() }
    }

    fn packets(&mut self, octets: &[u8], out: &mut Actions) {
        self.waiting.extend_from_slice(octets);
        let mut at = 0;
        while let Some([kind, high, low]) = self.waiting.get(at..at + 3) {
            let (kind, length) = (*kind, usize::from(u16::from_be_bytes([*high, *low])));
            let Some(payload) = self.waiting.get(at + 3..at + 3 + length) else { break };
            Self::packet(kind, payload, out);
            at += 3 + length;
        }
        // At most one packet of 64 kB is left: it needs no bound of its own.
        self.waiting.drain(..at);
    }

    fn packet(kind: u8, payload: &[u8], out: &mut Actions) {
        let audio = AUDIO.iter().find(|(own, _)| *own == kind);
        match kind {
            HANGUP => out.push(Action::HangUp),
            ERROR => {
                out.push(Action::Log(format!("the program reports an error: {payload:02x?}")));
            }
            DTMF | UUID => {}
            _ => match audio {
                Some((_, rate)) => {
                    let samples = Coding::Linear.read(payload);
                    if !samples.is_empty() {
                        out.push(Action::Play(*rate, samples));
                    }
                }
                None => out.push(Action::Log(format!("unknown kind {kind:#04x}"))),
            },
        }
    }
}

fn packet(kind: u8, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(payload.len()).unwrap_or(u16::MAX);
    let mut out = Vec::with_capacity(3 + payload.len());
    out.push(kind);
    out.extend(length.to_be_bytes());
    out.extend(payload.iter().take(usize::from(length)));
    out
}

impl Dialect for AudioSocket {
    fn prefix(&self) -> &'static str {
        PREFIX
    }

    fn wanted(&self) -> Wanted {
        Wanted { rate: self.rate, frame_ms: 20, marks: 0, opus: false }
    }

    fn feed(&mut self, input: Input<'_>, out: &mut Actions) {
        match input {
            Input::Opened => {
                out.push(Action::Event("connect", None));
                out.push(Action::Binary(packet(UUID, &self.uuid)));
            }
            Input::Audio(samples) => {
                let octets = Coding::Linear.write(samples);
                out.push(Action::AudioBinary(packet(self.kind, &octets)));
            }
            Input::Binary(octets) => self.packets(octets, out),
            Input::Digit(digit, _) => {
                let octet = u8::try_from(u32::from(digit)).unwrap_or(b'?');
                out.push(Action::Binary(packet(DTMF, &[octet])));
            }
            Input::Stop(_) => {
                out.push(Action::Binary(packet(HANGUP, &[])));
                out.push(Action::Close(1000));
            }
            Input::Send(text) => {
                out.push(Action::Log(format!("AudioSocket has no texts: {}", excerpt(text))));
            }
            other => say_end_or_loss(other, out),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::kit::fed;
    use super::*;

    #[test]
    fn the_call_s_uuid_comes_first_and_audio_after_it() {
        let mut socket = AudioSocket::new("00112233-4455-6677-8899-aabbccddeeff", 8000);
        let opened = fed(&mut socket, Input::Opened);
        let mut first = vec![1, 0, 16];
        first.extend([
            0, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee,
            0xff,
        ]);
        assert_eq!(opened[1], Action::Binary(first));
        assert_eq!(
            fed(&mut socket, Input::Audio(&[1, 2])),
            [Action::AudioBinary(vec![0x10, 0, 4, 1, 0, 2, 0])]
        );
        assert_eq!(fed(&mut socket, Input::Digit('#', 1)), [Action::Binary(vec![3, 0, 1, b'#'])]);
        let stop = fed(&mut socket, Input::Stop(None));
        assert_eq!(stop, [Action::Binary(vec![0, 0, 0]), Action::Close(1000)]);
    }

    #[test]
    fn packets_are_read_however_they_are_cut() {
        let bytes = [0x10, 0, 2, 5, 0, 0x12, 0, 2, 6, 0, 0x77, 0, 0, 0xff, 0, 1, 9, 0, 0, 0];
        for step in [1, 3, bytes.len()] {
            let mut socket = AudioSocket::new("", 8000);
            let actions: Vec<_> = bytes
                .chunks(step)
                .flat_map(|piece| fed(&mut socket, Input::Binary(piece)))
                .collect();
            assert_eq!(actions[0], Action::Play(8000, vec![5]));
            assert_eq!(actions[1], Action::Play(16_000, vec![6]));
            assert!(matches!(actions[2..], [Action::Log(_), Action::Log(_), Action::HangUp]));
        }
    }
}
