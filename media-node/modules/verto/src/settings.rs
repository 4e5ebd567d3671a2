//! `verto.conf`, read once when the module is loaded.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use base::text;
use dialplan_xml::Node;
use dialplan_xml::config::Params;
use leg_media::{DtmfType, MediaSettings};

/// Listeners of one profile, as in the reference.
const MOST_BINDS: usize = 25;

/// What is wrong with the file.
#[derive(Debug, thiserror::Error)]
#[error("{place}: profile {profile}: {name}: {value} is no {wanted}")]
pub(crate) struct SettingsError {
    place: String,
    profile: String,
    name: String,
    value: String,
    wanted: &'static str,
}

/// What all profiles share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Shared {
    /// Messages go to the log from 1 on.
    pub(crate) debug: u8,
    pub(crate) enable_presence: bool,
    pub(crate) enable_fs_events: bool,
    pub(crate) send_password: bool,
    /// How long a call waits for its browser to come back.
    pub(crate) detach_timeout: Duration,
}

impl Default for Shared {
    fn default() -> Self {
        Self {
            debug: 0,
            enable_presence: true,
            enable_fs_events: false,
            send_password: false,
            detach_timeout: Duration::from_secs(120),
        }
    }
}

/// Who is let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum UserAuth {
    /// No authentication: neither `userauth` nor `root-password` is set.
    Off,
    /// `root` only.
    RootOnly,
    /// Users of the directory, by `user@domain`.
    Login,
    /// Users of this domain.
    Domain(String),
}

/// One listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Bind {
    pub(crate) address: SocketAddr,
    pub(crate) secure: bool,
}

impl Bind {
    /// As `verto status` shows it.
    pub(crate) fn url(&self) -> String {
        format!("{}:{}", if self.secure { "wss" } else { "ws" }, self.address)
    }
}

/// Files of the certificate; empty paths where the file names none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct CertificatePaths {
    pub(crate) cert: PathBuf,
    pub(crate) key: PathBuf,
    pub(crate) chain: PathBuf,
}

/// Where the address comes from that is shown to peers outside.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum External {
    /// There is none.
    #[default]
    None,
    /// This one.
    Fixed(IpAddr),
    /// That of a name.
    Host(String),
    /// The one a server sees us at.
    Stun(String),
}

/// Bounds on clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Clients at once; of more, the newest is closed unread.
    pub(crate) connections: usize,
    /// Clients of one address that have not logged in.
    pub(crate) strangers: usize,
    /// How long a client may take to log in.
    pub(crate) login: Duration,
    /// Messages a second a client may send for long.
    pub(crate) rate: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { connections: 10_000, strangers: 64, login: Duration::from_secs(30), rate: 100 }
    }
}

/// One profile.
#[derive(Clone, Debug)]
pub(crate) struct ProfileSettings {
    pub(crate) name: String,
    pub(crate) binds: Vec<Bind>,
    pub(crate) certificate: CertificatePaths,
    pub(crate) user_auth: UserAuth,
    pub(crate) root_password: Option<String>,
    pub(crate) chop_domain: bool,
    pub(crate) register_domain: Option<String>,
    pub(crate) blind_reg: bool,
    pub(crate) send_password: bool,
    pub(crate) context: String,
    pub(crate) dialplan: String,
    pub(crate) outbound_codecs: String,
    pub(crate) local_network: String,
    pub(crate) connection_acls: Vec<String>,
    pub(crate) rtp_ips: Vec<IpAddr>,
    pub(crate) external: External,
    pub(crate) debug: u8,
    pub(crate) limits: Limits,
    pub(crate) media: Arc<MediaSettings>,
}

/// Reads `verto.conf`. Profiles without a usable listener are left out, as in the reference.
///
/// # Errors
/// The first value that cannot be used.
pub(crate) fn read(
    conf: Option<Node<'_>>,
) -> Result<(Shared, Vec<ProfileSettings>), SettingsError> {
    let shared = shared(&dialplan_xml::config::settings(conf));
    let mut profiles: Vec<ProfileSettings> = Vec::new();
    let nodes = conf.and_then(|conf| conf.child("profiles")).into_iter();
    for node in nodes.flat_map(|profiles| profiles.children_named("profile")) {
        let Some(name) = node.attr("name").filter(|name| !name.is_empty()) else {
            tracing::error!("{}: a profile has no name", node.place());
            continue;
        };
        if profiles.iter().any(|profile| profile.name == name) {
            tracing::error!("Profile {name} already exists");
            continue;
        }
        let profile = ProfileSettings::read(name, node)?;
        if profile.binds.is_empty() {
            tracing::error!("{name}: no usable bind-local");
            continue;
        }
        profiles.push(profile);
    }
    Ok((shared, profiles))
}

fn shared(params: &Params) -> Shared {
    let default = Shared::default();
    let on = |name: &str, default: bool| params.last(name).map_or(default, text::is_true);
    let timeout = params.last("detach-timeout-sec").map_or(0, text::int);
    Shared {
        debug: debug(params),
        enable_presence: on("enable-presence", default.enable_presence),
        enable_fs_events: on("enable-fs-events", default.enable_fs_events),
        send_password: on("send-auth-password", default.send_password),
        detach_timeout: u64::try_from(timeout)
            .ok()
            .filter(|seconds| (1..=86_400).contains(seconds))
            .map_or(default.detach_timeout, Duration::from_secs),
    }
}

