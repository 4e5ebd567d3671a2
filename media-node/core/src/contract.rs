//! What a module is: what it provides, and what it is told.
//!
//! One FreeSWITCH module is one [`Module`]. The kinds of things it may provide are a closed list ([`Provides`]), as in
//! the reference's loadable-module interface; a module that needs another's help asks the core for it. State of a module's
//! own lives in slots: per switch ([`Switch::module`]), and per channel (`Data::slot`), where it ends with the channel.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use dialplan_xml::declare::{self, Effect};
use dialplan_xml::declare::{EventKind, Parameters, Variable};
use esl_server::CallMessage;
use parking_lot::Mutex;

pub use base::registry::{Named, Registry};
pub use base::slots::{ChannelSlots, SwitchSlots};

use crate::BoxFuture;
use crate::api::{Api, ApiCall};
use crate::app::App;
use crate::app::play::{Ended, Keys};
use crate::call::dialstring::{DialLeg, Variables};
use crate::call::{AppResult, Cause, Channel, Digit, Endpoint, Extension, Interrupt, Session};
use crate::switch::Switch;

/// What changed, as told to loaded modules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// The XML configuration was read anew and serves (`reloadxml`).
    Configuration,
    /// SIGHUP, or `fsctl send_sighup`: files begin anew.
    Hangup,
}

/// Why a module cannot be loaded. The reason is in the log; the reply does not tell it (reference behaviour).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the module cannot work as it is set up")]
pub struct NotLoaded;

/// One of FreeSWITCH's modules.
pub trait Module: Send + Sync {
    /// FreeSWITCH's name for it: what administrators load, unload and ask for.
    fn name(&self) -> &'static str;

    /// What it brings while it is loaded.
    fn provides(&self) -> Provides {
        Provides::NOTHING
    }

    /// Is it loaded when the configuration lists no modules at all?
    fn is_default(&self, _switch: &Switch) -> bool {
        true
    }

    /// Takes its settings into use, before what it provides is announced.
    ///
    /// # Errors
    /// [`NotLoaded`], with the reason logged.
    fn load<'a>(&'a self, _switch: &'a Arc<Switch>) -> BoxFuture<'a, Result<(), NotLoaded>> {
        Box::pin(std::future::ready(Ok(())))
    }

    /// Begins its work: at the start once all modules are loaded and the configuration is complete, later right
    /// after it was loaded.
    fn start<'a>(&'a self, _switch: &'a Arc<Switch>) -> BoxFuture<'a, ()> {
        Box::pin(std::future::ready(()))
    }

    /// Something it may care about changed.
    fn reloaded<'a>(&'a self, _switch: &'a Arc<Switch>, _change: Change) -> BoxFuture<'a, ()> {
        Box::pin(std::future::ready(()))
    }

    /// Ends its work; what it provided is gone already.
    fn unload<'a>(&'a self, _switch: &'a Arc<Switch>) -> BoxFuture<'a, ()> {
        Box::pin(std::future::ready(()))
    }

    /// Does it refuse to be unloaded?
    fn stays(&self) -> bool {
        false
    }
}

/// A module that is nothing but what it provides.
pub struct Plain {
    name: &'static str,
    provides: Provides,
    stays: bool,
}

impl Plain {
    /// A module of that name.
    #[must_use]
    pub const fn new(name: &'static str, provides: Provides) -> Self {
        Self { name, provides, stays: false }
    }

    /// It refuses to be unloaded.
    #[must_use]
    pub const fn staying(self) -> Self {
        Self { stays: true, ..self }
    }
}

impl Module for Plain {
    fn name(&self) -> &'static str {
        self.name
    }

    fn provides(&self) -> Provides {
        self.provides
    }

    fn stays(&self) -> bool {
        self.stays
    }
}

