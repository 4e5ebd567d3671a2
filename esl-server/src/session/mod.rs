//! One connection's conversation: what it may do, what it hears, and what each command answers.
//!
//! No sockets and no clock here. [`Session::handle`] takes a packet and says what to do; the
//! connection does it. Reply texts are those of the reference, letter for letter.

mod api;
mod auth;
mod filter;
pub(crate) mod reply;
pub(crate) mod resume;
mod selection;
mod subscribe;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::sync::Notify;
use tracing::warn;

pub(crate) use api::{ApiCall, Job};
pub(crate) use auth::Login;
use auth::{Permissions, UserLogin, same_secret};
use filter::Filters;
use selection::Selections;

use crate::bus::Subscription;
use crate::clients::Client;
use crate::event::{Event, EventName, Format};
use crate::frame::Packet;
use crate::log::LogSubscription;
use crate::switch::{CallControl, CallMessage, EslUser, Switch, is_true, leading_number};

/// Events, and log lines, held for one connection until its client reads them.
pub(crate) const QUEUE_CAPACITY: usize = 100_000;

/// Longest `Job-UUID` taken from a client, in bytes.
const MAX_JOB_ID: usize = 256;

/// A conversation.
pub(crate) struct Session {
    switch: Arc<dyn Switch>,
    /// `None` once logged in, and for outbound connections.
    password: Option<Arc<str>>,
    permissions: Permissions,
    /// How this connection came from a call; `None` for one that came to us.
    outbound: Option<OutboundMode>,
    call: Option<Arc<dyn CallControl>>,
    format: Format,
    events: Option<Subscription>,
    listening: bool,
    my_events_on: bool,
    restriction: Restriction,
    filters: Filters,
    selections: Selections,
    logs: Option<LogSubscription>,
    logging: bool,
    linger: Linger,
    diverting: bool,
    connected: bool,
    packets: u64,
    /// Where an inbound client comes from, for the log.
    peer: Option<SocketAddr>,
    /// The directory user who logged in; `None` for the listener's own password.
    account: Option<String>,
    /// What the login asked for about coming back.
    asked: Option<resume::Asked>,
    numbering: Option<resume::Numbering>,
    /// Events of an earlier connection that are sent again.
    again: VecDeque<(u64, Arc<Event>)>,
    parked: Option<Arc<resume::Parked>>,
    /// Told when the client has come back on another connection.
    elsewhere: Option<Arc<Notify>>,
    /// Its line among those who are connected.
    client: Option<Arc<Client>>,
}

/// The flags of the `socket` application.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct OutboundMode {
    pub(crate) asynchronous: bool,
    pub(crate) full: bool,
}

/// Which calls' events pass.
#[derive(Debug, PartialEq, Eq)]
enum Restriction {
    None,
    AnyCall,
    Call(String),
}

/// What happens when the bound call hangs up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Linger {
    /// The connection is closed.
    Off,
    /// It stays until the client closes it.
    Forever,
    /// It stays for so many seconds.
    Seconds(u32),
}

/// What the connection does about a packet.
pub(crate) enum Outcome {
    /// Writes a reply.
    Reply(Vec<u8>),
    /// Writes nothing.
    Silent,
    /// Runs a command, then writes its output.
    Api(ApiCall),
    /// Writes a reply, then starts a command.
    Background(Vec<u8>, Job),
    /// Runs a message in the call's own task, then answers `+OK` unless told not to.
    Execute { message: CallMessage, silent: bool },
    /// Judges a password: [`Session::log_in_with`] or [`Session::log_in_user`], unless it is held back.
    LogIn(Login),
    /// Writes a reply, then the notice, and closes.
    Bye(Vec<u8>),
}

impl From<&str> for Outcome {
    fn from(text: &str) -> Self {
        Self::Reply(reply::command(text))
    }
}

impl From<Cow<'_, str>> for Outcome {
    fn from(text: Cow<'_, str>) -> Self {
        (*text).into()
    }
}

impl From<String> for Outcome {
    fn from(text: String) -> Self {
        text.as_str().into()
    }
}

