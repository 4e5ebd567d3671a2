//! Dialplans in `extensions.conf` (mod_dialplan_asterisk): the dialplan `asterisk`, `Dial` and `Goto`, and `SIP/…` in dial
//! strings.
//!
//! The file is read at each call, as by the reference: what an administrator writes serves at once.

#![deny(unsafe_code)]

mod parse;

use std::borrow::Cow;
use std::path::Path;
use std::sync::{Arc, Weak};

use base::far;
use dialplan_xml::Place;
use dialplan_xml::regex::{Captures, Pattern, substitute};
use parse::Line;
use switch_core::BoxFuture;
use switch_core::app;
use switch_core::app::{App, Flags};
use switch_core::call::plan::{Step, Written};
use switch_core::call::{AppResult, Cause, Channel, Endpoint, Extension, OutgoingCall, Session};
use switch_core::contract::declare::{Value, Variable, reads, sets};
use switch_core::contract::{DialplanKind, EndpointKind, Plain, Provides};
use switch_core::switch::Switch;

const NAME: &str = "mod_dialplan_asterisk";

/// File that is read unless the dialplan's name is followed by another (`asterisk:other.conf`).
const FILE: &str = "extensions.conf";

/// The module.
pub const MODULE: Plain = Plain::new(
    NAME,
    Provides {
        applications: &[APPS],
        dialplans: &[DialplanKind {
            name: "asterisk",
            find: |session, file, number| Box::pin(find(session, file, number)),
        }],
        endpoints: &[EndpointKind {
            name: "sip",
            make: |switch| Arc::new(Sip { switch: Arc::downgrade(switch) }),
        }],
        variables: &[VARIABLES],
        ..Provides::NOTHING
    },
);

const APPS: &[App] = &[
    app!("Dial", "mod_dialplan_asterisk", Flags::NO_MEDIA, "Dial", "Dial", dial),
    app!("Goto", "mod_dialplan_asterisk", Flags::NO_MEDIA, "Goto", "Goto", goto),
];

const VARIABLES: &[Variable] = &[
    reads(
        "sip_profile",
        Value::Text,
        "SIP profile that SIP/… in dial strings calls from; default if unset",
    ),
    sets("EXTEN", "The number dialled, for dialplans in extensions.conf"),
    sets("CHANNEL", "Name of the channel, for dialplans in extensions.conf"),
    sets("UNIQUEID", "UUID of the channel, for dialplans in extensions.conf"),
];

/// Applications of every line of the context that matches, in order.
async fn find(session: &mut Session, file: &str, number: &str) -> Option<Extension> {
    let channel = Arc::clone(session.channel());
    let file = if file.is_empty() { FILE } else { file };
    let path = session.switch().dirs.conf_dir.join(file);
    let text = match tokio::fs::read_to_string(&path).await {
        Ok(text) => text,
        Err(error) => {
            tracing::error!(uuid = %channel.uuid(), "Open of {} failed: {error}", path.display());
            channel.hangup(Cause::DESTINATION_OUT_OF_ORDER);
            return None;
        }
    };
    let context = channel.field("context").filter(|name| !name.is_empty());
    let (mut steps, mut matched) = (Vec::new(), None);
    for line in parse::context(&text, context.as_deref().unwrap_or("default")) {
        let line = match line {
            Ok(line) => line,
            Err(fault) => {
                tracing::error!(uuid = %channel.uuid(), "{}: {fault}", path.display());
                continue;
            }
        };
        let subject = subject(session, &line).await;
        let Some(captures) = matches(&channel, &line, &subject) else { continue };
        if matched.is_none() {
            if subject.is_empty() {
                tracing::error!(uuid = %channel.uuid(), "No extension!");
                return None;
            }
            channel.set_var("EXTEN", number);
            channel.set_var("CHANNEL", channel.name());
            channel.set_var("UNIQUEID", &**channel.uuid());
            matched = Some(far::into_plain(subject));
        }
        steps.push(step(&path, line, captures.as_ref()));
    }
    let name = matched?;
    Some(Extension::new(name.clone(), name, steps))
}

