//! `freeswitch.email`: a message handed to the program that sends mail.

use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::context::Context;

/// A message; what is empty is left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Given {
    pub to: String,
    pub from: String,
    /// More lines of its head.
    pub headers: String,
    pub body: String,
    /// The file it brings.
    pub file: String,
    /// The command that converts the file, and the extension it has then.
    pub command: String,
    pub extension: String,
}

/// Largest file that is attached.
const MAX_FILE: u64 = 64 << 20;
/// Characters of a line of an attachment.
const LINE: usize = 76;

/// Why a message was not sent.
#[derive(Debug, thiserror::Error)]
enum Unsent {
    #[error("an address with a line break or a blank")]
    Address,
    #[error("the file is too large")]
    TooLarge,
    #[error("{0}")]
    Io(#[from] std::io::Error),
    #[error("{0} ended with {1}")]
    Failed(String, std::process::ExitStatus),
}

/// Sends a message. True if the program took it.
pub fn send(context: &Context, given: &Given) -> bool {
    let config = context.switch.config.load_full();
    let conf = config.tree.configuration("switch.conf");
    let param = |name: &str| {
        let settings = conf?.child("settings")?;
        settings.find("param", "name", name)?.attr("value").map(str::to_owned)
    };
    let program = param("mailer-app").unwrap_or_else(|| "sendmail".to_owned());
    let options = param("mailer-app-args").unwrap_or_else(|| "-t".to_owned());
    context.script.waits(Some("mail"));
    let sent = compose(given).and_then(|message| hand_over(&program, &options, &message));
    context.script.waits(None);
    if let Err(unsent) = &sent {
        tracing::error!("Failed to send an email to {}: {unsent}", given.to);
    }
    sent.is_ok()
}

fn compose(given: &Given) -> Result<Vec<u8>, Unsent> {
    let Given { to, from, headers, body, file, .. } = given;
    let single = |text: &str| !text.contains(['\n', '\r']);
    if !single(to) || !single(from) || to.is_empty() {
        return Err(Unsent::Address);
    }
    let boundary = format!("part-{}", crate::clock::new_uuid());
    let mut message = format!("From: {from}\nTo: {to}\n");
    let headers = headers.trim_end_matches(['\r', '\n']);
    if !headers.is_empty() {
        message += &format!("{headers}\n");
    }
    if file.is_empty() {
        message += &format!("\n{body}\n");
        return Ok(message.into_bytes());
    }
    let path = converted(given)?;
    let bytes = read(Path::new(&path))?;
    let name = path.rsplit('/').next().unwrap_or_default().replace(['"', '\n', '\r'], "_");
    message += &format!(
        "MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=\"{boundary}\"\n\n--{boundary}\n\
         Content-Type: text/plain; charset=utf-8\n\n{}\n\n--{boundary}\nContent-Type: {}; name=\"{name}\"\n\
         Content-Transfer-Encoding: base64\nContent-Disposition: attachment; filename=\"{name}\"\n\n",
        body,
        kind_of(&name)
    );
    let encoded = STANDARD.encode(bytes);
    for line in encoded.as_bytes().chunks(LINE) {
        message.push_str(&String::from_utf8_lossy(line));
        message.push('\n');
    }
    message += &format!("--{boundary}--\n");
    Ok(message.into_bytes())
}

/// The file as it is sent: what the command makes of it, if there is one.
fn converted(given: &Given) -> Result<String, Unsent> {
    let Given { file, command, extension, .. } = given;
    if command.is_empty() || extension.is_empty() {
        return Ok(file.clone());
    }
    let stem = file.rsplit_once('.').map_or(file.as_str(), |(stem, _)| stem);
    let target = format!("{stem}.{extension}");
    let words = crate::text::words(command, 16);
    let program = words.first().map_or("", String::as_str);
    let status = Command::new(program)
        .args(&words[1.min(words.len())..])
        .args([file.as_str(), &target])
        .status()?;
    if status.success() { Ok(target) } else { Err(Unsent::Failed(program.to_owned(), status)) }
}

fn read(path: &Path) -> Result<Vec<u8>, Unsent> {
    let file = std::fs::File::open(path)?;
    if !file.metadata()?.is_file() {
        return Err(std::io::Error::other("it is no plain file").into());
    }
    let mut octets = Vec::new();
    file.take(MAX_FILE + 1).read_to_end(&mut octets)?;
    if octets.len() as u64 > MAX_FILE { Err(Unsent::TooLarge) } else { Ok(octets) }
}

fn kind_of(name: &str) -> &'static str {
    match name.rsplit('.').next().unwrap_or_default().to_ascii_lowercase().as_str() {
        "wav" => "audio/x-wav",
        "mp3" => "audio/mpeg",
        "ogg" => "audio/ogg",
        "pdf" => "application/pdf",
        "tif" | "tiff" => "image/tiff",
        "txt" => "text/plain",
        _ => "application/octet-stream",
    }
}

fn hand_over(program: &str, options: &str, message: &[u8]) -> Result<(), Unsent> {
    let words = crate::text::words(options, 16);
    let mut mailer = Command::new(program)
        .args(words)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let written = mailer.stdin.take().map_or(Ok(()), |mut input| input.write_all(message));
    let status = mailer.wait()?;
    written?;
    if status.success() { Ok(()) } else { Err(Unsent::Failed(program.to_owned(), status)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(to: &str) -> Given {
        Given {
            to: to.to_owned(),
            from: "a@b.test".to_owned(),
            headers: "Subject: x\n".to_owned(),
            body: "hello".to_owned(),
            ..Given::default()
        }
    }

    #[test]
    fn a_message_has_headers_and_a_body() {
        let message = String::from_utf8(compose(&given("c@d.test")).unwrap()).unwrap();
        assert_eq!(message, "From: a@b.test\nTo: c@d.test\nSubject: x\n\nhello\n");
        assert!(matches!(compose(&given("c@d.test\nBcc: x")), Err(Unsent::Address)));
    }

    #[test]
    fn a_program_that_is_not_there_sends_nothing() {
        assert!(matches!(hand_over("/nowhere/sendmail", "-t", b"x"), Err(Unsent::Io(_))));
        assert!(matches!(
            hand_over("false", "", b"x"),
            Err(Unsent::Failed(..)) | Err(Unsent::Io(_))
        ));
        assert!(hand_over("cat", "", b"x").is_ok());
    }
}
