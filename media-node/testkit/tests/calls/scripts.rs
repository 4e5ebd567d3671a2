//! Scripts in Lua: what they do to calls, what calls do to them, and hostile ones.

use esl_server::event::EventName;
use switch_core::call::Cause;
use testkit::{Call, Setup, World, run};

use crate::{MODULES, alone, extension, over};

/// 1000 runs that code, is marked, and parks; 2000 parks.
fn runs(code: &str) -> Setup {
    let lua = format!("~{code}");
    let mut dialplan = extension("1000", &[("lua", &lua), ("set", "after=yes"), ("sleep", "1000")]);
    dialplan += &extension("2000", &[("answer", ""), ("park", "")]);
    setup().dialplan(&dialplan)
}

fn setup() -> Setup {
    let mut modules = MODULES.to_vec();
    modules.push(&[&mod_lua::MODULE]);
    Setup::new(&modules)
}

fn limits(setup: Setup, settings: &str) -> Setup {
    setup.configuration(&format!(
        r#"<configuration name="lua.conf"><settings>{settings}</settings></configuration>"#
    ))
}

async fn none_runs(world: &World) {
    for _ in 0..100 {
        if world.api("lua_scripts count").await == "0\n" {
            return;
        }
        world.settle().await;
    }
    panic!("{}", world.api("lua_scripts list").await);
}

