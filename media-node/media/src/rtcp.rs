//! RTCP (RFC 3550 §6): sender and receiver reports with a CNAME, written and read.

pub mod transport;

/// Most octets a report of ours takes: SR, one block, SDES with the longest CNAME.
pub const MAX_REPORT: usize = 28 + 24 + 12 + MAX_CNAME + 4;
/// Longest CNAME sent; RFC 3550 allows 255.
pub const MAX_CNAME: usize = 128;

const SR: u8 = 200;
const RR: u8 = 201;
const SDES: u8 = 202;
const BYE: u8 = 203;
/// Feedback about packets (RFC 4585).
const RTPFB: u8 = 205;
/// Feedback about pictures.
const PSFB: u8 = 206;
/// Formats of feedback.
const NACK: u8 = 1;
const PLI: u8 = 1;
const FIR: u8 = 4;
const AFB: u8 = 15;

/// What a sender says about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SenderInfo {
    /// NTP time, 32.32 fixed point.
    pub ntp: u64,
    /// The same instant in the media clock.
    pub rtp_timestamp: u32,
    /// Packets sent.
    pub packets: u32,
    /// Payload octets sent.
    pub octets: u32,
}

/// What a receiver says about one source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ReportBlock {
    /// The source reported on.
    pub ssrc: u32,
    /// Share lost since the last report, of 256.
    pub fraction_lost: u8,
    /// Packets lost in all, 24 bits.
    pub lost: i32,
    /// Highest sequence number with its cycles.
    pub highest_seq: u32,
    /// Interarrival jitter, timestamp units.
    pub jitter: u32,
    /// Middle 32 bits of the last SR's NTP time.
    pub last_sr: u32,
    /// Time since that SR, in 1/65536 s.
    pub delay: u32,
}

/// One thing a compound packet holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Item {
    /// A sender report of `ssrc`.
    Sender {
        /// The reporter.
        ssrc: u32,
        /// What it says.
        info: SenderInfo,
    },
    /// A reception report by `from`.
    Block {
        /// The reporter.
        from: u32,
        /// What it says.
        block: ReportBlock,
    },
    /// A source leaves.
    Bye {
        /// Which one.
        ssrc: u32,
    },
    /// A receiver needs a key frame (PLI of RFC 4585, FIR of RFC 5104).
    KeyFrameRequest,
    /// A receiver lacks packets (generic NACK, RFC 4585 §6.2.1).
    Nack {
        /// The first of them.
        seq: u16,
        /// Which of the sixteen after it are missing, too, from the lowest bit on.
        more: u16,
    },
    /// A receiver's estimate of what it can take (REMB, draft-alvestrand-rmcat-remb-03).
    Remb {
        /// One of the sources it is about.
        ssrc: u32,
        /// Bits a second of all of them together.
        bits: u64,
        /// How many there are, as the message says; an item comes for each that it holds.
        sources: u8,
        /// It is the first item of its message.
        first: bool,
    },
    /// What became of one packet of a line ([`transport`]).
    Transport {
        /// The number its header extension bore.
        number: u16,
        /// When it arrived by the receiver's clock, microseconds; `None` for one that has not.
        arrived: Option<i64>,
    },
}

/// Hands each item of a compound packet to `each`. Malformed rests are passed over.
pub fn parse(mut packet: &[u8], mut each: impl FnMut(Item)) {
    while let Some(&[first, kind, l0, l1]) = packet.first_chunk::<4>() {
        let len = (usize::from(u16::from_be_bytes([l0, l1])) + 1) * 4;
        let Some((body, rest)) = packet.split_at_checked(len) else { return };
        if first >> 6 != 2 {
            return;
        }
        one(kind, first & 0x1f, body.get(4..).unwrap_or_default(), &mut each);
        packet = rest;
    }
}

