//! The closed list of event types.

use std::fmt;
use std::str::FromStr;

macro_rules! event_names {
    ($($variant:ident = $text:literal),+ $(,)?) => {
        /// The type of an event. The numeric value is the reference's internal id, `CUSTOM` = 0.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        #[allow(missing_docs, reason = "the wire spelling in as_str() is the documentation")]
        pub enum EventName { $($variant),+ }

        impl EventName {
            /// Every type, in numeric order.
            pub const EVERY: &'static [Self] = &[$(Self::$variant),+];

            /// The spelling on the wire.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }
        }
    };
}

event_names! {
    Custom = "CUSTOM",
    Clone = "CLONE",
    ChannelCreate = "CHANNEL_CREATE",
    ChannelDestroy = "CHANNEL_DESTROY",
    ChannelState = "CHANNEL_STATE",
    ChannelCallstate = "CHANNEL_CALLSTATE",
    ChannelAnswer = "CHANNEL_ANSWER",
    ChannelHangup = "CHANNEL_HANGUP",
    ChannelHangupComplete = "CHANNEL_HANGUP_COMPLETE",
    ChannelExecute = "CHANNEL_EXECUTE",
    ChannelExecuteComplete = "CHANNEL_EXECUTE_COMPLETE",
    ChannelHold = "CHANNEL_HOLD",
    ChannelUnhold = "CHANNEL_UNHOLD",
    ChannelBridge = "CHANNEL_BRIDGE",
    ChannelUnbridge = "CHANNEL_UNBRIDGE",
    ChannelProgress = "CHANNEL_PROGRESS",
    ChannelProgressMedia = "CHANNEL_PROGRESS_MEDIA",
    ChannelOutgoing = "CHANNEL_OUTGOING",
    ChannelPark = "CHANNEL_PARK",
    ChannelUnpark = "CHANNEL_UNPARK",
    ChannelApplication = "CHANNEL_APPLICATION",
    ChannelOriginate = "CHANNEL_ORIGINATE",
    ChannelUuid = "CHANNEL_UUID",
    Api = "API",
    Log = "LOG",
    InboundChan = "INBOUND_CHAN",
    OutboundChan = "OUTBOUND_CHAN",
    Startup = "STARTUP",
    Shutdown = "SHUTDOWN",
    Publish = "PUBLISH",
    Unpublish = "UNPUBLISH",
    Talk = "TALK",
    Notalk = "NOTALK",
    SessionCrash = "SESSION_CRASH",
    ModuleLoad = "MODULE_LOAD",
    ModuleUnload = "MODULE_UNLOAD",
    Dtmf = "DTMF",
    Message = "MESSAGE",
    PresenceIn = "PRESENCE_IN",
    NotifyIn = "NOTIFY_IN",
    PresenceOut = "PRESENCE_OUT",
    PresenceProbe = "PRESENCE_PROBE",
    MessageWaiting = "MESSAGE_WAITING",
    MessageQuery = "MESSAGE_QUERY",
    Roster = "ROSTER",
    Codec = "CODEC",
    BackgroundJob = "BACKGROUND_JOB",
    DetectedSpeech = "DETECTED_SPEECH",
    DetectedTone = "DETECTED_TONE",
    PrivateCommand = "PRIVATE_COMMAND",
    Heartbeat = "HEARTBEAT",
    Trap = "TRAP",
    AddSchedule = "ADD_SCHEDULE",
    DelSchedule = "DEL_SCHEDULE",
    ExeSchedule = "EXE_SCHEDULE",
    ReSchedule = "RE_SCHEDULE",
    Reloadxml = "RELOADXML",
    Notify = "NOTIFY",
    PhoneFeature = "PHONE_FEATURE",
    PhoneFeatureSubscribe = "PHONE_FEATURE_SUBSCRIBE",
    SendMessage = "SEND_MESSAGE",
    RecvMessage = "RECV_MESSAGE",
    RequestParams = "REQUEST_PARAMS",
    ChannelData = "CHANNEL_DATA",
    General = "GENERAL",
    Command = "COMMAND",
    SessionHeartbeat = "SESSION_HEARTBEAT",
    ClientDisconnected = "CLIENT_DISCONNECTED",
    ServerDisconnected = "SERVER_DISCONNECTED",
    SendInfo = "SEND_INFO",
    RecvInfo = "RECV_INFO",
    RecvRtcpMessage = "RECV_RTCP_MESSAGE",
    SendRtcpMessage = "SEND_RTCP_MESSAGE",
    CallSecure = "CALL_SECURE",
    Nat = "NAT",
    RecordStart = "RECORD_START",
    RecordStop = "RECORD_STOP",
    PlaybackStart = "PLAYBACK_START",
    PlaybackStop = "PLAYBACK_STOP",
    CallUpdate = "CALL_UPDATE",
    Failure = "FAILURE",
    SocketData = "SOCKET_DATA",
    MediaBugStart = "MEDIA_BUG_START",
    MediaBugStop = "MEDIA_BUG_STOP",
    ConferenceDataQuery = "CONFERENCE_DATA_QUERY",
    ConferenceData = "CONFERENCE_DATA",
    CallSetupReq = "CALL_SETUP_REQ",
    CallSetupResult = "CALL_SETUP_RESULT",
    CallDetail = "CALL_DETAIL",
    DeviceState = "DEVICE_STATE",
    Text = "TEXT",
    ShutdownRequested = "SHUTDOWN_REQUESTED",
    CertReload = "CERT_RELOAD",
    All = "ALL",
}

