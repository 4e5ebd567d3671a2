//! Profiles of `voicemail.conf`: the keys, bounds and texts a mailbox works with.

use std::path::PathBuf;
use std::time::Duration;

use dialplan_xml::Node;
use dialplan_xml::config::{Param, Params};
use switch_core::text::{int, is_number, is_true};

/// When the date of a message is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DateAnnouncement {
    First,
    Last,
    Never,
}

/// Headers and body of a mail, with `${…}` to be filled in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Template {
    pub(crate) headers: String,
    pub(crate) body: Option<String>,
}

/// The form messages get of one that is wished for: those that cannot be written are refused, and `wav` is written.
pub(crate) fn writable(form: &str, who: &str) -> String {
    let form = form.replace(['/', '\\'], "_");
    match media::record::check_form(std::path::Path::new(&format!("message.{form}"))) {
        Ok(()) => form,
        Err(error) => {
            tracing::error!("Voicemail of {who}: {error}: messages are written as wav");
            "wav".to_owned()
        }
    }
}

/// One profile.
#[derive(Clone, Debug)]
pub(crate) struct Profile {
    pub(crate) name: String,
    pub(crate) terminator_key: String,
    pub(crate) play_new_key: String,
    pub(crate) play_saved_key: String,
    pub(crate) new_lifo: bool,
    pub(crate) saved_lifo: bool,
    pub(crate) login_keys: String,
    pub(crate) main_menu_key: String,
    pub(crate) skip_greet_key: String,
    pub(crate) skip_info_key: String,
    pub(crate) config_menu_key: String,
    pub(crate) record_greeting_key: String,
    pub(crate) choose_greeting_key: String,
    pub(crate) record_name_key: String,
    pub(crate) change_pass_key: String,
    pub(crate) record_file_key: String,
    pub(crate) listen_file_key: String,
    pub(crate) save_file_key: String,
    pub(crate) delete_file_key: String,
    pub(crate) email_key: String,
    pub(crate) callback_key: String,
    pub(crate) pause_key: String,
    pub(crate) restart_key: String,
    pub(crate) ff_key: String,
    pub(crate) rew_key: String,
    pub(crate) previous_key: String,
    pub(crate) next_key: String,
    pub(crate) repeat_key: String,
    pub(crate) urgent_key: String,
    pub(crate) operator_key: String,
    pub(crate) operator_extension: String,
    pub(crate) vmain_key: String,
    pub(crate) vmain_extension: String,
    pub(crate) forward_key: String,
    pub(crate) prepend_key: String,
    pub(crate) file_extension: String,
    pub(crate) record_title: String,
    pub(crate) record_comment: String,
    pub(crate) record_copyright: String,
    pub(crate) tone_spec: String,
    pub(crate) storage_dir: String,
    pub(crate) storage_dir_shared: bool,
    pub(crate) callback_dialplan: String,
    pub(crate) callback_context: String,
    pub(crate) date_announcement: DateAnnouncement,
    pub(crate) convert_cmd: String,
    pub(crate) convert_ext: String,
    pub(crate) digit_timeout: Duration,
    pub(crate) max_login_attempts: i64,
    pub(crate) min_record_len: i64,
    pub(crate) max_record_len: i64,
    pub(crate) max_retries: i64,
    pub(crate) record_threshold: u32,
    pub(crate) record_silence_hits: u32,
    pub(crate) record_sample_rate: Option<u32>,
    pub(crate) db_password_override: bool,
    pub(crate) allow_empty_password: bool,
    pub(crate) auto_playback: bool,
    pub(crate) full_header: bool,
    pub(crate) mail: Template,
    pub(crate) notify: Template,
    pub(crate) email_from: String,
    pub(crate) date_format: String,
    /// Files the templates are read from, if any.
    pub(crate) template_file: Option<PathBuf>,
    pub(crate) notify_template_file: Option<PathBuf>,
    /// Data source name of the messages.
    pub(crate) database: String,
}

/// Rates a file may have.
const RATES: [i64; 9] = [8000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000];

/// Reads the parameters of one element; says which values cannot be used.
struct Reader<'p> {
    profile: &'p str,
    params: Params,
}

