//! A media worker: one thread that owns its legs, their sockets and their time.
//!
//! A pass polls the sockets, handles waiting commands, reads one packet per ready socket, delivers
//! packets between in-memory legs, and gives every leg whose interval has come its turn. With few
//! packets a worker sleeps until the next one arrives; with many it sleeps to the next millisecond
//! and handles what has gathered. Without legs it blocks.

mod backlog;
mod command;
mod layers;
pub(crate) mod leg;
pub(crate) mod mix;
mod out;
mod passing;
pub(crate) mod pictures;
pub(crate) mod playing;
mod receive;
mod report;
mod send;
mod silence;
mod watching;
mod wheel;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::event::{DigitSource, LegEvent};
use crate::io::{MediaIo, Token, Wait};
use crate::overload::LATE_US;
use crate::params::Handling;
use crate::record::tap::Tap;
use crate::rtp::{self, Kind};
use crate::service::{Job, Jobs, Retired};
use crate::shared::{LegShared, Mailbox, Mailboxes, NOWHERE};
use crate::source::PlayPlan;
use crate::srtp;

use backlog::Backlog;
use leg::{LegState, Transport};
use wheel::{Entry, Wheel};

/// Largest datagram read; anything longer is no audio we know.
const PACKET: usize = 4096;
/// Samples of the largest packet: 120 ms at 48 kHz.
const PCM: usize = 5760;
/// Packets between in-memory legs that wait for the next millisecond; more are lost.
const MAIL: usize = 4096;
/// Commands handled per pass.
const COMMANDS_PER_PASS: usize = 256;
/// Interval of timeouts, reports and statistics.
const HOUSEKEEPING_MS: u64 = 100;
/// Packets per housekeeping interval from which packets are gathered per millisecond.
const BATCH_FROM: u32 = 200;
/// Packets of others read from a socket until one of its peer's comes.
const STRANGERS: usize = 64;
/// A pass that takes longer leaves more than one packet of 20 ms behind in each socket.
const BEHIND_US: u64 = 20_000;
/// Time over which the load is measured.
const SPAN_US: u64 = 1_000_000;
/// Processor time per mille from which encoders spend less, and up to which they spend as usual.
const ECONOMY: (u64, u64) = (700, 500);
/// Frames a late leg catches up at once; the rest is skipped.
const CATCH_UP: u32 = 3;
/// Bugs that work on a leg may bring out before it is given up: a second of ticks.
const MAX_BUGS: u32 = 50;

/// The present, taken once per pass.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Now {
    pub(crate) us: u64,
}

impl Now {
    pub(crate) fn ms(self) -> u64 {
        self.us / 1000
    }
}

/// What legs share while they are worked on.
pub(crate) struct Ctx {
    /// The packet just received.
    pub(crate) packet: Box<[u8]>,
    /// The packet being built.
    pub(crate) out: Box<[u8]>,
    pub(crate) pcm: Box<[i16]>,
    /// Scratch space of twice that.
    pub(crate) wide: Box<[i16]>,
    pub(crate) now: Now,
    pub(crate) mail: Mail,
    jobs: Jobs,
}

impl Ctx {
    fn new(jobs: Jobs) -> Self {
        Self {
            packet: vec![0; PACKET].into(),
            out: vec![0; PCM * 2 + rtp::HEADER_LEN + srtp::OVERHEAD].into(),
            pcm: vec![0; PCM].into(),
            wide: vec![0; PCM * 2].into(),
            now: Now::default(),
            mail: Mail::default(),
            jobs,
        }
    }

    pub(crate) fn retire_plan(&self, plan: Box<PlayPlan>) {
        self.jobs.retire(Retired::Plan(plan));
    }

    pub(crate) fn retire_tap(&self, tap: Box<Tap>) {
        self.jobs.retire(Retired::Tap(tap));
    }

    pub(crate) fn ask_converter(&self, leg: &Arc<LegShared>, from: u32, to: u32) -> bool {
        self.jobs.leave(Job::Convert { leg: Arc::clone(leg), from, to })
    }
}

/// Packets on their way between in-memory legs. Each hop takes until the next pass's millisecond,
/// so that a ring of legs goes round no faster than that.
#[derive(Default)]
pub(crate) struct Mail {
    waiting: VecDeque<(Arc<LegShared>, Vec<u8>)>,
    /// Buffers to use again.
    spare: Vec<Vec<u8>>,
}

impl Mail {
    pub(crate) fn post(&mut self, to: &Arc<LegShared>, packet: &[u8]) -> bool {
        if self.waiting.len() >= MAIL {
            return false;
        }
        let mut buffer = self.spare.pop().unwrap_or_default();
        buffer.clear();
        buffer.extend_from_slice(packet);
        self.waiting.push_back((Arc::clone(to), buffer));
        true
    }
}

