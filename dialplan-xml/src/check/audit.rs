//! `ferroswitch audit`: what a stranger can reach and do, as far as the configuration tells; and the list of interfaces that a
//! configuration needs.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::Path;

use super::fraud::Way;
use super::{CheckOptions, Checked, Subject, check, uses};
use crate::acl::{AclSet, LocalNet};
use crate::catalogue::{Catalogue, Kind};
use crate::config::{AclConf, EventSocketConf, Params, SofiaConf, SwitchConf, settings};
use crate::dialplan::Dialplan;
use crate::directory::Directory;
use crate::text::is_true;
use crate::{Diagnostic, Globals, Loaded, Node, Place, Tree};

/// What an audit may know about its surroundings.
pub struct AuditOptions<'a> {
    /// What a check may know.
    pub check: CheckOptions<'a>,
    /// Permission bits of a file or folder.
    pub mode: &'a dyn Fn(&Path) -> Option<u32>,
    /// When the certificate in a PEM file ends, in seconds since the epoch.
    pub not_after: &'a dyn Fn(&Path) -> Option<i64>,
    /// Seconds since the epoch.
    pub now: i64,
}

/// What `check` finds that matters to strangers.
const FROM_CHECK: [&str; 7] = [
    "acl-unknown",
    "exec-failed",
    "password-default",
    "password-weak",
    "tls-no-certificate",
    "toll-fraud",
    "acl-bad-network",
];
/// Applications that run programs of the machine, and commands.
const HOST: [&str; 7] =
    ["bg_spawn", "bg_system", "bgsystem", "spawn", "spawn_stream", "spawn_bg", "system"];
/// What calls bring from outside, in the text of a variable's name.
const FAR: [&str; 6] =
    ["caller_id", "destination_number", "effective_caller", "sip_h_", "sip_from", "sip_to"];
/// A certificate that ends so soon is named, in seconds.
const SOON: i64 = 30 * 86_400;

/// Audits a loaded configuration.
pub fn audit(loaded: Loaded, options: &AuditOptions<'_>) -> Checked {
    let (tree, globals) = (loaded.tree.clone(), loaded.globals.clone());
    let mut checked = check(loaded, &options.check);
    checked.diagnostics.retain(|found| FROM_CHECK.contains(&found.code));
    let Some(tree) = tree else { return checked };
    let mut subject = Subject {
        tree: &tree,
        globals: &globals,
        directory: Directory::compile(&tree),
        dialplan: Dialplan::compile(&tree).0,
        catalogue: options.check.catalogue,
        file_exists: options.check.file_exists,
        own_address: options.check.own_address,
        no_mp3: options.check.no_mp3,
        loaded: super::params::modules(&tree),
        found: Vec::new(),
    };
    sip_profiles(&mut subject);
    event_socket(&mut subject);
    web_listeners(&mut subject);
    voicemail_passwords(&mut subject);
    host_commands(&mut subject);
    files(&mut subject, &globals, options);
    subject.found.iter_mut().for_each(|found| found.aim(&checked.sources));
    checked.diagnostics.append(&mut subject.found);
    checked.diagnostics.sort_by(|a, b| {
        (std::cmp::Reverse(a.severity), &a.place).cmp(&(std::cmp::Reverse(b.severity), &b.place))
    });
    checked
}

fn is_loopback(ip: &str) -> bool {
    match ip.trim().parse::<IpAddr>() {
        Ok(ip) => ip.to_canonical().is_loopback(),
        Err(_) => ip.trim().eq_ignore_ascii_case("localhost"),
    }
}

