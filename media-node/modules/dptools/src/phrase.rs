//! Phrase macros: the `phrase` application and `phrase:` in playback strings.

use std::sync::Arc;
use std::time::Duration;

use dialplan_xml::Node;
use dialplan_xml::regex::{Pattern, substitute};
use esl_server::event::Event;

use base::far;

use super::play::{Ended, Keys, Play, terminators};
use super::say::{self, Saying};
use super::{App, Flags};
use crate::app;
use crate::call::{AppResult, Cause, Channel, Interrupt, Session};
use crate::{text, xml};

/// The family.
pub const APPS: &[App] = &[
    app!("phrase", "mod_dptools", Flags::NONE, "<macro_name>,<data>", "Say a Phrase", phrase),
    app!("speak", "mod_dptools", Flags::NONE, "<engine>|<voice>|<text>", "Speak text", speak_text),
];

/// Steps one macro may have, all inputs together.
const MAX_STEPS: usize = 512;

/// One thing a macro does.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Play(String),
    Say { kind: String, method: String, text: String },
    Speak(String),
    Execute { application: String, argument: String },
    Pause(u64),
    Break,
}

/// A macro as it applies to some data.
#[derive(Debug, Default)]
struct Script {
    steps: Vec<Step>,
    sound_prefix: Option<String>,
    say_module: String,
}

/// The macro of that name in that language.
fn find<'t>(
    languages: Option<Node<'t>>,
    language: &str,
    name: &str,
) -> Option<(Node<'t>, Node<'t>)> {
    let languages = languages?;
    // In the older section `phrases` the languages stand in `<macros>`.
    let older = || languages.child("macros")?.find("language", "name", language);
    let language = languages.find("language", "name", language).or_else(older)?;
    let holder = language.child("phrases").and_then(|phrases| phrases.child("macros"));
    let found =
        holder.into_iter().chain(language.children_named("macros")).chain([language]).find_map(
            |holder| {
                holder
                    .children_named("macro")
                    .find(|found| found.attr_or_empty("name").eq_ignore_ascii_case(name))
            },
        )?;
    Some((language, found))
}

/// What the macro says about `data`.
fn compile(language: Node<'_>, found: Node<'_>, data: &str) -> Script {
    let mut script = Script {
        steps: Vec::new(),
        sound_prefix: language
            .attr("sound-prefix")
            .or_else(|| language.attr("sound-path"))
            .or_else(|| language.attr("sound_prefix"))
            .map(str::to_owned),
        say_module: language
            .attr("say-module")
            .or_else(|| language.attr("module"))
            .unwrap_or_else(|| language.attr_or_empty("name"))
            .to_owned(),
    };
    let pause = |node: Node<'_>| {
        node.attr("pause").and_then(|ms| u64::try_from(text::int(ms)).ok()).filter(|&ms| ms > 0)
    };
    let between = pause(found);
    for input in found.children_named("input") {
        let pattern = input.attr("pattern").unwrap_or(".*");
        let Ok(pattern) = Pattern::cached(pattern) else { continue };
        let captures = pattern.captures(data);
        let branch = if captures.is_some() { "match" } else { "nomatch" };
        let between = pause(input).or(between);
        for action in
            input.children_named(branch).flat_map(|branch| branch.children_named("action"))
        {
            let raw = action.attr_or_empty("data");
            let text = captures.as_ref().map_or_else(|| raw.to_owned(), |c| substitute(raw, c));
            let attr = |name: &str| action.attr_or_empty(name).to_owned();
            let step = match action.attr_or_empty("function") {
                "play-file" => Step::Play(text),
                "say" => Step::Say { kind: attr("type"), method: attr("method"), text },
                "speak-text" => Step::Speak(text),
                "execute" => {
                    let (application, argument) = match text.split_once(['(', ' ']) {
                        Some((app, rest)) => (app, rest.strip_suffix(')').unwrap_or(rest)),
                        None => (text.as_str(), ""),
                    };
                    Step::Execute {
                        application: application.to_owned(),
                        argument: argument.to_owned(),
                    }
                }
                "sleep" => Step::Pause(u64::try_from(text::int(&text)).unwrap_or(0)),
                "break" => Step::Break,
                _ => continue,
            };
            if script.steps.len() >= MAX_STEPS {
                return script;
            }
            let ends = step == Step::Break;
            script.steps.push(step);
            if ends {
                return script;
            }
            if let Some(ms) = between {
                script.steps.push(Step::Pause(ms));
            }
        }
        if captures.is_some() && input.attr("break_on_match").is_some_and(text::is_true) {
            break;
        }
    }
    script
}

/// The language of a macro: `name@lang`, the channel's, the default.
fn language_of(channel: &Channel, given: Option<&str>) -> String {
    given
        .map(str::to_owned)
        .or_else(|| channel.var("language"))
        .or_else(|| channel.var("default_language"))
        .unwrap_or_else(|| "en".to_owned())
}

