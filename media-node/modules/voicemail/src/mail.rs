//! Mail about messages: the letters, and how they are handed on.
//!
//! A letter goes to an SMTP server of `voicemail.conf`, or to the program that `mailer-app` of `switch.conf` names. What
//! callers say of themselves is data in it: a line end in a name begins no header, and nothing is read by a shell.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use base::far;
use dialplan_xml::config::Params;
use esl_server::event::{Event, EventName};
use switch_core::call::Channel;
use switch_core::host;
use switch_core::switch::Switch;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;
use tokio::sync::Semaphore;

use crate::boxes::{Boxes, Loaded};
use crate::deliver;
use crate::letter::Letter;
use crate::mwi;
use crate::owner::Owner;
use crate::profile::{Profile, Template};
use crate::store::{Counts, INBOX, Message};

/// For one letter, with everything.
const PATIENCE: Duration = Duration::from_secs(60);
/// Letters on their way at once; one more waits. Those that wait hold no more than their names.
static ON_THEIR_WAY: Semaphore = Semaphore::const_new(8);
/// How often a server is tried, and how long between.
const TRIES: u32 = 3;
const PAUSE: Duration = Duration::from_secs(10);

/// How the connection to a mail server is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protection {
    None,
    /// STARTTLS where it is offered.
    Offered,
    /// STARTTLS, or no mail.
    StartTls,
    /// TLS from the first byte.
    Tls,
}

/// A mail server of our own settings.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Smtp {
    pub(crate) host: String,
    pub(crate) port: Option<u16>,
    pub(crate) protection: Protection,
    pub(crate) user: String,
    pub(crate) password: String,
}

impl std::fmt::Debug for Smtp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{:?} as {}", self.host, self.port, self.user)
    }
}

impl Smtp {
    /// From `<settings>`; `None` when they name no server.
    pub(crate) fn read(params: &Params) -> Option<Self> {
        let text = |name: &str| params.last(name).unwrap_or_default().to_owned();
        let server = Some(text("smtp-server")).filter(|server| !server.is_empty())?;
        let (host, port) = match server.rsplit_once(':') {
            Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => {
                (host.to_owned(), port.parse().ok())
            }
            _ => (server, None),
        };
        let protection = match text("smtp-tls").as_str() {
            "none" => Protection::None,
            "starttls" => Protection::StartTls,
            "tls" => Protection::Tls,
            _ => Protection::Offered,
        };
        let (user, password) = (text("smtp-user"), text("smtp-password"));
        Some(Self { host, port, protection, user, password })
    }
}

/// Why a letter was not handed on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotSent {
    #[error("no address to send it to")]
    NoAddress,
    #[error("{0} is no address")]
    Address(String),
    #[error(transparent)]
    Io(#[from] std::io::Error),
    #[error("{0} ended with {1}")]
    Program(String, std::process::ExitStatus),
    #[error("the mail server: {0}")]
    Server(#[from] lettre::transport::smtp::Error),
    #[error("it took longer than {} s", PATIENCE.as_secs())]
    Slow,
}

/// A program and what it is given, as an administrator wrote them.
#[derive(Clone, Debug)]
struct Program {
    app: String,
    args: String,
}

/// Ways letters can go.
#[derive(Clone, Debug)]
enum Way {
    Smtp(Smtp),
    Program(Program),
}

fn way(switch: &Switch) -> Way {
    if let Some(smtp) = switch.module::<Loaded>().settings.lock().smtp.clone() {
        return Way::Smtp(smtp);
    }
    let config = switch.config.load();
    let params = dialplan_xml::config::settings(config.document("switch.conf"));
    let text = |name: &str, default: &str| params.last(name).unwrap_or(default).to_owned();
    let (app, args) = (text("mailer-app", "sendmail"), text("mailer-app-args", "-t"));
    Way::Program(Program { app, args })
}

/// What letters about one message have in common.
struct About<'m> {
    message: &'m Message,
    counts: Counts,
    /// Variables as templates know them.
    values: Event,
}

