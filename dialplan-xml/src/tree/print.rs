//! Printing elements the way the reference does, and the small mutable element it is done on.

use std::fmt;

use base::xml::escape;

use super::Node;

/// A free-standing element that can be changed: what is printed for a merged directory user, or
/// built for a reply.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Element {
    /// Element name.
    pub name: String,
    /// Attributes in order.
    pub attrs: Vec<(String, String)>,
    /// Character data, concatenated.
    pub text: String,
    /// Children, each with how much of `text` precedes it.
    pub children: Vec<(usize, Self)>,
}

impl Element {
    /// An element with nothing in it.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), ..Self::default() }
    }

    /// A copy of a tree's element.
    pub fn from_node(node: Node<'_>) -> Self {
        Self {
            name: node.name().to_owned(),
            attrs: node.attrs().map(|(n, v)| (n.to_owned(), v.to_owned())).collect(),
            text: node.text().to_owned(),
            children: node
                .children()
                .map(|c| (c.text_offset() as usize, Self::from_node(c)))
                .collect(),
        }
    }

    /// The value of an attribute.
    pub fn attr(&self, name: &str) -> Option<&str> {
        self.attrs.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    /// Sets an attribute, keeping its position when it exists.
    pub fn set_attr(&mut self, name: &str, value: &str) {
        match self.attrs.iter_mut().find(|(n, _)| n == name) {
            Some((_, old)) => value.clone_into(old),
            None => self.attrs.push((name.to_owned(), value.to_owned())),
        }
    }

    /// The first child of a name.
    pub fn child(&self, name: &str) -> Option<&Self> {
        self.children.iter().map(|(_, c)| c).find(|c| c.name == name)
    }

    /// The first child of a name, to change it.
    pub fn child_mut(&mut self, name: &str) -> Option<&mut Self> {
        self.children.iter_mut().map(|(_, c)| c).find(|c| c.name == name)
    }

    /// Adds a child after those at text offset 0: where the reference puts elements it makes up.
    pub fn add_child(&mut self, child: Self) -> &mut Self {
        let at = self.children.iter().take_while(|(offset, _)| *offset == 0).count();
        self.children.insert(at, (0, child));
        &mut self.children[at].1
    }

    /// The element as the reference prints it: original character data, two spaces of indent per
    /// level on top of it, a line end after every closing tag.
    pub fn to_xml(&self) -> String {
        let mut out = String::new();
        self.print(&mut out, 0);
        out
    }

    fn print(&self, out: &mut String, depth: usize) {
        for _ in 0..depth {
            out.push_str("  ");
        }
        out.push('<');
        out.push_str(&self.name);
        for (name, value) in &self.attrs {
            out.push(' ');
            out.push_str(name);
            out.push_str("=\"");
            escape(out, value, true);
            out.push('"');
        }
        out.push('>');
        let mut printed = 0;
        for (offset, child) in &self.children {
            // The reference prints the rest of the text when nothing separates two children.
            let offset = (*offset).min(self.text.len());
            let until = if offset > printed { offset } else { self.text.len() };
            escape(out, self.text.get(printed..until).unwrap_or_default(), false);
            child.print(out, depth + 1);
            printed = offset;
        }
        escape(out, self.text.get(printed..).unwrap_or_default(), false);
        out.push_str("</");
        out.push_str(&self.name);
        out.push_str(">\n");
    }
}

/// The name alone: a directory user's element holds passwords.
impl fmt::Debug for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{}>", self.name)
    }
}
