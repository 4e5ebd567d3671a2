//! A route: a row of the database, and the dial string it becomes.

use base::far;
use database::Row;
use dialplan_xml::regex::{Pattern, substitute};
use switch_core::text;

use super::profile::Profile;

/// One way to a number.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Route {
    pub(super) digits: String,
    prefix: String,
    suffix: String,
    pub(super) carrier: String,
    rate: f32,
    pub(super) rate_text: String,
    user_rate: Option<String>,
    gw_prefix: String,
    gw_suffix: String,
    lead_strip: usize,
    trail_strip: usize,
    pub(super) codec: String,
    pub(super) cid: String,
    /// Realm, id and most calls.
    pub(super) limit: Option<(String, String, i64)>,
    pub(super) dialstring: String,
    /// All columns.
    pub(super) fields: Vec<(String, String)>,
}

fn rate(text: &str) -> f32 {
    let number: String =
        text.trim().chars().take_while(|c| c.is_ascii_digit() || "+-.eE".contains(*c)).collect();
    number.parse().unwrap_or(0.0)
}

impl Route {
    /// Reads a row; `None` without a rate.
    pub(super) fn read(row: &Row) -> Option<Self> {
        let text = |name: &str| row.named(name).unwrap_or_default().to_owned();
        let count = |name: &str| usize::try_from(text::int(&text(name))).unwrap_or(0);
        let rated = row.named("lcr_rate_field").filter(|rate| !rate.is_empty());
        let Some(rated) = rated else {
            tracing::info!("rate field is null, skipping");
            return None;
        };
        let limit = row.named("lcr_limit_realm").zip(row.named("lcr_limit_id"));
        Some(Self {
            digits: text("lcr_digits"),
            prefix: text("lcr_prefix"),
            suffix: text("lcr_suffix"),
            carrier: text("lcr_carrier_name"),
            rate: rate(rated),
            rate_text: format!("{:.5}", f64::from(rate(rated))),
            user_rate: row.named("lcr_user_rate").map(|own| format!("{:.5}", f64::from(rate(own)))),
            gw_prefix: text("lcr_gw_prefix"),
            gw_suffix: text("lcr_gw_suffix"),
            lead_strip: count("lcr_lead_strip"),
            trail_strip: count("lcr_trail_strip"),
            codec: text("lcr_codec"),
            cid: text("lcr_cid"),
            limit: limit.map(|(realm, id)| {
                let most = row.named("lcr_limit_max").map_or(0.0, rate);
                (realm.to_owned(), id.to_owned(), most as i64)
            }),
            dialstring: String::new(),
            fields: row
                .pairs()
                .map(|(name, value)| (name.to_owned(), value.unwrap_or_default().to_owned()))
                .collect(),
        })
    }

    /// The number as this route wants it. Marks of what a far end said stay.
    fn number(&self, dialled: &str) -> String {
        let mut number: Vec<char> = dialled.chars().collect();
        if self.trail_strip > 0 {
            // The reference counts from the length of the digits that matched, and keeps one more.
            let keep = (self.digits.len() + 1).checked_sub(self.trail_strip);
            match keep.filter(|keep| number.len() > *keep) {
                Some(keep) => number.truncate(keep),
                None => number.clear(),
            }
        }
        if self.lead_strip > 0 {
            if number.len() > self.lead_strip {
                number.drain(..self.lead_strip);
            } else {
                number.clear();
            }
        }
        number.into_iter().collect()
    }

