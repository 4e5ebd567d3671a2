//! Text from far ends, told apart from what an administrator wrote.
//!
//! A dialplan puts headers, names and numbers of strangers into texts that have a grammar: dial strings, arguments,
//! commands, paths. Whatever such a text holds, it stays one value. For that, expansion hands it on **marked**: each
//! character of it that a grammar could take for its own (everything in ASCII but letters and digits) is replaced by a
//! stand-in that no grammar knows. Parsers split a marked text as any other, and what they cut out is made [`plain`]
//! again where it is used. What is stored is plain text with [`Spans`] that say which parts to mark when it is read.
//!
//! The stand-ins are characters of a private plane. A far end that sends them itself gains nothing: they read as marked.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::{Arc, LazyLock};

/// The stand-in of NUL; those of the other ASCII characters follow.
const FIRST: u32 = 0x10_FE00;
/// More separate spans than this become one that covers them all.
const MAX_SPANS: usize = 64;

const fn is_mark(c: char) -> bool {
    matches!(c as u32, FIRST..0x10_FE80)
}

fn marked(c: char) -> char {
    if c.is_ascii() && !c.is_ascii_alphanumeric() {
        char::from_u32(FIRST + u32::from(c)).unwrap_or('_')
    } else {
        c
    }
}

fn unmarked(c: char) -> char {
    if is_mark(c) { char::from_u32(u32::from(c) - FIRST).unwrap_or('_') } else { c }
}

/// Does the text hold anything from a far end that a grammar could take for its own?
#[must_use]
pub fn is_marked(text: &str) -> bool {
    // All stand-ins begin with these bytes in UTF-8.
    memchr::memchr_iter(0xF4, text.as_bytes())
        .any(|at| matches!(text.as_bytes().get(at..at + 3), Some([0xF4, 0x8F, 0xB8 | 0xB9])))
}

/// A text that came from a far end as a whole.
#[must_use]
pub fn mark(text: &str) -> String {
    let stands_in = |byte: &u8| byte.is_ascii() && !byte.is_ascii_alphanumeric();
    let more = text.bytes().filter(|byte| stands_in(byte)).count() * 3;
    let mut out = String::with_capacity(text.len() + more);
    out.extend(text.chars().map(marked));
    out
}

/// A text without its marks, in room of its own size.
fn unmarked_text(text: &str) -> String {
    let mut out = String::with_capacity(text.chars().map(|c| unmarked(c).len_utf8()).sum());
    out.extend(text.chars().map(unmarked));
    out
}

/// The text as it is meant: for people, the wire, files, comparisons.
#[must_use]
pub fn plain(text: &str) -> Cow<'_, str> {
    if is_marked(text) { Cow::Owned(unmarked_text(text)) } else { Cow::Borrowed(text) }
}

/// [`plain`] for a text that is owned already.
#[must_use]
pub fn into_plain(text: String) -> String {
    if is_marked(&text) { unmarked_text(&text) } else { text }
}

/// The items of a list whose delimiter the administrator has named (`^^;`). If they wrote neither that delimiter nor a
/// name of their own into it (`^^;${sip_h_X-Set}`), the list as a whole is the far end's and is meant to be taken apart:
/// its delimiters and equals signs become plain. In any other list what a far end said stays one value.
#[must_use]
pub fn named_list(text: &str, delimiter: char) -> Cow<'_, str> {
    if !is_marked(text) || text.contains([delimiter, '=']) {
        return Cow::Borrowed(text);
    }
    let plain = |c: char| if [delimiter, '='].contains(&unmarked(c)) { unmarked(c) } else { c };
    Cow::Owned(text.chars().map(plain).collect())
}

/// Rewrites a marked text, each marked character by what `write` makes of it; gives the plain character to it.
fn rewritten(text: &str, mut write: impl FnMut(&mut String, char, bool)) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        write(&mut out, unmarked(c), is_mark(c));
    }
    out
}

