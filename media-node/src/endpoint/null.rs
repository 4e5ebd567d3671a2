//! `null/<anything>`: answers at once, hears nothing, says nothing.

use std::sync::Arc;

use tokio::sync::mpsc;

use crate::BoxFuture;
use crate::call::{
    Cause, Channel, CodecInfo, Direction, Endpoint, EndpointLeg, Indication, LegEvent,
    OutgoingCall, Session,
};
use crate::switch::Switch;

/// The endpoint.
pub struct NullEndpoint {
    switch: Arc<Switch>,
}

impl NullEndpoint {
    /// The endpoint of that switch.
    #[must_use]
    pub fn new(switch: Arc<Switch>) -> Self {
        Self { switch }
    }
}

impl Endpoint for NullEndpoint {
    fn name(&self) -> &'static str {
        "null"
    }

    fn module(&self) -> &'static str {
        "mod_dptools"
    }

    fn outgoing(&self, call: OutgoingCall) -> BoxFuture<'_, Result<Session, Cause>> {
        Box::pin(async move {
            let name = format!("null/{}", call.destination);
            let (channel, inbox) =
                self.switch.new_channel(Direction::Outbound, name.clone(), call.uuid.as_deref())?;
            let mut profile = call.profile;
            profile.destination_number = call.destination;
            profile.uuid = channel.uuid().to_string();
            profile.chan_name = name;
            if profile.callee_id_number.is_empty() {
                profile.callee_id_number.clone_from(&profile.destination_number);
            }
            channel.with(|data| data.profile = Some(profile));
            let (media, events) =
                self.switch.media.open_null().map_err(|_| Cause::NORMAL_TEMPORARY_FAILURE)?;
            channel.with(|data| data.media = Some(Arc::new(media)));
            let leg = NullLeg { events, answered: false };
            Ok(Session::new(channel, Box::new(leg), inbox))
        })
    }
}

struct NullLeg {
    events: mpsc::Receiver<media::LegEvent>,
    answered: bool,
}

impl EndpointLeg for NullLeg {
    fn kind(&self) -> &'static str {
        "null"
    }

    fn on_init<'a>(&'a mut self, channel: &'a Arc<Channel>) -> BoxFuture<'a, Result<(), Cause>> {
        Box::pin(async move {
            channel.set_codecs(&CodecInfo {
                name: "L16".into(),
                rate: 8000,
                bit_rate: 128_000,
                ptime: 20,
            });
            Ok(())
        })
    }

    fn on_hangup<'a>(&'a mut self, _channel: &'a Arc<Channel>, _cause: Cause) -> BoxFuture<'a, ()> {
        Box::pin(async {})
    }

    fn indicate<'a>(
        &'a mut self,
        _channel: &'a Arc<Channel>,
        _what: Indication,
    ) -> BoxFuture<'a, Result<(), Cause>> {
        Box::pin(async { Ok(()) })
    }

    fn event<'a>(&'a mut self, channel: &'a Arc<Channel>) -> BoxFuture<'a, LegEvent> {
        Box::pin(async move {
            if !self.answered {
                self.answered = true;
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
