//! `esf_page_group`: what a caller says, sent to phones that listen to a multicast group (mod_esf): as RTP with a message
//! at beginning and end for Linksys phones, and in the packets of Polycom's own paging.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use media::codec::g711::linear_to_ulaw;
use media::record::RecordMix;
use media::resample::{Converter, to_i16};
use media::rtp::{HEADER_LEN, write_header};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::time::Instant;

use super::{App, Flags, audio};
use crate::call::{AppResult, Channel, Session, Wake};
use crate::{app, clock, text};

/// The application.
pub const APPS: &[App] = &[app!(
    "esf_page_group",
    "mod_esf",
    Flags::NONE,
    "[<multicast_ip> [<port> [<control_port> [<ttl>]]]]",
    "Page phones that listen to a multicast group",
    page
)];

/// Samples of a packet: 20 ms of G.711.
const FRAME: usize = 160;
const TICK: Duration = Duration::from_millis(20);
/// Where Polycom's phones listen.
const POLYCOM: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(224, 0, 1, 116), 5001);
/// Audio that may wait for its packet, in packets: more is left out, for a page is live.
const MOST_WAITING: usize = 10;
/// Pages that are spoken now; phones are told.
static PAGES: AtomicU32 = AtomicU32::new(0);

/// Where a page goes, and from where.
#[derive(Debug, PartialEq, Eq)]
struct Target {
    audio: SocketAddrV4,
    control: SocketAddrV4,
    ttl: u32,
    from: Ipv4Addr,
    /// Polycom's channel.
    channel: u8,
}

impl Target {
    /// As the argument and the call's variables say. `Err` names what is no address.
    fn of(argument: &str, var: impl Fn(&str) -> Option<String>) -> Result<Self, String> {
        let words = text::words(argument, 4);
        let word = |at: usize| words.get(at).filter(|word| !word.is_empty()).cloned();
        let address = |text: String| text.parse::<Ipv4Addr>().map_err(|_| text);
        let port = |at: usize, usual: u16| match word(at) {
            Some(text) => text.parse().map_err(|_| text),
            None => Ok(usual),
        };
        let group = word(0).or_else(|| var("esf_multicast_ip"));
        let group = address(group.unwrap_or_else(|| "224.168.168.168".to_owned()))?;
        let from = var("esf_multicast_bind_ip").or_else(|| var("local_ip_v4"));
        let channel = var("esf_multicast_channel").map(|channel| text::int(&channel));
        let ttl = word(3).map_or(1, |ttl| text::int(&ttl));
        Ok(Self {
            audio: SocketAddrV4::new(group, port(1, 34_567)?),
            control: SocketAddrV4::new(group, port(2, 6061)?),
            ttl: u32::try_from(ttl).ok().filter(|ttl| (1..=255).contains(ttl)).unwrap_or(1),
            from: address(from.unwrap_or_else(|| "127.0.0.1".to_owned()))?,
            channel: channel
                .and_then(|channel| u8::try_from(channel).ok())
                .filter(|channel| (1..255).contains(channel))
                .unwrap_or(0x1a),
        })
    }

    fn socket(&self) -> std::io::Result<UdpSocket> {
        let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
        socket.bind(&SocketAddr::from((self.from, 0)).into())?;
        socket.set_multicast_if_v4(&self.from)?;
        socket.set_multicast_ttl_v4(self.ttl)?;
        socket.set_nonblocking(true)?;
        Ok(socket.into())
    }
}

/// The packets of one page.
struct Packets {
    sequence: u16,
    stamp: u32,
    ssrc: u32,
    /// Polycom's clock, and the frame before: each packet holds it again.
    polycom: u32,
    before: Vec<u8>,
    /// The head of Polycom's packets, the kind left out: channel, number, caller.
    head: Vec<u8>,
}

impl Packets {
    fn new(channel: u8, number: u32, caller: &str) -> Self {
        let mut head = vec![channel];
        head.extend(number.to_be_bytes());
        head.push(13);
        head.extend(caller.bytes().chain(std::iter::repeat(0)).take(13));
        let seed = clock::now_us().unsigned_abs();
        Self {
            sequence: seed as u16,
            stamp: (seed >> 16) as u32,
            ssrc: (seed >> 8) as u32 ^ number,
            polycom: 0,
            before: Vec::new(),
            head,
        }
    }

