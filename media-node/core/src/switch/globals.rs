//! Global variables.

use dialplan_xml::Globals;

use super::Switch;

impl Switch {
    /// A global variable.
    #[must_use]
    pub fn global(&self, name: &str) -> Option<String> {
        self.globals.read().get(name).map(str::to_owned)
    }

    /// [`Switch::global`] for texts with a grammar: what a far end said is marked ([`base::far`]).
    #[must_use]
    pub fn global_marked(&self, name: &str) -> Option<String> {
        let value = self.global(name)?;
        let far = self.far_globals.read();
        Some(
            far.get(&name.to_ascii_lowercase())
                .map_or_else(|| value.clone(), |s| s.mark(&value, 0)),
        )
    }

    /// Sets a global variable; an empty value deletes it. What is marked in it is marked again in `${name}`.
    /// False for one that would run something in calls that are not of the client on another machine who sets it.
    pub fn set_global(&self, name: &str, value: &str) -> bool {
        if runs_something(name, value)
            && crate::foreign::refuse("a global variable that runs something").is_some()
        {
            return false;
        }
        let (value, spans) = base::far::split(value);
        let name = base::far::plain(name);
        let mut far = self.far_globals.write();
        if spans.is_empty() {
            far.remove(&name.to_ascii_lowercase());
        } else {
            far.insert(name.to_ascii_lowercase(), spans);
        }
        drop(far);
        self.globals.write().set(&name, &value);
        true
    }

    /// All global variables, in order.
    #[must_use]
    pub fn globals(&self) -> Globals {
        self.globals.read().clone()
    }

    /// Takes over what reading XML changed: variables set in `after` that `before` has not, or not so. What others
    /// set meanwhile stays.
    pub fn adopt_globals(&self, before: &Globals, after: &Globals) {
        let changed = |from: &Globals, (name, value): &(&str, &str)| from.get(name) != Some(value);
        let mut globals = self.globals.write();
        for (name, value) in after.iter().filter(|entry| changed(before, entry)) {
            globals.set(name, value);
        }
        for (name, _) in before.iter().filter(|(name, _)| after.get(name).is_none()) {
            globals.remove(name);
        }
    }

    /// The switch's name: `switchname` of switch.conf, or the machine's.
    #[must_use]
    pub fn name(&self) -> String {
        let named = self.config.load().switch.switchname.clone();
        named.or_else(|| self.global("hostname")).unwrap_or_else(|| "localhost".to_owned())
    }

    /// Values of all globals whose names start so.
    #[must_use]
    pub fn globals_starting(&self, prefix: &str) -> Vec<String> {
        self.globals
            .read()
            .iter()
            .filter(|(name, _)| {
                name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
            })
            .map(|(_, value)| value.to_owned())
            .collect()
    }
}

/// A hook's variable, or a value that is expanded or executed where it is used.
fn runs_something(name: &str, value: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let value = value.to_ascii_lowercase();
    ["execute_on", "api_", "_api", "_exec", "hook"].iter().any(|part| name.contains(part))
        || ["${", "system", "spawn"].iter().any(|part| value.contains(part))
}
