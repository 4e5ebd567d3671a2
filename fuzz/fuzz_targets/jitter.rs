//! A jitter buffer fed any packets in any order: what comes out never goes backwards.

#![no_main]

use libfuzzer_sys::fuzz_target;
use media::dtmf::receive::Receiver;
use media::jitter::{Got, JitterBuffer, SLOTS};

fuzz_target!(|steps: Vec<(u16, u32, bool)>| {
    let mut buffer = JitterBuffer::new(8, 2);
    let mut digits = Receiver::default();
    for (now, (seq, timestamp, read)) in (0u64..).step_by(10).zip(steps) {
        let payload = timestamp.to_be_bytes();
        if timestamp % 5 == 0 {
            buffer.pass_over(seq);
        }
        buffer.put(seq, timestamp, &payload);
        digits.feed(&payload, timestamp, now);
        digits.expire(now);
        if read && let Got::Packet { timestamp, payload } = buffer.get() {
            assert_eq!(payload, timestamp.to_be_bytes());
        }
        assert!(buffer.len() <= SLOTS);
    }
});
