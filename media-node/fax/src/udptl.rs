//! UDPTL (T.38, annex "UDP transport layer"): each datagram carries an IFP packet, and earlier ones again in case they
//! were lost.
//!
//! We send redundancy and ask for it. From a peer that sends parity instead, lost packets are made again where all others
//! that a parity packet covers are known.

use std::collections::VecDeque;

/// Octets of the longest datagram and IFP packet taken or sent; what our descriptions say (`T38FaxMaxDatagram`).
pub const LONGEST: usize = 400;
/// Packets repeated in one datagram at most.
const MOST: usize = 16;
/// Packets kept to repair others with parity, and packets that parity may cover.
const KEPT: usize = 32;
/// Packets of others that are repeated unless told otherwise.
pub const REDUNDANCY: usize = 3;

/// Octets that are no UDPTL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not UDPTL")]
pub struct Malformed;

/// What is left to be read of a datagram.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, n: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.0.split_at_checked(n).ok_or(Malformed)?;
        self.0 = rest;
        Ok(taken)
    }

    fn octet(&mut self) -> Result<u8, Malformed> {
        let (first, rest) = self.0.split_first().ok_or(Malformed)?;
        self.0 = rest;
        Ok(*first)
    }

    /// A length (X.691 §10.9). Fragments are for packets longer than any here.
    fn length(&mut self) -> Result<usize, Malformed> {
        match self.octet()? {
            short @ 0..0x80 => Ok(usize::from(short)),
            high @ 0x80..0xc0 => Ok(usize::from(high & 0x3f) << 8 | usize::from(self.octet()?)),
            _ => Err(Malformed),
        }
    }

    fn packet(&mut self) -> Result<&'a [u8], Malformed> {
        let n = self.length()?;
        if n > LONGEST {
            return Err(Malformed);
        }
        self.take(n)
    }
}

/// Parity packets (T.38's forward error correction). They cover the `span * packets.len()` packets before the
/// datagram's own: the first is the exclusive or of the oldest of them and of every `packets.len()`th after it, the
/// second begins one later.
struct Parity<'a> {
    span: usize,
    packets: Vec<&'a [u8]>,
}

/// The receiving side: hands out each packet once, in order, those that were lost from later datagrams.
#[derive(Debug, Default)]
pub struct Incoming {
    /// Number of the packet that is due; none has come yet without.
    next: Option<u16>,
    /// The latest packets of a peer that sends parity.
    kept: VecDeque<(u16, Vec<u8>)>,
}

impl Incoming {
    /// Takes a datagram; calls `each` for every packet that was not there before, with its number.
    ///
    /// # Errors
    /// [`Malformed`]; nothing was handed out then.
    pub fn take(
        &mut self,
        datagram: &[u8],
        mut each: impl FnMut(u16, &[u8]),
    ) -> Result<(), Malformed> {
        let mut rest = Reader(datagram);
        let number = u16::from_be_bytes([rest.octet()?, rest.octet()?]);
        let first = rest.packet()?;
        let mut again: Vec<&[u8]> = Vec::new();
        let mut parity = None;
        if rest.octet()? & 0x80 == 0 {
            let count = rest.length()?;
            if count > MOST {
                return Err(Malformed);
            }
            for _ in 0..count {
                again.push(rest.packet()?);
            }
        } else {
            // Span (an integer of one octet), and the parity packets.
            if rest.octet()? != 1 {
                return Err(Malformed);
            }
            let span = usize::from(rest.octet()?);
            let count = rest.length()?;
            if count > MOST {
                return Err(Malformed);
            }
            let packets = (0..count).map(|_| rest.packet()).collect::<Result<Vec<_>, _>>()?;
            parity = Some(Parity { span, packets });
        }
        if !rest.0.is_empty() {
            return Err(Malformed);
        }
        // How many packets before this one have not come; numbers go round.
        let missing = match self.next {
            Some(next) => number.wrapping_sub(next),
            None => number.min(MOST as u16),
        };
        if missing > u16::MAX / 2 {
            return Ok(());
        }
        for (back, packet) in again.iter().enumerate().rev() {
            let back = back as u16 + 1;
            if back <= missing && !packet.is_empty() {
                each(number.wrapping_sub(back), packet);
            }
        }
        if let Some(parity) = parity {
            self.repair(number, missing, &parity, &mut each);
            self.keep(number, first.to_vec());
        }
        each(number, first);
        self.next = Some(number.wrapping_add(1));
        Ok(())
    }

    fn keep(&mut self, number: u16, packet: Vec<u8>) {
        if self.kept.len() == KEPT {
            self.kept.pop_front();
        }
        self.kept.push_back((number, packet));
    }