/// What a module provides. A family of applications or commands may be listed by any module of its crate: each entry
/// names the module it is loaded and unloaded with.
#[derive(Clone, Copy)]
pub struct Provides {
    /// Dialplan applications.
    pub applications: &'static [&'static [App]],
    /// API commands.
    pub commands: &'static [&'static [Api]],
    /// Ways to call.
    pub endpoints: &'static [EndpointKind],
    /// Dialplans beside `XML` and `inline`.
    pub dialplans: &'static [DialplanKind],
    /// Sources of XML that are asked before the local tree.
    pub xml_sources: &'static [fn(&Arc<Switch>) -> Arc<dyn crate::xml::XmlSource>],
    /// Ways to send a text message.
    pub chats: &'static [ChatKind],
    /// Methods of the `json` command.
    pub json: &'static [JsonKind],
    /// Methods of the `json` command that may wait.
    pub json_later: &'static [JsonLater],
    /// What may be played beside files: `phrase:`.
    pub prompts: &'static [PromptKind],
    /// Files that are made or fetched when they are to be played: `tts://`, `http://`.
    pub sources: &'static [SourceKind],
    /// Places that recordings are sent to: `http://`.
    pub sinks: &'static [SinkKind],
    /// Names shown as interfaces for which the core needs no code of the module: kind (`file`, `codec`, `limit`, …)
    /// and name.
    pub names: &'static [(&'static str, &'static str)],
    /// Who is told what happens to calls. Observers stay when the module is unloaded: what it began still has to end.
    pub observers: &'static [&'static dyn CallObserver],
    /// What may be typed after its commands, a line each: words, `::NAME` for a list, `::[a:b` for one of several.
    pub completions: &'static str,
    /// Lists of names that completions refer to.
    pub name_lists: &'static [NameList],
    /// Numbers for the metrics page, taken at each look at it.
    pub readings: &'static [fn(&Arc<Switch>) -> Vec<base::reading::Reading>],
    /// Dial-string legs that stand for others (`user/`, `group/`).
    pub resolver: Option<&'static dyn Resolver>,
    /// Configuration parameters it honours, by file and element.
    pub parameters: &'static [Parameters],
    /// Channel variables it reads or sets.
    pub variables: &'static [&'static [Variable]],
    /// Events it fires.
    pub events: &'static [&'static [EventKind]],
    /// What of its commands and endpoints is accepted and does nothing: the part (`fsctl sql`), and why.
    pub idle: &'static [(&'static str, &'static str)],
}

impl Provides {
    /// Nothing at all.
    pub const NOTHING: Self = Self {
        applications: &[],
        commands: &[],
        endpoints: &[],
        dialplans: &[],
        xml_sources: &[],
        chats: &[],
        json: &[],
        json_later: &[],
        prompts: &[],
        sources: &[],
        sinks: &[],
        names: &[],
        observers: &[],
        completions: "",
        name_lists: &[],
        readings: &[],
        resolver: None,
        parameters: &[],
        variables: &[],
        events: &[],
        idle: &[],
    };
}

/// What legs of a dial string stand for (`user/`, `group/`).
pub trait Resolver: Sync {
    /// Names of the endpoints it replaces by others.
    fn names(&self) -> &'static [&'static str];

    /// The legs a leg stands for: itself, or what a user or group expands to.
    fn legs<'a>(
        &'a self,
        switch: &'a Arc<Switch>,
        leg: &'a DialLeg,
        global: &'a Variables,
        caller: Option<&'a Arc<Channel>>,
    ) -> BoxFuture<'a, Vec<Result<DialLeg, Cause>>>;

    /// Those of [`Resolver::names`] that stand for one group of legs after the other where they stand alone.
    fn in_order(&self) -> &'static [&'static str] {
        &[]
    }

    /// What such a leg (`group/…`) stands for; asked for the names of [`Resolver::in_order`] only.
    fn groups<'a>(
        &'a self,
        _switch: &'a Arc<Switch>,
        _leg: &'a DialLeg,
        _caller: Option<&'a Arc<Channel>>,
    ) -> BoxFuture<'a, Result<Vec<Vec<DialLeg>>, Cause>> {
        Box::pin(std::future::ready(Err(Cause::NO_ROUTE_DESTINATION)))
    }
}

/// An endpoint: its name in dial strings, and how to make it.
#[derive(Clone, Copy)]
pub struct EndpointKind {
    /// What stands before the first slash of a dial string, in lower case: it is found by any spelling.
    pub name: &'static str,
    /// Makes it for a switch.
    pub make: fn(&Arc<Switch>) -> Arc<dyn Endpoint>,
}

/// A dialplan: its name, and how it finds an extension.
#[derive(Clone, Copy)]
pub struct DialplanKind {
    /// Its name in `dialplan` parameters and transfers.
    pub name: &'static str,
    /// Finds the extension: gets what follows the name after a colon, and the number.
    pub find: for<'a> fn(&'a mut Session, &'a str, &'a str) -> BoxFuture<'a, Option<Extension>>,
}

