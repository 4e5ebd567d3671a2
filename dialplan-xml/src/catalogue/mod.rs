//! What names mean something: to the reference, and to the switch that runs.
//!
//! The reference's names are kept here, in text files per kind; what the running switch honours is
//! registered by it from its declarations ([`crate::declare`]). A name is *honoured*, *accepted* (it has no effect),
//! *unavailable* (the reference has it, this switch does not) or *unknown*.

mod distance;
pub(crate) mod elements;
pub(crate) mod variables;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use crate::declare::{Effect, Parameter, Parameters, Variable};

/// What kind of thing a name names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A dialplan application.
    Application,
    /// An API command.
    Api,
    /// A module.
    Module,
    /// The first part of a dial string: `sofia`, `user`, `loopback` …
    Endpoint,
    /// A dialplan: `XML`, `inline` …
    Dialplan,
}

impl Kind {
    /// The word used in messages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Application => "application",
            Self::Api => "API command",
            Self::Module => "module",
            Self::Endpoint => "endpoint",
            Self::Dialplan => "dialplan",
        }
    }
}

/// What becomes of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Support {
    /// It does what it does in the reference.
    Honoured,
    /// It is accepted and has no effect.
    Accepted,
    /// The reference has it, this switch does not.
    Unavailable,
    /// Neither has it.
    Unknown,
}

impl Support {
    /// The word used in reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Honoured => "honoured",
            Self::Accepted => "accepted without effect",
            Self::Unavailable => "not available",
            Self::Unknown => "unknown",
        }
    }
}

/// The names the switch honours. A kind (or a configuration file) nothing was registered for is
/// taken to be honoured as far as the reference knows it, unless [`Catalogue::complete`] says that
/// everything has been registered.
#[derive(Clone, Debug, Default)]
pub struct Catalogue {
    names: BTreeMap<Kind, BTreeSet<String>>,
    params: BTreeMap<String, BTreeSet<String>>,
    /// The module a name belongs to here.
    owners: BTreeMap<(Kind, String), String>,
    /// Declared parameters, by [`key`] and name in lower case.
    declared: BTreeMap<(String, String), Parameter>,
    /// Declared channel variables, by name in lower case.
    variables: BTreeMap<String, Variable>,
    /// Why what is accepted has no effect.
    idle: BTreeMap<(Kind, String), &'static str>,
    complete: bool,
}

impl Catalogue {
    /// Nothing registered.
    pub fn new() -> Self {
        Self::default()
    }

    /// Registers names the switch honours.
    pub fn honour<N: AsRef<str>>(&mut self, kind: Kind, names: impl IntoIterator<Item = N>) {
        let known = self.names.entry(kind).or_default();
        known.extend(names.into_iter().map(|n| n.as_ref().to_ascii_lowercase()));
    }

    /// Registers names the switch honours while their module is loaded.
    pub fn honour_owned<N: AsRef<str>, M: AsRef<str>>(
        &mut self,
        kind: Kind,
        names: impl IntoIterator<Item = (N, M)>,
    ) {
        for (name, module) in names {
            let name = name.as_ref().to_ascii_lowercase();
            self.owners.insert((kind, name.clone()), module.as_ref().to_owned());
            self.names.entry(kind).or_default().insert(name);
        }
    }

    /// The module a name belongs to: in this switch, or else in the reference.
    pub fn owner(&self, kind: Kind, name: &str) -> Option<&str> {
        let name = name.to_ascii_lowercase();
        let reference = match kind {
            Kind::Application => &REFERENCE.owners,
            Kind::Api => &REFERENCE.api_owners,
            _ => return self.owners.get(&(kind, name)).map(String::as_str),
        };
        let known = reference.get(&*name).copied().filter(|module| *module != "core");
        self.owners.get(&(kind, name)).map(String::as_str).or(known)
    }

    /// Why an application cannot run, given the modules that are loaded (`None`: all there are).
    pub fn refusal(&self, application: &str, loaded: Option<&BTreeSet<String>>) -> Option<String> {
        match self.support(Kind::Application, application) {
            Support::Unknown => Some(format!("there is no application \"{application}\"")),
            Support::Unavailable => {
                let module = module_of_application(application).filter(|module| *module != "core");
                let whose = module.map(|module| format!(" (it belongs to {module})"));
                let whose = whose.unwrap_or_default();
                Some(format!("\"{application}\" is not available here{whose}"))
            }
            Support::Honoured | Support::Accepted => {
                let module = self.owner(Kind::Application, application)?;
                let missing = module.starts_with("mod_") && !loaded?.contains(module);
                missing.then(|| format!("{module} is not loaded"))
            }
        }
    }

    /// Registers the parameters a module declares.
    pub fn declare_parameters(&mut self, table: &Parameters) {
        let key = key(table.file, table.scope);
        let known = self.params.entry(key.clone()).or_default();
        for parameter in table.list {
            let name = normalise(table.file, parameter.name);
            if parameter.effect == Effect::Honoured {
                known.insert(name.clone());
            }
            self.declared.insert((key.clone(), name), *parameter);
        }
    }

