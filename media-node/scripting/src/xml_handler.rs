//! `xml-handler-script`: a script that answers lookups of XML with the global `XML_STRING`.

use std::sync::Arc;
use std::time::Duration;

use dialplan_xml::Tree;
use parking_lot::RwLock;

use crate::program::Program;
use crate::scripts::{Outcome, Scripts, Started, Task};
use crate::switch::Switch;
use crate::xml::{Lookup, Unanswered, XmlSource};
use crate::{BoxFuture, Language};

/// The script in use, if there is one.
pub struct Handler<L>(RwLock<Option<Arc<Scripts<L>>>>);

impl<L> Default for Handler<L> {
    fn default() -> Self {
        Self(RwLock::default())
    }
}

impl<L: Language> Handler<L> {
    /// From now on the settings of these scripts say who answers for what.
    pub fn follow(&self, scripts: Arc<Scripts<L>>) {
        *self.0.write() = Some(scripts);
    }
}

impl<L: Language> XmlSource for Handler<L> {
    fn serves(&self, section: &str) -> bool {
        self.0.read().as_ref().is_some_and(|scripts| scripts.settings.load().serves(section))
    }

    fn ask<'a>(
        &'a self,
        switch: &'a Arc<Switch>,
        lookup: &'a Lookup<'a>,
    ) -> BoxFuture<'a, Result<Option<Tree>, Unanswered>> {
        Box::pin(ask::<L>(switch, lookup))
    }
}

async fn ask<L: Language>(
    switch: &Arc<Switch>,
    lookup: &Lookup<'_>,
) -> Result<Option<Tree>, Unanswered> {
    let settings = switch.module::<Scripts<L>>().settings.load_full();
    let Some(script) = &settings.handler else { return Ok(None) };
    let Lookup { section, tag_name, key_name, key_value, params } = *lookup;
    let events = params.map(|params| ("params", params.clone())).into_iter().collect();
    let request = Some([section, tag_name, key_name, key_value].map(str::to_owned));
    let started = Program::read(&L::NAMES, script).and_then(|program| {
        Scripts::<L>::start(switch, Task { events, request, ..Task::new(program) })
    });
    let outcome = match started {
        Ok(started) => within(started, settings.handler_timeout).await,
        Err(refused) => {
            tracing::error!("xml-handler-script: {refused}");
            return Err(Unanswered);
        }
    };
    if outcome.failed {
        tracing::error!("{} script parse/execute error!", L::NAMES.title);
        return Err(Unanswered);
    }
    match outcome.xml.as_deref() {
        None => Ok(None),
        Some("") => {
            tracing::error!("No Result");
            Ok(None)
        }
        Some(text) => read(L::NAMES.thread, text),
    }
}

/// The script's outcome; one that takes too long is ended.
async fn within(started: Started, limit: Option<Duration>) -> Outcome {
    let script = Arc::clone(&started.script);
    let outcome = started.outcome();
    tokio::pin!(outcome);
    if let Some(limit) = limit {
        match tokio::time::timeout(limit, &mut outcome).await {
            Ok(outcome) => return outcome,
            Err(_) => {
                let conf = script.names().conf;
                script.kill(&format!("xml-handler-timeout of {conf} is over"));
                // It ends at its next instruction, unless it is in a call of the system: the lookup is over.
                return Outcome { failed: true, ..Outcome::default() };
            }
        }
    }
    outcome.await
}

fn read(language: &str, text: &str) -> Result<Option<Tree>, Unanswered> {
    let loaded = dialplan_xml::parse_raw(text, &format!("{language}:xml-handler-script"));
    let Some(tree) = loaded.tree else {
        tracing::error!("Error Parsing XML Result! {}", loaded.status);
        return Err(Unanswered);
    };
    Ok((!is_not_found(&tree)).then_some(tree))
}

/// `<section name="result"><result status="not found"/></section>`.
fn is_not_found(tree: &Tree) -> bool {
    let result = tree.section("result").and_then(|section| section.child("result"));
    result.is_some_and(|result| result.attr_or_empty("status").eq_ignore_ascii_case("not found"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_documents_or_not_found() {
        let document =
            |inside: &str| format!(r#"<document type="freeswitch/xml">{inside}</document>"#);
        assert!(read("x", &document(r#"<section name="dialplan"/>"#)).unwrap().is_some());
        let nothing = document(r#"<section name="result"><result status="not found"/></section>"#);
        assert!(read("x", &nothing).unwrap().is_none());
        assert_eq!(read("x", "<document>").err(), Some(Unanswered));
    }
}
