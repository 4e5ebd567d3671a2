//! A channel's call record: what the documents of mod_json_cdr, mod_xml_cdr and `hangup_complete_with_xml` are made of.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use records::record::{Flow, FlowExtension, Hold, Party};
use records::{CallRecord, Entry};

use switch_core::call::channel::{Data, OtherType};
use switch_core::call::state::Direction;
use switch_core::call::{CallerProfile, Channel};
use switch_core::text;

/// The leg's record as it stands.
pub(crate) fn of(channel: &Channel) -> CallRecord {
    let core_uuid = channel.switch().global("core_uuid").unwrap_or_default();
    let switchname = channel.switch().name();
    let flags = flag_numbers(channel);
    channel.with(|data| CallRecord {
        core_uuid,
        switchname: switchname.to_string(),
        uuid: channel.uuid().to_string(),
        direction: channel.direction().name().to_owned(),
        a_leg: data.originator_profile.is_none(),
        flags,
        caps: CAPABILITIES.to_owned(),
        variables: data
            .vars
            .iter()
            .map(|(name, value)| (name.to_owned(), value.to_string()))
            .collect(),
        applications: data
            .app_log
            .iter()
            .map(|(name, argument, at)| ((*name).to_owned(), argument.to_string(), *at))
            .collect(),
        holds: data
            .holds
            .iter()
            .map(|(on, off)| Hold { on: *on, off: *off, bridged_to: String::new() })
            .collect(),
        callflow: callflow(data),
    })
}

/// Does the leg get a record? `process_cdr` and `skip_cdr_causes` decide.
pub(crate) fn is_wanted(channel: &Channel) -> bool {
    if let (Some(list), Some(cause)) = (channel.lookup("skip_cdr_causes"), channel.cause())
        && list.split(['|', ',']).any(|name| name.trim().eq_ignore_ascii_case(cause.name()))
    {
        return false;
    }
    let Some(process) = channel.lookup("process_cdr") else { return true };
    let (originator, originatee) = channel.with(|data| {
        let other = matches!(data.other, Some((OtherType::Originatee, _)));
        (data.originator_profile.is_some(), other)
    });
    match process.as_str() {
        "a_only" => !originator,
        "b_only" => !originatee,
        other => text::is_true(other),
    }
}

/// Flags by the reference's numbers, those that have a counterpart here.
fn flag_numbers(channel: &Channel) -> String {
    let (flags, progress) = (&channel.flags, channel.progress.get());
    let media = channel.media().is_some() || channel.has_media();
    let all = [
        (1, progress.is_answered()),
        (2, channel.direction() == Direction::Outbound),
        (3, progress.had_early_media()),
        (4, channel.leads()),
        (10, flags.held.load(Ordering::Relaxed)),
        (16, flags.controlled.load(Ordering::Relaxed)),
        (22, progress.rang()),
        (35, flags.verbose.load(Ordering::Relaxed)),
        (39, media),
        (40, true),
        (42, true),
        (70, flags.zombie.load(Ordering::Relaxed)),
        (91, flags.early_ok.load(Ordering::Relaxed)),
        (160, media),
    ];
    let set: Vec<String> =
        all.into_iter().filter(|(_, set)| *set).map(|(number, _)| format!("{number}=1")).collect();
    set.join(";")
}

/// What legs can do, by the reference's numbers.
const CAPABILITIES: &str = "1=1;2=1;3=1;4=1;5=1;6=1;8=1;9=1;10=1";

/// One entry per caller profile, newest first.
fn callflow(data: &Data) -> Vec<Flow> {
    let Some(current) = &data.profile else { return Vec::new() };
    let mut flows = vec![flow(data, current, None)];
    flows.extend(data.past_profiles.iter().rev().map(|past| flow(data, past, None)));
    // Each profile after the first was copied from the one before it.
    let ids: Vec<String> = flows.iter().skip(1).map(|older| older.id.clone()).collect();
    for (newer, older) in flows.iter_mut().zip(ids) {
        newer.clone_of = Some(older);
    }
    if let (Some(first), Some(originator)) = (flows.last_mut(), &data.originator_profile) {
        first.clone_of = Some(originator.id.clone());
        first.profile.device = true;
    }
    if let Some(newest) = flows.first_mut() {
        newest.originator.extend(data.originator_profile.iter().map(party));
        if let Some((OtherType::Originatee, other)) = &data.other {
            newest.origination.push(party(other));
            newest.originatee.push(Party { device: true, ..party(other) });
        }
    }
    flows
}

fn flow(data: &Data, profile: &CallerProfile, clone_of: Option<String>) -> Flow {
    let routed = data.routed.iter().find(|routed| routed.profile == profile.profile_index);
    let running = data.profile.as_ref().is_some_and(|own| own.id == profile.id);
    let times = &profile.times;
    Flow {
        id: profile.id.clone(),
        clone_of,
        index: profile.profile_index.clone(),
        extension: routed.map(|routed| {
            let steps = routed.extension.steps();
            let left = data.extension.as_ref().filter(|_| running).map_or(0, |rest| rest.left());
            FlowExtension {
                name: routed.extension.name.to_string(),
                number: routed.extension.number.to_string(),
                applications: steps
                    .iter()
                    .map(|step| (step.application.to_string(), step.data.to_string()))
                    .collect(),
                next: (left > 0).then(|| steps.len().saturating_sub(left)),
            }
        }),
        profile: party(profile),
        times: [
            times.created,
            times.profile_created,
            times.progress,
            times.progress_media,
            times.answered,
            times.bridged,
            times.last_hold,
            times.hold_accum,
            times.hungup,
            times.resurrected,
            times.transferred,
        ],
        ..Flow::default()
    }
}

fn party(profile: &CallerProfile) -> Party {
    Party {
        username: profile.username.clone(),
        dialplan: profile.dialplan.clone(),
        caller_id_name: profile.caller_id_name.clone(),
        caller_id_number: profile.caller_id_number.clone(),
        callee_id_name: profile.callee_id_name.clone(),
        callee_id_number: profile.callee_id_number.clone(),
        ani: profile.ani.clone(),
        aniii: profile.aniii.clone(),
        network_addr: profile.network_addr.clone(),
        rdnis: profile.rdnis.clone(),
        destination_number: profile.destination_number.clone(),
        uuid: profile.uuid.clone(),
        source: profile.source.clone(),
        transfer_source: profile.transfer_source.clone(),
        context: profile.context.clone(),
        chan_name: profile.chan_name.clone(),
        device: false,
    }
}

/// Something that records ended calls. A module registers one; all of a leg's records go into one journal entry.
pub(crate) trait Recorder: Send + Sync {
    /// Adds its name, and lines it wants written, to the entry if it wants the leg's record.
    fn wants<'a>(
        &'a self,
        channel: &'a Arc<Channel>,
        entry: &'a mut Entry,
    ) -> switch_core::BoxFuture<'a, ()>;

    /// SIGHUP, `fsctl send_sighup`: files are moved aside, if the module is set to do so.
    fn rotate(&self) {}
}
