//! Connectivity checks of strangers: a message without our password proves nothing.
#![no_main]

use std::time::Instant;

use libfuzzer_sys::fuzz_target;
use webrtc::ice::{Agent, Credentials, IceEvent, IceSpec};

fuzz_target!(|data: &[u8]| {
    let now = Instant::now();
    let credentials = |name: &str| Credentials { ufrag: name.to_owned(), pwd: "x".repeat(24) };
    let mut agent = Agent::new(
        IceSpec {
            base: ([10, 0, 0, 1], 4000).into(),
            ours: credentials("ours"),
            theirs: credentials("theirs"),
            candidates: Vec::new(),
            controlling: data.first().is_some_and(|octet| octet & 1 == 1),
            lite: false,
            relayed: None,
        },
        now,
    );
    agent.handle_timeout(now);
    agent.handle_datagram(now, ([192, 0, 2, 1], 9).into(), data);
    // With a header that frames, so that attributes are reached.
    let mut framed = vec![0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42];
    framed.extend_from_slice(&[7; 12]);
    framed.extend_from_slice(data);
    framed.resize(framed.len().next_multiple_of(4), 0);
    let length = (framed.len() - 20) as u16;
    framed[2..4].copy_from_slice(&length.to_be_bytes());
    agent.handle_datagram(now, ([192, 0, 2, 1], 9).into(), &framed);
    while let Some(event) = agent.poll_event() {
        assert!(!matches!(event, IceEvent::Selected(..)));
    }
    while agent.poll_transmit().is_some() {}
});
