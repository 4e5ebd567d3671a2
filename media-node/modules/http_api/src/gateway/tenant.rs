//! Whose calls a client may see and control: all, or those of one domain.
//!
//! A token with a `domain`, or an API key with one, belongs to a tenant. A leg is a tenant's if its channel variable
//! `domain_name` says so, or that of the leg it is bridged to; what other domains have looks as if it were not there.

use axum::extract::FromRequestParts;
use axum::http::StatusCode;
use axum::http::request::Parts;
use esl_server::Event;
use serde_json::Value;
use switch_core::call::Channel;
use switch_core::switch::Switch;

use super::problem::Problem;

/// The domain of a client; `None` for one that may see everything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Tenant(pub(super) Option<String>);

impl<S: Send + Sync> FromRequestParts<S> for Tenant {
    type Rejection = Problem;

    /// What [`super::access::judge`] has found out. A request it did not see is refused.
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let found = parts.extensions.get::<Self>().cloned();
        found.ok_or_else(|| Problem::unauthorized("a token or an API key is needed"))
    }
}

impl Tenant {
    /// The domain of a leg, empty if it has none.
    pub(super) fn domain_of(channel: &Channel) -> String {
        let own = channel.var("domain_name").filter(|domain| !domain.is_empty());
        let partner = || channel.partner().and_then(|partner| partner.var("domain_name"));
        own.or_else(partner).unwrap_or_default()
    }

    fn is(&self, domain: &str) -> bool {
        self.0.as_deref().is_none_or(|own| own.eq_ignore_ascii_case(domain))
    }

    /// Whether a leg is the tenant's.
    pub(super) fn owns(&self, channel: &Channel) -> bool {
        self.0.is_none() || self.is(&Self::domain_of(channel))
    }

    /// Whether an entry of a list is: its `domain` tells.
    pub(super) fn owns_entry(&self, entry: &Value) -> bool {
        self.is(entry["domain"].as_str().unwrap_or_default())
    }

    /// Whether an event is about a call of the tenant's.
    pub(super) fn owns_event(&self, switch: &Switch, event: &Event) -> bool {
        if self.0.is_none() {
            return true;
        }
        if let Some(domain) = event.get("variable_domain_name").filter(|domain| !domain.is_empty())
        {
            return self.is(&domain);
        }
        let channel = event.get("Unique-ID").and_then(|uuid| switch.channel(&uuid));
        channel.is_some_and(|channel| self.owns(&channel))
    }

    /// Refuses what is about the whole switch to a tenant.
    pub(super) fn everything(&self) -> Result<(), Problem> {
        match self.0 {
            None => Ok(()),
            Some(_) => Err(Problem::new(StatusCode::FORBIDDEN, "this is about all domains")),
        }
    }
}
