//! How deep a jitter buffer is to be: `jitterbuffer_msec`.

use media::params::JitterSpec;

/// Packet length that lengths given in packets are counted in, milliseconds.
const PACKET_MS: i64 = 20;
/// Longest buffer taken, milliseconds.
const LONGEST_MS: i64 = 10_000;

/// Reads `length[:longest[:drift]]` in milliseconds; a negative length counts packets. The drift is not needed: the
/// buffer follows the sender's clock by itself. `None` = no buffer.
#[must_use]
pub fn jitter_buffer(value: &str) -> Option<JitterSpec> {
    let mut parts = value.trim().split(':').map(base::text::int);
    let ms = |n: i64| {
        let ms = if n < 0 { n.saturating_neg().saturating_mul(PACKET_MS) } else { n };
        ms.clamp(0, LONGEST_MS) as u32
    };
    let length = parts.next().map(ms).filter(|ms| *ms > 0)?;
    Some(JitterSpec { ms: length, max_ms: parts.next().map(ms).filter(|most| *most > length) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_milliseconds_or_packets() {
        let spec = |ms, max_ms| Some(JitterSpec { ms, max_ms });
        assert_eq!(jitter_buffer("60"), spec(60, None));
        assert_eq!(jitter_buffer("60:200:20"), spec(60, Some(200)));
        assert_eq!(jitter_buffer("-3:-10"), spec(60, Some(200)));
        assert_eq!(jitter_buffer("100:50"), spec(100, None), "less than the length is no limit");
        assert_eq!(
            (jitter_buffer("0"), jitter_buffer(""), jitter_buffer("off")),
            (None, None, None)
        );
    }
}
