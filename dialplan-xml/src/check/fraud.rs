//! Toll fraud: an unauthenticated caller dials a number of their own choice and reaches
//! a trunk.
//!
//! Calls are tried on paper: for every number that leads to a gateway somewhere in the dialplan,
//! one is made into each context that strangers reach. They are followed through transfers,
//! sub-routines, `loopback` legs and menus; where digits are asked for, the number is given.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::Subject;
use super::sample::samples;
use crate::acl::{AclSet, LocalNet};
use crate::config::{AclConf, Params, ProfileConf, SofiaConf};
use crate::dialplan::Trace;
use crate::simulate::{Caller, Journey, World, follow};
use crate::text::is_true;
use crate::{Diagnostic, Node, Place};

/// How many numbers are tried per context.
const MAX_NUMBERS: usize = 500;
/// How many prefixes of a context are put before them.
const MAX_PREFIXES: usize = 20;
/// How often a caller keys the number in.
const KEYED: usize = 8;
/// Numbers strangers try first.
const USUAL: [&str; 6] = [
    "15551234567",
    "+15551234567",
    "011442079460000",
    "00442079460000",
    "900442079460000",
    "5551234",
];
/// An address on no list.
const STRANGER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(198, 51, 100, 77));

pub(super) fn check(subject: &mut Subject<'_>) {
    let sofia = SofiaConf::read(subject.tree.configuration("sofia.conf"));
    let world = World::read(subject.tree, &subject.directory, &LocalNet::default());
    let acl = AclConf::read(subject.tree.configuration("acl.conf"));
    let (acl, _) = AclSet::build(&acl, &subject.directory, &LocalNet::default());
    let trunks = trunk_numbers(subject);
    let mut told = BTreeSet::new();
    for profile in &sofia.profiles {
        let Some(way) = profile.settings.as_ref().and_then(|s| Way::find(s, &acl)) else {
            continue;
        };
        for number in numbers(subject, &way.context, &trunks) {
            for found in reaches_trunk(subject, &world, &way, &number, &trunks) {
                if told.insert((profile.name.clone(), found.action.clone())) {
                    tell(subject, profile, &way, found);
                }
            }
        }
    }
}

/// How a stranger's call gets in.
pub(super) struct Way {
    /// The context it comes to.
    pub(super) context: String,
    /// Why it is let in.
    pub(super) why: String,
}

impl Way {
    /// The checks a switch makes, in its order: lists first, a password for those they do not let
    /// in. A list that lets strangers in does so whatever `auth-calls` says.
    pub(super) fn find(settings: &Params, acl: &AclSet) -> Option<Self> {
        let flag = |name: &str| settings.last(name).is_some_and(is_true);
        let context = settings.last("context").filter(|c| !c.is_empty()).unwrap_or("default");
        let lists: Vec<_> = settings
            .all("apply-inbound-acl")
            .filter(|list| !list.is_empty() && !list.eq_ignore_ascii_case("none"))
            .collect();
        let mut refusing = None;
        for list in &lists {
            let mut parts = list.splitn(3, ':');
            let (name, passed) = (parts.next().unwrap_or_default(), parts.next());
            if acl.check(name, STRANGER) {
                let context = passed.filter(|c| !c.is_empty()).unwrap_or(context);
                let why = format!("lets every address of its list \"{name}\" in");
                return Some(Self { context: context.to_owned(), why });
            }
            refusing = parts.next().filter(|c| !c.is_empty()).map(|failed| (name, failed));
        }
        if let Some((name, context)) = refusing {
            let why = format!("lets in whoever is not in its list \"{name}\"");
            return Some(Self { context: context.to_owned(), why });
        }
        let asks = flag("auth-calls");
        let closed = !lists.is_empty() && (!asks || flag("auth-calls-acl-only"));
        let why = match (asks, flag("accept-blind-auth")) {
            _ if closed => return None,
            (false, _) => "asks for no password",
            (true, true) => "takes any password",
            (true, false) => return None,
        };
        Some(Self { context: context.to_owned(), why: why.to_owned() })
    }
}

/// Numbers that lead to a trunk from somewhere, and the usual ones.
fn trunk_numbers(subject: &Subject<'_>) -> BTreeSet<String> {
    let mut numbers: BTreeSet<String> = USUAL.iter().map(|n| (*n).to_owned()).collect();
    let section = subject.tree.section("dialplan");
    let bridges = section.into_iter().flat_map(Node::descendants).filter(|n| is_trunk_bridge(*n));
    for bridge in bridges {
        let mut around = std::iter::successors(bridge.parent(), |n| n.parent());
        if let Some(extension) = around.find(|n| n.name() == "extension") {
            numbers.extend(expressions(extension).into_iter().flat_map(samples));
        }
    }
    numbers.into_iter().filter(|n| n.len() >= 4).take(MAX_NUMBERS).collect()
}

