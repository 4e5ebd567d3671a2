//! Channel variables of call records.

use dialplan_xml::declare::{Value, Variable, reads};

/// All of them.
#[rustfmt::skip]
pub(super) const VARIABLES: &[Variable] = &[
    reads("process_cdr", Value::Text, "Which legs have records: `true`, `false`, `a_only`, `b_only`"),
    reads("force_process_cdr", Value::Bool, "This leg has a record although it is a B-leg or failed"),
    reads("skip_cdr_causes", Value::Causes, "Causes after which no record is written"),
    reads("cdr_csv_base", Value::Path, "Folder of this call's CSV files"),
    reads("hangup_complete_with_xml", Value::Bool, "CHANNEL_HANGUP_COMPLETE carries the record as XML"),
];
