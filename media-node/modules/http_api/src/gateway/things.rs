//! Users, trunks and routes as resources: `GET`, `POST`, `PUT`, `PATCH` and `DELETE`. What the configuration's files have can
//! be seen here and not changed.

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use provisioning::{Error, Resource, Route, Snapshot, Target, Trunk, User, xml};
use serde_json::{Map, Value, json};

use super::Gateway;
use super::given::{self, Body, Id};
use super::lists::{Asked, page};
use super::problem::Problem;
use super::tenant::Tenant;

/// Longest id of a path, bytes.
const LONGEST_ID: usize = 257;

fn problem(error: Error) -> Problem {
    match error {
        Error::Unusable(field, why) => Problem::unusable(field, &why),
        Error::Exists | Error::Full(_) => Problem::new(StatusCode::CONFLICT, error.to_string()),
        Error::Database(error) => {
            tracing::error!("http: resources: {error}");
            Problem::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "the database of resources does not answer",
            )
        }
    }
}

/// A kind of resource as requests see it.
pub(super) trait Thing: Resource {
    /// Where they are.
    const PATH: &'static str;

    /// Those that are kept, as far as the tenant may see them.
    fn kept(gateway: &Gateway, all: &Snapshot, tenant: &Tenant) -> Result<Vec<Value>, Problem>;

    /// The one an id of a path stands for.
    fn find(
        gateway: &Gateway,
        all: &Snapshot,
        tenant: &Tenant,
        id: &str,
    ) -> Result<Option<Self>, Problem>;

    /// What the files say of that id, if they have it.
    fn of_files(gateway: &Gateway, tenant: &Tenant, id: &str) -> Result<Option<Value>, Problem>;

    /// Writes an id of a path into a document, which must not have another.
    fn name(
        gateway: &Gateway,
        tenant: &Tenant,
        id: &str,
        document: &mut Map<String, Value>,
    ) -> Result<(), Problem>;

    /// Fills in what depends on the gateway's settings.
    fn complete(&mut self, gateway: &Gateway, tenant: &Tenant) -> Result<(), Problem>;

    /// Whether the tenant may have it, and what it refers to is there.
    fn admit(&self, gateway: &Gateway, all: &Snapshot, tenant: &Tenant) -> Result<(), Problem>;

    /// How many of them a tenant may have.
    fn share(gateway: &Gateway) -> usize;

    /// What needs it, so that it must stay.
    fn needed_by(&self, _all: &Snapshot) -> Option<String> {
        None
    }
}

fn document<T: Thing>(thing: &T) -> Map<String, Value> {
    match json!(thing) {
        Value::Object(document) => document,
        _ => Map::new(),
    }
}

/// A resource as it is shown: without secrets.
pub(super) fn shown<T: Thing>(thing: &T) -> Value {
    let mut shown = document(thing);
    for secret in T::SECRETS {
        let set = shown.shift_remove(*secret).is_some_and(|value| value != json!(""));
        shown.insert(format!("has_{secret}"), json!(set));
    }
    shown.insert("source".into(), json!("database"));
    Value::Object(shown)
}

fn no_such<T: Thing>() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, format!("no such {}", T::NAME))
}

/// A document that was given. Members that are only shown may be in it, since a client may send back what it has read.
fn object(body: Value) -> Result<Map<String, Value>, Problem> {
    match body {
        Value::Object(mut document) => {
            document.retain(|name, _| {
                !name.starts_with("has_") && !["source", "registered"].contains(&name.as_str())
            });
            Ok(document)
        }
        _ => Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "an object is wanted")),
    }
}

fn read<T: Thing>(document: Map<String, Value>) -> Result<T, Problem> {
    // Nothing said and "not set" are the same.
    let given = document.into_iter().filter(|(_, value)| !value.is_null());
    serde_json::from_value(Value::Object(given.collect()))
        .map_err(|error| Problem::new(StatusCode::UNPROCESSABLE_ENTITY, error.to_string()))
}

/// A password and its hash stand for each other: setting one removes the other.
fn one_proof(given: &Map<String, Value>, document: &mut Map<String, Value>) {
    for (one, other) in [("password", "a1_hash"), ("a1_hash", "password")] {
        let set = given.get(one).and_then(Value::as_str).is_some_and(|text| !text.is_empty());
        if set && !given.contains_key(other) && document.contains_key(other) {
            document.insert(other.into(), json!(""));
        }
    }
}

