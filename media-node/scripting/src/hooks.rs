//! `<hook>` of a language's configuration: a script that runs at each event of a kind, one after the other.

use std::sync::Arc;

use esl_server::Subscription;
use esl_server::event::{Event, EventName};

use crate::Language;
use crate::program::Program;
use crate::scripts::{Scripts, Task};
use crate::settings::Hook;
use crate::switch::Switch;

/// Events that wait for a hook's script.
const WAITING: usize = 1000;

/// Sets up the hooks that can be.
pub fn begin<L: Language>(switch: &Arc<Switch>, hooks: &[Hook]) {
    for hook in hooks {
        tracing::info!("hook params: '{}' | '{}' | '{}'", hook.event, hook.subclass, hook.script);
        let Some(name) = EventName::parse(&hook.event) else {
            tracing::error!("cannot set event handler: unknown event type '{}'", hook.event);
            continue;
        };
        if hook.script.is_empty() {
            tracing::error!(
                "cannot set event handler: no script name for event type '{}'",
                hook.event
            );
            continue;
        }
        let events = listen(switch, name, &hook.subclass);
        tracing::info!("event handler for '{}' set to '{}'", name.as_str(), hook.script);
        crate::foreign::spawn(serve::<L>(Arc::clone(switch), name, hook.clone(), events));
    }
}

fn listen(switch: &Switch, name: EventName, subclass: &str) -> Subscription {
    let events = switch.bus.subscribe(WAITING);
    match (name, subclass) {
        (EventName::Custom, "") => events.listen(EventName::All),
        (EventName::Custom, subclass) => events.listen_custom(subclass),
        (name, _) => events.listen(name),
    }
    events
}

async fn serve<L: Language>(
    switch: Arc<Switch>,
    name: EventName,
    hook: Hook,
    mut events: Subscription,
) {
    loop {
        match events.recv().await {
            Some(event) if name == EventName::All || event.name() == name => {
                run::<L>(&switch, &hook, &event).await
            }
            Some(_) => {}
            None => {
                tracing::error!("hook {}: its script is too slow, events are lost", hook.script);
                events = listen(&switch, name, &hook.subclass);
            }
        }
    }
}

async fn run<L: Language>(switch: &Arc<Switch>, hook: &Hook, event: &Event) {
    let started = Program::read(&L::NAMES, &hook.script).and_then(|program| {
        let events = vec![("event", event.clone())];
        Scripts::<L>::start(switch, Task { events, ..Task::new(program) })
    });
    match started {
        Ok(started) => drop(started.outcome().await),
        Err(refused) => tracing::error!("hook {}: {refused}", hook.script),
    }
}