/// Which parts of a plain text came from a far end, in bytes. A call keeps some dozens of them, nearly all of them empty
/// or of whole texts: those need no memory of their own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Spans(Option<Arc<Vec<Range<usize>>>>);

impl Spans {
    /// All of a text.
    #[must_use]
    pub fn all() -> Self {
        static ALL: LazyLock<Arc<Vec<Range<usize>>>> =
            LazyLock::new(|| Arc::new(std::iter::once(0..usize::MAX).collect()));
        Self(Some(Arc::clone(&ALL)))
    }

    /// Nothing of it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    fn parts(&self) -> &[Range<usize>] {
        self.0.as_ref().map_or(&[], |parts| parts.as_slice())
    }

    /// The text, or a part of it that begins at byte `from`, marked.
    #[must_use]
    pub fn mark(&self, text: &str, from: usize) -> String {
        if *self == Self::all() {
            return mark(text);
        }
        let mut spans = self.parts().iter().peekable();
        text.char_indices()
            .map(|(at, c)| {
                let at = at + from;
                while spans.next_if(|span| span.end <= at).is_some() {}
                let inside = spans.peek().is_some_and(|span| span.contains(&at));
                if inside { marked(c) } else { c }
            })
            .collect()
    }
}

/// Takes a marked text apart: the plain text, and which parts of it were marked.
#[must_use]
pub fn split(text: &str) -> (Cow<'_, str>, Spans) {
    if !is_marked(text) {
        return (Cow::Borrowed(text), Spans::default());
    }
    let mut parts: Vec<Range<usize>> = Vec::new();
    // Where a character stands that a grammar could take for its own and that is not marked: letters and digits read
    // the same inside a part and outside.
    let (mut ours, mut ours_since) = (false, false);
    let plain = rewritten(text, |out, c, far| {
        let start = out.len();
        out.push(c);
        if far {
            let full = parts.len() >= MAX_SPANS;
            match parts.last_mut() {
                Some(last) if full || !ours_since => last.end = out.len(),
                _ => parts.push(start..out.len()),
            }
            ours_since = false;
        } else if marked(c) != c {
            (ours, ours_since) = (true, true);
        }
    });
    let spans = if ours { Spans(Some(Arc::new(parts))) } else { Spans::all() };
    (Cow::Owned(plain), spans)
}

/// A text that came from a far end as a whole, as it is stored: what [`split`] makes of the text [`mark`] makes of it.
#[must_use]
pub fn heard(text: &str) -> (Cow<'_, str>, Spans) {
    // Letters and digits alone read the same inside a part and outside.
    let letters = text.bytes().all(|byte| !byte.is_ascii() || byte.is_ascii_alphanumeric());
    if letters && !is_marked(text) {
        return (Cow::Borrowed(text), Spans::default());
    }
    (plain(text), Spans::all())
}

/// Bytes `range` of what is meant by a marked text, still marked. Half characters become U+FFFD.
#[must_use]
pub fn slice(text: &str, range: Range<usize>) -> String {
    let (plain, spans) = split(text);
    let end = range.end.min(plain.len());
    let start = range.start.min(end);
    let part = plain.as_bytes().get(start..end).unwrap_or_default();
    match String::from_utf8_lossy(part) {
        Cow::Borrowed(part) => spans.mark(part, start),
        Cow::Owned(part) if spans.is_empty() => part,
        // Places have moved: all of it is marked rather than too little.
        Cow::Owned(part) => mark(&part),
    }
}

/// For a regular expression: what a far end said matches itself only.
#[must_use]
pub fn in_pattern(text: &str) -> Cow<'_, str> {
    if !is_marked(text) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(rewritten(text, |out, c, far| match c {
        '\0' if far => out.push_str("\\x00"),
        c if far && c.is_ascii_punctuation() => out.extend(['\\', c]),
        c if far && c.is_ascii_whitespace() => {
            out.push_str(&format!("\\x{:02x}", u32::from(c)));
        }
        c => out.push(c),
    }))
}

