//! A route: what becomes of numbers that no extension of the dialplan's files takes.

use dialplan_xml::Element;
use dialplan_xml::regex::Pattern;
use serde::{Deserialize, Serialize};

use crate::{Error, Resource, Snapshot, checks, user};

/// Longest expression, bytes.
const LONGEST_PATTERN: usize = 256;
/// Trunks of one route.
const TRUNKS: usize = 10;

/// Where a transfer goes.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Transfer {
    /// The number.
    pub to: String,
    /// The context; empty: that of the route.
    #[serde(default)]
    pub context: String,
}

/// A route of a context. Of several that fit a number the one with the lowest priority applies, then the one whose id
/// comes first. Empty texts stand for what is not set.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Route {
    /// What it is known by.
    pub id: String,
    /// What it is for, in words.
    pub description: String,
    /// The context it belongs to.
    pub context: String,
    /// The numbers it is for: an expression as in `destination_number` of a condition, or `_NXX` as Asterisk has it.
    pub pattern: String,
    /// Lower comes first.
    pub priority: i32,
    /// Whether it applies.
    pub enabled: bool,
    /// Trunks that are tried one after the other.
    pub trunks: Vec<String>,
    /// The user that is called: `user@domain`.
    pub user: String,
    /// The number the call is transferred to.
    pub transfer: Option<Transfer>,
    /// Digits taken off the front of the number before it goes to a trunk.
    pub strip: u32,
    /// What is put in front of it.
    pub prepend: String,
    /// Number shown to the called side; empty: the caller's.
    pub caller_id_number: String,
    /// Name shown to the called side; empty: the caller's.
    pub caller_id_name: String,
    /// Seconds the called side may ring.
    pub timeout_seconds: u32,
}

impl Default for Route {
    fn default() -> Self {
        Self {
            id: String::new(),
            description: String::new(),
            context: String::new(),
            pattern: String::new(),
            priority: 100,
            enabled: true,
            trunks: Vec::new(),
            user: String::new(),
            transfer: None,
            strip: 0,
            prepend: String::new(),
            caller_id_number: String::new(),
            caller_id_name: String::new(),
            timeout_seconds: 60,
        }
    }
}

