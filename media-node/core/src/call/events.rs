//! Events about a channel: the blocks of headers, and the marks that fire them.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use esl_server::EventSink;
use esl_server::event::{Event, EventName};

use super::CodecInfo;
use super::channel::{Channel, Data, Listed, OtherType};
use super::profile::{CallerProfile, Prefix};
use super::progress::Progress;
use super::state::{CallState, Direction, State};
use crate::clock;

impl Channel {
    /// Fires an event that carries the channel block (and the variables where its kind does).
    pub fn fire(&self, name: EventName) {
        self.fire_with(name, |_| {}, |_| {});
    }

    /// [`Channel::fire`] with headers before the channel block and after the variables.
    pub fn fire_with(
        &self,
        name: EventName,
        before: impl FnOnce(&mut Event),
        after: impl FnOnce(&mut Event),
    ) {
        self.note_listed(name);
        let bus = &self.switch().bus;
        let diverted = self.diverts(name);
        if diverted.is_none() && !bus.wants(name) {
            bus.skip();
            return;
        }
        let mut event = Event::new(name);
        esl_server::stamp!(bus, &mut event);
        before(&mut event);
        self.describe(&mut event);
        after(&mut event);
        match diverted {
            Some(sink) => sink.send(Arc::new(event)),
            None => {
                bus.deliver(event);
            }
        }
    }

    /// The event changes what `show channels` prints of presence and account. Routing forgets the account, since that
    /// event carries no variables.
    fn note_listed(&self, name: EventName) {
        use EventName as E;
        let routing = name == E::ChannelState && self.data.lock().running == State::Routing;
        let tells = matches!(
            name,
            E::ChannelOriginate | E::ChannelExecute | E::ChannelHold | E::ChannelUnhold
        );
        if !(routing || tells) {
            return;
        }
        let var = |name: &str| self.var(name).unwrap_or_default();
        let account =
            if tells { self.own_var("accountcode").unwrap_or_default() } else { String::new() };
        let listed = Listed {
            presence_id: var("presence_id"),
            presence_data: var("presence_data"),
            account,
        };
        let mut data = self.data.lock();
        data.listed = listed;
        if routing {
            data.sent_callee = Default::default();
        }
    }

    /// The connection that takes the events the call makes for itself (`divert_events`): digits and speech.
    fn diverts(&self, name: EventName) -> Option<EventSink> {
        let own = matches!(name, EventName::Dtmf | EventName::DetectedSpeech);
        own.then(|| self.data.lock().divert.clone()).flatten()
    }

    /// Fires a CUSTOM event with the channel block and variables after the given headers.
    pub fn fire_custom(
        &self,
        subclass: &str,
        before: impl FnOnce(&mut Event),
        after: impl FnOnce(&mut Event),
    ) {
        let bus = &self.switch().bus;
        if !bus.wants(EventName::Custom) {
            bus.skip();
            return;
        }
        let mut event = Event::custom(subclass);
        esl_server::stamp!(bus, &mut event);
        before(&mut event);
        self.describe(&mut event);
        after(&mut event);
        bus.deliver(event);
    }

    /// Appends the channel block; variables only where all events are to carry them.
    pub fn describe_plain(&self, event: &mut Event) {
        let verbose = self.flags.verbose.load(Ordering::Relaxed) || self.switch().verbose_events();
        let data = self.data.lock();
        self.write_basic(&data, event);
        if verbose {
            event.push_vars("variable_", Arc::clone(&data.vars));
        }
    }

    /// Appends the channel block, and the variables if this kind of event has them.
    pub fn describe(&self, event: &mut Event) {
        let verbose = self.flags.verbose.load(Ordering::Relaxed) || self.switch().verbose_events();
        let with_variables = verbose || carries_variables(event.name());
        let data = self.data.lock();
        self.write_basic(&data, event);
        let columns = || {
            let own = data.vars.get("presence_data_cols").is_some();
            own || self.switch().global("presence_data_cols").is_some()
        };
        if with_variables || columns() {
            for scope in &data.scopes {
                // Scope variables keep their marks of what a far end said; readers see what is meant.
                let marked = scope.iter().any(|(_, value)| base::far::is_marked(&value.text()));
                let scope = match marked {
                    true => Arc::new(
                        scope
                            .iter()
                            .map(|(name, value)| (name.to_owned(), value.clone().as_meant()))
                            .collect(),
                    ),
                    false => Arc::clone(scope),
                };
                event.push_vars("scope_variable_", scope);
            }
            event.push_vars("variable_", Arc::clone(&data.vars));
        }
    }

    /// The reply to `connect` and the event of `uuid_dump`, without the core block.
    #[must_use]
    pub fn channel_data(&self, with_profile_first: bool) -> Event {
        let mut event = Event::new(EventName::ChannelData);
        if with_profile_first && let Some(profile) = &self.data.lock().profile {
            profile.write(&mut event, Prefix::Channel);
        }
        self.describe(&mut event);
        event
    }

