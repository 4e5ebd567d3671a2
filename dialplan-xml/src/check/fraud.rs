//! Toll fraud: a caller nobody asked for a password dials a number of their own choice and reaches
//! a trunk.
//!
//! Calls are tried on paper: for every number that leads to a gateway somewhere in the dialplan,
//! one is made into each context that strangers reach.

use std::collections::BTreeSet;

use super::Subject;
use super::sample::samples;
use crate::acl::{AclSet, LocalNet};
use crate::config::{AclConf, Params, ProfileConf, SofiaConf};
use crate::dialplan::Trace;
use crate::simulate::{Caller, follow};
use crate::text::is_true;
use crate::{Diagnostic, Node, Place};

/// How many numbers are tried per context.
const MAX_NUMBERS: usize = 500;
/// Numbers strangers try first.
const USUAL: [&str; 6] = [
    "15551234567",
    "+15551234567",
    "011442079460000",
    "00442079460000",
    "900442079460000",
    "5551234",
];

pub(super) fn check(subject: &mut Subject<'_>) {
    let sofia = SofiaConf::read(subject.tree.configuration("sofia.conf"));
    let numbers = numbers(subject);
    let mut told = BTreeSet::new();
    for profile in &sofia.profiles {
        let Some(settings) = profile.settings.as_ref().filter(|s| open(subject, s)) else {
            continue;
        };
        let context = settings.last("context").unwrap_or("default").to_owned();
        for number in &numbers {
            if let Some((action, trunk)) = reaches_trunk(subject, &context, number)
                && told.insert((profile.name.clone(), action.clone()))
            {
                tell(subject, profile, &context, number, action, &trunk);
            }
        }
    }
}

/// Whether a stranger's call is let in without a password.
fn open(subject: &Subject<'_>, settings: &Params) -> bool {
    let flag = |name: &str, default: bool| settings.last(name).map_or(default, is_true);
    let unasked = !flag("auth-calls", false) || flag("accept-blind-auth", false);
    let conf = AclConf::read(subject.tree.configuration("acl.conf"));
    let (set, _) = AclSet::build(&conf, &subject.directory, &LocalNet::default());
    let stranger = std::net::IpAddr::from([198, 51, 100, 77]);
    let listed = settings.all("apply-inbound-acl").map(|v| v.split(':').next().unwrap_or_default());
    let lists: Vec<_> = listed.filter(|l| !l.is_empty()).collect();
    let let_in = lists.is_empty() || lists.iter().any(|l| set.check(l, stranger));
    unasked && let_in
}

/// Numbers that lead to a trunk from somewhere, and the usual ones.
fn numbers(subject: &Subject<'_>) -> Vec<String> {
    let mut numbers: BTreeSet<String> = USUAL.iter().map(|n| (*n).to_owned()).collect();
    let section = subject.tree.section("dialplan");
    let bridges = section.into_iter().flat_map(Node::descendants).filter(|n| is_trunk_bridge(*n));
    for bridge in bridges {
        let mut around = std::iter::successors(bridge.parent(), |n| n.parent());
        let Some(extension) = around.find(|n| n.name() == "extension") else { continue };
        for test in extension.descendants() {
            let field = test.attr_or_empty("field");
            if field.eq_ignore_ascii_case("destination_number") {
                let child = test.child("expression");
                let expression = child.map_or_else(|| test.attr_or_empty("expression"), Node::text);
                numbers.extend(samples(expression));
            }
        }
    }
    numbers.into_iter().filter(|n| n.len() >= 4).take(MAX_NUMBERS).collect()
}

fn is_trunk_bridge(node: Node<'_>) -> bool {
    matches!(node.name(), "action" | "anti-action")
        && node.attr_or_empty("application").eq_ignore_ascii_case("bridge")
        && trunk(super::names::data(node).0).is_some()
}

/// The bridge a call ends up at, if it is to a gateway with the number the caller chose.
fn reaches_trunk(subject: &Subject<'_>, context: &str, number: &str) -> Option<(Place, String)> {
    let mut caller = Caller::new(number, context);
    caller.globals = subject.globals.clone();
    let journey = follow(&subject.dialplan, &mut caller, Trace::Off);
    journey.hops.iter().flat_map(|hop| &hop.executed).find_map(|run| {
        if !run.application.eq_ignore_ascii_case("bridge") {
            return None;
        }
        let (trunk, dialled) = trunk(&run.data)?;
        // A number written in the dialplan was not chosen by the caller.
        let digits: String = dialled.chars().filter(char::is_ascii_digit).collect();
        let chosen: String = number.chars().filter(char::is_ascii_digit).collect();
        let own = digits.len() >= 4 && (chosen.ends_with(&digits) || digits.ends_with(&chosen));
        own.then(|| Some((run.place.clone()?, trunk)))?
    })
}

/// What a dial string goes out through, and the number it dials there: `sofia/gateway/G/number` or
/// `sofia/profile/number@host`.
fn trunk(dial_string: &str) -> Option<(String, &str)> {
    let (_, after) = dial_string.split_once("sofia/")?;
    if let Some(rest) = after.strip_prefix("gateway/") {
        let (gateway, number) = rest.split_once('/')?;
        return Some((format!("gateway \"{gateway}\""), number));
    }
    let (_, target) = after.split_once('/')?;
    let (number, host) = target.split_once('@')?;
    let host = host.split([',', '|', ';']).next().unwrap_or_default();
    Some((format!("host {host}"), number))
}

fn tell(
    subject: &mut Subject<'_>,
    profile: &ProfileConf,
    context: &str,
    number: &str,
    action: Place,
    trunk: &str,
) {
    let message = format!(
        "strangers can call out: profile \"{}\" asks for no password, its context \"{context}\" \
         leads {number} to {trunk}",
        profile.name
    );
    let found = Diagnostic::error("toll-fraud", message, Some(action));
    let hint = "move the trunk to a context of authenticated users, or restrict the profile with \
                apply-inbound-acl";
    subject.say(found.with_related(profile.place.clone(), "the profile").with_hint(hint));
}
