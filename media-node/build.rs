//! How the program is linked.
//!
//! It is position-independent: its loader adds the address it was put at to some hundred thousand pointers. They are listed in 24
//! octets each, or in the short form (RELR) in a fraction of one; the loader reads all of the list at every start, and what it
//! has read counts as the process's memory from then on. The C library knows the short form since 2.36.

use std::process::Command;

/// Set by who builds on a newer system for older ones.
const LONG: &str = "FERROSWITCH_LONG_RELOCATIONS";

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed={LONG}");
    let of = |name| std::env::var(name).unwrap_or_default();
    let here = of("HOST") == of("TARGET") && of("CARGO_CFG_TARGET_ENV") == "gnu";
    if here && of("CARGO_CFG_TARGET_OS") == "linux" && of(LONG).is_empty() && has_short_form() {
        println!("cargo::rustc-link-arg-bin=ferroswitch=-Wl,-z,pack-relative-relocs");
    }
}

/// Whether this system's C library is new enough. One that does not say is not.
fn has_short_form() -> bool {
    let Ok(answer) = Command::new("getconf").arg("GNU_LIBC_VERSION").output() else { return false };
    let answer = String::from_utf8_lossy(&answer.stdout);
    let version = answer.trim().strip_prefix("glibc ").unwrap_or_default();
    let mut numbers = version.split('.').map_while(|part| part.parse::<u32>().ok());
    (numbers.next(), numbers.next()) >= (Some(2), Some(36))
}
