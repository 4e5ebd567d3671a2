//! What one receiver is shown: packets of one source after another as a single stream of its own, with sequence numbers,
//! timestamps and picture numbers that go on where they were.

use super::Seen;
use crate::leg::LegId;
use crate::rtp::{Header, seq_distance};

/// Sequence numbers whose state is kept, for packets that come late and for NACKs.
const WINDOW: usize = 128;
/// RTP clock of video, ticks per millisecond.
const TICKS: u64 = 90;
/// Ticks between pictures of two sources at least.
pub(crate) const LEAST_STEP: u32 = 900;
/// How long a receiver that lost much does without spare pictures.
const THIN_US: u64 = 10_000_000;

/// The stream of one receiver.
#[derive(Debug)]
pub(crate) struct View {
    shown: Option<Shown>,
    /// Sequence number and timestamp sent last, and when.
    seq: u16,
    timestamp: u32,
    sent_us: Option<u64>,
    /// Numbers of the last picture and of the last base picture sent.
    picture: u16,
    base: u8,
    thin_until_us: u64,
}

/// The source that is shown, and how its numbers become the receiver's.
#[derive(Debug)]
struct Shown {
    from: Stream,
    highest: u16,
    offset: u16,
    ticks: u32,
    picture: u16,
    base: u8,
    states: [PacketState; WINDOW],
}

/// What a source sends without a break.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stream {
    pub(crate) leg: LegId,
    /// Which of its layers, with simulcast; else 0.
    pub(crate) layer: usize,
    pub(crate) ssrc: u32,
    /// How often it was interrupted.
    pub(crate) epoch: u32,
}

impl Stream {
    /// Whether it takes the place of `old`, which is over then: the same layer under another SSRC or after a break.
    fn replaces(&self, old: &Self) -> bool {
        self.leg == old.leg && self != old && (self.layer == old.layer || self.epoch != old.epoch)
    }
}

/// What a receiver is to be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) leg: LegId,
    /// Which of its layers, with simulcast; else 0.
    pub(crate) layer: usize,
}

impl Target {
    fn is(self, stream: &Stream) -> bool {
        self.leg == stream.leg && self.layer == stream.layer
    }
}

/// State of one of the source's packets, by its sequence number there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum PacketState {
    #[default]
    Unknown,
    /// Missing so far: when it comes, or is asked for at the source, it goes out with this added to its number.
    Expected {
        seq: u16,
        offset: u16,
    },
    /// Sent, once: a second packet of that number would be encrypted with the same SRTP key stream.
    Sent {
        seq: u16,
        offset: u16,
    },
    Dropped {
        seq: u16,
    },
}

/// The numbers under which a packet goes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Numbers {
    pub(crate) seq: u16,
    pub(crate) timestamp: u32,
    /// To be added to its picture's numbers.
    pub(crate) picture: u16,
    pub(crate) base: u8,
}

impl View {
    /// A stream that goes on behind these numbers.
    pub(crate) fn new(seq: u16, timestamp: u32) -> Self {
        Self { shown: None, seq, timestamp, sent_us: None, picture: 0, base: 0, thin_until_us: 0 }
    }

    /// The source shown.
    pub(crate) fn source(&self) -> Option<LegId> {
        self.shown.as_ref().map(|shown| shown.from.leg)
    }

    /// The stream shown.
    pub(crate) fn stream(&self) -> Option<Stream> {
        self.shown.as_ref().map(|shown| shown.from)
    }

    /// Whether what is shown is something else.
    pub(crate) fn waits_for(&self, target: Target) -> bool {
        self.shown.as_ref().is_none_or(|shown| !target.is(&shown.from))
    }

    /// The number sent last.
    pub(crate) fn seq(&self) -> u16 {
        self.seq
    }

    /// Shows nothing until the next key frame of what is wanted.
    pub(crate) fn stop(&mut self) {
        self.shown = None;
    }

    /// Does without spare pictures for a while: the receiver loses too much.
    pub(crate) fn thin_out(&mut self, now_us: u64) {
        self.thin_until_us = now_us + THIN_US;
    }

