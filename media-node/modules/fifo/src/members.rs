//! Members are called when callers wait and no consumer is free.

use std::sync::Arc;
use std::time::Duration;

use esl_server::event::{Event, EventName};
use switch_core::call::originate::{Request, originate};
use switch_core::call::{Cause, Channel, Extension, State as CallState};
use switch_core::clock;
use switch_core::switch::Switch;

use crate::center::{Fifos, Part};
use crate::events::{tell_alone, tell_with};
use crate::settings::Strategy;
use crate::state::{Member, Waiting};

/// Members called at once at most.
const MAX_MEMBERS: usize = 250;
/// How long the one who answered may take to be bridged before it counts as ringing no more.
const BRIDGE_TIME: Duration = Duration::from_secs(5);

/// What is needed of a fifo to call its members.
struct Wanted {
    fifo: String,
    members: Vec<Member>,
    strategy: Strategy,
    outbound_name: Option<String>,
    ring_timeout: i64,
    retry_delay: i64,
}

/// Looks through all fifos, in the order of their priorities.
pub(crate) fn look_for_members(switch: &Arc<Switch>, fifos: &Arc<Fifos>) {
    let wanted = {
        let state = fifos.state.lock();
        let mut nodes = state.ordered();
        nodes.sort_by_key(|node| node.priority);
        let now = clock::now_secs();
        nodes.into_iter().filter_map(|node| wanted(switch, &state, node, now)).collect::<Vec<_>>()
    };
    for wanted in wanted {
        let (switch, fifos) = (Arc::clone(switch), Arc::clone(fifos));
        match wanted.strategy {
            Strategy::RingAll => {
                tokio::spawn(async move { ring_all(&switch, &fifos, wanted).await });
            }
            Strategy::Enterprise => {
                for member in wanted.members.clone() {
                    let own = Wanted {
                        members: Vec::new(),
                        fifo: wanted.fifo.clone(),
                        outbound_name: wanted.outbound_name.clone(),
                        ..wanted
                    };
                    let (switch, fifos) = (Arc::clone(&switch), Arc::clone(&fifos));
                    begin_ringing(&fifos, &own.fifo, &[&member]);
                    tokio::spawn(async move { ring_one(&switch, &fifos, own, member).await });
                }
            }
        }
    }
}

/// The members to be called for a fifo; `None` if none is needed.
fn wanted(
    switch: &Switch,
    state: &crate::state::State,
    node: &crate::state::Node,
    now: i64,
) -> Option<Wanted> {
    let waiting = i64::try_from(node.waiting()).unwrap_or(i64::MAX);
    let idle = |uuid: &Arc<str>| switch.channel(uuid).is_some_and(|leg| leg.partner().is_none());
    let served = node.consumers.iter().any(idle);
    if !node.has_outbound || waiting - node.ringing <= 0 || served {
        return None;
    }
    let need = match node.strategy {
        Strategy::RingAll => node.per_cycle,
        Strategy::Enterprise if node.per_cycle > 0 && node.per_cycle < waiting => node.per_cycle,
        Strategy::Enterprise => waiting.max(node.per_cycle_min),
    };
    let need = match usize::try_from(need).unwrap_or(0) {
        0 => MAX_MEMBERS,
        need => need.min(MAX_MEMBERS),
    };
    let mut members: Vec<_> = state
        .members
        .iter()
        .filter(|m| m.fifo == node.name && m.taking_calls == 1)
        .filter(|m| m.use_count + m.ring_count < m.simo && m.next_avail <= now)
        .filter(|m| m.expires == 0 || m.expires > now)
        .filter(|m| !state.consumer_orig.contains(&m.uuid) && !state.bridged.contains(&m.uuid))
        .cloned()
        .collect();
    members.sort_by_key(|m| (m.next_avail, m.fails, m.calls));
    members.truncate(need);
    (!members.is_empty()).then(|| Wanted {
        fifo: node.name.clone(),
        members,
        strategy: node.strategy,
        outbound_name: node.outbound_name.clone().filter(|name| !name.is_empty()),
        ring_timeout: node.ring_timeout,
        retry_delay: node.retry_delay,
    })
}

fn begin_ringing(fifos: &Fifos, fifo: &str, members: &[&Member]) {
    let mut state = fifos.state.lock();
    if let Some(node) = state.node_mut(fifo) {
        node.ringing += 1;
    }
    for member in members {
        state.consumer_orig.insert(member.uuid.clone());
        state.change_members(&member.uuid, |row| row.ring_count += 1);
    }
}