fn not_of_files<T: Thing>(gateway: &Gateway, tenant: &Tenant, id: &str) -> Result<(), Problem> {
    match T::of_files(gateway, tenant, id)? {
        Some(_) => {
            let why = format!("this {} is in the configuration's files, which come first", T::NAME);
            Err(Problem::new(StatusCode::CONFLICT, why))
        }
        None => Ok(()),
    }
}

/// Puts what was kept into force.
async fn refresh(gateway: &Gateway) -> Result<(), Problem> {
    gateway.provision.refresh(&gateway.switch).await.map_err(|error| {
        tracing::error!("http: resources: {error}");
        let why = "the change is kept, and will be in force when the database answers again";
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, why)
    })
}

fn checked_id(id: &str) -> Result<(), Problem> {
    let good = |c: char| c.is_ascii_alphanumeric() || "+*#_.-@".contains(c);
    if id.len() > LONGEST_ID || !id.chars().all(good) {
        return Err(Problem::unusable("id", "letters, digits and + * # _ . - @ only"));
    }
    Ok(())
}

/// `GET` of the list.
pub(super) async fn list<T: Thing>(
    State(gateway): State<Gateway>,
    tenant: Tenant,
    asked: Asked,
) -> Result<Json<Value>, Problem> {
    Ok(page(asked)?.of(T::kept(&gateway, &gateway.provision.now(), &tenant)?))
}

/// `GET` of one.
pub(super) async fn show<T: Thing>(
    State(gateway): State<Gateway>,
    tenant: Tenant,
    Id(id): Id,
) -> Result<Json<Value>, Problem> {
    checked_id(&id)?;
    if let Some(found) = T::of_files(&gateway, &tenant, &id)? {
        return Ok(Json(found));
    }
    let found = T::find(&gateway, &gateway.provision.now(), &tenant, &id)?;
    found.map(|found| Json(shown(&found))).ok_or_else(no_such::<T>)
}

/// `POST`: a new one.
pub(super) async fn create<T: Thing>(
    State(gateway): State<Gateway>,
    tenant: Tenant,
    Body(body): Body<Value>,
) -> Result<Response, Problem> {
    let mut new: T = read(object(body)?)?;
    new.complete(&gateway, &tenant)?;
    let _turn = gateway.provision.turn.lock().await;
    insert(&gateway, &tenant, new).await
}

/// Each domain and context has a bound of its own, so that a tenant that fills its leaves the others theirs.
fn has_room<T: Thing>(gateway: &Gateway, tenant: &Tenant, new: &T) -> Result<(), Problem> {
    let most = tenant.0.as_ref().map_or(T::OF_ONE, |_| T::share(gateway).min(T::OF_ONE));
    if new.beside(&gateway.provision.now()) < most {
        return Ok(());
    }
    Err(problem(Error::Full(most)))
}

/// With the turn taken, as [`update`].
async fn insert<T: Thing>(gateway: &Gateway, tenant: &Tenant, new: T) -> Result<Response, Problem> {
    new.check().map_err(problem)?;
    new.admit(gateway, &gateway.provision.now(), tenant)?;
    not_of_files::<T>(gateway, tenant, &new.id())?;
    has_room(gateway, tenant, &new)?;
    let store = gateway.provision.store(&gateway.switch).await.map_err(problem)?;
    store.insert(&new).await.map_err(problem)?;
    tracing::info!("http: {} {} was made", T::NAME, new.id());
    refresh(gateway).await?;
    let place = format!("{}/{}", T::PATH, new.id().replace('#', "%23"));
    let answer = (StatusCode::CREATED, [(header::LOCATION, place)], Json(shown(&new)));
    Ok(answer.into_response())
}

/// `PUT`: one in place of what there was, or a new one. Secrets that are not given stay.
pub(super) async fn replace<T: Thing>(
    State(gateway): State<Gateway>,
    tenant: Tenant,
    Id(id): Id,
    Body(body): Body<Value>,
) -> Result<Response, Problem> {
    checked_id(&id)?;
    let mut given = object(body)?;
    T::name(&gateway, &tenant, &id, &mut given)?;
    let _turn = gateway.provision.turn.lock().await;
    let found = T::find(&gateway, &gateway.provision.now(), &tenant, &id)?;
    let Some(found) = found else {
        let mut new: T = read(given)?;
        new.complete(&gateway, &tenant)?;
        return insert(&gateway, &tenant, new).await;
    };
    let mut whole = given.clone();
    for (secret, value) in
        document(&found).into_iter().filter(|(name, _)| T::SECRETS.contains(&name.as_str()))
    {
        whole.entry(secret).or_insert(value);
    }
    one_proof(&given, &mut whole);
    Ok(update(&gateway, &tenant, read::<T>(whole)?).await?.into_response())
}

