//! Hangup causes: the numbers and names that every event, CDR and API reply speaks.
//!
//! Numbers up to 127 are Q.850; the others are the reference's own. Spelling and numbering are wire format.

use std::fmt;

/// Why a call ended, or could not be made.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Cause(u16);

impl Cause {
    /// 0 NONE
    pub const NONE: Self = Self(0);
    /// 1 UNALLOCATED_NUMBER
    pub const UNALLOCATED_NUMBER: Self = Self(1);
    /// 2 NO_ROUTE_TRANSIT_NET
    pub const NO_ROUTE_TRANSIT_NET: Self = Self(2);
    /// 3 NO_ROUTE_DESTINATION
    pub const NO_ROUTE_DESTINATION: Self = Self(3);
    /// 6 CHANNEL_UNACCEPTABLE
    pub const CHANNEL_UNACCEPTABLE: Self = Self(6);
    /// 7 CALL_AWARDED_DELIVERED
    pub const CALL_AWARDED_DELIVERED: Self = Self(7);
    /// 16 NORMAL_CLEARING
    pub const NORMAL_CLEARING: Self = Self(16);
    /// 17 USER_BUSY
    pub const USER_BUSY: Self = Self(17);
    /// 18 NO_USER_RESPONSE
    pub const NO_USER_RESPONSE: Self = Self(18);
    /// 19 NO_ANSWER
    pub const NO_ANSWER: Self = Self(19);
    /// 20 SUBSCRIBER_ABSENT
    pub const SUBSCRIBER_ABSENT: Self = Self(20);
    /// 21 CALL_REJECTED
    pub const CALL_REJECTED: Self = Self(21);
    /// 22 NUMBER_CHANGED
    pub const NUMBER_CHANGED: Self = Self(22);
    /// 23 REDIRECTION_TO_NEW_DESTINATION
    pub const REDIRECTION_TO_NEW_DESTINATION: Self = Self(23);
    /// 25 EXCHANGE_ROUTING_ERROR
    pub const EXCHANGE_ROUTING_ERROR: Self = Self(25);
    /// 27 DESTINATION_OUT_OF_ORDER
    pub const DESTINATION_OUT_OF_ORDER: Self = Self(27);
    /// 28 INVALID_NUMBER_FORMAT
    pub const INVALID_NUMBER_FORMAT: Self = Self(28);
    /// 29 FACILITY_REJECTED
    pub const FACILITY_REJECTED: Self = Self(29);
    /// 30 RESPONSE_TO_STATUS_ENQUIRY
    pub const RESPONSE_TO_STATUS_ENQUIRY: Self = Self(30);
    /// 31 NORMAL_UNSPECIFIED
    pub const NORMAL_UNSPECIFIED: Self = Self(31);
    /// 34 NORMAL_CIRCUIT_CONGESTION
    pub const NORMAL_CIRCUIT_CONGESTION: Self = Self(34);
    /// 38 NETWORK_OUT_OF_ORDER
    pub const NETWORK_OUT_OF_ORDER: Self = Self(38);
    /// 41 NORMAL_TEMPORARY_FAILURE
    pub const NORMAL_TEMPORARY_FAILURE: Self = Self(41);
    /// 42 SWITCH_CONGESTION
    pub const SWITCH_CONGESTION: Self = Self(42);
    /// 43 ACCESS_INFO_DISCARDED
    pub const ACCESS_INFO_DISCARDED: Self = Self(43);
    /// 44 REQUESTED_CHAN_UNAVAIL
    pub const REQUESTED_CHAN_UNAVAIL: Self = Self(44);
    /// 45 PRE_EMPTED
    pub const PRE_EMPTED: Self = Self(45);
    /// 50 FACILITY_NOT_SUBSCRIBED
    pub const FACILITY_NOT_SUBSCRIBED: Self = Self(50);
    /// 52 OUTGOING_CALL_BARRED
    pub const OUTGOING_CALL_BARRED: Self = Self(52);
    /// 54 INCOMING_CALL_BARRED
    pub const INCOMING_CALL_BARRED: Self = Self(54);
    /// 57 BEARERCAPABILITY_NOTAUTH
    pub const BEARERCAPABILITY_NOTAUTH: Self = Self(57);
    /// 58 BEARERCAPABILITY_NOTAVAIL
    pub const BEARERCAPABILITY_NOTAVAIL: Self = Self(58);
    /// 63 SERVICE_UNAVAILABLE
    pub const SERVICE_UNAVAILABLE: Self = Self(63);
    /// 65 BEARERCAPABILITY_NOTIMPL
    pub const BEARERCAPABILITY_NOTIMPL: Self = Self(65);
    /// 66 CHAN_NOT_IMPLEMENTED
    pub const CHAN_NOT_IMPLEMENTED: Self = Self(66);
    /// 69 FACILITY_NOT_IMPLEMENTED
    pub const FACILITY_NOT_IMPLEMENTED: Self = Self(69);
    /// 79 SERVICE_NOT_IMPLEMENTED
    pub const SERVICE_NOT_IMPLEMENTED: Self = Self(79);
    /// 81 INVALID_CALL_REFERENCE
    pub const INVALID_CALL_REFERENCE: Self = Self(81);
    /// 88 INCOMPATIBLE_DESTINATION
    pub const INCOMPATIBLE_DESTINATION: Self = Self(88);
    /// 95 INVALID_MSG_UNSPECIFIED
    pub const INVALID_MSG_UNSPECIFIED: Self = Self(95);
    /// 96 MANDATORY_IE_MISSING
    pub const MANDATORY_IE_MISSING: Self = Self(96);
    /// 97 MESSAGE_TYPE_NONEXIST
    pub const MESSAGE_TYPE_NONEXIST: Self = Self(97);
    /// 98 WRONG_MESSAGE
    pub const WRONG_MESSAGE: Self = Self(98);
    /// 99 IE_NONEXIST
    pub const IE_NONEXIST: Self = Self(99);
    /// 100 INVALID_IE_CONTENTS
    pub const INVALID_IE_CONTENTS: Self = Self(100);
    /// 101 WRONG_CALL_STATE
    pub const WRONG_CALL_STATE: Self = Self(101);
    /// 102 RECOVERY_ON_TIMER_EXPIRE
    pub const RECOVERY_ON_TIMER_EXPIRE: Self = Self(102);
    /// 103 MANDATORY_IE_LENGTH_ERROR
    pub const MANDATORY_IE_LENGTH_ERROR: Self = Self(103);
    /// 111 PROTOCOL_ERROR
    pub const PROTOCOL_ERROR: Self = Self(111);
    /// 127 INTERWORKING
    pub const INTERWORKING: Self = Self(127);
    /// 142 SUCCESS
    pub const SUCCESS: Self = Self(142);
    /// 487 ORIGINATOR_CANCEL
    pub const ORIGINATOR_CANCEL: Self = Self(487);
    /// 700 CRASH
    pub const CRASH: Self = Self(700);
    /// 701 SYSTEM_SHUTDOWN
    pub const SYSTEM_SHUTDOWN: Self = Self(701);
    /// 702 LOSE_RACE
    pub const LOSE_RACE: Self = Self(702);
    /// 703 MANAGER_REQUEST
    pub const MANAGER_REQUEST: Self = Self(703);
    /// 800 BLIND_TRANSFER
    pub const BLIND_TRANSFER: Self = Self(800);
    /// 801 ATTENDED_TRANSFER
    pub const ATTENDED_TRANSFER: Self = Self(801);
    /// 802 ALLOTTED_TIMEOUT
    pub const ALLOTTED_TIMEOUT: Self = Self(802);
    /// 803 USER_CHALLENGE
    pub const USER_CHALLENGE: Self = Self(803);
    /// 804 MEDIA_TIMEOUT
    pub const MEDIA_TIMEOUT: Self = Self(804);
    /// 805 PICKED_OFF
    pub const PICKED_OFF: Self = Self(805);
    /// 806 USER_NOT_REGISTERED
    pub const USER_NOT_REGISTERED: Self = Self(806);
    /// 807 PROGRESS_TIMEOUT
    pub const PROGRESS_TIMEOUT: Self = Self(807);
    /// 808 INVALID_GATEWAY
    pub const INVALID_GATEWAY: Self = Self(808);
    /// 809 GATEWAY_DOWN
    pub const GATEWAY_DOWN: Self = Self(809);
    /// 810 INVALID_URL
    pub const INVALID_URL: Self = Self(810);
    /// 811 INVALID_PROFILE
    pub const INVALID_PROFILE: Self = Self(811);
    /// 812 NO_PICKUP
    pub const NO_PICKUP: Self = Self(812);
    /// 813 SRTP_READ_ERROR
    pub const SRTP_READ_ERROR: Self = Self(813);
    /// 814 BOWOUT
    pub const BOWOUT: Self = Self(814);
    /// 815 BUSY_EVERYWHERE
    pub const BUSY_EVERYWHERE: Self = Self(815);
    /// 816 DECLINE
    pub const DECLINE: Self = Self(816);
    /// 817 DOES_NOT_EXIST_ANYWHERE
    pub const DOES_NOT_EXIST_ANYWHERE: Self = Self(817);
    /// 818 NOT_ACCEPTABLE
    pub const NOT_ACCEPTABLE: Self = Self(818);
    /// 819 UNWANTED
    pub const UNWANTED: Self = Self(819);
    /// 820 NO_IDENTITY
    pub const NO_IDENTITY: Self = Self(820);
    /// 821 BAD_IDENTITY_INFO
    pub const BAD_IDENTITY_INFO: Self = Self(821);
    /// 822 UNSUPPORTED_CERTIFICATE
    pub const UNSUPPORTED_CERTIFICATE: Self = Self(822);
    /// 823 INVALID_IDENTITY
    pub const INVALID_IDENTITY: Self = Self(823);
    /// 824 STALE_DATE
    pub const STALE_DATE: Self = Self(824);
    /// 825 REJECT_ALL
    pub const REJECT_ALL: Self = Self(825);

