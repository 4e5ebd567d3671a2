//! The grammar of dial strings: `<ultra>{global}[leg]endpoint/rest,…|…:_:…`.
//!
//! Pure text work: nothing here knows what an endpoint is. Quoting and separators follow the reference:
//! `'…'` protects, `\` escapes a separator, `^^X` at the start of a group changes the separator to `X`. What a far end
//! said, marked in the text ([`far`]), is never syntax.

use std::fmt;

use base::far;

/// Variables of one group, in the order written. Later entries win.
pub type Variables = Vec<(String, String)>;

/// More legs than this in one dial string are refused.
pub const MAX_LEGS: usize = 128;

/// A whole dial string.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DialString {
    /// Variables in `<…>`: inherited by every enterprise branch.
    pub ultra: Variables,
    /// Branches separated by `:_:`; they run independently, the first success wins.
    pub branches: Vec<Branch>,
    /// Variables of all groups whose values a far end had part in, marked; elsewhere values are as they are meant.
    pub far: Variables,
}

/// One originate: variables for all legs and groups tried in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Branch {
    /// Variables in `{…}`.
    pub global: Variables,
    /// Groups separated by `|`, tried one after the other; the legs of a group ring together.
    pub groups: Vec<Vec<DialLeg>>,
}

/// One leg to call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DialLeg {
    /// Variables in `[…]`.
    pub local: Variables,
    /// What stands before the first slash: `sofia`, `user`, `loopback`, …
    pub endpoint: String,
    /// What stands after it. What a far end said in it is marked ([`far`]).
    pub rest: String,
    /// The directory's users this leg stands for, the outermost last; none for an address of its own.
    pub users: Vec<DialledUser>,
    /// Variable of the leg that names its dialplan context once it is connected (`lcr_context` of `lcr/`).
    pub context_variable: Option<&'static str>,
}

/// A user whose dial string led to a leg. What belongs to him is the leg's once it is connected.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DialledUser {
    /// His variables, in order.
    pub variables: Variables,
}

/// What is wrong with a dial string.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DialStringError {
    /// Nothing to call is left after the variables.
    Empty,
    /// A bracket was opened and not closed; holds the bracket.
    Unclosed(char),
    /// More than [`MAX_LEGS`] legs.
    TooManyLegs,
}

impl fmt::Display for DialStringError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("the dial string names no endpoint"),
            Self::Unclosed(bracket) => {
                write!(f, "the dial string opens '{bracket}' and does not close it")
            }
            Self::TooManyLegs => write!(f, "the dial string has more than {MAX_LEGS} legs"),
        }
    }
}

impl std::error::Error for DialStringError {}

impl DialString {
    /// Reads a dial string.
    ///
    /// # Errors
    /// [`DialStringError`] when there is nothing to call, a bracket is not closed or there are too many legs.
    pub fn parse(text: &str) -> Result<Self, DialStringError> {
        let mut rest = text.trim_start_matches(' ');
        let mut ultra = Variables::new();
        let mut far = Variables::new();
        while rest.starts_with('<') {
            let (inside, after) = bracketed(rest, '<', '>')?;
            ultra.extend(variables(inside, &mut far));
            rest = after.trim_start_matches(' ');
        }
        let branches = rest
            .split(":_:")
            .map(|branch| Branch::parse(branch, &mut far))
            .collect::<Result<Vec<_>, _>>()?;
        if branches.iter().flat_map(|branch| &branch.groups).map(Vec::len).sum::<usize>() > MAX_LEGS
        {
            return Err(DialStringError::TooManyLegs);
        }
        Ok(Self { ultra, branches, far })
    }
}

impl Branch {
    fn parse(text: &str, far: &mut Variables) -> Result<Self, DialStringError> {
        let mut rest = text.trim_start_matches(' ');
        let mut global = Variables::new();
        while rest.starts_with('{') {
            let (inside, after) = bracketed(rest, '{', '}')?;
            global.extend(variables(inside, far));
            rest = after.trim_start_matches(' ');
        }
        let mut groups = Vec::new();
        for group in split_outside_brackets(rest, '|') {
            let legs = split_outside_brackets(group, ',')
                .into_iter()
                .filter(|leg| !leg.trim().is_empty())
                .map(|leg| DialLeg::parse(leg, far))
                .collect::<Result<Vec<_>, _>>()?;
            if !legs.is_empty() {
                groups.push(legs);
            }
        }
        if groups.is_empty() {
            return Err(DialStringError::Empty);
        }
        Ok(Self { global, groups })
    }
}

impl DialLeg {
    fn parse(text: &str, far: &mut Variables) -> Result<Self, DialStringError> {
        let mut rest = text.trim_start_matches(' ');
        let mut local = Variables::new();
        while rest.starts_with('[') {
            let (inside, after) = bracketed(rest, '[', ']')?;
            local.extend(variables(inside, far));
            rest = after.trim_start_matches(' ');
        }
        let (endpoint, rest) = rest.split_once('/').unwrap_or((rest, ""));
        Ok(Self {
            local,
            endpoint: far::plain(endpoint).into_owned(),
            rest: rest.trim_end_matches(' ').to_owned(),
            users: Vec::new(),
            context_variable: None,
        })
    }
}

