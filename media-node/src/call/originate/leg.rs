//! One leg of an originate: its caller profile, its variables, its start.

use std::sync::Arc;
use std::time::Duration;

use esl_server::event::EventName;
use tokio::time::Instant;

use super::super::cause::Cause;
use super::super::channel::{Channel, OtherType};
use super::super::dialstring::{DialLeg, Variables};
use super::super::endpoint::OutgoingCall;
use super::super::profile::CallerProfile;
use super::super::session::Session;
use super::super::state::Direction;
use super::{Request, Ringing, find};
use crate::switch::Switch;
use crate::{clock, text};

pub(super) async fn start_leg(
    switch: &Arc<Switch>,
    request: &Request,
    global: &Variables,
    leg: &DialLeg,
    caller: Option<&mut Session>,
) -> Result<Ringing, Cause> {
    let caller = caller.map(|session| Arc::clone(session.channel()));
    let endpoint = switch.endpoint(&leg.endpoint).ok_or_else(|| {
        tracing::error!("Could not locate channel type {}", leg.endpoint);
        Cause::CHAN_NOT_IMPLEMENTED
    })?;
    let mut variables = global.clone();
    variables.extend(leg.local.iter().cloned());
    let local_wins = find(global, "local_var_clobber").is_some_and(text::is_true);
    let profile = profile_for(request, &variables, caller.as_deref());
    let uuid = find(&variables, "origination_uuid").map(str::to_owned);
    let call = OutgoingCall {
        destination: leg.rest.clone(),
        variables: variables.clone(),
        profile,
        uuid,
        originator: caller.clone(),
    };
    let session = endpoint.outgoing(call).await?;
    let channel = Arc::clone(session.channel());
    set_leg_variables(&channel, global, &leg.local, local_wins, caller.as_ref());
    if let Some(caller) = &caller {
        note_attempt(caller, &channel);
    }
    switch.add_channel(&channel)?;
    if channel.var("origination_uuid").is_some() {
        channel.fire_with(
            EventName::ChannelUuid,
            |event| {
                event.push("Old-Unique-ID", clock::new_uuid());
            },
            |_| {},
        );
    }
    channel.with(|data| data.state = super::super::State::Init);
    channel.fire(EventName::ChannelOutgoing);
    set_started_variables(&channel, endpoint.name(), caller.as_ref());
    if find(&variables, "ignore_early_media").is_some_and(text::is_true) {
        channel.set_var("originate_early_media", "false");
    }
    let now = Instant::now();
    let after = |name: &str| {
        let seconds = u64::try_from(text::int(find(&variables, name)?)).ok().filter(|&n| n > 0)?;
        Some(now + Duration::from_secs(seconds))
    };
    let ringing = Ringing {
        channel,
        deadline: after("leg_timeout"),
        progress_deadline: after("leg_progress_timeout").or_else(|| after("progress_timeout")),
        variables: variables.clone(),
    };
    start_after_delay(session, find(&variables, "leg_delay_start"));
    Ok(ringing)
}

