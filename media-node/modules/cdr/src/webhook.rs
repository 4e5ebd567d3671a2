//! Webhooks: a signed POST per call record, for those without a broker.
//!
//! Headers and signature are those of the Standard Webhooks specification, so that its libraries verify them:
//! `webhook-id`, `webhook-timestamp`, `webhook-signature: v1,BASE64` over `id.timestamp.body` with HMAC-SHA256.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use dialplan_xml::Node;
use dialplan_xml::config::settings as params;
use http_client::tls::{self, TlsSettings};
use http_client::{Ask, Client};
use hyper::{Method, StatusCode};
use records::delivery::Deed;
use records::{CallRecord, Entry, Position, Sink, SinkError, json};
use ring::hmac;
use serde_json::{Value, json};
use switch_core::call::Channel;
use switch_core::clock;
use switch_core::switch::Switch;
use url::Url;

use super::record::Recorder;
use super::settings::Legs;

const NAME: &str = "mod_webhook";
/// Longest HTTP response body that is read, bytes; only the status is used.
const ANSWER: usize = 64 << 10;
/// Shortest secret, bytes (the specification's bound).
const SHORTEST_SECRET: usize = 24;

/// What is wrong with `webhook.conf`.
#[derive(Debug, thiserror::Error)]
enum Invalid {
    #[error("url: there is none, or it is none")]
    Url,
    #[error("secret: at least {SHORTEST_SECRET} bytes; after whsec_ they are base64")]
    Secret,
    #[error(transparent)]
    Tls(#[from] tls::TlsError),
}

/// The settings of mod_webhook.
struct Settings {
    url: Url,
    key: hmac::Key,
    legs: Legs,
    timeout: Duration,
    authorities: Option<PathBuf>,
}

impl Settings {
    fn read(conf: Option<Node<'_>>) -> Result<Self, Invalid> {
        let (mut url, mut secret) = (None, Vec::new());
        let mut legs = Legs { a: true, b: true };
        let mut timeout = Duration::from_secs(10);
        let mut authorities = None;
        for param in &params(conf) {
            let value = &*param.value;
            match param.name.to_ascii_lowercase().as_str() {
                "url" => url = Url::parse(value).ok().filter(|url| url.has_host()),
                "secret" => {
                    secret = match value.strip_prefix("whsec_") {
                        Some(text) => STANDARD.decode(text).map_err(|_| Invalid::Secret)?,
                        None => value.as_bytes().to_vec(),
                    }
                }
                "legs" => legs = Legs::read(value),
                "timeout" => {
                    timeout = Duration::from_secs(value.parse().unwrap_or(10).max(1));
                }
                "ssl-cacert-file" if !value.is_empty() => authorities = Some(value.into()),
                _ => {}
            }
        }
        if secret.len() < SHORTEST_SECRET {
            return Err(Invalid::Secret);
        }
        let key = hmac::Key::new(hmac::HMAC_SHA256, &secret);
        Ok(Self { url: url.ok_or(Invalid::Url)?, key, legs, timeout, authorities })
    }
}

/// The module's two halves; `None`, with the reason logged, if its settings cannot be used.
pub(super) fn make(switch: &Arc<Switch>) -> Option<(Arc<dyn Recorder>, Box<dyn Sink>)> {
    let config = switch.config.load_full();
    let made = || -> Result<_, Invalid> {
        let settings = Settings::read(config.document("webhook.conf"))?;
        let authorities = settings.authorities.as_ref().map(|file| file.display().to_string());
        let tls = tls::client(TlsSettings {
            check_authority: true,
            check_name: true,
            authorities: authorities.as_deref(),
            ..TlsSettings::default()
        })?;
        let client = Client::new(Arc::new(tls), None, None, ANSWER);
        let recorder = Wanted { legs: settings.legs };
        let sink = Hook { settings, client, delivered: Position::default() };
        Ok((Arc::new(recorder) as Arc<dyn Recorder>, Box::new(sink) as Box<dyn Sink>))
    };
    made().inspect_err(|error| tracing::error!("webhook.conf: {error}")).ok()
}

struct Wanted {
    legs: Legs,
}

impl Recorder for Wanted {
    fn wants<'a>(
        &'a self,
        channel: &'a Arc<Channel>,
        entry: &'a mut Entry,
    ) -> switch_core::BoxFuture<'a, ()> {
        if self.legs.want(channel.with(|data| data.originator_profile.is_none())) {
            entry.sinks.push(NAME.into());
        }
        Box::pin(std::future::ready(()))
    }
}

