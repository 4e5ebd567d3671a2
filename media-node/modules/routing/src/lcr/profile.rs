//! `lcr.conf`: profiles, and the statement each asks the database with.

use database::{Arg, Database, Error, Missing};
use dialplan_xml::Node;
use dialplan_xml::config::Params;
use switch_core::text;

/// What columns and tables a database has beside those that must be there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Has {
    pub(super) intrastate: bool,
    pub(super) intralata: bool,
    pub(super) npanxx: bool,
}

impl Has {
    /// # Errors
    /// The database's, where it says neither yes nor no.
    pub(super) async fn of(database: &Database) -> Result<Self, Error> {
        let npanxx = "SELECT npa, nxx, state FROM npa_nxx_company_ocn LIMIT 1";
        Ok(Self {
            intrastate: has(database, "SELECT intrastate_rate FROM lcr LIMIT 1").await?,
            intralata: has(database, "SELECT intralata_rate FROM lcr LIMIT 1").await?,
            npanxx: has(database, npanxx).await?,
        })
    }
}

/// Columns the usual statement asks for and older tables lack: where, which, of what type.
const COLUMNS: [(&str, &str, &str); 3] = [
    ("carrier_gateway", "codec", "varchar(255)"),
    ("lcr", "cid", "varchar(32)"),
    ("lcr", "lrn", "BOOLEAN NOT NULL DEFAULT false"),
];

/// Why the tables are not as the usual statement needs them.
#[derive(Debug, thiserror::Error)]
pub(super) enum Incomplete {
    /// There is no answer.
    #[error("lcr: the tables cannot be looked at: {0}")]
    Unknown(#[source] Error),
    #[error("lcr: the table {table} has no column {column}, and none can be added: {error}")]
    Column { table: &'static str, column: &'static str, error: Error },
}

/// Adds columns that tables lack. Only the database's word that a column is missing counts: a lost connection changes no table.
pub(super) async fn complete(database: &Database) -> Result<(), Incomplete> {
    for (table, column, kind) in COLUMNS {
        let asked = format!("SELECT {column} FROM {table} LIMIT 1");
        match database.rows(&asked, Vec::new()).await {
            Ok(_) => continue,
            Err(error) if error.missing() == Some(Missing::Column) => {}
            Err(error) => return Err(Incomplete::Unknown(error)),
        }
        let statement = format!("ALTER TABLE {table} ADD {column} {kind}");
        if let Err(error) = database.execute(&statement, Vec::new()).await {
            return Err(Incomplete::Column { table, column, error });
        }
        tracing::warn!("adding {column} field to your lcr database schema.");
    }
    Ok(())
}

/// Does the database have all a statement names?
async fn has(database: &Database, statement: &str) -> Result<bool, Error> {
    match database.rows(statement, Vec::new()).await {
        Ok(_) => Ok(true),
        Err(error) if error.missing().is_some() => Ok(false),
        Err(error) => Err(error),
    }
}

/// A profile.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Profile {
    pub(super) name: String,
    pub(super) id: u16,
    /// Without one of the administrator's own it is made of `id` and `order_by`.
    pub(super) sql: String,
    /// It is made so.
    pub(super) usual: bool,
    pub(super) export_fields: Vec<String>,
    /// As `lcr_admin` shows them.
    pub(super) export_text: Option<String>,
    pub(super) limit_type: &'static str,
    pub(super) reorder_by_rate: bool,
    pub(super) quote_in_list: bool,
    pub(super) single_bridge: bool,
    pub(super) info_in_headers: bool,
    pub(super) sip_redirect: bool,
}

