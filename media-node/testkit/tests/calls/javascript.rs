//! Scripts in JavaScript: what they do to calls, what calls do to them, and hostile ones.

use esl_server::event::EventName;
use switch_core::call::Cause;
use testkit::{Call, Setup, World, run};

use crate::{MODULES, alone, extension, over};

/// 1000 runs that code, is marked, and parks; 2000 parks.
fn runs(code: &str) -> Setup {
    let code = format!("~{code}");
    let mut dialplan =
        extension("1000", &[("javascript", &code), ("set", "after=yes"), ("sleep", "1000")]);
    dialplan += &extension("2000", &[("answer", ""), ("park", "")]);
    setup().dialplan(&dialplan)
}

fn setup() -> Setup {
    let mut modules = MODULES.to_vec();
    modules.push(&[&mod_v8::MODULE]);
    Setup::new(&modules)
}

fn limits(setup: Setup, settings: &str) -> Setup {
    setup.configuration(&format!(
        r#"<configuration name="v8.conf"><settings>{settings}</settings></configuration>"#
    ))
}

async fn none_runs(world: &World) {
    for _ in 0..100 {
        if world.api("jsps as csv").await.ends_with("\n0 total.\n") {
            return;
        }
        world.settle().await;
    }
    panic!("{}", world.api("jsps").await);
}

