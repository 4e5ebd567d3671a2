//! `httapi.conf`: profiles and what a server may do under each.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use dialplan_xml::Node;
use dialplan_xml::config::{Params, settings};
use http_client::tls::{self, TlsSettings};
use http_client::{Client, Login, Schemes};
use switch_core::text;

/// Longest answer to a request, bytes.
pub(crate) const MAX_ANSWER: usize = 1 << 20;
/// How long a request may take where the profile has no `timeout`.
const DEADLINE: Duration = Duration::from_secs(60);
/// What servers see us as.
pub(crate) const AGENT: &str = "mod_httapi/1.0";

/// Names allowed or denied by a permission's list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct NameList {
    others: bool,
    named: Vec<(String, bool)>,
}

impl NameList {
    /// The list `list` of `item` elements in a permission. Whether names that are not in it are allowed stands at the
    /// permission itself (`default`), as the reference reads it.
    fn read(permission: Node<'_>, list: &str, item: &str) -> Option<Self> {
        let list = permission.child(list)?;
        let others = permission.attr_or_empty("default").eq_ignore_ascii_case("allow");
        let named = list.children_named(item).filter_map(|node| {
            let kind = node.attr("type").filter(|kind| !kind.is_empty());
            let allowed = kind.map_or(!others, |kind| !kind.starts_with('d'));
            Some((node.attr("name")?.to_owned(), allowed))
        });
        Some(Self { others, named: named.collect() })
    }

    fn allows(&self, name: &str) -> bool {
        let named = self.named.iter().rfind(|(own, _)| own.eq_ignore_ascii_case(name));
        named.map_or(self.others, |(_, allowed)| *allowed)
    }
}

/// May this name be used? Without a list any may.
pub(crate) fn allows(list: Option<&NameList>, name: &str) -> bool {
    list.is_none_or(|list| list.allows(name))
}

/// What a server may do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Permissions {
    pub(crate) set_params: bool,
    pub(crate) set_vars: bool,
    pub(crate) get_vars: bool,
    pub(crate) extended_data: bool,
    pub(crate) execute_apps: bool,
    pub(crate) expand_vars: bool,
    pub(crate) dial: bool,
    pub(crate) dial_set_context: bool,
    pub(crate) dial_set_dialplan: bool,
    pub(crate) dial_set_cid_name: bool,
    pub(crate) dial_set_cid_number: bool,
    pub(crate) dial_full_originate: bool,
    pub(crate) conference: bool,
    pub(crate) conference_set_profile: bool,
    pub(crate) set_list: Option<NameList>,
    pub(crate) get_list: Option<NameList>,
    pub(crate) app_list: Option<NameList>,
    pub(crate) expand_list: Option<NameList>,
    pub(crate) api_list: Option<NameList>,
}

impl Permissions {
    fn read(node: Option<Node<'_>>) -> Self {
        let mut all = Self { set_params: true, dial: true, conference: true, ..Self::default() };
        for node in node.into_iter().flat_map(|node| node.children_named("permission")) {
            all.take(node);
        }
        all
    }

    fn take(&mut self, node: Node<'_>) {
        let on = text::is_true(node.attr_or_empty("value"));
        match node.attr_or_empty("name").to_ascii_lowercase().as_str() {
            // `none` with a true value allows everything, too (reference behaviour).
            "all" | "none" => self.set_all(on),
            "set-params" => self.set_params = on,
            "set-vars" => {
                self.set_vars = on;
                keep(&mut self.set_list, on, node, "variable-list", "variable");
            }
            "get-vars" => {
                self.get_vars = on;
                keep(&mut self.get_list, on, node, "variable-list", "variable");
            }
            "extended-data" => self.extended_data = on,
            "execute-apps" => {
                self.execute_apps = on;
                keep(&mut self.app_list, on, node, "application-list", "application");
            }
            "expand-vars" => {
                self.expand_vars = on;
                keep(&mut self.expand_list, on, node, "variable-list", "variable");
                keep(&mut self.api_list, on, node, "api-list", "api");
            }
            "dial" => self.dial = on,
            "dial-set-context" => (self.dial, self.dial_set_context) = (self.dial || on, on),
            "dial-set-dialplan" => (self.dial, self.dial_set_dialplan) = (self.dial || on, on),
            "dial-set-cid-name" => (self.dial, self.dial_set_cid_name) = (self.dial || on, on),
            "dial-set-cid-number" => (self.dial, self.dial_set_cid_number) = (self.dial || on, on),
            "dial-full-originate" => (self.dial, self.dial_full_originate) = (self.dial || on, on),
            "conference" => self.conference = on,
            "conference-set-profile" => {
                (self.conference, self.conference_set_profile) = (self.conference || on, on);
            }
            other => tracing::warn!("httapi.conf: there is no permission {other}"),
        }
    }

