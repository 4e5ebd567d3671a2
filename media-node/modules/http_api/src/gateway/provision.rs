//! Users, trunks and routes of the database in force: the snapshot that lookups are answered from, and what has to be told
//! when it changes.
//!
//! A change by a request is in force when it is answered. Changes by others who share the database are seen every
//! [`PAUSE`]. A database that is down leaves the last snapshot as it is.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use dialplan_xml::Tree;
use parking_lot::{Mutex, RwLock};
use provisioning::{Error, Snapshot, Store, xml};
use switch_core::BoxFuture;
use switch_core::switch::Switch;
use switch_core::xml::{Lookup, Unanswered, XmlSource};
use tokio::time::{Instant, sleep, timeout};

use super::extensions::Extensions;
use super::settings::Settings;

/// Time between two looks for changes by others.
const PAUSE: Duration = Duration::from_secs(2);
/// How long the start of the switch waits for the database.
const START: Duration = Duration::from_secs(5);
/// How long a trunk that goes may take to say goodbye to its registrar.
const GOODBYE: Duration = Duration::from_secs(6);

/// Its state for a switch.
#[derive(Default)]
pub(crate) struct Provision {
    /// Data source name; empty while there is no gateway.
    name: RwLock<String>,
    store: tokio::sync::Mutex<Option<Store>>,
    snapshot: RwLock<Option<Arc<Snapshot>>>,
    watch: Mutex<Option<tokio::task::AbortHandle>>,
    /// A table of users that another program keeps.
    extensions: RwLock<Option<Arc<Extensions>>>,
    /// Held while something is read, changed and kept.
    pub(super) turn: tokio::sync::Mutex<()>,
}

impl Provision {
    /// Takes a database into use, before calls come. One that does not answer is asked again by [`Provision::watch`].
    pub(crate) async fn open(&self, switch: &Arc<Switch>, settings: &Settings) {
        settings.resources.clone_into(&mut self.name.write());
        let table = settings.extensions.as_ref();
        let table = table.map(|name| Extensions::new(name, &settings.extensions_query));
        *self.extensions.write() = table.map(Arc::new);
        match timeout(START, self.read(switch)).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => tracing::error!("http_api.conf: resources-dsn: {error}"),
            Err(_) => tracing::error!("http_api.conf: resources-dsn: it does not answer"),
        }
    }

    /// Looks for changes from now on.
    pub(crate) fn watch(self: &Arc<Self>, switch: &Arc<Switch>) {
        let (own, switch) = (Arc::clone(self), Arc::clone(switch));
        let task = tokio::spawn(async move {
            let mut failing = false;
            // Trunks of a module that is loaded later than the SIP profiles are not there yet.
            base::tasks::step("resources", settle(&switch, &own.now(), &BTreeSet::new())).await;
            loop {
                sleep(PAUSE).await;
                // Not while a request changes something: an older state must not replace what it has put into force.
                let refreshed = async {
                    let _turn = own.turn.lock().await;
                    own.refresh(&switch).await
                };
                let looked = base::tasks::step("resources", refreshed).await;
                match looked {
                    Some(Err(error)) if !failing => {
                        tracing::error!(
                            "resources-dsn: {error}; what was read last stays in force"
                        );
                        failing = true;
                    }
                    Some(Ok(())) => failing = false,
                    _ => {}
                }
            }
        });
        if let Some(before) = self.watch.lock().replace(task.abort_handle()) {
            before.abort();
        }
    }

    /// Serves nothing any more.
    pub(crate) async fn close(&self) {
        if let Some(watch) = self.watch.lock().take() {
            watch.abort();
        }
        self.name.write().clear();
        *self.extensions.write() = None;
        *self.store.lock().await = None;
        *self.snapshot.write() = None;
    }

    /// What is in force; empty before anything was read.
    pub(super) fn now(&self) -> Arc<Snapshot> {
        self.snapshot.read().clone().unwrap_or_default()
    }

    /// The database.
    pub(super) async fn store(&self, switch: &Switch) -> Result<Store, Error> {
        let mut store = self.store.lock().await;
        if let Some(open) = store.as_ref() {
            return Ok(open.clone());
        }
        let name = self.name.read().clone();
        let open = Store::open(&name, &switch.dirs.db_dir).await?;
        *store = Some(open.clone());
        Ok(open)
    }

    /// Reads the database if it has changed. What was in force before, if it was another.
    async fn read(&self, switch: &Switch) -> Result<Option<Arc<Snapshot>>, Error> {
        let store = self.store(switch).await?;
        let before = self.snapshot.read().clone();
        if let Some(before) = &before
            && before.revision == store.revision().await?
        {
            return Ok(None);
        }
        let read = store.read().await?;
        *self.snapshot.write() = Some(Arc::new(read));
        Ok(Some(before.unwrap_or_default()))
    }

    /// Puts what the database has into force: registrations of users that are gone end, gateways come and go.
    pub(super) async fn refresh(&self, switch: &Arc<Switch>) -> Result<(), Error> {
        let Some(before) = self.read(switch).await? else { return Ok(()) };
        let now = self.now();
        let gone = before.users().filter(|user| {
            let same = now.user(&user.user, &user.domain);
            same.is_none_or(|same| !same.enabled && user.enabled)
        });
        for user in gone {
            forget(switch, &user.user, &user.domain).await;
        }
        let changed = before.trunks().filter(|trunk| now.trunk(&trunk.name) != Some(trunk));
        let changed: BTreeSet<_> =
            changed.map(|trunk| (trunk.profile.clone(), trunk.name.clone())).collect();
        let added = now.trunks().any(|trunk| before.trunk(&trunk.name) != Some(trunk));
        if added || !changed.is_empty() {
            settle(switch, &now, &changed).await;
        }
        Ok(())
    }
}

