//! `XML`: documents that scripts read and make. Between `classes.js` and here they are JSON: name, text, attributes, children with how
//! much of the text precedes each.

use std::rc::Rc;

use dialplan_xml::Element;
use rquickjs::{Ctx, Exception};
use serde_json::{Value, json};

use crate::context::Context;
use crate::values::{Answer, Given};

/// Longest text of a document, in octets: what it becomes meanwhile is many times as much.
const LONGEST: usize = 1 << 20;

fn bounded<'js>(ctx: &Ctx<'js>, text: String) -> rquickjs::Result<String> {
    match text.len() <= LONGEST {
        true => Ok(text),
        false => Err(Exception::throw_range(ctx, &format!("XML: more than {LONGEST} octets"))),
    }
}

/// Reads a document. Nothing where it is none: the log says why.
pub(crate) fn parse<'js>(
    ctx: &Ctx<'js>,
    _: &Rc<Context>,
    given: &Given<'js>,
) -> rquickjs::Result<Answer<'js>> {
    let loaded = dialplan_xml::parse_raw(&bounded(ctx, given.text(0))?, "XML");
    let root = loaded.tree.as_ref().map(|tree| Element::from_node(tree.root()));
    if root.is_none() {
        tracing::error!("XML: {}", loaded.status);
    }
    Ok(root.map(|root| told(&root).to_string()).into())
}

/// Prints a document as the switch does.
pub(crate) fn print<'js>(
    ctx: &Ctx<'js>,
    _: &Rc<Context>,
    given: &Given<'js>,
) -> rquickjs::Result<Answer<'js>> {
    let value: Option<Value> = serde_json::from_str(&bounded(ctx, given.text(0))?).ok();
    match value.as_ref().and_then(element) {
        Some(element) => Ok(Answer::Text(element.to_xml())),
        None => Err(Exception::throw_range(ctx, "XML: elements are nested too deep")),
    }
}

fn told(element: &Element) -> Value {
    let children = element.children.iter().flat_map(|(at, child)| [json!(at), told(child)]);
    json!([element.name, element.text, element.attrs, children.collect::<Vec<_>>()])
}

fn element(value: &Value) -> Option<Element> {
    let text = |at: usize| value.get(at).and_then(Value::as_str).map(str::to_owned);
    let attrs = value.get(2)?.as_array()?.iter().map(|pair| {
        let part = |at: usize| pair.get(at).and_then(Value::as_str).map(str::to_owned);
        Some((part(0)?, part(1)?))
    });
    let children =
        value.get(3)?.as_array()?.chunks_exact(2).map(|pair| {
            Some((usize::try_from(pair.first()?.as_u64()?).ok()?, element(pair.get(1)?)?))
        });
    Some(Element {
        name: text(0)?,
        text: text(1)?,
        attrs: attrs.collect::<Option<_>>()?,
        children: children.collect::<Option<_>>()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_survive_the_way_there_and_back() {
        let text = "<a x=\"1\">t<b>u</b>v<c/></a>";
        let tree = dialplan_xml::parse_raw(text, "test").tree.unwrap();
        let root = Element::from_node(tree.root());
        let there = told(&root);
        assert_eq!(
            there.to_string(),
            r#"["a","tv",[["x","1"]],[1,["b","u",[],[]],2,["c","",[],[]]]]"#
        );
        assert_eq!(element(&there), Some(root));
        assert_eq!(element(&json!(["a", "t", [], [1]])).map(|a| a.children.len()), Some(0));
        assert_eq!(element(&json!(["a", 1, [], []])), None);
    }
}
