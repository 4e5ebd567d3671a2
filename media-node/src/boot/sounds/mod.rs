//! `ferroswitch sounds`.
use std::process::ExitCode;

use clap::Args;

use super::cli::DirOptions;

/// Arguments of `ferroswitch sounds`.
#[derive(Debug, Clone, Default, Args)]
pub struct SoundsArgs {
    /// Only list the files and their texts
    #[arg(long)]
    pub list: bool,
}

/// Runs it.
pub fn command(_args: &SoundsArgs, _dirs: &DirOptions) -> ExitCode {
    ExitCode::SUCCESS
}
