//! mod_json_cdr and mod_xml_cdr: a document per call, posted to a web server or filed.
//!
//! The reference posts while the call waits; here the call's end is shown as soon as the record is in the journal.
//! After the last try a document that no server took is filed, as there. A crash between a server's answer and the
//! saved position posts that document again: its `uuid` tells receivers that they have it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine as _;
use bytes::Bytes;
use esl_server::event::url_encode_whole;
use hyper::Method;
use records::delivery::Deed;
use records::{CallRecord, Entry, Position, Sink, SinkError, json, xml};
use url::Url;

use super::record::Recorder;
use super::settings::{Encoding, Post};
use http_client::tls::{self, TlsSettings};
use http_client::{Ask, Client, FORM, Login, Schemes};
use switch_core::call::Channel;
use switch_core::switch::Switch;

/// Longest HTTP response body that is read, bytes; only the status is used.
const ANSWER: usize = 64 << 10;

/// The module's two halves; `None`, with the reason logged, if its settings cannot be used.
pub(super) fn make(
    switch: &Arc<Switch>,
    name: &'static str,
) -> Option<(Arc<dyn Recorder>, Box<dyn Sink>)> {
    let own = if name == "mod_json_cdr" { "json_cdr" } else { "xml_cdr" };
    let config = switch.config.load_full();
    let settings = Post::read(config.document(&format!("{own}.conf")), &switch.dirs.log_dir, own);
    let recorder = Wanted { name, b_leg: settings.b_leg };
    let sink = Documents::new(name, own, settings)?;
    Some((Arc::new(recorder), Box::new(sink)))
}

/// A client for the servers of these settings; `None`, with the reason logged, if they cannot be used.
fn client(own: &str, settings: &Post) -> Option<Client> {
    let tls = tls::client(TlsSettings {
        check_authority: settings.check_authority,
        check_name: settings.check_name,
        authorities: settings.authorities.as_deref(),
        certificate: settings.certificate.as_deref(),
        key: settings.key.as_deref(),
        version: settings.version.as_deref(),
        allow_expired: false,
    })
    .inspect_err(|error| tracing::error!("{own}.conf: {error}"))
    .ok()?;
    let login = settings.credentials.clone().map(|(user, password)| {
        let schemes = match settings.scheme.as_str() {
            "digest" => Schemes { basic: false, digest: true },
            "any" => Schemes { basic: true, digest: true },
            _ => Schemes { basic: true, digest: false },
        };
        Login { user, password, schemes }
    });
    Some(Client::new(Arc::new(tls), None, login, ANSWER))
}

struct Wanted {
    name: &'static str,
    b_leg: bool,
}

impl Recorder for Wanted {
    fn wants<'a>(
        &'a self,
        channel: &'a Arc<Channel>,
        entry: &'a mut Entry,
    ) -> switch_core::BoxFuture<'a, ()> {
        let a_leg = channel.with(|data| data.originator_profile.is_none());
        if a_leg || self.b_leg || channel.is_true("force_process_cdr") {
            entry.sinks.push(self.name.into());
        }
        Box::pin(std::future::ready(()))
    }
}

/// Documents of one kind on their way.
pub(super) struct Documents {
    name: &'static str,
    /// `json_cdr`, `xml_cdr`, `format_cdr`.
    own: &'static str,
    settings: Post,
    client: Client,
    /// The address that answered last: tried first.
    first: usize,
}

impl Sink for Documents {
    fn name(&self) -> &str {
        self.name
    }

    fn receive<'a>(
        &'a mut self,
        entries: &'a [(Position, Entry)],
        _after: Position,
    ) -> Deed<'a, Result<(), SinkError>> {
        Box::pin(async move {
            for (_, entry) in entries {
                self.deliver(&entry.record, None, None).await?;
            }
            Ok(())
        })
    }
}

impl Documents {
    /// `None`, with the reason logged, if the settings cannot be used.
    pub(super) fn new(name: &'static str, own: &'static str, settings: Post) -> Option<Self> {
        let client = client(own, &settings)?;
        Some(Self { name, own, settings, client, first: 0 })
    }

    /// Files and posts a record. `file` is its file's name where it has one of its own, `sub` a folder within the folder.
    pub(super) async fn deliver(
        &mut self,
        record: &CallRecord,
        file: Option<&str>,
        sub: Option<&str>,
    ) -> Result<(), SinkError> {
        let json = self.settings.json;
        let document = if json {
            json::document(record, self.settings.encode_values)
        } else {
            format!("{}{}", xml::DECLARATION, xml::element(record))
        };
        let prefix = record
            .variable("prefix-a-leg")
            .map_or(self.settings.prefix_a_leg, switch_core::text::is_true);
        let prefixed = format!("{}{}", if record.a_leg && prefix { "a_" } else { "" }, record.uuid);
        let end = if json { "json" } else { "xml" };
        let usual = format!("{}.cdr.{end}", prefixed.replace(['/', '\0'], "_"));
        let file = file.unwrap_or(&usual);
        let within = |folder: &Path| sub.map_or_else(|| folder.to_owned(), |sub| folder.join(sub));
        let of_format = self.own == "format_cdr";
        if self.settings.urls.is_empty() || self.settings.http_and_disk {
            let variable = match self.own {
                "format_cdr" => "format_cdr_base",
                "json_cdr" => "json_cdr_base",
                _ => "xml_cdr_base",
            };
            let folder = record.variable(variable).map(PathBuf::from);
            let folder = folder.or_else(|| self.settings.log_dir.as_deref().map(within));
            if let Some(folder) = folder {
                let line = if json && of_format { "\n" } else { "" };
                self.file_as(&folder, file, &usual, &format!("{document}{line}")).await?;
            }
        }
        if self.settings.urls.is_empty() {
            return Ok(());
        }
        let posted = if json && !of_format { &record.uuid } else { &prefixed };
        if self.post(posted, &document).await || !self.settings.errors_to_disk {
            return Ok(());
        }
        // What was posted is filed as it was posted, encoded or not, as in the reference.
        let filed = match (json && !of_format, self.settings.encoding) {
            (false, Encoding::Form) => url_encode_whole(&document),
            _ => document,
        };
        let mut error = None;
        for folder in &self.settings.error_dirs {
            match self.file_as(&within(folder), file, &usual, &filed).await {
                Ok(()) if !json => return Ok(()),
                Ok(()) => {}
                Err(failed) => error = Some(failed),
            }
        }
        error.map_or(Ok(()), Err)
    }

