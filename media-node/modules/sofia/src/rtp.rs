//! `rtp/NAME`: a leg without signalling, as a program that does its own signalling wants it. Variables of the dial string say
//! where its packets go and come from, and in which codec: `local_addr`, `local_port`, `remote_addr`, `remote_port`,
//! `codec`, `rate`, `ptime`, `pt`, `rfc2833_pt`. Without a far address it only listens.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use media::codec::Codec;
use media::{Direction as Flow, RtpParams, RtpSpec};

use crate::BoxFuture;
use crate::call::{
    Cause, Channel, CodecInfo, Direction, Endpoint, EndpointLeg, Indication, LegEvent,
    OutgoingCall, Session,
};
use crate::switch::Switch;

const DEFAULT_RATE: u32 = 8000;
const DEFAULT_PTIME: u32 = 20;

pub(crate) struct RtpEndpoint(pub(crate) Arc<Switch>);

/// What the dial string says of the stream.
struct Stream {
    local: SocketAddr,
    remote: Option<SocketAddr>,
    codec: Codec,
    ptime: u32,
    payload_type: u8,
    events: Option<u8>,
}

impl Stream {
    fn of(call: &OutgoingCall) -> Result<Self, &'static str> {
        let given = |name: &str| call.variable(name).filter(|value| !value.is_empty());
        let address = |ip: &str, port: &str| {
            let ip: IpAddr = given(ip)?.parse().ok()?;
            let port = given(port)?.parse().ok().filter(|port| *port > 0)?;
            Some(SocketAddr::new(ip, port))
        };
        let number = |name: &str| given(name).and_then(|value| value.parse::<u32>().ok());
        let payload_type =
            |name: &str| number(name).and_then(|pt| u8::try_from(pt).ok()).filter(|pt| *pt < 128);
        let local =
            address("local_addr", "local_port").ok_or("the local address and port must be set")?;
        let rate = number("rate").unwrap_or(DEFAULT_RATE);
        let name = given("codec").ok_or("codec is missing")?;
        let codec = Codec::by_pref(name, rate).ok_or("no such codec")?;
        Ok(Self {
            local,
            remote: address("remote_addr", "remote_port"),
            codec,
            ptime: number("ptime").filter(|ms| *ms > 0).unwrap_or(DEFAULT_PTIME).min(120),
            payload_type: payload_type("pt").ok_or("pt is missing")?,
            events: payload_type("rfc2833_pt"),
        })
    }

    fn params(&self, cname: String) -> RtpParams {
        let mut params = RtpParams::new(self.codec, self.payload_type);
        params.remote = self.remote;
        params.ptime = self.ptime;
        params.symmetric = false;
        (params.te_send, params.te_recv) = (self.events, self.events);
        params.te_clock = DEFAULT_RATE;
        params.direction = if self.remote.is_some() { Flow::SendRecv } else { Flow::RecvOnly };
        params.cname = cname;
        params
    }
}

impl Endpoint for RtpEndpoint {
    fn name(&self) -> &'static str {
        "rtp"
    }

    fn module(&self) -> &'static str {
        "mod_sofia"
    }

    fn outgoing(&self, call: OutgoingCall) -> BoxFuture<'_, Result<Session, Cause>> {
        Box::pin(async move {
            let refused = Cause::DESTINATION_OUT_OF_ORDER;
            let stream = Stream::of(&call).map_err(|missing| {
                tracing::error!("rtp/{}: {missing}", call.destination);
                refused
            })?;
            let near = call.originator.as_deref().and_then(Channel::media).map(|media| media.id());
            let spec = RtpSpec {
                local_ip: stream.local.ip(),
                local_port: Some(stream.local.port()),
                near,
                rtcp: false,
            };
            let (media, events) = self.0.media.open_rtp(spec).map_err(|error| {
                tracing::error!("rtp/{}: {error}", call.destination);
                refused
            })?;
            let name = format!("rtp/{}", call.destination);
            let (channel, inbox) =
                self.0.new_channel(Direction::Outbound, name.clone(), call.uuid.as_deref())?;
            media.set_rtp(stream.params(channel.uuid().to_string())).map_err(|_| refused)?;
            let mut profile = call.profile;
            profile.destination_number = call.destination;
            profile.uuid = channel.uuid().to_string();
            profile.chan_name = name;
            profile.source = "mod_sofia".into();
            channel.with(|data| {
                data.profile = Some(profile);
                data.media = Some(Arc::new(media));
            });
            let leg = RtpLeg { events, stream, answered: false };
            Ok(Session::new(channel, Box::new(leg), inbox))
        })
    }
}

struct RtpLeg {
    events: media::LegEvents,
    stream: Stream,
    answered: bool,
}

impl EndpointLeg for RtpLeg {
    fn kind(&self) -> &'static str {
        "rtp"
    }

    fn on_init<'a>(&'a mut self, channel: &'a Arc<Channel>) -> BoxFuture<'a, Result<(), Cause>> {
        Box::pin(async move {
            let codec = self.stream.codec;
            channel.set_codecs(&CodecInfo {
                name: codec.name().into(),
                rate: codec.rate(),
                bit_rate: codec.bit_rate(),
                ptime: self.stream.ptime,
            });
            Ok(())
        })
    }

    fn on_hangup<'a>(&'a mut self, _channel: &'a Arc<Channel>, _cause: Cause) -> BoxFuture<'a, ()> {
        Box::pin(async {})
    }

    fn indicate<'a>(
        &'a mut self,
        channel: &'a Arc<Channel>,
        what: Indication,
    ) -> BoxFuture<'a, Result<(), Cause>> {
        Box::pin(async move {
            use Indication::{Deflect, Info, Offer, PhoneEvent, Redirect, Renegotiate, Request};
            match what {
                Indication::Digits(digits) => crate::leg::press(channel, &digits),
                // There is no signalling to the far end.
                Deflect(_)
                | Info { .. }
                | PhoneEvent(_)
                | Redirect(_)
                | Offer(_)
                | Renegotiate(_)
                | Request(_) => Err(Cause::NONE),
                _ => Ok(()),
            }
        })
    }

    fn event<'a>(&'a mut self, channel: &'a Arc<Channel>) -> BoxFuture<'a, LegEvent> {
        Box::pin(async move {
            if !std::mem::replace(&mut self.answered, true) {
                channel.mark_answered();
                return LegEvent::Answered;
            }
            match self.events.recv().await {
                Some(event) => LegEvent::Media(event),
                None => std::future::pending().await,
            }
        })
    }
}
