//! Is a peer behind NAT? The rules of `sip::nat` with a profile's lists and settings.

use sip::message::Request;
use sip::nat::{Rules, is_behind_nat};
use sip::stack::{Path, RportServer};

use super::profile::Profile;
use crate::text;

/// Is the sender of an INVITE behind NAT (`sip_nat_detected`)?
#[must_use]
pub(crate) fn of_call(profile: &Profile, request: &Request, path: &Path) -> bool {
    let settings = profile.settings.load();
    let lists: Vec<&str> =
        settings.params.all("apply-nat-acl").filter(|list| !list.is_empty()).collect();
    let natted = |ip| lists.iter().any(|list| profile.switch.acl_allows(list, ip));
    is_behind_nat(&request.headers, path.remote, path.transport, rules(profile), natted)
}

/// Is a registering phone behind NAT? Never when it is in the local network's list, and always over WebSocket: nothing but
/// its own connection leads to it.
#[must_use]
pub(crate) fn of_register(profile: &Profile, request: &Request, path: &Path) -> bool {
    if path.transport.is_websocket() {
        return true;
    }
    let settings = profile.settings.load();
    let local = &settings.local_network_acl;
    if !local.eq_ignore_ascii_case("none") && profile.switch.acl_allows(local, path.remote.ip()) {
        return false;
    }
    let by_contact = request.headers.contact().and_then(|c| c.uri.host_ip()).is_some_and(|ip| {
        ip != path.remote.ip()
            && settings.params.all("apply-nat-acl").any(|list| profile.switch.acl_allows(list, ip))
    });
    by_contact || of_call(profile, request, path)
}

fn rules(profile: &Profile) -> Rules {
    let settings = profile.settings.load();
    let on = |name: &str| settings.params.last(name).is_some_and(text::is_true);
    Rules {
        aggressive: on("aggressive-nat-detection"),
        tcp_always: on("tcp-always-nat"),
        tls_always: on("tls-always-nat"),
        follows_source: matches!(
            settings.rport.server,
            RportServer::KnownPhones | RportServer::Always
        ),
    }
}
