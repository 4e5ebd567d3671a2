//! Digits: sent to the far end, or handed to the call as if it had sent them.

use super::{Api, ApiCall, OK, in_task, usage};
use crate::api;
use crate::app::digits::parse;
use crate::call::Indication;
use crate::text;

/// The family.
pub const APIS: &[Api] = &[
    api!(
        "uuid_drop_dtmf",
        "mod_commands",
        DROP,
        "Drop all DTMF or replace it with a mask",
        drop_dtmf
    )
    .path(),
    api!("uuid_flush_dtmf", "mod_commands", "<uuid>", "Flush dtmf on a given uuid", flush_dtmf),
    api!("uuid_recv_dtmf", "mod_commands", DTMF, "Receive dtmf digits", recv_dtmf),
    api!("uuid_send_dtmf", "mod_commands", DTMF, "Send dtmf digits", async send_dtmf),
];

const DTMF: &str = "<uuid> <dtmf_data>";
const DROP: &str = "<uuid> [on | off ] [ mask_digits <digits> | mask_file <file>]";
const NO_SESSION: &str = "-ERR Cannot locate session!\n";

async fn send_dtmf(call: ApiCall) -> String {
    let words = call.words(2);
    let (Some(uuid), Some(data)) = (words.first(), words.get(1)) else { return usage(DTMF) };
    let Some(channel) = call.switch.channel(uuid) else { return NO_SESSION.into() };
    let digits = parse(&channel, data);
    if digits.is_empty() {
        return "-ERR Operation failed\n".into();
    }
    let sent =
        in_task(&call, &channel, |session| Box::pin(session.indicate(Indication::Digits(digits))))
            .await;
    if sent == Some(false) {
        return "-ERR Operation failed\n".into();
    }
    format!("+OK {uuid} sent DTMF {data}.\n")
}

fn recv_dtmf(call: &ApiCall) -> String {
    let words = call.words(2);
    let (Some(uuid), Some(data)) = (words.first(), words.get(1)) else { return usage(DTMF) };
    let Some(channel) = call.switch.channel(uuid) else { return NO_SESSION.into() };
    let digits = parse(&channel, data.trim_start_matches('~'));
    if digits.is_empty() {
        return usage(DTMF);
    }
    for digit in digits {
        channel.queue_digit(digit);
    }
    channel.notify();
    format!("+OK {uuid} received DTMF {data}.\n")
}

fn flush_dtmf(call: &ApiCall) -> String {
    match call.switch.channel(call.args.trim()) {
        Some(channel) => {
            channel.with(|data| data.digits.clear());
            OK.into()
        }
        None => "-ERR No such session\n".into(),
    }
}

fn drop_dtmf(call: &ApiCall) -> String {
    let words = call.words(4);
    let [uuid, switch, kind, mask] = words.as_slice() else { return usage(DROP) };
    let Some(channel) = call.switch.channel(uuid) else { return NO_SESSION.into() };
    if !matches!(kind.as_str(), "mask_digits" | "mask_file") {
        return usage(DROP);
    }
    let on = text::is_true(switch);
    channel.set_var("drop_dtmf", if on { "true" } else { "false" });
    let (file, digits) =
        if kind == "mask_file" { (mask.as_str(), "(null)") } else { ("(null)", mask.as_str()) };
    let variable =
        if kind == "mask_file" { "drop_dtmf_masking_file" } else { "drop_dtmf_masking_digits" };
    for name in ["drop_dtmf_masking_digits", "drop_dtmf_masking_file"] {
        channel.unset_var(name);
    }
    channel.set_var(variable, mask.clone());
    crate::call::bridge::digits_changed(&channel);
    format!(
        "+OK {uuid} is {} DTMF. mask_file: {file} mask_digits: {digits}\n",
        if on { "dropping" } else { "not dropping" }
    )
}
