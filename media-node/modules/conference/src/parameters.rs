//! The parameters of a profile of `conference.conf`.

use dialplan_xml::declare::{Parameter, Parameters, Value, param};

/// All of them. Names may have `_` for `-`.
pub(super) const PARAMETERS: &[Parameters] =
    &[Parameters { file: "conference.conf", scope: "", list: PROFILE }];

const COUNT: Value = Value::Number(0, u32::MAX as i64);

const PROFILE: &[Parameter] = &[
    param("domain", Value::Text, "", "Domain shown in events"),
    param(
        "rate",
        Value::Word(&["8000", "12000", "16000", "24000", "32000", "44100", "48000", "auto"]),
        "8000",
        "Samples a second that are mixed",
    ),
    param(
        "interval",
        Value::Word(&["10", "20", "30", "40", "50", "60", "80", "100", "120", "auto"]),
        "20",
        "Milliseconds of a mixed frame",
    ),
    param("max-members", COUNT, "0", "Members a room takes; 0 sets no limit"),
    param("max-members-sound", Value::Path, "", "Played to those who find the room full"),
    param("pin", Value::Secret, "", "PIN of members"),
    param("moderator-pin", Value::Secret, "", "PIN of moderators"),
    param("pin-retries", COUNT, "3", "Tries at the PIN"),
    param("pin-sound", Value::Path, "conference/conf-pin.wav", "Asks for the PIN"),
    param("bad-pin-sound", Value::Path, "conference/conf-bad-pin.wav", "Refuses a PIN"),
    param("member-flags", Value::Text, "", "Flags of members, separated by `|` or commas"),
    param("conference-flags", Value::Text, "", "Flags of the room, separated by `|` or commas"),
    param("caller-controls", Value::Text, "default", "Group of keys of members; `none` has none"),
    param("moderator-controls", Value::Text, "`caller-controls`", "Group of keys of moderators"),
    param("ivr-dtmf-timeout", COUNT, "500", "Milliseconds between the digits of a key sequence"),
    param("caller-id-name", Value::Text, "conference", "Name calls out of the room show"),
    param("caller-id-number", Value::Text, "0000000000", "Number calls out of the room show"),
    param("sound-prefix", Value::Path, "`sound_prefix`", "Folder of sounds without a path"),
    param("enter-sound", Value::Path, "", "Played to the room when a member joins"),
    param("exit-sound", Value::Path, "", "Played to the room when a member leaves"),
    param("member-enter-sound", Value::Path, "", "Played to a member before it joins"),
    param(
        "join-only-sound",
        Value::Path,
        "",
        "Played where a room must exist already and does not",
    ),
    param("alone-sound", Value::Path, "", "Played to the only member"),
    param("moh-sound", Value::Path, "", "Music for the only member, or until a moderator comes"),
    param("perpetual-sound", Value::Path, "", "Played to the room again and again"),
    param("kicked-sound", Value::Path, "", "Played to a member that is put out"),
    param("locked-sound", Value::Path, "", "Played to those who find the room locked"),
    param("is-locked-sound", Value::Path, "", "Played when the room is locked"),
    param("is-unlocked-sound", Value::Path, "", "Played when the room is unlocked"),
    param("muted-sound", Value::Path, "", "Played to a member that is muted"),
    param("unmuted-sound", Value::Path, "", "Played to a member that is unmuted"),
    param("mute-detect-sound", Value::Path, "`muted-sound`", "Played to a muted member that talks"),
    param("deaf-sound", Value::Path, "", "Played to a member that is made deaf"),
    param("undeaf-sound", Value::Path, "", "Played to a member that hears again"),
    param("auto-record", Value::Path, "", "File a room is recorded into from its second member on"),
    param("min-required-recording-participants", COUNT, "1", "Members from which recording begins"),
    param("endconf-grace-time", COUNT, "0", "Seconds a room lasts after its last `endconf` member"),
    param("energy-level", COUNT, "0", "Loudness below which a member counts as silent"),
    param("auto-energy-level", COUNT, "0", "Highest level to which `energy-level` rises by itself"),
    param("auto-energy-seconds", COUNT, "5", "Seconds of silence after which it falls by a step"),
    param(
        "max-energy-level",
        COUNT,
        "0",
        "Loudness beyond which a member is muted; 0 sets no limit",
    ),
    param("max-energy-hit-trigger", COUNT, "5", "Loud frames after which it is"),
    param("max-energy-level-mute-ms", COUNT, "0", "Milliseconds it stays muted"),
    param("auto-gain-level", COUNT, "0", "Loudness to which members are brought; 0 leaves them"),
    param("auto-gain-low-energy-level", COUNT, "0", "Loudness below which the gain stays"),
    param("auto-gain-change-factor", COUNT, "3", "Frames of one tendency before the gain changes"),
    param("auto-gain-margin", COUNT, "20", "Distance from the level that is left alone"),
    param("auto-gain-period-len", COUNT, "10", "Frames over which loudness is averaged"),
    param("comfort-noise", Value::BoolOrNumber, "false", "Noise in a silent room")
        .no_effect("a silent room is silent"),
    param("announce-count", COUNT, "0", "Number of members that is announced")
        .no_effect("there is no speech engine"),
    param("terminate-on-silence", COUNT, "0", "Seconds of silence that end a room")
        .no_effect("silent rooms last"),
];
