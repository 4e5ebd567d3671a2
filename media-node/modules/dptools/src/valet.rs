//! `valet_park` and `valet_info`: parking in numbered slots, and picking up from them.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::play::{Ended, Keys, Play};
use super::{App, Flags, valet_presence};
use crate::api::{Api, ApiCall};
use crate::call::{AppResult, Channel, Interrupt, Session, transfer, uuid_bridge};
use crate::{api, app, text};

/// The family.
pub const APPS: &[App] = &[app!(
    "valet_park",
    "mod_valet_parking",
    Flags::NO_MEDIA,
    "<lotname> <extension>|[ask [<min>] [<max>] [<to>] [<prompt>]|auto [in|out] [min] [max]]",
    "valet_park",
    valet_park
)
.marked()];

/// The family's command.
pub const APIS: &[Api] =
    &[api!("valet_info", "mod_valet_parking", "[<lot name>]", "Valet Parking Info", valet_info)];

/// The parking lots: lot, slot, who stands there. A lot once used stays known.
#[derive(Debug, Default)]
pub struct Lots(pub(super) Mutex<BTreeMap<String, BTreeMap<String, Arc<str>>>>);

impl Lots {
    /// Takes a slot. `Err` names who has it.
    fn enter(&self, lot: &str, slot: &str, uuid: &Arc<str>) -> Result<(), Arc<str>> {
        let mut lots = self.0.lock();
        let slots = lots.entry(lot.to_owned()).or_default();
        match slots.get(slot) {
            Some(taken) => Err(Arc::clone(taken)),
            None => {
                slots.insert(slot.to_owned(), Arc::clone(uuid));
                Ok(())
            }
        }
    }

    /// Takes the first free slot between `min` and `max`.
    fn enter_any(&self, lot: &str, min: i64, max: i64, uuid: &Arc<str>) -> Option<String> {
        let mut lots = self.0.lock();
        let slots = lots.entry(lot.to_owned()).or_default();
        let slot = (min..=max).map(|n| n.to_string()).find(|slot| !slots.contains_key(slot))?;
        slots.insert(slot.clone(), Arc::clone(uuid));
        Some(slot)
    }

    /// Who stands longest in the lowest slot between `min` and `max`.
    fn first(&self, lot: &str, min: i64, max: i64) -> Option<String> {
        let lots = self.0.lock();
        let slots = lots.get(lot)?;
        slots
            .keys()
            .filter(|slot| (min..=max).contains(&text::int(slot)))
            .min_by_key(|slot| text::int(slot))
            .cloned()
    }

    /// Leaves a slot; false if it is not `uuid`'s any more.
    fn leave(&self, lot: &str, slot: &str, uuid: &str) -> bool {
        let mut lots = self.0.lock();
        let slots = lots.get_mut(lot);
        let own = slots.filter(|slots| slots.get(slot).is_some_and(|owner| **owner == *uuid));
        own.is_some_and(|slots| slots.remove(slot).is_some())
    }

    fn describe(&self, wanted: &str) -> String {
        let lots = self.0.lock();
        let mut text = String::from("<lots>\n");
        for (lot, slots) in lots.iter().filter(|(lot, _)| wanted.is_empty() || *lot == wanted) {
            let _fits = writeln!(text, "  <lot name=\"{lot}\">");
            for (slot, uuid) in slots {
                let _fits = writeln!(text, "    <extension uuid=\"{uuid}\">{slot}</extension>");
            }
            text.push_str("  </lot>\n");
        }
        text + "</lots>\n"
    }
}

fn valet_info(call: &ApiCall) -> String {
    call.switch.module::<Lots>().describe(call.args.trim())
}

fn fire(channel: &Channel, lot: &str, slot: &str, action: &str, bridged: Option<&str>) {
    channel.fire_custom(
        "valet_parking::info",
        |event| {
            event.push("Valet-Lot-Name", lot.to_owned());
            event.push("Valet-Extension", slot.to_owned());
            event.push("Action", action.to_owned());
            if let Some(uuid) = bridged {
                event.push("Bridge-To-UUID", uuid.to_owned());
            }
        },
        |_| {},
    );
}