/// They ring no more. `failed`: not taken, and called again only after a rest.
fn end_ringing(fifos: &Fifos, wanted: &Wanted, members: &[&Member], failed: bool) {
    let mut state = fifos.state.lock();
    if let Some(node) = state.node_mut(&wanted.fifo) {
        node.ringing = (node.ringing - 1).max(0);
    }
    let now = clock::now_secs() + wanted.retry_delay;
    for member in members {
        state.consumer_orig.remove(&member.uuid);
        state.change_members(&member.uuid, |row| {
            row.ring_count = (row.ring_count - 1).max(0);
            if failed {
                row.fails += 1;
                row.fails_total += 1;
                row.next_avail = now + row.lag + 1;
            }
        });
    }
}

/// The caller members are called for: one with `fifo_vip` first.
fn chosen_caller(switch: &Switch, fifos: &Fifos, fifo: &str) -> Option<Arc<Channel>> {
    let state = fifos.state.lock();
    let calls = state.node(fifo)?.slots.iter().flatten().filter_map(|waiting| match waiting {
        Waiting::Call(uuid) if !state.caller_orig.contains(&**uuid) => switch.channel(uuid),
        _ => None,
    });
    let calls: Vec<_> = calls.filter(|leg| leg.is_up()).collect();
    let vip = calls.iter().find(|leg| leg.own_var("fifo_vip").as_deref() == Some("true"));
    vip.or(calls.first()).cloned()
}

/// The dial string of a member without the variables in front, and those.
fn parts(dial: &str) -> (Vec<(String, String)>, String) {
    let (open, close) = if dial.contains("user/") { ('<', '>') } else { ('{', '}') };
    let mut variables = Vec::new();
    let mut rest = dial.trim_start();
    while let Some((inner, behind)) = rest.strip_prefix(open).and_then(|r| r.split_once(close)) {
        for pair in switch_core::text::separated(inner, ',', 1000) {
            if let Some((name, value)) = pair.split_once('=')
                && !name.trim().eq_ignore_ascii_case("fifo_outbound_uuid")
            {
                variables.push((name.trim().to_owned(), value.to_owned()));
            }
        }
        rest = behind;
    }
    (variables, rest.to_owned())
}

/// The headers of an event of parameters: the reference makes its variables in one, and legs get those as well.
fn of_a_request(switch: &Switch) -> Vec<(String, String)> {
    let mut event = Event::new(EventName::RequestParams);
    esl_server::stamp!(switch.bus, &mut event);
    let mut headers = Vec::new();
    event.for_each_header(|name, value| headers.push((name.to_owned(), value.text().into_owned())));
    headers
}

