//! The `a=fmtp` lines of our own: what Opus says of itself in offers and answers (RFC 7587 §6.1), as the reference
//! words it.

use std::fmt::Write;

/// What an answer repeats of the peer's line; the rest of it says how the peer wants to be sent to.
const ECHOED: [&str; 5] = ["stereo", "sprop-stereo", "ptime", "minptime", "maxptime"];

/// What `opus.conf` has descriptions say of Opus.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpusWishes {
    /// `useinbandfec=1` (`advertise-useinbandfec`).
    pub fec: bool,
    /// `usedtx=1` (`use-dtx`).
    pub dtx: bool,
    /// `cbr=1` (`use-vbr` is off).
    pub cbr: bool,
    /// `maxaveragebitrate`, bits per second; `None`: the usual one in offers, none in answers.
    pub bit_rate: Option<u32>,
    /// `maxplaybackrate`, Hz; likewise.
    pub playback_rate: Option<u32>,
    /// `sprop-maxcapturerate`, Hz.
    pub capture_rate: Option<u32>,
    /// Two channels are never agreed on (`mono`).
    pub mono: bool,
    /// The lower of both sides' `maxaveragebitrate` is answered (`bitrate-negotiation`), not our own.
    pub lower_bit_rate: bool,
    /// The same of both rates (`asymmetric-sample-rates`).
    pub lower_rates: bool,
}

impl Default for OpusWishes {
    fn default() -> Self {
        Self {
            fec: true,
            dtx: false,
            cbr: false,
            bit_rate: None,
            playback_rate: None,
            capture_rate: None,
            mono: false,
            lower_bit_rate: false,
            lower_rates: false,
        }
    }
}

impl OpusWishes {
    /// The beginning of a line, with those rates.
    fn begin(&self, rates: [(&str, Option<u32>); 3]) -> String {
        let mut ours = format!("useinbandfec={}", u8::from(self.fec));
        for (name, on) in [("usedtx", self.dtx), ("cbr", self.cbr)] {
            if on {
                let _ = write!(ours, "; {name}=1");
            }
        }
        for (name, value) in rates {
            if let Some(value) = value {
                let _ = write!(ours, "; {name}={value}");
            }
        }
        ours
    }
}

/// The line of an offer of Opus sampled at `rate`.
pub(crate) fn opus_offer(wishes: &OpusWishes, rate: u32, ptime: u32) -> String {
    let bit_rate = match rate {
        ..=8000 => 14_000,
        8001..=16_000 => 20_000,
        _ => 30_000,
    };
    let begin = wishes.begin([
        ("maxaveragebitrate", wishes.bit_rate.or(Some(bit_rate))),
        ("maxplaybackrate", wishes.playback_rate.or(Some(rate))),
        ("sprop-maxcapturerate", wishes.capture_rate),
    ]);
    format!("{begin}; ptime={ptime}; minptime=10; maxptime=40")
}

/// The line of an answer to an offer of Opus.
pub(crate) fn opus_answer(wishes: &OpusWishes, theirs: Option<&str>) -> String {
    let parts = || {
        let parts = theirs.unwrap_or_default().split(';');
        parts
            .filter_map(|part| part.split_once('='))
            .map(|(name, value)| (name.trim(), value.trim()))
    };
    let said = |wanted: &str| {
        let (_, value) = parts().find(|(name, _)| name.eq_ignore_ascii_case(wanted))?;
        value.parse::<u32>().ok().filter(|value| *value > 0)
    };
    let agreed = |name: &'static str, own: Option<u32>, lower: bool| {
        let theirs = said(name).filter(|_| lower);
        (name, own.map(|own| theirs.map_or(own, |theirs| own.min(theirs))))
    };
    let mut ours = wishes.begin([
        agreed("maxaveragebitrate", wishes.bit_rate, wishes.lower_bit_rate),
        agreed("maxplaybackrate", wishes.playback_rate, wishes.lower_rates),
        agreed("sprop-maxcapturerate", wishes.capture_rate, wishes.lower_rates),
    ]);
    if theirs.is_none() {
        ours.push_str("; minptime=10; maxptime=40");
        return ours;
    }
    for (name, value) in parts() {
        let lower = name.to_ascii_lowercase();
        if ECHOED.contains(&lower.as_str()) && !(wishes.mono && lower.contains("stereo")) {
            let _ = write!(ours, "; {name}={value}");
        }
    }
    ours
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_the_recorded_ones() {
        for (theirs, ours) in [
            (None, "useinbandfec=1; minptime=10; maxptime=40"),
            (Some("useinbandfec=0;usedtx=1"), "useinbandfec=1"),
            (Some("stereo=1; sprop-stereo=1"), "useinbandfec=1; stereo=1; sprop-stereo=1"),
            (Some("maxaveragebitrate=20000;cbr=1"), "useinbandfec=1"),
            (Some("minptime=10"), "useinbandfec=1; minptime=10"),
        ] {
            assert_eq!(opus_answer(&OpusWishes::default(), theirs), ours);
        }
        assert_eq!(
            opus_offer(&OpusWishes::default(), 48_000, 20),
            "useinbandfec=1; maxaveragebitrate=30000; maxplaybackrate=48000; ptime=20; minptime=10; maxptime=40"
        );
    }

    #[test]
    fn what_is_configured_is_said() {
        let wishes = OpusWishes {
            fec: false,
            dtx: true,
            cbr: true,
            bit_rate: Some(24_000),
            playback_rate: Some(16_000),
            capture_rate: Some(16_000),
            mono: true,
            lower_bit_rate: true,
            lower_rates: false,
        };
        assert_eq!(
            opus_offer(&wishes, 48_000, 20),
            "useinbandfec=0; usedtx=1; cbr=1; maxaveragebitrate=24000; maxplaybackrate=16000; sprop-maxcapturerate=16000; \
             ptime=20; minptime=10; maxptime=40"
        );
        let theirs = "maxaveragebitrate=20000; maxplaybackrate=8000; stereo=1; minptime=10";
        assert_eq!(
            opus_answer(&wishes, Some(theirs)),
            "useinbandfec=0; usedtx=1; cbr=1; maxaveragebitrate=20000; maxplaybackrate=16000; sprop-maxcapturerate=16000; minptime=10"
        );
    }
}
