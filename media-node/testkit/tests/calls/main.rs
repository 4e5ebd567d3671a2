//! Calls in simulated time: each test tells a story and looks at what programs, phones and ears get of it.

#![allow(missing_docs, reason = "tests")]

/// Named tests of one kind: `cases! { check: name => arguments, … }`.
macro_rules! cases {
    ($check:path: $($name:ident => ($($argument:expr),* $(,)?)),+ $(,)?) => {
        $(#[test] fn $name() { $check($($argument),*) })+
    };
}

mod answering;
mod applications;
mod bridge;
mod conferences;
mod digits;
mod endpoints;
mod expansion;
mod exploring;
mod failing;
mod hooks;
mod javascript;
mod moving;
mod originating;
mod parking;
mod playing;
mod queues;
mod racing;
mod recordings;
mod routing;
mod scheduling;
mod scripts;
mod voicemail;

use std::time::Duration;

use switch_core::contract::Module;
use testkit::{Call, Record, Setup, World};

/// The modules calls are made of.
const MODULES: &[&[&dyn Module]] =
    &[mod_dptools::MODULES, mod_commands::MODULES, mod_hash_db::MODULES, &[&mod_loopback::MODULE]];

/// A switch with that dialplan.
fn with(dialplan: &str) -> Setup {
    Setup::new(MODULES).dialplan(dialplan)
}

/// An extension for a number.
fn extension(number: &str, actions: &[(&str, &str)]) -> String {
    let mut text = String::new();
    for (application, data) in actions {
        let data = data.replace('&', "&amp;").replace('"', "&quot;").replace('<', "&lt;");
        text += &format!(r#"<action application="{application}" data="{data}"/>"#);
    }
    format!(
        r#"<extension name="{number}"><condition field="destination_number" expression="^{number}$">{text}</condition></extension>"#
    )
}

/// A dialplan in which 1000 runs the actions, 2000 parks, 3000 hangs up with USER_BUSY, 4000 calls carol.
fn runs(actions: &[(&str, &str)]) -> Setup {
    let mut dialplan = extension("1000", actions);
    dialplan += &extension("2000", &[("answer", ""), ("park", "")]);
    dialplan += &extension("3000", &[("hangup", "USER_BUSY")]);
    dialplan += &extension("4000", &[("bridge", "phone/carol")]);
    with(&dialplan)
}

/// What a call has left behind.
struct Told {
    call: Call,
    events: Record,
}

impl Told {
    fn var(&self, name: &str) -> String {
        self.call.var(name)
    }

    fn cause(&self) -> &'static str {
        self.call.cause().map_or("still up", |cause| cause.name())
    }

    fn applications(&self) -> Vec<String> {
        self.events.applications()
    }

    #[track_caller]
    fn check(&self, variables: &[(&str, &str)]) {
        for (name, value) in variables {
            assert_eq!(self.var(name), *value, "{name}\n{:?}", self.events);
        }
    }
}

/// alice calls 1000 and hangs up after ten minutes, if her call has not ended by then. `keys` she presses so many
/// milliseconds after she began.
async fn alone(world: &World, keys: &[(u64, &'static str)]) -> Told {
    let call = world.phone("alice").dial("1000");
    let mut at = 0;
    for (ms, pressed) in keys {
        world.wait(Duration::from_millis(ms - at)).await;
        at = *ms;
        call.press(pressed);
    }
    over(world, call).await
}

/// Waits for a call's end.
async fn over(world: &World, call: Call) -> Told {
    for _ in 0..600 {
        if world.switch.channel(call.uuid()).is_none() {
            break;
        }
        world.seconds(1).await;
    }
    if call.cause().is_none() {
        call.hang_up();
    }
    world.ended(&call).await;
    let events = world.events().of(call.uuid());
    Told { call, events }
}
