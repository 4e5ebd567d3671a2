//! The database: one table for each kind of resource, and a number that counts changes.
//!
//! A resource is a JSON document with its id beside it. The number (`gateway_revision`) changes with every change, in the
//! same transaction, so that switches that share a database see each other's changes by asking for one row.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;

use database::{Arg, Database, args};
use dialplan_xml::regex::Pattern;

use crate::user::id;
use crate::{Error, Resource, Route, Trunk, User, checks};

const REVISION: &str = "update gateway_revision set revision = revision + 1";

/// The database of users, trunks and routes.
#[derive(Clone)]
pub struct Store {
    database: Database,
}

impl Store {
    /// Opens the database a data source name stands for, and makes the tables where they are missing.
    ///
    /// # Errors
    /// What the database says.
    pub async fn open(name: &str, folder: &Path) -> Result<Self, Error> {
        let database = Database::open(name, folder).await?;
        for table in [User::TABLE, Trunk::TABLE, Route::TABLE] {
            let statement = format!(
                "create table if not exists {table} (id varchar(256) not null primary key, document text not null)"
            );
            database.execute(&statement, args![]).await?;
        }
        let number = "create table if not exists gateway_revision (id integer not null primary key, revision bigint not null)";
        database.execute(number, args![]).await?;
        let first =
            "insert into gateway_revision (id, revision) values (1, 1) on conflict do nothing";
        database.execute(first, args![]).await?;
        Ok(Self { database })
    }

    /// The number of the last change.
    ///
    /// # Errors
    /// What the database says.
    pub async fn revision(&self) -> Result<i64, Error> {
        let row = self
            .database
            .row("select revision from gateway_revision where id = 1", args![])
            .await?;
        Ok(row.map_or(0, |row| row.int(0)))
    }

    /// Everything there is. A document that cannot be read (a table changed by hand) is left out, which the log tells.
    ///
    /// # Errors
    /// What the database says.
    pub async fn read(&self) -> Result<Snapshot, Error> {
        // The number first: a change in between is then read again, not missed.
        let revision = self.revision().await?;
        let users = self.all::<User>().await?;
        let trunks = self.all::<Trunk>().await?;
        let routes = self.all::<Route>().await?;
        Ok(Snapshot::new(revision, users, trunks, routes))
    }

    async fn all<R: Resource>(&self) -> Result<Vec<R>, Error> {
        let statement =
            format!("select id, document from {} order by id limit {}", R::TABLE, R::MOST);
        let rows = self.database.rows(&statement, args![]).await?;
        let read = |row: &database::Row| {
            let read = serde_json::from_str::<R>(row.text(1)).map_err(|error| error.to_string());
            match read
                .and_then(|found| found.check().map(|()| found).map_err(|error| error.to_string()))
            {
                Ok(found) => Some(found),
                Err(why) => {
                    tracing::error!("{}: {} {} is left out: {why}", R::TABLE, R::NAME, row.text(0));
                    None
                }
            }
        };
        Ok(rows.iter().filter_map(read).collect())
    }

    /// Keeps a new one.
    ///
    /// # Errors
    /// [`Error::Unusable`], [`Error::Exists`], [`Error::Full`], or what the database says.
    pub async fn insert<R: Resource>(&self, new: &R) -> Result<(), Error> {
        new.check()?;
        let count = format!("select count(*) from {}", R::TABLE);
        let there = self.database.row(&count, args![]).await?.map_or(0, |row| row.int(0));
        if usize::try_from(there).unwrap_or(0) >= R::MOST {
            return Err(Error::Full(R::MOST));
        }
        let statement = format!(
            "insert into {} (id, document) values ($1, $2) on conflict do nothing",
            R::TABLE
        );
        let changed = self.change(statement, args![new.id(), document(new)]).await?;
        if changed == 0 { Err(Error::Exists) } else { Ok(()) }
    }

    /// Keeps one in place of that of its id; false when there is none.
    ///
    /// # Errors
    /// [`Error::Unusable`], or what the database says.
    pub async fn update<R: Resource>(&self, changed: &R) -> Result<bool, Error> {
        changed.check()?;
        let statement = format!("update {} set document = $2 where id = $1", R::TABLE);
        Ok(self.change(statement, args![changed.id(), document(changed)]).await? > 0)
    }

    /// Removes one; false when there is none.
    ///
    /// # Errors
    /// What the database says.
    pub async fn remove<R: Resource>(&self, id: &str) -> Result<bool, Error> {
        let statement = format!("delete from {} where id = $1", R::TABLE);
        Ok(self.change(statement, args![id]).await? > 0)
    }

    async fn change(&self, statement: String, args: Vec<Arg>) -> Result<u64, Error> {
        let all = vec![(statement, args), (REVISION.to_owned(), args![])];
        let changed = self.database.execute_all(all).await?;
        Ok(changed.first().copied().unwrap_or(0))
    }
}

/// A resource is text and numbers, which always are a document.
fn document<R: Resource>(resource: &R) -> String {
    serde_json::to_string(resource).unwrap_or_default()
}

/// What was last read of a database.
#[derive(Default)]
pub struct Snapshot {
    /// The number of the last change that is in it.
    pub revision: i64,
    users: BTreeMap<String, Arc<User>>,
    /// Lower-case names of domains to ids of their users.
    domains: BTreeMap<String, Vec<String>>,
    trunks: BTreeMap<String, Arc<Trunk>>,
    routes: BTreeMap<String, Arc<Route>>,
    /// Contexts to their routes in the order in which they are tried.
    tried: HashMap<String, Vec<(Pattern, Arc<Route>)>>,
}

