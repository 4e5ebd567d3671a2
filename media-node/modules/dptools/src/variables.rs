//! `set`, `unset`, `export`, `multiset`, arrays, globals, profile fields.

use base::far;
use base::redact::logged;

use super::{App, Flags};
use crate::app;
use crate::call::dialstring::separate;
use crate::call::{AppResult, Session};

const SETTER: Flags = Flags::NO_MEDIA.and(Flags::ROUTING).and(Flags::ZOMBIE);

/// The family.
pub const APPS: &[App] = &[
    app!("set", "mod_dptools", SETTER, "<varname>=<value>", "Set a channel variable", set).marked(),
    app!(
        "multiset",
        "mod_dptools",
        SETTER,
        "[^^<delim>]<varname>=<value> <var2>=<val2>",
        "Set many channel variables",
        multiset
    )
    .marked(),
    app!("unset", "mod_dptools", SETTER, "<varname>", "Unset a channel variable", unset).marked(),
    app!(
        "multiunset",
        "mod_dptools",
        SETTER,
        "[^^<delim>]<varname> <var2>",
        "Unset many channel variables",
        multiunset
    )
    .marked(),
    app!(
        "export",
        "mod_dptools",
        SETTER,
        "<varname>=<value>",
        "Export a channel variable across a bridge",
        export
    )
    .marked(),
    app!(
        "bridge_export",
        "mod_dptools",
        SETTER,
        "<varname>=<value>",
        "Export a channel variable across a bridge",
        bridge_export
    )
    .marked(),
    app!("push", "mod_dptools", SETTER, "<varname>=<value>", "Set a channel variable", push)
        .marked(),
    app!("unshift", "mod_dptools", SETTER, "<varname>=<value>", "Set a channel variable", unshift)
        .marked(),
    app!(
        "set_global",
        "mod_dptools",
        SETTER,
        "<varname>=<value>",
        "Set a global variable",
        set_global
    )
    .marked(),
    app!(
        "set_profile_var",
        "mod_dptools",
        SETTER,
        "<varname>=<value>",
        "Set a caller profile variable",
        set_profile_var
    )
    .marked(),
    app!("set_name", "mod_dptools", Flags::NO_MEDIA, "<name>", "Name the channel", set_name),
    app!(
        "set_user",
        "mod_dptools",
        Flags::NO_MEDIA.and(Flags::ROUTING),
        "<user>@<domain> [prefix]",
        "Set a User",
        set_user
    )
    .marked(),
    app!("eval", "mod_dptools", SETTER, "", "Do Nothing", eval),
    app!(
        "verbose_events",
        "mod_dptools",
        Flags::NO_MEDIA.and(Flags::ROUTING),
        "",
        "Make ALL Events verbose.",
        verbose_events
    ),
    app!(
        "transfer_vars",
        "mod_dptools",
        Flags::NO_MEDIA.and(Flags::ZOMBIE),
        "<~variable_prefix|variable>",
        "Transfer variables",
        transfer_vars
    ),
    app!(
        "capture",
        "mod_dptools",
        Flags::NO_MEDIA,
        "<varname>|<data>|<regex>",
        "Capture data into a var",
        capture
    )
    .marked(),
];

/// `name=value`, or `name,value` where there is no `=`.
fn pair(argument: &str) -> (&str, &str) {
    argument.split_once('=').or_else(|| argument.split_once(',')).unwrap_or((argument, ""))
}

/// The value of an assignment is expanded a second time, as in the reference.
async fn assigned<'a>(session: &mut Session, argument: &'a str) -> (&'a str, String) {
    let (name, value) = pair(argument);
    (name, session.expand(value).await.into_owned())
}

async fn set(session: &mut Session, argument: &str) -> AppResult {
    let (name, value) = assigned(session, argument).await;
    if !name.is_empty() {
        let plain = far::plain(&value);
        let shown = if value.is_empty() { "UNDEF" } else { &plain };
        tracing::debug!(uuid = %session.channel().uuid(), "SET {} {}", session.channel().name(), logged(&format!("[{name}]=[{shown}]"), session.channel().var("redact_digits").as_deref()));
        session.channel().set_var_as_is(name.to_owned(), value);
    }
    Ok(())
}

async fn multiset(session: &mut Session, argument: &str) -> AppResult {
    for item in list(argument) {
        Box::pin(set(session, &item)).await?;
    }
    Ok(())
}

async fn unset(session: &mut Session, argument: &str) -> AppResult {
    session.channel().unset_var(argument.trim());
    Ok(())
}

async fn multiunset(session: &mut Session, argument: &str) -> AppResult {
    for name in list(argument) {
        session.channel().unset_var(&name);
    }
    Ok(())
}

/// Items separated by spaces, or by the delimiter named after `^^`.
fn list(argument: &str) -> Vec<String> {
    let (text, delimiter) = match argument.strip_prefix("^^").and_then(|rest| {
        let delimiter = rest.chars().next()?;
        Some((&rest[delimiter.len_utf8()..], delimiter))
    }) {
        Some((text, delimiter)) => (far::named_list(text, delimiter), delimiter),
        None => (argument.into(), ' '),
    };
    separate(&text, delimiter).into_iter().filter(|item| !item.is_empty()).collect()
}

async fn export(session: &mut Session, argument: &str) -> AppResult {
    export_into(session, argument, "export_vars").await;
    Ok(())
}

async fn bridge_export(session: &mut Session, argument: &str) -> AppResult {
    export_into(session, argument, "bridge_export_vars").await;
    Ok(())
}