/// What to dial in a context: the numbers of the trunks, numbers the context itself takes, and both
/// together, for extensions that cut off a prefix.
fn numbers(subject: &Subject<'_>, context: &str, trunks: &BTreeSet<String>) -> BTreeSet<String> {
    let section = subject.tree.section("dialplan");
    let found = section.and_then(|s| s.find("context", "name", context));
    let tests: Vec<&str> = found.into_iter().flat_map(expressions).collect();
    let mut numbers = trunks.clone();
    numbers.extend(tests.iter().flat_map(|test| samples(test)).filter(|n| n.len() >= 4));
    let prefixes: BTreeSet<String> = tests.iter().filter_map(|test| prefix(test)).collect();
    for prefix in prefixes.iter().take(MAX_PREFIXES) {
        numbers.extend(trunks.iter().map(|number| format!("{prefix}{number}")));
    }
    numbers
}

/// Expressions the number dialled is compared with.
fn expressions(node: Node<'_>) -> Vec<&str> {
    let tests = node
        .descendants()
        .filter(|test| test.attr_or_empty("field").eq_ignore_ascii_case("destination_number"));
    tests
        .map(|test| {
            test.child("expression").map_or_else(|| test.attr_or_empty("expression"), Node::text)
        })
        .collect()
}

/// The digits an expression such as `^0(.*)$` wants before its group.
fn prefix(expression: &str) -> Option<String> {
    let (before, _) = expression.strip_prefix('^')?.split_once('(')?;
    let literal = before.replace('\\', "");
    let digits = literal.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'*' | b'#' | b'+'));
    (digits && !literal.is_empty()).then_some(literal)
}

fn is_trunk_bridge(node: Node<'_>) -> bool {
    matches!(node.name(), "action" | "anti-action")
        && node.attr_or_empty("application").eq_ignore_ascii_case("bridge")
        && trunk(super::names::data(node).0).is_some()
}

/// A call that goes out.
struct Out {
    /// What was dialled, and keyed in.
    number: String,
    /// The bridge.
    action: Place,
    /// What it goes out through.
    trunk: String,
}

/// The bridges a number leads to that go to a trunk with a number the caller chose. Who is asked for
/// digits keys in the number of every trunk.
fn reaches_trunk(
    subject: &Subject<'_>,
    world: &World,
    way: &Way,
    number: &str,
    trunks: &BTreeSet<String>,
) -> Vec<Out> {
    let call = |typed: Option<&String>| {
        let mut caller = Caller::new(number, &way.context);
        caller.globals = subject.globals.clone();
        caller.world = world.clone();
        caller.set_field("network_addr", &STRANGER.to_string());
        caller.typed =
            typed.into_iter().flat_map(|t| std::iter::repeat_n(t.clone(), KEYED)).collect();
        let journey = follow(&subject.dialplan, &mut caller, Trace::Off);
        (journey, caller.speechless)
    };
    let (journey, asked) = call(None);
    if let Some((action, trunk)) = trunk_reached(&journey, number) {
        return vec![Out { number: number.to_owned(), action, trunk }];
    }
    if !asked {
        return Vec::new();
    }
    let keyed = trunks.iter().filter_map(|typed| {
        let (action, trunk) = trunk_reached(&call(Some(typed)).0, typed)?;
        Some(Out { number: format!("{number} and then {typed}, keyed in,"), action, trunk })
    });
    keyed.collect()
}

/// The bridge a call ends up at, if it is to a gateway with the number the caller chose.
fn trunk_reached(journey: &Journey, number: &str) -> Option<(Place, String)> {
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
        let number = number.split([',', '|']).next().unwrap_or_default();
        return Some((format!("gateway \"{gateway}\""), number));
    }
    let (_, target) = after.split_once('/')?;
    let (number, host) = target.split_once('@')?;
    let host = host.split([',', '|', ';']).next().unwrap_or_default();
    Some((format!("host {host}"), number))
}

fn tell(subject: &mut Subject<'_>, profile: &ProfileConf, way: &Way, out: Out) {
    let Way { context, why } = way;
    let Out { number, action, trunk } = out;
    let message = format!(
        "strangers can call out: profile \"{}\" {why}, its context \"{context}\" leads {number} \
         to {trunk}",
        profile.name
    );
    let found = Diagnostic::error("toll-fraud", message, Some(action));
    let hint = "move the trunk to a context of authenticated users, or restrict the profile with \
                apply-inbound-acl";
    subject.say(found.with_related(profile.place.clone(), "the profile").with_hint(hint));
}