/// What a macro says, wherever it is described. The region of a language (`en-US`) is left off if need be.
async fn script(
    session: &mut Session,
    name: &str,
    language: &str,
    data: &str,
) -> Result<Option<Script>, Interrupt> {
    let (switch, channel) = (Arc::clone(session.switch()), Arc::clone(session.channel()));
    for language in [Some(language), language.split_once('-').map(|(language, _)| language)] {
        let Some(language) = language else { continue };
        for section in ["languages", "phrases"] {
            let fill = |params: &mut Event| {
                params.push("macro_name", name).push("lang", language).push("data", data);
            };
            let lookup = xml::section(&switch, section, &channel, fill);
            // The caller may give up while a web server thinks.
            let tree = if switch.xml.serve(section) {
                session.wait_for(lookup).await?
            } else {
                lookup.await
            };
            let Some(tree) = tree else { continue };
            let found = find(tree.section(section), language, name)
                .map(|(language, found)| compile(language, found, data));
            if found.is_some() {
                return Ok(found);
            }
        }
    }
    Ok(None)
}

/// Plays the macro `name[@lang]` about `data`. [`Ended::NotFound`] when there is no such macro.
///
/// # Errors
/// [`Interrupt`] when the call ended or moved.
pub async fn run(
    session: &mut Session,
    name: &str,
    data: &str,
    keys: Keys<'_>,
) -> Result<Ended, Interrupt> {
    let channel = Arc::clone(session.channel());
    let data = far::into_plain(session.expand(data).await.into_owned());
    let (name, given) =
        name.split_once('@').map_or((name, None), |(name, lang)| (name, Some(lang)));
    let language = language_of(&channel, given);
    let script = script(session, name, &language, &data).await?;
    let Some(script) = script else {
        tracing::error!(uuid = %channel.uuid(), "Can't find macro {name}.");
        return Ok(Ended::NotFound);
    };
    let before = channel.var("sound_prefix");
    if let Some(prefix) = &script.sound_prefix {
        channel.set_var("sound_prefix", prefix.as_str());
    }
    let result = perform(session, &script, keys).await;
    if script.sound_prefix.is_some() {
        channel.set_var("sound_prefix", before.unwrap_or_default());
    }
    result
}

async fn perform(
    session: &mut Session,
    script: &Script,
    keys: Keys<'_>,
) -> Result<Ended, Interrupt> {
    for step in &script.steps {
        let ended = match step {
            Step::Play(file) => {
                let file = session.expand(file).await.into_owned();
                let file = far::path(&file).into_owned();
                session.play(Play::once(&file, keys)).await?
            }
            Step::Say { kind, method, text } => {
                let text = far::into_plain(session.expand(text).await.into_owned());
                let saying = Saying { language: &script.say_module, kind, method, text: &text };
                say::speak(session, &saying, keys).await?
            }
            Step::Speak(text) => {
                let text = far::into_plain(session.expand(text).await.into_owned());
                say_text(session, None, None, &text, keys).await?
            }
            Step::Execute { application, argument } => {
                session.execute(application, argument).await?;
                Ended::Done
            }
            Step::Pause(ms) => {
                session.sleep(Duration::from_millis(*ms)).await?;
                Ended::Done
            }
            Step::Break => return Ok(Ended::Done),
        };
        let typed =
            matches!(keys, Keys::Any) && session.channel().with(|data| !data.digits.is_empty());
        if matches!(ended, Ended::Key(_) | Ended::Broken | Ended::TimedOut) || typed {
            return Ok(if typed { Ended::Key(None) } else { ended });
        }
    }
    Ok(Ended::Done)
}

/// A macro for other applications: keys are left to them.
///
/// # Errors
/// [`Interrupt`] when the call ended or moved.
pub async fn speak(session: &mut Session, name: &str, data: &str) -> Result<Ended, Interrupt> {
    Box::pin(run(session, name, data, Keys::Any)).await
}

/// Plays what stands behind `phrase:`, `name:data`.
///
/// # Errors
/// [`Interrupt`] when the call ended or moved.
pub async fn play_phrase(
    session: &mut Session,
    text: &str,
    keys: Keys<'_>,
) -> Result<Ended, Interrupt> {
    let (name, data) = text.split_once(':').unwrap_or((text, ""));
    run(session, name, data, keys).await
}

/// Speaks what stands behind `say:`.
///
/// # Errors
/// [`Interrupt`] when the call ended or moved.
pub async fn play_speech(
    session: &mut Session,
    text: &str,
    keys: Keys<'_>,
) -> Result<Ended, Interrupt> {
    say_text(session, None, None, text, keys).await
}

