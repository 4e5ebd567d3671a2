//! [`DtlsEngine`] on the crate `rtc-dtls`: Rust throughout, with `ring`.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use media::srtp::{SrtpKeys, Suite};
use rtc_dtls::cipher_suite::CipherSuiteId;
use rtc_dtls::config::{ClientAuthType, ConfigBuilder, ExtendedMasterSecretType, HandshakeConfig};
use rtc_dtls::endpoint::{Endpoint, EndpointEvent};
use rtc_dtls::extension::extension_use_srtp::SrtpProtectionProfile as Profile;
use rtc_shared::TransportProtocol;
use rtc_shared::error::Error;

use super::gate::Gate;
use super::{
    DEADLINE, DtlsEngine, DtlsError, EXPORTER, Fingerprint, Hash, Identity, Role, split_material,
};

/// When a flight without an answer is sent again as it was: of a datagram that was lost, only that one is new to the
/// peer. A path to the other side of the world takes a third of a second.
const REPEAT: Duration = Duration::from_millis(400);
/// When the engine sends it again with new record numbers, which a peer needs that has finished already and whose
/// last flight was lost. After seven times it gives up.
const RETRANSMIT: Duration = Duration::from_secs(1);
/// Largest datagram: what passes every path of the Internet's.
const MTU: usize = 1200;
/// The association's name of its one peer; addresses are the path's concern.
const PEER: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 1);

/// One association of `rtc-dtls`.
pub struct RtcDtls {
    role: Role,
    endpoint: Endpoint,
    config: Arc<HandshakeConfig>,
    gate: Gate,
    announced: Vec<Fingerprint>,
    /// The fingerprint of a certificate that was not the announced one.
    found: Arc<Mutex<Option<String>>>,
    state: State,
    /// Our last flight, and when it is to be repeated.
    flight: Vec<Vec<u8>>,
    repeat_at: Option<Instant>,
    out: VecDeque<Vec<u8>>,
    deadline: Instant,
}

enum State {
    /// A client that has not sent its hello.
    New,
    Running,
    Done(SrtpKeys),
    Failed(DtlsError),
}

impl std::fmt::Debug for RtcDtls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RtcDtls").field("role", &self.role).finish_non_exhaustive()
    }
}

impl RtcDtls {
    /// An association with the peer whose certificate has one of those fingerprints. `suites` are the protection profiles
    /// offered or accepted, best first; those DTLS does not know are left out.
    ///
    /// # Errors
    /// The identity cannot be used, or no suite is left.
    pub fn new(
        identity: &Identity,
        role: Role,
        announced: &[Fingerprint],
        suites: &[Suite],
        now: Instant,
    ) -> Result<Self, DtlsError> {
        let profiles: Vec<Profile> = suites.iter().filter_map(|suite| profile(*suite)).collect();
        if profiles.is_empty() {
            return Err(DtlsError::NoProfile);
        }
        let announced = announced.to_vec();
        let found = Arc::new(Mutex::new(None));
        let check = {
            let (announced, found) = (announced.clone(), Arc::clone(&found));
            move |chain: &[Vec<u8>], _: &[_]| match chain.first() {
                Some(shown) if is_one_of(&announced, shown) => Ok(()),
                shown => {
                    let shown = shown.map(|c| Fingerprint::of(hash_of(&announced), c).to_string());
                    *found.lock().unwrap_or_else(PoisonError::into_inner) = shown;
                    Err(Error::Other("fingerprint".to_owned()))
                }
            }
        };
        let config = ConfigBuilder::default()
            .with_crypto_provider(identity.provider())
            .with_certificates(vec![identity.certificate()])
            .with_cipher_suites(vec![
                CipherSuiteId::Tls_Ecdhe_Ecdsa_With_Aes_128_Gcm_Sha256,
                CipherSuiteId::Tls_Ecdhe_Rsa_With_Aes_128_Gcm_Sha256,
                CipherSuiteId::Tls_Ecdhe_Ecdsa_With_Aes_256_Cbc_Sha,
                CipherSuiteId::Tls_Ecdhe_Rsa_With_Aes_256_Cbc_Sha,
            ])
            .with_srtp_protection_profiles(profiles)
            .with_client_auth(ClientAuthType::RequireAnyClientCert)
            .with_extended_master_secret(ExtendedMasterSecretType::Request)
            .with_flight_interval(RETRANSMIT)
            // Certificates vouch for themselves; what counts is the fingerprint, checked below.
            .with_insecure_skip_verify(true)
            .with_verify_peer_certificate(Some(Arc::new(check)))
            .with_server_name("webrtc".to_owned())
            .with_mtu(MTU)
            .build(role == Role::Client, Some(PEER))
            .map_err(protocol)?;
        let config = Arc::new(config);
        let state = if role == Role::Client { State::New } else { State::Running };
        Ok(Self {
            role,
            endpoint: endpoint(role, &config),
            config,
            gate: Gate::new(role),
            announced,
            found,
            state,
            flight: Vec::new(),
            repeat_at: None,
            out: VecDeque::new(),
            deadline: now + DEADLINE,
        })
    }

