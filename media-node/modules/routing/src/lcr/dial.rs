//! `lcr/[<profile>/]<number>` in dial strings: the routes to a number, each tried when the one before has failed.

use std::sync::Arc;

use base::far;
use switch_core::BoxFuture;
use switch_core::call::dialstring::{DialLeg, DialString, Variables};
use switch_core::call::{Cause, Channel};
use switch_core::contract;
use switch_core::switch::Switch;

use super::profile::Profile;
use super::route::Route;
use super::{CALLER, Failed, Question, caller_of, import, in_force, lookup, question_of};

const NAME: &str = "lcr";

/// Puts routes in the place of `lcr/…`.
pub(super) struct Resolver;

impl contract::Resolver for Resolver {
    fn names(&self) -> &'static [&'static str] {
        &[NAME]
    }

    /// Beside other legs it stands for the best route alone.
    fn legs<'a>(
        &'a self,
        switch: &'a Arc<Switch>,
        leg: &'a DialLeg,
        _global: &'a Variables,
        caller: Option<&'a Arc<Channel>>,
    ) -> BoxFuture<'a, Vec<Result<DialLeg, Cause>>> {
        Box::pin(async move {
            if !leg.endpoint.eq_ignore_ascii_case(NAME) {
                return vec![Ok(leg.clone())];
            }
            match routes(switch, leg, caller).await {
                Ok(groups) => {
                    groups.into_iter().next().unwrap_or_default().into_iter().map(Ok).collect()
                }
                Err(cause) => vec![Err(cause)],
            }
        })
    }

    fn in_order(&self) -> &'static [&'static str] {
        &[NAME]
    }

    fn groups<'a>(
        &'a self,
        switch: &'a Arc<Switch>,
        leg: &'a DialLeg,
        caller: Option<&'a Arc<Channel>>,
    ) -> BoxFuture<'a, Result<Vec<Vec<DialLeg>>, Cause>> {
        Box::pin(routes(switch, leg, caller))
    }
}

/// The routes of a leg, as groups of legs.
async fn routes(
    switch: &Arc<Switch>,
    leg: &DialLeg,
    caller: Option<&Arc<Channel>>,
) -> Result<Vec<Vec<DialLeg>>, Cause> {
    if !switch.modules().is_loaded("mod_lcr") {
        tracing::error!("mod_lcr is not loaded: no lcr/{}", far::plain(&leg.rest));
        return Err(Cause::CHAN_NOT_IMPLEMENTED);
    }
    let failed = Cause::DESTINATION_OUT_OF_ORDER;
    let (name, number) = match leg.rest.split_once('/') {
        Some((name, number)) => (Some(far::plain(name).into_owned()), number),
        None => (None, leg.rest.as_str()),
    };
    let settings = in_force(switch);
    let profile = settings.profile(name.as_deref()).ok_or(failed)?;
    let own = |name: &str| {
        leg.local.iter().rev().find(|(own, _)| own == name).map(|(_, value)| value.clone())
    };
    let number_of = caller.map(|caller| caller_of(caller));
    let caller_id = own("origination_caller_id_number").or(number_of);
    let caller_id = caller_id.unwrap_or_else(|| CALLER.to_owned());
    let mut question = match caller {
        Some(channel) => question_of(channel, number, &caller_id),
        None => {
            Question { number, caller: &caller_id, lrn: None, intrastate: false, channel: None }
        }
    };
    question.intrastate |= own("intrastate").is_some_and(|v| v.eq_ignore_ascii_case("true"));
    let found = lookup(switch, &settings, profile, question).await.map_err(|Failed| {
        tracing::warn!("LCR lookup failed for {}", far::plain(number));
        failed
    })?;
    if let Some(caller) = caller {
        import(caller);
    }
    let mut groups = Vec::new();
    for route in &found {
        if is_full(switch, profile, route).await {
            tracing::info!("Limit exceeded for route {}", far::plain(&route.dialstring));
            continue;
        }
        groups.extend(legs_of(profile, route, leg));
    }
    if groups.is_empty() { Err(failed) } else { Ok(groups) }
}

/// Has a limited route as many calls as it may?
async fn is_full(switch: &Arc<Switch>, profile: &Profile, route: &Route) -> bool {
    let Some((realm, id, most)) = &route.limit else { return false };
    let words = [profile.limit_type, realm, id].map(far::mark).join(" ");
    let usage = switch.run_api("limit_usage", &words, None).await.unwrap_or_default();
    usage.trim().parse::<i64>().is_ok_and(|usage| usage >= *most)
}

/// A route as legs, with what stood before `lcr/` in the dial string.
fn legs_of(profile: &Profile, route: &Route, around: &DialLeg) -> Vec<Vec<DialLeg>> {
    let parsed = match DialString::parse(&route.dialstring) {
        Ok(parsed) => parsed,
        Err(error) => {
            tracing::error!("{error}: {}", far::plain(&route.dialstring));
            return Vec::new();
        }
    };
    let mut groups = Vec::new();
    for branch in parsed.branches {
        for group in branch.groups {
            let legs = group.into_iter().map(|mut inner| {
                let mut local = around.local.clone();
                local.extend(parsed.ultra.iter().chain(&branch.global).cloned());
                local.append(&mut inner.local);
                if let Some((realm, id, _)) = &route.limit {
                    // Counted as long as the leg lives.
                    let counts = format!("limit {} {realm} {id}", profile.limit_type);
                    local.push(("execute_on_post_originate".into(), counts));
                }
                inner.local = local;
                inner.users.extend(around.users.iter().cloned());
                inner.context_variable = Some("lcr_context");
                inner
            });
            groups.push(legs.collect());
        }
    }
    groups
}