/// Speaks a text with an engine and a voice, the call's own (`tts_engine`, `tts_voice`) where none is named.
async fn say_text(
    session: &mut Session,
    engine: Option<&str>,
    voice: Option<&str>,
    text: &str,
    keys: Keys<'_>,
) -> Result<Ended, Interrupt> {
    let channel = Arc::clone(session.channel());
    let own = |given: Option<&str>, name: &str| {
        given.map(str::to_owned).or_else(|| channel.var(name)).unwrap_or_default()
    };
    let (engine, voice) = (own(engine, "tts_engine"), own(voice, "tts_voice"));
    if engine.is_empty() {
        tracing::error!(uuid = %channel.uuid(), "Invalid Args");
        return Ok(Ended::Failed);
    }
    let source = format!("tts://{engine}|{voice}|{text}");
    let play = Play { announced: false, ..Play::once(&source, keys) };
    let ended = Box::pin(session.play(play)).await?;
    if matches!(ended, Ended::Failed | Ended::NotFound) {
        tracing::error!(uuid = %channel.uuid(), "Invalid TTS module {engine}[{voice}]!");
    }
    Ok(ended)
}

async fn phrase(session: &mut Session, argument: &str) -> AppResult {
    let (name, data) = argument.split_once(',').unwrap_or((argument, ""));
    let (name, data) = (&*far::plain(name), &*far::plain(data));
    let channel = Arc::clone(session.channel());
    let keys = terminators(&channel);
    let result = run(session, name.trim(), data, Keys::Stop(&keys)).await;
    if let Ok(Ended::Key(Some(key))) = &result {
        channel.set_var("playback_terminator_used", key.to_string());
    }
    session.respond(match &result {
        Ok(Ended::NotFound) => "NOTHING",
        Ok(Ended::Failed) | Err(_) => "UNKNOWN ERROR",
        Ok(_) => "PHRASE PLAYED",
    });
    result.map(drop)
}

async fn speak_text(session: &mut Session, argument: &str) -> AppResult {
    let channel = Arc::clone(session.channel());
    let mut parts = argument.splitn(3, '|');
    // Of two parts the first is the voice, as in the reference.
    let (engine, voice, text) = match (parts.next(), parts.next(), parts.next()) {
        (Some(engine), Some(voice), Some(text)) => (Some(engine), Some(voice), text),
        (Some(voice), Some(text), None) => (None, Some(voice), text),
        _ => (None, None, argument),
    };
    let known = |given: Option<&str>, name: &str| given.is_some() || channel.var(name).is_some();
    if text.is_empty() || !known(engine, "tts_engine") || !known(voice, "tts_voice") {
        tracing::error!(uuid = %channel.uuid(), "Invalid Params!");
        if !argument.is_empty() {
            channel.hangup(Cause::DESTINATION_OUT_OF_ORDER);
        }
        return session.check();
    }
    channel.unset_var("playback_terminator_used");
    session.pre_answer().await?;
    let keys = terminators(&channel);
    let ended = say_text(session, engine, voice, text, Keys::Stop(&keys)).await?;
    if let Ended::Key(Some(key)) = ended {
        channel.set_var("playback_terminator_used", key.to_string());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const XML: &str = r#"<language name="en" say-module="en" sound-prefix="/snd">
      <phrases><macros><macro name="Count" pause="100">
        <input pattern="^(\d+)$"><match>
          <action function="play-file" data="have.wav"/>
          <action function="say" data="$1" method="pronounced" type="items"/>
        </match><nomatch><action function="execute" data="sleep(100)"/></nomatch></input>
      </macro></macros></phrases></language>"#;

    fn steps(data: &str) -> Vec<Step> {
        let text = format!("<section name=\"languages\">{XML}</section>");
        let document = format!("<document type=\"freeswitch/xml\">{text}</document>");
        let loaded = dialplan_xml::parse_document(
            document.as_bytes(),
            "test",
            std::path::Path::new("/"),
            dialplan_xml::Globals::default(),
            &dialplan_xml::LoadOptions::default(),
        );
        let tree = loaded.tree.unwrap();
        let section = tree.section("languages");
        let (language, found) = find(section, "en", "count").unwrap();
        assert!(find(section, "de", "count").is_none());
        compile(language, found, data).steps
    }

    #[test]
    fn a_match_says_what_it_captured_with_pauses_between() {
        let say = Step::Say { kind: "items".into(), method: "pronounced".into(), text: "7".into() };
        assert_eq!(
            steps("7"),
            [Step::Play("have.wav".into()), Step::Pause(100), say, Step::Pause(100)]
        );
    }

    #[test]
    fn the_older_section_has_its_languages_in_macros() {
        let text = "<document><section name=\"phrases\"><macros><language name=\"en\">\
            <macro name=\"hi\"/></language></macros></section></document>";
        let tree = dialplan_xml::parse_raw(text, "test").tree.unwrap();
        assert!(find(tree.section("phrases"), "en", "hi").is_some());
        assert!(find(tree.section("phrases"), "en", "ho").is_none());
    }

    #[test]
    fn no_match_takes_the_other_branch() {
        let execute = Step::Execute { application: "sleep".into(), argument: "100".into() };
        assert_eq!(steps("x"), [execute, Step::Pause(100)]);
    }
}
