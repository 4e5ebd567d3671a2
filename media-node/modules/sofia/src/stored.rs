//! Contacts as they are kept: fit for the dial strings they become part of, with the way back to where they came from.

use std::borrow::Cow;

use sip::message::{Name, Request};
use sip::stack::Path;
use sip::uri::{NameAddr, SipUri, escape_param};

/// `"display" <sip:user@host...>` as kept and shown; behind NAT with the way back to the source.
pub(super) fn stored_contact(
    contact: &NameAddr,
    request: &Request,
    path: &Path,
    natted: bool,
) -> String {
    // Quotes and brackets in a name would end it: the rest would read as another contact.
    let display =
        contact.display.as_deref().unwrap_or_default().replace(['"', '\\', '<', '>'], " ");
    let uri = contact.uri.without_headers();
    let address = in_dial_string(uri.as_str());
    let paths: Vec<_> = request.headers.list(Name::Path).collect();
    let mut extra = if natted { ";fs_nat=yes".to_owned() } else { String::new() };
    if !paths.is_empty() {
        // The proxies on the way know the way back (RFC 3327), whatever the address looks like.
        extra.push_str(&format!(";fs_path={}", escape_param(&paths.join(","))));
    } else if natted {
        let user = uri.user().unwrap_or_default();
        let params = uri.params().as_str();
        let back = SipUri::new(user, path.remote).params(params).to_string();
        extra.push_str(&format!(";fs_path={}", escape_param(&back)));
    }
    format!("\"{display}\" <{address}{extra}>")
}

/// A phone's address, fit for the dial strings it becomes part of: what separates legs there is escaped, or a phone
/// would choose who else rings when it is called.
pub(super) fn in_dial_string(uri: &str) -> Cow<'_, str> {
    const SEPARATORS: [(&str, &str); 7] = [
        (",", "%2C"),
        ("|", "%7C"),
        ("{", "%7B"),
        ("}", "%7D"),
        ("^", "%5E"),
        ("'", "%27"),
        (":_:", "%3A_%3A"),
    ];
    if !SEPARATORS.iter().any(|(mark, _)| uri.contains(mark)) {
        return Cow::Borrowed(uri);
    }
    SEPARATORS.iter().fold(uri.to_owned(), |text, (mark, code)| text.replace(mark, code)).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_contact_stays_one_leg_of_a_dial_string() {
        assert_eq!(
            in_dial_string("sip:1000@[2001:db8::1]:5060;ob"),
            "sip:1000@[2001:db8::1]:5060;ob"
        );
        let contact = in_dial_string("sip:1,sofia/gateway/trunk/900|x{y}^z@h");
        assert_eq!(contact, "sip:1%2Csofia/gateway/trunk/900%7Cx%7By%7D%5Ez@h");
        for several in ["sip:1@h;x=:_:null/x", "sip:1@h;x=:_::_:null/x", "sip:1@h;x=:_:_:null/x"] {
            assert!(!in_dial_string(several).contains(":_:"), "{several}");
        }
    }
}