    /// The cause as number.
    #[must_use]
    pub const fn number(self) -> u16 {
        self.0
    }

    /// The value of `hangup_cause_q850`: causes beyond Q.850 are reported as 16.
    #[must_use]
    pub const fn q850(self) -> u16 {
        if self.0 <= 127 { self.0 } else { 16 }
    }

    /// The name on the wire; a number that has none is `UNKNOWN`.
    #[must_use]
    pub fn name(self) -> &'static str {
        NAMES.binary_search_by_key(&self.0, |entry| entry.0).map_or("UNKNOWN", |at| NAMES[at].1)
    }

    /// Reads a cause as administrators write it: a name in any case, or a number.
    ///
    /// Like the reference, an empty or unknown name is `NORMAL_CLEARING`.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        Self::parse_strict(text).unwrap_or(Self::NORMAL_CLEARING)
    }

    /// [`Cause::parse`], but `None` for a name that does not exist.
    #[must_use]
    pub fn parse_strict(text: &str) -> Option<Self> {
        let text = text.trim();
        if text.starts_with(|c: char| c.is_ascii_digit()) {
            let digits = text.split(|c: char| !c.is_ascii_digit()).next().unwrap_or_default();
            return digits.parse().ok().map(Self);
        }
        NAMES.iter().find(|entry| entry.1.eq_ignore_ascii_case(text)).map(|entry| Self(entry.0))
    }

    /// A cause from its number, listed or not.
    #[must_use]
    pub const fn from_number(number: u16) -> Self {
        Self(number)
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Debug for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} [{}]", self.name(), self.0)
    }
}

