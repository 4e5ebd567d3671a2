//! `cdr_csv.conf`, `json_cdr.conf`, `xml_cdr.conf`, `cdr_sqlite.conf`.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use dialplan_xml::Node;
use dialplan_xml::config::settings as params;

use switch_core::text::{int, is_true};

/// URLs used at most (the reference's bound).
const MAX_URLS: usize = 20;
/// Between two tries where `retries` is set and `delay` is not.
const DELAY: Duration = Duration::from_secs(5);
/// For one request where `timeout` does not say. The reference has no timeout then.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Which legs a template module writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Legs {
    pub(crate) a: bool,
    pub(crate) b: bool,
}

impl Legs {
    pub(crate) fn read(text: &str) -> Self {
        match text {
            "b" => Self { a: false, b: true },
            "ab" | "ba" => Self { a: true, b: true },
            _ => Self { a: true, b: false },
        }
    }

    pub(crate) fn want(self, a_leg: bool) -> bool {
        if a_leg { self.a } else { self.b }
    }
}

/// `cdr_csv.conf` and `cdr_sqlite.conf`.
#[derive(Clone, Debug)]
pub(super) struct Templates {
    pub(super) legs: Legs,
    /// Folder of the files (`cdr-csv` in `log-base`), or name of the database.
    pub(super) base: PathBuf,
    pub(super) table: String,
    pub(super) rotate_on_hup: bool,
    pub(super) master_only: bool,
    default: String,
    templates: HashMap<String, String>,
}

impl Templates {
    pub(super) fn read(conf: Option<Node<'_>>, log_dir: &Path) -> Self {
        let mut read = Self {
            legs: Legs { a: true, b: false },
            base: log_dir.join("cdr-csv"),
            table: "cdr".into(),
            rotate_on_hup: false,
            master_only: false,
            default: "default".into(),
            templates: HashMap::from([("default".to_owned(), records::csv::BUILT_IN.to_owned())]),
        };
        for param in &params(conf) {
            let value = &*param.value;
            match param.name.to_ascii_lowercase().as_str() {
                "legs" => read.legs = Legs::read(value),
                "log-base" if !value.is_empty() => read.base = Path::new(value).join("cdr-csv"),
                "rotate-on-hup" => read.rotate_on_hup = is_true(value),
                "master-file-only" => read.master_only = is_true(value),
                "default-template" if !value.is_empty() => value.clone_into(&mut read.default),
                "db-name" if !value.is_empty() => read.base = PathBuf::from(value),
                "db-table" if !value.is_empty() => value.clone_into(&mut read.table),
                _ => {}
            }
        }
        let templates = conf.and_then(|conf| conf.child("templates"));
        for node in templates.into_iter().flat_map(|list| list.children_named("template")) {
            if let Some(name) = node.attr("name") {
                read.templates.insert(name.to_owned(), node.text().trim().to_owned());
            }
        }
        read
    }

    /// The template a call is written with by default.
    pub(super) fn default_template(&self) -> &str {
        self.templates.get(&self.default).map_or(records::csv::NO_TEMPLATE, String::as_str)
    }

    /// The template an account code names, or the default one.
    pub(super) fn of_account(&self, account: &str) -> &str {
        self.templates.get(account).map_or_else(|| self.default_template(), String::as_str)
    }
}

/// How a document is put into a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    /// A form field `cdr`, URL-encoded.
    Form,
    /// A form field `cdr`, base64.
    Base64,
    /// As it is, as `text/xml`.
    TextXml,
    /// As it is (JSON), or as a form field that is not encoded (XML).
    Plain,
    /// As it is, as `application/json` (mod_format_cdr).
    Json,
}

