//! Visits of owners to their mailboxes: passwords, messages, forwarding, greetings.

use super::*;

#[test]
fn wrong_passwords_end_the_visit() {
    Office::new().run(async |world, _| {
        let mut bob = Caller::dial(world, "bob", "3000");
        for _ in 0..2 {
            bob.answers("enter_id(#)", "101#").await;
            bob.answers("enter_pass(#)", "99#").await;
            bob.hears("fail_auth").await;
        }
        // Nothing typed counts as an attempt too.
        bob.answers("enter_id(#)", "#").await;
        bob.hears("abort").await;
        bob.hears("goodbye").await;
        world.until("it goes on", || bob.call.var("after") == "yes").await;
        let told = world.events().custom("vm::maintenance");
        assert_eq!(told.headers("VM-Auth-Result"), ["fail", "fail"]);
        assert_eq!(told.headers("VM-User"), ["1", "1"], "an alias is the user it stands for");
        bob.call.hang_up();
        bob.ends().await;
    });
}

#[test]
fn a_caller_can_be_let_in_without_any_visit() {
    Office::new().run(async |world, _| {
        let mut bob = Caller::dial(world, "bob", "3009");
        bob.answers("enter_pass", "11#").await;
        world.until("it goes on", || bob.call.var("after") == "yes").await;
        assert_eq!(bob.call.var("user_pin_authenticated_user"), "1");
        bob.call.hang_up();
        let mut bad = Caller::dial(world, "bad", "3009");
        for _ in 0..3 {
            bad.answers("enter_pass", "12#").await;
        }
        bad.hears("abort").await;
        world.until("it is over", || bad.call.cause().is_some()).await;
        assert_eq!(bad.call.cause().map(|cause| cause.name()), Some("USER_CHALLENGE"));
        world.ended(&bad.call).await;
        bob.ends().await;
    });
}

