//! Congestion of one line of video, by transport-wide feedback ([`crate::rtcp::transport`]): what arrives from the far end, so that
//! it can estimate, and an estimate of our own of what the far end can take.
//!
//! The estimate follows what the far end acknowledges: it falls when packets queue on the way (their one-way delay grows beyond
//! its least of late), or when a tenth of them is lost; otherwise it rises by 8 % a second, to one and a half times what is
//! acknowledged at most. It never sends anything merely to probe.

use crate::rtcp::transport::{self, LONGEST};
use crate::rtp::seq_distance;

/// Packets whose arrival is remembered, and packets sent whose acknowledgement is awaited.
const REMEMBERED: usize = 512;
/// Microseconds between two messages to a far end.
const TELL_US: u64 = 100_000;
/// A packet this much older than those told of is told of again.
const LATE: i16 = 64;

/// What has come from the far end.
#[derive(Debug)]
pub(crate) struct Received {
    /// Number and time, by number.
    arrivals: [(u16, u64); REMEMBERED],
    /// The numbers not told of yet: from the first to the newest. `None` when all were.
    open: Option<(u16, u16)>,
    newest: Option<u16>,
    told_us: u64,
    messages: u8,
}

impl Default for Received {
    fn default() -> Self {
        let arrivals = [(0, 0); REMEMBERED];
        Self { arrivals, open: None, newest: None, told_us: 0, messages: 0 }
    }
}

impl Received {
    /// Notes a packet.
    pub(crate) fn note(&mut self, number: u16, now_us: u64) {
        if let Some(newest) = self.newest {
            let ahead = seq_distance(newest, number);
            if ahead < -LATE || ahead > REMEMBERED as i16 / 2 {
                // A far end that counts anew.
                *self = Self { told_us: self.told_us, messages: self.messages, ..Self::default() };
            }
        }
        if let Some(place) = self.arrivals.get_mut(usize::from(number) % REMEMBERED) {
            *place = (number, now_us.max(1));
        }
        let is_newer = |than: u16| seq_distance(than, number) > 0;
        if self.newest.is_none_or(is_newer) {
            self.newest = Some(number);
        }
        let (first, last) = self.open.unwrap_or((number, number));
        let first = if is_newer(first) { first } else { number };
        self.open = Some((first, if is_newer(last) { number } else { last }));
    }

    /// Writes the message that is due, if one is; its length.
    pub(crate) fn tell(
        &mut self,
        out: &mut [u8; LONGEST],
        names: (u32, u32),
        now_us: u64,
    ) -> Option<usize> {
        let (mut first, last) = self.open?;
        let span = seq_distance(first, last).unsigned_abs() as usize + 1;
        if now_us.saturating_sub(self.told_us) < TELL_US && span < REMEMBERED / 4 {
            return None;
        }
        let mut arrivals = [None; REMEMBERED];
        let mut count = 0;
        let span = span.min(REMEMBERED);
        for (n, arrival) in arrivals.iter_mut().take(span).enumerate() {
            let number = first.wrapping_add(n as u16);
            let place = self.arrivals.get(usize::from(number) % REMEMBERED);
            *arrival = place.filter(|(at, us)| *at == number && *us > 0).map(|(_, us)| *us);
            count = n + 1;
        }
        let begin = arrivals.iter().position(Option::is_some)?;
        first = first.wrapping_add(begin as u16);
        let which = (self.messages, first);
        let known = arrivals.get(begin..count).unwrap_or_default();
        let (len, told) = transport::write(out, names, which, known);
        self.told_us = now_us;
        self.messages = self.messages.wrapping_add(1);
        let next = first.wrapping_add(told as u16);
        self.open = (told > 0 && seq_distance(next, last) >= 0).then_some((next, last));
        (len > 0).then_some(len)
    }
}