struct Hook {
    settings: Settings,
    client: Client,
    /// Where the last record that was taken ended: a batch that comes again is not sent from its beginning.
    delivered: Position,
}

impl Sink for Hook {
    fn name(&self) -> &str {
        NAME
    }

    fn receive<'a>(
        &'a mut self,
        entries: &'a [(Position, Entry)],
        _after: Position,
    ) -> Deed<'a, Result<(), SinkError>> {
        Box::pin(async move {
            for (position, entry) in entries {
                if *position > self.delivered {
                    self.post(&entry.record).await?;
                    self.delivered = *position;
                }
            }
            Ok(())
        })
    }
}

impl Hook {
    /// Posts a record. One that the receiver will never take is logged and let go; everything else is tried again.
    async fn post(&self, record: &CallRecord) -> Result<(), SinkError> {
        let settings = &self.settings;
        let body = body(record);
        let time = clock::now_secs();
        let headers = vec![
            ("webhook-id", record.uuid.clone()),
            ("webhook-timestamp", time.to_string()),
            ("webhook-signature", signature(&settings.key, &record.uuid, time, &body)),
        ];
        let ask = Ask {
            method: Method::POST,
            url: settings.url.clone(),
            user_agent: "ferroswitch-webhook/1",
            headers,
            body: Some(("application/json", Bytes::from(body))),
        };
        match tokio::time::timeout(settings.timeout, self.client.send(ask)).await {
            Ok(Ok((status, _))) if status.is_success() => Ok(()),
            Ok(Ok((status, _))) if is_final(status) => {
                tracing::error!(
                    "{NAME}: {}: the receiver refuses the record: {status}",
                    record.uuid
                );
                Ok(())
            }
            Ok(Ok((status, _))) => Err(SinkError(format!("the receiver says {status}"))),
            Ok(Err(error)) => Err(SinkError(error.to_string())),
            Err(_) => Err(SinkError(format!("no answer within {} s", settings.timeout.as_secs()))),
        }
    }
}

/// The receiver has looked at the record and does not want it. Wrong keys and addresses can be mended: those wait.
fn is_final(status: StatusCode) -> bool {
    matches!(status.as_u16(), 400 | 406 | 413 | 415 | 422)
}

fn body(record: &CallRecord) -> String {
    let document: Value = serde_json::from_str(&json::document(record, false)).unwrap_or_default();
    json!({ "version": 1, "type": "call.record", "id": record.uuid, "data": document }).to_string()
}

fn signature(key: &hmac::Key, id: &str, time: i64, body: &str) -> String {
    let signed = format!("{id}.{time}.{body}");
    format!("v1,{}", STANDARD.encode(hmac::sign(key, signed.as_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_that_of_the_specification() {
        // The example of the Standard Webhooks specification's libraries.
        let secret = STANDARD.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let key = hmac::Key::new(hmac::HMAC_SHA256, &secret);
        assert_eq!(
            signature(
                &key,
                "msg_p5jXN8AQM9LWM0D4loKWxJek",
                1_614_265_330,
                r#"{"test": 2432232314}"#
            ),
            "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
        );
    }

    #[test]
    fn a_secret_is_needed_that_cannot_be_guessed() {
        let read = |params: &str| {
            let text = format!(
                "<document><section name=\"configuration\"><configuration name=\"webhook.conf\"><settings>{params}</settings></configuration></section></document>"
            );
            let tree = dialplan_xml::parse_raw(&text, "test").tree.unwrap();
            Settings::read(tree.configuration("webhook.conf"))
        };
        let url = "<param name=\"url\" value=\"https://crm.example/calls\"/>";
        assert!(matches!(read(url), Err(Invalid::Secret)));
        let secret = "<param name=\"secret\" value=\"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\"/>";
        assert!(matches!(read(secret), Err(Invalid::Url)));
        assert!(read(&format!("{url}{secret}")).is_ok());
    }
}
