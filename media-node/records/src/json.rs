//! mod_json_cdr's document.

use esl_server::event::url_encode;
use serde_json::{Map, Value, json};

use crate::record::{CallRecord, Flow, Party, TIMES};

/// The document, in one line. Values of variables are URL-encoded if `encode_values`.
#[must_use]
pub fn document(record: &CallRecord, encode_values: bool) -> String {
    let mut variables = Map::new();
    for (name, value) in &record.variables {
        let value = if encode_values { url_encode(value) } else { value.clone() };
        variables.insert(name.clone(), Value::String(value));
    }
    let mut document = Map::new();
    let mut put = |name: &str, value: Value| document.insert(name.to_owned(), value);
    put("core-uuid", record.core_uuid.clone().into());
    put("switchname", record.switchname.clone().into());
    put(
        "channel_data",
        json!({
            "state": "CS_REPORTING",
            "direction": record.direction,
            "state_number": "11",
            "flags": record.flags,
            "caps": record.caps,
        }),
    );
    put("callStats", statistics(record));
    put("variables", Value::Object(variables));
    if !record.applications.is_empty() {
        let list: Vec<Value> = record
            .applications
            .iter()
            .map(|(name, data, stamp)| {
                json!({"app_name": name, "app_data": data, "app_stamp": stamp.to_string()})
            })
            .collect();
        put("app_log", json!({ "applications": list }));
    }
    if !record.holds.is_empty() {
        let list: Vec<Value> = record
            .holds
            .iter()
            .map(|hold| {
                json!({
                    "on": hold.on.to_string(),
                    "off": hold.off.to_string(),
                    "bridged_to": hold.bridged_to,
                })
            })
            .collect();
        put("hold_record", Value::Array(list));
    }
    put("callflow", record.callflow.iter().map(flow).collect());
    Value::Object(document).to_string()
}

/// Statistics are numbers here; a leg without audio has none.
fn statistics(record: &CallRecord) -> Value {
    let numbers = |pairs: Vec<(&str, &str)>| -> Map<String, Value> {
        pairs.into_iter().map(|(name, value)| (name.to_owned(), number(value))).collect()
    };
    let inbound = numbers(record.audio("rtp_audio_in_"));
    if inbound.is_empty() {
        return json!({});
    }
    let mut outbound = numbers(record.audio("rtp_audio_out_"));
    outbound.extend(
        numbers(record.audio("rtp_audio_rtcp_"))
            .into_iter()
            .map(|(name, value)| (format!("rtcp_{name}"), value)),
    );
    json!({"audio": {"inbound": inbound, "outbound": outbound}})
}

/// A whole number without a point, as the reference prints numbers.
fn number(text: &str) -> Value {
    if let Ok(whole) = text.parse::<i64>() {
        return whole.into();
    }
    match text.parse::<f64>() {
        #[allow(clippy::cast_possible_truncation, reason = "in range and without a fraction")]
        Ok(value) if value.fract() == 0.0 && value.abs() < 1e15 => (value as i64).into(),
        Ok(value) => value.into(),
        Err(_) => text.into(),
    }
}

fn flow(flow: &Flow) -> Value {
    let mut document = Map::new();
    document.insert("dialplan".into(), flow.profile.dialplan.clone().into());
    document.insert("profile_index".into(), flow.index.clone().into());
    if let Some(extension) = &flow.extension {
        let applications: Vec<Value> = extension
            .applications
            .iter()
            .enumerate()
            .map(|(at, (name, data))| {
                let mut application = json!({"app_name": name, "app_data": data});
                if extension.next == Some(at) {
                    application["last_executed"] = "true".into();
                }
                application
            })
            .collect();
        document.insert(
            "extension".into(),
            json!({
                "name": extension.name,
                "number": extension.number,
                "applications": applications,
            }),
        );
    }
    let mut profile = party(&flow.profile);
    for (name, parties) in [("originator", &flow.originator), ("originatee", &flow.originatee)] {
        if !parties.is_empty() {
            let list: Vec<Value> =
                parties.iter().map(|other| Value::Object(party(other))).collect();
            let mut group = Map::new();
            group.insert(format!("{name}_caller_profiles"), list.into());
            profile.insert(name.into(), Value::Object(group));
        }
    }
    document.insert("caller_profile".into(), Value::Object(profile));
    let times: Map<String, Value> = TIMES
        .iter()
        .zip(flow.times)
        .map(|(name, time)| ((*name).to_owned(), time.to_string().into()))
        .collect();
    document.insert("times".into(), Value::Object(times));
    Value::Object(document)
}

fn party(party: &Party) -> Map<String, Value> {
    [
        ("username", &party.username),
        ("dialplan", &party.dialplan),
        ("caller_id_name", &party.caller_id_name),
        ("ani", &party.ani),
        ("aniii", &party.aniii),
        ("caller_id_number", &party.caller_id_number),
        ("network_addr", &party.network_addr),
        ("rdnis", &party.rdnis),
        ("destination_number", &party.destination_number),
        ("uuid", &party.uuid),
        ("source", &party.source),
        ("context", &party.context),
        ("chan_name", &party.chan_name),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value.clone().into()))
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::tests::sample;

    #[test]
    fn the_document_has_the_references_members_in_its_order() {
        let text = document(&sample(), true);
        let value: Value = serde_json::from_str(&text).unwrap();
        let names: Vec<&String> = value.as_object().unwrap().keys().collect();
        assert_eq!(
            names,
            [
                "core-uuid",
                "switchname",
                "channel_data",
                "callStats",
                "variables",
                "app_log",
                "callflow"
            ]
        );
        assert_eq!(value["variables"]["odd_value"], "a%20b%26c%20%3Cd%3E%20%22e%22%2050%25");
        assert_eq!(value["callStats"]["audio"]["inbound"]["raw_bytes"], 3268);
        assert_eq!(value["callStats"]["audio"]["inbound"]["mos"], 4.5);
        assert_eq!(value["callStats"]["audio"]["inbound"]["jitter_max_variance"], 648);
        assert_eq!(value["callStats"]["audio"]["outbound"]["rtcp_packet_count"], 7);
        let extension = &value["callflow"][0]["extension"];
        assert_eq!(extension["applications"][0], json!({"app_name": "answer", "app_data": ""}));
        assert_eq!(extension["applications"][1]["last_executed"], "true");
        assert_eq!(value["callflow"][0]["times"]["answered_time"], "30");
        assert_eq!(
            value["callflow"][0]["caller_profile"]["originatee"]["originatee_caller_profiles"][0]["uuid"],
            "other"
        );
    }

    #[test]
    fn values_stay_plain_on_request_and_a_leg_without_audio_has_no_statistics() {
        let mut record = sample();
        record.variables.retain(|(name, _)| !name.starts_with("rtp_audio"));
        let value: Value = serde_json::from_str(&document(&record, false)).unwrap();
        assert_eq!(value["variables"]["odd_value"], "a b&c <d> \"e\" 50%");
        assert_eq!(value["callStats"], json!({}));
    }
}
