//! Messages left and heard, each branch of the menus once.

use std::path::Path;
use std::time::Duration;

use esl_server::event::EventName;
use switch_core::contract::Module;
use testkit::{Call, Setup, World, run};

use crate::extension;

mod menus;
mod visits;

const MODULES: &[&[&dyn Module]] =
    &[mod_dptools::MODULES, mod_commands::MODULES, mod_voicemail::MODULES];

/// Macros that say their name and what they are about, for as long as a prompt may take.
const MACROS: &[&str] = &[
    "abort",
    "ack",
    "change_pass_fail",
    "change_pass_success",
    "choose_greeting",
    "choose_greeting_fail",
    "config_menu",
    "disk_quota_exceeded",
    "enter_id",
    "enter_pass",
    "fail_auth",
    "forward_message_enter_extension",
    "forward_prepend",
    "goodbye",
    "greeting_selected",
    "hello",
    "invalid_extension",
    "listen_file_check",
    "menu",
    "message_count",
    "play_greeting",
    "record_file_check",
    "record_greeting",
    "record_message",
    "record_name",
    "record_urgent_check",
    "say_date",
    "say_message_number",
    "say_phone_number",
];

fn languages() -> String {
    let macros: String = MACROS
        .iter()
        .map(|name| {
            format!(
                r#"<macro name="voicemail_{name}"><input pattern="^(.*)$"><match>
                <action function="play-file" data="{{said={name},about='$1'}}silence_stream://400"/></match></input></macro>"#
            )
        })
        .collect();
    let menus = menus::phrases();
    format!(
        r#"<language name="en" say-module="en" sound-prefix="/nowhere"><phrases><macros>{macros}</macros>{menus}</phrases></language>"#
    )
}

/// One office with two boxes and a third that is switched off, in a folder of its own.
struct Office {
    folder: tempfile::TempDir,
    params: String,
    owner: String,
    settings: String,
}

impl Office {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            params: String::new(),
            owner: String::new(),
            settings: String::new(),
        }
    }

    /// A further parameter of the profile.
    fn with(mut self, name: &str, value: &str) -> Self {
        self.params += &format!(r#"<param name="{name}" value="{value}"/>"#);
        self
    }

    /// A further parameter of the owner of 1.
    fn owner(mut self, name: &str, value: &str) -> Self {
        self.owner += &format!(r#"<param name="{name}" value="{value}"/>"#);
        self
    }

    fn setup(&self) -> Setup {
        let folder = self.folder.path().display();
        let conf = format!(
            r#"<configuration name="voicemail.conf"><settings>{}</settings><profiles><profile name="default">
            <param name="dbname" value="{folder}/vm.db"/><param name="storage-dir" value="{folder}"/>
            <param name="min-record-len" value="1"/><param name="max-record-len" value="20"/>
            <param name="max-retries" value="3"/><param name="max-login-attempts" value="3"/>
            <param name="digit-timeout" value="2000"/><param name="tone-spec" value="%(200,0,640)"/>
            <param name="record-silence-threshold" value="0"/>
            <param name="repeat-message-key" value="*"/><param name="previous-message-key" value="9"/>
            <param name="listen-file-key" value="1"/><param name="operator-key" value="6"/>
            <param name="operator-extension" value="2000"/><param name="vmain-key" value="*"/>
            <param name="vmain-extension" value="2001 XML default"/><param name="email-key" value="4"/>
            {}</profile></profiles></configuration>"#,
            self.settings, self.params
        );
        let domain = format!(
            r#"<domain name="d"><groups><group name="all"><users>
            <user id="1" number-alias="101"><params><param name="vm-password" value="11"/>{}</params></user>
            <user id="2" number-alias="102"><params><param name="vm-password" value="22"/></params></user>
            <user id="3"><params><param name="vm-enabled" value="false"/></params></user>
            </users></group></groups></domain>"#,
            self.owner
        );
        let mut dialplan = extension(
            "1000",
            &[("answer", ""), ("voicemail", "default d 1"), ("set", "after=yes"), ("hangup", "")],
        );
        for (number, argument) in [
            ("1003", "default d 3"),
            ("1009", "default d 9"),
            ("3000", "check default d"),
            ("3001", "check default d 1"),
            ("3002", "check auth default d 2"),
            ("3005", "check auth default d 1"),
            ("3009", "auth_only default d 1"),
        ] {
            dialplan += &extension(
                number,
                &[("answer", ""), ("voicemail", argument), ("set", "after=yes"), ("park", "")],
            );
        }
        for (number, argument) in [("4000", "check default d"), ("4001", "check default d 1")] {
            dialplan += &extension(
                number,
                &[("answer", ""), ("voicemail_ivr", argument), ("set", "after=yes"), ("park", "")],
            );
        }
        for number in ["2000", "2001", "5551234"] {
            dialplan +=
                &extension(number, &[("set", "reached=${destination_number}"), ("park", "")]);
        }
        Setup::new(MODULES)
            .dialplan(&dialplan)
            .directory(&domain)
            .configuration(&(conf + menus::CONF))
            .languages(&languages())
    }

    fn run(self, story: impl AsyncFnOnce(&World, &Path)) {
        let setup = self.setup();
        let path = self.folder.path().to_owned();
        run(setup, async |world| story(world, &path).await);
    }
}

/// A call of one who listens to prompts.
struct Caller<'w> {
    world: &'w World,
    call: Call,
    heard: usize,
}

