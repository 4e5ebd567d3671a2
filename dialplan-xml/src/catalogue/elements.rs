//! Which elements and attributes of which documents the reference reads.

use std::collections::BTreeMap;
use std::sync::LazyLock;

/// What may stand in an element.
pub(crate) struct Element {
    /// Attributes that are read.
    pub(crate) attributes: Vec<&'static str>,
    /// Elements that are read.
    pub(crate) children: Vec<&'static str>,
    /// Whether anything may stand in it.
    pub(crate) open: bool,
}

/// The elements of one document (a section, or a configuration file), by name.
pub(crate) struct Grammar {
    elements: BTreeMap<&'static str, Element>,
}

impl Grammar {
    /// The grammar of `dialplan`, `directory`, `languages` …, or of a file such as `sofia.conf`.
    pub(crate) fn of(document: &str) -> Option<&'static Self> {
        GRAMMARS.get(document)
    }

    pub(crate) fn element(&self, name: &str) -> Option<&Element> {
        self.elements.get(name)
    }

    /// The elements that `name` is read in.
    pub(crate) fn parents<'g>(&'g self, name: &'g str) -> impl Iterator<Item = &'static str> + 'g {
        self.elements.iter().filter(move |(_, e)| e.children.contains(&name)).map(|(n, _)| *n)
    }
}

/// Whether any document has an element of this name.
pub(crate) fn is_known(name: &str) -> bool {
    matches!(name, "document" | "section" | "include")
        || GRAMMARS.values().any(|grammar| grammar.element(name).is_some())
}

static GRAMMARS: LazyLock<BTreeMap<&'static str, Grammar>> =
    LazyLock::new(|| read(include_str!("elements.txt")));

fn read(text: &'static str) -> BTreeMap<&'static str, Grammar> {
    let mut all: BTreeMap<_, Grammar> = BTreeMap::new();
    let mut current = "";
    for line in text.lines().filter(|l| !l.starts_with('#')) {
        if let Some(name) = line.strip_prefix('[').and_then(|l| l.strip_suffix(']')) {
            current = name;
        } else if let Some((head, children)) = line.split_once("):")
            && let Some((name, attributes)) = head.split_once('(')
        {
            let children: Vec<_> = children.split_whitespace().collect();
            let attributes: Vec<_> = attributes.split_whitespace().collect();
            let open = children.contains(&"*");
            let element = Element { attributes, children, open };
            let grammar =
                all.entry(current).or_insert_with(|| Grammar { elements: BTreeMap::new() });
            grammar.elements.insert(name, element);
        }
    }
    all
}
