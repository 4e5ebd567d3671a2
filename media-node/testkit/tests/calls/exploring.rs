//! Calls in orders that a seed shuffles: bridges, forks, transfers, interceptions, attended transfers, hangups in the
//! middle of each other. Whatever happens, certain things are so.
//!
//! `FERRO_EXPLORE=<first seed>-<last seed>` explores more than a test does; a failure names its seed and what was done.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use esl_server::event::EventName;
use switch_core::call::{Cause, Channel, State};
use testkit::{Act, Dice, World, run};

use crate::{extension, with};

/// The events the invariants look at.
const LOOKED_AT: &[EventName] = &[
    EventName::ChannelCreate,
    EventName::ChannelAnswer,
    EventName::ChannelBridge,
    EventName::ChannelHangup,
    EventName::ChannelHangupComplete,
];

const PHONES: [&str; 5] = ["a", "b", "c", "d", "e"];

fn dialplan() -> String {
    extension("bridge-(.)", &[("bridge", "phone/$1"), ("park", "")])
        + &extension(
            "fork-(.)-(.)",
            &[("bridge", "phone/$1,phone/$2"), ("answer", ""), ("park", "")],
        )
        + &extension(
            "two-(.)-(.)",
            &[("bridge", "phone/$1|phone/$2"), ("answer", ""), ("park", "")],
        )
        + &extension("keep-(.)", &[("set", "park_after_bridge=true"), ("bridge", "phone/$1")])
        + &extension("along-(.)", &[("set", "hangup_after_bridge=true"), ("bridge", "phone/$1")])
        + &extension("take-(.*)", &[("intercept", "$1"), ("park", "")])
        + &extension("other-(.*)", &[("intercept", "-bleg $1"), ("park", "")])
        + &extension("desk", &[("bridge", "pickup/desk"), ("park", "")])
        + &extension("pick", &[("pickup", "desk"), ("park", "")])
        + &extension("loop-(.)", &[("bridge", "loopback/bridge-$1")])
        + &extension("park", &[("answer", ""), ("park", "")])
        + &extension("end", &[("hangup", "CALL_REJECTED")])
}

/// One thing that happens; what it was, for the report.
async fn something(world: &World, dice: &mut Dice) -> String {
    let channels = world.channels();
    let leg = dice.pick(&channels).cloned();
    let phone = *dice.pick(&PHONES).unwrap_or(&"a");
    let other = *dice.pick(&PHONES).unwrap_or(&"b");
    let uuid = leg.as_ref().map(|leg| leg.uuid().to_string()).unwrap_or_default();
    let second = dice.pick(&channels).map(|leg| leg.uuid().to_string()).unwrap_or_default();
    let number = match dice.roll(12) {
        0 | 1 => format!("bridge-{other}"),
        2 => format!("fork-{other}-{phone}"),
        3 => format!("two-{other}-{phone}"),
        4 => format!("keep-{other}"),
        5 => format!("along-{other}"),
        6 => format!("take-{uuid}"),
        7 => format!("other-{uuid}"),
        8 => "desk".to_owned(),
        9 => "pick".to_owned(),
        10 => format!("loop-{other}"),
        _ => "park".to_owned(),
    };
    let api = match dice.roll(22) {
        0..=5 => {
            let _call = world.phone(phone).dial(&number);
            return format!("{phone} dials {number}");
        }
        6 | 7 => {
            if let Some(leg) = &leg {
                leg.hangup(Cause::NORMAL_CLEARING);
            }
            return format!("{uuid} hangs up");
        }
        8 => format!("uuid_transfer {uuid} {number}"),
        9 => format!("uuid_transfer {uuid} -bleg {number}"),
        10 => format!("uuid_transfer {uuid} -both {number}"),
        11 => format!("uuid_dual_transfer {uuid} {number} park"),
        12 | 13 => format!("uuid_bridge {uuid} {second}"),
        14 => format!("uuid_park {uuid}"),
        15 | 16 => format!("uuid_broadcast {uuid} att_xfer::phone/{phone}"),
        17 => format!("uuid_broadcast {uuid} three_way::{second}"),
        18 => format!("uuid_recv_dtmf {uuid} {}", dice.pick(&["*", "#", "0", "5"]).unwrap_or(&"1")),
        19 => format!("uuid_break {uuid} all"),
        20 => format!("uuid_kill {uuid} USER_BUSY"),
        _ => {
            let script: &[Act] = match dice.roll(5) {
                0 => &[Act::Ring],
                1 => &[Act::HangUp(Cause::USER_BUSY)],
                2 => &[Act::Early, Act::Wait(Duration::from_millis(40)), Act::Answer],
                3 => &[Act::Answer, Act::Wait(Duration::from_millis(500)), Act::Hold],
                _ => &[Act::Ring, Act::Answer],
            };
            world.phone(phone).does(script);
            return format!("{phone} does {script:?}");
        }
    };
    let reply = world.api(&api).await;
    format!("{api}: {}", reply.trim())
}

