//! The client side: who answers a challenge.

use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use super::{Challenge, Credentials, Secret, Subject};
use crate::message::Name;

/// The request that is to be authorised.
#[derive(Clone, Copy, Debug)]
pub struct AuthRequest<'a> {
    /// Method.
    pub method: &'a str,
    /// Request-URI.
    pub uri: &'a str,
    /// Value of `To`.
    pub to: &'a str,
    /// The body, which `qop=auth-int` protects.
    pub body: &'a [u8],
    /// Host of the next hop as it was written: where the request was sent.
    pub hop: &'a str,
    /// Who challenged; `None` before any challenge.
    pub source: Option<SocketAddr>,
}

/// Answers challenges. Called on the stack's task: must not block.
pub trait Authorizer: Send + Sync + fmt::Debug {
    /// Headers (`Authorization`, `Proxy-Authorization`) to repeat the request with; empty to give up.
    fn answer(&self, challenges: &[Challenge], request: &AuthRequest<'_>) -> Vec<(Name, String)>;

    /// Who answers for the same call when it was redirected; `None`: the same as before.
    fn after_redirect(&self) -> Option<Arc<dyn Authorizer>> {
        None
    }

    /// Headers to send without having been asked, from an earlier challenge.
    fn ahead(&self, _request: &AuthRequest<'_>) -> Vec<(Name, String)> {
        Vec::new()
    }
}

/// One username and secret. Remembers the last challenge and, like the reference, sends credentials
/// ahead with a growing `nc` while the server takes them.
#[derive(Debug)]
pub struct PasswordAuthorizer {
    username: String,
    secret: Secret,
    /// Answer only challenges of this realm; empty: any.
    realm: String,
    session: Mutex<Option<Session>>,
}

#[derive(Debug)]
struct Session {
    challenge: Challenge,
    cnonce: String,
    count: u32,
}

impl PasswordAuthorizer {
    /// Answers challenges of `realm`, or any when it is empty.
    pub fn new(username: impl Into<String>, secret: Secret, realm: impl Into<String>) -> Self {
        Self { username: username.into(), secret, realm: realm.into(), session: Mutex::new(None) }
    }

    fn next(&self, session: &mut Session, request: &AuthRequest<'_>) -> (Name, String) {
        session.count = session.count.saturating_add(1);
        let credentials = Credentials::answer(
            &session.challenge,
            &self.username,
            &self.secret,
            &Subject { method: request.method, uri: request.uri, body: request.body },
            session.count,
            &session.cnonce,
        );
        let name =
            if session.challenge.proxy { Name::ProxyAuthorization } else { Name::Authorization };
        (name, credentials.to_string())
    }
}

impl Authorizer for PasswordAuthorizer {
    fn answer(&self, challenges: &[Challenge], request: &AuthRequest<'_>) -> Vec<(Name, String)> {
        let fits = |c: &&Challenge| self.realm.is_empty() || c.realm == self.realm;
        let Some(challenge) = challenges.iter().find(fits) else {
            return Vec::new();
        };
        let cnonce = crate::token::cnonce();
        let mut session = Session { challenge: challenge.clone(), cnonce, count: 0 };
        let header = self.next(&mut session, request);
        if let Ok(mut kept) = self.session.lock() {
            *kept = Some(session);
        }
        vec![header]
    }

    fn ahead(&self, request: &AuthRequest<'_>) -> Vec<(Name, String)> {
        let Ok(mut kept) = self.session.lock() else {
            return Vec::new();
        };
        kept.as_mut().map(|session| self.next(session, request)).into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_go_ahead_with_a_growing_count() {
        let who = PasswordAuthorizer::new("u", Secret::Password("p".into()), "r");
        let request = AuthRequest {
            method: "REGISTER",
            uri: "sip:h",
            to: "<sip:h>",
            body: b"",
            hop: "h",
            source: None,
        };
        assert!(who.ahead(&request).is_empty());
        let challenge =
            Challenge::parse("Digest realm=\"r\", nonce=\"n\", qop=\"auth\"", false).unwrap();
        let first = who.answer(std::slice::from_ref(&challenge), &request);
        assert!(first.iter().all(|(n, v)| *n == Name::Authorization && v.ends_with("nc=00000001")));
        let second = who.ahead(&request);
        assert!(second.iter().any(|(_, v)| v.ends_with("nc=00000002")));
        let foreign = Challenge { realm: "other".into(), ..challenge };
        assert!(who.answer(&[foreign], &request).is_empty());
    }
}
