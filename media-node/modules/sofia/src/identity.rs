//! Who calls, from the headers that may say so: `From`, `Remote-Party-ID`, `P-Asserted-Identity`,
//! `P-Preferred-Identity` (RFC 3325), each of which may name several addresses.

use sip::message::{Headers, Request};
use sip::uri::{NameAddr, Params, unescape};

/// The name of a caller who has none and no number either.
const NOBODY: &str = "unknown";

/// A caller as his INVITE shows him.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallerIdentity {
    /// Name to show.
    pub name: String,
    /// Number; empty when no header has one.
    pub number: String,
    /// Parameters of the number (`sip_name_params`): what follows its first semicolon.
    pub params: Option<String>,
    /// The number was verified (`screen` of `Remote-Party-ID`).
    pub screen: bool,
    /// The name is not to be shown.
    pub hide_name: bool,
    /// The number is not to be shown.
    pub hide_number: bool,
}

impl CallerIdentity {
    /// Reads the headers. Later ones override earlier ones, name and number each only where they have one.
    #[must_use]
    pub fn of(request: &Request) -> Self {
        let headers = &request.headers;
        let from = headers.from_addr();
        let user = from.as_ref().and_then(|from| from.uri.user()).unwrap_or_default();
        let shown = from.as_ref().and_then(|from| from.display.as_deref()).unwrap_or_default();
        let default = if user.is_empty() { NOBODY } else { user };
        let mut out = Self {
            name: plain_name(shown).unwrap_or_else(|| default.to_owned()),
            number: user.to_owned(),
            params: None,
            screen: true,
            hide_name: false,
            hide_number: false,
        };
        for header in ["Remote-Party-ID", "P-Asserted-Identity", "P-Preferred-Identity"] {
            if let Some(named) = Named::in_header(headers, header) {
                out.overlay(&named);
                if header == "Remote-Party-ID" {
                    out.read_party(named.address.params());
                }
            }
        }
        let private = ["id", "user", "full"];
        if privacy(headers).any(|word| private.iter().any(|hides| word.eq_ignore_ascii_case(hides)))
        {
            out.hide_name = true;
            out.hide_number = true;
        }
        if let Some((number, params)) = out.number.split_once(';') {
            (out.number, out.params) = (number.to_owned(), Some(params.to_owned()));
        }
        out
    }

    fn overlay(&mut self, named: &Named<'_>) {
        if let Some(user) = named.address.uri.user().filter(|user| !user.is_empty()) {
            user.clone_into(&mut self.number);
        }
        if let Some(name) = named.display.as_deref().and_then(plain_name) {
            self.name = name;
        }
    }

    /// `screen` and `privacy` of `Remote-Party-ID`.
    fn read_party(&mut self, params: Params<'_>) {
        let word = |name: &str| params.get(name).map(|value| value.trim_matches('"'));
        self.screen = !word("screen").is_some_and(|value| value.eq_ignore_ascii_case("no"));
        for privacy in word("privacy").unwrap_or_default().split([';', ',', ' ']) {
            let is = |words: &[&str]| words.iter().any(|w| privacy.eq_ignore_ascii_case(w));
            self.hide_name |= is(&["yes", "full", "name"]);
            self.hide_number |= is(&["yes", "full", "uri", "number"]);
        }
    }
}

/// The address an identity header is read for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named<'a> {
    /// The first address that has a number; else the first.
    pub address: NameAddr,
    /// That element of the header, as sent.
    pub text: &'a str,
    /// The first display name there is, beginning with the address's own.
    pub display: Option<String>,
}

impl<'a> Named<'a> {
    /// Looks through all addresses of a header, on all its lines.
    #[must_use]
    pub fn in_header(headers: &'a Headers, header: &'a str) -> Option<Self> {
        let mut first: Option<Self> = None;
        for text in headers.list_named(header) {
            let Some(address) = NameAddr::parse(text) else { continue };
            let display = address.display.clone().filter(|name| !name.is_empty());
            let has_number = address.uri.user().is_some_and(|user| !user.is_empty());
            let earlier = first.as_ref().and_then(|named| named.display.clone());
            let named = Self { address, text, display: display.or(earlier) };
            if has_number {
                return Some(named);
            }
            first.get_or_insert(named);
        }
        first
    }
}

