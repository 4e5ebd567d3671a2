//! `http_cache.conf`.

use std::path::PathBuf;
use std::time::Duration;

use dialplan_xml::Node;
use switch_core::contract::declare::{Parameters, Value, param};
use switch_core::switch::Switch;
use switch_core::text;

const COUNT: Value = Value::Number(1, 1_000_000);

pub(crate) const PARAMETERS: &[Parameters] = &[Parameters {
    file: "http_cache.conf",
    scope: "",
    list: &[
        param("enable-file-formats", Value::Bool, "true", "Addresses are played as files")
            .no_effect("http:// and https:// are always played while the module is loaded"),
        param("max-urls", COUNT, "10000", "Addresses kept; the least recently used goes first"),
        param("location", Value::Path, "the cache directory", "Folder of the files"),
        param("default-max-age", Value::Seconds, "86400", "How long a file is kept"),
        param("prefetch-thread-count", Value::Number(1, 64), "8", "Files fetched ahead at once"),
        param("prefetch-queue-size", COUNT, "100", "Requests to fetch ahead that may wait"),
        param("ssl-cacert", Value::Path, "the system's", "Authorities, PEM"),
        param("ssl-verifypeer", Value::Bool, "true", "Certificates must lead to a known authority"),
        param("ssl-verifyhost", Value::Bool, "true", "They must be for the host"),
        param("connect-timeout", Value::Seconds, "300", "Part of `download-timeout`")
            .no_effect("download-timeout holds for all of it"),
        param(
            "download-timeout",
            Value::Seconds,
            "30",
            "How long a file may take, from the connection to its end",
        ),
    ],
}];

/// What is set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Settings {
    pub(crate) most: usize,
    pub(crate) location: PathBuf,
    pub(crate) age: Duration,
    pub(crate) at_once: usize,
    pub(crate) waiting: usize,
    pub(crate) authorities: Option<String>,
    pub(crate) verify_peer: bool,
    pub(crate) verify_host: bool,
    pub(crate) limit: Duration,
}

impl Settings {
    pub(crate) fn read(conf: Option<Node<'_>>, switch: &Switch) -> Self {
        let mut read = Self {
            most: 10_000,
            location: switch.dirs.cache_dir.clone(),
            age: Duration::from_secs(86_400),
            at_once: 8,
            waiting: 100,
            authorities: None,
            verify_peer: true,
            verify_host: true,
            limit: Duration::from_secs(30),
        };
        for param in &dialplan_xml::config::settings(conf) {
            let value: &str = &param.value;
            let number = || u32::try_from(text::int(value)).ok().filter(|n| *n > 0);
            let count = |old: usize| number().map_or(old, |n| n as usize);
            let seconds = |old| number().map_or(old, |n| Duration::from_secs(u64::from(n)));
            match param.name.to_ascii_lowercase().as_str() {
                "max-urls" => read.most = count(read.most),
                "location" if !value.is_empty() => read.location = value.into(),
                "default-max-age" => read.age = seconds(read.age),
                "prefetch-thread-count" => read.at_once = count(read.at_once),
                "prefetch-queue-size" => read.waiting = count(read.waiting),
                "ssl-cacert" => read.authorities = Some(value.to_owned()).filter(|v| !v.is_empty()),
                "ssl-verifypeer" => read.verify_peer = !text::is_false(value),
                "ssl-verifyhost" => read.verify_host = !text::is_false(value),
                "download-timeout" => read.limit = seconds(read.limit),
                _ => {}
            }
        }
        // Vanilla names a bundle that few installations have; the system's authorities serve then.
        read.authorities = read.authorities.filter(|file| std::path::Path::new(file).exists());
        // A folder of its own: what is in it is removed at the start.
        read.location.push("http_file_cache");
        read
    }
}
