//! `record` and `recordCall`: what is said, sent to the server with the next request or the last one.

use dialplan_xml::Node;
use switch_core::call::Interrupt;
use switch_core::text;

use crate::actions::{Next, Worker, attr};
use crate::client::CallRecording;
use crate::digits::Outcome;
use crate::ear::Ear;
use crate::multipart::Attachment;
use crate::sound::{Sound, Status, bindings};

/// Longest name of a file a server gives, characters.
const LONGEST_NAME: usize = 128;

/// A server that a far end chose has nothing sent to places it names.
const FAR_SERVER: &str = "a server a far end chose may not have calls recorded to addresses";

/// Is that an address recordings are sent to?
fn is_elsewhere(name: &str) -> bool {
    let begins =
        |start: &str| name.get(..start.len()).is_some_and(|own| own.eq_ignore_ascii_case(start));
    begins("http://") || begins("https://")
}

/// An address as one word of an argument.
fn one_word(address: &str) -> String {
    let escaped = |c: char| match c {
        ' ' => "%20".to_owned(),
        '\'' => "%27".to_owned(),
        '{' => "%7B".to_owned(),
        '}' => "%7D".to_owned(),
        // Nothing is expanded in it, and nothing in it is taken for a far end's.
        '$' => "%24".to_owned(),
        c => c.to_string(),
    };
    address.trim().chars().map(escaped).collect()
}

/// A server's file name without what would lead elsewhere: the stem, and the extension.
fn file_name(given: &str) -> (String, String) {
    let safe = |c: char| match c {
        '/' | '\\' | '`' | '\'' | '"' | ',' => '_',
        c if c.is_control() || c.is_whitespace() => '_',
        c => c,
    };
    let name: String = given.chars().take(LONGEST_NAME).map(safe).collect();
    let (stem, extension) = name.rsplit_once('.').unwrap_or((&name, "wav"));
    (stem.replace('.', "_"), extension.to_owned())
}

impl Worker<'_> {
    /// Records the caller, and attaches the file to the next request.
    pub(crate) async fn record(&mut self, tag: Node<'_>) -> Result<Next, Interrupt> {
        let Some(file) = attr(tag, "file") else { return Ok(Next::Leave) };
        let field = attr(tag, "name").unwrap_or("attached_file");
        let elsewhere = is_elsewhere(file);
        if elsewhere && self.client.lock().public_only {
            return Ok(self.deny(FAR_SERVER));
        }
        let (stem, extension) = file_name(file);
        let folder = self.session.switch().dirs.temp_dir.clone();
        let path = folder.join(format!("{}_{stem}.{extension}", uuid::Uuid::new_v4()));
        let path = match elsewhere {
            true => self.argument(&one_word(file)),
            false => path.to_string_lossy().into_owned(),
        };
        let number = |name: &str, default: i64| {
            attr(tag, name).map(text::int).filter(|n| *n > -1).unwrap_or(default)
        };
        let limit = number("limit", 0);
        let (hits, threshold) = (number("silence-hits", 2), number("threshold", 200));
        let ear = Ear::open(&self.channel, bindings(tag));
        let mut status = Status::Success;
        if let Some(beep) = attr(tag, "beep-file") {
            status = self.hear(&Sound::File(beep.to_owned()), &ear).await?;
        }
        if status == Status::Success {
            let watch = ear.stops_media();
            let argument = format!("'{path}' {limit} {threshold} {hits}");
            let recorded = self.application("record", &argument).await;
            drop(watch);
            if recorded.is_ok() {
                ear.ended(self.session, ear.outcome().is_some()).await?;
            }
            if !elsewhere && tokio::fs::try_exists(&path).await.unwrap_or(false) {
                let file = format!("{stem}.{extension}");
                self.client.lock().files.push(Attachment { name: field.to_owned(), file, path });
            }
            recorded?;
        }
        if matches!(ear.outcome(), Some(Outcome::Found(..))) {
            self.found(tag, &ear);
        }
        drop(ear);
        let asks = tag.child("bind").is_some();
        let own = self.matched.as_ref().and_then(|matched| matched.action.clone());
        let action = own.or_else(|| tag.attr("action").filter(|_| asks).map(str::to_owned));
        if let Some(action) = action {
            self.client.lock().params.set("url", action);
        }
        Ok(Next::Go)
    }

    /// Begins to record the call; the file goes with the last request.
    pub(crate) async fn record_call(&mut self, tag: Node<'_>) -> Result<Next, Interrupt> {
        if self.client.lock().recording.is_some() {
            return Ok(Next::Go);
        }
        let name = attr(tag, "name").unwrap_or("recorded_file");
        let limit = text::int(tag.attr_or_empty("limit")).max(0);
        let elsewhere = is_elsewhere(name);
        if elsewhere && self.client.lock().public_only {
            return Ok(self.deny(FAR_SERVER));
        }
        let file = if elsewhere {
            self.argument(&one_word(name))
        } else {
            let folder = self.session.switch().dirs.temp_dir.clone();
            let file = folder.join(format!("{}.wav", self.channel.uuid()));
            let file = file.to_string_lossy().into_owned();
            self.client.lock().recording = Some(CallRecording {
                name: name.to_owned(),
                file: file.clone(),
                action: tag.attr("action").map(str::to_owned),
            });
            file
        };
        let limit = if limit > 0 { format!(" +{limit}") } else { String::new() };
        self.application("record_session", &format!("{file}{limit}")).await?;
        Ok(Next::Go)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_told_from_a_name_and_stays_one_word() {
        assert!(is_elsewhere("HTTP://a/b.wav") && is_elsewhere("https://a/b.wav"));
        assert!(!is_elsewhere("http.wav") && !is_elsewhere("ftp://a/b.wav"));
        assert_eq!(one_word("http://a/${x}"), "http://a/%24%7Bx%7D");
        assert_eq!(one_word(" http://a/it's b{c}.wav"), "http://a/it%27s%20b%7Bc%7D.wav");
    }

    #[test]
    fn a_server_s_file_name_leads_nowhere_else() {
        assert_eq!(file_name("../../etc/pass wd.wav"), ("______etc_pass_wd".into(), "wav".into()));
        assert_eq!(file_name("greeting"), ("greeting".into(), "wav".into()));
        assert_eq!(file_name("a.b.mp3"), ("a_b".into(), "mp3".into()));
        assert_eq!(file_name("it's`x`\n.wav"), ("it_s_x__".into(), "wav".into()));
        assert!(file_name(&"x".repeat(500)).0.len() <= LONGEST_NAME);
    }
}
