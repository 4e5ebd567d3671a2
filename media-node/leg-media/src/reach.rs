//! How the packets of one line reach a browser: the connectivity checks and the handshake of its media leg, which run in
//! a task of their own ([`webrtc::driver`]).

use std::net::{IpAddr, SocketAddr};

use media::srtp::Suite;
use media::{Leg, PathSpec, ProtectionSpec, RtpParams};
use negotiation::{DtlsRole, Ice, LocalIce, Secure, Transport};
use sdp::CandidateKind;
use webrtc::driver::LinkHandle;
use webrtc::dtls::{DtlsError, Identity, Role};
use webrtc::ice::{Credentials, IceSpec, Kind, RemoteCandidate};
use webrtc::link::{DtlsSpec, LinkEvent, LinkSpec, Way};
use webrtc::turn::driver::{Relay, Server};

use super::{secure, shown};
use crate::call::{Cause, Channel};

/// What the reference offers as a client; older peers know nothing else.
const OFFERED: [Suite; 1] = [Suite::Aes128CmSha80];
/// What is accepted of a client, best known first.
const ACCEPTED: [Suite; 4] =
    [Suite::Aes128CmSha80, Suite::AeadAes128Gcm, Suite::AeadAes256Gcm, Suite::Aes128CmSha32];

/// Priority of a relayed candidate: the least preferred type (RFC 8445 §5.1.2.1), one address, component 1.
const RELAY_PRIORITY: u32 = (65_535 << 8) | 255;

/// The kind of a line of video behind the first: programs are told of the first alone.
pub(super) const FURTHER: &str = "further video";

/// Lines of a fragment that are read.
const MOST_LINES: usize = 100;

/// Checks and handshake of one line; nothing for a line that has neither.
#[derive(Debug, Default)]
pub(super) struct Reach {
    link: Option<LinkHandle>,
    /// The handshake under way; its keys are not there yet.
    pending: Option<Box<DtlsSpec>>,
    dtls: Option<Box<DtlsSpec>>,
    /// The allocation our description names, until checks begin.
    relay: Option<Relay>,
    /// Its address.
    relayed: Option<SocketAddr>,
    /// A server was asked, whatever it said.
    asked: bool,
}

impl Reach {
    /// Gets an address of a TURN server's for the line, once, and adds it to our candidates. Takes two seconds at most;
    /// without an answer the line goes without.
    pub(super) async fn gather(
        &mut self,
        channel: &Channel,
        server: &Server,
        base: SocketAddr,
        ours: &mut LocalIce,
    ) {
        if std::mem::replace(&mut self.asked, true) {
            return;
        }
        let uuid = channel.uuid();
        match Relay::allocate(server, base).await {
            Ok(relay) => {
                tracing::debug!(uuid = %uuid, "{} is relayed by {}:{}", relay.relayed(), server.host, server.port);
                self.relayed = Some(relay.relayed());
                self.relay = Some(relay);
                self.name_relay(ours, base);
            }
            Err(error) => {
                tracing::warn!(uuid = %uuid, "no relay of {}:{}: {error}", server.host, server.port);
            }
        }
    }

    /// Adds the relayed address, if there is one, to candidates just made.
    pub(super) fn name_relay(&self, ours: &mut LocalIce, base: SocketAddr) {
        let Some(relayed) = self.relayed else { return };
        // Another kind of candidate has another foundation (RFC 8445 §5.1.1.3).
        let foundation = ours.foundation.chars().rev().collect();
        ours.more.push(sdp::Candidate {
            foundation,
            component: 1,
            transport: "udp".into(),
            priority: RELAY_PRIORITY,
            address: relayed.ip().to_string(),
            port: relayed.port(),
            kind: CandidateKind::Relayed,
            related: Some((base.ip().to_string(), base.port())),
            extensions: "generation 0".into(),
        });
    }

    /// Takes what was agreed. False when checks or a handshake cannot be begun.
    pub(super) fn apply(
        &mut self,
        leg: &Leg,
        bind_ip: IpAddr,
        transport: &Transport,
        identity: Option<&Identity>,
        association: u32,
    ) -> bool {
        let dtls = match (&transport.secure, identity) {
            (Secure::Dtls(_), None) => return false,
            (Secure::Dtls(dtls), Some(identity)) => Some(handshake(dtls, identity, association)),
            (Secure::None | Secure::Sdes(_), _) => None,
        };
        let base = SocketAddr::new(bind_ip, leg.rtp_port());
        let ice = transport
            .ice
            .as_ref()
            .map(|ice| IceSpec { relayed: self.relayed, ..checks(ice, base, 1) });
        let rtcp_port = leg.rtcp_port().filter(|_| !transport.rtcp_mux);
        let rtcp_ice = rtcp_port.zip(transport.ice.as_ref());
        let rtcp_ice = rtcp_ice.map(|(port, ice)| checks(ice, SocketAddr::new(bind_ip, port), 2));
        if ice.is_none() && dtls.is_none() {
            *self = Self { asked: self.asked, ..Self::default() };
            return true;
        }
        if self.dtls.as_deref() != dtls.as_ref() {
            self.dtls = dtls.clone().map(Box::new);
            self.pending.clone_from(&self.dtls);
        }
        let rtcp_remote = rtcp_port.and_then(|_| {
            let next =
                transport.remote.map(|to| SocketAddr::new(to.ip(), to.port().saturating_add(1)));
            transport.remote_rtcp.or(next).filter(|_| rtcp_ice.is_none())
        });
        let spec = LinkSpec { ice, rtcp_ice, remote: transport.remote, rtcp_remote, dtls };
        match &self.link {
            Some(link) => link.update(spec),
            None => match leg.side_channel() {
                Ok(Some(side)) => {
                    self.link = Some(LinkHandle::start(side, spec, self.relay.take()));
                    true
                }
                Ok(None) | Err(_) => false,
            },
        }
    }

