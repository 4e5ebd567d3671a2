//! Log lines, published as they come. They wait in memory only: a broker that is away costs lines, as in the reference.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use esl_server::{Level, LogLine};
use lapin::options::BasicPublishOptions;
use serde_json::json;
use switch_core::clock;
use switch_core::switch::Switch;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::Stats;
use crate::connection::{Link, LinkError, Pauses, within};
use crate::publisher::{properties, short};
use crate::settings::Logging;
use crate::spool::Message;

/// Starts to publish log lines.
pub(crate) fn start(
    switch: &Arc<Switch>,
    profile: &Logging,
    stats: &Arc<Stats>,
    stopped: &watch::Receiver<bool>,
) -> JoinHandle<()> {
    let (switch, profile, stats) = (Arc::clone(switch), profile.clone(), Arc::clone(stats));
    let mut stopped = stopped.clone();
    tokio::spawn(async move {
        let purpose = format!("logging {}", profile.name);
        let mut pauses = Pauses::new(profile.common.reconnect);
        loop {
            let ended = tokio::select! {
                ended = session(&switch, &profile, &stats, &purpose, &mut pauses) => ended,
                _ = stopped.wait_for(|stop| *stop) => return,
            };
            stats.connected.store(false, Ordering::Relaxed);
            let error = ended.err().unwrap_or(LinkError::Cancelled);
            if !pauses.wait(&purpose, &error, &mut stopped).await {
                return;
            }
        }
    })
}

/// One connection, until it fails.
async fn session(
    switch: &Arc<Switch>,
    profile: &Logging,
    stats: &Stats,
    purpose: &str,
    pauses: &mut Pauses,
) -> Result<(), LinkError> {
    let link = Link::open(&profile.common, purpose).await?;
    pauses.reset();
    stats.connected.store(true, Ordering::Relaxed);
    let least = profile.levels.iter().max().copied();
    let mut lines = switch.logs.subscribe(profile.common.queue, least);
    let host = switch.global("hostname").unwrap_or_default();
    let mut lost = 0;
    loop {
        let Some(line) = lines.recv().await else {
            lines = switch.logs.subscribe(profile.common.queue, least);
            lost = 0;
            continue;
        };
        let now = lines.lost();
        stats.dropped.fetch_add(now - lost, Ordering::Relaxed);
        lost = now;
        if !profile.levels.contains(&line.level) || is_own(&line) {
            continue;
        }
        let message = message(&host, &line);
        within(link.channel.basic_publish(
            profile.common.exchange.as_str().into(),
            short(&message.key),
            BasicPublishOptions::default(),
            message.body.as_bytes(),
            properties(&profile.common, &message),
        ))
        .await?;
        stats.done.fetch_add(1, Ordering::Relaxed);
    }
}

/// Lines about publishing lines would never end.
fn is_own(line: &LogLine) -> bool {
    line.file.contains("amqp") || line.file.contains("lapin")
}

/// The message of a line, with the reference's names.
fn message(host: &str, line: &LogLine) -> Message {
    let now = clock::now_us();
    let level = if line.level == Level::Console { "CONSOLE" } else { line.level.as_str() };
    let body = json!({
        "file": line.file,
        "function": line.func,
        "line": line.line,
        "level": level,
        "timestamp": format!("{}.{:06}", clock::local_stamp(now), now.rem_euclid(1_000_000)),
        "timestamp_epoch": now / 1_000_000,
        "content": line.text,
    });
    let file = line.file.replace('.', "_");
    Message {
        key: format!("{host}.{}.{level}.{file}", line.user_data),
        id: String::new(),
        time: now,
        body: body.to_string(),
    }
}
