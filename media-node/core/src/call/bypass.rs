//! Media that does not pass through the switch (`bypass_media`), and the way back.
//!
//! Both legs of such a call rest in CS_HIBERNATE ("signal bridge"). The leg that leaves first, by hangup or transfer, calls
//! [`leave`]: it takes the bond from both, so it happens once.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use esl_server::event::EventName;

use super::bridge::{self, Bridge};
use super::cause::Cause;
use super::channel::{Channel, OtherType};
use super::description::OF_FAR_END;
use super::endpoint::Indication;
use super::links::Link;
use super::session::{AppResult, Interrupt, Session};
use super::state::State;
use super::uuid_bridge;
use crate::clock;

/// Descriptions are to pass between the far ends, and it is still possible: the caller has no media yet. With
/// `proxy_media` packets pass through the switch all the same, unlooked at.
#[must_use]
pub fn wanted(channel: &Channel) -> bool {
    (channel.is_true("bypass_media") || channel.is_true("proxy_media")) && !channel.has_media()
}

/// Is media past the switch on for this leg?
#[must_use]
pub fn is_on(channel: &Channel) -> bool {
    channel.flags.bypass_media.load(Ordering::Relaxed)
}

/// `sendmsg nomedia` and `uuid_media off`: lets the two far ends exchange media directly.
pub fn nomedia(channel: &Arc<Channel>, other: Option<&str>) {
    let partner =
        other.and_then(|uuid| channel.switch().channel(uuid)).or_else(|| channel.partner());
    let Some(partner) = partner else { return };
    exchange(channel, &partner);
    exchange(&partner, channel);
}

/// Offers `to` the media description of `from`.
fn exchange(from: &Arc<Channel>, to: &Arc<Channel>) {
    let Some(offer) = from.description(OF_FAR_END) else { return };
    to.flags.bypass_media.store(true, Ordering::Relaxed);
    let _full = to.job(Box::new(move |session| {
        Box::pin(async move {
            let _done = session.indicate(Indication::Offer(offer)).await;
        })
    }));
}

/// `uuid_media`: brings the media of both legs back through the switch. False if it is here already.
pub fn media(channel: &Arc<Channel>) -> bool {
    if !is_on(channel) {
        return false;
    }
    let partner = channel.partner();
    for leg in [Some(channel), partner.as_ref()].into_iter().flatten() {
        leg.flags.bypass_media.store(false, Ordering::Relaxed);
        let _full = leg.job(Box::new(|session| {
            Box::pin(async move {
                let _done = session.indicate(Indication::LocalMedia).await;
            })
        }));
    }
    if channel.bridge().is_some_and(|bridge| bridge.is_signal_only())
        && let Some(partner) = partner
    {
        // Two hibernating legs become an ordinary bridge, the originator first.
        let leads = channel.leads();
        let (a, b) = if leads { (channel, &partner) } else { (&partner, channel) };
        uuid_bridge::join(a, b);
    }
    true
}

/// Both legs rest while their far ends talk directly. The caller's dialplan goes on when the other leaves.
///
/// # Errors
/// Always: the caller leaves CS_EXECUTE for CS_HIBERNATE.
pub(super) fn signal_bridge(session: &Session, peer: &Arc<Channel>) -> AppResult {
    let own = Arc::clone(&session.channel);
    bridge::export(&own, peer);
    bridge::export(peer, &own);
    let now = clock::now_us();
    let profiles = (own.profile(), peer.profile());
    let bridge = Bridge::signal_only(own.uuid(), peer.uuid());
    for (leg, profile, kind) in
        [(&own, profiles.1, OtherType::Originatee), (peer, profiles.0, OtherType::Originator)]
    {
        leg.with(|data| {
            data.bridge = Some(Arc::clone(&bridge));
            if data.other.is_none() || kind == OtherType::Originatee {
                data.other = Some((kind, profile));
            }
            if let Some(profile) = &mut data.profile
                && profile.times.bridged == 0
            {
                profile.times.bridged = now;
            }
        });
    }
    own.unlink(Link::Dialled);
    own.link(Link::Bond, peer);
    own.link(Link::SignalBridgedTo, peer);
    own.set_var("signal_bridge", "true");
    peer.set_var("signal_bridge", "true");
    super::display::of_bridge(&own, peer);
    own.link(Link::BridgedTo, peer);
    own.link(Link::LastBridgedTo, peer);
    peer.link(Link::LastBridgedTo, &own);
    peer.set_state(State::Hibernate);
    own.set_state(State::Hibernate);
    Err(Interrupt::Moved)
}

/// CS_HIBERNATE of either leg.
pub(super) async fn hibernate(session: &mut Session) -> AppResult {
    let own = Arc::clone(&session.channel);
    let partner = own.bridge().filter(|bridge| bridge.is_signal_only()).and_then(|_| own.partner());
    let leads = own.leads();
    let Some(partner) = partner else {
        loop {
            session.wait(None).await?;
        }
    };
    if leads {
        bridge::fire_bridge(&own, EventName::ChannelBridge, &partner);
    }
    let mut watch = partner.watch();
    let result = loop {
        if !own.is_answered() && partner.is_answered() {
            own.note_partner(&partner);
            if let Err(interrupt) = session.answer().await {
                break interrupt;
            }
        }
        while session.take_digit().is_some() {}
        if let Err(interrupt) = session.wait_or(None, watch.changed()).await {
            break interrupt;
        }
        if !partner.is_up() {
            // The partner's task arranges what follows; this only spares a busy loop on a closed watch.
            watch = own.watch();
        }
    };
    if result == Interrupt::Moved {
        leave(&own);
    }
    Err(result)
}

/// The leg leaves its signal bridge: says so, and decides what becomes of the other leg.
pub(super) fn leave(own: &Arc<Channel>) {
    let taken = own.with(|data| data.bridge.take_if(|bridge| bridge.is_signal_only()));
    let Some(bridge) = taken else { return };
    let Some(other) = own.switch().channel(bridge.partner_of(own.uuid())) else { return };
    // The leg that leaves first sees to both.
    if other.with(|data| data.bridge.take_if(|now| Arc::ptr_eq(now, &bridge))).is_none() {
        return;
    }
    let leads = bridge.is_driven_by(own.uuid());
    for (leg, from) in [(own, &other), (&other, own)] {
        leg.unlink(Link::SignalBridgedTo);
        leg.unlink(Link::BridgedTo);
        if let Some(cause) = from.cause() {
            leg.set_var("last_bridge_hangup_cause", cause.name());
            if let Some(specific) = from.var("proto_specific_hangup_cause") {
                leg.set_var("last_bridge_proto_specific_hangup_cause", specific);
            }
        }
    }
    let (originator, originatee) = if leads { (own, &other) } else { (&other, own) };
    originatee.set_var("call_uuid", &**originatee.uuid());
    bridge::fire_bridge(originator, EventName::ChannelUnbridge, originatee);
    if !other.is_up() || other.flags.transferred.load(Ordering::Relaxed) {
        return;
    }
    match own.cause() {
        // Transferred away: the far ends no longer reach each other.
        None => other.hangup(Cause::BLIND_TRANSFER),
        Some(cause) if leads || other.is_true("hangup_after_bridge") => other.hangup(cause),
        Some(_) if other.is_true("park_after_bridge") => drop(other.set_state(State::Park)),
        Some(_) => drop(other.set_state(State::Execute)),
    }
}
