//! `conference.conf`: profiles and the keys their members have.

use std::sync::Arc;

use dialplan_xml::Node;
use dialplan_xml::config::Params;
use esl_server::event::{Event, EventName};

use crate::switch::Switch;
use crate::xml;

/// A profile's settings.
#[derive(Clone, Debug)]
pub struct Profile {
    /// Its name.
    pub name: String,
    /// `domain`.
    pub domain: String,
    /// `rate`.
    pub rate: u32,
    /// `interval`.
    pub interval: u32,
    /// `energy-level`.
    pub energy_level: u32,
    /// `max-members`; 0 = no limit.
    pub max_members: u32,
    /// `pin`.
    pub pin: String,
    /// `moderator-pin`.
    pub moderator_pin: String,
    /// `pin-retries`.
    pub pin_retries: u32,
    /// `member-flags`.
    pub member_flags: String,
    /// `conference-flags` has `breakable`: `uuid_break` takes a member out.
    pub breakable: bool,
    /// `auto-record`.
    pub auto_record: String,
    /// `caller-id-name` and `caller-id-number` of calls it makes.
    pub caller_id: (String, String),
    /// Keys and what they do.
    pub controls: Vec<(String, String, String)>,
    /// Everything as written.
    pub params: Params,
}

/// Keys a member has when the configuration defines none: digits and action.
const USUAL_CONTROLS: [(&str, &str); 12] = [
    ("0", "mute"),
    ("*", "deaf mute"),
    ("9", "energy up"),
    ("8", "energy equ"),
    ("7", "energy dn"),
    ("3", "vol talk up"),
    ("2", "vol talk zero"),
    ("1", "vol talk dn"),
    ("6", "vol listen up"),
    ("5", "vol listen zero"),
    ("4", "vol listen dn"),
    ("#", "hangup"),
];

impl Profile {
    /// A profile for a room, or the one named `default`: as a web server describes it to the caller of that UUID, or
    /// as the files do. `None` when there is neither.
    pub async fn find(switch: &Arc<Switch>, room: &str, name: &str, uuid: &str) -> Option<Self> {
        let fill = |params: &mut Event| {
            params.push("conference_name", room).push("profile_name", name);
            params.push("Fetch-Call-UUID", uuid);
        };
        let file = "conference.conf";
        let asked = xml::configuration_as(switch, EventName::Command, file, Some(&fill)).await;
        let elsewhere = asked.ok().flatten();
        let config = switch.config.load_full();
        let conf = elsewhere
            .as_ref()
            .and_then(|tree| tree.configuration(file))
            .or_else(|| config.document(file))?;
        Self::read(conf, name).or_else(|| Self::read(conf, "default"))
    }

    fn read(conf: Node<'_>, name: &str) -> Option<Self> {
        let node = conf.child("profiles")?.find("profile", "name", name)?;
        let params = Params::read(Some(node), "param");
        let text = |name: &str| params.get(name).unwrap_or_default().to_owned();
        let number = |name: &str, usual: u32| {
            params.int(name).and_then(|n| u32::try_from(n).ok()).unwrap_or(usual)
        };
        Some(Self {
            name: name.to_owned(),
            domain: text("domain"),
            rate: number("rate", 8000),
            interval: number("interval", 20),
            energy_level: number("energy-level", 0),
            max_members: number("max-members", 0),
            pin: text("pin"),
            moderator_pin: text("moderator-pin"),
            pin_retries: number("pin-retries", 3),
            member_flags: text("member-flags"),
            breakable: split_flags(&text("conference-flags")).iter().any(|f| f == "breakable"),
            auto_record: text("auto-record"),
            caller_id: (text("caller-id-name"), text("caller-id-number")),
            controls: controls(conf, params.get("caller-controls").unwrap_or("default")),
            params,
        })
    }

    /// A sound the profile names, if it names one.
    #[must_use]
    pub fn sound(&self, name: &str) -> Option<String> {
        self.params.get(name).filter(|s| !s.is_empty()).map(str::to_owned)
    }
}

/// Digits, action and data of a control group.
fn controls(conf: Node<'_>, group: &str) -> Vec<(String, String, String)> {
    if group == "none" {
        return Vec::new();
    }
    let found = conf.child("caller-controls").and_then(|c| c.find("group", "name", group));
    let Some(found) = found else {
        let usual = |(d, a): &(&str, &str)| ((*d).to_owned(), (*a).to_owned(), String::new());
        return USUAL_CONTROLS.iter().map(usual).collect();
    };
    let control = |c: Node<'_>| {
        let part = |name: &str| c.attr_or_empty(name).to_owned();
        (part("digits"), part("action"), part("data"))
    };
    found.children_named("control").map(control).collect()
}

/// What the application's argument asks for: `name[@profile][+pin][+flags{a|b}]`.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// The room.
    pub name: String,
    /// The profile; `default` when absent.
    pub profile: String,
    /// PIN given by the dialplan.
    pub pin: String,
    /// Member flags.
    pub flags: Vec<String>,
}

impl Wanted {
    /// Reads the argument.
    #[must_use]
    pub fn parse(argument: &str) -> Self {
        let (argument, flags) = match argument.split_once("+flags{") {
            Some((before, after)) => (before, after.trim_end().trim_end_matches('}')),
            None => (argument, ""),
        };
        let (argument, pin) = argument.split_once('+').unwrap_or((argument, ""));
        let (name, profile) = argument.split_once('@').unwrap_or((argument, "default"));
        Self {
            name: name.trim().to_owned(),
            profile: profile.trim().to_owned(),
            pin: pin.trim().to_owned(),
            flags: split_flags(flags),
        }
    }
}

/// Flags held apart by `|`, commas, colons or spaces.
#[must_use]
pub fn split_flags(flags: &str) -> Vec<String> {
    let words = flags.split(['|', ',', ':', ' ']).map(str::trim);
    words.filter(|f| !f.is_empty()).map(str::to_ascii_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_argument_names_room_profile_pin_and_flags() {
        let wanted = Wanted::parse("room@wide+1234+flags{mute|moderator}");
        assert_eq!((wanted.name.as_str(), wanted.profile.as_str()), ("room", "wide"));
        assert_eq!((wanted.pin.as_str(), wanted.flags.len()), ("1234", 2));
        let plain = Wanted::parse("room");
        assert_eq!((plain.name.as_str(), plain.profile.as_str()), ("room", "default"));
        assert_eq!(Wanted::parse("room+77").pin, "77");
    }
}