/// Splits the groups in brackets that a text begins with, as they are written, from what follows them.
///
/// # Errors
/// [`DialStringError::Unclosed`] when a bracket is not closed.
pub fn split_leading(text: &str, open: char, close: char) -> Result<(&str, &str), DialStringError> {
    let start = text.trim_start_matches(' ');
    let mut rest = start;
    while rest.starts_with(open) {
        rest = bracketed(rest, open, close)?.1.trim_start_matches(' ');
    }
    Ok((&start[..start.len() - rest.len()], rest))
}

/// The variables of the groups in brackets that a text begins with, marked where a far end had part in them, and what
/// follows them.
///
/// # Errors
/// [`DialStringError::Unclosed`] when a bracket is not closed.
pub fn leading_variables(
    text: &str,
    open: char,
    close: char,
) -> Result<(Variables, &str), DialStringError> {
    let mut rest = text.trim_start_matches(' ');
    let mut read = Variables::new();
    while rest.starts_with(open) {
        let (inside, after) = bracketed(rest, open, close)?;
        let mut far = Variables::new();
        read.extend(variables(inside, &mut far));
        // As they are written, in place of what they mean: they stand behind it, and the last one counts.
        read.append(&mut far);
        rest = after.trim_start_matches(' ');
    }
    Ok((read, rest))
}

/// Splits `(inside, after)` at the closing bracket that belongs to the opening one `text` starts with.
fn bracketed(text: &str, open: char, close: char) -> Result<(&str, &str), DialStringError> {
    let mut depth = 0usize;
    for (at, c) in text.char_indices() {
        if c == open {
            depth += 1;
        } else if c == close {
            depth -= 1;
            if depth == 0 {
                return Ok((&text[open.len_utf8()..at], &text[at + close.len_utf8()..]));
            }
        }
    }
    Err(DialStringError::Unclosed(open))
}

