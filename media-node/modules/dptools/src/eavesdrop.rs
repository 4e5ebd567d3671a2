//! `eavesdrop`: hearing another call, and speaking to one side of it or to both.

use std::sync::Arc;
use std::time::Duration;

use media::Leg;
use media::leg::Listening;
use media::record::RecordMix;
use tokio::time::Instant;

use super::{App, Flags};
use crate::app;
use crate::app::play::{Keys, Play};
use crate::call::{AppResult, Channel, Interrupt, Session, Wake};
use crate::text;

/// The family.
pub const APPS: &[App] = &[
    app!("eavesdrop", "mod_dptools", Flags::NONE, "[all | <uuid>]", "Eavesdrop on a uuid", run),
    app!(
        "native_eavesdrop",
        "mod_dptools",
        Flags::NONE,
        "<uuid> [read|write]",
        "eavesdrop on a uuid",
        native
    ),
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
    /// What a key of the listener means: 0 none, 1 the partner, 2 the one listened to, 3 both.
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

/// How one listens: keys, whom one speaks to from the start, which side one hears.
#[derive(Clone, Copy, Debug)]
struct Manner {
    /// Keys of the listener have their meanings.
    keys: bool,
    whisper: Whisper,
    /// What the one listened to says (`aleg`), and what he hears (`bleg`).
    hears: (bool, bool),
}

/// Without keys, without a voice.
const QUIET: Manner =
    Manner { keys: false, whisper: Whisper { target: false, partner: false }, hears: (true, true) };

impl Manner {
    /// As the listener's variables say it.
    fn of(channel: &Channel) -> Self {
        let on = |name: &str| channel.variable(name).is_some_and(|v| text::is_true(&v));
        let keys = channel.variable("eavesdrop_enable_dtmf");
        let hears = (on("eavesdrop_bridge_aleg"), on("eavesdrop_bridge_bleg"));
        Self {
            keys: keys.is_none_or(|v| text::is_true(&v)),
            whisper: Whisper {
                target: on("eavesdrop_whisper_bleg"),
                partner: on("eavesdrop_whisper_aleg"),
            },
            hears: if hears == (false, false) { (true, true) } else { hears },
        }
    }

    /// The audio heard.
    fn mix(self) -> RecordMix {
        match self.hears {
            (true, false) => RecordMix::ReadOnly,
            (false, true) => RecordMix::WriteOnly,
            _ => RecordMix::Mono,
        }
    }

    /// One speaks only where one is in the way of the audio: to the partner through what the target
    /// says, to the target through what he hears.
    fn reach(self, wanted: Whisper) -> Whisper {
        Whisper { target: wanted.target && self.hears.1, partner: wanted.partner && self.hears.0 }
    }
}

/// How listening to one call went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Heard {
    /// It was heard to its end, or until `*`.
    Over,
    /// It is not of the group one may hear.
    Refused,
    /// It could not be heard.
    Failed,
    /// The wait was broken.
    Broken,
}

/// Pauses of `eavesdrop all`: after a failure, and while there are no calls.
const AFTER_FAILURE: Duration = Duration::from_secs(5);
const WHILE_IDLE: Duration = Duration::from_secs(2);

