//! The `a=fmtp` lines of our own: what Opus says of itself in offers and answers (RFC 7587 §6.1), as the reference
//! words it.

use std::fmt::Write;

/// What an answer repeats of the peer's line; the rest of it says how the peer wants to be sent to.
const ECHOED: [&str; 5] = ["stereo", "sprop-stereo", "ptime", "minptime", "maxptime"];

/// The line of an offer of Opus sampled at `rate`.
pub(crate) fn opus_offer(rate: u32, ptime: u32) -> String {
    let bit_rate = match rate {
        ..=8000 => 14_000,
        8001..=16_000 => 20_000,
        _ => 30_000,
    };
    format!(
        "useinbandfec=1; maxaveragebitrate={bit_rate}; maxplaybackrate={rate}; ptime={ptime}; minptime=10; maxptime=40"
    )
}

/// The line of an answer to an offer of Opus.
pub(crate) fn opus_answer(theirs: Option<&str>) -> String {
    let mut ours = "useinbandfec=1".to_owned();
    let Some(theirs) = theirs else {
        ours.push_str("; minptime=10; maxptime=40");
        return ours;
    };
    for part in theirs.split(';').map(str::trim) {
        let Some((name, value)) = part.split_once('=') else { continue };
        if ECHOED.contains(&name.trim().to_ascii_lowercase().as_str()) {
            let _ = write!(ours, "; {}={}", name.trim(), value.trim());
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
            assert_eq!(opus_answer(theirs), ours);
        }
        assert_eq!(
            opus_offer(48_000, 20),
            "useinbandfec=1; maxaveragebitrate=30000; maxplaybackrate=48000; ptime=20; minptime=10; maxptime=40"
        );
    }
}
