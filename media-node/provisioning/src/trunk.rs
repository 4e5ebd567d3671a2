//! A trunk: a gateway of a SIP profile.

use dialplan_xml::Element;
use serde::{Deserialize, Serialize};

use crate::{Error, Resource, Snapshot, checks};

/// A gateway of a SIP profile. Empty texts stand for what is not set.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Trunk {
    /// Its name in dial strings: `sofia/gateway/NAME/number`.
    pub name: String,
    /// The SIP profile it belongs to.
    pub profile: String,
    /// Where calls go: `host` or `host:port`.
    pub proxy: String,
    /// Whether it registers.
    pub register: bool,
    /// `udp`, `tcp` or `tls`.
    pub transport: String,
    /// Account.
    pub username: String,
    /// Its password, written and never shown.
    pub password: String,
    /// `realm`; empty: the proxy.
    pub realm: String,
    /// `from-user`.
    pub from_user: String,
    /// `from-domain`.
    pub from_domain: String,
    /// Seconds a registration lasts.
    pub expire_seconds: u32,
    /// Seconds between OPTIONS that tell whether the far end is there; 0 for none.
    pub ping_seconds: u32,
    /// The caller's number stands in From.
    pub caller_id_in_from: bool,
    /// Context of calls that arrive; empty: that of the profile.
    pub context: String,
    /// Number of calls that arrive; empty: the one that was called.
    pub extension: String,
}

impl Default for Trunk {
    fn default() -> Self {
        Self {
            name: String::new(),
            profile: "external".to_owned(),
            proxy: String::new(),
            register: false,
            transport: "udp".to_owned(),
            username: String::new(),
            password: String::new(),
            realm: String::new(),
            from_user: String::new(),
            from_domain: String::new(),
            expire_seconds: 3600,
            ping_seconds: 0,
            caller_id_in_from: false,
            context: String::new(),
            extension: String::new(),
        }
    }
}

impl Resource for Trunk {
    const TABLE: &'static str = "gateway_trunks";
    const NAME: &'static str = "trunk";
    const MOST: usize = 1_000;
    const OF_ONE: usize = 1_000;
    const SECRETS: &'static [&'static str] = &["password"];

    fn id(&self) -> String {
        self.name.clone()
    }

    fn beside(&self, all: &Snapshot) -> usize {
        all.trunks().count()
    }

    fn check(&self) -> Result<(), Error> {
        checks::name("name", &self.name)?;
        checks::name("profile", &self.profile)?;
        checks::host("proxy", &self.proxy)?;
        if !["udp", "tcp", "tls"].contains(&self.transport.as_str()) {
            return Err(Error::unusable("transport", "udp, tcp or tls"));
        }
        if self.register && (self.username.is_empty() || self.password.is_empty()) {
            return Err(Error::unusable("register", "only with username and password"));
        }
        checks::maybe("username", &self.username, checks::account)?;
        checks::maybe("password", &self.password, |field, text| checks::password(field, text, 1))?;
        checks::maybe("realm", &self.realm, checks::account)?;
        checks::maybe("from_user", &self.from_user, checks::account)?;
        checks::maybe("from_domain", &self.from_domain, checks::host)?;
        if !(60..=86_400).contains(&self.expire_seconds) {
            return Err(Error::unusable("expire_seconds", "60 to 86400"));
        }
        if self.ping_seconds != 0 && !(5..=86_400).contains(&self.ping_seconds) {
            return Err(Error::unusable("ping_seconds", "0, or 5 to 86400"));
        }
        checks::maybe("context", &self.context, checks::name)?;
        checks::maybe("extension", &self.extension, checks::number)
    }
}

impl Trunk {
    /// Its element in a SIP profile.
    #[must_use]
    pub fn element(&self) -> Element {
        let mut element = Element::new("gateway");
        element.set_attr("name", &self.name);
        let on = |on: bool| if on { "true" } else { "false" };
        // A gateway that does not register needs no account, but the parameters must be there.
        let account = if self.username.is_empty() { "none" } else { &self.username };
        let ping =
            if self.ping_seconds == 0 { String::new() } else { self.ping_seconds.to_string() };
        let params = [
            ("proxy", self.proxy.as_str()),
            ("realm", &self.realm),
            ("username", account),
            ("password", &self.password),
            ("from-user", &self.from_user),
            ("from-domain", &self.from_domain),
            ("register", on(self.register)),
            ("register-transport", &self.transport),
            ("expire-seconds", &self.expire_seconds.to_string()),
            ("ping", &ping),
            ("caller-id-in-from", on(self.caller_id_in_from)),
            ("context", &self.context),
            ("extension", &self.extension),
        ];
        for (name, value) in params.iter().filter(|(_, value)| !value.is_empty()) {
            let mut param = Element::new("param");
            param.set_attr("name", name);
            param.set_attr("value", value);
            element.add_child(param);
        }
        element
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_a_trunk_is_named() {
        let field = |change: fn(&mut Trunk)| {
            let mut trunk =
                Trunk { name: "carrier".into(), proxy: "sip.example".into(), ..Trunk::default() };
            change(&mut trunk);
            match trunk.check() {
                Err(Error::Unusable(field, _)) => field,
                _ => "",
            }
        };
        assert_eq!(field(|_| {}), "");
        assert_eq!(field(|trunk| trunk.name = "a/b".into()), "name");
        assert_eq!(field(|trunk| trunk.proxy = "a;b".into()), "proxy");
        assert_eq!(field(|trunk| trunk.register = true), "register");
        assert_eq!(field(|trunk| trunk.transport = "sctp".into()), "transport");
        assert_eq!(field(|trunk| trunk.username = "a\r\nX: y".into()), "username");
        assert_eq!(field(|trunk| trunk.expire_seconds = 1), "expire_seconds");
        assert_eq!(field(|trunk| trunk.ping_seconds = 1), "ping_seconds");
        assert_eq!(field(|trunk| trunk.extension = "1,2".into()), "extension");
    }
}
