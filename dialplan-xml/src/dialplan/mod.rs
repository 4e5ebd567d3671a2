//! The dialplan: compiled once, asked per call.

mod inline;
mod trace;

use std::sync::Arc;

use crate::{Diagnostic, Host, Place, Tree};

pub use inline::{InlineAction, parse_inline};
pub use trace::Step;

/// Every context of a document, ready to decide.
#[derive(Clone, Debug, Default)]
pub struct Dialplan {}

/// What is asked.
#[derive(Clone, Debug, Default)]
pub struct RouteRequest {
    /// The context to search; `global` is tried when there is no such context.
    pub context: String,
    /// The number dialled (for log lines and `auto_hunt`; conditions ask the host).
    pub destination_number: String,
    /// Caller id name, for log lines.
    pub caller_id_name: String,
    /// Caller id number, for log lines.
    pub caller_id_number: String,
    /// Start at the extension named like the destination (channel variable `auto_hunt`).
    pub auto_hunt: bool,
}

/// Whether a decision writes down its steps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Trace {
    /// No.
    #[default]
    Off,
    /// Yes.
    On,
}

/// What was decided.
#[derive(Clone, Debug, Default)]
pub struct Routed {
    /// The extension that made the list, or `None`: nothing was found (no route). An empty
    /// `actions` with an extension is a list that has nothing to run.
    pub extension: Option<Arc<str>>,
    /// What to run, in order, repeated as `loop` says.
    pub actions: Vec<Action>,
    /// Whether the context (or `global`) exists.
    pub context_found: bool,
    /// The steps, when asked for.
    pub trace: Vec<Step>,
}

/// One application to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Action {
    /// Application name as written.
    pub application: Arc<str>,
    /// Its argument: captures are filled in, `${…}` is not.
    pub data: Arc<str>,
    /// Whether it came from an `<anti-action>`.
    pub anti: bool,
    /// Where it is written.
    pub place: Place,
}

impl Dialplan {
    /// Compiles the `dialplan` section of a document (an empty dialplan when there is none).
    /// Bad expressions are reported and never match.
    pub fn compile(tree: &Tree) -> (Self, Vec<Diagnostic>) {
        let _ = tree;
        (Self::default(), Vec::new())
    }

    /// Decides what a call does.
    pub fn route(&self, request: &RouteRequest, host: &mut dyn Host, trace: Trace) -> Routed {
        let _ = (request, host, trace);
        Routed::default()
    }
}
