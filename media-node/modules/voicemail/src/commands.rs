//! `vm_…` and `voicemail…`: boxes from outside a call.

use std::sync::Arc;

use base::xml::in_xml;
use switch_core::api;
use switch_core::api::{Api, ApiCall};
use switch_core::text;

use crate::boxes::{self, Boxes, Loaded};
use crate::deliver::{Injection, inject};
use crate::mwi::{self, Reason};
use crate::rss;
use crate::store::{Counts, Message, Prefs};
use crate::web;

const BOXCOUNT: &str = "[profile/]<user>@<domain>[|[new|saved|new-urgent|saved-urgent|all]]";
const PREFS: &str = "[profile/]<user>@<domain>[|[name_path|greeting_path|password]]";
const INJECT: &str = "[group=<group>[@domain]|domain=<domain>|<box>[@<domain>]] <sound_file> [<cid_num>] [<cid_name>]";
const DELETE: &str = "<id>@<domain>[/profile] [<uuid>]";
const READ: &str = "<id>@<domain>[/profile] <read|unread> [<uuid>]";
const LIST: &str = "<id>@<domain>[/profile] [xml]";
const VOICEMAIL: &str =
    "rss [<host> <port> <uri> <user> <domain>] | [load|unload|reload] <profile> [reloadxml]";

/// The family.
pub(crate) const APIS: &[Api] = &[
    api!("voicemail", "mod_voicemail", VOICEMAIL, "voicemail", async voicemail),
    api!("voicemail_inject", "mod_voicemail", INJECT, "voicemail_inject", async vm_inject),
    api!("vm_inject", "mod_voicemail", INJECT, "vm_inject", async vm_inject),
    api!("vm_boxcount", "mod_voicemail", BOXCOUNT, "vm_boxcount", async vm_boxcount),
    api!("vm_prefs", "mod_voicemail", PREFS, "vm_prefs", async vm_prefs),
    api!("vm_delete", "mod_voicemail", DELETE, "vm_delete", async vm_delete),
    api!("vm_read", "mod_voicemail", READ, "vm_read", async vm_read),
    api!("vm_list", "mod_voicemail", LIST, "vm_list", async vm_list),
];

const NO_PROFILE: &str = "-ERR No such profile\n";
const NOT_FOUND: &str = "-ERR can't find user or profile.\n";

/// What the database said, for the one who asked.
pub(crate) fn told(error: &database::Error) -> String {
    tracing::error!("voicemail: {error}");
    format!("-ERR {error}\n")
}

/// `[profile/]user@domain[|what]`.
struct Asked<'t> {
    profile: Option<&'t str>,
    user: &'t str,
    domain: Option<&'t str>,
    what: Option<&'t str>,
}

impl<'t> Asked<'t> {
    fn parse(text: &'t str) -> Self {
        let (profile, rest) =
            text.split_once('/').map_or((None, text), |(profile, rest)| (Some(profile), rest));
        let sip = rest.get(..4).is_some_and(|p| p.eq_ignore_ascii_case("sip:"));
        let rest = if sip { &rest[4..] } else { rest };
        let (user, rest) =
            rest.split_once('@').map_or((rest, None), |(user, rest)| (user, Some(rest)));
        let (domain, what) = match rest.map(|rest| rest.split_once('|').ok_or(rest)) {
            None => (None, None),
            Some(Ok((domain, what))) => (Some(domain), Some(what)),
            Some(Err(domain)) => (Some(domain), None),
        };
        Self { profile: profile.filter(|p| !p.is_empty()), user, domain, what }
    }
}

async fn vm_boxcount(call: ApiCall) -> String {
    let asked = Asked::parse(call.args.trim());
    if asked.user.is_empty() {
        return "0".into();
    }
    let mut counts = Counts::default();
    if let Some(domain) = asked.domain {
        let boxes = match asked.profile {
            Some(name) => match boxes::find(&call.switch, name).await {
                Some(boxes) => Some(boxes),
                None => return NO_PROFILE.into(),
            },
            None => call.switch.module::<Loaded>().all().into_iter().next(),
        };
        if let Some(boxes) = boxes {
            counts = mwi::counts(&call.switch, &boxes, asked.user, domain).await;
        }
    }
    let Counts { new, saved, new_urgent, saved_urgent } = counts;
    match asked.what.unwrap_or_default().to_ascii_lowercase().as_str() {
        "saved" => saved.to_string(),
        "new-urgent" => new_urgent.to_string(),
        // The reference knows this one by another name than its usage text says.
        "new-saved" | "saved-urgent" => saved_urgent.to_string(),
        "all" => format!("{new}:{saved}:{new_urgent}:{saved_urgent}"),
        _ => new.to_string(),
    }
}

