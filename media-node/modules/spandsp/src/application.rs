//! `rxfax`, `txfax` and `stopfax`.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use fax::{Code, Library, News, Report, Switched, Terminal, udptl};
use futures_util::future::Either;
use media::Leg;
use sdp::SessionDescription;
use switch_core::app;
use switch_core::app::{App, Flags};
use switch_core::call::{AppResult, Channel, Indication, Interrupt, Session, Wake};
use switch_core::text;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};

use crate::outcome::{self, Side, T38};
use crate::settings::{self, Job};
use crate::work::{Line, ToFax, Work};

/// The applications.
pub(crate) const APPS: &[App] = &[
    app!("rxfax", "mod_spandsp", Flags::NO_MEDIA, "<filename>", "FAX Receive Application", rxfax),
    app!("txfax", "mod_spandsp", Flags::NO_MEDIA, "<filename>", "FAX Transmit Application", txfax),
    app!("stopfax", "mod_spandsp", Flags::NO_MEDIA, "", "Stop FAX Application", stopfax),
];

/// What the machine deals with: samples of 20 ms at this rate.
const RATE: u32 = 8000;
/// Length of a packet where packets are counted.
const PACKET: Duration = Duration::from_millis(20);
/// The end of a fax that is stopped is waited for so long.
const ENDING: Duration = Duration::from_secs(2);
/// Our offer of T.38 is written for the leg, which puts in its own address and port.
const OFFER: &str = "v=0\r\no=- 0 0 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n";

/// The fax of a leg, to be stopped from elsewhere.
#[derive(Default)]
struct Running(Option<Arc<AtomicBool>>);

async fn rxfax(session: &mut Session, argument: &str) -> AppResult {
    run(session, argument.trim(), Side::Receives).await
}

async fn txfax(session: &mut Session, argument: &str) -> AppResult {
    run(session, argument.trim(), Side::Sends).await
}

/// Ends the fax of the leg; the application that runs it says what came of it.
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
            outcome::ended(
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
    let line = leg.as_ref().filter(|leg| leg.codec().rate() == RATE).and_then(Line::open);
    let unable = if line.is_none() && job.offer.is_none() {
        Some("Faxes need audio of 8000 samples per second: PCMU or PCMA".to_owned())
    } else {
        None
    };
    let begun = match unable {
        None => Work::begin(library, job.clone(), line).map_err(|error| error.to_string()),
        Some(why) => Err(why),
    };
    let work = match begun {
        Ok(work) => work,
        Err(why) => {
            tracing::error!(uuid = %channel.uuid(), "{}: {why}", side.application());
            channel.set_var("current_application_response", why.as_str());
            outcome::ended(&channel, side, Code::NO_MACHINE, &why, &Report::default(), T38::Off);
            outcome::run_hooks(session, false).await;
            return session.check();
        }
    };
    let told = channel.with(|data| {
        data.slot::<Running>().0 = Some(work.stopper());
        data.slot::<Terminal>().open(job.offer)
    });
    let mut fax =
        Fax { side, work, told, t38: T38::Off, last_page: Report::default(), done: false };
    let result = fax.run(session, &job, leg.as_ref()).await;
    channel.with(|data| {
        data.slot::<Running>().0 = None;
        data.slot::<Terminal>().close();
    });
    if !fax.done {
        // The call ends, or goes elsewhere: what came of the fax is told before.
        fax.work.stop();
        let code = timeout(ENDING, fax.rest(&channel)).await.ok().flatten();
        let code = code.unwrap_or_else(|| {
            let text = "The call dropped prematurely";
            outcome::ended(&channel, side, Code::DROPPED, text, &fax.last_page, fax.t38);
            Code::DROPPED
        });
        outcome::queue_hooks(&channel, code == Code::OK);
    }
    result
}

/// A fax that runs, as the call's task sees it.
struct Fax {
    side: Side,
    work: Work,
    told: mpsc::Receiver<Switched>,
    t38: T38,
    /// The figures of the latest page: the machine has forgotten them at the end.
    last_page: Report,
    done: bool,
}

enum Next {
    News(Option<News>),
    Switched(Option<Switched>),
}

impl Fax {
    async fn run(&mut self, session: &mut Session, job: &Job, leg: Option<&Arc<Leg>>) -> AppResult {
        let channel = Arc::clone(session.channel());
        let mut request = job.request_after.map(|packets| Instant::now() + PACKET * packets);
        loop {
            let Self { work, told, .. } = self;
            let next = async {
                tokio::select! {
                    biased;
                    switched = told.recv() => Next::Switched(switched),
                    news = work.news() => Next::News(news),
                }
            };
            match session.wait_or(request, next).await? {
                Either::Left(Wake::Timeout) => {
                    request = None;
                    self.request(session, job).await;
                }
                Either::Left(_) => {}
                Either::Right(Next::Switched(Some(Switched::ToFax { remote, options }))) => {
                    request = None;
                    self.change(&channel, leg, remote, options);
                }
                Either::Right(Next::Switched(_)) => {
                    self.t38 = T38::Refused;
                    tracing::info!(uuid = %channel.uuid(), "T.38 is refused: the fax goes on in audio");
                }
                Either::Right(Next::News(Some(news))) => {
                    let moment = match &news {
                        News::Agreed(_) => Some("fax_phase_b"),
                        News::Page(_) => Some("fax_phase_d"),
                        News::Log(..) | News::Done { .. } => None,
                    };
                    let ended = self.take(&channel, job, news);
                    if let Some(moment) = moment {
                        session.run_hooks(moment).await;
                    }
                    if let Some(code) = ended {
                        outcome::run_hooks(session, code == Code::OK).await;
                        return session.check();
                    }
                }
                Either::Right(Next::News(None)) => {
                    self.done = true;
                    let text = "Cannot initialize Fax engine";
                    channel.set_var("current_application_response", text);
                    outcome::ended(
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
        let Ok(mut description) = SessionDescription::parse(OFFER) else { return };
        description.media.push(offer.options().section(9, false));
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
            return self.work.stop();
        };
        self.t38 = T38::Negotiated;
        tracing::info!(
            uuid = %channel.uuid(),
            "T.38: version {}, {} bit/s, datagrams of {} octets, {}, {}",
            options.version, options.max_bit_rate, options.max_datagram, options.rate_management,
            options.error_correction
        );
        let given = channel.var("t38_gateway_redundancy");
        let redundancy = given.and_then(|n| usize::try_from(text::int(&n)).ok());
        let redundancy = redundancy.unwrap_or(udptl::REDUNDANCY);
        self.work.change(ToFax { side, remote, options, redundancy });
    }

    /// Tells what is new; how the fax ended once it has.
    fn take(&mut self, channel: &Channel, job: &Job, news: News) -> Option<Code> {
        match news {
            News::Log(severity, line) => outcome::log(channel, job.level, severity, &line),
            News::Agreed(report) => outcome::agreed(channel, self.side, &report, self.t38),
            News::Page(report) => {
                outcome::page(channel, self.side, &report);
                self.last_page = report;
            }
            News::Done { code, text, report } => {
                self.done = true;
                let report = report.with_page(&self.last_page);
                outcome::ended(channel, self.side, code, &text, &report, self.t38);
                return Some(code);
            }
        }
        None
    }

    /// What is still to be told of a fax that was ended.
    async fn rest(&mut self, channel: &Channel) -> Option<Code> {
        while let Some(news) = self.work.news().await {
            if let News::Done { code, text, report } = news {
                let report = report.with_page(&self.last_page);
                outcome::ended(channel, self.side, code, &text, &report, self.t38);
                return Some(code);
            }
        }
        None
    }
}
