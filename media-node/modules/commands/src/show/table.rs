//! Rows of text, printed the four ways `show` knows.

use std::fmt::Write as _;

/// What `as …` asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// Columns with a delimiter between them.
    Delimited(String),
    /// One JSON object.
    Json,
    Xml,
}

impl Format {
    /// Reads `csv`, `json`, `xml` or `delim <d>`.
    #[must_use]
    pub(super) fn parse(word: &str, delimiter: Option<&str>) -> Option<Self> {
        match word.to_ascii_lowercase().as_str() {
            "delim" | "csv" => Some(Self::Delimited(delimiter.unwrap_or(",").to_owned())),
            "json" => Some(Self::Json),
            "xml" => Some(Self::Xml),
            _ => None,
        }
    }
}

/// Columns and rows.
#[derive(Clone, Debug, Default)]
pub(super) struct Table {
    /// Names of the columns.
    pub(super) columns: Vec<String>,
    /// Values, as many in each row as there are columns.
    pub(super) rows: Vec<Vec<String>>,
}

impl Table {
    /// A table of these columns without rows.
    #[must_use]
    pub(super) fn new(columns: &[&str]) -> Self {
        Self {
            columns: columns.iter().map(|column| (*column).to_owned()).collect(),
            rows: Vec::new(),
        }
    }

    /// The whole table. Without rows there is no header either.
    #[must_use]
    pub(super) fn print(&self, format: &Format) -> String {
        match format {
            Format::Delimited(delimiter) => self.delimited(delimiter),
            Format::Json => self.json(),
            Format::Xml => self.xml(),
        }
    }

    /// The rows, without the names of the columns and the total.
    #[must_use]
    pub(super) fn rows_only(&self, delimiter: &str) -> String {
        self.rows.iter().map(|row| row.join(delimiter) + "\n").collect()
    }

    fn delimited(&self, delimiter: &str) -> String {
        let mut out = String::new();
        if !self.rows.is_empty() {
            out.push_str(&self.columns.join(delimiter));
            out.push('\n');
        }
        out.push_str(&self.rows_only(delimiter));
        let _ = write!(out, "\n{} total.\n", self.rows.len());
        out
    }

    fn json(&self) -> String {
        if self.rows.is_empty() {
            return "{\"row_count\": 0}\n".into();
        }
        let mut out = format!("{{\"row_count\":{},\"rows\":[", self.rows.len());
        for (at, row) in self.rows.iter().enumerate() {
            out.push_str(if at == 0 { "{" } else { ",{" });
            for (at, (column, value)) in self.columns.iter().zip(row).enumerate() {
                let comma = if at == 0 { "" } else { "," };
                let _ = write!(
                    out,
                    "{comma}{}:{}",
                    serde_json::json!(column),
                    serde_json::json!(value)
                );
            }
            out.push('}');
        }
        out.push_str("]}");
        out
    }

    fn xml(&self) -> String {
        if self.rows.is_empty() {
            return "<result row_count=\"0\"/>\n".into();
        }
        let mut out = format!("<result row_count=\"{}\">\n", self.rows.len());
        for (at, row) in self.rows.iter().enumerate() {
            let _ = writeln!(out, "  <row row_id=\"{}\">", at + 1);
            for (column, value) in self.columns.iter().zip(row) {
                let _ = writeln!(out, "    <{column}>{}</{column}>", escaped(value));
            }
            out.push_str("  </row>\n");
        }
        out.push_str("</result>\n");
        out
    }
}

/// Only how many rows there are.
#[must_use]
pub(super) fn count(rows: usize, format: &Format) -> String {
    match format {
        Format::Delimited(_) => format!("\n{rows} total.\n"),
        Format::Json => format!("{{\"row_count\":{rows},\"rows\":[]}}"),
        Format::Xml => format!("<result row_count=\"{rows}\"></result>\n"),
    }
}

/// Text as XML character data.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table = Table::new(&["a", "b"]);
        table.rows.push(vec!["1".into(), "<\"x\">".into()]);
        table.rows.push(vec!["2".into(), String::new()]);
        table
    }

    #[test]
    fn each_format_has_its_own_way_of_being_empty() {
        let empty = Table::new(&["a"]);
        assert_eq!(empty.print(&Format::Delimited(",".into())), "\n0 total.\n");
        assert_eq!(empty.print(&Format::Json), "{\"row_count\": 0}\n");
        assert_eq!(empty.print(&Format::Xml), "<result row_count=\"0\"/>\n");
        assert_eq!(count(0, &Format::Xml), "<result row_count=\"0\"></result>\n");
    }

    #[test]
    fn rows_are_printed_as_the_format_asks() {
        assert_eq!(
            table().print(&Format::Delimited("|".into())),
            "a|b\n1|<\"x\">\n2|\n\n2 total.\n"
        );
        assert_eq!(
            table().print(&Format::Json),
            r#"{"row_count":2,"rows":[{"a":"1","b":"<\"x\">"},{"a":"2","b":""}]}"#
        );
        assert_eq!(
            table().print(&Format::Xml),
            "<result row_count=\"2\">\n  <row row_id=\"1\">\n    <a>1</a>\n    <b>&lt;\"x\"&gt;</b>\n  </row>\n  \
             <row row_id=\"2\">\n    <a>2</a>\n    <b></b>\n  </row>\n</result>\n"
        );
    }
}
