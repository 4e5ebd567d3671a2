//! `console.conf` and `logfile.conf`, read.

use std::path::Path;

use dialplan_xml::Node;
use dialplan_xml::config::Params;
use dialplan_xml::declare::{Parameters, Value, param};
use dialplan_xml::text::{is_false, is_true};
use esl_server::log::Level;

use super::file::FileProfile;
use super::level::{Mappings, parse_level};

/// `console.conf`.
pub const CONSOLE: &[Parameters] = &[Parameters {
    file: "console.conf",
    scope: "",
    list: &[
        param(
            "loglevel",
            Value::Level,
            "debug",
            "Lines above this level are not printed; `disable` prints none",
        ),
        param("colorize", Value::Bool, "false", "Colours, where the console is a terminal"),
        param("uuid", Value::Bool, "false", "A call's UUID stands before each of its lines"),
        param("log-format", Value::Text, "", "`json` prints an object a line (not in FreeSWITCH)"),
    ],
}];

/// `logfile.conf`.
pub const LOGFILE: &[Parameters] = &[Parameters {
    file: "logfile.conf",
    scope: "",
    list: &[
        param(
            "rotate-on-hup",
            Value::Bool,
            "true",
            "SIGHUP begins a new file; otherwise it opens the same again",
        ),
        param("logfile", Value::Path, "freeswitch.log", "The file, of each profile"),
        param(
            "rollover",
            Value::Number(0, u32::MAX as i64),
            "10485760",
            "Bytes after which a new file begins; 0 never",
        ),
        param(
            "maximum-rotate",
            Value::Number(0, u32::MAX as i64),
            "0",
            "Files that are kept; 0 keeps all",
        ),
        param("uuid", Value::Bool, "true", "A call's UUID stands before each of its lines"),
    ],
}];

/// How the console prints.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsoleSettings {
    /// Lines above this level are not printed; `None` prints nothing.
    pub level: Option<Level>,
    /// Colours, where the console is a terminal.
    pub colorize: bool,
    /// Write the call's uuid before each of its lines.
    pub uuid: bool,
    /// One JSON object per line (`log-format` = `json`, or `--log-json`).
    pub json: bool,
    /// Which lines.
    pub mappings: Mappings,
}

impl Default for ConsoleSettings {
    fn default() -> Self {
        Self {
            level: Some(Level::Debug),
            colorize: false,
            uuid: false,
            json: false,
            mappings: Mappings::default(),
        }
    }
}

impl ConsoleSettings {
    /// Reads `<settings>` and `<mappings>` of `console.conf`; also returns what is wrong with them.
    pub fn parse<'a>(
        params: impl IntoIterator<Item = (&'a str, &'a str)>,
        maps: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> (Self, Vec<String>) {
        let (mappings, mut complaints) = Mappings::parse(maps);
        let mut console = Self { mappings, ..Self::default() };
        for (param, value) in params {
            match param.to_ascii_lowercase().as_str() {
                "colorize" => console.colorize = is_true(value),
                "uuid" => console.uuid = is_true(value),
                "log-format" => console.json = value.eq_ignore_ascii_case("json"),
                "loglevel" if is_false(value) || value.eq_ignore_ascii_case("disable") => {
                    console.level = None;
                }
                // An unset $${console_loglevel} is no level at all.
                "loglevel" if value.is_empty() => {}
                "loglevel" => match parse_level(value) {
                    Some(level) => console.level = Some(level),
                    None => complaints.push(format!("loglevel: \"{value}\" is not a log level")),
                },
                _ => complaints.push(format!("unknown parameter \"{param}\"")),
            }
        }
        (console, complaints)
    }
}

/// Both files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogSettings {
    /// The console; `None` when `mod_console` is not loaded.
    pub console: Option<ConsoleSettings>,
    /// The files; empty when `mod_logfile` is not loaded.
    pub files: Vec<FileProfile>,
    /// SIGHUP begins new files; otherwise it opens the same paths again.
    pub rotate_on_hup: bool,
}

