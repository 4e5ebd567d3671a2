//! Protected audio: what `rtp_secure_media` asks for, the keys, and the variables that show them.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use media::srtp::{Keying, SrtpKeys, Suite};
use negotiation::{AudioPlan, CryptoPair, SecurityRule};
use sdp::{CryptoLine, SessionDescription};

use super::LegMedia;
use crate::call::{Channel, Direction};

impl LegMedia {
    /// Reads what the channel asks for before an exchange, and makes the keys it may need. `remote` is the description
    /// to be answered; without one ours is the offer.
    pub(super) fn set_up(&mut self, channel: &Channel, remote: Option<&SessionDescription>) {
        // The reference takes both spellings.
        self.suppress_cng =
            ["suppress_cng", "supress_cng"].iter().any(|name| channel.is_true(name));
        let append = channel.var("rtp_append_audio_sdp").unwrap_or_default();
        let attribute = |line: &str| line.trim().strip_prefix("a=").map(str::to_owned);
        self.append = append.split(['\r', '\n']).filter_map(attribute).take(32).collect();
        self.set_up_security(channel, remote);
    }

    fn set_up_security(&mut self, channel: &Channel, remote: Option<&SessionDescription>) {
        let outbound = channel.direction() == Direction::Outbound;
        let (rule, suites) = policy(channel, outbound, remote.is_none());
        // A call that is plain stays so when we offer again.
        let plain =
            remote.is_none() && self.agreed().is_some_and(|a| a.transport.secure.sdes().is_none());
        let rule = if plain { SecurityRule::Forbidden } else { rule };
        self.security.rule = rule;
        self.security.answers_ours = remote.is_none();
        self.security.crypto_in_avp = channel.is_true("rtp_allow_crypto_in_avp");
        let theirs: Vec<CryptoLine> = remote
            .iter()
            .flat_map(|description| &description.media)
            .filter(|media| media.kind == "audio")
            .flat_map(sdp::crypto_lines)
            .collect();
        if let Some(kept) = &self.security.previous {
            // A new key of the peer is answered with a new one of ours; the same with the same.
            let same_suite = |line: &&CryptoLine| line.suite.eq_ignore_ascii_case(&kept.ours.suite);
            let fresh = theirs.iter().find(same_suite).is_some_and(|t| t.key != kept.theirs.key);
            let line = if fresh {
                let suite = Suite::by_name(&kept.ours.suite);
                suite.and_then(|suite| new_line(suite, kept.ours.mki.is_some()))
            } else {
                Some(kept.ours.clone())
            };
            self.security.lines = line.into_iter().collect();
            return;
        }
        let wanted = remote.is_none() && rule != SecurityRule::Forbidden || !theirs.is_empty();
        let named: Vec<&str> = self.security.lines.iter().map(|line| &*line.suite).collect();
        if wanted && named != suites.iter().map(|suite| suite.name()).collect::<Vec<_>>() {
            let mki = channel.is_true("rtp_secure_media_mki");
            self.security.lines =
                suites.into_iter().filter_map(|suite| new_line(suite, mki)).collect();
        }
    }

    /// Shows the key of the last line offered, as the reference does. It makes keys for video and text at the same
    /// time, although neither is offered; programs see the three together.
    pub(super) fn show_offered_key(&self, channel: &Channel) {
        let offers = self.security.rule != SecurityRule::Forbidden;
        let Some(line) = self.security.lines.last().filter(|_| offers) else { return };
        channel.set_var("rtp_last_audio_local_crypto_key", line.value());
        let Some(suite) = Suite::by_name(&line.suite) else { return };
        for name in ["rtp_last_video_local_crypto_key", "rtp_last_text_local_crypto_key"] {
            if let Some(unused) = new_line(suite, line.mki.is_some()) {
                channel.set_var(name, unused.value());
            }
        }
    }

    /// Keeps what was agreed, and shows it.
    pub(super) fn note_security(&mut self, channel: &Channel, agreed: &AudioPlan) {
        let Some(pair) = agreed.transport.secure.sdes() else { return };
        self.security.previous = Some(pair.clone());
        channel.set_vars([
            ("srtp_remote_audio_crypto_key", base::far::mark(&pair.theirs.value())),
            ("srtp_remote_audio_crypto_type", pair.theirs.suite.clone()),
            ("rtp_has_crypto", pair.theirs.suite.clone()),
        ]);
        // Where the offer was ours the key of its last line stays shown, whichever line was taken.
        if !self.security.answers_ours {
            channel.set_var("rtp_last_audio_local_crypto_key", pair.ours.value());
        }
        channel.set_vars([
            ("rtp_secure_audio_confirmed", "true".to_owned()),
            ("rtp_secure_media_negotiated", pair.theirs.suite.clone()),
        ]);
        channel.with(|data| data.secure = format!("srtp:sdes:{}", pair.ours.suite));
    }
}

