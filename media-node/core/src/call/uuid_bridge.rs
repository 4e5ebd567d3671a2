//! Joining two legs that live already (`uuid_bridge` and everything built on it).
//!
//! Both leave what they do by way of CS_HIBERNATE and CS_RESET and meet in CS_SOFT_EXECUTE, where one drives the bridge.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use esl_server::event::EventName;
use tokio::sync::oneshot;

use super::bridge::STATE_TIMEOUT;
use super::channel::{Channel, OtherType};
use super::post_bridge;
use super::session::{AppResult, Session};
use super::state::State;
use crate::clock;

/// Joins two existing legs, taking each out of what it does (`uuid_bridge`). `a` becomes the originator.
pub fn join(a: &Arc<Channel>, b: &Arc<Channel>) {
    let (from, to) = (a.profile(), b.profile());
    a.set_var("uuid_bridge", &**b.uuid());
    // Each leg shows the other as it was, `b` to `a` with the callee for a caller.
    let or_unknown = |text: &str| if text.is_empty() { "Unknown" } else { text }.to_owned();
    let original = (or_unknown(&from.callee_id_name), or_unknown(&from.callee_id_number));
    let of_caller = (from.caller_id_name.clone(), from.caller_id_number.clone());
    renew_profile(a, b, &from, &to, of_caller);
    renew_profile(b, a, &to, &to, original.clone());
    let mut shown = b.profile();
    shown.transfer_source.clear();
    (shown.caller_id_name, shown.caller_id_number) = original;
    let mut seen = from;
    seen.times = super::profile::Times::default();
    a.with(|data| data.other = Some((OtherType::Originatee, shown)));
    b.with(|data| data.other = Some((OtherType::Originator, seen)));
    for leg in [a, b] {
        leg.leave_broadcasts();
        leg.flags.transferred.store(true, Ordering::Relaxed);
    }
    let (promise, released) = oneshot::channel();
    let target = Arc::clone(b);
    a.arrange_soft_step(Box::new(move |session| {
        Box::pin(originator_step(session, target, promise))
    }));
    let partner = Arc::clone(a);
    b.arrange_soft_step(Box::new(move |session| {
        Box::pin(originatee_step(session, partner, released))
    }));
    for leg in [a, b] {
        leg.set_state(State::Hibernate);
    }
    let (a, b) = (Arc::clone(a), Arc::clone(b));
    crate::foreign::spawn(async move {
        for state in [State::Hibernate, State::Reset, State::SoftExecute] {
            for leg in [&a, &b] {
                if state != State::Hibernate {
                    leg.set_state(state);
                }
                reached(leg, state).await;
            }
        }
    });
}

/// A new profile for a leg that is taken out of its call: `callee`'s caller id becomes its callee id.
fn renew_profile(
    leg: &Arc<Channel>,
    other: &Channel,
    old: &super::CallerProfile,
    callee: &super::CallerProfile,
    (name, number): (String, String),
) {
    let source = format!("{}:{}:uuid_br:{}", clock::now_secs(), old.id, other.uuid());
    leg.set_vars([
        ("bridge_channel", other.name()),
        ("bridge_uuid", other.uuid().to_string()),
        ("signal_bond", other.uuid().to_string()),
        ("original_destination_number", old.destination_number.clone()),
        ("original_caller_id_name", name),
        ("original_caller_id_number", number),
    ]);
    leg.push_var("transfer_history", &source);
    leg.set_var("transfer_source", source.clone());
    leg.with(|data| {
        let mut profile = old.clone();
        profile.id = clock::new_uuid();
        profile.profile_index = (crate::text::int(&old.profile_index) + 1).to_string();
        profile.transfer_source = source;
        profile.times.profile_created = clock::now_us();
        profile.times.bridged = 0;
        profile.callee_id_name.clone_from(&callee.caller_id_name);
        profile.callee_id_number.clone_from(&callee.caller_id_number);
        data.past_profiles.push(old.clone());
        data.profile = Some(profile);
    });
}

/// Waits until the leg's task runs that state.
async fn reached(leg: &Arc<Channel>, state: State) {
    let mut watch = leg.watch();
    let arrived = async {
        while leg.is_up() && leg.running() != state {
            if watch.changed().await.is_err() {
                return;
            }
        }
    };
    let _late = tokio::time::timeout(STATE_TIMEOUT, arrived).await;
}

/// Held by the originator's step until it has bridged, or will not: dropped with a step that is never run, when
/// another bridge takes the originator meanwhile.
type Promise = oneshot::Sender<std::convert::Infallible>;
/// How the other leg learns that nothing comes any more.
type Released = oneshot::Receiver<std::convert::Infallible>;

async fn originator_step(session: &mut Session, peer: Arc<Channel>, promise: Promise) -> AppResult {
    let own = Arc::clone(&session.channel);
    let _promise = promise;
    announce_uuid_bridge(&own, &peer);
    reached(&peer, State::SoftExecute).await;
    if peer.running() != State::SoftExecute {
        // Gone, or taken elsewhere meanwhile.
        own.flags.transferred.store(false, Ordering::Relaxed);
        return after_bridge(session, &peer);
    }
    own.flags.transferred.store(false, Ordering::Relaxed);
    own.unset_var("uuid_bridge");
    let result = session.bridge_to(&peer).await;
    result?;
    after_bridge(session, &peer)
}

/// The originator goes on with what is left of its dialplan, parks or ends.
fn after_bridge(session: &Session, peer: &Arc<Channel>) -> AppResult {
    post_bridge::of_originator(session, peer)?;
    session.channel().set_state(State::Execute);
    Ok(())
}

async fn originatee_step(
    session: &mut Session,
    peer: Arc<Channel>,
    released: Released,
) -> AppResult {
    let own = Arc::clone(&session.channel);
    announce_uuid_bridge(&own, &peer);
    own.flags.transferred.store(false, Ordering::Relaxed);
    session.wait_for(released).await.ok();
    session.check()?;
    if own.partner().is_some() {
        // Another bridge has this leg: its driver moves it on.
        loop {
            session.wait(None).await?;
        }
    }
    after_bridge(session, &peer)
}

fn announce_uuid_bridge(own: &Channel, peer: &Channel) {
    own.fire_with(
        EventName::ChannelExecute,
        |_| {},
        |event| {
            event.push("Application", "uuid_bridge");
            event.push("Application-Data", &**peer.uuid());
        },
    );
}
