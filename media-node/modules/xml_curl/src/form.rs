//! A lookup as a web server is asked it: five fixed fields, then its parameters, as a form.

use std::fmt::Write;

use crate::xml::Lookup;

/// The fixed fields together are cut here, in bytes (reference behaviour).
const FIXED_MAX: usize = 511;

/// The request's body. `only` names the parameters to send (in exact case); empty means all.
#[must_use]
pub fn form(lookup: &Lookup<'_>, switchname: &str, only: &[String]) -> String {
    let mut form = format!(
        "hostname={switchname}&section={}&tag_name={}&key_name={}&key_value={}",
        lookup.section, lookup.tag_name, lookup.key_name, lookup.key_value
    );
    form.truncate(form.floor_char_boundary(FIXED_MAX));
    each_param(lookup, only, |name, value| {
        form.push('&');
        form.push_str(name);
        form.push('=');
        encode(&mut form, value);
    });
    form
}

/// The request without what differs from one request to the next whatever is asked: equal for equal questions.
#[must_use]
pub fn question(lookup: &Lookup<'_>, only: &[String]) -> String {
    let mut key = [lookup.section, lookup.tag_name, lookup.key_name, lookup.key_value].join("\n");
    each_param(lookup, only, |name, value| {
        if !is_stamp(name) {
            let _written = write!(key, "\n{name}={value}");
        }
    });
    key
}

fn each_param(lookup: &Lookup<'_>, only: &[String], mut visit: impl FnMut(&str, &str)) {
    let Some(params) = lookup.params else { return };
    params.for_each_header(|name, value| {
        if only.is_empty() || only.iter().any(|wanted| wanted == name) {
            visit(name, &value.text());
        }
    });
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
    use esl_server::event::{Event, EventName};

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
            form(&Lookup::domain("a&b c", &params), "host", &[]),
            "hostname=host&section=directory&tag_name=domain&key_name=name&key_value=a&b c\
             &action=sip_auth\
             &sip_auth_uri=sip%3Aa%20b%40example.com%3Bx%3D%2F%252f&user=%C3%BC/(1000)"
        );
    }

    #[test]
    fn a_configuration_document_is_asked_for_without_parameters() {
        assert_eq!(
            form(&Lookup::configuration("acl.conf", None), "h", &[]),
            "hostname=h&section=configuration&tag_name=configuration&key_name=name&key_value=acl.conf"
        );
    }

    #[test]
    fn only_wanted_parameters_are_sent_in_exact_case() {
        let params = params();
        let only = ["user".to_owned(), "Action".to_owned()];
        let form = form(&Lookup::section("directory", &params), "h", &only);
        assert!(form.ends_with("&key_value=&user=%C3%BC/(1000)"), "{form}");
    }

    #[test]
    fn the_fixed_fields_are_cut_at_511_bytes() {
        let long = "ä".repeat(400);
        let lookup = Lookup { key_value: &long, ..Lookup::configuration("", None) };
        let form = form(&lookup, "h", &[]);
        assert!((510..=FIXED_MAX).contains(&form.len()), "{}", form.len());
    }

    #[test]
    fn equal_questions_differ_in_stamps_only() {
        let (mut first, mut second) = (params(), params());
        first.push("Event-Sequence", "1");
        second.push("Event-Sequence", "2");
        let key = |params: &Event| question(&Lookup::domain("d", params), &[]);
        assert_eq!(key(&first), key(&second));
        second.push("ip", "10.0.0.1");
        assert_ne!(key(&first), key(&second));
    }
}