    /// Whether it does without spare pictures now.
    pub(crate) fn is_thin(&self, now_us: u64) -> bool {
        now_us < self.thin_until_us
    }

    /// The numbers under which a packet of `from` goes out, if it does. `wanted` is the source to be shown: it takes over
    /// when a picture of it begins that needs no other, and the old one stays until then.
    pub(crate) fn numbers(
        &mut self,
        (from, wanted): (Stream, Option<Target>),
        header: &Header,
        seen: &Seen,
        payload: &[u8],
        now_us: u64,
    ) -> Option<Numbers> {
        let thin = self.is_thin(now_us);
        if self.shown.as_ref().is_some_and(|shown| from.replaces(&shown.from)) {
            self.shown = None;
        }
        if self.shown.as_ref().is_none_or(|shown| shown.from != from) {
            if !wanted.is_some_and(|wanted| wanted.is(&from)) || !seen.whole {
                return None;
            }
            let shown = self.switch(from, header, seen, payload, now_us);
            self.shown = Some(shown);
        }
        let shown = self.shown.as_mut()?;
        let offset = shown.follow(header.seq, thin && seen.spare)?;
        let numbers = Numbers {
            seq: header.seq.wrapping_add(offset),
            timestamp: header.timestamp.wrapping_add(shown.ticks),
            picture: shown.picture,
            base: shown.base,
        };
        if self.sent_us.is_none() || seq_distance(self.seq, numbers.seq) > 0 {
            (self.seq, self.timestamp) = (numbers.seq, numbers.timestamp);
            self.sent_us = Some(now_us);
            if let Some(number) = picture_number(seen, payload) {
                self.picture = number.wrapping_add(numbers.picture);
            }
            if let Some(base) = seen.base.and_then(|at| payload.get(at)) {
                self.base = base.wrapping_add(numbers.base);
            }
        }
        Some(numbers)
    }

    fn switch(
        &self,
        from: Stream,
        header: &Header,
        seen: &Seen,
        payload: &[u8],
        now_us: u64,
    ) -> Shown {
        let (next, timestamp) = match self.sent_us {
            Some(at) => {
                let passed = (now_us.saturating_sub(at) * TICKS / 1000) as u32;
                let timestamp = self.timestamp.wrapping_add(passed.max(LEAST_STEP));
                (self.seq.wrapping_add(1), timestamp)
            }
            None => (self.seq.wrapping_add(1), self.timestamp),
        };
        let number = picture_number(seen, payload).unwrap_or_default();
        let base = seen.base.and_then(|at| payload.get(at)).copied().unwrap_or_default();
        Shown {
            from,
            highest: header.seq.wrapping_sub(1),
            offset: next.wrapping_sub(header.seq),
            ticks: timestamp.wrapping_sub(header.timestamp),
            picture: self.picture.wrapping_add(1).wrapping_sub(number),
            base: self.base.wrapping_add(1).wrapping_sub(base),
            states: [PacketState::Unknown; WINDOW],
        }
    }

    /// The source's number of a packet the receiver knows by `seq`; `None` when it is not the source's that is shown.
    pub(crate) fn number_at_source(&self, seq: u16) -> Option<u16> {
        let shown = self.shown.as_ref()?;
        shown.states.iter().find_map(|state| match *state {
            PacketState::Expected { seq: own, offset } | PacketState::Sent { seq: own, offset }
                if own.wrapping_add(offset) == seq =>
            {
                Some(own)
            }
            _ => None,
        })
    }
}

