//! One web request of `curl`, and what is shown of its answer.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use base::far;
use bytes::Bytes;
use http_client::tls::{self, TlsSettings};
use http_client::{Ask, Client, FORM, Heads, HttpError, Login, Schemes, reach, shown};
use hyper::Method;
use switch_core::switch::Switch;
use switch_core::text;
use tokio::time::timeout;
use url::Url;

/// What servers see us as.
pub(crate) const AGENT: &str = "freeswitch-curl/1.0";
/// Words an argument may have.
const WORDS: usize = 30;
/// Headers that may be added.
const HEADERS: usize = 10;
/// How long a request may take where nothing says so.
const DEADLINE: Duration = Duration::from_secs(300);

/// `curl.conf`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Settings {
    /// Longest answer taken, bytes.
    pub(crate) most: usize,
    /// Certificates are checked unless a request says `insecure`.
    pub(crate) validate: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self { most: 64_000, validate: false }
    }
}

/// A request as its words say it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) url: String,
    /// A far end's words name the server.
    far: bool,
    pub(crate) headers: bool,
    pub(crate) json: bool,
    /// The verb, as it was written.
    pub(crate) method: Option<String>,
    data: String,
    content_type: Option<String>,
    added: Vec<(String, String)>,
    insecure: Option<bool>,
    connect_timeout: Option<u64>,
    timeout: Option<u64>,
    proxy: bool,
}

impl Request {
    /// Reads an argument, what a far end said in it marked. `timed` are the words for times, which only the command has.
    /// `None` when it is empty.
    pub(crate) fn parse(argument: &str, timed: bool) -> Option<Self> {
        let words = text::words_marked(argument, WORDS);
        let mut words = words.into_iter();
        let url = words.next().filter(|url| !url.is_empty())?;
        let mut request =
            Self { far: reach::is_far(&url), url: far::into_plain(url), ..Self::default() };
        let mut next = || words.next().map(far::into_plain);
        while let Some(word) = next() {
            match word.to_ascii_lowercase().as_str() {
                "headers" => request.headers = true,
                "json" => request.json = true,
                "get" | "head" => request.method = Some(word),
                "post" | "patch" | "put" | "delete" => {
                    request.method = Some(word);
                    let data = next().unwrap_or_default();
                    let data = esl_server::event::url_decode(data.as_bytes());
                    request.data = String::from_utf8_lossy(&data).into_owned();
                }
                "content-type" => request.content_type = next().or(request.content_type),
                "connect-timeout" if timed => request.connect_timeout = seconds(next()),
                "timeout" if timed => request.timeout = seconds(next()),
                "append_headers" => {
                    if let Some(header) = next().filter(|_| request.added.len() < HEADERS)
                        && let Some((name, value)) = header.split_once(':')
                    {
                        let pair = (name.trim().to_owned(), value.trim().to_owned());
                        request.added.push(pair);
                    }
                }
                "insecure" => request.insecure = Some(true),
                "secure" => request.insecure = Some(false),
                "proxy" => request.proxy = next().is_some(),
                _ => {}
            }
        }
        Some(request)
    }

    /// Times that stand in the channel's variables.
    pub(crate) fn limit(&mut self, connect: Option<String>, whole: Option<String>) {
        self.connect_timeout = seconds(connect).or(self.connect_timeout);
        self.timeout = seconds(whole).or(self.timeout);
    }

    /// Sends the request. What fails is told by curl's number for it, and in the log.
    pub(crate) async fn send(&self, switch: &Switch, settings: &Settings) -> Reply {
        let heads = Heads::default();
        let (exit, body) = match self.exchange(switch, settings, heads.clone()).await {
            Ok(body) => (0, body),
            Err((exit, reason)) => {
                tracing::error!("curl: {}: {reason}", shown(&self.url));
                (exit, Bytes::new())
            }
        };
        let body = String::from_utf8_lossy(&body);
        let body = body.split('\0').next().unwrap_or_default().to_owned();
        Reply { exit, heads: heads.text(), body: Some(body).filter(|b| !b.is_empty() && b != " ") }
    }

