//! The life of a channel: one loop over its states, run by the channel's task.
//!
//! ```text
//! NEW -> INIT -> ROUTING -> EXECUTE -> HANGUP -> REPORTING -> DESTROY      inbound
//!        INIT -> ROUTING -> CONSUME_MEDIA -> EXECUTE | EXCHANGE_MEDIA …     outbound
//! ```
//! Others ask for states ([`Channel::set_state`](super::Channel::set_state)); only this loop enters them and fires
//! CHANNEL_STATE.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use dialplan_xml::dialplan::Routed;
use esl_server::event::EventName;

use super::cause::Cause;
use super::channel::Initial;
use super::plan::{Extension, Step, Written};
use super::session::{AppResult, Interrupt, Session};
use super::state::{CallState, Direction, State};
use crate::contract::DialplanKind;

/// A channel left in CS_NEW that long is given up.
const NEW_TIMEOUT: Duration = Duration::from_secs(10);

impl Session {
    /// Starts the channel's task and returns the channel.
    pub fn start(self) -> Arc<super::Channel> {
        let channel = Arc::clone(&self.channel);
        let of = Arc::clone(&channel);
        let run = crate::foreign::scope(move || of.foreign(), self.run());
        tokio::spawn(base::trace::of_call(channel.uuid(), channel.var("traceparent"), run));
        channel
    }

    async fn run(mut self) {
        let first = self.leg.starts_in();
        self.channel.with(|data| data.state = data.state.max(first));
        let guard = super::hangup::Cleanup::new(Arc::clone(&self.channel));
        loop {
            let state = self.channel.state();
            if state >= State::Hangup {
                break;
            }
            if state == State::Execute {
                self.show_outbound_as_caller();
            }
            self.enter(state);
            let _interrupted = match state {
                State::New => self.state_new().await,
                State::Init => self.state_init().await,
                State::Routing => {
                    let result = self.state_routing().await;
                    self.channel.fire_presence(State::Routing.name());
                    result
                }
                State::Execute => self.state_execute().await,
                State::ConsumeMedia => self.until_moved().await,
                State::Hibernate => super::bypass::hibernate(&mut self).await,
                State::SoftExecute => self.state_soft_execute().await,
                State::ExchangeMedia => super::bridge::exchange_media(&mut self).await,
                State::Park => self.state_park().await,
                State::Reset => self.state_reset().await,
                State::Hangup | State::Reporting | State::Destroy | State::None => break,
            };
        }
        self.tear_down().await;
        drop(guard);
    }

    /// Makes `state` the running one and tells.
    fn enter(&mut self, state: State) {
        let again = self.channel.with(|data| std::mem::replace(&mut data.running, state) == state);
        if again {
            return;
        }
        if self.channel.direction() == Direction::Inbound {
            self.inbound_call_state(state);
        }
        self.channel.fire(EventName::ChannelState);
        self.channel.notify();
    }

    /// What the state an inbound leg runs says about its call state.
    fn inbound_call_state(&self, state: State) {
        match state {
            State::Routing => self.channel.set_call_state(CallState::Ringing),
            State::New
            | State::Init
            | State::Reset
            | State::Hangup
            | State::Reporting
            | State::Destroy => {}
            _ if self.channel.is_answered() && !self.channel.flags.held.load(Ordering::Relaxed) => {
                self.channel.set_call_state(CallState::Active);
            }
            _ if self.channel.has_media() => self.channel.set_call_state(CallState::Early),
            _ => {}
        }
    }

    async fn state_new(&mut self) -> AppResult {
        let channel = Arc::clone(&self.channel);
        match tokio::time::timeout(NEW_TIMEOUT, self.leg.on_new(&channel)).await {
            // A leg that is not ready yet has chosen its state itself.
            Ok(Ok(())) if channel.state() == State::New => {
                channel.set_state(State::Init);
            }
            Ok(Ok(())) => {}
            Ok(Err(cause)) => channel.hangup(cause),
            Err(_) => channel.hangup(Cause::WRONG_CALL_STATE),
        }
        Ok(())
    }