    /// The dial string for a number and a caller, references in it not yet filled in.
    pub(super) fn dial(&self, profile: &Profile, dialled: &str, caller: &str) -> String {
        let target = format!(
            "{}{}{}{}{}",
            self.gw_prefix,
            self.prefix,
            self.number(dialled),
            self.suffix,
            self.gw_suffix
        );
        if profile.sip_redirect {
            return target;
        }
        let mut all = format!("[lcr_carrier={},lcr_rate={}", self.carrier, self.rate_text);
        if let Some(rate) = &self.user_rate {
            all.push_str(&format!(",lcr_user_rate={rate}"));
        }
        if !self.codec.is_empty() {
            all.push_str(&format!(",absolute_codec_string={}", self.codec));
        }
        if !self.cid.is_empty() {
            all.push_str(&format!(",origination_caller_id_number={}", shown(&self.cid, caller)));
        }
        if profile.info_in_headers {
            let (rate, carrier) = (&self.rate_text, &self.carrier);
            all.push_str(&format!(",sip_h_X-LCR-INFO=lcr_rate={rate};lcr_carrier={carrier}"));
        }
        for name in &profile.export_fields {
            if let Some((_, value)) = self.fields.iter().find(|(own, _)| own == name) {
                all.push_str(&format!(",{name}={value}"));
            }
        }
        format!("{all}]{target}")
    }
}

/// The caller's number by `/pattern/replacement/`; as it is where that does not fit.
fn shown(rule: &str, caller: &str) -> String {
    let parts = rule.strip_prefix('/').and_then(|rule| rule.strip_suffix('/')?.split_once('/'));
    let Some((pattern, replacement)) = parts else {
        tracing::error!("Not a valid regexp: {rule}");
        return caller.to_owned();
    };
    let captures = Pattern::cached(pattern).ok().and_then(|p| p.captures(&far::plain(caller)));
    captures.map_or_else(
        || caller.to_owned(),
        |captures| {
            // Whatever it makes of a far end's number is a far end's.
            let number = substitute(replacement, &captures);
            if far::is_marked(caller) { far::mark(&number) } else { number }
        },
    )
}

/// Adds routes in their order: each gateway once, each carrier once for a single bridge, none that costs more than `most`.
pub(super) fn in_order(profile: &Profile, routes: Vec<Route>, most: Option<f32>) -> Vec<Route> {
    let mut all: Vec<Route> = Vec::new();
    for route in routes {
        let known = |other: &Route| {
            let gateway = other.gw_prefix == route.gw_prefix && other.gw_suffix == route.gw_suffix;
            gateway || (profile.single_bridge && other.carrier == route.carrier)
        };
        if most.is_some_and(|most| most < route.rate) {
            tracing::info!("Skipping [{}] because of the max_rate", route.carrier);
        } else if !all.iter().any(known) {
            let cheaper = |other: &Route| profile.reorder_by_rate && other.rate > route.rate;
            let at = all.iter().position(cheaper).unwrap_or(all.len());
            all.insert(at, route);
        }
    }
    all
}

const HEADERS: [&str; 7] =
    ["Digit Match", "Carrier", "Rate", "Codec", "CID Regexp", "Limit", "Dialstring"];

fn columns(route: &Route) -> [String; 7] {
    let limit = route.limit.as_ref().map(|(realm, id, most)| format!("{realm} {id} {most}"));
    [
        route.digits.clone(),
        route.carrier.clone(),
        route.rate_text.clone(),
        route.codec.clone(),
        route.cid.clone(),
        limit.unwrap_or_default(),
        far::plain(&route.dialstring).into_owned(),
    ]
}

/// Routes as a table.
pub(super) fn table(routes: &[Route]) -> String {
    let rows: Vec<[String; 7]> = routes.iter().map(columns).collect();
    let mut widths = HEADERS.map(str::len);
    widths[2] = 8;
    for row in &rows {
        for (at, (width, cell)) in widths.iter_mut().zip(row).enumerate() {
            // The reference leaves room for more than a limit has.
            let room = if at == 5 && !cell.is_empty() { limit_room(cell) } else { cell.len() };
            *width = (*width).max(room);
        }
    }
    let line = |cells: [&str; 7]| {
        let cells = cells.iter().zip(widths).map(|(cell, width)| format!(" | {cell:<width$}"));
        cells.collect::<String>() + " |\n"
    };
    let mut out = line(HEADERS);
    for row in &rows {
        out.push_str(&line(row.each_ref().map(String::as_str)));
    }
    out
}

