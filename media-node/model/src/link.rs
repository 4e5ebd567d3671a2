//! How legs belong to each other.
//!
//! Each relation is a variable that names the other leg's UUID: the reference's interface, which programs read and may
//! set. The code speaks of relations; the names of their variables are here alone.

/// A relation of a leg to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    /// The leg it belongs together with: the one that called it, then the one it is bridged to.
    Bond,
    /// The leg that called it.
    Originator,
    /// The leg on whose behalf it was called, where that is not its caller.
    OriginatingLeg,
    /// The leg it calls, until they are bridged.
    Dialled,
    /// The leg it is bridged to.
    BridgedTo,
    /// The leg it was bridged to last.
    LastBridgedTo,
    /// The leg its far end talks to past the switch.
    SignalBridgedTo,
    /// The leg that takes the place of this one, which waited to be picked up.
    SwappedFor,
    /// The leg whose place it took.
    PickedUp,
    /// The leg it keeps waiting while it talks to another.
    SoftHolding,
    /// The leg it is to be connected with after the consultation.
    TransferPeer,
    /// The other end of a pair of loopback legs.
    LoopbackOther,
}

impl Link {
    /// The variable that says so.
    #[must_use]
    pub const fn variable(self) -> &'static str {
        match self {
            Self::Bond => "signal_bond",
            Self::Originator => "originator",
            Self::OriginatingLeg => "originating_leg_uuid",
            Self::Dialled => "originate_signal_bond",
            Self::BridgedTo => "bridge_to",
            Self::LastBridgedTo => "last_bridge_to",
            Self::SignalBridgedTo => "signal_bridge_to",
            Self::SwappedFor => "channel_swap_uuid",
            Self::PickedUp => "picked_up_uuid",
            Self::SoftHolding => "soft_holding_uuid",
            Self::TransferPeer => "att_xfer_peer_uuid",
            Self::LoopbackOther => "other_loopback_leg_uuid",
        }
    }
}
