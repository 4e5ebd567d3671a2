//! Tasks that must not end while the switch runs: a bug that ends one is put on record (by the panic hook), and the task
//! starts again.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::FutureExt;

/// Pause before a task that died starts again, so that one that always dies costs little.
const PAUSE: Duration = Duration::from_millis(200);

/// Spawns what `start` makes, and again each time it dies of a bug, until it ends by itself.
pub fn keep_running<F>(name: impl Into<String>, mut start: impl FnMut() -> F + Send + 'static)
where
    F: Future<Output = ()> + Send + 'static,
{
    let name = name.into();
    tokio::spawn(async move {
        while AssertUnwindSafe(start()).catch_unwind().await.is_err() {
            crate::log_crit!("{name}: the task starts again");
            tokio::time::sleep(PAUSE).await;
        }
    });
}

/// One step of a task that goes on whatever becomes of the step. False if it died of a bug.
pub async fn step(name: &str, step: impl Future<Output = ()>) -> bool {
    let lived = AssertUnwindSafe(step).catch_unwind().await.is_ok();
    if !lived {
        crate::log_crit!("{name}: a bug cost one step; the task goes on");
    }
    lived
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

    #[tokio::test]
    async fn a_step_that_dies_says_so() {
        assert!(step("test", async {}).await);
        assert!(!step("test", async { panic!("the bug") }).await);
    }
}