impl<'w> Caller<'w> {
    fn dial(world: &'w World, name: &str, number: &str) -> Self {
        let call = world.phone(name).dialling(number).from("Al 'x' \"; DROP--", "5551234").go();
        Self { world, call, heard: 0 }
    }

    /// What was said so far: `name(about)`.
    fn said(&self) -> Vec<String> {
        let events = self.world.events_of(&self.call).named(EventName::PlaybackStart);
        let (names, about) = (events.headers("said"), events.headers("about"));
        let said = names.iter().zip(&about).filter(|(name, _)| !name.is_empty());
        said.map(|(name, about)| format!("{name}({})", about.trim_matches('\''))).collect()
    }

    /// Waits for a prompt that was not waited for before.
    async fn hears(&mut self, prompt: &str) {
        let from = self.heard;
        let wanted = |said: &String| said == prompt || said.split('(').next() == Some(prompt);
        let what = format!("{prompt} is said after {:?}", self.said());
        self.world.until(&what, || self.said().iter().skip(from).any(wanted)).await;
        let at = self.said().iter().skip(from).position(wanted).unwrap_or(0);
        self.heard = from + at + 1;
        self.world.wait(Duration::from_millis(100)).await;
    }

    /// Waits for a prompt and answers it with keys.
    async fn answers(&mut self, prompt: &str, keys: &'static str) {
        self.hears(prompt).await;
        self.call.press(keys);
    }

    /// Waits until the switch records.
    async fn records(&self, times: usize) {
        let begun =
            || self.world.events_of(&self.call).named(EventName::RecordStart).len() >= times;
        self.world.until("it records", begun).await;
    }

    /// Speaks for so many fifths of a second.
    async fn speaks(&self, fifths: usize) {
        for _ in 0..fifths {
            self.world.listen().await;
        }
    }

    /// Records a message of about two seconds and ends it with `#`.
    async fn leaves(&mut self, times: usize) {
        self.records(times).await;
        self.speaks(11).await;
        self.call.press("#");
    }

    async fn ends(self) -> Vec<String> {
        self.world.until("the call is over", || self.call.cause().is_some()).await;
        self.world.ended(&self.call).await;
        self.said()
    }
}

async fn counts(world: &World, user: u32) -> String {
    world.api(&format!("vm_boxcount {user}@d|all")).await
}

/// Puts a message into a box: a tone of two seconds.
async fn given(world: &World, folder: &Path, user: u32, name: &str) {
    let file = folder.join(format!("{name}.wav"));
    let header = media::wav::Header { rate: 8000, channels: 1 };
    let mut bytes = header.bytes(32_000, 0).to_vec();
    bytes.extend((0..16_000_i16).flat_map(|n| (n % 50 * 200).to_le_bytes()));
    std::fs::write(&file, bytes).unwrap();
    let order = format!("vm_inject {user}@d@default {} 5551234 {name}", file.display());
    assert_eq!(world.api(&order).await, "+OK\n");
}

