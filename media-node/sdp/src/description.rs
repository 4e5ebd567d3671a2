//! Reading and writing descriptions. Reading is tolerant: unknown lines are kept, order is kept.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use thiserror::Error;

use crate::RtpMap;

/// Largest description read, bytes.
const MAX_SDP: usize = 32 * 1024;
/// Most media lines; the reference stops caring long before.
const MAX_MEDIA: usize = 32;
/// Most lines in all.
const MAX_LINES: usize = 2000;

/// Why a text is not a session description.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SdpError {
    /// It exceeds what is read of a stranger.
    #[error("longer than {MAX_SDP} bytes, {MAX_LINES} lines or {MAX_MEDIA} media")]
    TooLarge,
    /// Its first line is another.
    #[error("line 1: v=0 expected")]
    NoVersion,
    /// One of its lines cannot be read.
    #[error("line {number}: {what}")]
    Line {
        /// Number of the line, from 1.
        number: usize,
        /// What is wrong with it.
        what: Unreadable,
    },
}

/// What is wrong with a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Unreadable {
    /// Not a letter, an equals sign and a value.
    #[error("not of the form x=value")]
    Form,
    /// `o=` lacks one of its six parts.
    #[error("o= without user, id, version and address")]
    Origin,
    /// `c=` lacks network, family or address.
    #[error("c= without network, family and address")]
    Connection,
    /// `m=` lacks kind, port or protocol, or its port is no number.
    #[error("m= without kind, port and protocol")]
    Media,
}

/// `o=`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// User name; `-` for none.
    pub username: String,
    /// Session id; a number by the book, text in the wild.
    pub session_id: String,
    /// Version: another number means another description.
    pub version: String,
    /// The address of the describing host; not where media goes.
    pub address: Connection,
}

/// `c=`, and the address in `o=`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connection {
    /// `IP4` or `IP6`, as written.
    pub family: String,
    /// The address or name, without `/ttl`.
    pub address: String,
}

impl Connection {
    /// For an address.
    pub fn of(ip: IpAddr) -> Self {
        Self { family: if ip.is_ipv4() { "IP4" } else { "IP6" }.into(), address: ip.to_string() }
    }

    /// The address when it is one.
    pub fn ip(&self) -> Option<IpAddr> {
        self.address.parse().ok()
    }

    fn parse(text: &str) -> Option<Self> {
        let mut words = text.split_ascii_whitespace();
        let (_net, family, address) = (words.next()?, words.next()?, words.next()?);
        let address = address.split('/').next().unwrap_or(address);
        Some(Self { family: family.to_owned(), address: address.to_owned() })
    }
}

impl fmt::Display for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "IN {} {}", self.family, self.address)
    }
}

/// `a=name[:value]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attribute {
    /// Its name, as written.
    pub name: String,
    /// What stands after the colon; `None` for a flag.
    pub value: Option<String>,
}

impl Attribute {
    /// `a=name`.
    pub fn flag(name: &str) -> Self {
        Self { name: name.to_owned(), value: None }
    }

    /// `a=name:value`.
    pub fn new(name: &str, value: impl Into<String>) -> Self {
        Self { name: name.to_owned(), value: Some(value.into()) }
    }

    fn parse(text: &str) -> Self {
        match text.split_once(':') {
            Some((name, value)) => Self::new(name, value),
            None => Self::flag(text),
        }
    }
}

impl fmt::Display for Attribute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.value {
            Some(value) => write!(f, "a={}:{value}", self.name),
            None => write!(f, "a={}", self.name),
        }
    }
}

/// One `m=` section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MediaLine {
    /// `audio`, `video`, `image`...
    pub kind: String,
    /// Port; 0 refuses or ends the stream.
    pub port: u16,
    /// `RTP/AVP` and the like.
    pub proto: String,
    /// Formats in order of preference, as written.
    pub formats: Vec<String>,
    /// `c=` of this section.
    pub connection: Option<Connection>,
    /// Other lines than `c=` and `a=` (`i=`, `b=`, `k=`), with their letter.
    pub other: Vec<(char, String)>,
    /// `a=` lines in order.
    pub attributes: Vec<Attribute>,
}

impl MediaLine {
    /// A section without attributes.
    pub fn new(kind: &str, port: u16, proto: &str, formats: Vec<String>) -> Self {
        Self {
            kind: kind.to_owned(),
            port,
            proto: proto.to_owned(),
            formats,
            connection: None,
            other: Vec::new(),
            attributes: Vec::new(),
        }
    }

    fn parse(text: &str) -> Option<Self> {
        let mut words = text.split_ascii_whitespace();
        let (kind, port, proto) = (words.next()?, words.next()?, words.next()?);
        let port = port.split('/').next()?.parse().ok()?;
        Some(Self::new(kind, port, proto, words.map(str::to_owned).collect()))
    }

