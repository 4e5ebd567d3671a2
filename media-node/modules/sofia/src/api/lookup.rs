//! Lookups scripts and dial strings use: contacts, counts and names of registrations, data of gateways.

use std::sync::Arc;

use sip::registrar::Binding;

use super::super::Sofia;
use super::super::profile::Profile;
use super::super::registrar::uri_of;
use super::sofia_of;
use crate::clock;
use switch_core::api::ApiCall;

/// `[profile/]user@domain[/concat]`, taken apart.
struct Query<'a> {
    profile: Option<&'a str>,
    user: &'a str,
    domain: Option<&'a str>,
    concat: &'a str,
    agent: Option<&'a str>,
}

impl<'a> Query<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let text = text.trim();
        if text.is_empty() {
            return None;
        }
        let (text, agent) = match text.split_once('~') {
            Some((rest, agent)) => (rest, Some(agent)),
            None => (text, None),
        };
        // A slash before the user names the profile, one after the domain what to put before each contact.
        let (profile, rest) = match text.split_once('/') {
            Some((first, rest)) if !first.contains('@') => (Some(first), rest),
            _ => (None, text),
        };
        let (address, concat) = rest.split_once('/').unwrap_or((rest, ""));
        let (user, domain) = match address.split_once('@') {
            Some((user, domain)) => (user, Some(domain).filter(|d| !d.is_empty())),
            None => (address, None),
        };
        Some(Self { profile, user, domain, concat, agent })
    }

    fn profiles(&self, sofia: &Sofia) -> Vec<Arc<Profile>> {
        match (self.profile, self.domain) {
            (Some("*"), _) => sofia.profiles(),
            (Some(name), _) => sofia.find(name).into_iter().collect(),
            (None, Some(domain)) => match sofia.find(domain) {
                Some(profile) => vec![profile],
                None => sofia.profiles(),
            },
            (None, None) => sofia.profiles(),
        }
    }

    /// What is registered under the name, newest first, each with its profile's name.
    fn bindings(&self, sofia: &Sofia) -> Vec<(String, Binding)> {
        let now = clock::now_secs();
        let mut out = Vec::new();
        for profile in self.profiles(sofia) {
            let domain = self.domain.map_or_else(|| default_domain(&profile), str::to_owned);
            let bindings = profile.bindings.lock();
            let found = bindings.find(self.user, &domain, now);
            let fits = |b: &&Binding| self.agent.is_none_or(|agent| b.user_agent.contains(agent));
            let mut found: Vec<_> =
                found.filter(fits).map(|b| (profile.name.clone(), b.clone())).collect();
            found.reverse();
            out.extend(found);
        }
        out
    }
}

fn default_domain(profile: &Profile) -> String {
    let settings = profile.settings.load();
    let forced = ["force-register-db-domain", "force-register-domain"]
        .into_iter()
        .find_map(|name| settings.params.last(name).filter(|d| !d.is_empty()).map(str::to_owned));
    forced.unwrap_or_else(|| settings.sip_ip.to_string())
}

/// Does a call want that contact of a phone that names itself so?
fn is_wanted(of: (&str, &str), exclude: Option<&str>, agent: Option<&str>) -> bool {
    !exclude.is_some_and(|text| holds(of.0, text)) && agent.is_none_or(|text| holds(of.1, text))
}

/// Is one text in the other, in any case?
fn holds(text: &str, part: &str) -> bool {
    text.to_ascii_lowercase().contains(&part.to_ascii_lowercase())
}

/// The contacts of a user as legs of a dial string. A call may exclude those that have a text in them
/// (`sip_exclude_contact`), and ask for phones that name themselves so (`sip_match_user_agent`).
pub(super) fn contact(call: &ApiCall) -> String {
    const NOBODY: &str = "error/user_not_registered";
    let (Some(sofia), Some(query)) = (sofia_of(call), Query::parse(&call.args)) else {
        return NOBODY.into();
    };
    let var = |name| call.channel.as_ref().and_then(|c| c.var(name)).filter(|v| !v.is_empty());
    let exclude = var("sip_exclude_contact");
    // What the query asks for itself counts instead.
    let agent = var("sip_match_user_agent").filter(|_| query.agent.is_none());
    let contacts: Vec<_> = query
        .bindings(&sofia)
        .into_iter()
        .filter(|(_, b)| {
            let (exclude, agent) = (exclude.as_deref(), agent.as_deref());
            is_wanted((&b.contact, &b.user_agent), exclude, agent)
        })
        .map(|(profile, binding)| {
            format!("{}sofia/{profile}/{}", query.concat, uri_of(&binding.contact))
        })
        .collect();
    if contacts.is_empty() { NOBODY.into() } else { contacts.join(",") }
}

