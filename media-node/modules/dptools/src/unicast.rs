//! `sendmsg unicast`: a parked call's audio as datagrams to and from a program on the network.
//!
//! Each packet interval of what the far end says goes out as one datagram: 16-bit samples in the machine's byte order,
//! or with the flag `native` as the codec has them. Datagrams that come back are said to the far end. It begins when
//! the call is parked and ends with the parking, as in the reference. A message that cannot be executed is answered
//! `+OK` all the same; the log says why.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use esl_server::CallMessage;
use esl_server::switch::leading_number;
use media::Codec;
use media::leg::{Speech, Voice};
use tokio::net::{UdpSocket, lookup_host};
use tokio::task::AbortHandle;
use tokio::time::{MissedTickBehavior, interval};

use crate::call::{AppResult, Channel, Session};

/// Largest datagram taken: 60 ms of 48 kHz samples.
const DATAGRAM: usize = 5760;
/// How often the leg is asked for a frame: often enough for the shortest packets.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// One exchange, from its message to the end of the parking.
pub struct Unicast {
    socket: Arc<UdpSocket>,
    remote: SocketAddr,
    native: bool,
    running: Option<Running>,
}

/// What goes on while the call is parked.
struct Running {
    leg: Arc<media::Leg>,
    voice: Voice,
    task: AbortHandle,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
        let _closed = self.leg.end_exchange(&self.voice);
    }
}

/// Where a message wants the audio to go. Empty headers are absent ones.
#[derive(Debug, PartialEq, Eq)]
struct Request {
    local: (String, u16),
    remote: (String, u16),
    transport: String,
    native: bool,
}

impl Request {
    fn of(message: &CallMessage) -> Self {
        let text = |name: &str, default: &str| {
            message.get(name).map_or_else(|| default.to_owned(), std::borrow::Cow::into_owned)
        };
        // As in the reference a number too large for a port wraps.
        let port = |name: &str, default: &str| leading_number(&text(name, default)) as u16;
        Self {
            local: (text("local-ip", "127.0.0.1"), port("local-port", "8025")),
            remote: (text("remote-ip", "127.0.0.1"), port("remote-port", "8026")),
            transport: text("transport", "udp"),
            native: text("flags", "").contains("native"),
        }
    }

    /// Opens the socket. `tcp` is taken for `udp`: the reference knows the word and opens a datagram socket.
    async fn open(&self) -> io::Result<Unicast> {
        if !["udp", "tcp"].iter().any(|known| self.transport.eq_ignore_ascii_case(known)) {
            let reason = format!("Invalid transport {}", self.transport);
            return Err(io::Error::new(io::ErrorKind::InvalidInput, reason));
        }
        let remote = resolve(&self.remote).await?;
        let socket = UdpSocket::bind(resolve(&self.local).await?).await?;
        Ok(Unicast { socket: Arc::new(socket), remote, native: self.native, running: None })
    }
}

async fn resolve((host, port): &(String, u16)) -> io::Result<SocketAddr> {
    let mut found = lookup_host((host.as_str(), *port)).await?;
    found.find(SocketAddr::is_ipv4).ok_or_else(|| io::ErrorKind::AddrNotAvailable.into())
}

/// Obeys a `unicast` message: opens the socket, and begins if the call is parked.
pub async fn start(session: &mut Session, message: &CallMessage) {
    let request = Request::of(message);
    let Request { local, remote, .. } = &request;
    let way = format!("{}:{}->{}:{}", local.0, local.1, remote.0, remote.1);
    let uuid = Arc::clone(session.channel().uuid());
    // The one before has the port this one may want.
    session.channel().with(|data| data.slot::<Option<Unicast>>().take());
    let unicast = match request.open().await {
        Ok(unicast) => unicast,
        Err(error) => {
            tracing::error!(
                uuid = %uuid, fs_level = "CRIT",
                "Failure creating unicast connection {way}: {error}"
            );
            return;
        }
    };
    tracing::info!(uuid = %uuid, "Created unicast connection {way}");
    session.channel().with(|data| *data.slot() = Some(unicast));
    if session.channel().flags.parked.load(std::sync::atomic::Ordering::Relaxed) {
        // A call that ended or moved is noticed by the parking.
        let _interrupted = launch(session).await;
    }
}

/// Begins an exchange that was asked for: the call is parked now.
///
/// # Errors
/// [`crate::call::Interrupt`] when the call ended or moved while it got its early media.
pub async fn launch(session: &mut Session) -> AppResult {
    let waiting = |unicast: &Option<Unicast>| unicast.as_ref().is_some_and(|u| u.running.is_none());
    let channel = Arc::clone(session.channel());
    if !channel.with(|data| waiting(data.slot())) {
        return Ok(());
    }
    if !channel.has_media() {
        session.pre_answer().await?;
    }
    let Some(leg) = channel.media() else { return Ok(()) };
    let ptime = channel.with(|data| data.read_codec.as_ref().map_or(20, |codec| codec.ptime));
    let Ok((voice, speech)) = leg.exchange() else {
        tracing::error!(uuid = %channel.uuid(), "The media engine is too busy for a unicast connection");
        return Ok(());
    };
    channel.with(|data| {
        let Some(unicast) = data.slot::<Option<Unicast>>().as_mut() else { return };
        let codec = leg.codec();
        let exchange = Exchange {
            socket: Arc::clone(&unicast.socket),
            remote: unicast.remote,
            native: unicast.native.then_some(codec),
            frame: codec.frame_samples(ptime.max(1)),
        };
        let task = tokio::spawn(exchange.run(speech)).abort_handle();
        unicast.running = Some(Running { leg, voice, task });
    });
    Ok(())
}