impl Shown {
    /// What is to be added to a sequence number; `None` when the packet is left out.
    fn follow(&mut self, seq: u16, leave_out: bool) -> Option<u16> {
        let ahead = seq_distance(self.highest, seq);
        if ahead <= 0 {
            let place = &mut self.states[usize::from(seq) % WINDOW];
            let PacketState::Expected { offset, .. } = *place else { return None };
            if *place != (PacketState::Expected { seq, offset }) {
                return None;
            }
            *place = PacketState::Sent { seq, offset };
            return Some(offset);
        }
        // Those between are late or lost; their numbers stay theirs, so that the receiver misses them.
        for missing in (1..ahead).take(WINDOW - 1) {
            let missing = seq.wrapping_sub(missing as u16);
            self.states[usize::from(missing) % WINDOW] =
                PacketState::Expected { seq: missing, offset: self.offset };
        }
        self.highest = seq;
        let place = &mut self.states[usize::from(seq) % WINDOW];
        if leave_out {
            *place = PacketState::Dropped { seq };
            self.offset = self.offset.wrapping_sub(1);
            return None;
        }
        *place = PacketState::Sent { seq, offset: self.offset };
        Some(self.offset)
    }
}

fn picture_number(seen: &Seen, payload: &[u8]) -> Option<u16> {
    let (at, wide) = seen.number?;
    let high = u16::from(payload.get(at)? & 0x7f);
    if !wide {
        return Some(high);
    }
    Some(high << 8 | u16::from(*payload.get(at + 1)?))
}

