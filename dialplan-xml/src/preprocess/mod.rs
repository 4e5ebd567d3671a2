//! The preprocessor: one pass, line by line, before any XML is looked at.
//!
//! A line ends at LF or CR. `$${NAME}` is replaced first; a line holding `<include>`, `</include>`
//! or `<?` vanishes; a line holding an `X-PRE-PROCESS` element vanishes and its directive is run,
//! even inside an XML comment; the older `<!--#command data-->` works too. Where the reference loses
//! text silently, the text is lost here as well, and a diagnostic says so.

mod directive;
pub(crate) mod glob;
pub(crate) mod include;
mod line;
pub(crate) mod segments;

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;

use crate::catalogue::nearest;
use crate::{Diagnostic, Globals, LoadOptions, Place, Sources};
use directive::Directive;
use line::Line;
use segments::PlaceMap;

/// How deep includes may nest (reference: 100).
const MAX_INCLUDE_DEPTH: usize = 100;
/// How many files a load may open, counting repeats.
const MAX_FILES_OPENED: usize = 10_000;
/// Longest line.
const MAX_LINE: usize = 1 << 20;

/// The merged document and everything learnt while making it.
pub(crate) struct Flat {
    pub(crate) text: String,
    pub(crate) places: PlaceMap,
    pub(crate) globals: Globals,
    pub(crate) sources: Sources,
    pub(crate) diagnostics: Vec<Diagnostic>,
}

/// Runs the preprocessor over a text that is already in memory.
pub(crate) fn run(
    bytes: &[u8],
    name: &str,
    base: &Path,
    globals: Globals,
    options: &LoadOptions,
) -> Flat {
    let mut pass = Pass {
        out: String::new(),
        places: PlaceMap::default(),
        globals,
        sources: Sources::default(),
        diagnostics: Vec::new(),
        options,
        file_ids: HashMap::new(),
        opened: 1,
        undefined: HashSet::new(),
        comment: None,
        full: false,
    };
    pass.file(bytes, name, base, 0);
    Flat {
        text: pass.out,
        places: pass.places,
        globals: pass.globals,
        sources: pass.sources,
        diagnostics: pass.diagnostics,
    }
}

struct Pass<'o> {
    out: String,
    places: PlaceMap,
    globals: Globals,
    sources: Sources,
    diagnostics: Vec<Diagnostic>,
    options: &'o LoadOptions,
    file_ids: HashMap<Arc<str>, u16>,
    opened: usize,
    /// Unknown variables mentioned already.
    undefined: HashSet<String>,
    /// Where the XML comment that is open at this point of the output began.
    comment: Option<Place>,
    /// The output reached its limit.
    full: bool,
}

/// The file being read.
struct Current<'a> {
    name: Arc<str>,
    id: u16,
    base: &'a Path,
    depth: usize,
    line: u32,
}

impl Current<'_> {
    fn place(&self, column: usize) -> Place {
        let column = u32::try_from(column + 1).unwrap_or(u32::MAX);
        Place::new(self.name.clone(), self.line, column)
    }
}