#[test]
fn a_message_is_left_and_heard() {
    Office::new().run(async |world, _| {
        let mut alice = Caller::dial(world, "alice", "1000");
        alice.hears("play_greeting(1)").await;
        alice.leaves(1).await;
        alice.answers("record_file_check(1:2:3)", "2").await;
        alice.answers("record_urgent_check(*:#)", "2").await;
        let said = alice.ends().await;
        let rest = ["record_message()", "ack(saved)", "ack(saved)", "goodbye()"];
        let wanted = |s: &String| rest.contains(&s.as_str());
        assert_eq!(said.into_iter().filter(wanted).collect::<Vec<_>>(), rest);
        assert_eq!(counts(world, 1).await, "1:0:0:0");
        let told = world.events().custom("vm::maintenance");
        assert_eq!(told.headers("VM-Action"), ["leave-message", "mwi-update"]);
        assert_eq!(told.headers("VM-Caller-ID-Name")[0], "Al 'x' \"; DROP--");
        assert_eq!(told.headers("VM-Message-Len")[0], "2");
        let waiting = world.events().named(EventName::MessageWaiting);
        assert_eq!(waiting.header("MWI-Voice-Message"), "1/0");

        let mut bob = Caller::dial(world, "bob", "3001");
        bob.answers("enter_pass(#)", "11#").await;
        bob.hears("message_count(1:new)").await;
        bob.hears("say_message_number(new:1)").await;
        bob.hears("say_date").await;
        world.wait(Duration::from_millis(600)).await;
        // A leg that took over another's wire is heard as that one.
        assert_eq!(world.listen().await.of("bob"), ["bob"], "{:?}", bob.said());
        bob.answers("listen_file_check", "2").await;
        bob.hears("ack(saved)").await;
        bob.answers("menu(1:2:5:#)", "#").await;
        bob.hears("goodbye").await;
        assert_eq!(counts(world, 1).await, "0:1:0:0");
        bob.call.hang_up();
        bob.ends().await;
    });
}