/// All members of a list ring for one caller.
async fn ring_all(switch: &Arc<Switch>, fifos: &Arc<Fifos>, wanted: Wanted) {
    let Some(caller) = chosen_caller(switch, fifos, &wanted.fifo) else { return };
    let members: Vec<_> = wanted.members.iter().collect();
    fifos.state.lock().caller_orig.insert(caller.uuid().to_string());
    begin_ringing(fifos, &wanted.fifo, &members);
    let (mut variables, mut dial, mut timeout) = (of_a_request(switch), String::new(), 0);
    for (at, member) in members.iter().enumerate() {
        let ring = if member.timeout > 0 { member.timeout } else { wanted.ring_timeout };
        timeout = timeout.max(ring);
        let (own, rest) = parts(&member.dial);
        variables.extend(own);
        let (uuid, fifo) = (&member.uuid, &wanted.fifo);
        if member.dial.contains("user/") {
            let delimiter = if at + 1 == members.len() { "" } else { ":_:" };
            dial += &format!(
                "{{ignore_early_media=true,outbound_redirect_fatal=true,leg_timeout={ring},\
                 fifo_outbound_uuid={uuid},fifo_name={fifo}}}{rest}{delimiter}"
            );
        } else {
            dial +=
                &format!("[leg_timeout={ring},fifo_outbound_uuid={uuid},fifo_name={fifo}]{rest},");
        }
    }
    let list: Vec<_> = members.iter().map(|member| member.uuid.as_str()).collect();
    let list = list.join(",");
    let attempt = clock::new_uuid();
    add_caller_variables(&mut variables, &caller, &wanted, &attempt, fifos);
    caller.set_var("fifo_originate_uuid", attempt);
    tell_with(&caller, &wanted.fifo, "pre-dial", |event| {
        event.push("outbound-strategy", "ringall");
        event.push("caller-uuid", &**caller.uuid());
        event.push("originate_string", dial.as_str());
        event.push("FIFO-Outbound-UUID-List", list.as_str());
    });
    let seconds = if timeout > 0 { timeout.unsigned_abs() } else { 60 };
    let request = Request {
        dial: dial.trim_end_matches(',').to_owned(),
        timeout: Some(Duration::from_secs(seconds)),
        variables,
        ..Request::default()
    };
    let made = call_for(switch, &caller, &request).await;
    fifos.state.lock().caller_orig.remove(&**caller.uuid());
    let told = |event: &mut Event, result: &'static str| {
        event.push("result", result);
    };
    let leg = match made {
        Ok(leg) => leg,
        Err(cause) => {
            let acceptable = matches!(cause, Cause::ORIGINATOR_CANCEL | Cause::PICKED_OFF);
            end_ringing(fifos, &wanted, &members, !acceptable);
            tell_alone(switch, &wanted.fifo, "post-dial", |event| {
                event.push("outbound-strategy", "ringall");
                event.push("caller-uuid", &**caller.uuid());
                told(event, "failure");
                event.push("acceptable", if acceptable { "true" } else { "false" });
                event.push("cause", cause.name());
                event.push("originate_string", dial);
                event.push("FIFO-Outbound-UUID-List", list);
            });
            return;
        }
    };
    tell_with(&leg, &wanted.fifo, "post-dial", |event| {
        event.push("outbound-strategy", "ringall");
        event.push("caller-uuid", &**caller.uuid());
        event.push("FIFO-Outbound-UUID", leg.own_var("fifo_outbound_uuid").unwrap_or_default());
        event.push("FIFO-Outbound-UUID-List", list);
        told(event, "success");
        event.push("originate_string", dial);
    });
    leg.unset_var("fifo_pop_order");
    become_consumer(&leg, &wanted.fifo, "nowait");
    until_bridged(&leg).await;
    end_ringing(fifos, &wanted, &members, false);
}

/// Who calls, and what the caller hands on.
fn add_caller_variables(
    variables: &mut Vec<(String, String)>,
    caller: &Channel,
    wanted: &Wanted,
    attempt: &str,
    fifos: &Fifos,
) {
    let profile = caller.profile();
    let has = |variables: &[(String, String)], name: &str| {
        variables.iter().any(|(own, _)| own.eq_ignore_ascii_case(name))
    };
    if !has(variables, "origination_caller_id_name") {
        let name = match wanted.outbound_name.as_deref() {
            Some(name) if name.starts_with('=') => name[1..].to_owned(),
            Some(name) => format!("({name}) {}", profile.caller_id_name),
            None => profile.caller_id_name.clone(),
        };
        variables.push(("origination_caller_id_name".to_owned(), name));
    }
    if !has(variables, "origination_caller_id_number") {
        variables
            .push(("origination_caller_id_number".to_owned(), profile.caller_id_number.clone()));
    }
    variables.push(("fifo_bridge_uuid".to_owned(), caller.uuid().to_string()));
    variables.push(("fifo_originate_uuid".to_owned(), attempt.to_owned()));
    for name in caller.variable("fifo_export").unwrap_or_default().split(',') {
        if let Some(value) =
            Some(name.trim()).filter(|n| !n.is_empty()).and_then(|n| caller.variable_marked(n))
        {
            variables.push((name.trim().to_owned(), value));
        }
    }
    let transcodes =
        fifos.settings.read().allow_transcoding || caller.is_true("fifo_allow_transcoding");
    if let (false, Some(codec)) = (transcodes, caller.own_var("rtp_use_codec_name")) {
        let rate = caller.own_var("rtp_use_codec_rate").unwrap_or_default();
        let ptime = caller.own_var("rtp_use_codec_ptime").unwrap_or_default();
        let mut offer = format!("{codec}@{ptime}i@{rate}h");
        if !matches!(codec.to_ascii_uppercase().as_str(), "PCMU" | "PCMA") {
            offer += &format!(",PCMU@{ptime}i,PCMA@{ptime}i");
        }
        variables.push(("absolute_codec_string".to_owned(), offer));
    }
}