    /// Makes the `missing` packets before `number` again, as far as parity and what is kept allow.
    fn repair(
        &mut self,
        number: u16,
        missing: u16,
        parity: &Parity<'_>,
        each: &mut impl FnMut(u16, &[u8]),
    ) {
        let covered = parity.span * parity.packets.len();
        if covered > KEPT {
            return;
        }
        for back in (1..=missing.min(covered as u16)).rev() {
            let lost = number.wrapping_sub(back);
            if let Some(packet) = self.made_again(number, covered, usize::from(back), parity) {
                each(lost, &packet);
                self.keep(lost, packet);
            }
        }
    }

    /// The packet `back` before `number`; `None` if another one that its parity covers is lost too.
    fn made_again(
        &self,
        number: u16,
        covered: usize,
        back: usize,
        parity: &Parity<'_>,
    ) -> Option<Vec<u8>> {
        let step = parity.packets.len();
        let mut packet = parity.packets.get((covered - back) % step)?.to_vec();
        // The others of the same parity packet.
        for other in (1..=covered).filter(|other| *other != back && other % step == back % step) {
            let of = number.wrapping_sub(other as u16);
            let (_, known) = self.kept.iter().rev().find(|(kept, _)| *kept == of)?;
            // Parity is as long as the longest packet it covers.
            packet.iter_mut().zip(known).for_each(|(octet, known)| *octet ^= known);
        }
        (!packet.is_empty()).then_some(packet)
    }
}

/// The sending side.
#[derive(Debug)]
pub struct Outgoing {
    number: u16,
    /// Earlier packets, the latest first.
    past: VecDeque<Vec<u8>>,
    redundancy: usize,
    longest: usize,
}

impl Outgoing {
    /// A sender that repeats so many packets, in datagrams no longer than the peer takes (0 = it has not said).
    #[must_use]
    pub fn new(redundancy: usize, longest: usize) -> Self {
        let longest = if longest == 0 { LONGEST } else { longest.min(LONGEST) };
        Self { number: 0, past: VecDeque::new(), redundancy: redundancy.min(MOST), longest }
    }

    /// The datagram of a packet. `None` for one that is empty or too long to be sent.
    pub fn packet(&mut self, ifp: &[u8]) -> Option<Vec<u8>> {
        if ifp.is_empty() || ifp.len() > LONGEST {
            return None;
        }
        let mut out = self.number.to_be_bytes().to_vec();
        write_packet(&mut out, ifp);
        out.push(0);
        let count_at = out.len();
        out.push(0);
        let mut count = 0;
        for old in &self.past {
            let before = out.len();
            write_packet(&mut out, old);
            if out.len() > self.longest {
                out.truncate(before);
                break;
            }
            count += 1;
        }
        if let Some(place) = out.get_mut(count_at) {
            *place = count;
        }
        self.number = self.number.wrapping_add(1);
        self.past.push_front(ifp.to_vec());
        self.past.truncate(self.redundancy);
        Some(out)
    }
}