/// What a caller does while a message is recorded and after it; what the box holds then.
fn left(answers: &[(&str, &'static str)], box_holds: &str, said: &[&str]) {
    Office::new().run(async |world, _| {
        let mut alice = Caller::dial(world, "alice", "1000");
        alice.leaves(1).await;
        for (prompt, keys) in answers {
            match *keys {
                "hang up" => {
                    alice.hears(prompt).await;
                    alice.call.hang_up();
                }
                "record" => {
                    alice.answers(prompt, "3").await;
                    alice.leaves(2).await;
                }
                keys => alice.answers(prompt, keys).await,
            }
        }
        let heard = alice.ends().await;
        for wanted in said {
            assert!(heard.iter().any(|said| said == wanted), "{wanted} in {heard:?}");
        }
        assert_eq!(counts(world, 1).await, box_holds);
    });
}

cases! { left:
    it_is_saved_by_silence => (&[], "1:0:0:0", &["ack(saved)", "goodbye()"]),
    it_is_urgent => (&[("record_file_check", "2"), ("record_urgent_check", "*")], "1:0:1:0", &["ack(marked-urgent)"]),
    it_is_heard_first => (&[("record_file_check", "1"), ("record_file_check", "2"), ("record_urgent_check", "2")], "1:0:0:0", &["goodbye()"]),
    it_is_recorded_again => (&[("record_file_check", "record"), ("record_file_check", "2"), ("record_urgent_check", "2")], "1:0:0:0", &["goodbye()"]),
    it_is_kept_when_the_caller_hangs_up_at_the_check => (&[("record_file_check", "hang up")], "1:0:0:0", &[]),
    it_is_kept_when_the_caller_hangs_up_at_the_urgent_check => (&[("record_file_check", "2"), ("record_urgent_check", "hang up")], "1:0:0:0", &[]),
}

#[test]
fn a_message_is_kept_when_the_caller_hangs_up_while_it_is_recorded() {
    Office::new().run(async |world, folder| {
        let alice = Caller::dial(world, "alice", "1000");
        alice.records(1).await;
        alice.speaks(11).await;
        alice.call.hang_up();
        alice.ends().await;
        assert_eq!(counts(world, 1).await, "1:0:0:0");
        let listed = world.api("vm_list 1@d").await;
        let path = listed.split(':').nth(5).unwrap();
        assert!(Path::new(path).starts_with(folder.join("d/1")), "{path}");
        assert!(std::fs::metadata(path).unwrap().len() > 32_000, "{listed}");
    });
}

#[test]
fn a_message_that_is_too_short_is_refused_as_often_as_the_profile_says() {
    Office::new().with("max-retries", "2").run(async |world, folder| {
        let mut alice = Caller::dial(world, "alice", "1000");
        for turn in 1..=3 {
            alice.records(turn).await;
            alice.call.press("#");
        }
        alice.hears("goodbye").await;
        let said = alice.ends().await;
        assert_eq!(said.iter().filter(|said| *said == "ack(too-small)").count(), 2, "{said:?}");
        assert_eq!(counts(world, 1).await, "0:0:0:0");
        let left = std::fs::read_dir(folder.join("d/1")).unwrap().count();
        assert_eq!(left, 0, "no file is left of it");
    });
}

/// A key in the greeting leads to what is said or run next.
fn greeting_key(key: &'static str, next: &str) {
    Office::new().run(async |world, _| {
        let mut alice = Caller::dial(world, "alice", "1000");
        alice.answers("play_greeting", key).await;
        match next.split_once(' ') {
            Some(("reached", number)) => {
                world.until("it arrives", || alice.call.var("reached") == number).await;
            }
            Some(("records", _)) => {
                alice.records(1).await;
                assert!(!alice.said().contains(&"record_message()".to_owned()));
            }
            _ => alice.hears(next).await,
        }
        alice.call.hang_up();
        alice.ends().await;
    });
}

cases! { greeting_key:
    the_skip_key_leads_to_the_tone => ("#", "records at once"),
    the_operator_key_leads_to_the_operator => ("6", "reached 2000"),
    the_main_key_leads_to_the_main_menu => ("*", "reached 2001"),
    the_login_key_leads_to_the_messages => ("0", "hello"),
    another_key_repeats_the_greeting => ("7", "play_greeting"),
}

#[test]
fn the_operator_can_be_reached_before_anything_was_said() {
    Office::new().run(async |world, _| {
        let alice = Caller::dial(world, "alice", "1000");
        alice.records(1).await;
        alice.call.press("6");
        world.until("it arrives", || alice.call.var("reached") == "2000").await;
        assert_eq!(counts(world, 1).await, "0:0:0:0");
        alice.call.hang_up();
        alice.ends().await;
    });
}

#[test]
fn variables_leave_steps_out_and_are_used_up() {
    Office::new().run(async |world, _| {
        let call = world
            .phone("alice")
            .dialling("1000")
            .var("skip_greeting", "true")
            .var("skip_instructions", "true")
            .var("skip_record_check", "true")
            .var("skip_record_urgent_check", "true")
            .var("voicemail_skip_goodbye", "true")
            .go();
        let mut alice = Caller { world, call, heard: 0 };
        alice.leaves(1).await;
        world.until("it is over", || alice.call.var("after") == "yes").await;
        assert_eq!(alice.call.var("skip_greeting"), "");
        assert_eq!(alice.call.var("skip_record_check"), "true");
        assert_eq!(alice.call.var("voicemail_message_len"), "00:00:02");
        assert_eq!(alice.ends().await, [] as [String; 0]);
        assert_eq!(counts(world, 1).await, "1:0:0:0");
    });
}

#[test]
fn a_full_box_takes_no_more() {
    Office::new().owner("vm-disk-quota", "2").run(async |world, folder| {
        given(world, folder, 1, "one").await;
        let mut alice = Caller::dial(world, "alice", "1000");
        alice.hears("disk_quota_exceeded").await;
        alice.hears("goodbye").await;
        alice.ends().await;
        assert_eq!(counts(world, 1).await, "1:0:0:0");
    });
}

#[test]
fn a_box_that_is_off_is_silent_and_one_that_is_not_there_says_goodbye() {
    Office::new().run(async |world, _| {
        for (number, said) in [("1003", &[][..]), ("1009", &["goodbye()"])] {
            let caller = Caller::dial(world, "alice", number);
            world.until("it goes on", || caller.call.var("after") == "yes").await;
            assert_eq!(caller.said(), said);
            caller.call.hang_up();
            caller.ends().await;
        }
    });
}

#[test]
fn copies_go_to_other_boxes_but_not_in_circles() {
    Office::new().owner("vm-cc", "2@d@default,1@d@default").run(async |world, folder| {
        given(world, folder, 1, "one").await;
        assert_eq!(counts(world, 2).await, "8:0:0:0", "one for each box it came through");
        let listed = world.api("vm_fsdb_msg_list json default d 2 inbox new").await;
        assert!(
            listed.contains("\"VM-List-Count\":\t\"8\"")
                || listed.contains("\"VM-List-Count\":\"8\""),
            "{listed}"
        );
    });
}

/// Hanging up at a prompt leaves nothing behind; `World::finish` looks.
fn hangs_up(number: &str, way: &[(&str, &'static str)], at: &str) {
    Office::new().run(async |world, folder| {
        given(world, folder, 1, "one").await;
        let mut bob = Caller::dial(world, "bob", number);
        for (prompt, keys) in way {
            bob.answers(prompt, keys).await;
        }
        bob.hears(at).await;
        bob.call.hang_up();
        bob.ends().await;
    });
}

cases! { hangs_up:
    at_the_greeting => ("1000", &[], "play_greeting"),
    at_the_instructions => ("1000", &[], "record_message"),
    at_hello => ("3000", &[], "hello"),
    at_the_box => ("3000", &[], "enter_id"),
    at_the_password => ("3000", &[("enter_id", "1#")], "enter_pass"),
    at_the_refusal => ("3001", &[("enter_pass", "0#")], "fail_auth"),
    at_the_count => ("3005", &[], "message_count"),
    at_the_number => ("3005", &[], "say_message_number"),
    at_the_date => ("3005", &[], "say_date"),
    at_the_question => ("3005", &[], "listen_file_check"),
    at_the_menu => ("3002", &[], "menu"),
    at_the_options => ("3002", &[("menu", "5")], "config_menu"),
    at_the_choice => ("3002", &[("menu", "5"), ("config_menu", "1")], "choose_greeting"),
    at_the_new_password => ("3002", &[("menu", "5"), ("config_menu", "6")], "enter_pass"),
    at_the_forwarding => ("3005", &[("listen_file_check", "8"), ("forward_prepend", "8")], "forward_message_enter_extension"),
    at_goodbye => ("3002", &[("menu", "#")], "goodbye"),
}

#[test]
fn a_message_whose_file_is_gone_can_still_be_deleted() {
    Office::new().run(async |world, folder| {
        given(world, folder, 1, "one").await;
        let listed = world.api("vm_list 1@d").await;
        std::fs::remove_file(listed.split(':').nth(5).unwrap()).unwrap();
        let mut bob = Caller::dial(world, "bob", "3005");
        bob.answers("listen_file_check", "7").await;
        bob.hears("message_count(0:new)").await;
        assert_eq!(counts(world, 1).await, "0:0:0:0");
        bob.call.hang_up();
        bob.ends().await;
    });
}

#[test]
fn a_folder_that_cannot_be_written_ends_no_call() {
    let office = Office::new().owner("vm-storage-dir", "/proc/nothing");
    office.run(async |world, _| {
        let mut alice = Caller::dial(world, "alice", "1000");
        alice.hears("goodbye").await;
        alice.ends().await;
        assert_eq!(counts(world, 1).await, "0:0:0:0");
    });
}

#[test]
fn questions_are_answered_with_what_the_asker_wants_back() {
    Office::new().run(async |world, folder| {
        given(world, folder, 1, "one").await;
        world.forget_events();
        for (account, voice) in [("sip:1@d", "1/0 (0/0)"), ("sip:2@d", "")] {
            let mut query = esl_server::event::Event::new(EventName::MessageQuery);
            query.push("Message-Account", account);
            query.push("VM-Call-ID", "c-1").push("Other", "x");
            esl_server::fire!(world.switch.bus, query);
            world.settle().await;
            let waiting = world.events().named(EventName::MessageWaiting);
            assert_eq!(waiting.headers("MWI-Message-Account").last().unwrap(), account);
            assert_eq!(waiting.headers("MWI-Voice-Message").last().unwrap(), voice);
            assert_eq!(waiting.headers("Call-ID").last().unwrap(), "c-1");
        }
    });
}