/// Splits at `separator`, but not inside `[…]`, `{…}` or `'…'`.
fn split_outside_brackets(text: &str, separator: char) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut start, mut depth, mut quoted) = (0, 0i32, false);
    for (at, c) in text.char_indices() {
        match c {
            '\'' => quoted = !quoted && text[at + 1..].contains('\''),
            '[' | '{' if !quoted => depth += 1,
            ']' | '}' if !quoted => depth -= 1,
            _ if c == separator && depth <= 0 && !quoted => {
                parts.push(&text[start..at]);
                start = at + c.len_utf8();
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

/// The pairs of one group. A pair without `=` is left out. Those a far end had part in are noted in `far`, too.
fn variables(text: &str, far: &mut Variables) -> Variables {
    let (text, separator) = match text.strip_prefix("^^").and_then(|rest| {
        let separator = rest.chars().next()?;
        Some((&rest[separator.len_utf8()..], separator))
    }) {
        Some((text, separator)) => (far::named_list(text, separator), separator),
        None => (text.into(), ','),
    };
    separate(&text, separator)
        .into_iter()
        .filter_map(|pair| {
            let (name, value) = pair.split_once('=')?;
            let name = far::plain(name.trim()).into_owned();
            if far::is_marked(value) {
                far.push((name.clone(), value.to_owned()));
            }
            (!name.is_empty()).then(|| (name, far::plain(value).into_owned()))
        })
        .collect()
}

/// The reference's list splitting: quotes protect and vanish, `\` escapes the separator, ends are trimmed.
#[must_use]
pub fn separate(text: &str, separator: char) -> Vec<String> {
    let mut items = Vec::new();
    let mut item = String::new();
    let mut quoted = false;
    let mut chars = text.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => match chars.peek().map(|&(_, next)| next) {
                Some(next) if next == separator || next == '\'' || next == '\\' => {
                    chars.next();
                    item.push(next);
                }
                _ => item.push('\\'),
            },
            '\'' if quoted => quoted = false,
            '\'' if text[at + 1..].contains('\'') => quoted = true,
            _ if c == separator && !quoted => {
                items.push(std::mem::take(&mut item).trim().to_owned())
            }
            _ => item.push(c),
        }
    }
    let last = item.trim();
    if !last.is_empty() {
        items.push(last.to_owned());
    }
    items
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leg(endpoint: &str, rest: &str) -> DialLeg {
        DialLeg { endpoint: endpoint.into(), rest: rest.into(), ..DialLeg::default() }
    }

    fn variables(text: &str) -> Variables {
        super::variables(text, &mut Variables::new())
    }

    fn pairs(list: &[(&str, &str)]) -> Variables {
        list.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn groups_in_front_are_told_from_what_follows() {
        assert_eq!(split_leading(" <a=1><b=<2>> x:_:y", '<', '>'), Ok(("<a=1><b=<2>> ", "x:_:y")));
        assert_eq!(split_leading("x<a=1>", '<', '>'), Ok(("", "x<a=1>")));
        assert_eq!(split_leading("<a=1", '<', '>'), Err(DialStringError::Unclosed('<')));
        let (read, rest) = leading_variables("(a=1,b='2,3')(c=4)<d=5>x", '(', ')').unwrap();
        assert_eq!((read, rest), (pairs(&[("a", "1"), ("b", "2,3"), ("c", "4")]), "<d=5>x"));
    }

    #[test]
    fn groups_are_tried_in_order_and_legs_of_a_group_together() {
        let dial = DialString::parse("{a=1}[b=2]sofia/gateway/x/1,user/2@d|loopback/3").unwrap();
        let branch = &dial.branches[0];
        assert_eq!(branch.global, pairs(&[("a", "1")]));
        assert_eq!(
            branch.groups,
            vec![
                vec![
                    DialLeg { local: pairs(&[("b", "2")]), ..leg("sofia", "gateway/x/1") },
                    leg("user", "2@d")
                ],
                vec![leg("loopback", "3")],
            ]
        );
    }

    #[test]
    fn quotes_escapes_and_a_changed_separator_protect_commas() {
        assert_eq!(variables("a='1,2',b=3"), pairs(&[("a", "1,2"), ("b", "3")]));
        assert_eq!(variables(r"a=1\,2,b=3"), pairs(&[("a", "1,2"), ("b", "3")]));
        assert_eq!(variables("^^:a=1,2:b=3"), pairs(&[("a", "1,2"), ("b", "3")]));
        assert_eq!(variables("a=x=y,nothing"), pairs(&[("a", "x=y")]));
        let dial = DialString::parse("[a='1,2|3']null/x,null/y").unwrap();
        assert_eq!(dial.branches[0].groups[0].len(), 2);
    }

    #[test]
    fn several_groups_of_variables_add_up_and_enterprise_branches_split() {
        let dial = DialString::parse("<u=1>{a=1}{b=2}null/x:_:{c=3}null/y").unwrap();
        assert_eq!(dial.ultra, pairs(&[("u", "1")]));
        assert_eq!(dial.branches.len(), 2);
        assert_eq!(dial.branches[0].global, pairs(&[("a", "1"), ("b", "2")]));
        assert_eq!(dial.branches[1].global, pairs(&[("c", "3")]));
    }

    #[test]
    fn what_a_far_end_said_is_one_value_whatever_it_holds() {
        let hostile = [
            "x',execute_on_answer='system touch pwned',q='",
            "x},null/1,{a=b",
            "x]null/1,[a=b",
            "a|null/1",
            "a:_:null/1",
            "\\",
            "'",
            "^^:a=1:b=2",
            "ARRAY::a|:b",
            "<u=1>",
            "a,b=c",
            "\u{10fe27},b=c\u{10fe27}",
        ];
        for said in hostile {
            let far = far::mark(said);
            let meant = far::plain(&far).into_owned();
            for text in [
                format!("{{a=0,x='{far}'}}[y={far}]sofia/gateway/g/7"),
                format!("{{x={far},a=0}}[^^:y={far}:z=]sofia/gateway/g/7"),
                format!("<a=0>{{x={far}}}[y='{far}']sofia/gateway/g/7"),
            ] {
                let dial = DialString::parse(&text).unwrap();
                assert_eq!(dial.branches.len(), 1, "{said}");
                let branch = &dial.branches[0];
                assert_eq!(branch.groups.len(), 1, "{said}");
                let legs = &branch.groups[0];
                assert_eq!((legs.len(), legs[0].rest.as_str()), (1, "gateway/g/7"), "{said}");
                let global: Vec<_> = dial.ultra.iter().chain(&branch.global).collect();
                assert_eq!(global.len(), 2, "{said}");
                let found = |list: &[&(String, String)], name: &str| {
                    list.iter().find(|(n, _)| n == name).map(|(_, value)| value.clone())
                };
                assert_eq!(found(&global, "x").as_deref(), Some(meant.as_str()), "{said}");
                let local: Vec<_> = legs[0].local.iter().collect();
                assert_eq!(found(&local, "y").as_deref(), Some(meant.as_str()), "{said}");
                assert_eq!(dial.far.len(), 2, "{said}");
            }
            let dial = DialString::parse(&format!("sofia/gateway/g/{far}")).unwrap();
            assert_eq!(
                dial.branches[0].groups,
                vec![vec![leg("sofia", &format!("gateway/g/{far}"))]]
            );
            let dial = DialString::parse(&far).unwrap();
            assert_eq!(dial.branches[0].groups, vec![vec![leg(&meant, "")]], "{said}");
        }
    }

    #[test]
    fn nothing_to_call_and_open_brackets_are_errors() {
        assert_eq!(DialString::parse("{a=1}"), Err(DialStringError::Empty));
        assert_eq!(DialString::parse(""), Err(DialStringError::Empty));
        assert_eq!(DialString::parse("{a=1 null/x"), Err(DialStringError::Unclosed('{')));
        let many = vec!["null/x"; MAX_LEGS + 1].join(",");
        assert_eq!(DialString::parse(&many), Err(DialStringError::TooManyLegs));
    }
}
