//! Tasks that must not end while the switch runs: a bug that ends one is put on record (by the panic hook), and the task
//! starts again.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::task::JoinHandle;

/// Pause before a task that died starts again, so that one that always dies costs little.
const PAUSE: Duration = Duration::from_millis(200);

/// Spawns what `start` makes, and again each time it dies of a bug, until it ends by itself.
pub fn keep_running<F>(name: impl Into<String>, mut start: impl FnMut() -> F + Send + 'static)
where
    F: Future<Output = ()> + Send + 'static,
{
    let name = name.into();
    tokio::spawn(async move {
        while Survivor(pin!(start())).await.is_none() {
            tracing::error!(fs_level = "CRIT", "{name}: the task starts again");
            tokio::time::sleep(PAUSE).await;
        }
    });
}

/// One step of a task that goes on whatever becomes of the step. `None` if it died of a bug.
pub async fn step<T>(name: &str, step: impl Future<Output = T>) -> Option<T> {
    let done = Survivor(pin!(step)).await;
    if done.is_none() {
        tracing::error!(fs_level = "CRIT", "{name}: a bug cost one step; the task goes on");
    }
    done
}

/// Spawns a task that waits for as long as `pause` says and calls `look` with that, again and again, until either says that
/// what is looked at is gone (`None`, `false`). A look that dies of a bug costs itself only.
pub fn look_again(
    name: &'static str,
    pause: impl Fn() -> Option<Duration> + Send + 'static,
    look: impl Fn(Duration) -> bool + Send + 'static,
) -> JoinHandle<()> {
    tokio::spawn(async move {
        while let Some(pause) = pause() {
            tokio::time::sleep(pause).await;
            if guarded(name, || look(pause)) == Some(false) {
                return;
            }
        }
    })
}

/// One step of a thread that goes on whatever becomes of the step. `None` if it died of a bug: what the step was about
/// may be half done, so `step` must leave nothing that later steps rely on.
pub fn guarded<T>(name: &str, step: impl FnOnce() -> T) -> Option<T> {
    let done = catch_unwind(AssertUnwindSafe(step)).ok();
    if done.is_none() {
        tracing::error!(fs_level = "CRIT", "{name}: a bug cost one step; the thread goes on");
    }
    done
}

/// A future whose panic is its end, with `None`.
struct Survivor<'f, F>(Pin<&'f mut F>);

impl<F: Future> Future for Survivor<'_, F> {
    type Output = Option<F::Output>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match catch_unwind(AssertUnwindSafe(|| self.0.as_mut().poll(context))) {
            Ok(polled) => polled.map(Some),
            Err(_) => Poll::Ready(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    #[tokio::test(start_paused = true)]
    async fn a_task_that_dies_starts_again_and_one_that_ends_does_not() {
        let starts = Arc::new(AtomicU32::new(0));
        let (done, ended) = tokio::sync::oneshot::channel::<()>();
        let mut done = Some(done);
        let count = Arc::clone(&starts);
        keep_running("test", move || {
            let turn = count.fetch_add(1, Ordering::Relaxed);
            let done = if turn == 2 { done.take() } else { None };
            async move {
                assert!(turn >= 2, "the bug");
                drop(done);
            }
        });
        assert!(ended.await.is_err());
        tokio::time::sleep(PAUSE * 5).await;
        assert_eq!(starts.load(Ordering::Relaxed), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn looks_go_on_after_one_that_dies_until_there_is_nothing_to_look_at() {
        let looks = Arc::new(AtomicU32::new(0));
        let count = Arc::clone(&looks);
        let task = look_again(
            "test",
            || Some(PAUSE),
            move |pause| {
                assert_eq!(pause, PAUSE);
                let look = count.fetch_add(1, Ordering::Relaxed);
                assert!(look != 1, "the bug");
                look < 3
            },
        );
        assert!(task.await.is_ok());
        assert_eq!(looks.load(Ordering::Relaxed), 4);
        assert!(look_again("test", || None, |_| true).await.is_ok());
    }

    #[tokio::test]
    async fn a_step_that_dies_says_so() {
        assert_eq!(step("test", async { 1 }).await, Some(1));
        assert_eq!(step("test", async { panic!("the bug") }).await, None::<()>);
        assert_eq!(guarded("test", || 1), Some(1));
        assert_eq!(guarded("test", || panic!("the bug")), None::<()>);
    }
}
