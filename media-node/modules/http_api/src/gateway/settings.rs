//! The gateway's part of `http_api.conf`.

use std::path::PathBuf;

use dialplan_xml::Node;
use jsonwebtoken::DecodingKey;
use url::Url;

/// Shortest secret for HS256, bytes: as long as what it makes (RFC 7518, section 3.2).
const SHORTEST_SECRET: usize = 32;

/// What is wrong with the file.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SettingsError {
    /// A secret that can be guessed.
    #[error("jwt-secret: at least {SHORTEST_SECRET} bytes")]
    ShortSecret,
    /// A file with a public key that cannot be used.
    #[error("jwt-public-key: {0}: {1}")]
    Key(PathBuf, String),
    /// An address that is none.
    #[error("{0}: {1} is no address")]
    Address(&'static str, String),
    /// An API key that says too little.
    #[error("an api-key needs a name and a sha256 of 64 hexadecimal digits")]
    ApiKey,
    /// A scope there is not.
    #[error("{0} is no scope: calls:read, calls:write, system:read, system:write, events:read")]
    Scope(String),
    /// A dial string without a place for the number.
    #[error("dial-string: no {{to}} in it")]
    DialString,
}

/// What a client may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Scope {
    CallsRead,
    CallsWrite,
    SystemRead,
    /// Commands of the switch, and what it keeps.
    SystemWrite,
    EventsRead,
}

impl Scope {
    /// Its name in tokens and in the configuration.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "calls:read" => Self::CallsRead,
            "calls:write" => Self::CallsWrite,
            "system:read" => Self::SystemRead,
            "system:write" => Self::SystemWrite,
            "events:read" => Self::EventsRead,
            _ => return None,
        })
    }
}

/// A client that shows a key instead of a token.
#[derive(Clone, Debug)]
pub(super) struct ApiKey {
    pub(super) name: String,
    /// SHA-256 of the key.
    pub(super) hash: [u8; 32],
    pub(super) scopes: Vec<Scope>,
    /// The only domain whose calls it is for.
    pub(super) domain: Option<String>,
}

/// The settings of the gateway.
#[derive(Clone)]
pub(crate) struct Settings {
    pub(super) keys: Vec<ApiKey>,
    pub(super) secret: Option<DecodingKey>,
    pub(super) public_key: Option<DecodingKey>,
    pub(super) jwks: Option<Url>,
    pub(super) issuer: Option<String>,
    pub(super) audience: Option<String>,
    pub(super) origins: Vec<String>,
    /// Requests of one client per second.
    pub(super) rate: u32,
    pub(super) dial_string: String,
    pub(super) context: String,
    pub(super) application: String,
    /// Data source name of users, trunks and routes.
    pub(super) resources: String,
    /// Users and routes one tenant may keep.
    pub(super) tenant_users: usize,
    pub(super) tenant_routes: usize,
    /// Data source name of a table of users that another program keeps, and the query that finds one.
    pub(super) extensions: Option<String>,
    pub(super) extensions_query: String,
    /// Data source name of call records, and their table.
    pub(super) history: Option<String>,
    pub(super) history_table: String,
}

