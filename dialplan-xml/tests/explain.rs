//! Calls on paper: explained, tested, followed through transfers.

mod common;

use common::document;
use dialplan_xml::acl::LocalNet;
use dialplan_xml::catalogue::{Catalogue, Kind};
use dialplan_xml::dialplan::Dialplan;
use dialplan_xml::explain::explain;
use dialplan_xml::simulate::{Caller, Setting};
use dialplan_xml::{Globals, Host as _, Paint, fixtures, report::report};

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

/// A menu, a user, a list, and applications that end calls.
const HOUSE: &str = r#"<document>
<section name="configuration">
<configuration name="acl.conf"><network-lists>
  <list name="office" default="deny"><node type="allow" cidr="192.0.2.0/24"/></list>
</network-lists></configuration>
<configuration name="ivr.conf"><menus>
  <menu name="main">
    <entry action="menu-sub" digits="1" param="below"/>
    <entry action="menu-exec-app" digits="/^(10\d\d)$/" param="transfer $1 XML default"/>
  </menu>
  <menu name="below">
    <entry action="menu-top" digits="*" param=""/>
    <entry action="menu-exec-app" digits="2" param="playback hello.wav"/>
    <entry action="menu-exit" digits="9" param=""/>
  </menu>
</menus></configuration>
</section>
<section name="directory">
<domain name="example.test">
  <user id="1000"><variables>
    <variable name="user_context" value="default"/>
    <variable name="toll_allow" value="local"/>
  </variables></user>
</domain>
</section>
<section name="dialplan">
<context name="public">
  <extension name="menu">
    <condition field="destination_number" expression="^5000$">
      <action application="ivr" data="main"/>
      <action application="hangup"/>
      <action application="log" data="INFO never"/>
    </condition>
  </extension>
  <extension name="guarded">
    <condition field="destination_number" expression="^6000$">
      <action application="check_acl" data="${network_addr} office"/>
      <action application="park"/>
    </condition>
  </extension>
  <extension name="ask">
    <condition field="destination_number" expression="^7000$">
      <action application="play_and_get_digits" data="2 4 3 7000 # a.wav b.wav wanted ^1\d+$ 3000"/>
      <action application="bridge" data="loopback/${wanted}/default"/>
      <action application="respond" data="183"/>
      <action application="respond" data="404"/>
      <action application="park"/>
    </condition>
  </extension>
</context>
<context name="default">
  <extension name="desk">
    <condition field="destination_number" expression="^10\d\d$">
      <action application="bridge" data="user/${destination_number}"/>
    </condition>
  </extension>
</context>
</section>
</document>
"#;

fn house() -> Setting {
    let tree = document(HOUSE).tree.unwrap();
    Setting::read(&tree, Globals::new(), &LocalNet::default())
}

/// Where a call goes, without the steps.
fn story(caller: &mut Caller) -> String {
    dialplan_xml::explain::story(&explain(&house().dialplan, caller).journey)
}

#[test]
fn menus_are_followed_as_far_as_something_is_keyed_in() {
    let mut caller = house().caller("5000", "public");
    let explanation = explain(&house().dialplan, &mut caller);
    assert!(explanation.to_text(false).contains(
        "=> extension menu\n   ivr(main)    # test.xml:30\n   hangup()    # test.xml:31\n   \
         the call ends here: 1 more not run\n\n\
         the caller is asked for digits: what is keyed in decides what follows\n"
    ));
    let mut caller = house().caller("5000", "public");
    caller.typed.extend(["1", "2", "*", "1001"].map(str::to_owned));
    assert_eq!(
        story(&mut caller),
        "5000 in public => extension menu\n   ivr(main)    # test.xml:30\n   \
         playback(hello.wav)    # test.xml:13\n   transfer(1001 XML default)    # test.xml:9\n\
         1001 in default => extension desk\n   bridge(user/1001)    # test.xml:54\n"
    );
}

#[test]
fn digits_asked_for_go_where_they_are_wanted() {
    let mut caller = house().caller("7000", "public");
    caller.typed.push_back("1002".to_owned());
    let told = story(&mut caller);
    assert!(told.contains("bridge(loopback/1002/default)"), "{told}");
    assert!(told.contains("  1002 in default => extension desk\n     bridge(user/1002)"), "{told}");
    assert!(told.contains("respond(404)") && !told.contains("park"), "{told}");
    // What does not fit the expression is not taken.
    let mut caller = house().caller("7000", "public");
    caller.typed.push_back("22".to_owned());
    assert!(story(&mut caller).contains("bridge(loopback//default)"));
}