/// Ends the exchange, if there is one: the parking is over.
pub fn stop(channel: &Channel) {
    if channel.with(|data| data.slot::<Option<Unicast>>().take()).is_some() {
        tracing::debug!(uuid = %channel.uuid(), "Shutting down unicast connection");
    }
}

/// Audio between a leg and a socket.
struct Exchange {
    socket: Arc<UdpSocket>,
    remote: SocketAddr,
    /// Datagrams carry this codec's payloads; without it, samples.
    native: Option<Codec>,
    /// Samples per datagram sent.
    frame: usize,
}

impl Exchange {
    async fn run(self, mut speech: Speech) {
        let mut clock = interval(LOOK_EVERY);
        clock.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut frame = vec![0; self.frame];
        let mut datagram = vec![0; DATAGRAM];
        let mut listens = true;
        loop {
            tokio::select! {
                _ = clock.tick() => {
                    while speech.take(&mut frame) {
                        let octets = self.written(&frame);
                        if self.socket.send_to(&octets, self.remote).await.is_err() {
                            return;
                        }
                    }
                }
                heard = self.socket.recv_from(&mut datagram), if listens => match heard {
                    // As in the reference an empty datagram ends the talking, not the listening.
                    Ok((0, from)) if self.knows(from.ip()) => listens = false,
                    Ok((len, from)) if self.knows(from.ip()) => {
                        speech.say(&self.read(datagram.get(..len).unwrap_or_default()));
                    }
                    Ok(_) => {}
                    Err(_) => listens = false,
                },
            }
        }
    }

    /// Only the machine the audio goes to may talk; the reference lets anybody.
    fn knows(&self, ip: IpAddr) -> bool {
        ip == self.remote.ip()
    }

    fn written(&self, samples: &[i16]) -> Vec<u8> {
        match &self.native {
            Some(codec) => {
                let mut octets = vec![0; samples.len() * 2];
                let len = codec.encode(samples, &mut octets);
                octets.truncate(len);
                octets
            }
            None => samples.iter().flat_map(|sample| sample.to_ne_bytes()).collect(),
        }
    }

    fn read(&self, octets: &[u8]) -> Vec<i16> {
        match &self.native {
            Some(codec) => {
                let mut samples = vec![0; octets.len()];
                let len = codec.decode(octets, &mut samples);
                samples.truncate(len);
                samples
            }
            None => octets.as_chunks().0.iter().map(|pair| i16::from_ne_bytes(*pair)).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(headers: &[(&'static str, &str)]) -> Request {
        let mut message = CallMessage::default();
        for &(name, value) in headers {
            message.headers.push(name, value);
        }
        Request::of(&message)
    }

    #[test]
    fn what_a_message_leaves_out_has_its_default() {
        let asked = request(&[]);
        assert_eq!(asked.local, ("127.0.0.1".into(), 8025));
        assert_eq!(asked.remote, ("127.0.0.1".into(), 8026));
        assert_eq!((asked.transport.as_str(), asked.native), ("udp", false));
        let asked = request(&[("Remote-Port", "9000"), ("flags", "native"), ("transport", "TCP")]);
        assert_eq!((asked.remote.1, asked.native), (9000, true));
    }

    #[tokio::test]
    async fn unknown_transports_and_foreign_addresses_are_refused() {
        for bad in [("transport", "sctp"), ("local-ip", "192.0.2.1"), ("remote-ip", "no such host")]
        {
            assert!(request(&[("local-port", "0"), bad]).open().await.is_err(), "{bad:?}");
        }
        assert!(request(&[("local-port", "0"), ("transport", "TCP")]).open().await.is_ok());
    }

    #[tokio::test]
    async fn samples_go_in_the_machine_s_byte_order_or_as_the_codec_has_them() {
        let unicast = request(&[("local-port", "0")]).open().await.unwrap();
        let mut exchange =
            Exchange { socket: unicast.socket, remote: unicast.remote, native: None, frame: 2 };
        assert_eq!(
            exchange.written(&[1, -2]),
            [1_i16.to_ne_bytes(), (-2_i16).to_ne_bytes()].concat()
        );
        assert_eq!(exchange.read(&exchange.written(&[1, -2])), [1, -2]);
        assert_eq!(exchange.read(&[0]), [0_i16; 0], "half a sample is none");
        exchange.native = Some(Codec::PCMU);
        assert_eq!(exchange.written(&[0, 0]), [0xff, 0xff]);
        assert_eq!(exchange.read(&[0xff, 0x80]), [0, 32_124]);
    }
}
