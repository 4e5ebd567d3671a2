//! `rxfax`, `txfax` and `stopfax`.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use fax::{Code, FaxEvent, Library, MediaChange, Report, Terminal};
use futures_util::future::Either;
use media::Leg;
use switch_core::app;
use switch_core::app::{App, Flags};
use switch_core::call::{AppResult, Channel, Indication, Interrupt, Session, Wake};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};

use crate::outcome::{self, Side, T38};
use crate::ports::{AudioPort, RATE, T38Session};
use crate::settings::{self, Job};
use crate::thread::FaxThread;

/// The applications.
pub(crate) const APPS: &[App] = &[
    app!("rxfax", "mod_spandsp", Flags::NO_MEDIA, "<filename>", "FAX Receive Application", rxfax)
        .path(),
    app!("txfax", "mod_spandsp", Flags::NO_MEDIA, "<filename>", "FAX Transmit Application", txfax)
        .path(),
    app!("stopfax", "mod_spandsp", Flags::NO_MEDIA, "", "Stop FAX Application", stopfax),
];

/// Length of a packet where packets are counted.
const PACKET: Duration = Duration::from_millis(20);
/// The end of a fax that is stopped is waited for so long.
const ENDING: Duration = Duration::from_secs(2);

/// The fax of a leg, to be stopped from elsewhere.
#[derive(Default)]
struct Running(Option<Arc<AtomicBool>>);

async fn rxfax(session: &mut Session, argument: &str) -> AppResult {
    run(session, argument.trim(), Side::Receives).await
}

async fn txfax(session: &mut Session, argument: &str) -> AppResult {
    run(session, argument.trim(), Side::Sends).await
}

/// Ends the fax of the leg; the application that runs it reports its result.
async fn stopfax(session: &mut Session, _argument: &str) -> AppResult {
    let stop = session.channel().with(|data| data.slot::<Running>().0.clone());
    if let Some(stop) = stop {
        stop.store(true, Ordering::Relaxed);
    }
    Ok(())
}

/// Why a fax does not begin: `current_application_response`, and a line of the log.
struct Unable {
    code: Code,
    response: String,
}

impl Unable {
    fn new(code: Code, response: impl Into<String>) -> Self {
        Self { code, response: response.into() }
    }
}

async fn run(session: &mut Session, file: &str, side: Side) -> AppResult {
    session.answer().await?;
    let channel = Arc::clone(session.channel());
    settings::count(channel.switch());
    match prepare(session, file, side).await? {
        Ok((job, library)) => follow(session, job, library, side).await,
        Err(unable) => {
            tracing::error!(uuid = %channel.uuid(), "{}: {}", side.application(), unable.response);
            channel.set_var("current_application_response", unable.response.as_str());
            outcome::finished(
                &channel,
                side,
                unable.code,
                &unable.response,
                &Report::default(),
                T38::Off,
            );
            outcome::run_hooks(session, unable.code == Code::OK).await;
            session.check()
        }
    }
}

/// Finds the file and the library.
async fn prepare(
    session: &mut Session,
    file: &str,
    side: Side,
) -> Result<Result<(Job, Arc<Library>), Unable>, Interrupt> {
    let channel = Arc::clone(session.channel());
    if channel.with(|data| data.slot::<Running>().0.is_some()) {
        return Ok(Err(Unable::new(Code::NO_MACHINE, "A fax is going on already")));
    }
    let (folder, file) = match (file.is_empty(), side) {
        (true, Side::Sends) => {
            return Ok(Err(Unable::new(Code::FILE, "Fax TX filename not set")));
        }
        (true, Side::Receives) => {
            let (folder, file) = settings::own_file(&channel);
            (Some(folder), file)
        }
        (false, _) => (None, file.to_owned()),
    };
    let job = settings::job(&channel, file, side == Side::Sends);
    let (switch, name) = (Arc::clone(channel.switch()), job.setup.file.clone());
    // Files and the system's loader are waited for elsewhere.
    let looking = tokio::task::spawn_blocking(move || {
        if side == Side::Sends && !Path::new(&name).exists() {
            return Err(Unable::new(Code::FILE, "Cannot send non-existant fax file"));
        }
        if folder.is_some_and(|folder| std::fs::create_dir_all(folder).is_err()) {
            let why = "Cannot automatically set fax RX destination file";
            return Err(Unable::new(Code::FILE, why));
        }
        settings::library(&switch).map_err(|error| Unable::new(Code::NO_MACHINE, error.to_string()))
    });
    let found = session.wait_for(looking).await?;
    let found = found.unwrap_or_else(|bug| Err(Unable::new(Code::NO_MACHINE, bug.to_string())));
    Ok(found.map(|library| (job, library)))
}

