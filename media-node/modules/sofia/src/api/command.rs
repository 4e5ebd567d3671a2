//! `sofia profile …`, `sofia global …`: commands that change something.

use std::sync::Arc;

use super::super::profile::Profile;
use super::super::{Sofia, domains};
use super::status::is_of;
use crate::clock;

/// A profile must have been up so long before it may be stopped or restarted, seconds.
const MIN_UPTIME: i64 = 10;

pub(super) async fn profile(sofia: &Arc<Sofia>, words: &[&str]) -> String {
    let (name, verb, rest) = match words {
        [verb, who, ..]
            if verb.eq_ignore_ascii_case("restart") && who.eq_ignore_ascii_case("all") =>
        {
            restart_all(sofia).await;
            return String::new();
        }
        [name, verb, rest @ ..] => (*name, verb.to_ascii_lowercase(), rest),
        _ => return "Invalid Args!\n".into(),
    };
    if verb == "start" {
        return start(sofia, name).await;
    }
    let Some(profile) = sofia.find(name) else { return format!("Invalid Profile [{name}]") };
    match verb.as_str() {
        "stop" => match too_young(&profile) {
            Some(refusal) => refusal,
            None => {
                let status = reload(sofia).await;
                sofia.stop_profile(&profile.name);
                format!("Reload XML [{status}]\nstopping: {}", profile.name)
            }
        },
        "restart" => match too_young(&profile) {
            Some(refusal) => refusal,
            None => restart(sofia, &profile).await,
        },
        "rescan" => rescan(sofia, &profile).await,
        "register" => register(&profile, rest, true),
        "unregister" => register(&profile, rest, false),
        "killgw" => kill_gateway(&profile, rest),
        "startgw" => start_gateway(sofia, &profile, rest).await,
        "flush_inbound_reg" => flush(&profile, rest),
        "check_sync" => check_sync(&profile, rest),
        "recover" => "No sessions to recover.\n".into(),
        "siptrace" | "watchdog" => switch_text(&profile, &verb, rest, "debugging"),
        "capture" => {
            if let Some(word) = rest.first() {
                capture(sofia, &profile, crate::text::is_true(word)).await;
            }
            switch_text(&profile, &verb, rest, "capturing")
        }
        "gwlist" => gateway_list(&profile, rest),
        _ => "-ERR Unknown command!\n".into(),
    }
}

async fn reload(sofia: &Sofia) -> String {
    crate::config::reload(sofia.switch()).await.status
}

/// [`reload`], and what a web server says about the profile.
async fn reload_profile(sofia: &Sofia, name: &str, again: bool, gateway: Option<&str>) -> String {
    let status = reload(sofia).await;
    crate::config::ask_profile(sofia.switch(), name, again, gateway).await;
    status
}

fn too_young(profile: &Profile) -> Option<String> {
    let left = MIN_UPTIME - (clock::now_us() - profile.started_us) / 1_000_000;
    (left > 0).then(|| {
        format!(
            "Profile {} must be up for at least {MIN_UPTIME} seconds to stop/restart.\nPlease wait {left} second{}\n",
            profile.name,
            if left == 1 { "" } else { "s" }
        )
    })
}

async fn start(sofia: &Arc<Sofia>, name: &str) -> String {
    let status = reload_profile(sofia, name, false, None).await;
    if sofia.find(name).is_some() {
        return format!("Reload XML [{status}]\nFailure starting {name}\n");
    }
    let config = sofia.switch().config.load_full();
    let started = match config.sofia.profile(name) {
        Some(conf) => sofia
            .start_profile(conf)
            .await
            .inspect_err(|problem| tracing::error!("{problem}"))
            .is_ok(),
        None => false,
    };
    if started {
        format!("Reload XML [{status}]\n{name} started successfully\n")
    } else {
        format!("Reload XML [{status}]\nFailure starting {name}\n")
    }
}

async fn restart(sofia: &Arc<Sofia>, profile: &Profile) -> String {
    let status = reload_profile(sofia, &profile.name, false, None).await;
    let name = profile.name.clone();
    let stopped = sofia.stop_profile(&name);
    let (sofia, again) = (Arc::clone(sofia), name.clone());
    tokio::spawn(async move {
        if let Some(stopped) = stopped {
            let _ended = stopped.await;
        }
        let config = sofia.switch().config.load_full();
        let Some(conf) = config.sofia.profile(&again) else { return };
        if let Err(problem) = sofia.start_again(conf).await {
            tracing::error!("Profile {again} could not be started again: {problem}");
        }
    });
    format!("Reload XML [{status}]\nrestarting: {name}")
}

async fn restart_all(sofia: &Arc<Sofia>) {
    for profile in sofia.profiles() {
        let _text = restart(sofia, &profile).await;
    }
}

async fn rescan(sofia: &Sofia, profile: &Profile) -> String {
    let status = reload_profile(sofia, &profile.name, true, None).await;
    let config = sofia.switch().config.load_full();
    let done = match config.sofia.profile(&profile.name) {
        Some(conf) => {
            let conf = domains::complete(sofia.switch(), conf).await;
            let rescanned = profile.rescan(&conf);
            rescanned.inspect_err(|problem| tracing::error!("{}: {problem}", conf.place)).is_ok()
        }
        None => false,
    };
    if done {
        format!("Reload XML [{status}]\n+OK scan complete\n")
    } else {
        format!("-ERR cannot find config for profile {}\n", profile.name)
    }
}

