//! What is declared: channel variables of conferences.

use dialplan_xml::declare::{EventKind, Value, Variable, event, keeps, reads, sets};

/// All of them.
#[rustfmt::skip]
pub(super) const VARIABLES: &[Variable] = &[
    reads("conference_controls", Value::Text, "Group of keys, instead of the profile's"),
    reads("conference_auto_record", Value::Path, "File the room is recorded into"),
    reads("conference_enter_sound", Value::Path, "Instead of the profile's"),
    reads("conference_exit_sound", Value::Path, "Instead of the profile's"),
    reads("conference_moh_sound", Value::Path, "Instead of the profile's"),
    reads("conference_perpetual_sound", Value::Path, "Instead of the profile's"),
    reads("conference_max_members", Value::Number(0, u32::MAX as i64), "Instead of the profile's"),
    reads("conference_endconference_grace_time", Value::Seconds, "Instead of the profile's"),
    reads("conference_moderator_pin", Value::Secret, "Instead of the profile's"),
    reads("supplied_pin", Value::Secret, "PIN of the member, which is not asked for"),
    reads("conference_enforce_security", Value::Bool, "PIN and lock hold for calls out of the room too"),
    reads("conference_silent_entry", Value::Bool, "The member joins without a sound"),
    reads("skip_member_beep", Value::Bool, "The member joins without a sound"),
    reads("conference_join_energy_level", Value::Number(0, u32::MAX as i64), "The member's `energy-level`"),
    reads("conference_join_volume_in", Value::Number(0, u32::MAX as i64), "How loud the room hears the member"),
    reads("conference_join_volume_out", Value::Number(0, u32::MAX as i64), "How loud the member hears the room"),
    reads("conference_auto_outcall_*", Value::Text, "Calls made for `conference_set_auto_outcall`: timeout, flags, caller id, prefix, profile, announce …"),
    reads("conference_utils_auto_outcall_flags", Value::Text, "Flags of members called so"),
    reads("hangup_after_conference", Value::Bool, "The call ends with its membership"),
    reads("event_channel_cookie", Value::Text, "Client that is told of the room with `livearray-sync`; mod_verto sets it to the session of its call"),
    reads("video_screen_share", Value::Bool, "Pages of a room are told that the picture is a screen's"),
    reads("conference_invite_uri", Value::Text, "Address of the member in what `json-events` tells"),
    reads("json_conference_var_prefix", Value::Text, "Beginning of the variables that `json-events` tells of a member, `json_` where it is not set; `__all__`: all"),
    reads("verto_dvar_*", Value::Text, "Shown to pages as the member's with `livearray-json-status`"),
    sets("conference_name", "The room"),
    sets("conference_uuid", "UUID of the room"),
    sets("conference_member_id", "Number of the member"),
    sets("conference_moderator", "Whether it is a moderator"),
    sets("conference_ghost", "Whether it is not counted"),
    sets("conference_recording", "File the room is recorded into"),
    sets("conference_last_matching_digits", "Digits of a key sequence that matched"),
    keeps("conference_call_key", Value::Text, "Call of the room that made this one"),
    sets("last_transfered_conference", "Room the member was moved to"),
    sets("app_session_uuid", "UUID of the room while the call is in it"),
    reads("outcall_flags", Value::Text, "Member flags of legs the conference has called, instead of the command's"),
];

/// Subclasses of CUSTOM events.
#[rustfmt::skip]
pub(super) const EVENTS: &[EventKind] = &[
    event("conference::maintenance", "A room or a member changed; `Action` says how"),
    event("conference::cdr", "A room is over: its record, or the file it is in (`cdr-event-mode`)"),
];