    async fn state_init(&mut self) -> AppResult {
        let channel = Arc::clone(&self.channel);
        let result = self.leg.on_init(&channel).await;
        channel.with(|data| {
            if let Some(profile) = &data.profile {
                data.initial = Initial {
                    cid_name: profile.caller_id_name.clone(),
                    cid_num: profile.caller_id_number.clone(),
                    ip_addr: profile.network_addr.clone(),
                    dest: profile.destination_number.clone(),
                    dialplan: profile.dialplan.clone(),
                    context: profile.context.clone(),
                };
            }
        });
        if result.is_ok() {
            channel.set_state(State::Routing);
        }
        channel.flags.shown.store(true, Ordering::Relaxed);
        channel.fire(EventName::ChannelCreate);
        if channel.direction() == Direction::Outbound {
            channel.fire(EventName::ChannelOriginate);
        }
        if let Err(cause) = result {
            channel.hangup(cause);
        }
        Ok(())
    }

    async fn state_routing(&mut self) -> AppResult {
        let channel = Arc::clone(&self.channel);
        if channel.flags.transfer_hooks.swap(false, Ordering::Relaxed) {
            self.run_hooks("blind_transfer").await;
        }
        if channel.with(|data| data.extension.is_some()) {
            channel.set_state(State::Execute);
            return Ok(());
        }
        if self.waits_for_answer() {
            channel.set_state(State::ConsumeMedia);
            return Ok(());
        }
        channel.set_var("call_uuid", &**channel.uuid());
        self.leg.on_routing(&channel).await;
        self.show_outbound_as_caller();
        self.turn_direction();
        // In a block of its own: a call is routed once, and its task would keep room for it to the end.
        match base::trace::within("dialplan", Box::pin(self.route())).await {
            Some(extension) => {
                channel.with(|data| data.begin_extension(extension));
                channel.set_state(State::Execute);
            }
            None if !channel.is_up() => {}
            None => {
                tracing::info!(
                    uuid = %channel.uuid(), fs_level = "NOTICE", "{} No Route, Aborting", channel.name()
                );
                channel.hangup(Cause::NO_ROUTE_DESTINATION);
            }
        }
        Ok(())
    }

    /// A leg made by originate has no dialplan of its own until it is transferred.
    fn waits_for_answer(&self) -> bool {
        self.channel.direction() == Direction::Outbound
            && self.channel.with(|data| {
                data.profile.as_ref().is_none_or(|profile| profile.transfer_source.is_empty())
            })
    }

    /// Asks the dialplans of the profile, in order.
    pub async fn route(&mut self) -> Option<Extension> {
        let (dialplans, context, number) = self.channel.with(|data| {
            let profile = data.profile.as_ref()?;
            let number = profile.field_marked("destination_number").unwrap_or_default();
            Some((profile.dialplan.clone(), profile.context.clone(), number))
        })?;
        let dialplans = base::far::into_plain(self.expand(&dialplans).await.into_owned());
        self.route_with(&dialplans, &context, &number).await
    }

    /// Asks the named dialplans (comma separated) in order; the first extension wins. What a far end said in the number
    /// is marked ([`base::far`]).
    pub async fn route_with(
        &mut self,
        dialplans: &str,
        context: &str,
        marked: &str,
    ) -> Option<Extension> {
        let number = &*base::far::plain(marked);
        for entry in dialplans.split(',').take(25) {
            let (name, argument) =
                entry.split_once(':').map_or((entry, ""), |(name, argument)| (name, argument));
            let name = name.trim();
            let found = if name.eq_ignore_ascii_case("inline") {
                self.route_inline(if argument.is_empty() { marked } else { argument })
            } else if name.eq_ignore_ascii_case("xml") {
                self.route_xml(argument, context, number).await
            } else if let Some(dialplan) = self.dialplan(name) {
                (dialplan.find)(self, argument, number).await
            } else {
                tracing::error!(uuid = %self.channel.uuid(), "Dialplan [{name}] not found, skipping");
                None
            };
            if found.is_some() {
                return found;
            }
            if !self.channel.is_up() {
                return None;
            }
        }
        None
    }

