//! What a binding is asked: five fixed fields, then the parameters of the lookup, as a form.

use std::fmt::Write;

use dialplan_xml::Tree;
use esl_server::event::Event;

/// The fixed fields together are cut here, in bytes (reference behaviour).
const FIXED_MAX: usize = 511;

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

    /// The request's body. `only` names the parameters to send (in exact case); empty means all.
    #[must_use]
    pub fn form(&self, switchname: &str, only: &[String]) -> String {
        let mut form = format!(
            "hostname={switchname}&section={}&tag_name={}&key_name={}&key_value={}",
            self.section, self.tag_name, self.key_name, self.key_value
        );
        form.truncate(form.floor_char_boundary(FIXED_MAX));
        self.each_param(only, |name, value| {
            form.push('&');
            form.push_str(name);
            form.push('=');
            encode(&mut form, value);
        });
        form
    }

    /// The request without what differs from one request to the next whatever is asked: equal for equal questions.
    #[must_use]
    pub fn question(&self, only: &[String]) -> String {
        let mut key = [self.section, self.tag_name, self.key_name, self.key_value].join("\n");
        self.each_param(only, |name, value| {
            if !is_stamp(name) {
                let _written = write!(key, "\n{name}={value}");
            }
        });
        key
    }

    fn each_param(&self, only: &[String], mut visit: impl FnMut(&str, &str)) {
        let Some(params) = self.params else { return };
        params.for_each_header(|name, value| {
            if only.is_empty() || only.iter().any(|wanted| wanted == name) {
                visit(name, &value.text());
            }
        });
    }
}

/// Headers every event gets from the switch itself.
fn is_stamp(name: &str) -> bool {
    name == "Core-UUID" || name.starts_with("Event-") || name.starts_with("FreeSWITCH-")
}

/// Appends a value in the reference's URL encoding: `%XX` in upper case stays as it is.
fn encode(out: &mut String, value: &str) {
    let bytes = value.as_bytes();
    for (at, &byte) in bytes.iter().enumerate() {
        let encoded_already = byte == b'%'
            && matches!(bytes.get(at + 1..at + 3), Some([a, b]) if upper_hex(*a) && upper_hex(*b));
        if encoded_already || (byte.is_ascii_graphic() && !UNSAFE.contains(&byte)) {
            out.push(char::from(byte));
        } else {
            let _written = write!(out, "%{byte:02X}");
        }
    }
}

const UNSAFE: &[u8] = b"\"#%&+:;<=>?@[\\]^`{|}";

const fn upper_hex(byte: u8) -> bool {
    byte.is_ascii_digit() || matches!(byte, b'A'..=b'F')
}

#[cfg(test)]
mod tests {
    use esl_server::event::EventName;

    use super::*;

    fn params() -> Event {
        let mut params = Event::new(EventName::RequestParams);
        params.push("action", "sip_auth");
        params.push("sip_auth_uri", "sip:a b@example.com;x=%2F%2f");
        params.push("user", "ü/(1000)");
        params
    }

    #[test]
    fn the_form_has_the_fixed_fields_bare_and_the_parameters_encoded() {
        let params = params();
        assert_eq!(
            Lookup::domain("a&b c", &params).form("host", &[]),
            "hostname=host&section=directory&tag_name=domain&key_name=name&key_value=a&b c\
             &action=sip_auth\
             &sip_auth_uri=sip%3Aa%20b%40example.com%3Bx%3D%2F%252f&user=%C3%BC/(1000)"
        );
    }

    #[test]
    fn a_configuration_document_is_asked_for_without_parameters() {
        assert_eq!(
            Lookup::configuration("acl.conf", None).form("h", &[]),
            "hostname=h&section=configuration&tag_name=configuration&key_name=name&key_value=acl.conf"
        );
    }

    #[test]
    fn only_wanted_parameters_are_sent_in_exact_case() {
        let params = params();
        let only = ["user".to_owned(), "Action".to_owned()];
        let form = Lookup::section("directory", &params).form("h", &only);
        assert!(form.ends_with("&key_value=&user=%C3%BC/(1000)"), "{form}");
    }

    #[test]
    fn the_fixed_fields_are_cut_at_511_bytes() {
        let long = "ä".repeat(400);
        let lookup = Lookup { key_value: &long, ..Lookup::configuration("", None) };
        let form = lookup.form("h", &[]);
        assert!((510..=FIXED_MAX).contains(&form.len()), "{}", form.len());
    }

    #[test]
    fn equal_questions_differ_in_stamps_only() {
        let (mut first, mut second) = (params(), params());
        first.push("Event-Sequence", "1");
        second.push("Event-Sequence", "2");
        let key = |params: &Event| Lookup::domain("d", params).question(&[]);
        assert_eq!(key(&first), key(&second));
        second.push("ip", "10.0.0.1");
        assert_ne!(key(&first), key(&second));
    }
}
