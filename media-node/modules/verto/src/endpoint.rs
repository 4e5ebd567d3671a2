//! `verto.rtc/user@domain` and `verto.rtc/u:SESSION`: calls to browsers.

use std::sync::{Arc, Weak};

use base::far;
use leg_media::LegMedia;
use negotiation::Mode;
use switch_core::BoxFuture;
use switch_core::call::dialstring::{DialLeg, Variables};
use switch_core::call::{Cause, Channel, Direction, Endpoint, OutgoingCall, Session};
use switch_core::contract;
use switch_core::switch::Switch;
use tokio::sync::mpsc;

use crate::hub::{Call, Hub};
use crate::leg::{self, VertoLeg};
use crate::profile::LegProfile;
use crate::said;

/// Its name in dial strings.
pub(crate) const NAME: &str = "verto.rtc";

/// The endpoint.
pub(crate) struct VertoEndpoint(pub(crate) Weak<Switch>);

impl Endpoint for VertoEndpoint {
    fn name(&self) -> &'static str {
        NAME
    }

    fn module(&self) -> &'static str {
        "mod_verto"
    }

    fn outgoing(&self, call: OutgoingCall) -> BoxFuture<'_, Result<Session, Cause>> {
        Box::pin(async move {
            let switch = self.0.upgrade().ok_or(Cause::SYSTEM_SHUTDOWN)?;
            make(&switch, call)
        })
    }
}

fn make(switch: &Arc<Switch>, call: OutgoingCall) -> Result<Session, Cause> {
    let hub = Hub::of(switch);
    let session = match call.destination.strip_prefix("u:") {
        Some(session) => session.to_owned(),
        // Several clients of a user were made several legs before; without them one is called.
        None => {
            let clients = hub.clients_of(&full_name(switch, &call.destination));
            clients.first().ok_or(Cause::USER_NOT_REGISTERED)?.session()
        }
    };
    let client = hub.client(&session).ok_or(Cause::DESTINATION_OUT_OF_ORDER)?;
    let login = client.login();
    let name = format!("{NAME}/{session}");
    let (channel, inbox) = switch.new_channel(Direction::Outbound, name, call.uuid.as_deref())?;
    channel.set_vars([
        ("is_outbound", "true".to_owned()),
        ("video_media_flow", "disabled".to_owned()),
        ("audio_media_flow", "disabled".to_owned()),
        ("text_media_flow", "disabled".to_owned()),
        ("channel_name", channel.name()),
        ("secondary_recovery_module", "mod_verto".to_owned()),
        ("jsock_uuid_str", session.clone()),
        ("event_channel_cookie", session.clone()),
        ("verto_profile_name", client.profile.name().to_owned()),
    ]);
    leg::show_owner(&channel, &client, &login);
    for (name, value) in &login.user_vars {
        said(&channel, name, value);
    }
    let mut profile = call.profile.clone();
    profile.uuid = channel.uuid().to_string();
    profile.chan_name = channel.name();
    profile.source = "mod_verto".into();
    profile.destination_number.clone_from(&call.destination);
    if let Some(name) = login.param("caller-id-name") {
        name.clone_into(&mut profile.callee_id_name);
    }
    if let Some(number) = login.param("caller-id-number") {
        number.clone_into(&mut profile.callee_id_number);
    }
    if let Some(user) = call.variable("dialed_user") {
        let domain = call.variable("dialed_domain").map(|domain| format!("@{domain}"));
        channel.set_var("verto_orig_dest", format!("{user}{}", domain.unwrap_or_default()));
        if profile.callee_id_number.is_empty() {
            profile.callee_id_number = base::text::harmless_number(user).into_owned();
        }
    }
    channel.with(|data| data.profile = Some(profile));
    let (orders, ordered) = mpsc::channel(leg::ORDERS);
    channel.with(|data| {
        let call = data.slot::<Call>();
        call.session.clone_from(&session);
        call.orders = Some(orders);
    });
    let codecs = client.profile.settings.outbound_codecs.clone();
    let media = LegProfile { switch: Arc::clone(switch), profile: Arc::clone(&client.profile) };
    let peer = Some(client.address.ip());
    let audio = LegMedia::new(Arc::new(media), peer, codecs, Mode::Generous);
    let leg = VertoLeg::new(hub, &client, Direction::Outbound, audio, ordered);
    tracing::info!(
        uuid = %channel.uuid(), fs_level = "NOTICE",
        "New Channel {} [{}]", channel.name(), channel.uuid()
    );
    Ok(Session::new(channel, Box::new(leg), inbox))
}

/// `user@domain`; a user alone is of the switch's own domain.
pub(crate) fn full_name(switch: &Switch, user: &str) -> String {
    match user.contains('@') {
        true => user.to_owned(),
        false => format!("{user}@{}", switch.global("domain").unwrap_or_default()),
    }
}

/// The clients of a user, as legs of a dial string.
pub(crate) fn contacts(switch: &Switch, user: &str) -> Vec<String> {
    let clients = Hub::of(switch).clients_of(&full_name(switch, user));
    clients.iter().map(|client| format!("u:{}", client.session())).collect()
}

/// `verto.rtc/user@domain` stands for all clients of that user.
pub(crate) struct Resolver;

impl contract::Resolver for Resolver {
    fn names(&self) -> &'static [&'static str] {
        &[NAME]
    }

    fn legs<'a>(
        &'a self,
        switch: &'a Arc<Switch>,
        leg: &'a DialLeg,
        _global: &'a Variables,
        _caller: Option<&'a Arc<Channel>>,
    ) -> BoxFuture<'a, Vec<Result<DialLeg, Cause>>> {
        Box::pin(std::future::ready(legs(switch, leg)))
    }
}

fn legs(switch: &Switch, leg: &DialLeg) -> Vec<Result<DialLeg, Cause>> {
    let dialled = far::plain(&leg.rest);
    if !leg.endpoint.eq_ignore_ascii_case(NAME) || dialled.starts_with("u:") {
        return vec![Ok(leg.clone())];
    }
    let found = contacts(switch, &dialled);
    if found.is_empty() {
        return vec![Err(Cause::USER_NOT_REGISTERED)];
    }
    let number = base::text::harmless_number(&dialled);
    let user = number.split('@').next().unwrap_or_default();
    let mut local = leg.local.clone();
    local.push(("verto_orig_dest".into(), number.clone().into_owned()));
    if !local.iter().any(|(name, _)| name == "origination_callee_id_number") {
        local.push(("origination_callee_id_number".into(), user.to_owned()));
    }
    let of_client = |rest| Ok(DialLeg { rest, local: local.clone(), ..leg.clone() });
    found.into_iter().map(of_client).collect()
}
