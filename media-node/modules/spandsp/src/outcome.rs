//! What a fax reports: variables, events, lines of the log, and hooks.

use std::sync::Arc;

use base::far;
use esl_server::event::Event;
use esl_server::log::Level;
use fax::{Code, Report};
use switch_core::call::{Channel, Session};
use switch_core::{foreign, host, text};

/// Severities of the library's log: errors, and warnings.
const ERRORS: [i32; 2] = [1, 3];
const WARNINGS: [i32; 2] = [2, 4];

/// What a fax application does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Receives,
    Sends,
}

impl Side {
    /// Its name.
    pub(crate) fn application(self) -> &'static str {
        match self {
            Self::Receives => "rxfax",
            Self::Sends => "txfax",
        }
    }

    fn pages(self, report: &Report) -> i32 {
        match self {
            Self::Receives => report.received,
            Self::Sends => report.sent,
        }
    }

    /// Subclass of an event.
    fn event(self, receives: &'static str, sends: &'static str) -> &'static str {
        match self {
            Self::Receives => receives,
            Self::Sends => sends,
        }
    }
}

/// How far the change to T.38 went (`fax_t38_status`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum T38 {
    Off,
    Requested,
    Negotiated,
    Refused,
}

impl T38 {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Requested => "requested",
            Self::Negotiated => "negotiated",
            Self::Refused => "refused",
        }
    }
}

/// Variables, and the headers of an event beside them. What the far end sent of itself is marked as that.
struct ResultFields<'a> {
    channel: &'a Channel,
    headers: Vec<(String, String)>,
}

impl<'a> ResultFields<'a> {
    fn new(channel: &'a Channel) -> Self {
        Self { channel, headers: Vec::new() }
    }

    /// A variable, and a header of the same name.
    fn set(&mut self, name: &'static str, value: impl Into<String>) {
        let value = value.into();
        self.channel.set_var(name, value.as_str());
        self.headers.push((name.replace('_', "-"), value));
    }

    /// The same with a value that the far end sent.
    fn set_remote(&mut self, name: &'static str, value: &str) {
        let value = text::harmless(value);
        self.channel.set_var(name, far::mark(&value));
        self.headers.push((name.replace('_', "-"), value.into_owned()));
    }

    fn fire(self, subclass: &str, with_uuid: bool) {
        let uuid = self.channel.uuid();
        self.channel.fire_custom(
            subclass,
            |_| {},
            |event: &mut Event| {
                if with_uuid {
                    event.push("uuid", uuid.to_string());
                }
                for (name, value) in self.headers {
                    event.push(name, value);
                }
            },
        );
    }
}

pub(crate) fn on_off(on: bool) -> &'static str {
    if on { "on" } else { "off" }
}

/// Both sides have agreed (phase B).
pub(crate) fn negotiated(channel: &Channel, side: Side, report: &Report, t38: T38) {
    let mut fields = ResultFields::new(channel);
    fields.set("fax_transfer_rate", report.bit_rate.to_string());
    fields.set("fax_ecm_used", on_off(report.ecm));
    fields.set("fax_t38_status", t38.name());
    fields.set("fax_local_station_id", &*report.local);
    fields.set_remote("fax_remote_station_id", &report.remote);
    fields.set_remote("fax_remote_country", &report.country);
    fields.set_remote("fax_remote_vendor", &report.vendor);
    fields.set_remote("fax_remote_model", &report.model);
    if side == Side::Sends {
        fields.set("fax_document_total_pages", report.in_file.to_string());
    }
    tracing::info!(
        uuid = %channel.uuid(),
        "Fax with [{}] as [{}]: {} bit/s, ECM {}, T.38 {}",
        text::harmless(&report.remote), report.local, report.bit_rate, on_off(report.ecm), t38.name()
    );
    let subclass = side.event("spandsp::rxfaxnegociateresult", "spandsp::txfaxnegociateresult");
    fields.fire(subclass, true);
}

/// A page was transferred (phase D).
pub(crate) fn page(channel: &Channel, side: Side, report: &Report) {
    let mut fields = ResultFields::new(channel);
    fields.set("fax_document_transferred_pages", side.pages(report).to_string());
    if side == Side::Sends {
        fields.set("fax_document_total_pages", report.in_file.to_string());
    }
    image(&mut fields, report);
    fields.set("fax_longest_bad_row_run", report.longest_bad_run.to_string());
    let (number, name) = report.encoding();
    fields.set("fax_encoding", number.to_string());
    fields.set("fax_encoding_name", name);
    tracing::info!(
        uuid = %channel.uuid(),
        "Fax page {}: {} x {} pixels, {} octets in {name}, {} bad rows",
        side.pages(report), report.size.0, report.size.1, report.octets, report.bad_rows
    );
    fields.fire(side.event("spandsp::rxfaxpageresult", "spandsp::txfaxpageresult"), true);
}

