//! `why`: which lines of which files make a live call do what it does.

use std::fmt::Write as _;

use base::secrets::masked;

use super::{Api, ApiCall, usage};
use crate::api;
use crate::call::channel::Data;
use crate::call::plan::{Doing, Written};
use crate::call::{CallerProfile, Channel};

const SYNTAX: &str = "<uuid>";

/// The family.
pub const APIS: &[Api] = &[api!(
    "why",
    "mod_commands",
    SYNTAX,
    "Tell which lines of the dialplan a call comes from",
    why
)];

fn why(call: &ApiCall) -> String {
    let uuid = call.args.trim();
    if uuid.is_empty() {
        return usage(SYNTAX);
    }
    match call.switch.channel(uuid) {
        Some(channel) => told(&channel),
        None => "-ERR No such channel!\n".into(),
    }
}

/// What the call does now, innermost first, where the dialplan says so, and the numbers that led there, newest first.
fn told(channel: &Channel) -> String {
    channel.with(|data| {
        let mut text = format!("{} in {}", data.name, data.running.name());
        if let Some(cause) = data.cause {
            let _ = write!(text, ", hung up: {cause}");
        }
        text.push('\n');
        for doing in data.doing.iter().rev() {
            told_doing(&mut text, doing);
        }
        if data.doing.is_empty() {
            text += "  runs no application\n";
        }
        if let Some(step) = data.extension.as_ref().and_then(|rest| rest.clone().next()) {
            let _ = writeln!(text, "  next {}({})", step.application, masked(&step.data));
            told_lines(&mut text, step.written.as_ref());
        }
        for profile in data.profile.iter().chain(data.past_profiles.iter().rev()) {
            told_profile(&mut text, data, profile);
        }
        text
    })
}

fn told_doing(text: &mut String, doing: &Doing) {
    let _ = writeln!(text, "  runs {}({})", doing.application, masked(&doing.argument));
    if doing.written.is_none() {
        text.push_str("    asked for by a program, a hook or another application\n");
    }
    told_lines(text, doing.written.as_ref());
}

fn told_lines(text: &mut String, written: Option<&Written>) {
    if let Some(Written { action, condition }) = written {
        let _ = writeln!(text, "    action    {action}\n    condition {condition}");
    }
}

/// One number dialled: the extension it led to, and how the call came to dial it.
fn told_profile(text: &mut String, data: &Data, profile: &CallerProfile) {
    let _ = write!(
        text,
        "  {}: {} in context {} ({})",
        profile.profile_index, profile.destination_number, profile.context, profile.dialplan
    );
    let routed = data.routed.iter().find(|routed| routed.profile == profile.profile_index);
    match routed {
        Some(routed) => {
            let _ = writeln!(text, ": extension {}", routed.extension.name);
            let first = routed.extension.steps().first().and_then(|step| step.written.as_ref());
            if let Some(written) = first {
                let _ = writeln!(text, "    begins at {}", written.action);
            }
        }
        None => text.push_str(": no extension\n"),
    }
    if !profile.transfer_source.is_empty() {
        let _ = writeln!(text, "    came by   {}", profile.transfer_source);
    }
}
