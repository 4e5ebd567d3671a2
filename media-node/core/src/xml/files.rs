//! Dialplans in files of their own (`XML:<path>`): compiled once, and again when the file has changed.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::time::SystemTime;

use dialplan_xml::config::TimezonesConf;
use dialplan_xml::dialplan::Dialplan;
use parking_lot::Mutex;

use crate::config::log_diagnostics;
use crate::switch::Switch;

/// Files remembered. A far end can name none, so more is a mistake of the dialplan; all are compiled anew then.
const FILES: usize = 256;

/// Compiled dialplan files of a switch.
#[derive(Default)]
pub struct DialplanFiles(Mutex<HashMap<String, Compiled>>);

struct Compiled {
    /// Length and time of change of what was compiled.
    version: Version,
    /// The configuration whose time zones it was compiled with.
    main: Arc<Dialplan>,
    dialplan: Option<Arc<Dialplan>>,
}

type Version = (u64, SystemTime);

impl DialplanFiles {
    /// The dialplan in that file, as it is now. `None`, with the reason in the log, when it cannot be used.
    pub async fn get(&self, switch: &Switch, file: &str) -> Option<Arc<Dialplan>> {
        let main = Arc::clone(&switch.config.load().dialplan);
        let version = match version(file).await {
            Ok(version) => version,
            Err(error) => {
                tracing::error!("Open of dialplan failed: {file}: {error}");
                return None;
            }
        };
        if let Some(known) = self.0.lock().get(file)
            && known.version == version
            && Arc::ptr_eq(&known.main, &main)
        {
            return known.dialplan.clone();
        }
        let (path, zones) = (file.to_owned(), main.zones().clone());
        let dialplan =
            tokio::task::spawn_blocking(move || compile(&path, zones)).await.ok().flatten();
        let mut files = self.0.lock();
        if files.len() >= FILES {
            files.clear();
        }
        let compiled = Compiled { version, main, dialplan: dialplan.clone() };
        files.insert(file.to_owned(), compiled);
        dialplan
    }
}

async fn version(file: &str) -> io::Result<Version> {
    let found = tokio::fs::metadata(file).await?;
    Ok((found.len(), found.modified()?))
}

/// The file is read as it stands, without preprocessing.
fn compile(file: &str, zones: TimezonesConf) -> Option<Arc<Dialplan>> {
    let text = std::fs::read(file)
        .inspect_err(|error| tracing::error!("Open of dialplan failed: {file}: {error}"))
        .ok()?;
    let loaded = dialplan_xml::parse_raw(&String::from_utf8_lossy(&text), file);
    log_diagnostics(&loaded.diagnostics);
    let (dialplan, diagnostics) = Dialplan::compile_with_zones(&loaded.tree?, zones);
    log_diagnostics(&diagnostics);
    Some(Arc::new(dialplan))
}