async fn vm_prefs(call: ApiCall) -> String {
    let asked = Asked::parse(call.args.trim());
    if asked.user.is_empty() {
        return "0".into();
    }
    let Some(domain) = asked.domain else { return "-ERR No domain specified\n".into() };
    let Some(boxes) = boxes::find(&call.switch, asked.profile.unwrap_or("default")).await else {
        return match asked.profile {
            Some(_) => NO_PROFILE.into(),
            None => "-ERR profile 'default' doesn't exist\n".into(),
        };
    };
    let prefs = match boxes.store.prefs(asked.user, domain).await {
        Ok(prefs) => prefs.unwrap_or_default(),
        Err(error) => return told(&error),
    };
    let Prefs { name_path, greeting_path, password } = prefs;
    match asked.what.unwrap_or("greeting_path").to_ascii_lowercase().as_str() {
        "greeting_path" => greeting_path,
        "name_path" => name_path,
        "password" => password,
        _ => format!("{greeting_path}:{name_path}:{password}"),
    }
}

async fn vm_inject(call: ApiCall) -> String {
    let done = match Injection::parse(&call.marked) {
        Some(order) => inject(&call.switch, order, call.channel.clone()).await,
        None => {
            tracing::error!("Not enough args [{}]", call.args);
            false
        }
    };
    if done { "+OK\n".into() } else { format!("Error: {INJECT}\n") }
}

/// `id@domain[/profile] [word [word]]`.
struct Mailbox<'t> {
    id: &'t str,
    domain: &'t str,
    profile: &'t str,
    words: Vec<&'t str>,
}

impl<'t> Mailbox<'t> {
    fn parse(text: &'t str) -> Option<Self> {
        let (id, rest) = text.split_once('@')?;
        let mut words = rest.split(' ').filter(|word| !word.is_empty());
        let place = words.next()?;
        let (domain, profile) = place.split_once('/').unwrap_or((place, "default"));
        Some(Self { id, domain, profile, words: words.collect() })
    }

    async fn boxes(&self, call: &ApiCall) -> Option<Arc<Boxes>> {
        boxes::find(&call.switch, self.profile).await
    }
}

async fn vm_delete(call: ApiCall) -> String {
    let args = call.args.trim();
    if args.is_empty() {
        return format!("Usage: {DELETE}\n");
    }
    let Some(asked) = Mailbox::parse(args) else { return NOT_FOUND.into() };
    let Some(boxes) = asked.boxes(&call).await else { return NOT_FOUND.into() };
    let uuid = asked.words.first().copied();
    match boxes.store.paths(asked.id, asked.domain, uuid).await {
        Ok(paths) => remove(&paths).await,
        Err(error) => return told(&error),
    }
    if let Err(error) = boxes.store.delete(asked.id, asked.domain, uuid).await {
        return told(&error);
    }
    mwi::update(&call.switch, &boxes, asked.id, asked.domain, Reason::Delete).await;
    "+OK\n".into()
}

pub(crate) async fn remove(paths: &[String]) {
    for path in paths {
        if let Err(error) = tokio::fs::remove_file(path).await {
            tracing::warn!("Failed to delete file [{path}]: {error}");
        }
    }
}

async fn vm_read(call: ApiCall) -> String {
    let args = call.args.trim();
    if args.is_empty() {
        return format!("Usage: {READ}\n");
    }
    let Some(asked) = Mailbox::parse(args) else { return NOT_FOUND.into() };
    let read = match asked.words.first() {
        Some(word) if word.eq_ignore_ascii_case("read") => true,
        Some(word) if word.eq_ignore_ascii_case("unread") => false,
        _ => return NOT_FOUND.into(),
    };
    let Some(boxes) = asked.boxes(&call).await else { return NOT_FOUND.into() };
    let uuid = asked.words.get(1).copied();
    if let Err(error) = boxes.store.set_read(asked.domain, uuid, read).await {
        return told(&error);
    }
    mwi::update(&call.switch, &boxes, asked.id, asked.domain, Reason::Read).await;
    "+OK\n".into()
}