impl Snapshot {
    /// A snapshot of these.
    #[must_use]
    pub fn new(revision: i64, users: Vec<User>, trunks: Vec<Trunk>, routes: Vec<Route>) -> Self {
        let mut new = Self { revision, ..Self::default() };
        for user in users {
            let id = user.id();
            new.domains.entry(user.domain.to_ascii_lowercase()).or_default().push(id.clone());
            new.users.insert(id, Arc::new(user));
        }
        new.trunks = trunks.into_iter().map(|trunk| (trunk.id(), Arc::new(trunk))).collect();
        for route in routes {
            let route = Arc::new(route);
            new.routes.insert(route.id(), Arc::clone(&route));
            if let (true, Ok(pattern)) = (route.enabled, Pattern::new(&route.pattern)) {
                new.tried.entry(route.context.clone()).or_default().push((pattern, route));
            }
        }
        for tried in new.tried.values_mut() {
            tried.sort_by(|(_, a), (_, b)| (a.priority, &a.id).cmp(&(b.priority, &b.id)));
        }
        new
    }

    /// A user of a domain.
    #[must_use]
    pub fn user(&self, user: &str, domain: &str) -> Option<&Arc<User>> {
        self.users.get(&id(user, domain))
    }

    /// All users, ordered by id.
    pub fn users(&self) -> impl Iterator<Item = &Arc<User>> {
        self.users.values()
    }

    /// Those of a domain.
    pub fn users_of(&self, domain: &str) -> impl Iterator<Item = &Arc<User>> {
        let ids = self.domains.get(&domain.to_ascii_lowercase());
        ids.into_iter().flatten().filter_map(|id| self.users.get(id))
    }

    /// Domains that have users, in lower case.
    pub fn domains(&self) -> impl Iterator<Item = &str> {
        self.domains.keys().map(String::as_str)
    }

    /// A trunk.
    #[must_use]
    pub fn trunk(&self, name: &str) -> Option<&Arc<Trunk>> {
        self.trunks.get(name)
    }

    /// All trunks, ordered by name.
    pub fn trunks(&self) -> impl Iterator<Item = &Arc<Trunk>> {
        self.trunks.values()
    }

    /// A route.
    #[must_use]
    pub fn route(&self, id: &str) -> Option<&Arc<Route>> {
        self.routes.get(id)
    }

    /// All routes, ordered by id.
    pub fn routes(&self) -> impl Iterator<Item = &Arc<Route>> {
        self.routes.values()
    }

    /// The route a number takes in a context.
    #[must_use]
    pub fn route_for(&self, context: &str, number: &str) -> Option<&Arc<Route>> {
        let tried = self.tried.get(context)?;
        // Before any expression sees it: what is dialled comes from strangers, and may be long.
        checks::number("number", number).ok()?;
        tried.iter().find(|(pattern, _)| pattern.is_match(number)).map(|(_, route)| route)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(name: &str) -> User {
        User {
            user: name.into(),
            domain: "A.test".into(),
            password: "long enough".into(),
            ..User::default()
        }
    }

    #[tokio::test]
    async fn what_is_kept_is_read_changed_and_removed() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open("gateway", folder.path()).await.unwrap();
        let before = store.revision().await.unwrap();
        store.insert(&user("1000")).await.unwrap();
        assert!(matches!(store.insert(&user("1000")).await, Err(Error::Exists)));
        assert!(matches!(store.insert(&user("a b")).await, Err(Error::Unusable("user", _))));
        let read = store.read().await.unwrap();
        assert!(read.revision > before);
        assert!(read.user("1000", "a.TEST").is_some() && read.user("1001", "a.test").is_none());
        assert_eq!(read.users_of("a.test").count(), 1);

        let renamed = User { caller_id_name: "Alice".into(), ..user("1000") };
        assert!(
            store.update(&renamed).await.unwrap() && !store.update(&user("1001")).await.unwrap()
        );
        let read = store.read().await.unwrap();
        assert_eq!(read.user("1000", "a.test").unwrap().caller_id_name, "Alice");

        assert!(store.remove::<User>("1000@a.test").await.unwrap());
        assert!(!store.remove::<User>("1000@a.test").await.unwrap());
        assert_eq!(store.read().await.unwrap().users().count(), 0);
    }

    #[tokio::test]
    async fn a_row_that_cannot_be_read_leaves_the_others() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open("gateway", folder.path()).await.unwrap();
        store.insert(&user("1000")).await.unwrap();
        for document in ["{", "{\"user\":\"a b\"}"] {
            let statement = "insert into gateway_users (id, document) values ($1, $1)";
            store.database.execute(statement, args![document]).await.unwrap();
        }
        assert_eq!(store.read().await.unwrap().users().count(), 1);
    }

    #[test]
    fn the_lowest_priority_that_fits_applies() {
        let route = |id: &str, priority, pattern: &str, enabled| Route {
            id: id.into(),
            priority,
            pattern: pattern.into(),
            enabled,
            context: "default".into(),
            user: "1000@a.test".into(),
            ..Route::default()
        };
        let routes = vec![
            route("b", 10, "^1", true),
            route("a", 10, "^1", true),
            route("c", 20, "", true),
            route("d", 1, "^1", false),
        ];
        let all = Snapshot::new(1, Vec::new(), Vec::new(), routes);
        let found = |context: &str, number: &str| {
            all.route_for(context, number).map(|route| route.id.clone())
        };
        assert_eq!(found("default", "100").as_deref(), Some("a"));
        assert_eq!(found("default", "200").as_deref(), Some("c"));
        assert_eq!(found("public", "100"), None);
        for hostile in ["100|x", "1 0", "${x}", &"1".repeat(129)] {
            assert_eq!(found("default", hostile), None, "{hostile}");
        }
    }
}
