//! Queues in order of arrival (mod_fifo).

#![deny(unsafe_code)]
