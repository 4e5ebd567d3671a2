//! Media engine.
