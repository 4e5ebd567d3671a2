//! `~/.fs_cli_conf` or `/etc/fs_cli.conf`: named servers and how the console looks.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Name of the file in the home directory.
const HOME_FILE: &str = ".fs_cli_conf";
/// Read when the home directory has none.
const SYSTEM_FILE: &str = "/etc/fs_cli.conf";
/// Keys that hold for every section, whichever they stand in.
const GLOBAL: [&str; 2] = ["timeout", "connect-timeout"];
/// A line starting like this ends the file.
const END_MARK: &str = "__END__";

/// One section of the file: keys in lower case.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Profile {
    /// The section's name.
    pub name: String,
    keys: BTreeMap<String, String>,
}

impl Profile {
    /// A value by its key.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.keys.get(key).map(String::as_str)
    }
}

/// The file that applies: the one in `home`, else the system's. Only one is read.
pub(super) fn file(home: Option<&Path>) -> Option<PathBuf> {
    let own = home.map(|home| home.join(HOME_FILE)).filter(|path| path.is_file());
    own.or_else(|| Some(PathBuf::from(SYSTEM_FILE)).filter(|path| path.is_file()))
}

/// Reads sections in order. Keys before the first section are ignored.
pub(super) fn parse(text: &str) -> Vec<Profile> {
    let mut profiles: Vec<Profile> = Vec::new();
    for line in text.lines() {
        if line.starts_with(END_MARK) {
            break;
        }
        let line = line.split_once(";;").map_or(line, |(line, _)| line).trim();
        if line.is_empty() || line.starts_with(['#', ';']) {
            continue;
        }
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            profiles.push(Profile { name: name.trim().to_owned(), keys: BTreeMap::new() });
        } else if let (Some(profile), Some((key, value))) =
            (profiles.last_mut(), line.split_once('='))
        {
            let value = value.strip_prefix('>').unwrap_or(value).trim();
            profile.keys.insert(key.trim().to_ascii_lowercase(), value.to_owned());
        }
    }
    profiles
}

/// The section to use: the one named, else `default`, else the first.
pub(super) fn choose(mut profiles: Vec<Profile>, name: Option<&str>) -> Option<Profile> {
    let find = |wanted: &str| profiles.iter().position(|profile| profile.name == wanted);
    let at = name.and_then(find).or_else(|| find("default")).unwrap_or(0);
    let global: Vec<_> = profiles.iter().flat_map(|profile| &profile.keys).map(owned).collect();
    let profile = profiles.get_mut(at)?;
    profile.keys.extend(global.into_iter().filter(|(key, _)| GLOBAL.contains(&key.as_str())));
    Some(profiles.swap_remove(at))
}

fn owned((key, value): (&String, &String)) -> (String, String) {
    (key.clone(), value.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "\
stray = nobody's
# comment
[first]
host = 10.0.0.1 ;; a comment
[default]
; comment
Host => 10.0.0.2
key_F1 => status
__END__
[after]
";

    #[test]
    fn sections_hold_their_keys() {
        let profiles = parse(FILE);
        assert_eq!(profiles.len(), 2);
        assert_eq!(profiles[0].get("host"), Some("10.0.0.1"));
        assert_eq!(profiles[1].get("host"), Some("10.0.0.2"));
        assert_eq!(profiles[1].get("key_f1"), Some("status"));
    }

    #[test]
    fn the_named_section_wins_then_default_then_the_first() {
        let chosen = |name| choose(parse(FILE), name).unwrap().name;
        assert_eq!(chosen(Some("first")), "first");
        assert_eq!(chosen(Some("unknown")), "default");
        assert_eq!(chosen(None), "default");
        assert_eq!(choose(parse("[only]"), None).unwrap().name, "only");
        assert_eq!(choose(Vec::new(), None), None);
    }
}
