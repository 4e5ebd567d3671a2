//! Producers: events as they are, in JSON.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use esl_server::event::{Event, EventName};
use esl_server::{EventBus, Subscription};
use switch_core::switch::Switch;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::Stats;
use crate::publisher::Publisher;
use crate::routing;
use crate::settings::{Common, Producer};
use crate::spool::{Message, Spool, SpoolError};

/// Events taken from the bus at a time.
const BATCH: usize = 64;

/// Starts a producer: what reads the bus, and what publishes.
pub(crate) fn start(
    switch: &Arc<Switch>,
    producer: &Producer,
    stats: &Arc<Stats>,
    stopped: &watch::Receiver<bool>,
) -> Result<Vec<JoinHandle<()>>, SpoolError> {
    let wanted = Wanted::of(&producer.events);
    let key = producer.key.clone();
    let make = move |event: &Event| {
        wanted.accepts(event).then(|| Message {
            key: routing::key(&key, event),
            id: call_messages::identifier(event),
            time: switch_core::clock::now_us(),
            body: String::from_utf8_lossy(&event.json()).into_owned(),
        })
    };
    let events = producer.events.clone();
    let listen = move |subscription: &Subscription| {
        for (name, subclass) in &events {
            match (name, subclass) {
                (EventName::Custom, Some(subclass)) => subscription.listen_custom(subclass),
                // Every subclass: the bus has no word for that but everything.
                (EventName::Custom, None) => subscription.listen(EventName::All),
                (name, _) => subscription.listen(*name),
            }
        }
    };
    run(switch, &producer.common, stats, stopped, listen, move |event, into| {
        into.extend(make(event));
    })
}

/// Starts what reads the bus into a spool, and what publishes the spool.
pub(crate) fn run(
    switch: &Arc<Switch>,
    common: &Common,
    stats: &Arc<Stats>,
    stopped: &watch::Receiver<bool>,
    listen: impl Fn(&Subscription) + Send + 'static,
    mut make: impl FnMut(&Event, &mut Vec<Message>) + Send + 'static,
) -> Result<Vec<JoinHandle<()>>, SpoolError> {
    let file = |text: &str| {
        let safe = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' };
        text.chars().map(safe).collect::<String>()
    };
    let folder =
        switch.dirs.db_dir.join("amqp").join(format!("{}-{}", stats.kind, file(&stats.name)));
    let spool = Spool::open(&folder, common.spool, common.breaker, stats)?;
    let publisher = Publisher {
        common: common.clone(),
        spool: Arc::clone(&spool),
        stats: Arc::clone(stats),
        stopped: stopped.clone(),
    };
    let (bus, stats, queue) = (Arc::clone(&switch.bus), Arc::clone(stats), common.queue);
    // What happens from now on is heard: a task may start late.
    let mut subscription = subscribe(&bus, queue, &listen);
    let mut stopped = stopped.clone();
    let reader = async move {
        loop {
            let mut messages = Vec::new();
            let event = tokio::select! {
                event = subscription.recv() => event,
                _ = stopped.wait_for(|stop| *stop) => None,
            };
            let Some(event) = event else {
                if !*stopped.borrow() {
                    // Too many did not fit in a row: the reading begins anew.
                    stats.dropped.fetch_add(subscription.lost(), Ordering::Relaxed);
                    tracing::error!(
                        "AMQP {}: {} events were lost",
                        stats.name,
                        subscription.lost()
                    );
                    subscription = subscribe(&bus, queue, &listen);
                    continue;
                }
                while let Some(event) = subscription.try_recv() {
                    make(&event, &mut messages);
                }
                spool.add(messages).await;
                return;
            };
            make(&event, &mut messages);
            while messages.len() < BATCH
                && let Some(event) = subscription.try_recv()
            {
                make(&event, &mut messages);
            }
            spool.add(messages).await;
        }
    };
    Ok(vec![tokio::spawn(reader), tokio::spawn(publisher.run())])
}

fn subscribe(bus: &EventBus, queue: usize, listen: &impl Fn(&Subscription)) -> Subscription {
    let subscription = bus.subscribe(queue);
    listen(&subscription);
    subscription
}

/// Which events are published.
struct Wanted {
    all: bool,
    names: HashSet<EventName>,
    subclasses: HashSet<String>,
    every_subclass: bool,
}

impl Wanted {
    fn of(events: &[(EventName, Option<String>)]) -> Self {
        Self {
            all: events.iter().any(|(name, _)| *name == EventName::All),
            names: events.iter().map(|(name, _)| *name).collect(),
            subclasses: events.iter().filter_map(|(_, subclass)| subclass.clone()).collect(),
            every_subclass: events.contains(&(EventName::Custom, None)),
        }
    }

    fn accepts(&self, event: &Event) -> bool {
        self.all
            || self.names.contains(&event.name())
                && event.subclass().is_none_or(|subclass| {
                    self.every_subclass || self.subclasses.contains(subclass)
                })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_custom_event_is_wanted_by_subclass_or_all_of_them() {
        let register = Event::custom("sofia::register");
        let dtmf = Event::new(EventName::Dtmf);
        let only = Wanted::of(&[(EventName::Custom, Some("sofia::register".into()))]);
        assert!(only.accepts(&register) && !only.accepts(&dtmf));
        assert!(!only.accepts(&Event::custom("sofia::expire")));
        let every = Wanted::of(&[(EventName::Custom, None)]);
        assert!(every.accepts(&Event::custom("sofia::expire")) && !every.accepts(&dtmf));
        assert!(Wanted::of(&[(EventName::All, None)]).accepts(&dtmf));
    }
}