    /// Value of the first attribute of this name; `Some("")` for a flag.
    pub fn attribute(&self, name: &str) -> Option<&str> {
        find(&self.attributes, name)
    }

    /// All `rtpmap` lines that can be read.
    pub fn rtpmaps(&self) -> impl Iterator<Item = RtpMap> {
        self.attributes
            .iter()
            .filter(|a| a.name.eq_ignore_ascii_case("rtpmap"))
            .filter_map(|a| RtpMap::parse(a.value.as_deref()?))
    }

    /// `fmtp` of a payload type.
    pub fn fmtp(&self, payload_type: u8) -> Option<&str> {
        self.attributes.iter().filter(|a| a.name.eq_ignore_ascii_case("fmtp")).find_map(|a| {
            let (pt, rest) = a.value.as_deref()?.trim().split_once(' ')?;
            (pt.parse() == Ok(payload_type)).then(|| rest.trim())
        })
    }
}

fn find<'a>(attributes: &'a [Attribute], name: &str) -> Option<&'a str> {
    attributes
        .iter()
        .find(|a| a.name.eq_ignore_ascii_case(name))
        .map(|a| a.value.as_deref().unwrap_or(""))
}

/// A whole description.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionDescription {
    /// `o=`.
    pub origin: Origin,
    /// `s=`.
    pub name: String,
    /// Session-level `c=`.
    pub connection: Option<Connection>,
    /// `t=` as text, usually `0 0`.
    pub time: String,
    /// Other session lines (`i=`, `b=`, `u=`...), with their letter.
    pub other: Vec<(char, String)>,
    /// Session-level `a=` lines.
    pub attributes: Vec<Attribute>,
    /// `m=` sections.
    pub media: Vec<MediaLine>,
}

impl SessionDescription {
    /// Reads a description. Lines without meaning here are kept or skipped; only a missing `v=0`, an
    /// unreadable `o=`, `c=` or `m=`, or excessive size are errors.
    pub fn parse(text: &str) -> Result<Self, SdpError> {
        // Lines may end in a carriage return alone, as the reference reads them.
        if text.contains('\r') && !text.contains('\n') {
            return Self::parse(&text.replace('\r', "\n"));
        }
        if text.len() > MAX_SDP || text.lines().count() > MAX_LINES {
            return Err(SdpError::TooLarge);
        }
        let mut lines = text.lines().enumerate().filter(|(_, l)| !l.trim().is_empty());
        if lines.next().is_none_or(|(_, l)| l.trim_end() != "v=0") {
            return Err(SdpError::NoVersion);
        }
        let origin = Origin {
            username: "-".into(),
            session_id: "0".into(),
            version: "0".into(),
            address: Connection { family: "IP4".into(), address: "0.0.0.0".into() },
        };
        let mut out = Self {
            origin,
            name: "-".into(),
            connection: None,
            time: "0 0".into(),
            other: Vec::new(),
            attributes: Vec::new(),
            media: Vec::new(),
        };
        for (index, line) in lines {
            out.line(line.trim_end()).map_err(|what| SdpError::Line { number: index + 1, what })?;
            if out.media.len() > MAX_MEDIA {
                return Err(SdpError::TooLarge);
            }
        }
        Ok(out)
    }

    fn line(&mut self, line: &str) -> Result<(), Unreadable> {
        let (letter, value) = line.split_once('=').ok_or(Unreadable::Form)?;
        let mut letters = letter.chars();
        let (Some(letter), None) = (letters.next(), letters.next()) else {
            return Err(Unreadable::Form);
        };
        let connection = || Connection::parse(value).ok_or(Unreadable::Connection);
        if letter == 'm' {
            self.media.push(MediaLine::parse(value).ok_or(Unreadable::Media)?);
            return Ok(());
        }
        if let Some(media) = self.media.last_mut() {
            match letter {
                'a' => media.attributes.push(Attribute::parse(value)),
                'c' => media.connection = Some(connection()?),
                letter => media.other.push((letter, value.to_owned())),
            }
            return Ok(());
        }
        match letter {
            'a' => self.attributes.push(Attribute::parse(value)),
            'c' => self.connection = Some(connection()?),
            'o' => self.origin = parse_origin(value).ok_or(Unreadable::Origin)?,
            's' => self.name = value.to_owned(),
            't' => self.time = value.to_owned(),
            letter => self.other.push((letter, value.to_owned())),
        }
        Ok(())
    }

    /// The section's own or the session's connection address.
    pub fn address_of(&self, media: &MediaLine) -> Option<IpAddr> {
        media.connection.as_ref().or(self.connection.as_ref())?.ip()
    }

    /// Where RTP for this section goes; `None` when port is 0 or the address a name.
    pub fn rtp_address(&self, media: &MediaLine) -> Option<SocketAddr> {
        (media.port != 0)
            .then(|| self.address_of(media).map(|ip| SocketAddr::new(ip, media.port)))?
    }

