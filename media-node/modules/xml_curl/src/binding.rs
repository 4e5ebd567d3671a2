//! One `<binding>` of `xml_curl.conf`: where it asks, how, and what it makes of the answer.

use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use dialplan_xml::config::XmlCurlBinding;
use dialplan_xml::{Globals, LoadOptions, Tree};
use hyper::{Method, StatusCode};
use tokio::time::Instant;
use url::Url;

use super::Bindings;
use super::form::{form, question};
use super::gate::{Asker, Gate, Limits, Pass, Refused};
use super::responses::Responses;
use super::stats::Stats;
use crate::switch::Switch;
use crate::xml::{Lookup, Unanswered};
use http_client::tls::{self, TlsSettings};
use http_client::{self as http, Ask, Client, Login, Schemes};

/// What servers see us as (the reference's name).
const USER_AGENT: &str = "freeswitch-xml/1.0";
/// How long a lookup may take where `timeout` does not say. The reference waits without limit.
const NO_TIMEOUT: Duration = Duration::from_secs(30);

/// A binding in use.
pub struct Binding {
    conf: XmlCurlBinding,
    method: Method,
    deadline: Duration,
    client: Client,
    gate: Gate,
    responses: Option<Responses>,
    /// What became of its lookups.
    pub stats: Stats,
}

/// What an answer turned out to be.
enum Outcome {
    Found(Tree),
    NotFound,
    Useless,
}

impl Binding {
    /// Makes a binding ready; `None` (with the reason logged) if its settings cannot be used.
    #[must_use]
    pub fn new(conf: XmlCurlBinding) -> Option<Self> {
        let method = match conf.method.as_deref().map(str::to_ascii_uppercase) {
            None => Method::POST,
            Some(verb) => Method::from_bytes(verb.as_bytes())
                .inspect_err(|_| tracing::error!("{}: {verb} is no HTTP method", conf.place))
                .ok()?,
        };
        let text = |name: &str| conf.params.last(name).filter(|value| !value.is_empty());
        let tls = tls::client(TlsSettings {
            check_authority: conf.verify_certificate,
            check_name: conf.verify_host,
            authorities: text("ssl-cacert-file"),
            certificate: text("ssl-cert-path"),
            key: text("ssl-key-path"),
            version: text("ssl-version"),
            allow_expired: false,
        })
        .inspect_err(|error| {
            tracing::error!("{}: binding {} is not used: {error}", conf.place, conf.name);
        })
        .ok()?;
        note_unused(&conf);
        let client =
            Client::new(Arc::new(tls), local_address(&conf), login(&conf), conf.response_max_bytes);
        let number = |name: &str| text(name).and_then(|value| value.parse::<u32>().ok());
        let usual = Limits::default();
        let size = |name: &str, usual: usize| {
            number(name).and_then(|n| usize::try_from(n).ok()).unwrap_or(usual)
        };
        let gate = Gate::new(Limits {
            concurrent: size("max-concurrent-requests", usual.concurrent),
            waiting: size("max-waiting-requests", usual.waiting),
            failures: number("failures-before-pause").unwrap_or(usual.failures),
            pause: number("pause-seconds").map_or(usual.pause, |s| Duration::from_secs(s.into())),
        });
        let keep = number("response-cache-seconds").filter(|&seconds| seconds > 0);
        Some(Self {
            deadline: match conf.timeout {
                0 => NO_TIMEOUT,
                seconds => Duration::from_secs(seconds.into()),
            },
            responses: keep.map(|seconds| Responses::new(Duration::from_secs(seconds.into()))),
            stats: Stats::default(),
            method,
            client,
            gate,
            conf,
        })
    }

    /// Are lookups in this section its business?
    #[must_use]
    pub fn serves(&self, section: &str) -> bool {
        self.conf.serves(section)
    }

