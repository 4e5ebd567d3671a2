//! The dialplan `LUA`: a script, named by the context, that answers with the global `ACTIONS`.

use mlua::{Table, Value};
use scripting::program::Program;
use scripting::{Language as _, application};

use crate::call::{Extension, Session};
use crate::language::Lua;

/// The script of a call without a context.
const DEFAULT: &str = "lua/dialplan.lua";

/// Finds the extension of a call.
pub(crate) async fn find(session: &mut Session, number: &str) -> Option<Extension> {
    let (context, name) = session.channel().with(|data| {
        let profile = data.profile.as_ref()?;
        Some((profile.context.clone(), profile.caller_id_name.clone()))
    })?;
    let context = if context.is_empty() { DEFAULT.to_owned() } else { context };
    let uuid = session.channel().uuid().to_string();
    tracing::info!(%uuid, "Processing {name}->{number} in context/script {context}");
    let outcome = match Program::read(&Lua::NAMES, &context) {
        Ok(program) => application::run::<Lua>(session, program).await,
        Err(refused) => Err(refused),
    };
    match outcome.map(|outcome| outcome.actions) {
        Ok(Some(actions)) => {
            for (application, data) in &actions {
                tracing::debug!(%uuid, "Dialplan: {} Action {application}({data})", session.channel().name());
            }
            Some(Extension::new("_anon_", number, actions))
        }
        Ok(None) => {
            tracing::error!(%uuid, "Global variable ACTIONS may only be a table");
            Some(Extension::new("_anon_", number, Vec::<(String, String)>::new()))
        }
        Err(refused) => {
            tracing::error!(%uuid, "{refused}");
            None
        }
    }
}

/// The applications a script gives: names, or tables of a name and an argument. None at all if one of them is something
/// else.
pub(crate) fn actions(table: &Table) -> Vec<(String, String)> {
    let mut actions = Vec::new();
    for entry in table.pairs::<Value, Value>().map_while(Result::ok).map(|(_, value)| value) {
        match action(&entry) {
            Ok(action) => actions.extend(action),
            Err(what) => {
                tracing::error!("{what}");
                return Vec::new();
            }
        }
    }
    actions
}

fn action(entry: &Value) -> Result<Option<(String, String)>, &'static str> {
    let text = |value: Value, what| match value {
        Value::String(text) => Ok(text.to_string_lossy()),
        Value::Integer(number) => Ok(number.to_string()),
        Value::Number(number) => Ok(number.to_string()),
        _ => Err(what),
    };
    match entry {
        Value::Table(table) => {
            let mut values = table.pairs::<Value, Value>().map_while(Result::ok).map(|(_, v)| v);
            let Some(first) = values.next() else { return Ok(None) };
            let application = text(
                first,
                "First element in each table in the ACTIONS table may only be a string - application name",
            )?;
            let data = values.next().map_or(Ok(String::new()), |second| {
                text(
                    second,
                    "Second (optional) element in each table in the ACTIONS table may only be a string - app_data",
                )
            })?;
            Ok(Some((application, data)))
        }
        other => {
            let application =
                text(other.clone(), "ACTIONS table may only contain strings or tables")?;
            Ok(Some((application, String::new())))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(code: &str) -> Vec<(String, String)> {
        actions(&mlua::Lua::new().load(code).eval().unwrap())
    }

    #[test]
    fn actions_have_three_forms() {
        let wanted = [("answer", ""), ("playback", "x.wav"), ("hangup", "")];
        let wanted: Vec<_> =
            wanted.iter().map(|(a, d)| ((*a).to_owned(), (*d).to_owned())).collect();
        assert_eq!(of("{'answer', {'playback', 'x.wav'}, {'hangup'}}"), wanted);
    }

    #[test]
    fn one_that_is_neither_undoes_all() {
        assert!(of("{'answer', true}").is_empty());
        assert!(of("{'answer', {{}}}").is_empty());
    }
}
