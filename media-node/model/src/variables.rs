//! The channel variables that calls themselves read and write, whatever their endpoint: what each means and who writes
//! it. Applications and endpoints declare their own.

use dialplan_xml::declare::{Value, Variable, keeps, reads, sets};

/// All of them, by what they are about.
pub const ALL: &[&[Variable]] = &[
    IDENTITY,
    PROGRESS,
    DIALLING,
    LEGS,
    BRIDGE,
    AFTERWARDS,
    MOVING,
    HOOKS,
    RECORD,
    CALLER_ID,
    PLAYING,
    DESCRIPTIONS,
];

/// What a leg is.
const IDENTITY: &[Variable] = &[
    sets("uuid", "Identifier of the leg"),
    sets("call_uuid", "Identifier of the leg that began the call; the leg's own when it began it"),
    sets("session_id", "Number of the leg since the start of the switch"),
    sets("direction", "inbound or outbound"),
    sets("is_outbound", "true for a leg the switch made"),
    sets("read_codec", "Codec of what is received"),
    sets("read_rate", "Samples a second of what is received"),
    sets("write_codec", "Codec of what is sent"),
    sets("write_rate", "Samples a second of what is sent"),
    sets("original_read_codec", "The first codec of what was received"),
    sets("original_read_rate", "The first rate of what was received"),
    keeps(
        "session_external_id",
        Value::Text,
        "An identifier of the administrator's choice, shown in all events",
    ),
    reads("presence_id", Value::Text, "Whose state the call shows to watchers: user@domain"),
    reads("presence_data", Value::Text, "A text shown with the call"),
    reads("presence_data_cols", Value::Text, "Variables shown with the call, separated by colons"),
    reads("accountcode", Value::Text, "Account the call is charged to"),
    keeps(
        "presence_call_info",
        Value::Text,
        "Which appearance of a shared line the leg is; shown in PRESENCE_IN",
    ),
    reads("presence_privacy", Value::Bool, "The other party is kept out of PRESENCE_IN"),
    reads("verbose_presence", Value::Bool, "Each application fires PRESENCE_IN"),
    reads("verbose_events", Value::Bool, "Events of this call carry all its variables"),
    reads("sound_prefix", Value::Path, "Folder of sounds without a path"),
    reads("auto_hunt", Value::Bool, "The extension named like the number is tried first"),
    reads("native_backup_extension", Value::Text, "Extension when the dialplan finds none"),
    sets("original_caller_id_name", "Caller's name before the call was changed"),
    sets("original_caller_id_number", "Caller's number before the call was changed"),
    sets("original_destination_number", "Number that was dialled first"),
    reads("user_context", Value::Text, "Dialplan context of transfers"),
    reads(
        "execute_on_media_timeout",
        Value::Text,
        "Application that runs instead of a hangup when no RTP comes",
    ),
];

/// How a leg gets on.
const PROGRESS: &[Variable] = &[
    sets("endpoint_disposition", "What became of the leg last: ANSWER, BLIND_TRANSFER and so on"),
    sets("current_application", "The application that runs, or ran last"),
    sets("current_application_data", "Its argument"),
    sets("current_application_response", "What it came to"),
    keeps("app_uuid", Value::Text, "Identifier of the next application in events; serves once"),
    keeps("app_uuid_name", Value::Text, "Name of the next application in events; serves once"),
    reads(
        "app_disable_expand_variables",
        Value::Bool,
        "Arguments of applications are not expanded",
    ),
    sets("current_loop", "The turn of an application that a message repeats"),
    sets("total_loops", "Its turns; -1 without end"),
    reads(
        "park_timeout",
        Value::Text,
        "Seconds a parked call waits, and after a colon the cause it ends with",
    ),
    reads("enable_heartbeat_events", Value::BoolOrNumber, "Seconds between heartbeats of the call"),
];

