//! A connection to the first broker of a list that can be reached.

use std::time::Duration;

use lapin::options::ExchangeDeclareOptions;
use lapin::tcp::OwnedTLSConfig;
use lapin::types::FieldTable;
use lapin::uri::{AMQPAuthority, AMQPQueryString, AMQPScheme, AMQPUri, AMQPUserInfo};
use lapin::{Channel, Connection, ConnectionProperties, ExchangeKind};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::settings::{Broker, Common};

/// For connecting to one broker, and for each of its answers.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);
/// Longest pause between tries; a longer `reconnect_interval_ms` holds instead.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Why there is no connection, or none any more.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LinkError {
    /// The library's words.
    #[error("{0}")]
    Amqp(#[from] lapin::Error),
    /// The broker did not answer.
    #[error("no answer within {} s", .0.as_secs())]
    Late(Duration),
    /// The broker refused a message.
    #[error("the broker refused a message")]
    Nack,
    /// The file of authorities cannot be read.
    #[error("{0}: {1}")]
    Authorities(String, std::io::Error),
    /// The spool cannot be read.
    #[error("{0}")]
    Spool(#[from] records::JournalError),
    /// The broker ended the consumer.
    #[error("the queue is gone")]
    Cancelled,
}

/// A connection with a channel on which the profile's exchange is declared.
pub(crate) struct Link {
    /// Kept for as long as the channel is used.
    _connection: Connection,
    pub(crate) channel: Channel,
}

impl Link {
    /// Tries the brokers in turn.
    pub(crate) async fn open(common: &Common, purpose: &str) -> Result<Self, LinkError> {
        let mut last = LinkError::Late(PATIENCE);
        for broker in &common.brokers {
            match within(Self::to(broker, common, purpose)).await {
                Ok(link) => {
                    tracing::info!(
                        "AMQP {purpose}: connected to {} ({}:{})",
                        broker.name,
                        broker.host,
                        broker.port
                    );
                    return Ok(link);
                }
                Err(error) => {
                    tracing::debug!(
                        "AMQP {purpose}: {} ({}:{}): {error}",
                        broker.name,
                        broker.host,
                        broker.port
                    );
                    last = error;
                }
            }
        }
        Err(last)
    }

    async fn to(broker: &Broker, common: &Common, purpose: &str) -> Result<Self, LinkError> {
        let uri = AMQPUri {
            scheme: if broker.tls { AMQPScheme::AMQPS } else { AMQPScheme::AMQP },
            authority: AMQPAuthority {
                userinfo: AMQPUserInfo {
                    username: broker.user.clone(),
                    password: broker.password.clone(),
                },
                host: broker.host.clone(),
                port: broker.port,
            },
            vhost: broker.vhost.clone(),
            query: AMQPQueryString {
                heartbeat: Some(broker.heartbeat),
                ..AMQPQueryString::default()
            },
        };
        let cert_chain = match &broker.authorities {
            Some(file) => {
                let text = tokio::fs::read_to_string(file).await;
                Some(text.map_err(|error| LinkError::Authorities(file.clone(), error))?)
            }
            None => None,
        };
        let tls = OwnedTLSConfig { cert_chain, ..OwnedTLSConfig::default() };
        let properties = ConnectionProperties::default()
            .with_connection_name(format!("Ferroswitch {purpose}").into());
        let runtime = lapin::runtime::default_runtime()?;
        let connection = Connection::connect_uri_with_config(uri, properties, tls, runtime).await?;
        let channel = connection.create_channel().await?;
        let options = ExchangeDeclareOptions {
            durable: common.exchange_durable,
            ..ExchangeDeclareOptions::default()
        };
        let kind = match common.exchange_type.as_str() {
            "direct" => ExchangeKind::Direct,
            "fanout" => ExchangeKind::Fanout,
            "headers" => ExchangeKind::Headers,
            "topic" => ExchangeKind::Topic,
            other => ExchangeKind::Custom(other.to_owned()),
        };
        channel
            .exchange_declare(common.exchange.as_str().into(), kind, options, FieldTable::default())
            .await?;
        Ok(Self { _connection: connection, channel })
    }
}

/// What the broker answers, if it does so in time.
pub(crate) async fn within<T, E: Into<LinkError>>(
    answer: impl Future<Output = Result<T, E>>,
) -> Result<T, LinkError> {
    match timeout(PATIENCE, answer).await {
        Ok(answer) => answer.map_err(Into::into),
        Err(_) => Err(LinkError::Late(PATIENCE)),
    }
}

/// Pauses between tries: they double up to [`LONGEST_PAUSE`].
pub(crate) struct Pauses {
    first: Duration,
    next: Duration,
}

impl Pauses {
    pub(crate) const fn new(first: Duration) -> Self {
        Self { first, next: first }
    }

    /// A connection was made: the next pause is short again.
    pub(crate) const fn reset(&mut self) {
        self.next = self.first;
    }

    /// Says what went wrong and waits. False when the profile ends meanwhile.
    pub(crate) async fn wait(
        &mut self,
        purpose: &str,
        error: &LinkError,
        stopped: &mut watch::Receiver<bool>,
    ) -> bool {
        let pause = self.next;
        tracing::warn!("AMQP {purpose}: {error}; next try in {} ms", pause.as_millis());
        self.next = (pause * 2).min(LONGEST_PAUSE.max(self.first));
        timeout(pause, stopped.wait_for(|stop| *stop)).await.is_err()
    }
}
