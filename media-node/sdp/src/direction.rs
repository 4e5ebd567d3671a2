//! Which way media flows (RFC 8866 §6.7).

use crate::{MediaLine, SessionDescription};

/// Which way media flows, from the describing side's view.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum MediaDirection {
    /// Both ways; what holds where nothing is said.
    #[default]
    SendRecv,
    /// It sends and does not want to receive: a call on hold with music.
    SendOnly,
    /// It receives and does not send.
    RecvOnly,
    /// Neither.
    Inactive,
}

impl MediaDirection {
    /// The attribute name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::SendRecv => "sendrecv",
            Self::SendOnly => "sendonly",
            Self::RecvOnly => "recvonly",
            Self::Inactive => "inactive",
        }
    }

    /// What the answerer says to this offer.
    pub fn answer(self) -> Self {
        match self {
            Self::SendOnly => Self::RecvOnly,
            Self::RecvOnly => Self::SendOnly,
            other => other,
        }
    }

    /// True when the describing side does not want to hear us: a call on hold.
    pub fn is_hold(self) -> bool {
        matches!(self, Self::SendOnly | Self::Inactive)
    }

    /// The direction of a section; that of the session when it says nothing.
    pub fn of(description: &SessionDescription, media: &MediaLine) -> Self {
        [Self::SendRecv, Self::SendOnly, Self::RecvOnly, Self::Inactive]
            .into_iter()
            .find(|d| media.attribute(d.as_str()).is_some())
            .or_else(|| {
                [Self::SendOnly, Self::RecvOnly, Self::Inactive]
                    .into_iter()
                    .find(|d| description.attribute(d.as_str()).is_some())
            })
            .unwrap_or_default()
    }
}