/// Sorted by number.
const NAMES: &[(u16, &str)] = &[
    (0, "NONE"),
    (1, "UNALLOCATED_NUMBER"),
    (2, "NO_ROUTE_TRANSIT_NET"),
    (3, "NO_ROUTE_DESTINATION"),
    (6, "CHANNEL_UNACCEPTABLE"),
    (7, "CALL_AWARDED_DELIVERED"),
    (16, "NORMAL_CLEARING"),
    (17, "USER_BUSY"),
    (18, "NO_USER_RESPONSE"),
    (19, "NO_ANSWER"),
    (20, "SUBSCRIBER_ABSENT"),
    (21, "CALL_REJECTED"),
    (22, "NUMBER_CHANGED"),
    (23, "REDIRECTION_TO_NEW_DESTINATION"),
    (25, "EXCHANGE_ROUTING_ERROR"),
    (27, "DESTINATION_OUT_OF_ORDER"),
    (28, "INVALID_NUMBER_FORMAT"),
    (29, "FACILITY_REJECTED"),
    (30, "RESPONSE_TO_STATUS_ENQUIRY"),
    (31, "NORMAL_UNSPECIFIED"),
    (34, "NORMAL_CIRCUIT_CONGESTION"),
    (38, "NETWORK_OUT_OF_ORDER"),
    (41, "NORMAL_TEMPORARY_FAILURE"),
    (42, "SWITCH_CONGESTION"),
    (43, "ACCESS_INFO_DISCARDED"),
    (44, "REQUESTED_CHAN_UNAVAIL"),
    (45, "PRE_EMPTED"),
    (50, "FACILITY_NOT_SUBSCRIBED"),
    (52, "OUTGOING_CALL_BARRED"),
    (54, "INCOMING_CALL_BARRED"),
    (57, "BEARERCAPABILITY_NOTAUTH"),
    (58, "BEARERCAPABILITY_NOTAVAIL"),
    (63, "SERVICE_UNAVAILABLE"),
    (65, "BEARERCAPABILITY_NOTIMPL"),
    (66, "CHAN_NOT_IMPLEMENTED"),
    (69, "FACILITY_NOT_IMPLEMENTED"),
    (79, "SERVICE_NOT_IMPLEMENTED"),
    (81, "INVALID_CALL_REFERENCE"),
    (88, "INCOMPATIBLE_DESTINATION"),
    (95, "INVALID_MSG_UNSPECIFIED"),
    (96, "MANDATORY_IE_MISSING"),
    (97, "MESSAGE_TYPE_NONEXIST"),
    (98, "WRONG_MESSAGE"),
    (99, "IE_NONEXIST"),
    (100, "INVALID_IE_CONTENTS"),
    (101, "WRONG_CALL_STATE"),
    (102, "RECOVERY_ON_TIMER_EXPIRE"),
    (103, "MANDATORY_IE_LENGTH_ERROR"),
    (111, "PROTOCOL_ERROR"),
    (127, "INTERWORKING"),
    (142, "SUCCESS"),
    (487, "ORIGINATOR_CANCEL"),
    (700, "CRASH"),
    (701, "SYSTEM_SHUTDOWN"),
    (702, "LOSE_RACE"),
    (703, "MANAGER_REQUEST"),
    (800, "BLIND_TRANSFER"),
    (801, "ATTENDED_TRANSFER"),
    (802, "ALLOTTED_TIMEOUT"),
    (803, "USER_CHALLENGE"),
    (804, "MEDIA_TIMEOUT"),
    (805, "PICKED_OFF"),
    (806, "USER_NOT_REGISTERED"),
    (807, "PROGRESS_TIMEOUT"),
    (808, "INVALID_GATEWAY"),
    (809, "GATEWAY_DOWN"),
    (810, "INVALID_URL"),
    (811, "INVALID_PROFILE"),
    (812, "NO_PICKUP"),
    (813, "SRTP_READ_ERROR"),
    (814, "BOWOUT"),
    (815, "BUSY_EVERYWHERE"),
    (816, "DECLINE"),
    (817, "DOES_NOT_EXIST_ANYWHERE"),
    (818, "NOT_ACCEPTABLE"),
    (819, "UNWANTED"),
    (820, "NO_IDENTITY"),
    (821, "BAD_IDENTITY_INFO"),
    (822, "UNSUPPORTED_CERTIFICATE"),
    (823, "INVALID_IDENTITY"),
    (824, "STALE_DATE"),
    (825, "REJECT_ALL"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_numbers_and_unknown_words_read_as_the_reference_reads_them() {
        assert!(NAMES.windows(2).all(|pair| pair[0].0 < pair[1].0));
        assert_eq!(Cause::parse("user_busy"), Cause::USER_BUSY);
        assert_eq!(Cause::parse("17"), Cause::USER_BUSY);
        assert_eq!(Cause::parse("no such cause"), Cause::NORMAL_CLEARING);
        assert_eq!(Cause::parse(""), Cause::NORMAL_CLEARING);
        assert_eq!(Cause::parse("4711").name(), "UNKNOWN");
        assert_eq!(Cause::MEDIA_TIMEOUT.q850(), 16);
        assert_eq!(Cause::USER_BUSY.q850(), 17);
    }
}
