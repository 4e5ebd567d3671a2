//! What is counted as legs end: causes, post-dial delay, time to answer, duration, audio quality.

use prometheus::proto::MetricFamily;
use prometheus::{HistogramOpts, HistogramVec, IntCounterVec, Opts, Registry};
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
/// Seconds of interarrival jitter.
const JITTERS: &[f64] = &[0.001, 0.0025, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.2];

/// Counters and histograms of ended legs.
pub(crate) struct Metrics {
    registry: Registry,
    ended: IntCounterVec,
    answered: IntCounterVec,
    delay: HistogramVec,
    answer: HistogramVec,
    duration: HistogramVec,
    score: HistogramVec,
    loss: HistogramVec,
    jitter: HistogramVec,
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
            score: by_direction(
                "mos",
                "Mean opinion score of a leg's audio, 1 to 4.5: in, as received; out, by the far end's reports.",
                SCORES,
            )?,
            loss: by_direction(
                "packet_loss_ratio",
                "Share of a leg's audio packets lost: in, as received; out, by the far end's reports.",
                LOSSES,
            )?,
            jitter: by_direction(
                "jitter_seconds",
                "Interarrival jitter of a leg's audio at its end: in, as received; out, by the far end's reports.",
                JITTERS,
            )?,
            registry,
        };
        // Present from the start, so that rates have a beginning.
        for direction in [Direction::Inbound, Direction::Outbound] {
            metrics.answered.with_label_values(&[direction.name()]);
        }
        for direction in ["in", "out"] {
            for histograms in [&metrics.score, &metrics.loss, &metrics.jitter] {
                histograms.with_label_values(&[direction]);
            }
        }
        Ok(metrics)
    }

    /// A leg has ended.
    pub(crate) fn ended(&self, channel: &Channel) {
        let direction = channel.direction().name();
        let cause = channel.cause().map_or("NONE", |cause| cause.name());
        self.count(direction, cause, moments(channel));
        self.heard(|name| channel.own_var(name).and_then(|text| text.parse::<f64>().ok()));
    }

    /// Counts the audio of a leg from its variables. What came is known if packets came; what was sent, if the far
    /// end reported (mod_media_quality keeps those figures apart from the reference's variables).
    fn heard(&self, number: impl Fn(&str) -> Option<f64>) {
        let observe = |histograms: &HistogramVec, direction: &str, value: Option<f64>| {
            if let Some(value) = value {
                histograms.with_label_values(&[direction]).observe(value);
            }
        };
        let packets = number("rtp_audio_in_packet_count").unwrap_or(0.0);
        if packets > 0.0 {
            let lost = number("rtp_audio_in_skip_packet_count").unwrap_or(0.0);
            observe(&self.score, "in", number("rtp_audio_in_mos"));
            observe(&self.loss, "in", Some(lost / (packets + lost)));
            observe(&self.jitter, "in", number("media_quality_in_jitter_ms").map(|ms| ms / 1e3));
        }
        observe(&self.score, "out", number("media_quality_out_mos"));
        observe(
            &self.loss,
            "out",
            number("media_quality_out_loss_percent").map(|share| share / 1e2),
        );
        observe(&self.jitter, "out", number("media_quality_out_jitter_ms").map(|ms| ms / 1e3));
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
    fn audio_is_counted_by_direction() {
        let metrics = Metrics::new().expect("metrics");
        let leg = |vars: &'static [(&'static str, f64)]| {
            metrics.heard(|name| {
                vars.iter().find(|(known, _)| *known == name).map(|(_, value)| *value)
            });
        };
        leg(&[
            ("rtp_audio_in_packet_count", 90.0),
            ("rtp_audio_in_skip_packet_count", 10.0),
            ("rtp_audio_in_mos", 3.0),
            ("media_quality_in_jitter_ms", 20.0),
            ("media_quality_out_mos", 4.5),
            ("media_quality_out_loss_percent", 1.0),
            ("media_quality_out_jitter_ms", 5.0),
        ]);
        // Nothing came, and the far end reported nothing.
        leg(&[("rtp_audio_in_packet_count", 0.0), ("rtp_audio_in_mos", 4.5)]);
        let families = metrics.families();
        let sums = |name: &str| {
            let family = families.iter().find(|f| f.name() == format!("{PREFIX}{name}"));
            let metrics = family.expect("the family").get_metric();
            metrics
                .iter()
                .map(|metric| {
                    let histogram = metric.get_histogram();
                    (
                        metric.get_label()[0].value().to_owned(),
                        histogram.get_sample_count(),
                        histogram.get_sample_sum(),
                    )
                })
                .collect::<Vec<_>>()
        };
        assert_eq!(sums("mos"), [("in".into(), 1, 3.0), ("out".into(), 1, 4.5)]);
        assert_eq!(sums("packet_loss_ratio"), [("in".into(), 1, 0.1), ("out".into(), 1, 0.01)]);
        assert_eq!(sums("jitter_seconds"), [("in".into(), 1, 0.02), ("out".into(), 1, 0.005)]);
    }

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