/// `json_cdr.conf` and `xml_cdr.conf`.
#[derive(Clone, Debug)]
pub(super) struct Post {
    pub(super) urls: Vec<String>,
    pub(super) credentials: Option<(String, String)>,
    pub(super) scheme: String,
    pub(super) log_dir: Option<PathBuf>,
    pub(super) error_dirs: Vec<PathBuf>,
    pub(super) http_and_disk: bool,
    pub(super) errors_to_disk: bool,
    pub(super) b_leg: bool,
    pub(super) prefix_a_leg: bool,
    pub(super) encoding: Encoding,
    pub(super) encode_values: bool,
    pub(super) retries: u32,
    pub(super) delay: Duration,
    pub(super) timeout: Duration,
    pub(super) check_authority: bool,
    pub(super) check_name: bool,
    pub(super) authorities: Option<String>,
    pub(super) certificate: Option<String>,
    pub(super) key: Option<String>,
    pub(super) version: Option<String>,
    /// The document is JSON, else XML.
    pub(super) json: bool,
    /// What a document's file is called, with variables (mod_format_cdr).
    pub(super) log_file: Option<String>,
    /// SIGHUP begins a new folder (mod_format_cdr).
    pub(super) rotate: bool,
}

impl Post {
    /// `own` names the folder below the log folder where the module files documents by default.
    pub(super) fn read(conf: Option<Node<'_>>, log_dir: &Path, own: &str) -> Self {
        let json = own == "json_cdr";
        let of_format = own == "format_cdr";
        let mut read = Self {
            urls: Vec::new(),
            credentials: None,
            scheme: "basic".into(),
            log_dir: None,
            error_dirs: Vec::new(),
            http_and_disk: false,
            errors_to_disk: true,
            b_leg: true,
            prefix_a_leg: false,
            encoding: if json || of_format { Encoding::Plain } else { Encoding::Form },
            encode_values: !of_format,
            retries: 0,
            delay: Duration::ZERO,
            timeout: TIMEOUT,
            check_authority: false,
            check_name: false,
            authorities: None,
            certificate: None,
            key: None,
            version: None,
            json,
            log_file: None,
            rotate: false,
        };
        let folder = |value: &str| match value {
            "" => log_dir.join(own),
            path => log_dir.join(path),
        };
        let seconds = |value: &str| Duration::from_secs(u64::try_from(int(value)).unwrap_or(0));
        for param in &params(conf) {
            let value = &*param.value;
            let text = || (!value.is_empty()).then(|| value.to_owned());
            match param.name.to_ascii_lowercase().as_str() {
                "url" if !value.is_empty() => {
                    if read.urls.len() < MAX_URLS {
                        read.urls.push(value.to_owned());
                    } else {
                        tracing::error!("{}: more than {MAX_URLS} addresses", param.place);
                    }
                }
                "cred" => {
                    let pair = value.split_once(':').unwrap_or((value, ""));
                    read.credentials = text().map(|_| (pair.0.to_owned(), pair.1.to_owned()));
                }
                "auth-scheme" => read.scheme = value.to_ascii_lowercase(),
                "log-dir" => read.log_dir = Some(folder(value)),
                "err-log-dir" => read.error_dirs.push(folder(value)),
                "log-http-and-disk" => read.http_and_disk = is_true(value),
                "log-errors-to-disk" => read.errors_to_disk = is_true(value),
                "log-b-leg" => read.b_leg = is_true(value),
                "prefix-a-leg" => read.prefix_a_leg = is_true(value),
                "encode" if of_format && value.eq_ignore_ascii_case("appljson") => {
                    read.encoding = Encoding::Json;
                }
                "encode" => read.encoding = encoding(value),
                "format" if of_format => read.json = value.eq_ignore_ascii_case("json"),
                "log-file" if of_format => read.log_file = text(),
                "rotate" if of_format => read.rotate = is_true(value),
                "encode-values" => read.encode_values = is_true(value),
                "retries" => read.retries = u32::try_from(int(value)).unwrap_or(0).min(100),
                "delay" => read.delay = seconds(value),
                "timeout" if int(value) > 0 => read.timeout = seconds(value),
                "enable-cacert-check" => read.check_authority = is_true(value),
                "enable-ssl-verifyhost" => read.check_name = is_true(value),
                "ssl-cacert-file" => read.authorities = text(),
                "ssl-cert-path" => read.certificate = text(),
                "ssl-key-path" => read.key = text(),
                "ssl-version" => read.version = text(),
                _ => {}
            }
        }
        if read.retries > 0 && read.delay.is_zero() {
            read.delay = DELAY;
        }
        if of_format {
            // Values of variables are encoded on request only, and only what has a folder is filed.
            if read.error_dirs.is_empty() {
                read.error_dirs.push(read.log_dir.clone().unwrap_or_else(|| log_dir.join(own)));
            }
            return read;
        }
        let filed = read.log_dir.get_or_insert_with(|| log_dir.join(own)).clone();
        if read.error_dirs.is_empty() {
            read.error_dirs.push(filed);
        }
        read
    }
}