    fn set_all(&mut self, on: bool) {
        *self = Self {
            set_params: on,
            set_vars: on,
            get_vars: on,
            extended_data: on,
            execute_apps: on,
            expand_vars: on,
            dial: on,
            dial_set_context: on,
            dial_set_dialplan: on,
            dial_set_cid_name: on,
            dial_set_cid_number: on,
            dial_full_originate: on,
            conference: on,
            conference_set_profile: on,
            ..std::mem::take(self)
        };
    }
}

fn keep(slot: &mut Option<NameList>, on: bool, node: Node<'_>, list: &str, item: &str) {
    if on && let Some(read) = NameList::read(node, list, item) {
        *slot = Some(read);
    }
}

/// A profile.
pub(crate) struct Profile {
    pub(crate) name: String,
    /// Where requests go unless the call says otherwise.
    pub(crate) url: String,
    /// The verb, as it is sent; GET where it is `None`.
    pub(crate) method: Option<String>,
    pub(crate) agent: String,
    /// How long a request may take.
    pub(crate) deadline: Duration,
    /// The fields that are sent; all when empty.
    pub(crate) only: Vec<String>,
    pub(crate) conference_profile: String,
    pub(crate) permissions: Permissions,
    pub(crate) tls: Arc<tls::ClientConfig>,
    pub(crate) bind: Option<IpAddr>,
    pub(crate) login: Option<Login>,
    pub(crate) schemes: Schemes,
    pub(crate) cookies: Option<Cookies>,
}

/// What servers set by `Set-Cookie`, kept while the profile is in force (`cookie-file`).
pub(crate) type Cookies = parking_lot::Mutex<HashMap<String, Vec<(String, String)>>>;

impl Profile {
    fn read(node: Node<'_>) -> Option<Self> {
        let name = node.attr_or_empty("name").to_owned();
        if name.is_empty() {
            tracing::error!("httapi.conf: profile tag missing name field!");
            return None;
        }
        let params = Params::read(node.child("params"), "param");
        let value = |name: &str| params.last(name).filter(|value| !value.is_empty());
        let Some(url) = params.last("gateway-url") else {
            tracing::error!("httapi.conf: {name}: Profile has no url!");
            return None;
        };
        let seconds = |name: &str| {
            let seconds = u64::try_from(text::int(value(name)?)).ok().filter(|s| *s > 0)?;
            Some(Duration::from_secs(seconds))
        };
        let is = |name: &str| value(name).is_some_and(text::is_true);
        let tls = tls::client(TlsSettings {
            check_authority: is("enable-cacert-check"),
            check_name: is("enable-ssl-verifyhost"),
            authorities: value("ssl-cacert-file"),
            certificate: value("ssl-cert-path"),
            key: value("ssl-key-path"),
            version: value("ssl-version"),
            allow_expired: false,
        })
        .inspect_err(|error| tracing::error!("httapi.conf: {name}: {error}"))
        .ok()?;
        let schemes = schemes(value("auth-scheme").unwrap_or("basic"));
        let login = value("gateway-credentials").map(|pair| login(pair, schemes));
        let bind = value("bind-local").and_then(|address| {
            let parsed = address.parse();
            if parsed.is_err() {
                tracing::error!("httapi.conf: {name}: bind-local is no address: {address}");
            }
            parsed.ok()
        });
        let conference = Params::read(node.child("conference"), "param");
        Some(Self {
            url: url.to_owned(),
            method: value("method").map(str::to_owned),
            agent: params.last("user-agent").unwrap_or(AGENT).to_owned(),
            deadline: seconds("timeout").unwrap_or(DEADLINE),
            only: params.all("enable-post-var").map(str::to_owned).collect(),
            conference_profile: conference.last("default-profile").unwrap_or("default").to_owned(),
            permissions: Permissions::read(node.child("permissions")),
            tls: Arc::new(tls),
            bind,
            login,
            schemes,
            cookies: value("cookie-file").map(|_| Cookies::default()),
            name,
        })
    }