const SLOT_MIN: i64 = 1;
const SLOT_MAX: i64 = 999_999;
const ASK_TIMEOUT: i64 = 10_000;
const ASK_PROMPT: &str = "ivr/ivr-enter_ext_pound.wav";

async fn valet_park(session: &mut Session, argument: &str) -> AppResult {
    let words = text::words(argument, 6);
    let channel = Arc::clone(session.channel());
    let (Some(lot), Some(what)) = (words.first(), words.get(1)) else {
        tracing::error!(uuid = %channel.uuid(), "USAGE: <lotname> <extension>|[ask [<min>] [<max>] [<to>] [<prompt>]|auto [in|out] [min] [max]]");
        return Ok(());
    };
    let number = |at: usize, default: i64| {
        words.get(at).map(|word| text::int(word)).filter(|&n| n > 0).unwrap_or(default)
    };
    session.answer().await?;
    let switch = Arc::clone(session.switch());
    valet_presence::answer_probes(&switch);
    let slot = if what.eq_ignore_ascii_case("auto") {
        let (min, max) = (number(3, SLOT_MIN), number(4, SLOT_MAX));
        let out = words.get(2).is_some_and(|word| word.eq_ignore_ascii_case("out"));
        if out {
            match switch.module::<Lots>().first(lot, min, max) {
                Some(slot) => slot,
                None => return Ok(()),
            }
        } else {
            match switch.module::<Lots>().enter_any(lot, min, max, channel.uuid()) {
                Some(slot) => {
                    announce(session, &slot).await?;
                    return stand(session, lot, &slot).await;
                }
                None => return Ok(()),
            }
        }
    } else if what.eq_ignore_ascii_case("ask") {
        match ask(session, &words).await? {
            Some(slot) => slot,
            None => return Ok(()),
        }
    } else {
        what.clone()
    };
    loop {
        match switch.module::<Lots>().enter(lot, &slot, channel.uuid()) {
            Ok(()) => return stand(session, lot, &slot).await,
            Err(uuid) => match switch.channel(&uuid).filter(|parked| parked.is_up()) {
                Some(parked) => {
                    fire(&parked, lot, &slot, "bridge", Some(channel.uuid()));
                    switch.module::<Lots>().leave(lot, &slot, &uuid);
                    valet_presence::tell(&switch, lot, &slot);
                    uuid_bridge::join(&parked, &channel);
                    return session.check();
                }
                None => {
                    switch.module::<Lots>().leave(lot, &slot, &uuid);
                }
            },
        }
    }
}

/// Which slot? `ask [min] [max] [timeout] [prompt]`, or `valet_ext_*`.
async fn ask(session: &mut Session, words: &[String]) -> Result<Option<String>, Interrupt> {
    let channel = Arc::clone(session.channel());
    let setting = |at: usize, name: &str, default: i64| {
        words
            .get(at)
            .cloned()
            .or_else(|| channel.var(name))
            .map(|text| text::int(&text))
            .filter(|&n| n > 0)
            .unwrap_or(default)
    };
    let (min, max) = (setting(2, "valet_ext_min", 1), setting(3, "valet_ext_max", 11));
    let timeout = setting(4, "valet_ext_to", ASK_TIMEOUT);
    let prompt = words
        .get(5)
        .cloned()
        .or_else(|| channel.var("valet_ext_prompt"))
        .unwrap_or_else(|| ASK_PROMPT.to_owned());
    for _ in 0..3 {
        let digits = app::digits::collect(session, &prompt, (min, max), (timeout, timeout)).await?;
        if !digits.is_empty() {
            return Ok(Some(digits));
        }
    }
    Ok(None)
}

/// Tells the number of an automatically chosen slot.
async fn announce(session: &mut Session, slot: &str) -> AppResult {
    let channel = Arc::clone(session.channel());
    if channel.var("valet_announce_slot").is_some_and(|value| !text::is_true(&value)) {
        return Ok(());
    }
    super::phrase::speak(session, "valet_announce_ext", slot).await.map(drop)
}

