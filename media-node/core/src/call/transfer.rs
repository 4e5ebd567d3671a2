//! Blind transfer: the same leg, a new profile, routed anew.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::cause::Cause;
use super::channel::{Channel, OtherType};
use super::state::{Direction, State};
use crate::{clock, text};

/// Sends the channel to a number. Dialplan and context default to the channel's own.
///
/// Returns false when the loop guard (`max_forwards`, `max_session_transfers`) ended the call instead.
pub fn transfer(
    channel: &Arc<Channel>,
    exten: &str,
    dialplan: Option<&str>,
    context: Option<&str>,
) -> bool {
    if !channel.is_up() {
        return false;
    }
    let guard = if channel.var("max_session_transfers").is_some() {
        "max_session_transfers"
    } else {
        "max_forwards"
    };
    let left = channel.var(guard).map_or(70, |value| text::int(&value)) - 1;
    channel.set_var(guard, left.max(0).to_string());
    if left <= 0 {
        channel.hangup(Cause::EXCHANGE_ROUTING_ERROR);
        return false;
    }
    channel.unset_var("temp_hold_music");
    channel.leave_broadcasts();
    channel.switch().observers().iter().for_each(|observer| observer.transferred(channel));
    let exten = if exten.is_empty() { "service" } else { exten };
    let chosen = |given: Option<&str>, forced: &str| {
        given.filter(|text| !text.is_empty()).map(str::to_owned).or_else(|| channel.var(forced))
    };
    let dialplan = chosen(dialplan, "force_transfer_dialplan");
    let context = chosen(context, "force_transfer_context");
    let source = channel.with(|data| {
        let now = clock::now_us();
        let mut profile = data
            .profile
            .clone()
            .unwrap_or_else(|| super::CallerProfile::new(Direction::Inbound, now));
        let mut past = profile.clone();
        let dialplan = dialplan
            .or_else(|| {
                Some(profile.dialplan.clone())
                    .filter(|name| !name.is_empty() && !name.starts_with("inline"))
            })
            .unwrap_or_else(|| "XML".into());
        let context = context
            .or_else(|| Some(profile.context.clone()).filter(|name| !name.is_empty()))
            .unwrap_or_else(|| "default".into());
        profile.rdnis = std::mem::replace(&mut profile.destination_number, exten.to_owned());
        profile.dialplan = dialplan;
        profile.context = context;
        profile.id = clock::new_uuid();
        profile.times.profile_created = now;
        profile.times.transferred = 0;
        profile.times.bridged = 0;
        profile.profile_index = (text::int(&profile.profile_index) + 1).to_string();
        let source = format!(
            "{}:{}:bl_xfer:{}/{}/{}",
            now / 1_000_000,
            past.id,
            profile.destination_number,
            profile.context,
            profile.dialplan
        );
        profile.transfer_source.clone_from(&source);
        past.times.transferred = now;
        data.past_profiles.push(past);
        if matches!(data.other, Some((OtherType::Originatee, _))) {
            data.other = None;
        }
        data.profile = Some(profile);
        data.extension = None;
        source
    });
    channel.push_var("transfer_history", &source);
    channel.set_var("transfer_source", source);
    channel.flags.transferred.store(true, Ordering::Relaxed);
    channel.flags.transfer_hooks.store(true, Ordering::Relaxed);
    tracing::info!(
        uuid = %channel.uuid(), fs_level = "NOTICE",
        "Transfer {} to {}", channel.name(), exten
    );
    if channel.state() == State::Routing {
        // Routing anew from within routing: the task must see a change.
        channel.set_state(State::Reset);
    }
    channel.set_state(State::Routing)
}

/// Which legs a transfer moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Legs {
    /// The leg itself.
    Own,
    /// Its partner only.
    Partner,
    /// Both.
    Both,
}

/// Transfers the leg, its partner or both; false if there was nothing to transfer.
pub fn transfer_legs(
    channel: &Arc<Channel>,
    legs: Legs,
    exten: &str,
    dialplan: Option<&str>,
    context: Option<&str>,
) -> bool {
    let partner = channel.partner();
    let mut moved = false;
    if legs != Legs::Own {
        match &partner {
            Some(partner) => {
                if legs == Legs::Both {
                    partner.set_var("park_after_bridge", "");
                } else {
                    tell_moved(channel, partner);
                }
                moved |= transfer(partner, exten, dialplan, context);
            }
            None => tracing::warn!(uuid = %channel.uuid(), "No B-leg present."),
        }
    }
    if legs != Legs::Partner {
        moved |= transfer(channel, exten, dialplan, context);
    }
    moved
}

/// The leg leaves its partner by a transfer of the partner.
fn tell_moved(from: &Channel, to: &Arc<Channel>) {
    from.switch().observers().iter().for_each(|observer| observer.moved(from, to));
}

/// A transfer asked for by a far end.
pub struct Refer {
    /// Where to.
    pub to: String,
    /// `Refer-To` as it came.
    pub refer_to: String,
    /// `Referred-By` as it came.
    pub referred_by: Option<String>,
    /// UUID of the local call that is to be replaced.
    pub replaces: Option<String>,
}

/// A far end asks, by REFER, to transfer its partner.
pub fn on_refer(channel: &Arc<Channel>, refer: &Refer) {
    let Some(partner) = channel.partner() else {
        channel.fire_custom(
            "sofia::error",
            |event| {
                event.push("Error-Type", "blind_transfer");
            },
            |_| {},
        );
        return;
    };
    tell_moved(channel, &partner);
    partner.set_var("sip_refer_to", refer.refer_to.as_str());
    if let Some(by) = &refer.referred_by {
        partner.set_var("sip_h_Referred-By", by.as_str());
    }
    if let Some(other) = refer.replaces.as_deref().and_then(|uuid| channel.switch().channel(uuid)) {
        // Attended: the two far ends come together, the transferor's legs go.
        let far = other.partner().unwrap_or_else(|| Arc::clone(&other));
        channel.set_var("transfer_to", format!("att:{}", far.uuid()));
        super::uuid_bridge::join(&partner, &far);
        other.hangup(Cause::ATTENDED_TRANSFER);
        channel.hangup(Cause::ATTENDED_TRANSFER);
        return;
    }
    channel.set_var("transfer_to", format!("blind:{}", partner.uuid()));
    channel.set_var("transfer_destination", format!("blind:{}", refer.to));
    channel.set_var("transfer_disposition", "recv_replace");
    channel.set_var("transfer_fallback_extension", channel.profile().destination_number);
    channel.set_var("endpoint_disposition", "BLIND_TRANSFER");
    channel.unset_var("signal_bond");
    partner.unset_var("signal_bond");
    transfer(&partner, &refer.to, None, None);
    if channel.flags.bridge_originator.load(Ordering::Relaxed) {
        channel.hangup(Cause::BLIND_TRANSFER);
    }
}
