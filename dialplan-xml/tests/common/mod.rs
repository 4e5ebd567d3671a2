//! A call as the tests see it: variables with real arrays, a caller profile, a few API commands.
#![allow(dead_code, unreachable_pub, reason = "each test file uses its own part")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use dialplan_xml::{Globals, Host, Later, LoadOptions, Loaded, LogLevel};
use jiff::{Timestamp, tz::TimeZone};

#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Plain(String),
    Array(Vec<String>),
}

pub struct Call {
    pub variables: BTreeMap<String, Value>,
    pub fields: BTreeMap<String, String>,
    pub globals: Globals,
    pub now: Timestamp,
    pub zone: TimeZone,
    /// Replies of API commands, by `command args`.
    pub replies: BTreeMap<String, String>,
    /// What was asked, in order: `api …`, `inline …`.
    pub asked: Vec<String>,
    pub lines: Vec<String>,
    pub logging: bool,
}

impl Default for Call {
    fn default() -> Self {
        Self {
            variables: BTreeMap::new(),
            fields: BTreeMap::new(),
            globals: Globals::new(),
            now: "2026-03-04T12:30:15Z".parse().unwrap(),
            zone: TimeZone::UTC,
            replies: BTreeMap::new(),
            asked: Vec::new(),
            lines: Vec::new(),
            logging: false,
        }
    }
}

impl Call {
    pub fn to(destination: &str) -> Self {
        Self::default().field("destination_number", destination)
    }

    pub fn field(mut self, name: &str, value: &str) -> Self {
        self.fields.insert(name.into(), value.into());
        self
    }

    pub fn var(mut self, name: &str, value: &str) -> Self {
        self.set_variable(name, Some(value));
        self
    }

    pub fn get(&self, name: &str) -> Option<String> {
        match self.variables.get(&name.to_ascii_lowercase())? {
            Value::Plain(text) => Some(text.clone()),
            Value::Array(items) if items.len() == 1 => items.first().cloned(),
            Value::Array(items) => Some(format!("ARRAY::{}", items.join("|:"))),
        }
    }
}

impl Host for Call {
    fn variable(&mut self, name: &str) -> Option<String> {
        self.get(name)
    }
    fn element(&mut self, name: &str, index: usize) -> Option<String> {
        match self.variables.get(&name.to_ascii_lowercase())? {
            Value::Plain(_) => None,
            Value::Array(items) => items.get(index).cloned(),
        }
    }
    fn set_variable(&mut self, name: &str, value: Option<&str>) {
        let name = name.to_ascii_lowercase();
        match value.filter(|v| !v.is_empty()) {
            None => {
                self.variables.remove(&name);
            }
            Some(text) => {
                let value = match text.strip_prefix("ARRAY::") {
                    Some(items) => Value::Array(items.split("|:").map(String::from).collect()),
                    None => Value::Plain(text.into()),
                };
                self.variables.insert(name, value);
            }
        }
    }
    fn push_variable(&mut self, name: &str, value: &str) {
        let name = name.to_ascii_lowercase();
        if value.is_empty() {
            self.variables.remove(&name);
            return;
        }
        let mut items = match self.variables.remove(&name) {
            None => Vec::new(),
            Some(Value::Plain(old)) => vec![old],
            Some(Value::Array(items)) => items,
        };
        items.push(value.into());
        self.variables.insert(name, Value::Array(items));
    }
    fn clear_variables(&mut self, prefix: &str) {
        let prefix = prefix.to_ascii_lowercase();
        self.variables.retain(|name, _| !name.starts_with(&prefix));
    }
    fn field(&mut self, name: &str) -> Option<String> {
        self.fields.get(&name.to_ascii_lowercase()).cloned()
    }
    fn global(&self, name: &str) -> Option<String> {
        self.globals.get(name).map(str::to_owned)
    }
    fn api<'a>(&'a mut self, command: &'a str, args: &'a str) -> Later<'a, Option<String>> {
        self.asked.push(format!("api {command} {args}"));
        if let Some(reply) = self.replies.get(&format!("{command} {args}")) {
            return Later::Now(Some(reply.clone()));
        }
        Later::Now(match command.to_ascii_lowercase().as_str() {
            "echo" => Some(args.to_owned()),
            "toupper" => Some(args.to_uppercase()),
            _ => None,
        })
    }
    fn run_inline<'a>(&'a mut self, application: &'a str, data: &'a str) -> Later<'a, ()> {
        self.asked.push(format!("inline {application} {data}"));
        let data = dialplan_xml::expand::expand(data, self);
        if application == "set"
            && let Some((name, value)) = data.split_once('=')
        {
            self.set_variable(name, Some(value));
        }
        Later::Now(())
    }
    fn now(&self) -> Timestamp {
        self.now
    }
    fn local_zone(&self) -> TimeZone {
        self.zone.clone()
    }
    fn logs(&self, _: LogLevel) -> bool {
        self.logging
    }
    fn log(&mut self, level: LogLevel, line: String) {
        self.lines.push(format!("{level:?} {line}"));
    }
    fn channel_name(&self) -> String {
        "sofia/test/1000".into()
    }
}

/// A directory of its own, removed when the test ends.
pub struct Dir(PathBuf);

impl Dir {
    pub fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("dialplan-xml-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }
    pub fn path(&self) -> &Path {
        &self.0
    }
    pub fn write(&self, name: &str, text: impl AsRef<[u8]>) -> &Self {
        let file = self.0.join(name);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
        self
    }
    pub fn load(&self) -> Loaded {
        dialplan_xml::load(&self.0, Globals::new(), &LoadOptions::default())
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A document from text.
pub fn document(text: &str) -> Loaded {
    let options = LoadOptions::default();
    dialplan_xml::parse_document(
        text.as_bytes(),
        "test.xml",
        Path::new("."),
        Globals::new(),
        &options,
    )
}

/// A folder beside the project that holds trees and recordings, when it is there.
pub fn shared(name: &str) -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared").join(name);
    if root.exists() {
        return Some(root);
    }
    eprintln!("SKIPPED: {} is not here", root.display());
    None
}
