//! Logins: users of the directory, `root`, and any client where authentication is off.

use std::sync::Arc;
use std::time::Duration;

use base::guess_guard::{Attempt, Verdict};
use dialplan_xml::directory::User;
use md5::{Digest, Md5};
use switch_core::clock;
use switch_core::guesses::Door;
use switch_core::switch::Switch;
use switch_core::xml;

use crate::client::{Client, Login, Pairs};
use crate::connection;
use crate::hub::Hub;
use crate::permissions::Allowed;
use crate::rpc::{self, Object};
use crate::settings::UserAuth;

/// Pairs one login may bring, and the length of a name and of a value.
const MOST_PAIRS: usize = 64;
const LONGEST_NAME: usize = 128;
const LONGEST_VALUE: usize = 4096;
/// A login that has ended already lasts this long, as in the reference, seconds.
const SHORT: i64 = 300;
/// How long a client that guesses waits for its answer.
const SLOW: Duration = Duration::from_secs(1);

/// Why a login is refused: code and message.
type Refused = (i64, &'static str);

/// Lets a client in, or says why not.
pub(crate) async fn check(
    switch: &Arc<Switch>,
    client: &Arc<Client>,
    params: Option<&Object>,
) -> Result<(), Refused> {
    let params = params.ok_or((rpc::AUTH_FAILED, "Missing params"))?;
    let Some(name) = rpc::text(params, "login").filter(|name| !name.is_empty()) else {
        return Err((rpc::AUTH_REQUIRED, "Authentication Required"));
    };
    let Some(password) = rpc::text(params, "passwd").filter(|password| !password.is_empty()) else {
        return Err(tell(switch, client, name, "Missing passwd"));
    };
    let attempt = Attempt { address: client.address.ip(), account: Some(name) };
    if let Verdict::Wait(_) = switch.guesses.ask(Door::Verto, &attempt) {
        tokio::time::sleep(SLOW).await;
        return Err(tell(switch, client, name, "Authentication Failure"));
    }
    match judge(switch, client, params, name, password).await {
        Ok(login) => {
            switch.guesses.passed(Door::Verto, &attempt);
            tracing::info!(
                fs_level = "NOTICE",
                "Login successful for user: {} domain: {}",
                login.id,
                login.domain
            );
            client.with(|state| {
                state.login = login;
                state.authed = true;
            });
            Ok(())
        }
        Err("Missing or improper credentials") => {
            Err((rpc::AUTH_FAILED, "Missing or improper credentials"))
        }
        Err(message) => {
            switch.guess_failed(Door::Verto, &attempt);
            Err(tell(switch, client, name, message))
        }
    }
}

/// Tells programs of a login that failed.
fn tell(switch: &Switch, client: &Client, name: &str, message: &'static str) -> Refused {
    connection::tell(switch, client, "verto::login", |event| {
        event.push("verto_login", name.to_owned());
        event.push("verto_success", "0");
        event.push("verto_result_txt", message);
    });
    (rpc::AUTH_FAILED, message)
}

/// Tells programs of one that succeeded.
pub(crate) fn tell_success(switch: &Switch, client: &Client, params: Option<&Object>) {
    let text = |name| params.and_then(|params| rpc::text(params, name)).map(str::to_owned);
    let (name, session) = (text("login"), text("sessid"));
    connection::tell(switch, client, "verto::login", |event| {
        event.push_some("verto_login", name);
        event.push_some("verto_sessid", session);
        event.push("verto_success", "1");
        event.push("verto_result_txt", "Logged in");
    });
}

async fn judge(
    switch: &Arc<Switch>,
    client: &Client,
    params: &Object,
    name: &str,
    password: &str,
) -> Result<Login, &'static str> {
    let settings = &client.profile.settings;
    if let Some(root) = settings.root_password.as_deref().filter(|_| name == "root") {
        return match same(password, root) {
            true => Ok(Login {
                id: "root".into(),
                uid: "root".into(),
                root: true,
                user_vars: user_variables(switch, params),
                ..Login::default()
            }),
            false => Err("Authentication Failure"),
        };
    }
    let (id, domain) = whom(settings, name).ok_or("Missing or improper credentials")?;
    let shared = Hub::of(switch).shared.load_full();
    let shows_password = settings.send_password || shared.send_password;
    let login_params = rpc::object_in(params, "loginParams");
    let asked: Pairs = login_params.map(bounded).unwrap_or_default();
    let found = xml::find_user(switch, &id, &domain, |event| {
        for (name, value) in &asked {
            event.push(name.clone(), value.as_str());
        }
        if shows_password {
            event.push("user_supplied_pass", password.to_owned());
        }
        event.push("action", "jsonrpc-authenticate");
    })
    .await;
    let uid = format!("{id}@{domain}");
    let of_client = user_variables(switch, params);
    let Some(user) = found else {
        tracing::warn!("Login incorrect for user: {id} domain: {domain}");
        return match settings.blind_reg {
            true => Ok(Login {
                methods: Allowed::Any,
                id,
                domain,
                uid,
                user_vars: of_client,
                ..Login::default()
            }),
            false => Err("Login Incorrect"),
        };
    };
    if !is_right(&user, (&id, &domain), password) {
        switch.xml.flush_users(Some((&id, &domain, None)));
        return Err("Authentication Failure");
    }
    Ok(login_of(&user, (id, domain, uid), of_client))
}

