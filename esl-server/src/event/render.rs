//! The three text forms of an event, each with its envelope, rendered once.

use bytes::Bytes;

use super::{Event, Part, SUBCLASS, Value, encode};

/// How events are written to a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Format {
    /// `Name: encoded value` lines.
    #[default]
    Plain,
    /// One flat object.
    Json,
    /// One `<event>` element.
    Xml,
}

impl Format {
    pub(super) const COUNT: usize = 3;

    /// The word in an `event` command and its reply.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Json => "json",
            Self::Xml => "xml",
        }
    }

    /// Finds a format by its word in any case.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Plain, Self::Json, Self::Xml]
            .into_iter()
            .find(|f| f.as_str().eq_ignore_ascii_case(word))
    }

    const fn content_type(self) -> &'static str {
        match self {
            Self::Plain => "text/event-plain",
            Self::Json => "text/event-json",
            Self::Xml => "text/event-xml",
        }
    }
}

/// Room for the envelope in front of a rendered event, so that both are one allocation.
const ENVELOPE_ROOM: usize = 64;
/// First guess at a rendered event's size; channel events with variables run to 5-8 KB.
const TYPICAL_SIZE: usize = 4096;

impl Event {
    /// The event as a plain text, without envelope.
    pub fn plain(&self) -> Bytes {
        self.text(Format::Plain)
    }

    /// The event as a JSON object, without envelope.
    pub fn json(&self) -> Bytes {
        self.text(Format::Json)
    }

    /// The event as an XML element, without envelope.
    pub fn xml(&self) -> Bytes {
        self.text(Format::Xml)
    }

    fn text(&self, format: Format) -> Bytes {
        let message = self.message(format);
        let body = memchr::memmem::find(&message, b"\n\n").map_or(0, |at| at + 2);
        message.slice(body.min(message.len())..)
    }

    /// The whole message as it goes to a connection: envelope, then the event. All connections of
    /// one format write these same bytes.
    pub fn message(&self, format: Format) -> Bytes {
        self.rendered[format as usize].get_or_init(|| self.render(format)).clone()
    }

    fn render(&self, format: Format) -> Bytes {
        let mut text = Vec::with_capacity(TYPICAL_SIZE);
        match format {
            Format::Plain => self.write_plain(&mut text),
            Format::Json => self.write_json(&mut text),
            Format::Xml => self.write_xml(&mut text),
        }
        let mut message = Vec::with_capacity(text.len() + ENVELOPE_ROOM);
        message.extend_from_slice(
            format!("Content-Length: {}\nContent-Type: {}\n\n", text.len(), format.content_type())
                .as_bytes(),
        );
        message.extend_from_slice(&text);
        message.into()
    }

    fn write_plain(&self, out: &mut Vec<u8>) {
        if let Some(subclass) = &self.subclass {
            encode::plain_line(out, SUBCLASS, subclass);
        }
        let (before, after) =
            self.parts.split_at_checked(self.core_at).unwrap_or((&self.parts, &[]));
        write_plain_parts(out, before);
        if let Some(core) = &self.core {
            core.write_plain(out, self.name);
        }
        write_plain_parts(out, after);
        match self.body.as_ref().filter(|b| !b.is_empty()) {
            Some(body) => {
                out.extend_from_slice(format!("Content-Length: {}\n\n", body.len()).as_bytes());
                out.extend_from_slice(body);
            }
            None => out.push(b'\n'),
        }
    }

    fn write_json(&self, out: &mut Vec<u8>) {
        out.push(b'{');
        if let Some(subclass) = &self.subclass {
            json_member(out, SUBCLASS, &Value::One(subclass.as_ref().into()));
        }
        let (before, after) =
            self.parts.split_at_checked(self.core_at).unwrap_or((&self.parts, &[]));
        write_json_parts(out, before);
        if let Some(core) = &self.core {
            core.for_each(self.name, |name, text| {
                json_name(out, name);
                encode::json(out, text.as_bytes());
            });
        }
        write_json_parts(out, after);
        if let Some(body) = &self.body {
            json_member(out, "Content-Length", &body.len().into());
            json_name(out, "_body");
            // JSON is UTF-8, and clients die of what is not; a far end's body may hold anything.
            encode::json(out, String::from_utf8_lossy(body).as_bytes());
        }
        out.push(b'}');
    }

    fn write_xml(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"<event>\n  <headers>\n");
        self.for_each_header(|name, value| {
            for item in value.items() {
                xml_open(out, b"    <", name);
                encode::url(out, item.as_bytes());
                xml_close(out, name);
            }
        });
        out.extend_from_slice(b"  </headers>\n");
        if let Some(body) = self.body.as_ref().filter(|b| !b.is_empty()) {
            out.extend_from_slice(
                format!("  <Content-Length>{}</Content-Length>\n  <body>", body.len()).as_bytes(),
            );
            encode::xml_text(out, &String::from_utf8_lossy(body));
            // The reference indents the end tag when the text before it ended a line.
            out.extend_from_slice(if body.ends_with(b"\n") {
                b"  </body>\n"
            } else {
                b"</body>\n"
            });
        }
        out.extend_from_slice(b"</event>\n");
    }
}

