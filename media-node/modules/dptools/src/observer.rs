//! What happens to calls, as recordings, unicast connections, displacing files and digit filters need to know it.

use std::sync::Arc;

use base::redact::asks_for;
use esl_server::CallMessage;
use esl_server::switch::CallCommand;
use media::LegEvent;

use super::turns::Turns;
use super::{
    audio, comfort, digit_filter, digit_machine, meta_keys, record, record_hooks, unicast,
};
use crate::BoxFuture;
use crate::call::{AppResult, Channel, Digit, Session};
use crate::contract::CallObserver;

/// The observer of mod_dptools.
pub struct Observer;

impl CallObserver for Observer {
    fn answered(&self, channel: &Channel) {
        record_hooks::call_changed(channel);
    }

    fn bridged(&self, channel: &Channel) {
        comfort::bridged(channel);
        record_hooks::call_changed(channel);
    }

    fn unbridged(&self, channel: &Channel) {
        comfort::unbridged(channel);
        record_hooks::call_changed(channel);
    }

    fn held(&self, channel: &Channel, on: bool) {
        record::flip(channel, on);
    }

    fn moved(&self, from: &Channel, to: &Arc<Channel>) {
        record::follow(from, to);
    }

    fn parked<'a>(&'a self, session: &'a mut Session) -> BoxFuture<'a, AppResult> {
        Box::pin(unicast::launch(session))
    }

    fn unparked(&self, channel: &Channel) {
        unicast::stop(channel);
    }

    fn digit(&self, channel: &Arc<Channel>, digit: Digit) -> bool {
        // The call's record shows none of them.
        if channel.var("redact_digits").is_some_and(|what| asks_for(&what, "record")) {
            channel.set_var("digits_dialed_filter", "(.+)");
        }
        digit_filter::admits(channel, digit)
            && !meta_keys::uses(channel, digit)
            && !digit_machine::uses(channel, digit)
    }

    fn media(&self, channel: &Arc<Channel>, event: &LegEvent) {
        if let LegEvent::PlayDone { id, .. } = event {
            audio::play_ended(channel, *id);
        }
        record::note(channel, event);
    }

    fn message<'a>(
        &'a self,
        session: &'a mut Session,
        message: &'a CallMessage,
    ) -> BoxFuture<'a, bool> {
        Box::pin(async move {
            let known = matches!(message.command(), CallCommand::Unicast);
            if known {
                unicast::start(session, message).await;
            }
            known
        })
    }

    fn hung_up<'a>(&'a self, session: &'a mut Session) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            record::stop_all(session).await;
            session.switch().module::<Turns>().leave(None, session.channel().uuid());
        })
    }
}
