//! Transport-wide feedback (draft-holmer-rmcat-transport-wide-cc-extensions-01): when each packet of a line arrived, by the
//! number its header extension bears.

use super::{Item, RTPFB, feedback};

/// Format of the message.
pub(super) const FORMAT: u8 = 15;
/// Packets one message tells of at most, written and read: a message of a few octets could claim 65,535.
pub const MOST_PACKETS: usize = 512;
/// Microseconds of a delta's tick, and of the reference time's.
const TICK_US: i64 = 250;
const REFERENCE_US: i64 = 64_000;
/// Symbols of one chunk written.
const PER_CHUNK: usize = 7;
/// Octets of the longest message written.
pub const LONGEST: usize = 20 + MOST_PACKETS.div_ceil(PER_CHUNK) * 2 + MOST_PACKETS * 2 + 3;

const LOST: u8 = 0;
const SMALL: u8 = 1;
const LARGE: u8 = 2;

/// Writes a message of `ours` about `theirs`: the `number`th, about the packets from `first` on, each with when it arrived (any
/// clock, microseconds). Returns its length, and how many of the packets it tells of; 0 when the first one has not arrived or there is no room.
pub fn write(
    out: &mut [u8],
    (ours, theirs): (u32, u32),
    (number, first): (u8, u16),
    arrivals: &[Option<u64>],
) -> (usize, usize) {
    let Some(begin) = arrivals.first().copied().flatten() else { return (0, 0) };
    let reference = begin as i64 / REFERENCE_US;
    let mut ticks = reference * (REFERENCE_US / TICK_US);
    let mut symbols = [LOST; MOST_PACKETS];
    let mut deltas = [0_i16; MOST_PACKETS];
    let mut count = 0;
    for ((arrival, symbol), delta) in arrivals.iter().zip(&mut symbols).zip(&mut deltas) {
        if let Some(at) = arrival {
            let at = *at as i64 / TICK_US;
            // More than eight seconds after the last: the next message tells of it.
            let Ok(step) = i16::try_from(at - ticks) else { break };
            ticks = at;
            *symbol = if (0..=255).contains(&step) { SMALL } else { LARGE };
            *delta = step;
        }
        count += 1;
    }
    let symbols = symbols.get(..count).unwrap_or_default();
    let mut writer = Writer { out, at: 12 };
    writer.put(&first.to_be_bytes());
    writer.put(&(count as u16).to_be_bytes());
    writer.put(&((reference as u32) << 8 | u32::from(number)).to_be_bytes());
    for chunk in symbols.chunks(PER_CHUNK) {
        // A vector of two-bit symbols.
        let word = chunk.iter().enumerate().fold(0xc000_u16, |word, (n, symbol)| {
            word | u16::from(*symbol) << (2 * (PER_CHUNK - 1 - n))
        });
        writer.put(&word.to_be_bytes());
    }
    for (symbol, delta) in symbols.iter().zip(deltas) {
        match *symbol {
            SMALL => writer.put(&[delta as u8]),
            LARGE => writer.put(&delta.to_be_bytes()),
            _ => {}
        }
    }
    while !writer.at.is_multiple_of(4) {
        writer.put(&[0]);
    }
    let len = writer.at;
    let Some(packet) = out.get_mut(..len) else { return (0, 0) };
    feedback(packet, (RTPFB, FORMAT), ours, theirs);
    (len, count)
}

struct Writer<'a> {
    out: &'a mut [u8],
    at: usize,
}

impl Writer<'_> {
    /// Counts also what finds no room.
    fn put(&mut self, octets: &[u8]) {
        if let Some(place) = self.out.get_mut(self.at..self.at + octets.len()) {
            place.copy_from_slice(octets);
        }
        self.at += octets.len();
    }
}

/// Hands an item for each packet of a message to `each`; `body` is what follows the two SSRCs.
pub(super) fn read(body: &[u8], each: &mut impl FnMut(Item)) {
    let Some(&[f0, f1, c0, c1, r0, r1, r2, _number]) = body.first_chunk::<8>() else { return };
    let first = u16::from_be_bytes([f0, f1]);
    let count = usize::from(u16::from_be_bytes([c0, c1])).min(MOST_PACKETS);
    let claimed = usize::from(u16::from_be_bytes([c0, c1]));
    let mut symbols = [LOST; MOST_PACKETS];
    let mut rest = body.get(8..).unwrap_or_default();
    let mut seen = 0;
    // All chunks are gone through, also those of packets that are not taken: the deltas lie behind them.
    while seen < claimed {
        let Some((&[high, low], behind)) = rest.split_first_chunk::<2>() else { return };
        rest = behind;
        let word = u16::from_be_bytes([high, low]);
        let (symbol, run): (fn(u16, usize) -> u8, usize) = match word >> 14 {
            0b10 => (|word, n| (word >> (13 - n) & 1) as u8, 14),
            0b11 => (|word, n| (word >> (12 - 2 * n) & 3) as u8, 7),
            _ => (|word, _| (word >> 13 & 3) as u8, usize::from(word & 0x1fff)),
        };
        if run == 0 {
            return;
        }
        for (n, place) in symbols.iter_mut().skip(seen).take(run).enumerate() {
            *place = symbol(word, n);
        }
        seen += run;
    }
    // 24 bits with their sign.
    let reference = i64::from(i32::from_be_bytes([r0, r1, r2, 0]) >> 8);
    let mut at_us = reference * REFERENCE_US;
    for (n, symbol) in symbols.iter().take(count).enumerate() {
        let ticks = match *symbol {
            SMALL => rest.split_first_chunk::<1>().map(|([t], behind)| (i64::from(*t), behind)),
            LARGE => rest
                .split_first_chunk::<2>()
                .map(|(ticks, behind)| (i64::from(i16::from_be_bytes(*ticks)), behind)),
            _ => Some((0, rest)),
        };
        let Some((ticks, behind)) = ticks else { return };
        rest = behind;
        at_us += ticks * TICK_US;
        let arrived = matches!(*symbol, SMALL | LARGE).then_some(at_us);
        each(Item::Transport { number: first.wrapping_add(n as u16), arrived });
    }
}

