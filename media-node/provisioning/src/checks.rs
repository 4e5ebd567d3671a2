//! What values may hold. Each becomes an attribute of XML, and some a part of a dial string: alphabets are closed.

use crate::Error;

/// Longest name, number or address, bytes.
const LONGEST: usize = 128;

fn checked(
    field: &'static str,
    text: &str,
    good: impl Fn(char) -> bool,
    wanted: &str,
) -> Result<(), Error> {
    if text.is_empty() || text.len() > LONGEST || !text.chars().all(good) {
        return Err(Error::unusable(field, format!("1 to {LONGEST} of {wanted}")));
    }
    Ok(())
}

/// A name of something: a domain, a context, a profile.
pub(crate) fn name(field: &'static str, text: &str) -> Result<(), Error> {
    let good = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
    checked(field, text, good, "letters, digits and _ . - only")
}

/// A number, an extension, the user part of an address.
pub(crate) fn number(field: &'static str, text: &str) -> Result<(), Error> {
    let good = |c: char| c.is_ascii_alphanumeric() || "+*#_.-".contains(c);
    checked(field, text, good, "letters, digits and + * # _ . - only")
}

/// A host with or without a port: a name, an IPv4 address, an IPv6 address in brackets.
pub(crate) fn host(field: &'static str, text: &str) -> Result<(), Error> {
    let good = |c: char| c.is_ascii_alphanumeric() || "_.-:[]".contains(c);
    checked(field, text, good, "a host, or host:port")?;
    let (name, port) = match text.rsplit_once(':') {
        Some((name, _)) if name.contains(':') && !name.ends_with(']') => (text, ""),
        Some((name, port)) => (name, port),
        None => (text, ""),
    };
    let bad_port = !port.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0).eq(&false);
    let brackets = name.starts_with('[') == name.ends_with(']')
        && (name.starts_with('[') || !name.contains(':'));
    if name.is_empty() || bad_port || text.ends_with(':') || !brackets {
        return Err(Error::unusable(field, "a host, or host:port"));
    }
    Ok(())
}

/// Text that is shown to people. No references to variables, nothing that is no text.
pub(crate) fn text(field: &'static str, text: &str) -> Result<(), Error> {
    let bad = |c: char| c.is_control() || "$\\`".contains(c);
    if text.len() > LONGEST || text.chars().any(bad) {
        return Err(Error::unusable(
            field,
            format!("up to {LONGEST} bytes of text without control characters, $, \\ and `"),
        ));
    }
    Ok(())
}

/// A name that a SIP server knows: no white space and nothing that ends a header's value.
pub(crate) fn account(field: &'static str, text: &str) -> Result<(), Error> {
    let good = |c: char| c.is_ascii_graphic() && !"\"<>\\$;,`'".contains(c);
    checked(field, text, good, "printable characters without quotes, < > \\ $ ; , `")
}

/// A password: long enough not to be guessed in an afternoon, and printable.
pub(crate) fn password(field: &'static str, text: &str, shortest: usize) -> Result<(), Error> {
    let good = |c: char| c.is_ascii_graphic() || c == ' ';
    if text.len() < shortest || text.len() > LONGEST || !text.chars().all(good) {
        return Err(Error::unusable(
            field,
            format!("{shortest} to {LONGEST} printable ASCII characters"),
        ));
    }
    if text.contains("${") || text.contains("$$") {
        return Err(Error::unusable(field, "no references to variables"));
    }
    Ok(())
}

/// [`number`], [`name`] and the like for what may be left out.
pub(crate) fn maybe(
    field: &'static str,
    text: &str,
    check: impl Fn(&'static str, &str) -> Result<(), Error>,
) -> Result<(), Error> {
    if text.is_empty() { Ok(()) } else { check(field, text) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_trunks() {
        for good in ["sip.example.com", "10.0.0.1:5060", "[2001:db8::1]", "[2001:db8::1]:5061"] {
            assert!(host("proxy", good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "a b",
            "a:0",
            "a:70000",
            "a:",
            ":5060",
            "a;transport=tcp",
            "2001:db8::1",
            "[::1",
            "a>\r\n",
        ] {
            assert!(host("proxy", bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn nothing_gets_through_that_a_dial_string_or_a_header_could_read() {
        for bad in ["1 2", "1,2", "1|2", "${x}", "1'", "a/b", "..\\x", "1\n", "\u{e9}", "1@b", ""] {
            assert!(number("pattern", bad).is_err(), "{bad}");
        }
        for bad in ["a b", "a\"", "<a>", "a;b", "${x}"] {
            assert!(account("username", bad).is_err(), "{bad}");
        }
        assert!(
            text("caller_id_name", "Zo\u{eb} & Co").is_ok()
                && text("caller_id_name", "${x}").is_err()
        );
        assert!(
            password("password", "short", 8).is_err()
                && password("password", "long enough", 8).is_ok()
        );
        assert!(password("password", "a ${secret} b", 8).is_err());
    }
}