impl Session {
    /// A conversation with a client that has to log in.
    pub(crate) fn inbound(switch: Arc<dyn Switch>, password: Arc<str>) -> Self {
        Self::new(switch, Some(password), None, None)
    }

    /// A conversation about a call that runs the `socket` application.
    pub(crate) fn outbound(
        switch: Arc<dyn Switch>,
        call: Arc<dyn CallControl>,
        mode: OutboundMode,
    ) -> Self {
        Self::new(switch, None, Some(call), Some(mode))
    }

    fn new(
        switch: Arc<dyn Switch>,
        password: Option<Arc<str>>,
        call: Option<Arc<dyn CallControl>>,
        outbound: Option<OutboundMode>,
    ) -> Self {
        Self {
            switch,
            password,
            permissions: Permissions::default(),
            outbound,
            call,
            format: Format::Plain,
            events: None,
            listening: false,
            my_events_on: false,
            restriction: Restriction::None,
            filters: Filters::default(),
            selections: Selections::default(),
            logs: None,
            logging: false,
            linger: Linger::Off,
            diverting: false,
            connected: false,
            packets: 0,
            peer: None,
            account: None,
            asked: None,
            numbering: None,
            again: VecDeque::new(),
            parked: None,
            elsewhere: None,
            client: None,
        }
    }

    /// Where the client comes from.
    pub(crate) const fn peer(&self) -> Option<SocketAddr> {
        self.peer
    }

    /// Notes where the client comes from.
    pub(crate) const fn coming_from(mut self, peer: SocketAddr) -> Self {
        self.peer = Some(peer);
        self
    }

    /// Notes how far the client is behind, and who it is.
    pub(crate) fn known_as(mut self, client: Arc<Client>) -> Self {
        self.client = Some(client);
        self
    }

    /// Whether the client may use more than the commands for logging in.
    pub(crate) const fn is_authenticated(&self) -> bool {
        self.password.is_none()
    }

    /// Whether any packet was handled yet.
    pub(crate) const fn has_spoken(&self) -> bool {
        self.packets > 0
    }

    /// Whether the client of an outbound connection has said `connect`.
    pub(crate) const fn is_connected(&self) -> bool {
        self.connected
    }

    /// The call this connection is bound to.
    pub(crate) fn call(&self) -> Option<&Arc<dyn CallControl>> {
        self.call.as_ref()
    }

    /// What to do when that call hangs up.
    pub(crate) const fn linger_mode(&self) -> Linger {
        self.linger
    }

    pub(crate) fn subscription(&self) -> Option<&Subscription> {
        self.events.as_ref()
    }

    pub(crate) fn log_subscription(&self) -> Option<&LogSubscription> {
        self.logs.as_ref()
    }

    pub(crate) const fn switch(&self) -> &Arc<dyn Switch> {
        &self.switch
    }

    /// Interprets a packet.
    pub(crate) fn handle(&mut self, packet: Packet) -> Outcome {
        self.packets += 1;
        let first_outbound = self.packets == 1 && self.outbound.is_some();
        let outcome = self.dispatch(packet);
        if first_outbound && !self.connected { unanswered(outcome) } else { outcome }
    }