/// Ends the registrations of a user.
async fn forget(switch: &Arc<Switch>, user: &str, domain: &str) {
    let here = switch.stores.registrations.all().into_iter().any(|entry| {
        entry.user.eq_ignore_ascii_case(user) && entry.realm.eq_ignore_ascii_case(domain)
    });
    if here {
        for profile in gateways(switch).0 {
            let what = format!("profile {profile} flush_inbound_reg {user}@{domain}");
            switch.run_api("sofia", &what, None).await;
        }
    }
}

/// Running SIP profiles, and gateways with the profiles they belong to.
fn gateways(switch: &Switch) -> (BTreeSet<String>, BTreeSet<(String, String)>) {
    let method = switch.linked().json("sofia.status");
    let status = method
        .and_then(|method| (method.answer)(switch, &serde_json::Map::new()).ok())
        .unwrap_or_default();
    let profiles = status["profiles"].as_object().into_iter().flatten();
    let (mut running, mut found) = (BTreeSet::new(), BTreeSet::new());
    for (profile, entry) in profiles {
        running.insert(profile.clone());
        let names = entry["gateways"].as_object().into_iter().flatten();
        found.extend(names.map(|(name, _)| (profile.clone(), name.clone())));
    }
    (running, found)
}

/// Takes away the gateways `changed` and adds those of the snapshot that are missing.
async fn settle(switch: &Arc<Switch>, now: &Snapshot, changed: &BTreeSet<(String, String)>) {
    let there = gateways(switch).1;
    let go: Vec<_> = changed.intersection(&there).cloned().collect();
    for (profile, name) in &go {
        switch.run_api("sofia", &format!("profile {profile} killgw {name}"), None).await;
    }
    let until = Instant::now() + GOODBYE;
    while !go.is_empty() && Instant::now() < until {
        let there = gateways(switch).1;
        if go.iter().all(|gateway| !there.contains(gateway)) {
            break;
        }
        sleep(Duration::from_millis(50)).await;
    }
    let (running, there) = gateways(switch);
    let missing = now.trunks().filter(|trunk| {
        running.contains(&trunk.profile)
            && !there.contains(&(trunk.profile.clone(), trunk.name.clone()))
    });
    let profiles: BTreeSet<_> = missing.map(|trunk| trunk.profile.clone()).collect();
    for profile in profiles {
        switch.run_api("sofia", &format!("profile {profile} rescan"), None).await;
    }
}

