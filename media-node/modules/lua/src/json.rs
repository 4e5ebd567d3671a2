//! `freeswitch.JSON`, written as the reference's JSON library writes it.

use std::cell::Cell;
use std::rc::Rc;

use mlua::{Lua, Table, UserData, UserDataMethods, Value};
use serde_json::{Map, Number, Value as Document};

use crate::argument::{Text, error};
use crate::context::Context;

/// Tables may be nested this deep.
const MAX_DEPTH: usize = 100;

/// The object.
pub(crate) struct Json {
    context: Rc<Context>,
    empty_is_object: Cell<bool>,
    unformatted: Cell<bool>,
}

impl Json {
    pub(crate) fn new(context: &Rc<Context>) -> Self {
        Self {
            context: Rc::clone(context),
            empty_is_object: Cell::new(true),
            unformatted: Cell::new(false),
        }
    }

    fn encode(&self, lua: &Lua, table: &Table) -> mlua::Result<Document> {
        let value = from_table(table, self.empty_is_object.get(), 0);
        value.map_err(|text| error(lua, text))
    }

    fn print(&self, value: &Document) -> String {
        let mut text = String::new();
        write(value, (!self.unformatted.get()).then_some(0), &mut text);
        text
    }

    /// Runs a command of the `json` API; gives its answer.
    fn execute(&self, lua: &Lua, given: Value) -> mlua::Result<Document> {
        let request = match given {
            Value::Table(table) => self.encode(lua, &table)?,
            Value::String(text) => {
                serde_json::from_slice(&text.as_bytes()).unwrap_or(Document::Null)
            }
            _ => Document::Null,
        };
        if request.is_null() {
            return Ok(Document::Null);
        }
        let answer = self.context.run_quietly("json", &request.to_string())?;
        Ok(answer.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or(Document::Null))
    }
}

impl UserData for Json {
    fn add_methods<M: UserDataMethods<Self>>(methods: &mut M) {
        methods.add_method("decode", |lua, _, text: Text| {
            to_lua(lua, &serde_json::from_str(text.or_empty()).unwrap_or(Document::Null))
        });
        methods.add_method("encode", |lua, this, table: Table| {
            Ok(this.print(&this.encode(lua, &table)?))
        });
        methods.add_method("execute", |lua, this, given: Value| {
            let answer = this.execute(lua, given)?;
            to_lua(lua, &answer)
        });
        methods.add_method("execute2", |lua, this, given: Value| {
            Ok(this.print(&this.execute(lua, given)?))
        });
        methods.add_method("encode_empty_table_as_object", |_, this, on: bool| {
            this.empty_is_object.set(on);
            Ok(())
        });
        methods.add_method("return_unformatted_json", |_, this, on: bool| {
            this.unformatted.set(on);
            Ok(())
        });
    }
}

/// A document as a table; nothing for what is no document. Of arrays in arrays and of null nothing is left, as in the
/// reference.
fn to_lua(lua: &Lua, value: &Document) -> mlua::Result<Value> {
    let table = lua.create_table()?;
    match value {
        Document::Object(object) => {
            for (name, value) in object {
                table.raw_set(name.as_str(), item(lua, value, true)?)?;
            }
        }
        Document::Array(items) => {
            let mut index = 1;
            for value in items {
                let value = item(lua, value, false)?;
                if !value.is_nil() {
                    table.raw_set(index, value)?;
                    index += 1;
                }
            }
        }
        _ => return Ok(Value::Nil),
    }
    Ok(Value::Table(table))
}

fn item(lua: &Lua, value: &Document, arrays: bool) -> mlua::Result<Value> {
    Ok(match value {
        Document::Null => Value::Nil,
        Document::Bool(on) => Value::Boolean(*on),
        Document::Number(number) => Value::Number(number.as_f64().unwrap_or(0.0)),
        Document::String(text) => Value::String(lua.create_string(text)?),
        Document::Array(_) if !arrays => Value::Nil,
        Document::Object(_) | Document::Array(_) => to_lua(lua, value)?,
    })
}

