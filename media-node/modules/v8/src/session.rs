//! `Session`: a call as scripts see it. What its methods check and throw, and the hangup hook, are in `classes.js`.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rquickjs::{Coerced, Ctx, Exception, Function};
use scripting::digits::{self, Count};
use scripting::input::{self, Input, Tap};
use scripting::line::Line;
use scripting::{legs, playing};

use crate::BoxFuture;
use crate::app::digits::{MAX_ENTRY, millis};
use crate::call::{Cause, Channel, Session, State};
use crate::context::{Context, Held};
use crate::values::{Answer, Given, object, unknown};

/// The object behind a session.
pub(crate) struct Call {
    context: Rc<Context>,
    line: RefCell<Option<Rc<Line>>>,
    /// Hung up when the script lets go of it (`setAutoHangup`).
    hangs_up: Cell<bool>,
    /// What the last attempt to call came to.
    cause: Cell<Cause>,
    /// The state a hangup hook was set in.
    hook: Cell<Option<State>>,
    _held: RefCell<Option<Held>>,
}

/// What a script's function made of a key or an event: see `listener` in `classes.js`.
type Listener<'js> = Function<'js>;

impl Call {
    /// One without a call.
    pub(crate) fn new(context: &Rc<Context>) -> Self {
        Self {
            context: Rc::clone(context),
            line: RefCell::default(),
            hangs_up: Cell::new(false),
            cause: Cell::new(Cause::NONE),
            hook: Cell::new(None),
            _held: RefCell::default(),
        }
    }

    /// The call whose application or command runs the script.
    pub(crate) fn of(context: &Rc<Context>, channel: &Arc<Channel>) -> Self {
        let call = Self::new(context);
        call.take(channel, false);
        call
    }

    fn take(&self, channel: &Arc<Channel>, hangs_up: bool) {
        self.hangs_up.set(hangs_up);
        *self.line.borrow_mut() = Some(Rc::new(self.context.line(channel)));
    }