impl XmlSource for Provision {
    fn serves(&self, section: &str) -> bool {
        if self.name.read().is_empty() {
            return false;
        }
        let snapshot = self.snapshot.read();
        let Some(now) = snapshot.as_ref() else { return section == "directory" };
        match section {
            "directory" => now.users().next().is_some() || self.extensions.read().is_some(),
            "dialplan" => now.routes().next().is_some(),
            "configuration" => now.trunks().next().is_some(),
            _ => false,
        }
    }

    fn ask<'a>(
        &'a self,
        switch: &'a Arc<Switch>,
        lookup: &'a Lookup<'a>,
    ) -> BoxFuture<'a, Result<Option<Tree>, Unanswered>> {
        Box::pin(async move {
            let answer = self.answer(switch, lookup);
            match (&answer, asked_user(lookup)) {
                (Ok(None), Some(user)) => self.of_table(switch, &user, lookup.key_value).await,
                _ => answer,
            }
        })
    }
}

/// A parameter of a lookup.
fn param(lookup: &Lookup<'_>, name: &str) -> Option<String> {
    let value = lookup.params?.get(name)?;
    Some(value.into_owned()).filter(|value| !value.is_empty())
}

/// The user a lookup is for, if it is for one by its id.
fn asked_user(lookup: &Lookup<'_>) -> Option<String> {
    let by_id = param(lookup, "key").is_none_or(|key| key.eq_ignore_ascii_case("id"));
    param(lookup, "user")
        .filter(|_| by_id && lookup.section == "directory" && !lookup.tag_name.is_empty())
}

impl Provision {
    /// A user of the table that another program keeps; none that the files know.
    async fn of_table(
        &self,
        switch: &Arc<Switch>,
        user: &str,
        domain: &str,
    ) -> Result<Option<Tree>, Unanswered> {
        let Some(table) = self.extensions.read().clone() else { return Ok(None) };
        if switch.config.load().directory.find_user(user, domain).is_some() {
            return Ok(None);
        }
        table.find(switch, user, domain).await.map_err(|_| Unanswered)
    }

    fn answer(&self, switch: &Switch, lookup: &Lookup<'_>) -> Result<Option<Tree>, Unanswered> {
        let config = switch.config.load_full();
        let (files, known) = (&config.tree, &*config.directory);
        let param = |name: &str| param(lookup, name);
        let snapshot = self.snapshot.read().clone();
        let Some(now) = snapshot else {
            // Nothing was read yet: a user the files do not know may be there.
            let user = param("user").filter(|_| lookup.section == "directory");
            let unknown =
                user.is_some_and(|user| known.find_user(&user, lookup.key_value).is_none());
            return if unknown { Err(Unanswered) } else { Ok(None) };
        };
        Ok(match lookup.section {
            "configuration" if lookup.key_value == "sofia.conf" => xml::sofia(files, &now),
            "directory" if lookup.tag_name.is_empty() => xml::directory(files, known, &now),
            "directory" => match param("user") {
                Some(user) if param("key").is_none_or(|key| key.eq_ignore_ascii_case("id")) => {
                    xml::user(files, known, &now, &user, lookup.key_value)
                }
                Some(_) => None,
                None => xml::domain(files, known, &now, lookup.key_value),
            },
            "dialplan" => {
                let either = |name: &str| {
                    param(&format!("Hunt-{name}")).or_else(|| param(&format!("Caller-{name}")))
                };
                match (either("Context"), either("Destination-Number")) {
                    (Some(context), Some(number)) => xml::dialplan(files, &now, &context, &number),
                    _ => None,
                }
            }
            _ => None,
        })
    }
}