    fn write_basic(&self, data: &Data, event: &mut Event) {
        event.push("Channel-State", data.running.name());
        event.push("Channel-Call-State", data.call_state.name());
        event.push("Channel-State-Number", data.state.number().to_string());
        event.push("Channel-Name", if data.name.is_empty() { "N/A" } else { &data.name });
        event.push("Unique-ID", &**self.uuid());
        if let Some(id) = data.vars.get("session_external_id").map(Cow::into_owned) {
            event.push("Session-External-ID", id);
        }
        event.push("Call-Direction", self.direction().name());
        event.push("Presence-Call-Direction", self.direction().name());
        event.push("Channel-HIT-Dialplan", if self.hit_dialplan() { "true" } else { "false" });
        let var = |name: &str| {
            data.vars.get(name).map(Cow::into_owned).or_else(|| self.switch().global(name))
        };
        event.push_some("Channel-Presence-ID", var("presence_id"));
        event.push_some("Channel-Presence-Data", var("presence_data"));
        if let Some(cols) = var("presence_data_cols") {
            event.push("Presence-Data-Cols", cols.as_str());
            for col in cols.split(':').filter(|col| !col.is_empty()) {
                if let Some(value) = var(col) {
                    event.push(format!("PD-{col}"), value);
                }
            }
        }
        event.push(
            "Channel-Call-UUID",
            data.vars
                .get("call_uuid")
                .map(Cow::into_owned)
                .unwrap_or_else(|| self.uuid().to_string()),
        );
        event.push("Answer-State", self.answer_state(data));
        if let Some(cause) = data.cause {
            event.push("Hangup-Cause", cause.name());
        }
        codec_block(
            event,
            ["Channel-Read-Codec-Name", "Channel-Read-Codec-Rate", "Channel-Read-Codec-Bit-Rate"],
            data.read_codec.as_ref(),
        );
        codec_block(
            event,
            [
                "Channel-Write-Codec-Name",
                "Channel-Write-Codec-Rate",
                "Channel-Write-Codec-Bit-Rate",
            ],
            data.write_codec.as_ref(),
        );
        if let Some(profile) = &data.profile {
            profile.write(event, Prefix::Caller);
        }
        if let Some((kind, profile)) = &data.other {
            event.push(
                "Other-Type",
                if *kind == OtherType::Originator { "originator" } else { "originatee" },
            );
            profile.write(event, Prefix::OtherLeg);
        }
    }

    /// Inbound legs always, outbound legs once they ran a dialplan.
    #[must_use]
    pub fn hit_dialplan(&self) -> bool {
        self.direction() == Direction::Inbound || self.flags.hit_dialplan.load(Ordering::Relaxed)
    }