/// A way to send a text message (`chat`).
#[derive(Clone, Copy)]
pub struct ChatKind {
    /// The first argument of `chat`.
    pub name: &'static str,
    /// Sends it; false when the addressee cannot be reached that way.
    pub send: fn(&Switch, &ChatMessage<'_>) -> bool,
}

/// A text message between two addresses.
#[derive(Clone, Copy, Debug)]
pub struct ChatMessage<'m> {
    /// Who sends it.
    pub from: &'m str,
    /// Who gets it: `user@domain`, with the profile before a slash if it is to be a certain one.
    pub to: &'m str,
    /// The text.
    pub body: &'m str,
    /// MIME type.
    pub kind: &'m str,
}

/// Names the console offers where a completion says so.
#[derive(Clone, Copy)]
pub struct NameList {
    /// What completions call it, with the colons.
    pub name: &'static str,
    /// The names there are now; gets the words typed before.
    pub names: fn(&Switch, &[&str]) -> Vec<String>,
}

/// Answers a method of the `json` command; gets its `data`.
pub type JsonAnswer =
    fn(&Switch, &serde_json::Map<String, serde_json::Value>) -> Result<serde_json::Value, String>;

/// A method of the `json` command.
#[derive(Clone, Copy)]
pub struct JsonKind {
    /// The `command` of the request.
    pub name: &'static str,
    /// Answers it.
    pub answer: JsonAnswer,
}

/// A method of the `json` command that may wait.
#[derive(Clone, Copy)]
pub struct JsonLater {
    /// The `command` of the request.
    pub name: &'static str,
    /// Answers it; gets its `data` with what a far end said marked, and gives the reply or the message of an error.
    pub answer:
        fn(ApiCall, serde_json::Value) -> BoxFuture<'static, Result<serde_json::Value, String>>,
}

/// Something that is played by its prefix instead of as a file.
#[derive(Clone, Copy)]
pub struct PromptKind {
    /// What stands before the colon.
    pub prefix: &'static str,
    /// Plays what stands behind it.
    pub play:
        for<'a> fn(&'a mut Session, &'a str, Keys<'a>) -> BoxFuture<'a, Result<Ended, Interrupt>>,
}

/// A file that is there only once it is asked for.
#[derive(Clone, Copy)]
pub struct SourceKind {
    /// What stands before `://`.
    pub scheme: &'static str,
    /// Gets the whole of it, and the leg's rate; gives the file, or why there is none.
    pub fetch: for<'a> fn(&'a Arc<Channel>, &'a str, u32) -> BoxFuture<'a, Result<PathBuf, String>>,
}

/// A place elsewhere that recordings are sent to.
#[derive(Clone, Copy)]
pub struct SinkKind {
    /// What stands before `://`.
    pub scheme: &'static str,
    /// Gets the whole of it, in which what a far end said is marked ([`base::far`]), or says why nothing goes there.
    pub open: fn(&Arc<Switch>, &str) -> Result<Arc<dyn Sink>, String>,
}

/// One recording on its way to another place: a file of this machine first.
pub trait Sink: Send + Sync + std::fmt::Debug {
    /// Where to write.
    fn file(&self) -> &Path;

    /// The file is closed and can be sent. Returns at once: a call waits for no server.
    fn send(self: Arc<Self>);
}

/// The place `name` means, opened; `None` when no loaded module sends files there.
pub fn sink(switch: &Arc<Switch>, name: &str) -> Option<Result<Arc<dyn Sink>, String>> {
    let (scheme, _) = media::source::split_params(name).1.split_once("://")?;
    let mut kinds = switch.loaded_modules().into_iter().flat_map(|m| m.provides().sinks);
    let kind = kinds.find(|kind| kind.scheme.eq_ignore_ascii_case(scheme))?;
    Some((kind.open)(switch, name))
}

/// Who is told what happens to calls. Everything here runs in the task of the call it is about, but for what
/// takes a [`Channel`] only.
pub trait CallObserver: Sync {
    /// The call was answered.
    fn answered(&self, _channel: &Channel) {}

    /// Two legs are bridged now. Told for each.
    fn bridged(&self, _channel: &Channel) {}

    /// The bridge of a leg has ended.
    fn unbridged(&self, _channel: &Channel) {}

