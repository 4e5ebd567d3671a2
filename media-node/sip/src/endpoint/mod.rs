//! The user agent core without sockets: transactions and dialogs, driven by bytes, commands and `now`.

mod types;

pub use types::{
    Body, DialogEvent, DialogId, DialogInfo, Ended, Failure, InDialog, InviteSpec, OutOfDialog, Reply, RequestError,
    RequestId,
};
