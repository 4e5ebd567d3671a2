//! The words the tables, commands and events use for what an agent, a tier or a caller is doing.

/// A closed set of words, read in any case and written one way.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $text:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name { $($(#[$variant_doc])* $variant,)+ }

        impl $name {
            /// The word, in any case.
            #[must_use]
            pub fn parse(text: &str) -> Option<Self> {
                [$(Self::$variant,)+].into_iter().find(|word| word.name().eq_ignore_ascii_case(text))
            }

            /// As it is written.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }
        }
    };
}

words! {
    /// What an agent says of itself.
    Status {
        /// Gets no calls, and does not count as one who could.
        LoggedOut = "Logged Out",
        /// Gets calls.
        Available = "Available",
        /// Gets one call, then waits to be set to `Waiting` again.
        OnDemand = "Available (On Demand)",
        /// Gets no calls, but callers may wait for it.
        OnBreak = "On Break",
    }
}

words! {
    /// What an agent does.
    AgentState {
        /// Free.
        Waiting = "Waiting",
        /// Is being called.
        Receiving = "Receiving",
        /// Talks to a caller.
        InQueueCall = "In a queue call",
        /// Gets no calls until its state is set to `Waiting`.
        Idle = "Idle",
        /// Chosen, and about to be called.
        Reserved = "Reserved",
    }
}

words! {
    /// What an agent does for one queue.
    TierState {
        /// Did not answer the last call.
        NoAnswer = "No Answer",
        /// Free.
        Ready = "Ready",
        /// Is being called for this queue.
        Offering = "Offering",
        /// Talks to a caller of this queue.
        ActiveInbound = "Active Inbound",
        /// Is busy for another queue.
        Standby = "Standby",
    }
}

words! {
    /// Where a caller is.
    MemberState {
        /// Waits to be offered.
        Waiting = "Waiting",
        /// Is being offered.
        Trying = "Trying",
        /// Talks to an agent.
        Answered = "Answered",
        /// Gave up; kept for a while so that the place can be had again.
        Abandoned = "Abandoned",
    }
}

words! {
    /// Why a caller leaves a queue unserved.
    CancelReason {
        /// `max-wait-time`.
        Timeout = "TIMEOUT",
        /// `max-wait-time-with-no-agent`.
        NoAgentTimeout = "NO_AGENT_TIMEOUT",
        /// The call ended or was sent elsewhere.
        BreakOut = "BREAK_OUT",
        /// A key of `cc_exit_keys`.
        ExitWithKey = "EXIT_WITH_KEY",
    }
}

/// How a queue chooses among its agents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strategy {
    /// All free agents of a level at once.
    RingAll,
    /// One agent more after each delay, those called before ring on.
    RingProgressively,
    /// Who has waited longest since the last call.
    LongestIdle,
    /// By position, beginning behind the agent called last.
    RoundRobin,
    /// By position, each caller beginning behind the agent it was offered to last.
    TopDown,
    /// Who has talked least.
    LeastTalkTime,
    /// Who has had the fewest calls.
    FewestCalls,
    /// Any.
    Random,
    /// By position, then by the last call offered; also for names that are not known.
    Sequential,
}

impl Strategy {
    /// As written in the configuration.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        const NAMES: &[(&str, Strategy)] = &[
            ("ring-all", Strategy::RingAll),
            ("ring-progressively", Strategy::RingProgressively),
            ("longest-idle-agent", Strategy::LongestIdle),
            ("round-robin", Strategy::RoundRobin),
            ("top-down", Strategy::TopDown),
            ("agent-with-least-talk-time", Strategy::LeastTalkTime),
            ("agent-with-fewest-calls", Strategy::FewestCalls),
            ("random", Strategy::Random),
        ];
        NAMES
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(text))
            .map_or(Self::Sequential, |(_, strategy)| *strategy)
    }

    /// What stands in place of an agent while several are called for one caller; `None` where only one is.
    #[must_use]
    pub const fn rings_several(self) -> Option<&'static str> {
        match self {
            Self::RingAll => Some("ring-all"),
            Self::RingProgressively => Some("ring-progressively"),
            _ => None,
        }
    }
}

/// Agents that are called at a contact.
pub const CALLBACK: &str = "Callback";
/// Agents that wait on a line of their own.
pub(super) const STANDBY: &str = "uuid-standby";

/// Is that a type of agent?
#[must_use]
pub fn is_agent_type(text: &str) -> bool {
    text.eq_ignore_ascii_case(CALLBACK) || text.eq_ignore_ascii_case(STANDBY)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_read_in_any_case_and_unknown_ones_are_none() {
        assert_eq!(Status::parse("available (on demand)"), Some(Status::OnDemand));
        assert_eq!(Status::parse("Unknown"), None);
        assert_eq!(AgentState::parse("In A Queue Call"), Some(AgentState::InQueueCall));
        assert_eq!(Strategy::parse("Ring-All"), Strategy::RingAll);
        assert_eq!(Strategy::parse("by-colour"), Strategy::Sequential);
    }
}
