//! The version, in the two languages it is asked for.
//!
//! Clients parse FreeSWITCH's version text, so the compatible version is spelt as the reference
//! 1.10.12 spells it; our own stands beside it.

/// The reference's version, short (`version short`).
pub const COMPATIBLE_SHORT: &str = "1.10.12-release";
/// The reference's version, full (`version`, `FreeSWITCH-Version`).
pub const COMPATIBLE_FULL: &str = "1.10.12-release+git~20240802T210227Z~a88d069d6f~64bit";
/// The reference's revision for people (`status`, `version`).
pub const COMPATIBLE_REVISION: &str = "git a88d069 2024-08-02 21:02:27Z 64bit";
/// Our own version.
pub const OWN: &str = env!("CARGO_PKG_VERSION");

/// What `-version` prints: the reference's line first, because scripts read it, then our own.
pub fn text() -> String {
    format!("FreeSWITCH version: {COMPATIBLE_FULL} ({COMPATIBLE_REVISION})\nFerroswitch {OWN}\n")
}

#[cfg(test)]
mod tests {
    #[test]
    fn first_line_is_what_scripts_parse() {
        let text = super::text();
        let first = text.lines().next().unwrap_or_default();
        assert_eq!(
            first,
            "FreeSWITCH version: 1.10.12-release+git~20240802T210227Z~a88d069d6f~64bit \
             (git a88d069 2024-08-02 21:02:27Z 64bit)"
        );
    }
}
