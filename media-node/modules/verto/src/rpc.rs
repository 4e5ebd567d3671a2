//! JSON-RPC 2.0 as browsers speak it to mod_verto: text to requests, replies to text. Knows no sockets and no calls.
//!
//! Names are found in any case and what follows the first value of a text is passed over, as in the reference, whose
//! parser is as lenient. Nesting is bounded by the parser (128 levels), length by the frame.

use serde_json::{Map, Value, json};

/// The message is no request.
pub const INVALID: i64 = -32600;
/// The method is not there, or not for this client.
pub const NO_METHOD: i64 = -32601;
/// The method refuses.
pub const REFUSED: i64 = -32602;
/// Not logged in.
pub const AUTH_REQUIRED: i64 = -32000;
/// The login is wrong.
pub const AUTH_FAILED: i64 = -32001;
/// The call is not there, or cannot do that.
pub const SESSION_ERROR: i64 = -32002;

/// Requests of one batch that are answered; those behind are not.
pub const MOST_IN_BATCH: usize = 64;

/// An object of JSON.
pub type Object = Map<String, Value>;

/// What a text holds.
#[derive(Clone, Debug, PartialEq)]
pub enum Incoming {
    /// One message.
    One(Message),
    /// Several, answered together.
    Batch(Vec<Message>),
    /// No JSON.
    Nonsense,
}

/// One message.
#[derive(Clone, Debug, PartialEq)]
pub enum Message {
    /// To be answered.
    Request(Request),
    /// The answer to a request of ours.
    Response,
    /// Of another protocol, or none.
    Invalid(Option<Value>),
}

/// A request.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Request {
    /// What the reply is to bear.
    pub id: Option<Value>,
    /// Which method; a request without one is refused after the login.
    pub method: Option<String>,
    /// Its parameters, where they are an object.
    pub params: Option<Object>,
}

/// Reads a text.
#[must_use]
pub fn read(text: &[u8]) -> Incoming {
    let mut values = serde_json::Deserializer::from_slice(text).into_iter::<Value>();
    match values.next() {
        Some(Ok(Value::Array(items))) => {
            Incoming::Batch(items.into_iter().take(MOST_IN_BATCH).map(message).collect())
        }
        Some(Ok(value)) => Incoming::One(message(value)),
        Some(Err(_)) | None => Incoming::Nonsense,
    }
}

fn message(value: Value) -> Message {
    let Value::Object(object) = value else { return Message::Invalid(None) };
    let id = get(&object, "id").cloned();
    if text(&object, "jsonrpc") != Some("2.0") {
        return Message::Invalid(id);
    }
    if get(&object, "result").is_some() {
        return Message::Response;
    }
    Message::Request(Request {
        id,
        method: text(&object, "method").map(str::to_owned),
        params: object_in(&object, "params").cloned(),
    })
}

/// A member of an object, its name in any case.
#[must_use]
pub fn get<'o>(object: &'o Object, name: &str) -> Option<&'o Value> {
    object.get(name).or_else(|| {
        object.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    })
}

/// A member that is a text.
#[must_use]
pub fn text<'o>(object: &'o Object, name: &str) -> Option<&'o str> {
    get(object, name)?.as_str()
}

/// A member that is an object.
#[must_use]
pub fn object_in<'o>(object: &'o Object, name: &str) -> Option<&'o Object> {
    get(object, name)?.as_object()
}

/// Is a member the word `true`?
#[must_use]
pub fn is_true(object: &Object, name: &str) -> bool {
    get(object, name) == Some(&Value::Bool(true))
}

/// Is it that, or a text that means it?
#[must_use]
pub fn means_yes(value: &Value) -> bool {
    match value {
        Value::Bool(yes) => *yes,
        Value::String(text) => base::text::is_true(text),
        _ => false,
    }
}

/// The pairs of an object whose values can stand in a variable: texts that are not empty, and yes or no.
pub fn pairs(object: &Object) -> impl Iterator<Item = (&str, &str)> {
    object.iter().filter(|(name, _)| !name.is_empty()).filter_map(|(name, value)| {
        let value = match value {
            Value::Bool(true) => "true",
            Value::Bool(false) => "false",
            Value::String(text) if !text.is_empty() => text,
            _ => return None,
        };
        Some((name.as_str(), value))
    })
}

/// The reply to a request that was done.
#[must_use]
pub fn done(id: Option<Value>, result: Object) -> Value {
    json!({ "jsonrpc": "2.0", "id": id, "result": result })
}

/// The reply to one that was not.
#[must_use]
pub fn failed(id: Option<Value>, code: i64, message: &str) -> Value {
    json!({ "jsonrpc": "2.0", "id": id, "error": { "code": code, "message": message } })
}

/// The same, with an error of the method's own.
#[must_use]
pub fn failed_with(id: Option<Value>, error: Object) -> Value {
    json!({ "jsonrpc": "2.0", "id": id, "error": error })
}

/// The reply to what is no message of this protocol.
#[must_use]
pub fn not_a_message(message: &str, id: Option<Value>) -> Value {
    json!({ "jsonrpc": "2.0", "error": { "code": INVALID, "message": message }, "id": id })
}

/// A request of ours.
#[must_use]
pub fn request(id: u32, method: &str, params: Object) -> Value {
    json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_read_as_leniently_as_the_reference_reads_them() {
        let read_one = |text: &str| match read(text.as_bytes()) {
            Incoming::One(message) => message,
            other => panic!("{text}: {other:?}"),
        };
        let Message::Request(request) =
            read_one(r#"{"JSONRPC":"2.0","Method":"echo","params":{"a":1},"id":"x"} trailing"#)
        else {
            panic!("no request")
        };
        assert_eq!(request.method.as_deref(), Some("echo"));
        assert_eq!((request.id, request.params.map(|p| p.len())), (Some(json!("x")), Some(1)));
        assert_eq!(read_one(r#"{"id":3}"#), Message::Invalid(Some(json!(3))));
        assert_eq!(read_one("5"), Message::Invalid(None));
        assert_eq!(read_one(r#"{"jsonrpc":"2.0","id":1,"result":{}}"#), Message::Response);
        for nonsense in ["this is not json", "", "{", "\u{0}"] {
            assert_eq!(read(nonsense.as_bytes()), Incoming::Nonsense, "{nonsense}");
        }
        assert_eq!(read(&[0xff, 0xfe]), Incoming::Nonsense);
    }

    #[test]
    fn deep_and_wide_texts_cost_no_more_than_their_length() {
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        assert_eq!(read(deep.as_bytes()), Incoming::Nonsense);
        let wide = format!("[{}1]", "1,".repeat(100_000));
        let Incoming::Batch(messages) = read(wide.as_bytes()) else { panic!("no batch") };
        assert_eq!(messages.len(), MOST_IN_BATCH);
    }

    #[test]
    fn replies_have_their_members_in_the_order_of_the_reference() {
        let error = failed(Some(json!(1)), AUTH_REQUIRED, "Authentication Required");
        assert_eq!(
            error.to_string(),
            r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32000,"message":"Authentication Required"}}"#
        );
        assert_eq!(
            not_a_message("Invalid Request", None).to_string(),
            r#"{"jsonrpc":"2.0","error":{"code":-32600,"message":"Invalid Request"},"id":null}"#
        );
    }
}