    async fn exchange(
        &self,
        switch: &Switch,
        settings: &Settings,
        heads: Heads,
    ) -> Result<Bytes, (u8, String)> {
        if self.proxy {
            return Err((5, "proxies are not supported".to_owned()));
        }
        let mut url = Url::parse(&self.url).map_err(|error| (3, error.to_string()))?;
        let login = Login::take_from(&mut url, Schemes { basic: true, digest: true });
        let checks = !self.insecure.unwrap_or(!settings.validate);
        let bundle = switch.dirs.certs_dir.join("cacert.pem");
        let bundle = bundle.exists().then(|| bundle.to_string_lossy().into_owned());
        // A bundle of its own is checked against whatever the request says, as in the reference.
        let checks = checks || bundle.is_some();
        let tls = tls::client(TlsSettings {
            check_authority: checks,
            check_name: checks,
            authorities: bundle.as_deref(),
            ..TlsSettings::default()
        });
        let tls = tls.map_err(|error| (77, error.to_string()))?;
        let mut client = Client::new(Arc::new(tls), None, login, settings.most);
        client.heads = Some(heads);
        client.extra.clone_from(&self.added);
        if self.far {
            client.reaches = Some(reach::is_public);
        }
        let seconds = |given: Option<u64>| given.map(Duration::from_secs);
        let whole = seconds(self.timeout).unwrap_or(DEADLINE);
        // Without a time for the whole the one for the connection bounds what must come first.
        let limit = match (self.timeout, self.connect_timeout) {
            (None, Some(connect)) => Duration::from_secs(connect).max(DEADLINE),
            _ => whole,
        };
        match timeout(limit, client.send(self.ask(url))).await {
            Ok(Ok((_, body))) => Ok(body),
            Ok(Err(error)) => Err((code(&error), error.to_string())),
            Err(_) => Err((28, format!("no answer within {} s", limit.as_secs()))),
        }
    }

    fn ask(&self, url: Url) -> Ask {
        let verb = self.method.as_deref().unwrap_or("get").to_ascii_uppercase();
        let method = Method::from_bytes(verb.as_bytes()).unwrap_or(Method::GET);
        let mut headers = Vec::new();
        let body = match verb.as_str() {
            "GET" | "HEAD" => None,
            _ => {
                let kind = self.content_type.as_deref();
                // A PUT says nothing of its body's kind unless it is told.
                if let Some(kind) = kind.or((verb != "PUT").then_some(FORM)) {
                    headers.push(("Content-Type", kind.to_owned()));
                }
                Some((FORM, Bytes::from(self.data.clone())))
            }
        };
        Ask { method, url, user_agent: AGENT, headers, body }
    }
}

fn seconds(word: Option<String>) -> Option<u64> {
    let word = word?;
    let seconds = u64::try_from(text::int(&word)).ok().filter(|s| *s > 0);
    if seconds.is_none() {
        tracing::warn!("curl: Invalid timeout! [{word}]");
    }
    seconds
}

/// libcurl's number for a failure.
pub(crate) fn code(error: &HttpError) -> u8 {
    match error {
        HttpError::Address(_) => 1,
        HttpError::Connect { source, .. } => match source.kind() {
            std::io::ErrorKind::TimedOut => 28,
            std::io::ErrorKind::InvalidData => 60,
            // The kind a resolver's failure has is not stable yet; its words are.
            _ if source.to_string().contains("lookup") => 6,
            _ => 7,
        },
        HttpError::Exchange(error) if error.is_incomplete_message() => 52,
        HttpError::Exchange(_) => 56,
        HttpError::Request(_) => 3,
        HttpError::TooLong(_) => 23,
        HttpError::Redirect => 47,
    }
}

/// What came of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Reply {
    /// libcurl's number for how it went.
    exit: u8,
    /// The heads of all answers, redirects' too.
    heads: String,
    body: Option<String>,
}

impl Reply {
    /// The status of the last answer, 0 where there was none.
    pub(crate) fn status(&self) -> u16 {
        let mut lines = self.heads.lines().filter(|line| line.starts_with("HTTP/"));
        lines.next_back().and_then(|line| line.split(' ').nth(1)?.parse().ok()).unwrap_or(0)
    }