impl Settings {
    /// Reads `http_api.conf`; `None` where nothing says how clients are known.
    pub(crate) fn read(conf: Option<Node<'_>>) -> Result<Option<Self>, SettingsError> {
        let mut read = Self {
            keys: Vec::new(),
            secret: None,
            public_key: None,
            jwks: None,
            issuer: None,
            audience: None,
            origins: Vec::new(),
            rate: 50,
            dial_string: "loopback/{to}/{context}".to_owned(),
            context: "default".to_owned(),
            application: "park".to_owned(),
            resources: "gateway".to_owned(),
            tenant_users: 10_000,
            tenant_routes: 1_000,
            extensions: None,
            extensions_query: super::extensions::QUERY.to_owned(),
            history: None,
            history_table: "cdr".to_owned(),
        };
        for param in &dialplan_xml::config::settings(conf) {
            let value = &*param.value;
            if value.is_empty() {
                continue;
            }
            match param.name.to_ascii_lowercase().as_str() {
                "jwt-secret" if value.len() < SHORTEST_SECRET => {
                    return Err(SettingsError::ShortSecret);
                }
                "jwt-secret" => read.secret = Some(DecodingKey::from_secret(value.as_bytes())),
                "jwt-public-key" => {
                    let failed = |error: &dyn std::fmt::Display| {
                        SettingsError::Key(PathBuf::from(value), error.to_string())
                    };
                    let pem = std::fs::read(value).map_err(|error| failed(&error))?;
                    let key = DecodingKey::from_rsa_pem(&pem).map_err(|error| failed(&error))?;
                    read.public_key = Some(key);
                }
                "jwks-url" => {
                    let wrong = |_| SettingsError::Address("jwks-url", value.to_owned());
                    read.jwks = Some(Url::parse(value).map_err(wrong)?);
                }
                "jwt-issuer" => read.issuer = Some(value.to_owned()),
                "jwt-audience" => read.audience = Some(value.to_owned()),
                "cors-origin" => read.origins.push(value.to_owned()),
                "rate-limit" => read.rate = value.parse().unwrap_or(50).max(1),
                "dial-string" if !value.contains("{to}") => return Err(SettingsError::DialString),
                "dial-string" => value.clone_into(&mut read.dial_string),
                "default-context" => value.clone_into(&mut read.context),
                "extensions-dsn" => read.extensions = Some(value.to_owned()),
                "extensions-query" => value.clone_into(&mut read.extensions_query),
                "history-dsn" => read.history = Some(value.to_owned()),
                "history-table" => value.clone_into(&mut read.history_table),
                "resources-dsn" => value.clone_into(&mut read.resources),
                "tenant-users" => read.tenant_users = value.parse().unwrap_or(read.tenant_users),
                "tenant-routes" => read.tenant_routes = value.parse().unwrap_or(read.tenant_routes),
                "call-application" => value.clone_into(&mut read.application),
                _ => {}
            }
        }
        let keys = conf.and_then(|conf| conf.child("api-keys")).into_iter();
        for node in keys.flat_map(|keys| keys.children_named("api-key")) {
            read.keys.push(api_key(node)?);
        }
        let any = !read.keys.is_empty()
            || read.secret.is_some()
            || read.public_key.is_some()
            || read.jwks.is_some();
        Ok(any.then_some(read))
    }
}

fn api_key(node: Node<'_>) -> Result<ApiKey, SettingsError> {
    let name = node.attr("name").filter(|name| !name.is_empty()).ok_or(SettingsError::ApiKey)?;
    let hash = node.attr("sha256").and_then(from_hex).ok_or(SettingsError::ApiKey)?;
    let words = node.attr("scopes").unwrap_or_default().split_whitespace();
    let scopes = words
        .map(|word| Scope::parse(word).ok_or_else(|| SettingsError::Scope(word.to_owned())))
        .collect::<Result<_, _>>()?;
    let domain = node.attr("domain").filter(|domain| !domain.is_empty());
    if domain.is_some_and(|domain| super::given::name("domain", domain).is_err()) {
        return Err(SettingsError::ApiKey);
    }
    Ok(ApiKey { name: name.to_owned(), hash, scopes, domain: domain.map(str::to_owned) })
}

fn from_hex(text: &str) -> Option<[u8; 32]> {
    let mut hash = [0; 32];
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    for (byte, at) in hash.iter_mut().zip((0..64).step_by(2)) {
        *byte = u8::from_str_radix(text.get(at..at + 2)?, 16).ok()?;
    }
    Some(hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(inner: &str) -> Result<Option<Settings>, SettingsError> {
        let text = format!(
            "<document><section name=\"configuration\"><configuration name=\"http_api.conf\">{inner}</configuration></section></document>"
        );
        let tree = dialplan_xml::parse_raw(&text, "test").tree.expect("a tree");
        Settings::read(tree.configuration("http_api.conf"))
    }

    #[test]
    fn without_a_key_there_is_no_gateway() {
        assert!(read("<settings/>").expect("settings").is_none());
    }

    #[test]
    fn a_secret_that_can_be_guessed_is_refused() {
        let error = read("<settings><param name=\"jwt-secret\" value=\"secret\"/></settings>");
        assert!(matches!(error, Err(SettingsError::ShortSecret)));
    }

    #[test]
    fn keys_have_a_hash_and_scopes_that_exist() {
        let hash = "ab".repeat(32);
        let key = |scopes: &str| {
            read(&format!(
                "<api-keys><api-key name=\"crm\" sha256=\"{hash}\" scopes=\"{scopes}\"/></api-keys>"
            ))
        };
        let settings = key("calls:read calls:write").expect("settings").expect("a key");
        assert_eq!(settings.keys[0].scopes, [Scope::CallsRead, Scope::CallsWrite]);
        assert_eq!(settings.keys[0].hash, [0xab; 32]);
        assert!(matches!(key("calls:all"), Err(SettingsError::Scope(_))));
    }
}
