//! Expansion and routing on behalf of a call: the bridge between [`dialplan_xml::Host`] and channels.

use std::borrow::Cow;
use std::sync::Arc;

use dialplan_xml::dialplan::{Dialplan, RouteRequest, Routed, Trace};
use dialplan_xml::expand::{expand_async, expand_event_async};
use dialplan_xml::{Host, Later, LogLevel};
use esl_server::event::Event;
use jiff::Timestamp;

use crate::BoxFuture;
use crate::call::{CallerProfile, Cause, Channel, Session};
use crate::switch::Switch;

/// Expansion for a channel, with or without its task at hand.
pub struct ChannelHost<'a> {
    /// The switch whose commands and globals are used.
    pub switch: &'a Arc<Switch>,
    /// The channel; `None` expands without a call.
    pub channel: Option<&'a Arc<Channel>>,
}

impl Host for ChannelHost<'_> {
    fn variable(&mut self, name: &str) -> Option<String> {
        self.channel?.variable_marked(name)
    }

    fn element(&mut self, name: &str, index: usize) -> Option<String> {
        self.channel?.element_marked(name, index)
    }

    fn set_variable(&mut self, name: &str, value: Option<&str>) {
        if let Some(channel) = self.channel {
            channel.set_var_as_is(name.to_owned(), value.unwrap_or_default());
        }
    }

    fn push_variable(&mut self, name: &str, value: &str) {
        if let Some(channel) = self.channel {
            channel.push_var(name, value);
        }
    }

    fn clear_variables(&mut self, prefix: &str) {
        if let Some(channel) = self.channel {
            channel.clear_vars(prefix);
        }
    }

    fn field(&mut self, name: &str) -> Option<String> {
        self.channel?.field_marked(name)
    }

    fn global(&self, name: &str) -> Option<String> {
        self.switch.global_marked(name)
    }

    fn api<'a>(&'a mut self, command: &'a str, args: &'a str) -> Later<'a, Option<String>> {
        if !expands(self.switch) {
            return Later::Now(Some("<API Execute Permission Denied>".into()));
        }
        Later::Wait(Box::pin(self.switch.run_api_marked(command, args, self.channel.cloned())))
    }

    fn run_inline<'a>(&'a mut self, _application: &'a str, _data: &'a str) -> Later<'a, ()> {
        Later::Now(())
    }

    fn now(&self) -> Timestamp {
        crate::clock::timestamp()
    }

    fn channel_name(&self) -> String {
        self.channel.map(|channel| channel.name()).unwrap_or_default()
    }
}

/// Routing inside the channel's task: inline applications can run.
struct SessionHost<'a> {
    session: &'a mut Session,
    log_debug: bool,
}

impl SessionHost<'_> {
    fn base(&self) -> ChannelHost<'_> {
        ChannelHost { switch: self.session.switch(), channel: Some(self.session.channel()) }
    }
}