/// The code runs while keys are pressed; variables afterwards.
fn says(code: &str, keys: &[(u64, &'static str)], expected: &[(&str, &str)]) {
    run(runs(code), async |world| {
        alone(world, keys).await.check(expected);
        none_runs(world).await;
    });
}

const SOUND: &str = "silence_stream://300";

cases! { says:
    a_script_answers_and_the_next_action_runs => (
        "session:answer() session:setVariable('a', tostring(session:answered()) .. session:getState())",
        &[], &[("a", "trueCS_EXECUTE"), ("after", "yes")]),
    an_error_ends_the_script_alone => ("session:answer() error('x') session:setVariable('a', 'no')", &[], &[("a", ""), ("after", "yes")]),
    arguments_with_blanks => ("session:setVariable('a', type(argv))", &[], &[("a", "nil")]),
    digits_up_to_a_terminator => (
        "session:answer() session:setVariable('a', session:getDigits(5, '#', 3000))",
        &[(500, "12"), (900, "3#")], &[("a", "123")]),
    digits_that_do_not_come => (
        "session:answer() session:setVariable('a', '[' .. session:getDigits(5, '#', 3000) .. ']')", &[], &[("a", "[]")]),
    digits_as_many_as_asked_for => (
        "session:answer() session:setVariable('a', session:getDigits(2, '#', 3000))", &[(500, "1234")], &[("a", "12")]),
    reading_behind_a_prompt => (
        "session:answer() session:setVariable('a', session:read(1, 4, 'silence_stream://300', 3000, '#'))",
        &[(1000, "47#")], &[("a", "47"), ("read_result", "success"), ("read_terminator_used", "#")]),
    asking_until_the_pattern_fits => (
        "session:answer() session:setVariable('a', session:playAndGetDigits(2, 3, 2, 3000, '#', 'silence_stream://300', 'silence_stream://300', '[1-5]+', 'd', 1500))",
        &[(1000, "99#"), (3000, "123")], &[("a", "123"), ("d", "123"), ("d_invalid", "99")]),
    asking_in_vain_leads_elsewhere => (
        "session:answer() session:playAndGetDigits(2, 3, 1, 2000, '#', 'silence_stream://300', '', '[1-5]+', 'd', 1500, '2000 XML default')",
        &[(1000, "9#")], &[("destination_number", "2000"), ("after", "")]),
    a_key_breaks_a_file => (
        "session:answer() function f(s, kind, o, x) s:setVariable('k', kind .. o.digit .. x .. math.type(o.duration)) if o.digit == '5' then return 'break' end return 'true' end \
         arg = 'extra' session:setInputCallback('f', 'arg') local r = session:streamFile('silence_stream://20000') session:setVariable('a', tostring(r))",
        &[(1000, "4"), (2000, "5")], &[("k", "dtmf5extrafloat"), ("a", "0.0"), ("after", "yes")]),
    keys_of_a_file_that_ends_by_itself => (
        "session:answer() n = 0 function f(s, kind, o) n = n + 1 end session:setInputCallback('f') \
         local r = session:streamFile('silence_stream://3000') session:setVariable('a', r .. '/' .. n)",
        &[(1000, "12"), (2000, "3")], &[("a", "1.0/3")]),
    an_error_in_a_callback_breaks_the_file => (
        "session:answer() function f() error('x') end session:setInputCallback('f') session:streamFile('silence_stream://20000') session:setVariable('a', 'on')",
        &[(1000, "1")], &[("a", "on"), ("after", "yes")]),
    a_callback_may_play_itself => (
        "session:answer() function f(s) s:unsetInputCallback() s:execute('playback', 'silence_stream://500') s:setVariable('k', 'done') return 'break' end \
         session:setInputCallback('f') session:streamFile('silence_stream://20000') session:setVariable('a', 'on')",
        &[(1000, "1")], &[("k", "done"), ("a", "on"), ("after", "yes")]),
    waiting_keys_are_told_when_listening_begins => (
        "session:answer() session:sleep(3000) function f(s, k, o) s:setVariable('k', o.digit) return 'break' end session:setInputCallback('f') session:sleep(20000)",
        &[(1000, "7")], &[("k", "7"), ("after", "yes")]),
    applications_run_in_the_call => (
        "session:execute('set', 'a=b') session:execute('no_such_app', 'x') session:setVariable('b', tostring(session:ready()))",
        &[], &[("a", "b"), ("b", "false"), ("after", "")]),
    a_script_hangs_up_and_goes_on => (
        "session:answer() session:hangup('CALL_REJECTED') session:setVariable('a', tostring(session:ready()) .. session:hangupCause())",
        &[], &[("a", "falseNONE"), ("after", "")]),
    a_script_transfers => (
        "session:answer() session:transfer('2000', 'XML', 'default') session:setVariable('a', tostring(session:ready()))",
        &[], &[("a", "false"), ("destination_number", "2000"), ("after", "")]),
    a_recording_needs_a_name => ("session:answer() session:setVariable('a', session:recordFile(nil))", &[], &[("a", "0.0")]),
    commands_run_on_behalf_of_the_call => (
        "session:setVariable('a', freeswitch.API():executeString('expr 2+3') .. freeswitch.API():execute('no_such', ''))",
        &[], &[("a", "5INVALID COMMAND!\n")]),
    a_menu_asks_whether_it_is_meant => (
        "session:answer() local m = freeswitch.IVRMenu(nil, 'm', 'silence_stream://300', '', 'silence_stream://300', '', '', 'sure', '1', '', '', 3, 1000, 1, 3000, 4, 4) \
         m:bindAction('menu-exec-app', 'set chosen=two', '2') m:bindAction('menu-exit', '', '9') m:execute(session, 'm')",
        &[(1000, "2"), (2000, "1"), (4000, "9"), (5000, "1")], &[("chosen", "two"), ("after", "yes")]),
    what_is_not_meant_is_asked_again => (
        "session:answer() local m = freeswitch.IVRMenu(nil, 'm', 'silence_stream://300', '', 'silence_stream://300', '', '', 'sure', '1', '', '', 3, 1000, 1, 3000, 4, 4) \
         m:bindAction('menu-exec-app', 'set chosen=two', '2') m:bindAction('menu-exit', '', '9') m:execute(session, 'm')",
        &[(1000, "2"), (2000, "5"), (4000, "9"), (5000, "1")], &[("chosen", ""), ("after", "yes")]),
    another_name_of_the_callback => (
        "session:answer() function f(s, k, o) s:setVariable('k', o.digit) return 'break' end session:setDTMFCallback('f', '') session:sleep(20000)",
        &[(1000, "7")], &[("k", "7"), ("after", "yes")]),
    nothing_is_inserted_into_a_file_that_is_not_there => (
        "session:answer() session:setVariable('a', session:insertFile('/nonexistent/a.wav', 'b.wav', 0)) session:print('x')", &[], &[("a", "0.0"), ("after", "yes")]),
    a_menu_of_a_script => (
        "session:answer() local m = freeswitch.IVRMenu(nil, 'm', 'silence_stream://300', '', 'silence_stream://300', '', '', '', '', '', '', 0, 1000, 1, 3000, 2, 2) \
         m:bindAction('menu-exec-app', 'set chosen=two', '2') m:bindAction('menu-exit', '', '9') m:execute(session, 'm')",
        &[(1000, "2"), (3000, "9")], &[("chosen", "two"), ("after", "yes")]),
}

#[test]
fn a_file_is_inserted_into_another() {
    let folder = tempfile::tempdir().unwrap();
    let [file, other] = ["a.wav", "b.wav"].map(|name| folder.path().join(name));
    let write = |path: &std::path::Path, samples: &[i16]| {
        let mut bytes = media::wav::Header { rate: 8000, channels: 1 }
            .bytes(samples.len() as u64 * 2, 0)
            .to_vec();
        bytes.extend(samples.iter().flat_map(|sample| sample.to_le_bytes()));
        std::fs::write(path, bytes).unwrap();
    };
    write(&file, &[1, 2, 3]);
    write(&other, &[8, 9]);
    let (a, b) = (file.display(), other.display());
    let code =
        format!("session:answer() session:setVariable('a', session:insertFile('{a}', '{b}', 2))");
    says(&code, &[], &[("a", "1.0"), ("after", "yes")]);
    let bytes = std::fs::read(&file).unwrap();
    assert_eq!(media::wav::decode(&bytes).unwrap().1, [1, 2, 8, 9, 3]);
}

#[test]
fn a_script_that_its_call_waits_for_can_read_and_set_but_not_wait() {
    let script = "${lua(~session:setVariable('a', 'b') stream:write(session:getVariable('destination_number') .. tostring(session:sleep(1000))))}";
    let dialplan = extension("1000", &[("answer", ""), ("set", &format!("said={script}"))]);
    run(setup().dialplan(&dialplan), async |world| {
        alone(world, &[]).await.check(&[("a", "b"), ("said", "10000.0")]);
        none_runs(world).await;
    });
}

/// Each call of a script that may wait, cut short by the caller.
fn is_left(code: &str) {
    let code = format!(
        "session:answer() function gone(s, what, x) freeswitch.setGlobalVariable('hook', what .. x) end bag = '!' \
         session:setHangupHook('gone', 'bag') {code} freeswitch.setGlobalVariable('went_on', tostring(session:ready()))"
    );
    run(runs(&code), async |world| {
        let call = world.phone("alice").dial("1000");
        world.seconds(2).await;
        call.hang_up();
        let told = over(world, call).await;
        none_runs(world).await;
        assert_eq!(world.switch.global("hook").as_deref(), Some("hangup!"));
        assert_eq!(world.switch.global("went_on").as_deref(), Some("false"));
        told.check(&[("after", "")]);
    });
}

cases! { is_left:
    hangup_while_it_sleeps => ("session:sleep(600000)"),
    hangup_while_a_file_plays => ("session:streamFile('silence_stream://600000')"),
    hangup_while_digits_are_awaited => ("session:getDigits(3, '#', 600000)"),
    hangup_while_it_reads => ("session:read(1, 3, 'silence_stream://300', 600000, '#')"),
    hangup_while_it_asks => ("session:playAndGetDigits(1, 3, 3, 600000, '#', 'silence_stream://300', '', '.*')"),
    hangup_while_it_collects => ("session:collectDigits(600000)"),
    hangup_while_an_application_runs => ("session:execute('park')"),
    hangup_while_it_says => ("while session:ready() do session:streamFile('silence_stream://500') end"),
    hangup_while_another_is_called => ("freeswitch.Session('phone/bob', session)"),
}

#[test]
fn a_hook_that_says_exit_ends_the_script() {
    let code = "session:answer() function gone() return 'exit' end session:setHangupHook('gone') \
                session:sleep(600000) freeswitch.setGlobalVariable('went_on', 'yes')";
    run(runs(code), async |world| {
        let call = world.phone("alice").dial("1000");
        world.seconds(1).await;
        call.hang_up();
        let told = over(world, call).await;
        assert_eq!(world.switch.global("went_on"), None);
        assert_eq!(told.var("lua_hangup_hook_return_val"), "exit");
    });
}

#[test]
fn a_script_calls_another_and_bridges_the_two() {
    let code = "session:answer() local o = freeswitch.Session('{origination_caller_id_number=77}phone/bob', session) \
                session:setVariable('a', tostring(o:ready()) .. o:hangupCause()) freeswitch.bridge(session, o) session:setVariable('b', 'on')";
    run(runs(code), async |world| {
        let bob = world.phone("bob").answers();
        let call = world.phone("alice").dial("1000");
        world.until("they talk", || call.is_bridged()).await;
        let heard = world.listen().await;
        assert_eq!((heard.of("alice"), heard.of("bob")), (vec!["bob"], vec!["alice"]));
        bob.rung().await.hang_up();
        let told = over(world, call).await;
        told.check(&[("a", "trueSUCCESS"), ("b", "on"), ("after", "yes")]);
    });
}

#[test]
fn a_call_that_is_refused_says_why() {
    let code = "session:answer() local o = freeswitch.Session('phone/bob') session:setVariable('a', tostring(o:ready()) .. o:hangupCause())";
    run(runs(code), async |world| {
        world.phone("bob").refuses(Cause::USER_BUSY);
        alone(world, &[]).await.check(&[("a", "falseUSER_BUSY"), ("after", "yes")]);
    });
}

#[test]
fn a_leg_that_a_script_made_ends_with_it_unless_it_says_otherwise() {
    for (more, kept) in [("", false), ("o:setAutoHangup(false)", true)] {
        let code = format!("local o = freeswitch.Session('phone/bob') {more}");
        run(runs(&code), async |world| {
            let bob = world.phone("bob").answers();
            let told = alone(world, &[]).await;
            told.check(&[("after", "yes")]);
            let leg: Call = bob.rung().await;
            world.settle().await;
            assert_eq!(world.switch.channel(leg.uuid()).is_some(), kept);
            leg.hang_up();
        });
    }
}

#[test]
fn a_script_waits_for_an_event() {
    let code = "local c = freeswitch.EventConsumer('CUSTOM', 'a::b') freeswitch.setGlobalVariable('waits', 'yes') \
                local e = c:pop(1, 60000) freeswitch.setGlobalVariable('got', e:getHeader('Word') .. e:getType())";
    run(setup(), async |world| {
        world.api(&format!("luarun ~{code}")).await;
        world.until("it waits", || world.switch.global("waits").is_some()).await;
        let mut event = esl_server::Event::custom("a::b");
        event.push("Word", "hello");
        esl_server::fire!(world.switch.bus, event);
        world.until("it has it", || world.switch.global("got").is_some()).await;
        assert_eq!(world.switch.global("got").as_deref(), Some("helloCUSTOM"));
    });
}

#[test]
fn events_of_a_script_are_told() {
    let code = "local e = freeswitch.Event('CUSTOM', 'a::b') e:addHeader('First', 'one') e:addHeader('Gone', 'x') e:delHeader('Gone') \
                e:addBody('text') e:setPriority(2) stream:write(tostring(e:fire()) .. e:getHeader('First') .. tostring(e:getHeader('Gone')) .. e:getBody())";
    run(setup(), async |world| {
        assert_eq!(world.api(&format!("lua ~{code}")).await, "trueoneniltext");
        let told = world.events().custom("a::b");
        assert_eq!((told.header("First"), told.header("priority")), ("one".into(), "HIGH".into()));
        assert_eq!(told.named(EventName::Custom).len(), 1);
        let wrong = world.api("lua ~freeswitch.Event('CUSTOM', 'a::b'):setPriority('HIGH')").await;
        assert_eq!(wrong, "-ERR Cannot execute script\n");
    });
}

#[test]
fn a_script_is_a_dialplan() {
    let actions = "~ACTIONS = {'answer', {'set', 'a=b'}, {'sleep', '1000'}}";
    run(setup(), async |world| {
        let call = world.phone("alice").dialling("77").dialplan("LUA").context(actions).go();
        let told = over(world, call).await;
        told.check(&[("a", "b")]);
        assert_eq!(told.applications(), ["answer()", "set(a=b)", "sleep(1000)"]);
    });
}

#[test]
fn a_script_answers_lookups() {
    let handler = "~if XML_REQUEST.section == 'dialplan' and params:getHeader('Caller-Destination-Number') == '88' then \
        XML_STRING = '&lt;document type=&quot;freeswitch/xml&quot;&gt;&lt;section name=&quot;dialplan&quot;&gt;&lt;context name=&quot;default&quot;&gt;&lt;extension name=&quot;x&quot;&gt;&lt;condition&gt;\
        &lt;action application=&quot;set&quot; data=&quot;asked=' .. XML_REQUEST.tag_name .. XML_REQUEST.key_name .. '.&quot;/&gt;&lt;action application=&quot;sleep&quot; data=&quot;100&quot;/&gt;\
        &lt;/condition&gt;&lt;/extension&gt;&lt;/context&gt;&lt;/section&gt;&lt;/document&gt;' end";
    let settings = format!(
        r#"<param name="xml-handler-script" value="{handler}"/><param name="xml-handler-bindings" value="dialplan"/>"#
    );
    run(limits(runs(""), &settings), async |world| {
        let call = world.phone("alice").dial("88");
        over(world, call).await.check(&[("asked", ".")]);
        // What the script does not know the files are asked for.
        let call = world.phone("alice").dial("1000");
        over(world, call).await.check(&[("after", "yes")]);
    });
}

/// A script that would never end is named, and ended.
fn is_killed(code: &str) {
    run(limits(setup(), r#"<param name="max-busy-seconds" value="0"/>"#), async |world| {
        assert_eq!(world.api(&format!("luarun ~{code}")).await, "+OK\n");
        let list = world.api("lua_scripts list").await;
        assert!(list.contains(&format!(",,~{}", &code[..20])), "{list}");
        assert_eq!(world.api("lua_scripts kill 77").await, "-ERR no script 77 runs\n");
        assert_eq!(world.api("lua_scripts kill 1").await, "+OK\n");
        none_runs(world).await;
    });
}

cases! { is_killed:
    an_endless_loop => ("while true do local x = 1 end"),
    an_endless_loop_that_catches_errors => ("while true do pcall(function() while true do end end) end"),
    an_endless_loop_in_a_coroutine => ("coroutine.wrap(function() while true do local x = 1 end end)()"),
    an_endless_wait => ("freeswitch.msleep(2000000000) error('x')"),
    an_endless_wait_for_events => ("freeswitch.EventConsumer('ALARM'):pop(1)"),
    an_endless_wait_that_catches_errors => ("while true do pcall(freeswitch.msleep, 2000000000) end"),
}

/// A script that exceeds a limit fails.
fn exceeds(settings: &str, code: &str) {
    run(limits(setup(), settings), async |world| {
        assert_eq!(world.api(&format!("lua ~{code}")).await, "-ERR Cannot execute script\n");
        none_runs(world).await;
        assert_eq!(world.api("lua ~stream:write('well')").await, "well");
    });
}

cases! { exceeds:
    too_much_memory => (r#"<param name="max-memory-mb" value="8"/>"#, "local t = {} while true do t[#t + 1] = string.rep('x', 10000) .. #t end"),
    too_much_memory_in_one_text => (r#"<param name="max-memory-mb" value="8"/>"#, "local t = 'x' while true do t = t .. t end"),
    too_many_instructions => (r#"<param name="max-instructions" value="1000000"/>"#, "while true do local x = 1 end"),
    too_long_a_computation => (r#"<param name="max-busy-seconds" value="1"/>"#, "while true do local x = 1 end"),
    too_deep_a_recursion => ("", "local function f() return 1 + f() end f()"),
    exit_that_does_not_end_the_switch => ("", "os.exit(1) error('x')"),
}

#[test]
fn more_scripts_than_allowed_are_refused() {
    let setup = limits(setup(), r#"<param name="max-scripts" value="20"/>"#);
    run(setup, async |world| {
        let mut refused = 0;
        for _ in 0..1000 {
            let said = world.api("luarun ~freeswitch.EventConsumer('ALARM'):pop(1)").await;
            refused += usize::from(said.starts_with("-ERR 20 scripts run"));
        }
        assert_eq!(refused, 980);
        for id in 1..=20 {
            assert_eq!(world.api(&format!("lua_scripts kill {id}")).await, "+OK\n");
        }
        none_runs(world).await;
        assert_eq!(world.api("lua ~stream:write('well')").await, "well");
    });
}

#[test]
fn a_killed_script_leaves_its_call_to_the_dialplan() {
    let code = format!("session:answer() session:streamFile('{SOUND}') session:sleep(600000)");
    run(runs(&code), async |world| {
        let call = world.phone("alice").dial("1000");
        world.seconds(2).await;
        assert_eq!(world.api("lua_scripts kill 1").await, "+OK\n");
        over(world, call).await.check(&[("after", "yes")]);
    });
}

#[test]
fn a_script_that_outlives_its_call_for_long_is_ended() {
    let setup = limits(
        runs("session:answer() while true do freeswitch.msleep(1000) end"),
        r#"<param name="after-hangup-seconds" value="30"/>"#,
    );
    run(setup, async |world| {
        let call = world.phone("alice").dial("1000");
        world.seconds(2).await;
        call.hang_up();
        world.seconds(20).await;
        assert_eq!(world.api("lua_scripts count").await, "1\n");
        over(world, call).await;
        none_runs(world).await;
    });
}

/// Lines for the shell that a script makes of a far end's words run none of them.
#[test]
fn what_a_far_end_said_stays_one_word_of_a_line_for_the_shell() {
    let code = "local said = session:getVariable('said') local p = io.popen('printf %s [' .. said .. ']') \
                session:setVariable('a', p:read('a')) p:close() session:setVariable('b', tostring(os.execute('test x = ' .. said))) \
                session:setVariable('c', tostring(select(3, os.execute('exit 3'))) .. tostring(os.execute()))";
    run(runs(code), async |world| {
        let said = base::far::mark("x; echo $(id)");
        let call = world.phone("alice").dialling("1000").var("said", &said).go();
        let told = over(world, call).await;
        told.check(&[("a", "[x; echo $(id)]"), ("b", "nil"), ("c", "3true"), ("after", "yes")]);
    });
}

#[test]
fn a_statement_that_does_not_end_ends_with_its_script() {
    let folder = tempfile::tempdir().unwrap();
    let begin =
        format!("local d = freeswitch.Dbh('sqlite://{}')", folder.path().join("a.db").display());
    let endless =
        "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT count(*) FROM c";
    run(setup(), async |world| {
        let make =
            format!("lua ~{begin} stream:write(tostring(d:query('create table t (n integer)')))");
        assert_eq!(world.api(&make).await, "true");
        let code = format!(
            "{begin} d:query('BEGIN IMMEDIATE; insert into t values (0)') freeswitch.setGlobalVariable('holds', 'yes') d:query('{endless}')"
        );
        assert_eq!(world.api(&format!("luarun ~{code}")).await, "+OK\n");
        // Time stands still while a script asks a database.
        while world.switch.global("holds").is_none() {
            tokio::task::yield_now().await;
        }
        assert_eq!(world.api("lua_scripts kill 2").await, "+OK\n");
        none_runs(world).await;
        // The first has gone on holding the lock of the file where its statement goes on.
        let insert =
            format!("lua ~{begin} stream:write(tostring(d:query('insert into t values (1)')))");
        assert_eq!(world.api(&insert).await, "true");
    });
}

/// Whichever comes first, the answer or the end of the script: the leg does not stay.
#[test]
fn a_leg_that_answers_a_script_which_ends_is_hung_up() {
    for answers_first in [true, false] {
        run(setup(), async |world| {
            let bob = world.phone("bob").only_rings();
            let code = "local o = freeswitch.Session('phone/bob') freeswitch.msleep(10000)";
            assert_eq!(world.api(&format!("luarun ~{code}")).await, "+OK\n");
            let leg: Call = bob.rung().await;
            if answers_first {
                leg.answer();
            }
            assert_eq!(world.api("lua_scripts kill 1").await, "+OK\n");
            if !answers_first {
                leg.answer();
            }
            none_runs(world).await;
            world.until("the leg is over", || world.switch.channel(leg.uuid()).is_none()).await;
        });
    }
}

/// The same where the call's task rings for the script: it goes on to, and has nobody to give the leg to.
#[test]
fn a_leg_that_answers_a_call_whose_script_has_ended_is_hung_up() {
    let code = "session:answer() local o = freeswitch.Session('phone/bob', session) freeswitch.msleep(10000)";
    run(runs(code), async |world| {
        let bob = world.phone("bob").only_rings();
        let call = world.phone("alice").dial("1000");
        let leg: Call = bob.rung().await;
        assert_eq!(world.api("lua_scripts kill 1").await, "+OK\n");
        none_runs(world).await;
        leg.answer();
        world.until("the leg is over", || world.switch.channel(leg.uuid()).is_none()).await;
        over(world, call).await.check(&[("after", "yes")]);
    });
}
