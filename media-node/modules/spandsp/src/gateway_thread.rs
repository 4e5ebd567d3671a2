//! The thread of a T.38 gateway: 50 times a second it gives the library the audio and the T.38 packets that have come, and
//! sends what the library has made of them.
//!
//! It is a thread of its own for the reasons the thread of a fax is one: the modems' work is not to be done in a media
//! thread, nor between the tasks of calls. It takes 0.5 % of a core.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use fax::{Gateway, GatewayReport, GatewaySetup, Library};
use sdp::T38Options;
use tokio::sync::mpsc;

use crate::ports::{AudioPort, FRAME, UdptlPort};
use crate::thread::Ticker;

/// Events that wait for the call's side.
const MAX_QUEUED: usize = 64;
/// Samples by which audio may be behind the clock before its time is let pass without it: packets come in bunches.
const MAX_BEHIND: usize = FRAME * 10;

/// An event of a gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum GatewayEvent {
    /// The figures have changed.
    Progress(GatewayReport),
    /// A line of the protocol's log: severity, and text.
    Log(i32, String),
}

/// The control side of a gateway that runs. Dropping it ends the thread, which gives the leg its audio back.
pub(crate) struct GatewayThread {
    stop: Arc<AtomicBool>,
    events: mpsc::Receiver<GatewayEvent>,
}

impl GatewayThread {
    /// Starts a gateway between a leg with audio and one with UDPTL.
    ///
    /// # Errors
    /// There is no thread for it.
    pub(crate) fn start(
        library: Arc<Library>,
        setup: GatewaySetup,
        options: T38Options,
        audio: AudioPort,
        udptl: UdptlPort,
    ) -> std::io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let (sender, events) = mpsc::channel(MAX_QUEUED);
        let stopped = Arc::clone(&stop);
        thread::Builder::new().name("t38-gateway".into()).spawn(move || {
            match Gateway::new(&library, setup, &options) {
                Ok(gateway) => run(gateway, audio, udptl, &stopped, &sender),
                Err(error) => tracing::error!("No T.38 gateway: {error}"),
            }
        })?;
        Ok(Self { stop, events })
    }

    /// The next event; `None` once the thread has ended. May be given up half-way.
    pub(crate) async fn next_event(&mut self) -> Option<GatewayEvent> {
        self.events.recv().await
    }
}

impl Drop for GatewayThread {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn run(
    mut gateway: Gateway,
    mut audio: AudioPort,
    mut udptl: UdptlPort,
    stop: &AtomicBool,
    events: &mpsc::Sender<GatewayEvent>,
) {
    let mut clock = LineClock::default();
    let mut samples = Vec::new();
    let mut last = GatewayReport::default();
    let mut ticker = Ticker::new();
    while !stop.load(Ordering::Relaxed) && audio.is_open() {
        ticker.wait();
        udptl.receive(|number, ifp| gateway.receive_packet(number, ifp));
        samples.clear();
        let open = audio.read(&mut samples);
        for frame in samples.chunks_mut(FRAME) {
            gateway.receive(frame);
        }
        let missing = clock.tick(samples.len());
        if missing > 0 {
            gateway.skip(missing as u32);
        }
        audio.fill(|frame| gateway.transmit(frame));
        while let Some((ifp, count)) = gateway.next_packet() {
            udptl.send(&ifp, count);
        }
        while let Some((severity, text)) = gateway.next_log_line() {
            let _behind = events.try_send(GatewayEvent::Log(severity, text));
        }
        // At once: who ends the thread looks at no more events.
        let report = gateway.report();
        if report != last && events.try_send(GatewayEvent::Progress(report)).is_ok() {
            last = report;
        }
        if !open {
            break;
        }
    }
}

/// How far the line's audio is behind the thread's clock. The library's time passes with the audio it gets: where a far end
/// sends none (lost packets, suppressed silence) the time has to pass without.
#[derive(Default)]
struct LineClock {
    behind: usize,
}

impl LineClock {
    /// A tick with so many samples; returns how many are to be taken for lost.
    fn tick(&mut self, samples: usize) -> usize {
        self.behind = (self.behind + FRAME).saturating_sub(samples);
        if self.behind <= MAX_BEHIND {
            return 0;
        }
        self.behind -= FRAME;
        FRAME
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_passes_on_a_line_that_sends_nothing_and_only_there() {
        let mut clock = LineClock::default();
        assert!((0..500).all(|_| clock.tick(FRAME) == 0));
        // Bunches, and a clock that is a little fast or slow.
        for bunch in 1..8 {
            assert!(
                (0..800).all(|n| clock.tick(if n % bunch == 0 { FRAME * bunch } else { 0 }) == 0)
            );
        }
        assert!((0..500).all(|_| clock.tick(FRAME + 1) == 0));
        let silence: usize = (0..100).map(|_| clock.tick(0)).sum();
        assert!((89 * FRAME..=91 * FRAME).contains(&silence), "{silence}");
        let slow: usize = (0..1600).map(|_| clock.tick(FRAME - 1)).sum();
        assert!((9 * FRAME..=11 * FRAME).contains(&slow), "{slow}");
    }
}