/// A fax from its beginning to its end.
async fn follow(session: &mut Session, job: Job, library: Arc<Library>, side: Side) -> AppResult {
    let channel = Arc::clone(session.channel());
    let flag = |on: bool| if on { "1" } else { "0" };
    channel.set_vars([
        ("fax_v17_disabled", flag(!job.setup.v17).to_owned()),
        ("fax_ecm_requested", flag(job.setup.ecm).to_owned()),
    ]);
    channel.set_var("fax_filename", base::far::mark(&job.setup.file));
    // A buffer that evens out packets throws some away, which modems do not survive.
    channel.unset_var("jitterbuffer_msec");
    let leg = channel.media();
    if let Some(leg) = &leg {
        let _behind = leg.set_jitter(None);
    }
    let port = leg.as_ref().filter(|leg| leg.codec().rate() == RATE).and_then(AudioPort::open);
    let unable = if port.is_none() && job.offer.is_none() {
        Some("Faxes need audio of 8000 samples per second: PCMU or PCMA".to_owned())
    } else {
        None
    };
    let started = match unable {
        None => FaxThread::start(library, job.clone(), port).map_err(|error| error.to_string()),
        Some(why) => Err(why),
    };
    let thread = match started {
        Ok(thread) => thread,
        Err(why) => {
            tracing::error!(uuid = %channel.uuid(), "{}: {why}", side.application());
            channel.set_var("current_application_response", why.as_str());
            outcome::finished(&channel, side, Code::NO_MACHINE, &why, &Report::default(), T38::Off);
            outcome::run_hooks(session, false).await;
            return session.check();
        }
    };
    let changes = channel.with(|data| {
        data.slot::<Running>().0 = Some(thread.stopper());
        data.slot::<Terminal>().open(job.offer)
    });
    let mut fax = Fax {
        side,
        thread,
        changes: Some(changes),
        t38: T38::Off,
        last_page: Report::default(),
        done: false,
    };
    let result = fax.run(session, &job, leg.as_ref()).await;
    channel.with(|data| {
        data.slot::<Running>().0 = None;
        data.slot::<Terminal>().close();
    });
    if !fax.done {
        // The call ends, or goes elsewhere: the result of the fax is reported before.
        fax.thread.stop();
        let code = timeout(ENDING, fax.report_end(&channel)).await.ok().flatten();
        let code = code.unwrap_or_else(|| {
            let text = "The call dropped prematurely";
            outcome::finished(&channel, side, Code::DROPPED, text, &fax.last_page, fax.t38);
            Code::DROPPED
        });
        outcome::queue_hooks(&channel, code == Code::OK);
    }
    result
}

/// A fax that runs, as the call's task sees it.
struct Fax {
    side: Side,
    thread: FaxThread,
    /// `None` once the leg's signalling tells another application.
    changes: Option<mpsc::Receiver<MediaChange>>,
    t38: T38,
    /// The figures of the latest page: the machine has forgotten them at the end.
    last_page: Report,
    done: bool,
}

enum Next {
    FaxEvent(Option<FaxEvent>),
    MediaChange(Option<MediaChange>),
}

