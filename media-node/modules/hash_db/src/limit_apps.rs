//! `limit`: only so many calls, or so many per time, may hold a resource.

use std::sync::Arc;

use crate::app;
use crate::app::{App, Flags};
use crate::call::{AppResult, Session, State};
use crate::limiting::{Backend, exceeded, release, take};
use crate::limits::{Resource, allowance};
use crate::text;

/// The family.
pub const APPS: &[App] = &[
    app!(
        "limit",
        "mod_dptools",
        Flags::NO_MEDIA,
        "<backend> <realm> <id> [<max>[/interval]] [number [dialplan [context]]]",
        "Limit",
        limit
    )
    .marked(),
    app!(
        "limit_execute",
        "mod_dptools",
        Flags::NO_MEDIA,
        "<backend> <realm> <id> <max>[/interval] <application> [application arguments]",
        "Limit",
        limit_execute
    )
    .marked(),
    app!(
        "limit_hash",
        "mod_hash",
        Flags::NO_MEDIA,
        "<realm> <id> [<max>[/interval]] [number [dialplan [context]]]",
        "Limit",
        limit_hash
    )
    .marked(),
    app!(
        "limit_hash_execute",
        "mod_hash",
        Flags::NO_MEDIA,
        "<realm> <id> <max>[/interval] <application> [application arguments]",
        "Limit",
        limit_hash_execute
    )
    .marked(),
];

async fn limit(session: &mut Session, argument: &str) -> AppResult {
    let words = text::words(argument, 7);
    let Some(backend) = words.first().and_then(|name| Backend::find(session.switch(), name)) else {
        tracing::error!(uuid = %session.channel().uuid(), "limit: no such backend: {argument}");
        return Ok(());
    };
    limited(session, &backend, &words[1..]).await
}

async fn limit_hash(session: &mut Session, argument: &str) -> AppResult {
    let words = text::words(argument, 6);
    limited(session, &Backend::Hash, &words).await
}

async fn limited(session: &mut Session, backend: &Backend, words: &[String]) -> AppResult {
    let [realm, id, rest @ ..] = words else {
        tracing::error!(uuid = %session.channel().uuid(), "limit: realm and id are missing");
        return Ok(());
    };
    let allowed = allowance(rest.first().map(String::as_str).unwrap_or_default());
    let (switch, channel) = (Arc::clone(session.switch()), Arc::clone(session.channel()));
    if !take(&switch, &channel, backend, &(realm.clone(), id.clone()), allowed).await {
        let target = rest.get(1).map_or("limit_exceeded", String::as_str);
        exceeded(
            &channel,
            target,
            rest.get(2).map(String::as_str),
            rest.get(3).map(String::as_str),
        );
    }
    session.check()
}

async fn limit_execute(session: &mut Session, argument: &str) -> AppResult {
    let words = text::words_marked(argument, 6);
    let Some(backend) = words.first().and_then(|name| Backend::find(session.switch(), name)) else {
        tracing::error!(uuid = %session.channel().uuid(), "limit_execute: no such backend: {argument}");
        return Ok(());
    };
    execute_limited(session, &backend, &words[1..]).await
}

async fn limit_hash_execute(session: &mut Session, argument: &str) -> AppResult {
    let words = text::words_marked(argument, 5);
    execute_limited(session, &Backend::Hash, &words).await
}

async fn execute_limited(session: &mut Session, backend: &Backend, words: &[String]) -> AppResult {
    let [realm, id, max, application, rest @ ..] = words else {
        tracing::error!(uuid = %session.channel().uuid(), "limit_execute: arguments are missing");
        return Ok(());
    };
    let plain = |text: &str| base::far::plain(text).into_owned();
    let resource: Resource = (plain(realm), plain(id));
    let (switch, channel) = (Arc::clone(session.switch()), Arc::clone(session.channel()));
    if !take(&switch, &channel, backend, &resource, allowance(&plain(max))).await {
        return Ok(());
    }
    let argument = rest.first().map(String::as_str).unwrap_or_default();
    let result = Box::pin(session.execute(application, argument)).await;
    // Hangup and transfer give it back themselves.
    if channel.state() == State::Execute {
        release(&switch, backend, channel.uuid(), Some(&resource));
    }
    result
}
