//! `opentelemetry.conf`.

use std::time::Duration;

use dialplan_xml::Node;
use switch_core::contract::declare::{Parameters, Value, param};
use url::Url;

/// What is wrong with the file.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SettingsError {
    /// An address that is none.
    #[error("endpoint: {0}")]
    Address(String),
    /// A header without a colon, or with a name or value that is none.
    #[error("header: NAME: VALUE is wanted")]
    Header,
    /// A number outside its bounds.
    #[error("{0}: {1} is wanted")]
    Number(&'static str, &'static str),
    /// TLS cannot be set up.
    #[error(transparent)]
    Tls(#[from] http_client::tls::TlsError),
}

/// The settings.
#[derive(Clone)]
pub(crate) struct Settings {
    /// Where spans are posted.
    pub(crate) endpoint: Url,
    /// Further headers of requests: keys of the collector's operator.
    pub(crate) headers: Vec<(String, String)>,
    /// `service.name`.
    pub(crate) service: String,
    /// Of a million new traces, how many are kept.
    pub(crate) million: u32,
    /// Spans that may wait.
    pub(crate) queue: usize,
    /// Most spans of one request.
    pub(crate) batch: usize,
    /// How long spans are gathered.
    pub(crate) interval: Duration,
    /// How long a request may take.
    pub(crate) timeout: Duration,
    /// Numbers of both parties are told.
    pub(crate) numbers: bool,
    /// File of authorities for `https`.
    pub(crate) authorities: Option<String>,
}

pub(crate) const PARAMETERS: &[Parameters] = &[Parameters {
    file: "opentelemetry.conf",
    scope: "",
    list: &[
        param(
            "endpoint",
            Value::Text,
            "http://127.0.0.1:4318",
            "The collector's address for OTLP over HTTP; `/v1/traces` is added where it has no path",
        ),
        param("header", Value::Secret, "", "`NAME: VALUE` sent along; repeatable"),
        param("service-name", Value::Text, "ferroswitch", "`service.name` of the spans"),
        param("sample-percent", Value::Text, "100", "Share of new traces that are kept, 0 to 100"),
        param("queue-size", Value::Number(1, 1_000_000), "10000", "Spans that may wait"),
        param("batch-size", Value::Number(1, 10_000), "500", "Most spans of one request"),
        param(
            "interval-ms",
            Value::Number(10, 60_000),
            "1000",
            "How long spans are gathered, milliseconds",
        ),
        param("timeout", Value::Seconds, "10", "How long a request may take"),
        param("numbers", Value::Bool, "false", "Spans tell who called and who was called"),
        param("ssl-cacert-file", Value::Path, "", "Authorities of the collector's certificate"),
    ],
}];

impl Settings {
    pub(crate) fn read(conf: Option<Node<'_>>) -> Result<Self, SettingsError> {
        let mut endpoint = "http://127.0.0.1:4318".to_owned();
        let mut headers = Vec::new();
        let (mut service, mut authorities) = ("ferroswitch".to_owned(), None);
        let (mut percent, mut numbers) = (100.0, false);
        let (mut queue, mut batch, mut interval, mut timeout) = (10_000, 500, 1000, 10);
        for param in &dialplan_xml::config::settings(conf) {
            let value = param.value.trim();
            let number = |name, wanted, most: u64| {
                let read = value.parse::<u64>().ok().filter(|read| (1..=most).contains(read));
                read.ok_or(SettingsError::Number(name, wanted))
            };
            match param.name.to_ascii_lowercase().as_str() {
                _ if value.is_empty() => {}
                "endpoint" => value.clone_into(&mut endpoint),
                "header" => headers.push(header(value)?),
                "service-name" => value.clone_into(&mut service),
                "sample-percent" => {
                    let read = value.trim_end_matches('%').parse::<f64>().ok();
                    let read = read.filter(|read| (0.0..=100.0).contains(read));
                    percent = read.ok_or(SettingsError::Number("sample-percent", "0 to 100"))?;
                }
                "queue-size" => queue = number("queue-size", "1 to 1000000", 1_000_000)?,
                "batch-size" => batch = number("batch-size", "1 to 10000", 10_000)?,
                "interval-ms" => interval = number("interval-ms", "10 to 60000", 60_000)?.max(10),
                "timeout" => timeout = number("timeout", "1 to 300", 300)?,
                "numbers" => numbers = switch_core::text::is_true(value),
                "ssl-cacert-file" => authorities = Some(value.to_owned()),
                _ => {}
            }
        }
        Ok(Self {
            endpoint: address(&endpoint)?,
            headers,
            service,
            million: (percent * 10_000.0) as u32,
            queue: usize::try_from(queue).unwrap_or(usize::MAX),
            batch: usize::try_from(batch).unwrap_or(usize::MAX),
            interval: Duration::from_millis(interval),
            timeout: Duration::from_secs(timeout),
            numbers,
            authorities,
        })
    }
}

fn address(text: &str) -> Result<Url, SettingsError> {
    let mut url = Url::parse(text).map_err(|error| SettingsError::Address(error.to_string()))?;
    if !["http", "https"].contains(&url.scheme()) {
        return Err(SettingsError::Address("neither http nor https".to_owned()));
    }
    if url.path() == "/" {
        url.set_path("/v1/traces");
    }
    Ok(url)
}

fn header(text: &str) -> Result<(String, String), SettingsError> {
    let (name, value) = text.split_once(':').ok_or(SettingsError::Header)?;
    let (name, value) = (name.trim(), value.trim());
    let good = hyper::header::HeaderName::from_bytes(name.as_bytes()).is_ok()
        && hyper::header::HeaderValue::from_str(value).is_ok();
    if good { Ok((name.to_owned(), value.to_owned())) } else { Err(SettingsError::Header) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(params: &str) -> Result<Settings, SettingsError> {
        let text = format!(
            "<document><section name=\"configuration\"><configuration name=\"opentelemetry.conf\"><settings>{params}</settings></configuration></section></document>"
        );
        let tree = dialplan_xml::parse_raw(&text, "test").tree.expect("a tree");
        Settings::read(tree.configuration("opentelemetry.conf"))
    }

    #[test]
    fn addresses_and_bounds() {
        let usual = read("").expect("settings");
        assert_eq!(usual.endpoint.as_str(), "http://127.0.0.1:4318/v1/traces");
        assert_eq!((usual.million, usual.numbers), (1_000_000, false));
        let own = read(
            r#"<param name="endpoint" value="https://c.example/otlp"/><param name="sample-percent" value="0.5"/><param name="header" value="x-key: a:b"/>"#,
        );
        let own = own.expect("settings");
        assert_eq!((own.endpoint.path(), own.million), ("/otlp", 5000));
        assert_eq!(own.headers, [("x-key".to_owned(), "a:b".to_owned())]);
        for bad in [
            r#"<param name="endpoint" value="grpc://x"/>"#,
            r#"<param name="endpoint" value="nothing"/>"#,
            r#"<param name="header" value="no colon"/>"#,
            r#"<param name="sample-percent" value="101"/>"#,
            r#"<param name="queue-size" value="0"/>"#,
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
