//! The actions of an answer, but for those that play and record (`sound`, `recording`).

use std::sync::Arc;

use base::far;
use dialplan_xml::Node;
use parking_lot::Mutex;
use switch_core::call::transfer::transfer;
use switch_core::call::{Cause, Channel, Interrupt, Session};
use switch_core::contract::ChatMessage;
use switch_core::{level_or_debug, log_line, text};

use crate::client::Client;
use crate::settings::{Profile, allows};

/// What follows an action.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// The next action, or the next request.
    Go,
    /// The application ends and the dialplan goes on.
    Leave,
}

/// A binding that the caller's keys matched in this answer.
#[derive(Clone, Debug)]
pub(crate) struct Matched {
    pub(crate) digits: String,
    /// Where the next request goes: the binding's own, or its action's.
    pub(crate) action: Option<String>,
    /// The digits end before any of these.
    pub(crate) strip: String,
}

/// Does the actions of one answer.
pub(crate) struct Worker<'s> {
    pub(crate) session: &'s mut Session,
    pub(crate) channel: Arc<Channel>,
    pub(crate) client: Arc<Mutex<Client>>,
    pub(crate) profile: Arc<Profile>,
    /// Stays for the further actions of the answer, as in the reference.
    pub(crate) matched: Option<Matched>,
}

const ACTIONS: &[&str] = &[
    "execute",
    "sms",
    "dial",
    "pause",
    "answer",
    "preanswer",
    "ringready",
    "hangup",
    "record",
    "recordcall",
    "playback",
    "vmname",
    "speak",
    "say",
    "conference",
    "break",
    "log",
    "continue",
    "getvariable",
    "voicemail",
];

pub(crate) fn attr<'t>(tag: Node<'t>, name: &str) -> Option<&'t str> {
    tag.attr(name).filter(|value| !value.is_empty())
}

impl<'s> Worker<'s> {
    pub(crate) fn new(
        session: &'s mut Session,
        client: Arc<Mutex<Client>>,
        profile: Arc<Profile>,
    ) -> Self {
        let channel = Arc::clone(session.channel());
        Self { session, channel, client, profile, matched: None }
    }

    /// Is there such an action?
    pub(crate) fn knows(name: &str) -> bool {
        ACTIONS.contains(&name.to_ascii_lowercase().as_str())
    }

    /// Does one action; `body` is its text.
    pub(crate) async fn work(&mut self, tag: Node<'_>, body: &str) -> Result<Next, Interrupt> {
        self.session.check()?;
        {
            let mut client = self.client.lock();
            if let Some(action) = tag.attr("action") {
                client.params.set("url", action);
            }
            if let Some(action) = tag.attr("temp-action") {
                client.once.set("url", action);
            }
        }
        let name = tag.name().to_ascii_lowercase();
        match name.as_str() {
            "execute" => self.execute(tag, body).await,
            "sms" => Ok(self.sms(tag, body)),
            "dial" => self.dial(tag, body).await,
            "answer" => self.session.answer().await.map(|()| Next::Leave),
            "preanswer" => self.session.pre_answer().await.map(|()| Next::Leave),
            "ringready" => self.session.ring_ready(false).await.map(|()| Next::Leave),
            "hangup" => {
                let cause = attr(tag, "cause").unwrap_or(body).trim();
                let cause =
                    if cause.is_empty() { Cause::NORMAL_CLEARING } else { Cause::parse(cause) };
                self.channel.hangup(cause);
                Ok(Next::Leave)
            }
            "record" => self.record(tag).await,
            "recordcall" => self.record_call(tag).await,
            "pause" | "playback" | "vmname" | "speak" | "say" => self.sound(&name, tag, body).await,
            "conference" => self.conference(tag, body).await,
            "log" => {
                let level = level_or_debug(attr(tag, "level").unwrap_or_default());
                log_line(level, None, self.channel.uuid(), body);
                Ok(Next::Go)
            }
            "continue" => Ok(Next::Go),
            "getvariable" => Ok(self.get_variable(tag)),
            "voicemail" => self.voicemail(tag).await,
            _ => Ok(Next::Leave),
        }
    }

    /// The call ends: the server asked for what it may not do.
    pub(crate) fn deny(&self, why: &str) -> Next {
        tracing::error!(uuid = %self.channel.uuid(), "{why}");
        self.channel.hangup(Cause::DESTINATION_OUT_OF_ORDER);
        Next::Leave
    }

    /// An argument made of a server's text: unless the profile permits expansion, references in it are not taken for
    /// such.
    pub(crate) fn argument(&self, text: &str) -> String {
        if self.profile.permissions.expand_vars {
            return text.to_owned();
        }
        text.replace('$', &far::mark("$"))
    }

    async fn execute(&mut self, tag: Node<'_>, body: &str) -> Result<Next, Interrupt> {
        let data = attr(tag, "data").unwrap_or(body);
        let Some(application) = attr(tag, "application") else {
            return Ok(self.deny("Invalid app"));
        };
        let permissions = &self.profile.permissions;
        if !permissions.execute_apps || !allows(permissions.app_list.as_ref(), application) {
            return Ok(self.deny("Permission Denied!"));
        }
        if !permissions.expand_vars && data.contains('$') {
            return Ok(self.deny("Expand Variables: Permission Denied!"));
        }
        Box::pin(self.session.execute(application, data)).await?;
        Ok(Next::Go)
    }