/// What the owner of two new messages does with the first; what is said next, and what the box holds at the end.
fn heard(keys: &[(&str, &'static str)], said: &[&str], box_holds: &str) {
    Office::new().run(async |world, folder| {
        given(world, folder, 1, "one").await;
        world.seconds(2).await;
        given(world, folder, 1, "two").await;
        let mut bob = Caller::dial(world, "bob", "3005");
        for (prompt, keys) in keys {
            bob.answers(prompt, keys).await;
        }
        for prompt in said {
            bob.hears(prompt).await;
        }
        bob.call.hang_up();
        bob.ends().await;
        world.settle().await;
        assert_eq!(counts(world, 1).await, box_holds);
    });
}

cases! { heard:
    silence_saves_all => (&[], &["ack(saved)", "say_message_number(new:2)", "ack(saved)", "message_count(0:new)", "message_count(2:saved)"], "0:2:0:0"),
    one_is_deleted => (&[("listen_file_check", "7")], &["ack(deleted)", "say_message_number(new:2)"], "1:0:0:0"),
    the_next_leaves_it_new => (&[("listen_file_check", "3")], &["say_message_number(new:2)"], "2:0:0:0"),
    the_previous_of_the_first_is_the_first => (&[("listen_file_check", "9")], &["say_message_number(new:1)"], "2:0:0:0"),
    back_from_the_second => (&[("listen_file_check", "3"), ("listen_file_check", "9")], &["say_message_number(new:1)"], "2:0:0:0"),
    again_with_its_number => (&[("listen_file_check", "*")], &["say_message_number(new:1)"], "2:0:0:0"),
    again_without_its_number => (&[("listen_file_check", "1")], &["say_date", "listen_file_check"], "2:0:0:0"),
    a_key_within_the_message_counts => (&[("say_date", "7")], &["ack(deleted)"], "1:0:0:0"),
    saved_ones_are_heard_from_the_menu => (&[("listen_file_check", "2"), ("listen_file_check", "2"), ("menu", "2")], &["say_message_number(saved:1)"], "0:2:0:0"),
    forwarded => (&[("listen_file_check", "8"), ("forward_prepend(1:8)", "8"), ("forward_message_enter_extension(#)", "2#")], &["ack(saved)", "say_message_number(new:1)"], "2:0:0:0"),
    forwarded_to_nobody => (&[("listen_file_check", "8"), ("forward_prepend", "8"), ("forward_message_enter_extension", "77#")], &["invalid_extension(77)", "forward_message_enter_extension"], "2:0:0:0"),
    forwarded_to_a_box_that_is_off => (&[("listen_file_check", "8"), ("forward_prepend", "8"), ("forward_message_enter_extension", "3#")], &["invalid_extension(3)"], "2:0:0:0"),
}

#[test]
fn mashed_keys_end_no_call_and_leave_no_mess() {
    for keys in ["***D9911881#*#0*7777", "1234567890*#1234567890*#", "8888#8#8#8#", "5656#0#5153*#"]
    {
        Office::new().run(async |world, folder| {
            given(world, folder, 1, "one").await;
            for number in ["1000", "3005", "3000"] {
                let mut bob = Caller::dial(world, "bob", number);
                bob.heard = 0;
                world.seconds(1).await;
                for _ in 0..6 {
                    bob.call.press(keys);
                    world.seconds(3).await;
                }
                bob.call.hang_up();
                bob.ends().await;
            }
            let told = world.events().custom("vm::maintenance");
            assert!(!told.is_empty());
        });
    }
}

#[test]
fn a_forwarded_message_has_the_words_of_its_sender_in_front() {
    Office::new().run(async |world, folder| {
        given(world, folder, 1, "one").await;
        let mut bob = Caller::dial(world, "bob", "3005");
        bob.answers("listen_file_check", "8").await;
        bob.answers("forward_prepend", "1").await;
        bob.leaves(1).await;
        bob.answers("record_file_check", "2").await;
        bob.answers("forward_message_enter_extension", "2#").await;
        bob.hears("ack(saved)").await;
        assert_eq!(counts(world, 2).await, "1:0:0:0");
        let listed = world.api("vm_list 2@d").await;
        assert!(listed.trim().ends_with(":one:5551234:4"), "two seconds and two: {listed}");
        let path = listed.split(':').nth(5).unwrap();
        let (_, samples) = media::wav::decode(&std::fs::read(path).unwrap()).unwrap();
        // bob speaks with a constant, the message is a ramp.
        assert!(samples[8000..8100].iter().all(|s| *s == samples[8000]) && samples[8000] != 0);
        assert!(samples[samples.len() - 8000..].iter().any(|s| *s > 5000));
        bob.call.hang_up();
        bob.ends().await;
    });
}

#[test]
fn a_caller_is_called_back_and_the_visit_goes_on() {
    Office::new().with("callback-context", "default").with("callback-key", "5").run(
        async |world, folder| {
            given(world, folder, 1, "one").await;
            let mut bob = Caller::dial(world, "bob", "3005");
            bob.answers("listen_file_check", "5").await;
            world.until("it is called", || bob.call.var("reached") == "5551234").await;
            bob.call.hang_up();
            bob.ends().await;
        },
    );
}

/// What the owner sets up; what is said, and how the preferences read then.
fn set_up(keys: &[(&str, &'static str)], said: &[&str], action: &str, prefs: &str) {
    Office::new().run(async |world, folder| {
        std::fs::create_dir_all(folder.join("d/1")).unwrap();
        let other = folder.join("tone.wav");
        given(world, folder, 2, "tone").await;
        std::fs::copy(&other, folder.join("d/1/greeting_4.wav")).unwrap();
        let mut bob = Caller::dial(world, "bob", "3005");
        bob.answers("menu", "5").await;
        let mut recordings = 0;
        for (prompt, keys) in keys {
            if *prompt == "records" {
                recordings += 1;
                bob.leaves(recordings).await;
            } else {
                bob.answers(prompt, keys).await;
            }
        }
        for prompt in said {
            bob.hears(prompt).await;
        }
        let told = world.events().custom("vm::maintenance");
        let told = told.filter(|event| event.get("VM-User").as_deref() == Some("1"));
        assert_eq!(told.headers("VM-Action").last().map(String::as_str), Some(action));
        let prefix = folder.join("d/1").display().to_string();
        let kept = world.api("vm_prefs 1@d|all").await;
        assert_eq!(kept.replace(&prefix, ""), prefs);
        bob.call.hang_up();
        bob.ends().await;
    });
}

cases! { set_up:
    a_greeting_is_chosen => (&[("config_menu(1:2:3:6:0)", "2"), ("choose_greeting", "4")], &["greeting_selected(4)", "config_menu"], "change-greeting", "/greeting_4.wav::"),
    a_greeting_is_chosen_that_is_not_there => (&[("config_menu", "2"), ("choose_greeting", "5")], &["choose_greeting_fail", "config_menu"], "folder-summary", "::"),
    no_greeting_is_chosen => (&[("config_menu", "2"), ("choose_greeting", "0")], &["greeting_selected(0)", "config_menu"], "remove-greeting", "::"),
    a_star_is_no_greeting => (&[("config_menu", "2"), ("choose_greeting", "*")], &["choose_greeting_fail"], "folder-summary", "::"),
    a_greeting_is_recorded => (&[("config_menu", "1"), ("choose_greeting", "3"), ("records", ""), ("record_file_check", "2")], &["ack(saved)", "config_menu"], "record-greeting", "/greeting_3.wav::"),
    a_name_is_recorded => (&[("config_menu", "3"), ("records", ""), ("record_file_check", "2")], &["ack(saved)", "config_menu"], "record-name", ":/recorded_name.wav:"),
    a_password_is_set => (&[("config_menu", "6"), ("enter_pass(#)", "4711#")], &["change_pass_success", "config_menu"], "change-password", "::4711"),
    back_to_the_main_menu => (&[("config_menu", "0")], &["menu"], "folder-summary", "::"),
}

#[test]
fn a_greeting_is_heard_by_the_next_caller_and_survives_half_a_recording() {
    Office::new().run(async |world, folder| {
        let mut bob = Caller::dial(world, "bob", "3005");
        bob.answers("menu", "5").await;
        bob.answers("config_menu", "1").await;
        bob.answers("choose_greeting", "3").await;
        bob.leaves(1).await;
        bob.answers("record_file_check", "2").await;
        bob.hears("config_menu").await;
        // A second one is begun and left.
        bob.call.press("1");
        bob.answers("choose_greeting", "3").await;
        bob.records(2).await;
        bob.call.hang_up();
        bob.ends().await;
        assert!(folder.join("d/1/greeting_3.wav").exists());
        assert!(!folder.join("d/1/greeting_3_OLD.wav").exists());
        let alice = Caller::dial(world, "alice", "1000");
        world.seconds(1).await;
        // A leg that took over another's wire is heard as that one.
        assert_eq!(world.listen().await.of("alice"), ["alice"]);
        alice.call.hang_up();
        alice.ends().await;
    });
}

#[test]
fn a_password_set_by_phone_is_the_one_that_counts() {
    Office::new().with("db-password-override", "true").run(async |world, _| {
        assert_eq!(world.api("vm_fsdb_pref_password_set default d 1 4711").await, "-OK\n");
        assert_eq!(world.api("vm_fsdb_auth_login default d 1 11").await, "-ERR");
        assert_eq!(world.api("vm_fsdb_auth_login default d 1 4711").await, "-OK");
        let mut bob = Caller::dial(world, "bob", "3001");
        bob.answers("enter_pass", "11#").await;
        bob.hears("fail_auth").await;
        bob.answers("enter_pass", "4711#").await;
        bob.hears("message_count").await;
        bob.call.hang_up();
        bob.ends().await;
    });
}
