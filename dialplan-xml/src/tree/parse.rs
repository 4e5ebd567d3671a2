//! Text to tree, as forgiving as the reference: attributes may hold `<`, `>` and line ends, lack
//! quotes or repeat; bare `&` stays. What it refuses is refused with its words, and reading goes on
//! so that one run names every problem.

use super::entity::Decoder;
use super::{Arena, AttrData, NONE, NodeData, Range, Tree};
use crate::preprocess::segments::PlaceMap;
use crate::{Diagnostic, Place};

/// How deep elements may nest.
const MAX_DEPTH: usize = 500;
/// After this many errors the rest of the document is not looked at.
const MAX_ERRORS: usize = 25;

/// The outcome of reading a document.
pub(crate) struct Parsed {
    /// The tree, unless there was an error.
    pub(crate) tree: Option<Tree>,
    pub(crate) diagnostics: Vec<Diagnostic>,
    /// The first error in the reference's words: `[error near line N]: …`.
    pub(crate) error: Option<String>,
}

/// Reads a merged document.
pub(crate) fn parse(text: &str, places: PlaceMap) -> Parsed {
    let mut parser = Parser::new(text, places);
    parser.run();
    parser.finish()
}

/// Reads a document up to its first error; see [`crate::parse_until_error`].
pub(crate) fn parse_until_error(text: &str) -> Option<Tree> {
    let mut parser = Parser { stops: true, ..Parser::new(text, PlaceMap::default()) };
    parser.run();
    parser.arena.root = *parser.tops.first()?;
    parser.arena.shrink();
    Some(Tree::from_arena(parser.arena))
}

struct Parser<'a> {
    text: &'a str,
    pos: usize,
    arena: Arena,
    open: Vec<Frame>,
    /// Elements outside any other.
    tops: Vec<u32>,
    last_top: u32,
    decoder: Decoder,
    diagnostics: Vec<Diagnostic>,
    error: Option<String>,
    /// Text buffers of closed elements, for reuse.
    spare: Vec<String>,
    /// Nothing is read behind the first error.
    stops: bool,
}

struct Frame {
    node: u32,
    last_child: u32,
    text: String,
}

/// The document cannot be read any further.
struct Stop;

impl<'a> Parser<'a> {
    fn new(text: &'a str, places: PlaceMap) -> Self {
        Self {
            text,
            pos: 0,
            arena: Arena { places, ..Arena::default() },
            open: Vec::new(),
            tops: Vec::new(),
            last_top: NONE,
            decoder: Decoder::default(),
            diagnostics: Vec::new(),
            error: None,
            spare: Vec::new(),
            stops: false,
        }
    }
}