    fn answer_state(&self, data: &Data) -> &'static str {
        if data.state >= State::Hangup {
            "hangup"
        } else if self.is_answered() {
            "answered"
        } else if self.progress.get().had_early_media() {
            "early"
        } else {
            "ringing"
        }
    }

    /// Moves the call state; fires CHANNEL_CALLSTATE if it is a change. HANGUP is never left.
    pub fn set_call_state(&self, state: CallState) {
        let old = {
            let mut data = self.data.lock();
            if data.call_state == state || data.call_state == CallState::Hangup {
                return;
            }
            std::mem::replace(&mut data.call_state, state)
        };
        self.fire_with(
            EventName::ChannelCallstate,
            |event| {
                event.push("Original-Channel-Call-State", old.name());
                event.push("Channel-Call-State-Number", state.number().to_string());
            },
            |_| {},
        );
    }

    /// Ringing was sent or received. Returns false if the channel was past that.
    pub fn mark_ring_ready(&self) -> bool {
        if !self.is_up() || !self.progress.advance(Progress::ring) {
            return false;
        }
        self.stamp_time(true, |profile, now| {
            if profile.times.progress == 0 {
                profile.times.progress = now;
            }
        });
        tracing::info!(uuid = %self.uuid(), fs_level = "NOTICE", "Ring-Ready {}!", self.name());
        self.fire(EventName::ChannelProgress);
        self.set_call_state(CallState::Ringing);
        self.notify();
        true
    }

    /// The other side rings, and the caller hears a tone of ours instead of being told.
    pub fn note_progress(&self) {
        self.stamp_time(false, |profile, now| {
            if profile.times.progress == 0 {
                profile.times.progress = now;
            }
        });
    }

    /// Early media was sent or received. Returns false if the channel was past that.
    pub fn mark_pre_answered(&self) -> bool {
        let marked = self.announce_pre_answer();
        self.notify();
        marked
    }

    /// [`Channel::mark_pre_answered`] for endpoints that start media after the announcement: those who watch the
    /// channel are not woken before [`Channel::notify`].
    pub fn announce_pre_answer(&self) -> bool {
        if !self.is_up() || !self.progress.advance(Progress::begin_media) {
            return false;
        }
        self.stamp_time(true, |profile, now| profile.times.progress_media = now);
        tracing::info!(uuid = %self.uuid(), fs_level = "NOTICE", "Pre-Answer {}!", self.name());
        self.fire(EventName::ChannelProgressMedia);
        self.set_call_state(CallState::Early);
        true
    }

    /// The call was answered. Returns false if it was before. The leg's task runs the hooks and moves the call state.
    pub fn mark_answered(&self) -> bool {
        self.is_up() && self.tell_answer()
    }

    /// [`Channel::mark_answered`] also for a call that has ended meanwhile: a far end was answered, and left before its
    /// media could flow. The reference tells of both, the end first.
    pub fn tell_answer(&self) -> bool {
        if !self.progress.advance(Progress::answer) {
            return false;
        }
        self.stamp_time(false, |profile, now| profile.times.answered = now);
        tracing::info!(uuid = %self.uuid(), fs_level = "NOTICE", "Channel [{}] has been answered", self.name());
        self.fire(EventName::ChannelAnswer);
        self.switch().observers().iter().for_each(|observer| observer.answered(self));
        self.set_var("endpoint_disposition", "ANSWER");
        self.notify();
        true
    }

    /// Sets both codecs: the variables, then the CODEC events in the order of the reference.
    pub fn set_codecs(&self, codec: &CodecInfo) {
        let changed = {
            let mut data = self.data.lock();
            let changed = data.read_codec.as_ref() != Some(codec);
            data.read_codec = Some(codec.clone());
            data.write_codec = Some(codec.clone());
            let vars = Arc::make_mut(&mut data.vars);
            vars.set("read_codec", codec.name.as_str());
            if vars.get("original_read_codec").is_none() {
                vars.set("original_read_codec", codec.name.as_str());
            }
            vars.set("read_rate", codec.rate.to_string());
            if vars.get("original_read_rate").is_none() {
                vars.set("original_read_rate", codec.rate.to_string());
            }
            changed
        };
        if changed {
            self.fire_codec_read(codec);
        }
        {
            let mut data = self.data.lock();
            data.write_codec = Some(codec.clone());
            let vars = Arc::make_mut(&mut data.vars);
            vars.set("write_codec", codec.name.as_str());
            vars.set("write_rate", codec.rate.to_string());
        }
        if changed {
            self.fire_with(
                EventName::Codec,
                |_| {},
                |event| {
                    event.push("Channel-Write-Codec-Name", codec.name.as_str());
                    event.push("Channel-Write-Codec-Rate", codec.rate.to_string());
                    event.push("Channel-Write-codec-bit-rate", codec.bit_rate.to_string());
                },
            );
        }
    }

    /// The CODEC event of the read side (also fired around recordings).
    pub fn fire_codec_read(&self, codec: &CodecInfo) {
        self.fire_with(
            EventName::Codec,
            |_| {},
            |event| {
                event.push("channel-read-codec-name", codec.name.as_str());
                event.push("channel-read-codec-rate", codec.rate.to_string());
                event.push("channel-read-codec-bit-rate", codec.bit_rate.to_string());
            },
        );
    }

    fn stamp_time(&self, progress: bool, set: impl Fn(&mut CallerProfile, i64)) {
        let now = clock::now_us();
        let mut data = self.data.lock();
        if let Some(profile) = &mut data.profile {
            set(profile, now);
        }
        // The originator's profile shown on an outbound leg learns of the leg's progress, as in the reference.
        if let (true, Some((OtherType::Originator, profile))) = (progress, &mut data.other) {
            set(profile, now);
        }
    }
}

fn codec_block(event: &mut Event, names: [&'static str; 3], codec: Option<&CodecInfo>) {
    if let Some(codec) = codec {
        event.push(names[0], codec.name.as_str());
        event.push(names[1], codec.rate.to_string());
        event.push(names[2], codec.bit_rate.to_string());
    }
}

/// Kinds of events that show the channel's variables without being asked.
fn carries_variables(name: EventName) -> bool {
    use EventName as E;
    matches!(
        name,
        E::ChannelCreate
            | E::ChannelOriginate
            | E::ChannelUuid
            | E::ChannelAnswer
            | E::ChannelPark
            | E::ChannelUnpark
            | E::ChannelBridge
            | E::ChannelUnbridge
            | E::ChannelProgress
            | E::ChannelProgressMedia
            | E::ChannelHangup
            | E::ChannelHangupComplete
            | E::ChannelExecute
            | E::ChannelExecuteComplete
            | E::ChannelDestroy
            | E::ChannelHold
            | E::ChannelUnhold
            | E::ChannelData
            | E::RequestParams
            | E::SessionHeartbeat
            | E::Api
            | E::RecordStart
            | E::RecordStop
            | E::PlaybackStart
            | E::PlaybackStop
            | E::CallUpdate
            | E::MediaBugStart
            | E::MediaBugStop
            | E::Text
            | E::Custom
    )
}
