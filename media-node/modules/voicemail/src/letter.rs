//! A letter as bytes: headers, text, attachment (RFC 5322, RFC 2045 to 2047).

use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use switch_core::clock;

/// Bytes of an attachment in one line of base64.
const LINE: usize = 54;
/// Bytes of text in one encoded word.
const WORD: usize = 42;

/// A letter.
#[derive(Clone, Debug)]
pub(crate) struct Letter {
    pub(crate) to: String,
    pub(crate) from: String,
    /// Lines of headers.
    pub(crate) headers: String,
    pub(crate) body: String,
    pub(crate) attachment: Option<PathBuf>,
}

impl Letter {
    /// The whole of it; with `crlf` as servers want it.
    pub(crate) async fn bytes(&self, crlf: bool) -> std::io::Result<Vec<u8>> {
        let attachment = match &self.attachment {
            Some(file) => {
                let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
                Some((name, tokio::fs::read(file).await?))
            }
            None => None,
        };
        let text = self.text(attachment.as_ref().map(|(name, bytes)| (name.as_str(), &**bytes)));
        let text = if crlf { text.replace('\n', "\r\n") } else { text };
        Ok(text.into_bytes())
    }

    fn text(&self, attachment: Option<(&str, &[u8])>) -> String {
        let mut text = String::new();
        for header in self.headers.replace('\r', "").lines().filter(|l| l.contains(':')) {
            text.push_str(&encoded(header));
            text.push('\n');
        }
        let has = |name: &str| {
            let begins = |line: &str| {
                line.get(..name.len()).is_some_and(|own| own.eq_ignore_ascii_case(name))
                    && line.get(name.len()..).is_some_and(|rest| rest.starts_with(':'))
            };
            self.headers.lines().any(begins)
        };
        let one_line = |value: &str| value.replace(['\r', '\n'], " ");
        if !has("To") {
            text.push_str(&format!("To: {}\n", one_line(&self.to)));
        }
        if !has("From") {
            text.push_str(&format!("From: {}\n", one_line(&self.from)));
        }
        if !has("Date") {
            let now = jiff_date();
            text.push_str(&format!("Date: {now}\n"));
        }
        if !has("Message-ID") {
            text.push_str(&format!("Message-ID: <{}@voicemail>\n", clock::new_uuid()));
        }
        let body = self.body.replace('\r', "");
        // A template may bring its own kinds of content.
        let own_kind = body.to_ascii_lowercase().contains("content-type");
        let plain = "Content-Type: text/plain; charset=UTF-8\nContent-Transfer-Encoding: 8bit\n\n";
        if attachment.is_none() && !own_kind {
            text.push_str("MIME-Version: 1.0\n");
            text.push_str(plain);
            text.push_str(&body);
            text.push('\n');
            return text;
        }
        let bound = format!("voicemail-{}", clock::new_uuid());
        text.push_str(&format!(
            "MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=\"{bound}\"\n\n--{bound}\n"
        ));
        if !own_kind {
            text.push_str(plain);
        }
        text.push_str(&body);
        if let Some((name, bytes)) = attachment {
            let name: String =
                name.chars().map(|c| if c == '"' || c.is_control() { '_' } else { c }).collect();
            text.push_str(&format!(
                "\n\n--{bound}\nContent-Type: {}; name=\"{name}\"\nContent-ID: <ATTACHED@freeswitch.org>\n\
                 Content-Transfer-Encoding: base64\nContent-Description: Sound attachment.\n\
                 Content-Disposition: attachment; filename=\"{name}\"\n\n",
                kind_of(&name)
            ));
            for line in bytes.chunks(LINE) {
                STANDARD.encode_string(line, &mut text);
                text.push('\n');
            }
        }
        text.push_str(&format!("\n--{bound}--\n"));
        text
    }
}