    /// The order of the tests is the reference's and matters, since each is a prefix test.
    fn dispatch(&mut self, packet: Packet) -> Outcome {
        let line = packet.command.as_str();
        let is = |prefix: &str| has_prefix(line, prefix);
        let after = |prefix: &str| line.get(prefix.len()..).unwrap_or_default();
        if is("exit") || is("...") {
            return Outcome::Bye(reply::command("+OK bye"));
        }
        if !self.is_authenticated() {
            self.asked = resume::Asked::of(&packet);
            return log_in(line);
        }
        if let Some(command) = own_module_command(line) {
            return self.api(command, &packet);
        }
        if is("filter ") {
            return self.filter(after("filter ")).into();
        }
        if let Some(outcome) = self.bound_command(line) {
            return outcome;
        }
        if is("myevents ") && self.outbound.is_none() {
            return self.my_events_of(line).into();
        }
        if is("divert_events") {
            return self.divert_events(line).into();
        }
        if is("sendmsg") {
            return self.sendmsg(packet);
        }
        if self.outbound.is_some_and(|mode| !mode.full) {
            return reply::UNKNOWN.into();
        }
        if is("sendevent") {
            return self.sendevent(packet).into();
        }
        if is("api ") {
            return self.api(after("api "), &packet);
        }
        if is("bgapi ") {
            return self.bgapi(after("bgapi "), &packet);
        }
        if is("log") {
            return self.log(after("log")).into();
        }
        if is("linger") {
            return self.set_linger(line).into();
        }
        if is("nolinger") {
            return self.no_linger().into();
        }
        if is("nolog") {
            return self.nolog().into();
        }
        if is("event") {
            return self.event(&packet);
        }
        if is("nixevent") {
            return self.nixevent(line).into();
        }
        if is("noevents") {
            return self.noevents().into();
        }
        reply::UNKNOWN.into()
    }

    /// Admits a client that knows the listener's password.
    pub(crate) fn log_in_with(&mut self, given: &str) -> Outcome {
        if !self.password.as_deref().is_some_and(|password| same_secret(given, password)) {
            return self.refuse_login("auth");
        }
        self.password = None;
        let told = self.resume();
        let told: Vec<_> = told.iter().map(|(name, value)| (*name, value.as_str())).collect();
        Outcome::Reply(reply::command_with("+OK accepted", &told))
    }

    /// Logs it, for tools that ban addresses that guess passwords.
    fn refuse_login(&self, command: &str) -> Outcome {
        let peer = self.peer.map_or_else(String::new, |peer| format!(" from {peer}"));
        warn!("event socket: {command}{peer} refused: wrong user or password");
        Outcome::Bye(reply::command(reply::INVALID))
    }

    /// Admits a user as far as the directory says, or refuses.
    pub(crate) fn log_in_user(&mut self, login: &UserLogin, entry: Option<EslUser>) -> Outcome {
        let valid = login.is_valid(entry.as_ref());
        let Some(entry) = entry.filter(|_| valid) else {
            return self.refuse_login("userauth");
        };
        self.permissions = Permissions::of(&entry);
        self.password = None;
        let account = format!("{}@{}", login.user, login.domain);
        if let Some(client) = &self.client {
            client.is_account(&account);
        }
        self.account = Some(account);
        let told = self.resume();
        let mut headers = vec![
            ("Allowed-Events", entry.allowed_events.as_deref().unwrap_or("all")),
            ("Allowed-API", entry.allowed_api.as_deref().unwrap_or("all")),
            ("Allowed-LOG", if self.permissions.log() { "true" } else { "false" }),
        ];
        headers.extend(told.iter().map(|(name, value)| (*name, value.as_str())));
        Outcome::Reply(reply::command_with("+OK accepted", &headers))
    }

    /// Commands that exist only on a connection bound to a call.
    fn bound_command(&mut self, line: &str) -> Option<Outcome> {
        let call = Arc::clone(self.call.as_ref()?);
        let is = |prefix: &str| has_prefix(line, prefix);
        if is("resume") {
            call.setvar("socket_resume", Some("true"));
            return Some(reply::OK.into());
        }
        if is("connect") {
            self.connected = true;
            return Some(Outcome::Reply(self.connect(call.as_ref())));
        }
        if is("getvar") {
            let name = line.split_once(' ').map_or("", |(_, name)| name);
            return Some(reply::one_line(&call.getvar(name).unwrap_or_default()).into());
        }
        is("myevents").then(|| self.my_events(line).into())
    }

    /// The state of the call as a `CHANNEL_DATA` event that is its own header block.
    fn connect(&self, call: &dyn CallControl) -> Vec<u8> {
        let mode = self.outbound.unwrap_or(OutboundMode { asynchronous: true, full: true });
        let mut event = call.channel_data();
        crate::stamp!(self.switch.bus(), &mut event);
        event
            .set("Content-Type", "command/reply")
            .set("Reply-Text", "+OK\n")
            .set("Socket-Mode", if mode.asynchronous { "async" } else { "static" })
            .set("Control", if mode.full { "full" } else { "single-channel" });
        event.plain().to_vec()
    }

