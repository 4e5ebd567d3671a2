//! `enum.conf`.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use dialplan_xml::Node;
use dialplan_xml::config::settings as params;
use dialplan_xml::regex::{Pattern, substitute};

use crate::text::{int, is_true};

/// Name servers used at most.
pub(super) const MAX_SERVERS: usize = 10;
/// Where name servers listen.
const PORT: u16 = 53;

/// Which dial string leads to addresses of a service.
#[derive(Clone, Debug)]
pub(super) struct Route {
    pub(super) service: String,
    pattern: Pattern,
    replace: String,
}

/// What `enum.conf` says.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) root: String,
    pub(super) isn_root: String,
    pub(super) auto_reload: bool,
    /// For one try.
    pub(super) timeout: Duration,
    /// Tries per server.
    pub(super) tries: usize,
    /// Servers are asked in any order.
    pub(super) random: bool,
    /// None means those the machine is set up with.
    pub(super) servers: Vec<SocketAddr>,
    pub(super) routes: Vec<Route>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            root: "e164.org".into(),
            isn_root: "freenum.org".into(),
            auto_reload: false,
            timeout: Duration::from_secs(5),
            tries: 3,
            random: false,
            servers: Vec::new(),
            routes: Vec::new(),
        }
    }
}

impl Settings {
    /// From the `<configuration>` element; later settings win.
    pub(super) fn read(conf: Option<Node<'_>>) -> Self {
        let mut read = Self::default();
        for param in &params(conf) {
            let value = &*param.value;
            match param.name.to_ascii_lowercase().as_str() {
                "default-root" if !value.is_empty() => value.clone_into(&mut read.root),
                "default-isn-root" if !value.is_empty() => value.clone_into(&mut read.isn_root),
                "auto-reload" => read.auto_reload = is_true(value),
                "query-timeout" => {
                    let seconds = within(value, 1, 30, &param.place);
                    read.timeout = Duration::from_secs(seconds);
                }
                "query-timeout-ms" => {
                    let millis = within(value, 1, 30_000, &param.place);
                    read.timeout = Duration::from_millis(millis);
                }
                "query-timeout-retry" => {
                    let tries = within(value, 1, 10, &param.place);
                    read.tries = usize::try_from(tries).unwrap_or(1);
                }
                "random-nameserver" => read.random = is_true(value),
                "nameserver" | "use-server" => match server_address(value) {
                    Some(server) if read.servers.len() < MAX_SERVERS => read.servers.push(server),
                    Some(_) => tracing::warn!("{}: more than {MAX_SERVERS} servers", param.place),
                    None => tracing::error!(
                        "{}: {value} is not the address of a name server",
                        param.place
                    ),
                },
                _ => {}
            }
        }
        let routes = conf.and_then(|conf| conf.child("routes"));
        let routes = routes.into_iter().flat_map(|routes| routes.children_named("route"));
        read.routes = routes.filter_map(Route::read).collect();
        read
    }
}

/// A number brought into its range, with a word about it.
fn within(value: &str, least: i64, most: i64, place: &dialplan_xml::Place) -> u64 {
    let asked = int(value);
    let taken = asked.clamp(least, most);
    if taken != asked {
        tracing::warn!("{place}: {value} is out of range, {taken} is used");
    }
    taken.unsigned_abs()
}

impl Route {
    fn read(node: Node<'_>) -> Option<Self> {
        let [service, regex, replace] = ["service", "regex", "replace"].map(|name| node.attr(name));
        let (Some(service), Some(regex), Some(replace)) = (service, regex, replace) else {
            tracing::error!("{}: Invalid Route!", node.place());
            return None;
        };
        let pattern = Pattern::cached(regex)
            .inspect_err(|error| tracing::error!("{}: {error}", node.attr_place("regex")))
            .ok()?;
        Some(Self { service: service.to_owned(), pattern, replace: replace.to_owned() })
    }

    /// The dial string for an address; `None` if it is none of ours.
    pub(super) fn apply(&self, address: &str) -> Option<String> {
        let found = self.pattern.captures(address)?;
        let groups = self.pattern.source().contains('(');
        Some(if groups { substitute(&self.replace, &found) } else { self.replace.clone() })
    }
}

/// `ip`, or `ip:port` where a server listens elsewhere.
pub(super) fn server_address(text: &str) -> Option<SocketAddr> {
    let text = text.trim();
    let plain = text.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, PORT));
    plain.or_else(|_| text.parse()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(settings: &str) -> Settings {
        let xml = format!(
            "<document type=\"freeswitch/xml\"><section name=\"configuration\"><configuration name=\"enum.conf\">\
             {settings}</configuration></section></document>"
        );
        let tree = dialplan_xml::parse_raw(&xml, "test").tree.unwrap();
        Settings::read(tree.configuration("enum.conf"))
    }

    #[test]
    fn settings_are_read_and_later_ones_win() {
        let settings = read(
            r#"<settings>
              <param name="default-root" value="e164.test"/>
              <param name="Default-ISN-Root" value="isn.test"/>
              <param name="auto-reload" value="true"/>
              <param name="query-timeout" value="10"/>
              <param name="query-timeout-ms" value="200"/>
              <param name="query-timeout-retry" value="2"/>
              <param name="random-nameserver" value="yes"/>
              <param name="nameserver" value="192.0.2.1"/>
              <param name="use-server" value="192.0.2.2:5353"/>
              <param name="nameserver" value="2001:db8::1"/>
              <param name="nameserver" value="[2001:db8::2]:54"/>
              <param name="nameserver" value="x.x.x.x"/>
            </settings>"#,
        );
        assert_eq!((&*settings.root, &*settings.isn_root), ("e164.test", "isn.test"));
        assert_eq!((settings.timeout, settings.tries), (Duration::from_millis(200), 2));
        assert!(settings.auto_reload && settings.random);
        let servers: Vec<_> = settings.servers.iter().map(ToString::to_string).collect();
        let wanted = ["192.0.2.1:53", "192.0.2.2:5353", "[2001:db8::1]:53", "[2001:db8::2]:54"];
        assert_eq!(servers, wanted);
    }

    #[test]
    fn what_cannot_be_is_brought_into_range() {
        let settings = read(
            r#"<settings>
              <param name="default-root" value=""/>
              <param name="query-timeout" value="99999999999"/>
              <param name="query-timeout-retry" value="never"/>
            </settings>
            <routes><route service="a"/><route service="a" regex="(" replace="b"/></routes>"#,
        );
        assert_eq!(settings.root, "e164.org");
        assert_eq!((settings.timeout, settings.tries), (Duration::from_secs(30), 1));
        assert!(settings.routes.is_empty());
    }
}