    /// Asks. `None` when it does not know: the next one's turn.
    ///
    /// # Errors
    /// [`Unanswered`] when it cannot be asked, or says nothing that can be used.
    pub async fn ask(
        &self,
        switch: &Arc<Switch>,
        lookup: &Lookup<'_>,
    ) -> Result<Option<Tree>, Unanswered> {
        Stats::count(&self.stats.lookups);
        let question = self.responses.as_ref().map(|_| question(lookup, &self.conf.post_vars));
        if let (Some(responses), Some(question)) = (&self.responses, &question)
            && let Some(tree) = responses.get(question)
        {
            Stats::count(&self.stats.cached);
            return Ok(Some(tree));
        }
        let started = Instant::now();
        let outcome = match self.conf.url.split_once("file:") {
            Some((_, path)) => self.read_file(switch, path).await,
            None => self.ask_server(switch, lookup).await,
        };
        tracing::debug!(
            "Binding {}: {} {} {}={} took {} ms",
            self.conf.name,
            lookup.section,
            lookup.tag_name,
            lookup.key_name,
            lookup.key_value,
            started.elapsed().as_millis()
        );
        match outcome {
            Outcome::Found(tree) => {
                Stats::count(&self.stats.found);
                if let (Some(responses), Some(question)) = (&self.responses, question) {
                    responses.put(question, tree.clone());
                }
                Ok(Some(tree))
            }
            Outcome::NotFound => {
                Stats::count(&self.stats.not_found);
                Ok(None)
            }
            Outcome::Useless => Err(Unanswered),
        }
    }

    async fn read_file(&self, switch: &Switch, path: &str) -> Outcome {
        match tokio::fs::read(path).await {
            Ok(text) => self.read(switch, &text),
            Err(error) => {
                tracing::error!("Binding {}: {path}: {error}", self.conf.name);
                Stats::count(&self.stats.failed);
                Outcome::Useless
            }
        }
    }

    async fn ask_server(&self, switch: &Arc<Switch>, lookup: &Lookup<'_>) -> Outcome {
        let name = &self.conf.name;
        let Some(ask) = self.request(switch, lookup).await else {
            Stats::count(&self.stats.failed);
            return Outcome::Useless;
        };
        let until = Instant::now() + self.deadline;
        let pass =
            match tokio::time::timeout_at(until, self.gate.enter(asker(switch, lookup))).await {
                Ok(Ok(pass)) => pass,
                Ok(Err(Refused::Open)) => {
                    Stats::count(&self.stats.skipped);
                    return Outcome::Useless;
                }
                Ok(Err(Refused::Full)) => {
                    Stats::count(&self.stats.overrun);
                    tracing::warn!("Binding {name}: too many lookups are waiting");
                    return Outcome::Useless;
                }
                Err(_) => {
                    Stats::count(&self.stats.late);
                    tracing::warn!("Binding {name}: no place for a lookup within its deadline");
                    return Outcome::Useless;
                }
            };
        let started = Instant::now();
        let answer = tokio::time::timeout_at(until, self.client.send(ask)).await;
        self.stats.took(started.elapsed());
        match answer {
            Ok(Ok((status, body))) => {
                self.note(pass, !status.is_server_error());
                self.judge(switch, status, &body).await
            }
            Ok(Err(error)) => {
                Stats::count(&self.stats.failed);
                tracing::error!("Binding {name}: {error}");
                self.note(pass, false);
                Outcome::Useless
            }
            Err(_) => {
                Stats::count(&self.stats.late);
                tracing::error!("Binding {name}: no answer within {} s", self.deadline.as_secs());
                self.note(pass, false);
                Outcome::Useless
            }
        }
    }

    fn note(&self, pass: Pass<'_>, well: bool) {
        let name = &self.conf.name;
        if well {
            if pass.succeeded() {
                tracing::warn!("Binding {name}: the server answers again");
            }
        } else if pass.failed() {
            tracing::warn!(
                "Binding {name}: the server keeps failing and is left alone for a while"
            );
        }
    }

