//! Tree to compiled dialplan.

use std::collections::HashMap;
use std::sync::Arc;

use super::Inner;
use super::model::{
    Break, Condition, Context, Expression, Extension, Field, FieldTest, Item, RegexMode, RegexTest,
    Test,
};
use super::time::TimeSpec;
use crate::config::TimezonesConf;
use crate::expand::{expand, has_references};
use crate::regex::Pattern;
use crate::text::{is_true, leading_integer};
use crate::{Diagnostic, NoHost, Node, Place, Tree};

/// Most repeats of one action.
pub(super) const MAX_LOOPS: u32 = 1000;

pub(super) fn compile(tree: &Tree, zones: TimezonesConf) -> (Inner, Vec<Diagnostic>) {
    let mut compiler = Compiler::default();
    let section = tree.section("dialplan");
    let nodes = section.into_iter().flat_map(|s| s.children_named("context"));
    let contexts: Vec<Context> = nodes.map(|node| compiler.context(node)).collect();
    let mut by_name = HashMap::new();
    for (position, context) in contexts.iter().enumerate() {
        by_name.entry(context.name.to_ascii_lowercase()).or_insert(position);
    }
    let fields = compiler.fields;
    (Inner { contexts, by_name, fields, zones }, compiler.diagnostics)
}

#[derive(Default)]
struct Compiler {
    fields: Vec<Box<str>>,
    field_ids: HashMap<String, usize>,
    /// Application names and arguments that repeat are kept once.
    strings: HashMap<Box<str>, Arc<str>>,
    diagnostics: Vec<Diagnostic>,
}

impl Compiler {
    fn context(&mut self, node: Node<'_>) -> Context {
        let name = node.attr_or_empty("name").into();
        let extensions = node.children_named("extension").map(|e| self.extension(e)).collect();
        Context { name, extensions }
    }

    fn extension(&mut self, node: Node<'_>) -> Extension {
        let continue_text = node.attr("continue");
        Extension {
            name: node.attr("name").map(Arc::from),
            continue_text: continue_text.map(Box::from),
            continues: continue_text.is_some_and(is_true),
            conditions: self.conditions(node),
            place: node.place(),
        }
    }

    fn conditions(&mut self, parent: Node<'_>) -> Vec<Condition> {
        parent.children_named("condition").map(|c| self.condition(c)).collect()
    }

    fn condition(&mut self, node: Node<'_>) -> Condition {
        let test = if let Some(mode) = node.attr("regex") {
            let regexes = node.children_named("regex").map(|r| self.regex(r)).collect();
            Test::Multi(RegexMode::parse(mode), regexes)
        } else {
            self.field_test(node).map_or(Test::Absolute, Test::Field)
        };
        Condition {
            breaks: Break::parse(node.attr("break")),
            time: TimeSpec::read(node),
            test,
            actions: self.items(node, "action", false),
            anti: self.items(node, "anti-action", true),
            nested: self.conditions(node),
            require_nested: node.attr("require-nested").is_none_or(is_true),
            place: node.place(),
        }
    }

    fn regex(&mut self, node: Node<'_>) -> RegexTest {
        RegexTest { time: TimeSpec::read(node), test: self.field_test(node), place: node.place() }
    }

    fn field_test(&mut self, node: Node<'_>) -> Option<FieldTest> {
        let written = node.attr("field")?;
        let field = if written.contains('$') {
            Field::Template
        } else {
            Field::Profile(self.field_id(written))
        };
        let child = node.child("expression");
        let (text, place) = match child {
            Some(child) => (child.text(), child.place()),
            None => (node.attr_or_empty("expression"), node.attr_place("expression")),
        };
        let expression = self.expression(text, &place);
        Some(FieldTest { written: written.into(), field, expression, place: node.place() })
    }

    fn expression(&mut self, text: &str, place: &Place) -> Expression {
        if text.contains("${") && has_references(text) {
            return Expression::Dynamic(text.into());
        }
        let text = expand(text, &mut NoHost);
        let captures = text.contains('(');
        match Pattern::cached(&text) {
            Ok(pattern) => Expression::Fixed { pattern, text: text.into(), captures },
            Err(error) => {
                let message = format!(
                    "this expression is not valid and never matches: {} (at offset {})",
                    error.message, error.offset
                );
                let mut found = Diagnostic::error("regex-invalid", message, Some(place.clone()));
                if let Some(rest) = text.get(error.offset..).filter(|rest| !rest.is_empty()) {
                    found = found.with_focus(rest, 0);
                }
                if let Some(hint) = regex_hint(&error.message) {
                    found = found.with_hint(hint);
                }
                self.diagnostics.push(found);
                Expression::Bad { error, captures }
            }
        }
    }

    fn items(&mut self, node: Node<'_>, tag: &str, anti: bool) -> Box<[Item]> {
        node.children_named(tag).filter_map(|item| self.item(item, anti)).collect()
    }

    fn item(&mut self, node: Node<'_>, anti: bool) -> Option<Item> {
        let loops = node.attr("loop").map_or(1, leading_integer);
        let content = node.text();
        let data = if content.is_empty() { node.attr_or_empty("data") } else { content };
        Some(Item {
            application: self.shared(node.attr_or_empty("application")),
            data: self.shared(data),
            inline: node.attr("inline").is_some_and(is_true),
            loops: u32::try_from(loops.max(0)).unwrap_or(u32::MAX).min(MAX_LOOPS),
            anti,
            place: node.place(),
        })
    }

    fn field_id(&mut self, name: &str) -> usize {
        let key = name.to_ascii_lowercase();
        *self.field_ids.entry(key).or_insert_with(|| {
            self.fields.push(name.into());
            self.fields.len() - 1
        })
    }

    fn shared(&mut self, text: &str) -> Arc<str> {
        if let Some(known) = self.strings.get(text) {
            return known.clone();
        }
        let made: Arc<str> = text.into();
        self.strings.insert(text.into(), made.clone());
        made
    }
}

/// What was probably meant, going by the library's own words.
fn regex_hint(message: &str) -> Option<&'static str> {
    [
        ("quantifier does not follow", r"a * or + that is dialled is written \* or \+"),
        ("missing closing parenthesis", r"a ( that is meant as such is written \("),
        ("unmatched closing parenthesis", r"a ) that is meant as such is written \)"),
        ("missing terminating ]", r"a [ that is meant as such is written \["),
    ]
    .into_iter()
    .find_map(|(said, hint)| message.contains(said).then_some(hint))
}
