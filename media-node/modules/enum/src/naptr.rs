//! NAPTR records: what they say a number's address is.

use dialplan_xml::regex::Pattern;
use thiserror::Error;

/// A longer address is refused.
const MAX_ADDRESS: usize = 512;

/// The parts of a record that matter here, in the order records are compared by. Flags are not among them: as in the
/// reference, a record with a rule is terminal whatever they say.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Naptr {
    pub(super) order: u16,
    pub(super) preference: u16,
    pub(super) service: String,
    /// `!pattern!replacement!flags`, with any delimiter.
    pub(super) regexp: String,
}

/// Why a record is of no use.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(super) enum BadRecord {
    #[error("its rule has not the form !pattern!replacement!")]
    Form,
    #[error("its rule has the unknown flags {0:?}")]
    Flags(String),
    #[error("its pattern is broken: {0}")]
    Pattern(String),
    #[error("its replacement names a group the pattern does not have")]
    Group,
    #[error("its address has characters that would mean something in a dial string")]
    Unsafe,
    #[error("its address is empty or too long")]
    Length,
}

/// A rule taken apart.
struct Rule {
    pattern: String,
    replacement: String,
    ignore_case: bool,
}

impl Naptr {
    /// The address of a number by this record; `None` if the record is about other numbers.
    pub(super) fn address(&self, number: &str) -> Result<Option<String>, BadRecord> {
        let rule = Rule::parse(&self.regexp)?;
        let pattern = match rule.ignore_case {
            true => format!("(?i){}", rule.pattern),
            false => rule.pattern,
        };
        // Not by the cache: strangers' patterns must not drive out our own.
        let pattern =
            Pattern::new(&pattern).map_err(|error| BadRecord::Pattern(error.to_string()))?;
        let Some(found) = pattern.captures(number) else { return Ok(None) };
        let groups = pattern.source().matches('(').count();
        let address = fill(&rule.replacement, &found.groups, groups)?;
        if address.is_empty() || address.len() > MAX_ADDRESS {
            return Err(BadRecord::Length);
        }
        if is_safe(&address) { Ok(Some(address)) } else { Err(BadRecord::Unsafe) }
    }
}

impl Rule {
    fn parse(text: &str) -> Result<Self, BadRecord> {
        let mut chars = text.chars();
        let delimiter = chars.next().ok_or(BadRecord::Form)?;
        if delimiter.is_ascii_alphanumeric() || delimiter == '\\' {
            return Err(BadRecord::Form);
        }
        let mut parts = vec![String::new()];
        while let Some(c) = chars.next() {
            if c == delimiter {
                parts.push(String::new());
                continue;
            }
            let Some(part) = parts.last_mut() else { return Err(BadRecord::Form) };
            match (c, chars.clone().next()) {
                ('\\', Some(next)) if next == delimiter => {
                    part.push(next);
                    chars.next();
                }
                ('\\', Some(next)) => {
                    part.extend(['\\', next]);
                    chars.next();
                }
                _ => part.push(c),
            }
        }
        let [pattern, replacement, flags] =
            <[String; 3]>::try_from(parts).map_err(|_| BadRecord::Form)?;
        if pattern.is_empty() {
            return Err(BadRecord::Form);
        }
        let ignore_case = match flags.as_str() {
            "" => false,
            "i" => true,
            _ => return Err(BadRecord::Flags(flags)),
        };
        Ok(Self { pattern, replacement, ignore_case })
    }
}

/// Puts groups where the replacement says `\1`; a group that took no part is empty.
fn fill(replacement: &str, found: &[String], groups: usize) -> Result<String, BadRecord> {
    let mut out = String::new();
    let mut chars = replacement.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        let Some(next) = chars.next() else { break };
        match next.to_digit(10).and_then(|digit| usize::try_from(digit).ok()) {
            Some(group) if group > groups => return Err(BadRecord::Group),
            Some(group) => out.push_str(found.get(group).map_or("", |text| text)),
            None => out.push(next),
        }
    }
    Ok(out)
}