    fn announced(&self) -> String {
        let all: Vec<String> = self.announced.iter().map(ToString::to_string).collect();
        all.join(", ")
    }

    /// What went wrong, as precisely as it is known.
    fn failure(&self, error: Error) -> DtlsError {
        let found = self.found.lock().unwrap_or_else(PoisonError::into_inner).take();
        match found {
            Some(found) => DtlsError::Fingerprint { found, announced: self.announced() },
            None => protocol(error),
        }
    }

    /// The handshake is complete: is the peer the announced one, and what are the keys?
    fn finish(&mut self) -> Result<SrtpKeys, DtlsError> {
        let state = self.endpoint.get_connection_state(PEER).ok_or(DtlsError::Closed)?;
        let shown = state.peer_certificates.first().ok_or(DtlsError::NoCertificate)?;
        if !is_one_of(&self.announced, shown) {
            let found = Fingerprint::of(hash_of(&self.announced), shown).to_string();
            return Err(DtlsError::Fingerprint { found, announced: self.announced() });
        }
        let suite = suite(state.srtp_protection_profile()).ok_or(DtlsError::NoProfile)?;
        let length = 2 * (suite.key_len() + suite.salt_len());
        let material = state.export_keying_material(EXPORTER, &[], length).map_err(protocol)?;
        split_material(suite, self.role, material.as_ref()).ok_or(DtlsError::NoProfile)
    }
}

impl RtcDtls {
    fn read(&mut self, now: Instant, records: &[u8], complete: bool) -> Result<(), DtlsError> {
        match self.endpoint.read(now, PEER, None, BytesMut::from(records)) {
            Ok(events) => {
                for event in events {
                    match event {
                        EndpointEvent::HandshakeComplete => {
                            self.state = State::Done(self.finish()?)
                        }
                        EndpointEvent::PeerClosed => return Err(DtlsError::Closed),
                        _ => {}
                    }
                }
                Ok(())
            }
            // A complete association is not ended by what cannot be read.
            Err(_) if complete => Ok(()),
            Err(error) => Err(self.failure(error)),
        }
    }

    fn advance(&mut self, now: Instant) -> Result<(), DtlsError> {
        if now >= self.deadline {
            return Err(DtlsError::Timeout);
        }
        let due = self.endpoint.poll_timeout(&PEER);
        if matches!(self.state, State::New) {
            self.state = State::Running;
        } else if due.is_none_or(|due| due > now) {
            if self.repeat_at.take_if(|at| *at <= now).is_some() {
                self.out.extend(self.flight.iter().cloned());
            }
            return Ok(());
        } else {
            match self.endpoint.handle_timeout(PEER, now) {
                // The engine gives up after seven hellos; the peer may still be busy with its checks.
                Err(_) if self.role == Role::Client && self.gate.is_untouched() => {
                    self.endpoint = endpoint(self.role, &self.config);
                }
                result => return result.map_err(|error| self.failure(error)),
            }
        }
        self.endpoint.connect(now, PEER, Arc::clone(&self.config), None).map_err(protocol)
    }