/// `PATCH`: the fields given (a JSON merge patch, RFC 7396); `null` takes one away.
pub(super) async fn change<T: Thing>(
    State(gateway): State<Gateway>,
    tenant: Tenant,
    Id(id): Id,
    Body(body): Body<Value>,
) -> Result<Json<Value>, Problem> {
    checked_id(&id)?;
    let mut given = object(body)?;
    not_of_files::<T>(&gateway, &tenant, &id)?;
    T::name(&gateway, &tenant, &id, &mut given)?;
    let _turn = gateway.provision.turn.lock().await;
    let found = T::find(&gateway, &gateway.provision.now(), &tenant, &id)?;
    let mut whole = document(&found.ok_or_else(no_such::<T>)?);
    one_proof(&given, &mut whole);
    merge(&mut whole, given);
    update(&gateway, &tenant, read::<T>(whole)?).await
}

/// RFC 7396, section 2.
fn merge(whole: &mut Map<String, Value>, patch: Map<String, Value>) {
    for (name, value) in patch {
        match (value, whole.get_mut(&name)) {
            (Value::Null, _) => drop(whole.shift_remove(&name)),
            (Value::Object(inner), Some(Value::Object(old))) => merge(old, inner),
            (value, _) => drop(whole.insert(name, value)),
        }
    }
}

async fn update<T: Thing>(
    gateway: &Gateway,
    tenant: &Tenant,
    mut changed: T,
) -> Result<Json<Value>, Problem> {
    changed.complete(gateway, tenant)?;
    changed.check().map_err(problem)?;
    changed.admit(gateway, &gateway.provision.now(), tenant)?;
    let store = gateway.provision.store(&gateway.switch).await.map_err(problem)?;
    if !store.update(&changed).await.map_err(problem)? {
        return Err(no_such::<T>());
    }
    tracing::info!("http: {} {} was changed", T::NAME, changed.id());
    refresh(gateway).await?;
    Ok(Json(shown(&changed)))
}

/// `DELETE`.
pub(super) async fn remove<T: Thing>(
    State(gateway): State<Gateway>,
    tenant: Tenant,
    Id(id): Id,
) -> Result<Json<Value>, Problem> {
    checked_id(&id)?;
    not_of_files::<T>(&gateway, &tenant, &id)?;
    let _turn = gateway.provision.turn.lock().await;
    let all = gateway.provision.now();
    let found = T::find(&gateway, &all, &tenant, &id)?.ok_or_else(no_such::<T>)?;
    if let Some(user) = found.needed_by(&all) {
        return Err(Problem::new(StatusCode::CONFLICT, format!("{user} uses it")));
    }
    let store = gateway.provision.store(&gateway.switch).await.map_err(problem)?;
    if !store.remove::<T>(&found.id()).await.map_err(problem)? {
        return Err(no_such::<T>());
    }
    tracing::info!("http: {} {} was removed", T::NAME, found.id());
    refresh(&gateway).await?;
    Ok(Json(json!({ "id": found.id() })))
}

/// The context of calls of a domain, unless a request names another.
fn own_context(gateway: &Gateway, domain: &str) -> String {
    gateway.settings.context.replace("{domain}", domain)
}

/// A tenant has one context.
fn may_have(gateway: &Gateway, tenant: &Tenant, context: &str) -> Result<(), Problem> {
    match &tenant.0 {
        Some(domain) if own_context(gateway, domain) != context => {
            Err(Problem::new(StatusCode::FORBIDDEN, "context: it is not the domain's"))
        }
        _ => Ok(()),
    }
}

/// Routes are a tenant's where its context is its own. One that all domains share is the whole switch's: a route in it takes
/// all tenants' calls.
fn may_route(gateway: &Gateway, tenant: &Tenant, context: &str) -> Result<(), Problem> {
    if tenant.0.is_some() && !gateway.settings.context.contains("{domain}") {
        return Err(Problem::new(StatusCode::FORBIDDEN, "context: all domains share it"));
    }
    may_have(gateway, tenant, context)
}

/// `user@domain`, or a user of the client's domain.
fn user_and_domain(
    gateway: &Gateway,
    tenant: &Tenant,
    id: &str,
) -> Result<(String, String), Problem> {
    match id.split_once('@') {
        Some((user, domain)) => Ok((user.to_owned(), domain.to_owned())),
        None => Ok((id.to_owned(), default_domain(gateway, tenant)?)),
    }
}