/// A table as a document. What the first key met is decides: the number 1 makes it an array.
fn from_table(
    table: &Table,
    empty_is_object: bool,
    depth: usize,
) -> Result<Document, &'static str> {
    if depth >= MAX_DEPTH {
        return Err("JSON: tables are nested too deep");
    }
    let mut object = Map::new();
    let mut items = Vec::new();
    let mut is_array = None;
    for pair in table.pairs::<Value, Value>() {
        let (key, value) = pair.map_err(|_| "JSON: the table cannot be read")?;
        let array = *is_array.get_or_insert(matches!(key, Value::Integer(1)));
        let value = match value {
            Value::Integer(number) => Document::from(number),
            Value::Number(number) => {
                Number::from_f64(number).map_or(Document::Null, Document::Number)
            }
            Value::String(text) => Document::String(text.to_string_lossy()),
            Value::Boolean(on) => Document::Bool(on),
            Value::Table(inner) => from_table(&inner, empty_is_object, depth + 1)?,
            _ => continue,
        };
        if array {
            items.push(value);
        } else {
            let key = match key {
                Value::String(name) => name.to_string_lossy(),
                Value::Integer(number) => number.to_string(),
                Value::Number(number) => number.to_string(),
                _ => continue,
            };
            object.insert(key, value);
        }
    }
    Ok(match is_array {
        Some(true) => Document::Array(items),
        Some(false) => Document::Object(object),
        None if empty_is_object => Document::Object(object),
        None => Document::Array(items),
    })
}

/// Writes a value; `indent` is how deep lines are moved in, `None` writes one line.
fn write(value: &Document, indent: Option<usize>, out: &mut String) {
    match value {
        Document::Object(object) => {
            out.push('{');
            let inner = indent.map(|depth| depth + 1);
            for (at, (name, value)) in object.iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                new_line(inner, out);
                out.push_str(&Document::from(name.as_str()).to_string());
                out.push(':');
                if indent.is_some() {
                    out.push('\t');
                }
                write(value, inner, out);
            }
            if !object.is_empty() || indent.is_some() {
                new_line(indent, out);
            }
            out.push('}');
        }
        Document::Array(items) => {
            out.push('[');
            for (at, value) in items.iter().enumerate() {
                if at > 0 {
                    out.push_str(if indent.is_some() { ", " } else { "," });
                }
                write(value, indent.map(|depth| depth + 1), out);
            }
            out.push(']');
        }
        Document::Number(number) => match number.as_f64() {
            // Whole numbers are written without a fraction.
            Some(float) if float.fract() == 0.0 && float.abs() < 1e15 => {
                out.push_str(&format!("{float:.0}"))
            }
            _ => out.push_str(&number.to_string()),
        },
        other => out.push_str(&other.to_string()),
    }
}

fn new_line(indent: Option<usize>, out: &mut String) {
    if let Some(depth) = indent {
        out.push('\n');
        out.extend(std::iter::repeat_n('\t', depth));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(text: &str, indent: Option<usize>) -> String {
        let mut out = String::new();
        write(&serde_json::from_str(text).unwrap(), indent, &mut out);
        out
    }

    #[test]
    fn documents_look_as_the_reference_prints_them() {
        let text = r#"{"a":1,"b":[1,2.5,{"c":null}],"d":{},"e":"x\ny"}"#;
        assert_eq!(printed(text, None), text);
        assert_eq!(
            printed(text, Some(0)),
            "{\n\t\"a\":\t1,\n\t\"b\":\t[1, 2.5, {\n\t\t\t\"c\":\tnull\n\t\t}],\n\t\"d\":\t{\n\t},\n\t\"e\":\t\"x\\ny\"\n}"
        );
    }

    #[test]
    fn the_first_key_says_whether_a_table_is_an_array() {
        let lua = Lua::new();
        let table = |code: &str| lua.load(code).eval::<Table>().unwrap();
        let json = |code: &str| from_table(&table(code), true, 0).unwrap().to_string();
        assert_eq!(json("{1, 'b', true}"), r#"[1,"b",true]"#);
        assert_eq!(json("{a = {x = 1.5}}"), r#"{"a":{"x":1.5}}"#);
        assert_eq!(json("{}"), "{}");
        assert_eq!(from_table(&table("{}"), false, 0).unwrap().to_string(), "[]");
        let endless = table("local t = {}; t.t = t; return t");
        assert!(from_table(&endless, true, 0).is_err());
    }

    #[test]
    fn a_document_becomes_a_table() {
        let lua = Lua::new();
        let value = to_lua(&lua, &serde_json::from_str(r#"{"a":[1,{"b":"c"}],"n":null}"#).unwrap());
        lua.globals().set("t", value.unwrap()).unwrap();
        let text = "return t.a[1] .. t.a[2].b .. tostring(t.n)";
        assert_eq!(lua.load(text).eval::<String>().unwrap(), "1.0cnil");
    }
}