async fn run(session: &mut Session, argument: &str) -> AppResult {
    let wanted = argument.trim();
    let own = Arc::clone(session.channel());
    let manner = Manner::of(&own);
    let group = own.variable("eavesdrop_require_group").filter(|group| !group.is_empty());
    if !wanted.eq_ignore_ascii_case("all") {
        return match session.switch().channel(wanted) {
            Some(target) => listen(session, &target, manner, group.as_deref()).await.map(|_| ()),
            None => {
                tracing::error!(uuid = %own.uuid(), "Cannot locate session {wanted}");
                Ok(())
            }
        };
    }
    loop {
        // One call after the other, those there are now.
        let mut all = session.switch().channels();
        all.retain(|c| c.uuid() != own.uuid());
        if all.is_empty() {
            indicate(session, "eavesdrop_indicate_idle").await?;
            pause(session, WHILE_IDLE).await?;
        }
        let mut heard = false;
        for target in all.iter().filter(|target| target.is_up()) {
            indicate(session, "eavesdrop_indicate_new").await?;
            match listen(session, target, manner, group.as_deref()).await? {
                Heard::Over => heard = true,
                Heard::Refused => {}
                Heard::Broken => return Ok(()),
                Heard::Failed => {
                    heard = true;
                    indicate(session, "eavesdrop_indicate_failed").await?;
                    pause(session, AFTER_FAILURE).await?;
                }
            }
        }
        if !heard && !all.is_empty() {
            // Only calls one may not hear: the next look need not be at once.
            pause(session, WHILE_IDLE).await?;
        }
    }
}

/// Plays the file a variable names.
async fn indicate(session: &mut Session, variable: &str) -> AppResult {
    let file = session.channel().variable(variable).filter(|file| !file.is_empty());
    if let Some(file) = file {
        session.play(Play::once(&file, Keys::Stop(""))).await?;
    }
    Ok(())
}

/// Waits that long, or until `*`.
async fn pause(session: &mut Session, time: Duration) -> AppResult {
    let until = Instant::now() + time;
    loop {
        while let Some(digit) = session.take_digit() {
            if digit.digit == '*' {
                return Ok(());
            }
        }
        if matches!(session.wait(Some(until)).await?, Wake::Timeout | Wake::Broken) {
            return Ok(());
        }
    }
}

/// Hears one side of a call alone, and says nothing: what the target says, or with `write` what he hears. The reference
/// passes the target's packets on as they are; here they are decoded like all that is listened to.
async fn native(session: &mut Session, argument: &str) -> AppResult {
    let words = text::words(argument, 2);
    let own = Arc::clone(session.channel());
    let Some(wanted) = words.first() else {
        tracing::warn!(uuid = %own.uuid(), "INVALID ARGS usage (<uuid> [read|write])");
        return Ok(());
    };
    let Some(target) = session.switch().channel(wanted) else {
        tracing::error!(uuid = %own.uuid(), "Cannot locate session {wanted}");
        return Ok(());
    };
    let write = words.get(1).is_some_and(|side| side.eq_ignore_ascii_case("write"));
    let group = own.variable("eavesdrop_require_group").filter(|group| !group.is_empty());
    listen(session, &target, Manner { hears: (!write, write), ..QUIET }, group.as_deref())
        .await
        .map(|_| ())
}

async fn three_way(session: &mut Session, argument: &str) -> AppResult {
    let Some(target) = session.switch().channel(argument.trim()) else { return Ok(()) };
    let both = Whisper { target: true, partner: true };
    let manner = Manner { keys: false, whisper: both, hears: (true, true) };
    listen(session, &target, manner, None).await.map(|_| ())
}

/// May one who has to be heard in that group hear this call? One of the groups it names must be that.
fn allowed(required: Option<&str>, groups: Option<&str>) -> bool {
    let Some(required) = required else { return true };
    groups.is_some_and(|groups| groups.split(',').any(|group| group.trim() == required))
}

/// Hears the target until it ends, `*` asks for the next one, or the wait is broken.
async fn listen(
    session: &mut Session,
    target: &Arc<Channel>,
    manner: Manner,
    group: Option<&str>,
) -> Result<Heard, Interrupt> {
    let own = Arc::clone(session.channel());
    let (Some(ears), Some(source)) = (own.media(), target.media()) else {
        return Ok(Heard::Failed);
    };
    if target.uuid() == own.uuid() {
        tracing::error!(uuid = %own.uuid(), "Eavesdrop target invalid.");
        return Ok(Heard::Failed);
    }
    if !allowed(group, target.variable("eavesdrop_group").as_deref()) {
        return Ok(Heard::Refused);
    }
    let whisper = manner.reach(manner.whisper);
    let mut heard = hear(&ears, &source, target, manner, whisper);
    if heard.is_empty() {
        return Ok(Heard::Failed);
    }
    own.set_var("eavesdrop_target", &**target.uuid());
    let mut voices = speak(&ears, &source, target, whisper);
    let result = attend(session, target, manner.keys, |whisper| {
        hush(&ears, voices.drain(..));
        turn_away(&ears, heard.drain(..));
        let whisper = manner.reach(whisper);
        heard = hear(&ears, &source, target, manner, whisper);
        voices = speak(&ears, &source, target, whisper);
    })
    .await;
    hush(&ears, voices.drain(..));
    turn_away(&ears, heard.drain(..));
    result
}

