//! `bind_meta_app`, `unbind_meta_app`: keys that run applications while a call is bridged.

use std::sync::Arc;

use super::digit_filter;
use super::meta_keys::{Binding, MetaKeys, RunOn};
use super::{App, Flags};
use crate::app;
use crate::call::{AppResult, Session, bridge};
use crate::text;

/// The family.
pub const APPS: &[App] = &[
    app!(
        "bind_meta_app",
        "mod_dptools",
        Flags::NO_MEDIA,
        "<key> [a|b|ab] [a|b|o|s|i|1] <app>",
        "Bind a key to an application",
        bind
    )
    .marked(),
    app!(
        "unbind_meta_app",
        "mod_dptools",
        Flags::NO_MEDIA,
        "[<key>]",
        "Unbind a key from an application",
        unbind
    ),
];

/// A binding as written: key, own digits, partner's digits, what to do.
fn parse(argument: &str) -> Option<(char, bool, bool, Binding)> {
    let words = text::words_marked(argument, 4);
    let [key, listen, flags, app] = words.as_slice() else { return None };
    let key = key.chars().next().filter(|key| key.is_ascii_digit() || matches!(key, '*' | '#'))?;
    let has = |text: &str, letter: char| text.to_ascii_lowercase().contains(letter);
    let (own, partner) = (has(listen, 'a'), has(listen, 'b'));
    let run_on = if has(flags, 'o') {
        RunOn::Opposite
    } else if has(flags, 's') {
        RunOn::Same
    } else if has(flags, 'b') {
        RunOn::Partner
    } else {
        RunOn::Own
    };
    let (application, argument) = app.split_once("::").unwrap_or((app, ""));
    if application.is_empty() || !(own || partner) {
        return None;
    }
    let binding = Binding {
        application: application.trim().to_owned(),
        argument: argument.to_owned(),
        run_on,
        inline: has(flags, 'i'),
        once: has(flags, '1'),
    };
    Some((key, own, partner, binding))
}

async fn bind(session: &mut Session, argument: &str) -> AppResult {
    let channel = Arc::clone(session.channel());
    let Some((key, own, partner, binding)) = parse(argument) else {
        tracing::error!(uuid = %channel.uuid(), "Invalid syntax: bind_meta_app <key> [a|b|ab] [a|b|o|s|i|1] <app>");
        return Ok(());
    };
    for (on, leg) in [(own, "A"), (partner, "B")] {
        if on {
            tracing::info!(
                uuid = %channel.uuid(),
                "Bound {leg}-Leg: *{key} {} {}", binding.application, binding.argument
            );
        }
    }
    channel.with(|data| data.slot::<MetaKeys>().bind(key, own, partner, &binding));
    digit_filter::note(&channel);
    bridge::digits_changed(&channel);
    Ok(())
}

async fn unbind(session: &mut Session, argument: &str) -> AppResult {
    let channel = Arc::clone(session.channel());
    let key = argument.trim().chars().next();
    match key {
        Some(key) => tracing::info!(uuid = %channel.uuid(), "UnBound A-Leg: {key}"),
        None => tracing::info!(uuid = %channel.uuid(), "UnBound A-Leg: ALL"),
    }
    channel.with(|data| data.slot::<MetaKeys>().unbind(key));
    digit_filter::note(&channel);
    bridge::digits_changed(&channel);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_binding_names_key_listeners_runner_and_application() {
        let (key, own, partner, binding) =
            parse("1 b s execute_extension::dx XML features").unwrap();
        assert_eq!((key, own, partner), ('1', false, true));
        assert_eq!(binding.run_on, RunOn::Same);
        assert_eq!(binding.application, "execute_extension");
        assert_eq!(binding.argument, "dx XML features");
        let (_, own, partner, binding) = parse("# ab bi1 hangup").unwrap();
        assert!(own && partner && binding.inline && binding.once);
        assert_eq!((binding.run_on, binding.argument.as_str()), (RunOn::Partner, ""));
        assert_eq!(parse("x a s hangup"), None);
        assert_eq!(parse("1 a hangup"), None);
    }
}