/// What a route does with a call.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Target<'r> {
    /// It goes to the first of these trunks that takes it.
    Trunks(&'r [String]),
    /// It goes to a user.
    User(&'r str),
    /// It is transferred.
    Transfer(&'r Transfer),
}

impl Resource for Route {
    const TABLE: &'static str = "gateway_routes";
    const NAME: &'static str = "route";
    const MOST: usize = 100_000;
    const OF_ONE: usize = 10_000;
    const SECRETS: &'static [&'static str] = &[];

    fn id(&self) -> String {
        self.id.clone()
    }

    fn beside(&self, all: &Snapshot) -> usize {
        all.routes().filter(|route| route.context == self.context).count()
    }

    fn check(&self) -> Result<(), Error> {
        checks::name("id", &self.id)?;
        checks::text("description", &self.description)?;
        checks::name("context", &self.context)?;
        self.check_pattern()?;
        match self.target()? {
            Target::Trunks(trunks) => {
                if trunks.len() > TRUNKS {
                    return Err(Error::unusable("trunks", format!("up to {TRUNKS}")));
                }
                trunks.iter().try_for_each(|trunk| checks::name("trunks", trunk))?;
            }
            Target::User(called) => {
                let wrong = || Error::unusable("user", "user@domain");
                let (name, domain) = called.split_once('@').ok_or_else(wrong)?;
                checks::number("user", name)?;
                checks::name("user", domain)?;
            }
            Target::Transfer(transfer) => {
                checks::number("transfer", &transfer.to)?;
                checks::maybe("transfer", &transfer.context, checks::name)?;
            }
        }
        if self.strip > 64 {
            return Err(Error::unusable("strip", "0 to 64"));
        }
        checks::maybe("prepend", &self.prepend, checks::number)?;
        checks::maybe("caller_id_number", &self.caller_id_number, checks::number)?;
        checks::text("caller_id_name", &self.caller_id_name)?;
        if self.caller_id_name.contains([',', '\'', '|', '[', ']', '{', '}']) {
            return Err(Error::unusable("caller_id_name", "no quotes, commas and brackets"));
        }
        if !(1..=600).contains(&self.timeout_seconds) {
            return Err(Error::unusable("timeout_seconds", "1 to 600"));
        }
        Ok(())
    }
}

impl Route {
    fn check_pattern(&self) -> Result<(), Error> {
        let pattern = &self.pattern;
        let control = pattern.chars().any(char::is_control);
        if pattern.is_empty() || pattern.len() > LONGEST_PATTERN || control {
            let why = format!("1 to {LONGEST_PATTERN} bytes of a regular expression");
            return Err(Error::unusable("pattern", why));
        }
        if pattern.contains("${") || pattern.contains("$$") {
            return Err(Error::unusable("pattern", "no references to variables"));
        }
        match Pattern::new(pattern) {
            Ok(_) => Ok(()),
            Err(error) => Err(Error::unusable("pattern", error.to_string())),
        }
    }

    /// What it does.
    ///
    /// # Errors
    /// [`Error::Unusable`] where it says none or several things.
    pub fn target(&self) -> Result<Target<'_>, Error> {
        let trunks = (!self.trunks.is_empty()).then_some(Target::Trunks(&self.trunks));
        let user = (!self.user.is_empty()).then_some(Target::User(&self.user));
        let transfer = self.transfer.as_ref().map(Target::Transfer);
        let mut all = [trunks, user, transfer].into_iter().flatten();
        match (all.next(), all.next()) {
            (Some(one), None) => Ok(one),
            _ => Err(Error::unusable("trunks", "one of trunks, user and transfer")),
        }
    }

    /// Its extension for a number that fits. `None` for a number that could be read as more than a number where it goes.
    #[must_use]
    pub fn extension(&self, number: &str) -> Option<Element> {
        checks::number("number", number).ok()?;
        let rest = number.get(self.strip as usize..)?;
        let mut steps = Vec::new();
        let mut set = |name: &str, value: &str| {
            if !value.is_empty() {
                steps.push(("set", format!("{name}={value}")));
            }
        };
        set("route_id", &self.id);
        set("hangup_after_bridge", "true");
        set("effective_caller_id_number", &self.caller_id_number);
        set("effective_caller_id_name", &self.caller_id_name);
        set("call_timeout", &self.timeout_seconds.to_string());
        match self.target().ok()? {
            Target::Trunks(trunks) => {
                set("continue_on_fail", if trunks.len() > 1 { "true" } else { "" });
                let dialled = format!("{}{rest}", self.prepend);
                if dialled.is_empty() {
                    return None;
                }
                let leg = |trunk: &String| format!("sofia/gateway/{trunk}/{dialled}");
                steps.push(("bridge", trunks.iter().map(leg).collect::<Vec<_>>().join("|")));
            }
            Target::User(called) => steps.push(("bridge", format!("user/{called}"))),
            Target::Transfer(transfer) => {
                let context =
                    if transfer.context.is_empty() { &self.context } else { &transfer.context };
                steps.push(("transfer", format!("{} XML {context}", transfer.to)));
            }
        }
        let mut condition = Element::new("condition");
        condition.set_attr("field", "destination_number");
        condition.set_attr("expression", &self.pattern);
        for (application, data) in &steps {
            let mut action = Element::new("action");
            action.set_attr("application", application);
            action.set_attr("data", data);
            condition.add_child(action);
        }
        let mut extension = Element::new("extension");
        extension.set_attr("name", &format!("route {}", self.id));
        extension.add_child(condition);
        Some(extension)
    }

    /// Whether it is about a user or a trunk, so that those must not go while it is there.
    #[must_use]
    pub fn uses_trunk(&self, name: &str) -> bool {
        self.trunks.iter().any(|own| own == name)
    }

    /// The user it calls, as users are known.
    #[must_use]
    pub fn called_user(&self) -> Option<String> {
        let (name, domain) = self.user.split_once('@')?;
        Some(user::id(name, domain))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route() -> Route {
        Route {
            id: "out".into(),
            context: "default".into(),
            pattern: r"^0(\d+)$".into(),
            trunks: vec!["a".into(), "b".into()],
            strip: 1,
            prepend: "+49".into(),
            ..Route::default()
        }
    }

    #[test]
    fn what_cannot_be_a_route_is_named() {
        let field = |change: fn(&mut Route)| {
            let mut route = route();
            change(&mut route);
            match route.check() {
                Err(Error::Unusable(field, _)) => field,
                _ => "",
            }
        };
        assert_eq!(field(|_| {}), "");
        assert_eq!(field(|route| route.id = "a b".into()), "id");
        assert_eq!(field(|route| route.pattern = "(".into()), "pattern");
        assert_eq!(field(|route| route.pattern = "${x}".into()), "pattern");
        assert_eq!(field(|route| route.trunks.clear()), "trunks");
        assert_eq!(field(|route| route.user = "1@a.test".into()), "trunks");
        assert_eq!(field(|route| route.trunks = vec!["a|b".into()]), "trunks");
        assert_eq!(field(|route| route.prepend = "1,2".into()), "prepend");
        assert_eq!(field(|route| route.caller_id_name = "a,b".into()), "caller_id_name");
        assert_eq!(field(|route| route.timeout_seconds = 0), "timeout_seconds");
    }

    #[test]
    fn numbers_are_dialled_as_the_route_says_and_others_not_at_all() {
        let printed = |number: &str| route().extension(number).map(|element| element.to_xml());
        let text = printed("0301234").expect("an extension");
        assert!(text.contains("sofia/gateway/a/+49301234|sofia/gateway/b/+49301234"), "{text}");
        for hostile in ["0|sofia/x", "0${x}", "0,b", "0'", ""] {
            assert!(printed(hostile).is_none(), "{hostile}");
        }
    }
}
