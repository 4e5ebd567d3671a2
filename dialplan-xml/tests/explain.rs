//! Calls on paper: explained, tested, followed through transfers.

mod common;

use common::document;
use dialplan_xml::catalogue::{Catalogue, Kind};
use dialplan_xml::dialplan::Dialplan;
use dialplan_xml::explain::explain;
use dialplan_xml::simulate::Caller;
use dialplan_xml::{Globals, Host as _, fixtures, report::report};

const DIALPLAN: &str = r#"<document>
<section name="dialplan">
<context name="public">
  <extension name="late" continue="true">
    <condition hour="20-7">
      <action application="set" data="late=true"/>
    </condition>
  </extension>
  <extension name="sales">
    <condition field="destination_number" expression="^5(\d{3})$"/>
    <condition field="${kind}" expression="^(vip|new)$" break="never">
      <action application="set" data="queue=$1" inline="true"/>
      <anti-action application="set" data="queue=plain"/>
    </condition>
    <condition field="destination_number" expression="^5(\d{3})$">
      <action application="log" data="INFO ${queue} ${toupper(x)}"/>
      <action application="transfer" data="$1 XML default"/>
    </condition>
  </extension>
  <extension name="office">
    <condition field="destination_number" expression="^6"/>
  </extension>
</context>
<context name="default">
  <extension name="desk">
    <condition field="destination_number" expression="^\d{3}$">
      <action application="bridge" data="user/${destination_number}@${domain}"/>
    </condition>
  </extension>
</context>
</section>
</document>
"#;

fn dialplan() -> Dialplan {
    Dialplan::compile(&document(DIALPLAN).tree.unwrap()).0
}

fn call(number: &str) -> Caller {
    let mut caller = Caller::new(number, "public");
    caller.now = "2026-03-04T12:30:15Z".parse().unwrap();
    caller.globals.set("domain", "example.test");
    caller
}

#[test]
fn a_call_is_explained_as_a_tree() {
    let mut caller = call("5123");
    caller.set_variable("kind", Some("vip"));
    let explanation = explain(&dialplan(), &mut caller);
    assert_eq!(
        explanation.to_text(false),
        r#"5123 in context public (XML)
  - extension late, continues    # test.xml:4
    the time does not fit: hour="20-7", it is 12    # test.xml:5
  + extension sales    # test.xml:9
    destination_number = "5123" matches /^5(\d{3})$/: $1="123"    # test.xml:10
    ${kind} = "vip" matches /^(vip|new)$/: $1="vip"    # test.xml:11
    action set(queue=vip), run at once    # test.xml:12
    destination_number = "5123" matches /^5(\d{3})$/: $1="123"    # test.xml:15
    action log(INFO ${queue} ${toupper(x)})    # test.xml:16
    action transfer(123 XML default)    # test.xml:17
    matched: the search ends here    # test.xml:9
=> extension sales
   log(INFO vip )    # test.xml:16
   transfer(123 XML default)    # test.xml:17

123 in context default (XML)
  + extension desk    # test.xml:25
    destination_number = "123" matches /^\d{3}$/    # test.xml:26
    action bridge(user/${destination_number}@${domain})    # test.xml:27
    matched: the search ends here    # test.xml:25
=> extension desk
   bridge(user/123@example.test)    # test.xml:27

API commands that only a running switch can answer (taken as empty):
  toupper x
"#
    );
    assert_eq!(explanation.exit_status(), 0);
    let json = explanation.to_json();
    assert_eq!(json["hops"][1]["applications"][0]["data"], "user/123@example.test");
    assert_eq!(json["hops"][0]["steps"][1]["failed"]["seen"], "12");
}

#[test]
fn a_call_that_finds_nothing_is_explained_too() {
    let explanation = explain(&dialplan(), &mut call("777"));
    assert_eq!(
        explanation.to_text(false),
        r#"777 in context public (XML)
  - extension late, continues    # test.xml:4
    the time does not fit: hour="20-7", it is 12    # test.xml:5
  - extension sales    # test.xml:9
    destination_number = "777" does not match /^5(\d{3})$/    # test.xml:10
  - extension office    # test.xml:20
    destination_number = "777" does not match /^6/    # test.xml:21
=> no route: the call ends with NO_ROUTE_DESTINATION

"#
    );
    assert_eq!(explanation.exit_status(), 1);
    let nowhere = explain(&dialplan(), &mut Caller::new("1", "nowhere"));
    assert!(nowhere.to_text(false).contains("there is no context \"nowhere\""));
}

#[test]
fn transfers_in_circles_end() {
    let text = "<document>\n<section name=\"dialplan\"><context name=\"public\"><extension name=\"e\"><condition>\
                <action application=\"transfer\" data=\"1\"/></condition></extension></context></section></document>";
    let circle = Dialplan::compile(&document(text).tree.unwrap()).0;
    assert!(explain(&circle, &mut call("1")).journey.endless);
    let sub = text.replace("\"transfer\"", "\"execute_extension\"");
    let circle = Dialplan::compile(&document(&sub).tree.unwrap()).0;
    assert!(explain(&circle, &mut call("1")).journey.endless);
}

#[test]
fn fixtures_are_run_and_what_was_not_tried_is_named() {
    let calls = "# sales\n\
                 call 5123 in public\n  set kind=new\n  api toupper x=X\n  time 2026-03-04T22:00:00Z\n\
                 \x20 extension sales\n  runs set late=true\n  runs log INFO new X\n  reaches 123 in default\n\
                 \x20 runs bridge user/123@example.test\n  never voicemail\n\
                 call 777 in public\n  no route\n";
    let globals: Globals = [("domain", "example.test")].into_iter().collect();
    let outcome = fixtures::run(&dialplan(), calls, "calls.txt", &globals);
    let office = dialplan().extensions("public").nth(2).unwrap().1.clone();
    assert_eq!(
        outcome.to_text(),
        format!(
            "2 calls, 0 failed; 3 of 4 extensions tried (75%)\n  not tried: public/office {office}\n"
        )
    );
    assert_eq!((outcome.exit_status(), outcome.to_json()["extensions"].as_u64()), (0, Some(4)));
}

#[test]
fn the_report_counts_what_is_honoured() {
    let mut catalogue = Catalogue::new();
    catalogue.honour(Kind::Application, ["set", "transfer"]);
    catalogue.honour(Kind::Endpoint, ["user"]);
    catalogue.complete();
    let report = report(&document(DIALPLAN).tree.unwrap(), &catalogue);
    assert_eq!(
        report.to_text(),
        "7 names used
  honoured                     5   71.4%
  accepted without effect      2   28.6%
  unknown                      0    0.0%

accepted without effect:
  API command toupper    # test.xml:16:39
  application bridge    # test.xml:27:28
"
        .replace(
            "  application bridge    # test.xml:27:28\n",
            "  application bridge    # test.xml:27:28\n  application log    # test.xml:16:28\n"
        )
        .replace("honoured                     5   71.4%", "honoured                     5   62.5%")
        .replace("effect      2   28.6%", "effect      3   37.5%")
        .replace("7 names", "8 names")
    );
}
