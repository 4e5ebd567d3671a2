//! The endpoint in simulated time.

mod calls;
mod failures;
mod net;
mod reliable;
mod sessions;
mod wire;