/// What listens for SIP, whom it lets call, and what it takes as proof.
fn sip_profiles(subject: &mut Subject<'_>) {
    let sofia = SofiaConf::read(subject.tree.configuration("sofia.conf"));
    let acl = AclConf::read(subject.tree.configuration("acl.conf"));
    let (acl, _) = AclSet::build(&acl, &subject.directory, &LocalNet::default());
    for profile in &sofia.profiles {
        let Some(settings) = &profile.settings else { continue };
        let (name, ip) = (&profile.name, settings.get("sip-ip").unwrap_or("auto"));
        let place = |param: &str| {
            Some(settings.param(param).map_or_else(|| profile.place.clone(), |p| p.place.clone()))
        };
        for blind in ["accept-blind-reg", "accept-blind-auth"] {
            if settings.last(blind).is_some_and(is_true) {
                let message = format!("profile \"{name}\" takes any password ({blind})");
                let found = Diagnostic::error("registration-blind", message, place(blind));
                subject.say(found.with_hint("remove it: directory users have passwords"));
            }
        }
        if is_loopback(ip) {
            continue;
        }
        let tls = settings.last("tls").is_some_and(is_true);
        let plain = !settings.last("tls-only").is_some_and(is_true);
        let port = settings.get("sip-port").unwrap_or("5060");
        let message = format!(
            "profile \"{name}\" listens on {ip}, port {port}{}",
            if tls { ", with TLS" } else { "" }
        );
        subject.say(Diagnostic::info("listener-open", message, place("sip-ip")));
        if let Some(way) = Way::find(settings, &acl) {
            let message = format!(
                "profile \"{name}\" {}: strangers call into context \"{}\"",
                way.why, way.context
            );
            let found = Diagnostic::warning("calls-of-strangers", message, place("context"));
            subject.say(found.with_hint(
                "keep in that context only what every caller may reach, or restrict the profile with apply-inbound-acl",
            ));
        }
        if !tls && plain && settings.last("auth-calls").is_some_and(is_true) {
            let message = format!("phones of profile \"{name}\" have no encrypted way to register");
            let found = Diagnostic::info("control-unencrypted", message, place("sip-ip"));
            subject.say(found.with_hint("set tls, and rtp_secure_media for the audio"));
        }
    }
}

fn event_socket(subject: &mut Subject<'_>) {
    let Some(conf) = subject.tree.configuration("event_socket.conf") else { return };
    let conf = EventSocketConf::read(Some(conf));
    if is_loopback(&conf.listen_ip) {
        return;
    }
    let place = |param: &str| conf.params.param(param).map(|p| p.place.clone());
    let message =
        format!("the Event Socket listens on {}, port {}", conf.listen_ip, conf.listen_port);
    let found = Diagnostic::warning("control-unencrypted", message, place("listen-ip"));
    subject.say(found.with_hint("a client with its password controls the switch, and the password is sent in clear: use a tunnel, or listen-ip 127.0.0.1"));
    // FreeSWITCH's default password is found by the check.
    if conf.password != "ClueCon" && super::directory::weak(&conf.password, "").is_some() {
        let message =
            "the Event Socket is open to other machines with a password that is easily guessed";
        let found = Diagnostic::error("password-default", message, place("password"));
        subject.say(found.with_hint("set a long random password"));
    }
    if conf.allow_host_commands {
        let message =
            "clients on other machines may run programs of this one (allow-host-commands)";
        let found = Diagnostic::error("host-command", message, place("allow-host-commands"));
        subject.say(found.with_hint("remove it unless such a client needs it"));
    }
    if conf.apply_inbound_acl.iter().any(|list| list.eq_ignore_ascii_case("any_v4.auto")) {
        let message = "the access list of the Event Socket admits every address";
        let found = Diagnostic::warning("listener-open", message, place("apply-inbound-acl"));
        subject.say(found.with_hint("name the machines that use it"));
    }
}

/// The web pages, XML-RPC and mod_verto's WebSocket.
fn web_listeners(subject: &mut Subject<'_>) {
    for (file, what, default_ip) in [
        ("http_api.conf", "the HTTP interface", "127.0.0.1"),
        ("xml_rpc.conf", "mod_xml_rpc", "127.0.0.1"),
    ] {
        let Some(conf) = subject.tree.configuration(file) else { continue };
        let params: Params = settings(Some(conf));
        let place = |name: &str| {
            Some(params.param(name).map_or_else(|| conf.place(), |param| param.place.clone()))
        };
        let ip = params.last("listen-ip").unwrap_or(default_ip);
        if !is_loopback(ip) && params.last("tls-cert").is_none() {
            let message = format!("{what} listens on {ip} without TLS");
            let found = Diagnostic::warning("control-unencrypted", message, place("listen-ip"));
            subject.say(found.with_hint(
                "set tls-cert and tls-key, or put a proxy with TLS in front of 127.0.0.1",
            ));
        }
        let password = params.last("auth-pass").unwrap_or_default();
        if params.last("auth-user").is_some() && super::directory::weak(password, "").is_some() {
            let message = format!("{what} has a password that is easily guessed");
            subject.say(
                Diagnostic::error("password-default", message, place("auth-pass"))
                    .with_hint("set a long random password"),
            );
        }
    }
    let verto = subject.tree.configuration("verto.conf");
    let profiles = verto.into_iter().flat_map(Node::descendants);
    for profile in profiles.filter(|node| node.name() == "profile") {
        for param in profile.children_named("param") {
            let value = param.attr_or_empty("value");
            let address = value.rsplit_once(':').map_or(value, |(ip, _)| ip);
            if param.attr_or_empty("name") == "bind-local" && !is_loopback(address) {
                let message = format!(
                    "verto profile \"{}\" takes passwords over {value}, which is not encrypted",
                    profile.attr_or_empty("name")
                );
                let place = Some(param.attr_place("value"));
                let found = Diagnostic::warning("control-unencrypted", message, place);
                subject.say(found.with_hint("secure=\"true\", or a proxy with TLS in front"));
            }
        }
    }
}

