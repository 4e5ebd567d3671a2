//! A user: who registers, calls and is called.

use dialplan_xml::Element;
use serde::{Deserialize, Serialize};

use crate::{Error, Resource, Snapshot, checks};

/// Groups of one user.
const GROUPS: usize = 20;
/// Shortest password: users are open to the network.
const SHORTEST: usize = 8;

/// A user of a domain. Empty texts stand for what is not set.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct User {
    /// What it registers as.
    pub user: String,
    /// Its domain.
    pub domain: String,
    /// Its password, written and never shown.
    pub password: String,
    /// MD5 of `user:domain:password` instead of the password.
    pub a1_hash: String,
    /// PIN of its mailbox.
    pub vm_password: String,
    /// Where messages of its mailbox are sent.
    pub email: String,
    /// Name shown within the switch.
    pub caller_id_name: String,
    /// Number shown within the switch.
    pub caller_id_number: String,
    /// Name shown outside, `outbound_caller_id_name`.
    pub outbound_caller_id_name: String,
    /// Number shown outside, `outbound_caller_id_number`.
    pub outbound_caller_id_number: String,
    /// Context its calls are routed in, `user_context`; empty: that of the domain or the profile.
    pub context: String,
    /// `accountcode` of its calls.
    pub account_code: String,
    /// What it may call, `toll_allow`: words with commas between them.
    pub toll_allow: String,
    /// Groups it is in.
    pub groups: Vec<String>,
    /// Whether it can register, call and be called.
    pub enabled: bool,
}

impl Default for User {
    fn default() -> Self {
        Self {
            user: String::new(),
            domain: String::new(),
            password: String::new(),
            a1_hash: String::new(),
            vm_password: String::new(),
            email: String::new(),
            caller_id_name: String::new(),
            caller_id_number: String::new(),
            outbound_caller_id_name: String::new(),
            outbound_caller_id_number: String::new(),
            context: String::new(),
            account_code: String::new(),
            toll_allow: String::new(),
            groups: Vec::new(),
            enabled: true,
        }
    }
}

impl Resource for User {
    const TABLE: &'static str = "gateway_users";
    const NAME: &'static str = "user";
    const MOST: usize = 1_000_000;
    const OF_ONE: usize = 100_000;
    const SECRETS: &'static [&'static str] = &["password", "a1_hash", "vm_password"];

    fn id(&self) -> String {
        id(&self.user, &self.domain)
    }

    fn beside(&self, all: &Snapshot) -> usize {
        all.users_of(&self.domain).count()
    }

    fn check(&self) -> Result<(), Error> {
        checks::number("user", &self.user)?;
        checks::name("domain", &self.domain)?;
        match (self.password.is_empty(), self.a1_hash.is_empty()) {
            (true, true) => {
                return Err(Error::unusable("password", "a user has one, or an a1_hash"));
            }
            (false, false) => return Err(Error::unusable("a1_hash", "not with a password")),
            (false, true) => checks::password("password", &self.password, SHORTEST)?,
            (true, false) => {
                let hex =
                    self.a1_hash.len() == 32 && self.a1_hash.bytes().all(|b| b.is_ascii_hexdigit());
                if !hex {
                    return Err(Error::unusable("a1_hash", "32 hexadecimal digits"));
                }
            }
        }
        if self.password.eq_ignore_ascii_case(&self.user) {
            return Err(Error::unusable("password", "not the user's name"));
        }
        let pin = |field, text: &str| match text.bytes().all(|b| b.is_ascii_digit()) {
            true if (3..=20).contains(&text.len()) => Ok(()),
            _ => Err(Error::unusable(field, "3 to 20 digits")),
        };
        checks::maybe("vm_password", &self.vm_password, pin)?;
        checks::maybe("email", &self.email, email)?;
        checks::text("caller_id_name", &self.caller_id_name)?;
        checks::maybe("caller_id_number", &self.caller_id_number, checks::number)?;
        checks::text("outbound_caller_id_name", &self.outbound_caller_id_name)?;
        let outside = &self.outbound_caller_id_number;
        checks::maybe("outbound_caller_id_number", outside, checks::number)?;
        checks::maybe("context", &self.context, checks::name)?;
        checks::maybe("account_code", &self.account_code, checks::name)?;
        let words =
            |field, text: &str| text.split(',').try_for_each(|word| checks::name(field, word));
        checks::maybe("toll_allow", &self.toll_allow, words)?;
        if self.groups.len() > GROUPS {
            return Err(Error::unusable("groups", format!("up to {GROUPS}")));
        }
        self.groups.iter().try_for_each(|group| checks::name("groups", group))
    }
}

