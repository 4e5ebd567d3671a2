//! `null/<anything>`: answers at once, hears nothing, says nothing.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::call::{
    Cause, Channel, CodecInfo, Direction, Endpoint, EndpointLeg, Indication, LegEvent,
    OutgoingCall, Session,
};
use crate::switch::Switch;
use crate::{BoxFuture, text};

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
        "mod_loopback"
    }

    fn wants_early_media(&self, caller: &Channel) -> bool {
        !caller.is_true("null_no_pre_answer")
    }

    fn outgoing(&self, call: OutgoingCall) -> BoxFuture<'_, Result<Session, Cause>> {
        Box::pin(async move {
            let refused = call.variable("null_hangup_cause");
            if let Some(cause) = refused.or_else(|| call.destination.strip_prefix("cause-")) {
                return Err(Cause::parse(cause));
            }
            let options = Options::of(&call);
            let name = format!("null/{}", call.destination);
            let (channel, inbox) =
                self.switch.new_channel(Direction::Outbound, name.clone(), call.uuid.as_deref())?;
            let mut profile = call.profile;
            profile.destination_number = call.destination;
            profile.uuid = channel.uuid().to_string();
            profile.chan_name = name;
            profile.source = "mod_loopback".into();
            if profile.callee_id_number.is_empty() {
                profile.callee_id_number = profile.destination_number.clone();
            }
            channel.with(|data| data.profile = Some(profile));
            let (media, events) =
                self.switch.media.open_null().map_err(|_| Cause::NORMAL_TEMPORARY_FAILURE)?;
            channel.with(|data| data.media = Some(Arc::new(media)));
            let leg = NullLeg { events, options, answer_at: None, told_early: false };
            Ok(Session::new(channel, Box::new(leg), inbox))
        })
    }
}

/// The longest `null_auto_answer_delay`, milliseconds.
const MAX_DELAY: i64 = 60_000;

/// How the far end that does not exist behaves.
#[derive(Clone, Copy)]
struct Options {
    answers: bool,
    delay: Duration,
    early_media: bool,
}

impl Options {
    fn of(call: &OutgoingCall) -> Self {
        let delay = call.variable("null_auto_answer_delay").map_or(0, text::int);
        Self {
            answers: call.variable("null_enable_auto_answer").is_none_or(text::is_true),
            delay: Duration::from_millis(delay.clamp(0, MAX_DELAY).unsigned_abs()),
            early_media: call.variable("null_pre_answer").is_some_and(text::is_true),
        }
    }
}

struct NullLeg {
    events: media::LegEvents,
    options: Options,
    /// When it will answer, once that is known.
    answer_at: Option<Instant>,
    told_early: bool,
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
        channel: &'a Arc<Channel>,
        what: Indication,
    ) -> BoxFuture<'a, Result<(), Cause>> {
        Box::pin(async move {
            if crate::needs_a_network(&what) {
                return Err(Cause::NONE);
            }
            if let Indication::Digits(digits) = what {
                let mut queued = channel.var("null_channel_dtmf_queued").unwrap_or_default();
                queued.extend(digits.iter().map(|digit| digit.digit));
                channel.set_var("null_channel_dtmf_queued", queued);
            }
            Ok(())
        })
    }

    fn event<'a>(&'a mut self, channel: &'a Arc<Channel>) -> BoxFuture<'a, LegEvent> {
        Box::pin(async move {
            if self.options.early_media && !std::mem::replace(&mut self.told_early, true) {
                channel.mark_pre_answered();
                return LegEvent::EarlyMedia;
            }
            let answer_at =
                *self.answer_at.get_or_insert_with(|| Instant::now() + self.options.delay);
            let answers = self.options.answers;
            tokio::select! {
                biased;
                () = tokio::time::sleep_until(answer_at), if answers => {
                    self.options.answers = false;
                    channel.mark_answered();
                    LegEvent::Answered
                }
                Some(event) = self.events.recv() => LegEvent::Media(event),
                else => std::future::pending().await,
            }
        })
    }
}