    async fn request(&self, switch: &Arc<Switch>, lookup: &Lookup<'_>) -> Option<Ask> {
        let name = &self.conf.name;
        let form = form(lookup, &switch.name(), &self.conf.post_vars);
        let mut address = if self.conf.dynamic_url {
            dynamic(switch, lookup, &self.conf.url).await
        } else {
            self.conf.url.clone()
        };
        let posts = self.method == Method::POST;
        if !posts {
            address.push(if address.contains('?') { '&' } else { '?' });
            address.push_str(&form);
        }
        let url = Url::parse(&address)
            .inspect_err(|error| tracing::error!("Binding {name}: gateway-url: {error}"))
            .ok()?;
        let body = posts.then(|| (http::FORM, Bytes::from(form)));
        Some(Ask {
            method: self.method.clone(),
            url,
            user_agent: USER_AGENT,
            headers: Vec::new(),
            body,
        })
    }

    async fn judge(&self, switch: &Switch, status: StatusCode, body: &[u8]) -> Outcome {
        if let Some(file) = switch.module::<Bindings>().debug_file(switch) {
            match tokio::fs::write(&file, body).await {
                Ok(()) => tracing::info!(
                    "Binding {}: response kept in {}",
                    self.conf.name,
                    file.display()
                ),
                Err(error) => tracing::error!("{}: {error}", file.display()),
            }
        }
        if status != StatusCode::OK || body.is_empty() {
            Stats::count(&self.stats.refused);
            let what = if body.is_empty() { ", nothing in it" } else { "" };
            tracing::error!(
                "Binding {}: answered with status {}{what}",
                self.conf.name,
                status.as_u16()
            );
            return Outcome::Useless;
        }
        self.read(switch, body)
    }

    /// Responses go through the preprocessor, as files do; what they set stays set.
    fn read(&self, switch: &Switch, text: &[u8]) -> Outcome {
        let name = format!("xml_curl:{}", self.conf.name);
        let directives = [&b"$${"[..], b"PRE-PROCESS", b"pre-process", b"<!--#"];
        let before = if directives.iter().any(|mark| contains(text, mark)) {
            switch.globals()
        } else {
            Globals::new()
        };
        let options =
            LoadOptions { max_bytes: self.conf.response_max_bytes, ..LoadOptions::default() };
        let base: &Path = &switch.dirs.conf_dir;
        let loaded = dialplan_xml::parse_document(text, &name, base, before.clone(), &options);
        crate::config::log_diagnostics(&loaded.diagnostics);
        let Some(tree) = loaded.tree else {
            Stats::count(&self.stats.unreadable);
            tracing::error!(
                "Binding {}: the response is no XML: {}",
                self.conf.name,
                loaded.status
            );
            return Outcome::Useless;
        };
        switch.adopt_globals(&before, &loaded.globals);
        if is_not_found(&tree) { Outcome::NotFound } else { Outcome::Found(tree) }
    }

    /// Its counters and how its server does.
    #[must_use]
    pub fn report(&self) -> String {
        format!(
            "{} [{}] {} server: {} active: {} waiting: {}\n{}",
            self.conf.name,
            self.conf.sections.as_deref().unwrap_or("all"),
            self.method,
            self.gate.state(),
            self.gate.active(),
            self.gate.waiting(),
            self.stats
        )
    }
}

/// On whose behalf a lookup is made, as far as its parameters say.
fn asker(switch: &Switch, lookup: &Lookup<'_>) -> Asker {
    let says = |name: &str| lookup.params.and_then(|params| params.get(name));
    let source = ["ip", "Hunt-Network-Addr", "Caller-Network-Addr"]
        .iter()
        .find_map(|name| says(name)?.parse::<IpAddr>().ok());
    let Some(ip) = source else { return Asker::SWITCH };
    let proved = says("variable_sip_authorized").is_some_and(|said| said == "true");
    Asker { source, known: proved || switch.knows_peer(ip) }
}

fn contains(text: &[u8], mark: &[u8]) -> bool {
    text.windows(mark.len()).any(|window| window.eq_ignore_ascii_case(mark))
}

/// `<section name="result"><result status="not found"/></section>`.
fn is_not_found(tree: &Tree) -> bool {
    let result = tree.section("result").and_then(|section| section.child("result"));
    result
        .and_then(|result| result.attr("status"))
        .is_some_and(|status| status.eq_ignore_ascii_case("not found"))
}