impl Reader<'_> {
    fn raw(&self, name: &str) -> Option<&Param> {
        self.params.iter().rfind(|param| param.name.eq_ignore_ascii_case(name))
    }

    fn text(&self, name: &str, default: &str) -> String {
        self.raw(name).map_or(default, |param| &param.value).to_owned()
    }

    fn unfit(&self, param: &Param, default: &dyn std::fmt::Display) {
        tracing::error!(
            "{}: voicemail profile {}: {} cannot be [{}]; {default} is used",
            param.place,
            self.profile,
            param.name,
            param.value
        );
    }

    fn keys(&self, name: &str, default: &str, least: usize, most: usize) -> String {
        let Some(param) = self.raw(name) else { return default.to_owned() };
        let fits = param.value.chars().all(|c| matches!(c, '0'..='9' | '#' | '*'));
        if !fits || param.value.len() < least || param.value.len() > most {
            self.unfit(param, &default);
            return default.to_owned();
        }
        param.value.to_string()
    }

    fn key(&self, name: &str, default: &str) -> String {
        self.keys(name, default, 1, 1)
    }

    fn truth(&self, name: &str, default: bool) -> bool {
        self.raw(name).map_or(default, |param| is_true(&param.value))
    }

    fn number(&self, name: &str, default: i64, most: i64) -> i64 {
        let Some(param) = self.raw(name) else { return default };
        let number = int(&param.value);
        if !is_number(&param.value) || !(0..=most).contains(&number) {
            self.unfit(param, &default);
            return default;
        }
        number
    }
}

impl Profile {
    /// Reads a `<profile>` element.
    pub(crate) fn read(node: Node<'_>) -> Self {
        let name = node.attr_or_empty("name").to_owned();
        let own = Reader { profile: &name, params: Params::read(Some(node), "param") };
        let mail_node = node.child("email");
        let mail = Reader { profile: &name, params: Params::read(mail_node, "param") };
        let inner = |tag: &str| mail_node.and_then(|mail| mail.child(tag)).map(|n| n.text());
        let path = |name: &str| Some(mail.text(name, "")).filter(|p| !p.is_empty()).map(Into::into);
        let rate = own.number("record-sample-rate", 0, i64::from(u32::MAX));
        let rate = Some(rate).filter(|rate| *rate > 0 && RATES.contains(rate));
        let small = |n: i64| u32::try_from(n).unwrap_or(0);
        let dsn = own.text("odbc-dsn", "");
        let file = own.text("dbname", "");
        let database = [dsn, file].into_iter().find(|text| !text.is_empty());
        Self {
            terminator_key: own.key("terminator-key", "#"),
            play_new_key: own.key("play-new-messages-key", "1"),
            play_saved_key: own.key("play-saved-messages-key", "2"),
            new_lifo: own.truth("play-new-messages-lifo", false),
            saved_lifo: own.truth("play-saved-messages-lifo", false),
            login_keys: own.keys("login-keys", "0", 0, 16),
            main_menu_key: own.key("main-menu-key", "0"),
            skip_greet_key: own.key("skip-greet-key", "#"),
            skip_info_key: own.key("skip-info-key", "*"),
            config_menu_key: own.key("config-menu-key", "5"),
            record_greeting_key: own.key("record-greeting-key", "1"),
            choose_greeting_key: own.key("choose-greeting-key", "2"),
            record_name_key: own.key("record-name-key", "3"),
            change_pass_key: own.key("change-pass-key", "6"),
            record_file_key: own.key("record-file-key", "3"),
            listen_file_key: own.key("listen-file-key", "1"),
            save_file_key: own.key("save-file-key", "2"),
            delete_file_key: own.key("delete-file-key", "7"),
            email_key: own.key("email-key", "4"),
            callback_key: own.key("callback-key", "5"),
            pause_key: own.key("pause-key", "0"),
            restart_key: own.key("restart-key", "1"),
            ff_key: own.key("ff-key", "6"),
            rew_key: own.key("rew-key", "4"),
            previous_key: own.key("previous-message-key", "1"),
            next_key: own.key("next-message-key", "3"),
            repeat_key: own.key("repeat-message-key", "0"),
            urgent_key: own.key("urgent-key", "*"),
            operator_key: own.keys("operator-key", "", 0, 1),
            operator_extension: own.text("operator-extension", ""),
            vmain_key: own.keys("vmain-key", "", 0, 1),
            vmain_extension: own.text("vmain-extension", ""),
            forward_key: own.key("forward-key", "8"),
            prepend_key: own.key("prepend-key", "1"),
            file_extension: writable(&own.text("file-extension", "wav"), &name),
            record_title: own.text("record-title", "FreeSWITCH Voicemail"),
            record_comment: own.text("record-comment", "FreeSWITCH Voicemail"),
            record_copyright: own.text("record-copyright", "http://www.freeswitch.org"),
            tone_spec: own.text("tone-spec", "%(1000, 0, 640)"),
            storage_dir: own.text("storage-dir", ""),
            storage_dir_shared: own.truth("storage-dir-shared", false),
            callback_dialplan: own.text("callback-dialplan", "XML"),
            callback_context: own.text("callback-context", "default"),
            date_announcement: match own.text("play-date-announcement", "").as_str() {
                "last" => DateAnnouncement::Last,
                "never" => DateAnnouncement::Never,
                _ => DateAnnouncement::First,
            },
            convert_cmd: own.text("convert-cmd", ""),
            convert_ext: own.text("convert-ext", ""),
            digit_timeout: Duration::from_millis(
                own.number("digit-timeout", 10_000, 30_000).unsigned_abs(),
            ),
            max_login_attempts: own.number("max-login-attempts", 3, 10),
            min_record_len: own.number("min-record-len", 3, 10_000),
            max_record_len: own.number("max-record-len", 300, 1000),
            max_retries: own.number("max-retries", 3, i64::from(i32::MAX)),
            record_threshold: small(own.number("record-silence-threshold", 200, 10_000)),
            record_silence_hits: small(own.number("record-silence-hits", 2, 1000)),
            record_sample_rate: rate.and_then(|rate| u32::try_from(rate).ok()),
            db_password_override: own.truth("db-password-override", false),
            allow_empty_password: own.truth("allow-empty-password-auth", true),
            auto_playback: own.truth("auto-playback-recordings", false),
            full_header: own.truth("send-full-vm-header", false),
            mail: Template {
                headers: inner("headers").unwrap_or_default().to_owned(),
                body: inner("body").map(str::to_owned),
            },
            notify: Template {
                headers: own.text("notify-email-headers", ""),
                body: own.raw("notify-email-body").map(|param| param.value.to_string()),
            },
            email_from: mail.text("email-from", ""),
            date_format: mail.text("date-fmt", "%A, %B %d %Y, %I:%M %p"),
            template_file: path("template-file"),
            notify_template_file: path("notify-template-file"),
            database: database.unwrap_or_else(|| format!("voicemail_{name}")),
            name,
        }
    }

