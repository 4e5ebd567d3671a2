//! `page`: a message is recorded, or taken from a file, and played to many phones, a few at a time.
//!
//! The application returns once the calls are under way. Variables in `<…>` hold for every target; in FreeSWITCH they
//! reach only the first.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use base::far;
use dialplan_xml::dialstring::{leading_variables, split_leading};
use futures_util::{StreamExt as _, stream};
use media::RecordSpec;
use media::record::RecordMix;

use super::play::{Keys, Play};
use super::record::resolve;
use super::record_file::{record_file, silence_stop, time_limit, waste};
use super::{App, Flags};
use crate::api::{Api, ApiCall};
use crate::call::originate::{Request, originate};
use crate::call::transfer::transfer;
use crate::call::{AppResult, Cause, Channel, Interrupt, Session};
use crate::switch::Switch;
use crate::{api, app, text};

/// The application.
pub const APPS: &[App] = &[app!(
    "page",
    "mod_dptools",
    Flags::NONE,
    "<var1=val1,var2=val2><chan1>[:_:<chanN>]",
    "",
    run
)];

/// The command.
pub const APIS: &[Api] = &[api!(
    "page",
    "mod_dptools",
    "(var1=val1,var2=val2)<var1=val1,var2=val2><chan1>[:_:<chanN>]",
    "Send a file as a page",
    async command
)];

/// Phones that are called at once unless `page_chunk_size` says otherwise.
const CHUNK: usize = 10;
/// Targets of one page at most; the last one takes what is written after it.
const MAX_TARGETS: usize = 512;
/// What the speaker hears before the recording begins.
const BEEP: &str = "tone_stream://%(500,0, 620)";

/// What is played to whom.
struct Page {
    path: PathBuf,
    /// The file was made for this page alone.
    temporary: bool,
    /// Where the called legs go.
    exten: String,
    dialplan: String,
    context: Option<String>,
    chunk: usize,
    targets: Vec<String>,
}

impl Page {
    /// As variables say, texts marked where a far end had part in them; `None` without targets, which is logged.
    fn of(get: impl Fn(&str) -> Option<String>, argument: &str, path: &str) -> Option<Self> {
        let given = Some(argument.to_owned()).filter(|text| !text.trim().is_empty());
        let Some(list) = given.or_else(|| get("page_data")).filter(|text| !text.is_empty()) else {
            tracing::error!("page: no channels specified");
            return None;
        };
        let targets = match targets(&list) {
            Ok(targets) => targets,
            Err(error) => {
                tracing::error!("page: {error}: {}", far::plain(&list));
                return None;
            }
        };
        let chunk = get("page_chunk_size").map_or(0, |size| text::int(&size));
        let chunk = usize::try_from(chunk).ok().filter(|size| *size > 0).unwrap_or(CHUNK);
        let exten = get("page_exten").filter(|exten| !exten.is_empty());
        Some(Self {
            path: PathBuf::from(&*far::path(path)),
            temporary: false,
            exten: exten.unwrap_or_else(|| format!("playback:{path}")),
            dialplan: get("page_dp").unwrap_or_else(|| "inline".to_owned()),
            context: get("page_context"),
            chunk: chunk.min(targets.len()),
            targets,
        })
    }

    /// Calls the targets in the background, if there is something to play to them.
    async fn launch(self, switch: &Arc<Switch>) {
        if !exists(&self.path).await {
            tracing::error!("page: file {} does not exist", self.path.display());
            return;
        }
        let switch = Arc::clone(switch);
        crate::foreign::spawn(async move {
            crate::tasks::step("page", self.call_all(&switch)).await;
        });
    }

    async fn call_all(self, switch: &Arc<Switch>) {
        let calls = stream::iter(0..self.targets.len());
        calls.for_each_concurrent(self.chunk.max(1), |at| self.call(switch, at)).await;
        if self.temporary
            && let Err(error) = tokio::fs::remove_file(&self.path).await
        {
            tracing::warn!("page: {} stays: {error}", self.path.display());
        }
    }

    /// One phone, until its call is over.
    async fn call(&self, switch: &Arc<Switch>, at: usize) {
        let Some(dial) = self.targets.get(at) else { return };
        let request = Request { dial: dial.clone(), ..Request::default() };
        match originate(switch, &request, None).await {
            Ok(leg) => {
                leg.set_var("page_file", self.path.to_string_lossy().into_owned());
                transfer(&leg, &self.exten, Some(&self.dialplan), self.context.as_deref());
                leg.hung_up().await;
            }
            Err(failure) => {
                tracing::warn!("page: originate failed: {} [{}]", failure.cause, far::plain(dial));
            }
        }
    }
}

