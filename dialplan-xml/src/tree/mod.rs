//! The parsed document: an arena of elements that know where they came from.
//!
//! A [`Tree`] is an immutable snapshot, cheap to clone and share. Lookups follow the reference:
//! element names are case-sensitive, the *values* that select an element (`name="default"`) are not.

pub(crate) mod entity;
pub(crate) mod parse;
pub(crate) mod print;

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use crate::Place;
use crate::preprocess::segments::PlaceMap;

/// Identifies an element of one tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(pub(crate) u32);

/// A parsed document.
#[derive(Clone)]
pub struct Tree {
    inner: Arc<Arena>,
}

#[derive(Default)]
pub(crate) struct Arena {
    names: Vec<Box<str>>,
    name_ids: HashMap<Box<str>, u32>,
    nodes: Vec<NodeData>,
    attrs: Vec<AttrData>,
    /// Decoded attribute values and character data, one after another.
    strings: String,
    places: PlaceMap,
    root: u32,
}

#[derive(Clone, Copy)]
pub(crate) struct Range {
    start: u32,
    end: u32,
}

pub(crate) struct NodeData {
    name: u32,
    parent: u32,
    first_child: u32,
    next_sibling: u32,
    attrs: Range,
    text: Range,
    /// How much of the parent's text precedes this element (printing needs it).
    text_offset: u32,
    /// Offset of `<` in the merged document.
    start: u32,
}

pub(crate) struct AttrData {
    name: u32,
    value: Range,
    /// Offset of the value in the merged document.
    start: u32,
    /// Offset of the name in the merged document.
    name_start: u32,
}

/// No such node.
const NONE: u32 = u32::MAX;

impl Tree {
    /// The root element.
    pub fn root(&self) -> Node<'_> {
        Node { tree: self, id: self.inner.root }
    }

    /// The element with this id.
    pub fn node(&self, id: NodeId) -> Option<Node<'_>> {
        self.inner.nodes.get(usize::try_from(id.0).ok()?)?;
        Some(Node { tree: self, id: id.0 })
    }

    /// The first `<section name="…">` under the root (later ones of the same name are ignored, as
    /// in the reference).
    pub fn section(&self, name: &str) -> Option<Node<'_>> {
        self.root().find("section", "name", name)
    }

    /// The first `<tag key="value">` directly in a section: the static half of a configuration
    /// lookup. An empty `tag` gives the section itself.
    pub fn locate(&self, section: &str, tag: &str, key: &str, value: &str) -> Option<Node<'_>> {
        let section = self.section(section)?;
        if tag.is_empty() { Some(section) } else { section.find(tag, key, value) }
    }

    /// The `<configuration name="…">` of a file such as `sofia.conf`.
    pub fn configuration(&self, name: &str) -> Option<Node<'_>> {
        self.locate("configuration", "configuration", "name", name)
    }

    /// How many elements there are.
    pub fn len(&self) -> usize {
        self.inner.nodes.len()
    }

    /// Always false: a tree has a root.
    pub fn is_empty(&self) -> bool {
        self.inner.nodes.is_empty()
    }

    /// Bytes held, without the allocator's own overhead.
    pub fn memory(&self) -> usize {
        let arena = &*self.inner;
        arena.nodes.capacity() * size_of::<NodeData>()
            + arena.attrs.capacity() * size_of::<AttrData>()
            + arena.strings.capacity()
            + arena.places.memory()
            + arena.names.iter().map(|n| n.len() * 2 + 64).sum::<usize>()
    }

    pub(crate) fn from_arena(arena: Arena) -> Self {
        Self { inner: Arc::new(arena) }
    }
}

impl fmt::Debug for Tree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tree(<{}>, {} elements)", self.root().name(), self.len())
    }
}

/// One element of a tree.
#[derive(Clone, Copy)]
pub struct Node<'t> {
    tree: &'t Tree,
    id: u32,
}