impl Pass<'_> {
    fn file(&mut self, bytes: &[u8], name: &str, base: &Path, depth: usize) {
        let name: Arc<str> = name.into();
        let (text, bad_line) = decode(bytes);
        let mut current = Current { id: self.file_id(&name), name, base, depth, line: 0 };
        if let Some(line) = bad_line {
            let place = Place::new(current.name.clone(), line, 0);
            let found = Diagnostic::warning("encoding", "the file is not UTF-8", Some(place));
            self.say(found.with_hint("it was read as ISO 8859-1; save it as UTF-8"));
        }
        let text: Arc<str> = text.into();
        self.sources.insert(current.name.clone(), text.clone());
        let mut skipping = false;
        for (number, raw) in lines(&text) {
            if self.full {
                return;
            }
            current.line = number;
            self.line(&mut current, raw, &mut skipping);
        }
    }

    fn file_id(&mut self, name: &Arc<str>) -> u16 {
        if let Some(&id) = self.file_ids.get(name) {
            return id;
        }
        let id = self.places.add_file(name.clone());
        self.file_ids.insert(name.clone(), id);
        id
    }

    /// One line: the algorithm of the reference, step by step.
    fn line(&mut self, current: &mut Current<'_>, raw: &str, skipping: &mut bool) {
        let line = self.expand(current, raw);
        if let Some(marker) = dropped_by(raw) {
            if !*skipping && self.comment.is_none() {
                self.note_dropped(current, raw, marker);
            }
            return;
        }
        if *skipping {
            let Some(end) = line.text.find("-->") else { return };
            *skipping = false;
            let from = raw.find("-->").map_or(raw.len(), |at| at + 3);
            return self.emit(current, &Line::raw(raw), from, raw.len().max(end.min(from)));
        }
        if let Some(at) = find_directive(&line.text) {
            return self.directive_line(current, &line, at);
        }
        if let Some(at) = line.text.find("<!--#") {
            self.emit(current, &line, 0, at);
            match line.text.get(at..).and_then(|rest| rest.find("-->")) {
                Some(end) => self.emit(current, &line, at + end + 3, line.text.len()),
                None => *skipping = true,
            }
            if let Some(directive) = Directive::legacy(&line.text, at) {
                self.execute(current, &directive, line.column(at));
            }
            return;
        }
        self.emit(current, &line, 0, line.text.len());
    }

    fn directive_line(&mut self, current: &mut Current<'_>, line: &Line<'_>, at: usize) {
        let column = line.column(at);
        if at == 0 || line.text.as_bytes().get(at - 1) != Some(&b'<') {
            let message = "a line that mentions X-PRE-PROCESS is removed whole";
            self.say(Diagnostic::info("line-dropped", message, Some(current.place(column))));
            return;
        }
        match Directive::element(&line.text, at) {
            Some(directive) => {
                self.note_line_mates(current, line, at, &directive);
                self.execute(current, &directive, column);
            }
            None => self.say(
                Diagnostic::warning(
                    "directive-ignored",
                    "this X-PRE-PROCESS has no cmd=\"…\" data=\"…\" and does nothing",
                    Some(current.place(column.saturating_sub(1))),
                )
                .with_hint("on one line, in double quotes, cmd before data"),
            ),
        }
    }

    /// What else is on a directive's line is lost; a directive in a comment runs all the same.
    fn note_line_mates(
        &mut self,
        current: &Current<'_>,
        line: &Line<'_>,
        at: usize,
        directive: &Directive<'_>,
    ) {
        if matches!(directive.command, directive::Command::Nothing) {
            return;
        }
        let place = current.place(line.column(at - 1));
        let before = line.text.get(..at - 1).unwrap_or_default();
        let after = line.text.get(directive.end..).unwrap_or_default();
        let in_comment = before.rfind("<!--").is_some_and(|c| !before[c..].contains("-->"));
        if in_comment || self.comment.is_some() {
            let message = "this directive is inside a comment and runs all the same";
            let hint = "comments are not recognised at this stage; break the word X-PRE-PROCESS to disable it";
            self.say(
                Diagnostic::warning("directive-in-comment", message, Some(place)).with_hint(hint),
            );
        } else if has_markup(before) || has_markup(after) {
            let message = "the rest of a line with X-PRE-PROCESS is lost";
            let hint = "put the directive on a line of its own";
            self.say(Diagnostic::warning("line-rest-lost", message, Some(place)).with_hint(hint));
        }
    }

    fn note_dropped(&mut self, current: &Current<'_>, raw: &str, marker: &str) {
        let mut rest = raw.replace("<include>", "").replace("</include>", "");
        while let Some(at) = rest.find("<?") {
            let end = rest.get(at..).and_then(|r| r.find("?>")).map_or(rest.len(), |e| at + e + 2);
            rest.replace_range(at..end, "");
        }
        if has_markup(&rest) {
            let column = raw.find(marker).unwrap_or(0);
            let message = format!("a line with {marker} is removed whole, with all that is on it");
            let hint = format!("put {marker} on a line of its own");
            let found = Diagnostic::warning("line-rest-lost", message, Some(current.place(column)));
            self.say(found.with_hint(hint));
        }
    }

    /// Replaces every `$${NAME}`.
    fn expand<'l>(&mut self, current: &Current<'_>, raw: &'l str) -> Line<'l> {
        let mut line = Line::raw(raw);
        let mut from = 0;
        while let Some(at) = raw.get(from..).and_then(|rest| rest.find("$${")).map(|at| from + at) {
            let Some(end) = matching_brace(raw, at + 3) else {
                let file = &current.name;
                let message =
                    format!("Error [unterminated ${{var}}] in file {file} line {}", current.line);
                let place = Some(current.place(at));
                self.say(Diagnostic::error("variable-unterminated", message, place));
                break;
            };
            let name = raw.get(at + 3..end).unwrap_or_default();
            line.copy(raw, from, at);
            match self.globals.get(name) {
                Some(value) => line.insert(value, at),
                None => {
                    line.insert("", at);
                    self.note_undefined(current, raw, name, at);
                }
            }
            from = end + 1;
        }
        line.finish(raw, from);
        line
    }

    /// An unknown variable is mentioned once, and not at all inside a comment.
    fn note_undefined(&mut self, current: &Current<'_>, raw: &str, name: &str, at: usize) {
        let before = raw.get(..at).unwrap_or_default();
        let in_comment = match before.rfind("<!--") {
            Some(open) => !before.get(open..).unwrap_or_default().contains("-->"),
            None => self.comment.is_some() && !before.contains("-->"),
        };
        if in_comment || !self.undefined.insert(name.to_owned()) {
            return;
        }
        let message = format!("$${{{name}}} is not set and expands to nothing");
        let place = Some(current.place(at));
        // A function key without a command is usual.
        let mut found = if before.trim_start().starts_with("<key ") {
            Diagnostic::info("variable-undefined", message, place)
        } else {
            Diagnostic::warning("variable-undefined", message, place)
        };
        if let Some(near) = nearest(name, self.globals.iter().map(|(known, _)| known)) {
            found = found.with_hint(format!("did you mean $${{{near}}}?"));
        }
        self.say(found);
    }

    /// Outputs part of a line and remembers where it came from.
    fn emit(&mut self, current: &Current<'_>, line: &Line<'_>, from: usize, to: usize) {
        let Some(text) = line.text.get(from..to).filter(|t| !t.is_empty()) else { return };
        if self.out.len().saturating_add(text.len()) > self.options.max_bytes {
            let message = format!("the document is larger than {} bytes", self.options.max_bytes);
            self.say(Diagnostic::error("document-too-large", message, Some(current.place(0))));
            self.full = true;
            return;
        }
        for piece in line.pieces(from, to) {
            let start = self.out.len() + piece.start - from;
            self.places.push(start, current.id, current.line, piece.column + 1, piece.expanded);
        }
        self.follow_comments(current, text);
        self.out.push_str(text);
    }

    /// Keeps track of whether the output is inside an XML comment.
    fn follow_comments(&mut self, current: &Current<'_>, text: &str) {
        let mut rest = text;
        loop {
            let marker = if self.comment.is_some() { "-->" } else { "<!--" };
            let Some(at) = rest.find(marker) else { return };
            let opened = self.comment.is_none();
            self.comment = opened.then(|| current.place(text.len() - rest.len() + at));
            rest = rest.get(at + marker.len()..).unwrap_or_default();
        }
    }

    fn say(&mut self, found: Diagnostic) {
        /// Beyond this many, more of the same do not help.
        const MAX_DIAGNOSTICS: usize = 10_000;
        if self.diagnostics.len() < MAX_DIAGNOSTICS {
            self.diagnostics.push(found);
        }
    }
}

