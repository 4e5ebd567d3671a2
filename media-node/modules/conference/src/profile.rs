//! `conference.conf`: profiles and the keys their members have.

use std::sync::Arc;

use base::far;
use dialplan_xml::Node;
use dialplan_xml::config::Params;
use esl_server::event::{Event, EventName};
use media::picture::RoomTakes;

use crate::switch::Switch;
use crate::xml;

/// A profile's settings.
#[derive(Clone, Debug)]
pub struct Profile {
    pub name: String,
    pub domain: String,
    pub rate: u32,
    pub interval: u32,
    pub energy_level: i64,
    /// `max-members`; 0 = no limit.
    pub max_members: u32,
    pub pin: String,
    pub moderator_pin: String,
    pub pin_retries: u32,
    pub member_flags: String,
    /// `conference-flags`.
    pub flags: String,
    pub auto_record: String,
    /// `caller-id-name` and `caller-id-number` of calls it makes.
    pub caller_id: (String, String),
    /// Events about members tell all of their calls, variables too (`verbose-events`).
    pub verbose: bool,
    /// Events that are not told (`suppress-events`).
    suppressed: Vec<String>,
    /// Groups of keys by name.
    groups: Vec<(String, Vec<Control>)>,
    /// Everything as written.
    pub params: Params,
}

/// A key, or several in a row, and what pressing them does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Control {
    pub digits: String,
    /// The action's name.
    pub action: String,
    /// What the action is given; expanded when it is performed.
    pub data: String,
}

/// Divisor of comfort noise that is only switched on.
const USUAL_NOISE: u32 = 1400;
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

/// Pictures a member may be sent at once: each is a line with a port, checks and a handshake of its own.
const MAX_PICTURES: i64 = 9;

/// Words `suppress-events` knows; others have no effect, in the reference too.
#[rustfmt::skip]
const SUPPRESSIBLE: [&str; 26] = [
    "del-member", "energy-level", "volume-level", "gain-level", "dtmf", "stop-talking", "start-talking", "mute-detect",
    "mute-member", "hold-member", "kick-member", "dtmf-member", "energy-level-member", "volume-in-member",
    "volume-out-member", "play-file", "play-file-done", "play-file-member", "speak-text", "speak-text-member", "lock",
    "unlock", "transfer", "bgdial-result", "floor-change", "record",
];

impl Profile {
    /// A profile for a room: as a web server describes it to the caller of that UUID, or as the files do. One that
    /// that is not configured is called `none` and leaves everything as usual. `None` without any configuration.
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
        Some(Self::read(conf, name))
    }

    fn read(conf: Node<'_>, name: &str) -> Self {
        let node = conf.child("profiles").and_then(|all| all.find("profile", "name", name));
        let params = Params::read(node, "param");
        let text = |name: &str| params.get(name).unwrap_or_default().to_owned();
        let usual = |name: &str, usual: &str| {
            params.get(name).filter(|v| !v.is_empty()).unwrap_or(usual).to_owned()
        };
        let number = |name: &str, usual: u32| {
            params.int(name).and_then(|n| u32::try_from(n).ok()).unwrap_or(usual)
        };
        Self {
            name: if node.is_some() { name } else { "none" }.to_owned(),
            domain: text("domain"),
            rate: number("rate", 8000),
            interval: number("interval", 20),
            energy_level: i64::from(number("energy-level", 0)),
            max_members: number("max-members", 0),
            pin: text("pin"),
            moderator_pin: text("moderator-pin"),
            pin_retries: number("pin-retries", 3),
            member_flags: text("member-flags"),
            flags: text("conference-flags"),
            auto_record: text("auto-record"),
            caller_id: (
                usual("caller-id-name", "conference"),
                usual("caller-id-number", "0000000000"),
            ),
            verbose: params.get("verbose-events").is_some_and(crate::text::is_true),
            suppressed: text("suppress-events").split(',').map(str::to_owned).collect(),
            groups: groups(conf),
            params,
        }
    }

    /// `comfort-noise`: what white noise is divided by for a room in which nothing is heard; 0 = silence. Louder rooms at higher
    /// rates would be, as their noise has more of what is heard.
    pub(super) fn comfort_noise(&self) -> u32 {
        let divisor = match self.params.get("comfort-noise").map(str::trim) {
            None => 0,
            Some(text) => match crate::text::int(text) {
                level @ 2..10_000 => u32::try_from(level).unwrap_or(0),
                _ if crate::text::is_true(text) => USUAL_NOISE,
                _ => 0,
            },
        };
        divisor * (self.rate / 8000).max(1)
    }

    /// A whole number among the parameters.
    #[must_use]
    pub fn number(&self, name: &str, usual: i64) -> i64 {
        self.params.int(name).unwrap_or(usual)
    }

    /// The keys of a group. `none` has none; a group that is not configured has the usual ones.
    #[must_use]
    pub fn controls(&self, group: &str) -> Vec<Control> {
        if group.eq_ignore_ascii_case("none") {
            return Vec::new();
        }
        if let Some((_, controls)) = self.groups.iter().find(|(name, _)| name == group) {
            return controls.clone();
        }
        let usual = USUAL_CONTROLS.iter();
        usual
            .map(|(digits, action)| Control {
                digits: (*digits).to_owned(),
                action: (*action).to_owned(),
                data: String::new(),
            })
            .collect()
    }

    /// Are events of that action kept from programs? One word stands for some that belong together, as in the reference.
    #[must_use]
    pub fn suppresses(&self, action: &str) -> bool {
        let word = match action {
            "unmute-member" | "deaf-member" | "undeaf-member" | "vmute-member"
            | "unvmute-member" => "mute-member",
            "unhold-member" => "hold-member",
            "start-recording" | "stop-recording" => "record",
            "execute_app" => "dtmf",
            "auto-energy-level-member" | "max-energy-level-member" => "energy-level-member",
            action => action,
        };
        let known = SUPPRESSIBLE.contains(&word);
        known && self.suppressed.iter().any(|suppressed| suppressed == word)
    }

    /// Lines of video behind the first that a member may have (`video-max-pictures`).
    pub(super) fn further_lines(&self) -> usize {
        let most = self.number("video-max-pictures", 1).clamp(1, MAX_PICTURES);
        usize::try_from(most - 1).unwrap_or(0)
    }

    /// What is taken of members' video beside (`video-simulcast`, `video-transport-cc`).
    pub(super) fn takes_of_video(&self) -> RoomTakes {
        let is_set = |name| self.params.get(name).is_some_and(crate::text::is_true);
        RoomTakes {
            simulcast: is_set("video-simulcast"),
            transport_cc: is_set("video-transport-cc"),
        }
    }

    /// Says in the log that pictures are not put together, where the profile wants that.
    pub(super) fn warn_of_video(&self, room: &str) {
        let mode = self.params.get("video-mode").unwrap_or_default();
        if ["mux", "transcode"].iter().any(|word| mode.eq_ignore_ascii_case(word)) {
            tracing::warn!(
                "Conference {room}: video-mode {mode} is not there: video is passed through"
            );
        }
    }

    /// A sound the profile names, if it names one.
    #[must_use]
    pub fn sound(&self, name: &str) -> Option<String> {
        self.params.get(name).filter(|s| !s.is_empty()).map(str::to_owned)
    }
}

