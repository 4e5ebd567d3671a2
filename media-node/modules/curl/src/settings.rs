//! `http_cache.conf`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use base::network::Allowed;
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
        param(
            "allow-internal-targets",
            Value::Text,
            "none",
            "Addresses inside the node's own network that a far end's words, redirects from outside and addresses of the link lead to: host names, addresses, networks, or `any`",
        ),
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

/// Headers a server wants, by the profile's name or the server's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Profile {
    name: String,
    domains: Vec<String>,
    pub(crate) headers: Vec<(String, String)>,
}

impl Profile {
    fn read(node: Node<'_>) -> Option<Self> {
        let name = node.attr_or_empty("name").to_owned();
        if name.is_empty() {
            tracing::warn!("http_cache.conf: HTTP profile missing name");
            return None;
        }
        if let Some(kind) =
            ["aws-s3", "azure-blob"].into_iter().find(|kind| node.child(kind).is_some())
        {
            tracing::error!("http_cache.conf: profile {name}: {kind} is not supported");
            return None;
        }
        let headers =
            node.child("default").into_iter().flat_map(|all| all.children_named("header"));
        let headers = headers.filter_map(|header| {
            let name = header.attr("name").filter(|name| !name.is_empty())?;
            Some((name.to_owned(), header.text().trim().to_owned()))
        });
        let domains =
            node.child("domains").into_iter().flat_map(|all| all.children_named("domain"));
        let domains = domains.filter_map(|domain| domain.attr("name")).map(str::to_ascii_lowercase);
        Some(Self { name, domains: domains.collect(), headers: headers.collect() })
    }
}

/// What is set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Settings {
    pub(crate) most: usize,
    /// What is inside the node's own network and asked all the same.
    pub(crate) allowed: Allowed,
    pub(crate) location: PathBuf,
    pub(crate) age: Duration,
    pub(crate) at_once: usize,
    pub(crate) waiting: usize,
    pub(crate) authorities: Option<String>,
    pub(crate) verify_peer: bool,
    pub(crate) verify_host: bool,
    pub(crate) limit: Duration,
    pub(crate) profiles: Vec<Profile>,
}

impl Settings {
    #[cfg(test)]
    pub(crate) fn test(folder: &Path, most: usize, limit: Duration) -> Self {
        Self {
            most,
            allowed: Allowed::default(),
            location: folder.join("files"),
            age: Duration::from_secs(60),
            at_once: 2,
            waiting: 2,
            authorities: None,
            verify_peer: false,
            verify_host: false,
            limit,
            profiles: Vec::new(),
        }
    }

    pub(crate) fn read(conf: Option<Node<'_>>, switch: &Switch) -> Self {
        let mut read = Self {
            most: 10_000,
            allowed: Allowed::default(),
            location: switch.dirs.cache_dir.clone(),
            age: Duration::from_secs(86_400),
            at_once: 8,
            waiting: 100,
            authorities: None,
            verify_peer: true,
            verify_host: true,
            limit: Duration::from_secs(30),
            profiles: conf
                .and_then(|conf| conf.child("profiles"))
                .into_iter()
                .flat_map(|all| all.children_named("profile"))
                .filter_map(Profile::read)
                .collect(),
        };
        for param in &dialplan_xml::config::settings(conf) {
            let value: &str = &param.value;
            let number = || u32::try_from(text::int(value)).ok().filter(|n| *n > 0);
            let count = |old: usize| number().map_or(old, |n| n as usize);
            let seconds = |old| number().map_or(old, |n| Duration::from_secs(u64::from(n)));
            match param.name.to_ascii_lowercase().as_str() {
                "allow-internal-targets" => {
                    let (allowed, odd) = Allowed::read(value);
                    read.allowed = allowed;
                    for word in odd {
                        tracing::error!("http_cache.conf: allow-internal-targets: {word}?");
                    }
                }
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
        read.authorities = read.authorities.filter(|file| Path::new(file).exists());
        // A folder of its own: what is in it is removed at the start.
        read.location.push("http_file_cache");
        read
    }

    /// The headers for a server: those of the profile that is named, or else of the one that has its domain.
    pub(crate) fn headers(&self, profile: Option<&str>, host: &str) -> &[(String, String)] {
        let named = self.profiles.iter().find(|own| profile.is_some_and(|name| own.name == name));
        let of_host = || {
            self.profiles
                .iter()
                .find(|own| own.domains.iter().any(|d| d.eq_ignore_ascii_case(host)))
        };
        named.or_else(of_host).map(|own| own.headers.as_slice()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_serves_by_its_name_or_by_the_server_s() {
        let xml = "<p><profile name='a'><default><header name='X-Key'>1</header></default>\
                   <domains><domain name='Files.example'/></domains></profile>\
                   <profile name='s3'><aws-s3/></profile><profile/></p>";
        let tree = dialplan_xml::parse_raw(xml, "test").tree.unwrap();
        let profiles: Vec<_> =
            tree.root().children_named("profile").filter_map(Profile::read).collect();
        assert_eq!(profiles.len(), 1);
        let settings = Settings { profiles, ..Settings::test(Path::new("/"), 1, Duration::ZERO) };
        let key = [("X-Key".to_owned(), "1".to_owned())];
        assert_eq!(settings.headers(None, "files.EXAMPLE"), key);
        assert_eq!(settings.headers(Some("a"), "other"), key);
        assert!(settings.headers(None, "other").is_empty());
    }
}