impl<'t> Node<'t> {
    /// The tree it belongs to.
    pub fn tree(self) -> &'t Tree {
        self.tree
    }

    /// Its identity within the tree.
    pub fn id(self) -> NodeId {
        NodeId(self.id)
    }

    /// The element name.
    pub fn name(self) -> &'t str {
        self.tree.inner.name(self.data().name)
    }

    /// The value of an attribute; the first one when it is repeated.
    pub fn attr(self, name: &str) -> Option<&'t str> {
        self.attr_data(name).map(|a| self.tree.inner.string(a.value))
    }

    /// The value of an attribute, or the empty string.
    pub fn attr_or_empty(self, name: &str) -> &'t str {
        self.attr(name).unwrap_or_default()
    }

    /// Where an attribute's value is written; the element's place when it has no such attribute.
    pub fn attr_place(self, name: &str) -> Place {
        self.attr_data(name).map_or_else(|| self.place(), |a| self.tree.inner.places.place(a.start))
    }

    /// Where an attribute's name is written; the element's place when it has no such attribute.
    pub fn attr_name_place(self, name: &str) -> Place {
        let places = &self.tree.inner.places;
        self.attr_data(name).map_or_else(|| self.place(), |a| places.place(a.name_start))
    }

    /// Attributes in document order.
    pub fn attrs(self) -> impl Iterator<Item = (&'t str, &'t str)> {
        let arena = &*self.tree.inner;
        self.attr_slice().iter().map(move |a| (arena.name(a.name), arena.string(a.value)))
    }

    /// All character data directly in the element, concatenated, not trimmed.
    pub fn text(self) -> &'t str {
        self.tree.inner.string(self.data().text)
    }

    /// Where the element starts.
    pub fn place(self) -> Place {
        self.tree.inner.places.place(self.data().start)
    }

    /// The element around this one.
    pub fn parent(self) -> Option<Self> {
        self.at(self.data().parent)
    }

    /// Child elements in document order.
    pub fn children(self) -> impl Iterator<Item = Self> + use<'t> {
        let mut next = self.data().first_child;
        std::iter::from_fn(move || {
            let child = self.at(next)?;
            next = child.data().next_sibling;
            Some(child)
        })
    }

    /// Child elements of one name, in document order.
    pub fn children_named(self, name: &str) -> impl Iterator<Item = Self> + use<'t> {
        let wanted = self.tree.inner.name_ids.get(name).copied();
        self.children().filter(move |c| Some(c.data().name) == wanted)
    }

    /// The first child element of this name.
    pub fn child(self, name: &str) -> Option<Self> {
        self.children_named(name).next()
    }

    /// The first child `<tag attr="value">`; the value is compared without regard to case.
    pub fn find(self, tag: &str, attr: &str, value: &str) -> Option<Self> {
        self.children_named(tag)
            .find(|c| c.attr(attr).is_some_and(|v| v.eq_ignore_ascii_case(value)))
    }

    /// This element and everything below it, in document order.
    pub fn descendants(self) -> impl Iterator<Item = Self> + use<'t> {
        let mut stack = vec![self];
        std::iter::from_fn(move || {
            let node = stack.pop()?;
            let children: Vec<_> = node.children().collect();
            stack.extend(children.into_iter().rev());
            Some(node)
        })
    }

    /// The element as the reference prints it (`xml_locate`, `find_user_xml`).
    pub fn to_xml(self) -> String {
        print::Element::from_node(self).to_xml()
    }

    pub(crate) fn text_offset(self) -> u32 {
        self.data().text_offset
    }

    fn at(self, id: u32) -> Option<Self> {
        (id != NONE).then_some(Self { tree: self.tree, id })
    }

    fn data(self) -> &'t NodeData {
        // Ids are only made by this module for nodes of the same arena.
        &self.tree.inner.nodes[self.id as usize]
    }

    fn attr_slice(self) -> &'t [AttrData] {
        let Range { start, end } = self.data().attrs;
        self.tree.inner.attrs.get(start as usize..end as usize).unwrap_or_default()
    }

    fn attr_data(self, name: &str) -> Option<&'t AttrData> {
        let id = *self.tree.inner.name_ids.get(name)?;
        self.attr_slice().iter().find(|a| a.name == id)
    }
}

impl fmt::Debug for Node<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{}> at {}", self.name(), self.place())
    }
}

impl Range {
    fn new(start: usize, end: usize) -> Self {
        // A document is capped far below 4 GiB before it is parsed.
        let narrow = |n| u32::try_from(n).unwrap_or(u32::MAX);
        Self { start: narrow(start), end: narrow(end) }
    }
}

impl Arena {
    fn push_node(&mut self, node: NodeData) -> u32 {
        let id = u32::try_from(self.nodes.len()).unwrap_or(NONE);
        self.nodes.push(node);
        id
    }

    fn shrink(&mut self) {
        self.nodes.shrink_to_fit();
        self.attrs.shrink_to_fit();
        self.strings.shrink_to_fit();
        self.places.shrink();
    }

    fn name(&self, id: u32) -> &str {
        self.names.get(id as usize).map_or("", |n| n)
    }

    fn string(&self, range: Range) -> &str {
        self.strings.get(range.start as usize..range.end as usize).unwrap_or_default()
    }

    fn intern(&mut self, name: &str) -> u32 {
        if let Some(&id) = self.name_ids.get(name) {
            return id;
        }
        let id = u32::try_from(self.names.len()).unwrap_or(NONE);
        self.names.push(name.into());
        self.name_ids.insert(name.into(), id);
        id
    }
}
