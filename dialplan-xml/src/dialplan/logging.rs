//! Log lines of a decision, spelt as the reference spells them: tools parse them.

use super::RouteRequest;
use super::model::{Break, Extension, Item, RegexMode};

pub(super) fn processing(request: &RouteRequest) -> String {
    let RouteRequest { context, destination_number, caller_id_name, caller_id_number, .. } =
        request;
    format!(
        "Processing {caller_id_name} <{caller_id_number}>->{destination_number} in context {context}"
    )
}

pub(super) fn parsing(channel: &str, context: &str, extension: &Extension) -> String {
    let label = extension.label();
    let continues = extension.continue_text.as_deref().unwrap_or("false");
    format!("Dialplan: {channel} parsing [{context}->{label}] continue={continues}")
}

pub(super) fn absolute(channel: &str, extension: &str, depth: usize) -> String {
    let name = nested_name(extension, depth);
    format!("{}Dialplan: {channel} Absolute Condition [{name}]", indent(depth))
}

pub(super) fn time(
    channel: &str,
    extension: &str,
    passed: bool,
    breaks: Break,
    depth: usize,
) -> String {
    let word = if passed { "Date/Time Match (PASS)" } else { "Date/TimeMatch (FAIL)" };
    let name = nested_name(extension, depth);
    let breaks = breaks.as_str();
    format!("{}Dialplan: {channel} {word} [{name}] break={breaks}", indent(depth))
}

pub(super) fn compared(
    channel: &str,
    extension: &str,
    (field, value, expression): (&str, &str, &str),
    matched: bool,
    part_of: Option<RegexMode>,
    breaks: Break,
    depth: usize,
) -> String {
    let word = if matched { "PASS" } else { "FAIL" };
    let name = nested_name(extension, depth);
    let rule = match part_of {
        Some(RegexMode::All) => "match=all".to_owned(),
        Some(RegexMode::Any) => "match=any".to_owned(),
        Some(RegexMode::Xor) => "match=xor".to_owned(),
        None => format!("break={}", breaks.as_str()),
    };
    format!(
        "{}Dialplan: {channel} Regex ({word}) [{name}] {field}({value}) =~ /{expression}/ {rule}",
        indent(depth)
    )
}

pub(super) fn action(channel: &str, item: &Item, data: &str, depth: usize) -> String {
    let word = if item.anti { "ANTI-Action" } else { "Action" };
    let inline = if item.inline { "INLINE" } else { "" };
    let (application, data) = (&item.application, base::secrets::masked(data));
    format!("{}Dialplan: {channel} {word} {application}({data}) {inline}", indent(depth))
}

pub(super) fn refused(data: &str) -> String {
    format!("App not added, Invalid character sequence in data string [{data}]")
}

/// The name an extension goes by while its nested conditions are looked at.
pub(super) fn nested_name(extension: &str, depth: usize) -> String {
    if depth == 0 { extension.to_owned() } else { format!("{extension}_recur_{depth}") }
}

fn indent(depth: usize) -> String {
    if depth == 0 { String::new() } else { format!("|{}", "----".repeat(depth)) }
}