/// Lets the listener hear the wanted sides. One that speaks to the target is part of what the target hears, and would
/// hear itself there: the partner is heard at its own leg then.
fn hear(
    ears: &Leg,
    source: &Arc<Leg>,
    target: &Channel,
    manner: Manner,
    whisper: Whisper,
) -> Vec<Voice> {
    let partner = target.partner().and_then(|partner| partner.media());
    let both = manner.hears == (true, true);
    let sides = match partner.filter(|_| whisper.target && both) {
        Some(partner) => {
            vec![
                (Arc::clone(source), RecordMix::ReadOnly, false),
                (partner, RecordMix::ReadOnly, true),
            ]
        }
        None => vec![(Arc::clone(source), manner.mix(), false)],
    };
    let begin = |(leg, mix, over): (Arc<Leg>, RecordMix, bool)| {
        let listening = ears.listen_to(&leg, mix, over).ok()?;
        Some(Voice { leg, listening })
    };
    sides.into_iter().filter_map(begin).collect()
}

fn turn_away(ears: &Leg, heard: impl Iterator<Item = Voice>) {
    for Voice { leg, listening } in heard {
        let _ended = ears.stop_listening(&leg, listening);
    }
}

async fn attend(
    session: &mut Session,
    target: &Arc<Channel>,
    keys: bool,
    mut turn: impl FnMut(Whisper),
) -> Result<Heard, Interrupt> {
    let mut watch = target.watch();
    loop {
        if !target.is_up() {
            return Ok(Heard::Over);
        }
        while let Some(digit) = if keys { session.take_digit() } else { None } {
            if digit.digit == '*' {
                return Ok(Heard::Over);
            }
            if let Some(whisper) = Whisper::of(digit.digit) {
                turn(whisper);
            }
        }
        let woken = session.wait_or(None, watch.changed()).await?;
        if matches!(woken, futures_util::future::Either::Left(Wake::Broken)) {
            return Ok(Heard::Broken);
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
    fn a_group_is_one_of_those_the_call_names() {
        assert!(allowed(None, None));
        assert!(!allowed(Some("sales"), None));
        assert!(allowed(Some("sales"), Some("support, sales")));
        assert!(!allowed(Some("sale"), Some("support,sales")));
    }

    #[test]
    fn one_speaks_only_into_what_one_listens_to() {
        let both = Whisper { target: true, partner: true };
        let manner = |hears| Manner { keys: true, whisper: Whisper::default(), hears };
        assert_eq!(manner((true, true)).reach(both), both);
        assert_eq!(manner((true, false)).reach(both), Whisper { target: false, partner: true });
        assert_eq!(manner((true, false)).mix(), RecordMix::ReadOnly);
        assert_eq!(manner((false, true)).mix(), RecordMix::WriteOnly);
    }

    #[test]
    fn keys_choose_who_hears_the_listener() {
        assert_eq!(Whisper::of('0'), Some(Whisper::default()));
        assert_eq!(Whisper::of('1').map(|w| (w.target, w.partner)), Some((false, true)));
        assert_eq!(Whisper::of('2').map(|w| (w.target, w.partner)), Some((true, false)));
        assert_eq!(Whisper::of('3').map(|w| (w.target, w.partner)), Some((true, true)));
        assert_eq!(Whisper::of('#'), None);
    }
}