/// User and domain of a login.
fn whom(settings: &crate::settings::ProfileSettings, name: &str) -> Option<(String, String)> {
    let (id, domain) = match &settings.user_auth {
        UserAuth::Domain(domain) => (name, Some(domain.as_str())),
        UserAuth::Login if settings.chop_domain => match name.split_once('@') {
            Some((id, domain)) => (id, Some(domain)),
            None => (name, None),
        },
        UserAuth::Login => (name, None),
        UserAuth::RootOnly | UserAuth::Off => return None,
    };
    let domain = settings.register_domain.as_deref().or(domain).filter(|domain| !domain.is_empty());
    Some((id.to_owned(), domain?.to_owned())).filter(|(id, _)| !id.is_empty())
}

/// Does the password fit the user? The last of several passwords counts, as in the reference, but `password` once.
fn is_right(user: &User, (id, domain): (&str, &str), password: &str) -> bool {
    let mut wanted: Option<(&str, bool)> = None;
    for param in user.params.iter() {
        match param.name.to_ascii_lowercase().as_str() {
            "password" if wanted.is_none() => wanted = Some((&param.value, false)),
            "jsonrpc-password" => wanted = Some((&param.value, wanted.is_some_and(|(_, h)| h))),
            "a1-hash" => wanted = Some((&param.value, true)),
            _ => {}
        }
    }
    match wanted {
        Some(("", _)) | None => false,
        Some((hash, true)) => {
            let made = Md5::digest(format!("{id}:{domain}:{password}"));
            let made: String = made.iter().map(|byte| format!("{byte:02x}")).collect();
            same(&made, hash)
        }
        Some((value, false)) => same(password, value),
    }
}

/// Compares in a time that tells nothing but the length.
fn same(one: &str, other: &str) -> bool {
    one.len() == other.len()
        && one.bytes().zip(other.bytes()).fold(0, |odd, (a, b)| odd | (a ^ b)) == 0
}

fn login_of(user: &User, (id, domain, uid): (String, String, String), of_client: Pairs) -> Login {
    let all = |params: &dialplan_xml::config::Params| -> Pairs {
        params.iter().map(|param| (param.name.to_string(), param.value.to_string())).collect()
    };
    let last = |name: &str| user.params.last(name).filter(|value| !value.is_empty());
    let vars = all(&user.variables);
    let user_vars = of_client.into_iter().chain(vars.iter().cloned()).collect();
    let now = clock::now_secs();
    let expires = user.variables.last("login-expires").map(|value| {
        let until = base::text::int(value);
        if until > now { until } else { now + SHORT }
    });
    let mut params = all(&user.params);
    // The password is not needed any more.
    params.retain(|(name, _)| {
        !["password", "jsonrpc-password", "a1-hash", "vm-password"]
            .iter()
            .any(|secret| secret.eq_ignore_ascii_case(name))
    });
    let mut methods = Allowed::parse(last("jsonrpc-allowed-methods"));
    methods.change("login", true);
    Login {
        methods,
        jsapi: Allowed::parse(last("jsonrpc-allowed-jsapi")),
        fsapi: Allowed::parse(last("jsonrpc-allowed-fsapi")),
        event_channels: Allowed::parse(last("jsonrpc-allowed-event-channels")),
        dialplan: last("verto-dialplan").map(str::to_owned),
        context: last("verto-context").map(str::to_owned),
        id,
        domain,
        uid,
        params,
        vars,
        user_vars,
        expires,
        root: false,
    }
}

