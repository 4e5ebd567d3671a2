//! Phones that challenge who calls them: the account the directory keeps for that (`reverse-auth-user`, `reverse-auth-pass`).

use std::sync::Arc;

use sip::digest::{AuthRequest, Authorizer, Challenge, PasswordAuthorizer, Secret};
use sip::message::Name;
use sip::stack::InviteSpec;
use sip::uri::NameAddr;

use crate::gateway::ByRealm;
use crate::profile::Profile;
use crate::switch::Switch;

/// A gateway's account where one concerns the challenge, or else that of the user who is called, as in the reference.
#[derive(Debug)]
struct OfCalled {
    gateways: Option<ByRealm>,
    own: Option<Own>,
}

/// The account of the user who is called. A response is a hash of the password, so it goes to the host that was called and to no other
/// the call is sent on to.
#[derive(Debug)]
struct Own {
    account: PasswordAuthorizer,
    /// Host of the call's first hop.
    hop: String,
}

impl Authorizer for OfCalled {
    fn answer(&self, challenges: &[Challenge], request: &AuthRequest<'_>) -> Vec<(Name, String)> {
        let of_gateway = self.gateways.as_ref().map(|all| all.answer(challenges, request));
        let of_gateway = of_gateway.unwrap_or_default();
        let own = self.own.as_ref().filter(|own| own.hop.eq_ignore_ascii_case(request.hop));
        match own {
            Some(own) if of_gateway.is_empty() => own.account.answer(challenges, request),
            _ => of_gateway,
        }
    }

    fn after_redirect(&self) -> Option<Arc<dyn Authorizer>> {
        Some(Arc::new(Self { gateways: self.gateways.clone(), own: None }))
    }
}

/// What answers challenges of a call that brings no account of its own.
pub(crate) fn credentials(profile: &Profile, spec: &InviteSpec) -> Option<Arc<dyn Authorizer>> {
    let gateways = ByRealm::of(profile);
    match of_user(&profile.switch, &spec.to) {
        Some(account) => {
            let hop = spec.next_hop.as_ref().unwrap_or(&spec.request_uri).host().to_owned();
            Some(Arc::new(OfCalled { gateways, own: Some(Own { account, hop }) }))
        }
        None => gateways.map(|all| Arc::new(all) as Arc<dyn Authorizer>),
    }
}

/// The account of the user a call goes to, whose address names a domain of the directory.
fn of_user(switch: &Switch, to: &NameAddr) -> Option<PasswordAuthorizer> {
    let config = switch.config.load();
    let user = config.directory.find_user(to.uri.user()?, to.uri.host())?;
    let param = |name: &str| user.lookup("param", name).filter(|value| !value.is_empty());
    let (name, password) = (param("reverse-auth-user")?, param("reverse-auth-pass")?);
    let secret = Secret::Password(password.to_owned());
    Some(PasswordAuthorizer::new(name.to_owned(), secret, ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_account_of_who_is_called_is_for_the_first_hop_only() {
        let account =
            PasswordAuthorizer::new("1000".to_owned(), Secret::Password("secret".to_owned()), "");
        let own = Some(Own { account, hop: "192.0.2.1".to_owned() });
        let called = OfCalled { gateways: None, own };
        let challenge = Challenge::parse(r#"Digest realm="phone", nonce="n""#, true).unwrap();
        let answers = |by: &dyn Authorizer, hop: &str| {
            let request = AuthRequest {
                method: "INVITE",
                uri: "sip:1000@192.0.2.1",
                to: "<sip:1000@a.test>",
                body: b"",
                hop,
                source: None,
            };
            by.answer(std::slice::from_ref(&challenge), &request).len()
        };
        assert_eq!(answers(&called, "192.0.2.1"), 1);
        assert_eq!(answers(&called, "198.51.100.7"), 0, "a foreign host gets no hash");
        let after = called.after_redirect().unwrap();
        assert_eq!(answers(&*after, "192.0.2.1"), 0, "behind the same proxy it may be another");
    }
}