/// The keys of the media engine.
pub(super) fn keys(pair: &CryptoPair) -> Option<SrtpKeys> {
    let keying = |line: &CryptoLine| {
        let master = STANDARD.decode(&line.key).ok()?;
        let keying = Keying::new(Suite::by_name(&line.suite)?, &master)?;
        keying.with_mki(line.mki.as_deref().unwrap_or_default())
    };
    Some(SrtpKeys { local: keying(&pair.ours)?, remote: keying(&pair.theirs) })
}

fn new_line(suite: Suite, mki: bool) -> Option<CryptoLine> {
    let mut master = vec![0; suite.key_len() + suite.salt_len()];
    if getrandom::fill(&mut master).is_err() {
        // Without random numbers there is no secret: the suite is not offered.
        return None;
    }
    Some(CryptoLine::new(suite.tag(), suite.name(), STANDARD.encode(&master), mki))
}

/// `rtp_secure_media` and its kin: a word, and the suites that may follow it.
fn policy(channel: &Channel, outbound: bool, offering: bool) -> (SecurityRule, Vec<Suite>) {
    let own = if outbound { "rtp_secure_media_outbound" } else { "rtp_secure_media_inbound" };
    let text = channel.var(own).or_else(|| channel.var("rtp_secure_media")).unwrap_or_default();
    let (word, listed) = text.split_once(':').unwrap_or((&text, ""));
    let usual = if outbound { SecurityRule::Forbidden } else { SecurityRule::Optional };
    let named = if listed.is_empty() {
        channel.var("rtp_secure_media_suites").unwrap_or_default()
    } else {
        listed.to_owned()
    };
    let mut suites: Vec<Suite> =
        named.split(':').filter_map(|n| Suite::by_name(n.trim())).collect();
    if suites.is_empty() {
        // What a peer proposes is taken without being asked for only if it says whose packets they are.
        let usual = |suite: &Suite| offering || suite.authenticates();
        suites = Suite::ALL.into_iter().filter(usual).collect();
    }
    (rule(word).unwrap_or(usual), suites)
}

fn rule(word: &str) -> Option<SecurityRule> {
    match word.trim().to_ascii_lowercase().as_str() {
        "mandatory" => Some(SecurityRule::Mandatory),
        "optional" => Some(SecurityRule::Optional),
        "forbidden" => Some(SecurityRule::Forbidden),
        "" => None,
        other if crate::text::is_true(other) => Some(SecurityRule::Mandatory),
        other if crate::text::is_false(other) => Some(SecurityRule::Forbidden),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_rtp_secure_media() {
        for (word, expected) in [
            ("true", Some(SecurityRule::Mandatory)),
            ("mandatory", Some(SecurityRule::Mandatory)),
            ("Optional", Some(SecurityRule::Optional)),
            ("false", Some(SecurityRule::Forbidden)),
            ("forbidden", Some(SecurityRule::Forbidden)),
            ("nonsense", None),
            ("", None),
        ] {
            assert_eq!(rule(word), expected, "{word}");
        }
    }

    #[test]
    fn every_suite_has_keys_the_engine_takes_and_a_bad_one_of_the_peer_is_left_out() {
        for suite in Suite::ALL {
            for mki in [false, true] {
                let (ours, theirs) = (new_line(suite, mki).unwrap(), new_line(suite, mki).unwrap());
                assert_ne!(ours.key, theirs.key);
                let keys = keys(&CryptoPair { theirs, ours }).unwrap();
                assert!(keys.remote.is_some(), "{suite:?}");
            }
        }
        let ours = new_line(Suite::Aes128CmSha80, false).unwrap();
        let theirs = CryptoLine::new(1, "AES_CM_128_HMAC_SHA1_80", "c2hvcnQ=".into(), false);
        assert!(keys(&CryptoPair { theirs, ours }).unwrap().remote.is_none());
    }
}