fn email(field: &'static str, text: &str) -> Result<(), Error> {
    let parts = text.split_once('@').filter(|(local, host)| {
        let good = |c: char| c.is_ascii_alphanumeric() || "._%+-".contains(c);
        !local.is_empty() && local.chars().all(good) && checks::name("email", host).is_ok()
    });
    match parts {
        Some(_) if text.len() <= 254 => Ok(()),
        _ => Err(Error::unusable(field, "an address: name@host")),
    }
}

/// What a user of a domain is known by.
pub(crate) fn id(user: &str, domain: &str) -> String {
    format!("{user}@{domain}").to_ascii_lowercase()
}

impl User {
    /// Its element in the directory.
    #[must_use]
    pub fn element(&self) -> Element {
        let mut element = Element::new("user");
        element.set_attr("id", &self.user);
        let list = |outer: &str, inner: &str, all: &[(&str, &str)]| {
            let mut list = Element::new(outer);
            for (name, value) in all.iter().filter(|(_, value)| !value.is_empty()) {
                let mut item = Element::new(inner);
                item.set_attr("name", name);
                item.set_attr("value", value);
                list.add_child(item);
            }
            list
        };
        let params = [
            ("password", self.password.as_str()),
            ("a1-hash", &self.a1_hash),
            ("vm-password", &self.vm_password),
            ("vm-mailto", &self.email),
        ];
        let variables = [
            ("user_context", self.context.as_str()),
            ("accountcode", &self.account_code),
            ("toll_allow", &self.toll_allow),
            ("effective_caller_id_name", &self.caller_id_name),
            ("effective_caller_id_number", &self.caller_id_number),
            ("outbound_caller_id_name", &self.outbound_caller_id_name),
            ("outbound_caller_id_number", &self.outbound_caller_id_number),
        ];
        element.add_child(list("params", "param", &params));
        element.add_child(list("variables", "variable", &variables));
        element
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_a_user_is_named() {
        let field = |change: fn(&mut User)| {
            let mut user = User {
                user: "1000".into(),
                domain: "a.test".into(),
                password: "long enough".into(),
                ..User::default()
            };
            change(&mut user);
            match user.check() {
                Err(Error::Unusable(field, _)) => field,
                _ => "",
            }
        };
        assert_eq!(field(|_| {}), "");
        assert_eq!(field(|user| user.user = "a b".into()), "user");
        assert_eq!(field(|user| user.domain = "../x".into()), "domain");
        assert_eq!(field(|user| user.password = "1234".into()), "password");
        assert_eq!(field(|user| user.password.clear()), "password");
        assert_eq!(field(|user| user.a1_hash = "00".repeat(16)), "a1_hash");
        assert_eq!(field(|user| user.vm_password = "12a".into()), "vm_password");
        assert_eq!(field(|user| user.email = "a@b@c".into()), "email");
        assert_eq!(field(|user| user.caller_id_name = "${x}".into()), "caller_id_name");
        assert_eq!(field(|user| user.toll_allow = "domestic,a b".into()), "toll_allow");
        assert_eq!(field(|user| user.groups = vec!["sales".into(), "a/b".into()]), "groups");
        assert_eq!(field(|user| user.toll_allow = "domestic,local".into()), "");
    }
}
