//! Records of dialled legs as variables of the leg that dialled them: `copy_xml_cdr` and `copy_json_cdr` for legs that were
//! bridged, `failed_xml_cdr_prefix` and `failed_json_cdr_prefix` for those that were not answered.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use records::{json, xml};
use switch_core::call::{Cause, Channel};
use switch_core::text;
use tokio::time::{Instant, sleep};

use crate::record;

/// How long a leg waits at its end for the records of those it dialled.
const PATIENCE: Duration = Duration::from_secs(2);
/// Records of legs a leg gets at most: each is some kilobytes.
const MOST: i64 = 100;

/// Legs whose records a leg is going to get.
#[derive(Default)]
struct Expected(Vec<String>);

/// Held while a number is given to a record.
static COUNTING: Mutex<()> = Mutex::new(());

fn caller(channel: &Channel) -> Option<Arc<Channel>> {
    let uuid = channel.with(|data| Some(data.originator_profile.as_ref()?.uuid.clone()))?;
    channel.switch().channel(&uuid)
}

fn is_copied(channel: &Channel) -> bool {
    channel.is_true("copy_xml_cdr") || channel.is_true("copy_json_cdr")
}

/// A leg is bridged: its caller is going to want its record.
pub(crate) fn expect(channel: &Channel) {
    if let Some(caller) = caller(channel).filter(|_| is_copied(channel)) {
        let uuid = channel.uuid().to_string();
        caller.with(|data| {
            let expected = &mut data.slot::<Expected>().0;
            if !expected.contains(&uuid) {
                expected.push(uuid);
            }
        });
    }
}

/// A leg has ended: its record goes to its caller, if that wants it.
pub(crate) fn hand_over(channel: &Channel) {
    let Some(caller) = caller(channel) else { return };
    if channel.is_answered() {
        hand_copy(channel, &caller);
    } else if channel.cause() != Some(Cause::LOSE_RACE) {
        let xml = || xml::element(&record::of(channel));
        let json = || json::document(&record::of(channel), true);
        hand_failed(&caller, "failed_xml_cdr_prefix", xml);
        hand_failed(&caller, "failed_json_cdr_prefix", json);
    }
}

fn hand_copy(channel: &Channel, caller: &Channel) {
    let document = match (channel.is_true("copy_json_cdr"), channel.is_true("copy_xml_cdr")) {
        // Of both, the later one stays, as in the reference.
        (true, _) => json::document(&record::of(channel), true),
        (false, true) => xml::element(&record::of(channel)),
        (false, false) => return,
    };
    caller.set_var("b_leg_cdr", document.as_str());
    caller.set_var(format!("b_leg_cdr_{}", channel.uuid()), document);
}

fn hand_failed(caller: &Channel, variable: &str, document: impl Fn() -> String) {
    let Some(prefix) = caller.var(variable).filter(|prefix| !prefix.is_empty()) else { return };
    let _counting = COUNTING.lock();
    let total = format!("{prefix}_total");
    let number = caller.var(&total).map_or(0, |value| text::int(&value)).max(0) + 1;
    if number <= MOST {
        caller.set_var(format!("{prefix}_{number}"), document());
        caller.set_var(total, number.to_string());
    }
}

/// A leg's own record is about to be made: those of legs it dialled are to be in it.
pub(crate) async fn wait(channel: &Arc<Channel>) {
    let expected = channel
        .with(|data| data.find_slot::<Expected>().map(|expected| std::mem::take(&mut expected.0)));
    let expected = expected.unwrap_or_default();
    let failed = ["failed_xml_cdr_prefix", "failed_json_cdr_prefix"];
    let failed = failed.iter().any(|name| channel.own_var(name).is_some());
    if expected.is_empty() && !failed {
        return;
    }
    let switch = channel.switch();
    let dialled = |leg: &Arc<Channel>| {
        leg.with(|data| {
            let originator = data.originator_profile.as_ref();
            originator.is_some_and(|originator| *originator.uuid == **channel.uuid())
        })
    };
    let until = Instant::now() + PATIENCE;
    loop {
        let copies = expected.iter().all(|uuid| {
            channel.own_var(&format!("b_leg_cdr_{uuid}")).is_some()
                || switch.channel(uuid).is_none()
        });
        let ended = !failed || !switch.channels().iter().any(|leg| !leg.is_up() && dialled(leg));
        if (copies && ended) || Instant::now() >= until {
            return;
        }
        sleep(Duration::from_millis(20)).await;
    }
}
