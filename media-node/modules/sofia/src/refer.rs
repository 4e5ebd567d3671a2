//! Transfers that a far end asks for (REFER: RFC 3515, RFC 5589), and what it is told about them.
//!
//! The transferor gets `200 OK` once the others are bridged, not before. Where the call to be taken over still
//! rings, the transferred party hears music until it is answered, and stays with the transferor if it fails.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::oneshot;

use base::far;

use crate::call::endpoint::{Indication, Referral};
use crate::call::originate::{self, Request};
use crate::call::state::State;
use crate::call::{Cause, Channel, Session, broadcast, hold, transfer, uuid_bridge};

/// A transfer asked for by a far end.
#[derive(Clone, Debug)]
pub(crate) struct Refer {
    /// Number of the request: names the subscription it makes.
    pub(crate) id: u32,
    /// Where to: user part of `Refer-To`, or whole URI.
    pub(crate) to: String,
    /// `Refer-To` as it came.
    pub(crate) refer_to: String,
    /// `Referred-By` as it came.
    pub(crate) referred_by: Option<String>,
    /// The call that is to be replaced.
    pub(crate) replaces: Replaces,
}

/// What a REFER says about a call to be taken over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Replaces {
    /// Nothing: a blind transfer.
    Nothing,
    /// A leg of this switch, by UUID.
    Here(String),
    /// A call elsewhere: dial string and value of the header for the switch that has it.
    Elsewhere {
        /// What to dial.
        dial: String,
        /// `Replaces`.
        header: String,
    },
    /// A call elsewhere that this far end may not have called.
    Refused,
}

/// How long two legs may take to be with each other.
const JOINING: Duration = Duration::from_secs(10);
/// What is heard where no music is configured.
const RINGING: &str = "tone_stream://%(2000,4000,440,480);loops=-1";

/// A far end asks, by REFER, to transfer its partner.
pub(crate) async fn on_refer(session: &mut Session, refer: &Refer) {
    let own = Arc::clone(session.channel());
    let partner = own.partner();
    if let Some(partner) = &partner {
        if let Some(by) = &refer.referred_by {
            partner.set_heard_var("sip_h_Referred-By", by);
        }
        partner.set_heard_var("sip_refer_to", &refer.refer_to);
    }
    let outcome = match &refer.replaces {
        Replaces::Nothing => return blind(session, partner, refer).await,
        Replaces::Refused => Some(Referral::Forbidden),
        Replaces::Here(uuid) => match own.switch().channel(uuid).filter(|leg| leg.is_up()) {
            Some(other) => attended(&own, partner, other, refer).await,
            None => Some(Referral::Gone),
        },
        Replaces::Elsewhere { dial, header } => match partner {
            Some(partner) => {
                fetch(&own, partner, dial, header, refer.id);
                None
            }
            None => Some(Referral::Forbidden),
        },
    };
    if outcome == Some(Referral::Forbidden) {
        own.set_var("endpoint_disposition", "ATTENDED_TRANSFER_ERROR");
    }
    let outcome = outcome.unwrap_or(Referral::Trying);
    let told = Indication::Referral { id: refer.id, outcome };
    session.indicate(told).await;
}

async fn blind(session: &mut Session, partner: Option<Arc<Channel>>, refer: &Refer) {
    let own = Arc::clone(session.channel());
    let Some(partner) = partner else {
        own.fire_custom(
            "sofia::error",
            |event| {
                event.push("Error-Type", "blind_transfer");
                event.push("Transfer-Exten", refer.to.as_str());
                event.push("Full-Refer-To", refer.refer_to.as_str());
            },
            |_| {},
        );
        own.set_var("endpoint_disposition", "ATTENDED_TRANSFER_ERROR");
        let told = Indication::Referral { id: refer.id, outcome: Referral::Forbidden };
        session.indicate(told).await;
        return;
    };
    transfer::tell_moved(&own, &partner);
    own.set_var("transfer_disposition", "recv_replace");
    own.set_var("transfer_to", format!("blind:{}", partner.uuid()));
    own.set_var("transfer_destination", format!("blind:{}", far::mark(&refer.to)));
    own.set_var("transfer_fallback_extension", own.profile().destination_number.clone());
    own.set_var("endpoint_disposition", "BLIND_TRANSFER");
    own.unset_var("signal_bond");
    partner.unset_var("signal_bond");
    let moved = transfer::transfer(&partner, &far::mark(&refer.to), None, None);
    let told = Indication::Referral { id: refer.id, outcome: done_if(moved) };
    session.indicate(told).await;
    if own.leads() {
        own.hangup(Cause::BLIND_TRANSFER);
    }
}

