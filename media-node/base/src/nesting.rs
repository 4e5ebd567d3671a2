//! How deep commands run inside each other: `expand expand …`, `${eval(${…})}`.
//!
//! A command that runs another one does so on the same stack; a loop of them would end the process. The depth is
//! counted per thread while a command is polled, which sees every way of nesting, through `${…}` too.

use std::cell::Cell;
use std::pin::Pin;
use std::task::{Context, Poll};

/// Deeper is a loop.
pub const MAX_NESTED: u32 = 16;

thread_local! {
    static DEPTH: Cell<u32> = const { Cell::new(0) };
}

/// Are we too deep inside commands to run another one?
#[must_use]
pub fn too_deep() -> bool {
    DEPTH.get() >= MAX_NESTED
}

/// A command's future that counts itself while it is polled.
pub struct Nested<F>(Pin<Box<F>>);

impl<F: Future> Nested<F> {
    /// Wraps a command.
    pub fn new(command: F) -> Self {
        Self(Box::pin(command))
    }
}

struct Deeper;

impl Deeper {
    fn enter() -> Self {
        DEPTH.set(DEPTH.get() + 1);
        Self
    }
}

impl Drop for Deeper {
    fn drop(&mut self) {
        DEPTH.set(DEPTH.get().saturating_sub(1));
    }
}

impl<F: Future> Future for Nested<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let _deeper = Deeper::enter();
        self.0.as_mut().poll(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nest(levels: u32) -> Pin<Box<dyn Future<Output = u32>>> {
        Box::pin(Nested::new(async move {
            if levels == 0 || too_deep() { DEPTH.get() } else { nest(levels - 1).await }
        }))
    }

    #[tokio::test]
    async fn depth_is_counted_while_commands_run_and_forgotten_after() {
        assert_eq!(nest(2).await, 3);
        assert_eq!(nest(1000).await, MAX_NESTED);
        assert_eq!(DEPTH.get(), 0);
    }
}
