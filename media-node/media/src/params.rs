//! How a leg is opened and what it is told about its peer.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::codec::Codec;
use crate::jitter::{JitterBuffer, MAX_DEPTH};
use crate::leg::LegId;
use crate::picture::simulcast::Simulcast;
use crate::srtp::SrtpKeys;

/// Milliseconds of audio the longest packet a jitter buffer keeps may hold, whatever was agreed.
const LONGEST_PTIME: u32 = 40;

/// What it takes to open an RTP leg.
#[derive(Debug, Clone)]
pub struct RtpSpec {
    /// Local address to bind.
    pub local_ip: IpAddr,
    /// The port to bind; `None` takes one of the engine's range.
    pub local_port: Option<u16>,
    /// A leg of the same call: the new one is put on the same worker.
    pub near: Option<LegId>,
    /// Whether to bind the odd port for RTCP as well.
    pub rtcp: bool,
}

impl RtpSpec {
    /// A leg on `local_ip` with an RTCP port.
    pub fn new(local_ip: IpAddr) -> Self {
        Self { local_ip, local_port: None, near: None, rtcp: true }
    }
}

/// What it takes to open two legs wired to each other in memory.
#[derive(Debug, Clone)]
pub struct PairSpec {
    /// Codec spoken between the two (linear costs least).
    pub codec: Codec,
    /// Milliseconds of audio per frame.
    pub ptime: u32,
    /// A leg of the same call: the pair is put on the same worker.
    pub near: Option<LegId>,
}

impl Default for PairSpec {
    fn default() -> Self {
        Self { codec: Codec::L16_8K, ptime: 20, near: None }
    }
}

/// Which way media flows, as negotiated (RFC 3264), seen from this side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Direction {
    /// Both ways.
    #[default]
    SendRecv,
    /// We send, the peer is silent.
    SendOnly,
    /// We listen and send nothing.
    RecvOnly,
    /// Neither.
    Inactive,
}

impl Direction {
    /// Whether we may send.
    pub fn sends(self) -> bool {
        matches!(self, Self::SendRecv | Self::SendOnly)
    }

    /// Whether we expect to receive.
    pub fn receives(self) -> bool {
        matches!(self, Self::SendRecv | Self::RecvOnly)
    }
}

/// What is done with the packets of a leg.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Handling {
    /// They are audio: timed, decoded where a listener needs samples, concealed where they are lost.
    #[default]
    Audio,
    /// They are passed to a bridged leg of the same handling as they come, RTP with its RTCP: video, real-time text.
    Packets,
    /// The same for datagrams that are no RTP: fax over UDPTL.
    Datagrams,
}

/// How deep a jitter buffer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JitterSpec {
    /// Milliseconds it starts with and never goes below.
    pub ms: u32,
    /// Milliseconds it may grow to; `None` = ten packets.
    pub max_ms: Option<u32>,
}

impl JitterSpec {
    /// A buffer for packets of `ptime` milliseconds in `codec`.
    pub(crate) fn buffer(self, codec: Codec, ptime: u32) -> Box<JitterBuffer> {
        let octets = codec.largest_payload(LONGEST_PTIME.max(ptime));
        let packets = |ms: u32| (ms / ptime.max(1)).max(1) as usize;
        let most = self.max_ms.map_or(MAX_DEPTH, packets);
        Box::new(JitterBuffer::with_limit(octets, packets(self.ms), most.max(packets(self.ms))))
    }
}

/// How packets find the peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PathSpec {
    /// By [`RtpParams::remote`] and what comes from there.
    #[default]
    Address,
    /// By connectivity checks made outside (ICE): [`crate::SideChannel::set_path`] says where packets go, and until then none
    /// is sent or taken. What it said stays when parameters are set again.
    Checked,
}

/// How packets are protected.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum ProtectionSpec {
    /// Not at all.
    #[default]
    None,
    /// With keys of both directions, as signalling carried them.
    Keys(SrtpKeys),
    /// With keys that [`crate::SideChannel::set_keys`] brings; until then no packet is sent or taken. They stay when parameters
    /// are set again.
    Handshake,
}

