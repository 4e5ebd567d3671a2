//! `pickup/<key>`: a leg that rings nowhere and waits for the `pickup` application.

use std::sync::Arc;

use crate::BoxFuture;
use crate::call::index::Key;
use crate::call::links::Link;
use crate::call::{
    Cause, Channel, Direction, Endpoint, EndpointLeg, Indication, LegEvent, OutgoingCall, Session,
};
use crate::switch::Switch;

pub struct PickupEndpoint {
    switch: Arc<Switch>,
}

impl PickupEndpoint {
    /// The endpoint of that switch.
    #[must_use]
    pub fn new(switch: Arc<Switch>) -> Self {
        Self { switch }
    }
}

/// The longest waiting leg of that key.
#[must_use]
pub fn waiting(switch: &Switch, key: &str) -> Option<Arc<Channel>> {
    switch
        .channels_by(&Key::Pickup(key.into()))
        .into_iter()
        .filter(|leg| leg.is_up() && leg.linked(Link::SwappedFor).is_none())
        .min_by_key(|leg| leg.session_id())
}

impl Endpoint for PickupEndpoint {
    fn name(&self) -> &'static str {
        "pickup"
    }

    fn module(&self) -> &'static str {
        "mod_dptools"
    }

    fn outgoing(&self, call: OutgoingCall) -> BoxFuture<'_, Result<Session, Cause>> {
        Box::pin(async move {
            let name = format!("pickup/{}", call.destination);
            let (channel, inbox) =
                self.switch.new_channel(Direction::Outbound, name.clone(), call.uuid.as_deref())?;
            let key = Key::Pickup(call.destination.as_str().into());
            let mut profile = call.profile;
            profile.destination_number = call.destination;
            profile.uuid = channel.uuid().to_string();
            profile.chan_name = name;
            channel.with(|data| data.profile = Some(profile));
            Ok(Session::new(channel, Box::new(PickupLeg { key }), inbox))
        })
    }
}

struct PickupLeg {
    key: Key,
}

impl EndpointLeg for PickupLeg {
    fn kind(&self) -> &'static str {
        "pickup"
    }

    fn on_init<'a>(&'a mut self, channel: &'a Arc<Channel>) -> BoxFuture<'a, Result<(), Cause>> {
        channel.switch().index.enter(self.key.clone(), channel.uuid());
        Box::pin(async { Ok(()) })
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

    fn event<'a>(&'a mut self, _channel: &'a Arc<Channel>) -> BoxFuture<'a, LegEvent> {
        Box::pin(std::future::pending())
    }
}
