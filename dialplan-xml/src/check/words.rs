//! Values that are words: hangup causes, codecs, channel variables of one kind.

use super::Subject;
use crate::catalogue::nearest;
use crate::catalogue::variables::{VariableKind, variable};
use crate::text::{is_false, is_number, is_true};
use crate::{Diagnostic, Place};

/// Hangup causes (Q.850 and the reference's own).
const CAUSES: &str = "NONE UNALLOCATED_NUMBER NO_ROUTE_TRANSIT_NET NO_ROUTE_DESTINATION CHANNEL_UNACCEPTABLE \
    CALL_AWARDED_DELIVERED NORMAL_CLEARING USER_BUSY NO_USER_RESPONSE NO_ANSWER SUBSCRIBER_ABSENT \
    CALL_REJECTED NUMBER_CHANGED REDIRECTION_TO_NEW_DESTINATION EXCHANGE_ROUTING_ERROR \
    DESTINATION_OUT_OF_ORDER INVALID_NUMBER_FORMAT FACILITY_REJECTED RESPONSE_TO_STATUS_ENQUIRY \
    NORMAL_UNSPECIFIED NORMAL_CIRCUIT_CONGESTION NETWORK_OUT_OF_ORDER NORMAL_TEMPORARY_FAILURE \
    SWITCH_CONGESTION ACCESS_INFO_DISCARDED REQUESTED_CHAN_UNAVAIL PRE_EMPTED FACILITY_NOT_SUBSCRIBED \
    OUTGOING_CALL_BARRED INCOMING_CALL_BARRED BEARERCAPABILITY_NOTAUTH BEARERCAPABILITY_NOTAVAIL \
    SERVICE_UNAVAILABLE BEARERCAPABILITY_NOTIMPL CHAN_NOT_IMPLEMENTED FACILITY_NOT_IMPLEMENTED \
    SERVICE_NOT_IMPLEMENTED INVALID_CALL_REFERENCE INCOMPATIBLE_DESTINATION INVALID_MSG_UNSPECIFIED \
    MANDATORY_IE_MISSING MESSAGE_TYPE_NONEXIST WRONG_MESSAGE IE_NONEXIST INVALID_IE_CONTENTS \
    WRONG_CALL_STATE RECOVERY_ON_TIMER_EXPIRE MANDATORY_IE_LENGTH_ERROR PROTOCOL_ERROR INTERWORKING \
    SUCCESS ORIGINATOR_CANCEL CRASH SYSTEM_SHUTDOWN LOSE_RACE MANAGER_REQUEST BLIND_TRANSFER \
    ATTENDED_TRANSFER ALLOTTED_TIMEOUT USER_CHALLENGE MEDIA_TIMEOUT PICKED_OFF USER_NOT_REGISTERED \
    PROGRESS_TIMEOUT INVALID_GATEWAY GATEWAY_DOWN INVALID_URL INVALID_PROFILE NO_PICKUP SRTP_READ_ERROR \
    BOWOUT BUSY_EVERYWHERE DECLINE DOES_NOT_EXIST_ANYWHERE NOT_ACCEPTABLE UNWANTED NO_IDENTITY \
    BAD_IDENTITY_INFO UNSUPPORTED_CERTIFICATE INVALID_IDENTITY STALE_DATE REJECT_ALL";

/// A hangup cause, by name or number.
pub(super) fn cause(subject: &mut Subject<'_>, word: &str, place: &Place) {
    let known = || CAUSES.split_ascii_whitespace();
    if word.is_empty()
        || word.contains('$')
        || is_number(word)
        || known().any(|name| name.eq_ignore_ascii_case(word))
    {
        return;
    }
    let message = format!("there is no hangup cause \"{word}\"");
    let mut found = Diagnostic::error("cause-unknown", message, Some(place.clone()));
    if let Some(near) = nearest(word, known()) {
        found = found.with_hint(format!("did you mean {near}?"));
    }
    subject.say(found.with_focus(word, 0));
}