/// Everything offer and answer decided about an RTP leg. Set again at each re-negotiation; the
/// outgoing SSRC, sequence numbers and timestamps carry on across it.
#[derive(Debug, Clone)]
pub struct RtpParams {
    /// Where to send RTP; `None` while the peer's address is not known yet.
    pub remote: Option<SocketAddr>,
    /// Where to send RTCP; `None` = the port after `remote`'s.
    pub remote_rtcp: Option<SocketAddr>,
    /// RTCP shares the RTP port (RFC 5761).
    pub rtcp_mux: bool,
    /// Codec of both directions.
    pub codec: Codec,
    /// Payload type we send.
    pub send_pt: u8,
    /// Payload type we expect.
    pub recv_pt: u8,
    /// What is done with packets. But for [`Handling::Audio`] `codec` means nothing.
    pub handling: Handling,
    /// Milliseconds of audio per packet we send.
    pub ptime: u32,
    /// telephone-event payload type we send (RFC 4733); `None` = the peer takes none.
    pub te_send: Option<u8>,
    /// telephone-event payload type we accept.
    pub te_recv: Option<u8>,
    /// Another one we offered, of a clock the peer did not choose: some send with it all the same.
    pub te_other: Option<u8>,
    /// Clock of telephone events, Hz: their durations are counted in it.
    pub te_clock: u32,
    /// How packets find the peer.
    pub path: PathSpec,
    /// How packets are protected.
    pub protection: ProtectionSpec,
    /// What the peer said of the codec in `a=fmtp`: how it wants to be sent to.
    pub fmtp: Option<String>,
    /// Comfort noise payload type (RFC 3389), 13 when negotiated.
    pub cn_pt: Option<u8>,
    /// Learn the peer's real address from where its packets come from ("auto-adjust"); see [`crate::latch`].
    pub symmetric: bool,
    /// The peer holds with the address 0.0.0.0 (RFC 2543): nothing is sent, and nothing heard, from its old address
    /// either. That it goes on sending from there is reported once, as [`crate::LegEvent::RemoteLatched`].
    pub held_off: bool,
    /// Packets pass to and from the bridged leg byte for byte, whatever they hold (`proxy_media`); both legs have it.
    pub raw: bool,
    /// The host the peer's signalling comes from: where that is not the negotiated address, an address
    /// translator stands between, and media is expected from there.
    pub signalling: Option<IpAddr>,
    /// Which way media flows.
    pub direction: Direction,
    /// The far end sends several streams of one camera.
    pub simulcast: Option<Simulcast>,
    /// The number of the header extension of transport-wide feedback, where it was agreed: packets bear it both ways.
    pub transport_cc: Option<u8>,
    /// Report [`crate::LegEvent::MediaTimeout`] after this long without RTP.
    pub media_timeout: Option<Duration>,
    /// The same while [`crate::Leg::hold`] is on.
    pub hold_timeout: Option<Duration>,
    /// Interval of RTCP reports; `None` = none are sent.
    pub rtcp_interval: Option<Duration>,
    /// SSRC to send with; `None` keeps the one chosen when the leg was opened.
    pub ssrc: Option<u32>,
    /// CNAME of RTCP source descriptions.
    pub cname: String,
    /// Pause between two digits sent, in milliseconds (the profile's `rtp-digit-delay`).
    pub digit_delay_ms: u32,
    /// Hold received audio in a jitter buffer before anybody hears it (`jitterbuffer_msec`). `None` =
    /// bridges forward on arrival.
    pub jitter: Option<JitterSpec>,
}

impl RtpParams {
    /// Two-way media in `codec` on payload type `pt`, 20 ms packets, address learning on.
    pub fn new(codec: Codec, pt: u8) -> Self {
        Self {
            remote: None,
            remote_rtcp: None,
            rtcp_mux: false,
            codec,
            send_pt: pt,
            recv_pt: pt,
            handling: Handling::Audio,
            ptime: 20,
            te_send: None,
            te_recv: None,
            te_other: None,
            te_clock: codec.clock(),
            path: PathSpec::Address,
            protection: ProtectionSpec::None,
            fmtp: None,
            cn_pt: None,
            symmetric: true,
            held_off: false,
            raw: false,
            signalling: None,
            direction: Direction::SendRecv,
            simulcast: None,
            transport_cc: None,
            media_timeout: None,
            hold_timeout: None,
            rtcp_interval: None,
            ssrc: None,
            cname: String::new(),
            digit_delay_ms: 40,
            jitter: None,
        }
    }
}
