//! Header names: one enum for those the stack knows, with compact forms and the order in which the
//! reference writes them.

macro_rules! names {
    ($($variant:ident $text:literal $(/ $compact:literal)? ,)*) => {
        /// A header the stack knows by name. **The declaration order is the order on the wire**: the
        /// reference writes headers sorted this way whatever the order they were added in, and
        /// unknown headers ([`Name::Other`]) after `Content-Length` in the order added.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        #[allow(missing_docs)] // The names are the RFCs' own.
        pub enum Name { $($variant,)* Other }

        impl Name {
            const TEXTS: &[&str] = &[$($text,)* ""];

            /// The canonical spelling; empty for [`Name::Other`].
            pub fn as_str(self) -> &'static str {
                Self::TEXTS.get(self as usize).copied().unwrap_or("")
            }

            /// Recognises a full or compact name in any case.
            pub fn recognise(text: &str) -> Self {
                if text.len() == 1 {
                    return Self::compact(text);
                }
                // Names of one length are few; comparing within it beats hashing the name.
                match text.len() {
                    $(n if n == $text.len() && text.eq_ignore_ascii_case($text) => Self::$variant,)*
                    _ => Self::Other,
                }
            }

            fn compact(text: &str) -> Self {
                $($(if text.eq_ignore_ascii_case($compact) { return Self::$variant; })?)*
                Self::Other
            }
        }
    };
}

names! {
    Via "Via" / "v",
    Route "Route",
    RecordRoute "Record-Route",
    MaxForwards "Max-Forwards",
    ProxyRequire "Proxy-Require",
    From "From" / "f",
    To "To" / "t",
    CallId "Call-ID" / "i",
    CSeq "CSeq",
    Contact "Contact" / "m",
    RSeq "RSeq",
    RAck "RAck",
    RequestDisposition "Request-Disposition" / "d",
    AcceptContact "Accept-Contact" / "a",
    RejectContact "Reject-Contact" / "j",
    Expires "Expires",
    Date "Date",
    RetryAfter "Retry-After",
    Timestamp "Timestamp",
    MinExpires "Min-Expires",
    Subject "Subject" / "s",
    Priority "Priority",
    CallInfo "Call-Info",
    Organization "Organization",
    Server "Server",
    UserAgent "User-Agent",
    InReplyTo "In-Reply-To",
    Accept "Accept",
    AcceptEncoding "Accept-Encoding",
    AcceptLanguage "Accept-Language",
    Allow "Allow",
    Require "Require",
    Supported "Supported" / "k",
    Unsupported "Unsupported",
    Event "Event" / "o",
    AllowEvents "Allow-Events" / "u",
    SubscriptionState "Subscription-State",
    ProxyAuthenticate "Proxy-Authenticate",
    ProxyAuthenticationInfo "Proxy-Authentication-Info",
    ProxyAuthorization "Proxy-Authorization",
    Authorization "Authorization",
    WwwAuthenticate "WWW-Authenticate",
    AuthenticationInfo "Authentication-Info",
    ErrorInfo "Error-Info",
    Warning "Warning",
    ReferTo "Refer-To" / "r",
    ReferredBy "Referred-By" / "b",
    Replaces "Replaces",
    SessionExpires "Session-Expires" / "x",
    MinSe "Min-SE",
    Path "Path",
    ServiceRoute "Service-Route",
    Reason "Reason",
    SecurityClient "Security-Client",
    SecurityServer "Security-Server",
    SecurityVerify "Security-Verify",
    Privacy "Privacy",
    Identity "Identity" / "y",
    SipEtag "SIP-ETag",
    SipIfMatch "SIP-If-Match",
    MimeVersion "MIME-Version",
    ContentType "Content-Type" / "c",
    ContentEncoding "Content-Encoding" / "e",
    ContentLanguage "Content-Language",
    ContentDisposition "Content-Disposition",
    ContentLength "Content-Length" / "l",
}

impl Name {
    /// True for headers that may appear once only; a second one is a malformed message.
    pub(crate) fn is_single(self) -> bool {
        matches!(
            self,
            Self::From
                | Self::To
                | Self::CallId
                | Self::CSeq
                | Self::MaxForwards
                | Self::ContentLength
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn full_and_compact_names_are_recognised_in_any_case() {
        for (text, name) in [
            ("VIA", Name::Via),
            ("i", Name::CallId),
            ("L", Name::ContentLength),
            ("cseq", Name::CSeq),
        ] {
            assert_eq!(Name::recognise(text), name);
        }
        assert_eq!(Name::recognise("X-Golden"), Name::Other);
        assert_eq!(Name::recognise(""), Name::Other);
    }

    #[test]
    fn the_wire_order_is_the_recorded_one() {
        let recorded = [
            Name::Via,
            Name::MaxForwards,
            Name::From,
            Name::To,
            Name::CallId,
            Name::CSeq,
            Name::Contact,
            Name::Expires,
            Name::UserAgent,
            Name::Accept,
            Name::Allow,
            Name::Supported,
            Name::Event,
            Name::AllowEvents,
            Name::SubscriptionState,
            Name::Authorization,
            Name::ReferTo,
            Name::ReferredBy,
            Name::Reason,
            Name::ContentType,
            Name::ContentDisposition,
            Name::ContentLength,
            Name::Other,
        ];
        assert!(recorded.is_sorted());
    }
}
