//! Files in, tree and diagnostics out.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use crate::{Diagnostic, Globals, Sources, Tree};

/// A preprocessor directive that reaches outside the files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PreprocessorCommand {
    /// `exec`: a command's output becomes part of the document.
    Exec,
    /// `exec-set`: a command's output becomes a variable.
    ExecSet,
}

/// What a load may do.
#[derive(Clone)]
pub struct LoadOptions {
    /// Commands that may be run, by name. None unless the administrator says so.
    pub allowed: BTreeSet<PreprocessorCommand>,
    /// Largest merged document, in bytes.
    pub max_bytes: usize,
    /// Root file name, when a directory is given.
    pub root_name: String,
    /// Answers a `stun-set` query (`host[:port]`) with a public address. `None`: every query fails,
    /// as in the reference without a network.
    pub stun: Option<Arc<dyn Fn(&str) -> Option<String> + Send + Sync>>,
    /// Reads an environment variable for `env-set`. `None`: the process's own environment.
    pub env: Option<Arc<dyn Fn(&str) -> Option<String> + Send + Sync>>,
}

impl Default for LoadOptions {
    fn default() -> Self {
        Self {
            allowed: BTreeSet::new(),
            max_bytes: 64 << 20,
            root_name: "freeswitch.xml".to_owned(),
            stun: None,
            env: None,
        }
    }
}

/// What a load found.
pub struct Loaded {
    /// The document, unless it was refused.
    pub tree: Option<Tree>,
    /// Global variables after the load. `set` directives take effect even when the document is
    /// refused (reference behaviour).
    pub globals: Globals,
    /// Everything found on the way.
    pub diagnostics: Vec<Diagnostic>,
    /// The text of the files read, in the order they were opened.
    pub sources: Sources,
    /// What the reference would say: `Success`, or `[error near line N]: …`.
    pub status: String,
}

/// Reads a configuration: the root file itself, or the directory it lies in.
pub fn load(root: &Path, globals: Globals, options: &LoadOptions) -> Loaded {
    let _ = (root, options);
    Loaded {
        tree: None,
        globals,
        diagnostics: Vec::new(),
        sources: Sources::default(),
        status: String::new(),
    }
}

/// Parses a document that did not come from a file, such as an HTTP reply. It goes through the
/// preprocessor too; includes are relative to `base`.
pub fn parse_document(
    text: &[u8],
    name: &str,
    base: &Path,
    globals: Globals,
    options: &LoadOptions,
) -> Loaded {
    let _ = (text, name, base, options);
    Loaded {
        tree: None,
        globals,
        diagnostics: Vec::new(),
        sources: Sources::default(),
        status: String::new(),
    }
}
