//! `error/<cause>`: a leg that fails at once, for dialplans that choose a cause.

use crate::BoxFuture;
use crate::call::{Cause, Endpoint, OutgoingCall, Session};

pub struct ErrorEndpoint;

impl Endpoint for ErrorEndpoint {
    fn name(&self) -> &'static str {
        "error"
    }

    fn module(&self) -> &'static str {
        "mod_dptools"
    }

    fn outgoing(&self, call: OutgoingCall) -> BoxFuture<'_, Result<Session, Cause>> {
        Box::pin(async move { Err(Cause::parse(&call.destination)) })
    }
}
