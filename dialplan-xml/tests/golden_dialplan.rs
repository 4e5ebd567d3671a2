//! The decisions recorded on the reference: the context `matching` of the golden configuration.

mod common;

use common::{Call, shared};
use dialplan_xml::dialplan::{Dialplan, RouteRequest, Routed, Trace};
use dialplan_xml::expand::expand;
use dialplan_xml::{Globals, Host as _, LoadOptions};

/// Number dialled, X-Kind header, trail the call leaves, DP_MATCH at its end, whether the variable
/// `nothing_all` is set.
const RECORDED: &[(&str, &str, &str, &str, bool)] = &[
    ("2042", "", "start,4-2-2042", "ARRAY::2042|:4|:2", false),
    ("2101", "", "start,and:probe", "ARRAY::probe|:probe", false),
    ("2102", "", "start,t1", "ARRAY::2102|:2102", false),
    ("2103", "", "start,n1,n2,end", "ARRAY::2103|:2103", true),
    ("2104", "", "start,not2103,n2,end", "ARRAY::2104|:2104", true),
    ("2105", "", "start,not2103,a1,end", "ARRAY::2105|:2105", true),
    ("2106", "", "start,not2103,inline-seen", "ARRAY::2106|:2106", false),
    ("2107", "", "start,not2103,late-not-seen", "ARRAY::2107|:2107", false),
    ("2108", "", "start,not2103,all,end", "ARRAY::2108|:2108", false),
    ("2109", "", "start,not2103,any", "ARRAY::2109|:2109", true),
    ("2110", "", "start,not2103,any", "ARRAY::2110|:2110", true),
    ("2111", "", "start,not2103,xor,end", "ARRAY::2111|:2111", true),
    ("2112", "", "start,not2103", "ARRAY::2112|:2112", true),
    (
        "2113",
        "",
        "start,not2103,ARRAY::2113|:13-ARRAY::probe|:p|:robe",
        "ARRAY::probe|:p|:robe",
        true,
    ),
    ("2114", "", "start,not2103,any-time", "ARRAY::2114|:2114", true),
    ("2115", "", "start,not2103,not-1999", "ARRAY::2115|:2115", true),
    ("2116", "", "start,not2103,in-range", "ARRAY::2116|:2116", true),
    ("2117", "", "start,not2103,outer,inner,inner2-no", "ARRAY::2117|:2117", true),
    ("2118", "", "start,not2103,not-19", "ARRAY::2118|:18", true),
    ("2119", "", "start,not2103,end", "ARRAY::2119|:2119", true),
    ("words", "", "start,not2103,slash-i", "ARRAY::words|:words", true),
    ("WoRdS", "", "start,not2103,slash-i", "ARRAY::WoRdS|:WoRdS", true),
    ("2120", "", "start,not2103,no-kind", "ARRAY::2120|:2120", true),
    ("2121", "", "start,not2103,looped,looped", "ARRAY::2121|:2121", true),
    ("2122", "", "start,not2103,api-field", "ARRAY::2122|:2122", true),
    ("2999", "", "start,not2103,end", "ARRAY::2999|:2999", true),
    ("2120", "a", "start,not2103,kind-a", "ARRAY::a|:a", true),
    ("2120", "c", "start,not2103,end", "ARRAY::2120|:2120", true),
];

fn execute(call: &mut Call, routed: &Routed) {
    for action in &routed.actions {
        let data = expand(&action.data, call);
        match &*action.application {
            "set" => {
                let data = expand(&data, call);
                let (name, value) = data.split_once('=').unwrap();
                call.set_variable(name, Some(value));
            }
            "hangup" | "transfer" => return,
            other => panic!("unexpected application {other}"),
        }
    }
}

fn route(dialplan: &Dialplan, context: &str, call: &mut Call) -> Routed {
    let destination = call.fields["destination_number"].clone();
    let request = RouteRequest {
        context: context.into(),
        destination_number: destination,
        ..Default::default()
    };
    dialplan.route(&request, call, Trace::Off)
}

#[test]
fn decisions_are_those_recorded_on_the_reference() {
    let Some(conf) = shared("golden/conf") else { return };
    let loaded = dialplan_xml::load(&conf, Globals::new(), &LoadOptions::default());
    let (dialplan, diagnostics) = Dialplan::compile(&loaded.tree.unwrap());
    assert_eq!(diagnostics, []);
    for (number, kind, trail, matched, nothing) in RECORDED {
        let mut call =
            Call::to(number).field("caller_id_number", "probe").var("sip_h_X-Kind", kind);
        call.replies.insert(r"regex abc123|^[a-c]+(\d+)$|%1".into(), "123".into());
        // The number reaches the context through the last extension of another one.
        let first = route(&dialplan, "main", &mut call);
        assert!(first.actions.iter().any(|a| &*a.application == "transfer"), "{number}: {first:?}");
        let routed = route(&dialplan, "matching", &mut call);
        execute(&mut call, &routed);
        let seen = (call.get("trail"), call.get("DP_MATCH"), call.get("nothing_all").is_some());
        let wanted = (Some((*trail).to_owned()), Some((*matched).to_owned()), *nothing);
        assert_eq!(seen, wanted, "{number} {kind}");
    }
}
