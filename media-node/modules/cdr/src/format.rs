//! mod_format_cdr: documents in JSON or XML by profile, posted to web servers or filed.
//!
//! All profiles share one position in the journal: after a crash a document may be posted again, as with mod_json_cdr.

use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;
use records::delivery::Deed;
use records::record::Line;
use records::{CallRecord, Entry, Position, Sink, SinkError};
use switch_core::call::Channel;
use switch_core::switch::Switch;
use switch_core::{BoxFuture, clock, host, text};

use super::post::Documents;
use super::record::Recorder;
use super::settings::Post;

const NAME: &str = "mod_format_cdr";

/// A profile as far as recording needs it.
struct Profile {
    name: String,
    b_leg: bool,
    log_file: Option<String>,
}

impl Profile {
    fn wants(&self, a_leg: bool, forced: bool) -> bool {
        a_leg || self.b_leg || forced
    }
}

/// The folder documents are filed in now, where profiles rotate.
type Folder = Arc<Mutex<String>>;

/// The module's two halves; `None`, with the reason logged, if its settings cannot be used.
pub(super) fn make(switch: &Arc<Switch>) -> Option<(Arc<dyn Recorder>, Box<dyn Sink>)> {
    let config = switch.config.load_full();
    let profiles = config.document("format_cdr.conf").and_then(|conf| conf.child("profiles"));
    let (mut told, mut sinks) = (Vec::new(), Vec::new());
    for node in profiles.into_iter().flat_map(|profiles| profiles.children_named("profile")) {
        let settings = Post::read(Some(node), &switch.dirs.log_dir, "format_cdr");
        let profile = Profile {
            name: node.attr_or_empty("name").to_owned(),
            b_leg: settings.b_leg,
            log_file: settings.log_file.clone(),
        };
        let (name, b_leg, rotate) = (profile.name.clone(), profile.b_leg, settings.rotate);
        let documents = Documents::new(NAME, "format_cdr", settings)?;
        sinks.push(OfProfile { name, b_leg, rotate, documents });
        told.push(profile);
    }
    if told.is_empty() {
        tracing::error!("format_cdr.conf: no profile");
        return None;
    }
    let folder: Folder = Arc::new(Mutex::new(now()));
    let recorder = Formats { profiles: told, folder: Arc::clone(&folder) };
    Some((Arc::new(recorder), Box::new(Formatted { profiles: sinks, folder })))
}

/// A folder's name: `2026-03-04-12-00-00`.
fn now() -> String {
    let stamp = clock::local_stamp(clock::now_us());
    let digits = stamp.split('.').next().unwrap_or_default();
    digits.replace([' ', ':'], "-")
}

struct Formats {
    profiles: Vec<Profile>,
    folder: Folder,
}

fn is_forced(record: &CallRecord) -> bool {
    record.variable("force_process_cdr").is_some_and(text::is_true)
}

impl Recorder for Formats {
    fn wants<'a>(&'a self, channel: &'a Arc<Channel>, entry: &'a mut Entry) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            let a_leg = channel.with(|data| data.originator_profile.is_none());
            let forced = channel.is_true("force_process_cdr");
            let mut wanted = false;
            for profile in self.profiles.iter().filter(|profile| profile.wants(a_leg, forced)) {
                wanted = true;
                let Some(template) = &profile.log_file else { continue };
                let name = host::expand_for(channel.switch(), Some(channel), template).await;
                entry.lines.push(Line {
                    sink: NAME.into(),
                    target: profile.name.clone(),
                    values: vec![base::far::into_plain(name)],
                });
            }
            if wanted {
                entry.sinks.push(NAME.into());
            }
        })
    }

    fn rotate(&self) {
        *self.folder.lock() = now();
    }
}

struct OfProfile {
    name: String,
    b_leg: bool,
    rotate: bool,
    documents: Documents,
}

struct Formatted {
    profiles: Vec<OfProfile>,
    folder: Folder,
}

impl Sink for Formatted {
    fn name(&self) -> &str {
        NAME
    }

    fn receive<'a>(
        &'a mut self,
        entries: &'a [(Position, Entry)],
        _after: Position,
    ) -> Deed<'a, Result<(), SinkError>> {
        Box::pin(async move {
            for (_, entry) in entries {
                let forced = is_forced(&entry.record);
                for profile in &mut self.profiles {
                    if !(entry.record.a_leg || profile.b_leg || forced) {
                        continue;
                    }
                    let own = |line: &&Line| line.sink == NAME && line.target == profile.name;
                    let line = entry.lines.iter().find(own).and_then(|line| line.values.first());
                    let file = line.map(|name| below(name)).filter(|name| !name.is_empty());
                    let folder = profile.rotate.then(|| self.folder.lock().clone());
                    let documents = &mut profile.documents;
                    documents.deliver(&entry.record, file.as_deref(), folder.as_deref()).await?;
                }
            }
            Ok(())
        })
    }
}

/// A file's name that stays below its folder, whatever a far end's words in it say.
fn below(name: &str) -> String {
    let parts = name.split('/').filter(|part| !part.is_empty() && *part != ".");
    let safe = parts.map(|part| match part {
        ".." => "_".to_owned(),
        part => part.replace(|c: char| c.is_control(), "_"),
    });
    let path = safe.collect::<Vec<_>>().join("/");
    if Path::new(&path).is_absolute() { String::new() } else { path }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_stay_below_their_folder() {
        assert_eq!(below("2026/${uuid}.json"), "2026/${uuid}.json");
        assert_eq!(below("/etc/passwd"), "etc/passwd");
        assert_eq!(below("../../a/./b\0c"), "_/_/a/b_c");
        assert_eq!(below(""), "");
    }
}
