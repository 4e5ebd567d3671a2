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
    app!("phrase", "mod_dptools", Flags::NONE, "<macro_name>,<data>", "Say a Phrase", phrase)
        .marked(),
    app!("speak", "mod_dptools", Flags::NONE, "<engine>|<voice>|<text>", "Speak text", speak_text),
];

/// Steps one macro may have, all inputs together.
const MAX_STEPS: usize = 512;
/// Macros may say other macros, so many one within the other.
const MAX_DEPTH: u8 = 8;

/// One thing a macro does.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Play(String),
    Say { kind: String, method: String, gender: String, text: String },
    Speak { engine: Option<String>, voice: Option<String>, text: String },
    Phrase { name: String, data: String },
    Execute { application: String, argument: String },
    Pause(u64),
    Break,
}

/// A macro as it applies to some data.
#[derive(Debug, Default)]
struct Script {
    steps: Vec<Step>,
    sound_prefix: Option<String>,
    /// The prefix holds for the phrases within too, whatever their languages say.
    prefix_enforced: Option<String>,
    say_module: String,
}

/// What a macro says something about.
#[derive(Clone, Debug, Default)]
struct About {
    /// Words of a far end in it are marked ([`base::far`]), and stay so in what the macro does with them.
    data: String,
    /// What `${name}` stands for, before the channel's variables. Words of a far end are marked.
    fields: Vec<(String, String)>,
}

impl About {
    /// Reads `[{name=value&…}]macro[:data]`, names and values with percent signs where need be.
    fn read(text: &str) -> (&str, Self) {
        let (fields, text) = match text.strip_prefix('{').and_then(|rest| rest.split_once('}')) {
            Some((fields, rest)) => (fields, rest),
            None => ("", text),
        };
        let plain = |text: &str| {
            String::from_utf8_lossy(&esl_server::event::url_decode(text.as_bytes())).into_owned()
        };
        let fields = fields.split('&').filter_map(|field| field.split_once('='));
        let fields = fields.map(|(name, value)| (plain(name), plain(value))).collect();
        let (name, data) = text.split_once(':').unwrap_or((text, ""));
        (name, Self { data: data.to_owned(), fields })
    }

    /// Puts the fields into a text; what is none of them is left for the channel.
    fn fill(&self, text: &str) -> String {
        let mut filled = text.to_owned();
        if !self.fields.is_empty() && text.contains("${") {
            for (name, value) in &self.fields {
                filled = filled.replace(&format!("${{{name}}}"), value);
            }
        }
        filled
    }
}

/// The group of macros of that name.
fn group_of<'t>(language: Node<'t>, name: &str) -> Option<Node<'t>> {
    let mut groups = language.child("phrases")?.children_named("macros");
    groups.find(|group| group.attr_or_empty("name").eq_ignore_ascii_case(name))
}