impl Parser<'_> {
    fn run(&mut self) {
        let Some(first) = self.text.find('<') else {
            return self.fail(0, "xml-no-root", "root tag missing", "the document has no element");
        };
        self.pos = first;
        while self.pos < self.text.len() {
            let stop = self.markup().is_err() || self.diagnostics.len() >= MAX_ERRORS;
            if stop || (self.stops && self.error.is_some()) {
                break;
            }
            self.character_data();
        }
        if self.tops.is_empty() && self.error.is_none() {
            self.fail(0, "xml-no-root", "root tag missing", "the document has no element");
        }
        while let Some(frame) = self.open.last() {
            let node = &self.arena.nodes[frame.node as usize];
            let (start, name) = (node.start as usize, self.arena.name(node.name).to_owned());
            self.report(
                self.text.len(),
                start,
                "xml-unclosed-tag",
                &format!("unclosed tag <{name}>"),
                format!("<{name}> is never closed"),
            );
            self.close();
        }
        if self.decoder.exhausted {
            let said = "entities produce too much text";
            self.fail(0, "xml-entity-limit", said, said);
        }
    }

    fn finish(mut self) -> Parsed {
        self.arena.root = self.tops.first().copied().unwrap_or(NONE);
        let rootless = self.tops.len() > 1;
        if self.error.is_none() && rootless {
            self.wrap_sections();
        }
        let ok = self.error.is_none() && !self.arena.nodes.is_empty();
        self.arena.shrink();
        Parsed {
            tree: ok.then(|| Tree::from_arena(self.arena)),
            diagnostics: self.diagnostics,
            error: self.error,
        }
    }

    /// Several `<section>` elements with nothing around them (their root element was an
    /// `<include>`, which the preprocessor removes) are taken as one document; the reference
    /// refuses them.
    fn wrap_sections(&mut self) {
        let name = self.arena.intern("document");
        let id = self.arena.push_node(NodeData {
            name,
            parent: NONE,
            first_child: self.tops.first().copied().unwrap_or(NONE),
            next_sibling: NONE,
            attrs: Range { start: 0, end: 0 },
            text: Range { start: 0, end: 0 },
            text_offset: 0,
            start: 0,
        });
        for &top in &self.tops {
            self.arena.nodes[top as usize].parent = id;
        }
        self.arena.root = id;
    }

    fn place(&self, at: usize) -> Place {
        self.arena.places.place(u32::try_from(at).unwrap_or(u32::MAX))
    }

    /// Notes an error: `near` is where the reference counts its line to, `at` what it is about.
    fn report(
        &mut self,
        near: usize,
        at: usize,
        code: &'static str,
        reference: &str,
        message: impl Into<String>,
    ) {
        if self.error.is_none() {
            let before = self.text.as_bytes().get(..near).unwrap_or(self.text.as_bytes());
            let line = memchr::memchr_iter(b'\n', before).count() + 1;
            self.error = Some(format!("[error near line {line}]: {reference}"));
        }
        self.diagnostics.push(Diagnostic::error(code, message, Some(self.place(at))));
    }

    fn fail(&mut self, at: usize, code: &'static str, reference: &str, message: &str) {
        self.report(at, at, code, reference, message);
    }

    fn byte(&self, at: usize) -> u8 {
        self.text.as_bytes().get(at).copied().unwrap_or(0)
    }

    fn slice(&self, from: usize, to: usize) -> &str {
        self.text.get(from..to).unwrap_or_default()
    }

    /// Where `needle` is, at or after `from`.
    fn find(&self, from: usize, needle: &str) -> Option<usize> {
        let rest = self.text.as_bytes().get(from..)?;
        memchr::memmem::find(rest, needle.as_bytes()).map(|at| from + at)
    }

    /// Reads what starts with the `<` at the current position.
    fn markup(&mut self) -> Result<(), Stop> {
        let at = self.pos;
        let rest = self.text.get(at..).unwrap_or_default();
        match self.byte(at + 1) {
            b if is_name_start(b) => self.open_tag(at),
            b'/' => self.close_tag(at),
            _ if rest.starts_with("<!--") => self.comment(at),
            _ if rest.starts_with("<![CDATA[") => self.cdata(at),
            _ if rest.starts_with("<!DOCTYPE") => self.doctype(at),
            b'?' => {
                let Some(end) = self.find(at + 2, "?>") else {
                    self.fail(at, "xml-unclosed", "unclosed <?", "<? is never closed by ?>");
                    return Err(Stop);
                };
                self.pos = end + 2;
                Ok(())
            }
            _ => {
                self.fail(at, "xml-unexpected", "unexpected <", "`<` starts nothing here");
                self.last_error_hint("write it as &lt;");
                self.pos = at + 1;
                Ok(())
            }
        }
    }

    fn last_error_hint(&mut self, hint: &str) {
        if let Some(last) = self.diagnostics.last_mut() {
            last.hint = Some(hint.to_owned());
        }
    }

    fn character_data(&mut self) {
        let from = self.pos;
        let rest = self.text.as_bytes().get(from..).unwrap_or_default();
        let end = memchr::memchr(b'<', rest).map_or(self.text.len(), |at| from + at);
        if let Some(frame) = self.open.last_mut() {
            self.decoder.text(&mut frame.text, self.text.get(from..end).unwrap_or_default());
        }
        self.pos = end;
    }

    fn comment(&mut self, at: usize) -> Result<(), Stop> {
        let Some(dashes) = self.find(at + 4, "--") else {
            self.fail(at, "xml-unclosed-comment", "unclosed <!--", "<!-- is never closed by -->");
            return Err(Stop);
        };
        if self.byte(dashes + 2) == b'>' {
            self.pos = dashes + 3;
            return Ok(());
        }
        let message = "`--` inside a comment";
        self.report(dashes, dashes, "xml-comment-dashes", "unclosed <!--", message);
        self.last_error_hint("the comment must not contain two dashes in a row");
        match self.find(dashes, "-->") {
            Some(end) => self.pos = end + 3,
            None => return Err(Stop),
        }
        Ok(())
    }

    fn cdata(&mut self, at: usize) -> Result<(), Stop> {
        let Some(end) = self.find(at + 9, "]]>") else {
            let message = "<![CDATA[ is never closed by ]]>";
            self.fail(at, "xml-unclosed", "unclosed <![CDATA[", message);
            return Err(Stop);
        };
        let raw = self.text.get(at + 9..end).unwrap_or_default();
        if let Some(frame) = self.open.last_mut() {
            frame.text.push_str(&raw.replace("\r\n", "\n").replace('\r', "\n"));
        }
        self.pos = end + 3;
        Ok(())
    }

    fn doctype(&mut self, at: usize) -> Result<(), Stop> {
        let bracket = self.find(at, "[");
        let angle = self.find(at, ">");
        let (subset, end) = match (bracket, angle) {
            (Some(open), Some(close)) if open < close => {
                let mut from = open + 1;
                let end = loop {
                    let Some(close) = self.find(from, "]") else { break None };
                    let after = self.slice(close + 1, self.text.len());
                    let blanks = after.len() - after.trim_start().len();
                    if after.trim_start().starts_with('>') {
                        break Some((close, close + 1 + blanks));
                    }
                    from = close + 1;
                };
                let Some((close, end)) = end else { return self.unclosed_doctype(at) };
                (Some((open + 1, close)), end)
            }
            (_, Some(close)) => (None, close),
            _ => return self.unclosed_doctype(at),
        };
        if let Some((from, to)) = subset {
            let text = self.text.get(from..to).unwrap_or_default();
            if let Some(name) = self.decoder.declared.read(text) {
                let said = format!("circular entity declaration &{name}");
                self.report(
                    at,
                    at,
                    "xml-entity-loop",
                    &said,
                    format!("entity &{name}; refers to itself"),
                );
                return Err(Stop);
            }
        }
        self.pos = end + 1;
        Ok(())
    }

    fn unclosed_doctype(&mut self, at: usize) -> Result<(), Stop> {
        self.fail(at, "xml-unclosed", "unclosed <!DOCTYPE", "<!DOCTYPE is never closed by >");
        Err(Stop)
    }

    fn close_tag(&mut self, at: usize) -> Result<(), Stop> {
        let from = at + 2;
        let end = self.text.as_bytes().get(from..).unwrap_or_default();
        let length = end.iter().position(|&b| is_space(b) || b == b'>').unwrap_or(end.len());
        let name = self.slice(from, from + length).to_owned();
        let Some(angle) = self.find(from + length, ">") else {
            self.fail(at, "xml-missing-angle", "missing >", "the closing tag has no >");
            return Err(Stop);
        };
        self.pos = angle + 1;
        let matching = self.open.iter().rposition(|f| self.frame_name(f) == name);
        match matching {
            Some(index) if index + 1 == self.open.len() => {}
            Some(index) => self.wrong_close(at, &name, Some(index)),
            None if self.misspelt_close(at, &name) => {
                self.close();
                return Ok(());
            }
            None => {
                self.wrong_close(at, &name, None);
                return Ok(());
            }
        }
        for _ in matching.unwrap_or(0)..self.open.len() {
            self.close();
        }
        Ok(())
    }

    /// A closing tag that is nearly the one wanted: the tag that is no element of the reference is the
    /// misspelt one.
    fn misspelt_close(&mut self, at: usize, name: &str) -> bool {
        let Some(frame) = self.open.last() else { return false };
        let (inner, node) = (self.frame_name(frame).to_owned(), frame.node);
        let same = inner.eq_ignore_ascii_case(name);
        // Short names are near to one another without being meant.
        let near = name.len() > 2 && crate::catalogue::nearest(name, [inner.as_str()]).is_some();
        if !same && !near {
            return false;
        }
        let start = self.arena.nodes[node as usize].start as usize;
        let opening = crate::catalogue::elements::is_known(name);
        let (wrong, other) = if opening { (start + 1, at) } else { (at + 2, start) };
        let (word, meant) = if opening { (inner.as_str(), name) } else { (name, inner.as_str()) };
        let said = format!("unexpected closing tag </{name}>");
        let message = format!("<{inner}> is closed by </{name}>");
        let code = "xml-unexpected-closing-tag";
        self.report(at, wrong, code, &said, message);
        let place = self.place(other);
        if let Some(last) = self.diagnostics.last_mut() {
            last.related.push((place, "the other tag".to_owned()));
            last.hint = Some(format!("\"{word}\": did you mean \"{meant}\"?"));
        }
        true
    }

    fn wrong_close(&mut self, at: usize, name: &str, matching: Option<usize>) {
        let said = format!("unexpected closing tag </{name}>");
        let still_open = self.open.last().map(|f| (self.frame_name(f).to_owned(), f.node));
        let message = match &still_open {
            Some((inner, _)) if matching.is_some() => {
                format!("</{name}> comes before <{inner}> is closed")
            }
            _ => format!("</{name}> closes nothing"),
        };
        self.report(at, at, "xml-unexpected-closing-tag", &said, message);
        if let (Some((inner, node)), Some(last)) = (still_open, self.diagnostics.last_mut()) {
            let start = self.arena.nodes[node as usize].start;
            let place = self.arena.places.place(start);
            last.related.push((place, format!("<{inner}> was opened here")));
        }
    }

    fn frame_name(&self, frame: &Frame) -> &str {
        self.arena.name(self.arena.nodes[frame.node as usize].name)
    }

    fn open_tag(&mut self, at: usize) -> Result<(), Stop> {
        if self.open.len() >= MAX_DEPTH {
            let message = format!("elements nest deeper than {MAX_DEPTH}");
            self.report(at, at, "xml-too-deep", "too many nested elements", message);
            return Err(Stop);
        }
        let bytes = self.text.as_bytes();
        let from = at + 1;
        let ends = |b: &u8| is_space(*b) || *b == b'/' || *b == b'>';
        let length = bytes.get(from..).unwrap_or_default().iter().position(ends);
        let mut pos = from + length.unwrap_or(bytes.len() - from);
        let name = self.slice(from, pos).to_owned();
        self.check_top(at, &name);
        let first_attr = self.arena.attrs.len();
        pos = skip_space(bytes, pos);
        while pos < bytes.len() && !matches!(bytes[pos], b'/' | b'>') {
            pos = self.attribute(at, pos)?;
        }
        self.add_defaults(&name, first_attr, at);
        let empty = self.byte(pos) == b'/';
        if empty {
            pos += 1;
        }
        if self.byte(pos) != b'>' {
            self.report(
                at,
                at,
                "xml-missing-angle",
                "missing >",
                format!("the tag <{name}> has no >"),
            );
            return Err(Stop);
        }
        self.pos = pos + 1;
        self.push(at, &name, first_attr);
        if empty {
            self.close();
        }
        Ok(())
    }

    /// A second element outside any other is an error, unless all of them are sections.
    fn check_top(&mut self, at: usize, name: &str) {
        let Some(&first) = self.tops.first() else { return };
        if !self.open.is_empty() || self.error.is_some() {
            return;
        }
        let first = &self.arena.nodes[first as usize];
        let (first_name, start) = (self.arena.name(first.name).to_owned(), first.start);
        let known = self.tops.len() > 1;
        if first_name == "section" && name == "section" {
            if !known {
                let message = "the document has no root element: its sections stand side by side";
                let place = self.arena.places.place(start);
                let hint = "the reference refuses this document (markup outside of root element); \
                            an <include> used as root element is removed by the preprocessor: put \
                            <document type=\"freeswitch/xml\"> around the sections";
                let found = Diagnostic::warning("xml-rootless", message, Some(place));
                self.diagnostics.push(found.with_hint(hint));
            }
            return;
        }
        let message = format!("<{name}> stands outside the root element <{first_name}>");
        let place = self.arena.places.place(start);
        self.report(at, at, "xml-outside-root", "markup outside of root element", message);
        if let Some(last) = self.diagnostics.last_mut() {
            last.related.push((place, format!("<{first_name}> starts here and is closed already")));
        }
    }

    /// Reads one attribute; gives the position after it and the white space behind.
    fn attribute(&mut self, tag: usize, from: usize) -> Result<usize, Stop> {
        let bytes = self.text.as_bytes();
        let ends = |b: &u8| is_space(*b) || matches!(*b, b'=' | b'/' | b'>');
        let rest = bytes.get(from..).unwrap_or_default();
        let mut pos = from + rest.iter().position(ends).unwrap_or(rest.len());
        let name_end = pos;
        if self.slice(from, name_end).contains(['"', '\'']) {
            self.lost_quote(tag, from);
        }
        let mut value = (pos, pos);
        if pos < bytes.len() && (bytes[pos] == b'=' || is_space(bytes[pos])) {
            while pos < bytes.len() && (bytes[pos] == b'=' || is_space(bytes[pos])) {
                pos += 1;
            }
            let quote = self.byte(pos);
            let equals = self.slice(name_end, pos).contains('=');
            if equals && !matches!(quote, b'"' | b'\'' | b'>' | b'/') {
                let name = self.slice(from, name_end).to_owned();
                self.quote_missing(pos, &format!("the value of attribute {name}"), "opening");
            }
            if quote == b'"' || quote == b'\'' {
                let inside = bytes.get(pos + 1..).unwrap_or_default();
                let Some(length) = memchr::memchr(quote, inside) else {
                    let (q, name) = (char::from(quote), self.slice(from, name_end).to_owned());
                    let message = format!("the value of attribute {name} has no closing {q}");
                    self.report(tag, pos, "xml-missing-quote", &format!("missing {q}"), message);
                    return Err(Stop);
                };
                value = (pos + 1, pos + 1 + length);
                pos = value.1 + 1;
            }
        }
        if name_end > from {
            self.push_attr((from, name_end), value);
        }
        Ok(skip_space(bytes, pos))
    }

    /// A quote inside an attribute's name means that one was forgotten before it: the value of the
    /// attribute before ran on to the next quote, or had no opening quote. The reference accepts this
    /// in silence, and complains, if at all, about a closing tag further down.
    fn lost_quote(&mut self, tag: usize, at: usize) {
        let last = self.arena.attrs.last().filter(|a| a.name_start as usize > tag);
        let Some(last) = last else { return self.quote_missing(at, "this value", "opening") };
        let (start, name) = (last.start as usize, self.arena.name(last.name));
        let value = format!("the value of attribute {name}");
        if name.contains(['"', '\'']) || self.arena.string(last.value).is_empty() {
            self.quote_missing(at, &value, "opening");
        } else {
            self.quote_missing(start.saturating_sub(1), &value, "closing");
        }
    }

    /// One forgotten quote puts every later one in the wrong role: only the first is mentioned.
    fn quote_missing(&mut self, at: usize, value: &str, which: &str) {
        if self.diagnostics.iter().any(|found| found.code == "xml-missing-quote") {
            return;
        }
        let quote = if self.byte(at) == b'\'' { '\'' } else { '"' };
        let message = format!("{value} has no {which} {quote}");
        let place = Some(self.place(at));
        self.diagnostics.push(Diagnostic::error("xml-missing-quote", message, place));
    }

    fn push_attr(&mut self, name: (usize, usize), value: (usize, usize)) {
        let raw = self.text.get(value.0..value.1).unwrap_or_default();
        let name_start = u32::try_from(name.0).unwrap_or(u32::MAX);
        let start = self.arena.strings.len();
        self.decoder.attribute(&mut self.arena.strings, raw);
        let name = self.arena.intern(self.text.get(name.0..name.1).unwrap_or_default());
        let value_range = Range::new(start, self.arena.strings.len());
        let start = u32::try_from(value.0).unwrap_or(u32::MAX);
        self.arena.attrs.push(AttrData { name, value: value_range, start, name_start });
    }

    fn add_defaults(&mut self, element: &str, first_attr: usize, at: usize) {
        for (name, value) in self.decoder.declared.defaults(element) {
            let id = self.arena.intern(name);
            let present = self.arena.attrs.get(first_attr..).unwrap_or_default();
            if present.iter().any(|a| a.name == id) {
                continue;
            }
            let start = self.arena.strings.len();
            self.arena.strings.push_str(value);
            let value = Range::new(start, self.arena.strings.len());
            let start = u32::try_from(at).unwrap_or(u32::MAX);
            self.arena.attrs.push(AttrData { name: id, value, start, name_start: start });
        }
    }

    fn push(&mut self, at: usize, name: &str, first_attr: usize) {
        let name = self.arena.intern(name);
        let parent = self.open.last();
        let node = NodeData {
            name,
            parent: parent.map_or(NONE, |f| f.node),
            first_child: NONE,
            next_sibling: NONE,
            attrs: Range::new(first_attr, self.arena.attrs.len()),
            text: Range { start: 0, end: 0 },
            text_offset: u32::try_from(parent.map_or(0, |f| f.text.len())).unwrap_or(u32::MAX),
            start: u32::try_from(at).unwrap_or(u32::MAX),
        };
        let id = self.arena.push_node(node);
        let previous = match self.open.last_mut() {
            Some(frame) => {
                if frame.last_child == NONE {
                    self.arena.nodes[frame.node as usize].first_child = id;
                }
                std::mem::replace(&mut frame.last_child, id)
            }
            None => {
                self.tops.push(id);
                std::mem::replace(&mut self.last_top, id)
            }
        };
        if previous != NONE {
            self.arena.nodes[previous as usize].next_sibling = id;
        }
        let text = self.spare.pop().unwrap_or_default();
        self.open.push(Frame { node: id, last_child: NONE, text });
    }

    fn close(&mut self) {
        let Some(mut frame) = self.open.pop() else { return };
        let start = self.arena.strings.len();
        self.arena.strings.push_str(&frame.text);
        self.arena.nodes[frame.node as usize].text = Range::new(start, self.arena.strings.len());
        frame.text.clear();
        self.spare.push(frame.text);
    }
}

fn is_space(b: u8) -> bool {
    matches!(b, b' ' | b'\t' | b'\r' | b'\n')
}

fn is_name_start(b: u8) -> bool {
    b.is_ascii_alphabetic() || b == b'_' || b == b':' || b >= 0x80
}

fn skip_space(bytes: &[u8], mut pos: usize) -> usize {
    while bytes.get(pos).copied().is_some_and(is_space) {
        pos += 1;
    }
    pos
}
