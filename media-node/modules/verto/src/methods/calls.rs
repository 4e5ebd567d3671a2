//! Calls of a client: made, answered, taken up again, ended.

use std::sync::Arc;
use std::time::Duration;

use leg_media::LegMedia;
use negotiation::Mode;
use sdp::SessionDescription;
use switch_core::call::{CallerProfile, Cause, Channel, Direction, Indication, Session};
use switch_core::{clock, xml};
use tokio::sync::{mpsc, oneshot};

use super::{Ask, Outcome, refuse};
use crate::client::{Login, Pairs};
use crate::hub::Call;
use crate::leg::{self, Answer, Order, Refusal, VertoLeg};
use crate::profile::LegProfile;
use crate::rpc::{self, Object};
use crate::{login, said};

/// How long a call may take to do what a client asks.
const PATIENCE: Duration = Duration::from_secs(5);
/// Codecs that are shown of an offer, whatever the profile takes of them.
const KNOWN: &str = "opus,G722,PCMU,PCMA,GSM,L16,G729,AMR,VP8,VP9,H264,AV1";

/// Gives a call an order and waits for what comes of it.
pub(super) async fn order<T>(
    channel: &Channel,
    make: impl FnOnce(oneshot::Sender<Result<T, Refusal>>) -> Order,
) -> Result<T, Refusal> {
    let (reply, answered) = oneshot::channel();
    let orders = channel.with(|data| data.slot::<Call>().orders.clone());
    if orders.is_none_or(|orders| orders.try_send(make(reply)).is_err()) {
        return Err("MEDIA ERROR");
    }
    match tokio::time::timeout(PATIENCE, answered).await {
        Ok(Ok(result)) => result,
        Ok(Err(_)) | Err(_) => Err("MEDIA ERROR"),
    }
}

/// `verto.bye`
pub(super) fn bye(ask: &Ask<'_>) -> Outcome {
    let (params, _, uuid) = match ask.dialog() {
        Ok(found) => found,
        Err(refused) => return refused,
    };
    let cause = cause(params);
    let mut result = Object::new();
    result.insert("callID".into(), uuid.into());
    let Some(channel) = ask.call(uuid) else { return refuse(result, "CALL DOES NOT EXIST") };
    channel.with(|data| data.slot::<Call>().ended_by_client = true);
    channel.set_var("verto_hangup_disposition", "recv_bye");
    channel.hangup(cause);
    result.insert("message".into(), "CALL ENDED".into());
    result.insert("causeCode".into(), cause.number().into());
    result.insert("cause".into(), cause.name().into());
    Outcome::Done(result)
}

/// Why a client ends a call: the cause it names, else the one whose number it gives.
fn cause(params: &Object) -> Cause {
    let named = rpc::text(params, "cause").and_then(Cause::parse_strict);
    let number = || {
        let code = rpc::get(params, "causeCode")?;
        let code = code.as_str().map(base::text::int).or_else(|| code.as_i64())?;
        let cause = Cause::from_number(u16::try_from(code).ok()?);
        (cause.name() != "UNKNOWN").then_some(cause)
    };
    let cause = named.filter(|cause| *cause != Cause::NONE).or_else(number);
    cause.unwrap_or(Cause::NORMAL_CLEARING)
}

/// `verto.answer`
pub(super) async fn answer(ask: Ask<'_>) -> Outcome {
    let (params, dialog, uuid) = match ask.dialog() {
        Ok(found) => found,
        Err(refused) => return refused,
    };
    let Some(sdp) = rpc::text(params, "sdp") else { return refuse(Object::new(), "SDP missing") };
    let Some(channel) = ask.call(uuid) else { return refuse(Object::new(), "CALL DOES NOT EXIST") };
    channel.set_var("verto_client_address", ask.client.name());
    if !channel.is_true("verto_skip_set_user") {
        set_user(&ask, &channel, &ask.client.login()).await;
    }
    let text = |name| rpc::text(dialog, name).map(str::to_owned);
    let (callee_name, callee_number) = (text("callee_id_name"), text("callee_id_number"));
    let sdp = sdp.to_owned();
    let done = order(&channel, |reply| {
        Order::Answer(Box::new(Answer { sdp, callee_name, callee_number, reply }))
    });
    match done.await {
        Ok(()) => Outcome::Done(Object::new()),
        Err(refusal) => refuse(Object::new(), refusal),
    }
}