async fn vm_list(call: ApiCall) -> String {
    let args = call.args.trim();
    if args.is_empty() {
        return format!("Usage: {LIST}\n");
    }
    let Some(asked) = Mailbox::parse(args) else { return NOT_FOUND.into() };
    let Some(boxes) = asked.boxes(&call).await else { return NOT_FOUND.into() };
    let uuid = asked.words.get(1).copied();
    let listed = match boxes.store.listed(asked.id, asked.domain, uuid).await {
        Ok(listed) => listed,
        Err(error) => return told(&error),
    };
    let as_xml = asked.words.first().is_some_and(|word| word.eq_ignore_ascii_case("xml"));
    if as_xml {
        let inside: String = listed.iter().map(element).collect();
        return format!("<voicemail>\n{inside}</voicemail>\n");
    }
    listed.iter().map(line).collect()
}

fn line(message: &Message) -> String {
    let Message { created, read, user, domain, folder, path, uuid, .. } = message;
    let (name, number, seconds) = (&message.cid_name, &message.cid_number, message.seconds);
    format!("{created}:{read}:{user}:{domain}:{folder}:{path}:{uuid}:{name}:{number}:{seconds}\n")
}

fn element(message: &Message) -> String {
    let mut text = String::from(" <message>\n");
    for (name, value) in [
        ("created_epoch", message.created.to_string()),
        ("read_epoch", message.read.to_string()),
        ("username", message.user.clone()),
        ("domain", message.domain.clone()),
        ("folder", message.folder.clone()),
        ("path", message.path.clone()),
        ("uuid", message.uuid.clone()),
        ("cid-name", message.cid_name.clone()),
        ("cid-number", message.cid_number.clone()),
        ("message-len", message.seconds.to_string()),
    ] {
        text.push_str(&format!("  <{name}>{}</{name}>\n", in_xml(&value)));
    }
    text.push_str(" </message>\n");
    text
}

async fn voicemail(call: ApiCall) -> String {
    let words = text::words(&call.marked, 6);
    let word = |index: usize| words.get(index).map_or("", String::as_str);
    if let Some(request) = base::web::request() {
        return web::answer(&call, &request, word(0).eq_ignore_ascii_case("rss")).await;
    }
    let loaded = call.switch.module::<Loaded>();
    match (word(0).to_ascii_lowercase().as_str(), word(1)) {
        ("load", name) if !name.is_empty() => {
            let said = reload_xml(&call, word(2)).await;
            boxes::find(&call.switch, name).await;
            format!("{said}+OK load complete\n")
        }
        ("unload", name) if !name.is_empty() => {
            loaded.remove(name);
            "+OK unload complete\n".into()
        }
        ("reload", name) if !name.is_empty() => {
            loaded.remove(name);
            let said = reload_xml(&call, word(2)).await;
            boxes::find(&call.switch, name).await;
            format!("{said}+OK reload complete\n")
        }
        ("status", _) => {
            let bar = "============================\n";
            let all = loaded.all();
            let lines = all.iter().map(|one| format!("Profile: {}\n", one.profile.name));
            format!("{bar}{}{bar}", lines.collect::<String>())
        }
        ("rss", _) if words.len() == 6 => rss::feed(&call, &words).await,
        _ => format!("Error: {VOICEMAIL}\n"),
    }
}

async fn reload_xml(call: &ApiCall, word: &str) -> String {
    if !word.eq_ignore_ascii_case("reloadxml") {
        return String::new();
    }
    let said = Box::pin(call.switch.run_api("reloadxml", "", None)).await;
    let said = said.unwrap_or_default();
    let what = said.trim().trim_start_matches("+OK").trim();
    let what = what.trim_start_matches('[').trim_end_matches(']');
    format!("Reload XML [{what}]\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boxes_are_named_in_two_ways() {
        let asked = Asked::parse("prof/sip:1@d|all");
        assert_eq!(
            (asked.profile, asked.user, asked.domain, asked.what),
            (Some("prof"), "1", Some("d"), Some("all"))
        );
        let asked = Asked::parse("1");
        assert_eq!((asked.user, asked.domain), ("1", None));
        let asked = Mailbox::parse("1@d/prof read u").unwrap();
        assert_eq!((asked.id, asked.domain, asked.profile), ("1", "d", "prof"));
        assert_eq!(asked.words, ["read", "u"]);
        assert!(Mailbox::parse("1").is_none() && Mailbox::parse("1@").is_none());
    }

    #[test]
    fn what_callers_say_is_text_in_xml() {
        let message = Message { cid_name: "<b>&".into(), ..Message::default() };
        assert!(element(&message).contains("<cid-name>&lt;b&gt;&amp;</cid-name>"));
    }
}