fn limit_room(cell: &str) -> usize {
    let words: Vec<&str> = cell.rsplitn(2, ' ').collect();
    words.get(1).map_or(cell.len(), |names| names.len() - 1 + 5)
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    base::xml::escape(&mut out, text, false);
    out
}

/// Routes as XML, each with its row as an event.
pub(super) fn xml(routes: &[Route]) -> String {
    const NAMES: [&str; 7] =
        ["prefix", "carrier_name", "rate", "codec", "cid", "limit", "dialstring"];
    let mut out = "<result>\n".to_owned();
    for (at, route) in routes.iter().enumerate() {
        out.push_str(&format!("  <row id=\"{}\">\n", at + 1));
        for (name, value) in NAMES.iter().zip(columns(route)) {
            let value = escaped(&value);
            out.push_str(&format!("    <{name}>{value}</{name}>\n"));
        }
        out.push_str("<event>\n  <headers>\n");
        for (name, value) in &route.fields {
            let value = escaped(value);
            out.push_str(&format!("    <{name}>{value}</{name}>\n"));
        }
        out.push_str("  </headers>\n</event>\n  </row>\n");
    }
    out + "</result>\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(carrier: &str, rate: f32, gateway: &str) -> Route {
        Route {
            digits: "49".into(),
            carrier: carrier.into(),
            rate,
            rate_text: format!("{rate:.5}"),
            gw_prefix: gateway.into(),
            ..Route::default()
        }
    }

    #[test]
    fn a_dial_string_has_the_number_as_the_carrier_wants_it() {
        let profile = Profile::default();
        let one = Route {
            lead_strip: 2,
            prefix: "00".into(),
            suffix: "#".into(),
            gw_suffix: "@carrier".into(),
            codec: "PCMA".into(),
            cid: "/^49(.*)$/0$1/".into(),
            ..route("A", 0.5, "sofia/gateway/a/")
        };
        assert_eq!(
            one.dial(&profile, "491701", "4930"),
            "[lcr_carrier=A,lcr_rate=0.50000,absolute_codec_string=PCMA,origination_caller_id_number=030]\
             sofia/gateway/a/001701#@carrier"
        );
        let bare = Profile { sip_redirect: true, ..Profile::default() };
        assert_eq!(one.dial(&bare, "49", ""), "sofia/gateway/a/00#@carrier");
        let cut = Route { trail_strip: 1, ..route("A", 1.0, "g/") };
        assert!(cut.dial(&profile, "491701", "").ends_with("]g/49"));
    }

    #[test]
    fn gateways_come_once_and_the_cheapest_first_if_that_is_wanted() {
        let routes = || {
            vec![
                route("A", 2.0, "a/"),
                route("B", 1.0, "b/"),
                route("A", 0.5, "c/"),
                route("C", 3.0, "a/"),
            ]
        };
        let names = |profile: &Profile, most| {
            let all = in_order(profile, routes(), most);
            all.iter().map(|r| r.gw_prefix.clone()).collect::<String>()
        };
        let usual = Profile::default();
        assert_eq!(names(&usual, None), "a/b/c/");
        assert_eq!(names(&usual, Some(1.5)), "b/c/");
        assert_eq!(names(&Profile { reorder_by_rate: true, ..usual.clone() }, None), "c/b/a/");
        assert_eq!(names(&Profile { single_bridge: true, ..usual }, None), "a/b/");
    }

    #[test]
    fn a_table_is_as_wide_as_what_stands_in_it() {
        let mut one = route("A long carrier", 0.5, "a/");
        one.dialstring = "a/49".into();
        assert_eq!(
            table(&[one]),
            " | Digit Match | Carrier        | Rate     | Codec | CID Regexp | Limit | Dialstring |\n \
             | 49          | A long carrier | 0.50000  |       |            |       | a/49       |\n"
        );
    }
}
