//! mod_cdr_csv: a line per call in `Master.csv` and in the file of its account code.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use records::csv::{self, Intent};
use records::delivery::Deed;
use records::record::Line;
use records::{Entry, Journal, Position, Sink, SinkError};

use super::record::Recorder;
use super::settings::Templates;
use switch_core::call::Channel;
use switch_core::host;
use switch_core::switch::Switch;

const NAME: &str = "mod_cdr_csv";

struct Csv {
    settings: Templates,
}

/// The module's two halves.
pub(super) fn make(
    switch: &Arc<Switch>,
    journal: &Arc<Journal>,
) -> (Arc<dyn Recorder>, Box<dyn Sink>) {
    let config = switch.config.load_full();
    let settings = Templates::read(config.document("cdr_csv.conf"), &switch.dirs.log_dir);
    let intent = journal.cursor_path(NAME).with_extension("intent");
    (Arc::new(Csv { settings }), Box::new(Files { intent, cursor: journal.cursor_path(NAME) }))
}

impl Recorder for Csv {
    fn wants<'a>(
        &'a self,
        channel: &'a Arc<Channel>,
        entry: &'a mut Entry,
    ) -> switch_core::BoxFuture<'a, ()> {
        Box::pin(async move {
            let a_leg = channel.with(|data| data.originator_profile.is_none());
            if !self.settings.legs.want(a_leg) {
                return;
            }
            let base = channel.var("cdr_csv_base").filter(|base| !base.is_empty());
            let base = base.map_or_else(|| self.settings.base.clone(), PathBuf::from);
            let account = channel.lookup("accountcode").unwrap_or_default();
            let mut files = Vec::new();
            if !account.is_empty() && !self.settings.master_only {
                files.push((csv::file_name(&account), self.settings.of_account(&account)));
            }
            files.push(("Master.csv".into(), self.settings.default_template()));
            for (file, template) in files {
                let template = with_other_leg(channel, template);
                let line = host::expand_for(channel.switch(), Some(channel), &template).await;
                entry.lines.push(Line {
                    sink: NAME.into(),
                    target: base.join(file).display().to_string(),
                    values: vec![base::far::into_plain(line).replace(['\n', '\r'], " ")],
                });
            }
            entry.sinks.push(NAME.into());
        })
    }

    /// Moves each file to `NAME.csv.<time>`; the next record begins a new one.
    fn rotate(&self) {
        if !self.settings.rotate_on_hup {
            return;
        }
        let stamp =
            switch_core::clock::local_stamp(switch_core::clock::now_us()).replace([' ', ':'], "-");
        let Ok(files) = std::fs::read_dir(&self.settings.base) else { return };
        for file in files.flatten() {
            let path = file.path();
            if path.extension().is_some_and(|end| end == "csv") {
                let mut aside = path.clone().into_os_string();
                aside.push(format!(".{stamp}"));
                if let Err(error) = std::fs::rename(&path, &aside) {
                    tracing::error!("{}: {error}", path.display());
                }
            }
        }
    }
}

/// `${bleg_uuid}` is the UUID of the leg this one was bridged to, which no variable holds.
fn with_other_leg(channel: &Channel, template: &str) -> String {
    if !template.contains("${bleg_uuid}") {
        return template.to_owned();
    }
    let uuid = channel.field("bleg_uuid").unwrap_or_default();
    template.replace("${bleg_uuid}", &uuid)
}

/// The files. A batch is announced in a file of its own before it is written, so that a batch which a crash cut short
/// is taken back and written again.
struct Files {
    intent: PathBuf,
    cursor: PathBuf,
}

#[derive(serde::Serialize, serde::Deserialize)]
struct Announced {
    after: String,
    before: Intent,
}

impl Sink for Files {
    fn name(&self) -> &str {
        NAME
    }

    fn position(&mut self) -> Deed<'_, Result<Option<Position>, SinkError>> {
        Box::pin(async {
            let failed = |error: &dyn std::fmt::Display| SinkError(error.to_string());
            let Ok(text) = tokio::fs::read(&self.intent).await else { return Ok(None) };
            let Ok(announced) = serde_json::from_slice::<Announced>(&text) else { return Ok(None) };
            let reached = tokio::fs::read_to_string(&self.cursor).await.unwrap_or_default();
            let reached = reached.parse::<Position>().unwrap_or_default();
            if announced.after.parse::<Position>().is_ok_and(|after| after > reached) {
                announced.before.undo().map_err(|error| failed(&error))?;
                tracing::warn!("{NAME}: a batch that was cut short is written again");
            }
            Ok(None)
        })
    }

    fn receive<'a>(
        &'a mut self,
        entries: &'a [(Position, Entry)],
        after: Position,
    ) -> Deed<'a, Result<(), SinkError>> {
        Box::pin(async move {
            let lines: Vec<(PathBuf, String)> = entries
                .iter()
                .flat_map(|(_, entry)| &entry.lines)
                .filter(|line| line.sink == NAME)
                .filter_map(|line| {
                    Some((PathBuf::from(&line.target), line.values.first()?.clone()))
                })
                .collect();
            let intent = self.intent.clone();
            let written = tokio::task::spawn_blocking(move || write(&intent, &lines, after)).await;
            written.unwrap_or_else(|error| Err(SinkError(error.to_string())))
        })
    }
}

fn write(intent: &Path, lines: &[(PathBuf, String)], after: Position) -> Result<(), SinkError> {
    let before = Intent::of(lines.iter().map(|(path, _)| path.as_path()));
    let announced = Announced { after: after.to_string(), before };
    let failed = |path: &Path, error: &dyn std::fmt::Display| {
        SinkError(format!("{}: {error}", path.display()))
    };
    let text = serde_json::to_vec(&announced).map_err(|error| failed(intent, &error))?;
    let fresh = intent.with_extension("intent.new");
    std::fs::write(&fresh, text).map_err(|error| failed(&fresh, &error))?;
    std::fs::rename(&fresh, intent).map_err(|error| failed(intent, &error))?;
    let lines: Vec<(&Path, &str)> =
        lines.iter().map(|(path, line)| (path.as_path(), line.as_str())).collect();
    csv::append(&lines).map_err(|(path, error)| {
        let _taken_back = announced.before.undo();
        failed(&path, &error)
    })
}
