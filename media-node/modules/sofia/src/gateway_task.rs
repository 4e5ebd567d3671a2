//! What keeps gateways alive: one task per profile, ticking once a second, that registers, pings and tells of changes.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use esl_server::event::Event;
use sip::gateway::{Action, State};
use sip::message::{Headers, Method, Name, Response};
use sip::stack::{OutOfDialog, Reply, RequestError};
use sip::uri::{NameAddr, SipUri, Uri, with_scheme};

use super::gateway::Gateway;
use super::profile::Profile;
use super::registrar;

/// How often registrations that ended are removed, in ticks.
const SWEEP: u64 = 30;
/// How often the names of gateways' hosts are looked up, in ticks.
const LOOK_UP: u64 = 60;
/// The registrar wants registrations to last longer.
const TOO_BRIEF: u16 = 423;
/// A registrar has this long to take notice that we leave.
const FAREWELL: Duration = Duration::from_secs(2);

/// Runs the profile's clock until the profile is gone.
pub(super) fn start(profile: &Arc<Profile>) {
    let weak = Arc::downgrade(profile);
    crate::tasks::keep_running(format!("Clock of profile {}", profile.name), move || {
        run(weak.clone())
    });
}

async fn run(profile: Weak<Profile>) {
    let mut seconds = tokio::time::interval(Duration::from_secs(1));
    seconds.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    let mut turn = 0u64;
    loop {
        seconds.tick().await;
        let Some(profile) = profile.upgrade() else { return };
        if profile.is_stopped() {
            return;
        }
        turn += 1;
        if turn % LOOK_UP == 1 {
            look_up(&profile);
        }
        if turn.is_multiple_of(SWEEP) {
            registrar::sweep(&profile);
        }
        super::shared_lines::sweep(&profile);
        if turn.is_multiple_of(super::tls::LOOK) {
            profile.look_at_certificates().await;
        }
        if turn.is_multiple_of(super::notify::keep_alive_interval(&profile).as_secs()) {
            super::notify::keep_alive(&profile);
        }
        let gateways = profile.gateways.read().clone();
        for gateway in gateways {
            let actions = gateway.registration.lock().tick(Instant::now());
            perform(&profile, &gateway, actions);
        }
        profile.bury_gateways();
    }
}

/// Finds out what the hosts of gateways stand for, beside the clock: a name server may take its time.
fn look_up(profile: &Arc<Profile>) {
    let gateways = profile.gateways.read().clone();
    let resolver = profile.resolver();
    tokio::spawn(async move {
        for gateway in gateways {
            gateway.account_hosts.look_up(&resolver).await;
        }
    });
}

/// Gives up the profile's registrations, all at once and within [`FAREWELL`], so that no provider sends calls to
/// a switch that is gone.
pub(super) async fn unregister_all(profile: &Arc<Profile>) {
    let gateways = profile.gateways.read().clone();
    let farewells = gateways.iter().filter_map(|gateway| {
        let registered = gateway.registration.lock().state() == State::Reged;
        let spec = registered.then(|| register_request(profile, gateway, 0)).flatten()?;
        Some(profile.stack.request(spec))
    });
    let all = futures_util::future::join_all(farewells);
    if tokio::time::timeout(FAREWELL, all).await.is_err() {
        tracing::warn!("Profile {}: not every registrar answered our leaving", profile.name);
    }
}

fn perform(profile: &Arc<Profile>, gateway: &Arc<Gateway>, actions: Vec<Action>) {
    for action in actions {
        match action {
            Action::State(state, reply) => {
                fire_state(profile, gateway, Some(state), reply.as_ref())
            }
            Action::PingStatus => fire_state(profile, gateway, None, None),
            Action::Register(expires) => register(profile, gateway, expires),
            Action::Ping => ping(profile, gateway),
        }
    }
}

/// `sofia::gateway_state`.
fn fire_state(
    profile: &Profile,
    gateway: &Gateway,
    state: Option<State>,
    reply: Option<&(u16, String)>,
) {
    let (state, up) = {
        let registration = gateway.registration.lock();
        (state.unwrap_or(registration.state()), registration.is_up())
    };
    let mut event = Event::custom("sofia::gateway_state");
    event.push("Gateway", gateway.name.as_str());
    event.push("State", state.name());
    event.push("Ping-Status", if up && state != State::Down { "UP" } else { "DOWN" });
    if let Some(network) = *gateway.network.lock() {
        event.push("Register-Network-IP", network.ip().to_string());
        event.push("Register-Network-Port", network.port().to_string());
    }
    if let Some((status, phrase)) = reply {
        event.push("Phrase", phrase.as_str());
        event.push("Status", status.to_string());
    }
    esl_server::fire!(profile.switch.bus, event);
}

fn register(profile: &Arc<Profile>, gateway: &Arc<Gateway>, expires: u32) {
    let Some(spec) = register_request(profile, gateway, expires) else {
        tracing::error!("Gateway {}: its addresses cannot be written as URIs", gateway.name);
        return;
    };
    *gateway.network.lock() = spec
        .request_uri
        .host_ip()
        .map(|ip| std::net::SocketAddr::new(ip, spec.request_uri.port().unwrap_or(5060)));
    let (profile, gateway) = (Arc::clone(profile), Arc::clone(gateway));
    tokio::spawn(async move {
        let result = profile.stack.request(spec).await;
        if expires == 0 {
            *gateway.series.lock() = Default::default();
            return;
        }
        on_registered(&profile, &gateway, result);
    });
}

