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
    crate::declared::VARIABLES,
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
];
