//! Menus that are made of a configuration (mod_voicemail_ivr), over the same boxes.

use super::*;

/// One profile, whose phrases are those of [`phrases`].
pub(super) const CONF: &str = r##"<configuration name="voicemail_ivr.conf"><profiles><profile name="default">
    <settings><param name="IVR-Maximum-Attempts" value="3"/><param name="IVR-Entry-Timeout" value="2000"/>
    <param name="Record-Silence-Threshold" value="0"/><param name="Record-Minimum-Length" value="1"/></settings>
    <apis><api name="auth_login" value="vm_fsdb_auth_login"/><api name="msg_list" value="vm_fsdb_msg_list"/>
    <api name="msg_count" value="vm_fsdb_msg_count"/><api name="msg_delete" value="vm_fsdb_msg_delete"/>
    <api name="msg_undelete" value="vm_fsdb_msg_undelete"/><api name="msg_save" value="vm_fsdb_msg_save"/>
    <api name="msg_purge" value="vm_fsdb_msg_purge"/><api name="msg_get" value="vm_fsdb_msg_get"/>
    <api name="msg_forward" value="vm_fsdb_msg_forward"/><api name="pref_greeting_set" value="vm_fsdb_pref_greeting_set"/>
    <api name="pref_greeting_get" value="vm_fsdb_pref_greeting_get"/><api name="pref_recname_set" value="vm_fsdb_pref_recname_set"/>
    <api name="pref_password_set" value="vm_fsdb_pref_password_set"/></apis>
    <menus>
    <menu name="std_authenticate"><settings><param name="User-Mask" value="X"/></settings><phrases><phrase name="fail_auth" value="fail@ivr"/></phrases><keys/></menu>
    <menu name="std_authenticate_ask_user"><phrases><phrase name="instructions" value="id@ivr"/></phrases>
    <keys><key dtmf="#" action="ivrengine:terminate_entry"/></keys></menu>
    <menu name="std_authenticate_ask_password"><settings><param name="IVR-Maximum-Attempts" value="1"/></settings>
    <phrases><phrase name="instructions" value="pass@ivr"/></phrases>
    <keys><key dtmf="#" action="ivrengine:terminate_entry" variable="VM-Key-Terminator"/></keys></menu>
    <menu name="std_main_menu"><settings><param name="Action-On-New-Message" value="new_msg:std_navigator"/></settings>
    <phrases><phrase name="msg_count" value="count@ivr"/><phrase name="menu_options" value="menu@ivr"/>
    <phrase name="invalid" value="invalid@ivr"/><phrase name="timeout" value="timeout@ivr"/></phrases>
    <keys><key dtmf="1" action="new_msg:std_navigator" variable="VM-Key-Play-New-Messages"/>
    <key dtmf="2" action="saved_msg:std_navigator"/><key dtmf="5" action="menu:std_preference"/>
    <key dtmf="#" action="return" variable="VM-Key-Terminator"/></keys></menu>
    <menu name="std_navigator"><phrases><phrase name="say_date" value="date@ivr"/><phrase name="say_msg_number" value="number@ivr"/>
    <phrase name="menu_options" value="listen@ivr"/><phrase name="ack" value="ack@ivr"/><phrase name="play_message" value="message@ivr"/>
    <phrase name="no_more_messages" value="last@ivr"/></phrases>
    <keys><key dtmf="1" action="skip_intro"/><key dtmf="6" action="next_msg"/><key dtmf="4" action="prev_msg"/>
    <key dtmf="7" action="delete_msg" variable="VM-Key-Main-Delete-File"/><key dtmf="8" action="menu:std_forward"/>
    <key dtmf="2" action="save_msg"/><key dtmf="5" action="callback"/><key dtmf="#" action="return"/></keys></menu>
    <menu name="std_preference"><phrases><phrase name="menu_options" value="preferences@ivr"/></phrases>
    <keys><key dtmf="1" action="menu:std_record_greeting_with_slot"/><key dtmf="2" action="menu:std_select_greeting_slot"/>
    <key dtmf="3" action="menu:std_record_name"/><key dtmf="6" action="menu:std_set_password"/><key dtmf="9" action="menu:std_preference"/>
    <key dtmf="0" action="return"/></keys></menu>
    <menu name="std_record_greeting"><phrases><phrase name="instructions" value="record@ivr"/><phrase name="play_recording" value="recorded@ivr"/>
    <phrase name="menu_options" value="check@ivr"/><phrase name="too_short" value="short@ivr"/></phrases>
    <keys><key dtmf="1" action="listen"/><key dtmf="2" action="save"/><key dtmf="4" action="rerecord"/><key dtmf="#" action="skip_instruction"/></keys></menu>
    <menu name="std_record_name"><phrases><phrase name="instructions" value="name@ivr"/><phrase name="menu_options" value="check@ivr"/></phrases>
    <keys><key dtmf="2" action="save"/></keys></menu>
    <menu name="std_record_message"><phrases><phrase name="instructions" value="prepend@ivr"/><phrase name="menu_options" value="check@ivr"/></phrases>
    <keys><key dtmf="2" action="save"/><key dtmf="4" action="rerecord"/></keys></menu>
    <menu name="std_forward_ask_prepend"><phrases><phrase name="menu_options" value="forward@ivr"/></phrases>
    <keys><key dtmf="1" action="prepend"/><key dtmf="8" action="forward"/><key dtmf="#" action="return"/></keys></menu>
    <menu name="std_forward_ask_extension"><phrases><phrase name="instructions" value="extension@ivr"/><phrase name="ack" value="ack@ivr"/>
    <phrase name="invalid_extension" value="nowhere@ivr"/></phrases><keys><key dtmf="#" action="ivrengine:terminate_entry"/></keys></menu>
    <menu name="std_select_greeting_slot"><phrases><phrase name="instructions" value="slot@ivr"/><phrase name="invalid_slot" value="noslot@ivr"/>
    <phrase name="selected_slot" value="selected@ivr"/></phrases><keys/></menu>
    <menu name="std_record_greeting_with_slot"><phrases><phrase name="instructions" value="slot@ivr"/>
    <phrase name="selected_slot" value="selected@ivr"/></phrases><keys/></menu>
    <menu name="std_set_password"><phrases><phrase name="instructions" value="newpass@ivr"/><phrase name="password_set" value="set@ivr"/></phrases>
    <keys><key dtmf="#" action="ivrengine:terminate_entry"/></keys></menu>
    </menus></profile></profiles></configuration>"##;

