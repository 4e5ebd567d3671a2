//! What makes two messages belong to one transaction (RFC 3261 §17.1.3, §17.2.3).

use std::hash::{BuildHasher, RandomState};

use crate::message::{Headers, Method, Request};
use crate::token::MAGIC_COOKIE;
use crate::uri::Uri;

/// What a transaction is found by: a hash under a key of this process, so that a long branch costs no memory and
/// an outsider cannot make two requests collide.
pub(super) type Key = u128;

/// Makes keys.
#[derive(Debug, Default)]
pub(super) struct Keys {
    seeds: (RandomState, RandomState),
    scratch: String,
}

impl Keys {
    /// The client key of a response, or of the request it answers.
    pub(super) fn client(&mut self, branch: &str, method: &Method) -> Key {
        let out = &mut self.scratch;
        out.clear();
        out.push_str(method.as_str());
        out.push(' ');
        out.push_str(branch);
        self.hashed()
    }

    /// The server key of a request. ACK and INVITE share a key; CANCEL has its own, and finds its INVITE with
    /// `as_method`.
    pub(super) fn server(&mut self, request: &Request, as_method: &Method) -> Key {
        let out = &mut self.scratch;
        out.clear();
        let method = if *as_method == Method::Ack { &Method::Invite } else { as_method };
        out.push_str(method.as_str());
        out.push(' ');
        let via = request.headers.via();
        match via.and_then(|v| Some((v, v.branch()?))).filter(|(_, b)| has_cookie(b)) {
            Some((via, branch)) => {
                out.push_str(branch);
                out.push(' ');
                out.extend(via.host.chars().map(|c| c.to_ascii_lowercase()));
                if let Some(port) = via.port {
                    out.push(':');
                    out.push_str(&port.to_string());
                }
            }
            None => server_rfc2543(out, &request.uri, &request.headers),
        }
        self.hashed()
    }

    fn hashed(&self) -> Key {
        let (high, low) = &self.seeds;
        let text = self.scratch.as_str();
        (u128::from(high.hash_one(text)) << 64) | u128::from(low.hash_one(text))
    }
}

/// RFC 2543 peers have no usable branch: everything that repeats in a retransmission is the key.
fn server_rfc2543(out: &mut String, uri: &Uri, headers: &Headers) {
    let number = headers.cseq().map(|c| c.number.to_string()).unwrap_or_default();
    let via = headers.via();
    let sent_by = via.map(|v| v.host).unwrap_or_default();
    for part in
        [uri.as_str(), headers.call_id(), headers.from_tag().unwrap_or(""), &number, sent_by]
    {
        out.push_str(part);
        out.push(' ');
    }
}

fn has_cookie(branch: &str) -> bool {
    branch.len() > MAGIC_COOKIE.len()
        && branch
            .get(..MAGIC_COOKIE.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(MAGIC_COOKIE))
}