/// Calls; ringing legs stop when the caller leaves or is taken by another.
async fn call_for(
    switch: &Arc<Switch>,
    caller: &Arc<Channel>,
    request: &Request,
) -> Result<Arc<Channel>, Cause> {
    const LOOK: Duration = Duration::from_millis(100);
    let calling = originate(switch, request, None);
    tokio::pin!(calling);
    loop {
        tokio::select! {
            made = &mut calling => return made.map_err(|failure| failure.cause),
            () = tokio::time::sleep(LOOK) => {}
        }
        let waits = caller.is_up()
            && caller.with(|data| data.slot::<Part>().waits)
            && caller.own_var("fifo_serviced_uuid").is_none();
        if !waits {
            let cause = if caller.is_up() { Cause::PICKED_OFF } else { Cause::ORIGINATOR_CANCEL };
            for leg in switch.channels() {
                if leg.own_var("fifo_bridge_uuid").as_deref() == Some(&**caller.uuid())
                    && !leg.is_answered()
                {
                    leg.hangup(cause);
                }
            }
        }
    }
}

/// One member is called; the first caller waiting when it answers is served.
async fn ring_one(switch: &Arc<Switch>, fifos: &Arc<Fifos>, wanted: Wanted, member: Member) {
    let fifo = &wanted.fifo;
    let check = format!(
        "execute_on_answer='unset fifo_hangup_check',fifo_name='{fifo}',fifo_hangup_check='{fifo}'"
    );
    let dial = if member.dial.to_ascii_lowercase().contains("origination_caller") {
        format!("{{{check}}}{}", member.dial)
    } else {
        let name = wanted.outbound_name.as_deref().unwrap_or(fifo);
        format!(
            "{{{check},origination_caller_id_name=Queue,origination_caller_id_number='Queue: {name}'}}{}",
            member.dial
        )
    };
    let tell_dial = |event: &mut Event| {
        event.push("FIFO-Outbound-UUID", member.uuid.as_str());
        event.push("outbound-strategy", "enterprise");
    };
    tell_alone(switch, fifo, "pre-dial", |event| {
        tell_dial(event);
        event.push("originate_string", dial.as_str());
    });
    let seconds = member.timeout.max(1).unsigned_abs();
    let mut variables = of_a_request(switch);
    variables.push(("originate_timeout".to_owned(), member.timeout.to_string()));
    let request = Request {
        dial: dial.clone(),
        timeout: Some(Duration::from_secs(seconds)),
        variables,
        ..Request::default()
    };
    match originate(switch, &request, None).await {
        Err(failure) => {
            end_ringing(fifos, &wanted, &[&member], true);
            tell_alone(switch, fifo, "post-dial", |event| {
                tell_dial(event);
                event.push("result", "failure");
                event.push("cause", failure.cause.name());
                event.push("originate_string", dial);
            });
        }
        Ok(leg) => {
            tell_with(&leg, fifo, "post-dial", |event| {
                tell_dial(event);
                event.push("result", "success");
                event.push("originate_string", dial);
            });
            let wait = leg.variable("fifo_member_wait").or_else(|| leg.variable("member_wait"));
            let wait = wait
                .filter(|wait| ["wait", "nowait"].contains(&wait.to_ascii_lowercase().as_str()));
            leg.set_var("fifo_outbound_uuid", member.uuid.clone());
            become_consumer(&leg, fifo, wait.as_deref().unwrap_or("wait"));
            end_ringing(fifos, &wanted, &[&member], false);
        }
    }
}

fn become_consumer(leg: &Arc<Channel>, fifo: &str, wait: &str) {
    let argument = format!("{fifo} out {wait}");
    leg.with(|data| {
        data.extension =
            Some(Extension::new("fifo", argument.as_str(), [("fifo", argument.as_str())]));
    });
    leg.set_state(CallState::Execute);
}

async fn until_bridged(leg: &Arc<Channel>) {
    let mut watch = leg.watch();
    let bridged = async {
        while leg.is_up() && leg.partner().is_none() {
            if watch.changed().await.is_err() {
                return;
            }
        }
    };
    let _late = tokio::time::timeout(BRIDGE_TIME, bridged).await;
}

/// Runs a command without the event that would tell of it.
pub(crate) async fn run_quietly(switch: &Arc<Switch>, command: &str, args: &str) {
    if let Some(api) = switch.api(command) {
        let call = switch_core::api::ApiCall::new(Arc::clone(switch), command, args, None);
        let reply = api.run(call).await;
        if !reply.starts_with("+OK") {
            tracing::error!("{command} {}: {}", base::far::plain(args), reply.trim_end());
        }
    }
}