    /// Takes what the engine wants sent; it is a new flight, or the same with new numbers.
    fn collect(&mut self, now: Instant) {
        let sent = std::iter::from_fn(|| self.endpoint.poll_transmit());
        let flight: Vec<Vec<u8>> = sent.map(|datagram| datagram.message.to_vec()).collect();
        if !flight.is_empty() {
            self.out.extend(flight.iter().cloned());
            self.flight = flight;
            // Only what the engine waits for an answer to.
            self.repeat_at = self.endpoint.poll_timeout(&PEER).map(|_| now + REPEAT);
        }
        if matches!(self.state, State::Done(_) | State::Failed(_)) {
            self.flight = Vec::new();
            self.repeat_at = None;
        }
    }

    fn conclude(&mut self, now: Instant, result: Result<(), DtlsError>) -> Result<(), DtlsError> {
        if let Err(error) = &result {
            self.state = State::Failed(error.clone());
        }
        self.collect(now);
        result
    }
}

impl DtlsEngine for RtcDtls {
    fn handle_datagram(&mut self, now: Instant, datagram: &[u8]) -> Result<(), DtlsError> {
        let complete = match &self.state {
            State::Done(_) => true,
            State::Running => false,
            State::New => return Ok(()),
            State::Failed(error) => return Err(error.clone()),
        };
        let records = self.gate.take(datagram, complete);
        if records.is_empty() {
            return Ok(());
        }
        let result = self.read(now, &records, complete);
        self.conclude(now, result)
    }

    fn handle_timeout(&mut self, now: Instant) -> Result<(), DtlsError> {
        match &self.state {
            State::Done(_) => return Ok(()),
            State::Failed(error) => return Err(error.clone()),
            State::New | State::Running => {}
        }
        let result = self.advance(now);
        self.conclude(now, result)
    }

    fn poll_timeout(&self) -> Option<Instant> {
        match &self.state {
            // At once.
            State::New => Some(self.deadline - DEADLINE),
            State::Running => {
                let engine = self.endpoint.poll_timeout(&PEER);
                let due = engine.into_iter().chain(self.repeat_at).min().unwrap_or(self.deadline);
                Some(due.min(self.deadline))
            }
            State::Done(_) | State::Failed(_) => None,
        }
    }

    fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        self.out.pop_front()
    }

    fn keys(&self) -> Option<&SrtpKeys> {
        match &self.state {
            State::Done(keys) => Some(keys),
            _ => None,
        }
    }
}

fn is_one_of(announced: &[Fingerprint], certificate: &[u8]) -> bool {
    announced.iter().any(|fingerprint| fingerprint.matches(certificate))
}

fn hash_of(announced: &[Fingerprint]) -> Hash {
    announced.first().map_or(Hash::Sha256, Fingerprint::hash)
}

fn endpoint(role: Role, config: &Arc<HandshakeConfig>) -> Endpoint {
    let server = (role == Role::Server).then(|| Arc::clone(config));
    Endpoint::new(PEER, TransportProtocol::UDP, server)
}

fn protocol(error: Error) -> DtlsError {
    DtlsError::Protocol(error.to_string())
}

fn profile(suite: Suite) -> Option<Profile> {
    match suite {
        Suite::Aes128CmSha80 => Some(Profile::Srtp_Aes128_Cm_Hmac_Sha1_80),
        Suite::Aes128CmSha32 => Some(Profile::Srtp_Aes128_Cm_Hmac_Sha1_32),
        Suite::AeadAes128Gcm => Some(Profile::Srtp_Aead_Aes_128_Gcm),
        Suite::AeadAes256Gcm => Some(Profile::Srtp_Aead_Aes_256_Gcm),
        _ => None,
    }
}

fn suite(profile: Profile) -> Option<Suite> {
    match profile {
        Profile::Srtp_Aes128_Cm_Hmac_Sha1_80 => Some(Suite::Aes128CmSha80),
        Profile::Srtp_Aes128_Cm_Hmac_Sha1_32 => Some(Suite::Aes128CmSha32),
        Profile::Srtp_Aead_Aes_128_Gcm => Some(Suite::AeadAes128Gcm),
        Profile::Srtp_Aead_Aes_256_Gcm => Some(Suite::AeadAes256Gcm),
        _ => None,
    }
}