    /// As an object of the script.
    pub(crate) fn publish<'js>(self, ctx: &Ctx<'js>) -> rquickjs::Result<Function<'js>> {
        *self._held.borrow_mut() = Some(self.context.hold(ctx)?);
        let this = Rc::new(self);
        let id = this.context.register_call(&this);
        object(ctx, move |ctx, operation, given| match operation {
            "id" => Ok(Answer::Int(id.into())),
            _ => this.run(ctx, operation, given),
        })
    }

    /// The call, while the object has one.
    pub(crate) fn channel(&self) -> Option<Arc<Channel>> {
        self.line.borrow().as_ref().map(|line| Arc::clone(&line.channel))
    }

    fn run<'js>(
        &self,
        ctx: &Ctx<'js>,
        operation: &str,
        given: &Given<'js>,
    ) -> rquickjs::Result<Answer<'js>> {
        if self.context.is_over() {
            return Err(Context::end(ctx, &self.context.ended()));
        }
        match self.channel() {
            Some(channel) => self.with_call(ctx, operation, given, &channel),
            None => self.without_call(ctx, operation, given),
        }
    }

    fn without_call<'js>(
        &self,
        ctx: &Ctx<'js>,
        operation: &str,
        given: &Given<'js>,
    ) -> rquickjs::Result<Answer<'js>> {
        Ok(match operation {
            "has" => Answer::Bool(false),
            "locate" => Answer::Bool(self.locate(&given.text(0))),
            "dial" => self.dial(ctx, given)?,
            "property" => Answer::Text(match given.text(0).as_str() {
                "cause" => self.cause.get().name().to_owned(),
                _ => String::new(),
            }),
            "causecode" => Answer::Int(self.cause.get().number().into()),
            _ => return Err(unknown(ctx, operation)),
        })
    }

    fn with_call<'js>(
        &self,
        ctx: &Ctx<'js>,
        operation: &str,
        given: &Given<'js>,
        channel: &Arc<Channel>,
    ) -> rquickjs::Result<Answer<'js>> {
        Ok(match operation {
            "has" => Answer::Bool(true),
            "ready" => Answer::Bool(legs::is_ready(channel)),
            "answered" => Answer::Bool(channel.is_answered()),
            "media" => Answer::Bool(legs::is_ready(channel) && channel.has_media()),
            "early" => Answer::Bool(channel.has_media()),
            "rings" => Answer::Bool(channel.progress.get().rang()),
            "up" => Answer::Bool(channel.is_up()),
            "property" => Answer::Text(self.property(channel, &given.text(0))),
            "causecode" => {
                Answer::Int(channel.cause().map_or(0, |cause| i64::from(cause.number())))
            }
            "getVariable" => {
                let value = channel.var_marked(&given.text(0)).unwrap_or_default();
                Answer::Text(self.context.taint.borrow_mut().read(value))
            }
            "setVariable" => {
                let (name, value) =
                    (given.text(0), self.context.taint.borrow().mark(&given.text(1)));
                self.context.at_once(|| match value.is_empty() {
                    true => channel.unset_var(&name),
                    false => channel.set_var_as_is(name, value),
                });
                Answer::Bool(true)
            }
            "hook" => {
                self.hook.set(given.is_true(0).then(|| channel.state()));
                Answer::Nothing
            }
            // What a hangup hook is told, once, when its time has come.
            "moment" => {
                let set_in = self.hook.get();
                let moment = set_in.and_then(|set_in| legs::moment(set_in, channel.state()));
                if moment.is_some() {
                    self.hook.set(None);
                }
                moment.map(str::to_owned).into()
            }
            "autoHangup" => {
                self.hangs_up.set(given.is_true(0));
                Answer::Nothing
            }
            "flushDigits" => {
                channel.with(|data| data.digits.clear());
                Answer::Nothing
            }
            "record" => Answer::Text(self.context.at_once(|| legs::record(channel))),
            "hangup" => {
                self.context.at_once(|| channel.hangup(cause_of(given)));
                Answer::Nothing
            }
            "destroy" => {
                self.line.borrow_mut().take();
                if given.filled(0).is_some() && cause_of(given) != Cause::NONE {
                    self.context.at_once(|| channel.hangup(cause_of(given)));
                }
                Answer::Nothing
            }
            "sendEvent" => {
                if let Some(event) = self.context.event(given.id(0)) {
                    let event = event.copy();
                    // For the function that listens; else it is told of.
                    self.context.at_once(|| {
                        if !input::tell_event(channel, event.clone()) {
                            channel.queue_event(event);
                        }
                    });
                }
                Answer::Nothing
            }
            _ => return self.waits(ctx, operation, given, channel),
        })
    }

    /// Operations that the call's task does, and the script waits for.
    fn waits<'js>(
        &self,
        ctx: &Ctx<'js>,
        operation: &str,
        given: &Given<'js>,
        channel: &Arc<Channel>,
    ) -> rquickjs::Result<Answer<'js>> {
        Ok(match operation {
            "answer" => self.in_task(ctx, "answer", |session| {
                Box::pin(async { session.answer().await.is_ok() })
            })?,
            "preAnswer" => self.in_task(ctx, "early media", |session| {
                Box::pin(async { session.pre_answer().await.is_ok() })
            })?,
            "execute" => {
                let Some(app) = self.context.switch.app(&given.text(0)) else {
                    return Ok(Answer::Bool(false));
                };
                let name = app.name;
                let data = self.context.taint.borrow().mark_for(app.argument, &given.text(1));
                self.in_task(ctx, "an application", move |session| {
                    Box::pin(async move {
                        let _ended = session.execute(name, &data).await;
                        true
                    })
                })?;
                Answer::Bool(true)
            }
            "streamFile" => {
                let file = self.context.taint.borrow().file(&given.text(0));
                let file = playing::at_sample(&file, given.int(2));
                self.heard(ctx, "a file", given.function(1), move |session| {
                    Box::pin(async move { playing::play(session, &file).await })
                })?
            }
            "sayPhrase" => {
                let phrase = playing::phrase(&given.text(0), &given.text(1), &given.text(2));
                self.heard(ctx, "a phrase", given.function(3), move |session| {
                    Box::pin(async move { playing::play(session, &phrase).await })
                })?
            }
            "recordFile" => {
                let (limit, threshold, hits) = (given.int(2), given.int(3), given.int(4));
                let argument = playing::recording(&given.text(0), limit, threshold, hits);
                self.application(ctx, "a recording", "record", argument, given.function(1))?
            }
            "speak" => {
                let argument = format!("{}|{}|{}", given.text(0), given.text(1), given.text(2));
                self.application(ctx, "speech", "speak", argument, given.function(3))?
            }
            "sleep" => {
                let time = Duration::from_millis(given.whole(0));
                self.heard(ctx, "sleep", given.function(1), move |session| {
                    Box::pin(async move { session.sleep(time).await.is_ok() })
                })?
            }
            "collectInput" => {
                let (between, all) = (millis(given.int(1)), millis(given.int(2)));
                self.heard(ctx, "digits", given.function(0), move |session| {
                    Box::pin(async move {
                        digits::collect(session, between, all).await;
                        true
                    })
                })?
            }
            "getDigits" => self.digits(ctx, given)?,
            "bridge" => self.bridge(ctx, given)?,
            "wait" => {
                let time = Duration::from_millis(given.whole(1));
                let media = given.text(0) == "media";
                let channel = Arc::clone(channel);
                let came = self.context.wait(ctx, "an answer", async move {
                    tokio::time::timeout(time, answered(&channel, media)).await
                })?;
                Answer::Bool(came.unwrap_or(false))
            }
            _ => return Err(unknown(ctx, operation)),
        })
    }

    fn property(&self, channel: &Channel, name: &str) -> String {
        let variable = match name {
            "cause" => return channel.cause().unwrap_or(Cause::NONE).name().to_owned(),
            "name" => return channel.name(),
            "uuid" => return channel.uuid().to_string(),
            "state" => return channel.state().name().to_owned(),
            "caller_id_num" => "caller_id_number",
            "network_address" => "network_addr",
            "destination" => "destination_number",
            other => other,
        };
        let value = channel.var_marked(variable).unwrap_or_default();
        self.context.taint.borrow_mut().read(value)
    }

    fn locate(&self, uuid: &str) -> bool {
        let found = self.context.switch.channel(uuid);
        if let Some(channel) = &found {
            self.take(channel, true);
        }
        found.is_some()
    }

    /// Calls; the leg that answers becomes this object's, and waits for what the script does with it.
    fn dial<'js>(&self, ctx: &Ctx<'js>, given: &Given<'js>) -> rquickjs::Result<Answer<'js>> {
        let dial = given.text(0);
        self.cause.set(Cause::DESTINATION_OUT_OF_ORDER);
        let mut request = legs::request(&self.context, &dial, Duration::from_secs(given.whole(2)));
        request.cid_name = given.filled(3);
        request.cid_number = given.filled(4);
        let other = self.context.call(given.id(1)).filter(|other| other.channel().is_some());
        let made = match other {
            Some(other) => other.call(ctx, "a call", None, move |session| {
                Box::pin(async move {
                    let switch = Arc::clone(session.switch());
                    legs::dial(&switch, &request, Some(session)).await
                })
            })?,
            None => {
                let switch = Arc::clone(&self.context.switch);
                Some(self.context.wait(ctx, "a call", legs::dial(&switch, &request, None))?)
            }
        };
        let made = match made {
            Some(Ok(made)) => made,
            Some(Err(failure)) => {
                self.cause.set(failure.cause);
                return Ok(Answer::Bool(false));
            }
            None => return Ok(Answer::Bool(false)),
        };
        let Some(channel) = made.take() else { return Ok(Answer::Bool(false)) };
        self.cause.set(Cause::SUCCESS);
        self.take(&channel, true);
        legs::adopt(&self.context, &channel).map_err(|ended| Context::end(ctx, &ended))?;
        Ok(Answer::Bool(true))
    }

    fn digits<'js>(&self, ctx: &Ctx<'js>, given: &Given<'js>) -> rquickjs::Result<Answer<'js>> {
        let first = given.int(2);
        let next = Some(given.int(3)).filter(|ms| *ms > 0).unwrap_or(first);
        let wanted = Count {
            most: usize::try_from(given.int(0).clamp(1, MAX_ENTRY)).unwrap_or(1),
            terminators: given.text(1),
            first: millis(first),
            next: millis(next),
            all: Some(given.int(4)).filter(|ms| *ms > 0).map(millis),
        };
        let got =
            self.call(ctx, "digits", None, move |session| Box::pin(digits::get(session, wanted)))?;
        Ok(Answer::Text(got.unwrap_or_default()))
    }

    fn bridge<'js>(&self, ctx: &Ctx<'js>, given: &Given<'js>) -> rquickjs::Result<Answer<'js>> {
        let Some(peer) = self.context.call(given.id(0)).and_then(|peer| peer.channel()) else {
            return Ok(Answer::Bool(false));
        };
        let listener = given.function(1);
        let listens = listener.is_some();
        self.heard(ctx, "a bridge", listener, move |session| {
            Box::pin(async move {
                legs::bridge(session, &peer, listens).await;
                true
            })
        })
    }

    /// Runs an application without telling of it. False when no module provides it.
    fn application<'js>(
        &self,
        ctx: &Ctx<'js>,
        what: &'static str,
        name: &'static str,
        argument: String,
        listener: Option<Listener<'js>>,
    ) -> rquickjs::Result<Answer<'js>> {
        let Some(app) = self.context.switch.app(name) else {
            return Err(Exception::throw_message(ctx, &format!("{name}: no module provides it")));
        };
        let argument = self.context.taint.borrow().mark_for(app.argument, &argument);
        self.heard(ctx, what, listener, move |session| {
            Box::pin(async move { playing::application(session, app, &argument).await })
        })
    }

    /// Has the call's task do something that nothing is told of meanwhile.
    fn in_task<'js>(
        &self,
        ctx: &Ctx<'js>,
        what: &'static str,
        work: impl for<'a> FnOnce(&'a mut Session) -> BoxFuture<'a, bool> + Send + 'static,
    ) -> rquickjs::Result<Answer<'js>> {
        Ok(Answer::Bool(self.call(ctx, what, None, work)? == Some(true)))
    }

    /// The same, with keys and events for the script's function.
    fn heard<'js>(
        &self,
        ctx: &Ctx<'js>,
        what: &'static str,
        listener: Option<Listener<'js>>,
        work: impl for<'a> FnOnce(&'a mut Session) -> BoxFuture<'a, bool> + Send + 'static,
    ) -> rquickjs::Result<Answer<'js>> {
        Ok(Answer::Bool(self.call(ctx, what, listener, work)? == Some(true)))
    }

    fn call<'js, T: Send + 'static>(
        &self,
        ctx: &Ctx<'js>,
        what: &'static str,
        listener: Option<Listener<'js>>,
        work: impl for<'a> FnOnce(&'a mut Session) -> BoxFuture<'a, T> + Send + 'static,
    ) -> rquickjs::Result<Option<T>> {
        let Some(line) = self.line.borrow().clone() else { return Ok(None) };
        let tap = listener.as_ref();
        let tap = tap.map(|_| self.context.at_once(|| Tap::open(&line.channel)));
        let heard = |input| match &listener {
            Some(listener) => self.tell(ctx, &line.channel, listener, input),
            None => Ok(()),
        };
        line.call(&self.context, what, tap, heard, work)
            .map_err(|failed| Context::failed(ctx, failed))
    }

    /// Tells the script's function of a key or an event, and does to what plays as it says.
    fn tell<'js>(
        &self,
        ctx: &Ctx<'js>,
        channel: &Arc<Channel>,
        listener: &Listener<'js>,
        input: Input,
    ) -> rquickjs::Result<()> {
        let said: Coerced<String> = match input {
            Input::Digit(digit) => {
                listener.call(("dtmf", digit.digit.to_string(), digit.duration))?
            }
            Input::Event(event) => {
                let event = crate::events::EventObject::given(ctx, &self.context, *event)?;
                listener.call(("event", event))?
            }
        };
        self.context.at_once(|| playing::steer(channel, &said.0));
        Ok(())
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        let Some(line) = self.line.borrow_mut().take() else { return };
        let channel = &line.channel;
        let transferred = channel.flags.transferred.load(Ordering::Relaxed);
        if self.hangs_up.get() && channel.is_up() && !transferred {
            self.context.at_once(|| channel.hangup(Cause::NORMAL_CLEARING));
        }
    }
}

/// A cause by its name or number.
fn cause_of(given: &Given<'_>) -> Cause {
    given.filled(0).map_or(Cause::NORMAL_CLEARING, |name| Cause::parse(&name))
}

/// Resolves when the call is answered, or has early media where that is enough; false where it is over first.
async fn answered(channel: &Channel, early: bool) -> bool {
    let there = || channel.is_answered() || early && channel.has_media();
    let mut watch = channel.watch();
    while channel.is_up() && !there() {
        if watch.changed().await.is_err() {
            break;
        }
    }
    channel.is_up() && there()
}
