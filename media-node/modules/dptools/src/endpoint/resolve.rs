//! `user/…` and `group/…` stand for other dial strings; here they are replaced by them.

use std::sync::Arc;

use base::far;
use esl_server::event::Event;

use crate::BoxFuture;
use crate::call::dialstring::{DialLeg, DialString, DialledUser, Variables};
use crate::call::{Cause, Channel};
use crate::contract;
use crate::host::ChannelHost;
use crate::switch::Switch;

/// A user's dial string may itself name users this deep; deeper is a loop.
const MAX_DEPTH: usize = 8;

/// `user/` and `group/`.
pub struct Resolver;

impl contract::Resolver for Resolver {
    fn names(&self) -> &'static [&'static str] {
        &["group", "user"]
    }

    fn legs<'a>(
        &'a self,
        switch: &'a Arc<Switch>,
        leg: &'a DialLeg,
        global: &'a Variables,
        caller: Option<&'a Arc<Channel>>,
    ) -> BoxFuture<'a, Vec<Result<DialLeg, Cause>>> {
        Box::pin(resolve(switch, leg, global, caller))
    }

    fn in_order(&self) -> &'static [&'static str] {
        &["group"]
    }

    fn groups<'a>(
        &'a self,
        switch: &'a Arc<Switch>,
        leg: &'a DialLeg,
        caller: Option<&'a Arc<Channel>>,
    ) -> BoxFuture<'a, Result<Vec<Vec<DialLeg>>, Cause>> {
        Box::pin(group_in_order(switch, leg, caller))
    }
}

/// The legs a leg stands for: itself, or what a user or group expands to.
async fn resolve(
    switch: &Arc<Switch>,
    leg: &DialLeg,
    global: &Variables,
    caller: Option<&Arc<Channel>>,
) -> Vec<Result<DialLeg, Cause>> {
    let mut open = vec![(leg.clone(), 0usize)];
    let mut done = Vec::new();
    while let Some((leg, depth)) = open.pop() {
        if depth > MAX_DEPTH {
            tracing::error!("Dial string of {}/{} names itself", leg.endpoint, leg.rest);
            done.push(Err(Cause::EXCHANGE_ROUTING_ERROR));
            continue;
        }
        let expanded = match leg.endpoint.to_ascii_lowercase().as_str() {
            "user" => user(switch, &leg, global, caller).await,
            "group" => group(switch, &leg, caller).await,
            _ => {
                done.push(Ok(leg));
                continue;
            }
        };
        match expanded {
            Ok(legs) => open.extend(legs.into_iter().rev().map(|leg| (leg, depth + 1))),
            Err(cause) => done.push(Err(cause)),
        }
    }
    done
}

fn split_user(switch: &Switch, text: &str) -> (String, String) {
    // A user that a far end names as a whole may name its domain, too.
    let text = if text.contains('@') { text } else { &*far::plain(text) };
    let plain = |text: &str| far::plain(text).into_owned();
    let text = text.split_once('@').map(|(user, domain)| (plain(user), plain(domain))).ok_or(text);
    match text {
        Ok(named) => named,
        Err(text) => (plain(text), switch.global("domain").unwrap_or_default()),
    }
}

