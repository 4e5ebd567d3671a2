//! Message waiting indication: what is told when a box changes, and when someone asks.

use std::sync::Arc;

use esl_server::event::{Event, EventName};
use switch_core::switch::Switch;
use switch_core::tasks;

use crate::boxes::{Boxes, Loaded};
use crate::owner;
use crate::store::Counts;

/// Questions that wait to be answered; more are lost.
const QUEUE: usize = 50_000;

/// Why a count changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    New,
    Delete,
    Purge,
    Read,
}

impl Reason {
    const fn as_str(self) -> &'static str {
        match self {
            Self::New => "NEW",
            Self::Delete => "DELETE",
            Self::Purge => "PURGE",
            Self::Read => "READ",
        }
    }
}

/// Counts the messages of a box, whose owner may be named by an alias. Zero when the database cannot be asked.
pub(crate) async fn counts(switch: &Arc<Switch>, boxes: &Boxes, id: &str, domain: &str) -> Counts {
    let id = owner::resolve_id(switch, id, domain, "message-count").await;
    boxes.store.counts(&id, domain).await.unwrap_or_else(|error| {
        tracing::error!("Voicemail profile {}: {error}", boxes.profile.name);
        Counts::default()
    })
}

fn word(waiting: bool) -> &'static str {
    if waiting { "yes" } else { "no" }
}

/// Tells how many messages a box holds now.
pub(crate) async fn update(
    switch: &Arc<Switch>,
    boxes: &Boxes,
    id: &str,
    domain: &str,
    reason: Reason,
) {
    let counts = counts(switch, boxes, id, domain).await;
    let Counts { new, saved, new_urgent, saved_urgent } = counts;
    let mut event = Event::new(EventName::MessageWaiting);
    event.push("MWI-Messages-Waiting", word(new > 0));
    event.push("Update-Reason", reason.as_str());
    event.push("MWI-Message-Account", format!("{id}@{domain}"));
    event.push(
        "MWI-Voice-Message",
        match boxes.profile.full_header {
            true => format!("{new}/{saved} ({new_urgent}/{saved_urgent})"),
            false => format!("{new}/{saved}"),
        },
    );
    esl_server::fire!(switch.bus, event);
    let mut event = Event::custom("vm::maintenance");
    event.push("VM-Action", "mwi-update");
    event.push("VM-User", id.to_owned());
    event.push("VM-Domain", domain.to_owned());
    event.push("VM-Total-New", new.to_string());
    event.push("VM-Total-Saved", saved.to_string());
    event.push("VM-Total-New-Urgent", new_urgent.to_string());
    event.push("VM-Total-Saved-Urgent", saved_urgent.to_string());
    esl_server::fire!(switch.bus, event);
}

/// Answers MESSAGE_QUERY from now on.
pub(crate) fn start(switch: &Arc<Switch>) {
    let mut events = switch.bus.subscribe(QUEUE);
    events.listen(EventName::MessageQuery);
    let weak = Arc::downgrade(switch);
    let task = tokio::spawn(async move {
        while let Some(event) = events.recv().await {
            let Some(switch) = weak.upgrade() else { return };
            tasks::step("the answer to MESSAGE_QUERY", answer(&switch, &event)).await;
        }
    });
    if let Some(old) = switch.module::<Loaded>().answering.lock().replace(task) {
        old.abort();
    }
}

/// Answers no more.
pub(crate) fn stop(switch: &Switch) {
    if let Some(task) = switch.module::<Loaded>().answering.lock().take() {
        task.abort();
    }
}

async fn answer(switch: &Arc<Switch>, query: &Event) {
    let account = query.get("Message-Account").unwrap_or_default().into_owned();
    let address = account.split_once(':').map_or(account.as_str(), |(_, address)| address);
    let Some((id, domain)) = address.split_once('@') else { return };
    let loaded = switch.module::<Loaded>();
    let asked = match loaded.settings.lock().exact_match {
        true => loaded.find(domain).into_iter().collect(),
        false => loaded.all(),
    };
    let mut found = Counts::default();
    for boxes in asked {
        found = counts(switch, &boxes, id, domain).await;
        if found.new > 0 || found.saved > 0 {
            break;
        }
    }
    let mut event = Event::new(EventName::MessageWaiting);
    event.push("MWI-Messages-Waiting", word(found.new > 0));
    event.push("MWI-Message-Account", account.as_str());
    let Counts { new, saved, new_urgent, saved_urgent } = found;
    if new > 0 || saved > 0 {
        let counts = format!("{new}/{saved} ({new_urgent}/{saved_urgent})");
        event.push("MWI-Voice-Message", counts);
    }
    // What the asker wants to have back.
    query.for_each_header(|name, value| {
        if name.len() > 3 && name.get(..3).is_some_and(|p| p.eq_ignore_ascii_case("vm-")) {
            event.push(name[3..].to_owned(), value.clone());
        }
    });
    esl_server::fire!(switch.bus, event);
}
