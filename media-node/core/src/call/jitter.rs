//! The jitter buffer of a call: what `jitterbuffer_msec` and `uuid_jitterbuffer` say.

use media::params::JitterSpec;

use super::Channel;
use crate::text;

/// The variable that holds a call's buffer across re-negotiations.
pub const VARIABLE: &str = "jitterbuffer_msec";
/// Packet length that lengths given in packets are counted in, milliseconds.
const PACKET_MS: i64 = 20;
/// Longest buffer taken, milliseconds.
const LONGEST_MS: i64 = 10_000;

/// Reads `length[:longest[:drift]]` in milliseconds; a negative length counts packets. The drift is not needed: the
/// buffer follows the sender's clock by itself. `None` = no buffer.
#[must_use]
pub fn parse(value: &str) -> Option<JitterSpec> {
    let mut parts = value.trim().split(':').map(text::int);
    let ms = |n: i64| if n < 0 { -n * PACKET_MS } else { n }.clamp(0, LONGEST_MS) as u32;
    let length = parts.next().map(ms).filter(|ms| *ms > 0)?;
    Some(JitterSpec { ms: length, max_ms: parts.next().map(ms).filter(|most| *most > length) })
}

/// What the channel's variable asks for.
#[must_use]
pub fn of(channel: &Channel) -> Option<JitterSpec> {
    channel.var(VARIABLE).and_then(|value| parse(&value))
}

/// Gives a call another buffer, or none, now and at its next negotiation. False without media.
pub fn set(channel: &Channel, value: &str) -> bool {
    let Some(leg) = channel.media() else { return false };
    let spec = parse(value);
    match spec {
        Some(_) => channel.set_var(VARIABLE, value.trim().to_owned()),
        None => channel.unset_var(VARIABLE),
    }
    leg.set_jitter(spec).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_milliseconds_or_packets() {
        let spec = |ms, max_ms| Some(JitterSpec { ms, max_ms });
        assert_eq!(parse("60"), spec(60, None));
        assert_eq!(parse("60:200:20"), spec(60, Some(200)));
        assert_eq!(parse("-3:-10"), spec(60, Some(200)));
        assert_eq!(parse("100:50"), spec(100, None), "less than the length is no limit");
        assert_eq!((parse("0"), parse(""), parse("off")), (None, None, None));
    }
}