fn on_registered(
    profile: &Arc<Profile>,
    gateway: &Arc<Gateway>,
    result: Result<Reply, RequestError>,
) {
    let actions = match result {
        Ok(reply) => {
            *gateway.network.lock() = Some(reply.path.remote);
            let ok = reply.response.is_success();
            let mut series = gateway.series.lock();
            series.started = ok.then(|| (reply.from_tag.clone(), reply.cseq));
            let mut registration = gateway.registration.lock();
            let least = reply.response.headers.number(Name::MinExpires);
            let again = (reply.response.status == TOO_BRIEF)
                .then(|| registration.on_too_brief(least?))
                .flatten();
            match again {
                Some(again) => {
                    series.started = Some((reply.from_tag, reply.cseq));
                    vec![again]
                }
                None => {
                    if !ok {
                        series.authorizer = None;
                    }
                    let granted = granted(gateway, profile, &reply.response);
                    registration.on_reply(reply.response.status, &reply.response.reason, granted)
                }
            }
        }
        Err(error) => {
            tracing::warn!("Gateway {}: REGISTER failed: {error}", gateway.name);
            gateway.series.lock().started = None;
            let status = if error == RequestError::Timeout { 408 } else { 503 };
            gateway.registration.lock().on_reply(status, &error.to_string(), None)
        }
    };
    perform(profile, gateway, actions);
}

/// The lifetime the registrar gave our contact. One that shows it elsewhere, as an address translator makes it, means
/// it if it shows no other.
fn granted(gateway: &Gateway, profile: &Profile, response: &Response) -> Option<u32> {
    let own = NameAddr::parse(&gateway.contact_text(profile))?;
    let shown: Vec<_> = response.headers.list(Name::Contact).filter_map(NameAddr::parse).collect();
    let ours = shown.iter().find(|contact| contact.uri.user() == own.uri.user());
    let only = || shown.first().filter(|_| shown.len() == 1);
    let of_contact =
        |contact: &NameAddr| contact.params().get("expires")?.trim_matches('"').parse().ok();
    ours.and_then(of_contact)
        .or_else(|| response.headers.number(Name::Expires))
        .or_else(|| only().and_then(of_contact))
        .filter(|seconds| *seconds > 0)
}

fn register_request(profile: &Profile, gateway: &Gateway, expires: u32) -> Option<OutOfDialog> {
    let from = NameAddr::parse(&gateway.from_text())?;
    let to = if gateway.distinct_to {
        NameAddr::parse(&format!("<{}>", gateway.to_text()))?
    } else {
        from.clone()
    };
    let mut spec =
        OutOfDialog::new(Method::Register, Uri::parse(&gateway.register_url())?, from, to);
    let mut series = gateway.series.lock();
    if let Some((tag, number)) = &series.started {
        spec.from.params = format!(";tag={tag}");
        spec.cseq = Some(number.saturating_add(1));
    }
    let authorizer = series.authorizer.get_or_insert_with(|| gateway.own_authorizer());
    spec.credentials = Some(gateway.guarded(&profile.switch, Arc::clone(authorizer)));
    spec.contact = NameAddr::parse(&gateway.contact_text(profile));
    spec.call_id = Some(gateway.call_id.clone());
    spec.next_hop = next_hop(profile, gateway);
    spec.headers.push(Name::Expires, expires.to_string());
    Some(spec)
}

fn next_hop(profile: &Profile, gateway: &Gateway) -> Option<Uri> {
    let Some(proxy) = gateway.register_proxy.as_deref() else { return profile.outbound_proxy() };
    Uri::parse(&with_scheme(proxy))
}

fn ping(profile: &Arc<Profile>, gateway: &Arc<Gateway>) {
    let Some(spec) = ping_request(profile, gateway) else { return };
    let (profile, gateway) = (Arc::clone(profile), Arc::clone(gateway));
    tokio::spawn(async move {
        let status = match profile.stack.request(spec).await {
            Ok(reply) => {
                gateway.pings.lock().time = reply.round_trip;
                Some(reply.response.status)
            }
            Err(_) => None,
        };
        let actions = gateway.registration.lock().on_ping(Instant::now(), status);
        perform(&profile, &gateway, actions);
    });
}

fn ping_request(profile: &Profile, gateway: &Gateway) -> Option<OutOfDialog> {
    let who = NameAddr::new(SipUri::new("", gateway.domain()).uri()?);
    let mut spec =
        OutOfDialog::new(Method::Options, Uri::parse(&gateway.register_url())?, who.clone(), who);
    let with_contact = gateway.conf.params.bool("contact-in-ping") == Some(true);
    spec.contact = with_contact.then(|| NameAddr::parse(&gateway.contact_text(profile))).flatten();
    spec.next_hop = next_hop(profile, gateway);
    spec.headers = ping_headers(gateway);
    Some(spec)
}

fn ping_headers(gateway: &Gateway) -> Headers {
    let mut headers = Headers::new();
    if let Some(agent) = gateway.conf.params.get("ping-user-agent") {
        headers.push(Name::UserAgent, agent);
    }
    headers
}
