//! One leg of an originate: its caller profile, its variables, its start.

use std::sync::Arc;
use std::time::Duration;

use base::far;
use esl_server::event::EventName;
use tokio::sync::oneshot;

use super::super::cause::Cause;
use super::super::channel::{Channel, OtherType};
use super::super::description::OF_PARTNER;
use super::super::dialstring::{DialLeg, DialledUser, Variables};
use super::super::endpoint::OutgoingCall;
use super::super::links::Link;
use super::super::profile::{CallerProfile, Times};
use super::super::state::Direction;
use super::options::{Early, Options};
use super::race::Ringing;
use super::{Attempt, Request, find};
use crate::{clock, text};

/// Makes a leg; it starts when the race starts it.
pub(super) async fn start_leg(
    attempt: &Attempt<'_>,
    options: &Options,
    global: &Variables,
    leg: &DialLeg,
    caller: Option<&Arc<Channel>>,
) -> Result<Ringing, Cause> {
    let switch = attempt.switch;
    let endpoint = switch.endpoint(&leg.endpoint).ok_or_else(|| {
        tracing::error!("Could not locate channel type {}", leg.endpoint);
        Cause::CHAN_NOT_IMPLEMENTED
    })?;
    let mut variables = global.clone();
    variables.extend(leg.local.iter().cloned());
    // A leg of its own may still belong to a call: it is described by that call, not tied to it.
    let related = find(&variables, "origination_aleg_uuid").and_then(|uuid| switch.channel(uuid));
    let caller = caller.cloned().or(related);
    let hops = caller.as_deref().map_or(Ok(0), hops_left)?;
    let of_whom = caller.as_ref().or(attempt.on_behalf.as_ref());
    let profile = profile_for(attempt.request, &variables, of_whom.map(Arc::as_ref));
    let uuid = find(&variables, "origination_uuid").map(str::to_owned);
    let call = OutgoingCall {
        destination: match endpoint.reads_marks() {
            true => leg.rest.clone(),
            false => far::plain(&leg.rest).into_owned(),
        },
        variables: variables.clone(),
        profile,
        uuid,
        originator: caller.clone(),
    };
    let mut session = endpoint.outgoing(call).await?;
    let channel = Arc::clone(session.channel());
    if let Some(caller) = &caller {
        tie_to_caller(&channel, caller, hops);
    }
    let marks = |name: &str, value: &str| marked(&attempt.far, caller.as_deref(), name, value);
    if let Some(caller) = &caller {
        note_attempt(caller, &channel);
    }
    switch.add_channel(&channel)?;
    if find(&variables, "origination_uuid").is_some() {
        channel.fire_with(
            EventName::ChannelUuid,
            |event| {
                event.push("Old-Unique-ID", clock::new_uuid());
            },
            |_| {},
        );
    }
    channel.with(|data| {
        data.state = super::super::State::Init;
        if let Some(id) = find(&variables, "origination_external_id") {
            Arc::make_mut(&mut data.vars).set("session_external_id", id.to_owned());
        }
        if let Some(name) = find(&variables, "origination_channel_name") {
            name.clone_into(&mut data.name);
        }
    });
    channel.fire(EventName::ChannelOutgoing);
    // As in the reference a leg's variables come after its announcement.
    share_call_uuid(&channel, caller.as_ref());
    set_leg_variables(&channel, global, &leg.local, marks);
    let early = options.early == Early::Wins;
    set_started_variables(&channel, endpoint.name(), caller.as_ref(), of_whom, early);
    session.run_hooks("originate").await;
    let (start, started) = oneshot::channel();
    crate::foreign::spawn(async move {
        // Dropped unsent, the leg is not wanted any more: it starts, and ends as it was told.
        let _wanted = started.await;
        session.start();
    });
    let mut ringing = Ringing::new(channel, start);
    let seconds = |name: &str| {
        let seconds = u64::try_from(text::int(find(&variables, name)?)).ok()?;
        (seconds > 0).then(|| Duration::from_secs(seconds))
    };
    ringing.starts += seconds("leg_delay_start").unwrap_or_default();
    let starts = ringing.starts;
    ringing.deadline = seconds("leg_timeout").map(|time| starts + time);
    ringing.progress_deadline = seconds("leg_progress_timeout")
        .or_else(|| seconds("progress_timeout"))
        .map(|time| starts + time);
    ringing.required = find(&variables, "leg_required").is_some_and(text::is_true);
    ringing.ignores_early_media = find(&leg.local, "ignore_early_media").is_some_and(text::is_true);
    ringing.pickup = leg.endpoint.eq_ignore_ascii_case("pickup");
    ringing.context_variable = leg.context_variable;
    ringing.users = leg
        .users
        .iter()
        .map(|user| ThroughUser {
            user: user.clone(),
            caller: caller.clone(),
            of_whom: of_whom.cloned(),
            hops,
        })
        .collect();
    Ok(ringing)
}

