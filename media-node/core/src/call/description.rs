//! Session descriptions between legs: handed on as values.
//!
//! The variables of the same names (`switch_r_sdp`: the far end's, `switch_m_sdp`: the partner's) are written for
//! clients. They are read only where a client has set another text.

use std::sync::Arc;

use sdp::SessionDescription;

use super::Channel;

/// The far end's description.
pub const OF_FAR_END: &str = "switch_r_sdp";
/// The description of the partner's far end.
pub const OF_PARTNER: &str = "switch_m_sdp";

/// What a channel's variables were set from: name, text, value.
#[derive(Default)]
struct Known(Vec<(&'static str, String, Arc<SessionDescription>)>);

impl Channel {
    /// Keeps a description and shows it under its name.
    pub fn set_description(&self, name: &'static str, value: Arc<SessionDescription>) {
        let text = value.to_string();
        self.set_heard_var(name, &text);
        self.with(|data| {
            let Known(known) = data.slot();
            known.retain(|(other, ..)| *other != name);
            known.push((name, text, value));
        });
    }

    /// The description of this name.
    #[must_use]
    pub fn description(&self, name: &'static str) -> Option<Arc<SessionDescription>> {
        let shown = self.var(name)?;
        let known = self.with(|data| {
            let Known(known) = data.find_slot()?;
            let kept = known.iter().find(|(other, text, _)| *other == name && *text == shown)?;
            Some(Arc::clone(&kept.2))
        });
        known.or_else(|| SessionDescription::parse(&shown).ok().map(Arc::new))
    }

    /// Tells this leg how the partner's far end describes itself, if it has done so.
    pub fn note_partner(&self, partner: &Self) {
        if let Some(value) = partner.description(OF_FAR_END) {
            self.set_description(OF_PARTNER, value);
        }
    }
}