/// Lines with their numbers and ends. CR LF counts once.
pub(crate) fn lines(text: &str) -> impl Iterator<Item = (u32, &str)> {
    let mut rest = text;
    let mut number = 0_u32;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        number = number.saturating_add(1);
        let bytes = rest.as_bytes();
        let mut end = memchr::memchr2(b'\n', b'\r', bytes).map_or(rest.len(), |at| at + 1);
        if bytes.get(end - 1) == Some(&b'\r') && bytes.get(end) == Some(&b'\n') {
            end += 1;
        }
        if end > MAX_LINE {
            end = MAX_LINE;
            while !rest.is_char_boundary(end) {
                end -= 1;
            }
        }
        let (line, tail) = rest.split_at(end);
        rest = tail;
        Some((number, line))
    })
}

/// The word that makes the reference drop a line, looked for before the first `$${`.
fn dropped_by(raw: &str) -> Option<&'static str> {
    let head = raw.find("$${").and_then(|at| raw.get(..at)).unwrap_or(raw);
    if !head.contains('<') {
        return None;
    }
    ["<include>", "</include>", "<?"].into_iter().find(|marker| head.contains(marker))
}

/// Where `X-PRE-PROCESS` is written, in any case.
fn find_directive(text: &str) -> Option<usize> {
    const WORD: &[u8] = b"X-PRE-PROCESS";
    let bytes = text.as_bytes();
    memchr::memchr2_iter(b'X', b'x', bytes)
        .find(|&at| bytes.get(at..at + WORD.len()).is_some_and(|w| w.eq_ignore_ascii_case(WORD)))
}

