//! What outlives a call: registrations, call records, what the console was taught, settings.

pub mod registrations;
pub mod tuning;

/// All stores of the switch.
#[derive(Default)]
pub struct Stores {
    /// Aliases and completions of the console.
    pub console: esl_server::console::Console,
    /// Who is registered.
    pub registrations: registrations::Registrations,
    /// Settings of `fsctl`.
    pub tuning: tuning::Tuning,
}
