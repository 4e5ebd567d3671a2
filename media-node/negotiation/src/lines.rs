//! The attribute lines that descriptions of every kind share, in the reference's order.

use std::net::IpAddr;

use sdp::{Attribute, Candidate, CandidateKind, Connection, Setup};

use crate::choice::Choice;
use crate::video::Feedback;
use crate::{DtlsRole, Identity, LocalIce, LocalStream};

/// Priority of a host candidate of component 1: type 126, local 65535 (RFC 8445 §5.1.2).
const HOST_PRIORITY: u32 = (126 << 24) + (65_535 << 8) + 255;

pub(crate) fn codec(lines: &mut Vec<Attribute>, codec: &Choice) {
    let Choice { payload_type, name, rate, channels, fmtp, .. } = codec;
    let channels = if *channels > 1 { format!("/{channels}") } else { String::new() };
    lines.push(Attribute::new("rtpmap", format!("{payload_type} {name}/{rate}{channels}")));
    if let Some(fmtp) = fmtp {
        lines.push(Attribute::new("fmtp", format!("{payload_type} {fmtp}")));
    }
}

pub(crate) fn fingerprint(lines: &mut Vec<Attribute>, ours: &sdp::Fingerprint, setup: Setup) {
    lines.push(Attribute::new("fingerprint", ours.to_string()));
    lines.push(Attribute::new("setup", setup.as_str()));
}

pub(crate) fn setup_of(role: DtlsRole) -> Setup {
    match role {
        DtlsRole::Client => Setup::Active,
        DtlsRole::Server => Setup::Passive,
    }
}

pub(crate) fn rtcp(lines: &mut Vec<Attribute>, stream: &LocalStream, address: IpAddr, mux: bool) {
    let port =
        if mux { stream.port } else { stream.rtcp_port.unwrap_or(stream.port.saturating_add(1)) };
    if mux {
        lines.push(Attribute::flag("rtcp-mux"));
    }
    lines.push(Attribute::new("rtcp", format!("{port} {}", Connection::of(address))));
}

/// The four lines that name our stream; `track` is `a0` or `v0`.
pub(crate) fn source(lines: &mut Vec<Attribute>, ssrc: u32, identity: &Identity, track: &str) {
    let Identity { msid, cname, .. } = identity;
    for value in [
        format!("{ssrc} cname:{cname}"),
        format!("{ssrc} msid:{msid} {track}"),
        format!("{ssrc} mslabel:{msid}"),
        format!("{ssrc} label:{msid}{track}"),
    ] {
        lines.push(Attribute::new("ssrc", value));
    }
}

/// How the candidates of a line are written.
#[derive(Clone, Copy)]
pub(crate) struct Candidates {
    /// RTP and RTCP share the port.
    pub(crate) mux: bool,
    /// Written for RTCP as well, although the port is shared.
    pub(crate) both: bool,
    /// The second component has the first's priority.
    pub(crate) level: bool,
    /// `a=end-of-candidates` follows.
    pub(crate) end: bool,
}

pub(crate) fn ice(
    lines: &mut Vec<Attribute>,
    ice: &LocalIce,
    stream: &LocalStream,
    address: IpAddr,
    how: Candidates,
) {
    lines.push(Attribute::new("ice-ufrag", &*ice.credentials.ufrag));
    lines.push(Attribute::new("ice-pwd", &*ice.credentials.pwd));
    let host = |component: u16, port: u16, priority: u32| Candidate {
        foundation: ice.foundation.clone(),
        component,
        transport: "udp".into(),
        priority,
        address: address.to_string(),
        port,
        kind: CandidateKind::Host,
        related: None,
        extensions: "generation 0".into(),
    };
    let mut all = vec![host(1, stream.port, HOST_PRIORITY)];
    all.extend(ice.more.iter().filter(|candidate| candidate.component == 1).cloned());
    if how.both || !how.mux {
        let port = if how.mux {
            stream.port
        } else {
            stream.rtcp_port.unwrap_or(stream.port.saturating_add(1))
        };
        all.push(host(2, port, if how.level { HOST_PRIORITY } else { HOST_PRIORITY - 1 }));
        all.extend(ice.more.iter().filter(|candidate| candidate.component == 2).cloned());
    }
    lines.extend(all.iter().map(|candidate| Attribute::new("candidate", candidate.to_string())));
    if how.end {
        lines.push(Attribute::flag("end-of-candidates"));
    }
}

pub(crate) fn feedback(lines: &mut Vec<Attribute>, payload_type: u8, feedback: Feedback) {
    for (said, text) in [
        (feedback.fir, "ccm fir"),
        (feedback.tmmbr, "ccm tmmbr"),
        (feedback.nack, "nack"),
        (feedback.pli, "nack pli"),
        (feedback.remb, "goog-remb"),
    ] {
        if said {
            lines.push(Attribute::new("rtcp-fb", format!("{payload_type} {text}")));
        }
    }
}
