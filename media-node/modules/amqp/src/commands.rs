//! Commands that arrive in a queue, one after the other; their output goes where the message's headers say.
//!
//! Nothing is known of who sent one: it runs as for an Event Socket client on another machine, so that what reaches this
//! machine's own programs is refused until `allow-host-commands` of `event_socket.conf` says otherwise.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures_util::StreamExt as _;
use lapin::message::Delivery;
use lapin::options::{
    BasicConsumeOptions, BasicPublishOptions, QueueBindOptions, QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel};
use serde_json::json;
use switch_core::switch::Switch;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::Stats;
use crate::connection::{Link, LinkError, Pauses, within};
use crate::publisher::short;
use crate::settings::Commands;

/// Longest command, bytes (the reference cuts it off there; here it is refused).
const LONGEST: usize = 10_240;
/// Commands on one line at most.
const MOST: usize = 128;

/// Starts to take commands.
pub(crate) fn start(
    switch: &Arc<Switch>,
    profile: &Commands,
    stats: &Arc<Stats>,
    stopped: &watch::Receiver<bool>,
) -> JoinHandle<()> {
    let taker =
        Taker { switch: Arc::clone(switch), profile: profile.clone(), stats: Arc::clone(stats) };
    let mut stopped = stopped.clone();
    tokio::spawn(async move {
        let purpose = format!("commands {}", taker.profile.name);
        let mut pauses = Pauses::new(taker.profile.common.reconnect);
        loop {
            let error = tokio::select! {
                ended = taker.session(&purpose, &mut pauses) => ended.err().unwrap_or(LinkError::Cancelled),
                _ = stopped.wait_for(|stop| *stop) => return,
            };
            taker.stats.connected.store(false, Ordering::Relaxed);
            if !pauses.wait(&purpose, &error, &mut stopped).await {
                return;
            }
        }
    })
}

struct Taker {
    switch: Arc<Switch>,
    profile: Commands,
    stats: Arc<Stats>,
}

impl Taker {
    /// One connection, until it fails.
    async fn session(&self, purpose: &str, pauses: &mut Pauses) -> Result<(), LinkError> {
        let profile = &self.profile;
        let link = Link::open(&profile.common, purpose).await?;
        let options = QueueDeclareOptions {
            passive: profile.passive,
            durable: profile.durable,
            exclusive: profile.exclusive,
            auto_delete: profile.auto_delete,
            ..QueueDeclareOptions::default()
        };
        let channel = &link.channel;
        let queue = channel.queue_declare(
            profile.queue_name.as_str().into(),
            options,
            FieldTable::default(),
        );
        let queue = within(queue).await?.name().clone();
        within(channel.queue_bind(
            queue.clone(),
            profile.common.exchange.as_str().into(),
            profile.binding_key.as_str().into(),
            QueueBindOptions::default(),
            FieldTable::default(),
        ))
        .await?;
        let options = BasicConsumeOptions { no_ack: true, ..BasicConsumeOptions::default() };
        let consumer = channel.basic_consume(queue, "".into(), options, FieldTable::default());
        let mut consumer = within(consumer).await?;
        pauses.reset();
        self.stats.connected.store(true, Ordering::Relaxed);
        while let Some(delivery) = consumer.next().await {
            self.stats.done.fetch_add(1, Ordering::Relaxed);
            self.take(channel, &delivery?).await?;
        }
        Err(LinkError::Cancelled)
    }

    async fn take(&self, channel: &Channel, delivery: &Delivery) -> Result<(), LinkError> {
        let kind = delivery.properties.content_type().as_ref().map(|kind| kind.as_str());
        if kind.is_some_and(|kind| !kind.to_ascii_lowercase().starts_with("text/plain")) {
            tracing::warn!("AMQP commands: a message that is not text/plain is left alone");
            return Ok(());
        }
        let (Ok(line), true) = (std::str::from_utf8(&delivery.data), delivery.data.len() < LONGEST)
        else {
            tracing::warn!("AMQP commands: a message that is no command is left alone");
            return Ok(());
        };
        tracing::info!("Executing: {line}");
        let unknown = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        let run = Box::pin(execute(&self.switch, line));
        let (output, found) = base::foreign::scope(move || Some(unknown), run).await;
        let Some((exchange, key)) = answer_to(&delivery.properties) else {
            if !found {
                tracing::warn!("Remote command failed:\n{output}");
            }
            return Ok(());
        };
        // The reference's numbers: SWITCH_STATUS_SUCCESS and SWITCH_STATUS_FALSE.
        let body = json!({ "output": output, "command": line, "status": i32::from(!found) });
        let properties = BasicProperties::default().with_content_type("text/json".into());
        let body = body.to_string();
        within(channel.basic_publish(
            short(&exchange),
            short(&key),
            BasicPublishOptions::default(),
            body.as_bytes(),
            properties,
        ))
        .await?;
        Ok(())
    }
}

/// Exchange and routing key of the answer, if one is wanted.
fn answer_to(properties: &BasicProperties) -> Option<(String, String)> {
    let headers = properties.headers().as_ref()?;
    let text = |wanted: &str| {
        let found = headers.inner().iter().find(|(name, _)| name.as_str().starts_with(wanted));
        match found?.1 {
            AMQPValue::LongString(text) => Some(text.to_string()),
            AMQPValue::ShortString(text) => Some(text.as_str().to_owned()),
            _ => None,
        }
    };
    Some((text("x-fs-api-resp-exchange")?, text("x-fs-api-resp-key")?))
}

/// Runs a line as the console does: commands with `;;` between, aliases replaced. False if the last does not exist.
async fn execute(switch: &Arc<Switch>, line: &str) -> (String, bool) {
    let mut output = String::new();
    let mut found = false;
    for command in line.split(";;").take(MOST) {
        let command = command.split(['\r', '\n']).next().unwrap_or_default().trim();
        if command.is_empty() {
            continue;
        }
        let expanded = switch.stores.console.expand(command);
        let command = expanded.as_deref().unwrap_or(command);
        let (name, args) = command.split_once(' ').unwrap_or((command, ""));
        match switch.run_api(name, args.trim(), None).await {
            Some(text) => {
                output.push_str(&text);
                found = true;
            }
            None => found = false,
        }
    }
    (output, found)
}