/// The variables a client brings for its calls. Those that change what the switch does are its administrator's: a client
/// that could set `execute_on_answer` would run what it likes.
fn user_variables(switch: &Switch, params: &Object) -> Pairs {
    let Some(given) = rpc::object_in(params, "userVariables") else { return Pairs::new() };
    let mut taken = bounded(given);
    taken.retain(|(name, _)| {
        let free = is_free(switch, name);
        if !free {
            tracing::warn!("A client may not set the variable {name}");
        }
        free
    });
    taken
}

/// Is the variable one the switch does not act on?
pub(crate) fn is_free(switch: &Switch, name: &str) -> bool {
    // Flags of members and rooms are read from all names that begin like theirs; guests of rooms are known by user and domain.
    const OURS: [&str; 15] = [
        "conference_",
        "domain_name",
        "user_name",
        "execute_on_",
        "api_on_",
        "bridge_",
        "sip_",
        "rtp_",
        "origination_",
        "effective_",
        "exec_",
        "api_",
        "hangup_",
        "transfer_",
        "record_",
    ];
    let lower = name.to_ascii_lowercase();
    switch.known.variable(name).is_none() && !OURS.iter().any(|start| lower.starts_with(start))
}

/// The pairs of an object that can stand in variables, as many and as long as may be.
pub(crate) fn bounded(object: &Object) -> Pairs {
    rpc::pairs(object)
        .filter(|(name, value)| {
            let plain = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
            name.len() <= LONGEST_NAME && name.chars().all(plain) && value.len() <= LONGEST_VALUE
        })
        .take(MOST_PAIRS)
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(params: &str) -> User {
        let text = format!(
            "<document><section name=\"directory\"><domain name=\"d\"><groups><group name=\"g\"><users>\
             <user id=\"u\"><params>{params}</params><variables><variable name=\"v\" value=\"1\"/></variables></user>\
             </users></group></groups></domain></section></document>"
        );
        let tree = dialplan_xml::parse_raw(&text, "test").tree.expect("a tree");
        let directory = dialplan_xml::directory::Directory::compile(&tree);
        directory.find_user("u", "d").expect("a user")
    }

    #[test]
    fn passwords_are_compared_as_the_directory_has_them() {
        let right = |params: &str, password: &str| is_right(&user(params), ("u", "d"), password);
        let plain = r#"<param name="password" value="p"/>"#;
        assert!(right(plain, "p") && !right(plain, "q") && !right(plain, "pp"));
        assert!(!right("", ""), "no password is no way in");
        assert!(!right(r#"<param name="password" value=""/>"#, ""));
        let own = r#"<param name="password" value="p"/><param name="jsonrpc-password" value="j"/>"#;
        assert!(right(own, "j") && !right(own, "p"));
        // md5 of u:d:p
        let hash = Md5::digest("u:d:p").iter().map(|b| format!("{b:02x}")).collect::<String>();
        let hashed = format!(r#"<param name="a1-hash" value="{hash}"/>"#);
        assert!(right(&hashed, "p") && !right(&hashed, "q") && !right(&hashed, &hash));
    }

    #[test]
    fn a_login_keeps_no_password_and_has_what_its_user_may() {
        let user = user(
            r#"<param name="password" value="p"/><param name="jsonrpc-allowed-methods" value="verto"/>
            <param name="verto-context" value="c"/>"#,
        );
        let login =
            login_of(&user, ("u".into(), "d".into(), "u@d".into()), vec![("v".into(), "0".into())]);
        assert!(login.param("password").is_none());
        assert!(
            login.methods.has_family("verto.invite", false) && login.methods.has("login", false)
        );
        assert!(!login.methods.has_family("fsapi", false));
        assert_eq!(login.context.as_deref(), Some("c"));
        assert_eq!(login.user_vars.last().map(|(_, value)| value.as_str()), Some("1"));
    }
}