    /// Message to Linksys phones: a page begins (6) or ends (7).
    fn control(target: &Target, begins: bool) -> Vec<u8> {
        let mut packet = (clock::now_secs() as u32).to_be_bytes().to_vec();
        packet.extend(if begins { 6u32 } else { 7 }.to_be_bytes());
        if begins {
            packet.extend(target.audio.ip().octets());
            packet.extend(u32::from(target.audio.port()).to_be_bytes());
        }
        packet
    }

    /// Polycom's packet without audio: a page is coming (0x0f) or over (0xff).
    fn polycom(&self, kind: u8) -> Vec<u8> {
        [&[kind], self.head.as_slice()].concat()
    }

    /// A frame as RTP and as Polycom's phones want it.
    fn frame(&mut self, frame: &[u8]) -> (Vec<u8>, Vec<u8>) {
        let mut rtp = vec![0; HEADER_LEN];
        if let Some(head) = rtp.first_chunk_mut() {
            write_header(head, self.before.is_empty(), 0, self.sequence, self.stamp, self.ssrc);
        }
        rtp.extend_from_slice(frame);
        self.sequence = self.sequence.wrapping_add(1);
        self.stamp = self.stamp.wrapping_add(FRAME as u32);
        self.polycom = self.polycom.wrapping_add(FRAME as u32);
        let mut own = self.polycom(0x10);
        // Codec and flags.
        own.extend([0, 0]);
        own.extend(self.polycom.to_be_bytes());
        own.extend_from_slice(&self.before);
        own.extend_from_slice(frame);
        self.before = frame.to_vec();
        (rtp, own)
    }
}

/// Counts a page for as long as it lasts.
struct Page(u32);

impl Page {
    fn begin() -> Self {
        Self(PAGES.fetch_add(1, Ordering::Relaxed) + 1)
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        PAGES.fetch_sub(1, Ordering::Relaxed);
    }
}

async fn page(session: &mut Session, argument: &str) -> AppResult {
    let channel = Arc::clone(session.channel());
    let opened = Target::of(argument, |name| channel.var(name).filter(|value| !value.is_empty()))
        .map_err(|what| format!("{what} is no address"))
        .and_then(|target| match target.socket() {
            Ok(socket) => Ok((target, socket)),
            Err(error) => Err(error.to_string()),
        });
    let (target, socket) = match opened {
        Ok(opened) => opened,
        Err(why) => {
            tracing::error!(uuid = %channel.uuid(), "esf_page_group: {why}");
            return Ok(());
        }
    };
    channel.set_var("multicast_ttl", target.ttl.to_string());
    session.answer().await?;
    if channel.var("esf_multicast_write_codec").is_some_and(|c| c.eq_ignore_ascii_case("G722")) {
        tracing::warn!(uuid = %channel.uuid(), "esf_page_group: pages are sent as PCMU");
    }
    let page = Page::begin();
    let caller = channel.var("caller_id_name").unwrap_or_else(|| "FreeSWITCH".to_owned());
    let mut packets = Packets::new(target.channel, page.0, &caller);
    // It waits for nothing: a datagram that finds no room in the socket is lost like any other.
    let send = |packet: &[u8], to: SocketAddrV4| {
        let _lost = socket.send_to(packet, to);
    };
    let start = Packets::control(&target, true);
    (0..2).for_each(|_| send(&start, target.control));
    (0..32).for_each(|_| send(&packets.polycom(0x0f), POLYCOM));
    let result = speak(session, &channel, |frame| {
        let (rtp, own) = packets.frame(frame);
        send(&rtp, target.audio);
        send(&own, POLYCOM);
    })
    .await;
    let stop = Packets::control(&target, false);
    (0..2).for_each(|_| send(&stop, target.control));
    (0..12).for_each(|_| send(&packets.polycom(0xff), POLYCOM));
    result
}

