//! From the spool to the broker, with publisher confirms.
//!
//! A batch is published, its confirms are awaited, and the position behind it is saved; then comes the next. A connection
//! that ends takes the batch with it: it is published again, with the same message identifiers, so that receivers can tell.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Confirmation};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::Stats;
use crate::connection::{Link, LinkError, Pauses, within};
use crate::settings::{Common, LONGEST_NAME};
use crate::spool::{Message, Spool};

/// Messages that wait for confirms together.
const BATCH: usize = 256;
/// Between two looks whether a connection on which nothing is sent is still there.
const LOOK: Duration = Duration::from_secs(1);

/// Publishes a spool.
pub(crate) struct Publisher {
    pub(crate) common: Common,
    pub(crate) spool: Arc<Spool>,
    pub(crate) stats: Arc<Stats>,
    pub(crate) stopped: watch::Receiver<bool>,
}

impl Publisher {
    /// Publishes until the profile ends; then what is there is published once more, if the broker is.
    pub(crate) async fn run(mut self) {
        let purpose = format!("{} {}", self.stats.kind, self.stats.name);
        let mut pauses = Pauses::new(self.common.reconnect);
        loop {
            let Err(error) = self.session(&purpose, &mut pauses).await else { return };
            self.stats.connected.store(false, Ordering::Relaxed);
            if !pauses.wait(&purpose, &error, &mut self.stopped).await {
                return;
            }
        }
    }

    /// One connection, until it fails or the profile has ended.
    async fn session(&mut self, purpose: &str, pauses: &mut Pauses) -> Result<(), LinkError> {
        let link = Link::open(&self.common, purpose).await?;
        within(link.channel.confirm_select(ConfirmSelectOptions::default())).await?;
        pauses.reset();
        self.stats.connected.store(true, Ordering::Relaxed);
        loop {
            let spool = Arc::clone(&self.spool);
            let read = tokio::task::spawn_blocking(move || spool.next(BATCH)).await;
            let batch = read.unwrap_or_else(|_| Ok(Vec::new()))?;
            let Some((after, _)) = batch.last() else {
                if *self.stopped.borrow() {
                    return Ok(());
                }
                if !link.channel.status().connected() {
                    return Err(LinkError::Cancelled);
                }
                let mut stopped = self.stopped.clone();
                let more = async {
                    tokio::select! {
                        () = self.spool.changed() => {}
                        _ = stopped.wait_for(|stop| *stop) => {}
                    }
                };
                let _looked = timeout(LOOK, more).await;
                continue;
            };
            self.publish(&link, batch.iter().map(|(_, message)| message)).await?;
            self.stats.done.fetch_add(batch.len() as u64, Ordering::Relaxed);
            let (spool, after) = (Arc::clone(&self.spool), *after);
            let _saved = tokio::task::spawn_blocking(move || spool.sent(after)).await;
        }
    }

    async fn publish(
        &self,
        link: &Link,
        messages: impl Iterator<Item = &Message>,
    ) -> Result<(), LinkError> {
        let mut confirms = Vec::with_capacity(BATCH);
        for message in messages {
            let published = link.channel.basic_publish(
                self.common.exchange.as_str().into(),
                short(&message.key),
                BasicPublishOptions::default(),
                message.body.as_bytes(),
                properties(&self.common, message),
            );
            confirms.push(within(published).await?);
        }
        for confirm in confirms {
            match within(confirm).await? {
                Confirmation::Ack(_) | Confirmation::NotRequested => {}
                Confirmation::Nack(_) => return Err(LinkError::Nack),
            }
        }
        Ok(())
    }
}

/// A text of at most 255 bytes; more is cut off.
pub(crate) fn short(text: &str) -> lapin::types::ShortString {
    let mut end = text.len().min(LONGEST_NAME);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].into()
}

/// As the reference has them, and an identifier.
pub(crate) fn properties(common: &Common, message: &Message) -> BasicProperties {
    let mut properties = BasicProperties::default()
        .with_content_type(short(&common.content_type))
        .with_message_id(short(&message.id));
    if let Some(mode) = common.delivery_mode {
        properties = properties.with_delivery_mode(mode);
    }
    if common.timestamp {
        let seconds = u64::try_from(message.time / 1_000_000).unwrap_or(0);
        let mut headers = FieldTable::default();
        headers.insert("x_Liquid_MessageSentTimeStamp".into(), AMQPValue::Timestamp(seconds));
        properties = properties.with_timestamp(seconds).with_headers(headers);
    }
    properties
}