    /// As the words of the request want it: a JSON document, the body, or the body behind the heads.
    pub(crate) fn show(&self, request: &Request) -> String {
        if request.json {
            return self.json();
        }
        let body = self.body.as_deref().unwrap_or_default();
        if request.headers { format!("{}\n{body}", self.heads) } else { body.to_owned() }
    }

    fn json(&self) -> String {
        let quoted = |text: &str| serde_json::Value::from(text).to_string();
        let mut out =
            format!("{{\"exit_code\":\"{}\",\"status_code\":\"{}\"", self.exit, self.status());
        if let Some(body) = &self.body {
            let _written = write!(out, ",\"body\":{}", quoted(body));
        }
        let mut headers = Vec::new();
        for line in self.heads.lines().filter(|line| !line.is_empty()) {
            if let Some((name, value)) = line.split_once(':') {
                let value = value.trim_start_matches(' ');
                headers.push(format!("{{\"key\":{},\"value\":{}}}", quoted(name), quoted(value)));
            } else if line.starts_with("HTTP") {
                let mut parts = line.splitn(3, ' ');
                let version = parts.next().unwrap_or_default();
                if let Some(phrase) = parts.nth(1) {
                    let (version, phrase) = (quoted(version), quoted(phrase.trim()));
                    let _written = write!(out, ",\"version\":{version},\"phrase\":{phrase}");
                }
            }
        }
        let _written = write!(out, ",\"headers\":[{}]}}", headers.join(","));
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_a_request_are_read_in_any_order() {
        let request = Request::parse(
            "http://a/b json content-type application/json append_headers 'X-A: 1' timeout 5 POST %7B%7D headers",
            true,
        );
        let expected = Request {
            url: "http://a/b".into(),
            json: true,
            headers: true,
            method: Some("POST".into()),
            data: "{}".into(),
            content_type: Some("application/json".into()),
            added: vec![("X-A".into(), "1".into())],
            timeout: Some(5),
            ..Request::default()
        };
        assert_eq!(request, Some(expected));
        assert_eq!(Request::parse("", true), None);
        assert!(Request::parse("http://a/ timeout 5", false).is_some_and(|r| r.timeout.is_none()));
    }

    #[test]
    fn a_far_end_s_words_stay_in_their_place() {
        let argument = format!("http://portal/x?n={} get", far::mark("1 post a=b"));
        let request = Request::parse(&argument, true).unwrap();
        assert_eq!((request.method.as_deref(), request.far), (Some("get"), false));
        assert_eq!(request.url, "http://portal/x?n=1 post a=b");
        assert!(Request::parse(&far::mark("http://10.0.0.1/"), true).unwrap().far);
    }

    fn reply(body: &str) -> Reply {
        let heads = "HTTP/1.1 404 Not Found\r\nContent-Type: text/plain\r\nX-Q: \"a:b\"\r\n\r\n";
        Reply { exit: 0, heads: heads.into(), body: Some(body.to_owned()) }
    }

    #[test]
    fn an_answer_is_shown_as_it_came_or_as_json() {
        let reply = reply("gone\n");
        assert_eq!(reply.status(), 404);
        let with = |headers, json| Request { headers, json, ..Request::default() };
        assert_eq!(reply.show(&with(false, false)), "gone\n");
        assert_eq!(reply.show(&with(true, false)), format!("{}\ngone\n", reply.heads));
        assert_eq!(
            reply.show(&with(true, true)),
            r#"{"exit_code":"0","status_code":"404","body":"gone\n","version":"HTTP/1.1","phrase":"Not Found","headers":[{"key":"Content-Type","value":"text/plain"},{"key":"X-Q","value":"\"a:b\""}]}"#
        );
        let none = Reply { exit: 7, ..Reply::default() };
        assert_eq!(
            none.show(&with(false, true)),
            r#"{"exit_code":"7","status_code":"0","headers":[]}"#
        );
    }
}
