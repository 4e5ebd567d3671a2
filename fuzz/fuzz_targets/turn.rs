//! Whatever comes from a TURN server's address, or from who forges it: without our requests' numbers and our key it makes no
//! allocation.
#![no_main]

use std::time::{Duration, Instant};

use libfuzzer_sys::fuzz_target;
use webrtc::turn::{Account, Client, TurnEvent, frame};

fuzz_target!(|data: &[u8]| {
    let mut now = Instant::now();
    let account = Account { user: "user".to_owned(), password: "password".to_owned() };
    let (reliable, ipv6) = data.first().map_or((false, false), |o| (o & 1 == 1, o & 2 == 2));
    let mut client = Client::new(account, reliable, ipv6, now);
    let _ = frame(data);
    let first = client.poll_transmit();
    for piece in data.split(|octet| *octet == 0xff) {
        client.handle_datagram(piece, now);
        // With the number of our request: what is refused, and what claims success.
        if let Some(request) = &first {
            let mut answer = vec![1, 0x13, 0, 0];
            answer.extend_from_slice(&request[4..20]);
            answer.extend_from_slice(piece);
            answer.resize(answer.len().next_multiple_of(4), 0);
            let length = (answer.len() - 20) as u16;
            answer[2..4].copy_from_slice(&length.to_be_bytes());
            client.handle_datagram(&answer, now);
        }
        now += Duration::from_millis(700);
        client.handle_timeout(now);
        while client.poll_transmit().is_some() {}
    }
    while let Some(event) = client.poll_event() {
        assert!(!matches!(event, TurnEvent::Allocated(_) | TurnEvent::Data(..)));
    }
    assert_eq!(client.relayed(), None);
});
