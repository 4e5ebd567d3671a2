//! ICE in descriptions: user fragment, password and candidates (RFC 8839).

use std::fmt;
use std::net::SocketAddr;

use crate::{Attribute, MediaLine, SessionDescription};

/// Most candidates read from one section.
pub const MAX_CANDIDATES: usize = 64;
/// Longest user fragment or password (RFC 8839 §5.4).
const MAX_CREDENTIAL: usize = 256;

/// `a=ice-ufrag` and `a=ice-pwd`. The password is not shown by `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// User fragment.
    pub ufrag: String,
    /// Password: the key of the messages' integrity.
    pub pwd: String,
}

impl Credentials {
    /// What holds for a section: its own, or the session's.
    pub fn of(description: &SessionDescription, media: &MediaLine) -> Option<Self> {
        let value = |name: &str| {
            let value = media.attribute(name).or_else(|| description.attribute(name))?.trim();
            (1..=MAX_CREDENTIAL).contains(&value.len()).then(|| value.to_owned())
        };
        Some(Self { ufrag: value("ice-ufrag")?, pwd: value("ice-pwd")? })
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credentials({})", self.ufrag)
    }
}

/// Where a candidate's address was learnt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CandidateKind {
    /// An interface's own address.
    Host,
    /// Seen by a STUN server.
    ServerReflexive,
    /// Seen by the peer.
    PeerReflexive,
    /// A TURN server's.
    Relayed,
}

impl CandidateKind {
    fn parse(word: &str) -> Option<Self> {
        [Self::Host, Self::ServerReflexive, Self::PeerReflexive, Self::Relayed]
            .into_iter()
            .find(|kind| word.eq_ignore_ascii_case(kind.as_str()))
    }

    /// The word after `typ`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::ServerReflexive => "srflx",
            Self::PeerReflexive => "prflx",
            Self::Relayed => "relay",
        }
    }
}

/// `a=candidate`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Alike for candidates of one kind, base and server.
    pub foundation: String,
    /// 1 = RTP, 2 = RTCP.
    pub component: u16,
    /// `udp` or `tcp`, as written.
    pub transport: String,
    /// Larger is preferred.
    pub priority: u32,
    /// An address, or a name (`….local`) that hides one.
    pub address: String,
    /// Port.
    pub port: u16,
    /// Where the address was learnt.
    pub kind: CandidateKind,
    /// `raddr` and `rport`: the base of a reflexive or relayed one.
    pub related: Option<(String, u16)>,
    /// Further names and values as written (`generation 0 network-id 1`), without leading blank.
    pub extensions: String,
}

impl Candidate {
    /// Reads the value of an `a=candidate` line, with or without `candidate:` in front (as browsers trickle them).
    pub fn parse(value: &str) -> Option<Self> {
        let value = value.trim();
        let mut words = value.strip_prefix("candidate:").unwrap_or(value).split_ascii_whitespace();
        let foundation = words.next()?.to_owned();
        let component = words.next()?.parse().ok()?;
        let transport = words.next()?.to_owned();
        let priority = words.next()?.parse().ok()?;
        let address = words.next()?.to_owned();
        let port = words.next()?.parse().ok()?;
        if !words.next()?.eq_ignore_ascii_case("typ") {
            return None;
        }
        let kind = CandidateKind::parse(words.next()?)?;
        let (mut host, mut related_port, mut extensions) = (None, None, Vec::new());
        while let Some(name) = words.next() {
            let Some(value) = words.next() else { break };
            match name.to_ascii_lowercase().as_str() {
                "raddr" => host = Some(value.to_owned()),
                "rport" => related_port = value.parse().ok(),
                _ => extensions.extend([name, value]),
            }
        }
        let related = host.map(|host| (host, related_port.unwrap_or(0)));
        let extensions = extensions.join(" ");
        Some(Self {
            foundation,
            component,
            transport,
            priority,
            address,
            port,
            kind,
            related,
            extensions,
        })
    }

    /// Where it is, if it is reached over UDP and its address is not hidden behind a name.
    pub fn udp_address(&self) -> Option<SocketAddr> {
        let udp = self.transport.eq_ignore_ascii_case("udp") && self.port != 0;
        udp.then(|| self.address.parse().ok().map(|ip| SocketAddr::new(ip, self.port)))?
    }
}

impl fmt::Display for Candidate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { foundation, component, transport, priority, address, port, kind, .. } = self;
        write!(f, "{foundation} {component} {transport} {priority} {address} {port} ")?;
        write!(f, "typ {}", kind.as_str())?;
        if let Some((host, port)) = &self.related {
            write!(f, " raddr {host} rport {port}")?;
        }
        if !self.extensions.is_empty() {
            write!(f, " {}", self.extensions)?;
        }
        Ok(())
    }
}

/// The candidates of a section, then the session's; at most [`MAX_CANDIDATES`], those that cannot be read left out.
pub fn candidates(description: &SessionDescription, media: &MediaLine) -> Vec<Candidate> {
    let read = |attribute: &Attribute| {
        let named = attribute.name.eq_ignore_ascii_case("candidate");
        Candidate::parse(attribute.value.as_deref().filter(|_| named)?)
    };
    let attributes = media.attributes.iter().chain(&description.attributes);
    attributes.filter_map(read).take(MAX_CANDIDATES).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn candidates_of_browsers_are_read_and_printed() {
        let text = "842163049 1 udp 1677729535 203.0.113.7 51234 typ srflx raddr 0.0.0.0 rport 0 generation 0 ufrag x";
        let read = Candidate::parse(text).unwrap();
        assert_eq!(read.to_string(), text);
        assert_eq!(Candidate::parse(&format!("candidate:{text}")), Some(read.clone()));
        assert_eq!(read.udp_address(), Some("203.0.113.7:51234".parse().unwrap()));
        let hidden = Candidate::parse("1 1 UDP 1 4f2a.local 9 typ host").unwrap();
        assert_eq!(hidden.udp_address(), None);
        let tcp = Candidate::parse("1 1 TCP 1 192.0.2.1 9 typ host tcptype active").unwrap();
        assert_eq!((tcp.udp_address(), &*tcp.extensions), (None, "tcptype active"));
        for bad in ["", "1 1 udp", "1 1 udp 1 192.0.2.1 9 host", "1 1 udp x 192.0.2.1 9 typ host"] {
            assert_eq!(Candidate::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_flood_of_candidates_is_cut() {
        let lines = "a=candidate:1 1 udp 1 192.0.2.1 9 typ host\r\n".repeat(200);
        let text =
            format!("v=0\r\nm=audio 9 RTP/SAVPF 0\r\na=ice-ufrag:u\r\na=ice-pwd:p\r\n{lines}");
        let read = SessionDescription::parse(&text).unwrap();
        assert_eq!(candidates(&read, &read.media[0]).len(), MAX_CANDIDATES);
        let keys = Credentials::of(&read, &read.media[0]).unwrap();
        assert_eq!(format!("{keys:?}"), "Credentials(u)");
    }
}
