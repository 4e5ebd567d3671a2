//! Hangup causes and SIP statuses: the reference's two tables.

use sip::message::{Headers, Name};
use sip::uri::Params;

use crate::call::Cause;

/// A status as `proto_specific_hangup_cause` and its kin show it: `sip:486`.
#[must_use]
pub fn of_protocol(status: u16) -> String {
    format!("sip:{status}")
}

/// The SIP status that refuses an unanswered call with that cause.
#[must_use]
pub fn status_of(cause: Cause) -> u16 {
    match cause {
        Cause::UNALLOCATED_NUMBER | Cause::NO_ROUTE_TRANSIT_NET | Cause::NO_ROUTE_DESTINATION => {
            404
        }
        Cause::USER_BUSY => 486,
        Cause::NO_USER_RESPONSE => 408,
        Cause::CALL_REJECTED | Cause::DECLINE | Cause::REJECT_ALL => 603,
        Cause::NUMBER_CHANGED | Cause::REDIRECTION_TO_NEW_DESTINATION => 410,
        Cause::EXCHANGE_ROUTING_ERROR => 483,
        Cause::DESTINATION_OUT_OF_ORDER | Cause::INVALID_PROFILE => 502,
        Cause::INVALID_NUMBER_FORMAT | Cause::INVALID_URL | Cause::INVALID_GATEWAY => 484,
        Cause::FACILITY_REJECTED
        | Cause::FACILITY_NOT_IMPLEMENTED
        | Cause::SERVICE_NOT_IMPLEMENTED => 501,
        Cause::NORMAL_CIRCUIT_CONGESTION
        | Cause::NETWORK_OUT_OF_ORDER
        | Cause::NORMAL_TEMPORARY_FAILURE
        | Cause::SWITCH_CONGESTION
        | Cause::REQUESTED_CHAN_UNAVAIL
        | Cause::BEARERCAPABILITY_NOTAVAIL
        | Cause::GATEWAY_DOWN => 503,
        Cause::OUTGOING_CALL_BARRED
        | Cause::INCOMING_CALL_BARRED
        | Cause::BEARERCAPABILITY_NOTAUTH
        | Cause::STALE_DATE => 403,
        Cause::BEARERCAPABILITY_NOTIMPL | Cause::INCOMPATIBLE_DESTINATION => 488,
        Cause::RECOVERY_ON_TIMER_EXPIRE => 504,
        Cause::ORIGINATOR_CANCEL => 487,
        Cause::BUSY_EVERYWHERE => 600,
        Cause::DOES_NOT_EXIST_ANYWHERE => 604,
        Cause::NOT_ACCEPTABLE => 606,
        Cause::UNWANTED => 607,
        Cause::NO_IDENTITY => 428,
        Cause::BAD_IDENTITY_INFO => 429,
        Cause::UNSUPPORTED_CERTIFICATE => 437,
        Cause::INVALID_IDENTITY => 438,
        _ => 480,
    }
}

/// The cause a final status means.
#[must_use]
pub fn cause_of(status: u16) -> Cause {
    match status {
        200 => Cause::NORMAL_CLEARING,
        401 | 402 | 403 | 407 | 603 | 608 => Cause::CALL_REJECTED,
        404 => Cause::UNALLOCATED_NUMBER,
        485 | 604 => Cause::NO_ROUTE_DESTINATION,
        410 => Cause::NUMBER_CHANGED,
        408 | 504 => Cause::RECOVERY_ON_TIMER_EXPIRE,
        413 | 414 | 416 | 420 | 421 | 423 | 505 | 513 => Cause::INTERWORKING,
        480 => Cause::NO_USER_RESPONSE,
        486 | 600 => Cause::USER_BUSY,
        400 | 481 | 500 | 503 => Cause::NORMAL_TEMPORARY_FAILURE,
        502 => Cause::NETWORK_OUT_OF_ORDER,
        484 => Cause::INVALID_NUMBER_FORMAT,
        488 | 606 => Cause::INCOMPATIBLE_DESTINATION,
        405 => Cause::SERVICE_UNAVAILABLE,
        406 | 415 | 501 => Cause::SERVICE_NOT_IMPLEMENTED,
        482 | 483 => Cause::EXCHANGE_ROUTING_ERROR,
        487 => Cause::ORIGINATOR_CANCEL,
        607 => Cause::UNWANTED,
        428 => Cause::NO_IDENTITY,
        429 => Cause::BAD_IDENTITY_INFO,
        437 => Cause::UNSUPPORTED_CERTIFICATE,
        438 => Cause::INVALID_IDENTITY,
        _ => Cause::NORMAL_UNSPECIFIED,
    }
}

/// The `Reason` header we send with BYE, CANCEL and refusals.
#[must_use]
pub fn reason_header(cause: Cause) -> String {
    let protocol = if (1..=127).contains(&cause.number()) { "Q.850" } else { "SIP" };
    format!("{protocol};cause={};text=\"{}\"", cause.number(), cause.name())
}

/// What a peer's `Reason` headers say (RFC 3326): the first as text, for programs, and the cause of the first that is of
/// a kind we understand. A peer may give several, one for each protocol, on one line or more.
#[must_use]
pub fn reasons(headers: &Headers) -> Option<(&str, Option<Cause>)> {
    let mut all = headers.list(Name::Reason).peekable();
    let first = *all.peek()?;
    Some((first, all.find_map(cause_of_reason)))
}

/// The cause one `Reason` names.
fn cause_of_reason(reason: &str) -> Option<Cause> {
    let (protocol, params) = reason.split_once(';')?;
    let protocol = protocol.trim();
    if !(protocol.eq_ignore_ascii_case("Q.850") || protocol.eq_ignore_ascii_case("FreeSWITCH")) {
        return None;
    }
    Params::new(params).get("cause")?.parse().ok().map(Cause::from_number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_become_statuses_and_back_as_the_tables_say() {
        assert_eq!(status_of(Cause::USER_BUSY), 486);
        assert_eq!(status_of(Cause::NORMAL_CLEARING), 480);
        assert_eq!(cause_of(486), Cause::USER_BUSY);
        assert_eq!(cause_of(499), Cause::NORMAL_UNSPECIFIED);
        assert_eq!(
            reason_header(Cause::NORMAL_CLEARING),
            "Q.850;cause=16;text=\"NORMAL_CLEARING\""
        );
        assert_eq!(reason_header(Cause::MANAGER_REQUEST), "SIP;cause=703;text=\"MANAGER_REQUEST\"");
        assert_eq!(cause_of_reason("Q.850;cause=17;text=\"x\""), Some(Cause::USER_BUSY));
        assert_eq!(cause_of_reason("SIP;cause=200"), None);
    }

    #[test]
    fn of_several_reasons_the_first_understood_counts() {
        let heard = |lines: &[&str]| {
            let headers: Headers = lines.iter().map(|line| ("Reason", *line)).collect();
            reasons(&headers).map(|(first, cause)| (first.to_owned(), cause))
        };
        let first = "SIP;cause=200;text=\"gone, elsewhere; really\"";
        assert_eq!(heard(&[]), None);
        assert_eq!(heard(&[first]), Some((first.to_owned(), None)));
        let both = format!("{first}, Q.850 ; text=\"cause=1\" ; Cause = 17");
        assert_eq!(heard(&[&both]), Some((first.to_owned(), Some(Cause::USER_BUSY))));
        assert_eq!(
            heard(&[first, "q.850;cause=17"]),
            Some((first.to_owned(), Some(Cause::USER_BUSY)))
        );
    }
}
