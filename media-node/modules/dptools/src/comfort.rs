//! `bridge_generate_comfort_noise`: while the leg that has it sends nothing, its partner hears noise.

use std::sync::{Arc, Weak};

use crate::call::Channel;
use crate::text;

/// What white noise is divided by where it is only switched on.
const USUAL: u32 = 1400;

/// The partner's media, which is being sent noise in this leg's pauses.
#[derive(Default)]
struct Filled(Weak<media::Leg>);

/// The divisor of the noise a value asks for, 0 for plain silence; `None`: nothing is sent. (The reference takes every number
/// for `true`, as it asks for that first.)
fn divisor(value: &str) -> Option<u32> {
    match value.trim().parse::<i64>() {
        Ok(-1) => Some(0),
        Ok(level @ 2..) => Some(u32::try_from(level).unwrap_or(u32::MAX)),
        _ => text::is_true(value).then_some(USUAL),
    }
}

/// A leg is bridged: the pauses of what it says are filled if it wants that.
pub(crate) fn bridged(channel: &Channel) {
    let Some(divisor) = channel.variable("bridge_generate_comfort_noise").and_then(|v| divisor(&v))
    else {
        return;
    };
    let Some(hears) = channel.partner().and_then(|partner| partner.media()) else { return };
    if hears.silence(Some(divisor)).is_ok() {
        channel.with(|data| *data.slot::<Filled>() = Filled(Arc::downgrade(&hears)));
    }
}

/// Its bridge has ended.
pub(crate) fn unbridged(channel: &Channel) {
    let filled = channel.with(|data| data.find_slot::<Filled>().map(std::mem::take));
    if let Some(leg) = filled.and_then(|filled| filled.0.upgrade()) {
        let _closed = leg.silence(None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_a_switch_or_a_divisor() {
        let read = ["true", "1", "400", "-1", "0", "false", "x"].map(divisor);
        assert_eq!(read, [Some(1400), Some(1400), Some(400), Some(0), None, None, None]);
    }
}
