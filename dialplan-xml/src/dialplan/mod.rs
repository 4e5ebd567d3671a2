//! The dialplan: compiled once, asked per call.
//!
//! [`Dialplan::compile`] turns the `dialplan` section into contexts whose expressions are compiled;
//! [`Dialplan::route`] walks one context for one call. A decision reads fields and variables
//! through [`Host`], runs `inline` actions through it, and yields the list of
//! applications the call executes.

mod compile;
mod inline;
mod logging;
mod model;
mod route;
mod time;
mod trace;

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use crate::config::TimezonesConf;
use crate::{Diagnostic, Host, Place, Tree};
use model::Context;

pub use inline::{InlineAction, parse_inline};
pub use model::{Break, PROFILE_FIELDS, RegexMode};
pub use trace::{Step, StepKind};

/// Every context of a document, ready to decide. Cheap to clone.
#[derive(Clone, Default)]
pub struct Dialplan {
    inner: Arc<Inner>,
}

#[derive(Default)]
struct Inner {
    contexts: Vec<Context>,
    /// Lower-case name to position; the first context of a name wins.
    by_name: HashMap<String, usize>,
    /// Names of the caller-profile fields conditions look at, by number.
    fields: Vec<Box<str>>,
    zones: TimezonesConf,
}

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
    /// Where the condition is written that let it run.
    pub condition: Place,
}

impl Dialplan {
    /// Compiles the `dialplan` section of a document (an empty dialplan when there is none).
    /// Bad expressions are reported and never match. Zone names come from the same document's
    /// `timezones.conf`.
    pub fn compile(tree: &Tree) -> (Self, Vec<Diagnostic>) {
        Self::compile_with_zones(tree, TimezonesConf::read(tree.configuration("timezones.conf")))
    }

    /// The same with zone names from elsewhere: for documents that hold a dialplan only.
    pub fn compile_with_zones(tree: &Tree, zones: TimezonesConf) -> (Self, Vec<Diagnostic>) {
        let (inner, diagnostics) = compile::compile(tree, zones);
        (Self { inner: Arc::new(inner) }, diagnostics)
    }

    /// Decides what a call does, for a host whose commands and applications are done at once: with one that waits
    /// nothing is decided.
    pub fn route(&self, request: &RouteRequest, host: &mut dyn Host, trace: Trace) -> Routed {
        base::at_once(self.route_async(request, host, trace)).unwrap_or_default()
    }

    /// Decides what a call does; waits for commands (`${api(…)}`) and inline applications.
    pub async fn route_async(
        &self,
        request: &RouteRequest,
        host: &mut dyn Host,
        trace: Trace,
    ) -> Routed {
        route::route(&self.inner, request, host, trace).await
    }

    /// Names of the contexts, in document order.
    pub fn contexts(&self) -> impl Iterator<Item = &str> {
        self.inner.contexts.iter().map(|c| &*c.name)
    }

    /// Names and places of a context's extensions, in document order.
    pub fn extensions(&self, context: &str) -> impl Iterator<Item = (&str, &Place)> {
        let found = self.inner.context(context);
        found.into_iter().flat_map(|c| &c.extensions).map(|e| (e.label(), &e.place))
    }

    /// The configured time zones.
    pub fn zones(&self) -> &TimezonesConf {
        &self.inner.zones
    }
}

impl Inner {
    fn context(&self, name: &str) -> Option<&Context> {
        self.contexts.get(*self.by_name.get(&name.to_ascii_lowercase())?)
    }
}

impl fmt::Debug for Dialplan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.contexts()).finish()
    }
}
