//! Running applications: expansion, events, nesting, and the messages that ask for them.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use base::far;
use esl_server::event::{EventName, Vars};
use esl_server::switch::{CallCommand, CallMessage};
use tokio::time::Instant;

use super::broadcast::Running;
use super::cause::Cause;
use super::plan::{Doing, Extension, Step, Written};
use super::session::{AppResult, Interrupt, Session, Wake};
use super::state::{Direction, State};
use crate::app::{App, Flags};
use crate::clock;

/// Identity of one execution in events.
#[derive(Clone, Debug, Default)]
pub struct ExecutionId {
    /// The lines of the dialplan that ask for it.
    pub written: Option<Written>,
    /// `Application-UUID`; a new one when absent.
    pub uuid: Option<String>,
    /// `Application-UUID-Name`.
    pub name: Option<String>,
}

/// Applications a call remembers; the older half is forgotten when there are more.
const MAX_APP_LOG: usize = 10_000;

/// A looping message that turns this fast is stopped: it would spin.
const MIN_LOOP_TIME: Duration = Duration::from_millis(500);

impl Session {
    /// Runs an application by name, the way the dialplan does.
    ///
    /// # Errors
    /// [`Interrupt`] when the call ended or moved meanwhile.
    pub async fn execute(&mut self, application: &str, data: &str) -> AppResult {
        self.execute_as(application, data, ExecutionId::default()).await
    }

    /// Runs a step of an extension.
    ///
    /// # Errors
    /// [`Interrupt`] when the call ended or moved meanwhile.
    pub async fn execute_step(&mut self, step: Step) -> AppResult {
        let id = ExecutionId { written: step.written, ..ExecutionId::default() };
        self.execute_as(&step.application, &step.data, id).await
    }

    /// [`Session::execute`] with an identity of the requester's choice.
    ///
    /// # Errors
    /// [`Interrupt`] when the call ended or moved meanwhile.
    pub async fn execute_as(
        &mut self,
        application: &str,
        data: &str,
        id: ExecutionId,
    ) -> AppResult {
        let application = &*far::plain(application);
        let Some(app) = self.switch().app(application) else {
            tracing::error!(uuid = %self.channel.uuid(), "Invalid Application {application}");
            self.channel.hangup(Cause::DESTINATION_OUT_OF_ORDER);
            return Err(Interrupt::Hangup);
        };
        if !self.channel.is_up() && !app.flags.has(Flags::ZOMBIE) {
            return Err(Interrupt::Hangup);
        }
        if !app.flags.has(Flags::NO_MEDIA) && !self.channel.has_media() {
            Box::pin(self.get_media(app)).await?;
        }
        // In a block of its own, as what waits for media is: the task of a leg that runs nothing has no room for it.
        base::trace::within(app.name, Box::pin(self.run_app(app, data, id))).await
    }

    /// Early media before an application that needs audio.
    async fn get_media(&mut self, app: &App) -> AppResult {
        if self.channel.direction() == Direction::Inbound {
            tracing::warn!(
                uuid = %self.channel.uuid(),
                "Application {} Requires media! pre_answering channel {}", app.name, self.channel.name()
            );
            return self.pre_answer().await;
        }
        let until = Instant::now() + WAIT_FOR_MEDIA;
        while !self.channel.has_media() {
            if matches!(self.wait(Some(until)).await?, Wake::Timeout) {
                tracing::error!(
                    uuid = %self.channel.uuid(),
                    "Application {} Requires media on channel {}!", app.name, self.channel.name()
                );
                return Err(Interrupt::Moved);
            }
        }
        Ok(())
    }