/// Figures of a page. What is in the file is what is on the line: nothing is scaled.
fn image(fields: &mut ResultFields<'_>, report: &Report) {
    let by = |(x, y): (i32, i32)| format!("{x}x{y}");
    fields.set("fax_image_resolution", by(report.resolution));
    fields.set("fax_file_image_resolution", by(report.resolution));
    fields.set("fax_image_size", report.octets.to_string());
    fields.set("fax_image_pixel_size", by(report.size));
    fields.set("fax_file_image_pixel_size", by(report.size));
    fields.set("fax_bad_rows", report.bad_rows.to_string());
}

/// It is over (phase E).
pub(crate) fn finished(
    channel: &Channel,
    side: Side,
    code: Code,
    words: &str,
    report: &Report,
    t38: T38,
) {
    let success = code == Code::OK;
    let mut fields = ResultFields::new(channel);
    fields.set("fax_success", if success { "1" } else { "0" });
    fields.set("fax_result_code", code.0.to_string());
    fields.set("fax_result_text", words);
    fields.set("fax_document_transferred_pages", side.pages(report).to_string());
    fields.set("fax_document_total_pages", report.in_file.max(0).to_string());
    image(&mut fields, report);
    fields.set("fax_transfer_rate", report.bit_rate.to_string());
    fields.set("fax_ecm_used", on_off(report.ecm));
    fields.set("fax_t38_status", t38.name());
    fields.set("fax_local_station_id", &*report.local);
    fields.set_remote("fax_remote_station_id", &report.remote);
    let pages = side.pages(report);
    match (success, side) {
        (true, Side::Sends) => {
            tracing::info!(uuid = %channel.uuid(), "Fax successfully sent: {pages} pages");
        }
        (true, Side::Receives) => {
            tracing::info!(uuid = %channel.uuid(), "Fax successfully received: {pages} pages");
        }
        (false, _) => tracing::info!(
            uuid = %channel.uuid(),
            "Fax processing not successful - result ({}) {words}, after {pages} pages", code.0
        ),
    }
    fields.fire(side.event("spandsp::rxfaxresult", "spandsp::txfaxresult"), false);
}

/// Logs what was negotiated of T.38.
pub(crate) fn log_t38(channel: &Channel, options: &sdp::T38Options) {
    tracing::info!(
        uuid = %channel.uuid(),
        "T.38: version {}, {} bit/s, datagrams of {} octets, {}, {}",
        options.version, options.max_bit_rate, options.max_datagram, options.rate_management,
        options.error_correction
    );
}

/// A line of the library's log.
pub(crate) fn log(channel: &Channel, level: Level, severity: i32, line: &str) {
    let level = match severity {
        s if ERRORS.contains(&s) => Level::Err,
        s if WARNINGS.contains(&s) => Level::Warning,
        _ => level,
    };
    switch_log::log_line(level, None, channel.uuid(), &text::harmless(line));
}

/// The moments that follow the end.
fn hook_names(success: bool) -> [&'static str; 2] {
    ["fax_result", if success { "fax_success" } else { "fax_failure" }]
}

/// What the variables ask for at the end of a fax, on a call that goes on.
pub(crate) async fn run_hooks(session: &mut Session, success: bool) {
    for hook in hook_names(success) {
        run_system(session.channel(), hook);
        session.run_hooks(hook).await;
    }
}

/// The same on a call that ends: commands run at once, applications if it goes on elsewhere.
pub(crate) fn queue_hooks(channel: &Arc<Channel>, success: bool) {
    for hook in hook_names(success) {
        run_system(channel, hook);
        channel.queue_hooks(hook);
    }
}

/// `system_on_fax_…`: a line for the shell, whose end is not waited for.
fn run_system(channel: &Arc<Channel>, hook: &'static str) {
    let Some(line) = channel.var_marked(&format!("system_on_{hook}")) else { return };
    let channel = Arc::clone(channel);
    foreign::spawn(async move {
        let switch = Arc::clone(channel.switch());
        let line = host::expand_for(&switch, Some(&channel), &line).await;
        let _printed = switch.run_api("system", &line, Some(Arc::clone(&channel))).await;
    });
}