pub(super) fn default_domain(gateway: &Gateway, tenant: &Tenant) -> Result<String, Problem> {
    let global = || gateway.switch.globals().get("domain").map(ToString::to_string);
    let domain = tenant.0.clone().or_else(global).filter(|domain| !domain.is_empty());
    domain.ok_or_else(|| Problem::unusable("domain", "there is no default: name one"))
}

fn is_own(tenant: &Tenant, domain: &str) -> bool {
    tenant.0.as_deref().is_none_or(|own| own.eq_ignore_ascii_case(domain))
}

impl Thing for User {
    const PATH: &'static str = "/api/users";

    fn share(gateway: &Gateway) -> usize {
        gateway.settings.tenant_users
    }

    fn kept(_: &Gateway, all: &Snapshot, tenant: &Tenant) -> Result<Vec<Value>, Problem> {
        let own = all.users().filter(|user| is_own(tenant, &user.domain));
        Ok(own.map(|user| shown(user.as_ref())).collect())
    }

    fn find(
        gateway: &Gateway,
        all: &Snapshot,
        tenant: &Tenant,
        id: &str,
    ) -> Result<Option<Self>, Problem> {
        let (user, domain) = user_and_domain(gateway, tenant, id)?;
        let found = all.user(&user, &domain).filter(|user| is_own(tenant, &user.domain));
        Ok(found.map(|user| Self::clone(user)))
    }

    fn of_files(gateway: &Gateway, tenant: &Tenant, id: &str) -> Result<Option<Value>, Problem> {
        let (user, domain) = user_and_domain(gateway, tenant, id)?;
        let config = gateway.switch.config.load_full();
        let found = config.directory.find_user(&user, &domain);
        let found = found.filter(|user| is_own(tenant, &user.domain));
        Ok(found.map(|user| {
            json!({ "user": user.id.to_string(), "domain": user.domain.to_string(), "source": "files" })
        }))
    }

    fn name(
        gateway: &Gateway,
        tenant: &Tenant,
        id: &str,
        document: &mut Map<String, Value>,
    ) -> Result<(), Problem> {
        let (user, domain) = user_and_domain(gateway, tenant, id)?;
        same("user", &user, document)?;
        same("domain", &domain, document)
    }

    fn complete(&mut self, gateway: &Gateway, tenant: &Tenant) -> Result<(), Problem> {
        if self.domain.is_empty() {
            self.domain = default_domain(gateway, tenant)?;
        }
        if self.context.is_empty() {
            self.context = own_context(gateway, &self.domain);
        }
        Ok(())
    }

    fn admit(&self, gateway: &Gateway, all: &Snapshot, tenant: &Tenant) -> Result<(), Problem> {
        if !is_own(tenant, &self.domain) {
            return Err(Problem::new(StatusCode::FORBIDDEN, "domain: it is not yours"));
        }
        if tenant.0.is_some() {
            // What dialplans trust: which numbers a user may call, and on whose account.
            let kept = all.user(&self.user, &self.domain);
            let (toll, account) =
                kept.map_or(("", ""), |kept| (kept.toll_allow.as_str(), &kept.account_code));
            for (field, same) in [
                ("toll_allow", self.toll_allow == toll),
                ("account_code", self.account_code == account),
            ] {
                if !same {
                    let why = format!("{field}: only the operator of the switch sets it");
                    return Err(Problem::new(StatusCode::FORBIDDEN, why));
                }
            }
        }
        may_have(gateway, tenant, &self.context)
    }

    fn needed_by(&self, all: &Snapshot) -> Option<String> {
        let id = self.id();
        let route = all.routes().find(|route| route.called_user().as_deref() == Some(&id))?;
        Some(format!("route {}", route.id))
    }
}

/// Writes a value of the path into a document; one that says another is refused.
fn same(
    field: &'static str,
    value: &str,
    document: &mut Map<String, Value>,
) -> Result<(), Problem> {
    match document.get(field) {
        Some(Value::String(own)) if !own.eq_ignore_ascii_case(value) => {
            Err(Problem::unusable(field, "not that of the path"))
        }
        Some(Value::String(_) | Value::Null) | None => {
            document.insert(field.into(), json!(value));
            Ok(())
        }
        Some(_) => Err(Problem::unusable(field, "a text")),
    }
}

impl Thing for Trunk {
    const PATH: &'static str = "/api/trunks";

    fn share(_: &Gateway) -> usize {
        0
    }

    fn kept(_: &Gateway, all: &Snapshot, tenant: &Tenant) -> Result<Vec<Value>, Problem> {
        tenant.everything()?;
        Ok(all.trunks().map(|trunk| shown(trunk.as_ref())).collect())
    }

