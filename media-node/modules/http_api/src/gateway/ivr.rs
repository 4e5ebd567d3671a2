//! Menus of the database that `ivr.conf` names: read and written. Calls have them from their next greeting on.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use dialplan_xml::config::settings;
use menus::{Action, Error, Menu, Opened, Store};
use serde_json::{Value, json};

use super::Gateway;
use super::given::{self, Body, Id};
use super::lists::{Asked, page};
use super::problem::Problem;
use super::tenant::Tenant;

type Answer = Result<Json<Value>, Problem>;

/// The data source name of `ivr.conf`, empty if it has none.
fn dsn(gateway: &Gateway) -> String {
    let params = settings(gateway.switch.config.load().document("ivr.conf"));
    params.last("odbc-dsn").unwrap_or_default().to_owned()
}

/// The store, if there is one.
async fn store(gateway: &Gateway) -> Result<Store, Problem> {
    let switch = &gateway.switch;
    let dsn = dsn(gateway);
    if dsn.is_empty() {
        let why = "no database of menus: ivr.conf has no odbc-dsn";
        return Err(Problem::new(StatusCode::NOT_FOUND, why));
    }
    let opened = switch.module::<Opened>();
    opened.get(&dsn, switch.dirs.db_dir.clone()).await.map_err(problem)
}

fn problem(error: Error) -> Problem {
    match error {
        Error::Unusable(field, why) => Problem::unusable(field, &why),
        Error::Database(error) => {
            tracing::error!("http: menus: {error}");
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, "the database of menus does not answer")
        }
    }
}

fn no_such_menu() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "no such menu")
}

/// `GET /api/ivr/menus`: those of the database, if there is one, then those of `ivr.conf` with their entries.
pub(super) async fn list(State(gateway): State<Gateway>, tenant: Tenant, asked: Asked) -> Answer {
    tenant.everything()?;
    let page = page(asked)?;
    let mut all = Vec::new();
    if !dsn(&gateway).is_empty() {
        let kept = store(&gateway).await?.list().await.map_err(problem)?;
        all.extend(kept.into_iter().map(|(id, welcome_message)| {
            json!({ "id": id, "welcome_message": welcome_message, "source": "database" })
        }));
    }
    let config = gateway.switch.config.load_full();
    let menus = config.tree.configuration("ivr.conf").and_then(|conf| conf.child("menus"));
    all.extend(menus.into_iter().flat_map(|menus| menus.children_named("menu")).map(of_file));
    Ok(page.of(all))
}

fn of_file(menu: dialplan_xml::Node<'_>) -> Value {
    let text = |node: dialplan_xml::Node<'_>, name: &str| node.attr_or_empty(name).to_owned();
    let entries = menu.children_named("entry").map(|entry| {
        json!({
            "digits": text(entry, "digits"),
            "action": text(entry, "action"),
            "param": text(entry, "param"),
        })
    });
    json!({
        "name": text(menu, "name"),
        "greet_long": text(menu, "greet-long"),
        "greet_short": text(menu, "greet-short"),
        "timeout_ms": text(menu, "timeout").parse::<u64>().ok(),
        "max_failures": text(menu, "max-failures").parse::<u64>().ok(),
        "entries": entries.collect::<Vec<_>>(),
        "source": "ivr.conf",
    })
}

/// `GET /api/ivr/menus/{id}`.
pub(super) async fn show(State(gateway): State<Gateway>, tenant: Tenant, Id(id): Id) -> Answer {
    tenant.everything()?;
    let id = given::name("id", &id)?;
    let found = store(&gateway).await?.find(&id).await.map_err(problem)?;
    Ok(Json(json!(found.ok_or_else(no_such_menu)?)))
}

/// `PUT /api/ivr/menus/{id}`.
pub(super) async fn save(
    State(gateway): State<Gateway>,
    tenant: Tenant,
    Id(id): Id,
    Body(menu): Body<Menu>,
) -> Answer {
    tenant.everything()?;
    let id = given::name("id", &id)?;
    if !menu.id.is_empty() && menu.id != id {
        return Err(Problem::unusable("id", "not that of the path"));
    }
    let menu = Menu { id, ..menu };
    is_harmless(&menu)?;
    store(&gateway).await?.save(&menu).await.map_err(problem)?;
    Ok(Json(json!(menu)))
}

/// `DELETE /api/ivr/menus/{id}`.
pub(super) async fn remove(State(gateway): State<Gateway>, tenant: Tenant, Id(id): Id) -> Answer {
    tenant.everything()?;
    let id = given::name("id", &id)?;
    let removed = store(&gateway).await?.remove(&id).await.map_err(problem)?;
    if removed { Ok(Json(json!({ "id": id }))) } else { Err(no_such_menu()) }
}

/// A client writes texts, numbers and names: no files, no addresses, nothing that a command could read.
fn is_harmless(menu: &Menu) -> Result<(), Problem> {
    let messages = [
        ("welcome_message", &menu.welcome_message),
        ("short_message", &menu.short_message),
        ("invalid_message", &menu.invalid_message),
        ("exit_message", &menu.exit_message),
    ];
    let of_options = menu.options.iter().map(|option| ("welcome_message", &option.welcome_message));
    for (field, text) in messages.into_iter().chain(of_options) {
        let text = text.trim_start();
        let file = text.contains("://")
            || text.starts_with('/')
            || ["say:", "phrase:"].iter().any(|prefix| text.starts_with(prefix));
        if file {
            return Err(Problem::unusable(field, "a text that is spoken, no file"));
        }
    }
    for option in &menu.options {
        let value = option.action_value.trim();
        match option.action_type {
            Action::Menu => drop(given::name("action_value", value)?),
            Action::Hangup if value.is_empty() => {}
            Action::Hangup => drop(given::name("action_value", value)?),
            Action::Transfer => {
                let mut words = value.split(' ');
                drop(given::number("action_value", words.next().unwrap_or_default())?);
                for word in words {
                    drop(given::name("action_value", word)?);
                }
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn menu(value: Value) -> Result<(), Problem> {
        is_harmless(&serde_json::from_value(value).unwrap())
    }

    #[test]
    fn clients_write_texts_and_numbers_and_nothing_else() {
        let option = |kind: &str, value: &str| {
            menu(
                json!({ "options": [{ "digit": "1", "action_type": kind, "action_value": value }] }),
            )
        };
        assert!(option("transfer", "1000 XML default").is_ok() && option("hangup", "").is_ok());
        assert!(option("menu", "sales").is_ok() && option("hangup", "USER_BUSY").is_ok());
        for bad in ["1000 XML default'", "&park()", "1000  XML", "a,b", ""] {
            assert!(option("transfer", bad).is_err(), "{bad}");
        }
        assert!(menu(json!({ "welcome_message": "Press 1; it's easy" })).is_ok());
        for bad in ["http://10.0.0.1/", "/etc/passwd", "say:x", "file_string://a!b"] {
            assert!(menu(json!({ "welcome_message": bad })).is_err(), "{bad}");
        }
    }
}