/// The groups of keys the configuration defines.
fn groups(conf: Node<'_>) -> Vec<(String, Vec<Control>)> {
    let control = |c: Node<'_>| {
        let part = |name: &str| c.attr_or_empty(name).to_owned();
        Control { digits: part("digits"), action: part("action"), data: part("data") }
    };
    let groups = conf.child("caller-controls");
    let groups = groups.iter().flat_map(|groups| groups.children_named("group"));
    groups
        .map(|group| {
            let controls = group.children_named("control").map(control).collect();
            (group.attr_or_empty("name").to_owned(), controls)
        })
        .collect()
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
    /// Flags of the member, and of the room if it is made.
    pub flags: Vec<String>,
    /// Who is called into a room of two.
    pub bridge_to: Option<String>,
}

impl Wanted {
    /// Reads the argument. What a far end said in it is marked ([`far`]): it is part of a name, or of whom to call.
    #[must_use]
    pub fn parse(argument: &str) -> Self {
        let (argument, flags) = match argument.split_once("+flags{") {
            Some((before, after)) => (before, after.trim_end().trim_end_matches('}')),
            None => (argument, ""),
        };
        let bridge = argument.get(..7).filter(|start| start.eq_ignore_ascii_case("bridge:"));
        let (argument, bridge_to) = match bridge.and_then(|_| argument[7..].split_once(':')) {
            Some((room, dial)) => (room, Some(dial.trim().to_owned())),
            None => (argument, None),
        };
        let (argument, pin) = argument.split_once('+').unwrap_or((argument, ""));
        let (name, profile) = argument.rsplit_once('@').unwrap_or((argument, "default"));
        let plain = |text: &str| far::plain(text.trim()).into_owned();
        Self {
            name: plain(name),
            profile: plain(profile),
            pin: plain(pin),
            flags: split_flags(flags).into_iter().map(far::into_plain).collect(),
            bridge_to,
        }
    }
}

/// Flags held apart by `|` or commas.
#[must_use]
pub fn split_flags(flags: &str) -> Vec<String> {
    let words = flags.split(['|', ',']).map(str::trim);
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
        assert_eq!(plain.bridge_to, None);
    }

    #[test]
    fn what_a_far_end_says_is_part_of_the_name() {
        let said = "x@wide+1234+flags{moderator}";
        let wanted = Wanted::parse(&format!("room-{}@plain+77", far::mark(said)));
        assert_eq!(wanted.name, format!("room-{said}"));
        assert_eq!((wanted.profile.as_str(), wanted.pin.as_str()), ("plain", "77"));
        assert!(wanted.flags.is_empty());
    }

    #[test]
    fn a_word_keeps_events_that_belong_together_from_programs() {
        let conf = r#"<document type="freeswitch/xml"><section name="configuration"><configuration name="conference.conf">
          <profiles><profile name="default"><param name="suppress-events" value="start-talking,mute-member,add-member"/></profile></profiles>
        </configuration></section></document>"#;
        let tree = dialplan_xml::parse_raw(conf, "test.xml").tree.unwrap();
        let profile = Profile::read(tree.configuration("conference.conf").unwrap(), "default");
        let suppressed = ["start-talking", "mute-member", "unmute-member"];
        assert!(suppressed.iter().all(|action| profile.suppresses(action)));
        assert!(!profile.suppresses("stop-talking"));
        assert!(!profile.suppresses("add-member"), "which the reference always tells");
        assert!(!profile.verbose);
    }

    #[test]
    fn a_room_of_two_names_whom_to_call() {
        let wanted = Wanted::parse("bridge:desk@wide:sofia/internal/1000@host:5060");
        assert_eq!((wanted.name.as_str(), wanted.profile.as_str()), ("desk", "wide"));
        assert_eq!(wanted.bridge_to.as_deref(), Some("sofia/internal/1000@host:5060"));
    }
}