fn one(kind: u8, count: u8, body: &[u8], each: &mut impl FnMut(Item)) {
    let mut words = body.chunks_exact(4).map(|w| u32::from_be_bytes([w[0], w[1], w[2], w[3]]));
    let Some(ssrc) = words.next() else { return };
    match kind {
        SR => {
            let mut take = || words.next();
            let (Some(hi), Some(lo), Some(ts), Some(packets), Some(octets)) =
                (take(), take(), take(), take(), take())
            else {
                return;
            };
            let ntp = (u64::from(hi) << 32) | u64::from(lo);
            let info = SenderInfo { ntp, rtp_timestamp: ts, packets, octets };
            each(Item::Sender { ssrc, info });
            blocks(ssrc, count, words, each);
        }
        RR => blocks(ssrc, count, words, each),
        BYE => each(Item::Bye { ssrc }),
        PSFB if count == PLI || count == FIR => each(Item::KeyFrameRequest),
        RTPFB if count == NACK => {
            for word in words.skip(1) {
                each(Item::Nack { seq: (word >> 16) as u16, more: word as u16 });
            }
        }
        RTPFB if count == transport::FORMAT => {
            transport::read(body.get(8..).unwrap_or_default(), each);
        }
        PSFB if count == AFB && words.nth(1) == Some(u32::from_be_bytes(*b"REMB")) => {
            // How many sources it is about, then exponent and mantissa, then the sources.
            let head = words.next().unwrap_or_default();
            let sources = (head >> 24) as u8;
            let bits = u64::from(head & 0x3_ffff).saturating_mul(1 << (head >> 18 & 0x3f));
            words.take(usize::from(sources)).enumerate().for_each(|(n, ssrc)| {
                each(Item::Remb { ssrc, bits, sources, first: n == 0 });
            });
        }
        _ => {}
    }
}

fn blocks(from: u32, count: u8, mut words: impl Iterator<Item = u32>, each: &mut impl FnMut(Item)) {
    for _ in 0..count {
        let mut take = || words.next();
        let (Some(ssrc), Some(loss), Some(highest_seq), Some(jitter), Some(last_sr), Some(delay)) =
            (take(), take(), take(), take(), take(), take())
        else {
            return;
        };
        // 24-bit two's complement: shifted to the top and back to carry the sign.
        let lost = (loss << 8) as i32 >> 8;
        let fraction_lost = (loss >> 24) as u8;
        let block = ReportBlock { ssrc, fraction_lost, lost, highest_seq, jitter, last_sr, delay };
        each(Item::Block { from, block });
    }
}

/// A report to send.
#[derive(Debug, Clone, Copy)]
pub struct Report<'a> {
    /// Our SSRC.
    pub ssrc: u32,
    /// Present when we sent since the last report: makes it an SR.
    pub sender: Option<SenderInfo>,
    /// What we received, if anything.
    pub block: Option<ReportBlock>,
    /// Our CNAME.
    pub cname: &'a str,
}

impl Report<'_> {
    /// Writes the compound packet; returns its length.
    pub fn write(&self, out: &mut [u8; MAX_REPORT]) -> usize {
        let mut at = 4;
        let mut put = |at: &mut usize, value: u32| {
            out[*at..*at + 4].copy_from_slice(&value.to_be_bytes());
            *at += 4;
        };
        put(&mut at, self.ssrc);
        if let Some(info) = self.sender {
            put(&mut at, (info.ntp >> 32) as u32);
            put(&mut at, info.ntp as u32);
            put(&mut at, info.rtp_timestamp);
            put(&mut at, info.packets);
            put(&mut at, info.octets);
        }
        if let Some(block) = self.block {
            put(&mut at, block.ssrc);
            let lost = block.lost.clamp(-0x80_0000, 0x7f_ffff) as u32 & 0xff_ffff;
            put(&mut at, (u32::from(block.fraction_lost) << 24) | lost);
            put(&mut at, block.highest_seq);
            put(&mut at, block.jitter);
            put(&mut at, block.last_sr);
            put(&mut at, block.delay);
        }
        let kind = if self.sender.is_some() { SR } else { RR };
        head(&mut out[..at], kind, u8::from(self.block.is_some()));
        let len = self.write_sdes(&mut out[at..]);
        at + len
    }

    fn write_sdes(&self, out: &mut [u8]) -> usize {
        let mut cut = self.cname.len().min(MAX_CNAME);
        while !self.cname.is_char_boundary(cut) {
            cut -= 1;
        }
        let name = &self.cname.as_bytes()[..cut];
        // header, ssrc, type and length, name, then at least one zero up to a word boundary
        let len = (4 + 4 + 2 + name.len() + 4) & !3;
        let out = &mut out[..len];
        out.fill(0);
        out[4..8].copy_from_slice(&self.ssrc.to_be_bytes());
        out[8] = 1;
        out[9] = name.len() as u8;
        out[10..10 + name.len()].copy_from_slice(name);
        head(out, SDES, 1);
        len
    }
}