/// What the pattern of a line is compared with; marked where it is a far end's.
async fn subject(session: &mut Session, line: &Line) -> String {
    let field = match line.subject.as_str() {
        exten if exten.eq_ignore_ascii_case("exten") => "destination_number",
        text if text.contains('$') => return session.expand(text).await.into_owned(),
        field => field,
    };
    session.channel().field_marked(field).unwrap_or_default()
}

/// Does the line match? With what the groups of its expression took, where it has any.
fn matches(channel: &Channel, line: &Line, subject: &str) -> Option<Option<Captures>> {
    let captures = match line.pattern.as_bytes().first() {
        // An expression that begins with `_` is taken as Asterisk's notation.
        Some(b'_' | b'~') => {
            let expression = line.pattern.strip_prefix('~').unwrap_or(&line.pattern);
            let captures = Pattern::cached(expression).ok()?.captures_marked(subject)?;
            expression.contains('(').then_some(captures)
        }
        _ => line.pattern.eq_ignore_ascii_case(&far::plain(subject)).then_some(None)?,
    };
    let caller = line.caller.as_ref().is_none_or(|wanted| {
        channel.field("caller_id_number").is_some_and(|number| number.eq_ignore_ascii_case(wanted))
    });
    caller.then_some(captures)
}

fn step(path: &Path, line: Line, captures: Option<&Captures>) -> Step {
    let data = match captures {
        Some(captures) => Cow::Owned(substitute(&line.argument, captures)),
        None => Cow::Borrowed(&*line.argument),
    };
    let place = Place::new(path.to_string_lossy().into_owned(), line.number, 0);
    Step {
        application: line.application.into(),
        data: data.into(),
        written: Some(Written { action: place.clone(), condition: place }),
    }
}

/// `Dial(SIP/a&SIP/b|seconds)`: a bridge.
async fn dial(session: &mut Session, argument: &str) -> AppResult {
    let Some((legs, timeout)) = parse::dialled(argument) else {
        tracing::error!(uuid = %session.channel().uuid(), "Dial({argument}): Error! Say whom, and after `|` for how many seconds");
        return Ok(());
    };
    session.channel().set_var("call_timeout", timeout);
    session.execute("bridge", &legs).await
}

/// `Goto(context|extension)`.
async fn goto(session: &mut Session, argument: &str) -> AppResult {
    let parts = base::text::separated(argument, '|', 3);
    let (context, number) = match parts.as_slice() {
        [context, number, ..] => (context.as_str(), number.as_str()),
        _ => {
            tracing::error!(uuid = %session.channel().uuid(), "Goto({argument}): Error! Say context|extension");
            return Ok(());
        }
    };
    switch_core::call::transfer::transfer(
        session.channel(),
        number,
        Some("asterisk"),
        Some(context),
    );
    Ok(())
}

/// `SIP/…` in dial strings: a leg of the profile that `sip_profile` names.
struct Sip {
    switch: Weak<Switch>,
}

impl Endpoint for Sip {
    fn name(&self) -> &'static str {
        "SIP"
    }

    fn module(&self) -> &'static str {
        NAME
    }

    fn reads_marks(&self) -> bool {
        true
    }

    fn outgoing(&self, mut call: OutgoingCall) -> BoxFuture<'_, Result<Session, Cause>> {
        Box::pin(async move {
            let switch = self.switch.upgrade().ok_or(Cause::DESTINATION_OUT_OF_ORDER)?;
            let sofia = switch.endpoint("sofia").ok_or(Cause::CHAN_NOT_IMPLEMENTED)?;
            let profile = match &call.originator {
                Some(caller) => caller.var("sip_profile"),
                None => switch.global("sip_profile"),
            };
            let profile =
                profile.filter(|name| !name.is_empty()).unwrap_or_else(|| "default".into());
            call.destination = format!("{profile}/{}", call.destination);
            if !sofia.reads_marks() {
                call.destination = far::into_plain(call.destination);
            }
            sofia.outgoing(call).await
        })
    }
}
