//! Two legs become one conversation.
//!
//! What becomes of each leg afterwards is in [`super::post_bridge`]; joining legs that live already in
//! [`super::uuid_bridge`].
//!
//! The originator's task drives the bridge inside whatever it runs (the `bridge` application, or CS_SOFT_EXECUTE after
//! `uuid_bridge`); the other leg's task sits in CS_EXCHANGE_MEDIA. Audio is the media engine's business.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use esl_server::event::{Event, EventName};

pub use call_model::bridge::Bridge;

use super::cause::Cause;
use super::channel::{Channel, OtherType};
use super::endpoint::DigitSource;
use super::links::Link;
use super::post_bridge;
use super::session::{AppResult, Interrupt, Session};
use super::state::State;
use crate::{BoxFuture, clock};

/// What a task does once it reaches CS_SOFT_EXECUTE.
pub(super) type SoftStep =
    Box<dyn for<'a> FnOnce(&'a mut Session) -> BoxFuture<'a, AppResult> + Send>;

/// How long a leg may take to reach the state a bridge needs it in.
pub(super) const STATE_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(5);

impl Session {
    /// Bridges to a leg that is up, until one of the two ends or is taken away.
    ///
    /// # Errors
    /// [`Interrupt`] when this call ended or moved.
    pub async fn bridge_to(&mut self, peer: &Arc<Channel>) -> AppResult {
        if [&self.channel, peer].iter().all(|leg| super::bypass::is_on(leg)) {
            return super::bypass::signal_bridge(self, peer);
        }
        let key = self.channel.var("bridge_terminate_key").unwrap_or_default();
        self.bridge_until(peer, key.get(..1).unwrap_or_default()).await.map(drop)
    }

    /// [`Session::bridge_to`] that this leg's far end may also end by one of `keys`; returns the key.
    ///
    /// # Errors
    /// [`Interrupt`] when this call ended or moved.
    pub async fn bridge_until(
        &mut self,
        peer: &Arc<Channel>,
        keys: &str,
    ) -> Result<Option<char>, Interrupt> {
        let own = Arc::clone(&self.channel);
        if super::originate::hand_over(&own, Ok(peer)) {
            return Err(Interrupt::Hangup);
        }
        export(&own, peer);
        export(peer, &own);
        let bridge = Bridge::new(own.uuid(), peer.uuid());
        join(&bridge, &own, peer);
        fire_bridge(&own, EventName::ChannelBridge, peer);
        name_partners(&own, peer);
        pre_execute_variables(&own, peer);
        peer.set_state(State::ExchangeMedia);
        self.pre_execute().await;
        connect_media(&own, peer);
        self.run_bridge_hooks(true).await;
        let result = self.bridge_loop(&bridge, peer, keys).await;
        super::hold::leave_bridge(&own);
        if !peer.flags.kept.load(Ordering::Relaxed) {
            peer.stop_broadcast();
        }
        separate(&bridge, &own, peer);
        self.run_bridge_hooks(false).await;
        result
    }

    /// `bridge_pre_execute_app`, on each leg before audio flows.
    async fn pre_execute(&mut self) {
        let channel = Arc::clone(&self.channel);
        if let Some(app) = channel.var("bridge_pre_execute_app") {
            let data = channel.var("bridge_pre_execute_data").unwrap_or_default();
            let _ended = Box::pin(self.execute(&app, &data)).await;
        }
    }

    async fn bridge_loop(
        &mut self,
        bridge: &Arc<Bridge>,
        peer: &Arc<Channel>,
        keys: &str,
    ) -> Result<Option<char>, Interrupt> {
        let mut peer_watch = peer.watch();
        let mut shown = false;
        let mut answer_limit = answer_limit(&self.channel);
        let mut leaves_media = [&self.channel, peer].iter().any(|leg| bypass_wanted(leg));
        loop {
            if self.channel.is_answered() {
                answer_limit = None;
                if leaves_media && peer.is_answered() {
                    leaves_media = false;
                    super::bypass::nomedia(&self.channel, Some(peer.uuid()));
                }
            }
            if answer_limit.is_some_and(|limit| tokio::time::Instant::now() >= limit) {
                if !self.channel.is_true("continue_on_answer_timeout") {
                    self.channel.hangup(Cause::ALLOTTED_TIMEOUT);
                    return Err(Interrupt::Hangup);
                }
                return Ok(None);
            }
            if !shown && super::display::can_be_told(&self.channel, peer) {
                super::display::of_bridge(&self.channel, peer);
                shown = true;
            }
            while let Some(digit) = self.take_digit() {
                if keys.contains(digit.digit) {
                    return Ok(Some(digit.digit));
                }
                pass_on(&self.channel, peer, digit);
            }
            if peer.state() != State::ExchangeMedia || !peer.is_in(bridge) {
                if self.channel.flags.kept.load(Ordering::Relaxed) {
                    self.wait(None).await?;
                    continue;
                }
                if !self.channel.flags.awaited.load(Ordering::Relaxed) {
                    return Ok(None);
                }
                // The task that takes this leg over moves it, or lets it go on.
                let until = tokio::time::Instant::now() + STATE_TIMEOUT;
                if matches!(self.wait(Some(until)).await?, super::session::Wake::Timeout) {
                    self.channel.flags.awaited.store(false, Ordering::Relaxed);
                }
                continue;
            }
            if !self.channel.is_answered() && peer.is_answered() {
                self.channel.note_partner(peer);
                self.answer().await?;
            }
            let _something = self.wait_or(answer_limit, peer_watch.changed()).await?;
        }
    }
}

