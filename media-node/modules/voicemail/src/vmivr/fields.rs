//! What phrases speak of: fields that stand for `${…}` in their macros.

use base::far;
use esl_server::event::url_encode_whole;

/// Names and values; each name once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Fields(Vec<(String, String)>);

impl Fields {
    pub(super) fn set(&mut self, name: &str, value: impl Into<String>) {
        self.unset(name);
        self.0.push((name.to_owned(), value.into()));
    }

    pub(super) fn unset(&mut self, name: &str) {
        self.0.retain(|(one, _)| !one.eq_ignore_ascii_case(name));
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        let mut all = self.0.iter();
        all.find(|(one, _)| one.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    pub(super) fn number(&self, name: &str) -> i64 {
        self.get(name).map_or(0, switch_core::text::int)
    }

    /// Takes over what a command said: the members of a JSON object whose names begin with `VM-`. False if that is none.
    pub(super) fn fill(&mut self, reply: &str) -> bool {
        let Ok(serde_json::Value::Object(members)) = serde_json::from_str(reply) else {
            return false;
        };
        for (name, value) in members {
            let vm = name.get(..3).is_some_and(|start| start.eq_ignore_ascii_case("VM-"));
            match value {
                serde_json::Value::String(text) if vm => self.set(&name, text),
                serde_json::Value::Number(number) if vm => self.set(&name, number.to_string()),
                _ => {}
            }
        }
        true
    }

    /// The macro as a prompt about the fields. Names and numbers of callers are data; what names a file is a path.
    pub(super) fn prompt(&self, phrase: &str, data: &str) -> String {
        let field = |(name, value): &(String, String)| {
            let value = if name.ends_with("-Path") { value.clone() } else { far::mark(value) };
            format!("{}={}", url_encode_whole(name), url_encode_whole(&value))
        };
        let fields: Vec<_> = self.0.iter().map(field).collect();
        format!("phrase:{{{}}}{phrase}:{}", fields.join("&"), far::mark(data))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_fill_fields() {
        let mut fields = Fields::default();
        fields.set("VM-Message-Flags", "save");
        assert!(fields.fill(
            r#"{"Event-Name":"REQUEST_PARAMS","VM-Message-Flags":"","vm-count":"3","VM-X":4,"VM-Y":null}"#
        ));
        assert_eq!(fields.get("vm-message-flags"), Some(""));
        assert_eq!((fields.number("VM-Count"), fields.number("VM-X")), (3, 4));
        assert_eq!(fields.get("Event-Name"), None);
        assert!(!fields.fill("-ERR Profile not found\n"));
    }

    #[test]
    fn a_prompt_carries_what_a_caller_said_as_data() {
        let mut fields = Fields::default();
        fields.set("VM-Name", "a},${b}");
        fields.set("VM-Message-File-Path", "/a,b}.wav");
        let prompt = fields.prompt("hi@g", "x:y");
        let (head, rest) = prompt.split_once('}').unwrap();
        assert!(head.starts_with("phrase:{VM-Name=a%"), "{head}");
        assert!(head.ends_with("File-Path=/a,b%7D.wav"), "{head}");
        assert_eq!(rest, format!("hi@g:{}", far::mark("x:y")));
    }
}
