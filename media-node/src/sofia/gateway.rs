//! A gateway: a carrier, how to reach it and who we are to it.

use std::sync::atomic::AtomicU64;

use dialplan_xml::config::GatewayConf;

use super::settings::Settings;
use crate::text;

/// One gateway.
pub struct Gateway {
    /// Its name.
    pub name: String,
    /// The profile it belongs to.
    pub profile: String,
    /// Its configuration.
    pub conf: GatewayConf,
    /// Account.
    pub username: String,
    /// Secret; never shown.
    pub password: String,
    /// Digest user name.
    pub auth_username: String,
    /// Realm.
    pub realm: String,
    /// Host (and port, parameters) calls go to.
    pub proxy: String,
    /// User part of From.
    pub from_user: String,
    /// Host part of From.
    pub from_domain: Option<String>,
    /// From carries the caller's number.
    pub caller_id_in_from: bool,
    /// Does it register?
    pub register: bool,
    /// Where calls from it go.
    pub extension: Option<String>,
    /// Context of calls from it.
    pub context: Option<String>,
    /// `udp`, `tcp`.
    pub transport: String,
    /// Prefix of dialled numbers.
    pub destination_prefix: String,
    /// Next hop of calls.
    pub outbound_proxy: Option<String>,
    /// Counters.
    pub counters: GatewayCounters,
}

/// Calls through a gateway.
#[derive(Debug, Default)]
pub struct GatewayCounters {
    /// Calls in.
    pub calls_in: AtomicU64,
    /// Calls out.
    pub calls_out: AtomicU64,
    /// Calls in that failed.
    pub failed_in: AtomicU64,
    /// Calls out that failed.
    pub failed_out: AtomicU64,
}

impl Gateway {
    /// Reads a gateway.
    ///
    /// # Errors
    /// A text that says what is missing.
    pub fn read(profile: &str, conf: &GatewayConf, _settings: &Settings) -> Result<Self, String> {
        let get = |name: &str| {
            conf.params
                .get(name)
                .map(str::trim)
                .filter(|value| !value.is_empty())
                .map(str::to_owned)
        };
        let register = get("register").is_none_or(|value| text::is_true(&value));
        let username = match get("username") {
            Some(username) => username,
            None if register => return Err("a gateway that registers needs a username".into()),
            None => "FreeSWITCH".into(),
        };
        let password = match get("password") {
            Some(password) => password,
            None if register => return Err("a gateway that registers needs a password".into()),
            None => String::new(),
        };
        let realm = get("realm").or_else(|| get("proxy")).unwrap_or_else(|| conf.name.clone());
        Ok(Self {
            name: conf.name.clone(),
            profile: profile.to_owned(),
            auth_username: get("auth-username").unwrap_or_else(|| username.clone()),
            proxy: get("proxy").unwrap_or_else(|| realm.clone()),
            from_user: get("from-user").unwrap_or_else(|| username.clone()),
            from_domain: get("from-domain"),
            caller_id_in_from: get("caller-id-in-from").is_some_and(|value| text::is_true(&value)),
            extension: get("extension"),
            context: get("context"),
            transport: get("register-transport").unwrap_or_else(|| "udp".into()),
            destination_prefix: get("destination-prefix").unwrap_or_default(),
            outbound_proxy: get("outbound-proxy"),
            counters: GatewayCounters::default(),
            conf: conf.clone(),
            username,
            password,
            realm,
            register,
        })
    }

    /// Answers the carrier's challenges.
    #[must_use]
    pub fn authorizer(&self) -> std::sync::Arc<dyn sip::digest::Authorizer> {
        std::sync::Arc::new(sip::digest::PasswordAuthorizer::new(
            self.auth_username.clone(),
            sip::digest::Secret::Password(self.password.clone()),
            String::new(),
        ))
    }

    /// Can calls go out through it now?
    #[must_use]
    pub fn is_up(&self) -> bool {
        !self.register
    }
}
