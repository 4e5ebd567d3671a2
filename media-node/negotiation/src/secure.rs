//! What a leg needs to reach its peer and to protect its packets: addresses, SDES keys, DTLS and ICE parameters.

use std::net::SocketAddr;

use sdp::{Candidate, Credentials, Fingerprint};

use crate::CryptoPair;

/// How the packets of one line travel. Made by the negotiation, used by the leg's media. What most legs do not have is
/// boxed: each keeps several of these.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Transport {
    /// Where to send RTP: the line's address, or with ICE the first candidate that may be used. `None` when the peer
    /// gave port 0 or a name.
    pub remote: Option<SocketAddr>,
    /// Where to send RTCP; the same as `remote` with `rtcp_mux`.
    pub remote_rtcp: Option<SocketAddr>,
    /// RTP and RTCP share a port (RFC 5761): both sides said so.
    pub rtcp_mux: bool,
    /// How packets are protected.
    pub secure: Secure,
    /// Connectivity checks decide where packets go. `None`: `remote` does, and what comes from there.
    pub ice: Option<Box<Ice>>,
}

/// How the packets of one line are protected.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum Secure {
    /// Not at all.
    #[default]
    None,
    /// With keys of the descriptions (RFC 4568).
    Sdes(Box<CryptoPair>),
    /// With keys of a DTLS handshake (RFC 5764). Nothing but STUN and DTLS may be taken from the peer before it is done.
    Dtls(Box<Dtls>),
}

impl Secure {
    /// The keys of the descriptions, if that is how it is done.
    pub fn sdes(&self) -> Option<&CryptoPair> {
        match self {
            Self::Sdes(pair) => Some(pair),
            Self::None | Self::Dtls(_) => None,
        }
    }

    /// The parameters of the handshake, if that is how it is done.
    pub fn dtls(&self) -> Option<&Dtls> {
        match self {
            Self::Dtls(dtls) => Some(dtls),
            Self::None | Self::Sdes(_) => None,
        }
    }
}

/// Parameters of a DTLS handshake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dtls {
    /// Which side of the handshake is ours.
    pub role: DtlsRole,
    /// The peer's certificate must have one of these digests; never empty. Those of a hash function that is not known are
    /// to be passed over (RFC 8122 §5.1); when no other is left the handshake must fail.
    pub fingerprints: Vec<Fingerprint>,
}

/// A side of a DTLS handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DtlsRole {
    /// Sends the ClientHello (`a=setup:active`).
    Client,
    /// Waits for it (`a=setup:passive`).
    Server,
}

/// Parameters of the connectivity checks of one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ice {
    /// Ours, as written in our description.
    pub ours: Credentials,
    /// The peer's. Others than before mean an ICE restart (RFC 8445 §9).
    pub theirs: Credentials,
    /// The peer's candidates that may be used, best place first as it listed them: over UDP, with an address that is
    /// neither hidden behind a name nor kept out by `apply-candidate-acl`. Empty when the peer is to trickle them or only
    /// its checks will tell where it is.
    pub candidates: Vec<Candidate>,
    /// No more will follow (`a=end-of-candidates`), or the peer does not trickle.
    pub complete: bool,
    /// The peer is ICE lite: it makes no checks of its own, and we control.
    pub lite: bool,
    /// We are (`ice_lite`): we make no checks, and the peer controls.
    pub lite_ours: bool,
    /// We begin in the controlling role: we offered, or the peer is lite.
    pub controlling: bool,
}

/// Our side of one line: what the leg has bound and made before a description can be written.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct LocalStream {
    /// RTP port as peers see it; 0 while nothing is bound.
    pub port: u16,
    /// RTCP port; `None` where none is bound.
    pub rtcp_port: Option<u16>,
    /// SSRC we send with.
    pub ssrc: u32,
    /// User fragment, password and candidates to print, where ICE may be used.
    pub ice: Option<LocalIce>,
}

/// Our side of the connectivity checks of one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalIce {
    /// User fragment (16 characters) and password (24).
    pub credentials: Credentials,
    /// Candidates beside the one that is always written: host, at the advertised address and the line's port.
    pub more: Vec<Candidate>,
    /// Foundation of that one.
    pub foundation: String,
}

impl LocalIce {
    /// Fresh credentials, of lengths as the reference's; `None` when the system has no random numbers.
    pub fn new() -> Option<Self> {
        let credentials = Credentials { ufrag: word(16)?, pwd: word(24)? };
        let foundation = random(10)?.iter().map(|octet| char::from(b'0' + octet % 10)).collect();
        Some(Self { credentials, more: Vec::new(), foundation })
    }
}

/// What descriptions of browsers' calls carry for the whole call, not for a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Digests of our certificate, the preferred hash function first: each that a peer may ask for by using it.
    pub fingerprints: Vec<Fingerprint>,
    /// `a=msid-semantic`, 32 characters.
    pub msid: String,
    /// `cname` of our streams, 16 characters.
    pub cname: String,
}

impl Identity {
    /// Names for one call; `None` when the system has no random numbers.
    pub fn new(fingerprints: Vec<Fingerprint>) -> Option<Self> {
        Some(Self { fingerprints, msid: word(32)?, cname: word(16)? })
    }

    /// Our digest for a peer: by the hash function it uses itself if we can, else the preferred one.
    pub(crate) fn fingerprint_for(&self, theirs: &[Fingerprint]) -> Option<&Fingerprint> {
        let same = |ours: &&Fingerprint| theirs.first().is_some_and(|t| t.hash == ours.hash);
        self.fingerprints.iter().find(same).or_else(|| self.fingerprints.first())
    }
}

fn random(len: usize) -> Option<Vec<u8>> {
    let mut octets = vec![0; len];
    getrandom::fill(&mut octets).ok()?;
    Some(octets)
}

/// A random word of letters and digits.
fn word(len: usize) -> Option<String> {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789Aa";
    let octets = random(len)?;
    Some(octets.iter().map(|octet| char::from(ALPHABET[usize::from(octet % 64)])).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_have_their_lengths_and_differ() {
        let (one, other) = (LocalIce::new().unwrap(), LocalIce::new().unwrap());
        assert_eq!((one.credentials.ufrag.len(), one.credentials.pwd.len()), (16, 24));
        assert_eq!(one.foundation.len(), 10);
        assert!(one.foundation.chars().all(|c| c.is_ascii_digit()));
        assert_ne!(one.credentials, other.credentials);
    }

    #[test]
    fn a_peer_is_answered_with_its_own_hash_function() {
        let of = |hash: &str| Fingerprint { hash: hash.into(), digest: vec![1] };
        let ours = Identity::new(vec![of("sha-256"), of("sha-512")]).unwrap();
        let answer = |theirs: &[Fingerprint]| ours.fingerprint_for(theirs).unwrap().hash.clone();
        assert_eq!(answer(&[of("sha-512")]), "sha-512");
        assert_eq!(answer(&[of("sha-1")]), "sha-256");
        assert_eq!(answer(&[]), "sha-256");
    }
}