#[cfg(test)]
mod tests {
    use super::super::parse;
    use super::*;

    fn told(packet: &[u8]) -> Vec<(u16, Option<i64>)> {
        let mut all = Vec::new();
        parse(packet, |item| match item {
            Item::Transport { number, arrived } => all.push((number, arrived)),
            other => panic!("{other:?}"),
        });
        all
    }

    fn message(body: &[u8]) -> Vec<u8> {
        let mut packet = vec![0; 12];
        packet.extend_from_slice(body);
        packet.resize(packet.len().next_multiple_of(4), 0);
        feedback(&mut packet, (RTPFB, FORMAT), 1, 2);
        packet
    }

    #[test]
    fn arrivals_read_back() {
        let mut arrivals: Vec<Option<u64>> =
            (0..40).map(|n| Some(10_000_000 + n * 5_000 + n * n * 250)).collect();
        (arrivals[3], arrivals[4], arrivals[20]) = (None, None, None);
        arrivals[10] = Some(9_000_000);
        arrivals[11] = Some(14_000_000);
        let mut out = [0; LONGEST];
        let (len, count) = write(&mut out, (1, 2), (9, 65_530), &arrivals);
        assert_eq!((count, len % 4), (40, 0));
        let expected: Vec<_> = arrivals
            .iter()
            .enumerate()
            .map(|(n, at)| {
                (65_530_u16.wrapping_add(n as u16), at.map(|us| (us / 250 * 250) as i64))
            })
            .collect();
        assert_eq!(told(&out[..len]), expected);
        assert_eq!((out[16], out[17], out[18], out[19]), (0, 0, 156, 9), "time in 64 ms, number");
    }

    #[test]
    fn what_is_too_long_or_too_late_is_left_for_the_next_message() {
        let mut out = [0; LONGEST];
        assert_eq!(write(&mut out, (1, 2), (0, 0), &[]), (0, 0));
        assert_eq!(write(&mut out, (1, 2), (0, 0), &[None, Some(1)]), (0, 0));
        let apart = [Some(0), None, Some(9_000_000), Some(9_000_000)];
        assert_eq!(write(&mut out, (1, 2), (0, 0), &apart).1, 2);
        let far = vec![Some(0); 2 * MOST_PACKETS];
        assert_eq!(write(&mut out, (1, 2), (0, 0), &far).1, MOST_PACKETS);
        assert_eq!(write(&mut out[..40], (1, 2), (0, 0), &far), (0, 0), "no room");
        // Each with the longest delta: all of it finds room.
        let zigzag: Vec<_> =
            (0..MOST_PACKETS as u64).map(|n| Some(8_000_000 + n % 2 * 4_000_000)).collect();
        let (len, count) = write(&mut out, (1, 2), (0, 0), &zigzag);
        assert_eq!((count, told(&out[..len]).len()), (MOST_PACKETS, MOST_PACKETS));
    }

    #[test]
    fn all_kinds_of_chunks_are_read() {
        // A run of three that arrived, a vector of one-bit symbols (one of two), and of two-bit symbols.
        let body = [
            0, 5, 0, 12, 0, 0, 1, 0, //
            0x20, 0x03, 0xa0,
            0x00, // run, then 1 0 0 0 ... (14 symbols, of which 9 are taken)
            4, 4, 4, 8,
        ];
        let all = told(&message(&body));
        assert_eq!(all.len(), 12);
        assert_eq!(
            all[..4].iter().map(|(_, at)| at.unwrap()).collect::<Vec<_>>(),
            [65_000, 66_000, 67_000, 69_000]
        );
        assert!(all[4..].iter().all(|(_, at)| at.is_none()));
        let negative = [0, 0, 0, 1, 0xff, 0xff, 0xff, 0, 0xe0, 0x00, 0xff, 0xfc];
        assert_eq!(told(&message(&negative)), [(0, Some(-65_000))]);
    }

    #[test]
    fn claims_without_substance_end_early() {
        assert!(told(&message(&[0; 4])).is_empty());
        for chunk in [[0x00, 0x00], [0x20, 0x00]] {
            let body = [0, 0, 0xff, 0xff, 0, 0, 0, 0, chunk[0], chunk[1]];
            assert!(told(&message(&body)).is_empty(), "a run of none");
        }
        // 65,535 packets in 18 octets, none arrived; and all, without a delta for them.
        let mut lost = vec![0, 0, 0xff, 0xff, 0, 0, 0, 0];
        lost.extend([0x1f, 0xff].repeat(9));
        assert_eq!(told(&message(&lost)).len(), MOST_PACKETS);
        let mut arrived = vec![0, 0, 0xff, 0xff, 0, 0, 0, 0];
        arrived.extend([0x3f, 0xff].repeat(9));
        assert!(told(&message(&arrived)).len() <= 2);
    }
}
