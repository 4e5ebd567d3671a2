//! Signals, as one stream of what they mean.
//!
//! SIGTERM and SIGINT ask for an end (a second one for an immediate end), SIGHUP is passed on as the
//! reference passes it on, SIGUSR1 likewise: log and CDR files rotate, and a TRAP event with `Trapped-Signal: HUP` is
//! fired; configuration is *not* reloaded. SIGPIPE is ignored by the runtime.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// What a signal asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Request {
    /// SIGTERM: end, draining calls if so configured.
    Terminate,
    /// SIGINT (Ctrl-C): end at once.
    Interrupt,
    /// SIGHUP or SIGUSR1: rotate logs and CDR files, fire TRAP.
    Hangup,
}

/// The signals of this process. Dropping it leaves them caught and unread.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
    user: Signal,
}

impl Signals {
    /// Starts catching; call it inside the runtime, before anything else runs there.
    ///
    /// # Errors
    /// The kernel refuses a handler.
    pub fn catch() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
            user: signal(SignalKind::user_defined1())?,
        })
    }

    /// The next request. Cancel safe.
    pub async fn next(&mut self) -> Request {
        tokio::select! {
            _ = self.terminate.recv() => Request::Terminate,
            _ = self.interrupt.recv() => Request::Interrupt,
            _ = self.hangup.recv() => Request::Hangup,
            _ = self.user.recv() => Request::Hangup,
        }
    }
}

#[cfg(test)]
mod tests {
    use nix::sys::signal::{Signal as Number, raise};

    use super::*;

    #[tokio::test]
    async fn each_signal_is_the_request_it_stands_for() {
        let mut signals = Signals::catch().expect("handlers");
        for (number, request) in [
            (Number::SIGHUP, Request::Hangup),
            (Number::SIGUSR1, Request::Hangup),
            (Number::SIGINT, Request::Interrupt),
            (Number::SIGTERM, Request::Terminate),
        ] {
            // Sent to this thread's process: the handlers above are in place.
            raise(number).expect("signal");
            assert_eq!(signals.next().await, request);
        }
    }
}
