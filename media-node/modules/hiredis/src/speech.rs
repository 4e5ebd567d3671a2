//! Speech that switches share: `tts_cache:{hash}` ([`base::speech_cache`]).

use std::sync::Arc;

use base::BoxFuture;
use base::speech_cache::SharedCache;
use redis::Cmd;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::client::Profile;
use crate::settings::SpeechSettings;

/// Entries on their way to a server at once; what comes meanwhile is not shared.
const PUTS: usize = 8;

/// The cache of a profile.
pub(crate) struct Speech {
    profile: Arc<Profile>,
    settings: SpeechSettings,
    puts: Semaphore,
}

impl Speech {
    /// The cache of the first profile, by name, that has one.
    pub(crate) fn of(profiles: &[Arc<Profile>]) -> Option<Self> {
        let having = profiles.iter().filter(|profile| profile.settings.speech.is_some());
        let profile = having.min_by(|a, b| a.settings.name.cmp(&b.settings.name))?;
        let settings = profile.settings.speech.clone()?;
        Some(Self { profile: Arc::clone(profile), settings, puts: Semaphore::new(PUTS) })
    }
}

fn key(settings: &SpeechSettings, hash: &str) -> String {
    format!("{}tts_cache:{hash}", settings.prefix)
}

/// Asks for one byte more than is taken: what is too long is seen without being read whole.
fn get(settings: &SpeechSettings, hash: &str) -> Cmd {
    let mut command = redis::cmd("GETRANGE");
    command.arg(key(settings, hash)).arg(0).arg(settings.largest);
    command
}

fn put(settings: &SpeechSettings, hash: &str, bytes: &[u8]) -> Cmd {
    let mut command = redis::cmd("SET");
    command.arg(key(settings, hash)).arg(bytes).arg("EX").arg(settings.ttl.as_secs());
    command
}

impl SharedCache for Speech {
    fn largest(&self) -> usize {
        self.settings.largest
    }

    fn get<'a>(&'a self, hash: &'a str) -> BoxFuture<'a, Option<Vec<u8>>> {
        Box::pin(async move {
            let command = get(&self.settings, hash);
            let answer = timeout(self.settings.timeout, self.profile.bytes(&command)).await;
            let name = &self.profile.settings.name;
            match answer {
                Ok(Ok(bytes)) if bytes.len() > self.settings.largest => {
                    tracing::warn!("hiredis: profile[{name}] speech longer than is taken");
                    None
                }
                // A range of a key that is not there is empty.
                Ok(Ok(bytes)) => Some(bytes).filter(|bytes| !bytes.is_empty()),
                Ok(Err(error)) => {
                    tracing::warn!("hiredis: profile[{name}] no speech because [{error}]");
                    None
                }
                Err(_) => {
                    tracing::warn!("hiredis: profile[{name}] no speech in time");
                    None
                }
            }
        })
    }

    fn put<'a>(&'a self, hash: &'a str, bytes: Vec<u8>) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            let Ok(_place) = self.puts.try_acquire() else { return };
            if bytes.len() > self.settings.largest {
                return;
            }
            if let Err(error) = self.profile.bytes(&put(&self.settings, hash, &bytes)).await {
                let name = &self.profile.settings.name;
                tracing::warn!("hiredis: profile[{name}] speech is not shared because [{error}]");
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn an_entry_has_its_key_its_end_and_a_bound() {
        let settings = SpeechSettings {
            prefix: "fs:".into(),
            ttl: Duration::from_secs(60),
            largest: 1000,
            timeout: Duration::from_millis(200),
        };
        let text = |command: Cmd| String::from_utf8(command.get_packed_command()).unwrap();
        let asked = text(get(&settings, "ab"));
        assert!(asked.contains("fs:tts_cache:ab\r\n$1\r\n0\r\n$4\r\n1000\r\n"), "{asked}");
        let said = text(put(&settings, "ab", b"RIFF"));
        assert!(said.contains("fs:tts_cache:ab\r\n$4\r\nRIFF\r\n$2\r\nEX\r\n$2\r\n60"), "{said}");
    }
}
