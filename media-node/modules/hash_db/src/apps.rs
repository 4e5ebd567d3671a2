//! `hash`, `db`, `group`: the commands of that name, without their replies.

use std::sync::Arc;

use super::commands::{db_command, group_command, hash_command};
use crate::app;
use crate::app::{App, Flags};
use crate::call::{AppResult, Session};

const FLAGS: Flags = Flags::NO_MEDIA.and(Flags::ROUTING).and(Flags::ZOMBIE);

/// The family.
pub const APPS: &[App] = &[
    app!(
        "hash",
        "mod_hash",
        FLAGS,
        "[insert|insert_ifempty|delete|delete_ifmatch]/<realm>/<key>/<val>",
        "Insert into the hashtable",
        hash
    )
    .marked(),
    app!("db", "mod_db", FLAGS, "[insert|delete]/<realm>/<key>/<val>", "Insert to the db", db)
        .marked(),
    app!("group", "mod_db", FLAGS, "[insert|delete]:<group name>:<val>", "Manage a group", group)
        .marked(),
];

async fn hash(session: &mut Session, argument: &str) -> AppResult {
    if hash_command(session.switch(), argument).is_none() {
        tracing::error!(uuid = %session.channel().uuid(), "hash: nothing to be done with {argument}");
    }
    Ok(())
}

async fn db(session: &mut Session, argument: &str) -> AppResult {
    let switch = Arc::clone(session.switch());
    let _reply = db_command(&switch, argument).await;
    Ok(())
}

async fn group(session: &mut Session, argument: &str) -> AppResult {
    let switch = Arc::clone(session.switch());
    let _reply = group_command(&switch, argument).await;
    Ok(())
}
