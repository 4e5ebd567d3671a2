//! What a source of XML is asked.

use dialplan_xml::Tree;
use esl_server::event::Event;

/// One lookup in the XML registry.
#[derive(Clone, Copy)]
pub struct Lookup<'a> {
    /// `configuration`, `directory`, `dialplan`, …
    pub section: &'a str,
    /// Element looked for; empty for the section itself.
    pub tag_name: &'a str,
    /// Attribute it is known by.
    pub key_name: &'a str,
    /// That attribute's value.
    pub key_value: &'a str,
    /// What goes along; configuration documents go without.
    pub params: Option<&'a Event>,
}

impl<'a> Lookup<'a> {
    /// A whole section.
    #[must_use]
    pub const fn section(section: &'a str, params: &'a Event) -> Self {
        Self { section, tag_name: "", key_name: "", key_value: "", params: Some(params) }
    }

    /// A domain of the directory.
    #[must_use]
    pub const fn domain(name: &'a str, params: &'a Event) -> Self {
        Self {
            section: "directory",
            tag_name: "domain",
            key_name: "name",
            key_value: name,
            params: Some(params),
        }
    }

    /// A configuration document.
    #[must_use]
    pub const fn configuration(name: &'a str, params: Option<&'a Event>) -> Self {
        Self {
            section: "configuration",
            tag_name: "configuration",
            key_name: "name",
            key_value: name,
            params,
        }
    }

    /// Is what is looked for in a document?
    #[must_use]
    pub fn is_in(&self, tree: &Tree) -> bool {
        if self.tag_name.is_empty() {
            return tree.section(self.section).is_some();
        }
        tree.locate(self.section, self.tag_name, self.key_name, self.key_value).is_some()
    }
}
