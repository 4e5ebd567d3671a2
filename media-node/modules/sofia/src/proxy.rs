//! `proxy_media`: descriptions pass between the far ends as they are but for addresses and ports, which become ours, and
//! packets pass through the media engine byte for byte. What they hold need not be known: video, fax, data, any codec.

use leg_media::MediaProfile as _;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use media::{Codec, Leg, RtpParams, RtpSpec};
use parking_lot::Mutex;
use sdp::SessionDescription;

use crate::call::Channel;
use crate::profile::Profile;

/// Streams of a description that are relayed; further ones are refused with port 0.
const MAX_STREAMS: usize = 8;

/// Which far end a description comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum From {
    Caller,
    Callee,
}

/// One side of a relay: the addresses of its sockets, and the host its signalling comes from.
#[derive(Clone, Copy, Debug)]
struct Side {
    /// In descriptions sent there.
    advertised: IpAddr,
    bind: IpAddr,
    signalling: Option<IpAddr>,
}

/// The relay of a call, held by both legs; its ports are free again when both have gone.
pub(crate) struct Relay {
    caller: Side,
    callee: Side,
    profile: Arc<Profile>,
    /// The caller's UUID.
    of: Arc<str>,
    streams: Mutex<Vec<Stream>>,
}

struct Stream {
    caller: Leg,
    callee: Leg,
}

impl Relay {
    /// A relay between a caller and the leg it calls. Ports are opened as descriptions name streams.
    pub(crate) fn new(
        profile: Arc<Profile>,
        caller: &Channel,
        caller_ip: Option<IpAddr>,
        callee_ip: Option<IpAddr>,
    ) -> Arc<Self> {
        let side = |signalling: Option<IpAddr>| {
            let (advertised, bind) = profile.rtp_ip_for(signalling);
            Side { advertised, bind, signalling }
        };
        let (caller_side, callee_side) = (side(caller_ip), side(callee_ip));
        Arc::new(Self {
            caller: caller_side,
            callee: callee_side,
            profile,
            of: Arc::clone(caller.uuid()),
            streams: Mutex::default(),
        })
    }

    /// Gives the relay to a leg.
    pub(crate) fn attach(self: &Arc<Self>, leg: &Channel) {
        leg.with(|data| *data.slot::<Option<Arc<Self>>>() = Some(Arc::clone(self)));
    }

    /// The relay of a leg, if its media is proxied.
    pub(crate) fn of(leg: &Channel) -> Option<Arc<Self>> {
        leg.with(|data| data.find_slot::<Option<Arc<Self>>>().and_then(|slot| slot.clone()))
    }

    /// The leg's media is its own again.
    pub(crate) fn detach(leg: &Channel) {
        leg.with(|data| {
            if let Some(slot) = data.find_slot::<Option<Arc<Self>>>() {
                *slot = None;
            }
        });
    }

    /// The description of a leg's partner as the leg is to send it on.
    pub(crate) fn towards(&self, leg: &Channel, sdp: &str) -> String {
        let from = if **leg.uuid() == *self.of { From::Callee } else { From::Caller };
        self.pass(sdp, from)
    }

    /// A description with our addresses in the place of its own.
    pub(crate) fn pass(&self, sdp: &str, from: From) -> String {
        let mut streams = self.streams.lock();
        let to = match from {
            From::Caller => self.callee,
            From::Callee => self.caller,
        };
        let mut out = String::with_capacity(sdp.len() + 64);
        for (index, section) in sections(sdp).into_iter().enumerate() {
            let port = index.checked_sub(1).and_then(|stream| {
                let remote = section.media.filter(|media| media.port != 0)?;
                let host = section.connection.or(session_connection(sdp));
                let remote = host.map(|ip| SocketAddr::new(ip, remote.port));
                self.port(&mut streams, stream, remote, from)
            });
            section.write(&mut out, to.advertised, port.unwrap_or(0));
        }
        out
    }

    /// Our port of a stream towards the other far end; `remote` is where this one wants it.
    fn port(
        &self,
        streams: &mut Vec<Stream>,
        stream: usize,
        remote: Option<SocketAddr>,
        from: From,
    ) -> Option<u16> {
        while streams.len() <= stream.min(MAX_STREAMS - 1) {
            streams.push(self.open()?);
        }
        let stream = streams.get(stream)?;
        let (near, far, side) = match from {
            From::Caller => (&stream.caller, &stream.callee, self.caller),
            From::Callee => (&stream.callee, &stream.caller, self.callee),
        };
        let mut params = RtpParams::new(Codec::PCMU, 0);
        params.raw = true;
        params.remote = remote.filter(|to| !to.ip().is_unspecified());
        params.held_off = remote.is_some() && params.remote.is_none();
        params.symmetric = self.profile.settings.load().media.rtp_auto_adjust && !params.held_off;
        params.signalling = side.signalling;
        near.set_rtp(params).ok()?;
        Some(far.rtp_port())
    }

    fn open(&self) -> Option<Stream> {
        let media = &self.profile.switch.media;
        let open = |local_ip, near| media.open_rtp(RtpSpec { near, ..RtpSpec::new(local_ip) }).ok();
        let (caller, _events) = open(self.caller.bind, None)?;
        let (callee, _events) = open(self.callee.bind, Some(caller.id()))?;
        caller.bridge(&callee).ok()?;
        Some(Stream { caller, callee })
    }
}