/// `verto.attach`
pub(super) async fn attach(ask: Ask<'_>) -> Outcome {
    let (params, _, uuid) = match ask.dialog() {
        Ok(found) => found,
        Err(refused) => return refused,
    };
    let Some(sdp) = rpc::text(params, "sdp") else { return refuse(Object::new(), "SDP missing") };
    let Some(channel) = ask.call(uuid) else { return refuse(Object::new(), "CALL DOES NOT EXIST") };
    if !channel.is_answered() {
        channel.hangup(Cause::DESTINATION_OUT_OF_ORDER);
        return refuse(Object::new(), "Cannot attach to a call that has not been answered.");
    }
    let sdp = sdp.to_owned();
    if let Err(refusal) = order(&channel, |reply| Order::Attach(sdp, reply)).await {
        return refuse(Object::new(), refusal);
    }
    channel.with(|data| data.slot::<Call>().detached = None);
    ask.switch.module::<::event_channels::EventChannels>().is_back(&ask.client.session());
    // What the page showed before it was loaded again.
    let shown = |name: &str| channel.var(name).unwrap_or_default();
    let (name, number) = (shown("last_sent_display_name"), shown("last_sent_display_number"));
    if !name.is_empty() || !number.is_empty() {
        let _full = channel.job(Box::new(move |session| {
            Box::pin(async move {
                let _gone = session.indicate(Indication::Display { name, number }).await;
            })
        }));
    }
    Outcome::Done(Object::new())
}

/// `verto.invite`
pub(super) async fn invite(ask: Ask<'_>) -> Outcome {
    let missing = |refused| failed(refused, Cause::INVALID_MSG_UNSPECIFIED);
    let (params, dialog, uuid) = match ask.dialog() {
        Ok(found) => found,
        Err(refused) => return missing(refused),
    };
    let Some(sdp) = rpc::text(params, "sdp") else {
        return missing(refuse(Object::new(), "SDP missing"));
    };
    match begin(&ask, dialog, uuid, sdp).await {
        Ok(()) => {
            let mut result = Object::new();
            result.insert("message".into(), "CALL CREATED".into());
            result.insert("callID".into(), uuid.into());
            Outcome::Done(result)
        }
        Err(cause) => failed(refuse(Object::new(), "Cannot create channel"), cause),
    }
}

/// What an invite that fails is told. The reference writes two messages, of which parsers take the second.
fn failed(refused: Outcome, cause: Cause) -> Outcome {
    let Outcome::Failed(mut error) = refused else { return refused };
    error.clear();
    error.insert("causeCode".into(), cause.number().into());
    error.insert("cause".into(), cause.name().into());
    refuse(error, "CALL ERROR")
}

/// May the client's name for a call be its UUID, in file names and events too?
fn is_plain_id(id: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    (1..=128).contains(&id.len()) && id.bytes().all(plain)
}

