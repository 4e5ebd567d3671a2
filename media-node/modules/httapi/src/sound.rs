//! Actions a caller hears: `playback`, `speak`, `say`, `vmName`, `pause`; and the keys they ask for.

use std::time::Duration;

use dialplan_xml::Node;
use switch_core::app::play::{Ended, Keys, Play};
use switch_core::call::Interrupt;
use switch_core::call::transfer::transfer;
use switch_core::text;
use tokio::time::Instant;

use crate::actions::{Matched, Next, Worker, attr};
use crate::digits::{Machine, Outcome};
use crate::ear::Ear;

/// Length of a packet.
const PACKET: Duration = Duration::from_millis(20);

/// What is heard.
pub(crate) enum Sound {
    File(String),
    /// Engine, voice and text.
    Speech(String, String, String),
    /// Argument of the application `say`.
    Say(String),
    /// File, engine and grammar.
    Recognition(String, String, String),
    Silence(u64),
}

/// How it ended, in the reference's terms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    /// Whole.
    Success,
    /// A binding matched.
    Found,
    /// No binding matches, or it was broken off.
    Break,
    Error,
}

/// Milliseconds of an attribute; the default where it is missing or none.
fn millis(tag: Node<'_>, name: &str, default: u64) -> Duration {
    let given = attr(tag, name).map(|value| {
        let ms = u64::try_from(text::int(value)).ok().filter(|ms| (1..=86_400_000).contains(ms));
        if ms.is_none() {
            tracing::error!("httapi: Invalid {} [{value}]", name.replace('-', " "));
        }
        ms
    });
    Duration::from_millis(given.flatten().unwrap_or(default))
}

/// The bindings of an action, by place in the list.
pub(crate) fn bindings(tag: Node<'_>) -> Option<Machine> {
    tag.child("bind")?;
    let digits = tag.children_named("bind").map(Node::text);
    let terminators = tag.attr_or_empty("terminators");
    Some(Machine::new(digits, terminators, millis(tag, "digit-timeout", 1500)))
}