#[test]
fn lists_refuse_calls_on_paper_too() {
    let from = |address: &str| {
        let mut caller = house().caller("6000", "public");
        caller.set_field("network_addr", address);
        story(&mut caller)
    };
    assert!(from("192.0.2.7").contains("park()"));
    assert!(!from("198.51.100.1").contains("park()"));
}

#[test]
fn a_user_brings_variables_and_a_context() {
    let house = house();
    let mut caller = house.caller("1001", "public");
    caller.come_from(&house.user("1000").unwrap());
    assert_eq!(caller.field_or_empty("context"), "default");
    assert_eq!(caller.field_or_empty("caller_id_number"), "1000");
    assert_eq!(caller.get("toll_allow").as_deref(), Some("local"));
    assert!(house.user("1000@example.test").is_some() && house.user("1000@elsewhere").is_none());
}

fn setting() -> Setting {
    let globals: Globals = [("domain", "example.test")].into_iter().collect();
    Setting::read(&document(DIALPLAN).tree.unwrap(), globals, &LocalNet::default())
}

#[test]
fn fixtures_are_run_and_what_was_not_tried_is_named() {
    let calls = "# sales\n\
                 call 5123 in public\n  set kind=new\n  api toupper x=X\n  time 2026-03-04T22:00:00Z\n\
                 \x20 extension sales\n  runs set late=true\n  runs log INFO new X\n  reaches 123 in default\n\
                 \x20 runs bridge user/123@example.test\n  never voicemail\n  has queue=new\n\
                 call 777 in public\n  no route\n";
    let outcome = fixtures::run(&setting(), calls, "calls.txt");
    let office = dialplan().extensions("public").nth(2).unwrap().1.clone();
    assert_eq!(outcome.to_text(Paint::Off), "2 calls, 0 failed\n");
    assert_eq!(
        outcome.coverage.to_text(),
        format!("3 of 4 extensions tried (75%)\n  not tried: public/office    # {office}\n")
    );
    assert_eq!(outcome.exit_status(), 0);
    assert_eq!(outcome.coverage.to_json()["extensions"].as_u64(), Some(4));
    // Calls of another file add to it; contexts without calls are one line.
    let outcome = fixtures::run(&setting(), "call 1 in default\n no route\n", "more.txt");
    assert_eq!(
        outcome.coverage.to_text(),
        format!(
            "0 of 4 extensions tried (0%)\n  not tried: default/desk    # {}\n  \
             no call came to context public (3 extensions)\n",
            dialplan().extensions("default").next().unwrap().1
        )
    );
}

#[test]
fn a_failure_shows_what_happened_instead() {
    let calls = "call 5123 in public\n  set kind=old\n  runs log INFO new\n";
    let outcome = fixtures::run(&setting(), calls, "calls.txt");
    assert_eq!(
        outcome.to_text(Paint::Off),
        r#"error[fixture-failed]: call 5123 in public: log with "INFO new" does not run; log runs with "INFO plain "
  --> calls.txt:3:3
   |
 3 |   runs log INFO new
   |   ^
  what happened:
    5123 in public => extension sales
       set(queue=plain)    # test.xml:13
       log(INFO plain )    # test.xml:16
       transfer(123 XML default)    # test.xml:17
    123 in default => extension desk
       bridge(user/123@example.test)    # test.xml:27

1 call, 1 failed
"#
    );
    let painted = outcome.to_text(Paint::On);
    assert!(painted.starts_with("\x1b[1;31merror[fixture-failed]\x1b[0m: "), "{painted}");
    assert_eq!((outcome.exit_status(), outcome.to_json()["failed"].as_u64()), (1, Some(1)));
}

#[test]
fn a_tree_is_coloured_for_terminals_only() {
    let mut caller = call("777");
    let explanation = explain(&dialplan(), &mut caller);
    assert_eq!(explanation.to_coloured(false, Paint::Off), explanation.to_text(false));
    let painted = explanation.to_coloured(false, Paint::On);
    assert!(painted.contains("\x1b[31m=> no route"), "{painted}");
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
        "8 names used
  honoured                     5   62.5%
  accepted without effect      0    0.0%
  not available                3   37.5%
  unknown                      0    0.0%

not available (an application ends the call):
  API command toupper    # test.xml:16:39
  application bridge    # test.xml:27:28
  application log    # test.xml:16:28

extensions that fail:
  sales in public: log: \"log\" is not available here (it belongs to mod_dptools)    # test.xml:16:28
  desk in default: bridge: \"bridge\" is not available here (it belongs to mod_dptools)    # test.xml:27:28
"
    );
}