/// Where an estimate begins, bits a second, and its bounds.
const FIRST_BITS: u64 = 600_000;
const LOWEST_BITS: u64 = 50_000;
const HIGHEST_BITS: u64 = 20_000_000;
/// Acknowledged octets count over so long.
const WINDOW_US: u64 = 1_000_000;
/// The least delay of this window and the one before is that of an empty way: clocks drift, ways change.
const DELAY_WINDOW_US: u64 = 10_000_000;
/// Packets queue when they take so much longer than the least, for a while.
const QUEUED_US: i64 = 120_000;
const QUEUED_FOR_US: u64 = 400_000;
/// Share of packets lost, of 256, from which the estimate falls.
const HEAVY_LOSS: u64 = 26;
/// Packets a share is worked out from at least.
const ENOUGH: u64 = 20;
/// Between two falls, so that the first can take effect.
const FALL_US: u64 = 500_000;

/// What the far end can take, by what it acknowledges.
#[derive(Debug)]
pub(crate) struct Sending {
    next: u16,
    /// Number, when it was sent, and its octets; 0 octets where nothing is awaited.
    sent: [(u16, u64, u16); REMEMBERED],
    /// Reported as lost, so far.
    missing: [bool; REMEMBERED],
    /// Octets acknowledged in this window and the last.
    octets: [u64; 2],
    window_us: u64,
    began_us: u64,
    arrived: u64,
    lost: u64,
    /// Least delays of this window and the last, of unrelated clocks; smoothed delay.
    least: [Option<i64>; 2],
    least_us: u64,
    delay: Option<i64>,
    bits: u64,
    changed_us: u64,
    fell_us: u64,
    /// Since when packets queue.
    queued_us: Option<u64>,
}

impl Default for Sending {
    fn default() -> Self {
        Self {
            next: 0,
            sent: [(0, 0, 0); REMEMBERED],
            missing: [false; REMEMBERED],
            octets: [0; 2],
            window_us: 0,
            began_us: 0,
            arrived: 0,
            lost: 0,
            least: [None; 2],
            least_us: 0,
            delay: None,
            bits: FIRST_BITS,
            changed_us: 0,
            fell_us: 0,
            queued_us: None,
        }
    }
}

impl Sending {
    /// The number of a packet that is sent now.
    pub(crate) fn number(&mut self, octets: usize, now_us: u64) -> u16 {
        let number = self.next;
        self.next = number.wrapping_add(1);
        if let Some(place) = self.sent.get_mut(usize::from(number) % REMEMBERED) {
            *place = (number, now_us, u16::try_from(octets).unwrap_or(u16::MAX).max(1));
        }
        if let Some(missing) = self.missing.get_mut(usize::from(number) % REMEMBERED) {
            *missing = false;
        }
        number
    }

    /// Takes what became of a packet. A number that was not sent, or was heard of before, says nothing.
    pub(crate) fn heard(&mut self, number: u16, arrived: Option<i64>, now_us: u64) {
        let at = usize::from(number) % REMEMBERED;
        let Some(&(sent, sent_us, octets)) = self.sent.get(at) else { return };
        if sent != number || octets == 0 {
            return;
        }
        self.turn(now_us);
        let Some(missing) = self.missing.get_mut(at) else { return };
        let was_missing = std::mem::replace(missing, arrived.is_none());
        let Some(arrived) = arrived else {
            // It counts once, and may still come.
            self.lost += u64::from(!was_missing);
            return;
        };
        self.lost = self.lost.saturating_sub(u64::from(was_missing));
        if let Some((_, _, octets)) = self.sent.get_mut(at) {
            *octets = 0;
        }
        self.arrived += 1;
        let [this, _] = &mut self.octets;
        *this += u64::from(octets);
        let delay = arrived.wrapping_sub(sent_us as i64);
        let [least, _] = &mut self.least;
        *least = Some(least.map_or(delay, |least| least.min(delay)));
        self.delay =
            Some(self.delay.map_or(delay, |old| old.wrapping_add(delay.wrapping_sub(old) / 8)));
    }

