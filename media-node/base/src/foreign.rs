//! On whose behalf something is done: what a client of the Event Socket on another machine asked for, and what comes of
//! it. Such a client reaches the machine the switch runs on (programs, files) only where that is allowed.
//!
//! The mark is a thread's while a future is polled, so it is seen through `${…}` and every nesting of commands; tasks
//! inherit it by [`spawn`], channels keep it for their own task.

use std::cell::Cell;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use tokio::task::JoinHandle;

thread_local! {
    static WHO: Cell<Option<IpAddr>> = const { Cell::new(None) };
}

/// `allow-host-commands` of `event_socket.conf`.
static ALLOWED: AtomicBool = AtomicBool::new(false);

/// Takes `allow-host-commands` into use.
pub fn allow(allowed: bool) {
    ALLOWED.store(allowed, Ordering::Relaxed);
}

/// The address, unless it is this machine's own loopback.
#[must_use]
pub fn is_foreign(ip: IpAddr) -> Option<IpAddr> {
    let ip = ip.to_canonical();
    (!ip.is_loopback()).then_some(ip)
}

/// The client on another machine on whose behalf this runs.
#[must_use]
pub fn who() -> Option<IpAddr> {
    WHO.get()
}

/// That client, if it must not reach this machine.
#[must_use]
pub fn barred() -> Option<IpAddr> {
    who().filter(|_| !ALLOWED.load(Ordering::Relaxed))
}

/// The reply to a command that reaches this machine, if the client must not; the log names both.
#[must_use]
pub fn refuse(command: &str) -> Option<String> {
    let client = barred()?;
    tracing::warn!(
        "{command} refused to the event socket client {client}: allow-host-commands of event_socket.conf is not set"
    );
    Some(format!(
        "-ERR {command} is refused to clients on other machines (allow-host-commands in event_socket.conf)\n"
    ))
}

/// A future that runs on behalf of whom `whose` names at each poll; for `None`, of whom it is polled for.
pub struct Scoped<W, F: ?Sized> {
    whose: W,
    future: Pin<Box<F>>,
}

/// Wraps a future; see [`Scoped`].
pub fn scope<W: Fn() -> Option<IpAddr> + Unpin, F: Future>(whose: W, future: F) -> Scoped<W, F> {
    Scoped { whose, future: Box::pin(future) }
}

struct Before(Option<IpAddr>);

impl Drop for Before {
    fn drop(&mut self) {
        WHO.set(self.0);
    }
}

impl<W: Fn() -> Option<IpAddr> + Unpin, F: Future + ?Sized> Future for Scoped<W, F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let who = (self.whose)();
        let _before = Before(WHO.get());
        if who.is_some() {
            WHO.set(who);
        }
        self.future.as_mut().poll(context)
    }
}

/// Spawns a task that runs on the same behalf, as a part of the same step of a trace.
pub fn spawn<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future<Output: Send> + Send + 'static,
{
    spawn_boxed(Box::pin(future))
}

/// The runtime's code for a task is compiled for each type of future: here it is one for each type of result.
fn spawn_boxed<T: Send + 'static>(
    future: Pin<Box<dyn Future<Output = T> + Send>>,
) -> JoinHandle<T> {
    let who = who();
    let scoped = Scoped { whose: move || who, future };
    tokio::spawn(crate::trace::scope(crate::trace::current(), scoped))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLIENT: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 7));

    #[test]
    fn loopback_is_at_home_in_every_spelling() {
        for home in ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"] {
            assert_eq!(is_foreign(home.parse().expect("an address")), None, "{home}");
        }
        assert_eq!(is_foreign("::ffff:192.0.2.7".parse().expect("an address")), Some(CLIENT));
    }

    // One test: what is allowed holds for the process.
    #[tokio::test(flavor = "multi_thread")]
    async fn what_a_foreign_client_began_stays_its_own_and_starts_no_program() {
        assert_eq!(who(), None);
        let inside = scope(|| Some(CLIENT), async {
            tokio::task::yield_now().await;
            let spawned = spawn(async {
                tokio::task::yield_now().await;
                (barred(), crate::system::run("printf ran").await.map_err(|error| error.kind()))
            });
            let waited = tokio::task::block_in_place(|| {
                tokio::runtime::Handle::current().block_on(async { barred() })
            });
            (spawned.await.expect("ended"), waited, refuse("system"))
        });
        let (spawned, waited, reply) = inside.await;
        assert_eq!(spawned, (Some(CLIENT), Err(std::io::ErrorKind::PermissionDenied)));
        assert_eq!(waited, Some(CLIENT));
        assert!(reply.is_some_and(|reply| reply.starts_with("-ERR system is refused")));
        assert_eq!((who(), refuse("system")), (None, None));
        assert_eq!(crate::system::run("printf ran").await.unwrap_or_default(), "ran");
        allow(true);
        let inside = scope(|| Some(CLIENT), crate::system::run("printf ran"));
        assert_eq!(inside.await.unwrap_or_default(), "ran");
        allow(false);
    }
}