/// The dial strings of a list, each with the variables in front of it.
fn targets(list: &str) -> Result<Vec<String>, String> {
    let (variables, rest) = split_leading(list, '<', '>').map_err(|error| error.to_string())?;
    let targets: Vec<_> = rest
        .splitn(MAX_TARGETS, ":_:")
        .filter(|target| !target.trim().is_empty())
        .map(|target| format!("{variables}{target}"))
        .collect();
    if targets.is_empty() { Err("no channels specified".to_owned()) } else { Ok(targets) }
}

async fn exists(path: &Path) -> bool {
    tokio::fs::try_exists(path).await.unwrap_or(false)
}

async fn run(session: &mut Session, argument: &str) -> AppResult {
    let channel = Arc::clone(session.channel());
    let given = channel.variable_marked("page_path");
    let path = given.clone().unwrap_or_else(|| {
        let name = format!("{}.wav", channel.uuid());
        session.switch().dirs.temp_dir.join(name).to_string_lossy().into_owned()
    });
    let get = |name: &str| channel.variable_marked(name);
    let Some(mut page) = Page::of(get, argument, &path) else { return Ok(()) };
    page.temporary = given.is_none();
    channel.set_var("playback_terminator_used", "");
    let spoken = if page.temporary { speak(session, &path).await } else { Ok(()) };
    // What a speaker said who hung up at its end is played all the same.
    let switch = Arc::clone(session.switch());
    if spoken.is_ok() || exists(&page.path).await {
        page.launch(&switch).await;
    }
    spoken
}

/// Records what is to be played.
async fn speak(session: &mut Session, path: &str) -> AppResult {
    let channel = Arc::clone(session.channel());
    let beep = channel.variable_marked("page_beep").unwrap_or_else(|| BEEP.to_owned());
    let beep = far::path(&beep).into_owned();
    session.play(Play::once(&beep, Keys::Stop(""))).await?;
    if path.contains("://") {
        // What is played from a file afterwards is recorded to one.
        tracing::error!(uuid = %channel.uuid(), "Cannot record a page to an address");
        channel.hangup(Cause::DESTINATION_OUT_OF_ORDER);
        return Err(Interrupt::Hangup);
    }
    let (spec, limit) = recording(&channel, path);
    record_file(session, path, spec, limit, None).await
}

fn recording(channel: &Channel, path: &str) -> (RecordSpec, Option<Duration>) {
    let number = |name: &str| {
        let value = channel.var(name);
        value.map_or(0, |value| text::int(value.trim_start_matches('+'))).max(0)
    };
    let mut spec = RecordSpec::new(resolve(channel, path));
    spec.mix = RecordMix::ReadOnly;
    spec.waste = waste(channel);
    spec.rate = u32::try_from(number("record_rate")).ok().filter(|rate| *rate > 0);
    spec.silence = silence_stop(number("page_record_thresh"), number("page_record_silence_hits"));
    (spec, time_limit(number("page_record_limit")))
}

async fn command(call: ApiCall) -> String {
    if call.marked.trim().is_empty() {
        return "-ERR no data".to_owned();
    }
    let (variables, list) = match leading_variables(&call.marked, '(', ')') {
        Ok((variables, list)) if !variables.is_empty() => (variables, list),
        _ => {
            tracing::error!("page: no variables in parentheses");
            return String::new();
        }
    };
    let get = |name: &str| {
        let found = variables.iter().rev().find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.clone())
    };
    let Some(path) = get("page_path") else {
        tracing::error!("page: no file specified");
        return String::new();
    };
    if let Some(page) = Page::of(get, list, &path) {
        page.launch(&call.switch).await;
    }
    String::new()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_in_front_hold_for_every_target() {
        let list = targets("<a=1>user/1000:_:[b=2]user/1001:_:").unwrap();
        assert_eq!(list, ["<a=1>user/1000", "<a=1>[b=2]user/1001"]);
        assert!(targets("<a=1>").is_err());
        assert!(targets("<a=1").is_err());
    }

    #[test]
    fn as_many_are_called_at_once_as_is_said_and_as_there_are() {
        let page = |size: &'static str| {
            let get = move |name: &str| (name == "page_chunk_size").then(|| size.to_owned());
            Page::of(get, "a/1:_:a/2:_:a/3", "/tmp/x.wav").unwrap()
        };
        assert_eq!([page("2").chunk, page("0").chunk, page("-1").chunk], [2, 3, 3]);
        assert_eq!(page("2").exten, "playback:/tmp/x.wav");
        assert!(Page::of(|_| None, " ", "/tmp/x.wav").is_none());
    }
}
