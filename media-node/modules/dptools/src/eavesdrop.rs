//! `eavesdrop`: hearing another call, and speaking to one side of it or to both.

use std::sync::Arc;

use media::Leg;
use media::leg::Listening;
use media::record::RecordMix;

use super::{App, Flags};
use crate::app;
use crate::call::{AppResult, Channel, Interrupt, Session, Wake};
use crate::text;

/// The family.
pub const APPS: &[App] = &[
    app!("eavesdrop", "mod_dptools", Flags::NONE, "[all | <uuid>]", "Eavesdrop on a uuid", run),
    app!(
        "three_way",
        "mod_dptools",
        Flags::NONE,
        "<uuid>",
        "Three way call with a uuid",
        three_way
    ),
];

/// Which of the two sides hear the listener.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Whisper {
    target: bool,
    partner: bool,
}

impl Whisper {
    /// What a key of the listener means: 0 nobody, 1 the partner, 2 the one listened to, 3 both.
    fn of(key: char) -> Option<Self> {
        match key {
            '0' => Some(Self::default()),
            '1' => Some(Self { target: false, partner: true }),
            '2' => Some(Self { target: true, partner: false }),
            '3' => Some(Self { target: true, partner: true }),
            _ => None,
        }
    }
}

/// One side hearing the listener.
struct Voice {
    leg: Arc<Leg>,
    listening: Listening,
}

async fn run(session: &mut Session, argument: &str) -> AppResult {
    let wanted = argument.trim();
    if !wanted.eq_ignore_ascii_case("all") {
        return match session.switch().channel(wanted) {
            Some(target) => listen(session, &target, Whisper::default()).await.map(|_| ()),
            None => {
                tracing::error!(uuid = %session.channel().uuid(), "Cannot locate session {wanted}");
                Ok(())
            }
        };
    }
    // One call after the other, until the listener leaves or nobody is left to hear.
    let mut heard = Vec::new();
    loop {
        let own = Arc::clone(session.channel());
        let next = session.switch().channels().into_iter().find(|c| {
            c.uuid() != own.uuid() && c.is_answered() && c.is_up() && !heard.contains(c.uuid())
        });
        let Some(target) = next else {
            if heard.is_empty() {
                session.sleep(std::time::Duration::from_secs(1)).await?;
            }
            heard.clear();
            continue;
        };
        heard.push(Arc::clone(target.uuid()));
        if !listen(session, &target, Whisper::default()).await? {
            return Ok(());
        }
    }
}

async fn three_way(session: &mut Session, argument: &str) -> AppResult {
    let Some(target) = session.switch().channel(argument.trim()) else { return Ok(()) };
    listen(session, &target, Whisper { target: true, partner: true }).await.map(|_| ())
}

/// May this listener hear that call? Where the call names groups, one of them must be the
/// listener's.
fn allowed(listener: &Channel, target: &Channel) -> bool {
    let Some(required) = listener.variable("eavesdrop_require_group") else { return true };
    let groups = target.variable("eavesdrop_group").unwrap_or_default();
    let named = |group: &str| groups.split(',').any(|g| g.trim().eq_ignore_ascii_case(group));
    required.split(',').map(str::trim).any(named)
}

/// Hears the target until it ends, `*` asks for the next one (true), or the wait is broken (false).
async fn listen(
    session: &mut Session,
    target: &Arc<Channel>,
    begin: Whisper,
) -> Result<bool, Interrupt> {
    let own = Arc::clone(session.channel());
    let (Some(ears), Some(source)) = (own.media(), target.media()) else { return Ok(true) };
    if target.uuid() == own.uuid() || !allowed(&own, target) {
        tracing::warn!(uuid = %own.uuid(), "{} may not be listened to", target.uuid());
        return Ok(true);
    }
    let Ok(heard) = ears.listen_to(&source, RecordMix::Mono, false) else { return Ok(true) };
    own.set_var("eavesdrop_target", &**target.uuid());
    let mut voices = speak(&ears, &source, target, begin);
    let result = attend(session, target, |whisper| {
        hush(&ears, voices.drain(..));
        voices = speak(&ears, &source, target, whisper);
    })
    .await;
    hush(&ears, voices.drain(..));
    let _ended = ears.stop_listening(&source, heard);
    result
}

async fn attend(
    session: &mut Session,
    target: &Arc<Channel>,
    mut turn: impl FnMut(Whisper),
) -> Result<bool, Interrupt> {
    let keys = session.channel().variable("eavesdrop_enable_dtmf");
    let keys = keys.is_none_or(|v| text::is_true(&v));
    let mut watch = target.watch();
    loop {
        if !target.is_up() {
            return Ok(true);
        }
        while let Some(digit) = session.take_digit() {
            if digit.digit == '*' {
                return Ok(true);
            }
            if let (true, Some(whisper)) = (keys, Whisper::of(digit.digit)) {
                turn(whisper);
            }
        }
        let woken = session.wait_or(None, watch.changed()).await?;
        if matches!(woken, futures_util::future::Either::Left(Wake::Broken)) {
            return Ok(false);
        }
    }
}

/// Lets the wanted sides hear the listener.
fn speak(voice: &Leg, source: &Arc<Leg>, target: &Channel, whisper: Whisper) -> Vec<Voice> {
    let partner = target.partner().and_then(|p| p.media());
    let sides =
        [whisper.target.then(|| Arc::clone(source)), if whisper.partner { partner } else { None }];
    let begin = |leg: Arc<Leg>| {
        let listening = leg.listen_to(voice, RecordMix::ReadOnly, true).ok()?;
        Some(Voice { leg, listening })
    };
    sides.into_iter().flatten().filter_map(begin).collect()
}

fn hush(voice: &Leg, voices: impl Iterator<Item = Voice>) {
    for Voice { leg, listening } in voices {
        let _ended = leg.stop_listening(voice, listening);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_choose_who_hears_the_listener() {
        assert_eq!(Whisper::of('0'), Some(Whisper::default()));
        assert_eq!(Whisper::of('1').map(|w| (w.target, w.partner)), Some((false, true)));
        assert_eq!(Whisper::of('2').map(|w| (w.target, w.partner)), Some((true, false)));
        assert_eq!(Whisper::of('3').map(|w| (w.target, w.partner)), Some((true, true)));
        assert_eq!(Whisper::of('#'), None);
    }
}