/// CS_EXCHANGE_MEDIA: the other side of a bridge. The originator's task decides when it ends.
pub(super) async fn exchange_media(session: &mut Session) -> AppResult {
    session.run_bridge_hooks(true).await;
    let result = exchange(session).await;
    super::hold::leave_bridge(&session.channel);
    session.run_bridge_hooks(false).await;
    result
}

async fn exchange(session: &mut Session) -> AppResult {
    let own = Arc::clone(&session.channel);
    session.pre_execute().await;
    if !own.is_answered() && own.partner().is_some_and(|partner| partner.is_answered()) {
        session.answer().await?;
    }
    loop {
        while let Some(digit) = session.take_digit() {
            if let Some(partner) = own.partner() {
                pass_on(&own, &partner, digit);
            }
        }
        session.wait(None).await?;
    }
}

/// Gives a digit to the partner's far end, where the media engine does not: it sends on what it hears, unless the
/// tasks are to decide about each digit.
fn pass_on(own: &Channel, partner: &Channel, digit: super::endpoint::Digit) {
    let heard = matches!(digit.source, DigitSource::Rtp | DigitSource::Inband);
    if heard && !own.flags.digits_by_task.load(Ordering::Relaxed)
        || own.is_true("bridge_filter_dtmf")
    {
        return;
    }
    let _full = partner.job(Box::new(move |session| {
        Box::pin(async move {
            let digits = super::endpoint::Indication::Digits(vec![digit]);
            let _done = session.indicate(digits).await;
        })
    }));
}

/// Keys were bound or freed: decides anew who passes digits on.
pub fn digits_changed(channel: &Arc<Channel>) {
    if let Some(partner) = channel.partner() {
        connect_media(channel, &partner);
    }
}

/// Book-keeping of a new bridge on both legs.
fn join(bridge: &Arc<Bridge>, own: &Arc<Channel>, peer: &Arc<Channel>) {
    let now = clock::now_us();
    let own_profile = own.profile();
    let peer_profile = peer.profile();
    own.with(|data| {
        data.bridge = Some(Arc::clone(bridge));
        // Legs joined by uuid_bridge show each other already, as they were before.
        if !matches!(&data.other, Some((OtherType::Originatee, shown)) if shown.uuid == **peer.uuid()) {
            data.other = Some((OtherType::Originatee, peer_profile.clone()));
        }
        if let Some(profile) = &mut data.profile
            && profile.times.bridged == 0
        {
            profile.times.bridged = now;
        }
    });
    peer.with(|data| {
        data.bridge = Some(Arc::clone(bridge));
        if data.other.is_none() {
            data.other = Some((OtherType::Originator, own_profile));
        }
        if let Some(profile) = &mut data.profile
            && profile.times.bridged == 0
        {
            profile.times.bridged = now;
        }
    });
    for observer in own.switch().observers() {
        [own, peer].into_iter().for_each(|leg| observer.bridged(leg));
    }
    for leg in [own, peer] {
        // What moved a leg before this bridge says nothing about its end.
        leg.flags.transferred.store(false, Ordering::Relaxed);
    }
    own.unlink(Link::Dialled);
    for (leg, other) in [(own, peer), (peer, own)] {
        if leg.var("signal_bond").as_deref() != Some(&**other.uuid()) {
            leg.link(Link::Bond, other);
        }
    }
    peer.set_var("call_uuid", own.var("call_uuid").unwrap_or_else(|| own.uuid().to_string()));
}

/// When a caller that is bridged unanswered (early media) must have been answered (`bridge_answer_timeout`, seconds).
fn answer_limit(own: &Channel) -> Option<tokio::time::Instant> {
    let seconds = u64::try_from(crate::text::int(&own.var("bridge_answer_timeout")?)).ok()?;
    let limit = tokio::time::Instant::now().checked_add(std::time::Duration::from_secs(seconds));
    limit.filter(|_| !own.is_answered())
}

/// `bypass_media_after_bridge`: once both are answered, media flows past the switch. A loopback leg has no far end that
/// could be told.
fn bypass_wanted(leg: &Channel) -> bool {
    leg.is_true("bypass_media_after_bridge") && !leg.name().starts_with("loopback/")
}

