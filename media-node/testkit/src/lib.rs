//! Simulated calls: a test gets a switch with a dialplan, phones that call, answer, refuse, press keys and hear, a clock
//! that jumps from one thing to the next, and the events, all in one thread without a socket or a sleep.
//!
//! What is simulated is the outside only: [`Phone`] is an endpoint of its own (`phone/<name>` in dial strings), the
//! media engine runs on an in-memory network. Channels, state machine, originate, bridges, applications and commands are
//! the real ones; a test names the modules it needs.
//!
//! ```ignore
//! testkit::run(Setup::new(&[mod_dptools::MODULES]).dialplan(DIALPLAN), async |world| {
//!     let (alice, bob) = (world.phone("alice"), world.phone("bob").answers());
//!     let call = alice.dial("bob");
//!     world.until("alice and bob talk", || call.is_bridged()).await;
//!     assert_eq!(world.listen().await.of("alice"), ["bob"]);
//! });
//! ```
//!
//! When the story is over, whatever still is up is hung up, and [`World::finish`] checks what must be true of any calls:
//! none is left, each ended once, no task and no media leg remains.

#![deny(unsafe_code)]

mod clock;
mod dice;
mod ear;
mod phone;
mod record;
mod world;

pub use dice::Dice;
pub use ear::Heard;
pub use phone::{Act, Call, Dialling, Phone};
pub use record::Record;
pub use world::{Setup, World, run};
