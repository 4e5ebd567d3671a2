//! Macros for the levels `tracing` has no name for, and for clean lines. They take what
//! `tracing::info!` takes.

/// Logs at `NOTICE`.
#[macro_export]
macro_rules! log_notice {
    ($($arg:tt)+) => { ::tracing::info!(fs_level = "NOTICE", $($arg)+) };
}

/// Logs at `CRIT`: a subsystem is unusable.
#[macro_export]
macro_rules! log_crit {
    ($($arg:tt)+) => { ::tracing::error!(fs_level = "CRIT", $($arg)+) };
}

/// Logs at `ALERT`: something must be done at once.
#[macro_export]
macro_rules! log_alert {
    ($($arg:tt)+) => { ::tracing::error!(fs_level = "ALERT", $($arg)+) };
}

/// Logs at `CONSOLE`: printed on every console.
#[macro_export]
macro_rules! log_console {
    ($($arg:tt)+) => { ::tracing::error!(fs_level = "CONSOLE", $($arg)+) };
}

/// Logs the bare message at `DEBUG`, as the reference's channel log does for what a call executes.
#[macro_export]
macro_rules! log_clean {
    ($($arg:tt)+) => { ::tracing::debug!(clean = true, $($arg)+) };
}