fn write_packet(out: &mut Vec<u8>, packet: &[u8]) {
    match packet.len() {
        short @ ..0x80 => out.push(short as u8),
        long => out.extend([0x80 | (long >> 8) as u8, long as u8]),
    }
    out.extend_from_slice(packet);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(incoming: &mut Incoming, datagram: &[u8]) -> Vec<(u16, Vec<u8>)> {
        let mut all = Vec::new();
        incoming.take(datagram, |number, packet| all.push((number, packet.to_vec()))).unwrap();
        all
    }

    #[test]
    fn lost_packets_come_from_later_datagrams_once() {
        let mut out = Outgoing::new(3, 0);
        let sent: Vec<_> = (0..6_u8).map(|n| out.packet(&[n; 3]).unwrap()).collect();
        let mut incoming = Incoming::default();
        assert_eq!(taken(&mut incoming, &sent[0]), [(0, vec![0; 3])]);
        // Two are lost.
        let numbers: Vec<u16> = taken(&mut incoming, &sent[3]).iter().map(|(n, _)| *n).collect();
        assert_eq!(numbers, [1, 2, 3]);
        assert_eq!(taken(&mut incoming, &sent[2]), [], "late");
        assert_eq!(taken(&mut incoming, &sent[3]), [], "twice");
        assert_eq!(taken(&mut incoming, &sent[4]), [(4, vec![4; 3])]);
    }

    #[test]
    fn numbers_go_round() {
        let mut out = Outgoing::new(1, 0);
        let mut incoming = Incoming::default();
        let mut got = Vec::new();
        for n in 0..70_000_u32 {
            let datagram = out.packet(&n.to_be_bytes()).unwrap();
            if n % 7 != 3 {
                incoming.take(&datagram, |_, packet| got.push(packet.to_vec())).unwrap();
            }
        }
        let all: Vec<Vec<u8>> = (0..70_000_u32).map(|n| n.to_be_bytes().to_vec()).collect();
        assert_eq!(got, all[..got.len()]);
        assert!(got.len() >= 69_999);
    }

    #[test]
    fn datagrams_stay_as_short_as_the_peer_wants_them() {
        let mut out = Outgoing::new(3, 250);
        for _ in 0..5 {
            let datagram = out.packet(&[7; 100]).unwrap();
            assert!(datagram.len() <= 250);
            assert!(Incoming::default().take(&datagram, |_, _| {}).is_ok());
        }
        assert_eq!(out.packet(&[]), None);
        assert_eq!(out.packet(&[0; LONGEST + 1]), None);
        let long = out.packet(&[1; 300]).unwrap();
        let mut got = Vec::new();
        Incoming::default().take(&long, |_, packet| got.push(packet.len())).unwrap();
        assert_eq!(got.last(), Some(&300));
    }

    #[test]
    fn what_is_no_udptl_is_refused() {
        let mut out = Outgoing::new(3, 0);
        out.packet(&[1; 20]);
        let good = out.packet(&[2; 200]).unwrap();
        for end in 0..good.len() {
            assert!(Incoming::default().take(&good[..end], |_, _| panic!()).is_err(), "{end}");
        }
        let mut more = good.clone();
        more.push(0);
        assert!(Incoming::default().take(&more, |_, _| panic!()).is_err());
        // Fragments, more repetitions than are allowed, and a packet longer than any.
        for bad in [&[0, 0, 0xc1, 0, 0][..], &[0, 0, 1, 9, 0, 0x7f], &[0, 0, 0xbf, 0xff, 0]] {
            assert!(Incoming::default().take(bad, |_, _| panic!()).is_err());
        }
        // Parity of a peer that sends it: its packet counts, whatever is said of spans.
        let parity = [0, 9, 2, 5, 6, 0x80, 1, 3, 1, 2, 0, 0];
        let mut got = Vec::new();
        Incoming::default().take(&parity, |n, packet| got.push((n, packet.to_vec()))).unwrap();
        assert_eq!(got, [(9, vec![5, 6])]);
    }
    /// Datagrams of a peer that sends parity: `entries` packets of it, each over `span` packets.
    fn with_parity(packets: &[Vec<u8>], span: usize, entries: usize) -> Vec<Vec<u8>> {
        let datagram = |n: usize| {
            let mut out = (n as u16).to_be_bytes().to_vec();
            write_packet(&mut out, &packets[n]);
            let (span, entries) = if n < span * entries { (0, 0) } else { (span, entries) };
            out.extend([0x80, 1, span as u8, entries as u8]);
            for m in 0..entries {
                let covered = (0..span).map(|i| &packets[n - span * entries + m + i * entries]);
                let mut parity = vec![0; covered.clone().map(Vec::len).max().unwrap()];
                for packet in covered {
                    parity.iter_mut().zip(packet).for_each(|(octet, own)| *octet ^= own);
                }
                write_packet(&mut out, &parity);
            }
            out
        };
        (0..packets.len()).map(datagram).collect()
    }

    #[test]
    fn lost_packets_are_made_again_of_parity() {
        let packets: Vec<Vec<u8>> = (0..60_u8).map(|n| vec![n, n ^ 0x5a, 7, n]).collect();
        // Which are lost, and which of them can be made again.
        let cases: [(usize, usize, &[u16], &[u16]); 5] = [
            (3, 3, &[20], &[20]),
            (3, 3, &[20, 21, 22], &[20, 21, 22]),
            // The first is made again before the second is missed.
            (3, 3, &[20, 23], &[20, 23]),
            // Two that one parity packet covers.
            (3, 1, &[20, 21], &[]),
            (1, 1, &[20, 40], &[20, 40]),
        ];
        for (span, entries, lost, made) in cases {
            let mut incoming = Incoming::default();
            let mut got = Vec::new();
            for (n, datagram) in with_parity(&packets, span, entries).iter().enumerate() {
                if !lost.contains(&(n as u16)) {
                    got.extend(taken(&mut incoming, datagram));
                }
            }
            let due = (0..60).filter(|n| !lost.contains(n) || made.contains(n));
            let due: Vec<_> = due.map(|n| (n, packets[usize::from(n)].clone())).collect();
            assert_eq!(got, due, "{span} {entries} {lost:?}");
        }
    }

    #[test]
    fn parity_that_covers_more_than_is_kept_is_left() {
        let mut incoming = Incoming::default();
        for (number, span, count) in
            [(0_u16, 0, 0), (5, 255, 16), (9, 0, 3), (40, 32, 1), (60, 1, 0)]
        {
            let mut datagram = number.to_be_bytes().to_vec();
            datagram.extend([1, 9, 0x80, 1, span, count]);
            datagram.extend((0..count).flat_map(|_| [2, 1, 1]));
            assert_eq!(taken(&mut incoming, &datagram), [(number, vec![9])]);
        }
    }
}