async fn export_into(session: &mut Session, argument: &str, list: &'static str) {
    let (name, value) = assigned(session, argument).await;
    if name.is_empty() {
        return;
    }
    let name = &*far::plain(name);
    let channel = session.channel();
    let plain = name.strip_prefix("nolocal:").or_else(|| name.strip_prefix("_nolocal_"));
    tracing::debug!(
        uuid = %channel.uuid(),
        "EXPORT ({list}) {}[{}]=[{}]", if plain.is_some() { "(REMOTE ONLY) " } else { "" }, plain.unwrap_or(name), far::plain(&value)
    );
    channel.set_var_as_is(name.to_owned(), value.clone());
    if !value.is_empty() {
        let names = match channel.var(list) {
            Some(names) => format!("{names},{name}"),
            None => name.to_owned(),
        };
        channel.set_var(list, names);
    }
}

async fn push(session: &mut Session, argument: &str) -> AppResult {
    let (name, value) = assigned(session, argument).await;
    session.channel().push_var(name, &value);
    Ok(())
}

async fn unshift(session: &mut Session, argument: &str) -> AppResult {
    let (name, value) = assigned(session, argument).await;
    session.channel().unshift_var(name, &value);
    Ok(())
}

async fn set_global(session: &mut Session, argument: &str) -> AppResult {
    let (name, value) = pair(argument);
    session.switch().set_global(name, value);
    Ok(())
}

async fn set_profile_var(session: &mut Session, argument: &str) -> AppResult {
    let (name, value) = pair(argument);
    session.channel().with(|data| {
        if let Some(profile) = &mut data.profile {
            profile.set_field(name, value);
        }
    });
    Ok(())
}

async fn set_name(session: &mut Session, argument: &str) -> AppResult {
    session.channel().with(|data| argument.clone_into(&mut data.name));
    session.channel().set_var("channel_name", argument.to_owned());
    Ok(())
}

async fn set_user(session: &mut Session, argument: &str) -> AppResult {
    let words = crate::text::words(argument, 3);
    let mut parts = words.iter().map(String::as_str);
    let (user, prefix) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let Some((name, domain)) = user.split_once('@') else {
        tracing::error!(uuid = %session.channel().uuid(), "No such user. [{user}]");
        return Ok(());
    };
    let Some(found) = crate::xml::find_user(session.switch(), name, domain, |_| {}).await else {
        tracing::error!(uuid = %session.channel().uuid(), "can't find user [{name}@{domain}]");
        return Ok(());
    };
    let channel = session.channel();
    if let Some(alias) = found.number_alias() {
        channel.set_var(format!("{prefix}number_alias"), alias);
    }
    channel.set_var(format!("{prefix}user_name"), name);
    channel.set_var(format!("{prefix}domain_name"), domain);
    for variable in found.variables.iter() {
        let name = format!("{prefix}{}", variable.name);
        // What would be expanded when it is used does not come from the directory (reference behaviour).
        if variable.value.contains("${") {
            tracing::error!(
                uuid = %channel.uuid(), fs_level = "CRIT",
                "{}: Invalid data (${{{name}}} contains a variable)", variable.place
            );
            continue;
        }
        channel.set_var(name, &*variable.value);
    }
    channel.with(|data| {
        if let Some(profile) = &mut data.profile {
            for variable in found.profile_variables.iter() {
                profile.set_field(&variable.name, &variable.value);
            }
        }
    });
    Ok(())
}

async fn eval(_session: &mut Session, _argument: &str) -> AppResult {
    Ok(())
}

async fn verbose_events(session: &mut Session, _argument: &str) -> AppResult {
    session.channel().flags.verbose.store(true, std::sync::atomic::Ordering::Relaxed);
    Ok(())
}

async fn transfer_vars(session: &mut Session, argument: &str) -> AppResult {
    let Some(partner) = session.channel().partner() else { return Ok(()) };
    let (prefix, exact) = match argument.strip_prefix('~') {
        Some(prefix) => (prefix, false),
        None => (argument, true),
    };
    for (name, _) in session.channel().vars().iter() {
        let wanted =
            if exact { name.eq_ignore_ascii_case(prefix) } else { name.starts_with(prefix) };
        if wanted && let Some(value) = session.channel().var_marked(name) {
            partner.set_var_as_is(name.to_owned(), value);
        }
    }
    Ok(())
}

async fn capture(session: &mut Session, argument: &str) -> AppResult {
    let mut parts = argument.splitn(3, '|');
    let (Some(name), Some(data), Some(pattern)) = (parts.next(), parts.next(), parts.next()) else {
        return Ok(());
    };
    if let Some(groups) = captures(pattern, data) {
        let (channel, name) = (session.channel(), &*far::plain(name));
        channel.unset_var(name);
        for group in groups {
            channel.push_var(name, &group);
        }
    }
    Ok(())
}

/// The whole match and its groups, marked ([`far`]) as the data is; `None` when there is no match or the pattern is broken.
fn captures(pattern: &str, data: &str) -> Option<Vec<String>> {
    let pattern = far::in_pattern(pattern);
    Some(dialplan_xml::regex::Pattern::cached(&pattern).ok()?.captures_marked(data)?.groups)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comma_serves_where_there_is_no_equals_sign() {
        assert_eq!(pair("a=b=c"), ("a", "b=c"));
        assert_eq!(pair("a,b"), ("a", "b"));
        assert_eq!(pair("a"), ("a", ""));
        assert_eq!(list("^^|a=1 2|b=3"), ["a=1 2", "b=3"]);
        assert_eq!(list("a=1 b='2 3'"), ["a=1", "b=2 3"]);
    }
}