impl Profile {
    pub(super) fn read(node: Node<'_>) -> Option<Self> {
        let name = node.attr_or_empty("name").to_owned();
        if name.is_empty() {
            tracing::error!("lcr.conf: No name specified.");
            return None;
        }
        let params = Params::read(Some(node), "param");
        let value = |name: &str| params.last(name).filter(|value| !value.is_empty());
        let is = |name: &str| value(name).is_some_and(text::is_true);
        let id = value("id").map_or(0, text::int).clamp(0, i64::from(u16::MAX));
        let id = u16::try_from(id).unwrap_or(0);
        let order: String = params.all("order_by").map(order).collect();
        let sql = match value("custom_sql") {
            Some(own) => own.to_owned(),
            None => usual(id, if order.is_empty() { ", ${lcr_rate_field}" } else { &order }),
        };
        let export_text = value("export_fields").map(str::to_owned);
        let fields = export_text.as_deref().unwrap_or_default().split(',').map(str::trim);
        let hash = value("limit_type").is_some_and(|kind| kind.eq_ignore_ascii_case("hash"));
        Some(Self {
            id,
            sql,
            usual: value("custom_sql").is_none(),
            export_fields: fields.filter(|f| !f.is_empty()).map(str::to_owned).collect(),
            export_text,
            limit_type: if hash { "hash" } else { "db" },
            reorder_by_rate: is("reorder_by_rate"),
            quote_in_list: is("quote_in_list"),
            single_bridge: is("single_bridge"),
            info_in_headers: is("info_in_headers"),
            sip_redirect: is("enable_sip_redir"),
            name,
        })
    }

    /// What `lcr_admin show profiles` says of it.
    pub(super) fn shown(&self, has: Has) -> String {
        let yes = |on: bool| if on { "true" } else { "false" };
        let on = |on: bool| if on { "enabled" } else { "disabled" };
        format!(
            "Name:\t\t{}\n custom sql:\t{}\n has %:\t\t{}\n has vars:\t{}\n has intrastate:\t{}\n has intralata:\t{}\n \
             has npanxx:\t{}\n Reorder rate:\t{}\n Info in headers:\t{}\n Quote IN() List:\t{}\n Single Bridge:\t{}\n \
             Sip Redirection Mode:\t{}\n Import fields:\t{}\n Limit type:\t{}\n\n",
            self.name,
            self.sql,
            yes(self.sql.contains('%')),
            yes(self.sql.contains("${")),
            yes(has.intrastate),
            yes(has.intralata),
            yes(has.npanxx),
            on(self.reorder_by_rate),
            on(self.info_in_headers),
            on(self.quote_in_list),
            on(self.single_bridge),
            on(self.sip_redirect),
            self.export_text.as_deref().unwrap_or("(null)"),
            self.limit_type,
        )
    }
}

/// What an `order_by` adds to the order.
fn order(value: &str) -> String {
    let one = |word: &str| match word.to_ascii_lowercase().as_str() {
        "quality" => ",  quality DESC".to_owned(),
        "reliability" => ",  reliability DESC".to_owned(),
        "rate" => ",  ${lcr_rate_field}".to_owned(),
        _ => format!(",  {word}"),
    };
    value.split(',').map(str::trim).filter(|word| !word.is_empty()).map(one).collect()
}

/// The statement of a profile that has none of its own.
fn usual(id: u16, order: &str) -> String {
    let profile = if id > 0 { format!("AND lcr_profile={id} ") } else { String::new() };
    format!(
        "SELECT l.digits AS lcr_digits, c.carrier_name AS lcr_carrier_name, l.${{lcr_rate_field}} AS lcr_rate_field, \
         cg.prefix AS lcr_gw_prefix, cg.suffix AS lcr_gw_suffix, l.lead_strip AS lcr_lead_strip, \
         l.trail_strip AS lcr_trail_strip, l.prefix AS lcr_prefix, l.suffix AS lcr_suffix, cg.codec AS lcr_codec, \
         l.cid AS lcr_cid FROM lcr l JOIN carriers c ON l.carrier_id=c.id JOIN carrier_gateway cg ON c.id=cg.carrier_id \
         WHERE c.enabled = '1' AND cg.enabled = '1' AND l.enabled = '1' AND (\
         (digits IN (${{lcr_query_expanded_digits}}) AND lrn = false) OR \
         (digits IN (${{lcr_query_expanded_lrn_digits}}) AND lrn = true)) \
         AND CURRENT_TIMESTAMP BETWEEN date_start AND date_end {profile}ORDER BY digits DESC{order}, random();"
    )
}

