//! Channel variables of `loopback/` and `null/` legs.

use switch_core::contract::declare::{Value, Variable, reads, sets};

/// All of them.
#[rustfmt::skip]
pub(super) const VARIABLES: &[Variable] = &[
    reads("loopback_bowout", Value::Bool, "The pair leaves the call when both sides are bridged"),
    reads("loopback_no_pre_answer", Value::Bool, "No early media before the answer"),
    sets("is_loopback", "The leg is one of a pair"),
    sets("loopback_leg", "A or B"),
    sets("loopback_app", "Application of `loopback/app=`"),
    sets("loopback_app_arg", "Its argument"),
    sets("other_loopback_leg_uuid", "UUID of the other leg"),
    sets("loopback_from_uuid", "UUID of the leg that made the pair"),
    sets("other_loopback_from_uuid", "The same of the other leg"),
    sets("loopback_bowout_other_uuid", "Leg that took the pair's place"),
    sets("loopback_hangup_cause", "Why the pair left: `bowout`"),
    reads("loopback_bowout_on_execute", Value::Bool, "The pair leaves when its far side runs an application").no_effect("it leaves when both sides are bridged"),
    reads("null_enable_auto_answer", Value::Bool, "A `null/` leg answers"),
    reads("null_auto_answer_delay", Value::Number(0, u32::MAX as i64), "After so many milliseconds"),
    reads("null_pre_answer", Value::Bool, "It sends early media"),
    reads("null_no_pre_answer", Value::Bool, "It sends none"),
    reads("null_hangup_cause", Value::Text, "It ends with this cause"),
    sets("null_channel_dtmf_queued", "Digits it was sent"),
    sets("channel_name", "Name of the channel"),
];