fn debug(params: &Params) -> u8 {
    params.last("debug").map_or(0, |value| u8::try_from(text::int(value).clamp(0, 10)).unwrap_or(0))
}

impl ProfileSettings {
    fn read(name: &str, node: Node<'_>) -> Result<Self, SettingsError> {
        let params = Params::read(Some(node), "param");
        let wrong = |of: &str, value: &str, wanted| SettingsError {
            place: params
                .iter()
                .find(|param| param.name.eq_ignore_ascii_case(of) && &*param.value == value)
                .map(|param| param.place.to_string())
                .unwrap_or_default(),
            profile: name.to_owned(),
            name: of.to_owned(),
            value: value.to_owned(),
            wanted,
        };
        let get = |name: &str| params.last(name).filter(|value| !value.is_empty());
        let owned = |name: &str| get(name).map(str::to_owned);
        let on = |name: &str, default: bool| get(name).map_or(default, text::is_true);
        let path = |name: &str| get(name).map(PathBuf::from);
        let combined = path("secure-combined").unwrap_or_default();
        let rtp_ips = params
            .all("rtp-ip")
            .filter(|value| !value.is_empty())
            .map(|value| address(value).ok_or_else(|| wrong("rtp-ip", value, "address")))
            .collect::<Result<Vec<_>, _>>()?;
        let outbound_codecs = owned("outbound-codec-string").unwrap_or_else(|| "opus,vp8".into());
        let inbound_codecs =
            owned("inbound-codec-string").unwrap_or_else(|| outbound_codecs.clone());
        let acls = |name: &str| -> Vec<String> {
            params.all(name).filter(|list| !list.is_empty()).map(str::to_owned).collect()
        };
        let relay = get("turn-server").filter(|uri| !uri.is_empty()).map(|uri| {
            let value = |name: &str| get(name).unwrap_or_default();
            let authorities = get("turn-ca-file").filter(|file| !file.is_empty());
            let (user, password) = (value("turn-username"), value("turn-password"));
            leg_media::turn_server(uri, user, password, authorities)
                .map_err(|wanted| wrong("turn-server", uri, wanted))
        });
        let relay = relay.transpose()?;
        let root_password = owned("root-password");
        let external = get("ext-rtp-ip").map_or(Ok(External::None), |value| {
            external(value).ok_or_else(|| wrong("ext-rtp-ip", value, "address"))
        })?;
        Ok(Self {
            name: name.to_owned(),
            binds: binds(name, node),
            certificate: CertificatePaths {
                cert: path("secure-cert").unwrap_or_else(|| combined.clone()),
                key: path("secure-key").unwrap_or_else(|| combined.clone()),
                chain: path("secure-chain").unwrap_or_default(),
            },
            user_auth: user_auth(get("userauth"), root_password.is_some()),
            root_password,
            chop_domain: on("chop-domain", true),
            register_domain: owned("force-register-domain"),
            blind_reg: on("blind-reg", false),
            send_password: on("send-auth-password", false),
            context: owned("context").unwrap_or_else(|| "default".into()),
            dialplan: owned("dialplan").unwrap_or_else(|| "XML".into()),
            outbound_codecs,
            local_network: owned("local-network").unwrap_or_else(|| "localnet.auto".into()),
            connection_acls: acls("apply-connection-acl"),
            rtp_ips,
            external,
            debug: debug(&params),
            limits: limits(&params, wrong)?,
            media: Arc::new(MediaSettings {
                inbound_codecs,
                te_pt: 101,
                dtmf_type: DtmfType::Rfc2833,
                // Browsers press keys in messages; their events are taken where they offer them.
                offers_events: false,
                suppress_cng: true,
                username: "FreeSWITCH".into(),
                rtp_timer_name: owned("timer-name").unwrap_or_else(|| "soft".into()),
                rtp_timeout: None,
                rtp_hold_timeout: None,
                rtcp_interval: None,
                rtp_auto_adjust: true,
                digit_delay_ms: 40,
                candidate_acls: acls("apply-candidate-acl"),
                relay,
            }),
        })
    }
}