    /// Ends a message: the estimate now, bits a second, once there is one.
    pub(crate) fn estimate(&mut self, now_us: u64) -> Option<u64> {
        self.turn(now_us);
        if self.began_us == 0 || now_us.saturating_sub(self.began_us) < WINDOW_US {
            return None;
        }
        let acknowledged = self.acknowledged(now_us);
        let passed = now_us.saturating_sub(self.changed_us).min(WINDOW_US);
        self.changed_us = now_us;
        let heard = self.arrived + self.lost;
        let lost = if heard >= ENOUGH { self.lost * 256 / heard } else { 0 };
        let least = self.least.iter().flatten().min();
        let queued = match (self.delay, least) {
            (Some(delay), Some(least)) => delay.saturating_sub(*least),
            _ => 0,
        };
        // One burst, a key frame say, is a queue that soon is gone.
        let since = self.queued_us.unwrap_or(now_us);
        self.queued_us = (queued > QUEUED_US).then_some(since);
        let queues = self.queued_us.is_some() && now_us.saturating_sub(since) >= QUEUED_FOR_US;
        if queues || lost >= HEAVY_LOSS {
            if now_us.saturating_sub(self.fell_us) >= FALL_US {
                self.fell_us = now_us;
                self.bits = (acknowledged - acknowledged * 3 / 20).min(self.bits);
            }
        } else {
            let risen = self.bits + (self.bits / 1000 * 80).saturating_mul(passed) / 1_000_000;
            let most = acknowledged + acknowledged / 2 + 10_000;
            // What little is sent does not lower it.
            self.bits = risen.min(most.max(self.bits)).max(acknowledged);
        }
        self.bits = self.bits.clamp(LOWEST_BITS, HIGHEST_BITS);
        Some(self.bits)
    }

    fn acknowledged(&self, now_us: u64) -> u64 {
        let over = WINDOW_US + now_us.saturating_sub(self.window_us);
        self.octets.iter().sum::<u64>().saturating_mul(8_000_000) / over.max(1)
    }

    fn turn(&mut self, now_us: u64) {
        if self.began_us == 0 {
            (self.began_us, self.window_us, self.least_us) = (now_us, now_us, now_us);
            self.changed_us = now_us;
        }
        let windows = now_us.saturating_sub(self.window_us) / WINDOW_US;
        if windows > 0 {
            let [this, _] = self.octets;
            self.octets = [0, if windows == 1 { this } else { 0 }];
            self.window_us += windows * WINDOW_US;
            let shift = windows.min(63);
            (self.arrived, self.lost) = (self.arrived >> shift, self.lost >> shift);
        }
        if now_us.saturating_sub(self.least_us) >= DELAY_WINDOW_US {
            let [this, _] = self.least;
            self.least = [None, this];
            self.least_us = now_us;
        }
    }
}

/// Both directions of a line, made by the control side: a worker allocates nothing.
#[derive(Debug, Default)]
pub(crate) struct Congestion {
    pub(crate) received: Received,
    pub(crate) sending: Sending,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rtcp::{Item, parse};

    const SECOND: u64 = 1_000_000;

    fn told(received: &mut Received, now_us: u64) -> Option<Vec<(u16, Option<i64>)>> {
        let mut out = [0; LONGEST];
        let len = received.tell(&mut out, (1, 2), now_us)?;
        let mut all = Vec::new();
        parse(&out[..len], |item| {
            if let Item::Transport { number, arrived } = item {
                all.push((number, arrived));
            }
        });
        Some(all)
    }

    #[test]
    fn each_packet_is_told_of_and_those_missing_as_well() {
        let mut received = Received::default();
        assert_eq!(told(&mut received, SECOND), None);
        for number in [65_533, 65_534, 2, 1] {
            received.note(number, SECOND);
        }
        let all = told(&mut received, SECOND).unwrap();
        let numbers: Vec<_> = all.iter().map(|(n, at)| (*n, at.is_some())).collect();
        let expected =
            [(65_533, true), (65_534, true), (65_535, false), (0, false), (1, true), (2, true)];
        assert_eq!(numbers, expected);
        received.note(3, SECOND + 1);
        assert_eq!(told(&mut received, SECOND + 50_000), None, "ten times a second");
        received.note(0, SECOND + 60_000);
        let late = told(&mut received, SECOND + 100_000).unwrap();
        assert_eq!((late[0].0, late.last().unwrap().0), (0, 3), "one that was late as well");
        assert!(late.iter().all(|(_, at)| at.is_some()));
        assert_eq!(told(&mut received, 9 * SECOND), None, "nothing new");
    }

