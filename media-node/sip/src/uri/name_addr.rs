//! `"display" <uri>;params`, the value of From, To, Contact, Route and their kin.

use std::fmt;

use super::{Params, Uri};
use crate::message::scan::{find_outside, quote_once, trim};

/// A parsed address header element.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameAddr {
    /// Display name without its quotes; `None` when there is none. Escaped characters in it (`\"`) stay escaped, as
    /// the reference shows them; writing escapes what is not.
    pub display: Option<String>,
    /// The address.
    pub uri: Uri,
    /// Header parameters with their leading `;`, e.g. `;tag=abc`. Empty when none.
    pub params: String,
}

impl NameAddr {
    /// An address without display name or parameters.
    pub fn new(uri: Uri) -> Self {
        Self { display: None, uri, params: String::new() }
    }

    /// Reads one element. Without angle brackets everything after `;` belongs to the header
    /// (RFC 3261 §20.10), and the URI may not hold `?` or a comma.
    pub fn parse(value: &str) -> Option<Self> {
        let value = trim(value);
        let Some(open) = find_open(value) else {
            return Self::parse_bare(value);
        };
        let display = trim(value.get(..open)?);
        let rest = value.get(open + 1..)?;
        let close = rest.find('>')?;
        let uri = rest.get(..close)?;
        let params = trim(rest.get(close + 1..)?);
        if !(params.is_empty() || params.starts_with(';'))
            || !is_display(display)
            || uri.starts_with([' ', '\t'])
        {
            return None;
        }
        Some(Self {
            display: (!display.is_empty()).then(|| bare(display).to_owned()),
            uri: Uri::parse(uri)?,
            params: params.to_owned(),
        })
    }

    fn parse_bare(value: &str) -> Option<Self> {
        let (uri, params) = match value.find(';') {
            Some(at) => value.split_at_checked(at)?,
            None => (value, ""),
        };
        let uri =
            Uri::parse(uri).filter(|u| u.headers().is_empty() && !u.as_str().contains(','))?;
        Some(Self { display: None, uri, params: params.to_owned() })
    }

    /// Header parameters.
    pub fn params(&self) -> Params<'_> {
        Params::new(&self.params)
    }

    /// The dialog tag.
    pub fn tag(&self) -> Option<&str> {
        self.params().get("tag").filter(|t| !t.is_empty())
    }
}

impl fmt::Display for NameAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(display) = &self.display {
            write!(f, "{} ", quote_once(display))?;
        }
        write!(f, "<{}>{}", self.uri, self.params)
    }
}

/// A display name without the quotes around it.
fn bare(display: &str) -> &str {
    display.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(display)
}

/// The opening bracket, looking past a quoted display name.
fn find_open(value: &str) -> Option<usize> {
    find_outside(value, b'<')
}

/// A display name is one quoted string or plain words. Phones leave parentheses and other marks
/// unquoted, which does no harm; an unquoted comma or quote makes the value ambiguous (RFC 4475 §3.1.2.15).
fn is_display(text: &str) -> bool {
    if text.starts_with('"') {
        return text.len() >= 2 && ends_quoted(text);
    }
    !text.contains([',', '"', '>', ';'])
}

/// True when the text is exactly one quoted string.
fn ends_quoted(text: &str) -> bool {
    let mut escaped = false;
    let last = text.len() - 1;
    for (at, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return at == last,
            _ => {}
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoted_names_and_parameters_are_read() {
        let a = NameAddr::parse(r#""Bob \"B\" <x>, Jr." <sip:bob@h;lr>;tag=77;q=0.5"#).unwrap();
        assert_eq!(a.display.as_deref(), Some(r#"Bob \"B\" <x>, Jr."#));
        assert_eq!(a.uri.as_str(), "sip:bob@h;lr");
        assert_eq!((a.tag(), a.params().get("q")), (Some("77"), Some("0.5")));
        assert_eq!(NameAddr::parse(&a.to_string()).unwrap(), a);
    }

    #[test]
    fn without_brackets_parameters_belong_to_the_header() {
        let a = NameAddr::parse("sip:bob@h;tag=1").unwrap();
        assert_eq!((a.uri.as_str(), a.tag()), ("sip:bob@h", Some("1")));
    }

    #[test]
    fn malformed_addresses_are_refused() {
        for bad in [
            "Bell, Alexander <sip:a@h>;tag=1",
            "\"unbalanced <sip:a@h>",
            "<sip:a@h",
            "\"Watson\" < t.watson@example.org >",
            "sip:user@example.com?Route=%3Csip:x%3E",
            "",
        ] {
            assert!(NameAddr::parse(bad).is_none(), "{bad}");
        }
    }
}
