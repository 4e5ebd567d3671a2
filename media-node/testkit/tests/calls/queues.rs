//! Call centre queues: who is called, who talks, and races of legs that end.

use std::time::Duration;

use switch_core::call::Cause;
use switch_core::contract::Module;
use testkit::{Act, Setup, World, run};

use crate::extension;

const MODULES: &[&[&dyn Module]] = &[
    mod_dptools::MODULES,
    mod_commands::MODULES,
    &[&mod_loopback::MODULE],
    &[&mod_callcenter::MODULE],
];

/// Queues `help` (longest-idle-agent), `all` (ring-all) and `short` (three seconds), each with the agents ann and ben, whose
/// phones have their names. 1000, 1001 and 1002 lead there; a caller that comes out unserved is hung up with USER_BUSY.
fn office(params: &str) -> Setup {
    let queue = |name: &str, strategy: &str, more: &str| {
        format!(
            r#"<queue name="{name}"><param name="strategy" value="{strategy}"/>
            <param name="moh-sound" value="tone_stream://%(100000,0,440)"/>{more}{params}</queue>"#
        )
    };
    let short = r#"<param name="max-wait-time" value="3"/>"#;
    let queues = queue("help", "longest-idle-agent", "")
        + &queue("all", "ring-all", "")
        + &queue("short", "longest-idle-agent", short);
    let agent = |name: &str| {
        format!(
            r#"<agent name="{name}" type="callback" contact="phone/{name}" status="Available" max-no-answer="3"
            busy-delay-time="5" reject-delay-time="5" no-answer-delay-time="5"/>"#
        )
    };
    let tiers: String = ["help", "all", "short"]
        .iter()
        .flat_map(|queue| {
            [("ann", 1), ("ben", 2)].map(|(agent, place)| {
                format!(r#"<tier agent="{agent}" queue="{queue}" level="1" position="{place}"/>"#)
            })
        })
        .collect();
    let configuration = format!(
        r#"<configuration name="callcenter.conf"><settings><param name="dbname" value=":memory:"/>
        <param name="agent-originate-timeout" value="20"/></settings>
        <queues>{queues}</queues><agents>{}{}</agents><tiers>{tiers}</tiers></configuration>"#,
        agent("ann"),
        agent("ben")
    );
    let into = |number: &str, queue: &str| {
        extension(number, &[("answer", ""), ("callcenter", queue), ("hangup", "USER_BUSY")])
    };
    let dialplan = into("1000", "help") + &into("1001", "all") + &into("1002", "short");
    Setup::new(MODULES).dialplan(&dialplan).configuration(&configuration)
}

fn told(world: &World) -> Vec<String> {
    world.events().custom("callcenter::info").headers("CC-Action")
}

fn count(world: &World, action: &str) -> usize {
    told(world).iter().filter(|told| *told == action).count()
}

async fn only(world: &World, agent: &str) {
    let other = if agent == "ann" { "ben" } else { "ann" };
    world.api(&format!("callcenter_config agent set status {other} 'Logged Out'")).await;
}

async fn state(world: &World, agent: &str) -> String {
    world.api(&format!("callcenter_config agent get state {agent}")).await
}

#[test]
fn a_caller_hears_music_then_the_agent_and_both_end_together() {
    run(office(""), async |world| {
        only(world, "ann").await;
        let ann = world.phone("ann").answers_after(2);
        let alice = world.phone("alice").dial("1000");
        world.seconds(1).await;
        let call = ann.rung().await;
        world.until("they talk", || alice.is_bridged()).await;
        world.settle().await;
        let heard = world.listen().await;
        assert_eq!((heard.of("alice"), heard.of("ann")), (vec!["ann"], vec!["alice"]));
        assert_eq!(state(world, "ann").await, "In a queue call");
        assert_eq!(world.api("callcenter_config queue count members help").await, "1\n");
        alice.hang_up();
        world.ended(&call).await;
        world.seconds(1).await;
        assert_eq!(state(world, "ann").await, "Waiting");
        assert_eq!(world.api("callcenter_config queue list members help").await, "+OK\n");
        assert_eq!(alice.var("cc_cause"), "answered");
        assert_eq!(alice.var("cc_agent"), "ann");
        assert_eq!(call.var("cc_member_uuid"), alice.var("cc_member_uuid"));
        assert!(alice.told().iter().all(|told| told != "hangup USER_BUSY"));
    });
}

#[test]
fn an_agent_who_hangs_up_as_the_caller_leaves_is_free_again_and_nothing_is_left() {
    for late in [0, 20, 40, 60, 100, 140] {
        run(office(""), async |world| {
            only(world, "ann").await;
            let ann = world.phone("ann");
            let alice = world.phone("alice").dial("1000");
            let call = ann.rung().await;
            call.answer();
            world.wait(Duration::from_millis(late)).await;
            alice.hang_up();
            call.hang_up();
            world.ended(&alice).await;
            world.ended(&call).await;
            world.seconds(4).await;
            assert_eq!(state(world, "ann").await, "Waiting", "{late} ms");
            let ends = count(world, "member-queue-end");
            assert_eq!(ends, 1, "{late} ms: {:?}", told(world));
        });
    }
}

#[test]
fn a_caller_whose_agent_hangs_up_on_the_way_to_the_bridge_is_served_by_the_next() {
    for late in 0..12 {
        run(office(""), async |world| {
            only(world, "ann").await;
            let ann = world.phone("ann");
            let alice = world.phone("alice").dial("1000");
            let call = ann.rung().await;
            call.answer();
            world.wait(Duration::from_millis(late)).await;
            call.hang_up();
            world.ended(&call).await;
            if call.var("cc_agent_bridged") == "true" {
                // It was a call after all, and is over.
                return;
            }
            ann.answers();
            world.seconds(15).await;
            assert!(alice.is_bridged(), "{late} ms: {:?} {:?}", told(world), alice.told());
        });
    }
}

#[test]
fn one_agent_of_two_queues_gets_one_caller_at_a_time() {
    run(office(""), async |world| {
        only(world, "ann").await;
        let ann = world.phone("ann").answers();
        let alice = world.phone("alice").dial("1000");
        let bob = world.phone("bob").dial("1002");
        world.seconds(2).await;
        let first = ann.rung().await;
        assert_eq!(ann.waiting(), 0);
        assert!(alice.is_bridged() != bob.is_bridged());
        // The other's three seconds pass, or it waits on.
        world.seconds(3).await;
        assert_eq!(ann.waiting(), 0);
        first.hang_up();
        world.ended(&first).await;
        world.seconds(3).await;
        assert!(ann.waiting() <= 1);
    });
}

#[test]
fn of_all_who_ring_the_first_to_answer_has_the_caller() {
    run(office(""), async |world| {
        let (ann, ben) = (world.phone("ann").only_rings(), world.phone("ben").answers_after(2));
        let alice = world.phone("alice").dial("1001");
        let (loser, winner) = (ann.rung().await, ben.rung().await);
        world.until("they talk", || alice.is_bridged()).await;
        world.ended(&loser).await;
        assert_eq!(loser.cause(), Some(Cause::LOSE_RACE));
        world.settle().await;
        let heard = world.listen().await;
        assert_eq!((heard.of("alice"), heard.of("ben")), (vec!["ben"], vec!["alice"]));
        assert_eq!(
            (state(world, "ann").await, state(world, "ben").await),
            ("Waiting".into(), "In a queue call".into())
        );
        winner.hang_up();
        world.ended(&alice).await;
    });
}

#[test]
fn two_who_answer_at_once_leave_one_talking_and_one_free() {
    run(office(""), async |world| {
        let (ann, ben) = (world.phone("ann"), world.phone("ben"));
        let alice = world.phone("alice").dial("1001");
        let (one, two) = (ann.rung().await, ben.rung().await);
        one.answer();
        two.answer();
        world.until("they talk", || alice.is_bridged()).await;
        world.seconds(1).await;
        let talking = [&one, &two].into_iter().filter(|call| call.is_bridged()).count();
        assert_eq!(talking, 1);
        assert_eq!([one.cause(), two.cause()].into_iter().flatten().next(), Some(Cause::LOSE_RACE));
    });
}

#[test]
fn a_caller_who_leaves_stops_the_phones_that_ring() {
    run(office(""), async |world| {
        let (ann, ben) = (world.phone("ann").only_rings(), world.phone("ben").only_rings());
        let alice = world.phone("alice").dial("1001");
        let (one, two) = (ann.rung().await, ben.rung().await);
        alice.hang_up();
        for call in [&one, &two] {
            world.ended(call).await;
            assert_eq!(call.cause(), Some(Cause::ORIGINATOR_CANCEL));
        }
        world.seconds(1).await;
        assert_eq!(alice.var("cc_cancel_reason"), "BREAK_OUT");
        assert_eq!(
            (state(world, "ann").await, state(world, "ben").await),
            ("Waiting".into(), "Waiting".into())
        );
        // No agent is charged with a miss.
        assert!(world.api("callcenter_config agent list ann").await.contains("|0|0|0|0|0\n"));
    });
}

#[test]
fn after_max_wait_time_the_dialplan_goes_on() {
    run(office(""), async |world| {
        for agent in ["ann", "ben"] {
            world.api(&format!("callcenter_config agent set status {agent} 'On Break'")).await;
        }
        let alice = world.phone("alice").dial("1002");
        world.ended(&alice).await;
        assert_eq!(alice.cause(), Some(Cause::USER_BUSY));
        assert_eq!(
            (alice.var("cc_cause"), alice.var("cc_cancel_reason")),
            ("cancel".into(), "TIMEOUT".into())
        );
    });
}

#[test]
fn a_key_leads_out_of_the_queue() {
    run(office(""), async |world| {
        for agent in ["ann", "ben"] {
            world.api(&format!("callcenter_config agent set status {agent} 'On Break'")).await;
        }
        let alice = world.phone("alice").dialling("1000").var("cc_exit_keys", "5#").go();
        world.seconds(1).await;
        alice.press("3");
        world.seconds(1).await;
        assert!(alice.channel.is_up(), "{:?}", world.events_of(&alice));
        alice.press("5");
        world.ended(&alice).await;
        assert_eq!(
            (alice.var("cc_exit_key"), alice.var("cc_cancel_reason")),
            ("5".into(), "EXIT_WITH_KEY".into())
        );
    });
}

#[test]
fn refusals_misses_and_garbage_lead_to_the_next_agent() {
    let first: &[(&str, Option<Act>)] = &[
        ("phone/ann", Some(Act::HangUp(Cause::USER_BUSY))),
        ("phone/ann", Some(Act::HangUp(Cause::CALL_REJECTED))),
        ("phone/ann", Some(Act::Ring)),
        ("", None),
        ("][{{}},,,'\"|:_:/", None),
        ("nowhere/at all", None),
        ("${${nothing}}", None),
    ];
    for (contact, act) in first {
        run(office(""), async |world| {
            if let Some(act) = act {
                world.phone("ann").does(std::slice::from_ref(act));
            }
            world
                .switch
                .run_api("callcenter_config", &format!("agent set contact ann {contact}"), None)
                .await;
            let ben = world.phone("ben").answers();
            world.api("callcenter_config agent set status ben 'On Break'").await;
            let alice = world.phone("alice").dial("1000");
            world.seconds(25).await;
            assert!(!alice.is_bridged());
            assert!(count(world, "bridge-agent-fail") >= 1 || contact.is_empty(), "{contact}");
            world.api("callcenter_config agent set status ben Available").await;
            ben.rung().await;
            world.until("ben talks", || alice.is_bridged()).await;
        });
    }
}

#[test]
fn unloading_while_phones_ring_lets_the_caller_go_on_and_stops_them() {
    run(office(""), async |world| {
        let (ann, ben) = (world.phone("ann").only_rings(), world.phone("ben").only_rings());
        let alice = world.phone("alice").dial("1001");
        let (one, two) = (ann.rung().await, ben.rung().await);
        assert_eq!(world.api("unload mod_callcenter").await, "+OK\n");
        world.ended(&one).await;
        world.ended(&two).await;
        world.ended(&alice).await;
        assert_eq!(alice.cause(), Some(Cause::USER_BUSY));
        assert!(world.switch.api("callcenter_config").is_none());
        assert!(switch_core::modules::load(&world.switch, "mod_callcenter").await);
        assert_eq!(state(world, "ann").await, "Waiting");
    });
}

#[test]
fn a_queue_that_is_unloaded_while_somebody_waits_is_read_again() {
    run(office(""), async |world| {
        only(world, "ann").await;
        world.api("callcenter_config agent set status ann 'On Break'").await;
        let alice = world.phone("alice").dial("1000");
        world.seconds(1).await;
        assert_eq!(world.api("callcenter_config queue unload help").await, "+OK\n");
        world.seconds(1).await;
        assert!(world.api("callcenter_config queue list").await.contains("help|"));
        world.phone("ann").answers();
        world.api("callcenter_config agent set status ann Available").await;
        world.until("they talk", || alice.is_bridged()).await;
    });
}

#[test]
fn an_agent_on_a_line_of_its_own_hears_the_caller() {
    run(office(""), async |world| {
        for agent in ["ann", "ben"] {
            world.api(&format!("callcenter_config agent del {agent}")).await;
        }
        let line = world.phone("stan").dial("9");
        line.channel.hangup(Cause::NORMAL_CLEARING);
        world.ended(&line).await;
        world.phone("stan").answers();
        let stan = {
            let reply = world.api("originate phone/stan &park()").await;
            assert!(reply.starts_with("+OK"), "{reply}");
            world.phone("stan").rung().await
        };
        world.api("callcenter_config agent add stan uuid-standby").await;
        world.api(&format!("callcenter_config agent set uuid stan {}", stan.uuid())).await;
        world.api("callcenter_config agent set status stan Available").await;
        world.api("callcenter_config tier add help stan 1 1").await;
        let alice = world.phone("alice").dial("1000");
        world.until("they talk", || alice.is_bridged()).await;
        world.settle().await;
        let heard = world.listen().await;
        assert_eq!((heard.of("alice"), heard.of("stan")), (vec!["stan"], vec!["alice"]));
        alice.hang_up();
        world.ended(&alice).await;
        world.seconds(1).await;
        assert_eq!(count(world, "member-queue-end"), 1);
    });
}

#[test]
fn a_tracked_call_keeps_its_agent_from_callers_until_it_ends() {
    run(office(""), async |world| {
        only(world, "ann").await;
        let ann = world.phone("ann").answers();
        let own = world.phone("ann").dial("1003");
        world.ended(&own).await;
        let other = world.phone("carol");
        other.answers();
        world.api("originate {cc_x=1}phone/carol 'callcenter_track:ann,park' inline").await;
        let outside = other.rung().await;
        world.seconds(1).await;
        let alice = world.phone("alice").dial("1000");
        world.seconds(5).await;
        assert_eq!(ann.waiting(), 0);
        outside.hang_up();
        world.until("they talk", || alice.is_bridged()).await;
    });
}

#[test]
fn names_with_quotes_and_sql_are_names() {
    run(office(""), async |world| {
        let name = r#"x");DROP--"#;
        assert_eq!(
            world.api(&format!("callcenter_config agent add {name} callback")).await,
            "+OK\n"
        );
        assert_eq!(world.api(&format!("callcenter_config tier add help {name}")).await, "+OK\n");
        let listed = world.api("callcenter_config queue list tiers help").await;
        assert!(listed.contains(&format!("{name}|Ready|1|1")), "{listed}");
        assert_eq!(world.api(&format!("callcenter_config agent del {name}")).await, "+OK\n");
        assert!(!world.api("callcenter_config queue list tiers help").await.contains("DROP"));
    });
}