async fn begin(ask: &Ask<'_>, dialog: &Object, uuid: &str, sdp: &str) -> Result<(), Cause> {
    let Ask { switch, hub, client, .. } = ask;
    if !is_plain_id(uuid) || switch.channel(uuid).is_some() {
        return Err(Cause::DESTINATION_OUT_OF_ORDER);
    }
    let offer = SessionDescription::parse(sdp).map_err(|error| {
        tracing::warn!("Cannot read the session description of {}: {error}", client.address);
        Cause::INCOMPATIBLE_DESTINATION
    })?;
    let login = client.login();
    let number = rpc::text(dialog, "destination_number").filter(|number| !number.is_empty());
    let number = number.unwrap_or("service");
    let name = format!("{}/{}", crate::endpoint::NAME, base::text::harmless_number(number));
    let (channel, inbox) = switch.new_channel(Direction::Inbound, name, Some(uuid))?;
    let profile = Arc::clone(&client.profile);
    let codecs = profile.settings.media.inbound_codecs.clone();
    let media = Arc::new(LegProfile { switch: Arc::clone(switch), profile });
    let audio = LegMedia::new(media, Some(client.address.ip()), codecs, Mode::Generous);
    let (orders, ordered) = mpsc::channel(leg::ORDERS);
    let session = client.session();
    channel.with(|data| {
        let call = data.slot::<Call>();
        call.session.clone_from(&session);
        call.orders = Some(orders);
        call.unrecoverable = rpc::get(dialog, "recoverCall").is_some_and(|v| *v == false);
    });
    describe(ask, &channel, &login, dialog);
    audio.show_offer(&channel, &negotiation::as_sent(&offer), KNOWN);
    let caller = caller(ask, &channel, &login, dialog, number);
    channel.with(|data| data.profile = Some(caller));
    if !channel.is_true("verto_skip_set_user") {
        set_user(ask, &channel, &login).await;
    }
    for (name, value) in header_block(ask).into_iter().chain(login.user_vars) {
        said(&channel, &name, &value);
    }
    for (variable, member) in [
        ("verto_remote_caller_id_name", "remote_caller_id_name"),
        ("verto_remote_caller_id_number", "remote_caller_id_number"),
    ] {
        said(&channel, variable, rpc::text(dialog, member).unwrap_or_default());
    }
    leg::show_description(&channel, Arc::new(negotiation::as_sent(&offer)), sdp);
    if !hub.track(&session, channel.uuid()) {
        tracing::warn!("{}: too many calls", client.address);
        return Err(Cause::SWITCH_CONGESTION);
    }
    let leg = VertoLeg::new(Arc::clone(hub), client, Direction::Inbound, audio, ordered);
    switch.add_channel(&channel).inspect_err(|_| hub.untrack(&session, channel.uuid()))?;
    tracing::info!(
        uuid = %channel.uuid(), fs_level = "NOTICE",
        "New Channel {} [{}]", channel.name(), channel.uuid()
    );
    Session::new(channel, Box::new(leg), inbox).start();
    Ok(())
}

/// Variables of a call that a client makes.
fn describe(ask: &Ask<'_>, channel: &Channel, login: &Login, dialog: &Object) {
    let session = ask.client.session();
    channel.set_vars([
        ("is_outbound", "true".to_owned()),
        ("video_media_flow", "disabled".to_owned()),
        ("audio_media_flow", "disabled".to_owned()),
        ("text_media_flow", "disabled".to_owned()),
        ("channel_name", channel.name()),
        ("secondary_recovery_module", "mod_verto".to_owned()),
    ]);
    for (member, variable) in [
        ("screenShare", "video_screen_share"),
        ("secondSource", "video_second_source"),
        ("dedEnc", "video_use_dedicated_encoder"),
        ("mirrorInput", "video_mirror_input"),
    ] {
        if rpc::is_true(dialog, member) {
            channel.set_var(variable, "true");
        }
    }
    let canvas = rpc::get(dialog, "conferenceCanvasID");
    let canvas = canvas.and_then(|id| id.as_str().map(base::text::int).or_else(|| id.as_i64()));
    if let Some(canvas) = canvas.filter(|canvas| (0..1000).contains(canvas)) {
        channel.set_vars([
            ("video_initial_watching_canvas", canvas.to_string()),
            ("video_second_screen", "true".to_owned()),
        ]);
    }
    user_vars(channel, dialog);
    said(channel, "jsock_uuid_str", &session);
    leg::show_owner(channel, ask.client, login);
    said(channel, "event_channel_cookie", &session);
    channel.set_var("verto_profile_name", ask.client.profile.name().to_owned());
}

/// What a client says of its devices, and variables it sends with a call.
pub(super) fn user_vars(channel: &Channel, dialog: &Object) {
    if let Some(audio) = rpc::object_in(dialog, "audio") {
        for (member, variable) in [
            ("echoCancellation", "verto_echoCancellation"),
            ("noiseSuppression", "verto_noiseSuppression"),
            ("autoGainControl", "verto_autoGainControl"),
        ] {
            channel.set_var(variable, if rpc::is_true(audio, member) { "true" } else { "false" });
        }
    }
    if let Some(given) = rpc::object_in(dialog, "userVariables") {
        for (name, value) in login::bounded(given) {
            said(channel, &format!("verto_dvar_{name}"), &value);
        }
    }
}

