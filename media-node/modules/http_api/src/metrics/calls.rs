//! What is counted as legs end: causes, post-dial delay, time to answer, duration, audio quality.

use prometheus::proto::MetricFamily;
use prometheus::{Histogram, HistogramOpts, HistogramVec, IntCounterVec, Opts, Registry};
use switch_core::call::Channel;
use switch_core::call::state::Direction;

use super::PREFIX;

/// Seconds from the start of a leg until it rings.
const DELAYS: &[f64] = &[0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0];
/// Seconds until it is answered.
const ANSWERS: &[f64] = &[0.1, 0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 20.0, 30.0, 45.0, 60.0, 120.0];
/// Seconds of conversation.
const DURATIONS: &[f64] =
    &[1.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1200.0, 1800.0, 3600.0, 7200.0];
/// Mean opinion scores.
const SCORES: &[f64] = &[1.0, 2.0, 2.6, 3.1, 3.6, 4.0, 4.3, 4.5];
/// Share of packets lost.
const LOSSES: &[f64] = &[0.0, 0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2];

/// Counters and histograms of ended legs.
pub(crate) struct Metrics {
    registry: Registry,
    ended: IntCounterVec,
    answered: IntCounterVec,
    delay: HistogramVec,
    answer: HistogramVec,
    duration: HistogramVec,
    score: Histogram,
    loss: Histogram,
}

/// Sums over all legs since the start.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Totals {
    /// Ended.
    pub(crate) ended: f64,
    /// Ended, having been answered.
    pub(crate) answered: f64,
    /// Of conversation.
    pub(crate) seconds: f64,
}

/// Moments of a leg in microseconds since the epoch; 0 for what did not happen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Moments {
    created: i64,
    rang: i64,
    answered: i64,
    ended: i64,
}

impl Metrics {
    /// All at nought.
    pub(crate) fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let counter = |name: &str, help: &str, labels: &[&str]| {
            let made = IntCounterVec::new(Opts::new(format!("{PREFIX}{name}"), help), labels)?;
            registry.register(Box::new(made.clone()))?;
            Ok::<_, prometheus::Error>(made)
        };
        let options = |name: &str, help: &str, buckets: &[f64]| {
            HistogramOpts::new(format!("{PREFIX}{name}"), help).buckets(buckets.to_vec())
        };
        let by_direction = |name: &str, help: &str, buckets: &[f64]| {
            let made = HistogramVec::new(options(name, help, buckets), &["direction"])?;
            registry.register(Box::new(made.clone()))?;
            Ok::<_, prometheus::Error>(made)
        };
        let plain = |name: &str, help: &str, buckets: &[f64]| {
            let made = Histogram::with_opts(options(name, help, buckets))?;
            registry.register(Box::new(made.clone()))?;
            Ok::<_, prometheus::Error>(made)
        };
        let metrics = Self {
            ended: counter(
                "legs_ended_total",
                "Call legs ended, by cause.",
                &["direction", "cause"],
            )?,
            answered: counter(
                "legs_answered_total",
                "Call legs ended that had been answered.",
                &["direction"],
            )?,
            delay: by_direction(
                "post_dial_delay_seconds",
                "From the start of a leg until it rang, sent early media or was answered.",
                DELAYS,
            )?,
            answer: by_direction(
                "answer_seconds",
                "From the start of a leg until it was answered.",
                ANSWERS,
            )?,
            duration: by_direction(
                "conversation_seconds",
                "From the answer of a leg until its end.",
                DURATIONS,
            )?,
            score: plain("mos", "Mean opinion score of received audio, 1 to 4.5.", SCORES)?,
            loss: plain("packet_loss_ratio", "Share of received audio packets lost.", LOSSES)?,
            registry,
        };
        // Present from the start, so that rates have a beginning.
        for direction in [Direction::Inbound, Direction::Outbound] {
            metrics.answered.with_label_values(&[direction.name()]);
        }
        Ok(metrics)
    }

    /// A leg has ended.
    pub(crate) fn ended(&self, channel: &Channel) {
        let direction = channel.direction().name();
        let cause = channel.cause().map_or("NONE", |cause| cause.name());
        self.count(direction, cause, moments(channel));
        let number = |name: &str| channel.own_var(name).and_then(|text| text.parse::<f64>().ok());
        let packets = number("rtp_audio_in_packet_count").unwrap_or(0.0);
        if packets > 0.0 {
            if let Some(score) = number("rtp_audio_in_mos") {
                self.score.observe(score);
            }
            let lost = number("rtp_audio_in_skip_packet_count").unwrap_or(0.0);
            self.loss.observe(lost / (packets + lost));
        }
    }

    fn count(&self, direction: &str, cause: &str, moments: Moments) {
        self.ended.with_label_values(&[direction, cause]).inc();
        let seconds = |from: i64, to: i64| (to - from).max(0) as f64 / 1e6;
        let Moments { created, rang, answered, ended } = moments;
        if rang > 0 {
            self.delay.with_label_values(&[direction]).observe(seconds(created, rang));
        }
        if answered > 0 {
            self.answered.with_label_values(&[direction]).inc();
            self.answer.with_label_values(&[direction]).observe(seconds(created, answered));
            self.duration.with_label_values(&[direction]).observe(seconds(answered, ended));
        }
    }

    /// Legs ended, legs answered, and seconds of conversation.
    pub(crate) fn totals(&self) -> Totals {
        let mut totals = Totals::default();
        for family in self.registry.gather() {
            let name = family.name().trim_start_matches(PREFIX).to_owned();
            for metric in family.get_metric() {
                match name.as_str() {
                    "legs_ended_total" => totals.ended += metric.get_counter().get_value(),
                    "legs_answered_total" => totals.answered += metric.get_counter().get_value(),
                    "conversation_seconds" => {
                        totals.seconds += metric.get_histogram().get_sample_sum();
                    }
                    _ => {}
                }
            }
        }
        totals
    }

    /// What the page shows of them.
    pub(crate) fn families(&self) -> Vec<MetricFamily> {
        self.registry.gather()
    }
}