    /// Posts the document; false after the last try.
    async fn post(&mut self, uuid: &str, document: &str) -> bool {
        let body = self.body(document);
        for attempt in 0..=self.settings.retries {
            if attempt > 0 {
                tokio::time::sleep(self.settings.delay).await;
            }
            let count = self.settings.urls.len();
            for n in 0..count {
                let at = (self.first + n) % count;
                let address = &self.settings.urls[at];
                match self.post_to(address, uuid, &body).await {
                    Ok(()) => {
                        self.first = at;
                        return true;
                    }
                    Err(reason) => {
                        tracing::error!("{}: {uuid}: {}: {reason}", self.name, shown(address));
                    }
                }
            }
        }
        false
    }

    fn body(&self, document: &str) -> (&'static str, Bytes) {
        let json = self.settings.json && self.own != "format_cdr";
        match (self.settings.encoding, json) {
            (Encoding::Json, _) => ("application/json", document.to_owned().into()),
            (Encoding::Form, _) => (FORM, format!("cdr={}", url_encode_whole(document)).into()),
            (Encoding::Base64, _) => {
                let text = base64::engine::general_purpose::STANDARD.encode(document);
                ("application/x-www-form-base64-encoded", format!("cdr={text}").into())
            }
            (Encoding::TextXml, false) => ("text/xml", document.to_owned().into()),
            (Encoding::Plain, false) => {
                ("application/x-www-form-plaintext", format!("cdr={document}").into())
            }
            (_, true) => ("application/json", document.to_owned().into()),
        }
    }

    async fn post_to(
        &self,
        address: &str,
        uuid: &str,
        body: &(&'static str, Bytes),
    ) -> Result<(), String> {
        let joiner = if address.contains('?') { '&' } else { '?' };
        let url = Url::parse(&format!("{address}{joiner}uuid={}", url_encode_whole(uuid)))
            .map_err(|error| error.to_string())?;
        let user_agent = match self.own {
            "json_cdr" => "freeswitch-json/1.0",
            "format_cdr" => "freeswitch-format-cdr/1.0",
            _ => "freeswitch-xml/1.0",
        };
        let ask = Ask {
            method: Method::POST,
            url,
            user_agent,
            headers: Vec::new(),
            body: Some(body.clone()),
        };
        match tokio::time::timeout(self.settings.timeout, self.client.send(ask)).await {
            Ok(Ok((status, _))) if status.is_success() => Ok(()),
            Ok(Ok((status, _))) => Err(format!("the server says {status}")),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err(format!("no answer within {} s", self.settings.timeout.as_secs())),
        }
    }

    /// Files a document by a name of its own; by its usual one where the disk does not take that. A far end's words may make a
    /// name too long, or that of a folder, and a record that is never taken would keep all others waiting.
    async fn file_as(
        &self,
        folder: &Path,
        name: &str,
        usual: &str,
        text: &str,
    ) -> Result<(), SinkError> {
        match self.file(&folder.join(name), text).await {
            Err(error) if name != usual => {
                tracing::warn!("{}: {error}; filed as {usual}", self.name);
                self.file(&folder.join(usual), text).await
            }
            filed => filed,
        }
    }

    /// Files a document. It appears whole, or not at all.
    async fn file(&self, path: &Path, text: &str) -> Result<(), SinkError> {
        let fresh = path.with_extension("new");
        let written = async {
            if let Some(folder) = path.parent() {
                tokio::fs::create_dir_all(folder).await?;
            }
            tokio::fs::write(&fresh, text).await?;
            tokio::fs::rename(&fresh, path).await
        };
        written.await.map_err(|error| SinkError(format!("{}: {error}", path.display())))
    }
}

/// An address without what may be a password in it.
fn shown(address: &str) -> String {
    let Ok(mut url) = Url::parse(address) else { return "an address that is none".into() };
    let _kept = url.set_password(None);
    url.set_query(None);
    url.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_name_that_no_disk_takes_gives_way_to_the_usual_one() {
        let folder = tempfile::tempdir().unwrap();
        let settings = Post::read(None, folder.path(), "format_cdr");
        let documents = Documents::new("mod_format_cdr", "format_cdr", settings).unwrap();
        std::fs::create_dir_all(folder.path().join("taken/by")).unwrap();
        for (name, usual) in [(&*"x".repeat(300), "a.json"), ("taken", "b.json"), ("c", "d.json")] {
            documents.file_as(folder.path(), name, usual, name).await.unwrap();
        }
        let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).ok();
        assert_eq!(read("a.json"), Some("x".repeat(300)));
        assert_eq!(read("b.json").as_deref(), Some("taken"));
        assert_eq!((read("c").as_deref(), read("d.json")), (Some("c"), None));
    }
}
