//! What `spandsp.conf` and a channel's variables say about faxes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use base::far;
use esl_server::log::Level;
use fax::{GatewaySetup, Library, LoadError, Offer, Setup, udptl};
use parking_lot::Mutex;
use sdp::SessionDescription;
use switch_core::call::Channel;
use switch_core::switch::Switch;
use switch_core::{clock, text};
use switch_log::parse_level;

/// Packets of 20 ms before our own change to T.38, when sending and when receiving.
const REINVITE_AFTER: (u32, u32) = (100, 50);
/// What stands for an empty text in `ident` and `header`.
const EMPTY: &str = "_undef_";

/// What `spandsp.conf` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Settings {
    ecm: bool,
    v17: bool,
    tep: bool,
    verbose: bool,
    verbose_level: Level,
    t38: bool,
    t38_request: bool,
    reinvite_after: (u32, u32),
    ident: String,
    header: String,
    spool: String,
    prefix: String,
    library: String,
}

impl Settings {
    fn new(spool: String) -> Self {
        Self {
            ecm: true,
            v17: true,
            tep: false,
            verbose: false,
            verbose_level: Level::Debug,
            t38: true,
            t38_request: false,
            reinvite_after: REINVITE_AFTER,
            ident: "SpanDSP Fax Ident".into(),
            header: "SpanDSP Fax Header".into(),
            spool,
            prefix: "fax".into(),
            library: String::new(),
        }
    }

    /// Sets one of them.
    fn set(&mut self, name: &str, value: &str) {
        let yes = text::is_true(value);
        let packets =
            |default| u32::try_from(text::int(value)).ok().filter(|n| *n < 1000).unwrap_or(default);
        let words = || if value == EMPTY { String::new() } else { value.to_owned() };
        match name {
            "use-ecm" => self.ecm = yes,
            "disable-v17" => self.v17 = !yes,
            "enable-tep" => self.tep = yes,
            "verbose" => self.verbose = yes,
            "verbose-log-level" => {
                self.verbose_level = parse_level(value).unwrap_or(self.verbose_level);
            }
            "enable-t38" => self.t38 = yes,
            "enable-t38-request" => self.t38_request = yes,
            "t38-tx-reinvite-packet-count" => self.reinvite_after.0 = packets(REINVITE_AFTER.0),
            "t38-rx-reinvite-packet-count" => self.reinvite_after.1 = packets(0),
            "ident" => self.ident = words(),
            "header" => self.header = words(),
            "spool-dir" => value.clone_into(&mut self.spool),
            "file-prefix" => value.clone_into(&mut self.prefix),
            "library" => value.clone_into(&mut self.library),
            _ => {}
        }
    }
}

/// The module's state for a switch.
#[derive(Default)]
pub(crate) struct State {
    settings: Mutex<Option<Settings>>,
    library: Mutex<Option<(String, Arc<Library>)>>,
    /// Faxes begun, for names of files.
    begun: AtomicU64,
}

/// Takes `spandsp.conf` into use.
pub(crate) fn configure(switch: &Switch) {
    let mut settings = Settings::new(switch.dirs.temp_dir.to_string_lossy().into_owned());
    let config = switch.config.load_full();
    let document = config.document("spandsp.conf");
    let sections = |name| document.into_iter().flat_map(move |d| d.children_named(name));
    // The second name is that of older files.
    let first = sections("fax-settings").next().or_else(|| sections("settings").next());
    for param in first.into_iter().flat_map(|section| section.children_named("param")) {
        let (name, value) = (param.attr_or_empty("name"), param.attr_or_empty("value"));
        if !name.is_empty() && !value.is_empty() {
            settings.set(name, value);
        }
    }
    *switch.module::<State>().settings.lock() = Some(settings);
}

pub(crate) fn settings(switch: &Switch) -> Settings {
    let known = switch.module::<State>().settings.lock().clone();
    known.unwrap_or_else(|| Settings::new(switch.dirs.temp_dir.to_string_lossy().into_owned()))
}