impl Host for SessionHost<'_> {
    fn variable(&mut self, name: &str) -> Option<String> {
        self.base().variable(name)
    }

    fn element(&mut self, name: &str, index: usize) -> Option<String> {
        self.base().element(name, index)
    }

    fn set_variable(&mut self, name: &str, value: Option<&str>) {
        self.base().set_variable(name, value);
    }

    fn push_variable(&mut self, name: &str, value: &str) {
        self.base().push_variable(name, value);
    }

    fn clear_variables(&mut self, prefix: &str) {
        self.base().clear_variables(prefix);
    }

    fn field(&mut self, name: &str) -> Option<String> {
        self.base().field(name)
    }

    fn global(&self, name: &str) -> Option<String> {
        self.session.switch().global_marked(name)
    }

    fn api<'a>(&'a mut self, command: &'a str, args: &'a str) -> Later<'a, Option<String>> {
        if !expands(self.session.switch()) {
            return Later::Now(Some("<API Execute Permission Denied>".into()));
        }
        let (switch, channel) = (self.session.switch(), Arc::clone(self.session.channel()));
        Later::Wait(Box::pin(switch.run_api_marked(command, args, Some(channel))))
    }

    fn run_inline<'a>(&'a mut self, application: &'a str, data: &'a str) -> Later<'a, ()> {
        let channel = self.session.channel();
        match self.session.switch().app(application) {
            None => {
                tracing::error!(uuid = %channel.uuid(), "Invalid Application {application}");
                channel.hangup(Cause::DESTINATION_OUT_OF_ORDER);
                Later::Now(())
            }
            Some(app) if app.flags.has(crate::app::Flags::ROUTING) => {
                Later::Wait(Box::pin(async {
                    let _ended = self.session.execute(application, data).await;
                }))
            }
            Some(_) => {
                tracing::error!(uuid = %channel.uuid(), "This application cannot be executed inline: {application}");
                Later::Now(())
            }
        }
    }

    fn now(&self) -> Timestamp {
        crate::clock::timestamp()
    }

    fn logs(&self, level: LogLevel) -> bool {
        self.log_debug || level < LogLevel::Debug
    }

    fn log(&mut self, level: LogLevel, line: String) {
        let uuid = self.session.channel().uuid();
        match level {
            LogLevel::Error => tracing::error!(%uuid, "{line}"),
            LogLevel::Warning => tracing::warn!(%uuid, "{line}"),
            LogLevel::Info => tracing::info!(%uuid, "{line}"),
            LogLevel::Debug => tracing::debug!(%uuid, "{line}"),
        }
    }

    fn channel_name(&self) -> String {
        self.session.channel().name()
    }
}

impl Session {
    /// Expands `${…}` for this call. Borrowed when there is nothing to expand. What a far end said is marked
    /// ([`base::far`]) in the result. A command in it that waits holds up this call alone.
    pub async fn expand<'t>(&mut self, text: &'t str) -> Cow<'t, str> {
        if !needs_expansion(text) {
            return Cow::Borrowed(text);
        }
        let mut host = SessionHost { session: self, log_debug: false };
        Cow::Owned(expand_async(text, &mut host).await)
    }

    /// Asks a compiled dialplan.
    pub(crate) async fn route_in(
        &mut self,
        dialplan: &Dialplan,
        context: &str,
        number: &str,
    ) -> Routed {
        let (caller_id_name, caller_id_number) = self.channel().with(|data| {
            let profile = data.profile.as_ref();
            let of = |field: fn(&CallerProfile) -> &String| profile.map(field).cloned();
            let name = of(|profile| &profile.caller_id_name).unwrap_or_default();
            (name, of(|profile| &profile.caller_id_number).unwrap_or_default())
        });
        let request = RouteRequest {
            context: context.to_owned(),
            destination_number: number.to_owned(),
            caller_id_name,
            caller_id_number,
            auto_hunt: self.channel().is_true("auto_hunt"),
        };
        let log_debug = tracing::enabled!(tracing::Level::DEBUG);
        let mut host = SessionHost { session: self, log_debug };
        dialplan.route_async(&request, &mut host, Trace::Off).await
    }
}

/// Expands text for a channel from outside its task (commands, hooks); without a channel, globals and commands only.
/// What a far end said is marked ([`base::far`]) in the result.
pub async fn expand_for(
    switch: &Arc<Switch>,
    channel: Option<&Arc<Channel>>,
    text: &str,
) -> String {
    if !needs_expansion(text) {
        return text.to_owned();
    }
    expand_async(text, &mut ChannelHost { switch, channel }).await
}

/// [`expand_for`] where nothing may wait: `then` gets the text at once, or, where a command in it takes its time, when
/// that has answered.
pub fn expand_then(
    channel: &Arc<Channel>,
    text: &str,
    then: impl FnOnce(&Arc<Channel>, String) + Send + 'static,
) {
    let (channel, text) = (Arc::clone(channel), text.to_owned());
    let mut expanding: BoxFuture<'static, ()> = Box::pin(async move {
        let text = expand_for(channel.switch(), Some(&channel), &text).await;
        then(&channel, text);
    });
    if base::at_once(&mut expanding).is_none() {
        crate::foreign::spawn(expanding);
    }
}

