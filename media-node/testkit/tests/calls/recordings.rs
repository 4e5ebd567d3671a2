//! How long recordings last and what ends them.

use std::path::PathBuf;
use std::time::Duration;

use testkit::run;

use crate::{alone, over, runs};

/// A file of its own for a test.
fn file(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("calls-{name}-{}.wav", std::process::id()))
}

/// alice is recorded for at most three seconds, and presses keys.
fn lasts(name: &str, variable: &str, keys: &[(u64, &'static str)], seconds: std::ops::Range<u64>) {
    let path = file(name);
    let record = format!("{} 3", path.display());
    let actions = [("answer", ""), ("set", variable), ("record", record.as_str())];
    run(runs(&actions), async |world| {
        let told = alone(world, keys).await;
        let ms: u64 = told.var("record_ms").parse().unwrap_or(0);
        let within = seconds.start * 1000..seconds.end * 1000;
        assert!(within.contains(&ms), "{ms} ms\n{:?}", told.events);
    });
    let _gone = std::fs::remove_file(path);
}

const ANEW: &str = "record_restart_limit_on_dtmf=true";

cases! { lasts:
    as_long_as_the_limit => ("limit", "x=y", &[(2000, "5")], 2..5),
    longer_when_a_key_lets_the_limit_begin_anew => ("anew", ANEW, &[(2000, "5")], 4..7),
    longer_with_each_key => ("again", ANEW, &[(2000, "5"), (4000, "6")], 6..9),
    until_a_key_that_ends_it => ("ended", ANEW, &[(2000, "5"), (4000, "*")], 3..5),
}

#[test]
fn a_recording_that_is_flipped_without_a_partner_stays_where_it_is() {
    let path = file("flipped");
    let record = path.display().to_string();
    let actions = [
        ("answer", ""),
        ("set", "flip_record_on_hold=true"),
        ("record_session", record.as_str()),
        ("park", ""),
    ];
    run(runs(&actions), async |world| {
        let alice = world.phone("alice").dial("1000");
        world.seconds(1).await;
        alice.act(testkit::Act::Hold);
        world.seconds(1).await;
        let listed = world.api(&format!("uuid_buglist {}", alice.uuid())).await;
        assert!(listed.contains(&record), "{listed}");
        world.wait(Duration::from_secs(1)).await;
        alice.hang_up();
        let told = over(world, alice).await;
        assert!(!told.var("record_ms").is_empty());
    });
    let _gone = std::fs::remove_file(path);
}