/// The values of `Privacy`, on all its lines.
pub fn privacy(headers: &Headers) -> impl Iterator<Item = &str> {
    let values = headers.all_named("Privacy").flat_map(|value| value.split([';', ',']));
    values.map(str::trim).filter(|value| !value.is_empty())
}

/// A display name as callers are shown: escapes of bytes (`%C3%A9`) undone, as in the reference.
fn plain_name(display: &str) -> Option<String> {
    Some(unescape(display)).filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use sip::message::Method;
    use sip::uri::Uri;

    fn caller(lines: &[(&str, &str)]) -> CallerIdentity {
        let mut request = Request::new(Method::Invite, Uri::parse("sip:9@h").unwrap());
        request.headers = lines.iter().copied().collect();
        CallerIdentity::of(&request)
    }

    #[test]
    fn the_first_identity_with_a_number_is_the_caller() {
        let anonymous = ("From", "\"Anonymous\" <sip:anonymous@anonymous.invalid>;tag=1");
        for (headers, name, number) in [
            (vec![], "Anonymous", "anonymous"),
            (
                vec![(
                    "P-Asserted-Identity",
                    "\"P, Q\" <sip:+15550100@example.net>, <tel:+15550199>",
                )],
                "P, Q",
                "+15550100",
            ),
            (
                vec![
                    ("P-Asserted-Identity", "\"P\" <sip:example.net>"),
                    ("p-asserted-identity", "<tel:+15550199>"),
                ],
                "P",
                "+15550199",
            ),
            (vec![("P-Asserted-Identity", "<tel:+1-555;phone-context=x>")], "Anonymous", "+1-555"),
            (
                vec![
                    ("Remote-Party-ID", "\"R\" <sip:1@h>;party=calling;privacy=\"full\""),
                    ("P-Preferred-Identity", "<sip:2@h>"),
                ],
                "R",
                "2",
            ),
            (vec![("P-Asserted-Identity", "nonsense")], "Anonymous", "anonymous"),
        ] {
            let lines: Vec<_> = std::iter::once(anonymous).chain(headers.clone()).collect();
            let caller = caller(&lines);
            assert_eq!(
                (caller.name.as_str(), caller.number.as_str()),
                (name, number),
                "{headers:?}"
            );
        }
    }

    #[test]
    fn a_caller_may_have_no_number_or_one_with_parameters() {
        let nobody = caller(&[("From", "<sip:trunk.example.com>;tag=1")]);
        assert_eq!((nobody.name.as_str(), nobody.number.as_str()), ("unknown", ""));
        let tel = caller(&[("From", "<sip:+1555;ext=7;cpc=payphone@h;user=phone>;tag=1")]);
        assert_eq!(
            (tel.number.as_str(), tel.params.as_deref()),
            ("+1555", Some("ext=7;cpc=payphone"))
        );
        let accent = caller(&[("From", "\"Caf%C3%A9 \\\"X\\\"\" <sip:1@h>;tag=1")]);
        assert_eq!(accent.name, "Café \\\"X\\\"");
    }

    #[test]
    fn privacy_is_a_list() {
        let from = ("From", "<sip:1@h>;tag=1");
        let hidden = |lines: &[(&str, &str)]| {
            let caller = caller(&[&[from][..], lines].concat());
            (caller.hide_name, caller.hide_number, caller.screen)
        };
        assert_eq!(hidden(&[("Privacy", "header;session; ID")]), (true, true, true));
        assert_eq!(hidden(&[("Privacy", "none"), ("Privacy", "id;critical")]), (true, true, true));
        assert_eq!(hidden(&[("Privacy", "none")]), (false, false, true));
        let rpid = |params: &str| hidden(&[("Remote-Party-ID", &format!("<sip:1@h>{params}"))]);
        assert_eq!(rpid(";privacy=name;screen=No"), (true, false, false));
        assert_eq!(rpid(";privacy=\"uri;name\""), (true, true, true));
        assert_eq!(rpid(";note=\"privacy=full;screen=no\""), (false, false, true));
    }
}
