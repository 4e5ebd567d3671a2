//! The events of a simulation, in order.

use std::collections::BTreeMap;
use std::sync::Arc;

use esl_server::event::{Event, EventName};

/// Events as they were fired.
#[derive(Clone, Default)]
pub struct Record(pub(crate) Vec<Arc<Event>>);

impl Record {
    /// Those of one channel (`Unique-ID`).
    #[must_use]
    pub fn of(&self, uuid: &str) -> Self {
        self.filter(|event| event.get("Unique-ID").as_deref() == Some(uuid))
    }

    /// Those of that name.
    #[must_use]
    pub fn named(&self, name: EventName) -> Self {
        self.filter(|event| event.name() == name)
    }

    /// Those of a CUSTOM subclass.
    #[must_use]
    pub fn custom(&self, subclass: &str) -> Self {
        self.filter(|event| event.subclass() == Some(subclass))
    }

    /// Those that pass.
    #[must_use]
    pub fn filter(&self, mut passes: impl FnMut(&Event) -> bool) -> Self {
        Self(self.0.iter().filter(|event| passes(event)).cloned().collect())
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// None at all?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Their names.
    #[must_use]
    pub fn names(&self) -> Vec<&'static str> {
        self.0.iter().map(|event| event.name().as_str()).collect()
    }

    /// A header of each; empty where an event has none.
    #[must_use]
    pub fn headers(&self, name: &str) -> Vec<String> {
        self.0.iter().map(|event| event.get(name).unwrap_or_default().into_owned()).collect()
    }

    /// A header of the last one.
    ///
    /// # Panics
    /// When there is no event or it has no such header.
    #[must_use]
    pub fn header(&self, name: &str) -> String {
        let last = self.0.last().unwrap_or_else(|| panic!("no event that could have {name}"));
        let value = last.get(name).unwrap_or_else(|| panic!("{} has no {name}", last.name()));
        value.into_owned()
    }

    /// The applications run, `name(argument)`.
    #[must_use]
    pub fn applications(&self) -> Vec<String> {
        let run = self.named(EventName::ChannelExecute);
        let named = run.headers("Application").into_iter().zip(run.headers("Application-Data"));
        named.map(|(name, data)| format!("{name}({data})")).collect()
    }

    /// The states a channel went through.
    #[must_use]
    pub fn states(&self) -> Vec<String> {
        self.named(EventName::ChannelState).headers("Channel-State")
    }

    /// The call states a channel went through.
    #[must_use]
    pub fn call_states(&self) -> Vec<String> {
        self.named(EventName::ChannelCallstate).headers("Channel-Call-State")
    }

    /// What must be true of any record of calls that are over: each channel ended once, was answered at most once, and
    /// nothing was told of it after its last event.
    ///
    /// # Errors
    /// What is wrong, a line for each.
    pub fn check(&self) -> Result<(), String> {
        let mut of: BTreeMap<String, Vec<&'static str>> = BTreeMap::new();
        for event in &self.0 {
            if let Some(uuid) = event.get("Unique-ID") {
                of.entry(uuid.into_owned()).or_default().push(event.name().as_str());
            }
        }
        let mut wrong = Vec::new();
        for (uuid, names) in &of {
            let count = |wanted: &str| names.iter().filter(|name| **name == wanted).count();
            let created = count("CHANNEL_CREATE");
            let ended = count("CHANNEL_HANGUP_COMPLETE");
            if created > 1 || ended > 1 || created == 1 && ended != 1 {
                wrong.push(format!("{uuid}: created {created} times, ended {ended} times"));
            }
            if count("CHANNEL_ANSWER") > 1 {
                wrong.push(format!("{uuid}: answered {} times", count("CHANNEL_ANSWER")));
            }
            if count("CHANNEL_HANGUP") > 1 {
                wrong.push(format!("{uuid}: hung up {} times", count("CHANNEL_HANGUP")));
            }
            let last = names.iter().position(|name| *name == "CHANNEL_HANGUP_COMPLETE");
            let moves = ["CHANNEL_ANSWER", "CHANNEL_BRIDGE", "CHANNEL_EXECUTE", "CHANNEL_PARK"];
            if let Some(late) =
                last.and_then(|last| names.iter().skip(last).find(|name| moves.contains(name)))
            {
                wrong.push(format!("{uuid}: {late} after its end"));
            }
        }
        if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n")) }
    }
}

impl std::fmt::Debug for Record {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for event in &self.0 {
            let get = |name: &str| event.get(name).unwrap_or_default().into_owned();
            let name = event.subclass().unwrap_or(event.name().as_str());
            writeln!(
                f,
                "{name} {} {} {} {} {}({}) {}",
                get("Channel-Name"),
                get("Unique-ID").get(..8).unwrap_or_default(),
                get("Channel-State"),
                get("Channel-Call-State"),
                get("Application"),
                get("Application-Data"),
                get("Hangup-Cause"),
            )?;
        }
        Ok(())
    }
}
