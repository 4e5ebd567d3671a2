//! What happens to digits before applications see them: `deduplicate_dtmf`, and the change between events and tones
//! (`start_dtmf`, `start_dtmf_generate` and their namesakes of mod_spandsp).

use std::sync::Arc;
use std::sync::atomic::Ordering;

use esl_server::event::EventName;

use super::digit_machine::DigitMachine;
use super::meta_keys::MetaKeys;
use super::{App, Flags};
use crate::app;
use crate::call::{AppResult, Channel, Digit, DigitSource, Session, bridge};

/// The family.
pub const APPS: &[App] = &[
    app!("start_dtmf", "mod_dptools", Flags::NONE, "", "Detect dtmf", start_dtmf),
    app!("stop_dtmf", "mod_dptools", Flags::NONE, "", "stop inband dtmf", stop_dtmf),
    app!(
        "spandsp_start_dtmf",
        "mod_spandsp",
        Flags::NONE,
        "",
        "Detect dtmf on the session",
        start_dtmf
    ),
    app!("spandsp_stop_dtmf", "mod_spandsp", Flags::NONE, "", "stop inband dtmf", stop_dtmf),
    app!(
        "start_dtmf_generate",
        "mod_dptools",
        Flags::NONE,
        "[write]",
        "Generate dtmf",
        start_dtmf_generate
    ),
    app!(
        "stop_dtmf_generate",
        "mod_dptools",
        Flags::NONE,
        "[write]",
        "stop inband dtmf generation",
        stop_dtmf_generate
    ),
    app!(
        "deduplicate_dtmf",
        "mod_dptools",
        Flags::NO_MEDIA,
        "[only_rtp]",
        "Prevent duplicate inband + 2833 dtmf",
        deduplicate_dtmf
    ),
];

/// A channel's filter.
#[derive(Debug, Default)]
pub struct Filter {
    /// Digits received as events are heard as tones by the partner.
    heard_as_tones: bool,
    duplicates: Option<Duplicates>,
}

/// Keeps the same key from counting twice when it comes as event and as tone.
#[derive(Debug)]
struct Duplicates {
    only_rtp: bool,
    last: Option<(char, DigitSource)>,
}

impl Duplicates {
    fn admits(&mut self, digit: Digit) -> bool {
        let always = matches!(digit.source, DigitSource::App | DigitSource::Unknown);
        if self.only_rtp {
            return always || digit.source == DigitSource::Rtp;
        }
        // Events are preferred: once there are some, nothing else counts.
        self.only_rtp = digit.source == DigitSource::Rtp;
        let before = self.last.replace((digit.digit, digit.source));
        always || before.is_none_or(|(key, source)| source == digit.source || key != digit.digit)
    }
}

/// Whether a received digit is for anybody. Fires the event of one that becomes a tone.
pub fn admits(channel: &Channel, digit: Digit) -> bool {
    let (admitted, as_tone, seen) = channel.with(|data| {
        let Some(filter) = data.find_slot::<Filter>() else { return (true, false, false) };
        let as_tone = filter.heard_as_tones && digit.source == DigitSource::Rtp;
        let seen = filter.duplicates.is_some();
        let single = filter.duplicates.as_mut().is_none_or(|d| d.admits(digit));
        (single, as_tone, seen)
    });
    let seen_as = match digit.source {
        DigitSource::Endpoint => Some("deduplicate_dtmf_seen_endpoint"),
        DigitSource::Inband => Some("deduplicate_dtmf_seen_inband"),
        DigitSource::Rtp => Some("deduplicate_dtmf_seen_rtp"),
        DigitSource::App | DigitSource::Unknown => None,
    };
    if let Some(variable) = seen_as.filter(|_| seen) {
        channel.set_var(variable, "true");
    }
    if admitted && as_tone {
        channel.fire_with(
            EventName::Dtmf,
            |_| {},
            |event| {
                event.push("DTMF-Digit", digit.digit.to_string());
                event.push("DTMF-Duration", digit.duration.to_string());
                event.push("DTMF-Source", DigitSource::App.name());
                event.push("DTMF-Conversion", "native:inband");
            },
        );
    }
    admitted && !as_tone
}

/// Notes whether any of our own looks at a channel's digits before they count.
pub(super) fn note(channel: &Channel) {
    let filters = channel.with(|data| {
        data.find_slot::<Filter>().is_some_and(|filter| filter.duplicates.is_some())
            || data.find_slot::<MetaKeys>().is_some_and(|keys| !keys.is_empty())
            || data.find_slot::<DigitMachine>().is_some_and(|machine| !machine.is_empty())
    });
    channel.flags.filters_digits.store(filters, Ordering::Relaxed);
}

/// Changes a channel's filter; who passes digits on within a bridge is decided anew.
fn change(session: &Session, change: impl FnOnce(&mut Filter)) {
    let channel: &Arc<Channel> = session.channel();
    channel.with(|data| change(data.slot()));
    note(channel);
    bridge::digits_changed(channel);
}

async fn deduplicate_dtmf(session: &mut Session, argument: &str) -> AppResult {
    let only_rtp = argument.trim() == "only_rtp";
    change(session, |filter| {
        filter.duplicates.get_or_insert(Duplicates { only_rtp, last: None });
    });
    Ok(())
}

async fn start_dtmf(session: &mut Session, _argument: &str) -> AppResult {
    detect(session, true);
    Ok(())
}

async fn stop_dtmf(session: &mut Session, _argument: &str) -> AppResult {
    detect(session, false);
    Ok(())
}

fn detect(session: &Session, on: bool) {
    if let Some(leg) = session.channel().media() {
        let _closed = leg.detect_inband(on);
    }
}

/// Digits received become tones in what the partner hears; with `write`, digits sent become tones in what the caller
/// hears.
async fn start_dtmf_generate(session: &mut Session, argument: &str) -> AppResult {
    generate(session, argument.trim().eq_ignore_ascii_case("write"), true);
    Ok(())
}

async fn stop_dtmf_generate(session: &mut Session, _argument: &str) -> AppResult {
    generate(session, true, false);
    generate(session, false, false);
    Ok(())
}

fn generate(session: &Session, write: bool, on: bool) {
    let channel = session.channel();
    let Some(leg) = channel.media() else { return };
    let done = if write {
        channel.flags.sends_tones.store(on, Ordering::Relaxed);
        leg.send_digits_as_tones(on)
    } else {
        channel.with(|data| data.slot::<Filter>().heard_as_tones = on);
        leg.hear_digits_as_tones(on)
    };
    if let Err(error) = done {
        tracing::error!(uuid = %channel.uuid(), "Cannot generate tones: {error}");
    }
    bridge::digits_changed(channel);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digit(digit: char, source: DigitSource) -> Digit {
        Digit { digit, duration: 800, source }
    }

    #[test]
    fn a_key_counts_once_however_often_it_is_heard() {
        let mut filter = Duplicates { only_rtp: false, last: None };
        assert!(filter.admits(digit('1', DigitSource::Inband)));
        assert!(filter.admits(digit('1', DigitSource::Inband)), "pressed twice");
        assert!(!filter.admits(digit('1', DigitSource::Rtp)), "the same press as an event");
        assert!(
            !filter.admits(digit('2', DigitSource::Inband)),
            "events are preferred from now on"
        );
        assert!(filter.admits(digit('2', DigitSource::Rtp)));
        assert!(filter.admits(digit('3', DigitSource::App)), "applications are always heard");
    }
}