/// Octets of a key frame request: PLI, then FIR.
pub const KEY_FRAME_REQUEST: usize = 12 + 20;

/// Writes a request of `ours` for a key frame of `theirs`: as PLI, as FIR with its sequence number, or both. Returns the
/// length.
pub fn request_key_frame(
    out: &mut [u8; KEY_FRAME_REQUEST],
    (ours, theirs): (u32, u32),
    pli: bool,
    fir: Option<u8>,
) -> usize {
    let mut at = 0;
    if pli {
        feedback(&mut out[..12], (PSFB, PLI), ours, theirs);
        at = 12;
    }
    if let Some(number) = fir {
        let fir = &mut out[at..at + 20];
        feedback(fir, (PSFB, FIR), ours, 0);
        fir[12..16].copy_from_slice(&theirs.to_be_bytes());
        fir[16..].copy_from_slice(&[number, 0, 0, 0]);
        at += 20;
    }
    at
}

/// Writes a generic NACK of `ours` for packets of `theirs`; `missing` as in [`Item::Nack`]. Returns its length,
/// 0 when it finds no room.
pub fn generic_nack(out: &mut [u8], (ours, theirs): (u32, u32), missing: &[(u16, u16)]) -> usize {
    let len = 12 + missing.len() * 4;
    let Some(out) = out.get_mut(..len).filter(|_| !missing.is_empty()) else { return 0 };
    feedback(out, (RTPFB, NACK), ours, theirs);
    for (word, (seq, more)) in out[12..].chunks_exact_mut(4).zip(missing) {
        word[..2].copy_from_slice(&seq.to_be_bytes());
        word[2..].copy_from_slice(&more.to_be_bytes());
    }
    len
}

/// Octets of an estimate about one source.
pub const REMB: usize = 24;

/// Writes what `ours` can take of `theirs`, bits a second (REMB), rounded down to 18 significant bits.
pub fn remb(out: &mut [u8; REMB], (ours, theirs): (u32, u32), bits: u64) {
    feedback(out, (PSFB, AFB), ours, 0);
    let exponent = (64 - bits.leading_zeros()).saturating_sub(18);
    let mantissa = (bits >> exponent) as u32;
    out[12..16].copy_from_slice(b"REMB");
    out[16..20].copy_from_slice(&(1 << 24 | exponent << 18 | mantissa).to_be_bytes());
    out[20..].copy_from_slice(&theirs.to_be_bytes());
}

fn feedback(packet: &mut [u8], (kind, format): (u8, u8), ours: u32, theirs: u32) {
    head(packet, kind, format);
    packet[4..8].copy_from_slice(&ours.to_be_bytes());
    packet[8..12].copy_from_slice(&theirs.to_be_bytes());
}