    /// The dialplan of that name, in any case, if its module is loaded.
    fn dialplan(&self, name: &str) -> Option<&'static DialplanKind> {
        let mut dialplans = self.switch().provided(|provides| provides.dialplans);
        dialplans.find(|dialplan| dialplan.name.eq_ignore_ascii_case(name))
    }

    fn route_inline(&mut self, text: &str) -> Option<Extension> {
        let actions = dialplan_xml::dialplan::parse_inline(text);
        if actions.is_empty() {
            return None;
        }
        self.channel.with(|data| {
            if let Some(profile) = &mut data.profile {
                let before = profile.field_marked("rdnis").unwrap_or_default();
                profile.set_field("destination_number", &before);
                profile.set_field("rdnis", "");
            }
        });
        let steps = actions.into_iter().map(|action| (action.application, action.data));
        Some(Extension::new("inline", "inline", steps))
    }

    async fn route_xml(&mut self, file: &str, context: &str, number: &str) -> Option<Extension> {
        let switch = Arc::clone(self.switch());
        let channel = Arc::clone(&self.channel);
        let lookup = crate::config::dialplan_for(&switch, &channel, file);
        let dialplan = if switch.xml.serve("dialplan") {
            // The caller may give up while a web server thinks.
            self.wait_for(lookup).await.ok()??
        } else {
            lookup.await?
        };
        let routed = self.route_in(&dialplan, context, number).await;
        let Routed { extension, actions, .. } = routed;
        let name = extension?;
        let steps = actions.into_iter().map(|action| Step {
            application: action.application,
            data: action.data,
            written: Some(Written { action: action.place, condition: action.condition }),
        });
        Some(Extension::new(name, number, steps))
    }

    async fn state_execute(&mut self) -> AppResult {
        self.channel.set_var("call_uuid", &**self.channel.uuid());
        loop {
            self.check()?;
            let next = self.channel.with(|data| data.extension.as_mut().and_then(Extension::next));
            let Some(step) = next else { break };
            self.execute_step(step).await?;
            self.channel.flags.broken.store(false, Ordering::Relaxed);
        }
        self.check()?;
        tracing::info!(
            uuid = %self.channel.uuid(), fs_level = "NOTICE",
            "{} has executed the last dialplan instruction, hanging up.", self.channel.name()
        );
        self.channel.hangup(Cause::NORMAL_CLEARING);
        Ok(())
    }

    /// The first time an outbound leg runs a dialplan it becomes the caller: identities swap, CALL_UPDATE tells.
    fn show_outbound_as_caller(&self) {
        let channel = &self.channel;
        if channel.direction() == Direction::Inbound
            || channel.flags.hit_dialplan.swap(true, Ordering::Relaxed)
        {
            return;
        }
        channel.with(|data| {
            if let Some(profile) = &mut data.profile {
                let vars = Arc::make_mut(&mut data.vars);
                vars.set("pre_transfer_caller_id_name", profile.caller_id_name.as_str());
                vars.set("pre_transfer_caller_id_number", profile.caller_id_number.as_str());
                vars.set("channel_cid_flipped", "yes");
                let own = &mut **profile;
                std::mem::swap(&mut own.caller_id_name, &mut own.callee_id_name);
                std::mem::swap(&mut own.caller_id_number, &mut own.callee_id_number);
            }
            data.callee_direction = "RECV";
        });
        channel.fire_with(
            EventName::CallUpdate,
            |event| {
                event.push("Direction", "RECV");
            },
            |_| {},
        );
    }

    /// An outbound leg that runs a dialplan is a caller to it.
    fn turn_direction(&self) {
        self.channel.with(|data| {
            if let Some(profile) =
                data.profile.as_mut().filter(|profile| profile.direction == Direction::Outbound)
            {
                profile.logical_direction = Direction::Inbound;
            }
        });
    }

    /// Does nothing but serve the leg until somebody moves the call.
    async fn until_moved(&mut self) -> AppResult {
        loop {
            self.wait(None).await?;
        }
    }

    async fn state_soft_execute(&mut self) -> AppResult {
        match self.channel.take_soft_step() {
            Some(step) => step(self).await,
            None => self.until_moved().await,
        }
    }

    async fn state_park(&mut self) -> AppResult {
        self.park().await?;
        self.channel.hangup(Cause::NORMAL_CLEARING);
        Err(Interrupt::Hangup)
    }

    /// CS_RESET: whatever was going on is forgotten; the one who asked for it moves the call on.
    async fn state_reset(&mut self) -> AppResult {
        self.flush_digits();
        self.until_moved().await
    }
}