    /// Session-level attribute.
    pub fn attribute(&self, name: &str) -> Option<&str> {
        find(&self.attributes, name)
    }
}

fn parse_origin(value: &str) -> Option<Origin> {
    let mut words = value.split_ascii_whitespace();
    Some(Origin {
        username: words.next()?.to_owned(),
        session_id: words.next()?.to_owned(),
        version: words.next()?.to_owned(),
        address: Connection::parse(&words.collect::<Vec<_>>().join(" "))?,
    })
}

impl fmt::Display for SessionDescription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Origin { username, session_id, version, address } = &self.origin;
        write!(f, "v=0\r\no={username} {session_id} {version} {address}\r\ns={}\r\n", self.name)?;
        if let Some(connection) = &self.connection {
            write!(f, "c={connection}\r\n")?;
        }
        for (letter, value) in &self.other {
            write!(f, "{letter}={value}\r\n")?;
        }
        write!(f, "t={}\r\n", self.time)?;
        for attribute in &self.attributes {
            write!(f, "{attribute}\r\n")?;
        }
        for media in &self.media {
            write!(f, "{media}")?;
        }
        Ok(())
    }
}

impl fmt::Display for MediaLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "m={} {} {}", self.kind, self.port, self.proto)?;
        for format in &self.formats {
            write!(f, " {format}")?;
        }
        f.write_str("\r\n")?;
        if let Some(connection) = &self.connection {
            write!(f, "c={connection}\r\n")?;
        }
        for (letter, value) in &self.other {
            write!(f, "{letter}={value}\r\n")?;
        }
        for attribute in &self.attributes {
            write!(f, "{attribute}\r\n")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_cannot_be_read_is_named_with_its_line() {
        let line = |text: &str| SessionDescription::parse(text).map_err(|e| e.to_string()).err();
        for (text, error) in [
            ("v=9\r\n", "line 1: v=0 expected"),
            ("", "line 1: v=0 expected"),
            ("v=0\ngarbage\n", "line 2: not of the form x=value"),
            ("v=0\r\n\r\no=x 1 1\r\n", "line 3: o= without user, id, version and address"),
            ("v=0\nc=IN IP4\n", "line 2: c= without network, family and address"),
            ("v=0\nm=audio x RTP/AVP\n", "line 2: m= without kind, port and protocol"),
        ] {
            assert_eq!(line(text).as_deref(), Some(error), "{text}");
        }
        let flood = format!("v=0\r\n{}", "m=audio 1 RTP/AVP 0\r\n".repeat(33));
        assert_eq!(SessionDescription::parse(&flood), Err(SdpError::TooLarge));
    }

    #[test]
    fn sections_have_their_own_lines_or_the_session_s() {
        let text = "v=0\no=- 1 1 IN IP4 h\ns=-\nc=IN IP4 192.0.2.1/127\nt=0 0\na=sendonly\n\
            m=audio 4000/2 RTP/AVP 0 96\nb=AS:64\na=rtpmap:96 opus/48000/2\na=fmtp:96 stereo=1\n\
            m=video 0 RTP/AVP 97\nc=IN IP6 ::1\n";
        let read = SessionDescription::parse(text).unwrap();
        let (audio, video) = (&read.media[0], &read.media[1]);
        assert_eq!(read.rtp_address(audio), Some("192.0.2.1:4000".parse().unwrap()));
        assert_eq!((read.rtp_address(video), read.address_of(video)), (None, "::1".parse().ok()));
        assert_eq!(audio.fmtp(96), Some("stereo=1"));
        let map = audio.rtpmaps().next().unwrap();
        assert_eq!((&*map.name, map.rate, map.channels), ("opus", 48_000, 2));
        assert_eq!(audio.other, [('b', "AS:64".to_owned())]);
        assert_eq!(crate::MediaDirection::of(&read, audio), crate::MediaDirection::SendOnly);
    }

    #[test]
    fn lines_end_as_they_like() {
        let read = |text: &str| SessionDescription::parse(text).map(|sdp| sdp.to_string());
        let text = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n";
        let wanted = read(text);
        assert!(wanted.is_ok());
        for end in ["\n", "\r", "\r\n\r\n"] {
            assert_eq!(read(&text.replace("\r\n", end)), wanted, "{end:?}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_answered_and_what_is_read_prints_the_same_again(
            text in "(v=0\r?\n)?([a-z]=[ -~]{0,40}\r?\n){0,12}"
        ) {
            if let Ok(read) = SessionDescription::parse(&text) {
                let printed = read.to_string();
                let again = SessionDescription::parse(&printed).map(|d| d.to_string());
                prop_assert_eq!(again, Ok(printed));
            }
        }
    }
}
