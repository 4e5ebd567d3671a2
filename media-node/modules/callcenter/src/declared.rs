//! What is declared: channel variables and events of the call centre.

use dialplan_xml::declare::{EventKind, Value, Variable, event, keeps, reads, sets};

/// All variables.
#[rustfmt::skip]
pub(super) const VARIABLES: &[Variable] = &[
    reads("cc_moh_override", Value::Text, "What the caller hears instead of the queue's `moh-sound`"),
    reads("cc_base_score", Value::Number(0, i32::MAX as i64), "Points the caller comes into the queue with"),
    reads("cc_exit_keys", Value::Text, "Keys with which the caller leaves the queue"),
    reads("cc_export_vars", Value::Text, "Variables of the caller that agents' legs get"),
    reads("cc_outbound_announce", Value::Text, "What the agent hears before it is bridged; several after `ARRAY::`"),
    reads("cc_bridge_failed_outbound_announce", Value::Text, "What the agent hears when the caller has just left"),
    reads("cc_outbound_cid_name_prefix", Value::Text, "What stands before the caller's name on the agent's phone"),
    reads("cc_warning_tone", Value::Text, "What a `uuid-standby` agent hears before a caller"),
    keeps("cc_agent_found", Value::Bool, "An agent has been found"),
    sets("cc_agent_bridged", "Whether caller and agent were bridged"),
    sets("cc_side", "`member` or `agent`"),
    sets("cc_queue", "The queue"),
    keeps("cc_member_uuid", Value::Text, "Name of the caller in the queue"),
    sets("cc_member_session_uuid", "The caller's leg"),
    keeps("cc_member_pre_answer_uuid", Value::Text, "The same as `cc_member_uuid`, on legs that ring"),
    sets("cc_agent", "The agent"),
    sets("cc_agent_type", "Its type"),
    sets("cc_agent_uuid", "Its leg"),
    sets("cc_queue_joined_epoch", "When the caller came into the queue"),
    sets("cc_queue_answered_epoch", "When it was bridged"),
    sets("cc_queue_terminated_epoch", "When that call ended"),
    sets("cc_queue_canceled_epoch", "When the caller left unserved"),
    sets("cc_cause", "`answered` or `cancel`"),
    sets("cc_cancel_reason", "TIMEOUT, NO_AGENT_TIMEOUT, BREAK_OUT, EXIT_WITH_KEY or NONE"),
    sets("cc_exit_key", "The key it left with"),
    sets("cc_record_filename", "File the call is recorded to"),
    sets("cc_last_agent_tier_position", "Place of the agent tried last (`top-down`)"),
    sets("cc_last_agent_tier_level", "Level of the agent tried last (`top-down`)"),
    sets("cc_last_originated_call", "When the agent tried last was called (`ring-progressively`)"),
    sets("cc_tracked_agent", "The agent whose call this is (`callcenter_track`)"),
];

/// All events.
pub(super) const EVENTS: &[EventKind] = &[event(
    "callcenter::info",
    "Something happened to an agent, a caller or a queue (`CC-Action`)",
)];