/// The macro of that name in that language, `name` or `name@group`.
fn find<'t>(
    languages: Option<Node<'t>>,
    language: &str,
    name: &str,
) -> Option<(Node<'t>, Node<'t>)> {
    let languages = languages?;
    // In the older section `phrases` the languages stand in `<macros>`.
    let older = || languages.child("macros")?.find("language", "name", language);
    let language = languages.find("language", "name", language).or_else(older)?;
    if let Some((name, group)) = name.split_once('@') {
        let mut macros = group_of(language, group)?.children_named("macro");
        let found = macros.find(|one| one.attr_or_empty("name").eq_ignore_ascii_case(name))?;
        return Some((language, found));
    }
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

/// The `field` of each input, which is looked at in place of the data.
fn fields_of(found: Node<'_>) -> Vec<Option<String>> {
    found.children_named("input").map(|input| input.attr("field").map(str::to_owned)).collect()
}

/// What the macro says. `looked_at` has the text of each input's field; an input without one looks at the data.
fn compile(
    (language, group, found): (Node<'_>, Option<Node<'_>>, Node<'_>),
    about: &About,
    looked_at: &[Option<String>],
) -> Script {
    let prefix = |node: Node<'_>| {
        let names = ["sound-prefix", "sound-path", "sound_path", "sound_prefix"];
        names.iter().find_map(|name| node.attr(name)).map(str::to_owned)
    };
    let mut script = Script {
        steps: Vec::new(),
        sound_prefix: group.and_then(prefix).or_else(|| prefix(language)),
        prefix_enforced: group
            .and_then(|group| group.attr("sound-prefix-enforced"))
            .filter(|enforced| text::is_true(enforced))
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
    for (index, input) in found.children_named("input").enumerate() {
        let pattern = input.attr("pattern").unwrap_or(".*");
        let Ok(pattern) = Pattern::cached(pattern) else { continue };
        let subject = looked_at.get(index).and_then(Option::as_deref).unwrap_or(&about.data);
        let captures = pattern.captures_marked(subject);
        let branch = if captures.is_some() { "match" } else { "nomatch" };
        let between = pause(input).or(between);
        for action in
            input.children_named(branch).flat_map(|branch| branch.children_named("action"))
        {
            let raw = action.attr_or_empty("data");
            let text = captures.as_ref().map_or_else(|| raw.to_owned(), |c| substitute(raw, c));
            let Some(mut step) = step(language, action, about.fill(&text)) else { continue };
            if let (Step::Play(file), true) = (&mut step, is_one_group(raw)) {
                *file = far::into_plain(std::mem::take(file)).replace('$', &far::mark("$"));
            }
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

/// Is that a group of the pattern and nothing else (`$1`)? A macro that plays it leaves it to the data which file that is; as
/// where an application's argument is one reference.
fn is_one_group(raw: &str) -> bool {
    raw.strip_prefix('$').is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
}

/// One action, its data filled in.
fn step(language: Node<'_>, action: Node<'_>, text: String) -> Option<Step> {
    let attr = |name: &str| action.attr_or_empty(name).to_owned();
    let voiced = |name: &str, older: &str| {
        let own = action.attr(name).or_else(|| language.attr(name));
        own.or_else(|| language.attr(older)).map(str::to_owned)
    };
    Some(match action.attr_or_empty("function").to_ascii_lowercase().as_str() {
        "play-file" => Step::Play(text),
        "say" => {
            let (kind, method, gender) = (attr("type"), attr("method"), attr("gender"));
            Step::Say { kind, method, gender, text }
        }
        "speak-text" => Step::Speak {
            engine: voiced("tts-engine", "tts_engine"),
            voice: voiced("tts-voice", "tts_voice"),
            text,
        },
        "phrase" => Step::Phrase { name: attr("phrase"), data: text },
        "execute" => {
            let (application, argument) = match text.split_once(['(', ' ']) {
                Some((app, rest)) => (app, rest.strip_suffix(')').unwrap_or(rest)),
                None => (text.as_str(), ""),
            };
            Step::Execute { application: application.to_owned(), argument: argument.to_owned() }
        }
        "sleep" => Step::Pause(u64::try_from(text::int(&text)).unwrap_or(0)),
        "break" => Step::Break,
        _ => return None,
    })
}

/// The language of a macro that names none: the channel's, the default.
fn language_of(channel: &Channel) -> String {
    channel
        .var("language")
        .or_else(|| channel.var("default_language"))
        .unwrap_or_else(|| "en".to_owned())
}

/// What a macro says, wherever it is described. The region of a language (`en-US`) is left off if need be.
async fn script(
    session: &mut Session,
    name: &str,
    language: &str,
    about: &About,
) -> Result<Option<Script>, Interrupt> {
    let (switch, channel) = (Arc::clone(session.switch()), Arc::clone(session.channel()));
    for language in [Some(language), language.split_once('-').map(|(language, _)| language)] {
        let Some(language) = language else { continue };
        for section in ["languages", "phrases"] {
            let fill = |params: &mut Event| {
                params
                    .push("macro_name", name)
                    .push("lang", language)
                    .push("data", &*far::plain(&about.data));
            };
            let lookup = xml::section(&switch, section, &channel, fill);
            // The caller may give up while a web server thinks.
            let tree = if switch.xml.serve(section) {
                session.wait_for(lookup).await?
            } else {
                lookup.await
            };
            let Some(tree) = tree else { continue };
            let Some(mut looked_at) =
                find(tree.section(section), language, name).map(|(_, found)| fields_of(found))
            else {
                continue;
            };
            for field in looked_at.iter_mut().flatten() {
                let filled = about.fill(field);
                *field = session.expand(&filled).await.into_owned();
            }
            let found = find(tree.section(section), language, name);
            return Ok(found.map(|(language, found)| {
                let group = name.split_once('@').and_then(|(_, name)| group_of(language, name));
                compile((language, group, found), about, &looked_at)
            }));
        }
    }
    Ok(None)
}

/// Plays the macro `name[@group][@language]` about `data`, which may be marked. [`Ended::NotFound`] when there is no such macro.
///
/// # Errors
/// [`Interrupt`] when the call ended or moved.
pub async fn run(
    session: &mut Session,
    name: &str,
    data: &str,
    keys: Keys<'_>,
) -> Result<Ended, Interrupt> {
    let about = About { data: data.to_owned(), fields: Vec::new() };
    run_within(session, name, None, about, keys, 0).await
}

/// The same, `depth` macros deep, in the language of the macro around it.
async fn run_within(
    session: &mut Session,
    name: &str,
    around: Option<&str>,
    mut about: About,
    keys: Keys<'_>,
    depth: u8,
) -> Result<Ended, Interrupt> {
    let channel = Arc::clone(session.channel());
    about.data = session.expand(&about.data).await.into_owned();
    let language = around.map_or_else(|| language_of(&channel), str::to_owned);
    let mut found =
        script(session, name, &language, &about).await?.map(|script| (script, language));
    // A macro of a group, or of a language that is named with it (`sayPhrase` of scripts).
    if let (None, Some((name, language))) = (&found, name.rsplit_once('@')) {
        let named = script(session, name, language, &about).await?;
        found = named.map(|script| (script, language.to_owned()));
    }
    let Some((script, language)) = found else {
        tracing::error!(uuid = %channel.uuid(), "Can't find macro {name}.");
        return Ok(Ended::NotFound);
    };
    session.pre_answer().await?;
    let enforced = channel.is_true("sound_prefix_enforced");
    let prefix = script.sound_prefix.as_deref().filter(|_| !enforced);
    let before = channel.var("sound_prefix");
    if let Some(prefix) = prefix {
        channel.set_var("sound_prefix", prefix);
    }
    if let Some(word) = script.prefix_enforced.as_deref().filter(|_| !enforced) {
        channel.set_var("sound_prefix_enforced", word);
    }
    let result = perform(session, &script, &language, keys, depth).await;
    if prefix.is_some() {
        channel.set_var("sound_prefix", before.unwrap_or_default());
    }
    if script.prefix_enforced.is_some() && !enforced {
        channel.unset_var("sound_prefix_enforced");
    }
    result
}

async fn perform(
    session: &mut Session,
    script: &Script,
    language: &str,
    keys: Keys<'_>,
    depth: u8,
) -> Result<Ended, Interrupt> {
    for step in &script.steps {
        let ended = match step {
            Step::Play(file) => {
                let file = session.expand(file).await.into_owned();
                let file = far::path(&file).into_owned();
                session.play(Play::once(&file, keys)).await?
            }
            Step::Say { kind, method, gender, text } => {
                let text = far::into_plain(session.expand(text).await.into_owned());
                let saying =
                    Saying { module: &script.say_module, kind, method, gender, text: &text };
                say::speak(session, &saying, keys).await?
            }
            Step::Speak { engine, voice, text } => {
                let text = far::into_plain(session.expand(text).await.into_owned());
                say_text(session, engine.as_deref(), voice.as_deref(), &text, keys).await?
            }
            Step::Phrase { name, .. } if depth >= MAX_DEPTH => {
                tracing::error!(uuid = %session.channel().uuid(), "Macros say each other without end: {name}");
                Ended::Failed
            }
            Step::Phrase { name, data } => {
                let about = About { data: data.clone(), fields: Vec::new() };
                let inner = run_within(session, name, Some(language), about, keys, depth + 1);
                Box::pin(inner).await?
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

/// Plays what stands behind `phrase:`, `[{fields}]name[:data]`. Fields, `name=value` with `&` between, stand for
/// `${name}` in the macro, and are written with percent signs; menus of modules pass them so.
///
/// # Errors
/// [`Interrupt`] when the call ended or moved.
pub async fn play_phrase(
    session: &mut Session,
    text: &str,
    keys: Keys<'_>,
) -> Result<Ended, Interrupt> {
    let (name, about) = About::read(text);
    run_within(session, name, None, about, keys, 0).await
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
    let name = &*far::plain(name);
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
        let about = About { data: data.to_owned(), fields: Vec::new() };
        compile((language, None, found), &about, &[]).steps
    }

    fn said(kind: &str, text: &str) -> Step {
        let [kind, method, text] = [kind, "pronounced", text].map(str::to_owned);
        Step::Say { kind, method, gender: String::new(), text }
    }

    #[test]
    fn a_macro_of_a_group_looks_at_fields_and_says_other_macros() {
        let text = r#"<document><section name="languages"><language name="fr"><phrases><macros/>
            <macros name="vm" sound-prefix="/vm"><macro name="count"><input field="${New}" pattern="^(0)$"><nomatch>
            <action function="phrase" phrase="key@vm" data="${Key}:${New}:${other}"/></nomatch></input>
            <input pattern="x"><match><action function="play-file" data="$1"/></match></input></macro></macros>
            </phrases></language></section></document>"#;
        let tree = dialplan_xml::parse_raw(text, "test").tree.unwrap();
        let section = tree.section("languages");
        assert!(find(section, "fr", "count").is_none(), "it is in a group");
        assert!(find(section, "fr", "count@other").is_none());
        let (language, found) = find(section, "fr", "count@vm").unwrap();
        let (name, about) = About::read("{New=2&Key=%23&A%2c=%7d}count@vm");
        assert_eq!(name, "count@vm");
        assert_eq!(about.fill("${A,}"), "}");
        assert_eq!(fields_of(found), [Some("${New}".to_owned()), None]);
        let looked_at = [Some("2".to_owned()), None];
        let script = compile((language, group_of(language, "VM"), found), &about, &looked_at);
        let step = Step::Phrase { name: "key@vm".into(), data: "#:2:${other}".into() };
        assert_eq!(script.steps, [step]);
        assert_eq!(script.sound_prefix.as_deref(), Some("/vm"));
        assert_eq!(script.say_module, "fr");
        let none = compile((language, None, found), &about, &[Some("0".to_owned()), None]);
        assert!(none.steps.is_empty());
    }

    #[test]
    fn a_match_says_what_it_captured_with_pauses_between() {
        let say = said("items", "7");
        assert_eq!(
            steps("7"),
            [Step::Play("have.wav".into()), Step::Pause(100), say, Step::Pause(100)]
        );
    }

    #[test]
    fn what_a_far_end_said_stays_one_value_of_what_a_macro_does() {
        let xml = r#"<language name="en"><macros><macro name="m"><input pattern="^(.*)$"><match>
            <action function="execute" data="set(said=$1)"/><action function="play-file" data="a/$1.wav"/>
            <action function="play-file" data="$1"/></match></input></macro></macros></language>"#;
        let tree = dialplan_xml::parse_raw(
            &format!("<document><section name=\"languages\">{xml}</section></document>"),
            "test",
        );
        let tree = tree.tree.unwrap();
        let (language, found) = find(tree.section("languages"), "en", "m").unwrap();
        let said = "/x ${system(id)},b=1)";
        let about = About { data: far::mark(said), fields: Vec::new() };
        let steps = compile((language, None, found), &about, &[]).steps;
        let [Step::Execute { argument, .. }, Step::Play(part), Step::Play(whole)] = &*steps else {
            panic!("{steps:?}");
        };
        assert_eq!(*argument, format!("said={}", far::mark(said)));
        assert_eq!(*part, format!("a/{}.wav", far::mark(said)));
        // The macro leaves the file to its data; it is not expanded again.
        assert_eq!(*whole, said.replace('$', &far::mark("$")));
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