/// The library, loaded if it was not; one that is installed later is found then. It blocks.
pub(crate) fn library(switch: &Switch) -> Result<Arc<Library>, LoadError> {
    let name = settings(switch).library;
    let state = switch.module::<State>();
    let mut known = state.library.lock();
    if let Some((of, library)) = &*known
        && *of == name
    {
        return Ok(Arc::clone(library));
    }
    let library = Library::load(&name)?;
    *known = Some((name, Arc::clone(&library)));
    Ok(library)
}

/// Whether the library could be had. It is let go again: with those it needs in turn it would take memory of a switch
/// that may never see a fax; the first fax loads it. It blocks.
pub(crate) fn look(switch: &Switch) -> Result<(), LoadError> {
    Library::load(&settings(switch).library).map(drop)
}

/// How one fax is to go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Job {
    pub(crate) uuid: Arc<str>,
    pub(crate) setup: Setup,
    /// T.38 is agreed to.
    pub(crate) offer: Option<Offer>,
    /// T.38 is asked for after so many packets of 20 ms.
    pub(crate) request_after: Option<u32>,
    /// Level of the protocol's log.
    pub(crate) level: Level,
}

/// Reads settings and variables for a fax that is sent or received.
pub(crate) fn job(channel: &Channel, file: String, sends: bool) -> Job {
    let settings = settings(channel.switch());
    let truth = |name: &str, otherwise: bool| {
        channel.var(name).map_or(otherwise, |value| text::is_true(&value))
    };
    let words = |name: &str, otherwise: &str| match channel.var(name) {
        Some(value) => url_decode(&value),
        None => otherwise.to_owned(),
    };
    let page = |name: &str| {
        let given = channel.var(name).map(|value| text::int(&value));
        given.and_then(|n| i32::try_from(n).ok()).map_or(-1, |n| n.max(-1))
    };
    let v17 = !truth("fax_disable_v17", !settings.v17);
    // The leg takes up offers only where the variable says so: see mod_sofia.
    let offers = truth("fax_enable_t38", settings.t38);
    let requests = offers && truth("fax_enable_t38_request", settings.t38_request);
    let (name, default) = if sends {
        ("fax_t38_tx_reinvite_packet_count", settings.reinvite_after.0)
    } else {
        ("fax_t38_rx_reinvite_packet_count", settings.reinvite_after.1)
    };
    let given = channel.var(name).filter(|value| text::is_number(value));
    let after = given.map_or(default, |value| u32::try_from(text::int(&value)).unwrap_or(0));
    let level = channel.var("fax_verbose_log_level").and_then(|level| parse_level(&level));
    Job {
        uuid: Arc::clone(channel.uuid()),
        setup: Setup {
            file,
            sends,
            calls: truth("fax_force_caller", sends),
            pages: if sends {
                pages(page("fax_start_page"), page("fax_end_page"))
            } else {
                (-1, -1)
            },
            ident: words("fax_ident", &settings.ident),
            header: words("fax_header", &settings.header),
            zone: words("fax_timezone", ""),
            ecm: truth("fax_use_ecm", settings.ecm),
            v17,
            tep: truth("fax_enable_tep", settings.tep),
            verbose: truth("fax_verbose", settings.verbose),
        },
        offer: offers.then(|| offer(v17)),
        request_after: Some(after).filter(|after| requests && *after > 0),
        level: level.unwrap_or(settings.verbose_level),
    }
}

/// How a gateway is to work: the settings, and the variables of its T.38 leg.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct GatewayJob {
    pub(crate) setup: GatewaySetup,
    /// What the far end is offered, or answered.
    pub(crate) offer: Offer,
    /// T.38 is asked for.
    pub(crate) requests: bool,
    /// Level of the protocol's log.
    pub(crate) level: Level,
}

/// Reads settings and variables for a gateway whose T.38 leg this is.
pub(crate) fn gateway(channel: &Channel) -> GatewayJob {
    let settings = settings(channel.switch());
    let truth = |name: &str, otherwise: bool| {
        channel.var(name).map_or(otherwise, |value| text::is_true(&value))
    };
    let v17 = !truth("fax_disable_v17", !settings.v17);
    let level = channel.var("fax_verbose_log_level").and_then(|level| parse_level(&level));
    GatewayJob {
        setup: GatewaySetup {
            ecm: truth("fax_use_ecm", settings.ecm) && !truth("FAX_DISABLE_ECM", false),
            v17,
            tep: truth("fax_enable_tep", settings.tep),
            verbose: truth("fax_verbose", settings.verbose),
        },
        offer: offer(v17),
        requests: truth("fax_enable_t38_request", settings.t38_request),
        level: level.unwrap_or(settings.verbose_level),
    }
}