/// Writes a packet's new picture numbers into its payload.
pub(crate) fn renumber(payload: &mut [u8], seen: &Seen, numbers: &Numbers) {
    if let (Some(old), Some((at, wide))) = (picture_number(seen, payload), seen.number) {
        let new = old.wrapping_add(numbers.picture);
        if let (true, Some(place)) = (wide, payload.get_mut(at..at + 2)) {
            place.copy_from_slice(&(new | 0x8000).to_be_bytes());
        } else if let Some(place) = payload.get_mut(at) {
            *place = new as u8 & 0x7f;
        }
    }
    if let Some(place) = seen.base.and_then(|at| payload.get_mut(at)) {
        *place = place.wrapping_add(numbers.base);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::picture::VideoCodec;

    const A: LegId = LegId(1);
    const B: LegId = LegId(2);

    struct Source(LegId, u16, u32, u8);

    impl Source {
        fn header(&self) -> Header {
            let Self(_, seq, timestamp, _) = *self;
            Header { marker: false, pt: 96, seq, timestamp, ssrc: 1, payload: 12..18 }
        }

        /// A packet of VP8: a key frame or another, of the base layer or a higher one.
        fn packet(&self, whole: bool, high: bool) -> [u8; 6] {
            [0x90, 0xa0, 0x80 | self.3, self.3, u8::from(high) << 6, u8::from(!whole)]
        }
    }

    fn pass(
        view: &mut View,
        wanted: LegId,
        source: &mut Source,
        (whole, high): (bool, bool),
        now_ms: u64,
    ) -> Option<Numbers> {
        let (header, packet) = (source.header(), source.packet(whole, high));
        let seen = VideoCodec::Vp8.look(&packet);
        source.1 = source.1.wrapping_add(1);
        source.2 = source.2.wrapping_add(3000);
        let from = Stream { leg: source.0, layer: 0, ssrc: 1, epoch: 0 };
        let wanted = Target { leg: wanted, layer: 0 };
        view.numbers((from, Some(wanted)), &header, &seen, &packet, now_ms * 1000)
    }

    #[test]
    fn the_old_source_stays_until_a_whole_picture_of_the_new_one_and_numbers_go_on() {
        let mut view = View::new(65_533, 1000);
        let (mut a, mut b) = (Source(A, 500, 7, 3), Source(B, 65_000, 90_000, 90));
        assert_eq!(pass(&mut view, A, &mut a, (false, false), 0), None, "nothing to begin with");
        let first = pass(&mut view, A, &mut a, (true, false), 33).unwrap();
        assert_eq!((first.seq, first.timestamp), (65_534, 1000));
        let next = pass(&mut view, A, &mut a, (false, false), 66).unwrap();
        assert_eq!((next.seq, next.timestamp), (65_535, 4000));
        assert_eq!(view.source(), Some(A));

        assert_eq!(pass(&mut view, B, &mut b, (false, false), 70), None);
        let stays = pass(&mut view, B, &mut a, (false, false), 99).unwrap();
        assert_eq!((stays.seq, stays.timestamp), (0, 7000));
        let new = pass(&mut view, B, &mut b, (true, false), 149).unwrap();
        assert_eq!((new.seq, new.timestamp), (1, 7000 + 50 * 90));
        assert_eq!(pass(&mut view, B, &mut a, (true, false), 150), None, "the old one is over");
        let goes_on = pass(&mut view, B, &mut b, (false, false), 182).unwrap();
        assert_eq!((goes_on.seq, goes_on.timestamp), (2, 7000 + 50 * 90 + 3000));
        assert_eq!((view.number_at_source(2), view.number_at_source(0)), (Some(65_002), None));
    }

    #[test]
    fn pictures_are_numbered_on() {
        let mut view = View::new(0, 0);
        let (mut a, mut b) = (Source(A, 1, 0, 10), Source(B, 9000, 0, 100));
        let mut sent = |source: &mut Source, wanted, ms| {
            let mut packet = source.packet(true, false);
            let seen = VideoCodec::Vp8.look(&packet);
            let numbers = pass(&mut view, wanted, source, (true, false), ms).unwrap();
            renumber(&mut packet, &seen, &numbers);
            picture_number(&seen, &packet).unwrap()
        };
        let first = sent(&mut a, A, 0);
        assert_eq!(sent(&mut b, B, 40), first + 1);
        b.3 += 1;
        assert_eq!(sent(&mut b, B, 80), first + 1 + 0x101, "by as much as the source counts");
        let mut narrow = [0x90, 0x80, 0x7f, 0];
        let seen = VideoCodec::Vp8.look(&narrow);
        let numbers = Numbers { seq: 0, timestamp: 0, picture: 2, base: 0 };
        renumber(&mut narrow, &seen, &numbers);
        assert_eq!(narrow[2], 1);
    }

    #[test]
    fn gaps_stay_gaps_and_late_packets_find_their_place() {
        let mut view = View::new(99, 0);
        let mut a = Source(A, 1000, 0, 1);
        assert_eq!(pass(&mut view, A, &mut a, (true, false), 0).unwrap().seq, 100);
        a.1 = 1003;
        assert_eq!(pass(&mut view, A, &mut a, (false, false), 1).unwrap().seq, 103);
        assert_eq!(view.number_at_source(101), Some(1001), "it can be asked for");
        a.1 = 1001;
        assert_eq!(pass(&mut view, A, &mut a, (false, false), 2).unwrap().seq, 101);
        a.1 = 999;
        assert_eq!(pass(&mut view, A, &mut a, (false, false), 3), None, "from before the switch");
        // A jump beyond all that is remembered goes on as well.
        a.1 = 9000;
        assert_eq!(pass(&mut view, A, &mut a, (false, false), 4).unwrap().seq, 8100);
    }

    #[test]
    fn of_a_long_gap_the_end_is_remembered() {
        let mut view = View::new(99, 0);
        let mut a = Source(A, 1000, 0, 1);
        assert!(pass(&mut view, A, &mut a, (true, false), 0).is_some());
        a.1 = 1300;
        assert_eq!(pass(&mut view, A, &mut a, (false, false), 1).unwrap().seq, 400);
        assert_eq!(view.number_at_source(399), Some(1299));
        assert_eq!(view.number_at_source(101), None, "long ago");
        a.1 = 1299;
        assert_eq!(pass(&mut view, A, &mut a, (false, false), 2).unwrap().seq, 399);
    }

    #[test]
    fn no_number_goes_out_twice() {
        let mut view = View::new(99, 0);
        let mut a = Source(A, 1000, 0, 1);
        for n in 0..3 {
            a.1 = 1000 + 2 * n;
            assert!(pass(&mut view, A, &mut a, (n == 0, false), 0).is_some());
        }
        for (n, first) in [(1000, false), (1001, true), (1001, false), (1004, false)] {
            a.1 = n;
            assert_eq!(pass(&mut view, A, &mut a, (false, false), 1).is_some(), first, "{n}");
        }
        assert_eq!(view.number_at_source(101), Some(1001), "it can still be asked for");
    }

    #[test]
    fn a_receiver_that_loses_much_does_without_spare_pictures_and_misses_no_number() {
        let mut view = View::new(9, 0);
        let mut a = Source(A, 50, 0, 1);
        assert_eq!(pass(&mut view, A, &mut a, (true, false), 0).unwrap().seq, 10);
        assert_eq!(pass(&mut view, A, &mut a, (false, true), 1).unwrap().seq, 11);
        view.thin_out(1000);
        assert_eq!(pass(&mut view, A, &mut a, (false, true), 2), None);
        assert_eq!(pass(&mut view, A, &mut a, (false, false), 3).unwrap().seq, 12);
        a.1 = 52;
        assert_eq!(pass(&mut view, A, &mut a, (false, true), 4), None, "again: left out it stays");
        a.1 = 54;
        assert_eq!(pass(&mut view, A, &mut a, (false, true), 20_000).unwrap().seq, 13);
    }

    #[test]
    fn another_layer_follows_without_a_break_and_the_old_one_stays_until_its_key_frame() {
        let mut view = View::new(9, 0);
        let (mut large, mut small) = (Source(A, 50, 0, 1), Source(A, 9000, 77_777, 60));
        let mut pass = |source: &mut Source, layer, wanted, whole, ms: u64| {
            let (header, packet) = (source.header(), source.packet(whole, false));
            let seen = VideoCodec::Vp8.look(&packet);
            (source.1, source.2, source.3) = (source.1 + 1, source.2 + 3000, source.3 + 1);
            let from = Stream { leg: A, layer, ssrc: 7 + layer as u32, epoch: 0 };
            let wanted = Some(Target { leg: A, layer: wanted });
            view.numbers((from, wanted), &header, &seen, &packet, ms * 1000)
        };
        let first = pass(&mut large, 0, 0, true, 0).unwrap();
        assert_eq!(pass(&mut small, 1, 0, true, 1), None, "one layer at a time");
        assert!(pass(&mut large, 0, 1, false, 33).is_some(), "until the other begins");
        assert_eq!(pass(&mut small, 1, 1, false, 34), None);
        let switched = pass(&mut small, 1, 1, true, 66).unwrap();
        assert_eq!(switched.seq, first.seq + 2);
        assert_eq!(pass(&mut large, 0, 1, true, 67), None, "the old one is over");
        let next = pass(&mut small, 1, 1, false, 99).unwrap();
        assert_eq!((next.seq, next.timestamp - switched.timestamp), (first.seq + 3, 3000));
        assert_eq!(view.stream().unwrap().ssrc, 8);
        assert_eq!(view.number_at_source(next.seq), Some(9003), "asked for at this layer");
        assert!(view.waits_for(Target { leg: A, layer: 0 }));
        assert!(!view.waits_for(Target { leg: A, layer: 1 }));
    }

    #[test]
    fn a_source_that_begins_anew_waits_for_a_whole_picture() {
        let mut view = View::new(9, 0);
        let mut a = Source(A, 50, 0, 1);
        assert!(pass(&mut view, A, &mut a, (true, false), 0).is_some());
        let packet = a.packet(false, false);
        let seen = VideoCodec::Vp8.look(&packet);
        for (ssrc, epoch) in [(7, 0), (1, 1)] {
            let anew = Stream { leg: A, layer: 0, ssrc, epoch };
            let wanted = Some(Target { leg: A, layer: 0 });
            assert_eq!(view.numbers((anew, wanted), &a.header(), &seen, &packet, 9), None);
            assert_eq!(view.source(), None);
            assert!(pass(&mut view, A, &mut a, (true, false), 10).is_some());
        }
        view.stop();
        assert_eq!(pass(&mut view, A, &mut a, (false, false), 20), None);
    }
}
