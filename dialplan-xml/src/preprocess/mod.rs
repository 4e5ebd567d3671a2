//! The line-based preprocessor.

pub(crate) mod segments;