fn offer(v17: bool) -> Offer {
    Offer { max_bit_rate: if v17 { 14_400 } else { 9600 } }
}

/// A description that offers T.38. It is written for the leg, which puts in its own address and port.
pub(crate) fn description(offer: Offer) -> Option<SessionDescription> {
    const HEAD: &str = "v=0\r\no=- 0 0 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n";
    let mut description = SessionDescription::parse(HEAD).ok()?;
    description.media.push(offer.options().section(9, false));
    Some(description)
}

/// Earlier packets that each datagram of a leg repeats.
pub(crate) fn redundancy(channel: &Channel) -> usize {
    let given = channel.var("t38_gateway_redundancy");
    given.and_then(|n| usize::try_from(text::int(&n)).ok()).unwrap_or(udptl::REDUNDANCY)
}

/// First and last page, the last not before the first.
fn pages(first: i32, last: i32) -> (i32, i32) {
    (first, if last == -1 { -1 } else { last.max(first) })
}

/// Folder and file of a fax that is received without a name.
pub(crate) fn own_file(channel: &Channel) -> (String, String) {
    let settings = settings(channel.switch());
    let number = channel.switch().module::<State>().begun.load(Ordering::Relaxed);
    let text = |name: &str, otherwise: String| channel.var_marked(name).unwrap_or(otherwise);
    let spool = text("fax_spool", settings.spool);
    let prefix = text("fax_prefix", settings.prefix);
    // What a far end said in either is no way out of the folder.
    let whole = format!("{spool}/{prefix}-{number}-{}.tif", clock::now_us());
    let plain = |text: &str| far::plain(&far::in_path(text)).into_owned();
    (plain(&spool), plain(&whole))
}

/// One more fax.
pub(crate) fn count(switch: &Switch) {
    switch.module::<State>().begun.fetch_add(1, Ordering::Relaxed);
}

/// `%2B` is a plus.
fn url_decode(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let digits = (*first == b'%').then(|| after.get(..2)).flatten();
        let decoded =
            digits.and_then(|two| u8::from_str_radix(std::str::from_utf8(two).ok()?, 16).ok());
        match decoded {
            Some(octet) => {
                out.push(octet);
                rest = after.get(2..).unwrap_or_default();
            }
            None => {
                out.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_read_as_the_reference_reads_them() {
        let mut settings = Settings::new("/tmp".into());
        for (name, value) in [
            ("use-ecm", "false"),
            ("disable-v17", "true"),
            ("ident", "_undef_"),
            ("header", "Head"),
            ("t38-tx-reinvite-packet-count", "5000"),
            ("t38-rx-reinvite-packet-count", "5000"),
            ("verbose-log-level", "INFO"),
            ("enable-t38", "no"),
            ("colour", "green"),
        ] {
            settings.set(name, value);
        }
        let expected = Settings {
            ecm: false,
            v17: false,
            ident: String::new(),
            header: "Head".into(),
            reinvite_after: (100, 0),
            verbose_level: Level::Info,
            t38: false,
            ..Settings::new("/tmp".into())
        };
        assert_eq!(settings, expected);
    }

    #[test]
    fn the_last_page_is_not_before_the_first() {
        assert_eq!(pages(-1, -1), (-1, -1));
        assert_eq!(pages(2, -1), (2, -1));
        assert_eq!(pages(2, 1), (2, 2));
        assert_eq!(pages(0, 3), (0, 3));
    }

    #[test]
    fn texts_are_decoded() {
        assert_eq!(url_decode("%2B49 30%20x%"), "+49 30 x%");
        assert_eq!(url_decode("100%zz%c3%bc%e4"), "100%zzü\u{fffd}");
    }
}