fn write_plain_parts(out: &mut Vec<u8>, parts: &[Part]) {
    for part in parts {
        match part {
            Part::Header(h) => encode::plain_line(out, &h.name, &h.value.text()),
            Part::Vars { prefix, vars } => {
                for line in vars.plain_lines() {
                    out.extend_from_slice(prefix.as_bytes());
                    out.extend_from_slice(line);
                }
            }
        }
    }
}

fn write_json_parts(out: &mut Vec<u8>, parts: &[Part]) {
    for part in parts {
        match part {
            Part::Header(h) => json_member(out, &h.name, &h.value),
            Part::Vars { prefix, vars } => {
                for member in vars.json_members() {
                    json_comma(out);
                    out.push(b'"');
                    out.extend_from_slice(prefix.as_bytes());
                    out.extend_from_slice(member);
                }
            }
        }
    }
}

fn json_member(out: &mut Vec<u8>, name: &str, value: &Value) {
    json_name(out, name);
    encode::json_value(out, value);
}

fn json_name(out: &mut Vec<u8>, name: &str) {
    json_comma(out);
    encode::json(out, name.as_bytes());
    out.push(b':');
}

fn json_comma(out: &mut Vec<u8>) {
    if out.last() != Some(&b'{') {
        out.push(b',');
    }
}

fn xml_open(out: &mut Vec<u8>, start: &[u8], name: &str) {
    out.extend_from_slice(start);
    // Far ends name headers too, with characters that would end the tag or the document.
    let fit = |b: u8| {
        if b.is_ascii_alphanumeric() || b >= 0x80 || b"-_.:[]".contains(&b) { b } else { b'_' }
    };
    out.extend(name.bytes().map(fit));
    out.push(b'>');
}

fn xml_close(out: &mut Vec<u8>, name: &str) {
    xml_open(out, b"</", name);
    out.push(b'\n');
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{EventName, Vars};

    fn job() -> Event {
        let mut event = Event::new(EventName::BackgroundJob);
        event.push("Job-Command", "echo").push("Job-Command-Arg", "hi there").set_body("hi there");
        event
    }

    #[test]
    fn plain_ends_in_one_blank_line_or_in_the_body() {
        let mut event = Event::new(EventName::General);
        event.push("X-Array", "ARRAY::a|:b").push("X-Sign", "100% <&>");
        assert_eq!(event.plain(), "X-Array: ARRAY%3A%3Aa%7C%3Ab\nX-Sign: 100%25%20%3C%26%3E\n\n");
        assert_eq!(
            job().plain(),
            "Job-Command: echo\nJob-Command-Arg: hi%20there\nContent-Length: 8\n\nhi there"
        );
    }

    #[test]
    fn the_envelope_counts_bytes_and_puts_the_length_first() {
        let mut event = Event::new(EventName::General);
        event.push("A", "b");
        assert_eq!(
            event.message(Format::Plain),
            "Content-Length: 6\nContent-Type: text/event-plain\n\nA: b\n\n"
        );
        assert_eq!(
            event.message(Format::Json),
            "Content-Length: 9\nContent-Type: text/event-json\n\n{\"A\":\"b\"}"
        );
    }

    #[test]
    fn json_shows_arrays_duplicates_and_even_an_empty_body() {
        let mut event = Event::new(EventName::General);
        event.push("A", "ARRAY::x").push("A", "raw%20é").set_body("");
        assert_eq!(event.json(), r#"{"A":["x"],"A":"raw%20é","Content-Length":"0","_body":""}"#);
        assert_eq!(Event::new(EventName::General).json(), "{}");
    }

    #[test]
    fn snapshots_render_like_headers() {
        let mut event = Event::new(EventName::General);
        let vars: Vars = [("a", "x \"y\""), ("b", "ARRAY::1|:2")].into_iter().collect();
        event.push("First", "1").push_vars("variable_", Arc::new(vars));
        assert_eq!(event.json(), r#"{"First":"1","variable_a":"x \"y\"","variable_b":["1","2"]}"#);
        assert_eq!(
            event.plain(),
            "First: 1\nvariable_a: x%20%22y%22\nvariable_b: ARRAY%3A%3A1%7C%3A2\n\n"
        );
    }

    #[test]
    fn xml_encodes_headers_and_escapes_the_body() {
        let mut event = job();
        event.push("A", "ARRAY::x|:y").set_body("é <&>\"\r\n");
        assert_eq!(
            event.xml(),
            "<event>\n  <headers>\n    <Job-Command>echo</Job-Command>\n    \
             <Job-Command-Arg>hi%20there</Job-Command-Arg>\n    <A>x</A>\n    <A>y</A>\n  </headers>\n  \
             <Content-Length>9</Content-Length>\n  <body>&#xE9; &lt;&amp;&gt;\"&#xD;\n  </body>\n</event>\n"
        );
    }

    #[test]
    fn each_form_is_rendered_once_and_anew_after_a_change() {
        let mut event = job();
        assert_eq!(event.message(Format::Json).as_ptr(), event.message(Format::Json).as_ptr());
        event.push("More", "1");
        assert!(
            event.plain().starts_with(b"Job-Command: echo\nJob-Command-Arg: hi%20there\nMore: 1\n")
        );
    }
}
