//! RTCP compound packets as they come off the wire.

#![no_main]

use libfuzzer_sys::fuzz_target;
use media::rtcp::{Item, MAX_REPORT, Report, parse, transport};

fuzz_target!(|packet: &[u8]| {
    // What one message of transport-wide feedback tells of is bounded, and can be told again.
    let mut told = Vec::new();
    parse(packet, |item| {
        if let Item::Transport { number, arrived } = item {
            // The reference time written has 24 bits with its sign: what is later reads as another time.
            let arrived = arrived.and_then(|us| u64::try_from(us).ok());
            told.push((number, arrived.filter(|us| *us < (1 << 23) * 64_000)));
        }
    });
    let messages = packet.len() / 20 + 1;
    assert!(told.len() <= messages * transport::MOST_PACKETS);
    let arrivals: Vec<_> = told.iter().map(|(_, arrived)| *arrived).collect();
    let mut out = [0; transport::LONGEST];
    let first = told.first().map_or(0, |(number, _)| *number);
    let (len, count) = transport::write(&mut out, (1, 2), (0, first), &arrivals);
    let mut again = 0;
    parse(&out[..len], |item| {
        let Item::Transport { arrived, .. } = item else { panic!("{item:?}") };
        let ticks = |us: u64| (us / 250 * 250) as i64;
        assert_eq!(arrived, arrivals[again].map(ticks));
        again += 1;
    });
    assert_eq!(again, count);
    parse(packet, |item| {
        // Whatever was understood can be said again and is understood the same.
        let report = match item {
            Item::Sender { ssrc, info } => {
                Report { ssrc, sender: Some(info), block: None, cname: "" }
            }
            Item::Block { from, block } => {
                Report { ssrc: from, sender: None, block: Some(block), cname: "" }
            }
            // What is said of pictures is written elsewhere.
            Item::Bye { .. }
            | Item::KeyFrameRequest
            | Item::Nack { .. }
            | Item::Remb { .. }
            | Item::Transport { .. } => return,
        };
        let mut buffer = [0; MAX_REPORT];
        let len = report.write(&mut buffer);
        let mut found = false;
        parse(&buffer[..len], |again| found |= again == item);
        assert!(found, "{item:?}");
    });
});