pub(super) fn count_reg(call: &ApiCall) -> String {
    let (Some(sofia), Some(query)) = (sofia_of(call), Query::parse(&call.args)) else {
        return "-1".into();
    };
    if query.profiles(&sofia).is_empty() {
        return "-1".into();
    }
    query.bindings(&sofia).len().to_string()
}

pub(super) fn username_of(call: &ApiCall) -> String {
    let (Some(sofia), Some(query)) = (sofia_of(call), Query::parse(&call.args)) else {
        return String::new();
    };
    query.bindings(&sofia).into_iter().next().map(|(_, b)| b.auth_user).unwrap_or_default()
}

pub(super) fn gateway_data(call: &ApiCall) -> String {
    let words = call.words(3);
    let [name, kind, variable] = words.as_slice() else { return "-ERR Parameter missing\n".into() };
    let Some((_, gateway)) = sofia_of(call).and_then(|sofia| sofia.gateway(name)) else {
        return String::new();
    };
    let fits = |v: &&dialplan_xml::config::GatewayVariable| {
        v.name == *variable
            && match kind.as_str() {
                "ivar" => v.inbound,
                "ovar" => v.outbound,
                _ => v.inbound && v.outbound,
            }
    };
    gateway.conf.variables.iter().find(fits).map(|v| v.value.clone()).unwrap_or_default()
}

pub(super) fn presence_data(call: &ApiCall) -> String {
    let words = call.words(2);
    let [what, who] = words.as_slice() else { return String::new() };
    let (Some(sofia), Some(query)) = (sofia_of(call), Query::parse(who)) else {
        return String::new();
    };
    let found: Vec<Binding> =
        query.bindings(&sofia).into_iter().map(|(_, binding)| binding).collect();
    let first =
        |column: fn(&Binding) -> &str| found.first().map(column).unwrap_or_default().to_owned();
    let mut out = match what.to_ascii_lowercase().as_str() {
        "status" => return first(|b| &b.status),
        "rpid" => return first(|_| "unknown"),
        "user_agent" => return first(|b| &b.user_agent),
        _ if found.is_empty() => String::new(),
        _ => String::from("status|rpid|user_agent|network_ip|network_port\n"),
    };
    for b in &found {
        out.push_str(&format!(
            "{}|unknown|{}|{}|{}\n",
            b.status, b.user_agent, b.network_ip, b.network_port
        ));
    }
    if what.eq_ignore_ascii_case("list") {
        out.push_str("+OK\n");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(text: &str) -> Option<(Option<&str>, &str, Option<&str>, &str)> {
        Query::parse(text).map(|q| (q.profile, q.user, q.domain, q.concat))
    }

    #[test]
    fn queries_are_taken_apart_as_scripts_write_them() {
        assert_eq!(parts("anna@golden.test"), Some((None, "anna", Some("golden.test"), "")));
        assert_eq!(
            parts("auth/anna@golden.test"),
            Some((Some("auth"), "anna", Some("golden.test"), ""))
        );
        assert_eq!(
            parts("*/anna@golden.test/[a=b]"),
            Some((Some("*"), "anna", Some("golden.test"), "[a=b]"))
        );
        assert_eq!(parts("auth/anna"), Some((Some("auth"), "anna", None, "")));
        assert_eq!(parts("anna@golden.test~Yealink").map(|p| p.1), Some("anna"));
        assert_eq!(parts(" "), None);
    }

    #[test]
    fn the_uri_of_a_stored_contact_is_inside_the_last_brackets() {
        assert_eq!(uri_of("\"A <b>\" <sip:x@h;fs_nat=yes>"), "sip:x@h;fs_nat=yes");
        assert_eq!(uri_of("sip:x@h"), "sip:x@h");
    }

    #[test]
    fn a_call_may_exclude_contacts_and_ask_for_phones() {
        let phone = ("<sip:anna@10.0.0.5:5060>", "Yealink SIP-T46S");
        assert!(is_wanted(phone, None, None));
        assert!(!is_wanted(phone, Some("10.0.0.5"), None));
        assert!(is_wanted(phone, Some("10.0.0.6"), Some("yealink")));
        assert!(!is_wanted(phone, None, Some("Snom")));
    }
}
