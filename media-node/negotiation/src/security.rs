//! Which `a=crypto` lines (RFC 4568) an offer and an answer agree on, and what `rtp_secure_media` asks for.

use sdp::{CryptoLine, MediaLine, crypto_lines};

/// Whether media is to be protected (`rtp_secure_media`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum SecurityRule {
    /// Never.
    Forbidden,
    /// If the peer does it.
    #[default]
    Optional,
    /// Always.
    Mandatory,
}

/// What both sides protect their packets with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CryptoPair {
    /// The peer's line.
    pub theirs: CryptoLine,
    /// Ours.
    pub ours: CryptoLine,
}

/// Our side of the protection.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Security {
    /// Whether media is to be protected.
    pub rule: SecurityRule,
    /// A line for each suite we take, in our order of preference.
    pub lines: Vec<CryptoLine>,
    /// What is read is the answer to an offer of ours.
    pub answers_ours: bool,
    /// `a=crypto` under RTP/AVP does not end the call (`rtp_allow_crypto_in_avp`).
    pub crypto_in_avp: bool,
    /// What the call is protected with since an earlier exchange.
    pub previous: Option<CryptoPair>,
}

/// What is to be done with a section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Protection {
    /// Taken without.
    Plain,
    /// Taken with these lines.
    Secure(CryptoPair),
    /// Answered with port 0; the call goes on.
    Declined,
    /// Not to be used.
    Refused,
}

impl Security {
    /// Decides about a section of the peer's description.
    pub(crate) fn of(&self, media: &MediaLine) -> Protection {
        let secure = media.proto.starts_with("RTP/SAVP");
        let lines = crypto_lines(media);
        match (secure, self.answers_ours) {
            (true, true) => self.pair(&lines).map_or(Protection::Refused, Protection::Secure),
            (false, true) if self.rule == SecurityRule::Mandatory || self.previous.is_some() => {
                Protection::Refused
            }
            (false, true) => Protection::Plain,
            (true, false) => self.of_secure_offer(&lines),
            (false, false) => self.of_plain_offer(&lines),
        }
    }

    fn of_secure_offer(&self, lines: &[CryptoLine]) -> Protection {
        if self.rule == SecurityRule::Forbidden && self.previous.is_none() {
            return Protection::Refused;
        }
        match (self.pair(lines), &self.previous) {
            (Some(pair), _) => Protection::Secure(pair),
            // A suite other than the call's changes nothing, as with the reference.
            (None, Some(previous)) => Protection::Secure(previous.clone()),
            (None, None) if self.rule == SecurityRule::Mandatory => Protection::Refused,
            (None, None) => Protection::Declined,
        }
    }

    fn of_plain_offer(&self, lines: &[CryptoLine]) -> Protection {
        if self.previous.is_some() {
            return Protection::Declined;
        }
        match self.rule {
            SecurityRule::Mandatory => Protection::Refused,
            _ if lines.is_empty() => Protection::Plain,
            _ if !self.crypto_in_avp => Protection::Refused,
            SecurityRule::Forbidden => Protection::Plain,
            SecurityRule::Optional => Protection::Declined,
        }
    }

    /// The first of their lines whose suite we have, with ours under the same tag. A protected call keeps its suite.
    fn pair(&self, lines: &[CryptoLine]) -> Option<CryptoPair> {
        let allowed =
            |line: &&CryptoLine| self.previous.as_ref().is_none_or(|kept| kept.ours.is_of(line));
        lines.iter().filter(allowed).find_map(|theirs| {
            let ours = self.lines.iter().find(|ours| ours.is_of(theirs))?.clone();
            // The tag of an answer to our offer may be wrong; the suite says which line is meant.
            let tag = if self.answers_ours { ours.tag } else { theirs.tag };
            Some(CryptoPair { theirs: theirs.clone(), ours: CryptoLine { tag, ..ours } })
        })
    }