    async fn run_app(&mut self, app: &'static App, data: &str, id: ExecutionId) -> AppResult {
        let expanded = if data.is_empty() || self.channel.is_true("app_disable_expand_variables") {
            Cow::Borrowed(data)
        } else {
            self.expand(data).await
        };
        // Where an administrator writes nothing but `${header}`, the far end's value is the argument, but no code.
        let expanded = match is_one_reference(data) {
            true => Cow::Owned(app.argument.whole(expanded.into_owned())),
            false => expanded,
        };
        let (pairs, marked) = dialplan_xml::expand::scope_variables(&expanded);
        let scope: Option<Vars> = (!pairs.is_empty()).then(|| pairs.into_iter().collect());
        let scoped = scope.is_some();
        // What a far end said is one value of the argument, and shown as it is meant.
        let marked = &*app.argument.fit(marked);
        let argument = &*far::plain(marked);
        let id = self.begin_app(app, argument, scope, id);
        tracing::info!(
            uuid = %self.channel.uuid(),
            "EXECUTE [depth={}] {} {}({})", self.depth, self.channel.name(), app.name, base::redact::logged(argument, self.channel.var("redact_digits").as_deref())
        );
        if self.channel.is_true("verbose_presence") {
            self.channel.fire_presence(&format!("{}({argument})", app.name));
        }
        self.channel.fire_with(
            EventName::ChannelExecute,
            |_| {},
            |event| {
                event.push("Application", app.name);
                event.push("Application-Data", argument);
                event.push("Application-UUID", id.uuid.as_deref().unwrap_or_default());
                event.push("Application-UUID-Name", id.name.as_deref().unwrap_or_default());
            },
        );
        // A break is for what ran when it was asked for.
        self.channel.flags.broken.store(false, Ordering::Relaxed);
        // From here on the reference shows the name behind the argument.
        self.channel.set_var("current_application", app.name);
        crate::contract::warn_idle("application", app.name, app.effect);
        let result =
            (app.run)(self, if app.argument.stays_marked() { marked } else { argument }).await;
        self.channel.fire_with(
            EventName::ChannelExecuteComplete,
            |_| {},
            |event| {
                event.push("Application", app.name);
                event.push("Application-Data", argument);
                let response = self.channel.var("current_application_response");
                event.push("Application-Response", response.as_deref().unwrap_or("_none_"));
                event.push("Application-UUID", id.uuid.as_deref().unwrap_or_default());
                event.push("Application-UUID-Name", id.name.as_deref().unwrap_or_default());
            },
        );
        self.channel.with(|data| {
            data.doing.pop();
            if scoped {
                data.scopes.pop();
            }
        });
        result
    }

    /// Book-keeping before an application starts; completes its identity.
    fn begin_app(
        &self,
        app: &App,
        argument: &str,
        scope: Option<Vars>,
        mut id: ExecutionId,
    ) -> ExecutionId {
        self.channel.with(|data| {
            if let Some(scope) = scope {
                data.scopes.push(Arc::new(scope));
            }
            let vars = Arc::make_mut(&mut data.vars);
            vars.remove("current_application_response");
            vars.set("current_application", app.name);
            vars.set("current_application_data", argument);
            if id.uuid.is_none() {
                id.uuid = vars.get("app_uuid").map(Cow::into_owned);
                if id.uuid.is_some() {
                    vars.remove("app_uuid");
                }
            }
            if id.name.is_none() {
                id.name = vars.get("app_uuid_name").map(Cow::into_owned);
                if id.name.is_some() {
                    vars.remove("app_uuid_name");
                }
            }
            if data.app_log.len() >= MAX_APP_LOG {
                data.app_log.drain(..MAX_APP_LOG / 2);
            }
            let argument: Arc<str> = argument.into();
            data.app_log.push((app.name, Arc::clone(&argument), clock::now_us()));
            data.showing = (app.name, Arc::clone(&argument));
            data.doing.push(Doing { application: app.name, argument, written: id.written.clone() });
        });
        if id.uuid.is_none() {
            id.uuid = Some(clock::new_uuid());
        }
        id
    }

    /// The response of the running application (`Application-Response`).
    pub fn respond(&self, text: &str) {
        self.channel.set_var("current_application_response", text.to_owned());
    }

    /// Runs a message (`sendmsg`, broadcast). `queued` ones are shown as an event once they have run.
    pub async fn run_message(&mut self, message: CallMessage, queued: bool) {
        let was_locked = self.locked;
        self.locked |= message.event_lock();
        self.depth += 1;
        if self.hear_frames(message.lead_frames()).await {
            self.handle_message(&message).await;
        }
        self.depth -= 1;
        self.locked = was_locked;
        if queued {
            self.show_message(message);
        }
    }

    async fn handle_message(&mut self, message: &CallMessage) {
        match message.command() {
            CallCommand::Execute => self.run_execute(message).await,
            CallCommand::Hangup => {
                self.channel.hangup(Cause::parse(&message.hangup_cause().unwrap_or_default()));
            }
            CallCommand::Nomedia => {
                super::bypass::nomedia(&self.channel, message.nomedia_uuid().as_deref())
            }
            CallCommand::Xferext => self.run_extension_transfer(message),
            CallCommand::Unicast => {
                let switch = Arc::clone(self.switch());
                for observer in switch.observers() {
                    if observer.message(self, message).await {
                        break;
                    }
                }
            }
            CallCommand::None => {
                tracing::debug!(uuid = %self.channel.uuid(), "A message without a known call-command does nothing");
            }
        }
    }