    fn divert_events(&mut self, line: &str) -> &'static str {
        let Some(call) = self.call.clone() else {
            return "-ERR not controlling a session.";
        };
        let word = line.get("divert_events".len()..).unwrap_or_default().trim();
        if word.is_empty() {
            return "-ERR missing value.";
        }
        self.diverting = word.eq_ignore_ascii_case("on");
        let sink = self.diverting.then(|| self.events().sink());
        call.divert_events(sink);
        if self.diverting { "+OK events diverted" } else { "+OK events not diverted" }
    }

    /// `sendmsg [<uuid>]`: the UUID of the line, of the header `session-id`, or the bound call.
    fn sendmsg(&mut self, packet: Packet) -> Outcome {
        let on_line = packet.command.split_once(' ').map_or("", |(_, uuid)| uuid.trim()).to_owned();
        let named = match on_line.as_str() {
            "" => {
                packet.headers.get("session-id").map(|id| id.trim().to_owned()).unwrap_or_default()
            }
            _ => on_line.clone(),
        };
        let bound =
            self.call.as_ref().filter(|call| named.is_empty() || call.uuid() == named).cloned();
        let is_bound = bound.is_some();
        let Some(call) = bound.or_else(|| self.switch.call(&named)) else {
            return format!("-ERR invalid session id [{named}]").into();
        };
        let mut message = CallMessage::default();
        message
            .headers
            .push("Command", if on_line.is_empty() { packet.block } else { packet.command });
        for header in packet.headers {
            message.headers.push(header.name, header.value);
        }
        message.body = packet.body;
        if is_bound && self.outbound.is_some_and(|mode| !mode.asynchronous) && !message.is_async() {
            return Outcome::Execute { message, silent: false };
        }
        match call.post(message) {
            Ok(()) => reply::OK.into(),
            Err(_) => Outcome::Bye(Vec::new()),
        }
    }

    /// `sendevent <NAME>`: broadcast, or queued to the live call its `unique-id` names.
    fn sendevent(&mut self, packet: Packet) -> String {
        let name =
            packet.command.split_once(' ').and_then(|(_, name)| EventName::parse(name.trim()));
        let mut event = Event::new(name.unwrap_or(EventName::Clone));
        event.push("Command", packet.command);
        for header in packet.headers {
            event.push(header.name, header.value);
        }
        if let Some(body) = packet.body {
            event.set_body(body);
        }
        let id = uuid::Uuid::new_v4().to_string();
        event.push("Event-UUID", id.as_str());
        let target = event.get("unique-id").map(|uuid| uuid.into_owned());
        let event = match target {
            Some(uuid) => self.switch.queue_event_to_call(&uuid, event).err(),
            None => Some(event),
        };
        if let Some(mut event) = event {
            self.switch.bus().stamp_last(&mut event, crate::caller!());
            self.switch.bus().deliver(event);
        }
        format!("+OK {id}")
    }

    fn api(&self, line: &str, packet: &Packet) -> Outcome {
        let console = packet.headers.get("console_execute").is_some_and(|text| is_true(&text));
        let call = ApiCall::parse(line, console);
        if self.allows(&call) { Outcome::Api(call) } else { reply::DENIED.into() }
    }

    fn bgapi(&self, line: &str, packet: &Packet) -> Outcome {
        let call = ApiCall::parse(line, false);
        if !self.allows(&call) {
            return reply::DENIED.into();
        }
        let uuid = match packet.headers.get("Job-UUID") {
            Some(id) => cut(&id, MAX_JOB_ID).to_owned(),
            None => uuid::Uuid::new_v4().to_string(),
        };
        let text = reply::command_with(&format!("+OK Job-UUID: {uuid}"), &[("Job-UUID", &uuid)]);
        let owner = self.call.as_ref().map(|call| call.uuid().to_owned());
        Outcome::Background(text, Job { uuid, call, owner })
    }

    /// Every command of console input must be allowed. The reference asks only about the first, and
    /// runs the others.
    fn allows(&self, call: &ApiCall) -> bool {
        !self.permissions.restrict_api()
            || call.lines(self.switch.as_ref()).iter().all(|line| self.permissions.api(line))
    }

    fn set_linger(&mut self, line: &str) -> String {
        if self.call.is_none() {
            return reply::NOT_CONTROLLING.into();
        }
        let seconds = line
            .split_once(' ')
            .map(|(_, n)| leading_number(n))
            .and_then(|n| u32::try_from(n).ok());
        self.linger = seconds.map_or(Linger::Forever, Linger::Seconds);
        match seconds {
            Some(n) => format!("+OK will linger {n} seconds"),
            None => "+OK will linger".into(),
        }
    }

    fn no_linger(&mut self) -> &'static str {
        if self.call.is_none() {
            return reply::NOT_CONTROLLING;
        }
        self.linger = Linger::Off;
        "+OK will not linger"
    }

    /// Ends what this connection set up at the call.
    pub(crate) fn release(&mut self) {
        if let Some(call) = self.call.as_ref().filter(|_| self.diverting) {
            call.divert_events(None);
        }
        self.diverting = false;
        self.leave();
        self.events = None;
        self.logs = None;
    }

    /// Subscribed on first use, so that a client that never logs in costs the bus nothing.
    fn events(&mut self) -> &Subscription {
        self.events.get_or_insert_with(|| {
            let events = self.switch.bus().subscribe(QUEUE_CAPACITY);
            if let Some(client) = &self.client {
                client.reads(events.depth());
            }
            events
        })
    }

    fn logs(&mut self) -> &LogSubscription {
        self.logs.get_or_insert_with(|| self.switch.logs().subscribe(QUEUE_CAPACITY, None))
    }
}

