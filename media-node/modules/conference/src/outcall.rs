//! Calls a conference makes: `dial`, `bgdial`, call lists, and the other side of a room of two.

use std::sync::Arc;
use std::time::Duration;

use super::room::Room;
use crate::call::originate::{Request, originate};
use crate::call::{AppResult, Cause, Channel, Extension, Session, State};
use crate::switch::Switch;
use crate::text;

/// Seconds an outgoing call may ring.
const RINGING: Duration = Duration::from_secs(60);
/// Seconds a caller with a call list waits for its answers.
const LIST_WAIT: i64 = 2;

/// An outgoing call.
#[derive(Clone, Debug, Default)]
pub struct Outcall {
    /// Whom to call.
    pub dial: String,
    /// Name shown; the conference's when empty.
    pub name: Option<String>,
    /// Number shown.
    pub number: Option<String>,
    /// How long it may ring.
    pub timeout: Option<Duration>,
    /// Flags of the new member.
    pub flags: String,
    /// Profile it comes in with.
    pub profile: Option<String>,
    /// Variables of the leg.
    pub variables: Vec<(String, String)>,
}

/// Calls a party, who becomes a member by answering. `room`: none yet, or one. `on_behalf`: the call that waits for it.
///
/// # Errors
/// The cause of the failure.
pub async fn call(
    switch: &Arc<Switch>,
    name: &str,
    room: Option<&Arc<Room>>,
    outcall: Outcall,
    on_behalf: Option<&mut Session>,
) -> Result<Arc<Channel>, Cause> {
    let usual = room.map(|room| room.with(|s| s.caller_id.clone()));
    let (usual_name, usual_number) = usual.unzip();
    let given = |text: Option<String>| text.filter(|text| !text.is_empty());
    let dial = match room {
        Some(_) => outcall.dial,
        None => format!("{{ignore_early_media=true}}{}", outcall.dial),
    };
    let request = Request {
        dial,
        cid_name: given(outcall.name).or(usual_name),
        cid_number: given(outcall.number).or(usual_number),
        timeout: Some(outcall.timeout.unwrap_or(RINGING)),
        variables: outcall.variables,
    };
    if let Some(room) = room {
        room.with(|s| s.originating += 1);
    }
    let made = originate(switch, &request, on_behalf).await;
    if let Some(room) = room {
        room.with(|s| s.originating = s.originating.saturating_sub(1));
    }
    let channel = match made {
        Ok(channel) => channel,
        Err(failure) => {
            room.inspect(|room| room.close_if_empty());
            return Err(failure.cause);
        }
    };
    if room.is_some_and(|room| room.with(|s| s.flags.ending)) {
        channel.hangup(Cause::NO_ROUTE_DESTINATION);
        room.inspect(|room| room.close_if_empty());
        return Err(Cause::NO_ROUTE_DESTINATION);
    }
    let flags =
        channel.variable("outcall_flags").filter(|f| !f.is_empty()).unwrap_or(outcall.flags);
    let mut argument = name.to_owned();
    if let Some(profile) = outcall.profile {
        argument += &format!("@{profile}");
    }
    if !flags.is_empty() && !flags.eq_ignore_ascii_case("none") {
        argument += &format!("+flags{{{flags}}}");
    }
    channel.with(|data| {
        data.extension = Some(Extension::new(name, name, [("conference", argument)]));
    });
    channel.set_state(State::Execute);
    Ok(channel)
}

/// Calls beside everything else and tells the outcome by an event.
pub fn call_in_background(
    switch: &Arc<Switch>,
    name: &str,
    room: Option<Arc<Room>>,
    outcall: Outcall,
    job: String,
) {
    let (switch, name) = (Arc::clone(switch), name.to_owned());
    crate::foreign::spawn(async move {
        let made = call(&switch, &name, room.as_ref(), outcall, None).await;
        let Some(room) = room else { return };
        room.fire("bgdial-result", |event| {
            event.push("Result", made.as_ref().err().map_or("SUCCESS", |cause| cause.name()));
            event.push("Job-UUID", job);
            if let Ok(peer) = &made {
                event.push("Peer-UUID", peer.uuid().to_string());
            }
        });
    });
}

/// Lists of those a conference calls when this call comes in.
#[derive(Default)]
struct Lists(Vec<String>);

/// The application `conference_set_auto_outcall`: one more list of those to call when the caller
/// comes into a conference; without a list, none.
pub(super) async fn set_list(session: &mut Session, argument: &str) -> AppResult {
    let list = argument.trim().to_owned();
    session.channel().with(|data| {
        if list.is_empty() {
            data.slot::<Lists>().0.clear();
        } else {
            data.slot::<Lists>().0.push(list);
        }
    });
    Ok(())
}

/// Calls those on the member's lists, and waits a little for their answers.
pub(super) async fn call_lists(
    session: &mut Session,
    room: &Arc<Room>,
    member: &Arc<super::member::Member>,
) -> AppResult {
    let channel = Arc::clone(session.channel());
    let lists = channel.with(|data| std::mem::take(&mut data.slot::<Lists>().0));
    if lists.is_empty() {
        return Ok(());
    }
    let var = |name: &str| channel.variable(&format!("conference_auto_outcall_{name}"));
    let timeout = var("timeout").map_or(60, |t| text::int(&t));
    let timeout = if (10..=500).contains(&timeout) { timeout } else { 60 };
    let prefix = var("prefix").unwrap_or_default();
    let delimiter = var("delimiter").filter(|d| d.chars().count() == 1);
    let delimiter = delimiter.and_then(|d| d.chars().next()).unwrap_or(',');
    let flags = channel
        .variable("conference_utils_auto_outcall_flags")
        .or_else(|| var("flags"))
        .unwrap_or_default();
    let outcall = Outcall {
        name: var("caller_id_name"),
        number: var("caller_id_number"),
        timeout: Some(Duration::from_secs(timeout.unsigned_abs())),
        flags,
        profile: var("profile"),
        variables: exported(&channel),
        ..Outcall::default()
    };
    if let Some(sound) = var("announce") {
        room.with(|s| s.announcement = Some(sound));
    }
    for callee in lists.iter().flat_map(|list| list.split(delimiter)).map(str::trim) {
        if !callee.is_empty() {
            let outcall = Outcall { dial: format!("{prefix}{callee}"), ..outcall.clone() };
            let job = crate::clock::new_uuid();
            call_in_background(&room.switch, &room.name, Some(Arc::clone(room)), outcall, job);
        }
    }
    let wait = var("maxwait").map(|t| text::int(&t)).filter(|t| *t > 0).unwrap_or(LIST_WAIT);
    for _ in 0..wait.saturating_mul(10) {
        session.sleep(Duration::from_millis(100)).await?;
        if room.with(|s| s.originating == 0) {
            break;
        }
    }
    if !var("skip_member_beep").is_some_and(|v| text::is_true(&v)) {
        room.play_to(member, "tone_stream://%(500,0,640)").await;
    }
    Ok(())
}

/// Variables named by `conference_auto_outcall_export_vars`.
fn exported(channel: &Channel) -> Vec<(String, String)> {
    let list = channel.variable("conference_auto_outcall_export_vars").unwrap_or_default();
    let names = list.split(',').map(str::trim).filter(|name| !name.is_empty());
    names.filter_map(|name| Some((name.to_owned(), channel.variable(name)?))).collect()
}