impl Worker<'_> {
    /// Plays, and asks for keys where there are bindings.
    pub(crate) async fn sound(
        &mut self,
        name: &str,
        tag: Node<'_>,
        body: &str,
    ) -> Result<Next, Interrupt> {
        let Some(sound) = self.what(name, tag, body).await? else { return Ok(Next::Leave) };
        let field = attr(tag, "name").unwrap_or("dialed_digits");
        let machine = bindings(tag);
        let asks = machine.is_some();
        let file_is_missing = matches!(&sound, Sound::File(file) if file.is_empty());
        if file_is_missing {
            return Ok(self.deny("missing file attribute!"));
        }
        let ear = Ear::open(&self.channel, machine);
        let mut pause = millis(tag, "input-timeout", 5000);
        let mut loops = text::int(tag.attr_or_empty("loops"));
        let mut submits = false;
        let status = loop {
            let mut status = match &sound {
                Sound::Silence(ms) => {
                    // The reference waits for the end of the packet in which the time is over.
                    pause = Duration::from_millis(*ms) + PACKET;
                    Status::Success
                }
                sound => self.hear(sound, &ear).await?,
            };
            if let Sound::Recognition(..) = &sound {
                if let Some(result) = self.recognised() {
                    let mut client = self.client.lock();
                    client.once.set(field, result);
                    client.once.set("input_type", "detected_speech");
                    submits = true;
                    break Status::Success;
                }
                pause = Duration::ZERO;
            }
            let silence = matches!(sound, Sound::Silence(_));
            if !asks && !silence {
                submits = true;
                break Status::Success;
            }
            if !pause.is_zero() && status == Status::Success {
                status = self.pause(&ear, pause).await?;
                if status == Status::Success && asks {
                    status = Status::Break;
                }
            }
            match status {
                Status::Found => {
                    self.found(tag, &ear);
                    submits = true;
                    break Status::Success;
                }
                Status::Break => {
                    if let Some(file) = attr(tag, "error-file") {
                        self.complain(file, field, &ear).await?;
                    }
                    ear.forget();
                }
                Status::Success => {}
                Status::Error => break Status::Error,
            }
            if loops <= 0 {
                break Status::Success;
            }
            loops -= 1;
        };
        drop(ear);
        if submits {
            return self.submit(tag, field);
        }
        Ok(if status == Status::Error { Next::Leave } else { Next::Go })
    }

    /// What an action plays; `None` when it says too little.
    async fn what(
        &mut self,
        name: &str,
        tag: Node<'_>,
        body: &str,
    ) -> Result<Option<Sound>, Interrupt> {
        let text = attr(tag, "text").or_else(|| attr(tag, "file")).unwrap_or(body);
        let owned = |name: &str| tag.attr_or_empty(name).to_owned();
        Ok(match name {
            "say" => {
                let needed = ["language", "type", "method"].map(|name| attr(tag, name));
                let [Some(language), Some(kind), Some(method)] = needed else {
                    tracing::error!(
                        uuid = %self.channel.uuid(),
                        "speak: missing required attributes or text! (language) (type) (method)"
                    );
                    return Ok(None);
                };
                if text.is_empty() {
                    tracing::error!(uuid = %self.channel.uuid(), "speak: missing text!");
                    return Ok(None);
                }
                Some(say(language, kind, method, attr(tag, "gender"), text))
            }
            "speak" => {
                let Some(engine) = attr(tag, "engine") else {
                    tracing::error!(uuid = %self.channel.uuid(), "speak: missing engine attribute!");
                    return Ok(None);
                };
                Some(Sound::Speech(engine.to_owned(), owned("voice"), text.to_owned()))
            }
            "pause" => {
                let ms = u64::try_from(text::int(tag.attr_or_empty("milliseconds"))).unwrap_or(0);
                Some(Sound::Silence(if ms == 0 { 1000 } else { ms.min(86_400_000) }))
            }
            "vmname" => return self.name_of_box(tag).await,
            _ => {
                let asks = tag.child("bind").is_some();
                let file = attr(tag, "file").unwrap_or(if asks { "" } else { body.trim() });
                match (attr(tag, "asr-engine"), attr(tag, "asr-grammar")) {
                    (Some(engine), Some(grammar)) => Some(Sound::Recognition(
                        file.to_owned(),
                        engine.to_owned(),
                        grammar.to_owned(),
                    )),
                    _ => Some(Sound::File(file.to_owned())),
                }
            }
        })
    }

    /// The recorded name of a mailbox, or its number spelt.
    async fn name_of_box(&mut self, tag: Node<'_>) -> Result<Option<Sound>, Interrupt> {
        let id = tag.attr_or_empty("id");
        let switch = std::sync::Arc::clone(self.session.switch());
        let argument = format!("{id}|name_path");
        let reply = self.session.wait_for(switch.run_api("vm_prefs", &argument, None)).await?;
        let path = reply.unwrap_or_default().trim().to_owned();
        if path.is_empty() {
            let prompt = Play::once("voicemail/vm-person.wav", Keys::Any);
            self.session.play(prompt).await?;
            let id = id.split('@').next().unwrap_or_default();
            let (language, gender) = (tag.attr_or_empty("language"), attr(tag, "gender"));
            return Ok(Some(say(language, "name_spelled", "pronounced", gender, id)));
        }
        if path.contains("://") || tokio::fs::try_exists(&path).await.unwrap_or(false) {
            return Ok(Some(Sound::File(path)));
        }
        tracing::error!(uuid = %self.channel.uuid(), "Invalid file! [{path}]");
        Ok(None)
    }

    /// Plays until its end, or until the keys are decided.
    pub(crate) async fn hear(&mut self, sound: &Sound, ear: &Ear) -> Result<Status, Interrupt> {
        if let Some(outcome) = ear.outcome() {
            return Ok(status(&outcome));
        }
        let watch = ear.stops_media();
        let ended = match sound {
            Sound::File(file) => self.session.play(Play::once(file, Keys::Stop(""))).await?,
            Sound::Speech(engine, voice, text) => {
                let source = format!("tts://{engine}|{voice}|{text}");
                let play = Play { announced: false, ..Play::once(&source, Keys::Stop("")) };
                self.session.play(play).await?
            }
            Sound::Say(argument) => self.application("say", argument).await?,
            Sound::Recognition(file, engine, grammar) => {
                self.channel.unset_var("detect_speech_result");
                let argument = format!("{file} detect:{engine} {grammar}");
                self.application("play_and_detect_speech", &argument).await?
            }
            Sound::Silence(_) => Ended::Done,
        };
        drop(watch);
        ear.ended(self.session, ended == Ended::Broken).await?;
        if let Some(outcome) = ear.outcome() {
            return Ok(status(&outcome));
        }
        Ok(match ended {
            Ended::Broken => Status::Break,
            Ended::NotFound | Ended::Failed => Status::Error,
            Ended::Done | Ended::TimedOut | Ended::Key(_) => Status::Success,
        })
    }

    /// Runs an application's code as part of an action: no event tells of it.
    pub(crate) async fn application(
        &mut self,
        name: &str,
        argument: &str,
    ) -> Result<Ended, Interrupt> {
        let Some(app) = self.session.switch().app(name) else {
            tracing::error!(uuid = %self.channel.uuid(), "httapi: there is no application {name}");
            return Ok(Ended::Failed);
        };
        (app.run)(self.session, argument).await?;
        Ok(Ended::Done)
    }

    fn recognised(&self) -> Option<String> {
        self.channel.variable("detect_speech_result").filter(|result| !result.is_empty())
    }

    async fn pause(&mut self, ear: &Ear, time: Duration) -> Result<Status, Interrupt> {
        let whole = ear.wait(self.session, Instant::now() + time).await?;
        Ok(match ear.outcome() {
            Some(outcome) => status(&outcome),
            None if whole => Status::Success,
            None => Status::Break,
        })
    }

    /// Tells the caller that the keys were wrong; any key ends that.
    async fn complain(&mut self, file: &str, field: &str, ear: &Ear) -> Result<(), Interrupt> {
        ear.skips(true);
        let played = self.session.play(Play::once(file, Keys::Stop(""))).await;
        ear.skips(false);
        ear.ended(self.session, matches!(played, Ok(Ended::Broken))).await?;
        played?;
        let mut client = self.client.lock();
        client.once.set(field, "invalid");
        client.once.set("input_type", "invalid");
        Ok(())
    }

    /// Notes which binding matched.
    pub(crate) fn found(&mut self, tag: Node<'_>, ear: &Ear) {
        let Some(Outcome::Found(at, digits)) = ear.outcome() else { return };
        let bind = tag.children_named("bind").nth(at);
        let own = |name: &str| bind.and_then(|bind| bind.attr(name)).map(str::to_owned);
        self.matched = Some(Matched {
            digits,
            action: own("action").or_else(|| tag.attr("action").map(str::to_owned)),
            strip: own("strip").unwrap_or_default(),
        });
    }

    /// Hands what was typed to the next request.
    fn submit(&mut self, tag: Node<'_>, field: &str) -> Result<Next, Interrupt> {
        let mut action = None;
        if let Some(matched) = &mut self.matched {
            if let Some(at) = matched.digits.find(|digit| matched.strip.contains(digit)) {
                matched.digits.truncate(at);
            }
            let mut client = self.client.lock();
            client.once.set(field, matched.digits.as_str());
            client.once.set("input_type", "dtmf");
            action.clone_from(&matched.action);
        }
        let asks = tag.child("bind").is_some();
        let action = action.or_else(|| tag.attr("action").filter(|_| asks).map(str::to_owned));
        let (Some(action), Some(matched)) = (action, &self.matched) else { return Ok(Next::Go) };
        let dials = action.get(..5).is_some_and(|start| start.eq_ignore_ascii_case("dial:"));
        if !dials {
            self.client.lock().params.set("url", action);
            return Ok(Next::Go);
        }
        let may = &self.profile.permissions;
        let (context, dialplan) = match action[5..].split_once(':') {
            Some((context, dialplan)) => (context, Some(dialplan)),
            None => (&action[5..], None),
        };
        let context = Some(context).filter(|_| may.dial_set_context);
        let dialplan = dialplan.filter(|_| may.dial_set_context && may.dial_set_dialplan);
        transfer(&self.channel, &matched.digits, dialplan, context);
        Ok(Next::Leave)
    }
}

fn status(outcome: &Outcome) -> Status {
    match outcome {
        Outcome::Found(..) => Status::Found,
        Outcome::Invalid => Status::Break,
        Outcome::Overflow => Status::Error,
    }
}

fn say(language: &str, kind: &str, method: &str, gender: Option<&str>, text: &str) -> Sound {
    let gender = gender.map(|gender| format!("{gender} ")).unwrap_or_default();
    Sound::Say(format!("{language} {kind} {method} {gender}{text}"))
}