/// `bridge_export_vars` of one leg become variables of the other.
pub(super) fn export(from: &Channel, to: &Channel) {
    const LIST: &str = "bridge_export_vars";
    let Some(list) = from.var(LIST) else { return };
    to.set_var(LIST, list.as_str());
    for name in list.split(',').filter(|name| !name.is_empty()) {
        if let Some(value) = from.var(name) {
            let plain = name
                .strip_prefix("nolocal:")
                .or_else(|| name.strip_prefix("_nolocal_"))
                .unwrap_or(name);
            to.set_var(plain.to_owned(), value);
        }
    }
}

/// The originator may name an application for each leg that runs before audio flows.
fn pre_execute_variables(own: &Channel, peer: &Channel) {
    for (leg, side) in [(own, "aleg"), (peer, "bleg")] {
        if let Some(app) = own.var(&format!("bridge_pre_execute_{side}_app")) {
            leg.set_var("bridge_pre_execute_app", app);
            if let Some(data) = own.var(&format!("bridge_pre_execute_{side}_data")) {
                leg.set_var("bridge_pre_execute_data", data);
            }
        }
    }
}

/// The variables that name the other leg, set once the bridge has been announced.
fn name_partners(own: &Channel, peer: &Channel) {
    for (leg, other) in [(own, peer), (peer, own)] {
        leg.link(Link::BridgedTo, other);
        leg.link(Link::LastBridgedTo, other);
        leg.set_var("bridge_channel", other.name());
        leg.set_var("bridge_uuid", &**other.uuid());
        leg.link(Link::Bond, other);
    }
}

pub(super) fn fire_bridge(own: &Channel, name: EventName, peer: &Channel) {
    let ids = |event: &mut Event| {
        event.push("Bridge-A-Unique-ID", &**own.uuid());
        event.push("Bridge-B-Unique-ID", &**peer.uuid());
    };
    let columns = peer.presence_columns();
    own.fire_with(name, ids, |event| {
        for (column, value) in columns {
            event.push(format!("Bridge-B-PD-{column}"), value);
        }
    });
}

pub(super) fn connect_media(own: &Channel, peer: &Channel) {
    let by_task = [own, peer].iter().any(|leg| {
        leg.flags.filters_digits.load(Ordering::Relaxed)
            || leg.is_true("bridge_filter_dtmf")
            || super::digit_guard::guards(leg)
            || !leg.sends_digits_in_media()
    });
    for leg in [own, peer] {
        leg.flags.digits_by_task.store(by_task, Ordering::Relaxed);
    }
    let options = media::BridgeOptions { forward_dtmf: !by_task };
    if let (Some(a), Some(b)) = (own.media(), peer.media())
        && let Err(error) = a.bridge_with(&b, options)
    {
        tracing::error!(uuid = %own.uuid(), "Cannot connect the media of {} and {}: {error}", own.name(), peer.name());
    }
}

/// The bridge is over: media apart, variables, UNBRIDGE, and the partner's fate.
fn separate(bridge: &Arc<Bridge>, own: &Arc<Channel>, peer: &Arc<Channel>) {
    if let Some(media) = own.media() {
        let _gone = media.unbridge();
    }
    // Another task may have bridged the peer before this leg's task came to its end.
    let elsewhere = peer.bridge().is_some_and(|other| !Arc::ptr_eq(&other, bridge));
    if !elsewhere {
        // Leg B is out of the bridge before it is told to end; only the originator ends as "bridged".
        peer.with(|data| data.bridge = None);
        peer.unlink(Link::BridgedTo);
    }
    if elsewhere {
        tracing::debug!(uuid = %own.uuid(), "{} is bridged to somebody else", peer.name());
    } else if let Some(cause) = peer.cause() {
        own.set_var("bridge_hangup_cause", cause.name());
        post_bridge::held_partner(peer, own);
    } else if peer.is_up()
        && (peer.flags.awaited.swap(false, Ordering::Relaxed)
            || peer.flags.kept.load(Ordering::Relaxed))
    {
        // An attended transfer: the leg waits where the transferor finds it.
        peer.set_state(State::Park);
    } else if peer.state() == State::ExchangeMedia
        && !peer.flags.transferred.load(Ordering::Relaxed)
    {
        if let Some(cause) = own.cause() {
            peer.set_var("last_bridge_hangup_cause", cause.name());
            if let Some(specific) = own.var("proto_specific_hangup_cause") {
                peer.set_var("last_bridge_proto_specific_hangup_cause", specific);
            }
        }
        post_bridge::held_partner(own, peer);
        post_bridge::of_partner(peer);
        if let Some(cause) = peer.cause() {
            own.set_var("bridge_hangup_cause", cause.name());
        }
    }
    own.with(|data| data.bridge = None);
    for observer in own.switch().observers() {
        [own, peer].into_iter().for_each(|leg| observer.unbridged(leg));
    }
    own.unlink(Link::BridgedTo);
    if let Some(cause) = own.cause() {
        peer.set_var("bridge_hangup_cause", cause.name());
    }
    if !elsewhere {
        peer.set_var("call_uuid", &**peer.uuid());
        peer.flags.transferred.store(false, Ordering::Relaxed);
    }
    fire_bridge(own, EventName::ChannelUnbridge, peer);
}