/// A statement with its references filled in. What is made of digits, and names of columns, stand in it; everything else
/// is bound, so that what a far end said stays a value.
pub(super) fn filled(
    sql: &str,
    digits: &str,
    own: &[(&str, String)],
    mut variable: impl FnMut(&str) -> Option<String>,
) -> (String, Vec<Arg>) {
    let sql = sql.replace("%q", digits);
    let (mut text, mut args) = (String::with_capacity(sql.len()), Vec::new());
    let mut rest = sql.as_str();
    while let Some(at) = rest.find("${") {
        let (before, after) = rest.split_at(at);
        let Some(end) = after.find('}') else { break };
        let name = &after[2..end];
        let mut behind = &after[end + 1..];
        match own.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)) {
            Some((_, value)) => {
                text.push_str(before);
                text.push_str(value);
            }
            None => {
                // Quotes around a reference are not part of the value.
                let quoted = before.ends_with('\'') && behind.starts_with('\'');
                text.push_str(if quoted { &before[..before.len() - 1] } else { before });
                behind = if quoted { &behind[1..] } else { behind };
                args.push(Arg::Text(variable(name).unwrap_or_default()));
                text.push_str(&format!("${}", args.len()));
            }
        }
        rest = behind;
    }
    text.push_str(rest);
    (text, args)
}

/// Beginnings of a number, longest first, as a list for `IN`.
pub(super) fn expanded(digits: &str, quote: bool) -> String {
    let quote = if quote { "'" } else { "" };
    let all = (1..=digits.len()).rev().map(|end| format!("{quote}{}{quote}", &digits[..end]));
    all.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(params: &str) -> Profile {
        let xml = format!("<profile name='p'>{params}</profile>");
        Profile::read(dialplan_xml::parse_raw(&xml, "test").tree.unwrap().root()).unwrap()
    }

    #[test]
    fn a_number_s_beginnings_are_listed_longest_first() {
        assert_eq!(expanded("123", false), "123, 12, 1");
        assert_eq!(expanded("12", true), "'12', '1'");
        assert_eq!(expanded("", true), "");
    }

    #[test]
    fn a_profile_orders_and_chooses() {
        let one =
            read("<param name='id' value='3'/><param name='order_by' value='quality,rate,cost'/>");
        assert!(one.sql.contains("lcr_profile=3 ORDER BY digits DESC,  quality DESC,  ${lcr_rate_field},  cost, random();"));
        assert!(read("").sql.contains("ORDER BY digits DESC, ${lcr_rate_field}, random();"));
        let own = read(
            "<param name='custom_sql' value='SELECT 1'/><param name='export_fields' value='a, b'/>",
        );
        assert_eq!(
            (own.sql.as_str(), own.export_fields.len(), own.limit_type),
            ("SELECT 1", 2, "db")
        );
        assert!(own.shown(Has::default()).contains(" Import fields:\ta, b\n Limit type:\tdb\n\n"));
    }

    #[test]
    fn what_a_far_end_said_is_bound_to_a_statement() {
        let own = [("lcr_rate_field", "rate".to_owned())];
        let (text, args) = filled(
            "SELECT ${lcr_rate_field} FROM t WHERE a = '${caller_id_number}' AND b = ${x} AND d = %q",
            "49",
            &own,
            |name| (name == "caller_id_number").then(|| "1' OR '1".to_owned()),
        );
        assert_eq!(text, "SELECT rate FROM t WHERE a = $1 AND b = $2 AND d = 49");
        assert_eq!(args, [Arg::Text("1' OR '1".into()), Arg::Text(String::new())]);
    }

    #[tokio::test]
    async fn only_a_missing_column_is_added() -> Result<(), Error> {
        let folder = tempfile::tempdir().unwrap();
        let open = Database::open("lcr", folder.path()).await?;
        let lacks_table = complete(&open).await.unwrap_err();
        assert!(matches!(lacks_table, Incomplete::Unknown(_)), "{lacks_table}");
        open.execute("CREATE TABLE carrier_gateway (id INTEGER)", Vec::new()).await?;
        open.execute("CREATE TABLE lcr (id INTEGER, intrastate_rate REAL)", Vec::new()).await?;
        complete(&open).await.unwrap();
        open.rows("SELECT codec, cid, lrn FROM carrier_gateway, lcr", Vec::new()).await?;
        let has = Has::of(&open).await?;
        assert_eq!((has.intrastate, has.intralata, has.npanxx), (true, false, false));
        // What fails for another reason stays as it is, and is not taken for an older table.
        let fails = "CREATE VIEW npa_nxx_company_ocn AS SELECT abs(-9223372036854775808) AS npa, 1 AS nxx, 1 AS state";
        open.execute(fails, Vec::new()).await?;
        assert!(Has::of(&open).await.is_err());
        Ok(())
    }
}