    /// What was declared of a parameter.
    pub fn declared(&self, file: &str, scope: &str, name: &str) -> Option<&Parameter> {
        self.declared.get(&(key(file, scope), normalise(file, name)))
    }

    /// Registers the channel variables a module declares. What several declare is read and set by each.
    pub fn declare_variables(&mut self, list: &[Variable]) {
        for variable in list {
            self.variables.insert(variable.name.to_ascii_lowercase(), *variable);
        }
    }

    /// What was declared of a channel variable, by its name or by one with a `*` that stands for it.
    pub fn variable(&self, name: &str) -> Option<&Variable> {
        let name = name.to_ascii_lowercase();
        let families = || {
            self.variables.iter().find_map(|(known, variable)| {
                let start = known.strip_suffix('*')?;
                name.starts_with(start).then_some(variable)
            })
        };
        self.variables.get(&name).or_else(families)
    }

    /// Registers names that are accepted and have no effect, each with the reason.
    pub fn declare_idle(
        &mut self,
        kind: Kind,
        names: impl IntoIterator<Item = (&'static str, &'static str)>,
    ) {
        let names = names.into_iter().map(|(name, why)| ((kind, name.to_ascii_lowercase()), why));
        self.idle.extend(names);
    }

    /// Why an application or a command that runs has no effect; `None` where it has one.
    pub fn idle(&self, kind: Kind, name: &str) -> Option<&'static str> {
        self.idle.get(&(kind, name.to_ascii_lowercase())).copied()
    }

    /// Says that everything the switch honours has been registered.
    pub fn complete(&mut self) {
        self.complete = true;
    }

    /// What becomes of a name.
    pub fn support(&self, kind: Kind, name: &str) -> Support {
        let name = name.to_ascii_lowercase();
        let reference = reference(kind).contains(&*name);
        let honoured = self.is_honoured(self.names.get(&kind), reference, &name);
        match (honoured, reference) {
            (true, _) if self.idle.contains_key(&(kind, name)) => Support::Accepted,
            (true, _) => Support::Honoured,
            (false, true) => Support::Unavailable,
            (false, false) => Support::Unknown,
        }
    }

    /// Names of the configurations that modules ask for, here or in the reference: `acl.conf` …
    pub fn configurations(&self) -> BTreeSet<&str> {
        let known = REFERENCE.params.keys().copied();
        let own = self.params.keys().map(String::as_str);
        let declared = self.declared.keys().map(|(key, _)| key.as_str());
        let files = known.chain(own).chain(declared).filter_map(|key| key.split([' ', '/']).next());
        files.filter(|file| file.ends_with(".conf")).chain(WITHOUT_PARAMETERS).collect()
    }

    /// What becomes of a parameter. Files the reference has no list for are not judged: `None`.
    pub fn param(&self, file: &str, scope: &str, name: &str) -> Option<Support> {
        let name = normalise(file, name);
        let key = key(file, scope);
        let registered = self.params.get(&key);
        let listed = REFERENCE.params.get(&*key);
        if registered.is_none() && listed.is_none() {
            return None;
        }
        let listed = listed.is_some_and(|list| list.contains(&*name))
            || self.declared.contains_key(&(key, name.clone()));
        let honoured = self.is_honoured(registered, listed, &name);
        Some(match (honoured, listed) {
            (true, _) => Support::Honoured,
            (false, true) => Support::Accepted,
            (false, false) => Support::Unknown,
        })
    }

    fn is_honoured(
        &self,
        registered: Option<&BTreeSet<String>>,
        reference: bool,
        name: &str,
    ) -> bool {
        match registered {
            Some(names) => names.contains(name),
            None => reference && !self.complete,
        }
    }

    /// The known name most like an unknown one, if any is close enough.
    pub fn nearest(&self, kind: Kind, name: &str) -> Option<String> {
        if kind == Kind::Module {
            // Modules of third parties often have names much like others: what they share does not count.
            let bare = |name: &str| name.trim_start_matches("mod_").to_owned();
            let known: Vec<_> = reference(kind).iter().map(|known| bare(known)).collect();
            let name = bare(name);
            let limit = (name.len() / 3).clamp(1, 3);
            let near = distance::within(&name, known.iter().map(String::as_str), limit)?;
            return Some(format!("mod_{near}"));
        }
        let own = self.names.get(&kind).into_iter().flatten().map(String::as_str);
        distance::nearest(name, own.chain(reference(kind).iter().copied()))
    }

    /// The known parameter most like an unknown one, if any is close enough.
    pub fn nearest_param(&self, file: &str, scope: &str, name: &str) -> Option<String> {
        let key = key(file, scope);
        let own = self.params.get(&key).into_iter().flatten().map(String::as_str);
        let listed = REFERENCE.params.get(&*key).into_iter().flatten().copied();
        distance::nearest(name, own.chain(listed))
    }
}

/// The one of `names` most like `name`, if any is close enough: for "did you mean".
pub fn nearest<'n>(name: &str, names: impl IntoIterator<Item = &'n str>) -> Option<String> {
    distance::nearest(name, names)
}

/// Whether the reference has a module of this name, or had one.
pub(crate) fn is_module(name: &str) -> bool {
    REFERENCE.modules.contains(name) || REFERENCE.gone.contains(name)
}