fn limits(
    params: &Params,
    wrong: impl Fn(&str, &str, &'static str) -> SettingsError,
) -> Result<Limits, SettingsError> {
    let mut limits = Limits::default();
    for param in params {
        let (name, value) = (&*param.name, &*param.value);
        let number = || {
            let number = value.parse::<u32>().ok().filter(|number| *number > 0);
            number.ok_or_else(|| wrong(name, value, "usable number"))
        };
        match name.to_ascii_lowercase().as_str() {
            "max-connections" => limits.connections = number()? as usize,
            "max-strangers-per-address" => limits.strangers = number()? as usize,
            "login-timeout-sec" => limits.login = Duration::from_secs(number()?.into()),
            "max-messages-per-second" => limits.rate = number()?,
            _ => {}
        }
    }
    Ok(limits)
}

fn user_auth(value: Option<&str>, root: bool) -> UserAuth {
    match value {
        Some(value) if value.starts_with('@') => {
            UserAuth::Domain(value.trim_start_matches('@').to_owned())
        }
        Some(value) if text::is_true(value) => UserAuth::Login,
        // Anything else refuses every login.
        Some(_) => UserAuth::RootOnly,
        None if root => UserAuth::RootOnly,
        None => UserAuth::Off,
    }
}

/// The listeners. Addresses of other families than this machine's are found out when they are bound.
fn binds(profile: &str, node: Node<'_>) -> Vec<Bind> {
    let mut binds = Vec::new();
    for param in node.children_named("param") {
        if !param.attr_or_empty("name").eq_ignore_ascii_case("bind-local") {
            continue;
        }
        let value = param.attr_or_empty("value");
        let secure = text::is_true(param.attr_or_empty("secure"));
        match value.parse::<SocketAddr>() {
            Ok(address) if binds.len() < MOST_BINDS => binds.push(Bind { address, secure }),
            Ok(_) => tracing::error!("{profile}: Max Bindings Reached!"),
            Err(_) => {
                tracing::error!("{}: {profile}: bind-local is no address: {value}", param.place())
            }
        }
    }
    binds
}

fn address(text: &str) -> Option<IpAddr> {
    text.trim_matches(['[', ']']).parse().ok()
}

fn external(value: &str) -> Option<External> {
    let after = |prefix: &str| {
        let (start, rest) = value.split_at_checked(prefix.len())?;
        start.eq_ignore_ascii_case(prefix).then(|| rest.to_owned())
    };
    if value.eq_ignore_ascii_case("auto-nat") {
        return Some(External::None);
    }
    after("stun:").map(External::Stun).or_else(|| after("host:").map(External::Host)).or_else(
        || address(&after("autonat:").unwrap_or_else(|| value.to_owned())).map(External::Fixed),
    )
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn read_text(body: &str) -> Result<(Shared, Vec<ProfileSettings>), SettingsError> {
        let text = format!(
            "<document><section name=\"configuration\"><configuration name=\"verto.conf\">{body}\
             </configuration></section></document>"
        );
        let tree = dialplan_xml::parse_raw(&text, "test").tree.expect("a tree");
        read(tree.configuration("verto.conf"))
    }

    #[test]
    fn the_shipped_file_of_the_reference_is_understood() {
        let (shared, profiles) = read_text(
            r#"<settings><param name="debug" value="0"/><param name="detach-timeout-sec" value="7"/></settings>
            <profiles><profile name="default-v4">
              <param name="bind-local" value="127.0.0.1:8081"/>
              <param name="bind-local" value="127.0.0.1:8082" secure="true"/>
              <param name="bind-local" value="[::1]:8081"/>
              <param name="force-register-domain" value="a.test"/>
              <param name="secure-combined" value="/c/wss.pem"/><param name="secure-chain" value="/c/wss.pem"/>
              <param name="userauth" value="true"/><param name="blind-reg" value="false"/>
              <param name="rtp-ip" value="10.0.0.1"/><param name="ext-rtp-ip" value="stun:s.test"/>
              <param name="apply-candidate-acl" value="wan_v4.auto"/>
              <param name="apply-candidate-acl" value="any_v4.auto"/>
            </profile><profile name="nowhere"/></profiles>"#,
        )
        .expect("settings");
        assert_eq!(shared.detach_timeout, Duration::from_secs(7));
        let [profile] = &profiles[..] else { panic!("{profiles:?}") };
        let urls: Vec<_> = profile.binds.iter().map(Bind::url).collect();
        assert_eq!(urls, ["ws:127.0.0.1:8081", "wss:127.0.0.1:8082", "ws:[::1]:8081"]);
        assert_eq!(profile.user_auth, UserAuth::Login);
        assert_eq!(profile.external, External::Stun("s.test".into()));
        assert_eq!(profile.certificate.key, PathBuf::from("/c/wss.pem"));
        assert_eq!(profile.media.inbound_codecs, "opus,vp8");
        assert_eq!(profile.media.candidate_acls.len(), 2);
    }

    #[test]
    fn a_value_that_cannot_be_used_is_named() {
        let profile = |param: &str| {
            read_text(&format!(
                "<profiles><profile name=\"p\"><param name=\"bind-local\" value=\"127.0.0.1:1\"/>{param}</profile></profiles>"
            ))
        };
        let error = profile(r#"<param name="rtp-ip" value="here"/>"#).expect_err("no address");
        assert!(error.to_string().contains("profile p: rtp-ip: here is no address"), "{error}");
        assert!(profile(r#"<param name="max-connections" value="0"/>"#).is_err());
        let (_, open) = profile("").expect("settings");
        assert_eq!(open[0].user_auth, UserAuth::Off);
        let (_, closed) = profile(r#"<param name="userauth" value="no"/>"#).expect("settings");
        assert_eq!(closed[0].user_auth, UserAuth::RootOnly);
    }
}