/// What is measured for about a second, and then published.
#[derive(Default)]
struct Span {
    since_us: u64,
    /// Processor time of the thread when it began.
    cpu_us: u64,
    /// Time in which packets and frames had waited for more than [`LATE_US`].
    late_us: u64,
}

/// One worker.
pub(crate) struct Worker<I> {
    index: usize,
    io: I,
    mailbox: Arc<Mailbox>,
    mailboxes: Mailboxes,
    legs: Vec<Option<Box<LegState>>>,
    free: Vec<u32>,
    attached: usize,
    wheel: Wheel,
    ctx: Ctx,
    ready: Vec<Token>,
    due: Vec<Entry>,
    next_housekeeping_ms: u64,
    mail_ms: u64,
    packets: u32,
    batching: bool,
    span: Span,
    /// How long the last pass took.
    pass_us: u64,
    backlog: Backlog,
    /// Encoders spend less, for there is little time left.
    economy: bool,
    /// Ticks that are to bring out a bug, for tests.
    fails: u32,
}

impl<I: MediaIo> Worker<I> {
    pub(crate) fn new(index: usize, io: I, mailboxes: Mailboxes, jobs: Jobs) -> Self {
        let now_us = io.now_us();
        let mailbox = Arc::clone(&mailboxes[index]);
        Self {
            index,
            io,
            mailbox,
            mailboxes,
            legs: Vec::new(),
            free: Vec::new(),
            attached: 0,
            wheel: Wheel::new(now_us / 1000),
            ctx: Ctx::new(jobs),
            ready: Vec::with_capacity(1024),
            due: Vec::with_capacity(1024),
            next_housekeeping_ms: now_us / 1000 + HOUSEKEEPING_MS,
            mail_ms: 0,
            packets: 0,
            batching: false,
            span: Span { since_us: now_us, ..Span::default() },
            pass_us: 0,
            backlog: Backlog::new(),
            economy: false,
            fails: 0,
        }
    }

    /// Works until told to stop.
    pub(crate) fn run(mut self) {
        // It was made on another thread, whose time is not its own.
        self.span.cpu_us = self.io.cpu_us();
        while !self.mailbox.stop.load(Ordering::SeqCst) {
            let wait = self.wait();
            // Work on a leg has a guard of its own; what is outside of that must not end the thread either.
            let _lived = catch_unwind(AssertUnwindSafe(|| self.pass(wait)));
        }
        self.close_all();
    }

    /// How long the next poll may wait.
    fn wait(&mut self) -> Wait {
        let now_us = self.io.now_us();
        let next_ms = now_us / 1000 + 1;
        if self.batching {
            return Wait::Batch(next_ms * 1000);
        }
        if !self.mailbox.prepare_sleep() {
            return Wait::No;
        }
        if self.attached == 0 && self.ctx.mail.waiting.is_empty() {
            return Wait::Forever;
        }
        let mut due = self.next_housekeeping_ms;
        if let Some(tick) = self.wheel.next_due() {
            due = due.min(tick);
        }
        if !self.ctx.mail.waiting.is_empty() {
            due = due.min(next_ms);
        }
        Wait::Until(due * 1000)
    }

    /// One pass. See the module's description.
    pub(crate) fn pass(&mut self, wait: Wait) {
        let mut ready = std::mem::take(&mut self.ready);
        self.io.poll(wait, &mut ready);
        self.mailbox.awake();
        let started = self.io.now_us();
        self.ctx.now = Now { us: started };
        // How long the thread has not looked although something was due: it slept too long, or its last pass took that long.
        let overslept = match wait {
            Wait::Until(due) | Wait::Batch(due) => started.saturating_sub(due),
            Wait::No | Wait::Forever => 0,
        };
        self.span.late_us += overslept.max(self.pass_us).saturating_sub(LATE_US);
        self.wheel.resume(self.ctx.now.ms());
        self.handle_commands();
        if self.pass_us > BEHIND_US {
            for token in &ready {
                self.read_newest(*token);
            }
        } else {
            for token in &ready {
                self.read(*token);
            }
        }
        self.ready = ready;
        self.deliver_mail();
        self.turn_wheel();
        if self.ctx.now.ms() >= self.next_housekeeping_ms {
            self.housekeeping();
        }
        self.pass_us = self.io.now_us().saturating_sub(started);
    }

    /// For tests: as many ticks of legs, from the next on, bring out a bug.
    pub(crate) fn fail_ticks(&mut self, ticks: u32) {
        self.fails = ticks;
    }

    fn fail_if_asked(&mut self) {
        if self.fails > 0 {
            self.fails -= 1;
            panic!("provoked by a test");
        }
    }