/// The kind of a recording.
pub(crate) fn kind_of(name: &str) -> &'static str {
    match name.rsplit_once('.').map(|(_, ending)| ending.to_ascii_lowercase()).as_deref() {
        Some("wav") => "audio/x-wav",
        Some("mp3") => "audio/mpeg",
        Some("ogg" | "oga" | "opus") => "audio/ogg",
        Some("flac") => "audio/flac",
        Some("gsm") => "audio/x-gsm",
        Some("ul" | "ulaw" | "pcmu" | "al" | "alaw" | "pcma") => "audio/basic",
        _ => "audio/inline",
    }
}

/// A header whose value may hold characters beside ASCII (RFC 2047).
fn encoded(header: &str) -> String {
    if header.is_ascii() {
        return header.to_owned();
    }
    let (name, value) = header.split_once(':').unwrap_or((header, ""));
    // In front of an address stands a name; elsewhere all is text.
    let (text, address) = match value.rfind('<') {
        Some(at) => value.split_at(at),
        None => (value, ""),
    };
    let text = text.trim().trim_matches('"');
    let mut words = Vec::new();
    let mut word = String::new();
    for c in text.chars() {
        if word.len() + c.len_utf8() > WORD {
            words.push(std::mem::take(&mut word));
        }
        word.push(c);
    }
    words.push(word);
    let words: Vec<String> =
        words.iter().map(|word| format!("=?UTF-8?B?{}?=", STANDARD.encode(word))).collect();
    let address: String = address.chars().filter(char::is_ascii).collect();
    format!("{name}: {} {address}", words.join("\n ")).trim_end().to_owned()
}

/// Now, as RFC 5322 has it.
fn jiff_date() -> String {
    let now = clock::timestamp().to_zoned(clock::zone());
    now.strftime("%a, %d %b %Y %H:%M:%S %z").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letter(headers: &str, body: &str) -> Letter {
        Letter {
            to: "to@x.test".into(),
            from: "from@x.test".into(),
            headers: headers.into(),
            body: body.into(),
            attachment: None,
        }
    }

    #[test]
    fn what_is_missing_is_added_and_what_is_there_is_not() {
        let text = letter("Subject: a\nFROM: me@x.test", "Hello").text(None);
        assert!(text.starts_with("Subject: a\nFROM: me@x.test\nTo: to@x.test\nDate: "), "{text}");
        assert_eq!(text.matches("from@x.test").count(), 0, "{text}");
        assert!(text.ends_with("8bit\n\nHello\n"), "{text}");
    }

    #[test]
    fn an_attachment_reads_back() {
        let bytes: Vec<u8> = (0..=255).collect();
        let text = letter("Subject: a", "Hello").text(Some(("m\"s.wav", &bytes)));
        let (_, rest) = text.split_once("filename=\"m_s.wav\"\n\n").unwrap();
        let (data, end) = rest.split_once("\n\n--").unwrap();
        let packed = data.replace('\n', "");
        // Lines of 54 octets need no padding but the last.
        assert_eq!(STANDARD.decode(packed).unwrap(), bytes);
        assert!(end.ends_with("--\n"), "{end}");
        assert!(text.contains("Content-Type: audio/x-wav"), "{text}");
    }

    #[test]
    fn a_template_may_bring_its_own_content() {
        let text = letter("Subject: a", "Content-Type: text/html\n\n<b>Hi</b>").text(None);
        assert!(text.contains("multipart/mixed"), "{text}");
        assert!(!text.contains("text/plain"), "{text}");
    }

    #[test]
    fn names_beyond_ascii_are_encoded_beside_their_address() {
        assert_eq!(encoded("Subject: plain"), "Subject: plain");
        let text = encoded("From: \"Jürgen\" <j@x.test>");
        assert_eq!(text, format!("From: =?UTF-8?B?{}?= <j@x.test>", STANDARD.encode("Jürgen")));
        let long = encoded(&format!("Subject: {}", "ü".repeat(60)));
        assert!(long.lines().all(|line| line.len() < 78), "{long}");
    }
}
