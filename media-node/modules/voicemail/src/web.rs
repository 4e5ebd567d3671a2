//! A mailbox in a browser: `/webapi/voicemail/web` of mod_xml_rpc shows the messages of the user who has logged in, `get/…`
//! gives a recording, `del/…` deletes one. A reply brings its own header, as programs of the web do.

use std::sync::Arc;

use base::web::Request;
use base::xml::in_xml;
use base64::Engine as _;
use switch_core::api::ApiCall;

use crate::boxes::{self, Boxes, Loaded};
use crate::commands::{remove, told};
use crate::letter::kind_of;
use crate::mail::clock_time;
use crate::mwi::{self, Reason};
use crate::owner;
use crate::rss;
use crate::store::Message;

/// Bytes of a recording that is given to a browser at most.
const MOST: u64 = 64 * 1024 * 1024;

/// The profile whose boxes a domain has.
pub(crate) async fn profile_of(call: &ApiCall, domain: &str) -> Option<Arc<Boxes>> {
    for name in [domain, "default"] {
        let found = boxes::find(&call.switch, name).await;
        if found.is_some() {
            return found;
        }
    }
    call.switch.module::<Loaded>().all().into_iter().next()
}

fn page(body: &str) -> String {
    format!(
        "Content-type: text/html; charset=utf-8\n\n<!doctype html>\n<html><head><title>Voicemail</title></head>\n<body>\n{body}</body></html>\n"
    )
}

/// Answers a browser; `wants_feed` for `?rss`.
pub(crate) async fn answer(call: &ApiCall, request: &Request, wants_feed: bool) -> String {
    let domain = request.domain.as_str();
    let user = owner::resolve_id(&call.switch, &request.user, domain, "web-vm").await;
    let (host, port) = request.host.rsplit_once(':').unwrap_or((&request.host, "80"));
    if wants_feed || request.path == "rss" {
        let words = ["rss", host, port, &request.uri, &user, domain].map(str::to_owned);
        return rss::feed(call, &words).await;
    }
    let Some(boxes) = profile_of(call, domain).await else {
        return page("<p>Can't find profile.</p>\n");
    };
    let messages = match boxes.store.listed(&user, domain, None).await {
        Ok(messages) => messages,
        Err(error) => return page(&format!("<p>{}</p>\n", in_xml(&told(&error)))),
    };
    let named = |name: &str| messages.iter().find(|message| file_of(message) == name);
    if request.path == "web" {
        return page(&list(call, request, &messages).await);
    }
    let asked = match request.path.split_once('/') {
        Some(("get", name)) => named(name).map(|message| (false, message)),
        Some(("del", name)) => named(name).map(|message| (true, message)),
        _ => None,
    };
    match asked {
        None => page("<p>There is no such message.</p>\n"),
        Some((false, message)) => {
            let sound = sound(message).await;
            if sound.is_some() {
                let _noted = boxes.store.set_read(domain, Some(&message.uuid), true).await;
                mwi::update(&call.switch, &boxes, &user, domain, Reason::Read).await;
            }
            sound.unwrap_or_else(|| page("<p>The recording cannot be read.</p>\n"))
        }
        Some((true, message)) => {
            remove(std::slice::from_ref(&message.path)).await;
            if let Err(error) = boxes.store.delete(&user, domain, Some(&message.uuid)).await {
                return page(&format!("<p>{}</p>\n", in_xml(&told(&error))));
            }
            mwi::update(&call.switch, &boxes, &user, domain, Reason::Delete).await;
            page(&format!(
                "<h2>Message Deleted</h2>\n<p><a href=\"{}/web\">Back</a></p>\n",
                in_xml(&request.uri)
            ))
        }
    }
}

/// The name of a message's file.
fn file_of(message: &Message) -> &str {
    message.path.rsplit('/').next().unwrap_or_default()
}

async fn sound(message: &Message) -> Option<String> {
    let length = tokio::fs::metadata(&message.path).await.ok()?.len();
    if length > MOST {
        return None;
    }
    let bytes = tokio::fs::read(&message.path).await.ok()?;
    let text = base64::engine::general_purpose::STANDARD.encode(bytes);
    let kind = kind_of(file_of(message));
    Some(format!("Content-type: {kind}\nContent-Transfer-Encoding: base64\n\n{text}"))
}

async fn list(call: &ApiCall, request: &Request, messages: &[Message]) -> String {
    let mut text = String::new();
    for message in messages {
        let created = rss::date(call, message.created).await;
        let heard = match message.read {
            0 => "never".to_owned(),
            read => rss::date(call, read).await,
        };
        text += &entry(request, message, &created, &heard);
    }
    let plural = if messages.len() == 1 { "" } else { "s" };
    text + &format!("<p>{} message{plural}</p>\n", messages.len())
}

fn entry(request: &Request, message: &Message, created: &str, heard: &str) -> String {
    let uri = in_xml(&request.uri);
    let file = in_xml(file_of(message));
    format!(
        "<h3>Message from {} {}</h3>\n<p>Priority: {}<br>\nCreated: {}<br>\nLast Heard: {}<br>\nDuration: {}</p>\n\
         <p><audio controls preload=\"none\" src=\"{uri}/get/{file}\"></audio></p>\n\
         <p>[<a href=\"{uri}/del/{file}\">delete</a>] [<a href=\"{uri}/get/{file}\">download</a>]</p>\n<hr>\n",
        in_xml(&message.cid_name),
        in_xml(&message.cid_number),
        if message.is_urgent() { "urgent" } else { "normal" },
        in_xml(created),
        in_xml(heard),
        clock_time(message.seconds),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_caller_is_called_is_no_part_of_the_page() {
        let text = |text: &str| text.to_owned();
        let request = Request {
            host: text("h:80"),
            uri: text("/webapi/voicemail"),
            path: text("web"),
            user: text("1"),
            domain: text("d"),
        };
        let message = Message {
            cid_name: text("<script>x</script>"),
            path: text("/a/msg_1.wav"),
            ..Message::default()
        };
        let shown = entry(&request, &message, "now", "never");
        assert!(
            shown.contains("Message from &lt;script&gt;x") && !shown.contains("<script"),
            "{shown}"
        );
        assert!(shown.contains("src=\"/webapi/voicemail/get/msg_1.wav\""), "{shown}");
    }
}