/// What a caller says of the legs it calls. Each may stand in the dial string as well.
const DIALLING: &[Variable] = &[
    reads("call_timeout", Value::Text, "Seconds to wait for an answer"),
    reads("originate_timeout", Value::Text, "Seconds to wait for an answer, in a dial string"),
    reads(
        "originate_continue_on_timeout",
        Value::Bool,
        "The next group is tried although time is over",
    ),
    reads("leg_timeout", Value::Text, "Seconds a leg may take to be answered"),
    reads("leg_delay_start", Value::Text, "Seconds a leg waits before it begins"),
    reads("leg_progress_timeout", Value::Text, "Seconds a leg may take to ring"),
    reads("progress_timeout", Value::Text, "Seconds each leg may take to ring"),
    reads("leg_required", Value::Bool, "With this leg's end all end"),
    reads(
        "ignore_early_media",
        Value::BoolOr(&["ring_ready", "consume"]),
        "Early media does not count as connected",
    ),
    reads("bridge_early_media", Value::Bool, "The caller hears the first leg that has early media"),
    reads("ignore_ring_ready", Value::Bool, "Ringing is not passed on to the caller"),
    reads("instant_ringback", Value::Bool, "The caller hears ringback before anything rings"),
    reads("ringback", Value::Text, "What an unanswered caller hears while it rings"),
    reads("transfer_ringback", Value::Text, "What an answered caller hears while it rings"),
    reads("fail_on_single_reject", Value::Causes, "Which leg's failure aborts the whole attempt"),
    reads(
        "hangup_on_single_reject",
        Value::Bool,
        "The caller ends with an attempt that was aborted",
    ),
    reads(
        "group_confirm_key",
        Value::Text,
        "The key by which a leg accepts the call; exec runs group_confirm_file instead",
    ),
    reads("group_confirm_file", Value::Text, "What a leg hears that is asked"),
    reads("origination_cancel_key", Value::Text, "The key by which a caller gives up"),
    reads("export_vars", Value::Text, "Variables that called legs get, separated by commas"),
    reads("import", Value::Text, "Variables taken over from the leg that won, separated by commas"),
    reads("effective_caller_id_name", Value::Text, "Caller's name that called legs show"),
    reads("effective_caller_id_number", Value::Text, "Caller's number that called legs show"),
    reads("effective_ani", Value::Text, "ANI that called legs show"),
    reads(
        "inherit_codec",
        Value::BoolOr(&["passthru"]),
        "The caller is offered what the called leg speaks",
    ),
    sets("originate_disposition", "SUCCESS, or the cause the attempt failed with"),
    sets("originate_failed_cause", "The cause the attempt failed with"),
    sets("DIALSTATUS", "The same in the words of other switches: BUSY, NOANSWER, CANCEL"),
    sets("originated_legs", "Legs called so far: uuid;name;number"),
    sets("originate_causes", "How each ended: uuid;cause"),
    reads("originate_retries", Value::Number(0, u32::MAX as i64), "Tries of a dial string"),
    reads("originate_retry_timeout", Value::Seconds, "How long one try may take"),
    reads(
        "origination_*",
        Value::Text,
        "Of the leg called: uuid, caller id, channel name, privacy",
    ),
    reads(
        "monitor_early_media_ring_total",
        Value::Number(0, u32::MAX as i64),
        "How often a ring tone in early media must be heard",
    ),
    reads("monitor_ring_dispo", Value::Text, "What early media that rings counts as"),
    reads("monitor_fail_dispo", Value::Text, "What early media that fails counts as"),
    reads("preserve_originated_vars", Value::Bool, "Variables of an attempt stay when it failed"),
    sets("originate_early_media", "A leg sends early media"),
    sets("originator_codec", "Codecs of the leg this one was called from"),
    reads("originate_xfer_zombie", Value::Bool, "What the leg dials goes on when it hangs up"),
];

/// How a leg belongs to others.
const LEGS: &[Variable] = &[
    keeps(
        "signal_bond",
        Value::Text,
        "The leg it belongs together with: its caller, then its partner",
    ),
    sets("originator", "The leg that called it"),
    keeps("originating_leg_uuid", Value::Text, "The leg on whose behalf it was called"),
    keeps("originate_signal_bond", Value::Text, "The leg it calls, until they are bridged"),
    keeps(
        "channel_swap_uuid",
        Value::Text,
        "The call that takes its place, when it waited to be picked up",
    ),
    sets("picked_up_uuid", "The leg whose place it took"),
    sets("soft_holding_uuid", "The leg it keeps waiting while it talks to another"),
    sets("att_xfer_peer_uuid", "The leg it is connected with after a consultation"),
    sets("group_dial_status", "winner or loser of several legs"),
    sets("call_completed_elsewhere", "true where another leg won"),
    sets("originate_endpoint", "The endpoint it was called by"),
    keeps(
        "max_forwards",
        Value::Number(0, 1000),
        "How many more calls and transfers may come of it",
    ),
];

