//! Profiles and gateways as numbers. Their names come from the configuration.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use base::reading::Reading;

use super::{Gateway, Profile, profiles_of};
use crate::switch::Switch;

/// What the metrics page shows of SIP.
pub(super) fn take(switch: &Arc<Switch>) -> Vec<Reading> {
    let mut all = Vec::new();
    for profile in profiles_of(switch) {
        of_profile(&profile, &mut all);
        for gateway in profile.gateways.read().iter() {
            of_gateway(&profile, gateway, &mut all);
        }
    }
    all
}

fn of_profile(profile: &Profile, into: &mut Vec<Reading>) {
    let count = profile.bindings.lock().len() as f64;
    let registrations = Reading::gauge("sip_registrations", "Registered contacts.", count);
    let refused = Reading::counter(
        "sip_acl_refusals_total",
        "Calls and registrations refused by access lists.",
        read(&profile.counters.refused_by_acl),
    );
    into.extend([registrations, refused].map(|reading| reading.of("profile", &profile.name)));
    for (purpose, ends) in profile.certificates.ends() {
        let help = "When a listener's certificate expires, seconds since the epoch.";
        let expiry = Reading::gauge("sip_certificate_expiry_seconds", help, ends as f64);
        into.push(expiry.of("profile", &profile.name).of("transport", purpose));
    }
    let counters = &profile.counters;
    for (direction, all, failed) in [
        ("inbound", &counters.calls_in, &counters.failed_in),
        ("outbound", &counters.calls_out, &counters.failed_out),
    ] {
        let own =
            |reading: Reading| reading.of("profile", &profile.name).of("direction", direction);
        let help = "Calls of a SIP profile.";
        into.push(own(Reading::counter("sip_calls_total", help, read(all))));
        let help = "Calls of a SIP profile that failed.";
        into.push(own(Reading::counter("sip_calls_failed_total", help, read(failed))));
    }
}

fn of_gateway(profile: &Profile, gateway: &Gateway, into: &mut Vec<Reading>) {
    let name = |reading: Reading| reading.of("profile", &profile.name).of("gateway", &gateway.name);
    let help = "1 while calls can go out through the gateway.";
    into.push(name(Reading::gauge("gateway_up", help, f64::from(u8::from(gateway.is_up())))));
    let help = "Round trip of the last OPTIONS the gateway answered; 0 before the first.";
    let time = gateway.pings.lock().time.as_secs_f64();
    into.push(name(Reading::gauge("gateway_ping_seconds", help, time)));
    let counters = &gateway.counters;
    for (direction, all, failed) in [
        ("inbound", &counters.calls_in, &counters.failed_in),
        ("outbound", &counters.calls_out, &counters.failed_out),
    ] {
        let own = |reading: Reading| name(reading).of("direction", direction);
        let help = "Calls through the gateway.";
        into.push(own(Reading::counter("gateway_calls_total", help, read(all))));
        let help = "Calls through the gateway that failed.";
        into.push(own(Reading::counter("gateway_calls_failed_total", help, read(failed))));
    }
}

fn read(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}