/// Mailboxes whose password is their number.
fn voicemail_passwords(subject: &mut Subject<'_>) {
    let mut weak: Vec<(String, Option<Place>)> = Vec::new();
    for domain in subject.directory.domains() {
        for user in subject.directory.users(domain) {
            let Some(password) = user.params.param("vm-password") else { continue };
            let value = &*password.value;
            if value.eq_ignore_ascii_case(&user.id)
                || matches!(value, "" | "0000" | "1111" | "1234")
            {
                weak.push((user.id.to_string(), Some(password.place.clone())));
            }
        }
    }
    let Some((first, place)) = weak.first().cloned() else { return };
    let others = match weak.len() - 1 {
        0 => String::new(),
        n => format!(" (and {n} more)"),
    };
    let message =
        format!("the mailbox of user \"{first}\"{others} opens with a number that is tried first");
    let found = Diagnostic::warning("password-weak", message, place);
    subject.say(found.with_hint("let users change it by phone, or give each a number of its own"));
}

/// Programs that calls start.
fn host_commands(subject: &mut Subject<'_>) {
    let mut found = Vec::new();
    for one in uses::all(subject) {
        let app = one.application.to_ascii_lowercase();
        if HOST.contains(&app.as_str()) {
            found.push((one.data.to_owned(), one.place.clone()));
        }
    }
    let section = subject.tree.section("dialplan");
    for node in section.into_iter().flat_map(Node::descendants) {
        for attr in ["data", "field", "expression"] {
            let text = node.attr_or_empty(attr);
            let asked = super::api_references(text);
            if asked.into_iter().any(|api| HOST.contains(&api.to_ascii_lowercase().as_str())) {
                found.push((text.to_owned(), node.attr_place(attr)));
            }
        }
    }
    for (data, place) in found {
        let lower = data.to_ascii_lowercase();
        let far = FAR.iter().any(|name| lower.contains(name));
        let hint = "put what it does into a program on the Event Socket, or into mod_lua";
        let made = if far {
            let message =
                "calls run a program of this machine, with words of the caller in its line";
            Diagnostic::warning("host-command", message, Some(place))
        } else {
            Diagnostic::info("host-command", "calls run a program of this machine", Some(place))
        };
        subject.say(made.with_hint(hint));
    }
    let list = SwitchConf::read(subject.tree.configuration("switch.conf")).allowlist;
    if list.is_empty_by_mistake() {
        let message = "<interface-allowlist> has no <allow name=\"…\"/>: nothing is enforced";
        subject.say(Diagnostic::error("host-command", message, None));
    } else if !list.is_active() {
        let message = "no <interface-allowlist>: clients may use every application and command";
        let found = Diagnostic::info("host-command", message, None);
        subject.say(found.with_hint(
            "ferroswitch audit --interface-allowlist prints one for this configuration",
        ));
    }
}

/// Keys, recordings and the configuration itself: who may read them; and certificates.
fn files(subject: &mut Subject<'_>, globals: &Globals, options: &AuditOptions<'_>) {
    let folder = |name: &str| globals.get(name).unwrap_or_default().to_owned();
    let others = |path: &Path| (options.mode)(path).is_some_and(|mode| mode & 0o004 != 0);
    let certs = folder("certs_dir");
    for name in ["agent.pem", "wss.pem", "dtls-srtp.pem", "tls.pem"] {
        let path = Path::new(&certs).join(name);
        if others(&path) {
            let message =
                format!("every user of this machine can read the key in {}", path.display());
            let found = Diagnostic::error("secret-readable", message, None);
            subject.say(found.with_hint(format!("chmod o-rwx {}", path.display())));
        }
        let Some(ends) = (options.not_after)(&path) else { continue };
        let days = (ends - options.now) / 86_400;
        if ends < options.now {
            let message = format!("the certificate in {} has expired", path.display());
            subject.say(Diagnostic::error("certificate", message, None));
        } else if ends - options.now < SOON {
            let message = format!("the certificate in {} ends in {days} days", path.display());
            subject.say(Diagnostic::warning("certificate", message, None));
        }
    }
    for (variable, what, code) in [
        ("conf_dir", "the configuration, with its passwords", "secret-readable"),
        ("recordings_dir", "recordings", "recordings-readable"),
        ("storage_dir", "voicemail", "recordings-readable"),
    ] {
        let path = folder(variable);
        if !path.is_empty() && others(Path::new(&path)) {
            let message = format!("every user of this machine can read {what} in {path}");
            let found = Diagnostic::warning(code, message, None);
            subject.say(found.with_hint(format!("chmod o-rwx {path}")));
        }
    }
}

