//! Lamps of parking lots: PRESENCE_IN of `park+LOT` and `park+SLOT` when a call comes or goes, and to subscribers that ask
//! (PRESENCE_PROBE, which a phone's subscription leads to).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use esl_server::event::{Event, EventName};

use super::valet::Lots;
use crate::switch::Switch;

/// Questions that wait to be answered; a lamp whose question is lost stays dark until its slot changes.
const QUEUE: usize = 1000;
/// Host of lamps where nothing says which.
const NO_DOMAIN: &str = "cluecon.com";

/// What a lamp shows.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Lamp {
    Empty,
    /// A slot with a call in it.
    Held,
    /// A lot with so many calls.
    Lot(usize),
}

/// A call has come to a slot or left it: the lamps of the lot and of the slot.
pub(super) fn tell(switch: &Switch, lot: &str, slot: &str) {
    let (count, held) = {
        let lots = switch.module::<Lots>();
        let lots = lots.0.lock();
        let slots = lots.get(lot);
        (slots.map_or(0, |slots| slots.len()), slots.is_some_and(|slots| slots.contains_key(slot)))
    };
    let (name, domain) = match lot.split_once('@') {
        Some((name, domain)) => (name, domain.to_owned()),
        None => (lot, switch.global("domain").unwrap_or_default()),
    };
    let domain = if domain.is_empty() { NO_DOMAIN.to_owned() } else { domain };
    fire(switch, name, &domain, &lamp_of_lot(count), None);
    fire(switch, slot, &domain, if held { &Lamp::Held } else { &Lamp::Empty }, None);
}

fn lamp_of_lot(count: usize) -> Lamp {
    if count == 0 { Lamp::Empty } else { Lamp::Lot(count) }
}

/// Answers questions from now on, if it does not yet. Before the first call is parked all lamps are dark anyway.
pub(super) fn answer_probes(switch: &Arc<Switch>) {
    #[derive(Default)]
    struct Begun(AtomicBool);
    if switch.module::<Begun>().0.swap(true, Ordering::Relaxed) {
        return;
    }
    let mut events = switch.bus.subscribe(QUEUE);
    events.listen(EventName::PresenceProbe);
    let switch = Arc::downgrade(switch);
    tokio::spawn(async move {
        while let Some(event) = events.recv().await {
            let Some(switch) = switch.upgrade() else { return };
            crate::tasks::step("presence of a parking lot", async { answer(&switch, &event) })
                .await;
        }
    });
}

fn answer(switch: &Switch, probe: &Event) {
    let get = |name: &str| probe.get(name).map(std::borrow::Cow::into_owned).unwrap_or_default();
    let to = get("to");
    let prefix = to.get(..5).is_some_and(|prefix| prefix.eq_ignore_ascii_case("park+"));
    let Some((name, domain)) = to.get(5..).filter(|_| prefix).and_then(|to| to.split_once('@'))
    else {
        return;
    };
    let call_id = Some(get("sub-call-id")).filter(|call_id| !call_id.is_empty());
    fire(switch, name, domain, &lamp_of(switch, name, domain), call_id);
}

/// The lamp of a lot, or of a slot in one of the lots of the domain.
fn lamp_of(switch: &Switch, name: &str, domain: &str) -> Lamp {
    let lots = switch.module::<Lots>();
    let lots = lots.0.lock();
    let full = format!("{name}@{domain}");
    if let Some(slots) = lots.get(name).or_else(|| lots.get(&full)) {
        return lamp_of_lot(slots.len());
    }
    let here = |lot: &str| lot.split_once('@').is_none_or(|(_, own)| own == domain);
    let held = lots.iter().any(|(lot, slots)| here(lot) && slots.contains_key(name));
    if held { Lamp::Held } else { Lamp::Empty }
}

fn fire(switch: &Switch, name: &str, domain: &str, lamp: &Lamp, call_id: Option<String>) {
    if !switch.bus.wants(EventName::PresenceIn) {
        switch.bus.skip();
        return;
    }
    let status = match lamp {
        Lamp::Empty => "Empty".to_owned(),
        Lamp::Held => "Holding".to_owned(),
        Lamp::Lot(1) => "Active (1 caller)".to_owned(),
        Lamp::Lot(count) => format!("Active ({count} callers)"),
    };
    let lit = *lamp != Lamp::Empty;
    let mut event = Event::new(EventName::PresenceIn);
    event.push("proto", "park");
    event.push("login", name.to_owned());
    event.push("from", format!("{name}@{domain}"));
    event.push("force-status", status);
    event.push("rpid", if lit { "active" } else { "unknown" });
    event.push("event_type", "presence");
    event.push("alt_event_type", "dialog");
    event.push("event_count", "0");
    event.push("unique-id", name.to_owned());
    event.push("channel-state", if lit { "CS_ROUTING" } else { "CS_HANGUP" });
    event.push("answer-state", if lit { "confirmed" } else { "terminated" });
    event.push("presence-call-direction", if *lamp == Lamp::Held { "outbound" } else { "inbound" });
    event.push_some("call-id", call_id);
    esl_server::fire!(switch.bus, event);
}
