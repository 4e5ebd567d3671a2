//! `cdr_pg_csv.conf`.

use std::path::{Path, PathBuf};

use dialplan_xml::Node;
use dialplan_xml::config::settings as params;
use sqlx::postgres::PgConnectOptions;
use switch_core::text::is_true;

use crate::settings::Legs;
use database::conninfo;

/// How rows are filed that the database does not take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SpoolFormat {
    /// The values, as SQL literals with commas between.
    Csv,
    /// The whole statement.
    Sql,
}

/// A column and where its value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Field {
    /// Channel variable.
    pub(super) variable: String,
    pub(super) column: String,
    /// An empty value stays empty text instead of becoming null.
    pub(super) not_null: bool,
    /// Its values stand in quotes in spooled rows.
    pub(super) quote: bool,
}

/// The settings of mod_cdr_pg_csv.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    /// The connection string as it was written; may hold a password.
    pub(super) info: String,
    pub(super) connect: PgConnectOptions,
    pub(super) connect_timeout: std::time::Duration,
    pub(super) table: String,
    pub(super) legs: Legs,
    pub(super) spool_dir: PathBuf,
    pub(super) spool_format: SpoolFormat,
    pub(super) rotate_on_hup: bool,
    pub(super) debug: bool,
    pub(super) fields: Vec<Field>,
}

impl Settings {
    pub(super) fn read(conf: Option<Node<'_>>, log_dir: &Path) -> Result<Self, conninfo::Invalid> {
        let mut read = Self {
            info: "dbname=cdr".to_owned(),
            connect: PgConnectOptions::new(),
            connect_timeout: conninfo::TIMEOUT,
            table: "cdr".into(),
            legs: Legs { a: true, b: false },
            spool_dir: log_dir.join("cdr-pg-csv"),
            spool_format: SpoolFormat::Csv,
            rotate_on_hup: false,
            debug: false,
            fields: Vec::new(),
        };
        for param in &params(conf) {
            let value = &*param.value;
            match param.name.to_ascii_lowercase().as_str() {
                "db-info" if !value.is_empty() => value.clone_into(&mut read.info),
                "db-table" if !value.is_empty() => value.clone_into(&mut read.table),
                "legs" => read.legs = Legs::read(value),
                "spool-dir" if !value.is_empty() => read.spool_dir = PathBuf::from(value),
                "spool-format" => {
                    read.spool_format =
                        if value == "sql" { SpoolFormat::Sql } else { SpoolFormat::Csv };
                }
                "rotate-on-hup" => read.rotate_on_hup = is_true(value),
                "debug" => read.debug = is_true(value),
                _ => {}
            }
        }
        (read.connect, read.connect_timeout) = conninfo::read(&read.info)?;
        let schema = conf.and_then(|conf| conf.child("schema"));
        for node in schema.into_iter().flat_map(|schema| schema.children_named("field")) {
            let Some(variable) = node.attr("var").filter(|name| !name.is_empty()) else { continue };
            read.fields.push(Field {
                variable: variable.to_owned(),
                column: node.attr("column").unwrap_or(variable).to_owned(),
                not_null: node.attr("not-null").is_some_and(|word| word.starts_with("true")),
                quote: !node.attr("quote").is_some_and(|word| word.starts_with("false")),
            });
        }
        if read.fields.is_empty() {
            read.fields = DEFAULT.map(Field::of).into();
        }
        Ok(read)
    }
}

impl Field {
    fn of(variable: &str) -> Self {
        let number = matches!(variable, "duration" | "billsec");
        Self {
            variable: variable.to_owned(),
            column: variable.to_owned(),
            not_null: false,
            quote: !number,
        }
    }
}

/// Columns where the file has no `<schema>`: those of the reference's sample file.
const DEFAULT: [&str; 16] = [
    "local_ip_v4",
    "caller_id_name",
    "caller_id_number",
    "destination_number",
    "context",
    "start_stamp",
    "answer_stamp",
    "end_stamp",
    "duration",
    "billsec",
    "hangup_cause",
    "uuid",
    "bleg_uuid",
    "accountcode",
    "read_codec",
    "write_codec",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_names_variable_column_and_what_empty_means() {
        let text = "<document><section name=\"configuration\"><configuration name=\"cdr_pg_csv.conf\">\
             <settings><param name=\"db-info\" value=\"host=db dbname=billing\"/><param name=\"legs\" value=\"ab\"/></settings>\
             <schema><field var=\"uuid\"/><field var=\"billsec\" column=\"seconds\" quote=\"false\" not-null=\"true\"/></schema>\
             </configuration></section></document>";
        let tree = dialplan_xml::parse_raw(text, "test").tree.unwrap();
        let read =
            Settings::read(tree.configuration("cdr_pg_csv.conf"), Path::new("/log")).unwrap();
        assert_eq!(read.connect.get_database(), Some("billing"));
        assert_eq!(read.fields[0], Field::of("uuid"));
        let seconds = Field { column: "seconds".into(), not_null: true, ..Field::of("billsec") };
        assert_eq!(read.fields[1], seconds);
        assert_eq!(read.spool_dir, Path::new("/log/cdr-pg-csv"));
        assert_eq!(Settings::read(None, Path::new("/log")).unwrap().fields.len(), DEFAULT.len());
    }
}
