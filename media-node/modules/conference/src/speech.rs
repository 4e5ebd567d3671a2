//! What is said in a room by an engine, files that are made or fetched when they are to be played, and rooms that fall
//! silent.

use std::sync::{Arc, Weak};
use std::time::Duration;

use media::source::split_params;

use super::member::Member;
use super::room::Room;
use crate::app::play::fetched;
use crate::call::Channel;
use crate::clock;

/// Speech as a file's name.
pub(super) const SCHEME: &str = "tts";
/// How often it is looked whether a room is silent.
const LOOK: Duration = Duration::from_secs(1);

/// The name under which a text is played: said by the engine and in the voice that `{tts_engine=…,tts_voice=…}` in
/// front of it names, or the room's. `None` without both.
pub(super) fn name_of(room: &Room, said: &str) -> Option<String> {
    let (params, words) = split_params(said);
    let own = |name: &str| {
        let found = params.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.clone()).filter(|value| !value.is_empty())
    };
    let engine = own("tts_engine").or_else(|| room.profile.sound("tts-engine"))?;
    let voice = own("tts_voice").or_else(|| room.profile.sound("tts-voice"))?;
    Some(format!("{SCHEME}://{engine}|{voice}|{words}"))
}

/// Is that the name of something said? What ends it is not told as the end of a file.
pub(super) fn is_said(name: &str) -> bool {
    split_params(name).1.strip_prefix(SCHEME).is_some_and(|rest| rest.starts_with("://"))
}

/// The file behind a name that has to be made or fetched first; other names as they are. `None` when it cannot be had,
/// which is logged.
pub(super) async fn file_behind(
    room: &Room,
    name: String,
    channel: Option<&Arc<Channel>>,
) -> Option<String> {
    let Some(on_behalf) = channel.cloned().or_else(|| room.first_channel()) else {
        return Some(name);
    };
    let found = fetched(&on_behalf, &name, room.profile.rate).await;
    found.inspect_err(|error| tracing::error!("Conference {}: {error}", room.name)).ok()
}

impl Room {
    /// `announce-count`: a member hears how many there are, once they are so many.
    pub(super) fn announce_count(self: &Arc<Self>, member: &Arc<Member>, count: usize) {
        let least = usize::try_from(self.profile.number("announce-count", 0)).unwrap_or(0);
        if least <= 1 || count < least {
            return;
        }
        if let Some(name) = name_of(self, &format!("There are {count} callers")) {
            self.play_aside_to(member, name);
        }
    }

    /// `terminate-on-silence`: the room ends when its members have said nothing for so many seconds.
    pub(super) fn end_when_silent(self: &Arc<Self>) {
        let seconds = self.profile.number("terminate-on-silence", 0);
        if seconds > 0 {
            crate::foreign::spawn(listen(Arc::downgrade(self), seconds));
        }
    }

    /// One who is alone is not silent, and neither is one who has just come.
    fn is_silent(&self, seconds: i64) -> bool {
        let members = self.members();
        let since = clock::now_secs().saturating_sub(seconds);
        let quiet = |member: &Arc<Member>| {
            let state = member.state();
            !state.talking && member.joined < since && state.last_talking < since
        };
        members.len() > 1 && members.iter().all(quiet)
    }
}

async fn listen(room: Weak<Room>, seconds: i64) {
    loop {
        tokio::time::sleep(LOOK).await;
        let Some(room) = room.upgrade().filter(|room| !room.with(|s| s.flags.ending)) else {
            return;
        };
        if room.is_silent(seconds) {
            tracing::info!("Conference has been idle for over {seconds} seconds, terminating");
            room.end();
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn speech_is_told_from_files() {
        assert!(is_said("tts://flite|kal|hello") && is_said("{a=b}tts://flite|kal|hello"));
        assert!(!is_said("tts.wav") && !is_said("/tmp/tts://x") && !is_said("http://x/tts"));
    }
}