impl EventName {
    /// How many types there are, `ALL` included.
    pub const COUNT: usize = Self::EVERY.len();

    /// Finds a type by its name, in any case, with or without the `SWITCH_EVENT_` prefix.
    ///
    /// The reference takes *any* 13-byte prefix for that one; `xxxxxxxxxxxxxHEARTBEAT` is a
    /// heartbeat there and here.
    pub fn parse(text: &str) -> Option<Self> {
        Self::exactly(text).or_else(|| Self::exactly(text.get(PREFIX_LEN..)?))
    }

    fn exactly(text: &str) -> Option<Self> {
        Self::EVERY.iter().copied().find(|name| name.as_str().eq_ignore_ascii_case(text))
    }

    /// Position in [`Self::EVERY`], for tables indexed by type.
    pub const fn index(self) -> usize {
        self as usize
    }

    /// Whether events of this type hold each header name at most once (the last value wins and
    /// moves to the end).
    pub const fn unique_headers(self) -> bool {
        matches!(self, Self::RequestParams | Self::ChannelData | Self::Message)
    }
}

/// Length of `SWITCH_EVENT_`.
const PREFIX_LEN: usize = 13;

impl fmt::Display for EventName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The text names no event type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no event has that name")]
pub struct UnknownEventName;

impl FromStr for EventName {
    type Err = UnknownEventName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text).ok_or(UnknownEventName)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_94_names_and_ids_follow_their_order() {
        // The 93 of 1.10.12, and CERT_RELOAD of 1.11.
        assert_eq!(EventName::COUNT, 94);
        assert_eq!(EventName::Custom.index(), 0);
        assert_eq!(EventName::All.index(), 93);
        assert_eq!(EventName::Heartbeat.index(), 50);
    }

    #[test]
    fn names_are_found_in_any_case_and_with_the_long_prefix() {
        assert_eq!(EventName::parse("heartBeat"), Some(EventName::Heartbeat));
        assert_eq!(EventName::parse("SWITCH_EVENT_PLAYBACK_START"), Some(EventName::PlaybackStart));
        assert_eq!(EventName::parse("any13letters_DTMF"), Some(EventName::Dtmf));
        assert_eq!(EventName::parse(""), None);
        assert_eq!(EventName::parse("DTMFS"), None);
    }
}