    /// For tests: the last pass took that long.
    pub(crate) fn fall_behind(&mut self, us: u64) {
        self.pass_us = us;
    }

    // === legs ===

    fn take(&mut self, slot: u32) -> Option<Box<LegState>> {
        self.legs.get_mut(slot as usize)?.take()
    }

    fn put(&mut self, slot: u32, leg: Box<LegState>) {
        if let Some(place) = self.legs.get_mut(slot as usize) {
            *place = Some(leg);
        }
    }

    /// Works on a leg taken out of its place, and puts it back. A bug that one packet, tick or command brings out costs
    /// that packet, tick or command (the panic hook puts it on record); a leg that brings out [`MAX_BUGS`] is given up:
    /// its owner is told as if the peer had fallen silent.
    fn with_leg(
        &mut self,
        slot: u32,
        mut leg: Box<LegState>,
        work: impl FnOnce(&mut Self, &mut LegState),
    ) {
        if leg.bugs >= MAX_BUGS {
            return self.put(slot, leg);
        }
        if catch_unwind(AssertUnwindSafe(|| work(self, &mut leg))).is_err() {
            leg.bugs += 1;
            if leg.bugs == MAX_BUGS {
                leg.tell(LegEvent::MediaTimeout { held: false });
            } else {
                self.schedule(slot, &mut leg);
            }
        }
        self.put(slot, leg);
    }

    /// The place of a leg of ours that is not being worked on.
    fn find(&self, shared: &LegShared) -> Option<u32> {
        let slot = shared.slot.load(Ordering::Acquire);
        let leg = self.legs.get(slot)?.as_ref()?;
        (leg.shared.id == shared.id).then_some(slot as u32)
    }

    /// Makes sure a leg with something to do gets its turns.
    fn schedule(&mut self, slot: u32, leg: &mut LegState) {
        if leg.tick_at.is_some() || !leg.needs_ticks() {
            return;
        }
        // Spread over the interval by place, so that legs do not all wake in one millisecond.
        let ptime = u64::from(leg.params.ptime.max(1));
        let earliest = self.ctx.now.ms() + 1;
        let phase = u64::from(slot) * 7 % ptime;
        let wait = (phase + ptime - earliest % ptime) % ptime;
        leg.tick_at = Some(self.wheel.add(slot, earliest + wait));
    }

    // === packets ===

    /// Reads a packet of the peer. Whatever lies before it in the socket is taken out too: strangers that flood a port
    /// must not keep the peer's packets waiting, or have them thrown away.
    fn read(&mut self, token: Token) {
        for _ in 0..STRANGERS {
            let Some(Some(leg)) = self.legs.get(token.slot as usize) else { return };
            let Transport::Rtp(sockets) = &leg.transport else { return };
            let socket = if token.rtcp { sockets.rtcp.as_ref() } else { Some(&sockets.rtp) };
            let Some(Ok((len, from))) = socket.map(|s| s.recv_from(&mut self.ctx.packet)) else {
                return;
            };
            let peer = leg.path.remote();
            let known = peer.is_none_or(|peer| peer.ip() == from.ip());
            let raw = leg.params.raw;
            // A picture is many packets at once, and worth nothing without one of them.
            let one_of_many = leg.params.handling == Handling::Packets;
            self.packets += 1;
            if raw {
                self.relay_raw(token, len, from);
            } else if token.rtcp && self.pass_rtcp_aside(token.slot, len, from) {
                continue;
            } else {
                self.receive(token.slot, len, Some(from));
            }
            if known && !one_of_many {
                return;
            }
        }
    }

    /// Leaves what came to an RTCP port and is no RTCP to the control side; false when it is RTCP.
    fn pass_rtcp_aside(&mut self, slot: u32, len: usize, from: SocketAddr) -> bool {
        let packet = self.ctx.packet.get(..len).unwrap_or_default();
        let aside = matches!(rtp::classify(packet), Kind::Stun | Kind::Dtls);
        if let (true, Some(Some(leg))) = (aside, self.legs.get_mut(slot as usize)) {
            leg.pass_aside(packet, Some(from), true);
        }
        aside
    }

    /// Takes the packet in `ctx.packet[..len]` for a leg.
    fn receive(&mut self, slot: u32, len: usize, from: Option<SocketAddr>) {
        let Some(leg) = self.take(slot) else { return };
        self.with_leg(slot, leg, |worker, leg| {
            let packet = worker.ctx.packet.get_mut(..len).unwrap_or_default();
            let kind = passing::kind_of(leg.params.handling, packet);
            if matches!(kind, Kind::Stun | Kind::Dtls) {
                return leg.pass_aside(packet, from, false);
            }
            match (kind, leg.unprotect(kind, packet)) {
                (_, Some(len)) if leg.params.handling != Handling::Audio => {
                    worker.pass_on(leg, kind, len, from);
                }
                (Kind::Rtp, Some(len)) => worker.receive_rtp(slot, leg, len, from),
                (Kind::Rtcp, Some(len)) => {
                    let (now, wall) = (worker.ctx.now, worker.io.wall());
                    let packet = worker.ctx.packet.get(..len).unwrap_or_default();
                    report::receive(leg, packet, from, now, wall);
                }
                _ => {}
            }
        });
    }