/// Macros of the group `ivr`, and the fields they speak of.
const SAID: &[(&str, &str)] = &[
    ("fail", ""),
    ("id", ""),
    ("pass", "${VM-Key-Terminator}"),
    ("count", "${VM-Total-New-Messages}:${VM-Total-Saved-Messages}"),
    ("menu", "${VM-Key-Play-New-Messages}:${VM-Account-ID}"),
    ("invalid", ""),
    ("timeout", ""),
    ("date", ""),
    ("number", "${VM-Message-Type}:${VM-Message-Number}:${VM-List-Count}"),
    ("listen", "${VM-Key-Main-Delete-File}:${VM-Message-Caller-Name}"),
    ("ack", "$1"),
    ("last", ""),
    ("preferences", ""),
    ("record", ""),
    ("check", ""),
    ("short", ""),
    ("name", ""),
    ("prepend", ""),
    ("forward", ""),
    ("extension", ""),
    ("nowhere", ""),
    ("slot", ""),
    ("noslot", ""),
    ("selected", "$1"),
    ("newpass", ""),
    ("set", ""),
];

pub(super) fn phrases() -> String {
    let mut macros: String = SAID
        .iter()
        .map(|(name, about)| {
            format!(
                r#"<macro name="{name}"><input pattern="^(.*)$"><match><action function="phrase" phrase="said@ivr"
                data="{name};{about}"/></match></input></macro>"#
            )
        })
        .collect();
    for (name, field) in [("message", "VM-Message-File-Path"), ("recorded", "VM-Record-File-Path")]
    {
        macros += &format!(
            r#"<macro name="{name}"><input field="${{{field}}}" pattern="^/.*$"><match>
            <action function="play-file" data="{{said={name},about=''}}${{{field}}}"/></match></input></macro>"#
        );
    }
    let said = r#"<macro name="said"><input pattern="^(.*);(.*)$"><match>
        <action function="play-file" data="{said=$1,about='$2'}silence_stream://400"/></match></input></macro>"#;
    format!(r#"<macros name="ivr">{macros}{said}</macros>"#)
}

#[test]
fn a_new_message_plays_by_itself_and_deleted_ones_go_at_the_end() {
    Office::new().run(async |world, folder| {
        given(world, folder, 1, "one").await;
        world.seconds(2).await;
        given(world, folder, 1, "two").await;
        let mut bob = Caller::dial(world, "bob", "4001");
        bob.answers("pass(#)", "11#").await;
        // Too short for the mask, which wants four keys.
        bob.hears("fail").await;
        assert_eq!(world.api("vm_fsdb_pref_password_set default d 1 1234").await, "-OK\n");
        bob.answers("pass", "9999#").await;
        bob.hears("fail").await;
        bob.answers("pass", "1234#").await;
        bob.hears("count(2:0)").await;
        bob.hears("number(new:1:2)").await;
        bob.hears("date").await;
        bob.hears("message").await;
        assert_eq!(world.listen().await.of("bob"), ["tone"], "the message is heard");
        bob.answers("listen(7:one)", "7").await;
        bob.hears("ack(deleted)").await;
        bob.answers("listen", "6").await;
        bob.answers("number(new:2:2)", "6").await;
        bob.hears("last").await;
        bob.answers("listen(7:two)", "4").await;
        // The same key takes the deletion back.
        bob.answers("number(new:1:2)", "7").await;
        bob.hears("ack(undeleted)").await;
        bob.answers("listen", "7").await;
        bob.hears("ack(deleted)").await;
        bob.answers("listen", "6").await;
        bob.answers("number(new:2:2)", "2").await;
        bob.hears("ack(saved)").await;
        bob.answers("listen", "#").await;
        bob.hears("count(0:1)").await;
        bob.answers("menu(1:1)", "8").await;
        bob.hears("invalid").await;
        bob.hears("menu").await;
        bob.hears("timeout").await;
        assert_eq!(
            world.api("vm_fsdb_msg_count json default d 1 inbox").await.matches("Saved").count(),
            2
        );
        let files = || std::fs::read_dir(folder.join("d/1")).unwrap().count();
        assert_eq!(files(), 2, "the deleted one is there until the visit ends");
        bob.answers("menu", "#").await;
        world.until("it goes on", || bob.call.var("after") == "yes").await;
        assert_eq!(files(), 1);
        bob.call.hang_up();
        bob.ends().await;
    });
}

#[test]
fn what_was_deleted_goes_also_when_the_owner_hangs_up() {
    Office::new().owner("vm-password", "1111").run(async |world, folder| {
        given(world, folder, 1, "one").await;
        let mut bob = Caller::dial(world, "bob", "4000");
        // One digit, as the mask wants it: no more is waited for.
        bob.answers("id", "1").await;
        bob.answers("pass", "1111#").await;
        bob.answers("listen", "7").await;
        bob.hears("ack(deleted)").await;
        bob.call.hang_up();
        bob.ends().await;
        world.settle().await;
        assert_eq!(std::fs::read_dir(folder.join("d/1")).unwrap().count(), 0);
        assert_eq!(counts(world, 1).await, "0:0:0:0");
    });
}

#[test]
fn three_wrong_passwords_let_nobody_in() {
    Office::new().run(async |world, _| {
        let mut bob = Caller::dial(world, "bob", "4001");
        for _ in 0..3 {
            bob.answers("pass", "7777#").await;
            bob.hears("fail").await;
        }
        world.until("it goes on", || bob.call.var("after") == "yes").await;
        assert!(!bob.said().iter().any(|said| said.starts_with("count")));
        bob.call.hang_up();
        bob.ends().await;
    });
}

#[test]
fn greetings_name_and_password_are_set() {
    Office::new().run(async |world, _| {
        // Greetings go below the switch's own storage, wherever the profile keeps its messages.
        let kept = world.switch.dirs.storage_dir.join("voicemail/default/d/1");
        let _of_a_run_before = std::fs::remove_dir_all(&kept);
        let call = world.phone("bob").dialling("4001").var("voicemail_authorized", "true").go();
        let mut bob = Caller { world, call, heard: 0 };
        bob.answers("menu", "5").await;
        bob.answers("preferences", "2").await;
        bob.answers("slot", "3").await;
        bob.hears("noslot").await;
        bob.answers("preferences", "1").await;
        bob.answers("slot", "3").await;
        bob.hears("record").await;
        bob.records(1).await;
        bob.call.press("1");
        bob.hears("short").await;
        bob.records(2).await;
        bob.speaks(11).await;
        bob.call.press("1");
        bob.answers("check", "1").await;
        bob.hears("recorded").await;
        bob.answers("check", "2").await;
        bob.hears("selected(3)").await;
        assert!(kept.join("greeting_3.wav").exists());
        bob.answers("preferences", "2").await;
        bob.answers("slot", "3").await;
        bob.hears("selected(3)").await;
        bob.answers("preferences", "3").await;
        bob.hears("name").await;
        bob.records(3).await;
        bob.speaks(11).await;
        bob.call.press("5");
        bob.answers("check", "2").await;
        bob.answers("preferences", "6").await;
        assert!(kept.join("recorded_name.wav").exists());
        bob.answers("newpass", "4321#").await;
        bob.hears("set").await;
        bob.answers("preferences", "0").await;
        bob.answers("menu", "#").await;
        world.until("it goes on", || bob.call.var("after") == "yes").await;
        assert_eq!(world.api("vm_fsdb_auth_login default d 1 4321").await, "-OK");
        let prefs = world.api("vm_fsdb_pref_greeting_get json default d 1").await;
        assert!(prefs.contains("greeting_3.wav"), "{prefs}");
        bob.call.hang_up();
        bob.ends().await;
        std::fs::remove_dir_all(&kept).unwrap();
    });
}

#[test]
fn a_message_is_forwarded_with_words_in_front() {
    Office::new().run(async |world, folder| {
        given(world, folder, 1, "one").await;
        let call = world.phone("bob").dialling("4001").var("voicemail_authorized", "true").go();
        let mut bob = Caller { world, call, heard: 0 };
        bob.answers("listen", "8").await;
        bob.answers("forward", "1").await;
        bob.hears("prepend").await;
        bob.records(1).await;
        bob.speaks(11).await;
        bob.call.press("#");
        bob.answers("check", "2").await;
        bob.answers("extension", "77#").await;
        bob.hears("nowhere").await;
        // A box of one digit does not fit the mask.
        bob.answers("extension", "102#").await;
        bob.hears("ack(saved)").await;
        bob.call.hang_up();
        bob.ends().await;
        assert_eq!(counts(world, 2).await, "1:0:0:0");
        let listed = world.api("vm_list 2@d").await;
        let seconds: i64 = listed.trim().rsplit(':').next().unwrap().parse().unwrap();
        assert!(seconds >= 4, "both are in it: {listed}");
        assert_eq!(counts(world, 1).await, "1:0:0:0");
    });
}

#[test]
fn the_sender_of_a_message_is_called_back() {
    Office::new().run(async |world, folder| {
        given(world, folder, 1, "one").await;
        let call = world.phone("bob").dialling("4001").var("voicemail_authorized", "true").go();
        let mut bob = Caller { world, call, heard: 0 };
        // The context is named as the domain, and is not there: the messages go on.
        bob.answers("listen", "5").await;
        bob.answers("listen", "#").await;
        bob.answers("menu", "9").await;
        bob.hears("invalid").await;
        bob.call.hang_up();
        bob.ends().await;
    });
}