    #[test]
    fn jumps_and_floods_take_no_more_room() {
        let mut received = Received::default();
        let mut messages = 0;
        for n in 0..50_000_u32 {
            received.note((n * 7919) as u16, SECOND + u64::from(n));
            messages += usize::from(told(&mut received, SECOND + u64::from(n)).is_some());
        }
        assert!(messages > 0);
        for n in 0..400 {
            received.note(n, 2 * SECOND);
        }
        let all = told(&mut received, 3 * SECOND).unwrap();
        assert!(all.len() <= 512);
    }

    /// Sends that many bits a second for so long over a way that passes `passes`, with a queue; the estimate at the end.
    fn through(sending: &mut Sending, from_ms: u64, ms: u64, bits: u64, passes: u64) -> u64 {
        let octets = 1000;
        let every_us = octets * 8 * SECOND / bits;
        let takes_us = octets * 8 * SECOND / passes;
        let (mut at, end) = (from_ms * 1000, (from_ms + ms) * 1000);
        let (mut free, mut estimate, mut open) = (at, 0, Vec::new());
        while at < end {
            free = free.max(at) + takes_us;
            // A queue of half a second: the rest is lost.
            let number = sending.number(octets as usize, at);
            let lost = free > at + SECOND / 2;
            if lost {
                free -= takes_us;
            }
            open.push((number, (!lost).then_some(free as i64 + 77_000_000)));
            if open.len() == 10 {
                for (number, arrived) in open.drain(..) {
                    sending.heard(number, arrived, at);
                }
                estimate = sending.estimate(at).unwrap_or_default();
            }
            at += every_us;
        }
        estimate
    }

    #[test]
    fn the_estimate_follows_what_passes() {
        let mut sending = Sending::default();
        let wide = through(&mut sending, 1000, 20_000, 800_000, 10_000_000);
        assert!((1_000_000..=1_400_000).contains(&wide), "half as much again: {wide}");
        let narrow = through(&mut sending, 21_000, 5_000, 800_000, 400_000);
        assert!((200_000..=420_000).contains(&narrow), "{narrow}");
        let again = through(&mut sending, 26_000, 30_000, 400_000, 10_000_000);
        assert!((500_000..=700_000).contains(&again), "{again}");
    }

    #[test]
    fn a_lost_packet_counts_once_until_it_arrives_and_not_for_ever() {
        let mut sending = Sending::default();
        let number = sending.number(1000, SECOND);
        for _ in 0..5 {
            sending.heard(number, None, SECOND);
        }
        assert_eq!(sending.lost, 1);
        sending.heard(number, Some(0), SECOND);
        assert_eq!((sending.lost, sending.arrived), (0, 1));
        for _ in 0..100 {
            let number = sending.number(1000, SECOND);
            sending.heard(number, None, SECOND);
        }
        assert_eq!(sending.lost, 100);
        sending.turn(61 * SECOND);
        assert_eq!((sending.lost, sending.arrived), (0, 0), "a pause of a minute");
    }

    #[test]
    fn one_burst_does_not_lower_the_estimate() {
        let mut sending = Sending::default();
        let before = through(&mut sending, 1000, 5000, 800_000, 10_000_000);
        let at = 6 * SECOND;
        for _ in 0..20 {
            let number = sending.number(1000, at);
            sending.heard(number, Some((at + 400_000) as i64 + 77_000_000), at);
        }
        assert!(sending.estimate(at).unwrap() >= before);
        assert!(sending.estimate(at + 500_000).unwrap() < before, "one that stays does");
    }

    #[test]
    fn what_was_not_sent_says_nothing() {
        let mut sending = Sending::default();
        for number in 0..2000 {
            sending.heard(number, Some(i64::from(number) << 40), SECOND);
        }
        assert_eq!(sending.estimate(5 * SECOND), None);
        let number = sending.number(1000, 5 * SECOND);
        for _ in 0..100 {
            sending.heard(number, Some(i64::MAX), 5 * SECOND);
            sending.heard(number, Some(i64::MIN), 5 * SECOND);
        }
        assert_eq!(sending.octets[0], 1000, "once");
        let estimate = sending.estimate(7 * SECOND).unwrap();
        assert!((LOWEST_BITS..=HIGHEST_BITS).contains(&estimate));
    }
}
