//! `curl_sendfile`: a file as a field of a form.

use std::sync::Arc;
use std::time::Duration;

use base::far;
use bytes::Bytes;
use esl_server::event::url_decode;
use http_client::tls::{self, TlsSettings};
use http_client::{Ask, Client, FORM, multipart, reach};
use hyper::Method;
use switch_core::call::Channel;
use switch_core::text;
use tokio::time::timeout;
use url::Url;

use crate::request::AGENT;

/// Longest answer taken, bytes.
const ANSWER: usize = 32_768;
/// Longest file sent, bytes.
const LONGEST: u64 = 256 << 20;
/// How long it may take.
const DEADLINE: Duration = Duration::from_secs(300);

/// Who is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Report {
    pub(crate) event: bool,
    pub(crate) stream: bool,
    pub(crate) none: bool,
}

impl Report {
    fn parse(word: &str) -> Self {
        let starts = |with: &str| {
            word.get(..with.len()).is_some_and(|start| start.eq_ignore_ascii_case(with))
        };
        match () {
            () if starts("event") => Self { event: true, ..Self::default() },
            () if starts("stream") => Self { stream: true, ..Self::default() },
            () if starts("both") => Self { event: true, stream: true, none: false },
            () => Self { none: true, ..Self::default() },
        }
    }
}

/// What is to be sent where.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sending {
    url: String,
    /// A far end's words name the server.
    far: bool,
    field: String,
    pub(crate) file: String,
    extra: Vec<(String, String)>,
    pub(crate) report: Report,
    pub(crate) identifier: Option<String>,
}

/// The server's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sent {
    pub(crate) status: u16,
    pub(crate) body: String,
}

impl Sent {
    /// The command's reply.
    pub(crate) fn shown(&self, with_body: bool) -> String {
        let mut out = match self.status {
            200 => "+200 Ok\n".to_owned(),
            other => format!("-{other} Err\n"),
        };
        if with_body && !self.body.is_empty() {
            out.push_str(&self.body);
            out.push('\n');
        }
        out
    }
}

/// Why it was not.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotSent {
    #[error("Unable to open file {0}")]
    File(String),
    #[error("{0}")]
    Request(String),
}

fn decoded(text: &str) -> String {
    String::from_utf8_lossy(&url_decode(text.as_bytes())).into_owned()
}

/// `a=b&c=d`, each part decoded.
fn fields(text: &str) -> Vec<(String, String)> {
    let pairs = text.split('&').take(64).filter_map(|pair| pair.split_once('='));
    pairs.map(|(name, value)| (decoded(name), decoded(value))).collect()
}

impl Sending {
    fn read(argument: &str) -> Option<(Self, Vec<String>)> {
        let words = text::words_marked(argument, 10);
        if !(2..=5).contains(&words.len()) {
            return None;
        }
        let far = reach::is_far(words.first()?);
        let words: Vec<String> = words.into_iter().map(far::into_plain).collect();
        let (field, file) = words.get(1)?.split_once('=')?;
        let sending = Self {
            url: decoded(words.first()?),
            far,
            field: decoded(field),
            file: decoded(file),
            extra: words.get(2).map(|extra| fields(extra)).unwrap_or_default(),
            ..Self::default()
        };
        Some((sending, words))
    }