/// A leg dialled through a directory's user. The reference calls the user's dial string as a call of its own and then
/// takes the leg over, which programs see: CHANNEL_OUTGOING comes again.
pub(super) struct ThroughUser {
    user: DialledUser,
    caller: Option<Arc<Channel>>,
    of_whom: Option<Arc<Channel>>,
    hops: i64,
}

impl ThroughUser {
    /// The leg is connected, or one of several that ring: it becomes the user's.
    pub(super) fn take_over(self, channel: &Arc<Channel>) {
        take_context(channel, "user_context");
        for (name, value) in &self.user.variables {
            channel.set_var(name.clone(), value.as_str());
        }
        if let Some(caller) = &self.caller {
            show_callee(caller, channel);
            tie_to_caller(channel, caller, self.hops);
            note_attempt(caller, channel);
        }
        channel.fire(EventName::ChannelOutgoing);
        let (caller, of_whom) = (self.caller.as_ref(), self.of_whom.as_ref());
        set_started_variables(channel, "user", caller, of_whom, true);
    }
}

/// A connected leg's context is what that variable of its own says, if it says anything.
pub(super) fn take_context(channel: &Channel, variable: &str) {
    let Some(context) = channel.var(variable) else { return };
    channel.with(|data| {
        if let Some(profile) = &mut data.profile {
            profile.context = context;
        }
    });
}

/// How many more calls may be made one out of another; none is a loop.
fn hops_left(caller: &Channel) -> Result<i64, Cause> {
    let left = caller.var("max_forwards").map_or(70, |value| text::int(&value) - 1);
    if left <= 0 {
        tracing::error!(uuid = %caller.uuid(), "{} calls itself: max_forwards is used up", caller.name());
        return Err(Cause::EXCHANGE_ROUTING_ERROR);
    }
    Ok(left)
}

/// The caller profile a new leg starts with.
fn profile_for(
    request: &Request,
    variables: &Variables,
    caller: Option<&Channel>,
) -> CallerProfile {
    let now = clock::now_us();
    let mut profile = match caller {
        Some(caller) => {
            let mut profile = caller.profile();
            profile.times = Times::at(now);
            let own = &mut *profile;
            own.direction = Direction::Outbound;
            own.logical_direction = Direction::Outbound;
            own.callee_id_name.clear();
            own.callee_id_number.clear();
            own.rdnis.clear();
            own.transfer_source.clear();
            own.soft.clear();
            own.profile_index = "1".into();
            for (field, variable) in [
                (&mut own.caller_id_name, "effective_caller_id_name"),
                (&mut own.caller_id_number, "effective_caller_id_number"),
                (&mut own.ani, "effective_ani"),
                (&mut own.aniii, "effective_aniii"),
            ] {
                if let Some(value) = caller.var(variable) {
                    *field = value;
                }
            }
            own.id = clock::new_uuid();
            profile
        }
        None => {
            let mut profile = CallerProfile::new(Direction::Outbound, now);
            let own = &mut *profile;
            own.caller_id_name = request.cid_name.clone().unwrap_or_default();
            own.caller_id_number =
                request.cid_number.clone().unwrap_or_else(|| "0000000000".into());
            own.source = "src/switch_ivr_originate.c".into();
            own.context = "default".into();
            profile
        }
    };
    if let Some(name) = find(variables, "origination_caller_id_name") {
        name.clone_into(&mut profile.caller_id_name);
    }
    if let Some(number) = find(variables, "origination_caller_id_number") {
        number.clone_into(&mut profile.caller_id_number);
    }
    if caller.is_none() {
        profile.ani = profile.caller_id_number.clone();
    }
    if let Some(ani) = find(variables, "origination_ani") {
        ani.clone_into(&mut profile.ani);
    }
    if let Some(aniii) = find(variables, "origination_aniii") {
        aniii.clone_into(&mut profile.aniii);
    }
    if let Some(privacy) = find(variables, "origination_privacy") {
        profile.screen |= privacy.contains("screen");
        profile.hide_name = privacy.contains("hide_name");
        profile.hide_number = privacy.contains("hide_number");
    }
    if caller.is_none() {
        profile.orig_caller_id_name = profile.caller_id_name.clone();
        profile.orig_caller_id_number = profile.caller_id_number.clone();
    }
    let callee = |name: &str| find(variables, name).map(str::to_owned);
    profile.callee_id_name =
        callee("origination_callee_id_name").unwrap_or_else(|| "Outbound Call".into());
    profile.callee_id_number = callee("origination_callee_id_number").unwrap_or_default();
    profile
}