/// A number as people of its region write it.
fn formatted(number: &str) -> String {
    let digits = number.strip_prefix('+').unwrap_or(number);
    if !digits.bytes().all(|b| b.is_ascii_digit()) {
        return digits.to_owned();
    }
    let digits = match digits.len() {
        10 => format!("1{digits}"),
        11 if digits.starts_with('1') => digits.to_owned(),
        _ => return number.to_owned(),
    };
    format!("1 ({}) {}-{}", &digits[1..4], &digits[4..7], &digits[7..])
}

/// `HH:MM:SS`.
pub(crate) fn clock_time(seconds: i64) -> String {
    let seconds = seconds.max(0);
    format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

/// A date in a zone, or the server's.
async fn date(switch: &Arc<Switch>, epoch: i64, format: &str, zone: Option<&str>) -> String {
    if let Some(zone) = zone {
        let said = switch.run_api("strftime_tz", &format!("{zone} {epoch}|{format}"), None).await;
        if let Some(said) = said.filter(|said| !said.starts_with("-ERR")) {
            return said;
        }
    }
    switch.run_api("strftime", &format!("{epoch}|{format}"), None).await.unwrap_or_default()
}

impl<'m> About<'m> {
    async fn new(
        switch: &Arc<Switch>,
        boxes: &Boxes,
        message: &'m Message,
        zone: Option<&str>,
        name: EventName,
    ) -> Self {
        let counts = mwi::counts(switch, boxes, &message.user, &message.domain).await;
        let when = date(switch, message.created, &boxes.profile.date_format, zone).await;
        let mut values = Event::new(name);
        let priority = if message.is_urgent() { "1" } else { "3" };
        for (name, value) in [
            ("voicemail_current_folder", INBOX.to_owned()),
            ("voicemail_total_new_messages", counts.new.to_string()),
            ("voicemail_total_saved_messages", counts.saved.to_string()),
            ("voicemail_urgent_new_messages", counts.new_urgent.to_string()),
            ("voicemail_urgent_saved_messages", counts.saved_urgent.to_string()),
            ("voicemail_account", message.user.clone()),
            ("voicemail_domain", message.domain.clone()),
            ("voicemail_caller_id_number", message.cid_number.clone()),
            ("voicemail_formatted_caller_id_number", formatted(&message.cid_number)),
            ("voicemail_caller_id_name", message.cid_name.clone()),
            ("voicemail_file_path", message.path.clone()),
            ("voicemail_read_flags", message.read_flags.clone()),
            ("voicemail_time", when),
            ("voicemail_uuid", message.uuid.clone()),
            ("voicemail_priority", priority.to_owned()),
            ("voicemail_message_len", clock_time(message.seconds)),
        ] {
            values.push(name, value);
        }
        Self { message, counts, values }
    }

    fn add(&mut self, name: &'static str, value: Option<&str>) {
        self.values.push_some(name, value);
    }

    /// Fills in a template. What stands in for a variable ends no line and means nothing.
    async fn fill(&self, switch: &Arc<Switch>, template: &str) -> String {
        let mut marked = Event::new(EventName::RequestParams);
        self.values.for_each_header(|name, value| {
            let text: String =
                value.text().chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
            marked.push(name.to_owned(), far::mark(&text));
        });
        host::expand_headers(switch, &marked, template).await
    }

    /// Headers and body, from the template or as they are without one.
    async fn letter(&self, switch: &Arc<Switch>, template: &Template, from: String) -> Letter {
        let Message { user, domain, cid_name, cid_number, seconds, .. } = self.message;
        let one_line = |text: &str| crate::store::fit(text);
        let (cid_name, cid_number) = (one_line(cid_name), one_line(cid_number));
        let priority = if self.message.is_urgent() { 1 } else { 3 };
        let mut headers = if template.headers.trim().is_empty() {
            format!(
                "From: FreeSWITCH mod_voicemail <{user}@{domain}>\nSubject: Voicemail from {cid_name} {cid_number}\n\
                 X-Priority: {priority}"
            )
        } else {
            self.fill(switch, template.headers.trim()).await
        };
        headers.push_str(&format!("\nX-Voicemail-Length: {seconds}"));
        let body = match &template.body {
            Some(body) => self.fill(switch, body).await,
            None => format!("{seconds} second Voicemail from {cid_name} {cid_number}"),
        };
        Letter { to: String::new(), from, headers, body, attachment: None }
    }

    /// Tells programs that a letter goes out.
    fn tell(&self, switch: &Switch, kind: &'static str) {
        let mut event = self.values.clone();
        event.push("Message-Type", kind);
        esl_server::fire!(switch.bus, event);
    }
}

/// Headers of a call beside those of a message: all of its variables.
fn with_call(about: &mut About<'_>, channel: Option<&Arc<Channel>>) {
    let Some(channel) = channel else { return };
    for (name, value) in channel.vars().iter() {
        if about.values.get(name).is_none() {
            about.values.push(name.to_owned(), value.clone());
        }
    }
}

/// Sends what the owner of a box wants to be sent of a new message. `kept`: the box has it too.
pub(crate) async fn of_new_message(
    switch: &Arc<Switch>,
    boxes: &Arc<Boxes>,
    owner: &Owner,
    message: &Message,
    channel: Option<&Arc<Channel>>,
    kept: bool,
) {
    let (mail, notify) = (owner.param("vm-mailto"), owner.param("vm-notify-mailto"));
    let sends_mail = owner.truth("vm-email-all-messages");
    let sends_notice = owner.truth("vm-notify-email-all-messages");
    let wanted = (sends_mail || sends_notice) && (mail.is_some() || notify.is_some());
    if !wanted {
        if !kept {
            // Neither kept nor sent: that is what the owner's parameters say.
            let _gone = tokio::fs::remove_file(&message.path).await;
        }
        return;
    }
    let name = if channel.is_some() { EventName::ChannelData } else { EventName::RequestParams };
    let mut about = About::new(switch, boxes, message, owner.timezone(), name).await;
    with_call(&mut about, channel);
    about.add("voicemail_email", mail);
    about.add("voicemail_email_from", owner.param("vm-mailfrom"));
    about.add("voicemail_notify_email", notify);
    let profile = &boxes.profile;
    let from = match owner.param("vm-mailfrom") {
        Some(from) => from.to_owned(),
        None => from_of(switch, &about, profile).await,
    };
    let mut letters = Vec::new();
    if sends_mail {
        about.tell(switch, "voicemail");
        let mut letter = about.letter(switch, &profile.mail, from.clone()).await;
        letter.to = mail.unwrap_or_default().to_owned();
        letter.attachment =
            owner.truth("vm-attach-file").then(|| PathBuf::from(message.path.as_str()));
        letters.push(letter);
    }
    if sends_notice {
        about.tell(switch, "voicemail-notify");
        let mut letter = about.letter(switch, &profile.notify, from).await;
        letter.to = notify.or(mail).unwrap_or_default().to_owned();
        letters.push(letter);
    }
    let conversion = Conversion::of(profile, Some(owner));
    let work = send_all(
        Arc::clone(switch),
        Arc::clone(boxes),
        letters,
        conversion,
        (!kept).then(|| message.clone()),
    );
    tokio::spawn(switch_core::tasks::step("mail about a message", work));
}

async fn from_of(switch: &Arc<Switch>, about: &About<'_>, profile: &Profile) -> String {
    if profile.email_from.is_empty() {
        return format!("{}@{}", about.message.user, about.message.domain);
    }
    about.fill(switch, &profile.email_from).await
}

/// Sends letters; a message that is nowhere else (`only`) becomes one of the box when that fails.
async fn send_all(
    switch: Arc<Switch>,
    boxes: Arc<Boxes>,
    letters: Vec<Letter>,
    conversion: Conversion,
    only: Option<Message>,
) {
    let mut sent = true;
    for letter in letters {
        let to = letter.to.clone();
        match send(&switch, letter, &conversion).await {
            Ok(()) => tracing::debug!("Sending message to {to}"),
            Err(error) => {
                sent = false;
                tracing::error!("Cannot send mail to {to}: {error}");
            }
        }
    }
    let Some(message) = only else { return };
    if sent {
        let _gone = tokio::fs::remove_file(&message.path).await;
    } else {
        tracing::warn!("{}: the message stays in the box, as it could not be sent", message.path);
        deliver::keep(&switch, &boxes, &message, None).await;
    }
}

/// `email-key`, or `vm_fsdb_msg_email`: an old message goes to an address.
pub(crate) async fn of_old_message(
    switch: &Arc<Switch>,
    boxes: &Boxes,
    owner: Option<&Owner>,
    message: &Message,
    to: &str,
    zone: Option<&str>,
) -> Result<Vec<(String, String)>, NotSent> {
    let profile = &boxes.profile;
    let mut about = About::new(switch, boxes, message, zone, EventName::General).await;
    about.add("voicemail_email", Some(to));
    let from = match profile.mail.headers.trim().is_empty() && owner.is_some() {
        true => format!("{}@{}", message.user, message.domain),
        false => from_of(switch, &about, profile).await,
    };
    let mut letter = about.letter(switch, &profile.mail, from).await;
    letter.to = to.to_owned();
    letter.attachment = Some(PathBuf::from(message.path.as_str()));
    about.tell(switch, "forwarded-voicemail");
    let conversion = Conversion::of(profile, owner);
    send(switch, letter, &conversion).await?;
    let mut variables = Vec::new();
    about.values.for_each_header(|name, value| {
        if name.starts_with("voicemail_") {
            variables.push((name.to_owned(), value.text().into_owned()));
        }
    });
    let _counted = about.counts;
    Ok(variables)
}

/// The program that makes another form of a recording, and the ending it makes.
#[derive(Clone, Debug, Default)]
struct Conversion {
    command: String,
    ending: String,
}

impl Conversion {
    fn of(profile: &Profile, owner: Option<&Owner>) -> Self {
        let own = |name: &str| owner.and_then(|owner| owner.param(name)).map(str::to_owned);
        Self {
            command: own("vm-convert-cmd").unwrap_or_else(|| profile.convert_cmd.clone()),
            ending: own("vm-convert-ext").unwrap_or_else(|| profile.convert_ext.clone()),
        }
    }

    /// The converted file; `None` when nothing is to be converted.
    async fn run(&self, file: &Path) -> Result<Option<PathBuf>, NotSent> {
        if self.command.is_empty() || self.ending.is_empty() || file.extension().is_none() {
            return Ok(None);
        }
        let new = file.with_extension(&self.ending);
        let line = format!("{} \"$1\" \"$2\"", self.command);
        let mut shell = Command::new("/bin/sh");
        shell.arg("-c").arg(line).arg("convert-cmd").arg(file).arg(&new).stdin(Stdio::null());
        let status = shell.kill_on_drop(true).status().await?;
        if !status.success() {
            return Err(NotSent::Program("convert-cmd".to_owned(), status));
        }
        Ok(Some(new).filter(|new| new != file))
    }
}

/// Hands a letter on.
async fn send(
    switch: &Arc<Switch>,
    mut letter: Letter,
    conversion: &Conversion,
) -> Result<(), NotSent> {
    if letter.to.trim().is_empty() {
        return Err(NotSent::NoAddress);
    }
    let Ok(_turn) = ON_THEIR_WAY.acquire().await else { return Err(NotSent::Slow) };
    let way = way(switch);
    let mut made = None;
    if let Some(file) = &letter.attachment {
        match tokio::time::timeout(PATIENCE, conversion.run(file)).await {
            Ok(converted) => made = converted?,
            Err(_) => return Err(NotSent::Slow),
        }
    }
    if let Some(made) = &made {
        letter.attachment = Some(made.clone());
    }
    let bytes = letter.bytes(matches!(way, Way::Smtp(_))).await?;
    let mut sent = Err(NotSent::Slow);
    for turn in 0..TRIES {
        if turn > 0 {
            tokio::time::sleep(PAUSE).await;
        }
        let once = async {
            match &way {
                Way::Smtp(smtp) => to_server(smtp, &letter, &bytes).await,
                Way::Program(program) => to_program(program, &letter, &bytes).await,
            }
        };
        sent = tokio::time::timeout(PATIENCE, once).await.unwrap_or(Err(NotSent::Slow));
        let again = match &sent {
            Err(NotSent::Server(error)) => !error.is_permanent(),
            Err(NotSent::Slow) => true,
            _ => false,
        };
        if !again {
            break;
        }
    }
    if let Some(made) = made {
        let _gone = tokio::fs::remove_file(made).await;
    }
    sent
}

async fn to_program(program: &Program, letter: &Letter, bytes: &[u8]) -> Result<(), NotSent> {
    let line = format!("exec {} -f \"$1\" {} \"$2\"", program.app, program.args);
    let mut child = Command::new("/bin/sh")
        .arg("-c")
        .arg(line)
        .arg("mailer-app")
        .arg(one_word(&letter.from))
        .arg(one_word(&letter.to))
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()?;
    if let Some(mut input) = child.stdin.take() {
        input.write_all(bytes).await?;
        input.shutdown().await?;
    }
    let status = child.wait().await?;
    if status.success() { Ok(()) } else { Err(NotSent::Program(program.app.clone(), status)) }
}

/// An address as an argument: no option of the program's.
fn one_word(address: &str) -> String {
    address.trim().trim_start_matches('-').to_owned()
}

async fn to_server(smtp: &Smtp, letter: &Letter, bytes: &[u8]) -> Result<(), NotSent> {
    use lettre::address::{Address, Envelope};
    use lettre::transport::smtp::AsyncSmtpTransport;
    use lettre::transport::smtp::authentication::Credentials;
    use lettre::transport::smtp::client::{Tls, TlsParameters};
    use lettre::{AsyncTransport as _, Tokio1Executor};

    let address = |text: &str| {
        let bare = bare(text);
        bare.parse::<Address>().map_err(|_| NotSent::Address(bare.to_owned()))
    };
    let to: Vec<Address> = letter.to.split([',', ';']).map(address).collect::<Result<_, _>>()?;
    let envelope = Envelope::new(Some(address(&letter.from)?), to)
        .map_err(|error| NotSent::Address(error.to_string()))?;
    let tls = || TlsParameters::new(smtp.host.clone());
    let (tls, port) = match smtp.protection {
        Protection::None => (Tls::None, 25),
        Protection::Offered => (Tls::Opportunistic(tls()?), 25),
        Protection::StartTls => (Tls::Required(tls()?), 587),
        Protection::Tls => (Tls::Wrapper(tls()?), 465),
    };
    let mut transport = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(&smtp.host)
        .port(smtp.port.unwrap_or(port))
        .tls(tls)
        .timeout(Some(PATIENCE));
    if !smtp.user.is_empty() {
        transport =
            transport.credentials(Credentials::new(smtp.user.clone(), smtp.password.clone()));
    }
    transport.build().send_raw(&envelope, bytes).await?;
    Ok(())
}

/// The address in `Name <address>`.
fn bare(text: &str) -> &str {
    let inner = text.rsplit_once('<').map_or(text, |(_, rest)| rest);
    inner.trim().trim_end_matches('>').trim()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_times_are_written_for_people() {
        assert_eq!(formatted("12125551234"), "1 (212) 555-1234");
        assert_eq!(formatted("+2125551234"), "1 (212) 555-1234");
        assert_eq!(formatted("1001"), "1001");
        assert_eq!(formatted("+49x"), "49x");
        assert_eq!((clock_time(3725), clock_time(-1)), ("01:02:05".into(), "00:00:00".into()));
    }

    #[test]
    fn a_server_is_read_and_its_password_not_shown() {
        let text = "<settings><param name=\"smtp-server\" value=\"mail.test:2525\"/><param name=\"smtp-tls\" value=\"none\"/>\
                    <param name=\"smtp-user\" value=\"u\"/><param name=\"smtp-password\" value=\"secret\"/></settings>";
        let tree = dialplan_xml::parse_raw(text, "test").tree.unwrap();
        let params = Params::read(Some(tree.root()), "param");
        let read = Smtp::read(&params).unwrap();
        assert_eq!(
            (read.host.as_str(), read.port, read.protection),
            ("mail.test", Some(2525), Protection::None)
        );
        assert!(!format!("{read:?}").contains("secret"));
        assert!(Smtp::read(&Params::default()).is_none());
    }

    #[test]
    fn addresses_are_bare_and_no_options() {
        assert_eq!(bare("A B <a@b.test>"), "a@b.test");
        assert_eq!(bare(" a@b.test "), "a@b.test");
        assert_eq!(one_word("-oX x"), "oX x");
    }
}
