//! Blind transfer: the same leg, a new profile, routed anew.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::cause::Cause;
use super::channel::{Channel, OtherType};
use super::state::{Direction, State};
use crate::{clock, text};

/// Sends the channel to a number, marked where a far end chose it ([`base::far`]). Dialplan and context default to the
/// channel's own.
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
        let before = profile.field_marked("destination_number").unwrap_or_default();
        profile.set_field("rdnis", &before);
        profile.set_field("destination_number", exten);
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
        "Transfer {} to {}", channel.name(), base::far::plain(exten)
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
    let moving = (legs == Legs::Both).then(|| Moving::begin(channel));
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
    drop(moving);
    moved
}

/// The leg leaves its partner by a transfer of the partner.
pub fn tell_moved(from: &Channel, to: &Arc<Channel>) {
    from.switch().observers().iter().for_each(|observer| observer.moved(from, to));
}

/// A leg whose partner is moved just before itself: what follows a bridge that ended is not for it.
pub struct Moving<'a>(&'a Channel);

impl<'a> Moving<'a> {
    /// From here on, until this is dropped.
    #[must_use]
    pub fn begin(leg: &'a Channel) -> Self {
        leg.flags.transferred.store(true, Ordering::Relaxed);
        // Only the originator of a bridge goes on by itself when its partner leaves.
        if leg.leads() {
            leg.flags.awaited.store(true, Ordering::Relaxed);
        }
        Self(leg)
    }
}

impl Drop for Moving<'_> {
    fn drop(&mut self) {
        self.0.flags.awaited.store(false, Ordering::Relaxed);
    }
}