/// What a leg keeps of the call it is made for.
fn tie_to_caller(channel: &Channel, caller: &Channel, hops: i64) {
    channel.set_var("max_forwards", hops.to_string());
    if let Some(codec) = caller.with(|data| data.read_codec.clone()) {
        channel.set_var("originator_codec", codec.as_listed());
    } else if let Some(offered) = caller.var("ep_codec_string") {
        channel.set_var("originator_codec", offered);
    }
    channel.link(Link::Originator, caller);
    channel.link(Link::Bond, caller);
    if channel.own_var(OF_PARTNER).is_none() {
        channel.note_partner(caller);
    }
    let profile = caller.profile();
    channel.with(|data| {
        let mut copy = profile;
        copy.times = Times::default();
        data.other = Some((OtherType::Originator, copy.clone()));
        data.originator_profile = Some(copy);
    });
}

/// Variables of a new leg, in the order the reference assigns them.
fn set_leg_variables(
    channel: &Channel,
    global: &Variables,
    local: &Variables,
    marked: impl Fn(&str, &str) -> String,
) {
    let local_wins = find(global, "local_var_clobber").is_some_and(text::is_true);
    let nested = [global, local]
        .iter()
        .any(|variables| find(variables, "origination_nested_vars").is_some_and(text::is_true))
        || channel.switch().global("origination_nested_vars").is_some_and(|on| text::is_true(&on));
    let set = |(name, value): &(String, String)| {
        let value = marked(name, value);
        if nested {
            channel.set_var_as_is(name.clone(), value);
        } else {
            channel.set_var(name.clone(), value);
        }
    };
    let (first, second) = if local_wins { (global, local) } else { (local, global) };
    first.iter().for_each(set);
    second.iter().for_each(set);
}

/// A leg called by another belongs to its call.
fn share_call_uuid(channel: &Channel, caller: Option<&Arc<Channel>>) {
    if let Some(caller) = caller {
        let of_call = caller.var("call_uuid").unwrap_or_else(|| caller.uuid().to_string());
        channel.set_var("call_uuid", of_call);
    }
}

/// The value with what a far end said in it marked, when the dial string or the caller's variable of that name knows.
fn marked(far: &Variables, caller: Option<&Channel>, name: &str, value: &str) -> String {
    let same = |marked: &String| far::plain(marked) == value;
    let said = far.iter().rev().filter(|(own, _)| own.eq_ignore_ascii_case(name));
    said.map(|(_, marked)| marked.clone())
        .chain(caller.into_iter().flat_map(|caller| {
            [name.to_owned(), format!("nolocal:{name}"), format!("_nolocal_{name}")]
                .into_iter()
                .filter_map(|name| caller.var_marked(&name))
        }))
        .find(same)
        .unwrap_or_else(|| value.to_owned())
}

/// What a leg is told once it has been announced.
fn set_started_variables(
    channel: &Channel,
    endpoint: &'static str,
    caller: Option<&Arc<Channel>>,
    of_whom: Option<&Arc<Channel>>,
    early: bool,
) {
    channel.set_var("originate_early_media", if early { "true" } else { "false" });
    if let Some(whom) = of_whom {
        channel.link(Link::OriginatingLeg, whom);
        if caller.is_none() {
            whom.push_var("originated_legs", &attempt_entry(channel));
        }
    }
    channel.set_var("originate_endpoint", endpoint);
}

/// The caller notes whom it calls.
fn note_attempt(caller: &Channel, leg: &Channel) {
    caller.link(Link::Dialled, leg);
    caller.push_var("originated_legs", &attempt_entry(leg));
}

fn attempt_entry(leg: &Channel) -> String {
    let profile = leg.profile();
    format!("{};{};{}", leg.uuid(), profile.callee_id_name, profile.callee_id_number)
}

/// The caller's profile names whom it is about to talk to, from the first ringing on.
pub(super) fn show_callee(caller: &Channel, leg: &Channel) {
    let profile = leg.profile();
    caller.with(|data| {
        if let Some(own) = &mut data.profile {
            own.callee_id_name = profile.callee_id_name.clone();
            own.callee_id_number = profile.callee_id_number.clone();
        }
    });
}