    /// The sections to offer: their profile and their lines.
    pub(crate) fn sections(&self) -> Vec<(&'static str, Vec<CryptoLine>)> {
        if let Some(kept) = &self.previous {
            return vec![("RTP/SAVP", vec![kept.ours.clone()])];
        }
        match self.rule {
            SecurityRule::Forbidden => vec![("RTP/AVP", Vec::new())],
            SecurityRule::Optional if self.lines.is_empty() => vec![("RTP/AVP", Vec::new())],
            SecurityRule::Optional => {
                vec![("RTP/SAVP", self.lines.clone()), ("RTP/AVP", Vec::new())]
            }
            SecurityRule::Mandatory => vec![("RTP/SAVP", self.lines.clone())],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A80: &str = "AES_CM_128_HMAC_SHA1_80";
    const A32: &str = "AES_CM_128_HMAC_SHA1_32";

    fn media(proto: &str, lines: &[&str]) -> MediaLine {
        let mut media = MediaLine::new("audio", 4000, proto, vec!["0".into()]);
        let attribute = |line: &&str| sdp::Attribute::new("crypto", *line);
        media.attributes = lines.iter().map(attribute).collect();
        media
    }

    fn security(rule: SecurityRule) -> Security {
        let lines = [(7, A80), (10, A32)]
            .map(|(tag, suite)| CryptoLine::new(tag, suite, format!("key-{tag}"), false));
        Security { rule, lines: lines.into(), ..Security::default() }
    }

    fn chosen(protection: Protection) -> Option<(u32, String, String)> {
        match protection {
            Protection::Secure(pair) => Some((pair.ours.tag, pair.ours.suite, pair.theirs.key)),
            _ => None,
        }
    }

    #[test]
    fn lines_are_read_with_all_that_may_follow_the_key() {
        let line = CryptoLine::parse(&format!("1 {A80} inline:abc=|2^20|1:4 UNENCRYPTED_SRTCP"));
        let line = line.unwrap();
        assert_eq!((line.tag, &*line.suite, &*line.key), (1, A80, "abc="));
        assert_eq!(line.mki, Some(vec![0, 0, 0, 1]));
        assert_eq!(line.value(), format!("1 {A80} inline:abc=|2^20|1:4 UNENCRYPTED_SRTCP"));
        assert_eq!(CryptoLine::parse(&format!("1 {A80} inline:abc|2^31")).unwrap().mki, None);
        for bad in
            ["", "1", "x A inline:b", "1 A outline:b", "1 A inline:b|1:99", "1 A inline:b|x:4"]
        {
            assert_eq!(CryptoLine::parse(bad), None, "{bad}");
        }
        assert_eq!(
            CryptoLine::new(7, A80, "k".into(), true).value(),
            format!("7 {A80} inline:k|2^31|1:1")
        );
        assert!(!format!("{line:?}").contains("abc"));
    }

    #[test]
    fn the_offers_order_decides_among_our_suites() {
        let optional = security(SecurityRule::Optional);
        let both = [&*format!("3 {A32} inline:a"), &*format!("4 {A80} inline:b")];
        assert_eq!(
            chosen(optional.of(&media("RTP/SAVP", &both))),
            Some((3, A32.into(), "a".into()))
        );
        let unknown = ["1 NOT_A_SUITE inline:a", &*format!("5 {A80} inline:b")];
        assert_eq!(
            chosen(optional.of(&media("RTP/SAVP", &unknown))),
            Some((5, A80.into(), "b".into()))
        );
    }

    #[test]
    fn rules_meet_offers_as_recorded() {
        use Protection::{Declined, Plain, Refused};
        use SecurityRule::{Forbidden, Mandatory, Optional};
        let line = [&*format!("1 {A80} inline:a")];
        for (rule, proto, lines, expected) in [
            (Mandatory, "RTP/AVP", &[][..], Refused),
            (Optional, "RTP/AVP", &[], Plain),
            (Forbidden, "RTP/AVP", &[], Plain),
            (Forbidden, "RTP/SAVP", &line, Refused),
            (Optional, "RTP/SAVP", &[], Declined),
            (Mandatory, "RTP/SAVP", &[], Refused),
            (Optional, "RTP/AVP", &line, Refused),
        ] {
            assert_eq!(
                security(rule).of(&media(proto, lines)),
                expected,
                "{rule:?} {proto} {lines:?}"
            );
        }
        let allowed = |rule| Security { crypto_in_avp: true, ..security(rule) };
        assert_eq!(allowed(Optional).of(&media("RTP/AVP", &line)), Declined);
        assert_eq!(allowed(Forbidden).of(&media("RTP/AVP", &line)), Plain);
    }

    #[test]
    fn answers_to_our_offer_must_keep_to_it() {
        use Protection::{Plain, Refused};
        let ours = |rule| Security { answers_ours: true, ..security(rule) };
        let mandatory = ours(SecurityRule::Mandatory);
        assert_eq!(mandatory.of(&media("RTP/AVP", &[])), Refused);
        assert_eq!(mandatory.of(&media("RTP/SAVP", &[])), Refused);
        assert_eq!(mandatory.of(&media("RTP/SAVP", &["1 AEAD_AES_128_GCM inline:a"])), Refused);
        let wrong_tag = media("RTP/SAVP", &[&*format!("99 {A80} inline:a")]);
        assert_eq!(chosen(mandatory.of(&wrong_tag)), Some((7, A80.into(), "a".into())));
        assert_eq!(ours(SecurityRule::Optional).of(&media("RTP/AVP", &[])), Plain);
        assert_eq!(mandatory.sections().len(), 1);
        assert_eq!(ours(SecurityRule::Optional).sections().len(), 2);
    }

    #[test]
    fn a_protected_call_keeps_its_suite() {
        let mut kept = security(SecurityRule::Optional);
        let Protection::Secure(pair) =
            kept.of(&media("RTP/SAVP", &[&*format!("1 {A80} inline:a")]))
        else {
            unreachable!("a suite of ours")
        };
        kept.previous = Some(pair);
        let other = media("RTP/SAVP", &[&*format!("1 {A32} inline:b")]);
        assert_eq!(chosen(kept.of(&other)), Some((1, A80.into(), "a".into())), "nothing changes");
        let both = [&*format!("1 {A32} inline:b"), &*format!("2 {A80} inline:c")];
        assert_eq!(chosen(kept.of(&media("RTP/SAVP", &both))), Some((2, A80.into(), "c".into())));
        assert_eq!(kept.of(&media("RTP/AVP", &[])), Protection::Declined);
        assert_eq!(kept.sections().len(), 1);
    }
}