/// The description of a leg's partner as the leg is to send it: with our addresses where its media is proxied.
pub(crate) fn through(leg: &Channel, theirs: &SessionDescription) -> String {
    let text = theirs.to_string();
    Relay::of(leg).map_or_else(|| text.clone(), |relay| relay.towards(leg, &text))
}

/// [`through`] for those who need it taken apart.
pub(crate) fn description_through(
    leg: &Channel,
    theirs: Arc<SessionDescription>,
) -> Arc<SessionDescription> {
    if Relay::of(leg).is_none() {
        return theirs;
    }
    SessionDescription::parse(&through(leg, &theirs)).map_or(theirs, Arc::new)
}

/// The first line of a stream's section.
#[derive(Clone, Copy, Debug)]
struct MediaLine {
    port: u16,
}

/// The session's part of a description, or that of a stream.
struct Section<'a> {
    lines: Vec<&'a str>,
    media: Option<MediaLine>,
    connection: Option<IpAddr>,
}

fn sections(sdp: &str) -> Vec<Section<'_>> {
    let mut all = vec![Section { lines: Vec::new(), media: None, connection: None }];
    for line in sdp.lines().filter(|line| !line.is_empty()) {
        if let Some(value) = line.strip_prefix("m=") {
            let port =
                value.split(' ').nth(1).and_then(|port| port.split('/').next()?.parse().ok());
            let media = Some(MediaLine { port: port.unwrap_or(0) });
            all.push(Section { lines: Vec::new(), media, connection: None });
        }
        let Some(section) = all.last_mut() else { continue };
        if line.starts_with("c=") {
            section.connection = address(line);
        }
        section.lines.push(line);
    }
    all
}

/// The address of a `c=` line; a multicast's time to live is left out.
fn address(line: &str) -> Option<IpAddr> {
    line.split(' ').nth(2)?.split('/').next()?.trim().parse().ok()
}

fn session_connection(sdp: &str) -> Option<IpAddr> {
    sdp.lines()
        .take_while(|line| !line.starts_with("m="))
        .find(|line| line.starts_with("c="))
        .and_then(address)
}

impl Section<'_> {
    /// With another address and port; what would lead packets past us is left out.
    fn write(&self, out: &mut String, ip: IpAddr, port: u16) {
        const PAST_US: [&str; 4] =
            ["a=rtcp:", "a=candidate:", "a=remote-candidates:", "a=end-of-candidates"];
        let family = if ip.is_ipv4() { "IP4" } else { "IP6" };
        for line in
            self.lines.iter().filter(|line| !PAST_US.iter().any(|own| line.starts_with(own)))
        {
            match (line.strip_prefix("m="), line.starts_with("c=")) {
                // 0.0.0.0 is a hold, and stays one.
                (None, true) if address(line).is_none_or(|ip| !ip.is_unspecified()) => {
                    out.push_str(&format!("c=IN {family} {ip}"));
                }
                (Some(value), _) => {
                    let mut words = value.splitn(3, ' ');
                    let (kind, rest) =
                        (words.next().unwrap_or("audio"), words.nth(1).unwrap_or("RTP/AVP 0"));
                    out.push_str(&format!("m={kind} {port} {rest}"));
                }
                _ => out.push_str(line),
            }
            out.push_str("\r\n");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_become_ours_and_everything_else_stays() {
        let sdp = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nb=AS:64\r\nt=0 0\r\n\
            m=audio 4000/2 RTP/AVP 96\r\na=rtpmap:96 strange/8000\r\na=rtcp:4001\r\na=candidate:1 1 UDP 1 192.0.2.1 4000 typ host\r\n\
            m=video 0 RTP/AVP 97\r\nm=image 5000 udptl t38\r\nc=IN IP4 192.0.2.9\r\na=T38FaxVersion:0\r\n";
        let all = sections(sdp);
        let ports: Vec<_> =
            all.iter().map(|section| section.media.map(|media| media.port)).collect();
        assert_eq!(ports, [None, Some(4000), Some(0), Some(5000)]);
        assert_eq!(all[3].connection, "192.0.2.9".parse().ok());
        assert_eq!(session_connection(sdp), "192.0.2.1".parse().ok());
        let mut out = String::new();
        for (section, port) in all.iter().zip([0, 20_000, 0, 20_004]) {
            section.write(&mut out, IpAddr::from([127, 0, 0, 1]), port);
        }
        assert_eq!(
            out,
            "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nb=AS:64\r\nt=0 0\r\n\
             m=audio 20000 RTP/AVP 96\r\na=rtpmap:96 strange/8000\r\nm=video 0 RTP/AVP 97\r\nm=image 20004 udptl t38\r\n\
             c=IN IP4 127.0.0.1\r\na=T38FaxVersion:0\r\n"
        );
    }

    #[test]
    fn a_hold_with_no_address_stays_one() {
        let mut out = String::new();
        for section in sections("v=0\r\nc=IN IP4 0.0.0.0\r\nm=audio 4 RTP/AVP 0\r\n") {
            section.write(&mut out, IpAddr::from([127, 0, 0, 1]), 6);
        }
        assert_eq!(out, "v=0\r\nc=IN IP4 0.0.0.0\r\nm=audio 6 RTP/AVP 0\r\n");
    }
}