    /// The application's argument. Of the words for reports it knows `event` alone; an identifier that is not `uuid`
    /// stands for the call's id, as in the reference.
    pub(crate) fn parse(argument: &str, uuid: &str) -> Option<Self> {
        let (mut sending, words) = Self::read(argument)?;
        sending.report.event = words.get(3).is_some_and(|word| Report::parse(word).event);
        sending.identifier = words.get(4).map(|word| {
            let own = word.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("uuid"));
            if own { word.clone() } else { uuid.to_owned() }
        });
        Some(sending)
    }

    /// The command's argument.
    pub(crate) fn parse_api(argument: &str) -> Option<Self> {
        let (mut sending, words) = Self::read(argument)?;
        sending.report = words.get(3).map(|word| Report::parse(word)).unwrap_or_default();
        sending.identifier = words.get(4).cloned();
        Some(sending)
    }

    /// The application without an argument.
    pub(crate) fn of_variables(channel: &Channel) -> Option<Self> {
        let value = |name: &str| channel.var(name).filter(|value| !value.is_empty());
        let address = channel.var_marked("curl_sendfile_url").filter(|url| !url.is_empty())?;
        let identifier = value("curl_sendfile_identifier").map(|id| {
            let own = id.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("uuid"));
            if own { channel.uuid().to_string() } else { id }
        });
        Some(Self {
            far: reach::is_far(&address),
            url: decoded(&far::into_plain(address)),
            field: decoded(&value("curl_sendfile_filename_element")?),
            file: decoded(&value("curl_sendfile_filename")?),
            extra: fields(&value("curl_sendfile_extrapost").unwrap_or_default()),
            report: Report::parse(&value("curl_sendfile_report").unwrap_or_default()),
            identifier,
        })
    }

    /// Sends it.
    pub(crate) async fn send(&self) -> Result<Sent, NotSent> {
        let unread = |_| NotSent::File(self.file.clone());
        let length = tokio::fs::metadata(&self.file).await.map_err(unread)?.len();
        if length > LONGEST {
            return Err(NotSent::Request(format!("{}: {length} bytes are too many", self.file)));
        }
        let file = tokio::fs::read(&self.file).await.map_err(unread)?;
        let name = self.file.rsplit('/').next().unwrap_or_default().to_owned();
        let mut form = multipart::Form::default();
        form.file(&self.field, &name, &file);
        self.extra.iter().for_each(|(name, value)| form.field(name, value));
        form.field("submit", "or_die");
        let (kind, body) = form.finish();
        self.post(kind, body).await.map_err(NotSent::Request)
    }

    async fn post(&self, kind: String, body: Bytes) -> Result<Sent, String> {
        let url = Url::parse(&self.url).map_err(|error| error.to_string())?;
        // The reference believes any certificate here.
        let tls = tls::client(TlsSettings::default()).map_err(|error| error.to_string())?;
        let mut client = Client::new(Arc::new(tls), None, None, ANSWER);
        if self.far {
            client.reaches = Some(reach::is_public);
        }
        let headers = vec![("Content-Type", kind)];
        let method = Method::POST;
        let ask = Ask { method, url, user_agent: AGENT, headers, body: Some((FORM, body)) };
        match timeout(DEADLINE, client.send(ask)).await {
            Ok(Ok((status, body))) => Ok(Sent {
                status: status.as_u16(),
                body: String::from_utf8_lossy(&body).into_owned(),
            }),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err(format!("no answer within {} s", DEADLINE.as_secs())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_argument_names_address_file_fields_and_who_is_told() {
        let sending =
            Sending::parse_api("http://a/%62 file=/tmp/x%20y.wav a=b%26c&d=e both mine").unwrap();
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        assert_eq!(sending.url, "http://a/b");
        assert_eq!((sending.field.as_str(), sending.file.as_str()), ("file", "/tmp/x y.wav"));
        assert_eq!(sending.extra, [pair("a", "b&c"), pair("d", "e")]);
        assert_eq!(sending.report, Report { event: true, stream: true, none: false });
        assert_eq!(sending.identifier.as_deref(), Some("mine"));
        for bad in ["", "http://a/", "http://a/ file", "a b=c d e f g"] {
            assert_eq!(Sending::parse_api(bad), None, "{bad}");
        }
        let own = Sending::parse("http://a/ f=/x nopost event other", "1-2").unwrap();
        assert_eq!((own.report.event, own.identifier.as_deref()), (true, Some("1-2")));
    }

    #[test]
    fn the_reply_names_the_status_and_the_body_if_it_is_wanted() {
        let sent = Sent { status: 200, body: "done".into() };
        assert_eq!(sent.shown(true), "+200 Ok\ndone\n");
        assert_eq!(sent.shown(false), "+200 Ok\n");
        assert_eq!(Sent { status: 503, ..sent }.shown(false), "-503 Err\n");
    }
}
