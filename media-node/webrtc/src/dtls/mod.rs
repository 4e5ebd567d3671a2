//! DTLS 1.2 with `use_srtp` (RFC 6347, RFC 5764): who proves to be who, and which keys follow.
//!
//! A handshake is driven through [`DtlsEngine`]: datagrams in and out, and the time. It costs 0.2 to 1 ms of
//! computing, and belongs on the control side, never on a media thread.

mod fingerprint;
#[cfg(feature = "dtls")]
mod gate;
#[cfg(feature = "dtls")]
mod identity;
#[cfg(feature = "dtls")]
mod rtc;
#[cfg(not(feature = "dtls"))]
mod without;

use std::time::{Duration, Instant};

#[cfg(feature = "dtls")]
use media::srtp::Keying;
use media::srtp::{SrtpKeys, Suite};

pub use fingerprint::{Fingerprint, Hash};
#[cfg(feature = "dtls")]
pub use identity::Identity;
#[cfg(feature = "dtls")]
pub use rtc::RtcDtls;
#[cfg(not(feature = "dtls"))]
pub use without::Identity;

/// A handshake that has not ended by then has failed.
pub const DEADLINE: Duration = Duration::from_secs(30);
/// Label of the exporter (RFC 5764 §4.2).
#[cfg(feature = "dtls")]
const EXPORTER: &str = "EXTRACTOR-dtls_srtp";

/// Who begins the handshake (`a=setup`, RFC 4145, RFC 5763).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// We send the ClientHello (`active`).
    Client,
    /// We wait for it (`passive`).
    Server,
}

/// Why a handshake failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DtlsError {
    /// The peer's certificate is not the one its description announced.
    #[error("the certificate's fingerprint is {found}, announced was {announced}")]
    Fingerprint {
        /// Of the certificate shown.
        found: String,
        /// What the description said.
        announced: String,
    },
    /// The peer showed no certificate.
    #[error("the peer showed no certificate")]
    NoCertificate,
    /// No protection profile in common.
    #[error("no SRTP profile in common")]
    NoProfile,
    /// The peer ended the association.
    #[error("the peer closed the association")]
    Closed,
    /// Too long.
    #[error("no handshake within {} seconds", DEADLINE.as_secs())]
    Timeout,
    /// The protocol was violated, or no agreement was reached.
    #[error("{0}")]
    Protocol(String),
}

/// One association, sans-IO. Call [`DtlsEngine::handle_timeout`] when [`DtlsEngine::poll_timeout`] says so, drain
/// [`DtlsEngine::poll_transmit`] after each call, and look at [`DtlsEngine::keys`].
pub trait DtlsEngine: Send {
    /// A datagram of the peer's.
    ///
    /// # Errors
    /// The handshake has failed; what is to be sent about it is in [`DtlsEngine::poll_transmit`].
    fn handle_datagram(&mut self, now: Instant, datagram: &[u8]) -> Result<(), DtlsError>;

    /// The time has come that [`DtlsEngine::poll_timeout`] named. The client begins with it.
    ///
    /// # Errors
    /// The handshake has failed.
    fn handle_timeout(&mut self, now: Instant) -> Result<(), DtlsError>;

    /// When [`DtlsEngine::handle_timeout`] is due.
    fn poll_timeout(&self) -> Option<Instant>;

    /// The next datagram to send.
    fn poll_transmit(&mut self) -> Option<Vec<u8>>;

    /// The keys, once the handshake is complete and the peer's certificate is the announced one.
    fn keys(&self) -> Option<&SrtpKeys>;
}

/// An association with the peer whose certificate has one of those fingerprints, by the engine this is built with.
///
/// # Errors
/// The identity cannot be used, or no suite is left.
#[cfg(feature = "dtls")]
pub fn engine(
    identity: &Identity,
    role: Role,
    announced: &[Fingerprint],
    suites: &[Suite],
    now: Instant,
) -> Result<Box<dyn DtlsEngine>, DtlsError> {
    Ok(Box::new(RtcDtls::new(identity, role, announced, suites, now)?))
}

/// There is no engine.
///
/// # Errors
/// Always; there is no identity to call it with.
#[cfg(not(feature = "dtls"))]
pub fn engine(
    identity: &Identity,
    _: Role,
    _: &[Fingerprint],
    _: &[Suite],
    _: Instant,
) -> Result<Box<dyn DtlsEngine>, DtlsError> {
    let _ = identity.fingerprints();
    Err(DtlsError::NoCertificate)
}

/// The keys of both directions from exported material: client key, server key, client salt, server salt.
#[cfg(feature = "dtls")]
fn split_material(suite: Suite, role: Role, material: &[u8]) -> Option<SrtpKeys> {
    let (key, salt) = (suite.key_len(), suite.salt_len());
    let (keys, salts) = material.split_at_checked(2 * key)?;
    let side = |n: usize| {
        let mut master = keys.get(n * key..(n + 1) * key)?.to_vec();
        master.extend_from_slice(salts.get(n * salt..(n + 1) * salt)?);
        Keying::new(suite, &master)
    };
    let (client, server) = (side(0)?, side(1)?);
    Some(match role {
        Role::Client => SrtpKeys { local: client, remote: Some(server) },
        Role::Server => SrtpKeys { local: server, remote: Some(client) },
    })
}

#[cfg(all(test, feature = "dtls"))]
mod tests;
