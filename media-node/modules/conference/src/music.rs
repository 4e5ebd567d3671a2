//! Music for a member who is alone in a room (`moh-sound`).

use std::sync::Arc;

use super::room::Room;
use crate::app::play::source_options;

impl Room {
    /// Begins the music when somebody is alone and nothing else plays, ends it when nobody is.
    pub fn tend_music(self: &Arc<Self>) {
        let Some(sound) = self.profile.sound("moh-sound").filter(|sound| is_music(sound)) else {
            return;
        };
        let (lonely, quiet) = self.with(|s| (s.lonely(), s.plays.is_empty()));
        let Some(member) = lonely else {
            if let Some(id) = self.with(|s| s.music.take()) {
                let _ended = self.mixer.stop_play(id);
            }
            return;
        };
        if !quiet {
            return;
        }
        let options = source_options(&member.channel, self.profile.rate);
        let room = Arc::clone(self);
        // Files are read where blocking does not matter.
        drop(tokio::task::spawn_blocking(move || match media::source::open(&sound, &options) {
            Ok(plan) => room.begin_music(&sound, Box::new(plan.repeated(None))),
            Err(error) => tracing::warn!("No music for conference {}: {error}", room.name),
        }));
    }

    fn begin_music(&self, sound: &str, plan: Box<media::PlayPlan>) {
        let Ok(id) = self.mixer.play_over(plan) else { return };
        // Meanwhile another may have come in, or the music may have begun.
        let wanted = self.with(|s| {
            let wanted = s.lonely().is_some() && s.music.is_none();
            if wanted {
                s.music = Some(id);
                s.plays.push((id, sound.to_owned()));
            }
            wanted
        });
        if !wanted {
            let _ended = self.mixer.stop_play(id);
            return;
        }
        self.fire("play-file", |event| {
            event.push("File", sound.to_owned());
            event.push("Async", "true");
        });
    }
}

fn is_music(text: &str) -> bool {
    !["silence", "indicate_hold"].iter().any(|word| text.eq_ignore_ascii_case(word))
}