/// What a client may say before it has logged in.
fn log_in(line: &str) -> Outcome {
    if let Some(given) = strip_prefix_ignore_case(line, "auth ") {
        return Outcome::LogIn(Login::Password(given.to_owned()));
    }
    if let Some(credentials) = strip_prefix_ignore_case(line, "userauth ") {
        return match UserLogin::parse(credentials) {
            Some(login) => Outcome::LogIn(Login::User(login)),
            None => Outcome::Bye(reply::command(reply::INVALID)),
        };
    }
    reply::UNKNOWN.into()
}

/// The first packet of an outbound connection is executed, but answered only if it is `connect`, or
/// an API command.
fn unanswered(outcome: Outcome) -> Outcome {
    match outcome {
        Outcome::Reply(_) => Outcome::Silent,
        Outcome::Background(_, job) => Outcome::Background(Vec::new(), job),
        Outcome::Execute { message, .. } => Outcome::Execute { message, silent: true },
        Outcome::Bye(_) => Outcome::Bye(Vec::new()),
        other => other,
    }
}

/// Unloading this module from its own connection is done in the background, as in the reference.
fn own_module_command(line: &str) -> Option<&'static str> {
    let line = line.to_ascii_lowercase();
    if !line.contains("mod_event_socket") {
        return None;
    }
    if line.contains("unload") {
        Some("bgapi unload mod_event_socket")
    } else {
        line.contains("reload").then_some("bgapi reload mod_event_socket")
    }
}

/// The first `most` bytes of a text, fewer where that would split a character.
fn cut(text: &str, most: usize) -> &str {
    text.get(..text.floor_char_boundary(most)).unwrap_or_default()
}

fn has_prefix(line: &str, prefix: &str) -> bool {
    line.as_bytes()
        .get(..prefix.len())
        .is_some_and(|head| head.eq_ignore_ascii_case(prefix.as_bytes()))
}

fn strip_prefix_ignore_case<'a>(line: &'a str, prefix: &str) -> Option<&'a str> {
    has_prefix(line, prefix).then(|| line.get(prefix.len()..)).flatten()
}