fn matching_brace(text: &str, from: usize) -> Option<usize> {
    let mut depth = 1;
    for (at, b) in text.as_bytes().iter().enumerate().skip(from) {
        match b {
            b'{' => depth += 1,
            b'}' => {
                depth -= 1;
                if depth == 0 {
                    return Some(at);
                }
            }
            _ => {}
        }
    }
    None
}

/// Whether anything but blanks and whole comments is in a stretch of text.
fn has_markup(text: &str) -> bool {
    let mut rest = text.trim();
    while let Some(inside) = rest.strip_prefix("<!--") {
        let Some(end) = inside.find("-->") else { return false };
        rest = inside.get(end + 3..).unwrap_or_default().trim();
    }
    !rest.is_empty()
}

/// File bytes to text: UTF-8 (a byte order mark is dropped), UTF-16 with a mark, or else
/// ISO 8859-1, with the first line that is not UTF-8.
fn decode(bytes: &[u8]) -> (String, Option<u32>) {
    let wide = |order: fn([u8; 2]) -> u16, bytes: &[u8]| {
        let units = bytes.chunks_exact(2).map(|c| order([c[0], c[1]]));
        char::decode_utf16(units).map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER)).collect()
    };
    match bytes {
        [0xff, 0xfe, rest @ ..] => return (wide(u16::from_le_bytes, rest), None),
        [0xfe, 0xff, rest @ ..] => return (wide(u16::from_be_bytes, rest), None),
        _ => {}
    }
    let body = bytes.strip_prefix(&[0xef, 0xbb, 0xbf]).unwrap_or(bytes);
    match std::str::from_utf8(body) {
        Ok(text) => (text.to_owned(), None),
        Err(error) => {
            let good = body.get(..error.valid_up_to()).unwrap_or_default();
            let line = memchr::memchr_iter(b'\n', good).count() + 1;
            let text = body.iter().map(|&b| char::from(b)).collect();
            (text, Some(u32::try_from(line).unwrap_or(u32::MAX)))
        }
    }
}