/// Two legs in one conversation.
const BRIDGE: &[Variable] = &[
    sets("bridge_to", "The partner, while bridged"),
    sets("last_bridge_to", "The last partner"),
    sets("bridge_uuid", "The last partner"),
    sets("bridge_channel", "Name of the last partner's channel"),
    sets("bridge_hangup_cause", "Why a bridge ended"),
    sets("last_bridge_hangup_cause", "Why the last partner ended"),
    sets("last_bridge_role", "originator or originatee of the bridge the leg ended in"),
    reads("bridge_terminate_key", Value::Text, "The key by which the caller ends a bridge"),
    keeps("bridge_export_vars", Value::Text, "Variables the partner gets, separated by commas"),
    reads("bridge_filter_dtmf", Value::Bool, "Digits are not passed on to the partner"),
    reads("bypass_media", Value::Bool, "Media flows directly between the far ends"),
    reads("hold_music", Value::Text, "What the partner hears while this leg holds"),
    keeps("temp_hold_music", Value::Text, "The same, until the next transfer"),
    reads(
        "park_after_early_bridge",
        Value::Bool,
        "The call is parked when a bridge of early media ends",
    ),
    reads("transfer_after_early_bridge", Value::Text, "The same for a bridge of early media"),
    keeps(
        "bridge_pre_execute_app",
        Value::Text,
        "Application that runs on a leg before it is bridged",
    ),
    keeps("bridge_pre_execute_data", Value::Text, "Its argument"),
    reads(
        "dtmf_duration",
        Value::Number(0, u32::MAX as i64),
        "Length of digits that are passed on, 8 kHz samples",
    ),
    reads("dtmf_type", Value::Text, "How digits are sent: rfc2833, info, none"),
    reads("drop_dtmf", Value::Bool, "Digits are kept from the far end's recording"),
    reads("drop_dtmf_masking_digits", Value::Text, "Digits that switch this on and off"),
    reads("drop_dtmf_masking_file", Value::Path, "What is heard instead"),
    reads(
        "send_silence_when_idle",
        Value::Number(0, u32::MAX as i64),
        "Silence, or noise of this level, where nothing is sent",
    ),
    sets("last_bridge_proto_specific_hangup_cause", "The same as signalling said it: `sip:486`"),
    reads("proto_specific_hangup_cause", Value::Text, "Why this leg ended, as signalling said it"),
    sets("signal_bridge", "Signalling of two legs is joined, not their media"),
    sets("signal_bridge_to", "With which leg"),
    sets("uuid_bridge", "`uuid_bridge` made this bridge"),
    reads(
        "bridge_answer_timeout",
        Value::Seconds,
        "How long a caller bridged to early media may take to be answered",
    ),
    reads("continue_on_answer_timeout", Value::Bool, "After that the dialplan goes on"),
];

/// What follows a bridge, or one that did not come about.
const AFTERWARDS: &[Variable] = &[
    reads("hangup_after_bridge", Value::BoolOr(&["explicit"]), "The caller ends with its partner"),
    reads("park_after_bridge", Value::Bool, "The leg is parked when its partner leaves"),
    keeps(
        "transfer_after_bridge",
        Value::Text,
        "Where the leg goes when its partner leaves: number:dialplan:context; serves once",
    ),
    reads(
        "exec_after_bridge_app",
        Value::Text,
        "The application the leg runs when its partner leaves",
    ),
    reads("exec_after_bridge_arg", Value::Text, "Its argument"),
    reads("continue_on_fail", Value::Causes, "After which causes the dialplan goes on"),
    reads("failure_causes", Value::Causes, "After which causes alone it does not"),
    reads("transfer_on_fail", Value::Text, "Causes, and the number to go to after them"),
    reads(
        "hold_hangup_xfer_exten",
        Value::Text,
        "Where the partner goes when a leg leaves that holds it",
    ),
];

/// Transfers.
const MOVING: &[Variable] = &[
    sets("transfer_history", "All transfers so far"),
    sets("transfer_source", "The last transfer"),
    reads("force_transfer_dialplan", Value::Text, "Dialplan of transfers that name none"),
    reads("force_transfer_context", Value::Text, "Context of transfers that name none"),
    keeps("max_session_transfers", Value::Number(0, 1000), "How many more transfers there may be"),
];