    /// A client for a request, with credentials that stand in its address before the profile's own.
    pub(crate) fn client(&self, own: Option<Login>, public_only: bool) -> Client {
        let login = own.or_else(|| self.login.clone());
        let mut client = Client::new(Arc::clone(&self.tls), self.bind, login, MAX_ANSWER);
        if public_only {
            client.reaches = Some(http_client::reach::is_public);
        }
        client
    }
}

pub(crate) fn login(pair: &str, schemes: Schemes) -> Login {
    let (user, password) = pair.split_once(':').unwrap_or((pair, ""));
    Login { user: user.to_owned(), password: password.to_owned(), schemes }
}

fn schemes(word: &str) -> Schemes {
    // Beginning with `=` it replaces basic, without it is added.
    let (alone, word) = word.strip_prefix('=').map_or((false, word), |word| (true, word));
    match word.to_ascii_lowercase().as_str() {
        "digest" => Schemes { basic: !alone, digest: true },
        "any" => Schemes { basic: true, digest: true },
        _ => Schemes { basic: true, digest: false },
    }
}

/// The file.
pub(crate) struct Settings {
    /// Answers are written to the log.
    pub(crate) debug: bool,
    pub(crate) profiles: Vec<Arc<Profile>>,
}

impl Settings {
    /// Reads the configuration; `None` when it has no profile that can be used.
    pub(crate) fn read(conf: Node<'_>) -> Option<Self> {
        let params = settings(Some(conf));
        let Some(profiles) = conf.child("profiles") else {
            tracing::error!("httapi.conf: Missing <profiles> tag!");
            return None;
        };
        let mut read: Vec<Arc<Profile>> = Vec::new();
        for profile in profiles.children_named("profile").filter_map(Profile::read) {
            if read.iter().any(|own| own.name == profile.name) {
                tracing::error!("httapi.conf: Profile {} already exists", profile.name);
            } else {
                read.push(Arc::new(profile));
            }
        }
        (!read.is_empty()).then_some(Self {
            debug: params.last("debug").is_some_and(text::is_true),
            profiles: read,
        })
    }

    pub(crate) fn profile(&self, name: &str) -> Option<&Arc<Profile>> {
        self.profiles.iter().find(|profile| profile.name == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(xml: &str) -> Option<Settings> {
        let tree = dialplan_xml::parse_raw(xml, "httapi.conf").tree.expect("well-formed");
        Settings::read(tree.root())
    }

    fn permissions(inside: &str) -> Permissions {
        let xml = format!(
            r#"<configuration><profiles><profile name="default"><permissions>{inside}</permissions>
            <params><param name="gateway-url" value="http://a/"/></params></profile></profiles></configuration>"#
        );
        read(&xml).unwrap().profile("default").unwrap().permissions.clone()
    }

    #[test]
    fn without_permissions_a_server_may_dial_confer_and_set_params() {
        let all = permissions("");
        assert!(all.set_params && all.dial && all.conference);
        assert!(!(all.set_vars || all.get_vars || all.execute_apps || all.expand_vars));
        assert!(!(all.dial_full_originate || all.conference_set_profile));
    }

    #[test]
    fn a_list_allows_what_it_names_or_what_it_does_not_deny() {
        let list = |head: &str| {
            permissions(&format!(
                r#"<permission name="set-vars" value="true" {head}><variable-list>
                <variable name="one"/><variable name="two" type="deny"/></variable-list></permission>"#
            ))
        };
        let deny = list("");
        let may = |all: &Permissions, name: &str| allows(all.set_list.as_ref(), name);
        assert_eq!(["one", "two", "three"].map(|n| may(&deny, n)), [true, false, false]);
        let allow = list(r#"default="allow""#);
        assert_eq!(["one", "two", "three"].map(|n| may(&allow, n)), [false, false, true]);
        assert!(allows(None, "anything"));
    }

    #[test]
    fn rights_of_dialling_bring_dialling_with_them() {
        let all = permissions(
            r#"<permission name="none" value="false"/><permission name="dial-set-context" value="true"/>"#,
        );
        assert!(all.dial && all.dial_set_context && !all.dial_full_originate && !all.conference);
        assert!(permissions(r#"<permission name="all" value="true"/>"#).expand_vars);
    }

    #[test]
    fn a_profile_without_an_address_is_none() {
        assert!(
            read("<configuration><profiles><profile name='a'/></profiles></configuration>")
                .is_none()
        );
        assert!(read("<configuration/>").is_none());
    }
}