/// Two calls of the one who asks become one of the others. The outcome, if it is known at once.
async fn attended(
    own: &Arc<Channel>,
    partner: Option<Arc<Channel>>,
    other: Arc<Channel>,
    refer: &Refer,
) -> Option<Referral> {
    let far = other.partner();
    own.set_var("refer_uuid", &**other.uuid());
    own.set_var("transfer_disposition", "recv_replace");
    other.set_var("transfer_disposition", "replaced");
    let denies = |leg: &Arc<Channel>| leg.is_true("deny_refer_requests");
    if [Some(own), Some(&other), partner.as_ref(), far.as_ref()].into_iter().flatten().any(denies) {
        return Some(Referral::Forbidden);
    }
    let answer = if partner.is_some() && far.is_none() { answer_of(&other) } else { None };
    match (partner, far) {
        (Some(partner), Some(far)) if !far.is_answered() => {
            far.flags.kept.store(true, Ordering::Relaxed);
            wait_for_answer(own, partner, other, Awaited::Early(far), refer.id).await;
        }
        (Some(partner), Some(far)) => {
            transfer::tell_moved(own, &partner);
            transfer::tell_moved(&other, &far);
            own.set_var("transfer_to", format!("att:{}", far.uuid()));
            other.set_var("endpoint_disposition", "ATTENDED_TRANSFER");
            far.set_var("transfer_disposition", "bridge");
            crate::foreign::spawn(join(Arc::clone(own), partner, Some(other), far, refer.id));
        }
        (Some(partner), None) => {
            if let Some(told) = answer {
                wait_for_answer(own, partner, other, Awaited::Dialled(told), refer.id).await;
                return None;
            }
            // The other call has no far end but the switch: who is transferred goes where it went.
            transfer::tell_moved(&other, &partner);
            let moved = go_where(&partner, &other);
            other.hangup(Cause::ATTENDED_TRANSFER);
            return Some(done_if(moved));
        }
        (None, Some(far)) => {
            transfer::tell_moved(own, &far);
            let moved = go_where(&far, own);
            other.hangup(Cause::ATTENDED_TRANSFER);
            let (own, id) = (Arc::clone(own), refer.id);
            report(&own, id, done_if(moved));
            let _full = own.job(Box::new(|session| {
                Box::pin(async move { session.channel().hangup(Cause::ATTENDED_TRANSFER) })
            }));
        }
        (None, None) => {
            tracing::warn!(uuid = %own.uuid(), "Cannot transfer channels that are not in a bridge.");
            return Some(Referral::Forbidden);
        }
    }
    None
}

/// Sends a leg to what another called.
fn go_where(leg: &Arc<Channel>, called: &Channel) -> bool {
    match called.var("inline_destination") {
        Some(inline) => transfer::transfer(leg, &inline, Some("inline"), None),
        None => transfer::transfer(leg, &called.profile().destination_number, None, None),
    }
}

type Answer = oneshot::Receiver<Result<Arc<Channel>, Cause>>;

/// If the leg dials, the answering leg is ours.
fn answer_of(leg: &Channel) -> Option<Answer> {
    let (tell, told) = oneshot::channel();
    leg.with(|data| {
        let dials = leg.flags.dials.load(Ordering::Relaxed);
        dials.then(|| data.hand_over = Some(tell))
    })?;
    Some(told)
}

/// Who is to be answered.
enum Awaited {
    /// The leg that answers what the other leg dials.
    Dialled(Answer),
    /// A leg in early media.
    Early(Arc<Channel>),
}

impl Awaited {
    async fn answered(self) -> Result<Arc<Channel>, Cause> {
        let leg = match self {
            Self::Early(leg) => leg,
            Self::Dialled(told) => told.await.unwrap_or(Err(Cause::NORMAL_CLEARING))?,
        };
        let mut watch = leg.watch();
        while !leg.is_answered() {
            if !leg.is_up() || watch.changed().await.is_err() {
                return Err(leg.cause().unwrap_or(Cause::NORMAL_CLEARING));
            }
        }
        Ok(leg)
    }
}

