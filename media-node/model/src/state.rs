//! Channel states and call states: names, numbers and legal moves.

/// Where a channel is in its life (`Channel-State`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum State {
    /// Created, nothing done.
    New,
    /// The endpoint sets itself up.
    Init,
    /// Dialplan lookup.
    Routing,
    /// Another channel's task decides (uuid_bridge).
    SoftExecute,
    /// Runs dialplan applications.
    Execute,
    /// The called side of a bridge.
    ExchangeMedia,
    /// Parked by state.
    Park,
    /// An outbound leg waiting for its answer.
    ConsumeMedia,
    /// Sleeping while others rearrange it.
    Hibernate,
    /// Reset step.
    Reset,
    /// Hangup processing.
    Hangup,
    /// Call records.
    Reporting,
    /// The end.
    Destroy,
    /// No running state yet.
    None,
}

impl State {
    /// The name on the wire.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::New => "CS_NEW",
            Self::Init => "CS_INIT",
            Self::Routing => "CS_ROUTING",
            Self::SoftExecute => "CS_SOFT_EXECUTE",
            Self::Execute => "CS_EXECUTE",
            Self::ExchangeMedia => "CS_EXCHANGE_MEDIA",
            Self::Park => "CS_PARK",
            Self::ConsumeMedia => "CS_CONSUME_MEDIA",
            Self::Hibernate => "CS_HIBERNATE",
            Self::Reset => "CS_RESET",
            Self::Hangup => "CS_HANGUP",
            Self::Reporting => "CS_REPORTING",
            Self::Destroy => "CS_DESTROY",
            Self::None => "CS_NONE",
        }
    }

    /// The number on the wire (`Channel-State-Number`).
    #[must_use]
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// May a channel in `self` be sent to `to`? Hangup has a path of its own and is not asked here.
    #[must_use]
    pub const fn allows(self, to: Self) -> bool {
        use State::{
            ConsumeMedia, Destroy, ExchangeMedia, Execute, Hangup, Hibernate, Init, New, None,
            Park, Reporting, Reset, Routing, SoftExecute,
        };
        match self {
            New | Reset => true,
            Init => !matches!(to, New | Init | Hangup | Reporting | Destroy | None),
            Routing => !matches!(to, New | Init | Routing | Hangup | Reporting | Destroy | None),
            Execute | ExchangeMedia | SoftExecute | Park | ConsumeMedia => {
                !matches!(to, New | Init | Hangup | Reporting | Destroy | None)
            }
            Hibernate => !matches!(to, New | Hangup | Reporting | Destroy | None),
            Hangup => matches!(to, Reporting | Destroy),
            Reporting => matches!(to, Destroy),
            Destroy | None => false,
        }
    }
}

/// What the person would say the call is doing (`Channel-Call-State`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum CallState {
    /// Nothing happened yet.
    Down,
    /// Never set by the reference.
    Dialing,
    Ringing,
    /// Early media.
    Early,
    /// Answered.
    Active,
    /// On hold.
    Held,
    /// An answered leg that is dialling another.
    RingWait,
    /// Hung up. Never left again.
    Hangup,
    /// Just taken off hold.
    Unheld,
}

impl CallState {
    /// The name on the wire.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Down => "DOWN",
            Self::Dialing => "DIALING",
            Self::Ringing => "RINGING",
            Self::Early => "EARLY",
            Self::Active => "ACTIVE",
            Self::Held => "HELD",
            Self::RingWait => "RING_WAIT",
            Self::Hangup => "HANGUP",
            Self::Unheld => "UNHELD",
        }
    }

    /// The number on the wire.
    #[must_use]
    pub const fn number(self) -> u8 {
        self as u8
    }
}

/// Which side started the leg.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// The far end called us.
    Inbound,
    /// We called the far end.
    Outbound,
}

impl Direction {
    /// The word on the wire.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Inbound => "inbound",
            Self::Outbound => "outbound",
        }
    }
}
