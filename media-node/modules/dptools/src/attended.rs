//! `att_xfer`: attended transfer, with a consultation first.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::{App, Flags, record};
use crate::app;
use crate::call::links::Link;
use crate::call::originate::{self, Request};
use crate::call::{AppResult, Cause, Channel, Interrupt, Session, State, bridge, uuid_bridge};

/// The family.
pub const APPS: &[App] =
    &[app!("att_xfer", "mod_dptools", Flags::NONE, "<channel_url>", "Attended Transfer", att_xfer)
        .marked()];

/// How long the one consulted may take to be ready for its new partner.
const HANDOVER: Duration = Duration::from_secs(5);

fn key(channel: &Channel, name: &str, default: char) -> char {
    channel.var(name).and_then(|text| text.chars().next()).unwrap_or(default)
}

async fn att_xfer(session: &mut Session, argument: &str) -> AppResult {
    let own = Arc::clone(session.channel());
    own.unset_var("att_xfer_result");
    let partner = own.partner();
    let conversation = own.bridge();
    if let Some(partner) = &partner {
        own.link(Link::SoftHolding, partner);
        partner.flags.awaited.store(true, Ordering::Relaxed);
        if let Some(media) = own.media() {
            let _gone = media.unbridge();
        }
    }
    let follows = own.is_true("recording_follow_attxfer");
    if let Some(partner) = partner.as_ref().filter(|_| follows) {
        record::hand_on(partner, &own);
    }
    let other = own.with(|data| data.other.clone());
    let outcome = consult(session, argument, partner.as_ref()).await;
    own.unlink(Link::SoftHolding);
    if let Some(partner) = &partner
        && partner.is_up()
        && own.is_up()
    {
        // Back to the first conversation.
        partner.flags.awaited.store(false, Ordering::Relaxed);
        own.with(|data| {
            data.bridge = conversation;
            data.other = other;
        });
        own.link(Link::Bond, partner);
        own.link(Link::BridgedTo, partner);
        bridge::digits_changed(&own);
        partner.notify();
    }
    if let Some(third) = outcome? {
        join_three_way(&third, &own);
    }
    Ok(())
}

/// The consultation itself; the answer is who is to join the first conversation, which goes on afterwards.
async fn consult(
    session: &mut Session,
    target: &str,
    partner: Option<&Arc<Channel>>,
) -> Result<Option<Arc<Channel>>, Interrupt> {
    let own = Arc::clone(session.channel());
    let timeout = own
        .var("attxfer_originate_timeout")
        .and_then(|text| u64::try_from(crate::text::int(&text)).ok())
        .filter(|&seconds| seconds > 0)
        .map(Duration::from_secs);
    let request = Request { dial: target.to_owned(), timeout, ..Request::default() };
    let switch = Arc::clone(session.switch());
    let outcome = originate::originate(&switch, &request, Some(session)).await;
    session.ring_wait(false);
    let Ok(peer) = outcome else {
        own.set_var("att_xfer_result", "failure");
        if let Some(partner) = partner
            && !own.is_up()
        {
            partner.flags.awaited.store(false, Ordering::Relaxed);
            partner.hangup(Cause::NORMAL_CLEARING);
        }
        return session.check().map(|()| None);
    };
    let Some(partner) = partner else {
        own.set_var("att_xfer_result", "success");
        return session.bridge_to(&peer).await.map(|()| None);
    };
    peer.link(Link::TransferPeer, partner);
    peer.flags.awaited.store(true, Ordering::Relaxed);
    let [done, cancel, conference] = [
        key(&own, "attxfer_hangup_key", '*'),
        key(&own, "attxfer_cancel_key", '#'),
        key(&own, "attxfer_conf_key", '0'),
    ];
    let keys: String = [done, cancel, conference].iter().collect();
    let pressed = session.bridge_until(&peer, &keys).await;
    match pressed {
        Ok(Some(key)) if key == done => {
            own.set_var("att_xfer_result", "success");
            own.hangup(Cause::NORMAL_CLEARING);
            hand_over(&own, &peer, partner);
            Err(Interrupt::Hangup)
        }
        Ok(Some(key)) if key == conference => {
            own.set_var("att_xfer_result", "success");
            Ok(Some(peer))
        }
        Ok(_) => {
            own.set_var("att_xfer_result", "failure");
            peer.hangup(Cause::NORMAL_CLEARING);
            session.check().map(|()| None)
        }
        Err(interrupt) => {
            if interrupt == Interrupt::Hangup && peer.is_up() && partner.is_up() {
                own.set_var("att_xfer_result", "success");
                hand_over(&own, &peer, partner);
            } else {
                peer.hangup(Cause::NORMAL_CLEARING);
                partner.flags.awaited.store(false, Ordering::Relaxed);
                partner.notify();
            }
            Err(interrupt)
        }
    }
}

/// The one consulted and the one who waits come together; `own` leaves them.
fn hand_over(own: &Channel, peer: &Arc<Channel>, partner: &Arc<Channel>) {
    if own.is_true("recording_follow_attxfer") {
        record::hand_on(own, peer);
    }
    partner.flags.transferred.store(true, Ordering::Relaxed);
    let (peer, partner) = (Arc::clone(peer), Arc::clone(partner));
    crate::foreign::spawn(async move {
        let mut watch = peer.watch();
        let parked = async {
            while peer.is_up() && peer.running() != State::Park {
                if watch.changed().await.is_err() {
                    return;
                }
            }
        };
        let _late = tokio::time::timeout(HANDOVER, parked).await;
        if peer.is_up() && partner.is_up() {
            uuid_bridge::join(&peer, &partner);
            partner.flags.awaited.store(false, Ordering::Relaxed);
        } else {
            partner.flags.awaited.store(false, Ordering::Relaxed);
            peer.hangup(Cause::NORMAL_CLEARING);
            partner.hangup(Cause::NORMAL_CLEARING);
        }
    });
}

/// The one consulted joins the first conversation.
fn join_three_way(peer: &Arc<Channel>, own: &Channel) {
    peer.with(|data| {
        let steps = [("three_way", &**own.uuid())];
        data.begin_extension(crate::call::Extension::new("three_way", "three_way", steps));
    });
    peer.set_state(State::Execute);
}
