//! Files in, tree and diagnostics out.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::preprocess::segments::PlaceMap;
use crate::preprocess::{self, include::read};
use crate::tree::parse::{self, parse};
use crate::{Diagnostic, Globals, Place, Sources, Tree};

/// Offsets into a document are 32 bits wide; no document may come near that.
const MAX_DOCUMENT: usize = 1 << 30;

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
    /// How long an allowed command may take.
    pub exec_deadline: Duration,
}

impl Default for LoadOptions {
    fn default() -> Self {
        Self {
            allowed: BTreeSet::new(),
            max_bytes: 64 << 20,
            root_name: "freeswitch.xml".to_owned(),
            stun: None,
            env: None,
            exec_deadline: Duration::from_secs(10),
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

impl PreprocessorCommand {
    /// The command of a directive's name.
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Exec, Self::ExecSet].into_iter().find(|c| c.as_str() == name)
    }

    /// The directive's name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Exec => "exec",
            Self::ExecSet => "exec-set",
        }
    }
}

/// Reads a configuration: the root file itself, or the directory it lies in.
pub fn load(root: &Path, globals: Globals, options: &LoadOptions) -> Loaded {
    let file = if root.is_dir() { root.join(&options.root_name) } else { root.to_owned() };
    let name = file.to_string_lossy();
    match read(&file, options.max_bytes) {
        Ok(bytes) if !bytes.is_empty() => {
            let base = file.parent().unwrap_or(Path::new(""));
            parse_document(&bytes, &name, base, globals, options)
        }
        outcome => {
            let why = outcome.err().unwrap_or_else(|| "the file is empty".to_owned());
            let message = format!("{name}: {why}");
            let place = Some(Place::new(&*name, 0, 0));
            Loaded {
                tree: None,
                globals,
                diagnostics: vec![Diagnostic::error("root-unreadable", message, place)],
                sources: Sources::default(),
                status: "Cannot Open log directory or XML Root!".to_owned(),
            }
        }
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
    let capped = LoadOptions { max_bytes: options.max_bytes.min(MAX_DOCUMENT), ..options.clone() };
    let flat = preprocess::run(text, name, base, globals, &capped);
    let mut diagnostics = flat.diagnostics;
    let too_large = diagnostics.iter().any(|d| d.code == "document-too-large");
    let parsed = parse(&flat.text, flat.places);
    diagnostics.extend(parsed.diagnostics);
    Loaded {
        tree: parsed.tree.filter(|_| !too_large),
        globals: flat.globals,
        diagnostics,
        sources: flat.sources,
        status: parsed.error.unwrap_or_else(|| "Success".to_owned()),
    }
}

/// Parses a document without preprocessing: what `XML:<file>` in a dialplan string reads.
pub fn parse_raw(text: &str, name: &str) -> Loaded {
    let mut places = PlaceMap::default();
    let file: Arc<str> = name.into();
    let id = places.add_file(file.clone());
    let mut start = 0;
    for (number, line) in (1..).zip(text.split_inclusive('\n')) {
        places.push(start, id, number, 1, false);
        start += line.len();
    }
    let mut sources = Sources::default();
    sources.insert(file, text.into());
    let parsed = parse(text, places);
    Loaded {
        tree: parsed.tree,
        globals: Globals::new(),
        diagnostics: parsed.diagnostics,
        sources,
        status: parsed.error.unwrap_or_else(|| "Success".to_owned()),
    }
}

/// Parses a document from elsewhere as far as it goes: what stands before its first error is read, elements that are open
/// there end. `None` where that is no element at all. Nothing is preprocessed.
pub fn parse_until_error(text: &str) -> Option<Tree> {
    parse::parse_until_error(text)
}
