//! What is told to the far end: hold, display, messages, redirection.

use super::{
    Api, ApiCall, FAILED, FAILED_CAPITAL, OK, SUCCESS, in_task, no_such_channel, success, usage,
};
use crate::api;
use crate::call::display::Party;
use crate::call::endpoint::{DialogMethod, DialogRequest};
use crate::call::{Indication, bypass};

/// The family.
pub const APIS: &[Api] = &[
    api!("uuid_chat", "mod_commands", CHAT, "Send a chat message", async chat),
    api!("uuid_deflect", "mod_commands", URI, "Send a deflect", async deflect),
    api!("uuid_display", "mod_commands", DISPLAY, "Update phone display", async display),
    api!("uuid_hold", "mod_commands", HOLD, "Place call on hold", async hold),
    api!("uuid_media", "mod_commands", MEDIA, "Reinvite FS in or out of media path", media),
    api!(
        "uuid_media_3p",
        "mod_commands",
        MEDIA,
        "Reinvite FS in or out of media path using 3pcc",
        media
    ),
    api!("uuid_media_reneg", "mod_commands", RENEG, "Media negotiation", async media_reneg),
    api!("uuid_phone_event", "mod_commands", "<uuid>", "Send an event to the phone", async phone_event),
    api!("uuid_recovery_refresh", "mod_commands", URI, "Send a recovery_refresh", recovery_refresh),
    api!("uuid_redirect", "mod_commands", URI, "Send a redirect", async redirect),
    api!("uuid_send_info", "mod_commands", INFO, "Send info to the endpoint", async send_info),
    api!("uuid_send_message", "mod_commands", "<uuid> <message>", "Send MESSAGE to the endpoint", async send_message),
    api!(
        "uuid_simplify",
        "mod_commands",
        "<uuid>",
        "Try to cut out of a call path / attended xfer",
        simplify
    ),
    api!(
        "uuid_xfer_zombie",
        "mod_commands",
        "<uuid>",
        "Allow A leg to hangup and continue originating",
        xfer_zombie
    ),
];

const CHAT: &str = "<uuid> <text>";
const DISPLAY: &str = "<uuid> <display>";
const HOLD: &str = "[off|toggle] <uuid> [<display>]";
const INFO: &str = "<uuid> [<mime_type> <mime_subtype>] <message>";
const MEDIA: &str = "[off] <uuid>";
const RENEG: &str = "<uuid>[ <codec_string>]";
const URI: &str = "<uuid> <uri>";

/// Tells the far end of a call something; `None` when there is no such call.
async fn tell(call: &ApiCall, uuid: &str, what: Indication) -> Option<bool> {
    let channel = call.switch.channel(uuid)?;
    Some(in_task(call, &channel, |session| Box::pin(session.indicate(what))).await.unwrap_or(true))
}

async fn hold(call: ApiCall) -> String {
    let words = call.words(3);
    let verb = words.first().map(|word| word.to_ascii_lowercase());
    let verb = verb.as_deref().filter(|word| matches!(*word, "off" | "toggle"));
    let at = usize::from(verb.is_some());
    let Some(uuid) = words.get(at) else { return format!("{}{FAILED}", usage(HOLD)) };
    // The reference does not mind a call that is not there.
    let Some(channel) = call.switch.channel(uuid) else { return SUCCESS.into() };
    let held = channel.flags.held.load(std::sync::atomic::Ordering::Relaxed);
    let off = verb == Some("off") || (verb == Some("toggle") && held);
    let message = words.get(at + 1).cloned();
    let done = in_task(&call, &channel, move |session| {
        Box::pin(async move {
            if off { session.unhold().await } else { session.hold(message, true).await }
        })
    })
    .await;
    success(done.unwrap_or(true))
}

async fn display(call: ApiCall) -> String {
    let words = call.words(2);
    let (Some(uuid), Some(text)) = (words.first(), words.get(1)) else { return usage(DISPLAY) };
    let (name, number) = text.split_once('|').unwrap_or((text, ""));
    let Some(channel) = call.switch.channel(uuid) else { return FAILED.into() };
    channel.show_party(Party { name: name.to_owned(), number: number.to_owned() });
    SUCCESS.into()
}

async fn send_info(call: ApiCall) -> String {
    let words = call.words(4);
    let [uuid, rest @ ..] = words.as_slice() else {
        return format!("{}{FAILED_CAPITAL}", usage(INFO));
    };
    let [kind, subtype, body] = rest else {
        // Without a type the reference has nothing to send, and does not say so.
        let known = !rest.is_empty() && call.switch.channel(uuid).is_some();
        return if known { SUCCESS.into() } else { FAILED_CAPITAL.into() };
    };
    let what = Indication::Info { content_type: format!("{kind}/{subtype}"), body: body.clone() };
    match tell(&call, uuid, what).await {
        Some(true) => SUCCESS.into(),
        _ => FAILED_CAPITAL.into(),
    }
}

