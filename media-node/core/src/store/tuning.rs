//! Settings that `fsctl` changes while the switch runs.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use dialplan_xml::config::SwitchConf;

/// What can be tuned; starts with the reference's values.
#[derive(Debug)]
pub struct Tuning {
    /// Hundredths of a percent of idle CPU below which new calls are refused; 0 never.
    min_idle_cpu: AtomicU32,
    /// Shortest digit, 8 kHz samples.
    pub min_dtmf: AtomicU32,
    /// Length of a digit that has none, 8 kHz samples.
    pub default_dtmf: AtomicU32,
    /// Longest digit, 8 kHz samples.
    pub max_dtmf: AtomicU32,
    /// `debug_level`: kept, means nothing.
    pub debug_level: AtomicU32,
    /// Does `${api(…)}` run commands?
    pub api_expansion: AtomicBool,
}

impl Default for Tuning {
    fn default() -> Self {
        Self {
            min_idle_cpu: AtomicU32::new(0),
            min_dtmf: AtomicU32::new(400),
            default_dtmf: AtomicU32::new(2000),
            max_dtmf: AtomicU32::new(192_000),
            debug_level: AtomicU32::new(0),
            api_expansion: AtomicBool::new(true),
        }
    }
}

impl Tuning {
    /// Takes the values of `switch.conf`.
    pub fn configure(&self, conf: &SwitchConf) {
        self.min_dtmf.store(conf.min_dtmf_duration, Ordering::Relaxed);
        self.default_dtmf.store(conf.default_dtmf_duration, Ordering::Relaxed);
        self.max_dtmf.store(conf.max_dtmf_duration, Ordering::Relaxed);
        self.api_expansion.store(conf.api_expansion, Ordering::Relaxed);
        if let Some(percent) = conf.settings.get("min-idle-cpu").and_then(|text| text.parse().ok())
        {
            self.set_min_idle_cpu(percent);
        }
    }

    /// A digit's length brought between the shortest and the longest one, 8 kHz samples.
    #[must_use]
    pub fn digit_duration(&self, asked: u32) -> u32 {
        let (low, high) = (&self.min_dtmf, &self.max_dtmf);
        asked.max(low.load(Ordering::Relaxed)).min(high.load(Ordering::Relaxed))
    }

    /// Percent of idle CPU below which new calls are refused; 0 never.
    #[must_use]
    pub fn min_idle_cpu(&self) -> f64 {
        f64::from(self.min_idle_cpu.load(Ordering::Relaxed)) / 100.0
    }

    /// Changes the percent of idle CPU below which new calls are refused.
    pub fn set_min_idle_cpu(&self, percent: f64) {
        // A percentage with two decimals fits easily; casts saturate.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        self.min_idle_cpu.store((percent.clamp(0.0, 100.0) * 100.0) as u32, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_as_long_as_the_configuration_lets_them() {
        let tuning = Tuning::default();
        tuning.configure(&SwitchConf {
            min_dtmf_duration: 800,
            max_dtmf_duration: 4000,
            ..SwitchConf::default()
        });
        let lengths = [160, 800, 2000, 4000, 90_000].map(|asked| tuning.digit_duration(asked));
        assert_eq!(lengths, [800, 800, 2000, 4000, 4000]);
    }
}
