//! What `a=rtpmap` says, and the static payload types of RFC 3551.

/// `a=rtpmap`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RtpMap {
    /// Payload type, 0 to 127.
    pub payload_type: u8,
    /// Encoding name, as written.
    pub name: String,
    /// Clock rate, Hz.
    pub rate: u32,
    /// Channels; 1 where nothing is said.
    pub channels: u8,
}

impl RtpMap {
    /// Reads the value of an `a=rtpmap` line.
    pub fn parse(value: &str) -> Option<Self> {
        let (payload_type, codec) = value.trim().split_once(' ')?;
        let mut parts = codec.trim().split('/');
        Some(Self {
            payload_type: payload_type.parse().ok().filter(|pt| *pt < 128)?,
            name: parts.next().filter(|n| !n.is_empty())?.to_owned(),
            rate: parts.next()?.trim().parse().ok()?,
            channels: parts.next().and_then(|c| c.trim().parse().ok()).unwrap_or(1),
        })
    }
}

/// Name, clock rate and channels of a static audio payload type.
pub fn static_codec(payload_type: u8) -> Option<(&'static str, u32, u8)> {
    Some(match payload_type {
        0 => ("PCMU", 8000, 1),
        3 => ("GSM", 8000, 1),
        4 => ("G723", 8000, 1),
        5 => ("DVI4", 8000, 1),
        6 => ("DVI4", 16000, 1),
        7 => ("LPC", 8000, 1),
        8 => ("PCMA", 8000, 1),
        9 => ("G722", 8000, 1),
        10 => ("L16", 44100, 2),
        11 => ("L16", 44100, 1),
        13 => ("CN", 8000, 1),
        15 => ("G728", 8000, 1),
        18 => ("G729", 8000, 1),
        _ => return None,
    })
}

/// The static payload type of a codec.
pub fn static_payload_type(name: &str, rate: u32) -> Option<u8> {
    (0..=18).find(|pt| {
        static_codec(*pt)
            .is_some_and(|(n, r, c)| n.eq_ignore_ascii_case(name) && r == rate && c == 1)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn static_types_go_both_ways() {
        assert_eq!(static_payload_type("pcma", 8000), Some(8));
        assert_eq!(static_payload_type("L16", 8000), None);
        assert_eq!(static_codec(18), Some(("G729", 8000, 1)));
    }
}
