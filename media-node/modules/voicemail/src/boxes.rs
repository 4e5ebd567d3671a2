//! The profiles that serve, and how they are loaded and unloaded.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use switch_core::switch::Switch;
use switch_core::{text, xml};

use crate::profile::Profile;
use crate::store::Store;
use crate::unfinished;

/// A profile with its messages.
#[derive(Debug)]
pub(crate) struct Boxes {
    pub(crate) profile: Profile,
    pub(crate) store: Store,
}

/// All profiles of the switch, in the order of the configuration.
#[derive(Default)]
pub(crate) struct Loaded {
    all: Mutex<Vec<Arc<Boxes>>>,
    /// One is loaded at a time, so that none is opened twice.
    loading: tokio::sync::Mutex<()>,
    pub(crate) settings: Mutex<Settings>,
    /// The task that answers MESSAGE_QUERY.
    pub(crate) answering: Mutex<Option<tokio::task::JoinHandle<()>>>,
    /// All modules are loaded: owners can be found.
    started: AtomicBool,
    /// Files that are being recorded.
    recorded: Mutex<HashSet<PathBuf>>,
}

/// A file is being recorded as long as this lives.
pub(crate) struct BeingRecorded {
    loaded: Arc<Loaded>,
    path: PathBuf,
}

impl BeingRecorded {
    pub(crate) fn begin(switch: &Switch, path: &Path) -> Self {
        let loaded = switch.module::<Loaded>();
        loaded.recorded.lock().insert(path.to_owned());
        Self { loaded, path: path.to_owned() }
    }
}

impl Drop for BeingRecorded {
    fn drop(&mut self) {
        self.loaded.recorded.lock().remove(&self.path);
    }
}

/// `<settings>`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Settings {
    /// A query asks the profile named as its domain only.
    pub(crate) exact_match: bool,
    pub(crate) smtp: Option<crate::mail::Smtp>,
}

impl Loaded {
    pub(crate) fn all(&self) -> Vec<Arc<Boxes>> {
        self.all.lock().clone()
    }

    pub(crate) fn find(&self, name: &str) -> Option<Arc<Boxes>> {
        self.all.lock().iter().find(|one| one.profile.name == name).cloned()
    }

    /// Takes a profile out of service; calls that use it go on with it.
    pub(crate) fn remove(&self, name: &str) -> bool {
        let mut all = self.all.lock();
        let before = all.len();
        all.retain(|one| one.profile.name != name);
        if all.len() == before {
            tracing::error!("[{name}] Invalid Profile");
        }
        all.len() < before
    }

    pub(crate) fn is_recorded(&self, path: &str) -> bool {
        self.recorded.lock().contains(Path::new(path))
    }

    pub(crate) fn clear(&self) {
        self.all.lock().clear();
    }
}

/// The configuration as a binding or the files have it.
async fn with_conf<T>(
    switch: &Arc<Switch>,
    read: impl FnOnce(dialplan_xml::Node<'_>) -> Option<T>,
) -> Option<T> {
    xml::read_configuration(switch, "voicemail.conf", None, |node| node.and_then(read))
        .await
        .ok()?
}

/// Reads the settings and loads all profiles. False without a configuration.
pub(crate) async fn load_all(switch: &Arc<Switch>) -> bool {
    let read = with_conf(switch, |conf| {
        let params = dialplan_xml::config::settings(Some(conf));
        let settings = Settings {
            exact_match: params.last("message-query-exact-match").is_some_and(text::is_true),
            smtp: crate::mail::Smtp::read(&params),
        };
        let profiles = conf.child("profiles");
        let nodes = profiles.into_iter().flat_map(|profiles| profiles.children_named("profile"));
        Some((
            settings,
            nodes.map(|node| node.attr_or_empty("name").to_owned()).collect::<Vec<_>>(),
        ))
    })
    .await;
    let Some((settings, names)) = read else { return false };
    *switch.module::<Loaded>().settings.lock() = settings;
    for name in names {
        find(switch, &name).await;
    }
    true
}

/// The profile of that name; loads it if it is not in use yet.
pub(crate) async fn find(switch: &Arc<Switch>, name: &str) -> Option<Arc<Boxes>> {
    let loaded = switch.module::<Loaded>();
    if let Some(found) = loaded.find(name) {
        return Some(found);
    }
    let _alone = loaded.loading.lock().await;
    if let Some(found) = loaded.find(name) {
        return Some(found);
    }
    let mut profile = with_conf(switch, |conf| {
        conf.child("profiles")?.find("profile", "name", name).map(Profile::read)
    })
    .await?;
    profile.read_templates(&switch.dirs.conf_dir).await;
    let store = match Store::open(&profile.database, &switch.dirs.db_dir).await {
        Ok(store) => store,
        Err(error) => {
            tracing::error!("Voicemail profile {name}: cannot open its database: {error}");
            return None;
        }
    };
    let boxes = Arc::new(Boxes { profile, store });
    loaded.all.lock().push(Arc::clone(&boxes));
    tracing::info!("Added Profile {name}");
    if loaded.started.load(Ordering::Relaxed) {
        unfinished::take_up(switch, &boxes).await;
    }
    Some(boxes)
}

/// All modules are loaded.
pub(crate) async fn start(switch: &Arc<Switch>) {
    let loaded = switch.module::<Loaded>();
    loaded.started.store(true, Ordering::Relaxed);
    for boxes in loaded.all() {
        unfinished::take_up(switch, &boxes).await;
    }
}
