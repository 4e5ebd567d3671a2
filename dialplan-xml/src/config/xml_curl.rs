//! Lookups over HTTP.

use super::Params;
use crate::text::{is_true, leading_integer};
use crate::{Node, Place};

/// `xml_curl.conf`.
#[derive(Clone, Debug, Default)]
pub struct XmlCurlConf {
    /// Usable bindings (those with a `gateway-url`) in document order.
    pub bindings: Vec<XmlCurlBinding>,
}

/// One `<binding>`.
#[derive(Clone)]
pub struct XmlCurlBinding {
    /// Its name, for logs.
    pub name: String,
    /// `gateway-url`.
    pub url: String,
    /// Sections it answers for, as written; `None` for all.
    pub sections: Option<String>,
    /// `gateway-credentials`, `user:pass`.
    pub credentials: Option<String>,
    /// `auth-scheme`; `basic` when absent.
    pub auth_scheme: String,
    /// `method` when it is not a POST form: parameters go into the URL then.
    pub method: Option<String>,
    /// `timeout` in seconds; 0 for none.
    pub timeout: u32,
    /// `enable-post-var`: only these headers are sent. Empty for all.
    pub post_vars: Vec<String>,
    /// `use-dynamic-url`: `${…}` in the URL is expanded.
    pub dynamic_url: bool,
    /// `enable-cacert-check`.
    pub verify_certificate: bool,
    /// `enable-ssl-verifyhost`.
    pub verify_host: bool,
    /// `response-max-bytes`.
    pub response_max_bytes: usize,
    /// Everything as written.
    pub params: Params,
    /// Where it is written.
    pub place: Place,
}

impl XmlCurlConf {
    /// Reads the element; see [`crate::config`].
    pub fn read(conf: Option<Node<'_>>) -> Self {
        let list = conf.and_then(|c| c.child("bindings"));
        let bindings = list.into_iter().flat_map(|l| l.children_named("binding"));
        Self { bindings: bindings.filter_map(XmlCurlBinding::read).collect() }
    }
}

/// Words of a section mask and the section each means.
const MASK: [(&str, &str); 6] = [
    ("config", "configuration"),
    ("directory", "directory"),
    ("dialplan", "dialplan"),
    ("languages", "languages"),
    ("chatplan", "chatplan"),
    ("channels", "channels"),
];

impl XmlCurlBinding {
    fn read(node: Node<'_>) -> Option<Self> {
        let params = Params::read(Some(node), "param");
        let named =
            |p: &Node<'_>| p.attr("name").is_some_and(|n| n.eq_ignore_ascii_case("gateway-url"));
        let url = node.children_named("param").filter(named).last()?;
        let last = |name| params.last(name).filter(|v| !v.is_empty()).map(str::to_owned);
        let flag = |name| params.last(name).is_some_and(is_true);
        let number = |name| params.last(name).map(leading_integer);
        Some(Self {
            name: node.attr("name").unwrap_or("N/A").to_owned(),
            url: url.attr("value").filter(|u| !u.is_empty())?.to_owned(),
            sections: url.attr("bindings").filter(|b| !b.is_empty()).map(str::to_owned),
            credentials: last("gateway-credentials"),
            auth_scheme: last("auth-scheme").unwrap_or_else(|| "basic".to_owned()),
            method: last("method").filter(|m| !m.eq_ignore_ascii_case("post")),
            timeout: number("timeout").and_then(|t| u32::try_from(t).ok()).unwrap_or(0),
            post_vars: params.all("enable-post-var").map(str::to_owned).collect(),
            dynamic_url: flag("use-dynamic-url"),
            verify_certificate: flag("enable-cacert-check"),
            verify_host: flag("enable-ssl-verifyhost"),
            response_max_bytes: number("response-max-bytes")
                .and_then(|n| usize::try_from(n).ok())
                .filter(|&n| n > 0)
                .unwrap_or(1 << 20),
            place: node.place(),
            params,
        })
    }

    /// Whether lookups in a section go to this binding: its mask is empty or names the section.
    /// Words are found anywhere in the mask; `phrases` can only be reached without a mask.
    pub fn serves(&self, section: &str) -> bool {
        let Some(mask) = &self.sections else { return true };
        let mask = mask.to_ascii_lowercase();
        let named = MASK.iter().filter(|(word, _)| mask.contains(word));
        let mut sections = named.map(|(_, section)| *section).peekable();
        sections.peek().is_none() || sections.any(|s| s == section)
    }
}

/// Without credentials.
impl std::fmt::Debug for XmlCurlBinding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("XmlCurlBinding")
            .field("name", &self.name)
            .field("sections", &self.sections)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}
