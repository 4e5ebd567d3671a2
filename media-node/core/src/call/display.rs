//! Whom the far ends are shown to be talking to, and how that is told to programs (CALL_UPDATE).

use std::sync::Arc;
use std::sync::atomic::Ordering;

use esl_server::EventName;

use super::channel::Channel;
use super::endpoint::Indication;

/// A name and number, as a display shows them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Party {
    /// Name.
    pub name: String,
    /// Number.
    pub number: String,
}

impl Channel {
    /// Books that the far end is shown a party, and tells programs. False when its display stays as it is: nothing is
    /// there to look at it, it shows the party already, or the call ignores such news (`ignore_display_updates`).
    pub fn note_shown(&self, party: &Party) -> bool {
        let Party { name, number } = party;
        if !name.is_empty() {
            self.set_heard_var("last_sent_callee_id_name", name);
        }
        if !number.is_empty() {
            self.set_heard_var("last_sent_callee_id_number", number);
        }
        if self.is_true("ignore_display_updates") || name.is_empty() || name == "_undef_" {
            return false;
        }
        let number = if number.is_empty() {
            self.profile().destination_number.clone()
        } else {
            number.clone()
        };
        let shown = (name.clone(), number);
        let news = self.is_answered()
            && self.with(|data| {
                let news = data.shown.as_ref() != Some(&shown);
                if news {
                    data.shown = Some(shown.clone());
                    data.sent_callee = shown.clone();
                    data.callee_direction = "SEND";
                }
                news
            });
        if news {
            let partner = self.partner_uuid();
            self.fire_with(
                EventName::CallUpdate,
                |event| {
                    event.push("Direction", "SEND");
                    event.push("Sent-Callee-ID-Name", shown.0.as_str());
                    event.push("Sent-Callee-ID-Number", shown.1.as_str());
                    event.push_some("Bridged-To", partner.as_deref());
                },
                |_| {},
            );
        }
        news
    }

    /// Shows the far end a party, from outside the call's task.
    pub fn show_party(&self, party: Party) {
        if !self.note_shown(&party) {
            return;
        }
        let what = Indication::Display { name: party.name, number: party.number };
        let told = self.job(Box::new(move |session| {
            Box::pin(async move {
                let _not_every_leg_has_a_display = session.indicate(what).await;
            })
        }));
        if told.is_err() {
            tracing::warn!(uuid = %self.uuid(), "A new display is lost: the call's queue is full");
        }
    }

    /// The far end says who it is now. Programs are told, and the other leg's display follows.
    pub fn learn_party(&self, party: &Party, tell: bool) {
        let caller = self.shows_caller();
        let changed = self.with(|data| {
            let Some(profile) = data.profile.as_deref_mut() else { return false };
            let (name, number) = if caller {
                (&mut profile.caller_id_name, &mut profile.caller_id_number)
            } else {
                (&mut profile.callee_id_name, &mut profile.callee_id_number)
            };
            let changed = *name != party.name || *number != party.number;
            name.clone_from(&party.name);
            number.clone_from(&party.number);
            changed
        });
        if !(changed && tell) {
            return;
        }
        self.with(|data| {
            data.callee_direction = "RECV";
            data.sent_callee = Default::default();
        });
        let partner = self.partner_uuid();
        self.fire_with(
            EventName::CallUpdate,
            |event| {
                event.push("Direction", "RECV");
                event.push_some("Bridged-To", partner.as_deref());
            },
            |_| {},
        );
        if let Some(partner) = self.partner() {
            partner.show_party(party.clone());
        }
    }

    /// Is the far end the caller of this leg (and not the one who was called)?
    #[must_use]
    pub fn shows_caller(&self) -> bool {
        self.direction() == super::Direction::Inbound || self.hit_dialplan()
    }

    fn partner_uuid(&self) -> Option<Arc<str>> {
        let bridged = self.bridge().map(|bridge| Arc::clone(bridge.partner_of(self.uuid())));
        bridged.or_else(|| self.own_var("signal_bond").map(Into::into))
    }
}

/// Are both far ends in a state to be told whom they talk to: answered, and the answers acknowledged?
pub(super) fn can_be_told(own: &Channel, peer: &Channel) -> bool {
    let ready = |leg: &Channel| leg.is_answered() && !leg.flags.awaits_ack.load(Ordering::Relaxed);
    ready(own) && ready(peer)
}

/// Tells both sides of a bridge whom they talk to. `own` began it: it sees whom it called, the other who calls.
pub(super) fn of_bridge(own: &Channel, peer: &Channel) {
    let (near, far) = (own.profile(), peer.profile());
    let number = first([&far.callee_id_number, &far.destination_number]);
    own.show_party(party(&far.callee_id_name, &number));
    let number = first([&far.caller_id_number, &near.caller_id_number]);
    let number = if number.is_empty() { "UNKNOWN".to_owned() } else { number };
    peer.show_party(party(&first([&far.caller_id_name, &near.caller_id_name]), &number));
}

fn party(name: &str, number: &str) -> Party {
    let name = if name.is_empty() { number } else { name };
    let plain = |text: &str| text.rsplit('/').next().unwrap_or(text).to_owned();
    Party { name: plain(name), number: plain(number) }
}

fn first(choices: [&String; 2]) -> String {
    choices.into_iter().find(|text| !text.is_empty()).cloned().unwrap_or_default()
}