/// MESSAGE within the call (RFC 3428). The reference sends one only to its own kind, or where
/// `fs_send_unsupported_message` is set, and answers success all the same; a far end that takes none says so itself.
fn text_message(body: &str) -> Indication {
    let body = Some(("text/plain".to_owned(), body.to_owned()));
    Indication::Request(DialogRequest { method: DialogMethod::Message, headers: Vec::new(), body })
}

async fn send_message(call: ApiCall) -> String {
    let words = call.words(2);
    let (Some(uuid), Some(body)) = (words.first(), words.get(1)) else {
        return format!("{}{FAILED_CAPITAL}", usage("<uuid> <message>"));
    };
    match tell(&call, uuid, text_message(body)).await {
        Some(true) => SUCCESS.into(),
        Some(false) => FAILED_CAPITAL.into(),
        None => format!("-ERR Unable to find session for UUID\n{FAILED_CAPITAL}"),
    }
}

async fn chat(call: ApiCall) -> String {
    let words = call.words(2);
    let (Some(uuid), Some(body)) = (words.first(), words.get(1)) else { return usage(CHAT) };
    match tell(&call, uuid, text_message(body)).await {
        Some(true) => OK.into(),
        Some(false) => "-ERR Send failed\n".into(),
        None => no_such_channel(uuid),
    }
}

async fn deflect(call: ApiCall) -> String {
    let words = call.words(2);
    let (Some(uuid), Some(uri)) = (words.first(), words.get(1)) else { return usage(URI) };
    match tell(&call, uuid, Indication::Deflect(uri.clone())).await {
        Some(true) => "+OK:success\n".into(),
        Some(false) => "+OK:failure\n".into(),
        None => no_such_channel(uuid),
    }
}

async fn redirect(call: ApiCall) -> String {
    let words = call.words(2);
    let (Some(uuid), Some(uri)) = (words.first(), words.get(1)) else { return usage(URI) };
    match tell(&call, uuid, Indication::Redirect(uri.clone())).await {
        Some(true) => "+OK:success\n".into(),
        Some(false) => "+OK:failure\n".into(),
        None => no_such_channel(uuid),
    }
}

fn recovery_refresh(call: &ApiCall) -> String {
    let words = call.words(2);
    let (Some(uuid), Some(_)) = (words.first(), words.get(1)) else { return usage(URI) };
    // Calls are not recovered after a restart, so there is nothing to refresh. The reference's SIP ignores the request
    // as well, and its reply says so in this way.
    if call.switch.channel(uuid).is_some() { "+OK:(null)\n".into() } else { no_such_channel(uuid) }
}

fn media(call: &ApiCall) -> String {
    let words = call.words(2);
    let off =
        words.first().is_some_and(|word| word.eq_ignore_ascii_case("off") || word == "no_media");
    let second = words.get(1).is_some_and(|word| word.eq_ignore_ascii_case("off"));
    let Some(uuid) = words.get(usize::from(off)) else {
        return format!("{}{FAILED}", usage(MEDIA));
    };
    let Some(channel) = call.switch.channel(uuid) else { return FAILED.into() };
    if off || second {
        bypass::nomedia(&channel, None);
        return SUCCESS.into();
    }
    // Media that is here already cannot be brought back.
    success(bypass::media(&channel))
}

async fn media_reneg(call: ApiCall) -> String {
    let words = call.words(2);
    let Some(uuid) = words.first() else { return format!("{}{FAILED_CAPITAL}", usage(RENEG)) };
    let (uuid, both) = uuid.strip_prefix('+').map_or((uuid.as_str(), false), |uuid| (uuid, true));
    let Some(channel) = call.switch.channel(uuid) else { return FAILED_CAPITAL.into() };
    let offer = Indication::Renegotiate(words.get(1).cloned());
    let done = tell(&call, uuid, offer.clone()).await == Some(true);
    if both && let Some(partner) = channel.partner() {
        tell(&call, partner.uuid(), offer).await;
    }
    if done { SUCCESS.into() } else { FAILED_CAPITAL.into() }
}

async fn phone_event(call: ApiCall) -> String {
    let words = call.words(2);
    let Some(uuid) = words.first() else { return format!("{}{FAILED}", usage("<uuid>")) };
    let event = words.get(1).map_or("talk", String::as_str);
    match tell(&call, uuid, Indication::PhoneEvent(event.to_owned())).await {
        Some(done) => success(done),
        None => FAILED.into(),
    }
}

fn simplify(call: &ApiCall) -> String {
    if call.args.trim().is_empty() {
        return usage("<uuid>");
    }
    // Nothing to take away: this switch is never between itself.
    FAILED.into()
}

fn xfer_zombie(call: &ApiCall) -> String {
    let uuid = call.args.trim();
    if uuid.is_empty() {
        return format!("{}{FAILED_CAPITAL}", usage("<uuid>"));
    }
    match call.switch.channel(uuid) {
        Some(channel) => {
            channel.flags.dials_on.store(true, std::sync::atomic::Ordering::Relaxed);
            SUCCESS.into()
        }
        None => FAILED_CAPITAL.into(),
    }
}