/// Commands that administering a switch needs.
const TO_OPERATE: [&str; 16] = [
    "audit",
    "fsctl",
    "hupall",
    "interface_allowlist_dump",
    "load",
    "module_exists",
    "reload",
    "reloadacl",
    "reloadxml",
    "show",
    "shutdown",
    "sofia",
    "status",
    "unload",
    "uptime",
    "version",
];

/// `<interface-allowlist>` filled with what a configuration names: applications of dialplans, menus and hooks, commands in
/// `${…}` and in hooks, and what it takes to operate the switch.
pub fn interface_allowlist(loaded: &Loaded, catalogue: &Catalogue) -> Option<String> {
    let tree = loaded.tree.as_ref()?;
    let mut wanted: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut add = |kind: Kind, name: &str| {
        let token = match kind {
            Kind::Application => "app",
            Kind::Api => "api",
            _ => return,
        };
        let name = name.trim().to_ascii_lowercase();
        if let Some(module) = catalogue.owner(kind, &name) {
            wanted.entry(module.to_owned()).or_default().insert(format!("{name}.{token}"));
        }
    };
    TO_OPERATE.iter().for_each(|name| add(Kind::Api, name));
    collect(tree, &loaded.globals, catalogue, &mut add);
    let mut out = String::from(
        "<!-- What this configuration names, and what it takes to operate the switch. Commands and applications that\n     \
         programs use over the Event Socket, AMQP or HTTP, and those in scripts, are not in it: add them. -->\n\
         <interface-allowlist>\n",
    );
    for (module, names) in wanted {
        out.push_str(&format!("  <!-- {module} -->\n"));
        for name in names {
            out.push_str(&format!("  <allow name=\"{module}.{name}\"/>\n"));
        }
    }
    out.push_str("</interface-allowlist>\n");
    Some(out)
}

fn collect(tree: &Tree, globals: &Globals, catalogue: &Catalogue, add: &mut dyn FnMut(Kind, &str)) {
    let subject = Subject {
        tree,
        globals,
        directory: Directory::default(),
        dialplan: Dialplan::default(),
        catalogue,
        file_exists: &|_| true,
        own_address: &|_| true,
        no_mp3: None,
        loaded: None,
        found: Vec::new(),
    };
    for one in uses::all(&subject) {
        add(Kind::Application, one.application);
        super::later(one.application, one.data)
            .into_iter()
            .for_each(|(kind, name)| add(kind, name));
        for leg in super::legs_to(one.data, "loopback") {
            if let Some(run) = leg.strip_prefix("app=") {
                add(Kind::Application, run.split([':', ' ']).next().unwrap_or_default());
            }
        }
    }
    // `${command(…)}` is written anywhere: in conditions, arguments, dial strings, phrases.
    for node in tree.root().descendants() {
        for attr in ["data", "field", "expression", "value", "param", "pattern"] {
            for api in super::api_references(node.attr_or_empty(attr)) {
                add(Kind::Api, api);
            }
        }
        for api in super::api_references(node.text()) {
            add(Kind::Api, api);
        }
        // Variables of the directory and of gateways may be hooks.
        if node.name() == "variable" {
            let set = format!("{}={}", node.attr_or_empty("name"), node.attr_or_empty("value"));
            super::later("set", &set).into_iter().for_each(|(kind, name)| add(kind, name));
        }
        // Phrases run applications, and timed jobs commands.
        if node.name() == "action" && node.attr("function") == Some("execute") {
            let data = node.attr_or_empty("data");
            add(Kind::Application, data.split(['(', ' ']).next().unwrap_or_default());
        }
    }
}