fn register(profile: &Profile, rest: &[&str], on: bool) -> String {
    let Some(name) = rest.first() else { return "No gateway name provided!\n".into() };
    if name.eq_ignore_ascii_case("all") {
        for gateway in profile.gateways.read().iter() {
            let mut registration = gateway.registration.lock();
            let _registers = if on { registration.register() } else { registration.unregister() };
        }
        return "+OK\n".into();
    }
    let Some(gateway) = profile.gateway(name) else { return "Invalid gateway!\n".into() };
    let mut registration = gateway.registration.lock();
    let done = if on { registration.register() } else { registration.unregister() };
    if done {
        return "+OK\n".into();
    }
    let what = if on { "registered" } else { "unregistered" };
    format!("-ERR NOREG gateway [{name}] can't be {what}!\n")
}

fn kill_gateway(profile: &Profile, rest: &[&str]) -> String {
    match rest.first() {
        None => "-ERR missing gw name\n".into(),
        Some(&"_all_") => {
            let names: Vec<_> =
                profile.gateways.read().iter().map(|gateway| gateway.name.clone()).collect();
            for name in names {
                profile.mark_gateway_for_removal(&name);
            }
            "+OK every gateway marked for deletion.\n".into()
        }
        Some(name) if profile.mark_gateway_for_removal(name) => {
            "+OK gateway marked for deletion.\n".into()
        }
        Some(_) => "-ERR no such gateway.\n".into(),
    }
}

async fn start_gateway(sofia: &Sofia, profile: &Profile, rest: &[&str]) -> String {
    let name = rest.first().copied().unwrap_or_default();
    let status = reload_profile(sofia, &profile.name, true, Some(name)).await;
    let config = sofia.switch().config.load_full();
    if let Some(conf) = config.sofia.profile(&profile.name) {
        profile.add_gateways(conf);
    }
    if profile.gateway(name).is_some() {
        format!("Reload XML [{status}]\n+OK start gateway {name} complete\n")
    } else {
        format!("-ERR cannot add gateway {name} for profile {}\n", profile.name)
    }
}

fn flush(profile: &Arc<Profile>, rest: &[&str]) -> String {
    let reboot = rest.iter().any(|word| word.eq_ignore_ascii_case("reboot"));
    let who = rest.first().copied().filter(|word| !word.eq_ignore_ascii_case("reboot"));
    let gone = profile.bindings.lock().take(|binding| chosen(binding, who));
    for binding in &gone {
        if reboot {
            super::super::notify::check_sync(profile, binding, true);
        }
        super::super::registrar::fire_expired(profile, binding);
    }
    let text =
        if reboot { "+OK rebooting all registrations" } else { "+OK flushing all registrations" };
    filtered(text, who.as_slice())
}

fn check_sync(profile: &Arc<Profile>, rest: &[&str]) -> String {
    let who = rest.first().copied();
    let chosen: Vec<_> = {
        let table = profile.bindings.lock();
        table.all().into_iter().filter(|b| chosen(b, who)).cloned().collect()
    };
    for binding in &chosen {
        super::super::notify::check_sync(profile, binding, false);
    }
    filtered("+OK syncing all registrations", rest)
}

/// All of them, those of a user or domain, or the one with this Call-ID.
fn chosen(binding: &sip::registrar::Binding, who: Option<&str>) -> bool {
    match who {
        None => true,
        Some(who) if who.contains('@') => is_of(binding, who.trim_start_matches('@')),
        Some(call_id) => binding.call_id == call_id,
    }
}

fn filtered(text: &str, rest: &[&str]) -> String {
    if rest.is_empty() {
        format!("{text}\n")
    } else {
        format!("{text} matching specified call_id\n")
    }
}

fn switch_text(profile: &Profile, verb: &str, rest: &[&str], what: &str) -> String {
    let Some(word) = rest.first() else {
        return format!("Usage: sofia profile <name> {verb} <on/off>\n");
    };
    let on = crate::text::is_true(word);
    if verb == "siptrace" {
        profile.trace.set(on);
    }
    format!("{} sip {what} on {}", if on { "Enabled" } else { "Disabled" }, profile.name)
}

fn gateway_list(profile: &Profile, rest: &[&str]) -> String {
    let wanted_up = rest.first().is_none_or(|word| word.eq_ignore_ascii_case("up"));
    let gateways = profile.gateways.read();
    let names: Vec<_> =
        gateways.iter().filter(|g| g.is_up() == wanted_up).map(|g| g.name.as_str()).collect();
    names.join(" ")
}

async fn capture(sofia: &Sofia, profile: &Profile, on: bool) {
    if let Err(problem) = sofia.capture(profile, on).await {
        tracing::error!("profile {}: capture: {problem}", profile.name);
    }
}

pub(super) async fn global(sofia: &Sofia, words: &[&str]) -> String {
    const WRONG: &str =
        "-ERR Usage: siptrace <on|off>|capture <on|off>|watchdog <on|off>|debug <sla|presence|none";
    match words {
        [what, word]
            if ["siptrace", "capture", "watchdog", "standby"]
                .contains(&what.to_ascii_lowercase().as_str()) =>
        {
            let on = crate::text::is_true(word);
            for profile in sofia.profiles() {
                match what.to_ascii_lowercase().as_str() {
                    "siptrace" => profile.trace.set(on),
                    "standby" => profile.pause(on),
                    "capture" => capture(sofia, &profile, on).await,
                    _ => {}
                }
            }
            format!("+OK Global {} {}", what.to_ascii_lowercase(), if on { "on" } else { "off" })
        }
        ["debug", "none"] => "+OK Debugging summary: presence: off sla: off\n".into(),
        ["debug", "presence"] => {
            "+OK Debugging presence\n+OK Debugging summary: presence: on sla: off\n".into()
        }
        ["debug", "sla"] => {
            "+OK Debugging sla\n+OK Debugging summary: presence: off sla: on\n".into()
        }
        _ => WRONG.into(),
    }
}