    /// `lead-frames`: lets so many frames of the far end's audio pass first, so that what is then played is heard from
    /// its start. A far end that sends nothing is given twice their time. False when the call ended or was told to
    /// break off.
    async fn hear_frames(&mut self, frames: u32) -> bool {
        let Some(leg) = self.channel.media().filter(|_| frames > 0 && self.channel.has_media())
        else {
            return true;
        };
        let ptime =
            self.channel.with(|data| data.read_codec.as_ref().map_or(20, |c| c.ptime.max(1)));
        // A break that came before was for what ran before.
        self.channel.flags.broken.store(false, Ordering::Relaxed);
        let frame = Duration::from_millis(ptime.into());
        let heard = || leg.stats().inbound.media_packet_count;
        let enough = heard().saturating_add(frames.into());
        let deadline = Instant::now() + frame * frames.saturating_mul(2).min(MAX_LEAD);
        let unlocked = std::mem::replace(&mut self.locked, true);
        let mut goes_on = true;
        while goes_on && heard() < enough && Instant::now() < deadline {
            let next = Instant::now() + frame;
            goes_on = !matches!(self.wait(Some(next)).await, Err(_) | Ok(Wake::Broken));
        }
        self.locked = unlocked;
        goes_on
    }

    fn show_message(&self, message: CallMessage) {
        let bus = &self.switch().bus;
        if !bus.wants(EventName::PrivateCommand) {
            bus.skip();
            return;
        }
        let mut event = message.into_event(EventName::PrivateCommand);
        bus.stamp_last(&mut event, esl_server::caller!());
        self.channel.describe(&mut event);
        bus.deliver(event);
    }

    async fn run_execute(&mut self, message: &CallMessage) {
        let Some(app) = message.app_name().map(Cow::into_owned) else { return };
        let argument = message.app_arg().unwrap_or_default().into_owned();
        let loops = message.loops().map_or(-1, i64::from);
        let running = Running::begin(&self.channel);
        if running.is_void(message.ticket) {
            return;
        }
        let amused = match message.hold_bleg() {
            true => super::hold::amuse_partner(&self.channel).await,
            false => None,
        };
        let mut turn: i64 = 0;
        while loops < 0 || turn < loops {
            turn += 1;
            self.channel.set_var("current_loop", turn.to_string());
            self.channel.set_var("total_loops", loops.to_string());
            let started = Instant::now();
            let id = ExecutionId {
                uuid: message.event_uuid().map(Cow::into_owned),
                name: message.event_uuid_name().map(Cow::into_owned),
                written: None,
            };
            let result = self.execute_as(&app, &argument, id).await;
            let stop = result.is_err()
                || !self.channel.is_up()
                || running.is_stopped()
                || (loops != 1 && started.elapsed() < MIN_LOOP_TIME);
            if stop {
                break;
            }
        }
        self.channel.set_var("current_loop", "");
        self.channel.set_var("total_loops", "");
        drop(amused);
        if running.is_stopped() {
            // A stop reaches what the leg was doing before, too.
            self.channel.break_media();
        }
    }

    /// `xferext`: the applications of the message become what the call runs next.
    fn run_extension_transfer(&self, message: &CallMessage) {
        let steps = message.applications().map(|line| {
            let (app, data) = line.split_once(' ').unwrap_or((&line, ""));
            (app.to_owned(), data.to_owned())
        });
        let extension = Extension::new("xferext", "xferext", steps);
        self.channel.with(|data| data.begin_extension(extension));
        self.channel.flags.transferred.store(true, Ordering::Relaxed);
        self.channel.set_state(State::Routing);
    }
}

/// Is that text nothing but one variable, `${name}`?
fn is_one_reference(text: &str) -> bool {
    let inside = text.trim().strip_prefix("${").and_then(|rest| rest.strip_suffix('}'));
    inside.is_some_and(|name| {
        !name.is_empty() && !name.contains(['{', '}', '$', ' ', '(']) && !far::is_marked(name)
    })
}

/// Frames that `lead-frames` waits for at most: a minute of them.
const MAX_LEAD: u32 = 3000;
/// How long an outbound leg without media is waited for before its application is given up.
const WAIT_FOR_MEDIA: Duration = Duration::from_secs(2);