    fn find(
        _: &Gateway,
        all: &Snapshot,
        tenant: &Tenant,
        id: &str,
    ) -> Result<Option<Self>, Problem> {
        tenant.everything()?;
        Ok(all.trunk(id).map(|trunk| Self::clone(trunk)))
    }

    fn of_files(gateway: &Gateway, tenant: &Tenant, id: &str) -> Result<Option<Value>, Problem> {
        tenant.everything()?;
        let there = xml::gateways(&gateway.switch.config.load().tree).contains(id);
        Ok(there.then(|| json!({ "name": id, "source": "files" })))
    }

    fn name(
        _: &Gateway,
        tenant: &Tenant,
        id: &str,
        document: &mut Map<String, Value>,
    ) -> Result<(), Problem> {
        tenant.everything()?;
        same("name", id, document)
    }

    fn complete(&mut self, _: &Gateway, tenant: &Tenant) -> Result<(), Problem> {
        tenant.everything()
    }

    fn admit(&self, gateway: &Gateway, _all: &Snapshot, tenant: &Tenant) -> Result<(), Problem> {
        tenant.everything()?;
        if !xml::profiles(&gateway.switch.config.load().tree).contains(&self.profile) {
            return Err(Problem::unusable("profile", "there is no SIP profile of that name"));
        }
        Ok(())
    }

    fn needed_by(&self, all: &Snapshot) -> Option<String> {
        let route = all.routes().find(|route| route.uses_trunk(&self.name))?;
        Some(format!("route {}", route.id))
    }
}

impl Thing for Route {
    const PATH: &'static str = "/api/routes";

    fn share(gateway: &Gateway) -> usize {
        gateway.settings.tenant_routes
    }

    fn kept(gateway: &Gateway, all: &Snapshot, tenant: &Tenant) -> Result<Vec<Value>, Problem> {
        let own = all.routes().filter(|route| may_route(gateway, tenant, &route.context).is_ok());
        Ok(own.map(|route| shown(route.as_ref())).collect())
    }

    fn find(
        gateway: &Gateway,
        all: &Snapshot,
        tenant: &Tenant,
        id: &str,
    ) -> Result<Option<Self>, Problem> {
        let found =
            all.route(id).filter(|route| may_route(gateway, tenant, &route.context).is_ok());
        Ok(found.map(|route| Self::clone(route)))
    }

    fn of_files(_: &Gateway, _: &Tenant, _: &str) -> Result<Option<Value>, Problem> {
        Ok(None)
    }

    fn name(
        _: &Gateway,
        _: &Tenant,
        id: &str,
        document: &mut Map<String, Value>,
    ) -> Result<(), Problem> {
        given::name("id", id)?;
        same("id", id, document)
    }

    fn complete(&mut self, gateway: &Gateway, tenant: &Tenant) -> Result<(), Problem> {
        if self.id.is_empty() {
            self.id = switch_core::clock::new_uuid();
        }
        if self.context.is_empty() {
            self.context = own_context(gateway, tenant.0.as_deref().unwrap_or_default());
        }
        Ok(())
    }

    fn admit(&self, gateway: &Gateway, all: &Snapshot, tenant: &Tenant) -> Result<(), Problem> {
        may_route(gateway, tenant, &self.context)?;
        match self.target().map_err(problem)? {
            Target::Trunks(_) if tenant.0.is_some() => {
                Err(Problem::new(StatusCode::FORBIDDEN, "trunks: they are of the whole switch"))
            }
            Target::Trunks(trunks) => {
                let of_files = xml::gateways(&gateway.switch.config.load().tree);
                match trunks
                    .iter()
                    .find(|name| all.trunk(name).is_none() && !of_files.contains(*name))
                {
                    Some(name) => {
                        Err(Problem::unusable("trunks", &format!("there is no trunk {name}")))
                    }
                    None => Ok(()),
                }
            }
            Target::User(user) => {
                let domain = user.split_once('@').map_or("", |(_, domain)| domain);
                if !is_own(tenant, domain) {
                    return Err(Problem::new(
                        StatusCode::FORBIDDEN,
                        "user: it is of another domain",
                    ));
                }
                let of_files = <User as Thing>::of_files(gateway, tenant, user)?.is_some();
                let kept = <User as Thing>::find(gateway, all, tenant, user)?.is_some();
                if of_files || kept {
                    Ok(())
                } else {
                    Err(Problem::unusable("user", "there is no such user"))
                }
            }
            Target::Transfer(transfer) => {
                let context =
                    if transfer.context.is_empty() { &self.context } else { &transfer.context };
                may_have(gateway, tenant, context)
            }
        }
    }
}