/// Is it where a call may stay?
fn complaint(leg: &Arc<Channel>) -> Option<String> {
    let (state, running, bridge) = leg.with(|data| (data.state, data.running, data.bridge.clone()));
    let name = format!("{} {} in {}", leg.name(), leg.uuid(), running.name());
    if !leg.is_up() {
        return Some(format!("{name}: hung up and still there"));
    }
    if state != running {
        return Some(format!("{name}: asked for {} and not there", state.name()));
    }
    match bridge {
        Some(bridge) => match leg.switch().channel(bridge.partner_of(leg.uuid())) {
            None => Some(format!("{name}: in {bridge:?}, the other leg of which is gone")),
            Some(partner) => {
                // One that waits while its partner consults another shows the partner it had.
                let waits = leg.flags.awaited.load(Ordering::Relaxed);
                (!waits && !partner.is_in(&bridge)).then(|| {
                    format!("{name}: in {bridge:?}, the other leg in {:?}", partner.bridge())
                })
            }
        },
        None if matches!(running, State::ExchangeMedia | State::SoftExecute | State::Reset) => {
            Some(format!("{name}: without a partner"))
        }
        None => None,
    }
}

/// Explores what a seed leads to: things happen, at once or a while apart; then it is quiet, and all must be well.
///
/// # Errors
/// What was not well, and what had been done.
async fn explore(world: &World, seed: u64) -> Result<(), String> {
    let mut dice = Dice::new(seed);
    for phone in PHONES {
        let phone = world.phone(phone);
        match dice.roll(5) {
            0 => phone.only_rings(),
            1 => phone.refuses(Cause::USER_BUSY),
            _ => phone.answers(),
        };
    }
    let mut done = Vec::new();
    for _ in 0..8 + dice.roll(8) {
        done.push(something(world, &mut dice).await);
        match dice.roll(6) {
            0 | 1 => {}
            2 => tokio::task::yield_now().await,
            3 => world.wait(Duration::from_millis(1)).await,
            4 => world.wait(Duration::from_millis(250)).await,
            _ => world.seconds(3).await,
        }
    }
    // Longer than any wait for another leg.
    world.seconds(90).await;
    let mut wrong: Vec<_> = world.channels().iter().filter_map(complaint).collect();
    for channel in world.channels() {
        channel.hangup(Cause::NORMAL_CLEARING);
    }
    for _ in 0..20 {
        if world.channels().is_empty() {
            break;
        }
        world.seconds(1).await;
    }
    wrong.extend(world.channels().iter().map(|leg| format!("{} is left", leg.name())));
    wrong.extend(world.events().check().err());
    world.forget_events();
    if wrong.is_empty() {
        return Ok(());
    }
    Err(format!("seed {seed}:\n{}\nafter\n{}\n", wrong.join("\n"), done.join("\n")))
}

fn seeds(from: u64, to: u64) {
    run(with(&dialplan()).silent().listening_to(LOOKED_AT), async |world| {
        let mut wrong = Vec::new();
        for seed in from..to {
            wrong.extend(explore(world, seed).await.err());
        }
        assert!(wrong.is_empty(), "{} of {}\n{}", wrong.len(), to - from, wrong.join("\n"));
    });
}

#[test]
fn calls_in_any_order_leave_nothing_behind() {
    let wanted = std::env::var("FERRO_EXPLORE").ok();
    let range = wanted.as_deref().and_then(|text| text.split_once('-'));
    match range.and_then(|(from, to)| Some((from.parse().ok()?, to.parse().ok()?))) {
        Some((from, to)) => seeds(from, to),
        None => seeds(0, 60),
    }
}
