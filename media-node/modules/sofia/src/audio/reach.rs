//! How the packets of one line reach a browser: the connectivity checks and the handshake of its media leg, which run in
//! a task of their own ([`webrtc::driver`]).

use std::net::{IpAddr, SocketAddr};

use media::srtp::Suite;
use media::{Leg, PathSpec, ProtectionSpec, RtpParams};
use negotiation::{DtlsRole, Ice, Secure, Transport};
use sdp::CandidateKind;
use webrtc::driver::LinkHandle;
use webrtc::dtls::{Identity, Role};
use webrtc::ice::{Credentials, IceSpec, Kind, RemoteCandidate};
use webrtc::link::{DtlsSpec, LinkEvent, LinkSpec};

use super::{secure, shown};
use crate::call::{Cause, Channel};

/// What the reference offers as a client; older peers know nothing else.
const OFFERED: [Suite; 1] = [Suite::Aes128CmSha80];
/// What is accepted of a client, best known first.
const ACCEPTED: [Suite; 4] =
    [Suite::Aes128CmSha80, Suite::AeadAes128Gcm, Suite::AeadAes256Gcm, Suite::Aes128CmSha32];

/// Checks and handshake of one line; nothing for a line that has neither.
#[derive(Debug, Default)]
pub(super) struct Reach {
    link: Option<LinkHandle>,
    /// The handshake under way; its keys are not there yet.
    pending: Option<Box<DtlsSpec>>,
    dtls: Option<Box<DtlsSpec>>,
}

impl Reach {
    /// Takes what was agreed. False when checks or a handshake cannot be begun.
    pub(super) fn apply(
        &mut self,
        leg: &Leg,
        bind_ip: IpAddr,
        transport: &Transport,
        identity: Option<&Identity>,
    ) -> bool {
        let dtls = match (&transport.secure, identity) {
            (Secure::Dtls(_), None) => return false,
            (Secure::Dtls(dtls), Some(identity)) => Some(handshake(dtls, identity)),
            (Secure::None | Secure::Sdes(_), _) => None,
        };
        let base = SocketAddr::new(bind_ip, leg.rtp_port());
        let ice = transport.ice.as_ref().map(|ice| checks(ice, base));
        if ice.is_none() && dtls.is_none() {
            *self = Self::default();
            return true;
        }
        if self.dtls.as_deref() != dtls.as_ref() {
            self.dtls = dtls.clone().map(Box::new);
            self.pending.clone_from(&self.dtls);
        }
        let spec = LinkSpec { ice, remote: transport.remote, dtls };
        match &self.link {
            Some(link) => link.update(spec),
            None => match leg.side_channel() {
                Ok(Some(side)) => {
                    self.link = Some(LinkHandle::start(side, spec));
                    true
                }
                Ok(None) | Err(_) => false,
            },
        }
    }

    /// Whether there is a handshake whose keys are not there yet.
    pub(super) fn awaits_keys(&self) -> bool {
        self.pending.is_some()
    }

    /// The next thing that happens. Never resolves for a line that has neither checks nor handshake. May be given up half-way.
    pub(super) async fn event(&mut self) -> LinkEvent {
        let Some(link) = &mut self.link else { return std::future::pending().await };
        match link.event().await {
            Some(event) => {
                if let LinkEvent::Keys(_) = event {
                    self.pending = None;
                }
                event
            }
            None => {
                self.link = None;
                std::future::pending().await
            }
        }
    }
}

/// What happens to a leg's media.
pub(crate) enum News {
    /// The engine tells.
    Media(media::LegEvent),
    /// Checks or a handshake have led to something.
    Link(Linked),
}

/// What the checks or the handshake of a line have led to.
pub(crate) struct Linked {
    /// `audio` or `video`.
    pub(super) kind: &'static str,
    pub(super) event: LinkEvent,
}

impl Linked {
    /// Shows it. A handshake that fails ends the call, as in the reference.
    pub(crate) fn note(self, channel: &Channel) {
        let (kind, uuid) = (self.kind, channel.uuid());
        match self.event {
            LinkEvent::Path(Some(to)) => {
                tracing::info!(uuid = %uuid, "{kind}: packets go to {to}, as the connectivity checks found");
                shown::path(channel, kind, to);
            }
            LinkEvent::Path(None) => {
                tracing::warn!(uuid = %uuid, "{kind}: the peer answers no checks any more; nothing is sent");
            }
            LinkEvent::Keys(keys) => {
                let secure = format!("srtp:dtls:{}", keys.local.suite().name());
                tracing::info!(uuid = %uuid, "{kind}: fingerprint verified, {secure}");
                channel.set_var("rtp_has_crypto", secure.as_str());
                channel.with(|data| data.secure = secure);
            }
            LinkEvent::Failed(error) => {
                tracing::error!(uuid = %uuid, "{kind}: DTLS failed: {error}");
                channel.hangup(Cause::DESTINATION_OUT_OF_ORDER);
            }
        }
    }
}

/// Writes into a leg's parameters how its packets travel and are protected.
pub(super) fn describe(params: &mut RtpParams, transport: &Transport) {
    params.path = match transport.ice {
        Some(_) => PathSpec::Checked,
        None => PathSpec::Address,
    };
    params.protection = match &transport.secure {
        Secure::None => ProtectionSpec::None,
        Secure::Sdes(pair) => secure::keys(pair).map_or(ProtectionSpec::None, ProtectionSpec::Keys),
        Secure::Dtls(_) => ProtectionSpec::Handshake,
    };
}

fn handshake(dtls: &negotiation::Dtls, identity: &Identity) -> DtlsSpec {
    let (role, suites) = match dtls.role {
        DtlsRole::Client => (Role::Client, OFFERED.to_vec()),
        DtlsRole::Server => (Role::Server, ACCEPTED.to_vec()),
    };
    // Digests of functions that are not known are passed over (RFC 8122 §5.1); with none left no certificate matches.
    let known = dtls.fingerprints.iter().filter_map(|digest| digest.to_string().parse().ok());
    DtlsSpec { identity: identity.clone(), role, fingerprints: known.collect(), suites }
}

fn checks(ice: &Ice, base: SocketAddr) -> IceSpec {
    let credentials =
        |of: &sdp::Credentials| Credentials { ufrag: of.ufrag.clone(), pwd: of.pwd.clone() };
    let candidate = |candidate: &sdp::Candidate| {
        Some(RemoteCandidate {
            address: candidate.udp_address().filter(|_| candidate.component == 1)?,
            kind: match candidate.kind {
                CandidateKind::Host => Kind::Host,
                CandidateKind::Relayed => Kind::Relayed,
                _ => Kind::Reflexive,
            },
            priority: candidate.priority,
            foundation: candidate.foundation.clone(),
        })
    };
    IceSpec {
        base,
        ours: credentials(&ice.ours),
        theirs: credentials(&ice.theirs),
        candidates: ice.candidates.iter().filter_map(candidate).collect(),
        controlling: ice.controlling,
        lite: false,
    }
}