fn encoding(value: &str) -> Encoding {
    match value.to_ascii_lowercase().as_str() {
        "base64" => Encoding::Base64,
        "textxml" => Encoding::TextXml,
        other if is_true(other) => Encoding::Form,
        _ => Encoding::Plain,
    }
}

#[cfg(test)]
mod tests {
    use dialplan_xml::Tree;

    use super::*;

    fn tree(name: &str, inner: &str) -> Tree {
        let text = format!(
            "<document type=\"freeswitch/xml\"><section name=\"configuration\"><configuration name=\"{name}\">{inner}</configuration></section></document>"
        );
        dialplan_xml::parse_raw(&text, "test").tree.unwrap()
    }

    #[test]
    fn templates_by_account_by_default_and_where_there_is_none() {
        let tree = tree(
            "cdr_csv.conf",
            "<settings><param name=\"legs\" value=\"ab\"/><param name=\"log-base\" value=\"/x\"/>\
             <param name=\"default-template\" value=\"plain\"/></settings>\
             <templates><template name=\"plain\">\"${uuid}\"</template><template name=\"short\">${a}</template></templates>",
        );
        let read = Templates::read(tree.configuration("cdr_csv.conf"), Path::new("/log"));
        assert_eq!(read.base, Path::new("/x/cdr-csv"));
        assert_eq!(read.default_template(), "\"${uuid}\"");
        assert_eq!(read.of_account("short"), "${a}");
        assert_eq!(read.of_account("1000"), "\"${uuid}\"");
        assert!(read.legs.want(true) && read.legs.want(false));
        let none = Templates::read(None, Path::new("/log"));
        assert_eq!(none.default_template(), records::csv::BUILT_IN);
        assert!(none.legs.want(true) && !none.legs.want(false));
    }

    #[test]
    fn where_documents_go_and_how() {
        let tree = tree(
            "json_cdr.conf",
            "<settings><param name=\"url\" value=\"http://a/\"/><param name=\"url\" value=\"http://b/\"/>\
             <param name=\"cred\" value=\"user:pass\"/><param name=\"retries\" value=\"2\"/>\
             <param name=\"log-dir\" value=\"files\"/><param name=\"encode\" value=\"base64\"/></settings>",
        );
        let read = Post::read(tree.configuration("json_cdr.conf"), Path::new("/log"), "json_cdr");
        assert_eq!(read.urls, ["http://a/", "http://b/"]);
        assert_eq!(read.credentials, Some(("user".into(), "pass".into())));
        assert_eq!((read.retries, read.delay), (2, DELAY));
        assert_eq!(read.log_dir.as_deref(), Some(Path::new("/log/files")));
        assert_eq!(read.error_dirs, [Path::new("/log/files")]);
        assert_eq!(read.encoding, Encoding::Base64);
        let tree = self::tree(
            "format_cdr.conf",
            "<settings><param name=\"format\" value=\"JSON\"/><param name=\"encode\" value=\"appljson\"/>\
             <param name=\"log-file\" value=\"${uuid}.json\"/><param name=\"rotate\" value=\"true\"/></settings>",
        );
        let conf = tree.configuration("format_cdr.conf");
        let read = Post::read(conf, Path::new("/log"), "format_cdr");
        assert!(read.json && read.rotate && !read.encode_values);
        assert_eq!((read.encoding, read.log_dir), (Encoding::Json, None));
        assert_eq!(read.error_dirs, [Path::new("/log/format_cdr")]);
        let xml = Post::read(None, Path::new("/log"), "xml_cdr");
        assert_eq!(xml.encoding, Encoding::Form);
        assert_eq!(xml.log_dir.as_deref(), Some(Path::new("/log/xml_cdr")));
    }
}