    fn deliver_mail(&mut self) {
        if self.ctx.mail.waiting.is_empty() || self.mail_ms == self.ctx.now.ms() {
            return;
        }
        self.mail_ms = self.ctx.now.ms();
        for _ in 0..self.ctx.mail.waiting.len() {
            let Some((to, packet)) = self.ctx.mail.waiting.pop_front() else { break };
            if let (Some(slot), Some(room)) =
                (self.find(&to), self.ctx.packet.get_mut(..packet.len()))
            {
                room.copy_from_slice(&packet);
                self.packets += 1;
                self.receive(slot, packet.len(), None);
            }
            self.ctx.mail.spare.push(packet);
        }
    }

    // === time ===

    fn turn_wheel(&mut self) {
        let mut due = std::mem::take(&mut self.due);
        self.wheel.take_due(self.ctx.now.ms(), &mut due);
        for entry in &due {
            let Some(leg) = self.take(entry.slot) else { continue };
            self.with_leg(entry.slot, leg, |worker, leg| {
                if leg.tick_at == Some(entry.due_ms) {
                    worker.tick(entry.slot, leg, entry.due_ms);
                }
            });
        }
        self.due = due;
    }

    fn tick(&mut self, slot: u32, leg: &mut LegState, due_ms: u64) {
        let ptime = u64::from(leg.params.ptime.max(1));
        let mut next = due_ms;
        let mut caught_up = 0;
        leg.tick_at = None;
        if leg.room.is_none() {
            self.fail_if_asked();
        }
        while next <= self.ctx.now.ms() {
            if caught_up == CATCH_UP {
                let behind = (self.ctx.now.ms() - next) / ptime + 1;
                self.mailbox.late.fetch_add(behind as usize, Ordering::Relaxed);
                next += behind * ptime;
                break;
            }
            if leg.room.is_some() {
                self.mix(leg);
            } else {
                self.read_jitter(slot, leg);
                leg.write_tick(&mut self.ctx);
            }
            leg.tap_tick(&mut self.ctx);
            next += ptime;
            caught_up += 1;
        }
        if leg.needs_ticks() {
            leg.tick_at = Some(self.wheel.add(slot, next));
        }
    }

    fn housekeeping(&mut self) {
        let now = self.ctx.now;
        self.next_housekeeping_ms = now.ms() + HOUSEKEEPING_MS;
        self.batching = self.packets >= BATCH_FROM;
        self.packets = 0;
        for slot in 0..self.legs.len() as u32 {
            let Some(mut leg) = self.take(slot) else { continue };
            leg.retell();
            self.with_leg(slot, leg, |worker, leg| {
                if let Some((digit, duration)) = leg.expire_digit(now) {
                    worker.digit(leg, digit, duration, DigitSource::Rtp);
                }
                if let Some(encoder) = &mut leg.coder.encoder {
                    encoder.economise(worker.economy);
                }
                leg.check_timeout(now);
                leg.check_address(now);
                if let Some(side) = &mut leg.side {
                    side.renew();
                }
                leg.keep_alive(&mut worker.ctx);
                if leg.picture.is_some() {
                    worker.tend_picture(leg);
                }
                report::send_if_due(leg, &mut worker.ctx, || worker.io.wall());
                match &mut leg.layers {
                    Some(layers) => layers.publish(now.us, &leg.shared.stats),
                    None => leg.arrival.publish(leg.codec().clock(), &leg.shared.stats),
                }
            });
        }
        if now.us.saturating_sub(self.span.since_us) >= SPAN_US {
            self.close_span();
        }
    }

    /// Publishes how the last second was.
    fn close_span(&mut self) {
        let (now_us, cpu_us) = (self.ctx.now.us, self.io.cpu_us());
        let over =
            std::mem::replace(&mut self.span, Span { since_us: now_us, cpu_us, ..Span::default() });
        let wall = now_us.saturating_sub(over.since_us).max(1);
        let busy = cpu_us.saturating_sub(over.cpu_us) * 1000 / wall;
        let late = over.late_us * 1000 / wall;
        self.mailbox.busy.store(busy as usize, Ordering::Relaxed);
        self.mailbox.late_share.store(late as usize, Ordering::Relaxed);
        if busy >= ECONOMY.0 || busy < ECONOMY.1 {
            self.economy = busy >= ECONOMY.0;
        }
    }
}
