//! mod_xml_cdr's document, and the body of CHANNEL_HANGUP_COMPLETE with `hangup_complete_with_xml`.

use base::xml::Writer;
use esl_server::event::url_encode;

use crate::record::{CallRecord, Flow, Party, TIMES};

/// The declaration before a document that is posted or filed.
pub const DECLARATION: &str = "<?xml version=\"1.0\"?>\n";

/// The `cdr` element, indented by two blanks, with a line feed at the end.
///
/// Names that no XML element may have (a variable set as `odd name`) get `_` for what is not allowed: the reference
/// writes them as they are, and no XML parser reads the document.
#[must_use]
pub fn element(record: &CallRecord) -> String {
    let mut out = Writer::after(String::with_capacity(16 << 10));
    let attributes =
        [("core-uuid", record.core_uuid.as_str()), ("switchname", record.switchname.as_str())];
    out.open("cdr", &attributes);
    out.open("channel_data", &[]);
    out.leaf("state", "CS_REPORTING");
    out.leaf("direction", &record.direction);
    out.leaf("state_number", "11");
    out.leaf("flags", &record.flags);
    out.leaf("caps", &record.caps);
    out.close("channel_data");
    statistics(&mut out, record);
    out.open("variables", &[]);
    for (name, value) in &record.variables {
        out.leaf(&element_name(name), &url_encode(value));
    }
    out.close("variables");
    if !record.applications.is_empty() {
        out.open("app_log", &[]);
        for (name, data, stamp) in &record.applications {
            let stamp = stamp.to_string();
            out.empty(
                "application",
                &[("app_name", name), ("app_data", data), ("app_stamp", &stamp)],
            );
        }
        out.close("app_log");
    }
    if !record.holds.is_empty() {
        out.open("hold-record", &[]);
        for hold in &record.holds {
            let (on, off) = (hold.on.to_string(), hold.off.to_string());
            out.empty("hold", &[("on", &on), ("off", &off), ("bridged-to", &hold.bridged_to)]);
        }
        out.close("hold-record");
    }
    for flow in &record.callflow {
        callflow(&mut out, flow);
    }
    out.close("cdr");
    out.finish()
}

/// The statistics as numbers with two digits where the reference counts in fractions: as the variables have them.
fn statistics(out: &mut Writer, record: &CallRecord) {
    let inbound = record.audio("rtp_audio_in_");
    if inbound.is_empty() {
        out.empty("call-stats", &[]);
        return;
    }
    out.open("call-stats", &[]);
    out.open("audio", &[]);
    out.open("inbound", &[]);
    for (name, value) in inbound {
        out.leaf(name, value);
    }
    out.close("inbound");
    out.open("outbound", &[]);
    for (name, value) in record.audio("rtp_audio_out_") {
        out.leaf(name, value);
    }
    for (name, value) in record.audio("rtp_audio_rtcp_") {
        out.leaf(&format!("rtcp_{name}"), value);
    }
    out.close("outbound");
    out.close("audio");
    out.close("call-stats");
}

fn callflow(out: &mut Writer, flow: &Flow) {
    let mut attributes = vec![("dialplan", flow.profile.dialplan.as_str())];
    attributes.push(("unique-id", &flow.id));
    if let Some(clone_of) = &flow.clone_of {
        attributes.push(("clone-of", clone_of));
    }
    attributes.push(("profile_index", &flow.index));
    out.open("callflow", &attributes);
    if let Some(extension) = &flow.extension {
        out.open("extension", &[("name", &extension.name), ("number", &extension.number)]);
        for (at, (name, data)) in extension.applications.iter().enumerate() {
            let mut attributes = vec![("app_name", name.as_str()), ("app_data", data)];
            if extension.next == Some(at) {
                attributes.push(("last_executed", "true"));
            }
            out.empty("application", &attributes);
        }
        out.close("extension");
    }
    out.open("caller_profile", &[]);
    party(out, &flow.profile);
    let groups = [
        ("origination", &flow.origination),
        ("originator", &flow.originator),
        ("originatee", &flow.originatee),
    ];
    for (name, parties) in groups {
        if parties.is_empty() {
            continue;
        }
        out.open(name, &[]);
        let inner = format!("{name}_caller_profile");
        for other in parties {
            out.open(&inner, &[]);
            party(out, other);
            out.close(&inner);
        }
        out.close(name);
    }
    out.close("caller_profile");
    out.open("times", &[]);
    for (name, time) in TIMES.iter().zip(flow.times) {
        out.leaf(name, &time.to_string());
    }
    out.close("times");
    out.close("callflow");
}