/// Codecs of the reference's modules, by the names lists use.
const CODECS: &str = "PCMU PCMA G722 G7221 G723 G729 G726-16 G726-24 G726-32 G726-40 AAL2-G726-16 AAL2-G726-24 \
    AAL2-G726-32 AAL2-G726-40 GSM iLBC AMR AMR-WB EVS opus speex SILK CELT L16 BV16 BV32 CODEC2 LPC DVI4 VOX \
    iSAC siren MP4V-ES H261 H263 H263-1998 H263-2000 H264 H265 VP8 VP9 AV1 theora T140 RED PROXY PROXY-VID \
    CLEARMODE b64 telephone-event";

/// A list of codecs: `PCMU`, `opus@48000h@20i`, `G7221@32000h` …
pub(super) fn codecs(subject: &mut Subject<'_>, list: &str, place: &Place) {
    let list = list.trim_matches('\'');
    let (list, separator) = crate::text::chosen_delimiter(list, ',');
    for item in list.split(separator).map(str::trim) {
        if item.is_empty() || item.contains('$') || item.contains('{') {
            continue;
        }
        let mut parts = item.split('~').next().unwrap_or_default().split('@');
        let name = parts.next().unwrap_or_default();
        // `module.CODEC` chooses among modules.
        let name = name.rsplit('.').next().unwrap_or_default();
        let known = || CODECS.split_ascii_whitespace();
        if !known().any(|codec| codec.eq_ignore_ascii_case(name)) {
            let message = format!("there is no codec \"{name}\"");
            let mut found = Diagnostic::error("codec-unknown", message, Some(place.clone()));
            if let Some(near) = nearest(name, known()) {
                found = found.with_hint(format!("did you mean {near}?"));
            }
            subject.say(found.with_focus(name, 0));
        }
        for part in parts {
            let digits = part.trim_end_matches(['h', 'i', 'b', 'c']);
            if digits.len() + 1 != part.len() || !digits.bytes().all(|b| b.is_ascii_digit()) {
                let message = format!("\"@{part}\" of codec {item} is not understood");
                let found = Diagnostic::error("codec-unknown", message, Some(place.clone()));
                subject.say(found.with_focus(item, item.find('@').unwrap_or(0)).with_hint(
                    "a number and its unit: i for milliseconds, h for Hz, b for bit/s, c for channels",
                ));
            }
        }
    }
}

/// `name=value` of a dial string's options or of `set`.
pub(super) fn option(subject: &mut Subject<'_>, item: &str, place: &Place) {
    let Some((name, value)) = item.split_once('=') else {
        if !item.contains('$') {
            let message = format!("\"{item}\" is not name=value and sets nothing");
            let found = Diagnostic::error("set-without-equals", message, Some(place.clone()));
            subject.say(found.with_focus(item, 0));
        }
        return;
    };
    let name = name.trim().trim_start_matches("nolocal:");
    variable_value(subject, name, value.trim().trim_matches('\''), place);
}

/// A channel variable's value, when the variable wants one of a certain kind.
pub(super) fn variable_value(subject: &mut Subject<'_>, name: &str, value: &str, place: &Place) {
    if value.is_empty() || value.contains('$') {
        return;
    }
    let wanted = match variable(name) {
        Some(VariableKind::Bool) if !is_true(value) && !is_false(value) => "true or false",
        Some(VariableKind::Number) if !is_number(value) => "a number",
        Some(VariableKind::Causes) if !is_true(value) && !is_false(value) => {
            for word in value.split([',', ' ', '|']).filter(|w| !w.is_empty()) {
                cause(subject, word, place);
            }
            return;
        }
        Some(VariableKind::Codecs) => return codecs(subject, value, place),
        _ => return,
    };
    // Some switches are named like applications' own words; only what is nearly yes or no is certain.
    let message = format!("{name}={value}: {wanted} is wanted");
    let mut found = Diagnostic::error("value-type", message, Some(place.clone()));
    if wanted == "a number" && value.starts_with(|c: char| c.is_ascii_digit()) {
        found = found.with_hint("a number without a unit");
    } else if let Some(near) = nearest(value, ["true", "false", "yes"]) {
        found = found.with_hint(format!("did you mean {near}?"));
    }
    let focus = format!("{name}={value}");
    subject.say(found.with_focus(focus, name.len() + 1));
}