/// The leg's moments; a transfer begins a new profile, and the first that knows of one counts.
fn moments(channel: &Channel) -> Moments {
    channel.with(|data| {
        let times = data.past_profiles.iter().chain(&data.profile).map(|profile| &profile.times);
        let mut moments = Moments { created: channel.created(), ..Moments::default() };
        let first = |so_far: &mut i64, at: i64| {
            if at > 0 && (*so_far == 0 || at < *so_far) {
                *so_far = at;
            }
        };
        for times in times {
            first(&mut moments.rang, times.progress);
            first(&mut moments.rang, times.progress_media);
            first(&mut moments.rang, times.answered);
            first(&mut moments.answered, times.answered);
            moments.ended = moments.ended.max(times.hungup);
        }
        if moments.ended == 0 {
            moments.ended = switch_core::clock::now_us();
        }
        moments
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_answered_legs_have_a_conversation() {
        let metrics = Metrics::new().expect("metrics");
        let at = |second: i64| second * 1_000_000;
        let moments = Moments { created: at(10), rang: at(12), answered: at(15), ended: at(45) };
        metrics.count("inbound", "NORMAL_CLEARING", moments);
        let refused = Moments { created: at(10), ended: at(20), ..Moments::default() };
        metrics.count("inbound", "USER_BUSY", refused);
        let families = metrics.families();
        let histogram = |name: &str| {
            let family = families.iter().find(|f| f.name() == format!("{PREFIX}{name}"));
            let histogram = family.expect("the family").get_metric()[0].get_histogram();
            (histogram.get_sample_count(), histogram.get_sample_sum())
        };
        assert_eq!(histogram("post_dial_delay_seconds"), (1, 2.0));
        assert_eq!(histogram("answer_seconds"), (1, 5.0));
        assert_eq!(histogram("conversation_seconds"), (1, 30.0));
    }
}
