use super::*;

fn hex(text: &str) -> Vec<u8> {
    let text: String = text.split_whitespace().collect();
    (0..text.len() / 2).map(|n| u8::from_str_radix(&text[n * 2..n * 2 + 2], 16).unwrap()).collect()
}

fn keying(suite: Suite) -> Keying {
    let master: Vec<u8> = (0..suite.key_len() + suite.salt_len()).map(|n| n as u8 ^ 0x5a).collect();
    Keying::new(suite, &master).unwrap()
}

/// Two ends that share a key.
fn ends(keying: &Keying) -> (Srtp, Srtp) {
    let keys = SrtpKeys { local: keying.clone(), remote: Some(keying.clone()) };
    (Srtp::new(keys.clone()), Srtp::new(keys))
}

fn rtp(ssrc: u32, seq: u16) -> Vec<u8> {
    let mut packet = vec![0; 12];
    crate::rtp::write_header(
        packet.first_chunk_mut().unwrap(),
        false,
        0,
        seq,
        u32::from(seq) * 160,
        ssrc,
    );
    packet.extend((0..160u8).map(|n| n ^ seq as u8));
    packet
}

fn protect(srtp: &mut Srtp, packet: &[u8]) -> Vec<u8> {
    let mut buffer = packet.to_vec();
    buffer.resize(packet.len() + OVERHEAD, 0);
    let n = srtp.protect_rtp(&mut buffer, packet.len()).unwrap();
    buffer.truncate(n);
    buffer
}

fn open(srtp: &mut Srtp, packet: &[u8]) -> Option<Vec<u8>> {
    let mut packet = packet.to_vec();
    let n = srtp.open_rtp(&mut packet)?;
    packet.truncate(n);
    Some(packet)
}

#[test]
fn packets_of_known_answers_are_made() {
    // The vectors of libsrtp's test driver.
    let plain = hex("800f1234decafbadcafebabe abababababababababababababababab");
    for (suite, master, expected) in [
        (
            Suite::Aes128CmSha80,
            "e1f97a0d3e018be0d64fa32c06de4139 0ec675ad498afeebb6960b3aabe6",
            "800f1234decafbadcafebabe 4e55dc4ce79978d88ca4d215949d2402 b78d6acc99ea179b8dbb",
        ),
        (
            Suite::Aes256CmSha80,
            "f0f04914b513f2763a1b1fa130f10e2998f6f6e43e4309d1e622a0e332b9f1b6 3b04803de51ee7c96423ab5b78d2",
            "800f1234decafbadcafebabe f1d9de17ff251ff1aa007774b0b4b40d a08d9d9a5b3a55d8873b",
        ),
    ] {
        let keying = Keying::new(suite, &hex(master)).unwrap();
        let (mut a, mut b) = ends(&keying);
        let packet = protect(&mut a, &plain);
        assert_eq!(packet, hex(expected), "{suite:?}");
        assert_eq!(open(&mut b, &packet), Some(plain.clone()));
    }
    let keying = Keying::new(
        Suite::Aes128CmSha80,
        &hex("e1f97a0d3e018be0d64fa32c06de4139 0ec675ad498afeebb6960b3aabe6"),
    );
    let (mut a, mut b) = ends(&keying.unwrap());
    let plain = hex("81c8000bcafebabe abababababababababababababababab");
    let mut buffer = plain.clone();
    buffer.resize(plain.len() + OVERHEAD, 0);
    let n = a.protect_rtcp(&mut buffer, plain.len()).unwrap();
    assert_eq!(
        buffer[..n],
        hex("81c8000bcafebabe 7128035be487b9bdbef89041f977a5a8 80000001 993e08cd54d6c1230798")
    );
    assert_eq!(b.open_rtcp(&mut buffer[..n]), Some(plain.len()));
    assert_eq!(buffer[..plain.len()], plain);
}