/// For a command line of the shell: what a far end said is part of one word, wherever it stands.
///
/// Where the place has no plain reading (inside `` `…` ``, `$(…)` or a here-document) it loses what is no letter, digit
/// or one of `+-_.:@`.
#[must_use]
pub fn in_shell(text: &str) -> Cow<'_, str> {
    if !is_marked(text) {
        return Cow::Borrowed(text);
    }
    let (mut quote, mut escaped, mut nested) = (None, false, false);
    let mut before = '\0';
    Cow::Owned(rewritten(text, |out, c, far| {
        if far {
            match (quote, c) {
                (_, '\0') => {}
                _ if nested || escaped => {
                    out.push(if matches!(c, '+' | '-' | '_' | '.' | ':' | '@') { c } else { '_' });
                }
                (Some('\''), '\'') => out.push_str("'\\''"),
                (Some('\''), c) => out.push(c),
                (Some(_), '"' | '$' | '`' | '\\') => out.extend(['\\', c]),
                (Some(_), c) => out.push(c),
                (None, '\n') => out.push_str("'\n'"),
                (None, c) => out.extend(['\\', c]),
            }
            (escaped, before) = (false, '\0');
            return;
        }
        out.push(c);
        match (quote, c) {
            _ if escaped => escaped = false,
            (Some('\''), '\'') => quote = None,
            (Some('\''), _) => {}
            (_, '\\') => escaped = true,
            (_, '`') => nested = true,
            (_, '(') if before == '$' => nested = true,
            (None, '<') if before == '<' => nested = true,
            (Some('"'), '"') => quote = None,
            (None, '\'' | '"') => quote = Some(c),
            _ => {}
        }
        before = c;
    }))
}

/// For the name of a file, or the argument that holds one: what a far end said leaves no directory, names no other kind
/// of source (`tone_stream://…`), and sets no options (`{…}`, `@@…`). Spaces, quotes and commas of a far end stay marked,
/// for code that splits the argument, and so do dollar signs, for code that expands it again. Where it had part in the
/// name of a web server, [`FAR_HOST`] says so from then on.
#[must_use]
pub fn in_path(text: &str) -> Cow<'_, str> {
    if !is_marked(text) {
        return Cow::Borrowed(text);
    }
    let text = &*with_far_hosts(text, false);
    let mut out = String::with_capacity(text.len());
    let mut component = 0;
    let chars: Vec<char> = text.chars().collect();
    for (at, &c) in chars.iter().enumerate() {
        let meant = unmarked(c);
        let starts = at == 0 || matches!(chars.get(at - 1), Some(' ' | '!' | '\'' | '}' | ']'));
        let ahead = chars.get(at + 1).map(|&c| unmarked(c));
        match meant {
            '/' => {
                close(&mut out, component);
                // The far end alone does not say where a path starts.
                out.push(if is_mark(c) && starts { '_' } else { '/' });
                component = out.len();
            }
            _ if !is_mark(c) => out.push(c),
            ':' if ahead == Some('/') => out.push('_'),
            '@' if ahead == Some('@')
                || chars.get(at.wrapping_sub(1)).map(|&c| unmarked(c)) == Some('@') =>
            {
                out.push('_');
            }
            '{' | '[' if starts => out.push('_'),
            '!' | '\\' => out.push('_'),
            ' ' | '\'' | '"' | ',' | '.' | '+' | '|' | '$' => out.push(c),
            meant if meant.is_ascii_control() => out.push('_'),
            meant => out.push(meant),
        }
    }
    close(&mut out, component);
    Cow::Owned(out)
}

/// Stands before `http://` and `https://` in the name of a file whose server a far end chose, which has no marks any more.
pub const FAR_HOST: &str = "far+";

/// The name of a file that is a far end's as a whole, as it is meant: a path as it stands, but a web server in it is the
/// far end's choice, and [`FAR_HOST`] says so.
#[must_use]
pub fn into_named(text: String) -> String {
    if is_marked(&text) { unmarked_text(&with_far_hosts(&text, true)) } else { text }
}