    /// Reads the template files. What a file has wins over what the configuration has, as in the reference.
    pub(crate) async fn read_templates(&mut self, conf_dir: &std::path::Path) {
        let files = [
            (self.template_file.clone(), &mut self.mail),
            (self.notify_template_file.clone(), &mut self.notify),
        ];
        for (file, template) in files {
            let Some(file) = file else { continue };
            let file = conf_dir.join(file);
            match tokio::fs::read_to_string(&file).await {
                Ok(text) => *template = Template::parse(&text),
                Err(error) => tracing::error!("{}: {error}", file.display()),
            }
        }
    }
}

impl Template {
    /// Headers, an empty line, the body.
    fn parse(text: &str) -> Self {
        let text = text.replace("\r\n", "\n");
        match text.split_once("\n\n") {
            Some((headers, body)) => {
                Self { headers: headers.to_owned(), body: Some(body.to_owned()) }
            }
            None => Self { headers: text, body: None },
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn profile(params: &str) -> Profile {
        let text = format!("<profile name=\"test\">{params}</profile>");
        let loaded = dialplan_xml::parse_raw(&text, "test");
        Profile::read(loaded.tree.unwrap().root())
    }

    #[test]
    fn built_in_values_hold_where_nothing_is_written_and_where_it_cannot_be_used() {
        let one = profile(
            "<param name=\"save-file-key\" value=\"22\"/><param name=\"login-keys\" value=\"\"/>\
             <param name=\"digit-timeout\" value=\"soon\"/><param name=\"max-login-attempts\" value=\"11\"/>\
             <param name=\"record-sample-rate\" value=\"7777\"/>",
        );
        assert_eq!((one.save_file_key.as_str(), one.login_keys.as_str()), ("2", ""));
        assert_eq!((one.digit_timeout.as_secs(), one.max_login_attempts), (10, 3));
        assert_eq!((one.record_sample_rate, one.database.as_str()), (None, "voicemail_test"));
        assert!(one.allow_empty_password && !one.db_password_override);
    }

    #[test]
    fn messages_are_written_in_a_form_that_can_be_written() {
        let form = |form: &str| {
            profile(&format!("<param name=\"file-extension\" value=\"{form}\"/>")).file_extension
        };
        assert_eq!(
            (form("wav"), form("PCMU"), form("raw")),
            ("wav".into(), "PCMU".into(), "raw".into())
        );
        assert_eq!((form("gsm"), form("a/b")), ("wav".into(), "wav".into()));
    }

    #[test]
    fn mail_has_a_section_of_its_own() {
        let one = profile(
            "<param name=\"odbc-dsn\" value=\"pgsql://host=db\"/><email><param name=\"email-from\" value=\"a@b\"/>\
             <headers><![CDATA[Subject: ${voicemail_caller_id_name}]]></headers><body>Hello</body></email>",
        );
        assert_eq!((one.email_from.as_str(), one.database.as_str()), ("a@b", "pgsql://host=db"));
        assert_eq!(one.mail.headers, "Subject: ${voicemail_caller_id_name}");
        assert_eq!(one.mail.body.as_deref(), Some("Hello"));
    }

    #[test]
    fn a_template_is_headers_and_a_body() {
        let read = Template::parse("From: a\r\nSubject: b\r\n\r\nText\n\nmore");
        assert_eq!(
            (read.headers.as_str(), read.body.as_deref()),
            ("From: a\nSubject: b", Some("Text\n\nmore"))
        );
    }
}