fn party(out: &mut Writer, party: &Party) {
    out.leaf("username", &party.username);
    out.leaf("dialplan", &party.dialplan);
    out.leaf("caller_id_name", &party.caller_id_name);
    out.leaf("caller_id_number", &party.caller_id_number);
    out.leaf("callee_id_name", &party.callee_id_name);
    out.leaf("callee_id_number", &party.callee_id_number);
    out.leaf("ani", &party.ani);
    out.leaf("aniii", &party.aniii);
    out.leaf("network_addr", &party.network_addr);
    out.leaf("rdnis", &party.rdnis);
    out.leaf("destination_number", &party.destination_number);
    out.leaf("uuid", &party.uuid);
    out.leaf("source", &party.source);
    if !party.transfer_source.is_empty() {
        out.leaf("transfer_source", &party.transfer_source);
    }
    out.leaf("context", &party.context);
    out.leaf("chan_name", &party.chan_name);
    if party.device {
        out.leaf("device_id", "");
    }
}

/// A variable's name as an element's: what XML does not allow in a name becomes `_`.
fn element_name(name: &str) -> String {
    let allowed = |at: usize, c: char| {
        c.is_alphabetic() || c == '_' || (at > 0 && (c.is_ascii_digit() || matches!(c, '-' | '.')))
    };
    let name: String =
        name.chars().enumerate().map(|(at, c)| if allowed(at, c) { c } else { '_' }).collect();
    if name.is_empty() { "_".to_owned() } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::tests::sample;

    #[test]
    fn the_document_reads_as_the_references() {
        let text = element(&sample());
        for part in [
            "<cdr core-uuid=\"core\" switchname=\"pbx\">\n  <channel_data>\n    <state>CS_REPORTING</state>\n",
            "    <audio>\n      <inbound>\n        <raw_bytes>3268</raw_bytes>\n",
            "        <mos>4.50</mos>\n",
            "        <rtcp_packet_count>7</rtcp_packet_count>\n",
            "    <odd_value>a%20b%26c%20%3Cd%3E%20%22e%22%2050%25</odd_value>\n",
            "    <application app_name=\"set\" app_data=\"x=&quot;a&quot; &lt;b&gt;\" app_stamp=\"25\"></application>\n",
            "  <callflow dialplan=\"XML\" unique-id=\"profile\" profile_index=\"1\">\n",
            "      <application app_name=\"hangup\" app_data=\"\" last_executed=\"true\"></application>\n",
            "      <originatee>\n        <originatee_caller_profile>\n",
            "      <answered_time>30</answered_time>\n",
        ] {
            assert!(text.contains(part), "{part} is not in\n{text}");
        }
        assert!(text.ends_with("  </callflow>\n</cdr>\n"));
    }

    #[test]
    fn names_no_element_may_have_and_control_characters_do_not_break_it() {
        let mut record = sample();
        record.variables = vec![
            ("odd name<x>".into(), "1".into()),
            ("9".into(), "2".into()),
            (String::new(), "3".into()),
        ];
        record.callflow[0].profile.caller_id_name = "a\u{1}\r\n&é".into();
        let text = element(&record);
        assert!(text.contains("<odd_name_x_>1</odd_name_x_>"), "{text}");
        assert!(text.contains("<_>2</_>"), "{text}");
        assert!(text.contains("<caller_id_name>a&#xD;\n&amp;&#xE9;</caller_id_name>"), "{text}");
    }
}