/// Puts [`FAR_HOST`] before the addresses in whose host a far end had part; where it may say addresses as a whole
/// (`whole`), before those, too.
fn with_far_hosts(text: &str, whole: bool) -> Cow<'_, str> {
    let chars: Vec<char> = text.chars().collect();
    let begins = |at: usize, scheme: &str| {
        let rest = chars.get(at..).unwrap_or_default();
        let is = |&c: &char, s: char| s.eq_ignore_ascii_case(&if whole { unmarked(c) } else { c });
        rest.len() >= scheme.len() && rest.iter().zip(scheme.chars()).all(|(c, s)| is(c, s))
    };
    let (mut out, mut done) = (String::new(), 0);
    for at in 0..chars.len() {
        let Some(scheme) = ["https://", "http://"].into_iter().find(|s| begins(at, s)) else {
            continue;
        };
        let ends = |c: &char| matches!(c, '/' | '?' | '#' | ' ' | '!' | '\'');
        let host = chars.get(at + scheme.len()..).unwrap_or_default();
        let mut said = chars.iter().skip(at).take(scheme.len());
        let far =
            said.any(|c| is_mark(*c)) || host.iter().take_while(|c| !ends(c)).any(|c| is_mark(*c));
        let before = chars.get(at.saturating_sub(FAR_HOST.len())..at).unwrap_or_default();
        if far && !before.iter().copied().map(unmarked).eq(FAR_HOST.chars()) {
            out.extend(chars.get(done..at).unwrap_or_default());
            out.push_str(FAR_HOST);
            done = at;
        }
    }
    if out.is_empty() {
        return Cow::Borrowed(text);
    }
    out.extend(chars.get(done..).unwrap_or_default());
    Cow::Owned(out)
}

/// [`in_path`] for code that opens what is named.
#[must_use]
pub fn path(text: &str) -> Cow<'_, str> {
    match in_path(text) {
        Cow::Borrowed(text) => plain(text),
        Cow::Owned(text) => Cow::Owned(into_plain(text)),
    }
}

/// Ends a component of a path: `..` that a far end had part in is no way up.
fn close(out: &mut String, start: usize) {
    let component = out.get(start..).unwrap_or_default();
    if is_marked(component) {
        let begin = component.rfind([' ', '\'', '!']).map_or(0, |at| at + 1);
        let meant = component.get(begin..).map(plain).unwrap_or_default();
        let end = meant.find([' ', '\'']).unwrap_or(meant.len());
        if meant.get(..end) == Some("..") {
            let kept = component.replacen(marked('.'), "_", 2);
            out.truncate(start);
            out.push_str(&kept);
        }
    }
}