/// The call to be taken over still rings: `partner` hears music until it is answered.
async fn wait_for_answer(
    own: &Arc<Channel>,
    partner: Arc<Channel>,
    other: Arc<Channel>,
    awaited: Awaited,
    id: u32,
) {
    other.set_var("transfer_to", format!("satt:{}", partner.uuid()));
    other.set_var("endpoint_disposition", "ATTENDED_TRANSFER");
    partner.flags.kept.store(true, Ordering::Relaxed);
    let music = hold::waiting_music(&partner).await.unwrap_or_else(|| RINGING.to_owned());
    let plays = !partner.is_broadcasting();
    if plays {
        broadcast::play_endlessly(&partner, &music);
    }
    let own = Arc::clone(own);
    crate::foreign::spawn(async move {
        let early = match &awaited {
            Awaited::Early(leg) => Some(Arc::clone(leg)),
            Awaited::Dialled(_) => None,
        };
        let outcome = tokio::select! {
            outcome = awaited.answered() => outcome,
            () = Arc::clone(&partner).hung_up() => Err(Cause::ORIGINATOR_CANCEL),
            () = play_hold_music(&own, &partner, &music) => Err(Cause::ORIGINATOR_CANCEL),
        };
        early.iter().for_each(|leg| leg.flags.kept.store(false, Ordering::Relaxed));
        match outcome {
            Ok(far) => join(own, partner, Some(other), far, id).await,
            Err(cause) => {
                partner.flags.kept.store(false, Ordering::Relaxed);
                report(&own, id, Referral::Failed(cause));
                other.hangup(cause);
                early.iter().for_each(|leg| leg.hangup(cause));
                if plays || !own.is_up() {
                    partner.stop_broadcast();
                }
                // There is no leg left to go back to.
                if !own.is_up() && partner.running() == State::Park {
                    partner.hangup(cause);
                }
                partner.notify();
            }
        }
    });
}

/// Sees to it that `partner` hears its music when the transferor has left; never ends before `partner` does.
async fn play_hold_music(own: &Arc<Channel>, partner: &Arc<Channel>, music: &str) {
    Arc::clone(own).hung_up().await;
    let mut watch = partner.watch();
    let mut begun = false;
    while partner.is_up() {
        if !begun && partner.running() == State::Park {
            begun = true;
            broadcast::play_endlessly(partner, music);
        }
        if watch.changed().await.is_err() {
            return;
        }
    }
}

/// Bridges two legs, tells the transferor, and ends both of its calls.
async fn join(
    own: Arc<Channel>,
    partner: Arc<Channel>,
    other: Option<Arc<Channel>>,
    far: Arc<Channel>,
    id: u32,
) {
    // Their legs wait for what is said to them: what follows a bridge in their dialplan is not for them.
    let left = [Some(&own), other.as_ref()];
    for leg in left.into_iter().flatten() {
        leg.flags.awaited.store(true, Ordering::Relaxed);
    }
    uuid_bridge::join(&partner, &far);
    for leg in [&partner, &far] {
        leg.flags.kept.store(false, Ordering::Relaxed);
    }
    let together = together(&partner, &far).await;
    report(&own, id, done_if(together));
    for leg in left.into_iter().flatten() {
        // Behind what is reported.
        let ending = leg.job(Box::new(|session| {
            Box::pin(async move { session.channel().hangup(Cause::ATTENDED_TRANSFER) })
        }));
        if ending.is_err() {
            leg.hangup(Cause::ATTENDED_TRANSFER);
        }
    }
}

/// Waits until two legs are bridged to each other; false if that does not happen.
async fn together(a: &Arc<Channel>, b: &Arc<Channel>) -> bool {
    let mut watch = b.watch();
    let bridged = async {
        while b.is_up() && a.is_up() {
            let met = a.bridge().is_some_and(|bridge| bridge.partner_of(a.uuid()) == b.uuid());
            if met && b.running() == State::ExchangeMedia {
                return true;
            }
            if watch.changed().await.is_err() {
                return false;
            }
        }
        false
    };
    tokio::time::timeout(JOINING, bridged).await.unwrap_or(false)
}

/// The call to be taken over is elsewhere: the switch that has it is asked for it.
fn fetch(own: &Arc<Channel>, partner: Arc<Channel>, dial: &str, header: &str, id: u32) {
    let variables = vec![
        ("sip_h_Replaces".to_owned(), header.to_owned()),
        ("ignore_early_media".to_owned(), "true".to_owned()),
    ];
    let request = Request { dial: dial.to_owned(), variables, ..Request::default() };
    let own = Arc::clone(own);
    crate::foreign::spawn(async move {
        let switch = Arc::clone(own.switch());
        let called = originate::originate(&switch, &request, None);
        let outcome = tokio::select! {
            outcome = called => outcome.map_err(|failure| failure.cause),
            () = Arc::clone(&partner).hung_up() => Err(Cause::ORIGINATOR_CANCEL),
        };
        match outcome {
            Ok(far) => join(own, partner, None, far, id).await,
            Err(_) => report(&own, id, Referral::Forbidden),
        }
    });
}

fn done_if(done: bool) -> Referral {
    if done { Referral::Done } else { Referral::Failed(Cause::NORMAL_TEMPORARY_FAILURE) }
}

fn report(own: &Arc<Channel>, id: u32, outcome: Referral) {
    let _full = own.job(Box::new(move |session| {
        Box::pin(async move {
            let _told = session.indicate(Indication::Referral { id, outcome }).await;
        })
    }));
}