/// May the text be put into a dial string? It must not end the leg it stands in, nor be expanded.
fn is_safe(address: &str) -> bool {
    const MEANING: &[char] = &[',', '|', '$', '{', '}', '<', '>', '\'', '"', '\\', '^', '`'];
    let plain = |c: char| !c.is_control() && !c.is_whitespace() && !MEANING.contains(&c);
    address.chars().all(plain) && !address.contains(":_:")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(regexp: &str) -> Result<Option<String>, BadRecord> {
        let record = Naptr {
            order: 10,
            preference: 100,
            service: "E2U+sip".into(),
            regexp: regexp.to_owned(),
        };
        record.address("+4930123")
    }

    #[test]
    fn rules_turn_numbers_into_addresses() {
        let good = |regexp: &str| address(regexp).unwrap().unwrap();
        assert_eq!(good("!^.*$!sip:info@example.com!"), "sip:info@example.com");
        assert_eq!(good(r"!^\+49(.*)$!sip:\1@de.example!"), "sip:30123@de.example");
        assert_eq!(
            good(r"/^(\+)(49)?(.*)$/sip:\3\2@[2001:db8::1];x=y/i"),
            "sip:3012349@[2001:db8::1];x=y"
        );
        assert_eq!(good(r"!^(X)?.*$!sip:a\1b@c!"), "sip:ab@c");
        assert_eq!(good(r"!.*!sip:a\!b@c!"), "sip:a!b@c");
        assert_eq!(address("!^\\+1!sip:a@b!"), Ok(None));
    }

    #[test]
    fn broken_rules_are_told_apart() {
        for form in ["", "!", "!a", "!a!b", "!!b!", "!a!b!c!d", "a.*asip:xa", r"\a\b\", "é"] {
            assert_eq!(address(form), Err(BadRecord::Form), "{form}");
        }
        assert_eq!(address("!.*!sip:a@b!gx"), Err(BadRecord::Flags("gx".into())));
        assert!(matches!(address("!(!sip:a@b!"), Err(BadRecord::Pattern(_))));
        assert_eq!(address(r"!.*!sip:\1@b!"), Err(BadRecord::Group));
        assert_eq!(address("!.*!!"), Err(BadRecord::Length));
        let long = format!("!.*!sip:{}!", "a".repeat(600));
        assert_eq!(address(&long), Err(BadRecord::Length));
    }

    #[test]
    fn an_address_cannot_change_the_dial_string_it_is_put_into() {
        for odd in [
            "sip:a@b,sofia/gateway/dear/1",
            "sip:a@b|user/1",
            "sip:a@b:_:user/1",
            "{origination_uuid=1}sip:a@b",
            "sip:${system(id)}@b",
            "sip:a@b$",
            "sip:a b@c",
            "sip:a'b@c",
            "sip:a\r\nVia: x",
        ] {
            assert_eq!(address(&format!("!.*!{odd}!")), Err(BadRecord::Unsafe), "{odd}");
        }
    }

    #[test]
    fn nothing_a_name_server_says_breaks_the_reading() {
        let whole = r"!^(\+)?(é[0-9]*)$!sip:\2\9\\!i";
        for at in (0..whole.len()).filter(|at| whole.is_char_boundary(*at)) {
            for piece in ["", "\\", "!", "(", "\u{0}", "[", "é"] {
                let _judged = address(&format!("{}{piece}{}", &whole[..at], &whole[at..]));
            }
            let _judged = (address(&whole[..at]), address(&whole[at..]));
        }
    }

    #[test]
    fn records_sort_by_order_then_preference() {
        let record = |order, preference| Naptr {
            order,
            preference,
            service: String::new(),
            regexp: String::new(),
        };
        let mut all = [record(20, 1), record(10, 9), record(10, 2)];
        all.sort();
        assert_eq!(all, [record(10, 2), record(10, 9), record(20, 1)]);
    }
}
