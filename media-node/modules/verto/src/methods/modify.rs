//! `verto.modify`: hold, transfer, other media.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use base::far;
use switch_core::call::{Cause, Channel, broadcast, hold, transfer, uuid_bridge};
use tokio::sync::oneshot;

use super::calls::order;
use super::{Ask, Outcome, refuse};
use crate::leg::Order;
use crate::rpc::{self, Object};

/// What a transferred party hears while the other phone rings.
const RINGING: &str = "local_stream://moh";

/// Does what the action says.
pub(super) async fn modify(ask: Ask<'_>) -> Outcome {
    let (params, _, uuid) = match ask.dialog() {
        Ok(found) => found,
        Err(refused) => return refused,
    };
    let Some(action) = rpc::text(params, "action") else {
        return refuse(Object::new(), "action missing");
    };
    let mut result = Object::new();
    result.insert("callID".into(), uuid.into());
    result.insert("action".into(), action.into());
    let Some(channel) = ask.call(uuid) else { return refuse(result, "CALL DOES NOT EXIST") };
    let held = channel.flags.held.load(Ordering::Relaxed);
    let done = match action.to_ascii_lowercase().as_str() {
        "hold" => hold_call(&channel, true),
        "unhold" => hold_call(&channel, false),
        "togglehold" => hold_call(&channel, !held),
        "transfer" => send_on(&channel, params).map(|()| {
            result.insert("message".into(), "CALL TRANSFERRED".into());
        }),
        "replace" => replace(&ask, &channel, params).await,
        "updatemedia" => update(&channel, params).await.map(|sdp| {
            result.insert("sdp".into(), sdp.into());
        }),
        // Key frames are asked for by the receivers; what is not known is passed over, as in the reference.
        _ => Ok(()),
    };
    if let Err(message) = done {
        return refuse(result, message);
    }
    let held = channel.flags.held.load(Ordering::Relaxed);
    result.insert("holdState".into(), if held { "held" } else { "active" }.into());
    Outcome::Done(result)
}

/// Holds or resumes; a call that was not answered stays as it is.
fn hold_call(channel: &Arc<Channel>, on: bool) -> Result<(), &'static str> {
    if channel.is_answered() {
        hold::remote_hold(channel, on);
    }
    Ok(())
}

/// Sends the partner elsewhere.
fn send_on(channel: &Arc<Channel>, params: &Object) -> Result<(), &'static str> {
    let destination = rpc::text(params, "destination").filter(|number| !number.is_empty());
    let destination = base::text::harmless_number(destination.ok_or("destination missing")?);
    let partner = channel.partner().ok_or("call is not bridged")?;
    transfer::tell_moved(channel, &partner);
    transfer::transfer(&partner, &far::mark(&destination), None, None);
    channel.set_var("transfer_disposition", "recv_replace");
    Ok(())
}

async fn update(channel: &Arc<Channel>, params: &Object) -> Result<String, &'static str> {
    if !channel.is_answered() {
        channel.hangup(Cause::DESTINATION_OUT_OF_ORDER);
        return Err("Cannot update a call that has not been answered.");
    }
    let sdp = rpc::text(params, "sdp").ok_or("SDP missing")?.to_owned();
    order(channel, |reply| Order::Update(sdp, reply)).await
}

/// Two calls of the client become one of their partners.
async fn replace(ask: &Ask<'_>, own: &Arc<Channel>, params: &Object) -> Result<(), &'static str> {
    let named = rpc::text(params, "replaceCallID").ok_or("replaceCallID missing")?;
    let other = ask.call(named).filter(|other| !Arc::ptr_eq(other, own));
    let other = other.ok_or("invalid transfer leg")?;
    own.set_var("refer_uuid", &**other.uuid());
    own.set_var("transfer_disposition", "recv_replace");
    other.set_var("transfer_disposition", "replaced");
    match (own.partner(), other.partner()) {
        (Some(partner), Some(far)) => {
            own.set_var("transfer_to", format!("att:{}", far.uuid()));
            other.set_var("endpoint_disposition", "ATTENDED_TRANSFER");
            far.set_var("transfer_disposition", "bridge");
            transfer::tell_moved(own, &partner);
            transfer::tell_moved(&other, &far);
            join(own, &other, &partner, &far);
            Ok(())
        }
        (Some(partner), None) => match answer_of(&other) {
            Some(answer) => {
                wait_for_answer(Arc::clone(own), other, partner, answer).await;
                Ok(())
            }
            None => follow(&partner, &other, &other),
        },
        (None, Some(far)) => {
            let followed = follow(&far, own, own);
            other.hangup(Cause::ATTENDED_TRANSFER);
            followed
        }
        (None, None) => {
            tracing::warn!(uuid = %own.uuid(), "Cannot transfer channels that are not in a bridge.");
            Err("transfer failed")
        }
    }
}

/// Bridges the partners, and ends the client's calls.
fn join(own: &Arc<Channel>, other: &Arc<Channel>, partner: &Arc<Channel>, far: &Arc<Channel>) {
    // What follows a bridge in their dialplan is not for the legs that leave.
    for leg in [own, other] {
        leg.flags.awaited.store(true, Ordering::Relaxed);
    }
    uuid_bridge::join(partner, far);
    for leg in [own, other] {
        leg.hangup(Cause::ATTENDED_TRANSFER);
    }
}

/// Sends a leg to what another called, and ends the call that is left.
fn follow(leg: &Arc<Channel>, called: &Channel, left: &Channel) -> Result<(), &'static str> {
    let moved = match called.var("inline_destination") {
        Some(inline) => transfer::transfer(leg, &inline, Some("inline"), None),
        None => {
            let number = called.field_marked("destination_number").unwrap_or_default();
            transfer::transfer(leg, &number, None, None)
        }
    };
    left.hangup(Cause::ATTENDED_TRANSFER);
    if moved { Ok(()) } else { Err("transfer failed") }
}

type Answer = oneshot::Receiver<Result<Arc<Channel>, Cause>>;

/// If the leg dials, the leg that answers is ours.
fn answer_of(leg: &Channel) -> Option<Answer> {
    let (tell, told) = oneshot::channel();
    leg.with(|data| {
        let dials = leg.flags.dials.load(Ordering::Relaxed);
        dials.then(|| data.hand_over = Some(tell))
    })?;
    Some(told)
}

/// The call to be taken over still rings: `partner` hears music until it is answered.
async fn wait_for_answer(
    own: Arc<Channel>,
    other: Arc<Channel>,
    partner: Arc<Channel>,
    answer: Answer,
) {
    other.set_var("transfer_to", format!("satt:{}", partner.uuid()));
    other.set_var("endpoint_disposition", "ATTENDED_TRANSFER");
    partner.flags.kept.store(true, Ordering::Relaxed);
    let music = hold::waiting_music(&partner).await.unwrap_or_else(|| RINGING.to_owned());
    if !partner.is_broadcasting() {
        broadcast::play_endlessly(&partner, &music);
    }
    switch_core::foreign::spawn(async move {
        let answered = tokio::select! {
            answered = answer => answered.unwrap_or(Err(Cause::NORMAL_CLEARING)),
            () = Arc::clone(&partner).hung_up() => Err(Cause::ORIGINATOR_CANCEL),
        };
        partner.flags.kept.store(false, Ordering::Relaxed);
        match answered {
            Ok(far) => join(&own, &other, &partner, &far),
            Err(cause) => {
                other.hangup(cause);
                partner.stop_broadcast();
                partner.notify();
            }
        }
    });
}
