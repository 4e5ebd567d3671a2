//! Rows that the database refuses for what is in them, in files.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::PathBuf;

use super::NAME;
use super::settings::{Settings, SpoolFormat};
use super::sql;

fn file(settings: &Settings) -> PathBuf {
    settings.spool_dir.join(match settings.spool_format {
        SpoolFormat::Csv => "cdr-spool.csv",
        SpoolFormat::Sql => "cdr-spool.sql",
    })
}

/// Appends rows. Blocking.
pub(super) fn append(settings: &Settings, rows: &[Vec<String>]) -> std::io::Result<()> {
    std::fs::create_dir_all(&settings.spool_dir)?;
    let line = |row: &Vec<String>| match settings.spool_format {
        SpoolFormat::Csv => sql::spooled_values(&settings.fields, row) + "\n",
        SpoolFormat::Sql => sql::spooled_statement(&settings.table, &settings.fields, row) + "\n",
    };
    let text: String = rows.iter().map(line).collect();
    OpenOptions::new().create(true).append(true).open(file(settings))?.write_all(text.as_bytes())
}

/// Moves the file aside, with the time behind its name.
pub(super) fn rotate(settings: &Settings) {
    let path = file(settings);
    if !path.exists() {
        return;
    }
    let stamp = switch_core::clock::local_stamp(switch_core::clock::now_us());
    let mut aside = path.clone().into_os_string();
    aside.push(format!(".{}", stamp.replace([' ', ':'], "-")));
    match std::fs::rename(&path, &aside) {
        Ok(()) => tracing::info!(fs_level = "NOTICE", "{NAME}: rotated {}", path.display()),
        Err(error) => tracing::error!("{}: {error}", path.display()),
    }
}