/// Stands in a slot until picked up, timed out or gone.
async fn stand(session: &mut Session, lot: &str, slot: &str) -> AppResult {
    let channel = Arc::clone(session.channel());
    let switch = Arc::clone(session.switch());
    let music = channel
        .var("valet_hold_music")
        .or_else(|| channel.var("hold_music"))
        .filter(|music| !music.is_empty() && !music.eq_ignore_ascii_case("silence"))
        .unwrap_or_else(|| "silence_stream://-1".to_owned());
    channel.set_var(
        "inline_destination",
        format!(
            "set:valet_ticket={},set:valet_hold_music=\'{music}\',sleep:1000,valet_park:{lot} {slot}",
            channel.uuid()
        ),
    );
    fire(&channel, lot, slot, "hold", None);
    valet_presence::tell(&switch, lot, slot);
    channel.set_var("valet_lot_extension", slot.to_owned());
    let limit = channel
        .var("valet_parking_timeout")
        .and_then(|text| u64::try_from(text::int(&text)).ok())
        .filter(|&seconds| seconds > 0)
        .map(Duration::from_secs);
    let exits = channel.var("valet_parking_orbit_exit_key").unwrap_or_default();
    let ended = wait(session, &music, limit, &exits).await;
    if switch.module::<Lots>().leave(lot, slot, channel.uuid()) {
        valet_presence::tell(&switch, lot, slot);
    }
    fire(&channel, lot, slot, "exit", None);
    let orbit = ended?;
    if orbit && let Some(exten) = channel.var("valet_parking_orbit_exten") {
        let dialplan = channel.var("valet_parking_orbit_dialplan");
        let context = channel.var("valet_parking_orbit_context");
        transfer::transfer(&channel, &exten, dialplan.as_deref(), context.as_deref());
    }
    session.check()
}

/// Plays the music until a key or the time ends it; true if the orbit is next.
async fn wait(
    session: &mut Session,
    music: &str,
    limit: Option<Duration>,
    exits: &str,
) -> Result<bool, Interrupt> {
    let until = limit.map(|limit| Instant::now() + limit);
    loop {
        let left = until.map(|until| until.saturating_duration_since(Instant::now()));
        let play = Play { times: None, limit: left, ..Play::once(music, Keys::Stop(exits)) };
        match session.play(play).await? {
            Ended::Key(_) => return Ok(true),
            _ if until.is_some_and(|until| Instant::now() >= until) => return Ok(true),
            Ended::NotFound | Ended::Failed => {
                // Without music it is a silent place to stand.
                match session.wait(until).await? {
                    crate::call::Wake::Timeout => return Ok(true),
                    crate::call::Wake::Digit => {
                        while let Some(digit) = session.take_digit() {
                            if exits.contains(digit.digit) {
                                return Ok(true);
                            }
                        }
                    }
                    _ => {}
                }
            }
            Ended::Broken | Ended::TimedOut => return Ok(false),
            Ended::Done => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_holds_one_call_and_a_used_lot_stays_known() {
        let (lots, a, b) = (Lots::default(), Arc::from("a"), Arc::from("b"));
        assert_eq!(lots.enter("garage", "71", &a), Ok(()));
        assert_eq!(lots.enter("garage", "71", &b), Err(Arc::clone(&a)));
        assert_eq!(
            lots.describe("garage"),
            "<lots>\n  <lot name=\"garage\">\n    <extension uuid=\"a\">71</extension>\n  </lot>\n</lots>\n"
        );
        assert!(!lots.leave("garage", "71", "b"));
        assert!(lots.enter("garage", "71", &b).is_err());
        assert!(lots.leave("garage", "71", "a"));
        assert_eq!(lots.describe(""), "<lots>\n  <lot name=\"garage\">\n  </lot>\n</lots>\n");
        assert_eq!(lots.describe("other"), "<lots>\n</lots>\n");
    }

    #[test]
    fn the_first_free_slot_is_taken_and_the_first_taken_one_found() {
        let (lots, a) = (Lots::default(), Arc::from("a"));
        assert_eq!(lots.enter_any("lot", 8001, 8002, &a).as_deref(), Some("8001"));
        assert_eq!(lots.enter_any("lot", 8001, 8002, &a).as_deref(), Some("8002"));
        assert_eq!(lots.enter_any("lot", 8001, 8002, &a), None);
        assert_eq!(lots.first("lot", 8002, 9000).as_deref(), Some("8002"));
    }
}
