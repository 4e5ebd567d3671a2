//! What the directory says of a phone's registration beside its password: as whom it registers (`sip-force-user`), which address is
//! kept of it (`sip-force-contact`), and which gateways come and go with it (`register-gateway`).

use std::net::SocketAddr;

use sip::gateway::State;
use sip::uri::{NameAddr, SipUri, escape_param};

use super::auth::Identity;
use super::profile::Profile;
use super::stored::in_dial_string;
use crate::Sofia;

/// Lifetime of a registration whose address was replaced by that of its source, seconds; the phone's router forgets it soon.
const BEHIND_ROUTER: u32 = 30;

/// A param of the user, or a variable: what is said of registrations may stand in either. Empty ones say nothing.
pub(super) fn said<'a>(identity: &'a Identity, name: &str) -> Option<&'a str> {
    let user = &identity.user;
    let found = user.params.get(name).or_else(|| user.variables.get(name));
    found.map(str::trim).filter(|value| !value.is_empty())
}

/// What is kept of a registration in place of what the phone said.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Kept {
    /// Contact as a name-addr.
    pub(super) contact: String,
    /// State as listings show it.
    pub(super) status: Option<&'static str>,
    /// Lifetime in seconds.
    pub(super) expires: Option<u32>,
}

/// What `sip-force-contact` makes of a phone's `contact`, which is `stored` otherwise, when it came from `source`.
///
/// `NDLB-connectile-dysfunction` and its like keep the source in the place of the host, `NDLB-connectile-dysfunction-2.0` keeps the
/// source as the way to the host; anything else is the contact itself, with `'`, `[` and `]` for quotes.
pub(super) fn forced_contact(
    word: &str,
    contact: &NameAddr,
    stored: &str,
    source: SocketAddr,
) -> Kept {
    let user = contact.uri.user().unwrap_or_default();
    let at = SipUri::of(contact.uri.scheme(), user, source).to_string();
    if word.eq_ignore_ascii_case("NDLB-connectile-dysfunction-2.0") {
        let contact = match stored.strip_suffix('>') {
            Some(open) if !stored.contains("fs_path=") => {
                format!("{open};fs_nat=yes;fs_path={}>", escape_param(&at))
            }
            _ => stored.to_owned(),
        };
        let status = Some("Registered(AUTO-NAT-2.0)");
        return Kept { contact, status, expires: Some(BEHIND_ROUTER) };
    }
    const OLDER: [&str; 3] = [
        "nat-connectile-dysfunction",
        "NDLB-connectile-dysfunction",
        "NDLB-tls-connectile-dysfunction",
    ];
    if OLDER.iter().any(|known| word.eq_ignore_ascii_case(known)) {
        let shown = stored.split_once('<').map(|(shown, _)| shown).unwrap_or_default();
        let address = format!("{at}{}", contact.uri.params().as_str());
        let contact = format!("{shown}<{};fs_nat=yes>", in_dial_string(&address));
        let status = Some("Registered(AUTO-NAT)");
        return Kept { contact, status, expires: Some(BEHIND_ROUTER) };
    }
    Kept { contact: word.replace(['\'', '[', ']'], "\""), status: None, expires: None }
}

/// A user's phone has registered, or gives up its registration (`comes` is false): so do the gateways that
/// `register-gateway` names, a list with commas or `all` of the user's own. Gateways that are registered stay so.
pub(super) fn follow(profile: &Profile, identity: &Identity, comes: bool) {
    let Some(list) = said(identity, "register-gateway") else { return };
    let Some(sofia) = Sofia::find_in(&profile.switch) else { return };
    let own: Vec<&str> =
        identity.user.gateways.iter().map(|gateway| gateway.name.as_str()).collect();
    let names: Vec<&str> = match list.eq_ignore_ascii_case("all") {
        true => own,
        false => list.split(',').map(str::trim).filter(|name| !name.is_empty()).collect(),
    };
    for name in names {
        let Some((_, gateway)) = sofia.gateway(name) else {
            tracing::warn!("Gateway '{name}' not found: register-gateway of {}", identity.user.id);
            continue;
        };
        let mut registration = gateway.registration.lock();
        let under_way =
            matches!(registration.state(), State::Trying | State::Register | State::Reged);
        let _registers = match (comes, under_way) {
            (true, false) => registration.register(),
            (true, true) => false,
            (false, _) => registration.unregister(),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_kept_is_the_one_that_was_asked_for() {
        let contact = NameAddr::parse("\"A\" <sip:1000@10.0.0.9:5060;ob>").unwrap();
        let stored = "\"A\" <sip:1000@10.0.0.9:5060;ob>";
        let source: SocketAddr = "192.0.2.7:6000".parse().unwrap();
        let kept = |word: &str| forced_contact(word, &contact, stored, source);
        let path = "fs_nat=yes;fs_path=sip%3A1000%40192.0.2.7%3A6000>";
        let second = kept("ndlb-connectile-dysfunction-2.0");
        assert_eq!(second.contact, format!("\"A\" <sip:1000@10.0.0.9:5060;ob;{path}"));
        assert_eq!(second.status, Some("Registered(AUTO-NAT-2.0)"));
        assert_eq!(second.expires, Some(30));
        let first = kept("NDLB-connectile-dysfunction");
        assert_eq!(first.contact, "\"A\" <sip:1000@192.0.2.7:6000;ob;fs_nat=yes>");
        assert_eq!((first.status, first.expires), (Some("Registered(AUTO-NAT)"), Some(30)));
        let own = kept("['Desk' <sip:desk@192.0.2.1>");
        assert_eq!(own.contact, "\"\"Desk\" <sip:desk@192.0.2.1>");
        assert_eq!((own.status, own.expires), (None, None));
        let natted = "\"A\" <sip:1000@h;fs_nat=yes;fs_path=sip%3Ax>";
        let again = forced_contact("NDLB-connectile-dysfunction-2.0", &contact, natted, source);
        assert_eq!(again.contact, natted);
    }
}