/// For the user part of a SIP address: what would end it is escaped.
#[must_use]
pub fn in_user(text: &str) -> String {
    rewritten(text, |out, c, far| {
        let escapes = !(c.is_ascii_alphanumeric() || "-_.!~*'()&=+$,;?/#%".contains(c));
        if far && c.is_ascii() && escapes {
            out.push_str(&format!("%{:02X}", u32::from(c)));
        } else {
            out.push(c);
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_and_digits_stay_and_everything_comes_back() {
        assert_eq!(mark("Alice42é"), "Alice42é");
        let all: String = (0..128_u8).map(char::from).chain("é✓".chars()).collect();
        let kept = mark(&all);
        assert!(kept.chars().all(|c| !c.is_ascii() || c.is_ascii_alphanumeric()));
        assert_eq!(plain(&kept), all);
        assert_eq!(mark(&kept), kept, "marked once is marked for good");
        assert!(is_marked(&kept) && !is_marked(&all));
    }

    #[test]
    fn what_was_heard_is_stored_as_if_it_were_marked_and_taken_apart() {
        let sent_marked = mark("a;b");
        for text in
            ["", "Alice42é", "é", "<sip:bob@h;x=1>", "ARRAY::a|:b", "${x}", "\0", &sent_marked]
        {
            assert_eq!(heard(text), split(&mark(text)), "{text}");
        }
    }

    #[test]
    fn parts_are_remembered_and_slices_keep_their_marks() {
        let text = format!("x='{}',y", mark("a',b=é'"));
        let (plain, spans) = split(&text);
        assert_eq!(plain, "x='a',b=é'',y");
        assert_eq!(spans.mark(&plain, 0), text);
        assert_eq!(super::plain(&slice(&text, 3..6)), "a',");
        assert_eq!(slice(&text, 3..6), mark("a',"));
        assert_eq!(slice(&text, 0..3), "x='");
        assert!(!is_marked(&slice("plain, text", 0..6)));
        let cut = slice(&mark("é'"), 1..3);
        assert_eq!((super::plain(&cut).as_ref(), cut == mark("\u{fffd}'")), ("\u{fffd}'", true));
        assert_eq!(Spans::all().mark("a,b", 0), mark("a,b"));
    }

    #[test]
    fn a_text_that_is_a_far_end_s_as_a_whole_has_one_part() {
        let said = mark("<sip:alice@example.com;x=y>");
        assert_eq!(split(&said).1, Spans::all());
        let quoted = format!("\"A\" {said}");
        let (plain, spans) = split(&quoted);
        assert_eq!(spans.parts().len(), 1);
        assert_eq!(spans.mark(&plain, 0), format!("\"A\" {said}"));
    }

    #[test]
    fn too_many_parts_become_one_that_covers_them() {
        let text: String = (0..1000).map(|_| format!(",{}", mark(","))).collect();
        let (plain, spans) = split(&text);
        assert!(spans.parts().len() <= MAX_SPANS);
        let again = spans.mark(&plain, 0);
        assert!(again.chars().zip(text.chars()).all(|(a, b)| a == b || is_mark(a)));
    }

    #[test]
    fn a_pattern_takes_it_word_for_word() {
        assert_eq!(in_pattern(&format!("^{}$", mark("a.b|(c"))), "^a\\.b\\|\\(c$");
        assert_eq!(in_pattern("a.b"), "a.b");
    }

    #[test]
    fn a_shell_takes_it_for_part_of_one_word() {
        let hostile = mark("a'; touch x\"$(id)`id`\n");
        for (line, meant) in [
            ("printf %s ", ""),
            ("printf %s \"", "\""),
            ("printf %s '", "'"),
            ("printf %s 'it'\\''s ", "'"),
        ] {
            let line = format!("{line}{hostile}{meant}; printf .");
            let out = std::process::Command::new("/bin/sh")
                .arg("-c")
                .arg(&*in_shell(&line))
                .output()
                .unwrap();
            let out = String::from_utf8(out.stdout).unwrap();
            assert!(out.ends_with("a'; touch x\"$(id)`id`\n."), "{line}: {out}");
        }
        for around in [
            "echo `printf %s X`",
            "echo $(printf %s X)",
            "echo \"$(printf '%s' X)\"",
            "cat <<E\nX\nE",
        ] {
            let line = in_shell(&around.replace('X', &hostile)).into_owned();
            assert!(line.contains("a___touch_x___id__id__"), "{line}");
        }
        assert_eq!(in_shell(&format!("echo \\{}", mark("'; x"))), "echo \\_\\;\\ x");
        assert_eq!(in_shell(&format!("call {}", mark("+49-30"))), "call \\+49\\-30");
    }

    #[test]
    fn a_path_stays_where_it_was_meant_to_be() {
        for (said, path) in [
            ("alice", "/rec/alice.wav"),
            ("+4930-1.2", "/rec/+4930-1.2.wav"),
            ("John Smith", "/rec/John Smith.wav"),
            ("sales/berlin", "/rec/sales/berlin.wav"),
            ("../../etc/x", "/rec/__/__/etc/x.wav"),
            ("..", "/rec/...wav"),
            ("a/../../b", "/rec/a/__/__/b.wav"),
            ("x\0y\n", "/rec/x_y_.wav"),
            ("a..b/...", "/rec/a..b/....wav"),
        ] {
            let marked = format!("/rec/{}.wav", mark(said));
            assert_eq!(plain(&in_path(&marked)), path, "{said}");
        }
        for (said, path) in [
            ("/etc/passwd", "_etc/passwd"),
            ("tone_stream://%(1000,0,440)", "tone_stream_//%(1000,0,440)"),
            ("{x=y}a", "_x=y}a"),
            ("a@@8000", "a__8000"),
            ("a!b", "a_b"),
            ("..", "__"),
            ("a/..", "a/__"),
        ] {
            assert_eq!(plain(&in_path(&mark(said))), path, "{said}");
        }
        assert_eq!(plain(&in_path(&format!("/rec/{}./x", mark(".")))), "/rec/_./x");
        assert_eq!(plain(&in_path(&format!("/rec/{}/x 10", mark("..")))), "/rec/__/x 10");
        assert_eq!(in_path("/rec/../x"), "/rec/../x");
    }

    #[test]
    fn a_path_remembers_that_a_far_end_named_the_web_server() {
        for said in ["10.0.0.1", "x@2130706433", "localhost/", "a:80", "localhost#", "[::1]"] {
            let once = in_path(&format!("{{a=b}}http://{}/x.wav", mark(said))).into_owned();
            assert!(once.starts_with("{a=b}far+http://"), "{once}");
            assert_eq!(plain(&once), path(&once), "once is enough");
        }
        let list = format!("http://a/{}.wav!https://b{}/c", mark("../x"), mark("@c"));
        assert!(path(&list).starts_with("http://a/_"), "{}", path(&list));
        assert!(path(&list).contains("!far+https://b"), "{}", path(&list));
        let kept = format!("http_cache://http://{}.org/", mark("a-b"));
        assert_eq!(path(&kept), "http_cache://far+http://a-b.org/");
        assert_eq!(path("http://10.0.0.1/x"), "http://10.0.0.1/x");
    }

    #[test]
    fn a_name_that_is_a_far_end_s_as_a_whole_is_as_meant_but_for_its_web_servers() {
        for (said, named) in [
            ("http://10.0.0.1/x.wav", "far+http://10.0.0.1/x.wav"),
            ("HTTPS://localhost", "far+HTTPS://localhost"),
            ("http_cache://{profile=p}http://a/", "http_cache://{profile=p}far+http://a/"),
            ("file_string://http://a/!http://b/", "file_string://far+http://a/!far+http://b/"),
            ("far+http://a/", "far+http://a/"),
            ("/sounds/../a.wav", "/sounds/../a.wav"),
            ("tone_stream://%(1,0,2)", "tone_stream://%(1,0,2)"),
        ] {
            assert_eq!(into_named(mark(said)), named);
        }
        let path = format!("http://a/{}", mark("../x@y:80"));
        assert_eq!(into_named(path), "http://a/../x@y:80");
        assert_eq!(into_named("http://10.0.0.1/".to_owned()), "http://10.0.0.1/");
        assert!(in_path(&format!("HTTP://{}/", mark("a.b"))).starts_with("far+HTTP://"));
    }

    #[test]
    fn a_list_that_is_a_far_end_s_as_a_whole_is_taken_apart_and_no_other() {
        let said = mark("a=b;c='d,e'");
        let items = named_list(&said, ';');
        assert_eq!(items.split(';').map(plain).collect::<Vec<_>>(), ["a=b", "c='d,e'"]);
        assert!(items.contains('=') && !items.contains(['\'', ',']), "only what a list needs");
        for theirs in [format!("x={said}"), format!("{said};y")] {
            assert_eq!(named_list(&theirs, ';'), theirs);
        }
    }

    #[test]
    fn a_user_part_is_not_ended() {
        assert_eq!(in_user(&format!("0{}", mark("1@evil.com:5;x=y"))), "01%40evil.com%3A5;x=y");
        assert_eq!(in_user(&mark("+49*7#")), "+49*7#");
        assert_eq!(in_user(&mark("a b>\r\nX: y")), "a%20b%3E%0D%0AX%3A%20y");
    }
}