/// `use-dynamic-url`: `${…}` from the parameters and the five fixed fields.
async fn dynamic(switch: &Arc<Switch>, lookup: &Lookup<'_>, url: &str) -> String {
    use esl_server::event::{Event, EventName};
    let mut event = lookup.params.cloned().unwrap_or_else(|| Event::new(EventName::RequestParams));
    event.push("hostname", switch.name());
    event.push("section", lookup.section);
    event.push("tag_name", lookup.tag_name);
    event.push("key_name", lookup.key_name);
    event.push("key_value", lookup.key_value);
    crate::host::expand_event(switch, &event, url).await
}

/// `gateway-credentials`, or those in the address.
fn login(conf: &XmlCurlBinding) -> Option<Login> {
    let url = Url::parse(&conf.url).ok();
    let in_url = url.as_ref().filter(|url| !url.username().is_empty()).map(|url| {
        let plain = |text: &str| {
            String::from_utf8_lossy(&esl_server::event::url_decode(text.as_bytes())).into_owned()
        };
        format!("{}:{}", plain(url.username()), plain(url.password().unwrap_or_default()))
    });
    let credentials = conf.credentials.clone().or(in_url)?;
    let (user, password) = credentials.split_once(':')?;
    Some(Login {
        user: user.into(),
        password: password.into(),
        schemes: schemes(&conf.auth_scheme),
    })
}

/// A scheme is added to basic; with `=` in front it stands alone.
fn schemes(text: &str) -> Schemes {
    let (alone, scheme) = match text.strip_prefix('=') {
        Some(scheme) => (true, scheme),
        None => (false, text),
    };
    let is = |name: &str| scheme.eq_ignore_ascii_case(name);
    Schemes { basic: !alone || is("basic") || is("any"), digest: is("digest") || is("any") }
}

/// `bind-local`: an address, or the name of an interface.
fn local_address(conf: &XmlCurlBinding) -> Option<IpAddr> {
    let wanted = conf.params.last("bind-local").filter(|value| !value.is_empty())?;
    let wanted = wanted.trim_start_matches("if!").trim_start_matches("host!");
    if let Ok(ip) = wanted.parse() {
        return Some(ip);
    }
    let found = nix::ifaddrs::getifaddrs().into_iter().flatten().find_map(|interface| {
        let v4 = interface.address?;
        (interface.interface_name == wanted).then(|| v4.as_sockaddr_in().map(|v4| v4.ip()))?
    });
    if found.is_none() {
        tracing::error!("{}: bind-local {wanted}: no such address or interface", conf.place);
    }
    found.map(IpAddr::V4)
}

/// Says which settings have no effect here.
fn note_unused(conf: &XmlCurlBinding) {
    for (name, why) in [
        ("cookie-file", "no cookies are kept"),
        ("ssl-key-password", "the key must not be encrypted"),
    ] {
        if conf.params.last(name).is_some_and(|value| !value.is_empty()) {
            tracing::warn!("{}: {name} has no effect: {why}", conf.place);
        }
    }
    let scheme = conf.auth_scheme.trim_start_matches('=').to_ascii_lowercase();
    if !matches!(scheme.as_str(), "basic" | "digest" | "any") {
        tracing::warn!("{}: auth-scheme {scheme} is not supported", conf.place);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scheme_is_added_to_basic_unless_it_stands_alone() {
        let of = |basic, digest| Schemes { basic, digest };
        assert_eq!(schemes("basic"), of(true, false));
        assert_eq!(schemes("Digest"), of(true, true));
        assert_eq!(schemes("=digest"), of(false, true));
        assert_eq!(schemes("any"), of(true, true));
        assert_eq!(schemes("NTLM"), of(true, false));
    }

    #[test]
    fn not_found_is_recognised() {
        let tree = |text: &str| dialplan_xml::parse_raw(text, "test").tree.expect("well-formed");
        let result = |status: &str| {
            tree(&format!(
                "<document type=\"freeswitch/xml\"><section name=\"result\"><result status=\"{status}\"/>\
                 </section></document>"
            ))
        };
        assert!(is_not_found(&result("not found")) && is_not_found(&result("Not Found")));
        assert!(!is_not_found(&result("found")));
        assert!(!is_not_found(&tree("<document><section name=\"dialplan\"/></document>")));
    }
}