/// Expands text from an event's headers (`eval`, `expand`, hangup hooks): no caller-profile names, no recursion.
pub async fn expand_event(switch: &Arc<Switch>, event: &Event, text: &str) -> String {
    if !needs_expansion(text) {
        return text.to_owned();
    }
    let mut host = EventHost { switch, event, channel: None, variables: true };
    base::far::into_plain(expand_event_async(text, &mut host).await)
}

/// [`expand_event`] of the event that describes a channel. What a far end said is marked ([`base::far`]) in the result.
pub async fn expand_channel_event(channel: &Arc<Channel>, event: &Event, text: &str) -> String {
    if !needs_expansion(text) {
        return text.to_owned();
    }
    let switch = channel.switch();
    let mut host = EventHost { switch, event, channel: Some(channel), variables: true };
    expand_event_async(text, &mut host).await
}

/// Does `${api(…)}` run commands (`api-expansion`)?
fn expands(switch: &Switch) -> bool {
    switch.stores.tuning.api_expansion.load(std::sync::atomic::Ordering::Relaxed)
}

fn needs_expansion(text: &str) -> bool {
    text.contains(['$', '\\'])
}

/// Expands text from an event's headers under their full names (`eval uuid:…`).
pub async fn expand_headers(switch: &Arc<Switch>, event: &Event, text: &str) -> String {
    if !needs_expansion(text) {
        return text.to_owned();
    }
    let mut host = EventHost { switch, event, channel: None, variables: false };
    base::far::into_plain(expand_event_async(text, &mut host).await)
}

struct EventHost<'a> {
    switch: &'a Arc<Switch>,
    event: &'a Event,
    /// The channel the event describes: it knows what came from a far end.
    channel: Option<&'a Arc<Channel>>,
    /// Are channel variables known by their own names too?
    variables: bool,
}

impl Host for EventHost<'_> {
    fn variable(&mut self, name: &str) -> Option<String> {
        let header = |name: &str| self.event.get(name).map(Cow::into_owned);
        let found = header(name)
            .or_else(|| if self.variables { header(&format!("variable_{name}")) } else { None });
        let Some(channel) = self.channel else { return found };
        let bare = name.strip_prefix("variable_").unwrap_or(name);
        let marked = channel.var_marked(bare);
        match (found, marked) {
            (Some(found), Some(marked)) if base::far::plain(&marked) == found => Some(marked),
            (Some(found), _) if names_a_party(name) => Some(base::far::mark(&found)),
            (found, _) => found,
        }
    }

    fn set_variable(&mut self, _name: &str, _value: Option<&str>) {}

    fn field(&mut self, _name: &str) -> Option<String> {
        None
    }

    fn global(&self, name: &str) -> Option<String> {
        self.switch.global_marked(name)
    }

    fn api<'a>(&'a mut self, command: &'a str, args: &'a str) -> Later<'a, Option<String>> {
        if !expands(self.switch) {
            // The reference spells it differently here.
            return Later::Now(Some("<API execute Permission Denied>".into()));
        }
        Later::Wait(Box::pin(self.switch.run_api_marked(command, args, None)))
    }

    fn run_inline<'a>(&'a mut self, _application: &'a str, _data: &'a str) -> Later<'a, ()> {
        Later::Now(())
    }

    fn now(&self) -> Timestamp {
        crate::clock::timestamp()
    }
}

/// Headers in which a far end says who it is and whom it wants.
fn names_a_party(header: &str) -> bool {
    let lower = header.to_ascii_lowercase();
    ["caller-", "other-leg-", "hunt-", "channel-", "presence-"]
        .iter()
        .any(|start| lower.starts_with(start))
}