fn head(packet: &mut [u8], kind: u8, count: u8) {
    let words = (packet.len() / 4 - 1) as u16;
    packet[0] = 0x80 | count;
    packet[1] = kind;
    packet[2..4].copy_from_slice(&words.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn items(packet: &[u8]) -> Vec<Item> {
        let mut all = Vec::new();
        parse(packet, |item| all.push(item));
        all
    }

    #[test]
    fn a_sender_report_reads_back() {
        let info =
            SenderInfo { ntp: 0x0102_0304_0506_0708, rtp_timestamp: 9, packets: 10, octets: 11 };
        let block = ReportBlock {
            ssrc: 5,
            fraction_lost: 128,
            lost: -3,
            highest_seq: 70_000,
            jitter: 4,
            last_sr: 6,
            delay: 7,
        };
        for cname in ["", "a", "ab", "abc", "abcd", &"x".repeat(300)] {
            let report = Report { ssrc: 1, sender: Some(info), block: Some(block), cname };
            let mut buf = [0xff; MAX_REPORT];
            let len = report.write(&mut buf);
            assert_eq!(len % 4, 0);
            let expected = [Item::Sender { ssrc: 1, info }, Item::Block { from: 1, block }];
            assert_eq!(items(&buf[..len]), expected);
        }
    }

    #[test]
    fn a_receiver_report_without_blocks_is_well_formed() {
        let mut buf = [0; MAX_REPORT];
        let len = Report { ssrc: 1, sender: None, block: None, cname: "me" }.write(&mut buf);
        assert_eq!(&buf[..8], &[0x80, 201, 0, 1, 0, 0, 0, 1]);
        assert_eq!(&buf[8..len], &[0x81, 202, 0, 3, 0, 0, 0, 1, 1, 2, b'm', b'e', 0, 0, 0, 0]);
    }

    #[test]
    fn requests_about_pictures_read_back() {
        let mut out = [0; KEY_FRAME_REQUEST];
        let len = request_key_frame(&mut out, (1, 2), true, Some(9));
        assert_eq!(
            out[..len],
            [
                0x81, 206, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2, //
                0x84, 206, 0, 4, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 2, 9, 0, 0, 0
            ]
        );
        assert_eq!(items(&out[..len]), [Item::KeyFrameRequest; 2]);
        assert_eq!(request_key_frame(&mut out, (1, 2), false, None), 0);

        let mut out = [0; 20];
        let len = generic_nack(&mut out, (1, 2), &[(7, 3), (65_535, 0)]);
        let missing = [Item::Nack { seq: 7, more: 3 }, Item::Nack { seq: 65_535, more: 0 }];
        assert_eq!(items(&out[..len]), missing);
        assert_eq!(generic_nack(&mut out, (1, 2), &[(0, 0); 3]), 0, "no room");
        assert_eq!(generic_nack(&mut out, (1, 2), &[]), 0);
    }

    #[test]
    fn estimates_of_bit_rates_read_back() {
        let mut out = [0; REMB];
        for (bits, said) in [
            (0, 0),
            (300_000, 300_000),
            (262_143, 262_143),
            (1_000_001, 1_000_000),
            (u64::MAX, 0x3_ffff << 46),
        ] {
            remb(&mut out, (1, 7), bits);
            assert_eq!(items(&out), [Item::Remb { ssrc: 7, bits: said, sources: 1, first: true }]);
        }
        let mut two = [0; 28];
        feedback(&mut two, (PSFB, AFB), 1, 0);
        two[12..].copy_from_slice(b"REMB\x02\x08\x00\x05\x00\x00\x00\x07\x00\x00\x00\x08");
        let remb = |ssrc| Item::Remb { ssrc, bits: 20, sources: 2, first: ssrc == 7 };
        assert_eq!(items(&two), [remb(7), remb(8)]);
        // One that names more sources than it holds is about those it holds; the highest is more than 64 bits hold.
        (two[16], two[17]) = (255, 0xff);
        assert_eq!(items(&two).len(), 2);
        assert_eq!(
            items(&two)[0],
            Item::Remb { ssrc: 7, bits: u64::MAX, sources: 255, first: true }
        );
        two[12] = 0;
        assert!(items(&two).is_empty());
    }

    #[test]
    fn truncated_and_lying_packets_are_passed_over() {
        assert!(items(&[0x81, 200, 0, 6, 1, 2, 3]).is_empty());
        assert!(items(&[0x9f, 201, 0, 1, 0, 0, 0, 1]).is_empty());
        assert!(items(&[0x80, 200, 0, 0]).is_empty());
        assert_eq!(items(&[0x81, 203, 0, 1, 0, 0, 0, 9]), [Item::Bye { ssrc: 9 }]);
    }
}
