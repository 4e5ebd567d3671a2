//! `lua.conf`, `v8.conf`: the settings of a language's module.

use std::path::PathBuf;
use std::time::Duration;

use dialplan_xml::Node;
use dialplan_xml::declare::{Parameter, Value, param};

use crate::{Names, text};

const COUNT: Value = Value::Number(0, u32::MAX as i64);

/// Parameters of every language; its own come beside them.
pub const LIST: &[Parameter] = &[
    param("xml-handler-script", Value::Path, "", "The script that answers lookups of XML"),
    param(
        "xml-handler-bindings",
        Value::Text,
        "",
        "Sections it answers for: configuration, directory, dialplan, languages, phrases, chatplan",
    ),
    param(
        "startup-script",
        Value::Text,
        "",
        "A script that is started with the switch; may be repeated",
    ),
    param(
        "max-scripts",
        COUNT,
        "1000",
        "Scripts that run at once; more are refused (not in FreeSWITCH)",
    ),
    param(
        "max-memory-mb",
        COUNT,
        "128",
        "Most memory of one script in MiB; 0 sets no limit (not in FreeSWITCH)",
    ),
    param(
        "max-busy-seconds",
        COUNT,
        "60",
        "A script that computes so long without waiting for anything is ended; 0 sets no limit (not in FreeSWITCH)",
    ),
    param(
        "max-instructions",
        Value::Number(0, i64::MAX),
        "0",
        "Instructions one script may run; 0 sets no limit (not in FreeSWITCH)",
    ),
    param(
        "after-hangup-seconds",
        COUNT,
        "300",
        "How long an application's script may go on once its call has ended; 0 sets no limit (not in FreeSWITCH)",
    ),
    param(
        "xml-handler-timeout",
        COUNT,
        "30",
        "Seconds a lookup of XML may take; 0 sets no limit (not in FreeSWITCH)",
    ),
];

/// A script that runs at each event of a kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hook {
    pub event: String,
    pub subclass: String,
    pub script: String,
}

/// What the document says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    pub names: &'static Names,
    /// Parameters of the language itself, as they come.
    pub own: Vec<(&'static str, String)>,
    pub handler: Option<String>,
    /// Sections the handler answers for, in lower case, as written.
    pub bindings: String,
    pub startup: Vec<String>,
    pub hooks: Vec<Hook>,
    pub script_dir: PathBuf,
    pub max_scripts: usize,
    pub max_memory: usize,
    pub max_busy: Option<Duration>,
    pub max_instructions: u64,
    pub after_hangup: Option<Duration>,
    pub handler_timeout: Option<Duration>,
}

const MIB: usize = 1 << 20;

impl Settings {
    /// What holds without a document.
    pub fn new(names: &'static Names) -> Self {
        Self {
            names,
            own: Vec::new(),
            handler: None,
            bindings: String::new(),
            startup: Vec::new(),
            hooks: Vec::new(),
            script_dir: PathBuf::new(),
            max_scripts: 1000,
            max_memory: 128 * MIB,
            max_busy: Some(Duration::from_secs(60)),
            max_instructions: 0,
            after_hangup: Some(Duration::from_secs(300)),
            handler_timeout: Some(Duration::from_secs(30)),
        }
    }

    /// Reads the document; without one the defaults hold. `own` are parameters of the language itself.
    pub fn read(
        names: &'static Names,
        own: &[&'static str],
        document: Option<Node<'_>>,
        script_dir: PathBuf,
    ) -> Self {
        let mut settings = Self { script_dir, ..Self::new(names) };
        for section in document.into_iter().flat_map(|conf| conf.children_named("settings")) {
            for param in section.children_named("param") {
                let (name, value) = (param.attr_or_empty("name"), param.attr_or_empty("value"));
                match own.iter().find(|own| **own == name) {
                    Some(_) if value.is_empty() => {}
                    Some(own) => settings.own.push((own, value.to_owned())),
                    None => settings.take(name, value),
                }
            }
            for hook in section.children_named("hook") {
                let attr = |name: &str| hook.attr_or_empty(name).to_owned();
                settings.hooks.push(Hook {
                    event: attr("event"),
                    subclass: attr("subclass"),
                    script: attr("script"),
                });
            }
        }
        settings
    }

    fn take(&mut self, name: &str, value: &str) {
        let number = || u64::try_from(text::int(value)).unwrap_or(0);
        let count = || usize::try_from(number()).unwrap_or(usize::MAX);
        let seconds = || Some(Duration::from_secs(number())).filter(|time| !time.is_zero());
        match name {
            _ if value.is_empty() => {}
            "xml-handler-script" => self.handler = Some(value.to_owned()),
            "xml-handler-bindings" => {
                // As in the reference, bindings count only behind the script they are for.
                if self.handler.is_some() {
                    self.bindings.push_str(&value.to_ascii_lowercase());
                    self.bindings.push('|');
                }
            }
            "startup-script" => self.startup.push(value.to_owned()),
            "max-scripts" => self.max_scripts = count(),
            "max-memory-mb" => self.max_memory = count().saturating_mul(MIB),
            "max-busy-seconds" => self.max_busy = seconds(),
            "max-instructions" => self.max_instructions = number(),
            "after-hangup-seconds" => self.after_hangup = seconds(),
            "xml-handler-timeout" => self.handler_timeout = seconds(),
            _ => tracing::warn!("{}: there is no parameter {name}", self.names.conf),
        }
    }

    /// Values of a parameter of the language itself, as they come.
    pub fn own<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.own.iter().filter(move |(own, _)| *own == name).map(|(_, value)| value.as_str())
    }

    /// Does the handler answer for that section? Names may be cut short, as the reference compares parts of words.
    pub fn serves(&self, section: &str) -> bool {
        let named = match section {
            "configuration" => "config",
            "languages" | "phrases" => {
                return self.bindings.contains("languages") || self.bindings.contains("phrases");
            }
            other => other,
        };
        self.handler.is_some() && self.bindings.contains(named)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: Names = Names {
        conf: "lua.conf",
        thread: "x",
        shebang: "",
        kill: "",
        title: "",
        errors: "",
        stack: 0,
    };

    fn read(settings: &str) -> Settings {
        let xml = format!(
            r#"<document type="freeswitch/xml"><section name="configuration"><configuration name="lua.conf"><settings>{settings}</settings></configuration></section></document>"#
        );
        let tree = dialplan_xml::parse_raw(&xml, "lua.conf").tree.unwrap();
        Settings::read(&NAMES, &["pattern"], tree.configuration("lua.conf"), PathBuf::new())
    }

    #[test]
    fn bindings_count_behind_their_script_only() {
        let bindings = r#"<param name="xml-handler-bindings" value="directory|Config"/>"#;
        let script = r#"<param name="xml-handler-script" value="x.lua"/>"#;
        let read_it = read(&format!("{script}{bindings}"));
        assert!(read_it.serves("configuration") && read_it.serves("directory"));
        assert!(!read_it.serves("dialplan") && !read_it.serves("phrases"));
        assert!(!read(&format!("{bindings}{script}")).serves("directory"));
    }

    #[test]
    fn limits_of_zero_are_none() {
        let read_it = read(
            r#"<param name="max-busy-seconds" value="0"/><param name="max-memory-mb" value="2"/>
               <hook event="CUSTOM" subclass="a::b" script="c.lua"/>"#,
        );
        assert_eq!((read_it.max_busy, read_it.max_memory), (None, 2 << 20));
        assert_eq!(read_it.hooks[0].subclass, "a::b");
    }
}