/// The code runs while keys are pressed; variables afterwards.
fn says(code: &str, keys: &[(u64, &'static str)], expected: &[(&str, &str)]) {
    run(runs(code), async |world| {
        alone(world, keys).await.check(expected);
        none_runs(world).await;
    });
}

cases! { says:
    a_script_answers_and_the_next_action_runs => (
        "session.answer(); session.setVariable('a', session.answered() + session.state + session.destination);",
        &[], &[("a", "trueCS_EXECUTE1000"), ("after", "yes")]),
    an_error_ends_the_script_alone => (
        "session.answer(); throw new Error('x'); session.setVariable('a', 'no');", &[], &[("a", ""), ("after", "yes")]),
    a_mistake_of_syntax_ends_the_script_alone => ("session.answer(;", &[], &[("after", "yes")]),
    code_has_no_arguments => ("session.setVariable('a', typeof argv + typeof request);", &[], &[("a", "undefinedundefined")]),
    exit_is_not_caught => (
        "try { exit('done') } catch (e) { session.setVariable('a', 'caught') } finally { session.setVariable('b', 'finally') } session.setVariable('c', 'on');",
        &[], &[("a", ""), ("b", ""), ("c", ""), ("after", "yes")]),
    digits_up_to_a_terminator => (
        "session.answer(); session.setVariable('a', session.getDigits(5, '#', 3000));",
        &[(500, "12"), (900, "3#")], &[("a", "123")]),
    digits_that_do_not_come => (
        "session.answer(); session.setVariable('a', '[' + session.getDigits(5, '#', 3000) + ']');", &[], &[("a", "[]")]),
    digits_as_many_as_asked_for => (
        "session.answer(); session.setVariable('a', session.getDigits(2, '#', 3000));", &[(500, "1234")], &[("a", "12")]),
    a_key_breaks_a_file => (
        "session.answer(); function f(s, kind, o, x) { s.setVariable('k', kind + o.digit + x + (o.duration > 0) + (o instanceof DTMF)); return o.digit != '5' } \
         var r = session.streamFile('silence_stream://20000', f, 'extra'); session.setVariable('a', r);",
        &[(1000, "4"), (2000, "5")], &[("k", "dtmf5extratruetrue"), ("a", "false"), ("after", "yes")]),
    keys_of_a_file_that_ends_by_itself => (
        "session.answer(); var n = 0; function f(s, kind, o) { n++; return true } \
         var r = session.streamFile('silence_stream://3000', f); session.setVariable('a', r + '/' + n);",
        &[(1000, "12"), (2000, "3")], &[("a", "true/3")]),
    a_function_named_by_a_text_is_not_one => (
        "session.answer(); session.streamFile('silence_stream://300', 'nothing'); session.setVariable('a', 'on');", &[], &[("a", "on")]),
    an_error_in_a_callback_ends_the_script => (
        "session.answer(); session.streamFile('silence_stream://20000', function () { throw 'x' }); session.setVariable('a', 'on');",
        &[(1000, "1")], &[("a", ""), ("after", "yes")]),
    a_callback_may_play_itself => (
        "session.answer(); session.streamFile('silence_stream://20000', function (s) { s.execute('playback', 'silence_stream://500'); s.setVariable('k', 'done'); return false }); session.setVariable('a', 'on');",
        &[(1000, "1")], &[("k", "done"), ("a", "on"), ("after", "yes")]),
    input_is_collected_until_the_function_says_so => (
        "session.answer(); var d = ''; session.collectInput(function (s, k, o, x) { d += o.digit; return d.length != 3 }, 'x', 5000, 20000); session.setVariable('a', d);",
        &[(500, "1"), (2000, "23")], &[("a", "123"), ("after", "yes")]),
    input_is_collected_until_no_more_comes => (
        "session.answer(); var d = ''; session.collectInput(function (s, k, o) { d += o.digit; return true }, '', 2000, 20000); session.setVariable('a', d);",
        &[(500, "1"), (1000, "2")], &[("a", "12"), ("after", "yes")]),
    keys_are_heard_in_sleep => (
        "session.answer(); session.sleep(20000, function (s, k, o) { s.setVariable('k', o.digit); return 'stop' }); session.setVariable('a', 'on');",
        &[(1000, "7")], &[("k", "7"), ("a", "on")]),
    keys_are_flushed => (
        "session.answer(); session.sleep(1500); session.flushDigits(); session.setVariable('a', '[' + session.getDigits(1, '', 500) + ']');",
        &[(1000, "7")], &[("a", "[]")]),
    applications_run_in_the_call => (
        "session.setVariable('b', session.execute('set', 'a=b') + '' + session.execute('no_such_app', 'x') + session.ready());",
        &[], &[("a", "b"), ("b", "truefalsetrue"), ("after", "yes")]),
    a_variable_that_is_not_there_is_empty => (
        "session.setVariable('a', '[' + session.getVariable('nothing') + ']' + session.getVariable('destination_number'));", &[], &[("a", "[]1000")]),
    a_script_hangs_up_and_goes_on => (
        "session.answer(); session.hangup('CALL_REJECTED'); session.setVariable('a', session.ready() + session.cause + session.causecode);",
        &[], &[("a", "falseCALL_REJECTED21"), ("after", "")]),
    a_call_that_is_over_hears_nothing => (
        "session.answer(); session.hangup(); try { session.streamFile('silence_stream://300') } catch (e) { session.setVariable('a', e) }",
        &[], &[("a", "Session is not active!"), ("after", "")]),
    a_session_without_a_call_says_so => (
        "var s = new Session(); try { s.answer() } catch (e) { session.setVariable('a', e.slice(0, 20)) } session.setVariable('b', s.ready() + s.uuid + s.cause);",
        &[], &[("a", "No session is active"), ("b", "falseNONE")]),
    a_session_is_found_by_its_uuid => (
        "session.answer(); var s = new Session(session.uuid); s.setVariable('a', s.answered()); s.setAutoHangup(false);", &[], &[("a", "true"), ("after", "yes")]),
    commands_run_on_behalf_of_the_call => (
        "session.setVariable('a', apiExecute('expr', '2+3') + apiExecute('jsapi', 'x') + apiExecute('no_such', '').trim());",
        &[], &[("a", "5falseINVALID COMMAND!")]),
    global_variables_change_where_they_are_as_expected => (
        "setGlobalVariable('v', '1'); session.setVariable('a', setGlobalVariable('v', '2', '3') + getGlobalVariable('v') + setGlobalVariable('v', '2', '1') + getGlobalVariable('v'));",
        &[], &[("a", "false1true2")]),
    patterns_as_the_dialplan_has_them => (
        "var p = new PCRE(); session.setVariable('a', p.compile('4930123', '^49([0-9]+)$') + p.substitute('0$1') + p.compile('x', 'y'));",
        &[], &[("a", "true030123false")]),
    what_is_not_there_is_not_used => (
        "try { use('Teletone') } catch (e) { session.setVariable('a', e) } use('CURL'); session.setVariable('b', typeof CURL);",
        &[], &[("a", "Error loading Teletone"), ("b", "function")]),
    tones_are_generated_until_a_key_says_otherwise => (
        "session.answer(); use('TeleTone'); var t = new TeleTone(session), n = ''; t.addTone('x', 440, 480); \
         session.setVariable('a', t.name + t.onDTMF(function (d, more) { n += d + more; return d != '5' || 'five' }, '!')); \
         session.setVariable('b', '' + t.generate('%(20000,0,440);x', 2) + n);",
        &[(1000, "4"), (2000, "5")], &[("a", "TeleTonetrue"), ("b", "five4!5!"), ("after", "yes")]),
    a_key_ends_tones_with_what_the_function_said => (
        "session.answer(); use('TeleTone'); var t = new TeleTone(session); t.onDTMF(function (d) { return d }); \
         session.setVariable('a', t.generate('L=-1;%(1000,1000,350,440)'));",
        &[(1000, "7")], &[("a", "7"), ("after", "yes")]),
    tones_that_are_none_say_so => (
        "use('TeleTone'); var said = []; function t(f) { try { f() } catch (e) { said.push(e) } } \
         t(function () { new TeleTone() }); t(function () { new TeleTone({}) }); \
         t(function () { new TeleTone(session).addTone('x', 440) }); t(function () { new TeleTone(session).generate() }); \
         t(function () { new TeleTone(session).generate('%(1,1,1)', 'x') }); session.setVariable('a', said.join('/'));",
        &[], &[("a", "Missing Session Arg/Cannot Find Session [1]/Invalid arguments/Invalid arguments/Cannot get second argument (should be int)")]),
    an_address_of_a_far_end_inside_the_own_network_is_not_called => (
        "use('Socket'); session.execute('set', 'host=127.0.0.1'); var s = new Socket(); \
         session.setVariable('a', s.connect(2130706433, 9) + s.address + s.port + s.timeout); \
         s.close(); try { s.read() } catch (e) { session.setVariable('b', e) }",
        &[], &[("a", "falseunknown0-1"), ("b", "Socket is not active")]),
    promises_that_fail_and_are_caught_later => (
        "var p = Promise.reject('x'), q = []; for (var i = 0; i < 300; i++) q.push(Promise.reject(i)); \
         Promise.resolve().then(function () { p.catch(function (e) { session.setVariable('a', e) }); q.forEach(function (one) { one.catch(function () {}) }) });",
        &[], &[("a", "x"), ("after", "yes")]),
    promises_are_kept_at_the_end => (
        "(async function () { await null; session.setVariable('a', 'kept') })();", &[], &[("a", "kept"), ("after", "yes")]),
    dangers_of_names => ("session.setVariable('a', typeof native + typeof table + typeof given);", &[], &[("a", "undefinedundefinedundefined")]),
    a_recording_needs_a_name => ("session.answer(); session.setVariable('a', session.recordFile(''));", &[], &[("a", "false")]),
}

#[test]
fn a_script_that_its_call_waits_for_can_read_and_set() {
    let script = "${jsapi(~session.setVariable('a', 'b'); request.write(session.getVariable('destination_number')))}";
    let dialplan = extension("1000", &[("answer", ""), ("set", &format!("said={script}"))]);
    run(setup().dialplan(&dialplan), async |world| {
        alone(world, &[]).await.check(&[("a", "b"), ("said", "1000")]);
        none_runs(world).await;
    });
}

/// Each call of a script that may wait, cut short by the caller.
fn is_left(code: &str) {
    let code = format!(
        "session.answer(); session.setHangupHook(function (s, what) {{ setGlobalVariable('hook', what + (s === session)) }}); \
         try {{ {code} }} catch (e) {{ setGlobalVariable('thrown', e) }} setGlobalVariable('went_on', session.ready());"
    );
    run(runs(&code), async |world| {
        let call = world.phone("alice").dial("1000");
        world.seconds(2).await;
        call.hang_up();
        let told = over(world, call).await;
        none_runs(world).await;
        assert_eq!(world.switch.global("hook").as_deref(), Some("hanguptrue"));
        assert_eq!(world.switch.global("went_on").as_deref(), Some("false"));
        told.check(&[("after", "")]);
    });
}

cases! { is_left:
    hangup_while_it_sleeps => ("session.sleep(600000)"),
    hangup_while_a_file_plays => ("session.streamFile('silence_stream://600000')"),
    hangup_while_a_file_plays_for_a_function => ("session.streamFile('silence_stream://600000', function () { return true })"),
    hangup_while_digits_are_awaited => ("session.getDigits(3, '#', 600000); session.ready(); session.setVariable('x', 'y')"),
    hangup_while_it_collects => ("session.collectInput(function () { return true }, '', 600000)"),
    hangup_while_an_application_runs => ("session.execute('park')"),
    hangup_while_it_says => ("while (session.ready()) session.streamFile('silence_stream://500')"),
    hangup_while_another_is_called => ("new Session('phone/bob', session); session.setVariable('x', 'y')"),
}

#[test]
fn a_hook_that_says_exit_ends_the_script() {
    let code = "session.answer(); session.setHangupHook(function () { return 'exit' }); \
                session.sleep(600000); setGlobalVariable('went_on', 'yes');";
    run(runs(code), async |world| {
        let call = world.phone("alice").dial("1000");
        world.seconds(1).await;
        call.hang_up();
        over(world, call).await;
        none_runs(world).await;
        assert_eq!(world.switch.global("went_on"), None);
    });
}

#[test]
fn a_script_calls_another_and_bridges_the_two() {
    let code = "session.answer(); var o = new Session('{origination_caller_id_number=77}phone/bob', session); \
                session.setVariable('a', o.ready() + o.cause + o.originateCause); bridge(session, o); session.setVariable('b', 'on');";
    run(runs(code), async |world| {
        let bob = world.phone("bob").answers();
        let call = world.phone("alice").dial("1000");
        world.until("they talk", || call.is_bridged()).await;
        let heard = world.listen().await;
        assert_eq!((heard.of("alice"), heard.of("bob")), (vec!["bob"], vec!["alice"]));
        bob.rung().await.hang_up();
        let told = over(world, call).await;
        told.check(&[("a", "trueNONEundefined"), ("b", "on"), ("after", "yes")]);
    });
}

#[test]
fn a_call_that_is_refused_says_why() {
    let code = "session.answer(); var o = new Session('phone/bob'); session.setVariable('a', o.ready() + o.cause + o.originateCause);";
    run(runs(code), async |world| {
        world.phone("bob").refuses(Cause::USER_BUSY);
        alone(world, &[]).await.check(&[("a", "falseUSER_BUSYUSER_BUSY"), ("after", "yes")]);
    });
}

#[test]
fn a_leg_that_a_script_made_ends_with_it_unless_it_says_otherwise() {
    for (more, kept) in [("", false), ("o.setAutoHangup(false);", true)] {
        let code = format!("var o = new Session('phone/bob'); {more}");
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
fn events_of_a_script_are_told_once() {
    let code = "var e = new Event('custom', 'a::b'); e.addHeader('First', 'one'); e.addBody('text'); \
                request.write(e.getType() + e.getHeader('First') + e.getHeader('None') + e.getBody() + e.ready + e.fire() + e.ready + e.fire())";
    run(setup(), async |world| {
        assert_eq!(world.api(&format!("jsapi ~{code}")).await, "CUSTOMonetexttruetruefalsefalse");
        let told = world.events().custom("a::b");
        assert_eq!(told.header("First"), "one");
        assert_eq!(told.named(EventName::Custom).len(), 1);
        let wrong = "try { new Event('NOTHING') } catch (e) { request.write(e) }";
        assert_eq!(world.api(&format!("jsapi ~{wrong}")).await, "Unknown event NOTHING");
    });
}

#[test]
fn files_have_arguments_and_include_others() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let main = "#!/usr/bin/js\nrequest.write(argc + argv[1] + argv[0] + '/' + include('more/lib.js') + twice(4) + '/' + (scriptPath != ''));\n\
                request.write('/' + request.command.split(' ').length); try { include('none.js') } catch (e) { request.write('/' + e) }";
    std::fs::create_dir(path("more")).unwrap();
    std::fs::write(path("main.js"), main).unwrap();
    std::fs::write(path("more/lib.js"), "function twice(n) { return 2 * n } 'lib';").unwrap();
    run(setup(), async |world| {
        let file = path("main.js");
        let said = world.api(&format!("jsapi {} one 'two words'", file.display())).await;
        assert_eq!(said, "2two wordsone/lib8/true/4/Failed to include javascript file");
        let missing = world.api(&format!("jsapi {}", path("missing.js").display())).await;
        assert_eq!(missing, "");
    });
}

#[test]
fn files_are_written_and_read() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.txt");
    let path = file.display();
    let code = format!(
        "var f = new FileIO('{path}', 'wct'); f.write('h\u{e4}llo'); f.close(); f = new FileIO('{path}', 'r'); \
         request.write(f.read(100) + f.data() + f.read(100) + f.open + f.write('x') + fileDelete('{path}') + fileDelete('{path}') + system('exit 3'))"
    );
    run(setup(), async |world| {
        let said = world.api(&format!("jsapi ~{code}")).await;
        assert_eq!(said, "trueh\u{e4}llofalsetruefalsetruefalse3");
    });
}

#[test]
fn reading_the_same_file_again_takes_no_more_memory() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.txt");
    std::fs::write(&file, "x".repeat(100_000)).unwrap();
    let code = format!(
        "var n = 0; for (var i = 0; i < 300; i++) {{ var f = new FileIO('{0}', 'r'); while (f.read(60000000)) n += f.data().length; f.close() }} \
         var f = new FileIO('/dev/zero', 'r'); try {{ f.read(60000000); request.write('read') }} catch (e) {{ request.write(n + e.message) }}",
        file.display()
    );
    run(limits(setup(), MEMORY), async |world| {
        assert_eq!(world.api(&format!("jsapi ~{code}")).await, "30000000out of memory");
    });
}

#[test]
fn a_statement_that_does_not_end_ends_with_its_script() {
    let folder = tempfile::tempdir().unwrap();
    let name = format!("sqlite://{}", folder.path().join("a.db").display());
    let endless =
        "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT count(*) FROM c";
    let begin = format!("use('DBH'); var d = new DBH('{name}');");
    run(setup(), async |world| {
        let make = format!("jsapi ~{begin} request.write(d.query('create table t (n integer)'))");
        assert_eq!(world.api(&make).await, "true");
        // It holds the lock of the file, for which another would wait in vain.
        let code = format!(
            "{begin} d.query('BEGIN IMMEDIATE; insert into t values (0)'); setGlobalVariable('holds', 'yes'); d.query('{endless}', function () {{}})"
        );
        assert_eq!(world.api(&format!("jsrun ~{code}")).await, "+OK\n");
        // Time stands still while a script asks a database.
        while world.switch.global("holds").is_none() {
            tokio::task::yield_now().await;
        }
        assert_eq!(world.api("jskill 2").await, "+OK\n");
        none_runs(world).await;
        let insert = format!("jsapi ~{begin} request.write(d.query('insert into t values (1)'))");
        assert_eq!(world.api(&insert).await, "true");
    });
}

/// Whichever comes first, the answer or the end of the script: the leg does not stay.
#[test]
fn a_leg_that_answers_a_script_which_ends_is_hung_up() {
    for answers_first in [true, false] {
        for code in ["new Session('phone/bob')", "new Session('phone/bob'); msleep(10000)"] {
            run(setup(), async |world| {
                let bob = world.phone("bob").only_rings();
                assert_eq!(world.api(&format!("jsrun ~{code}")).await, "+OK\n");
                let leg: Call = bob.rung().await;
                if answers_first {
                    leg.answer();
                }
                assert_eq!(world.api("jskill 1").await, "+OK\n");
                if !answers_first {
                    leg.answer();
                }
                none_runs(world).await;
                world.until("the leg is over", || world.switch.channel(leg.uuid()).is_none()).await;
            });
        }
    }
}

/// The same where the call's task rings for the script: it goes on to, and has nobody to give the leg to.
#[test]
fn a_leg_that_answers_a_call_whose_script_has_ended_is_hung_up() {
    run(
        runs("session.answer(); new Session('phone/bob', session); msleep(10000)"),
        async |world| {
            let bob = world.phone("bob").only_rings();
            let call = world.phone("alice").dial("1000");
            let leg: Call = bob.rung().await;
            assert_eq!(world.api("jskill 1").await, "+OK\n");
            none_runs(world).await;
            leg.answer();
            world.until("the leg is over", || world.switch.channel(leg.uuid()).is_none()).await;
            over(world, call).await.check(&[("after", "yes")]);
        },
    );
}

#[test]
fn a_script_is_told_of_events_it_asks_for() {
    let code = "use('EventHandler'); var h = new EventHandler('CUSTOM', 'a::b'); h.addFilter('Word', '/^h/'); h.addFilter('Word', '-ho'); \
                request.write(h.ready + '' + h.getEvent(0)); var own = new Event('CUSTOM', 'a::b'); own.addHeader('Word', 'ho'); h.sendEvent(own); \
                setGlobalVariable('waits', 'yes'); var e = h.getEvent(60000); request.write(e.getHeader('Word') + e.getType() + h.getEvent(100)); \
                h.deleteFilter('all'); h.unSubscribe('ALL'); request.write(h.subscribe('BACKGROUND_JOB') + '' + h.subscribe('NOTHING')); \
                var job = h.executeBgApi('expr', '2+3'); var done = h.getEvent(-1); request.write((done.getHeader('Job-UUID') == job) + done.getBody() + h.executeApi('expr', '1+1')); \
                request.write(h.executeApi('jsapi', '~') + '' + h.sendEvent(new Event('CUSTOM', 'x::y'), 'nobody') + h.destroy() + h.ready + h.destroy());";
    run(setup(), async |world| {
        let asked = format!("jsapi ~{code}");
        let told = async {
            world.until("it waits", || world.switch.global("waits").is_some()).await;
            for word in ["bye", "hello"] {
                let mut event = esl_server::Event::custom("a::b");
                event.push("Word", word);
                esl_server::fire!(world.switch.bus, event);
            }
        };
        let (said, ()) = tokio::join!(world.api(&asked), told);
        assert_eq!(said, "truenullhelloCUSTOMnulltruefalsetrue52falsefalsetruefalsefalse");
    });
}

#[test]
fn a_script_answers_json_and_no_far_end_does() {
    let script = "~var j = JSON.parse(request.getHeader('JSON')); request.write(JSON.stringify({ twice: j.n * 2, path: j.path.length > 3 }))";
    let ask = |path: &str| {
        format!(r#"json {{"command": "jsjson", "data": {{"path": "{path}", "n": 21}}}}"#)
    };
    run(setup(), async |world| {
        let said = world.api(&ask(script)).await;
        assert!(said.contains(r#""response":{"twice":42,"path":true}"#), "{said}");
        let wrong = world.api(&ask("~request.write('{')")).await;
        assert!(wrong.contains("parse error in return val or invalid data supplied"), "{wrong}");
        // All of it is the name of a file; in code it is refused.
        let far = base::far::mark("~setGlobalVariable('ran', 'yes')");
        let named = world.api(&ask(&far)).await;
        assert!(named.contains("parse error in return val"), "{named}");
        let part = base::far::mark("'); setGlobalVariable('ran', 'yes'); ('");
        let refused = world.api(&ask(&format!("~setGlobalVariable('a', '{part}')"))).await;
        assert!(refused.contains("a far end had part in its text"), "{refused}");
        assert_eq!(world.switch.global("ran"), None);
    });
}

#[test]
fn databases_answer() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    let code = format!(
        "use('DBH'); use('CoreDB'); use('ODBC'); var d = new DBH('sqlite://{0}'); d.query('create table t (n integer, w text)'); \
         var c = new CoreDB('sqlite://{0}'); c.prepare('insert into t values (?, ?)'); c.bindInt(1, 7); c.bindText(2, \"it's ?\"); request.write(c.step() + '/'); \
         d.query('select * from t', function (row) {{ request.write(row.n + row.w + '/') }}); request.write(d.query('nonsense') + '' + (d.last_error() != '') + '/'); \
         c.prepare('select n from t'); while (c.next()) request.write(c.fetch().n + '/'); \
         var o = new ODBC('sqlite://{0}'); o.connect(); o.query('select w from t'); while (o.nextRow()) request.write(o.getData().w + o.numRows());",
        path.display()
    );
    run(setup(), async |world| {
        let said = world.api(&format!("jsapi ~{code}")).await;
        assert_eq!(said, "true/7it's ?/falsetrue/7/it's ?1");
    });
}

#[test]
fn documents_are_read_and_made() {
    let code = "use('XML'); var x = new XML('<a n=\"1\">t<b k=\"1\">u</b><b k=\"2\"/></a>'); var b = x.getChild('b'); \
        request.write(x.name + x.data + x.getAttribute('n') + b.data + b.next().getAttribute('k') + b.next().next() + x.getChild('b', 'k', '2').getAttribute('k') + (b === x.getChild('b'))); \
        b.next().remove(); var c = x.addChild('c'); c.data = 'less < more'; c.setAttribute('q', 'r'); var y = x.copy(); b.remove(); request.write(x.serialize() + y.serialize()); \
        try { new XML('<a>') } catch (e) { request.write(e) }";
    run(setup(), async |world| {
        let said = world.api(&format!("jsapi ~{code}")).await;
        let c = "  <c q=\"r\">less &lt; more</c>\n";
        assert!(said.starts_with("at1u2null2true<a n=\"1\">"), "{said}");
        assert!(said.contains(c) && said.matches("<b k=\"1\">u</b>").count() == 1, "{said}");
        assert!(said.ends_with("</a>\nBad arguments!"), "{said}");
    });
}

#[test]
fn a_script_answers_lookups() {
    let handler = "~if (XML_REQUEST.section == 'dialplan' &amp;&amp; params.getHeader('Caller-Destination-Number') == '88') \
        XML_STRING = '&lt;document type=&quot;freeswitch/xml&quot;&gt;&lt;section name=&quot;dialplan&quot;&gt;&lt;context name=&quot;default&quot;&gt;&lt;extension name=&quot;x&quot;&gt;&lt;condition&gt;\
        &lt;action application=&quot;set&quot; data=&quot;asked=' + XML_REQUEST.tag_name + XML_REQUEST.key_name + '.&quot;/&gt;&lt;action application=&quot;sleep&quot; data=&quot;100&quot;/&gt;\
        &lt;/condition&gt;&lt;/extension&gt;&lt;/context&gt;&lt;/section&gt;&lt;/document&gt;'";
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

#[test]
fn tasks_are_listed() {
    run(setup(), async |world| {
        assert_eq!(world.api("jsapi").await, "USAGE: jsapi <script> [additional_vars [...]]\n");
        assert_eq!(world.api("jsrun ~msleep(2000000000)").await, "+OK\n");
        world.settle().await;
        let list = world.api("jsps").await;
        assert!(
            list.starts_with("JavaScript process status.\n\nTask id: 1\ninput_code: inline\n"),
            "{list}"
        );
        assert!(world.api("jsps as json").await.contains(r#""row_count":1"#));
        assert!(
            world
                .api("jsps as csv ;")
                .await
                .starts_with("task_id;input_code;execution_time\n1;inline;")
        );
        assert!(world.api("jsps as xml").await.contains("<task_id>1</task_id>"));
        assert_eq!(world.api("jskill 7").await, "-ERR no script 7 runs\n");
        assert_eq!(world.api("jskill 1").await, "+OK\n");
        none_runs(world).await;
    });
}

/// A script that would never end is ended.
fn is_killed(code: &str) {
    run(limits(setup(), r#"<param name="max-busy-seconds" value="0"/>"#), async |world| {
        assert_eq!(world.api(&format!("jsrun ~{code}")).await, "+OK\n");
        assert_eq!(world.api("jskill 1").await, "+OK\n");
        none_runs(world).await;
    });
}

cases! { is_killed:
    an_endless_loop => ("for (;;);"),
    an_endless_loop_that_catches_errors => ("for (;;) try { for (;;); } catch (e) {} finally { for (;;); }"),
    an_endless_loop_in_a_generator => ("function* f() { for (;;) yield 1 } for (var x of f());"),
    an_endless_loop_of_promises => ("function f() { Promise.resolve().then(f) } f();"),
    an_endless_loop_in_a_comparison => ("[1, 2].sort(function () { for (;;); })"),
    an_endless_pattern => ("/^(([a-z])+.)+[A-Z]([a-z])+$/.test('a'.repeat(200))"),
    an_endless_wait => ("msleep(2000000000); throw 'x'"),
    an_endless_wait_that_catches_errors => ("for (;;) try { msleep(2000000000) } catch (e) {}"),
    an_endless_program => ("system('sleep 1000000')"),
}

/// A script that exceeds a limit ends, and does not come to its last step.
fn exceeds(settings: &str, code: &str) {
    run(limits(setup(), settings), async |world| {
        assert_eq!(world.api(&format!("jsapi ~{code}; request.write('reached')")).await, "");
        none_runs(world).await;
        assert_eq!(world.api("jsapi ~request.write('well')").await, "well");
    });
}

const MEMORY: &str = r#"<param name="max-memory-mb" value="8"/>"#;
const BUSY: &str = r#"<param name="max-busy-seconds" value="1"/>"#;

cases! { exceeds:
    too_much_memory => (MEMORY, "var t = []; for (;;) t.push('x'.repeat(10000) + t.length)"),
    too_much_memory_in_one_text => (MEMORY, "var t = 'x'; for (;;) { t = (t + t).split('').join('') }"),
    too_much_memory_in_an_array => (MEMORY, "new Array(1000000000).fill(1)"),
    too_much_memory_in_a_buffer => (MEMORY, "new Uint8Array(1000000000)"),
    too_much_memory_in_a_pattern => (MEMORY, "new RegExp('(a{1,1000}){1,1000}'.repeat(1000))"),
    too_much_memory_in_events => (MEMORY, "var b = 'x'.repeat(100000), t = []; for (;;) { var e = new Event('CUSTOM', 'a::b'); e.addBody(b); t.push(e) }"),
    too_much_memory_in_sessions => (MEMORY, "var t = []; for (;;) t.push(new Session())"),
    too_many_turns => (r#"<param name="max-instructions" value="1000000"/>"#, "for (;;);"),
    too_long_a_computation => (BUSY, "for (;;);"),
    too_long_a_computation_of_large_numbers => (BUSY, "var n = 3n; for (;;) n = (n * n) % (2n ** 4000n)"),
    too_deep_a_recursion => ("", "function f() { return 1 + f() } f()"),
    too_deep_a_recursion_through_the_switch => ("", "function f() { [1].forEach(function () { apiExecute({ toString: f }) }) } f()"),
    too_deep_a_document => ("", "JSON.parse('['.repeat(1000000))"),
    too_deep_a_pattern => ("", "new RegExp('('.repeat(1000000) + ')'.repeat(1000000))"),
    too_deep_a_program => ("", "eval('('.repeat(1000000) + '1' + ')'.repeat(1000000))"),
}

#[test]
fn a_file_that_includes_itself_ends() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("self.js");
    std::fs::write(&file, "include('self.js'); request.write('reached')").unwrap();
    run(setup(), async |world| {
        assert_eq!(world.api(&format!("jsapi {}", file.display())).await, "");
        assert_eq!(world.api("jsapi ~request.write('well')").await, "well");
    });
}

#[test]
fn more_scripts_than_allowed_are_refused() {
    let setup = limits(setup(), r#"<param name="max-scripts" value="20"/>"#);
    run(setup, async |world| {
        let mut refused = 0;
        for _ in 0..100 {
            let said = world.api("jsrun ~msleep(2000000000)").await;
            refused += usize::from(said.starts_with("-ERR 20 scripts run"));
        }
        assert_eq!(refused, 80);
        for id in 1..=20 {
            assert_eq!(world.api(&format!("jskill {id}")).await, "+OK\n");
        }
        none_runs(world).await;
    });
}

#[test]
fn a_killed_script_leaves_its_call_to_the_dialplan() {
    let code =
        "session.answer(); session.streamFile('silence_stream://300'); session.sleep(600000)";
    run(runs(code), async |world| {
        let call = world.phone("alice").dial("1000");
        world.seconds(2).await;
        assert_eq!(world.api("jskill 1").await, "+OK\n");
        over(world, call).await.check(&[("after", "yes")]);
    });
}

#[test]
fn a_script_that_outlives_its_call_for_long_is_ended() {
    let setup = limits(
        runs("session.answer(); for (;;) msleep(1000)"),
        r#"<param name="after-hangup-seconds" value="30"/>"#,
    );
    run(setup, async |world| {
        let call = world.phone("alice").dial("1000");
        world.seconds(2).await;
        call.hang_up();
        world.seconds(20).await;
        assert!(world.api("jsps as csv").await.ends_with("\n1 total.\n"));
        over(world, call).await;
        none_runs(world).await;
    });
}

#[test]
fn what_a_far_end_said_stays_one_value() {
    let code = "session.setVariable('a', session.getVariable('said')); session.execute('set', 'b=[' + session.getVariable('said') + ']');";
    run(runs(code), async |world| {
        let said = base::far::mark("${toupper(x)}");
        let call = world.phone("alice").dialling("1000").var("said", &said).go();
        let told = over(world, call).await;
        told.check(&[("b", "[${toupper(x)}]"), ("after", "yes")]);
    });
}

/// What a far end said becomes no code, also where it is the whole argument, no second argument, and no way out of the folder.
#[test]
fn what_a_far_end_said_does_not_run() {
    let code = "~session.setVariable('ran', 'yes')";
    let cases = [
        ("~session.setVariable('a', '${said}')", "'); session.setVariable('ran', 'yes'); ('"),
        ("${said}", code),
        ("~var said = session.getVariable('said'); session.execute('javascript', said)", code),
        ("~var said = session.getVariable('said'); apiExecute('jsrun', said)", code),
        ("~system('echo ' + session.getVariable('said'))", "x; touch ran"),
    ];
    for (argument, said) in cases {
        let mut dialplan =
            extension("1000", &[("javascript", argument), ("set", "after=yes"), ("sleep", "1000")]);
        dialplan += &extension("2000", &[("answer", ""), ("park", "")]);
        run(setup().dialplan(&dialplan), async |world| {
            let said = base::far::mark(said);
            let call = world.phone("alice").dialling("1000").var("said", &said).go();
            let told = over(world, call).await;
            told.check(&[("ran", ""), ("after", "yes")]);
            assert!(!std::path::Path::new("ran").exists(), "{argument}");
        });
    }
}