#[test]
fn every_suite_carries_both_kinds_and_refuses_what_was_changed_or_seen() {
    for suite in Suite::ALL {
        for mki in [&[][..], &[1], &[0, 0, 0, 7]] {
            let (mut a, mut b) = ends(&keying(suite).with_mki(mki).unwrap());
            for seq in 1..300u16 {
                let plain = rtp(7, seq);
                let packet = protect(&mut a, &plain);
                assert_ne!(packet[12..172], plain[12..], "{suite:?} encrypts");
                if suite.authenticates() {
                    for at in [0, 1, 3, 20, 171, packet.len() - 1] {
                        let mut changed = packet.clone();
                        changed[at] ^= 1;
                        assert_eq!(open(&mut b, &changed), None, "{suite:?} octet {at}");
                    }
                    for cut in [0, 5, 12, 100, packet.len() - 1] {
                        assert_eq!(open(&mut b, &packet[..cut]), None, "{suite:?} cut at {cut}");
                    }
                }
                assert_eq!(open(&mut b, &packet).as_deref(), Some(&plain[..]), "{suite:?}");
                assert_eq!(open(&mut b, &packet), None, "{suite:?}: once");
            }
            let plain = hex("80c9000100000007 0102030405060708090a0b0c0d0e0f10");
            for _ in 0..3 {
                let mut buffer = plain.clone();
                buffer.resize(plain.len() + OVERHEAD, 0);
                let n = a.protect_rtcp(&mut buffer, plain.len()).unwrap();
                buffer.truncate(n);
                assert_ne!(buffer[8..24], plain[8..]);
                if suite.authenticates() {
                    for at in 0..n {
                        let mut changed = buffer.clone();
                        changed[at] ^= 0x10;
                        assert_eq!(b.open_rtcp(&mut changed), None, "{suite:?} octet {at}");
                    }
                }
                let mut again = buffer.clone();
                assert_eq!(b.open_rtcp(&mut buffer), Some(plain.len()), "{suite:?}");
                assert_eq!(buffer[..plain.len()], plain);
                assert_eq!(b.open_rtcp(&mut again), None, "{suite:?}: once");
            }
        }
    }
}

#[test]
fn the_rollover_counter_follows_a_long_call_with_loss_and_reordering() {
    for (suite, packets) in [(Suite::Aes128CmSha80, 67_000u32), (Suite::AeadAes256Gcm, 1000)] {
        let (mut a, mut b) = ends(&keying(suite));
        let mut held: Option<(Vec<u8>, Vec<u8>)> = None;
        for n in 0..packets {
            let mut plain = rtp(9, (n + 65_000) as u16);
            plain.truncate(16);
            let packet = protect(&mut a, &plain);
            if n % 101 == 3 {
                continue;
            }
            if n % 50 == 7 {
                held = Some((packet, plain));
                continue;
            }
            assert_eq!(open(&mut b, &packet).as_deref(), Some(&plain[..]), "{suite:?} {n}");
            if let Some((packet, plain)) = held.take() {
                assert_eq!(
                    open(&mut b, &packet).as_deref(),
                    Some(&plain[..]),
                    "{suite:?} late {n}"
                );
            }
        }
    }
}

#[test]
fn forged_packets_move_no_counter_and_take_no_place() {
    let (mut a, mut b) = ends(&keying(Suite::Aes128CmSha80));
    for seq in 0..10 {
        let packet = protect(&mut a, &rtp(7, seq));
        open(&mut b, &packet).unwrap();
    }
    let before = format!("{b:?} {:?}", b.inbound.as_ref().unwrap().sources);
    for n in 0..2000u32 {
        let mut forged = rtp(if n % 2 == 0 { 7 } else { n }, (n * 37) as u16);
        forged.extend_from_slice(&[n as u8; 10]);
        assert_eq!(open(&mut b, &forged), None);
    }
    assert_eq!(before, format!("{b:?} {:?}", b.inbound.as_ref().unwrap().sources));
    let plain = rtp(7, 10);
    let packet = protect(&mut a, &plain);
    assert_eq!(open(&mut b, &packet), Some(plain));
}

#[test]
fn the_same_key_again_keeps_its_counters_and_a_new_one_begins_anew() {
    let one = keying(Suite::Aes128CmSha80);
    let other = Keying::new(Suite::Aes128CmSha80, &[9; 30]).unwrap();
    let (mut a, mut b) = ends(&one);
    let first = protect(&mut a, &rtp(7, 5));
    open(&mut b, &first).unwrap();
    let mut same = Srtp::new(SrtpKeys { local: other.clone(), remote: Some(one) });
    b.rekey(&mut same);
    assert_eq!(open(&mut b, &first), None, "still seen");
    let second = protect(&mut a, &rtp(7, 6));
    assert!(open(&mut b, &second).is_some());
    let third = protect(&mut a, &rtp(7, 7));
    let mut changed = Srtp::new(SrtpKeys { local: other.clone(), remote: Some(other) });
    b.rekey(&mut changed);
    assert_eq!(open(&mut b, &third), None, "the old key is gone");
}

#[test]
fn keys_are_not_shown() {
    let keying = Keying::new(Suite::Aes128CmSha80, &[0xab; 30]).unwrap();
    let (a, _) = ends(&keying);
    let shown = format!("{keying:?} {a:?}");
    assert!(!shown.contains("171") && !shown.contains("ab, ab"), "{shown}");
    assert!(Keying::new(Suite::Aes128CmSha80, &[1; 29]).is_none());
}