/// Gives what the caller says, in frames of G.711, until the call ends or the application is broken.
async fn speak(
    session: &mut Session,
    channel: &Arc<Channel>,
    mut send: impl FnMut(&[u8]),
) -> AppResult {
    let Some(leg) = channel.media() else { return Ok(()) };
    let Ok(mut heard) = leg.tap(RecordMix::ReadOnly) else { return Ok(()) };
    if let Some(sound) = channel.var("esf_multicast_alert_sound").filter(|sound| !sound.is_empty())
        && let Err(error) = audio::displace(channel, &sound, "mr", None).await
    {
        tracing::warn!(uuid = %channel.uuid(), "esf_page_group: {error}");
    }
    let mut converter =
        Some(heard.rate()).filter(|rate| *rate != 8000).and_then(|r| Converter::new(r, 8000));
    let (mut samples, mut waiting) = (Vec::new(), Vec::new());
    let result = loop {
        match session.wait(Some(Instant::now() + TICK)).await {
            Ok(Wake::Broken) => break Ok(()),
            Ok(_) => {}
            Err(interrupt) => break Err(interrupt),
        }
        samples.clear();
        if !heard.read(&mut samples) {
            break Ok(());
        }
        match &mut converter {
            Some(converter) => converter.push(&samples, |piece| {
                waiting.extend(piece.iter().map(|sample| linear_to_ulaw(to_i16(*sample))));
            }),
            None => waiting.extend(samples.iter().map(|sample| linear_to_ulaw(*sample))),
        }
        let surplus = waiting.len().saturating_sub(FRAME * MOST_WAITING);
        drop(waiting.drain(..surplus));
        while waiting.len() >= FRAME {
            let frame: Vec<u8> = waiting.drain(..FRAME).collect();
            send(&frame);
        }
    };
    let _closed = leg.end_tap(&heard);
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_argument_and_variables_say_where_a_page_goes() {
        let vars = |name: &str| (name == "local_ip_v4").then(|| "192.0.2.1".to_owned());
        let usual = Target::of("", vars).unwrap();
        assert_eq!(usual.audio.to_string(), "224.168.168.168:34567");
        assert_eq!((usual.control.port(), usual.ttl, usual.channel), (6061, 1, 0x1a));
        assert_eq!(usual.from.to_string(), "192.0.2.1");
        let given = Target::of("239.1.2.3 4000 4001 300", vars).unwrap();
        assert_eq!(
            (given.audio.to_string(), given.control.port()),
            ("239.1.2.3:4000".into(), 4001)
        );
        assert_eq!(given.ttl, 1, "what is out of range is one");
        assert_eq!(Target::of("nowhere", vars), Err("nowhere".to_owned()));
        assert_eq!(Target::of("239.1.2.3 x", vars), Err("x".to_owned()));
    }

    #[test]
    fn packets_are_those_of_the_phones() {
        let target = Target::of("239.1.2.3 4000", |_| None).unwrap();
        let start = Packets::control(&target, true);
        assert_eq!(start[4..], [0, 0, 0, 6, 239, 1, 2, 3, 0, 0, 0x0f, 0xa0]);
        assert_eq!(Packets::control(&target, false)[4..], [0, 0, 0, 7]);
        let mut packets = Packets::new(0x1a, 1, "Alice at the front desk");
        let head = packets.polycom(0x0f);
        assert_eq!(head, [&[0x0f, 0x1a, 0, 0, 0, 1, 13][..], b"Alice at the "].concat());
        let (rtp, own) = packets.frame(&[7; FRAME]);
        assert_eq!((rtp.len(), rtp[0], rtp[1]), (HEADER_LEN + FRAME, 0x80, 0x80));
        assert_eq!(own[20..26], [0, 0, 0, 0, 0, 160]);
        assert_eq!(own.len(), 26 + FRAME);
        let (rtp, own) = packets.frame(&[8; FRAME]);
        assert_eq!((rtp[1], own.len()), (0, 26 + 2 * FRAME), "the frame before comes again");
        assert_eq!((own[26], own[26 + FRAME]), (7, 8));
    }
}
