//! Channel variables of call records.

use dialplan_xml::declare::{Value, Variable, reads, sets};

/// All of them.
#[rustfmt::skip]
pub(super) const VARIABLES: &[Variable] = &[
    reads("process_cdr", Value::Text, "Which legs have records: `true`, `false`, `a_only`, `b_only`"),
    reads("force_process_cdr", Value::Bool, "This leg has a record although it is a B-leg or failed"),
    reads("skip_cdr_causes", Value::Causes, "Causes after which no record is written"),
    reads("cdr_csv_base", Value::Path, "Folder of this call's CSV files"),
    reads("hangup_complete_with_xml", Value::Bool, "CHANNEL_HANGUP_COMPLETE carries the record as XML"),
    reads("format_cdr_base", Value::Path, "Folder of this call's documents of mod_format_cdr"),
    reads("json_cdr_base", Value::Path, "The same of mod_json_cdr"),
    reads("xml_cdr_base", Value::Path, "The same of mod_xml_cdr"),
    reads("copy_xml_cdr", Value::Bool, "The record of this dialled leg becomes `b_leg_cdr` of the leg that dialled it, as XML"),
    reads("copy_json_cdr", Value::Bool, "The same as JSON"),
    reads("failed_xml_cdr_prefix", Value::Text, "Records of dialled legs that are not answered become variables `PREFIX_1`, `PREFIX_2`, …, as XML"),
    reads("failed_json_cdr_prefix", Value::Text, "The same as JSON"),
    sets("b_leg_cdr", "The record of the last bridged leg that had `copy_xml_cdr` or `copy_json_cdr`; `b_leg_cdr_UUID` for each"),
    reads("prefix-a-leg", Value::Bool, "Instead of the parameter, for this call"),
];

/// Those of mod_odbc_cdr.
#[rustfmt::skip]
pub(super) const ODBC: &[Variable] = &[
    reads("odbc-cdr-ignore-leg", Value::Bool, "mod_odbc_cdr writes no row for this leg"),
];
