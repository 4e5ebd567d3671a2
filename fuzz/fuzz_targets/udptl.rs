//! UDPTL datagrams (T.38) as they come off the wire.

#![no_main]

use fax::udptl::{Incoming, LONGEST, Outgoing, REDUNDANCY};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|octets: &[u8]| {
    let mut incoming = Incoming::default();
    let mut outgoing = Outgoing::new(REDUNDANCY, 0);
    let mut again = Incoming::default();
    // Datagrams of one sender, each after its length.
    let mut rest = octets;
    while let Some((length, after)) = rest.split_first() {
        let (datagram, next) = after.split_at(usize::from(*length).min(after.len()));
        rest = next;
        let mut got: Vec<Vec<u8>> = Vec::new();
        let _refused = incoming.take(datagram, |_, packet| {
            assert!(packet.len() <= LONGEST);
            got.push(packet.to_vec());
        });
        // Whatever was understood can be sent on and is understood the same.
        for packet in got.iter().filter(|packet| !packet.is_empty()) {
            let sent = outgoing.packet(packet).expect("a packet of that length");
            let mut last = Vec::new();
            again.take(&sent, |_, packet| last = packet.to_vec()).expect("our own datagram");
            assert_eq!(&last, packet);
        }
    }
});
