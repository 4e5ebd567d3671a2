//! Conferences: who hears whom.

use switch_core::contract::Module;
use testkit::{Setup, World, run};

use crate::extension;

const MODULES: &[&[&dyn Module]] =
    &[mod_dptools::MODULES, mod_commands::MODULES, &[&mod_conference::MODULE]];

fn conference() -> Setup {
    let configuration = r#"<configuration name="conference.conf"><profiles>
      <profile name="default"><param name="rate" value="8000"/><param name="interval" value="20"/><param name="energy-level" value="0"/></profile>
    </profiles></configuration>"#;
    let dialplan = extension("1000", &[("answer", ""), ("conference", "room@default")])
        + &extension("2000", &[("answer", ""), ("conference", "room@default+flags{mute}")])
        + &extension("3000", &[("answer", ""), ("conference", "room@default+flags{deaf}")])
        + &extension("4000", &[("answer", ""), ("conference", "other@default")]);
    Setup::new(MODULES).dialplan(&dialplan).configuration(configuration)
}

/// Phones dial numbers; who hears whom in the end.
fn meeting(phones: &[(&str, &str)], expected: &[(&str, &[&str])]) {
    run(conference(), async |world| {
        join(world, phones).await;
        let heard = world.listen().await;
        for (name, hears) in expected {
            assert_eq!(heard.of(name), *hears, "{name}: {heard:?}");
        }
    });
}

async fn join(world: &World, phones: &[(&str, &str)]) {
    for (name, number) in phones {
        let _call = world.phone(name).dial(number);
        world.seconds(1).await;
    }
    world.seconds(1).await;
}

cases! { meeting:
    one_alone_hears_nobody => (&[("a", "1000")], &[("a", &[])]),
    two_hear_each_other => (&[("a", "1000"), ("b", "1000")], &[("a", &["b"]), ("b", &["a"])]),
    three_hear_the_two_others => (
        &[("a", "1000"), ("b", "1000"), ("c", "1000")],
        &[("a", &["b", "c"]), ("b", &["a", "c"]), ("c", &["a", "b"])],
    ),
    a_muted_member_is_not_heard => (
        &[("a", "1000"), ("b", "2000"), ("c", "1000")],
        &[("a", &["c"]), ("b", &["a", "c"]), ("c", &["a"])],
    ),
    a_deaf_member_hears_nobody => (
        &[("a", "1000"), ("b", "3000"), ("c", "1000")],
        &[("a", &["b", "c"]), ("b", &[]), ("c", &["a", "b"])],
    ),
    two_rooms_are_apart => (
        &[("a", "1000"), ("b", "1000"), ("c", "4000"), ("d", "4000")],
        &[("a", &["b"]), ("b", &["a"]), ("c", &["d"]), ("d", &["c"])],
    ),
}

#[test]
fn a_member_may_be_muted_and_heard_again() {
    run(conference(), async |world| {
        join(world, &[("a", "1000"), ("b", "1000")]).await;
        world.api("conference room mute 2").await;
        world.settle().await;
        assert!(world.listen().await.of("a").is_empty());
        world.api("conference room unmute 2").await;
        world.settle().await;
        assert_eq!(world.listen().await.of("a"), ["b"]);
    });
}

#[test]
fn a_member_that_leaves_is_heard_no_more() {
    run(conference(), async |world| {
        join(world, &[("a", "1000"), ("c", "1000")]).await;
        let b = world.phone("b").dial("1000");
        world.seconds(1).await;
        assert_eq!(world.listen().await.of("a"), ["b", "c"]);
        b.hang_up();
        world.ended(&b).await;
        world.settle().await;
        assert_eq!(world.listen().await.of("a"), ["c"]);
    });
}
