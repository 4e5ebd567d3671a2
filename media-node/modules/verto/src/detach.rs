//! Calls whose browser is gone, and browsers that come back: a call that was answered waits for its client for a while,
//! and is offered to it again.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::Value;
use switch_core::call::{Cause, Channel};
use switch_core::switch::Switch;
use tokio::sync::oneshot;

use crate::client::Client;
use crate::hub::{Call, Hub};
use crate::leg::Order;
use crate::rpc::Object;

/// How long a call may take to make its client an offer.
const OFFER: Duration = Duration::from_secs(2);

/// The client that bears a session is gone: what becomes of its calls.
pub(crate) fn detach_calls(switch: &Arc<Switch>, session: &str) {
    let hub = Hub::of(switch);
    for channel in hub.calls(switch, session) {
        if !channel.is_up() {
            continue;
        }
        if !channel.is_answered() {
            channel.hangup(Cause::DESTINATION_OUT_OF_ORDER);
            continue;
        }
        if channel.with(|data| data.slot::<Call>().unrecoverable) {
            channel.hangup(Cause::NORMAL_CLEARING);
            continue;
        }
        let number = hub.detachments.fetch_add(1, Ordering::Relaxed);
        channel.with(|data| data.slot::<Call>().detached = Some(number));
        tracing::info!(
            uuid = %channel.uuid(), fs_level = "NOTICE",
            "{}: its browser is gone; waiting for it", channel.name()
        );
        let timeout = hub.shared.load().detach_timeout;
        let waiting = Arc::downgrade(&channel);
        tokio::spawn(async move {
            tokio::time::sleep(timeout).await;
            let Some(channel) = waiting.upgrade() else { return };
            if channel.with(|data| data.slot::<Call>().detached) == Some(number) {
                channel.hangup(Cause::RECOVERY_ON_TIMER_EXPIRE);
            }
        });
    }
}

/// A client has begun its session: calls that wait for it are offered to it, then it is told that it is complete.
pub(crate) async fn attach_calls(switch: &Arc<Switch>, client: &Arc<Client>) {
    let hub = Hub::of(switch);
    let mut attached = Vec::new();
    for channel in hub.calls(switch, &client.session()) {
        let waits = |channel: &Channel| {
            channel.is_up() && channel.with(|data| data.slot::<Call>().detached.is_some())
        };
        if waits(&channel) && reattach(&channel).await {
            attached.push(Value::from(channel.uuid().to_string()));
        }
    }
    let mut params = Object::new();
    params.insert("reattached_sessions".into(), attached.into());
    client.send(hub.request("verto.clientReady", params));
}

async fn reattach(channel: &Arc<Channel>) -> bool {
    let (reply, answered) = oneshot::channel();
    let orders = channel.with(|data| data.slot::<Call>().orders.clone());
    let sent = orders.is_some_and(|orders| orders.try_send(Order::Reattach(reply)).is_ok());
    let offered = sent && matches!(tokio::time::timeout(OFFER, answered).await, Ok(Ok(Ok(()))));
    if offered {
        channel.with(|data| data.slot::<Call>().detached = None);
    }
    offered
}