/// Who calls.
fn caller(
    ask: &Ask<'_>,
    channel: &Channel,
    login: &Login,
    dialog: &Object,
    number: &str,
) -> CallerProfile {
    let settings = &ask.client.profile.settings;
    let text = |name: &str| rpc::text(dialog, name).filter(|text| !text.is_empty());
    let owned = |name: &str| text(name).unwrap_or_default().to_owned();
    let own = |name: &str, param: &str| {
        text(name).or_else(|| login.param(param)).unwrap_or_default().to_owned()
    };
    let mut caller = CallerProfile::new(Direction::Inbound, clock::now_us());
    caller.username.clone_from(&login.uid);
    caller.caller_id_name = own("caller_id_name", "caller-id-name");
    caller.caller_id_number = own("caller_id_number", "caller-id-number");
    caller.orig_caller_id_name = caller.caller_id_name.clone();
    caller.orig_caller_id_number = caller.caller_id_number.clone();
    caller.ani = text("ani").map_or_else(|| caller.caller_id_number.clone(), str::to_owned);
    (caller.aniii, caller.rdnis) = (owned("aniii"), owned("rdnis"));
    caller.callee_id_name = owned("remote_caller_id_name");
    caller.callee_id_number = owned("remote_caller_id_number");
    caller.network_addr = ask.client.address.ip().to_string();
    caller.source = "mod_verto".into();
    number.clone_into(&mut caller.destination_number);
    caller.uuid = channel.uuid().to_string();
    caller.chan_name = channel.name();
    caller.dialplan = login.dialplan.clone().unwrap_or_else(|| settings.dialplan.clone());
    let context = login.var("user_context").or(login.context.as_deref());
    caller.context = context.unwrap_or(&settings.context).to_owned();
    caller.make_harmless();
    caller
}

/// The user's variables of the directory, as `set_user` sets them.
async fn set_user(ask: &Ask<'_>, channel: &Channel, login: &Login) {
    if login.domain.is_empty() {
        return;
    }
    let Some(user) = xml::find_user(ask.switch, &login.id, &login.domain, |_| {}).await else {
        tracing::error!(uuid = %channel.uuid(), "can't find user [{}]", login.uid);
        return;
    };
    if let Some(alias) = user.number_alias() {
        channel.set_var("number_alias", alias);
    }
    said(channel, "user_name", &login.id);
    said(channel, "domain_name", &login.domain);
    for variable in user.variables.iter() {
        channel.set_var(variable.name.to_string(), &*variable.value);
    }
    channel.with(|data| {
        if let Some(profile) = &mut data.profile {
            for variable in user.profile_variables.iter() {
                profile.set_field(&variable.name, &variable.value);
            }
        }
    });
}

/// The block every event has: the reference's variables of a client begin with it.
fn header_block(ask: &Ask<'_>) -> Pairs {
    let mut event = esl_server::event::Event::new(esl_server::event::EventName::ChannelData);
    esl_server::stamp!(ask.switch.bus, &mut event);
    let block: Object = serde_json::from_slice(&event.json()).unwrap_or_default();
    let text =
        |(name, value): (String, serde_json::Value)| Some((name, value.as_str()?.to_owned()));
    block.into_iter().filter_map(text).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_named_by_what_is_no_path() {
        for id in ["33333333-3333-4333-8333-333333333333", "a_1"] {
            assert!(is_plain_id(id), "{id}");
        }
        for id in ["", "../x", "a/b", "a b", "${x}", &"a".repeat(129)] {
            assert!(!is_plain_id(id), "{id}");
        }
    }

    #[test]
    fn a_cause_is_named_or_numbered() {
        let of = |value: serde_json::Value| cause(value.as_object().unwrap());
        assert_eq!(of(serde_json::json!({ "cause": "USER_BUSY" })), Cause::USER_BUSY);
        assert_eq!(of(serde_json::json!({ "causeCode": 17 })), Cause::USER_BUSY);
        assert_eq!(of(serde_json::json!({ "causeCode": "17", "cause": "X" })), Cause::USER_BUSY);
        assert_eq!(of(serde_json::json!({ "causeCode": 1_000_000 })), Cause::NORMAL_CLEARING);
        assert_eq!(of(serde_json::json!({})), Cause::NORMAL_CLEARING);
    }
}
