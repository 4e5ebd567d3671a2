//! The machine the switch runs on: `system`, `mkdir`, `rename`, `strftime`; and `check_acl`.

use std::sync::Arc;

use super::{App, Flags};
use crate::app;
use crate::call::{AppResult, Cause, Session};
use crate::{foreign, text};

const ANYWHERE: Flags = Flags::NO_MEDIA.and(Flags::ROUTING).and(Flags::ZOMBIE);

/// The family.
pub const APPS: &[App] = &[
    app!(
        "bgsystem",
        "mod_dptools",
        ANYWHERE,
        "<command>",
        "Execute a system command in the background",
        bgsystem
    )
    .shell(),
    app!(
        "check_acl",
        "mod_dptools",
        Flags::NO_MEDIA.and(Flags::ROUTING),
        "<ip> <acl | cidr> [<hangup_cause>]",
        "Check an ip against an ACL list",
        check_acl
    ),
    app!("mkdir", "mod_dptools", ANYWHERE, "<path>", "Create a directory", mkdir).path(),
    app!("rename", "mod_dptools", ANYWHERE, "<from_path> <to_path>", "Rename file", rename)
        .path()
        .marked(),
    app!("strftime", "mod_dptools", ANYWHERE, "[<epoch>|]<format string>", "Format time", strftime),
    app!("system", "mod_dptools", ANYWHERE, "<command>", "Execute a system command", system)
        .shell(),
];

async fn system(session: &mut Session, argument: &str) -> AppResult {
    if let Some(refused) = foreign::refuse("system") {
        session.respond(refused.trim_end());
        return Ok(());
    }
    // A program that was begun is finished, also when the call meanwhile ends or goes elsewhere.
    let (command, uuid) = (argument.to_owned(), Arc::clone(session.channel().uuid()));
    let (done, ended) = tokio::sync::oneshot::channel();
    foreign::spawn(async move {
        if let Err(error) = base::system::run(&command).await {
            tracing::error!(%uuid, "system: {command}: {error}");
        }
        let _waits_no_more = done.send(());
    });
    let _ended = session.wait_for(ended).await?;
    Ok(())
}

async fn bgsystem(session: &mut Session, argument: &str) -> AppResult {
    if let Some(refused) = foreign::refuse("bgsystem") {
        session.respond(refused.trim_end());
        return Ok(());
    }
    let (command, uuid) = (argument.to_owned(), Arc::clone(session.channel().uuid()));
    foreign::spawn(async move {
        if let Err(error) = base::system::run(&command).await {
            tracing::error!(%uuid, "bgsystem: {command}: {error}");
        }
    });
    Ok(())
}

async fn mkdir(session: &mut Session, argument: &str) -> AppResult {
    if let Some(refused) = foreign::refuse("mkdir") {
        session.respond(refused.trim_end());
        return Ok(());
    }
    let made = tokio::fs::create_dir_all(argument.trim()).await;
    match made {
        Ok(()) => tracing::debug!(uuid = %session.channel().uuid(), "mkdir: {argument}: created"),
        Err(error) => {
            tracing::error!(uuid = %session.channel().uuid(), "mkdir: {argument}: {error}")
        }
    }
    Ok(())
}

async fn rename(session: &mut Session, argument: &str) -> AppResult {
    if let Some(refused) = foreign::refuse("rename") {
        session.respond(refused.trim_end());
        return Ok(());
    }
    let words = text::words(argument, 2);
    let [from, to] = words.as_slice() else {
        tracing::error!(uuid = %session.channel().uuid(), "rename: two paths are needed: {argument}");
        return Ok(());
    };
    if let Err(error) = tokio::fs::rename(from, to).await {
        tracing::error!(uuid = %session.channel().uuid(), "rename: {from} to {to}: {error}");
    }
    Ok(())
}

/// Sets nothing and says nothing, as in the reference: the time stands in the log.
async fn strftime(session: &mut Session, argument: &str) -> AppResult {
    let switch = Arc::clone(session.switch());
    let time = switch.run_api("strftime", argument, None).await.unwrap_or_default();
    tracing::info!(uuid = %session.channel().uuid(), "strftime: {time}");
    Ok(())
}

async fn check_acl(session: &mut Session, argument: &str) -> AppResult {
    let words = text::words(argument, 3);
    let (Some(ip), Some(list)) = (words.first(), words.get(1)) else { return Ok(()) };
    let allowed = ip.parse().is_ok_and(|ip| session.switch().acl_allows(list, ip));
    if allowed {
        return Ok(());
    }
    let cause = words.get(2).map_or(Cause::CALL_REJECTED, |name| Cause::parse(name));
    tracing::warn!(uuid = %session.channel().uuid(), "{ip} is not in {list}");
    session.channel().hangup(cause);
    session.check()
}
