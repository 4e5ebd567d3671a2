//! What a decision or an expansion asks of the call it is made for.

use std::pin::Pin;
use std::task::{Context, Poll};

use base::BoxFuture;
use jiff::{Timestamp, tz::TimeZone};

/// An answer that is there, or comes later: commands may ask a web server.
pub enum Later<'a, T> {
    /// It is there.
    Now(T),
    /// It takes its time.
    Wait(BoxFuture<'a, T>),
}

impl<T: Unpin> Future for Later<'_, T>
where
    T: Default,
{
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        match &mut *self {
            Self::Now(value) => Poll::Ready(std::mem::take(value)),
            Self::Wait(future) => future.as_mut().poll(context),
        }
    }
}

/// Severity of a log line a decision produces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// Something is broken.
    Error,
    /// Something is odd.
    Warning,
    /// Normal progress.
    Info,
    /// Each step.
    Debug,
}

/// The call (or the event, or nothing) on whose behalf text is expanded and conditions are decided.
///
/// Every method is asked only when its answer is needed and at most once per reference in the
/// text, since an implementation may run commands with side effects.
pub trait Host: Send {
    /// A channel variable (or event header), scope variables first. Names are case-insensitive. What came from a far
    /// end is marked ([`base::far`]), here and wherever else a value is given.
    fn variable(&mut self, name: &str) -> Option<String>;

    /// Slot `index` of an array variable. The default reads the joined form and so cannot tell a
    /// one-element array from a plain value; a host with real arrays overrides it.
    fn element(&mut self, name: &str, index: usize) -> Option<String> {
        let whole = self.variable(name)?;
        whole.strip_prefix("ARRAY::")?.split("|:").nth(index).map(str::to_owned)
    }

    /// Sets or, with `None` or an empty value, deletes a channel variable. The value may be marked.
    fn set_variable(&mut self, name: &str, value: Option<&str>);

    /// Appends to an array variable; an empty value deletes the variable (reference behaviour).
    /// The default works on the joined form.
    fn push_variable(&mut self, name: &str, value: &str) {
        if value.is_empty() {
            return self.set_variable(name, None);
        }
        let joined = match self.variable(name) {
            None => value.to_owned(),
            Some(old) if old.starts_with("ARRAY::") => format!("{old}|:{value}"),
            Some(old) => format!("ARRAY::{old}|:{value}"),
        };
        self.set_variable(name, Some(&joined));
    }

    /// Deletes every channel variable whose name starts with `prefix`. The default can only delete
    /// the numbered ones.
    fn clear_variables(&mut self, prefix: &str) {
        for n in 1..=9 {
            self.set_variable(&format!("{prefix}_{n}"), None);
        }
    }

    /// A field of the caller profile, such as `destination_number` or `caller_id_name`, by the
    /// names of the dialplan; `aleg_`/`bleg_` prefixes select the originator's or originatee's.
    /// `None` when there is no such field or no profile.
    fn field(&mut self, name: &str) -> Option<String>;

    /// A global variable.
    fn global(&self, name: &str) -> Option<String>;

    /// Runs an API command. `None` when it is unknown or failed; the reply is used verbatim. Arguments may be marked,
    /// and what the reply repeats of them should be.
    fn api<'a>(&'a mut self, command: &'a str, args: &'a str) -> Later<'a, Option<String>>;

    /// Runs an application while the dialplan is being searched (`inline="true"`); `data` is not
    /// expanded yet, and may be marked.
    fn run_inline<'a>(&'a mut self, application: &'a str, data: &'a str) -> Later<'a, ()>;

    /// The time the decision is made at.
    fn now(&self) -> Timestamp;

    /// The server's own time zone.
    fn local_zone(&self) -> TimeZone {
        TimeZone::system()
    }

    /// Whether [`Host::log`] wants lines of this level; asked before a line is built.
    fn logs(&self, _level: LogLevel) -> bool {
        false
    }

    /// A log line about the decision, spelt as the reference spells it.
    fn log(&mut self, _level: LogLevel, _line: String) {}

    /// The channel's name, for log lines.
    fn channel_name(&self) -> String {
        String::new()
    }
}

/// A host without anything: every lookup misses, the clock stands at the epoch.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoHost;

impl Host for NoHost {
    fn variable(&mut self, _: &str) -> Option<String> {
        None
    }
    fn set_variable(&mut self, _: &str, _: Option<&str>) {}
    fn field(&mut self, _: &str) -> Option<String> {
        None
    }
    fn global(&self, _: &str) -> Option<String> {
        None
    }
    fn api<'a>(&'a mut self, _: &'a str, _: &'a str) -> Later<'a, Option<String>> {
        Later::Now(None)
    }
    fn run_inline<'a>(&'a mut self, _: &'a str, _: &'a str) -> Later<'a, ()> {
        Later::Now(())
    }
    fn now(&self) -> Timestamp {
        Timestamp::UNIX_EPOCH
    }
}