/// Whether a module existed once and is gone from the reference.
pub fn is_gone_module(name: &str) -> bool {
    REFERENCE.gone.contains(name)
}

/// Configurations that hold no parameters.
const WITHOUT_PARAMETERS: [&str; 20] = [
    "abstraction.conf",
    "acl.conf",
    "av.conf",
    "blacklist.conf",
    "conference_layouts.conf",
    "distributor.conf",
    "hash.conf",
    "ivr.conf",
    "java.conf",
    "modules.conf",
    "opal.conf",
    "post_load_modules.conf",
    "post_load_switch.conf",
    "pre_load_modules.conf",
    "presence_map.conf",
    "rss.conf",
    "timezones.conf",
    "translate.conf",
    "voicemail_ivr.conf",
    "zeroconf.conf",
];

/// The parameters the reference reads from a file (`scope` as in [`Catalogue::param`]), in lower case.
pub fn reference_params(file: &str, scope: &str) -> impl Iterator<Item = &'static str> {
    REFERENCE.params.get(&*key(file, scope)).into_iter().flatten().copied()
}

/// The applications or commands of the reference, with their modules, in lower case.
pub fn reference_names(kind: Kind) -> impl Iterator<Item = (&'static str, &'static str)> {
    let owners = match kind {
        Kind::Application => Some(&REFERENCE.owners),
        Kind::Api => Some(&REFERENCE.api_owners),
        _ => None,
    };
    owners.into_iter().flatten().map(|(name, module)| (*name, *module))
}

/// The module an application belongs to in the reference.
pub fn module_of_application(name: &str) -> Option<&'static str> {
    REFERENCE.owners.get(&*name.to_ascii_lowercase()).copied()
}

fn key(file: &str, scope: &str) -> String {
    if scope.is_empty() { file.to_owned() } else { format!("{file}/{scope}") }
}

/// In `conference.conf` `_` and `-` are the same.
fn normalise(file: &str, name: &str) -> String {
    let lower = name.to_ascii_lowercase();
    if file == "conference.conf" { lower.replace('_', "-") } else { lower }
}

/// Endpoints of the reference's modules.
const ENDPOINTS: [&str; 20] = [
    "sofia",
    "user",
    "group",
    "loopback",
    "null",
    "error",
    "pickup",
    "verto.rtc",
    "verto",
    "skinny",
    "rtmp",
    "portaudio",
    "alsa",
    "h323",
    "opal",
    "gsmopen",
    "skypopen",
    "rtc",
    "khomp",
    "dingaling",
];
const DIALPLANS: [&str; 10] = [
    "xml",
    "inline",
    "enum",
    "asterisk",
    "lua",
    "directory",
    "lcr",
    "translate",
    "signalwire",
    "yaml",
];

struct Reference {
    applications: BTreeSet<&'static str>,
    owners: BTreeMap<&'static str, &'static str>,
    api_owners: BTreeMap<&'static str, &'static str>,
    apis: BTreeSet<&'static str>,
    modules: BTreeSet<&'static str>,
    gone: BTreeSet<&'static str>,
    endpoints: BTreeSet<&'static str>,
    dialplans: BTreeSet<&'static str>,
    params: BTreeMap<&'static str, BTreeSet<&'static str>>,
}

static REFERENCE: LazyLock<Reference> = LazyLock::new(|| {
    let applications = groups(include_str!("applications.txt"));
    let mut modules = groups(include_str!("modules.txt"));
    let apis = groups(include_str!("apis.txt"));
    let owned = |(module, names): (&&'static str, &BTreeSet<&'static str>)| {
        names.iter().map(|n| (*n, *module)).collect::<Vec<_>>()
    };
    Reference {
        owners: applications.iter().flat_map(owned).collect(),
        api_owners: apis.iter().flat_map(owned).collect(),
        applications: applications.into_values().flatten().collect(),
        apis: apis.into_values().flatten().collect(),
        gone: modules.remove("gone").unwrap_or_default(),
        modules: modules.into_values().flatten().collect(),
        endpoints: ENDPOINTS.into(),
        dialplans: DIALPLANS.into(),
        params: groups(include_str!("params.txt")),
    }
});

fn reference(kind: Kind) -> &'static BTreeSet<&'static str> {
    match kind {
        Kind::Application => &REFERENCE.applications,
        Kind::Api => &REFERENCE.apis,
        Kind::Module => &REFERENCE.modules,
        Kind::Endpoint => &REFERENCE.endpoints,
        Kind::Dialplan => &REFERENCE.dialplans,
    }
}

/// `group: name name` lines; what is indented belongs to the line above. Names are lower case.
fn groups(text: &'static str) -> BTreeMap<&'static str, BTreeSet<&'static str>> {
    let mut groups: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
    let mut current = "";
    for line in text.lines().filter(|l| !l.starts_with('#')) {
        let names = match line.split_once(": ") {
            Some((group, names)) if !line.starts_with(' ') => {
                current = group;
                names
            }
            _ => line,
        };
        groups.entry(current).or_default().extend(names.split_whitespace());
    }
    groups
}
