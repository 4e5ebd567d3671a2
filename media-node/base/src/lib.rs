//! The lowest layer: small parts that every crate of the switch may use. Nothing here knows of calls, SIP, the Event
//! Socket or configuration.
//!
//! Text as the reference reads it, the clock, identifiers, the machine and its directories, the version, a STUN
//! question, memory given back, small queues, the guard against guessing, functions of C libraries.
#![deny(unsafe_code)]

pub mod cause;
pub mod clock;
pub mod dirs;
pub mod dynamic_library;
pub mod far;
pub mod foreign;
pub mod guess_guard;
pub mod hash_order;
pub mod limits;
pub mod machine;
pub mod memory;
pub mod nesting;
pub mod network;
pub mod queue;
pub mod reading;
pub mod redact;
pub mod registry;
#[cfg(any(test, feature = "scratch"))]
pub mod scratch;
pub mod secrets;
pub mod slots;
pub mod speech_cache;
pub mod stun;
pub mod stun_message;
pub mod stun_set;
pub mod system;
pub mod tasks;
pub mod text;
pub mod trace;
pub mod version;
pub mod web;
pub mod xml;

/// A future in a box, as object-safe traits need it.
pub type BoxFuture<'a, T> = std::pin::Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The result of a future that has nothing to wait for; `None` if it has.
pub fn at_once<T>(future: impl Future<Output = T>) -> Option<T> {
    let mut future = std::pin::pin!(future);
    match future.as_mut().poll(&mut std::task::Context::from_waker(std::task::Waker::noop())) {
        std::task::Poll::Ready(value) => Some(value),
        std::task::Poll::Pending => None,
    }
}