async fn user(
    switch: &Arc<Switch>,
    leg: &DialLeg,
    global: &Variables,
    caller: Option<&Arc<Channel>>,
) -> Result<Vec<DialLeg>, Cause> {
    let (id, domain) = split_user(switch, &leg.rest);
    let asked = |params: &mut Event| {
        params.push("as_channel", "true").push("action", "user_call");
        for (name, value) in global.iter().chain(&leg.local) {
            params.push(name.clone(), value.as_str());
        }
    };
    let user = crate::xml::find_user(switch, &id, &domain, asked).await.ok_or_else(|| {
        tracing::warn!("Can't find user [{id}@{domain}]");
        Cause::SUBSCRIBER_ABSENT
    })?;
    let dial = user.dial_string().ok_or_else(|| {
        tracing::warn!("No dial-string available, please check your user directory.");
        Cause::MANDATORY_IE_MISSING
    })?;
    if let Some(caller) = caller {
        caller.set_var("dialed_user", user.id.to_string());
        caller.set_var("dialed_domain", domain.clone());
    }
    let mut host = UserHost {
        base: ChannelHost { switch, channel: caller },
        user: id.clone(),
        domain: domain.clone(),
    };
    let dial = dialplan_xml::expand::expand_async(dial, &mut host).await;
    let parsed = DialString::parse(&dial).map_err(|error| {
        tracing::error!("{error}: {}", far::plain(&dial));
        Cause::MANDATORY_IE_MISSING
    })?;
    let pair = |p: &dialplan_xml::config::Param| (p.name.to_string(), p.value.to_string());
    let dialled = DialledUser { variables: user.variables.iter().map(pair).collect() };
    let mut legs = Vec::new();
    for branch in parsed.branches {
        for mut inner in branch.groups.into_iter().flatten() {
            let mut local: Variables =
                vec![("dialed_user".into(), id.clone()), ("dialed_domain".into(), domain.clone())];
            for param in user.params.iter() {
                if let Some(name) = param.name.strip_prefix("dial-var-") {
                    local.push((name.to_owned(), param.value.to_string()));
                }
            }
            local.extend(parsed.ultra.iter().cloned());
            local.extend(branch.global.iter().cloned());
            if !local.iter().any(|(name, _)| name == "presence_id") {
                local.push(("presence_id".into(), format!("{id}@{domain}")));
            }
            local.append(&mut inner.local);
            local.extend(leg.local.iter().cloned());
            inner.local = local;
            inner.users.push(dialled.clone());
            inner.users.extend(leg.users.iter().cloned());
            legs.push(inner);
        }
    }
    Ok(legs)
}

async fn group(
    switch: &Arc<Switch>,
    leg: &DialLeg,
    caller: Option<&Arc<Channel>>,
) -> Result<Vec<DialLeg>, Cause> {
    Ok(group_in_order(switch, leg, caller).await?.into_iter().flatten().collect())
}

/// What `group/…` stands for, one group of legs after the other (`+F`), or all at once (`+A`, `+E`).
///
/// # Errors
/// NO_ROUTE_DESTINATION when there is no such group.
async fn group_in_order(
    switch: &Arc<Switch>,
    leg: &DialLeg,
    caller: Option<&Arc<Channel>>,
) -> Result<Vec<Vec<DialLeg>>, Cause> {
    let dial = switch
        .run_api("group_call", &leg.rest, caller.cloned())
        .await
        .filter(|dial| !dial.is_empty())
        .ok_or(Cause::NO_ROUTE_DESTINATION)?;
    let parsed = DialString::parse(&dial).map_err(|_| Cause::NO_ROUTE_DESTINATION)?;
    let with_variables = |global: &Variables, mut inner: DialLeg| {
        let mut local = global.clone();
        local.append(&mut inner.local);
        local.extend(leg.local.iter().cloned());
        inner.local = local;
        inner.users.extend(leg.users.iter().cloned());
        inner
    };
    let mut groups: Vec<Vec<DialLeg>> = Vec::new();
    let parallel = parsed.branches.len() > 1;
    for branch in parsed.branches {
        for group in branch.groups {
            let legs = group.into_iter().map(|inner| with_variables(&branch.global, inner));
            match groups.last_mut() {
                Some(last) if parallel => last.extend(legs),
                _ => groups.push(legs.collect()),
            }
        }
    }
    Ok(groups)
}

/// Expansion of a dial string: `${dialed_user}` and `${dialed_domain}` first.
struct UserHost<'a> {
    base: ChannelHost<'a>,
    user: String,
    domain: String,
}

impl dialplan_xml::Host for UserHost<'_> {
    fn variable(&mut self, name: &str) -> Option<String> {
        match name {
            "dialed_user" => Some(far::mark(&self.user)),
            "dialed_domain" => Some(far::mark(&self.domain)),
            _ => self.base.variable(name),
        }
    }

    fn set_variable(&mut self, _name: &str, _value: Option<&str>) {}

    fn field(&mut self, name: &str) -> Option<String> {
        self.base.field(name)
    }

    fn global(&self, name: &str) -> Option<String> {
        self.base.global(name)
    }

    fn api<'a>(
        &'a mut self,
        command: &'a str,
        args: &'a str,
    ) -> dialplan_xml::Later<'a, Option<String>> {
        self.base.api(command, args)
    }

    fn run_inline<'a>(
        &'a mut self,
        _application: &'a str,
        _data: &'a str,
    ) -> dialplan_xml::Later<'a, ()> {
        dialplan_xml::Later::Now(())
    }

    fn now(&self) -> jiff::Timestamp {
        jiff::Timestamp::now()
    }
}
