//! The endpoint in simulated time.

mod calls;
mod failures;
mod net;
mod wire;