impl Fax {
    async fn run(&mut self, session: &mut Session, job: &Job, leg: Option<&Arc<Leg>>) -> AppResult {
        let channel = Arc::clone(session.channel());
        let mut request = job.request_after.map(|packets| Instant::now() + PACKET * packets);
        loop {
            let Self { thread, changes, .. } = self;
            let change = async {
                match changes {
                    Some(changes) => changes.recv().await,
                    None => std::future::pending().await,
                }
            };
            let next = async {
                tokio::select! {
                    biased;
                    change = change => Next::MediaChange(change),
                    event = thread.next_event() => Next::FaxEvent(event),
                }
            };
            match session.wait_or(request, next).await? {
                Either::Left(Wake::Timeout) => {
                    request = None;
                    self.request(session, job).await;
                }
                Either::Left(_) => {}
                Either::Right(Next::MediaChange(Some(MediaChange::ToT38 { remote, options }))) => {
                    request = None;
                    self.change(&channel, leg, remote, options);
                }
                Either::Right(Next::MediaChange(None)) => self.changes = None,
                Either::Right(Next::MediaChange(Some(MediaChange::ToAudio))) => {}
                // Our offer crossed the far end's own, which was taken.
                Either::Right(Next::MediaChange(Some(MediaChange::Refused)))
                    if self.t38 == T38::Negotiated => {}
                Either::Right(Next::MediaChange(Some(MediaChange::Refused))) => {
                    self.t38 = T38::Refused;
                    tracing::info!(uuid = %channel.uuid(), "T.38 is refused: the fax goes on in audio");
                }
                Either::Right(Next::FaxEvent(Some(event))) => {
                    let hook = match &event {
                        FaxEvent::Negotiated(_) => Some("fax_phase_b"),
                        FaxEvent::PageDone(_) => Some("fax_phase_d"),
                        FaxEvent::Log(..) | FaxEvent::Finished { .. } => None,
                    };
                    let ended = self.report(&channel, job, event);
                    if let Some(hook) = hook {
                        session.run_hooks(hook).await;
                    }
                    if let Some(code) = ended {
                        outcome::run_hooks(session, code == Code::OK).await;
                        return session.check();
                    }
                }
                Either::Right(Next::FaxEvent(None)) => {
                    self.done = true;
                    let text = "Cannot initialize Fax engine";
                    channel.set_var("current_application_response", text);
                    outcome::finished(
                        &channel,
                        self.side,
                        Code::DROPPED,
                        text,
                        &self.last_page,
                        self.t38,
                    );
                    outcome::run_hooks(session, false).await;
                    return session.check();
                }
            }
        }
    }

    /// Offers the far end T.38, unless it has done so itself.
    async fn request(&mut self, session: &mut Session, job: &Job) {
        let (Some(offer), T38::Off) = (job.offer, self.t38) else { return };
        let Some(description) = settings::description(offer) else { return };
        self.t38 = T38::Requested;
        if !session.indicate(Indication::Offer(Arc::new(description))).await {
            self.t38 = T38::Off;
        }
    }

    /// The leg's packets are T.38 from now on.
    fn change(
        &mut self,
        channel: &Channel,
        leg: Option<&Arc<Leg>>,
        remote: Option<std::net::SocketAddr>,
        options: sdp::T38Options,
    ) {
        // A re-INVITE that says the same again changes nothing.
        if self.t38 == T38::Negotiated {
            return;
        }
        let side = leg.and_then(|leg| leg.side_channel().ok().flatten());
        let Some(side) = side else {
            tracing::error!(uuid = %channel.uuid(), "Cannot initialize Fax engine for T.38");
            return self.thread.stop();
        };
        self.t38 = T38::Negotiated;
        outcome::log_t38(channel, &options);
        let redundancy = settings::redundancy(channel);
        self.thread.switch_to_t38(T38Session { side, remote, options, redundancy });
    }

    /// Reports an event of the machine; returns how the fax ended once it has.
    fn report(&mut self, channel: &Channel, job: &Job, event: FaxEvent) -> Option<Code> {
        match event {
            FaxEvent::Log(severity, line) => outcome::log(channel, job.level, severity, &line),
            FaxEvent::Negotiated(report) => {
                outcome::negotiated(channel, self.side, &report, self.t38)
            }
            FaxEvent::PageDone(report) => {
                outcome::page(channel, self.side, &report);
                self.last_page = report;
            }
            FaxEvent::Finished { code, text, report } => {
                self.done = true;
                let report = report.with_page(&self.last_page);
                outcome::finished(channel, self.side, code, &text, &report, self.t38);
                return Some(code);
            }
        }
        None
    }

    /// Waits for the result of a fax that was stopped, and reports it.
    async fn report_end(&mut self, channel: &Channel) -> Option<Code> {
        while let Some(event) = self.thread.next_event().await {
            if let FaxEvent::Finished { code, text, report } = event {
                let report = report.with_page(&self.last_page);
                outcome::finished(channel, self.side, code, &text, &report, self.t38);
                return Some(code);
            }
        }
        None
    }
}