    /// A leg was put on hold, from either side, or its hold is over.
    fn held(&self, _channel: &Channel, _on: bool) {}

    /// A leg leaves its partner `to` by a transfer that moves the partner.
    fn moved(&self, _from: &Channel, _to: &Arc<Channel>) {}

    /// The call is transferred: it begins anew elsewhere.
    fn transferred(&self, _channel: &Arc<Channel>) {}

    /// The call is parked now, and stays so while this waits.
    fn parked<'a>(&'a self, _session: &'a mut Session) -> BoxFuture<'a, AppResult> {
        Box::pin(std::future::ready(Ok(())))
    }

    /// The parking is over.
    fn unparked(&self, _channel: &Channel) {}

    /// A digit of the far end came. False if it is consumed and not passed on.
    fn digit(&self, _channel: &Arc<Channel>, _digit: Digit) -> bool {
        true
    }

    /// The media leg has news.
    fn media(&self, _channel: &Arc<Channel>, _event: &media::LegEvent) {}

    /// A message that the core does not know (`call-command: unicast`) is to be done. True if it was.
    fn message<'a>(
        &'a self,
        _session: &'a mut Session,
        _message: &'a CallMessage,
    ) -> BoxFuture<'a, bool> {
        Box::pin(std::future::ready(false))
    }

    /// The channel is known no more. [`CallObserver::hung_up`] came before, unless the call's task ended by a bug.
    fn gone(&self, _channel: &Channel) {}

    /// The call is reported (CS_REPORTING): call records are taken before its end is shown.
    fn reported<'a>(&'a self, _channel: &'a Arc<Channel>) -> BoxFuture<'a, ()> {
        Box::pin(std::future::ready(()))
    }

    /// The XML document that the call's last event carries (`hangup_complete_with_xml`).
    fn document(&self, _channel: &Channel) -> Option<String> {
        None
    }

    /// The call is over (CS_HANGUP); its leg still exists while this waits.
    fn hung_up<'a>(&'a self, _session: &'a mut Session) -> BoxFuture<'a, ()> {
        Box::pin(std::future::ready(()))
    }
}

/// Warns, the first time, of the use of something that has no effect.
pub fn warn_idle(kind: &'static str, name: &'static str, effect: Effect) {
    static SAID: Mutex<BTreeSet<(&str, &str)>> = Mutex::new(BTreeSet::new());
    let Some(why) = effect.why_none() else { return };
    if SAID.lock().insert((kind, name)) {
        tracing::warn!("{kind} {name} is accepted and does nothing: {why}");
    }
}

/// The modules that are part of this switch, in the order in which they are loaded when nothing says otherwise.
pub struct Linked(Vec<&'static dyn Module>);

impl Linked {
    /// These modules, ordered by name.
    #[must_use]
    pub fn new(lists: &[&[&'static dyn Module]]) -> Self {
        let mut all: Vec<_> = lists.iter().copied().flatten().copied().collect();
        all.sort_by_key(|module| module.name());
        Self(all)
    }

    /// The module of that name.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&'static dyn Module> {
        self.0.iter().find(|module| module.name() == name).copied()
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &'static dyn Module> {
        self.0.iter().copied()
    }

    /// Their names.
    #[must_use]
    pub fn names(&self) -> BTreeSet<&'static str> {
        self.iter().map(Module::name).collect()
    }

    /// The method of the `json` command of that name, whether or not its module is loaded.
    #[must_use]
    pub fn json(&self, method: &str) -> Option<&'static JsonKind> {
        self.iter().find_map(|module| module.provides().json.iter().find(|k| k.name == method))
    }

    /// The method of the `json` command of that name that may wait.
    #[must_use]
    pub fn json_later(&self, method: &str) -> Option<&'static JsonLater> {
        self.iter()
            .find_map(|module| module.provides().json_later.iter().find(|k| k.name == method))
    }

    /// All families of applications, whether or not their modules are loaded.
    pub fn applications(&self) -> impl Iterator<Item = &'static [App]> {
        self.iter().flat_map(|module| module.provides().applications).copied()
    }

    /// All families of commands, whether or not their modules are loaded.
    pub fn commands(&self) -> impl Iterator<Item = &'static [Api]> {
        self.iter().flat_map(|module| module.provides().commands).copied()
    }
}
