//! `odbc_cdr.conf`.

use std::path::{Path, PathBuf};

use dialplan_xml::Node;
use dialplan_xml::config::settings as params;
use switch_core::text::{is_false, is_true};

use crate::settings::Legs;

/// Tables that are filled, and fields of one, at most.
const MOST: (usize, usize) = (64, 512);

/// Which rows are filed as well, or instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WriteCsv {
    Always,
    Never,
    /// Those the database refuses.
    OnFail,
}

/// A column and where its value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Field {
    pub(super) column: String,
    /// Channel variable.
    pub(super) variable: String,
    /// What stands there for a leg without the variable.
    pub(super) default: Option<String>,
    /// False: numbers, and in `default` whatever SQL has.
    pub(super) quote: bool,
}

/// A table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Table {
    pub(super) name: String,
    pub(super) legs: Legs,
    pub(super) fields: Vec<Field>,
}

/// The settings of mod_odbc_cdr.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    /// Data source name; may hold a password.
    pub(super) database: String,
    pub(super) legs: Legs,
    pub(super) csv: WriteCsv,
    pub(super) csv_dir: PathBuf,
    pub(super) failed_dir: PathBuf,
    pub(super) debug: bool,
    pub(super) tables: Vec<Table>,
}

fn legs(word: &str) -> Legs {
    let only = |a| Legs { a, b: !a };
    match word.to_ascii_lowercase().as_str() {
        "a-leg" => only(true),
        "b-leg" => only(false),
        _ => Legs { a: true, b: true },
    }
}

impl Settings {
    pub(super) fn read(conf: Option<Node<'_>>, log_dir: &Path) -> Self {
        let mut read = Self {
            database: "odbc_cdr".to_owned(),
            legs: legs("both"),
            csv: WriteCsv::Never,
            csv_dir: log_dir.join("odbc-cdr"),
            failed_dir: log_dir.join("odbc-cdr-failed"),
            debug: false,
            tables: Vec::new(),
        };
        let mut dsn = None;
        for param in &params(conf) {
            let value = &*param.value;
            if value.is_empty() {
                continue;
            }
            match param.name.to_ascii_lowercase().as_str() {
                "odbc-dsn" => dsn = Some(value.to_owned()),
                "dbname" => value.clone_into(&mut read.database),
                "log-leg" => read.legs = legs(value),
                "write-csv" => {
                    read.csv = match value.to_ascii_lowercase().as_str() {
                        "always" => WriteCsv::Always,
                        "on-db-fail" => WriteCsv::OnFail,
                        _ => WriteCsv::Never,
                    };
                }
                "csv-path" => read.csv_dir = PathBuf::from(value),
                "csv-path-on-fail" => read.failed_dir = PathBuf::from(value),
                "debug-sql" => read.debug = is_true(value),
                _ => {}
            }
        }
        if let Some(dsn) = dsn {
            read.database = dsn;
        }
        let tables = conf.and_then(|conf| conf.child("tables"));
        for node in tables.into_iter().flat_map(|tables| tables.children_named("table")) {
            read.add(Table::read(node));
        }
        read
    }

    /// Of two tables of a name the last applies, as of two fields.
    fn add(&mut self, table: Table) {
        self.tables.retain(|known| known.name != table.name);
        if self.tables.len() >= MOST.0 {
            tracing::error!(
                "odbc_cdr.conf: more than {} tables: {} is left out",
                MOST.0,
                table.name
            );
        } else if !table.name.is_empty() {
            self.tables.push(table);
        }
    }
}

impl Table {
    fn read(node: Node<'_>) -> Self {
        let mut fields: Vec<Field> = Vec::new();
        for field in node.children_named("field") {
            let (column, variable) =
                (field.attr_or_empty("name"), field.attr_or_empty("chan-var-name"));
            if column.is_empty() || variable.is_empty() {
                continue;
            }
            fields.retain(|known| known.column != column);
            if fields.len() < MOST.1 {
                fields.push(Field {
                    column: column.to_owned(),
                    variable: variable.to_owned(),
                    default: field.attr("default-value").map(str::to_owned),
                    quote: !field.attr("quote").is_some_and(is_false),
                });
            }
        }
        let name = node.attr_or_empty("name").to_owned();
        Self { name, legs: legs(node.attr_or_empty("log-leg")), fields }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_references_sample_is_read() {
        let text = r#"<document><section name="configuration"><configuration name="odbc_cdr.conf"><settings>
            <param name="odbc-dsn" value="pgsql://dbname=a"/><param name="dbname" value="other"/>
            <param name="log-leg" value="both"/><param name="write-csv" value="on-db-fail"/>
            <param name="csv-path-on-fail" value="/x/failed"/><param name="debug-sql" value="true"/></settings>
            <tables><table name="a" log-leg="a-leg"><field name="CallId" chan-var-name="call_uuid"/>
            <field name="n" chan-var-name="billsec" quote="false" default-value="0"/><field name="" chan-var-name="x"/></table>
            <table name="b" log-leg="b-leg"/><table name="both"/></tables></configuration></section></document>"#;
        let tree = dialplan_xml::parse_raw(text, "test").tree.unwrap();
        let read = Settings::read(tree.configuration("odbc_cdr.conf"), Path::new("/log"));
        assert_eq!(
            (&*read.database, read.csv, read.debug),
            ("pgsql://dbname=a", WriteCsv::OnFail, true)
        );
        assert_eq!(read.csv_dir, Path::new("/log/odbc-cdr"));
        assert_eq!(read.failed_dir, Path::new("/x/failed"));
        let wanted: Vec<_> = read
            .tables
            .iter()
            .map(|table| (&*table.name, table.legs.want(true), table.legs.want(false)))
            .collect();
        assert_eq!(wanted, [("a", true, false), ("b", false, true), ("both", true, true)]);
        let [id, seconds] = &read.tables[0].fields[..] else { panic!("two fields") };
        assert_eq!((&*id.column, &*id.variable, id.quote), ("CallId", "call_uuid", true));
        assert_eq!((seconds.quote, seconds.default.as_deref()), (false, Some("0")));
    }
}