/// What runs at a moment of a call.
const HOOKS: &[Variable] = &[
    reads(
        "execute_on_*",
        Value::Text,
        "An application that runs at that moment: answer, ring, media, pre_bridge and others",
    ),
    reads("api_on_*", Value::Text, "A command that runs at that moment"),
    reads("api_before_bridge*", Value::Text, "A command that runs before a bridge"),
    reads("api_after_bridge*", Value::Text, "A command that runs after a bridge"),
    reads("api_hangup_hook", Value::Text, "A command that runs at the end"),
    reads("api_reporting_hook", Value::Text, "A command that runs once the record is complete"),
    reads("session_in_hangup_hook", Value::Bool, "Those two run on behalf of the call"),
];

/// What the record of a call tells.
const RECORD: &[Variable] = &[
    sets("hangup_cause", "Why the call ended"),
    sets("hangup_cause_q850", "The same as a number of Q.850"),
    sets("digits_dialed", "Keys that applications took"),
    reads("digits_dialed_filter", Value::Text, "A pattern for what of them is masked"),
    sets("last_app", "The last application"),
    sets("last_arg", "Its argument"),
    sets("caller_id", "Caller's name and number"),
    sets("domain_name", "Domain of the directory's user who calls"),
    sets("start_stamp", "When the call began"),
    sets("answer_stamp", "When it was answered"),
    sets("bridge_stamp", "When it was first bridged"),
    sets("end_stamp", "When it ended"),
    sets("duration", "Seconds from beginning to end"),
    sets("billsec", "Seconds from answer to end"),
    sets("progresssec", "Seconds from beginning to ringing"),
    sets("answersec", "Seconds from beginning to answer"),
    sets("waitsec", "Seconds from beginning to bridge"),
    sets("hold_accum_seconds", "Seconds on hold"),
    reads(
        "tod_tz_offset",
        Value::Number(-24, 24),
        "Hours from GMT by which conditions about the time of day go",
    ),
];

/// Whom the call shows.
const CALLER_ID: &[Variable] = &[
    reads("effective_aniii", Value::Text, "ANI II for legs called from this one"),
    reads("ignore_display_updates", Value::Bool, "The call does not show who it talks to now"),
    sets("last_sent_callee_id_name", "Name last shown to this leg"),
    sets("last_sent_callee_id_number", "Number last shown to this leg"),
];

/// What is played and heard.
const PLAYING: &[Variable] = &[
    reads("playback_terminators", Value::Text, "Keys that end playing; `none`, `any`"),
    sets("playback_ms", "Milliseconds of the latest file"),
    sets("playback_seconds", "Seconds of the latest file"),
    sets("playback_samples", "Samples of the latest file"),
    sets("playback_last_offset_pos", "Where in the file it ended, samples"),
    reads("tone_detect_hits", Value::Number(0, u32::MAX as i64), "How often a tone must be heard"),
    reads("tone_detect_sleep", Value::Number(0, u32::MAX as i64), "Milliseconds between two hits"),
    reads(
        "tone_detect_expires",
        Value::Number(0, u32::MAX as i64),
        "Milliseconds after which hits are forgotten",
    ),
];

/// Descriptions of media, and what a leg offers.
const DESCRIPTIONS: &[Variable] = &[
    keeps("switch_m_sdp", Value::Text, "Description of media that goes past the switch"),
    reads("switch_r_sdp", Value::Text, "Description the far end sent"),
    sets("absolute_codec_string", "Codecs the leg offers, and no others"),
    reads("ep_codec_string", Value::Text, "Codecs the far end offered"),
    reads("timer_name", Value::Text, "Clock of media").no_effect("there is one clock"),
    reads("proxy_media", Value::Bool, "Media is passed on unread"),
    reads(
        "bypass_media_after_bridge",
        Value::Bool,
        "Media goes past the switch once both legs are bridged",
    ),
    reads(
        "rtp_append_audio_sdp",
        Value::Text,
        "Attributes added to the audio we offer: lines that begin with `a=`",
    ),
    reads("rtp_timer_name", Value::Text, "Clock of media, as `rtp_use_timer_name` shows it")
        .no_effect("there is one clock"),
    sets("rtp_video_fmtp", "Parameters of the video codec, as the far end wrote them"),
    sets("rtp_use_video_codec_fmtp", "The same"),
    sets("text_possible", "The leg has real-time text"),
    keeps("media_webrtc", Value::Bool, "The far end is a browser"),
];