/// Starts the leg's task now, or after `leg_delay_start` seconds if it is still wanted then.
fn start_after_delay(session: Session, delay: Option<&str>) {
    let seconds = delay.map_or(0, |text| u64::try_from(text::int(text)).unwrap_or(0));
    if seconds == 0 {
        session.start();
        return;
    }
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_secs(seconds)).await;
        session.start();
    });
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
            let from = caller.profile();
            CallerProfile {
                direction: Direction::Outbound,
                logical_direction: Direction::Outbound,
                callee_id_name: String::new(),
                callee_id_number: String::new(),
                rdnis: String::new(),
                transfer_source: String::new(),
                soft: Vec::new(),
                profile_index: "1".into(),
                times: super::super::profile::Times {
                    profile_created: now,
                    created: now,
                    ..Default::default()
                },
                caller_id_name: caller
                    .var("effective_caller_id_name")
                    .unwrap_or(from.caller_id_name),
                caller_id_number: caller
                    .var("effective_caller_id_number")
                    .unwrap_or(from.caller_id_number),
                ..from
            }
        }
        None => CallerProfile {
            caller_id_name: request.cid_name.clone().unwrap_or_default(),
            caller_id_number: request.cid_number.clone().unwrap_or_else(|| "0000000000".into()),
            source: "src/switch_ivr_originate.c".into(),
            context: "default".into(),
            ..CallerProfile::new(Direction::Outbound, now)
        },
    };
    if let Some(name) = find(variables, "origination_caller_id_name") {
        name.clone_into(&mut profile.caller_id_name);
    }
    if let Some(number) = find(variables, "origination_caller_id_number") {
        number.clone_into(&mut profile.caller_id_number);
    }
    if caller.is_none() {
        profile.ani.clone_from(&profile.caller_id_number);
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
    profile.orig_caller_id_name.clone_from(&profile.caller_id_name);
    profile.orig_caller_id_number.clone_from(&profile.caller_id_number);
    let callee = |name: &str| find(variables, name).map(str::to_owned);
    profile.callee_id_name =
        callee("origination_callee_id_name").unwrap_or_else(|| "Outbound Call".into());
    profile.callee_id_number = callee("origination_callee_id_number").unwrap_or_default();
    profile
}

/// Variables of a new leg, in the order the reference assigns them.
fn set_leg_variables(
    channel: &Arc<Channel>,
    global: &Variables,
    local: &Variables,
    local_wins: bool,
    caller: Option<&Arc<Channel>>,
) {
    if let Some(caller) = caller {
        let left = caller.var("max_forwards").map_or(70, |value| text::int(&value)) - 1;
        channel.set_var("max_forwards", left.max(0).to_string());
        if let Some(codec) = caller.with(|data| data.read_codec.clone()) {
            channel.set_var(
                "originator_codec",
                format!("{}@{}h@{}i", codec.name, codec.rate, codec.ptime),
            );
        }
        channel.set_var("originator", &**caller.uuid());
        channel.set_var("signal_bond", &**caller.uuid());
        if let Some(sdp) = caller.var("switch_r_sdp") {
            channel.set_var("switch_m_sdp", sdp);
        }
        let profile = caller.profile();
        channel.with(|data| {
            let mut copy = profile;
            copy.times = super::super::profile::Times::default();
            data.other = Some((OtherType::Originator, copy.clone()));
            data.originator_profile = Some(copy);
        });
    }
    let nested = find(global, "origination_nested_vars").is_some_and(text::is_true);
    let set = |(name, value): &(String, String)| {
        if value.contains("${") && !nested {
            tracing::error!(
                uuid = %channel.uuid(), fs_level = "CRIT",
                "Invalid data ({name} contains a variable)"
            );
        } else {
            channel.set_var(name.clone(), value.as_str());
        }
    };
    let (first, second) = if local_wins { (global, local) } else { (local, global) };
    first.iter().for_each(set);
    second.iter().for_each(set);
}

/// What a leg is told once it has been announced.
fn set_started_variables(channel: &Channel, endpoint: &'static str, caller: Option<&Arc<Channel>>) {
    if let Some(caller) = caller {
        channel.set_var(
            "call_uuid",
            caller.var("call_uuid").unwrap_or_else(|| caller.uuid().to_string()),
        );
    }
    channel.set_var("originate_early_media", "true");
    if let Some(caller) = caller {
        channel.set_var("originating_leg_uuid", &**caller.uuid());
    }
    channel.set_var("originate_endpoint", endpoint);
}

/// The caller notes whom it calls.
fn note_attempt(caller: &Channel, leg: &Channel) {
    let profile = leg.profile();
    caller.set_var("originate_signal_bond", &**leg.uuid());
    let entry = format!("{};{};{}", leg.uuid(), profile.callee_id_name, profile.callee_id_number);
    caller.push_var("originated_legs", &entry);
}

/// The caller's profile names whom it is about to talk to, from the first ringing on.
pub(super) fn show_callee(caller: &Channel, leg: &Channel) {
    let profile = leg.profile();
    caller.with(|data| {
        if let Some(own) = &mut data.profile {
            own.callee_id_name = profile.callee_id_name;
            own.callee_id_number = profile.callee_id_number;
        }
    });
}