    fn sms(&self, tag: Node<'_>, body: &str) -> Next {
        let Some(to) = tag.attr("to") else {
            tracing::error!(uuid = %self.channel.uuid(), "Missing 'to' Attribute!");
            return Next::Leave;
        };
        let from = self.channel.var("caller_id_number").unwrap_or_default();
        let message = ChatMessage { from: &from, to, body, kind: "text/plain" };
        let switch = self.channel.switch();
        let chat = switch.provided(|provides| provides.chats).find(|chat| chat.name == "sip");
        if !chat.is_some_and(|chat| (chat.send)(switch, &message)) {
            tracing::error!(uuid = %self.channel.uuid(), "httapi: no message can be sent to {to}");
        }
        Next::Go
    }

    async fn dial(&mut self, tag: Node<'_>, body: &str) -> Result<Next, Interrupt> {
        let may = &self.profile.permissions;
        if !may.dial {
            return Ok(self.deny("Permission Denied!"));
        }
        let given = |allowed: bool, name: &str| attr(tag, name).filter(|_| allowed);
        let context = given(may.dial_set_context, "context");
        let dialplan = given(may.dial_set_dialplan, "dialplan");
        let name = given(may.dial_set_cid_name, "caller-id-name");
        let number = given(may.dial_set_cid_number, "caller-id-number");
        if may.dial_full_originate && body.contains('/') {
            let own = |given: Option<&str>, variable: &str| {
                let own = || self.channel.var_marked(variable).unwrap_or_default();
                given.map_or_else(own, str::to_owned)
            };
            let argument = format!(
                "{{origination_caller_id_name='{}',origination_caller_id_number='{}'}}{body}",
                own(name, "caller_id_name"),
                own(number, "caller_id_number")
            );
            let argument = self.argument(&argument);
            Box::pin(self.session.execute("bridge", &argument)).await?;
            return Ok(Next::Go);
        }
        for (value, variable, shown) in [
            (name, "effective_caller_id_name", "Name"),
            (number, "effective_caller_id_number", "Number"),
        ] {
            if let Some(value) = value {
                tracing::info!(uuid = %self.channel.uuid(), "Changing Caller-ID {shown} to: {value}");
                self.channel.set_var(variable, value);
            }
        }
        transfer(&self.channel, body, dialplan, context);
        Ok(Next::Go)
    }

    async fn conference(&mut self, tag: Node<'_>, body: &str) -> Result<Next, Interrupt> {
        let may = &self.profile.permissions;
        if !may.conference {
            return Ok(self.deny("Permission Denied!"));
        }
        // The reference takes the configured profile although the answer names one, unless that is permitted.
        let profile = attr(tag, "profile").filter(|_| may.conference_set_profile);
        let profile = profile.unwrap_or(&self.profile.conference_profile);
        let room = body.split('@').next().unwrap_or_default();
        let mut argument = format!("{room}@{profile}");
        if let Some(pin) = attr(tag, "pin") {
            argument.push_str(&format!("+{pin}"));
        }
        if let Some(flags) = attr(tag, "flags") {
            argument.push_str(&format!("+flags{{{flags}}}"));
        }
        let argument = self.argument(&argument);
        Box::pin(self.session.execute("conference", &argument)).await?;
        Ok(Next::Go)
    }

    fn get_variable(&self, tag: Node<'_>) -> Next {
        let Some(name) = attr(tag, "name") else {
            tracing::error!(uuid = %self.channel.uuid(), "Missing name attribute!");
            return Next::Go;
        };
        let may = &self.profile.permissions;
        if !may.get_vars || !allows(may.get_list.as_ref(), name) {
            tracing::error!(uuid = %self.channel.uuid(), "variable {name} permission denied!");
            return Next::Leave;
        }
        if let Some(value) = self.channel.var(name) {
            let mut client = self.client.lock();
            let lasts = tag.attr("permanent").is_some_and(text::is_true);
            let form = if lasts { &mut client.params } else { &mut client.once };
            form.set(name, value);
        }
        Next::Go
    }

    async fn voicemail(&mut self, tag: Node<'_>) -> Result<Next, Interrupt> {
        let is = |name: &str| tag.attr(name).is_some_and(text::is_true);
        let auth = is("auth-only");
        let check = if auth || is("check") { "check" } else { "" };
        let profile = attr(tag, "profile").unwrap_or("default");
        let own = || self.channel.switch().global("domain").unwrap_or_default();
        let domain = attr(tag, "domain").map_or_else(own, str::to_owned);
        let auth = if auth { "auth_only" } else { "" };
        let id = tag.attr_or_empty("id");
        let argument = format!("{check} {auth} {profile} {domain} {id}");
        let argument = self.argument(argument.trim_start_matches(' '));
        Box::pin(self.session.execute("voicemail", &argument)).await?;
        Ok(Next::Go)
    }
}