    /// Takes candidates the peer tells of later.
    pub(super) fn add_candidates(&self, candidates: &[sdp::Candidate]) {
        if let Some(link) = &self.link {
            // Those that find no room are found by the peer's own checks.
            let _ = link.add_candidates(
                candidates
                    .iter()
                    .filter(|c| c.component == 1)
                    .filter_map(remote_candidate)
                    .collect(),
            );
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
pub enum News {
    /// The engine tells.
    Media(media::LegEvent),
    /// Checks or a handshake have led to something.
    Link(Linked),
}

/// What the checks or the handshake of a line have led to.
pub struct Linked {
    /// `audio`, `video` or [`FURTHER`].
    pub(super) kind: &'static str,
    pub(super) event: LinkEvent,
}

impl Linked {
    /// Shows it. A handshake that fails ends the call, as in the reference; on a further line of video only one with another
    /// certificate than the one announced does, else the line stays empty.
    pub fn note(self, channel: &Channel) {
        let (kind, uuid) = (self.kind, channel.uuid());
        match self.event {
            LinkEvent::Path(Some(Way { to, relayed })) => {
                let how = if relayed { " through the TURN server" } else { "" };
                tracing::info!(uuid = %uuid, "{kind}: packets go to {to}{how}, as the connectivity checks found");
                if kind != FURTHER {
                    shown::path(channel, kind, to);
                }
            }
            LinkEvent::Path(None) => {
                tracing::warn!(uuid = %uuid, "{kind}: the peer answers no checks any more; nothing is sent");
            }
            LinkEvent::Keys(keys) => {
                let secure = format!("srtp:dtls:{}", keys.local.suite().name());
                tracing::info!(uuid = %uuid, "{kind}: fingerprint verified, {secure}");
                if kind == FURTHER {
                    return;
                }
                channel.set_var("rtp_has_crypto", secure.as_str());
                shown::secured(channel, &secure);
                channel.with(|data| data.secure = secure);
            }
            LinkEvent::RtcpPath(_) => {}
            LinkEvent::RtcpKeys(_) => {
                tracing::debug!(uuid = %uuid, "{kind}: RTCP has keys of its own");
            }
            LinkEvent::Failed(error) if !ends_call(kind, &error) => {
                tracing::warn!(uuid = %uuid, "{kind}: DTLS failed, the line stays empty: {error}");
            }
            LinkEvent::Failed(error) => {
                tracing::error!(uuid = %uuid, "{kind}: DTLS failed: {error}");
                channel.hangup(Cause::DESTINATION_OUT_OF_ORDER);
            }
        }
    }
}

/// Whether a handshake that failed ends the call.
fn ends_call(kind: &str, error: &DtlsError) -> bool {
    kind != FURTHER || matches!(error, DtlsError::Fingerprint { .. })
}

/// What a fragment says of one line.
#[derive(Debug, Default)]
pub(super) struct Trickled {
    /// Video, or else audio.
    pub(super) video: bool,
    /// The line's name (`a=mid`).
    pub(super) mid: Option<String>,
    /// How many lines of its kind stand before it.
    pub(super) nth: usize,
    pub(super) candidates: Vec<sdp::Candidate>,
}

/// The candidates of a fragment of a description (RFC 8840 §9), line by line; what stands before the first line is the audio's.
/// `allowed` says which addresses may be used.
pub(super) fn trickled(fragment: &str, allowed: impl Fn(IpAddr) -> bool) -> Vec<Trickled> {
    let mut found = Vec::<Trickled>::new();
    let mut before = [0, 0];
    for line in fragment.lines().take(MOST_LINES) {
        if let Some(section) = line.strip_prefix("m=") {
            let video = section.starts_with("video");
            let [audios, videos] = &mut before;
            let alike = if video { videos } else { audios };
            found.push(Trickled { video, nth: *alike, ..Trickled::default() });
            *alike += 1;
        }
        if let (Some(mid), Some(section)) = (line.strip_prefix("a=mid:"), found.last_mut()) {
            section.mid = Some(mid.trim().to_owned());
        }
        let Some(candidate) = line.strip_prefix("a=candidate:") else { continue };
        let candidate = sdp::Candidate::parse(candidate.trim())
            .filter(|c| c.udp_address().is_some_and(|to| allowed(to.ip())));
        if found.is_empty() {
            found.push(Trickled::default());
        }
        if let Some(section) = found.last_mut() {
            section.candidates.extend(candidate);
        }
    }
    found
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

fn handshake(dtls: &negotiation::Dtls, identity: &Identity, association: u32) -> DtlsSpec {
    let (role, suites) = match dtls.role {
        DtlsRole::Client => (Role::Client, OFFERED.to_vec()),
        DtlsRole::Server => (Role::Server, ACCEPTED.to_vec()),
    };
    // Digests of functions that are not known are passed over (RFC 8122 §5.1); with none left no certificate matches.
    let known = dtls.fingerprints.iter().filter_map(|digest| digest.to_string().parse().ok());
    DtlsSpec {
        identity: identity.clone(),
        role,
        fingerprints: known.collect(),
        suites,
        association,
    }
}

fn checks(ice: &Ice, base: SocketAddr, component: u16) -> IceSpec {
    let credentials =
        |of: &sdp::Credentials| Credentials { ufrag: of.ufrag.clone(), pwd: of.pwd.clone() };
    let candidates = ice.candidates.iter().filter(|c| c.component == component);
    IceSpec {
        base,
        ours: credentials(&ice.ours),
        theirs: credentials(&ice.theirs),
        candidates: candidates.filter_map(remote_candidate).collect(),
        controlling: ice.controlling,
        lite: ice.lite_ours,
        relayed: None,
    }
}

/// A candidate over UDP; TCP, and names that hide an address, are passed over.
fn remote_candidate(candidate: &sdp::Candidate) -> Option<RemoteCandidate> {
    Some(RemoteCandidate {
        address: candidate.udp_address()?,
        kind: match candidate.kind {
            CandidateKind::Host => Kind::Host,
            CandidateKind::Relayed => Kind::Relayed,
            CandidateKind::ServerReflexive | CandidateKind::PeerReflexive => Kind::Reflexive,
        },
        priority: candidate.priority,
        foundation: candidate.foundation.clone(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handshake_of_a_further_line_that_fails_ends_the_call_only_for_another_certificate() {
        let other = || DtlsError::Fingerprint { found: "1".into(), announced: "2".into() };
        assert!(!ends_call(FURTHER, &DtlsError::NoCertificate));
        assert!(ends_call(FURTHER, &other()));
        assert!(ends_call("video", &DtlsError::NoCertificate) && ends_call("audio", &other()));
    }

    #[test]
    fn candidates_of_a_fragment_go_to_their_lines_and_those_that_may_not_be_used_are_left_out() {
        let fragment = "a=ice-ufrag:x\r\nm=audio 9 RTP/SAVPF 0\r\na=mid:0\r\n\
            a=candidate:1 1 udp 99 192.0.2.1 4000 typ host\r\n\
            a=candidate:2 1 udp 98 8d2e.local 4000 typ host\r\n\
            a=candidate:3 1 tcp 97 192.0.2.1 9 typ host tcptype active\r\n\
            a=candidate:4 1 udp 96 10.0.0.1 4000 typ host\r\na=candidate:rubbish\r\n\
            m=video 9 RTP/SAVPF 96\r\na=candidate:5 1 udp 95 192.0.2.2 4001 typ srflx\r\na=end-of-candidates\r\n\
            m=video 9 RTP/SAVPF 96\r\na=candidate:6 1 udp 95 192.0.2.2 4003 typ host\r\na=mid:more\r\n";
        let forbidden: IpAddr = [10, 0, 0, 1].into();
        let found = trickled(fragment, |ip| ip != forbidden);
        let [audio, video, other] = &found[..] else { panic!("{found:?}") };
        let of = |found: &[sdp::Candidate]| -> Vec<String> {
            found.iter().map(|c| c.foundation.clone()).collect()
        };
        let line = |line: &Trickled| (line.video, line.nth, of(&line.candidates).concat());
        assert_eq!(line(audio), (false, 0, "1".into()));
        assert_eq!(line(video), (true, 0, "5".into()));
        assert_eq!(line(other), (true, 1, "6".into()));
        assert_eq!((audio.mid.as_deref(), other.mid.as_deref()), (Some("0"), Some("more")));
        assert_eq!(remote_candidate(&video.candidates[0]).map(|c| c.kind), Some(Kind::Reflexive));
        let flood = "a=candidate:1 1 udp 99 192.0.2.1 4000 typ host\r\n".repeat(5000);
        assert_eq!(trickled(&flood, |_| true)[0].candidates.len(), MOST_LINES);
    }
}