impl LogSettings {
    /// Until the configuration is read: everything on the console, nothing in files.
    pub fn early(level: Option<Level>, json: bool) -> Self {
        Self {
            console: Some(ConsoleSettings {
                level: level.or(Some(Level::Info)),
                colorize: true,
                json,
                ..ConsoleSettings::default()
            }),
            files: Vec::new(),
            rotate_on_hup: true,
        }
    }

    /// Reads the two `<configuration>` elements. A file that is absent means the standard settings.
    /// Also returns what is wrong, each sentence beginning with the file it is about.
    pub fn read(
        console: Option<Node<'_>>,
        logfile: Option<Node<'_>>,
        log_dir: &Path,
    ) -> (Self, Vec<String>) {
        let mut complaints = Vec::new();
        let mut about = |file: &str, sentences: Vec<String>| {
            complaints.extend(sentences.into_iter().map(|s| format!("{file}: {s}")));
        };
        let (params, maps) = (settings(console), mappings(console));
        let (console, wrong) = ConsoleSettings::parse(pairs(&params), pairs(&maps));
        about("console.conf", wrong);
        let mut read = Self { console: Some(console), files: Vec::new(), rotate_on_hup: true };
        for param in settings(logfile).iter() {
            match &*param.name {
                "rotate-on-hup" => read.rotate_on_hup = is_true(&param.value),
                other => about("logfile.conf", vec![format!("unknown parameter \"{other}\"")]),
            }
        }
        let profiles = logfile.and_then(|conf| conf.child("profiles"));
        for node in profiles.into_iter().flat_map(|list| list.children_named("profile")) {
            let name = node.attr_or_empty("name");
            let (params, maps) = (settings(Some(node)), mappings(Some(node)));
            let (profile, wrong) = FileProfile::parse(name, pairs(&params), pairs(&maps), log_dir);
            about(&format!("logfile.conf, profile \"{name}\""), wrong);
            read.files.push(profile);
        }
        if read.files.is_empty() {
            read.files.push(FileProfile::standard(log_dir));
        }
        (read, complaints)
    }
}

fn settings(parent: Option<Node<'_>>) -> Params {
    Params::read(parent.and_then(|node| node.child("settings")), "param")
}

fn mappings(parent: Option<Node<'_>>) -> Params {
    Params::read(parent.and_then(|node| node.child("mappings")), "map")
}

fn pairs(params: &Params) -> impl Iterator<Item = (&str, &str)> {
    params.iter().map(|param| (&*param.name, &*param.value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn console_settings_are_read_and_mistakes_named() {
        let (console, complaints) = ConsoleSettings::parse(
            [("colorize", "true"), ("loglevel", "warning"), ("uuid", "yes"), ("sound", "x")],
            [("all", "err,crit")],
        );
        assert!(console.colorize && console.uuid && !console.json);
        assert_eq!(console.level, Some(Level::Warning));
        assert!(!console.mappings.take(Level::Warning, "", ""));
        assert_eq!(complaints, ["unknown parameter \"sound\""]);
    }

    #[test]
    fn a_level_that_is_none_is_named_and_debug_stands() {
        let (console, complaints) = ConsoleSettings::parse([("loglevel", "loud")], []);
        assert_eq!(console.level, Some(Level::Debug));
        assert_eq!(complaints, ["loglevel: \"loud\" is not a log level"]);
        assert_eq!(ConsoleSettings::parse([("loglevel", "")], []).0.level, Some(Level::Debug));
        assert_eq!(ConsoleSettings::parse([("loglevel", "disable")], []).0.level, None);
    }

    #[test]
    fn without_files_the_standard_settings_hold() {
        let (read, complaints) = LogSettings::read(None, None, Path::new("/log"));
        assert_eq!(read.console, Some(ConsoleSettings::default()));
        assert_eq!(read.files, [FileProfile::standard(Path::new("/log"))]);
        assert!(read.rotate_on_hup && complaints.is_empty());
    }
}
